//! The services' rows of the budget: what, measured, budget, how. `cargo bench --bench requests`
//!
//! Three services in a row without delays, traced, in this process on two threads. The callers are plain sockets in the same
//! process, so that what they cost is in the figures.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracelab::backend::Store;
use tracelab::mystery::{Assignment, Cause, Delay, Peers, draw};
use tracelab::outbound;
use tracelab::server::{self, Stop};
use tracelab::service::Service;
use tracelab::telemetry::{Exporter, Ingest, Signal, Telemetry, TelemetrySettings};
use tracelab::topology::{Route, ServiceName, Topology};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\r\n";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let quiet = TelemetrySettings { traces: Exporter::None, ..TelemetrySettings::default() };
        let null = Chain::start(&quiet, None, Delay::NONE).await;
        null.call(64, Duration::from_millis(500)).await;
        let one = null.call(1, Duration::from_secs(3)).await;
        row("three hops, one caller, p50", ms(one.quantile(0.5)), "≤ 0.25 ms", format!("p99 {}", ms(one.quantile(0.99))));
        let many = null.call(64, Duration::from_secs(5)).await;
        let how = format!("null sink, p50 {}, {} spans lost", ms(many.quantile(0.5)), null.telemetry.lost().spans);
        row("three hops, 64 callers", format!("{:.0}/s", many.rate), "≥ 16000/s", how);

        let store = Store::new(1 << 30);
        let chain = Chain::start(&TelemetrySettings::default(), Some(into(store.clone())), Delay::NONE).await;
        chain.call(64, Duration::from_millis(500)).await;
        let stored = chain.call(64, Duration::from_secs(5)).await;
        chain.telemetry.flush().await;
        let how = format!("embedded backend, {} spans stored, {} lost", store.stats().spans, chain.telemetry.lost().spans);
        row("three hops, 64 callers", format!("{:.0}/s", stored.rate), "≥ 8000/s", how);

        let asked = Delay { median_ms: 5.3, sigma: 0.0 };
        let slow = Chain::start(&quiet, None, asked).await;
        let late = slow.call(8, Duration::from_secs(2)).await.quantile(0.5).as_secs_f64() * 1e3 - 3.0 * asked.median_ms;
        let how = "the hops' own time included, 8 callers".to_owned();
        row("a delay comes late, median", format!("{:.3} ms", late / 3.0), "≤ 1 ms", how);
    });
}

struct Chain {
    telemetry: Telemetry,
    port: u16,
}

impl Chain {
    async fn start(settings: &TelemetrySettings, ingest: Option<Ingest>, delay: Delay) -> Self {
        let telemetry = Telemetry::start(settings, ingest).unwrap();
        let topology = Topology::new(3, 1, Route::Straight).unwrap();
        let mystery = draw(1, Cause::None, topology, 0.0).unwrap();
        let client = outbound::client().unwrap();
        let mut started = Vec::new();
        for name in topology.services() {
            let service = Service::new(name, false, &telemetry, client.clone());
            let listener = server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(server::serve(listener, service.routes(), Stop::new()));
            started.push((service, port));
        }
        let port = |name: ServiceName| started[usize::from(name.layer)].1;
        let peers = Peers::new(topology, |name| format!("http://127.0.0.1:{}", port(name))).unwrap();
        for (service, _) in &started {
            // A decoy would refuse some of the calls, which these callers do not repeat.
            let assignment = mystery.assignment(service.name(), &peers, None);
            service.assign(Assignment { delay, decoy: None, ..assignment }).unwrap();
        }
        Self { telemetry, port: started[0].1 }
    }

    /// So many callers, each with one call under way, for this long.
    async fn call(&self, callers: usize, time: Duration) -> Calls {
        let begin = Instant::now();
        let latencies = Arc::new(Mutex::new(Vec::new()));
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                let (latencies, port) = (latencies.clone(), self.port);
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut own = Vec::new();
                    let mut answer = [0; 2048];
                    while begin.elapsed() < time {
                        let start = Instant::now();
                        stream.write_all(REQUEST).await.unwrap();
                        let length = stream.read(&mut answer).await.unwrap();
                        assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
                        own.push(start.elapsed());
                    }
                    latencies.lock().unwrap().extend(own);
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let seconds = begin.elapsed().as_secs_f64();
        let mut latencies = std::mem::take(&mut *latencies.lock().unwrap());
        latencies.sort();
        Calls { rate: latencies.len() as f64 / seconds, latencies }
    }
}

struct Calls {
    rate: f64,
    latencies: Vec<Duration>,
}

impl Calls {
    fn quantile(&self, share: f64) -> Duration {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize]
    }
}

fn into(store: Store) -> Ingest {
    Arc::new(move |signal, body| match signal {
        Signal::Traces => store.ingest_traces(body).map(|_| ()).map_err(|error| error.to_string()),
        Signal::Logs => store.ingest_logs(body).map(|_| ()).map_err(|error| error.to_string()),
    })
}

fn row(what: &str, measured: String, budget: &str, how: String) {
    println!("{what:<42} {measured:>18}   {budget:<12} {how}");
}

fn ms(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1e3)
}
