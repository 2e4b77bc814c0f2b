//! Every command, flag and help text.
//!
//! A flag that is also a configuration key is optional here and has the key's name, so that [`crate::config::Config::load`] can
//! lay it over the other sources; its default stands in `Config::default`.

use std::net::IpAddr;
use std::path::PathBuf;

use anstream::ColorChoice;
use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::{Serialize, Serializer};
use url::Url;

use crate::config::Secret;
use crate::frontend::{self, Pick, Release};
use crate::logs::Asked;
use crate::mystery::Cause;
use crate::telemetry::{Exporter, Level, Levels, Propagator, Protocol};
use crate::topology::{Route, ServiceName};
use crate::watch::settings::{Share, Time};

const STYLES: Styles = Styles::styled().header(AnsiColor::Green.on_default().bold()).usage(AnsiColor::Green.on_default().bold());

/// Ship a first distributed trace, then find the one fault hidden among 90 services.
///
/// Start with `tracelab up`, which runs everything in this process and prints where to look.
#[derive(Debug, Parser)]
#[command(version, styles = STYLES, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 the answer is no (a wrong guess, a failed check), 2 bad usage or configuration, \
                        3 something needed cannot be reached.\n\
                        What runs and where can also be set in tracelab.toml (store_mb = 512) or by a variable \
                        (TRACELAB_STORE_MB=512): every flag of up, service, frontend and backend but --config and --json, and \
                        --frontend, --jaeger-links, --instructor-token and --port of every command. What watch looks for is in \
                        the table [watch] (TRACELAB_WATCH__SLOWER_THAN=500ms).")]
pub struct Cli {
    /// Configuration file [default: tracelab.toml in this directory, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything here: services, frontend and trace backend
    Up(Up),
    /// Make many calls through the frontend's buttons and measure them
    Load(Load),
    /// Read traces and say what is wrong: suspects, with evidence
    Diagnose(Diagnose),
    /// Look for slow and failed traces again and again, and send mail about them
    ///
    /// --slower-than and --failed are a rule each; [[watch.rules]] in tracelab.toml are others, with names. A trace is as slow as
    /// its root span, and failed where that did. A rule sends one mail in --period at most, which counts what came since the last
    /// one, names the worst traces and the top suspect. Without --smtp, mails are printed instead of sent. With --once, exit code 1
    /// says that a rule was met.
    Watch(Watch),
    /// Show every log line of one trace, across services, in time order
    Logs(Logs),
    /// Why do I see no traces? Check the way from a span to the page, with the way out
    Doctor(Doctor),
    /// Say what is wrong, and hear whether you are right
    Guess(Guess),
    /// Give up: be told what is wrong, and the seed
    Reveal(Reveal),
    /// Start a new mystery
    Mystery(Mystery),
    /// Put another version of one service in place, or a program of your own (in `up`)
    Redeploy(Redeploy),
    /// Rounds for teams, one after the other by the clock, and a board (the page /instructor does the same)
    ///
    /// It takes a frontend that was started with --instructor-token. While a game day runs, its rounds are the mysteries and there
    /// are no hints.
    #[command(name = "game-day")]
    GameDay(GameDay),
    /// The tutorial: what to do next, and whether it is done
    ///
    /// A chapter is done when the trace backend holds what its task asks for; `check` looks there. What is done is kept in one file
    /// below the user's data directory, which may be deleted.
    Learn(Learn),
    /// Run one service, as its container does
    Service(Service),
    /// Run the frontend, as its container does
    Frontend(Frontend),
    /// Run the trace backend, as its container does
    Backend(Backend),
    /// Ask a role on this machine whether it is ready
    Healthcheck(Healthcheck),
    /// Write the per-service parts of a stage's files
    Manifest(Manifest),
}

#[derive(Debug, Args, Serialize)]
pub struct Up {
    #[command(flatten)]
    #[serde(flatten)]
    pub topology: TopologyFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub mystery: MysteryFlags,
    /// Put a program of your own in a service's place (repeatable)
    #[arg(long, value_name = "SERVICE=URL", value_parser = replacement)]
    #[serde(serialize_with = "map", skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<(ServiceName, Url)>,
    /// A Redis that runs already, for mysteries of cause redis [default: redis-server on the PATH, started when it is needed]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Url>,
    /// Address on which page and trace backend listen [default: 127.0.0.1]
    ///
    /// Beyond loopback the page answers to IP addresses, localhost and names without a dot; --allowed-hosts tells it other names.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<IpAddr>,
    /// Port of the page [default: 8080]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[command(flatten)]
    #[serde(flatten)]
    pub backend: BackendFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub game: GameFlags,
    /// Use the Jaeger at this query address instead of the backend inside (with --otlp or --exporter jaeger-agent)
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<Url>,
    /// Where a reader's browser finds the traces, where that is another address
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_links: Option<Url>,
    /// How much services do for tracing: full, propagate (no spans, for a mesh) or none; of one service or of all (repeatable)
    #[arg(long, value_name = "[SERVICE=]LEVEL", value_parser = level_of)]
    #[serde(serialize_with = "map", skip_serializing_if = "Vec::is_empty")]
    pub instrumentation: Vec<(String, Level)>,
    #[command(flatten)]
    #[serde(flatten)]
    pub telemetry: TelemetryFlags,
    /// When all is ready, print one line of JSON {frontend, jaeger, otlp_http, otlp_grpc}
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct TopologyFlags {
    #[command(flatten)]
    #[serde(flatten)]
    pub size: SizeFlags,
    /// How a service picks the next one [default: straight]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
}

#[derive(Debug, Args, Serialize)]
pub struct SizeFlags {
    /// Layers of services [default: 3]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<u16>,
    /// Services in a layer [default: 30]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
}

#[derive(Debug, Args, Serialize)]
pub struct MysteryFlags {
    /// What is to be wrong [default: sleep]
    #[arg(long, value_name = "CAUSE", value_parser = pick())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mystery: Option<Pick>,
    /// Draw the same mystery again, 0 to 9007199254740991 [default: a random seed, told by `reveal`]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Multiply the ordinary delays; 0 takes them away [default: 1]
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_scale: Option<f64>,
}

#[derive(Debug, Args, Serialize)]
pub struct GameFlags {
    /// Keep seed, guesses and scores in this directory
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PathBuf>,
    /// Ask for this token before revealing, redeploying or starting a new mystery; a game day takes one
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructor_token: Option<Secret>,
    /// Names by which the page may be reached beside loopback, for example behind a load balancer
    ///
    /// Without any, a page bound beyond loopback (--bind) answers to IP addresses, localhost and names without a dot; with
    /// some, to these and loopback alone.
    #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
}

#[derive(Debug, Args, Serialize)]
pub struct BackendFlags {
    /// Port of the trace pages and the query API [default: 16686]
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_port: Option<u16>,
    /// Port for OTLP by HTTP [default: 4318]
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_http_port: Option<u16>,
    /// Port for OTLP by gRPC [default: 4317]
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_grpc_port: Option<u16>,
    /// Memory for traces, in MiB; beyond it the oldest go [default: 256]
    #[arg(long, value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_mb: Option<usize>,
}

#[derive(Debug, Args, Serialize)]
pub struct TelemetryFlags {
    /// Send traces to this base URL [default: OTEL_EXPORTER_OTLP_ENDPOINT, else localhost; in `up` the backend inside]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Url>,
    /// How OTLP is carried to that URL [default: http/protobuf]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Where traces go: otlp is to --otlp or its default [default: otlp]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exporter: Option<Exporter>,
    /// The agent that takes traces by the exporter jaeger-agent [default: OTEL_EXPORTER_JAEGER_AGENT_HOST, else localhost:6831]
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_agent: Option<String>,
    /// Where logs go, beside stdout [default: none; in `up` the backend inside]
    #[arg(long, value_name = "EXPORTER", value_parser = logs_exporter())]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs_exporter: Option<Exporter>,
    /// How context travels [default: tracecontext,baggage]
    #[arg(long, value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub propagators: Vec<Propagator>,
    /// Log lines on stdout, for example warn or info,tracelab::service=debug [default: info; in `up` warn, without failed requests]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub struct DrainFlags {
    /// When told to end, answer on for so long and send callers elsewhere, before stopping [default: 0]
    ///
    /// For a balancer that hears of the end late, and callers that keep their connections: each answer closes its own, and /readyz
    /// says 503. Another signal cuts it short.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_seconds: Option<f64>,
}

#[derive(Debug, Args, Serialize)]
pub struct FrontendClient {
    /// Base URL of the frontend [default: http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend: Option<Url>,
}

#[derive(Debug, Args, Serialize)]
pub struct Instructor {
    #[command(flatten)]
    #[serde(flatten)]
    pub client: FrontendClient,
    /// The token that the frontend was started with, if any
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructor_token: Option<Secret>,
}

#[derive(Debug, Args, Serialize)]
pub struct Load {
    /// How many calls
    #[arg(default_value_t = 10_000)]
    #[serde(skip)]
    pub calls: u64,
    /// How many at a time
    #[arg(long, default_value_t = 100)]
    #[serde(skip)]
    pub concurrency: usize,
    /// Calls per second: started on schedule whatever the answers take, latency counted from the schedule
    #[arg(long, value_name = "PER_SECOND")]
    #[serde(skip)]
    pub rate: Option<f64>,
    /// Only these buttons, for example 3,7 [default: all in turn]
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    #[serde(skip)]
    pub buttons: Vec<u16>,
    /// Baggage for every call (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = baggage)]
    #[serde(skip)]
    pub baggage: Vec<(String, String)>,
    #[command(flatten)]
    #[serde(flatten)]
    pub client: FrontendClient,
    /// Where links to traces lead [default: what the frontend says]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_links: Option<Url>,
    /// Print the result as JSON
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
    /// With --json: say all that was counted, so that --merge can put several runs together
    #[arg(long, requires = "json")]
    #[serde(skip)]
    pub counts: bool,
    /// Make no calls: read what `load --json --counts` printed, or - for stdin, and print all of it as one run
    ///
    /// Counts add up exactly: mean, percentiles and errors are those of one run with all of the calls. A file may hold several
    /// results, a line each.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["calls", "concurrency", "rate", "buttons", "baggage"])]
    #[serde(skip)]
    pub merge: Vec<PathBuf>,
}

/// Read traces and say what is wrong: suspects, with evidence.
///
/// The traces may be anybody's. Without --file they come from a Jaeger query API, by default the one that `tracelab up` has
/// inside. Exit code 1 says that there was no trace to read.
#[derive(Debug, Args, Serialize)]
pub struct Diagnose {
    /// Base URL of the Jaeger query API [default: http://127.0.0.1:16686]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<Url>,
    /// Only traces that this service takes part in (repeatable) [default: all]
    #[arg(long, conflicts_with = "file")]
    #[serde(skip)]
    pub service: Vec<String>,
    /// How far back from --end, for example 15m, 2h or 1d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = lookback, conflicts_with_all = ["file", "start"])]
    #[serde(skip)]
    pub lookback: SignedDuration,
    /// Traces from this time on, for example 2026-11-01T12:00:00Z [default: --lookback before --end]
    #[arg(long, value_name = "TIME", conflicts_with = "file")]
    #[serde(skip)]
    pub start: Option<Timestamp>,
    /// Traces up to this time [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "file")]
    #[serde(skip)]
    pub end: Option<Timestamp>,
    /// Stop reading after about so many traces, the newest first
    #[arg(long, value_name = "N", conflicts_with = "file", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    #[serde(skip)]
    pub limit: u64,
    /// Read this file instead, or - for stdin: Jaeger's JSON or OTLP's, gzip or not (repeatable)
    #[arg(long, value_name = "PATH")]
    #[serde(skip)]
    pub file: Vec<PathBuf>,
    /// Compare with better times: a file (repeatable), or START..END to read from --jaeger
    #[arg(long, value_name = "FILE|START..END")]
    #[serde(skip)]
    pub baseline: Vec<String>,
    /// Where links to traces lead [default: --jaeger]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_links: Option<Url>,
    /// Print the result as JSON
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
    /// Write a report for the browser to this file, which needs nothing else
    #[arg(long, value_name = "PATH")]
    #[serde(skip)]
    pub html: Option<PathBuf>,
}

/// Show every log line of one trace, across services, in time order.
///
/// The lines come from the trace backend, where services send them to it as in `tracelab up`; else from what containers and pods
/// have written, or from files. Order is by the clocks of the hosts that wrote them: where these differ, so may the order.
#[derive(Debug, Args, Serialize)]
#[command(group = clap::ArgGroup::new("program").multiple(true).args(["compose", "kubernetes"]))]
#[command(
    after_help = "Exit codes: 0 there are lines, 1 there are none, 2 bad usage or a file that cannot be read, 3 the backend, Docker or \
                        Kubernetes cannot be reached."
)]
pub struct Logs {
    /// Its id: 32 hexadecimal digits, or 16; or a link to it; or a traceparent
    #[serde(skip)]
    pub trace: Asked,
    /// Base URL of the trace backend; a real Jaeger keeps no logs [default: what a link leads to, or http://127.0.0.1:16686]
    #[arg(long, value_name = "URL", conflicts_with_all = ["compose", "kubernetes", "file"])]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<Url>,
    /// Read what `docker compose logs` prints
    #[arg(long)]
    #[serde(skip)]
    pub compose: bool,
    /// Compose's project [default: COMPOSE_PROJECT_NAME, or what --compose-file says, or tracelab]
    #[arg(short, long, value_name = "NAME", requires = "compose")]
    #[serde(skip)]
    pub project: Option<String>,
    /// Compose's file, as after `docker compose -f` (repeatable)
    #[arg(short = 'f', long, value_name = "FILE", requires = "compose")]
    #[serde(skip)]
    pub compose_file: Vec<PathBuf>,
    /// Read what `kubectl logs` prints for all pods of the sandbox, in this namespace [default: the current one]
    #[arg(long, value_name = "NAMESPACE", num_args = 0..=1, require_equals = true)]
    #[serde(skip)]
    pub kubernetes: Option<Option<String>>,
    /// Of containers and pods only the lines of so long ago, for example 15m, 2h or 1d
    #[arg(long, value_name = "TIME", value_parser = lookback, requires = "program")]
    #[serde(skip)]
    pub since: Option<SignedDuration>,
    /// Read this file, or - for stdin (repeatable)
    ///
    /// Lines of JSON or plain text, as services write them, Docker, Kubernetes and Compose keep or print them, or the OpenTelemetry
    /// collector's file exporter; gzip or not.
    #[arg(long, value_name = "PATH")]
    #[serde(skip)]
    pub file: Vec<PathBuf>,
    /// Whether to colour; auto is: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = colours())]
    #[serde(skip)]
    pub color: ColorChoice,
    /// Print one JSON object per line
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

/// Why do I see no traces? Check the way from a span to the page, with the way out.
///
/// Looks where services send traces (flags, configuration and OTEL_… variables, as they are here) and where traces are looked at;
/// anybody's Jaeger will do. Sends one span of a service `tracelab-doctor`, which stays where it arrives: --no-probe sends none.
/// Exit code 1 says that a check failed, 3 that nothing at all could be reached.
#[derive(Debug, Args, Serialize)]
pub struct Doctor {
    #[command(flatten)]
    #[serde(flatten)]
    pub client: FrontendClient,
    /// Base URL of the Jaeger query API [default: http://127.0.0.1:16686]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<Url>,
    /// Base URL to which traces are sent [default: OTEL_EXPORTER_OTLP_ENDPOINT, else localhost]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Url>,
    /// How OTLP is carried to that URL [default: http/protobuf]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Where traces go: otlp is to --otlp or its default [default: otlp]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exporter: Option<Exporter>,
    /// The agent that takes traces by the exporter jaeger-agent [default: OTEL_EXPORTER_JAEGER_AGENT_HOST, else localhost:6831]
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_agent: Option<String>,
    /// Send no span
    #[arg(long)]
    #[serde(skip)]
    pub no_probe: bool,
    /// Press no button of the frontend
    #[arg(long)]
    #[serde(skip)]
    pub no_call: bool,
    /// Look at the compose stage too: Docker, Compose, ports, memory, containers
    #[arg(long)]
    #[serde(skip)]
    pub compose: bool,
    /// Print the result as JSON
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct Watch {
    #[command(flatten)]
    #[serde(rename = "watch")]
    pub watch: WatchFlags,
    /// Base URL of the Jaeger query API [default: http://127.0.0.1:16686]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<Url>,
    /// Where links to traces lead [default: --jaeger]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_links: Option<Url>,
    /// Mail server: smtp://host, smtp://user@host:port, encrypted where it offers STARTTLS, or smtps://…
    ///
    /// The password is in TRACELAB_SMTP_PASSWORD. With a user, or ?tls=required at its end, smtp:// is not used without encryption.
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Url>,
    /// Trust the certificates in this PEM file too, for a mail server with an authority of its own
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_ca: Option<PathBuf>,
    /// Log in even where the connection is not encrypted
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub smtp_plain_login: bool,
    /// Whom mail is from
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_from: Option<String>,
    /// Whom mail goes to (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mail_to: Vec<String>,
    /// Look once, and exit with 1 if a rule is met
    #[arg(long)]
    #[serde(skip)]
    pub once: bool,
    /// Print what was found as JSON
    #[arg(long, requires = "once")]
    #[serde(skip)]
    pub json: bool,
    /// Print mails instead of sending them
    #[arg(long)]
    #[serde(skip)]
    pub dry_run: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct WatchFlags {
    /// Traces that take longer, for example 500ms
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<Time>,
    /// Traces that failed
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// Not each of them, but more than this share of all, for example 5%
    #[arg(long, value_name = "PERCENT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// What a share is of, and a suspect looked for in [default: 10m]
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Time>,
    /// A share of fewer traces counts for nothing [default: 20]
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_traces: Option<u64>,
    /// Not whole traces, but how requests went in this service
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Time between two looks [default: 15s]
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Time>,
    /// How far a look goes back [default: 5m, more where a rule is about slower traces]
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookback: Option<Time>,
    /// A rule sends one mail in this time at most [default: 15m]
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Time>,
    /// First pause before mail is tried again; later ones are longer [default: 5s]
    #[arg(long, value_name = "TIME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Time>,
}

#[derive(Debug, Args, Serialize)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["service", "callee", "cause", "customer", "nothing"]))]
pub struct Guess {
    /// The service where the fault sits; of two services the one that calls the other
    #[arg(long, conflicts_with = "nothing")]
    #[serde(skip)]
    pub service: Option<ServiceName>,
    /// The other end, the one that is called, where the fault sits between two services
    #[arg(long, value_name = "SERVICE", conflicts_with = "nothing")]
    #[serde(skip)]
    pub callee: Option<ServiceName>,
    /// What kind of fault it is
    #[arg(long, conflicts_with = "nothing")]
    #[serde(skip)]
    pub cause: Option<Cause>,
    /// The customer whom it hits
    #[arg(long, value_name = "ID", conflicts_with = "nothing")]
    #[serde(skip)]
    pub customer: Option<String>,
    /// Nothing is wrong
    #[arg(long)]
    #[serde(skip)]
    pub nothing: bool,
    /// The team that guesses [default: everybody]
    #[arg(long)]
    #[serde(skip)]
    pub team: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub client: FrontendClient,
    /// Print the verdict as JSON
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct Reveal {
    /// Give up for this team only; its guesses count no more [default: all teams]
    #[arg(long)]
    #[serde(skip)]
    pub team: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub instructor: Instructor,
    /// Print the answer as JSON
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct Mystery {
    /// What is to be wrong [default: what the frontend was started with]
    #[arg(value_parser = pick())]
    #[serde(skip)]
    pub cause: Option<Pick>,
    /// Draw the mystery of this seed, 0 to 9007199254740991 [default: a random one]
    #[arg(long)]
    #[serde(skip)]
    pub seed: Option<u64>,
    #[command(flatten)]
    #[serde(flatten)]
    pub instructor: Instructor,
}

#[derive(Debug, Args, Serialize)]
pub struct Redeploy {
    /// The service, for example dummy-1-17
    #[serde(skip)]
    pub service: ServiceName,
    /// v2 is the patched version, v1 the one that every service starts with; a URL is that of a program of your own, which gets
    /// the service's requests until v1 or a new mystery takes it out
    #[arg(value_name = "v1|v2|URL")]
    #[serde(skip)]
    pub release: Release,
    #[command(flatten)]
    #[serde(flatten)]
    pub instructor: Instructor,
}

#[derive(Debug, Args)]
pub struct GameDay {
    #[command(subcommand)]
    pub command: GameDayCommand,
}

#[derive(Debug, Subcommand)]
pub enum GameDayCommand {
    /// Begin one with its first round
    Start(GameDayStart),
    /// The clock and the board, as everybody may see them
    Status(GameDayStatus),
    /// End the round that is running; in a pause, begin the next one
    Next(GameDayTurn),
    /// End it, with the round that is running and without those to come
    Stop(GameDayTurn),
    /// Schedule, seeds, answers, and what every team did; also of the round that is running
    Results(GameDayResults),
}

#[derive(Debug, Args, Serialize)]
pub struct GameDayStart {
    /// How many rounds [default: one for each --cause, or 3]
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    pub rounds: Option<usize>,
    /// How long a round lasts at most, in fractions too
    #[arg(long, default_value_t = 10.0, allow_negative_numbers = true)]
    #[serde(skip)]
    pub minutes: f64,
    /// What is wrong in the rounds, in turn (repeatable); the teams are not told [default: random]
    #[arg(long, value_name = "CAUSE", value_parser = pick())]
    #[serde(skip)]
    pub cause: Vec<Pick>,
    /// Seconds between two rounds [default: 30]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    #[serde(skip)]
    pub pause: Option<f64>,
    /// The name of a team that plays (repeatable); others cannot guess then [default: whoever comes]
    #[arg(long, value_name = "NAME")]
    #[serde(skip)]
    pub team: Vec<String>,
    /// Tell the teams the cause; it takes --cause
    #[arg(long)]
    #[serde(skip)]
    pub tell_cause: bool,
    /// A schedule instead: {rounds: [{cause, minutes, seed?, tell_cause?}], pause_seconds?, teams?}; - reads stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rounds", "minutes", "cause", "pause", "team", "tell_cause"])]
    #[serde(skip)]
    pub schedule: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub instructor: Instructor,
}

#[derive(Debug, Args, Serialize)]
pub struct GameDayStatus {
    #[command(flatten)]
    #[serde(flatten)]
    pub client: FrontendClient,
    /// Print {state, round, of, seconds_left, board, last}
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct GameDayTurn {
    #[command(flatten)]
    #[serde(flatten)]
    pub instructor: Instructor,
}

#[derive(Debug, Args, Serialize)]
pub struct GameDayResults {
    #[command(flatten)]
    #[serde(flatten)]
    pub instructor: Instructor,
    /// Print {state, pause_seconds, rounds, board}
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Learn {
    #[command(subcommand)]
    pub command: LearnCommand,
}

#[derive(Debug, Subcommand)]
pub enum LearnCommand {
    /// All chapters, and which are done
    List(LearnList),
    /// What to do next
    Next(LearnNext),
    /// Whether it is done: exit code 1 says not yet, 3 that what the chapter needs does not run
    Check(LearnCheck),
    /// A hint, by how far you are; each one more direct than the one before
    Hint(LearnCheck),
    /// Forget what is done and the hints given, of one chapter or of all
    Reset(LearnReset),
}

#[derive(Debug, Args, Serialize)]
pub struct LearnList {
    /// Print {chapters: [{number, title, folder, needs, fast, passed, task}]}
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct LearnNext {
    /// Go to this chapter instead of the next one
    #[serde(skip)]
    pub chapter: Option<u8>,
    /// From now on only the chapters for those who have seen traces before (--fast=false: all again)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    #[serde(skip)]
    pub fast: Option<bool>,
}

#[derive(Debug, Args, Serialize)]
pub struct LearnCheck {
    /// Which chapter [default: the one you are at]
    #[serde(skip)]
    pub chapter: Option<u8>,
    /// The trace that a chapter asks for: its id, or a link to it
    #[arg(long)]
    #[serde(skip)]
    pub trace: Option<Asked>,
    /// The service that a chapter asks for
    #[arg(long)]
    #[serde(skip)]
    pub service: Option<String>,
    /// In whose name you guess
    #[arg(long, default_value = frontend::DEFAULT_TEAM)]
    #[serde(skip)]
    pub team: String,
    /// How far back traces are looked at, for example 15m or 2h [default: 1h, or to the running mystery's beginning]
    #[arg(long, value_name = "TIME", value_parser = lookback)]
    #[serde(skip)]
    pub lookback: Option<SignedDuration>,
    /// Base URL of the Jaeger query API [default: http://127.0.0.1:16686]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<Url>,
    #[command(flatten)]
    #[serde(flatten)]
    pub instructor: Instructor,
    /// Print {chapter, passed, steps: [{goal, done, saw}]}; with hint {chapter, step, hint, of, text}
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct LearnReset {
    /// Which chapter [default: all]
    #[serde(skip)]
    pub chapter: Option<u8>,
}

#[derive(Debug, Args, Serialize)]
pub struct Service {
    /// Which service this is, for example dummy-1-17 [default: OTEL_SERVICE_NAME]
    #[arg(long, value_name = "SERVICE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<ServiceName>,
    /// Base URL of the frontend's control port [default: http://127.0.0.1:8081]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<Url>,
    /// Be version v2, which ignores its fault
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub patched: bool,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<IpAddr>,
    /// Port to listen on; 0 picks a free one [default: 8080]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How much this service does for tracing [default: full]
    #[arg(long, value_name = "LEVEL")]
    #[serde(skip)]
    pub instrumentation: Option<Level>,
    #[command(flatten)]
    #[serde(flatten)]
    pub telemetry: TelemetryFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub drain: DrainFlags,
    /// When listening, print one line of JSON {service}
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct Frontend {
    #[command(flatten)]
    #[serde(flatten)]
    pub topology: TopologyFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub mystery: MysteryFlags,
    /// Base URL of a service, with {service} for its name [default: http://{service}:8080]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_url: Option<String>,
    /// The same for the frontend's own calls, where a gateway stands between it and layer 0 [default: --service-url]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_url: Option<String>,
    /// Put a program of your own in a service's place (repeatable)
    #[arg(long, value_name = "SERVICE=URL", value_parser = replacement)]
    #[serde(serialize_with = "map", skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<(ServiceName, Url)>,
    /// A Redis that all services reach, for mysteries of cause redis [default: none, and no such mystery]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Url>,
    /// Address on which page and control port listen [default: 127.0.0.1]
    ///
    /// Beyond loopback the page answers to IP addresses, localhost and names without a dot; --allowed-hosts tells it other names.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<IpAddr>,
    /// Port of the page [default: 8080]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Port on which services ask for their assignments; publish it to nobody else [default: 8081]
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_port: Option<u16>,
    /// Base URL of the Jaeger query API [default: http://127.0.0.1:16686]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger: Option<Url>,
    /// Where a reader's browser finds Jaeger [default: the same]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jaeger_links: Option<Url>,
    #[command(flatten)]
    #[serde(flatten)]
    pub game: GameFlags,
    /// How much the frontend itself does for tracing [default: full]
    #[arg(long, value_name = "LEVEL")]
    #[serde(serialize_with = "of_the_frontend", skip_serializing_if = "Option::is_none")]
    pub instrumentation: Option<Level>,
    #[command(flatten)]
    #[serde(flatten)]
    pub telemetry: TelemetryFlags,
    #[command(flatten)]
    #[serde(flatten)]
    pub drain: DrainFlags,
    /// When all is ready, print one line of JSON {frontend, control}
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct Backend {
    #[command(flatten)]
    #[serde(flatten)]
    pub backend: BackendFlags,
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<IpAddr>,
    /// Log lines on stdout, for example warn [default: info]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub drain: DrainFlags,
    /// When all is ready, print one line of JSON {jaeger, otlp_http, otlp_grpc}
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct Healthcheck {
    /// What to ask [default: /readyz of the frontend or service on --port]
    #[serde(skip)]
    pub url: Option<Url>,
    /// Port of the role [default: 8080]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

#[derive(Debug, Args)]
pub struct Manifest {
    #[command(subcommand)]
    pub stage: ManifestStage,
}

#[derive(Debug, Subcommand)]
pub enum ManifestStage {
    /// Bring every stage's files to one size: in a checkout, what says how many services there are
    ///
    /// The size is that of `up`: --layers and --width, or TRACELAB_LAYERS and TRACELAB_WIDTH, or tracelab.toml. Afterwards each
    /// stage starts with its own command, as before; the image need not be built again.
    All(ManifestAll),
    /// The topology and an entry a service, as compose/compose.yaml has them
    Compose(ManifestFlags),
    /// The topology, a Deployment and a Service for each service, as kind/base/services.yaml has them
    Kubernetes(ManifestFlags),
}

#[derive(Debug, Args, Serialize)]
pub struct ManifestAll {
    #[command(flatten)]
    #[serde(flatten)]
    pub size: SizeFlags,
    /// The checkout whose files are meant [default: this directory]
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub checkout: Option<PathBuf>,
    /// Write nothing; exit code 1 says that a file is of another size
    #[arg(long)]
    #[serde(skip)]
    pub check: bool,
}

#[derive(Debug, Args, Serialize)]
pub struct ManifestFlags {
    #[command(flatten)]
    #[serde(flatten)]
    pub size: SizeFlags,
    /// Instead of that the upstreams of layer 0, as the stage's nginx has them in layer-0.conf
    #[arg(long)]
    #[serde(skip)]
    pub gateway: bool,
    /// Write them into this file, in the place of those that it has [default: to stdout]
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub into: Option<PathBuf>,
}

/// The causes, and one drawn among them.
fn pick() -> impl TypedValueParser<Value = Pick> {
    let random = PossibleValue::new("random").help(Pick::Random.about());
    let causes = Cause::value_variants().iter().filter_map(Cause::to_possible_value);
    PossibleValuesParser::new(causes.chain([random])).try_map(|text| text.parse::<Pick>())
}

/// The exporters. A Jaeger agent takes no logs: it is not offered, but read, since the configuration says why it cannot be.
fn logs_exporter() -> impl TypedValueParser<Value = Exporter> {
    let value = |exporter: &Exporter| Some(exporter.to_possible_value()?.hide(*exporter == Exporter::JaegerAgent));
    let values: Vec<_> = Exporter::value_variants().iter().filter_map(value).collect();
    PossibleValuesParser::new(values).try_map(|text| Exporter::from_str(&text, false))
}

fn colours() -> impl TypedValueParser<Value = ColorChoice> {
    PossibleValuesParser::new(["auto", "always", "never"]).map(|text| match text.as_str() {
        "always" => ColorChoice::Always,
        "never" => ColorChoice::Never,
        _ => ColorChoice::Auto,
    })
}

fn replacement(text: &str) -> Result<(ServiceName, Url), String> {
    let (service, url) = text.split_once('=').ok_or("it should look like dummy-1-17=http://127.0.0.1:9000")?;
    let service = service.parse::<ServiceName>().map_err(|error| error.to_string())?;
    let url = Url::parse(url).map_err(|error| format!("{url:?} is no URL: {error}"))?;
    Ok((service, url))
}

fn baggage(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("it should look like tier=gold".to_owned()),
    }
}

/// A positive time; a day has 24 hours.
fn lookback(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|_| "it should look like 15m, 2h or 1d".to_owned())?;
    let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    if time.is_positive() { Ok(time) } else { Err("it must be more than nothing".to_owned()) }
}

fn secret(text: &str) -> Result<Secret, String> {
    if text.is_empty() { Err("an empty token protects nothing".to_owned()) } else { Ok(Secret::new(text.to_owned())) }
}

/// `dummy-1-17=none`, or `propagate` for all.
fn level_of(text: &str) -> Result<(String, Level), String> {
    let (service, level) = text.split_once('=').unwrap_or((Levels::ALL, text));
    if service != Levels::ALL && service != frontend::NAME {
        service.parse::<ServiceName>().map_err(|error| format!("{error}; or {}", frontend::NAME))?;
    }
    let level = Level::from_str(level, false).map_err(|_| format!("{level:?} is no level; full, propagate and none are"))?;
    Ok((service.to_owned(), level))
}

fn map<K: Serialize, V: Serialize, S: Serializer>(pairs: &[(K, V)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

fn of_the_frontend<S: Serializer>(level: &Option<Level>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(level.iter().map(|level| (frontend::NAME, level)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use figment::Provider as _;
    use figment::providers::Serialized;

    use crate::config::Config;

    #[test]
    fn every_flag_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// As the help's last lines have it.
    #[test]
    fn every_flag_that_is_said_to_be_a_key_is_one() {
        let keys = Serialized::defaults(Config::default()).data().unwrap().remove(&figment::Profile::Default).unwrap();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let role = ["up", "service", "frontend", "backend", "watch"].contains(&name);
            let table = keys.get(name).and_then(figment::value::Value::as_dict);
            for flag in command.get_arguments().map(|argument| argument.get_id().as_str()) {
                let said = role && !["json", "once", "dry_run"].contains(&flag)
                    || ["frontend", "jaeger_links", "instructor_token", "port"].contains(&flag);
                let is_key = keys.contains_key(flag) || table.is_some_and(|table| table.contains_key(flag));
                assert!(!said || is_key, "{name} {flag} is no key");
            }
        }
    }

    /// Bound beyond loopback, the backend inside has another address for readers too.
    #[test]
    fn links_can_lead_elsewhere_without_a_jaeger_outside() {
        let cli = Cli::try_parse_from(["tracelab", "up", "--bind", "0.0.0.0", "--jaeger-links", "http://192.0.2.2:16686"]);
        assert!(cli.is_ok(), "{cli:?}");
    }

    #[test]
    fn what_a_mystery_can_be_is_listed() {
        for (command, argument) in [("up", "mystery"), ("frontend", "mystery"), ("mystery", "cause")] {
            let cli = Cli::command();
            let argument = cli.find_subcommand(command).unwrap().get_arguments().find(|found| found.get_id() == argument).unwrap();
            let values = argument.get_possible_values();
            assert!(values.iter().all(|value| value.get_help().is_some()), "{values:?}");
            let names: Vec<_> = values.iter().map(PossibleValue::get_name).collect();
            assert!(names.contains(&"sleep") && names.contains(&"none") && names.contains(&"random"), "{names:?}");
            assert!(names.iter().all(|name| name.parse::<Pick>().is_ok()), "{names:?}");
        }
    }

    #[test]
    fn no_help_offers_logs_to_an_agent_that_takes_none() {
        let mut up = Cli::command().find_subcommand("up").unwrap().clone();
        let help = up.render_long_help().to_string();
        assert_eq!(help.matches("- jaeger-agent:").count(), 1, "for traces alone: {help}");
    }

    #[test]
    fn every_command_and_flag_has_a_help_text() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                let name = argument.get_id();
                assert!(argument.get_help().is_some(), "{} {name} has no help", command.get_name());
            }
        }
    }
}
