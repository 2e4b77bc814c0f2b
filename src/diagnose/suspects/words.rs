//! Sentences for a person, with the numbers in them.

use super::Attribute;
use super::busy::Queue;
use super::calls::ManyCalls;
use super::explain::{Explanation, Subject};
use super::features::Found;
use super::lost_context::LostContext;
use super::stats::median;
use super::strikes::Strikes;
use crate::diagnose::evidence::Evidence;
use crate::diagnose::model::Traces;

/// A number of nanoseconds as milliseconds, with two significant digits below ten.
fn ms(nanoseconds: f64) -> String {
    let ms = nanoseconds / 1e6;
    match ms {
        0.0..1.0 => format!("{ms:.2} ms"),
        1.0..10.0 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

fn percent(part: u64, all: u64) -> String {
    let percent = 100.0 * part as f64 / all.max(1) as f64;
    if percent < 10.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

pub fn how_slow(service: u32, found: &Explanation, evidence: &Evidence, strikes: &Strikes) -> String {
    let mut times: Vec<f64> = found.strikes.iter().map(|strike| evidence.visits[strike.visit as usize].own as f64).collect();
    let count = times.len();
    let usual =
        found.strikes.first().map_or(0.0, |strike| strikes.own.of[evidence.visits[strike.visit as usize].place as usize].time);
    let _ = service;
    format!(
        "{count} of {} requests took {} of own time at the median; {} would be typical, and the services' median is {}",
        found.exposed,
        ms(median(&mut times)),
        ms(usual),
        ms(strikes.own.peers),
    )
}

pub fn failures(failed: u64, all: u64, evidence: &Evidence) -> String {
    let traces = evidence.traces.iter().filter(|trace| trace.failed).count();
    format!("{failed} of {all} requests ({}) failed here first; {traces} traces failed in all", percent(failed, all))
}

pub fn gap(found: &Explanation, evidence: &Evidence, strikes: &Strikes) -> String {
    let mut times: Vec<f64> = found.strikes.iter().map(|strike| evidence.gaps[strike.row as usize].time as f64).collect();
    let place = if matches!(found.subject, Subject::Pair(_)) { "" } else { " to or from several services" };
    format!(
        "{} of {} calls{place} spent {} on the way at the median; the median of all pairs is {}",
        times.len(),
        found.exposed,
        ms(median(&mut times)),
        ms(strikes.between.peers),
    )
}

pub fn many_calls(many: &ManyCalls, traces: &Traces) -> String {
    let system = many.system.map_or("something else", |system| traces.texts.get(system));
    let others = if many.others > 0.0 { format!("; other services make {:.0}", many.others) } else { String::new() };
    format!(
        "{:.0} calls {:?} to {system} of each request, one after the other, take {}, {:.0} % of the traces' time{others}",
        many.calls,
        traces.texts.get(many.operation),
        ms(many.time),
        100.0 * many.share,
    )
}

pub fn lost_context(lost: &LostContext) -> String {
    format!(
        "no span of another service belongs to {} of its calls, and during {} of them a trace began at a service that serves others",
        lost.calls, lost.matched
    )
}

pub fn queue(queue: &Queue) -> String {
    format!(
        "each of up to {} requests in flight adds {}; that explains {:.0} % of how its time varies",
        queue.most,
        ms(queue.each),
        100.0 * queue.explains
    )
}

pub fn passed(found: &Explanation, evidence: &Evidence) -> String {
    let mut services: Vec<u32> = found.strikes.iter().map(|strike| evidence.visits[strike.visit as usize].service).collect();
    services.sort_unstable();
    services.dedup();
    format!(
        "{} of {} requests that came through it went wrong later, in {} services",
        found.strikes.len(),
        found.exposed,
        services.len()
    )
}

pub fn resource(found: &Explanation, evidence: &Evidence) -> String {
    passed(found, evidence).replace("requests that came through it went wrong later", "requests with it went wrong")
}

pub fn attribute(found: &Found, attribute: &Attribute) -> String {
    format!(
        "{} of {} requests with {} = {}, {} of {} others",
        found.with.0, found.with.1, attribute.key, attribute.value, found.without.0, found.without.1
    )
}

pub fn passed_before(found: &Found, service: &str, before: &str) -> String {
    format!(
        "in {service}: {} of {} requests that had passed {before} before, {} of {} others",
        found.with.0, found.with.1, found.without.0, found.without.1
    )
}

pub fn operation(found: &Found, operation: &str) -> String {
    format!("{} of {} requests for {operation:?}, {} of {} others", found.with.0, found.with.1, found.without.0, found.without.1)
}
