//! nginx on both data paths: before the frontend as the edge, before layer 0 as the gateway.
//!
//! The committed configuration less its telemetry, in Debian's own nginx: no package of Debian 12 has the OpenTelemetry module, so that
//! what `telemetry/` says is tried by hand only.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/required.rs"]
mod required;
#[path = "support/sandbox.rs"]
mod sandbox;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nginx::Nginx;
use reqwest::{Client, Response};
use sandbox::{PATIENCE, Role, Span, decoy, find, spans};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracelab::config::Config;
use tracelab::manifest::{self, Addresses};
use tracelab::mystery::{Cause, Mystery};
use tracelab::topology::{Route, Topology};

const ROLES: [&str; 2] = ["edge", "gateway"];
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
/// In every 20 ms one request passes a queue, as nginx/queue/ has it.
const TURN: Duration = Duration::from_millis(20);

#[test]
fn nginx_finds_nothing_wrong_with_either_configuration() {
    if !nginx::there_is_one() {
        return;
    }
    for stage in [nginx::Stage::Compose, nginx::Stage::Kubernetes] {
        for role in ROLES {
            for queue in ["off", "long", "short"] {
                let said = nginx::check(stage, role, queue);
                let of = format!("{stage:?}, {role}, {queue}: {said}");
                assert!(said.contains("syntax is ok") && said.contains("test is successful"), "{of}");
                assert_eq!(said.lines().count(), 2, "{of}");
            }
        }
    }
}

#[test]
fn the_gateway_leads_to_every_service_of_layer_0() {
    let topology = Config::default().topology().unwrap();
    for (stage, file, addresses) in [
        ("compose", "compose/nginx/layer-0.conf", Addresses::Change),
        ("kubernetes", "kind/components/edge/nginx/layer-0.conf", Addresses::Stay),
    ] {
        let committed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        let written = manifest::splice(&committed, &[manifest::gateway(topology, addresses)]).unwrap();
        assert!(written == committed, "it differs; run: cargo run -- manifest {stage} --gateway --into {file}");
        assert_eq!(written.lines().filter(|line| line.starts_with("upstream dummy-0-")).count(), 30, "{file}");
    }
}

#[tokio::test]
async fn the_callers_context_passes_both_unchanged() {
    if !nginx::there_is_one() {
        return;
    }
    let upstream = Upstream::start(|_| true).await;
    let edge = Nginx::start("edge", &[("frontend", upstream.address)], "off");
    let gateway = Nginx::start("gateway", &[("dummy-0-7", upstream.address)], "off");
    let traceparent = format!("00-{TRACE_ID}-{PARENT}-01");
    let tracestate = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
    // As long as W3C lets all of it be.
    let items = "customer.id=customer-7;since=2019,tier=gold,padding=";
    let baggage = format!("{items}{}", "x".repeat(8_192 - items.len()));
    for (url, path, host) in [
        (format!("{}/api/buttons/7", edge.url()), "/api/buttons/7", edge.address.to_string()),
        (format!("{}/dummy-0-7", gateway.url()), "/", "dummy-0-7:8080".to_owned()),
    ] {
        let request = client().get(&url).header("traceparent", &traceparent).header("tracestate", tracestate);
        let answer = request.header("baggage", &baggage).header("x-resend-count", "1").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
        let head = upstream.heads().pop().unwrap();
        assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
        for (name, value) in [
            ("traceparent", traceparent.as_str()),
            ("tracestate", tracestate),
            ("baggage", &baggage),
            ("host", &host),
            ("x-resend-count", "1"),
        ] {
            assert_eq!(header(&head, name), [value], "{name} of {path}");
        }
    }
}

#[tokio::test]
async fn a_call_by_edge_and_gateway_is_one_trace() {
    if !nginx::there_is_one() {
        return;
    }
    let stage = Stage::start("off", "off").await;
    let request = stage.press().header("traceparent", format!("00-{TRACE_ID}-{PARENT}-01")).header("baggage", "customer.id=me");
    let answer = request.send().await.unwrap();
    assert!(answer.headers()["traceresponse"].to_str().unwrap().contains(TRACE_ID), "{:?}", answer.headers());
    let (status, answer) = read(answer).await;
    assert_eq!((status, &answer["path"]), (200, &json!(["dummy-0-0", "dummy-1-0"])), "{answer}");

    let found = spans(&stage.client, &stage.backend.url("jaeger"), TRACE_ID, 5).await;
    let is_there = |id: &str| id == PARENT || found.iter().any(|span| span.id() == id);
    assert!(found.iter().all(|span| is_there(span.parent())), "{found:?}");
    let servers: Vec<&Span> = found.iter().filter(|span| span.kind() == 2).collect();
    assert_eq!(servers.len(), 3);
    assert!(servers.iter().all(|span| span.attribute("customer.id").as_deref() == Some("me")), "{servers:?}");
    let first = found.iter().find(|span| span.parent() == PARENT).unwrap();
    assert_eq!(first.service, "frontend");
    let call = found.iter().find(|span| span.service == "frontend" && span.kind() == 3).unwrap();
    assert_eq!(call.attribute("url.full").unwrap(), format!("{}/dummy-0-0", stage.gateway.url()), "the east–west path");
}

#[tokio::test]
async fn the_progress_of_a_run_leaves_the_edge_at_once() {
    if !nginx::there_is_one() {
        return;
    }
    let stage = Stage::start("off", "off").await;
    let mut answer = stage.run(40, 20.0).await;
    assert_eq!(answer.status(), 200);
    let first = answer.chunk().await.unwrap().unwrap();
    let mut all = String::from_utf8(first.to_vec()).unwrap();
    assert!(all.contains("event:progress") && !all.contains("event:done"), "two seconds of it came at once: {all}");
    while let Some(chunk) = answer.chunk().await.unwrap() {
        all.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(all.contains("event:done"), "{all}");
}

#[tokio::test]
async fn a_reader_who_leaves_the_edge_ends_the_run_behind_it() {
    if !nginx::there_is_one() {
        return;
    }
    let stage = Stage::start("off", "off").await;
    let mut answer = stage.run(1_000_000, 5.0).await;
    answer.chunk().await.unwrap().unwrap();
    let second = stage.run(1, 5.0).await;
    assert_eq!(second.status(), 409, "one is under way");
    drop(answer);
    let start = Instant::now();
    while stage.run(1, 5.0).await.status() == 409 {
        assert!(start.elapsed() < PATIENCE, "the run goes on without a reader");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn names_and_pages_that_are_not_the_frontends_stay_out_behind_the_edge() {
    if !nginx::there_is_one() {
        return;
    }
    let stage = Stage::start("off", "off").await;
    let own = stage.edge.url();
    for (host, origin, expected) in [
        (None, None, 200),
        (None, Some(own.as_str()), 200),
        (Some("play.example.org"), Some("https://play.example.org"), 200),
        (Some("evil.example"), None, 403),
        (None, Some("http://evil.example"), 403),
    ] {
        let mut request = stage.press();
        for (name, value) in [("host", host), ("origin", origin)] {
            request = value.into_iter().fold(request, |request, value| request.header(name, value));
        }
        let (status, answer) = read(request.send().await.unwrap()).await;
        assert_eq!(status, expected, "host {host:?}, origin {origin:?}: {answer}");
    }
}

#[tokio::test]
async fn a_press_is_not_repeated_when_the_frontend_dies_over_it() {
    if !nginx::there_is_one() {
        return;
    }
    // The second request meets a kept connection that ends, which tempts every proxy.
    for dies in [0, 1] {
        let frontend = Upstream::start(move |number| number != dies).await;
        let edge = Nginx::start("edge", &[("frontend", frontend.address)], "off");
        for number in 0..=dies {
            let answer = client().post(format!("{}/api/buttons/3", edge.url())).send().await.unwrap();
            let (status, answer) = read(answer).await;
            assert_eq!(status, if number == dies { 502 } else { 200 }, "{answer}");
            if number == dies {
                assert!(answer["error"].as_str().unwrap().contains("cannot reach the frontend"), "{answer}");
            }
        }
        assert_eq!(frontend.heads().len(), dies + 1, "{}", edge.errors());
    }
}

#[tokio::test]
async fn a_read_whose_kept_connection_ends_goes_once_more() {
    if !nginx::there_is_one() {
        return;
    }
    let service = Upstream::start(|number| number != 1).await;
    let gateway = Nginx::start("gateway", &[("dummy-0-3", service.address)], "off");
    for _ in 0..2 {
        let answer = client().get(format!("{}/dummy-0-3", gateway.url())).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", gateway.errors());
    }
    assert_eq!(service.heads().len(), 3);
}

#[tokio::test]
async fn where_nobody_is_the_answer_says_so() {
    if !nginx::there_is_one() {
        return;
    }
    let edge = Nginx::start("edge", &[], "off");
    let (status, answer) = read(client().get(edge.url()).send().await.unwrap()).await;
    assert_eq!(status, 502);
    assert!(answer["error"].as_str().unwrap().contains("is it running?"), "{answer}");

    let gateway = Nginx::start("gateway", &[], "off");
    let ask = |path: &str| client().get(format!("{}{path}", gateway.url())).send();
    assert_eq!(ask("/dummy-0-3").await.unwrap().status(), 502);
    for path in ["/", "/dummy-1-3", "/dummy-0-3x", "/frontend"] {
        let (status, answer) = read(ask(path).await.unwrap()).await;
        assert_eq!(status, 404, "{path}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("/dummy-0-3"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_queue_at_the_edge_holds_presses_up() {
    if !nginx::there_is_one() {
        return;
    }
    let frontend = Upstream::start(|_| true).await;
    let edge = Nginx::start("edge", &[("frontend", frontend.address)], "long");
    let start = Instant::now();
    let answers = join_all((0..11).map(|_| client().post(format!("{}/api/buttons/3", edge.url())).send())).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200));
    // It counts whole milliseconds.
    assert!(start.elapsed() > TURN * 10 - Duration::from_millis(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_full_queue_at_the_edge_refuses_presses_with_a_reason_and_reads_never() {
    if !nginx::there_is_one() {
        return;
    }
    let frontend = Upstream::start(|_| true).await;
    let edge = Nginx::start("edge", &[("frontend", frontend.address)], "short");
    let presses = join_all((0..200).map(|_| client().post(format!("{}/api/buttons/3", edge.url())).send()));
    let reads = join_all((0..200).map(|_| client().get(format!("{}/api/score", edge.url())).send()));
    let (presses, reads) = tokio::join!(presses, reads);
    assert!(reads.into_iter().all(|answer| answer.unwrap().status() == 200));
    let (mut passed, mut refused) = (0, 0);
    for answer in presses {
        match read(answer.unwrap()).await {
            (200, _) => passed += 1,
            (503, answer) => {
                refused += 1;
                assert!(answer["error"].as_str().unwrap().contains("queue"), "{answer}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(passed > 10 && refused > 0, "{passed} passed, {refused} were refused");
}

#[tokio::test]
async fn a_full_queue_at_the_gateway_is_a_failed_call_of_the_frontend() {
    if !nginx::there_is_one() {
        return;
    }
    let stage = Stage::start("off", "short").await;
    let mut refused = 0;
    for answer in join_all((0..200).map(|_| stage.press().send())).await {
        match read(answer.unwrap()).await {
            (200, _) => {}
            (502, answer) => {
                refused += 1;
                assert_eq!(answer["error"], "dummy-0-0 answered 503 Service Unavailable");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0);
}

/// Backend, frontend and two services, with both nginx between them.
struct Stage {
    client: Client,
    edge: Nginx,
    gateway: Nginx,
    backend: Role,
    _frontend: Role,
    _services: [Role; 2],
}

impl Stage {
    /// With a queue at the edge and one at the gateway.
    async fn start(at_edge: &str, at_gateway: &str) -> Self {
        let backend = Role::start(&["backend", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"], &[]);
        let (jaeger, otlp) = (backend.url("jaeger"), backend.url("otlp_http"));
        // Services must be told of the frontend before it can be told of them.
        let control_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let control = format!("http://127.0.0.1:{control_port}");
        let service = |name| Role::start(&["service", "--name", name, "--port", "0", "--control", &control, "--otlp", &otlp], &[]);
        let services = ["dummy-0-0", "dummy-1-0"].map(service);
        let [first, second] = [0, 1].map(|number: usize| services[number].url("service"));
        let gateway = Nginx::start("gateway", &[("dummy-0-0", address(&first))], at_gateway);
        // Neither service refuses a call now and then, which would come again and add spans. The others need not run.
        let topology = Topology::new(2, 3, Route::Straight).unwrap();
        let calm = |mystery: &Mystery| topology.services().all(|service| service.number > 0 || decoy(mystery, service).is_none());
        let seed = find(Cause::None, topology, calm).0.to_string();
        let mut arguments = vec!["frontend", "--layers", "2", "--width", "3", "--delay-scale", "0", "--mystery", "none"];
        let (gateway_url, replace) = (format!("{}/{{service}}", gateway.url()), format!("dummy-1-0={second}"));
        arguments.extend([
            "--seed",
            &seed,
            "--gateway-url",
            &gateway_url,
            "--replace",
            &replace,
            "--port",
            "0",
            "--control-port",
            &control_port,
        ]);
        // On loopback it would know nobody by another port than its own. In a container it does.
        arguments.extend(["--allowed-hosts", "127.0.0.1,play.example.org", "--jaeger", &jaeger, "--otlp", &otlp]);
        let frontend = Role::start(&arguments, &[]);
        let edge = Nginx::start("edge", &[("frontend", address(&frontend.url("frontend")))], at_edge);
        let stage = Self { client: client(), edge, gateway, backend, _frontend: frontend, _services: services };
        for url in [first, second] {
            stage.ready(&url).await;
        }
        stage
    }

    async fn ready(&self, service: &str) {
        let start = Instant::now();
        while self.client.get(format!("{service}/readyz")).send().await.unwrap().status() != 200 {
            assert!(start.elapsed() < PATIENCE, "{service} has no assignment");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn press(&self) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/api/buttons/0", self.edge.url()))
    }

    /// A run of so many calls, so many a second.
    async fn run(&self, calls: u64, rate: f64) -> Response {
        let plan = json!({ "calls": calls, "rate": rate, "buttons": [0] });
        self.client.post(format!("{}/api/runs", self.edge.url())).json(&plan).send().await.unwrap()
    }
}

/// Notes every request's head; `answers` says of the n-th whether it is answered, or its connection ends.
struct Upstream {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    async fn start(answers: impl Fn(usize) -> bool + Clone + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, noted.clone(), answers.clone()));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// One connection to its end, which is no failure of the test.
async fn serve(mut stream: TcpStream, noted: Arc<Mutex<Vec<String>>>, answers: impl Fn(usize) -> bool) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let number = {
            let mut heads = noted.lock().unwrap();
            heads.push(String::from_utf8_lossy(&head).into_owned());
            heads.len() - 1
        };
        if !answers(number) {
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
    }
}

/// All values of a header.
fn header<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

fn client() -> Client {
    tracelab::outbound::client().unwrap()
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Status and JSON; what is none is a text.
async fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
