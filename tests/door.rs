//! The door of the kops stage: nginx with TLS and a login before frontend and Jaeger.
//!
//! The committed configuration, started by the committed script, in Debian's own nginx on loopback.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/required.rs"]
mod required;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, Response, StatusCode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(30);
/// Another program may take a port that was just free.
const ATTEMPTS: usize = 5;
const PASSWORD: &str = "correct horse";
const LOGIN: &str = "reader:{PLAIN}correct horse\n";
/// So many passwords may be tried at once; see door.conf.
const BURST: usize = 60;

#[tokio::test]
async fn nobody_gets_in_without_a_login() {
    let Some(stage) = Stage::start().await else { return };
    for path in ["/", "/api/topology", "/api/runs", "/jaeger/", "/jaeger/api/services", "/door-health/x", "/nosuch"] {
        for method in [Method::GET, Method::POST, Method::OPTIONS, Method::HEAD] {
            let answer = stage.door.ask(method.clone(), path).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(pass(&answer), None, "{method} {path}");
        }
    }
    for password in ["", "wrong"] {
        let answer = stage.door.get("/").basic_auth("reader", Some(password)).send().await.unwrap();
        assert_eq!((answer.status(), pass(&answer)), (StatusCode::UNAUTHORIZED, None));
    }
    assert_eq!((stage.frontend.heads().len(), stage.jaeger.heads().len()), (0, 0), "it came through");
}

/// nginx answers these itself, before it asks for a login.
#[tokio::test]
async fn what_needs_no_login_gives_no_pass() {
    let Some(stage) = Stage::start().await else { return };
    for (path, status) in [("/door-health", 204), ("/jaeger", 308), ("/jaeger?a=b", 308)] {
        let answer = stage.door.get(path).basic_auth("reader", Some("wrong")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), pass(&answer)), (status, None), "{path}");
        // The load balancer has another port, which nginx does not know.
        assert!(answer.headers().get("location").is_none_or(|location| location == "/jaeger/"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_password_gives_a_pass_and_neither_is_for_those_behind_the_door() {
    let Some(stage) = Stage::start().await else { return };
    let answer = stage.door.get("/api/topology").basic_auth("reader", Some(PASSWORD)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
    }
    let pass = pass(&answer).unwrap();

    // The instructor's page sends this in the place of the password.
    let answer = stage.door.get("/api/score").header("cookie", &pass).bearer_auth("of the instructor").send().await.unwrap();
    assert_eq!((answer.status(), self::pass(&answer)), (StatusCode::OK, None), "who has a pass gets no other");
    let heads = stage.frontend.heads();
    assert_eq!(header(&heads[0], "authorization"), [""; 0]);
    assert_eq!(header(&heads[1], "authorization"), ["Bearer of the instructor"]);
    assert!(heads.iter().all(|head| header(head, "cookie").is_empty()), "{heads:?}");

    let digits = pass.split_once('=').unwrap().1;
    for wrong in ["", "0", "1", &digits[1..], &"0".repeat(64)] {
        let answer = stage.door.get("/").header("cookie", format!("tracelab_door={wrong}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{wrong:?} is no pass");
    }
}

#[tokio::test]
async fn all_replicas_know_a_pass_and_a_new_password_ends_it() {
    let Some(stage) = Stage::start().await else { return };
    let pass = stage.door.pass().await;
    let upstreams = [("frontend:8080", stage.frontend.address), ("jaeger-query:16686", stage.jaeger.address)];
    let replica = Door::start(LOGIN, &upstreams);
    let later = Door::start("reader:{PLAIN}battery staple\n", &upstreams);
    for (door, status) in [(&replica, StatusCode::OK), (&later, StatusCode::UNAUTHORIZED)] {
        assert_eq!(door.get("/").header("cookie", &pass).send().await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn passwords_cannot_be_tried_for_long_and_whoever_has_a_pass_does_not_notice() {
    let Some(stage) = Stage::start().await else { return };
    let pass = stage.door.pass().await;
    let mut refused = 0;
    let start = Instant::now();
    for n in 0..BURST * 3 {
        let answer = stage.door.get("/").basic_auth("reader", Some(format!("guess {n}"))).send().await.unwrap();
        refused += usize::from(answer.status() == StatusCode::TOO_MANY_REQUESTS);
    }
    // Two a second are let in again.
    let again = 2 * usize::try_from(start.elapsed().as_secs() + 1).unwrap();
    assert!(refused + again >= BURST * 2 - 1, "only {refused} of {} were refused", BURST * 3);

    // One may come just when one more is let in, but not all of them.
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(stage.door.get("/").basic_auth("reader", Some(PASSWORD)).send().await.unwrap());
    }
    let answer = answers.into_iter().find(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS);
    let answer = answer.expect("the right password tells itself from the others");
    let says = answer.text().await.unwrap();
    assert!(says.starts_with(r#"{"error": "too many logins from this address; "#), "{says}");
    for _ in 0..BURST * 2 {
        assert_eq!(stage.door.get("/").header("cookie", &pass).send().await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(stage.door.get("/").send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "a browser that asks what it needs");
    assert_eq!(stage.door.get("/door-health").send().await.unwrap().status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn both_hear_what_the_browser_said_and_answers_pass_with_more_headers() {
    let Some(stage) = Stage::start().await else { return };
    let pass = stage.door.pass().await;
    let host = stage.door.url.strip_prefix("https://").unwrap();
    for (path, upstream) in [("/api/guess?team=a", &stage.frontend), ("/jaeger/api/traces?service=frontend", &stage.jaeger)] {
        let request = stage.door.ask(Method::POST, path).header("cookie", &pass).header("origin", &stage.door.url);
        let answer = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").send().await.unwrap();
        let headers = answer.headers();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(headers["strict-transport-security"], "max-age=31536000");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["x-frame-options"], "SAMEORIGIN");
        assert_eq!(headers["referrer-policy"], "same-origin");
        let head = upstream.heads().pop().unwrap();
        assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
        for (name, value) in
            [("host", host), ("origin", &stage.door.url), ("x-forwarded-proto", "https"), ("x-forwarded-for", "127.0.0.1")]
        {
            assert_eq!(header(&head, name), [value], "{name} of {path}");
        }
        assert_eq!(header(&head, "traceparent").len(), 1);
    }
}

#[tokio::test]
async fn the_progress_of_a_run_passes_at_once() {
    let Some(stage) = Stage::start().await else { return };
    let pass = stage.door.pass().await;
    let request = stage.door.ask(Method::POST, "/api/runs").header("cookie", &pass);
    let first = async { request.send().await.unwrap().chunk().await.unwrap().unwrap() };
    let first = tokio::time::timeout(PATIENCE, first).await.expect("the first event waits for the last");
    assert_eq!(first, "event:progress\n\n");
}

#[tokio::test]
async fn where_nobody_is_the_answer_says_so() {
    if !nginx::there_is_one() {
        return;
    }
    let frontend = Upstream::start().await;
    let door = Door::start(LOGIN, &[("frontend:8080", frontend.address)]);
    let pass = door.pass().await;
    let answer = door.get("/jaeger/").header("cookie", &pass).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let says = answer.text().await.unwrap();
    assert_eq!(says, r#"{"error": "the door cannot reach what is behind it; are the frontend and jaeger-query running?"}"#);
}

/// Its digest, which is the pass, would be known to everybody.
#[test]
fn a_door_without_a_login_does_not_open() {
    if !nginx::there_is_one() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    render(directory.path(), "", ([127, 0, 0, 1], 0).into(), &[]);
    let Output { status, stderr, .. } = command(directory.path()).output().unwrap();
    assert_eq!(status.code(), Some(1));
    let says = String::from_utf8(stderr).unwrap();
    assert_eq!(says, "the Secret login holds nothing under auth; a line of htpasswd belongs there\n");
}

/// The door, and those behind it.
struct Stage {
    frontend: Upstream,
    jaeger: Upstream,
    door: Door,
}

impl Stage {
    /// None where there is no nginx.
    async fn start() -> Option<Self> {
        if !nginx::there_is_one() {
            return None;
        }
        let (frontend, jaeger) = (Upstream::start().await, Upstream::start().await);
        let door = Door::start(LOGIN, &[("frontend:8080", frontend.address), ("jaeger-query:16686", jaeger.address)]);
        Some(Self { frontend, jaeger, door })
    }
}

/// Ends with this.
struct Door {
    process: Child,
    url: String,
    client: Client,
    _directory: TempDir,
}

impl Door {
    /// `upstreams` says where those are that it calls; others are nowhere.
    fn start(login: &str, upstreams: &[(&str, SocketAddr)]) -> Self {
        (0..ATTEMPTS).find_map(|_| Self::attempt(login, upstreams)).unwrap_or_else(|| panic!("nginx finds no free port"))
    }

    /// None where the port was taken meanwhile.
    fn attempt(login: &str, upstreams: &[(&str, SocketAddr)]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        render(directory.path(), login, address, upstreams);
        let errors = directory.path().join("errors");
        let mut process = command(directory.path()).stderr(fs::File::create(&errors).unwrap()).spawn().unwrap();
        let start = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            let said = fs::read_to_string(&errors).unwrap();
            if process.try_wait().unwrap().is_some() {
                assert!(said.contains("Address already in use"), "nginx ended: {said}");
                return None;
            }
            assert!(start.elapsed() < PATIENCE, "nginx does not start: {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let client = tracelab::outbound::client_trusting(Some(&directory.path().join("tls/tls.crt"))).unwrap();
        Some(Self { process, url: format!("https://localhost:{}", address.port()), client, _directory: directory })
    }

    fn ask(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.ask(Method::GET, path)
    }

    /// As a browser sends it.
    async fn pass(&self) -> String {
        let answer = self.get("/").basic_auth("reader", Some(PASSWORD)).send().await.unwrap();
        pass(&answer).unwrap()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The container's files below one folder, with a certificate, and free ports in the place of names.
fn render(into: &Path, login: &str, address: SocketAddr, upstreams: &[(&str, SocketAddr)]) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for folder in ["tls", "login", "tracelab", "tmp"] {
        fs::create_dir(into.join(folder)).unwrap();
    }
    fs::set_permissions(into, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(into.join("tls/tls.crt"), made.cert.pem()).unwrap();
    fs::write(into.join("tls/tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(into.join("login/auth"), login).unwrap();
    let (nginx, tmp) = (format!("{}/", into.display()), format!("{}/tmp/", into.display()));
    for file in ["door.conf", "upstreams.conf", "start.sh"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("kops/door").join(file);
        // The folders in another order would take the one for a part of the other.
        let text = fs::read_to_string(source).unwrap().replace("/tmp/", &tmp).replace("/etc/nginx/", &nginx);
        let text = text.replace("listen 8443 ", &format!("listen {address} "));
        // One process, so that nothing of it is left whatever ends the test.
        let mut text = text.replace("daemon off;", "daemon off; master_process off;");
        for name in ["frontend:8080", "jaeger-query:16686"] {
            let found = upstreams.iter().find(|(known, _)| *known == name);
            // Nobody listens there.
            let place = found.map_or_else(|| "127.0.0.1:9".to_owned(), |(_, address)| address.to_string());
            text = text.replace(&format!("server {name};"), &format!("server {place};"));
        }
        fs::write(into.join("tracelab").join(file), text).unwrap();
    }
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new("sh");
    let path = std::env::var("PATH").unwrap_or_default();
    command.arg(directory.join("tracelab/start.sh")).env("PATH", format!("{path}:/usr/sbin"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Notes what it hears and says yes; to a run it says the first event, and no more.
struct Upstream {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, noted.clone()));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// One connection to its end, which is no failure of the test.
async fn serve(mut stream: TcpStream, noted: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let run = head.starts_with("POST /api/runs ");
        noted.lock().unwrap().push(head);
        if run {
            let event = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\nevent:progress\n\n\r\n";
            stream.write_all(event.as_bytes()).await?;
            std::future::pending::<()>().await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
    }
}

/// The cookie in an answer.
fn pass(answer: &Response) -> Option<String> {
    let cookie = answer.headers().get("set-cookie")?.to_str().unwrap();
    Some(cookie.split(';').next().unwrap().to_owned())
}

/// All values of a header.
fn header<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}
