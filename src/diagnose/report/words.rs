//! The sentences that the terminal and the page share.

use super::Report;
use crate::diagnose::effect::Outcome;
use crate::diagnose::figures::{duration, share};
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

/// In percent. Nobody can be wholly sure.
pub fn sure(suspect: &Suspect) -> u32 {
    (suspect.confidence * 100.0).round().clamp(0.0, 99.0) as u32
}

/// How all traces went, by what would be said of them anyway: the figures now of an effect that fixes nothing.
pub fn now(outcomes: &[Outcome]) -> Effect {
    crate::diagnose::effect::effect(outcomes, &[])
}

/// The best suspect, or that there is none.
pub fn title(report: &Report<'_>) -> String {
    report
        .diagnosis
        .suspects
        .first()
        .map_or_else(|| NOTHING.trim_end_matches('.').to_owned(), |first| format!("{}: {}", place(first), meaning(first.cause)))
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
}
