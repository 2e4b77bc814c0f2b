//! Traces as they leave: records in order, written as JSON chunk by chunk.
//!
//! A writer holds no lock between chunks. What is evicted meanwhile is simply missing from the answer, which stays valid.

use super::dictionary::Attribute;
use super::record::{Span, Tail};
use super::segment::{Entry, Segment, TraceId};
use super::{Ring, Store, legacy_json, otlp_json, summary};

/// Where a trace is, as long as it is not evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceKey {
    pub(super) segment: u32,
    pub(super) entry: u32,
}

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As elements of OTLP's `resourceSpans`; raw: attributes in the order they came in.
    Otlp { raw: bool },
    /// As Jaeger's own trace objects.
    Legacy { raw: bool },
    /// As the summaries of API v3.
    Summary,
}

/// An answer under way: the traces still to be written, and the one that did not fit the last chunk.
#[derive(Debug)]
pub(crate) struct TraceWriter {
    style: Style,
    keys: std::vec::IntoIter<TraceKey>,
    open: Option<OpenTrace>,
    /// Something was written, so that a comma comes first.
    started: bool,
}

/// The records of one trace, in the order of the answer: by resource, then scope, then arrival, what came twice left out.
#[derive(Debug)]
pub(super) struct OpenTrace {
    segment: u32,
    pub id: TraceId,
    pub records: Vec<u32>,
    next: usize,
    /// All span ids, sorted.
    ids: Vec<u64>,
    /// The resources, in order of appearance.
    pub resources: Vec<u32>,
    /// Resource and scope of the span before.
    pub group: Option<(u32, u32)>,
}

impl TraceWriter {
    pub fn new(style: Style, keys: Vec<TraceKey>) -> Self {
        Self { style, keys: keys.into_iter(), open: None, started: false }
    }
}

impl Store {
    /// Where a trace with spans is.
    pub(crate) fn find(&self, id: TraceId) -> Option<TraceKey> {
        let ring = self.read();
        let home = ring.homes.get(&id)?;
        let entry = ring.segment(home.segment)?.entries.get(home.entry as usize)?;
        (entry.spans > 0).then_some(TraceKey { segment: home.segment, entry: home.entry })
    }

    /// Every trace, in order of arrival.
    pub(crate) fn all(&self) -> Vec<TraceKey> {
        let ring = self.read();
        let of_segment = |segment: &Segment| {
            let number = segment.number;
            let with_spans = segment.entries.iter().enumerate().filter(|(_, entry)| entry.spans > 0);
            with_spans.map(|(entry, _)| TraceKey { segment: number, entry: entry as u32 }).collect::<Vec<_>>()
        };
        ring.segments.iter().flat_map(of_segment).collect()
    }

    /// Appends JSON until `out` is about `full` long. False once all is written.
    pub(crate) fn write_traces(&self, writer: &mut TraceWriter, out: &mut Vec<u8>, full: usize) -> bool {
        let ring = self.read();
        loop {
            if let Some(open) = &mut writer.open {
                if !ring.write_open(open, writer.style, out, full) {
                    return true;
                }
                writer.open = None;
            }
            if out.len() >= full {
                return true;
            }
            let Some(key) = writer.keys.next() else { return false };
            let Some(segment) = ring.segment(key.segment) else { continue };
            let Some(entry) = segment.entries.get(key.entry as usize) else { continue };
            if writer.started {
                out.push(b',');
            }
            writer.started = true;
            let open = OpenTrace::new(segment, entry);
            if writer.style == Style::Summary {
                summary::write(segment, &open, out);
            } else {
                writer.open = Some(open);
            }
        }
    }
}

impl OpenTrace {
    fn new(segment: &Segment, entry: &Entry) -> Self {
        // (id, record), oldest first.
        let mut records: Vec<u32> = segment.records(entry).collect();
        records.reverse();
        let mut ids: Vec<(u64, u32)> = records.iter().map(|&record| (segment.span(record).head.id, record)).collect();
        ids.sort_unstable();
        let mut twice: Vec<u32> = ids
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0 && segment.span(pair[0].1).same_as(&segment.span(pair[1].1)))
            .map(|pair| pair[1].1)
            .collect();
        if !twice.is_empty() {
            twice.sort_unstable();
            records.retain(|record| twice.binary_search(record).is_err());
        }
        let mut open = Self {
            segment: segment.number,
            id: entry.id,
            records,
            next: 0,
            ids: ids.into_iter().map(|(id, _)| id).collect(),
            resources: Vec::new(),
            group: None,
        };
        open.sort(segment);
        open
    }

    /// Resources and their scopes stay together, in order of appearance.
    fn sort(&mut self, segment: &Segment) {
        let mut groups: Vec<u32> = Vec::new();
        let mut ranked: Vec<(u32, u32)> = Vec::with_capacity(self.records.len());
        for &record in &self.records {
            let number = segment.span(record).head.group;
            let rank = groups.iter().position(|&group| group == number).unwrap_or_else(|| {
                groups.push(number);
                groups.len() - 1
            });
            ranked.push((rank as u32, record));
        }
        // A resource with several scopes: its scopes move up to its first.
        let mut rank_of = vec![0u32; groups.len()];
        for (rank, &number) in groups.iter().enumerate() {
            let resource = segment.groups[number as usize].resource;
            let position = self.resources.iter().position(|&known| known == resource).unwrap_or_else(|| {
                self.resources.push(resource);
                self.resources.len() - 1
            });
            rank_of[rank] = position as u32;
        }
        ranked.sort_by_key(|&(rank, _)| (rank_of[rank as usize], rank));
        self.records = ranked.into_iter().map(|(_, record)| record).collect();
    }

    pub fn is_first(&self) -> bool {
        self.next == 0
    }

    /// Whether a span names a parent that the trace does not have.
    pub fn is_orphan(&self, span: &Span<'_>) -> bool {
        span.head.parent != 0 && self.ids.binary_search(&span.head.parent).is_err()
    }
}

impl Ring {
    /// True once the trace is closed.
    fn write_open(&self, open: &mut OpenTrace, style: Style, out: &mut Vec<u8>, full: usize) -> bool {
        let segment = self.segment(open.segment);
        if let Some(segment) = segment {
            let mut attributes = Vec::with_capacity(16);
            let dictionary = &segment.dictionaries.attributes;
            while let Some(&record) = open.records.get(open.next) {
                if out.len() >= full {
                    return false;
                }
                attributes.clear();
                let span = segment.span(record);
                let tail = span.attributes(&mut attributes);
                if matches!(style, Style::Otlp { raw: false } | Style::Legacy { raw: false }) {
                    attributes.sort_by(|a, b| dictionary.key(*a).cmp(dictionary.key(*b)));
                }
                let shown = Shown { segment, span, attributes: &attributes, tail };
                match style {
                    Style::Otlp { raw } => otlp_json::span(out, open, &shown, raw),
                    Style::Legacy { raw } => legacy_json::span(out, open, &shown, raw),
                    Style::Summary => {}
                }
                open.next += 1;
            }
        }
        match style {
            Style::Otlp { .. } => otlp_json::close(out, open),
            Style::Legacy { raw } => legacy_json::close(out, open, segment, raw),
            Style::Summary => {}
        }
        true
    }
}

/// A span, decoded for a writer.
pub(super) struct Shown<'a> {
    pub segment: &'a Segment,
    pub span: Span<'a>,
    pub attributes: &'a [Attribute<'a>],
    pub tail: Tail<'a>,
}
