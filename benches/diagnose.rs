//! The diagnosis's rows of the budget: what, measured, budget, how. `cargo bench --bench diagnose`
//!
//! Traces are like the sandbox's own: seven spans through four services, eight to ten attributes a span, one trace in fifty failed;
//! 970 to 1,140 bytes of JSON a span. Two faults are in them, or there would be nothing to explain and the analysis would look cheaper than
//! it is: `dummy-2-9` sleeps, and `dummy-1-4` does for one customer of five hundred, who makes a tenth of the calls.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::io::{self, Read};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tracelab::diagnose::model::Builder;
use tracelab::diagnose::{Options, Traces, diagnose, read};

const SPANS_A_TRACE: usize = 7;
/// In memory, as JSON: about 100 MB.
const FOR_SPEED: usize = 15_000;
/// Made while they are read.
const FOR_MEMORY: usize = 100_000;
const ROUNDS: usize = 5;
/// Asks for the row that wants a process of its own.
const RESIDENT: &str = "--resident";

fn main() {
    if std::env::args().any(|argument| argument == RESIDENT) {
        return resident_row();
    }
    println!("{FOR_SPEED} traces of {SPANS_A_TRACE} spans; one thread, its time on the core, best of {ROUNDS}");
    for (name, form) in [("OTLP JSON", Form::Otlp), ("Jaeger's JSON", Form::Jaeger)] {
        let mut text = Vec::new();
        Generated::new(form, FOR_SPEED).read_to_end(&mut text).unwrap();
        let each = text.len() / (FOR_SPEED * SPANS_A_TRACE);
        let (time, _) = best(|| take(&text[..]));
        row(&format!("read {name}, per core"), rate(time), "", format!("from memory, {each} B a span"));
        let (time, found) = best(|| diagnose(&take(&text[..]), None, &Options::default()).suspects);
        let found: Vec<_> = found.iter().map(|one| format!("{:?} {}", one.cause, one.service.as_deref().unwrap_or("-"))).collect();
        let how = format!("the same, and diagnosed: {}", found.join(", "));
        row(&format!("read and diagnose {name}, per core"), rate(time), "≥ 250000", how);
    }
    // What the allocator keeps from before would blur it.
    let own = std::process::Command::new(std::env::current_exe().unwrap()).arg(RESIDENT).status().unwrap();
    assert!(own.success());
}

fn resident_row() {
    let (Some(before), spans) = (resident("VmRSS"), FOR_MEMORY * SPANS_A_TRACE) else { return };
    let traces = take(Generated::new(Form::Otlp, FOR_MEMORY));
    assert_eq!(traces.span_count(), spans);
    let each = |now: usize| now.saturating_sub(before) / spans;
    let (kept, most) = (each(resident("VmRSS").unwrap()), each(resident("VmHWM").unwrap()));
    let how = format!("{FOR_MEMORY} traces, /proc/self/status (Linux only)");
    row("resident per span, once read", format!("{kept} B"), "", how);
    row("resident per span, most while reading", format!("{most} B"), "≤ 500 B", "the same".to_owned());
    let suspects = diagnose(&traces, None, &Options::default()).suspects.len();
    let most = each(resident("VmHWM").unwrap());
    row("resident per span, most while diagnosing", format!("{most} B"), "≤ 500 B", format!("the same, {suspects} suspects"));
}

fn take(input: impl Read) -> Traces {
    let mut builder = Builder::default();
    assert_eq!(read::json(input, &mut builder).unwrap(), read::Outcome::default());
    builder.finish()
}

/// The shortest time of a few, and what came of it.
fn best<T>(work: impl Fn() -> T) -> (Duration, T) {
    let mut best = None;
    for _ in 0..ROUNDS {
        let started = on_core();
        let made = work();
        let time = on_core().saturating_sub(started);
        if best.as_ref().is_none_or(|(shortest, _)| time < *shortest) {
            best = Some((time, made));
        }
    }
    best.unwrap()
}

fn rate(time: Duration) -> String {
    format!("{:.0} spans/s", (FOR_SPEED * SPANS_A_TRACE) as f64 / time.as_secs_f64())
}

fn row(what: &str, measured: String, budget: &str, how: String) {
    println!("{what:<42} {measured:>18}   {budget:<12} {how}");
}

/// Time that this thread spent on a core: what others do on this machine meanwhile does not count.
fn on_core() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = schedstat.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// A line of `/proc/self/status`, in bytes.
fn resident(line: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))?;
    Some(value.trim().split(' ').next()?.parse::<usize>().ok()? * 1024)
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Otlp,
    Jaeger,
}

/// A document that is written while it is read.
struct Generated {
    form: Form,
    rng: ChaCha8Rng,
    next: usize,
    traces: usize,
    waiting: io::Cursor<Vec<u8>>,
}

impl Generated {
    fn new(form: Form, traces: usize) -> Self {
        let open: &[u8] = if form == Form::Otlp { b"{\"result\":{\"resourceSpans\":[" } else { b"{\"data\":[" };
        Self { form, rng: ChaCha8Rng::seed_from_u64(7), next: 0, traces, waiting: io::Cursor::new(open.to_vec()) }
    }
}

impl Read for Generated {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.waiting.read(into)?;
        if read > 0 || self.next > self.traces {
            return Ok(read);
        }
        let text = if self.next == self.traces {
            if self.form == Form::Otlp { "]}}" } else { "],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}" }.to_owned()
        } else {
            let comma = if self.next == 0 { "" } else { "," };
            format!("{comma}{}", written(self.form, &trace(&mut self.rng, self.next)))
        };
        self.next += 1;
        self.waiting = io::Cursor::new(text.into_bytes());
        self.waiting.read(into)
    }
}

struct Made {
    trace: String,
    service: String,
    id: String,
    parent: String,
    name: &'static str,
    server: bool,
    start: u64,
    duration: u64,
    attributes: Vec<(&'static str, Value)>,
    failed: bool,
}

fn trace(rng: &mut ChaCha8Rng, number: usize) -> Vec<Made> {
    let id = |rng: &mut ChaCha8Rng| format!("{:016x}", rng.random_range(1..u64::MAX));
    let trace = format!("{:032x}", rng.random::<u128>());
    let failed = rng.random_ratio(1, 50);
    let status = if failed { 500 } else { 200 };
    let customer = if rng.random_ratio(1, 10) { 0 } else { rng.random_range(1..500) };
    let (customer, button) = (format!("customer-{customer}"), rng.random_range(0..30));
    let callees = [0; 3].map(|_| rng.random_range(0..30));
    // What a service sleeps beyond what is ordinary, before it calls the next one.
    let sleeps = [
        0,
        0,
        if callees[1] == 4 && customer == "customer-0" { 400_000_000 } else { 0 },
        if callees[2] == 9 { 300_000_000 } else { 0_u64 },
    ];
    let (mut service, mut parent) = ("frontend".to_owned(), String::new());
    let mut start = 1_793_534_400_000_000_000 + number as u64 * 2_000_000;
    let mut duration = 20_000_000 + sleeps.iter().sum::<u64>() + rng.random_range(0..10_000_000);
    let mut ordinary = duration - sleeps.iter().sum::<u64>();
    let mut spans = Vec::new();
    for layer in 0..4_u16 {
        let own = id(rng);
        let (name, route) = if layer == 0 { ("POST /api/buttons/{n}", "/api/buttons/{n}") } else { ("GET /", "/") };
        let attributes = vec![
            ("http.request.method", json!(if layer == 0 { "POST" } else { "GET" })),
            ("http.route", json!(route)),
            ("url.path", json!(if layer == 0 { format!("/api/buttons/{button}") } else { "/".to_owned() })),
            ("url.scheme", json!("http")),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(20_000 + layer * 100 + button)),
            ("client.address", json!("127.0.0.1")),
            ("client.port", json!(rng.random_range(32_768..61_000))),
            ("http.response.status_code", json!(status)),
            ("customer.id", json!(customer)),
        ];
        let span = |service: &str, id: &str, parent: &str, name, server, start, duration, attributes| Made {
            trace: trace.clone(),
            service: service.to_owned(),
            id: id.to_owned(),
            parent: parent.to_owned(),
            name,
            server,
            start,
            duration,
            attributes,
            failed,
        };
        spans.push(span(&service, &own, &parent, name, true, start, duration, attributes));
        if layer == 3 {
            break;
        }
        let (callee, client) = (format!("dummy-{layer}-{}", callees[usize::from(layer)]), id(rng));
        let (sleep, tenth) = (sleeps[usize::from(layer)], ordinary / 10);
        (start, duration, ordinary) = (start + tenth + sleep, duration - 2 * tenth - sleep, ordinary - 2 * tenth);
        let port = 20_000 + layer * 100 + button;
        let attributes = vec![
            ("http.request.method", json!("GET")),
            ("url.full", json!(format!("http://127.0.0.1:{port}/"))),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(port)),
            ("network.protocol.version", json!("1.1")),
            ("peer.service", json!(callee)),
            ("http.response.status_code", json!(status)),
            ("http.request.resend_count", json!(0)),
        ];
        spans.push(span(&service, &client, &own, "GET", false, start, duration, attributes));
        (start, duration, ordinary) = (start + 100_000, duration - 200_000, ordinary - 200_000);
        (service, parent) = (callee, client);
    }
    spans
}

/// A trace as the embedded backend writes it.
fn written(form: Form, spans: &[Made]) -> String {
    let resource = [("host.name", "laptop"), ("service.version", "v1"), ("telemetry.sdk.language", "rust")];
    if form == Form::Otlp {
        let groups = spans.chunk_by(|a, b| a.service == b.service).map(|group| {
            let service = [("service.name", &*group[0].service)];
            let attributes: Vec<_> = resource.iter().chain(&service).map(|(key, text)| attribute(key, &json!(text))).collect();
            let spans: Vec<_> = group.iter().map(otlp).collect();
            let scope = json!({ "scope": { "name": "tracelab", "version": "0.1.0" }, "spans": spans });
            json!({ "resource": { "attributes": attributes }, "scopeSpans": [scope] }).to_string()
        });
        return groups.collect::<Vec<_>>().join(",");
    }
    let process = |service: &str| {
        let tags: Vec<_> = resource.iter().map(|(key, text)| tag(key, &json!(text))).collect();
        json!({ "serviceName": service, "tags": tags })
    };
    // A name of its own for each process of the trace, as `p1` is; and they come last, as Jaeger has them.
    let place = |service: &str| format!("p{}", spans.iter().position(|span| span.service == service).unwrap());
    let processes: serde_json::Map<_, _> = spans.iter().map(|span| (place(&span.service), process(&span.service))).collect();
    let written: Vec<_> = spans.iter().map(|span| jaeger(span, &place(&span.service)).to_string()).collect();
    let processes = Value::Object(processes);
    format!(r#"{{"traceID":"{}","spans":[{}],"processes":{processes},"warnings":null}}"#, spans[0].trace, written.join(","))
}

fn attribute(key: &str, value: &Value) -> Value {
    match value {
        Value::Number(number) => json!({ "key": key, "value": { "intValue": number.to_string() } }),
        text => json!({ "key": key, "value": { "stringValue": text } }),
    }
}

fn otlp(span: &Made) -> Value {
    let Made { trace, id, name, start, .. } = span;
    let attributes: Vec<_> = span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut written = json!({
        "traceId": trace, "spanId": id, "flags": 257, "name": name, "kind": if span.server { 2 } else { 3 },
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + span.duration).to_string(), "attributes": attributes,
        "status": if span.failed { json!({ "code": 2 }) } else { json!({}) },
    });
    if !span.parent.is_empty() {
        written["parentSpanId"] = json!(span.parent);
    }
    written
}

fn tag(key: &str, value: &Value) -> Value {
    json!({ "key": key, "type": if value.is_number() { "int64" } else { "string" }, "value": value })
}

fn jaeger(span: &Made, process: &str) -> Value {
    let Made { trace, id, parent, name, start, .. } = span;
    let scope = [("otel.scope.name", json!("tracelab")), ("otel.scope.version", json!("0.1.0"))];
    let kind = [("span.kind", json!(if span.server { "server" } else { "client" }))];
    let mut tags: Vec<_> = scope.iter().chain(&span.attributes).chain(&kind).map(|(key, value)| tag(key, value)).collect();
    if span.failed {
        tags.extend([tag("otel.status_code", &json!("ERROR")), json!({ "key": "error", "type": "bool", "value": true })]);
    }
    let reference = json!({ "refType": "CHILD_OF", "traceID": trace, "spanID": parent });
    let references = if parent.is_empty() { json!([]) } else { json!([reference]) };
    json!({
        "traceID": trace, "spanID": id, "operationName": name, "references": references, "startTime": start / 1_000,
        "duration": span.duration / 1_000, "tags": tags, "logs": [], "processID": process, "warnings": null,
    })
}
