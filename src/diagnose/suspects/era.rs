//! Since when, or from when to when: whether a service was struck during one part of the time and hardly during the rest.
//!
//! The part is the interval of visits, in the order of their starts, in which strikes are most in excess of their average (the
//! largest sum of a run, found in one pass); or the one in which they are most below it, where it was the rest that was struck.

use rustc_hash::FxHashSet;

use super::stats::contrast;
use crate::diagnose::evidence::Evidence;
use crate::diagnose::model::Traces;

/// Nats, after correction for the number of intervals tried; less is chance.
const LEAST: f64 = 10.0;
/// This share of the strikes is in the part …
const MOST_OF_THEM: f64 = 0.8;
/// … where they are so many times as frequent as in the rest, …
const TIMES_AS_OFTEN: f64 = 5.0;
/// … which is at least this share of the visits: the first and the last requests of a load find nobody before or after them.
const REST: f64 = 0.1;

/// The part of the time in which a service was struck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Era {
    /// Nanoseconds since the epoch: the starts of the first and of the last visit in the interval.
    pub from: u64,
    pub to: u64,
    /// It is all the time but this interval.
    pub outside: bool,
    /// No visit began before, or after it.
    pub first: bool,
    pub last: bool,
    /// Struck visits in it, and all in it.
    pub with: (u64, u64),
    /// Struck visits in the rest, and all in the rest.
    pub without: (u64, u64),
}

impl Era {
    pub fn contains(&self, start: u64) -> bool {
        (self.from..=self.to).contains(&start) != self.outside
    }

    /// The share of its visits that is struck.
    pub fn share(&self) -> f64 {
        self.with.0 as f64 / self.with.1.max(1) as f64
    }

    fn tells(&self) -> bool {
        let (hits, all) = (self.with.0 + self.without.0, self.with.1 + self.without.1);
        let rest = self.without.0 as f64 / self.without.1.max(1) as f64;
        self.with.0 as f64 >= MOST_OF_THEM * hits as f64
            && self.without.1 as f64 >= REST * all as f64
            && self.share() > TIMES_AS_OFTEN * rest
            && contrast(self.with, self.without) - 2.0 * (all.max(1) as f64).ln() >= LEAST
    }
}

/// The era of a service's strikes, if they have one.
pub fn find(traces: &Traces, evidence: &Evidence, service: u32, struck: &FxHashSet<u32>) -> Option<Era> {
    let start = |visit: u32| traces.spans()[evidence.visits[visit as usize].span as usize].start;
    let mut visits: Vec<(u64, bool)> =
        evidence.by_service.of(service).iter().map(|visit| (start(*visit), struck.contains(visit))).collect();
    visits.sort_unstable();
    let (all, hits) = (visits.len(), visits.iter().filter(|(_, struck)| *struck).count());
    if hits == 0 || hits == all {
        return None;
    }
    let average = hits as f64 / all as f64;
    let of = |outside: bool| {
        let sign = if outside { -1.0 } else { 1.0 };
        let (from, to) = largest_run(visits.iter().map(|(_, struck)| sign * (f64::from(u8::from(*struck)) - average)));
        let inside = visits[from..to].iter().filter(|(_, struck)| *struck).count() as u64;
        let run = (inside, (to - from) as u64);
        let rest = (hits as u64 - run.0, all as u64 - run.1);
        let (with, without) = if outside { (rest, run) } else { (run, rest) };
        Era { from: visits[from].0, to: visits[to - 1].0, outside, first: from == 0, last: to == all, with, without }
    };
    let eras = [of(false), of(true)].into_iter().filter(Era::tells);
    // Of two that say the same, the one that names the struck part.
    eras.rev().max_by(|a, b| contrast(a.with, a.without).total_cmp(&contrast(b.with, b.without)))
}

/// The range of the values, at least one, whose sum is largest.
fn largest_run(values: impl Iterator<Item = f64>) -> (usize, usize) {
    let (mut best, mut most) = ((0, 1), f64::NEG_INFINITY);
    let (mut from, mut sum) = (0, 0.0);
    for (at, value) in values.enumerate() {
        if sum <= 0.0 {
            (from, sum) = (at, 0.0);
        }
        sum += value;
        if sum > most {
            (best, most) = ((from, at + 1), sum);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::largest_run;

    #[test]
    fn the_largest_run_is_where_values_add_up_to_most() {
        let run = |values: &[f64]| largest_run(values.iter().copied());
        assert_eq!(run(&[-1.0, 2.0, -1.0, 3.0, -2.0, 1.0]), (1, 4));
        assert_eq!(run(&[2.0, 1.0, -4.0, 1.0]), (0, 2));
        assert_eq!(run(&[-3.0, -1.0, -2.0]), (1, 2));
    }
}
