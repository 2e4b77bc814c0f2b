//! For programs: one JSON object per line.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Line, Trace};
use crate::harmless::is_dangerous;

#[derive(Serialize)]
struct Row<'a> {
    /// RFC 3339 in UTC, always with nanoseconds: texts then sort as times do.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'a str>,
    message: &'a str,
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    fields: &'a RawValue,
}

impl Trace {
    /// Writes a JSON object per line; what a line does not say is absent.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn json(&self, out: &mut impl Write) -> io::Result<()> {
        let id = self.id.to_string();
        for line in &self.lines {
            let Line { time, service, level, message, span_id, source, fields } = line;
            let timestamp = time.map(|time| format!("{time:.9}"));
            let (service, level, span_id, source) = (service.as_deref(), level.as_deref(), span_id.as_deref(), source.as_deref());
            let fields = serde_json::from_str(fields.json())?;
            let row = Row { timestamp, service, level, message, trace_id: &id, span_id, source, fields };
            writeln!(out, "{}", harmless(&serde_json::to_string(&row)?))?;
        }
        Ok(())
    }
}

/// JSON asks only for the first 32 characters to be escaped; terminals obey others too. Outside of text there are none of them.
fn harmless(json: &str) -> std::borrow::Cow<'_, str> {
    if !json.chars().any(is_dangerous) {
        return json.into();
    }
    let escaped = |c: char| if is_dangerous(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Fields;
    use serde_json::Value;

    #[test]
    fn whatever_is_in_a_line_it_stays_one_and_reads_back_the_same() {
        let message = "a\nb \u{1b}[31m \u{9b}2J \u{202e} \u{7f} \"é";
        let fields = serde_json::json!({ "key\u{9b}": [1, null] });
        let line = Line { message: message.into(), fields: Fields::of(&fields), ..Line::default() };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
        let mut out = Vec::new();
        Trace { id, lines: vec![line] }.json(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.trim_end().chars().all(|c| !is_dangerous(c)), "{text:?}");
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((read["message"].as_str(), &read["fields"]), (Some(message), &fields));
        assert_eq!(read.as_object().unwrap().len(), 3, "message, trace_id and fields: {text}");
    }
}
