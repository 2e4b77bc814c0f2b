//! The embedded backend through its sockets: every way in, what hostile input gets, and what goes when the store is full.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod support;

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use serde_json::{Value, json};
use support::Backend;
use tonic::codec::CompressionEncoding;

const START: u64 = 1_793_534_400_000_000_000;
const WINDOW: &str = "query.startTimeMin=2026-11-01T00:00:00Z&query.startTimeMax=2026-11-30T00:00:00Z";
const PROTOBUF: &str = "application/x-protobuf";

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

/// A span of trace `trace`, `span` numbered from one; the first is the root and each has the one before as its parent.
fn span(trace: u128, span: u64, duration_ms: u64) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: span.to_be_bytes().to_vec(),
        parent_span_id: if span == 1 { Vec::new() } else { (span - 1).to_be_bytes().to_vec() },
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: START + span,
        end_time_unix_nano: START + span + duration_ms * 1_000_000,
        attributes: vec![text("http.request.method", "GET"), attribute("http.response.status_code", Any::IntValue(200))],
        ..Span::default()
    }
}

fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource = Resource { attributes: vec![text("service.name", service)], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }],
    }
}

fn encoded(service: &str, spans: Vec<Span>) -> Vec<u8> {
    request(service, spans).encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn trace_path(trace: u128) -> String {
    format!("/api/v3/traces/{trace:032x}")
}

/// All spans of an API v3 answer.
fn spans(answer: &Value) -> Vec<&Value> {
    let resources = answer["result"]["resourceSpans"].as_array().unwrap();
    let scopes = resources.iter().flat_map(|resource| resource["scopeSpans"].as_array().unwrap());
    scopes.flat_map(|scope| scope["spans"].as_array().unwrap()).collect()
}

fn trace_ids(summaries: &Value) -> Vec<String> {
    summaries["summaries"].as_array().unwrap().iter().map(|summary| summary["traceId"].as_str().unwrap().to_owned()).collect()
}

// The ways in.

#[tokio::test]
async fn protobuf_json_and_gzip_all_arrive_by_http() {
    let backend = Backend::start().await;
    let body = encoded("shop", vec![span(1, 1, 5)]);
    assert_eq!(backend.post("/v1/traces", PROTOBUF, body).await, (200, PROTOBUF.to_owned(), vec![0x0a, 0]));
    let json = serde_json::to_string(&request("shop", vec![span(2, 1, 5)])).unwrap();
    let (status, content_type, answer) = backend.post("/v1/traces", "application/json; charset=utf-8", json).await;
    assert_eq!(
        (status, content_type.as_str(), answer.as_slice()),
        (200, "application/json", br#"{"partialSuccess":{}}"#.as_slice())
    );
    for (trace, content_type, body) in [
        (3, PROTOBUF, encoded("shop", vec![span(3, 1, 5)])),
        (4, "application/json", serde_json::to_vec(&request("shop", vec![span(4, 1, 5)])).unwrap()),
    ] {
        let request = backend.client.post(format!("{}/v1/traces", backend.http)).header("content-type", content_type);
        let response = request.header("content-encoding", "gzip").body(gzip(&body)).send().await.unwrap();
        assert_eq!(response.status(), 200, "trace {trace}");
    }
    let mut expected = backend.json(&trace_path(1)).await;
    for trace in 2..=4u128 {
        expected["result"]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = json!(format!("{trace:032x}"));
        assert_eq!(backend.json(&trace_path(trace)).await, expected);
    }
}

#[tokio::test]
async fn traces_and_logs_arrive_by_grpc_with_and_without_gzip() {
    let backend = Backend::start().await;
    let mut plain = TraceServiceClient::connect(backend.grpc.clone()).await.unwrap();
    plain.export(request("shop", vec![span(1, 1, 5)])).await.unwrap();
    let mut zipped = TraceServiceClient::connect(backend.grpc.clone()).await.unwrap().send_compressed(CompressionEncoding::Gzip);
    zipped.export(request("shop", vec![span(1, 2, 5)])).await.unwrap();
    assert_eq!(spans(&backend.json(&trace_path(1)).await).len(), 2);
    let mut logs = LogsServiceClient::connect(backend.grpc.clone()).await.unwrap().send_compressed(CompressionEncoding::Gzip);
    logs.export(log_request("shop", vec![log(1, 7, "by gRPC")])).await.unwrap();
    assert_eq!(backend.json("/api/logs?traceID=1").await["data"][0]["body"], "by gRPC");
    let malformed = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![Span { trace_id: vec![1; 3], ..span(2, 1, 5) }, span(2, 1, 5)],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let partial = plain.export(malformed).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("trace id"), "{}", partial.error_message);
}

#[tokio::test]
async fn spans_with_unusable_ids_are_counted_and_the_others_kept() {
    let backend = Backend::start().await;
    let bad = [
        Span { trace_id: Vec::new(), ..span(1, 1, 5) },
        Span { trace_id: vec![0; 16], ..span(1, 1, 5) },
        Span { span_id: vec![1; 7], ..span(1, 1, 5) },
        Span { span_id: vec![0; 8], ..span(1, 1, 5) },
        Span { parent_span_id: vec![1; 3], ..span(1, 1, 5) },
    ];
    let count = i64::try_from(bad.len()).unwrap();
    let mut all = bad.to_vec();
    all.push(span(1, 9, 5));
    let (status, _, answer) = backend.post("/v1/traces", PROTOBUF, encoded("shop", all.clone())).await;
    assert_eq!(status, 200);
    let partial = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, count);
    assert!(!partial.error_message.is_empty());
    let json = serde_json::to_string(&request("shop", all)).unwrap();
    let (status, _, answer) = backend.post("/v1/traces", "application/json", json).await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], count.to_string());
    assert_eq!(backend.store.stats().rejected_spans, 2 * count.unsigned_abs());
    assert_eq!(spans(&backend.json(&trace_path(1)).await).len(), 1, "sent twice, shown once");
}

#[tokio::test]
async fn a_span_that_was_exported_twice_is_shown_once() {
    let backend = Backend::start().await;
    for _ in 0..3 {
        backend.store.ingest_traces(&encoded("shop", vec![span(1, 1, 5), span(1, 2, 4)])).unwrap();
    }
    assert_eq!(spans(&backend.json(&trace_path(1)).await).len(), 2);
    let summaries = backend.json(&format!("/api/v3/trace-summaries?{WINDOW}")).await;
    assert_eq!(summaries["summaries"][0]["spanCount"], 2);
    let end = START / 1_000_000 + 60_000;
    let links = backend.json(&format!("/api/dependencies?endTs={end}&lookback=3600000")).await["data"].clone();
    assert_eq!(links, json!([{"parent": "shop", "child": "shop", "callCount": 1}]));
    backend.store.ingest_traces(&encoded("shop", (1..=3).map(|number| span(2, number, 5)).collect())).unwrap();
    let most = backend.json(&format!("/api/v3/trace-summaries?query.sortBy=most-spans&{WINDOW}")).await;
    assert_eq!(trace_ids(&most), [2, 1].map(|trace| format!("{trace:032x}")), "three spans are more than twice two");
    assert_eq!(backend.store.stats().spans, 5);
}

#[tokio::test]
async fn a_large_trace_that_was_exported_twice_is_shown_once() {
    let backend = Backend::start().await;
    let all: Vec<_> = (1..=500).map(|number| span(1, number, 5)).collect();
    for _ in 0..3 {
        backend.store.ingest_traces(&encoded("shop", all.clone())).unwrap();
    }
    assert_eq!(spans(&backend.json(&trace_path(1)).await).len(), 500);
}

#[tokio::test]
async fn spans_of_one_id_that_differ_in_anything_are_all_shown() {
    use opentelemetry_proto::tonic::trace::v1::span::Event;
    let event = |name: &str| vec![Event { name: name.to_owned(), ..Event::default() }];
    let status = |message: &str| Some(Status { code: 2, message: message.to_owned() });
    let failed = Span { status: status("no stock"), ..span(1, 1, 5) };
    let attributes = |value| vec![text("attempt", value), text("why", &value.repeat(300))];
    let different = [
        span(1, 1, 5),
        Span { attributes: attributes("1"), ..span(1, 1, 5) },
        Span { attributes: attributes("2"), ..span(1, 1, 5) },
        Span { events: event("retry"), ..span(1, 1, 5) },
        Span { events: event("give up"), ..span(1, 1, 5) },
        Span { status: status("no money"), ..failed.clone() },
        failed,
    ];
    // Alone, and between others that make the trace too long for a look at every span that comes.
    for others in [0, 100u64] {
        let backend = Backend::start().await;
        for _ in 0..3 {
            for one in &different {
                backend.store.ingest_traces(&encoded("shop", vec![one.clone()])).unwrap();
            }
            let others = (2..2 + others).map(|number| span(1, number, 5)).collect();
            backend.store.ingest_traces(&encoded("shop", others)).unwrap();
        }
        assert_eq!(spans(&backend.json(&trace_path(1)).await).len(), different.len() + others as usize);
    }
}

#[tokio::test]
async fn a_time_of_zero_comes_back_as_it_was() {
    let backend = Backend::start().await;
    backend.store.ingest_traces(&encoded("shop", vec![Span { start_time_unix_nano: 0, ..span(1, 1, 5) }])).unwrap();
    backend.store.ingest_traces(&encoded("shop", vec![span(1, 2, 5)])).unwrap();
    let answer = backend.json(&trace_path(1)).await;
    let starts: Vec<_> = spans(&answer).iter().map(|span| span["startTimeUnixNano"].as_str().unwrap()).collect();
    assert_eq!(starts, ["0", (START + 2).to_string().as_str()]);
    let timeless = LogRecord { time_unix_nano: 0, ..log(2, 0, "first") };
    let backend = Backend::start().await;
    for record in [timeless, log(2, 1, "second")] {
        backend.store.ingest_logs(&log_request("shop", vec![record]).encode_to_vec()).unwrap();
    }
    let lines = backend.json("/api/logs?traceID=2").await;
    assert_eq!(lines["data"][0]["timestamp"], "1970-01-01T00:00:00.000000000Z");
    assert_eq!(lines["data"][1]["timestamp"], "2026-11-01T12:00:00.000000001Z");
}

// Hostile input.

#[tokio::test]
async fn wrong_media_types_methods_and_paths_are_told_so() {
    let backend = Backend::start().await;
    assert_eq!(backend.post("/v1/traces", "text/plain", "hello").await.0, 415);
    assert_eq!(backend.post("/v1/nothing", PROTOBUF, "").await.0, 404);
    assert_eq!(backend.post("/v1/traces", PROTOBUF, vec![0xff; 3]).await.0, 400);
    assert_eq!(backend.post("/v1/traces", "application/json", "{").await.0, 400);
    assert_eq!(backend.client.get(format!("{}/v1/logs", backend.http)).send().await.unwrap().status(), 405);
    let request = backend.client.post(format!("{}/v1/traces", backend.http)).header("content-type", PROTOBUF);
    assert_eq!(request.header("content-encoding", "zstd").body("x").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_body_of_100_mb_and_a_gzip_bomb_are_refused() {
    let backend = Backend::start().await;
    let (status, _, answer) = backend.post("/v1/traces", PROTOBUF, vec![0u8; 100 << 20]).await;
    assert_eq!(status, 413, "{}", String::from_utf8_lossy(&answer));
    let bomb = gzip(&vec![0u8; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let request = backend.client.post(format!("{}/v1/traces", backend.http)).header("content-type", "application/json");
    let response = request.header("content-encoding", "gzip").body(bomb).send().await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], 8);
    let mut grpc = TraceServiceClient::connect(backend.grpc.clone()).await.unwrap();
    let huge = Span { name: "x".repeat(21 << 20), ..span(1, 1, 5) };
    assert_eq!(grpc.export(request_of(huge)).await.unwrap_err().code(), tonic::Code::OutOfRange);
    assert_eq!(backend.store.stats().spans, 0);
    assert_eq!(backend.post("/v1/traces", PROTOBUF, encoded("shop", vec![span(1, 1, 5)])).await.0, 200, "it goes on serving");
}

fn request_of(span: Span) -> ExportTraceServiceRequest {
    request("shop", vec![span])
}

#[tokio::test]
async fn bodies_nested_too_deeply_are_refused() {
    let backend = Backend::start().await;
    let mut value = AnyValue { value: Some(Any::IntValue(1)) };
    for _ in 0..60 {
        value = AnyValue { value: Some(Any::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    let deep =
        Span { attributes: vec![KeyValue { key: "deep".to_owned(), value: Some(value), ..KeyValue::default() }], ..span(1, 1, 5) };
    let (status, _, answer) = backend.post("/v1/traces", PROTOBUF, encoded("shop", vec![deep])).await;
    assert_eq!(status, 400);
    assert!(String::from_utf8_lossy(&answer).contains("nested"));
    let json = format!("{}{}", r#"{"resourceSpans":"#, "[".repeat(100_000));
    assert_eq!(backend.post("/v1/traces", "application/json", json).await.0, 400);
}

#[tokio::test]
async fn text_that_is_not_utf8_and_fields_of_the_wrong_type_are_refused() {
    let backend = Backend::start().await;
    let good = encoded("shop", vec![Span { name: "marker".to_owned(), ..span(1, 1, 5) }]);
    let at = good.windows(6).position(|window| window == b"marker").unwrap();
    let mut bad = good.clone();
    bad[at] = 0xff;
    let (status, _, answer) = backend.post("/v1/traces", PROTOBUF, bad).await;
    assert_eq!(status, 400);
    assert!(String::from_utf8_lossy(&answer).contains("UTF-8"));
    // The name's field number with a varint's wire type.
    let mut wrong = good;
    wrong[at - 2] = 5 << 3;
    assert_eq!(backend.post("/v1/traces", PROTOBUF, wrong).await.0, 400);
    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":7}]}]}]}"#;
    let (status, _, answer) = backend.post("/v1/traces", "application/json", json).await;
    assert_eq!(status, 400);
    assert!(String::from_utf8_lossy(&answer).contains("name"));
    assert_eq!(backend.store.stats().spans, 0);
}

#[tokio::test]
async fn a_request_cut_off_at_any_byte_is_refused_and_stores_nothing() {
    let backend = Backend::start().await;
    let body = encoded("shop", vec![span(1, 1, 5), span(1, 2, 5)]);
    for length in 1..body.len() {
        assert!(backend.store.ingest_traces(&body[..length]).is_err(), "{length} of {} bytes", body.len());
    }
    let logs = log_request("shop", vec![log(1, 1, "line")]).encode_to_vec();
    for length in 1..logs.len() {
        assert!(backend.store.ingest_logs(&logs[..length]).is_err(), "{length} of {} bytes", logs.len());
    }
    for length in [1, body.len() / 2, body.len() - 1] {
        assert_eq!(backend.post("/v1/traces", PROTOBUF, body[..length].to_vec()).await.0, 400);
    }
    assert_eq!(backend.store.stats().spans, 0);
    assert_eq!(backend.store.stats().logs, 0);
}

#[tokio::test]
async fn html_in_names_comes_back_as_text() {
    let backend = Backend::start().await;
    let html = "<script>alert(\"x\")</script>\u{1}\n\\";
    let hostile = Span { name: html.to_owned(), attributes: vec![text(html, html)], ..span(1, 1, 5) };
    backend.store.ingest_traces(&encoded(html, vec![hostile])).unwrap();
    let answer = backend.json(&trace_path(1)).await;
    assert_eq!(spans(&answer)[0]["name"], html);
    assert_eq!(spans(&answer)[0]["attributes"][0], json!({"key": html, "value": {"stringValue": html}}));
    assert_eq!(backend.json("/api/v3/services").await["services"], json!([html]));
    let response = backend.client.get(format!("{}{}", backend.query, trace_path(1))).send().await.unwrap();
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn ids_of_64_bits_are_found_short_and_long() {
    let backend = Backend::start().await;
    backend.store.ingest_traces(&encoded("shop", vec![span(0xa3ce_929d_0e0e_0006, 1, 5)])).unwrap();
    let short = backend.json("/api/v3/traces/a3ce929d0e0e0006").await;
    assert_eq!(spans(&short)[0]["traceId"], "0000000000000000a3ce929d0e0e0006");
    assert_eq!(backend.json("/api/v3/traces/0000000000000000a3ce929d0e0e0006").await, short);
    assert_eq!(backend.json("/api/traces/a3ce929d0e0e0006").await["data"][0]["traceID"], "a3ce929d0e0e0006");
}

// Logs.

fn log(trace: u128, at: u64, body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: START + at,
        severity_number: 13,
        body: Some(AnyValue { value: Some(Any::StringValue(body.to_owned())) }),
        attributes: vec![attribute("attempt", Any::IntValue(2))],
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: 1u64.to_be_bytes().to_vec(),
        ..LogRecord::default()
    }
}

fn log_request(service: &str, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let resource = Resource { attributes: vec![text("service.name", service)], ..Resource::default() };
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() }],
    }
}

#[tokio::test]
async fn the_log_lines_of_a_trace_come_in_time_order_across_services() {
    let backend = Backend::start().await;
    // Lines usually arrive before the spans they belong to: those end later.
    let body = log_request("shop", vec![log(1, 30, "third"), log(1, 10, "first"), log(2, 5, "another trace")]).encode_to_vec();
    assert_eq!(backend.post("/v1/logs", PROTOBUF, body).await, (200, PROTOBUF.to_owned(), vec![0x0a, 0]));
    let json = serde_json::to_string(&log_request("stock", vec![log(1, 20, "second")])).unwrap();
    assert_eq!(backend.post("/v1/logs", "application/json", json).await.0, 200);
    assert_eq!(backend.get(&trace_path(1)).await.0, 404, "a trace with logs only has no spans to show");
    backend.store.ingest_traces(&encoded("shop", vec![span(1, 1, 5)])).unwrap();
    let answer = backend.json("/api/logs?traceID=00000000000000000000000000000001").await;
    let bodies: Vec<_> = answer["data"].as_array().unwrap().iter().map(|line| line["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["first", "second", "third"]);
    assert_eq!(
        answer["data"][1],
        json!({
            "timestamp": "2026-11-01T12:00:00.000000020Z",
            "severity": "WARN",
            "service": "stock",
            "body": "second",
            "attributes": {"attempt": 2},
            "trace_id": "00000000000000000000000000000001",
            "span_id": "0000000000000001",
        })
    );
    assert_eq!(backend.json("/api/v3/services").await["services"], json!(["shop"]), "a service is listed by its spans");
    assert_eq!(backend.get("/api/logs?traceID=abc").await.0, 404);
    assert_eq!(backend.get("/api/logs?traceID=xyz").await.0, 400);
    assert_eq!(backend.get("/api/logs").await.0, 400);
}

#[tokio::test]
async fn a_resource_in_two_parts_is_merged() {
    let backend = Backend::start().await;
    let part = |attribute, dropped_attributes_count| {
        let resource = Resource { attributes: vec![attribute], dropped_attributes_count, ..Resource::default() };
        ResourceSpans { resource: Some(resource), ..ResourceSpans::default() }
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span(1, 1, 5)], ..ScopeSpans::default() }];
    let parts = [
        part(text("service.name", "shop"), 2),
        part(text("host.name", "laptop"), 3),
        ResourceSpans { scope_spans, ..ResourceSpans::default() },
    ];
    // Messages one after the other are the message that has all of their fields.
    let parts: Vec<u8> = parts.iter().flat_map(ResourceSpans::encode_to_vec).collect();
    let mut body = vec![0x0a];
    prost::encoding::encode_varint(parts.len() as u64, &mut body);
    body.extend_from_slice(&parts);
    backend.store.ingest_traces(&body).unwrap();
    assert_eq!(backend.json("/api/v3/services").await["services"], json!(["shop"]));
    let answer = backend.json(&trace_path(1)).await;
    let attributes = json!([
        {"key": "host.name", "value": {"stringValue": "laptop"}},
        {"key": "service.name", "value": {"stringValue": "shop"}},
    ]);
    let resource = json!({"attributes": attributes, "droppedAttributesCount": 3});
    assert_eq!(answer["result"]["resourceSpans"][0]["resource"], resource);
}

#[tokio::test]
async fn what_is_known_of_a_scope_comes_back() {
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    let backend = Backend::start().await;
    let mut all = request("shop", vec![span(1, 1, 5)]);
    let attributes = vec![text("library", "own")];
    all.resource_spans[0].scope_spans[0].scope =
        Some(InstrumentationScope { name: "shop".to_owned(), version: "1.2".to_owned(), attributes, dropped_attributes_count: 3 });
    backend.store.ingest_traces(&all.encode_to_vec()).unwrap();
    let scope = &backend.json(&trace_path(1)).await["result"]["resourceSpans"][0]["scopeSpans"][0]["scope"];
    let library = json!({"key": "library", "value": {"stringValue": "own"}});
    let expected = json!({"name": "shop", "version": "1.2", "attributes": [library], "droppedAttributesCount": 3});
    assert_eq!(scope, &expected);
}

// What goes, and what stays.

#[tokio::test]
async fn the_oldest_traces_go_whole_and_the_newest_stay_whole() {
    let backend = Backend::with_limit(4 << 20).await;
    let traces = 20_000u128;
    for trace in 1..=traces {
        // Half of a trace comes with the next one.
        let mut batch: Vec<_> = (1..=3).map(|number| span(trace, number, 5)).collect();
        batch.extend((4..=6).map(|number| span((trace - 1).max(1), number, 5)));
        backend.store.ingest_traces(&encoded("shop", batch)).unwrap();
        if trace % 100 == 0 {
            backend.store.ingest_logs(&log_request("shop", vec![log(trace, 1, "line")]).encode_to_vec()).unwrap();
        }
    }
    let stats = backend.store.stats();
    assert!(stats.bytes <= stats.limit_bytes, "{stats:?}");
    assert!(stats.evicted_traces > 1_000 && stats.traces > 1_000, "{stats:?}");
    assert_eq!(u128::from(stats.evicted_traces + stats.traces), traces, "{stats:?}");
    assert_eq!(backend.get(&trace_path(1)).await.0, 404);
    assert_eq!(backend.get("/api/logs?traceID=64").await.0, 404, "logs go with their trace");
    let summaries = backend.json(&format!("/api/v3/trace-summaries?query.searchDepth=100000&{WINDOW}")).await;
    let summaries = summaries["summaries"].as_array().unwrap();
    assert_eq!(summaries.len() as u64, stats.traces);
    for summary in summaries {
        let newest = summary["traceId"] == format!("{traces:032x}");
        assert_eq!(summary["spanCount"], if newest { 3 } else { 6 }, "{summary}");
    }
    assert_eq!(summaries[0]["traceId"], format!("{traces:032x}"), "the one that arrived last comes first");
}

#[tokio::test]
async fn one_giant_trace_stays_within_the_limit_and_says_what_it_dropped() {
    let backend = Backend::with_limit(4 << 20).await;
    backend.store.ingest_traces(&encoded("shop", vec![span(7, 1, 5)])).unwrap();
    let (mut stored, mut rejected, mut reason) = (0, 0, String::new());
    for batch in 0..100u64 {
        let giant = (1..=1_000).map(|number| span(1, batch * 1_000 + number, 5)).collect();
        let accepted = backend.store.ingest_traces(&encoded("shop", giant)).unwrap();
        stored += accepted.stored;
        rejected += accepted.rejected;
        reason = accepted.reason.into_owned();
    }
    assert_eq!(stored + rejected, 100_000);
    assert!(stored > 1_000 && rejected > 1_000, "{stored} stored, {rejected} rejected");
    assert!(reason.contains("too large"), "{reason}");
    let stats = backend.store.stats();
    assert_eq!(stats.dropped, rejected);
    assert!(stats.bytes <= stats.limit_bytes, "{stats:?}");
    let giant = backend.json(&trace_path(1)).await;
    assert_eq!(spans(&giant).len() as u64, stored);
    assert_eq!(spans(&backend.json(&trace_path(7)).await).len(), 1, "others are not pushed out by it");
    let late = backend.store.ingest_traces(&encoded("shop", vec![span(7, 2, 5)])).unwrap();
    assert_eq!((late.stored, late.rejected), (1, 0), "nor does it cost them their late spans");
    assert_eq!(spans(&backend.json(&trace_path(7)).await).len(), 2);
}

#[tokio::test]
async fn late_spans_of_many_traces_under_way_are_all_kept() {
    for (limit, traces, under_way) in [(256 << 20, 30_000u128, 30_000u128), (16 << 20, 10_000, 1_000)] {
        let backend = Backend::with_limit(limit).await;
        let mut rejected = 0;
        for first in (0..traces).step_by(under_way as usize) {
            for numbers in [1..=2u64, 3..=7] {
                for trace in first + 1..=first + under_way {
                    let batch = numbers.clone().map(|number| span(trace, number, 5)).collect();
                    rejected += backend.store.ingest_traces(&encoded("shop", batch)).unwrap().rejected;
                }
            }
        }
        let stats = backend.store.stats();
        assert_eq!((rejected, stats.dropped), (0, 0), "{stats:?}");
        assert!(stats.bytes <= stats.limit_bytes, "{stats:?}");
        assert_eq!(stats.spans + stats.evicted_spans, traces as u64 * 7);
        assert_eq!(stats.evicted_spans, 0, "{stats:?}");
    }
}

#[tokio::test]
async fn traces_that_only_ever_grow_stay_within_the_limit() {
    let backend = Backend::with_limit(4 << 20).await;
    let mut stored = 0;
    for batch in 0..200u64 {
        // Four traces, each nearly as large as a trace may be: together they do not fit.
        for trace in 1..=4u128 {
            let more = (1..=200).map(|number| span(trace, batch * 200 + number, 5)).collect();
            stored += backend.store.ingest_traces(&encoded("shop", more)).unwrap().stored;
        }
        let stats = backend.store.stats();
        assert!(stats.bytes <= stats.limit_bytes, "{stats:?}");
        assert_eq!(stats.spans + stats.evicted_spans, stored);
    }
    // One body of large spans comes in one turn.
    let huge = (0..100u64).map(|number| Span { name: "x".repeat(150_000), ..span(100 + u128::from(number), 1, 5) }).collect();
    assert_eq!(backend.store.ingest_traces(&encoded("shop", huge)).unwrap().stored, 100);
    let stats = backend.store.stats();
    assert!(stats.bytes <= stats.limit_bytes, "{stats:?}");
}

// Search.

#[tokio::test]
async fn the_longest_are_found_over_all_that_is_stored() {
    let backend = Backend::start().await;
    // The longest are the first to arrive, where a search of the newest would not look.
    for trace in 1..=3_000u128 {
        let duration = if trace <= 5 { 1_000 - trace as u64 } else { trace as u64 % 100 };
        let (start_time_unix_nano, status) = (START + trace as u64, Some(Status { code: 2, ..Status::default() }));
        let failed = Span { start_time_unix_nano, status, ..span(trace, 2, 1) };
        let more = if trace % 1_000 == 0 { vec![failed.clone(), Span { span_id: vec![9; 8], ..failed }] } else { Vec::new() };
        let mut spans = vec![Span { start_time_unix_nano, ..span(trace, 1, duration) }];
        spans.extend(more);
        backend.store.ingest_traces(&encoded(if trace % 2 == 0 { "even" } else { "odd" }, spans)).unwrap();
    }
    let search = async |sort: &str| {
        trace_ids(&backend.json(&format!("/api/v3/trace-summaries?query.searchDepth=3&query.sortBy={sort}&{WINDOW}")).await)
    };
    let hex = |ids: [u128; 3]| ids.map(|id| format!("{id:032x}"));
    assert_eq!(search("longest").await, hex([1, 2, 3]));
    assert_eq!(search("longest&query.serviceName=odd").await, hex([1, 3, 5]));
    assert_eq!(search("longest&query.serviceName=odd&query.durationMax=997ms").await, hex([3, 5, 99]), "999 ms is too long");
    assert_eq!(search("oldest").await, hex([1, 2, 3]));
    assert_eq!(search("newest").await, hex([3_000, 2_999, 2_998]));
    assert_eq!(search("most-spans").await, hex([3_000, 2_000, 1_000]));
    assert_eq!(search("most-errors&query.serviceName=even").await, hex([3_000, 2_000, 1_000]));
    let legacy = backend.json("/api/traces?service=odd&limit=2&sort=longest&start=1&end=9000000000000000").await;
    let ids: Vec<_> = legacy["data"].as_array().unwrap().iter().map(|trace| trace["traceID"].as_str().unwrap()).collect();
    assert_eq!(ids, ["0000000000000001", "0000000000000003"]);
    let (status, _, text) = backend.get(&format!("/api/v3/traces?query.sortBy=slowest&{WINDOW}")).await;
    assert_eq!(status, 400);
    assert!(text.contains("query.sortBy") && text.contains("longest"), "{text}");
}

#[tokio::test]
async fn attributes_match_on_one_span_whatever_their_type_and_number() {
    let backend = Backend::start().await;
    // More values than a dictionary takes: the later ones stay with their spans.
    for trace in 1..=3_000u128 {
        let attributes = vec![
            text("order", &format!("order-{trace}")),
            attribute("half", Any::DoubleValue(trace as f64 + 0.5)),
            attribute("even", Any::BoolValue(trace % 2 == 0)),
            attribute("bytes", Any::BytesValue((trace as u32).to_be_bytes().to_vec())),
        ];
        let name = format!("operation {trace}");
        backend
            .store
            .ingest_traces(&encoded("shop", vec![Span { attributes, name, ..span(trace, 1, 5) }, span(trace, 2, 5)]))
            .unwrap();
    }
    let search = async |attributes: Value| {
        let attributes: String = url::form_urlencoded::byte_serialize(attributes.to_string().as_bytes()).collect();
        trace_ids(&backend.json(&format!("/api/v3/trace-summaries?query.attributes={attributes}&{WINDOW}")).await)
    };
    for trace in [1u128, 999, 1_001, 3_000] {
        let only = vec![format!("{trace:032x}")];
        assert_eq!(search(json!({"order": format!("order-{trace}")})).await, only);
        assert_eq!(search(json!({"half": format!("{trace}.5")})).await, only);
        assert_eq!(search(json!({"half": format!("{trace}.5"), "even": (trace % 2 == 0).to_string()})).await, only);
        assert_eq!(search(json!({"half": format!("{trace}.5"), "even": (trace % 2 == 1).to_string()})).await, Vec::<String>::new());
        assert_eq!(search(json!({"order": format!("order-{trace}"), "http.request.method": "GET"})).await, Vec::<String>::new());
        let by_name = format!("/api/v3/trace-summaries?query.operationName=operation%20{trace}&{WINDOW}");
        assert_eq!(trace_ids(&backend.json(&by_name).await), only);
    }
    assert_eq!(search(json!({"bytes": "AAAAAQ=="})).await, vec![format!("{:032x}", 1)]);
    assert_eq!(search(json!({"http.response.status_code": "200"})).await.len(), 100, "the default depth");
}

#[tokio::test]
async fn attributes_are_found_in_events_and_links_and_resources_too() {
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
    let backend = Backend::start().await;
    let events = vec![Event { name: "retry".to_owned(), attributes: vec![text("attempt", "second")], ..Event::default() }];
    let links =
        vec![Link { trace_id: vec![1; 16], span_id: vec![1; 8], attributes: vec![text("why", "batch")], ..Link::default() }];
    backend.store.ingest_traces(&encoded("shop", vec![Span { events, ..span(1, 1, 5) }])).unwrap();
    backend.store.ingest_traces(&encoded("stock", vec![Span { links, ..span(2, 1, 5) }])).unwrap();
    for (key, value, trace) in
        [("attempt", "second", 1), ("why", "batch", 2), ("service.name", "shop", 1), ("resource.service.name", "stock", 2)]
    {
        let path = format!("/api/v3/trace-summaries?query.attributes=%7B%22{key}%22:%22{value}%22%7D&{WINDOW}");
        assert_eq!(trace_ids(&backend.json(&path).await), [format!("{trace:032x}")], "{key}");
    }
}

// The way out.

#[tokio::test]
async fn large_answers_stream_and_stay_valid_while_what_they_show_is_evicted() {
    let backend = Backend::with_limit(8 << 20).await;
    let fill = |first: u128| {
        for trace in first..first + 20_000 {
            backend.store.ingest_traces(&encoded("shop", vec![span(trace, 1, 5), span(trace, 2, 4)])).unwrap();
        }
    };
    fill(1);
    for path in [
        format!("/api/v3/traces?query.searchDepth=100000&{WINDOW}"),
        "/api/traces?service=shop&limit=100000&start=1&end=9000000000000000".to_owned(),
        format!("/api/v3/trace-summaries?query.searchDepth=100000&{WINDOW}"),
    ] {
        let mut response = backend.client.get(format!("{}{path}", backend.query)).send().await.unwrap();
        assert_eq!(response.headers().get("content-length"), None, "streams have no length");
        let mut text = response.chunk().await.unwrap().unwrap().to_vec();
        // The reader is slow, the store is written over meanwhile.
        fill(1_000_000);
        while let Some(chunk) = response.chunk().await.unwrap() {
            text.extend_from_slice(&chunk);
        }
        let answer: Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(answer.is_object());
        fill(1);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_server_as_it_was() {
    let backend = Backend::start().await;
    for trace in 1..20_000 {
        backend.store.ingest_traces(&encoded("shop", vec![span(trace, 1, 5)])).unwrap();
    }
    let url = format!("{}/api/v3/traces?query.searchDepth=100000&{WINDOW}", backend.query);
    let mut response = backend.client.get(url).send().await.unwrap();
    response.chunk().await.unwrap();
    drop(response);
    let status = backend.json("/status").await;
    assert_eq!((&status["status"], &status["store"]["traces"]), (&json!("StatusOK"), &json!(19_999)));
}

#[tokio::test]
async fn dependencies_count_calls_between_services_in_the_window() {
    let backend = Backend::start().await;
    for trace in 1..=10u128 {
        backend.store.ingest_traces(&encoded("caller", vec![span(trace, 1, 5), span(trace, 2, 4)])).unwrap();
        backend.store.ingest_traces(&encoded("callee", vec![span(trace, 3, 3)])).unwrap();
    }
    let end = START / 1_000_000 + 60_000;
    let links = backend.json(&format!("/api/dependencies?endTs={end}&lookback=3600000")).await["data"].clone();
    let link = |parent: &str, child: &str| json!({"parent": parent, "child": child, "callCount": 10});
    assert_eq!(links, json!([link("caller", "callee"), link("caller", "caller")]));
    assert_eq!(backend.json(&format!("/api/dependencies?endTs={}&lookback=3600000", end - 120_000)).await["data"], json!([]));
    assert_eq!(backend.json(&format!("/api/dependencies?endTs={end}&lookback=1000")).await["data"], json!([]));
    let one = backend.json(&format!("/api/dependencies?endTs={end}&lookback=3600000&service=callee")).await["data"].clone();
    assert_eq!(one, json!([link("caller", "callee")]));
}

#[tokio::test]
async fn it_stops_at_once_though_clients_keep_their_connections() {
    let backend = Backend::start().await;
    let mut grpc = TraceServiceClient::connect(backend.grpc.clone()).await.unwrap();
    grpc.export(request("shop", vec![span(1, 1, 5)])).await.unwrap();
    let client = backend.client.clone();
    assert_eq!(backend.get("/status").await.0, 200);
    assert_eq!(backend.post("/v1/traces", PROTOBUF, encoded("shop", vec![span(1, 2, 5)])).await.0, 200);
    let url = backend.query.clone();
    let drain = tracelab::server::DRAIN / 2;
    tokio::time::timeout(drain, backend.stop()).await.expect("idle connections do not hold it up");
    assert!(client.get(url).send().await.is_err());
    drop(grpc);
}
