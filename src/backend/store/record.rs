//! One span as bytes: a fixed head that graph walks read without decoding, then numbers of variable length.
//!
//! ```text
//! previous record of the trace u32 | span id u64 | parent id u64 | group u32 | flags u8
//! start − base, zigzag | duration | name | n, attributes | [extra] | [n, events] | [n, links]
//! ```
//! Events and links keep their OTLP bytes: few spans have any, and both are read only when shown. What the arena holds was
//! written by [`Draft::encode`], so the readers below need not report errors; on anything else they read zeros.

use super::dictionary::{Attribute, Attributes, Words};
use crate::backend::wire::{self, Fields, Value, put_bytes, put_varint, unzigzag, zigzag};

/// No record.
pub(super) const NONE: u32 = u32::MAX;
const HEAD: usize = 25;
/// What a name and its operation take, roughly; together they may take a tenth of a segment.
const NAME: usize = 128;
const LONG_NAME: usize = 512;

const KIND: u8 = 0b0000_0111;
const STATUS: u8 = 0b0001_1000;
const EXTRA: u8 = 0b0010_0000;
const EVENTS: u8 = 0b0100_0000;
const LINKS: u8 = 0b1000_0000;

#[inline]
pub(super) fn number(rest: &mut &[u8]) -> u64 {
    wire::varint(rest).unwrap_or_default()
}

#[inline]
pub(super) fn bytes<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = number(rest) as usize;
    wire::take(rest, length).unwrap_or_default()
}

/// A span on its way in: the OTLP message, decoded one level.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    pub span_id: u64,
    pub parent: u64,
    pub start: u64,
    pub end: u64,
    pub name: &'a [u8],
    kind: u8,
    pub status: u8,
    message: &'a [u8],
    trace_state: &'a [u8],
    flags: u32,
    dropped: [u64; 3],
    attributes: u32,
    events: u32,
    links: u32,
}

impl<'a> Draft<'a> {
    /// Decodes a checked `Span` message; `None` where its own id is not eight bytes or zero.
    #[inline]
    pub fn decode(message: &'a [u8]) -> Option<Self> {
        let mut draft = Draft::default();
        for (number, value) in Fields::new(message) {
            match (number, value) {
                (9, _) => draft.attributes += 1,
                (2, Value::Bytes(id)) => draft.span_id = u64::from_be_bytes(id.try_into().ok()?),
                (4, Value::Bytes([])) => draft.parent = 0,
                (4, Value::Bytes(id)) => draft.parent = u64::from_be_bytes(id.try_into().ok()?),
                (3, Value::Bytes(text)) => draft.trace_state = text,
                (5, Value::Bytes(name)) => draft.name = name,
                (6, Value::Varint(kind)) => draft.kind = if kind <= 5 { kind as u8 } else { 0 },
                (7, Value::Fixed64(time)) => draft.start = time,
                (8, Value::Fixed64(time)) => draft.end = time,
                (10, Value::Varint(count)) => draft.dropped[0] = count,
                (11, _) => draft.events += 1,
                (12, Value::Varint(count)) => draft.dropped[1] = count,
                (13, _) => draft.links += 1,
                (14, Value::Varint(count)) => draft.dropped[2] = count,
                (15, Value::Bytes(status)) => {
                    for (number, value) in Fields::new(status) {
                        match (number, value) {
                            (2, Value::Bytes(text)) => draft.message = text,
                            (3, Value::Varint(code)) => draft.status = if code <= 2 { code as u8 } else { 0 },
                            _ => {}
                        }
                    }
                }
                (16, Value::Fixed32(flags)) => draft.flags = flags,
                _ => {}
            }
        }
        if draft.name.is_empty() {
            // As Jaeger names it: a span that cannot be searched for helps nobody.
            draft.name = b"empty-span-name";
        }
        // A span that ends before it starts took no time, whatever two clocks say.
        draft.end = draft.end.max(draft.start);
        (draft.span_id != 0).then_some(draft)
    }

    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Appends the record. Returns the number of the name, where the dictionary has it.
    pub fn encode(&self, message: &[u8], place: Place, dictionaries: &mut Dictionaries, arena: &mut Vec<u8>) -> Option<u32> {
        let extra = !self.message.is_empty() || !self.trace_state.is_empty() || self.flags != 0 || self.dropped != [0; 3];
        let mut flags = self.kind | self.status << 3;
        flags |= if extra { EXTRA } else { 0 };
        flags |= if self.events > 0 { EVENTS } else { 0 };
        flags |= if self.links > 0 { LINKS } else { 0 };
        let mut head = [0u8; HEAD];
        head[0..4].copy_from_slice(&place.previous.to_le_bytes());
        head[4..12].copy_from_slice(&self.span_id.to_le_bytes());
        head[12..20].copy_from_slice(&self.parent.to_le_bytes());
        head[20..24].copy_from_slice(&place.group.to_le_bytes());
        head[24] = flags;
        arena.extend_from_slice(&head);
        put_varint(arena, zigzag(self.start.wrapping_sub(place.base).cast_signed()));
        put_varint(arena, self.end - self.start);
        let name = if self.name.len() <= LONG_NAME { dictionaries.names.intern(self.name, dictionaries.max_names) } else { None };
        match name {
            Some(name) => put_varint(arena, u64::from(name) << 1),
            None => {
                put_varint(arena, 1);
                put_bytes(arena, self.name);
            }
        }
        put_varint(arena, u64::from(self.attributes));
        for (number, value) in Fields::new(message) {
            if let (9, Value::Bytes(attribute)) = (number, value) {
                dictionaries.attributes.encode(attribute, arena);
            }
        }
        if extra {
            put_bytes(arena, self.message);
            put_bytes(arena, self.trace_state);
            put_varint(arena, u64::from(self.flags));
            self.dropped.iter().for_each(|&count| put_varint(arena, count));
        }
        for (field, count) in [(11, self.events), (13, self.links)] {
            if count > 0 {
                put_varint(arena, u64::from(count));
                for (number, value) in Fields::new(message) {
                    if let Value::Bytes(bytes) = value
                        && number == field
                    {
                        put_bytes(arena, bytes);
                    }
                }
            }
        }
        name
    }
}

/// Where in its segment a record goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub previous: u32,
    pub group: u32,
    pub base: u64,
}

/// The dictionaries that records refer to.
#[derive(Debug, Default)]
pub(super) struct Dictionaries {
    pub names: Words,
    pub attributes: Attributes,
    max_names: usize,
}

impl Dictionaries {
    /// For a segment of `share` bytes.
    pub fn new(share: usize) -> Self {
        Self { names: Words::default(), attributes: Attributes::new(share), max_names: share / 10 / NAME }
    }
}

/// The fixed head of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub previous: u32,
    pub id: u64,
    pub parent: u64,
    pub group: u32,
    flags: u8,
}

/// All of a record but its link to the previous one: equal for a span that an exporter sent twice, for what a segment's
/// dictionaries take and what they leave with the span does not change.
pub(super) fn content<'a>(arena: &'a [u8], at: u32, dictionaries: &'a Dictionaries) -> &'a [u8] {
    let following = Span::read(arena, at, 0, dictionaries).following().len();
    arena.get(at as usize + size_of::<u32>()..arena.len() - following).unwrap_or_default()
}

impl Head {
    #[inline]
    pub fn read(arena: &[u8], at: u32) -> (Self, &[u8]) {
        let record = arena.get(at as usize..).unwrap_or_default();
        let Some((head, rest)) = record.split_first_chunk::<HEAD>() else {
            return (Self { previous: NONE, id: 0, parent: 0, group: 0, flags: 0 }, &[]);
        };
        let word = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let long = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        (Self { previous: word(0), id: long(4), parent: long(12), group: word(20), flags: head[24] }, rest)
    }
}

/// A stored span, decoded as far as every reader needs it; the rest on demand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub head: Head,
    pub start: u64,
    pub duration: u64,
    pub name: Name<'a>,
    count: u64,
    rest: &'a [u8],
    dictionaries: &'a Dictionaries,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Name<'a> {
    Word(u32),
    Own(&'a [u8]),
}

/// The parts that few spans have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail<'a> {
    pub message: &'a [u8],
    pub trace_state: &'a [u8],
    pub flags: u64,
    /// Attributes, events and links that the SDK dropped.
    pub dropped: [u64; 3],
    pub events: Messages<'a>,
    pub links: Messages<'a>,
}

/// Messages with their lengths before them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Messages<'a> {
    pub count: u64,
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.count = self.count.checked_sub(1)?;
        Some(bytes(&mut self.rest))
    }
}

impl<'a> Span<'a> {
    #[inline]
    pub fn read(arena: &'a [u8], at: u32, base: u64, dictionaries: &'a Dictionaries) -> Self {
        let (head, mut rest) = Head::read(arena, at);
        let start = base.wrapping_add(unzigzag(number(&mut rest)).cast_unsigned());
        let duration = number(&mut rest);
        let code = number(&mut rest);
        let name = if code & 1 == 0 { Name::Word((code >> 1) as u32) } else { Name::Own(bytes(&mut rest)) };
        let count = number(&mut rest);
        Self { head, start, duration, name, count, rest, dictionaries }
    }

    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.duration)
    }

    pub fn kind(&self) -> u8 {
        self.head.flags & KIND
    }

    pub fn status(&self) -> u8 {
        (self.head.flags & STATUS) >> 3
    }

    pub fn name(&self) -> &'a [u8] {
        match self.name {
            Name::Word(word) => self.dictionaries.names.get(word),
            Name::Own(name) => name,
        }
    }

    /// Whether an attribute is what is looked for.
    #[inline]
    pub fn any_attribute(&self, mut is_it: impl FnMut(Attribute<'a>) -> bool) -> bool {
        let mut rest = self.rest;
        (0..self.count).any(|_| is_it(self.dictionaries.attributes.decode(&mut rest)))
    }

    pub fn has_events_or_links(&self) -> bool {
        self.head.flags & (EVENTS | LINKS) != 0
    }

    /// Calls `each` with every attribute in the order of the wire, and returns what follows them.
    #[inline]
    fn walk(&self, mut each: impl FnMut(Attribute<'a>)) -> &'a [u8] {
        let mut rest = self.rest;
        for _ in 0..self.count {
            each(self.dictionaries.attributes.decode(&mut rest));
        }
        rest
    }

    /// The attributes, appended to `out`, with the tail behind them.
    #[inline]
    pub fn attributes(&self, out: &mut Vec<Attribute<'a>>) -> Tail<'a> {
        self.tail(self.walk(|attribute| out.push(attribute))).0
    }

    /// The tail at `rest`, and what follows it.
    #[inline]
    fn tail(&self, mut rest: &'a [u8]) -> (Tail<'a>, &'a [u8]) {
        let mut tail = Tail::default();
        if self.head.flags & EXTRA != 0 {
            tail.message = bytes(&mut rest);
            tail.trace_state = bytes(&mut rest);
            tail.flags = number(&mut rest);
            tail.dropped = [number(&mut rest), number(&mut rest), number(&mut rest)];
        }
        for (flag, messages) in [(EVENTS, &mut tail.events), (LINKS, &mut tail.links)] {
            if self.head.flags & flag != 0 {
                let count = number(&mut rest);
                *messages = Messages { count, rest };
                for _ in 0..count {
                    bytes(&mut rest);
                }
            }
        }
        (tail, rest)
    }

    /// What follows the record in the arena.
    fn following(&self) -> &'a [u8] {
        self.tail(self.walk(|_| {})).1
    }
}
