//! Traces of a real nginx: in front, between, and told to let requests wait.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/required.rs"]
mod required;

use std::path::Path;

use serde_json::{Value, json};
use tracelab::diagnose::model::Builder;
use tracelab::diagnose::{Diagnosis, Options, SuspectCause, diagnose, read};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/nginx-otel");
/// Nanoseconds.
const MS: u64 = 1_000_000;

/// The diagnosis of so many copies of each recorded trace, one every 100 ms; none where they are not here, unless they must be.
fn diagnosed(copies: &[(&str, u64)]) -> Option<Diagnosis> {
    if !Path::new(FOLDER).is_dir() && !required::required("shared") {
        eprintln!("skipped: {FOLDER} is not here");
        return None;
    }
    let mut builder = Builder::default();
    let mut number = 0;
    for (name, times) in copies {
        let recorded: Value = serde_json::from_slice(&std::fs::read(Path::new(FOLDER).join(name)).unwrap()).unwrap();
        let first = spans(&mut recorded.clone()).map(|span| time(&span["startTimeUnixNano"])).min().unwrap() / MS * MS;
        for _ in 0..*times {
            number += 1;
            let mut copy = recorded.clone();
            for span in spans(&mut copy) {
                span["traceId"] = json!(format!("{number:032x}"));
                for key in ["startTimeUnixNano", "endTimeUnixNano"] {
                    // What was a whole millisecond stays one.
                    span[key] = json!((time(&span[key]) - first + (1_800_000_000_000 + number * 100) * MS).to_string());
                }
            }
            let read = read::json(copy.to_string().as_bytes(), &mut builder).unwrap();
            assert!(read.broken.is_none());
        }
    }
    let traces = builder.finish();
    assert_eq!((traces.len() as u64, traces.left_out.len()), (number, 0));
    Some(diagnose(&traces, None, &Options::default()))
}

fn spans(answer: &mut Value) -> impl Iterator<Item = &mut Value> {
    let resources = list(&mut answer["result"], "resourceSpans");
    resources.flat_map(|resource| list(resource, "scopeSpans")).flat_map(|scope| list(scope, "spans"))
}

fn list<'a>(value: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    value[key].as_array_mut().unwrap().iter_mut()
}

fn time(nanoseconds: &Value) -> u64 {
    nanoseconds.as_str().unwrap().parse().unwrap()
}

#[test]
fn a_request_that_waits_in_nginx_is_the_matter_of_nginx_where_it_waits() {
    for (queued, others) in [(190, 10), (20, 180)] {
        let Some(diagnosis) = diagnosed(&[("queued.json", queued), ("two-paths.json", others)]) else { return };
        let suspects: Vec<_> = diagnosis.suspects.iter().map(|suspect| (suspect.cause, suspect.service.as_deref())).collect();
        assert_eq!(suspects, [(SuspectCause::Contention, Some("nginx"))], "{:?}", diagnosis.suspects);
        let evidence = diagnosis.suspects[0].evidence.join("\n");
        for expected in ["for \"/slow/\" at gateway:18081", "with nginx.limit_req_status = DELAYED"] {
            assert!(evidence.contains(expected), "{evidence}");
        }
    }
}

#[test]
fn where_nothing_waits_nothing_stands_out_and_whole_milliseconds_make_no_clock_wrong() {
    let Some(diagnosis) = diagnosed(&[("two-paths.json", 100), ("edge.json", 100)]) else { return };
    assert!(diagnosis.suspects.is_empty(), "{:?}", diagnosis.suspects);
    let note = "300 spans were stretched by 2 ms at most: their clocks count whole milliseconds";
    assert_eq!(diagnosis.notes, [note]);
}
