//! What a machine does that has more to do than it can: it is no service's fault, nor a network's.

use super::*;

const SERVICES: u64 = 30;

/// How the calls of a frontend get to thirty services.
#[derive(Clone, Copy)]
enum Way {
    /// The frontend is starved: a quarter of its calls is late, whomever it calls.
    Starved,
    /// A quarter of the calls to one service is late.
    Broken,
}

/// One pair is steadier than the others, so that a late call is more remarkable there.
fn calls(way: Way) -> Diagnosis {
    let mut written = Written::default();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for trace in 0..200 * SERVICES {
        let (service, start) = (trace % SERVICES, trace as f64 * 100.0);
        let steady = service == 3;
        let usual = if steady { 1.0 } else { (rng.random_range(-1.0..1.0_f64) * 2.0).exp() };
        let starved = steady || matches!(way, Way::Starved);
        let late = if starved && rng.random_ratio(1, 4) { rng.random_range(20.0..40.0) } else { 0.0 };
        let times = (start + 1.0 + usual + late, 3.0);
        written.span(trace, (1, 0), "frontend", Kind::Server, (start, 6.0 + usual + late), false);
        written.span(trace, (2, 1), "frontend", Kind::Client, (start + 1.0, 4.0 + usual + late), false);
        written.span(trace, (3, 2), &format!("s{service}"), Kind::Server, times, false);
    }
    written.diagnosed()
}

#[test]
fn where_all_calls_of_a_starved_caller_are_late_alike_no_network_is_suspected() {
    let broken = calls(Way::Broken);
    assert_eq!(causes(&broken), [(SuspectCause::Network, Some("frontend"))]);
    assert_eq!(broken.suspects[0].callee.as_deref(), Some("s3"));
    assert_eq!(causes(&calls(Way::Starved)), []);
}

/// A service stands still, from and for so many milliseconds.
#[derive(Clone, Copy)]
struct Pause {
    service: u64,
    from: f64,
    length: f64,
    /// It holds up one request, and not whatever comes meanwhile.
    alone: bool,
}

/// Requests of thirty services, each of which answers in 3 ms unless it pauses.
fn paused(pauses: &[Pause]) -> Diagnosis {
    let mut written = Written::default();
    let mut begun = vec![false; pauses.len()];
    for trace in 0..300 * SERVICES {
        let (service, start) = (trace % SERVICES, trace as f64);
        let mut own = 3.0;
        for (begun, pause) in begun.iter_mut().zip(pauses).filter(|(_, pause)| pause.service == service) {
            let until = pause.from + pause.length;
            if (pause.from..until).contains(&start) && !(pause.alone && *begun) {
                *begun = true;
                own += until - start;
            }
        }
        written.span(trace, (1, 0), "frontend", Kind::Server, (start, 5.0 + own), false);
        written.span(trace, (2, 1), "frontend", Kind::Client, (start + 1.0, 2.0 + own), false);
        written.span(trace, (3, 2), &format!("s{service}"), Kind::Server, (start + 1.5, own), false);
    }
    written.diagnosed()
}

#[test]
fn a_service_that_pauses_as_a_whole_where_others_do_too_is_not_suspected() {
    let of_s3 = |alone| (0..12).map(move |at| Pause { service: 3, from: 500.0 + 700.0 * f64::from(at), length: 300.0, alone });
    let of_others = (10..18).map(|service| Pause { service, from: 500.0 * service as f64, length: 200.0, alone: false });
    let all = |alone| of_s3(alone).chain(of_others.clone()).collect::<Vec<_>>();
    let s3 = [(SuspectCause::RareSleep, Some("s3"))];
    assert_eq!(causes(&paused(&all(false))), []);
    assert_eq!(causes(&paused(&of_s3(false).collect::<Vec<_>>())), s3, "nobody else pauses");
    assert_eq!(causes(&paused(&all(true))), s3, "it sleeps on one request at a time");
}
