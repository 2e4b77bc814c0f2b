//! Docker for tests of the compose stage: what is there, our image, and a stage that is gone when the test is.
//!
//! A test starts with `let Some(docker) = Docker::find() else { return };`: where Docker's engine or Compose is missing it is
//! skipped with a message, unless the environment's `TRACELAB_REQUIRE` names `docker`; then it fails.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]
#![allow(dead_code, reason = "each test file that includes this uses a part of it")]

#[path = "required.rs"]
pub mod required;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use required::required;
use serde_json::Value;

/// Much, because 95 containers start on a machine that may have two cores and other things to do.
pub const LONG: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(300);
/// With the first that takes a key back (`!reset`) as it is done today; tried with 2.26 and 2.40.
const OLDEST_COMPOSE: (u32, u32) = (2, 24);

/// The folder of the stage's files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compose")
}

/// Docker with Compose; whether an engine answers is another question.
#[derive(Clone, Copy)]
pub struct Compose(());

/// Docker with Compose and an engine.
#[derive(Clone, Copy)]
pub struct Docker(());

fn skip(why: &str) {
    assert!(!required("docker"), "TRACELAB_REQUIRE names docker, but {why}");
    eprintln!("skipped: {why}");
}

impl Compose {
    pub fn find() -> Option<Self> {
        let (major, minor) = OLDEST_COMPOSE;
        let version = docker(&["compose", "version", "--short"]).output();
        let version = version.ok().filter(|output| output.status.success()).map(|output| text(&output.stdout));
        let Some(version) = version else {
            skip("this test needs Docker with Compose 2 (Debian: docker.io, and docker-compose of a release after 12)");
            return None;
        };
        let mut numbers = version.trim_start_matches('v').split(|sign: char| !sign.is_ascii_digit()).map(str::parse::<u32>);
        let found = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        if found < OLDEST_COMPOSE {
            skip(&format!("this test needs Compose {major}.{minor} or newer; `docker compose version` says {}", version.trim()));
            return None;
        }
        Some(Self(()))
    }

    /// What these files of the stage come to together, with no variable set.
    pub fn config(self, files: &[&str]) -> Value {
        let mut command = docker(&["compose"]);
        for file in files {
            command.arg("-f").arg(folder().join(file));
        }
        let output = command.args(["--profile", "*", "config", "--format", "json"]).output().unwrap();
        assert!(output.status.success(), "docker compose config of {files:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Docker {
    pub fn find() -> Option<Self> {
        Compose::find()?;
        let info = docker(&["info", "--format", "{{.ServerVersion}}"]).output().unwrap();
        if !info.status.success() || text(&info.stdout).trim().is_empty() {
            skip(&format!("this test needs Docker's engine to run: {}", text(&info.stderr).trim()));
            return None;
        }
        Some(Self(()))
    }

    pub fn has_image(self, image: &str) -> bool {
        docker(&["image", "inspect", image]).output().unwrap().status.success()
    }

    /// Our image with a binary of the code as it is now, versions v1 and v2: `(v1, v2)`, made as `offline.yaml` says and by the builder
    /// that Compose chooses. They go with the last stage.
    pub fn image(self) -> (String, String) {
        static BUILDING: Mutex<()> = Mutex::new(());
        let _alone = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let tags = tags();
        if !(self.has_image(&tags.0) && self.has_image(&tags.1)) {
            let directory = tempfile::tempdir().unwrap();
            let place = |name: &str| directory.path().join(name);
            for file in ["Dockerfile", "compose.yaml", "telemetry.toml", "offline.yaml", "offline.toml"] {
                std::fs::copy(folder().join(file), place(file)).unwrap();
            }
            std::fs::create_dir(place("bin")).unwrap();
            std::fs::copy(static_binary(), place("bin/tracelab")).unwrap();
            // Only version v1 is called what TRACELAB_IMAGE says.
            let (v1, v2) = (&tags.0, &tags.1);
            std::fs::write(place("tags.yaml"), format!("services: {{patched: {{image: {v2:?}}}}}\n")).unwrap();
            let mut command = docker(&["compose", "-p", "tracelab-tests"]);
            for file in ["compose.yaml", "offline.yaml", "tags.yaml"] {
                command.arg("-f").arg(place(file));
            }
            let output = command.args(["build", "frontend", "patched"]).env("TRACELAB_IMAGE", v1).output().unwrap();
            assert!(output.status.success(), "docker compose build: {}{}", text(&output.stdout), text(&output.stderr));
        }
        tags
    }

    /// The Redis of this machine in an image, in which user and volume are as in the one that `redis.yaml` names. None where there is
    /// no `redis-server`, unless `TRACELAB_REQUIRE` names `redis`.
    pub fn redis_image(self) -> Option<Image> {
        let programs = ["redis-server", "redis-cli"].map(tracelab::keeper::find);
        let [Some(server), Some(cli)] = programs else {
            assert!(!required("redis"), "TRACELAB_REQUIRE names redis, but redis-server and redis-cli are not in PATH");
            eprintln!("skipped: the stage's Redis needs redis-server and redis-cli (Debian: apt-get install redis-server)");
            return None;
        };
        let context = tempfile::tempdir().unwrap();
        for program in [server, cli] {
            copy_with_libraries(&program, context.path(), Path::new("usr/bin").join(program.file_name().unwrap()));
        }
        std::fs::create_dir(context.path().join("etc")).unwrap();
        std::fs::write(context.path().join("etc/passwd"), "redis:x:999:1000::/:/none\n").unwrap();
        std::fs::write(context.path().join("etc/group"), "redis:x:1000:\n").unwrap();
        let dockerfile = "FROM scratch\nCOPY . /\nENV PATH=/usr/bin\nVOLUME /data\nWORKDIR /data\n";
        std::fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
        let image = Image(format!("tracelab-tests:{}-redis", std::process::id()));
        self.build(context.path(), &["-t", &image.0]);
        Some(image)
    }

    fn build(self, context: &Path, arguments: &[&str]) {
        let output = docker(&["build"]).args(arguments).arg(context).output().unwrap();
        assert!(output.status.success(), "docker build {arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }

    pub fn run(self, arguments: &[&str]) -> Output {
        docker(arguments).output().unwrap()
    }

    /// The lines that a command prints.
    pub fn lines(self, arguments: &[&str]) -> Vec<String> {
        let output = self.run(arguments);
        assert!(output.status.success(), "docker {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).lines().map(str::to_owned).collect()
    }

    pub fn line(self, arguments: &[&str]) -> String {
        self.lines(arguments).concat()
    }
}

/// The binary that an image can be made of: with everything it needs inside. Cargo has it from the last time where nothing
/// changed; else this takes a few minutes.
fn static_binary() -> PathBuf {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = text(&version.stdout);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--bin", "tracelab", "--target", host]).current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells this test about itself would be new to some build scripts, which would then run again.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        cargo.env_remove(name);
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    cargo.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_PROFILE_DEV_DEBUG", "0");
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "a static build for {host}: {}", text(&output.stderr));
    target.join(host).join("debug/tracelab")
}

/// Puts `program` at `place` in an image's context, and the libraries that it needs where it looks for them.
pub fn copy_with_libraries(program: &Path, context: &Path, place: impl AsRef<Path>) {
    let copy = |from: &Path, to: &Path| {
        let to = context.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    };
    copy(program, place.as_ref());
    let libraries = text(&Command::new("ldd").arg(program).output().unwrap().stdout);
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new) {
        copy(library, library.strip_prefix("/").unwrap());
    }
}

/// A compose project of this process, taken down with its volumes when this is dropped.
pub struct Stage {
    pub docker: Docker,
    pub project: String,
    files: Vec<PathBuf>,
    variables: BTreeMap<String, String>,
    pub frontend: String,
    pub jaeger: String,
    /// A machine has room for one of them.
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    /// Starts these files of the stage, with our image, on free ports, and waits until every container is healthy. `name` tells
    /// stages of one process apart.
    pub fn up(docker: Docker, name: &str, files: &[&str], variables: &[(&str, &str)]) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (image, _) = docker.image();
        let [page, jaeger] = free_ports();
        let own = [("TRACELAB_IMAGE", image), ("TRACELAB_PORT", page.to_string()), ("TRACELAB_JAEGER_PORT", jaeger.to_string())];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let stage = Self {
            docker,
            project: format!("tracelab-{name}-{}", std::process::id()),
            files: files.iter().map(|file| folder().join(file)).collect(),
            variables: own.into_iter().chain(given).collect(),
            frontend: format!("http://127.0.0.1:{page}"),
            jaeger: format!("http://127.0.0.1:{jaeger}"),
            _alone: alone,
        };
        let start = Instant::now();
        stage.compose(&["up", "-d", "--no-build"], &[]);
        stage.until_healthy();
        eprintln!("{} containers were healthy after {:.0?}", stage.statuses().len(), start.elapsed());
        stage
    }

    /// `docker compose` with the stage's files, and these variables on top of the stage's own.
    pub fn compose(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.command(arguments).envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "docker compose {arguments:?}: {}\n{}", text(&output.stderr), self.troubles());
        text(&output.stdout)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = docker(&["compose", "-p", &self.project]);
        for file in &self.files {
            command.arg("-f").arg(file);
        }
        // All at once would be faster on a machine with many cores only.
        command.args(arguments).envs(&self.variables).env("COMPOSE_PARALLEL_LIMIT", "10");
        command
    }

    /// One more `-f` from now on.
    pub fn add(&mut self, file: &str) {
        self.files.push(folder().join(file));
    }

    /// Every container of the stage: service and status, such as `Up 3 seconds (healthy)`.
    pub fn statuses(&self) -> BTreeMap<String, String> {
        let format = r#"{{.Label "com.docker.compose.service"}}={{.Status}}"#;
        let lines = self.docker.lines(&["ps", "-a", "--filter", &self.label(), "--format", format]);
        lines.iter().map(|line| line.split_once('=').unwrap()).map(|(name, status)| (name.to_owned(), status.to_owned())).collect()
    }

    fn until_healthy(&self) {
        let start = Instant::now();
        loop {
            let statuses = self.statuses();
            if !statuses.is_empty() && statuses.values().all(|status| status.contains("(healthy)")) {
                return;
            }
            assert!(start.elapsed() < LONG, "not healthy after {LONG:?}: {}", self.troubles());
            std::thread::sleep(POLL);
        }
    }

    /// What is not healthy, with the last lines of its log.
    fn troubles(&self) -> String {
        let mut report = String::new();
        for (service, status) in self.statuses().into_iter().filter(|(_, status)| !status.contains("(healthy)")).take(5) {
            report += &format!("{service} is {status}; its log ends:\n{}\n", self.log(&service));
        }
        report
    }

    /// The last lines of a service's log.
    pub fn log(&self, service: &str) -> String {
        let output = self.docker.run(&["logs", "--tail", "20", &self.container(service)]);
        text(&output.stdout) + &text(&output.stderr)
    }

    /// The id of a service's container.
    pub fn container(&self, service: &str) -> String {
        let filter = format!("label=com.docker.compose.service={service}");
        self.docker.line(&["ps", "-aq", "--no-trunc", "--filter", &self.label(), "--filter", &filter])
    }

    /// Every container of the stage: service and id.
    pub fn containers(&self) -> BTreeMap<String, String> {
        let format = r#"{{.Label "com.docker.compose.service"}}={{.ID}}"#;
        let lines = self.docker.lines(&["ps", "-a", "--no-trunc", "--filter", &self.label(), "--format", format]);
        lines.iter().map(|line| line.split_once('=').unwrap()).map(|(name, id)| (name.to_owned(), id.to_owned())).collect()
    }

    /// Ends a container's process as a crash would: `docker kill` is a wish of its owner's, after which nothing restarts it.
    pub fn crash(&self, service: &str) {
        let id = self.container(service);
        let process = self.docker.line(&["inspect", "-f", "{{.State.Pid}}", &id]);
        let killed = Command::new("kill").args(["-9", &process]).stderr(Stdio::null()).status().unwrap().success();
        if !killed {
            eprintln!("{service} does not run where this test could kill it (not root, or another machine): restarting it instead");
            self.docker.line(&["restart", "-t", "0", &id]);
        }
    }

    /// `docker exec` of our own binary, which is all there is.
    pub fn exec(&self, service: &str, arguments: &[&str]) -> Output {
        let id = self.container(service);
        self.docker.run(&[&["exec", &id, "/tracelab"], arguments].concat())
    }

    /// Takes it down, volumes too, and says what is left of it: containers, networks, volumes.
    ///
    /// Docker's engine of some years ago miscounts, once in a while, who is on a network that many leave at a time, and then never
    /// removes it: such a network, which nobody is on, does not count here.
    pub fn down(self) -> Vec<String> {
        let output = self.command(&["down", "-v"]).output().unwrap();
        let error = text(&output.stderr);
        let miscounted = !output.status.success() && error.contains("has active endpoints");
        assert!(output.status.success() || miscounted, "docker compose down -v: {error}");
        let label = self.label();
        let list = |list: &[&str]| self.docker.lines(&[list, &["--filter", &label]].concat());
        let mut left = [list(&["ps", "-aq"]), list(&["volume", "ls", "-q"])].concat();
        for network in list(&["network", "ls", "-q"]) {
            let nobody = self.docker.line(&["network", "inspect", "-f", "{{len .Containers}}", &network]) == "0";
            if miscounted && nobody {
                eprintln!("Docker's engine takes network {network} for one in use; it goes when the engine is started again");
            } else {
                left.push(network);
            }
        }
        left
    }

    fn label(&self) -> String {
        format!("label=com.docker.compose.project={}", self.project)
    }
}

/// An image that one test made for itself, by its tag; it goes with the test.
pub struct Image(pub String);

impl Drop for Image {
    fn drop(&mut self) {
        let _ = docker(&["rmi", &self.0]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mut command = docker(&["compose", "-p", &self.project, "down", "-v", "--remove-orphans", "-t", "0"]);
        let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        // Docker keeps what containers of another stage run.
        let replacement = format!("{}-replacement:mine", self.project);
        let (v1, v2) = tags();
        let _ = docker(&["rmi", &replacement, &v1, &v2]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Of this process's images, versions v1 and v2.
fn tags() -> (String, String) {
    let tag = |version| format!("tracelab-tests:{}-{version}", std::process::id());
    (tag("v1"), tag("v2"))
}

/// Without anything that the machine or whoever tests has set for other projects.
fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    for (name, _) in std::env::vars() {
        if ["TRACELAB_", "OTEL_", "COMPOSE_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Free now; Docker takes them a moment later.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
