//! The way in: checked OTLP bytes to records.

use std::borrow::Cow;
use std::sync::RwLockWriteGuard;

use super::record::Draft;
use super::segment::{Segment, TraceId};
use super::{Home, Ring, Stats, Store, logs};
use crate::backend::attribute::repeated;
use crate::backend::otlp::check;
use crate::backend::wire::{Fields, Malformed, Value};

/// So many spans go in before readers get their turn.
const SPANS_A_TURN: usize = 512;
const TOO_LARGE: &str = "the trace is too large for the store";

/// What became of a well-formed request: all was stored but what is counted here as rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    pub stored: u64,
    pub rejected: u64,
    /// Why, for the one who sent it; empty where nothing was rejected.
    pub reason: Cow<'static, str>,
}

impl Accepted {
    fn reject(&mut self, reason: &'static str) {
        self.rejected += 1;
        self.reason = Cow::Borrowed(reason);
    }
}

impl Store {
    /// Stores the spans of an `ExportTraceServiceRequest` in its protobuf form: all of them or, if it is malformed, none.
    pub fn ingest_traces(&self, body: &[u8]) -> Result<Accepted, Malformed> {
        check::traces(body)?;
        Ok(self.write_all(body, |turn, group, message| turn.span(group, message)))
    }

    /// Stores the records of an `ExportLogsServiceRequest` in its protobuf form.
    pub fn ingest_logs(&self, body: &[u8]) -> Result<Accepted, Malformed> {
        check::logs(body)?;
        Ok(self.write_all(body, |turn, group, message| turn.log(group, message)))
    }

    /// Traces and logs have the same frame: resources, in them scopes, in them what `store` takes.
    fn write_all(&self, body: &[u8], store: impl Fn(&mut Turn<'_>, &mut GroupCache<'_>, &[u8])) -> Accepted {
        let mut turn = Turn::new(self, Accepted::default());
        for resource_message in repeated(body, 1) {
            // It may come after what it describes.
            let resource = merged(resource_message, 1);
            for scope_message in repeated(resource_message, 2) {
                let scope = merged(scope_message, 1);
                let mut group = GroupCache { resource: &resource, scope: &scope, known: None };
                for message in repeated(scope_message, 2) {
                    if turn.left == 0 {
                        turn = turn.yield_to_readers();
                    }
                    turn.left -= 1;
                    store(&mut turn, &mut group, message);
                }
            }
        }
        turn.finish()
    }
}

/// A writer's stay under the lock.
struct Turn<'s> {
    store: &'s Store,
    ring: RwLockWriteGuard<'s, Ring>,
    /// The newest segment when the turn began.
    first: u32,
    left: usize,
    accepted: Accepted,
    /// Freed once the lock is given back.
    evicted: Vec<Segment>,
    /// The trace of the message before: most often it is this one's too.
    last: Option<(TraceId, Home)>,
    /// Bytes since room was made last.
    written: usize,
}

/// The group that the messages of one scope have in the segment that was used last.
struct GroupCache<'a> {
    resource: &'a [u8],
    scope: &'a [u8],
    known: Option<(u32, u32)>,
}

impl GroupCache<'_> {
    fn number(&mut self, segment: &mut Segment) -> u32 {
        match self.known {
            Some((number, group)) if number == segment.number => group,
            _ => {
                let group = segment.group(self.resource, self.scope);
                self.known = Some((segment.number, group));
                group
            }
        }
    }
}

impl<'s> Turn<'s> {
    fn new(store: &'s Store, accepted: Accepted) -> Self {
        let mut ring = store.write();
        let first = ring.newest();
        Self { store, ring, first, left: SPANS_A_TURN, accepted, evicted: Vec::new(), last: None, written: 0 }
    }

    fn yield_to_readers(self) -> Self {
        let store = self.store;
        Turn::new(store, self.finish())
    }

    fn finish(self) -> Accepted {
        let Self { store, mut ring, accepted, mut evicted, first, .. } = self;
        let newest = ring.newest();
        evicted.append(&mut ring.make_room(0));
        let closed = newest != first || newest != ring.newest();
        drop(ring);
        drop(evicted);
        if closed {
            store.sum_up_settled();
        }
        accepted
    }

    fn span(&mut self, group: &mut GroupCache<'_>, message: &[u8]) {
        let Some(id) = id_field(message, 1) else {
            self.ring.stats.rejected_spans += 1;
            return self.accepted.reject("trace id is missing, zero or not 16 bytes long");
        };
        let Some(draft) = Draft::decode(message) else {
            self.ring.stats.rejected_spans += 1;
            return self.accepted.reject("span id is missing, zero or not 8 bytes long, or its parent's is not");
        };
        let stored = self.store_in(id, group, message, |segment, stats, entry, group| {
            if segment.entries[entry as usize].spans == 0 {
                stats.traces += 1;
            }
            segment.add_span(entry, group, &draft, message);
        });
        self.accept(stored);
    }

    fn log(&mut self, group: &mut GroupCache<'_>, message: &[u8]) {
        let Some(id) = id_field(message, 9) else {
            self.ring.stats.logs_without_trace += 1;
            return;
        };
        let stored = self.store_in(id, group, message, |segment, _, entry, group| logs::add(segment, entry, group, message));
        self.accept(stored);
    }

    fn accept(&mut self, stored: Result<(), &'static str>) {
        match stored {
            Ok(()) => self.accepted.stored += 1,
            Err(reason) => {
                self.ring.stats.dropped += 1;
                self.accepted.reject(reason);
            }
        }
    }

    /// Stores a message with its trace, wherever that began, and counts what the trace takes. Only a trace that takes too
    /// much is refused, never its neighbours in the segment.
    #[inline]
    fn store_in(
        &mut self,
        id: TraceId,
        group: &mut GroupCache<'_>,
        message: &[u8],
        add: impl FnOnce(&mut Segment, &mut Stats, u32, u32),
    ) -> Result<(), &'static str> {
        let mut needed = message.len();
        if group.known.is_none() {
            // A segment keeps a resource as it came and as JSON.
            needed += group.resource.len() * 3 + group.scope.len();
        }
        if self.written + needed > self.ring.share {
            self.written = 0;
            self.last = None;
            if needed <= self.ring.largest_trace {
                self.evicted.append(&mut self.ring.make_room(needed));
            }
        }
        let home = self.home(id);
        let Ring { segments, stats, largest_trace, .. } = &mut *self.ring;
        let first = segments.front().map_or(0, |segment| segment.number);
        let Some(segment) = segments.get_mut(home.segment.wrapping_sub(first) as usize) else { return Err(TOO_LARGE) };
        if segment.entries[home.entry as usize].bytes as usize + needed > *largest_trace {
            return Err(TOO_LARGE);
        }
        // A record is shorter than its message, but for a head and for codes that are longer than the emptiest attributes.
        if segment.arena.len() + message.len() * 3 + 128 > u32::MAX as usize {
            return Err("the part of the store that the trace began in is full");
        }
        let before = segment.size();
        let group = group.number(segment);
        add(segment, stats, home.entry, group);
        let grown = segment.size() - before;
        let bytes = &mut segment.entries[home.entry as usize].bytes;
        *bytes = bytes.saturating_add(grown as u32);
        self.written += grown;
        Ok(())
    }

    /// Where the trace is kept: in the newest segment, if it is new.
    #[inline]
    fn home(&mut self, id: TraceId) -> Home {
        if let Some((last, home)) = self.last
            && last == id
        {
            return home;
        }
        let ring = &mut *self.ring;
        let home = match ring.homes.get(&id) {
            Some(&home) => home,
            None => {
                if ring.is_full() {
                    self.evicted.append(&mut ring.make_room(0));
                }
                let number = ring.newest();
                let entry = ring.segment_mut(number).map_or(0, |segment| segment.add_entry(id));
                let home = Home { segment: number, entry };
                ring.homes.insert(id, home);
                home
            }
        };
        self.last = Some((id, home));
        home
    }
}

/// A submessage; one that comes in several parts is what all of them are one after the other, as everywhere in protobuf.
fn merged(message: &[u8], field: u32) -> Cow<'_, [u8]> {
    let mut parts = repeated(message, field);
    let mut merged = Cow::Borrowed(parts.next().unwrap_or_default());
    for part in parts {
        merged.to_mut().extend_from_slice(part);
    }
    merged
}

/// A trace id that is 16 bytes long and not zero.
#[inline]
fn id_field(message: &[u8], wanted: u32) -> Option<TraceId> {
    for (number, value) in Fields::new(message) {
        if let Value::Bytes(bytes) = value
            && number == wanted
        {
            let id = u128::from_be_bytes(bytes.try_into().ok()?);
            return (id != 0).then_some(((id >> 64) as u64, id as u64));
        }
    }
    None
}
