//! How all traces would fare were one suspect's fault mended.
//!
//! Each trace is replayed without what its critical path is charged with. That takes the charge as given: what runs beside the path
//! and would now be waited for has to be left out of it by whoever charges. A trace that failed keeps its other time, although work
//! that the failure cut short might lengthen it.

use super::{Change, Charge, Effect};

/// How one trace went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Nanoseconds, of its critical path.
    pub duration: u64,
    pub failed: bool,
}

/// The outcomes are those of all traces, by index; charges that name no trace among them count for nothing, several for one add up.
pub fn effect(now: &[Outcome], charged: &[Charge]) -> Effect {
    let mut fixed = now.to_vec();
    let mut touched = vec![false; now.len()];
    for charge in charged {
        let at = charge.trace as usize;
        let Some(outcome) = fixed.get_mut(at) else { continue };
        outcome.duration = outcome.duration.saturating_sub(charge.excess);
        outcome.failed &= !charge.failed;
        touched[at] = true;
    }
    let (now, fixed) = (Figures::of(now), Figures::of(&fixed));
    let change = |figure: fn(&Figures) -> f64| Change { now: figure(&now), fixed: figure(&fixed) };
    Effect {
        traces: touched.iter().filter(|touched| **touched).count() as u64,
        p50_ms: change(|all| all.p50_ms),
        p99_ms: change(|all| all.p99_ms),
        mean_ms: change(|all| all.mean_ms),
        error_share: change(|all| all.error_share),
    }
}

#[derive(Debug, Default)]
struct Figures {
    p50_ms: f64,
    p99_ms: f64,
    mean_ms: f64,
    error_share: f64,
}

impl Figures {
    fn of(outcomes: &[Outcome]) -> Self {
        if outcomes.is_empty() {
            return Self::default();
        }
        let mut durations: Vec<u64> = outcomes.iter().map(|outcome| outcome.duration).collect();
        let failed = outcomes.iter().filter(|outcome| outcome.failed).count();
        let sum: u128 = durations.iter().map(|duration| u128::from(*duration)).sum();
        let count = durations.len();
        let mut percentile = |percent: usize| {
            // The smallest duration that so many percent do not exceed.
            let rank = (count * percent).div_ceil(100).max(1) - 1;
            ms(*durations.select_nth_unstable(rank).1 as f64)
        };
        Self {
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            mean_ms: ms(sum as f64 / count as f64),
            error_share: failed as f64 / count as f64,
        }
    }
}

fn ms(ns: f64) -> f64 {
    ns / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn of_ms(durations: impl IntoIterator<Item = u64>) -> Vec<Outcome> {
        durations.into_iter().map(|ms| Outcome { duration: ms * MS, failed: false }).collect()
    }

    #[test]
    fn what_is_charged_is_gone_once_fixed() {
        let mut outcomes = of_ms(1..=98);
        outcomes.extend(of_ms([2000, 3000]));
        outcomes[99].failed = true;
        let charged = [
            Charge { trace: 98, excess: 1990 * MS, failed: false },
            Charge { trace: 99, excess: 1000 * MS, failed: false },
            Charge { trace: 99, excess: 1960 * MS, failed: true },
        ];
        let expected = Effect {
            traces: 2,
            p50_ms: Change { now: 50.0, fixed: 48.0 },
            p99_ms: Change { now: 2000.0, fixed: 97.0 },
            mean_ms: Change { now: 98.51, fixed: 49.01 },
            error_share: Change { now: 0.01, fixed: 0.0 },
        };
        assert_eq!(effect(&outcomes, &charged), expected);
    }

    #[test]
    fn a_failure_alone_changes_no_time() {
        let mut outcomes = of_ms([10, 10]);
        outcomes[0].failed = true;
        let found = effect(&outcomes, &[Charge { trace: 0, excess: 0, failed: true }]);
        assert_eq!((found.mean_ms, found.error_share), (Change { now: 10.0, fixed: 10.0 }, Change { now: 0.5, fixed: 0.0 }));
    }

    #[test]
    fn a_charge_is_no_more_than_the_trace_and_of_no_trace_nothing() {
        let found = effect(
            &of_ms([10]),
            &[Charge { trace: 0, excess: 20 * MS, failed: false }, Charge { trace: 7, excess: 1, failed: true }],
        );
        assert_eq!((found.traces, found.p99_ms), (1, Change { now: 10.0, fixed: 0.0 }));
        assert_eq!(effect(&[], &[]), Effect::default());
    }
}
