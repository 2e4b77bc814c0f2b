//! What the traces say, before anybody asks what is wrong: visits, the time each of them took by itself, and the time between two.
//!
//! A **visit** is one request in one service: the span that lets the request in and all spans of the same service below it, down to
//! the next service. Suspects are services, so visits are what is counted and compared; which span inside a visit took the time is
//! for a reader of the trace. A **gap** is what a call to another service took beside the callee's own visit.
//!
//! Beside what a visit took stands how much of it was on the critical path of its trace: the first tells how the service fares, the
//! second what that costs. What is slow, typical or suspicious is for `suspects` to say.

mod failures;
mod index;
mod path;
mod visits;

use rustc_hash::FxHashMap;

use super::critical_path::Rule;
use super::model::{Text, Traces};
use super::repair::Repairs;
pub use index::Index;

/// In place of an index where there is none.
pub const NONE: u32 = u32::MAX;

/// Everything counted once, in flat tables that refer to each other by index.
#[derive(Debug, Default)]
pub struct Evidence {
    /// By trace.
    pub visits: Vec<Visit>,
    /// By trace.
    pub gaps: Vec<Gap>,
    /// Calls that no span of another service belongs to: the visit, and the span as an index into [`Traces::spans`].
    pub unanswered: Vec<(u32, u32)>,
    /// Names of the services, by number; the numbers are in the order of their first spans.
    pub services: Vec<Text>,
    pub places: Vec<Place>,
    /// Caller and callee.
    pub pairs: Vec<(u32, u32)>,
    /// One per trace.
    pub traces: Vec<Trace>,
    /// The visits of each service.
    pub by_service: Index,
    /// The visits of each place.
    pub by_place: Index,
    /// The gaps of each pair.
    pub by_pair: Index,
    /// What had to be mended in the traces.
    pub repairs: Repairs,
    /// By resource: times of its spans are right to [`COARSE`](super::repair::COARSE) only.
    pub coarse: Vec<bool>,
}

/// What a visit may ask of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub service: u32,
    /// Of the visit's first span.
    pub operation: Text,
    /// The request has been in this service before: one that stands at the edge and between services too is two in one.
    pub again: bool,
}

/// One request in one service. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    pub trace: u32,
    /// The span that let the request in: an index into [`Traces::spans`].
    pub span: u32,
    /// The visit that called, or [`NONE`].
    pub parent: u32,
    pub service: u32,
    pub place: u32,
    /// Time in none of its calls to other services, as far as its caller waited for it.
    pub own: u64,
    /// Of that, on the critical path.
    pub on_path: u64,
    /// Of that again, in calls to what sends no spans, such as a database.
    pub calls_out: u64,
    /// How many such calls it made, whether on the critical path or not.
    pub calls: u32,
    /// The span of the last of them, or [`NONE`].
    pub call: u32,
    pub outcome: Outcome,
}

impl Visit {
    /// One of which nothing is known yet.
    const NEW: Self = Self {
        trace: 0,
        span: 0,
        parent: NONE,
        service: 0,
        place: 0,
        own: 0,
        on_path: 0,
        calls_out: 0,
        calls: 0,
        call: NONE,
        outcome: Outcome::Fine,
    };
}

/// How a visit ended, as far as the whole trace is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded, or nobody minded that it failed.
    #[default]
    Fine,
    /// It failed because something that it called failed.
    PassedOn,
    /// It failed by itself, and the trace with it.
    Origin,
}

/// A call that another service answered.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// The visits at its two ends.
    pub caller: u32,
    pub callee: u32,
    pub pair: u32,
    /// Nanoseconds that passed in the call but not in the callee.
    pub time: u64,
    /// Of that, on the critical path.
    pub on_path: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    /// Nanoseconds from the root's start to its end; the longest root's, where there are several.
    pub duration: u64,
    pub failed: bool,
    /// Its first visit; the last one is before the next trace's first.
    pub first_visit: u32,
}

impl Evidence {
    pub fn gather(traces: &Traces, rule: Rule) -> Self {
        let mut evidence = visits::gather(traces, rule);
        failures::mark(traces, &mut evidence);
        let Self { visits, gaps, services, places, pairs, .. } = &evidence;
        let by_service = Index::new(services.len(), visits.iter().map(|visit| visit.service));
        let by_place = Index::new(places.len(), visits.iter().map(|visit| visit.place));
        let by_pair = Index::new(pairs.len(), gaps.iter().map(|gap| gap.pair));
        Self { by_service, by_place, by_pair, ..evidence }
    }

    pub fn visits_of(&self, service: u32) -> impl ExactSizeIterator<Item = &Visit> + Clone {
        self.by_service.of(service).iter().map(|visit| &self.visits[*visit as usize])
    }

    pub fn gaps_of(&self, pair: u32) -> impl ExactSizeIterator<Item = &Gap> + Clone {
        self.by_pair.of(pair).iter().map(|gap| &self.gaps[*gap as usize])
    }

    /// The visits that led to this one, the nearest first.
    pub fn ancestors(&self, visit: &Visit) -> impl Iterator<Item = &Visit> {
        let at = |index: u32| self.visits.get(index as usize);
        std::iter::successors(at(visit.parent), move |visit| at(visit.parent))
    }

    /// For each of these visits: how many of the others were in flight when it began, and how many ended by the time it did, itself
    /// counted.
    pub fn at_once(&self, traces: &Traces, visits: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let times = |visit: &u32| {
            let span = &traces.spans()[self.visits[*visit as usize].span as usize];
            (span.start, span.end)
        };
        let sorted = |time: fn((u64, u64)) -> u64| {
            let mut all: Vec<u64> = visits.iter().map(|visit| time(times(visit))).collect();
            all.sort_unstable();
            all
        };
        let (starts, ends) = (sorted(|(start, _)| start), sorted(|(_, end)| end));
        let begun_before = |time| starts.partition_point(|start| *start < time);
        let ended_by = |time| ends.partition_point(|end| *end <= time);
        let of = |visit: &u32| {
            let (start, end) = times(visit);
            let in_flight = begun_before(start).saturating_sub(ended_by(start));
            (in_flight as u32, (ended_by(end) - ended_by(start)) as u32)
        };
        visits.iter().map(of).unzip()
    }
}

/// Gives numbers to what it sees for the first time.
#[derive(Debug)]
struct Numbers<T>(FxHashMap<T, u32>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<T: Copy + Eq + std::hash::Hash> Numbers<T> {
    fn of(&mut self, one: T, all: &mut Vec<T>) -> u32 {
        *self.0.entry(one).or_insert_with(|| {
            all.push(one);
            all.len() as u32 - 1
        })
    }
}

#[cfg(test)]
mod tests;
