//! What must be true of the kops stage beside what `policy` says of both, and what its files say about themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::network::Network;
use crate::policy::{Pods, Rule, behind, containers_where, entries, has_labels, list, pods, pods_where, shown, variables};
use crate::requests::{memory, replicas};
use crate::stage::{Composition, documents, kops_folder};
use crate::{collector, network, programs};

pub const RULES: &[Rule] = &[
    ("of what there are several, one may go at a time", budgets),
    ("no two of a store are on one node, or in one zone of three", apart),
    ("what there are several of is spread over nodes", spread),
    ("an autoscaler has a target, and its number is nobody else's", scaled),
    ("nobody scales the aggregators", unscaled),
    ("every volume has a size", sized),
    ("who is told to stop has the time for it", graceful),
    ("no password is written down", passwords),
    ("one Service is for the world", doors),
    ("an agent is its own node's", local),
    ("what belongs together says the same", together),
    ("every host that is told is a Service that lets one in", hosts),
    ("every port is somebody's business", network::claims),
    ("names are asked where they are answered, and nothing else outside is called", network::names),
];

/// A file of the stage.
pub fn file(path: &str) -> String {
    std::fs::read_to_string(kops_folder().join(path)).unwrap_or_else(|error| panic!("kops/{path}: {error}"))
}

/// The Secrets that `kops/up` makes, and their keys.
pub fn made_by_up() -> &'static BTreeMap<String, BTreeSet<String>> {
    static MADE: OnceLock<BTreeMap<String, BTreeSet<String>>> = OnceLock::new();
    MADE.get_or_init(|| {
        let up = file("up");
        let (mut made, mut each) = (BTreeMap::<_, BTreeSet<_>>::new(), Vec::new());
        for line in up.lines().map(str::trim_start) {
            if let Some(names) = line.strip_prefix("for each in ").and_then(|names| names.split(';').next()) {
                each = names.split_whitespace().collect();
            } else if let Some(words) = line.strip_prefix("put ") {
                let (name, flags) = words.split_once(' ').unwrap();
                let names = if name == "\"$each\"" { each.clone() } else { vec![name] };
                let keys = flags.split("--from-file=\"").skip(1).filter_map(|flag| Some(flag.split_once('=')?.0.to_owned()));
                let keys: BTreeSet<_> = keys.collect();
                for name in names {
                    made.entry(name.to_owned()).or_default().extend(keys.iter().cloned());
                }
            }
        }
        made
    })
}

/// How many machines the cluster has for pods.
pub fn nodes() -> u64 {
    let groups = documents(&file("cluster.yaml")).unwrap();
    let workers = groups.iter().filter(|group| group["spec"]["role"] == "Node");
    workers.map(|group| group["spec"]["minSize"].as_u64().unwrap()).sum()
}

fn is_of_several(composition: &Composition, pods: Pods) -> bool {
    ["Deployment", "StatefulSet"].contains(&pods.kind) && replicas(composition, pods) > 1
}

fn budgets(composition: &Composition) -> Vec<String> {
    let all: Vec<_> = composition.of_kind("PodDisruptionBudget").collect();
    let about = |budget: &Value| -> Vec<_> {
        let selector = &budget["spec"]["selector"]["matchLabels"];
        pods(composition).filter(|pods| has_labels(pods.labels, selector)).map(|pods| pods.name).collect()
    };
    let all: Vec<_> = all.into_iter().map(|(name, budget)| (name, budget, about(budget))).collect();
    let mut wrong = Vec::new();
    for (name, _, about) in all.iter().filter(|(_, _, about)| about.len() != 1) {
        wrong.push(format!("PodDisruptionBudget {name} is about {about:?}"));
    }
    for pods in pods(composition) {
        let own: Vec<_> = all.iter().filter(|(_, _, about)| about.contains(&pods.name)).collect();
        let replicas = replicas(composition, pods);
        let lets_one_go = |budget: &Value| {
            let (may, must) = (&budget["spec"]["maxUnavailable"], &budget["spec"]["minAvailable"]);
            // A share of few pods is none of them, or all.
            may.as_u64().is_some_and(|may| 0 < may && may < replicas) && must.is_null()
        };
        let is_fine = match &own[..] {
            // It would keep the node of a single one from being drained, or say nothing.
            [] => !is_of_several(composition, pods),
            [(_, budget, _)] => is_of_several(composition, pods) && lets_one_go(budget),
            _ => false,
        };
        if !is_fine {
            wrong.push(format!("{} has {replicas} pods and {} budgets that do not fit", shown(pods.workload), own.len()));
        }
    }
    wrong
}

fn is_store(pods: Pods) -> bool {
    pods.kind == "StatefulSet" && pods.label("component") == Some("store")
}

fn apart(composition: &Composition) -> Vec<String> {
    pods_where(composition, |pods| {
        let own = json!({"matchLabels": pods.workload["spec"]["selector"]["matchLabels"]});
        let rules = &pods.spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let by_node = list(rules).any(|rule| rule["topologyKey"] == "kubernetes.io/hostname" && rule["labelSelector"] == own);
        let by_zone = constraints(pods, "topology.kubernetes.io/zone").any(|rule| rule["whenUnsatisfiable"] == "DoNotSchedule");
        is_store(pods) && !(by_node && by_zone)
    })
}

/// How pods are spread over what differs in this label, as far as it is the pods themselves that are counted.
fn constraints<'a>(pods: Pods<'a>, key: &'a str) -> impl Iterator<Item = &'a Value> {
    let own = &pods.workload["spec"]["selector"]["matchLabels"];
    list(&pods.spec["topologySpreadConstraints"])
        .filter(move |rule| rule["topologyKey"] == key && rule["labelSelector"]["matchLabels"] == *own)
}

fn spread(composition: &Composition) -> Vec<String> {
    pods_where(composition, |pods| {
        let is_spread = constraints(pods, "kubernetes.io/hostname").next().is_some();
        is_of_several(composition, pods) && !is_store(pods) && !is_spread
    })
}

fn scaled(composition: &Composition) -> Vec<String> {
    let wrong = composition.of_kind("HorizontalPodAutoscaler").filter(|(_, scaler)| {
        let (target, spec) = (&scaler["spec"]["scaleTargetRef"], &scaler["spec"]);
        let kind = target["kind"].as_str().unwrap_or_default();
        let Some((_, workload)) = composition.of_kind(kind).find(|(name, _)| target["name"] == *name) else { return true };
        let number = |key: &str| spec[key].as_u64().unwrap_or_default();
        // Applied again, a number of the Deployment's own would undo what the autoscaler did.
        workload["apiVersion"] != target["apiVersion"]
            || !workload["spec"]["replicas"].is_null()
            || !(2..number("maxReplicas")).contains(&number("minReplicas"))
            || list(&spec["metrics"]).next().is_none()
    });
    wrong.map(|(_, scaler)| shown(scaler)).collect()
}

fn unscaled(composition: &Composition) -> Vec<String> {
    let scalers = composition.of_kind("HorizontalPodAutoscaler");
    let scalers = scalers.filter(|(_, scaler)| scaler["spec"]["scaleTargetRef"]["name"] == "jaeger-aggregator");
    let fleeting = composition.of_kind("Deployment").filter(|(name, _)| *name == "jaeger-aggregator");
    let missing = composition.of_kind("StatefulSet").all(|(name, _)| name != "jaeger-aggregator");
    let missing = missing.then(|| "there is no StatefulSet jaeger-aggregator".to_owned());
    scalers.chain(fleeting).map(|(_, object)| shown(object)).chain(missing).collect()
}

/// What is asked for of disks: object, claim, bytes of all of them.
pub fn disks(composition: &Composition) -> Vec<(String, u64)> {
    let size = |claim: &Value| memory(&claim["spec"]["resources"]["requests"]["storage"]).unwrap_or_default();
    let claims = composition.of_kind("PersistentVolumeClaim").map(|(name, claim)| (name.to_owned(), size(claim)));
    let templates = pods(composition).flat_map(|pods| {
        let claims = list(&pods.workload["spec"]["volumeClaimTemplates"]);
        claims.map(move |claim| (pods.name.to_owned(), size(claim) * replicas(composition, pods)))
    });
    claims.chain(templates).collect()
}

fn sized(composition: &Composition) -> Vec<String> {
    let without = disks(composition).into_iter().filter(|(_, bytes)| *bytes == 0).map(|(name, _)| name);
    // What is written where no limit is fills the node.
    let unlimited = pods_where(composition, |pods| {
        list(&pods.spec["volumes"]).any(|volume| volume["emptyDir"].is_object() && volume["emptyDir"]["sizeLimit"].is_null())
    });
    // Only whoever has a group of its own can write to a disk.
    let locked = pods_where(composition, |pods| {
        let claims = list(&pods.workload["spec"]["volumeClaimTemplates"]).count();
        let volumes = list(&pods.spec["volumes"]).filter(|volume| !volume["persistentVolumeClaim"].is_null()).count();
        claims + volumes > 0 && pods.spec["securityContext"]["fsGroup"].is_null()
    });
    without.chain(unlimited).chain(locked).collect()
}

fn graceful(composition: &Composition) -> Vec<String> {
    containers_where(composition, |pods, container| {
        let sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or_default();
        sleep >= pods.spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(30)
    })
}

fn passwords(composition: &Composition) -> Vec<String> {
    let secrets = composition.of_kind("Secret").map(|(_, secret)| shown(secret));
    let told = containers_where(composition, |_, container| {
        list(&container["env"]).any(|variable| {
            let name = variable["name"].as_str().unwrap_or_default();
            let is_secret = ["PASSWORD", "TOKEN", "SECRET"].iter().any(|word| name.ends_with(word));
            is_secret && variable["valueFrom"]["secretKeyRef"].is_null()
        })
    });
    secrets.chain(told).collect()
}

fn doors(composition: &Composition) -> Vec<String> {
    let is_open = |service: &Value| service["spec"]["type"].is_string() && service["spec"]["type"] != "ClusterIP";
    let open: Vec<_> = composition.of_kind("Service").filter(|(_, service)| is_open(service)).collect();
    let is_door = |(name, service): &(&str, &Value)| {
        let ports: Vec<_> = list(&service["spec"]["ports"]).map(|port| &port["port"]).collect();
        // It counts wrong logins by who calls, which it sees only so.
        *name == "door" && ports == [443] && service["spec"]["externalTrafficPolicy"] == "Local"
    };
    let ways = ["Ingress", "Gateway"].into_iter().flat_map(|kind| composition.of_kind(kind)).map(|(_, object)| shown(object));
    if open.len() == 1 && open.iter().all(is_door) {
        ways.collect()
    } else {
        ways.chain(open.iter().map(|(_, service)| shown(service))).chain(["nobody, or not only the door".to_owned()]).collect()
    }
}

fn local(composition: &Composition) -> Vec<String> {
    let all: Vec<_> = pods(composition).collect();
    let of_nodes = composition.of_kind("Service").filter(|(_, service)| {
        let is_on_all = behind(&all, service).iter().any(|pods| pods.kind == "DaemonSet");
        is_on_all != (service["spec"]["internalTrafficPolicy"] == "Local")
    });
    of_nodes.map(|(_, service)| shown(service)).collect()
}

/// A variable of a pod's, as it is written.
fn variable<'a>(composition: &'a Composition, pods: &str, name: &str) -> Option<&'a str> {
    let pods = self::pods(composition).find(|found| found.name == pods)?;
    let mut all = pods.containers().flat_map(|container| list(&container["env"]));
    all.find(|variable| variable["name"] == name)?["value"].as_str()
}

fn variable_number(composition: &Composition, pods: &str, name: &str) -> u64 {
    variable(composition, pods, name).and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// The configuration of a program; empty where there is none.
pub fn configuration(composition: &Composition, pods: &str) -> Value {
    programs::runs(composition).into_iter().find(|run| run.pods.name == pods).map(|run| run.config).unwrap_or_default()
}

fn milliseconds(value: &Value) -> f64 {
    value.as_str().and_then(collector::duration).unwrap_or(f64::NAN)
}

/// What `kops/tracing/README.md` says belongs together, and what does besides: each with whether it does.
fn together(composition: &Composition) -> Vec<String> {
    let [agent, aggregator, collector, ingester] =
        ["jaeger-agent", "jaeger-aggregator", "jaeger-collector", "jaeger-ingester"].map(|name| configuration(composition, name));
    let query = configuration(composition, "jaeger-query");
    let of_topic = |name| variable_number(composition, "kafka-topics", name);
    let scaler = composition.of_kind("HorizontalPodAutoscaler").find(|(name, _)| *name == "jaeger-ingester");
    let most = scaler.and_then(|(_, scaler)| scaler["spec"]["maxReplicas"].as_u64());
    let brokers = pods(composition).find(|pods| pods.name == "kafka").map_or(0, |pods| replicas(composition, pods));
    let disks = disks(composition).into_iter().find(|(name, _)| name == "kafka").map_or(0, |(_, bytes)| bytes);

    let (from, to) = (&collector["exporters"]["kafka"], &ingester["receivers"]["kafka"]);
    let written = &from["traces"];
    let topics: Vec<_> = list(&to["traces"]["topics"]).collect();
    let topic = variable(composition, "kafka-topics", "TOPIC").unwrap_or_default();
    let max_size = |exporter: &Value| exporter["sending_queue"]["batch"]["max_size"].as_u64().unwrap_or(u64::MAX);
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let messages = [
        max_size(from),
        number(&from["producer"]["max_message_bytes"]),
        of_topic("MAX_MESSAGE_BYTES"),
        number(&to["max_partition_fetch_size"]),
        number(&to["max_fetch_size"]),
    ];
    let receives = |config: &Value| number(&config["receivers"]["otlp"]["protocols"]["grpc"]["max_recv_msg_size_mib"]) << 20;
    let ways = ["causes", "share"].map(|way| &aggregator["exporters"][format!("otlp_grpc/{way}")]);
    let tail = &aggregator["processors"]["tail_sampling"];
    let gate =
        pods(composition).filter(|pods| pods.name == "jaeger-aggregator").flat_map(|pods| pods.containers()).any(|container| {
            list(&container["args"])
                .any(|word| word.as_str().is_some_and(|word| word.ends_with("tailsamplingprocessor.recordpolicy")))
        });
    let filtered = aggregator["processors"].to_string().contains("tailsampling.policy");
    let ends = aggregator["service"]["pipelines"].as_object().map_or(0, serde_json::Map::len);
    let bursts = list(&tail["policies"]).map(|policy| policy.pointer("/and/and_sub_policy/1/rate_limiting"));
    let rates: Vec<_> = bursts.flatten().map(|rate| (number(&rate["spans_per_second"]), number(&rate["burst_capacity"]))).collect();
    let queues: Vec<_> = ways.iter().map(|way| number(&way["sending_queue"]["queue_size"])).collect();
    let spares = |config: &Value, name: &str| {
        let limiter = &config["processors"]["memory_limiter"];
        let waits: u64 = entries(&config["exporters"]).map(|(_, one)| number(&one["sending_queue"]["queue_size"])).sum();
        (name.to_owned(), waits <= (number(&limiter["limit_mib"]) << 20) / 2)
    };

    let mut all = vec![
        ("as many ingesters as partitions, at most".to_owned(), most == Some(of_topic("PARTITIONS"))),
        ("a message is no larger than who takes it takes".to_owned(), messages.is_sorted()),
        (
            "a batch on its way to a collector is no larger than that takes".to_owned(),
            ways.iter().all(|way| max_size(way) <= receives(&collector)),
        ),
        (
            "Kafka's volumes hold what is kept on them".to_owned(),
            brokers * of_topic("PARTITIONS") * (of_topic("RETENTION_BYTES") + of_topic("SEGMENT_BYTES")) <= disks,
        ),
        (
            "one topic, which the Job makes".to_owned(),
            written["topic"] == topic && topics == [&json!(topic)] && written["encoding"] == to["traces"]["encoding"],
        ),
        ("every broker has a copy, and one may be away".to_owned(), {
            let copies = [of_topic("COPIES"), variable_number(composition, "kafka", "KAFKA_DEFAULT_REPLICATION_FACTOR")];
            let least = [of_topic("MIN_IN_SYNC"), variable_number(composition, "kafka", "KAFKA_MIN_INSYNC_REPLICAS")];
            copies == [brokers; 2] && least == [brokers - 1; 2] && from["producer"]["required_acks"] == "all"
        }),
        (
            "nobody but the Job makes a topic".to_owned(),
            from["producer"]["allow_auto_topic_creation"] == false
                && variable(composition, "kafka", "KAFKA_AUTO_CREATE_TOPICS_ENABLE") == Some("false"),
        ),
        (
            "a collector answers before the aggregator gives it up".to_owned(),
            ways.iter().all(|way| milliseconds(&from["timeout"]) < milliseconds(&way["timeout"])),
        ),
        ("collectors wait for Kafka's word".to_owned(), from["sending_queue"]["wait_for_result"] == true),
        (
            "what is read is marked when it is stored".to_owned(),
            to["message_marking"]["after"] == true && to["message_marking"]["on_error"] == false,
        ),
        ("the policy is noted where it is asked for".to_owned(), filtered && gate && ends == 3),
        (
            "the first of the policies is the last to be short, and each burst holds more than the longest trace".to_owned(),
            rates.len() == 4 && rates.is_sorted_by(|one, next| one.0 > next.0) && rates.iter().all(|(_, burst)| *burst > 10 * 1863),
        ),
        ("causes have more room than the share".to_owned(), queues[0] >= 6 * queues[1] && queues[1] > 0),
        (
            "agents send all of a trace to one aggregator, however many there are".to_owned(),
            agent["exporters"]["load_balancing"]["routing_key"] == "traceID"
                && composition
                    .of_kind("Service")
                    .any(|(name, service)| name == "jaeger-aggregator" && service["spec"]["clusterIP"] == "None"),
        ),
        (
            "agents have heard of an aggregator's end before it ends".to_owned(),
            pods(composition).filter(|pods| pods.name == "jaeger-aggregator").flat_map(|pods| pods.containers()).all(|container| {
                let seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_f64().unwrap_or_default();
                let asks = milliseconds(&agent["exporters"]["load_balancing"]["resolver"]["dns"]["interval"]);
                seconds * 1000.0 > asks
            }),
        ),
        (
            "query is where the door and the frontend have it".to_owned(),
            query["extensions"]["jaeger_query"]["base_path"] == "/jaeger" && file("door/door.conf").contains("location /jaeger/ {"),
        ),
        spares(&agent, "what waits in an agent is a part of its memory"),
        spares(&aggregator, "what waits in an aggregator is a part of its memory"),
        spares(&collector, "what waits in a collector is a part of its memory"),
    ];
    let backend = &query["extensions"]["jaeger_storage"]["backends"]["traces"];
    all.push((
        "who writes and who reads have the same storage".to_owned(),
        *backend == ingester["extensions"]["jaeger_storage"]["backends"]["traces"] && backend.is_object(),
    ));
    if composition.has("cassandra") {
        let cassandra = &backend["cassandra"];
        let keyspace = cassandra["schema"]["keyspace"].as_str();
        let center = cassandra["connection"]["local_dc"].as_str();
        let told = |pods: &str, name: &str| variable(composition, pods, name);
        let copies = variable_number(composition, "cassandra-schema", "REPLICATION_FACTOR");
        let nodes = pods(composition).find(|pods| pods.name == "cassandra").map_or(0, |pods| replicas(composition, pods));
        all.extend([
            (
                "one keyspace".to_owned(),
                keyspace.is_some()
                    && keyspace == told("cassandra-schema", "KEYSPACE")
                    && keyspace == told("jaeger-dependencies", "CASSANDRA_KEYSPACE"),
            ),
            (
                "one data center".to_owned(),
                center.is_some()
                    && [
                        ("cassandra", "CASSANDRA_DC"),
                        ("cassandra-schema", "DATACENTER"),
                        ("jaeger-dependencies", "CASSANDRA_LOCAL_DC"),
                    ]
                    .iter()
                    .all(|(pods, name)| center == told(pods, name)),
            ),
            ("every node has every trace".to_owned(), copies == nodes && cassandra["query"]["consistency"] == "LOCAL_QUORUM"),
            ("the Job makes the tables".to_owned(), cassandra["schema"]["create"] == false),
            (
                "the login comes from its Secret".to_owned(),
                cassandra["connection"]["auth"]["basic"]
                    == json!({"username": "${env:CASSANDRA_USERNAME}", "password": "${env:CASSANDRA_PASSWORD}"}),
            ),
        ]);
    } else {
        let opensearch = &backend["opensearch"];
        let cleaner = pods(composition).find(|pods| pods.name == "opensearch-cleaner");
        let days = cleaner.and_then(|pods| pods.containers().next()?["args"][0].as_str()?.parse::<f64>().ok());
        let nodes = pods(composition).find(|pods| pods.name == "opensearch").map_or(0, |pods| replicas(composition, pods));
        let indices = ["spans", "services", "dependencies", "sampling"].map(|index| &opensearch["indices"][index]["replicas"]);
        all.extend([
            (
                "nobody looks for what is removed".to_owned(),
                days.is_some_and(|days| (days - milliseconds(&opensearch["max_span_age"]) / 8.64e7).abs() < f64::EPSILON),
            ),
            ("one node may be away".to_owned(), indices.iter().all(|copies| (1..nodes).contains(&number(copies)))),
        ]);
    }
    all.into_iter().filter(|(_, holds)| !holds).map(|(what, _)| what).collect()
}

/// Variables that name Services without a port, and the port that is meant.
const NAMES: [(&str, u64); 5] = [
    ("CASSANDRA_SEEDS", 7000),
    ("CASSANDRA_CONTACT_POINTS", 9042),
    ("CQLSH_HOST", 9042),
    ("CASSANDRA_LAST", 9042),
    ("discovery.seed_hosts", 9300),
];

/// Every host that is told, with its port, is a Service's: here there is no other that anybody calls.
fn hosts(composition: &Composition) -> Vec<String> {
    let network = Network::new(composition);
    let mut wrong = Vec::new();
    for pods in pods(composition) {
        let mut called = Vec::new();
        for (name, value) in pods.containers().flat_map(|container| variables(composition, container)) {
            called.extend(network::hosts(value).map(|(host, port)| (host.trim_start_matches('.').to_owned(), port)));
            if let Some((_, port)) = NAMES.iter().find(|(known, _)| *known == name) {
                called.extend(value.split(',').map(|host| (host.to_owned(), *port)));
            }
        }
        let maps = list(&pods.spec["volumes"]).map(|volume| &volume["configMap"]["name"]);
        let maps = maps.flat_map(|map| composition.of_kind("ConfigMap").filter(move |(name, _)| map == name));
        let files = maps.flat_map(|(_, map)| entries(&map["data"])).filter_map(|(_, text)| text.as_str());
        // nginx's.
        let servers = files.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("server ")?.strip_suffix(';'));
        called.extend(servers.flat_map(network::hosts).map(|(host, port)| (host.to_owned(), port)));
        let is_own = |host: &str| host == "localhost" || !host.starts_with(|first: char| first.is_ascii_alphabetic());
        let lost = called.into_iter().filter(|(host, port)| !is_own(host) && !network.leads(composition, pods, host, *port));
        wrong.extend(lost.map(|(host, port)| format!("{} does not reach {host}:{port}", shown(pods.workload))));
    }
    wrong
}
