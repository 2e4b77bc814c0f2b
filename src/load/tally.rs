//! Counts what happens in a run, in memory that does not grow with the number of calls.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::report::{ButtonReport, Call, Latency, Report, Snapshot};

/// As many calls are named one by one as slowest, and as many as failed.
const NAMED: usize = 10;
/// Up to this many buttons each has a histogram as precise as the one in all.
const PRECISE_BUTTONS: usize = 100;

/// All that a run has counted so far.
pub(super) struct Tally {
    all: Track,
    /// In the order of the plan's buttons.
    buttons: Vec<(u16, Track)>,
    /// Slowest first.
    slowest: Vec<Call>,
    /// The first ones.
    failed: Vec<Call>,
}

/// How one call ended.
pub(super) struct Ended<'a> {
    /// Index into the plan's buttons.
    pub button: usize,
    pub latency: Duration,
    pub trace_id: Option<&'a str>,
    /// What went wrong.
    pub error: Option<String>,
}

struct Track {
    calls: u64,
    errors: u64,
    sum: Duration,
    max: Duration,
    /// Of microseconds.
    histogram: Histogram<u32>,
}

impl Tally {
    pub fn new(buttons: &[u16]) -> Self {
        // Three digits cost some 50 KB a button where latencies reach from 1 ms to 1 s, two digits a tenth of that.
        let digits = if buttons.len() <= PRECISE_BUTTONS { 3 } else { 2 };
        Self {
            all: Track::new(3),
            buttons: buttons.iter().map(|button| (*button, Track::new(digits))).collect(),
            slowest: Vec::with_capacity(NAMED + 1),
            failed: Vec::new(),
        }
    }

    pub fn calls(&self) -> u64 {
        self.all.calls
    }

    /// Will the next failure be named, so that finding out what it was is worth the time?
    pub fn names_failures(&self) -> bool {
        self.failed.len() < NAMED
    }

    pub fn add(&mut self, ended: Ended<'_>) {
        let Ended { button, latency, trace_id, error } = ended;
        let (number, track) = &mut self.buttons[button];
        track.add(latency, error.is_some());
        self.all.add(latency, error.is_some());
        let call = |error| Call { trace_id: trace_id.map(str::to_owned), button: *number, latency_ms: ms(latency), error };
        let slow = self.slowest.len() < NAMED || self.slowest.last().is_some_and(|least| ms(latency) > least.latency_ms);
        if slow && trace_id.is_some() {
            let position = self.slowest.partition_point(|slower| slower.latency_ms >= ms(latency));
            self.slowest.insert(position, call(None));
            self.slowest.truncate(NAMED);
        }
        if error.is_some() && self.failed.len() < NAMED {
            self.failed.push(call(error));
        }
    }

    pub fn snapshot(&self, total: u64, elapsed: Duration) -> Snapshot {
        Snapshot {
            calls: self.all.calls,
            total,
            errors: self.all.errors,
            seconds: rounded(elapsed.as_secs_f64()),
            rate: rate(self.all.calls, elapsed),
            latency_ms: self.all.latency(),
        }
    }

    pub fn report(self, elapsed: Duration) -> Report {
        Report {
            calls: self.all.calls,
            errors: self.all.errors,
            seconds: rounded(elapsed.as_secs_f64()),
            rate: rate(self.all.calls, elapsed),
            latency_ms: self.all.latency(),
            buttons: self
                .buttons
                .iter()
                .map(|(button, track)| ButtonReport {
                    button: *button,
                    calls: track.calls,
                    errors: track.errors,
                    latency_ms: track.latency(),
                })
                .collect(),
            slowest: self.slowest,
            failed: self.failed,
            cancelled: false,
            lost: None,
            links: None,
            histogram: self.all.histogram,
        }
    }
}

impl Track {
    fn new(digits: u8) -> Self {
        Self {
            calls: 0,
            errors: 0,
            sum: Duration::ZERO,
            max: Duration::ZERO,
            histogram: Histogram::new(digits).expect("one to five digits are possible"),
        }
    }

    fn add(&mut self, latency: Duration, failed: bool) {
        self.calls += 1;
        self.errors += u64::from(failed);
        self.sum += latency;
        self.max = self.max.max(latency);
        // It grows as far as its values need, so that there is no value it cannot take.
        let _ = self.histogram.record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Mean and maximum are exact, which a histogram's are not; no percentile exceeds the maximum.
    fn latency(&self) -> Latency {
        let percentile = |q| ms(Duration::from_micros(self.histogram.value_at_quantile(q)).min(self.max));
        Latency {
            mean: if self.calls == 0 { 0.0 } else { rounded(self.sum.as_secs_f64() * 1e3 / self.calls as f64) },
            p50: percentile(0.5),
            p95: percentile(0.95),
            p99: percentile(0.99),
            max: ms(self.max),
        }
    }
}

/// To the microsecond: more digits would be noise.
pub(super) fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3)
}

fn rate(calls: u64, elapsed: Duration) -> f64 {
    if elapsed.is_zero() { 0.0 } else { rounded(calls as f64 / elapsed.as_secs_f64()) }
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(latencies_ms: impl IntoIterator<Item = u64>) -> Tally {
        let mut tally = Tally::new(&[4, 7]);
        for (n, latency) in latencies_ms.into_iter().enumerate() {
            let trace_id = format!("{latency:032x}");
            let error = (latency % 10 == 0).then(|| "no".to_owned());
            tally.add(Ended { button: n % 2, latency: Duration::from_millis(latency), trace_id: Some(&trace_id), error });
        }
        tally
    }

    #[test]
    fn percentiles_are_within_a_thousandth_and_never_above_the_maximum() {
        let report = tally(1..=1_000).report(Duration::from_secs(2));
        let latency = report.latency_ms;
        assert!((latency.p50 - 500.0).abs() <= 0.5, "{latency:?}");
        assert!((latency.p95 - 950.0).abs() <= 0.95, "{latency:?}");
        assert!(latency.p99 <= latency.max);
        assert_eq!((latency.mean, latency.max), (500.5, 1_000.0));
        assert_eq!((report.calls, report.errors, report.rate), (1_000, 100, 500.0));
        let buttons: Vec<_> = report.buttons.iter().map(|button| (button.button, button.calls, button.errors)).collect();
        assert_eq!(buttons, [(4, 500, 0), (7, 500, 100)]);
    }

    #[test]
    fn the_slowest_calls_come_slowest_first_whatever_their_order_was() {
        let shuffled = (0..1_000).map(|n| n * 377 % 1_000 + 1);
        let report = tally(shuffled).report(Duration::from_secs(1));
        let slowest: Vec<f64> = report.slowest.iter().map(|call| call.latency_ms).collect();
        assert_eq!(slowest, [1000.0, 999.0, 998.0, 997.0, 996.0, 995.0, 994.0, 993.0, 992.0, 991.0]);
        assert_eq!(report.slowest[0].trace_id.as_deref(), Some("000000000000000000000000000003e8"));
        assert_eq!(report.failed.len(), NAMED);
        assert_eq!(report.failed[0].error.as_deref(), Some("no"));
    }

    #[test]
    fn a_run_that_was_cut_short_before_its_first_answer_has_zeros_and_no_infinities() {
        let report = tally([]).report(Duration::ZERO);
        assert_eq!(report.latency_ms, Latency { mean: 0.0, p50: 0.0, p95: 0.0, p99: 0.0, max: 0.0 });
        assert_eq!(report.rate, 0.0);
    }
}
