//! The propagator that a list of names stands for.
//!
//! W3C's two are the SDK's; the others are here, since the crates for them are deprecated or behind this `opentelemetry`. All of a
//! list write; of several contexts that a request carries, the one of the last name in the list counts.

mod b3;
mod jaeger;

use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

use super::{Propagator, SharedPropagator};
use b3::B3;
use jaeger::Jaeger;

pub(super) fn propagator(names: &[Propagator]) -> SharedPropagator {
    let propagators = names
        .iter()
        .filter_map(|name| -> Option<Box<dyn TextMapPropagator + Send + Sync>> {
            match name {
                Propagator::TraceContext => Some(Box::new(TraceContextPropagator::new())),
                Propagator::Baggage => Some(Box::new(BaggagePropagator::new())),
                Propagator::Jaeger => Some(Box::new(Jaeger)),
                Propagator::B3 => Some(Box::new(B3::Single)),
                Propagator::B3Multi => Some(Box::new(B3::Multi)),
                Propagator::None => None,
            }
        })
        .collect();
    Arc::new(TextMapCompositePropagator::new(propagators))
}

/// Somebody asks for this very trace: B3's and Jaeger's debug flag, of which W3C has none. It travels in the context, since a span's
/// flags are W3C's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Debug;

/// The caller's span, out of the headers. `debug` implies `sampled`.
fn remote(cx: &Context, trace: TraceId, span: SpanId, sampled: bool, debug: bool) -> Context {
    // What W3C's header said beside the same ids is still so.
    let before = cx.span().span_context().clone();
    let state = if before.trace_id() == trace { before.trace_state().clone() } else { TraceState::default() };
    let flags = TraceFlags::default().with_sampled(sampled || debug);
    let cx = cx.with_remote_span_context(SpanContext::new(trace, span, flags, true, state));
    if debug { cx.with_value(Debug) } else { cx }
}

/// So many bytes of text as a number, where all of it is hexadecimal digits.
fn hexadecimal(text: &str) -> Option<u128> {
    // What the standard library reads may begin with a plus.
    let digits = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|_| digits)
}

fn trace_id(text: &str) -> Option<TraceId> {
    Some(TraceId::from(hexadecimal(text)?)).filter(|id| *id != TraceId::INVALID)
}

fn span_id(text: &str) -> Option<SpanId> {
    Some(SpanId::from(u64::try_from(hexadecimal(text)?).ok()?)).filter(|id| *id != SpanId::INVALID)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::baggage::BaggageExt as _;

    use super::*;

    pub(super) type Headers = HashMap<String, String>;

    pub(super) fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    pub(super) fn extract(names: &[Propagator], pairs: &[(&str, &str)]) -> Context {
        propagator(names).extract_with_context(&Context::new(), &headers(pairs))
    }

    /// What goes out for what came in.
    pub(super) fn forwarded(names: &[Propagator], pairs: &[(&str, &str)]) -> Headers {
        let mut out = Headers::new();
        propagator(names).inject_context(&extract(names, pairs), &mut out);
        out
    }

    /// Trace, span and whether it is sampled; none where there is no context.
    pub(super) fn ids(cx: &Context) -> Option<(String, String, bool)> {
        let span = cx.span();
        let context = span.span_context();
        let ids = || (context.trace_id().to_string(), context.span_id().to_string(), context.is_sampled());
        context.is_valid().then(ids)
    }

    const B3_TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const W3C_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const ALL: [(&str, &str); 3] = [
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "vendor=1"),
        ("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-0"),
    ];

    #[test]
    fn of_several_contexts_the_last_in_the_list_counts_and_all_are_written() {
        use Propagator::{B3, Baggage, Jaeger, TraceContext};
        assert_eq!(ids(&extract(&[TraceContext, B3], &ALL)).unwrap(), (B3_TRACE.into(), "e457b5a2e4d86bd1".into(), false));
        assert_eq!(ids(&extract(&[B3, TraceContext], &ALL)).unwrap(), (W3C_TRACE.into(), "b7ad6b7169203331".into(), true));
        assert_eq!(ids(&extract(&[TraceContext, B3], &ALL[..1])).unwrap().0, W3C_TRACE, "B3 has nothing to say");
        let out = forwarded(&[TraceContext, B3, Jaeger, Baggage], &ALL[..1]);
        for name in ["traceparent", "b3", "uber-trace-id"] {
            assert!(out[name].contains(W3C_TRACE), "{out:?}");
        }
    }

    #[test]
    fn the_same_ids_in_two_headers_keep_the_trace_state() {
        let b3 = ("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1");
        let cx = extract(&[Propagator::TraceContext, Propagator::B3], &[ALL[0], ALL[1], b3]);
        assert_eq!(cx.span().span_context().trace_state().header(), "vendor=1");
    }

    #[test]
    fn none_reads_and_writes_nothing() {
        let names = [Propagator::None];
        let cx = extract(&names, &[ALL[0], ALL[2], ("baggage", "tier=gold")]);
        assert!(ids(&cx).is_none() && cx.baggage().is_empty());
        assert!(forwarded(&names, &ALL).is_empty());
    }

    /// Whatever a client sends, it is read or passed over.
    #[test]
    fn garbage_is_passed_over() {
        let names = [Propagator::Jaeger, Propagator::B3, Propagator::B3Multi];
        let long = "a".repeat(100_000);
        let texts = [
            "",
            "-",
            "--",
            ":",
            ":::",
            "::::",
            "%",
            "%3",
            "%zz:1:0:1",
            "0:0:0:0",
            "+1:+1:0:1",
            "+",
            "é-é-1",
            "1-1-1-1-1",
            "x",
            &long,
        ];
        for text in texts {
            for name in
                ["uber-trace-id", "b3", "x-b3-traceid", "x-b3-spanid", "uberctx-", "uberctx-a", "jaeger-baggage", "x-b3-flags"]
            {
                let cx = extract(&names, &[(name, text)]);
                assert!(ids(&cx).is_none(), "{name}: {text:.20}");
                // What came is fit to be sent on.
                propagator(&names).inject_context(&cx, &mut Headers::new());
            }
        }
    }
}
