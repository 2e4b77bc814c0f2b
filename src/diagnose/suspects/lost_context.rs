//! A service that drops the trace context: what it calls begins traces of its own.
//!
//! Two things come together: calls to which no span of another service belongs, and, while they last, traces that begin where no
//! request enters from outside. Where the two do not say the
//! same address, there must be more of them than would begin just then by chance. A database leaves the first without the second;
//! an entry point the second without the first.

use rustc_hash::FxHashMap;

use super::stats::median;
use crate::diagnose::evidence::{Evidence, NONE};
use crate::diagnose::model::{Kind, Parent, Span, Text, Traces};

/// This many of a service's calls are looked at.
const SAMPLE: usize = 500;
/// So many traces that begin during one call are looked at.
const LOOKED_AT: usize = 400;
/// There must be so many times as many such traces as would begin and end during a call by chance.
const NO_CHANCE: f64 = 1.5;
/// This share of its calls must have such a trace, …
const MATCHED: f64 = 0.5;
/// … and of the traces that begin at the callee this share must have such a call.
const EXPLAINED: f64 = 0.5;

#[derive(Clone, Debug)]
pub struct LostContext {
    pub service: u32,
    /// Calls that nothing answers, and those of them during which a trace began at the callee.
    pub calls: u64,
    pub matched: u64,
    /// Where those traces began, by number.
    pub callees: Vec<u32>,
    /// A trace with such a call, and the one that belongs to it.
    pub examples: Vec<(u32, u32)>,
}

pub fn find(traces: &Traces, evidence: &Evidence) -> Vec<LostContext> {
    let spans = traces.spans();
    let mut roots: Vec<Root> = Vec::new();
    for (row, visit) in evidence.visits.iter().enumerate() {
        let span = &spans[visit.span as usize];
        if visit.parent == NONE
            && span.parent == Parent::Root
            && matches!(span.kind, Kind::Server | Kind::Unspecified | Kind::Consumer)
        {
            roots.push(Root { start: span.start, end: span.end, service: visit.service, trace: visit.trace, visit: row as u32 });
        }
    }
    let mut begun: FxHashMap<u32, u64> = FxHashMap::default();
    for root in &roots {
        *begun.entry(root.service).or_default() += 1;
    }
    if begun.len() < 2 {
        return Vec::new();
    }
    roots.sort_unstable_by_key(|root| (root.start, root.visit));
    let mut answered = vec![0_u64; evidence.services.len()];
    for gap in &evidence.gaps {
        answered[evidence.visits[gap.caller as usize].service as usize] += 1;
    }
    let addresses = Addresses::new(traces);
    let mut unanswered: Vec<Vec<u32>> = vec![Vec::new(); evidence.services.len()];
    for (visit, span) in evidence.unanswered.iter().filter(|(_, span)| !addresses.is_database(traces, *span)) {
        unanswered[evidence.visits[*visit as usize].service as usize].push(*span);
    }
    let found = unanswered.into_iter().enumerate().filter_map(|(service, calls)| {
        let service = service as u32;
        if calls.is_empty() || 2 * calls.len() as u64 <= answered[service as usize] {
            return None;
        }
        matches(traces, evidence, service, &calls, &roots, &begun, &addresses)
    });
    let mut found: Vec<LostContext> = found.collect();
    found.sort_by_key(|lost| (std::cmp::Reverse(lost.matched), lost.service));
    found
}

struct Root {
    start: u64,
    end: u64,
    service: u32,
    trace: u32,
    visit: u32,
}

fn matches(
    traces: &Traces,
    evidence: &Evidence,
    service: u32,
    calls: &[u32],
    roots: &[Root],
    begun: &FxHashMap<u32, u64>,
    addresses: &Addresses,
) -> Option<LostContext> {
    let spans = traces.spans();
    let step = calls.len().div_ceil(SAMPLE);
    let sample: Vec<u32> = calls.iter().copied().step_by(step).collect();
    // Per callee: how many of the calls it could have answered, and with which trace.
    let mut by_callee: FxHashMap<u32, Vec<(u32, u32)>> = FxHashMap::default();
    // Of these, those of which both ends say the same address.
    let mut addressed: FxHashMap<u32, usize> = FxHashMap::default();
    for call in &sample {
        let span = &spans[*call as usize];
        let first = roots.partition_point(|root| root.start < span.start);
        let inside = roots[first..].iter().take(LOOKED_AT).take_while(|root| root.start <= span.end);
        let mut seen: Vec<u32> = Vec::new();
        for root in inside.filter(|root| root.end <= span.end && root.service != service) {
            let agreement = addresses.agreement(traces, *call, evidence.visits[root.visit as usize].span);
            if !seen.contains(&root.service) && agreement != Agreement::Differ {
                seen.push(root.service);
                *addressed.entry(root.service).or_default() += usize::from(agreement == Agreement::Same);
                by_callee.entry(root.service).or_default().push((*call, root.trace));
            }
        }
    }
    let explains = |callee: u32, matched: usize| (matched * step) as f64 >= EXPLAINED * begun[&callee] as f64;
    let by_chance =
        |callee: u32| by_chance(&sample.iter().map(|call| spans[*call as usize].duration()).collect::<Vec<_>>(), roots, callee);
    // A call to the very address at which a trace then begins is no chance.
    let is_no_chance =
        |callee: u32, matched: usize| addressed.get(&callee) == Some(&matched) || matched as f64 >= NO_CHANCE * by_chance(callee);
    by_callee.retain(|callee, pairs| explains(*callee, pairs.len()) && is_no_chance(*callee, pairs.len()));
    let mut callees: Vec<u32> = by_callee.keys().copied().collect();
    callees.sort_unstable();
    let mut matched: Vec<(u32, u32)> = by_callee.into_values().flatten().collect();
    matched.sort_unstable();
    matched.dedup_by_key(|(call, _)| *call);
    if sample.is_empty() || (matched.len() as f64) < MATCHED * sample.len() as f64 {
        return None;
    }
    let examples = matched.iter().take(3).map(|(call, trace)| (trace_of_span(traces, *call), *trace)).collect();
    Some(LostContext {
        service,
        calls: calls.len() as u64,
        matched: (matched.len() * step).min(calls.len()) as u64,
        callees,
        examples,
    })
}

/// How many calls that last so long would see a trace begin and end at `callee` if those began at any time: where there is room for
/// many of them in a call, such as a slow one to somebody else's service, one inside says nothing.
fn by_chance(calls: &[u64], roots: &[Root], callee: u32) -> f64 {
    let (Some(first), Some(last)) = (roots.first(), roots.last()) else { return 0.0 };
    let mut lasted: Vec<f64> =
        roots.iter().filter(|root| root.service == callee).map(|root| (root.end - root.start) as f64).collect();
    let rate = lasted.len() as f64 / ((last.start - first.start) as f64).max(1.0);
    let usual = median(&mut lasted);
    // The first moments of a call are as likely as any others; what is left of it must hold the whole trace.
    calls.iter().map(|call| 1.0 - (-rate * (*call as f64 - usual).max(0.0)).exp()).sum()
}

/// The trace that a span belongs to.
fn trace_of_span(traces: &Traces, span: u32) -> u32 {
    let (mut low, mut high) = (0, traces.len());
    while low < high {
        let middle = (low + high) / 2;
        if traces.range(middle).end <= span as usize {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low as u32
}

/// Where a call goes, and where a request arrived, as far as spans say so.
struct Addresses {
    address: Option<Text>,
    port: Option<Text>,
    database: Vec<Text>,
}

impl Addresses {
    fn new(traces: &Traces) -> Self {
        let find = |name| traces.texts.find(name);
        let database = ["db.system.name", "db.system", "messaging.system"].into_iter().filter_map(find).collect();
        Self { address: find("server.address"), port: find("server.port"), database }
    }

    fn is_database(&self, traces: &Traces, span: u32) -> bool {
        traces.attributes(&traces.spans()[span as usize]).iter().any(|(key, _)| self.database.contains(key))
    }

    fn agreement(&self, traces: &Traces, call: u32, root: u32) -> Agreement {
        let spans = traces.spans();
        let value = |span: &Span, key: Option<Text>| {
            let key = key?;
            traces.attributes(span).iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
        };
        let said = [self.address, self.port].map(|key| {
            let (called, arrived) = (value(&spans[call as usize], key), value(&spans[root as usize], key));
            called.zip(arrived).map(|(called, arrived)| called == arrived)
        });
        match said {
            [Some(true), Some(true)] => Agreement::Same,
            said if said.contains(&Some(false)) => Agreement::Differ,
            _ => Agreement::Unsaid,
        }
    }
}

/// What two spans say of where a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreement {
    /// Address and port are the same.
    Same,
    Differ,
    Unsaid,
}
