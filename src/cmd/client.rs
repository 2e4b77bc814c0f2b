//! The frontend's API as the client commands use it.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use url::Url;

use crate::config::{Config, base};
use crate::exit::{Failure, chain, failure};
use crate::outbound;

const LIMIT: Duration = Duration::from_secs(30);

/// Posts `body` to `path` of the frontend and returns its JSON answer.
///
/// # Errors
/// The frontend or what it needs cannot be reached (exit code 3), or it refuses (2) with its own words.
pub(super) async fn post(config: &Config, path: &str, body: &Value) -> anyhow::Result<Value> {
    let url: Url = format!("{}{path}", base(&config.frontend)).parse()?;
    answer(config, outbound::client()?.post(url).json(body)).await
}

/// Gets the JSON at `path` of the frontend.
///
/// # Errors
/// As [`post`].
pub(super) async fn get(config: &Config, path: &str) -> anyhow::Result<Value> {
    let url: Url = format!("{}{path}", base(&config.frontend)).parse()?;
    answer(config, outbound::client()?.get(url)).await
}

async fn answer(config: &Config, request: RequestBuilder) -> anyhow::Result<Value> {
    let mut request = request.timeout(LIMIT).header(ACCEPT, "application/json");
    if let Some(token) = &config.instructor_token {
        request = request.bearer_auth(token.expose());
    }
    let unreachable = |reason: String| {
        let text =
            format!("cannot reach a frontend at {}: {reason}; is `up` running, and is --frontend its address?", config.frontend);
        failure(Failure::Unreachable, text)
    };
    let answer = request.send().await.map_err(|error| unreachable(outbound::reason(error)))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|error| unreachable(chain(&error)))?;
    let json: Option<Value> = serde_json::from_str(&text).ok();
    match json {
        Some(json) if status.is_success() => Ok(json),
        Some(Value::Object(refusal)) if refusal.contains_key("error") => {
            let words = refusal["error"].as_str().unwrap_or("it refuses without saying why");
            let hint =
                if status == StatusCode::UNAUTHORIZED { "; --instructor-token or TRACELAB_INSTRUCTOR_TOKEN sends it" } else { "" };
            match status {
                // What the frontend needs for it does not answer.
                StatusCode::BAD_GATEWAY => Err(failure(Failure::Unreachable, words)),
                _ => Err(anyhow::anyhow!("{words}{hint}")),
            }
        }
        _ => Err(unreachable(format!("what listens there is no tracelab frontend (it answered {status})"))),
    }
}
