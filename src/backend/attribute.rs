//! Attribute values in the three shapes the APIs want: OTLP JSON, Jaeger's tags, plain text and JSON.
//!
//! A value stays in its protobuf form (`AnyValue`) until somebody asks for it.

use super::json;
use super::wire::{Fields, Value};

/// Beyond this a double cannot hold a whole number, and JavaScript has nothing else.
const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// One decoded level of an `AnyValue`.
pub(crate) enum Any<'a> {
    Empty,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(&'a [u8]),
    Map(&'a [u8]),
    Bytes(&'a [u8]),
}

impl<'a> Any<'a> {
    pub fn decode(message: &'a [u8]) -> Self {
        let mut any = Any::Empty;
        for (number, value) in Fields::new(message) {
            any = match (number, value) {
                (1, Value::Bytes(text)) => Any::Text(text),
                (2, Value::Varint(flag)) => Any::Bool(flag != 0),
                (3, Value::Varint(int)) => Any::Int(int.cast_signed()),
                (4, Value::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
                (5, Value::Bytes(array)) => Any::Array(array),
                (6, Value::Bytes(map)) => Any::Map(map),
                (7, Value::Bytes(bytes)) => Any::Bytes(bytes),
                _ => any,
            };
        }
        any
    }
}

/// Key and value of a `KeyValue` message; what is missing is empty.
#[inline]
pub(crate) fn key_value(message: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut any): (&[u8], &[u8]) = (&[], &[]);
    for (number, value) in Fields::new(message) {
        match (number, value) {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::Bytes(bytes)) => any = bytes,
            _ => {}
        }
    }
    (key, any)
}

/// The elements of an array, or the entries of a map or of a resource: field 1, repeated.
pub(crate) fn elements(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    repeated(message, 1)
}

pub(crate) fn repeated(message: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter_map(move |(number, value)| match value {
        Value::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

/// `{"key":…,"value":{…}}`, as OTLP writes an attribute.
pub(crate) fn otlp(out: &mut Vec<u8>, key: &[u8], any: &[u8]) {
    out.extend_from_slice(b"{\"key\":");
    json::string(out, key);
    out.extend_from_slice(b",\"value\":");
    otlp_value(out, any);
    out.push(b'}');
}

pub(crate) fn otlp_value(out: &mut Vec<u8>, any: &[u8]) {
    match Any::decode(any) {
        Any::Empty => out.extend_from_slice(b"{"),
        Any::Text(text) => {
            out.extend_from_slice(b"{\"stringValue\":");
            json::string(out, text);
        }
        Any::Bool(flag) => {
            out.extend_from_slice(if flag { b"{\"boolValue\":true" } else { b"{\"boolValue\":false" });
        }
        Any::Int(int) => {
            out.extend_from_slice(b"{\"intValue\":\"");
            json::signed(out, int);
            out.push(b'"');
        }
        Any::Double(double) => {
            out.extend_from_slice(b"{\"doubleValue\":");
            json::double(out, double);
        }
        Any::Array(array) => {
            out.extend_from_slice(b"{\"arrayValue\":{\"values\":[");
            list(out, elements(array), otlp_value);
            out.extend_from_slice(b"]}");
        }
        Any::Map(map) => {
            out.extend_from_slice(b"{\"kvlistValue\":{\"values\":[");
            list(out, elements(map).map(key_value), |out, (key, any)| otlp(out, key, any));
            out.extend_from_slice(b"]}");
        }
        Any::Bytes(bytes) => {
            out.extend_from_slice(b"{\"bytesValue\":\"");
            json::base64(out, bytes);
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// `{"key":…,"type":…,"value":…}`, as Jaeger's legacy API writes a tag.
pub(crate) fn tag(out: &mut Vec<u8>, key: &[u8], any: &[u8]) {
    let any = Any::decode(any);
    let kind: &[u8] = match any {
        Any::Bool(_) => b"bool",
        Any::Int(_) => b"int64",
        Any::Double(_) => b"float64",
        Any::Bytes(_) => b"binary",
        _ => b"string",
    };
    out.extend_from_slice(b"{\"key\":");
    json::string(out, key);
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\",\"value\":");
    match any {
        Any::Int(int) if int.abs_diff(0) > MAX_SAFE_INTEGER.cast_unsigned() => {
            out.push(b'"');
            json::signed(out, int);
            out.push(b'"');
        }
        Any::Array(_) | Any::Map(_) => {
            let mut text = Vec::new();
            plain_any(&mut text, &any);
            json::string(out, &text);
        }
        Any::Empty => out.extend_from_slice(b"\"\""),
        any => plain_any(out, &any),
    }
    out.push(b'}');
}

/// The value as ordinary JSON.
pub(crate) fn plain(out: &mut Vec<u8>, any: &[u8]) {
    plain_any(out, &Any::decode(any));
}

fn plain_any(out: &mut Vec<u8>, any: &Any<'_>) {
    match *any {
        Any::Empty => out.extend_from_slice(b"null"),
        Any::Text(text) => json::string(out, text),
        Any::Bool(flag) => out.extend_from_slice(if flag { b"true" } else { b"false" }),
        Any::Int(int) => json::signed(out, int),
        Any::Double(double) => json::double(out, double),
        Any::Array(array) => {
            out.push(b'[');
            list(out, elements(array), plain);
            out.push(b']');
        }
        Any::Map(map) => {
            out.push(b'{');
            list(out, elements(map).map(key_value), |out, (key, any)| {
                json::string(out, key);
                out.push(b':');
                plain(out, any);
            });
            out.push(b'}');
        }
        Any::Bytes(bytes) => {
            out.push(b'"');
            json::base64(out, bytes);
            out.push(b'"');
        }
    }
}

/// Whether the value, written as text, is what a search asks for.
pub(crate) fn equals_text(any: &[u8], wanted: &[u8]) -> bool {
    let mut text = Vec::new();
    match Any::decode(any) {
        Any::Text(text) => return text == wanted,
        Any::Bool(flag) => return wanted == if flag { b"true".as_slice() } else { b"false" },
        Any::Empty => return wanted.is_empty(),
        Any::Double(double) => json::double_text(&mut text, double),
        Any::Bytes(bytes) => json::base64(&mut text, bytes),
        any => plain_any(&mut text, &any),
    }
    text == wanted
}

/// Items with commas between them.
pub(crate) fn list<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}
