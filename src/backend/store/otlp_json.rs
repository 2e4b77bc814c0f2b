//! Spans as OTLP JSON, in the shape of Jaeger's API v3: elements of `resourceSpans`, empty fields left out.

use super::segment::write_resource;
use super::view::{OpenTrace, Shown};
use crate::backend::attribute::{self, list, repeated};
use crate::backend::json;
use crate::backend::wire::{Fields, Value};

/// What Jaeger tells its own page about a span without a parent in sight.
pub(super) fn orphan_warning(out: &mut Vec<u8>, parent: u64) {
    out.extend_from_slice(b"\"parent span ID=");
    json::hex_u64(out, parent);
    out.extend_from_slice(b" is not in the trace; skipping clock skew adjustment\"");
}

pub(super) fn span(out: &mut Vec<u8>, open: &mut OpenTrace, shown: &Shown<'_>, raw: bool) {
    let Shown { segment, span, attributes, tail } = shown;
    let group = segment.groups[span.head.group as usize];
    match open.group {
        Some((resource, scope)) if (resource, scope) == (group.resource, group.scope) => out.push(b','),
        Some((resource, _)) if resource == group.resource => {
            out.extend_from_slice(b"]},");
            open_scope(out, segment.scopes.get(group.scope));
        }
        before => {
            out.extend_from_slice(if before.is_some() { b"]}]}," } else { b"" });
            out.extend_from_slice(b"{\"resource\":");
            if raw {
                write_resource(out, segment.resources.get(group.resource), false);
            } else {
                out.extend_from_slice(&segment.resources_json[group.resource as usize]);
            }
            out.extend_from_slice(b",\"scopeSpans\":[");
            open_scope(out, segment.scopes.get(group.scope));
        }
    }
    open.group = Some((group.resource, group.scope));
    out.extend_from_slice(b"{\"traceId\":\"");
    json::hex_u64(out, open.id.0);
    json::hex_u64(out, open.id.1);
    out.extend_from_slice(b"\",\"spanId\":\"");
    json::hex_u64(out, span.head.id);
    if !tail.trace_state.is_empty() {
        out.extend_from_slice(b"\",\"traceState\":\"");
        json::escaped(out, tail.trace_state);
    }
    if span.head.parent != 0 {
        out.extend_from_slice(b"\",\"parentSpanId\":\"");
        json::hex_u64(out, span.head.parent);
    }
    out.push(b'"');
    number(out, b",\"flags\":", tail.flags);
    out.extend_from_slice(b",\"name\":");
    json::string(out, span.name());
    number(out, b",\"kind\":", u64::from(span.kind()));
    out.extend_from_slice(b",\"startTimeUnixNano\":");
    json::quoted(out, span.start);
    out.extend_from_slice(b",\"endTimeUnixNano\":");
    json::quoted(out, span.end());
    let orphan = !raw && open.is_orphan(span);
    if !attributes.is_empty() || orphan {
        out.extend_from_slice(b",\"attributes\":[");
        list(out, attributes.iter(), |out, &attribute| segment.dictionaries.attributes.write(out, attribute));
        if orphan {
            out.extend_from_slice(if attributes.is_empty() { b"" } else { b"," });
            out.extend_from_slice(b"{\"key\":\"@jaeger@warnings\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":");
            orphan_warning(out, span.head.parent);
            out.extend_from_slice(b"}]}}}");
        }
        out.push(b']');
    }
    number(out, b",\"droppedAttributesCount\":", tail.dropped[0]);
    if tail.events.count > 0 {
        out.extend_from_slice(b",\"events\":[");
        list(out, tail.events, event);
        out.push(b']');
    }
    number(out, b",\"droppedEventsCount\":", tail.dropped[1]);
    if tail.links.count > 0 {
        out.extend_from_slice(b",\"links\":[");
        list(out, tail.links, link);
        out.push(b']');
    }
    number(out, b",\"droppedLinksCount\":", tail.dropped[2]);
    out.extend_from_slice(b",\"status\":{");
    if !tail.message.is_empty() {
        out.extend_from_slice(b"\"message\":");
        json::string(out, tail.message);
    }
    if span.status() != 0 {
        out.extend_from_slice(if tail.message.is_empty() { b"\"code\":" } else { b",\"code\":" });
        json::unsigned(out, u64::from(span.status()));
    }
    out.extend_from_slice(b"}}");
}

pub(super) fn close(out: &mut Vec<u8>, open: &OpenTrace) {
    match open.group {
        Some(_) => out.extend_from_slice(b"]}]}"),
        // Evicted between search and writing: the comma before is spoken for.
        None => out.extend_from_slice(b"{}"),
    }
}

fn number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    if value != 0 {
        out.extend_from_slice(name);
        json::unsigned(out, value);
    }
}

fn open_scope(out: &mut Vec<u8>, scope: &[u8]) {
    out.extend_from_slice(b"{\"scope\":{");
    let start = out.len();
    for (field, name) in [(1, b"\"name\":".as_slice()), (2, b"\"version\":")] {
        if let Some(text) = repeated(scope, field).last().filter(|text| !text.is_empty()) {
            comma(out, start);
            out.extend_from_slice(name);
            json::string(out, text);
        }
    }
    let dropped = Fields::new(scope).filter_map(|field| if let (4, Value::Varint(count)) = field { Some(count) } else { None });
    finish(out, start, repeated(scope, 3), dropped.last().unwrap_or_default());
    out.extend_from_slice(b",\"spans\":[");
}

fn comma(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b',');
    }
}

/// Events and links are few: their attributes are always sorted.
fn write_attributes<'a>(out: &mut Vec<u8>, attributes: impl Iterator<Item = &'a [u8]>) {
    let mut attributes: Vec<_> = attributes.map(attribute::key_value).collect();
    attributes.sort_by_key(|(key, _)| *key);
    out.push(b'[');
    list(out, attributes.into_iter(), |out, (key, any)| attribute::otlp(out, key, any));
    out.push(b']');
}

fn event(out: &mut Vec<u8>, message: &[u8]) {
    out.push(b'{');
    let start = out.len();
    let mut dropped = 0;
    for (field, value) in Fields::new(message) {
        match (field, value) {
            (1, Value::Fixed64(time)) if time != 0 => {
                comma(out, start);
                out.extend_from_slice(b"\"timeUnixNano\":");
                json::quoted(out, time);
            }
            (2, Value::Bytes(name)) if !name.is_empty() => {
                comma(out, start);
                out.extend_from_slice(b"\"name\":");
                json::string(out, name);
            }
            (4, Value::Varint(count)) => dropped = count,
            _ => {}
        }
    }
    finish(out, start, repeated(message, 3), dropped);
}

fn link(out: &mut Vec<u8>, message: &[u8]) {
    out.push(b'{');
    let start = out.len();
    let (mut dropped, mut flags) = (0, 0);
    for (field, value) in Fields::new(message) {
        match (field, value) {
            (1 | 2, Value::Bytes(id)) => {
                comma(out, start);
                out.extend_from_slice(if field == 1 { b"\"traceId\":\"".as_slice() } else { b"\"spanId\":\"" });
                json::hex(out, id);
                out.push(b'"');
            }
            (3, Value::Bytes(state)) if !state.is_empty() => {
                comma(out, start);
                out.extend_from_slice(b"\"traceState\":");
                json::string(out, state);
            }
            (5, Value::Varint(count)) => dropped = count,
            (6, Value::Fixed32(bits)) => flags = bits,
            _ => {}
        }
    }
    if flags != 0 {
        comma(out, start);
        number(out, b"\"flags\":", u64::from(flags));
    }
    finish(out, start, repeated(message, 4), dropped);
}

/// Attributes and the count of the dropped, and the brace.
fn finish<'a>(out: &mut Vec<u8>, start: usize, attributes: impl Iterator<Item = &'a [u8]>, dropped: u64) {
    let mut attributes = attributes.peekable();
    if attributes.peek().is_some() {
        comma(out, start);
        out.extend_from_slice(b"\"attributes\":");
        write_attributes(out, attributes);
    }
    if dropped > 0 {
        comma(out, start);
        number(out, b"\"droppedAttributesCount\":", dropped);
    }
    out.push(b'}');
}
