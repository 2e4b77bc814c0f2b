//! What the chapters have in common in which a program of the learner's own takes a service's place: telling its spans from those of
//! the stage, and whether its traces are whole.

use crate::diagnose::model::Kind;
use crate::learn::Step;
use crate::learn::evidence::{Evidence, Span, Trace};
use crate::topology::ServiceName;

/// So many of a program's newest requests count: what it did before it was mended is past.
const NEWEST: usize = 5;
/// Every service of the stage says so of itself; no program of a learner's needs to.
const OF_THE_STAGE: &str = "tracelab.layer";
const VERSION: &str = "service.version";

/// The service whose place was taken, and the newest requests that the program answered.
pub struct StandIn<'a> {
    pub service: &'a str,
    pub requests: Vec<Span<'a>>,
}

/// The requests that services of the stage answered themselves, in version v1.
pub fn before(evidence: &Evidence) -> impl Iterator<Item = Span<'_>> {
    requests(evidence).filter(|span| span.resource(OF_THE_STAGE).is_some() && span.resource(VERSION) == Some("v1"))
}

/// The program, version v2, that answers for one of `services`, or the step that is open. `example` is what the exercise is run as.
pub fn placed<'a>(evidence: &'a Evidence, services: &[&str], example: &str) -> Result<(StandIn<'a>, Step), Step> {
    let goal = "your own program, version v2, answers in that service's place";
    let run = format!("start it in a terminal of its own: `cargo run --example {example} -- 127.0.0.1:9000 SERVICE`");
    let place = "`tracelab redeploy SERVICE http://127.0.0.1:9000` has it asked, and `tracelab load 300` presses its button";
    let mut own: Vec<Span<'a>> = requests(evidence).filter(|span| span.resource(OF_THE_STAGE).is_none()).collect();
    own.sort_by_key(|span| std::cmp::Reverse(span.start()));
    let Some(latest) = own.first().copied() else {
        let ours = requests(evidence).any(|span| span.resource(VERSION) == Some("v2"));
        let saw = if ours { "a v2 answers, but it is the stage's own" } else { "no request reached a program of yours" };
        let doctor =
            "it answers and no trace shows it? The spans of your program go to OTEL_EXPORTER_OTLP_ENDPOINT; `tracelab doctor`";
        return Err(Step::open(goal, saw, &[&run, place, doctor]));
    };
    own.retain(|span| services.contains(&span.service()));
    if own.is_empty() {
        let saw = format!("your program answers as {}, with which nothing is wrong", latest.service());
        return Err(Step::open(
            goal,
            saw,
            &["the service that was slow is another one; a trace of its button shows it", &run, place],
        ));
    }
    let version = own.iter().find_map(|span| span.resource(VERSION)).unwrap_or("nothing");
    own.retain(|span| span.resource(VERSION) == Some("v2"));
    if own.is_empty() {
        let hints =
            ["two programs that differ are to be told apart in a trace", "change VERSION to v2, and start the program again"];
        return Err(Step::open(goal, format!("your program answers, and calls itself {version}"), &hints));
    }
    let service = own[0].service();
    own.retain(|span| span.service() == service);
    own.truncate(NEWEST);
    if own.len() < NEWEST {
        let saw = format!("{} of {NEWEST} requests have reached your v2", own.len());
        return Err(Step::open(
            goal,
            saw,
            &["press its button some more times", "`tracelab load 300` presses each button ten times"],
        ));
    }
    let saw = format!("{service}, the newest {NEWEST} requests");
    Ok((StandIn { service, requests: own }, Step::done(goal, saw)))
}

impl StandIn<'_> {
    /// Whether each of the requests belongs to a trace that goes from the frontend, through it, to the last layer. That others of the
    /// trace got there says nothing where a service calls several.
    pub fn traces_are_whole(&self, evidence: &Evidence) -> bool {
        let last = evidence.traces().flat_map(Trace::services).filter_map(layer).max();
        self.requests.iter().all(|request| {
            let (trace, id) = (request.trace(), request.id());
            let was_called = request.parent().is_some_and(|caller| caller.service() != request.service());
            let whole = trace.roots().count() == 1 && !trace.spans().any(Span::is_orphan);
            let mut ends = trace.spans().filter(|span| layer(span.service()) == last);
            let beneath_it = |end| std::iter::successors(Some(end), |span: &Span<'_>| span.parent()).any(|span| span.id() == id);
            whole && was_called && trace.has_service("frontend") && ends.any(beneath_it)
        })
    }
}

fn requests(evidence: &Evidence) -> impl Iterator<Item = Span<'_>> {
    evidence.traces().flat_map(Trace::spans).filter(|span| span.kind() == Kind::Server && layer(span.service()).is_some())
}

fn layer(service: &str) -> Option<u16> {
    Some(service.parse::<ServiceName>().ok()?.layer)
}

/// Of what is to be compared with it.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::super::presses::{Hop, Presses};
    use super::*;

    #[test]
    fn what_others_of_a_trace_reach_is_not_the_programs_doing() {
        let program = Hop { version: "v2", of_the_stage: false, ..Hop::stage("dummy-1-1") };
        let other = [Hop::stage("dummy-1-0"), Hop::stage("dummy-2-0")];
        for (program, expected) in
            [(program, true), (Hop { passes_on: false, ..program }, false), (Hop { calls: false, ..program }, false)]
        {
            let mut made = Presses::new();
            made.press(5, &[Hop { beside: &other, ..Hop::stage("dummy-0-1") }, program, Hop::stage("dummy-2-1")]);
            let evidence = made.evidence(None);
            let (placed, _) = placed(&evidence, &["dummy-1-1"], "06-fix").ok().unwrap();
            assert_eq!(placed.traces_are_whole(&evidence), expected);
        }
    }

    #[test]
    fn in_the_last_layer_there_is_nothing_beneath() {
        let mut made = Presses::new();
        let program = Hop { version: "v2", of_the_stage: false, ..Hop::stage("dummy-2-1") };
        made.press(5, &[Hop::stage("dummy-0-1"), Hop::stage("dummy-1-1"), program]);
        let evidence = made.evidence(None);
        let (placed, _) = placed(&evidence, &["dummy-2-1"], "06-fix").ok().unwrap();
        assert!(placed.traces_are_whole(&evidence));
    }
}
