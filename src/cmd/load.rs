//! `tracelab load`: many calls through the buttons, measured; and what several such runs measured, put together.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::{allow_many_connections, say, stop_on_signal};
use crate::cli;
use crate::config::{Config, base};
use crate::exit::{Failure, chain, failure};
use crate::harmless::harmless;
use crate::load::{self, LoadError, Plan, Report, Snapshot, Together};
use crate::outbound;
use crate::server::Stop;

pub async fn run(config: Config, flags: cli::Load) -> anyhow::Result<()> {
    let report = match flags.merge.is_empty() {
        true => measured(&config, &flags).await?,
        false => merged(&flags.merge)?,
    };
    let report = if flags.counts { report.with_counts(SystemTime::now()) } else { report };
    let links = config.jaeger_links.as_ref().map(base).or_else(|| report.links.clone());
    say(&if flags.json { serde_json::to_string(&report)? } else { report.text(links.as_deref()) })?;
    match &report.lost {
        Some(lost) if flags.merge.is_empty() => Err(failure(Failure::Unreachable, lost)),
        _ => Ok(()),
    }
}

async fn measured(config: &Config, flags: &cli::Load) -> anyhow::Result<Report> {
    allow_many_connections();
    let plan = Plan {
        calls: flags.calls,
        concurrency: flags.concurrency,
        rate: flags.rate,
        buttons: flags.buttons.clone(),
        baggage: flags.baggage.clone(),
        ..Plan::default()
    };
    let stop = Stop::new();
    stop_on_signal(stop.clone());
    let bar = progress_bar(plan.calls);
    let result = load::run(outbound::client()?, &config.frontend, &plan, &stop, |snapshot| show(&bar, snapshot)).await;
    bar.finish_and_clear();
    result.map_err(|error| match error {
        LoadError::Plan(error) => error.into(),
        LoadError::Refused { .. } => error.into(),
        LoadError::Unreachable { .. } | LoadError::NotAFrontend { .. } => failure(Failure::Unreachable, chain(&error)),
    })
}

/// What stands in these files, as one run. Beside results a pod's log has what it said of itself; that is passed on.
fn merged(files: &[PathBuf]) -> anyhow::Result<Report> {
    let mut together = Together::default();
    for path in files {
        let place = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
        let input: Box<dyn BufRead> = match path == Path::new("-") {
            true => Box::new(io::stdin().lock()),
            false => Box::new(BufReader::new(File::open(path).with_context(|| format!("cannot read {place}"))?)),
        };
        for (number, line) in (1..).zip(input.split(b'\n')) {
            let line = line.with_context(|| format!("cannot read {place}"))?;
            let line = line.trim_ascii();
            match line.first() {
                None => {}
                Some(b'{') => together.add(line).with_context(|| format!("{place}, line {number}"))?,
                Some(_) => eprintln!("note: {place}, line {number}: {}", harmless(&String::from_utf8_lossy(line))),
            }
        }
    }
    together.report().context("there is no result to merge; `tracelab load --json --counts` prints one")
}

/// On stderr, and only where that is a terminal.
fn progress_bar(calls: u64) -> ProgressBar {
    let bar = ProgressBar::new(calls);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} calls  {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(bar: &ProgressBar, snapshot: &Snapshot) {
    bar.set_position(snapshot.calls);
    bar.set_message(format!("{:.0}/s  p99 {:.0} ms  {} failed", snapshot.rate, snapshot.latency_ms.p99, snapshot.errors));
}
