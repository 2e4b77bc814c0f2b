//! B3, the headers of Zipkin and of older meshes (<https://github.com/openzipkin/b3-propagation>).
//!
//! Both forms are read, the single header first; which one is written is the name's to say. A caller that leaves the decision to
//! sample open has it sampled. The parent's id is not read, since nothing here shares a span with its caller, and not written.

use opentelemetry::Context;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use super::{Debug, remote, span_id, trace_id};

const SINGLE: &str = "b3";
const TRACE_ID: &str = "x-b3-traceid";
const SPAN_ID: &str = "x-b3-spanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";

/// Which form is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum B3 {
    /// `b3: {trace}-{span}-{sampling}`
    Single,
    /// `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled` or `x-b3-flags`
    Multi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sampling {
    Deny,
    Accept,
    Debug,
}

/// What the headers say: a span, or only what becomes of a trace that begins here.
struct Said {
    span: Option<(TraceId, SpanId)>,
    sampling: Option<Sampling>,
}

impl TextMapPropagator for B3 {
    fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
        let span = cx.span();
        let context = span.span_context();
        if !context.is_valid() {
            return;
        }
        let (trace, span) = (context.trace_id(), context.span_id());
        let sampling = match (context.is_sampled(), cx.get::<Debug>()) {
            (false, _) => "0",
            (true, None) => "1",
            (true, Some(Debug)) => "d",
        };
        match self {
            Self::Single => injector.set(SINGLE, format!("{trace}-{span}-{sampling}")),
            Self::Multi => {
                injector.set(TRACE_ID, trace.to_string());
                injector.set(SPAN_ID, span.to_string());
                // Debug says that it is sampled.
                match sampling {
                    "d" => injector.set(FLAGS, "1".to_owned()),
                    _ => injector.set(SAMPLED, sampling.to_owned()),
                }
            }
        }
    }

    fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
        let said = extractor.get(SINGLE).and_then(single).or_else(|| multi(extractor));
        match said {
            Some(Said { span: Some((trace, span)), sampling }) => {
                remote(cx, trace, span, sampling != Some(Sampling::Deny), sampling == Some(Sampling::Debug))
            }
            Some(Said { span: None, sampling: Some(Sampling::Deny) }) => denied(cx),
            Some(Said { span: None, sampling: Some(Sampling::Debug) }) => cx.with_value(Debug),
            _ => cx.clone(),
        }
    }

    fn fields(&self) -> FieldIter<'_> {
        static FIELDS: std::sync::LazyLock<[String; 5]> =
            std::sync::LazyLock::new(|| [SINGLE, TRACE_ID, SPAN_ID, SAMPLED, FLAGS].map(str::to_owned));
        FieldIter::new(match self {
            Self::Single => &FIELDS[..1],
            Self::Multi => &FIELDS[1..],
        })
    }
}

/// `{trace}-{span}`, `{trace}-{span}-{sampling}`, the same and a parent, or `{sampling}` alone.
fn single(text: &str) -> Option<Said> {
    let mut parts = text.trim().split('-');
    let first = parts.next()?;
    let Some(span) = parts.next() else {
        return Some(Said { span: None, sampling: Some(sampling(first)?) });
    };
    let span = (trace(first)?, identified(span)?);
    let sampling = parts.next().map(|text| sampling(text).ok_or(())).transpose().ok()?;
    let parent = parts.next();
    (parent.is_none_or(|parent| super::hexadecimal(parent).is_some()) && parts.next().is_none())
        .then_some(Said { span: Some(span), sampling })
}

fn multi(extractor: &dyn Extractor) -> Option<Said> {
    let get = |name| extractor.get(name).map(str::trim);
    let sampling = match get(FLAGS) {
        Some("1") => Some(Sampling::Debug),
        _ => get(SAMPLED).and_then(sampling),
    };
    let span = get(TRACE_ID).and_then(trace).zip(get(SPAN_ID).and_then(identified));
    (span.is_some() || sampling.is_some()).then_some(Said { span, sampling })
}

/// 64 bits or 128; the shorter one has zeros before it.
fn trace(text: &str) -> Option<TraceId> {
    trace_id(text).filter(|_| matches!(text.len(), 16 | 32))
}

fn identified(text: &str) -> Option<SpanId> {
    span_id(text).filter(|_| text.len() == 16)
}

/// `true` and `false` are what tracers wrote before there was a specification.
fn sampling(text: &str) -> Option<Sampling> {
    match text {
        "0" | "false" => Some(Sampling::Deny),
        "1" | "true" => Some(Sampling::Accept),
        "d" => Some(Sampling::Debug),
        _ => None,
    }
}

/// The trace that begins here is not to be sampled. A sampler hears that from a parent only, so it gets one, which nobody sees:
/// what is not sampled is not exported.
fn denied(cx: &Context) -> Context {
    let span = cx.span();
    let before = span.span_context();
    let (trace, span, state) = match before.is_valid() {
        true => (before.trace_id(), before.span_id(), before.trace_state().clone()),
        false => {
            let ids = RandomIdGenerator::default();
            (ids.new_trace_id(), ids.new_span_id(), Default::default())
        }
    };
    cx.with_remote_span_context(SpanContext::new(trace, span, TraceFlags::default(), true, state))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Headers, extract, forwarded, headers, ids};
    use crate::telemetry::Propagator;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn both(pairs: &[(&str, &str)]) -> (Option<(String, String, bool)>, Headers, Headers) {
        let [single, multi] = [Propagator::B3, Propagator::B3Multi].map(|name| [name]);
        let read = ids(&extract(&single, pairs));
        assert_eq!(read.is_some(), ids(&extract(&multi, pairs)).is_some(), "both forms are read by either name");
        (read, forwarded(&single, pairs), forwarded(&multi, pairs))
    }

    /// The examples of the specification, in both forms, and how they go on.
    #[test]
    fn the_specifications_examples_arrive_and_go_on() {
        let parent = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90";
        let several =
            [("x-b3-traceid", TRACE), ("x-b3-parentspanid", "05e3ac9a4f6e3b90"), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")];
        for pairs in [&[("b3", parent)][..], &several] {
            let (read, single, multi) = both(pairs);
            assert_eq!(read, Some((TRACE.to_owned(), SPAN.to_owned(), true)));
            assert_eq!(single, headers(&[("b3", &format!("{TRACE}-{SPAN}-1"))]));
            assert_eq!(multi, headers(&[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")]));
        }
    }

    #[test]
    fn what_is_not_sampled_stays_so_what_is_open_is_sampled_and_debug_goes_on() {
        let with = |sampling: &str| format!("{TRACE}-{SPAN}{sampling}");
        for (text, sampled, on) in [("-0", false, "-0"), ("-1", true, "-1"), ("", true, "-1"), ("-d", true, "-d")] {
            let (read, single, _) = both(&[("b3", &with(text))]);
            assert_eq!((read.unwrap().2, single), (sampled, headers(&[("b3", &with(on))])), "{text}");
        }
        let several = |name, value| [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), (name, value)];
        for (name, value, sampled) in
            [("x-b3-sampled", "0", false), ("x-b3-sampled", "true", true), ("x-b3-sampled", "false", false)]
        {
            assert_eq!(both(&several(name, value)).0.unwrap().2, sampled, "{name}: {value}");
        }
        let (read, single, multi) = both(&several("x-b3-flags", "1"));
        assert!(read.unwrap().2 && single["b3"].ends_with("-d"));
        assert_eq!(multi, headers(&several("x-b3-flags", "1")), "debug implies sampled, which is then not said");
    }

    #[test]
    fn an_id_of_64_bits_has_zeros_before_it() {
        let (read, single, multi) = both(&[("b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1")]);
        let padded = "0000000000000000a3ce929d0e0e4736";
        assert_eq!(read.unwrap(), (padded.to_owned(), "00f067aa0ba902b7".to_owned(), true));
        assert!(single["b3"].starts_with(padded) && multi["x-b3-traceid"] == padded);
    }

    #[test]
    fn a_trace_that_was_denied_is_not_sampled_though_it_begins_here() {
        for pairs in [[("b3", "0")], [("x-b3-sampled", "0")]] {
            let (read, single, multi) = both(&pairs);
            assert!(!read.unwrap().2);
            assert!(single["b3"].ends_with("-0") && multi["x-b3-sampled"] == "0");
        }
        let w3c = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let read = ids(&extract(&[Propagator::TraceContext, Propagator::B3], &[w3c, ("b3", "0")])).unwrap();
        assert_eq!(read, ("0af7651916cd43dd8448eb211c80319c".to_owned(), "b7ad6b7169203331".to_owned(), false));
        for asked_for in ["1", "d"] {
            assert_eq!(both(&[("b3", asked_for)]).0, None, "it begins here, and is sampled as others are");
        }
    }

    #[test]
    fn what_is_malformed_is_passed_over() {
        for text in [
            &format!("{TRACE}-{SPAN}-x"),
            &format!("{TRACE}-{SPAN}-1-what"),
            &format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90-1"),
            &format!("{TRACE}-{}", &SPAN[1..]),
            &format!("{}-{SPAN}-1", &TRACE[1..]),
            &format!("{}-{SPAN}-1", "0".repeat(32)),
            &format!("{TRACE}-{}-1", "0".repeat(16)),
            "2",
        ] {
            assert_eq!(both(&[("b3", text)]).0, None, "{text}");
        }
        let several = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
        assert!(both(&[&[("b3", "nonsense")][..], &several].concat()).0.is_some(), "the others are read then");
    }
}
