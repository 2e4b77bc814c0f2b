//! How the context travels through a whole sandbox: by other headers than W3C's, and through services that do less for tracing.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/sandbox.rs"]
mod sandbox;

use std::collections::HashSet;
use std::time::Instant;

use sandbox::{PATIENCE, Sandbox, Span, decoy, find, run, stderr};
use serde_json::Value;
use tracelab::mystery::{Cause, Mystery};
use tracelab::topology::{Route, ServiceName, Topology};

/// A fault adds 200 ms at least. By more than this the quickest of some calls with it and of some without it differ: however busy a
/// machine is, both wait for it.
const APART_MS: f64 = 100.0;
/// On a busy machine most calls may take long; one of so many does not.
const MANY: usize = 200;
const PARENT: &str = "b7ad6b7169203331";

/// A sandbox with the first mystery of this cause that is as a test needs it, and where nothing else happens behind button 0.
fn start(cause: Cause, flags: &[&str], is: impl Fn(&Mystery) -> bool) -> (Sandbox, Mystery) {
    let topology = Topology::new(3, 3, Route::Straight).unwrap();
    let (seed, mystery) = find(cause, topology, |mystery| {
        let passed = topology.services().filter(|service| service.number == 0);
        is(mystery) && passed.into_iter().all(|service| decoy(mystery, service).is_none())
    });
    let (seed, cause) = (seed.to_string(), cause.to_string());
    let all = ["--delay-scale", "0", "--mystery", &cause, "--seed", &seed, "--layers", "3", "--width", "3"];
    (Sandbox::up(&[&all[..], flags].concat()), mystery)
}

fn calm(flags: &[&str]) -> Sandbox {
    start(Cause::None, flags, |_| true).0
}

fn of<'a>(spans: &'a [Span], service: &str, kind: u64) -> &'a Span {
    spans.iter().find(|span| span.service == service && span.kind() == kind).unwrap_or_else(|| panic!("{service}: {spans:?}"))
}

/// Milliseconds; of none, for ever.
fn quickest(calls: &[f64]) -> f64 {
    calls.iter().copied().fold(f64::INFINITY, f64::min)
}

fn services(spans: &[Span]) -> HashSet<&str> {
    spans.iter().map(|span| span.service.as_str()).collect()
}

/// Presses a button with these headers: the answer and its status.
async fn press(sandbox: &Sandbox, button: u16, headers: &[(&str, &str)]) -> (u16, Value) {
    let request = sandbox.client.post(format!("{}/api/buttons/{button}", sandbox.frontend));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn other_headers_than_w3cs_give_whole_traces_and_go_on_from_the_caller() {
    let uber = format!("4bf92f3577b34da6a3ce929d0e0e4736:{PARENT}:0:1");
    let b3 = format!("4bf92f3577b34da6a3ce929d0e0e4736-{PARENT}-1");
    for (propagators, header, value) in [
        ("jaeger", "uber-trace-id", uber.as_str()),
        ("b3,baggage", "b3", &b3),
        ("b3multi,baggage", "b3", &b3),
        ("tracecontext,jaeger,b3", "uber-trace-id", &uber),
    ] {
        let sandbox = calm(&["--propagators", propagators]);
        let baggage = [("baggage", "tier=gold"), ("uberctx-tier", "gold")];
        let (status, answer) = press(&sandbox, 0, &[&[(header, value)][..], &baggage].concat()).await;
        assert_eq!((status, &answer["trace_id"]), (200, &"4bf92f3577b34da6a3ce929d0e0e4736".into()), "{propagators}");
        let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 7).await;
        assert_eq!(of(&spans, "frontend", 2).parent(), PARENT);
        for (caller, callee) in [("frontend", "dummy-0-0"), ("dummy-0-0", "dummy-1-0"), ("dummy-1-0", "dummy-2-0")] {
            assert_eq!(of(&spans, callee, 2).parent(), of(&spans, caller, 3).id(), "{propagators}");
        }
        assert_eq!(of(&spans, "dummy-2-0", 2).attribute("tier").as_deref(), Some("gold"), "{propagators}");
        let (_, denied) =
            press(&sandbox, 0, &[(header, &value.replace(&format!("{PARENT}-1"), &format!("{PARENT}-0")).replace(":0:1", ":0:0"))])
                .await;
        let state = sandbox.get(&format!("/api/traces/{}", denied["trace_id"].as_str().unwrap())).await;
        assert_eq!(state["state"], "unsampled", "{propagators}");
    }
}

#[tokio::test]
async fn one_customer_is_slow_whichever_way_the_customer_travels() {
    for flags in [
        &["--propagators", "jaeger"][..],
        &["--propagators", "b3"],
        &["--instrumentation", "dummy-0-0=propagate", "--instrumentation", "dummy-1-0=propagate"],
        &["--instrumentation", "dummy-0-0=none", "--instrumentation", "dummy-1-0=propagate"],
        &["--instrumentation", "none"],
    ] {
        let last = |mystery: &Mystery| mystery.answer().service == Some(ServiceName { layer: 2, number: 0 });
        let (sandbox, mystery) = start(Cause::Customer, flags, last);
        let customer = mystery.answer().customer.unwrap();
        let [mut others, mut hit] = [const { Vec::new() }; 2];
        // The customer is one of eight, with a tenth of the calls or more, whom the frontend names.
        while hit.len() < 5 || quickest(&others) + APART_MS > quickest(&hit) {
            let (_, answer) = press(&sandbox, 0, &[]).await;
            let calls = if answer["customer"] == *customer { &mut hit } else { &mut others };
            calls.push(answer["latency_ms"].as_f64().unwrap());
            assert!(others.len() < MANY, "{flags:?}, {customer}: {hit:?} {others:?}");
        }
    }
}

#[tokio::test]
async fn who_spoils_does_so_at_every_level_and_nobody_outside_does() {
    let random = Topology::new(3, 2, Route::Random).unwrap();
    for level in ["full", "propagate", "none"] {
        let first = |mystery: &Mystery| {
            let suffering = mystery.suffering().is_some_and(|(layer, _)| layer == 2);
            suffering && mystery.answer().service.is_some_and(|service| service.layer == 0)
        };
        let (seed, mystery) = find(Cause::Upstream, random, first);
        let (seed, culprit) = (seed.to_string(), mystery.answer().service.unwrap());
        let levels =
            [format!("frontend={level}"), format!("{culprit}={level}"), format!("dummy-1-0={level}"), format!("dummy-1-1={level}")];
        let mut flags = vec!["--delay-scale", "0", "--mystery", "upstream", "--seed", &seed, "--layers", "3", "--width", "2"];
        flags.extend(["--route", "random"]);
        flags.extend(levels.iter().flat_map(|level| ["--instrumentation", level]));
        let sandbox = Sandbox::up(&flags);
        // What fails takes for ever.
        let time = async |button: u16, headers| match press(&sandbox, button, headers).await {
            (200, answer) => answer["latency_ms"].as_f64().unwrap(),
            _ => f64::INFINITY,
        };
        let (mut spoilt, mut others) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            spoilt.push(time(culprit.number, &[]).await);
        }
        while quickest(&others) + APART_MS > quickest(&spoilt) || quickest(&others).is_infinite() {
            // As the culprit would mark it.
            others.push(time(1 - culprit.number, &[("baggage", "variant=b"), ("x-variant", "b")]).await);
            assert!(others.len() < MANY, "{level}: {spoilt:?} {others:?}");
        }
    }
}

#[tokio::test]
async fn a_service_that_only_propagates_is_missing_in_a_whole_trace() {
    let sandbox = calm(&["--instrumentation", "dummy-1-0=propagate"]);
    let (_, answer) = press(&sandbox, 0, &[("baggage", "tier=gold")]).await;
    let id = answer["trace_id"].as_str().unwrap();
    let spans = sandbox.spans(id, 5).await;
    assert_eq!(services(&spans), HashSet::from(["frontend", "dummy-0-0", "dummy-2-0"]));
    let last = of(&spans, "dummy-2-0", 2);
    assert_eq!((last.parent(), last.attribute("tier").as_deref()), (of(&spans, "dummy-0-0", 3).id(), Some("gold")));
    let lines = sandbox.log_lines(id, 4).await;
    let line = lines.iter().find(|line| line["service"] == "dummy-1-0").unwrap();
    assert_eq!(line["trace_id"], id, "its log lines know the trace");
}

#[tokio::test]
async fn a_service_that_does_nothing_for_tracing_breaks_the_trace() {
    let sandbox = calm(&["--instrumentation", "dummy-1-0=none"]);
    let (_, answer) = press(&sandbox, 0, &[]).await;
    let id = answer["trace_id"].as_str().unwrap();
    assert_eq!(answer["path"], serde_json::json!(["dummy-0-0", "dummy-1-0", "dummy-2-0"]));
    let spans = sandbox.spans(id, 4).await;
    assert_eq!(services(&spans), HashSet::from(["frontend", "dummy-0-0"]));
    let start = Instant::now();
    let url = format!("{}/api/traces?service=dummy-2-0&lookback=1h&limit=10", sandbox.jaeger);
    let other = loop {
        let found: Value = sandbox.client.get(&url).send().await.unwrap().json().await.unwrap();
        if let Some(other) = found["data"][0]["traceID"].as_str() {
            break other.to_owned();
        }
        assert!(start.elapsed() < PATIENCE, "dummy-2-0 has no trace");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_ne!(other, id);
    let root = &sandbox.spans(&other, 1).await[0];
    assert_eq!(root.parent(), "");
    assert!(root.attribute("customer.id").is_some(), "whose call it is has nothing to do with tracing");
}

#[tokio::test]
async fn a_frontend_that_only_propagates_passes_its_callers_trace_on() {
    let sandbox = calm(&["--instrumentation", "frontend=propagate"]);
    let (_, answer) = press(&sandbox, 0, &[]).await;
    assert!(answer.get("trace_id").is_none(), "nobody began one: {answer}");
    let parent = format!("00-0af7651916cd43dd8448eb211c80319c-{PARENT}-01");
    let (_, answer) = press(&sandbox, 0, &[("traceparent", &parent)]).await;
    assert_eq!(answer["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    let spans = sandbox.spans("0af7651916cd43dd8448eb211c80319c", 5).await;
    assert_eq!(of(&spans, "dummy-0-0", 2).parent(), PARENT);
}

#[test]
fn levels_that_make_no_sense_are_bad_usage() {
    for (level, says) in [
        ("some", "full, propagate and none are"),
        ("dummy-1-17=some", "full, propagate and none are"),
        ("back-end=none", "dummy-1-17"),
        ("dummy-7-1=none", "topology of 3 × 30"),
    ] {
        let output = run(&["up", "--instrumentation", level]);
        assert!(output.status.code() == Some(2) && stderr(&output).contains(says), "{level}: {}", stderr(&output));
    }
    let output = run(&["up", "--replace", "dummy-1-1=http://127.0.0.1:9", "--instrumentation", "dummy-1-1=none"]);
    assert!(stderr(&output).contains("a program of your own"), "{}", stderr(&output));
}
