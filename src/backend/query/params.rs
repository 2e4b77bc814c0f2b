//! Query parameters, with the errors that Go's parsers report to Jaeger's users.

use crate::backend::json::from_base64;
use crate::backend::store::Sort;

/// The decoded parameters of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub fn parse(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of a name, if it is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The name that has a value, and the value: the first name is the one to use, the others are old.
    pub fn first_of<'a>(&'a self, names: &[&'a str]) -> Option<(&'a str, &'a str)> {
        names.iter().find_map(|name| Some((*name, self.get(name)?)))
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A segment of a path. In a path, unlike in a form, plus and ampersand are themselves.
pub(super) fn decode(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// A trace id: up to 32 hexadecimal digits, or base64.
pub(super) fn trace_id(text: &str) -> Result<(u64, u64), String> {
    if text.len() > 32 {
        return Err(format!("TraceID cannot be longer than 32 hex characters: {text}"));
    }
    hex_trace_id(text).or_else(|error| {
        if text.len() > 24 {
            return Err(error);
        }
        let bytes = from_base64(text.as_bytes()).ok_or(error)?;
        let half = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_be_bytes);
        match bytes.len() {
            8 => Ok((0, half(&bytes))),
            16 => Ok((half(&bytes[..8]), half(&bytes[8..]))),
            _ => Err("invalid length for TraceID".to_owned()),
        }
    })
}

/// A trace id in hexadecimal only, as the legacy search wants it.
pub(super) fn hex_trace_id(text: &str) -> Result<(u64, u64), String> {
    if text.len() > 32 {
        return Err(format!("TraceID cannot be longer than 32 hex characters: {text}"));
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u128::from_str_radix(text, 16) {
        Ok(id) if digits => Ok(((id >> 64) as u64, id as u64)),
        _ => Err(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")),
    }
}

pub(super) fn int(text: &str, parser: &str) -> Result<i64, String> {
    let sign = text.strip_prefix('+').unwrap_or(text);
    sign.parse().map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{parser}: parsing {text:?}: {why}")
    })
}

pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// An RFC 3339 time in nanoseconds since 1970; before that is 1970, as no span is older.
pub(super) fn time(text: &str) -> Result<u64, String> {
    let time: jiff::Timestamp = text.parse().map_err(|_| format!("cannot parse {text:?} as an RFC 3339 time"))?;
    Ok(u64::try_from(time.as_nanosecond().max(0)).unwrap_or(u64::MAX))
}

/// A duration the way Go writes it: `1h15m`, `1.5s`, `300ms`. Nanoseconds.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let wrong = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("time: missing unit in duration {text:?}"))?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            unknown => return Err(format!("time: unknown unit {unknown:?} in duration {text:?}")),
        };
        sum += number * scale;
        rest = &rest[unit..];
    }
    if sum > i64::MAX as f64 { Err(wrong()) } else { Ok((sign * sum) as i64) }
}

pub(super) fn sort(text: &str) -> Result<Sort, String> {
    match text {
        "newest" => Ok(Sort::Newest),
        "oldest" => Ok(Sort::Oldest),
        "longest" => Ok(Sort::Longest),
        "most-spans" => Ok(Sort::MostSpans),
        "most-errors" => Ok(Sort::MostErrors),
        _ => Err(format!("unknown order {text:?}, expected newest, oldest, longest, most-spans or most-errors")),
    }
}

/// A JSON object of strings.
pub(super) fn string_map(text: &str) -> Result<Vec<(String, String)>, String> {
    let map: Option<std::collections::BTreeMap<String, Option<String>>> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(map.unwrap_or_default().into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        assert_eq!(duration("1h15m30.918s"), Ok(4_530_918_000_000));
        assert_eq!(duration("10ms"), Ok(10_000_000));
        assert_eq!(duration("1.5µs"), Ok(1_500));
        assert_eq!(duration("-2s"), Ok(-2_000_000_000));
        assert_eq!(duration("0"), Ok(0));
        for wrong in ["", "long", "1", "s", "1x", "1..2s", "+", "µ"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn trace_ids_are_hexadecimal_or_base64() {
        assert_eq!(trace_id("abc"), Ok((0, 0xabc)));
        assert_eq!(trace_id("4BF92F3577B34DA6A3CE929D0E0E0002"), Ok((0x4bf9_2f35_77b3_4da6, 0xa3ce_929d_0e0e_0002)));
        assert_eq!(trace_id("AAAAAAAAAAAAAAAAAAAKvA=="), Ok((0, 0xabc)));
        for wrong in ["", "xyz", "+1", "4bf92f3577b34da6a3ce929d0e0e0001ff", "é"] {
            assert!(trace_id(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_means_something_in_a_form_is_itself_in_a_path() {
        assert_eq!(decode("a+b%20c"), "a+b c");
        assert_eq!(decode("R&D=x"), "R&D=x");
        assert_eq!(decode("%26%2f%e2%82%ac%zz%"), "&/€%zz%");
    }
}
