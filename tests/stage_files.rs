//! The configuration that the stages' files mount into containers.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

use std::path::Path;

use serde_json::json;
use tracelab::config::Config;

#[test]
fn every_key_in_the_files_of_the_compose_stage_is_known() {
    let folders = ["compose", "compose/watch"].map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
    assert!(files.iter().any(|path| path.ends_with("watch/watch.toml")), "{files:?}");
    let refused: Vec<String> =
        files.iter().filter_map(|file| Config::load(Some(file), json!({})).err()).map(|error| format!("{error:#}")).collect();
    assert_eq!(refused, [""; 0]);
}
