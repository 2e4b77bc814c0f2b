//! What must be true of the objects of every composition, rule by rule. Who may speak to whom is in `network`.
//!
//! A rule says which objects break it; `tests/kubernetes.rs` breaks each rule once, so that none of them is empty.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::kops::{self, made_by_up};
use crate::network;
use crate::programs;
use crate::stage::{Composition, name};

const LABEL: &str = "app.kubernetes.io";
/// What everything is a part of, and where it is.
pub const STAGE: &str = "tracelab";
/// What pods are for; a policy or a patch that means all of a kind has no other word for them.
const PARTS: [&str; 7] = ["service", "frontend", "tracing", "gateway", "store", "mail", "collector"];
/// These too in the kops stage.
const PARTS_OF_KOPS: [&str; 3] = ["door", "setup", "load"];
/// These components change a few of the services, all of a number alike: 0, 1 and 2 of each layer.
pub const OF_A_SUBSET: [&str; 2] = ["mesh", "sidecar"];
const SUBSET: u16 = 3;
/// Whoever has one of these knows the answer, or may ask for it.
const SECRETS: [&str; 3] = ["TRACELAB_MYSTERY", "TRACELAB_SEED", "TRACELAB_INSTRUCTOR_TOKEN"];

pub type Rule = (&'static str, fn(&Composition) -> Vec<String>);

pub const RULES: &[Rule] = &[
    ("the namespace refuses what is not restricted", restricted_namespace),
    ("all is in one namespace", one_namespace),
    ("no pod runs as root", ordinary_user),
    ("every pod has the runtime's seccomp profile", seccomp),
    ("no container gains a privilege", unprivileged),
    ("no container writes to its image", read_only),
    ("no pod has anything of its node", nothing_of_the_host),
    ("no pod has a token", tokenless),
    ("no pod has variables of Services", no_service_links),
    ("every container requests CPU and memory", requesting),
    ("every container's memory is limited", limited),
    ("no container's CPU is limited", unthrottled),
    ("every container with a port is probed there", probed),
    ("every image has a version", versioned),
    ("what a pod refers to is there", references),
    ("every Service leads to one workload", services),
    ("no port of the nodes is taken twice", node_ports),
    ("what is applied again is not changed again", explicit),
    ("every object is a part of the stage", part_of),
    ("labels and names agree", labels),
    ("labels and images agree about the version", versions),
    ("nothing tells the culprit from the others", alike),
    ("nobody but the frontend knows the answer", ignorant),
    ("nobody may speak to anybody but by a policy", network::denied),
    ("nobody may speak to the world", network::world),
    ("a policy's selectors select something", network::selectors),
    ("a policy's ports are ports of its pods", network::ports),
    ("who shall be reached is reached, and nobody else", network::reach),
    ("every address in a setting is one that answers", network::addresses),
    ("a file that a container is told of is there", programs::mounted),
    ("a configuration is one that its program takes", programs::taken),
    ("a configuration's variables are its container's", programs::told),
    ("a program listens where its container's ports are", programs::open),
    ("what a configuration calls is a Service that lets it in", programs::called),
    ("memory runs out in an order that nobody is killed by", programs::remembering),
];

/// Which rules are broken, and by what.
pub fn complaints(composition: &Composition) -> Vec<String> {
    let own = if composition.is_kops() { kops::RULES } else { &[] };
    let broken = RULES.iter().chain(own);
    let broken = broken.flat_map(|(rule, broken_by)| broken_by(composition).into_iter().map(move |what| format!("{rule}: {what}")));
    broken.collect()
}

/// The pods that an object makes.
#[derive(Clone, Copy)]
pub struct Pods<'a> {
    pub kind: &'a str,
    pub workload: &'a Value,
    pub name: &'a str,
    pub labels: &'a Value,
    pub spec: &'a Value,
}

/// Of whatever kind: an object with a template of pods.
pub fn pods(composition: &Composition) -> impl Iterator<Item = Pods<'_>> {
    composition.objects.iter().filter_map(|workload| {
        let templates = ["/spec/template", "/spec/jobTemplate/spec/template", ""];
        let template =
            templates.iter().filter_map(|at| workload.pointer(at)).find(|template| template["spec"]["containers"].is_array())?;
        let (kind, labels) = (workload["kind"].as_str().unwrap_or_default(), &template["metadata"]["labels"]);
        Some(Pods { kind, workload, name: name(workload), labels, spec: &template["spec"] })
    })
}

impl<'a> Pods<'a> {
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.labels[format!("{LABEL}/{key}")].as_str()
    }

    pub fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        ["containers", "initContainers"].into_iter().flat_map(|key| list(&spec[key]))
    }

    /// Ports of containers: name and number.
    pub fn ports(&self) -> Vec<(&'a str, u64)> {
        let ports = self.containers().flat_map(|container| list(&container["ports"]));
        ports.map(|port| (port["name"].as_str().unwrap_or_default(), port["containerPort"].as_u64().unwrap_or_default())).collect()
    }

    /// The number of a port that is told by number or name.
    pub fn port(&self, told: &Value) -> Option<u64> {
        let ports = self.ports();
        ports.iter().find(|(name, number)| told == name || told == number).map(|(_, number)| *number)
    }

    fn is_service(&self) -> bool {
        self.label("component") == Some("service")
    }
}

pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn restricted_namespace(composition: &Composition) -> Vec<String> {
    let ours = composition.of_kind("Namespace").find(|(name, _)| *name == STAGE);
    let level = |(_, object): (_, &Value)| object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].clone();
    let level = ours.map(level).unwrap_or_default();
    if level == "restricted" { Vec::new() } else { vec![format!("Namespace {STAGE} enforces {level}")] }
}

fn one_namespace(composition: &Composition) -> Vec<String> {
    let elsewhere =
        composition.objects.iter().filter(|object| object["kind"] != "Namespace" && object["metadata"]["namespace"] != STAGE);
    elsewhere.map(|object| format!("{} is in {}", shown(object), object["metadata"]["namespace"])).collect()
}

/// The pods of which something is not as it must be.
pub fn pods_where(composition: &Composition, is_wrong: impl Fn(Pods) -> bool) -> Vec<String> {
    pods(composition).filter(|pods| is_wrong(*pods)).map(|pods| shown(pods.workload)).collect()
}

/// The containers of which something is not as it must be.
pub fn containers_where(composition: &Composition, is_wrong: impl Fn(Pods, &Value) -> bool) -> Vec<String> {
    let all = pods(composition).flat_map(|pods| pods.containers().map(move |container| (pods, container)));
    let wrong = all.filter(|(pods, container)| is_wrong(*pods, container));
    wrong.map(|(pods, container)| format!("{}, container {}", shown(pods.workload), container["name"])).collect()
}

/// A container's own word counts, then its pod's.
fn context<'a>(pods: Pods<'a>, container: &'a Value, key: &str) -> &'a Value {
    let own = &container["securityContext"][key];
    if own.is_null() { &pods.spec["securityContext"][key] } else { own }
}

fn ordinary_user(composition: &Composition) -> Vec<String> {
    // By number: of a name no kubelet can tell whether it is root.
    let is_ordinary = |user: &Value| user.as_u64().is_some_and(|user| user > 0);
    containers_where(composition, |pods, container| {
        context(pods, container, "runAsNonRoot") != true || !is_ordinary(context(pods, container, "runAsUser"))
    })
}

fn seccomp(composition: &Composition) -> Vec<String> {
    containers_where(composition, |pods, container| context(pods, container, "seccompProfile")["type"] != "RuntimeDefault")
}

fn unprivileged(composition: &Composition) -> Vec<String> {
    containers_where(composition, |_, container| {
        let context = &container["securityContext"];
        let capabilities = &context["capabilities"];
        context["allowPrivilegeEscalation"] != false
            || context["privileged"] == true
            || capabilities["drop"] != json!(["ALL"])
            || list(&capabilities["add"]).next().is_some()
    })
}

fn read_only(composition: &Composition) -> Vec<String> {
    containers_where(composition, |_, container| container["securityContext"]["readOnlyRootFilesystem"] != true)
}

fn nothing_of_the_host(composition: &Composition) -> Vec<String> {
    pods_where(composition, |pods| {
        let mut ports = pods.containers().flat_map(|container| list(&container["ports"]));
        ["hostNetwork", "hostPID", "hostIPC"].iter().any(|key| pods.spec[key] == true)
            || list(&pods.spec["volumes"]).any(|volume| !volume["hostPath"].is_null())
            || ports.any(|port| !port["hostPort"].is_null())
    })
}

fn tokenless(composition: &Composition) -> Vec<String> {
    pods_where(composition, |pods| pods.spec["automountServiceAccountToken"] != false)
}

fn no_service_links(composition: &Composition) -> Vec<String> {
    pods_where(composition, |pods| pods.spec["enableServiceLinks"] != false)
}

fn requesting(composition: &Composition) -> Vec<String> {
    containers_where(composition, |_, container| {
        let requests = &container["resources"]["requests"];
        requests["cpu"].is_null() || requests["memory"].is_null()
    })
}

fn limited(composition: &Composition) -> Vec<String> {
    containers_where(composition, |_, container| container["resources"]["limits"]["memory"].is_null())
}

fn unthrottled(composition: &Composition) -> Vec<String> {
    containers_where(composition, |_, container| !container["resources"]["limits"]["cpu"].is_null())
}

fn probed(composition: &Composition) -> Vec<String> {
    containers_where(composition, |pods, container| {
        let ports = list(&container["ports"]).count();
        let is_there = |probe: &Value| {
            let port = ["httpGet", "tcpSocket", "grpc"].iter().map(|how| &probe[how]["port"]).find(|port| !port.is_null());
            // Our own ports are told by name; for gRPC a name is not allowed.
            port.map_or(!probe["exec"].is_null(), |port| {
                pods.port(port).is_some() && (port.is_string() || !probe["grpc"].is_null())
            })
        };
        ports > 0 && !["startupProbe", "readinessProbe", "livenessProbe"].iter().all(|probe| is_there(&container[probe]))
    })
}

fn versioned(composition: &Composition) -> Vec<String> {
    containers_where(composition, |_, container| {
        let image = container["image"].as_str().unwrap_or_default();
        // A registry's port is no tag.
        let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
        // `latest`, `stable` and the like are another image tomorrow.
        tag.is_none_or(|tag| !tag.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit()))
    })
}

fn references(composition: &Composition) -> Vec<String> {
    let mut missing = Vec::new();
    for pods in pods(composition) {
        let mut wants = |kind: &str, name: &Value, key: Option<&Value>, optional: &Value| {
            let found = composition.of_kind(kind).find(|(found, _)| name == found).map(|(_, object)| object);
            let key = key.map(|key| key.as_str().unwrap_or_default());
            let has_key = |object: &Value| key.is_none_or(|key| object["data"].get(key).is_some());
            let made = made_by_up().get(name.as_str().unwrap_or_default()).filter(|_| kind == "Secret" && composition.is_kops());
            let is_made = made.is_some_and(|keys| key.is_none_or(|key| keys.contains(key)));
            if optional != true && !found.is_some_and(has_key) && !is_made {
                missing.push(format!("{} wants {kind} {name} {}", shown(pods.workload), key.unwrap_or_default()));
            }
        };
        for container in pods.containers() {
            for from in list(&container["envFrom"]) {
                let (map, secret) = (&from["configMapRef"], &from["secretRef"]);
                let (kind, source) = if map.is_null() { ("Secret", secret) } else { ("ConfigMap", map) };
                wants(kind, &source["name"], None, &source["optional"]);
            }
            for from in list(&container["env"]).map(|variable| &variable["valueFrom"]) {
                for (kind, source) in [("ConfigMap", &from["configMapKeyRef"]), ("Secret", &from["secretKeyRef"])] {
                    if !source.is_null() {
                        wants(kind, &source["name"], Some(&source["key"]), &source["optional"]);
                    }
                }
            }
        }
        let volumes =
            list(&pods.spec["volumes"]).flat_map(|volume| std::iter::once(volume).chain(list(&volume["projected"]["sources"])));
        for volume in volumes {
            let claim = &volume["persistentVolumeClaim"]["claimName"];
            if !claim.is_null() {
                wants("PersistentVolumeClaim", claim, None, &Value::Null);
            }
            for (kind, source, key) in [("ConfigMap", &volume["configMap"], "name"), ("Secret", &volume["secret"], "secretName")] {
                let items: Vec<_> = list(&source["items"]).map(|item| Some(&item["key"])).collect();
                let items = if items.is_empty() && !source.is_null() { vec![None] } else { items };
                for item in items {
                    wants(kind, &source[key], item, &source["optional"]);
                }
            }
        }
        let mounted = pods.containers().flat_map(|container| list(&container["volumeMounts"]));
        let claims = list(&pods.workload["spec"]["volumeClaimTemplates"]).map(|claim| &claim["metadata"]);
        let volumes: Vec<_> = list(&pods.spec["volumes"]).chain(claims).map(|volume| &volume["name"]).collect();
        let lost = mounted.filter(|mount| !volumes.contains(&&mount["name"]));
        missing.extend(lost.map(|mount| format!("{} mounts no volume: {mount}", shown(pods.workload))));
    }
    missing
}

/// Whether a selector of nothing but labels selects these labels.
pub fn has_labels(labels: &Value, wanted: &Value) -> bool {
    entries(wanted).all(|(key, value)| &labels[key] == value)
}

/// Those of the pods that are behind a Service.
pub fn behind<'a>(all: &[Pods<'a>], service: &Value) -> Vec<Pods<'a>> {
    let selector = &service["spec"]["selector"];
    all.iter().copied().filter(|pods| !selector.is_null() && has_labels(pods.labels, selector)).collect()
}

fn services(composition: &Composition) -> Vec<String> {
    let mut wrong = Vec::new();
    let all: Vec<_> = pods(composition).collect();
    for (name, service) in composition.of_kind("Service") {
        let behind = behind(&all, service);
        let [pods] = behind[..] else {
            let behind: Vec<_> = behind.iter().map(|pods| shown(pods.workload)).collect();
            wrong.push(format!("Service {name} leads to {behind:?}"));
            continue;
        };
        let by_name = |port: &Value| port["targetPort"].is_string() && pods.port(&port["targetPort"]).is_some();
        let lost = list(&service["spec"]["ports"]).filter(|port| !by_name(port));
        wrong.extend(
            lost.map(|port| format!("Service {name}: no port of {} is called {}", shown(pods.workload), port["targetPort"])),
        );
    }
    wrong
}

/// Ports of every node, each with its Service and the port of the pods there.
pub fn ports_of_nodes(composition: &Composition) -> Vec<(u64, String)> {
    let ports =
        composition.of_kind("Service").flat_map(|(name, service)| list(&service["spec"]["ports"]).map(move |port| (name, port)));
    ports.filter_map(|(name, port)| Some((port["nodePort"].as_u64()?, format!("Service {name}")))).collect()
}

fn node_ports(composition: &Composition) -> Vec<String> {
    // A cloud's load balancer asks for the number itself.
    let numbered: &[&str] = if composition.is_kops() { &["NodePort"] } else { &["NodePort", "LoadBalancer"] };
    let mut taken = BTreeMap::<_, Vec<_>>::new();
    for (port, by) in ports_of_nodes(composition) {
        taken.entry(port).or_default().push(by);
    }
    let twice = taken.into_iter().filter(|(_, by)| by.len() > 1);
    let unknown = composition.of_kind("Service").filter(|(_, service)| {
        let mut ports = list(&service["spec"]["ports"]);
        numbered.iter().any(|kind| service["spec"]["type"] == *kind) && ports.any(|port| port["nodePort"].is_null())
    });
    let unknown = unknown.map(|(name, _)| format!("Service {name} takes any"));
    twice.map(|(port, by)| format!("{port} by {by:?}")).chain(unknown).collect()
}

/// Lists of a policy, and a strategy's keys, are replaced as a whole: where a default is left out, each `kubectl apply` takes it away.
fn explicit(composition: &Composition) -> Vec<String> {
    let policies = composition.of_kind("NetworkPolicy").filter(|(_, policy)| {
        let rules = ["ingress", "egress"].into_iter().flat_map(|key| list(&policy["spec"][key]));
        rules.flat_map(|rule| list(&rule["ports"])).any(|port| port["protocol"].is_null())
    });
    let policies = policies.map(|(_, policy)| shown(policy));
    let workloads = pods_where(composition, |pods| {
        let strategy = &pods.workload["spec"]["strategy"];
        strategy.is_object() && strategy["type"].is_null()
    });
    policies.chain(workloads).collect()
}

fn part_of(composition: &Composition) -> Vec<String> {
    let is_ours = |labels: &Value| labels[format!("{LABEL}/part-of")] == STAGE;
    let objects = composition.objects.iter().filter(|object| !is_ours(&object["metadata"]["labels"])).map(|object| shown(object));
    objects.chain(pods_where(composition, |pods| !is_ours(pods.labels))).collect()
}

fn labels(composition: &Composition) -> Vec<String> {
    pods_where(composition, |pods| {
        let own = &pods.workload["metadata"]["labels"];
        let selector = &pods.workload["spec"]["selector"];
        pods.label("name") != Some(pods.name)
            || !pods.label("component").is_some_and(|part| {
                PARTS.contains(&part) || composition.is_kops() && PARTS_OF_KOPS.contains(&part)
            })
            || pods.is_service() != pods.name.starts_with("dummy-")
            || ["name", "component"].iter().any(|key| own[format!("{LABEL}/{key}")].as_str() != pods.label(key))
            // A version is another one after a rollout, and a selector can never be.
            || !selector.is_null() && *selector != json!({"matchLabels": {format!("{LABEL}/name"): pods.name}})
    })
}

fn versions(composition: &Composition) -> Vec<String> {
    let package = env!("CARGO_PKG_VERSION");
    pods_where(composition, |pods| {
        let images = pods.containers().filter_map(|container| container["image"].as_str()?.strip_prefix("tracelab:"));
        let told = if pods.is_service() { pods.label("version") } else { None };
        let expected = match told {
            Some("v1") | None => package.to_owned(),
            Some(version) => format!("{package}-{version}"),
        };
        pods.is_service() && told.is_none() || images.into_iter().any(|tag| tag != expected)
    })
}

fn alike(composition: &Composition) -> Vec<String> {
    let in_part = OF_A_SUBSET.iter().any(|component| composition.has(component));
    let mut kinds = BTreeMap::<_, BTreeMap<_, Vec<_>>>::new();
    let services = pods(composition).filter(|pods| pods.is_service() && pods.label("version") == Some("v1"));
    let mut numbers = BTreeSet::new();
    for pods in services {
        let number = pods.name.rsplit_once('-').and_then(|(_, number)| number.parse::<u16>().ok()).unwrap_or(u16::MAX);
        numbers.insert(number);
        let group = if in_part { number.min(SUBSET) } else { 0 };
        // A Deployment without its name: its JSON has the same order of keys for all.
        let nameless = pods.workload.to_string().replace(&format!("\"{}\"", pods.name), "\"\"");
        kinds.entry(group).or_default().entry(nameless).or_default().push(pods.name);
    }
    let mixed = kinds.into_values().filter(|kinds| kinds.len() > 1);
    // The fewest are the ones that stand out.
    mixed.map(|kinds| format!("{:?} stand out", kinds.into_values().min_by_key(Vec::len))).collect()
}

/// The variables of a container that are told: name and value, those of ConfigMaps included.
pub fn variables<'a>(composition: &'a Composition, container: &'a Value) -> BTreeMap<&'a str, &'a str> {
    let map = |name: &Value| composition.of_kind("ConfigMap").find(|(found, _)| name == found).map(|(_, map)| &map["data"]);
    let maps = list(&container["envFrom"]).filter_map(|from| map(&from["configMapRef"]["name"])).flat_map(entries);
    let own = list(&container["env"]).filter_map(|variable| {
        let from = &variable["valueFrom"]["configMapKeyRef"];
        let told = map(&from["name"]).map_or(&variable["value"], |map| &map[from["key"].as_str().unwrap_or_default()]);
        Some((variable["name"].as_str()?, told))
    });
    maps.chain(own).map(|(name, value)| (name, value.as_str().unwrap_or_default())).collect()
}

fn ignorant(composition: &Composition) -> Vec<String> {
    pods_where(composition, |pods| {
        let mut variables = pods.containers().flat_map(|container| variables(composition, container));
        pods.label("component") != Some("frontend") && variables.any(|(name, _)| SECRETS.contains(&name))
    })
}

/// An object as a complaint calls it.
pub fn shown(object: &Value) -> String {
    format!("{} {}", object["kind"].as_str().unwrap_or_default(), name(object))
}
