//! `tracelab logs`: the log lines of one trace, from the backend, from Docker Compose, from Kubernetes or from files.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;
use tokio::task::spawn_blocking;

use super::{said, signal};
use crate::cli;
use crate::config::{Config, base, without_secrets};
use crate::diagnose::figures::{self, counted};
use crate::exit::{Failure, failure};
use crate::harmless::harmless;
use crate::logs::{Counts, Kind, Line, Reader, Trace, TraceId};
use crate::{keeper, outbound};

/// As compose/compose.yaml calls it.
const PROJECT: &str = "tracelab";
/// What all pods of the sandbox are labelled with.
const SELECTOR: &str = "app.kubernetes.io/part-of=tracelab";
/// One answer of the backend takes no longer, to its last byte.
const LIMIT: Duration = Duration::from_secs(60);
/// Nobody reads a longer answer, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;

/// What one trace came to.
#[derive(Default)]
struct Found {
    lines: Vec<Vec<Line>>,
    counts: Counts,
    /// Where was looked, for a person.
    places: Vec<String>,
    /// What programs said that gave no lines, and what to do about it.
    hints: Vec<String>,
}

impl Found {
    fn add(&mut self, place: String, readers: Vec<Reader>) {
        for reader in readers {
            self.counts.add(reader.counts);
            self.lines.push(reader.lines);
        }
        self.places.push(place);
    }
}

pub async fn run(config: Config, flags: cli::Logs) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        // Whatever waits for bytes now would keep the process from ending in good order; nothing needs that.
        () = signal() => std::process::exit(130),
        done = show(config, flags) => done,
    }
}

/// All that takes long is done elsewhere, so that signals are heard.
async fn show(config: Config, flags: cli::Logs) -> anyhow::Result<()> {
    let id = flags.trace.trace;
    let mut found = Found::default();
    if flags.compose {
        let command = compose(&flags)?;
        let place = format!("what {} prints", shown(&command));
        let (readers, hint) = program(command, id, docker_way_out).await?;
        found.add(place, readers);
        found.hints.extend(hint);
    }
    if let Some(namespace) = &flags.kubernetes {
        let command = kubectl(namespace.as_deref(), &flags);
        let place = format!("what {} prints", shown(&command));
        let (readers, hint) = program(command, id, kubectl_way_out).await?;
        found.add(place, readers);
        found.hints.extend(hint);
    }
    for path in flags.file.clone() {
        let place = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
        found.add(place, vec![spawn_blocking(move || file(&path, id)).await.context("reading failed")??]);
    }
    if found.places.is_empty() {
        // A link says where its trace is.
        let base = flags.trace.base.as_ref().filter(|_| config.jaeger.is_none()).map_or_else(|| config.jaeger_url(), base);
        found.add(format!("the backend at {}", without_secrets(&base)), vec![backend(&base, id).await?]);
    }
    let Found { lines, counts, places, hints } = found;
    left_out(counts);
    if lines.iter().all(Vec::is_empty) {
        return Err(failure(Failure::No, nothing(id, counts, &places, &hints, &flags)));
    }
    spawn_blocking(move || print(&Trace::new(id, lines), &flags)).await.context("printing failed")?
}

fn print(trace: &Trace, flags: &cli::Logs) -> anyhow::Result<()> {
    let mut out = BufWriter::new(anstream::AutoStream::new(io::stdout(), flags.color).lock());
    let printed = if flags.json {
        trace.json(&mut out)
    } else {
        let width = terminal_size::terminal_size().filter(|_| io::stdout().is_terminal());
        trace.terminal(&mut out, width.map(|(width, _)| usize::from(width.0)))
    };
    said(printed.and_then(|()| out.flush()))
}

fn left_out(counts: Counts) {
    if counts.too_long > 0 {
        eprintln!("warning: left out {}, too long for anybody to read", counted(counts.too_long, "line"));
    }
    if counts.evicted > 0 {
        eprintln!(
            "warning: the backend evicted {} of the trace while it answered (--store-mb keeps more)",
            counted(counts.evicted, "line")
        );
    }
    if counts.too_many > 0 {
        eprintln!("warning: left out {} of the trace: there are too many to keep", counted(counts.too_many, "line"));
    }
}

fn nothing(id: TraceId, counts: Counts, places: &[String], hints: &[String], flags: &cli::Logs) -> String {
    let read = counted(counts.lines, "line");
    let mut text = format!("there is no log line of trace {id} in {} ({read} read)", places.join(", "));
    if counts.spans > 0 {
        text += "; its spans are there, which are no log lines";
    }
    if places.len() == 1 && !flags.compose && flags.kubernetes.is_none() && flags.file.is_empty() {
        // The backend knows the trace by its spans.
        text +=
            "; do its services send logs there (--logs-exporter otlp), or only to their stdout (--compose, --kubernetes, --file)?";
        return text;
    }
    if !hints.is_empty() {
        text += &format!("; {}", hints.join("; "));
        return text;
    }
    text += "; lines of requests are of level info (--log info: `up` shows fewer), and old ones are rotated away";
    if flags.compose {
        text += "; is it a trace of this Compose project (-p)?";
    }
    if flags.kubernetes.is_some() {
        text += "; is it a trace of this namespace (--kubernetes=NAMESPACE) and cluster?";
    }
    text
}

/// Errors of the query API.
#[derive(Deserialize)]
struct Refusal {
    errors: Vec<Value>,
}

async fn backend(base: &str, id: TraceId) -> anyhow::Result<Reader> {
    const OTHERS: &str = "read what the services have written with --compose, --kubernetes or --file";
    let request = outbound::client()?.get(format!("{base}/api/logs?traceID={id}")).timeout(LIMIT);
    let base = without_secrets(base);
    let unreachable = |reason: &str| {
        let text = format!(
            "cannot reach a trace backend at {base}: {reason}; is `tracelab up` running, and is --jaeger its address? Or {OTHERS}"
        );
        failure(Failure::Unreachable, text)
    };
    let mut answer = request.send().await.map_err(|error| unreachable(&outbound::reason(error)))?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&outbound::reason(error)))? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(unreachable("its answer is endless"));
        }
        body.extend_from_slice(&chunk);
    }
    let mut reader = Reader::new(id, Kind::File(None));
    if status == StatusCode::OK && reader.answer(&body) {
        return Ok(reader);
    }
    let refusal = serde_json::from_slice::<Refusal>(&body).ok().and_then(|refusal| {
        let words = refusal.errors.first()?["msg"].as_str()?.to_owned();
        Some(words)
    });
    match (status, refusal) {
        (StatusCode::NOT_FOUND, Some(_)) => Err(failure(
            Failure::No,
            format!(
                "the backend at {base} knows no trace {id}: it was sent elsewhere, sampled away, or evicted since (--store-mb keeps more); \
                 is it a trace of another sandbox (--jaeger)?"
            ),
        )),
        // An old Jaeger answers what it does not know with its page.
        (StatusCode::NOT_FOUND | StatusCode::OK, _) => {
            Err(failure(Failure::Unreachable, format!("what answers at {base} has no logs: a Jaeger keeps none; {OTHERS}")))
        }
        (status, Some(words)) => Err(unreachable(&format!("it answers {status}, saying {words:?}"))),
        (status, None) => Err(unreachable(&format!("it answers {status}"))),
    }
}

fn file(path: &Path, id: TraceId) -> anyhow::Result<Reader> {
    let context = || format!("cannot read log lines from {}", path.display());
    let stdin = path == Path::new("-");
    let name = path.file_name().filter(|_| !stdin).map(|name| name.to_string_lossy().into_owned());
    let mut reader = Reader::new(id, Kind::File(name));
    let read = if stdin {
        reader.read(io::stdin().lock())
    } else {
        // Opening a directory works, and reading it says only which number the error has.
        if path.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory)).with_context(context);
        }
        reader.read(File::open(path).with_context(context)?)
    };
    match read {
        Err(error) if reader.counts.lines == 0 => Err(error).with_context(context),
        Err(error) => {
            eprintln!("warning: {}: {error}; what came before is used", path.display());
            Ok(reader)
        }
        Ok(()) => Ok(reader),
    }
}

fn compose(flags: &cli::Logs) -> anyhow::Result<std::process::Command> {
    // Compose takes stdin and addresses, too.
    let is_path = |file: &&PathBuf| file.as_path() != Path::new("-") && !file.to_string_lossy().contains(':');
    if let Some(missing) = flags.compose_file.iter().filter(is_path).find(|file| !file.exists()) {
        bail!("there is no Compose file {}; -f names it, as after `docker compose`", missing.display());
    }
    let mut command = std::process::Command::new("docker");
    command.arg("compose");
    for file in &flags.compose_file {
        command.arg("--file").arg(file);
    }
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(project) = &flags.project {
        command.args(["--project-name", project]);
    } else if flags.compose_file.is_empty() && !set("COMPOSE_PROJECT_NAME") && !set("COMPOSE_FILE") {
        command.args(["--project-name", PROJECT]);
    }
    if flags.compose_file.is_empty() && !set("COMPOSE_FILE") {
        // A compose.yaml of this directory would leave only the containers of its own services.
        command.current_dir(root());
    }
    command.args(["logs", "--no-color", "--timestamps"]);
    if let Some(since) = flags.since {
        command.arg(format!("--since={}s", since.as_secs().max(1)));
    }
    Ok(command)
}

/// The directory that is in no other.
fn root() -> PathBuf {
    std::env::current_dir().ok().and_then(|directory| Some(directory.ancestors().last()?.to_owned())).unwrap_or_else(|| "/".into())
}

fn kubectl(namespace: Option<&str>, flags: &cli::Logs) -> std::process::Command {
    let mut command = std::process::Command::new("kubectl");
    command.arg("logs");
    if let Some(namespace) = namespace {
        command.args(["--namespace", namespace]);
    }
    // With a selector kubectl prints ten lines a pod, unless told otherwise; a pod that only starts must not end it.
    command.args(["--selector", SELECTOR, "--all-containers", "--prefix", "--timestamps", "--tail=-1", "--ignore-errors"]);
    command.arg("--max-log-requests=200");
    if let Some(since) = flags.since {
        command.arg(format!("--since={}s", since.as_secs().max(1)));
    }
    command
}

fn shown(command: &std::process::Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

/// Runs a program that prints log lines, and reads both of its streams: Compose keeps the containers' apart, too. Where it has
/// nothing to print, there is a hint.
async fn program(
    command: std::process::Command,
    id: TraceId,
    way_out: impl Fn(&str) -> Cow<'static, str>,
) -> anyhow::Result<(Vec<Reader>, Option<String>)> {
    let shown = shown(&command);
    let name = command.get_program().to_string_lossy().into_owned();
    let unreachable = |words: &str| {
        let way_out = way_out(words);
        failure(Failure::Unreachable, format!("{shown} gives no log lines: {words}; {way_out}"))
    };
    let Some(path) = keeper::find(&name) else { return Err(unreachable(&format!("there is no {name} on the PATH"))) };
    let (stdout, to_stdout) = io::pipe().context("cannot make a pipe")?;
    let (stderr, to_stderr) = io::pipe().context("cannot make a pipe")?;
    let mut kept = keeper::command(path.as_os_str(), command.get_args(), None);
    if let Some(directory) = command.get_current_dir() {
        kept.current_dir(directory);
    }
    let mut kept = Command::from(kept);
    let mut child = match kept.stdout(to_stdout).stderr(to_stderr).spawn() {
        Ok(child) => child,
        Err(error) => return Err(unreachable(&format!("cannot run sh: {error}"))),
    };
    // It holds our copies of the ends that the program writes to; the pipes end with the last of them.
    drop(kept);
    // All that was started ends when this is closed.
    let lifeline = child.stdin.take();
    let readers = [stdout, stderr].map(|pipe| {
        spawn_blocking(move || {
            let mut reader = Reader::new(id, Kind::Program);
            let read = reader.read(pipe);
            (reader, read)
        })
    });
    let status = child.wait().await.with_context(|| format!("cannot wait for {shown}"))?;
    // What it left running might hold its output for ever.
    drop(lifeline);
    let mut all = Vec::new();
    for reader in readers {
        let (reader, read) = reader.await.context("reading failed")?;
        read.with_context(|| format!("cannot read what {shown} prints"))?;
        all.push(reader);
    }
    // What it says goes to stderr, but kubectl tells of single pods among the lines.
    let remarks: Vec<_> = all.iter().rev().flat_map(|reader| &reader.remarks).map(|remark| printable(remark)).collect();
    let words = match &remarks[..] {
        [] if status.success() => "it prints nothing".to_owned(),
        [] => format!("it ended with {status}"),
        [first] => first.clone(),
        [first, second, ..] => format!("{first} {second}"),
    };
    let silent = all.iter().all(|reader| reader.counts.lines == 0);
    if !status.success() {
        if silent {
            return Err(unreachable(&words));
        }
        eprintln!("warning: {shown} failed ({status}), so that lines may be missing: {words}");
    } else if !silent && !remarks.is_empty() {
        eprintln!("warning: {name} says: {}", figures::some(&remarks));
    }
    let said = if remarks.is_empty() { String::new() } else { format!("{name} says: {words}; ") };
    let hint = silent.then(|| said + &way_out(&words));
    Ok((all, hint))
}

/// A program's own words, for a terminal.
fn printable(words: &str) -> String {
    harmless(&words.chars().take(300).collect::<String>())
}

fn docker_way_out(words: &str) -> Cow<'static, str> {
    let has = |what: &[&str]| what.iter().any(|what| words.contains(what));
    if has(&["on the PATH"]) {
        "is Docker installed here? Where it is not, --file reads what it printed there".into()
    } else if has(&["unknown command", "unknown flag", "unknown shorthand", "not a docker command"]) {
        "this Docker has no Compose: install its plugin docker-compose 2 (Debian: docker-compose, Docker's own packages: \
         docker-compose-plugin)"
            .into()
    } else if has(&["daemon", "permission denied"]) {
        "start Docker, or see to it that you may use it (`docker info` then works); DOCKER_HOST and `docker context` say which one is asked"
            .into()
    } else if has(&["prints nothing"]) {
        "`docker compose ls --all` lists the projects that there are, and -p picks one; compose/compose.yaml starts the one named \
         tracelab"
            .into()
    } else {
        "-f and -p say which project is meant, as after `docker compose`".into()
    }
}

fn kubectl_way_out(words: &str) -> Cow<'static, str> {
    let has = |what: &[&str]| what.iter().any(|what| words.contains(what));
    if has(&["on the PATH"]) {
        "is it installed here? Where it is not, --file reads what it printed there".into()
    } else if has(&["No resources", "prints nothing"]) {
        "--kubernetes=NAMESPACE says where the sandbox's pods are; `kubectl get pods --all-namespaces --selector \
         app.kubernetes.io/part-of=tracelab` finds them"
            .into()
    } else {
        "does `kubectl get pods` work? `kubectl config get-contexts` lists the clusters that it knows".into()
    }
}
