//! Two services, one request: `shop` asks `stock` over HTTP how many cups are left. Both run in this one program, so that one command
//! starts them; each has its own provider, and all that they share is the request.

#[path = "../support/telemetry.rs"]
mod telemetry;

use std::convert::Infallible;
use std::error::Error;

use opentelemetry::Context;
use opentelemetry::trace::{Span, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::trace::SdkTracer;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use tokio::net::TcpListener;
use warp::Filter as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (shop, stock) = (telemetry::start("shop", "v1"), telemetry::start("stock", "v1"));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/cups", listener.local_addr()?);

    let tracer = stock.tracer("context");
    let cups = warp::path!("cups").and(warp::header::headers_cloned()).then(move |headers| count_cups(tracer.clone(), headers));
    tokio::spawn(warp::serve(cups).incoming(listener).run());

    sell_a_cup(&shop.tracer("context"), &url).await?;
    shop.shutdown()?;
    stock.shutdown()?;
    Ok(())
}

/// The caller. Its client span lasts as long as the call.
async fn sell_a_cup(tracer: &SdkTracer, url: &str) -> Result<(), Box<dyn Error>> {
    let sale = Context::new().with_span(tracer.start("sell a cup"));
    let call = tracer.span_builder("GET").with_kind(SpanKind::Client).start_with_context(tracer, &sale);
    let call = sale.with_span(call);

    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/plain"));
    // TODO 1: put the ids of `call`, the client span, into the headers: `opentelemetry::global::get_text_map_propagator` has a propagator
    // that injects a context into an `opentelemetry_http::HeaderInjector`.

    let answer = reqwest::Client::new().get(url).headers(headers).send().await?.text().await?;
    call.span().end();
    println!("shop: {answer} cups are left");
    sale.span().end();
    Ok(())
}

/// The callee. Its server span lasts as long as it works on the request.
async fn count_cups(tracer: SdkTracer, headers: HeaderMap) -> Result<&'static str, Infallible> {
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    println!("stock: asked with traceparent {}", traceparent.unwrap_or("(none)"));
    // TODO 2: take the caller's ids out of the headers: a propagator extracts a context from an `opentelemetry_http::HeaderExtractor`.
    // TODO 3: start the span with it as its parent, in place of this empty context.
    let mut span = tracer.span_builder("GET /cups").with_kind(SpanKind::Server).start_with_context(&tracer, &Context::new());
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    span.end();
    Ok("12")
}
