//! Chapter 7, in two halves: the service in which failures start, and then the one that spoils what others do later. What the first
//! half left (its presses, and that it was solved) is seen while the second one runs.

use std::collections::{BTreeMap, BTreeSet};

use super::hunt::{Press, earlier_presses, guessed, is_straight, presses, runs};
use crate::diagnose::model::Kind;
use crate::learn::{Evidence, Step};
use crate::mystery::Cause;

pub const START: &str = "tracelab up --route random --mystery failure";
/// So many presses in a row that fail in one service are no chance: those that somebody upstream spoils fail here and there.
const IN_A_ROW: usize = 5;
/// Fewer failed presses have nothing in common that one could trust.
const FAILED: usize = 3;
const FIRST_GUESS: &str = "your guess at that service was right";
/// Who spoils handles one press in thirty.
const CALLS: usize = 1_000;
/// One in so many is among the slowest: fewer than pass whoever spoils.
const SLOWEST: usize = 100;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    match evidence.cause() {
        Some(Cause::Upstream) => second_half(evidence),
        _ => first_half(evidence),
    }
}

fn first_half(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![runs(evidence, Cause::Failure, START)];
    if !steps[0].is_done() {
        return steps;
    }
    let presses = presses(evidence);
    steps.push(failed_presses(&presses));
    if steps[1].is_done() {
        steps.push(guessed(evidence, Cause::Failure, &look_for_failure(&presses)));
    }
    if steps.len() == 3 && steps[2].is_done() {
        let hints = [
            "that was the first half: the second hides a fault that shows at another place than where it sits",
            "tracelab mystery upstream (it needs a stage with --route random or all; what it says otherwise is the way out)",
        ];
        steps.push(Step::open("a mystery of cause upstream follows", "the one of cause failure still runs", &hints));
    }
    steps
}

fn second_half(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![failed_presses(&earlier_presses(evidence))];
    if !steps[0].is_done() {
        return steps;
    }
    steps.push(first_guess(evidence));
    if !steps[1].is_done() {
        return steps;
    }
    steps.push(Step::done("a mystery of cause upstream follows", "the frontend says so"));
    let presses = presses(evidence);
    steps.push(spoilt_presses(&presses));
    if steps[3].is_done() {
        steps.push(guessed(evidence, Cause::Upstream, &look_upstream(&presses)));
    }
    steps
}

/// One service fails by itself, and others pass that on.
fn failed_presses(presses: &[Press<'_>]) -> Step {
    let goal = "presses failed because of one service";
    let mut failed: Vec<_> = presses.iter().filter_map(|press| Some((press.root.start(), press.failed_in()?))).collect();
    failed.sort_unstable();
    let in_a_row = failed.chunk_by(|(_, one), (_, next)| one == next).max_by_key(|row| row.len());
    let Some(row @ [(first, service), ..]) = in_a_row else {
        let saw = format!("no failed press among {}", presses.len());
        return Step::open(goal, saw, &["make calls until some fail: `load` counts them as errors", "tracelab load 3000"]);
    };
    // What came before and after may be another mystery's.
    let last = row.last().map_or(*first, |(at, _)| *at);
    let served = |press: &&Press<'_>| press.trace.spans().any(|span| span.kind() == Kind::Server && span.service() == *service);
    let meanwhile = presses.iter().filter(|press| (*first..=last).contains(&press.root.start()));
    let saw = format!("the failure of {} presses began there, of {} that reached it", row.len(), meanwhile.filter(served).count());
    if row.len() >= IN_A_ROW {
        return Step::done(goal, saw);
    }
    let hints = [
        "too few to be sure of it: make more calls while a mystery of cause failure runs",
        "where the mystery of cause upstream runs already, go back with `tracelab mystery failure`, then tracelab load 3000",
    ];
    Step::open(goal, saw, &hints)
}

fn first_guess(evidence: &Evidence) -> Step {
    let goal = FIRST_GUESS;
    match evidence.team() {
        Some(team) if team.solved > 0 => Step::done(goal, format!("{} solved before this mystery", team.solved)),
        _ => {
            let hints = [
                "the first half comes first: find the service that fails, and guess it before the next mystery starts",
                "tracelab mystery failure, then tracelab load 3000",
            ];
            Step::open(goal, format!("team {} solved none before this mystery", evidence.team), &hints)
        }
    }
}

pub fn look_for_failure(presses: &[Press<'_>]) -> Vec<String> {
    let mut hints = vec![
        "search for error=true, open some, and leave those out in which a repeated call went well: the topmost span of a real one has \
         failed"
            .to_owned(),
        "go down the waterfall from one red span to the next: the last one that is red called nobody who failed".to_owned(),
    ];
    let failed = presses.iter().filter(|press| press.failed_in().is_some());
    if let Some(deepest) = failed.max_by_key(|press| press.trace.services().count()) {
        hints.push(format!("trace {}: the failure starts at the lowest red row", deepest.trace.id()));
    }
    hints
}

fn spoilt_presses(presses: &[Press<'_>]) -> Step {
    let goal = format!("at least {CALLS} presses since then");
    let saw = format!("traces of {} presses", presses.len());
    if presses.len() < CALLS {
        let hints = ["only one press in thirty passes whoever spoils it: make some thousand", "tracelab load 3000"];
        return Step::open(goal, saw, &hints);
    }
    if is_straight(presses) {
        let hints = ["on straight routes everybody who suffers has the same company", START];
        return Step::open(goal, format!("{saw}, on straight routes"), &hints);
    }
    Step::done(goal, saw)
}

/// Those that failed; where too few did, the slowest.
fn bad<'a>(presses: &[Press<'a>]) -> (&'static str, Vec<Press<'a>>) {
    let failed: Vec<_> = presses.iter().copied().filter(|press| press.failed_in().is_some()).collect();
    if failed.len() >= FAILED {
        return ("failed", failed);
    }
    let mut slowest = presses.to_vec();
    slowest.sort_unstable_by(|one, other| other.ms().total_cmp(&one.ms()));
    slowest.truncate(presses.len() / SLOWEST);
    ("slowest", slowest)
}

fn look_upstream(presses: &[Press<'_>]) -> Vec<String> {
    let (which, bad) = bad(presses);
    let mut hints = vec![match which {
        "failed" => "some presses fail, but not in one service: search for http.response.status_code=500, and compare what they passed \
                     before they failed"
            .to_owned(),
        _ => "some presses are slow, but not in one service: search with a Min duration, longest first, and compare what they passed \
              before they were slow"
            .to_owned(),
    }];
    let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
    for press in &bad {
        let services: BTreeSet<&str> = press.trace.services().filter(|service| service.starts_with("dummy-")).collect();
        services.into_iter().for_each(|service| *passed.entry(service).or_default() += 1);
    }
    let shared = passed.into_iter().max_by_key(|(_, times)| *times);
    if let Some((service, times)) = shared.filter(|(_, times)| *times > 1) {
        let layer = service.split('-').nth(1).unwrap_or_default();
        hints.push(format!("of the {} {which} presses {times} passed one and the same service of layer {layer}", bad.len()));
        hints.push(format!(
            "look at the services under each result of the search: one dummy-{layer}-… stands under nearly all of them"
        ));
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::super::hunt::tests::{Pressed, Stage, evidence, open, passes};
    use super::*;
    use crate::diagnose::model::Traces;
    use crate::learn::State;
    use crate::mystery::Verdict;

    const SECOND_MS: u64 = 500_000;
    const GUESS: &str = "your guess is right";

    /// Presses on random routes of which those through one service of layer 1 fail there, all above it passing that on.
    fn failing(stage: &mut Stage, at_ms: u64, calls: u64) {
        for number in 0..calls {
            let names =
                [format!("dummy-0-{}", number % 4), format!("dummy-1-{}", number / 4 % 4), format!("dummy-2-{}", number / 3 % 4)];
            let way = [(names[0].as_str(), 5), (names[1].as_str(), 5), (names[2].as_str(), 5)];
            let fails = names[1] == "dummy-1-3" && number % 3 == 0;
            stage.press(&Pressed { at_ms: at_ms + number, way: if fails { &way[..2] } else { &way }, fails });
        }
    }

    /// The same of which those through one service of layer 0 are slow, or fail, in whichever service of layer 2 they reach.
    fn spoilt(stage: &mut Stage, at_ms: u64, calls: u64, fails: bool) {
        for number in 0..calls {
            let names = [
                format!("dummy-0-{}", number % 20),
                format!("dummy-1-{}", number / 20 % 4),
                format!("dummy-2-{}", number / 80 % 20),
            ];
            let strikes = names[0] == "dummy-0-7";
            let own = if strikes && !fails { 400 } else { 5 };
            let way = [(names[0].as_str(), 5), (names[1].as_str(), 5), (names[2].as_str(), own)];
            stage.press(&Pressed { at_ms: at_ms + number, way: &way, fails: strikes && fails });
        }
    }

    fn stage(first: u64, second: u64, fails: bool) -> Traces {
        let mut stage = Stage::default();
        failing(&mut stage, 100_000, first);
        spoilt(&mut stage, SECOND_MS, second, fails);
        stage.finish()
    }

    fn second(traces: Traces, solved: u32, verdict: Option<Verdict>) -> Evidence {
        let mut evidence = evidence(traces, Cause::Upstream, SECOND_MS, Some(verdict.unwrap_or(Verdict::Wrong)));
        for team in evidence.score.iter_mut().flat_map(|score| &mut score.teams) {
            team.solved = solved;
            team.verdict = verdict;
        }
        evidence
    }

    #[test]
    fn both_halves_solved_pass() {
        for fails in [true, false] {
            assert!(passes(&check(&second(stage(300, 2_000, fails), 1, Some(Verdict::Right)))));
        }
    }

    #[test]
    fn an_untouched_stage_does_not() {
        assert_eq!(open(&check(&Evidence::default())), "a mystery of cause failure runs");
        let nothing = evidence(Traces::default(), Cause::Failure, 0, None);
        assert_eq!(open(&check(&nothing)), "presses failed because of one service");
        let sleep = evidence(stage(0, 2_000, false), Cause::RareSleep, 0, Some(Verdict::Right));
        assert_eq!(open(&check(&sleep)), "a mystery of cause failure runs");
    }

    #[test]
    fn the_first_half_leads_to_the_second() {
        let half = |verdict| check(&evidence(stage(300, 0, true), Cause::Failure, 0, verdict));
        assert_eq!(open(&half(None)), GUESS);
        assert_eq!(open(&half(Some(Verdict::Right))), "a mystery of cause upstream follows");
    }

    #[test]
    fn the_second_half_counts_with_the_first_one_only() {
        let right = Some(Verdict::Right);
        assert_eq!(open(&check(&second(stage(0, 2_000, true), 1, right))), "presses failed because of one service");
        assert_eq!(open(&check(&second(stage(300, 2_000, true), 0, right))), FIRST_GUESS);
        assert_eq!(open(&check(&second(stage(300, 100, true), 1, right))), "at least 1000 presses since then");
        let wrong = check(&second(stage(300, 2_000, true), 1, Some(Verdict::Wrong)));
        assert_eq!((open(&wrong), wrong.len()), (GUESS, 5));
    }

    #[test]
    fn many_presses_of_other_mysteries_do_not_hide_the_first_half() {
        let mut stage = Stage::default();
        failing(&mut stage, 100_000, 300);
        spoilt(&mut stage, 200_000, 2_000, true);
        spoilt(&mut stage, 300_000, 2_000, false);
        spoilt(&mut stage, SECOND_MS, 2_000, true);
        assert!(passes(&check(&second(stage.finish(), 1, Some(Verdict::Right)))));
    }

    #[test]
    fn spoilt_presses_are_no_failures_of_one_service() {
        let mut only = Stage::default();
        spoilt(&mut only, 0, 2_000, true);
        let step = failed_presses(&presses(&evidence(only.finish(), Cause::Failure, 0, None)));
        assert!(!step.is_done(), "{step:?}");
    }

    #[test]
    fn the_hints_name_the_layer_and_never_the_service() {
        for (fails, how) in [(true, "of the 100 failed presses 100"), (false, "of the 20 slowest presses 20")] {
            let steps = check(&second(stage(300, 2_000, fails), 1, None));
            let State::Open { hints, .. } = &steps[4].state else { panic!("{steps:?}") };
            let hints = hints.join("\n");
            assert!(hints.contains(how) && hints.contains("of layer 0"), "{hints}");
            assert!(!hints.contains("dummy-0-7"), "{hints}");
        }
    }
}
