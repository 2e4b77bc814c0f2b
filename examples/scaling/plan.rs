//! The arithmetic: from presses a second to spans, bytes, and what each part then needs or can take.

use tracelab::topology::Topology;

use super::kept::Kept;
use super::limits::{Limit, Limits};
use super::measured::Measured;
use super::rates;

pub const DAY: f64 = 86_400.0;
/// Rows that an ingester shall write at a time (`num_consumers` of the queue that it has not yet), where that is planned.
pub const WRITERS: f64 = 32.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// As the aggregator's policies say.
    Policies,
    /// Every trace, as if there were no policies and no limits of theirs.
    All,
}

#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub topology: Topology,
    /// A second.
    pub presses: f64,
    pub sampling: Sampling,
    pub kept: Kept,
}

/// Spans of a press: every call has one at either end, and the press itself one in the frontend. Second attempts and the background
/// add a few per cent.
pub fn spans_of_press(topology: Topology) -> u64 {
    2 * topology.calls() + 1
}

/// Spans a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flow {
    pub made: f64,
    /// What the policies want, if none were limited.
    pub wanted: Classes,
    /// What they let through.
    pub kept: Classes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Classes {
    pub failed: f64,
    pub slow: f64,
    pub share: f64,
}

impl Classes {
    pub fn all(self) -> f64 {
        self.failed + self.slow + self.share
    }
}

/// Bytes a second on the ways of a span, in its order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ways {
    pub to_agents: f64,
    pub to_aggregators: f64,
    pub to_collectors: f64,
    /// Once; each copy is as much again.
    pub to_kafka: f64,
    pub to_cassandra: f64,
}

/// How many of each, and how large. Nothing is busier than [`rates::BUSY`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Needs {
    /// Machines of the group `services`, each with an agent.
    pub nodes: f64,
    pub aggregators: f64,
    /// Bytes of each, for what waits for a decision.
    pub aggregator_memory: f64,
    pub collectors: f64,
    pub brokers: f64,
    pub partitions: f64,
    /// Bytes of each broker.
    pub kafka_disk: f64,
    /// With [`WRITERS`] each.
    pub ingesters: f64,
    /// Rows that have to be under way to Cassandra at a time.
    pub writers: f64,
    pub cassandras: f64,
    /// Bytes of each.
    pub cassandra_disk: f64,
    pub opensearches: f64,
    /// Bytes of each.
    pub opensearch_disk: f64,
}

/// A part at its limit as committed.
#[derive(Clone, Debug)]
pub struct Strain {
    pub part: &'static str,
    /// Spans a second that it can take, of those that come to it.
    pub takes: f64,
    /// 1 is all that it can.
    pub used: f64,
    /// Where its size is said.
    pub limit: Limit,
    /// How somebody sees that it is too small.
    pub seen: &'static str,
}

impl Scenario {
    pub fn flow(&self, limits: &Limits) -> Flow {
        let made = self.presses * spans_of_press(self.topology) as f64;
        let (failed, slow) = (made * self.kept.failed, made * self.kept.slow);
        if self.sampling == Sampling::All {
            let all = Classes { failed, slow, share: made - failed - slow };
            return Flow { made, wanted: all, kept: all };
        }
        let wanted = Classes { failed, slow, share: (made - failed - slow) * limits.share_part.value };
        let most = |policy: &super::limits::Policy| policy.rate.value * limits.aggregators.value;
        let kept = Classes {
            failed: wanted.failed.min(most(&limits.errors)),
            slow: wanted.slow.min(most(&limits.slow)),
            share: wanted.share.min(most(&limits.share)),
        };
        Flow { made, wanted, kept }
    }

    pub fn ways(&self, limits: &Limits, measured: &Measured) -> Ways {
        let flow = self.flow(limits);
        let kept = flow.kept.all();
        Ways {
            to_agents: flow.made * measured.sent,
            to_aggregators: flow.made * measured.routed,
            to_collectors: kept * measured.gzipped,
            to_kafka: kept * measured.lz4,
            to_cassandra: kept * measured.cassandra.bytes,
        }
    }

    /// What it takes to keep what the policies want, with policies as large as that.
    pub fn needs(&self, limits: &Limits, measured: &Measured) -> Needs {
        let flow = self.flow(limits);
        let (made, kept) = (flow.made, flow.wanted.all());
        let for_rate = |amount: f64, rate: f64, least: &Limit| (amount / rate / rates::BUSY).ceil().max(least.value);

        let waiting = made * limits.decision_wait.value * rates::SPAN_IN_MEMORY.value;
        let aggregators = for_rate(made, rates::TAIL_SAMPLING.value, &limits.aggregators)
            .max((waiting / limits.aggregator_memory.value / rates::BUSY).ceil());

        let kafka = kept * measured.lz4;
        let brokers = for_rate(kafka, rates::KAFKA.value / 3.0, &limits.brokers);
        let writers = (kept * one_row_after_another(measured) / rates::BUSY).ceil();
        let ingesters = for_rate(kept, rates::COLLECTOR.value, &limits.ingesters_min).max((writers / WRITERS).ceil());
        let partitions = ingesters.max(limits.partitions.value);
        let on_disk = kafka * limits.kafka_seconds.value + partitions * limits.kafka_segment.value;

        let rows = kept * measured.cassandra.rows * limits.cassandra_copies.value;
        let cassandra = kept * measured.cassandra.lz4 * limits.cassandra_copies.value * limits.cassandra_seconds.value;
        let (cassandras, cassandra_disk) = stores(rows, rates::CASSANDRA.value, cassandra, &limits.cassandras);

        let copies = 1.0 + limits.replicas.value;
        let documents = kept * measured.opensearch.documents * copies;
        // An index goes when its whole day is old enough; until then there is one more.
        let opensearch = documents * rates::LUCENE.value * (limits.opensearch_days.value + 1.0) * DAY;
        let (opensearches, opensearch_disk) = stores(documents, rates::ELASTICSEARCH.value, opensearch, &limits.opensearches);

        let services = f64::from(self.topology.layers) * f64::from(self.topology.width);
        let calls = self.presses * (self.topology.calls() + 1) as f64;
        let busy = calls / rates::SERVICE.value
            + made * (1.0 / rates::COLLECTOR.value + 1.0 / rates::TAIL_SAMPLING.value)
            + kept * 2.0 / rates::COLLECTOR.value;
        let requested = services * limits.service_cpu.value;
        let memory = services * (limits.service_memory.value + rates::POD_MEMORY.value);
        let nodes = [
            services / (rates::PODS.value - rates::PODS_OF_NODE.value),
            memory / rates::NODE_MEMORY.value,
            requested / rates::CORES.value,
            busy / rates::CORES.value / rates::BUSY,
        ];
        Needs {
            nodes: nodes.into_iter().fold(limits.nodes.value, |most, nodes| most.max(nodes.ceil())),
            aggregators,
            aggregator_memory: waiting / aggregators,
            collectors: for_rate(kept, rates::COLLECTOR.value, &limits.collectors_min),
            brokers,
            partitions,
            kafka_disk: on_disk * limits.kafka_copies.value / brokers / rates::BUSY,
            ingesters,
            writers,
            cassandras,
            cassandra_disk,
            opensearches,
            opensearch_disk,
        }
    }

    /// Every part of the tracing as committed, with Cassandra; the most strained first.
    pub fn strains(&self, limits: &Limits, measured: &Measured) -> Vec<Strain> {
        let flow = self.flow(limits);
        let mut strains: Vec<_> = parts(limits, measured)
            .into_iter()
            .filter(|part| self.sampling == Sampling::Policies || !part.of_policy())
            .map(|part| {
                let used = part.gets(&flow) / part.takes;
                Strain { part: part.name, takes: part.takes, used, limit: part.limit, seen: part.seen }
            })
            .collect();
        strains.sort_by(|a, b| b.used.total_cmp(&a.used));
        strains
    }

    /// Seconds that Kafka as committed keeps of this, while the storage is away.
    pub fn kafka_lasts(&self, limits: &Limits, measured: &Measured) -> f64 {
        let room = limits.partitions.value * limits.kafka_bytes.value;
        (room / self.ways(limits, measured).to_kafka).min(limits.kafka_seconds.value)
    }
}

/// Seconds that an ingester takes for a span: Jaeger writes its rows one after the other, and a partition's spans too.
pub fn one_row_after_another(measured: &Measured) -> f64 {
    measured.cassandra.rows * rates::CASSANDRA_ANSWER.value
}

/// Nodes of a storage, and bytes of disk for each.
fn stores(writes: f64, a_core: f64, bytes: f64, least: &Limit) -> (f64, f64) {
    let by_cpu = writes / (a_core * rates::CORES.value) / rates::BUSY;
    let by_disk = bytes / rates::DISK_FULL.value / rates::STORE.value;
    let nodes = by_cpu.ceil().max(by_disk.ceil()).max(least.value);
    (nodes, bytes / rates::DISK_FULL.value / nodes)
}

/// Which spans come to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Made,
    Failed,
    Slow,
    Share,
    Kept,
}

/// A part of the tracing as committed.
pub struct Part {
    pub name: &'static str,
    of: Of,
    /// Spans a second.
    pub takes: f64,
    pub limit: Limit,
    pub seen: &'static str,
}

impl Part {
    fn of_policy(&self) -> bool {
        matches!(self.of, Of::Failed | Of::Slow | Of::Share)
    }

    /// Which spans, in words.
    pub fn of(&self) -> &'static str {
        match self.of {
            Of::Made => "all",
            Of::Failed => "with an error",
            Of::Slow => "slow",
            Of::Share => "of the share",
            Of::Kept => "kept",
        }
    }

    fn gets(&self, flow: &Flow) -> f64 {
        match self.of {
            Of::Made => flow.made,
            Of::Failed => flow.wanted.failed,
            Of::Slow => flow.wanted.slow,
            Of::Share => flow.wanted.share,
            Of::Kept => flow.kept.all(),
        }
    }
}

/// What every part as committed can take, in the order of a span's way. One that has to be somewhere counts with one core, a storage
/// with its node's two.
pub fn parts(limits: &Limits, measured: &Measured) -> Vec<Part> {
    let count = limits.aggregators.value;
    let policy = |name, of, rate: &Limit, seen| Part { name, of, takes: rate.value * count, limit: rate.clone(), seen };
    let part = |name, of, takes, limit: &Limit, seen| Part { name, of, takes, limit: limit.clone(), seen };
    let store = limits.cassandras.value * rates::CORES.value * rates::CASSANDRA.value;
    let disk = limits.cassandras.value * limits.cassandra_disk.value * rates::DISK_FULL.value;
    let a_span = measured.cassandra.lz4 * limits.cassandra_copies.value * limits.cassandra_seconds.value;
    let in_memory = limits.decision_wait.value * rates::SPAN_IN_MEMORY.value;
    let (writers, writers_limit) = match &limits.ingester_writers {
        Some(each) => (limits.ingesters.value * each.value, each),
        None => (limits.partitions.value, &limits.partitions),
    };
    vec![
        part(
            "agents, CPU",
            Of::Made,
            limits.nodes.value * rates::COLLECTOR.value,
            &limits.nodes,
            "`otelcol_exporter_queue_size{exporter=\"load_balancing\"}` grows",
        ),
        part(
            "network of the aggregators' nodes",
            Of::Made,
            count * rates::NETWORK.value / measured.routed,
            &limits.aggregators,
            "`otelcol_exporter_send_failed_spans{exporter=\"load_balancing\"}`",
        ),
        part(
            "aggregators, CPU",
            Of::Made,
            count * rates::TAIL_SAMPLING.value,
            &limits.aggregators,
            "`otelcol_exporter_queue_size{exporter=\"load_balancing\"}` of the agents grows",
        ),
        part(
            "aggregators, memory",
            Of::Made,
            count * limits.aggregator_memory.value / in_memory,
            &limits.aggregator_memory,
            "`otelcol_receiver_refused_spans`",
        ),
        policy(
            "policy `errors`",
            Of::Failed,
            &limits.errors.rate,
            "`…_tail_sampling_count_traces_sampled{policy=\"errors\"}` is level",
        ),
        policy("policy `slow`", Of::Slow, &limits.slow.rate, "the same of `slow`"),
        policy("policy `share`", Of::Share, &limits.share.rate, "the same of `share`"),
        part(
            "collectors, CPU",
            Of::Kept,
            limits.collectors.value * rates::COLLECTOR.value,
            &limits.collectors,
            "`otelcol_exporter_queue_size{exporter=\"otlp_grpc/share\"}` of the aggregators grows",
        ),
        part(
            "Kafka, bytes",
            Of::Kept,
            rates::KAFKA.value / measured.lz4,
            &limits.brokers,
            "`otelcol_exporter_send_failed_spans{exporter=\"kafka\"}`",
        ),
        part(
            "ingesters, row after row",
            Of::Kept,
            writers / one_row_after_another(measured),
            writers_limit,
            "LAG of `kafka-consumer-groups.sh` grows, and no CPU is busy",
        ),
        part(
            "Cassandra, CPU",
            Of::Kept,
            store / measured.cassandra.rows / limits.cassandra_copies.value,
            &limits.cassandras,
            "`nodetool tpstats`: pending and dropped mutations",
        ),
        part("Cassandra, disk", Of::Kept, disk / a_span, &limits.cassandra_disk, "`kubelet_volume_stats_available_bytes`"),
    ]
}
