//! Chapter 5: thousands of presses on random routes, in a few of which one service sleeps, and its name.

use std::collections::BTreeMap;

use super::hunt::{Press, guessed, is_straight, presses, runs};
use crate::learn::{Evidence, Step};
use crate::mystery::Cause;

pub const START: &str = "tracelab up --mystery rare-sleep --route random";
/// Among fewer, the one service in ninety that sleeps on one request in fifty may not have slept thrice.
const CALLS: usize = 5_000;
/// So many of the slowest does `load` print.
const SLOWEST: usize = 10;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![runs(evidence, Cause::RareSleep, START)];
    if !steps[0].is_done() {
        return steps;
    }
    let presses = presses(evidence);
    steps.push(crowd(&presses));
    if steps[1].is_done() {
        steps.push(guessed(evidence, Cause::RareSleep, &look(presses)));
    }
    steps
}

fn crowd(presses: &[Press<'_>]) -> Step {
    let goal = format!("at least {CALLS} presses on random routes");
    let saw = format!("traces of {} presses", presses.len());
    if presses.len() < CALLS {
        let hints = [
            "what is rare shows only among many: one call in about fifteen hundred meets the sleep",
            "the backend keeps the newest traces, and those that began before this mystery do not count",
            "tracelab load",
        ];
        return Step::open(goal, saw, &hints);
    }
    if is_straight(presses) {
        let hints = ["on straight routes the button gives the culprit away", &format!("start again: {START}")];
        return Step::open(goal, format!("{saw}, on straight routes"), &hints);
    }
    Step::done(goal, saw)
}

fn look(mut presses: Vec<Press<'_>>) -> Vec<String> {
    presses.sort_unstable_by(|one, other| other.ms().total_cmp(&one.ms()));
    presses.truncate(SLOWEST);
    let mut longest: BTreeMap<&str, Vec<&Press<'_>>> = BTreeMap::new();
    for press in &presses {
        // A service that had less than half of the time is not what made it slow.
        let (service, ms) = press.longest();
        if ms * 2.0 > press.ms() {
            longest.entry(service).or_default().push(press);
        }
    }
    let first =
        "open the slowest traces one after the other, and note of each the first name under Self time by service".to_owned();
    match longest.values().max_by_key(|presses| presses.len()).filter(|presses| presses.len() > 1) {
        Some(of_one) => vec![
            first,
            format!("one service has most of the time in {} of the {SLOWEST} slowest presses", of_one.len()),
            format!("they are {}", of_one.iter().map(|press| press.trace.id()).collect::<Vec<_>>().join(", ")),
        ],
        None => vec![
            first,
            "no service has most of the time in two of the slowest presses: make more calls, fewer at once, so that the machine itself \
             is not what is slow: tracelab load --concurrency 10"
                .to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::hunt::tests::{Pressed, Stage, evidence, open, passes};
    use super::*;
    use crate::learn::State;
    use crate::mystery::Verdict;

    const BEGAN_MS: u64 = 100_000;

    /// Every thousandth press meets a sleep in one service; on random routes the button is never the service's own.
    fn crowd(calls: u64, random: bool, cause: Cause, verdict: Option<Verdict>) -> Evidence {
        let mut stage = Stage::default();
        for number in 0..calls {
            let button = number % 4;
            let next = if random { (number / 4) % 4 } else { button };
            let sleeps = number % 1_000 == 1;
            let (last, own) = if sleeps { (3, 400) } else { (next, 5) };
            let names = [format!("dummy-0-{button}"), format!("dummy-1-{next}"), format!("dummy-2-{last}")];
            let way = [(names[0].as_str(), 5), (names[1].as_str(), 5), (names[2].as_str(), own)];
            stage.press(&Pressed { at_ms: BEGAN_MS + number, way: &way, fails: false });
        }
        evidence(stage.finish(), cause, BEGAN_MS, verdict)
    }

    #[test]
    fn a_crowd_and_the_right_guess_pass() {
        assert!(passes(&check(&crowd(6_000, true, Cause::RareSleep, Some(Verdict::Right)))));
    }

    #[test]
    fn an_untouched_stage_and_that_of_the_chapter_before_do_not() {
        assert_eq!(open(&check(&Evidence::default())), "a mystery of cause rare-sleep runs");
        assert_eq!(open(&check(&crowd(40, false, Cause::Sleep, Some(Verdict::Right)))), "a mystery of cause rare-sleep runs");
        assert_eq!(open(&check(&crowd(0, true, Cause::RareSleep, None))), "at least 5000 presses on random routes");
    }

    #[test]
    fn a_lucky_guess_before_there_is_a_crowd_does_not_pass() {
        assert!(open(&check(&crowd(400, true, Cause::RareSleep, Some(Verdict::Right)))).starts_with("at least"));
        assert!(open(&check(&crowd(6_000, false, Cause::RareSleep, Some(Verdict::Right)))).starts_with("at least"));
    }

    #[test]
    fn the_hints_lead_to_the_slowest_traces_and_never_name_the_service() {
        let steps = check(&crowd(6_000, true, Cause::RareSleep, Some(Verdict::Wrong)));
        assert_eq!(open(&steps), "your guess is right");
        let State::Open { hints, .. } = &steps[2].state else { unreachable!() };
        let hints = hints.join("\n");
        assert!(hints.contains("in 6 of the 10 slowest") && !hints.contains("dummy-2"), "{hints}");
    }
}
