//! Slow when busy: does the time that visits of a service take grow with the number of requests that are served before them?
//!
//! Those are the ones in flight when a visit begins. Where many begin at once, the one that is served first need not be the one that
//! began first; then the ones that end while a visit lasts say it better.

use rustc_hash::FxHashSet;

use super::stats::{Line, line};
use crate::diagnose::evidence::Evidence;
use crate::diagnose::model::Traces;

/// Of many visits the number in flight must explain at least this share of the variance, …
const EXPLAINS: f64 = 0.4;
/// … or the number that ended meanwhile this share: a longer visit sees more end even where nobody waits for them …
const ENDED_EXPLAINS: f64 = 0.85;
/// … and the queue must be at least this share of the time.
const QUEUE: f64 = 0.4;
/// Fewer visits say nothing.
const VISITS: usize = 3;

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

/// The queue of a service, if it has one. `struck` are the visits that took long: others end while they last too, and have not waited.
pub fn queue(traces: &Traces, evidence: &Evidence, service: u32, struck: &FxHashSet<u32>) -> Option<Queue> {
    // One that stands in two places of a request has two queues, and in the first those wait who wait in the second.
    let again = |visit: &u32| evidence.places[evidence.visits[*visit as usize].place as usize].again;
    let role = struck.iter().next().map(again).filter(|role| struck.iter().all(|visit| again(visit) == *role));
    let all = evidence.by_service.of(service).iter().copied();
    let all: Vec<u32> = all.filter(|visit| role.is_none_or(|role| again(visit) == role)).collect();
    let (in_flight, ended) = evidence.at_once(traces, &all);
    let visits = || all.iter().map(|visit| (*visit, evidence.visits[*visit as usize].own as f64));
    let by_start = visits().zip(&in_flight).filter(|((_, own), _)| *own > 0.0);
    let by_start = grows(by_start.map(|((_, own), ahead)| (f64::from(*ahead), own)), EXPLAINS);
    let by_end = visits().zip(&ended).filter(|((visit, _), _)| struck.contains(visit));
    let by_end = grows(by_end.map(|((_, own), ahead)| (f64::from(*ahead), own)), ENDED_EXPLAINS);
    let best = [by_start, by_end].into_iter().flatten().max_by(|a, b| a.explains.total_cmp(&b.explains));
    best.map(|queue| Queue { most: in_flight.into_iter().max().unwrap_or(0), ..queue })
}

/// `points`: how many are ahead, and the time.
fn grows(points: impl Iterator<Item = (f64, f64)> + Clone, explains_many: f64) -> Option<Queue> {
    let count = points.clone().count();
    if count < VISITS {
        return None;
    }
    let Line { slope, explains } = line(points.clone())?;
    let (sum_ahead, sum_time) = points.fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let waiting = slope * sum_ahead / sum_time.max(1.0);
    // Few points lie near some line by chance: of three nine tenths must be explained.
    let enough = 1.0 - (1.0 - explains_many) * (1.0 - 2.5 / count as f64);
    (slope > 0.0 && explains >= enough && waiting >= QUEUE).then_some(Queue {
        each: slope,
        explains,
        waiting: waiting.min(1.0),
        most: 0,
    })
}
