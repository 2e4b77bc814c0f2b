//! `GET /api/map`: which service called which, how often, how long it took and what failed, from the traces that the trace backend
//! gives out.
//!
//! Of the game it knows the names of the services and when the mystery began, and nothing else: what the map says, a learner could
//! have read in the traces. The newest [`MOST_TRACES`] of the mystery, but of the last hour, that passed the frontend are read, whatever
//! the backend is, once for all who ask within [`REST`].

use std::cmp::Reverse;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::Serialize;
use tokio::sync::Mutex;
use url::Url;

use super::NAME;
use crate::diagnose::model::{Builder, Kind, Parent, Status, Text, Traces};
use crate::jaeger::{Client, Settings, Wanted};
use crate::topology::Topology;

/// So many traces make the map, the newest.
const MOST_TRACES: usize = 2_000;
const LOOKBACK: Duration = Duration::from_secs(3_600);
/// The trace backend is read no more often than this.
const REST: Duration = Duration::from_secs(2);
/// A reading that takes long is made so much more seldom: it shall take no larger part of the time.
const SHARE: u32 = 5;
/// One answer, and a reading in all.
const ASK_LIMIT: Duration = Duration::from_secs(5);
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer; a larger one is asked for in parts.
const LARGEST: usize = 64 << 20;
/// Edges and services beyond this many are left out, those with the fewest calls and spans: no topology of ours has more.
const MOST_EDGES: usize = 2_000;
const MOST_SERVICES: usize = 500;

/// The way to the trace backend, and what came by it last.
#[derive(Debug)]
pub(super) struct Map {
    topology: Topology,
    jaeger: Option<Client>,
    /// Held while somebody reads.
    last: Arc<Mutex<Option<Last>>>,
    /// What is said where nothing is known.
    names: OnceLock<[Bytes; 2]>,
}

#[derive(Debug)]
struct Last {
    /// The mystery of which it is.
    since_ms: u64,
    next: Instant,
    answer: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// There are traces.
    Ready,
    /// There is none, of this mystery and the last hour at least.
    Empty,
    /// The trace backend does not answer, or none is configured.
    Away,
}

#[derive(Debug, Serialize)]
struct Answer {
    state: State,
    /// How many were read.
    traces: usize,
    /// The most calls first.
    edges: Vec<Edge>,
    services: Vec<Service>,
}

/// Calls from one service to another.
#[derive(Debug, Serialize)]
struct Edge {
    from: String,
    to: String,
    calls: u64,
    /// Calls that either side marks as failed.
    errors: u64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

/// All but the name is absent where no trace says it.
#[derive(Debug, Serialize)]
struct Service {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    spans: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<u64>,
}

impl Map {
    pub fn new(client: reqwest::Client, jaeger: Option<Url>, topology: Topology) -> Self {
        // The page asks again by itself. One search gets all that is wanted, where the backend gives so many at once.
        let settings =
            Settings { answer: ASK_LIMIT, attempts: 1, depth: MOST_TRACES, at_once: 1, largest: LARGEST, ..Settings::default() };
        let jaeger = jaeger.map(|jaeger| Client::with(client, jaeger.as_str(), settings));
        Self { topology, jaeger, last: Arc::default(), names: OnceLock::new() }
    }

    /// The map as JSON, of traces since then: an earlier mystery's would show what was wrong there. Milliseconds since the epoch.
    pub async fn answer(&self, since_ms: u64) -> Bytes {
        let Some(jaeger) = self.jaeger.clone() else { return self.unknown(State::Away) };
        let mut last = self.last.clone().lock_owned().await;
        if let Some(last) = last.as_ref().filter(|last| last.since_ms == since_ms && Instant::now() < last.next) {
            return last.answer.clone();
        }
        let (topology, [empty, away]) = (self.topology, self.names().clone());
        // A task of its own, which goes on where the one who asked goes away: the next one finds its answer.
        let read = tokio::spawn(async move {
            let began = Instant::now();
            let answer = match tokio::time::timeout(READ_LIMIT, read(&jaeger, since_ms)).await {
                Ok(Some(traces)) if traces.is_empty() => empty,
                Ok(Some(traces)) => tokio::task::spawn_blocking(move || json(&mapped(&traces, topology))).await.unwrap_or(away),
                Ok(None) | Err(_) => away,
            };
            let next = began + REST.max(began.elapsed() * SHARE);
            *last = Some(Last { since_ms, next, answer: answer.clone() });
            answer
        });
        match read.await {
            Ok(answer) => answer,
            Err(_) => self.unknown(State::Away),
        }
    }

    fn unknown(&self, state: State) -> Bytes {
        let [empty, away] = self.names();
        if state == State::Empty { empty.clone() } else { away.clone() }
    }

    /// What is said without a trace: that there is none, that nobody answers.
    fn names(&self) -> &[Bytes; 2] {
        self.names.get_or_init(|| {
            [State::Empty, State::Away].map(|state| {
                let services = names(self.topology).map(|name| Service { name, spans: None, errors: None }).collect();
                json(&Answer { state, traces: 0, edges: Vec::new(), services })
            })
        })
    }
}

fn names(topology: Topology) -> impl Iterator<Item = String> {
    std::iter::once(NAME.to_owned()).chain(topology.services().map(|service| service.to_string()))
}

fn json(answer: &Answer) -> Bytes {
    serde_json::to_vec(answer).expect("names and numbers can be written as JSON").into()
}

/// What the backend gives out, or nothing where it does not answer as it should.
async fn read(jaeger: &Client, since_ms: u64) -> Option<Traces> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut builder = Builder::until(nanoseconds(now));
    let wanted = Wanted {
        start: nanoseconds(now.saturating_sub(LOOKBACK).max(Duration::from_millis(since_ms)).min(now)),
        end: nanoseconds(now),
        services: vec![NAME.to_owned()],
        limit: MOST_TRACES,
    };
    jaeger.collect(&wanted, &mut builder, |_| ()).await.ok()?;
    Some(builder.finish())
}

/// The calls between two services.
#[derive(Debug, Default)]
struct Calls {
    errors: u64,
    /// Of each, in nanoseconds.
    durations: Vec<u64>,
}

fn mapped(traces: &Traces, topology: Topology) -> Answer {
    let mut edges: FxHashMap<(Text, Text), Calls> = FxHashMap::default();
    let mut services: FxHashMap<Text, (u64, u64)> = FxHashMap::default();
    for trace in 0..traces.len() {
        let spans = traces.of(trace);
        for span in spans {
            let (to, failed) = (traces.service(span), span.status == Status::Error);
            let counts = services.entry(to).or_default();
            counts.0 += 1;
            counts.1 += u64::from(failed);
            let Parent::Span(parent) = span.parent else { continue };
            let parent = &spans[parent as usize];
            let from = traces.service(parent);
            if from == to {
                continue;
            }
            // As the caller saw it, the way there and back included, where the caller's span is of the call.
            let is_of_call = matches!(parent.kind, Kind::Client | Kind::Producer);
            let calls = edges.entry((from, to)).or_default();
            calls.errors += u64::from(failed || is_of_call && parent.status == Status::Error);
            calls.durations.push(if is_of_call { parent.duration() } else { span.duration() });
        }
    }
    let name = |text: Text| traces.texts.get(text).to_owned();
    let mut edges: Vec<Edge> = edges
        .into_iter()
        .map(|((from, to), Calls { errors, mut durations })| {
            durations.sort_unstable();
            let [p50_ms, p95_ms, p99_ms] = [50, 95, 99].map(|percent| quantile(&durations, percent) as f64 / 1e6);
            Edge { from: name(from), to: name(to), calls: durations.len() as u64, errors, p50_ms, p95_ms, p99_ms }
        })
        .collect();
    edges.sort_unstable_by(|one, other| {
        (Reverse(one.calls), &one.from, &one.to).cmp(&(Reverse(other.calls), &other.from, &other.to))
    });
    edges.truncate(MOST_EDGES);
    let mut found: FxHashMap<String, (u64, u64)> = services.into_iter().map(|(service, counts)| (name(service), counts)).collect();
    let service = |name: String, counts: Option<(u64, u64)>| {
        let (spans, errors) = counts.unzip();
        Service { name, spans, errors }
    };
    let mut services: Vec<Service> = names(topology)
        .map(|name| {
            let counts = found.remove(&name);
            service(name, counts)
        })
        .collect();
    // What else took part: a program of a learner's, a proxy.
    let mut others: Vec<_> = found.into_iter().collect();
    others.sort_unstable_by(|one, other| (Reverse(one.1.0), &one.0).cmp(&(Reverse(other.1.0), &other.0)));
    others.truncate(MOST_SERVICES);
    services.extend(others.into_iter().map(|(name, counts)| service(name, Some(counts))));
    Answer { state: State::Ready, traces: traces.len(), edges, services }
}

/// The smallest of these, which are sorted and at least one, that so many percent do not exceed.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::model::{NewSpan, Resource};
    use crate::topology::Route;

    #[test]
    fn a_call_takes_as_long_as_its_caller_saw_and_where_nobody_says_so_as_long_as_the_called_one() {
        let mut builder = Builder::default();
        let [shop, cart, ads] = ["shop", "cart", "ads"].map(|name| {
            let service = builder.text(name);
            builder.resource(Resource { service, attributes: vec![] })
        });
        let rows = [
            ("1", "", shop, Kind::Server, 100, Status::Unset),
            ("2", "1", shop, Kind::Client, 60, Status::Error),
            ("3", "2", cart, Kind::Server, 20, Status::Unset),
            ("4", "1", ads, Kind::Server, 5, Status::Unset),
        ];
        for (span_id, parent_id, resource, kind, ms, status) in rows {
            let (duration, trace_id) = (ms * 1_000_000, "1");
            builder.push(NewSpan { trace_id, span_id, parent_id, resource, kind, duration, status, ..NewSpan::default() });
        }
        let answer = mapped(&builder.finish(), Topology::new(1, 1, Route::Straight).unwrap());
        let edges: Vec<_> =
            answer.edges.iter().map(|edge| (&*edge.from, &*edge.to, edge.calls, edge.errors, edge.p95_ms)).collect();
        assert_eq!(edges, [("shop", "ads", 1, 0, 5.0), ("shop", "cart", 1, 1, 60.0)]);
    }

    #[test]
    fn half_of_the_calls_take_no_longer_than_the_median() {
        let sorted: Vec<u64> = (1..=100).collect();
        assert_eq!([50, 95].map(|percent| quantile(&sorted, percent)), [50, 95]);
        assert_eq!([50, 95].map(|percent| quantile(&[7], percent)), [7, 7]);
    }
}
