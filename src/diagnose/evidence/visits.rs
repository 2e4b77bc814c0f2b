//! Cuts traces into visits, and charges each moment to a visit or to the gap between two.

use super::path::{Own, Paths};
use super::{Evidence, Gap, NONE, Numbers, Place, Trace, Visit};
use crate::diagnose::critical_path::Rule;
use crate::diagnose::model::{Kind, Parent, Span, Text, Traces};

/// So many visits are asked whether the request was in a service before: those that call each other in turn may be thousands.
const FAR: usize = 64;

/// All but who failed and the indexes.
pub(super) fn gather(traces: &Traces, rule: Rule) -> Evidence {
    let mut gatherer = Gatherer { paths: Paths::new(traces, rule), ..Gatherer::default() };
    let service_names: Vec<Text> = traces.resources.iter().map(|resource| resource.service).collect();
    gatherer.resources =
        service_names.into_iter().map(|name| gatherer.numbers.services.of(name, &mut gatherer.evidence.services)).collect();
    gatherer.evidence.traces.reserve_exact(traces.len());
    for trace in 0..traces.len() {
        gatherer.trace(trace as u32, traces.range(trace).start as u32, traces.of(trace));
    }
    let coarse = (0..traces.resources.len() as u32).map(|resource| gatherer.paths.clocks.is_coarse(resource)).collect();
    Evidence { repairs: gatherer.paths.repairs, coarse, ..gatherer.evidence }
}

#[derive(Default)]
struct Gatherer {
    evidence: Evidence,
    numbers: AllNumbers,
    /// The service of each resource.
    resources: Vec<u32>,
    paths: Paths,
    /// Of the spans of the trace at hand: the visit, and what else is to know before time can be charged.
    visit: Vec<u32>,
    children: Vec<Children>,
    way: Vec<u32>,
}

#[derive(Default)]
struct AllNumbers {
    services: Numbers<Text>,
    places: Numbers<Place>,
    pairs: Numbers<(u32, u32)>,
}

/// What is below a span.
#[derive(Clone, Copy, Default)]
struct Children {
    count: u32,
    /// How many of them are visits of their own, and one of these.
    remote: u32,
    visit: u32,
}

impl Gatherer {
    fn trace(&mut self, trace: u32, first: u32, spans: &[Span]) {
        let first_visit = self.evidence.visits.len() as u32;
        self.visit.clear();
        self.visit.resize(spans.len(), NONE);
        for at in 0..spans.len() as u32 {
            self.place(trace, first, spans, at);
        }
        self.count_children(spans);
        self.paths.walk(spans);
        for at in 0..spans.len() {
            self.charge(first, spans, at);
        }
        let roots = spans.iter().filter(|span| !matches!(span.parent, Parent::Span(_)));
        let duration = roots.map(Span::duration).max().unwrap_or(0);
        self.evidence.traces.push(Trace { duration, failed: false, first_visit });
    }

    /// Finds the visit of a span, and of the spans above it where they are not known yet: a parent may come after its child where
    /// clocks differ.
    fn place(&mut self, trace: u32, first: u32, spans: &[Span], at: u32) {
        let mut at = at;
        self.way.clear();
        while self.visit[at as usize] == NONE {
            self.way.push(at);
            match spans[at as usize].parent {
                Parent::Span(parent) => at = parent,
                Parent::Root | Parent::Missing => break,
            }
        }
        while let Some(at) = self.way.pop() {
            let span = &spans[at as usize];
            let parent = match span.parent {
                Parent::Span(parent) => Some(parent as usize),
                Parent::Root | Parent::Missing => None,
            };
            let visit = match parent {
                Some(parent) if self.is_one_visit(&spans[parent], span) => self.visit[parent],
                _ => {
                    let service = self.resources[span.resource as usize];
                    let parent = parent.map_or(NONE, |parent| self.visit[parent]);
                    let again = self.passed(parent).any(|visit| visit.service == service);
                    let Evidence { visits, places, .. } = &mut self.evidence;
                    let place = self.numbers.places.of(Place { service, operation: span.operation, again }, places);
                    let span = first + at;
                    visits.push(Visit { trace, span, parent, service, place, ..Visit::NEW });
                    visits.len() as u32 - 1
                }
            };
            self.visit[at as usize] = visit;
        }
    }

    /// A visit and those before it, as far as one may have to look.
    fn passed(&self, visit: u32) -> impl Iterator<Item = &Visit> {
        let at = |index: u32| self.evidence.visits.get(index as usize);
        std::iter::successors(at(visit), move |visit| at(visit.parent)).take(FAR)
    }

    /// Whether parent and child belong to one request in one service; a service that calls itself is visited twice.
    fn is_one_visit(&self, parent: &Span, child: &Span) -> bool {
        let service = |span: &Span| self.resources[span.resource as usize];
        service(parent) == service(child) && !(parent.kind == Kind::Client && child.kind == Kind::Server)
    }

    fn count_children(&mut self, spans: &[Span]) {
        self.children.clear();
        self.children.resize(spans.len(), Children::default());
        for (at, span) in spans.iter().enumerate() {
            if let Parent::Span(parent) = span.parent {
                let children = &mut self.children[parent as usize];
                children.count += 1;
                if self.visit[at] != self.visit[parent as usize] {
                    children.remote += 1;
                    children.visit = self.visit[at];
                }
            }
        }
    }

    /// Charges a span's own time to its visit or to a gap.
    fn charge(&mut self, first: u32, spans: &[Span], at: usize) {
        let (Own { time, beside, on_path }, index) = (self.paths.own(at), self.visit[at]);
        let children = self.children[at];
        let visits = &mut self.evidence.visits;
        let inner = visits[index as usize].span != first + at as u32;
        match waits(&spans[at], inner, children) {
            waits @ (Waits::No | Waits::Unanswered) => {
                let visit = &mut visits[index as usize];
                // What runs at once takes time once, and never more than the visit lasted.
                let alone = if inner { time.saturating_sub(beside) } else { time };
                visit.own = visit.own.saturating_add(alone).min(spans[visit.span as usize - first as usize].duration());
                visit.on_path += on_path;
                if matches!(waits, Waits::Unanswered) {
                    visit.calls_out += on_path;
                    visit.calls += 1;
                    visit.call = first + at as u32;
                    self.evidence.unanswered.push((index, first + at as u32));
                }
            }
            Waits::Answered => {
                let (caller, callee) = (index, children.visit);
                let ends = (visits[caller as usize].service, visits[callee as usize].service);
                let pair = self.numbers.pairs.of(ends, &mut self.evidence.pairs);
                self.evidence.gaps.push(Gap { caller, callee, pair, time, on_path });
            }
        }
    }
}

/// Whether a span does nothing but wait for somebody else.
enum Waits {
    No,
    /// For something that sends no spans.
    Unanswered,
    /// For a service.
    Answered,
}

/// Kinds say it; without them it is an inner span of a visit that has nothing below it but one other service's span.
fn waits(span: &Span, inner: bool, children: Children) -> Waits {
    match (span.kind, children) {
        (Kind::Client | Kind::Unspecified, Children { count: 1, remote: 1, .. }) if inner || span.kind == Kind::Client => {
            Waits::Answered
        }
        (Kind::Client | Kind::Producer, Children { count: 0, .. }) => Waits::Unanswered,
        (Kind::Client, Children { remote: 1.., .. }) => Waits::Answered,
        _ => Waits::No,
    }
}
