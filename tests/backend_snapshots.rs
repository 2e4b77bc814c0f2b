//! What the backend answers, as snapshots to review: for those who lack the recordings that `jaeger_api.rs` replays.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod support;

use std::fmt::Write as _;

use serde_json::Value;
use support::Backend;

const WINDOW: &str = "query.startTimeMin=2026-11-01T00:00:00Z&query.startTimeMax=2026-11-02T00:00:00Z";

/// A failed order through two services, with an event, a link and every type of attribute; and an orphan of 64 bits.
const TRACES: &str = r#"{"resourceSpans":[
 {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"host.name","value":{"stringValue":"laptop"}}]},
  "scopeSpans":[{"scope":{"name":"tracelab","version":"0.1.0"},"spans":[
   {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"POST /orders","kind":2,"traceState":"vendor=1",
    "startTimeUnixNano":"1793534400000000000","endTimeUnixNano":"1793534400250000000","status":{"code":2,"message":"no stock"},
    "attributes":[{"key":"http.request.method","value":{"stringValue":"POST"}},{"key":"retry","value":{"boolValue":false}},
     {"key":"price","value":{"doubleValue":9.5}},{"key":"big","value":{"intValue":"9007199254740993"}},
     {"key":"items","value":{"arrayValue":{"values":[{"stringValue":"cup"},{"intValue":"2"}]}}},
     {"key":"address","value":{"kvlistValue":{"values":[{"key":"zip","value":{"intValue":"1"}}]}}},{"key":"raw","value":{"bytesValue":"AP8="}}],
    "events":[{"timeUnixNano":"1793534400100000000","name":"exception","attributes":[{"key":"exception.message","value":{"stringValue":"no stock"}}]}],
    "links":[{"traceId":"0af7651916cd43dd8448eb211c80319d","spanId":"b7ad6b7169203332"}]},
   {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203333","parentSpanId":"b7ad6b7169203331","name":"GET","kind":3,
    "startTimeUnixNano":"1793534400010000000","endTimeUnixNano":"1793534400240000000","status":{"code":1}}]}]},
 {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"stock"}}]},
  "scopeSpans":[{"scope":{},"spans":[
   {"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203334","parentSpanId":"b7ad6b7169203333","name":"GET /stock/{item}","kind":2,
    "startTimeUnixNano":"1793534400020000000","endTimeUnixNano":"1793534400230000000"},
   {"traceId":"0000000000000000a3ce929d0e0e4736","spanId":"b7ad6b7169203335","parentSpanId":"eeeeeeeeeeeeeeee","name":"sweep",
    "startTimeUnixNano":"1793534405000000000","endTimeUnixNano":"1793534405000001000"}]}]}]}"#;

async fn snapshot(paths: &[String]) -> String {
    let backend = Backend::start().await;
    assert_eq!(backend.post("/v1/traces", "application/json", TRACES).await.0, 200);
    let mut out = String::new();
    for path in paths {
        let (status, content_type, text) = backend.get(path).await;
        let pretty = serde_json::from_str::<Value>(&text).map_or(text, |json| serde_json::to_string_pretty(&json).unwrap());
        writeln!(out, "GET {path}\n{status} {content_type}\n{}\n", pretty.trim_end()).unwrap();
    }
    out
}

#[tokio::test]
async fn api_v3() {
    let paths = [
        "/api/v3/services".to_owned(),
        "/api/v3/operations?service=shop".to_owned(),
        "/api/v3/operations?service=shop&spanKind=client".to_owned(),
        "/api/v3/traces/0af7651916cd43dd8448eb211c80319c".to_owned(),
        format!("/api/v3/traces?query.serviceName=stock&query.operationName=sweep&{WINDOW}"),
        format!("/api/v3/trace-summaries?query.sortBy=longest&{WINDOW}"),
        format!("/api/v3/trace-summaries?query.attributes=%7B%22error%22:%22true%22%7D&{WINDOW}"),
        format!("/api/v3/traces?query.serviceName=nobody&{WINDOW}"),
        format!("/api/v3/trace-summaries?query.searchDepth=0&{WINDOW}"),
        format!("/api/v3/trace-summaries?query.durationMin=long&{WINDOW}"),
        "/api/v3/trace-summaries".to_owned(),
        "/api/v3/traces/xyz".to_owned(),
        "/api/v3/nothing".to_owned(),
    ];
    insta::assert_snapshot!(snapshot(&paths).await);
}

#[tokio::test]
async fn legacy_api() {
    let paths = [
        "/api/services",
        "/api/services/shop/operations",
        "/api/operations?service=stock",
        "/api/traces/0af7651916cd43dd8448eb211c80319c",
        "/api/traces?service=stock&operation=sweep&start=1793534400000000&end=1793534500000000",
        "/api/traces?traceID=abc",
        "/api/traces?service=shop&minDuration=2s&maxDuration=1s",
        "/api/traces?limit=1",
        "/api/traces/abc",
        "/api/dependencies?endTs=1793538000000&lookback=7200000",
        "/api/dependencies?endTs=now",
        "/api/metrics/calls?service=shop",
        "/api/logs?traceID=0af7651916cd43dd8448eb211c80319c",
        "/api/nothing",
        "/status",
    ];
    insta::assert_snapshot!(snapshot(&paths.map(str::to_owned)).await);
}
