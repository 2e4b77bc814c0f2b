//! Each span's own time, and how much of it is on the critical path of its trace; mended first where clocks differ or a parent did
//! not wait.

use crate::diagnose::critical_path::{Rule, Stretch, Walker, exclusive};
use crate::diagnose::model::{Parent, Span, Traces};
use crate::diagnose::repair::{Clocks, Mender, Repairs};

/// Nanoseconds of one span that none of its children account for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    /// What a caller that waits for it sees; 0 of a span that nobody waited for.
    pub time: u64,
    /// How long it lasted beside siblings that began before it: that time is theirs where a visit's own is added up.
    pub beside: u64,
    /// Of that, on the critical path.
    pub on_path: u64,
}

/// Goes through trace after trace without new memory for each.
#[derive(Default)]
pub(super) struct Paths {
    rule: Rule,
    pub clocks: Clocks,
    mender: Mender,
    walker: Walker,
    stretches: Vec<Stretch>,
    on_path: Vec<u64>,
    /// Until when the children of each span that came so far account for its time.
    accounted: Vec<u64>,
    own: Vec<Own>,
    pub repairs: Repairs,
}

impl Paths {
    pub fn new(traces: &Traces, rule: Rule) -> Self {
        Self { rule, clocks: Clocks::measure(traces), ..Self::default() }
    }

    /// Goes to another trace.
    pub fn walk(&mut self, spans: &[Span]) {
        let mended = self.mender.mend(spans, &self.clocks, &mut self.repairs);
        self.walker.walk(mended, self.rule, &mut self.stretches);
        self.on_path.clear();
        self.on_path.resize(spans.len(), 0);
        exclusive(&self.stretches, &mut self.on_path);
        self.own.clear();
        self.own.extend(mended.iter().zip(&self.on_path).map(|(span, on_path)| Own {
            time: span.duration(),
            beside: 0,
            on_path: *on_path,
        }));
        self.accounted.clear();
        self.accounted.extend(mended.iter().map(|span| span.start));
        for (at, (span, read)) in mended.iter().zip(spans).enumerate() {
            match span.parent {
                Parent::Span(parent) => {
                    let parent = parent as usize;
                    let from = span.start.max(self.accounted[parent]);
                    let until = span.end.min(mended[parent].end).max(from);
                    self.own[parent].time -= (until - from).min(self.own[parent].time);
                    self.accounted[parent] = until.max(self.accounted[parent]);
                    self.own[at].beside = span.duration() - (until - from).min(span.duration());
                }
                Parent::Missing if matches!(read.parent, Parent::Span(_)) => self.own[at].time = 0,
                Parent::Root | Parent::Missing => {}
            }
        }
    }

    /// Of a span of the trace at hand.
    pub fn own(&self, span: usize) -> Own {
        self.own[span]
    }
}
