//! What must be true of the kops stage beside what `policy` says of both, and what its files say about themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::network;
use crate::policy::{Pods, Rule, behind, containers_where, entries, has_labels, list, pods, pods_where, shown};
use crate::requests::{memory, replicas};
use crate::stage::{Composition, documents, kops_folder};

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
    let behind = |budget: &Value| -> Vec<_> {
        let selector = &budget["spec"]["selector"]["matchLabels"];
        pods(composition).filter(|pods| has_labels(pods.labels, selector)).map(|pods| pods.name).collect()
    };
    let mut wrong = Vec::new();
    for (name, budget) in &all {
        if behind(budget).len() != 1 {
            wrong.push(format!("PodDisruptionBudget {name} is about {:?}", behind(budget)));
        }
    }
    for pods in pods(composition) {
        let own: Vec<_> = all.iter().filter(|(_, budget)| behind(budget).contains(&pods.name)).collect();
        let replicas = replicas(composition, pods);
        let lets_one_go = |budget: &Value| {
            let (may, must) = (&budget["spec"]["maxUnavailable"], &budget["spec"]["minAvailable"]);
            // A share of few pods is none of them, or all.
            may.as_u64().is_some_and(|may| 0 < may && may < replicas) && must.is_null()
        };
        let is_fine = match &own[..] {
            // It would keep the node of a single one from being drained, or say nothing.
            [] => !is_of_several(composition, pods),
            [(_, budget)] => is_of_several(composition, pods) && lets_one_go(budget),
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
    let of_nodes = composition.of_kind("Service").filter(|(_, service)| {
        let is_on_all = behind(composition, service).iter().any(|pods| pods.kind == "DaemonSet");
        is_on_all != (service["spec"]["internalTrafficPolicy"] == "Local")
    });
    of_nodes.map(|(_, service)| shown(service)).collect()
}

/// The variables of a container of the stage, with their values as they are written.
pub fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    list(&container["env"]).find(|variable| variable["name"] == name)?["value"].as_str()
}

/// A ConfigMap by its name without what kustomize adds, and its only file.
pub fn configuration(composition: &Composition, name: &str) -> Value {
    let of = |found: &str| found.rsplit_once('-').is_some_and(|(found, _)| found == name);
    let (_, map) = composition.of_kind("ConfigMap").find(|(found, _)| of(found)).unwrap_or_else(|| panic!("no {name}"));
    let [(_, text)] = entries(&map["data"]).collect::<Vec<_>>()[..] else { panic!("{name} has not one file") };
    documents(text.as_str().unwrap()).unwrap().remove(0)
}
