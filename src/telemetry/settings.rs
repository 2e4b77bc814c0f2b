//! What telemetry can be told; `config` fills it from flags, `TRACELAB_…`, `OTEL_…` and the file.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::AgentAddress;

/// Where spans (or logs) go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Exporter {
    /// OpenTelemetry's own protocol, to any collector, Jaeger or vendor
    #[default]
    Otlp,
    /// Thrift by UDP, to the agent of a Jaeger that knows no OTLP
    #[serde(rename = "jaeger-agent")]
    JaegerAgent,
    /// OTLP as JSON lines on stdout
    #[serde(alias = "console")]
    #[value(alias = "console")]
    Stdout,
    /// nowhere
    None,
}

/// How OTLP is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Protocol {
    /// protobuf over HTTP, by custom port 4318
    #[default]
    #[serde(rename = "http/protobuf")]
    #[value(name = "http/protobuf", alias = "http")]
    HttpProtobuf,
    /// gRPC, by custom port 4317
    #[serde(rename = "grpc")]
    #[value(name = "grpc")]
    Grpc,
}

/// How a trace's context travels between services; names as in `OTEL_PROPAGATORS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Propagator {
    /// W3C `traceparent` and `tracestate`
    #[value(name = "tracecontext")]
    TraceContext,
    /// W3C `baggage`
    Baggage,
    /// Jaeger's own `uber-trace-id`, and `uberctx-…` for baggage
    Jaeger,
    /// Zipkin's single header, `b3`
    B3,
    /// Zipkin's several headers, `x-b3-…`
    #[value(name = "b3multi")]
    B3Multi,
    /// nothing: every service starts traces of its own
    None,
}

/// How much a service does for tracing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// spans of its own, and the context goes on
    #[default]
    Full,
    /// no spans; the context's headers go on as they came, which is what a mesh needs
    Propagate,
    /// nothing: the trace breaks here
    None,
}

/// Every service's level, by name. A service's own one counts before the one of [`Levels::ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Levels(BTreeMap<String, Level>);

impl Levels {
    /// Stands for the frontend and every service that is not named.
    pub const ALL: &str = "all";

    pub fn of(&self, service: &str) -> Level {
        self.0.get(service).or_else(|| self.0.get(Self::ALL)).copied().unwrap_or_default()
    }

    pub fn set(&mut self, service: &str, level: Level) {
        self.0.insert(service.to_owned(), level);
    }

    /// What is named, [`Levels::ALL`] included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Everything about telemetry that can be set.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    pub traces: Exporter,
    pub logs: Exporter,
    pub protocol: Protocol,
    /// Base URL of the OTLP endpoint, without `/v1/traces`. Where absent, the standard variables and then localhost count.
    pub endpoint: Option<String>,
    /// The agent that takes what goes by [`Exporter::JaegerAgent`]. Where absent, the standard variables and then localhost count.
    pub agent: Option<AgentAddress>,
    pub propagators: Vec<Propagator>,
    pub levels: Levels,
    /// At most this many spans (and as many log records) wait; what comes beyond it is dropped and counted.
    pub queue: usize,
    /// The longest time a span waits before it is sent.
    pub delay: Duration,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            traces: Exporter::Otlp,
            logs: Exporter::None,
            protocol: Protocol::HttpProtobuf,
            endpoint: None,
            agent: None,
            propagators: vec![Propagator::TraceContext, Propagator::Baggage],
            levels: Levels::default(),
            queue: 65_536,
            // The SDK's own default of 5 s would leave a learner looking at an empty page.
            delay: Duration::from_millis(200),
        }
    }
}
