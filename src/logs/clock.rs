//! Points in time as log lines have them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Numbers before the year 2000, in nanoseconds, are no times of log lines but durations, counts and the like.
const EARLIEST: i128 = 946_684_800_000_000_000;

/// RFC 3339 and what looks like it: a space or T, a fraction or none. Without an offset it is taken for UTC, which containers have.
pub(super) fn text(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let plausible =
        text.len() >= 19 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit) && matches!(text.as_bytes()[4], b'-' | b'/');
    if !plausible {
        return None;
    }
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// Text, or a number of seconds, milliseconds, microseconds or nanoseconds since 1970: these centuries tell which.
pub(super) fn value(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(written) => match written.parse::<i128>() {
            Ok(number) => whole(number),
            Err(_) => text(written),
        },
        Value::Number(number) => match number.as_i64() {
            Some(number) => whole(number.into()),
            // Seconds or milliseconds with a fraction.
            None => number.as_f64().and_then(|number| {
                let milliseconds = if number.abs() < 1e11 { number * 1e3 } else { number };
                // A float that is too large saturates, and is then no time.
                time((milliseconds * 1e3).round() as i64 as i128 * 1_000)
            }),
        },
        _ => None,
    }
}

/// Nanoseconds since 1970; 0 stands for none, as OTLP has it.
pub(super) fn nanoseconds(value: &Value) -> Option<Timestamp> {
    let number = match value {
        Value::String(written) => written.parse().ok()?,
        other => i128::from(other.as_i64()?),
    };
    Some(number).filter(|number| *number != 0).and_then(|number| Timestamp::from_nanosecond(number).ok())
}

fn whole(number: i128) -> Option<Timestamp> {
    let nanoseconds = match number.unsigned_abs() {
        0..100_000_000_000 => number * 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => number * 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => number * 1_000,
        _ => number,
    };
    time(nanoseconds)
}

fn time(nanoseconds: i128) -> Option<Timestamp> {
    Some(nanoseconds).filter(|time| *time >= EARLIEST).and_then(|time| Timestamp::from_nanosecond(time).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_is_known_however_it_is_written() {
        let same = [
            json!("2026-11-01T12:00:00.25Z"),
            json!("2026-11-01 13:00:00.250+01:00"),
            json!("2026-11-01T12:00:00,25"),
            json!("1793534400250"),
            json!(1_793_534_400_250_u64),
            json!(1_793_534_400_250_000_u64),
            json!(1_793_534_400_250_000_000_u64),
            json!(1_793_534_400.25),
            json!(1_793_534_400_250.0),
        ];
        for written in same {
            assert_eq!(value(&written).map(|time| time.as_nanosecond()), Some(1_793_534_400_250_000_000), "{written}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for written in [
            json!("soon"),
            json!(""),
            json!(0),
            json!(34),
            json!(0.25),
            json!("1500"),
            json!(-1_793_534_400),
            json!(1e300),
            json!("9999999999999999999999999999"),
            json!("é026-11-01T12:00:00"),
            json!([1]),
        ] {
            assert_eq!(value(&written), None, "{written}");
        }
    }
}
