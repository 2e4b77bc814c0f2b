//! Sentences for a person, with the numbers in them.

use super::Attribute;
use super::busy::Queue;
use super::calls::ManyCalls;
use super::era::Era;
use super::explain::{Explanation, Subject};
use super::features::Found;
use super::lost_context::LostContext;
use super::stats::median;
use super::strikes::Strikes;
use crate::diagnose::evidence::{Evidence, NONE, Place, Visit};
use crate::diagnose::figures::{counted, duration, share, thousands};
use crate::diagnose::model::Traces;

/// More services than these are counted, not named.
const NAMED: usize = 3;

pub fn how_slow(found: &Explanation, evidence: &Evidence, strikes: &Strikes) -> String {
    let mut times: Vec<f64> = struck(found, evidence).map(|visit| visit.own as f64).collect();
    let mut typical: Vec<f64> = struck(found, evidence).map(|visit| strikes.own.of[visit.place as usize].time).collect();
    format!(
        "{} of {} took {} of own time at the median; typical for it would be {}, and the median of all services is {}",
        thousands(times.len() as u64),
        counted(found.exposed, "request"),
        ms(median(&mut times)),
        ms(median(&mut typical)),
        ms(strikes.own.peers),
    )
}

/// Where most of the time goes to something that sends no spans.
pub fn waits_for(found: &Explanation, evidence: &Evidence, traces: &Traces) -> Option<String> {
    let waited: f64 = struck(found, evidence).map(|visit| visit.calls_out as f64).sum();
    let all: f64 = struck(found, evidence).map(|visit| visit.on_path as f64).sum();
    let call = struck(found, evidence).find(|visit| visit.call != NONE)?.call;
    let operation = traces.texts.get(traces.spans()[call as usize].operation);
    let part = waited / all.max(1.0);
    (part > 0.5).then(|| {
        format!(
            "{} of its time passed in calls to something that sends no spans, such as {operation:?}: that may be it",
            share(part)
        )
    })
}

pub fn failures(failed: u64, all: u64, evidence: &Evidence) -> String {
    let traces = evidence.traces.iter().filter(|trace| trace.failed).count() as u64;
    format!(
        "{} of {} ({}) failed here first; {} failed in all",
        thousands(failed),
        counted(all, "request"),
        share(failed as f64 / all.max(1) as f64),
        counted(traces, "trace")
    )
}

pub fn gap(found: &Explanation, evidence: &Evidence, strikes: &Strikes) -> String {
    let mut times: Vec<f64> = found.strikes.iter().map(|strike| evidence.gaps[strike.row as usize].time as f64).collect();
    let place = if matches!(found.subject, Subject::Pair(_)) { "" } else { " from or to several services" };
    format!(
        "{} of {}{place} spent {} on the way at the median, outside both services; the median of all pairs is {}",
        thousands(times.len() as u64),
        counted(found.exposed, "call"),
        ms(median(&mut times)),
        ms(strikes.between.peers),
    )
}

pub fn many_calls(many: &ManyCalls, traces: &Traces) -> String {
    let system = many.system.map_or("something that sends no spans", |system| traces.texts.get(system));
    let others = if many.others > 0.0 { format!("; other services make {:.0} of a request", many.others) } else { String::new() };
    format!(
        "a request makes {:.0} calls to {system} ({:?}), one after the other; they take {}, {} of its traces' time{others}",
        many.calls,
        traces.texts.get(many.operation),
        ms(many.time),
        share(many.share),
    )
}

/// `callees` are the names of the services where traces began.
pub fn lost_context(lost: &LostContext, callees: &[&str]) -> String {
    let named = callees.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = callees.len().saturating_sub(NAMED) as u64;
    let and_more = if more > 0 { format!(" and {}", counted(more, "other")) } else { String::new() };
    format!(
        "no span of another service belongs to {}; while {} of them lasted, a trace of its own began in {named}{and_more}",
        counted(lost.calls, "call"),
        thousands(lost.matched)
    )
}

pub fn queue(queue: &Queue) -> String {
    format!(
        "each request before it, of up to {} at once, adds {}; that explains {} of how its time varies",
        queue.most,
        ms(queue.each),
        share(queue.explains)
    )
}

/// What several services' strikes have in common: `which` requests.
pub fn common(found: &Explanation, evidence: &Evidence, which: &str) -> String {
    format!(
        "{} of {} {which}, in {}",
        thousands(found.strikes.len() as u64),
        counted(found.exposed, "request"),
        services(found, evidence)
    )
}

pub fn attribute(found: &Found, attribute: &Attribute) -> String {
    with_and_without(found, &format!("with {} = {}", attribute.key, attribute.value))
}

/// `role` tells the place from another one of the same service.
pub fn operation(found: &Found, operation: &str, role: Option<&str>) -> String {
    with_and_without(found, &format!("for {operation:?}{}", role.map_or(String::new(), |role| format!(" {role}"))))
}

/// Where one of a service's two places in a request is: by the address that its spans give, else by what it comes after.
pub fn role(place: &Place, traces: &Traces, evidence: &Evidence, visits: &[u32]) -> Option<String> {
    let two = evidence.places.iter().any(|other| other.service == place.service && other.again != place.again);
    let attributes = |visit: &u32| traces.attributes(&traces.spans()[evidence.visits[*visit as usize].span as usize]);
    let value = |visit: &u32, names: [&str; 2]| {
        let keys = names.map(|name| traces.texts.find(name));
        let found = attributes(visit).iter().find(|(key, _)| keys.contains(&Some(*key)))?;
        Some(traces.texts.get(found.1))
    };
    let address = |visit: &u32| {
        let (host, port) = (value(visit, ["server.address", "net.host.name"])?, value(visit, ["server.port", "net.host.port"])?);
        Some(format!("at {host}:{port}"))
    };
    let again = if place.again { "of requests that were here before" } else { "of requests that were not here before" };
    two.then(|| visits.iter().find_map(address).unwrap_or_else(|| again.to_owned()))
}

/// Where a service's calls make no spans, its own time is more than its own.
pub fn no_calls(found: &Explanation, evidence: &Evidence) -> Option<String> {
    let Subject::Service(service) = found.subject else { return None };
    let calls = |caller: u32| evidence.visits.get(caller as usize).is_some_and(|caller| caller.service == service);
    let silent = !evidence.gaps.iter().any(|gap| calls(gap.caller)) && evidence.visits.iter().any(|visit| calls(visit.parent));
    silent.then(|| "its calls make no spans, so the way to those whom it calls counts as its own time".to_owned())
}

/// Which part of the time it was.
pub fn era(era: &Era) -> String {
    let day = 86_400 * 1_000_000_000;
    let at = |time: u64| {
        let at = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default();
        let date = era.to - era.from >= day;
        at.strftime(if date { "%Y-%m-%d %H:%M:%S" } else { "%H:%M:%S" }).to_string()
    };
    let (from, to) = (at(era.from), at(era.to));
    let which = match (era.outside, era.first, era.last) {
        (false, false, true) => format!("since {from} UTC"),
        (false, true, false) => format!("until {to} UTC"),
        (false, ..) => format!("from {from} to {to} UTC"),
        (true, false, true) => format!("before {from} UTC"),
        (true, true, false) => format!("after {to} UTC"),
        (true, ..) => format!("before {from} and after {to} UTC"),
    };
    times(era.with, era.without, &which)
}

pub fn passed_before(found: &Found, service: &str, before: &str) -> String {
    format!("in {service}: {}", with_and_without(found, &format!("that had passed {before}")))
}

fn with_and_without(Found { with, without, .. }: &Found, which: &str) -> String {
    times(*with, *without, which)
}

fn times(with: (u64, u64), without: (u64, u64), which: &str) -> String {
    format!(
        "{} of {} {which}, {} of {} others",
        thousands(with.0),
        counted(with.1, "request"),
        thousands(without.0),
        thousands(without.1)
    )
}

fn struck<'a>(found: &'a Explanation, evidence: &'a Evidence) -> impl Iterator<Item = &'a Visit> {
    found.strikes.iter().map(|strike| &evidence.visits[strike.visit as usize])
}

fn services(found: &Explanation, evidence: &Evidence) -> String {
    let mut services: Vec<u32> = struck(found, evidence).map(|visit| visit.service).collect();
    services.sort_unstable();
    services.dedup();
    counted(services.len() as u64, "service")
}

/// Of nanoseconds.
fn ms(nanoseconds: f64) -> String {
    duration(nanoseconds / 1e6)
}
