//! What senders may do to the embedded backend: stall, crowd it, and spell their requests in every way that is in use.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod support;

use std::convert::Infallible;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use support::Backend;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;
use tower::ServiceExt as _;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// As many large requests as are read at a time.
const LARGE_AT_ONCE: usize = 4;

/// An `ExportTraceServiceRequest` of one field that nobody knows: valid, of any length, and nothing of it is stored.
fn padding(length: usize) -> Vec<u8> {
    let mut body = vec![15 << 3 | 2];
    let mut rest = length;
    while rest >= 0x80 {
        body.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    body.push(rest as u8);
    body.resize(body.len() + length, 0);
    body
}

/// Sends `chunks` by gRPC on a connection of its own, which it then closes, unless it is to stall. The status's code.
async fn grpc(address: String, chunks: Vec<Bytes>, stall: bool) -> String {
    let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
    let chunks = stream::iter(chunks).map(|chunk| Ok::<_, Infallible>(hyper::body::Frame::data(chunk)));
    let body = match stall {
        true => tonic::body::Body::new(StreamBody::new(chunks.chain(stream::pending()))),
        false => tonic::body::Body::new(StreamBody::new(chunks)),
    };
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let request = http::Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    let response = channel.oneshot(request.body(body).unwrap()).await.unwrap();
    let status = |headers: &http::HeaderMap| headers.get("grpc-status").map(|value| value.to_str().unwrap().to_owned());
    if let Some(code) = status(response.headers()) {
        return code;
    }
    let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap();
    status(&trailers).unwrap()
}

/// One message of gRPC, of which only `sent` bytes are there.
fn message(length: usize, sent: usize) -> Vec<Bytes> {
    let body = padding(length);
    let mut prefix = vec![0];
    prefix.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    vec![prefix.into(), Bytes::from(body).slice(..sent)]
}

fn span(trace: u128) -> Value {
    json!({"traceId": format!("{trace:032x}"), "spanId": "00000000000000ab", "name": "order", "kind": 2})
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn post_gzip(backend: &Backend, content_type: &str, body: Vec<u8>) -> u16 {
    let request = backend.client.post(format!("{}/v1/traces", backend.http)).header("content-type", content_type);
    request.header("content-encoding", "gzip").body(body).send().await.unwrap().status().as_u16()
}

/// Posts a part of a body and then nothing more.
fn stalled_post(backend: &Backend) -> JoinHandle<u16> {
    let chunks = stream::iter([Ok::<_, Infallible>(padding(300 << 10))]).chain(stream::pending());
    let request = backend.client.post(format!("{}/v1/traces", backend.http)).header("content-type", PROTOBUF);
    let request = request.body(reqwest::Body::wrap_stream(chunks)).send();
    tokio::spawn(async move { request.await.unwrap().status().as_u16() })
}

/// Waits until the backend holds so many large requests.
async fn until_large(backend: &Backend, count: usize) {
    let began = Instant::now();
    while backend.json("/status").await["large_requests"] != count {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", backend.json("/status").await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn half_sent_requests_of_both_protocols_share_one_bound_and_end() {
    let backend = Backend::start().await;
    let began = Instant::now();
    let stalled: Vec<_> =
        (0..LARGE_AT_ONCE).map(|_| tokio::spawn(grpc(backend.grpc.clone(), message(19 << 20, 2 << 20), true))).collect();
    until_large(&backend, LARGE_AT_ONCE).await;
    // Small requests need no turn.
    assert_eq!(backend.post("/v1/traces", PROTOBUF, padding(100)).await.0, 200);
    assert_eq!(grpc(backend.grpc.clone(), message(100, 102), false).await, "0");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // A large one by HTTP waits until the stalled ones by gRPC were cut off.
    assert_eq!(backend.post("/v1/traces", PROTOBUF, padding(1 << 20)).await.0, 200);
    assert!(began.elapsed() > Duration::from_secs(4), "{:?}: nobody waited for a turn", began.elapsed());
    for stalled in stalled {
        assert_eq!(stalled.await.unwrap(), "4", "deadline exceeded");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn stalled_posts_time_out_and_who_waited_for_them_is_served() {
    let backend = Backend::start().await;
    let stalled: Vec<_> = (0..LARGE_AT_ONCE).map(|_| stalled_post(&backend)).collect();
    until_large(&backend, LARGE_AT_ONCE).await;
    let length = 1 << 20;
    assert_eq!(grpc(backend.grpc.clone(), message(length, length + 4), false).await, "0");
    for stalled in stalled {
        assert_eq!(stalled.await.unwrap(), 408);
    }
}

#[tokio::test]
async fn small_gzip_bodies_are_served_while_large_ones_stall() {
    let backend = Backend::start().await;
    let stalled: Vec<_> = (0..LARGE_AT_ONCE).map(|_| stalled_post(&backend)).collect();
    until_large(&backend, LARGE_AT_ONCE).await;
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(post_gzip(&backend, PROTOBUF, gzip(&padding(1 << 20))).await, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    stalled.into_iter().for_each(|stalled| stalled.abort());
}

#[tokio::test]
async fn every_member_of_a_gzip_body_is_read() {
    let backend = Backend::start().await;
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span(1)]}]}]}).to_string();
    let (first, second) = body.as_bytes().split_at(body.len() / 2);
    assert_eq!(post_gzip(&backend, JSON, [gzip(first), gzip(second)].concat()).await, 200);
    assert_eq!(backend.store.stats().spans, 1);
    // Of protobuf half may be a whole request too, so that a cut would not show in the answer.
    assert_eq!(post_gzip(&backend, PROTOBUF, [gzip(&padding(10)), gzip(&[0xff])].concat()).await, 400);
    let bomb = gzip(&padding(11 << 20)).repeat(2);
    assert_eq!(post_gzip(&backend, PROTOBUF, bomb).await, 413);
}

#[tokio::test]
async fn json_in_protobufs_own_spelling_arrives_and_foreign_json_is_refused() {
    let backend = Backend::start().await;
    let span = json!({
        "trace_id": format!("{:032x}", 7), "span_id": "00000000000000ab", "name": "order", "kind": "SPAN_KIND_SERVER",
        "attributes": [{"key": "items", "value": {"intValue": 1.0}}],
    });
    let body = json!({"resource_spans": [{"scope_spans": [{"spans": [span]}]}]});
    assert_eq!(backend.post("/v1/traces", JSON, body.to_string()).await.0, 200);
    let stored = &backend.json(&format!("/api/v3/traces/{:032x}", 7)).await["result"]["resourceSpans"][0];
    let stored = &stored["scopeSpans"][0]["spans"][0];
    assert_eq!(stored["kind"], 2);
    assert_eq!(stored["attributes"][0]["value"]["intValue"], "1");

    let (status, _, answer) = backend.post("/v1/traces", JSON, r#"{"resourceLogs":[]}"#).await;
    assert_eq!(status, 400);
    assert!(String::from_utf8_lossy(&answer).contains("resourceSpans"));
    assert_eq!(backend.post("/v1/traces", JSON, "{}").await, (200, JSON.to_owned(), br#"{"partialSuccess":{}}"#.to_vec()));
}

#[tokio::test]
async fn an_ampersand_in_a_path_belongs_to_the_name() {
    let backend = Backend::start().await;
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "R&D"}}]});
    let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span(1)]}]}]});
    assert_eq!(backend.post("/v1/traces", JSON, body.to_string()).await.0, 200);
    for path in ["/api/services/R&D/operations", "/api/services/R%26D/operations"] {
        assert_eq!(backend.json(path).await["data"], json!(["order"]), "{path}");
    }
}
