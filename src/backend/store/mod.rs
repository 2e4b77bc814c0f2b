//! The bounded store: a ring of segments under one lock, and the index that finds a trace's segment.
//!
//! A trace keeps going to the segment it began in, which takes no new traces once it has its share but grows with those it
//! has. When the ring outgrows its limit the oldest segment goes, with whole traces and all that described them; a trace
//! that would take half of the store by itself gets no more spans. A production backend writes to disk; this one keeps the newest in memory, so that
//! stopping the sandbox leaves nothing behind.
//!
//! Nothing is remembered of what went: a span that comes later begins its trace anew, as an orphan, and the trace counts
//! among the evicted once more when it goes again.
//!
//! A writer holds the lock for some hundred spans at a time. A reader holds it for one segment of a search or one chunk of an
//! answer, and where a trace begins in the chunk for putting its spans in order: so longest for a giant trace, in a time
//! that grows little faster than its spans. Neither waits for the other's whole request.

mod dependencies;
mod dictionary;
mod distribution;
mod graph;
mod index;
mod ingest;
mod legacy_json;
mod logs;
mod names;
mod otlp_json;
mod record;
mod search;
mod segment;
mod spread;
mod summary;
mod view;
mod walk;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use segment::{Segment, TraceId};

pub use dependencies::Dependency;
pub(crate) use distribution::Wanted;
pub(crate) use graph::Window;
pub use ingest::Accepted;
pub(crate) use search::{Query, Sort, kind_named};
pub(crate) use view::{Style, TraceKey, TraceWriter};

/// Less than this holds no useful number of traces.
const MIN_LIMIT: usize = 4 << 20;
/// So much of the limit goes at a time when the oldest go.
const SEGMENTS: usize = 32;
/// Offsets within a segment are 32 bits wide.
const MAX_SHARE: usize = 512 << 20;
const MAX_TRACE: usize = 1 << 30;

/// The traces and logs that the embedded backend holds. Clones share one store.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Held while waiting for the lock: a reader that comes back for the next chunk would otherwise pass every writer that it
    /// has just woken.
    turnstile: Mutex<()>,
    ring: RwLock<Ring>,
}

/// What the store holds, and what it has let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    pub traces: u64,
    pub spans: u64,
    pub logs: u64,
    /// Resident, estimated from above.
    pub bytes: usize,
    pub limit_bytes: usize,
    pub evicted_traces: u64,
    pub evicted_spans: u64,
    /// Spans without usable ids.
    pub rejected_spans: u64,
    /// Spans and log records of traces too large to keep.
    pub dropped: u64,
    /// Log records that belong to no trace: nobody could ask for them.
    pub logs_without_trace: u64,
}

#[derive(Clone, Copy, Debug)]
struct Home {
    segment: u32,
    entry: u32,
}

#[derive(Debug)]
struct Ring {
    /// What was asked for, and the part of it that is filled: an eighth stays with the allocator and with growing tables.
    limit: usize,
    filled: usize,
    /// A segment that reaches its share is closed to new traces.
    share: usize,
    /// A trace that takes so many bytes is refused more.
    largest_trace: usize,
    segments: VecDeque<Segment>,
    homes: HashMap<TraceId, Home>,
    stats: Stats,
}

impl Store {
    /// A store that keeps at most about `limit_bytes` resident (4 MB at least).
    ///
    /// That holds from some 64 MB on. In smaller ones what the allocator keeps back and the requests under way weigh more than
    /// the eighth that is set aside for them: up to 10 MB are resident for 4, up to 30 MB for 16.
    pub fn new(limit_bytes: usize) -> Self {
        let limit = limit_bytes.max(MIN_LIMIT);
        let filled = limit - limit / 8;
        let share = (filled / SEGMENTS).min(MAX_SHARE);
        let homes = HashMap::new();
        let largest_trace = (filled / 2).min(MAX_TRACE);
        let mut ring = Ring { limit, filled, share, largest_trace, segments: VecDeque::new(), homes, stats: Stats::default() };
        ring.segments.push_back(Segment::new(0, share));
        Self(Arc::new(Shared { turnstile: Mutex::new(()), ring: RwLock::new(ring) }))
    }

    /// What the store holds by now.
    pub fn stats(&self) -> Stats {
        let ring = self.read();
        let (mut spans, mut logs) = (0, 0);
        for segment in &ring.segments {
            spans += segment.spans;
            logs += segment.logs;
        }
        Stats { spans, logs, bytes: ring.size(), limit_bytes: ring.limit, ..ring.stats }
    }

    // A panic while writing would be a bug; reading what it left is still better than refusing every later request.
    fn read(&self) -> RwLockReadGuard<'_, Ring> {
        let _turn = self.0.turnstile.lock();
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Ring> {
        let _turn = self.0.turnstile.lock();
        self.0.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn size(&self) -> usize {
        self.segments.iter().map(Segment::size).sum()
    }

    fn segment(&self, number: u32) -> Option<&Segment> {
        let first = self.segments.front()?.number;
        self.segments.get(number.wrapping_sub(first) as usize)
    }

    fn segment_mut(&mut self, number: u32) -> Option<&mut Segment> {
        let first = self.segments.front()?.number;
        self.segments.get_mut(number.wrapping_sub(first) as usize)
    }

    fn newest(&mut self) -> u32 {
        self.segments.back().map_or(0, |segment| segment.number)
    }

    fn is_full(&self) -> bool {
        self.segments.back().is_none_or(|newest| newest.size() >= self.share)
    }

    /// Closes the newest segment if it is full and evicts the oldest while `needed` bytes more would be too much. What was
    /// evicted is returned, to be freed without the lock.
    fn make_room(&mut self, needed: usize) -> Vec<Segment> {
        let mut evicted = Vec::new();
        if self.is_full() {
            let number = self.newest().wrapping_add(1);
            self.segments.push_back(Segment::new(number, self.share));
        }
        let mut size = self.size();
        // The newest stays: it has less than its share, or was begun just now.
        while size + needed > self.filled && self.segments.len() > 1 {
            let Some(oldest) = self.segments.pop_front() else { break };
            size -= oldest.size();
            for entry in &oldest.entries {
                self.homes.remove(&entry.id);
                if entry.spans > 0 {
                    self.stats.evicted_traces += 1;
                    self.stats.traces -= 1;
                }
            }
            self.stats.evicted_spans += oldest.spans;
            evicted.push(oldest);
        }
        evicted
    }
}
