//! A line that is no JSON: what can be told of it is, and it stays as it is.

use jiff::Timestamp;
use jiff::fmt::strtime;

use super::record::level_named;
use super::{Line, clock};

/// Behind so many characters nobody looks for times and levels.
const HEAD: usize = 300;

/// `time` is what was around the line: more exact than what nginx writes.
pub(super) fn line(text: &str, time: Option<Timestamp>) -> Line {
    let (own, rest) = leading_time(text.trim_end());
    let time = time
        .or(own)
        .or_else(|| bracketed_time(head(rest)))
        .or_else(|| ["time", "ts"].iter().find_map(|key| clock::text(word_of(rest, key)?)));
    let (level, rest) = leading_level(rest);
    let level = level.or_else(|| level_named(word_of(rest, "level").or_else(|| word_of(rest, "lvl"))?));
    Line { time, level: level.map(str::to_owned), message: rest.to_owned(), ..Line::default() }
}

fn head(text: &str) -> &str {
    text.char_indices().nth(HEAD).map_or(text, |(end, _)| &text[..end])
}

/// A time that a line begins with: one word, or a date and a time as nginx's error log has them.
fn leading_time(text: &str) -> (Option<Timestamp>, &str) {
    let ends = text.match_indices(' ').map(|(at, _)| at).take(2);
    for end in ends.chain([text.len()]).collect::<Vec<_>>().into_iter().rev() {
        // RFC 3339 with slashes is what nginx writes.
        let word = text[..end].trim_matches(['[', ']']).replacen('/', "-", 2);
        if word.len() <= 40
            && let Some(time) = clock::text(&word)
        {
            return (Some(time), text[end..].trim_start());
        }
    }
    (None, text)
}

/// `[01/Nov/2026:12:00:00 +0000]`, as access logs have it.
fn bracketed_time(text: &str) -> Option<Timestamp> {
    let (_, behind) = text.split_once('[')?;
    let (inside, _) = behind.split_once(']')?;
    strtime::parse("%d/%b/%Y:%H:%M:%S %z", inside).ok()?.to_timestamp().ok()
}

/// A level that a line begins with, bare or in brackets.
fn leading_level(text: &str) -> (Option<&'static str>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match level_named(word.trim_matches(['[', ']', ':'])) {
        Some(level) => (Some(level), rest.trim_start()),
        None => (None, text),
    }
}

/// The value of a key in `key=value key="a value"`.
fn word_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let text = head(text);
    let begins = |at: &usize| text[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let found = text.match_indices(key).map(|(at, _)| at).filter(begins).find_map(|at| text[at + key.len()..].strip_prefix('='))?;
    match found.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => found.split(char::is_whitespace).next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_levels_of_others_are_recognized() {
        let lines = [
            (
                "192.0.2.1 - - [01/Nov/2026:13:00:00 +0100] \"GET /\" 200",
                None,
                "192.0.2.1 - - [01/Nov/2026:13:00:00 +0100] \"GET /\" 200",
            ),
            ("2026/11/01 12:00:00 [error] 29#29: *1 refused", Some("ERROR"), "29#29: *1 refused"),
            ("2026-11-01T12:00:00Z  INFO shop: sold", Some("INFO"), "shop: sold"),
            ("2026-11-01 12:00:00,000 WARNING sold", Some("WARN"), "sold"),
            (
                "time=2026-11-01T12:00:00Z level=warning msg=\"sold\"",
                Some("WARN"),
                "time=2026-11-01T12:00:00Z level=warning msg=\"sold\"",
            ),
            ("ts=\"2026-11-01T12:00:00Z\" lvl=crit", Some("FATAL"), "ts=\"2026-11-01T12:00:00Z\" lvl=crit"),
        ];
        for (text, level, message) in lines {
            let line = line(text, None);
            assert_eq!(line.time.map(|time| time.to_string()).as_deref(), Some("2026-11-01T12:00:00Z"), "{text}");
            assert_eq!((line.level.as_deref(), &*line.message), (level, message), "{text}");
        }
    }

    #[test]
    fn what_is_not_recognized_stays_as_it_is() {
        for text in ["sold", "[", "[x] y", "= =", "level=", "2026 things", "é é é", "time=soon", "99/Nov/2026:", ""] {
            assert_eq!(line(text, None), Line { message: text.into(), ..Line::default() }, "{text}");
        }
        let long = "é".repeat(1_000);
        assert_eq!(line(&long, None).message, long);
    }
}
