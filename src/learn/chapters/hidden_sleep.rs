//! Chapter 4: every button was pressed once, one of them took long, and the service in which it did was named.

use std::collections::BTreeMap;

use super::hunt::{Press, guessed, median, presses, runs};
use crate::learn::{Evidence, Step};
use crate::mystery::Cause;

pub const START: &str = "tracelab up";
/// A press takes so many times as long as half of the others when somebody sleeps.
const TIMES: f64 = 3.0;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![runs(evidence, Cause::Sleep, START)];
    if !steps[0].is_done() {
        return steps;
    }
    let presses = presses(evidence);
    let buttons = buttons(&presses);
    steps.push(all_pressed(evidence, &buttons));
    if steps[1].is_done() {
        steps.push(guessed(evidence, Cause::Sleep, &look(&buttons)));
    }
    steps
}

/// The last press of each button.
pub fn buttons<'a>(presses: &[Press<'a>]) -> BTreeMap<&'a str, Press<'a>> {
    let mut last: BTreeMap<&str, Press<'_>> = BTreeMap::new();
    for press in presses {
        let kept = last.entry(press.button).or_insert(*press);
        if press.root.start() > kept.root.start() {
            *kept = *press;
        }
    }
    last
}

fn all_pressed(evidence: &Evidence, buttons: &BTreeMap<&str, Press<'_>>) -> Step {
    let goal = "every button was pressed";
    let (pressed, width) = (buttons.len(), usize::from(evidence.width));
    let saw = format!("traces of {pressed} of {width} buttons");
    if width > 0 && pressed >= width {
        return Step::done(goal, saw);
    }
    let missing = (0..evidence.width).find(|number| !buttons.contains_key(format!("dummy-0-{number}").as_str()));
    let missing = missing.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let hints = [
        "any of them may be the slow one, so press them all: on the page, or with one command".to_owned(),
        format!("button {missing} is among those without a trace since the mystery began"),
        format!("tracelab load {width} --concurrency 1"),
    ];
    Step::open(goal, saw, &hints.each_ref().map(String::as_str))
}

/// Where to look for who sleeps, each hint more direct than the one before.
pub fn look(buttons: &BTreeMap<&str, Press<'_>>) -> Vec<String> {
    let ordinary = median(buttons.values().map(|press| press.ms()));
    let slowest = buttons.values().max_by(|one, other| one.ms().total_cmp(&other.ms()));
    let Some(slowest) = slowest.filter(|slowest| slowest.ms() > TIMES * ordinary) else {
        return vec![
            "no button's last press took much longer than the others: make sure that nobody was redeployed as v2".to_owned(),
        ];
    };
    let number = slowest.button.trim_start_matches("dummy-0-");
    vec![
        "one button takes far longer than the others: which is it?".to_owned(),
        format!("it is button {number}: open its trace, and read Self time by service from the left"),
        format!(
            "one service alone took {:.0} of that press's {:.0} ms; it is the one with the solid bar",
            slowest.longest().1,
            slowest.ms()
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::hunt::tests::{Stage, evidence, open, passes};
    use super::*;
    use crate::learn::State;
    use crate::mystery::Verdict;

    const SLOW: u16 = 2;

    fn pressed(buttons: u16, at_ms: u64, verdict: Option<Verdict>) -> Evidence {
        let mut stage = Stage::default();
        stage.press_all(buttons, at_ms, |number| if number == SLOW { 500 } else { 5 });
        evidence(stage.finish(), Cause::Sleep, 100_000, verdict)
    }

    #[test]
    fn all_buttons_and_the_right_guess_pass() {
        assert!(passes(&check(&pressed(4, 200_000, Some(Verdict::Right)))));
    }

    #[test]
    fn an_untouched_stage_and_one_press_do_not() {
        assert_eq!(open(&check(&Evidence::default())), "a mystery of cause sleep runs");
        assert_eq!(open(&check(&pressed(0, 200_000, None))), "every button was pressed");
        assert_eq!(open(&check(&pressed(1, 200_000, Some(Verdict::Right)))), "every button was pressed");
    }

    #[test]
    fn presses_of_a_mystery_before_do_not_count() {
        assert_eq!(open(&check(&pressed(4, 10_000, Some(Verdict::Right)))), "every button was pressed");
    }

    #[test]
    fn the_hints_lead_to_the_button_and_never_name_the_service() {
        for verdict in [None, Some(Verdict::Wrong), Some(Verdict::Half)] {
            let steps = check(&pressed(4, 200_000, verdict));
            assert_eq!(open(&steps), "your guess is right");
            let State::Open { hints, .. } = &steps[2].state else { unreachable!() };
            let hints = hints.join("\n");
            assert!(hints.contains("button 2:") && hints.contains("500 of that press's 510 ms"), "{hints}");
            assert!(!hints.contains("dummy-1-2"), "{hints}");
        }
    }
}
