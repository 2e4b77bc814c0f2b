//! `tracelab diagnose`: reads traces from a Jaeger query API or from files, and says what stands out.

use std::io::stdin;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{said, say};
use crate::cli;
use crate::config::{Config, base, without_secrets};
use crate::diagnose::model::{Builder, Traces};
use crate::diagnose::report::Report;
use crate::diagnose::{self, Options, figures, read};
use crate::exit::{Failure, chain, failure};
use crate::jaeger::{Client, Collected, Progress, Wanted};

/// Where traces come from.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// `-` is stdin.
    Files(Vec<PathBuf>),
    Window {
        start: Timestamp,
        end: Timestamp,
        services: Vec<String>,
    },
}

pub async fn run(config: Config, flags: cli::Diagnose) -> anyhow::Result<()> {
    let (now, options) = (Timestamp::now(), Options::default());
    let source = source(&flags, now)?;
    let baseline = baseline(&flags.baseline, &flags.service)?;
    if let Some(path) = &flags.html {
        check_writable(path)?;
    }
    let address = config.jaeger_url();
    let jaeger = without_secrets(&address);
    let input = Input { address, jaeger, limit: usize::try_from(flags.limit).unwrap_or(usize::MAX), now };
    let Read { traces, from, empty } = input.read(&source).await?;
    let baseline = match &baseline {
        // Nothing is compared with it.
        Some(_) if traces.is_empty() => None,
        Some(source) => Some(input.baseline(source).await?),
        None => None,
    };
    let diagnosis = diagnose::diagnose(&traces, baseline.as_ref(), &options);
    // What is read from a file may be in no Jaeger at all.
    let jaeger = config
        .jaeger
        .as_ref()
        .map(|url| without_secrets(url.as_str()))
        .or_else(|| matches!(source, Source::Window { .. }).then(|| input.jaeger.clone()));
    let links = config.jaeger_links.as_ref().map(base).or(jaeger);
    let (rule, links) = (options.rule, links.as_deref());
    let report = Report { traces: &traces, diagnosis: &diagnosis, rule, source: &from, links };
    if let Some(path) = &flags.html {
        std::fs::write(path, report.html()).with_context(|| format!("cannot write the report to {}", path.display()))?;
        eprintln!("the report for the browser is in {}", path.display());
    }
    if traces.is_empty() {
        if flags.json {
            say(&report.json())?;
        }
        return Err(failure(Failure::No, empty));
    }
    if flags.json {
        tell(&from, &traces);
        diagnosis.notes.iter().for_each(|note| eprintln!("note: {note}"));
        say(&report.json())?;
    } else {
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        said(report.terminal(&mut anstream::stdout().lock(), width))?;
    }
    Ok(())
}

fn source(flags: &cli::Diagnose, now: Timestamp) -> anyhow::Result<Source> {
    if !flags.file.is_empty() {
        return Ok(Source::Files(flags.file.clone()));
    }
    let end = flags.end.unwrap_or(now);
    let start = match flags.start {
        Some(start) => start,
        None => end.checked_sub(flags.lookback).context("--lookback reaches further back than time is counted")?,
    };
    window(start, end, flags.service.clone())
}

fn window(start: Timestamp, end: Timestamp, services: Vec<String>) -> anyhow::Result<Source> {
    if start >= end {
        bail!("nothing lies between {start} and {end}; the start must be before the end");
    }
    Ok(Source::Window { start, end, services })
}

/// Two times, or files.
fn baseline(texts: &[String], services: &[String]) -> anyhow::Result<Option<Source>> {
    if let [text] = texts
        && let Some((start, end)) = text.split_once("..")
        && let (Ok(start), Ok(end)) = (start.trim().parse(), end.trim().parse())
    {
        return window(start, end, services.to_vec()).context("--baseline").map(Some);
    }
    if let Some(text) = texts.iter().find(|text| text.contains("..") && !Path::new(text).exists()) {
        bail!(
            "--baseline {text:?} is neither a file nor, alone, two times; \
             they should look like 2026-11-01T12:00:00Z..2026-11-01T12:30:00Z"
        );
    }
    Ok((!texts.is_empty()).then(|| Source::Files(texts.iter().map(PathBuf::from).collect())))
}

/// Found out before a long reading, not after it.
fn check_writable(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() || !folder.is_dir() {
        bail!("--html {} cannot be written: it is a directory, or lies in none that exists", path.display());
    }
    Ok(())
}

/// What reading needs to know.
struct Input {
    /// Base URL of the query API, which may say who asks.
    address: String,
    /// The same for people.
    jaeger: String,
    limit: usize,
    now: Timestamp,
}

/// What was read.
struct Read {
    traces: Traces,
    /// Where, for a person.
    from: String,
    /// What to say where there is no trace.
    empty: String,
}

impl Input {
    async fn read(&self, source: &Source) -> anyhow::Result<Read> {
        let mut builder = Builder::until(u64::try_from(self.now.as_nanosecond()).unwrap_or_default());
        // The page asks a Jaeger for each trace until that is there, and a cluster may trace itself into it. A file, and a service by
        // its name, was asked for as it is.
        if matches!(source, Source::Window { services, .. } if services.is_empty()) {
            builder = builder.without_jaegers_own().without_kubernetes_own();
        }
        let (from, mut empty) = match source {
            Source::Files(paths) => {
                for path in paths {
                    self.file(path, &mut builder)?;
                }
                let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                (names.join(", "), format!("there is no trace in {}", names.join(", ")))
            }
            Source::Window { start, end, services } => {
                let collected = self.window(*start, *end, services, &mut builder).await?;
                let with = if services.is_empty() { String::new() } else { format!(" with {}", services.join(", ")) };
                (format!("{}, {start:.0} to {end:.0}{with}", self.jaeger), self.nothing_there(&collected, *start, *end, services))
            }
        };
        let traces = builder.finish();
        if !traces.left_out.is_empty() {
            empty += &format!(" (left out: {})", reasons(&traces));
        }
        Ok(Read { traces, from, empty })
    }

    async fn baseline(&self, source: &Source) -> anyhow::Result<Traces> {
        let Read { traces, from, empty } = self.read(source).await.context("cannot read the baseline")?;
        if traces.is_empty() {
            return Err(failure(Failure::No, format!("nothing to compare with: {empty}")));
        }
        // The report is about the other traces.
        tell(&format!("{from}, to compare with"), &traces);
        Ok(traces)
    }

    fn file(&self, path: &Path, builder: &mut Builder) -> anyhow::Result<()> {
        let context = || format!("cannot read traces from {}", path.display());
        let outcome = if path == Path::new("-") {
            read::json(stdin().lock(), builder).with_context(context)?
        } else {
            let length = std::fs::metadata(path).map_or(0, |file| file.len());
            let bar = progress_bar(length, "{bar:30} {decimal_bytes}/{decimal_total_bytes} of {msg}");
            bar.set_message(path.display().to_string());
            let outcome = read::file_through(path, builder, |file| bar.wrap_read(file));
            bar.finish_and_clear();
            outcome.with_context(context)?
        };
        if let Some(broken) = outcome.broken {
            eprintln!("warning: {}: {broken}; what came before is used", path.display());
        }
        if let Some(refusal) = outcome.refusal {
            eprintln!("warning: {}: it is an answer that says {refusal:?}", path.display());
        }
        Ok(())
    }

    async fn window(
        &self,
        start: Timestamp,
        end: Timestamp,
        services: &[String],
        builder: &mut Builder,
    ) -> anyhow::Result<Collected> {
        let client = Client::new(&self.address)?;
        let nanoseconds = |time: Timestamp| u64::try_from(time.as_nanosecond()).unwrap_or_default();
        let wanted = Wanted { start: nanoseconds(start), end: nanoseconds(end), services: services.to_vec(), limit: self.limit };
        let bar = progress_bar(1_000, "{bar:30} {msg}");
        let collected = client.collect(&wanted, builder, |progress| show(&bar, progress)).await;
        bar.finish_and_clear();
        let collected = collected.map_err(|error| failure(Failure::Unreachable, chain(&error)))?;
        if collected.limited {
            eprintln!("warning: there are more traces; --limit {} stopped the reading, the newest first", self.limit);
        }
        if collected.crowded > 0 {
            eprintln!(
                "warning: {} times more traces began in a microsecond than this Jaeger gives at once; the others are missing",
                collected.crowded
            );
        }
        Ok(collected)
    }

    fn nothing_there(&self, collected: &Collected, start: Timestamp, end: Timestamp, services: &[String]) -> String {
        let known = &collected.services;
        let unknown: Vec<_> = services.iter().filter(|service| !known.contains(service)).map(String::as_str).collect();
        let base = &self.jaeger;
        if known.is_empty() {
            return format!("the Jaeger at {base} holds no traces at all; is --jaeger the one that they are sent to?");
        }
        // Names come from whoever sent spans: no terminal is to obey them.
        let names = figures::some(known).escape_debug().to_string();
        if !unknown.is_empty() {
            return format!("the Jaeger at {base} knows no service {}; it knows {names}", unknown.join(", "));
        }
        format!("there is no trace at {base} between {start} and {end}; try a longer --lookback (it knows {names})")
    }
}

/// Says on stderr what was read, what was not, and why.
fn tell(from: &str, traces: &Traces) {
    let (read, spans) = (figures::counted(traces.len() as u64, "trace"), figures::counted(traces.span_count() as u64, "span"));
    eprintln!("read {read} with {spans} from {from}");
    if !traces.left_out.is_empty() {
        eprintln!("left out: {}", reasons(traces));
    }
    for (what, times) in &traces.noted {
        eprintln!("note: {times} × {what}");
    }
    if !traces.unkept.is_empty() {
        eprintln!("note: not compared, since their values hardly repeat: {}", figures::some(&traces.unkept).escape_debug());
    }
}

fn reasons(traces: &Traces) -> String {
    let reasons: Vec<_> = traces.left_out.iter().map(|(reason, times)| format!("{times} × {reason}")).collect();
    reasons.join(", ")
}

/// On stderr, and only where that is a terminal.
fn progress_bar(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_position((progress.share * 1_000.0) as u64);
    let of = progress.service.as_ref().map(|service| format!("  with {service}")).unwrap_or_default();
    bar.set_message(format!("{} traces  {} spans{of}", progress.traces, progress.spans));
}
