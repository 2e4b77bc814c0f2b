//! The committed configuration of compose/nginx in Debian's own nginx, on loopback, as either stage has it.
//!
//! What differs from the container: [`render`] says it of the files. Debian's nginx has no OpenTelemetry module, so the folder
//! `telemetry` is left away. It is one process and not three, so that nothing of it is left whatever ends the test.

#![allow(dead_code, reason = "each test file that includes this uses a part of it")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// Another program may take a port that was just free.
const ATTEMPTS: usize = 5;

/// Whether there is one; where not, and it is required, the test fails.
pub fn there_is_one() -> bool {
    let found = program().is_some();
    if !found {
        assert!(!crate::required::required("nginx"), "there is no nginx");
        eprintln!("skipped: there is no nginx");
    }
    found
}

/// Whose files they are: most are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Compose,
    Kubernetes,
}

/// One of the two nginx; ends with this.
pub struct Nginx {
    process: Child,
    pub address: SocketAddr,
    errors: PathBuf,
    _directory: TempDir,
}

impl Nginx {
    /// `role` is `edge` or `gateway` of the compose stage; `upstreams` says where the names are that it calls, the others being nowhere.
    pub fn start(role: &str, upstreams: &[(&str, SocketAddr)], queue: &str) -> Self {
        (0..ATTEMPTS).find_map(|_| Self::attempt(role, upstreams, queue)).unwrap_or_else(|| panic!("nginx finds no free port"))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it complained about.
    pub fn errors(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    /// None where the port was taken meanwhile.
    fn attempt(role: &str, upstreams: &[(&str, SocketAddr)], queue: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        render(directory.path(), Stage::Compose, address, upstreams, queue);
        let errors = directory.path().join("errors");
        let mut command = command(directory.path(), role, "daemon off; master_process off;");
        let mut process = command.stderr(fs::File::create(&errors).unwrap()).spawn().unwrap();
        let start = Instant::now();
        while !is_ready(address) {
            let said = fs::read_to_string(&errors).unwrap();
            if process.try_wait().unwrap().is_some() {
                assert!(said.contains("Address already in use"), "nginx ended: {said}");
                return None;
            }
            assert!(start.elapsed() < PATIENCE, "nginx does not start: {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Self { process, address, errors, _directory: directory })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `nginx -t` says of a role's configuration, with nothing behind it.
pub fn check(stage: Stage, role: &str, queue: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    render(directory.path(), stage, ([127, 0, 0, 1], 8080).into(), &[], queue);
    let output = command(directory.path(), role, "daemon off;").arg("-t").output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

fn command(directory: &Path, role: &str, global: &str) -> Command {
    let mut command = Command::new(program().unwrap());
    let configuration = directory.join(format!("{role}.conf"));
    command.arg("-p").arg(format!("{}/", directory.display())).arg("-c").arg(configuration);
    command.args(["-e", "stderr", "-g", global]).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Copies the files, with free ports in the place of names; Debian's nginx, being older than 1.27.3, cannot look up an upstream's name
/// while it runs (`resolve`), and on this machine nobody has those names. The queue is a file that the container finds mounted.
fn render(into: &Path, stage: Stage, address: SocketAddr, upstreams: &[(&str, SocketAddr)], queue: &str) {
    // Its workers may be somebody else than who runs the test.
    fs::set_permissions(into, fs::Permissions::from_mode(0o755)).unwrap();
    let files = mounted(stage);
    for (path, source) in files.iter().filter(|(path, _)| !path.contains('/')) {
        let text = fs::read_to_string(source).unwrap();
        let text = text.replace("listen 8080;", &format!("listen {address};")).replace("/etc/nginx/queue*.conf", "queue.conf");
        let mut rendered = String::new();
        for line in text.lines() {
            rendered.push_str(&located(line, upstreams));
            rendered.push('\n');
        }
        fs::write(into.join(path), rendered).unwrap();
    }
    let queue = format!("queue/{queue}.conf");
    let (_, source) = files.iter().find(|(path, _)| *path == queue).unwrap_or_else(|| panic!("no {queue} is mounted"));
    fs::copy(source, into.join("queue.conf")).unwrap();
}

/// The files that a container of the stage finds, by their paths there.
fn mounted(stage: Stage) -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match stage {
        Stage::Compose => {
            let folder = root.join("compose/nginx");
            let files = ["", "telemetry", "queue"].into_iter().flat_map(|part| fs::read_dir(folder.join(part)).unwrap());
            let paths =
                files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|ending| ending == "conf"));
            paths.map(|path| (path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned(), path)).collect()
        }
        Stage::Kubernetes => {
            let own = root.join("kind/components/edge/nginx");
            let keys = [generated(&root.join("compose/nginx")), generated(&own)].concat();
            let patch = fs::read_to_string(own.join("nginx.yaml")).unwrap();
            let items =
                patch.lines().filter_map(|line| line.trim().strip_prefix("- {key: ")?.strip_suffix('}')?.split_once(", path: "));
            let source =
                |key| &keys.iter().find(|(other, _)| other == key).unwrap_or_else(|| panic!("nobody makes the key {key}")).1;
            items.map(|(key, path)| (path.to_owned(), source(key).clone())).collect()
        }
    }
}

/// The files of a kustomization's ConfigMap, by their keys there.
fn generated(folder: &Path) -> Vec<(String, PathBuf)> {
    let text = fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
    let entries = text.lines().filter_map(|line| line.trim().strip_prefix("- ")).filter(|entry| entry.ends_with(".conf"));
    let entries = entries.map(|entry| entry.split_once('=').unwrap_or((entry, entry)));
    entries.map(|(key, file)| (key.to_owned(), folder.join(file))).collect()
}

/// A line in which `server NAME:8080` says where that is.
fn located(line: &str, upstreams: &[(&str, SocketAddr)]) -> String {
    const BEFORE: &str = "server ";
    let found = line.find(BEFORE).and_then(|at| {
        let (name, after) = line[at + BEFORE.len()..].split_once(":8080")?;
        Some((&line[..at], name, after.strip_prefix(" resolve").unwrap_or(after)))
    });
    let Some((before, name, after)) = found else { return line.to_owned() };
    let address = upstreams.iter().find(|(known, _)| *known == name).map(|(_, address)| address.to_string());
    // Nobody listens there.
    let address = address.unwrap_or_else(|| "127.0.0.1:9".to_owned());
    format!("{before}{BEFORE}{address}{after}")
}

fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /nginx-health HTTP/1.1\r\nhost: nginx\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 204 "))
}

/// Debian keeps it where only root's PATH leads.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    folders.into_iter().map(|folder| folder.join("nginx")).find(|path| path.is_file())
}
