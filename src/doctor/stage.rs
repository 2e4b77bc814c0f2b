//! Does the compose stage stand? What Docker says of itself and of the containers of our project. Only questions, nothing is started.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::holder::{self, Holder};
use super::{Environment, Finding};
use crate::diagnose::figures::{counted, some};

const DOCKER: &str = "docker";
const COMPOSE: &str = "compose";
const MEMORY: &str = "memory";
const PORTS: &str = "ports";
const CONTAINERS: &str = "containers";
/// As the stage's files have it.
const PROJECT: &str = "label=com.docker.compose.project=tracelab";
/// An engine that is busy with 95 containers takes its time.
const LIMIT: Duration = Duration::from_secs(10);
/// The first Compose that reads the stage's files.
const OLDEST: (u32, u32) = (2, 24);
/// What all containers need together.
const MEMORY_NEEDED: u64 = 3_000_000_000;
/// What ended for want of memory, whether it is started again or not.
const KILLED: [&str; 2] = ["Exited (137)", "Restarting (137)"];
/// What the stage publishes, and what moves it elsewhere.
const PUBLISHED: [(u16, &str); 2] = [(8080, "TRACELAB_PORT"), (16686, "TRACELAB_JAEGER_PORT")];

/// Engine, Compose, memory, containers, and where there are none, the ports that they will want.
pub(super) async fn examine(environment: &Environment) -> Vec<Finding> {
    let engine = match docker(&["version", "--format", "{{.Server.Version}}"]).await {
        Ok(version) => Finding::ok(DOCKER, format!("the engine {version} answers")),
        Err(finding) => return vec![finding],
    };
    let (compose, info, containers) = futures_util::join!(
        docker(&["compose", "version", "--short"]),
        docker(&["info", "--format", "{{.MemTotal}}"]),
        docker(&["ps", "--all", "--filter", PROJECT, "--format", "{{.Label \"com.docker.compose.service\"}}\t{{.Status}}"]),
    );
    let mut findings = vec![engine, compose_of(compose.as_deref().map_err(|finding| finding.saw.as_str()))];
    findings.push(match info.ok().and_then(|bytes| bytes.parse().ok()) {
        Some(bytes) => memory(bytes),
        None => Finding::skipped(MEMORY, "`docker info` does not say how much the engine has"),
    });
    match containers {
        Ok(list) if list.is_empty() => {
            findings.push(Finding::warning(
                CONTAINERS,
                "there is no container of the project tracelab",
                "start the stage: docker compose -f compose/compose.yaml up -d",
            ));
            findings.extend(ports(environment).await);
        }
        Ok(list) => findings.extend(judge(&list)),
        // The engine has answered before: that it should be started is no advice.
        Err(finding) => findings.push(Finding::failure(
            CONTAINERS,
            format!("`docker ps` does not list them: {}", finding.saw),
            "restart the engine, or see what keeps it busy",
        )),
    }
    findings
}

/// What it prints, or why it prints nothing.
pub(super) async fn docker(arguments: &[&str]) -> Result<String, Finding> {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let fail = |saw: String, way_out: &str| Err(Finding::failure(DOCKER, saw, way_out));
    let output = match tokio::time::timeout(LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => {
            let way_out = "install Docker with Compose 2.24 or newer, or stay with `tracelab up`, which needs none";
            return fail("there is no program docker on the PATH".to_owned(), way_out);
        }
        Ok(Err(error)) => return fail(format!("docker cannot be started: {error}"), "look at its installation"),
        Err(_) => return fail(format!("docker does not answer within {LIMIT:?}"), "restart the engine, or see what keeps it busy"),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().lines().next().unwrap_or("it does not say why");
    match said.contains("permission denied") {
        true => fail(said.to_owned(), "add yourself to the group docker and log in again, or run this with sudo"),
        false => fail(
            said.to_owned(),
            "start Docker's engine (Docker Desktop, or systemctl start docker); DOCKER_HOST names another one",
        ),
    }
}

fn compose_of(version: Result<&str, &str>) -> Finding {
    let plugin = "the plugin (docker-compose-plugin from Docker, docker-compose in Debian 13)";
    let version = match version {
        Ok(version) => version,
        Err(said) => {
            return Finding::failure(COMPOSE, format!("`docker compose` does not work: {said}"), format!("install {plugin}"));
        }
    };
    let mut numbers =
        version.trim_start_matches('v').split(|sign: char| !sign.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match found >= OLDEST {
        true => Finding::ok(COMPOSE, format!("Compose {version} reads the stage's files")),
        false => Finding::failure(
            COMPOSE,
            format!("Compose {version} is older than {}.{}", OLDEST.0, OLDEST.1),
            format!("update {plugin}"),
        ),
    }
}

fn memory(bytes: u64) -> Finding {
    let gigabytes = format!("{:.1} GB", bytes as f64 / 1e9);
    match bytes >= MEMORY_NEEDED {
        true => Finding::ok(MEMORY, format!("the engine has {gigabytes}")),
        false => Finding::warning(
            MEMORY,
            format!("the engine has {gigabytes}, and the stage takes 3 GB"),
            "give Docker Desktop 4 GB, or run fewer services (README.md, the compose stage)",
        ),
    }
}

/// Lines of service and status, as `docker ps` has them.
fn judge(list: &str) -> Vec<Finding> {
    let containers: Vec<(&str, &str)> = list.lines().filter_map(|line| line.split_once('\t')).collect();
    let of = |is: &dyn Fn(&str) -> bool| -> Vec<&str> {
        containers.iter().filter(|(_, status)| is(status)).map(|(service, _)| *service).collect()
    };
    let killed = |status: &str| KILLED.iter().any(|words| status.starts_with(words));
    let again = |status: &str| status.starts_with("Restarting");
    let mut findings = Vec::new();
    let mut fail = |services: Vec<&str>, what: &str, way_out: &str| {
        if !services.is_empty() {
            findings.push(Finding::failure(CONTAINERS, format!("{what}: {}", some(&services)), way_out));
        }
    };
    let logs = "docker compose -f compose/compose.yaml logs SERVICE says why; `up -d` starts again what ended";
    fail(
        of(&killed),
        "killed, as for want of memory",
        "give Docker more memory or run fewer services; for Jaeger alone TRACELAB_JAEGER_TRACES=200",
    );
    fail(of(&|status| again(status) && !killed(status)), "started again and again", logs);
    fail(of(&|status| !status.starts_with("Up") && !again(status) && !killed(status)), "not running", logs);
    fail(of(&|status| status.contains("(unhealthy)")), "running, but not healthy", logs);
    fail(of(&|status| status.contains("(Paused)")), "paused", "docker compose -f compose/compose.yaml unpause");
    let starting = of(&|status| status.contains("(health: starting)"));
    if !starting.is_empty() {
        let saw = format!("still starting: {}", some(&starting));
        findings.push(Finding::warning(CONTAINERS, saw, "wait a minute and try again"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            CONTAINERS,
            format!("{} of the project tracelab run, none is unhealthy", counted(containers.len() as u64, "container")),
        ));
    }
    findings
}

/// Where the stage is not up, nobody else should have what it will publish.
async fn ports(environment: &Environment) -> Vec<Finding> {
    // What is no port Compose refuses, and `config` before it.
    let wanted = PUBLISHED.iter().filter_map(|&(usual, variable)| {
        let port: u16 = environment.get(variable).map_or(Ok(usual), str::parse).ok()?;
        Some((port, variable))
    });
    // A port that only root may have is one that the engine may.
    let is_taken = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    let (taken, free): (Vec<_>, Vec<_>) = wanted.partition(|&(port, _)| is_taken(port));
    if taken.is_empty() {
        let free: Vec<_> = free.iter().map(|(port, _)| port.to_string()).collect();
        return vec![Finding::ok(PORTS, format!("free for the stage: {}", free.join(" and ")))];
    }
    let line = async |(port, variable)| taken_by(port, variable, holder::of(port).await);
    futures_util::future::join_all(taken.into_iter().map(line)).await
}

fn taken_by(port: u16, variable: &str, holder: Option<Holder>) -> Finding {
    let (by, stop) = match holder {
        Some(Holder::Container(name)) => (format!(" by the container {name}"), format!("docker stop {name}")),
        Some(Holder::Process { name, id }) => (format!(" by {name} (process {id})"), "stop that".to_owned()),
        None => (String::new(), "stop what listens there (`tracelab up`?)".to_owned()),
    };
    let way_out = format!("{stop}, or start the stage with {variable}=PORT");
    Finding::warning(PORTS, format!("port {port} is taken{by}, and the stage wants it"), way_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_compose_that_is_too_old_is_told_from_a_new_one() {
        for (version, result) in [
            (Ok("2.40.3-3"), Verdict::Ok),
            (Ok("v2.24.0"), Verdict::Ok),
            (Ok("2.23.9"), Verdict::Failure),
            (Err("docker: unknown command: docker compose"), Verdict::Failure),
        ] {
            assert_eq!(compose_of(version).result, result, "{version:?}");
        }
    }

    #[test]
    fn containers_that_do_not_run_are_named_with_the_reason() {
        let well = "frontend\tUp 3 minutes (healthy)\njaeger\tUp 3 minutes";
        assert!(matches!(&judge(well)[..], [found] if found.result == Verdict::Ok && found.saw.starts_with("2 containers")));
        for (status, result, says) in [
            ("Exited (137) 2 minutes ago", Verdict::Failure, "for want of memory: jaeger"),
            ("Restarting (137) 4 seconds ago", Verdict::Failure, "for want of memory: jaeger"),
            ("Removal In Progress", Verdict::Failure, "not running: jaeger"),
            ("Exited (1) 2 minutes ago", Verdict::Failure, "not running: jaeger"),
            ("Restarting (2) 4 seconds ago", Verdict::Failure, "again and again: jaeger"),
            ("Up 3 minutes (unhealthy)", Verdict::Failure, "not healthy: jaeger"),
            ("Up 3 minutes (Paused)", Verdict::Failure, "paused: jaeger"),
            ("Up 3 seconds (health: starting)", Verdict::Warning, "still starting: jaeger"),
        ] {
            let found = judge(&format!("frontend\tUp 3 minutes (healthy)\njaeger\t{status}"));
            assert!(matches!(&found[..], [found] if found.result == result && found.saw.contains(says)), "{found:?}");
        }
    }

    #[test]
    fn who_has_a_port_is_named_where_that_is_known() {
        let saw = |holder| taken_by(8080, "TRACELAB_PORT", holder).saw;
        assert_eq!(saw(None), "port 8080 is taken, and the stage wants it");
        let process = Holder::Process { name: "caddy".to_owned(), id: 17 };
        assert_eq!(saw(Some(process)), "port 8080 is taken by caddy (process 17), and the stage wants it");
    }

    #[test]
    fn too_little_memory_is_a_warning() {
        assert_eq!(memory(2_000_000_000).result, Verdict::Warning);
        assert_eq!(memory(8_000_000_000).result, Verdict::Ok);
    }
}
