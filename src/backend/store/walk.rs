//! All that is stored, trace by trace, for figures over everything.
//!
//! Newest segment first. A trace is read whole and under one lock; after some thousand spans writers get their turn, however
//! large a segment is.

use super::Store;
use super::record::Span;
use super::segment::{Entry, SHORT, Segment};
use super::view;

/// So many spans are read before writers get their turn: a few milliseconds.
const SPANS_A_TURN: usize = 8_192;

impl Store {
    /// Calls `each` with every trace that has spans. What is evicted meanwhile is left out.
    pub(super) fn walk(&self, mut each: impl FnMut(&Segment, &Entry)) {
        let segments: Vec<u32> = self.read().segments.iter().rev().map(|segment| segment.number).collect();
        for number in segments {
            let mut next = 0;
            loop {
                let ring = self.read();
                let Some(segment) = ring.segment(number) else { break };
                let mut left = SPANS_A_TURN;
                while let Some(entry) = segment.entries.get(next)
                    && left > 0
                {
                    next += 1;
                    // One more: traces of which only logs came take time too.
                    left = left.saturating_sub(entry.spans as usize + 1);
                    if entry.spans > 0 {
                        each(segment, entry);
                    }
                }
                if next >= segment.entries.len() {
                    break;
                }
            }
        }
    }
}

/// The spans of one trace, and where each id is.
pub(super) struct Spans<'a> {
    pub all: Vec<Span<'a>>,
    /// Ids with their places, sorted. Not a map: ids are chosen by whoever sends them.
    places: Vec<(u64, u32)>,
}

impl<'a> Spans<'a> {
    pub fn of(segment: &'a Segment, entry: &Entry) -> Self {
        // What came twice is not even stored in a short trace.
        let records = if entry.spans > SHORT { view::once(segment, entry).0 } else { segment.records(entry).collect() };
        let all: Vec<_> = records.into_iter().map(|record| segment.span(record)).collect();
        let mut places: Vec<_> = all.iter().enumerate().map(|(place, span)| (span.head.id, place as u32)).collect();
        places.sort_unstable();
        Self { all, places }
    }

    /// The place of a span's parent, if the trace has it and it is another span.
    pub fn parent(&self, place: usize) -> Option<usize> {
        let wanted = self.all[place].head.parent;
        if wanted == 0 {
            return None;
        }
        let first = self.places.partition_point(|&(id, _)| id < wanted);
        let same_id = self.places[first..].iter().take_while(|&&(id, _)| id == wanted);
        same_id.map(|&(_, parent)| parent as usize).find(|&parent| parent != place)
    }
}
