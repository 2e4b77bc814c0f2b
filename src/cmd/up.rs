//! `tracelab up`: everything in this process.

use anyhow::bail;

use super::{allow_many_connections, say, start_logs, stop_on_signal};
use crate::config::{Config, base};
use crate::frontend;
use crate::mystery::{Cause, Field};
use crate::sandbox::{Addresses, Sandbox};
use crate::server::Stop;
use crate::telemetry::{Exporter, Level};

/// What reaches a terminal: nothing of single requests, or whoever looks at it reads there which service fails, and ten thousand
/// calls push out of sight what to do next. The backend has those lines.
const CONSOLE: &str = "warn,tracelab::service::work=error,tracelab::frontend::buttons=error";
/// 91 services and their own backend take these from nobody.
const IGNORED: [&str; 4] =
    ["OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"];
/// Nor these, where traces never leave the process.
const IGNORED_INSIDE: [&str; 2] = ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"];

/// Open files beside the services' own: page, backend, and what a few calls need.
const OTHER_FILES: u64 = 128;

pub async fn run(config: Config, json: bool) -> anyhow::Result<()> {
    check_files(&config, allow_many_connections())?;
    let _logs = start_logs(&config, CONSOLE, "tracelab")?;
    for note in notes(&config, |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty())) {
        eprintln!("note: {note}");
    }
    let stop = Stop::new();
    stop_on_signal(stop.clone());
    let sandbox = tokio::select! {
        sandbox = Sandbox::start(&config) => sandbox?,
        // Nobody has made a call yet; what was started ends with what holds it.
        () = stop.stopped() => return Ok(()),
    };
    if let Some(note) = sandbox.game().note() {
        eprintln!("note: {note}");
    }
    let text = match json {
        true => serde_json::to_string(sandbox.addresses())?,
        // The game may be one from before a restart, with another mystery than the configured one.
        false => welcome(&config, sandbox.addresses(), sandbox.game().score().await.cause),
    };
    say(&text)?;
    stop.stopped().await;
    sandbox.stop().await;
    Ok(())
}

/// Every service listens on a socket of its own: with too few open files they would start, and answer nobody.
fn check_files(config: &Config, allowed: Option<u64>) -> anyhow::Result<()> {
    let services = u64::from(config.layers) * u64::from(config.width);
    let Some(allowed) = allowed.filter(|allowed| *allowed < services + OTHER_FILES) else { return Ok(()) };
    bail!(
        "{services} services listen on a socket each, and this system allows a process {allowed} open files: \
         raise the hard limit (ulimit -Hn), or lower layers or width"
    )
}

/// What somebody may expect who does not get it.
fn notes(config: &Config, is_set: impl Fn(&str) -> bool) -> Vec<String> {
    let inside = if config.jaeger.is_none() { &IGNORED_INSIDE[..] } else { &[] };
    let ignored = IGNORED.iter().chain(inside).filter(|variable| is_set(variable));
    let mut notes: Vec<_> =
        ignored.map(|variable| format!("`up` ignores {variable}; --otlp and --jaeger name a Jaeger outside")).collect();
    let silent = |name: &str| config.instrumentation.of(name) != Level::Full;
    let services = config.topology().into_iter().flat_map(|topology| topology.services()).map(|service| service.to_string());
    let (silent, speaking): (Vec<_>, Vec<_>) = services.chain([frontend::NAME.to_owned()]).partition(|name| silent(name));
    if speaking.is_empty() {
        notes.push("no service makes spans of its own (--instrumentation), so there will be no traces".to_owned());
    } else if !silent.is_empty() {
        let note = "some services make no spans (--instrumentation); what happens in one shows as its caller's time, if at all";
        notes.push(note.to_owned());
    }
    let elsewhere = match config.exporter {
        Exporter::None => "traces go nowhere (--exporter none, or OTEL_SDK_DISABLED)",
        Exporter::Stdout => "traces go to stdout alone (--exporter stdout)",
        Exporter::Otlp | Exporter::JaegerAgent => return notes,
    };
    notes.push(format!("{elsewhere}; the page will wait for them in vain, --exporter otlp shows them"));
    notes
}

/// What to do next, in at most eight lines. `cause` is absent where it is part of the mystery.
fn welcome(config: &Config, addresses: &Addresses, cause: Option<Cause>) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "tracelab".to_owned());
    let services = usize::from(config.layers) * usize::from(config.width);
    // Where clients look by themselves they need no --frontend.
    let default = Config::default().frontend;
    let found = config.frontend == default && addresses.frontend == base(&default);
    let frontend = if found { String::new() } else { format!(" --frontend {}", addresses.frontend) };
    let what = match cause {
        Some(Cause::None) => "nothing is wrong with any of them".to_owned(),
        Some(cause) => format!("the mystery is {cause} ({})", cause.about()),
        None => "something may be wrong with one of them".to_owned(),
    };
    let find = match cause {
        Some(Cause::None) => "See in the traces that all is well, and say so: ",
        _ => "Find the culprit in the traces, then say so:    ",
    };
    let guess = match cause {
        Some(Cause::None) => format!("--nothing{frontend}"),
        Some(cause) => format!("--service dummy-L-N{} --cause {cause}{frontend}", beside_service(cause)),
        None => format!(
            "--service dummy-L-N --cause CAUSE{frontend} (with --callee where it is between two services, --customer where it \
             hits one; or --nothing)"
        ),
    };
    format!(
        "{services} services are up; {what}.\n\
         \n\
         \x20 page    {page}\n\
         \x20 traces  {traces}/search\n\
         \n\
         Press buttons on the page, or make 10,000 calls: {program} load{frontend}\n\
         {find} {program} guess {guess}\n\
         First time here? {program} learn next. Ctrl-C stops everything.",
        page = addresses.frontend,
        traces = config.jaeger_links.as_ref().map_or_else(|| addresses.jaeger.clone(), base),
    )
}

/// What a right guess names beside the service and the cause.
fn beside_service(cause: Cause) -> String {
    let flag = |field: &Field| match field {
        Field::Service => None,
        Field::Callee => Some(format!(" --{field} dummy-L-N")),
        Field::Customer => Some(format!(" --{field} customer-N")),
    };
    cause.names().iter().filter_map(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::mystery::{Guess, Verdict, draw, grade};
    use crate::telemetry::Levels;
    use crate::topology::{Route, Topology};
    use clap::{Parser as _, ValueEnum as _};

    fn welcome(config: &Config, frontend: &str, cause: Option<Cause>) -> String {
        let jaeger = "http://127.0.0.1:16686".to_owned();
        let addresses = Addresses { frontend: frontend.to_owned(), jaeger, otlp_http: None, otlp_grpc: None };
        let text = super::welcome(config, &addresses, cause);
        assert_eq!(text.lines().count(), 8, "{text}");
        text
    }

    #[test]
    fn commands_are_told_the_frontend_where_they_would_not_find_it() {
        let default = Config::default();
        let text = |config, frontend| welcome(config, frontend, Some(Cause::Sleep));
        assert!(!text(&default, "http://127.0.0.1:8080").contains("--frontend"));
        for elsewhere in ["http://127.0.0.1:8082", "http://192.0.2.2:8080", "http://[::1]:8080"] {
            assert_eq!(text(&default, elsewhere).matches(&format!(" --frontend {elsewhere}\n")).count(), 2);
        }
        let config = Config { frontend: "http://192.0.2.2:8080".parse().unwrap(), ..Config::default() };
        assert!(text(&config, "http://127.0.0.1:8080").contains("--frontend http://127.0.0.1:8080"));
    }

    #[test]
    fn more_services_than_there_may_be_open_files_are_refused() {
        let wide = Config { layers: 10, width: 100, ..Config::default() };
        let error = check_files(&wide, Some(1024)).unwrap_err().to_string();
        assert!(error.contains("1000 services") && error.contains("1024 open files") && error.contains("ulimit -Hn"), "{error}");
        for (config, allowed) in [(&wide, Some(20_000)), (&wide, None), (&Config::default(), Some(256))] {
            assert!(check_files(config, allowed).is_ok(), "{allowed:?}");
        }
    }

    #[test]
    fn the_reader_is_sent_to_the_readers_own_address_of_jaeger() {
        let config = Config { jaeger_links: Some("https://jaeger.example/base/".parse().unwrap()), ..Config::default() };
        let text = welcome(&config, "http://127.0.0.1:8080", Some(Cause::Sleep));
        assert!(text.contains(" https://jaeger.example/base/search\n"), "{text}");
    }

    #[test]
    fn the_guess_that_is_proposed_can_be_right() {
        let topology = Topology::new(3, 30, Route::Random).unwrap();
        for &cause in Cause::value_variants() {
            let text = welcome(&Config::default(), "http://127.0.0.1:8080", Some(cause));
            let answer = draw(7, cause, topology, 1.0).unwrap().answer();
            let (_, line) = text.split_once(" guess ").unwrap();
            let mut flag = "guess";
            let words = line.lines().next().unwrap().split_whitespace().map(|word| {
                let filled = match flag {
                    "--service" => answer.service.unwrap().to_string(),
                    "--callee" => answer.callee.unwrap().to_string(),
                    "--customer" => answer.customer.clone().unwrap(),
                    _ => word.to_owned(),
                };
                flag = word;
                filled
            });
            let words: Vec<String> = ["tracelab".to_owned(), "guess".to_owned()].into_iter().chain(words).collect();
            let Command::Guess(flags) = Cli::try_parse_from(&words).unwrap().command else { panic!("no guess: {words:?}") };
            let cause = if flags.nothing { Some(Cause::None) } else { flags.cause };
            let guess = Guess { cause, service: flags.service, callee: flags.callee, customer: flags.customer };
            assert_eq!(grade(&guess, &answer), Verdict::Right, "{words:?}");
        }
    }

    #[test]
    fn the_guess_at_a_secret_mystery_covers_them_all_and_tells_none() {
        let secret = welcome(&Config::default(), "http://127.0.0.1:8080", None);
        for flag in ["--service", "--cause CAUSE", "--callee", "--customer", "--nothing"] {
            assert!(secret.contains(flag), "{secret}");
        }
        for cause in Cause::value_variants() {
            assert!(!secret.contains(&format!("cause {cause}")) && !secret.contains(&cause.about()), "{secret}");
        }
    }

    #[test]
    fn traces_that_nobody_will_find_are_worth_a_note_and_ignored_variables_too() {
        let notes = |exporter, jaeger: Option<&str>, set: &[&str]| {
            let jaeger = jaeger.map(|url| url.parse().unwrap());
            super::notes(&Config { exporter, jaeger, ..Config::default() }, |variable| set.contains(&variable))
        };
        assert!(notes(Exporter::Otlp, None, &[]).is_empty());
        for (service, level, says) in [
            ("dummy-1-17", Level::None, "shows as its caller's time"),
            ("frontend", Level::Propagate, "shows as its caller's time"),
            (Levels::ALL, Level::None, "there will be no traces"),
        ] {
            let mut config = Config::default();
            config.instrumentation.set(service, level);
            let notes = super::notes(&config, |_| false);
            assert!(notes.len() == 1 && notes[0].contains(says), "{notes:?}");
        }
        assert!(notes(Exporter::None, None, &[])[0].contains("OTEL_SDK_DISABLED"));
        assert!(notes(Exporter::Stdout, None, &[])[0].contains("--exporter stdout"));
        let set = ["OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        assert_eq!(notes(Exporter::Otlp, None, &set).len(), 2);
        let outside = notes(Exporter::Otlp, Some("http://127.0.0.1:16686"), &set);
        assert!(outside.len() == 1 && outside[0].contains("ignores OTEL_SERVICE_NAME"), "{outside:?}");
    }
}
