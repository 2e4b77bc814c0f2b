//! Traces as the diagnosis sees them: many spans in little memory, every text once.
//!
//! Readers (`read`) push spans into a [`Builder`] in whatever order they come; [`Builder::finish`] groups them into traces, links
//! parents, and leaves out what is no span, counting it by reason.

use std::collections::BTreeMap;
use std::ops::Range;

use rustc_hash::FxHashMap;

/// A text in [`Traces::texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(u32);

impl Text {
    /// Its place among the texts, in the order in which they were first seen.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Every text once.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<u32>,
    index: FxHashMap<Box<str>, Text>,
}

impl Texts {
    pub fn intern(&mut self, text: &str) -> Text {
        if let Some(found) = self.index.get(text) {
            return *found;
        }
        let new = Text(u32::try_from(self.ends.len()).expect("fewer than four thousand million texts"));
        self.bytes.push_str(text);
        self.ends.push(u32::try_from(self.bytes.len()).expect("texts of less than 4 GiB"));
        self.index.insert(text.into(), new);
        new
    }

    pub fn find(&self, text: &str) -> Option<Text> {
        self.index.get(text).copied()
    }

    pub fn get(&self, text: Text) -> &str {
        let at = text.0 as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// A trace's id: 128 bits where it is hexadecimal, else a hash of its text.
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
    /// What was not taken, and how often, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
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

/// A span as a reader found it.
#[derive(Clone, Debug, Default)]
pub struct NewSpan<'a> {
    pub trace_id: &'a str,
    pub span_id: &'a str,
    /// Empty where it has none.
    pub parent_id: &'a str,
    pub operation: &'a str,
    /// From [`Builder::resource`].
    pub resource: u32,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds; negative ones are left out and counted.
    pub duration: i64,
    pub kind: Kind,
    pub status: Status,
    pub attributes: &'a [(Text, Text)],
}

/// Takes spans one by one.
#[derive(Debug, Default)]
pub struct Builder {
    traces: Traces,
    resources: FxHashMap<Resource, u32>,
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    trace: TraceId,
    /// 0 where it has none.
    parent: u64,
    span: Span,
}

impl Builder {
    pub fn texts(&mut self) -> &mut Texts {
        &mut self.traces.texts
    }

    pub fn text(&mut self, text: &str) -> Text {
        self.traces.texts.intern(text)
    }

    /// The index of a resource; equal ones are one.
    pub fn resource(&mut self, resource: Resource) -> u32 {
        let next = u32::try_from(self.traces.resources.len()).expect("fewer than four thousand million resources");
        *self.resources.entry(resource).or_insert_with_key(|resource| {
            self.traces.resources.push(resource.clone());
            next
        })
    }

    /// Counts something that is not taken.
    pub fn leave_out(&mut self, reason: &'static str) {
        *self.traces.left_out.entry(reason).or_default() += 1;
    }

    pub fn push(&mut self, new: NewSpan<'_>) {
        let NewSpan { trace_id, span_id, parent_id, operation, resource, start, duration, kind, status, attributes } = new;
        let end = u64::try_from(duration).ok().and_then(|duration| start.checked_add(duration));
        let Some(end) = end else { return self.leave_out("span with a negative duration") };
        if trace_id.is_empty() || span_id.is_empty() {
            return self.leave_out("span without an id");
        }
        let operation = self.traces.texts.intern(operation);
        let first = u32::try_from(self.traces.attributes.len()).expect("fewer than four thousand million attributes");
        let kept = &attributes[..attributes.len().min(usize::from(u16::MAX))];
        self.traces.attributes.extend_from_slice(kept);
        let attributes = (first, kept.len() as u16);
        let id = span_number(span_id);
        let span = Span { id, parent: Parent::Root, start, end, operation, resource, kind, status, attributes };
        let parent = if parent_id.is_empty() { 0 } else { span_number(parent_id) };
        self.pending.push(Pending { trace: TraceId(number(trace_id)), parent, span });
    }

    /// Groups what came into traces.
    pub fn finish(self) -> Traces {
        let Self { mut traces, mut pending, .. } = self;
        pending.sort_unstable_by_key(|Pending { trace, span, .. }| (*trace, span.start, std::cmp::Reverse(span.end), span.id));
        traces.spans.reserve_exact(pending.len());
        let mut left_out = |reason, times| {
            if times > 0 {
                *traces.left_out.entry(reason).or_default() += times;
            }
        };
        let mut places: FxHashMap<u64, u32> = FxHashMap::default();
        let mut parents: Vec<u64> = Vec::new();
        for one in pending.chunk_by(|a, b| a.trace == b.trace) {
            let first = traces.spans.len();
            places.clear();
            parents.clear();
            for Pending { parent, span, .. } in one {
                let place = (traces.spans.len() - first) as u32;
                if places.contains_key(&span.id) {
                    left_out("duplicate span", 1);
                    continue;
                }
                places.insert(span.id, place);
                parents.push(*parent);
                traces.spans.push(*span);
            }
            let spans = &mut traces.spans[first..];
            for (span, parent) in spans.iter_mut().zip(&parents) {
                span.parent = match (parent, places.get(parent)) {
                    (0, _) => Parent::Root,
                    (_, Some(place)) => Parent::Span(*place),
                    (_, None) => Parent::Missing,
                };
            }
            left_out("parent that is its own ancestor", break_cycles(spans));
            let range = first as u32..traces.spans.len() as u32;
            traces.traces.push((one[0].trace, range));
        }
        traces
    }
}

/// Takes the parent from one span of every cycle, and counts them.
fn break_cycles(spans: &mut [Span]) -> u64 {
    let mut broken = 0;
    // 0: not seen, 1: on the way, 2: known to end at a root.
    let mut seen = vec![0_u8; spans.len()];
    let mut way = Vec::new();
    for start in 0..spans.len() {
        let mut at = start;
        way.clear();
        while seen[at] == 0 {
            seen[at] = 1;
            way.push(at);
            match spans[at].parent {
                Parent::Span(parent) if seen[parent as usize] == 1 => {
                    spans[at].parent = Parent::Missing;
                    broken += 1;
                }
                Parent::Span(parent) => at = parent as usize,
                Parent::Root | Parent::Missing => {}
            }
        }
        for &at in &way {
            seen[at] = 2;
        }
    }
    broken
}

/// A span's id as a number that is not 0.
fn span_number(text: &str) -> u64 {
    let number = number(text);
    ((number >> 64) as u64 ^ number as u64).max(1)
}

/// Hexadecimal digits are the number they mean; other texts are hashed.
fn number(text: &str) -> u128 {
    match u128::from_str_radix(text, 16) {
        Ok(number) if text.len() <= 32 => number,
        _ => {
            let half = |salt: u64| {
                let mut hasher = rustc_hash::FxHasher::default();
                std::hash::Hash::hash(&(salt, text), &mut hasher);
                u128::from(std::hash::Hasher::finish(&hasher))
            };
            half(1) << 64 | half(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(spans: &[(&str, &str, u64, i64)]) -> Traces {
        let mut builder = Builder::default();
        let service = builder.text("a");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        for (span_id, parent_id, start, duration) in spans {
            let (start, duration) = (*start, *duration);
            builder.push(NewSpan {
                trace_id: "1",
                span_id,
                parent_id,
                start,
                duration,
                resource,
                operation: "o",
                ..NewSpan::default()
            });
        }
        builder.finish()
    }

    #[test]
    fn spans_are_linked_in_whatever_order_they_come() {
        let traces = build(&[("c", "b", 20, 5), ("b", "a", 10, 20), ("a", "", 0, 40), ("d", "x", 15, 1)]);
        let parents: Vec<_> = traces.of(0).iter().map(|span| (span.id, span.parent)).collect();
        let expected = [(10, Parent::Root), (11, Parent::Span(0)), (13, Parent::Missing), (12, Parent::Span(1))];
        assert_eq!(parents, expected);
    }

    #[test]
    fn what_is_no_span_is_left_out_and_counted() {
        let traces = build(&[("a", "", 0, 40), ("a", "", 0, 40), ("b", "a", 3, -1), ("", "a", 3, 1)]);
        assert_eq!(traces.span_count(), 1);
        let left_out: Vec<_> = traces.left_out.into_iter().collect();
        assert_eq!(left_out, [("duplicate span", 1), ("span with a negative duration", 1), ("span without an id", 1)]);
    }

    #[test]
    fn a_cycle_is_broken_once() {
        let traces = build(&[("a", "c", 0, 9), ("b", "a", 1, 5), ("c", "b", 2, 3), ("d", "c", 3, 1), ("e", "e", 4, 1)]);
        assert_eq!(traces.left_out.get("parent that is its own ancestor"), Some(&2));
        for mut span in traces.of(0) {
            for _ in 0..5 {
                let Parent::Span(parent) = span.parent else { break };
                span = &traces.of(0)[parent as usize];
            }
            assert_ne!(matches!(span.parent, Parent::Span(_)), true, "every way ends");
        }
    }
}
