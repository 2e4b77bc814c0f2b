//! Mutations of good requests, seeded: nothing panics, the store stays within its limit, and every answer stays valid JSON.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod support;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use support::Backend;

const LIMIT: usize = 4 << 20;
/// What one request may add before the store looks at its size again.
const SLACK: usize = 1 << 20;
const WINDOW: &str = "query.startTimeMin=1970-01-01T00:00:00Z&query.startTimeMax=2500-01-01T00:00:00Z";

const TRACES: &str = r#"{"resourceSpans":[{"resource":{"attributes":[
  {"key":"service.name","value":{"stringValue":"shop"}},{"key":"host.name","value":{"stringValue":"laptop"}}]},
 "scopeSpans":[{"scope":{"name":"scope","version":"1","attributes":[{"key":"a","value":{"intValue":"1"}}]},"spans":[
  {"traceId":"4bf92f3577b34da6a3ce929d0e0e0001","spanId":"f000000000000001","name":"GET /","kind":2,
   "startTimeUnixNano":"1793534400000000000","endTimeUnixNano":"1793534400018000000","traceState":"a=b","flags":257,
   "attributes":[{"key":"s","value":{"stringValue":"text"}},{"key":"d","value":{"doubleValue":0.5}},{"key":"b","value":{"boolValue":true}},
    {"key":"l","value":{"arrayValue":{"values":[{"intValue":"1"},{"stringValue":"x"}]}}},
    {"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"bytesValue":"AP8="}}]}}}],
   "events":[{"timeUnixNano":"1793534400000000001","name":"event","attributes":[{"key":"e","value":{"stringValue":"v"}}]}],
   "links":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e0002","spanId":"f000000000000002","attributes":[{"key":"w","value":{"stringValue":"v"}}]}],
   "status":{"code":2,"message":"failed"},"droppedAttributesCount":1,"droppedEventsCount":2,"droppedLinksCount":3},
  {"traceId":"4bf92f3577b34da6a3ce929d0e0e0001","spanId":"f000000000000003","parentSpanId":"f000000000000001","name":"GET","kind":3,
   "startTimeUnixNano":"1793534400001000000","endTimeUnixNano":"1793534400017000000"}]}]}]}"#;

const LOGS: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
 "scopeLogs":[{"logRecords":[{"timeUnixNano":"1793534400000000001","severityNumber":9,"severityText":"INFO","body":{"stringValue":"line"},
  "attributes":[{"key":"a","value":{"intValue":"1"}}],"traceId":"4bf92f3577b34da6a3ce929d0e0e0001","spanId":"f000000000000001"}]}]}]}"#;

#[tokio::test]
async fn mutated_requests_neither_panic_nor_grow_the_store_nor_spoil_an_answer() {
    let backend = Backend::with_limit(LIMIT).await;
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_120);
    let traces: ExportTraceServiceRequest = serde_json::from_str(TRACES).unwrap();
    let logs: ExportLogsServiceRequest = serde_json::from_str(LOGS).unwrap();
    let mut accepted = 0;
    for round in 0..30_000 {
        let as_logs = round % 4 == 0;
        let mut body = if as_logs { logs.encode_to_vec() } else { varied(&traces, &mut rng).encode_to_vec() };
        for _ in 0..rng.random_range(0..3) {
            mutate(&mut body, &mut rng);
        }
        let stored = if as_logs { backend.store.ingest_logs(&body) } else { backend.store.ingest_traces(&body) };
        accepted += u64::from(stored.is_ok());
        if round % 1_000 == 0 {
            let stats = backend.store.stats();
            assert!(stats.bytes <= LIMIT + SLACK, "round {round}: {stats:?}");
        }
    }
    assert!(backend.store.stats().evicted_traces > 0, "the limit was never reached");
    assert!(accepted > 5_000, "only {accepted} of the mutants were well formed");
    for path in [
        format!("/api/v3/traces?query.searchDepth=100000&{WINDOW}"),
        format!("/api/v3/traces?query.searchDepth=100000&query.rawTraces=true&{WINDOW}"),
        format!("/api/v3/trace-summaries?query.searchDepth=100000&query.sortBy=longest&{WINDOW}"),
        format!("/api/v3/trace-summaries?query.serviceName=shop&query.attributes=%7B%22s%22:%22text%22%7D&{WINDOW}"),
        "/api/traces?service=shop&limit=100000&start=0&end=9000000000000000".to_owned(),
        "/api/v3/services".to_owned(),
        "/api/v3/operations?service=shop".to_owned(),
        "/api/services/shop/operations".to_owned(),
        "/api/dependencies?endTs=9000000000000&lookback=9000000000000".to_owned(),
        "/api/logs?traceID=4bf92f3577b34da6a3ce929d0e0e0001".to_owned(),
    ] {
        let (status, _, text) = backend.get(&path).await;
        // The one trace that all logs belong to may be evicted by now.
        assert!(status == 200 || (status == 404 && path.starts_with("/api/logs")), "{path}: {status}");
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

#[tokio::test]
async fn mutated_json_is_refused_or_stored_and_never_panics() {
    let backend = Backend::with_limit(LIMIT).await;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..300 {
        let mut body = TRACES.as_bytes().to_vec();
        mutate(&mut body, &mut rng);
        let path = if round % 3 == 0 { format!("{}/api/transform", backend.query) } else { format!("{}/v1/traces", backend.http) };
        let response = backend.client.post(path).header("content-type", "application/json").body(body).send().await.unwrap();
        assert!(matches!(response.status().as_u16(), 200 | 400), "{}", response.status());
    }
}

/// The same request with names, values and ids of its own.
fn varied(request: &ExportTraceServiceRequest, rng: &mut ChaCha8Rng) -> ExportTraceServiceRequest {
    let mut request = request.clone();
    for span in request.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans).flat_map(|scope| &mut scope.spans)
    {
        if rng.random_ratio(1, 2) {
            span.trace_id = rng.random::<[u8; 16]>().to_vec();
        }
        if rng.random_ratio(1, 4) {
            span.name = "n".repeat(rng.random_range(0..2_000));
        }
        if rng.random_ratio(1, 8) {
            span.start_time_unix_nano = rng.random();
            span.end_time_unix_nano = rng.random();
        }
        if let Some(attribute) = span.attributes.first_mut() {
            attribute.key = format!("key-{}", rng.random_range(0..10_000));
        }
    }
    request
}

fn mutate(body: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..body.len());
    match rng.random_range(0..6) {
        0 => body[at] ^= 1 << rng.random_range(0..8),
        1 => body[at] = rng.random(),
        2 => body.truncate(at.max(1)),
        3 => body.insert(at, rng.random()),
        4 => drop(body.remove(at)),
        _ => {
            let end = (at + rng.random_range(0..64)).min(body.len());
            let copy = body[at..end].to_vec();
            body.splice(at..at, copy);
        }
    }
    if body.is_empty() {
        body.push(0);
    }
}
