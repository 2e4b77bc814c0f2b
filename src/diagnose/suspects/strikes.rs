//! The visits and gaps that took far longer than is typical, or that failed: what has to be explained.

use super::stats::median;
use super::typical::{Typicals, learn};
use crate::diagnose::evidence::{Evidence, Gap, Outcome};
use crate::diagnose::model::Traces;
use crate::diagnose::repair::COARSE;

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

/// So many visits or gaps elsewhere, that began before one and after it, tell whether everything stood still then.
const NEIGHBOURS: usize = 24;

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
    (usual_duration(evidence) / 100.0).max(1_000.0)
}

fn usual_duration(evidence: &Evidence) -> f64 {
    median(&mut evidence.traces.iter().map(|trace| trace.duration as f64).collect::<Vec<_>>())
}

/// The strikes by what is typical here and now.
pub fn find(traces: &Traces, evidence: &Evidence) -> Strikes {
    find_since(traces, evidence, &Past::default())
}

/// The times of every place and pair in a baseline, as far as they occur there.
#[derive(Debug, Default)]
pub struct Past {
    pub own: Vec<Vec<f64>>,
    pub between: Vec<Vec<f64>>,
}

/// The strikes by what was typical before.
pub fn find_since(traces: &Traces, evidence: &Evidence, past: &Past) -> Strikes {
    let least = least(evidence);
    let own_times = |place| evidence.by_place.of(place).iter().map(|visit| evidence.visits[*visit as usize].own);
    let mut own: Vec<Vec<f64>> = (0..evidence.places.len() as u32).map(|place| waited_for(own_times(place))).collect();
    let mut between: Vec<Vec<f64>> =
        (0..evidence.pairs.len() as u32).map(|pair| waited_for(evidence.gaps_of(pair).map(|gap| gap.time))).collect();
    let own = learn(&mut own, &past.own, &kinds(evidence), least);
    let between = learn(&mut between, &past.between, &vec![0; evidence.pairs.len()], least);
    compare(traces, evidence, own, between)
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
fn compare(traces: &Traces, evidence: &Evidence, own: Typicals, between: Typicals) -> Strikes {
    let mut strikes = Strikes::default();
    // A fault that strikes a trace again and again makes it long, and would make each strike look small beside it.
    let usual = usual_duration(evidence);
    let matters = |trace: u32, excess: u64| {
        let duration = (evidence.traces[trace as usize].duration as f64).min(usual);
        excess as f64 >= (MATTERS * duration).max(SERVICES * own.peers)
    };
    // What a coarse clock may have cut from a time is no excess.
    let cut = |visit: u32| {
        let span = &traces.spans()[evidence.visits[visit as usize].span as usize];
        if evidence.coarse[span.resource as usize] { COARSE } else { 0 }
    };
    let of_visit = |row: u32, excess: u64| excess > cut(row) && matters(evidence.visits[row as usize].trace, excess);
    let of_gap = |row: u32, excess: u64| {
        let Gap { caller, callee, .. } = evidence.gaps[row as usize];
        excess > cut(caller).max(cut(callee)) && matters(evidence.visits[caller as usize].trace, excess)
    };
    for (row, visit) in evidence.visits.iter().enumerate() {
        let row = row as u32;
        let typical = &own.of[visit.place as usize];
        let excess = visit.own.saturating_sub(typical.time as u64);
        if visit.own as f64 > typical.slow_from && of_visit(row, excess) {
            strikes.slow.push(Strike { visit: row, row, excess, cost: excess.min(visit.on_path) });
        }
        if visit.outcome == Outcome::Origin {
            strikes.failed.push(Strike { visit: row, row, excess: 0, cost: 0 });
        }
    }
    for (row, gap) in evidence.gaps.iter().enumerate() {
        let typical = &between.of[gap.pair as usize];
        let excess = gap.time.saturating_sub(typical.time as u64);
        let row = row as u32;
        if gap.time as f64 > typical.slow_from && of_gap(row, excess) {
            strikes.gaps.push(Strike { visit: gap.caller, row, excess, cost: excess.min(gap.on_path) });
        }
    }
    let begin = |visit: u32| traces.spans()[evidence.visits[visit as usize].span as usize].start;
    let visits = evidence.visits.iter().enumerate().map(|(row, visit)| Moment {
        begin: begin(row as u32),
        row: row as u32,
        trace: visit.trace,
        group: visit.service,
        time: visit.own,
    });
    let gaps = evidence.gaps.iter().enumerate().map(|(row, gap)| Moment {
        begin: begin(gap.callee),
        row: row as u32,
        trace: evidence.visits[gap.caller as usize].trace,
        group: gap.pair,
        time: gap.time,
    });
    less_stalls(&mut strikes.slow, visits, |strike, excess| of_visit(strike.row, excess));
    less_stalls(&mut strikes.gaps, gaps, |strike, excess| of_gap(strike.row, excess));
    Strikes { own, between, ..strikes }
}

/// A visit or gap among those of its time.
struct Moment {
    begin: u64,
    row: u32,
    trace: u32,
    /// Its service or pair.
    group: u32,
    time: u64,
}

/// Takes from each strike what others took at the same time: where everything stands still, nobody is to blame.
fn less_stalls(strikes: &mut Vec<Strike>, all: impl Iterator<Item = Moment>, matters: impl Fn(&Strike, u64) -> bool) {
    if strikes.is_empty() {
        return;
    }
    let mut all: Vec<Moment> = all.collect();
    all.sort_unstable_by_key(|moment| (moment.begin, moment.row));
    let mut place = vec![0_u32; all.len()];
    for (at, moment) in all.iter().enumerate() {
        place[moment.row as usize] = at as u32;
    }
    let mut times: Vec<f64> = Vec::new();
    strikes.retain_mut(|strike| {
        let at = place[strike.row as usize] as usize;
        let (trace, group) = (all[at].trace, all[at].group);
        // What is wrong with one request may show in all of it.
        let others = |moment: &&Moment| moment.trace != trace && moment.group != group;
        // Beyond this nobody is looked at: where one group has nearly all, its neighbours are not of its time.
        let (first, last) = (at.saturating_sub(4 * NEIGHBOURS), (at + 4 * NEIGHBOURS).min(all.len()));
        times.clear();
        times.extend(all[first..at].iter().rev().filter(others).take(NEIGHBOURS).map(|moment| moment.time as f64));
        times.extend(all[at..last].iter().filter(others).take(NEIGHBOURS).map(|moment| moment.time as f64));
        let typical = all[at].time - strike.excess;
        let then = median(&mut times) as u64;
        strike.excess = strike.excess.saturating_sub(then.saturating_sub(typical));
        strike.cost = strike.cost.min(strike.excess);
        matters(strike, strike.excess)
    });
}
