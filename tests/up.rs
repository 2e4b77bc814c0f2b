//! The embedded stage through the binary: what a learner sees from the first button to the verdict.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/sandbox.rs"]
mod sandbox;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use sandbox::{PATIENCE, Role, Sandbox, Span, decoy, find, run, stderr, stdout, until};
use serde_json::{Value, json};
use tracelab::mystery::{Cause, Decoy, Mystery};
use tracelab::topology::{Route, ServiceName, Topology};
use warp::Filter as _;

/// Fast, and nothing wrong, not even harmlessly with the services that requests through these buttons pass: for tests about anything
/// but time.
fn quiet(topology: Topology, buttons: impl Fn(u16) -> bool) -> Vec<&'static str> {
    let (seed, _) = find(Cause::None, topology, |mystery| {
        let calm = |service| decoy(mystery, service).is_none();
        let passed = |service: &ServiceName| match topology.route {
            Route::Straight => buttons(service.number),
            Route::Random | Route::All => service.layer > 0 || buttons(service.number),
        };
        topology.services().filter(passed).all(calm)
    });
    let Topology { layers, width, route } = topology;
    let values = [seed.to_string(), layers.to_string(), width.to_string(), route.to_string()].map(|value| &*value.leak());
    let mut flags = vec!["--delay-scale", "0", "--mystery", "none"];
    flags.extend(["--seed", "--layers", "--width", "--route"].into_iter().zip(values).flat_map(|(name, value)| [name, value]));
    flags
}

/// The usual topology, where these are the buttons that are pressed.
static QUIET: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let topology = Topology::new(3, 30, Route::Straight).unwrap();
    quiet(topology, |button| button <= 7 || (16..=17).contains(&button))
});

fn topology(width: u16, route: Route) -> Topology {
    Topology::new(3, width, route).unwrap()
}

#[tokio::test]
async fn a_straight_chain_gives_seven_spans_that_hang_together() {
    let sandbox = Sandbox::up(&QUIET);
    let answer = sandbox.press(7).await;
    assert_eq!(answer["path"], json!(["dummy-0-7", "dummy-1-7", "dummy-2-7"]));
    assert_eq!(answer["message"], "hello world");
    let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 7).await;
    assert_eq!(spans.len(), 7);

    let chain = chain(&spans);
    let seen: Vec<_> = chain.iter().map(|span| (span.service.as_str(), span.kind(), span.name())).collect();
    let expected = [
        ("frontend", 2, "POST /api/buttons/{n}"),
        ("frontend", 3, "GET"),
        ("dummy-0-7", 2, "GET /"),
        ("dummy-0-7", 3, "GET"),
        ("dummy-1-7", 2, "GET /"),
        ("dummy-1-7", 3, "GET"),
        ("dummy-2-7", 2, "GET /"),
    ];
    assert_eq!(seen, expected);
    for span in &chain {
        assert_eq!(span.resource("service.version").as_deref(), Some("v1"));
        assert_eq!(span.attribute("http.response.status_code").as_deref(), Some("200"), "{} {}", span.service, span.name());
    }
    let middle = &chain[4];
    assert_eq!(middle.resource("tracelab.layer").as_deref(), Some("1"));
    assert_eq!(middle.resource("tracelab.number").as_deref(), Some("7"));
    assert_eq!(middle.attribute("http.route").as_deref(), Some("/"));
    assert_eq!(middle.attribute("server.address").as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_callers_context_and_baggage_arrive_at_the_last_service() {
    let sandbox = Sandbox::up(&QUIET);
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = sandbox
        .client
        .post(format!("{}/api/buttons/3", sandbox.frontend))
        .header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"))
        .header("baggage", "customer.id=customer%207,tier=gold,secret=x")
        .send()
        .await
        .unwrap();
    assert!(answer.headers()["traceresponse"].to_str().unwrap().starts_with(&format!("00-{trace_id}-")));
    let spans = sandbox.spans(trace_id, 7).await;
    let last = spans.iter().find(|span| span.service == "dummy-2-3").unwrap();
    assert_eq!(last.attribute("customer.id").as_deref(), Some("customer 7"));
    assert_eq!(last.attribute("tier").as_deref(), Some("gold"));
    assert_eq!(last.attribute("secret"), None, "baggage reaches a span only where the design says so");
    let root = spans.iter().find(|span| span.name() == "POST /api/buttons/{n}").unwrap();
    assert_eq!(root.parent(), "00f067aa0ba902b7");
}

#[tokio::test]
async fn route_all_calls_every_service_of_the_next_layer() {
    let sandbox = Sandbox::up(&quiet(topology(4, Route::All), |button| button == 1));
    let answer = sandbox.press(1).await;
    // Itself, four of layer 1, and four of layer 2 from each of them.
    assert_eq!(answer["path"].as_array().unwrap().len(), 1 + 4 + 16);
    let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 2 + 1 + 2 * 4 + 2 * 16).await;
    assert_eq!(spans.iter().filter(|span| span.service == "dummy-2-3" && span.kind() == 2).count(), 4);
}

#[tokio::test]
async fn route_all_bears_a_run_with_many_calls_at_a_time() {
    let sandbox = Sandbox::up(&quiet(topology(8, Route::All), |button| button < 4));
    let output = sandbox.run(&["load", "60", "--concurrency", "20", "--buttons", "0,1,2,3", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["calls"], &report["errors"]), (&json!(60), &json!(0)), "{}", report["failed"]);
    // A connection for each of the 73 calls of a press, both ends here, would be 20 × 73 × 2; Linux tells.
    if let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", sandbox.role.id())) {
        let open = open.count();
        assert!(open < 1_200, "{open} files are open");
    }
}

#[tokio::test]
async fn route_random_spreads_over_the_next_layer() {
    let sandbox = Sandbox::up(&quiet(topology(30, Route::Random), |button| button == 0));
    let mut seen = HashSet::new();
    // 60 draws from 30 services name at least 20 of them, but in one of a billion runs.
    for _ in 0..60 {
        seen.insert(sandbox.press(0).await["path"][1].as_str().unwrap().to_owned());
    }
    assert!(seen.len() >= 20, "{} services were called", seen.len());
}

#[tokio::test]
async fn the_slow_service_is_found_by_self_time_and_the_guess_is_graded() {
    let sandbox = Sandbox::up(&["--seed", "7", "--delay-scale", "0.1"]);
    // Each button once: the slowest call passes the culprit.
    let mut slowest = (0.0, String::new());
    for button in 0..30 {
        let answer = sandbox.press(button).await;
        let latency = answer["latency_ms"].as_f64().unwrap();
        if latency > slowest.0 {
            slowest = (latency, answer["trace_id"].as_str().unwrap().to_owned());
        }
    }
    assert!(slowest.0 >= 150.0, "the fault adds 200 ms or more, but the slowest call took {} ms", slowest.0);
    let spans = sandbox.spans(&slowest.1, 7).await;
    let servers = spans.iter().filter(|span| span.kind() == 2);
    let culprit = servers.max_by(|a, b| a.self_ms(&spans).total_cmp(&b.self_ms(&spans))).unwrap();

    let innocent = spans.iter().find(|span| span.service != culprit.service && span.service != "frontend").unwrap();
    let wrong = sandbox.run(&["guess", "--service", &innocent.service, "--cause", "sleep", "--json"]);
    assert_eq!(wrong.status.code(), Some(1));
    let verdict: Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!((&verdict["verdict"], &verdict["guesses"]), (&json!("wrong"), &json!(1)));

    let half = sandbox.run(&["guess", "--service", &culprit.service]);
    assert_eq!(half.status.code(), Some(1));
    assert!(stdout(&half).contains("Half right"), "{}", stdout(&half));

    let right = sandbox.run(&["guess", "--service", &culprit.service, "--cause", "sleep", "--json"]);
    assert_eq!(right.status.code(), Some(0), "{}", stderr(&right));
    let verdict: Value = serde_json::from_slice(&right.stdout).unwrap();
    assert_eq!((&verdict["verdict"], &verdict["guesses"]), (&json!("right"), &json!(3)));

    let revealed = sandbox.reveal();
    let explanation = &verdict["explanation"];
    assert!(explanation.as_str().unwrap().starts_with(&format!("{} slept about ", culprit.service)), "{explanation}");
    assert_eq!(revealed, json!({ "cause": "sleep", "service": culprit.service, "seed": 7, "explanation": explanation }));
}

#[tokio::test]
async fn a_patched_service_is_fast_again_and_says_so() {
    let sandbox = Sandbox::up(&["--seed", "11", "--delay-scale", "0"]);
    let culprit = sandbox.reveal()["service"].as_str().unwrap().to_owned();
    let button = culprit.rsplit('-').next().unwrap().parse().unwrap();
    assert!(sandbox.press(button).await["latency_ms"].as_f64().unwrap() >= 150.0);

    let redeployed = sandbox.run(&["redeploy", &culprit, "v2"]);
    assert_eq!(redeployed.status.code(), Some(0), "{}", stderr(&redeployed));
    let answer = sandbox.press(button).await;
    assert!(answer["latency_ms"].as_f64().unwrap() < 150.0, "{answer}");
    assert_eq!(answer["message"], "hello world (v2)");
    let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 7).await;
    let versions: HashMap<_, _> =
        spans.iter().map(|span| (span.service.as_str(), span.resource("service.version").unwrap())).collect();
    let patched: Vec<_> = versions.iter().filter(|(_, version)| *version == "v2").map(|(service, _)| *service).collect();
    assert_eq!(patched, [culprit.as_str()]);

    sandbox.run(&["redeploy", &culprit, "v1"]);
    assert!(sandbox.press(button).await["latency_ms"].as_f64().unwrap() >= 150.0, "v1 has its fault back");
}

#[tokio::test]
async fn a_new_mystery_moves_the_fault_without_a_restart() {
    let sandbox = Sandbox::up(&["--seed", "1", "--delay-scale", "0"]);
    let first = sandbox.reveal();
    // Patched for the last mystery; the next culprit may be among them and must have its fault all the same.
    for service in (0..30).flat_map(|number| (0..3).map(move |layer| format!("dummy-{layer}-{number}"))) {
        let (status, answer) = sandbox.post("/api/redeploy", json!({ "service": service, "version": "v2" })).await;
        assert_eq!(status, 200, "{answer}");
    }
    let started = sandbox.run(&["mystery", "sleep", "--seed", "2"]);
    assert!(stdout(&started).contains("mystery 2"), "{}", stdout(&started));
    let second = sandbox.reveal();
    assert_ne!(first["service"], second["service"]);
    let button = |revealed: &Value| revealed["service"].as_str().unwrap().rsplit('-').next().unwrap().parse::<u16>().unwrap();
    assert!(sandbox.press(button(&second)).await["latency_ms"].as_f64().unwrap() >= 150.0);
    assert!(sandbox.press(button(&first)).await["latency_ms"].as_f64().unwrap() < 150.0);
}

#[tokio::test]
async fn a_learners_own_program_takes_a_services_place() {
    let own = warp::any().map(|| "anything at all");
    let listener = tracelab::server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(tracelab::server::serve(listener, own, tracelab::server::Stop::new()));
    let sandbox = Sandbox::up(&[&QUIET[..], &["--replace", &format!("dummy-1-17={url}")]].concat());
    let answer = sandbox.press(17).await;
    assert_eq!(answer["path"], json!(["dummy-0-17", "dummy-1-17"]));
    assert_eq!(sandbox.press(16).await["path"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_run_of_1000_calls_counts_exactly_1000_and_stores_every_trace() {
    let sandbox = Sandbox::up(&QUIET);
    let output = sandbox.run(&["load", "1000", "--concurrency", "20", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["calls"], &report["errors"]), (&json!(1000), &json!(0)));
    let buttons = report["buttons"].as_array().unwrap();
    assert_eq!(buttons.len(), 30);
    assert_eq!(buttons.iter().map(|button| button["calls"].as_u64().unwrap()).sum::<u64>(), 1000);
    let keys: HashSet<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, HashSet::from(["calls", "errors", "seconds", "rate", "latency_ms", "buttons", "slowest", "failed"]));
    let slowest = report["slowest"][0]["trace_id"].as_str().unwrap();
    sandbox.spans(slowest, 7).await;

    let start = Instant::now();
    loop {
        let url = format!("{}/api/traces?service=frontend&limit=1500&lookback=1h", sandbox.jaeger);
        let found: Value = sandbox.client.get(url).send().await.unwrap().json().await.unwrap();
        let traces = found["data"].as_array().unwrap();
        // One that was refused and sent again has more of them, and so has one that something goes on after.
        if traces.len() == 1000 && traces.iter().all(|trace| trace["spans"].as_array().unwrap().len() >= 7) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{} traces are stored", traces.len());
    }
}

#[tokio::test]
async fn log_lines_of_a_request_are_found_by_its_trace() {
    let sandbox = Sandbox::up(&[&QUIET[..], &["--log", "info"]].concat());
    let answer = sandbox.press(5).await;
    let trace_id = answer["trace_id"].as_str().unwrap();
    sandbox.spans(trace_id, 7).await;
    let lines = sandbox.log_lines(trace_id, 4).await;
    let services: HashSet<_> = lines.iter().map(|line| line["service"].as_str().unwrap()).collect();
    assert!(services.is_superset(&HashSet::from(["dummy-0-5", "dummy-1-5", "dummy-2-5"])), "{services:?}");

    until_said(&sandbox, trace_id).await;
    let printed = sandbox.role.printed();
    let line: Value = serde_json::from_str(printed.lines().find(|line| line.contains(trace_id)).unwrap()).unwrap();
    assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
    assert_eq!(line["level"], "INFO");
}

#[tokio::test]
async fn seed_guesses_and_scores_survive_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let flags = ["--delay-scale", "0", "--state", state.path().to_str().unwrap()];
    let sandbox = Sandbox::up(&flags);
    sandbox.run(&["guess", "--service", "dummy-0-0", "--cause", "sleep"]);
    let before = sandbox.reveal();
    drop(sandbox);
    let sandbox = Sandbox::up(&flags);
    assert_eq!(sandbox.reveal(), before);
    assert_eq!(sandbox.get("/api/score").await["teams"][0]["guesses"], 1);
}

#[tokio::test]
async fn a_jaeger_outside_gets_the_spans_by_http_and_by_grpc() {
    let backend = Role::start(&["backend", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"], &[]);
    for (protocol, port) in [("http/protobuf", "otlp_http"), ("grpc", "otlp_grpc")] {
        let (jaeger, otlp) = (backend.url("jaeger"), backend.url(port));
        let flags = ["--jaeger", &jaeger, "--otlp", &otlp, "--protocol", protocol, "--logs-exporter", "otlp"];
        let sandbox = Sandbox::up(&[&QUIET[..], &flags].concat());
        let answer = sandbox.press(2).await;
        let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 7).await;
        let services: HashSet<_> = spans.iter().map(|span| span.service.as_str()).collect();
        assert_eq!(services, HashSet::from(["frontend", "dummy-0-2", "dummy-1-2", "dummy-2-2"]), "by {protocol}");
    }
}

#[tokio::test]
async fn a_backend_that_is_down_costs_spans_and_no_request() {
    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let sandbox = Sandbox::up(&[&QUIET[..], &["--jaeger", &url, "--otlp", &url]].concat());
    for button in 0..30 {
        sandbox.press(button).await;
    }
    until_said(&sandbox, "telemetry is being lost").await;
    for button in 0..30 {
        sandbox.press(button).await;
    }
    assert_eq!(sandbox.role.printed().matches("telemetry is being lost").count(), 1, "said once, not once a span");
}

#[tokio::test]
async fn a_backend_that_answers_500_or_never_costs_no_request() {
    for hangs in [false, true] {
        let filter = warp::any().then(move || async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            http::StatusCode::INTERNAL_SERVER_ERROR
        });
        let listener = tracelab::server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(tracelab::server::serve(listener, filter, tracelab::server::Stop::new()));
        let flags = [&QUIET[..], &["--jaeger", &url, "--otlp", &url]].concat();
        let sandbox = Sandbox::up_with(&flags, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "300")]);
        for button in 0..30 {
            assert!(sandbox.press(button).await["latency_ms"].as_f64().unwrap() < 5_000.0);
        }
        until_said(&sandbox, "telemetry is being lost").await;
        let reason = if hangs { "did not answer within 300ms" } else { "500" };
        let printed = sandbox.role.printed();
        let line = printed.lines().find(|line| line.contains("telemetry is being lost")).unwrap();
        assert!(line.contains(reason), "{line}");
    }
}

#[tokio::test]
async fn on_stdout_spans_are_lines_of_otlp_json() {
    let sandbox = Sandbox::up(&[&QUIET[..], &["--exporter", "stdout"]].concat());
    let trace_id = sandbox.press(4).await["trace_id"].as_str().unwrap().to_owned();
    until_said(&sandbox, "resourceSpans").await;
    until_said(&sandbox, &trace_id).await;
    let printed = sandbox.role.printed();
    let line = printed.lines().find(|line| line.contains("resourceSpans")).unwrap();
    let request: Value = serde_json::from_str(line).unwrap();
    assert!(request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"].is_string(), "{line}");
}

#[tokio::test]
async fn a_call_that_is_not_sampled_says_so_instead_of_a_dead_link() {
    let sandbox = Sandbox::up_with(&QUIET, &[("OTEL_TRACES_SAMPLER", "always_off")]);
    let trace_id = sandbox.press(4).await["trace_id"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.get(&format!("/api/traces/{trace_id}")).await["state"], "unsampled");
}

#[tokio::test]
async fn services_in_processes_of_their_own_follow_the_control_port() {
    let backend = Role::start(&["backend", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"], &[]);
    let otlp = backend.url("otlp_http");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let ports = [free(), free()];
    // One service a layer, whose addresses must be known before they start: as in every stage but `up`.
    let replace: Vec<String> =
        ports.iter().enumerate().map(|(layer, port)| format!("dummy-{layer}-0=http://127.0.0.1:{port}")).collect();
    let jaeger = backend.url("jaeger");
    // In the end somebody calls the first service who would not call again.
    let topology = Topology::new(2, 1, Route::Straight).unwrap();
    let first = ServiceName { layer: 0, number: 0 };
    let calm = |mystery: &Mystery| !matches!(decoy(mystery, first), Some(Decoy::Refusal { .. }));
    let [sleep_seed, none_seed] = [Cause::Sleep, Cause::None].map(|cause| find(cause, topology, calm).0.to_string());
    let frontend = Role::start(
        &[
            &["frontend", "--port", "0", "--control-port", "0", "--layers", "2", "--width", "1", "--delay-scale", "0"][..],
            &["--seed", &sleep_seed, "--otlp", &otlp, "--jaeger", &jaeger, "--replace", &replace[0], "--replace", &replace[1]],
        ]
        .concat(),
        &[],
    );
    let control = frontend.url("control");
    let start = |layer: usize, variables: &[(&str, &str)]| {
        let variables = [&[("TRACELAB_CONTROL", control.as_str()), ("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp)], variables].concat();
        let role = Role::start(&["service", "--name", &format!("dummy-{layer}-0"), "--port", &ports[layer]], &variables);
        wait_until_ready(&role.url("service"));
        role
    };
    let services = [start(0, &[]), start(1, &[])];
    let client = tracelab::outbound::client().unwrap();
    let press = || async {
        let answer = client.post(format!("{}/api/buttons/0", frontend.url("frontend"))).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let answer = press().await;
    assert_eq!(answer["path"], json!(["dummy-0-0", "dummy-1-0"]));
    assert!(answer["latency_ms"].as_f64().unwrap() >= 150.0, "one of the two is the culprit");
    sandbox::spans(&client, &jaeger, answer["trace_id"].as_str().unwrap(), 5).await;

    // A new mystery reaches them without a restart, and a frontend that is gone takes no assignment away.
    let url = frontend.url("frontend");
    assert_eq!(run(&["mystery", "none", "--seed", &none_seed, "--frontend", &url]).status.code(), Some(0));
    let begin = Instant::now();
    while press().await["latency_ms"].as_f64().unwrap() >= 150.0 {
        assert!(begin.elapsed() < PATIENCE, "the new mystery does not arrive");
    }
    drop(frontend);
    assert_eq!(client.get(services[0].url("service")).send().await.unwrap().status(), 200);
}

fn wait_until_ready(url: &str) {
    let start = Instant::now();
    while run(&["healthcheck", &format!("{url}/readyz")]).status.code() != Some(0) {
        assert!(start.elapsed() < PATIENCE, "{url} does not become ready");
    }
}

#[tokio::test]
async fn a_service_without_an_assignment_is_alive_but_not_ready() {
    let service = Role::start(
        &["service", "--name", "dummy-1-2", "--port", "0", "--control", "http://127.0.0.1:1"],
        &[("OTEL_TRACES_EXPORTER", "none")],
    );
    let url = service.url("service");
    assert_eq!(run(&["healthcheck", &format!("{url}/healthz")]).status.code(), Some(0));
    let ready = run(&["healthcheck", &format!("{url}/readyz")]);
    assert_eq!(ready.status.code(), Some(1));
    assert!(stderr(&ready).contains("no assignment yet"), "{}", stderr(&ready));
}

#[tokio::test]
async fn ctrl_c_finishes_what_is_running() {
    let mut sandbox = Sandbox::up(&["--seed", "11", "--delay-scale", "0"]);
    let culprit = sandbox.reveal()["service"].as_str().unwrap().to_owned();
    let button = culprit.rsplit('-').next().unwrap();
    let call = tokio::spawn(sandbox.client.post(format!("{}/api/buttons/{button}", sandbox.frontend)).send());
    // The call is under way once the culprit's caller has it; its own log tells nothing, so look for it from outside: a second
    // call that is done means that the first one, sent before it, was taken.
    sandbox.press((button.parse::<u16>().unwrap() + 1) % 30).await;
    sandbox.role.interrupt();
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert!(sandbox.role.ended().success());
}

#[tokio::test]
async fn a_taken_port_names_the_flag_that_picks_another() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for flag in ["--port", "--jaeger-port", "--otlp-http-port", "--otlp-grpc-port"] {
        let mut flags = vec!["up"];
        for other in ["--port", "--jaeger-port", "--otlp-http-port", "--otlp-grpc-port"] {
            flags.extend([other, if other == flag { &port } else { "0" }]);
        }
        let output = run(&flags);
        assert_eq!(output.status.code(), Some(2));
        let text = stderr(&output);
        assert!(text.contains(&port) && text.contains(&format!("with {flag},")), "{flag}: {text}");
    }
}

#[test]
fn bad_usage_and_an_absent_frontend_have_exit_codes_of_their_own() {
    for (arguments, code, says) in [
        (&["guess", "--service", "dummy-1-7", "--frontend", "http://127.0.0.1:1"][..], 3, "cannot reach a frontend"),
        (&["load", "10", "--frontend", "http://127.0.0.1:1"], 3, "cannot reach a frontend"),
        (&["reveal", "--frontend", "http://127.0.0.1:1"], 3, "cannot reach a frontend"),
        (&["healthcheck", "http://127.0.0.1:1/"], 3, "does not answer"),
        (&["guess"], 2, "--service"),
        (&["guess", "--service", "dummy-one"], 2, "dummy-1-17"),
        (&["guess", "--nothing", "--cause", "sleep"], 2, "cannot be used with"),
        (&["guess", "--cause", "none", "--service", "dummy-1-7"], 2, "--cause none says that nothing is wrong"),
        (&["up", "--layers", "0"], 2, "layers"),
        (&["up", "--mystery", "gremlins"], 2, "gremlins"),
        (&["up", "--replace", "dummy-9-9=http://127.0.0.1:1"], 2, "dummy-9-9"),
        (&["up", "--jaeger", "http://127.0.0.1:1"], 2, "--otlp"),
        (&["up", "--config", "nowhere.toml"], 2, "nowhere.toml"),
        (&["service"], 2, "--name"),
        (&["nonsense"], 2, "nonsense"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn up_says_what_it_ignores() {
    let sandbox = Sandbox::up_with(&QUIET, &[("OTEL_SERVICE_NAME", "123"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]);
    let answer = sandbox.press(0).await;
    sandbox.spans(answer["trace_id"].as_str().unwrap(), 7).await;
    until_said(&sandbox, "ignores OTEL_SERVICE_NAME").await;
    until_said(&sandbox, "ignores OTEL_EXPORTER_OTLP_ENDPOINT").await;
}

#[tokio::test]
async fn up_says_that_nobody_will_see_its_traces() {
    let sandbox = Sandbox::up_with(&QUIET, &[("OTEL_SDK_DISABLED", "true")]);
    until_said(&sandbox, "traces go nowhere").await;
}

#[test]
fn a_mystery_that_cannot_be_had_is_bad_usage_that_names_what_it_needs() {
    // Without any redis-server on the PATH.
    let empty = tempfile::tempdir().unwrap();
    for (flags, says) in [
        (&["--mystery", "upstream"][..], "use --route random or --route all"),
        (&["--mystery", "network", "--layers", "1"], "--layers is 1"),
        (&["--mystery", "redis"], "name one with --redis redis://"),
    ] {
        let ports = ["--port", "0", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"];
        let (mut command, _directory) = sandbox::tracelab(&[&["up"], &ports[..], flags].concat());
        let output = command.env("PATH", empty.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains(says), "{flags:?}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn random_without_a_redis_says_so_and_a_mystery_that_needs_one_is_refused() {
    let empty = tempfile::tempdir().unwrap();
    let flags = [&QUIET[..2], &["--mystery", "random", "--width", "2"]].concat();
    let sandbox = Sandbox::up_with(&flags, &[("PATH", empty.path().to_str().unwrap())]);
    until_said(&sandbox, "note: redis is left out").await;
    let random = sandbox.run(&["mystery", "random"]);
    assert!(stdout(&random).starts_with("mystery 2 has started: what is wrong, if anything,"), "{}", stdout(&random));
    assert!(stderr(&random).contains("redis is left out"), "{}", stderr(&random));
    let refused = sandbox.run(&["mystery", "redis"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("a mystery of cause redis needs a Redis"), "{}", stderr(&refused));
    assert_eq!(sandbox.get("/api/score").await["mystery"], 2);
}

#[cfg(unix)]
#[tokio::test]
async fn a_redis_that_does_not_start_leaves_the_mystery_as_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("redis-server");
    std::fs::write(&program, "#!/bin/sh\necho out of order; exit 1\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let sandbox = Sandbox::up_with(&[&QUIET[..2], &["--mystery", "sleep", "--width", "2"]].concat(), &[("PATH", &path)]);
    let before = sandbox.reveal();
    let failed = sandbox.run(&["mystery", "redis"]);
    assert_eq!(failed.status.code(), Some(3), "{}", stderr(&failed));
    let text = stderr(&failed);
    assert!(text.contains("out of order") && text.contains("the mystery stays as it is"), "{text}");
    assert_eq!(sandbox.reveal(), before);
    // Random has others.
    let random = sandbox.run(&["mystery", "random"]);
    assert_eq!(random.status.code(), Some(0), "{}", stderr(&random));
    assert!(stderr(&random).contains("note: redis is left out") && stderr(&random).contains("out of order"), "{}", stderr(&random));

    let ports = ["--port", "0", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"];
    let (mut command, _directory) = sandbox::tracelab(&[&["up", "--mystery", "redis"], &ports[..]].concat());
    let output = command.env("PATH", &path).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[tokio::test]
async fn ctrl_c_ends_a_start_that_hangs() {
    // It takes connections and answers nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let silent = tokio::net::TcpListener::from_std(silent).unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let ports = ["--port", "0", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"];
    let (mut command, _directory) = sandbox::tracelab(&[&["up", "--mystery", "redis", "--redis", &url], &ports[..]].concat());
    let mut up = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It asks: then it is told to stop.
    let (_asked, _) = silent.accept().await.unwrap();
    assert!(Command::new("kill").args(["-INT", &up.id().to_string()]).status().unwrap().success());
    assert!(up.wait().unwrap().success(), "it does not wait for the Redis");
}

#[tokio::test]
async fn what_fails_is_told_to_the_backend_and_not_on_the_terminal() {
    let topology = Topology::new(2, 3, Route::Straight).unwrap();
    let (seed, mystery) = find(Cause::Failure, topology, |_| true);
    let culprit = mystery.culprit.unwrap();
    let seed = seed.to_string();
    let flags = ["--mystery", "failure", "--seed", &seed, "--delay-scale", "0", "--layers", "2", "--width", "3"];
    let mut sandbox = Sandbox::up(&flags);
    let answer = loop {
        let (status, answer) = sandbox.press_as("somebody", culprit.number).await;
        if status != 200 {
            break answer;
        }
    };
    // Who asks finds the lines.
    let lines = sandbox.log_lines(answer["trace_id"].as_str().unwrap(), 2).await;
    assert!(lines.iter().any(|line| line["service"] == culprit.to_string() && line["body"] == "request failed"), "{lines:?}");
    sandbox.run(&["load", "300", "--concurrency", "20"]);
    sandbox.role.interrupt();
    assert!(sandbox.role.ended().success());
    let printed = sandbox.role.printed();
    assert!(!printed.contains("dummy-") && !printed.contains("failed"), "{printed}");
}

#[tokio::test]
async fn a_pair_is_guessed_and_explained_on_the_command_line() {
    let sandbox = Sandbox::up(&[&QUIET[..2], &["--mystery", "network", "--seed", "4", "--width", "3"]].concat());
    let answer = sandbox.reveal();
    let (caller, callee) = (answer["service"].as_str().unwrap(), answer["callee"].as_str().unwrap());
    let half = sandbox.run(&["guess", "--service", caller, "--cause", "network"]);
    assert_eq!((half.status.code(), stdout(&half).lines().count()), (Some(1), 1), "{}", stdout(&half));
    assert!(stdout(&half).contains("name both ends, caller and callee"), "{}", stdout(&half));
    let right = sandbox.run(&["guess", "--service", caller, "--callee", callee, "--cause", "network"]);
    assert_eq!(right.status.code(), Some(0), "{}", stderr(&right));
    assert!(stdout(&right).contains(&format!("passed between {caller} and {callee}")), "{}", stdout(&right));
    let revealed = stdout(&sandbox.run(&["reveal"]));
    assert!(revealed.starts_with(&format!("network in {caller}, on the way to {callee}\n")), "{revealed}");
    let again = "the same again: --mystery network --seed 4, or TRACELAB_MYSTERY=network TRACELAB_SEED=4\n";
    assert!(revealed.contains("passed between") && revealed.ends_with(again), "{revealed}");
}

#[test]
fn the_welcome_fits_in_eight_lines_and_names_both_addresses() {
    let mut up = Terminal::up(&["--layers", "2", "--width", "3"]);
    let welcome = up.welcome();
    assert!(
        welcome.starts_with("6 services are up; the mystery is sleep (one service sleeps long on every request).\n"),
        "{welcome}"
    );
    assert!(welcome.contains("  page    http://127.0.0.1:") && welcome.contains("/search\n"), "{welcome}");
    assert!(welcome.contains(" load --frontend http://127.0.0.1:"), "{welcome}");
    up.interrupt();
    let all = welcome + &up.rest();
    assert!(all.lines().count() <= 8, "{all}");
}

#[test]
fn after_a_restart_the_welcome_tells_the_mystery_that_is_running() {
    let state = tempfile::tempdir().unwrap();
    let flags = ["--width", "3", "--state", state.path().to_str().unwrap()];
    let mut up = Terminal::up(&flags);
    let welcome = up.welcome();
    let frontend = welcome.lines().find_map(|line| line.strip_prefix("  page    ")).unwrap();
    assert_eq!(run(&["mystery", "none", "--frontend", frontend]).status.code(), Some(0));
    drop(up);
    let again = Terminal::up(&flags).welcome();
    assert!(again.contains("nothing is wrong with any of them") && again.contains("guess --nothing"), "{again}");
}

/// Variables that are meant for other programs of whoever types the command.
#[test]
fn commands_without_telemetry_do_not_mind_the_standard_variables() {
    for (variable, value) in [
        ("OTEL_TRACES_EXPORTER", "jaeger"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_PROPAGATORS", "tracecontext,baggage,b3"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ] {
        for arguments in [&["guess", "--nothing"][..], &["load", "10"], &["reveal"], &["mystery"], &["redeploy", "dummy-0-0", "v2"]]
        {
            let (mut command, _directory) = sandbox::tracelab(&[arguments, &["--frontend", "http://127.0.0.1:1"]].concat());
            let output = command.env(variable, value).output().unwrap();
            // They come as far as looking for the frontend.
            assert_eq!(output.status.code(), Some(3), "{variable}={value} {arguments:?}: {}", stderr(&output));
        }
        let (mut command, _directory) = sandbox::tracelab(&["healthcheck", "http://127.0.0.1:1/"]);
        let output = command.env(variable, value).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{variable}={value}: {}", stderr(&output));
    }
}

/// `tracelab up` as a person sees it, without `--json`; it runs until this is dropped.
struct Terminal {
    process: Child,
    /// What it prints on stdout.
    lines: Receiver<String>,
    _directory: tempfile::TempDir,
}

impl Terminal {
    fn up(flags: &[&str]) -> Self {
        let ports = ["--port", "0", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"];
        let (mut command, directory) = sandbox::tracelab(&[&["up"], &ports[..], flags].concat());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines, _directory: directory }
    }

    /// Everything up to its last line, as soon as that is there.
    fn welcome(&mut self) -> String {
        let mut text = String::new();
        while !text.contains("Ctrl-C stops everything") {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{error} after {text:?}"));
            text += &format!("{line}\n");
        }
        text
    }

    fn interrupt(&self) {
        let status = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Everything that follows until it ends.
    fn rest(&mut self) -> String {
        let mut text = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => text += &format!("{line}\n"),
                Err(mpsc::RecvTimeoutError::Disconnected) => return text,
                Err(error) => panic!("it does not end: {error} after {text:?}"),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn until_said(sandbox: &Sandbox, text: &str) {
    let otherwise = || format!("nobody says {text:?}: {}", sandbox.role.printed());
    until(|| sandbox.role.printed().contains(text), otherwise).await;
}

/// The spans from the root on, each the parent of the next.
fn chain(spans: &[Span]) -> Vec<Span> {
    let mut chain = vec![spans.iter().find(|span| span.parent().is_empty()).expect("a root").clone()];
    while let Some(next) = spans.iter().find(|span| span.parent() == chain[chain.len() - 1].id()) {
        chain.push(next.clone());
    }
    chain
}
