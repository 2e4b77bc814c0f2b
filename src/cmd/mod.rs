//! One thin file a subcommand, and what they share.

mod backend;
mod client;
mod diagnose;
mod doctor;
mod frontend;
mod game_day;
mod guess;
mod healthcheck;
mod learn;
mod load;
mod logs;
mod manifest;
mod mystery;
mod redeploy;
mod reveal;
mod service;
mod up;
mod watch;

use std::io::{self, Write as _};
use std::num::NonZero;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tracing::info;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::server::Stop;
use crate::telemetry::{Exporter, LogSettings, Logs, take_over_standard_variables};

/// More workers would only pass requests of a few microseconds to and fro between them.
const MOST_WORKERS: usize = 4;
/// Beside the workers, for what would hold them up: unzipping, long answers, files. The runtime's default is 512.
const MOST_BLOCKING: usize = 8;

/// Runs the command that was typed.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let file = cli.config.as_deref();
    match cli.command {
        Command::Up(flags) => {
            let config = alone_with_the_agent(Config::load_up(file, &flags)?)?;
            server_runtime()?.block_on(up::run(config, flags.json))
        }
        Command::Load(flags) => server_runtime()?.block_on(load::run(Config::load_without_telemetry(file, &flags)?, flags)),
        Command::Diagnose(flags) => server_runtime()?.block_on(diagnose::run(Config::load_without_telemetry(file, &flags)?, flags)),
        Command::Logs(flags) => small_runtime()?.block_on(logs::run(Config::load_without_telemetry(file, &flags)?, flags)),
        Command::Doctor(flags) => {
            let (config, refused) = doctor::config(file, &flags)?;
            server_runtime()?.block_on(doctor::run(alone_with_the_agent(config)?, refused, flags))
        }
        Command::Guess(flags) => small_runtime()?.block_on(guess::run(Config::load_without_telemetry(file, &flags)?, flags)),
        Command::Reveal(flags) => small_runtime()?.block_on(reveal::run(Config::load_without_telemetry(file, &flags)?, flags)),
        Command::Mystery(flags) => small_runtime()?.block_on(mystery::run(Config::load_without_telemetry(file, &flags)?, flags)),
        Command::Redeploy(flags) => small_runtime()?.block_on(redeploy::run(Config::load_without_telemetry(file, &flags)?, flags)),
        Command::GameDay(flags) => small_runtime()?.block_on(game_day::run(file, flags.command)),
        Command::Watch(flags) => {
            let (once, json, dry_run) = (flags.once, flags.json, flags.dry_run);
            server_runtime()?.block_on(watch::run(Config::load_without_telemetry(file, &flags)?, once, json, dry_run))
        }
        Command::Learn(flags) => learn::run(file, flags.command),
        Command::Service(flags) => {
            let config = alone_with_the_agent(Config::load(file, &flags)?)?;
            small_runtime()?.block_on(service::run(config, flags.instrumentation, flags.json))
        }
        Command::Frontend(flags) => {
            let config = alone_with_the_agent(Config::load(file, &flags)?)?;
            server_runtime()?.block_on(frontend::run(config, flags.json))
        }
        Command::Backend(flags) => {
            server_runtime()?.block_on(backend::run(Config::load_without_telemetry(file, &flags)?, flags.json))
        }
        Command::Healthcheck(flags) => {
            small_runtime()?.block_on(healthcheck::run(Config::load_without_telemetry(file, &flags)?, flags.url))
        }
        Command::Manifest(flags) => {
            manifest::run(&Config::load_without_telemetry(file, manifest::keys(&flags.stage))?, &flags.stage)
        }
    }
}

/// Where traces go to a Jaeger agent, nobody but us says where that is.
fn alone_with_the_agent(config: Config) -> anyhow::Result<Config> {
    if config.exporter == Exporter::JaegerAgent {
        take_over_standard_variables(config.telemetry().agent.as_ref())?;
    }
    Ok(config)
}

/// For `up`, frontend, backend and load.
fn server_runtime() -> anyhow::Result<Runtime> {
    let workers = std::thread::available_parallelism().map_or(2, NonZero::get).clamp(2, MOST_WORKERS);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).max_blocking_threads(MOST_BLOCKING).enable_all().build().context("cannot start the runtime")
}

/// For one service in its container, and for clients that make one call.
fn small_runtime() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.max_blocking_threads(MOST_BLOCKING).enable_all().build().context("cannot start the runtime")
}

/// Connections count as open files, and many systems allow a process 1,024 or fewer until it asks for more. How many there may be now,
/// where that can be asked.
fn allow_many_connections() -> Option<u64> {
    // What cannot be raised shows when connections are refused, with an error of its own.
    rlimit::increase_nofile_limit(1 << 16).ok()
}

fn start_logs(config: &Config, console: &str, service: &str) -> anyhow::Result<Logs> {
    let console = config.log.clone().unwrap_or_else(|| console.to_owned());
    Logs::start(&LogSettings { console, export: "info".to_owned(), service: service.to_owned() })
}

/// Stops everything that shares `stop` at the first Ctrl-C or SIGTERM; a second one ends the process at once.
fn stop_on_signal(stop: Stop) {
    leave_on_signal(stop, Duration::ZERO);
}

/// The same for a role that others call: before it stops it answers for `drain` on, or until the next signal, and sends its callers
/// elsewhere.
fn leave_on_signal(stop: Stop, drain: Duration) {
    tokio::spawn(async move {
        signal().await;
        if !drain.is_zero() {
            info!(seconds = drain.as_secs_f64(), "going away; callers are answered for so long, and sent elsewhere");
            stop.leave();
            let _ = tokio::time::timeout(drain, signal()).await;
        }
        info!("stopping; requests that are running may finish");
        stop.stop();
        signal().await;
        std::process::exit(130);
    });
}

async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Without a handler for it SIGTERM ends the process at once, which is what then happens.
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Prints a result.
///
/// # Errors
/// It is lost, for example on a full disk.
fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    said(stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()))
}

/// Whoever reads a result may stop early: that is no error of ours.
fn said(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write the result"),
        _ => Ok(()),
    }
}
