//! Chapter 17: presses in a cluster of several nodes, of which tail sampling kept those that failed and a share of the others.
//!
//! How many were made is known without asking anybody: who calls numbers the calls (baggage `client`, `load0001-17`), and every service
//! writes that to its span.

use std::collections::{BTreeMap, BTreeSet};

use super::failures::look_for_failure;
use super::hunt::{Press, guessed, median, presses, runs_or};
use crate::diagnose::figures::thousands;
use crate::diagnose::model::Kind;
use crate::learn::evidence::Span;
use crate::learn::{Evidence, Step};
use crate::mystery::Cause;
use crate::topology::ServiceName;

pub const START: &str = "kops/up";
/// What the pods' own description adds to the resource of all their spans.
const POD: &str = "k8s.pod.name";
const NODE: &str = "k8s.node.name";
/// One node is the kind stage's, and has no need of agents.
const NODES: usize = 2;
/// Fewer failures, or fewer ordinary traces of a button, say nothing of how many there were.
const FAILED: usize = 12;
const ORDINARY: f64 = 5.0;
/// What takes as long is kept for that alone (`kops/tracing/aggregator/pipeline.yaml`).
const SLOW_MS: f64 = 500.0;
/// Buttons are pressed equally often. A service fails on 15 to 50 % of its requests, so where a tenth of what is neither slow nor failed
/// is kept, its button has 2.3 times as many traces as others at least, and where all is kept as many.
const MORE: f64 = 1.6;
/// Of calls that are numbered at most this part is there, where a tenth of what is neither slow nor failed is kept.
const SAMPLED: f64 = 0.5;
/// What services copy to their spans of it.
const CLIENT: &str = "client";

/// Traces of one button since the mystery began.
#[derive(Clone, Copy, Default)]
struct Kept {
    failed: usize,
    /// Nothing in it failed, not even a call that was repeated, and it was not slow: there is no other cause to keep it but the share.
    ordinary: usize,
}

/// Calls of programs, which number them.
#[derive(Clone, Copy, Default)]
struct Calls {
    /// As far as the numbers of those that are there tell.
    made: u64,
    kept: u64,
}

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let presses = presses(evidence);
    let mut steps = vec![runs(evidence)];
    if steps[0].is_done() {
        steps.push(on_nodes(evidence, &presses));
    }
    if steps.iter().all(Step::is_done) {
        steps.push(chosen(evidence, &presses));
    }
    if steps.iter().all(Step::is_done) {
        steps.push(guessed(evidence, Cause::Failure, &look_for_failure(&presses)));
    }
    steps
}

fn runs(evidence: &Evidence) -> Step {
    let hints = [
        "what runs stands on the page; another one can be hidden without a restart",
        "where commands reach the page by a tunnel (kubectl --namespace tracelab port-forward service/frontend 8080): tracelab mystery failure",
    ];
    runs_or(evidence, Cause::Failure, &hints)
}

/// There are presses whose services all answered in pods, on more nodes than one.
fn on_nodes(evidence: &Evidence, presses: &[Press<'_>]) -> Step {
    let goal = "presses were answered by pods on several nodes";
    let in_pods: Vec<_> = presses.iter().filter(|press| services(press).all(|span| span.resource(POD).is_some())).collect();
    let nodes =
        in_pods.iter().flat_map(|press| services(press)).filter_map(|span| span.resource(NODE)).collect::<BTreeSet<_>>().len();
    if nodes >= NODES {
        let pods = in_pods.iter().flat_map(|press| services(press)).filter_map(|span| span.resource(POD)).collect::<BTreeSet<_>>();
        return Step::done(goal, format!("{} traces of presses, in {} pods on {nodes} nodes", in_pods.len(), pods.len()));
    }
    if presses.is_empty() {
        let load = format!("tracelab load {}", 200 * u32::from(evidence.width.max(1)));
        let hints = [
            "no trace since the mystery began: press, and give the traces half a minute: the aggregator waits for what is late",
            "are the ingesters back? kubectl --namespace tracelab get deployment jaeger-ingester",
            &load,
        ];
        return Step::open(goal, "no press is in the storage", &hints);
    }
    let saw = match nodes {
        0 => format!("{} presses, and no span says in which pod it was made", presses.len()),
        _ => format!("{} presses, all in pods of one node", presses.len()),
    };
    let hints = [
        "the stage of one process and those of one machine have no agents and no aggregators, and keep everything",
        "kops/up makes a cluster of several nodes; tracelab learn check then asks by two tunnels: service/frontend 8080 and \
         service/jaeger-query 16686, with TRACELAB_JAEGER=http://127.0.0.1:16686/jaeger",
        "without an account of AWS the chapter says what a cluster of your own takes, or read it and go on: tracelab learn next 18",
    ];
    Step::open(goal, saw, &hints)
}

/// What is kept is not what was pressed: all that failed is there, and of the rest a part.
fn chosen(evidence: &Evidence, presses: &[Press<'_>]) -> Step {
    let goal = "failed presses were kept, others a share";
    let mut buttons: BTreeMap<&str, Kept> = BTreeMap::new();
    // Whoever presses on the page looks for the trace, and a policy keeps it for that.
    let presses: Vec<_> = presses.iter().filter(|press| !is_by_hand(press)).copied().collect();
    let calls = calls(&presses);
    for press in &presses {
        let kept = buttons.entry(press.button).or_default();
        kept.failed += usize::from(press.root.is_error());
        kept.ordinary += usize::from(press.ms() < SLOW_MS && !press.trace.spans().any(Span::is_error));
    }
    let load = format!("tracelab load {}", 200 * u32::from(evidence.width.max(1)));
    let most = buttons.iter().max_by_key(|(_, kept)| kept.failed).map(|(name, kept)| (*name, *kept));
    let Some((button, Kept { failed, ordinary })) = most.filter(|(_, kept)| kept.failed > 0) else {
        let hints = ["of thirty buttons one leads to the service that fails, and not each time: press all of them, often", &load];
        return Step::open(goal, format!("{} calls, and none of them failed", presses.len()), &hints);
    };
    // Who was not kept at all was not kept, as long as there are buttons.
    let silent = usize::from(evidence.width).saturating_sub(buttons.len());
    let others = buttons.iter().filter(|(name, _)| **name != button).map(|(_, kept)| kept.ordinary as f64);
    let usual = median(others.chain(std::iter::repeat_n(0.0, silent)));
    let of_all = match calls.made {
        0 => String::new(),
        made => format!("{} of {} calls kept: ", thousands(calls.kept), thousands(made)),
    };
    let button = number(button);
    let saw = format!("{of_all}{failed} failures and {ordinary} others of button {button}, of each other about {usual:.0}");
    if failed < FAILED || usual < ORDINARY {
        let hints = ["so few may be chance: make some thousand calls, which press each button equally often", &load];
        return Step::open(goal, saw, &hints);
    }
    let is_sampled = calls.kept as f64 <= SAMPLED * calls.made as f64;
    if is_sampled && failed > ordinary && (failed + ordinary) as f64 >= MORE * usual {
        return Step::done(goal, saw);
    }
    let hints = [
        "where a tenth of the good presses is kept and all of the failed ones, the failing button has by far the most traces. Was one \
         pressed more often than others? Begin anew: tracelab mystery failure",
        "where nearly all calls are kept, or all buttons have the same, everything was kept: do the spans pass the aggregators? Their metrics say so \
         (kubectl --namespace tracelab port-forward jaeger-aggregator-0 8888, then curl localhost:8888/metrics)",
        &load,
    ];
    Step::open(goal, saw, &hints)
}

/// Who called, and the number of the call.
fn caller<'a>(press: &Press<'a>) -> Option<(&'a str, u64)> {
    let (client, number) = press.trace.spans().find_map(|span| span.attribute(CLIENT))?.rsplit_once('-')?;
    Some((client, number.parse().ok()?))
}

/// On the page; its calls are marked by four hexadecimal digits alone, as the aggregator's policy for them says.
fn is_by_hand(press: &Press<'_>) -> bool {
    caller(press).is_some_and(|(client, _)| client.len() == 4 && client.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Each caller made those from the first number that is there to the last at least.
fn calls(presses: &[Press<'_>]) -> Calls {
    let mut callers: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (client, number) in presses.iter().filter_map(caller) {
        callers.entry(client).or_default().insert(number);
    }
    callers.values().fold(Calls::default(), |all, numbers| {
        let made = numbers.last().zip(numbers.first()).map_or(0, |(last, first)| last - first + 1);
        Calls { made: all.made.saturating_add(made), kept: all.kept + numbers.len() as u64 }
    })
}

/// What the services of the press answered, the frontend apart.
fn services<'a>(press: &Press<'a>) -> impl Iterator<Item = Span<'a>> + use<'a> {
    press.trace.spans().filter(|span| span.kind() == Kind::Server && span.service().parse::<ServiceName>().is_ok())
}

/// As the page has it.
fn number(button: &str) -> &str {
    button.rsplit('-').next().unwrap_or(button)
}

#[cfg(test)]
mod tests {
    use super::super::presses::{Hop, Presses, open};
    use super::*;
    use crate::learn::State;
    use crate::mystery::Verdict;

    const RIGHT: Option<(Cause, Verdict)> = Some((Cause::Failure, Verdict::Right));
    const NODES_GOAL: &str = "presses were answered by pods on several nodes";
    const CHOSEN: &str = "failed presses were kept, others a share";
    /// Buttons of the stage below.
    const WIDTH: u16 = 5;

    fn way(button: u16, nodes: &'static [&'static str]) -> [Hop<'static>; 3] {
        const NAMES: [[&str; 5]; 3] = [
            ["dummy-0-0", "dummy-0-1", "dummy-0-2", "dummy-0-3", "dummy-0-4"],
            ["dummy-1-0", "dummy-1-1", "dummy-1-2", "dummy-1-3", "dummy-1-4"],
            ["dummy-2-0", "dummy-2-1", "dummy-2-2", "dummy-2-3", "dummy-2-4"],
        ];
        [0, 1, 2].map(|layer| {
            let service = NAMES[layer][usize::from(button)];
            let pod = if nodes.is_empty() { "" } else { service };
            let node = nodes.get(layer % nodes.len().max(1)).copied().unwrap_or_default();
            Hop { pod, node, ..Hop::stage(service) }
        })
    }

    /// So many presses of each button, of which button 3 fails every fourth; of all others one in `of` is kept.
    fn load(presses: usize, of: usize, nodes: &'static [&'static str]) -> Presses {
        let mut made = Presses::new();
        made.called_by("load0001");
        for round in 0..presses {
            for button in 0..WIDTH {
                if button == 3 && round % 4 == 0 {
                    made.fail(&way(button, nodes));
                } else if (round + usize::from(button)) % of == 0 {
                    made.press(1, &way(button, nodes));
                } else {
                    made.lose();
                }
            }
        }
        made
    }

    fn check_of(made: Presses, guess: Option<(Cause, Verdict)>) -> Vec<Step> {
        check(&Evidence { width: WIDTH, ..made.evidence(guess) })
    }

    const THREE: &[&str] = &["node-a", "node-b", "node-c"];

    #[test]
    fn sampled_presses_of_a_cluster_and_a_right_guess_pass() {
        let steps = check_of(load(200, 10, THREE), RIGHT);
        assert_eq!((open(&steps), steps.len()), (None, 4));
        let State::Done(saw) = &steps[2].state else { unreachable!() };
        assert_eq!(saw, "150 of 997 calls kept: 50 failures and 20 others of button 3, of each other about 20");
    }

    #[test]
    fn nothing_and_another_mystery_do_not() {
        assert_eq!(open(&check(&Evidence::default())), Some("a mystery of cause failure runs"));
        let sleep = Some((Cause::Sleep, Verdict::Right));
        assert_eq!(
            open(&check_of(load(200, 10, THREE), sleep)),
            Some("a mystery of cause failure runs"),
            "what kops/up began with"
        );
        let steps = check_of(Presses::new(), RIGHT);
        assert_eq!(open(&steps), Some(NODES_GOAL));
        let State::Open { saw, .. } = &steps[1].state else { unreachable!() };
        assert_eq!(saw, "no press is in the storage", "as long as there are no ingesters");
    }

    #[test]
    fn stages_of_one_machine_do_not() {
        assert_eq!(open(&check_of(load(200, 10, &[]), RIGHT)), Some(NODES_GOAL), "`tracelab up`, compose");
        assert_eq!(open(&check_of(load(200, 10, &["tracelab-control-plane"]), RIGHT)), Some(NODES_GOAL), "kind");
    }

    #[test]
    fn a_cluster_that_keeps_everything_does_not() {
        assert_eq!(open(&check_of(load(200, 1, THREE), RIGHT)), Some(CHOSEN));
        // Nor where the failing button was pressed more often than others.
        let mut made = load(100, 1, THREE);
        made.press(100, &way(3, THREE));
        assert_eq!(open(&check_of(made, RIGHT)), Some(CHOSEN));
        // Nor where a share of all was kept, failed or not: head sampling.
        let mut made = Presses::new();
        for round in 0..20 {
            for button in 0..WIDTH {
                if button == 3 && round % 2 == 0 {
                    made.fail(&way(button, THREE))
                } else {
                    made.press(1, &way(button, THREE))
                };
            }
        }
        assert_eq!(open(&check_of(made, RIGHT)), Some(CHOSEN));
    }

    #[test]
    fn a_failing_button_that_was_pressed_more_often_is_no_sampling() {
        // Every other press of it fails, and there are more of it than of others: so it would be if a tenth of the others was kept.
        let mut made = Presses::new();
        made.called_by("load0001");
        for round in 0..60 {
            for button in (0..WIDTH).chain([3, 3]) {
                if button == 3 && round % 5 < 3 {
                    made.fail(&way(button, THREE));
                } else {
                    made.press(1, &way(button, THREE));
                }
            }
        }
        let steps = check_of(made, RIGHT);
        assert_eq!(open(&steps), Some(CHOSEN));
        let State::Open { saw, .. } = &steps[2].state else { unreachable!() };
        assert_eq!(saw, "420 of 420 calls kept: 108 failures and 72 others of button 3, of each other about 60");
    }

    #[test]
    fn presses_on_the_page_are_all_kept_and_say_nothing() {
        let mut made = load(200, 10, THREE);
        made.called_by("0a1b").press(500, &way(1, THREE));
        let steps = check_of(made, RIGHT);
        assert_eq!(open(&steps), None);
        let mut made = Presses::new();
        made.called_by("0a1b").press(30, &way(1, THREE)).fail(&way(3, THREE));
        let steps = check_of(made, RIGHT);
        let State::Open { saw, .. } = &steps[2].state else { unreachable!() };
        assert_eq!(saw, "0 calls, and none of them failed");
    }

    #[test]
    fn runs_of_the_page_and_of_several_pods_count_each_for_itself() {
        let mut made = load(100, 10, THREE);
        for client in ["0a1b-run1", "load0001-2"] {
            made.called_by(client);
            for round in 0..100 {
                match round % 10 {
                    0 => made.press(1, &way(1, THREE)),
                    _ => made.lose(),
                };
            }
        }
        let steps = check_of(made, RIGHT);
        let State::Done(saw) = &steps[2].state else { panic!("{steps:?}") };
        assert!(saw.starts_with("95 of 679 calls kept: "), "{saw}");
    }

    #[test]
    fn too_few_presses_do_not() {
        assert_eq!(open(&check_of(load(30, 10, THREE), RIGHT)), Some(CHOSEN));
        let mut made = Presses::new();
        made.press(30, &way(1, THREE));
        let steps = check_of(made, RIGHT);
        assert_eq!(open(&steps), Some(CHOSEN));
        let State::Open { saw, .. } = &steps[2].state else { unreachable!() };
        assert_eq!(saw, "30 calls, and none of them failed");
    }

    #[test]
    fn what_is_kept_for_a_repeated_call_or_its_time_is_no_share() {
        let mut made = load(200, 10, THREE);
        // All presses of button 1 are kept, since they are slow.
        let slow = way(1, THREE).map(|hop| Hop { own_ms: 200, ..hop });
        made.press(200, &slow);
        let steps = check_of(made, RIGHT);
        assert_eq!(open(&steps), None);
        let State::Done(saw) = &steps[2].state else { unreachable!() };
        assert_eq!(saw, "350 of 1,200 calls kept: 50 failures and 20 others of button 3, of each other about 20");
    }

    #[test]
    fn a_guess_that_is_not_right_does_not() {
        for verdict in [Verdict::Wrong, Verdict::Half] {
            let steps = check_of(load(200, 10, THREE), Some((Cause::Failure, verdict)));
            assert_eq!(open(&steps), Some("your guess is right"));
            let State::Open { hints, .. } = &steps[3].state else { unreachable!() };
            assert!(!hints.join(" ").contains("dummy-1-3"), "{hints:?}");
        }
    }
}
