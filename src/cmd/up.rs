//! `tracelab up`: everything in this process.

use super::{allow_many_connections, say, start_logs, stop_on_signal};
use crate::config::Config;
use crate::frontend::Pick;
use crate::mystery::Cause;
use crate::sandbox::{Addresses, Sandbox};
use crate::server::Stop;

/// 91 services and their own backend take these from nobody.
const IGNORED: [&str; 4] =
    ["OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"];

pub async fn run(config: Config, json: bool) -> anyhow::Result<()> {
    allow_many_connections();
    let _logs = start_logs(&config, "warn", "tracelab")?;
    for variable in IGNORED.into_iter().filter(|variable| std::env::var_os(variable).is_some()) {
        eprintln!("note: `up` ignores {variable}; --otlp and --jaeger name a Jaeger outside");
    }
    let stop = Stop::new();
    stop_on_signal(stop.clone());
    let sandbox = Sandbox::start(&config).await?;
    let text = if json { serde_json::to_string(sandbox.addresses())? } else { welcome(&config, sandbox.addresses()) };
    say(&text);
    stop.stopped().await;
    sandbox.stop().await;
    Ok(())
}

/// What to do next, in at most eight lines.
fn welcome(config: &Config, addresses: &Addresses) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "tracelab".to_owned());
    let services = usize::from(config.layers) * usize::from(config.width);
    let what = match config.mystery {
        Pick::Cause(Cause::None) => "nothing is wrong with any of them".to_owned(),
        Pick::Cause(cause) => format!("one of them hides a {cause}"),
        Pick::Random => "something may be wrong with one of them".to_owned(),
    };
    // Commands on the default port need no --frontend.
    let frontend = if config.port == 8080 { String::new() } else { format!(" --frontend {}", addresses.frontend) };
    format!(
        "{services} services are up; {what}.\n\
         \n\
         \x20 page    {page}\n\
         \x20 traces  {traces}/search\n\
         \n\
         Press buttons on the page, or make 10,000 calls: {program} load{frontend}\n\
         Find the culprit in the traces, then say so:     {program} guess --service dummy-L-N --cause sleep{frontend}\n\
         Ctrl-C stops everything.",
        page = addresses.frontend,
        traces = addresses.jaeger,
    )
}
