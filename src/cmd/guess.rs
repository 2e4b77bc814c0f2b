//! `tracelab guess`: says what is wrong, and hears whether that is right.

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::{client, say};
use crate::cli;
use crate::config::Config;
use crate::exit::{Failure, failure};
use crate::mystery::{Cause, Verdict};

pub async fn run(config: Config, flags: cli::Guess) -> anyhow::Result<()> {
    let cause = if flags.nothing { Some(Cause::None) } else { flags.cause };
    if cause == Some(Cause::None) && (flags.service.is_some() || flags.callee.is_some() || flags.customer.is_some()) {
        anyhow::bail!("--cause none says that nothing is wrong, so that it goes with no --service, --callee or --customer");
    }
    let fields = [
        ("team", flags.team),
        ("cause", cause.map(|cause| cause.to_string())),
        ("service", flags.service.map(|service| service.to_string())),
        ("callee", flags.callee.map(|service| service.to_string())),
        ("customer", flags.customer),
    ];
    let body: Map<String, Value> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))).collect();
    let answer = client::post(&config, "/api/guess", &Value::Object(body)).await?;
    let verdict: Verdict = serde_json::from_value(answer["verdict"].clone()).context("the frontend's verdict cannot be read")?;
    let explanation = answer.get("explanation");
    if flags.json {
        let mut result = json!({ "verdict": verdict, "guesses": answer["guesses"], "seconds": answer["seconds"] });
        if let Some(explanation) = explanation {
            result["explanation"] = explanation.clone();
        }
        say(&result.to_string())?;
    } else {
        say(answer["message"].as_str().unwrap_or_default())?;
        if let Some(explanation) = explanation.and_then(Value::as_str) {
            say(explanation)?;
        }
    }
    match verdict {
        Verdict::Right => Ok(()),
        Verdict::Half => Err(failure(Failure::No, "the guess is half right")),
        Verdict::Wrong => Err(failure(Failure::No, "the guess is wrong")),
    }
}
