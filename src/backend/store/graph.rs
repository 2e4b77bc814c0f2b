//! Which service calls which, how often, how long it takes and how often it fails.
//!
//! A call is a span whose parent is of another service, or a server's or consumer's whose parent is the client or producer of
//! its own. So, unlike in [`super::dependencies`], what a service does within itself is no call.

use std::collections::HashMap;

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::Store;
use super::segment::{Entry, Segment};
use super::spread::Percentiles;
use super::walk::Spans;

/// More edges are not told apart: the newest stay. All that the sandbox can have, by far more than anybody can look at.
const MAX_EDGES: usize = 2_500;

const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const PRODUCER: u8 = 4;
const CONSUMER: u8 = 5;

/// The traces that began after `start` and ended before `end` (nanoseconds); no bound where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    pub start: Option<u64>,
    pub end: Option<u64>,
}

impl Window {
    fn holds(self, entry: &Entry) -> bool {
        self.start.is_none_or(|start| entry.start > start) && self.end.is_none_or(|end| entry.end < end)
    }
}

/// The graph, sorted by name.
#[derive(Debug, Serialize)]
pub(crate) struct Graph {
    pub services: Vec<Service>,
    pub edges: Vec<Edge>,
    /// How many were read for it.
    pub spans: u64,
    /// There are more edges than these.
    pub truncated: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Service {
    pub name: String,
    pub spans: u64,
    pub errors: u64,
}

/// Calls of one service by another; latencies are the client's where it has a span, else the callee's.
#[derive(Debug, Serialize)]
pub(crate) struct Edge {
    pub parent: String,
    pub child: String,
    pub calls: u64,
    /// Calls that failed for one of the two.
    pub errors: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

impl Store {
    /// The graph of the traces in a window. It reads every span of theirs.
    pub(crate) fn graph(&self, window: Window) -> Graph {
        let mut sums = Sums::default();
        self.walk(|segment, entry| {
            if window.holds(entry) {
                sums.add(segment, entry);
            }
        });
        sums.graph()
    }
}

#[derive(Default)]
struct Sums {
    numbers: HashMap<String, u32>,
    services: Vec<Service>,
    edges: FxHashMap<(u32, u32), Calls>,
    truncated: bool,
    spans: u64,
    /// The services of the segment that was read last, by its own numbers for them.
    segment: u32,
    known: Vec<Option<u32>>,
}

struct Calls {
    calls: u64,
    errors: u64,
    latencies: Percentiles,
}

impl Sums {
    fn add(&mut self, segment: &Segment, entry: &Entry) {
        let spans = Spans::of(segment, entry);
        self.spans += spans.all.len() as u64;
        let services: Vec<u32> = spans.all.iter().map(|span| self.service(segment, span.head.group)).collect();
        for (place, span) in spans.all.iter().enumerate() {
            let failed = span.status() == 2;
            let service = &mut self.services[services[place] as usize];
            service.spans += 1;
            service.errors += u64::from(failed);
            let Some(caller_place) = spans.parent(place) else { continue };
            let caller = &spans.all[caller_place];
            let own = services[caller_place] == services[place];
            if own && !matches!((caller.kind(), span.kind()), (CLIENT, SERVER) | (PRODUCER, CONSUMER)) {
                continue;
            }
            let latency = if caller.kind() == CLIENT { caller.duration } else { span.duration };
            self.call(
                (services[caller_place], services[place]),
                latency,
                failed || (caller.kind() == CLIENT && caller.status() == 2),
            );
        }
    }

    fn call(&mut self, edge: (u32, u32), latency: u64, failed: bool) {
        if self.edges.len() >= MAX_EDGES && !self.edges.contains_key(&edge) {
            self.truncated = true;
            return;
        }
        let new = || Calls { calls: 0, errors: 0, latencies: Percentiles::coarse() };
        let calls = self.edges.entry(edge).or_insert_with(new);
        calls.calls += 1;
        calls.errors += u64::from(failed);
        calls.latencies.add(latency);
    }

    /// The number of a group's service, the same in all segments.
    fn service(&mut self, segment: &Segment, group: u32) -> u32 {
        if self.segment != segment.number {
            self.segment = segment.number;
            self.known.clear();
        }
        let own = segment.groups[group as usize].service as usize;
        if own >= self.known.len() {
            self.known.resize(segment.services.len().max(own + 1), None);
        }
        if let Some(number) = self.known[own] {
            return number;
        }
        let name = String::from_utf8_lossy(segment.service_name(group)).into_owned();
        let next = self.services.len() as u32;
        let number = *self.numbers.entry(name).or_insert_with_key(|name| {
            self.services.push(Service { name: name.clone(), spans: 0, errors: 0 });
            next
        });
        self.known[own] = Some(number);
        number
    }

    fn graph(self) -> Graph {
        let Self { mut services, edges, truncated, spans, .. } = self;
        let name = |number: u32| services[number as usize].name.clone();
        let edge = |((parent, child), calls): ((u32, u32), Calls)| Edge {
            parent: name(parent),
            child: name(child),
            calls: calls.calls,
            errors: calls.errors,
            p50_ms: calls.latencies.ms(50.0),
            p95_ms: calls.latencies.ms(95.0),
            p99_ms: calls.latencies.ms(99.0),
        };
        let mut edges: Vec<Edge> = edges.into_iter().map(edge).collect();
        edges.sort_unstable_by(|a, b| (&a.parent, &a.child).cmp(&(&b.parent, &b.child)));
        services.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Graph { services, edges, spans, truncated }
    }
}
