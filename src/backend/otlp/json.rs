//! OTLP's JSON to OTLP's protobuf, driven by a table of fields, without a tree of objects in between: a hostile body cannot
//! take more memory than a few times its own length.
//!
//! As OTLP has it: ids in hexadecimal, 64-bit numbers as strings or numbers, enums as numbers, unknown fields ignored. Protobuf's
//! own printers write names in snake case, enums by name and, in some languages, whole numbers with a fraction: that is read too.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::backend::json::{from_base64, from_hex};
use crate::backend::wire::{Malformed, put_bytes, put_field, put_varint};

/// Name, number and kind of each field. Statics, for values nest in values.
type Message = &'static [(&'static str, u32, Kind)];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Hex,
    Base64,
    Varint,
    Enum(&'static Names),
    Fixed64,
    Fixed32,
    Double,
    Bool,
    One(&'static Message),
    Many(&'static Message),
}

/// What the names of an enum's values begin with, and how they go on, from zero.
type Names = (&'static str, &'static [&'static str]);

static SPAN_KIND: Names = ("SPAN_KIND_", &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]);
static STATUS_CODE: Names = ("STATUS_CODE_", &["UNSET", "OK", "ERROR"]);
#[rustfmt::skip]
static SEVERITY: Names = ("SEVERITY_NUMBER_", &[
    "UNSPECIFIED", "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4", "INFO", "INFO2", "INFO3", "INFO4",
    "WARN", "WARN2", "WARN3", "WARN4", "ERROR", "ERROR2", "ERROR3", "ERROR4", "FATAL", "FATAL2", "FATAL3", "FATAL4",
]);

use Kind::{Base64, Bool, Double, Enum, Fixed32, Fixed64, Hex, Many, One, Text, Varint};

static TRACES: Message = &[("resourceSpans", 1, Many(&RESOURCE_SPANS))];
static RESOURCE_SPANS: Message = &[("resource", 1, One(&RESOURCE)), ("scopeSpans", 2, Many(&SCOPE_SPANS))];
static SCOPE_SPANS: Message = &[("scope", 1, One(&SCOPE)), ("spans", 2, Many(&SPAN))];
static LOGS: Message = &[("resourceLogs", 1, Many(&RESOURCE_LOGS))];
static RESOURCE_LOGS: Message = &[("resource", 1, One(&RESOURCE)), ("scopeLogs", 2, Many(&SCOPE_LOGS))];
static SCOPE_LOGS: Message = &[("scope", 1, One(&SCOPE)), ("logRecords", 2, Many(&LOG_RECORD))];
static RESOURCE: Message = &[("attributes", 1, Many(&KEY_VALUE)), ("droppedAttributesCount", 2, Varint)];
static SCOPE: Message =
    &[("name", 1, Text), ("version", 2, Text), ("attributes", 3, Many(&KEY_VALUE)), ("droppedAttributesCount", 4, Varint)];
static SPAN: Message = &[
    ("traceId", 1, Hex),
    ("spanId", 2, Hex),
    ("traceState", 3, Text),
    ("parentSpanId", 4, Hex),
    ("name", 5, Text),
    ("kind", 6, Enum(&SPAN_KIND)),
    ("startTimeUnixNano", 7, Fixed64),
    ("endTimeUnixNano", 8, Fixed64),
    ("attributes", 9, Many(&KEY_VALUE)),
    ("droppedAttributesCount", 10, Varint),
    ("events", 11, Many(&EVENT)),
    ("droppedEventsCount", 12, Varint),
    ("links", 13, Many(&LINK)),
    ("droppedLinksCount", 14, Varint),
    ("status", 15, One(&STATUS)),
    ("flags", 16, Fixed32),
];
static EVENT: Message =
    &[("timeUnixNano", 1, Fixed64), ("name", 2, Text), ("attributes", 3, Many(&KEY_VALUE)), ("droppedAttributesCount", 4, Varint)];
static LINK: Message = &[
    ("traceId", 1, Hex),
    ("spanId", 2, Hex),
    ("traceState", 3, Text),
    ("attributes", 4, Many(&KEY_VALUE)),
    ("droppedAttributesCount", 5, Varint),
    ("flags", 6, Fixed32),
];
static STATUS: Message = &[("message", 2, Text), ("code", 3, Enum(&STATUS_CODE))];
static LOG_RECORD: Message = &[
    ("timeUnixNano", 1, Fixed64),
    ("severityNumber", 2, Enum(&SEVERITY)),
    ("severityText", 3, Text),
    ("body", 5, One(&ANY_VALUE)),
    ("attributes", 6, Many(&KEY_VALUE)),
    ("droppedAttributesCount", 7, Varint),
    ("flags", 8, Fixed32),
    ("traceId", 9, Hex),
    ("spanId", 10, Hex),
    ("observedTimeUnixNano", 11, Fixed64),
    ("eventName", 12, Text),
];
static KEY_VALUE: Message = &[("key", 1, Text), ("value", 2, One(&ANY_VALUE))];
static ANY_VALUE: Message = &[
    ("stringValue", 1, Text),
    ("boolValue", 2, Bool),
    ("intValue", 3, Varint),
    ("doubleValue", 4, Double),
    ("arrayValue", 5, One(&ARRAY)),
    ("kvlistValue", 6, One(&KEY_VALUE_LIST)),
    ("bytesValue", 7, Base64),
];
static ARRAY: Message = &[("values", 1, Many(&ANY_VALUE))];
static KEY_VALUE_LIST: Message = &[("values", 1, Many(&KEY_VALUE))];

/// An `ExportTraceServiceRequest` in JSON, as protobuf.
pub(crate) fn traces(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    transcode(body, &TRACES)
}

/// An `ExportLogsServiceRequest` in JSON, as protobuf.
pub(crate) fn logs(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    transcode(body, &LOGS)
}

fn transcode(body: &[u8], message: &'static Message) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::with_capacity(body.len() / 2);
    let mut reader = serde_json::Deserializer::from_slice(body);
    // serde_json itself refuses what is nested more than 128 deep.
    let read = Object { message, out: &mut out }.deserialize(&mut reader).and_then(|foreign| reader.end().map(|()| foreign));
    match read {
        Ok(false) => Ok(out),
        // To ignore all of it would leave its sender in the belief that it was stored.
        Ok(true) => Err(Malformed(format!("no field that is known here; expected {{\"{}\":[…]}}", message[0].0).into())),
        Err(error) => Err(Malformed(error.to_string().into())),
    }
}

/// Reads one JSON object into the fields of one message, and says whether it has fields of which none is known. `null` is an
/// empty message, as in protobuf's JSON.
struct Object<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let (mut known, mut unknown) = (false, false);
        let sparse = !std::ptr::eq(self.message, &ANY_VALUE);
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match field(self.message, &name) {
                Some(&(name, number, kind)) => {
                    known = true;
                    map.next_value_seed(Field { sparse, name, number, kind, out: self.out })?;
                }
                None => {
                    unknown = true;
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(unknown && !known)
    }
}

/// The field of this name, in camel case or in snake case.
fn field(message: Message, name: &str) -> Option<&'static (&'static str, u32, Kind)> {
    message.iter().find(|field| field.0 == name).or_else(|| {
        let is_snake = name.contains('_');
        message.iter().find(|field| is_snake && snake(field.0).eq(name.bytes()))
    })
}

fn snake(camel: &str) -> impl Iterator<Item = u8> {
    camel.bytes().flat_map(|byte| byte.is_ascii_uppercase().then_some(b'_').into_iter().chain([byte.to_ascii_lowercase()]))
}

/// A whole number that was written with a fraction or an exponent, as protobuf has 64 bits of it.
fn whole(value: f64) -> Option<u64> {
    const TWO_TO_63: f64 = (1u64 << 63) as f64;
    match value.fract() == 0.0 {
        true if (0.0..2.0 * TWO_TO_63).contains(&value) => Some(value as u64),
        true if (-TWO_TO_63..0.0).contains(&value) => Some((value as i64).cast_unsigned()),
        _ => None,
    }
}

/// Reads the value of one field.
struct Field<'o> {
    /// Whether zeros and empty texts are left out, as protobuf does everywhere but in a oneof: equal resources must be equal
    /// bytes, whichever way they came.
    sparse: bool,
    name: &'static str,
    number: u32,
    kind: Kind,
    out: &'o mut Vec<u8>,
}

impl Field<'_> {
    fn nested(&mut self, read: impl FnOnce(&mut Vec<u8>) -> Result<(), String>) -> Result<(), String> {
        let mut inner = Vec::new();
        read(&mut inner)?;
        put_field(self.out, self.number, &inner);
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        let wrong = |what: &str| format!("{}: expected {what}", self.name);
        match self.kind {
            Text | Hex if self.sparse && text.is_empty() => {}
            Text => put_field(self.out, self.number, text.as_bytes()),
            Hex => {
                let bytes = from_hex(text.as_bytes()).ok_or_else(|| wrong("hexadecimal digits"))?;
                put_field(self.out, self.number, &bytes);
            }
            Base64 => {
                let bytes = from_base64(text.as_bytes()).ok_or_else(|| wrong("base64"))?;
                put_field(self.out, self.number, &bytes);
            }
            Double => match text {
                "NaN" => self.put_double(f64::NAN),
                "Infinity" => self.put_double(f64::INFINITY),
                "-Infinity" => self.put_double(f64::NEG_INFINITY),
                text => self.put_double(text.parse().map_err(|_| wrong("a number"))?),
            },
            Enum((prefix, names)) if text.starts_with(prefix) => {
                let number = names.iter().position(|name| *name == &text[prefix.len()..]).ok_or_else(|| wrong("a number"))?;
                self.put_number(number as u64);
            }
            // Numbers in quotes: protobuf's way to save them from JavaScript.
            Varint | Enum(_) | Fixed64 | Fixed32 => match (text.parse::<u64>(), text.parse::<i64>()) {
                (Ok(number), _) => self.put_number(number),
                (_, Ok(number)) => self.put_number(number.cast_unsigned()),
                _ => return Err(wrong("a whole number")),
            },
            Bool => self.put_number(u64::from(text.parse::<bool>().map_err(|_| wrong("true or false"))?)),
            One(&_) => return Err(wrong("an object")),
            Many(&_) => return Err(wrong("a list")),
        }
        Ok(())
    }

    fn put_double(&mut self, value: f64) {
        put_varint(self.out, u64::from(self.number << 3 | 1));
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn put_number(&mut self, value: u64) {
        if self.sparse && value == 0 {
            return;
        }
        match self.kind {
            Fixed64 => {
                put_varint(self.out, u64::from(self.number << 3 | 1));
                self.out.extend_from_slice(&value.to_le_bytes());
            }
            Fixed32 => {
                put_varint(self.out, u64::from(self.number << 3 | 5));
                self.out.extend_from_slice(&(value as u32).to_le_bytes());
            }
            _ => {
                put_varint(self.out, u64::from(self.number << 3));
                put_varint(self.out, value);
            }
        }
    }

    fn is_number(&self) -> bool {
        matches!(self.kind, Varint | Enum(_) | Fixed64 | Fixed32)
    }

    fn unexpected<E: de::Error>(&self, what: &str) -> E {
        E::custom(format!("{}: unexpected {what}", self.name))
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(mut self, text: &str) -> Result<(), E> {
        self.text(text).map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(mut self, value: bool) -> Result<(), E> {
        if !matches!(self.kind, Bool) {
            return Err(self.unexpected("boolean"));
        }
        self.put_number(u64::from(value));
        Ok(())
    }

    fn visit_u64<E: de::Error>(mut self, value: u64) -> Result<(), E> {
        match self.kind {
            Double => self.put_double(value as f64),
            _ if self.is_number() => self.put_number(value),
            _ => return Err(self.unexpected("number")),
        }
        Ok(())
    }

    fn visit_i64<E: de::Error>(mut self, value: i64) -> Result<(), E> {
        match self.kind {
            Double => self.put_double(value as f64),
            _ if self.is_number() => self.put_number(value.cast_unsigned()),
            _ => return Err(self.unexpected("number")),
        }
        Ok(())
    }

    fn visit_f64<E: de::Error>(mut self, value: f64) -> Result<(), E> {
        match (self.kind, whole(value)) {
            (Double, _) => self.put_double(value),
            (_, Some(number)) if self.is_number() => self.put_number(number),
            _ => return Err(self.unexpected("fraction")),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let One(message) = self.kind else { return Err(self.unexpected("object")) };
        self.nested(|inner| Object { message, out: inner }.visit_map(map).map(drop).map_err(|error| error.to_string()))
            .map_err(A::Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Many(message) = self.kind else { return Err(self.unexpected("list")) };
        let mut inner = Vec::new();
        while list.next_element_seed(Object { message, out: &mut inner })?.is_some() {
            put_varint(self.out, u64::from(self.number << 3 | 2));
            put_bytes(self.out, &inner);
            inner.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_numbers_both_carry_64_bits() {
        let span = |time: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"startTimeUnixNano":{time}}}]}}]}}]}}"#);
        assert_eq!(traces(span("\"1793534400000000000\"").as_bytes()), traces(span("1793534400000000000").as_bytes()));
    }

    #[test]
    fn what_protobufs_own_printers_write_is_the_same() {
        let camel = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01","parentSpanId":"02","kind":2,"status":{"code":2},
            "startTimeUnixNano":"5","droppedLinksCount":1,"attributes":[{"key":"a","value":{"intValue":-1}}]}]}]}]}"#;
        let snake = r#"{"resource_spans":[{"scope_spans":[{"spans":[{"trace_id":"01","parent_span_id":"02",
            "kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR"},"start_time_unix_nano":5.0,"dropped_links_count":1e0,
            "attributes":[{"key":"a","value":{"int_value":-1.0}}]}]}]}]}"#;
        assert_eq!(traces(camel.as_bytes()), traces(snake.as_bytes()));
        let log = |severity: &str| {
            logs(format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"severityNumber":{severity}}}]}}]}}]}}"#).as_bytes())
        };
        assert_eq!(log("24"), log("\"SEVERITY_NUMBER_FATAL4\""));
        for wrong in ["\"SEVERITY_NUMBER_HIGH\"", "\"FATAL\"", "1.5", "1e20"] {
            assert!(log(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_body_without_any_known_field_is_refused_by_what_was_expected() {
        for foreign in [r#"{"resourceLogs":[]}"#, r#"{"spans":[],"resource":{}}"#] {
            let error = traces(foreign.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("resourceSpans"), "{error}");
        }
        assert_eq!(traces(b"{}"), Ok(Vec::new()));
    }

    #[test]
    fn unknown_fields_are_ignored_and_wrong_types_named() {
        assert_eq!(traces(br#"{"resourceSpans":[],"new":{"a":[1]}}"#), Ok(Vec::new()));
        let error = traces(br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}"#).unwrap_err();
        assert!(error.to_string().contains("traceId"), "{error}");
        assert!(traces(br#"{"resourceSpans":{}}"#).is_err());
        assert!(traces(br#"[]"#).is_err());
    }
}
