//! Traces made by hand, for the tests of checks.

use crate::diagnose::model::{Builder, Kind, NewSpan, Resource, Status, Traces};
use crate::learn::{Step, evidence::Evidence};

#[derive(Default)]
pub struct Made {
    builder: Builder,
    spans: u64,
}

/// What a span is, beside where it stands.
#[derive(Clone, Copy)]
pub struct Is<'a> {
    pub service: &'a str,
    pub kind: Kind,
    /// Since the start of its trace.
    pub start_ms: u64,
    pub ms: u64,
    pub attributes: &'a [(&'a str, &'a str)],
}

impl Is<'_> {
    pub fn server(service: &str, start_ms: u64, ms: u64) -> Is<'_> {
        Is { service, kind: Kind::Server, start_ms, ms, attributes: &[] }
    }
}

impl Made {
    /// Adds a span to the trace of this number; the answer is its id, for its children. A root's parent is 0.
    pub fn span(&mut self, trace: u64, parent: u64, is: Is<'_>) -> u64 {
        self.spans += 1;
        let service = self.builder.text(is.service);
        let resource = self.builder.resource(Resource { service, attributes: vec![] });
        let attributes: Vec<_> = is.attributes.iter().filter_map(|(key, value)| self.builder.attribute(key, value)).collect();
        let (trace_id, span_id, parent_id) = (id(trace), format!("{:016x}", self.spans), format!("{parent:016x}"));
        self.builder.push(NewSpan {
            trace_id: &trace_id,
            span_id: &span_id,
            parent_id: if parent == 0 { "" } else { &parent_id },
            operation: "GET /",
            resource,
            start: (trace * 60_000 + is.start_ms) * 1_000_000,
            duration: i64::try_from(is.ms * 1_000_000).unwrap(),
            kind: is.kind,
            status: Status::Unset,
            attributes: &attributes,
        });
        self.spans
    }

    pub fn finish(self) -> Traces {
        self.builder.finish()
    }
}

/// Of the trace of this number.
pub fn id(trace: u64) -> String {
    format!("{trace:032x}")
}

/// How many steps are done; panics where an open one is not the last, or has no hint.
pub fn done(check: fn(&Evidence) -> Vec<Step>, evidence: &Evidence) -> (usize, bool) {
    let steps = check(evidence);
    let done = steps.iter().take_while(|step| step.is_done()).count();
    assert!(done == steps.len() || done + 1 == steps.len(), "{steps:?}");
    if let Some(Step { state: crate::learn::State::Open { hints, .. }, .. }) = steps.last() {
        assert!((2..=3).contains(&hints.len()), "{steps:?}");
    }
    (done, done == steps.len())
}
