//! `tracelab doctor`: why do I see no traces?

use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use super::{said, say};
use crate::cli;
use crate::config::Config;
use crate::doctor::{self, Environment, Finding, Plan};
use crate::exit::{Failure, failure};

#[derive(Serialize)]
struct Report<'a> {
    checks: &'a [Finding],
    conclusion: &'a str,
}

/// What is configured, and why our own roles would refuse the standard variables: that is a finding here, and no error.
pub(super) fn config(file: Option<&Path>, flags: &cli::Doctor) -> anyhow::Result<(Config, Option<String>)> {
    match Config::load(file, flags) {
        Ok(config) => Ok((config, None)),
        Err(error) => Ok((Config::load_without_telemetry(file, flags)?, Some(format!("{error:#}")))),
    }
}

pub(super) async fn run(config: Config, refused: Option<String>, flags: cli::Doctor) -> anyhow::Result<()> {
    let frontend_named = flags.client.frontend.is_some() || config.frontend != Config::default().frontend;
    let plan = Plan {
        frontend_named,
        environment: Environment::here(),
        refused,
        probe: !flags.no_probe,
        call: !flags.no_call,
        compose: flags.compose,
        config,
    };
    let width = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0)).clamp(60, 132);
    let mut written = Ok(());
    let diagnosis = doctor::examine(&plan, |finding| {
        if !flags.json && written.is_ok() {
            written = write(finding, width);
        }
    })
    .await?;
    said(written)?;
    let conclusion = diagnosis.conclusion();
    if flags.json {
        say(&serde_json::to_string_pretty(&Report { checks: &diagnosis.findings, conclusion: &conclusion })?)?;
    } else {
        say(&format!("\n{}", textwrap::fill(&conclusion, textwrap::Options::new(width).break_words(false))))?;
    }
    // The last line of a report says it already; this is what a script's log keeps.
    if !diagnosis.reached {
        return Err(failure(Failure::Unreachable, "nothing at all could be reached"));
    }
    if diagnosis.failed() {
        let failed = diagnosis.findings.iter().filter(|finding| finding.is_failure()).count();
        let of = diagnosis.findings.len();
        return Err(failure(Failure::No, format!("{failed} of {of} checks failed")));
    }
    Ok(())
}

fn write(finding: &Finding, width: usize) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    finding.write(&mut out, width)?;
    out.flush()
}
