//! The whole diagnosis, on traces of simulated mysteries; `benches/accuracy` does the same with many more of them.

use super::*;
use crate::diagnose::model::{Builder, Kind, NewSpan, Parent, Resource, Status};
use crate::diagnose::{self, Options};
use crate::mystery::{Cause, Mystery, draw};
use crate::simulation::{Load, grade, simulate};
use crate::topology::{Route, Topology};

fn mystery(cause: Cause, route: Route, seed: u64) -> Mystery {
    draw(seed, cause, Topology::new(3, 10, route).unwrap(), 1.0).unwrap()
}

fn traces(mystery: &Mystery, calls: u64) -> Traces {
    simulate(mystery, &Load { calls, concurrency: 30, seed: 5, ..Load::default() })
}

fn diagnosed(traces: &Traces) -> Diagnosis {
    diagnose::diagnose(traces, None, &Options::default())
}

#[test]
fn every_cause_is_found_with_its_culprit() {
    for (cause, route, calls) in [
        (Cause::Sleep, Route::Straight, 300),
        (Cause::RareSleep, Route::Straight, 5_000),
        (Cause::Failure, Route::Straight, 500),
        (Cause::Customer, Route::Straight, 1_000),
        (Cause::Upstream, Route::Random, 500),
        (Cause::Contention, Route::Straight, 500),
        (Cause::Redis, Route::Straight, 300),
        (Cause::Network, Route::Random, 1_500),
        (Cause::LostContext, Route::Random, 500),
    ] {
        for seed in 1..4 {
            let mystery = mystery(cause, route, seed);
            let diagnosis = diagnosed(&traces(&mystery, calls));
            let grade = grade::grade(&diagnosis, &mystery.answer());
            assert!(grade.is_right(), "{cause}, seed {seed}: {:?} is not {:?}", diagnosis.suspects.first(), mystery.answer());
            assert_eq!(diagnosis.suspects.len(), 1, "{cause}, seed {seed}: one fault, one suspect");
            assert_eq!(Some(diagnosis.ranking[0].0.clone()), mystery.culprit.map(|culprit| culprit.to_string()));
        }
    }
}

#[test]
fn where_nothing_is_wrong_nothing_stands_out() {
    for seed in 1..10 {
        let diagnosis = diagnosed(&traces(&mystery(Cause::None, Route::Straight, seed), 1_000));
        assert!(diagnosis.suspects.is_empty(), "seed {seed}: {:?}", diagnosis.suspects);
        assert_eq!(diagnosis.ranking.len(), 31);
    }
}

#[test]
fn a_suspect_has_evidence_examples_and_an_effect() {
    let mystery = mystery(Cause::Sleep, Route::Straight, 2);
    let traces = traces(&mystery, 300);
    let suspect = &diagnosed(&traces).suspects[0];
    assert!(suspect.evidence[0].starts_with("30 of 30 requests took "), "{}", suspect.evidence[0]);
    assert_eq!((suspect.examples.len(), suspect.effect.traces), (3, 30));
    assert!(suspect.effect.p99_ms.fixed < suspect.effect.p99_ms.now / 3.0, "{:?}", suspect.effect);
    assert!(suspect.confidence > 0.9);
}

/// Adds traces to a builder, each span as `change` leaves it; attributes of resources are lost on the way.
fn copy(traces: &Traces, builder: &mut Builder, change: impl Fn(&mut NewSpan<'_>)) {
    for trace in 0..traces.len() {
        let spans = traces.of(trace);
        for span in spans {
            let service = builder.text(traces.texts.get(traces.service(span)));
            let resource = builder.resource(Resource { service, attributes: vec![] });
            let parent_id = match span.parent {
                Parent::Span(parent) => format!("{:x}", spans[parent as usize].id),
                Parent::Root | Parent::Missing => String::new(),
            };
            let mut copy = NewSpan {
                trace_id: &format!("{:x}", traces.id(trace).0),
                span_id: &format!("{:x}", span.id),
                parent_id: &parent_id,
                operation: traces.texts.get(span.operation),
                resource,
                start: span.start,
                duration: i64::try_from(span.duration()).unwrap(),
                kind: span.kind,
                status: span.status,
                attributes: &[],
            };
            change(&mut copy);
            builder.push(copy);
        }
    }
}

/// As traces of others may come: without kinds, statuses and attributes.
fn bare(traces: &Traces) -> Traces {
    let mut builder = Builder::default();
    copy(traces, &mut builder, |span| (span.kind, span.status) = (Kind::Unspecified, Status::Unset));
    builder.finish()
}

#[test]
fn what_is_slow_is_found_without_kinds_statuses_and_attributes() {
    for (cause, route, calls) in [
        (Cause::Sleep, Route::Straight, 300),
        (Cause::RareSleep, Route::Straight, 5_000),
        (Cause::Contention, Route::Straight, 500),
        (Cause::Network, Route::Straight, 300),
    ] {
        let mystery = mystery(cause, route, 3);
        let diagnosis = diagnosed(&bare(&traces(&mystery, calls)));
        let grade = grade::grade(&diagnosis, &mystery.answer());
        assert!(grade.is_right(), "{cause}: {:?} is not {:?}", diagnosis.suspects.first(), mystery.answer());
    }
}

#[test]
fn a_baseline_tells_what_became_slow_from_what_always_was() {
    let always = mystery(Cause::Sleep, Route::Straight, 4);
    let before = traces(&always, 500);
    let compared = diagnose::diagnose(
        &simulate(&always, &Load { calls: 500, seed: 6, ..Load::default() }),
        Some(&before),
        &Options::default(),
    );
    assert!(compared.suspects.is_empty(), "{:?}", compared.suspects);

    let calm = mystery(Cause::None, Route::Straight, 4);
    let compared = diagnose::diagnose(&before, Some(&traces(&calm, 500)), &Options::default());
    assert!(grade::grade(&compared, &always.answer()).is_right(), "{:?}", compared.suspects);
    assert_eq!(Some(compared.ranking[0].0.clone()), always.culprit.map(|culprit| culprit.to_string()));
}

#[test]
fn two_faults_at_once_are_two_suspects() {
    let (one, other) = (mystery(Cause::Sleep, Route::Straight, 2), mystery(Cause::Failure, Route::Straight, 3));
    assert_ne!(one.culprit, other.culprit);
    let mut builder = Builder::default();
    copy(&traces(&one, 500), &mut builder, |_| {});
    // Loads of another seed have other ids.
    copy(&simulate(&other, &Load { calls: 500, concurrency: 30, seed: 6, ..Load::default() }), &mut builder, |_| {});
    let diagnosis = diagnosed(&builder.finish());
    let mut found: Vec<_> = diagnosis.suspects.iter().map(|suspect| (suspect.cause, suspect.service.clone())).collect();
    found.sort();
    let name = |mystery: &Mystery| mystery.culprit.map(|culprit| culprit.to_string());
    let expected = vec![(SuspectCause::Sleep, name(&one)), (SuspectCause::Failure, name(&other))];
    assert_eq!(found, expected);
}

#[test]
fn too_little_is_said_to_be_too_little() {
    assert_eq!(diagnosed(&Traces::default()).notes, ["there is no trace to diagnose"]);
    let mystery = mystery(Cause::Sleep, Route::Straight, 2);
    let notes = |calls| diagnosed(&traces(&mystery, calls)).notes;
    assert_eq!(notes(1), ["1 trace is too few to compare; some dozens say more"]);
    assert_eq!(notes(3), ["3 traces are too few to compare; some dozens say more"]);
    assert!(notes(100).iter().all(|note| !note.contains("too few")), "{:?}", notes(100));
}

#[test]
fn traces_that_make_no_sense_make_no_trouble() {
    let mut builder = Builder::default();
    let service = builder.text("only");
    let resource = builder.resource(Resource { service, attributes: vec![] });
    for trace in 0..50 {
        for (span_id, parent_id) in [("1", "2"), ("2", "1"), ("3", "missing"), ("4", "3")] {
            let trace_id = format!("{trace:x}");
            let status = if trace % 2 == 0 { Status::Error } else { Status::Unset };
            builder.push(NewSpan {
                trace_id: &trace_id,
                span_id,
                parent_id,
                operation: "o",
                resource,
                status,
                ..NewSpan::default()
            });
        }
    }
    let traces = builder.finish();
    let diagnosis = diagnose::diagnose(&traces, Some(&traces), &Options::default());
    assert_eq!(diagnosis.ranking.len(), 1);
}
