//! `tracelab doctor --compose` where something is wrong with Docker or the stage: a `docker` that says what the real one would, and
//! the line that is made of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/sandbox.rs"]
mod sandbox;

use std::net::TcpListener;
use std::process::Command;

use sandbox::tracelab;
use serde_json::Value;

/// A `docker`: what it does when it is asked for each of these, in shell.
struct Docker<'a> {
    version: &'a str,
    compose: &'a str,
    info: &'a str,
    ps: &'a str,
    /// Containers that publish a port.
    publish: &'a str,
}

/// Where all is well.
const WELL: Docker<'_> = Docker {
    version: "echo 28.5.2",
    compose: "echo 2.40.3",
    info: "echo 8326746112",
    ps: r"printf 'frontend\tUp 3 minutes (healthy)\njaeger\tUp 3 minutes (healthy)\n'",
    publish: ":",
};

impl Docker<'_> {
    /// What doctor says with this `docker` as the only program on its PATH.
    fn examined(&self, variables: &[(&str, &str)]) -> Report {
        let Self { version, compose, info, ps, publish } = self;
        // Whoever asks otherwise than the real one understands is told so.
        let script = format!(
            r#"#!/bin/sh
case "$*" in
"version --format {{{{.Server.Version}}}}") {version} ;;
"compose version --short") {compose} ;;
"info --format {{{{.MemTotal}}}}") {info} ;;
"ps --all --filter label=com.docker.compose.project=tracelab --format "*Status*) {ps} ;;
"ps --filter publish="*" --format {{{{.Names}}}}") {publish} ;;
*) echo "unknown: $*" >&2; exit 125 ;;
esac
"#
        );
        let directory = tempfile::tempdir().unwrap();
        // Another process writes it: a file that this one has open is busy in whatever other tests start meanwhile.
        let write = r#"printf %s "$2" >"$1" && chmod 755 "$1""#;
        let written = Command::new("sh").args(["-c", write, "sh"]).arg(directory.path().join("docker")).arg(script).status();
        assert!(written.unwrap().success());
        doctor(directory.path(), variables)
    }
}

/// The lines about Docker and the stage.
struct Report(Vec<Value>);

const CHECKS: [&str; 5] = ["docker", "compose", "memory", "ports", "containers"];

fn doctor(path: &std::path::Path, variables: &[(&str, &str)]) -> Report {
    // Nobody listens on port 1; what runs on this machine is not looked at.
    let nobody = "http://127.0.0.1:1";
    let (mut command, _directory) =
        tracelab(&["doctor", "--compose", "--no-call", "--no-probe", "--json", "--jaeger", nobody, "--frontend", nobody]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.to_ascii_uppercase().ends_with("_PROXY")) {
        command.env_remove(name);
    }
    let output = command.env("PATH", path).envs(variables.iter().copied()).output().unwrap();
    let text = sandbox::stdout(&output);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{}", sandbox::stderr(&output)));
    let lines = report["checks"].as_array().unwrap().iter();
    Report(lines.filter(|line| CHECKS.iter().any(|check| line["check"] == *check)).cloned().collect())
}

impl Report {
    /// The one line that is not well is of this check, with these words in what was seen and what to do.
    #[track_caller]
    fn says_only(&self, check: &str, result: &str, saw: &str, way_out: &str) {
        let wrong: Vec<_> = self.0.iter().filter(|line| line["result"] != "ok").collect();
        let [line] = wrong[..] else { panic!("{:#?}", self.0) };
        assert_eq!((line["check"].as_str(), line["result"].as_str()), (Some(check), Some(result)), "{line}");
        assert!(line["saw"].as_str().unwrap().contains(saw), "{saw:?}: {line}");
        assert!(line["do"].as_str().unwrap_or_default().contains(way_out), "{way_out:?}: {line}");
    }

    fn checks(&self) -> Vec<&str> {
        self.0.iter().map(|line| line["check"].as_str().unwrap()).collect()
    }

    fn of(&self, check: &str) -> Vec<&Value> {
        self.0.iter().filter(|line| line["check"] == check).collect()
    }
}

#[test]
fn where_the_stage_stands_every_line_says_so() {
    let report = WELL.examined(&[]);
    assert_eq!(report.checks(), ["docker", "compose", "memory", "containers"]);
    for (line, saw) in report.0.iter().zip(["the engine 28.5.2 answers", "Compose 2.40.3", "8.3 GB", "2 containers"]) {
        assert_eq!(line["result"], "ok", "{line}");
        assert!(line["saw"].as_str().unwrap().contains(saw), "{line}");
    }
}

#[test]
fn without_docker_or_its_engine_nothing_else_is_asked() {
    let empty = tempfile::tempdir().unwrap();
    let report = doctor(empty.path(), &[]);
    report.says_only("docker", "failure", "no program docker on the PATH", "install Docker with Compose 2.24 or newer");
    assert_eq!(report.checks(), ["docker"]);
    for (said, way_out) in [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
            "start Docker's engine",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "add yourself to the group docker",
        ),
    ] {
        let version = format!("echo; echo '{said}' >&2; exit 1");
        let report = Docker { version: &version, ..WELL }.examined(&[]);
        report.says_only("docker", "failure", said, way_out);
        assert_eq!(report.checks(), ["docker"]);
    }
}

#[test]
fn a_compose_that_is_missing_or_too_old_is_told_with_what_it_says() {
    for (compose, saw, way_out) in [
        (
            "echo 'docker: unknown command: docker compose' >&2; exit 1",
            "does not work: docker: unknown command: docker compose",
            "install the plugin",
        ),
        ("echo 'unknown flag: --short' >&2; exit 125", "does not work: unknown flag: --short", "install the plugin"),
        ("echo 2.20.3", "Compose 2.20.3 is older than 2.24", "update the plugin"),
    ] {
        let report = Docker { compose, ..WELL }.examined(&[]);
        report.says_only("compose", "failure", saw, way_out);
    }
}

#[test]
fn an_engine_with_too_little_memory_is_warned_of() {
    let report = Docker { info: "echo 1073741824", ..WELL }.examined(&[]);
    report.says_only("memory", "warning", "1.1 GB, and the stage takes 3 GB", "give Docker Desktop 4 GB");
    let report = Docker { info: "echo 'it cannot' >&2; exit 1", ..WELL }.examined(&[]);
    report.says_only("memory", "skipped", "does not say", "");
}

#[test]
fn where_no_container_is_a_port_that_is_taken_is_told() {
    let none = Docker { ps: ":", ..WELL };
    let [page, jaeger] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [page_port, jaeger_port] = [&page, &jaeger].map(|listener| listener.local_addr().unwrap().port().to_string());

    // Any free one will do for Jaeger.
    let report = none.examined(&[("TRACELAB_PORT", &page_port), ("TRACELAB_JAEGER_PORT", "0")]);
    let [containers] = report.of("containers")[..] else { panic!("{:#?}", report.0) };
    assert_eq!(containers["result"], "warning");
    assert_eq!(containers["saw"], "there is no container of the project tracelab");
    assert!(containers["do"].as_str().unwrap().contains("docker compose -f compose/compose.yaml up"), "{containers}");
    let [ports] = report.of("ports")[..] else { panic!("{:#?}", report.0) };
    assert_eq!(ports["result"], "warning");
    let by = match cfg!(target_os = "linux") {
        // The system cuts names.
        true => format!(" by doctor_compose- (process {})", std::process::id()),
        false => String::new(),
    };
    assert_eq!(ports["saw"], format!("port {page_port} is taken{by}, and the stage wants it"));
    assert!(ports["do"].as_str().unwrap().contains("start the stage with TRACELAB_PORT=PORT"), "{ports}");

    let publish = format!(r#"case "$3" in publish={page_port}) echo shop-web-1 ;; esac"#);
    let report = Docker { publish: &publish, ..none }.examined(&[("TRACELAB_PORT", &page_port), ("TRACELAB_JAEGER_PORT", "0")]);
    let [ports] = report.of("ports")[..] else { panic!("{:#?}", report.0) };
    assert_eq!(ports["saw"], format!("port {page_port} is taken by the container shop-web-1, and the stage wants it"));
    assert!(ports["do"].as_str().unwrap().starts_with("docker stop shop-web-1, or"), "{ports}");

    let report = none.examined(&[("TRACELAB_PORT", &page_port), ("TRACELAB_JAEGER_PORT", &jaeger_port)]);
    let [_, ports] = report.of("ports")[..] else { panic!("{:#?}", report.0) };
    assert!(ports["saw"].as_str().unwrap().contains(&jaeger_port), "{ports}");
    assert!(ports["do"].as_str().unwrap().contains("TRACELAB_JAEGER_PORT=PORT"), "{ports}");

    let report = none.examined(&[("TRACELAB_PORT", "0"), ("TRACELAB_JAEGER_PORT", "0")]);
    report.says_only("containers", "warning", "there is no container", "start the stage");
    assert_eq!(report.of("ports").len(), 1);
}

#[test]
fn containers_that_are_not_well_are_named() {
    let logs = "docker compose -f compose/compose.yaml logs SERVICE";
    for (status, result, saw, way_out) in [
        ("Up 3 minutes (unhealthy)", "failure", "running, but not healthy: jaeger", logs),
        ("Exited (137) 2 minutes ago", "failure", "killed, as for want of memory: jaeger", "give Docker more memory"),
        ("Restarting (137) 2 seconds ago", "failure", "killed, as for want of memory: jaeger", "give Docker more memory"),
        ("Restarting (1) 2 seconds ago", "failure", "started again and again: jaeger", logs),
        ("Exited (1) 2 minutes ago", "failure", "not running: jaeger", logs),
        ("Created", "failure", "not running: jaeger", logs),
        ("Up 3 minutes (Paused)", "failure", "paused: jaeger", "unpause"),
        ("Up 3 seconds (health: starting)", "warning", "still starting: jaeger", "wait a minute"),
    ] {
        let ps = format!(r"printf 'frontend\tUp 3 minutes (healthy)\njaeger\t{status}\n'");
        Docker { ps: &ps, ..WELL }.examined(&[]).says_only("containers", result, saw, way_out);
    }
    let report = Docker { ps: "echo 'Error response from daemon: busy' >&2; exit 1", ..WELL }.examined(&[]);
    report.says_only("containers", "failure", "does not list them: Error response from daemon: busy", "restart the engine");
}
