//! `tracelab doctor` as somebody runs it who sees no traces: every fault is made for real, and its line is expected with the way out.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/fake.rs"]
mod fake;
#[path = "support/sandbox.rs"]
mod sandbox;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use fake::{Fake, Reply};
use http::{HeaderMap, Method, StatusCode};
use sandbox::{Role, Sandbox, tracelab};
use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt as _;
use tokio::net::{TcpListener, UdpSocket};
use tracelab::mystery::Cause;
use tracelab::topology::{Route, ServiceName, Topology};
use warp::Filter as _;
use warp::path::FullPath;

const QUIET: [&str; 4] = ["--delay-scale", "0", "--mystery", "none"];

/// What one run said.
struct Report {
    code: i32,
    text: String,
    checks: Vec<Value>,
    conclusion: String,
}

impl Report {
    /// Some line of this check has this result, and these words in what was seen and what to do.
    #[track_caller]
    fn says(&self, check: &str, result: &str, saw: &str, way_out: &str) {
        let part = |line: &Value, key: &str, words: &str| line[key].as_str().unwrap_or_default().contains(words);
        let matches = |line: &&Value| part(line, "saw", saw) && part(line, "do", way_out);
        let lines: Vec<_> = self.checks.iter().filter(|line| line["check"] == check).collect();
        assert!(lines.iter().filter(|line| line["result"] == result).any(matches), "{saw:?}, {way_out:?}: {}", self.text);
    }

    #[track_caller]
    fn fails(&self, check: &str, saw: &str, way_out: &str) {
        self.says(check, "failure", saw, way_out);
        assert_eq!(self.code, 1, "{}", self.text);
    }
}

async fn doctor(flags: &[&str], variables: &[(&str, &str)]) -> Report {
    let (mut command, _directory) = tracelab(&["doctor", "--json"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.to_ascii_uppercase().ends_with("_PROXY")) {
        command.env_remove(name);
    }
    command.args(flags).envs(variables.iter().copied());
    let output = tokio::process::Command::from(command).output().await.unwrap();
    let (text, errors) = (sandbox::stdout(&output), sandbox::stderr(&output));
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
    Report {
        code: output.status.code().unwrap(),
        checks: report["checks"].as_array().unwrap().clone(),
        conclusion: report["conclusion"].as_str().unwrap().to_owned(),
        text,
    }
}

/// Answers whatever `reply` makes of a method and a path.
async fn serve(reply: impl Fn(&Method, &str) -> http::Response<Vec<u8>> + Clone + Send + Sync + 'static) -> String {
    // The request is read to its end first, or its sender might never see the answer.
    let routes = warp::method().and(warp::path::full()).and(warp::body::bytes());
    let routes = routes.map(move |method: Method, path: FullPath, _| reply(&method, path.as_str()));
    let routes = routes.or(warp::any().map(|| StatusCode::BAD_REQUEST));
    let listener = tracelab::server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(tracelab::server::serve(listener, routes, tracelab::server::Stop::new()));
    url
}

fn answer(status: u16, media: &str, body: &str) -> http::Response<Vec<u8>> {
    http::Response::builder().status(status).header("content-type", media).body(body.as_bytes().to_vec()).unwrap()
}

fn page() -> http::Response<Vec<u8>> {
    answer(200, "text/html; charset=utf-8", "<!doctype html><title>Jaeger UI</title>")
}

/// Where nobody listens.
async fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn backend() -> Role {
    Role::start(&["backend", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"], &[])
}

#[tokio::test]
async fn where_all_is_well_every_line_says_so() {
    let sandbox = Sandbox::up(&QUIET);
    let (http, grpc) = (sandbox.role.url("otlp_http"), sandbox.role.url("otlp_grpc"));
    for (otlp, protocol) in [(&http, "http/protobuf"), (&grpc, "grpc")] {
        let flags = ["--frontend", &sandbox.frontend, "--jaeger", &sandbox.jaeger, "--otlp", otlp, "--protocol", protocol];
        let report = doctor(&flags, &[]).await;
        assert_eq!(report.code, 0, "{}", report.text);
        assert!(report.checks.iter().all(|line| line["result"] == "ok"), "{}", report.text);
        assert!(report.conclusion.starts_with("traces arrive"), "{}", report.conclusion);
        report.says("version", "ok", "trace backend of tracelab", "");
        report.says("probe", "ok", "is found at", "");
        report.says("trace", "ok", "Jaeger has it", "");
        report.says("unsampled", "ok", "flags 00 left no trace", "");
        report.says("baggage", "ok", "is on spans of frontend, dummy-0-0, dummy-1-0, dummy-2-0", "");
    }
    let flags = ["--frontend", &sandbox.frontend, "--jaeger", &sandbox.jaeger, "--otlp", &http, "--no-call", "--no-probe"];
    let report = doctor(&flags, &[]).await;
    report.says("frontend", "ok", "is there", "");
    report.says("call", "skipped", "--no-call", "");
    report.says("probe", "skipped", "--no-probe", "");
    assert!(report.conclusion.contains("was not tried"), "{}", report.conclusion);
}

#[tokio::test]
async fn a_stage_whose_services_have_an_endpoint_of_their_own_is_not_blamed_for_the_default_one() {
    let sandbox = Sandbox::up(&QUIET);
    let flags = ["--frontend", &sandbox.frontend, "--jaeger", &sandbox.jaeger];
    let report = doctor(&[&flags[..], &["--no-probe"]].concat(), &[]).await;
    assert_eq!(report.code, 0, "{}", report.text);
    assert!(report.conclusion.starts_with("traces arrive: a call's is found"), "{}", report.conclusion);
    // Somebody else may listen there on this machine.
    if std::net::TcpStream::connect("localhost:4318").is_err() {
        report.says(
            "otlp",
            "warning",
            "the default): nothing listens",
            "port-forward service/jaeger 4318 (in the kops stage service/jaeger-agent)",
        );
        // Without a call there is nothing that would tell.
        let report = doctor(&[&flags[..], &["--no-call"]].concat(), &[]).await;
        report.fails("otlp", "nothing listens", "OTEL_EXPORTER_OTLP_ENDPOINT");
    }
}

#[tokio::test]
async fn people_read_a_sign_a_line_and_below_it_what_to_do() {
    let sandbox = Sandbox::up(&QUIET);
    let flags = ["--frontend", &sandbox.frontend, "--jaeger", &sandbox.jaeger, "--otlp", &closed().await];
    let (mut command, _directory) = tracelab(&["doctor"]);
    command.args(flags);
    let output = tokio::process::Command::from(command).output().await.unwrap();
    let text = sandbox::stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ otlp ") && text.contains("\n                   what to do: start a Jaeger"), "{text}");
    assert!(text.contains("✓ query ") && text.contains("– probe ") && text.contains("\nbegin with otlp: start a Jaeger"), "{text}");
    assert!(!text.contains('\u{1b}'), "nobody looks at colours here: {text}");
    assert!(sandbox::stderr(&output).lines().count() == 1, "{}", sandbox::stderr(&output));
}

#[tokio::test]
async fn what_is_known_is_told_while_the_rest_is_looked_for() {
    let sandbox = Sandbox::up(&QUIET);
    // Nothing is said of a trace until the lines before that are read.
    let (read, reading) = tokio::sync::watch::channel(false);
    let (client, jaeger) = (tracelab::outbound::client().unwrap(), sandbox.jaeger.clone());
    let slow = Fake::start(move |path| {
        let (client, url, mut reading) = (client.clone(), format!("{jaeger}{path}"), reading.clone());
        async move {
            if path.contains("/traces/") {
                reading.wait_for(|read| *read).await.unwrap();
            }
            let answer = client.get(url).send().await.unwrap();
            Reply::Answer(answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
        }
    })
    .await;
    let otlp = sandbox.role.url("otlp_http");
    let (mut command, _directory) =
        tracelab(&["doctor", "--no-probe", "--frontend", &sandbox.frontend, "--jaeger", &slow.url, "--otlp", &otlp]);
    command.stdout(std::process::Stdio::piped());
    let mut doctor = tokio::process::Command::from(command).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(doctor.stdout.take().unwrap()).lines();
    let mut text = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.starts_with("✓ sampling") {
            read.send_replace(true);
        }
        text += &format!("{line}\n");
    }
    assert!(doctor.wait().await.unwrap().success(), "{text}");
    assert!(text.contains("✓ trace ") && text.contains("✓ hops "), "{text}");
}

#[tokio::test]
async fn ports_and_protocols_that_were_confused_are_told_apart() {
    let sandbox = Sandbox::up(&QUIET);
    let (http, grpc, jaeger) = (sandbox.role.url("otlp_http"), sandbox.role.url("otlp_grpc"), &sandbox.jaeger);
    let (doubled, https) = (format!("{http}/v1/traces"), http.replace("http:", "https:"));
    let (https_grpc, deep) = (grpc.replace("http:", "https:"), format!("{http}/collector"));
    for (otlp, protocol, saw, way_out) in [
        (&grpc, "http/protobuf", "gRPC is spoken", "--protocol grpc"),
        (&http, "grpc", "HTTP is spoken", "--protocol http/protobuf"),
        (jaeger, "http/protobuf", "Jaeger's query API", "4318"),
        (jaeger, "grpc", "HTTP is spoken", "that is Jaeger's query port"),
        (&doubled, "http/protobuf", "in it twice", &format!("without it: {http}")),
        (&deep, "http/protobuf", "no such path", &format!("{http}/v1/traces takes them")),
        (&https, "http/protobuf", "no TLS is spoken", &format!("use {http},")),
        (&https_grpc, "grpc", "no TLS is spoken", &format!("use {grpc},")),
    ] {
        let report = doctor(&["--jaeger", jaeger, "--otlp", otlp, "--protocol", protocol], &[]).await;
        report.fails("otlp-answer", saw, way_out);
        assert!(report.conclusion.starts_with("begin with otlp-answer"), "{}", report.conclusion);
    }
    let (search, other) = (format!("{jaeger}/search"), format!("{jaeger}/base"));
    for (query, saw, way_out) in [
        (&http, "takes OTLP", "16686"),
        (&grpc, "gRPC is spoken", "16686"),
        (&sandbox.frontend, "is no Jaeger", "--jaeger URL"),
        (&search, "but one at", &format!("--jaeger {jaeger}")),
        (&other, "but one at", &format!("--jaeger {jaeger}")),
        (&jaeger.replace("http:", "https:"), "no TLS is spoken", "http://"),
    ] {
        doctor(&["--jaeger", query, "--otlp", &http], &[]).await.fails("query-api", saw, way_out);
    }
}

#[tokio::test]
async fn an_endpoint_that_says_no_is_asked_why() {
    let backend = backend();
    let endpoint = serve(|_, path| match path.split('/').nth(1).unwrap_or_default() {
        "page" => page(),
        "moved" => {
            let mut moved = answer(302, "text/plain", "");
            moved.headers_mut().insert("location", "https://elsewhere.example/".parse().unwrap());
            moved
        }
        status => answer(status.parse().unwrap(), "text/plain", "not \u{1b}[2Jtoday"),
    })
    .await;
    for (place, result, saw, way_out) in [
        ("401", "failure", "sent headers: x-api-key", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("403", "failure", "403 Forbidden (not \u{fffd}[2Jtoday)", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("404", "failure", "no such path", "4318/v1/traces"),
        ("405", "failure", "something else than OTLP", "/v1/traces"),
        ("415", "failure", "takes no protobuf", "--protocol grpc"),
        ("429", "warning", "takes no spans at the moment", "limits"),
        ("503", "warning", "takes no spans at the moment", "limits"),
        ("502", "failure", "a proxy is there", "behind the proxy"),
        ("500", "failure", "500 Internal Server Error", "log"),
        ("page", "failure", "web page", "4318"),
        ("moved", "failure", "https://elsewhere.example/", "name https://elsewhere.example/"),
    ] {
        let otlp = format!("{endpoint}/{place}");
        let variables = [("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=sesame")];
        let report = doctor(&["--jaeger", &backend.url("jaeger"), "--otlp", &otlp], &variables).await;
        report.says("otlp-answer", result, saw, way_out);
        report.says("probe", "skipped", "", "");
        assert_eq!(report.code, i32::from(result == "failure"), "{}", report.text);
        assert!(!report.text.contains("sesame"), "{}", report.text);
    }
}

#[tokio::test]
async fn a_grpc_server_that_says_no_is_asked_why() {
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
    use tonic::{Code, Request, Response, Status};

    struct Refusing(Code);

    #[tonic::async_trait]
    impl TraceService for Refusing {
        async fn export(&self, _: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
            Err(Status::new(self.0, "not today"))
        }
    }

    let backend = backend();
    for (code, result, saw, way_out) in [
        (Code::Unauthenticated, "failure", "not today", "OTEL_EXPORTER_OTLP_HEADERS"),
        (Code::Unimplemented, "failure", "but not OTLP", "4317"),
        (Code::ResourceExhausted, "warning", "not today", "limits"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let otlp = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Refusing(code)));
        tokio::spawn(server.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
        let flags = ["--jaeger", &backend.url("jaeger"), "--otlp", &otlp, "--protocol", "grpc"];
        doctor(&flags, &[]).await.says("otlp-answer", result, saw, way_out);
    }
}

#[tokio::test]
async fn tls_on_a_port_that_was_called_plain_and_a_strange_authority_are_told_apart() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("authority.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(|_: http::Request<hyper::body::Incoming>| {
                    std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(String::new())))
                });
                let stream = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
            });
        }
    });
    let backend = backend();
    let jaeger = backend.url("jaeger");
    let (plain, tls) = (format!("http://localhost:{port}"), format!("https://localhost:{port}"));
    for protocol in ["http/protobuf", "grpc"] {
        let report = doctor(&["--jaeger", &jaeger, "--otlp", &plain, "--protocol", protocol], &[]).await;
        report.fails("otlp-answer", "TLS is spoken", &format!("use {tls},"));
        let report = doctor(&["--jaeger", &jaeger, "--otlp", &tls, "--protocol", protocol], &[]).await;
        report.fails("otlp-answer", "from nobody who is trusted here", "OTEL_EXPORTER_OTLP_CERTIFICATE");
    }
    let other_name = format!("https://127.0.0.1:{port}");
    let trusting = [("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.to_str().unwrap())];
    doctor(&["--jaeger", &jaeger, "--otlp", &other_name], &trusting).await.fails(
        "otlp-answer",
        "for another name",
        "name the endpoint",
    );
    let report = doctor(&["--jaeger", &jaeger, "--otlp", &tls, "--no-probe"], &trusting).await;
    report.says("otlp-answer", "ok", "it takes spans", "");
    doctor(&["--jaeger", &plain, "--otlp", &tls], &trusting).await.fails("query-api", "TLS is spoken", "https://");
}

#[tokio::test]
async fn whoever_answers_at_the_query_address_is_named() {
    let backend = backend();
    let otlp = backend.url("otlp_http");
    let services = |body: &'static str| move || answer(200, "application/json", body);
    let (v3, legacy) = (services(r#"{"services":["shop"]}"#), services(r#"{"data":["shop"],"total":1}"#));
    let old = serve(move |_, path| if path == "/api/services" { legacy() } else { page() }).await;
    let version = serve(move |_, path| match path {
        "/api/v3/services" => v3(),
        "/search" => answer(200, "text/html", r#"<script>const JAEGER_VERSION = {"gitVersion":"v1.76.0"};</script>"#),
        _ => answer(404, "text/plain", "404 page not found"),
    })
    .await;
    let new = serve(move |_, path| match path {
        "/jaeger/api/v3/services" => v3(),
        "/jaeger/search" => answer(200, "text/html", r#"<script>const JAEGER_VERSION = {"gitVersion":"v2.20.0"};</script>"#),
        _ => answer(404, "text/plain", "404 page not found"),
    })
    .await;
    let pages = serve(|_, _| page()).await;
    let secret = serve(|_, _| answer(401, "text/plain", "who are you?")).await;
    let away = serve(|_, _| answer(503, "text/plain", "no storage")).await;
    let report = |query: String| {
        let otlp = otlp.clone();
        async move { doctor(&["--jaeger", &query, "--otlp", &otlp, "--no-probe"], &[]).await }
    };
    let seen = report(old).await;
    seen.says("query-api", "ok", "legacy API answers, and holds traces of 1 service", "");
    seen.says("version", "warning", "end of life on 2025-12-31", "Jaeger 2");
    assert_eq!(seen.code, 0, "a warning is no failure: {}", seen.text);
    report(version).await.says("version", "warning", "it is Jaeger v1.76.0", "Jaeger 2");
    report(format!("{new}/jaeger")).await.says("version", "ok", "it is Jaeger v2.20.0", "");
    report(new.clone()).await.fails("query-api", "but one at", &format!("--jaeger {new}/jaeger"));
    report(pages).await.fails("query-api", "web pages alone", "base path");
    report(secret).await.fails("query-api", "wants to know who asks", "behind the proxy");
    report(away).await.fails("query-api", "503 Service Unavailable (no storage)", "log");
    report(closed().await).await.fails("query", "nothing listens at", "--jaeger URL");
}

/// A server that says nothing is not waited for longer than a person would.
#[tokio::test]
async fn silence_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let report = doctor(&["--jaeger", &silent, "--otlp", &silent], &[]).await;
    report.fails("otlp-answer", "no answer that could be read: no answer within 4s", "4318");
    report.fails("query-api", "no answer that could be read", "--jaeger URL");
}

#[tokio::test]
async fn clocks_that_differ_are_said_with_amount_and_direction() {
    let date = |seconds: i64| {
        let time = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap()
    };
    let dated = |seconds: i64, body: Value| {
        let (date, body) = (date(seconds), body.to_string());
        serve(move |_, _| {
            let mut response = answer(200, "application/json", &body);
            response.headers_mut().insert("date", date.parse().unwrap());
            response
        })
    };
    let jaeger = dated(3_630, json!({"services": []})).await;
    let frontend = dated(-3_630, json!({"layers": 3, "services": []})).await;
    let backend = backend();
    let flags = ["--jaeger", &jaeger, "--frontend", &frontend, "--otlp", &backend.url("otlp_http"), "--no-probe", "--no-call"];
    let report = doctor(&flags, &[]).await;
    report.fails("clocks", "the clock of the Jaeger is at least 1 h", "synchronise");
    report.fails("clocks", "the clock of the frontend is at least 1 h", "synchronise");
    let lines: Vec<_> = report.checks.iter().filter(|line| line["check"] == "clocks").collect();
    assert!(
        lines[0]["saw"].as_str().unwrap().contains("ahead") && lines[1]["saw"].as_str().unwrap().contains("behind"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn spans_that_are_taken_and_never_seen_again_are_missed() {
    let (one, other) = (backend(), backend());
    // Another Jaeger's endpoint, and one that drops what it takes, look the same from here.
    let report = doctor(&["--jaeger", &one.url("jaeger"), "--otlp", &other.url("otlp_http")], &[]).await;
    report.says("otlp-answer", "ok", "", "");
    report.fails("probe", "is not found at", "tail_sampling");
    assert!(report.conclusion.starts_with("begin with probe: either --jaeger is not the Jaeger"), "{}", report.conclusion);
}

#[tokio::test]
async fn a_span_that_is_rejected_is_told_from_one_that_is_lost() {
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
    use prost::Message as _;
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "over the quota".to_owned() };
    let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let endpoint = serve(move |_, _| http::Response::new(body.clone())).await;
    let backend = backend();
    let report = doctor(&["--jaeger", &backend.url("jaeger"), "--otlp", &endpoint], &[]).await;
    report.fails("probe", "rejected the span: over the quota", "log");
}

#[tokio::test]
async fn without_a_probe_nothing_is_left_behind() {
    let backend = backend();
    let flags = ["--jaeger", &backend.url("jaeger"), "--otlp", &backend.url("otlp_http")];
    let services = || async {
        let url = format!("{}/api/v3/services", backend.url("jaeger"));
        let answer = tracelab::outbound::client().unwrap().get(url).send().await.unwrap();
        answer.json::<HashMap<String, Vec<String>>>().await.unwrap()["services"].clone()
    };
    let report = doctor(&[&flags[..], &["--no-probe"]].concat(), &[]).await;
    assert_eq!((report.code, services().await), (0, vec![]), "{}", report.text);
    doctor(&flags, &[]).await;
    assert_eq!(services().await, ["tracelab-doctor"]);
}

#[tokio::test]
async fn the_variables_count_and_their_faults_are_said() {
    let backend = backend();
    let (jaeger, otlp) = (backend.url("jaeger"), backend.url("otlp_http"));
    let flags = ["--jaeger", &jaeger];
    let report = doctor(&flags, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp)]).await;
    assert_eq!(report.code, 0, "{}", report.text);
    report.says("otlp", "ok", "named by OTEL_EXPORTER_OTLP_ENDPOINT", "");
    for (name, value, check, saw, way_out) in [
        ("OTEL_SDK_DISABLED", "true", "environment", "records nothing", "unset OTEL_SDK_DISABLED"),
        ("OTEL_TRACES_EXPORTER", "none", "exporter", "traces go nowhere", "otlp"),
        ("OTEL_TRACES_SAMPLER", "always_off", "environment", "record nothing", "unset"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http", "environment", "a protocol that nobody knows", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &otlp, "otlp-answer", "no such path", "OTEL_EXPORTER_OTLP_ENDPOINT to http"),
    ] {
        doctor(&flags, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &otlp), (name, value)]).await.fails(check, saw, way_out);
    }
    let report = doctor(&flags, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")]).await;
    report.fails("otlp", "no http:// or https:// URL", "scheme");
}

#[tokio::test]
async fn an_agent_that_nobody_can_ask_is_tried_with_a_span() {
    let backend = backend();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let agent = socket.local_addr().unwrap().to_string();
    drop(socket);
    let flags = ["--jaeger", &backend.url("jaeger"), "--exporter", "jaeger-agent", "--jaeger-agent", &agent];
    let report = doctor(&flags, &[]).await;
    report.says("exporter", "ok", "by UDP, which answers nobody", "");
    report.fails("probe", "no span can be sent to the agent", "UDP 6831");
}

#[tokio::test]
async fn where_nobody_is_reached_the_exit_code_says_that() {
    let (jaeger, otlp, frontend) = (closed().await, closed().await, closed().await);
    let report = doctor(&["--jaeger", &jaeger, "--otlp", &otlp, "--frontend", &frontend], &[]).await;
    assert_eq!(report.code, 3, "{}", report.text);
    report.says("otlp", "failure", "nothing listens at", "tracelab up");
    report.says("frontend", "failure", "nothing listens at", "tracelab up");
    assert!(report.conclusion.contains("`tracelab up` starts everything"), "{}", report.conclusion);
    for flags in [["--jaeger", "localhost"], ["--protocol", "thrift"]] {
        let output = sandbox::run(&[&["doctor"][..], &flags[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", sandbox::stderr(&output));
    }
    let stranger = serve(|_, _| page()).await;
    let report = doctor(&["--jaeger", &jaeger, "--otlp", &otlp, "--frontend", &stranger], &[]).await;
    report.fails("frontend", "is no frontend of tracelab", "tracelab up");
}

/// One call through `up` with these flags and variables, and nothing else.
async fn called(flags: &[&str], variables: &[(&str, &str)]) -> (Sandbox, Report) {
    let sandbox = Sandbox::up_with(&[&["--width", "2", "--delay-scale", "0"], flags].concat(), variables);
    let report = call(&sandbox).await;
    (sandbox, report)
}

async fn call(sandbox: &Sandbox) -> Report {
    let otlp = backend();
    doctor(&["--frontend", &sandbox.frontend, "--jaeger", &sandbox.jaeger, "--otlp", &otlp.url("otlp_http"), "--no-probe"], &[])
        .await
}

#[tokio::test]
async fn a_service_that_breaks_the_trace_is_told_from_one_that_only_makes_no_spans() {
    let (_sandbox, report) = called(&["--mystery", "none", "--instrumentation", "dummy-1-0=none"], &[]).await;
    report.fails("hops", "breaks at dummy-1-0: it makes no spans, and behind it dummy-2-0 begins", "instrumentation = propagate");
    let (_sandbox, report) = called(&["--mystery", "none", "--instrumentation", "dummy-1-0=propagate"], &[]).await;
    report.says("hops", "warning", "dummy-1-0 passes the trace context on, but none of its own spans", "OTEL_TRACES_EXPORTER");
    assert_eq!(report.code, 0, "a warning is no failure: {}", report.text);
}

#[tokio::test]
async fn a_service_that_drops_the_context_is_named_with_its_callee() {
    let topology = Topology::new(3, 2, Route::Straight).unwrap();
    let first = ServiceName { layer: 0, number: 0 };
    let (seed, _) = sandbox::find(Cause::LostContext, topology, |mystery| mystery.answer().service == Some(first));
    let (_sandbox, report) = called(&["--mystery", "lost-context", "--seed", &seed.to_string()], &[]).await;
    report.fails("hops", "between dummy-0-0 and dummy-1-0", "dummy-0-0 has to inject the context");
    assert!(report.text.contains("this may be it"), "it is a game too: {}", report.text);
}

#[tokio::test]
async fn a_service_that_drops_the_context_of_many_calls_is_one_fault() {
    let topology = Topology::new(2, 8, Route::All).unwrap();
    let first = ServiceName { layer: 0, number: 0 };
    let (seed, _) = sandbox::find(Cause::LostContext, topology, |mystery| mystery.answer().service == Some(first));
    let shape = ["--layers", "2", "--width", "8", "--route", "all", "--delay-scale", "0"];
    let sandbox = Sandbox::up(&[&shape[..], &["--mystery", "lost-context", "--seed", &seed.to_string()]].concat());
    let report = call(&sandbox).await;
    report.fails("hops", "between dummy-0-0 and dummy-1-0, dummy-1-1, ", "dummy-0-0 has to inject the context");
    report.fails(
        "hops",
        "2 services called by dummy-0-0 is in the trace, and what else they left was not looked at: dummy-1-6",
        "",
    );
    assert_eq!(report.checks.iter().filter(|line| line["check"] == "hops").count(), 2, "{}", report.text);
}

#[tokio::test]
async fn where_no_context_travels_at_all_it_is_nobodys_fault_alone() {
    let (_sandbox, report) = called(&["--mystery", "none", "--propagators", "none"], &[]).await;
    report.fails("context", "instead of going on with the one that it was sent", "OTEL_PROPAGATORS=tracecontext,baggage");
    report.fails("hops", "every service begins a trace of its own", "same propagators");
}

#[tokio::test]
async fn baggage_that_nobody_passes_on_is_missed() {
    let (_sandbox, report) = called(&["--mystery", "none", "--propagators", "tracecontext"], &[]).await;
    report.says("hops", "ok", "all hops are in one trace", "");
    report.says("baggage", "warning", "baggage gets nowhere", "OTEL_PROPAGATORS=tracecontext,baggage");
}

#[tokio::test]
async fn what_is_sampled_away_is_not_waited_for() {
    let (_sandbox, report) = called(&["--mystery", "none"], &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    report.fails("sampling", "the frontend does not sample", "without OTEL_TRACES_SAMPLER");
    report.says("trace", "skipped", "did not record it", "");
}

#[tokio::test]
async fn spans_that_go_to_another_jaeger_than_the_one_that_is_asked_are_missed() {
    let (there, here) = (backend(), backend());
    let (jaeger, otlp) = (here.url("jaeger"), there.url("otlp_http"));
    let (_sandbox, report) = called(&["--mystery", "none", "--jaeger", &jaeger, "--otlp", &otlp], &[]).await;
    report.fails("trace", "does not have the trace", "");
    report.fails("trace", "", "`tracelab load 100` leaves some traces");
}

#[tokio::test]
async fn whoever_is_no_frontend_of_ours_is_named() {
    let jaeger = backend();
    let (jaeger, otlp) = (jaeger.url("jaeger"), jaeger.url("otlp_http"));
    let stranger = serve(|_, _| page()).await;
    let report = doctor(&["--frontend", &stranger, "--jaeger", &jaeger, "--otlp", &otlp, "--no-probe"], &[]).await;
    report.fails("frontend", "is no frontend of tracelab", "name the page that `tracelab up`");
}

#[tokio::test]
async fn who_records_what_is_not_to_be_recorded_is_told() {
    let (_sandbox, report) = called(&["--mystery", "none"], &[("OTEL_TRACES_SAMPLER", "always_on")]).await;
    report.says(
        "unsampled",
        "warning",
        "not to be recorded was recorded all the same",
        "OTEL_TRACES_SAMPLER=parentbased_always_on",
    );

    // A program that leaves the flags unread.
    let backend = backend();
    let (jaeger, otlp) = (backend.url("jaeger"), backend.url("otlp_http"));
    let program = recording("dummy-1-0", &otlp).await;
    let flags = ["--mystery", "none", "--jaeger", &jaeger, "--otlp", &otlp, "--replace", &format!("dummy-1-0={program}")];
    let (_sandbox, report) = called(&flags, &[]).await;
    report.says("unsampled", "warning", "recorded all the same by dummy-1-0: such traces are only parts", "start dummy-1-0 with");
}

/// A program that sends a span of this service's for every request, whatever it is told.
async fn recording(service: &'static str, otlp: &str) -> String {
    let (client, target) = (tracelab::outbound::client().unwrap(), format!("{otlp}/v1/traces"));
    let routes = warp::header::headers_cloned().then(move |headers: HeaderMap| {
        let (client, target) = (client.clone(), target.clone());
        async move {
            if let Some(parent) = headers.get("traceparent") {
                let parts: Vec<_> = parent.to_str().unwrap().split('-').collect();
                let now = jiff::Timestamp::now().as_nanosecond().to_string();
                let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
                let span = json!({
                    "traceId": parts[1], "spanId": "1dea1dea1dea1dea", "parentSpanId": parts[2], "name": "GET", "kind": 2,
                    "startTimeUnixNano": now, "endTimeUnixNano": now,
                });
                let spans = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]});
                assert!(client.post(target).json(&spans).send().await.unwrap().status().is_success());
            }
            "hello"
        }
    });
    let listener = tracelab::server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(tracelab::server::serve(listener, routes, tracelab::server::Stop::new()));
    url
}

#[tokio::test]
async fn a_trace_that_was_there_and_is_gone_again_is_told_from_one_that_never_came() {
    for (instrumentation, spans) in [("dummy-1-0=full", 7), ("dummy-1-0=none", 1)] {
        let sandbox = Sandbox::up(&[&QUIET[..], &["--width", "2", "--instrumentation", instrumentation]].concat());
        let jaeger = forgetful(&sandbox.jaeger, spans, no_such_trace).await;
        let report = called_beside(&sandbox, &jaeger).await;
        report.fails("trace-kept", "was there and is gone again: Jaeger keeps traces for seconds only", "--store-mb");
    }
    let sandbox = Sandbox::up(&[&QUIET[..], &["--width", "2"]].concat());
    let jaeger = forgetful(&sandbox.jaeger, 7, || Reply::Nothing).await;
    called_beside(&sandbox, &jaeger).await.fails("trace-kept", "does not answer any more", "look at its log");
}

/// As API v3 has it.
fn no_such_trace() -> Reply {
    Reply::Answer(404, br#"{"error":{"grpcCode":5,"httpCode":404,"message":"trace not found","httpStatus":"Not Found"}}"#.to_vec())
}

/// A call through this sandbox that is looked for in another Jaeger.
async fn called_beside(sandbox: &Sandbox, jaeger: &Fake) -> Report {
    let otlp = sandbox.role.url("otlp_http");
    doctor(&["--frontend", &sandbox.frontend, "--jaeger", &jaeger.url, "--otlp", &otlp, "--no-probe"], &[]).await
}

/// Hands out what `jaeger` has, but a trace with so many spans only once: asked again it says something else.
async fn forgetful(jaeger: &str, spans: usize, again: fn() -> Reply) -> Fake {
    let (client, jaeger, given) = (tracelab::outbound::client().unwrap(), jaeger.to_owned(), Arc::new(Mutex::new(HashSet::new())));
    Fake::start(move |path| {
        let (client, url, given) = (client.clone(), format!("{jaeger}{path}"), given.clone());
        async move {
            let id =
                path.split_once("/traces/").map(|(_, rest)| rest.split('?').next().unwrap().trim_start_matches('0').to_owned());
            if id.as_ref().is_some_and(|id| given.lock().unwrap().contains(id)) {
                return again();
            }
            let answer = client.get(url).send().await.unwrap();
            let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
            if body.matches("\"spanId\"").count() >= spans {
                given.lock().unwrap().extend(id);
            }
            Reply::Answer(status, body.into_bytes())
        }
    })
    .await
}
