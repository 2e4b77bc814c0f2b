//! `tracelab load`: many calls through the buttons, measured.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{allow_many_connections, say, stop_on_signal};
use crate::cli;
use crate::config::{Config, base};
use crate::exit::{Failure, chain, failure};
use crate::load::{self, LoadError, Plan, Snapshot};
use crate::outbound;
use crate::server::Stop;

pub async fn run(config: Config, flags: cli::Load) -> anyhow::Result<()> {
    allow_many_connections();
    let plan = Plan {
        calls: flags.calls,
        concurrency: flags.concurrency,
        rate: flags.rate,
        buttons: flags.buttons,
        baggage: flags.baggage,
        ..Plan::default()
    };
    let stop = Stop::new();
    stop_on_signal(stop.clone());
    let bar = progress_bar(plan.calls);
    let result = load::run(outbound::client()?, &config.frontend, &plan, &stop, |snapshot| show(&bar, snapshot)).await;
    bar.finish_and_clear();
    let report = result.map_err(|error| match error {
        LoadError::Plan(error) => error.into(),
        LoadError::Refused { .. } => error.into(),
        LoadError::Unreachable { .. } | LoadError::NotAFrontend { .. } => failure(Failure::Unreachable, chain(&error)),
    })?;
    let links = config.jaeger_links.as_ref().map(base).or_else(|| report.links.clone());
    say(&if flags.json { serde_json::to_string(&report)? } else { report.text(links.as_deref()) })?;
    match &report.lost {
        Some(lost) => Err(failure(Failure::Unreachable, lost)),
        None => Ok(()),
    }
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
