//! Slow when busy: does the time that visits of a service take grow with the number of requests in flight there?

use super::stats::{Line, line};
use crate::diagnose::evidence::Evidence;
use crate::diagnose::model::Traces;

/// The number in flight must explain at least this share of the variance …
const EXPLAINS: f64 = 0.4;
/// … and the queue at least this share of the time.
const QUEUE: f64 = 0.4;
/// Fewer visits say nothing.
const VISITS: usize = 8;

/// How the time of a service's visits depends on how many there are at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    /// Nanoseconds that each request in flight adds.
    pub each: f64,
    /// Share of the variance that it explains.
    pub explains: f64,
    /// Share of the time that is spent waiting for others.
    pub waiting: f64,
    /// The most that were in flight at once.
    pub most: u32,
}

/// The queue of a service, if it has one.
pub fn queue(traces: &Traces, evidence: &Evidence, service: u32) -> Option<Queue> {
    let in_flight = evidence.in_flight(traces, service);
    let points = evidence.visits_of(service).zip(&in_flight).filter(|(visit, _)| visit.own > 0);
    let points = points.map(|(visit, in_flight)| (f64::from(*in_flight), visit.own as f64));
    let count = points.clone().count();
    if count < VISITS {
        return None;
    }
    let Line { slope, explains, .. } = line(points.clone())?;
    let (sum_in_flight, sum_time) = points.fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let waiting = slope * sum_in_flight / sum_time.max(1.0);
    let most = in_flight.into_iter().max().unwrap_or(0);
    (slope > 0.0 && explains >= EXPLAINS && waiting >= QUEUE).then_some(Queue {
        each: slope,
        explains,
        waiting: waiting.min(1.0),
        most,
    })
}
