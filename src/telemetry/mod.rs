//! Telemetry of our own: spans and logs of many services through one batching pipeline.
//!
//! A process has one [`Telemetry`]; every service in it (91 of them in `up`) gets an [`Instrument`] with a resource of its own.
//! What a span or a log line contains is decided in `instrument` and `logs`, where it goes in `sink`.

mod instrument;
mod jaeger_agent;
mod logs;
mod pipeline;
mod propagation;
mod settings;
mod sink;

use std::sync::Arc;

pub use instrument::{CUSTOMER, ErrorType, Identity, Instrument, ServerSpan, VARIANT, trace_id, traceresponse, with_baggage};
pub use jaeger_agent::{AgentAddress, LARGEST_DATAGRAM, take_over_standard_variables};
pub use logs::{LogSettings, Logs};
pub use pipeline::Lost;
pub use settings::{Exporter, Level, Levels, Propagator, Protocol, TelemetrySettings};
pub use sink::{Ingest, Signal};

use pipeline::Pipeline;
use propagation::Propagation;

/// One per process. Dropping it loses what is still queued; [`Telemetry::shutdown`] does not.
#[derive(Clone, Debug)]
pub struct Telemetry {
    pipeline: Pipeline,
    propagation: Propagation,
    levels: Arc<Levels>,
}

impl Telemetry {
    /// Starts the pipeline on the current tokio runtime. `ingest` takes the place of the OTLP exporter where the backend lives in
    /// this very process.
    ///
    /// # Errors
    /// An endpoint, header or certificate that the exporter cannot use; the text names it.
    pub fn start(settings: &TelemetrySettings, ingest: Option<Ingest>) -> anyhow::Result<Self> {
        let sinks = sink::Sinks::new(settings, ingest)?;
        let propagation = Propagation::by(&settings.propagators);
        Ok(Self { pipeline: Pipeline::start(sinks, settings), propagation, levels: Arc::new(settings.levels.clone()) })
    }

    /// The tools with which one service makes its spans and log records.
    pub fn instrument(&self, identity: &Identity) -> Instrument {
        Instrument::new(identity, &self.pipeline, self.propagation.clone(), self.levels.of(&identity.name))
    }

    /// Exports what is queued and returns when it has arrived or failed.
    pub async fn flush(&self) {
        self.pipeline.flush().await;
    }

    /// Spans and log records that could not be exported so far.
    pub fn lost(&self) -> Lost {
        self.pipeline.lost()
    }

    /// Exports what is queued, then stops.
    pub async fn shutdown(&self) {
        self.pipeline.shutdown().await;
    }
}
