//! What is typical for a place or a pair, and from where on a time is slow.
//!
//! Times are compared by their logarithm, since delays are: twice as long is as remarkable at 1 ms as at 100 ms. What a place usually
//! takes is learnt from its own quicker half and from its peers, the more from itself the more often it was seen. A place that is
//! far above all its peers is **shifted**: there the peers say what would be typical, for its own times only say what is. What does
//! next to nothing by itself is nobody's peer.

use std::collections::BTreeMap;

use super::stats::{centre_and_scatter, median, quantile};

/// A place or pair that is this many standard deviations of its peers above them is shifted.
const SHIFTED: f64 = 3.2;
/// A time is slow where it is this many standard deviations above the typical one.
const SLOW: f64 = 4.0;
/// Fewer groups of a kind than this are no measure for each other.
const ALIKE: f64 = 8.0;
/// Of fewer others there is no standard deviation.
const FEW: f64 = 5.0;
/// So many times in a baseline say what a place usually takes.
const PAST: usize = 8;
/// The median of a place changes by about ±35 % from one day to the next.
const DRIFT: f64 = 0.3;
/// Scatter within a place and between places is not believed to be less: ±25 %, ±60 %.
const LEAST_WITHIN: f64 = 0.25;
const LEAST_BETWEEN: f64 = 0.47;

/// Of one group (a place, a pair).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Typical {
    /// Nanoseconds.
    pub time: f64,
    /// Nanoseconds; more is slow.
    pub slow_from: f64,
    /// How far it is above its peers, in standard deviations of theirs.
    pub above_peers: f64,
    pub shifted: bool,
}

/// Of all groups of a kind.
#[derive(Clone, Debug, Default)]
pub struct Typicals {
    pub of: Vec<Typical>,
    /// The peers' median in nanoseconds.
    pub peers: f64,
}

/// Learns from the times of every group. `kinds` says which groups are alike; few of a kind are compared with all. Where the times
/// of a group in a baseline are known (`before` may end early), its own past takes its peers' place. `least` is in nanoseconds:
/// differences below it do not matter to anybody.
pub fn learn(groups: &mut [Vec<f64>], before: &[Vec<f64>], kinds: &[u8], least: f64) -> Typicals {
    let least = least.max(1.0);
    let log = |time: f64| (time + least).ln();
    let back = |log: f64| (log.exp() - least).max(0.0);
    let seen: Vec<Seen> = groups.iter_mut().map(|times| Seen::new(times, log)).collect();
    let past = |group: usize| before.get(group).filter(|times| times.len() >= PAST).map(|times| Seen::new(&mut times.clone(), log));
    let mut spreads: Vec<f64> = seen.iter().filter(|seen| seen.count >= 8.0).map(|seen| seen.spread).collect();
    let within = median(&mut spreads).max(LEAST_WITHIN);
    let idle = log(least);
    let most_work = 2 * seen.iter().filter(|seen| seen.median > idle).count() > seen.len();
    let works = |seen: &Seen| seen.count >= 1.0 && (seen.median > idle || !most_work);
    let peers = |kind: Option<u8>| {
        let alike = seen.iter().zip(kinds).filter(|(seen, of)| works(seen) && kind.is_none_or(|kind| kind == **of));
        Peers::new(&mut alike.map(|(seen, _)| seen.median).collect::<Vec<f64>>())
    };
    let all = peers(None);
    let mut of_kind: BTreeMap<u8, Peers> = BTreeMap::new();
    for kind in kinds {
        of_kind.entry(*kind).or_insert_with(|| Some(peers(Some(*kind))).filter(|peers| peers.count >= ALIKE).unwrap_or(all));
    }
    let of = seen.iter().zip(kinds).enumerate().map(|(group, (seen, kind))| {
        let past = past(group);
        let peers = of_kind[kind];
        let (centre, between) =
            past.as_ref().map_or((peers.centre, peers.scatter_without(seen.median)), |past| (past.median, DRIFT));
        // The median of a few values errs by more than their mean would: hence 1.57.
        let error = 1.57 * within * within / seen.count.max(1.0);
        let above_peers = if seen.count == 0.0 { 0.0 } else { (seen.median - centre) / (between * between + error).sqrt() };
        let shifted = above_peers > SHIFTED;
        if shifted {
            // What is nearer to the place's own median than to its peers' is part of what is wrong with it.
            return Typical { time: back(centre), slow_from: back((centre + seen.median) / 2.0), above_peers, shifted };
        }
        let own = between * between / (between * between + error);
        let typical = own * seen.usual(within) + (1.0 - own) * centre;
        // A place may scatter more than others do, but not without bounds: a fault would hide in its own scatter.
        let spread = past.map_or(seen.spread.clamp(within, 1.5 * within), |past| past.tail.max(within));
        let slow_from = back(typical + SLOW * (spread * spread + own * error).sqrt());
        Typical { time: back(typical), slow_from, above_peers, shifted }
    });
    Typicals { of: of.collect(), peers: back(all.centre) }
}

/// Medians of groups that are alike, as logarithms.
#[derive(Clone, Copy, Debug)]
struct Peers {
    count: f64,
    centre: f64,
    scatter: f64,
    sum: f64,
    squares: f64,
}

impl Peers {
    fn new(medians: &mut [f64]) -> Self {
        let (centre, scatter) = centre_and_scatter(medians);
        let squares = medians.iter().map(|median| (median - centre) * (median - centre)).sum();
        let sum = medians.iter().map(|median| median - centre).sum();
        Self { count: medians.len() as f64, centre, scatter, sum, squares }
    }

    /// How much the others scatter. Of a few the median distance says little, and the standard deviation is only misled by the one
    /// that is left out here.
    fn scatter_without(&self, median: f64) -> f64 {
        let others = self.count - 1.0;
        if others < FEW {
            return self.scatter.max(LEAST_BETWEEN);
        }
        let (sum, squares) = (self.sum - (median - self.centre), self.squares - (median - self.centre).powi(2));
        let variance = (squares - sum * sum / others) / (others - 1.0);
        variance.max(0.0).sqrt().min(self.scatter).max(LEAST_BETWEEN)
    }
}

/// What the times of one group look like, as logarithms.
struct Seen {
    count: f64,
    median: f64,
    /// Below the median, so that a few slow ones do not show.
    low: f64,
    /// Standard deviation, as the quicker half has it.
    spread: f64,
    /// The same, as the slowest have it.
    tail: f64,
}

impl Seen {
    fn new(times: &mut [f64], log: impl Fn(f64) -> f64) -> Self {
        for time in times.iter_mut() {
            *time = log(*time);
        }
        let [least, low, middle, high] = [0.1, 0.3, 0.45, 0.98].map(|share| quantile(times, share));
        let median = median(times);
        // Of a normal distribution 10 % and 45 % are 1.156 standard deviations apart, 50 % and 98 % are 2.054.
        let (spread, tail) = ((middle - least) / 1.156, (high - median) / 2.054);
        Self { count: times.len() as f64, median, low, spread, tail }
    }

    /// The median as it would be without the slow ones among them.
    fn usual(&self, within: f64) -> f64 {
        // Of a normal distribution 30 % is 0.524 standard deviations below the median.
        (self.low + 0.524 * self.spread.min(1.5 * within)).min(self.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, LogNormal};

    /// Times around `median_ms`, in nanoseconds.
    fn times(count: usize, median_ms: f64, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let distribution = LogNormal::new((median_ms * 1e6).ln(), 0.4).unwrap();
        (0..count).map(|_| distribution.sample(&mut rng)).collect()
    }

    fn peers(count: usize) -> Vec<Vec<f64>> {
        (0..30_u32).map(|n| times(count, 1.0 + 0.3 * f64::from(n), n.into())).collect()
    }

    #[test]
    fn a_place_is_typical_by_itself_and_hardly_ever_slow() {
        let mut groups = peers(2_000);
        let copy = groups.clone();
        let found = learn(&mut groups, &[], &[0; 30], 1e5);
        let slow: usize =
            copy.iter().zip(&found.of).map(|(times, typical)| times.iter().filter(|time| **time > typical.slow_from).count()).sum();
        assert!(slow < 20, "{slow} of 60000 are slow");
        assert!(found.of.iter().all(|typical| !typical.shifted));
        assert!((0.9e6..1.1e6).contains(&found.of[0].time), "{:?}", found.of[0]);
    }

    #[test]
    fn a_slow_third_does_not_hide_itself() {
        let mut groups = peers(100);
        groups[3][..33].fill(3e8);
        let found = learn(&mut groups, &[], &[0; 30], 1e5).of[3];
        assert!(!found.shifted && found.slow_from < 5e7, "{found:?}");
    }

    #[test]
    fn a_place_that_is_always_slow_is_measured_by_its_peers_even_if_seen_but_twice() {
        for count in [2, 100] {
            let mut groups = peers(count);
            groups[3] = times(count, 400.0, 7);
            let found = learn(&mut groups, &[], &[0; 30], 1e5);
            assert!(found.of[3].shifted && found.of[3].slow_from < 2e8, "{:?}", found.of[3]);
            assert_eq!(found.of.iter().filter(|typical| typical.shifted).count(), 1);
        }
    }

    #[test]
    fn what_was_always_slow_is_typical_and_what_became_slow_is_not() {
        let mut groups = peers(100);
        let mut before = groups.clone();
        (before[3], groups[3]) = (times(100, 400.0, 8), times(100, 400.0, 7));
        groups[4] = times(100, 20.0, 7);
        let found = learn(&mut groups, &before, &[0; 30], 1e5);
        assert!(!found.of[3].shifted && found.of[3].slow_from > 4e8, "{:?}", found.of[3]);
        assert!(found.of[4].shifted && found.of[4].slow_from < 2e7, "{:?}", found.of[4]);
    }

    #[test]
    fn nothing_and_zeros_make_no_trouble() {
        assert!(learn(&mut [], &[], &[], 1e5).of.is_empty());
        let found = learn(&mut [vec![], vec![0.0; 5]], &[], &[0, 0], 0.0);
        assert!(found.of.iter().all(|typical| typical.time == 0.0 && !typical.shifted), "{found:?}");
    }
}
