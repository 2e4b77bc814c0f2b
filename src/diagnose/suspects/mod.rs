//! From evidence to suspects: who explains what was slow or failed, and by which cause.
//!
//! `typical` says what a place usually takes, `strikes` what went beyond it or failed, `explain` which few services, pairs or
//! attributes account for the strikes. What kind of fault it is, each of `features` (a customer, a version, a service passed
//! before), `era` (a part of the time), `busy` (contention), `calls` (many small ones) and `lost_context` asks on its own.
//! `confidence` says how sure that is, `words` says it to a person.

mod baseline;
mod busy;
mod calls;
mod confidence;
mod era;
mod explain;
mod features;
mod lost_context;
mod stats;
mod strikes;
mod typical;
mod words;

use rustc_hash::{FxHashMap, FxHashSet};

use super::effect::{self, effect};
use super::evidence::{Evidence, NONE, Outcome, Place, Visit};
use super::figures::counted;
use super::model::{TraceId, Traces};
use super::{Attribute, Charge, Diagnosis, Options, Suspect, SuspectCause};
use baseline::Cell;
pub use confidence::{Class, Strength};
use explain::{Explanation, Subject};
use features::{Feature, Found};
use strikes::{Strike, Strikes};

/// Fewer traces than this are hardly a sample.
const FEW_TRACES: u64 = 20;
/// So many example traces are shown.
const EXAMPLES: usize = 3;
/// So many services that make many calls are suspected at most, and so many that drop the context.
const MOST_COUNTED: usize = 3;
/// What is more likely wrong than right is not worth a reader's time.
const LEAST_CONFIDENCE: f64 = 0.5;
/// Nothing is surer that may as well be something else.
const EITHER: f64 = 0.5;
/// Struck on this share of its visits, a service is slow on all of them rather than on some.
const ALWAYS: f64 = 0.5;
/// Where fewer of a service's slow requests than this share began while no other one lasted, it stood still as a whole …
const ALONE: f64 = 0.5;
/// … and where so many others did now and then, that was the machine's doing.
const OTHERS_PAUSE: usize = 5;
/// Where a smaller share of the traces fail, nobody need be suspected of it.
const MANY_FAILED: f64 = 0.01;
/// So many times the evidence is the better explanation.
const MUCH: f64 = 5.0;
/// Nats; failures that the baseline explains nearly as well are not new.
const NEW: f64 = 5.0;

/// See [`super::diagnose`].
pub fn diagnose(traces: &Traces, baseline: Option<&Traces>, options: &Options) -> Diagnosis {
    let evidence = Evidence::gather(traces, options.rule);
    let before = baseline.map(|traces| (traces, Evidence::gather(traces, options.rule)));
    let before = before.as_ref().map(|(traces, evidence)| Before::new(traces, evidence));
    let case = Case::new(traces, &evidence, before.as_ref());
    let mut findings = case.findings(before.as_ref());
    findings.retain(|finding| finding.confidence() >= LEAST_CONFIDENCE);
    let ranking = match &before {
        None => case.ranking(&findings),
        Some(before) => case.ranking_since(before),
    };
    let outcomes: Vec<effect::Outcome> =
        evidence.traces.iter().map(|trace| effect::Outcome { duration: trace.duration, failed: trace.failed }).collect();
    let suspects: Vec<Suspect> = findings.into_iter().map(|finding| case.suspect(finding, &outcomes)).collect();
    let mut notes = evidence.repairs.notes();
    notes.extend(thin(traces, &evidence));
    match &before {
        Some(before) => notes.extend(before.strangers(&case)),
        None => notes.extend(everywhere(&evidence, &suspects)),
    }
    Diagnosis { suspects, ranking, notes }
}

/// What a reader should know where there is too little to compare.
fn thin(traces: &Traces, evidence: &Evidence) -> Option<String> {
    let count = traces.len() as u64;
    match (count, evidence.services.len()) {
        (0, _) => Some("there is no trace to diagnose".to_owned()),
        (..FEW_TRACES, _) => {
            let verb = if count == 1 { "is" } else { "are" };
            Some(format!("{} {verb} too few to compare; some dozens say more", counted(count, "trace")))
        }
        (_, 1) => Some("all spans are of one service, so its times have no others to compare them with".to_owned()),
        _ if evidence.traces.iter().all(|trace| trace.duration == 0) => Some("no trace took any time".to_owned()),
        _ => None,
    }
}

/// What a reader should know where many traces fail and nobody is suspected of it.
fn everywhere(evidence: &Evidence, suspects: &[Suspect]) -> Option<String> {
    let failed = evidence.traces.iter().filter(|trace| trace.failed).count();
    let suspected = suspects.iter().any(|suspect| suspect.charged.iter().any(|charge| charge.failed));
    if suspected || (failed as f64) < MANY_FAILED * evidence.traces.len() as f64 {
        return None;
    }
    let origins = evidence.visits.iter().filter(|visit| visit.outcome == Outcome::Origin).map(|visit| visit.service);
    let services = origins.collect::<FxHashSet<u32>>().len() as u64;
    let traces = counted(failed as u64, "trace");
    (services > 1).then(|| format!("{traces} failed, beginning in {}, none of which stands out", counted(services, "service")))
}

/// Every suspect however unlikely, with what its confidence is reckoned from: for fitting that.
pub fn judged(traces: &Traces, options: &Options) -> Vec<(Suspect, Strength)> {
    let evidence = Evidence::gather(traces, options.rule);
    let case = Case::new(traces, &evidence, None);
    case.findings(None)
        .into_iter()
        .map(|finding| (finding.strength, finding))
        .map(|(strength, finding)| (case.suspect(finding, &[]), strength))
        .collect()
}

/// All that is known, while suspects are looked for.
struct Case<'a> {
    traces: &'a Traces,
    evidence: &'a Evidence,
    strikes: Strikes,
}

/// What the baseline says.
struct Before<'a> {
    cells: FxHashMap<Cell<'a>, Vec<f64>>,
    /// Failures that began in each service, and its visits, by name.
    failures: FxHashMap<&'a str, (u64, u64)>,
    /// How many calls of a visit each service made that made many, by name.
    many_calls: FxHashMap<&'a str, f64>,
    /// Services that dropped the context, by name.
    lost_context: FxHashSet<&'a str>,
}

impl<'a> Before<'a> {
    fn new(traces: &'a Traces, evidence: &Evidence) -> Self {
        let name = |service: u32| traces.texts.get(evidence.services[service as usize]);
        let failures = (0..evidence.services.len() as u32).map(|service| {
            let failed = evidence.visits_of(service).filter(|visit| visit.outcome == Outcome::Origin).count();
            (name(service), (failed as u64, evidence.visits_of(service).len() as u64))
        });
        Self {
            cells: baseline::cells(traces, evidence),
            failures: failures.collect(),
            many_calls: calls::find(traces, evidence).into_iter().map(|many| (name(many.service), many.calls)).collect(),
            lost_context: lost_context::find(traces, evidence).into_iter().map(|lost| name(lost.service)).collect(),
        }
    }

    /// What to say of services that the baseline does not know.
    fn strangers(&self, case: &Case<'_>) -> Option<String> {
        let services = 0..case.evidence.services.len() as u32;
        let unknown = services.filter(|service| !self.failures.contains_key(case.name(*service))).count() as u64;
        (unknown > 0).then(|| format!("{} not in the baseline, judged by the others", counted(unknown, "service")))
    }
}

/// A suspect in the making.
#[derive(Debug)]
pub(super) struct Finding {
    pub cause: SuspectCause,
    pub service: Option<u32>,
    pub callee: Option<u32>,
    pub attribute: Option<Attribute>,
    pub strength: Strength,
    /// What was seen has another explanation that is as good, which a sentence gives.
    pub may_be_another: bool,
    pub sentences: Vec<String>,
    pub charged: Vec<Charge>,
    /// Traces, the clearest first, where charges do not say it.
    pub examples: Vec<u32>,
}

impl Finding {
    fn confidence(&self) -> f64 {
        let confidence = self.strength.confidence();
        if self.may_be_another { confidence.min(EITHER) } else { confidence }
    }
}

impl<'a> Case<'a> {
    fn new(traces: &'a Traces, evidence: &'a Evidence, before: Option<&Before<'_>>) -> Self {
        let strikes = match before {
            None => strikes::find(traces, evidence),
            Some(before) => {
                let name = |service: u32| traces.texts.get(evidence.services[service as usize]);
                let of = |cell: Cell<'_>| before.cells.get(&cell).cloned().unwrap_or_default();
                let cell = |place: &Place| Cell::Own(name(place.service), traces.texts.get(place.operation), place.again);
                let own = evidence.places.iter().map(|place| of(cell(place)));
                let between = evidence.pairs.iter().map(|(caller, callee)| of(Cell::Gap(name(*caller), name(*callee))));
                strikes::find_since(traces, evidence, &strikes::Past { own: own.collect(), between: between.collect() })
            }
        };
        Self { traces, evidence, strikes }
    }

    /// Everything that may be wrong, the most certain first.
    fn findings(&self, before: Option<&Before<'_>>) -> Vec<Finding> {
        let Self { traces, evidence, strikes } = self;
        let mut findings: Vec<Finding> = Vec::new();
        let mut lost = lost_context::find(traces, evidence);
        lost.retain(|lost| before.is_none_or(|before| !before.lost_context.contains(self.name(lost.service))));
        lost.truncate(MOST_COUNTED);
        // Calls that are answered in traces of their own are not calls to a database.
        let mut many = calls::find(traces, evidence);
        many.retain(|many| lost.iter().all(|lost| lost.service != many.service));
        let usual = |many: &calls::ManyCalls| {
            before.and_then(|before| before.many_calls.get(self.name(many.service))).is_some_and(|calls| many.is_usual(*calls))
        };
        many.retain(|many| !usual(many));
        many.truncate(MOST_COUNTED);
        // Either takes time, which then is no fault of its own.
        let slow: Vec<Strike> = strikes
            .slow
            .iter()
            .filter(|strike| {
                let service = evidence.visits[strike.visit as usize].service;
                many.iter().all(|many| many.service != service) && lost.iter().all(|lost| lost.service != service)
            })
            .copied()
            .collect();
        findings.extend(many.into_iter().map(|many| self.many_calls(many)));
        // Where a trace begins for want of a context, a refusal that its caller gets over looks like a failure of everything.
        let loose = |strike: &&Strike| {
            let visit = &evidence.visits[strike.visit as usize];
            visit.parent == NONE && lost.iter().any(|lost| lost.callees.contains(&visit.service))
        };
        let failed: Vec<Strike> = strikes.failed.iter().filter(|strike| !loose(strike)).copied().collect();
        findings.extend(lost.into_iter().map(|lost| self.lost_context(lost)));
        let explained = explain::visits(traces, evidence, &slow).into_iter();
        findings.extend(explained.filter_map(|found| {
            let pauses = self.pauses(&found, &slow);
            Some(self.slow(found)).filter(|finding| finding.cause != SuspectCause::RareSleep || !pauses)
        }));
        let failed = explain::visits(traces, evidence, &failed);
        for found in failed.into_iter().filter(|found| self.is_new(found, before)) {
            self.add_failure(found, &mut findings);
        }
        // A network that is slow is slow for most calls; a few late ones come of a machine that is busy.
        let gaps = explain::gaps(evidence, &strikes.gaps).into_iter();
        let gaps = gaps.filter(|found| found.strikes.len() as f64 >= explain::COMMON * found.exposed as f64);
        gaps.for_each(|found| self.add_gap(found, &mut findings));
        findings
            .sort_by(|a, b| b.confidence().total_cmp(&a.confidence()).then(b.strength.evidence.total_cmp(&a.strength.evidence)));
        findings
    }

    /// What is slow: always, for some, when busy, after somebody else, or now and then.
    fn slow(&self, found: Explanation) -> Finding {
        let mut finding = self.place(&found, SuspectCause::RareSleep, Class::Rarely);
        let Subject::Service(service) = found.subject else { return finding };
        finding.sentences.push(words::how_slow(&found, self.evidence, &self.strikes));
        let behind = words::waits_for(&found, self.evidence, self.traces);
        let era = self.era(service, &found.strikes);
        finding.sentences.extend(era.as_ref().map(words::era));
        // What happens to all requests of an hour is not rare because other hours were looked at too.
        let share = found.strikes.len() as f64 / found.exposed.max(1) as f64;
        let share = era.map_or(share, |era| era.share());
        let telling = self.telling(service, &found.strikes);
        let said = self.said(service, &found.strikes);
        let queue = || self.queue(service, &found.strikes, era.as_ref()).filter(|_| share >= ALWAYS / 2.0);
        let queues = said.as_ref().is_some_and(|(said, _)| features::is_queued(&said.key, &said.value));
        if let Some(telling) = telling.filter(|telling| !matches!(telling.feature, Feature::Place(_))) {
            self.tell(&mut finding, telling, service);
        } else if let Some(queue) = queue().map(Some).or_else(|| queues.then_some(None)) {
            finding.cause = SuspectCause::Contention;
            finding.strength.class = Class::Busy;
            finding.sentences.extend(queue.as_ref().map(words::queue));
        } else if share_where(&telling).unwrap_or(share) >= ALWAYS {
            finding.cause = SuspectCause::Sleep;
            finding.strength.class = Class::Always;
        }
        if let Some(telling) = telling.filter(|telling| matches!(telling.feature, Feature::Place(_))) {
            self.tell(&mut finding, telling, service);
        }
        finding.sentences.extend(said.map(|(said, found)| words::attribute(&found, &said)));
        finding.sentences.extend(words::no_calls(&found, self.evidence));
        if let Some(behind) = behind {
            finding.may_be_another = matches!(finding.cause, SuspectCause::Sleep | SuspectCause::RareSleep);
            finding.sentences.insert(usize::from(!finding.may_be_another), behind);
        }
        finding
    }

    /// Whether all of a service stood still now and then, its requests several at once, and so did others: they wait for a machine
    /// that is busy. Who sleeps on a few requests sleeps on one at a time.
    fn pauses(&self, found: &Explanation, slow: &[Strike]) -> bool {
        let Subject::Service(service) = found.subject else { return false };
        let visit = |strike: &Strike| &self.evidence.visits[strike.visit as usize];
        let span = |strike: &Strike| &self.traces.spans()[visit(strike).span as usize];
        let mut times: Vec<(u64, u64)> = found.strikes.iter().map(|strike| (span(strike).start, span(strike).end)).collect();
        times.sort_unstable();
        let mut until = 0;
        let pauses = times.iter().filter(|(start, end)| {
            let begins = *start >= until;
            until = until.max(*end);
            begins
        });
        if pauses.count() as f64 > ALONE * times.len() as f64 {
            return false;
        }
        let mut excesses: Vec<f64> = found.strikes.iter().map(|strike| strike.excess as f64).collect();
        let size = stats::median(&mut excesses) / 2.0;
        let mut others: FxHashMap<u32, usize> = FxHashMap::default();
        for strike in slow.iter().filter(|strike| strike.excess as f64 >= size && visit(strike).service != service) {
            *others.entry(visit(strike).service).or_default() += 1;
        }
        let seldom = |(service, strikes): &(&u32, &usize)| {
            **strikes > 1 && (**strikes as f64) < ALWAYS / 2.0 * self.evidence.by_service.of(**service).len() as f64
        };
        others.iter().filter(seldom).count() >= OTHERS_PAUSE
    }

    /// Whether more fails than did before.
    fn is_new(&self, found: &Explanation, before: Option<&Before<'_>>) -> bool {
        let (Some(before), Subject::Service(service)) = (before, found.subject) else { return true };
        let Some((failed, all)) = before.failures.get(self.name(service)).copied() else { return true };
        let usual = (failed as f64 + 0.5) / (all as f64 + 1.0);
        stats::evidence(found.strikes.len() as u64, found.exposed, usual) >= NEW
    }

    /// What fails; a service that is slow as well is one suspect, not two.
    fn add_failure(&self, found: Explanation, findings: &mut Vec<Finding>) {
        let mut finding = self.place(&found, SuspectCause::Failure, Class::Failure);
        if let Subject::Service(service) = found.subject {
            finding.sentences.push(words::failures(found.strikes.len() as u64, found.exposed, self.evidence));
            finding.sentences.extend(self.era(service, &found.strikes).as_ref().map(words::era));
            if let Some(telling) = self.telling(service, &found.strikes) {
                self.tell(&mut finding, telling, service);
            }
            let said = self.said(service, &found.strikes);
            finding.sentences.extend(said.map(|(said, found)| words::attribute(&found, &said)));
        }
        let same = findings.iter_mut().find(|other| {
            let counted = matches!(other.cause, SuspectCause::LostContext | SuspectCause::Redis | SuspectCause::ManyCalls);
            other.service == finding.service && other.service.is_some() && !counted
        });
        match same {
            // A few slow requests of a service that fails often are no reason to speak of slowness.
            Some(other) if finding.strength.evidence > MUCH * other.strength.evidence => *other = finding,
            Some(other) => {
                if other.attribute.is_none() && finding.attribute.is_some() {
                    (other.cause, other.attribute, other.strength) = (finding.cause, finding.attribute, finding.strength);
                    other.may_be_another = false;
                }
                other.sentences.append(&mut finding.sentences);
                other.charged = merge(std::mem::take(&mut other.charged), finding.charged);
            }
            None => findings.push(finding),
        }
    }

    /// What is late; around a service that is slow itself that is the same fault: what is starved is slow inside and out.
    fn add_gap(&self, found: Explanation, findings: &mut Vec<Finding>) {
        let mut finding = self.place(&found, SuspectCause::Network, Class::Gap);
        finding.sentences.push(words::gap(&found, self.evidence, &self.strikes));
        if let Subject::Around(service) = found.subject
            && self.evidence.visits_of(service).count() as f64 > explain::EVERYBODY * self.evidence.traces.len() as f64
        {
            // There is nobody beside it to compare it with: a way in that is starved is as late with all it calls.
            finding.may_be_another = true;
            finding.sentences.push("nearly every request passes it: it, or its machine, may just have too much to do".to_owned());
        }
        let is_slow = |other: &&mut Finding| {
            matches!(other.cause, SuspectCause::Sleep | SuspectCause::RareSleep | SuspectCause::Contention)
                && other.service == finding.service
        };
        match findings.iter_mut().find(is_slow).filter(|_| matches!(found.subject, Subject::Around(_))) {
            Some(slow) => {
                slow.sentences.append(&mut finding.sentences);
                slow.charged = merge(std::mem::take(&mut slow.charged), finding.charged);
            }
            None => findings.push(finding),
        }
    }

    fn many_calls(&self, many: calls::ManyCalls) -> Finding {
        let system = many.system.map(|system| self.traces.texts.get(system));
        let cause = if system == Some("redis") { SuspectCause::Redis } else { SuspectCause::ManyCalls };
        let visits = self.evidence.visits_of(many.service);
        // One of them would be left.
        let saved = |visit: &Visit| ((many.calls - 1.0) / f64::from(visit.calls.max(1))).clamp(0.0, 1.0);
        let kept = |visit: &Visit| (visit.calls_out as f64 * saved(visit)) as u64;
        let charged = visits
            .map(|visit| Charge { trace: visit.trace, excess: kept(visit), failed: false })
            .filter(|charge| charge.excess > 0);
        Finding {
            cause,
            service: Some(many.service),
            callee: None,
            attribute: None,
            strength: Strength::of_many_calls(&many),
            may_be_another: false,
            sentences: vec![words::many_calls(&many, self.traces)],
            charged: merge(charged.collect(), Vec::new()),
            examples: Vec::new(),
        }
    }

    fn lost_context(&self, lost: lost_context::LostContext) -> Finding {
        let callees: Vec<&str> = lost.callees.iter().map(|callee| self.name(*callee)).collect();
        Finding {
            cause: SuspectCause::LostContext,
            service: Some(lost.service),
            callee: None,
            attribute: None,
            strength: Strength::of_lost_context(&lost),
            may_be_another: false,
            sentences: vec![words::lost_context(&lost, &callees)],
            charged: Vec::new(),
            examples: lost.examples.iter().map(|(trace, _)| *trace).collect(),
        }
    }

    /// Where it is, whatever it is.
    fn place(&self, found: &Explanation, cause: SuspectCause, class: Class) -> Finding {
        let (mut service, mut callee, mut attribute) = (None, None, None);
        let (mut cause, mut class) = (cause, class);
        let common = if class == Class::Failure { Class::CommonFailure } else { Class::Common };
        let mut sentences = Vec::new();
        match found.subject {
            Subject::Service(one) | Subject::Around(one) => service = Some(one),
            Subject::Passed(one) => {
                service = Some(one);
                (cause, class) = (SuspectCause::Upstream, common);
                sentences.push(words::common(found, self.evidence, "that had passed it went wrong later"));
            }
            Subject::Resource(key, value) => {
                (cause, class) = (SuspectCause::Attribute, common);
                attribute = Some(self.attribute(key, value));
                sentences.push(words::common(found, self.evidence, "with it went wrong"));
            }
            Subject::Pair(pair) => {
                let (caller, called) = self.evidence.pairs[pair as usize];
                (service, callee) = (Some(caller), Some(called));
            }
        }
        let charged = found.strikes.iter().map(|strike| {
            let visit = &self.evidence.visits[strike.visit as usize];
            Charge { trace: visit.trace, excess: strike.cost, failed: strike.excess == 0 && visit.outcome == Outcome::Origin }
        });
        let charged = merge(charged.collect(), Vec::new());
        Finding {
            cause,
            service,
            callee,
            attribute,
            strength: Strength::of(class, found, self.strikes.own.peers),
            may_be_another: false,
            sentences,
            charged,
            examples: Vec::new(),
        }
    }

    fn telling(&self, service: u32, strikes: &[Strike]) -> Option<Found> {
        features::telling(self.traces, self.evidence, service, &visits(strikes))
    }

    fn said(&self, service: u32, strikes: &[Strike]) -> Option<(Attribute, Found)> {
        let found = features::said(self.traces, self.evidence, service, &visits(strikes))?;
        let Feature::Attribute(key, value) = found.feature else { return None };
        Some((self.attribute(key, value), found))
    }

    fn era(&self, service: u32, strikes: &[Strike]) -> Option<era::Era> {
        era::find(self.traces, self.evidence, service, &visits(strikes))
    }

    fn queue(&self, service: u32, strikes: &[Strike], era: Option<&era::Era>) -> Option<busy::Queue> {
        busy::queue(self.traces, self.evidence, service, &visits(strikes), era)
    }

    /// Narrows a finding to what tells its struck visits from the others.
    fn tell(&self, finding: &mut Finding, found: Found, service: u32) {
        finding.strength.telling = found.evidence;
        match found.feature {
            Feature::Place(place) => {
                let visits = self.evidence.by_place.of(place);
                let place = &self.evidence.places[place as usize];
                let role = words::role(place, self.traces, self.evidence, visits);
                finding.sentences.push(words::operation(&found, self.traces.texts.get(place.operation), role.as_deref()));
            }
            Feature::Attribute(key, value) => {
                let attribute = self.attribute(key, value);
                finding.sentences.push(words::attribute(&found, &attribute));
                let customer = features::is_customer(&attribute.key);
                finding.cause = if customer { SuspectCause::Customer } else { SuspectCause::Attribute };
                finding.attribute = Some(attribute);
                finding.strength.class = Class::Told;
            }
            Feature::Passed(before) => {
                finding.sentences.push(words::passed_before(&found, self.name(service), self.name(before)));
                finding.cause = SuspectCause::Upstream;
                finding.strength.class = Class::Passed;
                finding.service = Some(before);
            }
        }
    }

    fn attribute(&self, key: super::model::Text, value: super::model::Text) -> Attribute {
        let text = |text| self.traces.texts.get(text).to_owned();
        Attribute { key: text(key), value: text(value) }
    }

    fn name(&self, service: u32) -> &str {
        self.traces.texts.get(self.evidence.services[service as usize])
    }

    fn suspect(&self, finding: Finding, outcomes: &[effect::Outcome]) -> Suspect {
        let confidence = finding.confidence();
        let Finding { cause, service, callee, attribute, sentences, charged, examples, .. } = finding;
        let name = |service: Option<u32>| service.map(|service| self.name(service).to_owned());
        let examples = if examples.is_empty() { clearest(&charged) } else { examples };
        Suspect {
            cause,
            service: name(service),
            callee: name(callee),
            attribute,
            confidence,
            effect: effect(outcomes, &charged),
            evidence: sentences,
            examples: examples.into_iter().take(EXAMPLES).map(|trace| self.traces.id(trace as usize)).collect::<Vec<TraceId>>(),
            charged,
        }
    }

    /// Every service, those of the suspects first.
    fn ranking(&self, findings: &[Finding]) -> Vec<(String, f64)> {
        let mut scores: Vec<f64> = vec![0.0; self.evidence.services.len()];
        for strike in &self.strikes.slow {
            scores[self.evidence.visits[strike.visit as usize].service as usize] += strike.excess as f64;
        }
        let most = scores.iter().copied().fold(1.0, f64::max);
        for score in &mut scores {
            *score /= most;
        }
        for finding in findings {
            for service in [finding.service, finding.callee].into_iter().flatten() {
                let score = &mut scores[service as usize];
                *score = score.max(1.0 + finding.confidence());
            }
        }
        let mut ranking: Vec<(String, f64)> =
            scores.into_iter().enumerate().map(|(service, score)| (self.name(service as u32).to_owned(), score)).collect();
        ranking.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ranking
    }

    /// Every service by how much worse it has become.
    fn ranking_since(&self, before: &Before<'_>) -> Vec<(String, f64)> {
        let scores = baseline::scores(&baseline::cells(self.traces, self.evidence), &before.cells, strikes::least(self.evidence));
        let services = (0..self.evidence.services.len() as u32).map(|service| self.name(service));
        let mut ranking: Vec<(String, f64)> =
            services.map(|name| (name.to_owned(), scores.get(name).copied().unwrap_or(0.0))).collect();
        ranking.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ranking
    }
}

fn visits(strikes: &[Strike]) -> FxHashSet<u32> {
    strikes.iter().map(|strike| strike.visit).collect()
}

/// The share that is struck of those that have a feature.
fn share_where(found: &Option<Found>) -> Option<f64> {
    found.as_ref().map(|found| found.with.0 as f64 / found.with.1.max(1) as f64)
}

/// One charge a trace, by trace.
fn merge(mut charges: Vec<Charge>, more: Vec<Charge>) -> Vec<Charge> {
    charges.extend(more);
    let mut by_trace: FxHashMap<u32, Charge> = FxHashMap::default();
    for charge in charges {
        let known = by_trace.entry(charge.trace).or_insert(Charge { excess: 0, failed: false, ..charge });
        known.excess = known.excess.saturating_add(charge.excess);
        known.failed |= charge.failed;
    }
    let mut merged: Vec<Charge> = by_trace.into_values().collect();
    merged.sort_unstable_by_key(|charge| charge.trace);
    merged
}

/// The traces with the largest charges.
fn clearest(charges: &[Charge]) -> Vec<u32> {
    let mut charges: Vec<&Charge> = charges.iter().collect();
    charges.sort_by_key(|charge| (std::cmp::Reverse((charge.excess, charge.failed)), charge.trace));
    charges.into_iter().take(EXAMPLES).map(|charge| charge.trace).collect()
}

#[cfg(test)]
mod tests;
