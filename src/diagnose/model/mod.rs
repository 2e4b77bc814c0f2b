//! Traces as the diagnosis sees them: many spans in little memory, every text once.
//!
//! Readers (`read`) push spans into a [`Builder`] in whatever order they come; [`Builder::finish`] groups them into traces, links
//! parents (`link`), and leaves out what is no span, counting it by reason.

mod builder;
mod ids;
mod link;
#[cfg(test)]
mod tests;
mod texts;

pub use builder::{Answered, Builder, NewSpan};
pub use texts::{Text, Texts};

use std::collections::BTreeMap;
use std::ops::Range;

use rustc_hash::FxHashMap;

/// A trace's id: 128 bits where it is hexadecimal, else a hash of its text, which is in [`Traces::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u128);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    #[default]
    Unset,
    Ok,
    Error,
}

/// Who made spans: a service and what else the resource says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    pub service: Text,
    /// Key and value, by key; the service's name is not among them.
    pub attributes: Vec<(Text, Text)>,
}

/// A span's parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// It has none.
    Root,
    /// One that is not among the spans that were read.
    Missing,
    /// This one of the trace: an index into [`Traces::of`].
    Span(u32),
}

#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub id: u64,
    pub parent: Parent,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds, at least `start`.
    pub end: u64,
    pub operation: Text,
    /// Index into [`Traces::resources`].
    pub resource: u32,
    pub kind: Kind,
    pub status: Status,
    attributes: (u32, u16),
}

impl Span {
    /// Nanoseconds.
    pub fn duration(&self) -> u64 {
        self.end - self.start
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let key = |span: &Self| (span.start, span.end, span.operation, span.resource, span.kind, span.status);
        key(self) == key(other)
    }
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    pub texts: Texts,
    pub resources: Vec<Resource>,
    /// By trace, inside a trace by start.
    spans: Vec<Span>,
    attributes: Vec<(Text, Text)>,
    traces: Vec<(TraceId, Range<u32>)>,
    /// The ids of traces that are not hexadecimal.
    names: FxHashMap<TraceId, Text>,
    /// What was not taken, and how often, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
    /// What was taken though it is odd, and how often.
    pub noted: BTreeMap<&'static str, u64>,
    /// Keys of attributes that were not kept, since their values hardly repeat.
    pub unkept: Vec<String>,
}

impl Traces {
    pub fn len(&self) -> usize {
        self.traces.len()
    }

    pub fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    pub fn span_count(&self) -> usize {
        self.spans.len()
    }

    pub fn id(&self, trace: usize) -> TraceId {
        self.traces[trace].0
    }

    /// A trace's id as those write it who look for it: 32 hexadecimal digits, or the text that it came with.
    pub fn name(&self, id: TraceId) -> String {
        self.names.get(&id).map_or_else(|| format!("{:032x}", id.0), |name| self.texts.get(*name).to_owned())
    }

    /// The spans of a trace, by start; a [`Parent::Span`] counts from the first of them.
    pub fn of(&self, trace: usize) -> &[Span] {
        let range = &self.traces[trace].1;
        &self.spans[range.start as usize..range.end as usize]
    }

    /// Where a trace's spans stand among all spans: for tables with one entry a span.
    pub fn range(&self, trace: usize) -> Range<usize> {
        let range = &self.traces[trace].1;
        range.start as usize..range.end as usize
    }

    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    pub fn service(&self, span: &Span) -> Text {
        self.resources[span.resource as usize].service
    }

    pub fn attributes(&self, span: &Span) -> &[(Text, Text)] {
        let (start, len) = span.attributes;
        &self.attributes[start as usize..start as usize + usize::from(len)]
    }
}
