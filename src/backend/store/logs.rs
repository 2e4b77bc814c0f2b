//! Log records, kept in their trace's segment and chained like its spans.
//!
//! ```text
//! previous record u32 | span id u64 | group u32 | time − base, zigzag | severity | body | severity text | n, attributes
//! ```

use super::Store;
use super::record::{NONE, bytes, number};
use super::segment::{Entry, Segment, TraceId};
use crate::backend::attribute::{self, list};
use crate::backend::json;
use crate::backend::wire::{Fields, Value, put_bytes, put_varint, unzigzag, zigzag};

const HEAD: usize = 16;

/// Adds a checked `LogRecord` message to a trace.
pub(super) fn add(segment: &mut Segment, entry: u32, group: u32, message: &[u8]) {
    let (mut time, mut observed, mut severity, mut attributes) = (0, 0, 0, 0u64);
    let (mut text, mut body, mut span): (&[u8], &[u8], u64) = (&[], &[], 0);
    for (field, value) in Fields::new(message) {
        match (field, value) {
            (1, Value::Fixed64(at)) => time = at,
            (11, Value::Fixed64(at)) => observed = at,
            (2, Value::Varint(level)) => severity = level,
            (3, Value::Bytes(bytes)) => text = bytes,
            (5, Value::Bytes(bytes)) => body = bytes,
            (6, _) => attributes += 1,
            (10, Value::Bytes(id)) => span = id.try_into().map_or(0, u64::from_be_bytes),
            _ => {}
        }
    }
    let time = if time == 0 { observed } else { time };
    let base = *segment.base.get_or_insert(time);
    let entry = &mut segment.entries[entry as usize];
    let arena = &mut segment.arena;
    let record = arena.len() as u32;
    arena.extend_from_slice(&entry.last_log.to_le_bytes());
    arena.extend_from_slice(&span.to_le_bytes());
    arena.extend_from_slice(&group.to_le_bytes());
    put_varint(arena, zigzag(time.wrapping_sub(base).cast_signed()));
    put_varint(arena, severity);
    put_bytes(arena, body);
    put_bytes(arena, text);
    put_varint(arena, attributes);
    for (field, value) in Fields::new(message) {
        if let (6, Value::Bytes(message)) = (field, value) {
            segment.dictionaries.attributes.encode(message, arena);
        }
    }
    entry.last_log = record;
    segment.logs += 1;
}

/// The lines of a trace in time order, as far as they are not evicted while they are read.
#[derive(Debug)]
pub(crate) struct LogLines {
    id: TraceId,
    segment: u32,
    /// When and where, the latest first: the end is the next to write.
    lines: Vec<(u64, u32)>,
    /// A line was written, so that a comma comes before the next, if there is one: the rest may be evicted any time.
    started: bool,
}

impl LogLines {
    pub fn len(&self) -> usize {
        self.lines.len()
    }
}

impl Store {
    /// The log lines of a trace; `None` where the trace is not known.
    pub(crate) fn log_lines(&self, id: TraceId) -> Option<LogLines> {
        let ring = self.read();
        let home = ring.homes.get(&id)?;
        let segment = ring.segment(home.segment)?;
        let mut lines: Vec<_> = records(segment, &segment.entries[home.entry as usize]).collect();
        lines.sort_by_key(|&(time, record)| std::cmp::Reverse((time, record)));
        Some(LogLines { id, segment: home.segment, lines, started: false })
    }

    /// Appends lines until `out` is about `full` long. False once all are written.
    pub(crate) fn write_log_lines(&self, lines: &mut LogLines, out: &mut Vec<u8>, full: usize) -> bool {
        let ring = self.read();
        let Some(segment) = ring.segment(lines.segment) else { return false };
        while out.len() < full {
            let Some((time, record)) = lines.lines.pop() else { return false };
            if lines.started {
                out.push(b',');
            }
            lines.started = true;
            write(segment, lines.id, time, record, out);
        }
        true
    }
}

fn records<'a>(segment: &'a Segment, entry: &Entry) -> impl Iterator<Item = (u64, u32)> + use<'a> {
    let mut next = entry.last_log;
    let base = segment.base.unwrap_or_default();
    std::iter::from_fn(move || {
        let record = next;
        let head = segment.arena.get(record as usize..).filter(|_| record != NONE)?;
        next = u32::from_le_bytes(*head.first_chunk()?);
        let time = base.wrapping_add(unzigzag(number(&mut head.get(HEAD..)?)).cast_unsigned());
        Some((time, record))
    })
}

fn write(segment: &Segment, id: TraceId, time: u64, record: u32, out: &mut Vec<u8>) {
    let Some((head, mut rest)) = segment.arena.get(record as usize..).and_then(<[u8]>::split_first_chunk::<HEAD>) else { return };
    let span = u64::from_le_bytes([head[4], head[5], head[6], head[7], head[8], head[9], head[10], head[11]]);
    let group = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
    number(&mut rest);
    let severity = number(&mut rest);
    let body = bytes(&mut rest);
    let text = bytes(&mut rest);
    out.extend_from_slice(b"{\"timestamp\":\"");
    timestamp(out, time);
    out.extend_from_slice(b"\",\"severity\":");
    json::string(out, if text.is_empty() { severity_name(severity) } else { text });
    out.extend_from_slice(b",\"service\":");
    json::string(out, segment.service_name(group));
    out.extend_from_slice(b",\"body\":");
    attribute::plain(out, body);
    out.extend_from_slice(b",\"attributes\":{");
    let count = number(&mut rest);
    let attributes = &segment.dictionaries.attributes;
    list(out, 0..count, |out, _| {
        let attribute = attributes.decode(&mut rest);
        json::string(out, attributes.key(attribute));
        out.push(b':');
        attribute::plain(out, attributes.any(attribute));
    });
    out.extend_from_slice(b"},\"trace_id\":\"");
    json::hex_u64(out, id.0);
    json::hex_u64(out, id.1);
    out.extend_from_slice(b"\",\"span_id\":\"");
    if span != 0 {
        json::hex_u64(out, span);
    }
    out.extend_from_slice(b"\"}");
}

/// RFC 3339 with nanoseconds.
fn timestamp(out: &mut Vec<u8>, nanoseconds: u64) {
    let at = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    out.extend_from_slice(format!("{at:.9}").as_bytes());
}

fn severity_name(number: u64) -> &'static [u8] {
    match number {
        1..=4 => b"TRACE",
        5..=8 => b"DEBUG",
        9..=12 => b"INFO",
        13..=16 => b"WARN",
        17..=20 => b"ERROR",
        21..=24 => b"FATAL",
        _ => b"",
    }
}
