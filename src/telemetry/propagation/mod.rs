//! The propagator that a list of names stands for.
//!
//! W3C's two are the SDK's; the others are here, since the crates for them are deprecated or behind this `opentelemetry`. All of a
//! list write; of several contexts that a request carries, the one of the last name in the list counts.

mod b3;
mod jaeger;

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::baggage::{Baggage, BaggageExt as _, KeyValueMetadata};
use opentelemetry::propagation::{TextMapCompositePropagator, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use percent_encoding::{percent_decode, utf8_percent_encode};

use super::instrument::{items, with_baggage};
use super::{CUSTOMER, Level, Propagator, VARIANT};
use b3::B3;
use jaeger::{ESCAPED, Jaeger};

/// What a service needs to know of a request whatever becomes of tracing: it travels by headers of its own from where no baggage
/// does, so that a mystery stays the same.
const OWN_HEADERS: [(&str, HeaderName); 2] = [CUSTOMER_HEADER, (VARIANT, HeaderName::from_static("x-variant"))];
/// The one that a client may send. How services go about a request is none of its business, so the edge does not read the other.
const CUSTOMER_HEADER: (&str, HeaderName) = (CUSTOMER, HeaderName::from_static("x-customer-id"));
/// What a mesh or a gateway calls the request in its logs; it has to come back from whoever calls further.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How context travels between services; clones share it.
#[derive(Clone)]
pub(super) struct Propagation {
    propagator: Arc<dyn TextMapPropagator + Send + Sync>,
    with_baggage: bool,
}

/// The value of [`REQUEST_ID`], where the service writes all other headers anew.
#[derive(Debug)]
struct RequestId(HeaderValue);

/// What came to a service that only passes it on.
#[derive(Debug)]
struct Passed {
    headers: HeaderMap,
    /// With the baggage as the propagators read it.
    cx: Context,
}

impl Propagation {
    pub fn by(names: &[Propagator]) -> Self {
        let with_baggage = names.iter().any(|name| matches!(name, Propagator::Baggage | Propagator::Jaeger));
        Self { propagator: propagator(names), with_baggage }
    }

    /// What the headers of a request say, as far as a service of this level minds. `edge` is who takes requests from outside.
    pub fn extract(&self, level: Level, edge: bool, headers: &HeaderMap) -> Context {
        let own: &[_] = if edge { &[CUSTOMER_HEADER] } else { &OWN_HEADERS };
        let came = self.propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers));
        // Nor does it by baggage.
        let meddles = edge && came.baggage().get(VARIANT).is_some();
        let cx = if meddles { came.with_baggage(without_variant(came.baggage())) } else { came };
        match level {
            Level::Full => with_request_id(with_own(cx, own, headers), headers),
            Level::Propagate => {
                let is_passed_on = |name| is_passed_on(name) && !(meddles && is_baggage(name));
                let passed = headers.iter().filter(|(name, _)| is_passed_on(name.as_str()));
                let passed = passed.map(|(name, value)| (name.clone(), value.clone())).collect();
                // Baggage that does not go on as it came is written anew.
                let passed = Passed { headers: passed, cx: if meddles { Context::new() } else { cx.clone() } };
                with_own(cx, own, headers).with_value(passed)
            }
            // Its span is nobody's parent, and its log lines know no trace.
            Level::None => Context::new().with_baggage(items(with_own(cx, own, headers).baggage())),
        }
    }

    /// Writes what goes on from `cx` into the headers of an outgoing request.
    pub fn inject(&self, level: Level, cx: &Context, headers: &mut HeaderMap) {
        match level {
            Level::None => {}
            Level::Full => {
                self.propagator.inject_context(cx, &mut HeaderInjector(headers));
                if let Some(RequestId(id)) = cx.get() {
                    headers.insert(REQUEST_ID, id.clone());
                }
            }
            Level::Propagate => {
                let Some(passed) = cx.get::<Passed>() else { return };
                headers.extend(passed.headers.clone());
                if !same(passed.cx.baggage(), cx.baggage()) {
                    // Without a span there is nothing but baggage to write.
                    let baggage = Context::new().with_baggage(items(cx.baggage()));
                    self.propagator.inject_context(&baggage, &mut HeaderInjector(headers));
                }
            }
        }
        if level == Level::None || !self.with_baggage {
            for (key, name) in OWN_HEADERS {
                // A header holds no more than visible ASCII.
                let value = cx.baggage().get(key).map(|value| utf8_percent_encode(value.as_str(), ESCAPED).to_string());
                value.and_then(|value| headers.insert(name, HeaderValue::try_from(value).ok()?));
            }
        }
    }
}

fn propagator(names: &[Propagator]) -> Arc<dyn TextMapPropagator + Send + Sync> {
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

/// What came by a header of its own is baggage from here on, where that does not say otherwise.
fn with_own(cx: Context, own: &[(&'static str, HeaderName)], headers: &HeaderMap) -> Context {
    let read = |name| percent_decode(headers.get(name)?.as_bytes()).decode_utf8().ok();
    own.iter().fold(cx, |cx, (key, name)| match read(name) {
        Some(value) if cx.baggage().get(key).is_none() => with_baggage(&cx, key, value.into_owned()),
        _ => cx,
    })
}

fn with_request_id(cx: Context, headers: &HeaderMap) -> Context {
    match headers.get(REQUEST_ID) {
        Some(id) => cx.with_value(RequestId(id.clone())),
        None => cx,
    }
}

fn same(a: &Baggage, b: &Baggage) -> bool {
    a.len() == b.len() && a.iter().all(|(key, value)| b.get_with_metadata(key) == Some(value))
}

/// The context's headers, whoever understands them.
fn is_passed_on(name: &str) -> bool {
    const NAMES: [&str; 6] = ["traceparent", "tracestate", "baggage", "b3", "jaeger-baggage", "x-request-id"];
    NAMES.contains(&name) || ["x-b3-", "uber-", "uberctx-"].iter().any(|start| name.starts_with(start))
}

fn without_variant(baggage: &Baggage) -> impl Iterator<Item = KeyValueMetadata> {
    let others = baggage.iter().filter(|(key, _)| key.as_str() != VARIANT);
    others.map(|(key, (value, about))| KeyValueMetadata::new(key.clone(), value.clone(), about.clone()))
}

fn is_baggage(name: &str) -> bool {
    matches!(name, "baggage" | "jaeger-baggage") || name.starts_with("uberctx-")
}

impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Propagation").field("with_baggage", &self.with_baggage).finish_non_exhaustive()
    }
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

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    /// What a service of this level sends on, once `change` was made to the context.
    fn sent_on(level: Level, names: &[Propagator], came: &HeaderMap, change: impl Fn(Context) -> Context) -> HeaderMap {
        let propagation = Propagation::by(names);
        let mut out = HeaderMap::new();
        propagation.inject(level, &change(propagation.extract(level, false, came)), &mut out);
        out
    }

    #[test]
    fn whoever_only_propagates_passes_the_contexts_headers_on_as_they_came() {
        let context = [
            // Of a version of the future, with more than we know.
            ("traceparent", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-what-is-this"),
            ("tracestate", "a=1,b=2"),
            ("baggage", "tier=gold;property, odd"),
            ("b3", "0"),
            ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
            ("uber-trace-id", "nonsense"),
            ("uberctx-tier", "gold"),
            ("x-request-id", "17"),
        ];
        let mut came = map(&context);
        came.append("baggage", HeaderValue::from_static("second=line"));
        came.insert("authorization", HeaderValue::from_static("of this hop alone"));
        let out = sent_on(Level::Propagate, &[Propagator::TraceContext, Propagator::Baggage], &came, |cx| cx);
        came.remove("authorization");
        assert_eq!(out, came);
    }

    #[test]
    fn the_id_of_a_request_goes_on_unless_nothing_of_tracing_does() {
        let came = map(&[("x-request-id", "17")]);
        for names in [&[Propagator::TraceContext, Propagator::Baggage][..], &[Propagator::None]] {
            for (level, id) in [(Level::Full, Some("17")), (Level::Propagate, Some("17")), (Level::None, None)] {
                let out = sent_on(level, names, &came, |cx| with_baggage(&cx, VARIANT, "b".to_owned()));
                assert_eq!(out.get("x-request-id").map(|id| id.to_str().unwrap()), id, "{level:?}");
            }
        }
        assert_eq!(sent_on(Level::Full, &[Propagator::TraceContext], &HeaderMap::new(), |cx| cx), HeaderMap::new());
    }

    #[test]
    fn whoever_only_propagates_can_add_baggage() {
        let parent = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let came = map(&[parent, ("baggage", "tier=gold"), ("uberctx-tier", "gold")]);
        let change = |cx| with_baggage(&cx, VARIANT, "b".to_owned());
        let out = sent_on(Level::Propagate, &[Propagator::TraceContext, Propagator::Baggage], &came, change);
        let mut baggage: Vec<_> = out["baggage"].to_str().unwrap().split(',').collect();
        baggage.sort_unstable();
        assert_eq!((baggage, &out["traceparent"]), (vec!["tier=gold", "variant=b"], &came["traceparent"]));
        let out = sent_on(Level::Propagate, &[Propagator::Jaeger], &came, change);
        assert_eq!((&out["uberctx-tier"], &out["uberctx-variant"]), (&"gold".parse().unwrap(), &"b".parse().unwrap()));
    }

    #[test]
    fn whoever_does_nothing_for_tracing_passes_on_whose_call_it_is_and_nothing_else() {
        let parent = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let came = map(&[parent, ("baggage", "customer.id=customer-3,tier=gold"), ("x-request-id", "17")]);
        let names = [Propagator::TraceContext, Propagator::Baggage];
        let out = sent_on(Level::None, &names, &came, |cx| cx);
        assert_eq!(out, map(&[("x-customer-id", "customer-3")]));
        // And whoever comes after it has it as baggage again.
        let cx = Propagation::by(&names).extract(Level::Full, false, &out);
        assert_eq!((cx.baggage().get(CUSTOMER).unwrap().as_str(), cx.has_active_span()), ("customer-3", false));
        assert_eq!(sent_on(Level::Propagate, &names, &out, |cx| cx), map(&[("baggage", "customer.id=customer-3")]));
    }

    #[test]
    fn a_customer_of_any_name_travels_through_whoever_does_nothing_for_tracing() {
        let names = [Propagator::TraceContext, Propagator::Baggage];
        let came = map(&[("baggage", "customer.id=Zo%C3%AB%20%2B%25")]);
        let out = sent_on(Level::None, &names, &came, |cx| cx);
        assert_eq!(out, map(&[("x-customer-id", "Zo%C3%AB%20%2B%25")]));
        let cx = Propagation::by(&names).extract(Level::Full, false, &out);
        assert_eq!(cx.baggage().get(CUSTOMER).unwrap().as_str(), "Zoë +%");
        assert_eq!(sent_on(Level::Full, &[Propagator::B3], &out, |cx| cx), out);
    }

    #[test]
    fn nobody_outside_says_by_a_header_how_services_go_about_a_request() {
        let came = map(&[("x-customer-id", "customer-3"), ("x-variant", "b")]);
        for level in [Level::Full, Level::Propagate, Level::None] {
            let read = |edge: bool| {
                let cx = Propagation::by(&[Propagator::TraceContext, Propagator::Baggage]).extract(level, edge, &came);
                [CUSTOMER, VARIANT].map(|key| cx.baggage().get(key).map(ToString::to_string))
            };
            assert_eq!(read(true), [Some("customer-3".to_owned()), None]);
            assert_eq!(read(false), [Some("customer-3".to_owned()), Some("b".to_owned())]);
        }
    }

    #[test]
    fn nobody_outside_says_so_by_baggage_either_and_what_else_it_says_goes_on() {
        let w3c = [("baggage", "tier=gold,v%61riant=b;property,customer.id=customer-3")];
        let uber = [("uberctx-tier", "gold"), ("uberctx-variant", "b"), ("uberctx-customer.id", "customer-3")];
        let odd = [("jaeger-baggage", "tier=gold,variant=b,customer.id=customer-3")];
        for (name, came) in [(Propagator::Baggage, &w3c[..]), (Propagator::Jaeger, &uber), (Propagator::Jaeger, &odd)] {
            let propagation = Propagation::by(&[name]);
            let said = |headers: &HeaderMap, edge| {
                let cx = propagation.extract(Level::Full, edge, headers);
                ["tier", CUSTOMER, VARIANT].map(|key| cx.baggage().get(key).map(ToString::to_string))
            };
            let all = ["gold", "customer-3", "b"].map(|value| Some(value.to_owned()));
            assert_eq!(said(&map(came), false), all, "one service to another");
            let [tier, customer, _] = all;
            for (level, tier) in [(Level::Full, tier.clone()), (Level::Propagate, tier), (Level::None, None)] {
                let mut out = HeaderMap::new();
                propagation.inject(level, &propagation.extract(level, true, &map(came)), &mut out);
                assert_eq!(said(&out, false), [tier, customer.clone(), None], "{level:?}: {out:?}");
            }
        }
    }

    #[test]
    fn where_no_propagator_carries_baggage_the_customer_travels_all_the_same() {
        let came = map(&[("x-customer-id", "customer-3")]);
        for names in [&[Propagator::TraceContext][..], &[Propagator::B3], &[Propagator::None]] {
            assert_eq!(sent_on(Level::Full, names, &came, |cx| cx), came);
        }
        let out = sent_on(Level::Full, &[Propagator::Baggage], &came, |cx| cx);
        assert_eq!(out, map(&[("baggage", "customer.id=customer-3")]), "once is enough");
    }
}
