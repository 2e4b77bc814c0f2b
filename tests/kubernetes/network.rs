//! Who may speak to whom: the NetworkPolicies of a composition, evaluated for every pair of pods.
//!
//! As Kubernetes documents it: a pod that a policy selects for a direction may do there what some policy allows, any other pod
//! everything; a connection needs the word of both ends.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use url::{Host, Url};

use crate::policy::{Pods, STAGE, behind, entries, has_labels, list, pods, shown, variables};
use crate::stage::Composition;

/// A direction that is said of a policy's pods.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Ingress,
    Egress,
}

/// Who is at the other end of a connection to a pod.
#[derive(Clone, Copy, PartialEq)]
enum Caller {
    Pod(usize),
    /// Another namespace, a node, or a reader's browser.
    Outside,
}

/// Pods with what is asked of them often.
struct Place<'a> {
    pods: Pods<'a>,
    part: Option<&'a str>,
    ports: Vec<(&'a str, u64)>,
}

pub struct Network<'a> {
    places: Vec<Place<'a>>,
    policies: Vec<Policy<'a>>,
    /// Of each place, the policies that are about its calls and those about its callers; none where it may do what it likes.
    ingress: Vec<Option<Vec<usize>>>,
    egress: Vec<Option<Vec<usize>>>,
    /// By their names, with the places behind them.
    services: BTreeMap<&'a str, (&'a Value, Vec<usize>)>,
}

struct Policy<'a> {
    object: &'a Value,
    selected: Vec<bool>,
    ingress: Option<Vec<Allowed<'a>>>,
    egress: Option<Vec<Allowed<'a>>>,
}

/// One entry of `ingress` or `egress`.
struct Allowed<'a> {
    pods: Vec<bool>,
    outside: bool,
    /// None are all.
    ports: Option<&'a Value>,
}

impl<'a> Network<'a> {
    pub fn new(composition: &'a Composition) -> Self {
        let pods: Vec<_> = pods(composition).collect();
        let namespace = composition.of_kind("Namespace").find(|(name, _)| *name == STAGE);
        let mut namespace = namespace.map_or_else(|| json!({}), |(_, object)| object["metadata"]["labels"].clone());
        // Every namespace is given this one.
        namespace["kubernetes.io/metadata.name"] = json!(STAGE);
        let policies = composition.of_kind("NetworkPolicy").map(|(_, object)| Policy::new(object, &pods, &namespace));
        let policies: Vec<Policy> = policies.collect();
        let about = |direction| -> Vec<_> {
            let of = |pod: usize| {
                let about =
                    policies.iter().enumerate().filter(|(_, policy)| policy.selected[pod] && policy.rules(direction).is_some());
                Some(about.map(|(n, _)| n).collect::<Vec<_>>()).filter(|about| !about.is_empty())
            };
            (0..pods.len()).map(of).collect()
        };
        let (ingress, egress) = (about(Direction::Ingress), about(Direction::Egress));
        let services = composition.of_kind("Service").map(|(name, service)| {
            let behind = behind(&pods, service);
            let is_behind = |pods: &Pods| behind.iter().any(|one| std::ptr::eq(one.workload, pods.workload));
            let places = pods.iter().enumerate().filter(|(_, pods)| is_behind(pods)).map(|(n, _)| n);
            (name, (service, places.collect()))
        });
        let services = services.collect();
        let places = pods.into_iter().map(|pods| Place { pods, part: pods.label("component"), ports: pods.ports() });
        Self { places: places.collect(), policies, ingress, egress, services }
    }
}

/// A port of a pod, and which rules open it.
struct Way<'a> {
    network: &'a Network<'a>,
    called: usize,
    /// By policy and rule.
    ingress: Vec<Vec<bool>>,
    egress: Vec<Vec<bool>>,
}

impl<'a> Way<'a> {
    fn new(network: &'a Network<'a>, called: usize, port: u64) -> Self {
        let place = &network.places[called];
        let open = |direction| {
            let of =
                |policy: &Policy| policy.rules(direction).into_iter().flatten().map(|rule| rule.has_port(place, port)).collect();
            network.policies.iter().map(of).collect()
        };
        Self { network, called, ingress: open(Direction::Ingress), egress: open(Direction::Egress) }
    }

    fn is_let_in(&self, by: Caller) -> bool {
        let Some(about) = &self.network.ingress[self.called] else { return true };
        about.iter().any(|n| {
            let rules = self.network.policies[*n].ingress.iter().flatten().zip(&self.ingress[*n]);
            rules.filter(|(_, is_open)| **is_open).any(|(rule, _)| match by {
                Caller::Pod(pod) => rule.pods[pod],
                Caller::Outside => rule.outside,
            })
        })
    }

    fn is_let_out(&self, caller: Caller) -> bool {
        let Caller::Pod(pod) = caller else { return true };
        let Some(about) = &self.network.egress[pod] else { return true };
        about.iter().any(|n| {
            let rules = self.network.policies[*n].egress.iter().flatten().zip(&self.egress[*n]);
            rules.filter(|(_, is_open)| **is_open).any(|(rule, _)| rule.pods[self.called])
        })
    }
}

impl Place<'_> {
    fn port(&self, told: &Value) -> Option<u64> {
        let is_told = |(name, number): &&(&str, u64)| told.as_str().map_or(told.as_u64() == Some(*number), |told| told == *name);
        self.ports.iter().find(is_told).map(|(_, number)| *number)
    }
}

impl<'a> Policy<'a> {
    fn new(object: &'a Value, pods: &[Pods], namespace: &Value) -> Self {
        let spec = &object["spec"];
        let types: Vec<_> = list(&spec["policyTypes"]).collect();
        let has = |direction: &str, key: &str| {
            types.iter().any(|told| *told == direction) || types.is_empty() && (key == "ingress" || !spec[key].is_null())
        };
        let rules = |direction: &str, key: &str, peers: &'static str| {
            has(direction, key).then(|| list(&spec[key]).map(|rule| Allowed::new(rule, peers, pods, namespace)).collect())
        };
        Self {
            object,
            selected: pods.iter().map(|pods| selects(&spec["podSelector"], pods.labels)).collect(),
            ingress: rules("Ingress", "ingress", "from"),
            egress: rules("Egress", "egress", "to"),
        }
    }

    fn rules(&self, direction: Direction) -> Option<&Vec<Allowed<'a>>> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }
}

impl<'a> Allowed<'a> {
    fn new(rule: &'a Value, peers: &str, pods: &[Pods], namespace: &Value) -> Self {
        let peers: Vec<_> = list(&rule[peers]).collect();
        let is_all = |cidr: &Value| cidr.as_str().is_some_and(|cidr| cidr.ends_with("/0"));
        let everybody = peers.is_empty() || peers.iter().any(|peer| is_all(&peer["ipBlock"]["cidr"]));
        let is_one = |pods: &Pods| {
            peers.iter().filter(|peer| peer["ipBlock"].is_null()).any(|peer| {
                (peer["namespaceSelector"].is_null() || selects(&peer["namespaceSelector"], namespace))
                    && selects(&peer["podSelector"], pods.labels)
            })
        };
        let anybody = |peer: &&Value| peer["namespaceSelector"] == json!({}) && peer["podSelector"].is_null();
        let ports = &rule["ports"];
        Self {
            pods: pods.iter().map(|pods| everybody || is_one(pods)).collect(),
            outside: everybody || peers.iter().any(anybody),
            ports: list(ports).next().is_some().then_some(ports),
        }
    }

    fn has_port(&self, called: &Place, port: u64) -> bool {
        let has = |told: &Value| {
            let (first, last) = (&told["port"], told["endPort"].as_u64());
            let is_one = first.is_null() || called.port(first) == Some(port);
            is_one || last.is_some_and(|last| first.as_u64().is_some_and(|first| (first..=last).contains(&port)))
        };
        let is_tcp = |told: &&Value| told["protocol"].is_null() || told["protocol"] == "TCP";
        self.ports.is_none_or(|ports| list(ports).filter(is_tcp).any(has))
    }
}

/// A selector of labels; none selects everything, and so does an empty one.
fn selects(selector: &Value, labels: &Value) -> bool {
    has_labels(labels, &selector["matchLabels"])
        && list(&selector["matchExpressions"]).all(|expression| {
            let value = &labels[expression["key"].as_str().unwrap_or_default()];
            let is_in = || list(&expression["values"]).any(|one| one == value);
            match expression["operator"].as_str() {
                Some("In") => is_in(),
                Some("NotIn") => !is_in(),
                Some("Exists") => !value.is_null(),
                Some("DoesNotExist") => value.is_null(),
                _ => false,
            }
        })
}

pub fn denied(composition: &Composition) -> Vec<String> {
    let denies = composition.of_kind("NetworkPolicy").any(|(_, object)| {
        let spec = &object["spec"];
        let types: BTreeSet<_> = list(&spec["policyTypes"]).filter_map(Value::as_str).collect();
        spec["podSelector"] == json!({})
            && types == ["Egress", "Ingress"].into()
            && spec["ingress"].is_null()
            && spec["egress"].is_null()
    });
    if denies { Vec::new() } else { vec!["no policy denies everything to every pod".to_owned()] }
}

/// The selectors of a policy that are about pods of the same namespace.
fn own_selectors(policy: &Value) -> impl Iterator<Item = &Value> {
    let spec = &policy["spec"];
    let rules =
        [("ingress", "from"), ("egress", "to")].into_iter().flat_map(|(key, peers)| list(&spec[key]).map(move |rule| &rule[peers]));
    let peers = rules.flat_map(list).filter(|peer| peer["namespaceSelector"].is_null() && peer["ipBlock"].is_null());
    std::iter::once(&spec["podSelector"]).chain(peers.map(|peer| &peer["podSelector"]))
}

pub fn selectors(composition: &Composition) -> Vec<String> {
    // Whoever implements the Gateway API labels the pods so that a Gateway gets.
    let gateways = composition.of_kind("Gateway").map(|(name, _)| json!({"gateway.networking.k8s.io/gateway-name": name}));
    let all: Vec<_> = pods(composition).map(|pods| pods.labels.clone()).chain(gateways).collect();
    let policies =
        composition.of_kind("NetworkPolicy").flat_map(|(name, object)| own_selectors(object).map(move |selector| (name, selector)));
    let empty = policies.filter(|(_, selector)| !all.iter().any(|labels| selects(selector, labels)));
    empty.map(|(name, selector)| format!("NetworkPolicy {name}: {selector}")).collect()
}

pub fn ports(composition: &Composition) -> Vec<String> {
    let network = Network::new(composition);
    let mut wrong = Vec::new();
    for policy in &network.policies {
        let rules = policy.object["spec"]["egress"].as_array();
        let leads_out = |n: usize| {
            let peers = rules.into_iter().flatten().nth(n).map(|rule| &rule["to"]);
            peers.is_some_and(|peers| list(peers).any(|peer| !peer["namespaceSelector"].is_null() || !peer["ipBlock"].is_null()))
        };
        let ingress = policy.ingress.iter().flatten().map(|allowed| (&policy.selected, allowed.ports));
        let egress = policy.egress.iter().flatten().enumerate().filter(|(n, _)| !leads_out(*n));
        let egress = egress.map(|(_, allowed)| (&allowed.pods, allowed.ports));
        for (about, told) in ingress.chain(egress) {
            let about: Vec<_> =
                network.places.iter().zip(about).filter(|(_, is_about)| **is_about).map(|(place, _)| place).collect();
            for port in told.into_iter().flat_map(list).map(|port| &port["port"]).filter(|port| !port.is_null()) {
                let lacks = |place: &&&Place| place.port(port).is_none();
                // Where tracing has several roles, the base's policies are about what any of them has.
                if composition.is_kops() && about.iter().any(|place| !lacks(&place)) {
                    continue;
                }
                if let Some(place) = about.iter().find(lacks) {
                    wrong.push(format!("{}: {} has no port {port}", shown(policy.object), shown(place.pods.workload)));
                }
            }
        }
    }
    wrong
}

pub fn world(composition: &Composition) -> Vec<String> {
    let network = Network::new(composition);
    let open = network.policies.iter().filter(|policy| policy.egress.iter().flatten().any(|allowed| allowed.outside));
    open.map(|policy| shown(policy.object)).collect()
}

/// Whether a port of these pods shall be reached by that caller; None where the component that brings one of the two decides.
fn wanted(caller: Option<&str>, called: &Place, port: &str) -> Option<bool> {
    let is = |parts: &[&str]| caller.is_some_and(|caller| parts.contains(&caller));
    Some(match (called.part?, port) {
        // Whoever reaches it can ask for the answer.
        ("frontend", "control") => is(&["service"]),
        ("frontend", "http") if is(&["gateway"]) => return None,
        ("frontend", "http") => caller.is_none(),
        ("service", _) if is(&["gateway"]) => return None,
        ("service", _) => is(&["service", "frontend"]),
        ("tracing", "otlp-grpc" | "otlp-http") => caller.is_some(),
        // The control plane is no pod of ours, and lives on a node.
        ("collector", "otlp-grpc") => caller.is_none(),
        ("collector", _) => false,
        ("tracing", "query") if is(&["mail"]) => return None,
        ("tracing", "query") => caller.is_none() || is(&["frontend"]),
        ("tracing", _) => false,
        ("store", _) => is(&["service", "frontend"]),
        // Both nginx are of this part, and one of them is the way in.
        ("gateway", _) => is(&["frontend"]) || caller.is_none() && called.pods.name == "edge",
        // Of each other they know no more than that mail is sent.
        ("mail", "smtp") if is(&["mail"]) => return None,
        ("mail", _) => false,
        _ => return None,
    })
}

/// Who calls a port of the kops stage.
enum Callers {
    Nobody,
    /// Readers, and not by way of a pod.
    Outside,
    Pods,
    Parts(&'static [&'static str]),
    Named(&'static [&'static str]),
}
use Callers::{Named, Nobody, Outside, Parts, Pods as AllPods};

/// A port of these pods, all of which are a name's or a part's.
type Claim = (&'static str, &'static str, &'static [&'static str], Callers);

/// The kops stage: every port of every pod, and who shall reach it. Nobody else does.
const CLAIMS: &[Claim] = &[
    ("the frontend and services call services", "service", &["http"], Parts(&["service", "frontend"])),
    ("the page is behind the door, but for who measures it", "frontend", &["http"], Named(&["door", "load"])),
    ("only services are told what to do", "frontend", &["control"], Parts(&["service"])),
    ("readers come by the door", "door", &["https"], Outside),
    ("who has spans gives them to an agent", "jaeger-agent", &["otlp-grpc", "otlp-http"], AllPods),
    ("agents alone choose an aggregator", "jaeger-aggregator", &["otlp-grpc"], Named(&["jaeger-agent"])),
    ("what was decided comes to the collectors", "jaeger-collector", &["otlp-grpc"], Named(&["jaeger-aggregator"])),
    ("who asks about traces has logged in, or is the frontend", "jaeger-query", &["query"], Named(&["door", "frontend"])),
    (
        "Kafka is written by collectors, read by ingesters, and prepared once",
        "kafka",
        &["clients"],
        Named(&["jaeger-collector", "jaeger-ingester", "kafka-topics", "kafka"]),
    ),
    ("brokers are among themselves", "kafka", &["controller", "brokers"], Named(&["kafka"])),
    (
        "Cassandra is written by ingesters, read by query, and looked after by its jobs",
        "cassandra",
        &["cql"],
        Named(&["jaeger-ingester", "jaeger-query", "cassandra-schema", "jaeger-dependencies"]),
    ),
    ("nodes of Cassandra are among themselves", "cassandra", &["nodes"], Named(&["cassandra"])),
    (
        "OpenSearch is written by ingesters, read by query, and looked after by its jobs",
        "opensearch",
        &["http"],
        Named(&["jaeger-ingester", "jaeger-query", "opensearch-cleaner", "jaeger-dependencies"]),
    ),
    ("nodes of OpenSearch are among themselves", "opensearch", &["nodes"], Named(&["opensearch"])),
    ("how a pod is, its kubelet asks and nobody else", "", &["health", "metrics"], Nobody),
];

/// What the kops stage claims about a port: the claim, and whether it lets this caller in.
fn claimed(caller: Option<&Place>, called: &Place, port: &str) -> (&'static str, bool) {
    let is_about = |(_, about, ports, _): &&Claim| {
        ports.contains(&port) && ["", called.pods.name, called.part.unwrap_or_default()].contains(about)
    };
    CLAIMS.iter().find(is_about).map_or(("no claim is about this port", false), |(claim, _, _, callers)| {
        let lets_in = match callers {
            Nobody => false,
            Outside => caller.is_none(),
            AllPods => caller.is_some(),
            Parts(parts) => caller.is_some_and(|caller| caller.part.is_some_and(|part| parts.contains(&part))),
            Named(names) => caller.is_some_and(|caller| names.contains(&caller.pods.name)),
        };
        (*claim, lets_in)
    })
}

/// In the kops stage every port of a pod is somebody's business, or says that it is nobody's.
pub fn claims(composition: &Composition) -> Vec<String> {
    let network = Network::new(composition);
    let ports = network.places.iter().flat_map(|place| place.ports.iter().map(move |(port, _)| (place, port)));
    let unclaimed = ports.filter(|(place, port)| claimed(None, place, port).0.starts_with("no claim"));
    unclaimed.map(|(place, port)| format!("{port} of {}", shown(place.pods.workload))).collect()
}

/// Names are asked where the cluster answers them, by every pod; nothing else outside the namespace is called.
pub fn names(composition: &Composition) -> Vec<String> {
    let network = Network::new(composition);
    let mut wrong = Vec::new();
    let mut asks = vec![false; network.places.len()];
    for policy in &network.policies {
        for rule in list(&policy.object["spec"]["egress"]) {
            let peers: Vec<_> = list(&rule["to"]).collect();
            if !peers.iter().any(|peer| !peer["namespaceSelector"].is_null() || !peer["ipBlock"].is_null()) {
                continue;
            }
            let of_system = json!({"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}});
            let answers = |peer: &&Value| {
                let is_dns = selects(&peer["podSelector"], &json!({"k8s-app": "kube-dns"}));
                let is_other = selects(&peer["podSelector"], &json!({"k8s-app": "other"}));
                peer["namespaceSelector"] == of_system && is_dns && !is_other
            };
            // A machine's own addresses, where a cache of names may be.
            let is_near = |peer: &&Value| peer["ipBlock"] == json!({"cidr": "169.254.0.0/16"});
            let ports: Vec<_> = list(&rule["ports"]).map(|port| (&port["port"], &port["protocol"])).collect();
            let (port, udp, tcp) = (json!(53), json!("UDP"), json!("TCP"));
            let both = [(&port, &udp), (&port, &tcp)];
            if !peers.iter().all(|peer| answers(peer) || is_near(peer)) || ports.iter().any(|port| !both.contains(port)) {
                wrong.push(format!("{} leads out of the namespace", shown(policy.object)));
            } else if peers.iter().any(answers) && both.iter().all(|port| ports.contains(port)) {
                for (asks, selected) in asks.iter_mut().zip(&policy.selected) {
                    *asks |= *selected;
                }
            }
        }
    }
    let mute = network.places.iter().zip(&asks).filter(|(_, asks)| !**asks);
    wrong.extend(mute.map(|(place, _)| format!("{} cannot ask for a name", shown(place.pods.workload))));
    wrong
}

pub fn reach(composition: &Composition) -> Vec<String> {
    let network = Network::new(composition);
    let is_kops = composition.is_kops();
    let shall = |caller: Option<&Place>, called: &Place, port: &str| {
        if is_kops {
            return Some(claimed(caller, called, port));
        }
        let part = caller.map(|place| place.part.unwrap_or_default());
        wanted(part, called, port).map(|shall| ("", shall))
    };
    let mut wrong = Vec::new();
    for (called, place) in network.places.iter().enumerate() {
        for (port, number) in &place.ports {
            let way = Way::new(&network, called, *number);
            // What is not for everybody is refused at its door already, whatever its callers are held to.
            let is_private = shall(None, place, port).is_some_and(|(_, shall)| !shall);
            // In the kops stage pods have others of their own kind to call.
            let others = (0..network.places.len()).filter(|pod| is_kops || *pod != called).map(Caller::Pod);
            for caller in others.chain([Caller::Outside]) {
                let from = match caller {
                    Caller::Pod(pod) => Some(&network.places[pod]),
                    Caller::Outside => None,
                };
                let Some((claim, shall)) = shall(from, place, port) else { continue };
                let may = way.is_let_in(caller) && (is_private && !shall || way.is_let_out(caller));
                if may != shall {
                    let from = from.map_or("the outside".to_owned(), |place| shown(place.pods.workload));
                    let verb = if may { "may reach" } else { "does not reach" };
                    let why = if claim.is_empty() { String::new() } else { format!(" ({claim})") };
                    wrong.push(format!("{from} {verb} {port} of {}{why}", shown(place.pods.workload)));
                }
            }
        }
    }
    wrong
}

/// What pods are told by variables and arguments, and in files out of ConfigMaps.
fn told<'a>(composition: &'a Composition, pods: Pods<'a>) -> [Vec<&'a str>; 2] {
    let variables = pods.containers().flat_map(|container| variables(composition, container).into_values());
    let arguments = pods.containers().flat_map(|container| ["command", "args"].into_iter().flat_map(|key| list(&container[key])));
    let maps = list(&pods.spec["volumes"]).map(|volume| &volume["configMap"]["name"]);
    let maps = maps.flat_map(|map| composition.of_kind("ConfigMap").filter(move |(name, _)| map == name));
    let files = maps.flat_map(|(_, map)| entries(&map["data"])).filter_map(|(_, file)| file.as_str());
    [variables.chain(arguments.filter_map(Value::as_str)).collect(), files.collect()]
}

/// Every `HOST:PORT` that a program is told, as far as the host is a Service: is the port one of it, and may the pods go there? And of
/// a variable that is a URL, the host must be one.
pub fn addresses(composition: &Composition) -> Vec<String> {
    let network = Network::new(composition);
    let mut wrong = BTreeSet::new();
    // Of those who have the same file, not all need all of it.
    let mut in_files = BTreeMap::<_, Vec<_>>::new();
    for (caller, Place { pods, .. }) in network.places.iter().enumerate() {
        let [words, files] = told(composition, *pods);
        for text in words {
            let url = Url::parse(text).ok().filter(|url| url.has_host());
            if let Some(url) = url
                && let Some(Host::Domain(host)) = url.host()
                && host != "localhost"
                && network.service(composition, host).is_none()
            {
                wrong.insert(format!("{} is told {url}, and no Service is called {host}", shown(pods.workload)));
            }
            for (host, port) in hosts(text) {
                if !network.leads_to(composition, &[caller], host, port) {
                    wrong.insert(format!("{} is told {host}:{port}, and does not get there", shown(pods.workload)));
                }
            }
        }
        let lines = files.into_iter().flat_map(str::lines).filter(|line| !line.trim_start().starts_with('#'));
        for address in lines.flat_map(hosts) {
            in_files.entry(address).or_default().push(caller);
        }
    }
    // With the Gateway API the way in is a pod that is made in the cluster.
    let is_asked_elsewhere = |host: &str| host == "frontend" && composition.has("gateway-api");
    let in_files = in_files.iter().filter(|((host, _), _)| !is_asked_elsewhere(host));
    let lost = in_files.filter(|((host, port), callers)| !network.leads_to(composition, callers, host, *port));
    wrong.extend(lost.map(|((host, port), _)| format!("a file says {host}:{port}, and nobody who has it gets there")));
    wrong.into_iter().collect()
}

impl Network<'_> {
    /// Whether a host is a Service with this port, and these pods may call what is behind it.
    pub fn leads(&self, composition: &Composition, pods: Pods, host: &str, port: u64) -> bool {
        let caller = self.places.iter().position(|place| std::ptr::eq(place.pods.workload, pods.workload));
        self.service(composition, host).is_some_and(|(_, behind)| !behind.is_empty())
            && self.leads_to(composition, &[caller.unwrap_or_default()], host, port)
    }

    /// Whether an address is one of a Service which one of the callers may call; any that is none of a Service is not looked at.
    fn leads_to(&self, composition: &Composition, callers: &[usize], host: &str, port: u64) -> bool {
        let Some((service, behind)) = self.service(composition, host) else { return true };
        let Some(entry) = list(&service["spec"]["ports"]).find(|entry| entry["port"] == port) else { return false };
        behind.iter().all(|called| {
            let number = self.places[*called].port(&entry["targetPort"]).unwrap_or_default();
            let way = Way::new(self, *called, number);
            let goes = |caller: Caller| way.is_let_in(caller) && way.is_let_out(caller);
            callers.iter().any(|caller| caller == called || goes(Caller::Pod(*caller)))
        })
    }

    /// A Service by what a pod of the same namespace calls it, and the places behind it.
    fn service(&self, composition: &Composition, host: &str) -> Option<&(&Value, Vec<usize>)> {
        // A pod of a StatefulSet has a name before that of the Service.
        let of_a_pod = host.split_once('.').filter(|(pod, rest)| {
            let of = |(name, set): (&str, &Value)| {
                let service = rest.split('.').next();
                let number = pod.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')?.parse::<u64>().ok());
                service == set["spec"]["serviceName"].as_str() && number.is_some() && number < set["spec"]["replicas"].as_u64()
            };
            composition.of_kind("StatefulSet").any(of)
        });
        let host = of_a_pod.map_or(host, |(_, rest)| rest);
        let parts: Vec<_> = host.split('.').collect();
        let is_ours = matches!(parts[..], [_] | [_, STAGE] | [_, STAGE, "svc"] | [_, STAGE, "svc", "cluster", "local"]);
        self.services.get(parts[0]).filter(|_| is_ours)
    }
}

/// What looks like `HOST:PORT`.
pub fn hosts(text: &str) -> impl Iterator<Item = (&str, u64)> {
    let words = text.split(|sign: char| !(sign.is_ascii_alphanumeric() || "-.:".contains(sign)));
    words.filter_map(|word| {
        let (host, port) = word.trim_end_matches([':', '.']).rsplit_once(':')?;
        Some((host, port.parse().ok()?))
    })
}
