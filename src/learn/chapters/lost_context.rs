//! Chapter 11: the service at which traces break is found, and replaced by one that keeps the context.

use std::collections::{BTreeMap, BTreeSet};

use super::stand_in::{TOO_SOON, before, placed};
use crate::diagnose::model::Kind;
use crate::learn::evidence::{Span, Trace};
use crate::learn::{Evidence, Step};
use crate::mystery::{Cause, Verdict};
use crate::topology::ServiceName;

/// So many traces that break are no accident, and so many that begin somewhere else.
const BROKEN: usize = 3;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let goal = "traces that break, and their other halves";
    let breaking = breaking(evidence);
    let elsewhere = evidence.traces().filter(|trace| begins_inside(*trace)).count();
    if breaking.is_empty() || elsewhere < BROKEN {
        let hints = [
            "`tracelab up --mystery lost-context` has a service drop the context, and `tracelab load 300` presses each button ten times",
            "a new `up` has forgotten the traces of the one before: press the buttons again",
            TOO_SOON,
        ];
        return vec![Step::open(goal, format!("{elsewhere} traces that begin behind the frontend"), &hints)];
    }
    let mut steps = vec![Step::done(goal, format!("{elsewhere} traces begin at a service instead of the frontend"))];

    let goal = "your guess says where";
    if evidence.verdict() != Some(Verdict::Right) || evidence.cause().is_some_and(|cause| cause != Cause::LostContext) {
        let hints = [
            "find a trace that begins at a service: search for each service of layer 1 and 2, or let `tracelab diagnose` do it",
            "who begins it lost nothing: it got nothing. Its number is that of the button; open that button's other trace",
            "the last span of that trace is a call that nobody seems to answer: whose is it? `tracelab guess --cause lost-context --service …`",
        ];
        let saw = if evidence.verdict().is_none() { "there was no guess yet" } else { "the last one was not right" };
        steps.push(Step::open(goal, saw, &hints));
        return steps;
    }
    steps.push(Step::done(goal, "it was right"));

    let services: Vec<&str> = breaking.into_iter().collect();
    let Some(program) = placed(evidence, &services, "11-lost-context", &mut steps) else { return steps };
    let goal = "traces through it are whole, down to the last layer";
    steps.push(if program.traces_are_whole(evidence) {
        Step::done(goal, "all of them are")
    } else {
        let hints = [
            "a span that is current is so in one task; which task makes the call?",
            "a future takes a context along into whatever task it is given to: .with_context(…), of opentelemetry::trace::FutureExt",
            "spawn call.with_context(span.clone()) instead of call",
        ];
        Step::open(goal, "they end at your program, as before", &hints)
    });
    steps
}

/// The services of the stage with calls to other services that no span answers.
fn breaking(evidence: &Evidence) -> BTreeSet<&str> {
    let mut unanswered: BTreeMap<&str, usize> = BTreeMap::new();
    for request in before(evidence).filter(|request| request.children().any(|call| is_unanswered(call))) {
        *unanswered.entry(request.service()).or_default() += 1;
    }
    unanswered.into_iter().filter(|(_, traces)| *traces >= BROKEN).map(|(service, _)| service).collect()
}

/// A call over HTTP; of one to a database nobody expects a span.
fn is_unanswered(call: Span<'_>) -> bool {
    call.kind() == Kind::Client && call.attribute("db.system.name").is_none() && call.children().next().is_none()
}

fn begins_inside(trace: Trace<'_>) -> bool {
    trace.roots().any(|root| root.kind() == Kind::Server && root.service().parse::<ServiceName>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::presses::{Hop, Presses, open};
    use super::*;

    const LOSES: Hop<'_> = Hop {
        service: "dummy-1-1",
        version: "v1",
        of_the_stage: true,
        pod: "",
        node: "",
        own_ms: 5,
        redis_calls: 0,
        passes_on: false,
        calls: true,
        beside: &[],
    };
    const KEEPS: Hop<'_> = Hop { version: "v2", of_the_stage: false, passes_on: true, ..LOSES };
    const RIGHT: Option<(Cause, Verdict)> = Some((Cause::LostContext, Verdict::Right));

    /// What is open once the buttons were pressed, and then the one of the service, in whose place this is.
    fn after(service: Hop<'_>, guess: Option<(Cause, Verdict)>) -> Option<String> {
        let mut made = Presses::new();
        made.press(5, &["dummy-0-0", "dummy-1-0", "dummy-2-0"].map(Hop::stage));
        for service in [LOSES, service] {
            made.press(5, &[Hop::stage("dummy-0-1"), service, Hop::stage("dummy-2-1")]);
        }
        open(&check(&made.evidence(guess))).map(str::to_owned)
    }

    #[test]
    fn whole_traces_pass() {
        assert_eq!(after(KEEPS, RIGHT), None);
    }

    #[test]
    fn nothing_no_guess_and_the_exercise_do_not() {
        let begin = "traces that break, and their other halves";
        assert_eq!(open(&check(&Evidence::default())), Some(begin));
        let mut ordinary = Presses::new();
        ordinary.press(9, &[Hop::stage("dummy-0-1"), Hop { redis_calls: 9, ..Hop::stage("dummy-1-1") }, Hop::stage("dummy-2-1")]);
        assert_eq!(open(&check(&ordinary.evidence(RIGHT))), Some(begin), "chapter 10's: what calls a database, loses nothing");
        for guess in [None, Some((Cause::LostContext, Verdict::Wrong)), Some((Cause::Sleep, Verdict::Right))] {
            assert_eq!(after(KEEPS, guess), Some("your guess says where".to_owned()));
        }
        let place = Some("your own program, version v2, answers in that service's place".to_owned());
        assert_eq!(after(Hop { of_the_stage: false, ..LOSES }, RIGHT), place, "the exercise");
        assert_eq!(after(Hop { of_the_stage: true, ..KEEPS }, RIGHT), place, "the stage's own v2");
        let whole = Some("traces through it are whole, down to the last layer".to_owned());
        assert_eq!(after(Hop { passes_on: false, ..KEEPS }, RIGHT), whole);
        assert_eq!(after(Hop { calls: false, ..KEEPS }, RIGHT), whole);
    }
}
