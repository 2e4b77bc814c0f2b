//! OTLP JSON: `resourceSpans` → `scopeSpans` → `spans`, as a collector's file exporter and Jaeger's API v3 write it.
//!
//! Numbers may be texts, kinds and statuses numbers or the names that protobuf has for them, ids hexadecimal (the standard) or
//! base64 (what protobuf's own printers make of bytes).

use std::borrow::Cow;
use std::io::Read;

use serde::Deserialize;

use super::stream::{Broken, Element, Stream};
use super::value::{KeyValue, List, Plain, Scalar, Str, Whole};
use super::{Reader, concluded, kind_named};
use crate::backend::json::from_base64;
use crate::diagnose::model::{Kind, NewSpan, Resource, Status};

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Resource,
    #[serde(alias = "instrumentationLibrarySpans")]
    ScopeSpans,
    Spans,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct NewResource<'a> {
    #[serde(borrow, default)]
    attributes: List<KeyValue<'a>>,
}

struct Resources;

impl Element for Resources {
    type Of<'a> = NewResource<'a>;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(borrow, default)]
    trace_id: Str<'a>,
    #[serde(borrow, default)]
    span_id: Str<'a>,
    #[serde(borrow, default)]
    parent_span_id: Str<'a>,
    #[serde(borrow, default)]
    name: Str<'a>,
    #[serde(borrow, default)]
    kind: Option<Plain<'a>>,
    #[serde(default)]
    start_time_unix_nano: Whole,
    #[serde(default)]
    end_time_unix_nano: Whole,
    #[serde(borrow, default)]
    attributes: List<KeyValue<'a>>,
    #[serde(borrow, default)]
    links: List<Link<'a>>,
    #[serde(borrow, default)]
    status: Option<NewStatus<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link<'a> {
    #[serde(borrow, default)]
    trace_id: Str<'a>,
    #[serde(borrow, default)]
    span_id: Str<'a>,
}

#[derive(Deserialize)]
struct NewStatus<'a> {
    #[serde(borrow, default)]
    code: Option<Plain<'a>>,
}

struct Spans;

impl Element for Spans {
    type Of<'a> = Span<'a>;
}

impl Reader<'_> {
    /// The value of `resourceSpans`.
    pub(super) fn resource_spans<R: Read>(&mut self, stream: &mut Stream<R>) -> Result<(), Broken> {
        stream.list(|stream| {
            // The resource may come after its spans.
            let first = self.builder.pushed();
            let mut resource = None;
            let read = stream.object::<Field>(|stream, field| match field {
                Field::Resource => stream.element::<Resources>(|found| resource = Some(self.resource(&found))).map(drop),
                Field::ScopeSpans => stream.list(|stream| {
                    stream.object::<Field>(|stream, field| match field {
                        Field::Spans => stream.list(|stream| self.otlp_span(stream)),
                        _ => stream.skip(),
                    })
                }),
                _ => stream.skip(),
            });
            let resource = match resource {
                Some(resource) => resource,
                // What ends before its resource came is nobody's.
                None if read.is_err() => {
                    self.cut_off(first);
                    return read;
                }
                None => self.nameless(),
            };
            let last = self.builder.pushed();
            self.builder.assign(first..last, |_| resource);
            read
        })
    }

    fn resource(&mut self, found: &NewResource<'_>) -> u32 {
        let mut service = None;
        self.attributes.clear();
        for KeyValue { key, value } in &found.attributes.0 {
            let Some(text) = value.0.text(&mut self.scratch) else { continue };
            if key == "service.name" {
                service = Some(self.builder.text(text));
            } else {
                self.attributes.extend(self.builder.attribute(key, text));
            }
        }
        match service {
            Some(service) => self.builder.resource(Resource { service, attributes: self.attributes.clone() }),
            None => self.nameless(),
        }
    }

    fn otlp_span<R: Read>(&mut self, stream: &mut Stream<R>) -> Result<(), Broken> {
        if !stream.element::<Spans>(|span| self.push_otlp(&span))? {
            self.builder.leave_out(super::UNREADABLE);
        }
        Ok(())
    }

    fn push_otlp(&mut self, span: &Span<'_>) {
        self.attributes.clear();
        let mut http_status = None;
        for KeyValue { key, value } in &span.attributes.0 {
            if super::is_http_status(key) {
                http_status = value.0.number();
            } else if key == "@jaeger@warnings" {
                continue;
            }
            if let Some(text) = value.0.text(&mut self.scratch) {
                self.attributes.extend(self.builder.attribute(key, text));
            }
        }
        let kind = span.kind.as_ref().map_or(Kind::Unspecified, |Plain(kind)| match kind {
            Scalar::Text(name) => kind_named(name.trim_start_matches("SPAN_KIND_")),
            number => kind_numbered(number.number().unwrap_or_default()),
        });
        let stated = span.status.as_ref().and_then(|status| status.code.as_ref()).map_or(Status::Unset, |Plain(code)| {
            match (code, code.number()) {
                (Scalar::Text(name), _) if name == "STATUS_CODE_OK" => Status::Ok,
                (Scalar::Text(name), _) if name == "STATUS_CODE_ERROR" => Status::Error,
                (_, Some(1)) => Status::Ok,
                (_, Some(2)) => Status::Error,
                _ => Status::Unset,
            }
        });
        let Some((start, duration)) = self.nanoseconds(span.start_time_unix_nano, span.end_time_unix_nano) else { return };
        // A link inside the trace is what Jaeger's JSON has as `FOLLOWS_FROM`; see there.
        let parent = match &span.parent_span_id {
            none if none.0.is_empty() => {
                let mut links = span.links.0.iter();
                links.find(|link| link.trace_id == span.trace_id).map_or(none, |link| &link.span_id)
            }
            parent => parent,
        };
        let (trace_id, span_id, parent_id) = (id(&span.trace_id), id(&span.span_id), id(parent));
        let new = NewSpan {
            trace_id: &trace_id,
            span_id: &span_id,
            parent_id: &parent_id,
            operation: &span.name.0,
            resource: 0,
            start,
            duration,
            kind,
            status: concluded(stated, kind, http_status),
            attributes: &self.attributes,
        };
        self.builder.push(new);
    }

    /// Nanoseconds since the epoch, and how many it took.
    fn nanoseconds(&mut self, Whole(start): Whole, Whole(end): Whole) -> Option<(u64, i64)> {
        if start == 0 && end > 0 {
            self.builder.leave_out(super::NO_TIME);
            return None;
        }
        self.times(start, end.saturating_sub(start), 1)
    }
}

fn kind_numbered(number: i64) -> Kind {
    match number {
        1 => Kind::Internal,
        2 => Kind::Server,
        3 => Kind::Client,
        4 => Kind::Producer,
        5 => Kind::Consumer,
        _ => Kind::Unspecified,
    }
}

/// 16 or 8 bytes in base64 are 24 or 12 characters, the last ones `=`, which hexadecimal digits are not.
fn id<'a>(Str(text): &'a Str<'_>) -> Cow<'a, str> {
    if !text.ends_with('=') {
        return Cow::Borrowed(text);
    }
    match from_base64(text.as_bytes()) {
        Some(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        None => Cow::Borrowed(text),
    }
}
