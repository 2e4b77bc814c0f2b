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
}

/// The span that the doctor says it has.
const DOCTORS: u64 = 0xd0c;
/// When calls begin.
const BEGAN: i64 = 1_000_000;

/// One after the other, each the parent of the next.
fn one_below_the_other(spans: &[(&'static str, Kind)]) -> Vec<One> {
    let one = |(at, (service, kind)): (usize, &(&'static str, Kind))| {
        let id = at as u64 + 1;
        let inwards = 5 * at as i64;
        let parent = if at == 0 { DOCTORS } else { id - 1 };
        One { service, id, parent, kind: *kind, start: BEGAN + inwards, duration: 100 - 2 * inwards }
    };
    spans.iter().enumerate().map(one).collect()
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
    for One { service, id, parent, kind, start, duration } in spans {
        let service = builder.text(service);
        let resource = builder.resource(Resource { service, attributes: vec![] });
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
            ..NewSpan::default()
        });
    }
    builder.finish()
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
