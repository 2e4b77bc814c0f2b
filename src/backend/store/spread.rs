//! How durations are spread: percentiles and logarithmic buckets, in memory that does not grow with their number.

use std::sync::LazyLock;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Buckets of [`Spread`] for each power of ten.
const A_DECADE: u32 = 20;
/// The upper bound of the first bucket (nanoseconds).
const FIRST: u64 = 1_000;

/// The upper bounds of the buckets in nanoseconds: 1 µs × 10^(n/20), the last without a bound.
static BOUNDS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let bound = |number: u32| FIRST as f64 * 10f64.powf(f64::from(number) / f64::from(A_DECADE));
    let mut bounds: Vec<u64> =
        (0..).map(bound).take_while(|bound| *bound < u64::MAX as f64).map(|bound| bound.round() as u64).collect();
    bounds.push(u64::MAX);
    bounds
});

/// Durations of which percentiles are wanted.
#[derive(Debug)]
pub(super) struct Percentiles {
    /// Of nanoseconds.
    histogram: Option<Histogram<u32>>,
    max: u64,
}

impl Percentiles {
    /// Within 1 %, and half a microsecond, in some 8 KB up to a second: where there are many of them.
    pub fn coarse() -> Self {
        Self::new(FIRST, 2)
    }

    /// Within 0.1 %, in some 100 KB.
    fn precise() -> Self {
        Self::new(1, 3)
    }

    fn new(lowest: u64, digits: u8) -> Self {
        let mut histogram = Histogram::new_with_bounds(lowest, lowest * 2, digits).ok();
        if let Some(histogram) = &mut histogram {
            histogram.auto(true);
        }
        Self { histogram, max: 0 }
    }

    pub fn add(&mut self, duration: u64) {
        self.max = self.max.max(duration);
        if let Some(histogram) = &mut self.histogram {
            // It grows with what it is given, and cannot fail to.
            let _ = histogram.record(duration);
        }
    }

    /// The duration (milliseconds) that this percentage did not exceed, by the nearest rank; `None` where there is none.
    pub fn ms(&self, percent: f64) -> Option<f64> {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        // A bucket of the histogram is known by its upper end.
        Some(ms(histogram.value_at_quantile(percent / 100.0).min(self.max)))
    }
}

/// Durations with their buckets.
#[derive(Debug)]
pub(super) struct Spread {
    count: u64,
    errors: u64,
    counts: Vec<u64>,
    percentiles: Percentiles,
}

/// How a [`Spread`] is told.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub count: u64,
    pub errors: u64,
    /// Upper bound in milliseconds and count: of every bucket from the first that has any to the last.
    pub buckets: Vec<(f64, u64)>,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

impl Spread {
    pub fn new() -> Self {
        Self { count: 0, errors: 0, counts: vec![0; BOUNDS.len()], percentiles: Percentiles::precise() }
    }

    pub fn add(&mut self, duration: u64, failed: bool) {
        self.count += 1;
        self.errors += u64::from(failed);
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        self.counts[bucket] += 1;
        self.percentiles.add(duration);
    }

    pub fn figures(&self) -> Figures {
        let first = self.counts.iter().position(|count| *count > 0).unwrap_or(0);
        let end = self.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        let buckets = (first..end).map(|bucket| (ms(BOUNDS[bucket]), self.counts[bucket])).collect();
        let percentile = |percent| self.percentiles.ms(percent);
        Figures {
            count: self.count,
            errors: self.errors,
            buckets,
            p50_ms: percentile(50.0),
            p95_ms: percentile(95.0),
            p99_ms: percentile(99.0),
        }
    }
}

fn ms(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_whose_bounds_it_is_between() {
        for duration in [0, 1, 1_000, 1_001, 999_999, 1_000_000, 1_000_001, 12_345_678, u64::MAX - 1, u64::MAX] {
            let mut spread = Spread::new();
            spread.add(duration, false);
            let bucket = spread.counts.iter().position(|count| *count > 0).unwrap();
            assert!(duration <= BOUNDS[bucket], "{duration}");
            assert!(bucket == 0 || duration > BOUNDS[bucket - 1], "{duration}");
        }
    }

    #[test]
    fn percentiles_are_within_their_digits_from_microseconds_to_centuries() {
        for (new, within) in [(Percentiles::coarse as fn() -> _, 0.01), (Percentiles::precise, 0.001)] {
            for unit in [10_000u64, 1_000_000, 1_000_000_000, 1_000_000_000_000_000] {
                let mut percentiles: Percentiles = new();
                (1..=100).for_each(|number| percentiles.add(number * unit));
                for percent in [50u64, 95, 99, 100] {
                    let (found, right) = (percentiles.ms(percent as f64).unwrap(), (percent * unit) as f64 / 1e6);
                    assert!(found >= right * (1.0 - within) && found <= right * (1.0 + within), "{found} for {right}");
                }
            }
        }
    }
}
