//! Through the builder, as readers use it.

use super::builder::{AHEAD, MOST_KEYS};
use super::*;

fn build(spans: &[(&str, &str, u64, i64)]) -> Traces {
    let mut builder = Builder::default();
    let service = builder.text("a");
    let resource = builder.resource(Resource { service, attributes: vec![] });
    for (span_id, parent_id, start, duration) in spans {
        let (start, duration) = (*start, *duration);
        builder.push(NewSpan {
            trace_id: "1",
            span_id,
            parent_id,
            start,
            duration,
            resource,
            operation: "o",
            ..NewSpan::default()
        });
    }
    builder.finish()
}

#[test]
fn spans_are_linked_in_whatever_order_they_come() {
    let traces = build(&[("c", "b", 20, 5), ("b", "a", 10, 20), ("a", "", 0, 40), ("d", "x", 15, 1)]);
    let parents: Vec<_> = traces.of(0).iter().map(|span| (span.id, span.parent)).collect();
    let expected = [(10, Parent::Root), (11, Parent::Span(0)), (13, Parent::Missing), (12, Parent::Span(1))];
    assert_eq!(parents, expected);
}

#[test]
fn what_is_no_span_is_left_out_and_counted() {
    let traces = build(&[("a", "", 0, 40), ("a", "", 0, 40), ("b", "a", 3, -1), ("", "a", 3, 1)]);
    assert_eq!(traces.span_count(), 1);
    let left_out: Vec<_> = traces.left_out.into_iter().collect();
    assert_eq!(left_out, [("duplicate span", 1), ("span with a negative duration", 1), ("span without an id", 1)]);
}

#[test]
fn a_cycle_is_broken_once() {
    let traces = build(&[("a", "c", 0, 9), ("b", "a", 1, 5), ("c", "b", 2, 3), ("d", "c", 3, 1), ("e", "e", 4, 1)]);
    assert_eq!(traces.left_out.get("parent that is its own ancestor"), Some(&2));
    for mut span in traces.of(0) {
        for _ in 0..5 {
            let Parent::Span(parent) = span.parent else { break };
            span = &traces.of(0)[parent as usize];
        }
        assert!(!matches!(span.parent, Parent::Span(_)), "every way ends");
    }
}

fn push(builder: &mut Builder, trace: &str, id: &str, parent: &str, kind: Kind, (start, duration): (u64, i64), resource: u32) {
    let (trace_id, span_id, parent_id, operation) = (trace, id, parent, "o");
    let new = NewSpan { trace_id, span_id, parent_id, operation, start, duration, resource, kind, ..NewSpan::default() };
    builder.push(new);
}

/// As Zipkin's instrumentation has it.
#[test]
fn both_ends_of_a_call_may_have_one_id() {
    let mut builder = Builder::default();
    let resources: Vec<u32> = ["caller", "called"]
        .map(|name| {
            let service = builder.text(name);
            builder.resource(Resource { service, attributes: vec![] })
        })
        .to_vec();
    push(&mut builder, "1", "b", "a", Kind::Server, (20, 50), resources[1]);
    push(&mut builder, "1", "a", "", Kind::Server, (0, 100), resources[0]);
    push(&mut builder, "1", "b", "a", Kind::Client, (10, 80), resources[0]);
    push(&mut builder, "1", "c", "b", Kind::Client, (30, 10), resources[1]);
    push(&mut builder, "1", "d", "b", Kind::Internal, (12, 3), resources[0]);
    push(&mut builder, "1", "b", "a", Kind::Server, (20, 50), resources[1]);
    push(&mut builder, "1", "b", "a", Kind::Server, (21, 9), resources[1]);
    let traces = builder.finish();
    let found: Vec<_> = traces.of(0).iter().map(|span| (span.id, span.kind, span.parent)).collect();
    let expected = [
        (10, Kind::Server, Parent::Root),
        (11, Kind::Client, Parent::Span(0)),
        (13, Kind::Internal, Parent::Span(1)),
        (11, Kind::Server, Parent::Span(1)),
        (12, Kind::Client, Parent::Span(3)),
    ];
    assert_eq!(found, expected);
    let left_out: Vec<_> = traces.left_out.into_iter().collect();
    assert_eq!(left_out, [("duplicate span", 1), ("span with the id of another span", 1)]);
}

#[test]
fn traces_keep_the_order_in_which_they_came_however_their_spans_are_mixed() {
    let mut builder = Builder::default();
    let service = builder.text("s");
    let resource = builder.resource(Resource { service, attributes: vec![] });
    for at in 0..1_000_u64 {
        let trace = format!("{:x}", 1 + (at * 7) % 10);
        push(&mut builder, &trace, &format!("{:x}", at + 1), "", Kind::Unspecified, (1_000 - at, 1), resource);
    }
    let traces = builder.finish();
    let ids: Vec<_> = (0..traces.len()).map(|trace| traces.id(trace).0).collect();
    assert_eq!(ids, [1, 8, 5, 2, 9, 6, 3, 10, 7, 4]);
    for trace in 0..10 {
        assert_eq!(traces.of(trace).len(), 100);
        assert!(traces.of(trace).is_sorted_by_key(|span| span.start));
    }
}

#[test]
fn an_id_that_is_not_hexadecimal_is_told_as_it_came() {
    let mut builder = Builder::default();
    let service = builder.text("s");
    let resource = builder.resource(Resource { service, attributes: vec![] });
    for trace in ["00AB", "0d8e-4f1c", "0d8e-4f1d"] {
        push(&mut builder, trace, "1", "", Kind::Unspecified, (1, 1), resource);
    }
    let traces = builder.finish();
    let names: Vec<_> = (0..traces.len()).map(|trace| traces.name(traces.id(trace))).collect();
    assert_eq!(names, ["000000000000000000000000000000ab", "0d8e-4f1c", "0d8e-4f1d"]);
}

#[test]
fn keys_that_never_end_are_not_all_kept() {
    let mut builder = Builder::default();
    let kept = (0..2 * MOST_KEYS).filter(|at| builder.attribute(&format!("item.{at}"), "1").is_some()).count();
    assert_eq!((kept, builder.finish().noted.into_values().sum::<u64>()), (MOST_KEYS, MOST_KEYS as u64));
}

#[test]
fn spans_of_the_future_are_left_out() {
    let mut builder = Builder::until(1_000);
    let service = builder.text("s");
    let resource = builder.resource(Resource { service, attributes: vec![] });
    for (id, start) in [("a", 999), ("b", 1_000 + AHEAD), ("c", 1_001 + AHEAD), ("d", u64::MAX)] {
        push(&mut builder, "1", id, "", Kind::Unspecified, (start, 0), resource);
    }
    let traces = builder.finish();
    assert_eq!((traces.span_count(), traces.left_out.get("span of the future")), (2, Some(&2)));
}

#[test]
fn what_an_answer_repeats_is_passed_over_and_what_it_lost_is_forgotten() {
    let mut builder = Builder::default();
    let service = builder.text("s");
    let resource = builder.resource(Resource { service, attributes: vec![] });
    let one = |builder: &mut Builder, trace: &str, id: &str| push(builder, trace, id, "", Kind::Unspecified, (5, 1), resource);
    builder.begin_answer();
    one(&mut builder, "1", "a");
    one(&mut builder, "2", "a");
    builder.leave_out("x");
    builder.end_answer(false);
    assert!(builder.pushed() == 0 && !builder.knows(TraceId(1)));
    builder.begin_answer();
    one(&mut builder, "1", "a");
    one(&mut builder, "1", "b");
    assert_eq!(builder.answered_roots(), ["s"]);
    assert_eq!(builder.end_answer(true).new, [TraceId(1)]);
    builder.begin_answer();
    one(&mut builder, "1", "a");
    one(&mut builder, "3", "a");
    let answered = builder.end_answer(true);
    assert_eq!((answered.traces, answered.new, answered.starts), (2, vec![TraceId(3)], Some((5, 5))));
    let traces = builder.finish();
    assert_eq!((traces.len(), traces.span_count(), traces.left_out.len()), (2, 3, 0));
}

#[test]
fn a_trace_that_passes_kubernetes_and_somebody_else_is_kept() {
    let traces = |without: bool| {
        let mut builder = Builder::default();
        if without {
            builder = builder.without_kubernetes_own();
        }
        let mut resource = |name| {
            let service = builder.text(name);
            builder.resource(Resource { service, attributes: vec![] })
        };
        let (kubelet, containerd, webhook) = (resource("kubelet"), resource("containerd"), resource("webhook"));
        for (trace, id, parent, resource) in [
            ("1", "a", "", kubelet),
            ("1", "b", "a", containerd),
            ("2", "a", "", kubelet),
            ("2", "b", "a", webhook),
            ("3", "a", "x", containerd),
        ] {
            push(&mut builder, trace, id, parent, Kind::Internal, (1, 1), resource);
        }
        builder.finish()
    };
    assert_eq!((traces(false).len(), traces(true).len()), (3, 1));
    assert_eq!(traces(true).left_out.get("trace of Kubernetes' own"), Some(&2));
}
