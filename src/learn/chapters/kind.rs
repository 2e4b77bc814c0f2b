//! Chapter 14: the hunt for a sleep in a cluster, whose spans say which pod made them, and a rollout that nobody who calls notices.

use std::collections::{BTreeMap, BTreeSet};

use super::hunt::{Press, guessed, median, presses, runs_or};
use super::{fix, hidden_sleep};
use crate::learn::evidence::Span;
use crate::learn::{Evidence, Step};
use crate::mystery::Cause;
use crate::topology::ServiceName;

pub const START: &str = "kind/up";
/// What the pods' own description adds to the resource of all their spans.
const POD: &str = "k8s.pod.name";
const NAMESPACE: &str = "k8s.namespace.name";
const VERSION: &str = "service.version";
/// So many requests tell what v2 is like.
const REQUESTS: usize = 5;
/// What is left once the sleep is gone is less than this part.
const LEFT: f64 = 0.25;
/// What comes so long before the first request to v2, or after it, in nanoseconds, may have met the rollout: it is longer than the
/// pod that goes takes to go.
const AROUND: u64 = 15_000_000_000;
/// So many presses on either side of that request are load.
const PRESSES: usize = 20;

/// What the presses since the mystery began show.
struct Seen<'a> {
    evidence: &'a Evidence,
    presses: Vec<Press<'a>>,
    /// Services that sleep on every request in version v1, with their median self time in milliseconds.
    slow: BTreeMap<&'a str, f64>,
    /// What these answered, whichever version, by start.
    own: Vec<Span<'a>>,
}

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let presses = presses(evidence);
    let slow = fix::slow(evidence);
    let mut own: Vec<_> = presses.iter().flat_map(services).filter(|span| slow.contains_key(span.service())).collect();
    own.sort_by_key(|span| span.start());
    let seen = Seen { evidence, presses, slow, own };
    let mut steps = Vec::new();
    for step in [runs, in_pods, found, rolled_out, sleep_is_gone, unnoticed] {
        steps.push(step(&seen));
        if steps.last().is_some_and(|last| !last.is_done()) {
            break;
        }
    }
    steps
}

fn runs(seen: &Seen<'_>) -> Step {
    runs_or(
        seen.evidence,
        Cause::Sleep,
        &["what runs stands on the page; a new one can be hidden without a restart", "tracelab mystery sleep"],
    )
}

/// Every button was pressed since the mystery began, and all services that answered did so in pods.
fn in_pods(Seen { evidence, presses, .. }: &Seen<'_>) -> Step {
    let goal = "every button was pressed, and pods answered";
    let width = usize::from(evidence.width);
    let in_pods: Vec<_> = presses.iter().filter(|press| services(press).all(|span| pod(span).is_some())).collect();
    let buttons = in_pods.iter().map(|press| press.button).collect::<BTreeSet<_>>().len();
    if width > 0 && buttons >= width {
        let pods = in_pods.iter().flat_map(|press| services(press)).filter_map(pod).collect::<BTreeSet<_>>().len();
        return Step::done(goal, format!("traces of {buttons} of {width} buttons, in {pods} pods"));
    }
    if in_pods.is_empty() && !presses.is_empty() {
        let hints = [
            "a pod's spans name it in k8s.pod.name, and no other stage than Kubernetes has pods",
            "end the stage that runs (Ctrl-C, or docker compose … down), then: kind/up",
            "without a cluster, read the chapter and go on: tracelab learn next 18",
        ];
        return Step::open(goal, format!("{} presses, and no span says in which pod it was made", presses.len()), &hints);
    }
    let load = format!("tracelab load {width} --concurrency 1");
    let hints =
        ["any button may be the slow one: press them all, on the page or with one command, from your side of the cluster", &load];
    Step::open(goal, format!("traces of {buttons} of {width} buttons"), &hints)
}

fn found(Seen { evidence, presses, .. }: &Seen<'_>) -> Step {
    guessed(evidence, Cause::Sleep, &hidden_sleep::look(&hidden_sleep::buttons(presses)))
}

fn rolled_out(seen: &Seen<'_>) -> Step {
    let goal = "version v2 of that service answers, in a pod of its own";
    if seen.slow.is_empty() {
        let hints = [
            "one slow request is no sleep yet, three are: tracelab load 300 presses each button ten times",
            "v2 is in its place already, and nothing shows how v1 was? Traces from before have to be there to compare with",
            "kind/redeploy SERVICE v1, then tracelab load 300, and then v2 again",
        ];
        return Step::open(goal, "no service sleeps in the traces that are there", &hints);
    }
    let patched = seen.patched();
    if patched.is_empty() {
        let others = seen.presses.iter().flat_map(services).find(|span| span.resource(VERSION) == Some("v2"));
        let saw = match others {
            Some(other) => format!("a v2 of {} answers, with which nothing was wrong", other.service()),
            None => "only v1 does".to_owned(),
        };
        let hints = [
            "no code is to be written: the stage has an image of every service's version v2, which does not sleep",
            "start load first, in a terminal of its own, and leave it running: tracelab load 6000 --rate 50",
            "kind/redeploy SERVICE v2, with the name that you guessed",
        ];
        return Step::open(goal, saw, &hints);
    }
    if patched.len() < REQUESTS {
        let hints =
            ["press its button some more times, or ask again in a moment", "tracelab load 300 presses each button ten times"];
        return Step::open(goal, format!("{} of {REQUESTS} requests have reached v2", patched.len()), &hints);
    }
    let pod_of = |version| seen.version(version).filter_map(pod).last().unwrap_or("no pod");
    Step::done(goal, format!("v1 in {}, v2 in {}", pod_of("v1"), pod_of("v2")))
}

fn sleep_is_gone(seen: &Seen<'_>) -> Step {
    let goal = "the sleep is gone";
    let patched = seen.patched();
    let was = patched.first().and_then(|span| seen.slow.get(span.service()).copied()).unwrap_or_default();
    let now = median(patched.iter().rev().take(REQUESTS).map(|span| span.self_ms()));
    let saw = format!("{was:.0} ms on its own before, {now:.1} ms now");
    if now < was * LEFT {
        return Step::done(goal, saw);
    }
    let hints = [
        "what calls itself v2 sleeps as before: is it an image of your own?",
        "kind/redeploy SERVICE v2 makes the one that does not sleep; the image says so by TRACELAB_PATCHED=true",
    ];
    Step::open(goal, saw, &hints)
}

/// One rollout at least took place under load, and nobody who called then was told so by a failure.
fn unnoticed(seen: &Seen<'_>) -> Step {
    let goal = "load ran meanwhile, and no call failed";
    let patched = seen.patched();
    let mut pods = BTreeSet::new();
    // The first request to every pod of v2, the latest first.
    let mut first: Vec<_> = patched.iter().filter(|span| pods.insert(pod(**span))).map(|span| span.start()).collect();
    first.reverse();
    let under_load = first.iter().filter_map(|&at| seen.around(at)).collect::<Vec<_>>();
    let again = "kind/redeploy SERVICE v1, then tracelab load 6000 --rate 50, and while that runs kind/redeploy SERVICE v2";
    let Some((calls, failed)) = under_load.iter().min_by_key(|(_, failed)| *failed) else {
        let hints =
            ["whether callers notice a rollout shows only where there are callers: load has to run before it and after it", again];
        return Step::open(
            goal,
            "there was no load on both versions, a few seconds before the first request to v2 and after it",
            &hints,
        );
    };
    let saw = format!("{calls} calls in the half minute around it, {failed} of them failed");
    if *failed == 0 {
        return Step::done(goal, saw);
    }
    let hints = [
        "look for what fails: tag error=true in Jaeger, or the trace IDs that load printed at its end; is it this service's pod that goes?",
        "a machine that is short of memory or CPU fails calls of its own accord: kubectl --namespace tracelab get pods",
        again,
    ];
    Step::open(goal, saw, &hints)
}

impl<'a> Seen<'a> {
    fn version(&self, version: &str) -> impl Iterator<Item = Span<'a>> {
        self.own.iter().copied().filter(move |span| span.resource(VERSION) == Some(version) && pod(*span).is_some())
    }

    /// The requests that v2 answered, by start.
    fn patched(&self) -> Vec<Span<'a>> {
        self.version("v2").collect()
    }

    /// How many presses began around this moment, and how many of them failed; none where that is no load on both versions.
    fn around(&self, at: u64) -> Option<(usize, usize)> {
        let near = |start: u64| start.abs_diff(at) <= AROUND;
        let met: Vec<_> = self.presses.iter().filter(|press| near(press.root.start())).collect();
        let before = met.iter().filter(|press| press.root.start() < at).count();
        let had_v1 = self.version("v1").any(|span| span.start() < at && near(span.start()));
        let is_load = had_v1 && before >= PRESSES && met.len() - before >= PRESSES;
        is_load.then(|| (met.len(), met.iter().filter(|press| press.root.is_error()).count()))
    }
}

/// What the services of the press answered, the frontend and whatever else is on the way apart, such as a mesh's proxies.
fn services<'a>(press: &Press<'a>) -> impl Iterator<Item = Span<'a>> + use<'a> {
    press.served().map(|(span, _)| span).filter(|span| span.service().parse::<ServiceName>().is_ok())
}

fn pod(span: Span<'_>) -> Option<&str> {
    span.resource(NAMESPACE).and(span.resource(POD))
}

#[cfg(test)]
mod tests {
    use super::super::presses::{Hop, Presses, open};
    use super::*;
    use crate::learn::State;
    use crate::mystery::Verdict;

    const RIGHT: Option<(Cause, Verdict)> = Some((Cause::Sleep, Verdict::Right));
    const FIRST: &str = "every button was pressed, and pods answered";
    const V2: &str = "version v2 of that service answers, in a pod of its own";
    const GONE: &str = "the sleep is gone";
    const LOAD: &str = "load ran meanwhile, and no call failed";

    fn hop(service: &'static str) -> Hop<'static> {
        Hop { pod: service, ..Hop::stage(service) }
    }

    /// Who sleeps, and what the stage has in its place.
    fn v1() -> Hop<'static> {
        Hop { own_ms: 400, pod: "dummy-1-1-old", ..hop("dummy-1-1") }
    }

    fn v2() -> Hop<'static> {
        Hop { version: "v2", own_ms: 5, pod: "dummy-1-1-new", ..hop("dummy-1-1") }
    }

    /// Both buttons, so many times.
    fn load(made: &mut Presses, times: usize, middle: Hop<'_>) {
        for _ in 0..times {
            made.press(1, &["dummy-0-0", "dummy-1-0", "dummy-2-0"].map(hop));
            made.press(1, &[hop("dummy-0-1"), middle, hop("dummy-2-1")]);
        }
    }

    fn check_of(made: Presses, guess: Option<(Cause, Verdict)>) -> Vec<Step> {
        check(&Evidence { width: 2, ..made.evidence(guess) })
    }

    /// What is open after load on v1, whatever comes then, and load on this.
    fn after(then: impl Fn(&mut Presses), middle: Hop<'_>) -> Option<String> {
        let mut made = Presses::new();
        load(&mut made, 12, v1());
        then(&mut made);
        load(&mut made, 12, middle);
        open(&check_of(made, RIGHT)).map(str::to_owned)
    }

    #[test]
    fn a_culprit_that_is_found_and_rolled_out_under_load_passes() {
        assert_eq!(after(|_| (), v2()), None);
        // The pod that goes answers for a while beside the one that came.
        let both = |made: &mut Presses| {
            load(made, 1, v2());
            load(made, 1, v1());
        };
        assert_eq!(after(both, v2()), None);
    }

    #[test]
    fn nothing_and_stages_without_pods_do_not() {
        assert_eq!(open(&check(&Evidence::default())), Some("a mystery of cause sleep runs"));
        let mut made = Presses::new();
        for version in [v1(), v2()] {
            for _ in 0..12 {
                made.press(1, &["dummy-0-0", "dummy-1-0", "dummy-2-0"].map(Hop::stage));
                made.press(1, &[Hop::stage("dummy-0-1"), Hop { pod: "", ..version }, Hop::stage("dummy-2-1")]);
            }
        }
        let steps = check_of(made, RIGHT);
        assert_eq!(open(&steps), Some(FIRST), "chapter 6, or `tracelab redeploy` in `tracelab up`");
        let Some(State::Open { saw, .. }) = steps.last().map(|step| &step.state) else { unreachable!() };
        assert_eq!(saw, "48 presses, and no span says in which pod it was made");
    }

    #[test]
    fn buttons_that_nobody_pressed_and_guesses_that_are_wrong_do_not() {
        let mut one = Presses::new();
        one.press(30, &[hop("dummy-0-1"), v1(), hop("dummy-2-1")]);
        assert_eq!(open(&check_of(one, RIGHT)), Some(FIRST));
        for verdict in [Verdict::Wrong, Verdict::Half] {
            let mut made = Presses::new();
            load(&mut made, 12, v1());
            load(&mut made, 12, v2());
            let steps = check_of(made, Some((Cause::Sleep, verdict)));
            assert_eq!(open(&steps), Some("your guess is right"));
            let Some(State::Open { hints, .. }) = steps.last().map(|step| &step.state) else { unreachable!() };
            assert!(!hints.join(" ").contains("dummy-1-1"), "{hints:?}");
        }
        let mut made = Presses::new();
        load(&mut made, 12, v1());
        assert_eq!(open(&check_of(made, Some((Cause::Failure, Verdict::Right)))), Some("a mystery of cause sleep runs"));
    }

    #[test]
    fn the_hunt_alone_and_a_rollout_of_another_service_do_not() {
        assert_eq!(after(|_| (), v1()).as_deref(), Some(V2));
        let other = |made: &mut Presses| {
            let patched = Hop { version: "v2", pod: "dummy-1-0-new", ..hop("dummy-1-0") };
            made.press(30, &[hop("dummy-0-0"), patched, hop("dummy-2-0")]);
        };
        assert_eq!(after(other, v1()).as_deref(), Some(V2));
        let mut made = Presses::new();
        load(&mut made, 30, v2());
        assert_eq!(open(&check_of(made, RIGHT)), Some(V2), "nothing shows what v1 was like");
    }

    #[test]
    fn proxies_of_a_mesh_are_no_services_without_pods() {
        let mut made = Presses::new();
        let proxy = Hop { of_the_stage: false, version: "", own_ms: 1, ..Hop::stage("dummy-0-1.tracelab") };
        for middle in [v1(), v2()] {
            for _ in 0..12 {
                made.press(1, &["dummy-0-0", "dummy-1-0", "dummy-2-0"].map(hop));
                made.press(1, &[proxy, hop("dummy-0-1"), middle, hop("dummy-2-1")]);
            }
        }
        assert_eq!(open(&check_of(made, RIGHT)), None);
    }

    #[test]
    fn a_v2_in_name_alone_does_not() {
        assert_eq!(after(|_| (), Hop { own_ms: 400, ..v2() }).as_deref(), Some(GONE));
    }

    #[test]
    fn a_rollout_that_nobody_could_notice_does_not() {
        let an_hour = |made: &mut Presses| {
            made.pause(3_600_000);
        };
        assert_eq!(after(an_hour, v2()).as_deref(), Some(LOAD));
        // Going back and rolling out once more is a way.
        let again = |made: &mut Presses| {
            an_hour(made);
            load(made, 12, v2());
            load(made, 12, v1());
        };
        assert_eq!(after(again, Hop { pod: "dummy-1-1-newer", ..v2() }), None);
    }

    #[test]
    fn a_call_that_fails_around_a_rollout_does_not_and_one_long_before_does() {
        let failed = |made: &mut Presses| {
            made.fail(&["dummy-0-0", "dummy-1-0", "dummy-2-0"].map(hop));
        };
        assert_eq!(after(failed, v2()).as_deref(), Some(LOAD));
        let long_before = |made: &mut Presses| {
            failed(made);
            made.pause(60_000);
            load(made, 12, v1());
        };
        assert_eq!(after(long_before, v2()), None);
    }
}
