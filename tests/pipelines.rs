//! The configurations of the OpenTelemetry Collector and of Jaeger, as their programs would read them.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/collector.rs"]
#[expect(dead_code, reason = "which program an image is asks kubernetes.rs")]
mod collector;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use collector::Program::{self, Contrib, Core, Jaeger};
use serde_json::{Value, json};

/// Who reads what; several files are one configuration. What their pods are told is for `kubernetes.rs` to compare.
const PROGRAMS: &[(Program, &[&str])] = &[
    (Contrib, &["kops/tracing/agent/pipeline.yaml"]),
    (Contrib, &["kops/tracing/aggregator/pipeline.yaml"]),
    (Jaeger, &["kops/tracing/collector/pipeline.yaml"]),
    (Jaeger, &["kops/tracing/ingester/pipeline.yaml", "kops/components/cassandra/storage.yaml"]),
    (Jaeger, &["kops/tracing/ingester/pipeline.yaml", "kops/components/opensearch/storage.yaml"]),
    (Jaeger, &["kops/tracing/query/pipeline.yaml", "kops/components/cassandra/storage.yaml"]),
    (Jaeger, &["kops/tracing/query/pipeline.yaml", "kops/components/opensearch/storage.yaml"]),
    (Jaeger, &["kind/components/cluster-traces/pipeline.yaml"]),
    (Core, &["kind/components/sidecar/collector.yaml"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A document's configuration: itself, or that of the operator's object.
fn configuration(document: Value) -> Option<Value> {
    let inner = &document["spec"]["config"];
    let config = if document["kind"] == "OpenTelemetryCollector" { inner.clone() } else { document };
    let has = |section: &&str| config[section].is_object();
    (config["kind"].is_null() && ["receivers", "exporters", "extensions"].iter().any(has)).then_some(config)
}

fn read(files: &[&str]) -> Value {
    let mut merged = json!({});
    for file in files {
        let configs: Vec<_> = documents(&root().join(file)).into_iter().filter_map(configuration).collect();
        assert_eq!(configs.len(), 1, "{file} has {} configurations", configs.len());
        configs.into_iter().for_each(|config| collector::merge(&mut merged, config));
    }
    merged
}

/// Files of YAML of the stages.
fn files() -> Vec<PathBuf> {
    fn below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let seen = entries.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
        let all = seen.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] });
        all.filter(|path| path.extension().is_some_and(|ending| ["yaml", "yml"].iter().any(|yaml| ending == *yaml))).collect()
    }
    ["compose", "kind", "kops"].iter().flat_map(|stage| below(&root().join(stage))).collect()
}

#[test]
fn every_configuration_is_one_that_its_program_takes() {
    for (program, files) in PROGRAMS {
        let wrong = collector::complaints(*program, &read(files));
        assert!(wrong.is_empty(), "{files:?}: {}", wrong.join("\n"));
    }
}

#[test]
fn no_configuration_is_forgotten() {
    let known: BTreeSet<_> = PROGRAMS.iter().flat_map(|(_, files)| *files).map(|file| root().join(file)).collect();
    let found: BTreeSet<_> =
        files().into_iter().filter(|path| documents(path).into_iter().any(|document| configuration(document).is_some())).collect();
    assert_eq!(found, known);
}

/// Jaeger without a file has its own, of which arguments change something.
#[test]
fn every_setting_in_an_argument_is_one_of_jaegers() {
    let mut settings = Vec::new();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in text.split("--set=").skip(1) {
            let (at, rest) = word.split_once('=').unwrap();
            let value = rest.split(|sign: char| sign.is_whitespace() || "\"',]".contains(sign)).next().unwrap();
            // Of compose's variables the default is known.
            let value = value.split_once(":-").map_or(value, |(_, default)| default.trim_end_matches('}'));
            let wrong = collector::set(at, value);
            assert!(wrong.is_empty(), "{}: --set={at}={value}: {}", path.display(), wrong.join("\n"));
            settings.push((at.to_owned(), value.to_owned()));
        }
    }
    assert!(settings.len() >= 4, "{settings:?}");
    for (at, value) in settings {
        assert_ne!(collector::set(&format!("{at}s"), &value), [""; 0], "{at}s");
        assert_ne!(collector::set(&at, "many"), [""; 0], "{at}=many");
    }
}

/// What breaks a configuration: its file, text in it, what stands there then, and what is said about it.
const BREAKS: &[(&str, &str, &str, &str)] = &[
    ("agent", "routing_key:", "routing_keys:", "exporters.load_balancing has no field routing_keys"),
    ("agent", "port: \"4317\"", "port: 4317", "exporters.load_balancing.resolver.dns.port is no string"),
    ("agent", "interval: 5s", "interval: 5", "dns.interval is no duration"),
    (
        "agent",
        "exporters: [load_balancing]",
        "exporters: [loadbalancing]",
        "names exporters loadbalancing, which is declared nowhere",
    ),
    ("agent", "processors: [memory_limiter]", "processors: []", "processors memory_limiter is in no pipeline"),
    ("agent", "extensions: [health_check]", "extensions: []", "extension health_check is not named"),
    ("agent", "level: normal", "level: none", "has a level and no reader, or a reader and no level"),
    ("agent", "spike_limit_mib: 40", "spike_limit_mib: 200", "the spike is as large as the limit"),
    ("agent", "max_elapsed_time: 2m", "max_elapsed_time: 2s", "intervals that shrink"),
    ("agent", "load_balancing", "jaeger_storage_exporter", "Contrib has no exporters jaeger_storage_exporter"),
    ("aggregator", "status_codes: [ERROR]", "status_codes: [FAILED]", "status_codes[0] is no one of OK|ERROR|UNSET"),
    ("aggregator", "type: latency, latency:", "type: latency, latencies:", "has no field latencies"),
    ("aggregator", "type: latency", "type: status_code", "is of type \"status_code\", and says latency"),
    (
        "aggregator",
        "{name: failed, type: status_code, status_code: {status_codes: [ERROR]}}",
        "{name: failed, type: and, and: {and_sub_policy: [{name: failed, type: status_code, status_code: {status_codes: [ERROR]}}]}}",
        "and_sub_policy[0] has no field and",
    ),
    ("aggregator", "name: share", "name: tenth", "filter/causes asks for a policy share"),
    ("aggregator", "[memory_limiter, tail_sampling]", "[tail_sampling, memory_limiter]", "limits memory too late"),
    (
        "aggregator",
        "exporters: [forward]",
        "exporters: [otlp_grpc/share]",
        "connector forward is among the exporters of no pipeline",
    ),
    ("aggregator", "min_size: 500000", "min_size: 5000000", "a batch that its queue never holds"),
    ("aggregator", "sampling_percentage: 10", "sampling_percentage: \"10\"", "sampling_percentage is no float"),
    ("collector", "required_acks: all", "required_acks: most", "required_acks is no one of"),
    ("collector", "brokers: [kafka:9092]", "brokers: kafka:9092", "exporters.kafka.brokers is no list"),
    ("collector", "max_connection_age: 1m", "max_age: 1m", "has no field max_age"),
    ("collector", "healthcheckv2", "health_check", "Jaeger has no extensions health_check"),
    ("ingester", "on_permanent_error: true", "on_permanent_error: sometimes", "on_permanent_error is no bool"),
    ("ingester", "cooperative-sticky", "cooperative", "group_rebalance_strategies[0] is no one of"),
    ("ingester", "wait_for_result: true", "wait_for_result: false", "a queue that says yes before the storage does"),
    ("ingester", "min_size: 50,", "min_size: 500000,", "a batch that its queue never holds"),
    ("ingester", "trace_storage: traces", "trace_storage: spans", "there is no storage spans"),
    ("ingester", "    traces:\n      receivers", "    spans:\n      receivers", "the pipeline spans is of no signal"),
    ("query", "enable_tracing: false", "enable_tracing: 0", "enable_tracing is no bool"),
    ("query", "extensions: [jaeger_storage, jaeger_query,", "extensions: [jaeger_query,", "extension jaeger_storage is not named"),
    ("cassandra", "LOCAL_QUORUM", "LOCAL_QUORUMS", "query.consistency is no one of"),
    ("cassandra", "        cassandra:\n", "        memory: {max_traces: 1}\n        cassandra:\n", "is not of one kind"),
    ("opensearch", "max_span_age: 72h", "max_span_age: 3d", "max_span_age is no duration"),
    ("opensearch", "rollover_frequency: day", "rollover_frequency: week", "rollover_frequency is no one of day|hour"),
    ("cluster-traces", "span:\n", "spans:\n", "ottl_condition has no field spans"),
    ("sidecar", "action: upsert", "action: set", "attributes[0].action is no one of"),
    ("sidecar", "timeout: 1s", "timeout: 1 s", "processors.batch.timeout is no duration"),
];

#[test]
fn what_breaks_a_configuration_is_said() {
    for (name, from, to, says) in BREAKS {
        let is_it = |file: &&str| file.contains(&format!("/{name}/"));
        let (program, files) = PROGRAMS.iter().find(|(_, files)| files.iter().any(is_it)).unwrap();
        let mut merged = json!({});
        for file in *files {
            let mut text = std::fs::read_to_string(root().join(file)).unwrap();
            if is_it(file) {
                assert!(text.contains(from), "{file} does not say {from}");
                text = text.replace(from, to);
            }
            let configs: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{name}, {to}: {error}"));
            configs.into_iter().filter_map(configuration).for_each(|config| collector::merge(&mut merged, config));
        }
        let wrong = collector::complaints(*program, &merged);
        assert!(wrong.iter().any(|wrong| wrong.contains(says)), "{name} with {to}: {wrong:?}");
    }
}

/// Not only what somebody thought of: every key that is called otherwise, and every value of another kind, one after the other.
#[test]
fn no_key_can_be_misspelt_and_no_value_be_of_another_kind() {
    for (program, files) in PROGRAMS {
        let config = read(files);
        let places = places(&config, "");
        assert!(places.len() > 15, "{files:?}: {places:?}");
        for at in places {
            // Whatever stands in a resource's attribute is one.
            if at.ends_with("/value") && at.contains("/resource/attributes/") {
                continue;
            }
            let (parent, key) = at.rsplit_once('/').unwrap();
            let key = key.replace("~1", "/");
            let mut misspelt = config.clone();
            // A pipeline is called by nobody.
            if let Some(Value::Object(map)) =
                misspelt.pointer_mut(parent).filter(|_| parent != "/service/pipelines" || key == "traces")
            {
                let value = map.remove(&key).unwrap();
                map.insert(format!("{key}x"), value);
                assert_ne!(collector::complaints(*program, &misspelt), [""; 0], "{files:?}: {at}x is taken");
            }
            let mut other = config.clone();
            let value = other.pointer_mut(&at).unwrap();
            *value = if value.is_object() || value.is_null() { json!("word") } else { json!({"a": "map"}) };
            assert_ne!(collector::complaints(*program, &other), [""; 0], "{files:?}: {at} may be {}", other.pointer(&at).unwrap());
        }
    }
}

/// JSON pointers of all that is in a configuration.
fn places(value: &Value, at: &str) -> Vec<String> {
    let of = |key: &str, value: &Value| {
        let at = format!("{at}/{}", key.replace('/', "~1"));
        std::iter::once(at.clone()).chain(places(value, &at)).collect::<Vec<_>>()
    };
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, value)| of(key, value)).collect(),
        Value::Array(list) => list.iter().enumerate().flat_map(|(n, value)| of(&n.to_string(), value)).collect(),
        _ => Vec::new(),
    }
}
