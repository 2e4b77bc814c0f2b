//! The rows of the budget that concern the whole program: what, measured, budget, how. `cargo bench --bench sandbox`
//!
//! The binary runs as a user runs it, on free ports; memory and threads are what Linux says of its process.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_tracelab");
const SERVICES: &str = "kind/base/services.yaml";
const FREE_PORTS: [&str; 8] = ["--port", "0", "--jaeger-port", "0", "--otlp-http-port", "0", "--otlp-grpc-port", "0"];

fn main() {
    let mut starts: Vec<Duration> = (0..10).map(|_| first_traced_request()).collect();
    starts.sort();
    let how = format!("process start until the backend answers for its trace; median of 10, worst {}", ms(starts[9]));
    row("up to the first answered, traced request", ms(starts[5]), "≤ 300 ms", how);

    let up = Running::start(&[&["up"][..], &FREE_PORTS].concat());
    std::thread::sleep(Duration::from_secs(2));
    row("up, idle: resident", mb(up.status("VmRSS")), "≤ 60 MB", format!("of it anonymous {}", mb(up.status("RssAnon"))));
    row("up: threads", up.status("Threads").to_string(), "≤ 16", String::new());

    let frontend = up.ready["frontend"].as_str().unwrap();
    let load = Command::new(BINARY).args(["load", "--json", "--frontend", frontend]).output().unwrap();
    let report: Value = serde_json::from_slice(&load.stdout).unwrap();
    assert_eq!((report["calls"].as_u64(), report["errors"].as_u64()), (Some(10_000), Some(0)));
    let how = format!("tracelab load, 100 at a time; {:.0}/s", report["rate"].as_f64().unwrap());
    row("10000 calls with default delays", format!("{:.2} s", report["seconds"].as_f64().unwrap()), "≤ 10 s", how);
    row("up, after them: resident", mb(up.status("VmRSS")), "", "70,000 spans and 40,000 log records stored".to_owned());

    let service = Running::start(&["service", "--name", "dummy-1-17", "--port", "0", "--control", frontend]);
    std::thread::sleep(Duration::from_secs(2));
    let anonymous = mb(service.status("RssAnon"));
    row("one service, idle: resident", mb(service.status("VmRSS")), "≤ 6 MB", format!("of it anonymous {anonymous}"));
    for (width, budget) in [(100, "≤ 1 s"), (1_000, "")] {
        let (time, bytes) = all_manifests(width);
        let how = format!("tracelab manifest all, into files of 90 services; {:.1} MB of YAML for Kubernetes", bytes as f64 / 1e6);
        row(&format!("manifests of {} services", 10 * width), ms(time), budget, how);
    }
    let bytes = std::fs::metadata(BINARY).unwrap().len();
    row("binary", format!("{:.1} MB", bytes as f64 / 1e6), "≤ 12 MB", "as built, linked to the system's C library".to_owned());
}

/// Ten layers; the median of five, and how much was written.
fn all_manifests(width: u32) -> (Duration, u64) {
    let checkout = tempfile::tempdir().unwrap();
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            for file in ["compose/compose.yaml", "compose/nginx/layer-0.conf", SERVICES, "kind/components/edge/nginx/layer-0.conf"]
            {
                let copy = checkout.path().join(file);
                std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
                std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), copy).unwrap();
            }
            let begin = Instant::now();
            let arguments = ["manifest", "all", "--layers", "10", "--width", &width.to_string()];
            let output = Command::new(BINARY).args(arguments).current_dir(checkout.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            begin.elapsed()
        })
        .collect();
    times.sort();
    (times[2], std::fs::metadata(checkout.path().join(SERVICES)).unwrap().len())
}

/// From the start of the process until the trace of its first call can be read.
fn first_traced_request() -> Duration {
    let begin = Instant::now();
    let up = Running::start(&[&["up", "--mystery", "none"][..], &FREE_PORTS].concat());
    let (_, pressed) = http(&up.ready["frontend"], "POST /api/buttons/0");
    let trace_id = pressed["trace_id"].as_str().unwrap().to_owned();
    while http(&up.ready["jaeger"], &format!("GET /api/v3/traces/{trace_id}")).0 != 200 {}
    begin.elapsed()
}

/// One request with a plain socket: a client library would have to start first.
fn http(base: &Value, request: &str) -> (u16, Value) {
    let host = base.as_str().unwrap().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

struct Running {
    process: Child,
    ready: Value,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut process =
            Command::new(BINARY).args(arguments).args(["--json", "--log", "off"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { process, ready: serde_json::from_str(&line).unwrap() }
    }

    /// A number of `/proc/PID/status`; memory in kB.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn row(what: &str, measured: String, budget: &str, how: String) {
    println!("{what:<42} {measured:>18}   {budget:<12} {how}");
}

fn mb(kb: u64) -> String {
    format!("{:.1} MB", kb as f64 / 1e3)
}

fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}
