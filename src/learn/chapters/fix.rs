//! Chapter 6: the sleep is taken out of the service's code, and traces from before and after show it.

use std::collections::BTreeMap;

use super::stand_in::{TOO_SOON, before, median, placed};
use crate::learn::{Evidence, Step};

/// Less is no sleep, in milliseconds; the shortest is 200.
const SLOW_MS: f64 = 150.0;
/// Who sleeps takes so many times as long as the others, however slow the machine is.
const TIMES_THE_OTHERS: f64 = 5.0;
/// A service's requests, so that one slow moment is no slow service.
const REQUESTS: usize = 3;
/// What is left once the sleep is gone is less than this part.
const LEFT: f64 = 0.25;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let slow = slow(evidence);
    let goal = "traces from before, in which one service sleeps";
    let Some(own_ms) = slow.values().copied().max_by(f64::total_cmp) else {
        let hints = [
            "`tracelab up` hides a sleep, and `tracelab load 300` presses each button ten times",
            "a new `up` has forgotten the traces of the one before: press the buttons again",
            TOO_SOON,
        ];
        return vec![Step::open(goal, "no service that takes long on every request", &hints)];
    };
    let mut steps = vec![Step::done(goal, format!("half of its requests take more than {own_ms:.0} ms on their own"))];
    let services: Vec<&str> = slow.keys().copied().collect();
    let Some(program) = placed(evidence, &services, "06-fix", &mut steps) else { return steps };
    let goal = "its traces are whole, down to the last layer";
    if !program.traces_are_whole(evidence) {
        let hints = [
            "what came with the request has to go on: look at what the headers of the call are made of",
            "leave the plumbing in tutorial/support/service.rs as it is; the sleep is in exercise.rs",
        ];
        steps.push(Step::open(goal, "some of them end too early", &hints));
        return steps;
    }
    steps.push(Step::done(goal, "all of them are"));

    let goal = "the sleep is gone";
    let was = slow[program.service];
    let now = median(program.requests.iter().map(|request| request.self_ms()).collect()).unwrap_or(f64::MAX);
    let compared = format!("{was:.0} ms on its own before, {now:.1} ms now");
    steps.push(if now < was * LEFT {
        Step::done(goal, compared)
    } else {
        let hints = [
            "something in the handler waits on every request; what does it wait for?",
            "the file with the settings is not there, so that each request tries it several times",
            "read the settings once, before serve(…), and start the program again",
        ];
        Step::open(goal, compared, &hints)
    });
    steps
}

/// The services of the stage that sleep on every request, with their median self time in milliseconds.
pub fn slow(evidence: &Evidence) -> BTreeMap<&str, f64> {
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for request in before(evidence) {
        times.entry(request.service()).or_default().push(request.self_ms());
    }
    times.retain(|_, times| times.len() >= REQUESTS);
    let medians: BTreeMap<&str, f64> = times.into_iter().filter_map(|(service, times)| Some((service, median(times)?))).collect();
    let usual = median(medians.values().copied().collect()).unwrap_or_default();
    medians.into_iter().filter(|(_, ms)| *ms >= SLOW_MS && *ms >= usual * TIMES_THE_OTHERS).collect()
}

#[cfg(test)]
mod tests {
    use super::super::presses::{Hop, Presses, open};
    use super::*;

    const SLEEPS: Hop<'_> = Hop {
        service: "dummy-1-1",
        version: "v1",
        of_the_stage: true,
        pod: "",
        node: "",
        own_ms: 400,
        redis_calls: 0,
        passes_on: true,
        calls: true,
        beside: &[],
    };
    const FAST: Hop<'_> = Hop { version: "v2", of_the_stage: false, own_ms: 1, ..SLEEPS };

    fn press(made: &mut Presses, times: usize, service: Hop<'_>) {
        made.press(times, &[Hop::stage("dummy-0-1"), service, Hop::stage("dummy-2-1")]);
    }

    /// What is open once all buttons were pressed and then the one of the service, in whose place this is.
    fn after(service: Hop<'_>, times: usize) -> Option<String> {
        let mut made = Presses::new();
        made.press(5, &["dummy-0-0", "dummy-1-0", "dummy-2-0"].map(Hop::stage));
        press(&mut made, 5, SLEEPS);
        press(&mut made, times, service);
        open(&check(&made.evidence(None))).map(str::to_owned)
    }

    #[test]
    fn who_takes_the_sleep_out_passes() {
        assert_eq!(after(FAST, 5), None);
        let mut tried = Presses::new();
        press(&mut tried, 5, SLEEPS);
        press(&mut tried, 9, Hop { own_ms: 400, ..FAST });
        press(&mut tried, 5, FAST);
        tried.press(5, &["dummy-0-0", "dummy-1-0", "dummy-2-0"].map(Hop::stage));
        assert_eq!(open(&check(&tried.evidence(None))), None, "what it did before it was mended is past");
    }

    #[test]
    fn nothing_the_stages_own_v2_and_the_exercise_do_not() {
        assert_eq!(open(&check(&Evidence::default())), Some("traces from before, in which one service sleeps"));
        let place = Some("your own program, version v2, answers in that service's place".to_owned());
        assert_eq!(after(SLEEPS, 5), place, "the traces of chapter 4");
        assert_eq!(after(Hop { of_the_stage: true, ..FAST }, 5), place);
        assert_eq!(after(Hop { version: "v1", of_the_stage: false, ..SLEEPS }, 5), place, "the exercise");
        assert_eq!(after(FAST, 4), place);
        assert_eq!(after(Hop { own_ms: 400, ..FAST }, 5), Some("the sleep is gone".to_owned()), "another name alone");
        let whole = Some("its traces are whole, down to the last layer".to_owned());
        assert_eq!(after(Hop { passes_on: false, ..FAST }, 5), whole);
        assert_eq!(after(Hop { calls: false, ..FAST }, 5), whole);
    }

    #[test]
    fn a_service_that_sleeps_rarely_as_in_chapter_5_is_none_that_sleeps() {
        let mut made = Presses::new();
        press(&mut made, 5, SLEEPS);
        press(&mut made, 50, Hop { own_ms: 5, ..SLEEPS });
        press(&mut made, 5, FAST);
        assert_eq!(open(&check(&made.evidence(None))), Some("traces from before, in which one service sleeps"));
    }
}
