//! Do clocks agree? What an answer's `Date` says, against the time here while it was waited for.
//!
//! A `Date` has whole seconds, and servers make one only now and then, so a difference is known to within two seconds.

use jiff::{SignedDuration, Timestamp};

use super::Finding;
use super::ask::Stamp;

const CHECK: &str = "clocks";
/// A `Date` may be so old when it is sent: cut off to the second, and made a second ago.
const COARSE: SignedDuration = SignedDuration::from_secs(2);
/// From here on searches of the last minutes miss what was just recorded.
const GROSS: SignedDuration = SignedDuration::from_secs(300);

/// One finding a clock that is wrong, or one for all.
pub(super) fn check(stamps: &[(&str, Option<Stamp>)]) -> Vec<Finding> {
    let known: Vec<_> = stamps.iter().filter_map(|(who, stamp)| Some((*who, stamp.as_ref()?))).collect();
    if known.is_empty() {
        return vec![Finding::skipped(CHECK, "nobody said what time it is (no answer had a Date)")];
    }
    let wrong: Vec<Finding> = known.iter().filter_map(|(who, stamp)| finding(who, ahead(stamp))).collect();
    if wrong.is_empty() {
        let names: Vec<_> = known.iter().map(|(who, _)| *who).collect();
        return vec![Finding::ok(CHECK, format!("{} and this machine agree to within {}", names.join(", "), words(COARSE)))];
    }
    wrong
}

/// By how much at least the clock there is ahead of the one here; negative where it is behind.
fn ahead(stamp: &Stamp) -> SignedDuration {
    let since = |time: Timestamp| stamp.there.duration_since(time);
    // It was made somewhere between question and answer.
    let (least, most) = (since(stamp.answered), since(stamp.asked) + COARSE);
    if least.is_positive() {
        least
    } else if most.is_negative() {
        most
    } else {
        SignedDuration::ZERO
    }
}

fn finding(who: &str, ahead: SignedDuration) -> Option<Finding> {
    if ahead.is_zero() || ahead.abs() < SignedDuration::from_millis(500) {
        return None;
    }
    let amount = words(ahead.abs());
    let (saw, effect) = match ahead.is_positive() {
        true => (
            format!("the clock of the {who} is at least {amount} ahead of this machine's"),
            "spans from here seem to be older than they are, and spans from there to come from the future",
        ),
        false => (
            format!("the clock of the {who} is at least {amount} behind this machine's"),
            "spans from here seem to come from the future, and spans from there to be older than they are",
        ),
    };
    let saw = format!("{saw}: {effect}");
    let way_out = "have both synchronise their clocks (timedatectl set-ntp true; a virtual machine that slept may need a restart), and \
                   until then search over a longer time, beyond now too";
    Some(if ahead.abs() >= GROSS { Finding::failure(CHECK, saw, way_out) } else { Finding::warning(CHECK, saw, way_out) })
}

/// 59 min 58 s
fn words(time: SignedDuration) -> String {
    let seconds = (time.as_millis() + 500) / 1000;
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts: Vec<_> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn stamp(there: &str, asked: &str, answered: &str) -> Stamp {
        Stamp { there: there.parse().unwrap(), asked: asked.parse().unwrap(), answered: answered.parse().unwrap() }
    }

    #[test]
    fn whole_seconds_are_no_difference() {
        for there in ["2026-11-01T11:59:58Z", "2026-11-01T11:59:59Z", "2026-11-01T12:00:00Z"] {
            let found = check(&[("Jaeger", Some(stamp(there, "2026-11-01T11:59:59.99Z", "2026-11-01T12:00:00.01Z")))]);
            assert!(found.len() == 1 && found[0].result == Verdict::Ok, "{found:?}");
        }
        assert_eq!(check(&[("Jaeger", None)])[0].result, Verdict::Skipped);
    }

    #[test]
    fn what_differs_is_said_with_its_amount_and_direction() {
        let (asked, answered) = ("2026-11-01T12:00:00.2Z", "2026-11-01T12:00:00.4Z");
        for (there, result, says) in [
            ("2026-11-01T13:00:00Z", Verdict::Failure, "Jaeger is at least 1 h ahead"),
            ("2026-11-01T11:00:00Z", Verdict::Failure, "Jaeger is at least 59 min 58 s behind"),
            ("2026-11-01T12:00:07Z", Verdict::Warning, "7 s ahead"),
            ("2026-11-01T11:59:50Z", Verdict::Warning, "8 s behind"),
        ] {
            let found = check(&[("frontend", None), ("Jaeger", Some(stamp(there, asked, answered)))]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].result == result && found[0].saw.contains(says), "{found:?}");
        }
    }
}
