//! A line that is one OTLP request in JSON: what the exporter `stdout` prints, and the OpenTelemetry collector's file exporter.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::record::level_named;
use super::trace_id::Needle;
use super::{Line, clock};

/// Log records stay text until one of the trace is among them: a request may hold thousands.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, alias = "resource_logs")]
    resource_logs: Vec<ResourceLogs<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceLogs<'a> {
    #[serde(default)]
    resource: Option<Value>,
    #[serde(borrow, default, alias = "scope_logs")]
    scope_logs: Vec<ScopeLogs<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeLogs<'a> {
    #[serde(borrow, default, alias = "log_records")]
    log_records: Vec<&'a RawValue>,
}

/// The lines of the trace in a request; `None` where it is no request with logs.
pub(super) fn lines(text: &str, needle: &Needle) -> Option<Vec<Line>> {
    if !text.contains("esourceLogs\"") && !text.contains("esource_logs\"") {
        return None;
    }
    let request: Request<'_> = serde_json::from_str(text).ok()?;
    let mut lines = Vec::new();
    for group in &request.resource_logs {
        let service = group.resource.as_ref().and_then(service);
        let records = group.scope_logs.iter().flat_map(|scope| &scope.log_records);
        for record in records.filter(|record| needle.is_in(record.get())) {
            if let Ok(record) = serde_json::from_str(record.get()) {
                lines.extend(line(record, service.clone(), needle));
            }
        }
    }
    Some(lines)
}

fn service(resource: &Value) -> Option<String> {
    let attributes = resource.get("attributes")?.as_array()?;
    let name = attributes.iter().find(|attribute| attribute["key"] == "service.name")?;
    name["value"]["stringValue"].as_str().map(str::to_owned)
}

fn line(record: Value, service: Option<String>, needle: &Needle) -> Option<Line> {
    let of = |names: [&str; 2]| names.into_iter().find_map(|name| record.get(name));
    let id = |names| of(names).and_then(Value::as_str).filter(|id| !id.is_empty());
    if id(["traceId", "trace_id"]).is_some_and(|id| needle.is_other(id)) {
        return None;
    }
    let time = of(["timeUnixNano", "time_unix_nano"]).and_then(clock::nanoseconds);
    let time = time.or_else(|| of(["observedTimeUnixNano", "observed_time_unix_nano"]).and_then(clock::nanoseconds));
    let named = id(["severityText", "severity_text"]).map(|name| level_named(name).unwrap_or(name).to_owned());
    let level = named.or_else(|| of(["severityNumber", "severity_number"]).and_then(severity).map(str::to_owned));
    let message = record.get("body").map(|body| plain(&value(body))).unwrap_or_default();
    let span_id = id(["spanId", "span_id"]).map(str::to_owned);
    let fields = record.get("attributes").map(|list| Fields::of(&entries(list))).unwrap_or_default();
    Some(Line { time, service, level, message, span_id, source: None, fields })
}

fn severity(number: &Value) -> Option<&'static str> {
    match number.as_u64()? {
        1..=4 => Some("TRACE"),
        5..=8 => Some("DEBUG"),
        9..=12 => Some("INFO"),
        13..=16 => Some("WARN"),
        17..=20 => Some("ERROR"),
        21..=24 => Some("FATAL"),
        _ => None,
    }
}

/// Text without quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// An `AnyValue` as ordinary JSON.
fn value(any: &Value) -> Value {
    let Some((kind, inner)) = any.as_object().and_then(|any| any.iter().next()) else { return Value::Null };
    match kind.as_str() {
        // 64 bits come as text.
        "intValue" => match inner.as_str().and_then(|text| text.parse::<i64>().ok()) {
            Some(number) => number.into(),
            None => inner.clone(),
        },
        "arrayValue" => inner["values"].as_array().into_iter().flatten().map(value).collect(),
        "kvlistValue" => Value::Object(entries(&inner["values"])),
        _ => inner.clone(),
    }
}

fn entries(list: &Value) -> Map<String, Value> {
    let entries = list.as_array().into_iter().flatten();
    entries.filter_map(|entry| Some((entry["key"].as_str()?.to_owned(), value(&entry["value"])))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn of_many_records_those_of_the_trace_are_read() {
        let record = |id: &str, message: &str| {
            json!({"timeUnixNano": "1793534400250000000", "severityNumber": 13, "body": {"stringValue": message}, "traceId": id, "spanId": "00f067aa0ba902b7",
                "attributes": [{"key": "n", "value": {"intValue": "7"}}, {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}]}}},
                    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "a", "value": {"doubleValue": 1.5}}]}}}, {"value": 1}]})
        };
        let records =
            [record(ID, "it"), record("0af7651916cd43dd8448eb211c80319c", &format!("not {ID}")), record("", &format!("of {ID}"))];
        let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
        let request = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}], "resource": resource}, {}]}).to_string();
        let lines = lines(&request, &Needle::new(ID.parse().unwrap())).unwrap();
        assert_eq!(lines.iter().map(|line| &*line.message).collect::<Vec<_>>(), ["it", &format!("of {ID}")]);
        let Line { time, service, level, span_id, fields, .. } = &lines[0];
        assert_eq!(time.map(|time| time.as_millisecond()), Some(1_793_534_400_250));
        assert_eq!(
            (service.as_deref(), level.as_deref(), span_id.as_deref()),
            (Some("shop"), Some("WARN"), Some("00f067aa0ba902b7"))
        );
        assert_eq!(serde_json::from_str::<Value>(fields.json()).unwrap(), json!({"n": 7, "list": [true], "map": {"a": 1.5}}));
    }

    #[test]
    fn what_is_no_such_request_is_left_to_others() {
        let needle = Needle::new(ID.parse().unwrap());
        for text in [r#"{"message":"resourceLogs"}"#, r#"{"resourceLogs":7}"#, r#"{"resourceSpans":[]}"#, r#"{"resourceLogs":["#] {
            assert!(lines(text, &needle).is_none(), "{text}");
        }
        assert_eq!(lines(r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[1,null,"x"]}]}]}"#, &needle), Some(Vec::new()));
    }
}
