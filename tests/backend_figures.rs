//! What our own endpoints say over everything that is stored: the graph, distributions, what was in flight, what a trace waited for.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod support;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use serde_json::{Value, json};
use support::Backend;

const START: u64 = 1_793_534_400_000_000_000;
const MS: u64 = 1_000_000;
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// Span `id` of trace `trace`, below `parent` (0: a root), from `from` to `to` in milliseconds after [`START`].
fn span(trace: u128, id: u64, parent: u64, kind: i32, (from, to): (u64, u64)) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
        name: "GET /".to_owned(),
        kind,
        start_time_unix_nano: START + from * MS,
        end_time_unix_nano: START + to * MS,
        ..Span::default()
    }
}

fn failed(span: Span) -> Span {
    Span { status: Some(Status { code: 2, message: String::new() }), ..span }
}

fn named(name: &str, span: Span) -> Span {
    Span { name: name.to_owned(), ..span }
}

fn store(backend: &Backend, service: &str, spans: Vec<Span>) {
    let name = AnyValue { value: Some(Any::StringValue(service.to_owned())) };
    let attribute = KeyValue { key: "service.name".to_owned(), value: Some(name), ..KeyValue::default() };
    let resource = Resource { attributes: vec![attribute], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    backend.store.ingest_traces(&ExportTraceServiceRequest { resource_spans }.encode_to_vec()).unwrap();
}

/// One call of `stock` by `shop`: a server span, its client span of `duration` ms, and the callee's, 2 ms shorter.
fn call(backend: &Backend, trace: u128, at: u64, duration: u64) {
    store(
        backend,
        "shop",
        vec![span(trace, 1, 0, SERVER, (at, at + duration + 10)), span(trace, 2, 1, CLIENT, (at + 5, at + 5 + duration))],
    );
    store(backend, "stock", vec![span(trace, 3, 2, SERVER, (at + 6, at + 4 + duration))]);
}

fn near(found: &Value, right: f64, within: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number, {right} is right"));
    assert!((found - right).abs() <= right * within, "{found} is not within {within} of {right}");
}

fn edges(graph: &Value) -> Vec<(&str, &str, u64, u64)> {
    let number = |edge: &Value, name: &str| edge[name].as_u64().unwrap();
    graph["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            let name = |name: &str| edge[name].as_str().unwrap();
            (name("parent"), name("child"), number(edge, "calls"), number(edge, "errors"))
        })
        .collect()
}

fn ids(summaries: &Value) -> Vec<u64> {
    let id = |summary: &Value| u64::from_str_radix(summary["traceId"].as_str().unwrap(), 16).unwrap();
    summaries["summaries"].as_array().unwrap().iter().map(id).collect()
}

// The graph.

#[tokio::test]
async fn an_edge_has_the_percentiles_of_the_client_spans() {
    let backend = Backend::start().await;
    // 10, 20 … 1000 ms: by the nearest rank 500, 950 and 990.
    for number in 1..=100u64 {
        call(&backend, u128::from(number), number * 10_000, number * 10);
    }
    let graph = backend.json("/api/tracelab/graph").await;
    assert_eq!(edges(&graph), [("shop", "stock", 100, 0)], "what a service does within itself is no call");
    let edge = &graph["edges"][0];
    near(&edge["p50_ms"], 500.0, 0.01);
    near(&edge["p95_ms"], 950.0, 0.01);
    near(&edge["p99_ms"], 990.0, 0.01);
    let services = json!([{"name": "shop", "spans": 200, "errors": 0}, {"name": "stock", "spans": 100, "errors": 0}]);
    assert_eq!((&graph["services"], &graph["spans"], &graph["truncated"]), (&services, &json!(300), &json!(false)));
}

#[tokio::test]
async fn without_a_client_span_a_call_takes_as_long_as_the_callee() {
    let backend = Backend::start().await;
    store(&backend, "proxy", vec![span(1, 1, 0, SERVER, (0, 100))]);
    store(&backend, "shop", vec![span(1, 2, 1, SERVER, (10, 50))]);
    // Whoever puts a message into a queue is done long before it is taken out.
    store(&backend, "shop", vec![span(2, 1, 0, PRODUCER, (0, 1))]);
    store(&backend, "mailer", vec![span(2, 2, 1, CONSUMER, (500, 800))]);
    let graph = backend.json("/api/tracelab/graph").await;
    assert_eq!(edges(&graph), [("proxy", "shop", 1, 0), ("shop", "mailer", 1, 0)]);
    assert_eq!([&graph["edges"][0]["p50_ms"], &graph["edges"][1]["p99_ms"]], [&json!(40.0), &json!(300.0)]);
}

#[tokio::test]
async fn a_call_failed_if_it_did_for_either_side() {
    let backend = Backend::start().await;
    for (trace, client_failed, server_failed) in [(1, false, false), (2, true, false), (3, false, true), (4, true, true)] {
        let mark = |fails, span| if fails { failed(span) } else { span };
        store(&backend, "shop", vec![mark(client_failed, span(trace, 1, 0, CLIENT, (0, 10)))]);
        store(&backend, "stock", vec![mark(server_failed, span(trace, 2, 1, SERVER, (1, 9)))]);
    }
    let graph = backend.json("/api/tracelab/graph").await;
    assert_eq!(edges(&graph), [("shop", "stock", 4, 3)]);
    assert_eq!([&graph["services"][0]["errors"], &graph["services"][1]["errors"]], [2, 2]);
}

#[tokio::test]
async fn a_service_that_calls_itself_over_the_network_is_its_own_neighbour() {
    let backend = Backend::start().await;
    store(
        &backend,
        "shop",
        vec![
            span(1, 1, 0, SERVER, (0, 100)),
            span(1, 2, 1, INTERNAL, (1, 99)),
            span(1, 3, 2, CLIENT, (2, 98)),
            span(1, 4, 3, SERVER, (3, 97)),
        ],
    );
    assert_eq!(edges(&backend.json("/api/tracelab/graph").await), [("shop", "shop", 1, 0)]);
}

#[tokio::test]
async fn the_graph_has_whole_traces_of_its_window_only() {
    let backend = Backend::start().await;
    for trace in 0..3u64 {
        call(&backend, u128::from(trace) + 1, trace * 1_000, 100);
    }
    // As dependencies: after the start, before the end, in microseconds; a trace that reaches beyond is out.
    let at = |ms: u64| (START + ms * MS) / 1_000;
    for (start, end, calls) in [(0, 10_000, 2), (999, 1_111, 1), (1_000, 1_111, 0), (999, 1_110, 0), (5_000, 6_000, 0)] {
        let graph = backend.json(&format!("/api/tracelab/graph?start={}&end={}", at(start), at(end))).await;
        assert_eq!(graph["spans"], calls * 3, "{start} to {end}: {graph}");
        assert_eq!(edges(&graph).iter().map(|edge| edge.2).sum::<u64>(), calls, "{start} to {end}");
    }
    assert_eq!(backend.json(&format!("/api/tracelab/graph?start={}", at(999))).await["spans"], 6);
    assert_eq!(backend.json(&format!("/api/tracelab/graph?end={}", at(999))).await["spans"], 3);
    assert_eq!(backend.json("/api/tracelab/graph?start=-5&end=").await["spans"], 9);
}

#[tokio::test]
async fn what_is_evicted_is_not_counted() {
    let backend = Backend::with_limit(4 << 20).await;
    let long = "x".repeat(10_000);
    for trace in 1..=1_000u64 {
        store(&backend, "shop", vec![named(&format!("{long}{trace}"), span(u128::from(trace), 1, 0, CLIENT, (trace, trace + 50)))]);
        store(&backend, "stock", vec![span(u128::from(trace), 2, 1, SERVER, (trace, trace + 40))]);
    }
    let stats = backend.store.stats();
    assert!(stats.evicted_traces > 100 && stats.traces > 100, "{stats:?}");
    let graph = backend.json("/api/tracelab/graph").await;
    assert_eq!(graph["spans"], stats.spans);
    assert_eq!(edges(&graph), [("shop", "stock", stats.traces, 0)]);
    assert_eq!(backend.json("/api/tracelab/distribution").await["count"], stats.spans);
    // The first ones went.
    assert_eq!(ids(&backend.json(&format!("/api/tracelab/in-flight?at={}", START + 20 * MS)).await), [0u64; 0]);
    assert!(!ids(&backend.json(&format!("/api/tracelab/in-flight?at={}", START + 1_010 * MS)).await).is_empty());
}

#[tokio::test]
async fn a_large_trace_that_was_exported_twice_is_counted_once() {
    let backend = Backend::start().await;
    let children: Vec<_> = (2..=300).map(|id| span(1, id, 1, SERVER, (id, id + 1))).collect();
    for _ in 0..3 {
        store(&backend, "shop", vec![span(1, 1, 0, CLIENT, (0, 1_000))]);
        store(&backend, "stock", children.clone());
    }
    let graph = backend.json("/api/tracelab/graph").await;
    assert_eq!((edges(&graph), &graph["spans"]), (vec![("shop", "stock", 299, 0)], &json!(300)));
    assert_eq!(backend.json("/api/tracelab/distribution").await["count"], 300);
}

#[tokio::test]
async fn a_graph_of_more_edges_than_anybody_can_see_says_that_it_is_cut() {
    let backend = Backend::start().await;
    for number in 1..=2_600u64 {
        store(&backend, "shop", vec![span(u128::from(number), 1, 0, CLIENT, (0, 10))]);
        store(&backend, &format!("stock-{number}"), vec![span(u128::from(number), 2, 1, SERVER, (1, 9))]);
    }
    let graph = backend.json("/api/tracelab/graph").await;
    assert_eq!((edges(&graph).len(), &graph["truncated"], &graph["spans"]), (2_500, &json!(true), &json!(5_200)));
}

// Distributions.

#[tokio::test]
async fn a_distribution_has_the_percentiles_and_buckets_of_what_is_asked_for() {
    let backend = Backend::start().await;
    // 1 to 200 ms, every tenth fails: by the nearest rank 100, 190 and 198.
    for number in 1..=200u64 {
        let one = named("GET /stock", span(u128::from(number), 1, 0, SERVER, (0, number)));
        store(&backend, "stock", vec![if number % 10 == 0 { failed(one) } else { one }]);
    }
    store(&backend, "stock", vec![named("GET /other", span(1_000, 1, 0, SERVER, (0, 9_000)))]);
    store(&backend, "stock", vec![named("GET /stock", span(1_001, 1, 0, CLIENT, (0, 9_000)))]);
    store(&backend, "shop", vec![named("GET /stock", span(1_002, 1, 0, SERVER, (0, 9_000)))]);
    let one = backend.json("/api/tracelab/distribution?service=stock&operation=GET%20/stock&kind=server").await;
    assert_eq!((&one["count"], &one["errors"]), (&json!(200), &json!(20)));
    near(&one["p50_ms"], 100.0, 0.002);
    near(&one["p95_ms"], 190.0, 0.002);
    near(&one["p99_ms"], 198.0, 0.002);
    let buckets: Vec<(f64, u64)> = serde_json::from_value(one["buckets"].clone()).unwrap();
    let mut lower = 0.0;
    for &(upper, count) in &buckets {
        let right = (1..=200).filter(|ms| f64::from(*ms) > lower && f64::from(*ms) <= upper).count() as u64;
        assert_eq!(count, right, "from {lower} to {upper} ms");
        lower = upper;
    }
    assert_eq!(buckets.iter().map(|bucket| bucket.1).sum::<u64>(), 200);
    let decade = buckets.iter().filter(|bucket| bucket.0 > 10.1 && bucket.0 < 100.1).count();
    assert!(decade >= 20, "{decade} buckets from 10 to 100 ms");
    for (query, count) in [("", 203), ("?kind=client", 1), ("?operation=GET%20/stock", 202), ("?service=shop", 1)] {
        assert_eq!(backend.json(&format!("/api/tracelab/distribution{query}")).await["count"], count, "{query}");
    }
}

#[tokio::test]
async fn self_time_is_that_in_which_no_child_runs() {
    let backend = Backend::start().await;
    store(
        &backend,
        "shop",
        vec![
            span(1, 1, 0, SERVER, (100, 200)),
            // Two that overlap, one that begins before its parent and one that ends after it: 10 + 30 + 20 of 100 ms.
            span(1, 2, 1, CLIENT, (90, 110)),
            span(1, 3, 1, CLIENT, (120, 140)),
            span(1, 4, 1, CLIENT, (130, 150)),
            span(1, 5, 1, CLIENT, (180, 500)),
        ],
    );
    // A grandchild takes nothing from its grandparent.
    store(&backend, "stock", vec![span(1, 6, 3, SERVER, (121, 160))]);
    let root = backend.json("/api/tracelab/distribution?service=shop&kind=server").await;
    assert_eq!((&root["p50_ms"], &root["count"]), (&json!(100.0), &json!(1)));
    assert_eq!((&root["self"]["p50_ms"], &root["self"]["count"]), (&json!(40.0), &json!(1)));
    assert_eq!(root["self"]["buckets"].as_array().unwrap().len(), 1);
    let callee = backend.json("/api/tracelab/distribution?service=stock").await;
    assert_eq!(callee["self"]["p99_ms"], callee["p99_ms"], "it has no children");
}

// What was in flight.

#[tokio::test]
async fn traces_in_flight_are_those_that_had_begun_and_not_ended_longest_first() {
    let backend = Backend::start().await;
    for (trace, from, to) in [(1, 0, 100), (2, 50, 300), (3, 99, 101), (4, 100, 150), (5, 101, 110)] {
        store(&backend, "shop", vec![span(trace, 1, 0, SERVER, (from, to))]);
    }
    let at = |ms: u64| format!("/api/tracelab/in-flight?at={}", START + ms * MS);
    assert_eq!(ids(&backend.json(&at(100)).await), [2, 4, 3], "1 ends just then, 5 begins later");
    assert_eq!(ids(&backend.json(&format!("{}&limit=2", at(100))).await), [2, 4]);
    assert_eq!(ids(&backend.json(&at(300)).await), [0u64; 0]);
    assert_eq!(ids(&backend.json("/api/tracelab/in-flight?at=2026-11-01T12:00:00.105Z").await), [2, 4, 5]);
    // The other conditions narrow it, and it comes in another order on request.
    store(&backend, "stock", vec![span(2, 2, 1, CLIENT, (60, 70))]);
    assert_eq!(ids(&backend.json(&format!("{}&query.serviceName=stock", at(100))).await), [2]);
    assert_eq!(ids(&backend.json(&format!("{}&query.durationMax=60ms", at(100))).await), [2, 4, 3]);
    assert_eq!(ids(&backend.json(&format!("{}&query.durationMax=60ms&query.durationOf=trace", at(100))).await), [4, 3]);
    assert_eq!(ids(&backend.json(&format!("{}&query.sortBy=oldest", at(100))).await), [2, 3, 4]);
    // The same words as API v3's.
    let window = "query.startTimeMin=2026-11-01T00:00:00Z&query.startTimeMax=2026-11-30T00:00:00Z&query.sortBy=longest";
    let all = backend.json(&format!("/api/v3/trace-summaries?{window}")).await;
    assert_eq!(backend.json(&at(100)).await["summaries"][0], all["summaries"][0]);
}

#[tokio::test]
async fn times_and_durations_are_those_of_a_span_or_on_request_of_the_whole_trace() {
    let backend = Backend::start().await;
    for (trace, from, to) in [(1, 0, 500), (2, 100, 120), (3, 900, 1_000)] {
        store(&backend, "shop", vec![span(trace, 1, 0, SERVER, (from, to)), span(trace, 2, 1, CLIENT, (from + 5, from + 15))]);
    }
    let found = async |conditions: &str| {
        let window = "query.startTimeMin=2026-11-01T12:00:00.003Z&query.startTimeMax=2026-11-01T12:00:00.500Z";
        ids(&backend.json(&format!("/api/v3/trace-summaries?{window}&query.sortBy=oldest&{conditions}")).await)
    };
    assert_eq!(found("query.durationMax=15ms").await, [1, 2], "a span of each is that short, and in time");
    assert_eq!(found("query.durationMax=15ms&query.durationOf=span").await, [1, 2]);
    assert_eq!(found("query.durationMax=30ms&query.durationOf=trace").await, [2]);
    assert_eq!(found("query.durationMin=15ms&query.durationOf=trace&query.serviceName=shop").await, [2], "1 began before");
    assert_eq!(found("query.durationMin=30ms&query.durationOf=trace").await, [0u64; 0]);
}

// What a trace waited for.

/// Span, from and to in milliseconds, of each part.
fn parts(path: &Value) -> Vec<(u64, u64, u64)> {
    let ms = |part: &Value, name: &str| part[name].as_u64().unwrap() / MS;
    let parts = path["parts"].as_array().unwrap().iter();
    parts
        .map(|part| {
            let id = u64::from_str_radix(part["span_id"].as_str().unwrap(), 16).unwrap();
            (id, ms(part, "start_ns"), ms(part, "end_ns"))
        })
        .collect()
}

#[tokio::test]
async fn a_critical_path_is_what_the_end_of_the_trace_waited_for() {
    let backend = Backend::start().await;
    // The second call ends last; the first is over before it begins; a third runs beside the second and is not waited for.
    let calls = [(2, (10, 30)), (3, (40, 90)), (4, (35, 80))];
    let mut spans = vec![span(7, 1, 0, SERVER, (0, 100))];
    spans.extend(calls.map(|(id, during)| span(7, id, 1, CLIENT, during)));
    spans.push(span(7, 5, 3, INTERNAL, (40, 90)));
    store(&backend, "shop", spans);
    let path = backend.json(&format!("/api/tracelab/critical-path?trace={:032x}", 7)).await;
    assert_eq!(path["trace_id"], format!("{:032x}", 7));
    assert_eq!(path["duration_ns"], 100 * MS);
    assert_eq!(path["notes"], json!([]));
    let whole: Vec<_> = parts(&path).into_iter().filter(|(_, from, to)| from < to).collect();
    assert_eq!(whole, [(1, 0, 10), (2, 10, 30), (1, 30, 40), (5, 40, 90), (1, 90, 100)]);
    assert!(
        parts(&path).iter().any(|(id, from, to)| *id == 3 && from == to),
        "3 is on the path and has no time of its own: {path}"
    );
    // An ID as people shorten it.
    assert_eq!(backend.json("/api/tracelab/critical-path?trace=7").await, path);
}

#[tokio::test]
async fn a_critical_path_says_which_clocks_it_had_to_mend() {
    let backend = Backend::start().await;
    store(&backend, "shop", vec![span(7, 1, 0, SERVER, (1_000, 1_100)), span(7, 2, 1, CLIENT, (1_010, 1_090))]);
    // A second behind its caller: it seems to have answered before it was asked.
    store(&backend, "stock", vec![span(7, 3, 2, SERVER, (0, 60))]);
    let path = backend.json("/api/tracelab/critical-path?trace=7").await;
    assert_eq!(path["notes"], json!(["1 span was moved: the clocks of its process and its caller's differ"]));
    assert!(parts(&path).contains(&(3, 1_020, 1_080)), "in the middle of its call, by the clock of the earliest span: {path}");
}

#[tokio::test]
async fn a_critical_path_of_what_is_not_stored_is_not_found() {
    let backend = Backend::start().await;
    let (status, _, text) = backend.get("/api/tracelab/critical-path?trace=7").await;
    assert_eq!((status, serde_json::from_str::<Value>(&text).unwrap()["error"]["httpCode"].clone()), (404, json!(404)), "{text}");
}

// All of them.

#[tokio::test]
async fn an_empty_store_has_empty_lists() {
    let backend = Backend::start().await;
    let graph = json!({"services": [], "edges": [], "spans": 0, "truncated": false});
    assert_eq!(backend.json("/api/tracelab/graph?start=1&end=2").await, graph);
    let none = json!({"count": 0, "errors": 0, "buckets": [], "p50_ms": null, "p95_ms": null, "p99_ms": null});
    let mut distribution = none.clone();
    distribution["self"] = none;
    assert_eq!(backend.json("/api/tracelab/distribution?service=shop").await, distribution);
    assert_eq!(backend.json("/api/tracelab/in-flight?at=0").await, json!({"summaries": []}));
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let backend = Backend::start().await;
    for (query, name) in [
        ("graph?start=yesterday", "start"),
        ("graph?end=1.5", "end"),
        ("graph?end=99999999999999999999", "end"),
        ("graph?start=2&end=1", "start"),
        ("distribution?kind=waiter", "kind"),
        ("critical-path", "trace"),
        ("critical-path?trace=xyz", "trace"),
        ("in-flight", "at"),
        ("in-flight?at=", "at"),
        ("in-flight?at=noon", "at"),
        ("in-flight?at=99999999999999999999", "at"),
        ("in-flight?at=1&limit=0", "limit"),
        ("in-flight?at=1&limit=-1", "limit"),
        ("in-flight?at=1&limit=many", "limit"),
        ("in-flight?at=1&query.durationOf=day", "query.durationOf"),
        ("in-flight?at=1&query.sortBy=chance", "query.sortBy"),
    ] {
        let (status, _, text) = backend.get(&format!("/api/tracelab/{query}")).await;
        assert_eq!(status, 400, "{query}: {text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        let parameter = ["malformed parameter ", "parameter ", ""].iter().find_map(|before| message.strip_prefix(before)).unwrap();
        assert!(parameter.split([' ', ':']).next() == Some(name), "{query}: {message}");
    }
    assert_eq!(backend.get("/api/tracelab/nothing").await.0, 404);
    let posted = backend.client.post(format!("{}/api/tracelab/graph", backend.query)).send().await.unwrap();
    assert_eq!(posted.status(), 404);
}

#[tokio::test]
async fn hostile_names_and_times_come_back_as_json() {
    let backend = Backend::start().await;
    let name = "<script>\"\\\u{1}🦀";
    let forever = Span { start_time_unix_nano: 0, end_time_unix_nano: u64::MAX, ..span(1, 1, 1, CLIENT, (0, 0)) };
    store(&backend, name, vec![forever.clone()]);
    // Each the parent of the other.
    store(
        &backend,
        "loop",
        vec![Span { span_id: 2u64.to_be_bytes().to_vec(), parent_span_id: 3u64.to_be_bytes().to_vec(), ..forever.clone() }],
    );
    store(
        &backend,
        name,
        vec![Span { span_id: 3u64.to_be_bytes().to_vec(), parent_span_id: 2u64.to_be_bytes().to_vec(), ..forever }],
    );
    let graph = backend.json("/api/tracelab/graph").await;
    assert_eq!(edges(&graph), [(name, "loop", 1, 0), ("loop", name, 1, 0)]);
    let distribution = backend.json("/api/tracelab/distribution").await;
    near(&distribution["p99_ms"], u64::MAX as f64 / 1e6, 0.001);
    assert_eq!(distribution["self"]["p50_ms"], 0.0);
    assert_eq!(ids(&backend.json("/api/tracelab/in-flight?at=1").await), [1]);
}
