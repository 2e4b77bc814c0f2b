//! `GET /api/map` of the frontend: what the traces say of who calls whom, and nothing that only the game knows.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/fake.rs"]
mod fake;
#[path = "support/sandbox.rs"]
mod sandbox;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fake::{Fake, Reply};
use sandbox::{PATIENCE, Sandbox, Span, until};
use serde_json::{Value, json};
use tokio::sync::watch;

const SIZE: [&str; 6] = ["--layers", "2", "--width", "3", "--delay-scale", "0"];

fn up(flags: &[&str]) -> Sandbox {
    Sandbox::up(&[&SIZE, flags].concat())
}

/// A sandbox whose traces go nowhere, before a trace backend of the test's.
fn up_before(jaeger: &str) -> Sandbox {
    up(&["--jaeger", jaeger, "--otlp", "http://127.0.0.1:9"])
}

/// The map, as soon as it is as it should be: readings are seconds apart.
async fn map(sandbox: &Sandbox, is: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let map = sandbox.get("/api/map").await;
        if is(&map) {
            return map;
        }
        assert!(begun.elapsed() < PATIENCE, "{map}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn names() -> Value {
    let services = (0..2).flat_map(|layer| (0..3).map(move |number| format!("dummy-{layer}-{number}")));
    std::iter::once("frontend".to_owned()).chain(services).map(|name| json!({ "name": name })).collect()
}

#[tokio::test]
async fn of_a_mystery_that_nobody_met_the_map_says_nothing_but_names() {
    for (mystery, seed) in [("sleep", "1"), ("failure", "2"), ("none", "3")] {
        let sandbox = up(&["--mystery", mystery, "--seed", seed]);
        let empty = json!({ "state": "empty", "traces": 0, "edges": [], "services": names() });
        assert_eq!(sandbox.get("/api/map").await, empty, "{mystery}");
    }
}

/// The calls among spans by caller and called one, with the milliseconds that each took its caller.
fn calls(spans: &[Span]) -> BTreeMap<(String, String), Vec<f64>> {
    let mut calls = BTreeMap::new();
    for (span, parent) in spans.iter().filter_map(|span| Some((span, spans.iter().find(|parent| parent.id() == span.parent())?))) {
        if span.service != parent.service {
            assert_eq!(parent.kind(), 3, "services call each other by clients: {parent:?}");
            let both: &mut Vec<f64> = calls.entry((parent.service.clone(), span.service.clone())).or_default();
            both.push(parent.duration_ms());
        }
    }
    calls
}

#[tokio::test]
async fn calls_and_their_times_are_those_of_the_spans() {
    let sandbox = up(&["--mystery", "none"]);
    let mut expected: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for button in [0, 0, 0, 1] {
        let answer = sandbox.press(button).await;
        let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 5).await;
        for (edge, times) in calls(&spans) {
            expected.entry(edge).or_default().extend(times);
        }
    }
    let map = map(&sandbox, |map| map["traces"] == 4).await;
    assert_eq!(map["state"], "ready");
    let edges = map["edges"].as_array().unwrap();
    assert_eq!(edges.len(), expected.len(), "{map}");
    for edge in edges {
        let key = (edge["from"].as_str().unwrap().to_owned(), edge["to"].as_str().unwrap().to_owned());
        let mut times = expected.remove(&key).unwrap_or_else(|| panic!("nobody made this call: {edge}"));
        times.sort_by(f64::total_cmp);
        assert_eq!((edge["calls"].as_u64(), edge["errors"].as_u64()), (Some(times.len() as u64), Some(0)));
        let [p50, p95, p99] = ["p50_ms", "p95_ms", "p99_ms"].map(|key| edge[key].as_f64().unwrap());
        // The spans' times here are exact to a quarter of a microsecond.
        assert!((p50 - times[(times.len() - 1) / 2]).abs() < 0.001, "{edge} {times:?}");
        assert!((p95 - times[times.len() - 1]).abs() < 0.001, "{edge} {times:?}");
        assert!((p99 - times[times.len() - 1]).abs() < 0.001, "{edge} {times:?}");
    }
    let met = |service: &&Value| service.get("spans").is_some();
    let met: BTreeSet<_> =
        map["services"].as_array().unwrap().iter().filter(met).map(|service| service["name"].as_str().unwrap()).collect();
    assert_eq!(met.into_iter().collect::<Vec<_>>(), ["dummy-0-0", "dummy-0-1", "dummy-1-0", "dummy-1-1", "frontend"]);
    assert_eq!(map["services"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn traces_of_an_earlier_mystery_are_not_on_the_map() {
    let sandbox = up(&["--mystery", "none"]);
    sandbox.press(0).await;
    map(&sandbox, |map| map["traces"] == 1).await;
    let (status, answer) = sandbox.post("/api/mystery", json!({ "cause": "none" })).await;
    assert_eq!(status, 200, "{answer}");
    // At once, though the earlier map is not two seconds old.
    assert_eq!(sandbox.get("/api/map").await, json!({ "state": "empty", "traces": 0, "edges": [], "services": names() }));
    sandbox.press(1).await;
    let map = map(&sandbox, |map| map["state"] == "ready").await;
    assert_eq!(map["traces"], 1);
    assert!(map["edges"].as_array().unwrap().iter().all(|edge| edge["to"] != "dummy-0-0"), "{map}");
}

#[tokio::test]
async fn however_many_ask_the_backend_is_read_once_in_two_seconds() {
    let (held, answers) = watch::channel(true);
    let jaeger = Fake::start(move |path| {
        let mut held = answers.clone();
        async move {
            held.wait_for(|held| !held).await.unwrap();
            match path.split('?').next() {
                Some("/api/v3/services") => Reply::json(r#"{"services":["frontend"]}"#),
                _ => Reply::json(r#"{"result":{"resourceSpans":[]}}"#),
            }
        }
    })
    .await;
    let sandbox = up_before(&jaeger.url);
    // Every reading begins with this question.
    let readings = || jaeger.asked().iter().filter(|path| *path == "/api/v3/services").count();
    let begun = Instant::now();
    // One who does not wait for the answer makes no room for another reading.
    let impatient = tokio::spawn(sandbox.client.get(format!("{}/api/map", sandbox.frontend)).send());
    until(|| readings() == 1, || "nobody reads".to_owned()).await;
    impatient.abort();
    drop(impatient.await);
    held.send_replace(false);
    while readings() < 3 {
        let answers = futures_util::future::join_all((0..20).map(|_| sandbox.get("/api/map"))).await;
        assert!(answers.iter().all(|answer| answer["state"] == "empty"), "{answers:?}");
        assert!(readings() <= 1 + begun.elapsed().as_secs() as usize / 2, "{:?}: {:?}", begun.elapsed(), jaeger.asked());
        assert!(begun.elapsed() < PATIENCE, "nothing is read again");
    }
    assert!(begun.elapsed() >= Duration::from_secs(4));
    let asked = jaeger.asked();
    let search = asked.iter().find(|path| path.starts_with("/api/v3/traces?")).unwrap();
    assert_eq!(fake::parameter(search, "query.searchDepth"), Some("2000"), "bounded");
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_away_and_the_names_are_still_there() {
    let away = json!({ "state": "away", "traces": 0, "edges": [], "services": names() });
    let nowhere = up_before("http://127.0.0.1:9");
    assert_eq!(nowhere.get("/api/map").await, away);
    let silent = Fake::start(|_| async { Reply::Silence }).await;
    let begun = Instant::now();
    assert_eq!(up_before(&silent.url).get("/api/map").await, away);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let no_jaeger = Fake::start(|_| async { Reply::json("{}") }).await;
    assert_eq!(up_before(&no_jaeger.url).get("/api/map").await, away);
}
