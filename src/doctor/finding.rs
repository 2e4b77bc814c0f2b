//! What one check found, and how that reads.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::harmless::harmless;

/// What is wrong, and what to do about it.
const DO: &str = "what to do: ";
/// The longest name of a check, so that what was seen stands in one column.
const NAME_WIDTH: usize = 15;
/// What others say is quoted up to here.
const LONGEST: usize = 600;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Traces may be missing, incomplete or misleading.
    Warning,
    /// Traces are missing.
    Failure,
    /// It could not be looked at, or nobody wanted it.
    Skipped,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub result: Verdict,
    /// What was seen, in a sentence.
    pub saw: String,
    /// The way out; every warning and failure has one.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, saw: impl Into<String>) -> Self {
        Self { check, result: Verdict::Ok, saw: plain(saw.into()), way_out: None }
    }

    pub fn warning(check: &'static str, saw: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { check, result: Verdict::Warning, saw: plain(saw.into()), way_out: Some(plain(way_out.into())) }
    }

    pub fn failure(check: &'static str, saw: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { result: Verdict::Failure, ..Self::warning(check, saw, way_out) }
    }

    pub fn skipped(check: &'static str, because: impl Into<String>) -> Self {
        Self { result: Verdict::Skipped, ..Self::ok(check, because) }
    }

    pub fn is_failure(&self) -> bool {
        self.result == Verdict::Failure
    }

    /// Writes it for people, with colours: hand it `anstream::stdout()`, which takes them out again where nobody sees them.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl Write, width: usize) -> io::Result<()> {
        let (sign, style) = match self.result {
            Verdict::Ok => ('✓', AnsiColor::Green.on_default()),
            Verdict::Warning => ('!', AnsiColor::Yellow.on_default().bold()),
            Verdict::Failure => ('✗', AnsiColor::Red.on_default().bold()),
            Verdict::Skipped => ('–', Style::new().dimmed()),
        };
        let margin = " ".repeat(NAME_WIDTH + 4);
        let first = format!("{style}{sign}{style:#} {:NAME_WIDTH$}  ", self.check);
        // The margin stands for the start of the line, whose styles have no width.
        let text = fill(&self.saw, &margin, width);
        writeln!(out, "{first}{}", text.trim_start())?;
        if let Some(way_out) = &self.way_out {
            writeln!(out, "{}", fill(&format!("{DO}{way_out}"), &margin, width))?;
        }
        Ok(())
    }
}

fn fill(text: &str, margin: &str, width: usize) -> String {
    let options = textwrap::Options::new(width).initial_indent(margin).subsequent_indent(margin);
    // Addresses and commands are copied: they stay whole.
    textwrap::fill(text, options.break_words(false).word_splitter(textwrap::WordSplitter::NoHyphenation))
}

/// Names and answers come from whoever listens there: no terminal is to obey them, and none is a novel.
fn plain(text: String) -> String {
    let mut out: String = harmless(&text).chars().take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_server_says_reaches_the_terminal_as_a_command() {
        let finding = Finding::failure("otlp", "it said \u{1b}[2J\nHello", "wait");
        assert_eq!(finding.saw, "it said \u{fffd}[2J\u{fffd}Hello");
    }

    #[test]
    fn what_to_do_stands_below_what_was_seen() {
        let mut out = Vec::new();
        Finding::failure("otlp", "nobody listens", "start it").write(&mut out, 80).unwrap();
        let text = anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string();
        assert_eq!(text, "✗ otlp             nobody listens\n                   what to do: start it\n");
    }
}
