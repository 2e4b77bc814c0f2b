//! `tracelab redeploy SERVICE URL`: a learner's own program in the place of a service that runs.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/sandbox.rs"]
mod sandbox;

use std::sync::{Arc, Mutex};

use http::{HeaderMap, StatusCode};
use sandbox::{Sandbox, decoy, find, stderr, stdout};
use serde_json::{Value, json};
use tracelab::mystery::{Cause, Decoy};
use tracelab::server::{self, Stop};
use tracelab::topology::{Route, ServiceName, Topology};
use warp::Filter as _;

/// Answers as its path says, and keeps the headers of what it was asked.
struct Program {
    url: String,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Program {
    fn start() -> Self {
        let asked = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let noted = asked.clone();
        let note = warp::header::headers_cloned().map(move |headers| noted.lock().unwrap().push(headers)).untuple_one();
        let fine = warp::path::end().and(note).map(|| {
            let answer = warp::reply::with_status("mine", StatusCode::IM_A_TEAPOT);
            warp::reply::with_header(warp::reply::with_header(answer, "x-own", "1"), "keep-alive", "timeout=1")
        });
        let endless = warp::path!("long").map(|| "x".repeat((1 << 20) + 1));
        let silent = warp::path!("silent").then(std::future::pending::<String>);
        let listener = server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(server::serve(listener, fine.or(endless).or(silent).or(warp::any().map(|| "nothing")), Stop::new()));
        Self { url, asked }
    }

    fn last(&self) -> HeaderMap {
        self.asked.lock().unwrap().last().expect("nobody asked it").clone()
    }
}

fn sandbox(flags: &[&str]) -> Sandbox {
    Sandbox::up(&[&["--delay-scale", "0", "--mystery", "none", "--width", "2"], flags].concat())
}

async fn put(sandbox: &Sandbox, service: &str, url: &str) {
    let body = json!({ "service": service, "url": url });
    assert_eq!(sandbox.post("/api/redeploy", body.clone()).await, (200, body));
}

/// What the service at `url` answers to a direct call.
async fn call(sandbox: &Sandbox, url: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let request = headers.iter().fold(sandbox.client.get(url), |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    (answer.status(), answer.headers().clone(), answer.text().await.unwrap())
}

/// Where a service of layer 1 listens, which only a program before it is told.
async fn address(sandbox: &Sandbox, program: &Program) -> String {
    put(sandbox, "dummy-0-1", &program.url).await;
    sandbox.post("/api/buttons/1", json!({})).await;
    program.last()["x-next"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_program_gets_a_services_requests_until_v1_is_back() {
    let sandbox = sandbox(&[]);
    let program = Program::start();
    let redeployed = sandbox.run(&["redeploy", "dummy-1-1", &program.url]);
    assert_eq!(redeployed.status.code(), Some(0), "{}", stderr(&redeployed));
    assert!(stdout(&redeployed).starts_with(&format!("dummy-1-1 now is the program at {}", program.url)));

    let (status, answer) = sandbox.post("/api/buttons/1", json!({})).await;
    assert_eq!((status, answer["path"].clone()), (502, json!(["dummy-0-1"])), "its status is no success to dummy-0-1: {answer}");
    let trace = answer["trace_id"].as_str().unwrap();
    let parent = program.last()["traceparent"].to_str().unwrap().to_owned();
    let spans = sandbox.spans(trace, 3).await;
    let services: Vec<_> = spans.iter().map(|span| span.service.as_str()).collect();
    assert_eq!(services.iter().filter(|service| **service == "dummy-0-1").count(), 2, "{services:?}");
    assert!(!services.contains(&"dummy-1-1"), "spans are the program's own business");
    let caller = spans.iter().find(|span| span.service == "dummy-0-1" && span.kind() == 3).unwrap();
    assert_eq!(parent, format!("00-{trace}-{}-01", caller.id()));
    assert!(program.last().get("x-redis").is_none(), "there is none");

    let taken_out = sandbox.run(&["redeploy", "dummy-1-1", "v1"]);
    assert_eq!(taken_out.status.code(), Some(0), "{}", stderr(&taken_out));
    assert_eq!(sandbox.press(1).await["path"], json!(["dummy-0-1", "dummy-1-1", "dummy-2-1"]));
}

#[tokio::test]
async fn headers_pass_but_for_those_of_one_connection() {
    let sandbox = sandbox(&[]);
    let program = Program::start();
    let service = address(&sandbox, &program).await;
    put(&sandbox, "dummy-1-1", &program.url).await;
    let sent = [
        ("x-mine", "a"),
        ("baggage", "customer.id=customer-1"),
        ("connection", "close, x-hop"),
        ("x-hop", "b"),
        ("te", "trailers"),
        ("x-next", "http://192.0.2.1/"),
        ("x-redis", "redis://192.0.2.1/"),
    ];
    let (status, headers, body) = call(&sandbox, &service, &sent).await;
    assert_eq!((status, &headers["x-own"], body.as_str()), (StatusCode::IM_A_TEAPOT, &"1".parse().unwrap(), "mine"));
    assert!(headers.get("keep-alive").is_none());
    let got = program.last();
    assert_eq!((&got["x-mine"], &got["baggage"]), (&"a".parse().unwrap(), &"customer.id=customer-1".parse().unwrap()));
    for name in ["x-hop", "te", "x-redis"] {
        assert!(got.get(name).is_none(), "{name} got through");
    }
    assert!(program.url.contains(got["host"].to_str().unwrap()), "{got:?}");
    let next = got["x-next"].to_str().unwrap();
    assert!(next.starts_with("http://127.0.0.1:") && next != service, "dummy-2-1: {next}");
    put(&sandbox, "dummy-1-1", "http://127.0.0.1:9/").await;
    let (_, _, answer) = call(&sandbox, next, &[]).await;
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["path"], json!(["dummy-2-1"]));
}

#[tokio::test]
async fn in_the_last_layer_there_is_nobody_next_and_on_other_routes_there_are_several() {
    let sandbox = sandbox(&["--route", "all"]);
    let program = Program::start();
    put(&sandbox, "dummy-0-0", &program.url).await;
    sandbox.post("/api/buttons/0", json!({})).await;
    assert_eq!(program.last()["x-next"].to_str().unwrap().split(',').count(), 2);
    put(&sandbox, "dummy-2-0", &program.url).await;
    sandbox.post("/api/buttons/1", json!({})).await;
    assert!(program.last().get("x-next").is_none());
}

#[tokio::test]
async fn a_program_that_does_not_answer_is_named() {
    let sandbox = sandbox(&["--layers", "100"]);
    let program = Program::start();
    let service = address(&sandbox, &program).await;
    for (url, expected, says) in [
        ("http://127.0.0.1:9/".to_owned(), StatusCode::BAD_GATEWAY, "cannot reach http://127.0.0.1:9/"),
        (format!("{}long", program.url), StatusCode::BAD_GATEWAY, "answered more than 1048576 bytes"),
    ] {
        put(&sandbox, "dummy-1-1", &url).await;
        let (status, _, answer) = call(&sandbox, &service, &[]).await;
        assert_eq!(status, expected, "{answer}");
        assert!(answer.contains("the program in the place of dummy-1-1: ") && answer.contains(says), "{answer}");
    }
    // The later a layer, the shorter it waits.
    put(&sandbox, "dummy-98-0", &format!("{}silent", program.url)).await;
    let (status, answer) = sandbox.post("/api/buttons/0", json!({})).await;
    assert_eq!(status, 504, "{answer}");
    sandbox::until(|| sandbox.role.printed().contains("did not answer within 2.25s"), || sandbox.role.printed()).await;
    let away = sandbox.run(&["redeploy", "dummy-1-0", "http://127.0.0.1:9"]);
    assert!(stderr(&away).contains("nobody listens at http://127.0.0.1:9/ yet"), "{}", stderr(&away));
}

#[tokio::test]
async fn a_new_mystery_takes_a_program_out() {
    let sandbox = sandbox(&[]);
    let program = Program::start();
    put(&sandbox, "dummy-1-1", &program.url).await;
    assert_eq!(sandbox.run(&["mystery", "none"]).status.code(), Some(0));
    // Services hear of it inside the process, if not at the same instant.
    let start = std::time::Instant::now();
    while sandbox.post("/api/buttons/1", json!({})).await.1["path"] != json!(["dummy-0-1", "dummy-1-1", "dummy-2-1"]) {
        assert!(start.elapsed() < sandbox::PATIENCE, "the program is still there");
    }
}

#[tokio::test]
async fn a_service_cannot_stand_in_for_itself() {
    let sandbox = sandbox(&[]);
    let program = Program::start();
    let service = address(&sandbox, &program).await;
    let refused = sandbox.run(&["redeploy", "dummy-1-1", &service.replace("127.0.0.1", "localhost")]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("is dummy-1-1 itself"), "{}", stderr(&refused));
    for wrong in ["127.0.0.1:9000", "https://127.0.0.1:9000", "v3"] {
        let refused = sandbox.run(&["redeploy", "dummy-1-1", wrong]);
        assert_eq!(refused.status.code(), Some(2), "{wrong}");
        assert!(stderr(&refused).contains("for example http://127.0.0.1:9000"), "{}", stderr(&refused));
    }
}

#[tokio::test]
async fn beside_a_program_nobody_refuses_a_call_until_it_is_taken_out() {
    let topology = Topology::new(3, 2, Route::Straight).unwrap();
    let refuses = |decoy| matches!(decoy, Some(Decoy::Refusal { share }) if share > 0.05);
    let (seed, _) = find(Cause::None, topology, |mystery| refuses(decoy(mystery, ServiceName { layer: 1, number: 1 })));
    let sandbox = sandbox(&["--seed", &seed.to_string()]);
    let program = Program::start();
    let service = address(&sandbox, &program).await;
    for _ in 0..200 {
        assert_eq!(call(&sandbox, &service, &[]).await.0, StatusCode::OK, "a program need not know how to come again");
    }
    sandbox.run(&["redeploy", "dummy-0-1", "v1"]);
    let start = std::time::Instant::now();
    while call(&sandbox, &service, &[]).await.0 != StatusCode::SERVICE_UNAVAILABLE {
        assert!(start.elapsed() < sandbox::PATIENCE, "it never refuses again");
    }
}
