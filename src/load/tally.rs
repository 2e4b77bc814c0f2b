//! Counts what happens in a run, in memory that does not grow with the number of calls.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::counts::{Counted, Damaged};
use super::report::{Bucket, ButtonReport, Call, Latency, Report, Snapshot};

/// As many calls are named one by one as slowest, and as many as failed.
const NAMED: usize = 10;
/// Up to this many buttons each has a histogram as precise as the one in all.
const PRECISE_BUTTONS: usize = 100;
/// Buckets of a latency ten times another's.
const PER_DECADE: f64 = 20.0;
/// Digits of a histogram.
pub(super) const PRECISE: u8 = 3;
pub(super) const COARSE: u8 = 2;

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

/// What remains of a tally in a report, from which other runs' can be added up.
#[derive(Clone, Debug)]
pub(super) struct Tracks {
    pub all: Track,
    pub buttons: Vec<(u16, Track)>,
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

/// What is counted of one button's calls, or of all.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub calls: u64,
    pub errors: u64,
    sum: Duration,
    max: Duration,
    /// Of microseconds.
    pub histogram: Histogram<u32>,
}

impl Tally {
    pub fn new(buttons: &[u16]) -> Self {
        // Three digits cost some 50 KB a button where latencies reach from 1 ms to 1 s, two digits a tenth of that.
        let digits = if buttons.len() <= PRECISE_BUTTONS { PRECISE } else { COARSE };
        Self {
            all: Track::new(PRECISE),
            buttons: buttons.iter().map(|button| (*button, Track::new(digits))).collect(),
            slowest: Vec::with_capacity(NAMED + 1),
            failed: Vec::new(),
        }
    }

    /// Of several runs together.
    pub fn of(all: Track, buttons: Vec<(u16, Track)>) -> Self {
        Self { all, buttons, slowest: Vec::new(), failed: Vec::new() }
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
        let number = *number;
        track.add(latency, error.is_some());
        self.all.add(latency, error.is_some());
        let call = |error| Call { trace_id: trace_id.map(str::to_owned), button: number, latency_ms: ms(latency), error };
        let slow = self.slowest.len() < NAMED || self.slowest.last().is_some_and(|least| ms(latency) > least.latency_ms);
        if slow && trace_id.is_some() {
            let call = call(None);
            self.name_slow(call);
        }
        if error.is_some() && self.failed.len() < NAMED {
            self.failed.push(call(error));
        }
    }

    /// Names a call as one of the slowest, if it is.
    pub fn name_slow(&mut self, call: Call) {
        let position = self.slowest.partition_point(|slower| slower.latency_ms >= call.latency_ms);
        self.slowest.insert(position, call);
        self.slowest.truncate(NAMED);
    }

    /// Names a call as failed, if there is room.
    pub fn name_failed(&mut self, call: Call) {
        if self.names_failures() {
            self.failed.push(call);
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
            histogram: self.all.buckets(),
            detail: None,
        }
    }

    /// How many buttons there are to be told of while the run goes on.
    pub fn told_buttons(&self) -> usize {
        if self.buttons.len() <= PRECISE_BUTTONS { self.buttons.len() } else { 0 }
    }

    /// What was counted so far of the button at `index`.
    pub fn button(&self, index: usize) -> Option<ButtonReport> {
        self.buttons.get(index).map(|(button, track)| track.of_button(*button))
    }

    /// The slowest and the failed so far.
    pub fn named(&self) -> (Vec<Call>, Vec<Call>) {
        (self.slowest.clone(), self.failed.clone())
    }

    pub fn report(self, elapsed: Duration) -> Report {
        Report {
            calls: self.all.calls,
            errors: self.all.errors,
            seconds: rounded(elapsed.as_secs_f64()),
            rate: rate(self.all.calls, elapsed),
            latency_ms: self.all.latency(),
            buttons: self.buttons.iter().map(|(button, track)| track.of_button(*button)).collect(),
            slowest: self.slowest,
            failed: self.failed,
            runs: None,
            cancelled: false,
            lost: None,
            counts: None,
            links: None,
            tracks: Tracks { all: self.all, buttons: self.buttons },
            ended: None,
        }
    }
}

impl Track {
    pub fn new(digits: u8) -> Self {
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

    pub fn counted(&self) -> Counted {
        let recorded = self.histogram.iter_recorded();
        Counted {
            calls: self.calls,
            errors: self.errors,
            sum_ns: u64::try_from(self.sum.as_nanos()).unwrap_or(u64::MAX),
            max_ns: u64::try_from(self.max.as_nanos()).unwrap_or(u64::MAX),
            digits: self.histogram.sigfig(),
            latency_us: recorded.map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value())).collect(),
        }
    }

    /// Adds what another run counted. Buckets with fewer digits are whole buckets with more, so that nothing is lost but those digits.
    pub fn add_counted(&mut self, counted: &Counted) -> Result<(), Damaged> {
        counted.check()?;
        let most = u64::from(u32::MAX);
        let calls = self.calls.checked_add(counted.calls).filter(|calls| *calls <= most).ok_or(Damaged::TooMany)?;
        if counted.digits < self.histogram.sigfig() {
            let mut coarse = Track::new(counted.digits);
            coarse.record(&self.counted().latency_us)?;
            self.histogram = coarse.histogram;
        }
        self.record(&counted.latency_us)?;
        self.calls = calls;
        self.errors += counted.errors;
        self.sum += Duration::from_nanos(counted.sum_ns);
        self.max = self.max.max(Duration::from_nanos(counted.max_ns));
        Ok(())
    }

    fn record(&mut self, latencies: &[(u64, u32)]) -> Result<(), Damaged> {
        latencies.iter().try_for_each(|(value, count)| self.histogram.record_n(*value, *count)).map_err(|_| Damaged::Latency)
    }

    fn of_button(&self, button: u16) -> ButtonReport {
        ButtonReport { button, calls: self.calls, errors: self.errors, latency_ms: self.latency() }
    }

    pub fn buckets(&self) -> Vec<Bucket> {
        // What is faster than a microsecond took one.
        let place = |micros: u64| (micros.max(1) as f64).log10() * PER_DECADE;
        let mut counts: Vec<(i32, u64)> = Vec::new();
        for recorded in self.histogram.iter_recorded() {
            // Its lowest value: the highest may be beyond the end of the bucket that most of it is in.
            let bucket = place(self.histogram.lowest_equivalent(recorded.value_iterated_to())).ceil() as i32;
            let calls = u64::from(recorded.count_at_value());
            match counts.last_mut() {
                Some((last, sum)) if *last == bucket => *sum += calls,
                _ => {
                    let next = counts.last().map_or(bucket, |(last, _)| last + 1);
                    counts.extend((next..bucket).map(|empty| (empty, 0)));
                    counts.push((bucket, calls));
                }
            }
        }
        let upper_ms = |bucket: i32| (10_f64.powf(f64::from(bucket) / PER_DECADE) * 1e3).round() / 1e6;
        counts.into_iter().map(|(bucket, calls)| (upper_ms(bucket), calls)).collect()
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
    fn buckets_hold_every_call_once_end_alike_in_every_run_and_leave_no_gap() {
        let buckets = tally([3, 4, 4, 700, 90_000]).report(Duration::from_secs(1)).histogram();
        assert_eq!(buckets.iter().map(|(_, calls)| calls).sum::<u64>(), 5);
        assert_eq!((buckets[0], buckets.last().unwrap()), ((3.162_278, 1), &(100_000.0, 1)));
        for pair in buckets.windows(2) {
            assert!((pair[1].0 / pair[0].0 - 10_f64.powf(0.05)).abs() < 1e-3, "{pair:?}");
        }
        let within = |low: f64, high: f64| {
            buckets.iter().filter(|(upper, _)| *upper > low && *upper < high).map(|(_, calls)| calls).sum::<u64>()
        };
        assert_eq!((within(3.2, 4.5), within(4.5, 700.0), within(700.0, 750.0)), (2, 0, 1));

        let others = tally([5]).report(Duration::from_secs(1)).histogram();
        assert!(buckets.iter().any(|(upper, _)| *upper == others[0].0), "{others:?}");
        let fast = Ended { button: 0, latency: Duration::from_nanos(1), trace_id: None, error: None };
        let mut tally = tally([]);
        tally.add(fast);
        assert_eq!((tally.all.buckets(), Track::new(PRECISE).buckets()), (vec![(0.001, 1)], vec![]));
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
