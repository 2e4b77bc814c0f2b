//! Traces with an nginx in front and between, which counts whole milliseconds and makes no spans of its calls.

use super::*;
use crate::simulation::Nginx;

/// One nginx in both places, or two.
const ONE: Nginx = Nginx { edge: Some("nginx"), gateway: Some("nginx"), edge_limit: None, gateway_limit: None };
const TWO: Nginx = Nginx { edge: Some("edge-nginx"), gateway: Some("gateway-nginx"), ..ONE };

fn behind(nginx: Nginx, mystery: &Mystery, load: Load) -> Diagnosis {
    diagnosed(&simulate(mystery, &Load { seed: 5, nginx, ..load }))
}

fn some(calls: u64) -> Load {
    Load { calls, concurrency: 30, ..Load::default() }
}

#[test]
fn where_nothing_is_wrong_nothing_stands_out_and_no_clock_is_blamed() {
    for (nginx, seed) in [(ONE, 1), (TWO, 2), (ONE, 3), (TWO, 4)] {
        let calm = mystery(Cause::None, Route::Straight, seed);
        for load in [some(1_000), Load { concurrency: 1, ..some(300) }] {
            let traces = simulate(&calm, &Load { seed: 5, nginx, ..load });
            let diagnosis = diagnosed(&traces);
            assert_eq!(causes(&diagnosis), [], "seed {seed}");
            let Evidence { repairs, .. } = Evidence::gather(&traces, Options::default().rule);
            assert_eq!((repairs.moved, repairs.orphans, repairs.attached, repairs.cut), (0, 0, 0, 0), "seed {seed}");
            assert!(repairs.stretched > 0, "seed {seed}");
        }
    }
}

#[test]
fn every_cause_is_found_behind_it() {
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
        for (nginx, seed) in [(ONE, 3), (TWO, 4)] {
            let mystery = mystery(cause, route, seed);
            let diagnosis = behind(nginx, &mystery, some(calls));
            let grade = grade::grade(&diagnosis, &mystery.answer());
            assert!(grade.is_right(), "{cause}, seed {seed}: {:?} is not {:?}", causes(&diagnosis), mystery.answer());
            assert_eq!(diagnosis.suspects.len(), 1, "{cause}, seed {seed}: one fault, one suspect");
        }
    }
}

#[test]
fn requests_that_queue_in_it_are_its_own_matter_and_of_two_roles_the_right_one_is_named() {
    let calm = mystery(Cause::None, Route::Straight, 2);
    let loads = [
        // A few more than it lets through, and all at once.
        Load { calls: 200, rate: Some(90.0), concurrency: 1_000, ..Load::default() },
        Load { calls: 2_000, rate: Some(84.0), concurrency: 1_000, ..Load::default() },
        some(600),
    ];
    for load in loads {
        for (edge_limit, gateway_limit, place) in [(Some(80.0), None, "edge:18080"), (None, Some(80.0), "gateway:18081")] {
            let limited = |nginx| behind(Nginx { edge_limit, gateway_limit, ..nginx }, &calm, load.clone());
            let one = limited(ONE);
            assert_eq!(causes(&one), [(SuspectCause::Contention, Some("nginx"))], "{place}");
            let evidence = one.suspects[0].evidence.join("\n");
            for expected in [&format!("for \"/\" at {place}, "), "with nginx.limit_req_status = DELAYED", "its calls make no spans"]
            {
                assert!(evidence.contains(expected), "{evidence}");
            }
            let name = if edge_limit.is_some() { "edge-nginx" } else { "gateway-nginx" };
            assert_eq!(causes(&limited(TWO)), [(SuspectCause::Contention, Some(name))]);
        }
    }
}

/// An edge that waits 60 ms for its one upstream, and is told 504, or whose client leaves: the upstream goes on for 300.
fn impatient(failed: bool) -> Written {
    let mut written = Written::default();
    for trace in 0..200 {
        let start = trace as f64 * 1_000.0;
        let slow = trace % 4 == 0;
        let (edge, app) = if slow { (60.0, 300.0) } else { (9.0, 8.1) };
        written.span(trace, (1, 0), "nginx", Kind::Server, (start, edge), slow && failed);
        written.span(trace, (2, 1), "app", Kind::Server, (start + 0.3, app), false);
        for call in 0..8 {
            let (client, name) = (10 + 2 * call, format!("s{call}"));
            let from = start + 0.4 + 0.9 * call as f64;
            written.span(trace, (client, 2), "app", Kind::Client, (from, 0.8), false);
            written.span(trace, (client + 1, client), &name, Kind::Server, (from + 0.1, 0.6), false);
        }
    }
    written
}

#[test]
fn who_outlives_an_edge_that_gave_up_is_slow_and_its_clock_is_right() {
    for failed in [true, false] {
        let diagnosis = impatient(failed).diagnosed();
        let services: Vec<_> = causes(&diagnosis).into_iter().filter(|(cause, _)| *cause != SuspectCause::Failure).collect();
        assert_eq!(services, [(SuspectCause::RareSleep, Some("app"))], "{failed}");
        assert!(diagnosis.notes.iter().all(|note| !note.contains("clocks of")), "{:?}", diagnosis.notes);
    }
}

#[test]
fn a_request_that_another_upstream_answers_is_one_visit_with_two_callees() {
    let mut written = Written::default();
    for trace in 0..200 {
        let start = trace as f64 * 1_000.0;
        // The first one answers 502 now and then, which costs nobody anything.
        let refused = trace % 10 == 0;
        written.span(trace, (1, 0), "nginx", Kind::Server, (start, 12.0), false);
        if refused {
            written.span(trace, (2, 1), "app-a", Kind::Server, (start + 0.3, 0.2), true);
        }
        written.span(trace, (3, 1), "app-b", Kind::Server, (start + 0.7, 11.1 + (trace % 7) as f64 / 10.0), false);
    }
    let diagnosis = written.diagnosed();
    assert_eq!(causes(&diagnosis), []);
    assert_eq!(diagnosis.notes.len(), 1, "{:?}", diagnosis.notes);
}
