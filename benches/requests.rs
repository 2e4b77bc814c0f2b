//! Three hops without delays, traced: latency with one caller, throughput with 64, to a null sink.
//!
//! Callers are plain sockets in the same process, so their cost is in the figure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tracelab::mystery::{Cause, draw};
use tracelab::server::{self, Stop};
use tracelab::service::Service;
use tracelab::telemetry::{Exporter, Telemetry, TelemetrySettings};
use tracelab::topology::{Route, ServiceName, Topology};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = TelemetrySettings { traces: Exporter::None, ..TelemetrySettings::default() };
        let telemetry = Telemetry::start(&settings, None).unwrap();
        let topology = Topology::new(3, 1, Route::Straight).unwrap();
        let mystery = draw(1, Cause::None, topology, 0.0);
        let client = tracelab::outbound::client().unwrap();
        let mut ports = Vec::new();
        let stop = Stop::new();
        let mut services = Vec::new();
        for name in topology.services() {
            let service = Service::new(name, false, &telemetry, client.clone());
            let listener = server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
            ports.push(listener.local_addr().unwrap().port());
            tokio::spawn(server::serve(listener, service.routes(), stop.clone()));
            services.push(service);
        }
        for service in &services {
            let assignment =
                mystery.assignment(service.name(), |name: ServiceName| format!("http://127.0.0.1:{}", ports[name.layer as usize]));
            service.assign(assignment).unwrap();
        }
        let one = callers(ports[0], 1, Duration::from_secs(2)).await;
        println!("one caller: p50 {:?} p99 {:?}", one.1[one.1.len() / 2], one.1[one.1.len() * 99 / 100]);
        let many = callers(ports[0], 64, Duration::from_secs(4)).await;
        println!("64 callers: {:.0} requests/s, p50 {:?}, lost {:?}", many.0, many.1[many.1.len() / 2], telemetry.lost());
    });
}

async fn callers(port: u16, n: usize, time: Duration) -> (f64, Vec<Duration>) {
    let start = Instant::now();
    let latencies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..n)
        .map(|_| {
            let latencies = latencies.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 4096];
                let mut own = Vec::new();
                while start.elapsed() < time {
                    let begin = Instant::now();
                    stream.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n").await.unwrap();
                    let n = stream.read(&mut buffer).await.unwrap();
                    assert!(buffer[..n].starts_with(b"HTTP/1.1 200"));
                    own.push(begin.elapsed());
                }
                latencies.lock().unwrap().extend(own);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut latencies = std::mem::take(&mut *latencies.lock().unwrap());
    latencies.sort();
    (latencies.len() as f64 / seconds, latencies)
}
