//! The sentences and figures that the terminal and the page share.

use crate::diagnose::effect::Outcome;
use crate::diagnose::{Change, Effect, Suspect, SuspectCause};

/// The cause's name, as in JSON.
pub fn cause(cause: SuspectCause) -> &'static str {
    match cause {
        SuspectCause::Sleep => "sleep",
        SuspectCause::RareSleep => "rare-sleep",
        SuspectCause::Failure => "failure",
        SuspectCause::Customer => "customer",
        SuspectCause::Attribute => "attribute",
        SuspectCause::Upstream => "upstream",
        SuspectCause::Contention => "contention",
        SuspectCause::Redis => "redis",
        SuspectCause::ManyCalls => "many-calls",
        SuspectCause::Network => "network",
        SuspectCause::LostContext => "lost-context",
    }
}

/// What a cause means, as the rest of a sentence about the place.
pub fn meaning(cause: SuspectCause) -> &'static str {
    match cause {
        SuspectCause::Sleep => "slow on every request",
        SuspectCause::RareSleep => "slow on a few requests that nothing tells from the others",
        SuspectCause::Failure => "fails by itself, not because of what it calls",
        SuspectCause::Customer => "slow or failing for this customer",
        SuspectCause::Attribute => "slow or failing where this is so",
        SuspectCause::Upstream => "what passed here makes later services slow or fail",
        SuspectCause::Contention => "slow when busy: requests wait for one another",
        SuspectCause::Redis => "many small calls to Redis where few would do",
        SuspectCause::ManyCalls => "many small calls where few would do",
        SuspectCause::Network => "time is lost between the two, in neither",
        SuspectCause::LostContext => "loses the trace context: what it calls starts traces of its own",
    }
}

/// Service, caller → callee, key=value: what applies.
pub fn place(suspect: &Suspect) -> String {
    let ends = match (&suspect.service, &suspect.callee) {
        (Some(service), Some(callee)) => Some(format!("{service} → {callee}")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    };
    let attribute = suspect.attribute.as_ref().map(|attribute| format!("{}={}", attribute.key, attribute.value));
    [ends, attribute].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What an effect changes, the most telling first: a label, the figure now, the figure fixed. What stays as it is is left out.
pub fn changes(effect: &Effect) -> Vec<(&'static str, String, String)> {
    let mut changes = Vec::new();
    let mut say = |label, Change { now, fixed }, write: fn(f64) -> String| {
        let (now, fixed) = (write(now), write(fixed));
        if now != fixed {
            changes.push((label, now, fixed));
        }
    };
    say("p99", effect.p99_ms, duration);
    say("p50", effect.p50_ms, duration);
    say("failing", effect.error_share, share);
    say("mean", effect.mean_ms, duration);
    changes
}

/// Three figures of milliseconds, in the unit that suits: 2.4 s, 310 ms, 85 µs.
pub fn duration(ms: f64) -> String {
    let (value, unit) = match ms {
        ms if ms == 0.0 => (0.0, "ms"),
        ms if ms.abs() >= 999.5 => (ms / 1000.0, "s"),
        ms if ms.abs() >= 0.9995 => (ms, "ms"),
        ms => (ms * 1000.0, "µs"),
    };
    format!("{} {unit}", three_figures(value))
}

/// Of a share between 0 and 1.
pub fn share(share: f64) -> String {
    format!("{} %", three_figures(share * 100.0))
}

fn three_figures(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// "1 span", "1,234 spans".
pub fn counted(count: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(count), if count == 1 { "" } else { "s" })
}

pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How all traces went, by what would be said of them anyway: the figures now of an effect that fixes nothing.
pub fn now(outcomes: &[Outcome]) -> Effect {
    crate::diagnose::effect::effect(outcomes, &[])
}

/// What was looked at where nothing stands out.
pub const NOTHING: &str = "Nothing stands out.";
pub const LOOKED_AT: &str = "Looked at: the time of every service and between every two of them on the critical paths, where failures begin, \
     how busy services were, every attribute and resource attribute, the services passed before, many small calls, and traces that begin \
     in the middle. No difference is larger than chance makes it.";
pub const NO_TRACES: &str = "No traces were read, so there is nothing to say.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_named_as_in_json() {
        use SuspectCause::*;
        let all = [Sleep, RareSleep, Failure, Customer, Attribute, Upstream, Contention, Redis, ManyCalls, Network, LostContext];
        for one in all {
            assert_eq!(serde_json::to_value(one).unwrap(), cause(one));
        }
    }

    #[test]
    fn durations_have_three_figures_and_a_unit_that_suits() {
        let said = [0.0, 0.0004, 0.085, 0.9996, 9.996, 31.26, 310.4, 999.4, 999.6, 2400.0, 60_123.0].map(duration);
        let expected = ["0 ms", "0.4 µs", "85 µs", "1 ms", "10 ms", "31.3 ms", "310 ms", "999 ms", "1 s", "2.4 s", "60.1 s"];
        assert_eq!(said, expected);
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(
            [0, 1, 999, 1000, 1_234_567].map(|count| counted(count, "span")),
            ["0 spans", "1 span", "999 spans", "1,000 spans", "1,234,567 spans"]
        );
    }
}
