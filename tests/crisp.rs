//! Critical paths as CRISP finds them, on the traces that its authors made to test it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "support/required.rs"]
mod required;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tracelab::diagnose::critical_path::{Rule, critical_path};
use tracelab::diagnose::model::{Builder, Traces};
use tracelab::diagnose::profile::Profile;
use tracelab::diagnose::read;
use tracelab::diagnose::repair::{Clocks, Mender, Repairs};

use required::required;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/crisp");

/// The recorded traces and the calling contexts that CRISP found in them; none where they are not here, unless they must be.
fn cases() -> Vec<(PathBuf, Traces, String)> {
    if !Path::new(FOLDER).is_dir() && !required("shared") {
        eprintln!("skipped: {FOLDER} is not here");
        return Vec::new();
    }
    let files = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path());
    let cases: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).map(case).collect();
    assert_eq!(cases.len(), 33);
    cases
}

fn case(path: PathBuf) -> (PathBuf, Traces, String) {
    let mut builder = Builder::default();
    read::jaeger_json(File::open(&path).unwrap(), &mut builder).unwrap();
    let contexts = fs::read_to_string(path.with_extension("cct")).unwrap();
    (path, builder.finish(), contexts)
}

#[test]
fn every_calling_context_has_the_time_that_crisp_gives_it() {
    for (path, traces, contexts) in cases() {
        let (mut stretches, mut profile) = (Vec::new(), Profile::default());
        for trace in 0..traces.len() {
            critical_path(traces.of(trace), Rule::Crisp, &mut stretches);
            profile.add(&traces, traces.of(trace), &stretches);
        }
        assert_eq!(profile.folded(&traces), contexts, "{}", path.display());
    }
}

#[test]
fn mending_the_traces_first_changes_nothing_of_that() {
    for (path, traces, contexts) in cases() {
        let clocks = Clocks::measure(&traces);
        let (mut mender, mut repairs) = (Mender::default(), Repairs::default());
        let (mut stretches, mut profile) = (Vec::new(), Profile::default());
        for trace in 0..traces.len() {
            let spans = mender.mend(traces.of(trace), &clocks, &mut repairs);
            critical_path(spans, Rule::Crisp, &mut stretches);
            profile.add(&traces, spans, &stretches);
        }
        assert_eq!(profile.folded(&traces), contexts, "{}", path.display());
    }
}

#[test]
fn the_jaeger_ui_finds_another_path_where_siblings_overlap_by_a_little() {
    let differ = |(path, traces, contexts): &(PathBuf, Traces, String)| {
        let (mut stretches, mut profile) = (Vec::new(), Profile::default());
        critical_path(traces.of(0), Rule::JaegerUi, &mut stretches);
        profile.add(traces, traces.of(0), &stretches);
        (profile.folded(traces) != *contexts).then(|| path.file_stem().unwrap().to_string_lossy().into_owned())
    };
    let cases = cases();
    let mut names: Vec<_> = cases.iter().filter_map(differ).collect();
    names.sort();
    assert!(cases.is_empty() || names == ["10", "19", "20", "21"], "{names:?}");
}
