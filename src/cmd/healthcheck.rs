//! `tracelab healthcheck`: for images without a shell, which cannot run curl.

use std::time::Duration;

use url::Url;

use crate::config::Config;
use crate::exit::{Failure, failure};
use crate::outbound;

const LIMIT: Duration = Duration::from_secs(5);

pub async fn run(config: Config, url: Option<Url>) -> anyhow::Result<()> {
    let own = || Url::parse(&format!("http://127.0.0.1:{}/readyz", config.port));
    let url = url.map_or_else(own, Ok)?;
    let answer = outbound::client()?.get(url.clone()).timeout(LIMIT).send().await;
    let answer =
        answer.map_err(|error| failure(Failure::Unreachable, format!("{url} does not answer: {}", outbound::reason(error))))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let text = answer.text().await.unwrap_or_default();
    Err(failure(Failure::No, format!("{url} is not ready: {status} {}", text.trim())))
}
