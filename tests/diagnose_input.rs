//! What `tracelab diagnose` makes of bad input: it says what was read, what was left out and why, and its exit code says which kind of
//! failure it was. Never a panic, never a silent empty answer.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/fake.rs"]
mod fake;
#[path = "support/required.rs"]
mod required;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fake::{Fake, Reply, parameter};
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tempfile::TempDir;
use tracelab::diagnose::model::Builder;
use tracelab::diagnose::report::Report;
use tracelab::diagnose::{Options, diagnose, read};

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }

    fn left_out(&self) -> Value {
        self.json()["read"]["left_out"].clone()
    }
}

/// Runs `tracelab diagnose --json` with `input` on its stdin, where no configuration reaches it.
async fn command(arguments: &[&str], input: &[u8]) -> Said {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelab"));
    command.arg("diagnose").arg("--json").args(arguments).current_dir(folder.path()).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_vec();
    let run = move || {
        let mut child = command.spawn().unwrap();
        // One that refuses its arguments reads nothing.
        let _ = child.stdin.take().unwrap().write_all(&input);
        child.wait_with_output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    said
}

/// A span of trace `trace` in Jaeger's JSON; times in microseconds.
fn span(trace: u32, id: u32, parent: u32, start: i64, duration: i64) -> Value {
    let trace = format!("{trace:032x}");
    let references = match parent {
        0 => json!([]),
        parent => json!([{ "refType": "CHILD_OF", "traceID": trace, "spanID": format!("{parent:016x}") }]),
    };
    json!({
        "traceID": trace, "spanID": format!("{id:016x}"), "operationName": "GET /", "references": references,
        "startTime": 1_793_534_400_000_000_i64 + start, "duration": duration, "tags": [], "logs": [], "processID": "p1", "warnings": null,
    })
}

fn trace(number: u32, spans: &[Value]) -> Value {
    json!({ "traceID": format!("{number:032x}"), "spans": spans, "processes": { "p1": { "serviceName": "shop", "tags": [] } } })
}

/// So many traces of a root and two children.
fn traces(number: u32) -> String {
    let one = |at: u32| {
        let start = i64::from(at) * 10_000;
        trace(at, &[span(at, 1, 0, start, 900), span(at, 2, 1, start + 100, 300), span(at, 3, 1, start + 500, 300)])
    };
    json!({ "data": (1..=number).map(one).collect::<Vec<_>>() }).to_string()
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_trace_is_enough_to_be_read() {
    let said = command(&["--file", "-"], traces(1).as_bytes()).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(said.json()["read"], json!({ "traces": 1, "spans": 3, "left_out": {} }));
    assert!(said.json()["suspects"].is_array());
    assert!(said.stderr.contains("read 1 trace with 3 spans from -"), "{}", said.stderr);
}

#[tokio::test]
async fn files_are_read_together_and_a_trace_in_two_of_them_counts_once() {
    let folder = TempDir::new().unwrap();
    let (plain, gzip) = (write(&folder, "a.json", traces(5).as_bytes()), write(&folder, "b", &zipped(traces(7).as_bytes())));
    let said = command(&["--file", &plain, "--file", &gzip], b"").await;
    assert_eq!(said.json()["read"], json!({ "traces": 7, "spans": 21, "left_out": { "duplicate span": 15 } }));
}

#[tokio::test]
async fn of_a_file_that_was_cut_off_what_was_whole_is_used() {
    let (text, folder) = (traces(20), TempDir::new().unwrap());
    let cut = write(&folder, "cut.json", &text.as_bytes()[..text.len() - text.len() / 40]);
    let said = command(&["--file", &cut], b"").await;
    assert_eq!((said.code, &said.json()["read"]["traces"]), (0, &json!(19)), "{}", said.stderr);
    assert!(said.stderr.contains("it ends early, after") && said.stderr.contains("what came before is used"), "{}", said.stderr);
    assert_eq!(said.left_out()["rest of an input that breaks off"], 1);
    let all = zipped(traces(2_000).as_bytes());
    let cut = write(&folder, "cut.gz", &all[..all.len() / 2]);
    let said = command(&["--file", &cut], b"").await;
    let read = said.json()["read"]["traces"].as_u64().unwrap();
    assert!(said.code == 0 && (100..1_900).contains(&read) && said.stderr.contains("ends early"), "{read} {}", said.stderr);
}

#[tokio::test]
async fn spans_that_make_no_sense_are_left_out_and_counted() {
    let mut no_start = span(1, 6, 1, 0, 1);
    no_start.as_object_mut().unwrap().remove("startTime");
    let mut no_id = span(1, 7, 1, 0, 1);
    no_id["spanID"] = json!("");
    let future = span(1, 8, 1, 50 * 365 * 86_400_000_000, 5);
    let spans = [
        span(1, 1, 0, 0, 900),
        span(1, 1, 0, 0, 900),
        span(1, 1, 0, 5, 90),
        span(1, 2, 1, 0, -5),
        span(1, 4, 5, 20, 30),
        span(1, 5, 4, 10, 50),
        no_start,
        no_id,
        future,
        json!(7),
    ];
    let text = json!({ "data": [trace(1, &spans)] }).to_string();
    let said = command(&["--file", "-"], text.as_bytes()).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    let left_out = json!({
        "duplicate span": 1, "parent that is its own ancestor": 1, "span of the future": 1, "span that cannot be read": 1,
        "span with a negative duration": 1, "span with the id of another span": 1, "span without an id": 1,
        "span without a start time that makes sense": 1,
    });
    assert_eq!(said.json()["read"], json!({ "traces": 1, "spans": 3, "left_out": left_out }));
    for reason in left_out.as_object().unwrap().keys() {
        assert!(said.stderr.contains(&format!("1 × {reason}")), "{reason}: {}", said.stderr);
    }
}

#[tokio::test]
async fn what_is_no_file_of_traces_is_bad_usage() {
    let folder = TempDir::new().unwrap();
    let cases = [
        (write(&folder, "page.html", b"<!DOCTYPE html><html></html>"), "it is not JSON: it begins with"),
        (write(&folder, "program", b"\x7fELF\x02\x01\x01\0\0\0"), "it is not JSON: it begins with"),
        (write(&folder, "empty", b""), "it is empty"),
        (write(&folder, "other.json", br#"{"name":"tracelab","list":[1,2]}"#), "it is JSON, but holds no traces"),
        (write(&folder, "start.gz", &zipped(b"{}")[..6]), "ends early"),
        (folder.path().to_str().unwrap().to_owned(), "is a directory"),
        (folder.path().join("missing").to_str().unwrap().to_owned(), "No such file"),
    ];
    for (path, text) in cases {
        let said = command(&["--file", &path], b"").await;
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{path}: {}", said.stderr);
        assert!(
            said.stderr.contains(text) && said.stderr.contains(&format!("cannot read traces from {path}")),
            "{path}: {}",
            said.stderr
        );
    }
}

#[tokio::test]
async fn no_trace_at_all_is_the_answer_no() {
    let said = command(&["--file", "-"], br#"{"data":[],"errors":null}"#).await;
    assert_eq!((said.code, said.json()), (1, json!({ "read": { "traces": 0, "spans": 0, "left_out": {} }, "suspects": [] })));
    assert!(said.stderr.contains("there is no trace in -"), "{}", said.stderr);
    let negative = json!({ "data": [trace(1, &[span(1, 1, 0, 0, -1)])] }).to_string();
    let said = command(&["--file", "-"], negative.as_bytes()).await;
    assert!(said.code == 1 && said.stderr.contains("1 × span with a negative duration"), "{}", said.stderr);
}

#[tokio::test]
async fn where_a_jaeger_holds_nothing_it_is_said_where_to_look() {
    let server = Fake::start(|path| async move {
        match path.split('?').next().unwrap() {
            "/api/v3/services" => Reply::json(r#"{"services":["till","shop"]}"#),
            "/api/v3/traces" => Reply::Answer(404, br#"{"error":{"httpCode":404,"message":"No traces found"}}"#.to_vec()),
            _ => Reply::not_found(),
        }
    })
    .await;
    let said = command(&["--jaeger", &server.url, "--lookback", "15m"], b"").await;
    assert_eq!((said.code, said.json()["read"]["traces"].clone()), (1, json!(0)));
    for text in [&*server.url, "try a longer --lookback", "shop, till"] {
        assert!(said.stderr.contains(text), "{}", said.stderr);
    }
    let said = command(&["--jaeger", &server.url, "--service", "shopp"], b"").await;
    assert!(said.code == 1 && said.stderr.contains("knows no service shopp; it knows shop, till"), "{}", said.stderr);
    let server = Fake::start(|_| async { Reply::json(r#"{"services":[]}"#) }).await;
    let said = command(&["--jaeger", &server.url, "--lookback", "1d"], b"").await;
    assert!(said.code == 3 || said.stderr.contains("holds no traces at all"), "{}", said.stderr);
}

#[tokio::test]
async fn a_jaeger_that_fails_is_unreachable_and_named() {
    type Case = (fn() -> Reply, &'static str);
    let cases: [Case; 5] = [
        (Reply::not_found, "is no Jaeger query API"),
        (|| Reply::Answer(500, b"boom".to_vec()), "500"),
        (|| Reply::json("<html>welcome</html>"), "is no Jaeger query API"),
        (|| Reply::Nothing, "cannot reach a Jaeger"),
        (|| Reply::Cut(br#"{"services":["#.to_vec()), "breaks off"),
    ];
    for (reply, text) in cases {
        let server = Fake::start(move |_| async move { reply() }).await;
        let said = command(&["--jaeger", &server.url], b"").await;
        assert_eq!((said.code, said.stdout.as_str()), (3, ""), "{}", said.stderr);
        assert!(said.stderr.contains(text) && said.stderr.contains(&server.url), "{}", said.stderr);
    }
}

#[tokio::test]
async fn windows_and_baselines_that_make_no_sense_are_bad_usage() {
    type Case = (&'static [&'static str], &'static str);
    let cases: [Case; 10] = [
        (&["--start", "2026-11-01T12:00:00Z", "--end", "2026-11-01T11:00:00Z"], "the start must be before the end"),
        (&["--start", "2999-01-01T00:00:00Z"], "the start must be before the end"),
        (&["--lookback", "0s"], "more than nothing"),
        (&["--lookback", "soon"], "it should look like 15m"),
        (&["--limit", "0"], "0 is not in"),
        (&["--file", "-", "--service", "shop"], "cannot be used with"),
        (&["--file", "-", "--limit", "5"], "cannot be used with"),
        (&["--baseline", "yesterday..today"], "neither a file nor, alone, two times"),
        (&["--baseline", "2026-11-01T12:00:00Z..2026-11-01T11:00:00Z"], "the start must be before the end"),
        (&["--html", "/nonexistent/report.html"], "cannot be written"),
    ];
    for (arguments, text) in cases {
        let said = command(arguments, b"").await;
        assert!(
            said.code == 2 && said.stderr.contains(text) && said.stdout.is_empty(),
            "{arguments:?}: {} {}",
            said.code,
            said.stderr
        );
    }
}

#[tokio::test]
async fn a_baseline_is_read_as_strictly() {
    let folder = TempDir::new().unwrap();
    let (good, page) = (write(&folder, "good", traces(3).as_bytes()), write(&folder, "page", b"<html>"));
    let said = command(&["--file", "-", "--baseline", &good, "--baseline", &good], traces(3).as_bytes()).await;
    assert!(said.code == 0 && said.stderr.contains(&format!("read 3 traces with 9 spans from {good}, {good}")), "{}", said.stderr);
    let said = command(&["--file", "-", "--baseline", &page], traces(3).as_bytes()).await;
    assert!(said.code == 2 && said.stderr.contains("cannot read the baseline") && said.stderr.contains(&page), "{}", said.stderr);
    let empty = write(&folder, "none", br#"{"data":[]}"#);
    let said = command(&["--file", "-", "--baseline", &empty], traces(3).as_bytes()).await;
    assert!(said.code == 1 && said.stderr.contains("nothing to compare with"), "{}", said.stderr);
}

#[tokio::test]
async fn a_baseline_may_be_another_time_of_the_same_jaeger() {
    let server = Fake::start(|path| async move {
        match (path.split('?').next().unwrap(), parameter(&path, "query.startTimeMin")) {
            ("/api/v3/services", _) => Reply::json(r#"{"services":["shop"]}"#),
            (_, Some(start)) if start.starts_with("2026-11-01T10") => Reply::json(&traces(4)),
            (_, Some(start)) if start.starts_with("2026-11-01T11") => Reply::json(&traces(9)),
            _ => Reply::Answer(404, br#"{"error":{"httpCode":404,"message":"No traces found"}}"#.to_vec()),
        }
    })
    .await;
    let window = ["--jaeger", &*server.url, "--start", "2026-11-01T11:00:00Z", "--end", "2026-11-01T11:59:00Z"];
    let said = command(&[&window[..], &["--baseline", "2026-11-01T10:00:00Z..2026-11-01T10:59:00Z"]].concat(), b"").await;
    assert_eq!((said.code, &said.json()["read"]["traces"]), (0, &json!(9)), "{}", said.stderr);
    assert!(
        said.stderr.contains("read 4 traces with 12 spans") && said.stderr.contains("10:59:00Z, to compare with"),
        "{}",
        said.stderr
    );
    let said = command(&[&window[..], &["--baseline", "2026-11-01T08:00:00Z..2026-11-01T08:59:00Z"]].concat(), b"").await;
    assert!(said.code == 1 && said.stderr.contains("nothing to compare with: there is no trace at"), "{}", said.stderr);
}

#[tokio::test]
async fn what_a_jaeger_records_of_its_own_answers_is_left_out_unless_asked_for() {
    for own in ["jaeger-query", "jaeger"] {
        let all = traces(5).replacen("shop", own, 2);
        let server = Fake::start(move |path| {
            let all = all.clone();
            async move {
                match path.split('?').next().unwrap() {
                    "/api/services" => Reply::json(&json!({ "data": ["shop", own] }).to_string()),
                    "/api/traces" => Reply::json(&all),
                    _ => Reply::not_found(),
                }
            }
        })
        .await;
        let window = ["--jaeger", &*server.url, "--start", "2026-11-01T11:00:00Z", "--end", "2026-11-01T13:00:00Z"];
        let said = command(&window, b"").await;
        assert_eq!((&said.json()["read"]["traces"], said.left_out()), (&json!(3), json!({ "trace of Jaeger's own": 2 })));
        assert!(said.stderr.contains("left out: 2 × trace of Jaeger's own"), "{}", said.stderr);
        let said = command(&[&window[..], &["--service", own]].concat(), b"").await;
        assert_eq!((&said.json()["read"]["traces"], said.left_out()), (&json!(5), json!({})));
    }
}

#[tokio::test]
async fn what_a_cluster_records_of_itself_is_left_out_unless_asked_for() {
    for own in ["apiserver", "etcd", "kubelet", "containerd"] {
        let all = traces(5).replacen("shop", own, 2);
        let server = Fake::start(move |path| {
            let all = all.clone();
            async move {
                match path.split('?').next().unwrap() {
                    "/api/services" => Reply::json(&json!({ "data": ["shop", own] }).to_string()),
                    "/api/traces" => Reply::json(&all),
                    _ => Reply::not_found(),
                }
            }
        })
        .await;
        let window = ["--jaeger", &*server.url, "--start", "2026-11-01T11:00:00Z", "--end", "2026-11-01T13:00:00Z"];
        let said = command(&window, b"").await;
        assert_eq!((&said.json()["read"]["traces"], said.left_out()), (&json!(3), json!({ "trace of Kubernetes' own": 2 })));
        let said = command(&[&window[..], &["--service", own]].concat(), b"").await;
        assert_eq!((&said.json()["read"]["traces"], said.left_out()), (&json!(5), json!({})));
    }
    // A file is read as it is.
    let said = command(&["--file", "-"], traces(5).replacen("shop", "kubelet", 2).as_bytes()).await;
    assert_eq!((&said.json()["read"]["traces"], said.left_out()), (&json!(5), json!({})));
}

#[tokio::test]
async fn the_page_is_written_to_a_file_whether_there_are_traces_or_not() {
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("report.html");
    for (input, code, text) in [(traces(3), 0, "3 traces"), (r#"{"data":[]}"#.to_owned(), 1, "No traces were read")] {
        let said = command(&["--file", "-", "--html", page.to_str().unwrap()], input.as_bytes()).await;
        let html = std::fs::read_to_string(&page).unwrap();
        assert!(said.code == code && said.stderr.contains("report.html"), "{}", said.stderr);
        assert!(html.starts_with("<!DOCTYPE html>") && html.contains(text), "{html}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_result_that_cannot_be_written_is_no_success() {
    let folder = TempDir::new().unwrap();
    let file = write(&folder, "traces.json", traces(3).as_bytes());
    for arguments in [&["--json"][..], &[]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracelab"));
        command.args(["diagnose", "--file", &file]).args(arguments).current_dir(folder.path()).env_clear();
        let output = command.stdout(std::fs::File::create("/dev/full").unwrap()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains("cannot write the result"), "{stderr}");
    }
}

/// What reads a file may say what it likes of a mutant, but whatever it takes must hold together.
#[test]
fn mutated_files_are_refused_or_read_and_never_panic() {
    let otlp = json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeSpans": [{ "spans": [
            { "traceId": "4bf92f3577b34da6a3ce929d0e0e0001", "spanId": "f000000000000001", "name": "GET /", "kind": 2,
              "startTimeUnixNano": "1793534400000000000", "endTimeUnixNano": "1793534400018000000", "status": { "code": 2 },
              "attributes": [{ "key": "l", "value": { "arrayValue": { "values": [{ "intValue": "1" }] } } }] },
            { "traceId": "4bf92f3577b34da6a3ce929d0e0e0001", "spanId": "f000000000000002", "parentSpanId": "f000000000000001", "name": "x",
              "startTimeUnixNano": "1793534400000000000", "endTimeUnixNano": "1793534400018000000" },
        ] }],
    }] });
    let (jaeger, otlp) = (traces(2), otlp.to_string());
    let seeds = [jaeger.as_bytes().to_vec(), otlp.as_bytes().to_vec(), zipped(jaeger.as_bytes())];
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_121);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..6_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..rng.random_range(1..4) {
            mutate(&mut bytes, &mut rng);
        }
        let mut builder = Builder::until(1_900_000_000_000_000_000);
        match read::json(&bytes[..], &mut builder) {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
        let traces = builder.finish();
        assert_eq!((0..traces.len()).map(|trace| traces.of(trace).len()).sum::<usize>(), traces.span_count());
        for span in traces.spans() {
            assert!(span.end >= span.start && (span.resource as usize) < traces.resources.len());
            let texts = traces.attributes(span).iter().flat_map(|(key, value)| [*key, *value]);
            texts.chain([span.operation, traces.service(span)]).for_each(|text| assert!(traces.texts.get(text).len() < 10_000));
        }
        if round % 10 == 0 {
            let diagnosis = diagnose(&traces, Some(&traces), &Options::default());
            let (rule, source) = (Options::default().rule, "a mutant");
            let report = Report { traces: &traces, diagnosis: &diagnosis, rule, source, links: Some("http://127.0.0.1:16686") };
            serde_json::from_str::<Value>(&report.json()).unwrap();
            assert!(report.html().contains("a mutant"));
            report.terminal(&mut std::io::sink(), 80).unwrap();
        }
    }
    assert!(taken > 1_000 && refused > 100, "{taken} taken, {refused} refused");
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..7) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = b"{}[]\",:0-\\"[rng.random_range(0..10)],
        2 => bytes.truncate(at.max(1)),
        3 => bytes.insert(at, rng.random()),
        4 => drop(bytes.remove(at)),
        5 => bytes[at] = rng.random_range(b'0'..=b'9'),
        _ => {
            let end = (at + rng.random_range(0..200)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}

/// The traces that others recorded, where they are at hand.
#[test]
fn recorded_traces_of_others_are_read_without_loss() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data"));
    if !data.is_dir() {
        assert!(!required::required("shared"), "TRACELAB_REQUIRE names shared, but there is no {}", data.display());
        eprintln!("skipped: no {}", data.display());
        return;
    }
    let mut files = 0;
    for folder in ["crisp", "nezha/2022-08-22", "nezha/2023-01-29", "nginx-otel"] {
        for entry in std::fs::read_dir(data.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // The whole of it takes a while in a debug build.
            let wanted = name.ends_with(".json") || name.ends_with("8_50_trace.json.gz");
            if !wanted || name == "faults.json" {
                continue;
            }
            let mut builder = Builder::default();
            let outcome = read::file(&path, &mut builder).unwrap();
            let traces = builder.finish();
            assert!(outcome.broken.is_none() && !traces.is_empty() && traces.noted.is_empty(), "{}", path.display());
            let strange = traces.left_out.keys().any(|reason| *reason != "duplicate span");
            assert!(!strange, "{}: {:?}", path.display(), traces.left_out);
            files += 1;
        }
    }
    assert!(files >= 36, "only {files} files");
}
