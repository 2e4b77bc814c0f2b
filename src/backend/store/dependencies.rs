//! Which service calls which: one call for every span whose parent is in the same trace, as Jaeger counts it (so a server
//! span and the client spans below it make a call of a service to itself).
//!
//! A segment remembers its sum until it changes; only segments that a window cuts are walked trace by trace.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::Store;
use super::record::Head;
use super::segment::{Entry, Segment};

/// Calls from one service to another, in the words of a segment: parent, child, count.
pub(super) type Edge = (u32, u32, u64);

/// Calls from one service to another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    pub parent: String,
    pub child: String,
    pub call_count: u64,
}

impl Store {
    /// The calls within the traces that began after `start` and ended before `end` (nanoseconds).
    pub(crate) fn dependencies(&self, start: u64, end: u64) -> Vec<Dependency> {
        let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
        let segments: Vec<u32> = self.read().segments.iter().map(|segment| segment.number).collect();
        for number in segments {
            let ring = self.read();
            let Some(segment) = ring.segment(number) else { continue };
            let name = |service| String::from_utf8_lossy(segment.service_names.get(service)).into_owned();
            for (parent, child, count) in segment.edges_between(start, end) {
                *sums.entry((name(parent), name(child))).or_default() += count;
            }
        }
        sums.into_iter().map(|((parent, child), call_count)| Dependency { parent, child, call_count }).collect()
    }
}

impl Store {
    /// Sums up the newest segment that hardly changes any more, so that the first to ask for the graph need not wait.
    pub(super) fn sum_up_settled(&self) {
        let ring = self.read();
        if let Some(settled) = ring.segments.len().checked_sub(3).and_then(|at| ring.segments.get(at)) {
            settled.edges_between(0, u64::MAX);
        }
    }
}

impl Segment {
    fn edges_between(&self, start: u64, end: u64) -> Vec<Edge> {
        let within = |entry: &&Entry| entry.spans > 0 && entry.start > start && entry.end < end;
        let with_spans = self.entries.iter().filter(|entry| entry.spans > 0).count();
        if self.entries.iter().filter(within).count() != with_spans {
            return self.count_edges(self.entries.iter().filter(within));
        }
        // Every change of a segment appends to its arena.
        let version = self.arena.len();
        let mut memory = self.edges.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*memory {
            Some((of, edges)) if *of == version => edges.clone(),
            _ => {
                let edges = self.count_edges(self.entries.iter());
                *memory = Some((version, edges.clone()));
                edges
            }
        }
    }

    fn count_edges<'a>(&self, entries: impl Iterator<Item = &'a Entry>) -> Vec<Edge> {
        let mut calls = Calls::new(self.services.len());
        let mut spans: Vec<(u64, u64, u32)> = Vec::new();
        for entry in entries.filter(|entry| entry.spans > 1) {
            spans.clear();
            spans.extend(self.records(entry).map(|record| {
                let head = Head::read(&self.arena, record).0;
                (head.id, head.parent, self.groups[head.group as usize].service)
            }));
            if spans.len() <= 32 {
                for &(_, parent, child) in spans.iter().filter(|span| span.1 != 0) {
                    if let Some(caller) = spans.iter().find(|span| span.0 == parent) {
                        calls.add(caller.2, child);
                    }
                }
            } else {
                let services: FxHashMap<u64, u32> = spans.iter().map(|&(id, _, service)| (id, service)).collect();
                for &(_, parent, child) in spans.iter().filter(|span| span.1 != 0) {
                    if let Some(&caller) = services.get(&parent) {
                        calls.add(caller, child);
                    }
                }
            }
        }
        calls.edges()
    }
}

/// Calls by parent and child: a square while there are few services, a map beyond.
enum Calls {
    Square { side: usize, counts: Vec<u64> },
    Map(FxHashMap<(u32, u32), u64>),
}

impl Calls {
    fn new(services: usize) -> Self {
        if services <= 512 {
            return Calls::Square { side: services, counts: vec![0; services * services] };
        }
        Calls::Map(FxHashMap::default())
    }

    #[inline]
    fn add(&mut self, parent: u32, child: u32) {
        match self {
            Calls::Square { side, counts } => counts[parent as usize * *side + child as usize] += 1,
            Calls::Map(map) => *map.entry((parent, child)).or_default() += 1,
        }
    }

    fn edges(self) -> Vec<Edge> {
        match self {
            Calls::Square { side, counts } => {
                let called = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
                called.map(|(at, count)| ((at / side) as u32, (at % side) as u32, count)).collect()
            }
            Calls::Map(map) => map.into_iter().map(|((parent, child), count)| (parent, child, count)).collect(),
        }
    }
}
