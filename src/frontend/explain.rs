//! What is said of a mystery once it is solved or revealed: what happened, how the traces showed it, and how one finds such a
//! thing in the real world.

use crate::mystery::{Delay, Fault, Mystery, Spoiled};
use crate::topology::Route;

/// Names every place of the answer, and how strong the fault is.
pub(super) fn explain(mystery: &Mystery) -> String {
    let (Some(service), Some(fault)) = (mystery.culprit, mystery.fault()) else {
        return "Nothing was wrong: delays vary, a few services refuse a request now and then, which their callers repeat with \
                success, and some go on with something after the answer, for which nobody waits. No service, pair or customer \
                was slow or failed more often than chance has it. In the real world the first question is the same: is this \
                more than usual? Compare with a time when all was well before you look for a culprit."
            .to_owned();
    };
    // One press then makes requests of both kinds, so that no trace is ordinary.
    let met_often = mystery.topology.route == Route::All && service.layer > 0;
    match fault {
        Fault::Sleep { delay } => format!(
            "{service} slept about {} on every request. Every trace that passed it showed that as its own time, the part of its \
             span that no call of its own covers; the spans above were long only because they waited for it. In the real world \
             it would be a slow query without a span, a lock or a calculation: compare the own time of services, not how long \
             their spans are, then add spans inside the one that has too much.",
            time(*delay)
        ),
        Fault::RareSleep { delay, share } => {
            let traces = match met_often {
                true => ". A press makes many requests, so that many a trace may have held one of them",
                false => "",
            };
            format!(
                "{service} slept about {} on about {} of its requests, and nothing in a request told whether it would. Its median was \
                 like the others'; only the longest of many requests to it showed it, each with that time as its own{traces}. In the \
                 real world it would be a garbage collection, a cold cache or a lock: look at p99 and not at the mean, and make sure \
                 that sampling keeps the slow traces.",
                time(*delay),
                percent(*share)
            )
        }
        Fault::Failure { share } => format!(
            "{service} answered 500 on about {} of its requests, and its callers only passed the failure on. In every trace that failed \
             for it, nothing beneath its span had failed, and nobody above repeated the call with success, as callers do where they \
             are only refused for a moment. In the real world the alarm goes off at the edge, where the failure arrives: follow the \
             errors of a trace down to the span that failed by itself.",
            percent(*share)
        ),
        Fault::Customer { customer, delay, share } => {
            let calls = mystery.customers.shares().iter().find(|(name, _)| name == customer).map_or(0.0, |(_, share)| *share);
            format!(
                "For {customer}, who makes about {} of the calls, {service} calculated about {} on every request, and failed on \
                 about {} of them; for everybody else it did neither. The spans carry customer.id: with that customer's traces \
                 beside the others', the long time at {service} and the requests that failed there were that customer's alone. \
                 In the real world it would be one tenant with too much data: put on spans what tells requests apart, and compare \
                 slow traces with ordinary ones value by value.",
                percent(calls),
                time(*delay),
                percent(*share)
            )
        }
        Fault::Spoil => {
            let (layer, what) = match mystery.suffering() {
                Some((layer, Spoiled::Slow { delay })) => (layer, format!("took about {} longer", time(delay))),
                Some((layer, Spoiled::Fails)) => (layer, "failed".to_owned()),
                None => (service.layer + 1, "suffered".to_owned()),
            };
            let (suffered, compare) = match met_often {
                true => (
                    format!(
                        "Every trace with {service} in it had requests of both kinds beside it or beneath it, and those that suffered were \
                             the ones that {service} had made"
                    ),
                    "requests to a service with ordinary ones to the same service",
                ),
                false => (
                    format!(
                        "The traces that suffered had nothing in common at the place where they suffered, only that they had passed \
                             {service} before"
                    ),
                    "traces with ordinary ones",
                ),
            };
            format!(
                "{service} spoilt what it passed on: requests that had come through it {what} in layer {layer}, whichever service \
                 handled them there, and the same services were well with all other requests. {suffered}. In the real world it would \
                 be a header, a flag or a filter that got lost on the way: compare slow or failed {compare} by the services that they \
                 passed earlier."
            )
        }
        Fault::Contention { hold } => format!(
            "{service} had a pool of one: a section of about {} that one request at a time may enter. A request alone only worked there \
             so long; with many at once each waited for those before it, and the waiting was {service}'s own time. In the real world \
             it would be a connection pool or a mutex: compare busy times with quiet ones, and look for own time that grows with \
             the number of requests that a service handles at once.",
            time(*hold)
        ),
        Fault::KeyByKey => format!(
            "{service} wrote {} keys to Redis one by one on every request, a way there and back for each, where others who write \
             as many send them together. Its traces showed a long row of short calls, one after the other, none of them slow by \
             itself. In the real world this is the loop with a query in it (N + 1 queries): count the calls of one kind under \
             one span, and put them into one pipeline, batch or join.",
            mystery.redis_keys()
        ),
        Fault::Network { callee, delay } => {
            // Where they have nobody else to call or to be called by, there is nothing else to compare with.
            let alone = mystery.topology.route == Route::Straight || mystery.topology.width == 1;
            let neither = match alone {
                true => format!("Neither {service}'s own sleep nor anything that {callee} did was longer than usual"),
                false => format!("{service}'s calls to others and others' calls to {callee} were as quick as ever"),
            };
            format!(
                "About {} passed between {service} and {callee}, inside neither: the client span of {service} began so long before \
                 the server span of {callee} beneath it. {neither}. In the real world it would be a name that resolves slowly, a \
                 pool of connections, a proxy or a lossy line: compare client spans with their server spans, pair by pair, and \
                 mind that clocks of two machines differ.",
                time(*delay)
            )
        }
        Fault::LostContext => format!(
            "{service} called others without the trace context, so that the spans of whom it called became traces of their own. \
             Its own traces ended at its client spans, and there were traces that began in layer {} instead of at the frontend. \
             In the real world it would be a client made by hand, a queue or a thread pool that forgets the context: list the \
             services at which traces begin, and whoever should not be among them has a caller that loses it.",
            service.layer + 1
        ),
    }
}

/// A median that nobody measures more exactly.
fn time(delay: Delay) -> String {
    let ms = delay.median_ms;
    let ms = if ms < 100.0 { ms.round() } else { (ms / 10.0).round() * 10.0 };
    format!("{ms} ms")
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mystery::{Cause, draw};
    use crate::topology::Topology;
    use clap::ValueEnum as _;

    #[test]
    fn an_explanation_names_every_place_of_the_answer_and_the_fault_as_it_is() {
        for route in Route::value_variants() {
            for &cause in Cause::value_variants() {
                let topology = Topology::new(3, 6, *route).unwrap();
                for seed in 0..30 {
                    let Ok(mystery) = draw(seed, cause, topology, 1.0) else { continue };
                    let (text, answer) = (explain(&mystery), mystery.answer());
                    let places = [answer.service, answer.callee].into_iter().flatten().map(|service| service.to_string());
                    for place in places.chain(answer.customer) {
                        assert!(text.contains(&place), "{cause} {place}: {text}");
                    }
                    let sentences = text.split(". ").count();
                    assert!((2..=4).contains(&sentences), "{sentences} sentences: {text}");
                    assert!(!text.contains("  ") && !text.contains("NaN") && !text.contains(" 0 "), "{text}");
                }
            }
        }
    }

    #[test]
    fn how_strong_the_fault_is_stands_in_the_explanation() {
        let topology = Topology::new(3, 6, Route::Random).unwrap();
        for &cause in Cause::value_variants() {
            let mystery = draw(7, cause, topology, 1.0).unwrap();
            let expected = match mystery.fault() {
                Some(Fault::Sleep { delay } | Fault::Network { delay, .. }) => vec![time(*delay)],
                Some(Fault::RareSleep { delay, share } | Fault::Customer { delay, share, .. }) => {
                    vec![time(*delay), percent(*share)]
                }
                Some(Fault::Failure { share }) => vec![percent(*share)],
                Some(Fault::Contention { hold }) => vec![time(*hold)],
                Some(Fault::KeyByKey) => vec![format!("{} keys", mystery.redis_keys())],
                Some(Fault::Spoil | Fault::LostContext) | None => Vec::new(),
            };
            let text = explain(&mystery);
            assert!(expected.iter().all(|part| text.contains(part)), "{expected:?}: {text}");
        }
        assert_eq!(time(Delay { median_ms: 434.4, sigma: 0.0 }), "430 ms");
        assert_eq!(time(Delay { median_ms: 21.7, sigma: 0.0 }), "22 ms");
    }

    #[test]
    fn where_one_trace_holds_requests_of_both_kinds_it_does_not_speak_of_ordinary_traces() {
        let mut seen = [false; 2];
        for cause in [Cause::Upstream, Cause::RareSleep] {
            for (seed, route) in (0..20).flat_map(|seed| [(seed, Route::All), (seed, Route::Random)]) {
                let mystery = draw(seed, cause, Topology::new(3, 6, route).unwrap(), 1.0).unwrap();
                let both = route == Route::All && mystery.culprit.unwrap().layer > 0;
                let text = explain(&mystery);
                assert_eq!(text.contains("Every trace with") || text.contains("many a trace"), both, "{text}");
                assert!(!(both && text.contains("traces with ordinary ones")), "{text}");
                seen[usize::from(both)] = true;
            }
        }
        assert_eq!(seen, [true; 2]);
    }

    #[test]
    fn what_the_spoilt_requests_suffered_is_told_as_it_was() {
        let topology = Topology::new(3, 6, Route::All).unwrap();
        for seed in 0..30 {
            let mystery = draw(seed, Cause::Upstream, topology, 1.0).unwrap();
            let expected = match mystery.suffering() {
                Some((layer, Spoiled::Slow { delay })) => format!("took about {} longer in layer {layer}", time(delay)),
                Some((layer, Spoiled::Fails)) => format!("failed in layer {layer}"),
                None => panic!("nobody suffers"),
            };
            assert!(explain(&mystery).contains(&expected), "{expected}");
        }
    }
}
