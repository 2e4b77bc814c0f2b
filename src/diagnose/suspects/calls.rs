//! Many small calls, one after the other, where few would do.

use super::stats::median;
use crate::diagnose::evidence::{Evidence, NONE};
use crate::diagnose::model::{Text, Traces};

/// Fewer calls of a visit are not many.
const MANY: f64 = 6.0;
/// They must take this share of the time of the traces that they are in.
const MATTERS: f64 = 0.04;

/// A service's way with something that sends no spans itself.
#[derive(Clone, Copy, Debug)]
pub struct ManyCalls {
    pub service: u32,
    /// Of a visit, at the median.
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

/// Services that make many calls of one visit, those that lose most time first.
pub fn find(traces: &Traces, evidence: &Evidence) -> Vec<ManyCalls> {
    let usual: Vec<Usual> =
        (0..evidence.services.len() as u32).filter_map(|service| Usual::of(traces, evidence, service)).collect();
    let mut found: Vec<ManyCalls> = usual
        .iter()
        .filter(|one| one.calls >= MANY)
        .filter_map(|one| {
            let others = usual.iter().filter(|other| other.service != one.service && other.system == one.system);
            let mut others: Vec<f64> = others.map(|other| other.calls).collect();
            let others = median(&mut others);
            (one.share >= MATTERS && one.calls > 3.0 * others).then_some(ManyCalls {
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
    fn of(traces: &Traces, evidence: &Evidence, service: u32) -> Option<Self> {
        let example = evidence.visits_of(service).find(|visit| visit.call != NONE)?;
        let visits = || evidence.visits_of(service);
        let mut calls: Vec<f64> = visits().map(|visit| f64::from(visit.calls)).collect();
        let mut times: Vec<f64> = visits().map(|visit| visit.calls_out as f64).collect();
        let mut in_traces: Vec<u32> = visits().map(|visit| visit.trace).collect();
        in_traces.dedup();
        let of_traces: u64 = in_traces.iter().map(|trace| evidence.traces[*trace as usize].duration).sum();
        let share = times.iter().sum::<f64>() / (of_traces as f64).max(1.0);
        let call = &traces.spans()[example.call as usize];
        Some(Self {
            service,
            visits: calls.len() as u64,
            calls: median(&mut calls),
            time: median(&mut times),
            share,
            operation: call.operation,
            system: system(traces, example.call),
        })
    }
}

/// The database, or whatever else it is, that a span says it calls.
fn system(traces: &Traces, span: u32) -> Option<Text> {
    let attributes = traces.attributes(&traces.spans()[span as usize]);
    let named = |name: &str| attributes.iter().find(|(key, _)| traces.texts.get(*key) == name).map(|(_, value)| *value);
    ["db.system.name", "db.system", "messaging.system", "rpc.system", "peer.service"].into_iter().find_map(named)
}
