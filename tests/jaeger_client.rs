//! The client of the query API: against the recorded answers of real Jaegers, against the embedded backend with more traces than one
//! search gives, and against servers that fail in every way.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod backend;
#[path = "support/fake.rs"]
mod fake;
#[path = "support/required.rs"]
mod required;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use backend::Backend;
use fake::{Fake, Reply, parameter};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::{Value, json};
use tracelab::diagnose::Traces;
use tracelab::diagnose::model::{Builder, Parent};
use tracelab::jaeger::{Api, Client, Collected, JaegerError, Settings, Wanted};

/// 2026-11-01T12:00:00Z, in nanoseconds.
const NOON: u64 = 1_793_534_400_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn settings() -> Settings {
    Settings { pause: Duration::from_millis(1), ..Settings::default() }
}

fn client(base: &str, settings: Settings) -> Client {
    Client::with(tracelab::outbound::client().unwrap(), base, settings)
}

fn two_hours() -> Wanted {
    Wanted { start: NOON - 3_600 * SECOND, end: NOON + 3_600 * SECOND, services: vec![], limit: usize::MAX }
}

async fn collect(client: &Client, wanted: &Wanted) -> Result<(Collected, Traces), JaegerError> {
    let mut builder = Builder::default();
    let collected = client.collect(wanted, &mut builder, |_| {}).await?;
    Ok((collected, builder.finish()))
}

/// The recorded exchanges, by name.
fn recordings(file: &str) -> Option<BTreeMap<String, Value>> {
    let path: PathBuf = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/jaeger-api")).join(file);
    if !path.is_file() {
        assert!(!required::required("shared"), "TRACELAB_REQUIRE names shared, but there is no {}", path.display());
        eprintln!("skipped: no {}", path.display());
        return None;
    }
    let lines = std::fs::read_to_string(path).unwrap();
    let exchanges = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    Some(exchanges.map(|exchange| (exchange["name"].as_str().unwrap().to_owned(), exchange)).collect())
}

fn recorded(exchange: &Value) -> Reply {
    let response = &exchange["response"];
    let body = match &response["json"] {
        Value::Null => response["text"].as_str().unwrap_or_default().as_bytes().to_vec(),
        json => json.to_string().into_bytes(),
    };
    Reply::Answer(u16::try_from(response["status"].as_u64().unwrap()).unwrap(), body)
}

/// Everything that spans say, in an order that does not depend on the API.
fn told(traces: &Traces) -> BTreeSet<String> {
    let text = |of| traces.texts.get(of);
    let mut told = BTreeSet::new();
    for trace in 0..traces.len() {
        for span in traces.of(trace) {
            let resource = &traces.resources[span.resource as usize];
            let pairs = traces.attributes(span).iter().chain(&resource.attributes);
            let pairs: BTreeSet<_> = pairs.map(|(key, value)| (text(*key), text(*value))).collect();
            let parent = match span.parent {
                Parent::Span(parent) => format!("{:x}", traces.of(trace)[parent as usize].id),
                other => format!("{other:?}"),
            };
            let (id, start, duration) = (traces.id(trace).0, span.start, span.duration());
            told.insert(format!(
                "{id:x} {:x} {parent} {} {} {start} {duration} {:?} {:?} {pairs:?}",
                span.id,
                text(resource.service),
                text(span.operation),
                span.kind,
                span.status
            ));
        }
    }
    told
}

#[tokio::test]
async fn both_apis_of_a_real_jaeger_give_the_same_traces() {
    let Some(release) = recordings("v2.20.0.jsonl") else { return };
    let Some(main) = recordings("main-2026-08-20.jsonl") else { return };
    let mut all = Vec::new();
    for (name, exchanges) in [("2.20.0", release.clone()), ("main", main)] {
        let server = Fake::start(move |path| {
            let name = if path.starts_with("/api/v3/services") { "v3-services" } else { "v3-traces-all" };
            let reply = recorded(&exchanges[name]);
            async { reply }
        })
        .await;
        let (collected, traces) = collect(&client(&server.url, settings()), &two_hours()).await.unwrap();
        assert_eq!(collected.api, Api::V3);
        assert!(collected.services.contains(&"dummy-1-3".to_owned()));
        assert_eq!((traces.len(), traces.left_out.len(), traces.noted.len()), (6, 0, 0), "{name}: {:?}", traces.left_out);
        all.push(told(&traces));
    }
    // The legacy API was recorded trace by trace: a search finds those with the service in them.
    let legacy = release.iter().filter(|(name, _)| name.starts_with("legacy-") && !name.ends_with("-raw"));
    let lists = legacy.filter_map(|(_, exchange)| exchange["response"]["json"]["data"].as_array());
    let found: BTreeMap<_, _> = lists.flatten().filter_map(|trace| Some((trace["traceID"].as_str()?, trace))).collect();
    let found: Vec<Value> = found.into_values().cloned().collect();
    let server = Fake::start(move |path| {
        let reply = if path.starts_with("/api/v3") {
            Reply::not_found()
        } else if path.starts_with("/api/services") {
            recorded(&release["legacy-services"])
        } else {
            let service = parameter(&path, "service").unwrap().replace("%2D", "-");
            let has =
                |trace: &&Value| trace["processes"].as_object().unwrap().values().any(|process| process["serviceName"] == *service);
            Reply::json(&json!({ "data": found.iter().filter(has).collect::<Vec<_>>(), "errors": null }).to_string())
        };
        async { reply }
    })
    .await;
    let (collected, traces) = collect(&client(&server.url, settings()), &two_hours()).await.unwrap();
    assert_eq!((collected.api, traces.len()), (Api::Legacy, 6));
    all.push(told(&traces));
    assert_eq!(all[0], all[1]);
    // A sibling's link leads to another trace, where only the legacy API could take it for a parent.
    assert_eq!(all[0], all[2]);
}

#[tokio::test]
async fn every_recorded_search_is_traces_nothing_or_an_error() {
    let mut seen = 0;
    for file in ["v2.20.0.jsonl", "main-2026-08-20.jsonl"] {
        let Some(exchanges) = recordings(file) else { return };
        for (name, exchange) in exchanges {
            let legacy = name.starts_with("legacy-search");
            if !legacy && !name.starts_with("v3-traces") {
                continue;
            }
            seen += 1;
            let (status, gone) = (exchange["response"]["status"].clone(), exchange["response"]["text"] == "404 page not found\n");
            let errors = ["/errors/0/msg", "/error/message"].map(|place| exchange["response"]["json"].pointer(place).cloned());
            let message = errors.into_iter().flatten().next().and_then(|message| message.as_str().map(str::to_owned));
            let server = Fake::start(move |path| {
                let reply = match (legacy, &*path) {
                    (false, "/api/v3/services") => Reply::json(r#"{"services":["x"]}"#),
                    (true, "/api/services") => Reply::json(r#"{"data":["x"],"errors":null}"#),
                    (false, path) if path.starts_with("/api/v3/") => recorded(&exchange),
                    (true, path) if path.starts_with("/api/traces") => recorded(&exchange),
                    _ => Reply::not_found(),
                };
                async { reply }
            })
            .await;
            let wanted = Wanted { services: vec!["x".to_owned()], ..two_hours() };
            let result = collect(&client(&server.url, settings()), &wanted).await;
            match result {
                Ok((_, traces)) if status == 200 => assert!(traces.left_out.is_empty(), "{name}: {:?}", traces.left_out),
                Ok((_, traces)) => assert!(status == 404 && !gone && traces.is_empty(), "{name}: {status}"),
                Err(error) => {
                    let (text, message) = (error.to_string(), message.unwrap_or_else(|| "404 Not Found".to_owned()));
                    let said = text.contains(&message) || text.contains(&format!("{message:?}"));
                    assert!(text.contains(&server.url) && said, "{name}: {text} does not say {message}");
                }
            }
        }
    }
    assert!(seen > 60, "only {seen}");
}

/// `frontend` → `dummy-0-n` → `dummy-1-n`; each fourth call of `dummy-0-3` lost its context on the way.
fn trace(number: u64, start: u64) -> Vec<(String, Span)> {
    let button = number % 10;
    let id = |kind: u64| (number << 8 | kind).to_be_bytes().to_vec();
    let span = |trace: u64, own: u64, parent: u64, offset: u64| Span {
        trace_id: u128::from(trace).to_be_bytes().to_vec(),
        span_id: id(own),
        parent_span_id: if parent == 0 { vec![] } else { id(parent) },
        name: "GET /".to_owned(),
        kind: 2,
        start_time_unix_nano: start + offset,
        end_time_unix_nano: start + 20_000_000 - offset,
        ..Span::default()
    };
    let lost = button == 3 && number % 4 == 3;
    let last = if lost { (number << 1 | 1 | 1 << 40, 0) } else { ((number + 1) << 1, 2) };
    vec![
        ("frontend".to_owned(), span((number + 1) << 1, 1, 0, 0)),
        (format!("dummy-0-{button}"), span((number + 1) << 1, 2, 1, 1_000_123)),
        (format!("dummy-1-{button}"), span(last.0, 3, last.1, 2_000_456)),
    ]
}

fn lost(traces: u64) -> usize {
    (0..traces).filter(|number| number % 10 == 3 && number % 4 == 3).count()
}

/// Traces over ten minutes, half of them in the last ten seconds.
fn fill(backend: &Backend, traces: u64) {
    let start = |number: u64| match number * 2 < traces {
        true => NOON + number * (600 * SECOND / traces),
        false => NOON + 590 * SECOND + (number - traces / 2) * (20 * SECOND / traces),
    };
    for batch in (0..traces).collect::<Vec<_>>().chunks(500) {
        let spans = batch.iter().flat_map(|number| trace(*number, start(*number)));
        let resource_spans = spans.map(|(service, span)| ResourceSpans {
            resource: Some(Resource {
                attributes: vec![KeyValue {
                    key: "service.name".to_owned(),
                    value: Some(AnyValue { value: Some(any_value::Value::StringValue(service)) }),
                    ..KeyValue::default()
                }],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        });
        let request = ExportTraceServiceRequest { resource_spans: resource_spans.collect() };
        assert_eq!(backend.store.ingest_traces(&request.encode_to_vec()).unwrap().rejected, 0);
    }
}

/// What stands before a backend and lets through what `allow` does.
async fn before(
    backend: &Backend,
    base: &'static str,
    allow: impl Fn(&str) -> Option<Reply> + Clone + Send + Sync + 'static,
) -> Fake {
    let (query, client) = (backend.query.clone(), backend.client.clone());
    Fake::start(move |path| {
        let path = path.strip_prefix(base).unwrap_or_else(|| panic!("{path} is not below {base}")).to_owned();
        let (url, client, denied) = (format!("{query}{path}"), client.clone(), allow(&path));
        async move {
            if let Some(denied) = denied {
                return denied;
            }
            let answer = client.get(url).send().await.unwrap();
            Reply::Answer(answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
        }
    })
    .await
}

#[tokio::test]
async fn ten_thousand_traces_come_whole_though_a_search_is_limited() {
    let backend = Backend::start().await;
    fill(&backend, 10_000);
    // As Jaeger's memory storage refuses what is deeper than it is.
    let server = before(&backend, "/jaeger", |path| {
        let depth: usize = parameter(path, "query.searchDepth").map_or(0, |depth| depth.parse().unwrap());
        let refusal = r#"{"error":{"httpCode":500,"message":"search depth must be greater than 0 and less than max traces"}}"#;
        (depth > 400).then(|| Reply::Answer(500, refusal.as_bytes().to_vec()))
    })
    .await;
    let mut told = Vec::new();
    let client = client(&format!("{}/jaeger/", server.url), settings());
    let mut builder = Builder::default();
    let collected = client.collect(&two_hours(), &mut builder, |progress| told.push(progress.clone())).await.unwrap();
    let traces = builder.finish();
    assert_eq!(traces.len(), 10_000 + lost(10_000));
    assert_eq!((traces.span_count(), traces.left_out.len(), collected.crowded, collected.limited), (30_000, 0, 0, false));
    assert!(collected.searches < 200, "{} searches", collected.searches);
    assert!(told.is_sorted_by(|a, b| a.share <= b.share && a.traces <= b.traces), "{told:?}");
    assert_eq!(told.last().map(|last| (last.share, last.traces)), Some((1.0, traces.len())));
}

#[tokio::test]
async fn an_api_that_needs_a_service_is_not_asked_for_every_one_of_them() {
    let backend = Backend::start().await;
    fill(&backend, 4_000);
    let legacy = |path: &str| path.starts_with("/api/v3").then(Reply::not_found);
    let needs_service = |path: &str| {
        let without = path.starts_with("/api/v3/traces") && parameter(path, "query.serviceName").is_none();
        without.then(|| Reply::Answer(500, br#"{"error":{"httpCode":500,"message":"service name must be set"}}"#.to_vec()))
    };
    for (api, server) in [(Api::Legacy, before(&backend, "", legacy).await), (Api::V3, before(&backend, "", needs_service).await)] {
        let client = client(&server.url, Settings { depth: 300, ..settings() });
        let (collected, traces) = collect(&client, &two_hours()).await.unwrap();
        assert_eq!(collected.api, api);
        assert_eq!((traces.len(), traces.span_count()), (4_000 + lost(4_000), 12_000));
        assert!(traces.left_out.is_empty(), "{:?}", traces.left_out);
        let whole: BTreeSet<_> = server
            .asked()
            .iter()
            .filter_map(|path| {
                let deep = parameter(path, "limit").or(parameter(path, "query.searchDepth"))? == "300";
                let service = parameter(path, "service").or(parameter(path, "query.serviceName"))?;
                deep.then(|| service.replace("%2D", "-"))
            })
            .collect();
        assert_eq!(whole.into_iter().collect::<Vec<_>>(), ["dummy-1-3", "frontend"], "the roots of all traces");
    }
}

#[tokio::test]
async fn one_service_and_a_limit_are_kept_to() {
    let backend = Backend::start().await;
    fill(&backend, 2_000);
    let client = client(&backend.query, Settings { depth: 100, ..settings() });
    let wanted = Wanted { services: vec!["dummy-0-7".to_owned()], ..two_hours() };
    let (_, traces) = collect(&client, &wanted).await.unwrap();
    assert_eq!((traces.len(), traces.span_count()), (200, 600));
    let (collected, traces) = collect(&client, &Wanted { limit: 250, ..two_hours() }).await.unwrap();
    assert!(collected.limited && (250..700).contains(&traces.len()), "{} of {collected:?}", traces.len());
    let newest = traces.spans().iter().map(|span| span.start).min().unwrap();
    assert!(newest > NOON + 590 * SECOND, "the newest come first");
    let (collected, traces) = collect(&client, &Wanted { start: 0, end: SECOND, ..two_hours() }).await.unwrap();
    assert_eq!((traces.len(), collected.services.len(), collected.limited), (0, 21, false));
}

#[tokio::test]
async fn who_is_busy_or_breaks_off_is_asked_again() {
    let backend = Backend::start().await;
    fill(&backend, 100);
    let times = Arc::new(AtomicU32::new(0));
    let server = before(&backend, "", move |path| match (path.contains("/traces"), times.fetch_add(1, Relaxed) % 4) {
        (_, 0) => Some(Reply::Answer(503, vec![])),
        (true, 1) => Some(Reply::Cut(br#"{"result":{"resourceSpans":["#.to_vec())),
        (true, 2) => Some(Reply::json(r#"{"result":{"resourceSpans":[{"scopeSp"#)),
        _ => None,
    })
    .await;
    let (_, traces) = collect(&client(&server.url, settings()), &two_hours()).await.unwrap();
    assert_eq!((traces.len(), traces.left_out.len()), (100 + lost(100), 0));
}

#[tokio::test]
async fn a_slice_that_takes_too_long_or_too_much_is_divided() {
    let backend = Backend::start().await;
    fill(&backend, 1_000);
    let late = Settings { answer: Duration::from_millis(500), ..settings() };
    let large = Settings { largest: 100_000, ..settings() };
    for settings in [late, large] {
        let first = Arc::new(AtomicU32::new(0));
        let server = before(&backend, "", move |path| {
            let stuck = settings.largest > 100_000 && path.contains("/traces") && first.fetch_add(1, Relaxed) == 0;
            stuck.then_some(Reply::Silence)
        })
        .await;
        let (collected, traces) = collect(&client(&server.url, settings), &two_hours()).await.unwrap();
        assert_eq!(traces.len(), 1_000 + lost(1_000));
        assert!(collected.searches >= 5, "{collected:?}");
    }
}

#[tokio::test]
async fn what_is_no_jaeger_or_a_broken_one_is_said() {
    async fn said(reply: fn(&str) -> Reply) -> (String, String) {
        let server = Fake::start(move |path| {
            let reply = reply(&path);
            async { reply }
        })
        .await;
        let settings = Settings { answer: Duration::from_millis(200), ..settings() };
        let error = collect(&client(&server.url, settings), &two_hours()).await.unwrap_err();
        assert!(error.to_string().contains(&server.url), "{error}");
        (format!("{error:?}").split([' ', '{']).next().unwrap().to_owned(), error.to_string())
    }
    fn or_services(path: &str, reply: Reply) -> Reply {
        if path == "/api/v3/services" { Reply::json(r#"{"services":["x"]}"#) } else { reply }
    }
    let cases: [(fn(&str) -> Reply, &str, &str); 11] = [
        (|_| Reply::not_found(), "NotJaeger", "/api/v3/services is not found, /api/services is not found"),
        (|_| Reply::json("<!doctype html>"), "NotJaeger", "answered with \"<!doctype html>\""),
        (|_| Reply::json("{}"), "NotJaeger", "answered with \"{}\""),
        (|_| Reply::Answer(500, b"boom".to_vec()), "Refused", "500"),
        (|_| Reply::Answer(401, vec![]), "NotJaeger", "401"),
        (|_| Reply::Nothing, "Unreachable", "is one running"),
        (|_| Reply::Silence, "Unreachable", "no answer"),
        (|_| Reply::Cut(b"{".to_vec()), "Garbage", "breaks off"),
        (
            |path| or_services(path, Reply::Answer(500, br#"{"error":{"httpCode":500,"message":"disk full"}}"#.to_vec())),
            "Refused",
            "disk full",
        ),
        (|path| or_services(path, Reply::json("<html>")), "Garbage", "it is not JSON"),
        (|path| or_services(path, Reply::Silence), "Slow", "takes longer"),
    ];
    for (reply, kind, text) in cases {
        let (found, error) = said(reply).await;
        assert!(found == kind && error.contains(text), "{kind} {text:?}: {found} {error}");
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = collect(&client(&url, settings()), &two_hours()).await.unwrap_err();
    assert!(matches!(error, JaegerError::Unreachable { .. }) && error.to_string().contains("refused"), "{error}");
}
