//! All that a run counted, in a form to which the counts of other runs can be added: `load --json --counts` says it, `load --merge` adds
//! it up.
//!
//! Every run has the same buckets, so that their sums are what one run with all of the calls would have counted; means and maxima are
//! exact anyway. The slowest of all are among the slowest of each.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::report::{Call, Report};
use super::tally::{COARSE, PRECISE, Tally, Track};

/// Digits that a histogram of ours may have.
const DIGITS: std::ops::RangeInclusive<u8> = COARSE..=PRECISE;

/// Microseconds, 285 years: nothing takes as long, and sums of a few have room beside it.
const LONGEST: u64 = 1 << 53;

/// What a report leaves out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// Milliseconds since 1970, by the clock of the machine that made the calls.
    started_ms: u64,
    /// Where a reader's browser finds Jaeger.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    jaeger: Option<String>,
    all: Counted,
    buttons: Vec<OfButton>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OfButton {
    button: u16,
    #[serde(flatten)]
    counted: Counted,
}

/// Of one button, or of all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Counted {
    pub calls: u64,
    pub errors: u64,
    pub sum_ns: u64,
    pub max_ns: u64,
    /// Decimal digits that the buckets tell apart.
    pub digits: u8,
    /// Buckets that are not empty: a value in it, in microseconds, and how many calls took that long.
    pub latency_us: Vec<(u64, u32)>,
}

/// Why a result cannot be added to others.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    #[error("this is no result of `tracelab load --json --counts`")]
    Unreadable(#[from] serde_json::Error),
    #[error("this result says too little to be merged; `tracelab load --json --counts` says all")]
    NoCounts,
    #[error("this result is damaged: its counts do not add up to its calls")]
    Sum,
    #[error("this result is damaged: there is no histogram of {0} digits")]
    Digits(u8),
    #[error("this result is damaged: there is no such latency")]
    Latency,
    #[error("more than {} calls do not fit into one table", u32::MAX)]
    TooMany,
}

impl Counts {
    pub(super) fn of(report: &Report, ended: SystemTime) -> Self {
        let ran = Duration::try_from_secs_f64(report.seconds).unwrap_or_default();
        let ended = ended.duration_since(UNIX_EPOCH).unwrap_or_default();
        let buttons = report.tracks.buttons.iter();
        Self {
            started_ms: whole_ms(ended).saturating_sub(whole_ms(ran)),
            jaeger: report.links.clone(),
            all: report.tracks.all.counted(),
            buttons: buttons.map(|(button, track)| OfButton { button: *button, counted: track.counted() }).collect(),
        }
    }
}

impl Counted {
    pub fn check(&self) -> Result<(), Damaged> {
        if !DIGITS.contains(&self.digits) {
            return Err(Damaged::Digits(self.digits));
        }
        if self.latency_us.iter().any(|(latency, _)| *latency > LONGEST) {
            return Err(Damaged::Latency);
        }
        let counted: u64 = self.latency_us.iter().map(|(_, count)| u64::from(*count)).sum();
        if counted == self.calls && self.errors <= self.calls { Ok(()) } else { Err(Damaged::Sum) }
    }
}

/// A report's seconds have as many digits.
fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.saturating_add(Duration::from_micros(500)).as_millis()).unwrap_or(u64::MAX)
}

/// What is read of a result.
#[derive(Deserialize)]
struct Part {
    seconds: f64,
    slowest: Vec<Call>,
    failed: Vec<Call>,
    runs: Option<u64>,
    #[serde(default)]
    cancelled: bool,
    lost: Option<String>,
    counts: Option<Counts>,
}

/// Several runs as one. They may have been at the same time, on different machines, with different buttons.
#[derive(Default)]
pub struct Together {
    runs: u64,
    all: Option<Track>,
    buttons: BTreeMap<u16, Track>,
    slowest: Vec<Call>,
    failed: Vec<Call>,
    /// The first begin and the last end, in milliseconds since 1970.
    times: Option<(u64, u64)>,
    cancelled: bool,
    lost: Option<String>,
    jaeger: Option<String>,
}

impl Together {
    /// Adds one result, as `load --json --counts` prints it.
    ///
    /// # Errors
    /// It is none, or does not agree with itself. What has been added before is then of no more use.
    pub fn add(&mut self, result: &[u8]) -> Result<(), Damaged> {
        let Part { seconds, slowest, failed, runs, cancelled, lost, counts } = serde_json::from_slice(result)?;
        let Counts { started_ms, jaeger, all, buttons } = counts.ok_or(Damaged::NoCounts)?;
        let of_buttons = buttons.iter().map(|button| button.counted.calls).try_fold(0_u64, u64::checked_add);
        if of_buttons != Some(all.calls) {
            return Err(Damaged::Sum);
        }
        self.all.get_or_insert_with(|| Track::new(PRECISE)).add_counted(&all)?;
        for OfButton { button, counted } in buttons {
            self.buttons.entry(button).or_insert_with(|| Track::new(PRECISE)).add_counted(&counted)?;
        }
        let ran = Duration::try_from_secs_f64(seconds).map_err(|_| Damaged::Latency)?;
        let ended_ms = started_ms.saturating_add(whole_ms(ran));
        let (first, last) = self.times.unwrap_or((started_ms, ended_ms));
        self.times = Some((first.min(started_ms), last.max(ended_ms)));
        self.runs = self.runs.saturating_add(runs.unwrap_or(1));
        self.slowest.extend(slowest);
        self.failed.extend(failed);
        self.cancelled |= cancelled;
        self.lost = self.lost.take().or(lost);
        self.jaeger = self.jaeger.take().or(jaeger);
        Ok(())
    }

    /// Of all that was added; none where nothing was. `seconds` are those from the first begin to the last end.
    pub fn report(self) -> Option<Report> {
        let (first, last) = self.times?;
        let mut tally = Tally::of(self.all?, self.buttons.into_iter().collect());
        self.slowest.into_iter().for_each(|call| tally.name_slow(call));
        self.failed.into_iter().for_each(|call| tally.name_failed(call));
        let elapsed = Duration::from_millis(last - first);
        let ended = UNIX_EPOCH.checked_add(Duration::from_millis(last));
        let (runs, cancelled) = (Some(self.runs), self.cancelled);
        Some(Report { runs, cancelled, lost: self.lost, links: self.jaeger, ended, ..tally.report(elapsed) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::Ended;
    use super::*;

    /// Latencies over five decades, as calls of some run, each with the button and whether it fails.
    fn calls() -> Vec<(usize, Duration, bool)> {
        (0..20_000_u64).map(|n| (usize::try_from(n % 3).unwrap(), latency(n), n % 97 == 0)).collect()
    }

    fn latency(n: u64) -> Duration {
        // A multiplicative hash spreads the digits, and the power the magnitudes.
        let hash = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24);
        Duration::from_nanos((1e4 * 10_f64.powf(5.0 * hash)) as u64)
    }

    fn run<'a>(buttons: &[u16], calls: impl IntoIterator<Item = &'a (usize, Duration, bool)>, seconds: f64) -> Report {
        let mut tally = Tally::new(buttons);
        for (button, latency, failed) in calls {
            let trace_id = format!("{:032x}", latency.as_nanos());
            tally.add(Ended { button: *button, latency: *latency, trace_id: Some(&trace_id), error: failed.then(|| "no".into()) });
        }
        tally.report(Duration::from_secs_f64(seconds))
    }

    /// As it is printed.
    fn line(report: Report, ended_ms: u64) -> Vec<u8> {
        serde_json::to_vec(&report.with_counts(UNIX_EPOCH + Duration::from_millis(ended_ms))).unwrap()
    }

    fn together<'a>(lines: impl IntoIterator<Item = &'a Vec<u8>>) -> Report {
        let mut together = Together::default();
        lines.into_iter().for_each(|line| together.add(line).unwrap());
        together.report().unwrap()
    }

    /// All that people read, but for the first line and the list of failures, which say how many runs there were.
    fn table(report: &Report) -> String {
        let text = report.text(None);
        let (_, table) = text.split_once('\n').unwrap();
        table.split("\nfailed").next().unwrap().to_owned()
    }

    #[test]
    fn seven_uneven_runs_together_are_the_one_that_made_all_of_the_calls() {
        let calls = calls();
        let one = run(&[4, 7, 9], &calls, 10.0);
        let parts =
            (0..7).map(|part| run(&[4, 7, 9], calls.iter().enumerate().filter(|(n, _)| n * n % 7 == part).map(|(_, c)| c), 10.0));
        let lines: Vec<_> = parts.map(|part| line(part, 50_000)).collect();

        let merged = together(&lines);

        assert_eq!(table(&merged), table(&one));
        assert_eq!((merged.calls, merged.errors, merged.seconds, merged.runs), (20_000, one.errors, 10.0, Some(7)));
        assert_eq!(merged.slowest, one.slowest);
        // Bucket by bucket, and in whatever order they come.
        assert_eq!(merged.tracks.all.histogram, one.tracks.all.histogram);
        for ((_, merged), (_, one)) in merged.tracks.buttons.iter().zip(&one.tracks.buttons) {
            assert_eq!(merged.histogram, one.histogram);
        }
        assert_eq!(table(&together(lines.iter().rev())), table(&one));
    }

    #[test]
    fn what_was_merged_can_be_merged_again() {
        let calls = calls();
        let parts = calls.chunks(5_000).zip(1_790_000_000_123..);
        let lines: Vec<_> = parts.map(|(part, ended)| line(run(&[0, 1, 2], part, 2.345), ended)).collect();
        // The halves at some later time.
        let halves =
            [(&lines[..2], 1_800_000_060_000), (&lines[2..], 1_800_000_099_000)].map(|(half, now)| line(together(half), now));
        let (twice, once) = (together(&halves), together(&lines));
        assert_eq!((twice.runs, table(&twice)), (Some(4), table(&once)));
        assert_eq!(serde_json::to_value(&twice).unwrap(), serde_json::to_value(&once).unwrap());
    }

    #[test]
    fn runs_with_so_many_buttons_that_each_has_fewer_digits_add_up_to_those_digits() {
        let calls = calls();
        let many: Vec<u16> = (0..200).collect();
        let (first, second) = calls.split_at(8_000);
        let lines = [line(run(&[0, 1, 2], first, 1.0), 1_000), line(run(&many, second, 1.0), 1_000)];
        let one = run(&many, &calls, 1.0);
        for merged in [together(&lines), together(lines.iter().rev())] {
            assert_eq!(merged.tracks.all.histogram, one.tracks.all.histogram);
            for (n, (_, track)) in merged.tracks.buttons.iter().take(3).enumerate() {
                assert_eq!(track.histogram, one.tracks.buttons[n].1.histogram);
            }
        }
    }

    #[test]
    fn runs_on_several_machines_take_from_the_first_begin_to_the_last_end() {
        let calls = calls();
        // From 10 s to 12 s, and from 11 s to 15 s.
        let lines = [line(run(&[0, 1, 2], &calls, 2.0), 12_000), line(run(&[0, 1, 2], &calls, 4.0), 15_000)];
        let merged = together(&lines);
        assert_eq!((merged.seconds, merged.rate), (5.0, 8_000.0));
        assert!(merged.text(None).starts_with("40000 calls of 2 runs in 5.00 s, 8000.0 a second, "), "{}", merged.text(None));
    }

    #[test]
    fn a_run_that_was_cut_short_is_not_taken_for_a_whole_one() {
        let calls = calls();
        let cut = Report { cancelled: true, lost: Some("the frontend is gone".into()), ..run(&[0, 1, 2], &calls[..100], 1.0) };
        let merged = together(&[line(run(&[0, 1, 2], &calls, 1.0), 5_000), line(cut, 5_000)]);
        assert!(merged.cancelled);
        assert_eq!(merged.lost.as_deref(), Some("the frontend is gone"));
    }

    #[test]
    fn a_run_without_an_answer_changes_nothing_but_the_number_of_runs() {
        let calls = calls();
        let whole = line(run(&[0, 1, 2], &calls, 1.0), 5_000);
        let merged = together(&[line(run(&[], [], 0.0), 5_000), whole.clone()]);
        assert_eq!((merged.runs, table(&merged)), (Some(2), table(&together(&[whole]))));
    }

    #[test]
    fn what_does_not_agree_with_itself_is_refused() {
        let whole = serde_json::to_value(run(&[0, 1, 2], &calls(), 1.0).with_counts(UNIX_EPOCH)).unwrap();
        let says = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut result = whole.clone();
            change(&mut result);
            Together::default().add(&serde_json::to_vec(&result).unwrap()).unwrap_err().to_string()
        };
        let sum = "this result is damaged: its counts do not add up to its calls";
        assert_eq!(says(&|result| result["counts"]["all"]["latency_us"][0][1] = 70_000.into()), sum);
        assert_eq!(says(&|result| result["counts"]["buttons"][1]["calls"] = 0.into()), sum);
        assert_eq!(says(&|result| result["counts"]["buttons"][1]["errors"] = 20_000.into()), sum);
        let latency = "this result is damaged: there is no such latency";
        for seconds in [-1.0, 1e300] {
            assert_eq!(says(&|result| result["seconds"] = seconds.into()), latency);
        }
        assert_eq!(says(&|result| result["counts"]["all"]["latency_us"][0][0] = u64::MAX.into()), latency);
        // The largest numbers make an odd table, and nothing worse.
        let mut long = whole.clone();
        long["seconds"] = 1e19.into();
        long["counts"]["started_ms"] = u64::MAX.into();
        long["counts"]["all"]["sum_ns"] = u64::MAX.into();
        long["counts"]["all"]["latency_us"][0][0] = LONGEST.into();
        let mut together = Together::default();
        (0..2).for_each(|_| together.add(&serde_json::to_vec(&long).unwrap()).unwrap());
        assert!(together.report().unwrap().with_counts(UNIX_EPOCH).text(None).contains(" of 2 runs in "));
        let digits = says(&|result| result["counts"]["all"]["digits"] = 9.into());
        assert_eq!(digits, "this result is damaged: there is no histogram of 9 digits");
        let none = says(&|result| drop(result.as_object_mut().unwrap().remove("counts")));
        assert_eq!(none, "this result says too little to be merged; `tracelab load --json --counts` says all");
        let other = Together::default().add(b"{}").unwrap_err().to_string();
        assert_eq!(other, "this is no result of `tracelab load --json --counts`");
        assert!(Together::default().report().is_none());
    }
}
