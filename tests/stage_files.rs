//! What the stages' files say: configuration that they mount into containers, and how many services there are.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;
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

/// What says how many services there are.
const SIZED: [&str; 4] =
    ["compose/compose.yaml", "compose/nginx/layer-0.conf", "kind/base/services.yaml", "kind/components/edge/nginx/layer-0.conf"];

#[test]
fn the_committed_files_are_all_of_the_default_size() {
    let checked = manifest(Path::new(env!("CARGO_MANIFEST_DIR")), &["--check"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.starts_with("3 × 30: 90 services in every stage"), "{said}");
}

#[test]
fn no_other_file_of_a_stage_has_a_list_of_services() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = ["compose", "kind", "kops"].map(|folder| root.join(folder)).into();
    let mut listing = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&text);
        // Beyond the examples of a text, and what is about one service or one path.
        let named: BTreeSet<_> =
            text.match_indices("dummy-").map(|(at, _)| text[at..].chars().take(10).collect::<String>()).collect();
        let generated = path.components().any(|folder| [".stage", "bin"].iter().any(|name| folder.as_os_str() == *name));
        if named.len() > 20 && !generated {
            listing.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
    listing.sort();
    assert_eq!(listing, SIZED);
}

#[test]
fn one_setting_brings_every_stage_to_its_size() {
    let checkout = checkout();
    for (setting, arguments) in [(None, &["--layers", "2", "--width", "4"][..]), (Some("layers = 2\nwidth = 4\n"), &[])] {
        if let Some(text) = setting {
            std::fs::write(checkout.path().join("tracelab.toml"), text).unwrap();
            restore(checkout.path());
        }
        let before = texts(checkout.path());
        let check = manifest(checkout.path(), &[arguments, &["--check"]].concat());
        assert_eq!(check.status.code(), Some(1), "{}", stderr(&check));
        assert!(SIZED.iter().all(|file| stderr(&check).contains(file)), "{}", stderr(&check));
        assert_eq!(texts(checkout.path()), before, "a check writes nothing");

        let written = manifest(checkout.path(), arguments);
        assert!(written.status.success(), "{}", stderr(&written));
        assert!(stderr(&written).contains("compose/replace.yaml is for stages that have dummy-1-17"), "{}", stderr(&written));
        let [compose, upstreams, services, others] = texts(checkout.path());
        assert!([&compose, &services].iter().all(|text| text.contains("TRACELAB_WIDTH: \"4\"\n")));
        assert_eq!(compose.matches("  dummy-").count(), 8);
        assert_eq!(services.matches("kind: Deployment\n").count(), 8);
        assert!([&upstreams, &others].iter().all(|text| text.matches("\nupstream dummy-0-").count() == 4));
        assert!(manifest(checkout.path(), &[arguments, &["--check"]].concat()).status.success());
    }
    // A flag counts more than the file.
    assert_eq!(manifest(checkout.path(), &["--width", "5", "--check"]).status.code(), Some(1));
}

#[test]
fn a_file_of_another_size_than_the_others_is_named() {
    let checkout = checkout();
    let odd = checkout.path().join(SIZED[1]);
    let text = std::fs::read_to_string(&odd).unwrap();
    std::fs::write(&odd, text.replace("upstream dummy-0-29 ", "upstream dummy-0-30 ")).unwrap();
    let check = manifest(checkout.path(), &["--check"]);
    assert_eq!(check.status.code(), Some(1));
    let said = stderr(&check);
    assert_eq!(SIZED.map(|file| said.contains(file)), [false, true, false, false], "{said}");
}

#[test]
fn either_all_files_are_written_or_none() {
    let checkout = checkout();
    std::fs::write(checkout.path().join(SIZED[3]), "# nothing to write into\n").unwrap();
    let before = texts(checkout.path());
    let refused = manifest(checkout.path(), &["--width", "4"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("no line with \"# >>> kubernetes-upstreams\""), "{}", stderr(&refused));
    assert_eq!(texts(checkout.path()), before);

    let nowhere = tempfile::tempdir().unwrap();
    let refused = manifest(nowhere.path(), &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--checkout names the folder"), "{}", stderr(&refused));
}

#[test]
fn what_one_docker_network_does_not_take_leaves_the_compose_stage_as_it_was() {
    let checkout = checkout();
    let before = texts(checkout.path());
    let written = manifest(checkout.path(), &["--layers", "10", "--width", "101"]);
    assert!(written.status.success(), "{}", stderr(&written));
    for says in ["1010 services", "one Docker network takes 1000", "stay as they are"] {
        assert!(stderr(&written).contains(says), "{says}: {}", stderr(&written));
    }
    let after = texts(checkout.path());
    assert_eq!(after[..2], before[..2]);
    assert_eq!(after[2].matches("kind: Deployment\n").count(), 1010);
}

#[test]
fn one_more_service_a_layer_adds_its_blocks_and_changes_no_other_line_but_the_width() {
    let checkout = checkout();
    let before = texts(checkout.path());
    assert!(manifest(checkout.path(), &["--width", "31"]).status.success());
    for ((file, before), after) in SIZED.iter().zip(before).zip(texts(checkout.path())) {
        let after = after.replace("TRACELAB_WIDTH: \"31\"", "TRACELAB_WIDTH: \"30\"");
        let mut rest = after.lines();
        // What was there is there, in its order.
        let gone = before.lines().find(|line| !rest.any(|other| other == *line));
        assert_eq!(gone, None, "{file}");
    }
}

/// A copy of what a stage's size stands in.
fn checkout() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    restore(directory.path());
    directory
}

fn restore(to: &Path) {
    for file in SIZED {
        std::fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(file), to.join(file)).unwrap();
    }
}

fn texts(checkout: &Path) -> [String; 4] {
    SIZED.map(|file| std::fs::read_to_string(checkout.join(file)).unwrap())
}

fn manifest(checkout: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelab"));
    command.args(["manifest", "all"]).args(arguments).current_dir(checkout);
    command.env_remove("TRACELAB_LAYERS").env_remove("TRACELAB_WIDTH").output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
