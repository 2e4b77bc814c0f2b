//! Measures real spans: the sandbox runs, sends OTLP as its services do in a cluster, and what arrives is put through what each role
//! does to it.
//!
//! Bytes of OTLP, gzip and LZ4 are those of the real formats. What Cassandra writes is laid out after Jaeger's schema (`v004.cql.tmpl`
//! and `spanstore/writer.go` of jaegertracing/jaeger), and OpenSearch's document after its JSON (`dbmodel`); neither is running here.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use prost::Message as _;
use serde_json::json;
use tracelab::config::Config;
use tracelab::frontend::Pick;
use tracelab::load::{self, Plan};
use tracelab::mystery::Cause;
use tracelab::outbound;
use tracelab::sandbox::Sandbox;
use tracelab::server::{self, Stop};
use tracelab::telemetry::{Level, Levels};
use warp::Filter as _;

use super::limits::Limits;
use super::measured::{Cassandra, Measured, OpenSearch, Propagate, Spans};

/// Presses a second: so few that all of them go well on any machine.
const RATE: f64 = 150.0;
/// What Cassandra compresses at a time, unless a table says otherwise (`chunk_length_in_kb`).
const CHUNK: usize = 16 * 1024;
/// What a row has beside its columns: flags, sizes, time of writing, time to live, time of its end.
const ROW: [u8; 20] = [0; 20];
/// What a partition has beside its key: its deletion, its end, its places in the index and the Bloom filter.
const PARTITION: [u8; 32] = [0; 32];

/// Presses the buttons of 3 × 30 services `presses` times, twice: with all spans, and with those of the frontend alone.
///
/// # Errors
/// The sandbox does not start, or what it sends cannot be read.
pub async fn measure(presses: u64, limits: &Limits) -> anyhow::Result<Measured> {
    let requests = received(presses, Levels::default()).await?;
    let mut frontend = Levels::default();
    frontend.set(Levels::ALL, Level::Propagate);
    frontend.set("frontend", Level::Full);
    let propagated = received(presses, frontend).await?;

    let spans = || requests.iter().flat_map(spans);
    let count = spans().count() as f64;
    let kind = |kind| spans().filter(|(_, span)| span.kind() == kind).count() as f64 / presses as f64;
    let again = spans().filter(|(_, span)| has(span, "http.request.resend_count")).count() as f64 * 2.0 / presses as f64;
    let each = |bytes: usize| tenth(bytes as f64 / count);
    let routed: usize = requests
        .iter()
        .flat_map(|request| routed(request, limits.aggregators.value as usize))
        .map(|request| gzip(&request.encode_to_vec()))
        .sum();
    let batches = batches(&requests, limits.batch_min.value as usize);
    let rows = Rows::of(spans());
    let documents = spans().map(|(resource, span)| 1 + references(span) + span_tags(span).count() + process_tags(resource).count());
    let propagated_spans: usize = propagated.iter().map(|request| self::spans(request).count()).sum();
    Ok(Measured {
        spans: Spans {
            server: hundredth(kind(SpanKind::Server)),
            client: hundredth(kind(SpanKind::Client)),
            internal: hundredth(kind(SpanKind::Internal)),
            again: hundredth(again),
        },
        sent: each(requests.iter().map(ExportTraceServiceRequest::encoded_len).sum()),
        routed: each(routed),
        batched: each(batches.iter().map(Vec::len).sum()),
        gzipped: each(batches.iter().map(|batch| gzip(batch)).sum()),
        lz4: each(batches.iter().map(|batch| lz4(batch)).sum()),
        cassandra: Cassandra {
            rows: tenth(rows.count as f64 / count),
            process_rows: tenth(spans().map(|(resource, _)| process_tags(resource).count()).sum::<usize>() as f64 / count),
            bytes: each(rows.bytes()),
            lz4: each(rows.compressed()),
        },
        opensearch: OpenSearch {
            documents: tenth(documents.sum::<usize>() as f64 / count),
            json: each(spans().map(|(resource, span)| document(resource, span).len()).sum()),
        },
        propagate: Propagate {
            spans: hundredth(propagated_spans as f64 / presses as f64),
            sent: tenth(
                propagated.iter().map(ExportTraceServiceRequest::encoded_len).sum::<usize>() as f64 / propagated_spans as f64,
            ),
        },
    })
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn hundredth(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// What a sandbox without a fault sends, dressed as in a cluster. A cluster as committed has no Redis, and neither have these.
async fn received(presses: u64, instrumentation: Levels) -> anyhow::Result<Vec<ExportTraceServiceRequest>> {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = bodies.clone();
    let sink = warp::path!("v1" / "traces").and(warp::body::bytes()).map(move |body: Bytes| {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        StatusCode::OK
    });
    let sink = sink.or(warp::any().map(|| StatusCode::NOT_FOUND));
    let listener = server::bind(([127, 0, 0, 1], 0).into(), "--port")?;
    let url: url::Url = format!("http://{}", listener.local_addr()?).parse()?;
    let stop = Stop::new();
    let serving = tokio::spawn(server::serve(listener, sink, stop.clone()));

    let config = Config {
        port: 0,
        mystery: Pick::Cause(Cause::None),
        seed: Some(1),
        jaeger: Some(url.clone()),
        otlp: Some(url),
        instrumentation,
        ..Config::default()
    };
    let sandbox = Sandbox::start(&config).await?;
    let plan = Plan { calls: presses, concurrency: 50, rate: Some(RATE), client: "load0001".to_owned(), ..Plan::default() };
    let frontend = sandbox.addresses().frontend.parse()?;
    let report = load::run(outbound::client()?, &frontend, &plan, &Stop::new(), |_| ()).await?;
    anyhow::ensure!(report.errors == 0, "{} of {presses} presses failed, where nothing is wrong", report.errors);
    sandbox.stop().await;
    stop.stop();
    serving.await?;

    let bodies = std::mem::take(&mut *bodies.lock().unwrap_or_else(PoisonError::into_inner));
    let mut all = Vec::new();
    for body in bodies {
        all.extend(ExportTraceServiceRequest::decode(body).context("what was sent is no OTLP")?.resource_spans);
    }
    for of_resource in &mut all {
        of_resource.resource.as_mut().into_iter().for_each(dress);
        for of_scope in &mut of_resource.scope_spans {
            of_scope.spans.retain(|span| !has(span, "db.system.name"));
        }
    }
    Ok(by_service_and_press(&all))
}

/// A request for each service and press, as most of many services send them: how many presses meet in one depends on the machine's pace.
fn by_service_and_press(all: &[ResourceSpans]) -> Vec<ExportTraceServiceRequest> {
    let requests = parts(all, |span| span.trace_id.clone()).into_values().flat_map(|spans| {
        let mut of_service: BTreeMap<String, ResourceSpans> = BTreeMap::new();
        for of_resource in spans {
            let name = of_resource.resource.as_ref().map_or_else(String::new, |resource| service(resource).to_owned());
            match of_service.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(of_resource);
                }
                Entry::Occupied(mut there) => join(&mut there.get_mut().scope_spans, of_resource.scope_spans),
            }
        }
        of_service.into_values().map(|of_resource| ExportTraceServiceRequest { resource_spans: vec![of_resource] })
    });
    requests.collect()
}

/// Spans of a scope that is there already go to those that it has.
fn join(there: &mut Vec<ScopeSpans>, more: Vec<ScopeSpans>) {
    for of_scope in more {
        match there.iter_mut().find(|known| known.scope == of_scope.scope) {
            Some(known) => known.spans.extend(of_scope.spans),
            None => there.push(of_scope),
        }
    }
}

/// Adds what a pod says of itself (`OTEL_RESOURCE_ATTRIBUTES` in kind/base/service.yaml, and its host's name).
fn dress(resource: &mut Resource) {
    let pod = format!("{}-6b7f9c5d48-x7k2p", service(resource));
    resource.attributes.retain(|attribute| attribute.key != "host.name");
    for (key, value) in [
        ("host.name", pod.as_str()),
        ("k8s.pod.name", &pod),
        ("k8s.namespace.name", "tracelab"),
        ("k8s.node.name", "i-0a1b2c3d4e5f60718"),
    ] {
        resource.attributes.push(text(key, value));
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn service(resource: &Resource) -> &str {
    let name = resource.attributes.iter().find(|attribute| attribute.key == "service.name");
    match name.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(name)) => name,
        _ => "",
    }
}

fn has(span: &Span, key: &str) -> bool {
    span.attributes.iter().any(|attribute| attribute.key == key)
}

fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = (&Resource, &Span)> {
    request.resource_spans.iter().flat_map(|of_resource| {
        let spans = of_resource.scope_spans.iter().flat_map(|of_scope| &of_scope.spans);
        spans.filter_map(|span| Some((of_resource.resource.as_ref()?, span)))
    })
}

/// What of these spans belongs together for `key`, resource by resource, each part with a copy of its resource.
fn parts<K: Ord>(all: &[ResourceSpans], key: impl Fn(&Span) -> K) -> BTreeMap<K, Vec<ResourceSpans>> {
    let mut parts: BTreeMap<K, Vec<ResourceSpans>> = BTreeMap::new();
    for of_resource in all {
        let mut here: BTreeMap<K, Vec<ScopeSpans>> = BTreeMap::new();
        for of_scope in &of_resource.scope_spans {
            let mut spans: BTreeMap<K, Vec<Span>> = BTreeMap::new();
            for span in &of_scope.spans {
                spans.entry(key(span)).or_default().push(span.clone());
            }
            for (key, spans) in spans {
                here.entry(key).or_default().push(ScopeSpans { spans, ..of_scope.clone() });
            }
        }
        for (key, scope_spans) in here {
            parts.entry(key).or_default().push(ResourceSpans { scope_spans, ..of_resource.clone() });
        }
    }
    parts
}

/// One request for each aggregator that has a trace of this one; within it each trace has its own copy of the resource.
fn routed(request: &ExportTraceServiceRequest, aggregators: usize) -> Vec<ExportTraceServiceRequest> {
    let mut routed: BTreeMap<usize, Vec<ResourceSpans>> = BTreeMap::new();
    for (trace, spans) in parts(&request.resource_spans, |span| span.trace_id.clone()) {
        let ring = usize::from(trace.last().copied().unwrap_or_default()) % aggregators.max(1);
        routed.entry(ring).or_default().extend(spans);
    }
    routed.into_values().map(|resource_spans| ExportTraceServiceRequest { resource_spans }).collect()
}

/// What aggregators send: whole traces, each scope with the policy that kept it, in batches of at least `min` bytes.
fn batches(requests: &[ExportTraceServiceRequest], min: usize) -> Vec<Vec<u8>> {
    let all: Vec<_> = requests.iter().flat_map(|request| request.resource_spans.iter().cloned()).collect();
    let mut batches = Vec::new();
    let mut batch = ExportTraceServiceRequest::default();
    for mut spans in parts(&all, |span| span.trace_id.clone()).into_values() {
        for of_scope in spans.iter_mut().flat_map(|of_resource| &mut of_resource.scope_spans) {
            let scope = of_scope.scope.get_or_insert_with(InstrumentationScope::default);
            scope.attributes.push(text("tailsampling.policy", "share"));
        }
        batch.resource_spans.extend(spans);
        if batch.encoded_len() >= min {
            batches.push(std::mem::take(&mut batch).encode_to_vec());
        }
    }
    if !batch.resource_spans.is_empty() {
        batches.push(batch.encode_to_vec());
    }
    batches
}

fn gzip(bytes: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Nothing fails to be written to memory; if it did, the figure would be too large to be overlooked.
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_or(usize::MAX, |compressed| compressed.len())
}

fn lz4(bytes: &[u8]) -> usize {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    let written = encoder.write_all(bytes).map_err(lz4_flex::frame::Error::IoError);
    written.and_then(|()| encoder.finish()).map_or(usize::MAX, |compressed| compressed.len())
}

/// Key, type and value as Jaeger keeps a tag.
type Tag = (String, &'static str, String);

fn tag(attribute: &KeyValue) -> Tag {
    let (kind, value) = match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(value)) => ("string", value.clone()),
        Some(Value::BoolValue(value)) => ("bool", value.to_string()),
        Some(Value::IntValue(value)) => ("int64", value.to_string()),
        Some(Value::DoubleValue(value)) => ("float64", value.to_string()),
        other => ("string", format!("{other:?}")),
    };
    (attribute.key.clone(), kind, value)
}

/// A span's attributes, and what Jaeger makes tags of: its kind, and its status if it is one.
fn span_tags(span: &Span) -> impl Iterator<Item = Tag> {
    let kind = match span.kind() {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        _ => "internal",
    };
    let failed = span.status.as_ref().is_some_and(|status| status.code == 2);
    let status = [("error", "bool", "true"), ("otel.status_code", "string", "ERROR")].into_iter().filter(move |_| failed);
    let own = std::iter::once(("span.kind", "string", kind)).chain(status);
    span.attributes.iter().map(tag).chain(own.map(|(key, kind, value)| (key.to_owned(), kind, value.to_owned())))
}

fn process_tags(resource: &Resource) -> impl Iterator<Item = Tag> {
    resource.attributes.iter().filter(|attribute| attribute.key != "service.name").map(tag)
}

fn references(span: &Span) -> usize {
    usize::from(!span.parent_span_id.is_empty())
}

/// The document that Jaeger gives to OpenSearch.
fn document(resource: &Resource, span: &Span) -> String {
    let tags = |tags: &mut dyn Iterator<Item = Tag>| -> Vec<_> {
        tags.map(|(key, kind, value)| json!({"key": key, "type": kind, "value": value})).collect()
    };
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parent = json!({"refType": "CHILD_OF", "traceID": hex(&span.trace_id), "spanID": hex(&span.parent_span_id)});
    let document = json!({
        "traceID": hex(&span.trace_id),
        "spanID": hex(&span.span_id),
        "operationName": span.name,
        "references": vec![parent; references(span)],
        "startTime": span.start_time_unix_nano / 1_000,
        "startTimeMillis": span.start_time_unix_nano / 1_000_000,
        "duration": (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000,
        "tags": tags(&mut span_tags(span)),
        "logs": [],
        "process": {"serviceName": service(resource), "tags": tags(&mut process_tags(resource))},
    });
    document.to_string()
}

/// The rows of all spans, table by table, in the order in which a table keeps them.
#[derive(Default)]
struct Rows {
    count: usize,
    tables: BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Rows {
    fn of<'a>(spans: impl Iterator<Item = (&'a Resource, &'a Span)>) -> Self {
        let mut rows = Self::default();
        for (resource, span) in spans {
            rows.add_span(resource, span);
        }
        rows
    }

    fn add_span(&mut self, resource: &Resource, span: &Span) {
        let service = service(resource);
        let start = (span.start_time_unix_nano / 1_000).to_be_bytes();
        let duration = ((span.end_time_unix_nano - span.start_time_unix_nano) / 1_000).to_be_bytes();
        let when = [&start[..], &span.trace_id].concat();
        self.add("traces", &[&span.trace_id], &row(resource, span, &start, &duration));
        self.add("service_name_index", &[service.as_bytes(), &[start[7] % 10]], &when);
        self.add("service_operation_index", &[service.as_bytes(), span.name.as_bytes()], &when);
        for operation in ["", &span.name] {
            self.add("duration_index", &[service.as_bytes(), operation.as_bytes()], &[&duration[..], &when].concat());
        }
        let tags: BTreeSet<_> = span_tags(span).chain(process_tags(resource)).map(|(key, _, value)| (key, value)).collect();
        for (key, value) in tags {
            let place = [&when[..], &span.span_id].concat();
            self.add("tag_index", &[service.as_bytes(), key.as_bytes(), value.as_bytes()], &place);
        }
    }

    fn add(&mut self, table: &'static str, partition: &[&[u8]], columns: &[u8]) {
        self.count += 1;
        let rows = self.tables.entry(table).or_default().entry(partition.join(&b':')).or_default();
        rows.extend(ROW);
        rows.extend(columns);
    }

    /// Each table as one file: partitions with their keys, one after the other.
    fn files(&self) -> impl Iterator<Item = Vec<u8>> {
        self.tables.values().map(|table| table.iter().flat_map(|(key, rows)| [&PARTITION[..], key, rows].concat()).collect())
    }

    fn bytes(&self) -> usize {
        self.files().map(|file| file.len()).sum()
    }

    fn compressed(&self) -> usize {
        self.files().map(|file| file.chunks(CHUNK).map(|chunk| lz4_flex::block::compress(chunk).len()).sum::<usize>()).sum()
    }
}

/// A row of the table `traces`: every value with its length, a tag with a field for each type that it could have.
fn row(resource: &Resource, span: &Span, start: &[u8], duration: &[u8]) -> Vec<u8> {
    let mut row = Vec::new();
    for value in [&span.span_id[..], &span.span_id, &span.parent_span_id, span.name.as_bytes(), &[0; 4], start, duration] {
        cell(&mut row, value);
    }
    let tags = |row: &mut Vec<u8>, tags: &mut dyn Iterator<Item = Tag>| {
        for (key, kind, value) in tags {
            let text = if kind == "string" { value.as_bytes() } else { b"" };
            for value in [key.as_bytes(), kind.as_bytes(), text, &[0], &[0; 8], &[0; 8], b""] {
                cell(row, value);
            }
        }
    };
    tags(&mut row, &mut span_tags(span));
    cell(&mut row, service(resource).as_bytes());
    tags(&mut row, &mut process_tags(resource));
    row
}

fn cell(row: &mut Vec<u8>, value: &[u8]) {
    row.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    row.extend(value);
}
