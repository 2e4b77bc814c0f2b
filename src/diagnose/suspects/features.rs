//! Which of one service's visits are struck: those with an attribute's value, those that passed another service, or any?

use rustc_hash::{FxHashMap, FxHashSet};

use super::explain::{EVERYBODY, ways};
use super::stats::contrast;
use crate::diagnose::evidence::Evidence;
use crate::diagnose::model::{Text, Traces};

/// An attribute with more values than this among the visits is an identifier, not a kind of request.
const MOST_VALUES: usize = 200;
/// Nats, after correction for the number of features tried; less is chance.
const LEAST: f64 = 4.0;
/// Whom a request is for is a more likely reason than any other attribute, by so many nats.
const CUSTOMER: f64 = 3.0;
/// Attributes that name whom a request is for.
const CUSTOMER_KEYS: [&str; 5] = ["customer.id", "enduser.id", "user.id", "tenant.id", "session.id"];
/// Of what tells equally well, this is what somebody changed: a pod, and a host that is called like it, only come with it.
const CHANGED: &str = "service.version";
/// How requests ended is said by all instrumentations in attributes that begin like this.
const EVERYBODYS: [&str; 6] = ["http.", "rpc.", "otel.", "error", "exception", "status"];
/// A feature tells the struck visits from the others where it has at least this share of them …
const MOST_OF_THEM: f64 = 0.7;
/// … and is struck this many times as often as the visits without it.
const TIMES_AS_OFTEN: f64 = 5.0;

/// What a visit may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Feature {
    /// It asks this of the service: a number of [`Evidence::places`].
    Place(u32),
    Attribute(Text, Text),
    /// It came by way of this service.
    Passed(u32),
}

/// A feature that tells struck visits from others.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub feature: Feature,
    /// Struck visits with it, and all with it.
    pub with: (u64, u64),
    /// Struck visits without it, and all without it.
    pub without: (u64, u64),
    /// Nats, after correction for the number of features tried.
    pub evidence: f64,
}

/// The feature that best tells the struck visits of a service from its others, if one does.
pub fn telling(traces: &Traces, evidence: &Evidence, service: u32, struck: &FxHashSet<u32>) -> Option<Found> {
    best(traces, evidence, service, struck, reasons)
}

/// What the struck visits of a service say of how they fared, and its others do not: no reason, but worth reading. What every
/// instrumentation says of it is not.
pub fn said(traces: &Traces, evidence: &Evidence, service: u32, struck: &FxHashSet<u32>) -> Option<Found> {
    best(traces, evidence, service, struck, outcomes)
}

fn best(
    traces: &Traces,
    evidence: &Evidence,
    service: u32,
    struck: &FxHashSet<u32>,
    of: impl Fn(&Traces, &Evidence, u32, &mut dyn FnMut(Feature)),
) -> Option<Found> {
    let visits = evidence.by_service.of(service);
    let all = visits.len() as u64;
    let hits = visits.iter().filter(|visit| struck.contains(visit)).count() as u64;
    // Where nearly all are struck there is nobody to compare them with.
    if hits < 2 || hits == all {
        return None;
    }
    // What no struck visit has cannot tell them; so the other visits are asked for nothing else.
    let mut counts: FxHashMap<Feature, (u64, u64)> = FxHashMap::default();
    let mut values: FxHashMap<Text, usize> = FxHashMap::default();
    let of_struck = visits.iter().filter(|visit| struck.contains(visit));
    for visit in of_struck {
        of(traces, evidence, *visit, &mut |feature| {
            let count = counts.entry(feature).or_insert_with(|| {
                if let Feature::Attribute(key, _) = feature {
                    *values.entry(key).or_default() += 1;
                }
                (0, 0)
            });
            count.0 += 1;
        });
    }
    let identifier = |key: &Text| values[key] > MOST_VALUES.min(2 + hits as usize / 2);
    counts.retain(|feature, _| !matches!(feature, Feature::Attribute(key, _) if identifier(key)));
    for visit in visits {
        of(traces, evidence, *visit, &mut |feature| {
            if let Some(count) = counts.get_mut(&feature) {
                count.1 += 1;
            }
        });
    }
    let tried = (counts.len().max(1) as f64).ln();
    let judged = counts.into_iter().map(|(feature, with)| {
        let without = (hits - with.0, all - with.1);
        let likely = matches!(feature, Feature::Attribute(key, _) if is_customer(traces.texts.get(key)));
        Found { feature, with, without, evidence: contrast(with, without) - tried + if likely { CUSTOMER } else { 0.0 } }
    });
    // Requests that came by no entry, for want of a context, do not make the entry special.
    let is_special = |found: &Found| !matches!(found.feature, Feature::Passed(_)) || found.with.1 as f64 <= EVERYBODY * all as f64;
    let tells = |found: &Found| {
        let rate = |(hits, all): (u64, u64)| hits as f64 / all.max(1) as f64;
        found.evidence >= LEAST
            && found.with.0 as f64 >= MOST_OF_THEM * hits as f64
            && rate(found.with) > TIMES_AS_OFTEN * rate(found.without)
    };
    let changed = |found: &Found| matches!(found.feature, Feature::Attribute(key, _) if traces.texts.get(key) == CHANGED);
    // Of equals the first, so that the same traces have the same answer.
    let better = |a: &Found, b: &Found| {
        let by_evidence = a.evidence.total_cmp(&b.evidence);
        by_evidence.then_with(|| changed(a).cmp(&changed(b))).then_with(|| b.feature.cmp(&a.feature))
    };
    judged.filter(is_special).filter(tells).max_by(better)
}

/// Gives everything once that may be the reason for what happened to a visit.
fn reasons(traces: &Traces, evidence: &Evidence, visit: u32, give: &mut dyn FnMut(Feature)) {
    give(Feature::Place(evidence.visits[visit as usize].place));
    let attributes = attributes(traces, evidence, visit).into_iter();
    attributes.filter(|(key, _)| !is_outcome(traces.texts.get(*key))).for_each(|(key, value)| give(Feature::Attribute(key, value)));
    for service in ways(evidence, visit) {
        give(Feature::Passed(service));
    }
}

/// Gives everything once that its own instrumentation says of how a visit fared.
fn outcomes(traces: &Traces, evidence: &Evidence, visit: u32, give: &mut dyn FnMut(Feature)) {
    let worth_it = |key: &str| is_outcome(key) && !EVERYBODYS.iter().any(|prefix| key.starts_with(prefix));
    let attributes = attributes(traces, evidence, visit).into_iter();
    attributes.filter(|(key, _)| worth_it(traces.texts.get(*key))).for_each(|(key, value)| give(Feature::Attribute(key, value)));
}

/// A visit's attributes and its resource's, each once: many a host is named by spans and by their resource too.
fn attributes(traces: &Traces, evidence: &Evidence, visit: u32) -> Vec<(Text, Text)> {
    let span = &traces.spans()[evidence.visits[visit as usize].span as usize];
    let resource = &traces.resources[span.resource as usize].attributes;
    let mut attributes: Vec<(Text, Text)> = traces.attributes(span).iter().chain(resource).copied().collect();
    attributes.sort_unstable();
    attributes.dedup();
    attributes
}

/// Whether an attribute names whom a request is for.
pub fn is_customer(key: &str) -> bool {
    CUSTOMER_KEYS.contains(&key)
}

/// nginx's own word for a request that its `limit_req` made wait.
pub fn is_queued(key: &str, value: &str) -> bool {
    key.ends_with("limit_req_status") && value == "DELAYED"
}

/// Attributes that say how a request ended do not say why.
fn is_outcome(key: &str) -> bool {
    let word = |word: &str| matches!(word, "response" | "error" | "exception" | "status" | "duration");
    key.split(['.', '_']).any(word)
}

#[cfg(test)]
mod tests {
    use super::is_outcome;

    #[test]
    fn how_a_request_ended_is_no_reason() {
        for key in [
            "http.response.status_code",
            "http.status_code",
            "error",
            "error.type",
            "nginx.upstream_response_time",
            "otel.status_code",
        ] {
            assert!(is_outcome(key), "{key}");
        }
        for key in ["customer.id", "http.route", "k8s.pod.name", "service.version", "tier"] {
            assert!(!is_outcome(key), "{key}");
        }
    }
}
