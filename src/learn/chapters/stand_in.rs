//! What the chapters have in common in which a program of the learner's own takes a service's place: telling its spans from those of
//! the stage, and whether its traces are whole.

use std::collections::BTreeSet;

use crate::diagnose::model::Kind;
use crate::learn::Step;
use crate::learn::evidence::{Evidence, Span, Trace};
use crate::topology::ServiceName;

/// So many of a program's newest requests count: what it did before it was mended is past.
const NEWEST: usize = 5;
/// In nanoseconds: whoever sends spans sends them sooner. A trace that is not whole yet may be, until then.
const ARRIVES: u64 = 5_000_000_000;
/// Every service of the stage says so of itself; no program of a learner's needs to.
const OF_THE_STAGE: &str = "tracelab.layer";
const VERSION: &str = "service.version";

/// For those who replace a service before it was seen to do wrong: from then on their own program is asked.
pub const TOO_SOON: &str = "your program is in its place already? `tracelab redeploy SERVICE v1` takes it out, `tracelab load 300` shows \
                            the service as it was, and then it is your program's turn again";

/// The service whose place was taken, and the newest requests that the program answered.
pub struct StandIn<'a> {
    pub service: &'a str,
    pub requests: Vec<Span<'a>>,
}

/// The requests that services of the stage answered themselves, in version v1.
pub fn before(evidence: &Evidence) -> impl Iterator<Item = Span<'_>> {
    requests(evidence).filter(|span| span.resource(OF_THE_STAGE).is_some() && span.resource(VERSION) == Some("v1"))
}

/// The program, version v2, that answers for one of `services`; whether there is one becomes one more of `steps`. `example` is what
/// the exercise is run as.
pub fn placed<'a>(evidence: &'a Evidence, services: &[&str], example: &str, steps: &mut Vec<Step>) -> Option<StandIn<'a>> {
    let (program, step) = match found(evidence, services, example) {
        Ok((program, step)) => (Some(program), step),
        Err(open) => (None, open),
    };
    steps.push(step);
    program
}

fn found<'a>(evidence: &'a Evidence, services: &[&str], example: &str) -> Result<(StandIn<'a>, Step), Step> {
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
    for neighbour in [caller, callee] {
        let known: BTreeSet<&str> = before(evidence).filter(|span| span.service() == service).filter_map(neighbour).collect();
        // On other routes there are several, and not all of them may have been seen.
        let Some(other) = neighbour(own[0]).filter(|other| known.len() == 1 && !known.contains(other)) else { continue };
        let saw = format!("your v2 answers as {service}, but beside {other}, which is no neighbour of it");
        let hint = "the name that your program was started with, and the one in `tracelab redeploy`, are not the same";
        return Err(Step::open(goal, saw, &[hint, &run, place]));
    }
    let last = last_layer(evidence);
    let all = own.len();
    own.retain(|span| span.start() + ARRIVES <= evidence.now || is_whole(*span, last));
    let arriving = all - own.len();
    own.truncate(NEWEST);
    if own.len() < NEWEST {
        let mut saw = format!("{} of {NEWEST} requests have reached your v2", own.len());
        if arriving > 0 {
            saw += &format!(", and {arriving} whose traces are not whole yet");
        }
        return Err(Step::open(
            goal,
            saw,
            &["press its button some more times, or ask again in a moment", "`tracelab load 300` presses each button ten times"],
        ));
    }
    let saw = format!("{service}, the newest {NEWEST} requests");
    Ok((StandIn { service, requests: own }, Step::done(goal, saw)))
}

impl StandIn<'_> {
    /// Whether each of the requests belongs to a trace that goes from the frontend, through it, to the last layer.
    pub fn traces_are_whole(&self, evidence: &Evidence) -> bool {
        let last = last_layer(evidence);
        self.requests.iter().all(|request| is_whole(*request, last))
    }
}

/// That others of the trace got to the last layer says nothing where a service calls several.
fn is_whole(request: Span<'_>, last: Option<u16>) -> bool {
    let (trace, id) = (request.trace(), request.id());
    let in_one_piece = trace.roots().count() == 1 && !trace.spans().any(Span::is_orphan);
    let mut ends = trace.spans().filter(|span| layer(span.service()) == last);
    let beneath_it = |end| std::iter::successors(Some(end), |span: &Span<'_>| span.parent()).any(|span| span.id() == id);
    in_one_piece && caller(request).is_some() && trace.has_service("frontend") && ends.any(beneath_it)
}

fn caller(request: Span<'_>) -> Option<&str> {
    Some(request.parent()?.service()).filter(|caller| *caller != request.service())
}

fn callee(request: Span<'_>) -> Option<&str> {
    request.children().flat_map(Span::children).map(Span::service).find(|callee| *callee != request.service())
}

fn last_layer(evidence: &Evidence) -> Option<u16> {
    evidence.traces().flat_map(Trace::services).filter_map(layer).max()
}

/// Since the mystery began: the one before hid something else, and has taken any program out.
fn requests(evidence: &Evidence) -> impl Iterator<Item = Span<'_>> {
    let began = evidence.began();
    let counts = move |span: &Span<'_>| span.kind() == Kind::Server && span.start() >= began && layer(span.service()).is_some();
    evidence.traces().flat_map(Trace::spans).filter(counts)
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
    use crate::learn::State;
    use crate::mystery::{Cause, Verdict};

    #[test]
    fn what_others_of_a_trace_reach_is_not_the_programs_doing() {
        let program = Hop { version: "v2", of_the_stage: false, ..Hop::stage("dummy-1-1") };
        let other = [Hop::stage("dummy-1-0"), Hop::stage("dummy-2-0")];
        for (program, expected) in
            [(program, true), (Hop { passes_on: false, ..program }, false), (Hop { calls: false, ..program }, false)]
        {
            let mut made = Presses::new();
            made.press(1, &["dummy-0-1", "dummy-1-1", "dummy-2-1"].map(Hop::stage));
            made.press(5, &[Hop { beside: &other, ..Hop::stage("dummy-0-1") }, program, Hop::stage("dummy-2-1")]);
            let evidence = made.evidence(None);
            let (placed, _) = found(&evidence, &["dummy-1-1"], "06-fix").ok().unwrap();
            assert_eq!(placed.traces_are_whole(&evidence), expected);
        }
    }

    #[test]
    fn who_takes_another_services_name_is_not_in_its_place() {
        let program = Hop { version: "v2", of_the_stage: false, ..Hop::stage("dummy-1-1") };
        let after = |ways: &[[&str; 3]], service: Hop<'_>, way: [&str; 2]| {
            let mut made = Presses::new();
            for way in ways {
                made.press(3, &way.map(Hop::stage));
            }
            let [first, last] = way.map(Hop::stage);
            let layer = service.service.as_bytes()[6];
            made.press(5, &if layer == b'0' { [service, first, last] } else { [first, service, last] });
            found(&made.evidence(None), &[service.service], "06-fix").err().map(|step| step.state)
        };
        let straight = ["dummy-0-1", "dummy-1-1", "dummy-2-1"];
        let Some(State::Open { saw, .. }) = after(&[straight], program, ["dummy-0-0", "dummy-2-0"]) else { panic!("it is done") };
        assert_eq!(saw, "your v2 answers as dummy-1-1, but beside dummy-0-0, which is no neighbour of it");
        let first = Hop { service: "dummy-0-1", ..program };
        let Some(State::Open { saw, .. }) = after(&[straight], first, ["dummy-1-0", "dummy-2-0"]) else { panic!("it is done") };
        assert_eq!(saw, "your v2 answers as dummy-0-1, but beside dummy-1-0, which is no neighbour of it");
        let random = [straight, ["dummy-0-2", "dummy-1-1", "dummy-2-2"]];
        assert_eq!(after(&random, program, ["dummy-0-0", "dummy-2-0"]), None);
    }

    #[test]
    fn what_is_still_on_its_way_is_not_blamed_on_the_program() {
        let mut made = Presses::new();
        let program = Hop { version: "v2", of_the_stage: false, ..Hop::stage("dummy-1-1") };
        let way = [Hop::stage("dummy-0-1"), program, Hop::stage("dummy-2-1")];
        made.press(1, &["dummy-0-1", "dummy-1-1", "dummy-2-1"].map(Hop::stage)).press(5, &way);
        let cut = [way[0], Hop { passes_on: false, ..program }, way[2]];
        made.press(1, &cut);
        let mut evidence = made.evidence(None);
        let whole = |evidence: &Evidence| found(evidence, &["dummy-1-1"], "06-fix").ok().unwrap().0.traces_are_whole(evidence);
        assert!(!whole(&evidence), "long ago");
        evidence.now = 1_000_000_000;
        assert!(whole(&evidence), "a moment ago");
    }

    #[test]
    fn what_came_before_the_mystery_is_another_ones() {
        let mut made = Presses::new();
        made.press(5, &["dummy-0-1", "dummy-1-1", "dummy-2-1"].map(Hop::stage));
        let mut evidence = made.evidence(Some((Cause::Sleep, Verdict::Right)));
        assert_eq!(before(&evidence).count(), 15);
        evidence.now = 10_000_000_000;
        evidence.score.as_mut().unwrap().seconds = 1.0;
        assert_eq!(before(&evidence).count(), 0);
    }

    #[test]
    fn in_the_last_layer_there_is_nothing_beneath() {
        let mut made = Presses::new();
        let program = Hop { version: "v2", of_the_stage: false, ..Hop::stage("dummy-2-1") };
        made.press(1, &["dummy-0-1", "dummy-1-1", "dummy-2-1"].map(Hop::stage));
        made.press(5, &[Hop::stage("dummy-0-1"), Hop::stage("dummy-1-1"), program]);
        let evidence = made.evidence(None);
        let (placed, _) = found(&evidence, &["dummy-2-1"], "06-fix").ok().unwrap();
        assert!(placed.traces_are_whole(&evidence));
    }
}
