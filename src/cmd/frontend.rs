//! `tracelab frontend`: the page, its API and the control port, as its container runs them.

use std::sync::Arc;

use serde_json::json;
use tracing::info;

use super::{allow_many_connections, leave_on_signal, say, start_logs};
use crate::config::{Config, base};
use crate::frontend::{Frontend, Game, Redeploy, serve_control};
use crate::mystery::Peers;
use crate::outbound;
use crate::redis::Redis;
use crate::server::{self, Stop};
use crate::telemetry::Telemetry;

pub async fn run(config: Config, json: bool) -> anyhow::Result<()> {
    allow_many_connections();
    let _logs = start_logs(&config, "info", "frontend")?;
    let public = server::bind(config.address(config.port), "--port")?;
    let control = server::bind(config.address(config.control_port), "--control-port")?;
    let (public_address, control_address) = (public.local_addr()?, control.local_addr()?);
    let telemetry = Telemetry::start(&config.telemetry(), None)?;
    let game = Game::open(&config.game_settings(config.redis.clone().map_or_else(Redis::none, Redis::at))?).await?;
    let peers = Arc::new(Peers::new(game.topology(), |name| match config.replace.get(&name) {
        Some(url) => base(url),
        None => config.url_of(name),
    })?);
    let settings = config.frontend_settings(config.jaeger_url().parse()?);
    let how = "the services of this stage are not in the frontend's process; put an image of version v2 in the place of {service}";
    let elsewhere = Redeploy::Elsewhere(config.redeploy.clone().unwrap_or_else(|| how.to_owned()));
    let page = Frontend::new(settings, game.clone(), &peers, elsewhere, &telemetry, outbound::client()?);
    let stop = Stop::new();
    leave_on_signal(stop.clone(), config.drain());
    info!(address = %public_address, control = %control_address, "frontend listens");
    if json {
        let control = format!("http://{control_address}");
        say(&json!({ "frontend": format!("http://{public_address}"), "control": control }).to_string())?;
    }
    let (served, ()) = tokio::join!(page.serve(public, stop.clone()), serve_control(game, peers, control, stop));
    telemetry.shutdown().await;
    served
}
