//! A stretch of the ring: the traces that began in it, with all the words they use.
//!
//! Whatever a trace needs to be found and written lives in its segment, so that dropping the oldest segment is all that
//! eviction takes, and no dictionary outgrows what it describes.

use std::sync::Mutex;

use super::dependencies::Edge;
use super::dictionary::Words;
use super::index::{Index, hash};
use super::record::{self, Dictionaries, Draft, NONE, Place, Span};
use crate::backend::attribute::{self, Any};
use crate::backend::wire::{Fields, Value};

/// In a trace of up to so many spans, one that comes a second time is not stored. In a larger one readers leave it out, but
/// orders and dependencies count it twice.
pub(super) const SHORT: u32 = 64;

/// High half and low half.
pub(super) type TraceId = (u64, u64);

/// What is known of a trace without reading its spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub id: TraceId,
    /// The newest record of the trace; each leads to the one before.
    pub last: u32,
    pub last_log: u32,
    pub spans: u32,
    pub errors: u32,
    /// How far the segment grew by this trace.
    pub bytes: u32,
    pub start: u64,
    pub end: u64,
}

impl Entry {
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// A span as the index of its service knows it: enough to rule most of them out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Posting {
    pub entry: u32,
    pub record: u32,
    /// Microseconds, rounded down.
    pub duration_us: u32,
    /// Number of the name, [`NONE`] where the dictionary was full.
    pub name: u32,
}

/// Resource and scope of a span, and the service they mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub resource: u32,
    pub scope: u32,
    pub service: u32,
}

#[derive(Debug, Default)]
pub(super) struct Service {
    pub postings: Vec<Posting>,
    /// Operations, as name and kind.
    operations: Vec<(u32, u8)>,
}

#[derive(Debug, Default)]
pub(super) struct Segment {
    pub number: u32,
    pub arena: Vec<u8>,
    /// The first time that came in: all others are kept as differences from it.
    pub base: Option<u64>,
    pub entries: Vec<Entry>,
    pub dictionaries: Dictionaries,
    /// Whole `Resource` messages, whole `InstrumentationScope` messages, and the resources' OTLP JSON with sorted attributes.
    pub resources: Words,
    pub resources_json: Vec<Vec<u8>>,
    pub scopes: Words,
    pub groups: Vec<Group>,
    group_index: Index,
    pub service_names: Words,
    pub services: Vec<Service>,
    operation_index: Index,
    /// Bytes of postings, operations, groups and entries: counted as they come, for there may be many vectors.
    small: usize,
    pub spans: u64,
    pub logs: u64,
    pub edges: Mutex<Option<(usize, Vec<Edge>)>>,
}

/// A vector that grows keeps up to twice what it holds; most of that is never touched and so never resident.
const fn with_slack(size: usize) -> usize {
    size + size / 4
}

impl Segment {
    /// A segment that is to be closed at about `share` bytes.
    pub fn new(number: u32, share: usize) -> Self {
        // Reserved but untouched memory is not resident; growing step by step would copy the arena again and again.
        Self { number, arena: Vec::with_capacity(share), dictionaries: Dictionaries::new(share), ..Self::default() }
    }

    /// What this segment keeps resident, estimated from above.
    pub fn size(&self) -> usize {
        let dictionaries = self.dictionaries.names.size() + self.dictionaries.attributes.size();
        let shared = self.resources.size() * 3 + self.scopes.size() + self.service_names.size();
        self.arena.len() + self.small + dictionaries + shared
    }

    pub fn add_entry(&mut self, id: TraceId) -> u32 {
        let number = self.entries.len() as u32;
        self.entries.push(Entry { id, last: NONE, last_log: NONE, spans: 0, errors: 0, bytes: 0, start: u64::MAX, end: 0 });
        // The entry, and its place in the index over all segments.
        self.small += with_slack(size_of::<Entry>()) + 56;
        number
    }

    /// The group of a resource and a scope, given as messages.
    pub fn group(&mut self, resource: &[u8], scope: &[u8]) -> u32 {
        // Neither dictionary has a limit but four billion: their bytes count, and a full segment is closed.
        let resource_number = self.resources.intern(resource, NONE as usize - 1).unwrap_or_default();
        let scope = self.scopes.intern(scope, NONE as usize - 1).unwrap_or_default();
        if resource_number as usize == self.resources_json.len() {
            let mut json = Vec::new();
            write_resource(&mut json, resource, true);
            self.small += json.len() + 48;
            self.resources_json.push(json);
        }
        let mut key = [0u8; 8];
        key[..4].copy_from_slice(&resource_number.to_le_bytes());
        key[4..].copy_from_slice(&scope.to_le_bytes());
        let hash = hash(&key);
        let same = |number: u32| {
            let group = &self.groups[number as usize];
            (group.resource, group.scope) == (resource_number, scope)
        };
        if let Some(number) = self.group_index.find(hash, same) {
            return number;
        }
        let number = self.groups.len() as u32;
        let service = self.service_names.intern(service_name(resource), NONE as usize - 1).unwrap_or_default();
        if service as usize == self.services.len() {
            self.services.push(Service::default());
            // With the first few postings and operations, each an allocation.
            self.small += with_slack(size_of::<Service>()) + 128;
        }
        self.groups.push(Group { resource: resource_number, scope, service });
        self.group_index.insert(hash, number);
        self.small += with_slack(size_of::<Group>() + 16);
        number
    }

    /// Adds a span, unless the trace has just this one: then it was exported twice.
    pub fn add_span(&mut self, entry_number: u32, group: u32, draft: &Draft<'_>, message: &[u8]) {
        let entry = &self.entries[entry_number as usize];
        let same_id = entry.spans <= SHORT && self.records(entry).any(|record| self.id_of(record) == draft.span_id);
        let base = *self.base.get_or_insert(draft.start);
        let record = self.arena.len() as u32;
        let place = Place { previous: self.entries[entry_number as usize].last, group, base };
        let name = draft.encode(message, place, &mut self.dictionaries, &mut self.arena);
        if same_id && self.is_known(record, draft.span_id, entry_number) {
            self.arena.truncate(record as usize);
            return;
        }
        let entry = &mut self.entries[entry_number as usize];
        entry.last = record;
        entry.spans += 1;
        entry.errors += u32::from(draft.status == 2);
        entry.start = entry.start.min(draft.start);
        entry.end = entry.end.max(draft.end);
        self.spans += 1;
        let service_number = self.groups[group as usize].service;
        let service = &mut self.services[service_number as usize];
        let duration_us = u32::try_from((draft.end - draft.start) / 1_000).unwrap_or(u32::MAX);
        service.postings.push(Posting { entry: entry_number, record, duration_us, name: name.unwrap_or(NONE) });
        self.small += with_slack(size_of::<Posting>());
        if let Some(name) = name {
            self.add_operation(service_number, name, draft.kind());
        }
    }

    /// Whether one of the trace's records has the content of a record that is not linked yet.
    #[cold]
    fn is_known(&self, new: u32, id: u64, entry_number: u32) -> bool {
        let content = |record| record::content(&self.arena, record, &self.dictionaries);
        let mut records = self.records(&self.entries[entry_number as usize]);
        records.any(|record| self.id_of(record) == id && content(record) == content(new))
    }

    fn id_of(&self, record: u32) -> u64 {
        record::Head::read(&self.arena, record).0.id
    }

    #[inline]
    fn add_operation(&mut self, service: u32, name: u32, kind: u8) {
        // Mixed by hand: hashing nine bytes as bytes would cost more than the look-up.
        let key = (u64::from(service) << 35 | u64::from(name) << 3 | u64::from(kind)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = (key >> 32) as u32;
        // The number says where to look: the service above, the position in its list below.
        let same = |number: u32| {
            let (of, position) = (number >> 12, number as usize & 0xfff);
            of == service && self.services[of as usize].operations[position] == (name, kind)
        };
        if self.operation_index.find(hash, same).is_none() {
            let operations = &mut self.services[service as usize].operations;
            // Twelve bits of position, nineteen of service: what comes beyond is found by search, but not listed.
            if operations.len() < 1 << 12 && service < 1 << 19 {
                let number = service << 12 | operations.len() as u32;
                operations.push((name, kind));
                self.operation_index.insert(hash, number);
                self.small += 32;
            }
        }
    }

    pub fn span(&self, record: u32) -> Span<'_> {
        Span::read(&self.arena, record, self.base.unwrap_or_default(), &self.dictionaries)
    }

    /// The records of a trace, newest first.
    pub fn records(&self, entry: &Entry) -> impl Iterator<Item = u32> + use<'_> {
        let first = (entry.last != NONE).then_some(entry.last);
        std::iter::successors(first, |&record| {
            let previous = record::Head::read(&self.arena, record).0.previous;
            (previous != NONE).then_some(previous)
        })
    }

    pub fn service_name(&self, group: u32) -> &[u8] {
        self.service_names.get(self.groups[group as usize].service)
    }

    /// Name and kind of every operation of a service.
    pub fn operations(&self, service: &[u8]) -> impl Iterator<Item = (&[u8], u8)> {
        let operations = self.service_names.find(service).map(|number| self.services[number as usize].operations.as_slice());
        operations.unwrap_or_default().iter().map(|&(name, kind)| (self.dictionaries.names.get(name), kind))
    }
}

/// The names that Jaeger gives to resources without a usable one.
pub(super) fn service_name(resource: &[u8]) -> &[u8] {
    for (key, any) in attribute::elements(resource).map(attribute::key_value) {
        if key == b"service.name" {
            return match Any::decode(any) {
                Any::Text(b"") => b"empty-service-name",
                Any::Text(name) => name,
                _ => b"service-name-wrong-type",
            };
        }
    }
    b"missing-service-name"
}

/// `{"attributes":[…]}`
pub(super) fn write_resource(out: &mut Vec<u8>, resource: &[u8], sorted: bool) {
    let mut attributes: Vec<_> = attribute::elements(resource).map(attribute::key_value).collect();
    let named = attributes
        .iter()
        .any(|(key, any)| *key == b"service.name" && matches!(Any::decode(any), Any::Text(name) if !name.is_empty()));
    // A resource without a service gets the name that it is searched by.
    let mut made_up = Vec::new();
    if !named {
        crate::backend::wire::put_field(&mut made_up, 1, service_name(resource));
        attributes.retain(|(key, _)| *key != b"service.name");
        attributes.push((b"service.name", &made_up));
    }
    if sorted {
        attributes.sort_by_key(|(key, _)| *key);
    }
    out.extend_from_slice(b"{\"attributes\":[");
    attribute::list(out, attributes.iter(), |out, (key, any)| attribute::otlp(out, key, any));
    out.push(b']');
    let dropped = Fields::new(resource).filter_map(|field| if let (2, Value::Varint(count)) = field { Some(count) } else { None });
    if let Some(count) = dropped.last().filter(|&count| count > 0) {
        out.extend_from_slice(b",\"droppedAttributesCount\":");
        crate::backend::json::unsigned(out, count);
    }
    out.push(b'}');
}
