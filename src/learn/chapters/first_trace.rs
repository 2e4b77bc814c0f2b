//! One span that no SDK made, and a root with a child that the Rust SDK made, both of services that are neither the stage's nor
//! another chapter's.

use crate::learn::evidence::Span;
use crate::learn::{Evidence, Step};

const BY_HAND: &str = "a span that was written by hand is in the backend";
const SHIPPED: &str = "a span of a Rust program is in the backend";
const CHILD: &str = "a root of that program has a child in the same trace";

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let learners = || evidence.traces().flat_map(|trace| trace.spans()).filter(|span| !is_known(span.service()));
    let Some(by_hand) = learners().find(|span| language(*span).is_none()) else {
        return vec![Step::open(
            BY_HAND,
            "there is none",
            &[
                "`curl` prints {\"partialSuccess\":{}} when the backend took the span; anything else is an error and says which.",
                "Its times must be of today: NOW in span.json stands for the seconds since 1970, which `date +%s` prints.",
                "Run the command with `sed` and `curl` under \"By hand\" in the chapter as it stands there.",
            ],
        )];
    };
    let mut steps = vec![Step::done(BY_HAND, said(by_hand))];

    let of_rust = || learners().filter(|span| language(*span) == Some("rust"));
    let Some(shipped) = of_rust().next() else {
        steps.push(Step::open(
            SHIPPED,
            "nothing of a Rust program came",
            &[
                "The program runs to its end, so the spans were made. Where are they when it ends?",
                "Spans that ended wait in the provider, for up to five seconds, so that many leave at once. The program is quicker.",
                "A provider has a method that sends what still waits and then stops. Call it before `main` returns: `shutdown`.",
            ],
        ));
        return steps;
    };
    steps.push(Step::done(SHIPPED, said(shipped)));

    let child = of_rust().filter(|span| span.is_root()).flat_map(Span::children).find(|child| language(*child) == Some("rust"));
    steps.push(match child {
        Some(child) => Step::done(CHILD, said(child)),
        None => Step::open(
            CHILD,
            "every one is alone in its trace",
            &[
                "A span becomes the child of the one that is active when it starts.",
                "`in_span` makes its span active while its closure runs: start the second span in there.",
            ],
        ),
    });
    steps
}

/// The programs of chapters 3 and 8, whose exercises ship spans before anything is done to them.
const OTHER_CHAPTERS: [&str; 4] = ["shop", "stock", "counter", "oven"];

/// What a stage brings itself, what is Tracelab's, and what other chapters ship.
fn is_known(service: &str) -> bool {
    let one_of = |names: &[&str]| names.contains(&service);
    one_of(&["frontend", "edge", "gateway"])
        || service.starts_with("dummy-")
        || service.starts_with("tracelab-")
        || one_of(&OTHER_CHAPTERS)
}

fn language(span: Span<'_>) -> Option<&str> {
    span.resource("telemetry.sdk.language")
}

fn said(span: Span<'_>) -> String {
    format!("`{}` of {}", span.name(), span.service())
}

#[cfg(test)]
mod tests {
    use super::super::made::{Made, One};
    use super::*;

    /// What the chapter's `curl` sends.
    fn by_hand() -> Made {
        Made::default().with(One { service: "by-hand", name: "my first span", resource: &[], ..One::default() })
    }

    fn breakfast<'a>(id: &'a str, parent: &'a str, name: &'a str) -> One<'a> {
        One { trace: "b", id, parent, name, service: "breakfast", ..One::default() }
    }

    fn done(made: Made) -> Vec<bool> {
        check(&made.evidence()).iter().map(Step::is_done).collect()
    }

    #[test]
    fn a_span_by_hand_and_a_root_with_a_child_from_rust_pass() {
        let made = by_hand().with(breakfast("1", "", "make breakfast")).with(breakfast("2", "1", "boil an egg"));
        assert_eq!(done(made), [true, true, true]);
    }

    #[test]
    fn nothing_does_not_pass() {
        assert_eq!(done(Made::default()), [false]);
    }

    #[test]
    fn a_program_whose_spans_never_leave_does_not_pass() {
        assert_eq!(done(by_hand()), [true, false]);
    }

    #[test]
    fn a_rust_program_is_no_span_by_hand() {
        assert_eq!(done(Made::default().with(breakfast("1", "", "make breakfast"))), [false]);
    }

    #[test]
    fn two_roots_are_no_trace_of_two_spans() {
        let alone = One { trace: "c", ..breakfast("2", "", "boil an egg") };
        assert_eq!(done(by_hand().with(breakfast("1", "", "make breakfast")).with(alone)), [true, true, false]);
    }

    #[test]
    fn a_root_that_never_came_is_missed() {
        let orphans = by_hand().with(breakfast("2", "1", "boil an egg")).with(breakfast("3", "2", "wait"));
        assert_eq!(done(orphans), [true, true, false]);
    }

    #[test]
    fn what_a_stage_and_other_chapters_bring_does_not_count() {
        for service in ["frontend", "dummy-1-17", "tracelab-doctor", "edge", "gateway", "shop", "oven"] {
            let bare = One { service, resource: &[], ..One::default() };
            assert_eq!(done(Made::default().with(bare)), [false], "{service}");
            let of = |id, parent| One { service, ..breakfast(id, parent, "GET /") };
            assert_eq!(done(by_hand().with(of("1", "")).with(of("2", "1"))), [true, false], "{service}");
        }
    }
}
