use super::*;
use crate::diagnose::model::{Builder, Kind, NewSpan, Resource, Status};

const MS: u64 = 1_000_000;

/// Name, parent, service, start and end in milliseconds.
type Row = (&'static str, &'static str, &'static str, u64, u64);

/// Traces of spans whose names say more: `<` is a client span, `>` a server span, `!` one that failed.
fn read(traces: &[&[Row]]) -> Traces {
    let mut builder = Builder::default();
    for (trace, spans) in traces.iter().enumerate() {
        for (name, parent_id, service, start, end) in *spans {
            let service = builder.text(service);
            let resource = builder.resource(Resource { service, attributes: vec![] });
            builder.push(NewSpan {
                trace_id: &format!("{:x}", trace + 1),
                span_id: name,
                parent_id,
                operation: "o",
                resource,
                start: start * MS,
                duration: i64::try_from((end - start) * MS).unwrap(),
                kind: match () {
                    () if name.contains('<') => Kind::Client,
                    () if name.contains('>') => Kind::Server,
                    () => Kind::Unspecified,
                },
                status: if name.contains('!') { Status::Error } else { Status::Unset },
                ..NewSpan::default()
            });
        }
    }
    builder.finish()
}

/// Of each visit: service, own time and time on the path in milliseconds.
fn visits(traces: &Traces) -> Vec<(String, u64, u64)> {
    let evidence = Evidence::gather(traces, Rule::default());
    let name = |visit: &Visit| traces.texts.get(evidence.services[visit.service as usize]).to_owned();
    evidence.visits.iter().map(|visit| (name(visit), visit.own / MS, visit.on_path / MS)).collect()
}

/// Of each gap: caller, callee and time in milliseconds.
fn gaps(traces: &Traces) -> Vec<(String, String, u64)> {
    let evidence = Evidence::gather(traces, Rule::default());
    let name = |service: u32| traces.texts.get(evidence.services[service as usize]).to_owned();
    let ends = |gap: &Gap| evidence.pairs[gap.pair as usize];
    evidence.gaps.iter().map(|gap| (name(ends(gap).0), name(ends(gap).1), gap.time / MS)).collect()
}

fn own(service: &str, own: u64, on_path: u64) -> (String, u64, u64) {
    (service.to_owned(), own, on_path)
}

fn gap(caller: &str, callee: &str, time: u64) -> (String, String, u64) {
    (caller.to_owned(), callee.to_owned(), time)
}

#[test]
fn a_visit_is_all_of_a_service_down_to_the_next_and_a_gap_what_the_call_took_beside_it() {
    let traces =
        read(&[&[("a>", "", "x", 0, 100), ("inner", "a>", "x", 5, 90), ("a<", "inner", "x", 10, 80), ("b>", "a<", "y", 20, 70)]]);
    assert_eq!(visits(&traces), [own("x", 30, 30), own("y", 50, 50)]);
    assert_eq!(gaps(&traces), [gap("x", "y", 20)]);
}

#[test]
fn without_kinds_an_inner_span_that_only_waits_for_another_service_is_a_call() {
    let spans = [("a", "", "x", 0, 100), ("call", "a", "x", 10, 80), ("b", "call", "y", 20, 70)];
    assert_eq!(gaps(&read(&[&spans])), [gap("x", "y", 20)]);
    // One that lets the request in may do anything beside.
    let spans = [("a", "", "x", 0, 100), ("b", "a", "y", 20, 70)];
    assert_eq!(gaps(&read(&[&spans])), []);
    assert_eq!(visits(&read(&[&spans])), [own("x", 50, 50), own("y", 50, 50)]);
}

#[test]
fn a_service_that_calls_itself_is_visited_twice() {
    let traces = read(&[&[("a>", "", "x", 0, 100), ("a<", "a>", "x", 10, 80), ("b>", "a<", "x", 20, 70)]]);
    assert_eq!(visits(&traces), [own("x", 30, 30), own("x", 50, 50)]);
    assert_eq!(gaps(&traces), [gap("x", "x", 20)]);
}

#[test]
fn what_runs_beside_the_critical_path_has_own_time_and_costs_nothing() {
    let traces = read(&[&[
        ("a>", "", "x", 0, 100),
        ("a1<", "a>", "x", 10, 90),
        ("b>", "a1<", "y", 10, 90),
        ("a2<", "a>", "x", 20, 60),
        ("c>", "a2<", "z", 20, 60),
    ]]);
    assert_eq!(visits(&traces), [own("x", 20, 20), own("y", 80, 80), own("z", 40, 0)]);
}

#[test]
fn what_goes_on_after_the_answer_is_nobodys_time() {
    let traces = read(&[&[("a>", "", "x", 0, 100), ("refresh", "a>", "x", 99, 900)]]);
    assert_eq!(visits(&traces), [own("x", 100, 100)]);
}

#[test]
fn calls_that_no_service_answers_are_counted_and_are_their_callers_time() {
    let traces = read(&[&[("a>", "", "x", 0, 100), ("1<", "a>", "x", 10, 20), ("2<", "a>", "x", 30, 50)]]);
    let evidence = Evidence::gather(&traces, Rule::default());
    let visit = &evidence.visits[0];
    assert_eq!((visit.own / MS, visit.calls_out / MS, visit.calls), (100, 30, 2));
    assert_eq!(evidence.unanswered.len(), 2);
}

fn outcomes(spans: &[Row]) -> Vec<Outcome> {
    let evidence = Evidence::gather(&read(&[spans]), Rule::default());
    assert_eq!(evidence.traces[0].failed, evidence.visits[0].outcome != Outcome::Fine);
    evidence.visits.iter().map(|visit| visit.outcome).collect()
}

#[test]
fn a_failure_begins_in_the_deepest_visit_that_failed_by_itself() {
    use Outcome::{Fine, Origin, PassedOn};
    let spans = [
        ("a>!", "", "x", 0, 100),
        ("a<!", "a>!", "x", 10, 80),
        ("b>!", "a<!", "y", 20, 70),
        ("b<", "b>!", "y", 30, 40),
        ("c>", "b<", "z", 31, 39),
    ];
    assert_eq!(outcomes(&spans), [PassedOn, Origin, Fine]);
}

#[test]
fn what_was_tried_again_with_success_did_no_harm() {
    use Outcome::{Fine, Origin, PassedOn};
    let spans = [
        ("a>", "", "x", 0, 100),
        ("1<!", "a>", "x", 10, 20),
        ("b>!", "1<!", "y", 11, 19),
        ("2<", "a>", "x", 30, 50),
        ("c>", "2<", "y", 31, 49),
    ];
    assert_eq!(outcomes(&spans), [Fine, Fine, Fine]);
    let spans = [
        ("a>!", "", "x", 0, 100),
        ("1<!", "a>!", "x", 10, 20),
        ("b>!", "1<!", "y", 11, 19),
        ("2<!", "a>!", "x", 30, 50),
        ("c>!", "2<!", "z", 31, 49),
    ];
    assert_eq!(outcomes(&spans), [PassedOn, Fine, Origin]);
}

#[test]
fn requests_in_flight_are_those_begun_and_not_ended() {
    let traces = read(&[&[("a", "", "x", 0, 50)], &[("b", "", "x", 10, 20)], &[("c", "", "x", 20, 60)], &[("d", "", "y", 5, 90)]]);
    let evidence = Evidence::gather(&traces, Rule::default());
    assert_eq!(evidence.at_once(&traces, evidence.by_service.of(0)), (vec![0, 1, 1], vec![2, 1, 2]));
}

#[test]
fn the_visits_that_led_to_one_come_the_nearest_first() {
    let traces = read(&[&[("a", "", "x", 0, 100), ("b", "a", "y", 20, 70), ("c", "b", "z", 30, 60)]]);
    let evidence = Evidence::gather(&traces, Rule::default());
    let ways: Vec<u32> = evidence.ancestors(&evidence.visits[2]).map(|visit| visit.service).collect();
    assert_eq!(ways, [1, 0]);
}

#[test]
fn what_a_visit_does_at_once_takes_it_time_once() {
    let traces =
        read(&[&[("a>", "", "x", 0, 100), ("1<", "a>", "x", 10, 80), ("2<", "a>", "x", 10, 80), ("3<", "a>", "x", 20, 90)]]);
    assert_eq!(visits(&traces), [own("x", 100, 100)]);
    // Beside a call to another service it takes none.
    let traces =
        read(&[&[("a>", "", "x", 0, 100), ("1<", "a>", "x", 10, 80), ("b>", "1<", "y", 10, 80), ("2<", "a>", "x", 20, 60)]]);
    assert_eq!(visits(&traces), [own("x", 30, 30), own("y", 70, 70)]);
}
