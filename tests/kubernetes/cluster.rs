//! The cluster that `kops/up` asks kops for, as it fills it in, and figures that the kops stage's READMEs state.

use std::process::Command;

use serde_json::{Value, json};

use crate::kops::{configuration, disks, file, nodes};
use crate::policy::{Pods, list, pods};
use crate::requests::{Requests, of_all, surge};
use crate::stage::{Composition, documents};
use crate::{collector, requests};

/// What stands in the variables of `kops/up` here.
const NAME: &str = "tracelab.example";
const STORE: &str = "s3://state";
const ADMIN: &str = "203.0.113.7/32";
pub const ZONES: [&str; 2] = ["eu-west-1a eu-west-1b eu-west-1c", "eu-west-1b"];

/// The machines that the cluster is made of: CPUs, and GiB of memory.
const MACHINES: [(&str, u64, u64); 3] = [("t3.large", 2, 8), ("m6i.large", 2, 8), ("r6i.large", 2, 16)];
/// What Kubernetes and its system pods take of each, in thousandths: kubelet, Cilium, CSI driver, names and metrics.
const SYSTEM: u64 = 500;

/// `kops/cluster.yaml` by the function of `kops/up` that fills it in.
pub fn filled_in(zones: &str) -> String {
    fill_in(&file("cluster.yaml"), zones)
}

/// Another one in its place.
pub fn fill_in(cluster: &str, zones: &str) -> String {
    let up = file("up");
    let function =
        up.split_once("\nfill_in() {\n").and_then(|(_, rest)| rest.split_once("\n}\n")).expect("kops/up has no fill_in").0;
    let work = tempfile::tempdir().unwrap();
    std::fs::create_dir(work.path().join("kops")).unwrap();
    std::fs::write(work.path().join("kops/cluster.yaml"), cluster).unwrap();
    let script = format!("set -u\nfail() {{ echo \"$2\" >&2; exit 9; }}\nfill_in() {{\n{function}\n}}\nfill_in\n");
    let output = Command::new("sh")
        .args(["-c", &script])
        .envs([
            ("work", work.path().to_str().unwrap()),
            ("zones", zones),
            ("cluster", NAME),
            ("state_store", STORE),
            ("admin", ADMIN),
        ])
        .current_dir(work.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read_to_string(work.path().join("cluster.yaml")).unwrap()
}

/// What is wrong with a cluster that is filled in; none of it would show before somebody looks.
pub fn complaints(text: &str, zones: &str) -> Vec<String> {
    let objects = documents(text).unwrap();
    let of_kind = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
    let [cluster] = of_kind("Cluster").collect::<Vec<_>>()[..] else { return vec!["not one cluster".to_owned()] };
    let spec = &cluster["spec"];
    let zones: Vec<_> = zones.split(' ').collect();
    let groups: Vec<_> = of_kind("InstanceGroup").collect();
    let names =
        |list_of: &Value| -> Vec<String> { list(list_of).filter_map(|one| one["name"].as_str().map(str::to_owned)).collect() };
    let of_role = |role: &'static str| groups.iter().filter(move |group| group["spec"]["role"] == role);
    let subnets: Vec<_> = list(&spec["subnets"]).collect();
    let private: Vec<_> =
        subnets.iter().filter(|subnet| subnet["type"] == "Private").filter_map(|subnet| subnet["name"].as_str()).collect();
    let in_each = |kind: &str| {
        let mut found: Vec<_> =
            subnets.iter().filter(|subnet| subnet["type"] == kind).filter_map(|subnet| subnet["zone"].as_str()).collect();
        found.sort_unstable();
        let mut zones = zones.clone();
        zones.sort_unstable();
        found == zones
    };
    let is_world = |network: &Value| network.as_str().is_none_or(|network| network.ends_with("/0"));
    let api: Vec<_> = list(&spec["kubernetesApiAccess"]).collect();
    let etcd: Vec<_> = list(&spec["etcdClusters"]).collect();
    let members: Vec<_> = etcd.iter().flat_map(|one| list(&one["etcdMembers"])).collect();
    let planes: Vec<_> = of_role("Master").filter_map(|group| group["metadata"]["name"].as_str()).collect();
    let mut networks: Vec<_> = subnets.iter().filter_map(|subnet| range(subnet["cidr"].as_str()?)).collect();
    networks.sort_unstable();
    let all = spec["networkCIDR"].as_str().and_then(range).unwrap_or_default();
    let left = ["CLUSTER_NAME", "STATE_STORE", "ADMIN_NETWORK", "ZONE_", "of three"].iter().any(|left| text.contains(left));

    let claims = [
        ("all is filled in", !left && cluster["metadata"]["name"] == NAME && spec["configBase"] == format!("{STORE}/{NAME}")),
        ("Kubernetes 1.36", spec["kubernetesVersion"].as_str().is_some_and(|version| version.starts_with("1.36."))),
        ("on AWS", spec["cloudProvider"] == "aws" || spec["cloudProvider"]["aws"].is_object()),
        ("what is made can be told from what others made", spec["cloudLabels"] == json!({"tracelab": "kops"})),
        ("one network reaches the API", api == [ADMIN] && !api.iter().any(|network| is_world(network))),
        (
            "nobody reaches a machine by SSH",
            spec["sshAccess"] == json!([]) && spec["sshKeyName"] == "" && of_kind("SSHCredential").next().is_none(),
        ),
        ("policies are carried out by Cilium", spec["networking"] == json!({"cilium": {}})),
        ("rights are those of RBAC", spec["authorization"] == json!({"rbac": {}}) && spec["kubelet"]["anonymousAuth"] == false),
        (
            "a private and a public subnet in each zone",
            in_each("Private") && in_each("Utility") && subnets.len() == 2 * zones.len(),
        ),
        (
            "subnets are apart, and in the network",
            networks.windows(2).all(|pair| pair[0].1 < pair[1].0) && networks.iter().all(|one| all.0 <= one.0 && one.1 <= all.1),
        ),
        (
            "every machine is in a private subnet, and has no address of its own",
            groups.iter().all(|group| {
                let own: Vec<_> = list(&group["spec"]["subnets"]).filter_map(Value::as_str).collect();
                !own.is_empty() && own.iter().all(|subnet| private.contains(subnet)) && group["spec"]["associatePublicIp"] != true
            }),
        ),
        (
            "every disk of a machine is encrypted",
            groups.iter().all(|group| group["spec"]["rootVolumeEncryption"] == true && group["spec"]["rootVolumeSize"].is_u64()),
        ),
        ("every disk of etcd is encrypted", !members.is_empty() && members.iter().all(|member| member["encryptedVolume"] == true)),
        (
            "etcd is on every control plane node, and there are one or three",
            names(&spec["etcdClusters"]) == ["main", "events"]
                && etcd.iter().all(|one| {
                    let on: Vec<_> = list(&one["etcdMembers"]).filter_map(|member| member["instanceGroup"].as_str()).collect();
                    on == planes
                })
                && planes.len() == zones.len(),
        ),
        (
            "every control plane node is one, in a zone of its own",
            of_role("Master").all(|group| group["spec"]["minSize"] == 1 && group["spec"]["maxSize"] == 1)
                && of_role("Master").zip(&private).all(|(group, subnet)| group["spec"]["subnets"] == json!([subnet])),
        ),
        (
            "nodes are in every zone",
            of_role("Node").count() == 2 && of_role("Node").all(|group| list(&group["spec"]["subnets"]).count() == zones.len()),
        ),
        ("three nodes at least for three of each store", of_role("Node").all(|group| group["spec"]["minSize"].as_u64() >= Some(3))),
        ("every group is the cluster's", groups.iter().all(|group| group["metadata"]["labels"]["kops.k8s.io/cluster"] == NAME)),
        (
            "nothing has to tolerate a taint",
            groups
                .iter()
                .flat_map(|group| list(&group["spec"]["taints"]))
                .all(|taint| taint.as_str().is_some_and(|taint| taint.ends_with(":PreferNoSchedule"))),
        ),
        (
            "autoscalers have their metrics, and volumes their driver",
            spec["metricsServer"]["enabled"] == true && spec["cloudConfig"]["awsEBSCSIDriver"]["enabled"] == true,
        ),
    ];
    claims.into_iter().filter(|(_, holds)| !holds).map(|(claim, _)| claim.to_owned()).collect()
}

/// The first and the last address of a network.
fn range(network: &str) -> Option<(u32, u32)> {
    let (address, length) = network.split_once('/')?;
    let address = u32::from(address.parse::<std::net::Ipv4Addr>().ok()?);
    let rest = u32::MAX.checked_shr(length.parse().ok()?).unwrap_or_default();
    Some((address & !rest, address | rest))
}

/// What breaks a cluster: a part of the file, what stands there then, and the claim that does not hold any more.
pub const BREAKS: &[(&str, &str, &str)] = &[
    ("name: CLUSTER_NAME\nspec:", "name: CLUSTER\nspec:", "all is filled in"),
    ("kubernetesVersion: 1.36.3", "kubernetesVersion: 1.35.3", "Kubernetes 1.36"),
    ("cloudProvider: aws", "cloudProvider: gce", "on AWS"),
    ("cloudLabels: {tracelab: kops}", "cloudLabels: {}", "what is made can be told"),
    ("[ADMIN_NETWORK]", "[ADMIN_NETWORK, 0.0.0.0/0]", "one network reaches the API"),
    ("[ADMIN_NETWORK]", "[\"::/0\"]", "one network reaches the API"),
    ("sshAccess: []", "sshAccess: [0.0.0.0/0]", "by SSH"),
    ("sshAccess: []", "sshAccess: [\"::/0\"]", "by SSH"),
    ("sshKeyName: \"\"", "sshKeyName: admin", "by SSH"),
    ("networking: {cilium: {}}", "networking: {cni: {}}", "by Cilium"),
    ("rbac: {}", "alwaysAllow: {}", "those of RBAC"),
    ("name: a, type: Private", "name: a, type: Public", "a private and a public subnet"),
    ("zone: ZONE_C, cidr: 172.20.192", "zone: ZONE_B, cidr: 172.20.192", "a private and a public subnet"),
    ("172.20.128.0/18", "172.20.96.0/18", "subnets are apart"),
    ("172.20.0.0/20", "172.21.0.0/20", "subnets are apart"),
    ("  subnets: [a]", "  subnets: [utility-a]", "every machine is in a private subnet"),
    ("machineType: r6i.large", "machineType: r6i.large\n  associatePublicIp: true", "every machine is in a private subnet"),
    ("rootVolumeEncryption: true\n  nodeLabels", "rootVolumeEncryption: false\n  nodeLabels", "disk of a machine"),
    ("control-plane-b, encryptedVolume: true", "control-plane-b", "disk of etcd"),
    ("instanceGroup: control-plane-c", "instanceGroup: control-plane-b", "etcd is on every control plane node"),
    ("name: events", "name: event", "etcd is on every control plane node"),
    ("minSize: 1\n  maxSize: 1", "minSize: 1\n  maxSize: 2", "every control plane node is one"),
    ("    - c # of three\n---", "---", "nodes are in every zone"),
    ("minSize: 3", "minSize: 2", "three nodes at least"),
    ("  name: stores\n  labels: {kops.k8s.io/cluster: CLUSTER_NAME}", "  name: stores", "every group is the cluster's"),
    ("PreferNoSchedule", "NoSchedule", "tolerate"),
    ("metricsServer: {enabled: true", "metricsServer: {enabled: false", "autoscalers have their metrics"),
];

/// Whether all of it has room on the nodes, when all Deployments are rolled out at once.
pub fn crowding(composition: &Composition) -> Option<String> {
    let groups = documents(&file("cluster.yaml")).unwrap();
    let mut room = Requests::default();
    for group in groups.iter().filter(|group| group["spec"]["role"] == "Node") {
        let machine = MACHINES.iter().find(|(name, ..)| group["spec"]["machineType"] == *name);
        let (_, cpus, memory) = machine.unwrap_or_else(|| panic!("nothing is known of {}", group["spec"]["machineType"]));
        let one = Requests { pods: 110, cpu: cpus * 1000 - SYSTEM, memory: (memory - 1) << 30 };
        room = room + one * group["spec"]["minSize"].as_u64().unwrap();
    }
    let asked = requests::resting(composition) + surge(composition);
    let fits = asked.pods <= room.pods && asked.cpu <= room.cpu && asked.memory <= room.memory;
    (!fits).then(|| format!("{asked} of {room}"))
}

fn of_part(composition: &Composition, is_it: impl Fn(Pods) -> bool) -> Requests {
    pods(composition).filter(|pods| is_it(*pods)).map(|pods| of_all(composition, pods)).sum()
}

/// Sentences of README files, made of what the configurations say: file and sentence.
pub fn sentences(composition: &Composition) -> Vec<(&'static str, String)> {
    let tracing = "tracing/README.md";
    let all = of_part(composition, |pods| ["tracing", "store"].contains(&pods.label("component").unwrap_or_default()));
    let cassandra = of_part(composition, |pods| pods.name == "cassandra");
    let volumes: u64 =
        disks(composition).iter().filter(|(name, _)| ["kafka", "cassandra"].contains(&name.as_str())).map(|(_, bytes)| bytes).sum();
    let [agent, aggregator] = ["jaeger-agent", "jaeger-aggregator"].map(|name| configuration(composition, name));
    let number =
        |config: &Value, at: &str| config.pointer(at).and_then(Value::as_u64).unwrap_or_else(|| panic!("nothing is at {at}"));
    let seconds = |config: &Value, at: &str| {
        let text = config.pointer(at).and_then(Value::as_str).unwrap_or_else(|| panic!("nothing is at {at}"));
        collector::duration(text).unwrap() / 1000.0
    };
    let policy = |n: usize| {
        let at = format!("/processors/tail_sampling/policies/{n}/and/and_sub_policy/1/rate_limiting");
        let of = |key: &str| thousands(number(&aggregator, &format!("{at}/{key}")));
        (of("spans_per_second"), of("burst_capacity"))
    };
    let (errors, slow, share) = (policy(0), policy(1), policy(2));
    let mib = |config: &Value, at: &str| number(config, at) >> 20;
    let soft = |config: &Value| {
        number(config, "/processors/memory_limiter/limit_mib") - number(config, "/processors/memory_limiter/spike_limit_mib")
    };
    let queue = |name: &str| mib(&aggregator, &format!("/exporters/otlp_grpc~1{name}/sending_queue/queue_size"));
    let scaled = |name: &str| {
        let (_, scaler) = composition.of_kind("HorizontalPodAutoscaler").find(|(found, _)| *found == name).unwrap();
        format!("{} to {}", scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"])
    };
    let topic = |name: &str| {
        let job = pods(composition).find(|pods| pods.name == "kafka-topics").unwrap();
        let value =
            job.containers().flat_map(|container| list(&container["env"])).find(|variable| variable["name"] == name).unwrap();
        value["value"].as_str().unwrap().parse::<u64>().unwrap()
    };
    let tail = "/processors/tail_sampling";
    vec![
        (
            tracing,
            format!(
                "{:.1} CPUs and {:.1} GiB on {} nodes, of which Cassandra is {} and {}, and volumes of {} GiB.",
                f64::from(u32::try_from(all.cpu).unwrap()) / 1000.0,
                f64::from(u32::try_from(all.memory >> 20).unwrap()) / 1024.0,
                word(nodes()),
                f64::from(u32::try_from(cassandra.cpu).unwrap()) / 1000.0,
                cassandra.memory >> 30,
                volumes >> 30
            ),
        ),
        (tracing, format!("| the tenth of them | {} spans a second, for each aggregator, bursts of {} |", share.0, share.1)),
        (tracing, format!("| slow traces | {} spans a second, bursts of {}.", slow.0, slow.1)),
        (tracing, format!("| errors | {} spans a second, bursts of {}.", errors.0, errors.1)),
        (tracing, format!("| the tenth of them, in a jam | a queue of {} MiB, and half a minute |", queue("share"))),
        (tracing, format!("| slow ones and errors, in a jam | a queue of {} MiB, without end |", queue("causes"))),
        (tracing, format!("{} MiB of an aggregator, {} of an agent", soft(&aggregator), soft(&agent))),
        (
            tracing,
            format!("| {} MiB of an agent, and {} minutes |", mib(&agent, "/exporters/load_balancing/sending_queue/queue_size"), {
                let minutes = seconds(&agent, "/exporters/load_balancing/retry_on_failure/max_elapsed_time") / 60.0;
                word(format!("{minutes:.0}").parse().unwrap())
            }),
        ),
        (tracing, format!("a trace of more than {} MiB", mib(&aggregator, &format!("{tail}/maximum_trace_size_bytes")))),
        (tracing, format!("waits {} s, then", seconds(&aggregator, &format!("{tail}/decision_wait_after_root_received")))),
        (tracing, format!("{} partitions", topic("PARTITIONS"))),
        (
            tracing,
            format!(
                "{} hours, or {} GiB for each of {} partitions",
                topic("RETENTION_MS") / 3_600_000,
                topic("RETENTION_BYTES") >> 30,
                topic("PARTITIONS")
            ),
        ),
        (tracing, scaled("jaeger-collector")),
        (tracing, scaled("jaeger-ingester")),
        (
            "components/cassandra/README.md",
            format!("{} GiB each", (disks(composition).iter().find(|(name, _)| name == "cassandra").unwrap().1 / 3) >> 30),
        ),
        ("components/cassandra/README.md", {
            let job = pods(composition).find(|pods| pods.name == "cassandra-schema").unwrap();
            let days = |name: &str| {
                let all = job.containers().flat_map(|container| list(&container["env"]));
                let value = all.into_iter().find(|variable| variable["name"] == name).unwrap()["value"].as_str().unwrap();
                value.parse::<u64>().unwrap() / 86_400
            };
            assert_eq!(days("DEPENDENCIES_TTL"), 30);
            let mut word = word(days("TRACE_TTL")).to_owned();
            word[..1].make_ascii_uppercase();
            format!("**How long.** {word} days: `TRACE_TTL`")
        }),
    ]
}

/// Those about OpenSearch.
pub fn sentences_of_opensearch(composition: &Composition) -> Vec<(&'static str, String)> {
    let cleaner = pods(composition).find(|pods| pods.name == "opensearch-cleaner").unwrap();
    let days = cleaner.containers().next().and_then(|container| container["args"][0].as_str()).unwrap();
    vec![("components/opensearch/README.md", format!("removes those of more than {} days", word(days.parse().unwrap())))]
}

fn word(number: u64) -> &'static str {
    let words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    usize::try_from(number).ok().and_then(|number| words.get(number)).copied().unwrap_or("many")
}

/// 12,345.
fn thousands(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", thousands(number / 1000), number % 1000) }
}
