//! `tracelab mystery`: starts a new one.

use serde_json::{Map, Value};

use super::{client, say};
use crate::cli;
use crate::config::Config;
use crate::frontend::Pick;

pub async fn run(config: Config, flags: cli::Mystery) -> anyhow::Result<()> {
    let mut body = Map::new();
    if let Some(cause) = flags.cause {
        body.insert("cause".to_owned(), cause.to_string().into());
    }
    if let Some(seed) = flags.seed {
        body.insert("seed".to_owned(), seed.into());
    }
    let score = client::post(&config, "/api/mystery", &Value::Object(body)).await?;
    let cause = match score["cause"].as_str().map(str::parse::<Pick>) {
        Some(Ok(pick)) => format!("{pick} ({})", pick.about()),
        // A newer frontend may know more causes.
        Some(Err(_)) => score["cause"].to_string(),
        None => "what is wrong, if anything, is for you to find".to_owned(),
    };
    say(&format!("mystery {} has started: {cause}", score["mystery"]));
    if let Some(note) = score["note"].as_str() {
        eprintln!("note: {note}");
    }
    Ok(())
}
