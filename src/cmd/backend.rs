//! `tracelab backend`: the trace backend alone, as its container runs it.

use serde_json::json;
use tracing::info;

use super::{allow_many_connections, leave_on_signal, say, start_logs};
use crate::backend::{self, Listeners, Store};
use crate::config::Config;
use crate::server::{self, Stop};

pub async fn run(config: Config, json: bool) -> anyhow::Result<()> {
    allow_many_connections();
    let _logs = start_logs(&config, "info", "backend")?;
    let listeners = Listeners {
        query: server::bind(config.address(config.jaeger_port), "--jaeger-port")?,
        otlp_http: server::bind(config.address(config.otlp_http_port), "--otlp-http-port")?,
        otlp_grpc: server::bind(config.address(config.otlp_grpc_port), "--otlp-grpc-port")?,
    };
    let query = listeners.query.local_addr()?;
    let (http, grpc) = (listeners.otlp_http.local_addr()?, listeners.otlp_grpc.local_addr()?);
    let stop = Stop::new();
    leave_on_signal(stop.clone(), config.drain());
    info!(jaeger = %query, otlp_http = %http, otlp_grpc = %grpc, store_mb = config.store_mb, "backend listens");
    if json {
        let url = |address| format!("http://{address}");
        say(&json!({ "jaeger": url(query), "otlp_http": url(http), "otlp_grpc": url(grpc) }).to_string())?;
    }
    backend::serve(listeners, Store::new(config.store_mb << 20), stop).await
}
