//! Two services whose spans are one trace, hung up at the right place: the server span below the client span.

use crate::diagnose::model::Kind;
use crate::learn::evidence::Span;
use crate::learn::{Evidence, Step};

const CALLER: &str = "shop";
const CALLEE: &str = "stock";

const ARRIVED: &str = "spans of both shop and stock are in the backend";
const ONE: &str = "some of both are in one trace";
const PARENT: &str = "in it, stock's server span is the child of shop's client span";

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let traces_of = |service: &'static str| evidence.traces().filter(move |trace| trace.has_service(service));
    let (callers, callees) = (traces_of(CALLER).count(), traces_of(CALLEE).count());
    if callers == 0 || callees == 0 {
        let saw = match (callers, callees) {
            (0, 0) => "there is none of either".to_owned(),
            (0, _) => format!("there is none of {CALLER}"),
            _ => format!("there is none of {CALLEE}"),
        };
        return vec![Step::open(
            ARRIVED,
            saw,
            &[
                "Run the program: one command starts both services.",
                "cargo run --example 03-context sends to port 4318 of this machine, or where OTEL_EXPORTER_OTLP_ENDPOINT says.",
            ],
        )];
    }
    let mut steps = vec![Step::done(ARRIVED, format!("traces: {callers} of {CALLER}, {callees} of {CALLEE}"))];

    let mut shared = traces_of(CALLER).filter(|trace| trace.has_service(CALLEE)).peekable();
    if shared.peek().is_none() {
        steps.push(Step::open(
            ONE,
            format!("{CALLER} has its traces, and {CALLEE} others"),
            &[
                "The program prints which `traceparent` reached stock. With none, the caller is to blame; with one, the callee.",
                "Caller: a propagator injects a context into headers. Callee: it extracts one from them, and the span has to start with it.",
                "`propagator.inject_context(&call, …)` with a HeaderInjector, `propagator.extract(…)` with a HeaderExtractor, and what \
                 it returns is the second argument of `start_with_context`.",
            ],
        ));
        return steps;
    }
    steps.push(Step::done(ONE, format!("traces of both: {}", shared.clone().count())));

    let served: Vec<Span<'_>> = shared.flat_map(|trace| trace.spans()).filter(|span| span.service() == CALLEE).collect();
    let is_call = |span: &Span<'_>| span.service() == CALLER && span.kind() == Kind::Client;
    let right = served.iter().find(|span| span.kind() == Kind::Server && span.parent().as_ref().is_some_and(is_call));
    steps.push(match right {
        Some(span) => Step::done(PARENT, format!("`{}` in {}", span.name(), span.trace().id())),
        None => Step::open(
            PARENT,
            match served.iter().find_map(|span| span.parent().filter(|parent| parent.service() == CALLER)) {
                Some(parent) => format!("{CALLEE}'s is the child of `{}`", parent.name()),
                None => "nobody in it is".to_owned(),
            },
            &[
                "Shop has two spans: the sale, and the call that is made for it. Which of them does stock's belong below?",
                "What is injected decides: the context that holds the client span, `call`.",
            ],
        ),
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::super::made::{Made, One};
    use super::*;

    const SALE: One<'_> = span("a", "1", "", CALLER, Kind::Internal);
    const CALL: One<'_> = span("a", "2", "1", CALLER, Kind::Client);

    const fn span<'a>(trace: &'a str, id: &'a str, parent: &'a str, service: &'a str, kind: Kind) -> One<'a> {
        One { trace, id, parent, service, kind, name: "GET", at: (0, 10), resource: super::super::made::RUST, attributes: &[] }
    }

    fn shop() -> Made {
        Made::default().with(SALE).with(CALL)
    }

    fn done(made: Made) -> Vec<bool> {
        check(&made.evidence()).iter().map(Step::is_done).collect()
    }

    #[test]
    fn a_server_span_below_the_client_span_passes_whatever_broke_before() {
        let before = shop().with(span("b", "3", "", CALLEE, Kind::Server));
        let calls = [("1", "", CALLER, Kind::Internal), ("2", "1", CALLER, Kind::Client), ("3", "2", CALLEE, Kind::Server)];
        let after = calls.into_iter().fold(before, |made, (id, parent, of, kind)| made.with(span("c", id, parent, of, kind)));
        assert_eq!(done(after), [true, true, true]);
    }

    #[test]
    fn two_broken_traces_do_not_pass() {
        assert_eq!(done(shop().with(span("b", "3", "", CALLEE, Kind::Server))), [true, false]);
    }

    #[test]
    fn the_wrong_parent_does_not_pass() {
        assert_eq!(done(shop().with(span("a", "3", "1", CALLEE, Kind::Server))), [true, true, false]);
        assert_eq!(done(shop().with(span("a", "3", "9", CALLEE, Kind::Server))), [true, true, false], "it never came");
    }

    #[test]
    fn one_service_alone_does_not_pass() {
        assert_eq!(done(shop()), [false]);
        assert_eq!(done(Made::default().with(span("b", "3", "", CALLEE, Kind::Server))), [false]);
    }

    #[test]
    fn nothing_and_the_traces_of_the_chapters_before_do_not_pass() {
        assert_eq!(done(Made::default()), [false]);
        let press =
            [("1", "", "frontend", Kind::Client), ("2", "1", "dummy-0-3", Kind::Server), ("3", "2", "breakfast", Kind::Internal)];
        let made =
            press.into_iter().fold(Made::default(), |made, (id, parent, of, kind)| made.with(span("d", id, parent, of, kind)));
        assert_eq!(done(made), [false]);
    }
}
