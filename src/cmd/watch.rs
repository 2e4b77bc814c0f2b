//! `tracelab watch`: sends mail about slow and failed traces.

use jiff::Timestamp;

use super::{say, stop_on_signal};
use crate::config::Config;
use crate::server::Stop;
use crate::watch::Watch;

pub async fn run(config: Config, once: bool, json: bool, dry_run: bool) -> anyhow::Result<()> {
    let watch = Watch::new(&config, dry_run, tell)?;
    if once {
        return watch.once(json, say).await;
    }
    let stop = Stop::new();
    stop_on_signal(stop.clone());
    watch.run(stop, say).await
}

/// It may run for weeks: a line says when.
fn tell(text: &str) {
    eprintln!("{:.0} {text}", Timestamp::now());
}
