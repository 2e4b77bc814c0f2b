//! From traces to suspects: what is slow, what fails, where, and why.
//!
//! Pure functions over spans; nothing here asks the network or the clock. The steps, each a module:
//! `read` (files) or `crate::jaeger` (a query API) → `model` → `repair` (clock skew, children that overflow) → `critical_path` →
//! `evidence` → `suspects` → `report`.

pub mod critical_path;
pub mod effect;
pub mod evidence;
pub mod figures;
pub mod model;
pub mod profile;
pub mod read;
pub mod repair;
pub mod report;
pub mod suspects;
pub mod tree;

use serde::Serialize;

pub use critical_path::Rule;
pub use model::{TraceId, Traces};

/// How to diagnose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Which spans of a trace its time is charged to.
    pub rule: Rule,
}

/// Asks what is wrong in `traces`; with a `baseline` of traces from better times, what has become worse.
pub fn diagnose(traces: &Traces, baseline: Option<&Traces>, options: &Options) -> Diagnosis {
    suspects::diagnose(traces, baseline, options)
}

/// What a diagnosis says.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// The best first; empty when nothing stands out.
    pub suspects: Vec<Suspect>,
    /// Every service by how much speaks against it, the most first, suspects or not: for measuring against known faults.
    pub ranking: Vec<(String, f64)>,
    /// What was found on the way and concerns the reader, for example corrected clocks and how many.
    pub notes: Vec<String>,
}

/// One line of a diagnosis.
#[derive(Clone, Debug)]
pub struct Suspect {
    pub cause: SuspectCause,
    /// Where it sits; for a pair the caller. Absent only where an attribute alone is suspicious.
    pub service: Option<String>,
    /// The other end of a pair.
    pub callee: Option<String>,
    /// Only requests or processes with this value are concerned.
    pub attribute: Option<Attribute>,
    /// Probability that cause and place are right, 0 to 1.
    pub confidence: f64,
    pub effect: Effect,
    /// Why, in sentences for a person, the strongest first.
    pub evidence: Vec<String>,
    /// Traces that show it, three at most, the clearest first.
    pub examples: Vec<TraceId>,
    /// What the suspect is charged with.
    pub charged: Vec<Charge>,
}

/// One trace's part in a suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Index of the trace.
    pub trace: u32,
    /// Nanoseconds of its critical path that would not be there without the fault; 0 where it only failed.
    pub excess: u64,
    /// It failed on the suspect's account.
    pub failed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attribute {
    pub key: String,
    pub value: String,
}

/// The mysteries' causes, and what traces of others show beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuspectCause {
    /// slow on every request, or slower than in the baseline
    Sleep,
    /// slow on a few of its requests, which nothing else tells from the others
    RareSleep,
    /// requests begin to fail here
    Failure,
    /// slow or failing for one value of `customer.id`
    Customer,
    /// slow or failing for one value of another attribute: a pod, a node, a version
    Attribute,
    /// what passed this service makes later ones slow or fail
    Upstream,
    /// slow when busy
    Contention,
    /// many small calls to Redis where few would do
    Redis,
    /// many small calls to something else
    ManyCalls,
    /// time between two services
    Network,
    /// callees' spans are traces of their own
    LostContext,
}

/// How all requests would fare were it fixed; times are of whole traces, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Effect {
    /// Traces that it slowed or failed.
    pub traces: u64,
    pub p50_ms: Change,
    pub p99_ms: Change,
    pub mean_ms: Change,
    /// Share of the traces that fail, 0 to 1.
    pub error_share: Change,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    pub now: f64,
    pub fixed: f64,
}
