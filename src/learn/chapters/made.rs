//! Traces as a learner's programs leave them, for the tests of checks.

use crate::diagnose::model::{Builder, Kind, NewSpan, Resource};
use crate::learn::{Evidence, State, Step};

/// The resource of everybody who uses the Rust SDK.
pub const RUST: &[(&str, &str)] = &[("telemetry.sdk.language", "rust"), ("telemetry.sdk.name", "opentelemetry")];

/// Spans, in whatever order.
#[derive(Default)]
pub struct Made(Builder);

/// A span. Ids are hexadecimal; no parent is an empty text.
pub struct One<'a> {
    pub trace: &'a str,
    pub id: &'a str,
    pub parent: &'a str,
    pub service: &'a str,
    pub name: &'a str,
    pub kind: Kind,
    /// From when to when, in milliseconds.
    pub at: (u64, u64),
    /// Of its resource.
    pub resource: &'a [(&'a str, &'a str)],
    pub attributes: &'a [(&'a str, &'a str)],
}

impl Default for One<'_> {
    fn default() -> Self {
        let (trace, id, parent, service, name) = ("a", "1", "", "somebody", "something");
        Self { trace, id, parent, service, name, kind: Kind::Internal, at: (0, 10), resource: RUST, attributes: &[] }
    }
}

impl Made {
    #[must_use]
    pub fn with(mut self, one: One<'_>) -> Self {
        let builder = &mut self.0;
        let service = builder.text(one.service);
        let attributes = one.resource.iter().filter_map(|(key, value)| builder.attribute(key, value)).collect();
        let resource = builder.resource(Resource { service, attributes });
        let attributes: Vec<_> = one.attributes.iter().filter_map(|(key, value)| builder.attribute(key, value)).collect();
        let ns = |ms: u64| ms * 1_000_000;
        builder.push(NewSpan {
            trace_id: one.trace,
            span_id: one.id,
            parent_id: one.parent,
            operation: one.name,
            resource,
            start: ns(one.at.0),
            duration: i64::try_from(ns(one.at.1 - one.at.0)).unwrap(),
            kind: one.kind,
            attributes: &attributes,
            ..NewSpan::default()
        });
        self
    }

    pub fn evidence(self) -> Evidence {
        Evidence { traces: self.0.finish(), ..Evidence::default() }
    }
}

/// How many steps are done, and whether that is all; panics where an open one is not the last, or has too few hints.
pub fn done(check: fn(&Evidence) -> Vec<Step>, evidence: &Evidence) -> (usize, bool) {
    let steps = check(evidence);
    let done = steps.iter().take_while(|step| step.is_done()).count();
    assert!(done == steps.len() || done + 1 == steps.len(), "{steps:?}");
    if let Some(Step { state: State::Open { hints, .. }, .. }) = steps.last() {
        assert!((2..=3).contains(&hints.len()), "{steps:?}");
    }
    (done, done == steps.len())
}
