//! `GET /api/tracelab/suspects` of the backend: what `tracelab diagnose` says, for a page.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod backend;
#[path = "support/sandbox.rs"]
mod sandbox;

use std::time::Instant;

use backend::Backend;
use sandbox::{PATIENCE, Sandbox, run, stderr};
use serde_json::{Value, json};

const PATH: &str = "/api/tracelab/suspects";
/// 2026-11-01T12:00:00Z.
const START: u64 = 1_793_534_400_000_000_000;

/// A shop whose cart fails now and then: traces number `from..to`, one every millisecond, in OTLP JSON.
fn traces(from: u64, to: u64) -> String {
    let span = |trace: u64, id: u64, name: &str, (start, end): (u64, u64)| {
        let at = |ms: u64| (START + (trace + ms) * 1_000_000).to_string();
        let failed = trace.is_multiple_of(5);
        json!({
            "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"), "name": name,
            "parentSpanId": if id == 1 { String::new() } else { format!("{:016x}", id - 1) },
            "kind": if id == 2 { 3 } else { 2 }, "status": { "code": if failed { 2 } else { 0 } },
            "startTimeUnixNano": at(start), "endTimeUnixNano": at(end),
        })
    };
    let of = |service: &str, spans: Vec<Value>| {
        let attributes = json!([{ "key": "service.name", "value": { "stringValue": service } }]);
        json!({ "resource": { "attributes": attributes }, "scopeSpans": [{ "spans": spans }] })
    };
    let shop = (from..to).flat_map(|trace| [span(trace, 1, "GET /", (0, 30)), span(trace, 2, "GET /cart", (5, 25))]);
    let cart = (from..to).map(|trace| span(trace, 3, "GET /cart", (6, 24)));
    json!({ "resourceSpans": [of("shop", shop.collect()), of("cart", cart.collect())] }).to_string()
}

impl Backend {
    async fn take(&self, from: u64, to: u64) {
        let (status, _, answer) = self.post("/v1/traces", "application/json", traces(from, to)).await;
        assert_eq!((status, &*answer), (200, &br#"{"partialSuccess":{}}"#[..]));
    }

    /// The message of an answer that refuses.
    async fn refused(&self, path: &str) -> String {
        let (status, _, text) = self.get(path).await;
        assert_eq!(status, 400, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["errors"][0]["msg"].as_str().unwrap().to_owned()
    }
}

/// The document without the flame graph and what else only a page needs, and the flame graph.
fn apart(mut document: Value) -> (Value, Value) {
    let fields = document.as_object_mut().unwrap();
    fields.remove("page").unwrap();
    let flame = fields.remove("flame").unwrap();
    (document, flame)
}

/// All nodes of a flame graph with the times of those below each.
fn nodes(flame: &Value) -> Vec<&Value> {
    let mut todo: Vec<&Value> = flame["roots"].as_array().unwrap().iter().collect();
    let mut nodes = Vec::new();
    while let Some(node) = todo.pop() {
        todo.extend(node["children"].as_array().unwrap());
        nodes.push(node);
    }
    nodes
}

#[tokio::test]
async fn the_page_is_told_what_diagnose_says_of_the_same_traces() {
    let sandbox = Sandbox::up(&["--mystery", "failure", "--seed", "7", "--delay-scale", "0.02", "--layers", "3", "--width", "3"]);
    let loaded = sandbox.run(&["load", "300", "--concurrency", "8", "--json"]);
    assert!(loaded.status.success(), "{}", stderr(&loaded));
    let get = async |path: &str| -> Value {
        sandbox.client.get(format!("{}{path}", sandbox.jaeger)).send().await.unwrap().json().await.unwrap()
    };
    // The last spans come some batches after the last answer: until then the two may read different traces.
    let begun = Instant::now();
    let (document, flame) = loop {
        let before = get("/status").await["store"]["spans"].clone();
        let output = run(&["diagnose", "--json", "--jaeger", &sandbox.jaeger]);
        assert!(output.status.success(), "{}", stderr(&output));
        let diagnosed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let (document, flame) = apart(get(PATH).await);
        if get("/status").await["store"]["spans"] == before && diagnosed["read"]["traces"] == 300 {
            assert_eq!(document, diagnosed);
            break (document, flame);
        }
        assert!(begun.elapsed() < PATIENCE, "spans are still coming: {before}");
    };
    assert_eq!(document["suspects"][0]["cause"], "failure", "{document}");
    let output = run(&["diagnose", "--json", "--service", "dummy-1-1", "--jaeger", &sandbox.jaeger]);
    let (of_one, _) = apart(get(&format!("{PATH}?service=dummy-1-1")).await);
    assert_eq!(of_one, serde_json::from_slice::<Value>(&output.stdout).unwrap(), "{}", stderr(&output));
    assert!(of_one["read"]["traces"].as_u64().is_some_and(|traces| (1..300).contains(&traces)), "{of_one}");
    assert_eq!(flame["traces"], 300);
    assert_eq!((&flame["roots"][0]["service"], flame["roots"].as_array().unwrap().len()), (&json!("frontend"), 1));
}

#[tokio::test]
async fn no_time_of_the_flame_graph_is_lost_between_an_operation_and_what_it_called() {
    let backend = Backend::start().await;
    backend.take(1, 51).await;
    let (_, flame) = apart(backend.json(PATH).await);
    let names: Vec<_> = nodes(&flame).iter().map(|node| format!("{} {}", node["service"], node["operation"])).collect();
    assert_eq!(names, ["\"shop\" \"GET /\"", "\"shop\" \"GET /cart\"", "\"cart\" \"GET /cart\""]);
    let ms = |value: &Value| (value.as_f64().unwrap() * 1e6).round() as u64;
    for node in nodes(&flame) {
        let below: u64 = node["children"].as_array().unwrap().iter().map(|child| ms(&child["total_ms"])).sum();
        assert_eq!(ms(&node["total_ms"]), ms(&node["self_ms"]) + below, "{node}");
        assert_eq!(node["spans"], 50);
    }
    assert_eq!(ms(&flame["total_ms"]), 50 * 30_000_000);
}

#[tokio::test]
async fn the_page_has_the_words_and_figures_of_the_report() {
    let backend = Backend::start().await;
    backend.take(1, 101).await;
    let Value::Object(document) = backend.json(PATH).await else { panic!("it is an object") };
    let (page, suspect) = (&document["page"], &document["suspects"][0]);
    assert_eq!(
        (&page["title"], &suspect["service"]),
        (&json!("cart: fails by itself, not because of what it calls"), &json!("cart"))
    );
    assert_eq!(page["suspects"][0]["changes"], json!([["failing", "20 %", "0 %"]]), "{page}");
    assert_eq!((&page["services"], &page["ranking"][0]["service"]), (&json!(2), &json!("cart")));
    let sum = |part: &str| page["latency"].as_array().unwrap().iter().map(|column| column[part].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("others"), sum("concerned")), (80, 20));
    assert_eq!((&page["concerned"]["traces"], &document["flame"]["traces"]), (&json!(20), &json!(100)));
}

#[tokio::test]
async fn an_answer_holds_until_the_store_changes_and_not_longer() {
    let backend = Backend::start().await;
    backend.take(1, 101).await;
    let first = backend.json(PATH).await;
    assert_eq!(first["read"], json!({ "traces": 100, "spans": 300, "left_out": {} }));
    assert_eq!(backend.json(PATH).await, first);
    backend.take(101, 102).await;
    assert_eq!(backend.json(PATH).await["read"]["traces"], 101);
}

#[tokio::test]
async fn whoever_asks_at_the_same_time_gets_the_same_answer() {
    let backend = Backend::start().await;
    backend.take(1, 301).await;
    let answers = futures_util::future::join_all((0..20).map(|_| backend.json(PATH))).await;
    assert_eq!(answers[0]["suspects"][0]["service"], "cart");
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    // Another question meanwhile is answered for itself.
    let other = format!("{PATH}?service=nobody");
    let (all, of_nobody) = tokio::join!(backend.json(PATH), backend.json(&other));
    assert_eq!((&all["read"]["traces"], &of_nobody["read"]["traces"]), (&json!(300), &json!(0)));
}

#[tokio::test]
async fn a_time_and_a_service_choose_the_traces() {
    let backend = Backend::start().await;
    backend.take(1, 101).await;
    let count = async |parameters: &str| backend.json(&format!("{PATH}?{parameters}")).await["read"]["traces"].clone();
    let microseconds = |trace: u64| START / 1_000 + trace * 1_000;
    assert_eq!(count(&format!("end={}", microseconds(10))).await, 10);
    assert_eq!(count(&format!("start={}", microseconds(105) + 1)).await, 1, "only the last cart's span starts later");
    assert_eq!(count("service=cart").await, 100);
    assert_eq!(count("service=nobody").await, 0);
}

#[tokio::test]
async fn an_empty_store_has_empty_lists_and_a_wrong_parameter_is_named() {
    let backend = Backend::start().await;
    let change = json!({ "now": 0.0, "fixed": 0.0 });
    let of_nothing = json!({ "traces": 0, "p50_ms": change, "p99_ms": change, "mean_ms": change, "error_share": change });
    let empty = json!({
        "read": { "traces": 0, "spans": 0, "left_out": {} }, "suspects": [],
        "page": {
            "title": "Nothing stands out", "remarks": ["there is no trace to diagnose"], "suspects": [], "services": 0,
            "now": of_nothing, "latency": [], "ranking": [],
        },
        "flame": { "traces": 0, "total_ms": 0.0, "roots": [] },
    });
    assert_eq!(backend.json(PATH).await, empty);
    for name in ["start", "end"] {
        let error = backend.refused(&format!("{PATH}?{name}=soon")).await;
        assert!(error.contains(&format!("'{name}'")) && error.contains("soon"), "{error}");
    }
    let error = backend.refused(&format!("{PATH}?start=2&end=1")).await;
    assert!(error.contains("'start'") && error.contains("'end'"), "{error}");
    let answer = backend.client.post(format!("{}{PATH}", backend.query)).send().await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn a_name_as_long_as_a_book_is_cut_in_the_flame_graph() {
    let backend = Backend::start().await;
    let book = "é<b>".repeat(1_000);
    let body = traces(1, 2).replace("GET /cart", &book);
    assert_eq!(backend.post("/v1/traces", "application/json", body).await.0, 200);
    let (_, flame) = apart(backend.json(PATH).await);
    let shown = nodes(&flame)[1]["operation"].as_str().unwrap().to_owned();
    assert!(book.starts_with(&shown) && shown.chars().count() == 200, "{shown}");
}
