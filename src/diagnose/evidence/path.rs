//! Each span's own time on the critical path of its trace, mended first where clocks differ or a parent did not wait.

use crate::diagnose::critical_path::{Rule, Stretch, Walker, exclusive};
use crate::diagnose::model::{Span, Traces};
use crate::diagnose::repair::{Clocks, Mender, Repairs};

/// Goes through trace after trace without new memory for each.
#[derive(Default)]
pub(super) struct Paths {
    rule: Rule,
    clocks: Clocks,
    mender: Mender,
    walker: Walker,
    stretches: Vec<Stretch>,
    times: Vec<u64>,
    pub repairs: Repairs,
}

impl Paths {
    pub fn new(traces: &Traces, rule: Rule) -> Self {
        Self { rule, clocks: Clocks::measure(traces), ..Self::default() }
    }

    /// Nanoseconds of each span of a trace.
    pub fn times(&mut self, spans: &[Span]) -> &[u64] {
        let mended = self.mender.mend(spans, &self.clocks, &mut self.repairs);
        self.walker.walk(mended, self.rule, &mut self.stretches);
        self.times.clear();
        self.times.resize(spans.len(), 0);
        exclusive(&self.stretches, &mut self.times);
        &self.times
    }
}
