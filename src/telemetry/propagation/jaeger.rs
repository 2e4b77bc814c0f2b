//! Jaeger's own headers, from before W3C had any (<https://www.jaegertracing.io/docs/1.10/client-libraries/#propagation-format>):
//! `uber-trace-id: {trace}:{span}:{parent}:{flags}`, and baggage as one `uberctx-{key}` header an item.
//!
//! `jaeger-baggage: k=v,k=v` is read as well: what a client sends that has no trace. HTTP knows no capital letters in the names
//! of headers, so keys of baggage lose theirs on the way.

use std::borrow::Cow;
use std::sync::LazyLock;

use opentelemetry::Context;
use opentelemetry::baggage::{BaggageExt as _, BaggageMetadata, KeyValueMetadata};
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Debug, remote, span_id, trace_id};

const TRACE: &str = "uber-trace-id";
const ITEM: &str = "uberctx-";
const ITEMS: &str = "jaeger-baggage";

const IS_SAMPLED: u8 = 1;
const IS_DEBUG: u8 = 2;

/// All but what stays as it is in a URL's query.
pub(super) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[derive(Clone, Copy, Debug)]
pub(super) struct Jaeger;

impl TextMapPropagator for Jaeger {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let span = cx.span();
        let context = span.span_context();
        if context.is_valid() {
            let debug = if cx.get::<Debug>().is_some() { IS_DEBUG } else { 0 };
            let flags = if context.is_sampled() { IS_SAMPLED | debug } else { 0 };
            // Nobody reads the parent's id any more.
            injector.set(TRACE, format!("{}:{}:0:{flags}", context.trace_id(), context.span_id()));
        }
        for (key, (value, _)) in cx.baggage() {
            injector.set(&format!("{ITEM}{key}"), utf8_percent_encode(value.as_str(), ESCAPED).to_string());
        }
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let cx = match extractor.get(TRACE).and_then(context) {
            Some((trace, span, flags)) => remote(cx, trace, span, flags & IS_SAMPLED != 0, flags & IS_DEBUG != 0),
            None => cx.clone(),
        };
        let mut items: Vec<(String, String)> = Vec::new();
        for item in extractor.get(ITEMS).unwrap_or_default().split(',') {
            if let Some((key, value)) = item.split_once('=') {
                items.extend(decoded(value.trim()).map(|value| (key.trim().to_owned(), value)));
            }
        }
        for header in extractor.keys() {
            if let Some(key) = header.strip_prefix(ITEM)
                && let Some(value) = extractor.get(header).and_then(decoded)
            {
                items.push((key.to_owned(), value));
            }
        }
        items.retain(|(key, _)| !key.is_empty());
        if items.is_empty() {
            return cx;
        }
        let new = items.into_iter().map(|(key, value)| KeyValueMetadata::new(key, value, BaggageMetadata::default()));
        cx.with_baggage(super::items(cx.baggage()).chain(new))
    }

    fn fields(&self) -> FieldIter<'_> {
        static FIELDS: LazyLock<[String; 1]> = LazyLock::new(|| [TRACE.to_owned()]);
        FieldIter::new(FIELDS.as_slice())
    }
}

/// Ids may lack zeros at their beginning, and some clients encode the colons.
fn context(text: &str) -> Option<(opentelemetry::TraceId, opentelemetry::SpanId, u8)> {
    let text: Cow<str> = if text.contains('%') { percent_decode_str(text).decode_utf8().ok()? } else { text.into() };
    let mut parts = text.trim().split(':');
    let (trace, span, _parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let flags = Some(flags).filter(|flags| flags.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let flags = u8::from_str_radix(flags?, 16).ok()?;
    parts.next().is_none().then_some((trace_id(trace)?, span_id(span)?, flags))
}

/// Go and Java write a space as a plus, and a plus as everybody else does.
fn decoded(text: &str) -> Option<String> {
    let text: Cow<str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{extract, forwarded, headers, ids};
    use super::*;
    use crate::telemetry::Propagator;

    const NAMES: [Propagator; 1] = [Propagator::Jaeger];

    fn read(text: &str) -> Option<(String, String, bool)> {
        ids(&extract(&NAMES, &[("uber-trace-id", text)]))
    }

    #[test]
    fn ids_arrive_with_their_leading_zeros_lacking_or_encoded() {
        let whole = Some(("4bf92f3577b34da6a3ce929d0e0e4736".to_owned(), "00f067aa0ba902b7".to_owned(), true));
        assert_eq!(read("4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:1"), whole);
        assert_eq!(read("4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0000000000000000:01"), whole, "they are numbers");
        assert_eq!(read("4bf92f3577b34da6a3ce929d0e0e4736%3A00f067aa0ba902b7%3a0%3A1"), whole);
        assert_eq!(read("4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7::1"), whole, "a parent is nobody's business");
        let short = Some(("0000000000000000a3ce929d0e0e4736".to_owned(), "0000000000000007".to_owned(), true));
        assert_eq!(read("a3ce929d0e0e4736:7:0:1"), short);
    }

    #[test]
    fn flags_say_sampled_and_debug_and_go_on() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0";
        for (flags, sampled, on) in [("0", false, "0"), ("1", true, "1"), ("3", true, "3"), ("03", true, "3"), ("9", true, "1")] {
            let text = format!("{trace}:{flags}");
            assert_eq!(read(&text).unwrap().2, sampled, "{flags}");
            assert_eq!(forwarded(&NAMES, &[("uber-trace-id", &text)]), headers(&[("uber-trace-id", &format!("{trace}:{on}"))]));
        }
    }

    #[test]
    fn debug_goes_on_in_b3_as_well() {
        let names = [Propagator::Jaeger, Propagator::B3];
        let out = forwarded(&names, &[("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:3")]);
        assert_eq!(out["b3"], "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-d");
    }

    #[test]
    fn baggage_travels_without_a_trace_and_with_any_value() {
        let pairs = [("uberctx-customer.id", "customer-3"), ("uberctx-city", "K%C3%B6ln+am%20Rhein%2B"), ("uberctx-", "nobody")];
        let cx = extract(&NAMES, &pairs);
        let baggage = cx.baggage();
        assert_eq!((baggage.get("customer.id").unwrap().as_str(), baggage.len()), ("customer-3", 2));
        assert_eq!(baggage.get("city").unwrap().as_str(), "Köln am Rhein+");
        let out = forwarded(&NAMES, &pairs);
        assert_eq!(out, headers(&[("uberctx-customer.id", "customer-3"), ("uberctx-city", "K%C3%B6ln%20am%20Rhein%2B")]));
        let by_hand = extract(&NAMES, &[("jaeger-baggage", "tier=gold, client = a%20b,,x")]);
        let baggage = by_hand.baggage();
        assert_eq!((baggage.get("tier").unwrap().as_str(), baggage.get("client").unwrap().as_str()), ("gold", "a b"));
    }

    #[test]
    fn baggage_of_both_kinds_is_one() {
        let names = [Propagator::Baggage, Propagator::Jaeger];
        let cx = extract(&names, &[("baggage", "tier=gold"), ("uberctx-client", "me")]);
        assert_eq!((cx.baggage().get("tier").unwrap().as_str(), cx.baggage().get("client").unwrap().as_str()), ("gold", "me"));
    }

    #[test]
    fn what_is_malformed_is_passed_over() {
        for text in [
            "0:7:0:1",
            "7:0:0:1",
            "7:7:0",
            "7:7:0:1:1",
            "7:7:0:g",
            "7:7:0:",
            "7:7:0:+1",
            "7:7:0:100",
            "7:12345678123456781:0:1",
            "x:7:0:1",
            "4bf92f3577b34da6a3ce929d0e0e47361:7:0:1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
