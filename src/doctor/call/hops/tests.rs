//! Traces of one call, each with one fault.

use super::*;
use crate::diagnose::model::{Builder, NewSpan, Resource};
use crate::doctor::Verdict;

/// A span; times are milliseconds.
#[derive(Clone, Copy)]
struct One {
    service: &'static str,
    id: u64,
    parent: u64,
    kind: Kind,
    start: i64,
    duration: i64,
    /// Baggage was copied to it.
    copied: bool,
}

/// The span that the doctor says it has.
const DOCTORS: u64 = 0xd0c;
/// When calls begin.
const BEGAN: i64 = 1_000_000;

/// One after the other, each the parent of the next.
fn one_below_the_other(spans: &[(&'static str, Kind)]) -> Vec<One> {
    let one = |(id, (service, kind)): (u64, &(&'static str, Kind))| {
        let inwards = 5 * (id.cast_signed() - 1);
        let parent = if id == 1 { DOCTORS } else { id - 1 };
        One { service, id, parent, kind: *kind, start: BEGAN + inwards, duration: 100 - 2 * inwards, copied: *kind == Kind::Server }
    };
    (1..).zip(spans).map(one).collect()
}

/// By button 0 on route `straight`, as it should be.
fn well() -> Vec<One> {
    one_below_the_other(&[
        ("frontend", Kind::Server),
        ("frontend", Kind::Client),
        ("dummy-0-0", Kind::Server),
        ("dummy-0-0", Kind::Client),
        ("dummy-1-0", Kind::Server),
        ("dummy-1-0", Kind::Client),
        ("dummy-2-0", Kind::Server),
    ])
}

fn straight() -> Way {
    way(&["dummy-0-0", "dummy-1-0", "dummy-2-0"])
}

fn way(path: &[&str]) -> Way {
    Way::of(&path.iter().map(|service| (*service).to_owned()).collect::<Vec<_>>())
}

fn traces(spans: &[One]) -> Traces {
    let mut builder = Builder::default();
    for One { service, id, parent, kind, start, duration, copied } in spans {
        let ours = service.starts_with("dummy").then(|| builder.attribute(OURS, "1").unwrap());
        let copy = copied.then(|| builder.attribute(CLIENT.0, CLIENT.1).unwrap());
        let service = builder.text(service);
        let resource = builder.resource(Resource { service, attributes: ours.into_iter().collect() });
        let (id, parent) = (format!("{id:x}"), format!("{parent:x}"));
        builder.push(NewSpan {
            trace_id: "1",
            span_id: &id,
            parent_id: &parent,
            operation: "GET /",
            resource,
            kind: *kind,
            start: *start as u64 * 1_000_000,
            duration: *duration * 1_000_000,
            attributes: copy.as_slice(),
            ..NewSpan::default()
        });
    }
    builder.finish()
}

/// What these left while the call was made; others were not asked about.
fn left<'a>(services: impl IntoIterator<Item = &'a str>, what: Elsewhere) -> BTreeMap<String, Elsewhere> {
    services.into_iter().map(|service| (service.to_owned(), what)).collect()
}

const NOTHING: Elsewhere = Elsewhere { begins: false, any: false };
const BEGINS: Elsewhere = Elsewhere { begins: true, any: true };
const FOLLOWS: Elsewhere = Elsewhere { begins: false, any: true };

/// What is said of where the trace ends, of which each is a failure.
#[track_caller]
fn broken(spans: &[One], way: &Way, elsewhere: &BTreeMap<String, Elsewhere>) -> Vec<String> {
    let found = breaks(&traces(spans), way, elsewhere);
    assert!(found.iter().all(|finding| finding.check == HOPS && finding.is_failure()), "{found:?}");
    found.into_iter().map(|finding| finding.saw).collect()
}

/// All that is said of a trace in which nothing is missing.
fn judged(spans: &[One]) -> Vec<Finding> {
    judge(&traces(spans), &straight(), &BTreeMap::new())
}

/// What is said by this check alone.
#[track_caller]
fn said(spans: &[One], check: &str) -> Finding {
    let found: Vec<_> = judged(spans).into_iter().filter(|finding| finding.check == check).collect();
    let [finding] = &found[..] else { panic!("{check}: {found:?}") };
    finding.clone()
}

#[track_caller]
fn warns(spans: &[One], check: &str, saw: &str, way_out: &str) {
    let finding = said(spans, check);
    assert_eq!(finding.result, Verdict::Warning, "{finding:?}");
    assert!(finding.saw.contains(saw) && finding.way_out.as_ref().unwrap().contains(way_out), "{saw:?}, {way_out:?}: {finding:?}");
}

#[test]
fn nothing_is_said_against_a_trace_that_is_whole() {
    let found = judged(&well());
    assert!(found.iter().all(|finding| finding.result == Verdict::Ok), "{found:?}");
    let said: Vec<_> = found.iter().map(|finding| (finding.check, finding.saw.as_str())).collect();
    let expected = [
        (HOPS, "all hops are in one trace: frontend, dummy-0-0, dummy-1-0, dummy-2-0"),
        (KINDS, "3 pairs of CLIENT and SERVER spans, one a call"),
        (PARENTS, "the parents of all 7 spans are there"),
        (CLOCKS, "no call begins before it was made (3 calls compared)"),
        (BAGGAGE, "what the call was sent with is on spans of frontend, dummy-0-0, dummy-1-0, dummy-2-0"),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_request_that_is_no_server_span_and_a_call_that_is_no_client_span_are_told_with_their_service() {
    let mut spans = well();
    spans[4].kind = Kind::Internal;
    warns(&spans, KINDS, "what dummy-1-0 does with a request is no span of kind SERVER", "SpanKind::Server around a request");
    let mut spans = well();
    spans[3].kind = Kind::Internal;
    spans[5].kind = Kind::Unspecified;
    warns(&spans, KINDS, "calls of dummy-0-0, dummy-1-0 are no spans of kind CLIENT", "SpanKind::Client around a call");
    // Without a span around its call a service's request is the parent.
    let mut spans = well();
    spans.remove(5);
    spans[5].parent = spans[4].id;
    warns(&spans, KINDS, "calls of dummy-1-0 are no spans of kind CLIENT", "the kind");
}

#[test]
fn the_kinds_of_what_lies_between_two_hops_are_its_own_business() {
    let spans = one_below_the_other(&[
        ("frontend", Kind::Server),
        ("frontend", Kind::Client),
        ("gateway", Kind::Internal),
        ("dummy-0-0", Kind::Server),
        ("dummy-0-0", Kind::Client),
        ("dummy-1-0", Kind::Server),
        ("dummy-1-0", Kind::Client),
        ("dummy-2-0", Kind::Server),
    ]);
    assert_eq!(said(&spans, KINDS).saw, "2 pairs of CLIENT and SERVER spans, one a call");
}

#[test]
fn a_span_whose_parent_never_came_is_told_with_its_service() {
    let mut spans = well();
    spans.remove(5);
    warns(&spans, PARENTS, "those of 1 span of dummy-2-0", "its exporter leads elsewhere");
    // Where the frontend began the trace, nobody's parent is the doctor's.
    spans[0].parent = 0;
    warns(&spans, PARENTS, "those of 1 span of dummy-2-0", "OTEL_TRACES_SAMPLER");
    let mut spans = well();
    spans[0].parent = 0;
    assert_eq!(said(&spans, PARENTS).result, Verdict::Ok);
}

#[test]
fn the_doctors_own_span_is_nobodys_missing_parent_however_late_the_frontends_clock() {
    let mut spans = well();
    spans.remove(5);
    spans[5].start -= 60_000;
    warns(&spans, PARENTS, "those of 1 span of dummy-2-0", "");
}

#[test]
fn a_clock_that_is_off_is_told_with_amount_and_direction() {
    for (by, saw) in [
        (700, "that of dummy-1-0 is about 700 ms ahead of that of dummy-0-0"),
        (-700, "that of dummy-1-0 is about 700 ms behind that of dummy-0-0"),
        (-30, "that of dummy-1-0 is about 30 ms behind that of dummy-0-0"),
    ] {
        let mut spans = well();
        spans[4..].iter_mut().for_each(|span| span.start += by);
        warns(&spans, CLOCKS, saw, "chrony");
        assert!(!said(&spans, CLOCKS).saw.contains("dummy-2-0"), "both have one clock: {:?}", said(&spans, CLOCKS));
    }
}

#[test]
fn what_rounding_and_callers_that_give_up_make_of_times_is_no_clock() {
    let mut spans = well();
    // 5 ms are between a call and its request, and the coarsest clock takes 2 ms off.
    spans[4..].iter_mut().for_each(|span| span.start -= 7);
    assert_eq!(said(&spans, CLOCKS).result, Verdict::Ok);
    let mut spans = well();
    spans[6].duration += 500;
    assert_eq!(said(&spans, CLOCKS).saw, "no call begins before it was made (2 calls compared)");
    assert_eq!(said(&well()[..1], CLOCKS).result, Verdict::Skipped);
}

#[test]
fn that_no_context_travels_is_said_only_where_none_did() {
    let none = left(["dummy-0-0", "dummy-1-0", "dummy-2-0"], BEGINS);
    assert_eq!(
        broken(&well()[..2], &straight(), &none),
        ["every service begins a trace of its own: dummy-0-0, dummy-1-0, dummy-2-0"]
    );
    // All that is missing begins a trace here too, but the frontend did pass it on.
    let two_layers = way(&["dummy-0-0", "dummy-1-0", "dummy-1-1"]);
    assert_eq!(
        broken(&well()[..4], &two_layers, &left(["dummy-1-0", "dummy-1-1"], BEGINS)),
        [
            "the trace breaks between dummy-0-0 and dummy-1-0, dummy-1-1: these begin traces of their own, so dummy-0-0 drops the context"
        ]
    );
    assert_eq!(
        broken(&well()[..4], &straight(), &left(["dummy-1-0", "dummy-2-0"], BEGINS)),
        [
            "the trace breaks between dummy-0-0 and dummy-1-0: dummy-1-0 begins traces of its own, so dummy-0-0 drops the context",
            "the trace breaks between dummy-1-0 and dummy-2-0: dummy-2-0 begins traces of its own, so dummy-1-0 drops the context",
        ]
    );
}

/// By button 0 on route `all`, as the services tell it.
fn all(width: u16) -> Vec<String> {
    let last = || (0..width).map(|number| format!("dummy-2-{number}"));
    let branches = (0..width).flat_map(|number| std::iter::once(format!("dummy-1-{number}")).chain(last()));
    std::iter::once("dummy-0-0".to_owned()).chain(branches).collect()
}

#[test]
fn of_many_that_are_missing_those_are_looked_for_that_tell_most() {
    let way = Way::of(&all(30));
    assert_eq!(way.missing(&traces(&well()[..4])).len(), 60);
    assert_eq!(
        way.telling(&traces(&well()[..4]))[..6],
        ["dummy-1-0", "dummy-2-0", "dummy-2-1", "dummy-1-1", "dummy-2-2", "dummy-1-2"]
    );
    assert_eq!(way.telling(&traces(&[]))[..4], ["frontend", "dummy-0-0", "dummy-1-0", "dummy-2-0"]);
}

#[test]
fn of_what_was_not_looked_for_nobody_says_that_it_left_nothing() {
    let way = Way::of(&all(30));
    let rest = "nothing of 27 services called by dummy-0-0 is in the trace, and what else they left was not looked at: dummy-1-3, ";
    let mut known = left(["dummy-1-0", "dummy-1-1", "dummy-1-2"], BEGINS);
    known.extend(left(["dummy-2-0", "dummy-2-1", "dummy-2-2"], FOLLOWS));
    let said = broken(&well()[..4], &way, &known);
    assert!(said[0].starts_with("the trace breaks between dummy-0-0 and dummy-1-0, dummy-1-1, dummy-1-2: these begin"), "{said:?}");
    assert!(said.len() == 2 && said[1].starts_with(rest), "{said:?}");
    // The same where they left nothing at all.
    let known = left(["dummy-1-0", "dummy-1-1", "dummy-1-2", "dummy-2-0", "dummy-2-1", "dummy-2-2"], NOTHING);
    let said = broken(&well()[..4], &way, &known);
    assert!(said[..3].iter().all(|saw| saw.contains(", called by dummy-0-0, has left no span")), "{said:?}");
    assert!(said.len() == 4 && said[3].starts_with(rest), "{said:?}");
    // And where Jaeger did not answer.
    let said = broken(&well()[..4], &straight(), &BTreeMap::new());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("nothing of 1 service called by dummy-0-0 is in the trace"), "{said:?}");
    // Where nothing goes on with the trace, the few are enough.
    let known = left(["dummy-0-0", "dummy-1-0", "dummy-2-0", "dummy-1-1", "dummy-2-1", "dummy-1-2"], BEGINS);
    let said = broken(&well()[..2], &way, &known);
    assert!(said.len() == 1 && said[0].starts_with("every service that was looked for begins a trace of its own: "), "{said:?}");
}

/// The last layer is there by way of others.
#[test]
fn whoever_drops_a_branch_that_others_reach_too_did_not_pass_the_context_on() {
    let way = Way::of(&all(2));
    let server =
        |service, id, parent| One { service, id, parent, kind: Kind::Server, start: BEGAN + 20, duration: 10, copied: true };
    let mut spans = well()[..4].to_vec();
    spans.extend([server("dummy-1-1", 5, 4), server("dummy-2-0", 6, 5), server("dummy-2-1", 7, 5)]);
    let said = broken(&spans, &way, &left(["dummy-1-0"], NOTHING));
    assert_eq!(said, ["dummy-1-0, called by dummy-0-0, has left no span"]);
    // Its callees' spans hang below its caller's.
    spans.push(server("dummy-2-0", 8, 4));
    let found = breaks(&traces(&spans), &way, &left(["dummy-1-0"], NOTHING));
    assert!(matches!(&found[..], [found] if found.result == Verdict::Warning), "{found:?}");
    assert!(found[0].saw.starts_with("dummy-1-0 passes the trace context on, but none of its own spans"), "{found:?}");
}

#[test]
fn baggage_that_does_not_travel_with_the_context_is_told_with_where_it_was_lost() {
    let without = |from: usize| {
        let mut spans = well();
        spans[from..].iter_mut().for_each(|span| span.copied = false);
        spans
    };
    warns(&without(0), BAGGAGE, "gets nowhere: the frontend does not read it", "OTEL_PROPAGATORS=tracecontext,baggage");
    warns(&without(4), BAGGAGE, "it is lost between dummy-0-0 and dummy-1-0", "pass the header baggage on");
    warns(&without(6), BAGGAGE, "it is lost between dummy-1-0 and dummy-2-0", "");
    // One that makes no spans is passed over.
    let mut spans = without(6);
    spans.drain(4..6);
    spans[4].parent = spans[3].id;
    warns(&spans, BAGGAGE, "it is lost between dummy-0-0 and dummy-2-0", "");
    // Whoever does not copy it may pass it on.
    let mut spans = well();
    spans[4].copied = false;
    assert_eq!(said(&spans, BAGGAGE).saw, "what the call was sent with is on spans of frontend, dummy-0-0, dummy-2-0");
    // The last is no service of ours, and need not copy anything.
    let mut spans = without(6);
    spans[6].service = "checkout";
    let way = way(&["dummy-0-0", "dummy-1-0", "checkout"]);
    assert!(baggage(&traces(&spans), &way).is_some_and(|finding| finding.result == Verdict::Ok));
}
