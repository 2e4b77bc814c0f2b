//! The machine of a learner who reads one chapter: a home of its own, a clone, free ports, and whatever keeps running in other
//! terminals until the chapter ends.
//!
//! The book names the usual ports; here every one of them is another, so that two chapters and somebody's own `up` do not meet. A
//! learner takes a breath between two commands, and what was called reaches the backend meanwhile: a command that only looks is
//! repeated until it sees what is shown.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::console::{Block, Command, Page};
use super::placeholders::{self, Filled};
use super::{expected, programs, root};

/// What takes longer hangs. The slowest command takes a minute on two cores that have other things to do.
const HANGS: Duration = Duration::from_secs(300);
/// How long spans may take to the backend.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// A chapter keeps a core busy.
const CHAPTERS_AT_A_TIME: usize = 2;

/// Page, query API, OTLP by gRPC and HTTP, the learner's own programs, a mailbox and its mail server.
const PORTS: [u16; 8] = [8080, 16686, 4317, 4318, 9000, 9001, 8025, 1025];

/// See the module.
pub struct Stage {
    /// Before `home`: what runs ends first, or it would write into a folder that is being removed.
    running: Vec<Terminal>,
    home: TempDir,
    folder: PathBuf,
    ports: BTreeMap<u16, u16>,
    /// What the learner exported.
    exported: BTreeMap<String, String>,
    /// The last id of a trace that a command printed.
    trace: Option<String>,
    _turn: Turn,
}

impl Stage {
    pub fn new() -> Self {
        let turn = Turn::wait();
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("tracelab");
        clone(&folder);
        let programs = home.path().join("bin");
        std::fs::create_dir(&programs).unwrap();
        programs::install(&programs);
        let ports = PORTS.into_iter().zip(free_ports()).collect();
        Self { running: Vec::new(), home, folder, ports, exported: BTreeMap::new(), trace: None, _turn: turn }
    }

    /// Goes through a block. Where something is not as it is shown, it panics and says where.
    pub fn run(&mut self, page: &Page, block: &Block) {
        for (place, command) in block.commands.iter().enumerate() {
            let last = place + 1 == block.commands.len();
            let result = if last && block.keeps_running {
                self.keep(command, block)
            } else {
                let exit = if last { block.exit } else { 0 };
                self.step(command, exit, block)
            };
            if let Err(told) = result {
                panic!("{}:{}: $ {}\n{told}", page.path.display(), command.line, command.text);
            }
        }
    }

    /// A command that ends.
    fn step(&mut self, command: &Command, exit: i32, block: &Block) -> Result<(), String> {
        let words = shlex::split(&command.text).unwrap_or_default();
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["cd", folder] => return self.enter(folder),
            ["export", assignment, ..] if assignment.contains('=') => return self.export(command, block),
            _ => {}
        }
        let line = self.prepared(&command.text)?;
        let start = Instant::now();
        loop {
            let (code, printed) = self.shell(&line, block)?;
            let result = if code == Some(exit) {
                expected::matches(&command.shown, &printed)
            } else {
                let code = code.map_or("a signal".to_owned(), |code| code.to_string());
                Err(format!("ended with {code}, and not {exit}; it printed:\n{}", tail(&printed)))
            };
            if result.is_ok() || !only_looks(&command.text) || start.elapsed() > PATIENCE {
                self.trace = placeholders::last_trace(&printed).or(self.trace.take());
                return result;
            }
            std::thread::sleep(POLL);
        }
    }

    fn enter(&mut self, folder: &str) -> Result<(), String> {
        // The clone is made, and its name is whatever the learner's is called.
        if folder == "tracelab" && !self.folder.join(folder).exists() {
            return Ok(());
        }
        let folder = self.folder.join(folder);
        if !folder.is_dir() {
            return Err(format!("there is no folder {}", folder.display()));
        }
        self.folder = folder;
        Ok(())
    }

    fn export(&mut self, command: &Command, block: &Block) -> Result<(), String> {
        let line = self.prepared(&command.text)?;
        let name = line.trim_start_matches("export").trim_start().split('=').next().unwrap_or_default().to_owned();
        let (code, value) = self.shell(&format!("{line}\nprintf %s \"${name}\""), block)?;
        if code != Some(0) {
            return Err(format!("ended with {code:?}: {value}"));
        }
        self.exported.insert(name, value);
        Ok(())
    }

    /// A command in a terminal of its own, until it shows what the book does.
    fn keep(&mut self, command: &Command, block: &Block) -> Result<(), String> {
        if command.shown.is_empty() {
            return Err("nothing is shown, so that nobody knows when it is ready".to_owned());
        }
        let line = self.prepared(&command.text)?;
        // What the learner ends with Ctrl-C first.
        let claims = claims(&line);
        self.running.retain(|terminal| terminal.claims.is_disjoint(&claims));
        let mut terminal = Terminal::open(self.command(&line, block), claims);
        let start = Instant::now();
        loop {
            let ended = terminal.process.try_wait().unwrap();
            let printed = terminal.printed();
            let Err(difference) = expected::begins(&command.shown, &printed) else {
                self.trace = placeholders::last_trace(&printed).or(self.trace.take());
                self.running.push(terminal);
                return Ok(());
            };
            if let Some(status) = ended {
                // What it printed last may still be on its way.
                terminal.read_all();
                return Err(format!("ended ({status}), and should keep running; it printed:\n{}", tail(&terminal.printed())));
            }
            if start.elapsed() > HANGS {
                return Err(format!("after {HANGS:?} it has not printed what is shown:\n{difference}"));
            }
            std::thread::sleep(POLL);
        }
    }

    /// With the stage's ports and without placeholders.
    fn prepared(&self, text: &str) -> Result<String, String> {
        let mut line = text.to_owned();
        for (usual, ours) in &self.ports {
            for host in ["127.0.0.1", "localhost"] {
                line = replace_port(&line, host, *usual, *ours);
            }
        }
        let wanted = placeholders::wanted(&line);
        if wanted.is_empty() {
            return Ok(line);
        }
        let mut filled = Filled::new();
        for name in wanted {
            filled.insert(name, self.value(name)?);
        }
        Ok(placeholders::fill(&line, &filled))
    }

    /// What a learner who has understood the chapter puts there.
    fn value(&self, name: &str) -> Result<String, String> {
        let trace = || self.trace.clone().ok_or(format!("{name} is asked for, but no command has printed the id of a trace"));
        if name == placeholders::TRACE {
            return trace();
        }
        if name == placeholders::LONGEST {
            return placeholders::longest(&self.url(16686), &trace()?);
        }
        let mut reveal = "tracelab reveal --json --team the-book".to_owned();
        let tokens = self.running.iter().flat_map(|terminal| &terminal.claims).filter_map(|claim| claim.strip_prefix("token "));
        tokens.for_each(|token| reveal += &format!(" --instructor-token '{token}'"));
        let (code, printed) = self.shell(&reveal, &Block::default())?;
        let told = serde_json::from_str::<Value>(&printed).ok().filter(|_| code == Some(0));
        let value = told.as_ref().and_then(|told| told[name.to_lowercase()].as_str());
        value.map(str::to_owned).ok_or(format!("{name} is asked for, but `reveal` says: {printed}"))
    }

    /// Runs a line to its end: exit code, none after a signal, and what a terminal shows.
    fn shell(&self, line: &str, block: &Block) -> Result<(Option<i32>, String), String> {
        let mut terminal = Terminal::open(self.command(line, block), HashSet::new());
        let start = Instant::now();
        loop {
            if let Some(status) = terminal.process.try_wait().unwrap() {
                terminal.read_all();
                return Ok((status.code(), terminal.printed()));
            }
            if start.elapsed() > HANGS {
                return Err(format!("has not ended after {HANGS:?}; it printed:\n{}", tail(&terminal.printed())));
            }
            std::thread::sleep(POLL);
        }
    }

    fn command(&self, line: &str, block: &Block) -> Process {
        let mut command = Process::new("bash");
        command.args(["-euo", "pipefail", "-c", line]).current_dir(&self.folder).stdin(Stdio::null());
        for (name, _) in std::env::vars() {
            if ["TRACELAB_", "OTEL_", "COMPOSE_", "XDG_"].iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        // Docker's own are not the learner's.
        let own = std::env::home_dir().unwrap_or_default();
        command.env("DOCKER_CONFIG", std::env::var_os("DOCKER_CONFIG").unwrap_or_else(|| own.join(".docker").into()));
        command.env("HOME", self.home.path()).env("XDG_DATA_HOME", self.home.path().join("data"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.home.path().join("bin")).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(paths).unwrap());
        let port = |usual| self.ports[&usual].to_string();
        command.env("TRACELAB_PORT", port(8080)).env("TRACELAB_JAEGER_PORT", port(16686));
        command.env("TRACELAB_OTLP_GRPC_PORT", port(4317)).env("TRACELAB_OTLP_HTTP_PORT", port(4318));
        command.env("TRACELAB_FRONTEND", self.url(8080)).env("TRACELAB_JAEGER", self.url(16686));
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", self.url(4318));
        if block.solved {
            command.env(programs::SOLVED, "1");
        }
        command.envs(&self.exported);
        command
    }

    fn url(&self, usual: u16) -> String {
        format!("http://127.0.0.1:{}", self.ports[&usual])
    }
}

/// One process group, and what it prints on both streams.
struct Terminal {
    process: Child,
    printed: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
    /// Of what there can be one only.
    claims: HashSet<String>,
}

impl Terminal {
    fn open(mut command: Process, claims: HashSet<String>) -> Self {
        let (mut output, into) = std::io::pipe().unwrap();
        command.stdout(into.try_clone().unwrap()).stderr(into).process_group(0);
        let process = command.spawn().unwrap();
        // It holds the pipe's other end as well.
        drop(command);
        let printed = Arc::new(Mutex::new(String::new()));
        let text = printed.clone();
        let reader = std::thread::spawn(move || {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..read]);
                *text.lock().unwrap() = String::from_utf8_lossy(&bytes).into_owned();
            }
        });
        Self { process, printed, reader: Some(reader), claims }
    }

    fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// After its end: waits until all of it is read. Whatever it left behind ends here, or it would hold the pipe.
    fn read_all(&mut self) {
        self.signal("-KILL");
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.process.id());
        let _ = Process::new("kill").args([name, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.reader.is_none() {
            return;
        }
        // As Ctrl-C does.
        self.signal("-INT");
        let start = Instant::now();
        while self.process.try_wait().is_ok_and(|status| status.is_none()) && start.elapsed() < PATIENCE {
            std::thread::sleep(POLL);
        }
        self.signal("-KILL");
        let _ = self.process.wait();
    }
}

/// A chapter's turn among those that run.
struct Turn;

static TURNS: (Mutex<usize>, Condvar) = (Mutex::new(CHAPTERS_AT_A_TIME), Condvar::new());

impl Turn {
    fn wait() -> Self {
        let left = TURNS.0.lock().unwrap_or_else(PoisonError::into_inner);
        *TURNS.1.wait_while(left, |left| *left == 0).unwrap_or_else(PoisonError::into_inner) -= 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TURNS.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        TURNS.1.notify_one();
    }
}

/// Below those that Linux gives to outgoing connections, so that none of them takes one between two servers of a chapter.
fn free_ports() -> [u16; PORTS.len()] {
    static NEXT: LazyLock<Mutex<u16>> =
        LazyLock::new(|| Mutex::new(u16::try_from(std::process::id() % 900).unwrap() * 10 + 20_000));
    let mut next = NEXT.lock().unwrap();
    PORTS.map(|_| {
        loop {
            *next = if *next < 32_000 { *next + 1 } else { 20_000 };
            if TcpListener::bind(("127.0.0.1", *next)).is_ok() {
                return *next;
            }
        }
    })
}

/// The repository as a learner has it: what a command may write into is a copy.
fn clone(into: &Path) {
    std::fs::create_dir(into).unwrap();
    for entry in std::fs::read_dir(root()).unwrap().map(Result::unwrap) {
        let (name, to) = (entry.file_name(), into.join(entry.file_name()));
        if name == "tutorial" || name == "compose" {
            copy(&entry.path(), &to);
        } else if name != "target" && name != ".git" {
            std::os::unix::fs::symlink(entry.path(), to).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        // Binaries for images.
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "bin" {
                copy(&entry.path(), &to);
            }
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn replace_port(line: &str, host: &str, usual: u16, ours: u16) -> String {
    let pattern = format!("{host}:{usual}");
    let mut parts = line.split(&pattern);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let longer = part.starts_with(|sign: char| sign.is_ascii_digit());
        text += &if longer { pattern.clone() } else { format!("{host}:{ours}") };
        text += part;
    }
    text
}

/// Of what there is one only: an `up`, an address to listen on, an example. Whoever starts another one has ended the first. Also the
/// token of an instructor.
fn claims(line: &str) -> HashSet<String> {
    let words = shlex::split(line).unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.trim().is_empty()).collect();
    let mut claims = HashSet::new();
    for (place, word) in words.iter().enumerate() {
        let next = words.get(place + 1).copied().unwrap_or_default();
        match *word {
            "tracelab" => _ = claims.insert(format!("tracelab {next}")),
            "--example" => _ = claims.insert(format!("example {next}")),
            "--instructor-token" => _ = claims.insert(format!("token {next}")),
            address if address.parse::<std::net::SocketAddr>().is_ok() => _ = claims.insert(address.to_owned()),
            _ => {}
        }
    }
    claims
}

/// Whether repeating it changes nothing.
fn only_looks(line: &str) -> bool {
    let looks = ["tracelab learn check", "tracelab diagnose", "tracelab logs"].iter().any(|start| line.starts_with(start));
    let writes = ["-X", "-d ", "--data", "--json", "-F"].iter().any(|flag| line.contains(flag));
    looks || (line.starts_with("curl ") && !writes)
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_ports_become_ours() {
        assert_eq!(
            replace_port("curl http://localhost:8080/a localhost:80801", "localhost", 8080, 2),
            "curl http://localhost:2/a localhost:80801"
        );
    }

    #[test]
    fn a_second_up_ends_the_first_and_so_does_the_same_address() {
        let shared = |left: &str, right: &str| !claims(left).is_disjoint(&claims(right));
        assert!(shared("tracelab up", "tracelab up --route random"));
        assert!(shared("cargo run --example a -- 127.0.0.1:9000", "cargo run --example b -- 127.0.0.1:9000"));
        assert!(!shared(
            "cargo run --example a -- 127.0.0.1:9000",
            "cargo run --example b -- 127.0.0.1:9001 http://127.0.0.1:9000"
        ));
        assert!(!shared("tracelab up", "tracelab watch"));
    }
}
