//! Chapter 8: a customer's name that crosses from one program to another as baggage, and a fault that only one customer meets.

use std::collections::BTreeMap;

use crate::diagnose::model::Kind;
use crate::learn::evidence::{Span, Trace};
use crate::learn::{Evidence, Step};
use crate::mystery::{Cause, Verdict};

const CUSTOMER: &str = "customer.id";
/// The weakest fault makes a service this slow, and no ordinary delay does, in milliseconds.
const SLOW_MS: f64 = 100.0;
/// So much slower is one customer than the others.
const TIMES: f64 = 3.0;
/// With fewer presses a customer may not have met the service that is slow for it.
const PRESSES: usize = 1_000;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![carried(evidence)];
    for next in [hidden, seen, guessed] {
        if steps.last().is_some_and(Step::is_done) {
            steps.push(next(evidence));
        }
    }
    steps
}

/// The exercise: what the caller's span says of a request, the callee's says too.
fn carried(evidence: &Evidence) -> Step {
    let goal = "a program of yours and the one it calls both say whose a request is";
    let own = |trace: &Trace<'_>| {
        let services: Vec<&str> = trace.services().filter(|service| !is_of_the_stage(service)).collect();
        services.iter().any(|service| *service != services[0])
    };
    let own: Vec<Trace<'_>> = evidence.traces().filter(own).collect();
    let spans = || own.iter().flat_map(|trace| trace.spans()).filter(|span| !is_of_the_stage(span.service()));
    if let Some((caller, callee)) = spans().find_map(|callee| Some((caller_of_the_same(callee)?, callee))) {
        let saw = format!("{CUSTOMER} is on spans of {} and of {}", caller.service(), callee.service());
        return Step::done(goal, saw);
    }
    if own.is_empty() {
        let hints = [
            "run the program of this chapter: cargo run --example 08-customer",
            "it prints the ids of its traces; where a page says that there is no such trace, OTEL_EXPORTER_OTLP_ENDPOINT leads elsewhere",
        ];
        return Step::open(goal, "there is no trace of two services of your own", &hints);
    }
    match spans().find(|span| span.attribute(CUSTOMER).is_some()) {
        Some(span) => {
            let saw = format!("{CUSTOMER} is on a span of {} alone", span.service());
            let hints = [
                "an attribute stays on its span: what is to travel along with the calls has to be in the context, as baggage",
                "baggage travels in the context, but it reaches no span by itself: who wants it on a span copies it there",
                "in the caller: cx.with_baggage(…) before the context is injected; in the callee: cx.baggage().get(…), \
                 then span.set_attribute(…). solution.rs has both",
            ];
            Step::open(goal, saw, &hints)
        }
        None => {
            let hints = [
                "the counter knows whose order it is: its span is the first that should say so",
                "exercise.rs of this chapter puts customer.id on the counter's span: run it, then go on from there",
            ];
            Step::open(
                goal,
                format!("there are traces of two services of your own, but {CUSTOMER} is on none of their spans"),
                &hints,
            )
        }
    }
}

fn hidden(evidence: &Evidence) -> Step {
    let goal = "the mystery is a customer's";
    match evidence.cause() {
        Some(Cause::Customer) => Step::done(goal, "its cause is customer"),
        other => {
            let saw = other.map_or("its cause is secret".to_owned(), |cause| format!("its cause is {cause}"));
            Step::open(
                goal,
                saw,
                &[
                    "tracelab mystery customer hides one; what you sent before stays",
                    "tracelab up --mystery customer begins with one",
                ],
            )
        }
    }
}

/// That the traces can show the fault: without it a guess is luck.
fn seen(evidence: &Evidence) -> Step {
    let goal = "the traces show a customer that waits where the others do not";
    let presses = evidence.presses().filter(|trace| trace.spans().any(|span| span.attribute(CUSTOMER).is_some())).count();
    let mut times: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for span in evidence.presses().flat_map(Trace::spans).filter(|span| span.kind() == Kind::Server) {
        let Some(customer) = span.attribute(CUSTOMER) else { continue };
        // What is quick as a whole is quick itself.
        let ms = if span.duration_ms() < SLOW_MS { span.duration_ms() } else { span.self_ms() };
        times.entry((span.service(), customer)).or_default().push(ms);
    }
    let medians: BTreeMap<(&str, &str), f64> = times.into_iter().map(|(key, times)| (key, median(times))).collect();
    let waits = |&(service, customer): &(&str, &str)| {
        let of = medians[&(service, customer)];
        let others = medians.iter().filter(|((other, name), _)| *other == service && *name != customer).map(|(_, ms)| *ms);
        let others: Vec<f64> = others.collect();
        of >= SLOW_MS && !others.is_empty() && of > TIMES * median(others)
    };
    if presses >= PRESSES && medians.keys().any(waits) {
        return Step::done(goal, format!("{presses} presses say whose they are"));
    }
    let saw = match presses {
        0 => "no press says whose it is".to_owned(),
        few if few < PRESSES => format!("{few} presses say whose they are, which is few"),
        many => format!("{many} presses say whose they are, and no customer stands out"),
    };
    let hints = [
        "tracelab load 2000 calls in the names of several customers",
        "a machine that is busy hides it: tracelab load 2000 --concurrency 10",
    ];
    Step::open(goal, saw, &hints)
}

fn guessed(evidence: &Evidence) -> Step {
    let goal = "you name the service and the customer";
    match evidence.verdict() {
        Some(Verdict::Right) => Step::done(goal, "your guess is right"),
        Some(Verdict::Half) => {
            let hints = [
                "the service is right: now search for its traces, longest first. What do the slow ones have in common that the quick ones have not?",
                "click the slow service's span: among its tags is customer.id. Is it the same one in the next slow trace?",
                "--cause customer --customer NAME goes with the service; with tags customer.id=NAME the search shows that customer's traces alone",
            ];
            Step::open(goal, "your last guess names the service, but not all of it", &hints)
        }
        verdict => {
            let hints = [
                "open one of the slowest traces that `load` lists, and look for the span with the longest self time",
                "most requests of that service are quick: look at its slowest ones, and at customer.id among the tags of their spans",
                "tracelab guess --service SERVICE --cause customer --customer CUSTOMER, both read off one span's details",
            ];
            let saw = if verdict.is_some() { "your last guess is wrong" } else { "there is no guess yet" };
            Step::open(goal, saw, &hints)
        }
    }
}

/// A span further up in another program of the learner's that says the same customer.
fn caller_of_the_same(callee: Span<'_>) -> Option<Span<'_>> {
    let customer = callee.attribute(CUSTOMER)?;
    let mut above = std::iter::successors(callee.parent(), |span| span.parent());
    above.find(|span| {
        !is_of_the_stage(span.service()) && span.service() != callee.service() && span.attribute(CUSTOMER) == Some(customer)
    })
}

/// Whether the sandbox brings a service of this name.
fn is_of_the_stage(service: &str) -> bool {
    ["frontend", "edge", "gateway"].contains(&service) || service.starts_with("dummy-")
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::{Score, TeamScore};
    use crate::learn::chapters::made::{Made, One, done};

    /// What the program of this chapter makes: the solution, the exercise, and what chapter 3's makes.
    fn order(made: Made, at_counter: bool, at_oven: bool) -> Made {
        let customer = [(CUSTOMER, "grace")];
        let about = |there| if there { &customer[..] } else { &[] };
        let (client, server) = (Kind::Client, Kind::Server);
        made.with(One { id: "1", service: "counter", kind: client, at: (0, 250), attributes: about(at_counter), ..One::default() })
            .with(One {
                id: "2",
                parent: "1",
                service: "oven",
                kind: server,
                at: (3, 243),
                attributes: about(at_oven),
                ..One::default()
            })
    }

    /// Presses in the names of three customers, `slow` of which waits in one service.
    fn presses(mut made: Made, count: u64, slow: &str) -> Made {
        for trace in 1_000..1_000 + count {
            let customer = ["customer-1", "customer-2", "customer-3"][trace as usize % 3];
            let ms = if customer == slow { 400 } else { 4 };
            let trace = format!("{trace:032x}");
            for (id, parent, service, at) in
                [("1", "", "frontend", (0, ms + 8)), ("2", "1", "dummy-0-4", (1, ms + 7)), ("3", "2", "dummy-1-4", (2, ms + 2))]
            {
                let attributes = &[(CUSTOMER, customer)];
                made = made.with(One { trace: &trace, id, parent, service, kind: Kind::Server, at, attributes, ..One::default() });
            }
        }
        made
    }

    fn evidence(made: Made, cause: Option<Cause>, verdict: Option<Verdict>) -> Evidence {
        let team = TeamScore { team: "you".to_owned(), guesses: 1, hints: 0, verdict, seconds: None, revealed: false, solved: 0 };
        let score = Score { mystery: 1, cause, seconds: 60.0, teams: vec![team] };
        Evidence { score: Some(score), team: "you".to_owned(), ..made.evidence() }
    }

    fn after(made: Made, cause: Cause, verdict: Option<Verdict>) -> (usize, bool) {
        done(check, &evidence(made, Some(cause), verdict))
    }

    fn solved() -> Made {
        order(Made::default(), true, true)
    }

    #[test]
    fn the_solution_and_a_right_guess_about_traces_that_show_the_fault_pass() {
        let all = || presses(solved(), 1_200, "customer-2");
        assert_eq!(after(all(), Cause::Customer, Some(Verdict::Right)), (4, true));
        for verdict in [None, Some(Verdict::Wrong), Some(Verdict::Half)] {
            assert_eq!(after(all(), Cause::Customer, verdict), (3, false), "{verdict:?}");
        }
    }

    #[test]
    fn a_customer_that_does_not_reach_both_programs_is_not_enough() {
        for (at_counter, at_oven) in [(false, false), (true, false), (false, true)] {
            let made = presses(order(Made::default(), at_counter, at_oven), 1_200, "customer-2");
            assert_eq!(after(made, Cause::Customer, Some(Verdict::Right)), (0, false));
        }
    }

    #[test]
    fn what_the_stage_itself_carries_is_not_the_learners() {
        assert_eq!(after(Made::default(), Cause::Customer, None), (0, false));
        let made = presses(Made::default(), 1_200, "customer-2");
        assert_eq!(after(made, Cause::Customer, Some(Verdict::Right)), (0, false));
    }

    #[test]
    fn two_programs_that_do_not_call_each_other_have_carried_nothing() {
        let attributes = &[(CUSTOMER, "grace")];
        let made = Made::default().with(One { id: "1", service: "counter", attributes, ..One::default() }).with(One {
            id: "2",
            service: "oven",
            attributes,
            ..One::default()
        });
        assert_eq!(after(made, Cause::Customer, None), (0, false));
    }

    #[test]
    fn a_right_guess_without_traces_that_show_it_is_luck() {
        let few = presses(solved(), 30, "customer-2");
        assert_eq!(after(few, Cause::Customer, Some(Verdict::Right)), (2, false));
        let nobody_waits = presses(solved(), 1_200, "nobody");
        assert_eq!(after(nobody_waits, Cause::Customer, Some(Verdict::Right)), (2, false));
    }

    #[test]
    fn another_mystery_is_not_this_chapters() {
        let made = presses(solved(), 1_200, "customer-2");
        assert_eq!(after(made, Cause::Sleep, Some(Verdict::Right)), (1, false));
    }

    #[test]
    fn a_mystery_of_the_sandbox_shows_its_customer() {
        use crate::mystery::draw;
        use crate::simulation::{Load, simulate};
        use crate::topology::{Route, Topology};
        let topology = Topology::new(3, 30, Route::Straight).unwrap();
        for (cause, expected) in [(Cause::Customer, true), (Cause::Sleep, false), (Cause::None, false)] {
            let mystery = draw(5, cause, topology, 1.0).unwrap();
            let traces = simulate(&mystery, &Load { concurrency: 10, ..Load::default() });
            assert_eq!(seen(&Evidence { traces, ..Evidence::default() }).is_done(), expected, "{cause}");
        }
    }
}
