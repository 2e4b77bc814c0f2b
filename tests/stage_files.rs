//! The configuration that the stages' files mount into containers.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

use serde_json::json;
use tracelab::config::Config;

#[test]
fn every_key_in_the_files_of_the_compose_stage_is_known() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/compose")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let refused: Vec<String> =
        files.filter_map(|file| Config::load(Some(&file), json!({})).err()).map(|error| format!("{error:#}")).collect();
    assert_eq!(refused, [""; 0]);
}
