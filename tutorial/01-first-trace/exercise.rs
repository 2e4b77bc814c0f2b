//! A program that makes two spans. Everything that OpenTelemetry needs to ship them is here, one step after the other, but one.

use std::error::Error;
use std::thread::sleep;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::trace::{Tracer, TracerProvider};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

fn main() -> Result<(), Box<dyn Error>> {
    // HTTP clients want to know whose TLS they shall use, even where there is none. No idea of tracing's.
    let _ = rustls::crypto::ring::default_provider().install_default();

    // 1. Who speaks: the resource goes with every span.
    let resource = Resource::builder().with_service_name("breakfast").build();
    // 2. Where to: OTEL_EXPORTER_OTLP_ENDPOINT, and where that is not set http://localhost:4318.
    let exporter = SpanExporter::builder().with_http().build()?;
    // 3. The provider puts both together. Spans that ended wait in it, and leave in batches.
    let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    // 4. Libraries that make spans find it here.
    global::set_tracer_provider(provider.clone());

    // 5. A tracer makes spans. One that starts while another is active becomes its child.
    let tracer = provider.tracer("first-trace");
    tracer.in_span("make breakfast", |_| {
        sleep(Duration::from_millis(10));
        tracer.in_span("boil an egg", |_| sleep(Duration::from_millis(40)));
    });

    // TODO 6: the provider still has something to do before the program ends.
    println!("breakfast is ready");
    Ok(())
}
