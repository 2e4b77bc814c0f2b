//! The binary as a user runs it: every role on free ports, every command with its output.

#![allow(dead_code, reason = "each test file that includes this uses a part of it")]

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tracelab::mystery::{Assignment, Cause, Decoy, Mystery, Peers, draw};
use tracelab::topology::{ServiceName, Topology};

/// How long something may take that happens at once on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// The command in an empty directory, without any configuration of the machine's.
pub fn tracelab(arguments: &[&str]) -> (Command, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelab"));
    command.args(arguments).current_dir(directory.path());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRACELAB_") || name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    (command, directory)
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    let (mut command, _directory) = tracelab(arguments);
    command.output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Waits until `condition` holds, or fails with what `otherwise` says.
pub async fn until(condition: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{}", otherwise());
        tokio::time::sleep(POLL).await;
    }
}

/// The first seed with which a mystery is as a test needs it.
pub fn find(cause: Cause, topology: Topology, is: impl Fn(&Mystery) -> bool) -> (u64, Mystery) {
    let mut drawn = (0..100_000).map(|seed| (seed, draw(seed, cause, topology, 0.0).unwrap()));
    drawn.find(|(_, mystery)| is(mystery)).unwrap_or_else(|| panic!("no mystery of cause {cause} is as the test needs it"))
}

/// What a service is told, where there is a Redis.
pub fn assignment(mystery: &Mystery, service: ServiceName) -> Assignment {
    let peers = Peers::new(mystery.topology, |name| format!("http://{name}:8080")).unwrap();
    mystery.assignment(service, &peers, Some(&"redis://redis:6379".parse().unwrap()))
}

pub fn decoy(mystery: &Mystery, service: ServiceName) -> Option<Decoy> {
    assignment(mystery, service).decoy
}

/// A role that runs until this is dropped.
pub struct Role {
    process: Child,
    /// The line of JSON that it printed when it was ready.
    pub ready: Value,
    /// All of stdout after that line, and all of stderr.
    pub printed: Arc<Mutex<String>>,
    _directory: TempDir,
}

impl Role {
    /// Starts `tracelab ARGUMENTS --json` and waits for its line.
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let (mut command, directory) = tracelab(arguments);
        command.arg("--json").envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let printed = Arc::new(Mutex::new(String::new()));
        collect(process.stderr.take().unwrap(), &printed);
        let mut line = String::new();
        let ready = loop {
            line.clear();
            let read = output.read_line(&mut line).unwrap();
            assert!(read > 0, "{arguments:?} ended before it was ready: {}", printed.lock().unwrap());
            // Log lines are JSON too; the line that is waited for names addresses.
            match serde_json::from_str::<Value>(&line) {
                Ok(ready) if ready.get("level").is_none() => break ready,
                _ => printed.lock().unwrap().push_str(&line),
            }
        };
        collect(output, &printed);
        Self { process, ready, printed, _directory: directory }
    }

    pub fn url(&self, key: &str) -> String {
        self.ready[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.ready)).to_owned()
    }

    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// As Docker and Kubernetes do.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {}", self.printed());
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn collect(stream: impl Read + Send + 'static, into: &Arc<Mutex<String>>) {
    let into = into.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut text = into.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    });
}

/// `tracelab up`, and what a person does with it.
pub struct Sandbox {
    pub role: Role,
    pub frontend: String,
    pub jaeger: String,
    pub client: reqwest::Client,
}

impl Sandbox {
    /// All ports free ones; `flags` come on top.
    pub fn up(flags: &[&str]) -> Self {
        Self::up_with(flags, &[])
    }

    pub fn up_with(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut arguments = vec!["up", "--port", "0"];
        if !flags.contains(&"--jaeger") {
            arguments.extend(["--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"]);
        }
        arguments.extend(flags);
        let role = Role::start(&arguments, variables);
        let (frontend, jaeger) = (role.url("frontend"), role.url("jaeger"));
        Self { role, frontend, jaeger, client: tracelab::outbound::client().unwrap() }
    }

    /// A client command against this sandbox.
    pub fn run(&self, arguments: &[&str]) -> Output {
        run(&[arguments, &["--frontend", &self.frontend]].concat())
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let answer = self.client.post(format!("{}{path}", self.frontend)).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.frontend)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Presses a button and returns the frontend's answer.
    pub async fn press(&self, button: u16) -> Value {
        let (status, answer) = self.post(&format!("/api/buttons/{button}"), json!({})).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Presses a button for a customer; whatever comes of it.
    pub async fn press_as(&self, customer: &str, button: u16) -> (u16, Value) {
        let request = self.client.post(format!("{}/api/buttons/{button}", self.frontend));
        let answer = request.header("baggage", format!("customer.id={customer}")).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Puts the patched version of a service in place.
    pub async fn patch(&self, service: ServiceName) {
        let (status, answer) = self.post("/api/redeploy", json!({ "service": service, "version": "v2" })).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// The log lines of a call, as soon as there is one of each of so many services.
    pub async fn log_lines(&self, trace_id: &str, services: usize) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let url = format!("{}/api/logs?traceID={trace_id}", self.jaeger);
            let logs: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
            // Nothing is known of the trace before the first of them.
            let lines = logs["data"].as_array().cloned().unwrap_or_default();
            let found: HashSet<_> = lines.iter().map(|line| line["service"].to_string()).collect();
            if found.len() >= services {
                return lines;
            }
            assert!(start.elapsed() < PATIENCE, "{logs}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// The spans of a trace, as soon as the backend has `count` of them.
    pub async fn spans(&self, trace_id: &str, count: usize) -> Vec<Span> {
        spans(&self.client, &self.jaeger, trace_id, count).await
    }

    /// What `reveal` tells: `{cause, service, seed}`.
    pub fn reveal(&self) -> Value {
        serde_json::from_slice(&self.run(&["reveal", "--json"]).stdout).unwrap()
    }
}

/// A span as the query API gives it out, with its resource.
#[derive(Clone, Debug)]
pub struct Span {
    pub service: String,
    pub resource: Value,
    pub span: Value,
}

impl Span {
    pub fn id(&self) -> &str {
        self.span["spanId"].as_str().unwrap()
    }

    /// Empty for a root.
    pub fn parent(&self) -> &str {
        self.span["parentSpanId"].as_str().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.span["name"].as_str().unwrap()
    }

    /// 2 is a server, 3 a client.
    pub fn kind(&self) -> u64 {
        self.span["kind"].as_u64().unwrap_or_default()
    }

    /// The value of an attribute, numbers as text.
    pub fn attribute(&self, key: &str) -> Option<String> {
        attribute(&self.span["attributes"], key)
    }

    pub fn resource(&self, key: &str) -> Option<String> {
        attribute(&self.resource, key)
    }

    pub fn duration_ms(&self) -> f64 {
        self.end_ms() - self.start_ms()
    }

    /// Since 1970.
    pub fn start_ms(&self) -> f64 {
        self.milliseconds("startTimeUnixNano")
    }

    pub fn end_ms(&self) -> f64 {
        self.milliseconds("endTimeUnixNano")
    }

    fn milliseconds(&self, key: &str) -> f64 {
        // To a quarter of a microsecond, as exact as a float is about nanoseconds since 1970.
        self.span[key].as_str().unwrap().parse::<u64>().unwrap() as f64 / 1e6
    }

    /// How long it lasted beside its children, which shall be no two at a time.
    pub fn self_ms(&self, spans: &[Span]) -> f64 {
        let children = spans.iter().filter(|child| child.parent() == self.id());
        self.duration_ms() - children.map(|child| child.end_ms().min(self.end_ms()) - child.start_ms()).sum::<f64>()
    }

    /// Everything about it but what differs between any two: ids, times, addresses, and whose service and call it is.
    pub fn without_identity(&self) -> String {
        let mut resource = self.resource.clone();
        mask(&mut resource, &["service.name", "tracelab.layer", "tracelab.number"]);
        let mut span = self.span.clone();
        for key in ["traceId", "spanId", "parentSpanId", "startTimeUnixNano", "endTimeUnixNano"] {
            span[key] = json!("…");
        }
        mask(&mut span["attributes"], &["server.port", "url.full", "customer.id"]);
        format!("{resource} {span}")
    }
}

/// The same of a log line.
pub fn line_without_identity(line: &Value) -> String {
    let mut line = line.clone();
    for key in ["timestamp", "service", "trace_id", "span_id"] {
        assert!(!line[key].is_null(), "{line}");
        line[key] = json!("…");
    }
    line.to_string()
}

fn mask(attributes: &mut Value, keys: &[&str]) {
    for attribute in attributes.as_array_mut().into_iter().flatten() {
        if keys.contains(&attribute["key"].as_str().unwrap()) {
            attribute["value"] = json!("…");
        }
    }
}

fn attribute(attributes: &Value, key: &str) -> Option<String> {
    let found = attributes.as_array()?.iter().find(|attribute| attribute["key"] == key)?;
    let value = found["value"].as_object()?.values().next()?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// Asks a Jaeger query API until it has the trace with at least `count` spans.
pub async fn spans(client: &reqwest::Client, jaeger: &str, trace_id: &str, count: usize) -> Vec<Span> {
    let start = Instant::now();
    loop {
        let answer = client.get(format!("{jaeger}/api/v3/traces/{trace_id}")).send().await.unwrap();
        let found = if answer.status().is_success() { read(&answer.json::<Value>().await.unwrap()) } else { Vec::new() };
        if found.len() >= count {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "trace {trace_id} has {} spans, not {count}", found.len());
        tokio::time::sleep(POLL).await;
    }
}

fn read(answer: &Value) -> Vec<Span> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut spans = Vec::new();
    for group in list(&answer["result"], "resourceSpans") {
        let resource = group["resource"]["attributes"].clone();
        let service = attribute(&resource, "service.name").unwrap_or_default();
        for span in list(&group, "scopeSpans").iter().flat_map(|scope| list(scope, "spans")) {
            spans.push(Span { service: service.clone(), resource: resource.clone(), span });
        }
    }
    spans
}
