//! Which presses the aggregator wants to keep: simulated in virtual time, with the repository's own mysteries.

use anyhow::Context as _;
use tracelab::diagnose::model::Status;
use tracelab::mystery::{Cause, draw};
use tracelab::simulation::{Load, simulate};
use tracelab::topology::Topology;

use super::plan::spans_of_press;

/// Mysteries that are averaged over, since how slow a fault is, is drawn; fewer where a press has many spans.
const MYSTERIES: u64 = 8;
/// About so many spans are simulated for each average.
const SPANS: u64 = 30_000;

/// Parts of one, of presses. The rest is ordinary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// A span of it has the status of an error, also where a second attempt went well.
    pub failed: f64,
    /// No error, and slow.
    pub slow: f64,
    /// Seconds, on average.
    pub time: f64,
    /// Spans of a press, those of second attempts and of the background included.
    pub spans: f64,
}

impl Kept {
    pub fn ordinary(self) -> f64 {
        1.0 - self.failed - self.slow
    }
}

/// What a Collector would make of presses of all buttons, one after the other; slow is what takes `slow_ms` or longer.
///
/// # Errors
/// The topology cannot have such a cause.
pub fn kept(topology: Topology, cause: Cause, slow_ms: f64) -> anyhow::Result<Kept> {
    let (mut failed, mut slow, mut time, mut spans, mut presses) = (0.0, 0.0, 0.0, 0.0, 0.0);
    // Every button equally often, or the culprit's would count too much or too little.
    let round = u64::from(topology.width);
    let rounds = (SPANS / spans_of_press(topology) / round).max(2);
    let mysteries = rounds.min(MYSTERIES);
    for seed in 0..mysteries {
        let mystery = draw(seed, cause, topology, 1.0).context("no such mystery")?;
        let calls = rounds / mysteries * round;
        let traces = simulate(&mystery, &Load { calls, concurrency: 4, seed, redis: false, nodes: Some(3), ..Load::default() });
        for trace in (0..traces.len()).map(|trace| traces.of(trace)) {
            let start = trace.iter().map(|span| span.start).min().unwrap_or_default();
            let end = trace.iter().map(|span| span.end).max().unwrap_or_default();
            let took = (end - start) as f64 / 1e9;
            if trace.iter().any(|span| span.status == Status::Error) {
                failed += 1.0;
            } else if took * 1e3 >= slow_ms {
                slow += 1.0;
            }
            time += took;
            spans += trace.len() as f64;
            presses += 1.0;
        }
    }
    Ok(Kept { failed: failed / presses, slow: slow / presses, time: time / presses, spans: spans / presses })
}
