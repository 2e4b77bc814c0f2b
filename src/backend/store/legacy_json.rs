//! Traces in Jaeger's own JSON, as its page reads them: microseconds, tags, processes.

use super::otlp_json::orphan_warning;
use super::segment::{Segment, TraceId};
use super::view::{OpenTrace, Shown};
use crate::backend::attribute::{self, Any, key_value, list, repeated};
use crate::backend::json;
use crate::backend::wire::{Fields, Value};

pub(super) fn span(out: &mut Vec<u8>, open: &mut OpenTrace, shown: &Shown<'_>, raw: bool) {
    let Shown { segment, span, attributes, tail } = shown;
    if open.is_first() {
        out.extend_from_slice(b"{\"traceID\":\"");
        trace_id(out, open.id);
        out.extend_from_slice(b"\",\"spans\":[");
    } else {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"traceID\":\"");
    trace_id(out, open.id);
    out.extend_from_slice(b"\",\"spanID\":\"");
    json::hex_u64(out, span.head.id);
    out.extend_from_slice(b"\",\"operationName\":");
    json::string(out, span.name());
    out.extend_from_slice(b",\"references\":[");
    let start = out.len();
    if span.head.parent != 0 {
        reference(out, start, b"CHILD_OF", open.id, span.head.parent);
    }
    for link in tail.links {
        write_link(out, start, link);
    }
    out.extend_from_slice(b"],\"startTime\":");
    json::unsigned(out, span.start / 1_000);
    out.extend_from_slice(b",\"duration\":");
    json::unsigned(out, span.duration / 1_000);
    out.extend_from_slice(b",\"tags\":[");
    let start = out.len();
    let group = segment.groups[span.head.group as usize];
    let scope = segment.scopes.get(group.scope);
    for (field, key) in [(1, "otel.scope.name"), (2, "otel.scope.version")] {
        if let Some(text) = repeated(scope, field).last().filter(|text| !text.is_empty()) {
            text_tag(out, start, key, text);
        }
    }
    let dictionary = &segment.dictionaries.attributes;
    for &attribute in *attributes {
        comma(out, start);
        attribute::tag(out, dictionary.key(attribute), dictionary.any(attribute));
    }
    if let Some(kind) = kind_name(span.kind()) {
        text_tag(out, start, "span.kind", kind.as_bytes());
    }
    match span.status() {
        1 => text_tag(out, start, "otel.status_code", b"OK"),
        2 => {
            text_tag(out, start, "otel.status_code", b"ERROR");
            comma(out, start);
            out.extend_from_slice(b"{\"key\":\"error\",\"type\":\"bool\",\"value\":true}");
        }
        _ => {}
    }
    if !tail.message.is_empty() {
        text_tag(out, start, "otel.status_description", tail.message);
    }
    if !tail.trace_state.is_empty() {
        text_tag(out, start, "w3c.tracestate", tail.trace_state);
    }
    out.extend_from_slice(b"],\"logs\":[");
    list(out, tail.events, |out, event| write_event(out, event, raw));
    out.extend_from_slice(b"],\"processID\":\"p");
    json::unsigned(out, open.process(group.resource));
    out.extend_from_slice(b"\",\"warnings\":");
    if !raw && open.is_orphan(span) {
        out.push(b'[');
        orphan_warning(out, span.head.parent);
        out.extend_from_slice(b"]}");
    } else {
        out.extend_from_slice(b"null}");
    }
}

/// `{"p1":…}`, all that the trace has.
pub(super) fn processes(open: &OpenTrace, segment: &Segment, raw: bool) -> Vec<u8> {
    let mut out = b"{".to_vec();
    list(&mut out, open.resources.iter().enumerate(), |out, (at, &resource)| {
        out.extend_from_slice(b"\"p");
        json::unsigned(out, at as u64 + 1);
        out.extend_from_slice(b"\":");
        process(out, segment.resources.get(resource), raw);
    });
    out.push(b'}');
    out
}

/// The processes come last, as in Jaeger; those of a trace that was evicted on the way were kept.
pub(super) fn close(out: &mut Vec<u8>, open: &OpenTrace, segment: Option<&Segment>, raw: bool) {
    if open.is_first() {
        // Evicted between search and writing.
        out.extend_from_slice(b"{\"traceID\":\"");
        trace_id(out, open.id);
        out.extend_from_slice(b"\",\"spans\":[");
    }
    out.extend_from_slice(b"],\"processes\":");
    match segment {
        _ if !open.processes.is_empty() => out.extend_from_slice(&open.processes),
        Some(segment) => out.extend_from_slice(&processes(open, segment, raw)),
        None => out.extend_from_slice(b"{}"),
    }
    out.extend_from_slice(match segment {
        Some(_) => b",\"warnings\":null}".as_slice(),
        None => b",\"warnings\":[\"evicted while it was read: spans are missing\"]}",
    });
}

fn process(out: &mut Vec<u8>, resource: &[u8], raw: bool) {
    out.extend_from_slice(b"{\"serviceName\":");
    json::string(out, super::segment::service_name(resource));
    out.extend_from_slice(b",\"tags\":[");
    let mut attributes: Vec<_> = attribute::elements(resource).map(key_value).filter(|(key, _)| *key != b"service.name").collect();
    if !raw {
        attributes.sort_by_key(|(key, _)| *key);
    }
    list(out, attributes.into_iter(), |out, (key, any)| attribute::tag(out, key, any));
    out.extend_from_slice(b"]}");
}

/// The name that Jaeger's APIs have for a kind; none for an unset one.
pub(crate) fn kind_name(kind: u8) -> Option<&'static str> {
    ["internal", "server", "client", "producer", "consumer"].get(usize::from(kind).wrapping_sub(1)).copied()
}

/// Jaeger writes an id of 64 bits with 16 digits here.
pub(crate) fn trace_id(out: &mut Vec<u8>, id: TraceId) {
    if id.0 != 0 {
        json::hex_u64(out, id.0);
    }
    json::hex_u64(out, id.1);
}

fn comma(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b',');
    }
}

fn text_tag(out: &mut Vec<u8>, start: usize, key: &str, text: &[u8]) {
    comma(out, start);
    out.extend_from_slice(b"{\"key\":\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\",\"type\":\"string\",\"value\":");
    json::string(out, text);
    out.push(b'}');
}

fn reference(out: &mut Vec<u8>, start: usize, kind: &[u8], trace: TraceId, span: u64) {
    comma(out, start);
    out.extend_from_slice(b"{\"refType\":\"");
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\",\"traceID\":\"");
    trace_id(out, trace);
    out.extend_from_slice(b"\",\"spanID\":\"");
    json::hex_u64(out, span);
    out.extend_from_slice(b"\"}");
}

fn write_link(out: &mut Vec<u8>, start: usize, link: &[u8]) {
    let id = |field| repeated(link, field).last().unwrap_or_default();
    // A link to nowhere is left out, as Jaeger does.
    let Ok(trace) = id(1).try_into().map(u128::from_be_bytes) else { return };
    let Ok(span) = id(2).try_into().map(u64::from_be_bytes) else { return };
    if trace == 0 {
        return;
    }
    let child = repeated(link, 4)
        .map(key_value)
        .any(|(key, any)| key == b"opentracing.ref_type" && matches!(Any::decode(any), Any::Text(b"child_of")));
    let kind: &[u8] = if child { b"CHILD_OF" } else { b"FOLLOWS_FROM" };
    reference(out, start, kind, ((trace >> 64) as u64, trace as u64), span);
}

fn write_event(out: &mut Vec<u8>, event: &[u8], raw: bool) {
    let mut time = 0;
    for (field, value) in Fields::new(event) {
        if let (1, Value::Fixed64(at)) = (field, value) {
            time = at;
        }
    }
    out.extend_from_slice(b"{\"timestamp\":");
    json::unsigned(out, time / 1_000);
    out.extend_from_slice(b",\"fields\":[");
    let start = out.len();
    if let Some(name) = repeated(event, 2).last().filter(|name| !name.is_empty()) {
        text_tag(out, start, "event", name);
    }
    let mut attributes: Vec<_> = repeated(event, 3).map(key_value).collect();
    if !raw {
        attributes.sort_by_key(|(key, _)| *key);
    }
    for (key, any) in attributes {
        comma(out, start);
        attribute::tag(out, key, any);
    }
    out.extend_from_slice(b"]}");
}
