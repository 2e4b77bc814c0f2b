//! Where failures begin: the deepest visit that failed by itself.
//!
//! A failure counts only where it reaches the root of its trace: what was tried again with success, or fell back to something else,
//! did no harm.

use super::{Evidence, NONE, Outcome};
use crate::diagnose::model::{Parent, Status, Traces};

pub(super) fn mark(traces: &Traces, evidence: &mut Evidence) {
    let mut reaches: Vec<Reach> = Vec::new();
    for trace in 0..traces.len() {
        let spans = traces.of(trace);
        if spans.iter().all(|span| span.status != Status::Error) {
            continue;
        }
        reaches.clear();
        reaches.resize(spans.len(), Reach::Unknown);
        for at in 0..spans.len() {
            reach(spans, &mut reaches, at);
        }
        let first = traces.range(trace).start;
        let begin = evidence.traces[trace].first_visit as usize;
        let end = evidence.traces.get(trace + 1).map_or(evidence.visits.len(), |next| next.first_visit as usize);
        // A visit comes after the one that called it, so going backwards each is judged before its caller.
        for at in (begin..end).rev() {
            let visit = evidence.visits[at];
            if reaches[visit.span as usize - first] != Reach::Root {
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Unknown,
    /// It and all spans above it failed.
    Root,
    /// It did not fail, or somebody above it did not.
    Nobody,
}

fn reach(spans: &[crate::diagnose::model::Span], reaches: &mut [Reach], start: usize) {
    let mut at = start;
    let found = loop {
        match (reaches[at], spans[at].status, spans[at].parent) {
            (Reach::Root, ..) => break Reach::Root,
            (Reach::Nobody, ..) => break Reach::Nobody,
            (_, status, _) if status != Status::Error => break Reach::Nobody,
            (_, _, Parent::Span(parent)) => at = parent as usize,
            _ => break Reach::Root,
        }
    };
    // Everything on the way failed, so it fares as the end of the way does.
    let mut at = start;
    while reaches[at] == Reach::Unknown {
        reaches[at] = found;
        match spans[at].parent {
            Parent::Span(parent) if spans[at].status == Status::Error => at = parent as usize,
            _ => break,
        }
    }
}
