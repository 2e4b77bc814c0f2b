//! Chapter 15: the proxies of a mesh make spans, beside those of the services and in their absence, and send calls by their baggage.

use crate::diagnose::model::Kind;
use crate::learn::evidence::{Span, Trace};
use crate::learn::{Evidence, Step};
use crate::topology::ServiceName;

pub const START: &str = "kind/up mesh";
/// The buttons, and so the services, of which the first only pass the context on while the others make spans too.
const PROPAGATES: u16 = 0;
const FULL: u16 = 1;
const LAYERS: usize = 3;
/// The service of which there are two versions at once.
const ROUTED: &str = "dummy-1-2";
/// Services copy it from the baggage to their server span.
const TIER: &str = "tier";
const GOLD: &str = "gold";
/// So many calls of either kind must have met their version, the newest ones: whoever was called before the rule was there met v1.
const CALLS: usize = 5;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![passed(evidence)];
    for step in [only_the_mesh, both, routed] {
        if steps.iter().all(Step::is_done) {
            steps.push(step(evidence));
        }
    }
    steps
}

fn passed(evidence: &Evidence) -> Step {
    let goal = "presses pass proxies that make spans";
    let passed = evidence.presses().filter(|press| press.services().any(is_proxy)).count();
    if passed > 0 {
        return Step::done(goal, format!("{passed} presses did"));
    }
    let presses = evidence.presses().count();
    let hints = [
        "a proxy calls itself as its pod and namespace are called, dummy-0-0.tracelab; without a mesh there is none",
        "kind/components/mesh/README.md installs Istio; then kind/up mesh makes ten pods anew, each with a proxy in it",
        "pods that were made before Istio was there have none: kubectl --namespace tracelab get pods shows 2/2 where there is one, and \
         kubectl --namespace tracelab delete pods --selector sidecar.istio.io/inject=true has them made anew. Then press buttons 0, 1 \
         and 2, on the page or by tracelab load 90",
    ];
    Step::open(goal, format!("{presses} presses are there, and no span of a proxy is in them"), &hints)
}

fn only_the_mesh(evidence: &Evidence) -> Step {
    let goal = "a press that nobody but the mesh has seen";
    if let Some(press) = evidence.presses().find(|press| seen(*press, PROPAGATES) == (LAYERS, 0)) {
        return Step::done(goal, format!("{} spans, and none is a service's own", press.spans().count()));
    }
    let both = evidence.presses().any(|press| matches!(seen(press, PROPAGATES), (1.., 1..)));
    let saw = if both { "services behind that button make spans of their own" } else { "no press passed three such proxies" };
    let hints = [
        "of ten services in the mesh three make no spans: they only pass the headers on. Which button leads to them?",
        "dummy-0-0, dummy-1-0 and dummy-2-0 have TRACELAB_INSTRUMENTATION=propagate: press button 0",
        "every pod of the three needs its proxy, 2/2 in kubectl --namespace tracelab get pods; spans take some seconds to arrive",
    ];
    Step::open(goal, saw, &hints)
}

fn both(evidence: &Evidence) -> Step {
    let goal = "a press that the mesh and the services have seen";
    let press = evidence.presses().find(|press| seen(*press, FULL) == (LAYERS, LAYERS));
    let Some(press) = press else {
        let hints = [
            "the services behind the next button are in the mesh as well, and make spans of their own",
            "press button 1; spans of dummy-0-1, dummy-1-1, dummy-2-1 and of their three proxies have to be in its trace",
        ];
        return Step::open(goal, "no press has spans of three proxies and of the three services behind them", &hints);
    };
    Step::done(goal, format!("{} spans, of three proxies and of the services behind them", press.spans().count()))
}

fn routed(evidence: &Evidence) -> Step {
    let goal = "calls with tier=gold meet version v2 of dummy-1-2, others v1";
    let mut requests: Vec<_> = evidence.traces().flat_map(Trace::spans).filter(|span| was_sent_by_a_proxy(*span)).collect();
    requests.sort_unstable_by_key(|request| std::cmp::Reverse(request.start()));
    let (gold, others): (Vec<_>, Vec<_>) = requests.into_iter().partition(|request| request.attribute(TIER) == Some(GOLD));
    let met = |requests: &[Span<'_>], version| {
        let newest = &requests[..requests.len().min(CALLS)];
        newest.iter().filter(|request| request.resource("service.version") == Some(version)).count()
    };
    let (gold_met, others_met) = (met(&gold, "v2"), met(&others, "v1"));
    if (gold_met, others_met) == (CALLS, CALLS) {
        return Step::done(goal, format!("the newest {CALLS} of either kind did"));
    }
    let say = |all: &[_], met, version| format!("{met} of the newest {} met {version}", all.len().min(CALLS));
    let saw = format!("with tier=gold {}, without {}", say(&gold, gold_met, "v2"), say(&others, others_met, "v1"));
    let hints = [
        "it takes five calls of button 2 with that baggage and five without; `tracelab load` has a flag for it",
        "tracelab load 300, and tracelab load 300 --baggage tier=gold: each presses every button ten times",
        "the rule is kind/components/mesh/routing.yaml, and the proxy of dummy-0-2 obeys it: is it there (kubectl --namespace tracelab get \
         virtualservices), and is dummy-1-2-v2 ready?",
    ];
    Step::open(goal, saw, &hints)
}

/// How many of the services behind a button show by their proxies in this press, and how many by spans of their own.
fn seen(press: Trace<'_>, button: u16) -> (usize, usize) {
    let mut seen = (0, 0);
    for layer in 0..LAYERS {
        let service = format!("dummy-{layer}-{button}");
        seen.0 += usize::from(press.services().any(|name| proxy_of(name) == Some(&service)));
        seen.1 += usize::from(press.has_service(&service));
    }
    seen
}

/// A request to the service with two versions, for which a proxy of its caller chose the one: those who call without have no choice.
fn was_sent_by_a_proxy(span: Span<'_>) -> bool {
    let callees = span.parent().filter(|span| is_proxy(span.service()));
    let callers = callees.and_then(Span::parent).filter(|span| is_proxy(span.service()));
    span.service() == ROUTED && span.kind() == Kind::Server && callers.is_some_and(|span| span.kind() == Kind::Client)
}

/// Istio's proxies call themselves `<name>.<namespace>`, as their pod's label has it.
fn proxy_of(service: &str) -> Option<&str> {
    service.split_once('.').map(|(name, _)| name)
}

fn is_proxy(service: &str) -> bool {
    // Beside dummy-1-2 there is dummy-1-2-v2.
    let of = |name: &str| name.strip_suffix("-v2").unwrap_or(name).parse::<ServiceName>().is_ok();
    proxy_of(service).is_some_and(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::chapters::made::{Made, One, done};

    /// Presses, and how many spans there are so far.
    #[derive(Default)]
    struct Stage {
        made: Made,
        spans: usize,
        presses: usize,
    }

    /// One service on a press's way.
    #[derive(Clone, Copy)]
    struct Hop {
        proxy: bool,
        full: bool,
        v2: bool,
    }

    const OUTSIDE: Hop = Hop { proxy: false, full: true, v2: false };
    const MESH_ALONE: Hop = Hop { proxy: true, full: false, v2: false };
    const BOTH: Hop = Hop { proxy: true, full: true, v2: false };
    const V2: Hop = Hop { v2: true, ..BOTH };

    impl Stage {
        /// One press of a button through these three, as Envoy and the services record it.
        fn press(mut self, button: u16, tier: &str, hops: [Hop; 3]) -> Self {
            self.presses += 1;
            let trace = format!("{:032x}", self.presses);
            let mut parent = String::new();
            let mut add = |service: &str, version: &str, kind, attributes: &[(&str, &str)]| {
                self.spans += 1;
                let id = format!("{:016x}", self.spans);
                let start = self.presses as u64 * 1_000 + self.spans as u64;
                let resource: &[_] = if version.is_empty() { &[] } else { &[("service.version", version)] };
                let at = (start, start + 100);
                let one = One { trace: &trace, id: &id, parent: &parent, service, name: "GET /", kind, at, resource, attributes };
                self.made = std::mem::take(&mut self.made).with(one);
                parent = id;
            };
            add("frontend", "v1", Kind::Server, &[]);
            add("frontend", "v1", Kind::Client, &[]);
            for (layer, hop) in hops.into_iter().enumerate() {
                let service = format!("dummy-{layer}-{button}");
                let (version, suffix) = if hop.v2 { ("v2", "-v2") } else { ("v1", "") };
                let proxy = format!("{service}{suffix}.tracelab");
                let tier: &[_] = if tier.is_empty() { &[] } else { &[("tier", tier)] };
                if hop.proxy {
                    add(&proxy, "", Kind::Server, &[]);
                }
                if hop.full {
                    add(&service, version, Kind::Server, tier);
                }
                if hop.full && layer < 2 {
                    add(&service, version, Kind::Client, &[]);
                }
                if hop.proxy && layer < 2 {
                    add(&proxy, "", Kind::Client, &[]);
                }
            }
            self
        }

        fn times(self, times: usize, button: u16, tier: &str, hops: [Hop; 3]) -> Self {
            (0..times).fold(self, |stage, _| stage.press(button, tier, hops))
        }

        fn done(self) -> (usize, bool) {
            done(check, &self.made.evidence())
        }
    }

    /// Everything but the calls of button 2.
    fn two_chains() -> Stage {
        Stage::default().press(0, "", [MESH_ALONE; 3]).press(1, "", [BOTH; 3])
    }

    #[test]
    fn both_kinds_of_traces_and_calls_that_went_by_their_tier_pass() {
        let stage = two_chains().times(5, 2, "", [BOTH; 3]).times(5, 2, "gold", [BOTH, V2, BOTH]);
        assert_eq!(stage.done(), (4, true));
        let stage = two_chains().times(9, 2, "gold", [BOTH; 3]).times(5, 2, "silver", [BOTH; 3]);
        assert_eq!(stage.times(5, 2, "gold", [BOTH, V2, BOTH]).done(), (4, true), "the rule came late");
    }

    #[test]
    fn nothing_and_a_stage_without_a_mesh_do_not() {
        assert_eq!(Stage::default().done(), (0, false));
        let kind =
            Stage::default().times(5, 0, "", [OUTSIDE; 3]).times(5, 1, "gold", [OUTSIDE; 3]).times(5, 2, "gold", [OUTSIDE; 3]);
        assert_eq!(kind.done(), (0, false));
        // As in chapter 14.
        let redeployed = Stage::default().times(5, 2, "gold", [OUTSIDE, Hop { proxy: false, ..V2 }, OUTSIDE]);
        assert_eq!(redeployed.done(), (0, false));
    }

    #[test]
    fn each_kind_of_trace_is_needed() {
        assert_eq!(Stage::default().press(1, "", [BOTH; 3]).done(), (1, false));
        assert_eq!(Stage::default().press(0, "", [BOTH; 3]).press(1, "", [BOTH; 3]).done(), (1, false), "at level full");
        assert_eq!(Stage::default().press(0, "", [MESH_ALONE, MESH_ALONE, OUTSIDE]).done(), (1, false), "a pod without a proxy");
        assert_eq!(Stage::default().press(0, "", [MESH_ALONE; 3]).press(1, "", [MESH_ALONE; 3]).done(), (2, false));
        assert_eq!(two_chains().done(), (3, false));
    }

    #[test]
    fn calls_that_met_the_wrong_version_or_whose_callers_have_no_proxy_are_not_routed() {
        let v2 = [BOTH, V2, BOTH];
        let rolled_out = two_chains().times(5, 2, "", v2).times(5, 2, "gold", v2);
        assert_eq!(rolled_out.done(), (3, false), "v2 for everybody");
        let no_rule = two_chains().times(5, 2, "", [BOTH; 3]).times(5, 2, "gold", [BOTH; 3]);
        assert_eq!(no_rule.done(), (3, false), "v1 for everybody");
        let by_chance = two_chains().times(5, 2, "", [OUTSIDE, BOTH, BOTH]).times(5, 2, "gold", [OUTSIDE, V2, BOTH]);
        assert_eq!(by_chance.done(), (3, false), "nobody chose");
        assert_eq!(two_chains().times(5, 2, "", [BOTH; 3]).times(4, 2, "gold", v2).done(), (3, false));
        assert_eq!(two_chains().times(4, 2, "", [BOTH; 3]).times(5, 2, "gold", v2).done(), (3, false));
    }
}
