//! Jaeger's own JSON: traces of spans, and of processes that the spans name, mostly after the spans.
//!
//! The parent of a span is what it references as `CHILD_OF` in the same trace. Where there is none it is the first that it
//! `FOLLOWS_FROM`: Jaeger writes the parent of a consumer so where the instrumentation came from OpenTracing, and nothing else ties such
//! a span to its trace. References into other traces are links, not parents.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;

use serde::Deserialize;

use super::stream::{Broken, Element, Stream};
use super::value::{List, Plain, Str, Whole};
use super::{Reader, concluded, kind_named};
use crate::diagnose::model::{Kind, NewSpan, Resource, Status};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(borrow, default, rename = "traceID")]
    trace_id: Str<'a>,
    #[serde(borrow, default, rename = "spanID")]
    span_id: Str<'a>,
    /// Before Jaeger 1.0, and in exports of others.
    #[serde(borrow, default, rename = "parentSpanID")]
    parent_span_id: Str<'a>,
    #[serde(borrow, default)]
    operation_name: Str<'a>,
    #[serde(borrow, default)]
    references: List<Reference<'a>>,
    #[serde(default)]
    start_time: Option<Whole>,
    #[serde(default)]
    duration: Whole,
    #[serde(borrow, default)]
    tags: List<Tag<'a>>,
    #[serde(borrow, default, rename = "processID")]
    process_id: Str<'a>,
    /// Where a single span carries it instead.
    #[serde(borrow, default)]
    process: Option<Process<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    #[serde(borrow, default)]
    ref_type: Str<'a>,
    #[serde(borrow, default, rename = "traceID")]
    trace_id: Str<'a>,
    #[serde(borrow, default, rename = "spanID")]
    span_id: Str<'a>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Plain<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process<'a> {
    #[serde(borrow, default)]
    service_name: Str<'a>,
    #[serde(borrow, default)]
    tags: List<Tag<'a>>,
}

struct Spans;

impl Element for Spans {
    type Of<'a> = Span<'a>;
}

struct Processes;

impl Element for Processes {
    type Of<'a> = Process<'a>;
}

/// A trace that is being read.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Where its spans stand among those that the builder took.
    range: Option<Range<usize>>,
    /// The resource of each process, as far as they came.
    processes: Vec<Option<u32>>,
}

impl Reader<'_> {
    /// The value of `spans`.
    pub(super) fn jaeger_spans<R: Read>(&mut self, stream: &mut Stream<R>, open: &mut Open) -> Result<(), Broken> {
        let first = open.range.as_ref().map_or(self.builder.pushed(), |range| range.start);
        let read = stream.list(|stream| {
            if !stream.element::<Spans>(|span| self.push_jaeger(&span, open))? {
                self.builder.leave_out(super::UNREADABLE);
            }
            Ok(())
        });
        open.range = Some(first..self.builder.pushed());
        read
    }

    /// The value of `processes`.
    pub(super) fn processes<R: Read>(&mut self, stream: &mut Stream<R>, open: &mut Open) -> Result<(), Broken> {
        stream.object::<String>(|stream, name| {
            let place = self.process(&name);
            let mut resource = None;
            stream.element::<Processes>(|process| resource = Some(self.process_resource(&process)))?;
            self.put(open, place, resource);
            Ok(())
        })
    }

    /// All of a trace came, or all that will.
    pub(super) fn close(&mut self, open: &Open, whole: bool) {
        let Some(range) = open.range.clone() else { return };
        // Part of a trace would pass for a fast one.
        if !whole {
            return self.cut_off(range.start);
        }
        let nameless = self.nameless();
        self.builder.assign(range, |place| open.processes.get(place as usize).copied().flatten().unwrap_or(nameless));
    }

    fn put(&mut self, open: &mut Open, place: u32, resource: Option<u32>) {
        let place = place as usize;
        if open.processes.len() <= place {
            open.processes.resize(place + 1, None);
        }
        open.processes[place] = resource;
    }

    /// A number for the name of a process, which is another process in each trace.
    fn process(&mut self, name: &str) -> u32 {
        if let Some(place) = self.processes.get(name) {
            return *place;
        }
        let place = u32::try_from(self.processes.len()).unwrap_or(u32::MAX);
        self.processes.insert(name.into(), place);
        place
    }

    fn process_resource(&mut self, process: &Process<'_>) -> u32 {
        if process.service_name.0.is_empty() {
            return self.nameless();
        }
        self.attributes.clear();
        for Tag { key, value } in &process.tags.0 {
            if let Some(text) = value.0.text(&mut self.scratch) {
                self.attributes.extend(self.builder.attribute(key, text));
            }
        }
        let service = self.builder.text(&process.service_name.0);
        self.builder.resource(Resource { service, attributes: self.attributes.clone() })
    }

    fn push_jaeger(&mut self, span: &Span<'_>, open: &mut Open) {
        let place = match &span.process {
            Some(process) => {
                let (place, resource) = (self.process(&format!("of span {}", span.span_id.0)), self.process_resource(process));
                self.put(open, place, Some(resource));
                place
            }
            None => self.process(&span.process_id.0),
        };
        self.attributes.clear();
        let (mut kind, mut stated, mut http_status) = (Kind::Unspecified, Status::Unset, None);
        for Tag { key, value: Plain(value) } in &span.tags.0 {
            let Some(text) = value.text(&mut self.scratch) else { continue };
            match &**key {
                "span.kind" => kind = kind_named(text),
                "error" if value.is_true() => stated = Status::Error,
                "otel.status_code" if text == "ERROR" => stated = Status::Error,
                "otel.status_code" if text == "OK" && stated == Status::Unset => stated = Status::Ok,
                // What Jaeger makes of parts of a span that are no attributes.
                "error" | "otel.status_code" | "otel.status_description" | "w3c.tracestate" | "internal.span.format" => {}
                "otel.scope.name" | "otel.scope.version" | "otel.library.name" | "otel.library.version" => {}
                _ => {
                    if super::is_http_status(key) {
                        http_status = value.number();
                    }
                    self.attributes.extend(self.builder.attribute(key, text));
                }
            }
        }
        let Some((start, duration)) = self.microseconds(span.start_time, span.duration) else { return };
        self.builder.push(NewSpan {
            trace_id: &span.trace_id.0,
            span_id: &span.span_id.0,
            parent_id: parent(span),
            operation: &span.operation_name.0,
            resource: place,
            start,
            duration,
            kind,
            status: concluded(stated, kind, http_status),
            attributes: &self.attributes,
        });
    }

    /// Nanoseconds since the epoch, and how many it took.
    fn microseconds(&mut self, start: Option<Whole>, Whole(duration): Whole) -> Option<(u64, i64)> {
        let Some(Whole(start)) = start else {
            self.builder.leave_out(super::NO_TIME);
            return None;
        };
        self.times(start, duration, 1_000)
    }
}

fn parent<'a>(span: &'a Span<'_>) -> &'a str {
    let references = || span.references.0.iter().filter(|to| to.trace_id.0.is_empty() || to.trace_id == span.trace_id);
    let child_of = references().find(|to| to.ref_type.0 == "CHILD_OF");
    match child_of.or_else(|| references().find(|to| to.ref_type.0 == "FOLLOWS_FROM")) {
        Some(reference) => &reference.span_id.0,
        None => &span.parent_span_id.0,
    }
}
