//! `GET /api/tracelab/suspects`: what `tracelab diagnose --json` says of the traces that are stored, as `flame` the tree of their
//! critical paths, and as `page` what the report's other forms say beside that.
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
        whole: false,
        in_flight_at: None,
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
pub(super) fn take(store: &Store, keys: &[TraceKey], builder: &mut Builder) {
    let mut writer = TraceWriter::new(Style::Otlp { raw: true }, keys.to_vec());
    let traces = Chunks::new(|out| store.write_traces(&mut writer, out, CHUNK));
    let document = b"{\"resourceSpans\":[".chain(traces).chain(&b"]}"[..]);
    // The store writes nothing that cannot be read; what was evicted meanwhile is missing, as in any answer.
    let _ = read::json(document, builder);
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use http_body_util::BodyExt as _;
    use serde_json::Value;

    use super::*;
    use crate::backend::otlp;

    /// A store with traces of these numbers, of one span each.
    fn fill(store: &Store, numbers: std::ops::Range<u32>) {
        let span = |number| {
            let start = 1_793_534_400_000_000_000 + u64::from(number);
            serde_json::json!({
                "traceId": format!("{number:032x}"), "spanId": "0000000000000001", "name": "GET /", "kind": 2,
                "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 1_000).to_string(),
            })
        };
        let spans: Vec<Value> = numbers.map(span).collect();
        let body = serde_json::json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
        store.ingest_traces(&otlp::json::traces(body.to_string().as_bytes()).unwrap()).unwrap();
    }

    fn suspects(traces: std::ops::Range<u32>) -> Suspects {
        let store = Store::new(4 << 20);
        fill(&store, traces);
        Suspects { store, kept: Arc::default() }
    }

    async fn traces(response: Response) -> u64 {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()["read"]["traces"].as_u64().unwrap()
    }

    fn everything() -> Question {
        Question::parse(&Params::default()).unwrap()
    }

    #[test]
    fn of_more_spans_than_are_read_the_newest_are_and_the_answer_says_so() {
        let Suspects { store, .. } = suspects(1..1_001);
        let read = |most| serde_json::from_str::<Value>(&diagnosed(&store, &everything(), most)).unwrap();
        assert_eq!(read(1_000)["note"], Value::Null);
        let bounded = read(100);
        assert_eq!((&bounded["read"]["traces"], &bounded["flame"]["traces"]), (&Value::from(128), &Value::from(128)));
        assert_eq!(bounded["note"], "only the 128 traces that arrived last, with 128 spans, were looked at; 1,000 are stored");
    }

    #[tokio::test]
    async fn the_same_question_costs_one_diagnosis_until_the_store_changes() {
        let suspects = suspects(1..11);
        let ask = async || {
            let read = traces(suspects.answer(&Params::default()).await).await;
            (read, suspects.kept.lock().await[0].done)
        };
        let first = ask().await;
        assert_eq!((first.0, ask().await), (10, first));
        fill(&suspects.store, 11..12);
        let later = ask().await;
        assert!(later.0 == 11 && later.1 > first.1);
        for service in ["a", "b", "c", "d", "e"] {
            suspects.answer(&Params::parse(&format!("service={service}"))).await;
        }
        assert_eq!(suspects.kept.lock().await.len(), KEPT);
    }

    #[tokio::test]
    async fn who_waited_for_a_diagnosis_takes_its_answer_though_spans_have_come_since() {
        let suspects = suspects(1..11);
        let mut running = suspects.kept.clone().lock_owned().await;
        let params = Params::default();
        let mut waiting = pin!(suspects.answer(&params));
        assert!(poll!(&mut waiting).is_pending());
        let (question, version) = (everything(), version(&suspects.store));
        let answer = Bytes::from(diagnosed(&suspects.store, &question, MOST_SPANS));
        fill(&suspects.store, 11..12);
        running.push(Kept { question, version, done: Instant::now(), answer });
        drop(running);
        assert_eq!(traces(waiting.await).await, 10);
        assert_eq!(traces(suspects.answer(&params).await).await, 11, "who came later");
    }
}
