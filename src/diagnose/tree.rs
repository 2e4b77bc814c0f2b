//! Which spans of a trace hang from which, in buffers that serve trace after trace.

use super::model::{Parent, Span};

const NONE: u32 = u32::MAX;

/// The children of every span of one trace.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    first: Vec<u32>,
    next: Vec<u32>,
}

impl Tree {
    /// Takes another trace's spans in place of the last one's.
    pub fn link(&mut self, spans: &[Span]) {
        self.first.clear();
        self.first.resize(spans.len(), NONE);
        self.next.clear();
        self.next.resize(spans.len(), NONE);
        for (at, span) in spans.iter().enumerate().rev() {
            if let Parent::Span(parent) = span.parent {
                let first = &mut self.first[parent as usize];
                self.next[at] = std::mem::replace(first, at as u32);
            }
        }
    }

    /// The children of a span, in the order of the spans.
    pub fn children(&self, span: u32) -> impl Iterator<Item = u32> + '_ {
        let found = |at: u32| (at != NONE).then_some(at);
        std::iter::successors(found(self.first[span as usize]), move |at| found(self.next[*at as usize]))
    }
}

/// The span that a trace is about: the longest of those without a parent; where every span has one that is missing, the longest of
/// those. Absent only where there are no spans.
pub fn main_root(spans: &[Span]) -> Option<u32> {
    let rank = |span: &Span| match span.parent {
        Parent::Root => Some((true, span.duration())),
        Parent::Missing => Some((false, span.duration())),
        Parent::Span(_) => None,
    };
    let mut best: Option<(u32, (bool, u64))> = None;
    for (at, span) in spans.iter().enumerate() {
        let Some(rank) = rank(span) else { continue };
        // Of equals the first, so that an answer does not change with what came later.
        if best.is_none_or(|(_, known)| rank > known) {
            best = Some((at as u32, rank));
        }
    }
    best.map(|(at, _)| at)
}
