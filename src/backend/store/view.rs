//! Traces as they leave: records in order, written as JSON chunk by chunk.
//!
//! A writer holds no lock between chunks. What is evicted meanwhile is simply missing from the answer, which stays valid.

use rustc_hash::FxHashMap;

use super::dictionary::Attribute;
use super::record::{Span, Tail, content};
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
    /// Their places in that order.
    places: FxHashMap<u32, u32>,
    /// Resource and scope of the span before.
    pub group: Option<(u32, u32)>,
    /// The legacy form's processes, once a part of its spans is written: they come last, when the segment may be gone.
    pub processes: Vec<u8>,
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
        let (records, ids) = once(segment, entry);
        let mut open = Self {
            segment: segment.number,
            id: entry.id,
            records,
            next: 0,
            ids,
            resources: Vec::new(),
            places: FxHashMap::default(),
            group: None,
            processes: Vec::new(),
        };
        open.sort(segment);
        open
    }

    /// Resources and their scopes stay together, in order of appearance.
    fn sort(&mut self, segment: &Segment) {
        // Group to place of its resource and place of its own.
        let mut ranks: FxHashMap<u32, (u32, u32)> = FxHashMap::default();
        let mut ranked: Vec<((u32, u32), u32)> = Vec::with_capacity(self.records.len());
        for &record in &self.records {
            let number = segment.span(record).head.group;
            let next = ranks.len() as u32;
            let rank = *ranks.entry(number).or_insert_with(|| {
                let resource = segment.groups[number as usize].resource;
                let place = *self.places.entry(resource).or_insert_with(|| {
                    self.resources.push(resource);
                    self.resources.len() as u32 - 1
                });
                (place, next)
            });
            ranked.push((rank, record));
        }
        // A resource with several scopes: its scopes move up to its first.
        ranked.sort_by_key(|&(rank, _)| rank);
        self.records = ranked.into_iter().map(|(_, record)| record).collect();
    }

    /// The number that Jaeger's own JSON gives to the process of a resource.
    pub fn process(&self, resource: u32) -> u64 {
        self.places.get(&resource).map_or(1, |&place| u64::from(place) + 1)
    }

    pub fn is_first(&self) -> bool {
        self.next == 0
    }

    /// Whether a span names a parent that the trace does not have.
    pub fn is_orphan(&self, span: &Span<'_>) -> bool {
        span.head.parent != 0 && self.ids.binary_search(&span.head.parent).is_err()
    }
}

/// The records of a trace, oldest first, what came twice left out; and all span ids, sorted.
pub(super) fn once(segment: &Segment, entry: &Entry) -> (Vec<u32>, Vec<u64>) {
    let mut records: Vec<u32> = segment.records(entry).collect();
    records.reverse();
    let mut ids: Vec<(u64, u32)> = records.iter().map(|&record| (segment.span(record).head.id, record)).collect();
    ids.sort_unstable();
    let mut twice: Vec<u32> = Vec::new();
    for same_id in ids.chunk_by(|a, b| a.0 == b.0).filter(|same_id| same_id.len() > 1) {
        let content = |&(_, record): &(u64, u32)| (content(&segment.arena, record, &segment.dictionaries), record);
        let mut contents: Vec<_> = same_id.iter().map(content).collect();
        contents.sort_unstable();
        twice.extend(contents.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1));
    }
    if !twice.is_empty() {
        twice.sort_unstable();
        records.retain(|record| twice.binary_search(record).is_err());
    }
    (records, ids.into_iter().map(|(id, _)| id).collect())
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
                    if let Style::Legacy { raw } = style
                        && open.processes.is_empty()
                    {
                        open.processes = legacy_json::processes(open, segment, raw);
                    }
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::backend::wire::put_field;

    const ID: u128 = 7;

    /// An export request of one message: a resource of `service`, and whatever `message` is.
    fn request(service: &str, messages: &[Vec<u8>]) -> Vec<u8> {
        let field = |number, bytes: &[u8]| {
            let mut out = Vec::new();
            put_field(&mut out, number, bytes);
            out
        };
        let value = field(1, service.as_bytes());
        let attribute = [field(1, b"service.name"), field(2, &value)].concat();
        let scope: Vec<u8> = messages.iter().flat_map(|message| field(2, message)).collect();
        field(1, &[field(1, &field(1, &attribute)), field(2, &scope)].concat())
    }

    fn span(trace: u128, number: u64, name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put_field(&mut out, 1, &trace.to_be_bytes());
        put_field(&mut out, 2, &number.to_be_bytes());
        put_field(&mut out, 5, name.as_bytes());
        out
    }

    /// A store with a trace of a thousand spans and as many log lines.
    fn filled() -> Store {
        let store = Store::new(4 << 20);
        let spans: Vec<_> = (1..=1_000).map(|number| span(ID, number, "work")).collect();
        for service in ["shop", "stock"] {
            store.ingest_traces(&request(service, &spans)).unwrap();
        }
        let mut line = Vec::new();
        put_field(&mut line, 9, &ID.to_be_bytes());
        store.ingest_logs(&request("shop", &vec![line; 1_000])).unwrap();
        store
    }

    /// Fills the store with others until the trace is gone.
    fn evict(store: &Store) {
        let name = "x".repeat(100_000);
        for trace in 100..200 {
            store.ingest_traces(&request("other", &[span(trace, 1, &name)])).unwrap();
        }
        assert!(store.find(((ID >> 64) as u64, ID as u64)).is_none());
    }

    /// What a reader gets whose trace is evicted after the first chunk.
    fn cut_short(store: &Store, mut more: impl FnMut(&mut Vec<u8>) -> bool) -> Value {
        let mut answer = b"[".to_vec();
        assert!(more(&mut answer), "the first chunk does not hold it all");
        evict(store);
        while more(&mut answer) {}
        answer.push(b']');
        serde_json::from_slice(&answer).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer)))
    }

    #[test]
    fn log_lines_that_are_evicted_while_they_are_read_are_missing_and_no_more() {
        let store = filled();
        let mut lines = store.log_lines((0, ID as u64)).unwrap();
        let answer = cut_short(&store, |out| {
            let full = out.len() + 1_000;
            store.write_log_lines(&mut lines, out, full)
        });
        let count = answer.as_array().unwrap().len();
        assert!((1..1_000).contains(&count), "{count}");
    }

    #[test]
    fn a_trace_that_is_evicted_while_it_is_read_still_has_its_processes() {
        for style in [Style::Otlp { raw: false }, Style::Legacy { raw: false }, Style::Legacy { raw: true }] {
            let store = filled();
            let mut writer = TraceWriter::new(style, store.all());
            let answer = cut_short(&store, |out| {
                let full = out.len() + 1_000;
                store.write_traces(&mut writer, out, full)
            });
            let trace = &answer[0];
            if let Style::Otlp { .. } = style {
                let spans = trace["scopeSpans"][0]["spans"].as_array().unwrap().len();
                assert!((1..2_000).contains(&spans), "{spans}");
                continue;
            }
            let spans = trace["spans"].as_array().unwrap();
            assert!((1..2_000).contains(&spans.len()), "{}", spans.len());
            for span in spans {
                let process = &trace["processes"][span["processID"].as_str().unwrap()];
                assert_eq!(process["serviceName"], "shop");
            }
            assert!(trace["warnings"][0].as_str().unwrap().contains("evicted"), "{}", trace["warnings"]);
        }
    }
}
