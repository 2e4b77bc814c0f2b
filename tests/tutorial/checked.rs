//! Blocks that are not run: whatever they name exists.
//!
//! Programs are known, every `tracelab` command line is one, examples are Cargo's, files are in the repository, and Compose
//! understands the files that it is given.

use clap::Parser as _;
use clap::error::ErrorKind;
use tracelab::cli::Cli;

use super::console::{Block, Page};
use super::docker::Compose;
use super::{examples, objects, placeholders, root};

/// Nothing is known of their arguments.
const PROGRAMS: [&str; 18] = [
    "cat",
    "cd",
    "curl",
    "echo",
    "export",
    "git",
    "grep",
    "head",
    "helm",
    "jq",
    "less",
    "ls",
    "nginx",
    "python3",
    "redis-cli",
    "sed",
    "sort",
    "tail",
];
const COMPOSE: [&str; 13] =
    ["build", "config", "cp", "down", "exec", "images", "kill", "logs", "ps", "pull", "restart", "stop", "up"];
/// What is in no clone, but made by a command of the book or by Cargo.
const MADE: [&str; 2] = ["target/", "compose/bin"];

/// Fails with file, line and command where a block names what does not exist.
pub fn check(page: &Page, block: &Block) {
    for command in &block.commands {
        if let Err(told) = line(&command.text) {
            panic!("{}:{}: $ {}\n{told}", page.path.display(), command.line, command.text);
        }
    }
}

/// # Errors
/// What does not exist.
pub fn line(text: &str) -> Result<(), String> {
    let text = placeholders::fill(text, &placeholders::like()).replace("\\\n", " ");
    let words = shlex::split(&text).ok_or("the shell would not take it: a quote is open")?;
    for words in words.split(|word| ["|", "||", "&&", ";", "&"].contains(&word.as_str())) {
        let ends: Vec<_> = words.iter().map(|word| word.trim().trim_end_matches(';')).filter(|word| !word.is_empty()).collect();
        simple(&ends)?;
    }
    Ok(())
}

/// A command without any of the shell's signs.
fn simple(words: &[&str]) -> Result<(), String> {
    let assignments = words.iter().take_while(|word| is_assignment(word)).count();
    for assignment in &words[..assignments] {
        variable(assignment.split('=').next().unwrap_or_default())?;
    }
    let words = &words[assignments..];
    let redirected = words.iter().position(|word| word.starts_with(['>', '<'])).unwrap_or(words.len());
    let words = &words[..redirected];
    words.iter().try_for_each(|word| path(word))?;
    match words {
        [] => Ok(()),
        ["tracelab", ..] => tracelab(words),
        ["cargo", "run", arguments @ ..] => run(arguments),
        ["cargo", "build" | "install" | "test" | "bench", ..] => Ok(()),
        ["docker", "compose", arguments @ ..] => compose(arguments),
        ["docker", "build" | "exec" | "image" | "images" | "info" | "kill" | "logs" | "ps" | "restart" | "tag", ..] => Ok(()),
        ["kind/up", components @ ..] => components.iter().try_for_each(|name| component(name)),
        ["kops/up", words @ ..] => words.iter().filter(|word| !word.starts_with('-')).try_for_each(|name| store(name)),
        ["kubectl", arguments @ ..] => kubectl(arguments),
        // That there is such a script, path() has seen.
        [script, ..] if script.starts_with("kind/") || script.starts_with("kops/") => Ok(()),
        [program, ..] if PROGRAMS.contains(program) => Ok(()),
        [program, ..] => Err(format!("{program} is no program that the book may use; tests/tutorial/checked.rs lists them")),
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|sign| sign.is_ascii_uppercase() || sign == b'_'))
}

/// A variable of ours is a key, or one of a stage's.
fn variable(name: &str) -> Result<(), String> {
    let Some(key) = name.strip_prefix("TRACELAB_") else { return Ok(()) };
    let keys = serde_json::to_value(tracelab::config::Config::default()).map_err(|error| error.to_string())?;
    let ours = keys.get(key.to_lowercase()).is_some();
    let stage = || {
        let folders = ["compose", "kind", "kops"].map(|stage| std::fs::read_dir(root().join(stage)).unwrap());
        let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
        let reads = |text: &str| text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_').any(|word| word == name);
        files.filter_map(|path| std::fs::read_to_string(path).ok()).any(|text| reads(&text))
    };
    if ours || stage() { Ok(()) } else { Err(format!("nothing reads the variable {name}")) }
}

fn component(name: &str) -> Result<(), String> {
    let there_is = root().join("kind/components").join(name).join("kustomization.yaml").is_file();
    if there_is { Ok(()) } else { Err(format!("there is no component {name}")) }
}

fn store(name: &str) -> Result<(), String> {
    let there_is = root().join("kops/components").join(name).join("kustomization.yaml").is_file();
    if there_is { Ok(()) } else { Err(format!("there is no store {name}")) }
}

/// What it names in the namespace of a stage is an object of that stage, where it is something of ours at all.
fn kubectl(arguments: &[&str]) -> Result<(), String> {
    let all = arguments.iter().zip(arguments.iter().skip(1).map(Some).chain([None]));
    let own = arguments.iter().position(|word| *word == "--").unwrap_or(arguments.len());
    let mut told = None;
    for (word, next) in all.take(own) {
        let (kind, name) = match word.split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (*word, next.copied().filter(|next| !next.starts_with('-'))),
        };
        let kind = match kind {
            "deploy" | "deployment" => "Deployment",
            "statefulset" => "StatefulSet",
            "daemonset" => "DaemonSet",
            "svc" | "service" => "Service",
            "--from=cronjob" => "CronJob",
            // Of a Deployment nobody knows its pods' names before they are.
            "pod" | "port-forward" | "exec" => match name.and_then(|name| name.rsplit_once('-')) {
                Some((set, number)) if number.bytes().all(|sign| sign.is_ascii_digit()) && !set.starts_with("dummy-") => {
                    told = told.or(objects::missing("StatefulSet", set));
                    continue;
                }
                _ => continue,
            },
            "--selector" => match name.and_then(|label| label.strip_prefix("app.kubernetes.io/name=")) {
                Some(name) => {
                    told = told.or(objects::missing("app.kubernetes.io/name", name));
                    continue;
                }
                None => continue,
            },
            _ => continue,
        };
        told = told.or(name.and_then(|name| objects::missing(kind, name)));
    }
    told.map_or(Ok(()), Err)
}

fn tracelab(words: &[&str]) -> Result<(), String> {
    match Cli::try_parse_from(words) {
        Err(error) if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    let own = arguments.iter().position(|word| *word == "--").unwrap_or(arguments.len());
    let example = arguments[..own].iter().position(|word| *word == "--example").map(|place| arguments.get(place + 1));
    match example {
        Some(Some(name)) if examples().contains_key(*name) => Ok(()),
        Some(name) => Err(format!("Cargo.toml has no example {name:?}")),
        None => {
            let flags = arguments.iter().take_while(|word| word.starts_with('-') && **word != "--").count();
            let arguments = if own < arguments.len() { &arguments[own + 1..] } else { &arguments[flags..] };
            tracelab(&[&["tracelab"], arguments].concat())
        }
    }
}

fn compose(arguments: &[&str]) -> Result<(), String> {
    let mut files = Vec::new();
    let mut rest = arguments;
    while let ["-f" | "-p" | "--profile", value, after @ ..] = rest {
        if rest[0] == "-f" {
            files.push(value.strip_prefix("compose/").ok_or(format!("{value} is no file of the stage"))?);
        }
        rest = after;
    }
    let command = rest.first().copied().unwrap_or_default();
    if !COMPOSE.contains(&command) {
        return Err(format!("docker compose has no command {command:?} that the book may use"));
    }
    if let Some(compose) = Compose::find().filter(|_| !files.is_empty()) {
        compose.config(&files);
    }
    Ok(())
}

/// A word that begins as a path of the repository does is one.
fn path(word: &str) -> Result<(), String> {
    let word = word.trim_start_matches('@').trim_start_matches("./");
    let Some((first, _)) = word.split_once('/') else { return Ok(()) };
    let plain = word.bytes().all(|sign| sign.is_ascii_alphanumeric() || b"/._-".contains(&sign));
    let ours = plain && !first.is_empty() && root().join(first).is_dir() && !MADE.iter().any(|made| word.starts_with(made));
    if ours && !root().join(word).exists() { Err(format!("there is no {word}")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn what_exists_is_let_through() {
        for text in [
            "tracelab up --route random --mystery rare-sleep",
            "tracelab guess --service SERVICE --cause sleep",
            "tracelab learn check 2 --trace TRACE --service LONGEST",
            "cargo run --release -- load 200",
            "cargo install --path . --locked",
            "TRACELAB_PORT=9080 TRACELAB_GATEWAY_QUEUE=long docker compose -f compose/compose.yaml -f compose/edge.yaml up -d \\\n  --no-deps",
            "curl -s -d @compose/telemetry.toml http://127.0.0.1:4318/v1/traces | jq .",
            "TRACELAB_JAEGER_TRACES=9000 kind/up edge mesh",
            "TRACELAB_LOGIN=me kops/up --yes opensearch",
            "kubectl --namespace tracelab exec cassandra-0 -- nodetool status",
            "kubectl --namespace tracelab scale deployment jaeger-ingester --replicas 0",
            "kubectl --namespace tracelab get pods --selector app.kubernetes.io/name=kafka --output wide",
            "kubectl --namespace tracelab create job --from=cronjob/jaeger-dependencies now",
            "git clone https://example.org/tracelab && cd tracelab",
        ] {
            line(text).unwrap_or_else(|told| panic!("{text}: {told}"));
        }
    }

    #[test]
    fn what_does_not_exist_is_named() {
        for (text, told) in [
            ("tracelab upp", "unrecognized subcommand 'upp'"),
            ("tracelab up --routes random", "unexpected argument '--routes'"),
            ("tracelab up --mystery sleepy", "invalid value 'sleepy'"),
            ("cargo run --example 99-nothing", "no example"),
            ("cargo run --release -- loadd", "unrecognized subcommand 'loadd'"),
            ("docker compose -f compose/compose.yaml upp", "no command \"upp\""),
            ("docker compose -f compose/none.yaml up", "there is no compose/none.yaml"),
            ("cat tutorial/none.md", "there is no tutorial/none.md"),
            ("TRACELAB_NOTHING=1 tracelab up", "nothing reads the variable TRACELAB_NOTHING"),
            ("TRACELAB_JAEGER_TRACE=9 kind/up", "nothing reads the variable TRACELAB_JAEGER_TRACE"),
            ("kind/upp", "there is no kind/upp"),
            ("TRACELAB_MYSTERY=none kind/up messh", "there is no component messh"),
            ("kops/upp", "there is no kops/upp"),
            ("kops/up mysql", "there is no store mysql"),
            ("kubectl exec cassandro-0 -- nodetool status", "no stage has a StatefulSet cassandro"),
            ("kubectl scale deployment jaeger-ingestor --replicas 0", "no stage has a Deployment jaeger-ingestor"),
            ("kubectl port-forward service/jaegers 16686", "no stage has a Service jaegers"),
            ("kubectl get pods --selector app.kubernetes.io/name=kafkas", "kafkas"),
            ("kubectl create job --from=cronjob/dependencies now", "no stage has a CronJob dependencies"),
            ("make all", "make is no program"),
            ("echo fine && make all", "make is no program"),
            ("echo 'open", "a quote is open"),
        ] {
            let error = line(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
