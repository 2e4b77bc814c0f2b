//! `tracelab redeploy`: puts another version of one service in place.

use serde_json::json;

use super::{client, say};
use crate::cli;
use crate::config::Config;

pub async fn run(config: Config, flags: cli::Redeploy) -> anyhow::Result<()> {
    let body = json!({ "service": flags.service, "version": flags.version });
    client::post(&config, "/api/redeploy", &body).await?;
    say(&format!("{} now runs {}", flags.service, flags.version))?;
    Ok(())
}
