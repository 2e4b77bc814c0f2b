//! `tracelab logs` as a person uses it: the same lines of a trace from the backend, from captured output, and from what Docker and
//! Kubernetes print; and from whatever else somebody hands it, never a panic and no empty answer without a reason.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod backend;
#[path = "support/fake.rs"]
mod fake;
#[path = "support/sandbox.rs"]
mod sandbox;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use backend::Backend;
use fake::{Fake, Reply};
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sandbox::{Sandbox, tracelab};
use serde_json::{Value, json};
use tempfile::TempDir;

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";

struct Said {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Said {
    fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))).collect()
    }

    /// A field of every line, without what is absent.
    fn all(&self, field: &str) -> Vec<String> {
        self.lines().iter().filter_map(|line| Some(line[field].as_str()?.to_owned())).collect()
    }

    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {}", self.stderr);
        }
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
    }
}

/// Runs `tracelab logs` with `input` on its stdin; programs are found in `programs` before all others.
fn logs(arguments: &[&str], input: &[u8], programs: Option<&Path>) -> Said {
    let (mut command, _directory) = tracelab(&["logs"]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("COMPOSE_PROJECT_NAME").env_remove("COMPOSE_FILE");
    if let Some(programs) = programs {
        let mut path = OsString::from(programs);
        path.push(":/usr/bin:/bin");
        command.env("PATH", path);
    }
    let mut child = command.spawn().unwrap();
    // One that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = Said { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    said
}

fn json_of(input: &str) -> Said {
    logs(&[ID, "--json", "--file", "-"], input.as_bytes(), None)
}

/// As a service writes it.
fn line(ms: u32, service: &str, trace: &str, message: &str) -> String {
    let (timestamp, level) = (format!("2026-11-01T12:00:00.{ms:03}000Z"), "INFO");
    json!({ "timestamp": timestamp, "level": level, "service": service, "message": message, "trace_id": trace, "span_id": "00f067aa0ba902b7" })
        .to_string()
}

/// A directory with a program that notes its arguments and does what `script` says.
fn program(name: &str, script: &str) -> TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    let script = format!(
        "#!/bin/sh\nprintf '%s ' \"$@\" > '{0}/arguments'\npwd > '{0}/directory'\ncd '{0}'\n{script}\n",
        folder.path().display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn noted(folder: &TempDir, what: &str) -> String {
    std::fs::read_to_string(folder.path().join(what)).unwrap().trim().to_owned()
}

/// What a test compares of a line.
fn essence(line: &Value) -> (String, String, String, Value) {
    let text = |key: &str| line[key].as_str().unwrap().to_owned();
    (text("service"), text("message"), text("span_id"), line["fields"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_the_sandbox_has_lines_of_every_hop_in_order_from_the_backend_as_from_its_output() {
    let sandbox = Sandbox::up(&["--width", "4", "--log", "info", "--mystery", "none"]);
    let answer = sandbox.press(2).await;
    let id = answer["trace_id"].as_str().unwrap().to_owned();
    sandbox.press(1).await;
    let expected = sandbox.log_lines(&id, 4).await;
    let from_backend = logs(&[&format!("{}/trace/{id}", sandbox.jaeger), "--jaeger", &sandbox.jaeger, "--json"], b"", None);
    let lines = from_backend.lines();
    assert_eq!(lines.len(), expected.len(), "{}", from_backend.stdout);
    for service in ["frontend", "dummy-0-2", "dummy-1-2", "dummy-2-2"] {
        assert!(lines.iter().any(|line| line["service"] == service), "{service}: {}", from_backend.stdout);
    }
    let times = from_backend.all("timestamp");
    assert!(times.is_sorted() && times.len() == lines.len(), "{times:?}");
    assert!(lines.iter().all(|line| line["trace_id"] == id.as_str() && line["level"] == "INFO"), "{}", from_backend.stdout);
    // The one that is called writes its line before its caller does.
    let order: Vec<_> = from_backend.all("service").into_iter().filter(|service| service.starts_with("dummy")).collect();
    assert!(order.is_sorted_by(|one, other| one >= other), "{order:?}");

    let printed = || sandbox.role.printed();
    sandbox::until(|| printed().lines().filter(|line| line.contains(&id)).count() >= lines.len(), printed).await;
    let from_output = logs(&[&id, "--json", "--file", "-"], printed().as_bytes(), None);
    let sorted = |lines: Vec<Value>| {
        let mut essences: Vec<_> = lines.iter().map(essence).collect();
        essences.sort_by_key(|essence| format!("{essence:?}"));
        essences
    };
    assert_eq!(sorted(from_output.lines()), sorted(lines));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_exporter_stdout_prints_has_the_same_lines_and_its_spans_are_none() {
    let flags = ["--width", "2", "--log", "off", "--mystery", "none", "--logs-exporter", "stdout", "--exporter", "stdout"];
    let sandbox = Sandbox::up(&flags);
    let answer = sandbox.press(1).await;
    let id = answer["trace_id"].as_str().unwrap().to_owned();
    let of = |what: &str| {
        let printed = sandbox.role.printed();
        printed.lines().filter(|line| line.contains(what) && line.contains(&id)).fold(String::new(), |all, line| all + line + "\n")
    };
    sandbox::until(|| of("resourceLogs").matches(&id).count() >= 4 && !of("resourceSpans").is_empty(), || sandbox.role.printed())
        .await;
    let said = logs(&[&id, "--json", "--file", "-"], sandbox.role.printed().as_bytes(), None);
    let mut services = said.all("service");
    services.sort_unstable();
    assert_eq!(services, ["dummy-0-1", "dummy-1-1", "dummy-2-1", "frontend"]);
    assert!(
        said.all("timestamp").is_sorted() && said.lines().iter().any(|line| line["fields"] == json!({"button": 1})),
        "{}",
        said.stdout
    );
    logs(&[&id, "--file", "-"], of("resourceSpans").as_bytes(), None).fails(1, &[&id, "stdin", "its spans are there"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_without_such_lines_says_what_there_is_instead() {
    let backend = Backend::start().await;
    let unknown = logs(&[ID, "--jaeger", &backend.query], b"", None);
    unknown.fails(1, &[ID, &backend.query, "--store-mb"]);

    // Two Jaegers of different age.
    for reply in [|| Reply::not_found(), || Reply::Answer(200, b"<!doctype html><title>Jaeger UI</title>".to_vec())] {
        let jaeger = Fake::start(move |_| async move { reply() }).await;
        let said = logs(&[ID, "--jaeger", &jaeger.url], b"", None);
        said.fails(3, &[&jaeger.url, "keeps none", "--compose", "--kubernetes", "--file"]);
        assert_eq!(jaeger.asked(), [format!("/api/logs?traceID={ID}")]);
    }
    let nobody = Fake::start(|_| async { Reply::Nothing }).await;
    logs(&[ID, "--jaeger", &nobody.url], b"", None).fails(3, &[&nobody.url, "tracelab up"]);
    let cut = Fake::start(|_| async { Reply::Cut(b"{\"data\":[".to_vec()) }).await;
    logs(&[ID, "--jaeger", &cut.url], b"", None).fails(3, &[&cut.url]);
    let busy = Fake::start(|_| async { Reply::Answer(503, b"{\"errors\":[{\"msg\":\"busy\"}]}".to_vec()) }).await;
    logs(&[ID, "--jaeger", &busy.url], b"", None).fails(3, &["busy"]);
    let empty = Fake::start(|_| async { Reply::json("{\"data\":[]}") }).await;
    logs(&[ID, "--jaeger", &empty.url], b"", None).fails(1, &["--logs-exporter otlp", "--compose"]);
}

#[test]
fn a_trace_that_is_none_is_refused_and_the_reason_named() {
    for (trace, reason) in
        [("4bf9", "4 hexadecimal digits"), ("dummy-1-17", "'u'"), ("http://localhost:16686/search", "no trace id in this link")]
    {
        let said = logs(&[trace], b"", None);
        assert_eq!(said.code, 2);
        assert!(said.stderr.contains(reason), "{}", said.stderr);
    }
    for wrong in [
        &[ID, "--file", "x", "--jaeger", "http://127.0.0.1:1"][..],
        &[ID, "-p", "x"],
        &[ID, "--since", "1h"],
        &[ID, "--color", "red"],
    ] {
        assert_eq!(logs(wrong, b"", None).code, 2, "{wrong:?}");
    }
}

#[test]
fn lines_of_every_format_are_put_in_one_order() {
    let docker = json!({ "log": line(5, "five", ID, "docker") + "\n", "stream": "stdout", "time": "2026-11-01T12:00:09.5Z" });
    let input = [
        format!("edge-1  | 2026-11-01T12:00:00.009Z 192.0.2.1 - - [01/Nov/2026:12:00:00 +0000] \"GET /\" 200 trace={ID}"),
        format!("dummy-1-8-1  | {}\r", line(8, "dummy-1-8", ID, "compose")),
        format!("[pod/dummy-1-7-6f8d9c7b54-x2x4z/dummy] {}", line(7, "dummy-1-7", ID, "kubectl")),
        format!("2026-11-01T12:00:07.5Z stdout F {}", line(6, "six", ID, "cri")),
        docker.to_string(),
        line(4, "four", &ID.to_uppercase(), "ours"),
        line(3, "three", OTHER, "not ours"),
        format!("time=2026-11-01T12:00:00.002Z level=warning msg=slow trace={ID}"),
        format!("no time at all {ID}"),
        format!("{{\"broken\": \"{ID}\""),
    ];
    let said = json_of(&input.join("\n"));
    let messages = said.all("message");
    assert!(
        messages[0].starts_with("time=") && messages[1].starts_with("no time") && messages[2].starts_with("{\"broken"),
        "{messages:?}"
    );
    assert_eq!(messages[3..8], ["ours", "docker", "cri", "kubectl", "compose"]);
    assert!(messages[8].starts_with("192.0.2.1"), "{messages:?}");
    assert_eq!(said.lines()[8]["service"], "edge");
    assert_eq!(said.lines()[8]["source"], "edge-1");
    assert_eq!(said.lines()[0]["level"], "WARN");
}

#[test]
fn several_files_zipped_or_not_are_one_trace_and_a_missing_one_is_named() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("plain.log"), line(2, "plain", ID, "second")).unwrap();
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all((line(1, "zipped", ID, "first") + "\n" + &line(3, "zipped", ID, "third") + "\n").as_bytes()).unwrap();
    let zipped = zip.finish().unwrap();
    std::fs::write(path("zipped.gz"), &zipped).unwrap();
    let said = logs(&[ID, "--json", "--file", &path("plain.log"), "--file", &path("zipped.gz")], b"", None);
    assert_eq!(said.all("message"), ["first", "second", "third"]);
    assert_eq!(said.all("source"), ["zipped.gz", "plain.log", "zipped.gz"]);

    std::fs::write(path("cut.gz"), &zipped[..zipped.len() - 9]).unwrap();
    let said = logs(&[ID, "--json", "--file", &path("plain.log"), "--file", &path("cut.gz")], b"", None);
    assert!(said.all("message").contains(&"second".to_owned()));
    assert!(
        said.stderr.starts_with("warning: ") && said.stderr.contains("cut.gz") && said.stderr.contains("what came before is used"),
        "{}",
        said.stderr
    );
    std::fs::write(path("broken.gz"), b"\x1f\x8bgarbage").unwrap();
    logs(&[ID, "--file", &path("broken.gz")], b"", None).fails(2, &["broken.gz"]);
    logs(&[ID, "--file", &path("missing")], b"", None).fails(2, &["missing"]);
    logs(&[ID, "--file", folder.path().to_str().unwrap()], b"", None).fails(2, &["directory"]);
    logs(&[OTHER, "--file", &path("plain.log")], b"", None).fails(1, &[OTHER, "plain.log", "1 line read", "--log info"]);
}

#[test]
fn compose_is_asked_for_all_lines_and_those_of_both_streams_count() {
    let docker = program("docker", "cat out; cat err >&2");
    let stamp = "2026-11-01T12:00:00.500000000Z";
    std::fs::write(
        docker.path().join("out"),
        format!("dummy-1-1-1  | {stamp} {}\ndummy-1-2-1  | {stamp} nothing\n", line(2, "dummy-1-1", ID, "second")),
    )
    .unwrap();
    std::fs::write(
        docker.path().join("err"),
        format!("edge-1  | {stamp} 2026/11/01 12:00:00 [error] 29#29: refused, trace {ID}\n"),
    )
    .unwrap();
    let said = logs(&[ID, "--compose", "--json"], b"", Some(docker.path()));
    assert_eq!((said.all("service"), said.stderr.as_str()), (vec!["dummy-1-1".to_owned(), "edge".to_owned()], ""));
    assert_eq!(said.lines()[1]["level"], "ERROR");
    assert_eq!(noted(&docker, "arguments"), "compose --project-name tracelab logs --no-color --timestamps");
    assert_eq!(noted(&docker, "directory"), "/", "a compose.yaml of this directory means nothing");

    logs(&[ID, "--compose", "-p", "mine", "--since", "15m"], b"", Some(docker.path()));
    assert_eq!(noted(&docker, "arguments"), "compose --project-name mine logs --no-color --timestamps --since=900s");
    let yaml = ["a.yaml", "b.yaml"].map(|name| docker.path().join(name).to_str().unwrap().to_owned());
    yaml.iter().for_each(|path| std::fs::write(path, "").unwrap());
    logs(&[ID, "--compose", "-f", &yaml[0], "-f", &yaml[1]], b"", Some(docker.path()));
    let expected = format!("compose --file {} --file {} logs --no-color --timestamps", yaml[0], yaml[1]);
    assert_eq!(noted(&docker, "arguments"), expected);
    assert_ne!(noted(&docker, "directory"), "/", "the files lie in this directory");

    logs(&[ID, "--compose", "-f", "nosuch.yaml"], b"", Some(docker.path())).fails(2, &["no Compose file nosuch.yaml", "-f"]);
    logs(&[OTHER, "--compose"], b"", Some(docker.path())).fails(1, &["docker compose", "(3 lines read)", "-p"]);
}

#[test]
fn what_keeps_docker_from_answering_is_said_in_its_words_with_a_way_out() {
    let wrong = [
        (
            "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2; exit 1",
            "Cannot connect",
            "start Docker",
        ),
        ("printf \"unknown flag: --project-name\\n\\nUsage:  docker\\n\" >&2; exit 125", "unknown flag", "docker-compose-plugin"),
        ("printf 'docker: unknown command: docker compose\\n' >&2; exit 1", "unknown command", "docker-compose-plugin"),
        ("echo 'no configuration file provided: not found' >&2; exit 1", "no configuration file", "-f and -p"),
        ("printf '\\033[31mred\\n' >&2; exit 7", "red", "-f and -p"),
        ("exit 7", "exit status: 7", "-f and -p"),
    ];
    for (script, words, way_out) in wrong {
        let docker = program("docker", script);
        let said = logs(&[ID, "--compose"], b"", Some(docker.path()));
        said.fails(3, &[words, way_out]);
        assert!(!said.stderr.contains('\u{1b}'), "{:?}", said.stderr);
    }
    let silent = program("docker", "exit 0");
    logs(&[ID, "--compose", "--since", "1s"], b"", Some(silent.path())).fails(1, &["0 lines read", "docker compose ls"]);
    let elsewhere = line(1, "one", ID, "elsewhere");
    let said = logs(&[ID, "--compose", "--file", "-", "--json"], elsewhere.as_bytes(), Some(silent.path()));
    assert_eq!((said.all("message"), &*said.stderr), (vec!["elsewhere".to_owned()], ""));
    let empty = TempDir::new().unwrap();
    let (mut command, _directory) = tracelab(&["logs", ID, "--compose"]);
    let output = command.env("PATH", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(sandbox::stderr(&output).contains("there is no docker on the PATH"), "{}", sandbox::stderr(&output));
}

#[test]
fn what_there_is_of_a_program_that_fails_is_shown_and_the_failure_too() {
    let script = format!("echo 'dummy-1-1-1  | {}'; echo 'error from daemon' >&2; exit 1", line(1, "dummy-1-1", ID, "one"));
    let docker = program("docker", &script);
    let said = logs(&[ID, "--compose", "--json"], b"", Some(docker.path()));
    assert_eq!(said.all("message"), ["one"]);
    assert!(said.stderr.contains("lines may be missing: error from daemon"), "{}", said.stderr);
}

/// Starts `tracelab logs` with a `docker` that does what `script` says and then makes a file `on`.
async fn started(docker: &TempDir, arguments: &[&str]) -> std::process::Child {
    let (mut command, _directory) = tracelab(&["logs", ID, "--compose"]);
    let mut path = OsString::from(docker.path());
    path.push(":/usr/bin:/bin");
    let child = command.args(arguments).env("PATH", path).stdin(Stdio::piped()).spawn().unwrap();
    let on = docker.path().join("on");
    sandbox::until(|| on.exists(), || "it was not started".to_owned()).await;
    child
}

fn kill(signal: &str, child: &std::process::Child) {
    assert!(std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn no_program_outlives_us_nor_does_what_it_started_whatever_ends_us() {
    for signal in ["-TERM", "-INT", "-KILL"] {
        let docker = program("docker", "sleep 1000 & echo $! > child; echo $$ > pid; touch on; wait");
        let mut child = started(&docker, &[]).await;
        kill(signal, &child);
        assert_eq!(child.wait().unwrap().code(), (signal != "-KILL").then_some(130));
        for process in ["pid", "child"] {
            // Whoever inherits it may take his time to bury it; then it has no command line any more.
            let running = format!("/proc/{}/cmdline", noted(&docker, process));
            let ended = || std::fs::read(&running).map_or(true, |line| line.is_empty());
            sandbox::until(ended, || format!("{signal}: {running}")).await;
        }
    }
}

#[tokio::test]
async fn a_signal_ends_the_reading_of_whatever_comes_after_a_program() {
    // It never ends by itself: somebody holds its stdin.
    let docker = program("docker", "touch on");
    for signal in ["-TERM", "-INT"] {
        let mut child = started(&docker, &["--file", "-"]).await;
        let mut stdin = child.stdin.take().unwrap();
        // More than a pipe holds: when all is written, it is being read.
        stdin.write_all(&vec![b'\n'; 256 << 10]).unwrap();
        kill(signal, &child);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        drop(stdin);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_asked_where_it_leads_and_a_password_is_not_shown() {
    let empty = Fake::start(|_| async { Reply::json("{\"data\":[]}") }).await;
    let elsewhere = Fake::start(|_| async { Reply::json("{\"data\":[]}") }).await;
    let link = format!("{}/x/trace/{ID}", empty.url);
    logs(&[&link], b"", None).fails(1, &[&empty.url]);
    assert_eq!(empty.asked(), [format!("/x/api/logs?traceID={ID}")]);
    let secret = elsewhere.url.replace("http://", "http://me:secretpw@");
    let said = logs(&[&link, "--jaeger", &secret], b"", None);
    said.fails(1, &[&elsewhere.url]);
    assert!(!said.stderr.contains("secretpw") && empty.asked().len() == 1 && elsewhere.asked().len() == 1, "{}", said.stderr);
    for command in [&["logs", ID][..], &["diagnose"]] {
        for url in ["http://me:secretpw@127.0.0.1:1", "ftp://me:secretpw@127.0.0.1:1"] {
            let stderr = sandbox::stderr(&sandbox::run(&[command, &["--jaeger", url]].concat()));
            assert!(stderr.contains("//127.0.0.1:1") && !stderr.contains("secretpw"), "{stderr}");
        }
    }
}

#[test]
fn kubernetes_is_asked_for_all_lines_of_all_pods() {
    let out = format!(
        "[pod/dummy-1-1-6f8d9c7b54-x2x4z/dummy] 2026-11-01T12:00:01Z {}\nerror: container \"dummy\" in pod \"dummy-1-2\" is waiting to start\n",
        line(1, "dummy-1-1", ID, "one")
    );
    let kubectl = program("kubectl", "cat out");
    std::fs::write(kubectl.path().join("out"), out).unwrap();
    let said = logs(&[ID, "--kubernetes", "--json"], b"", Some(kubectl.path()));
    assert_eq!(
        (said.all("message"), said.all("source")),
        (vec!["one".to_owned()], vec!["dummy-1-1-6f8d9c7b54-x2x4z/dummy".to_owned()])
    );
    assert!(said.stderr.contains("waiting to start"), "{}", said.stderr);
    let always = "--selector app.kubernetes.io/part-of=tracelab --all-containers --prefix --timestamps --tail=-1 --ignore-errors --max-log-requests=200";
    assert_eq!(noted(&kubectl, "arguments"), format!("logs {always}"));
    logs(&["--kubernetes=shop", ID, "--since", "2h"], b"", Some(kubectl.path()));
    assert_eq!(noted(&kubectl, "arguments"), format!("logs --namespace shop {always} --since=7200s"));

    let klog = "E1121 03:31:25.121788   15161 memcache.go:265] \"Unhandled Error\"";
    for (script, code, words, way_out) in [
        (
            format!("echo '{klog}' >&2; echo 'The connection to the server localhost:8080 was refused' >&2; exit 1"),
            3,
            "The connection to the server",
            "get-contexts",
        ),
        (
            "echo 'No resources found in default namespace.' >&2".to_owned(),
            1,
            "No resources found in default",
            "--kubernetes=NAMESPACE",
        ),
    ] {
        let kubectl = program("kubectl", &script);
        let said = logs(&[ID, "--kubernetes"], b"", Some(kubectl.path()));
        said.fails(code, &[words, way_out]);
        assert!(!said.stderr.contains("memcache"), "{}", said.stderr);
    }
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let input = [line(1, "one", ID, "a"), line(2, "two", ID, "b")].join("\n");
    let plain = logs(&[ID, "--file", "-"], input.as_bytes(), None).stdout;
    assert!(!plain.contains('\u{1b}') && plain.contains("+1.000 ms  two  INFO   b"), "{plain}");
    let always = logs(&[ID, "--file", "-", "--color", "always"], input.as_bytes(), None).stdout;
    assert!(always.contains('\u{1b}'), "{always}");
    assert_eq!(anstream::adapter::strip_str(&always).to_string(), plain);
    assert_eq!(logs(&[ID, "--file", "-", "--color", "never"], input.as_bytes(), None).stdout, plain);
}

#[test]
fn whoever_stops_reading_early_is_no_error() {
    let (mut command, _directory) = tracelab(&["logs", ID, "--file", "-"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(line(1, "one", ID, "a").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), sandbox::stderr(&output)), (Some(0), String::new()));
}

#[test]
fn hostile_bytes_never_reach_the_terminal_nor_stop_the_reading() {
    let last = line(9, "last", ID, "still read");
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut inputs: Vec<Vec<u8>> = vec![
        format!("\u{1b}]0;title\u{7}\u{1b}[2J {ID}").into_bytes(),
        format!("{{\"message\":\"\\u001b[2J\\u009b\\u202e\\u0000\",\"trace_id\":\"{ID}\",\"\\u001b\":\"\\u0007\"}}").into_bytes(),
        [b"\xff\xfe\x00", ID.as_bytes(), b"\xc3\x28\r"].concat(),
        format!("{}{ID}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(),
        format!("{{\"trace_id\":\"{ID}\",\"deep\":{}1{}}}", "[".repeat(1_000), "]".repeat(1_000)).into_bytes(),
        format!("{{\"trace_id\":\"{ID}\",\"timestamp\":1e999,\"level\":{{}},\"message\":null}}").into_bytes(),
        format!("{{\"log\":\"{ID}\",\"stream\":\"x\",\"time\":\"never\"}}").into_bytes(),
        format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"traceId\":\"{ID}\",\"body\":7,\"attributes\":{{}}}}]}}]}}]}}").into_bytes(),
        format!("{ID} {}", "x".repeat(5 << 20)).into_bytes(),
    ];
    for _ in 0..40 {
        let mut bytes = line(1, "random", ID, "x").into_bytes();
        for _ in 0..random.random_range(1..6) {
            let place = random.random_range(0..bytes.len());
            bytes[place] = random.random();
        }
        inputs.push(bytes);
    }
    let all = [inputs.join(&b"\n"[..]), last.into_bytes()].concat();
    let all = [all, format!("\n{}", line(9, "last", ID, "still read")).into_bytes()].concat();
    for arguments in [&[ID, "--file", "-", "--color", "always"][..], &[ID, "--file", "-", "--json"]] {
        let said = logs(arguments, &all, None);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(said.stdout.contains("still read"));
        let shown =
            if arguments.contains(&"--json") { said.stdout } else { anstream::adapter::strip_str(&said.stdout).to_string() };
        let raw: Vec<_> = shown.chars().filter(|c| *c != '\n' && c.is_control() || matches!(c, '\u{202a}'..='\u{202e}')).collect();
        assert!(raw.is_empty(), "{raw:?}");
    }
}
