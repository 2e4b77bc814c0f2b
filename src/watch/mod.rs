//! `tracelab watch`: looks at a Jaeger query API again and again, and sends mail about slow and failed traces.
//!
//! `settings` → `rule` (what is looked for) → `observation` (what is new, and who may speak) → `mail` (what is said): pure functions
//! of traces and a time that is passed in. `post` and `smtp` send it. This file is the loop between `crate::jaeger` and them. It
//! keeps nothing on disk: started anew, it may tell of a trace once more.

#[cfg(test)]
mod example;
pub mod mail;
pub mod observation;
pub mod post;
pub mod rule;
pub mod settings;
pub mod smtp;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use lettre::message::Mailbox;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::{Config, without_secrets};
use crate::diagnose::model::{Builder, Traces};
use crate::diagnose::tree::main_root;
use crate::diagnose::{Options, diagnose, figures};
use crate::exit::{Failure, chain, failure};
use crate::jaeger::{Client, JaegerError, Wanted};
use crate::server::Stop;
use mail::{Mail, Setting, Suspicion};
use observation::{Finding, Observation, nanoseconds};
use post::{Copy, Outcome, Post};
use rule::Rule;
use settings::Time;
pub use settings::{NamedRule, Settings};
use smtp::{Server, Trouble};

/// Of one look, the newest first.
const MOST_TRACES: usize = 50_000;
/// For a suspect; more change little and take long.
const MOST_DIAGNOSED: usize = 20_000;
/// A Jaeger that is asked for all services one by one, and most of them for nothing, is not asked so every time.
const MANY_SEARCHES: u64 = 16;
/// Spans of machines whose clocks are ahead of ours.
const AHEAD: Duration = Duration::from_secs(60);
/// After a Jaeger was away, or this machine asleep, a look makes up for so much.
const MOST_MADE_UP: Duration = Duration::from_secs(6 * 3600);
/// A Jaeger that says nothing for so long is waited for longer, but not without a word.
const SILENCE: Duration = Duration::from_secs(10);
/// What is queued at the end is tried for so long.
const LAST_TRY: Duration = Duration::from_secs(5);
/// The same where nothing follows that could try it again.
const ONLY_TRY: Duration = Duration::from_secs(30);

/// Tells whoever runs this what happens beside the results.
pub type Tell = fn(&str);

/// Everything that a run of `watch` needs.
pub struct Watch {
    client: Client,
    setting: Setting,
    rules: Vec<Rule>,
    interval: Duration,
    retry: Duration,
    addresses: Addresses,
    /// None where mails are printed.
    server: Option<Server>,
    silence: Duration,
    tell: Tell,
}

/// Who writes to whom; empty where nothing is sent.
#[derive(Clone, Debug, Default)]
struct Addresses {
    from: Option<Mailbox>,
    to: Vec<Mailbox>,
}

/// What earlier looks came to.
#[derive(Debug, Default)]
struct Earlier {
    /// Services that the Jaeger did not know, which was said.
    unknown: BTreeSet<String>,
    /// There were more traces than are read, which was said.
    limited: bool,
    /// The Jaeger says nothing or takes its time, which was said.
    silent: bool,
    /// Where asking for all traces takes many searches: the services that all of them began in, and when that was asked.
    roots: Option<(Vec<String>, Timestamp)>,
}

/// What one look came to.
#[derive(Debug)]
pub struct Looked {
    pub traces: usize,
    /// With what the diagnosis says to each.
    pub findings: Vec<(Finding, Suspicion)>,
}

impl Watch {
    /// Reads the configuration; with `dry_run` mails are printed instead of sent.
    ///
    /// # Errors
    /// A rule, an address or the mail server's settings make no sense; the text says which and why.
    pub fn new(config: &Config, dry_run: bool, tell: Tell) -> anyhow::Result<Self> {
        let rules = config.watch.rules()?;
        let (interval, lookback) = config.watch.times(&rules)?;
        let jaeger = config.jaeger_url();
        // What a mail says, and what a link holds, others read: a password in the address is none of theirs.
        let shown = without_secrets(&jaeger);
        let links = config.jaeger_links.as_ref().map_or_else(|| shown.clone(), |url| without_secrets(url.as_str()));
        let addresses = Addresses::read(config)?;
        let server = match &config.smtp {
            Some(url) => {
                let (url, authority) = (url.clone(), config.smtp_ca.clone());
                let (password, plain_login) = (config.smtp_password.clone(), config.smtp_plain_login);
                Some(Server::new(&smtp::Settings { url, password, authority, plain_login })?)
            }
            None => None,
        };
        if server.is_some() && (addresses.from.is_none() || addresses.to.is_empty()) {
            bail!(
                "a mail needs both --mail-from and --mail-to, for example --mail-from tracelab@example.com --mail-to you@example.com"
            );
        }
        if server.is_none() && !addresses.to.is_empty() && !dry_run {
            bail!("--mail-to says whom to write to, and nothing says how; add --smtp smtp://mail.example.com, or --dry-run");
        }
        Ok(Self {
            client: Client::new(&jaeger)?,
            setting: Setting { jaeger: shown, links, period: config.watch.period, lookback },
            rules,
            interval,
            retry: config.watch.retry.0,
            addresses,
            server: server.filter(|_| !dry_run),
            silence: SILENCE,
            tell,
        })
    }

    /// Looks until `stop`, and hands what is printed to `print`.
    ///
    /// # Errors
    /// The mail server is there and cannot be used as it is set up; or mails were left unsent at the end.
    pub async fn run(self, stop: Stop, print: impl Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        // A mail server that says nothing keeps nobody from ending this.
        let post = tokio::select! {
            post = self.start_post() => post?,
            () = stop.stopped() => return Ok(()),
        };
        self.say_what_is_done();
        let mut observation = self.observation();
        let ended = tokio::select! {
            ended = self.look_again_and_again(&mut observation, post.as_ref(), print) => ended,
            () = stop.stopped() => Ok(()),
        };
        let unsent = match post {
            Some(post) => post.finish(LAST_TRY).await.unsent,
            None => 0,
        };
        if unsent > 0 {
            let text = format!("{} not sent: {} did not take it", figures::counted(unsent as u64, "mail"), self.server_name());
            return Err(failure(Failure::Unreachable, text));
        }
        ended
    }

    /// Looks once, hands what is found to `print` (as JSON if asked) and sends it.
    ///
    /// # Errors
    /// A rule spoke (exit code 1), or the Jaeger or the mail server cannot be reached (3).
    pub async fn once(self, as_json: bool, print: impl Fn(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let post = self.start_post().await?;
        let now = Timestamp::now();
        let longest = self.rules.iter().filter(|rule| rule.share.is_some()).map(|rule| rule.window).max().unwrap_or_default();
        let back = self.setting.lookback.max(longest);
        let mut earlier = Earlier::default();
        let looked = self.look(&mut self.observation(), now, back, &mut earlier).await;
        let looked = looked.map_err(|error| failure(Failure::Unreachable, chain(&error)))?;
        let Looked { traces, findings } = &looked;
        if *traces == 0 {
            (self.tell)(&format!("warning: there is no trace of the last {} at {}", Time(back), self.setting.jaeger));
        }
        if as_json {
            print(&self.json(&looked).to_string())?;
        } else if findings.is_empty() {
            let (traces, rules) = (figures::counted(*traces as u64, "trace"), figures::counted(self.rules.len() as u64, "rule"));
            print(&format!("nothing to report: {traces} of the last {}, {rules}", Time(back)))?;
        }
        for (finding, suspicion) in findings {
            let mail = Mail::new(finding, suspicion, &self.setting);
            match &post {
                Some(post) => self.send(post, &mail, now)?,
                None if as_json => {}
                None => print(&self.shown(&mail))?,
            }
        }
        if let Some(post) = post {
            let Outcome { sent, dropped, unsent } = post.finish(ONLY_TRY).await;
            if unsent > 0 || (sent == 0 && dropped > 0) {
                let text = format!(
                    "{} not sent: {} did not take it",
                    figures::counted((unsent + dropped) as u64, "mail"),
                    self.server_name()
                );
                return Err(failure(Failure::Unreachable, text));
            }
        }
        if findings.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = findings.iter().map(|(finding, _)| format!("{:?}", finding.rule.name)).collect();
        Err(failure(Failure::No, format!("{} met: {}", figures::counted(names.len() as u64, "rule"), names.join(", "))))
    }

    /// Nobody shall learn of a wrong password when the first mail is due.
    async fn start_post(&self) -> anyhow::Result<Option<Post>> {
        let Some(server) = &self.server else { return Ok(None) };
        let trouble = match server.check().await {
            Err(trouble @ Trouble::Setup { .. }) => return Err(trouble.into()),
            checked => checked.err(),
        };
        Ok(Some(Post::start(server.clone(), self.retry, self.tell, trouble)))
    }

    fn say_what_is_done(&self) {
        let names: Vec<_> = self.rules.iter().map(|rule| format!("{:?}", rule.name)).collect();
        let to: Vec<_> = self.addresses.to.iter().map(ToString::to_string).collect();
        let how = match &self.server {
            Some(server) => format!("mail goes to {} by {server}", to.join(", ")),
            None => "mails are printed here, not sent".to_owned(),
        };
        let (jaeger, interval) = (&self.setting.jaeger, Time(self.interval));
        (self.tell)(&format!("watching {jaeger} every {interval} for {}; {how}", names.join(", ")));
    }

    async fn look_again_and_again(
        &self,
        observation: &mut Observation,
        post: Option<&Post>,
        print: impl Fn(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut is_away, mut seen_until, mut earlier) = (false, None::<Timestamp>, Earlier::default());
        loop {
            let now = Timestamp::now();
            let since =
                seen_until.map_or(Duration::ZERO, |until| Duration::try_from(now.duration_since(until)).unwrap_or_default());
            let back = match seen_until {
                Some(_) => self.setting.lookback + since.min(MOST_MADE_UP),
                // Shares are of a whole window from the beginning.
                None => self
                    .rules
                    .iter()
                    .filter(|rule| rule.share.is_some())
                    .map(|rule| rule.window)
                    .fold(self.setting.lookback, Duration::max),
            };
            match self.look(observation, now, back, &mut earlier).await {
                Ok(looked) => {
                    seen_until = Some(now);
                    if std::mem::take(&mut is_away) {
                        earlier.silent = false;
                        (self.tell)(&format!("the Jaeger at {} answers again", self.setting.jaeger));
                    }
                    for (finding, suspicion) in &looked.findings {
                        let mail = Mail::new(finding, suspicion, &self.setting);
                        match post {
                            Some(post) => self.send(post, &mail, now)?,
                            None => print(&self.shown(&mail))?,
                        }
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        (self.tell)(&format!("warning: {}; it is asked again every {}", chain(&error), Time(self.interval)));
                    }
                }
            }
            sleep(self.interval).await;
        }
    }

    /// Reads the traces of the time `back` before `now`, and diagnoses where a rule speaks.
    async fn look(
        &self,
        observation: &mut Observation,
        now: Timestamp,
        back: Duration,
        earlier: &mut Earlier,
    ) -> Result<Looked, JaegerError> {
        let services = self.services(now, earlier);
        let traces = self.read(now, back, &services, MOST_TRACES, Some(earlier)).await?;
        let forgotten = observation.forgotten();
        let found = observation.look(&traces, epoch(now));
        if forgotten == 0 && observation.forgotten() > 0 {
            let most = figures::counted(observation::REMEMBERED as u64, "trace");
            (self.tell)(&format!(
                "warning: more than {most} are to be remembered; some may be counted twice, a shorter lookback helps"
            ));
        }
        let count = traces.len();
        drop(traces);
        let mut findings = Vec::new();
        for finding in found {
            let suspicion = self.suspicion(&finding, &services, now).await;
            findings.push((finding, suspicion));
        }
        Ok(Looked { traces: count, findings })
    }

    /// Whom to ask for, or nobody for all traces.
    fn services(&self, now: Timestamp, earlier: &Earlier) -> Vec<String> {
        let asked_for: Option<BTreeSet<&String>> = self.rules.iter().map(|rule| rule.service.as_ref()).collect();
        match (asked_for, &earlier.roots) {
            // Each rule is about one service; a rule that is not is about all.
            (Some(services), _) => services.into_iter().cloned().collect(),
            // What begins elsewhere is found by the next look for all, before it is out of reach.
            (None, Some((roots, asked))) if now.duration_since(*asked).unsigned_abs() < self.setting.lookback / 2 => roots.clone(),
            (None, _) => Vec::new(),
        }
    }

    async fn suspicion(&self, finding: &Finding, services: &[String], now: Timestamp) -> Suspicion {
        let services = finding.rule.service.as_ref().map_or(services, std::slice::from_ref);
        match self.read(now, self.setting.diagnosed(finding), services, MOST_DIAGNOSED, None).await {
            Ok(traces) => Suspicion::of(diagnose(&traces, None, &Options::default()), &traces, &finding.examples),
            Err(error) => Suspicion::Unread(chain(&error)),
        }
    }

    async fn read(
        &self,
        now: Timestamp,
        back: Duration,
        services: &[String],
        limit: usize,
        mut earlier: Option<&mut Earlier>,
    ) -> Result<Traces, JaegerError> {
        let now = epoch(now);
        let mut builder = Builder::until(now);
        // A cluster may trace itself into the same Jaeger. That is left out for all rules unless one of them is about it.
        if !self.rules.iter().filter_map(|rule| rule.service.as_deref()).any(Builder::is_kubernetes_own) {
            builder = builder.without_kubernetes_own();
        }
        let (start, end) = (now.saturating_sub(nanoseconds(back)), now.saturating_add(nanoseconds(AHEAD)));
        let wanted = Wanted { start, end, services: services.to_vec(), limit };
        let heard = Cell::new(Instant::now());
        let reading = self.client.collect(&wanted, &mut builder, |_| heard.set(Instant::now()));
        let collected = self.wait(reading, &heard, earlier.as_deref_mut()).await?;
        let traces = builder.finish();
        if let Some(earlier) = earlier {
            if services.is_empty() {
                earlier.roots = (collected.searches > MANY_SEARCHES).then(|| (roots(&traces), Timestamp::now()));
            }
            for service in self.rules.iter().filter_map(|rule| rule.service.as_ref()) {
                if !collected.services.contains(service) && earlier.unknown.insert(service.clone()) {
                    (self.tell)(&format!("warning: the Jaeger at {} knows no service {service:?} yet", self.setting.jaeger));
                }
            }
            if collected.limited && !std::mem::replace(&mut earlier.limited, true) {
                let most = figures::counted(limit as u64, "trace");
                (self.tell)(&format!(
                    "warning: there are more than {most} in one look; the older ones are passed over, a shorter lookback helps"
                ));
            }
        }
        Ok(traces)
    }

    /// Waits for a Jaeger that was last `heard`, and says so where it is silent.
    async fn wait<T>(&self, reading: impl Future<Output = T>, heard: &Cell<Instant>, mut earlier: Option<&mut Earlier>) -> T {
        let mut reading = pin!(reading);
        loop {
            match timeout_at(heard.get() + self.silence, reading.as_mut()).await {
                Ok(read) => return read,
                // Meanwhile it said something.
                Err(_) if heard.get().elapsed() < self.silence => {}
                Err(_) => {
                    heard.set(Instant::now());
                    if earlier.as_mut().is_some_and(|earlier| !std::mem::replace(&mut earlier.silent, true)) {
                        let (jaeger, silence) = (&self.setting.jaeger, Time(self.silence));
                        (self.tell)(&format!("warning: the Jaeger at {jaeger} has said nothing for {silence}; it is waited for"));
                    }
                }
            }
        }
    }

    fn send(&self, post: &Post, mail: &Mail, now: Timestamp) -> anyhow::Result<()> {
        let from = self.addresses.from.as_ref().context("there is no --mail-from")?;
        let message = mail.message(from, &self.addresses.to, now)?;
        for copy in Copy::all(&from.email, &mail::recipients(&self.addresses.to), message)? {
            post.send(copy);
        }
        (self.tell)(&format!("mail: {}", mail.subject));
        Ok(())
    }

    fn shown(&self, mail: &Mail) -> String {
        let to: Vec<_> = self.addresses.to.iter().map(ToString::to_string).collect();
        smtp::shown(mail, self.addresses.from.as_ref().map(ToString::to_string).as_deref(), &to)
    }

    fn json(&self, looked: &Looked) -> Value {
        let findings = looked.findings.iter().map(|(finding, suspicion)| {
            let mut json = mail::json(finding, &self.setting.links);
            let suspect = mail::suspect_json(suspicion);
            if !suspect.is_null() {
                json["suspect"] = suspect;
            }
            json
        });
        json!({ "traces": looked.traces, "findings": findings.collect::<Vec<_>>() })
    }

    fn observation(&self) -> Observation {
        // What was read in one look may be read again in the next ones until it is older than they reach.
        Observation::new(self.rules.clone(), self.setting.period.0, self.setting.lookback + self.interval + AHEAD)
    }

    fn server_name(&self) -> String {
        self.server.as_ref().map_or_else(String::new, ToString::to_string)
    }
}

impl Addresses {
    fn read(config: &Config) -> anyhow::Result<Self> {
        let mailbox = |key: &str, text: &str| -> anyhow::Result<Mailbox> {
            let wrong = || format!("{key} is {text:?}; it should look like you@example.com or You <you@example.com>");
            text.parse().with_context(wrong)
        };
        let from = config.mail_from.as_deref().map(|text| mailbox("mail_from", text)).transpose()?;
        let to = config.mail_to.iter().map(|text| mailbox("mail_to", text)).collect::<anyhow::Result<_>>()?;
        Ok(Self { from, to })
    }
}

/// The services that traces began in, as far as is known.
fn roots(traces: &Traces) -> Vec<String> {
    let spans = (0..traces.len()).map(|trace| traces.of(trace));
    let roots: BTreeSet<_> = spans.filter_map(|spans| Some(traces.service(&spans[main_root(spans)? as usize]))).collect();
    roots.into_iter().map(|service| traces.texts.get(service).to_owned()).collect()
}

/// Nanoseconds since 1970.
fn epoch(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use tokio::net::TcpListener;

    use super::*;

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// How often it was said that this Jaeger is waited for.
    fn said(jaeger: &str) -> usize {
        let text = format!("warning: the Jaeger at {jaeger} has said nothing for 10s; it is waited for");
        SAID.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|said| **said == text).count()
    }

    fn watching(jaeger: &str) -> Watch {
        let config =
            Config { jaeger: jaeger.parse().ok(), watch: Settings { failed: true, ..Settings::default() }, ..Config::default() };
        Watch::new(&config, true, |text| SAID.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned())).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_jaeger_that_says_nothing_is_said_to_be_silent_once() {
        let (watch, mut earlier) = (watching("http://silent.invalid"), Earlier::default());
        for _ in 0..2 {
            let heard = Cell::new(Instant::now());
            let nothing = watch.wait(std::future::pending::<()>(), &heard, Some(&mut earlier));
            assert!(tokio::time::timeout(Duration::from_secs(60), nothing).await.is_err());
            assert_eq!(said("http://silent.invalid"), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_jaeger_that_has_much_to_say_is_not_silent() {
        let (watch, mut earlier) = (watching("http://slow.invalid"), Earlier::default());
        let heard = Cell::new(Instant::now());
        let slow = async {
            for _ in 0..10 {
                sleep(Duration::from_secs(9)).await;
                heard.set(Instant::now());
            }
        };
        watch.wait(slow, &heard, Some(&mut earlier)).await;
        assert_eq!(said("http://slow.invalid"), 0);
    }

    #[tokio::test]
    async fn a_look_at_a_jaeger_that_accepts_and_never_answers_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let jaeger = format!("http://{}", listener.local_addr().unwrap());
        let watch = Watch { silence: Duration::from_millis(1), ..watching(&jaeger) };
        let (mut observation, mut earlier) = (watch.observation(), Earlier::default());
        tokio::select! {
            looked = watch.look(&mut observation, Timestamp::now(), Duration::from_secs(60), &mut earlier) => panic!("{looked:?}"),
            () = async {
                let is_said = || SAID.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|said| said.contains(&jaeger));
                while !is_said() {
                    sleep(Duration::from_millis(1)).await;
                }
            } => {}
        }
        assert!(earlier.silent);
    }
}
