//! For programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Report;
use crate::diagnose::{Attribute, Effect, Suspect, SuspectCause, Traces};

/// The whole answer; its names stay as they are.
#[derive(Serialize)]
struct Document<'a> {
    read: Read,
    /// The best first; empty when nothing stands out.
    suspects: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Read {
    traces: usize,
    spans: usize,
    /// What was not taken, by reason.
    left_out: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    cause: SuspectCause,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<&'a Attribute>,
    confidence: f64,
    effect: Effect,
    evidence: &'a [String],
    examples: Vec<String>,
}

impl Report<'_> {
    /// The diagnosis as one line of JSON:
    ///
    /// ```json
    /// {
    ///   "read": {"traces": 2000, "spans": 14000, "left_out": {"duplicate span": 3}},
    ///   "suspects": [{
    ///     "cause": "customer",
    ///     "service": "dummy-1-17",
    ///     "attribute": {"key": "customer.id", "value": "42"},
    ///     "confidence": 0.94,
    ///     "effect": {
    ///       "traces": 210,
    ///       "p50_ms": {"now": 41.0, "fixed": 40.2},
    ///       "p99_ms": {"now": 2400.0, "fixed": 310.0},
    ///       "mean_ms": {"now": 97.0, "fixed": 44.0},
    ///       "error_share": {"now": 0.02, "fixed": 0.001}
    ///     },
    ///     "evidence": ["…"],
    ///     "examples": ["4bf92f3577b34da6a3ce929d0e0e4736"]
    ///   }]
    /// }
    /// ```
    ///
    /// The best suspect comes first, and there is none when nothing stands out. Times are milliseconds of whole traces; `confidence`
    /// and `error_share` are between 0 and 1; `evidence` is for people and may change; `examples` are trace IDs. `service`, `callee`
    /// (the other end of a pair) and `attribute` are absent where they do not apply.
    pub fn json(&self) -> String {
        let read = Read { traces: self.traces.len(), spans: self.traces.span_count(), left_out: self.traces.left_out.clone() };
        let document =
            Document { read, suspects: self.diagnosis.suspects.iter().map(|suspect| Line::of(suspect, self.traces)).collect() };
        serde_json::to_string(&document).expect("texts and numbers can be written as JSON")
    }
}

impl<'a> Line<'a> {
    fn of(suspect: &'a Suspect, traces: &Traces) -> Self {
        let Suspect { cause, service, callee, attribute, confidence, effect, evidence, examples, charged: _ } = suspect;
        Self {
            cause: *cause,
            service: service.as_deref(),
            callee: callee.as_deref(),
            attribute: attribute.as_ref(),
            confidence: *confidence,
            effect: *effect,
            evidence,
            examples: examples.iter().map(|trace| traces.name(*trace)).collect(),
        }
    }
}
