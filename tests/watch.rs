//! `tracelab watch`: from a trace in a Jaeger query API to a mail in a real mail server, and what it does when either is not as it
//! should be.
#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

#[path = "support/backend.rs"]
mod backend;
#[path = "support/fake.rs"]
mod fake;
#[path = "support/required.rs"]
mod required;
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/smtp.rs"]
mod smtp;

use std::io::Read;
use std::process::{Child, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use backend::Backend;
use fake::{Fake, Reply, parameter};
use sandbox::{PATIENCE, Sandbox, assignment, find, run, stderr, stdout, tracelab, until};
use serde_json::{Value, json};
use smtp::{Smtp, header};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tracelab::mystery::{Cause, Fault};
use tracelab::topology::{Route, Topology};

const FROM: [&str; 4] = ["--mail-from", "Tracelab <tracelab@example.com>", "--mail-to", "you@example.com"];
const PASSWORD: &str = "correct horse";

/// `tracelab watch` until this is dropped.
struct Watching {
    process: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    _directory: TempDir,
}

impl Watching {
    fn start(jaeger: &str, arguments: &[&str], file: &str) -> Self {
        let quick = ["watch", "--interval", "50ms", "--retry", "20ms", "--jaeger", jaeger];
        let (mut command, directory) = tracelab(&[&quick[..], arguments].concat());
        std::fs::write(directory.path().join("tracelab.toml"), file).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(process.stdout.take().unwrap());
        let stderr = collect(process.stderr.take().unwrap());
        Self { process, stdout, stderr, _directory: directory }
    }

    fn printed(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    async fn until_said(&self, text: &str) {
        until(|| self.said().contains(text), || format!("{text:?} is never said: {}", self.said())).await;
    }

    /// As Ctrl-C does.
    fn interrupt(&mut self) -> ExitStatus {
        let id = self.process.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let into = text.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    });
    text
}

/// One look, with variables.
async fn once(jaeger: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    watch(&[&["--once", "--jaeger", jaeger], arguments].concat(), variables).await
}

async fn watch(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let (mut command, directory) = tracelab(&[&["watch"], arguments].concat());
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    drop(directory);
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    output
}

/// Sends a trace of one span to a backend.
async fn trace(backend: &Backend, id: u32, service: &str, operation: &str, milliseconds: u64, failed: bool) {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let start = end - u128::from(milliseconds) * 1_000_000;
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
        "scopeSpans": [{"spans": [{
            "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": operation, "kind": 2,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string(),
            "status": {"code": if failed { 2 } else { 0 }},
        }]}],
    }]});
    let (status, ..) = backend.post("/v1/traces", "application/json", body.to_string()).await;
    assert_eq!(status, 200);
}

/// A backend with one trace of 700 ms.
async fn slow_backend() -> Backend {
    let backend = Backend::start().await;
    trace(&backend, 1, "shop", "GET /cart", 700, false).await;
    backend
}

async fn until_taken(server: &Smtp, count: usize) -> Vec<Value> {
    until(|| server.taken().len() >= count, || format!("{count} mails never come: {:?}", server.taken())).await;
    server.taken()
}

#[tokio::test]
async fn a_slow_trace_leads_to_one_mail_with_a_working_link_and_the_right_suspect() {
    let Some(server) = Smtp::start(json!({})) else { return };
    let topology = Topology::new(2, 3, Route::Straight).unwrap();
    let (seed, mystery) = find(Cause::Sleep, topology, |mystery| {
        let fault = assignment(mystery, mystery.culprit.unwrap()).fault;
        matches!(fault, Some(Fault::Sleep { delay }) if delay.median_ms > 400.0)
    });
    let (culprit, seed) = (mystery.culprit.unwrap(), seed.to_string());
    let flags = ["--layers", "2", "--width", "3", "--mystery", "sleep", "--seed", &seed, "--delay-scale", "0"];
    let sandbox = Sandbox::up(&flags);
    assert!(sandbox.run(&["load", "60", "--concurrency", "20"]).status.success());
    let looked = || -> Value {
        let look = ["watch", "--once", "--json", "--slower-than", "300ms", "--jaeger", &sandbox.jaeger];
        serde_json::from_str(&stdout(&run(&look))).unwrap()
    };
    until(|| looked()["findings"][0]["count"] == 20 && looked()["traces"] == 60, || looked().to_string()).await;
    let other = format!("dummy-0-{}", (culprit.number + 1) % 3);
    let rules =
        format!("[[watch.rules]]\nname = 'marker'\nservice = '{other}'\nslower_than = '1us'\nshare = '99%'\nmin_traces = 21");
    let smtp = server.url("smtp", "");
    let links = ["--jaeger-links", &sandbox.jaeger, "--smtp", &smtp, "--slower-than", "300ms"];
    let watching = Watching::start(&sandbox.jaeger, &[&links[..], &FROM].concat(), &rules);
    let mail = until_taken(&server, 1).await.remove(0);
    let text = mail["text"].as_str().unwrap();
    let suspect = text.lines().skip_while(|line| !line.starts_with("Top suspect")).nth(1).unwrap_or_default();
    assert!(suspect.contains(&format!("sleep: {culprit}, ")), "{text}");
    let subject = header(&mail, "Subject");
    assert!(subject.starts_with("[tracelab] slower than 300ms: 20 traces at 127.0.0.1:"), "{subject}");
    let link = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{}/trace/", sandbox.jaeger))).unwrap();
    for path in ["trace", "api/v3/traces"] {
        let answer = sandbox.client.get(format!("{}/{path}/{link}", sandbox.jaeger)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}/{link}");
    }
    // Another slow trace, and when it can be read a last one of the other service, which that rule has waited for: whoever sees the
    // last one has seen the slow one.
    for button in [culprit.number, (culprit.number + 1) % 3] {
        let answer = sandbox.press(button).await;
        sandbox.spans(answer["trace_id"].as_str().unwrap(), 5).await;
    }
    let mails = until_taken(&server, 2).await;
    assert!(header(&mails[1], "Subject").contains("marker: 21 of 21 traces"), "{mails:?}");
    assert_eq!(mails.len(), 2, "one mail a rule in a period: {mails:?}");
    drop(watching);
}

#[tokio::test]
async fn mail_goes_encrypted_and_after_a_login_where_that_is_asked() {
    for (tls, scheme, without) in
        [("starttls", "smtp", json!([])), ("always", "smtps", json!([])), ("starttls", "smtp", json!(["PLAIN"]))]
    {
        let settings = json!({"tls": tls, "login": ["me@example.com", PASSWORD], "without": without});
        let Some(server) = Smtp::start(settings) else { return };
        let backend = slow_backend().await;
        let (smtp, authority) = (server.url(scheme, "me%40example.com@"), server.authority());
        let flags = [&["--slower-than", "500ms", "--smtp", &smtp, "--smtp-ca", &authority][..], &FROM].concat();
        let output = once(&backend.query, &flags, &[("TRACELAB_SMTP_PASSWORD", PASSWORD)]).await;
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let mail = until_taken(&server, 1).await.remove(0);
        assert_eq!((&mail["tls"], &mail["user"]), (&json!(tls == "starttls"), &json!("me@example.com")), "{mail}");
        assert_eq!((&mail["sender"], &mail["to"]), (&json!("tracelab@example.com"), &json!(["you@example.com"])));
        assert_eq!((mail["hello"].as_str(), &mail["defects"]), (Some("[127.0.0.1]"), &json!([])), "{mail}");
        assert!(mail["text"].as_str().unwrap().contains("700 ms, shop GET /cart"), "{mail}");
    }
}

#[tokio::test]
async fn a_mail_server_that_cannot_be_used_as_it_is_set_up_is_an_error_that_says_why() {
    let login = json!(["me", PASSWORD]);
    let Some(starttls) = Smtp::start(json!({"tls": "starttls", "login": login})) else { return };
    let (open, encrypted) = (Smtp::start(json!({"login": login})).unwrap(), Smtp::start(json!({"tls": "always"})).unwrap());
    let authority = ["--smtp-ca", &starttls.authority()].map(str::to_owned);
    let user = starttls.url("smtp", "me@");
    let by_number = user.replace("localhost", "127.0.0.1");
    for (smtp, trusted, password, says) in [
        (&user, true, "wrong horse", "refuses the login of \"me\": 535"),
        (&user, false, PASSWORD, "certificate is not to be trusted (UnknownIssuer)"),
        (&by_number, true, PASSWORD, "certificate is not to be trusted (NotValidForName"),
        (&open.url("smtp", "me@"), false, PASSWORD, "no password is sent"),
        (&open.url("smtp", "me@").replace("smtp:", "smtps:"), false, PASSWORD, "is no TLS"),
        (&format!("{}?tls=required", open.url("smtp", "")), false, "", "?tls=required asks for"),
        (&encrypted.url("smtps", ""), false, "", "certificate is not to be trusted"),
    ] {
        let mut flags = vec!["--failed", "--smtp", smtp];
        flags.extend(FROM);
        if trusted {
            flags.extend(authority.iter().map(String::as_str));
        }
        let output = once("http://127.0.0.1:9", &flags, &[("TRACELAB_SMTP_PASSWORD", password)]).await;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{smtp}: {said}");
        assert!(said.contains(says) && !said.contains("horse"), "{smtp}: {said}");
    }
}

#[tokio::test]
async fn a_password_goes_over_an_open_line_only_where_that_is_said() {
    let Some(server) = Smtp::start(json!({"login": ["me", PASSWORD]})) else { return };
    let backend = slow_backend().await;
    let smtp = server.url("smtp", "me@");
    let flags = [&["--slower-than", "500ms", "--smtp-plain-login", "--smtp", &smtp][..], &FROM].concat();
    let output = once(&backend.query, &flags, &[("TRACELAB_SMTP_PASSWORD", PASSWORD)]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(until_taken(&server, 1).await[0]["user"], "me");
}

/// A port on which nobody speaks until the listener is dropped.
async fn silent_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_mail_server_that_is_away_gets_the_mail_when_it_comes() {
    if !smtp::is_there() {
        return;
    }
    let backend = slow_backend().await;
    let (listener, port) = silent_port().await;
    let hanging_up = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let smtp = format!("smtp://localhost:{port}");
    let watching = Watching::start(&backend.query, &[&["--slower-than", "500ms", "--smtp", &smtp][..], &FROM].concat(), "");
    watching.until_said("mail waits and is tried again").await;
    hanging_up.abort();
    let _ = hanging_up.await;
    let server = Smtp::start(json!({"port": port})).unwrap();
    let mails = until_taken(&server, 1).await;
    watching.until_said("can be used again; 1 mail sent").await;
    assert_eq!(watching.said().matches("mail waits").count(), 1, "it is said once: {}", watching.said());
    assert_eq!(mails.len(), 1);
}

#[tokio::test]
async fn what_is_queued_at_the_end_is_tried_once_more_and_then_said() {
    let backend = slow_backend().await;
    let (listener, port) = silent_port().await;
    drop(listener);
    let smtp = format!("smtp://127.0.0.1:{port}");
    let mut watching = Watching::start(&backend.query, &[&["--slower-than", "500ms", "--smtp", &smtp][..], &FROM].concat(), "");
    watching.until_said("mail: [tracelab] slower").await;
    let status = watching.interrupt();
    assert_eq!(status.code(), Some(3), "{}", watching.said());
    watching.until_said(&format!("error: 1 mail not sent: 127.0.0.1:{port}")).await;
}

#[tokio::test]
async fn who_is_refused_is_said_and_dropped_and_keeps_nobody_else_from_the_mail() {
    let Some(server) = Smtp::start(json!({"refuses": ["gone@example.com"]})) else { return };
    let backend = slow_backend().await;
    let smtp = server.url("smtp", "");
    let from = ["--mail-from", "tracelab@example.com", "--mail-to", "gone@example.com", "--mail-to", "you@example.com"];
    let mut watching = Watching::start(&backend.query, &[&["--slower-than", "500ms", "--smtp", &smtp][..], &from].concat(), "");
    let mails = until_taken(&server, 1).await;
    assert_eq!((mails.len(), &mails[0]["to"]), (1, &json!(["you@example.com"])));
    assert_eq!(header(&mails[0], "To"), "gone@example.com, you@example.com");
    watching.until_said("550 5.1.1 no such user here; what was for gone@example.com is dropped").await;
    assert_eq!(watching.interrupt().code(), Some(0), "nothing is left to be sent: {}", watching.said());
    assert_eq!(watching.said().matches("no such user").count(), 1, "{}", watching.said());
}

#[tokio::test]
async fn who_is_told_to_come_again_does() {
    let Some(server) = Smtp::start(json!({"busy": ["busy@example.com", "soon@example.com"], "times": {"soon@example.com": 3}}))
    else {
        return;
    };
    let backend = slow_backend().await;
    let smtp = server.url("smtp", "");
    let to = ["busy@example.com", "soon@example.com", "you@example.com"].map(|to| ["--mail-to", to]).concat();
    let from = ["--slower-than", "500ms", "--smtp", &smtp, "--mail-from", "tracelab@example.com"];
    let mut watching = Watching::start(&backend.query, &[&from[..], &to].concat(), "");
    let mails = until_taken(&server, 2).await;
    assert_eq!(mails[0]["to"], json!(["you@example.com"]), "who is busy keeps nobody else from it: {mails:?}");
    assert_eq!(mails[1]["to"], json!(["soon@example.com"]), "{mails:?}");
    assert_eq!(header(&mails[0], "Message-ID"), header(&mails[1], "Message-ID"));
    watching.until_said("has taken what waited for soon@example.com").await;
    assert_eq!(watching.interrupt().code(), Some(3), "{}", watching.said());
    watching.until_said("error: 1 mail not sent").await;
    let said = "451 4.3.0 try again later; what is for busy@example.com waits and is tried again";
    assert_eq!(watching.said().matches(said).count(), 1, "it is said once: {}", watching.said());
}

#[tokio::test]
async fn mail_that_no_recipient_may_get_is_kept_or_said_and_is_no_success() {
    let Some(login) = Smtp::start(json!({"login": ["me", PASSWORD]})) else { return };
    let refusing = Smtp::start(json!({"refuses": ["you@example.com"]})).unwrap();
    let backend = slow_backend().await;
    for (server, says) in [
        (
            &login,
            "530 5.7.0 Authentication required; name a user, as in smtp://user@host, and set TRACELAB_SMTP_PASSWORD; mail waits",
        ),
        (&refusing, "no such user here; what was for you@example.com is dropped"),
    ] {
        let smtp = server.url("smtp", "");
        let output = once(&backend.query, &[&["--slower-than", "500ms", "--smtp", &smtp][..], &FROM].concat(), &[]).await;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(says) && said.contains("error: 1 mail not sent"), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_taken_where_nothing_would_be_encrypted_otherwise() {
    let Some(server) = Smtp::start(json!({"tls": "starttls"})) else { return };
    let backend = slow_backend().await;
    let smtp = server.url("smtp", "");
    let flags = [&["--slower-than", "500ms", "--smtp", &smtp][..], &FROM].concat();
    let output = once(&backend.query, &flags, &[]).await;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(until_taken(&server, 1).await[0]["tls"], true);
    assert_eq!(said.matches("not to be trusted (UnknownIssuer); --smtp-ca FILE").count(), 1, "it is said once: {said}");
    let required = format!("{smtp}?tls=required");
    let output = once(&backend.query, &[&["--failed", "--smtp", &required][..], &FROM].concat(), &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--smtp-ca FILE"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_mail_server_that_says_nothing_keeps_nobody_from_ending() {
    let (listener, port) = silent_port().await;
    let smtp = format!("smtp://127.0.0.1:{port}");
    let mut watching = Watching::start("http://127.0.0.1:9", &[&["--failed", "--smtp", &smtp][..], &FROM].concat(), "");
    let (_silent, _) = listener.accept().await.unwrap();
    let start = Instant::now();
    assert_eq!(watching.interrupt().code(), Some(0), "{}", watching.said());
    assert!(start.elapsed().as_secs() < 3, "{:?}", start.elapsed());
    assert!(!watching.said().contains("can be used again"), "{}", watching.said());
}

#[tokio::test]
async fn no_name_of_a_span_injects_a_header_a_recipient_or_an_end() {
    const HOSTILE: &str = "x\r\nBcc: thief@example.com\r\nSubject: other\r\n\r\n.\r\nMAIL FROM:<thief@example.com>\r\n\u{202e}ö";
    let Some(server) = Smtp::start(json!({})) else { return };
    let backend = Backend::start().await;
    trace(&backend, 1, HOSTILE, HOSTILE, 700, true).await;
    let (smtp, name) = (server.url("smtp", ""), HOSTILE.escape_debug());
    let rule = format!("[[watch.rules]]\nname = \"{}\"\nfailed = true", name.to_string().replace("\\u{202e}", "\\u202e"));
    let _watching = Watching::start(&backend.query, &[&["--smtp", &smtp][..], &FROM].concat(), &rule);
    let mails = until_taken(&server, 1).await;
    let mail = &mails[0];
    assert_eq!((mails.len(), &mail["to"], &mail["defects"]), (1, &json!(["you@example.com"]), &json!([])), "{mail}");
    let subject = header(mail, "Subject");
    assert!(subject.starts_with("[tracelab] x\u{fffd}\u{fffd}Bcc: thief") && subject.contains('ö'), "{subject}");
    let names: Vec<_> = mail["headers"].as_array().unwrap().iter().map(|header| header[0].as_str().unwrap()).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains("ö") && text.lines().all(|line| !line.starts_with("Bcc") && line != "."), "{text}");
}

#[tokio::test]
async fn a_jaeger_that_is_away_is_said_once_and_asked_again() {
    let (listener, port) = silent_port().await;
    let hanging_up = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let watching = Watching::start(&format!("http://127.0.0.1:{port}"), &["--failed"], "");
    watching.until_said("it is asked again every 50ms").await;
    hanging_up.abort();
    let _ = hanging_up.await;
    let backend = Backend::start().await;
    trace(&backend, 1, "shop", "GET /cart", 1, true).await;
    // Somebody comes up on that port who passes everything on.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let to = backend.query.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut other = tokio::net::TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut other).await });
        }
    });
    watching.until_said("answers again").await;
    until(|| watching.printed().contains("1 trace failed."), || watching.said()).await;
    assert_eq!(watching.said().matches("is asked again").count(), 1, "{}", watching.said());
}

/// As one that keeps traces in memory: it searches only by service.
#[tokio::test]
async fn a_jaeger_of_many_services_is_asked_for_those_where_traces_begin() {
    let names: Vec<_> = (0..40).map(|number| format!("leaf-{number}")).chain(["front".to_owned()]).collect();
    let start = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap() - 1_000_000;
    let jaeger = Fake::start(move |path: String| {
        let answer = match parameter(&path, "service") {
            _ if path.starts_with("/api/v3") => Reply::not_found(),
            None => Reply::json(&json!({ "data": names }).to_string()),
            Some(service) => Reply::json(&answer(&service.replace("%2D", "-"), start).to_string()),
        };
        std::future::ready(answer)
    })
    .await;
    let _watching = Watching::start(&jaeger.url, &["--slower-than", "1h"], "");
    let searches = |service: &str| {
        let asked = jaeger.asked();
        asked.iter().filter(|path| parameter(path, "service").is_some_and(|found| found.replace("%2D", "-") == service)).count()
    };
    until(|| searches("front") > 4, || format!("{:?}", jaeger.asked())).await;
    assert_eq!(searches("leaf-7"), 1, "once, to find out where traces begin");
}

/// A trace of a service, below one span of the service `front`.
fn answer(service: &str, start: u64) -> Value {
    let id = format!("{:032x}", service.len() * 100 + usize::from(*service.as_bytes().last().unwrap()));
    let span = |number: u32, process: &str, parent: Value| {
        json!({
            "traceID": id, "spanID": format!("{number:016x}"), "operationName": "GET /", "references": parent, "startTime": start,
            "duration": 1_000, "tags": [], "logs": [], "processID": process, "warnings": null,
        })
    };
    let parent = json!([{"refType": "CHILD_OF", "traceID": id, "spanID": format!("{:016x}", 1)}]);
    let spans = [span(1, "p1", json!([])), span(2, "p2", parent)];
    let processes = json!({"p1": {"serviceName": "front", "tags": []}, "p2": {"serviceName": service, "tags": []}});
    json!({ "data": [{"traceID": id, "spans": spans, "processes": processes}], "errors": null })
}

#[tokio::test]
async fn one_look_tells_by_its_exit_code_whether_a_rule_is_met() {
    let backend = slow_backend().await;
    for (flags, code, says) in [
        (&["--slower-than", "500ms"][..], 1, "1 trace was slower than 500ms."),
        (&["--slower-than", "800ms", "--failed"], 0, "nothing to report: 1 trace of the last 5m, 2 rules"),
        (&["--slower-than", "500ms", "--share", "5%"], 0, "nothing to report"),
        (
            &["--slower-than", "500ms", "--share", "5%", "--min-traces", "1"],
            1,
            "1 of 1 trace (100 %) were slower than 500ms in the last 10m",
        ),
        (&["--slower-than", "500ms", "--service", "shop"], 1, "in shop"),
        (&["--slower-than", "500ms", "--service", "cart"], 0, "nothing to report"),
    ] {
        let output = once(&backend.query, flags, &[]).await;
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {}", stderr(&output));
        assert!(stdout(&output).contains(says), "{flags:?}: {}", stdout(&output));
    }
    let output = once(&backend.query, &["--failed", "--service", "card"], &[]).await;
    assert!(stderr(&output).contains("knows no service \"card\""), "{}", stderr(&output));
    let output = once("http://127.0.0.1:9", &["--failed"], &[]).await;
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[tokio::test]
async fn a_pod_that_starts_slowly_is_no_news_unless_asked_for() {
    let backend = Backend::start().await;
    trace(&backend, 1, "kubelet", "syncPod", 9_000, true).await;
    for (flags, code, says) in [
        (&["--slower-than", "500ms", "--failed"][..], 0, "nothing to report: 0 traces of the last 5m, 2 rules"),
        (&["--slower-than", "500ms", "--service", "kubelet"], 1, "in kubelet"),
    ] {
        let output = once(&backend.query, flags, &[]).await;
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {}", stderr(&output));
        assert!(stdout(&output).contains(says), "{flags:?}: {}", stdout(&output));
    }
    // What is asked of another service does not let it in by the rule for all.
    let rules =
        ("TRACELAB_WATCH__RULES", r#"[{name="slow", slower_than="500ms"}, {name="page", service="frontend", failed=true}]"#);
    let output = once(&backend.query, &[], &[rules]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[tokio::test]
async fn a_program_gets_what_was_found_as_one_line_of_json() {
    let backend = slow_backend().await;
    trace(&backend, 2, "shop", "GET /", 1, true).await;
    let flags = ["--json", "--slower-than", "500ms", "--failed", "--jaeger-links", "http://jaeger.example.com/ui/"];
    let output = once(&backend.query, &flags, &[]).await;
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let link = |id: u32| json!(format!("http://jaeger.example.com/ui/trace/{id:032x}"));
    assert_eq!(json["traces"], 2);
    let [slow, failed] = [0, 1].map(|at| &json["findings"][at]);
    assert_eq!((&slow["rule"], &slow["count"], &slow["traces"][0]["link"]), (&json!("slower than 500ms"), &json!(1), &link(1)));
    assert_eq!((&failed["rule"], &failed["traces"][0]["failed_in"]), (&json!("failed"), &json!(["shop"])));
}

#[tokio::test]
async fn a_dry_run_prints_the_mail_and_sends_none() {
    let backend = slow_backend().await;
    let (_listener, port) = silent_port().await;
    let smtp = format!("smtp://127.0.0.1:{port}");
    let output = once(&backend.query, &[&["--slower-than", "500ms", "--dry-run", "--smtp", &smtp][..], &FROM].concat(), &[]).await;
    let printed = stdout(&output);
    assert!(
        printed.starts_with("From: Tracelab <tracelab@example.com>\nTo: you@example.com\nSubject: [tracelab] slower"),
        "{printed}"
    );
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[tokio::test]
async fn every_setting_is_a_variable_and_one_that_makes_no_sense_is_named() {
    let backend = slow_backend().await;
    let variables =
        [("TRACELAB_JAEGER", backend.query.as_str()), ("TRACELAB_WATCH__SLOWER_THAN", "500ms"), ("TRACELAB_WATCH__FAILED", "true")];
    let output = watch(&["--once"], &variables).await;
    assert!(stdout(&output).contains("slower than 500ms"), "{}", stderr(&output));
    let rules = ("TRACELAB_WATCH__RULES", r#"[{name="late", slower_than="600ms"}]"#);
    let output = once(&backend.query, &[], &[rules, ("TRACELAB_WATCH__MIN_TRACES", "3")]).await;
    assert!(stdout(&output).contains("[tracelab] late: 1 trace"), "{} {}", stdout(&output), stderr(&output));
    for (variable, value, says) in [
        ("TRACELAB_WATCH__SLOWER_THAN", "500", "it should look like 500ms"),
        ("TRACELAB_WATCH__SHARE", "5", "it should look like 5%"),
        ("TRACELAB_WATCH__SLOWER_THEN", "5s", "slower_then"),
        ("TRACELAB_WATCH__RULES", r#"[{name="a"}]"#, "\"a\" looks for nothing"),
        ("TRACELAB_WATCH__RULES", r#"[{name="a", failled=true}]"#, "failled"),
        ("TRACELAB_MAIL_TO", "nobody", "mail_to is \"nobody\""),
        ("TRACELAB_MAIL_TO", "you@example.com,b@example.com", "add --smtp"),
        ("TRACELAB_SMTP", "smtp://here", "both --mail-from and --mail-to"),
        ("TRACELAB_SMTP", "here:25", "it should look like smtp://"),
        ("TRACELAB_WATCH__INTERVAL", "1ms", "50ms or more"),
    ] {
        let output = once("http://127.0.0.1:9", &["--failed"], &[(variable, value)]).await;
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{variable}: {said}");
        assert!(said.contains(says), "{variable}={value}: {said}");
    }
    let output = once("http://127.0.0.1:9", &[], &[]).await;
    assert!(stderr(&output).contains("nothing to watch for"), "{}", stderr(&output));
}
