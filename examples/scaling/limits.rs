//! What the committed manifests allow, each number with the place where it stands.
//!
//! Everything is read from the files, so that the document cannot say what they do not.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

/// A number of a manifest. Bytes, seconds, cores or a count, as its name says.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    pub value: f64,
    /// Below the repository's folder.
    pub file: &'static str,
    /// From 1.
    pub line: usize,
}

impl Limit {
    /// The place as a link in kops/SCALING.md.
    pub fn link(&self) -> String {
        let (name, relative) = match self.file.strip_prefix("kops/") {
            Some(name) => (name, name.to_owned()),
            None => (self.file, format!("../{}", self.file)),
        };
        format!("[{name}:{}]({relative}#L{})", self.line, self.line)
    }
}

/// All that `plan`, `kept` and `burst` ask of the manifests.
#[derive(Clone, Debug)]
pub struct Limits {
    pub agent_memory: Limit,
    pub agent_queue: Limit,
    pub agent_patience: Limit,

    pub aggregators: Limit,
    pub decision_wait: Limit,
    pub num_traces: Limit,
    pub errors: Policy,
    pub slow: Policy,
    pub share: Policy,
    /// Part of one, of the traces that are neither failed nor slow.
    pub share_part: Limit,
    /// Milliseconds.
    pub slow_from: Limit,
    pub aggregator_memory: Limit,
    pub causes_queue: Limit,
    pub share_queue: Limit,
    pub share_patience: Limit,
    /// Batches of a queue that are under way at a time.
    pub senders: Limit,
    pub batch_min: Limit,
    pub batch_max: Limit,

    pub collectors: Limit,
    pub collectors_min: Limit,

    pub brokers: Limit,
    pub partitions: Limit,
    pub kafka_copies: Limit,
    pub kafka_seconds: Limit,
    pub kafka_bytes: Limit,
    pub kafka_segment: Limit,
    pub kafka_disk: Limit,

    pub ingesters: Limit,
    pub ingesters_min: Limit,
    /// Rows that an ingester writes at a time.
    pub ingester_writers: Limit,

    pub cassandras: Limit,
    pub cassandra_copies: Limit,
    pub cassandra_seconds: Limit,
    pub cassandra_disk: Limit,
    /// Tags that have no row of an index.
    pub unindexed: Vec<String>,

    pub opensearches: Limit,
    pub shards: Limit,
    /// Beside the first.
    pub replicas: Limit,
    pub opensearch_days: Limit,
    pub opensearch_disk: Limit,

    pub nodes: Limit,
    pub stores: Limit,
    pub service_memory: Limit,
    pub service_cpu: Limit,
    pub load_cpu: Limit,
}

/// Spans a second that a policy keeps, for each aggregator, and how many at once.
#[derive(Clone, Debug)]
pub struct Policy {
    pub rate: Limit,
    pub burst: Limit,
}

impl Limits {
    /// Reads them below `root`, the repository's folder.
    ///
    /// # Errors
    /// A file or a number is not where it was; the text names both.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let open = |file| Manifest::open(root, file);
        let agent = open("kops/tracing/agent/pipeline.yaml")?;
        let aggregator = open("kops/tracing/aggregator/pipeline.yaml")?;
        let aggregators = open("kops/tracing/aggregator/aggregator.yaml")?;
        let collectors = open("kops/tracing/collector/collector.yaml")?;
        let kafka = open("kops/tracing/kafka/kafka.yaml")?;
        let topics = open("kops/tracing/kafka/topics.yaml")?;
        let ingesters = open("kops/tracing/ingester/ingester.yaml")?;
        let ingester = open("kops/tracing/ingester/pipeline.yaml")?;
        let cassandra = open("kops/components/cassandra/cassandra.yaml")?;
        let schema = open("kops/components/cassandra/schema.yaml")?;
        let tags = open("kops/components/cassandra/storage.yaml")?;
        let opensearch = open("kops/components/opensearch/opensearch.yaml")?;
        let storage = open("kops/components/opensearch/storage.yaml")?;
        let cleaner = open("kops/components/opensearch/cleaner.yaml")?;
        let cluster = open("kops/cluster.yaml")?;
        let service = open("kind/base/service.yaml")?;
        let load = open("kops/load/job.yaml")?;

        let sampling = "/processors/tail_sampling";
        let policy = |name| {
            let rate = aggregator.policy(name, "/1/rate_limiting/spans_per_second")?;
            Ok::<_, anyhow::Error>(Policy { rate, burst: aggregator.policy(name, "/1/rate_limiting/burst_capacity")? })
        };
        let percent = aggregator.policy("share", "/0/probabilistic/sampling_percentage")?;
        let schema_env = |name| schema.variable("Job", "/spec/template/spec/containers/0/env", name);
        let topic_env = |name| topics.variable("Job", "/spec/template/spec/containers/0/env", name);
        let disk = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage";
        let spans = "/extensions/jaeger_storage/backends/traces/opensearch/indices/spans";
        let requests = "/spec/template/spec/containers/0/resources/requests";
        Ok(Self {
            agent_memory: agent.memory()?,
            agent_queue: agent.at("/exporters/load_balancing/sending_queue/queue_size")?,
            agent_patience: agent.at("/exporters/load_balancing/retry_on_failure/max_elapsed_time")?,

            aggregators: aggregators.of("StatefulSet", "/spec/replicas")?,
            decision_wait: aggregator.at(&format!("{sampling}/decision_wait"))?,
            num_traces: aggregator.at(&format!("{sampling}/num_traces"))?,
            errors: policy("errors")?,
            slow: policy("slow")?,
            share: policy("share")?,
            share_part: Limit { value: percent.value / 100.0, ..percent },
            slow_from: aggregator.policy("slow", "/0/latency/threshold_ms")?,
            aggregator_memory: aggregator.memory()?,
            causes_queue: aggregator.at("/exporters/otlp_grpc~1causes/sending_queue/queue_size")?,
            share_queue: aggregator.at("/exporters/otlp_grpc~1share/sending_queue/queue_size")?,
            share_patience: aggregator.at("/exporters/otlp_grpc~1share/retry_on_failure/max_elapsed_time")?,
            senders: aggregator.at("/exporters/otlp_grpc~1causes/sending_queue/num_consumers")?,
            batch_min: aggregator.at("/exporters/otlp_grpc~1causes/sending_queue/batch/min_size")?,
            batch_max: aggregator.at("/exporters/otlp_grpc~1causes/sending_queue/batch/max_size")?,

            collectors: collectors.of("HorizontalPodAutoscaler", "/spec/maxReplicas")?,
            collectors_min: collectors.of("HorizontalPodAutoscaler", "/spec/minReplicas")?,

            brokers: kafka.of("StatefulSet", "/spec/replicas")?,
            partitions: topic_env("PARTITIONS")?,
            kafka_copies: topic_env("COPIES")?,
            kafka_seconds: topic_env("RETENTION_MS").map(|limit| Limit { value: limit.value / 1e3, ..limit })?,
            kafka_bytes: topic_env("RETENTION_BYTES")?,
            kafka_segment: topic_env("SEGMENT_BYTES")?,
            kafka_disk: kafka.of("StatefulSet", disk)?,

            ingesters: ingesters.of("HorizontalPodAutoscaler", "/spec/maxReplicas")?,
            ingesters_min: ingesters.of("HorizontalPodAutoscaler", "/spec/minReplicas")?,
            ingester_writers: ingester.at("/exporters/jaeger_storage_exporter/queue/num_consumers")?,

            cassandras: cassandra.of("StatefulSet", "/spec/replicas")?,
            cassandra_copies: schema_env("REPLICATION_FACTOR")?,
            cassandra_seconds: schema_env("TRACE_TTL")?,
            cassandra_disk: cassandra.of("StatefulSet", disk)?,
            unindexed: tags.words("/extensions/jaeger_storage/backends/traces/cassandra/index/tag_blacklist")?,

            opensearches: opensearch.of("StatefulSet", "/spec/replicas")?,
            shards: storage.at(&format!("{spans}/shards"))?,
            replicas: storage.at(&format!("{spans}/replicas"))?,
            opensearch_days: cleaner.of("CronJob", "/spec/jobTemplate/spec/template/spec/containers/0/args/0")?,
            opensearch_disk: opensearch.of("StatefulSet", disk)?,

            nodes: cluster.named("services", "/spec/maxSize")?,
            stores: cluster.named("stores", "/spec/maxSize")?,
            service_memory: service.of("Deployment", &format!("{requests}/memory"))?,
            service_cpu: service.of("Deployment", &format!("{requests}/cpu"))?,
            load_cpu: load.of("Job", &format!("{requests}/cpu"))?,
        })
    }
}

/// A file of YAML, one or several documents.
struct Manifest {
    file: &'static str,
    text: String,
    documents: Vec<Value>,
}

impl Manifest {
    fn open(root: &Path, file: &'static str) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
        let documents = serde_saphyr::from_multiple(&text).map_err(|error| anyhow::anyhow!("{file} is no YAML: {error}"))?;
        Ok(Self { file, text, documents })
    }

    /// In a file of one document.
    fn at(&self, pointer: &str) -> anyhow::Result<Limit> {
        self.find(|_| true, &[], pointer)
    }

    /// In the first document of a kind.
    fn of(&self, kind: &str, pointer: &str) -> anyhow::Result<Limit> {
        self.find(|document| document["kind"] == kind, &[&format!("kind: {kind}")], pointer)
    }

    /// In the document of that name.
    fn named(&self, name: &str, pointer: &str) -> anyhow::Result<Limit> {
        self.find(|document| document["metadata"]["name"] == name, &[&format!("name: {name}")], pointer)
    }

    /// The value of a container's variable.
    fn variable(&self, kind: &str, list: &str, name: &str) -> anyhow::Result<Limit> {
        let document = self.documents.iter().find(|document| document["kind"] == kind);
        let variables = document.and_then(|document| document.pointer(list)).and_then(Value::as_array);
        let variable = variables.and_then(|variables| variables.iter().find(|variable| variable["name"] == name));
        let value = variable.with_context(|| format!("{} has no variable {name}", self.file))?;
        self.limit(&value["value"], &[name])
    }

    /// Words with commas between them.
    fn words(&self, pointer: &str) -> anyhow::Result<Vec<String>> {
        let found = self.documents.iter().find_map(|document| document.pointer(pointer)?.as_str());
        let text = found.with_context(|| format!("{} has nothing at {pointer}", self.file))?;
        Ok(text.split(',').map(str::to_owned).collect())
    }

    /// A number of the policy with that name.
    fn policy(&self, name: &str, pointer: &str) -> anyhow::Result<Limit> {
        let policies =
            self.documents.iter().find_map(|document| document.pointer("/processors/tail_sampling/policies")?.as_array());
        let policy = policies.and_then(|policies| policies.iter().find(|policy| policy["name"] == name));
        let value = policy.and_then(|policy| policy.pointer(&format!("/and/and_sub_policy{pointer}")));
        let value = value.with_context(|| format!("{}: the policy {name} has nothing at {pointer}", self.file))?;
        self.limit(value, &[&format!("name: {name}"), pointer.rsplit('/').next().unwrap_or(pointer)])
    }

    /// From when on the memory limiter refuses.
    fn memory(&self) -> anyhow::Result<Limit> {
        let limit = self.at("/processors/memory_limiter/limit_mib")?;
        let spike = self.at("/processors/memory_limiter/spike_limit_mib")?;
        Ok(Limit { value: (limit.value - spike.value) * 1024.0 * 1024.0, ..limit })
    }

    fn find(&self, document: impl Fn(&&Value) -> bool, before: &[&str], pointer: &str) -> anyhow::Result<Limit> {
        let found = self.documents.iter().find(document).and_then(|document| document.pointer(pointer));
        let value = found.with_context(|| format!("{} has nothing at {pointer}", self.file))?;
        let keys = pointer.split('/').filter(|part| !part.is_empty() && part.parse::<usize>().is_err());
        let keys: Vec<_> = keys.map(|key| key.replace("~1", "/") + ":").collect();
        let way: Vec<_> = before.iter().copied().chain(keys.iter().map(String::as_str)).collect();
        self.limit(value, &way)
    }

    /// `way` is what comes before the value, in this order.
    fn limit(&self, value: &Value, way: &[&str]) -> anyhow::Result<Limit> {
        let written = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let number = quantity(&written, self.file.ends_with("pipeline.yaml"));
        let number = number.with_context(|| format!("{} has {written} where a number was", self.file))?;
        let mut at = 0;
        for text in way.iter().copied().chain([written.as_str()]) {
            let found = self.text[at..].find(text).with_context(|| format!("{} has no {text:?} where it was", self.file))?;
            at += found + text.len();
        }
        Ok(Limit { value: number, file: self.file, line: self.text[..at].lines().count() })
    }
}

/// A number with one of the suffixes that manifests have: times in seconds, memory in bytes, CPU in cores. An `m` is a thousandth to
/// Kubernetes, and a minute to a Collector.
fn quantity(text: &str, collector: bool) -> Option<f64> {
    let m = if collector { 60.0 } else { 1e-3 };
    let suffixes = [("Ki", 1024.0), ("Mi", 1_048_576.0), ("Gi", 1_073_741_824.0), ("ms", 1e-3), ("m", m), ("s", 1.0), ("", 1.0)];
    suffixes.into_iter().find_map(|(suffix, factor)| Some(text.strip_suffix(suffix)?.parse::<f64>().ok()? * factor))
}
