//! The visits and gaps that took far longer than is typical, or that failed: what has to be explained.

use super::typical::{Typicals, learn};
use crate::diagnose::evidence::{Evidence, Outcome};

/// Less than this share of its trace's time matters to nobody.
const MATTERS: f64 = 0.04;

/// Something that needs explaining.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strike {
    /// The visit, or of a gap the calling one.
    pub visit: u32,
    /// Row of the gap; of the visit where it is no gap.
    pub row: u32,
    /// Nanoseconds beyond the typical; 0 of a failure.
    pub excess: u64,
}

/// All strikes, and what was taken for typical to find them.
#[derive(Debug, Default)]
pub struct Strikes {
    /// Visits that took long by themselves.
    pub slow: Vec<Strike>,
    /// Visits in which failures began.
    pub failed: Vec<Strike>,
    /// Gaps that took long.
    pub gaps: Vec<Strike>,
    /// By place.
    pub own: Typicals,
    /// By pair.
    pub between: Typicals,
}

/// Differences below this many nanoseconds matter to nobody, in these traces.
pub fn least(evidence: &Evidence) -> f64 {
    let mut durations: Vec<f64> = evidence.traces.iter().map(|trace| trace.duration as f64).collect();
    (super::stats::median(&mut durations) / 100.0).max(1_000.0)
}

pub fn find(evidence: &Evidence) -> Strikes {
    let least = least(evidence);
    let own_times = |place| evidence.by_place.of(place).iter().map(|visit| evidence.visits[*visit as usize].own);
    let mut own: Vec<Vec<f64>> = (0..evidence.places.len() as u32).map(|place| on_path(own_times(place))).collect();
    let mut between: Vec<Vec<f64>> =
        (0..evidence.pairs.len() as u32).map(|pair| on_path(evidence.gaps_of(pair).map(|gap| gap.time))).collect();
    compare(evidence, learn(&mut own, least), learn(&mut between, least))
}

/// What was not on the critical path says nothing about how long it would have taken.
fn on_path(times: impl Iterator<Item = u64>) -> Vec<f64> {
    times.filter(|time| *time > 0).map(|time| time as f64).collect()
}

/// The strikes by given typical times.
pub fn compare(evidence: &Evidence, own: Typicals, between: Typicals) -> Strikes {
    let mut strikes = Strikes::default();
    let matters = |trace: u32, excess: u64| excess as f64 >= MATTERS * evidence.traces[trace as usize].duration as f64;
    for (row, visit) in evidence.visits.iter().enumerate() {
        let row = row as u32;
        let typical = &own.of[visit.place as usize];
        let excess = visit.own.saturating_sub(typical.time as u64);
        if visit.own as f64 > typical.slow_from && matters(visit.trace, excess) {
            strikes.slow.push(Strike { visit: row, row, excess });
        }
        if visit.outcome == Outcome::Origin {
            strikes.failed.push(Strike { visit: row, row, excess: 0 });
        }
    }
    for (row, gap) in evidence.gaps.iter().enumerate() {
        let typical = &between.of[gap.pair as usize];
        let excess = gap.time.saturating_sub(typical.time as u64);
        let trace = evidence.visits[gap.caller as usize].trace;
        if gap.time as f64 > typical.slow_from && matters(trace, excess) {
            strikes.gaps.push(Strike { visit: gap.caller, row: row as u32, excess });
        }
    }
    Strikes { own, between, ..strikes }
}
