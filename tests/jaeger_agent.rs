//! A whole sandbox whose spans go to an agent of the Jaeger of 2019, which the test plays.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/fake.rs"]
mod fake;
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/thrift.rs"]
mod thrift;

use std::collections::{BTreeMap, BTreeSet};

use fake::{Fake, Reply};
use sandbox::{PATIENCE, Sandbox, run, stderr};
use tokio::net::UdpSocket;

const SMALL: [&str; 8] = ["--delay-scale", "0", "--mystery", "none", "--layers", "3", "--width", "1"];

#[tokio::test]
async fn a_chain_arrives_by_datagrams_with_a_process_a_service() {
    let agent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = agent.local_addr().unwrap();
    let jaeger = Fake::start(|_| async { Reply::not_found() }).await;
    let port = address.port().to_string();
    // By flag, and by the standard variables with a name that the crate must not resolve itself.
    for (flag, variables) in [
        (Some(address.to_string()), vec![("OTEL_EXPORTER_JAEGER_AGENT_HOST", "nobody.invalid")]),
        (None, vec![("OTEL_EXPORTER_JAEGER_AGENT_HOST", "localhost"), ("OTEL_EXPORTER_JAEGER_AGENT_PORT", &*port)]),
    ] {
        let flag: Vec<_> = flag.iter().flat_map(|address| ["--jaeger-agent", address]).collect();
        let flags = [&SMALL[..], &["--exporter", "jaeger-agent", "--jaeger", &jaeger.url], &flag].concat();
        let sandbox = Sandbox::up_with(&flags, &variables);
        let trace_id = sandbox.press(0).await["trace_id"].as_str().unwrap().to_owned();
        let mut kinds = BTreeMap::<String, BTreeSet<String>>::new();
        // As many as it takes: a service that refuses a call is called again.
        let both = |kinds: &BTreeMap<String, BTreeSet<String>>, service| kinds.get(service).is_some_and(|kinds| kinds.len() == 2);
        while !(["frontend", "dummy-0-0", "dummy-1-0"].iter().all(|service| both(&kinds, *service)) && kinds.len() == 4) {
            let mut bytes = vec![0; 1 << 16];
            let length = tokio::time::timeout(PATIENCE, agent.recv(&mut bytes)).await.unwrap().unwrap();
            let batch = thrift::batch(&bytes[..length]);
            assert_eq!(batch.tags["service.version"], "v1");
            assert_eq!(batch.tags.get("tracelab.layer").is_some(), batch.service != "frontend");
            for span in batch.spans.iter().filter(|span| span.trace_id == trace_id) {
                kinds.entry(batch.service.clone()).or_default().insert(span.tags["span.kind"].as_str().unwrap().to_owned());
            }
        }
        let services: Vec<_> = kinds.keys().map(String::as_str).collect();
        assert_eq!(services, ["dummy-0-0", "dummy-1-0", "dummy-2-0", "frontend"]);
        assert_eq!(kinds["dummy-2-0"].len(), 1, "it calls nobody: {kinds:?}");
    }
}

#[tokio::test]
async fn an_agent_that_is_away_costs_no_request_and_is_said_once() {
    let away = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let jaeger = Fake::start(|_| async { Reply::not_found() }).await;
    let flags = ["--exporter", "jaeger-agent", "--jaeger", &jaeger.url, "--jaeger-agent", &away];
    let sandbox = Sandbox::up(&[&SMALL[..], &flags].concat());
    sandbox.press(0).await;
    let said = || sandbox.role.printed().contains("telemetry is being lost");
    sandbox::until(said, || sandbox.role.printed()).await;
    assert!(sandbox.role.printed().contains(&format!("no Jaeger agent takes spans at {away}")), "{}", sandbox.role.printed());
    for _ in 0..30 {
        sandbox.press(0).await;
    }
    assert_eq!(sandbox.role.printed().matches("telemetry is being lost").count(), 1);
}

#[test]
fn ways_that_lead_nowhere_are_bad_usage() {
    let jaeger = ["--jaeger", "http://127.0.0.1:1"];
    let otlp = ["--otlp", "http://127.0.0.1:1"];
    let agent = ["--exporter", "jaeger-agent"];
    for (flags, says) in [
        (&agent[..], "name the Jaeger that the agent is part of: --jaeger http://127.0.0.1:16686"),
        (&[&agent[..], &jaeger, &otlp].concat(), "--logs-exporter otlp"),
        (&[&agent[..], &jaeger, &["--logs-exporter", "otlp"]].concat(), "needs --otlp"),
        (&[&agent[..], &jaeger, &["--logs-exporter", "jaeger-agent"]].concat(), "Jaeger takes no logs"),
        (&[&agent[..], &jaeger, &["--jaeger-agent", "http://here"]].concat(), "localhost:6831"),
        (&["--jaeger-agent", "localhost:6831"], "choose the exporter jaeger-agent"),
        (&jaeger, "--otlp"),
        (&otlp, "--jaeger"),
    ] {
        let output =
            run(&[&["up", "--port", "0", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"], flags].concat());
        assert!(output.status.code() == Some(2) && stderr(&output).contains(says), "{flags:?}: {}", stderr(&output));
    }
}
