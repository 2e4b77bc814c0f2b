//! What every service of the sandbox does, as a program of its own: it answers `GET /` inside a server span, and calls whom the
//! sandbox says it may call next inside a client span. A chapter's program brings the rest.
#![allow(dead_code, reason = "every chapter's program uses a part of it")]

#[path = "telemetry.rs"]
mod telemetry;

use std::error::Error;
use std::sync::Arc;

use opentelemetry::trace::{FutureExt as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use rand::seq::IteratorRandom as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use warp::Filter as _;
use warp::http::{HeaderMap, StatusCode};
use warp::reply::{Json, WithStatus, json as body, with_status};

/// One request.
pub struct Request {
    /// Whose request it is: `dummy-1-17`, say.
    pub service: Arc<str>,
    /// The base URL of whom the service calls next; none in the last layer.
    pub next: Option<String>,
    /// The Redis that the service writes to; most have nothing to do with one.
    pub redis: Option<String>,
    pub http: reqwest::Client,
}

/// What a service answers: the services that the request has passed, itself first.
#[derive(Serialize, Deserialize)]
pub struct Answer {
    pub message: String,
    pub path: Vec<String>,
}

pub type Failure = Box<dyn Error + Send + Sync>;

/// Answers at the address that is the program's first argument, in the name of the service that is its second, until Ctrl-C.
///
/// # Errors
/// The arguments, or the address.
pub async fn serve<H, F>(version: &'static str, handle: H) -> Result<(), Box<dyn Error>>
where
    H: Fn(Arc<Request>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Option<Answer>, Failure>> + Send,
{
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, service] = &arguments[..] else { return Err("say where to listen and as whom: 127.0.0.1:9000 SERVICE".into()) };
    let listener = TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let telemetry = telemetry::start(service, version);

    let (service, http) = (Arc::<str>::from(service.as_str()), reqwest::Client::new());
    println!("{service} {version} answers at http://{address}");
    let hello = warp::path::end().and(warp::get()).and(warp::header::headers_cloned()).then(move |headers: HeaderMap| {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // On routes other than `straight` there are several: one of them, as on route `random`.
        let next = header("x-next").and_then(|all| all.split(',').choose(&mut rand::rng())).map(str::to_owned);
        let redis = header("x-redis").map(str::to_owned);
        let request = Arc::new(Request { service: service.clone(), next, redis, http: http.clone() });
        answer(request, version, headers, handle.clone())
    });
    let server = warp::serve(hello).incoming(listener);
    tokio::select! {
        () = server.run() => {}
        pressed = tokio::signal::ctrl_c() => pressed?,
    }
    // The last spans still wait in their batch.
    telemetry.shutdown()?;
    Ok(())
}

/// One request, inside its server span: `Context::current()` is that span's while `handle` runs.
async fn answer<H, F>(request: Arc<Request>, version: &str, headers: HeaderMap, handle: H) -> WithStatus<Json>
where
    H: Fn(Arc<Request>) -> F,
    F: Future<Output = Result<Option<Answer>, Failure>>,
{
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(&headers)));
    let tracer = global::tracer("tutorial");
    let span = tracer.span_builder("GET /").with_kind(SpanKind::Server).with_attributes([
        KeyValue::new("http.request.method", "GET"),
        KeyValue::new("http.route", "/"),
        KeyValue::new("url.path", "/"),
        KeyValue::new("url.scheme", "http"),
    ]);
    let cx = parent.with_span(span.start_with_context(&tracer, &parent));
    let result = handle(request.clone()).with_context(cx.clone()).await;
    let (status, reply) = match result {
        Ok(callee) => (StatusCode::OK, body(&including(&request.service, version, callee))),
        Err(error) => (StatusCode::BAD_GATEWAY, body(&json!({ "error": error.to_string() }))),
    };
    finish(&cx, status);
    with_status(reply, status)
}

fn including(service: &str, version: &str, callee: Option<Answer>) -> Answer {
    let message = if version == "v1" { "hello world".to_owned() } else { format!("hello world ({version})") };
    let path = [service.to_owned()].into_iter().chain(callee.into_iter().flat_map(|callee| callee.path));
    Answer { message, path: path.collect() }
}

impl Request {
    /// Calls whom the service calls next, if anybody, inside a client span.
    ///
    /// # Errors
    /// There is no answer, or none that says that all is well.
    pub async fn call_next(&self) -> Result<Option<Answer>, Failure> {
        let Some(url) = &self.next else { return Ok(None) };
        let cx = client_span(url);
        let result = get(&self.http, url).with_context(cx.clone()).await;
        finish_call(&cx, &result);
        result.map(Some)
    }
}

/// Starts the client span of a call to `url`, as a child of the span that is current.
pub fn client_span(url: &str) -> Context {
    start("GET".to_owned(), [KeyValue::new("http.request.method", "GET"), KeyValue::new("url.full", url.to_owned())])
}

/// Calls `url`; the headers say whose call it is, as the current context has it.
///
/// # Errors
/// There is no answer, or none that says that all is well.
pub async fn get(http: &reqwest::Client, url: &str) -> Result<Answer, Failure> {
    let mut headers = HeaderMap::new();
    let cx = Context::current();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&cx, &mut HeaderInjector(&mut headers)));
    Ok(http.get(url).headers(headers).send().await?.error_for_status()?.json().await?)
}

/// Ends a client span.
pub fn finish_call(cx: &Context, result: &Result<Answer, Failure>) {
    if let Err(error) = result {
        cx.span().set_status(Status::error(error.to_string()));
    }
    cx.span().end();
}

/// Starts the client span of `commands` commands that are sent to the Redis at `url` together, as a child of the span that is current.
pub fn redis_span(url: &str, operation: &'static str, commands: i64) -> Context {
    let address = url.split_once("://").map_or(url, |(_, address)| address).trim_end_matches('/');
    let attributes = [KeyValue::new("db.system.name", "redis"), KeyValue::new("db.operation.name", operation)];
    let span = start(format!("{operation} {address}"), attributes);
    if commands > 1 {
        span.span().set_attribute(KeyValue::new("db.operation.batch.size", commands));
    }
    span
}

fn start<const N: usize>(name: String, attributes: [KeyValue; N]) -> Context {
    let (tracer, parent) = (global::tracer("tutorial"), Context::current());
    let span = tracer.span_builder(name).with_kind(SpanKind::Client).with_attributes(attributes);
    parent.with_span(span.start_with_context(&tracer, &parent))
}

fn finish(cx: &Context, status: StatusCode) {
    cx.span().set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
    if status.is_server_error() {
        cx.span().set_status(Status::error(""));
    }
    cx.span().end();
}
