//! The compose stage: its files as Docker Compose reads them, and the whole of it on a real engine.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/docker.rs"]
mod docker;
#[path = "support/mystery.rs"]
mod mystery;
#[path = "support/sandbox.rs"]
mod sandbox;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use docker::{Compose, Docker, LONG, Stage, copy_with_libraries, folder, text};
use jiff::Timestamp;
use mystery::{LONG_MS, client, is_strong, names, server, undisturbed};
use sandbox::{PATIENCE, Span, assignment, find, run, spans, stderr};
use serde_json::{Value, json};
use tracelab::config::Config;
use tracelab::manifest;
use tracelab::mystery::{Cause, Mystery};
use tracelab::outbound;
use tracelab::topology::{Route, Topology};

const JAEGER: &str = "jaegertracing/jaeger:2.20.0";
/// 90 services, frontend and trace backend.
const CONTAINERS: usize = 92;
/// The buttons that are pressed, beside the culprit's.
const CRASHING: u16 = 3;
const TRACED: u16 = 7;
/// The one behind which `replace.yaml` replaces a service.
const REPLACED: u16 = 17;

#[test]
fn the_committed_file_is_what_the_topology_says() {
    let topology = Config::default().topology().unwrap();
    let committed = std::fs::read_to_string(folder().join("compose.yaml")).unwrap();
    let written = manifest::splice(&committed, &manifest::compose(topology).unwrap()).unwrap();
    assert!(written == committed, "it differs; run: cargo run -- manifest compose --into compose/compose.yaml");
}

#[test]
fn the_command_writes_into_a_file_of_ones_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("compose.yaml");
    std::fs::copy(folder().join("compose.yaml"), &path).unwrap();
    let path = path.to_str().unwrap();
    let output = run(&["manifest", "compose", "--layers", "2", "--width", "4", "--into", path]);
    assert!(output.status.success(), "{}", stderr(&output));
    let written = std::fs::read_to_string(path).unwrap();
    assert!(written.contains("TRACELAB_WIDTH: \"4\"") && written.contains("\n  dummy-1-3: "), "{written}");
    assert!(!written.contains("dummy-0-4") && !written.contains("dummy-2-0"), "{written}");

    let printed = run(&["manifest", "compose", "--layers", "2", "--width", "4"]);
    assert!(
        text(&printed.stdout).lines().all(|line| line == "# <<< topology" || line.starts_with("# >>> ") || written.contains(line))
    );
    std::fs::write(path, "services: {}\n").unwrap();
    let refused = run(&["manifest", "compose", "--into", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("no line with \"# >>> topology\""), "{}", stderr(&refused));
}

#[test]
fn the_images_version_is_the_packages() {
    let dockerfile = std::fs::read_to_string(folder().join("Dockerfile")).unwrap();
    let compose = std::fs::read_to_string(folder().join("compose.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(dockerfile.contains(&format!("image.version=\"{version}\"")), "compose/Dockerfile labels another version");
    assert!(dockerfile.contains(&format!("image.version=\"{version}-v2\"")), "compose/Dockerfile labels another version v2");
    assert!(compose.contains(&format!("${{TRACELAB_IMAGE:-tracelab:{version}}}")), "compose.yaml runs another version");
    assert!(compose.contains(&format!("image: tracelab:{version}-v2\n")), "compose.yaml builds another version v2");
}

/// The files that change the stage, each one `-f` away.
fn overrides() -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut overrides: Vec<_> = files.filter(|name| name.ends_with(".yaml") && name != "compose.yaml").collect();
    overrides.sort();
    overrides
}

#[test]
fn the_stages_files_are_good_alone_and_with_each_other() {
    let Some(compose) = Compose::find() else { return };
    let overrides = overrides();
    assert!(["offline.yaml", "replace.yaml"].iter().all(|name| overrides.iter().any(|found| found == name)), "{overrides:?}");
    let alone = overrides.iter().map(|file| vec!["compose.yaml", file.as_str()]);
    let pairs = overrides
        .iter()
        .enumerate()
        .flat_map(|(n, first)| overrides[n + 1..].iter().map(move |second| vec!["compose.yaml", first.as_str(), second.as_str()]));
    let all = std::iter::once("compose.yaml").chain(overrides.iter().map(String::as_str)).collect();
    for files in [vec!["compose.yaml"], all].into_iter().chain(alone).chain(pairs) {
        let config = compose.config(&files);
        let services = config["services"].as_object().unwrap();
        assert!(services.len() > CONTAINERS, "{files:?} have {} services", services.len());
        for (name, service) in services {
            let place = format!("{name} in {files:?}");
            assert_eq!(service["read_only"], true, "{place}");
            assert_eq!(service["cap_drop"], json!(["ALL"]), "{place}");
            assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{place}");
            let absent = ["privileged", "cap_add", "network_mode", "cpus", "cpu_quota", "cpu_shares", "cpuset"];
            assert!(absent.iter().all(|key| service[key].is_null()), "{place}: {service}");
            assert!(service["deploy"]["resources"]["limits"]["cpus"].is_null(), "{place}");
            assert!(service["mem_limit"].is_string(), "{place} has no memory limit");
            assert!(service["logging"]["options"]["max-size"].is_string(), "{place} may fill the disk with its log");
            let image = service["image"].as_str().unwrap();
            assert!(image.contains(':') && !image.ends_with(":latest"), "{place}: {image} is not pinned");
            for port in service["ports"].as_array().into_iter().flatten() {
                assert_eq!(port["host_ip"], "127.0.0.1", "{place}: {port}");
            }
            let waited_for = service["depends_on"].as_object().into_iter().flatten();
            for (other, how) in waited_for {
                assert_eq!(how["condition"], "service_healthy", "{place} waits for {other}");
                assert!(!other.starts_with("dummy-"), "{place} waits for {other}: nobody waits for one of the 90");
            }
        }
    }
}

#[test]
fn nothing_but_page_and_jaeger_is_published() {
    let Some(compose) = Compose::find() else { return };
    let config = compose.config(&["compose.yaml"]);
    let services = config["services"].as_object().unwrap();
    let ports = services.iter().flat_map(|(name, service)| {
        let ports = service["ports"].as_array().cloned().unwrap_or_default();
        ports.into_iter().map(move |port| format!("{name} {} {}:{}", port["host_ip"], port["published"], port["target"]))
    });
    let expected = ["frontend \"127.0.0.1\" \"8080\":8080", "jaeger \"127.0.0.1\" \"16686\":16686"];
    assert_eq!(ports.collect::<BTreeSet<_>>(), expected.map(str::to_owned).into());
    assert_eq!(config["networks"].as_object().unwrap().len(), 1);
}

/// One bring-up for all of it: it is what takes the time.
#[tokio::test]
async fn the_offline_stage_from_up_to_down() {
    let Some(docker) = Docker::find() else { return };
    let seed = seed();
    let variables = [("TRACELAB_SEED", seed.as_str()), ("TRACELAB_DELAY_SCALE", "0")];
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("redis-image.yaml");
    let redis = docker.redis_image();
    let mut files = vec!["compose.yaml", "offline.yaml"];
    if let Some(docker::Image(tag)) = &redis {
        // The one of redis.yaml is in a registry.
        std::fs::write(&image, format!("services: {{redis: {{image: {tag:?}, pull_policy: never}}}}\n")).unwrap();
        files.extend(["redis.yaml", image.to_str().unwrap()]);
    }
    let mut stage = Stage::up(docker, "offline", &files, &variables);
    assert_eq!(stage.statuses().len(), CONTAINERS + usize::from(redis.is_some()));

    a_thousand_calls_succeed(&stage);
    names_resolve_where_there_is_no_libc(&stage);
    every_hop_of_a_trace_is_a_container(&stage).await;
    the_logs_of_a_trace_come_from_every_hop(&stage).await;
    one_service_of_version_v2_is_fast_again(&stage).await;
    whatever_crashes_comes_back(&stage).await;
    no_call_needs_a_trace_backend(&stage).await;
    if redis.is_some() {
        redis_is_as_narrow_as_the_rest(&stage);
        the_mystery_redis_can_be_played(&stage).await;
    }
    a_program_of_ones_own_takes_a_services_place(&mut stage).await;
    assert_eq!(stage.down(), Vec::<String>::new(), "left over");
}

/// The same with Jaeger itself, where its image is at hand: no test loads it from a registry.
#[tokio::test]
async fn the_stage_with_jaeger_from_up_to_down() {
    let Some(docker) = Docker::find() else { return };
    if !docker.has_image(JAEGER) {
        eprintln!("skipped: there is no image {JAEGER} here (docker pull {JAEGER})");
        return;
    }
    let seed = seed();
    let variables = [("TRACELAB_SEED", seed.as_str()), ("TRACELAB_DELAY_SCALE", "0")];
    let stage = Stage::up(docker, "jaeger", &["compose.yaml"], &variables);
    a_thousand_calls_succeed(&stage);
    every_hop_of_a_trace_is_a_container(&stage).await;
    assert_eq!(stage.down(), Vec::<String>::new(), "left over");
}

/// Of a culprit that sleeps so long that no busy machine can be mistaken for it, and of nothing else that could disturb behind the
/// buttons that are pressed here.
fn seed() -> String {
    let topology = Topology::new(3, 30, Route::Straight).unwrap();
    let (seed, _) = find(Cause::Sleep, topology, |mystery| {
        let culprit = mystery.culprit.unwrap().number;
        let pressed = [CRASHING, REPLACED, TRACED];
        is_strong(mystery)
            && !pressed.contains(&culprit)
            && [culprit].iter().chain(&pressed).all(|n| undisturbed(mystery, *n) && !uses_redis(mystery, *n))
    });
    seed.to_string()
}

/// Whether a call of this button makes spans of Redis, where there is one.
fn uses_redis(mystery: &Mystery, number: u16) -> bool {
    mystery.topology.services().any(|service| service.number == number && assignment(mystery, service).redis.is_some())
}

fn a_thousand_calls_succeed(stage: &Stage) {
    let output = run(&["load", "1000", "--concurrency", "20", "--json", "--frontend", &stage.frontend]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    assert_eq!((&report["calls"], &report["errors"]), (&json!(1000), &json!(0)), "{}", report["failed"]);
}

fn names_resolve_where_there_is_no_libc(stage: &Stage) {
    let asked = stage.exec("dummy-2-29", &["healthcheck", "http://dummy-0-0:8080/readyz"]);
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    let nobody = stage.exec("dummy-2-29", &["healthcheck", "http://dummy-9-9:8080/readyz"]);
    assert_eq!(nobody.status.code(), Some(3), "{}", text(&nobody.stderr));
}

async fn every_hop_of_a_trace_is_a_container(stage: &Stage) {
    let spans = press(stage, TRACED).await;
    for service in ["frontend", "dummy-0-7", "dummy-1-7", "dummy-2-7"] {
        let host = server(&spans, service).resource("host.name").unwrap();
        let container = stage.container(service);
        assert!(host.len() >= 12 && container.starts_with(&host), "{service} is in {container}, and its span says {host}");
    }
}

async fn the_logs_of_a_trace_come_from_every_hop(stage: &Stage) {
    let trace_id = trace_id(&until_answered(stage, TRACED).await);
    let client = outbound::client().unwrap();
    let start = Instant::now();
    loop {
        let answer = client.get(format!("{}/api/logs?traceID={trace_id}", stage.jaeger)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let lines = answer["data"].as_array().cloned().unwrap_or_default();
        let services: BTreeSet<_> = lines.iter().map(|line| line["service"].as_str().unwrap()).collect();
        if services == ["dummy-0-7", "dummy-1-7", "dummy-2-7", "frontend"].into() {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // And without a backend that takes them, from what Docker keeps.
    let printed = run(&["logs", &trace_id, "--compose", "-p", &stage.project, "--json"]);
    let lines = text(&printed.stdout);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sources: BTreeSet<_> = lines.iter().filter_map(|line| line["source"].as_str()).collect();
    assert_eq!(sources, ["dummy-0-7-1", "dummy-1-7-1", "dummy-2-7-1", "frontend-1"].into(), "{lines:?} {}", stderr(&printed));
}

async fn one_service_of_version_v2_is_fast_again(stage: &Stage) {
    let revealed = run(&["reveal", "--json", "--frontend", &stage.frontend]);
    let revealed: Value = serde_json::from_slice(&revealed.stdout).unwrap_or_else(|_| panic!("{}", stderr(&revealed)));
    let culprit = revealed["service"].as_str().unwrap().to_owned();
    let button = culprit.rsplit_once('-').unwrap().1.parse().unwrap();
    let slow = press(stage, button).await;
    assert!(server(&slow, &culprit).self_ms(&slow) > LONG_MS, "{culprit} is not slow: {:?}", server(&slow, &culprit));

    let refused = run(&["redeploy", &culprit, "v2", "--frontend", &stage.frontend]);
    let says = format!("docker compose -f compose/compose.yaml up -d --no-deps {culprit}");
    assert!(!refused.status.success() && stderr(&refused).contains(&says), "{}", stderr(&refused));
    let before = stage.containers();
    let (_, patched) = stage.docker.image();
    stage.compose(&["up", "-d", "--no-build", "--no-deps", &culprit], &[("TRACELAB_IMAGE", &patched)]);
    let after = stage.containers();
    let replaced: Vec<_> = after.iter().filter(|(service, id)| before[*service] != **id).map(|(service, _)| service).collect();
    assert_eq!(replaced, [&culprit], "it alone is replaced");

    let fast = press(stage, button).await;
    let server = server(&fast, &culprit);
    assert_eq!(server.resource("service.version").as_deref(), Some("v2"));
    assert!(server.self_ms(&fast) < LONG_MS, "{culprit} is slow all the same: {server:?}");
}

async fn whatever_crashes_comes_back(stage: &Stage) {
    for service in [&*format!("dummy-1-{CRASHING}"), "jaeger", "frontend"] {
        let restarts = || stage.docker.line(&["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", &stage.container(service)]);
        let (before, start) = (restarts(), Instant::now());
        stage.crash(service);
        while restarts() == before || !restarts().ends_with("running") {
            assert!(start.elapsed() < LONG, "{service} does not come back: {}", stage.log(service));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let spans = press(stage, CRASHING).await;
        assert_eq!(spans.len(), 7, "after the crash of {service}: {}", names(&spans));
    }
}

async fn no_call_needs_a_trace_backend(stage: &Stage) {
    stage.compose(&["stop", "jaeger"], &[]);
    let client = outbound::client().unwrap();
    for call in 0..10 {
        let answer = client.post(format!("{}/api/buttons/{TRACED}", stage.frontend)).send().await.unwrap();
        assert!(answer.status().is_success(), "call {call}: {}", answer.text().await.unwrap());
    }
    stage.compose(&["start", "jaeger"], &[]);
    press(stage, TRACED).await;
}

fn redis_is_as_narrow_as_the_rest(stage: &Stage) {
    let format = "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{len .Mounts}}";
    // No mount: the tmpfs takes the place of the volume that the image declares.
    assert_eq!(stage.docker.line(&["inspect", "-f", format, &stage.container("redis")]), "redis true [ALL] 0");
}

async fn the_mystery_redis_can_be_played(stage: &Stage) {
    let topology = Topology::new(3, 30, Route::Straight).unwrap();
    let image = |service: &str| stage.docker.line(&["inspect", "-f", "{{.Config.Image}}", &stage.container(service)]);
    let (v1, _) = stage.docker.image();
    // Not the service of version v2, which has no fault. Nothing happens behind the button that comes next.
    let (seed, mystery) = find(Cause::Redis, topology, |mystery| {
        let culprit = mystery.culprit.unwrap();
        let calm = |number| undisturbed(mystery, number);
        calm(culprit.number) && calm(REPLACED) && !uses_redis(mystery, REPLACED) && image(&culprit.to_string()) == v1
    });
    let culprit = mystery.culprit.unwrap();
    let keys = assignment(&mystery, culprit).redis.unwrap().keys as usize;
    let begun = run(&["mystery", "redis", "--seed", &seed.to_string(), "--frontend", &stage.frontend]);
    assert!(begun.status.success(), "{}", stderr(&begun));

    let start = Instant::now();
    loop {
        let spans = press(stage, culprit.number).await;
        let to_redis = |span: &&Span| span.attribute("db.system.name").as_deref() == Some("redis");
        let writes = spans.iter().filter(|span| span.service == culprit.to_string()).filter(to_redis).count();
        if writes >= keys {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{culprit} wrote {writes} times, not {keys}: {}", stage.log("redis"));
    }
    // What came before is of other mysteries.
    let since = Timestamp::now().to_string();
    let loaded = run(&["load", "600", "--concurrency", "4", "--json", "--frontend", &stage.frontend]);
    assert!(loaded.status.success(), "{}", stderr(&loaded));
    let diagnosed = run(&["diagnose", "--json", "--start", &since, "--jaeger", &stage.jaeger]);
    let diagnosis: Value = serde_json::from_slice(&diagnosed.stdout).unwrap_or_else(|_| panic!("{}", stderr(&diagnosed)));
    // Without ordinary delays the pauses of a busy machine are suspected too, and may come first.
    let is_it = |suspect: &&Value| suspect["cause"] == "redis" && suspect["service"] == culprit.to_string();
    let found = diagnosis["suspects"].as_array().unwrap().iter().find(is_it);
    assert!(found.is_some_and(|suspect| suspect["confidence"].as_f64() > Some(0.8)), "{diagnosis}");
    let guess = run(&["guess", "--service", &culprit.to_string(), "--cause", "redis", "--frontend", &stage.frontend]);
    assert_eq!(guess.status.code(), Some(0), "{}", stderr(&guess));
}

/// The example of `replace.yaml`, compiled here and put into an image with the libraries that it needs: its own Dockerfile wants
/// images from a registry.
async fn a_program_of_ones_own_takes_a_services_place(stage: &mut Stage) {
    let (directory, context) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let context = context.path();
    let program = directory.path().join("compiled");
    let mut compiler = Command::new("rustc");
    compiler.args(["--edition", "2024", "-o"]).arg(&program).arg(folder().join("replacement/main.rs"));
    let compiled = compiler.output().unwrap();
    assert!(compiled.status.success() && compiled.stderr.is_empty(), "{}", text(&compiled.stderr));
    copy_with_libraries(&program, context, "replacement");
    std::fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY . /\nUSER 65532:65532\nCMD [\"/replacement\"]\n").unwrap();
    stage.add("replace.yaml");
    let service = format!("dummy-1-{REPLACED}");
    stage.compose(&["up", "-d", "--no-deps", &service], &[("TRACELAB_REPLACEMENT", context.to_str().unwrap())]);

    let start = Instant::now();
    loop {
        let answer = until_answered(stage, REPLACED).await;
        // Frontend and layer 0 make two spans each, and layer 2 one.
        let spans = spans(&outbound::client().unwrap(), &stage.jaeger, &trace_id(&answer), 5).await;
        if spans.iter().all(|span| span.service != service) {
            assert_eq!(server(&spans, format!("dummy-2-{REPLACED}")).parent(), client(&spans, format!("dummy-0-{REPLACED}")).id());
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{service} is not replaced: {}", names(&spans));
    }
}

/// Calls button n until that succeeds: what was replaced or crashed a moment ago is not there at once. Returns the trace.
async fn press(stage: &Stage, button: u16) -> Vec<Span> {
    let answer = until_answered(stage, button).await;
    spans(&outbound::client().unwrap(), &stage.jaeger, &trace_id(&answer), 7).await
}

async fn until_answered(stage: &Stage, button: u16) -> Value {
    let client = outbound::client().unwrap();
    let start = Instant::now();
    loop {
        let text = match client.post(format!("{}/api/buttons/{button}", stage.frontend)).send().await {
            Ok(answer) if answer.status().is_success() => return answer.json().await.unwrap(),
            Ok(answer) => answer.text().await.unwrap(),
            Err(error) => outbound::reason(error),
        };
        assert!(start.elapsed() < PATIENCE, "button {button}: {text}\n{}", stage.log(&format!("dummy-0-{button}")));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn trace_id(answer: &Value) -> String {
    answer["trace_id"].as_str().unwrap().to_owned()
}
