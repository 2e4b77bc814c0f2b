//! Clients, callers and whole processes that go away in the middle: nothing hangs, and what was done is told.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/sandbox.rs"]
mod sandbox;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{PATIENCE, Sandbox, decoy, find, spans, tracelab};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tracelab::mystery::Cause;
use tracelab::topology::{Route, Topology};

#[tokio::test]
async fn a_client_that_leaves_in_mid_call_is_booked_as_499_all_the_way() {
    // Nobody behind its button refuses: a call that is refused comes again, and not to one that has gone.
    let topology = Topology::new(3, 30, Route::Straight).unwrap();
    let (seed, mystery) = find(Cause::Sleep, topology, |mystery| {
        let culprit = mystery.culprit.unwrap();
        culprit.layer == 0
            && topology.services().all(|service| service.number != culprit.number || decoy(mystery, service).is_none())
    });
    let sandbox = Sandbox::up(&["--seed", &seed.to_string(), "--delay-scale", "0"]);
    let (button, culprit) = (mystery.culprit.unwrap().number, mystery.culprit.unwrap().to_string());
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4999";
    let host = sandbox.frontend.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "POST /api/buttons/{button} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\ntraceparent: 00-{trace_id}-00f067aa0ba902b7-01\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // Calls sent after it are answered: then it was taken, and the culprit is asleep over it for another 150 ms at least.
    for other in 0..3 {
        sandbox.press((button + 1 + other) % 30).await;
    }
    drop(stream);

    let found = spans(&sandbox.client, &sandbox.jaeger, trace_id, 3).await;
    let frontend = found.iter().find(|span| span.service == "frontend" && span.kind() == 2).unwrap();
    assert_eq!(frontend.attribute("http.response.status_code").as_deref(), Some("499"));
    let slept = found.iter().find(|span| span.service == culprit && span.kind() == 2).unwrap();
    assert_eq!(slept.attribute("http.response.status_code").as_deref(), Some("499"), "the service stops working for nobody");
}

#[tokio::test]
async fn ctrl_c_in_a_run_reports_what_was_done() {
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    let (mut command, _directory) = tracelab(&["load", "1000000", "--concurrency", "4", "--json", "--frontend", &sandbox.frontend]);
    let mut load = command.stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while sandbox.client.get(format!("{}/api/services", sandbox.jaeger)).send().await.unwrap().json::<Value>().await.unwrap()["total"]
        == 0
    {
        assert!(start.elapsed() < PATIENCE, "the run does not begin");
    }
    assert!(Command::new("kill").args(["-INT", &load.id().to_string()]).status().unwrap().success());
    let mut printed = String::new();
    load.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(load.wait().unwrap().success());
    let report: Value = serde_json::from_str(&printed).unwrap();
    let calls = report["calls"].as_u64().unwrap();
    assert!((1..1_000_000).contains(&calls), "{calls} calls");
    assert_eq!(report["cancelled"], true);
    assert_eq!(report["buttons"].as_array().unwrap().iter().map(|button| button["calls"].as_u64().unwrap()).sum::<u64>(), calls);
}

#[tokio::test]
async fn half_a_request_does_not_hold_up_the_stop() {
    let mut sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    let mut half = TcpStream::connect(sandbox.frontend.strip_prefix("http://").unwrap()).await.unwrap();
    half.write_all(b"GET / HTT").await.unwrap();
    // Answered after it was sent: the half was read.
    sandbox.press(0).await;
    let start = Instant::now();
    sandbox.role.interrupt();
    assert!(sandbox.role.ended().success());
    // Far below the ten seconds that a running request would be given, far above what stopping takes.
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}
