//! What was under way at a time.

use super::search::Best;
use super::{Store, TraceKey};

impl Store {
    /// The traces that had begun at `at` (nanoseconds) and not ended, longest first, at most `limit`.
    pub(crate) fn in_flight(&self, at: u64, limit: usize) -> Vec<TraceKey> {
        let mut best = Best::new(limit);
        let segments: Vec<u32> = self.read().segments.iter().rev().map(|segment| segment.number).collect();
        for number in segments {
            let ring = self.read();
            let Some(segment) = ring.segment(number) else { continue };
            // No span is read, so that a whole segment takes less than a millisecond.
            for (place, entry) in segment.entries.iter().enumerate() {
                let candidate = (entry.duration(), number, place as u32);
                if entry.spans > 0 && entry.start <= at && at < entry.end && best.would_take(candidate) {
                    best.add(candidate);
                }
            }
        }
        best.into_keys()
    }
}
