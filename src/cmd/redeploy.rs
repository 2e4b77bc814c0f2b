//! `tracelab redeploy`: puts another version of one service in place, or a program of the learner's own.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use url::Url;

use super::{client, say};
use crate::cli;
use crate::config::Config;
use crate::frontend::Release;

/// A program on the same machine accepts a connection at once or not at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

pub async fn run(config: Config, flags: cli::Redeploy) -> anyhow::Result<()> {
    let cli::Redeploy { service, release, .. } = flags;
    match &release {
        Release::Version(version) => {
            client::post(&config, "/api/redeploy", &json!({ "service": service, "version": version.to_string() })).await?;
            say(&format!("{service} now runs {version}"))
        }
        Release::Program(url) => {
            client::post(&config, "/api/redeploy", &json!({ "service": service, "url": url })).await?;
            say(&format!("{service} now is the program at {url}, until `tracelab redeploy {service} v1` or the next mystery"))?;
            if !listens(url).await {
                eprintln!("note: seen from here, nobody listens at {url} yet; until then requests to {service} fail");
            }
            Ok(())
        }
    }
}

async fn listens(url: &Url) -> bool {
    let Ok(addresses) = url.socket_addrs(|| None) else { return false };
    matches!(tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(&addresses[..])).await, Ok(Ok(_)))
}
