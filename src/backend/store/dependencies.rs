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
        let ring = self.read();
        for segment in &ring.segments {
            let name = |service| String::from_utf8_lossy(segment.service_names.get(service)).into_owned();
            for (parent, child, count) in segment.edges_between(start, end) {
                *sums.entry((name(parent), name(child))).or_default() += count;
            }
        }
        drop(ring);
        sums.into_iter().map(|((parent, child), call_count)| Dependency { parent, child, call_count }).collect()
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
        let mut sums: FxHashMap<(u32, u32), u64> = FxHashMap::default();
        let mut spans: Vec<(u64, u64, u32)> = Vec::new();
        for entry in entries.filter(|entry| entry.spans > 1) {
            spans.clear();
            spans.extend(self.records(entry).map(|record| {
                let head = Head::read(&self.arena, record).0;
                (head.id, head.parent, self.groups[head.group as usize].service)
            }));
            let mut call = |parent, child| *sums.entry((parent, child)).or_default() += 1;
            if spans.len() <= 32 {
                for &(_, parent, child) in spans.iter().filter(|span| span.1 != 0) {
                    if let Some(caller) = spans.iter().find(|span| span.0 == parent) {
                        call(caller.2, child);
                    }
                }
            } else {
                let services: FxHashMap<u64, u32> = spans.iter().map(|&(id, _, service)| (id, service)).collect();
                for &(_, parent, child) in spans.iter().filter(|span| span.1 != 0) {
                    if let Some(&caller) = services.get(&parent) {
                        call(caller, child);
                    }
                }
            }
        }
        sums.into_iter().map(|((parent, child), count)| (parent, child, count)).collect()
    }
}
