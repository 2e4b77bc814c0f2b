//! Exclusive time on the critical path, from every root: a trace cut off in the middle has several.
use crate::diagnose::critical_path::{Rule, Stretch, Walker, exclusive};
use crate::diagnose::model::Span;

#[derive(Default)]
pub struct Path {
    walker: Walker,
    stretches: Vec<Stretch>,
    pub time: Vec<u64>,
}

impl Path {
    pub fn walk(&mut self, spans: &[Span]) {
        self.time.clear();
        self.time.resize(spans.len(), 0);
        self.walker.walk(spans, Rule::Crisp, &mut self.stretches);
        exclusive(&self.stretches, &mut self.time);
    }
}
