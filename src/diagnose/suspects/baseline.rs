//! What has become worse since better times: each place and pair compared with itself in a baseline.
//!
//! A service that is ill shows in all that touches it: its own time, the gaps before it, and those before what it calls. A single
//! cell of that table may change for other reasons (another mix of requests, a cache), and all of them a little with the load of
//! the day. So the change of each cell is measured by how much cells usually change, and a service is judged by all of its cells,
//! in the manner of Stouffer's combination of independent tests.

use rustc_hash::FxHashMap;

use super::stats::centre_and_scatter;
use crate::diagnose::evidence::{Evidence, Place};
use crate::diagnose::model::Traces;

/// Fewer visits than this, here or in the baseline, are no comparison.
const COMPARABLE: f64 = 2.0;
/// Nobody's logarithms scatter less than this, however alike the few that were seen.
const LEAST_VARIANCE: f64 = 0.04;
/// Cells change by this much for no reason, at least.
const LEAST_CHANGE: f64 = 0.1;

/// A place or a pair, by names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell<'a> {
    /// Service, operation, and whether the request has been there before.
    Own(&'a str, &'a str, bool),
    /// Caller and callee.
    Gap(&'a str, &'a str),
}

/// The times of every cell, in nanoseconds.
pub fn cells<'a>(traces: &'a Traces, evidence: &Evidence) -> FxHashMap<Cell<'a>, Vec<f64>> {
    let name = |service: u32| traces.texts.get(evidence.services[service as usize]);
    let places = evidence.places.iter().enumerate().map(|(place, Place { service, operation, again })| {
        let visits = evidence.by_place.of(place as u32).iter().map(|visit| evidence.visits[*visit as usize].own as f64);
        (Cell::Own(name(*service), traces.texts.get(*operation), *again), visits.collect())
    });
    let pairs = evidence.pairs.iter().enumerate().map(|(pair, (caller, callee))| {
        (Cell::Gap(name(*caller), name(*callee)), evidence.gaps_of(pair as u32).map(|gap| gap.time as f64).collect())
    });
    places.chain(pairs).collect()
}

/// How much speaks against every service that occurs in both, by name; `least` nanoseconds matter to nobody.
pub fn scores<'a>(
    now: &FxHashMap<Cell<'a>, Vec<f64>>,
    before: &FxHashMap<Cell<'_>, Vec<f64>>,
    least: f64,
) -> FxHashMap<&'a str, f64> {
    let mut changes: Vec<(Cell<'a>, f64, f64)> = Vec::new();
    for (cell, times) in now {
        let (Some(now), Some(before)) = (Moments::of(times, least), before.get(cell).and_then(|times| Moments::of(times, least)))
        else {
            continue;
        };
        changes.push((*cell, now.mean - before.mean, now.error + before.error));
    }
    let (usual, scatter) = centre_and_scatter(&mut changes.iter().map(|(_, change, _)| *change).collect::<Vec<_>>());
    let scatter = scatter.max(LEAST_CHANGE);
    let mut services: FxHashMap<&str, [Sum; 2]> = FxHashMap::default();
    for (cell, change, error) in changes {
        let worse = ((change - usual) / (error + scatter * scatter).sqrt()).max(0.0);
        match cell {
            Cell::Own(service, ..) => services.entry(service).or_default()[0].add(worse),
            Cell::Gap(caller, callee) => {
                services.entry(caller).or_default()[1].add(worse);
                services.entry(callee).or_default()[1].add(worse);
            }
        }
    }
    services.into_iter().map(|(service, [own, gaps])| (service, own.score().hypot(gaps.score()))).collect()
}

/// Of logarithms.
struct Moments {
    mean: f64,
    /// Squared standard error of the mean.
    error: f64,
}

impl Moments {
    fn of(times: &[f64], least: f64) -> Option<Self> {
        let count = times.len() as f64;
        if count < COMPARABLE {
            return None;
        }
        let (mut sum, mut squares) = (0.0, 0.0);
        for time in times {
            let log = (time + least).ln();
            sum += log;
            squares += log * log;
        }
        let mean = sum / count;
        let variance = (squares / count - mean * mean).max(0.0) + LEAST_VARIANCE;
        Some(Self { mean, error: variance / count })
    }
}

/// Of independent standard scores.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    sum: f64,
    count: f64,
}

impl Sum {
    fn add(&mut self, score: f64) {
        self.sum += score;
        self.count += 1.0;
    }

    fn score(self) -> f64 {
        self.sum / self.count.max(1.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Cells = FxHashMap<Cell<'static>, Vec<f64>>;

    /// A chain a → b → c and a second callee of a, times of 1 ms and more that scatter a little.
    fn chain(change: impl Fn(Cell<'_>) -> f64) -> Cells {
        let cells = [
            Cell::Own("a", "o", false),
            Cell::Own("b", "o", false),
            Cell::Own("c", "o", false),
            Cell::Own("d", "o", false),
            Cell::Gap("a", "b"),
            Cell::Gap("b", "c"),
            Cell::Gap("a", "d"),
        ];
        cells
            .map(|cell| (cell, (0..50).map(|n| 1e6 * (1.0 + f64::from(n % 7) / 10.0) * change(cell)).collect()))
            .into_iter()
            .collect()
    }

    fn worst(now: &Cells) -> &'static str {
        let scores = scores(now, &chain(|_| 1.0), 1e4);
        let mut scores: Vec<_> = scores.into_iter().collect();
        scores.sort_by(|a, b| b.1.total_cmp(&a.1));
        assert!(scores[0].1 > scores[1].1, "{scores:?}");
        scores[0].0
    }

    #[test]
    fn a_service_that_became_slow_is_the_worst() {
        assert_eq!(worst(&chain(|cell| if cell == Cell::Own("b", "o", false) { 9.0 } else { 1.1 })), "b");
    }

    #[test]
    fn a_network_that_became_slow_around_a_service_speaks_against_it_and_not_against_its_neighbours() {
        assert_eq!(worst(&chain(|cell| if matches!(cell, Cell::Gap("b", _) | Cell::Gap(_, "b")) { 9.0 } else { 1.1 })), "b");
        assert_eq!(worst(&chain(|cell| if cell == Cell::Gap("a", "d") { 9.0 } else { 1.0 })), "d");
    }

    #[test]
    fn what_changed_everywhere_speaks_against_nobody() {
        let scores = scores(&chain(|_| 3.0), &chain(|_| 1.0), 1e4);
        assert!(scores.values().all(|score| *score < 0.1), "{scores:?}");
        assert!(super::scores(&chain(|_| 3.0), &Cells::default(), 1e4).is_empty());
    }
}
