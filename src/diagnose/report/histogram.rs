//! How long traces take, with those apart that a suspect concerns, and how it would be were it fixed.

use serde::Serialize;

use crate::diagnose::Charge;
use crate::diagnose::effect::Outcome;

const COLUMNS: usize = 56;
/// Shorter than any trace that somebody waits for; keeps a trace of no duration on the scale.
const SHORTEST: u64 = 1000;

/// Columns of equal width on a logarithmic scale.
#[derive(Debug, PartialEq)]
pub struct Histogram {
    pub columns: Vec<Column>,
    /// Where round durations stand, from 0 to 1, and how many milliseconds they are.
    pub ticks: Vec<(f64, f64)>,
    /// Nanoseconds, at the ends of the scale.
    from: f64,
    to: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Column {
    /// Milliseconds.
    #[serde(rename = "from_ms")]
    pub from: f64,
    #[serde(rename = "to_ms")]
    pub to: f64,
    /// Traces that the suspect does not concern, those that it does, and all of them were it fixed.
    pub others: u64,
    pub concerned: u64,
    pub fixed: u64,
}

impl Histogram {
    /// `charged` is what a suspect is charged with; empty where there is none.
    pub fn of(outcomes: &[Outcome], charged: &[Charge]) -> Self {
        let mut fixed: Vec<u64> = outcomes.iter().map(|outcome| outcome.duration).collect();
        let mut concerned = vec![false; outcomes.len()];
        for charge in charged {
            if let Some(duration) = fixed.get_mut(charge.trace as usize) {
                *duration = duration.saturating_sub(charge.excess);
                concerned[charge.trace as usize] = true;
            }
        }
        let all = || outcomes.iter().map(|outcome| outcome.duration).chain(fixed.iter().copied()).map(|one| one.max(SHORTEST));
        let from = all().min().unwrap_or(SHORTEST) as f64;
        // Wide enough for a scale even where all traces take the same time.
        let to = (all().max().unwrap_or(SHORTEST) as f64).max(from * 1.5);
        let mut histogram = Self { columns: vec![Column::default(); COLUMNS], ticks: Vec::new(), from, to };
        for (at, column) in histogram.columns.iter_mut().enumerate() {
            let edge = |at: usize| from * (to / from).powf(at as f64 / COLUMNS as f64) / 1e6;
            (column.from, column.to) = (edge(at), edge(at + 1));
        }
        for ((outcome, fixed), concerned) in outcomes.iter().zip(&fixed).zip(&concerned) {
            let column = histogram.column(outcome.duration);
            *(if *concerned { &mut column.concerned } else { &mut column.others }) += 1;
            histogram.column(*fixed).fixed += 1;
        }
        histogram.ticks = ticks(from / 1e6, to / 1e6).map(|ms| (histogram.place(ms * 1e6), ms)).collect();
        histogram
    }

    fn column(&mut self, duration: u64) -> &mut Column {
        let at = self.place(duration as f64) * COLUMNS as f64;
        &mut self.columns[(at as usize).min(COLUMNS - 1)]
    }

    /// Where a duration of so many nanoseconds stands, from 0 to 1.
    pub fn place(&self, ns: f64) -> f64 {
        ((ns.max(SHORTEST as f64) / self.from).ln() / (self.to / self.from).ln()).clamp(0.0, 1.0)
    }

    /// Of the highest column, in either picture.
    pub fn highest(&self) -> u64 {
        self.columns.iter().map(|column| (column.others + column.concerned).max(column.fixed)).max().unwrap_or(0).max(1)
    }
}

/// Round numbers in a range: powers of ten, and where those are few also twice and five times them.
fn ticks(from: f64, to: f64) -> impl Iterator<Item = f64> {
    let steps: &[f64] = if to / from > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades = from.log10().floor() as i32..=to.log10().ceil() as i32;
    decades.flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade))).filter(move |ms| (from..=to).contains(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(ms: &[u64]) -> Vec<Outcome> {
        ms.iter().map(|ms| Outcome { duration: ms * 1_000_000, failed: false }).collect()
    }

    #[test]
    fn every_trace_is_in_a_column_that_spans_its_duration() {
        let histogram = Histogram::of(&outcomes(&[10, 20, 40, 1000]), &[Charge { trace: 3, excess: 960_000_000, failed: false }]);
        let full = |count: fn(&Column) -> u64| histogram.columns.iter().filter(move |column| count(column) > 0).collect::<Vec<_>>();
        let (others, concerned, fixed) =
            (full(|column| column.others), full(|column| column.concerned), full(|column| column.fixed));
        assert_eq!((others.len(), concerned.len(), fixed.len()), (3, 1, 3));
        assert!(others[1].from <= 20.0 && 20.0 <= others[1].to);
        assert_eq!((concerned[0].to.round(), fixed[2].fixed), (1000.0, 2));
        assert_eq!(histogram.ticks.iter().map(|(_, ms)| *ms).collect::<Vec<_>>(), [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
    }

    #[test]
    fn traces_of_one_duration_or_none_are_no_matter() {
        for ms in [&[][..], &[0], &[7, 7, 7]] {
            let histogram = Histogram::of(&outcomes(ms), &[]);
            assert_eq!(histogram.columns.iter().map(|column| column.others).sum::<u64>(), ms.len() as u64);
            assert!(histogram.columns.iter().all(|column| column.from < column.to));
        }
    }
}
