//! The visits and gaps that took far longer than is typical, or that failed: what has to be explained.

use super::typical::{Typicals, learn_since};
use crate::diagnose::evidence::{Evidence, Outcome};

/// Less than this share of its trace's time matters to nobody, …
const MATTERS: f64 = 0.04;
/// … nor does less than so many times what a service usually takes: such stalls come and go with the machine.
const SERVICES: f64 = 2.5;

/// Something that needs explaining.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strike {
    /// The visit, or of a gap the calling one.
    pub visit: u32,
    /// Row of the gap; of the visit where it is no gap.
    pub row: u32,
    /// Nanoseconds beyond the typical; 0 of a failure.
    pub excess: u64,
    /// Of those, on the critical path.
    pub cost: u64,
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

/// The strikes by what is typical here and now.
pub fn find(evidence: &Evidence) -> Strikes {
    find_since(evidence, &Past::default())
}

/// The times of every place and pair in a baseline, as far as they occur there.
#[derive(Debug, Default)]
pub struct Past {
    pub own: Vec<Vec<f64>>,
    pub between: Vec<Vec<f64>>,
}

/// The strikes by what was typical before.
pub fn find_since(evidence: &Evidence, past: &Past) -> Strikes {
    let least = least(evidence);
    let own_times = |place| evidence.by_place.of(place).iter().map(|visit| evidence.visits[*visit as usize].own);
    let mut own: Vec<Vec<f64>> = (0..evidence.places.len() as u32).map(|place| waited_for(own_times(place))).collect();
    let mut between: Vec<Vec<f64>> =
        (0..evidence.pairs.len() as u32).map(|pair| waited_for(evidence.gaps_of(pair).map(|gap| gap.time))).collect();
    let own = learn_since(&mut own, &past.own, &kinds(evidence), least);
    let between = learn_since(&mut between, &past.between, &vec![0; evidence.pairs.len()], least);
    compare(evidence, own, between)
}

/// Places are alike that make about as many calls: waiting for them costs own time too.
fn kinds(evidence: &Evidence) -> Vec<u8> {
    let mut calls = vec![0_u64; evidence.places.len()];
    for gap in &evidence.gaps {
        calls[evidence.visits[gap.caller as usize].place as usize] += 1;
    }
    let of_a_visit = |(place, calls): (usize, &u64)| calls.div_ceil(evidence.by_place.of(place as u32).len().max(1) as u64);
    calls.iter().enumerate().map(of_a_visit).map(|calls| (u64::BITS - calls.leading_zeros()) as u8).collect()
}

/// Of what nobody waited for there is no time.
fn waited_for(times: impl Iterator<Item = u64>) -> Vec<f64> {
    times.filter(|time| *time > 0).map(|time| time as f64).collect()
}

/// The strikes by given typical times.
pub fn compare(evidence: &Evidence, own: Typicals, between: Typicals) -> Strikes {
    let mut strikes = Strikes::default();
    let matters = |trace: u32, excess: u64| {
        excess as f64 >= (MATTERS * evidence.traces[trace as usize].duration as f64).max(SERVICES * own.peers)
    };
    for (row, visit) in evidence.visits.iter().enumerate() {
        let row = row as u32;
        let typical = &own.of[visit.place as usize];
        let excess = visit.own.saturating_sub(typical.time as u64);
        if visit.own as f64 > typical.slow_from && matters(visit.trace, excess) {
            strikes.slow.push(Strike { visit: row, row, excess, cost: excess.min(visit.on_path) });
        }
        if visit.outcome == Outcome::Origin {
            strikes.failed.push(Strike { visit: row, row, excess: 0, cost: 0 });
        }
    }
    for (row, gap) in evidence.gaps.iter().enumerate() {
        let typical = &between.of[gap.pair as usize];
        let excess = gap.time.saturating_sub(typical.time as u64);
        let trace = evidence.visits[gap.caller as usize].trace;
        if gap.time as f64 > typical.slow_from && matters(trace, excess) {
            strikes.gaps.push(Strike { visit: gap.caller, row: row as u32, excess, cost: excess.min(gap.on_path) });
        }
    }
    Strikes { own, between, ..strikes }
}
