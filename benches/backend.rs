//! The backend's rows of the budget: what, measured, budget, how. `cargo bench --bench backend`
//!
//! Traces are like the sandbox's own: seven spans through four services, eight to ten attributes a span, in batches of 512
//! spans as an exporter sends them, so that the spans of one trace come in several requests.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::net::TcpListener;
use tracelab::backend::{self, Listeners, Store};
use tracelab::server::Stop;

const TRACES: usize = 100_000;
const SPANS_A_TRACE: usize = 7;
const BATCH: usize = 512;
/// So many bodies are stored between two looks at a clock that moves in ticks of 4 ms.
const BODIES: usize = 256;
/// Asks for a row that wants a process of its own, and says how many megabytes its store has.
const OVERFLOW: &str = "--overflow";
/// Asks for the rows of figures over everything alone.
const FIGURES: &str = "--figures";
/// A million spans, and room for them.
const FIGURES_TRACES: usize = 142_858;
const FIGURES_LIMIT: usize = 512 << 20;

fn main() {
    // Cargo passes `--bench`; a name as filter is not offered, the rows build on each other.
    if let Some(megabytes) = std::env::args().skip_while(|argument| argument != OVERFLOW).nth(1) {
        return overflow(megabytes.parse().unwrap());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rustls::crypto::ring::default_provider().install_default().unwrap();
    if std::env::args().any(|argument| argument == FIGURES) {
        return runtime.block_on(figures());
    }
    println!("{TRACES} traces of {SPANS_A_TRACE} spans; two cores shared with the client");
    // What a store leaves with the allocator would blur what the next one takes: a process for each.
    for megabytes in ["64", "16", "4"] {
        let own = std::process::Command::new(std::env::current_exe().unwrap()).args([OVERFLOW, megabytes]).status().unwrap();
        assert!(own.success());
    }
    let before = resident();
    let store = Store::new(256 << 20);
    let (ingest, bytes) = fill(&store, TRACES);
    let spans = (TRACES * SPANS_A_TRACE) as f64;
    let stats = store.stats();
    assert_eq!(stats.evicted_traces, 0);
    let rate = spans / ingest.as_secs_f64();
    row(
        "ingest per core",
        format!("{rate:.0} spans/s"),
        "≥ 600000",
        format!("one thread, its time on the core, protobuf of {:.0} B a span, in process", bytes as f64 / spans),
    );
    if let (Some(before), Some(after)) = (before, resident()) {
        let each = after.saturating_sub(before) as f64 / spans;
        row(
            "resident per span",
            format!("{each:.0} B"),
            "≤ 250 B",
            format!("/proc/self/statm (Linux only); the store counts {:.0} B", stats.bytes as f64 / spans),
        );
    }
    runtime.block_on(queries(store));
    let own = std::process::Command::new(std::env::current_exe().unwrap()).arg(FIGURES).status().unwrap();
    assert!(own.success());
}

/// Fills a small store several times over with attributes that never repeat: the worst that dictionaries can meet.
fn overflow(megabytes: usize) {
    let (limit, store) = (megabytes << 20, Store::new(megabytes << 20));
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (before, mut highest) = (resident().unwrap_or(0), 0);
    while store.stats().evicted_spans < limit as u64 / 64 {
        let mut spans: Vec<_> = (0..BATCH / SPANS_A_TRACE).flat_map(|number| trace(&mut rng, number)).collect();
        for (_, span) in &mut spans {
            let own: u32 = rng.random();
            span.attributes.push(text(&format!("key-{}", own % 5_000), &format!("value-{own}")));
            span.attributes.push(text("order", &format!("order-{own}")));
        }
        store.ingest_traces(&body(&mut spans)).unwrap();
        highest = highest.max(resident().unwrap_or(0));
    }
    let more = highest.saturating_sub(before) as f64 / 1e6;
    let how = format!("Linux only; attributes that never repeat, {} spans evicted", store.stats().evicted_spans);
    // Smaller ones promise nothing.
    let budget = if megabytes >= 64 { format!("≤ {} MB", limit / 1_000_000) } else { String::new() };
    row(&format!("resident at most, store of {megabytes} MB"), format!("{more:.0} MB"), &budget, how);
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

/// Pages that are resident, in bytes.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

/// Our own endpoints, which read every span.
async fn figures() {
    let store = Store::new(FIGURES_LIMIT);
    fill(&store, FIGURES_TRACES);
    assert_eq!(store.stats().spans, (FIGURES_TRACES * SPANS_A_TRACE) as u64);
    let bind = || TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listeners = Listeners { query: bind().await.unwrap(), otlp_http: bind().await.unwrap(), otlp_grpc: bind().await.unwrap() };
    let base = format!("http://{}/api/tracelab", listeners.query.local_addr().unwrap());
    let stop = Stop::new();
    let server = tokio::spawn(backend::serve(listeners, store.clone(), stop.clone()));
    let client = reqwest::Client::new();
    let before = resident().unwrap_or(0);
    for (what, path) in [
        ("graph", "graph"),
        ("graph of half the window", "graph?end=1793534542858000"),
        ("distribution of all", "distribution"),
        ("distribution of an operation", "distribution?service=frontend&operation=GET&kind=client"),
        ("distribution of one service in 91", "distribution?service=dummy-2-7"),
        ("in flight", "in-flight?at=1793534500000000000"),
    ] {
        let (mut times, mut length) = (Vec::new(), 0);
        for _ in 0..10 {
            let started = Instant::now();
            let response = client.get(format!("{base}/{path}")).send().await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            length = response.bytes().await.unwrap().len();
            times.push(started.elapsed());
        }
        times.sort();
        let how = format!("HTTP, 1,000,000 spans, median of 10, slowest {}, {length} B", ms(times[9]));
        row(what, ms(times[5]), "≤ 1000 ms", how);
    }
    let more = resident().unwrap_or(0).saturating_sub(before) as f64 / 1e6;
    row("resident for figures", format!("{more:.0} MB"), "", "Linux only; what they left with the allocator".to_owned());
    let reading = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let writer = std::thread::spawn({
        let reading = reading.clone();
        move || slowest_batch(&store, &reading)
    });
    for _ in 0..10 {
        client.get(format!("{base}/graph")).send().await.unwrap();
    }
    reading.store(false, std::sync::atomic::Ordering::Relaxed);
    let (slowest, batches) = writer.join().unwrap();
    row("slowest batch beside ten graphs", ms(slowest), "", format!("{batches} batches of {BATCH} spans"));
    stop.stop();
    drop(client);
    server.await.unwrap().unwrap();
}

async fn queries(store: Store) {
    let bind = || TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let listeners = Listeners { query: bind().await.unwrap(), otlp_http: bind().await.unwrap(), otlp_grpc: bind().await.unwrap() };
    let base = format!("http://{}", listeners.query.local_addr().unwrap());
    let stop = Stop::new();
    let server = tokio::spawn(backend::serve(listeners, store.clone(), stop.clone()));
    let client = reqwest::Client::new();
    let window = "query.startTimeMin=2026-01-01T00:00:00Z&query.startTimeMax=2027-01-01T00:00:00Z";
    let v3 = |rest: &str| format!("{base}/api/v3/{rest}&{window}");
    let service = |at: usize| match at % 8 {
        0 | 4 => "frontend".to_owned(),
        n => format!("dummy-{}-{}", n % 3, at % 30),
    };
    let get = async |url: String| {
        let started = Instant::now();
        let mut response = client.get(&url).send().await.unwrap();
        assert!(matches!(response.status().as_u16(), 200 | 404), "{url}: {}", response.status());
        let (mut length, mut highest) = (0, 0);
        while let Some(chunk) = response.chunk().await.unwrap() {
            length += chunk.len();
            if length & 0xff_ffff < chunk.len() {
                highest = highest.max(resident().unwrap_or(0));
            }
        }
        (started.elapsed(), length, highest)
    };
    let p99 = async |urls: Vec<String>| {
        get(urls[0].clone()).await;
        let (mut times, mut lengths) = (Vec::new(), 0);
        for url in urls {
            let (time, length, _) = get(url).await;
            times.push(time);
            lengths += length;
        }
        times.sort();
        (times[times.len() / 2], times[times.len() * 99 / 100], lengths / times.len())
    };
    for (what, endpoint) in [("whole traces", "traces"), ("summaries", "trace-summaries")] {
        for (kind, rest) in
            [("minimum duration", "query.durationMin="), ("longest first", "query.sortBy=longest&query.durationMin=")]
        {
            let minimum = |at: usize| ["500ms", "250ms", "800ms", "100ms"][at % 4];
            let value = |at: usize| if kind == "longest first" { "0" } else { minimum(at) };
            let urls = (0..400)
                .map(|at| v3(&format!("{endpoint}?query.serviceName={}&query.searchDepth=20&{rest}{}", service(at), value(at))));
            let (p50, p99, length) = p99(urls.collect()).await;
            row(
                &format!("search by {kind}, p99, {what}"),
                ms(p99),
                "≤ 5 ms",
                format!("HTTP v3, 20 traces, p50 {}, {length} B an answer", ms(p50)),
            );
        }
    }
    let (_, p99_all, _) = p99((0..100).map(|_| v3("trace-summaries?query.sortBy=longest&query.searchDepth=20")).collect()).await;
    row("longest first, any service, p99", ms(p99_all), "≤ 5 ms", "HTTP v3, 20 summaries".to_owned());
    let (p50, _, length) = p99((0..20).map(|_| v3("traces?query.searchDepth=1500")).collect()).await;
    row("1500 whole traces", ms(p50), "≤ 50 ms", format!("HTTP v3, median of 20, {:.1} MB", length as f64 / 1e6));
    let legacy = format!("{base}/api/traces?service=frontend&limit=1500&start=1&end=9000000000000000");
    let (p50, _, length) = p99(vec![legacy; 20]).await;
    row("1500 whole traces, legacy API", ms(p50), "≤ 50 ms", format!("HTTP, median of 20, {:.1} MB", length as f64 / 1e6));
    let before = resident().unwrap_or(0);
    let (time, length, highest) = get(v3(&format!("traces?query.searchDepth={TRACES}"))).await;
    let more = highest.saturating_sub(before) as f64 / 1e6;
    row(
        "all traces, streamed",
        ms(time),
        "≤ 2000 ms",
        format!("HTTP v3, {:.0} MB, {more:.1} MB more resident meanwhile", length as f64 / 1e6),
    );
    let end = 1_793_600_000_000u64;
    let dependencies = format!("{base}/api/dependencies?endTs={end}&lookback=604800000");
    let (first, _, _) = get(dependencies.clone()).await;
    let (_, p99_all, length) = p99(vec![dependencies; 50]).await;
    row("dependencies", ms(p99_all), "≤ 20 ms", format!("HTTP, p99 of 50, the first {}, {length} B", ms(first)));
    // A window that cuts a segment: nothing remembered helps for that one.
    let cut = 1_793_534_400_000u64 + TRACES as u64;
    let (_, p99_cut, _) = p99(vec![format!("{base}/api/dependencies?endTs={cut}&lookback=604800000"); 20]).await;
    row("dependencies, half the window", ms(p99_cut), "≤ 20 ms", "HTTP, p99 of 20".to_owned());
    // An attribute that no span has, without a service: every span is looked at.
    let rare = v3("trace-summaries?query.attributes=%7B%22customer.id%22:%22nobody%22%7D");
    let (p50, _, _) = p99(vec![rare.clone(); 20]).await;
    row("search that looks at every span", ms(p50), "", "HTTP v3, median of 20".to_owned());
    let reading = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let writer = std::thread::spawn({
        let reading = reading.clone();
        move || slowest_batch(&store, &reading)
    });
    get(v3(&format!("traces?query.searchDepth={TRACES}"))).await;
    p99(vec![rare; 10]).await;
    reading.store(false, std::sync::atomic::Ordering::Relaxed);
    let (slowest, batches) = writer.join().unwrap();
    row(
        "slowest batch while all is read",
        ms(slowest),
        "",
        format!("{batches} batches of {BATCH} spans beside a full stream and ten searches"),
    );
    stop.stop();
    drop(client);
    server.await.unwrap().unwrap();
}

/// Stores batches, one at a time, as long as others read.
fn slowest_batch(store: &Store, reading: &std::sync::atomic::AtomicBool) -> (Duration, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let (mut slowest, mut batches, mut number) = (Duration::ZERO, 0, TRACES);
    while reading.load(std::sync::atomic::Ordering::Relaxed) {
        let mut spans = Vec::new();
        while spans.len() < BATCH {
            spans.extend(trace(&mut rng, number));
            number += 1;
        }
        let body = body(&mut spans);
        let started = Instant::now();
        store.ingest_traces(&body).unwrap();
        slowest = slowest.max(started.elapsed());
        batches += 1;
        // As an exporter does; a busy loop would measure the machine.
        std::thread::sleep(Duration::from_millis(5));
    }
    (slowest, batches)
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Stores so many traces; returns the time spent in the store and the bytes it read.
fn fill(store: &Store, traces: usize) -> (Duration, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut bodies = Bodies { bytes: Vec::with_capacity(BODIES << 20), ends: Vec::new(), time: Duration::ZERO, read: 0 };
    let mut waiting: Vec<(String, Span)> = Vec::new();
    for number in 0..traces {
        waiting.extend(trace(&mut rng, number));
        // A few dozen traces are always under way, so a batch ends in the middle of many.
        if waiting.len() >= BATCH + 200 {
            let kept = waiting.split_off(BATCH);
            bodies.add(store, &mut waiting);
            waiting = kept;
        }
        let (last, other) = (waiting.len().saturating_sub(1), rng.random_range(0..waiting.len().max(1)));
        if last > 0 {
            waiting.swap(last, other);
        }
    }
    while !waiting.is_empty() {
        let kept = waiting.split_off(waiting.len().min(BATCH));
        bodies.add(store, &mut waiting);
        waiting = kept;
    }
    bodies.store(store);
    (bodies.time, bodies.read)
}

/// Bodies that wait to be stored, one after the other in one place that the allocator gives back.
struct Bodies {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    time: Duration,
    read: usize,
}

impl Bodies {
    fn add(&mut self, store: &Store, spans: &mut Vec<(String, Span)>) {
        self.bytes.extend_from_slice(&body(spans));
        self.ends.push(self.bytes.len());
        if self.ends.len() == BODIES {
            self.store(store);
        }
    }

    fn store(&mut self, store: &Store) {
        let (started, mut start) = (on_core(), 0);
        for &end in &self.ends {
            let accepted = store.ingest_traces(&self.bytes[start..end]).unwrap();
            assert_eq!(accepted.rejected, 0);
            start = end;
        }
        self.time += on_core().saturating_sub(started);
        self.read += self.bytes.len();
        self.bytes.clear();
        self.ends.clear();
    }
}

/// The spans as an exporter sends them.
fn body(spans: &mut Vec<(String, Span)>) -> Vec<u8> {
    let mut by_service: std::collections::BTreeMap<String, Vec<Span>> = std::collections::BTreeMap::new();
    for (service, span) in spans.drain(..) {
        by_service.entry(service).or_default().push(span);
    }
    let resource_spans = by_service.into_iter().map(|(service, spans)| ResourceSpans {
        resource: Some(Resource {
            attributes: vec![
                text("service.name", &service),
                text("service.version", "v1"),
                text("host.name", "laptop"),
                text("telemetry.sdk.language", "rust"),
            ],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "tracelab".to_owned(),
                version: "0.1.0".to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec()
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    }
}

fn int(key: &str, value: i64) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Value::IntValue(value)) }), ..KeyValue::default() }
}

/// Four services, three of them drawn; one trace in a hundred is slow, one in fifty fails.
fn trace(rng: &mut ChaCha8Rng, number: usize) -> Vec<(String, Span)> {
    let trace_id = rng.random::<[u8; 16]>().to_vec();
    let start = 1_793_534_400_000_000_000 + number as u64 * 2_000_000;
    let extra: u64 = if rng.random_ratio(1, 100) { rng.random_range(200_000_000..900_000_000) } else { 0 };
    let status: i64 = if rng.random_ratio(1, 50) { 500 } else { 200 };
    let customer = format!("customer-{}", rng.random_range(0..500));
    let button = rng.random_range(0..30);
    let mut service = "frontend".to_owned();
    let (mut parent, mut left, mut at) = (Vec::new(), 20_000_000 + extra + rng.random_range(0..10_000_000), start);
    let mut spans = Vec::new();
    for layer in 0..4 {
        let id = rng.random::<[u8; 8]>().to_vec();
        let route = if layer == 0 { "/api/buttons/{n}" } else { "/" };
        let path = if layer == 0 { format!("/api/buttons/{button}") } else { "/".to_owned() };
        let attributes = vec![
            text("http.request.method", if layer == 0 { "POST" } else { "GET" }),
            text("http.route", route),
            text("url.path", &path),
            text("url.scheme", "http"),
            text("server.address", "127.0.0.1"),
            int("server.port", 20_000 + layer * 100 + button),
            text("client.address", "127.0.0.1"),
            int("client.port", rng.random_range(32_768..61_000)),
            int("http.response.status_code", status),
            text("customer.id", &customer),
        ];
        let name = if layer == 0 { "POST /api/buttons/{n}" } else { "GET /" };
        spans.push((service.clone(), span(&trace_id, &id, &parent, name, 2, (at, left), attributes, status)));
        if layer == 3 {
            break;
        }
        let callee = format!("dummy-{layer}-{}", rng.random_range(0..30));
        let client = rng.random::<[u8; 8]>().to_vec();
        at += left / 10;
        left -= left / 5;
        let attributes = vec![
            text("http.request.method", "GET"),
            text("url.full", &format!("http://127.0.0.1:{}/", 20_000 + layer * 100 + button)),
            text("server.address", "127.0.0.1"),
            int("server.port", 20_000 + layer * 100 + button),
            text("network.protocol.version", "1.1"),
            text("peer.service", &callee),
            int("http.response.status_code", status),
            int("http.request.resend_count", 0),
        ];
        spans.push((service, span(&trace_id, &client, &id, "GET", 3, (at, left), attributes, status)));
        at += 100_000;
        left -= 200_000;
        (service, parent) = (callee, client);
    }
    // Children end first, so they are exported first.
    spans.reverse();
    spans
}

#[allow(clippy::too_many_arguments, reason = "a span has that many parts")]
fn span(
    trace_id: &[u8],
    id: &[u8],
    parent: &[u8],
    name: &str,
    kind: i32,
    (start, duration): (u64, u64),
    attributes: Vec<KeyValue>,
    status: i64,
) -> Span {
    Span {
        trace_id: trace_id.to_vec(),
        span_id: id.to_vec(),
        parent_span_id: parent.to_vec(),
        name: name.to_owned(),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start + duration,
        attributes,
        flags: 0x101,
        status: (status == 500).then(|| Status { code: 2, message: String::new() }),
        ..Span::default()
    }
}
