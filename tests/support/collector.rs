//! What configurations of the OpenTelemetry Collector and of Jaeger may say: the fields of every component that is used here, with
//! their types, and how pipelines name components. A program refuses most of it only when it starts, and some of it never.
//!
//! Written after the structs that the programs read their configuration into, field by field: of OpenTelemetry Collector core and
//! contrib v0.158.0, and of Jaeger v2.20.0, which is made of core and contrib v0.155.0. Beside each is its file.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Which program reads a configuration: what is built into it differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// `otel/opentelemetry-collector`.
    Core,
    /// `otel/opentelemetry-collector-contrib`.
    Contrib,
    /// `jaegertracing/jaeger`.
    Jaeger,
}

use Program::{Contrib, Core, Jaeger};

impl Program {
    /// None where the image is another program's.
    pub fn of(image: &str) -> Option<Self> {
        let name = image.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
        match name.split(':').next().unwrap_or_default() {
            "opentelemetry-collector" => Some(Core),
            "opentelemetry-collector-contrib" => Some(Contrib),
            "jaeger" => Some(Jaeger),
            _ => None,
        }
    }
}

const SECTIONS: [&str; 5] = ["extensions", "receivers", "processors", "exporters", "connectors"];
const ALL: &[Program] = &[Core, Contrib, Jaeger];

/// Section and type of a component, the programs that have it, and its fields.
const COMPONENTS: &[(&str, &str, &[Program], &str)] = &[
    // core: receiver/otlpreceiver/config.go
    ("receivers", "otlp", ALL, "protocols @otlp_protocols"),
    // contrib: receiver/kafkareceiver/config.go
    (
        "receivers",
        "kafka",
        &[Contrib, Jaeger],
        "+kafka_client +kafka_consumer logs @topics metrics @topics traces @topics profiles @topics message_marking \
         @message_marking header_extraction @header_extraction error_backoff @retry telemetry any",
    ),
    // core: receiver/nopreceiver, exporter/nopexporter
    ("receivers", "nop", ALL, ""),
    ("exporters", "nop", ALL, ""),
    // core: internal/memorylimiter/config.go
    (
        "processors",
        "memory_limiter",
        ALL,
        "check_interval duration min_gc_interval_when_soft_limited duration min_gc_interval_when_hard_limited duration \
         max_gc_interval_when_soft_limited duration max_gc_interval_when_hard_limited duration limit_mib uint \
         spike_limit_mib uint limit_percentage uint spike_limit_percentage uint",
    ),
    // core: processor/batchprocessor/config.go
    (
        "processors",
        "batch",
        ALL,
        "timeout duration send_batch_size uint send_batch_max_size uint metadata_keys [string] metadata_cardinality_limit \
         uint",
    ),
    // contrib: processor/resourceprocessor/config.go
    ("processors", "resource", &[Core, Contrib], "attributes [@attribute_action]"),
    // contrib: processor/tailsamplingprocessor/config.go
    (
        "processors",
        "tail_sampling",
        &[Contrib, Jaeger],
        "decision_wait duration decision_wait_after_root_received duration num_traces uint block_on_overflow bool \
         expected_new_traces_per_sec uint policies [@policy] decision_cache @decision_cache tail_storage string \
         sample_on_first_match bool sampling_strategy trace-complete|span-ingest drop_pending_traces_on_shutdown bool \
         maximum_trace_size_bytes uint",
    ),
    // contrib: processor/filterprocessor/config.go; of its signals only what traces have.
    ("processors", "filter", ALL, "error_mode ignore|silent|propagate traces @filter_traces trace_conditions any"),
    // core: connector/forwardconnector
    ("connectors", "forward", ALL, ""),
    // contrib: exporter/loadbalancingexporter/config.go
    (
        "exporters",
        "load_balancing",
        &[Contrib],
        "+timeout retry_on_failure @retry sending_queue @queue protocol @balanced resolver @resolver routing_key \
         service|traceID|metric|resource|streamID|attributes routing_attributes [string]",
    ),
    // core: exporter/otlpexporter/config.go
    ("exporters", "otlp_grpc", ALL, "+otlp_grpc"),
    // contrib: exporter/kafkaexporter/config.go
    (
        "exporters",
        "kafka",
        &[Contrib, Jaeger],
        "+timeout +kafka_client sending_queue @queue retry_on_failure @retry producer @kafka_producer logs @topic metrics \
         @topic traces @topic profiles @topic include_metadata_keys [string] record_headers any topic_from_attribute \
         string partition_traces_by_id bool partition_metrics_by_resource_attributes bool \
         partition_logs_by_resource_attributes bool partition_logs_by_trace_id bool record_partitioner any",
    ),
    // jaeger: cmd/jaeger/internal/exporters/storageexporter/config.go
    ("exporters", "jaeger_storage_exporter", &[Jaeger], "trace_storage string queue @queue retry_on_failure @retry"),
    // contrib: extension/healthcheckextension, extension/healthcheckv2extension; both read internal/healthcheck/config.go
    ("extensions", "health_check", &[Core, Contrib], "+health_check"),
    ("extensions", "healthcheckv2", &[Contrib, Jaeger], "+health_check"),
    // jaeger: cmd/internal/storageconfig/config.go
    ("extensions", "jaeger_storage", &[Jaeger], "backends {@backend} metric_backends any"),
    // jaeger: cmd/jaeger/internal/extension/jaegerquery/config.go and internal/flags.go
    (
        "extensions",
        "jaeger_query",
        &[Jaeger],
        "base_path string ui @query_ui bearer_token_propagation bool header_forwarding any multi_tenancy any \
         max_clock_skew_adjust duration max_trace_size int enable_tracing bool http @http_server grpc @grpc_server ai any \
         otlp_proxy any storage @query_storage",
    ),
];

/// What several components have, or what stands within one. `+name` is all of another group, in its place.
const GROUPS: &[(&str, &str)] = &[
    // core: service/config.go, service/pipelines/config.go
    ("service", "extensions [string] pipelines {@pipeline} telemetry @telemetry"),
    ("pipeline", "receivers [string] processors [string] exporters [string]"),
    // core: service/telemetry/otelconftelemetry/internal/migration/v0.3.0.go
    ("telemetry", "logs @telemetry_logs metrics @telemetry_metrics traces any resource {any}"),
    (
        "telemetry_logs",
        "level debug|info|warn|error|dpanic|panic|fatal development bool encoding json|console disable_caller bool \
         disable_stacktrace bool sampling any output_paths [string] error_output_paths [string] initial_fields {any} \
         processors any",
    ),
    ("telemetry_metrics", "level none|basic|normal|detailed readers [@telemetry_reader] views any"),
    // opentelemetry-go-contrib: otelconf/v0.3.0/generated_config.go
    ("telemetry_reader", "pull @telemetry_pull periodic any producers any"),
    ("telemetry_pull", "exporter @telemetry_exporter"),
    ("telemetry_exporter", "prometheus @prometheus"),
    (
        "prometheus",
        "host string port uint with_resource_constant_labels any without_scope_info bool without_type_suffix bool \
         without_units bool",
    ),
    // core: receiver/otlpreceiver/config.go
    ("otlp_protocols", "grpc @grpc_server http @otlp_http"),
    ("otlp_http", "+http_server traces_url_path string metrics_url_path string logs_url_path string"),
    // core: config/configgrpc/configgrpc.go
    (
        "grpc_client",
        "endpoint string compression string tls @tls_client keepalive @grpc_keepalive read_buffer_size int \
         write_buffer_size int wait_for_ready bool headers any user_agent string balancer_name round_robin|pick_first \
         authority string auth any middlewares any",
    ),
    ("grpc_keepalive", "time duration timeout duration permit_without_stream bool"),
    (
        "grpc_server",
        "+address tls any max_recv_msg_size_mib int max_concurrent_streams uint read_buffer_size int write_buffer_size \
         int keepalive @grpc_server_keepalive auth any include_metadata bool middlewares any",
    ),
    ("grpc_server_keepalive", "server_parameters @grpc_server_parameters enforcement_policy @grpc_enforcement"),
    (
        "grpc_server_parameters",
        "max_connection_idle duration max_connection_age duration max_connection_age_grace duration time duration timeout \
         duration",
    ),
    ("grpc_enforcement", "min_time duration permit_without_stream bool"),
    // core: config/confighttp/server.go
    (
        "http_server",
        "+address tls any cors any auth any max_request_body_size int include_metadata bool response_headers any \
         compression_algorithms [string] read_timeout duration read_header_timeout duration write_timeout duration \
         idle_timeout duration middlewares any keep_alives_enabled bool",
    ),
    // core: config/confignet/confignet.go
    ("address", "endpoint string transport tcp|tcp4|tcp6|unix dialer any"),
    // core: config/configtls/configtls.go
    (
        "tls_client",
        "ca_file string ca_pem string include_system_ca_certs_pool bool cert_file string cert_pem string key_file string \
         key_pem string min_version string max_version string cipher_suites [string] reload_interval duration \
         curve_preferences [string] tpm any insecure bool insecure_skip_verify bool server_name_override string",
    ),
    // core: config/configretry/backoff.go
    (
        "retry",
        "enabled bool initial_interval duration randomization_factor float multiplier float max_interval duration \
         max_elapsed_time duration",
    ),
    // core: exporter/exporterhelper/internal/timeout_sender.go
    ("timeout", "timeout duration"),
    // core: exporter/exporterhelper/internal/queuebatch/config.go; `enabled` is configoptional's.
    (
        "queue",
        "enabled bool wait_for_result bool sizer bytes|items|requests queue_size int block_on_overflow bool storage \
         string num_consumers int batch @queue_batch",
    ),
    ("queue_batch", "enabled bool flush_timeout duration sizer bytes|items min_size int max_size int partition any"),
    // core: exporter/otlpexporter/config.go
    ("otlp_grpc", "+timeout sending_queue @queue retry_on_failure @retry +grpc_client"),
    // contrib: exporter/loadbalancingexporter/config.go
    ("balanced", "otlp @otlp_grpc"),
    ("resolver", "static @resolver_static dns @resolver_dns k8s @resolver_k8s aws_cloud_map any"),
    ("resolver_static", "hostnames [string]"),
    ("resolver_dns", "hostname string port string interval duration timeout duration"),
    ("resolver_k8s", "service string ports [uint] timeout duration return_hostnames bool"),
    // contrib: internal/healthcheck/config.go and internal/http/config.go
    (
        "health_check",
        "+http_server path string response_body any check_collector_pipeline any use_v2 bool grpc @grpc_server http \
         @health_http component_health @health_components",
    ),
    ("health_http", "+http_server config @health_path status @health_path"),
    ("health_path", "enabled bool path string include_attributes bool"),
    ("health_components", "include_permanent_errors bool include_recoverable_errors bool recovery_duration duration"),
    // contrib: internal/coreinternal/attraction/attraction.go
    (
        "attribute_action",
        "key string value any pattern string from_attribute string from_context string converted_type int|double|string \
         action insert|update|upsert|delete|hash|extract|convert",
    ),
    // contrib: processor/tailsamplingprocessor/config.go
    ("policy", "+plain_policy and @and not @not composite @composite drop @drop"),
    // What another policy may hold differs: no `and` within an `and`.
    ("and_sub_policy", "+plain_policy not @not"),
    ("composite_sub_policy", "+plain_policy and @and"),
    (
        "plain_policy",
        "name string type \
         always_sample|latency|numeric_attribute|probabilistic|status_code|string_attribute|rate_limiting|composite|and|not|drop|span_count|trace_state|boolean_attribute|ottl_condition|bytes_limiting|trace_flags \
         latency @latency numeric_attribute @numeric_attribute probabilistic @probabilistic status_code @status_code \
         string_attribute @string_attribute rate_limiting @rate_limiting bytes_limiting @bytes_limiting span_count \
         @span_count trace_state @trace_state boolean_attribute @boolean_attribute ottl_condition @ottl_condition",
    ),
    ("latency", "threshold_ms int upper_threshold_ms int"),
    ("numeric_attribute", "key string min_value int max_value int invert_match bool"),
    ("probabilistic", "hash_salt string sampling_percentage float"),
    ("status_code", "status_codes [OK|ERROR|UNSET]"),
    ("string_attribute", "key string values [string] enabled_regex_matching bool cache_max_size int invert_match bool"),
    ("rate_limiting", "spans_per_second int burst_capacity int"),
    ("bytes_limiting", "bytes_per_second int burst_capacity int"),
    ("span_count", "min_spans int max_spans int"),
    ("trace_state", "key string values [string]"),
    ("boolean_attribute", "key string value bool invert_match bool"),
    ("ottl_condition", "error_mode ignore|silent|propagate span [string] spanevent [string]"),
    ("and", "and_sub_policy [@and_sub_policy]"),
    ("not", "not_sub_policy @plain_policy"),
    ("drop", "drop_sub_policy [@and_sub_policy]"),
    (
        "composite",
        "max_total_spans_per_second int policy_order [string] composite_sub_policy [@composite_sub_policy] rate_allocation \
         [@rate_allocation]",
    ),
    ("rate_allocation", "policy string percent int"),
    ("decision_cache", "sampled_cache_size int non_sampled_cache_size int"),
    // contrib: processor/filterprocessor/config.go
    ("filter_traces", "resource [string] span [string] spanevent [string]"),
    // contrib: pkg/kafka/configkafka/config.go
    (
        "kafka_client",
        "brokers [string] resolve_canonical_bootstrap_servers_only bool protocol_version string client_id string auth any \
         tls @tls_client metadata any rack_id string use_leader_epoch bool conn_idle_timeout duration",
    ),
    (
        "kafka_consumer",
        "session_timeout duration heartbeat_interval duration group_id string initial_offset latest|earliest autocommit \
         @autocommit min_fetch_size int max_fetch_size int max_fetch_wait duration max_partition_fetch_size int \
         group_rebalance_strategies [range|roundrobin|sticky|cooperative-sticky] group_rebalance_strategy string \
         group_instance_id string",
    ),
    ("autocommit", "enable bool interval duration"),
    (
        "kafka_producer",
        "max_message_bytes int max_broker_write_bytes int required_acks all|1|0|-1 compression none|gzip|snappy|lz4|zstd \
         compression_params any flush_max_messages int allow_auto_topic_creation bool linger duration",
    ),
    // contrib: exporter/kafkaexporter/config.go, receiver/kafkareceiver/config.go
    ("topic", "topic string topic_from_metadata_key string message_key_from_metadata_key string encoding string"),
    ("topics", "topics [string] encoding string exclude_topics [string]"),
    ("message_marking", "after bool on_error bool on_permanent_error bool"),
    ("header_extraction", "extract_headers bool headers [string]"),
    // jaeger: cmd/jaeger/internal/extension/jaegerquery
    ("query_storage", "traces string traces_archive string metrics string"),
    ("query_ui", "config_file string assets_path string log_access bool"),
    // jaeger: cmd/internal/storageconfig/config.go
    (
        "backend",
        "memory @memory badger any grpc any cassandra @cassandra elasticsearch @elasticsearch opensearch @elasticsearch \
         clickhouse any",
    ),
    // jaeger: internal/storage/v2/memory/config.go
    ("memory", "max_traces int"),
    // jaeger: internal/storage/v1/cassandra/options.go, internal/storage/cassandra/config/config.go
    (
        "cassandra",
        "schema @cassandra_schema connection @cassandra_connection query @cassandra_query span_store_write_cache_ttl \
         duration index @cassandra_index",
    ),
    (
        "cassandra_schema",
        "keyspace string disable_compression bool create bool datacenter string trace_ttl duration dependencies_ttl \
         duration replication_factor int compaction_window duration",
    ),
    (
        "cassandra_connection",
        "servers [string] local_dc string port int disable_auto_discovery bool connections_per_host int \
         reconnect_interval duration socket_keep_alive duration tls @tls_client timeout duration auth @cassandra_auth \
         proto_version int",
    ),
    ("cassandra_auth", "basic @cassandra_login"),
    ("cassandra_login", "username string password string allowed_authenticators [string]"),
    // gocql's names of them.
    (
        "cassandra_query",
        "timeout duration max_retry_attempts int consistency \
         ANY|ONE|TWO|THREE|QUORUM|ALL|LOCAL_QUORUM|EACH_QUORUM|LOCAL_ONE",
    ),
    ("cassandra_index", "logs bool tags bool process_tags bool tag_blacklist string tag_whitelist string"),
    // jaeger: internal/storage/elasticsearch/config/config.go and config_rotation.go
    (
        "elasticsearch",
        "server_urls [string] remote_read_clusters [string] auth any tls @tls_client sniffing any disable_health_check \
         bool health_check_timeout_startup duration send_get_body_as string query_timeout duration http_compression bool \
         custom_headers {string} bulk_processing @bulk_processing version uint log_level string indices @indices \
         use_aliases bool span_read_alias string span_write_alias string service_read_alias string service_write_alias \
         string create_mappings bool use_ilm bool max_doc_count int max_span_age duration max_trace_duration duration \
         service_cache_ttl duration adaptive_sampling_lookback duration tags_as_fields any",
    ),
    ("bulk_processing", "max_bytes int max_actions int flush_interval duration workers int"),
    ("indices", "index_prefix string spans @index services @index dependencies @index sampling @index"),
    ("index", "priority int date_layout string shards int replicas int rollover_frequency string rotation @rotation"),
    ("rotation", "periodic @periodic manual_rollover any auto_rollover any data_stream any"),
    ("periodic", "date_layout string rollover_frequency day|hour"),
];

fn group(name: &str) -> &'static str {
    GROUPS.iter().find(|(found, _)| *found == name).unwrap_or_else(|| panic!("no group is called {name}")).1
}

/// The type of a field.
fn field(fields: &'static str, key: &str) -> Option<&'static str> {
    let mut words = fields.split_whitespace();
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix('+') {
            if let Some(found) = field(group(name), key) {
                return Some(found);
            }
        } else if word == key {
            return words.next();
        } else {
            words.next();
        }
    }
    None
}

/// The fields of a component by its section and id, which is `TYPE` or `TYPE/NAME`.
fn component(section: &str, id: &str) -> Option<(&'static [Program], &'static str)> {
    let kind = id.split('/').next().unwrap_or_default();
    let found = COMPONENTS.iter().find(|(of, name, ..)| *of == section && *name == kind)?;
    Some((found.2, found.3))
}

/// What a configuration says that its program would not understand, or would understand as something else.
pub fn complaints(program: Program, config: &Value) -> Vec<String> {
    let mut wrong = unknown(Some(program), config);
    let empty = Map::new();
    let section = |name: &str| config[name].as_object().unwrap_or(&empty);
    let service = &config["service"];
    let named = |list: &Value| -> Vec<String> { words(list).map(str::to_owned).collect() };

    let extensions = named(&service["extensions"]);
    for id in &extensions {
        if !section("extensions").contains_key(id) {
            wrong.push(format!("service.extensions names {id}, which is declared nowhere"));
        }
    }
    for id in section("extensions").keys().filter(|id| !extensions.contains(id)) {
        wrong.push(format!("the extension {id} is not named by service.extensions"));
    }

    let mut used = BTreeSet::new();
    let pipelines: Vec<_> = service["pipelines"].as_object().into_iter().flatten().collect();
    if pipelines.is_empty() {
        wrong.push("there is no pipeline".to_owned());
    }
    for (name, pipeline) in pipelines {
        if !["traces", "metrics", "logs", "profiles"].contains(&name.split('/').next().unwrap_or_default()) {
            wrong.push(format!("the pipeline {name} is of no signal"));
        }
        for role in ["receivers", "processors", "exporters"] {
            let ids = named(&pipeline[role]);
            if ids.is_empty() && role != "processors" {
                wrong.push(format!("the pipeline {name} has no {role}"));
            }
            // The first processor, or what comes before it takes memory that nobody counts.
            if role == "processors" && ids.iter().skip(1).any(|id| id.starts_with("memory_limiter")) {
                wrong.push(format!("the pipeline {name} limits memory too late"));
            }
            for id in ids {
                let connects = role != "processors" && section("connectors").contains_key(&id);
                if connects {
                    used.insert((role, "connectors", id));
                } else if section(role).contains_key(&id) {
                    used.insert((role, role, id));
                } else {
                    wrong.push(format!("the pipeline {name} names {role} {id}, which is declared nowhere"));
                }
            }
        }
    }
    for of in ["receivers", "processors", "exporters"] {
        for id in section(of).keys().filter(|id| !used.contains(&(of, of, (*id).clone()))) {
            wrong.push(format!("{of} {id} is in no pipeline"));
        }
    }
    for id in section("connectors").keys() {
        for end in ["exporters", "receivers"].into_iter().filter(|end| !used.contains(&(*end, "connectors", id.clone()))) {
            wrong.push(format!("the connector {id} is among the {end} of no pipeline"));
        }
    }
    wrong.extend(lost(config));
    wrong.extend(unsound(config));
    wrong
}

/// Keys that nobody knows, and values of another type; for a part of a configuration too.
pub fn unknown(program: Option<Program>, config: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, value) in config.as_object().into_iter().flatten() {
        if key == "service" {
            check(value, "@service", key, &mut wrong);
        } else if SECTIONS.contains(&key.as_str()) {
            if !value.is_object() {
                wrong.push(format!("{key} is {value}"));
            }
            for (id, value) in value.as_object().into_iter().flatten() {
                match component(key, id) {
                    None => wrong.push(format!("nothing is known of {key} {id}")),
                    Some((programs, fields)) => {
                        if let Some(program) = program.filter(|program| !programs.contains(program)) {
                            wrong.push(format!("{program:?} has no {key} {id}"));
                        }
                        check_fields(value, fields, &format!("{key}.{id}"), &mut wrong);
                    }
                }
            }
        } else {
            wrong.push(format!("{key} is no section"));
        }
    }
    wrong
}

/// One `--set=PATH=VALUE` of Jaeger's. What a variable stands for is not looked at.
pub fn set(path: &str, value: &str) -> Vec<String> {
    let value = if value.starts_with('$') { Value::Null } else { serde_saphyr::from_str(value).unwrap_or(Value::Null) };
    let is_told = !value.is_null();
    let nested = path.rsplit('.').fold(value, |value, key| Value::Object(Map::from_iter([(key.to_owned(), value)])));
    let wrong = unknown(Some(Jaeger), &nested);
    // Where the value is a variable's, only the path counts.
    wrong.into_iter().filter(|wrong| is_told || !wrong.ends_with(" is null")).collect()
}

fn words(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn check_fields(value: &Value, fields: &'static str, at: &str, wrong: &mut Vec<String>) {
    // A component without settings has nothing behind its name.
    if value.is_null() {
        return;
    }
    let Some(map) = value.as_object() else {
        wrong.push(format!("{at} is {value}"));
        return;
    };
    for (key, value) in map {
        match field(fields, key) {
            Some(kind) => check(value, kind, &format!("{at}.{key}"), wrong),
            None => wrong.push(format!("{at} has no field {key}")),
        }
    }
    if field(fields, "and").is_some() || field(fields, "latency").is_some() {
        wrong.extend(policy(map).map(|what| format!("{at}: {what}")));
    }
}

/// A policy of sampling says its type, and of all its blocks has that type's: the program would pass over any other.
fn policy(map: &Map<String, Value>) -> Option<String> {
    let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
    let needs = !["always_sample", "trace_flags"].contains(&kind);
    let other = map.keys().find(|key| !["name", "type", kind].contains(&key.as_str()));
    if let Some(other) = other {
        Some(format!("is of type {kind:?}, and says {other}"))
    } else if map.get("name").is_none() || needs && !map.get(kind).is_some_and(Value::is_object) {
        Some(format!("lacks its name, or what type {kind:?} takes"))
    } else {
        None
    }
}

fn check(value: &Value, kind: &'static str, at: &str, wrong: &mut Vec<String>) {
    if let Some(of) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        match value.as_array() {
            Some(list) => list.iter().enumerate().for_each(|(n, value)| check(value, of, &format!("{at}[{n}]"), wrong)),
            None => wrong.push(format!("{at} is no list: {value}")),
        }
        return;
    }
    if let Some(of) = kind.strip_prefix('{').and_then(|kind| kind.strip_suffix('}')) {
        match value.as_object() {
            Some(map) => map.iter().for_each(|(key, value)| check(value, of, &format!("{at}.{key}"), wrong)),
            None => wrong.push(format!("{at} is no map: {value}")),
        }
        return;
    }
    if let Some(name) = kind.strip_prefix('@') {
        check_fields(value, group(name), at, wrong);
        return;
    }
    let text = value.as_str();
    let is_variable = text.is_some_and(|text| text.starts_with("${env:") && text.ends_with('}'));
    let fits = match kind {
        "any" => true,
        "string" => text.is_some(),
        _ if is_variable => true,
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        "uint" => value.is_u64(),
        "float" => value.is_number(),
        "duration" => text.is_some_and(|text| duration(text).is_some()),
        one_of if one_of.contains('|') => {
            let plain = text.map_or_else(|| value.to_string(), str::to_owned);
            one_of.split('|').any(|one| one == plain)
        }
        other => panic!("no type is called {other}"),
    };
    if !fits {
        let which = if kind.contains('|') { "one of " } else { "" };
        wrong.push(format!("{at} is no {which}{kind}: it is {value}"));
    }
}

/// Milliseconds of what Go takes for a duration: numbers, each with its unit.
pub fn duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut sum = 0.0;
    if text == "0" {
        return Some(0.0);
    }
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let end = after.find(|sign: char| sign.is_ascii_digit()).unwrap_or(after.len());
        sum += number
            * match &after[..end] {
                "ns" => 1e-6,
                "us" | "µs" => 1e-3,
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 6e4,
                "h" => 3.6e6,
                _ => return None,
            };
        rest = &after[end..];
    }
    (!text.is_empty()).then_some(sum)
}

/// Storages and policies that are named, and are not there.
fn lost(config: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let storage = &config["extensions"]["jaeger_storage"];
    let backends: Vec<_> = storage["backends"].as_object().into_iter().flatten().collect();
    let asked = ["traces", "traces_archive"].map(|key| &config["extensions"]["jaeger_query"]["storage"][key]);
    let written = &config["exporters"]["jaeger_storage_exporter"]["trace_storage"];
    let named: Vec<_> = asked.into_iter().chain([written]).filter_map(Value::as_str).collect();
    for name in named.iter().filter(|name| !backends.iter().any(|(found, _)| found == *name)) {
        wrong.push(format!("there is no storage {name}"));
    }
    for (name, backend) in backends {
        if backend.as_object().is_none_or(|kinds| kinds.len() != 1) {
            wrong.push(format!("the storage {name} is not of one kind"));
        }
        if !named.contains(&name.as_str()) {
            wrong.push(format!("nobody uses the storage {name}"));
        }
    }
    for (section, id, key) in [("extensions", "jaeger_query", "storage"), ("exporters", "jaeger_storage_exporter", "trace_storage")]
    {
        let one = &config[section][id];
        let name = if key == "storage" { &one[key]["traces"] } else { &one[key] };
        if !one.is_null() && name.is_null() {
            wrong.push(format!("{section}.{id} names no storage"));
        }
    }
    // The attribute in which the policy that kept a trace stands, if a feature gate says so.
    let policies: Vec<_> = words_of(&config["processors"]["tail_sampling"]["policies"], "name").collect();
    for (id, filter) in config["processors"].as_object().into_iter().flatten().filter(|(id, _)| id.starts_with("filter")) {
        for condition in words(&filter["traces"]["span"]) {
            let named = condition.split("tailsampling.policy\"]").skip(1).filter_map(|rest| rest.split('"').nth(1));
            let gone = named.filter(|name| !policies.contains(name));
            wrong.extend(gone.map(|name| format!("{id} asks for a policy {name}, which there is not")));
        }
    }
    wrong
}

fn words_of<'a>(list: &'a Value, key: &'a str) -> impl Iterator<Item = &'a str> {
    list.as_array().into_iter().flatten().filter_map(move |one| one[key].as_str())
}

/// What the types allow and the programs do not, or what makes no sense: as their `Validate` has it.
fn unsound(config: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let metrics = &config["service"]["telemetry"]["metrics"];
    let has_readers = metrics["readers"].as_array().is_some_and(|readers| !readers.is_empty());
    if metrics["level"].is_string() && (metrics["level"] == "none") == has_readers {
        wrong.push("service.telemetry.metrics has a level and no reader, or a reader and no level".to_owned());
    }
    let mut each = |section: &str, check: &dyn Fn(&Value) -> bool, what: &str| {
        for (id, one) in config[section].as_object().into_iter().flatten() {
            if !check(one) {
                wrong.push(format!("{section} {id}: {what}"));
            }
        }
    };
    let number = |value: &Value| value.as_u64();
    each(
        "processors",
        &|one| number(&one["spike_limit_mib"]).is_none_or(|spike| number(&one["limit_mib"]).is_some_and(|limit| spike < limit)),
        "the spike is as large as the limit",
    );
    let is_sound = |queue: &Value| {
        let (size, batch) = (number(&queue["queue_size"]), &queue["batch"]);
        let (least, most) = (number(&batch["min_size"]), number(&batch["max_size"]));
        let grows = least.zip(most).is_none_or(|(least, most)| least <= most);
        grows && (batch["sizer"] != queue["sizer"] || size.zip(least).is_none_or(|(size, least)| least <= size))
    };
    each("exporters", &|one| is_sound(&one["sending_queue"]) && is_sound(&one["queue"]), "a batch that its queue never holds");
    // Else the receiver would tell Kafka that a message is read when it is in the queue.
    let waits = |one: &Value| one["queue"].is_null() || one["queue"]["wait_for_result"] == true;
    let marks_after = config["receivers"]["kafka"]["message_marking"]["after"] == true;
    each("exporters", &|one| !marks_after || waits(one), "a queue that says yes before the storage does");
    let backs_off = |retry: &Value| {
        let time = |key: &str| retry[key].as_str().and_then(duration);
        // Zero is for ever.
        let end = time("max_elapsed_time").filter(|end| *end > 0.0);
        [(time("initial_interval"), time("max_interval")), (time("max_interval"), end)]
            .into_iter()
            .all(|(first, last)| first.zip(last).is_none_or(|(first, last)| first <= last))
    };
    each("exporters", &|one| backs_off(&one["retry_on_failure"]), "intervals that shrink");
    each("receivers", &|one| backs_off(&one["error_backoff"]), "intervals that shrink");
    each("exporters", &|one| one["resolver"].as_object().is_none_or(|resolver| resolver.len() == 1), "not one way to find others");
    wrong
}

/// As the programs put several files together: maps key by key, and whatever else by the last one's word.
pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
