//! `GET /api/tracelab/suspects`: what `tracelab diagnose --json` says of the traces that are stored, and as `flame` the tree of their
//! critical paths.
//!
//! | parameter | |
//! |---|---|
//! | `start`, `end` | µs since 1970: traces with a span that starts in between; without, all that is stored |
//! | `service` | only traces with this service |
//!
//! A diagnosis takes a core and memory for what it reads, so there is one at a time: who asks meanwhile gets its answer, or waits for
//! the next where the question is another. Answers are kept until the store has changed. Of more than [`MOST_SPANS`] spans those of
//! the traces that arrived last are read, and `note` says so.

use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::Mutex;
use warp::reply::Response;
use warp::{Filter, Rejection};

use super::answer::{self, blocking, legacy_error};
use super::params::{self, Params};
use crate::backend::store::{Query, Sort, Store, Style, TraceKey, TraceWriter};
use crate::diagnose::model::Builder;
use crate::diagnose::read::{self, Chunks};
use crate::diagnose::report::Report;
use crate::diagnose::{self, Options, figures};

/// About so many spans are read, at some 200 bytes each while it lasts.
const MOST_SPANS: usize = 200_000;
/// So many traces are read before the spans are counted again.
const AT_ONCE: usize = 64;
/// Bytes that are written with the store's lock held.
const CHUNK: usize = 256 << 10;
/// Answers that are kept.
const KEPT: usize = 4;

/// The path, with the memory of the answers.
pub(super) fn routes(store: Store) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let suspects = Suspects { store, kept: Arc::default() };
    let query = warp::query::raw().or_else(|_| async { Ok::<_, Infallible>((String::new(),)) });
    warp::path!("api" / "tracelab" / "suspects").and(warp::get().or(warp::head()).unify()).and(query).then(move |query: String| {
        let suspects = suspects.clone();
        async move { suspects.answer(&Params::parse(&query)).await }
    })
}

#[derive(Clone)]
struct Suspects {
    store: Store,
    /// Held for as long as a diagnosis takes.
    kept: Arc<Mutex<Vec<Kept>>>,
}

struct Kept {
    question: Question,
    /// Of the store when the reading began.
    version: [u64; 4],
    done: Instant,
    answer: Bytes,
}

/// Times in nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    start: u64,
    end: u64,
    service: Option<String>,
}

impl Question {
    fn parse(params: &Params) -> Result<Self, String> {
        let time = |name: &str| {
            let Some(text) = params.get(name) else { return Ok(None) };
            let microseconds = params::int(text, "ParseInt").map_err(|error| format!("unable to parse param '{name}': {error}"))?;
            Ok::<_, String>(Some(u64::try_from(microseconds).unwrap_or_default().saturating_mul(1_000)))
        };
        let (start, end) = (time("start")?.unwrap_or(0), time("end")?.unwrap_or(u64::MAX));
        if start > end {
            return Err("'start' should be before 'end'".to_owned());
        }
        Ok(Self { start, end, service: params.get("service").map(str::to_owned) })
    }
}

impl Suspects {
    async fn answer(&self, params: &Params) -> Response {
        let question = match Question::parse(params) {
            Ok(question) => question,
            Err(error) => return legacy_error(StatusCode::BAD_REQUEST, &error),
        };
        let asked = Instant::now();
        let mut kept = self.kept.clone().lock_owned().await;
        let store = self.store.clone();
        // The task holds the lock, not who waits for it: a reader that goes away makes no room for a second diagnosis.
        blocking(move || {
            let version = version(&store);
            // What was finished since this reader came is what it waited for, even if spans have arrived meanwhile.
            let is_good = |one: &&Kept| one.question == question && (one.version == version || one.done >= asked);
            if let Some(found) = kept.iter().find(is_good) {
                return answer::json(StatusCode::OK, found.answer.clone());
            }
            let answer = Bytes::from(diagnosed(&store, &question, MOST_SPANS));
            kept.retain(|one| one.question != question);
            kept.truncate(KEPT - 1);
            kept.insert(0, Kept { question, version, done: Instant::now(), answer: answer.clone() });
            answer::json(StatusCode::OK, answer)
        })
        .await
    }
}

/// What has changed where a span came or went.
fn version(store: &Store) -> [u64; 4] {
    let stats = store.stats();
    [stats.traces, stats.spans, stats.evicted_traces, stats.evicted_spans]
}

fn diagnosed(store: &Store, question: &Question, most: usize) -> String {
    let Question { start, end, service } = question;
    let now = u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default();
    let mut builder = Builder::until(now);
    // As `diagnose` has it: who names a service wants it as it is.
    if service.is_none() {
        builder = builder.without_jaegers_own().without_kubernetes_own();
    }
    let keys = store.search(&Query {
        service: service.clone(),
        operation: None,
        start_min: *start,
        start_max: *end,
        duration_min: 0,
        duration_max: u64::MAX,
        attributes: Vec::new(),
        limit: usize::MAX,
        sort: Sort::Arrival,
    });
    let mut read = 0;
    for some in keys.chunks(AT_ONCE) {
        if builder.pushed() >= most {
            break;
        }
        take(store, some, &mut builder);
        read += some.len();
    }
    let note = (read < keys.len()).then(|| {
        let [spans, read, all] = [builder.pushed(), read, keys.len()].map(|count| figures::thousands(count as u64));
        format!("only the {read} traces that arrived last, with {spans} spans, were looked at; {all} are stored")
    });
    let (traces, options) = (builder.finish(), Options::default());
    let diagnosis = diagnose::diagnose(&traces, None, &options);
    let report = Report { traces: &traces, diagnosis: &diagnosis, rule: options.rule, source: "", links: None };
    report.json_with_flame(note.as_deref())
}

/// Reads traces just as `diagnose` reads them from API v3, so that both see the same.
fn take(store: &Store, keys: &[TraceKey], builder: &mut Builder) {
    let mut writer = TraceWriter::new(Style::Otlp { raw: true }, keys.to_vec());
    let traces = Chunks::new(|out| store.write_traces(&mut writer, out, CHUNK));
    let document = b"{\"resourceSpans\":[".chain(traces).chain(&b"]}"[..]);
    // The store writes nothing that cannot be read; what was evicted meanwhile is missing, as in any answer.
    let _ = read::json(document, builder);
}
