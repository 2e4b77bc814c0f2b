//! One span, sent as services send theirs and looked for as a reader would: do the two ends belong together?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use prost::Message as _;
use tokio::time::Instant;

use super::Finding;
use super::ask::{LIMIT, why};
use super::otlp::{Endpoint, Sent};
use crate::config::Config;
use crate::diagnose::figures::duration;
use crate::jaeger::{Api, Client, JaegerError, Settings};
use crate::telemetry::{AgentAddress, Identity, Telemetry, trace_id};

pub(super) const CHECK: &str = "probe";
/// Whose span it is.
const SERVICE: &str = "tracelab-doctor";
const NAME: &str = "doctor's probe";
/// Collectors send in batches and storages refresh; what takes longer than this is not what a reader waits for.
const ARRIVAL: Duration = Duration::from_secs(8);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const SPAN: Duration = Duration::from_millis(1);

/// Sends a span to `endpoint`, and looks for its trace at `jaeger`.
pub(super) async fn examine(endpoint: &Endpoint, client: &reqwest::Client, jaeger: &str, api: Api) -> Finding {
    let trace_id: u128 = rand::random_range(1..=u128::MAX);
    match endpoint.send(request(trace_id)).await.rejection() {
        Ok(None) => {}
        Ok(Some(said)) => {
            let way_out = "its own log says more; is something in it that filters or limits spans?";
            return Finding::failure(CHECK, format!("{} took the request but rejected the span: {said}", endpoint.url), way_out);
        }
        Err(reason) => {
            let saw = format!("{} took an empty request, but not one span: {reason}", endpoint.url);
            let way_out = "is it an endpoint for OTLP (9411 takes Zipkin's spans)? if so, it or what it sends spans on to may be over its \
                           limits: its own log says more";
            return Finding::failure(CHECK, saw, way_out);
        }
    }
    look(trace_id, &format!("what is sent to {}", endpoint.url), client, jaeger, api, SWALLOWED).await
}

/// The same by the Jaeger agent, which never answers.
pub(super) async fn by_agent(config: &Config, client: &reqwest::Client, jaeger: &str, api: Api) -> Finding {
    let agent = agent(config);
    let telemetry = match Telemetry::start(&config.telemetry(), None) {
        Ok(telemetry) => telemetry,
        Err(error) => return Finding::failure(CHECK, format!("{error:#}"), "--jaeger-agent HOST:PORT names an agent"),
    };
    let span = telemetry.instrument(&Identity::named(SERVICE)).internal_span(&Context::new(), NAME);
    span.span().end();
    let id = trace_id(&span).and_then(|id| u128::from_str_radix(&id, 16).ok());
    let sent = tokio::time::timeout(LIMIT, telemetry.flush()).await;
    let Some(id) = id.filter(|_| sent.is_ok() && telemetry.lost().spans == 0) else {
        let saw = format!("no span can be sent to the agent at {agent}");
        return Finding::failure(
            CHECK,
            saw,
            "start the agent there (UDP 6831 of a Jaeger 1, or of a Jaeger 2's receiver), or name it by --jaeger-agent",
        );
    };
    look(id, &format!("what is sent to the agent at {agent}"), client, jaeger, api, UNHEARD).await
}

const SWALLOWED: &str = "either --jaeger is not the Jaeger that this endpoint passes spans on to (name the right one), or something between \
                         drops them: look for a sampler (tail_sampling, probabilistic_sampler), a filter or a failing exporter in the \
                         collector's configuration and log";
const UNHEARD: &str =
    "UDP loses silently: is an agent there at all, is the port published as 6831/udp, and does it report to this Jaeger?";

pub(super) fn agent(config: &Config) -> String {
    let named = config.telemetry().agent.map_or_else(AgentAddress::standard, Ok);
    named.map_or_else(|error| format!("an unknown address ({error:#})"), |agent| agent.to_string())
}

async fn look(trace_id: u128, what: &str, client: &reqwest::Client, jaeger: &str, mut api: Api, where_else: &str) -> Finding {
    let settings = Settings { answer: LIMIT, attempts: 1, largest: 1 << 20, ..Settings::default() };
    let jaeger = Client::with(client.clone(), jaeger, settings);
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = jaeger.holds(trace_id, api).await;
        match asked {
            Ok((_, true)) => {
                let took = duration(start.elapsed().as_secs_f64() * 1e3);
                return Finding::ok(CHECK, format!("{what} is found at {} after {took} (trace {trace_id:032x})", jaeger.base()));
            }
            Ok((answered, false)) => api = answered,
            // Its own words are about another command's flags.
            Err(
                JaegerError::Unreachable { reason, .. }
                | JaegerError::NotJaeger { reason, .. }
                | JaegerError::Refused { reason, .. },
            ) if start.elapsed() >= ARRIVAL => {
                let saw = format!("{} cannot say whether it holds trace {trace_id:032x}: {reason}", jaeger.base());
                return Finding::failure(CHECK, saw, "its own log says more; is its storage there?");
            }
            Err(_) => {}
        }
        if start.elapsed() >= ARRIVAL {
            let saw = format!(
                "{what} is not found at {} within {ARRIVAL:?}, though nobody refused it (trace {trace_id:032x})",
                jaeger.base()
            );
            return Finding::failure(CHECK, saw, where_else);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn request(trace_id: u128) -> ExportTraceServiceRequest {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or_default();
    let span = Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: rand::random_range(1..=u64::MAX).to_be_bytes().to_vec(),
        name: NAME.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanoseconds(now.saturating_sub(SPAN)),
        end_time_unix_nano: nanoseconds(now),
        // Sampled, as its flags say.
        flags: 1,
        ..Span::default()
    };
    let scope = InstrumentationScope { name: "tracelab".to_owned(), ..InstrumentationScope::default() };
    let resource = Resource { attributes: vec![text("service.name", SERVICE)], ..Resource::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

impl Sent {
    /// What was taken and yet not kept, in words; or why nothing was taken.
    fn rejection(self) -> Result<Option<String>, String> {
        match self {
            Self::Http(Ok(answer)) if answer.status.is_success() => {
                let partial = ExportTraceServiceResponse::decode(answer.body).ok().and_then(|body| body.partial_success);
                Ok(partial.filter(|partial| partial.rejected_spans > 0).map(|partial| partial.error_message))
            }
            Self::Http(Ok(answer)) => Err(format!("{}{}", answer.status, answer.said())),
            Self::Http(Err(error)) => Err(why(error).0),
            Self::Grpc(Ok(said)) => Ok(said),
            Self::Grpc(Err(status)) => Err(format!("{:?} ({})", status.code(), status.message())),
            Self::Impossible(reason) => Err(reason),
        }
    }
}
