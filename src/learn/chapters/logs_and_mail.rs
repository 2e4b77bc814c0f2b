//! Chapter 12: a mail names a slow trace, and the learner says where its time went. That a mail came no backend knows; that the trace
//! is slow, and where, it does.

use crate::learn::evidence::Trace;
use crate::learn::{Evidence, Step};

/// So many presses tell what is ordinary.
const PRESSES: usize = 100;
/// A slow press takes at least so much longer than the median one: times, and milliseconds.
const TIMES: f64 = 1.5;
const MORE_MS: f64 = 100.0;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut times: Vec<f64> = evidence.presses().map(Trace::duration_ms).collect();
    let mut steps = vec![pressed(times.len())];
    if times.len() < PRESSES {
        return steps;
    }
    times.sort_unstable_by(f64::total_cmp);
    let ordinary_ms = times[times.len() / 2];
    match slow(evidence, ordinary_ms) {
        Ok((step, trace)) => steps.extend([step, named(evidence, trace)]),
        Err(step) => steps.push(step),
    }
    steps
}

fn pressed(presses: usize) -> Step {
    let goal = "there are presses to tell slow from ordinary";
    let saw = format!("the backend holds {presses}");
    if presses >= PRESSES {
        return Step::done(goal, saw);
    }
    let hints = [
        "one slow trace says little without ordinary ones beside it: make a few hundred calls",
        "tracelab load 600 --concurrency 10, with a mystery in which some are slow: tracelab up, or tracelab mystery sleep",
    ];
    Step::open(goal, saw, &hints)
}

/// The trace that the learner names, if it is one that `watch` would have told of.
fn slow(evidence: &Evidence, ordinary_ms: f64) -> Result<(Step, Trace<'_>), Step> {
    let goal = "--trace is the id of a slow press";
    let hints = [
        "tracelab watch --slower-than 200ms --once prints the mail that it would send: it names the slowest traces",
        "take a link out of the mail, or the 32 digits at its end: tracelab learn check 12 --trace TRACE --service SERVICE",
    ];
    let Some(id) = &evidence.answer.trace else { return Err(Step::open(goal, "no trace is named", &hints)) };
    let Some(trace) = evidence.trace(id) else {
        let hints = [
            "a backend that was started anew has forgotten what was there: take an id from a new mail",
            "traces older than --lookback (1h) are not looked at",
        ];
        return Err(Step::open(goal, format!("the backend holds no trace {id}"), &hints));
    };
    if !evidence.presses().any(|press| press.id() == trace.id()) {
        return Err(Step::open(goal, format!("{id} is no press of a button"), &hints));
    }
    let ms = trace.duration_ms();
    let saw = format!("it took {ms:.0} ms, the median press {ordinary_ms:.0} ms");
    if ms >= ordinary_ms * TIMES && ms >= ordinary_ms + MORE_MS {
        return Ok((Step::done(goal, saw), trace));
    }
    let hints = [
        "a mail about everything is no news: choose --slower-than well above the median that `load` prints",
        "with many callers at once all wait for the machine: tracelab load 600 --concurrency 10 keeps ordinary calls quick",
        "name the first trace of the mail: they are sorted, the slowest first",
    ];
    Err(Step::open(goal, saw, &hints))
}

fn named(evidence: &Evidence, trace: Trace<'_>) -> Step {
    let goal = "--service is where its time went";
    let Some(service) = &evidence.answer.service else {
        let hints = [
            "the log lines of the trace name the services that took part: tracelab logs TRACE",
            "the lines say when each service was done, not how long it took: open the trace that the mail links to",
            "in the waterfall, find the span with the longest self time; the service on its left is the answer",
        ];
        return Step::open(goal, "no service is named", &hints);
    };
    if !trace.has_service(service) {
        let hints = [
            "tracelab logs TRACE lists the services that took part: it is one of them",
            "a service's name is as in those lines, for example frontend",
        ];
        return Step::open(goal, format!("{service} took no part in that trace"), &hints);
    }
    let shares = trace.self_ms_by_service();
    let of = shares.iter().find(|(name, _)| name == service).map_or(0.0, |(_, own)| *own);
    let share = of / trace.duration_ms().max(f64::MIN_POSITIVE) * 100.0;
    let saw = format!("{service} spent {of:.0} ms of its own, {share:.0} % of the trace");
    if shares.iter().all(|(_, own)| *own <= of) {
        return Step::done(goal, saw);
    }
    let hints = [
        "a span that is long because another runs inside it only waits: what counts is self time",
        "the mail's last lines name a suspect, and why; does this trace bear it out?",
        "in the trace's page, click the spans one after the other: the details give each one's self time",
    ];
    Step::open(goal, saw, &hints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::model::Kind;
    use crate::learn::Answer;
    use crate::learn::chapters::made::{Made, One, done};

    const SLOW: u64 = 7;
    const ORDINARY: u64 = 8;
    const NO_PRESS: u64 = 9_999;

    fn id(trace: u64) -> String {
        format!("{trace:032x}")
    }

    /// Presses of which number 7 spends 500 ms in dummy-1-9, and chapter 3's trace, which is slow and nobody's press.
    fn made(presses: u64) -> Made {
        let mut made = Made::default().with(One { trace: &id(NO_PRESS), service: "my-own", at: (0, 700), ..One::default() });
        for trace in 1..=presses {
            let ms = if trace == SLOW { 500 } else { 5 };
            for (span, parent, service, at) in [
                ("1", "", "frontend", (0, ms + 20)),
                ("2", "1", "dummy-0-9", (1, ms + 19)),
                ("3", "2", "dummy-1-9", (7, ms + 18)),
                ("4", "3", "dummy-2-9", (ms + 8, ms + 17)),
            ] {
                let trace = id(trace);
                made = made.with(One { trace: &trace, id: span, parent, service, kind: Kind::Server, at, ..One::default() });
            }
        }
        made
    }

    fn after(presses: u64, trace: Option<u64>, service: Option<&str>) -> (usize, bool) {
        let answer = Answer { trace: trace.map(id), service: service.map(ToOwned::to_owned) };
        done(check, &Evidence { answer, ..made(presses).evidence() })
    }

    #[test]
    fn a_slow_press_and_the_service_with_the_longest_self_time_in_it_pass() {
        assert_eq!(after(200, Some(SLOW), Some("dummy-1-9")), (3, true));
    }

    #[test]
    fn nothing_passes_without_both_answers() {
        assert_eq!(after(200, None, None), (1, false));
        assert_eq!(after(200, None, Some("dummy-1-9")), (1, false));
        assert_eq!(after(200, Some(SLOW), None), (2, false));
    }

    #[test]
    fn a_service_that_only_waits_or_took_no_part_is_wrong() {
        for service in ["frontend", "dummy-0-9", "dummy-2-9", "dummy-1-8", ""] {
            assert_eq!(after(200, Some(SLOW), Some(service)), (2, false), "{service}");
        }
    }

    #[test]
    fn a_trace_that_is_not_slow_not_there_or_no_press_is_wrong() {
        for trace in [ORDINARY, 5_000, NO_PRESS] {
            assert_eq!(after(200, Some(trace), Some("dummy-0-9")), (1, false), "{trace}");
        }
    }

    #[test]
    fn among_few_presses_nothing_is_slow() {
        assert_eq!(after(0, None, None), (0, false));
        assert_eq!(after(50, Some(SLOW), Some("dummy-1-9")), (0, false));
    }
}
