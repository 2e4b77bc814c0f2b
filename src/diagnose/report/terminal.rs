//! For people at a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{Report, words};
use crate::diagnose::{Suspect, figures};
use crate::harmless::harmless;

const STRONG: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const CAUSE: Style = AnsiColor::Red.on_default().bold();
const BETTER: Style = AnsiColor::Green.on_default();

/// Lines longer than this tire the eye, however wide the terminal.
const WIDEST: usize = 100;
/// Below this, links and names break the layout anyway.
const NARROWEST: usize = 40;

impl Report<'_> {
    /// Writes the diagnosis for a terminal of `width` columns, with colours: hand it `anstream::stdout()`, which takes them out again
    /// where nobody sees them. Links are never broken.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn terminal(&self, out: &mut impl Write, width: usize) -> io::Result<()> {
        let width = width.clamp(NARROWEST, WIDEST);
        self.head(out, width)?;
        if self.traces.is_empty() {
            return writeln!(out, "\n{}", words::NO_TRACES);
        }
        for (at, suspect) in self.diagnosis.suspects.iter().enumerate() {
            writeln!(out)?;
            self.suspect(out, at + 1, suspect, width)?;
        }
        if self.diagnosis.suspects.is_empty() {
            writeln!(out, "\n{STRONG}{}{STRONG:#}", words::NOTHING)?;
            paragraph(out, words::LOOKED_AT, "", "", width)?;
        }
        Ok(())
    }

    fn head(&self, out: &mut impl Write, width: usize) -> io::Result<()> {
        let traces = self.traces;
        let read = [
            figures::counted(traces.len() as u64, "trace"),
            figures::counted(traces.span_count() as u64, "span"),
            figures::counted(self.services() as u64, "service"),
        ];
        paragraph(out, &format!("{} from {}", read.join(", "), self.source), "", "", width)?;
        if !traces.is_empty() {
            let now = words::now(&self.outcomes());
            let [p50, p99] = [now.p50_ms.now, now.p99_ms.now].map(figures::duration);
            writeln!(out, "p50 {p50}, p99 {p99}, {} fail", figures::share(now.error_share.now))?;
        }
        for remark in self.remarks() {
            paragraph(out, &remark, "", "  ", width)?;
        }
        Ok(())
    }

    fn suspect(&self, out: &mut impl Write, rank: usize, suspect: &Suspect, width: usize) -> io::Result<()> {
        let (cause, place) = (words::cause(suspect.cause), harmless(&words::place(suspect)));
        let sure = format!("{} % sure", words::sure(suspect));
        let rank = rank.to_string();
        let used = [&rank, cause, &place].iter().map(|part| part.chars().count() + 2).sum::<usize>();
        if used + sure.len() <= width {
            let gap = width - used - sure.len();
            writeln!(out, "{rank}  {CAUSE}{cause}{CAUSE:#}  {STRONG}{place}{STRONG:#}  {:gap$}{sure}", "")?;
        } else {
            let gap = width.saturating_sub(rank.len() + cause.len() + sure.len() + 4);
            writeln!(out, "{rank}  {CAUSE}{cause}{CAUSE:#}  {:gap$}{sure}\n   {STRONG}{place}{STRONG:#}", "")?;
        }
        paragraph(out, words::meaning(suspect.cause), "   ", "   ", width)?;
        if_fixed(out, suspect, width)?;
        for line in &suspect.evidence {
            paragraph(out, line, "   - ", "     ", width)?;
        }
        for trace in &suspect.examples {
            let shown = self.link(*trace).unwrap_or_else(|| self.traces.name(*trace));
            writeln!(out, "   {QUIET}{}{QUIET:#}", harmless(&shown))?;
        }
        Ok(())
    }
}

fn if_fixed(out: &mut impl Write, suspect: &Suspect, width: usize) -> io::Result<()> {
    let label = "if fixed:";
    let mut used = 0;
    for (what, now, fixed) in words::changes(&suspect.effect) {
        let long = format!(" {what} {now} → {fixed},").chars().count();
        if used == 0 {
            write!(out, "   {label}")?;
            used = 3 + label.len();
        } else if used + long > width {
            write!(out, ",\n   {:1$}", "", label.len())?;
            used = 3 + label.len();
        } else {
            write!(out, ",")?;
        }
        write!(out, " {what} {now} → {BETTER}{fixed}{BETTER:#}")?;
        used += long;
    }
    if used > 0 { writeln!(out) } else { Ok(()) }
}

/// Breaks text between words.
fn paragraph(out: &mut impl Write, text: &str, first: &str, others: &str, width: usize) -> io::Result<()> {
    let options = textwrap::Options::new(width)
        .initial_indent(first)
        .subsequent_indent(others)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false);
    for line in textwrap::wrap(&harmless(text), options) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
