//! What others put around a line on its way: Compose its container, kubectl its pod, a container runtime time and stream.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::clock;

/// Docker cuts lines into pieces of so many bytes. What is shorter ends its line, even where that has no line feed.
pub(super) const DOCKER_PIECE: usize = 16 << 10;

/// Containers that are what their pod is for, whatever that is called; any other one beside it is a sidecar.
const OWN: [&str; 2] = ["service", "nginx"];

/// A line without what was around it, and what that said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Opened<'a> {
    pub body: Cow<'a, str>,
    /// When it was written, or went through.
    pub time: Option<Timestamp>,
    /// The service that the container or pod is named after.
    pub service: Option<String>,
    /// Container or pod.
    pub source: Option<String>,
    /// The stream of a container runtime's own files, in which a long line comes in pieces.
    pub piece: Option<Piece>,
}

/// A part of a line, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub stream: String,
    /// The line ends here.
    pub last: bool,
}

/// A line of Docker's json-file driver. With other keys it is somebody's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonFile<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default, rename = "attrs")]
    _attributes: IgnoredAny,
}

/// Opens whatever is around a line, none or several of them.
pub(super) fn open(line: &str) -> Opened<'_> {
    let mut opened = Opened { body: colourless(line), ..Opened::default() };
    opened.prefix();
    if opened.json_file() {
        opened.prefix();
    }
    opened
}

/// Whether a line begins as those that Compose and kubectl print for containers.
pub(super) fn is_prefixed(line: &str) -> bool {
    let line = colourless(line);
    pod(&line).is_some() || container(&line).is_some()
}

/// Whether a line is a piece of one, with more of it to come; quick.
pub(super) fn goes_on(line: &[u8]) -> bool {
    const END: &[u8] = br#"\n","stream":"#;
    if line.starts_with(br#"{"log":""#) {
        return line.len() > DOCKER_PIECE && memchr::memmem::find(line, END).is_none();
    }
    let head = &line[..line.len().min(64)];
    line.first().is_some_and(u8::is_ascii_digit)
        && [&b" stdout P"[..], b" stderr P"].iter().any(|tag| memchr::memmem::find(head, tag).is_some())
}

impl Opened<'_> {
    fn prefix(&mut self) {
        let (mut at, body) = (0, &*self.body);
        if let Some((name, container, rest)) = pod(body) {
            self.source = Some(format!("{name}/{container}"));
            let owner = workload(name);
            let is_sidecar = !owner.starts_with(container) && !OWN.contains(&container);
            self.service = Some(if is_sidecar { format!("{owner}/{container}") } else { owner.to_owned() });
            at = body.len() - rest.len();
        } else if let Some((name, rest)) = container(body) {
            self.source = Some(name.to_owned());
            self.service = Some(instance(name).map_or(name, |(service, _)| service).to_owned());
            at = body.len() - rest.len();
        }
        if let Some((time, rest)) = time(&body[at..]) {
            self.time = Some(time);
            at = body.len() - rest.len();
        }
        if let Some((piece, rest)) = self.time.and_then(|_| cri(&body[at..])) {
            self.piece = Some(piece);
            at = body.len() - rest.len();
        }
        if at > 0 {
            self.body = Cow::Owned(body[at..].to_owned());
        }
    }

    fn json_file(&mut self) -> bool {
        if !self.body.starts_with('{') {
            return false;
        }
        let Ok(JsonFile { log, stream, time, .. }) = serde_json::from_str(&self.body) else { return false };
        if !is_stream(&stream) {
            return false;
        }
        let last = log.ends_with('\n') || log.len() < DOCKER_PIECE;
        let body = log.strip_suffix('\n').unwrap_or(&log).trim_end_matches('\r').to_owned();
        self.piece = Some(Piece { stream: stream.into_owned(), last });
        self.time = clock::text(&time).or(self.time);
        self.body = colourless(&body).into_owned().into();
        true
    }
}

/// Without colours, which some keep even in files.
fn colourless(line: &str) -> Cow<'_, str> {
    if line.contains('\u{1b}') { anstream::adapter::strip_str(line).to_string().into() } else { line.into() }
}

/// `[pod/NAME/CONTAINER] rest`, as `kubectl logs --prefix` has it.
fn pod(line: &str) -> Option<(&str, &str, &str)> {
    let (inside, rest) = line.strip_prefix("[pod/")?.split_once(']')?;
    let (pod, container) = inside.split_once('/')?;
    (is_name(pod) && is_name(container)).then(|| (pod, container, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// `NAME-1  | rest`, as Compose has it. A bar is common in other lines too: without the number of the container there must be
/// something of ours behind it.
fn container(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once('|')?;
    let (name, rest) = (name.trim_end(), rest.strip_prefix(' ').unwrap_or(rest));
    let likely = instance(name).is_some() || rest.starts_with('{') || time(rest).is_some();
    (is_name(name) && likely).then_some((name, rest))
}

fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 253 && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(inside)
}

/// Service and number of a container that Compose named.
fn instance(name: &str) -> Option<(&str, &str)> {
    let (service, number) = name.rsplit_once(['-', '_'])?;
    if is_dummy(name) {
        // A container with a name of its own: these numbers are the service's.
        return Some((name, ""));
    }
    (!service.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some((service, number))
}

/// Whether it ends as the sandbox calls its services, `dummy-1-17`.
fn is_dummy(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = name.rsplit('-');
    let numbers = parts.by_ref().take(2).filter(|part| is_number(part)).count();
    numbers == 2 && parts.next().is_some_and(|word| word.ends_with("dummy"))
}

/// What a pod is named after: its name less what a ReplicaSet and a Deployment append.
fn workload(pod: &str) -> &str {
    let random = |text: &str| text.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    let Some((rest, _)) = pod.rsplit_once('-').filter(|(_, end)| end.len() == 5 && random(end)) else { return pod };
    match rest.rsplit_once('-') {
        Some((owner, hash)) if (6..=10).contains(&hash.len()) && random(hash) => owner,
        _ => rest,
    }
}

/// A time at the beginning, alone in its word.
fn time(text: &str) -> Option<(Timestamp, &str)> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    // Others have a space inside, and are the line's own.
    word.contains('T').then(|| clock::text(word)).flatten().map(|time| (time, rest))
}

/// `stdout F rest`, as container runtimes write it (CRI).
fn cri(text: &str) -> Option<(Piece, &str)> {
    let mut words = text.splitn(3, ' ');
    let (stream, tags, rest) = (words.next()?, words.next()?, words.next().unwrap_or_default());
    let last = match tags.split(':').next()? {
        "F" => true,
        "P" => false,
        _ => return None,
    };
    is_stream(stream).then(|| (Piece { stream: stream.to_owned(), last }, rest))
}

/// There are these two, or else somebody could have pieces kept of as many as he likes.
fn is_stream(name: &str) -> bool {
    matches!(name, "stdout" | "stderr")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-01T12:00:00.123456789Z";

    fn check(line: &str, service: Option<&str>, source: Option<&str>, timed: bool, body: &str) {
        let opened = open(line);
        assert_eq!((opened.service.as_deref(), opened.source.as_deref()), (service, source), "{line}");
        assert_eq!((opened.time.is_some(), &*opened.body), (timed, body), "{line}");
    }

    #[test]
    fn compose_and_kubectl_say_who_wrote_a_line() {
        check("dummy-1-17-1  | {}", Some("dummy-1-17"), Some("dummy-1-17-1"), false, "{}");
        check("\u{1b}[36mdummy-1-17-1  |\u{1b}[0m {}", Some("dummy-1-17"), Some("dummy-1-17-1"), false, "{}");
        check(&format!("edge-1 | {TIME} GET / | 200"), Some("edge"), Some("edge-1"), true, "GET / | 200");
        check("mine | {}", Some("mine"), Some("mine"), false, "{}");
        check("x-dummy-1-17 | {}", Some("x-dummy-1-17"), Some("x-dummy-1-17"), false, "{}");
        check("x-dummy-1-17-2 | {}", Some("x-dummy-1-17"), Some("x-dummy-1-17-2"), false, "{}");
        let pod = "dummy-1-17-6f8d9c7b54-x2x4z";
        check(&format!("[pod/{pod}/dummy-1-17] {{}}"), Some("dummy-1-17"), Some(&format!("{pod}/dummy-1-17")), false, "{}");
        check(&format!("[pod/{pod}/service] x"), Some("dummy-1-17"), Some(&format!("{pod}/service")), false, "x");
        let edge = "edge-7d9b998965-x55xz";
        check(&format!("[pod/{edge}/nginx] GET /"), Some("edge"), Some(&format!("{edge}/nginx")), false, "GET /");
        check(
            &format!("[pod/{pod}/istio-proxy] {TIME} GET /"),
            Some("dummy-1-17/istio-proxy"),
            Some(&format!("{pod}/istio-proxy")),
            true,
            "GET /",
        );
        check("[pod/redis-0/redis] x", Some("redis-0"), Some("redis-0/redis"), false, "x");
    }

    #[test]
    fn a_bar_or_bracket_alone_is_no_prefix() {
        for line in ["GET | POST", "a b-1 | x", "| x", "-1 | x", "é-1 | x", "[pod/] x", "[pod/a b/c] x", "[error] x", ""] {
            check(line, None, None, false, line);
        }
    }

    #[test]
    fn files_of_container_runtimes_say_when_and_whether_a_line_ends() {
        let opened = open(r#"{"log":"{\"a\":1}\r\n","stream":"stderr","time":"2026-11-01T12:00:00.123456789Z"}"#);
        assert_eq!((&*opened.body, opened.time.is_some()), (r#"{"a":1}"#, true));
        assert_eq!(opened.piece, Some(Piece { stream: "stderr".into(), last: true }));
        let line = format!("{TIME} stdout P half of it");
        let opened = open(&line);
        assert_eq!((&*opened.body, opened.piece), ("half of it", Some(Piece { stream: "stdout".into(), last: false })));
        let long = format!(r#"{{"log":"{}","stream":"stdout","time":""}}"#, "x".repeat(DOCKER_PIECE));
        assert!(!open(&long).piece.unwrap().last);
        for (line, more) in [
            (line.as_str(), true),
            ("2026-11-01T12:00:00Z stdout F all of it", false),
            (&long, true),
            (r#"{"log":"short","stream":"stdout","time":""}"#, false),
            (r#"{"log":"all\n","stream":"stdout","time":""}"#, false),
            ("", false),
        ] {
            assert_eq!(goes_on(line.as_bytes()), more, "{line}");
        }
        let short = open(r#"{"log":"no line feed","stream":"stdout","attrs":{"tag":"x"},"time":""}"#);
        assert_eq!((&*short.body, short.piece.map(|piece| piece.last)), ("no line feed", Some(true)));
        let own = r#"{"log":"mine","stream":"stdout","time":"","trace_id":"x"}"#;
        assert_eq!(&*open(own).body, own);
    }
}
