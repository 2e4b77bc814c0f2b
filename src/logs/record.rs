//! A line that is one JSON object: ours, the backend's, or one of the loggers' that are around (Bunyan, ECS, pino, slog, zap, …).

use serde_json::{Map, Value};

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

/// What an object says; `None` where it says that it belongs to another trace.
pub(super) fn line(mut object: Map<String, Value>, needle: &Needle) -> Option<Line> {
    for nest in NESTS {
        if let Some(Value::Object(nested)) = object.get_mut(*nest) {
            let nested = std::mem::take(nested);
            object.remove(*nest);
            for (key, value) in nested {
                // What stands outside counts.
                object.entry(key).or_insert(value);
            }
        }
    }
    let whose = |value: &Value| match value.as_str()? {
        id if needle.is(id) => Some(true),
        id if needle.is_other(id) => Some(false),
        _ => None,
    };
    if take(&mut object, TRACES, whose) == Some(false) {
        return None;
    }
    Some(Line {
        time: take(&mut object, TIMES, clock::value),
        service: take(&mut object, SERVICES, text),
        level: take(&mut object, LEVELS, level),
        message: take(&mut object, MESSAGES, |value| Some(plain(value))).unwrap_or_default(),
        span_id: take(&mut object, SPANS, text),
        source: take(&mut object, &["source"], text),
        fields: object,
    })
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
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
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

/// The first of these keys whose value is understood leaves the object. A key with a dot may be nested.
fn take<T>(object: &mut Map<String, Value>, keys: &[&str], understand: impl Fn(&Value) -> Option<T>) -> Option<T> {
    for key in keys {
        if let Some(found) = object.get(*key).and_then(&understand) {
            object.remove(*key);
            return Some(found);
        }
        if let Some((outer, inner)) = key.split_once('.')
            && let Some(Value::Object(nested)) = object.get_mut(outer)
            && let Some(found) = nested.get(inner).and_then(&understand)
        {
            nested.remove(inner);
            if nested.is_empty() {
                object.remove(outer);
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
        let Value::Object(object) = value else { panic!("{value}") };
        line(object, &Needle::new(ID.parse().unwrap()))
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
        assert_eq!(lines[0].fields, *json!({"ms": 7}).as_object().unwrap());
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
        assert_eq!(line.fields.len(), 4, "what is not understood stays: {:?}", line.fields);
    }
}
