//! The answers that a real Jaeger gave, replayed against the embedded backend: equal, or listed below with the reason.
//!
//! The recordings lie beside the repository; without them the snapshots in `backend_snapshots.rs` still hold.
//!
//! Differences that no recorded exchange shows:
//! - A warning about an orphan is given once, at every read the same; Jaeger adds one to what it stores at every read.
//! - Sorted searches (`query.sortBy`, `sort`) look at all that is stored; Jaeger has none.
//! - A span that was exported twice counts once; in a trace of more than 64 spans it is shown once, but orders and
//!   dependencies count it twice. Jaeger counts what it stores.
//! - Schema URLs are left out, as the recorded answers leave out those of the recorded input; scope attributes are shown by
//!   API v3 alone, for Jaeger's older form has a tag for the name and one for the version of a scope and no others.
//! - `error=false` finds every span that did not fail, as Jaeger's main does; 2.20 wants its status to be OK.
//! - Spans without usable ids are left out and counted (partial success); Jaeger stores zeros and refuses a whole request
//!   with an id of the wrong length.
//! - `query.filter` gets a 400: no release has it yet, and to ignore it would answer another question.
//! - `/api/quality-metrics` and `/api/deep-dependencies` get a 501; Jaeger answers with made-up data.
//! - `prettyPrint` is ignored: whoever reads JSON by eye has a tool for it.
//! - A span that takes no time stays so; Jaeger makes it a nanosecond long and warns.
//! - A known path with another method gets a 404 where Jaeger says 405.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/required.rs"]
mod required;
#[path = "support/backend.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::Backend;

const MISTAKE: &str = "the caller's mistake, not ours: 400 where Jaeger says 500";
const NEWEST: &str = "of traces from one request Jaeger's newest is whichever its map gave it last";

/// Exchanges that differ on purpose: name, the status that is right instead, why.
const DIFFERENT: &[(&str, u16, &str)] = &[
    ("v3-traces-depth-0", 400, MISTAKE),
    ("v3-traces-depth-huge", 400, MISTAKE),
    ("v3-traces-depth-negative", 400, MISTAKE),
    ("v3-trace-summaries-depth-0", 400, MISTAKE),
    ("v3-trace-summaries-depth-huge", 400, MISTAKE),
    ("v3-trace-summaries-depth-negative", 400, MISTAKE),
    ("legacy-search-limit-0", 400, MISTAKE),
    ("legacy-search-limit-huge", 400, MISTAKE),
    ("v3-traces-depth-1", 200, NEWEST),
    ("v3-trace-summaries-depth-1", 200, NEWEST),
    ("legacy-search-limit-1", 200, NEWEST),
];

fn recordings() -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/jaeger-api"));
    if path.is_dir() {
        return Some(path.to_owned());
    }
    assert!(!required::required("shared"), "TRACELAB_REQUIRE names shared, but there is no {}", path.display());
    eprintln!("skipped: no {}", path.display());
    None
}

#[tokio::test]
async fn the_backend_answers_as_jaeger_2_20_does() {
    replay("v2.20.0.jsonl", false).await;
}

#[tokio::test]
async fn the_backend_answers_as_jaeger_main_does_where_it_kept_the_path() {
    replay("main-2026-08-20.jsonl", true).await;
}

async fn replay(file: &str, legacy_is_gone: bool) {
    let Some(folder) = recordings() else { return };
    let input = std::fs::read_to_string(folder.join("input.otlp.json")).unwrap();
    let backend = Backend::start().await;
    let (status, _, _) = backend.post("/v1/traces", "application/json", input.clone()).await;
    assert_eq!(status, 200);
    let (mut compared, mut failures) = (0, Vec::new());
    for line in std::fs::read_to_string(folder.join(file)).unwrap().lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let name = exchange["name"].as_str().unwrap();
        let wanted = &exchange["response"];
        if legacy_is_gone
            && wanted["status"] == 404
            && name.starts_with("legacy-")
            && wanted["text"] == "404 page not found\n"
            && name != "legacy-unknown"
        {
            continue; // Removed on main; what 2.20 answered is what counts.
        }
        compared += 1;
        let got = ask(&backend, &exchange["request"], &input).await;
        if let Some((_, status, why)) = DIFFERENT.iter().find(|(different, _, _)| *different == name) {
            if got["status"] != *status {
                failures.push(format!("{name}: expected {status} ({why}), got {got:#}"));
            } else if *status == 200 && (shape(&got) != shape(wanted) || traces(&got).len() != 1) {
                failures.push(format!("{name}: expected one trace in the shape of {wanted:#} ({why}), got {got:#}"));
            }
        } else if let Some(difference) = compare(name, wanted, &got) {
            failures.push(format!("{name}: {difference}"));
        }
    }
    assert!(compared > 80, "only {compared} exchanges in {file}");
    assert!(failures.is_empty(), "{} of {compared} differ:\n{}", failures.len(), failures.join("\n"));
}

async fn ask(backend: &Backend, request: &Value, input: &str) -> Value {
    let path = request["path"].as_str().unwrap();
    let base = if path.starts_with("/v1/") { &backend.http } else { &backend.query };
    let method = reqwest::Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
    let mut builder = backend.client.request(method, format!("{base}{path}"));
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        builder = builder.header(name, value.as_str().unwrap());
    }
    if let Some(body) = request["body"].as_str() {
        builder = builder.body(if body == "input.otlp.json" { input.to_owned() } else { body.to_owned() });
    }
    let (status, content_type, text) = support::read(builder.send().await.unwrap()).await;
    match serde_json::from_str::<Value>(&text) {
        Ok(json) => json!({"status": status, "content_type": content_type, "json": json}),
        Err(_) => json!({"status": status, "content_type": content_type, "text": text}),
    }
}

fn compare(name: &str, wanted: &Value, got: &Value) -> Option<String> {
    for key in ["status", "content_type"] {
        if wanted[key] != got[key] {
            return Some(format!("{key}: wanted {}, got {got}", wanted[key]));
        }
    }
    // The wording of a parser is its own; the status, the envelope and the field it names are not.
    if wanted["status"] == 400 {
        let (wanted, got) = (error_of(wanted), error_of(got));
        return (wanted != got).then(|| format!("wanted the error {wanted}, got {got}"));
    }
    let (wanted, got) = (normal(wanted), normal(got));
    (wanted != got).then(|| format!("\n  wanted {wanted}\n  got    {got}\n  request {name}"))
}

/// What answers with different traces have in common: status, type, and the names of all fields down to the spans.
fn shape(answer: &Value) -> Value {
    let scope = "/json/result/resourceSpans/0/scopeSpans/0";
    let places = ["/json", "/json/result", "/json/result/resourceSpans/0", scope, "/json/data/0", "/json/data/0/spans/0"];
    let keys = |place: &str| answer.pointer(place)?.as_object().map(|fields| fields.keys().collect::<Vec<_>>());
    let of_places: Vec<_> = places.iter().map(|place| keys(place)).collect();
    json!([answer["status"], answer["content_type"], of_places])
}

/// The ids of the traces in an answer, each once.
fn traces(answer: &Value) -> BTreeSet<&str> {
    let answer = &answer["json"];
    let resources = list(&answer["result"]["resourceSpans"]);
    let spans = resources.flat_map(|resource| list(&resource["scopeSpans"])).flat_map(|scope| list(&scope["spans"]));
    let found = spans.chain(list(&answer["summaries"])).map(|item| &item["traceId"]);
    found.chain(list(&answer["data"]).map(|trace| &trace["traceID"])).map(|id| id.as_str().unwrap()).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// An error without what comes after the name of the field.
fn error_of(answer: &Value) -> Value {
    let mut answer = answer.clone();
    let cut = |message: &mut Value| {
        let text = message.as_str().unwrap_or_default();
        let parser = ["malformed parameter", "unable to parse param", "cannot parse", "malformed 'tags'", "cannot unmarshal"];
        if parser.iter().any(|prefix| text.starts_with(prefix)) {
            *message = text.split(':').next().into();
        }
    };
    if answer["content_type"] == "application/json" && answer["json"]["code"] == 3 {
        answer["json"]["message"] = Value::Null;
    }
    if answer["content_type"] == "application/x-protobuf" {
        answer["text"] = Value::Null;
    }
    if let Some(message) = answer.pointer_mut("/json/error/message") {
        cut(message);
    }
    if let Some(message) = answer.pointer_mut("/json/errors/0/msg") {
        cut(message);
    }
    answer
}

/// An answer without what need not be equal: the order of lists, Jaeger's own service, warnings said again and again.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: serde_json::Map<_, _> = map.iter().map(|(key, value)| (key.clone(), normal(value))).collect();
            // Processes are numbered in the order of the spans.
            if let (Some(Value::Object(processes)), Some(Value::Array(spans))) =
                (map.get("processes").cloned(), map.get_mut("spans"))
            {
                for span in spans {
                    let number = span["processID"].as_str().unwrap().to_owned();
                    span["processID"] = processes[&number]["serviceName"].clone();
                }
                let sorted = normal(&Value::Array(processes.values().cloned().collect()));
                map.insert("processes".to_owned(), sorted);
                let spans = normal(&map["spans"]);
                map.insert("spans".to_owned(), spans);
            }
            for list in ["services", "data"] {
                if let Some(Value::Array(items)) = map.get_mut(list)
                    && items.contains(&json!("jaeger"))
                {
                    items.retain(|item| item != "jaeger");
                    if let Some(total) = map.get("total").and_then(Value::as_u64) {
                        map.insert("total".to_owned(), (total - 1).into());
                    }
                }
            }
            if let Some(Value::Array(warnings)) = map.get_mut("warnings") {
                warnings.dedup();
            }
            Value::Object(map)
        }
        Value::Array(items) => {
            let mut items: Vec<_> = items.iter().map(normal).collect();
            items.sort_by_key(Value::to_string);
            if items.iter().all(|item| item["stringValue"].as_str().is_some_and(|text| text.starts_with("parent span ID="))) {
                items.dedup();
            }
            Value::Array(items)
        }
        other => other.clone(),
    }
}
