//! What a run is told: defaults < `tracelab.toml` < `OTEL_…` < `TRACELAB_…` < flags, merged by figment into one [`Config`].
//!
//! A key is called the same everywhere: flag `--store-mb 512`, variable `TRACELAB_STORE_MB=512`, file `store_mb = 512`. Lists have
//! commas between their items in a flag or variable. Nested keys take two underscores in a variable; a name with a hyphen is none
//! that a shell exports, but `env 'TRACELAB_REPLACE__DUMMY-1-17=http://127.0.0.1:9000' tracelab up` sets it. An empty variable is
//! an absent one, as OpenTelemetry has it. A key that nobody knows is an error that names it and where it stands.
//!
//! Of the standard `OTEL_…` variables those are read here that pick an exporter, protocol, propagator or service name, and only
//! for commands that they mean something to; endpoint, headers, TLS, sampler and resource attributes are the SDK's own to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};
use serde::de::{Error as _, value::StringDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::frontend::{self, GameSettings, Pick, Settings};
use crate::mystery::Cause;
use crate::redis::{self, Redis};
use crate::telemetry::{AgentAddress, Exporter, Levels, Propagator, Protocol, TelemetrySettings};
use crate::topology::{Route, ServiceName, Topology};
use crate::watch;

/// Read from the current directory where no `--config` names another.
pub const FILE: &str = "tracelab.toml";
const PREFIX: &str = "TRACELAB_";
const INSTRUMENTATION: &str = "instrumentation";
const WATCH: &str = "watch";
/// Variables with our prefix that are no keys: `TRACELAB_REQUIRE` and `TRACELAB_WRITE` are for tests, the others belong to the
/// files of the compose stage and the scripts of the kind and kops stages, and may be set where a client of ours runs too.
const READ_ELSEWHERE: [&str; 22] = [
    "require",
    "write",
    "image",
    "jaeger_traces",
    "replacement",
    "nginx_image",
    "edge_queue",
    "gateway_queue",
    "mail_port",
    "cluster",
    "node_image",
    "binary",
    "timeout",
    "context",
    "keep",
    "calls",
    "zones",
    "admin_network",
    "registry",
    "tls_cert",
    "tls_key",
    "login",
];
/// Far more than any balancer needs to hear of an end. Whoever sends the signal waits, too: Kubernetes 30 s unless it is told otherwise.
const LONGEST_DRAIN: f64 = 600.0;
/// The standard variables that pick what is ours to pick; of two for one key the later one counts.
const STANDARD: [(&str, &str); 8] = [
    ("OTEL_TRACES_EXPORTER", "exporter"),
    ("OTEL_LOGS_EXPORTER", "logs_exporter"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "protocol"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "protocol"),
    ("OTEL_PROPAGATORS", "propagators"),
    ("OTEL_SERVICE_NAME", "name"),
    ("OTEL_BSP_SCHEDULE_DELAY", "export_delay_ms"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "export_queue"),
];

/// Everything that can be set; each command uses what concerns it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub layers: u16,
    pub width: u16,
    pub route: Route,
    /// What is to be wrong: a cause, or one drawn at random.
    pub mystery: Pick,
    /// Makes the draw repeatable; drawn at random and kept to itself where absent.
    pub seed: Option<u64>,
    /// Multiplies the ordinary delays; 0 takes them away.
    pub delay_scale: f64,
    /// Programs of the learner's own in the place of services, by name.
    pub replace: BTreeMap<ServiceName, Url>,

    pub bind: IpAddr,
    pub port: u16,
    pub control_port: u16,
    pub jaeger_port: u16,
    pub otlp_http_port: u16,
    pub otlp_grpc_port: u16,
    /// What the embedded backend may keep, in MiB.
    pub store_mb: usize,
    /// Seconds for which a role that was told to end answers on, so that its callers find another; `up` has none and stops at once.
    pub drain_seconds: f64,

    /// Where seed, guesses and scores are kept over a restart.
    pub state: Option<PathBuf>,
    /// Needed for reveal, mystery and redeploy where set.
    pub instructor_token: Option<Secret>,
    /// How another version of `{service}` is put in place where the frontend cannot do it: what it says when it is asked to.
    pub redeploy: Option<String>,
    /// Hosts by which a page may be reached beside loopback, for example behind a load balancer.
    #[serde(deserialize_with = "list_or_text")]
    pub allowed_hosts: Vec<String>,

    /// Which service this is.
    pub name: Option<String>,
    /// A service of version v2: ignores its fault.
    pub patched: bool,
    /// Base URL of the frontend's control port.
    pub control: Url,
    /// Base URL of a service, with `{service}` for its name.
    pub service_url: String,
    /// The same for the frontend's calls of layer 0, where a gateway stands between; `service_url` where absent.
    pub gateway_url: Option<String>,

    /// Base URL of the frontend.
    pub frontend: Url,
    /// Base URL of a Jaeger query API; the embedded backend where absent.
    pub jaeger: Option<Url>,
    /// Where a reader's browser finds Jaeger, where that differs.
    pub jaeger_links: Option<Url>,

    /// Base URL of an OTLP endpoint; the standard variables count where absent.
    pub otlp: Option<Url>,
    /// `HOST:PORT` of the agent for the exporter `jaeger-agent`; the standard variables count where absent.
    pub jaeger_agent: Option<String>,
    /// A Redis that runs already; `up` starts one by itself where it needs one and finds the program.
    pub redis: Option<Url>,
    pub protocol: Protocol,
    pub exporter: Exporter,
    pub logs_exporter: Option<Exporter>,
    #[serde(deserialize_with = "propagators")]
    pub propagators: Vec<Propagator>,
    /// How much each service does for tracing; text is the level of all.
    pub instrumentation: Levels,
    /// Which log lines reach stdout, in the syntax of `RUST_LOG`.
    pub log: Option<String>,
    /// Milliseconds that a span waits at most before it is exported; 200 where absent, 50 into the backend inside `up`.
    pub export_delay_ms: Option<u64>,
    /// So many spans wait at most.
    pub export_queue: usize,

    /// What `watch` looks for, and how often.
    pub watch: watch::Settings,
    /// The mail server, as smtp:// or smtps:// URL without a password.
    #[serde(deserialize_with = "mail_server")]
    pub smtp: Option<Url>,
    pub smtp_password: Option<Secret>,
    /// PEM file with certificates to trust beside the built-in roots.
    pub smtp_ca: Option<PathBuf>,
    /// Log in there though the connection is not encrypted.
    pub smtp_plain_login: bool,
    pub mail_from: Option<String>,
    #[serde(deserialize_with = "list_or_text")]
    pub mail_to: Vec<String>,
}

/// A value that no log line and no error shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Default for Config {
    fn default() -> Self {
        let telemetry = TelemetrySettings::default();
        let local = |port| Url::parse(&format!("http://127.0.0.1:{port}")).expect("a loopback address is a URL");
        Self {
            layers: 3,
            width: 30,
            route: Route::Straight,
            mystery: Pick::Cause(Cause::Sleep),
            seed: None,
            delay_scale: 1.0,
            replace: BTreeMap::new(),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8080,
            control_port: 8081,
            jaeger_port: 16686,
            otlp_http_port: 4318,
            otlp_grpc_port: 4317,
            store_mb: 256,
            drain_seconds: 0.0,
            state: None,
            instructor_token: None,
            redeploy: None,
            allowed_hosts: Vec::new(),
            name: None,
            patched: false,
            control: local(8081),
            service_url: "http://{service}:8080".to_owned(),
            gateway_url: None,
            frontend: local(8080),
            jaeger: None,
            jaeger_links: None,
            otlp: None,
            jaeger_agent: None,
            redis: None,
            protocol: telemetry.protocol,
            exporter: telemetry.traces,
            logs_exporter: None,
            propagators: telemetry.propagators,
            instrumentation: telemetry.levels,
            log: None,
            export_delay_ms: None,
            export_queue: telemetry.queue,
            watch: watch::Settings::default(),
            smtp: None,
            smtp_password: None,
            smtp_ca: None,
            smtp_plain_login: false,
            mail_from: None,
            mail_to: Vec::new(),
        }
    }
}

impl Config {
    /// Merges all sources; `flags` are the command's own, absent ones left out.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a value out of range: the text names key and source.
    pub fn load(file: Option<&Path>, flags: impl Serialize) -> anyhow::Result<Self> {
        Self::merge(file, flags, |_, _| true)
    }

    /// For `up`, which is many services and not the one that `OTEL_SERVICE_NAME` names. How OTLP is carried means something to it
    /// only where its traces go to a Jaeger outside.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_up(file: Option<&Path>, flags: impl Serialize) -> anyhow::Result<Self> {
        Self::merge(file, flags, |key, ours| key != "name" && (key != "protocol" || ours.contains("jaeger")))
    }

    /// For a command without telemetry of its own: a standard variable that is meant for other programs does not stop it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_without_telemetry(file: Option<&Path>, flags: impl Serialize) -> anyhow::Result<Self> {
        Self::merge(file, flags, |_, _| false)
    }

    /// `counts` says of a key whether the standard variables may set it; it also sees what our own sources say.
    fn merge(file: Option<&Path>, flags: impl Serialize, counts: impl Fn(&str, &Figment) -> bool) -> anyhow::Result<Self> {
        let defaults = Figment::from(Serialized::defaults(Self::default()));
        let known = data(&defaults)?;
        let file = toml(file)?.map(levels_in_a_table);
        let own = variables(&known).map(Figment::from).chain([Figment::from(Serialized::defaults(flags))]);
        let own: Vec<Figment> = own.map(levels_in_a_table).collect();
        for layer in file.iter().chain(&own) {
            refuse_unknown(layer, &known)?;
        }
        let ours = file.iter().chain(&own).cloned().fold(Figment::new(), Figment::merge);
        let standard = standard_variables().filter(|variable| counts(&variable.key, &ours)).map(Figment::from);
        let merged = file.into_iter().chain(standard).chain(own).fold(defaults, Figment::merge);
        let config: Self = merged.extract()?;
        config.check(&merged)?;
        Ok(config)
    }

    /// `merged` is what this came from.
    fn check(&self, merged: &Figment) -> anyhow::Result<()> {
        let topology = self.topology()?;
        if !(0.0..=1000.0).contains(&self.delay_scale) {
            let source = source(merged, "delay_scale");
            bail!("delay_scale is {}{source}; it must be between 0 (no ordinary delays) and 1000", self.delay_scale);
        }
        if !(0.0..=LONGEST_DRAIN).contains(&self.drain_seconds) {
            let source = source(merged, "drain_seconds");
            bail!("drain_seconds is {}{source}; it must be between 0 (stop at once) and {LONGEST_DRAIN}", self.drain_seconds);
        }
        for (key, value, most) in [
            ("store_mb", self.store_mb as u64, 1_000_000),
            ("export_delay_ms", self.export_delay_ms.unwrap_or(1), 60_000),
            ("export_queue", self.export_queue as u64, 10_000_000),
        ] {
            if !(1..=most).contains(&value) {
                bail!("{key} is {value}{}; it must be between 1 and {most}", source(merged, key));
            }
        }
        for (service, url) in &self.replace {
            if !topology.contains(*service) {
                bail!("replace names {service}, which the topology of {} × {} does not contain", self.layers, self.width);
            }
            http("replace", url)?;
        }
        for (key, template) in [("service_url", Some(&self.service_url)), ("gateway_url", self.gateway_url.as_ref())] {
            let Some(template) = template else { continue };
            if !template.contains("{service}") && topology.services().count() > 1 {
                bail!("{key} is {template:?}; it must contain {{service}}, or every service would be the same");
            }
        }
        if self.logs_exporter == Some(Exporter::JaegerAgent) {
            let source = source(merged, "logs_exporter");
            bail!("logs_exporter is jaeger-agent{source}; Jaeger takes no logs: choose otlp, stdout or none");
        }
        if let Some(Err(error)) = self.jaeger_agent.as_deref().map(str::parse::<AgentAddress>) {
            bail!("jaeger_agent{}: {error}", source(merged, "jaeger_agent"));
        }
        for name in self.instrumentation.names() {
            if name != Levels::ALL && name != frontend::NAME && name.parse::<ServiceName>().is_err() {
                let source = source(merged, INSTRUMENTATION);
                bail!(
                    "instrumentation names {name:?}{source}, which is no service like dummy-1-17, nor {} or {}",
                    frontend::NAME,
                    Levels::ALL
                );
            }
        }
        http("frontend", &self.frontend)?;
        http("control", &self.control)?;
        for (key, url) in [("jaeger", &self.jaeger), ("jaeger_links", &self.jaeger_links), ("otlp", &self.otlp)] {
            url.as_ref().map_or(Ok(()), |url| http(key, url))?;
        }
        if let Some(url) = &self.redis {
            // Its password is nobody's business.
            let place = redis::shown(url);
            if url.scheme() != "redis" || !url.has_host() {
                bail!("redis is {place}; it must be a redis:// URL, for example redis://127.0.0.1:6379");
            }
            ::redis::Client::open(url.as_str())
                .with_context(|| format!("redis is {place} and something that cannot be used; try redis://127.0.0.1:6379"))?;
        }
        Ok(())
    }

    pub fn topology(&self) -> anyhow::Result<Topology> {
        Ok(Topology::new(self.layers, self.width, self.route)?)
    }

    /// Where whoever calls it finds a service that is not replaced: layer 0 is called by the frontend only, which may do so through a
    /// gateway.
    pub fn url_of(&self, service: ServiceName) -> String {
        let gateway = self.gateway_url.as_ref().filter(|_| service.layer == 0);
        gateway.unwrap_or(&self.service_url).replace("{service}", &service.to_string())
    }

    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.bind, port)
    }

    /// How long a role answers on after it was told to end.
    pub fn drain(&self) -> Duration {
        // It was checked when it was read.
        Duration::try_from_secs_f64(self.drain_seconds).unwrap_or_default()
    }

    /// Base URL of the Jaeger query API that clients ask.
    pub fn jaeger_url(&self) -> String {
        self.jaeger.as_ref().map_or_else(|| "http://127.0.0.1:16686".to_owned(), base)
    }

    /// What the game is played with, with this Redis.
    pub fn game_settings(&self, redis: Redis) -> anyhow::Result<GameSettings> {
        Ok(GameSettings {
            topology: self.topology()?,
            mystery: self.mystery,
            seed: self.seed,
            delay_scale: self.delay_scale,
            state: self.state.clone(),
            redis,
            // In every stage but `up` they may be the services themselves.
            replaced: BTreeSet::new(),
        })
    }

    /// What the frontend's public port needs to know, with the query API at `jaeger`.
    pub fn frontend_settings(&self, jaeger: Url) -> Settings {
        Settings {
            jaeger: Some(jaeger),
            jaeger_links: self.jaeger_links.clone(),
            instructor_token: self.instructor_token.as_ref().map(|token| token.expose().to_owned()),
            allowed_hosts: self.allowed_hosts.clone(),
        }
    }

    pub fn telemetry(&self) -> TelemetrySettings {
        let default = TelemetrySettings::default();
        TelemetrySettings {
            traces: self.exporter,
            logs: self.logs_exporter.unwrap_or(Exporter::None),
            protocol: self.protocol,
            endpoint: self.otlp.as_ref().map(base),
            // It was checked when it was read.
            agent: self.jaeger_agent.as_deref().and_then(|agent| agent.parse().ok()),
            propagators: self.propagators.clone(),
            levels: self.instrumentation.clone(),
            queue: self.export_queue,
            delay: self.export_delay_ms.map_or(default.delay, Duration::from_millis),
        }
    }
}

/// `instrumentation = "propagate"` is short for a table with `all`; as tables the sources complement each other.
fn levels_in_a_table(layer: Figment) -> Figment {
    let Ok(level @ Value::String(tag, _)) = layer.find_value(INSTRUMENTATION) else { return layer };
    let Some(metadata) = layer.get_metadata(tag).cloned() else { return layer };
    layer.merge(LevelOfAll { metadata, level })
}

/// Said where the text was.
struct LevelOfAll {
    metadata: Metadata,
    level: Value,
}

impl Provider for LevelOfAll {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let table = Dict::from([(Levels::ALL.to_owned(), self.level.clone())]);
        Ok(Map::from([(Profile::Default, Dict::from([(INSTRUMENTATION.to_owned(), table.into())]))]))
    }
}

/// A URL as text without its last slash, so that a path can follow.
pub fn base(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// A URL for people to read: who may use it is nobody's business.
pub fn without_secrets(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return url.to_owned() };
    // What has no host has neither.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    base(&url)
}

/// An error does not repeat what it was given, which may hold a password by mistake.
fn mail_server<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Url>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let wrong = |error| D::Error::custom(format!("{error}; it should look like smtp://user@mail.example.com:587"));
    Url::parse(&text).map(Some).map_err(wrong)
}

fn http(key: &str, url: &Url) -> anyhow::Result<()> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        bail!("{key} is {}; it must be an http:// or https:// URL", without_secrets(url.as_str()));
    }
    Ok(())
}

/// The configuration file, if there is one.
fn toml(file: Option<&Path>) -> anyhow::Result<Option<Figment>> {
    let path = match file {
        Some(path) if !path.is_file() => bail!("there is no configuration file {}", path.display()),
        Some(path) => path,
        None if Path::new(FILE).is_file() => Path::new(FILE),
        None => return Ok(None),
    };
    let figment = Figment::from(Toml::file_exact(path));
    // Of what is no TOML, and of what may not be read, figment does not say where it stands.
    data(&figment).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(figment))
}

fn data(figment: &Figment) -> anyhow::Result<Dict> {
    Ok(figment.data()?.remove(&Profile::Default).unwrap_or_default())
}

/// serde knows that a key is unknown but neither where it stands nor where it should.
fn refuse_unknown(layer: &Figment, known: &Dict) -> anyhow::Result<()> {
    let given = data(layer)?;
    let table = |of: &Dict| of.get(WATCH).and_then(Value::as_dict).cloned().unwrap_or_default();
    let (watch, of_watch) = (table(&given), table(known));
    let rules = watch.get("rules").and_then(Value::as_array).unwrap_or_default().iter().filter_map(Value::as_dict);
    let of_rule = Value::serialize(watch::NamedRule::default())?.into_dict().unwrap_or_default();
    let tables = [("", &given, known), ("under [watch] ", &watch, &of_watch)];
    let tables = tables.into_iter().chain(rules.map(|rule| ("under [[watch.rules]] ", rule, &of_rule)));
    for (place, given, known_here) in tables {
        let Some((key, value)) = given.iter().find(|(key, _)| !known_here.contains_key(*key)) else { continue };
        let metadata = layer.get_metadata(value.tag());
        let is_in_a_file = metadata.is_some_and(|metadata| matches!(metadata.source, Some(Source::File(_))));
        let variable = key.to_ascii_uppercase();
        let nearest = || known_here.keys().max_by(|a, b| similar(a, key).total_cmp(&similar(b, key)));
        let hint = match (of_watch.contains_key(key), known.contains_key(key), is_in_a_file) {
            (true, _, true) => "; it belongs under [watch]".to_owned(),
            (true, _, false) => format!("; did you mean {PREFIX}WATCH__{variable}?"),
            // Lines below the head of a table are the table's.
            (_, true, true) => "; it belongs at the top, above the first [table]".to_owned(),
            (_, true, false) => format!("; did you mean {PREFIX}{variable}?"),
            _ => {
                nearest().filter(|name| similar(name, key) > 0.6).map_or_else(String::new, |name| format!("; did you mean {name}?"))
            }
        };
        bail!("unknown key {key:?} {place}in {}{hint}", metadata.map(describe).unwrap_or_default());
    }
    Ok(())
}

fn describe(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(source) => source.to_string(),
        None => metadata.name.to_string(),
    }
}

/// Where a value stands, to follow it in an error. A flag is in sight of whoever typed it.
fn source(merged: &Figment, key: &str) -> String {
    match merged.find_metadata(key) {
        Some(Metadata { source: Some(Source::Code(_)), .. }) | None => String::new(),
        Some(metadata) => format!(" in {}", describe(metadata)),
    }
}

/// Share of letter pairs in common (Dice), 0 to 1: enough to find a slip of the finger.
fn similar(a: &str, b: &str) -> f64 {
    let pairs = |text: &str| text.as_bytes().windows(2).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (a, mut b) = (pairs(a), pairs(b));
    let total = (a.len() + b.len()) as f64;
    let common =
        a.iter().filter(|pair| b.iter().position(|other| other == *pair).map(|place| b.swap_remove(place)).is_some()).count();
    if total == 0.0 { 0.0 } else { 2.0 * common as f64 / total }
}

/// An environment variable that sets a key.
struct Variable {
    name: String,
    /// With dots where it is nested.
    key: String,
    value: Value,
}

/// Those with our prefix.
fn variables(known: &Dict) -> impl Iterator<Item = Variable> {
    let found: Vec<_> = Env::prefixed(PREFIX).ignore(&READ_ELSEWHERE).split("__").iter().collect();
    found.into_iter().filter_map(|(key, text)| {
        let (key, text) = (key.into_string(), present(&text)?);
        // A token or a directory of digits is text all the same.
        let kind = key.split_once('.').map_or_else(|| known.get(&key), |(table, key)| known.get(table)?.as_dict()?.get(key));
        let text_will_not_do = matches!(kind, Some(Value::Num(..) | Value::Bool(..) | Value::Dict(..)));
        let value = if text_will_not_do || ["seed", "watch.rules"].contains(&key.as_str()) { parsed(text) } else { text.into() };
        Some(Variable { name: format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__")), key, value })
    })
}

/// OpenTelemetry's.
fn standard_variables() -> impl Iterator<Item = Variable> {
    let variable = |name: &str, key: &str, value| Variable { name: name.to_owned(), key: key.to_owned(), value };
    let found = STANDARD.into_iter().filter_map(move |(name, key)| {
        let text = Env::var(name)?;
        let text = present(&text)?;
        Some(variable(name, key, if name.starts_with("OTEL_BSP_") { parsed(text) } else { text.into() }))
    });
    let disabled = Env::var("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let none = ["exporter", "logs_exporter"].map(|key| variable("OTEL_SDK_DISABLED", key, "none".into()));
    found.chain(none.into_iter().filter(move |_| disabled))
}

/// What a variable says; an empty one says nothing.
fn present(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// A number or a boolean, or a table in figment's syntax for variables; else text.
fn parsed(text: &str) -> Value {
    let Ok(value) = text.parse();
    value
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        let key = self.key.clone();
        Metadata::named(format!("the variable {}", self.name)).interpolater(move |_, _| key.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let dict = nest(&self.key, self.value.clone()).into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// `["tracecontext", "baggage"]` in a file, `tracecontext,baggage` in a variable.
fn list_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a list, or text with commas")]
    enum ListOrText {
        List(Vec<String>),
        Text(String),
    }
    let items = match ListOrText::deserialize(deserializer)? {
        ListOrText::List(items) => items,
        ListOrText::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
    };
    Ok(items.into_iter().filter(|item| !item.is_empty()).collect())
}

fn propagators<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Propagator>, D::Error> {
    let parse = |name: String| Propagator::deserialize(StringDeserializer::<D::Error>::new(name));
    let names = list_or_text(deserializer)?;
    names.into_iter().map(parse).collect::<Result<_, _>>().map_err(|error| D::Error::custom(format!("propagators: {error}")))
}

impl Secret {
    pub fn new(value: String) -> Self {
        Self(value)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// For the layers alone: figment carries values by serialising them.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::result_large_err, reason = "figment's own test helper wants closures that return its error")]
mod tests {
    use super::*;
    use crate::telemetry::Level;
    use figment::Jail;

    #[derive(Default, Serialize)]
    struct Flags {
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    }

    fn load(flags: Flags) -> anyhow::Result<Config> {
        Config::load(None, flags)
    }

    #[test]
    fn a_flag_beats_our_variable_beats_the_file_beats_the_default() {
        Jail::expect_with(|jail| {
            assert_eq!(load(Flags::default()).unwrap().port, 8080);
            jail.create_file(FILE, "port = 1001\nwidth = 5")?;
            assert_eq!(load(Flags::default()).unwrap().port, 1001);
            jail.set_env("TRACELAB_PORT", "1002");
            assert_eq!(load(Flags::default()).unwrap().port, 1002);
            let config = load(Flags { port: Some(1003) }).unwrap();
            assert_eq!((config.port, config.width), (1003, 5));
            Ok(())
        });
    }

    #[test]
    fn standard_variables_count_below_our_own() {
        Jail::expect_with(|jail| {
            jail.set_env("OTEL_TRACES_EXPORTER", "console");
            jail.set_env("OTEL_PROPAGATORS", "tracecontext");
            jail.set_env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
            let config = load(Flags::default()).unwrap();
            assert_eq!((config.exporter, config.protocol), (Exporter::Stdout, Protocol::Grpc));
            assert_eq!(config.propagators, [Propagator::TraceContext]);
            jail.set_env("TRACELAB_EXPORTER", "none");
            assert_eq!(load(Flags::default()).unwrap().exporter, Exporter::None);
            Ok(())
        });
    }

    #[test]
    fn a_standard_variable_that_cannot_be_obeyed_is_named_with_what_can() {
        for (variable, value, says) in [
            ("OTEL_TRACES_EXPORTER", "jaeger", "`jaeger-agent`"),
            ("OTEL_LOGS_EXPORTER", "5", "`console`"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "`http/protobuf` or `grpc`"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "`http/protobuf` or `grpc`"),
            ("OTEL_PROPAGATORS", "tracecontext,baggage,xray", "`tracecontext`, `baggage`, `jaeger`, `b3`, `b3multi`, `none`"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0", "between 1 and 60000"),
            ("OTEL_BSP_SCHEDULE_DELAY", "soon", "u64"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "between 1 and 10000000"),
        ] {
            Jail::expect_with(|jail| {
                jail.set_env(variable, value);
                let error = format!("{:#}", load(Flags::default()).expect_err(variable));
                assert!(error.contains(&format!("the variable {variable}")) && error.contains(says), "{error}");
                Config::load_without_telemetry(None, Flags::default()).unwrap();
                Ok(())
            });
        }
    }

    #[test]
    fn up_takes_no_name_and_without_a_jaeger_outside_no_protocol() {
        Jail::expect_with(|jail| {
            jail.set_env("OTEL_SERVICE_NAME", "123");
            jail.set_env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
            jail.set_env("OTEL_PROPAGATORS", "none");
            let config = Config::load_up(None, Flags::default()).unwrap();
            assert_eq!((config.name, config.propagators), (None, vec![Propagator::None]));
            jail.set_env("TRACELAB_JAEGER", "http://127.0.0.1:16686");
            let error = Config::load_up(None, Flags::default()).unwrap_err().to_string();
            assert!(error.contains("OTEL_EXPORTER_OTLP_PROTOCOL"), "{error}");
            jail.set_env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
            assert_eq!(Config::load_up(None, Flags::default()).unwrap().protocol, Protocol::Grpc);
            assert_eq!(load(Flags::default()).unwrap().name.as_deref(), Some("123"));
            Ok(())
        });
    }

    #[test]
    fn an_empty_variable_is_an_absent_one() {
        Jail::expect_with(|jail| {
            jail.create_file(FILE, "seed = 7")?;
            for variable in ["SEED", "PORT", "STATE", "REPLACE", "PROPAGATORS", "INSTRUCTOR_TOKEN", "STORE_MP"] {
                jail.set_env(format!("TRACELAB_{variable}"), " ");
            }
            let config = load(Flags::default()).unwrap();
            assert_eq!((config.seed, config.port, config.state), (Some(7), 8080, None));
            assert_eq!(config.instructor_token, None);
            Ok(())
        });
    }

    #[test]
    fn text_stays_text_and_numbers_become_numbers() {
        Jail::expect_with(|jail| {
            for (variable, value) in [
                ("TRACELAB_STATE", "2024"),
                ("TRACELAB_LOG", "5"),
                ("TRACELAB_NAME", "1"),
                ("TRACELAB_SEED", "18446744073709551615"),
                ("TRACELAB_DELAY_SCALE", "0.5"),
                ("TRACELAB_PATCHED", "true"),
                ("TRACELAB_DRAIN_SECONDS", "5"),
            ] {
                jail.set_env(variable, value);
            }
            let config = load(Flags::default()).unwrap();
            assert_eq!(config.state.as_deref(), Some(Path::new("2024")));
            assert_eq!((config.log.as_deref(), config.name.as_deref()), (Some("5"), Some("1")));
            assert_eq!((config.seed, config.delay_scale, config.patched), (Some(u64::MAX), 0.5, true));
            assert_eq!(config.drain(), Duration::from_secs(5));
            Ok(())
        });
    }

    #[test]
    fn a_list_has_commas_in_a_variable_and_brackets_in_the_file() {
        Jail::expect_with(|jail| {
            jail.create_file(FILE, r#"allowed_hosts = ["a.example", "b.example:8080"]"#)?;
            assert_eq!(load(Flags::default()).unwrap().allowed_hosts, ["a.example", "b.example:8080"]);
            jail.set_env("TRACELAB_ALLOWED_HOSTS", "c.example, [::1],");
            assert_eq!(load(Flags::default()).unwrap().allowed_hosts, ["c.example", "[::1]"]);
            Ok(())
        });
    }

    #[test]
    fn a_file_that_is_no_toml_is_named() {
        Jail::expect_with(|jail| {
            jail.create_file(FILE, "width = 5\nport =")?;
            jail.create_file("other.toml", "port: 7")?;
            let error = format!("{:#}", load(Flags::default()).unwrap_err());
            assert!(error.starts_with("cannot read tracelab.toml: ") && error.contains("line 2"), "{error}");
            let error = format!("{:#}", Config::load(Some(Path::new("other.toml")), Flags::default()).unwrap_err());
            assert!(error.starts_with("cannot read other.toml: "), "{error}");
            Ok(())
        });
    }

    #[test]
    fn an_unknown_key_is_named_with_its_source_and_its_neighbour() {
        Jail::expect_with(|jail| {
            jail.set_env("TRACELAB_STORE_MP", "7");
            let error = load(Flags::default()).unwrap_err().to_string();
            assert_eq!(error, "unknown key \"store_mp\" in the variable TRACELAB_STORE_MP; did you mean store_mb?");
            Ok(())
        });
        Jail::expect_with(|jail| {
            jail.create_file(FILE, "widht = 5")?;
            let error = load(Flags::default()).unwrap_err().to_string();
            assert!(error.contains("unknown key \"widht\"") && error.contains("tracelab.toml"), "{error}");
            Ok(())
        });
    }

    #[test]
    fn a_key_in_the_wrong_table_is_told_the_right_one() {
        for (file, says) in [
            (
                "[watch]\nsmtp = 'smtp://here'",
                "key \"smtp\" under [watch] in tracelab.toml; it belongs at the top, above the first [table]",
            ),
            ("interval = '1s'", "key \"interval\" in tracelab.toml; it belongs under [watch]"),
            (
                "[[watch.rules]]\nname = 'a'\nfailed = true\nmail_to = 'you@example.com'",
                "key \"mail_to\" under [[watch.rules]] in tracelab.toml; it belongs at the top",
            ),
            ("[[watch.rules]]\nname = 'a'\nperiod = '1h'", "under [[watch.rules]] in tracelab.toml; it belongs under [watch]"),
            ("[watch]\nslower_then = '1s'", "under [watch] in tracelab.toml; did you mean slower_than?"),
            ("[[watch.rules]]\nname = 'a'\nfailled = true", "in tracelab.toml; did you mean failed?"),
        ] {
            Jail::expect_with(|jail| {
                jail.create_file(FILE, file)?;
                let error =
                    load(Flags::default()).expect_err(file).to_string().replace(&format!("{}/", jail.directory().display()), "");
                assert!(error.contains(says), "{error}");
                Ok(())
            });
        }
        for (variable, says) in [("TRACELAB_INTERVAL", "TRACELAB_WATCH__INTERVAL?"), ("TRACELAB_WATCH__SMTP", "TRACELAB_SMTP?")] {
            Jail::expect_with(|jail| {
                jail.set_env(variable, "1s");
                let error = load(Flags::default()).expect_err(variable).to_string();
                assert!(error.ends_with(&format!("in the variable {variable}; did you mean {says}")), "{error}");
                Ok(())
            });
        }
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_with_its_key() {
        for (variable, value, key) in [
            ("TRACELAB_PORT", "lots", "port"),
            ("TRACELAB_PORT", "65536", "port"),
            ("TRACELAB_LAYERS", "0", "layers"),
            ("TRACELAB_WIDTH", "0", "width"),
            ("TRACELAB_ROUTE", "sideways", "route"),
            ("TRACELAB_MYSTERY", "gremlins", "mystery"),
            ("TRACELAB_DELAY_SCALE", "-1", "delay_scale"),
            ("TRACELAB_STORE_MB", "0", "store_mb"),
            ("TRACELAB_DRAIN_SECONDS", "-0.5", "drain_seconds"),
            ("TRACELAB_DRAIN_SECONDS", "601", "drain_seconds is 601 in the variable tracelab_drain_seconds;"),
            ("TRACELAB_DRAIN_SECONDS", "NaN", "drain_seconds"),
            ("TRACELAB_DRAIN_SECONDS", "5s", "drain_seconds"),
            ("TRACELAB_FRONTEND", "ftp://here", "frontend"),
            ("TRACELAB_REDIS", "rediss://here", "redis is rediss://here"),
            ("TRACELAB_REDIS", "127.0.0.1:6379", "redis"),
            ("TRACELAB_REDIS", "redis://here/abc", "redis is redis://here and something that cannot be used"),
            ("TRACELAB_REDIS", "rediss://me:hunter2@here:6380", "redis is rediss://here:6380;"),
            ("TRACELAB_REPLACE__DUMMY-7-1", "http://127.0.0.1:9", "dummy-7-1"),
            ("TRACELAB_PROPAGATORS", "tracecontext,pigeon", "pigeon"),
            ("TRACELAB_LOGS_EXPORTER", "jaeger-agent", "jaeger takes no logs"),
            ("TRACELAB_JAEGER_AGENT", "http://localhost:6831", "localhost:6831"),
            ("TRACELAB_JAEGER_AGENT", "localhost:lots", "jaeger_agent in the variable"),
            ("TRACELAB_INSTRUMENTATION", "some", "variable tracelab_instrumentation"),
            ("TRACELAB_INSTRUMENTATION", "some", "`full`, `propagate`, `none`"),
            ("TRACELAB_INSTRUMENTATION__DUMMY-1-17", "some", "instrumentation.dummy-1-17"),
            ("TRACELAB_INSTRUMENTATION__DUMY-1-17", "none", "dumy-1-17"),
        ] {
            Jail::expect_with(|jail| {
                jail.set_env(variable, value);
                let error = format!("{:#}", load(Flags::default()).expect_err(variable));
                assert!(error.to_lowercase().contains(key) && !error.contains("hunter2"), "{variable}={value}: {error}");
                Ok(())
            });
        }
        Jail::expect_with(|jail| {
            jail.create_file(FILE, "store_mb = 0")?;
            let error = load(Flags::default()).unwrap_err().to_string();
            assert_eq!(error, "store_mb is 0 in tracelab.toml; it must be between 1 and 1000000");
            Ok(())
        });
    }

    #[test]
    fn a_token_of_digits_stays_text_and_is_never_shown() {
        Jail::expect_with(|jail| {
            jail.set_env("TRACELAB_INSTRUCTOR_TOKEN", "007");
            let config = load(Flags::default()).unwrap();
            assert_eq!(config.instructor_token.as_ref().map(Secret::expose), Some("007"));
            assert!(!format!("{config:?}").contains("007"));
            Ok(())
        });
    }

    #[test]
    fn a_gateway_stands_before_the_first_layer_only() {
        Jail::expect_with(|jail| {
            jail.set_env("TRACELAB_GATEWAY_URL", "http://gateway:8080/{service}");
            let config = load(Flags::default()).unwrap();
            let url = |layer| config.url_of(ServiceName { layer, number: 7 });
            assert_eq!((url(0).as_str(), url(1).as_str()), ("http://gateway:8080/dummy-0-7", "http://dummy-1-7:8080"));
            jail.set_env("TRACELAB_GATEWAY_URL", "http://gateway:8080");
            assert!(load(Flags::default()).unwrap_err().to_string().contains("gateway_url"));
            Ok(())
        });
    }

    #[test]
    fn levels_are_one_for_all_or_a_services_own_and_the_sources_complement_each_other() {
        Jail::expect_with(|jail| {
            let levels = || {
                let levels = load(Flags::default()).unwrap().instrumentation;
                ["frontend", "dummy-0-1", "dummy-1-17"].map(|name| levels.of(name))
            };
            use Level::{Full, None, Propagate};
            assert_eq!(levels(), [Full; 3]);
            jail.create_file(FILE, "instrumentation = 'propagate'")?;
            assert_eq!(levels(), [Propagate; 3]);
            jail.set_env("TRACELAB_INSTRUMENTATION__DUMMY-1-17", "none");
            assert_eq!(levels(), [Propagate, Propagate, None]);
            jail.create_file(FILE, "[instrumentation]\ndummy-0-1 = 'propagate'\ndummy-1-17 = 'propagate'")?;
            assert_eq!(levels(), [Full, Propagate, None]);
            jail.set_env("TRACELAB_INSTRUMENTATION", "none");
            assert_eq!(levels(), [None, Propagate, None], "a service's own level counts first");
            Ok(())
        });
    }

    #[test]
    fn services_are_replaced_by_nested_keys() {
        Jail::expect_with(|jail| {
            jail.create_file(FILE, "[replace]\ndummy-1-17 = 'http://127.0.0.1:9000'\ndummy-0-1 = 'http://127.0.0.1:9001'")?;
            jail.set_env("TRACELAB_REPLACE__DUMMY-1-17", "http://127.0.0.1:9002");
            jail.set_env("TRACELAB_REPLACE__DUMMY-2-2", "http://127.0.0.1:9003");
            let replace = load(Flags::default()).unwrap().replace;
            let replace: Vec<_> = replace.iter().map(|(service, url)| (service.to_string(), url.port().unwrap())).collect();
            let expected = [("dummy-0-1", 9001), ("dummy-1-17", 9002), ("dummy-2-2", 9003)];
            assert_eq!(replace, expected.map(|(service, port)| (service.to_owned(), port)));
            Ok(())
        });
    }
}
