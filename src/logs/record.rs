//! A line that is one JSON object: ours, one of the loggers' that are around (Bunyan, ECS, pino, slog, zap, …), or the backend's.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::fields::{self, Fields, Object};
use super::trace_id::Needle;
use super::{Line, clock};

const TIMES: &[&str] = &["timestamp", "time", "ts", "@timestamp", "Timestamp", "datetime"];
const LEVELS: &[&str] = &["level", "severity", "severity_text", "lvl", "log.level", "levelname", "Level"];
const SERVICES: &[&str] = &["service.name", "service", "service_name", "serviceName", "app", "dd.service"];
const MESSAGES: &[&str] = &["message", "msg", "body", "event", "Message"];
const TRACES: &[&str] = &["trace_id", "traceId", "traceID", "trace.id", "traceid", "otelTraceID", "TraceId"];
const SPANS: &[&str] = &["span_id", "spanId", "spanID", "span.id", "spanid", "otelSpanID", "SpanId"];
/// Objects that hold what others have beside the rest.
const NESTS: &[&str] = &["fields", "attributes"];

/// A record as the backend's `/api/logs` has it. What its attributes are called is its writer's business: none is taken for more.
#[derive(Deserialize)]
#[serde(default)]
struct Record {
    timestamp: Value,
    severity: String,
    service: String,
    body: Box<RawValue>,
    attributes: Object,
    span_id: String,
}

impl Default for Record {
    fn default() -> Self {
        let body = RawValue::NULL.to_owned();
        Self {
            timestamp: Value::Null,
            severity: String::new(),
            service: String::new(),
            body,
            attributes: Object::new(),
            span_id: String::new(),
        }
    }
}

/// What a record of the backend says; one that is none stays as it is written.
pub(super) fn of_backend(raw: &RawValue) -> Line {
    // A list would do for serde.
    let record = raw.get().starts_with('{').then(|| serde_json::from_str::<Record>(raw.get()).ok()).flatten();
    let Some(record) = record else {
        return Line { message: raw.get().to_owned(), ..Line::default() };
    };
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    Line {
        time: clock::value(&record.timestamp),
        service: known(record.service),
        level: known(record.severity).map(|name| level_named(&name).map_or(name, str::to_owned)),
        message: message(&record.body),
        span_id: known(record.span_id),
        source: None,
        fields: Fields::of_object(record.attributes),
    }
}

/// What an object says; `None` where it says that it belongs to another trace.
pub(super) fn line(mut object: Object, needle: &Needle) -> Option<Line> {
    let source = take(&mut object, &["source"], |raw| text(&parsed(raw)));
    let nested: Vec<_> = NESTS.iter().filter_map(|nest| Some((*nest, fields::object(object.get(*nest)?.get())?))).collect();
    let (names, nested): (Vec<_>, Vec<_>) = nested.into_iter().unzip();
    for name in &names {
        object.remove(*name);
    }
    // What stands outside counts.
    let mut objects: Vec<_> = std::iter::once(object).chain(nested).collect();
    let whose = |raw: &RawValue| match parsed(raw).as_str()? {
        id if needle.is(id) => Some(true),
        id if needle.is_other(id) => Some(false),
        _ => None,
    };
    if first(&mut objects, TRACES, whose) == Some(false) {
        return None;
    }
    Some(Line {
        time: first(&mut objects, TIMES, |raw| clock::value(&parsed(raw))),
        service: first(&mut objects, SERVICES, |raw| text(&parsed(raw))),
        level: first(&mut objects, LEVELS, |raw| level(&parsed(raw))),
        message: first(&mut objects, MESSAGES, |raw| Some(message(raw))).unwrap_or_default(),
        span_id: first(&mut objects, SPANS, |raw| text(&parsed(raw))),
        source,
        fields: Fields::of_object(joined(objects, &names)),
    })
}

/// What is left of all objects as one. Where two have the same key, the inner one stays inside.
fn joined(objects: Vec<Object>, names: &[&str]) -> Object {
    let mut objects = objects.into_iter();
    let mut all = objects.next().unwrap_or_default();
    for (object, name) in objects.zip(names) {
        let (twice, once): (Object, Object) = object.into_iter().partition(|(key, _)| all.contains_key(key));
        all.extend(once);
        if !twice.is_empty()
            && let Ok(twice) = to_raw_value(&twice)
        {
            all.insert((*name).to_owned(), twice);
        }
    }
    all
}

/// As all write it: what means the same is called the same.
pub(super) fn level_named(name: &str) -> Option<&'static str> {
    let known = [
        ("TRACE", "TRACE"),
        ("DEBUG", "DEBUG"),
        ("INFO", "INFO"),
        ("INFORMATION", "INFO"),
        ("NOTICE", "INFO"),
        ("WARN", "WARN"),
        ("WARNING", "WARN"),
        ("ERROR", "ERROR"),
        ("ERR", "ERROR"),
        ("FATAL", "FATAL"),
        ("CRIT", "FATAL"),
        ("CRITICAL", "FATAL"),
        ("ALERT", "FATAL"),
        ("EMERG", "FATAL"),
        ("PANIC", "FATAL"),
    ];
    known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
}

/// Text without quotes, anything else as JSON.
fn message(raw: &RawValue) -> String {
    if raw.get() == "null" { String::new() } else { fields::plain(raw).into_owned() }
}

fn parsed(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

fn level(value: &Value) -> Option<String> {
    match value {
        Value::String(name) if !name.is_empty() => Some(level_named(name).map_or_else(|| name.clone(), str::to_owned)),
        // As Bunyan and pino count.
        Value::Number(number) => Some(match number.as_u64() {
            Some(10) => "TRACE".to_owned(),
            Some(20) => "DEBUG".to_owned(),
            Some(30) => "INFO".to_owned(),
            Some(40) => "WARN".to_owned(),
            Some(50) => "ERROR".to_owned(),
            Some(60) => "FATAL".to_owned(),
            _ => number.to_string(),
        }),
        _ => None,
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The first of the objects that has one of these keys with a value that is understood loses it.
fn first<T>(objects: &mut [Object], keys: &[&str], understand: impl Fn(&RawValue) -> Option<T>) -> Option<T> {
    objects.iter_mut().find_map(|object| take(object, keys, &understand))
}

/// The first of these keys whose value is understood leaves the object. A key with a dot may be nested.
fn take<T>(object: &mut Object, keys: &[&str], understand: impl Fn(&RawValue) -> Option<T>) -> Option<T> {
    for key in keys {
        if let Some(found) = object.get(*key).and_then(|raw| understand(raw)) {
            object.remove(*key);
            return Some(found);
        }
        if let Some((outer, inner)) = key.split_once('.')
            && let Some(mut nested) = object.get(outer).and_then(|raw| fields::object(raw.get()))
            && let Some(found) = nested.get(inner).and_then(|raw| understand(raw))
        {
            nested.remove(inner);
            match to_raw_value(&nested) {
                Ok(rest) if !nested.is_empty() => drop(object.insert(outer.to_owned(), rest)),
                _ => drop(object.remove(outer)),
            }
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn read(value: Value) -> Option<Line> {
        line(fields::object(&value.to_string()).unwrap(), &Needle::new(ID.parse().unwrap()))
    }

    #[test]
    fn the_same_line_is_the_same_whoever_wrote_it() {
        let at = "2026-11-01T12:00:00Z";
        let lines = [
            json!({"timestamp": at, "level": "WARN", "service": "shop", "message": "slow", "trace_id": ID, "span_id": "00f067aa0ba902b7", "ms": 7}),
            json!({"timestamp": at, "severity": "WARN", "service": "shop", "body": "slow", "attributes": {"ms": 7}, "trace_id": ID, "span_id": "00f067aa0ba902b7"}),
            json!({"@timestamp": at, "log": {"level": "warning"}, "service": {"name": "shop"}, "message": "slow", "trace": {"id": ID}, "span": {"id": "00f067aa0ba902b7"}, "ms": 7}),
            json!({"time": 1_793_534_400_000_u64, "level": 40, "service": "shop", "msg": "slow", "traceId": ID, "spanId": "00f067aa0ba902b7", "ms": 7}),
            json!({"timestamp": at, "level": "WARN", "fields": {"message": "slow", "ms": 7}, "service": "shop", "trace_id": ID, "span_id": "00f067aa0ba902b7"}),
        ];
        let lines = lines.map(|line| read(line).unwrap());
        assert_eq!(lines[0].fields.json(), r#"{"ms":7}"#);
        assert!(lines.iter().all(|line| *line == lines[0]), "{lines:#?}");
    }

    #[test]
    fn a_line_that_only_mentions_the_trace_is_not_taken_from_another() {
        assert!(read(json!({"message": "like", "trace_id": "0af7651916cd43dd8448eb211c80319c", "link": ID})).is_none());
        let line = read(json!({"msg": {"slowest": ID}, "trace_id": "none", "level": [], "service": 7, "time": "soon"})).unwrap();
        assert_eq!(
            (line.message.as_str(), line.time, line.service, line.level),
            (&*format!("{{\"slowest\":\"{ID}\"}}"), None, None, None)
        );
        assert_eq!(line.fields.entries().len(), 4, "what is not understood stays: {:?}", line.fields);
    }

    #[test]
    fn what_is_nested_never_replaces_what_stands_outside_and_is_not_lost() {
        let line = read(json!({"level": "info", "service": "a", "n": 1, "time": 34, "ts": 1_793_534_400, "trace_id": ID,
            "fields": {"level": "gold", "service": "b", "n": 2, "message": "m", "source": "partner"}, "attributes": {"n": 3}}))
        .unwrap();
        assert_eq!((line.level.as_deref(), line.service.as_deref(), &*line.message), (Some("INFO"), Some("a"), "m"));
        assert_eq!((line.source, line.time.map(|time| time.as_second())), (None, Some(1_793_534_400)));
        let fields: Value = serde_json::from_str(line.fields.json()).unwrap();
        let expected = json!({"attributes": {"n": 3}, "fields": {"n": 2}, "level": "gold", "n": 1, "service": "b", "source": "partner", "time": 34});
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_record_of_the_backend_is_what_it_says_whatever_its_attributes_are_called() {
        let attributes = json!({"service.name": "other", "level": "gold", "service": "dummy-1-17", "severity": "high", "source": "partner", "time": 1_793_534_400});
        let record = json!({"timestamp": "2026-11-01T12:00:00.000000000Z", "severity": "ERROR", "service": "shop", "body": "b", "attributes": attributes,
            "trace_id": ID, "span_id": ""});
        let line = of_backend(&to_raw_value(&record).unwrap());
        assert_eq!((line.service.as_deref(), line.level.as_deref(), &*line.message), (Some("shop"), Some("ERROR"), "b"));
        assert_eq!((line.source, line.span_id, line.time.is_some()), (None, None, true));
        assert_eq!(serde_json::from_str::<Value>(line.fields.json()).unwrap(), attributes);
        let odd = RawValue::from_string("[7]".into()).unwrap();
        assert_eq!(of_backend(&odd).message, "[7]");
    }

    #[test]
    fn values_stay_as_they_were_written_unless_no_reader_would_take_them() {
        let text =
            format!("{{\"n\":12345678901234567890123,\"x\":1e999,\"half\":\"\\ud800\",\"trace_id\":\"{ID}\",\"list\":[1,\n2]}}");
        let line = line(fields::object(&text).unwrap(), &Needle::new(ID.parse().unwrap())).unwrap();
        let expected = r#"{"half":"\"\\ud800\"","list":[1, 2],"n":12345678901234567890123,"x":"1e999"}"#;
        assert_eq!(line.fields.json(), expected);
    }
}
