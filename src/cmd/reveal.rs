//! `tracelab reveal`: gives up.

use serde_json::{Value, json};

use super::{client, say};
use crate::cli;
use crate::config::Config;

pub async fn run(config: Config, flags: cli::Reveal) -> anyhow::Result<()> {
    let answer = client::post(&config, "/api/reveal", &json!({ "team": flags.team })).await?;
    if flags.json {
        say(&answer.to_string())?;
        return Ok(());
    }
    let field = |name: &str| answer.get(name).and_then(Value::as_str);
    let cause = field("cause").unwrap_or_default();
    let mut text = match (field("cause"), field("service")) {
        (Some(cause), Some(service)) => format!("{cause} in {service}"),
        _ => "nothing is wrong".to_owned(),
    };
    if let Some(callee) = field("callee") {
        text += &format!(", on the way to {callee}");
    }
    if let Some(customer) = field("customer") {
        text += &format!(", for {customer}");
    }
    if let Some(explanation) = field("explanation") {
        text += &format!("\n{explanation}");
    }
    let seed = &answer["seed"];
    // A stage of containers is told by variables.
    say(&format!("{text}\nthe same again: --mystery {cause} --seed {seed}, or TRACELAB_MYSTERY={cause} TRACELAB_SEED={seed}"))?;
    Ok(())
}
