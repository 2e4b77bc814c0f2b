//! What a core, a disk or a wire does in a second, by other people's figures and by our own.
//!
//! Where figures range, the one taken is the lowest. What nobody has published is assumed, and says so.

/// A figure and where it is from.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub value: f64,
    /// What is counted, for one of what.
    pub unit: &'static str,
    pub source: Source,
}

#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Somebody's publication: title, address, date, and what it says.
    Public { title: &'static str, address: &'static str, date: &'static str, says: &'static str },
    /// By us; how.
    Own(&'static str),
    /// By nobody; why this and not another.
    Assumed(&'static str),
}

use Source::{Assumed, Own, Public};

/// No part is planned to be busier.
pub const BUSY: f64 = 0.7;

pub const COLLECTOR: Rate = Rate {
    value: 10_000.0,
    unit: "spans/s a core, received and sent on",
    source: Public {
        title: "OpenTelemetry Collector Performance",
        address: "https://github.com/open-telemetry/opentelemetry-collector/blob/06e74e647696decf104d45f6b055b7c015c9a78b/docs/performance.md",
        date: "2020, version 0.1.3",
        says: "10,000 recommended, 12,000 sustained, spans of 20 attributes. \
               [Splunk](https://help.splunk.com/splunk-observability-cloud/manage-data/splunk-distribution-of-the-opentelemetry-collector/get-started-with-the-splunk-distribution-of-the-opentelemetry-collector/collector-requirements/sizing-and-scaling) says 15,000. \
               Jaeger 2.20 took 185,000 into memory in a measurement of ours: programs and spans differ, and the lowest is what counts here",
    },
};
pub const TAIL_SAMPLING: Rate = Rate {
    value: 8_000.0,
    unit: "spans/s a core, with tail sampling",
    source: Public {
        title: "OpenTelemetry Collector Performance",
        address: "https://github.com/open-telemetry/opentelemetry-collector/blob/06e74e647696decf104d45f6b055b7c015c9a78b/docs/performance.md",
        date: "2020, version 0.1.3",
        says: "8,000 recommended, 9,000 sustained",
    },
};
pub const SPAN_IN_MEMORY: Rate = Rate {
    value: 1_360.0,
    unit: "bytes a span that waits for a decision",
    source: Own("Jaeger 2.20, whose spans in memory are the Collector's: 1,190 to 1,360 resident, 700,000 spans, two cores"),
};
pub const KAFKA: Rate = Rate {
    value: 40.2e6,
    unit: "bytes/s into three brokers, all copies confirmed",
    source: Public {
        title: "Benchmarking Apache Kafka: 2 Million Writes Per Second (On Three Cheap Machines)",
        address: "https://engineering.linkedin.com/kafka/benchmarking-apache-kafka-2-million-writes-second-three-cheap-machines",
        date: "2014",
        says: "40.2 MB/s from one producer that waits for three copies, of messages of 100 bytes; 193 from three that do not wait. \
               Messages here are hundreds of times as large",
    },
};
pub const CASSANDRA: Rate = Rate {
    value: 2_600.0,
    unit: "rows/s a core, copies counted",
    source: Public {
        title: "Revisiting 1 Million Writes per second",
        address: "http://techblog.netflix.com/2014/07/",
        date: "2014",
        says: "a million a second, three copies, 285 machines of four cores: 2,630. \
               [In 2011](https://medium.com/netflix-techblog/benchmarking-cassandra-scalability-on-aws-over-a-million-writes-per-second-39f45f066c9e) it was 3.3 million on 288: 2,860. \
               [Scylla under Jaeger](https://medium.com/jaegertracing/how-to-maximize-span-ingestion-while-limiting-writes-per-second-to-scylla-with-jaeger-3bcda5608841) \
               does 8,750 (2020)",
    },
};
pub const CASSANDRA_ANSWER: Rate = Rate {
    value: 0.001,
    unit: "seconds until a row is written, LOCAL_QUORUM in three zones",
    source: Assumed(
        "nobody has published it for such machines. A round trip between zones is under a millisecond, and Cassandra writes to memory \
         and a log. At 2 ms, halve what ingesters carry",
    ),
};
pub const ELASTICSEARCH: Rate = Rate {
    value: 15_600.0,
    unit: "documents/s a core, copies counted",
    source: Public {
        title: "Performance test of an Elasticsearch cluster with 8-vCPU 32-GiB data nodes",
        address: "https://help.aliyun.com/en/es/product-overview/8-core-32-gib-data-node-instance-performance-test",
        date: "Elasticsearch 8.9",
        says: "375,676 small documents a second on three nodes of eight cores, without copies. A tag of Jaeger's is such a document",
    },
};
pub const LUCENE: Rate = Rate {
    value: 66.0,
    unit: "bytes a document of Lucene's on disk, one copy",
    source: Public {
        title: "Speed up SpanReader::findTraceIDs() for Elasticsearch",
        address: "https://github.com/jaegertracing/jaeger/pull/1475",
        date: "2019",
        says: "4 TiB for 33.4 billion, two copies: 66. [Another](https://github.com/jaegertracing/helm-charts/issues/339) has 8.7 GiB for \
               264 million: 35 (2021). Both count tags as documents",
    },
};
pub const NETWORK: Rate = Rate {
    value: 97.6e6,
    unit: "bytes/s in, and as many out, of a node (m6i.large, r6i.large)",
    source: Public {
        title: "Amazon EC2 Instance Types: network specifications",
        address: "https://docs.aws.amazon.com/ec2/latest/instancetypes/",
        date: "2026",
        says: "0.781 Gbit/s for as long as one likes, 12.5 for minutes",
    },
};
pub const DISK: Rate = Rate {
    value: 81.25e6,
    unit: "bytes/s between a node of that size and its volumes",
    source: Public {
        title: "Amazon EC2 Instance Types: Amazon EBS specifications",
        address: "https://docs.aws.amazon.com/ec2/latest/instancetypes/",
        date: "2026",
        says: "650 Mbit/s and 3,600 operations/s of m6a.large for as long as one likes; taken for m6i and r6i, which have the same burst. \
               A gp3 volume does more: 125 MiB/s and 3,000 operations/s",
    },
};
pub const DISK_FULL: Rate = Rate {
    value: 0.5,
    unit: "of a storage's disk for data",
    source: Assumed(
        "the other half is room to compact, to merge and to take over from a node that is away (kops/components/cassandra)",
    ),
};
pub const PODS: Rate = Rate {
    value: 110.0,
    unit: "pods a node",
    source: Public {
        title: "Considerations for large clusters",
        address: "https://kubernetes.io/docs/setup/best-practices/cluster-large/",
        date: "2026",
        says: "no more than 110, which is the kubelet's own default",
    },
};
pub const PODS_OF_NODE: Rate = Rate {
    value: 6.0,
    unit: "pods that every node has",
    source: Assumed("agent, Cilium and its operator, Envoy, the driver of volumes, and one to spare"),
};
pub const NODE_MEMORY: Rate = Rate {
    value: 6.8e9,
    unit: "bytes of a node of 8 GiB for pods",
    source: Own("Kubernetes 1.36 took 1.2 GB of a node, and 9 MB for each pod beside its program, which is counted with the pods"),
};
pub const POD_MEMORY: Rate = Rate { value: 9e6, unit: "bytes of a pod beside its program", source: Own("the same") };
pub const CORES: Rate = Rate {
    value: 2.0,
    unit: "cores a node (m6i.large, r6i.large)",
    source: Public {
        title: "Amazon EC2 Instance Types",
        address: "https://docs.aws.amazon.com/ec2/latest/instancetypes/",
        date: "2026",
        says: "two vCPUs, which are two threads of one core: the word core means a vCPU here, and in most of the figures above",
    },
};
pub const SERVICE: Rate = Rate {
    value: 24_000.0,
    unit: "calls/s a core, the caller's part and the spans included",
    source: Own("cargo bench --bench requests: 16,000 presses of three hops a second on two cores, the callers beside them"),
};
pub const LOAD: Rate = Rate {
    value: 27_000.0,
    unit: "presses/s a core of `tracelab load`",
    source: Own("30,000 presses cost a release build 1.1 s of CPU, 50 callers on loopback"),
};
pub const STORE: Rate = Rate {
    value: 1e12,
    unit: "bytes of disk a node of a storage",
    source: Assumed("more fits; but a node that is replaced fetches all of its data, and half of this takes two hours"),
};

/// Those of the document's table, in the order of a span's way.
pub const ALL: [(&str, Rate); 19] = [
    ("service", SERVICE),
    ("pods", PODS),
    ("pods of the node's own", PODS_OF_NODE),
    ("memory of a node", NODE_MEMORY),
    ("memory of a pod", POD_MEMORY),
    ("cores", CORES),
    ("agent, collector, ingester", COLLECTOR),
    ("aggregator, CPU", TAIL_SAMPLING),
    ("aggregator, memory", SPAN_IN_MEMORY),
    ("Kafka", KAFKA),
    ("Cassandra, CPU", CASSANDRA),
    ("Cassandra, time", CASSANDRA_ANSWER),
    ("OpenSearch, CPU", ELASTICSEARCH),
    ("OpenSearch, disk", LUCENE),
    ("disk, kept free", DISK_FULL),
    ("disk, size", STORE),
    ("disk, speed", DISK),
    ("network", NETWORK),
    ("load", LOAD),
];
