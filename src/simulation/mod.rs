//! Traces of a mystery in virtual time: what the real sandbox would have recorded, without running it.
//!
//! For benches and tests of the diagnosis, where size and repetition must be free: a million spans take about a second, and a
//! fault that strikes one call in a thousand takes no patience. `service` behaves as [`crate::service`] does, fault by fault; what
//! the machine adds to it is `machine`, an nginx in front and between is `nginx`. Nothing here knows how a diagnosis is made; `grade` says whether one is right.
//!
//! Compared with the sandbox (`cargo bench --bench accuracy -- --table 6`): numbers of spans and errors, times between client and
//! server spans both ways, self times of frontend, culprit and the others, times in Redis and whole traces; every cause on route
//! straight, failures and none on the others. At 4 and 20 callers medians are within a tenth of each other, but for the time on the
//! sockets, which is 22 µs instead of 24 there and 25 instead of 18 back. At 100 callers the machine is busy, and the sandbox's own
//! figures vary with whoever else uses it: a median hop takes 0.06 to 0.9 ms there and 0.4 here, a whole trace 20 to 35 ms there and
//! 25 here. Without any delays the sandbox answers about twice as many calls. Limits on time, log records, clocks that differ and
//! spans that are lost are not simulated.

mod clock;
pub mod grade;
mod machine;
mod nginx;
mod record;
mod service;

use std::cell::Cell;

use futures_util::FutureExt as _;
use futures_util::stream::FuturesUnordered;

use crate::diagnose::model::Traces;
use crate::mystery::Mystery;
pub use machine::Machine;
pub use nginx::Nginx;
use service::World;

/// Who presses the buttons, how often, and on what machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    pub calls: u64,
    /// Callers, each with one call in flight; they press the buttons in turn, as `tracelab load` does.
    pub concurrency: usize,
    /// Calls per second. With a rate calls start when they are due, if a caller is free; without one, when a caller is.
    pub rate: Option<f64>,
    /// The same seed gives the same traces.
    pub seed: u64,
    /// Whether there is a Redis, which some services then write to, whatever the cause.
    pub redis: bool,
    /// Spreads the services over so many nodes of a cluster, and says so in the resources; none is one process on a laptop.
    pub nodes: Option<u16>,
    /// None unless it says so.
    pub nginx: Nginx,
    pub machine: Machine,
}

impl Default for Load {
    fn default() -> Self {
        let (nginx, machine) = (Nginx::default(), Machine::default());
        Self { calls: 2_000, concurrency: 100, rate: None, seed: 0, redis: true, nodes: None, nginx, machine }
    }
}

/// The traces that `load` leaves in the services of `mystery`.
pub fn simulate(mystery: &Mystery, load: &Load) -> Traces {
    let world = World::new(mystery, load);
    let next = Cell::new(0);
    let callers = FuturesUnordered::new();
    for _ in 0..load.concurrency.max(1).min(usize::try_from(load.calls).unwrap_or(usize::MAX)) {
        callers.push(call_until_done(&world, load, &next).boxed_local());
    }
    world.clock.run(callers);
    world.finish()
}

async fn call_until_done(world: &World<'_>, load: &Load, next: &Cell<u64>) {
    loop {
        let number = next.get();
        if number >= load.calls {
            return;
        }
        next.set(number + 1);
        if let Some(rate) = load.rate {
            world.clock.until((number as f64 / rate * 1e9) as u64).await;
        }
        world.press(number).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::model::{Kind, Parent, Span, Status};
    use crate::mystery::{Cause, Spoiled, draw};
    use crate::topology::{Route, Topology};
    use std::collections::HashSet;

    fn drawn(seed: u64, cause: Cause, route: Route) -> Mystery {
        draw(seed, cause, Topology::new(3, 30, route).unwrap(), 1.0).unwrap()
    }

    fn traces(mystery: &Mystery, calls: u64) -> Traces {
        simulate(mystery, &Load { calls, ..Load::default() })
    }

    fn service<'a>(traces: &'a Traces, span: &Span) -> &'a str {
        traces.texts.get(traces.service(span))
    }

    fn attribute<'a>(traces: &'a Traces, span: &Span, key: &str) -> Option<&'a str> {
        let key = traces.texts.find(key)?;
        traces.attributes(span).iter().find(|(found, _)| *found == key).map(|(_, value)| traces.texts.get(*value))
    }

    /// Every span with the index of its trace.
    fn spans(traces: &Traces) -> impl Iterator<Item = (usize, &Span)> {
        (0..traces.len()).flat_map(|trace| traces.of(trace).iter().map(move |span| (trace, span)))
    }

    /// The server spans of one service, with the index of their traces.
    fn served<'a>(traces: &'a Traces, name: &str) -> Vec<(usize, &'a Span)> {
        spans(traces).filter(|(_, span)| span.kind == Kind::Server && service(traces, span) == name).collect()
    }

    /// A span's time less that of the calls in it, milliseconds; children do not overlap on routes `straight` and `random`.
    fn self_ms(traces: &Traces, trace: usize, span: &Span) -> f64 {
        let spans = traces.of(trace);
        let calls = spans.iter().filter(|child| match child.parent {
            Parent::Span(parent) => spans[parent as usize].id == span.id && child.kind == Kind::Client,
            _ => false,
        });
        (span.duration() - calls.map(Span::duration).sum::<u64>()) as f64 / 1e6
    }

    fn culprit(mystery: &Mystery) -> String {
        mystery.culprit.unwrap().to_string()
    }

    #[test]
    fn the_same_seed_gives_the_same_traces_and_another_seed_others() {
        let digest = |seed| {
            let mystery = drawn(3, Cause::Failure, Route::Random);
            let traces = simulate(&mystery, &Load { calls: 300, seed, ..Load::default() });
            let spans: Vec<_> = spans(&traces).map(|(trace, span)| (traces.id(trace), span.id, span.start, span.end)).collect();
            spans
        };
        assert_eq!(digest(7), digest(7));
        assert_ne!(digest(7), digest(8));
    }

    #[test]
    fn a_press_leaves_two_spans_a_call_whatever_the_route() {
        for (route, calls) in [(Route::Straight, 3), (Route::Random, 3), (Route::All, 931)] {
            let mystery = drawn(5, Cause::None, route);
            let traces = simulate(&mystery, &Load { calls: 60, concurrency: 4, redis: false, ..Load::default() });
            assert_eq!(traces.len(), 60);
            let count = |kind| spans(&traces).filter(|(_, span)| span.kind == kind).count();
            let refused = spans(&traces).filter(|(_, span)| span.kind == Kind::Server && span.status == Status::Error).count();
            assert_eq!(count(Kind::Client), 60 * calls + refused, "{route}: a call that is refused is made twice");
            assert_eq!(count(Kind::Server), count(Kind::Client) + 60, "{route}: every call arrives, and the frontend is called");
            assert!(traces.left_out.is_empty());
            for (trace, span) in spans(&traces) {
                assert_ne!(span.parent, Parent::Missing);
                assert_eq!(span.parent == Parent::Root, service(&traces, span) == "frontend" && span.kind == Kind::Server);
                let Parent::Span(parent) = span.parent else { continue };
                let parent = &traces.of(trace)[parent as usize];
                assert!(span.start >= parent.start && (span.end <= parent.end || span.kind == Kind::Internal));
            }
        }
    }

    #[test]
    fn where_nothing_is_wrong_what_failed_is_tried_again_and_goes_well() {
        let traces = traces(&drawn(11, Cause::None, Route::Straight), 3_000);
        let failed: Vec<_> = spans(&traces).filter(|(_, span)| span.status == Status::Error).collect();
        assert!(!failed.is_empty(), "decoys refuse");
        for (_, span) in failed {
            assert_eq!(attribute(&traces, span, "error.type"), Some("503"));
            assert_ne!((service(&traces, span), span.kind), ("frontend", Kind::Server), "no call fails as a whole");
        }
        let background = spans(&traces).filter(|(_, span)| span.kind == Kind::Internal).count();
        assert!(background > 0, "decoys go on in the background");
    }

    #[test]
    fn who_sleeps_sleeps_on_every_request_and_who_does_rarely_on_few() {
        for (cause, least, most) in [(Cause::Sleep, 1.0, 1.0), (Cause::RareSleep, 0.005, 0.05)] {
            let mystery = drawn(17, cause, Route::Straight);
            let traces = traces(&mystery, 30_000);
            let all = served(&traces, &culprit(&mystery));
            let slow = all.iter().filter(|(trace, span)| self_ms(&traces, *trace, span) > 150.0).count();
            let share = slow as f64 / all.len() as f64;
            assert!((least..=most).contains(&share), "{cause}: {slow} of {}", all.len());
            let elsewhere = spans(&traces)
                .filter(|(trace, span)| {
                    span.kind == Kind::Server
                        && service(&traces, span) != culprit(&mystery)
                        && self_ms(&traces, *trace, span) > 150.0
                })
                .count();
            assert_eq!(elsewhere, 0, "{cause}");
        }
    }

    #[test]
    fn a_failure_starts_at_the_culprit_and_is_passed_on_to_the_top() {
        let mystery = drawn(4, Cause::Failure, Route::Straight);
        let traces = traces(&mystery, 3_000);
        let all = served(&traces, &culprit(&mystery));
        let failed: Vec<_> = all.iter().filter(|(_, span)| span.status == Status::Error).collect();
        let share = failed.len() as f64 / all.len() as f64;
        assert!((0.05..0.6).contains(&share), "{} of {}", failed.len(), all.len());
        for (trace, span) in failed {
            assert_eq!(attribute(&traces, span, "http.response.status_code"), Some("500"));
            let root = &traces.of(*trace)[0];
            assert_eq!((root.status, attribute(&traces, root, "error.type")), (Status::Error, Some("502")));
            let children = traces.of(*trace).iter().filter(|child| child.start > span.start && child.kind == Kind::Server).count();
            assert_eq!(children, 0, "it fails without calling anybody");
        }
    }

    #[test]
    fn one_customer_is_slow_in_one_service() {
        let mystery = drawn(6, Cause::Customer, Route::Straight);
        let customer = mystery.answer().customer.unwrap();
        let traces = traces(&mystery, 6_000);
        for (trace, span) in served(&traces, &culprit(&mystery)) {
            let slow = self_ms(&traces, trace, span) > 150.0;
            let refused = attribute(&traces, span, "error.type") == Some("503");
            let theirs = attribute(&traces, span, "customer.id") == Some(&customer);
            assert!(refused || slow == theirs);
        }
        let customers: HashSet<_> = spans(&traces).filter_map(|(_, span)| attribute(&traces, span, "customer.id")).collect();
        assert_eq!(customers.len(), 8);
    }

    #[test]
    fn who_suffers_was_called_in_a_trace_that_passed_who_spoils() {
        for seed in 0..8 {
            let mystery = drawn(seed, Cause::Upstream, Route::Random);
            let (layer, how) = mystery.suffering().unwrap();
            let traces = traces(&mystery, 3_000);
            let passed: HashSet<_> = served(&traces, &culprit(&mystery)).into_iter().map(|(trace, _)| trace).collect();
            let mut suffering = 0;
            for (trace, span) in spans(&traces) {
                let here = service(&traces, span).starts_with(&format!("dummy-{layer}-")) && span.kind == Kind::Server;
                let suffers = match how {
                    Spoiled::Slow { .. } => self_ms(&traces, trace, span) > 150.0,
                    Spoiled::Fails => attribute(&traces, span, "http.response.status_code") == Some("500"),
                };
                if here && suffers {
                    suffering += 1;
                    assert!(passed.contains(&trace));
                }
            }
            assert!(suffering >= passed.len() / 2 && suffering > 20, "{suffering} of {}", passed.len());
        }
    }

    #[test]
    fn a_pool_of_one_is_quiet_alone_and_queues_under_load() {
        let mystery = drawn(9, Cause::Contention, Route::Straight);
        let longest = |concurrency| {
            let traces = simulate(&mystery, &Load { calls: 2_000, concurrency, ..Load::default() });
            let all = served(&traces, &culprit(&mystery));
            all.into_iter().map(|(trace, span)| self_ms(&traces, trace, span)).fold(0.0, f64::max)
        };
        let (alone, busy) = (longest(1), longest(100));
        assert!(alone < 120.0 && busy > 5.0 * alone, "{alone} ms alone, {busy} ms with 100 callers");
    }

    #[test]
    fn one_user_of_redis_writes_key_by_key_and_the_others_in_a_pipeline() {
        let mystery = drawn(2, Cause::Redis, Route::Straight);
        let traces = traces(&mystery, 600);
        for (operation, by_culprit) in [("SET 127.0.0.1:6379", true), ("PIPELINE SET 127.0.0.1:6379", false)] {
            let writes: Vec<_> = spans(&traces).filter(|(_, span)| traces.texts.get(span.operation) == operation).collect();
            assert!(!writes.is_empty());
            for (_, span) in writes {
                assert_eq!(service(&traces, span) == culprit(&mystery), by_culprit);
                assert_eq!(attribute(&traces, span, "db.system.name"), Some("redis"));
            }
        }
        let none = simulate(&mystery, &Load { calls: 60, redis: false, ..Load::default() });
        assert!(spans(&none).all(|(_, span)| attribute(&none, span, "db.system.name").is_none()));
    }

    #[test]
    fn delay_in_the_network_is_between_client_and_server_span_of_one_pair() {
        let mystery = drawn(1, Cause::Network, Route::Straight);
        let answer = mystery.answer();
        let traces = traces(&mystery, 3_000);
        for (trace, span) in spans(&traces).filter(|(_, span)| span.kind == Kind::Server) {
            let Parent::Span(parent) = span.parent else { continue };
            let client = &traces.of(trace)[parent as usize];
            let pair = (service(&traces, client), service(&traces, span));
            let theirs = pair == (&answer.service.unwrap().to_string(), &answer.callee.unwrap().to_string());
            let gap = (span.start - client.start) as f64 / 1e6;
            assert_eq!(gap > 100.0, theirs, "{pair:?}: {gap} ms");
        }
    }

    #[test]
    fn what_a_service_without_context_calls_is_a_trace_of_its_own() {
        for route in [Route::Straight, Route::All] {
            let mystery = drawn(8, Cause::LostContext, route);
            let calls = if route == Route::All { 60 } else { 600 };
            let traces = simulate(&mystery, &Load { calls, concurrency: 4, ..Load::default() });
            let roots = (0..traces.len()).map(|trace| &traces.of(trace)[0]);
            let lost = roots.filter(|root| service(&traces, root) != "frontend").collect::<Vec<_>>();
            assert!(lost.iter().all(|root| attribute(&traces, root, "customer.id").is_none()));
            let culprit = culprit(&mystery);
            let calls = spans(&traces).filter(|(_, span)| {
                let redis = attribute(&traces, span, "db.system.name").is_some();
                span.kind == Kind::Client && service(&traces, span) == culprit && !redis
            });
            assert_eq!(calls.count(), lost.len(), "{route}");
            assert!(lost.len() >= 15, "{route}: {}", lost.len());
        }
    }

    #[test]
    fn weaker_means_shorter() {
        let mystery = drawn(17, Cause::Sleep, Route::Straight);
        let mean = |mystery: &Mystery| {
            let traces = traces(mystery, 900);
            let all = served(&traces, &culprit(mystery));
            all.iter().map(|(trace, span)| self_ms(&traces, *trace, span)).sum::<f64>() / all.len() as f64
        };
        let (whole, tenth) = (mean(&mystery), mean(&mystery.clone().with_strength(0.1)));
        assert!(whole > 200.0 && (20.0..105.0).contains(&tenth), "{whole} ms, a tenth of it {tenth} ms");
    }

    #[test]
    fn nodes_and_pods_are_named_where_there_are_any() {
        let mystery = drawn(1, Cause::None, Route::Straight);
        let traces = simulate(&mystery, &Load { calls: 30, nodes: Some(3), ..Load::default() });
        let node = traces.texts.find("k8s.node.name").unwrap();
        let nodes: HashSet<_> =
            traces.resources.iter().flat_map(|resource| &resource.attributes).filter(|(key, _)| *key == node).collect();
        assert_eq!(nodes.len(), 3);
    }
}
