//! The service that sleeps. It answers as all the others do, and calls the next one; the sleep is in here as well.

#[path = "../support/service.rs"]
mod service;

use std::error::Error;
use std::time::Duration;

/// Goes with every span of this program, as the resource attribute `service.version`.
const VERSION: &str = "v1"; // TODO 2: another program deserves another version.

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    service::serve(VERSION, move |request| async move {
        // TODO 1: how often do the settings change, and how often are they read?
        let settings = Settings::read().await;
        match settings.is_closed {
            true => Ok(None),
            false => request.call_next().await,
        }
    })
    .await
}

#[derive(Clone, Default)]
struct Settings {
    /// Then nobody else is asked.
    is_closed: bool,
}

impl Settings {
    const FILE: &str = "shop.settings";
    const ATTEMPTS: u32 = 4;
    const PAUSE: Duration = Duration::from_millis(100);

    /// The file may be just being written: it is tried again, then the defaults must do.
    async fn read() -> Self {
        for _ in 0..Self::ATTEMPTS {
            match tokio::fs::read_to_string(Self::FILE).await {
                Ok(text) => return Self { is_closed: text.trim() == "closed" },
                Err(_) => tokio::time::sleep(Self::PAUSE).await,
            }
        }
        Self::default()
    }
}
