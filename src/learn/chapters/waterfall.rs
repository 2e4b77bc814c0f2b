//! The learner reads off a whole trace who spent the longest time itself; the stored trace says whether that is so.

use crate::learn::evidence::Trace;
use crate::learn::{Evidence, Step};

const PRESSED: &str = "a press of a button left a whole trace";
const READ: &str = "you named a trace and a service of it";
const LONGEST: &str = "no service has a longer self time in that trace";

/// Bars are read by eye: who comes this close to the longest is right too.
const CLOSE: f64 = 0.95;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let layers = evidence.presses().map(layers).max().unwrap_or_default();
    let is_whole = |trace: &Trace<'_>| is_whole(*trace, layers);
    let Some(latest) = evidence.presses().filter(is_whole).max_by_key(|trace| trace.start()) else {
        return vec![Step::open(
            PRESSED,
            "there is none from the frontend through all layers",
            &[
                "Press a button on the page that `tracelab up` names, or `curl -X POST` to /api/buttons/3 of it.",
                "The span of the frontend ends last and arrives last: ask again in a second.",
            ],
        )];
    };
    let mut steps = vec![Step::done(PRESSED, format!("the latest one takes {}", ms(latest.duration_ms())))];

    let (saw, trace) = match &evidence.answer.trace {
        None => ("you named no trace".to_owned(), None),
        Some(id) => match evidence.trace(id) {
            None => (format!("the backend has no trace {id}"), None),
            Some(trace) if !is_whole(&trace) => (format!("{id} does not go through frontend and all layers"), None),
            Some(trace) => ("you named no service".to_owned(), Some(trace)),
        },
    };
    let (Some(trace), Some(service)) = (trace, &evidence.answer.service) else {
        steps.push(Step::open(
            READ,
            saw,
            &[
                "The answer to a press has the trace's id, and so has the address of the trace's page.",
                "tracelab learn check 2 --trace TRACE --service SERVICE, with your trace's id and the service that you found.",
            ],
        ));
        return steps;
    };
    let shares = trace.self_ms_by_service();
    let Some(own) = shares.iter().find(|(name, _)| name == service).map(|(_, own)| *own) else {
        let saw = format!("{service} has no span in {}", trace.id());
        let hints =
            ["A trace names its services at the left of its spans: frontend, dummy-0-…, and so on.", "Take one that is there."];
        steps.push(Step::open(READ, saw, &hints));
        return steps;
    };
    steps.push(Step::done(READ, format!("{service} in {}", trace.id())));

    let longest = shares.first().map_or(0.0, |(_, longest)| *longest);
    let whole = ms(trace.duration_ms());
    steps.push(if own >= longest * CLOSE {
        Step::done(LONGEST, format!("{} of {whole} are its own", ms(own)))
    } else {
        Step::open(
            LONGEST,
            format!("{service} spent {} of {whole} itself, another one more", ms(own)),
            &[
                "The longest bar is the root's, and nearly all of it is waiting: the solid part of a bar is what counts.",
                "A service has more than one span: add their self times up. A client span counts for the service that made the call.",
                "Above the waterfall, \"Self time by service\" adds them up; in Jaeger, \"Trace Statistics\" does. The longest one comes first.",
            ],
        )
    });
    steps
}

/// All layers, in one piece.
fn is_whole(trace: Trace<'_>, layers: usize) -> bool {
    let in_one_piece = trace.roots().count() == 1 && trace.spans().all(|span| !span.is_orphan());
    in_one_piece && trace.has_service("frontend") && (0..layers).all(|layer| passes(trace, layer))
}

/// How many layers it passes without a gap.
fn layers(trace: Trace<'_>) -> usize {
    (0..).take_while(|layer| passes(trace, *layer)).count()
}

fn passes(trace: Trace<'_>, layer: usize) -> bool {
    let of_layer = format!("dummy-{layer}-");
    trace.services().any(|service| service.starts_with(&of_layer))
}

fn ms(time: f64) -> String {
    format!("{time:.1} ms")
}

#[cfg(test)]
mod tests {
    use super::super::made::{Made, One};
    use super::*;
    use crate::diagnose::model::Kind;
    use crate::learn::Answer;
    use crate::mystery::{Cause, draw};
    use crate::simulation::{Load, simulate};
    use crate::topology::{Route, Topology};

    /// Self times: frontend 10 (client spans included), dummy-0-3 4, dummy-1-3 20, dummy-2-3 6 ms.
    fn press(made: Made) -> Made {
        let spans = [
            ("1", "", "frontend", Kind::Server, (0, 40)),
            ("2", "1", "frontend", Kind::Client, (1, 39)),
            ("3", "2", "dummy-0-3", Kind::Server, (5, 35)),
            ("4", "3", "dummy-0-3", Kind::Client, (8, 35)),
            ("5", "4", "dummy-1-3", Kind::Server, (8, 34)),
            ("6", "5", "dummy-1-3", Kind::Client, (26, 34)),
            ("7", "6", "dummy-2-3", Kind::Server, (27, 33)),
        ];
        spans.into_iter().fold(made, |made, (id, parent, service, kind, at)| {
            made.with(One { trace: "ab", id, parent, service, kind, at, ..One::default() })
        })
    }

    const TRACE: &str = "000000000000000000000000000000ab";

    fn answered(made: Made, trace: Option<&str>, service: Option<&str>) -> Evidence {
        let answer = Answer { trace: trace.map(str::to_owned), service: service.map(str::to_owned) };
        Evidence { answer, ..made.evidence() }
    }

    fn done(evidence: &Evidence) -> Vec<bool> {
        check(evidence).iter().map(Step::is_done).collect()
    }

    #[test]
    fn the_longest_self_time_passes() {
        assert_eq!(done(&answered(press(Made::default()), Some(TRACE), Some("dummy-1-3"))), [true, true, true]);
    }

    #[test]
    fn the_longest_bar_does_not_pass() {
        assert_eq!(done(&answered(press(Made::default()), Some(TRACE), Some("frontend"))), [true, true, false]);
    }

    #[test]
    fn without_an_answer_the_check_waits_for_one() {
        for (trace, service) in [(None, None), (Some(TRACE), None), (None, Some("dummy-1-3"))] {
            assert_eq!(done(&answered(press(Made::default()), trace, service)), [true, false], "{trace:?} {service:?}");
        }
    }

    #[test]
    fn an_answer_about_something_else_does_not_pass() {
        let elsewhere = "000000000000000000000000000000ff";
        assert_eq!(done(&answered(press(Made::default()), Some(elsewhere), Some("dummy-1-3"))), [true, false]);
        assert_eq!(done(&answered(press(Made::default()), Some(TRACE), Some("dummy-1-4"))), [true, false]);
    }

    #[test]
    fn a_trace_that_ends_early_is_not_whole() {
        let short = [("1", "", "frontend", (0, 90)), ("2", "1", "dummy-0-4", (1, 89))];
        let made = short.into_iter().fold(press(Made::default()), |made, (id, parent, service, at)| {
            made.with(One { trace: "cd", id, parent, service, at, ..One::default() })
        });
        let trace = "000000000000000000000000000000cd";
        assert_eq!(done(&answered(made, Some(trace), Some("dummy-0-4"))), [true, false]);
    }

    #[test]
    fn nothing_and_the_traces_of_the_chapter_before_do_not_pass() {
        assert_eq!(done(&answered(Made::default(), Some(TRACE), Some("frontend"))), [false]);
        let breakfast = |id, parent| One { id, parent, trace: "ab", service: "breakfast", ..One::default() };
        let before = Made::default().with(breakfast("1", "")).with(breakfast("2", "1"));
        assert_eq!(done(&answered(before, Some(TRACE), Some("breakfast"))), [false]);
    }

    #[test]
    fn every_press_of_a_stage_has_one_longest_at_least() {
        let mystery = draw(2, Cause::None, Topology::new(3, 30, Route::Straight).unwrap(), 1.0).unwrap();
        let traces = simulate(&mystery, &Load { calls: 60, concurrency: 1, ..Load::default() });
        let mut evidence = Evidence { traces, ..Evidence::default() };
        let ids: Vec<String> = evidence.presses().map(Trace::id).collect();
        assert_eq!(ids.len(), 60);
        for id in ids {
            let services: Vec<String> = evidence.trace(&id).unwrap().services().map(str::to_owned).collect();
            let passes = services.iter().any(|service| {
                evidence.answer = Answer { trace: Some(id.clone()), service: Some(service.clone()) };
                check(&evidence).iter().all(Step::is_done)
            });
            assert!(passes, "{id}");
        }
    }
}
