//! `tracelab service`: one of the 90, as its container runs it.

use anyhow::Context as _;
use serde_json::json;
use tracing::info;

use super::{allow_many_connections, leave_on_signal, say, start_logs};
use crate::config::Config;
use crate::outbound;
use crate::server::{self, Stop};
use crate::service::{Service, control};
use crate::telemetry::{Level, Telemetry};
use crate::topology::ServiceName;

/// `level` is what the flag says, which is of this service alone.
pub async fn run(mut config: Config, level: Option<Level>, json: bool) -> anyhow::Result<()> {
    let name = config.name.as_deref().context("which service is this? set --name, TRACELAB_NAME or OTEL_SERVICE_NAME")?;
    let name: ServiceName = name.parse()?;
    if let Some(level) = level {
        config.instrumentation.set(&name.to_string(), level);
    }
    allow_many_connections();
    let _logs = start_logs(&config, "info", &name.to_string())?;
    let listener = server::bind(config.address(config.port), "--port")?;
    let address = listener.local_addr()?;
    let telemetry = Telemetry::start(&config.telemetry(), None)?;
    let client = outbound::client()?;
    let service = Service::new(name, config.patched, &telemetry, client.clone());
    let stop = Stop::new();
    leave_on_signal(stop.clone(), config.drain());
    let control = tokio::spawn(control::follow(service.clone(), config.control.clone(), client));
    info!(%address, control = %config.control, "service listens");
    if json {
        say(&json!({ "service": format!("http://{address}") }).to_string())?;
    }
    server::serve(listener, service.routes(), stop).await;
    control.abort();
    service.finish().await;
    telemetry.shutdown().await;
    Ok(())
}
