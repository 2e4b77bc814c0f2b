//! Asks the frontend's control port for this service's assignment, again and again.
//!
//! Without an answer the service keeps what it was last told. Nothing of this is traced: learners look at requests.

use std::time::Duration;

use serde::Deserialize;
use tracing::{info, warn};
use url::Url;

use super::Service;
use crate::mystery::Assignment;

/// The control port answers after 30 s at the latest; an answer that takes longer is lost.
const LONGEST_POLL: Duration = Duration::from_secs(40);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
struct Poll {
    version: String,
    assignment: Assignment,
}

/// Keeps `service` up to date with what `control` (base URL of the control port) assigns, for ever.
pub async fn follow(service: Service, control: Url, client: reqwest::Client) {
    let mut version = String::new();
    let mut retry = FIRST_RETRY;
    let mut reachable = true;
    loop {
        match poll(&service, &control, &client, &version).await {
            Ok(poll) if poll.version == version => {}
            Ok(poll) => match service.assign(poll.assignment) {
                Ok(()) => {
                    if !reachable || version.is_empty() {
                        info!("assignment received");
                    }
                    version = poll.version;
                }
                Err(error) => {
                    warn!(%control, %error, "this assignment cannot be obeyed; the last one stays in force");
                    tokio::time::sleep(LAST_RETRY).await;
                }
            },
            Err(error) => {
                if reachable {
                    warn!(%control, error = format!("{error:#}"), "cannot get an assignment; the last one stays in force");
                }
                reachable = false;
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LAST_RETRY);
                continue;
            }
        }
        reachable = true;
        retry = FIRST_RETRY;
    }
}

async fn poll(service: &Service, control: &Url, client: &reqwest::Client, version: &str) -> anyhow::Result<Poll> {
    let mut url = control.clone();
    url.set_path(&format!("{}/assignments/{}", control.path().trim_end_matches('/'), service.name()));
    url.query_pairs_mut().append_pair("version", version);
    let answer = client.get(url).timeout(LONGEST_POLL).send().await?;
    let status = answer.status();
    let body = answer.bytes().await?;
    anyhow::ensure!(status.is_success(), "the control port answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}
