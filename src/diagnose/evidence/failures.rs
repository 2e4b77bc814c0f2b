//! Where failures begin: the deepest visit that failed by itself.
//!
//! A failure counts only where it reaches the root of its trace: what was tried again with success, or fell back to something else,
//! did no harm. Of several children that failed the last one is what a span failed of; it got over the others.

use super::{Evidence, NONE, Outcome};
use crate::diagnose::model::{Parent, Span, Status, Traces};

/// Sets the outcome of every visit and trace.
pub(super) fn mark(traces: &Traces, evidence: &mut Evidence) {
    let mut ways = Ways::default();
    for trace in 0..traces.len() {
        let spans = traces.of(trace);
        if spans.iter().all(|span| span.status != Status::Error) {
            continue;
        }
        ways.follow(spans);
        let first = traces.range(trace).start;
        let begin = evidence.traces[trace].first_visit as usize;
        let end = evidence.traces.get(trace + 1).map_or(evidence.visits.len(), |next| next.first_visit as usize);
        // A visit comes after the one that called it, so going backwards each is judged before its caller.
        for at in (begin..end).rev() {
            let visit = evidence.visits[at];
            if !ways.reaches[visit.span as usize - first] {
                continue;
            }
            if visit.outcome == Outcome::Fine {
                evidence.visits[at].outcome = Outcome::Origin;
            }
            match visit.parent {
                NONE => evidence.traces[trace].failed = true,
                parent => evidence.visits[parent as usize].outcome = Outcome::PassedOn,
            }
        }
    }
}

/// From the roots of a trace down to where their failures begin.
#[derive(Default)]
struct Ways {
    /// The child that each failed span failed of, by number.
    failed_of: Vec<u32>,
    /// Whether a span's failure made a root fail.
    reaches: Vec<bool>,
}

impl Ways {
    fn follow(&mut self, spans: &[Span]) {
        self.failed_of.clear();
        self.failed_of.resize(spans.len(), NONE);
        self.reaches.clear();
        self.reaches.resize(spans.len(), false);
        for (at, span) in spans.iter().enumerate().filter(|(_, span)| span.status == Status::Error) {
            let Parent::Span(parent) = span.parent else { continue };
            let known = &mut self.failed_of[parent as usize];
            if *known == NONE || spans[*known as usize].end <= span.end {
                *known = at as u32;
            }
        }
        for (root, span) in spans.iter().enumerate() {
            let is_root = !matches!(span.parent, Parent::Span(_));
            let mut at = root as u32;
            while is_root && at != NONE && spans[at as usize].status == Status::Error {
                self.reaches[at as usize] = true;
                at = self.failed_of[at as usize];
            }
        }
    }
}
