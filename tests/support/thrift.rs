//! Reads the datagrams that a Jaeger agent gets: compact Thrift, as far as such a datagram needs it.
#![allow(dead_code, reason = "every test file uses a part of this")]

use serde_json::{Map, Value, json};

/// One call of the agent: its service, the tags of that, and its spans.
#[derive(Debug)]
pub struct Batch {
    pub service: String,
    pub tags: Map<String, Value>,
    pub spans: Vec<Span>,
}

#[derive(Debug)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    /// All zeros for a root.
    pub parent: String,
    pub name: String,
    pub flags: i64,
    /// Microseconds.
    pub start: i64,
    pub duration: i64,
    pub tags: Map<String, Value>,
    /// Time in microseconds, and fields.
    pub logs: Vec<(i64, Map<String, Value>)>,
    /// Trace, span, and 0 for a child or 1 for what follows.
    pub references: Vec<(String, String, i64)>,
}

/// # Panics
/// It is no such datagram.
pub fn batch(datagram: &[u8]) -> Batch {
    let mut reader = Reader(datagram);
    let header = [reader.byte(), reader.byte()];
    // Protocol 0x82; version 1, and a call that wants no answer.
    assert_eq!(header, [0x82, 4 << 5 | 1]);
    reader.varint();
    assert_eq!(reader.text(), "emitBatch");
    let arguments = reader.structure();
    assert!(reader.0.is_empty(), "{} bytes are left", reader.0.len());
    let batch = &arguments["1"];
    let service = batch["1"]["1"].as_str().unwrap().to_owned();
    Batch { service, tags: tags(&batch["1"]["2"]), spans: list(&batch["2"]).iter().map(span).collect() }
}

fn span(span: &Value) -> Span {
    let number = |key: &str| span[key].as_i64().unwrap();
    let log = |log: &Value| (log["1"].as_i64().unwrap(), tags(&log["2"]));
    let reference = |of: &Value| (trace_id(&of["3"], &of["2"]), hexadecimal(&of["4"]), of["1"].as_i64().unwrap());
    Span {
        trace_id: trace_id(&span["2"], &span["1"]),
        span_id: hexadecimal(&span["3"]),
        parent: hexadecimal(&span["4"]),
        name: span["5"].as_str().unwrap().to_owned(),
        references: list(&span["6"]).iter().map(reference).collect(),
        flags: number("7"),
        start: number("8"),
        duration: number("9"),
        tags: tags(&span["10"]),
        logs: list(&span["11"]).iter().map(log).collect(),
    }
}

fn tags(value: &Value) -> Map<String, Value> {
    let tag = |tag: &Value| {
        // The type says which of the other fields counts.
        let field = ["3", "4", "5", "6", "7"][tag["2"].as_u64().unwrap() as usize];
        (tag["1"].as_str().unwrap().to_owned(), tag[field].clone())
    };
    list(value).iter().map(tag).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn trace_id(high: &Value, low: &Value) -> String {
    hexadecimal(high) + &hexadecimal(low)
}

fn hexadecimal(value: &Value) -> String {
    format!("{:016x}", value.as_i64().unwrap())
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn varint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    fn number(&mut self) -> i64 {
        let value = self.varint();
        (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
    }

    fn text(&mut self) -> String {
        let length = self.varint() as usize;
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn value(&mut self, kind: u8) -> Value {
        match kind {
            // In a list a boolean is a byte of its own.
            1 | 2 => json!(self.byte() == 1),
            4..=6 => json!(self.number()),
            7 => json!(f64::from_le_bytes(self.take(8).try_into().unwrap())),
            8 => json!(self.text()),
            9 => {
                let header = self.byte();
                let count = if header >> 4 == 15 { self.varint() } else { u64::from(header >> 4) };
                (0..count).map(|_| self.value(header & 15)).collect()
            }
            12 => self.structure(),
            other => panic!("no type {other} is expected here"),
        }
    }

    /// Fields by number.
    fn structure(&mut self) -> Value {
        let (mut fields, mut id) = (Map::new(), 0);
        loop {
            let header = self.byte();
            if header == 0 {
                return fields.into();
            }
            id = if header >> 4 == 0 { self.number() } else { id + i64::from(header >> 4) };
            let value = match header & 15 {
                1 => json!(true),
                2 => json!(false),
                kind => self.value(kind),
            };
            fields.insert(id.to_string(), value);
        }
    }
}
