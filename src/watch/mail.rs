//! What a finding says: as a mail, and as the same text on a terminal.
//!
//! Names of services and operations come from whoever made the spans. Here they lose what could move a cursor or begin a new line;
//! header lines are encoded by `lettre`.

use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::{Address, Message};
use serde_json::{Value, json};

use super::observation::{Example, Finding};
use super::rule::What;
use super::settings::Time;
use crate::diagnose::report::words;
use crate::diagnose::{Diagnosis, Suspect, Traces, figures};
use crate::harmless::harmless;

/// So many traces are shown.
const SHOWN: usize = 10;
/// So many reasons for a suspect are given; `tracelab diagnose` has the others.
const REASONS: usize = 3;
/// Characters of a name; some systems put whole statements there.
const LONGEST_NAME: usize = 120;

/// What a mail says beside the finding.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Base URL of the query API, for whoever wants to ask it.
    pub jaeger: String,
    /// Base URL of links, without a slash at its end.
    pub links: String,
    /// One mail in this time.
    pub period: Time,
    /// How far a look goes back.
    pub lookback: Duration,
}

impl Setting {
    /// How far back a suspect is looked for: every trace that the finding may be about, those too that waited for the period to end.
    pub fn diagnosed(&self, finding: &Finding) -> Duration {
        finding.rule.window.max(self.lookback).max(finding.back)
    }
}

/// What the diagnosis says of the traces of the rule's window.
#[derive(Clone, Debug)]
pub enum Suspicion {
    /// The suspect, whether it has to do with the examples, and how many traces were looked at.
    Suspect { suspect: Box<Suspect>, concerned: bool, traces: usize },
    /// Nothing stands out among so many traces.
    Nothing(usize),
    /// The traces could not be read, for this reason.
    Unread(String),
}

impl Suspicion {
    /// Of the suspects the best one that has to do with the examples; where none has, the best of all.
    pub fn of(diagnosis: Diagnosis, traces: &Traces, examples: &[Example]) -> Self {
        let concerned = |suspect: &Suspect| {
            let ids = suspect.charged.iter().map(|charge| traces.id(charge.trace as usize));
            ids.into_iter().any(|id| examples.iter().any(|example| example.id == id))
        };
        let place = diagnosis.suspects.iter().position(concerned);
        match diagnosis.suspects.into_iter().nth(place.unwrap_or_default()) {
            Some(suspect) => Self::Suspect { suspect: Box::new(suspect), concerned: place.is_some(), traces: traces.len() },
            None => Self::Nothing(traces.len()),
        }
    }
}

/// A mail without its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    pub text: String,
}

impl Mail {
    pub fn new(finding: &Finding, suspicion: &Suspicion, setting: &Setting) -> Self {
        let subject = format!("[tracelab] {}: {} at {}", finding.rule.name, counted(finding), place(&setting.jaeger));
        Self { subject: plain(&subject), text: text(finding, suspicion, setting) }
    }

    /// As it is sent, dated `now`.
    ///
    /// # Errors
    /// A header could not be written, which would be a defect.
    pub fn message(&self, from: &Mailbox, to: &[Mailbox], now: Timestamp) -> anyhow::Result<Vec<u8>> {
        let mut builder = Message::builder().from(from.clone()).subject(self.subject.clone()).date(now.into());
        for mailbox in to {
            builder = builder.to(mailbox.clone());
        }
        let id = format!("<{:032x}@{}>", rand::random::<u128>(), from.email.domain());
        // Nobody's out-of-office answer is wanted (RFC 3834).
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let builder = builder.message_id(Some(id)).raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
        Ok(builder.singlepart(SinglePart::plain(self.text.clone())).context("cannot write the mail")?.formatted())
    }
}

/// The trace's page.
pub fn link(links: &str, example: &Example) -> String {
    format!("{links}/trace/{}", example.trace_id)
}

/// For programs; times in milliseconds.
pub fn json(finding: &Finding, links: &str) -> Value {
    let traces = finding.examples.iter().take(SHOWN).map(|example| {
        json!({
            "trace_id": example.trace_id,
            "duration_ms": milliseconds(example),
            "failed": example.seen.failed,
            "service": example.service,
            "operation": example.operation,
            "failed_in": example.failed_in,
            "link": link(links, example),
        })
    });
    let mut json = json!({ "rule": finding.rule.name, "count": finding.count, "traces": traces.collect::<Vec<_>>() });
    if let Some(of) = finding.of {
        json["of"] = of.into();
    }
    json
}

/// The same of a suspect, with the names that `diagnose --json` uses.
pub fn suspect_json(suspicion: &Suspicion) -> Value {
    let Suspicion::Suspect { suspect, .. } = suspicion else { return Value::Null };
    let Suspect { cause, service, callee, attribute, confidence, effect, .. } = suspect.as_ref();
    let mut json = json!({ "cause": cause, "confidence": confidence, "effect": effect });
    for (key, value) in [("service", service), ("callee", callee)] {
        if let Some(value) = value {
            json[key] = value.clone().into();
        }
    }
    if let Some(attribute) = attribute {
        json["attribute"] = json!(attribute);
    }
    json
}

/// "3 traces", "12 of 80 traces (15 %)".
fn counted(finding: &Finding) -> String {
    match finding.of {
        None => figures::counted(finding.count, "trace"),
        Some(of) => {
            let share = figures::share(finding.count as f64 / of.max(1) as f64);
            format!("{} of {} ({share})", figures::thousands(finding.count), figures::counted(of, "trace"))
        }
    }
}

fn text(finding: &Finding, suspicion: &Suspicion, setting: &Setting) -> String {
    let rule = &finding.rule;
    let verb = match rule.what {
        What::SlowerThan(time) => format!("slower than {}", Time(time)),
        What::Failed => "failed".to_owned(),
    };
    let verb = match (rule.what, finding.count) {
        (What::Failed, _) => verb,
        (_, 1) if finding.of.is_none() => format!("was {verb}"),
        _ => format!("were {verb}"),
    };
    let place = rule.service.as_ref().map(|service| format!(" in {}", plain(service))).unwrap_or_default();
    let window = match (finding.of, rule.share) {
        (Some(_), Some(share)) => {
            format!(" in the last {}; the rule allows {}", Time(rule.window), figures::share(share))
        }
        _ => String::new(),
    };
    let mut lines = vec![format!("{} {verb}{place}{window}.", counted(finding)), String::new()];
    let shown = finding.examples.len().min(SHOWN);
    if shown > 0 {
        let which = if matches!(rule.what, What::Failed) { "latest" } else { "slowest" };
        let all = shown as u64 == finding.count;
        lines.push(if all { "Which:".to_owned() } else { format!("The {which} {shown}:") });
        for example in &finding.examples[..shown] {
            lines.extend(shown_example(example, rule.service.as_deref(), setting));
        }
        lines.push(String::new());
    }
    let diagnosed = Time(setting.diagnosed(finding));
    lines.extend(suspected(suspicion, diagnosed));
    lines.push(String::new());
    let (jaeger, service) = (&setting.jaeger, rule.service.as_deref().map(argument).unwrap_or_default());
    lines.push(format!(
        "More: tracelab diagnose --jaeger {jaeger}{service} --lookback {} --end {}",
        compact(diagnosed),
        clock(finding.at)
    ));
    lines.push(format!(
        "This is tracelab's rule {:?}; it sends one mail in {} at most, and the next one counts what came in between.",
        plain(&rule.name),
        setting.period
    ));
    lines.join("\n") + "\n"
}

fn shown_example(example: &Example, service: Option<&str>, setting: &Setting) -> [String; 2] {
    let place = service.map(|service| format!(" in {}", plain(service))).unwrap_or_default();
    let failed = match (example.failed_in.as_slice(), example.seen.failed) {
        ([], true) => ", failed".to_owned(),
        ([], false) => String::new(),
        (services, _) => format!(", failed in {}", services.iter().map(|service| plain(service)).collect::<Vec<_>>().join(", ")),
    };
    let [root, operation] = [&example.service, &example.operation].map(|name| plain(name));
    let time = clock(example.start);
    [
        format!("- {}{place}, {root} {operation}, at {time}{failed}", figures::duration(milliseconds(example))),
        format!("  {}", link(&setting.links, example)),
    ]
}

fn suspected(suspicion: &Suspicion, window: Time) -> Vec<String> {
    let from = |traces: usize| format!("{} of the last {window}", figures::counted(traces as u64, "trace"));
    let (suspect, concerned, traces) = match suspicion {
        Suspicion::Suspect { suspect, concerned, traces } => (suspect, *concerned, *traces),
        Suspicion::Nothing(traces) => return vec![format!("Nothing stands out among the {}.", from(*traces))],
        Suspicion::Unread(reason) => {
            return vec![format!("The traces of the last {window} could not be diagnosed: {}", plain(reason))];
        }
    };
    let mut lines = vec![
        if concerned {
            format!("Top suspect, from {}:", from(traces))
        } else {
            format!("Nothing explains just these. Top suspect of all {}:", from(traces))
        },
        format!("  {}: {}, {} % sure", words::cause(suspect.cause), plain(&words::place(suspect)), words::sure(suspect)),
        format!("  {}", words::meaning(suspect.cause)),
    ];
    let changes = words::changes(&suspect.effect);
    if !changes.is_empty() {
        let changes: Vec<_> = changes.iter().map(|(what, now, fixed)| format!("{what} {now} → {fixed}")).collect();
        lines.push(format!("  if fixed: {}", changes.join(", ")));
    }
    lines.extend(suspect.evidence.iter().take(REASONS).map(|reason| format!("  - {}", harmless(reason))));
    lines
}

/// `10m` and `1h30m`: one word of a command line.
fn compact(time: Time) -> String {
    time.to_string().replace(' ', "")
}

/// ` --service NAME`, where a shell takes the name as it is.
fn argument(service: &str) -> String {
    let is_plain = service.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte));
    if is_plain && !service.starts_with('-') { format!(" --service {service}") } else { String::new() }
}

/// Host and port, without what else a URL may hold.
fn place(url: &str) -> String {
    let url = url.split_once("://").map_or(url, |(_, rest)| rest);
    url.trim_end_matches('/').to_owned()
}

fn plain(name: &str) -> String {
    let name = harmless(name);
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

fn clock(nanoseconds: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default();
    format!("{time:.0}")
}

fn milliseconds(example: &Example) -> f64 {
    example.seen.duration as f64 / 1e6
}

/// Names who shall get a mail.
pub fn recipients(to: &[Mailbox]) -> Vec<Address> {
    to.iter().map(|mailbox| mailbox.email.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Attribute, Charge, Effect, SuspectCause};
    use crate::watch::example::{NOW, Request, traces_of};
    use crate::watch::observation::Observation;
    use crate::watch::rule::Rule;

    /// What a span might be called to send another mail than this one.
    const HOSTILE: &str = "cart\r\nBcc: thief@example.com\r\n\r\n.\r\nQUIT\u{1b}[31m\u{202e}";

    fn rule(name: &str) -> Rule {
        let what = What::SlowerThan(Duration::from_millis(500));
        Rule { name: name.to_owned(), what, share: None, window: Duration::from_secs(600), min_traces: 2, service: None }
    }

    fn found(rule: Rule, requests: &[Request], shop: &str) -> Finding {
        let mut observation = Observation::new(vec![rule], Duration::from_secs(900), Duration::from_secs(300));
        observation.look(&traces_of(requests, shop, shop), NOW).remove(0)
    }

    fn setting() -> Setting {
        let url = |port| format!("http://127.0.0.1:{port}");
        Setting { jaeger: url(16686), links: url(8000), period: Time(Duration::from_secs(900)), lookback: Duration::from_secs(300) }
    }

    fn suspect(service: &str) -> Suspicion {
        let suspect = Suspect {
            cause: SuspectCause::Customer,
            service: Some(service.to_owned()),
            callee: None,
            attribute: Some(Attribute { key: "customer.id".to_owned(), value: "customer-42".to_owned() }),
            confidence: 0.94,
            effect: Effect::default(),
            evidence: (1..=5).map(|reason| format!("reason {reason} has to do with {service}")).collect(),
            examples: vec![],
            charged: vec![],
        };
        Suspicion::Suspect { suspect: Box::new(suspect), concerned: true, traces: 120 }
    }

    fn mailbox(text: &str) -> Mailbox {
        text.parse().unwrap()
    }

    #[test]
    fn a_mail_reads_like_this() {
        let requests = [
            Request { cart_ms: 700, ..Request::new(1) },
            Request { cart_ms: 802, cart_failed: true, failed: true, ..Request::new(2) },
            Request::new(3),
        ];
        let mail = Mail::new(&found(rule("slow shop"), &requests, "shop"), &suspect("cart"), &setting());
        insta::assert_snapshot!(format!("{}\n\n{}", mail.subject, mail.text));
        let share = Rule { share: Some(0.05), service: Some("cart".to_owned()), ..rule("cart") };
        let mail = Mail::new(&found(share, &requests, "shop"), &Suspicion::Nothing(3), &setting());
        insta::assert_snapshot!(format!("{}\n\n{}", mail.subject, mail.text));
    }

    #[test]
    fn the_suspect_is_one_that_has_to_do_with_the_traces_where_there_is_one() {
        let traces = traces_of(&[Request { cart_ms: 700, ..Request::new(1) }, Request::new(2)], "shop", "GET /");
        let finding = found(rule("slow"), &[Request { cart_ms: 700, ..Request::new(1) }], "shop");
        let charged_with = |service: &str, trace| {
            let Suspicion::Suspect { suspect, .. } = suspect(service) else { unreachable!("it is one") };
            Suspect { charged: vec![Charge { trace, excess: 1, failed: false }], ..*suspect }
        };
        let said = |suspects: Vec<Suspect>| {
            let suspicion = Suspicion::of(Diagnosis { suspects, ..Diagnosis::default() }, &traces, &finding.examples);
            suspected(&suspicion, Time(Duration::from_secs(600))).join(" ")
        };
        let both = said(vec![charged_with("ads", 1), charged_with("cart", 0)]);
        assert!(both.starts_with("Top suspect, from 2 traces of the last 10m:   customer: cart"), "{both}");
        let other = said(vec![charged_with("ads", 1)]);
        assert!(
            other.starts_with("Nothing explains just these. Top suspect of all 2 traces of the last 10m:   customer: ads"),
            "{other}"
        );
        assert!(said(vec![]).starts_with("Nothing stands out"));
    }

    #[test]
    fn no_name_becomes_a_header_or_a_line() {
        let requests = [Request { cart_ms: 700, ..Request::new(1) }];
        let finding = found(rule(HOSTILE), &requests, HOSTILE);
        let mail = Mail::new(&finding, &suspect(HOSTILE), &setting());
        assert!(!mail.subject.contains(['\r', '\n', '\u{1b}', '\u{202e}']), "{:?}", mail.subject);
        assert!(!mail.text.contains(['\r', '\u{1b}', '\u{202e}']), "{:?}", mail.text);
        assert!(mail.text.lines().all(|line| !line.starts_with("Bcc") && line != "." && line != "QUIT"), "{}", mail.text);
        let sent = mail.message(&mailbox("tracelab@example.com"), &[mailbox("Åsa <asa@example.com>")], Timestamp::UNIX_EPOCH);
        let sent = String::from_utf8(sent.unwrap()).unwrap();
        assert!(sent.is_ascii(), "every server takes it, 8BITMIME or not");
        let (head, body) = sent.split_once("\r\n\r\n").unwrap();
        let names = head.lines().filter(|line| !line.starts_with([' ', '\t'])).map(|line| line.split(':').next().unwrap());
        let names: Vec<_> = names.collect();
        let expected = [
            "From",
            "Subject",
            "Date",
            "To",
            "Message-ID",
            "Auto-Submitted",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ];
        let (mut sorted, mut all) = (names.clone(), expected);
        sorted.sort_unstable();
        all.sort_unstable();
        assert_eq!(sorted, all, "{head}");
        assert!(body.lines().all(|line| line.len() <= 76), "{body}");
    }

    #[test]
    fn a_header_is_one_whatever_the_subject() {
        let subject = HOSTILE.repeat(20);
        let mail = Mail { subject: subject.clone(), text: "…".to_owned() };
        let sent = mail.message(&mailbox("a@example.com"), &[mailbox("b@example.com")], Timestamp::UNIX_EPOCH).unwrap();
        let sent = String::from_utf8(sent).unwrap();
        let (head, _) = sent.split_once("\r\n\r\n").unwrap();
        assert!(head.lines().all(|line| !line.starts_with("Bcc") && line.len() <= 998), "{head}");
    }

    #[test]
    fn a_long_name_is_cut() {
        let requests = [Request { cart_ms: 700, ..Request::new(1) }];
        let mail = Mail::new(&found(rule("slow"), &requests, &"ö".repeat(9_999)), &suspect("cart"), &setting());
        assert!(mail.text.len() < 2_000, "{}", mail.text.len());
    }

    #[test]
    fn a_program_reads_links_and_figures() {
        let finding = found(rule("slow"), &[Request { cart_ms: 700, ..Request::new(1) }], "shop");
        let json = json(&finding, "http://127.0.0.1:8000");
        assert_eq!((&json["count"], &json["of"]), (&json!(1), &Value::Null));
        let trace = &json["traces"][0];
        assert_eq!((&trace["duration_ms"], &trace["service"]), (&json!(710.0), &json!("shop")));
        assert_eq!(trace["link"], format!("http://127.0.0.1:8000/trace/{:032x}", 1));
        assert_eq!(suspect_json(&suspect("cart"))["attribute"]["value"], "customer-42");
        assert_eq!(suspect_json(&Suspicion::Nothing(7)), Value::Null);
    }
}
