//! The traces that a load leaves in the real sandbox, in this process, read through its backend's query API.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tracelab::config::Config;
use tracelab::diagnose::Traces;
use tracelab::diagnose::model::{Builder, Parent};
use tracelab::diagnose::read;
use tracelab::frontend::Pick;
use tracelab::load::{self, Plan};
use tracelab::mystery::Cause;
use tracelab::outbound;
use tracelab::sandbox::Sandbox;
use tracelab::server::Stop;
use tracelab::topology::Topology;

/// Room for 20,000 calls and more.
const STORE_MB: usize = 1_024;
/// Spans reach the backend well before this.
const PATIENCE: Duration = Duration::from_secs(10);
const EVERYTHING: &str = "query.startTimeMin=2020-01-01T00:00:00Z&query.startTimeMax=2100-01-01T00:00:00Z&query.searchDepth=100000";

/// Starts a sandbox, presses its buttons, reads what it recorded, stops it.
pub fn traces(cause: Cause, topology: Topology, seed: u64, calls: u64, concurrency: usize) -> Traces {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    // As `tracelab up` has it.
    let build = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    RUNTIME.get_or_init(build).block_on(async {
        let config = Config {
            layers: topology.layers,
            width: topology.width,
            route: topology.route,
            mystery: Pick::Cause(cause),
            seed: Some(seed),
            port: 0,
            jaeger_port: 0,
            otlp_http_port: 0,
            otlp_grpc_port: 0,
            store_mb: STORE_MB,
            ..Config::default()
        };
        let sandbox = Sandbox::start(&config).await.unwrap();
        let plan = Plan { calls, concurrency, ..Plan::default() };
        let client = outbound::client().unwrap();
        let frontend = sandbox.addresses().frontend.parse().unwrap();
        let report = load::run(client.clone(), &frontend, &plan, &Stop::new(), |_| ()).await.unwrap();
        assert_eq!((report.calls, report.cancelled), (calls, false));
        let traces = read_all(&client, &sandbox.addresses().jaeger, calls).await;
        sandbox.stop().await;
        traces
    })
}

/// A root ends after everything that its call waited for, so once all roots are there nothing else is missing.
async fn read_all(client: &reqwest::Client, jaeger: &str, calls: u64) -> Traces {
    let begin = Instant::now();
    loop {
        let answer = client.get(format!("{jaeger}/api/v3/traces?{EVERYTHING}")).send().await.unwrap();
        let mut builder = Builder::default();
        if answer.status().is_success() {
            let body = answer.bytes().await.unwrap();
            let outcome = read::json(&body[..], &mut builder).unwrap();
            assert_eq!(outcome.broken, None);
        }
        let traces = builder.finish();
        let entry = traces.texts.find("frontend");
        let is_root =
            |spans: &tracelab::diagnose::model::Span| spans.parent == Parent::Root && Some(traces.service(spans)) == entry;
        let roots = traces.spans().iter().filter(|span| is_root(span)).count();
        if roots as u64 >= calls {
            return traces;
        }
        assert!(begin.elapsed() < PATIENCE, "only {roots} of {calls} traces reached the backend");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
