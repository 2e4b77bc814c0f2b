//! What a run found, as JSON and as text.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::tally::{Tracks, ms};

/// Rows of the histogram in [`Report::text`].
const ROWS: u64 = 16;
/// Columns of its longest bar.
const BAR: u64 = 40;

/// A run that is over. Times are milliseconds but for `seconds`; `rate` is calls per second.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Calls that ended; those in flight when a run is cut short do not count.
    pub calls: u64,
    /// Calls that ended in anything but a success.
    pub errors: u64,
    pub seconds: f64,
    pub rate: f64,
    /// Of all calls, failed ones too.
    pub latency_ms: Latency,
    /// In the plan's order.
    pub buttons: Vec<ButtonReport>,
    /// The ten slowest calls that a trace is known of, slowest first.
    pub slowest: Vec<Call>,
    /// The first ten calls that failed; of several runs together, any ten.
    pub failed: Vec<Call>,
    /// How many runs these are together; absent for a run alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<u64>,
    /// The run ended before all calls were made; absent from the JSON otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancelled: bool,
    /// Why the run ended by itself before all calls were made: the frontend went away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// All that was counted, where somebody asked for it ([`Report::with_counts`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Where the frontend says that a reader's browser finds Jaeger.
    #[serde(skip)]
    pub links: Option<String>,
    #[serde(skip)]
    pub(super) tracks: Tracks,
    /// When the last of several runs ended.
    #[serde(skip)]
    pub(super) ended: Option<SystemTime>,
}

/// A run that is under way.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    pub calls: u64,
    /// Calls that the run shall make.
    pub total: u64,
    pub errors: u64,
    pub seconds: f64,
    /// Calls per second since the start.
    pub rate: f64,
    pub latency_ms: Latency,
    /// As [`Report::histogram`].
    pub histogram: Vec<Bucket>,
    /// Not in every snapshot.
    #[serde(flatten)]
    pub detail: Option<Detail>,
}

/// What takes longer to say of a run that is under way, named as in its [`Report`].
#[derive(Clone, Debug, Serialize)]
pub struct Detail {
    /// Absent from the JSON where there are more than a hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<ButtonReport>,
    pub slowest: Vec<Call>,
    pub failed: Vec<Call>,
}

/// The upper end of a range of latencies in milliseconds, and how many calls are in it.
pub type Bucket = (f64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    pub max: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct ButtonReport {
    pub button: u16,
    pub calls: u64,
    pub errors: u64,
    pub latency_ms: Latency,
}

/// One call that is worth a look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// 32 hex digits; absent where no answer came that could have told it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_id: Option<String>,
    pub button: u16,
    pub latency_ms: f64,
    /// What went wrong; only in [`Report::failed`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

impl Report {
    /// With all that was counted, so that the runs of others can be added ([`super::Together`]). `now` is when the run ended,
    /// unless it is several that were over before.
    pub fn with_counts(self, now: SystemTime) -> Self {
        Self { counts: Some(Counts::of(&self, self.ended.unwrap_or(now))), ..self }
    }

    /// How many calls took how long: ranges from the fastest call's to the slowest's without a gap, twenty for each power of ten, which are
    /// the same in every run; each begins where the one before ends.
    pub fn histogram(&self) -> Vec<Bucket> {
        self.tracks.all.buckets()
    }

    /// For people: a table per button and in all, a histogram, the slowest and the failed calls. `links` is where the reader's
    /// browser finds Jaeger; without it trace IDs stand alone.
    pub fn text(&self, links: Option<&str>) -> String {
        let mut text = String::new();
        self.write(&mut text, links).expect("a string takes all that is written to it");
        text
    }

    fn write(&self, out: &mut String, links: Option<&str>) -> std::fmt::Result {
        let calls = if self.calls == 1 { "call" } else { "calls" };
        let errors = if self.errors == 1 { "error" } else { "errors" };
        let Self { seconds, rate, .. } = self;
        let runs = self.runs.map(|runs| format!(" of {runs} {}", if runs == 1 { "run" } else { "runs" })).unwrap_or_default();
        writeln!(out, "{} {calls}{runs} in {seconds:.2} s, {rate:.1} a second, {} {errors}", self.calls, self.errors)?;
        match &self.lost {
            Some(lost) => writeln!(out, "cut short: {lost}")?,
            None if self.cancelled && self.calls == 0 => writeln!(out, "cut short before the first answer")?,
            None if self.cancelled => writeln!(out, "cut short: only what was answered until then is counted")?,
            None => {}
        }
        writeln!(out, "\nbutton     calls  errors      mean       p50       p95       p99       max  (ms)")?;
        for ButtonReport { button, calls, errors, latency_ms } in &self.buttons {
            writeln!(out, "{button:>6}  {calls:>8}  {errors:>6}{}", columns(latency_ms))?;
        }
        writeln!(out, "   all  {:>8}  {:>6}{}", self.calls, self.errors, columns(&self.latency_ms))?;
        self.write_histogram(out)?;
        write_calls(out, "slowest", &self.slowest, links)?;
        let failed = match self.errors {
            all if all > self.failed.len() as u64 && self.runs.is_some() => format!("failed ({} of {all})", self.failed.len()),
            all if all > self.failed.len() as u64 => format!("failed (the first {} of {all})", self.failed.len()),
            _ => "failed".to_owned(),
        };
        write_calls(out, &failed, &self.failed, links)
    }

    /// One row for each factor of equal size between the fastest call and the slowest: latencies spread over decades.
    fn write_histogram(&self, out: &mut String) -> std::fmt::Result {
        if self.calls == 0 {
            return Ok(());
        }
        let bins = self.bins();
        let most = bins.iter().map(|(_, calls)| *calls).max().unwrap_or(0).max(1);
        writeln!(out, "\n up to ms     calls")?;
        for (up_to, calls) in bins {
            // A bin that is not empty shows at least one mark.
            let bar = "#".repeat(usize::try_from((calls * BAR).div_ceil(most)).unwrap_or(0));
            // The histogram rounds up: the last row would otherwise end above the slowest call.
            let up_to = ms(up_to).min(self.latency_ms.max);
            writeln!(out, "{}", format!("{up_to:>9.3}  {calls:>8}  {bar}").trim_end())?;
        }
        Ok(())
    }

    fn bins(&self) -> Vec<(Duration, u64)> {
        let histogram = &self.tracks.all.histogram;
        let fastest = histogram.min().max(1);
        let slowest = histogram.max().max(fastest + 1);
        let factor = (slowest as f64 / fastest as f64).powf(1.0 / ROWS as f64);
        let mut bins = Vec::new();
        let mut from = 0;
        for row in 1..=ROWS {
            let up_to = if row == ROWS { slowest } else { (fastest as f64 * factor.powf(row as f64)) as u64 };
            if up_to < from {
                continue;
            }
            bins.push((Duration::from_micros(up_to), histogram.count_between(from, up_to)));
            // Values that the histogram cannot tell apart belong to one row only.
            from = histogram.highest_equivalent(up_to) + 1;
        }
        bins
    }
}

fn columns(latency: &Latency) -> String {
    let Latency { mean, p50, p95, p99, max } = latency;
    format!("{mean:>10.2}{p50:>10.2}{p95:>10.2}{p99:>10.2}{max:>10.2}")
}

fn write_calls(out: &mut String, title: &str, calls: &[Call], links: Option<&str>) -> std::fmt::Result {
    if calls.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    for Call { trace_id, button, latency_ms, error } in calls {
        let trace = match (trace_id, links) {
            (Some(id), Some(links)) => format!("{}/trace/{id}", links.trim_end_matches('/')),
            (Some(id), None) => id.clone(),
            (None, _) => "no trace known".to_owned(),
        };
        let error = error.as_ref().map(|error| format!("  {error}")).unwrap_or_default();
        writeln!(out, "{latency_ms:>10.2} ms  button {button:<4} {trace}{error}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tally::{Ended, Tally};
    use super::*;

    fn report() -> Report {
        let mut tally = Tally::new(&[0, 17]);
        for n in 0..200_u64 {
            let slow = n % 50 == 49;
            let latency = Duration::from_micros(if slow { 600_000 + n * 100 } else { 4_000 + n * 37 });
            let trace_id = format!("{n:032x}");
            let error = (n == 99).then(|| "502: dummy-0-17 answered 500 Internal Server Error".to_owned());
            tally.add(Ended { button: usize::from(n % 2 == 1), latency, trace_id: Some(&trace_id), error });
        }
        tally.report(Duration::from_millis(1_250))
    }

    #[test]
    fn people_read_a_table_a_histogram_and_links() {
        insta::assert_snapshot!(report().text(Some("http://127.0.0.1:16686/")));
    }

    #[test]
    fn programs_read_the_documented_fields() {
        let json = serde_json::to_value(report()).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(keys(&json), "buttons calls errors failed latency_ms rate seconds slowest");
        assert_eq!(keys(&json["latency_ms"]), "max mean p50 p95 p99");
        assert_eq!(keys(&json["buttons"][0]), "button calls errors latency_ms");
        assert_eq!(keys(&json["slowest"][0]), "button latency_ms trace_id");
        assert_eq!(keys(&json["failed"][0]), "button error latency_ms trace_id");
    }

    #[test]
    fn every_call_is_in_exactly_one_row_of_the_histogram() {
        let report = report();
        assert_eq!(report.bins().iter().map(|(_, calls)| calls).sum::<u64>(), report.calls);
    }
}
