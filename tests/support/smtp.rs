//! A real mail server (Debian's python3-aiosmtpd) on a free port, with what it took.
//!
//! A test starts with `let Some(server) = Smtp::start(json!({})) else { return };`: where there is none it is skipped with a message,
//! unless the environment's `TRACELAB_REQUIRE` names `smtp`; then it fails.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]
#![allow(dead_code, reason = "each test file that includes this uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::required::required;

/// Debian's own, for which its packages are; another `python3` may come first in PATH.
const PYTHON: &str = "/usr/bin/python3";

pub struct Smtp {
    process: Child,
    pub port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
    certificate: Certificate,
}

/// For `localhost`, by itself.
pub struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("certificate.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

pub fn is_there() -> bool {
    let asked = Command::new(PYTHON).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
    let found = asked.is_ok_and(|status| status.success());
    assert!(found || !required("smtp"), "TRACELAB_REQUIRE names smtp, but {PYTHON} has no aiosmtpd");
    if !found {
        eprintln!("skipped: this test needs aiosmtpd (Debian: apt-get install python3-aiosmtpd)");
    }
    found
}

impl Smtp {
    /// `settings`: `tls` ("starttls" or "always"), `login` ([user, password]), `without` (login mechanisms), `refuses` and `busy`
    /// (addresses), `times` (how often a busy address is so), `port`.
    pub fn start(settings: Value) -> Option<Self> {
        is_there().then(|| Self::run(settings))
    }

    fn run(mut settings: Value) -> Self {
        let certificate = Certificate::new();
        settings["certificate"] = json!(certificate.path("certificate.pem"));
        settings["key"] = json!(certificate.path("key.pem"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/smtp.py");
        let mut process = Command::new(PYTHON).arg(script).arg(settings.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = lines.next().expect("it says its port").unwrap();
        let port = serde_json::from_str::<Value>(&ready).unwrap()["port"].as_u64().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let into = taken.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                into.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { process, port: u16::try_from(port).unwrap(), taken, certificate }
    }

    /// `smtp://localhost:PORT`, with a user if any.
    pub fn url(&self, scheme: &str, user: &str) -> String {
        format!("{scheme}://{user}localhost:{}", self.port)
    }

    /// What to trust it by.
    pub fn authority(&self) -> String {
        self.certificate.path("certificate.pem")
    }

    /// The mails that it took so far.
    pub fn taken(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A header of a mail, which must be there once.
pub fn header(mail: &Value, name: &str) -> String {
    let headers = mail["headers"].as_array().unwrap();
    let found: Vec<_> = headers.iter().filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name)).collect();
    assert_eq!(found.len(), 1, "{name} in {mail}");
    found[0][1].as_str().unwrap().to_owned()
}
