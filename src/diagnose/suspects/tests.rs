//! The whole diagnosis, on traces of simulated mysteries; `benches/accuracy` does the same with many more of them.

mod machine;
mod nginx;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

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
            let attributes = traces.attributes(span).iter();
            let attributes: Vec<_> =
                attributes.filter_map(|(key, value)| builder.attribute(traces.texts.get(*key), traces.texts.get(*value))).collect();
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
                attributes: &attributes,
            };
            change(&mut copy);
            builder.push(copy);
        }
    }
}

/// As traces of others may come: without kinds, statuses and attributes.
fn bare(traces: &Traces) -> Traces {
    let mut builder = Builder::default();
    copy(traces, &mut builder, |span| (span.kind, span.status, span.attributes) = (Kind::Unspecified, Status::Unset, &[]));
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

const MS: u64 = 1_000_000;

/// Traces of others, span by span.
#[derive(Default)]
struct Written {
    builder: Builder,
    /// What every span and every resource has.
    attributes: Vec<(&'static str, String)>,
    resource: Vec<(&'static str, String)>,
}

impl Written {
    /// `id` and `parent` are numbers, 0 for none; times are milliseconds.
    fn span(&mut self, trace: u64, (id, parent): (u64, u64), service: &str, kind: Kind, (start, length): (f64, f64), failed: bool) {
        self.named("o", trace, (id, parent), service, kind, (start, length), failed);
    }

    #[expect(clippy::too_many_arguments, reason = "a span has as many properties")]
    fn named(
        &mut self,
        operation: &str,
        trace: u64,
        (id, parent): (u64, u64),
        service: &str,
        kind: Kind,
        (start, length): (f64, f64),
        failed: bool,
    ) {
        let Self { builder, attributes, resource } = self;
        let service = builder.text(service);
        let attributes: Vec<_> = attributes.iter().filter_map(|(key, value)| builder.attribute(key, value)).collect();
        let resource = resource.iter().filter_map(|(key, value)| builder.attribute(key, value)).collect();
        let resource = builder.resource(Resource { service, attributes: resource });
        builder.push(NewSpan {
            trace_id: &format!("{:x}", trace + 1),
            span_id: &format!("{id:x}"),
            parent_id: &if parent == 0 { String::new() } else { format!("{parent:x}") },
            operation,
            resource,
            start: (start * MS as f64) as u64,
            duration: (length * MS as f64) as i64,
            kind,
            status: if failed { Status::Error } else { Status::Unset },
            attributes: &attributes,
        });
    }

    fn diagnosed(self) -> Diagnosis {
        diagnosed(&self.builder.finish())
    }
}

fn causes(diagnosis: &Diagnosis) -> Vec<(SuspectCause, Option<&str>)> {
    diagnosis.suspects.iter().map(|suspect| (suspect.cause, suspect.service.as_deref())).collect()
}

#[test]
fn an_attribute_that_span_and_resource_both_have_counts_once() {
    let mut written = Written::default();
    for trace in 0..300 {
        let host = format!("host-{}", trace % 3);
        (written.attributes, written.resource) = (vec![("host", host.clone())], vec![("host", host.clone()), ("host", host)]);
        for service in 0..10 {
            let length = if service == 4 && trace % 3 == 1 { 300.0 } else { 1.0 };
            let trace = trace * 10 + service;
            written.span(trace, (1, 0), &format!("s{service}"), Kind::Server, (trace as f64 * 40.0, length), false);
        }
    }
    let diagnosis = written.diagnosed();
    let attribute = Attribute { key: "host".to_owned(), value: "host-1".to_owned() };
    assert_eq!(diagnosis.suspects[0].attribute, Some(attribute));
    assert_eq!(diagnosis.suspects[0].evidence[1], "100 of 100 requests with host = host-1, 0 of 200 others");
}

#[test]
fn of_a_release_and_the_pod_that_came_with_it_the_release_is_named() {
    let mut written = Written::default();
    for trace in 0..300 {
        for service in 0..10 {
            let is_old = trace < 150;
            let slow = service == 4 && is_old;
            let pod = format!("s{service}-{}", if is_old { "x2x4z" } else { "q9w8r" });
            let version = if service == 4 && !is_old { "v2" } else { "v1" };
            written.resource = vec![("host.name", pod.clone()), ("k8s.pod.name", pod), ("service.version", version.to_owned())];
            let length = if slow { 300.0 } else { 1.0 };
            let trace = trace * 10 + service;
            written.span(trace, (1, 0), &format!("s{service}"), Kind::Server, (trace as f64 * 40.0, length), false);
        }
    }
    let attribute = Attribute { key: "service.version".to_owned(), value: "v1".to_owned() };
    assert_eq!(written.diagnosed().suspects[0].attribute, Some(attribute));
}

/// A service of five that calls a database ten times a request, the others once.
fn database(at_once: bool, same: bool, failing: bool) -> Traces {
    let mut written = Written::default();
    for trace in 0..200 {
        let start = trace as f64 * 100.0;
        let failed = |service| failing && service == 2 && trace % 5 == 0;
        written.span(trace, (1, 0), "web", Kind::Server, (start, 60.0), failed(2));
        for service in 0..5 {
            let (name, own, start) = (format!("s{service}"), 2 + 2 * service, start + 1.0 + 10.0 * service as f64);
            written.span(trace, (own, 1), "web", Kind::Client, (start, 9.0), failed(service));
            written.span(trace, (own + 1, own), &name, Kind::Server, (start + 0.1, 8.8), failed(service));
            for call in 0..if service == 2 { 10 } else { 1 } {
                let operation = if same { "SELECT".to_owned() } else { format!("SELECT {call}") };
                let (from, length) = if at_once { (0.2, 7.0) } else { (0.2 + 0.7 * call as f64, 0.6) };
                let ids = (100 + 16 * service + call, own + 1);
                written.named(&operation, trace, ids, &name, Kind::Client, (start + from, length), false);
            }
        }
    }
    written.builder.finish()
}

#[test]
fn many_calls_are_the_same_call_in_turn_and_more_than_before() {
    let many = [(SuspectCause::ManyCalls, Some("s2"))];
    let in_turn = database(false, true, false);
    let diagnosis = diagnosed(&in_turn);
    assert_eq!(causes(&diagnosis), many);
    assert!(diagnosis.suspects[0].evidence[0].starts_with("a request makes 10 calls to something"), "{:?}", diagnosis.suspects);
    assert_eq!(causes(&diagnosed(&database(true, true, false))), [], "at once");
    assert_eq!(causes(&diagnosed(&database(false, false, false))), [], "different ones");
    assert_eq!(causes(&diagnose::diagnose(&in_turn, Some(&in_turn), &Options::default())), [], "as ever");
}

#[test]
fn calls_whose_requests_still_run_are_no_requests_without_calls() {
    let mut written = Written::default();
    for trace in 0..40 {
        let start = trace as f64 * 100.0;
        // Spans come when they end: of the last requests there are only the calls that they have made so far.
        let runs = trace >= 30;
        if !runs {
            written.span(trace, (1, 0), "web", Kind::Server, (start, 60.0), false);
            written.span(trace, (2, 1), "web", Kind::Client, (start + 1.0, 58.0), false);
            written.span(trace, (3, 2), "shop", Kind::Server, (start + 2.0, 56.0), false);
        }
        for call in 0..if runs { 20 } else { 50 } {
            written.named("SET", trace, (10 + call, 3), "shop", Kind::Client, (start + 3.0 + call as f64, 0.9), false);
        }
    }
    let diagnosis = written.diagnosed();
    assert_eq!(causes(&diagnosis), [(SuspectCause::ManyCalls, Some("shop"))]);
    assert!(diagnosis.suspects[0].evidence[0].starts_with("a request makes 50 calls"), "{:?}", diagnosis.suspects);
}

/// A request that 40 services answer at once: 30 sleep up to 100 ms, the others write to a database, one of these call by call.
fn fan_out(writers: u64) -> Traces {
    let mut written = Written::default();
    for trace in 0..60 {
        let start = trace as f64 * 200.0;
        written.span(trace, (1, 0), "web", Kind::Server, (start, 110.0), false);
        for service in 0..40 {
            let (name, client, own) = (format!("s{service}"), 2 + 2 * service, 3 + 2 * service);
            let length = if service < 30 { 80.0 + ((service + trace) % 20) as f64 } else { 4.0 };
            written.span(trace, (client, 1), "web", Kind::Client, (start + 1.0, length + 0.4), false);
            written.span(trace, (own, client), &name, Kind::Server, (start + 1.2, length), false);
            if (30..30 + writers).contains(&service) {
                for call in 0..if service == 30 { 25 } else { 1 } {
                    let ids = (100 + 32 * service + call, own);
                    written.named("SET", trace, ids, &name, Kind::Client, (start + 1.3 + 0.1 * call as f64, 0.09), false);
                }
            }
        }
    }
    written.builder.finish()
}

#[test]
fn many_calls_that_cost_a_fan_out_next_to_nothing_are_many_beside_what_others_make() {
    assert_eq!(causes(&diagnosed(&fan_out(3))), [(SuspectCause::ManyCalls, Some("s30"))]);
    assert_eq!(causes(&diagnosed(&fan_out(2))), [], "one other is no measure");
}

#[test]
fn who_makes_many_calls_and_fails_is_suspected_of_both() {
    let diagnosis = diagnosed(&database(false, true, true));
    let mut causes = causes(&diagnosis);
    causes.sort();
    assert_eq!(causes, [(SuspectCause::Failure, Some("s2")), (SuspectCause::ManyCalls, Some("s2"))]);
}

#[test]
fn what_fails_everywhere_alike_is_a_note_and_neither_the_entrys_fault_nor_some_services() {
    for share in [2, 20, 100] {
        let mut written = Written { resource: vec![("environment", "production".to_owned())], ..Written::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for trace in 0..6_000 {
            let (start, failed) = (trace as f64 * 10.0, rng.random_ratio(share, 100));
            written.span(trace, (1, 0), "web", Kind::Server, (start, 9.0), failed);
            written.span(trace, (2, 1), "web", Kind::Client, (start + 1.0, 7.0), failed);
            let [before, service] = ["a", "b"].map(|layer| format!("{layer}{}", rng.random_range(0..30)));
            written.span(trace, (3, 2), &before, Kind::Server, (start + 2.0, 5.0), failed);
            written.span(trace, (4, 3), &before, Kind::Client, (start + 3.0, 3.0), failed);
            written.span(trace, (5, 4), &service, Kind::Server, (start + 3.5, 2.0), failed);
        }
        let diagnosis = written.diagnosed();
        assert_eq!(causes(&diagnosis), []);
        assert!(diagnosis.notes[0].ends_with("in 30 services, none of which stands out"), "{:?}", diagnosis.notes);
    }
}

#[test]
fn a_service_that_the_baseline_does_not_know_may_fail() {
    let made = |services: u64| {
        let mut written = Written::default();
        for trace in 0..200 {
            let (start, failed) = (trace as f64 * 50.0, services == 5 && trace % 5 < 2);
            written.span(trace, (1, 0), "web", Kind::Server, (start, 20.0), failed);
            for service in 0..services {
                let times = (start + 1.0 + 3.0 * service as f64, 1.0);
                written.span(trace, (2 + service, 1), &format!("s{service}"), Kind::Server, times, failed && service == 4);
            }
        }
        written.builder.finish()
    };
    let diagnosis = diagnose::diagnose(&made(5), Some(&made(4)), &Options::default());
    assert_eq!(causes(&diagnosis), [(SuspectCause::Failure, Some("s4"))]);
}

#[test]
fn a_slow_call_to_somebody_elses_service_has_not_lost_the_requests_that_come_meanwhile() {
    let mut written = Written::default();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for trace in 0..300 {
        let start = trace as f64 * 100.0 + rng.random_range(0.0..90.0);
        written.span(2 * trace, (1, 0), "shop", Kind::Server, (start, 520.0), false);
        written.span(2 * trace, (2, 1), "shop", Kind::Client, (start + 2.0, 500.0), false);
        let start = trace as f64 * 100.0 + rng.random_range(0.0..90.0);
        written.span(2 * trace + 1, (1, 0), "admin", Kind::Server, (start, 50.0), false);
    }
    let diagnosis = written.diagnosed();
    assert!(diagnosis.suspects.iter().all(|suspect| suspect.cause != SuspectCause::LostContext), "{:?}", diagnosis.suspects);
}

/// A request of ten services, of which one takes 300 ms: in a call that nobody answers with a span, or by itself.
fn slow_one(calls: bool) -> Diagnosis {
    let mut written = Written::default();
    for trace in 0..200 {
        let start = trace as f64 * 2_000.0;
        written.span(trace, (1, 0), "web", Kind::Server, (start, 361.0), false);
        for service in 0..10 {
            let (name, id) = (format!("s{service}"), 10 * (service + 1));
            let time = if service == 5 { 304.0 } else { 4.0 };
            let start = start + 6.0 * service as f64 + if service > 5 { 300.0 } else { 0.0 };
            written.span(trace, (id, 1), "web", Kind::Client, (start, time + 0.4), false);
            written.span(trace, (id + 1, id), &name, Kind::Server, (start + 0.2, time), false);
            if calls {
                written.span(trace, (id + 2, id + 1), &name, Kind::Client, (start + 1.2, time - 2.0), false);
            }
        }
    }
    written.diagnosed()
}

#[test]
fn who_waits_for_what_sends_no_spans_is_suspected_with_reserve() {
    let (waits, itself) = (slow_one(true), slow_one(false));
    let s5 = [(SuspectCause::Sleep, Some("s5"))];
    assert_eq!((causes(&waits), causes(&itself)), (s5.to_vec(), s5.to_vec()));
    let (waits, itself) = (&waits.suspects[0], &itself.suspects[0]);
    assert!(waits.confidence <= 0.5 && itself.confidence > 0.8, "{waits:?} {itself:?}");
    assert!(waits.evidence[0].contains("sends no spans, such as") && waits.evidence[0].ends_with("that may be it"), "{waits:?}");
}

#[test]
fn what_is_slow_inside_and_out_is_one_suspect() {
    let mut written = Written::default();
    for trace in 0..200 {
        let start = trace as f64 * 2_000.0;
        written.span(trace, (1, 0), "web", Kind::Server, (start, 752.0), false);
        for service in 0..12 {
            let (slow, start) = (if service == 5 { 300.0 } else { 1.0 }, start + 1.0 + 12.5 * service as f64);
            let start = if service > 5 { start + 598.0 } else { start };
            let (name, id) = (format!("s{service}"), 10 * (service + 1));
            let callee = format!("s{}", 20 + service % 6);
            written.span(trace, (id, 1), "web", Kind::Client, (start, 10.0 + 2.0 * slow), false);
            written.span(trace, (id + 1, id), &name, Kind::Server, (start + slow, 9.0 + slow), false);
            if service == 5 {
                written.span(trace, (id + 2, id + 1), &name, Kind::Client, (start + slow + 2.0, 200.0), false);
                written.span(trace, (id + 3, id + 2), &callee, Kind::Server, (start + slow + 190.0, 4.0), false);
            } else {
                written.span(trace, (id + 2, id + 1), &name, Kind::Client, (start + slow + 2.0, 5.0), false);
                written.span(trace, (id + 3, id + 2), &callee, Kind::Server, (start + slow + 2.5, 4.0), false);
            }
        }
    }
    let diagnosis = written.diagnosed();
    assert_eq!(causes(&diagnosis), [(SuspectCause::Sleep, Some("s5"))]);
    assert!(diagnosis.suspects[0].evidence[1].contains("on the way"), "{:?}", diagnosis.suspects[0].evidence);
}

#[test]
fn services_that_call_each_other_in_turn_ten_thousand_times_take_no_time() {
    const DEEP: u64 = 10_000;
    let mut written = Written::default();
    for trace in 0..2 {
        for at in 0..DEEP {
            // Every hundredth takes long by itself.
            let late = at.div_ceil(100) as f64 * 50.0;
            let times = (at as f64 + late, 2.0 * (DEEP - at) as f64 + DEEP as f64 - late);
            written.span(trace, (at + 1, at), &format!("s{}", at % 7), Kind::Server, times, false);
        }
    }
    let begun = std::time::Instant::now();
    assert!(!written.diagnosed().ranking.is_empty());
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}

#[test]
fn times_that_add_up_to_more_than_there_are_make_no_trouble() {
    let mut written = Written::default();
    let for_ever = i64::MAX as f64 / MS as f64;
    for trace in 0..30 {
        for id in 1..9 {
            written.span(trace, (id, u64::from(id > 1)), "only", Kind::Internal, (0.0, for_ever), false);
            written.span(trace, (id + 10, id), "only", Kind::Client, (0.0, for_ever), false);
        }
    }
    assert_eq!(written.diagnosed().ranking.len(), 1);
}

/// What the same services leave in one load after the other, ten minutes apart.
fn in_turn(parts: &[(&Mystery, Load)]) -> Traces {
    let mut builder = Builder::default();
    for (part, (mystery, load)) in parts.iter().enumerate() {
        let traces = simulate(mystery, &Load { seed: 5 + part as u64, ..load.clone() });
        copy(&traces, &mut builder, |span| span.start += part as u64 * 600_000_000_000);
    }
    builder.finish()
}

fn busy(calls: u64) -> Load {
    Load { calls, concurrency: 30, ..Load::default() }
}

#[test]
fn who_sleeps_for_a_part_of_the_time_sleeps_and_the_part_is_said() {
    for seed in 1..5 {
        let [sleeping, calm] = [Cause::Sleep, Cause::None].map(|cause| mystery(cause, Route::Straight, seed));
        let (on, off) = ((&sleeping, busy(600)), (&calm, busy(600)));
        // The simulation begins at 22:13:20.
        for (parts, since) in [
            (vec![on.clone(), off.clone()], "60 of 60 requests until 22:13"),
            (vec![off.clone(), on.clone()], "60 of 60 requests since 22:23:2"),
            (vec![off.clone(), on.clone(), off.clone()], "60 of 60 requests from 22:23:2"),
            (vec![on.clone(), off, on], "120 of 120 requests before 22:23:2"),
        ] {
            let diagnosis = diagnosed(&in_turn(&parts));
            let grade = grade::grade(&diagnosis, &sleeping.answer());
            assert!(grade.is_right() && diagnosis.suspects.len() == 1, "seed {seed}: {:?}", causes(&diagnosis));
            let evidence = &diagnosis.suspects[0].evidence[1];
            assert!(evidence.starts_with(since) && evidence.contains(" UTC, 0 of "), "seed {seed}: {evidence}");
        }
    }
}

#[test]
fn two_mysteries_one_after_the_other_are_both_solved() {
    for (first, second) in [(Cause::Sleep, Cause::Sleep), (Cause::Contention, Cause::Sleep), (Cause::Sleep, Cause::Failure)] {
        for seed in 1..4 {
            let one = mystery(first, Route::Straight, seed);
            let mut others = (seed + 20..).map(|seed| mystery(second, Route::Straight, seed));
            let other = others.find(|other| other.culprit != one.culprit).unwrap();
            let mysteries = [one, other];
            let diagnosis = diagnosed(&in_turn(&mysteries.each_ref().map(|mystery| (mystery, busy(600)))));
            for mystery in &mysteries {
                let found = diagnosis.suspects.iter().any(|suspect| grade::is_right(suspect, &mystery.answer()));
                assert!(found, "seed {seed}: {:?} is not among {:?}", mystery.answer(), causes(&diagnosis));
            }
            assert_eq!(diagnosis.suspects.len(), 2, "seed {seed}: {:?}", causes(&diagnosis));
        }
    }
}

#[test]
fn who_is_slow_when_busy_is_so_though_only_a_part_of_the_time_was_busy() {
    for seed in 1..5 {
        let queueing = mystery(Cause::Contention, Route::Straight, seed);
        let calm = mystery(Cause::None, Route::Straight, seed);
        let (quiet, loaded) = ((&queueing, Load { concurrency: 1, ..busy(600) }), (&queueing, busy(600)));
        let loads = [[quiet.clone(), loaded.clone()], [loaded.clone(), quiet], [(&calm, busy(600)), loaded]];
        for (at, parts) in loads.iter().enumerate() {
            let diagnosis = diagnosed(&in_turn(parts));
            let grade = grade::grade(&diagnosis, &queueing.answer());
            assert!(grade.is_right(), "seed {seed}, {at}: {:?}", diagnosis.suspects);
        }
    }
}

#[test]
fn other_causes_stay_what_they_are_where_all_was_well_before() {
    for (cause, route, calls) in [
        (Cause::RareSleep, Route::Straight, 5_000),
        (Cause::Failure, Route::Straight, 500),
        (Cause::Customer, Route::Straight, 1_000),
        (Cause::Upstream, Route::Random, 500),
        (Cause::Redis, Route::Straight, 300),
        (Cause::Network, Route::Straight, 500),
        (Cause::Network, Route::Random, 1_500),
    ] {
        for seed in 1..4 {
            let [wrong, calm] = [cause, Cause::None].map(|cause| mystery(cause, route, seed));
            let diagnosis = diagnosed(&in_turn(&[(&calm, busy(calls)), (&wrong, busy(calls))]));
            let grade = grade::grade(&diagnosis, &wrong.answer());
            assert!(grade.is_right(), "{cause}, seed {seed}: {:?} is not {:?}", causes(&diagnosis), wrong.answer());
        }
    }
}
