//! `tracelab mystery`: starts a new one.

use serde_json::{Map, Value};

use super::{client, say};
use crate::cli;
use crate::config::Config;

pub async fn run(config: Config, flags: cli::Mystery) -> anyhow::Result<()> {
    let mut body = Map::new();
    if let Some(cause) = flags.cause {
        body.insert("cause".to_owned(), cause.to_string().into());
    }
    if let Some(seed) = flags.seed {
        body.insert("seed".to_owned(), seed.into());
    }
    let score = client::post(&config, "/api/mystery", &Value::Object(body)).await?;
    let cause = match score["cause"].as_str() {
        Some("none") => "nothing is wrong now".to_owned(),
        Some(cause) => format!("somewhere hides a {cause}"),
        None => "what is wrong is for you to find".to_owned(),
    };
    say(&format!("mystery {} has started: {cause}", score["mystery"]));
    Ok(())
}
