//! `tracelab diagnose`: reads traces from a Jaeger query API or from files, and says what stands out.

use std::collections::BTreeMap;
use std::io::stdin;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

use super::say;
use crate::cli;
use crate::config::Config;
use crate::diagnose::model::{Builder, Traces};
use crate::diagnose::read;
use crate::exit::{Failure, chain, failure};
use crate::jaeger::{Client, Collected, Progress, Wanted};

/// Names of services in a message: enough to see what kind of names they are.
const SOME_SERVICES: usize = 12;

/// What the diagnosis rests on; a part of `diagnose --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WhatWasRead {
    pub traces: usize,
    pub spans: usize,
    /// What was not taken, and how often, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
}

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
    let now = Timestamp::now();
    let source = source(&flags, now)?;
    let baseline = flags.baseline.as_deref().map(baseline).transpose()?;
    if let Some(path) = &flags.html {
        check_writable(path)?;
    }
    let input = Input { jaeger: config.jaeger_url(), limit: usize::try_from(flags.limit).unwrap_or(usize::MAX), now };
    let (traces, empty) = input.read(&source).await?;
    let read = WhatWasRead::of(&traces);
    if traces.is_empty() {
        if flags.json {
            say(&serde_json::json!({ "read": read, "suspects": [] }).to_string());
        }
        return Err(failure(Failure::No, empty));
    }
    let _baseline = match &baseline {
        Some(source) => {
            let (traces, empty) = input.read(source).await.context("cannot read the baseline")?;
            if traces.is_empty() {
                return Err(failure(Failure::No, format!("nothing to compare with: {empty}")));
            }
            Some(traces)
        }
        None => None,
    };
    say(&serde_json::json!({ "read": read, "suspects": [] }).to_string());
    Ok(())
}

impl WhatWasRead {
    pub fn of(traces: &Traces) -> Self {
        Self { traces: traces.len(), spans: traces.span_count(), left_out: traces.left_out.clone() }
    }
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

/// A file where there is one of that name, else two times.
fn baseline(text: &str) -> anyhow::Result<Source> {
    let times = text.split_once("..").map(|(start, end)| (start.trim().parse(), end.trim().parse()));
    match times {
        Some((Ok(start), Ok(end))) => window(start, end, Vec::new()).context("--baseline"),
        Some(_) if !Path::new(text).exists() => bail!(
            "--baseline {text:?} is neither a file nor two times; it should look like 2026-11-01T12:00:00Z..2026-11-01T12:30:00Z"
        ),
        _ => Ok(Source::Files(vec![text.into()])),
    }
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
    /// Base URL of the query API.
    jaeger: String,
    limit: usize,
    now: Timestamp,
}

impl Input {
    /// The traces, and what to say where there are none. What was read, what not and why is said on stderr.
    async fn read(&self, source: &Source) -> anyhow::Result<(Traces, String)> {
        let mut builder = Builder::until(u64::try_from(self.now.as_nanosecond()).unwrap_or_default());
        let (from, empty) = match source {
            Source::Files(paths) => {
                for path in paths {
                    self.file(path, &mut builder)?;
                }
                let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                (names.join(", "), format!("there is no trace in {}", names.join(", ")))
            }
            Source::Window { start, end, services } => {
                let collected = self.window(*start, *end, services, &mut builder).await?;
                (self.jaeger.clone(), self.nothing_there(&collected, *start, *end, services))
            }
        };
        let traces = builder.finish();
        report(&from, &traces);
        let reasons = reasons(&traces);
        Ok((traces, if reasons.is_empty() { empty } else { format!("{empty} that could be used (left out: {reasons})") }))
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
        let client = Client::new(&self.jaeger)?;
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
        let mut names = known.iter().take(SOME_SERVICES).map(String::as_str).collect::<Vec<_>>().join(", ");
        if known.len() > SOME_SERVICES {
            names += &format!(" and {} more", known.len() - SOME_SERVICES);
        }
        if !unknown.is_empty() {
            return format!("the Jaeger at {base} knows no service {}; it knows {names}", unknown.join(", "));
        }
        format!("there is no trace at {base} between {start} and {end}; try a longer --lookback (it knows {names})")
    }
}

fn report(from: &str, traces: &Traces) {
    eprintln!("read {} traces with {} spans from {from}", traces.len(), traces.span_count());
    if !traces.left_out.is_empty() {
        eprintln!("left out: {}", reasons(traces));
    }
    for (what, times) in &traces.noted {
        eprintln!("note: {times} × {what}");
    }
    if !traces.unkept.is_empty() {
        eprintln!("note: not compared, since their values hardly repeat: {}", traces.unkept.join(", "));
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
