//! For people: a line of the trace is one of the screen, or a few.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::io::{self, Write};

use anstyle::{AnsiColor, Effects, Style};
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;
use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter};

use super::fields::plain;
use super::{Line, Trace};
use crate::diagnose::figures;
use crate::harmless::is_dangerous;

const QUIET: Style = Style::new().dimmed();
const STRONG: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// The terminal's own, so that they suit its background; red is for errors.
const COLOURS: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Yellow,
    AnsiColor::BrightCyan,
    AnsiColor::BrightGreen,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
    AnsiColor::BrightYellow,
];
/// Where there are more services than colours.
const EFFECTS: [Effects; 3] = [Effects::new(), Effects::BOLD, Effects::UNDERLINE];
/// A name that is longer moves what follows, in its own line only.
const WIDEST_SERVICE: usize = 32;
/// Where less is left beside the columns, text goes on below them.
const NARROWEST_TEXT: usize = 30;
/// Nobody reads more of one text on a screen, in characters.
const LONGEST_TEXT: usize = 8_000;
/// Nor of a name, a level or a key.
const LONGEST_NAME: usize = 200;

impl Trace {
    /// Writes a heading and every line, with colours: hand it an `anstream::AutoStream`. With a `width` in columns, long lines are
    /// broken; without, a log line is one line unless its own message has several.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn terminal(&self, out: &mut impl Write, width: Option<usize>) -> io::Result<()> {
        let names: BTreeSet<_> = self.lines.iter().map(name).collect();
        let styles = styles(&names);
        let start = self.start();
        let columns = Columns {
            offset: self.lines.iter().map(|line| offset(line, start).len()).max().unwrap_or_default(),
            service: names.iter().map(|name| display_width(name)).filter(|width| *width <= WIDEST_SERVICE).max().unwrap_or(1),
            width,
        };
        self.heading(out, start)?;
        for line in &self.lines {
            let name = name(line);
            let style = styles.get(&*name).copied().unwrap_or_default();
            columns.line(out, &offset(line, start), (&name, style), line)?;
        }
        Ok(())
    }

    fn heading(&self, out: &mut impl Write, start: Option<Timestamp>) -> io::Result<()> {
        let services: BTreeSet<_> = self.lines.iter().filter_map(|line| line.service.as_deref()).collect();
        let counted = figures::counted(self.lines.len() as u64, "line");
        let services = figures::counted(services.len() as u64, "service");
        let start = start.map(|time| format!(", the first at {time:.6}")).unwrap_or_default();
        writeln!(out, "{STRONG}{}{STRONG:#}: {counted} of {services}{start}", self.id)
    }
}

/// Since the first line, in milliseconds.
fn offset(line: &Line, start: Option<Timestamp>) -> String {
    match (line.time, start) {
        (Some(time), Some(start)) => format!("+{:.3} ms", (time.as_nanosecond() - start.as_nanosecond()) as f64 / 1e6),
        _ => "? ms".to_owned(),
    }
}

/// Who wrote a line, as far as that is known.
fn name(line: &Line) -> Cow<'_, str> {
    short(line.service.as_deref().or(line.source.as_deref()).unwrap_or("?"))
}

/// A name picks its colour, so that it has the same in the next trace; two of one trace share none as long as there are others.
fn styles<'a>(names: &'a BTreeSet<Cow<'_, str>>) -> HashMap<&'a str, Style> {
    let most = COLOURS.len() * EFFECTS.len();
    let mut taken = HashMap::new();
    for name in names {
        let mut hasher = rustc_hash::FxHasher::default();
        hasher.write(name.as_bytes());
        let first = (hasher.finish() % COLOURS.len() as u64) as usize;
        // All colours before the second effect, from the name's own on.
        let mut places =
            (0..EFFECTS.len()).flat_map(|effect| (0..COLOURS.len()).map(move |at| (effect, (first + at) % COLOURS.len())));
        let free = if taken.len() < most { places.find(|place| !taken.values().any(|used| used == place)) } else { None };
        taken.insert(&**name, free.unwrap_or((0, first)));
    }
    taken.into_iter().map(|(name, (effect, colour))| (name, COLOURS[colour].on_default().effects(EFFECTS[effect]))).collect()
}

struct Columns {
    offset: usize,
    service: usize,
    width: Option<usize>,
}

impl Columns {
    fn line(&self, out: &mut impl Write, offset: &str, (name, style): (&str, Style), line: &Line) -> io::Result<()> {
        let gap = self.service.saturating_sub(display_width(name));
        let level = short(line.level.as_deref().unwrap_or_default());
        let loud = match &*level {
            "ERROR" | "FATAL" => ERROR,
            "WARN" => WARN,
            "DEBUG" | "TRACE" => QUIET,
            _ => Style::new(),
        };
        write!(out, "{QUIET}{offset:>0$}{QUIET:#}  {style}{name}{style:#}{1:gap$}  {loud}{level:<5}{loud:#}  ", self.offset, "")?;
        let indent = self.offset + self.service + 11;
        let used = indent + display_width(name).saturating_sub(self.service) + level.chars().count().saturating_sub(5);
        let mut text = Text { out, width: self.width, indent, column: used, first: true };
        if self.width.is_some_and(|width| width < used + NARROWEST_TEXT) {
            text.indent = 4;
            text.new_line()?;
        }
        text.message(&line.message)?;
        for (key, value) in line.fields.entries() {
            text.field(&key, &value)?;
        }
        writeln!(out)
    }
}

/// Writes words where there is room for them.
struct Text<'o, O> {
    out: &'o mut O,
    width: Option<usize>,
    /// Of all lines but the first.
    indent: usize,
    column: usize,
    /// Nothing stands in this line yet.
    first: bool,
}

impl<O: Write> Text<'_, O> {
    /// Stack traces and the like keep their lines.
    fn message(&mut self, message: &str) -> io::Result<()> {
        for (at, line) in shortened(message).trim_end().lines().enumerate() {
            if at > 0 {
                self.new_line()?;
            }
            let line = harmless(line);
            let Some(width) = self.width else {
                self.put(&line, Style::new())?;
                continue;
            };
            let options = Options::new(width.saturating_sub(self.indent).max(NARROWEST_TEXT / 2))
                .word_separator(WordSeparator::AsciiSpace)
                .word_splitter(WordSplitter::NoHyphenation);
            for (at, part) in textwrap::wrap(&line, options).iter().enumerate() {
                if at > 0 {
                    self.new_line()?;
                }
                self.put(part, Style::new())?;
            }
        }
        Ok(())
    }

    fn field(&mut self, key: &str, value: &RawValue) -> io::Result<()> {
        let (key, value) = (short(key).into_owned() + "=", shown(value));
        let long = display_width(&key) + display_width(&value);
        let gap = if self.first { 0 } else { 2 };
        if !self.first && self.width.is_some_and(|width| self.column + gap + long > width) {
            self.new_line()?;
        } else {
            self.column += gap;
            write!(self.out, "{:gap$}", "")?;
        }
        self.put(&key, QUIET)?;
        self.put(&value, Style::new())
    }

    fn put(&mut self, text: &str, style: Style) -> io::Result<()> {
        self.column += display_width(text);
        self.first &= text.is_empty();
        write!(self.out, "{style}{text}{style:#}")
    }

    fn new_line(&mut self) -> io::Result<()> {
        self.column = self.indent;
        self.first = true;
        write!(self.out, "\n{:1$}", "", self.indent)
    }
}

/// A value beside its key: in quotes where one could not tell where it ends.
fn shown(value: &RawValue) -> String {
    let text = plain(value);
    let text = shortened(&text);
    match value.get().starts_with('"') {
        true if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=') => {
            harmless(&Value::String(text.into_owned()).to_string()).into_owned()
        }
        _ => harmless(&text).into_owned(),
    }
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => {
            let more = figures::counted((text.len() - end) as u64, "byte");
            format!("{} … ({more} more; --json has all)", &text[..end]).into()
        }
        None => text.into(),
    }
}

/// What stands in a column, or before a value.
fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", harmless(&text[..end])).into(),
        None => harmless(text),
    }
}

/// Text must not move the cursor, colour what follows, hide itself or turn the line around: such characters show as what they are.
fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return text.into();
    }
    let text = if text.contains('\u{1b}') { anstream::adapter::strip_str(text).to_string().into() } else { Cow::Borrowed(text) };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            // Writing to a String cannot fail.
            c if is_dangerous(c) => drop(write!(shown, "{}", c.escape_unicode())),
            c => shown.push(c),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Fields;
    use serde_json::json;

    fn line(microseconds: i64, service: &str, level: &str, message: &str, fields: Value) -> Line {
        Line {
            time: Some(Timestamp::from_microsecond(1_793_534_400_000_000 + microseconds).unwrap()),
            service: Some(service.into()),
            level: Some(level.into()),
            message: message.into(),
            fields: Fields::of(&fields),
            ..Line::default()
        }
    }

    fn rendered(lines: Vec<Line>, width: Option<usize>) -> String {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
        let mut out = anstream::StripStream::new(Vec::new());
        Trace { id, lines }.terminal(&mut out, width).unwrap();
        let text = String::from_utf8(out.into_inner()).unwrap();
        text.split('\n').map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn columns_are_aligned_and_long_lines_go_on_below_their_text() {
        let lines = vec![
            line(0, "frontend", "INFO", "call answered", json!({"button": 3})),
            line(
                1_204,
                "dummy-1-17",
                "WARN",
                "request failed",
                json!({"reason": "it was refused", "status": 503, "nothing": null}),
            ),
            line(12_345_678, "edge", "ERROR", "Traceback:\n\tline 1\n  line 2", json!({})),
            Line { message: "GET / 200".into(), source: Some("access.log".into()), ..Line::default() },
        ];
        insta::assert_snapshot!(rendered(lines.clone(), None), @r#"
        4bf92f3577b34da6a3ce929d0e0e4736: 4 lines of 3 services, the first at 2026-11-01T12:00:00.000000Z
            +0.000 ms  frontend    INFO   call answered  button=3
            +1.204 ms  dummy-1-17  WARN   request failed  nothing=null  reason="it was refused"  status=503
        +12345.678 ms  edge        ERROR  Traceback:
                                              line 1
                                            line 2
                 ? ms  access.log         GET / 200
        "#);
        insta::assert_snapshot!(rendered(lines.clone(), Some(72)), @r#"
        4bf92f3577b34da6a3ce929d0e0e4736: 4 lines of 3 services, the first at 2026-11-01T12:00:00.000000Z
            +0.000 ms  frontend    INFO   call answered  button=3
            +1.204 ms  dummy-1-17  WARN   request failed  nothing=null
                                          reason="it was refused"  status=503
        +12345.678 ms  edge        ERROR  Traceback:
                                              line 1
                                            line 2
                 ? ms  access.log         GET / 200
        "#);
        insta::assert_snapshot!(rendered(lines, Some(40)), @r#"
        4bf92f3577b34da6a3ce929d0e0e4736: 4 lines of 3 services, the first at 2026-11-01T12:00:00.000000Z
            +0.000 ms  frontend    INFO
            call answered  button=3
            +1.204 ms  dummy-1-17  WARN
            request failed  nothing=null
            reason="it was refused"  status=503
        +12345.678 ms  edge        ERROR
            Traceback:
                line 1
              line 2
                 ? ms  access.log
            GET / 200
        "#);
    }

    #[test]
    fn nothing_in_a_line_reaches_the_terminal_as_a_command() {
        let evil = "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31mred\u{202e}\r\u{8}\u{0}";
        let mut hostile = line(0, evil, evil, evil, json!({ evil: evil, "deep": [{ evil: evil }] }));
        hostile.source = Some(evil.into());
        for width in [None, Some(0), Some(1), Some(80)] {
            let text = rendered(vec![hostile.clone()], width);
            assert!(text.chars().all(|c| c == '\n' || !is_dangerous(c)), "{text:?}");
        }
    }

    #[test]
    fn services_of_a_trace_share_no_colour_and_keep_theirs_in_another() {
        let names: BTreeSet<Cow<'_, str>> = (0..30).map(|n| format!("dummy-1-{n}").into()).collect();
        let many = styles(&names);
        let different: std::collections::HashSet<_> = many.values().map(|style| format!("{style:?}")).collect();
        assert_eq!(different.len(), 30);
        let more: BTreeSet<Cow<'_, str>> = (0..100).map(|n| format!("dummy-1-{n}").into()).collect();
        assert_eq!(styles(&more).len(), 100);
        let one = BTreeSet::from(["dummy-1-17".into()]);
        let two = BTreeSet::from(["dummy-1-17".into(), "zebra".into()]);
        assert_eq!(styles(&one)["dummy-1-17"], styles(&two)["dummy-1-17"]);
    }

    #[test]
    fn a_text_without_end_is_cut_and_says_so() {
        let text = rendered(vec![line(0, "a", "INFO", &"é".repeat(LONGEST_TEXT + 500), json!({}))], None);
        assert!(text.contains("… (1,000 bytes more; --json has all)"), "{}", &text[text.len() - 200..]);
        let name = "é".repeat(100_000);
        let text = rendered(vec![line(0, &name, &name, "", json!({ name.clone(): 1 }))], None);
        assert!(text.chars().count() < 1_000 && text.matches("é… ").count() == 2 && text.contains("é…=1"), "{text}");
    }
}
