//! One service's spans: what they are called and what they carry.
//!
//! Attributes follow the semantic conventions for HTTP and databases. Whatever the culprit does is written as others would write
//! it: beside times, statuses and what calls what, no span tells it from them.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use opentelemetry::baggage::{Baggage, BaggageExt as _, BaggageMetadata, KeyValueMetadata};
use opentelemetry::logs::LoggerProvider as _;
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue, StringValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use opentelemetry_semantic_conventions::attribute as semconv;
use url::Url;

use super::Level;
use super::pipeline::Pipeline;
use super::propagation::Propagation;
use crate::topology::ServiceName;

/// The baggage that says whose call it is.
pub const CUSTOMER: &str = "customer.id";
/// The baggage that says how a service is to go about it. It reaches no span.
pub const VARIANT: &str = "variant";
/// The baggage that services copy to their server span; no other reaches a span.
const COPIED_BAGGAGE: [&str; 3] = [CUSTOMER, "client", "tier"];

/// What a request that its client gave up is booked under; nginx's number, since HTTP has none.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// Where a Redis listens whose URL names no port.
const REDIS_PORT: u16 = 6379;

/// Who makes the spans: becomes the resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    /// `v1`, or `v2` for a patched service.
    pub version: String,
    /// Absent for what is not one of the topology's services, such as the frontend.
    pub place: Option<ServiceName>,
}

impl Identity {
    pub fn service(name: ServiceName, version: &str) -> Self {
        Self { name: name.to_string(), version: version.to_owned(), place: Some(name) }
    }

    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), version: "v1".to_owned(), place: None }
    }

    /// `OTEL_RESOURCE_ATTRIBUTES` count too (in Kubernetes they name pod, node and namespace), the identity above them.
    fn resource(&self) -> Resource {
        let mut attributes = vec![
            KeyValue::new(semconv::SERVICE_NAME, self.name.clone()),
            KeyValue::new(semconv::SERVICE_VERSION, self.version.clone()),
        ];
        if let Some(place) = self.place {
            attributes.push(KeyValue::new("tracelab.layer", i64::from(place.layer)));
            attributes.push(KeyValue::new("tracelab.number", i64::from(place.number)));
        }
        // In a container this is its id, or the pod's name.
        if let Some(host) = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty()) {
            attributes.push(KeyValue::new(semconv::HOST_NAME, host));
        }
        Resource::builder().with_attributes(attributes).build()
    }
}

/// The tools of one service; clones share them.
#[derive(Clone, Debug)]
pub struct Instrument(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    tracer: SdkTracer,
    logger: SdkLogger,
    propagation: Propagation,
    level: Level,
    /// Requests come from outside; the topology's services are called by one another.
    edge: bool,
}

impl Instrument {
    pub(super) fn new(identity: &Identity, pipeline: &Pipeline, propagation: Propagation, level: Level) -> Self {
        let resource = identity.resource();
        let processor = pipeline.register(resource.clone());
        let tracers = SdkTracerProvider::builder().with_span_processor(processor.clone()).with_resource(resource.clone()).build();
        let loggers = SdkLoggerProvider::builder().with_log_processor(processor).with_resource(resource).build();
        Self(Arc::new(Inner {
            name: identity.name.clone(),
            tracer: tracers.tracer("tracelab"),
            logger: loggers.logger("tracelab"),
            propagation,
            level,
            edge: identity.place.is_none(),
        }))
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn logger(&self) -> &SdkLogger {
        &self.0.logger
    }

    /// What a request's headers carry: the trace context and the baggage.
    pub fn extract(&self, headers: &HeaderMap) -> Context {
        self.0.propagation.extract(self.0.level, self.0.edge, headers)
    }

    /// Starts the SERVER span of a request as a child of `parent`, which came out of [`Instrument::extract`], and copies the known
    /// baggage to it. Log lines written inside the returned context carry its ids and this service's name.
    ///
    /// A service whose level is not `full` starts no span, here and below: the context is its caller's then, or none.
    pub fn server_span(&self, parent: &Context, method: &Method, route: &'static str, path: &str, headers: &HeaderMap) -> Context {
        if self.0.level != Level::Full {
            return parent.with_value(self.clone());
        }
        let mut attributes = Vec::with_capacity(10);
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, method_name(method)));
        attributes.push(KeyValue::new(semconv::HTTP_ROUTE, route));
        attributes.push(KeyValue::new(semconv::URL_PATH, path.to_owned()));
        attributes.push(KeyValue::new(semconv::URL_SCHEME, "http"));
        if let Some(host) = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()) {
            let (address, port) = host.rsplit_once(':').unwrap_or((host, ""));
            attributes.push(KeyValue::new(semconv::SERVER_ADDRESS, address.to_owned()));
            if let Ok(port) = port.parse::<u16>() {
                attributes.push(KeyValue::new(semconv::SERVER_PORT, i64::from(port)));
            }
        }
        let baggage = parent.baggage();
        if !baggage.is_empty() {
            for key in COPIED_BAGGAGE {
                if let Some(value) = baggage.get(key) {
                    attributes.push(KeyValue::new(key, value.clone()));
                }
            }
        }
        // The conventions want "{method} {route}"; routes here are few, so the names stay few as well.
        let span = self
            .0
            .tracer
            .span_builder(format!("{} {route}", method_name(method)))
            .with_kind(SpanKind::Server)
            .with_attributes(attributes)
            .start_with_context(&self.0.tracer, parent);
        parent.with_span(span).with_value(self.clone())
    }

    /// Ends a server span. Only 5xx is this server's error; 4xx is its caller's.
    fn finish_server(&self, cx: &Context, status: StatusCode) {
        let span = cx.span();
        span.set_attribute(KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())));
        if status.is_server_error() {
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, StringValue::from(status.as_str().to_owned())));
            span.set_status(Status::error(""));
        }
        span.end();
    }

    /// Starts the CLIENT span of a call inside `parent`. `resends` counts the times that this very request was sent before.
    pub fn client_span(&self, parent: &Context, method: &Method, url: &Url, resends: u32) -> Context {
        let mut attributes = Vec::with_capacity(7);
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, method_name(method)));
        attributes.push(KeyValue::new(semconv::URL_FULL, url.as_str().to_owned()));
        if let Some(host) = url.host_str() {
            attributes.push(KeyValue::new(semconv::SERVER_ADDRESS, host.to_owned()));
        }
        if let Some(port) = url.port_or_known_default() {
            attributes.push(KeyValue::new(semconv::SERVER_PORT, i64::from(port)));
        }
        if resends > 0 {
            attributes.push(KeyValue::new(semconv::HTTP_REQUEST_RESEND_COUNT, i64::from(resends)));
        }
        self.start(parent, method_name(method), SpanKind::Client, attributes)
    }

    /// Ends a client span with the status that came back, or with why nothing did. For a client 4xx is an error too.
    pub fn finish_client(&self, cx: &Context, result: Result<StatusCode, ErrorType>) {
        let span = cx.span();
        let error = match result {
            Ok(status) => {
                span.set_attribute(KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16())));
                let failed = status.is_client_error() || status.is_server_error();
                failed.then(|| (StringValue::from(status.as_str().to_owned()), String::new()))
            }
            Err(error) => Some((StringValue::from(error.kind), error.message)),
        };
        if let Some((kind, message)) = error {
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, kind));
            span.set_status(Status::error(message));
        }
        span.end();
    }

    /// Starts the CLIENT span of `commands` times `operation` inside `parent`, sent to the Redis at `url` together.
    pub fn redis_span(&self, parent: &Context, url: &Url, operation: &'static str, commands: u32) -> Context {
        let mut attributes = Vec::with_capacity(6);
        attributes.push(KeyValue::new(semconv::DB_SYSTEM_NAME, "redis"));
        attributes.push(KeyValue::new(semconv::DB_OPERATION_NAME, operation));
        // The conventions have it that a batch of one is none.
        if commands > 1 {
            attributes.push(KeyValue::new(semconv::DB_OPERATION_BATCH_SIZE, i64::from(commands)));
        }
        let database = url.path().trim_matches('/');
        attributes.push(KeyValue::new(semconv::DB_NAMESPACE, if database.is_empty() { "0" } else { database }.to_owned()));
        if let Some(host) = url.host_str() {
            attributes.push(KeyValue::new(semconv::SERVER_ADDRESS, host.to_owned()));
        }
        let port = url.port().unwrap_or(REDIS_PORT);
        attributes.push(KeyValue::new(semconv::SERVER_PORT, i64::from(port)));
        // "{operation} {target}"; for Redis the conventions would not have the number of a database as the target.
        let name = format!("{operation} {}:{port}", url.host_str().unwrap_or_default());
        self.start(parent, name, SpanKind::Client, attributes)
    }

    /// Ends the span of a Redis operation. `code` is the first word of an error that Redis answered.
    pub fn finish_redis(&self, cx: &Context, code: Option<&str>, result: Result<(), ErrorType>) {
        let span = cx.span();
        if let Some(code) = code {
            span.set_attribute(KeyValue::new(semconv::DB_RESPONSE_STATUS_CODE, code.to_owned()));
        }
        if let Err(error) = result {
            span.set_attribute(KeyValue::new(semconv::ERROR_TYPE, error.kind));
            span.set_status(Status::error(error.message));
        }
        span.end();
    }

    /// Starts the INTERNAL span of something inside `parent` that calls nobody. It ends with the returned context's last clone.
    pub fn internal_span(&self, parent: &Context, name: &'static str) -> Context {
        self.start(parent, name, SpanKind::Internal, Vec::new())
    }

    fn start(&self, parent: &Context, name: impl Into<Cow<'static, str>>, kind: SpanKind, attributes: Vec<KeyValue>) -> Context {
        if self.0.level != Level::Full {
            return parent.clone();
        }
        let tracer = &self.0.tracer;
        let span = tracer.span_builder(name).with_kind(kind).with_attributes(attributes).start_with_context(tracer, parent);
        parent.with_span(span)
    }

    /// Writes trace context and baggage into the headers of an outgoing request.
    pub fn inject(&self, cx: &Context, headers: &mut HeaderMap) {
        self.0.propagation.inject(self.0.level, cx, headers);
    }
}

/// A server span that ends whatever happens: also when the client goes away and the handler is dropped in mid-request.
#[derive(Debug)]
pub struct ServerSpan<'a> {
    instrument: &'a Instrument,
    cx: &'a Context,
    status: Option<StatusCode>,
}

impl<'a> ServerSpan<'a> {
    /// Watches over the span that [`Instrument::server_span`] started.
    pub fn new(instrument: &'a Instrument, cx: &'a Context) -> Self {
        Self { instrument, cx, status: None }
    }

    /// Ends it with the status that is answered.
    pub fn finish(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for ServerSpan<'_> {
    fn drop(&mut self) {
        let gone = || StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST);
        self.instrument.finish_server(self.cx, self.status.unwrap_or_else(gone));
    }
}

/// Why a call had no answer.
#[derive(Clone, Debug)]
pub struct ErrorType {
    /// Low cardinality, for `error.type`: `timeout`, `connect`, ….
    pub kind: &'static str,
    pub message: String,
}

/// The same context with one more item in its baggage.
pub fn with_baggage(cx: &Context, key: &'static str, value: String) -> Context {
    let new = KeyValueMetadata::new(key, value, BaggageMetadata::default());
    cx.with_baggage(items(cx.baggage()).chain([new]))
}

/// What is in a baggage, which cannot be cloned.
pub(super) fn items(baggage: &Baggage) -> impl Iterator<Item = KeyValueMetadata> {
    baggage.iter().map(|(key, (value, about))| KeyValueMetadata::new(key.clone(), value.clone(), about.clone()))
}

/// The W3C `traceresponse` header of what `cx` carries: version, trace id, span id, flags.
pub fn traceresponse(cx: &Context) -> Option<HeaderValue> {
    let span = cx.span();
    let context = span.span_context();
    if !context.is_valid() {
        return None;
    }
    let text = format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    HeaderValue::from_str(&text).ok()
}

/// The trace id of what `cx` carries, 32 hexadecimal digits.
pub fn trace_id(cx: &Context) -> Option<String> {
    let span = cx.span();
    let context = span.span_context();
    context.is_valid().then(|| context.trace_id().to_string())
}

/// Methods nobody knows are `_OTHER`, so that a client cannot invent span names.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}
