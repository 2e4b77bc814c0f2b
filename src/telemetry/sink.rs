//! Where a batch goes: OTLP to somebody else, the backend inside this process, a Jaeger agent, stdout, or nowhere.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, stream};
use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{LogExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prost::Message as _;

use super::jaeger_agent::{Agent, Encoder};
use super::pipeline::ResourceId;
use super::{Exporter, Protocol, TelemetrySettings};
use crate::outbound;

/// So many exports to one endpoint run at a time; each carries the spans of one service.
const CONCURRENT_EXPORTS: usize = 8;

/// An export takes no longer, unless the standard variable says otherwise.
const LIMIT: Duration = Duration::from_secs(10);

/// Takes an encoded OTLP request inside this process; an error is why it was refused.
pub type Ingest = Arc<dyn Fn(Signal, &[u8]) -> Result<(), String> + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Logs,
}

pub(super) struct LogItem {
    pub resource: ResourceId,
    pub record: SdkLogRecord,
    pub scope: InstrumentationScope,
}

/// How much of a batch did not arrive, and why.
#[derive(Debug, Default)]
pub(super) struct Failed {
    pub items: u64,
    pub reason: Option<String>,
}

pub(super) struct Sinks {
    traces: Exporter,
    logs: Exporter,
    ingest: Option<Ingest>,
    otlp: Option<Otlp>,
    agent: Option<Agent>,
    limit: Duration,
    services: Vec<Service>,
}

/// What the sinks know of one service.
struct Service {
    resource: ResourceAttributesWithSchema,
    exporters: Option<(SpanExporter, LogExporter)>,
    encoder: Option<Encoder>,
}

impl Sinks {
    pub(super) fn new(settings: &TelemetrySettings, ingest: Option<Ingest>) -> anyhow::Result<Self> {
        let remote = ingest.is_none() && (settings.traces == Exporter::Otlp || settings.logs == Exporter::Otlp);
        let otlp = remote.then(|| Otlp::new(settings)).transpose()?;
        if let Some(otlp) = &otlp {
            // A bad endpoint or header should stop the start, not the first batch.
            otlp.exporters(&Resource::builder_empty().build())?;
        }
        if let (Some(agent), Exporter::Otlp | Exporter::Stdout) = (&settings.agent, settings.traces) {
            let name = if settings.traces == Exporter::Otlp { "otlp" } else { "stdout" };
            bail!(
                "jaeger_agent is {agent}, but traces go by the exporter {name}; choose the exporter jaeger-agent, or leave it out"
            );
        }
        let agent = (settings.traces == Exporter::JaegerAgent).then(|| Agent::new(settings.agent.as_ref())).transpose()?;
        if agent.is_some() {
            Encoder::new(&Resource::builder_empty().build())?;
        }
        let limit = limit()?;
        Ok(Self { traces: settings.traces, logs: settings.logs, ingest, otlp, agent, limit, services: Vec::new() })
    }

    pub(super) fn add_resources(&mut self, resources: Vec<Resource>) {
        for resource in resources {
            // Building failed or succeeded for the empty resource already; the resource itself cannot make a difference.
            let exporters = self.otlp.as_ref().and_then(|otlp| otlp.exporters(&resource).ok());
            let encoder = self.agent.as_ref().and_then(|_| Encoder::new(&resource).ok());
            self.services.push(Service { resource: (&resource).into(), exporters, encoder });
        }
    }

    pub(super) async fn export_spans(&self, spans: impl Iterator<Item = (ResourceId, SpanData)>) -> Failed {
        let groups = group(spans);
        if let Some(agent) = &self.agent {
            let mut failed = Failed::default();
            for (id, spans) in groups {
                failed.add(match &self.services[id as usize].encoder {
                    Some(encoder) => agent.export(encoder, &spans).await,
                    None => Failed { items: spans.len() as u64, reason: None },
                });
            }
            return failed;
        }
        let (Exporter::Otlp, None) = (self.traces, &self.ingest) else {
            return self.write_spans(groups);
        };
        let exports = groups.into_iter().map(|(id, spans)| async move {
            let items = spans.len() as u64;
            let Some((exporter, _)) = &self.services[id as usize].exporters else { return Failed { items, reason: None } };
            within(self.limit, items, exporter.export(spans)).await
        });
        stream::iter(exports).buffer_unordered(CONCURRENT_EXPORTS).fold(Failed::default(), Failed::and).await
    }

    pub(super) async fn export_logs(&self, logs: impl Iterator<Item = LogItem>) -> Failed {
        let groups = group(logs.map(|item| (item.resource, (item.record, item.scope))));
        let (Exporter::Otlp, None) = (self.logs, &self.ingest) else {
            return self.write_logs(groups);
        };
        let exports = groups.into_iter().map(|(id, logs)| async move {
            let items = logs.len() as u64;
            let Some((_, exporter)) = &self.services[id as usize].exporters else { return Failed { items, reason: None } };
            let logs: Vec<_> = logs.iter().map(|(record, scope)| (record, scope)).collect();
            within(self.limit, items, exporter.export(LogBatch::new(&logs))).await
        });
        stream::iter(exports).buffer_unordered(CONCURRENT_EXPORTS).fold(Failed::default(), Failed::and).await
    }

    /// All services' spans in one request, for a sink that is in this process.
    fn write_spans(&self, groups: Vec<(ResourceId, Vec<SpanData>)>) -> Failed {
        if self.traces == Exporter::None {
            return Failed::default();
        }
        let items = groups.iter().map(|(_, spans)| spans.len() as u64).sum();
        let resource_spans = groups
            .into_iter()
            .flat_map(|(id, spans)| group_spans_by_resource_and_scope(spans, &self.services[id as usize].resource))
            .collect();
        let request = ExportTraceServiceRequest { resource_spans };
        match &self.ingest {
            Some(ingest) if self.traces == Exporter::Otlp => refused(items, ingest(Signal::Traces, &request.encode_to_vec())),
            _ => print_line(items, &request),
        }
    }

    fn write_logs(&self, groups: Vec<(ResourceId, Vec<(SdkLogRecord, InstrumentationScope)>)>) -> Failed {
        if self.logs == Exporter::None {
            return Failed::default();
        }
        let items = groups.iter().map(|(_, logs)| logs.len() as u64).sum();
        let resource_logs = groups
            .into_iter()
            .flat_map(|(id, logs)| {
                let logs: Vec<_> = logs.iter().map(|(record, scope)| (record, scope)).collect();
                group_logs_by_resource_and_scope(&LogBatch::new(&logs), &self.services[id as usize].resource)
            })
            .collect();
        let request = ExportLogsServiceRequest { resource_logs };
        match &self.ingest {
            Some(ingest) if self.logs == Exporter::Otlp => refused(items, ingest(Signal::Logs, &request.encode_to_vec())),
            _ => print_line(items, &request),
        }
    }
}

/// Items by resource, each group in the order of arrival.
fn group<T>(items: impl Iterator<Item = (ResourceId, T)>) -> Vec<(ResourceId, Vec<T>)> {
    let mut groups: Vec<(ResourceId, Vec<T>)> = Vec::new();
    let mut places = rustc_hash::FxHashMap::default();
    for (id, item) in items {
        let place = *places.entry(id).or_insert(groups.len());
        if place == groups.len() {
            groups.push((id, Vec::new()));
        }
        groups[place].1.push(item);
    }
    groups
}

/// The crate keeps time only for clients that it made itself, so an endpoint that never answers would hold us for ever.
async fn within(limit: Duration, items: u64, export: impl Future<Output = OTelSdkResult>) -> Failed {
    let result = match tokio::time::timeout(limit, export).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the endpoint did not answer within {limit:?}")),
    };
    refused(items, result)
}

/// `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds.
fn limit() -> anyhow::Result<Duration> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
    let Some(text) = variable(NAME) else { return Ok(LIMIT) };
    let ms = text.parse().with_context(|| format!("{NAME} is {text:?}; it takes a whole number of milliseconds"))?;
    Ok(Duration::from_millis(ms))
}

fn refused(items: u64, result: Result<(), String>) -> Failed {
    match result {
        Ok(()) => Failed::default(),
        Err(reason) => Failed { items, reason: Some(reason) },
    }
}

fn print_line(items: u64, request: &impl serde::Serialize) -> Failed {
    let write = || -> std::io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        std::io::stdout().write_all(&line)
    };
    refused(items, write().map_err(|error| format!("cannot write to stdout: {error}")))
}

impl Failed {
    pub fn add(&mut self, other: Self) {
        self.items += other.items;
        self.reason = self.reason.take().or(other.reason);
    }

    async fn and(mut self, other: Self) -> Self {
        self.add(other);
        self
    }
}

/// One connection pool for the exporters of all services.
struct Otlp {
    protocol: Protocol,
    endpoint: Option<String>,
    http: reqwest::Client,
    channel: Option<tonic::transport::Channel>,
}

impl Otlp {
    fn new(settings: &TelemetrySettings) -> anyhow::Result<Self> {
        // Its own clients would read this variable; they are ours, for the resolver and the roots, and so is the reading.
        let authority = variable("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE").or_else(|| variable("OTEL_EXPORTER_OTLP_CERTIFICATE"));
        let authority = authority.as_deref().map(Path::new);
        let channel = match settings.protocol {
            Protocol::HttpProtobuf => None,
            Protocol::Grpc => Some(outbound::channel(&grpc_endpoint(settings.endpoint.as_deref()), authority)?),
        };
        let endpoint = settings.endpoint.as_ref().map(|endpoint| endpoint.trim_end_matches('/').to_owned());
        Ok(Self { protocol: settings.protocol, endpoint, http: outbound::client_trusting(authority)?, channel })
    }

    /// Headers and compression are the crate's to read from `OTEL_EXPORTER_OTLP_…`.
    fn exporters(&self, resource: &Resource) -> anyhow::Result<(SpanExporter, LogExporter)> {
        let url = |path: &str| self.endpoint.as_ref().map(|endpoint| format!("{endpoint}{path}"));
        let (mut spans, mut logs) = match &self.channel {
            Some(channel) => (
                SpanExporter::builder().with_tonic().with_channel(channel.clone()).build(),
                LogExporter::builder().with_tonic().with_channel(channel.clone()).build(),
            ),
            None => {
                let protocol = opentelemetry_otlp::Protocol::HttpBinary;
                let mut spans = SpanExporter::builder().with_http().with_http_client(self.http.clone()).with_protocol(protocol);
                let mut logs = LogExporter::builder().with_http().with_http_client(self.http.clone()).with_protocol(protocol);
                if let (Some(traces_url), Some(logs_url)) = (url("/v1/traces"), url("/v1/logs")) {
                    spans = spans.with_endpoint(traces_url);
                    logs = logs.with_endpoint(logs_url);
                }
                (spans.build(), logs.build())
            }
        };
        let context =
            || format!("cannot export by {:?} to {}", self.protocol, self.endpoint.as_deref().unwrap_or("the OTLP endpoint"));
        if let (Ok(spans), Ok(logs)) = (&mut spans, &mut logs) {
            spans.set_resource(resource);
            logs.set_resource(resource);
        }
        Ok((spans.with_context(context)?, logs.with_context(context)?))
    }
}

/// A channel of our own needs the endpoint before the crate has read the standard variables.
fn grpc_endpoint(endpoint: Option<&str>) -> String {
    endpoint
        .map(str::to_owned)
        .or_else(|| variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
        .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"))
        .unwrap_or_else(|| "http://localhost:4317".to_owned())
}

pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl fmt::Debug for LogItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogItem").field("resource", &self.resource).finish_non_exhaustive()
    }
}
