//! Sentences for a person, with the numbers in them.

use super::Attribute;
use super::busy::Queue;
use super::calls::ManyCalls;
use super::explain::{Explanation, Subject};
use super::features::Found;
use super::lost_context::LostContext;
use super::stats::median;
use super::strikes::Strikes;
use crate::diagnose::evidence::{Evidence, NONE, Visit};
use crate::diagnose::figures::{counted, duration, share, thousands};
use crate::diagnose::model::Traces;

pub fn how_slow(found: &Explanation, evidence: &Evidence, strikes: &Strikes) -> String {
    let mut times: Vec<f64> = struck(found, evidence).map(|visit| visit.own as f64).collect();
    let typical = struck(found, evidence).next().map_or(0.0, |visit| strikes.own.of[visit.place as usize].time);
    format!(
        "{} of {} took {} of own time at the median; typical for it would be {}, and the median of all services is {}",
        thousands(times.len() as u64),
        counted(found.exposed, "request"),
        ms(median(&mut times)),
        ms(typical),
        ms(strikes.own.peers),
    )
}

/// Where most of the time goes to something that sends no spans.
pub fn waits_for(found: &Explanation, evidence: &Evidence, traces: &Traces) -> Option<String> {
    let waited: u64 = struck(found, evidence).map(|visit| visit.calls_out).sum();
    let all: u64 = struck(found, evidence).map(|visit| visit.on_path).sum();
    let call = struck(found, evidence).find(|visit| visit.call != NONE)?.call;
    let operation = traces.texts.get(traces.spans()[call as usize].operation);
    let part = waited as f64 / (all as f64).max(1.0);
    (part > 0.5)
        .then(|| format!("{} of that time passed in calls to something that sends no spans, such as {operation:?}", share(part)))
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
        "a request makes {:.0} calls to {system} (the last one is {:?}), one after the other; they take {}, {} of its traces' time{others}",
        many.calls,
        traces.texts.get(many.operation),
        ms(many.time),
        share(many.share),
    )
}

pub fn lost_context(lost: &LostContext) -> String {
    format!(
        "no span of another service belongs to {}; while {} of them lasted, a trace began at a service that is called by others",
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

pub fn passed(found: &Explanation, evidence: &Evidence) -> String {
    format!(
        "{} of {} that had passed it went wrong later, in {}",
        thousands(found.strikes.len() as u64),
        counted(found.exposed, "request"),
        services(found, evidence)
    )
}

pub fn resource(found: &Explanation, evidence: &Evidence) -> String {
    format!(
        "{} of {} with it went wrong, in {}",
        thousands(found.strikes.len() as u64),
        counted(found.exposed, "request"),
        services(found, evidence)
    )
}

pub fn attribute(found: &Found, attribute: &Attribute) -> String {
    with_and_without(found, &format!("with {} = {}", attribute.key, attribute.value))
}

pub fn operation(found: &Found, operation: &str) -> String {
    with_and_without(found, &format!("for {operation:?}"))
}

pub fn passed_before(found: &Found, service: &str, before: &str) -> String {
    format!("in {service}: {}", with_and_without(found, &format!("that had passed {before}")))
}

fn with_and_without(Found { with, without, .. }: &Found, which: &str) -> String {
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
