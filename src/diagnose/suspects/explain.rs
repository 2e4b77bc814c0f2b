//! Which few subjects explain most strikes: one after the other, the one that explains the most of what is left.
//!
//! A subject explains strikes where they are much more frequent in its presence than elsewhere. "Elsewhere" counts only strikes of
//! about the same size, so that small stalls of the machine, which strike everybody, do not speak against a large delay that
//! strikes one service alone.

use rustc_hash::{FxHashMap, FxHashSet};

use super::stats::{contrast, evidence as evidence_for, median};
use super::strikes::Strike;
use crate::diagnose::evidence::Evidence;
use crate::diagnose::model::{Text, Traces};

/// A subject that explains so much, in nats, clearly explains it.
const CLEAR: f64 = 15.0;
/// No more subjects than this are looked for.
const MOST: usize = 5;
/// A subject that explains less, in nats and after correction for the number of subjects tried, is none.
const LEAST: f64 = 1.0;
/// Strikes in one service are that service's matter where it has more than this share of them.
const ONE_SERVICE: f64 = 0.6;
/// What several services or pairs are said to have in common must strike at least this share of its presence.
pub const COMMON: f64 = 0.15;
/// What more than this share of the visits of the struck services passed, such as the entry point, tells nothing.
pub const EVERYBODY: f64 = 0.9;
/// What is less simple must explain so much more, in nats.
const SIMPLER: f64 = 3.0;
/// So many other services in which failures begin say how often they do for no reason of a service's own.
const MANY_FAIL: usize = 8;
/// So many visits before one are asked which services it passed: of those that call each other in turn there may be thousands.
const FAR: usize = 64;
/// What passed a service must go wrong so many times as often as what did not.
const MORE: f64 = 2.0;
/// Of fewer pairs that share an end nobody can say how one compares with the others.
const SEVERAL: u64 = 3;
/// Nor of fewer late calls of theirs.
const LATE: usize = 3;

/// What strikes may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// They happened in this service.
    Service(u32),
    /// They happened in several services, in requests that had passed this one before.
    Passed(u32),
    /// They happened in several services whose resource has this attribute.
    Resource(Text, Text),
    /// They happened between caller and callee: a number of [`Evidence::pairs`].
    Pair(u32),
    /// They happened between this service and several that it calls or is called by.
    Around(u32),
}

#[derive(Clone, Debug)]
pub struct Explanation {
    pub subject: Subject,
    /// What it explains.
    pub strikes: Vec<Strike>,
    /// How many visits or gaps there are in the subject's presence, struck or not.
    pub exposed: u64,
    /// Nats, after correction for the number of subjects tried.
    pub evidence: f64,
    /// Share of the strikes of about this size that it explains, those left out that another one clearly explains.
    pub share: f64,
}

/// Explains strikes of visits by services, by services passed before, or by attributes of resources.
pub fn visits(traces: &Traces, evidence: &Evidence, strikes: &[Strike]) -> Vec<Explanation> {
    greedy(strikes, |left, gone| {
        let all = (evidence.visits.len() as u64).saturating_sub(gone);
        let pool = Pool::new(left, all);
        let mut by_service: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for (at, strike) in left.iter().enumerate() {
            by_service.entry(evidence.visits[strike.visit as usize].service).or_default().push(at as u32);
        }
        let tried = evidence.services.len();
        let all_exposed: u64 = by_service.keys().map(|service| evidence.by_service.of(*service).len() as u64).sum();
        let single = by_service.iter().map(|(service, hits)| {
            let exposed = evidence.by_service.of(*service).len() as u64;
            let mut candidate = pool.judge(Subject::Service(*service), hits.clone(), exposed, tried);
            // Failures have no size to tell one kind from another; where many services fail, no more than they do is nothing special.
            if pool.is_of_failures() && by_service.len() > MANY_FAIL {
                let usual = (left.len() - hits.len()) as f64 / (all_exposed - exposed).max(1) as f64;
                let special = evidence_for(hits.len() as u64, exposed, usual) - (tried as f64).ln();
                candidate.evidence = candidate.evidence.min(special);
            }
            candidate
        });
        let mut candidates: Vec<Candidate> = single.collect();
        let common = passed(evidence, left, &by_service).into_iter().chain(resources(traces, evidence, left, &by_service));
        let visited: u64 = by_service.keys().map(|service| evidence.by_service.of(*service).len() as u64).sum();
        let common = common.filter(|common| {
            common.hits.len() as f64 >= COMMON * common.exposed as f64
                && (common.exposed as f64 <= EVERYBODY * visited as f64 || matches!(common.subject, Subject::Resource(..)))
                && is_spread(evidence, left, &common.hits)
        });
        candidates.extend(common.map(|common| {
            let mut candidate = pool.judge(common.subject, common.hits, common.exposed, tried * 2);
            candidate.evidence = (candidate.evidence - SIMPLER).min(common.contrast);
            candidate
        }));
        candidates
    })
}

/// Explains strikes of gaps by pairs, or by the service that all pairs concerned have in common.
pub fn gaps(evidence: &Evidence, strikes: &[Strike]) -> Vec<Explanation> {
    let siblings = [Siblings::new(evidence, strikes, |(caller, _)| caller), Siblings::new(evidence, strikes, |(_, callee)| callee)];
    greedy(strikes, |left, gone| {
        let all = (evidence.gaps.len() as u64).saturating_sub(gone);
        let pool = Pool::new(left, all);
        let mut by_pair: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        let mut by_end: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        for (at, strike) in left.iter().enumerate() {
            let pair = evidence.gaps[strike.row as usize].pair;
            by_pair.entry(pair).or_default().push(at as u32);
            let (caller, callee) = evidence.pairs[pair as usize];
            by_end.entry(caller).or_default().push(at as u32);
            if callee != caller {
                by_end.entry(callee).or_default().push(at as u32);
            }
        }
        let exposed = |pair: u32| evidence.by_pair.of(pair).len() as u64;
        let mut around: FxHashMap<u32, u64> = FxHashMap::default();
        for (pair, (caller, callee)) in evidence.pairs.iter().enumerate() {
            for end in [*caller, *callee] {
                if by_end.contains_key(&end) {
                    *around.entry(end).or_default() += exposed(pair as u32);
                }
            }
        }
        let tried = evidence.pairs.len();
        let single = by_pair.iter().map(|(pair, hits)| {
            let mut candidate = pool.judge(Subject::Pair(*pair), hits.clone(), exposed(*pair), tried);
            let time = |at: &u32| evidence.gaps[left[*at as usize].row as usize].time as f64;
            let time = median(&mut hits.iter().map(time).collect::<Vec<f64>>()) / 2.0;
            // Where all pairs of a caller are late alike, it is the caller that is late, or its machine.
            for (late, usual) in siblings.iter().filter_map(|siblings| siblings.compare(evidence, *pair, time as u64)) {
                let special = evidence_for(late, exposed(*pair), (MORE * usual).min(0.9));
                candidate.evidence = candidate.evidence.min(special);
            }
            candidate
        });
        let mut candidates: Vec<Candidate> = single.collect();
        candidates.extend(by_end.into_iter().filter_map(|(end, hits)| {
            let largest = largest(hits.iter().map(|at| evidence.gaps[left[*at as usize].row as usize].pair));
            if largest as f64 > ONE_SERVICE * hits.len() as f64 || (hits.len() as f64) < COMMON * around[&end] as f64 {
                return None;
            }
            let mut candidate = pool.judge(Subject::Around(end), hits, around[&end], tried * 2);
            candidate.evidence -= SIMPLER;
            Some(candidate)
        }));
        candidates
    })
}

/// What the pairs that share an end with one say of it.
struct Siblings {
    /// By pair.
    end: Vec<u32>,
    /// By end, of those with a pair that is struck: how many pairs it has, and what their calls spent on the way, sorted.
    of: FxHashMap<u32, (u64, Vec<u64>)>,
}

impl Siblings {
    fn new(evidence: &Evidence, strikes: &[Strike], end: fn((u32, u32)) -> u32) -> Self {
        let end: Vec<u32> = evidence.pairs.iter().map(|pair| end(*pair)).collect();
        let pair = |strike: &Strike| evidence.gaps[strike.row as usize].pair as usize;
        let mut of: FxHashMap<u32, (u64, Vec<u64>)> = strikes.iter().map(|strike| (end[pair(strike)], (0, Vec::new()))).collect();
        for (pair, end) in end.iter().enumerate() {
            if let Some((pairs, times)) = of.get_mut(end) {
                *pairs += 1;
                times.extend(evidence.gaps_of(pair as u32).map(|gap| gap.time));
            }
        }
        of.retain(|_, (pairs, _)| *pairs > SEVERAL);
        of.values_mut().for_each(|(_, times)| times.sort_unstable());
        Self { end, of }
    }

    /// How many calls of a pair take at least `time` nanoseconds, and which share of the others' calls; none where hardly any of
    /// these does. What is slow for a pair may be usual for another, so what was struck is not the measure.
    fn compare(&self, evidence: &Evidence, pair: u32, time: u64) -> Option<(u64, f64)> {
        let (_, all) = self.of.get(&self.end[pair as usize])?;
        let others = all.len() - evidence.by_pair.of(pair).len();
        let mine = evidence.gaps_of(pair).filter(|gap| gap.time >= time).count();
        let late = (all.len() - all.partition_point(|other| *other < time)).saturating_sub(mine);
        (late >= LATE).then(|| (mine as u64, late as f64 / others as f64))
    }
}

/// A subject with the strikes it would explain, as places in the list of those left.
struct Candidate {
    subject: Subject,
    hits: Vec<u32>,
    exposed: u64,
    evidence: f64,
}

struct Common {
    subject: Subject,
    hits: Vec<u32>,
    exposed: u64,
    /// Nats, corrected, by which strikes are more frequent in its presence than among what might have been struck without it.
    contrast: f64,
}

fn greedy(strikes: &[Strike], candidates: impl Fn(&[Strike], u64) -> Vec<Candidate>) -> Vec<Explanation> {
    let mut left = strikes.to_vec();
    let mut gone = 0;
    let mut found: Vec<Explanation> = Vec::new();
    while found.len() < MOST && !left.is_empty() {
        let mut candidates = candidates(&left, gone);
        // Maps have no order: of equals the one with the lower number comes first.
        candidates.sort_by(|a, b| b.evidence.total_cmp(&a.evidence).then_with(|| order(a.subject).cmp(&order(b.subject))));
        let Some(best) = candidates.first().filter(|best| best.evidence >= LEAST) else { break };
        let taken: FxHashSet<u32> = best.hits.iter().copied().collect();
        let explained = best.hits.iter().map(|at| left[*at as usize]).collect();
        gone += best.exposed.min(best.hits.len() as u64);
        found.push(Explanation {
            subject: best.subject,
            strikes: explained,
            exposed: best.exposed,
            evidence: best.evidence,
            share: 1.0,
        });
        let mut at = 0;
        left.retain(|_| {
            at += 1;
            !taken.contains(&(at - 1))
        });
    }
    let shares: Vec<f64> = found.iter().map(|one| share(one, &found, &left)).collect();
    found.into_iter().zip(shares).map(|(one, share)| Explanation { share, ..one }).collect()
}

/// See [`Explanation::share`]; `left` are the strikes that nobody explains.
fn share(one: &Explanation, all: &[Explanation], left: &[Strike]) -> f64 {
    let size = size(one.strikes.iter().map(|strike| strike.excess));
    let as_large = |strikes: &[Strike]| strikes.iter().filter(|strike| strike.excess >= size).count() as f64;
    let unclear = all.iter().filter(|other| other.subject != one.subject && other.evidence < CLEAR);
    let others: f64 = unclear.map(|other| as_large(&other.strikes)).sum();
    let mine = as_large(&one.strikes);
    mine / (mine + others + as_large(left)).max(1.0)
}

/// From which excess on strikes are about as large as these.
fn size(excesses: impl Iterator<Item = u64>) -> u64 {
    let mut excesses: Vec<f64> = excesses.map(|excess| excess as f64).collect();
    (median(&mut excesses) / 2.0) as u64
}

fn order(subject: Subject) -> (u8, u32, u32) {
    match subject {
        Subject::Service(service) => (0, service, 0),
        Subject::Pair(pair) => (0, pair, 0),
        Subject::Passed(service) | Subject::Around(service) => (1, service, 0),
        Subject::Resource(key, value) => (2, key.number(), value.number()),
    }
}

/// The strikes a subject competes for.
struct Pool<'a> {
    strikes: &'a [Strike],
    all: u64,
    /// Sorted.
    excesses: Vec<u64>,
}

impl<'a> Pool<'a> {
    fn new(strikes: &'a [Strike], all: u64) -> Self {
        let mut excesses: Vec<u64> = strikes.iter().map(|strike| strike.excess).collect();
        excesses.sort_unstable();
        Self { strikes, all, excesses }
    }

    fn is_of_failures(&self) -> bool {
        self.excesses.last() == Some(&0)
    }

    fn judge(&self, subject: Subject, hits: Vec<u32>, exposed: u64, tried: usize) -> Candidate {
        let hit = || hits.iter().map(|at| self.strikes[*at as usize].excess);
        let size = size(hit());
        let as_large = (self.excesses.len() - self.excesses.partition_point(|excess| *excess < size)) as u64;
        let mine = hit().filter(|excess| *excess >= size).count() as u64;
        let elsewhere = as_large.saturating_sub(mine);
        let exposed = exposed.max(hits.len() as u64);
        let usual = (elsewhere as f64 + 0.5) / (self.all.saturating_sub(exposed) as f64 + 1.0);
        let evidence = evidence_for(hits.len() as u64, exposed, usual.min(0.9)) - (tried.max(1) as f64).ln();
        Candidate { subject, hits, exposed, evidence }
    }
}

/// Whether strikes happened in several services rather than mostly in one.
fn is_spread(evidence: &Evidence, left: &[Strike], hits: &[u32]) -> bool {
    let services = hits.iter().map(|at| evidence.visits[left[*at as usize].visit as usize].service);
    hits.len() > 1 && largest(services) as f64 <= ONE_SERVICE * hits.len() as f64
}

/// How often the most frequent value occurs.
fn largest(values: impl Iterator<Item = u32>) -> u64 {
    let mut counts: FxHashMap<u32, u64> = FxHashMap::default();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

/// Services that were passed on the way to strikes. Exposed are all visits, of services that were struck, that came the same way;
/// the others of these services say how it is without: what everybody has passed, such as the entry, explains nothing.
fn passed(evidence: &Evidence, left: &[Strike], struck: &FxHashMap<u32, Vec<u32>>) -> Vec<Common> {
    let mut hits: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
    for (at, strike) in left.iter().enumerate() {
        for service in ways(evidence, strike.visit) {
            hits.entry(service).or_default().push(at as u32);
        }
    }
    let mut exposed: FxHashMap<u32, u64> = FxHashMap::default();
    for visit in struck.keys().flat_map(|service| evidence.by_service.of(*service)) {
        for service in ways(evidence, *visit) {
            *exposed.entry(service).or_default() += 1;
        }
    }
    let all: u64 = struck.keys().map(|service| evidence.by_service.of(*service).len() as u64).sum();
    let common = |(service, hits): (u32, Vec<u32>)| {
        let (with, exposed) = (hits.len() as u64, exposed[&service]);
        let (without, others) = (left.len() as u64 - with, all - exposed);
        // Where few came another way, that is no reason to trust them.
        let usual = (without as f64 + 0.5) / (others as f64 + 1.0);
        let more = with as f64 >= MORE * usual * exposed as f64;
        let contrast = if more { evidence_for(with, exposed, usual) } else { 0.0 };
        Common { subject: Subject::Passed(service), hits, exposed, contrast }
    };
    hits.into_iter().map(common).collect()
}

/// The services passed before a visit, each once, the nearest first.
pub fn ways(evidence: &Evidence, visit: u32) -> impl Iterator<Item = u32> {
    let visit = &evidence.visits[visit as usize];
    let nearer = move |far: usize, service: u32| {
        visit.service == service || evidence.ancestors(visit).take(far).any(|nearer| nearer.service == service)
    };
    evidence.ancestors(visit).take(FAR).enumerate().filter(move |(far, way)| !nearer(*far, way.service)).map(|(_, way)| way.service)
}

/// Attributes of the resources in which strikes happened, where several services share them. Exposed are all visits with one, of
/// services that were struck; all visits of all services say how it is without.
fn resources(traces: &Traces, evidence: &Evidence, left: &[Strike], struck: &FxHashMap<u32, Vec<u32>>) -> Vec<Common> {
    let resource = |visit: u32| traces.spans()[evidence.visits[visit as usize].span as usize].resource as usize;
    let attributes: Vec<Vec<(Text, Text)>> = traces.resources.iter().map(|resource| distinct(&resource.attributes)).collect();
    let mut hits: FxHashMap<(Text, Text), Vec<u32>> = FxHashMap::default();
    for (at, strike) in left.iter().enumerate() {
        for attribute in &attributes[resource(strike.visit)] {
            hits.entry(*attribute).or_default().push(at as u32);
        }
    }
    let mut visits = vec![0_u64; traces.resources.len()];
    (0..evidence.visits.len() as u32).for_each(|visit| visits[resource(visit)] += 1);
    let mut of_struck = vec![0_u64; traces.resources.len()];
    for visit in struck.keys().flat_map(|service| evidence.by_service.of(*service)) {
        of_struck[resource(*visit)] += 1;
    }
    // Of struck services, and of all.
    let mut exposed: FxHashMap<(Text, Text), (u64, u64)> = FxHashMap::default();
    for (attributes, counts) in attributes.iter().zip(of_struck.iter().zip(&visits)) {
        for attribute in attributes.iter().filter(|attribute| hits.contains_key(attribute)) {
            let exposed = exposed.entry(*attribute).or_default();
            (exposed.0, exposed.1) = (exposed.0 + counts.0, exposed.1 + counts.1);
        }
    }
    let all = evidence.visits.len() as u64;
    let common = |((key, value), hits): ((Text, Text), Vec<u32>)| {
        let (struck, (exposed, with)) = (hits.len() as u64, exposed[&(key, value)]);
        let contrast = contrast((struck, with), (left.len() as u64 - struck, all - with));
        let contrast = contrast - (evidence.services.len() as f64).ln() - SIMPLER;
        Common { subject: Subject::Resource(key, value), hits, exposed, contrast }
    };
    hits.into_iter().map(common).collect()
}

fn distinct(attributes: &[(Text, Text)]) -> Vec<(Text, Text)> {
    let mut distinct = attributes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}
