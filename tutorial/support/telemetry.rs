//! What a program needs once so that its spans reach a trace backend. Chapter 1 builds it step by step; later chapters take it from
//! here.

use std::time::Duration;

use opentelemetry::global;
use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};

/// Spans leave this soon; the SDK's five seconds are long for whoever looks at the trace at once.
const DELAY: Duration = Duration::from_millis(100);

/// Sends the spans of `service` to where `OTEL_EXPORTER_OTLP_ENDPOINT` says, `http://localhost:4318` by default. Whoever ends a
/// program shuts this down first, or the last spans are lost.
pub fn start(service: &str, version: &str) -> SdkTracerProvider {
    // HTTP clients want to know whose TLS they shall use, even where there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder().with_http().build().expect("OTEL_EXPORTER_OTLP_ENDPOINT is a URL");
    let resource = Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(opentelemetry::KeyValue::new("service.version", version.to_owned()))
        .build();
    let batches = BatchConfigBuilder::default().with_scheduled_delay(DELAY).build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let provider = SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build();
    global::set_tracer_provider(provider.clone());
    global::set_text_map_propagator(TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ]));
    provider
}
