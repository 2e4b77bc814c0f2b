//! A counter takes orders, and an oven bakes them: two services, and a trace for every order. The counter knows whose order it is, and
//! the oven, where the time goes, does not hear of it: that is yours to mend, in two places.

#[path = "../support/telemetry.rs"]
mod telemetry;

use std::time::Duration;

use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::trace::SdkTracer;
use warp::Filter as _;
use warp::http::HeaderMap;

const CUSTOMER: &str = "customer.id";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let counter = telemetry::start("counter", "v1");
    let oven = telemetry::start("oven", "v1");

    let tracer = oven.tracer("tutorial");
    let route = warp::path!("bake" / u64)
        .and(warp::header::headers_cloned())
        .then(move |trays, headers| bake(tracer.clone(), trays, headers));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(warp::serve(route).incoming(listener).run());

    let tracer = counter.tracer("tutorial");
    for (customer, trays) in [("ada", 1), ("grace", 12), ("linus", 2)] {
        order(&tracer, &url, customer, trays).await?;
    }
    counter.shutdown()?;
    oven.shutdown()?;
    Ok(())
}

/// At the counter: whose order it is stands on this span.
async fn order(tracer: &SdkTracer, oven: &str, customer: &'static str, trays: u64) -> reqwest::Result<()> {
    let about = [KeyValue::new(CUSTOMER, customer)];
    let span = tracer.span_builder("order").with_kind(SpanKind::Client).with_attributes(about.clone()).start(tracer);
    let cx = Context::current_with_span(span);
    // TODO 1: put `about` into the context as baggage, with `cx.with_baggage(…)`. The trait that has it is
    // `opentelemetry::baggage::BaggageExt`.

    let mut headers = HeaderMap::new();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&cx, &mut HeaderInjector(&mut headers)));
    reqwest::Client::new().get(format!("{oven}/bake/{trays}")).headers(headers).send().await?.error_for_status()?;
    cx.span().end();
    println!("an order of {customer}: trace {}", cx.span().span_context().trace_id());
    Ok(())
}

/// At the oven: nobody calls it with a customer's name.
async fn bake(tracer: SdkTracer, trays: u64, headers: HeaderMap) -> &'static str {
    let cx = global::get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(&headers)));
    let mut span = tracer.span_builder("bake").with_kind(SpanKind::Server).start_with_context(&tracer, &cx);
    // TODO 2: the baggage arrives in `cx`, not on the span. Copy what `cx.baggage()` has for `CUSTOMER` with `span.set_attribute(…)`.

    tokio::time::sleep(Duration::from_millis(20 * trays)).await;
    span.end();
    "done"
}
