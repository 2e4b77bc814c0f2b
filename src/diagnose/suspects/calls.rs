//! Many small calls, one after the other, where few would do: the same call, again and again, within one visit.

use rustc_hash::FxHashMap;

use super::stats::median;
use crate::diagnose::evidence::{Evidence, Index, NONE, Visit};
use crate::diagnose::model::{Kind, Parent, Text, Traces};

/// Fewer calls of a visit are not many.
const MANY: f64 = 6.0;
/// They must take this share of the time of the traces that they are in, …
const MATTERS: f64 = 0.04;
/// … unless others, of whom there are as many at least, need so many times fewer: in a fan-out nothing takes a real share.
const PEERS: usize = 2;
const TIMES_PEERS: f64 = 20.0;
/// So many times as many as others make, or as were made before, are more.
const TIMES: f64 = 3.0;

/// A service's way with something that sends no spans itself.
#[derive(Clone, Copy, Debug)]
pub struct ManyCalls {
    pub service: u32,
    /// Of a visit, at the median; those that are made at once count as one.
    pub calls: f64,
    /// Nanoseconds of a visit that they take, at the median.
    pub time: f64,
    /// The same number of the other services that make calls of this kind; 0 where there are none.
    pub others: f64,
    /// Share of the time of all traces that it is part of.
    pub share: f64,
    /// The call's name.
    pub operation: Text,
    /// What is called, where the spans say so.
    pub system: Option<Text>,
    pub visits: u64,
}

impl ManyCalls {
    /// Whether that is how it always was.
    pub fn is_usual(&self, calls_before: f64) -> bool {
        self.calls <= TIMES * calls_before
    }
}

/// Services that make many calls of one visit, those that lose most time first.
pub fn find(traces: &Traces, evidence: &Evidence) -> Vec<ManyCalls> {
    let callers = evidence.unanswered.iter().map(|(visit, _)| evidence.visits[*visit as usize].service);
    let calls = Index::new(evidence.services.len(), callers);
    let systems: Vec<Text> = SYSTEMS.iter().filter_map(|name| traces.texts.find(name)).collect();
    let usual = (0..evidence.services.len() as u32).filter_map(|service| Usual::of(traces, evidence, service, &calls, &systems));
    let usual: Vec<Usual> = usual.collect();
    let mut found: Vec<ManyCalls> = usual
        .iter()
        .filter(|one| one.calls >= MANY)
        .filter_map(|one| {
            let others = usual.iter().filter(|other| other.service != one.service && other.system == one.system);
            let mut others: Vec<f64> = others.map(|other| other.calls).filter(|calls| *calls > 0.0).collect();
            let peers = others.len();
            let others = median(&mut others);
            let matters = one.share >= MATTERS || peers >= PEERS && one.calls >= TIMES_PEERS * others;
            (matters && one.calls > TIMES * others).then_some(ManyCalls {
                service: one.service,
                calls: one.calls,
                time: one.time,
                others,
                share: one.share,
                operation: one.operation,
                system: one.system,
                visits: one.visits,
            })
        })
        .collect();
    found.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.service.cmp(&b.service)));
    found
}

/// Where a span says what it calls, the most exact first.
const SYSTEMS: [&str; 5] = ["db.system.name", "db.system", "messaging.system", "rpc.system", "peer.service"];

/// The call that a service makes most often.
struct Usual {
    service: u32,
    calls: f64,
    time: f64,
    share: f64,
    operation: Text,
    system: Option<Text>,
    visits: u64,
}

impl Usual {
    fn of(traces: &Traces, evidence: &Evidence, service: u32, calls: &Index, systems: &[Text]) -> Option<Self> {
        let spans = traces.spans();
        let made = || calls.of(service).iter().map(|row| evidence.unanswered[*row as usize]);
        let mut by_operation: FxHashMap<Text, u64> = FxHashMap::default();
        for (_, span) in made() {
            *by_operation.entry(spans[span as usize].operation).or_default() += 1;
        }
        let most = by_operation.into_iter().max_by_key(|(operation, count)| (*count, std::cmp::Reverse(*operation)));
        let (operation, _) = most?;
        // By visit: how many, and until when the last of them lasted. Calls come by start.
        let mut in_turn: FxHashMap<u32, (u32, u64)> = FxHashMap::default();
        let mut example = NONE;
        for (visit, span) in made().filter(|(_, span)| spans[*span as usize].operation == operation) {
            let (call, seen) = (&spans[span as usize], in_turn.entry(visit).or_default());
            if seen.0 == 0 || call.start >= seen.1 {
                seen.0 += 1;
            }
            seen.1 = seen.1.max(call.end);
            example = span;
        }
        let all = || evidence.by_service.of(service).iter().map(|row| (*row, &evidence.visits[*row as usize]));
        // A call whose request is not there, since it is still running or was lost, is a part of that and no request itself.
        let is_request = |visit: &Visit| {
            let span = &spans[visit.span as usize];
            !(span.parent == Parent::Missing && matches!(span.kind, Kind::Client | Kind::Producer))
        };
        let visits = || all().filter(|(_, visit)| is_request(visit));
        let count = |row: u32| in_turn.get(&row).map_or(0.0, |(count, _)| f64::from(*count));
        let time = |(row, visit): (u32, &Visit)| visit.calls_out as f64 * count(row) / f64::from(visit.calls.max(1));
        let mut calls: Vec<f64> = visits().map(|(row, _)| count(row)).collect();
        let mut times: Vec<f64> = visits().map(time).collect();
        let mut in_traces: Vec<u32> = visits().map(|(_, visit)| visit.trace).collect();
        in_traces.dedup();
        let of_traces: f64 = in_traces.iter().map(|trace| evidence.traces[*trace as usize].duration as f64).sum();
        let share = times.iter().sum::<f64>() / of_traces.max(1.0);
        let attributes = traces.attributes(&spans[example as usize]);
        let named = |name: &Text| attributes.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        Some(Self {
            service,
            visits: calls.len() as u64,
            calls: median(&mut calls),
            time: median(&mut times),
            share,
            operation,
            system: systems.iter().find_map(named),
        })
    }
}
