//! Slow when busy: does the time that visits of a service take grow with the number of requests that are served before them?
//!
//! Those are the ones in flight when a visit begins. Where many begin at once, the one that is served first need not be the one that
//! began first; then the ones that end while a visit lasts say it better.
//!
//! Slowness makes requests many at once, not only the reverse (Little's law): where a service was slow for a part of the time, its
//! times grow with their number over all of it whatever the cause. So there the part explains the times, unless it does so hardly
//! better than the number, or they grow with the number within the part too.

use rustc_hash::FxHashSet;

use super::era::Era;
use super::stats::{Line, line};
use crate::diagnose::evidence::Evidence;
use crate::diagnose::model::Traces;

/// Of many visits the number in flight must explain at least this share of the variance, …
const EXPLAINS: f64 = 0.4;
/// … or the number that ended meanwhile this share: a longer visit sees more end even where nobody waits for them …
const ENDED_EXPLAINS: f64 = 0.85;
/// … and the queue must be at least this share of the time.
const QUEUE: f64 = 0.4;
/// A part of the time explains clearly more where it leaves this share unexplained of what the number in flight leaves.
const LEAVES: f64 = 0.5;
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
/// `era` is the part of the time in which they are.
pub fn queue(traces: &Traces, evidence: &Evidence, service: u32, struck: &FxHashSet<u32>, era: Option<&Era>) -> Option<Queue> {
    // One that stands in two places of a request has two queues, and in the first those wait who wait in the second.
    let again = |visit: &u32| evidence.places[evidence.visits[*visit as usize].place as usize].again;
    let role = struck.iter().next().map(again).filter(|role| struck.iter().all(|visit| again(visit) == *role));
    let all = evidence.by_service.of(service).iter().copied();
    let all: Vec<u32> = all.filter(|visit| role.is_none_or(|role| again(visit) == role)).collect();
    let (in_flight, ended) = evidence.at_once(traces, &all);
    let visit = |row: &u32| evidence.visits[*row as usize];
    let in_era = |row: &u32| era.is_some_and(|era| era.contains(traces.spans()[visit(row).span as usize].start));
    let rows: Vec<Row> = all
        .iter()
        .zip(in_flight.iter().zip(&ended))
        .map(|(row, (in_flight, ended))| Row {
            own: visit(row).own as f64,
            in_flight: f64::from(*in_flight),
            ended: f64::from(*ended),
            struck: struck.contains(row),
            in_era: in_era(row),
        })
        .collect();
    let found = of_rows(&rows)?;
    if era.is_some() {
        let within: Vec<Row> = rows.iter().filter(|row| row.in_era).copied().collect();
        let explains = |points: fn(&Row) -> (f64, f64)| {
            line(rows.iter().filter(|row| row.own > 0.0).map(points)).map_or(0.0, |line| line.explains)
        };
        let by_number = explains(|row| (row.in_flight, row.own));
        let by_time = explains(|row| (f64::from(u8::from(row.in_era)), row.own));
        if 1.0 - by_time < LEAVES * (1.0 - by_number) && of_rows(&within).is_none() {
            return None;
        }
    }
    Some(Queue { most: in_flight.into_iter().max().unwrap_or(0), ..found })
}

/// A visit: its time, in nanoseconds, and how many were there.
#[derive(Clone, Copy)]
struct Row {
    own: f64,
    in_flight: f64,
    ended: f64,
    struck: bool,
    in_era: bool,
}

fn of_rows(rows: &[Row]) -> Option<Queue> {
    let by_start = rows.iter().filter(|row| row.own > 0.0).map(|row| (row.in_flight, row.own));
    let by_end = rows.iter().filter(|row| row.struck).map(|row| (row.ended, row.own));
    let found = [grows(by_start, EXPLAINS), grows(by_end, ENDED_EXPLAINS)].into_iter().flatten();
    found.max_by(|a, b| a.explains.total_cmp(&b.explains))
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
