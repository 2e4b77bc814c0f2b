//! What a run is told: defaults < `tracelab.toml` < `OTEL_…` < `TRACELAB_…` < flags, merged by figment into one [`Config`].
//!
//! A key is called the same everywhere: flag `--store-mb 512`, variable `TRACELAB_STORE_MB=512`, file `store_mb = 512`; nested
//! keys take two underscores in a variable: `TRACELAB_REPLACE__DUMMY-1-17=http://127.0.0.1:9000`. A key that nobody knows is an error
//! that names it and where it stands. Of the standard `OTEL_…` variables those are read here that pick an exporter, protocol,
//! propagator or service name; endpoint, headers, TLS, sampler and resource attributes are the SDK's own to read.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use figment::providers::{Env, Format as _, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::de::{Error as _, value::StringDeserializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use crate::frontend::Pick;
use crate::mystery::Cause;
use crate::telemetry::{Exporter, Propagator, Protocol, TelemetrySettings};
use crate::topology::{Route, ServiceName, Topology};

/// Read from the current directory where no `--config` names another.
pub const FILE: &str = "tracelab.toml";
const PREFIX: &str = "TRACELAB_";
/// Variables with our prefix that figment's own reader leaves out: `TRACELAB_REQUIRE` tells tests what must not be skipped, and a
/// token stays text even where it looks like a number.
const READ_ELSEWHERE: [&str; 2] = ["require", "instructor_token"];

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

    /// Where seed, guesses and scores are kept over a restart.
    pub state: Option<PathBuf>,
    /// Needed for reveal, mystery and redeploy where set.
    pub instructor_token: Option<Secret>,
    /// Hosts by which a page may be reached beside loopback, for example behind a load balancer.
    pub allowed_hosts: Vec<String>,

    /// Which service this is.
    pub name: Option<String>,
    /// A service of version v2: ignores its fault.
    pub patched: bool,
    /// Base URL of the frontend's control port.
    pub control: Url,
    /// Base URL of a service, with `{service}` for its name.
    pub service_url: String,

    /// Base URL of the frontend.
    pub frontend: Url,
    /// Base URL of a Jaeger query API; the embedded backend where absent.
    pub jaeger: Option<Url>,
    /// Where a reader's browser finds Jaeger, where that differs.
    pub jaeger_links: Option<Url>,

    /// Base URL of an OTLP endpoint; the standard variables count where absent.
    pub otlp: Option<Url>,
    pub protocol: Protocol,
    pub exporter: Exporter,
    pub logs_exporter: Option<Exporter>,
    #[serde(deserialize_with = "list_or_text")]
    pub propagators: Vec<Propagator>,
    /// Which log lines reach stdout, in the syntax of `RUST_LOG`.
    pub log: Option<String>,
    /// Milliseconds that a span waits at most before it is exported.
    pub export_delay_ms: u64,
    /// So many spans wait at most.
    pub export_queue: usize,
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
            state: None,
            instructor_token: None,
            allowed_hosts: Vec::new(),
            name: None,
            patched: false,
            control: local(8081),
            service_url: "http://{service}:8080".to_owned(),
            frontend: local(8080),
            jaeger: None,
            jaeger_links: None,
            otlp: None,
            protocol: telemetry.protocol,
            exporter: telemetry.traces,
            logs_exporter: None,
            propagators: telemetry.propagators,
            log: None,
            export_delay_ms: 200,
            export_queue: telemetry.queue,
        }
    }
}

impl Config {
    /// Merges all sources; `flags` are the command's own, absent ones left out.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a value out of range: the text names key and source.
    pub fn load(file: Option<&Path>, flags: impl Serialize) -> anyhow::Result<Self> {
        let toml = match file {
            Some(path) if !path.is_file() => bail!("there is no configuration file {}", path.display()),
            Some(path) => Figment::from(Toml::file_exact(path)),
            None if Path::new(FILE).is_file() => Figment::from(Toml::file_exact(FILE)),
            None => Figment::new(),
        };
        let env = Env::prefixed(PREFIX).ignore(&READ_ELSEWHERE).split("__").lowercase(true);
        let defaults = Figment::from(Serialized::defaults(Self::default()));
        let layers = [
            toml,
            Figment::from(Variables::otel()),
            Figment::from(env),
            Figment::from(Variables::raw()),
            Figment::from(Serialized::defaults(flags)),
        ];
        let mut merged = defaults.clone();
        let known = keys(&defaults)?;
        for layer in layers {
            refuse_unknown(&layer, &known)?;
            merged = merged.merge(layer);
        }
        let config: Self = merged.extract()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let topology = self.topology()?;
        if !(0.0..=1000.0).contains(&self.delay_scale) {
            bail!("delay_scale is {}; it must be between 0 (no ordinary delays) and 1000", self.delay_scale);
        }
        if !(1..=1_000_000).contains(&self.store_mb) {
            bail!("store_mb is {}; it must be between 1 and 1000000", self.store_mb);
        }
        if !(1..=60_000).contains(&self.export_delay_ms) {
            bail!("export_delay_ms is {}; it must be between 1 and 60000", self.export_delay_ms);
        }
        if !(1..=10_000_000).contains(&self.export_queue) {
            bail!("export_queue is {}; it must be between 1 and 10000000", self.export_queue);
        }
        for (service, url) in &self.replace {
            if !topology.contains(*service) {
                bail!("replace names {service}, which the topology of {} × {} does not contain", self.layers, self.width);
            }
            http("replace", url)?;
        }
        if !self.service_url.contains("{service}") && topology.services().count() > 1 {
            bail!("service_url is {:?}; it must contain {{service}}, or every service would be the same", self.service_url);
        }
        http("frontend", &self.frontend)?;
        http("control", &self.control)?;
        for (key, url) in [("jaeger", &self.jaeger), ("jaeger_links", &self.jaeger_links), ("otlp", &self.otlp)] {
            url.as_ref().map_or(Ok(()), |url| http(key, url))?;
        }
        Ok(())
    }

    pub fn topology(&self) -> anyhow::Result<Topology> {
        Ok(Topology::new(self.layers, self.width, self.route)?)
    }

    pub fn address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.bind, port)
    }

    /// Base URL of the Jaeger query API that clients ask.
    pub fn jaeger_url(&self) -> String {
        self.jaeger.as_ref().map_or_else(|| "http://127.0.0.1:16686".to_owned(), base)
    }

    pub fn telemetry(&self) -> TelemetrySettings {
        TelemetrySettings {
            traces: self.exporter,
            logs: self.logs_exporter.unwrap_or(Exporter::None),
            protocol: self.protocol,
            endpoint: self.otlp.as_ref().map(base),
            propagators: self.propagators.clone(),
            queue: self.export_queue,
            delay: Duration::from_millis(self.export_delay_ms),
        }
    }
}

/// A URL as text without its last slash, so that a path can follow.
pub fn base(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

fn http(key: &str, url: &Url) -> anyhow::Result<()> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        bail!("{key} is {url}; it must be an http:// or https:// URL");
    }
    Ok(())
}

fn keys(figment: &Figment) -> anyhow::Result<Vec<String>> {
    Ok(data(figment)?.into_keys().collect())
}

fn data(figment: &Figment) -> anyhow::Result<Dict> {
    Ok(figment.data()?.remove(&Profile::Default).unwrap_or_default())
}

/// serde knows that a key is unknown but not where it stands; figment's values know.
fn refuse_unknown(layer: &Figment, known: &[String]) -> anyhow::Result<()> {
    for (key, value) in data(layer)? {
        if known.contains(&key) {
            continue;
        }
        let source = layer.get_metadata(value.tag()).map(describe).unwrap_or_default();
        let nearest = known.iter().max_by(|a, b| similar(a, &key).total_cmp(&similar(b, &key)));
        let hint = nearest.filter(|name| similar(name, &key) > 0.6).map(|name| format!("; did you mean {name}?"));
        bail!("unknown key {key:?} in {source}{}", hint.unwrap_or_default());
    }
    Ok(())
}

fn describe(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(source) => source.to_string(),
        None => metadata.name.to_string(),
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

/// Variables that do not follow the naming rule of ours, or whose value must not be parsed.
struct Variables {
    name: &'static str,
    found: Dict,
}

impl Variables {
    /// The standard variables that pick what is ours to pick.
    fn otel() -> Self {
        let number = |text: String| text.parse::<u64>().map(Value::from).unwrap_or_else(|_| text.into());
        let mut found: Dict = [
            ("OTEL_TRACES_EXPORTER", "exporter"),
            ("OTEL_LOGS_EXPORTER", "logs_exporter"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "protocol"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "protocol"),
            ("OTEL_PROPAGATORS", "propagators"),
            ("OTEL_SERVICE_NAME", "name"),
            ("OTEL_BSP_SCHEDULE_DELAY", "export_delay_ms"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "export_queue"),
        ]
        .into_iter()
        .filter_map(|(variable, key)| Some((key.to_owned(), number(variable_text(variable)?))))
        .collect();
        if variable_text("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            found.insert("exporter".to_owned(), "none".into());
            found.insert("logs_exporter".to_owned(), "none".into());
        }
        Self { name: "the OTEL_… environment variables", found }
    }

    fn raw() -> Self {
        let token = variable_text("TRACELAB_INSTRUCTOR_TOKEN");
        let found = token.map(|token| ("instructor_token".to_owned(), token.into())).into_iter().collect();
        Self { name: "the variable TRACELAB_INSTRUCTOR_TOKEN", found }
    }
}

impl Provider for Variables {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.found.clone())]))
    }
}

/// An empty variable is an absent one, as OpenTelemetry has it.
fn variable_text(variable: &str) -> Option<String> {
    std::env::var(variable).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// `["tracecontext", "baggage"]` in a file, `tracecontext,baggage` in a variable.
fn list_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Propagator>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum ListOrText {
        List(Vec<String>),
        Text(String),
    }
    let names = match ListOrText::deserialize(deserializer)? {
        ListOrText::List(names) => names,
        ListOrText::Text(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
    };
    let parse = |name: String| Propagator::deserialize(StringDeserializer::<D::Error>::new(name));
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
    fn an_unknown_key_is_named_with_its_source_and_its_neighbour() {
        Jail::expect_with(|jail| {
            jail.set_env("TRACELAB_STORE_MP", "7");
            let error = load(Flags::default()).unwrap_err().to_string();
            assert_eq!(error, "unknown key \"store_mp\" in `TRACELAB_` environment variable(s); did you mean store_mb?");
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
            ("TRACELAB_FRONTEND", "ftp://here", "frontend"),
            ("TRACELAB_REPLACE__DUMMY-7-1", "http://127.0.0.1:9", "dummy-7-1"),
            ("TRACELAB_PROPAGATORS", "tracecontext,pigeon", "pigeon"),
        ] {
            Jail::expect_with(|jail| {
                jail.set_env(variable, value);
                let error = format!("{:#}", load(Flags::default()).expect_err(variable));
                assert!(error.to_lowercase().contains(key), "{variable}={value}: {error}");
                Ok(())
            });
        }
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
    fn a_service_is_replaced_by_a_nested_key() {
        Jail::expect_with(|jail| {
            jail.set_env("TRACELAB_REPLACE__DUMMY-1-17", "http://127.0.0.1:9000");
            let config = load(Flags::default()).unwrap();
            let url = &config.replace[&"dummy-1-17".parse().unwrap()];
            assert_eq!(base(url), "http://127.0.0.1:9000");
            Ok(())
        });
    }
}
