//! Pods that run a Collector or Jaeger: their configuration as the pod has it, from its arguments by way of ConfigMaps.
//!
//! What such a configuration may say is in `collector`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::collector::{self, Program};
use crate::network::Network;
use crate::policy::{Pods, entries, list, pods, shown, variables};
use crate::requests::memory;
use crate::stage::{Composition, documents};

/// A container that runs one of these programs, and what its files come to.
pub struct Run<'a> {
    pub pods: Pods<'a>,
    pub container: &'a Value,
    program: Program,
    files: Vec<&'a str>,
    pub config: Value,
}

/// Containers with a configuration of their own; Jaeger without one has that of its image.
pub fn runs(composition: &Composition) -> Vec<Run<'_>> {
    let all = pods(composition).flat_map(|pods| pods.containers().map(move |container| (pods, container)));
    let runs = all.filter_map(|(pods, container)| {
        let program = Program::of(container["image"].as_str().unwrap_or_default())?;
        let paths = configs(container);
        let files: Vec<_> = paths.iter().filter_map(|path| file(composition, pods, container, path)).collect();
        let mut config = json!({});
        for document in files.iter().flat_map(|text| documents(text).unwrap_or_default()) {
            collector::merge(&mut config, document);
        }
        (!paths.is_empty()).then_some(Run { pods, container, program, files, config })
    });
    runs.collect()
}

/// What follows `--config` in a container's arguments.
fn configs(container: &Value) -> Vec<&str> {
    let words: Vec<_> = ["command", "args"].iter().flat_map(|key| list(&container[*key])).filter_map(Value::as_str).collect();
    let apart = words.windows(2).filter(|pair| pair[0] == "--config").map(|pair| pair[1]);
    apart.chain(words.iter().filter_map(|word| word.strip_prefix("--config="))).collect()
}

/// The text of a file that a ConfigMap brings into a container.
fn file<'a>(composition: &'a Composition, pods: Pods<'a>, container: &'a Value, path: &str) -> Option<&'a str> {
    let (mount, name) = list(&container["volumeMounts"]).find_map(|mount| {
        let at = mount["mountPath"].as_str()?;
        let name = if at == path { mount["subPath"].as_str()? } else { path.strip_prefix(at)?.strip_prefix('/')? };
        Some((mount, name))
    })?;
    let volume = list(&pods.spec["volumes"]).find(|volume| volume["name"] == mount["name"])?;
    let source = &volume["configMap"];
    let item = list(&source["items"]).find(|item| item["path"] == name);
    let key = if source["items"].is_null() { name } else { item?["key"].as_str()? };
    let (_, map) = composition.of_kind("ConfigMap").find(|(found, _)| source["name"] == *found)?;
    map["data"][key].as_str()
}

/// Files of arguments that are in a ConfigMap which the container mounts there, and those that shall be and are not.
pub fn mounted(composition: &Composition) -> Vec<String> {
    let mut wrong = Vec::new();
    for pods in pods(composition) {
        for container in pods.containers() {
            let words = ["command", "args"].iter().flat_map(|key| list(&container[*key])).filter_map(Value::as_str);
            let maps: BTreeSet<_> = list(&pods.spec["volumes"])
                .filter(|volume| !volume["configMap"].is_null())
                .filter_map(|volume| volume["name"].as_str())
                .collect();
            let at: Vec<_> = list(&container["volumeMounts"])
                .filter(|mount| mount["name"].as_str().is_some_and(|name| maps.contains(name)))
                .filter_map(|mount| mount["mountPath"].as_str())
                .collect();
            // A program's own file is of its image, unless it is below a mount.
            let below = words.filter(|word| at.iter().any(|at| word.starts_with(&format!("{at}/"))));
            let all: BTreeSet<_> = below.chain(configs(container)).collect();
            let lost = all.into_iter().filter(|path| file(composition, pods, container, path).is_none());
            wrong.extend(lost.map(|path| format!("{}: no ConfigMap brings {path}", shown(pods.workload))));
            // One that nobody reads is an old one, or one that is called otherwise.
            if Program::of(container["image"].as_str().unwrap_or_default()).is_some() {
                let unread = at.iter().filter(|at| !configs(container).iter().any(|path| path.starts_with(&format!("{at}/"))));
                wrong.extend(unread.map(|at| format!("{}: nobody reads {at}", shown(pods.workload))));
            }
        }
    }
    wrong
}

pub fn taken(composition: &Composition) -> Vec<String> {
    let operated = composition.of_kind("OpenTelemetryCollector").flat_map(|(name, object)| {
        let program = Program::of(object["spec"]["image"].as_str().unwrap_or_default());
        let wrong = program.map(|program| collector::complaints(program, &object["spec"]["config"]));
        let wrong = wrong.unwrap_or_else(|| vec![format!("of which program is {}?", object["spec"]["image"])]);
        wrong.into_iter().map(move |wrong| format!("{name}: {wrong}"))
    });
    let runs = runs(composition);
    let pods = runs.iter().flat_map(|run| {
        let unread = run.files.iter().filter_map(|text| documents(text).err());
        let wrong = collector::complaints(run.program, &run.config).into_iter().chain(unread);
        wrong.map(|wrong| format!("{}: {wrong}", shown(run.pods.workload)))
    });
    operated.chain(pods).collect()
}

/// `${env:NAME}` is empty where the container has no such variable.
pub fn told(composition: &Composition) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in runs(composition) {
        let names = variables(composition, run.container);
        let asked = run.files.iter().flat_map(|text| text.split("${env:").skip(1)).filter_map(|rest| rest.split('}').next());
        let lost = asked.filter(|name| !name.contains(":-") && !names.contains_key(name));
        wrong.extend(lost.map(|name| format!("{}: {name} is not set", shown(run.pods.workload))));
    }
    wrong
}

/// Where a configuration listens for others.
fn listens(config: &Value) -> BTreeSet<u64> {
    let mut endpoints = Vec::new();
    let servers = ["extensions", "receivers"].into_iter().flat_map(|section| entries(&config[section]));
    for (_, one) in servers {
        let protocols = [one, &one["protocols"]].into_iter().flat_map(|of| [&of["grpc"], &of["http"]]);
        endpoints.extend(protocols.chain([one]).filter_map(|of| of["endpoint"].as_str()));
    }
    let readers =
        list(&config["service"]["telemetry"]["metrics"]["readers"]).map(|reader| &reader["pull"]["exporter"]["prometheus"]);
    let own = readers.filter(|reader| reader["host"] == "0.0.0.0").filter_map(|reader| reader["port"].as_u64());
    let open = endpoints.into_iter().filter_map(|endpoint| endpoint.strip_prefix("0.0.0.0:")?.parse().ok());
    open.chain(own).collect()
}

pub fn open(composition: &Composition) -> Vec<String> {
    let wrong = runs(composition).into_iter().filter_map(|run| {
        let ports = list(&run.container["ports"]).filter_map(|port| port["containerPort"].as_u64()).collect();
        let listens = listens(&run.config);
        let what = format!("{} listens at {listens:?}, and has ports {ports:?}", shown(run.pods.workload));
        (listens != ports).then_some(what)
    });
    wrong.collect()
}

/// What a configuration calls: host and port.
fn calls(config: &Value) -> Vec<(String, u64)> {
    let mut called = Vec::new();
    for (_, one) in ["exporters", "receivers"].into_iter().flat_map(|section| entries(&config[section])) {
        // A receiver's endpoint is its own.
        let of_exporter = if one["tls"].is_object() { one["endpoint"].as_str() } else { None };
        called.extend(of_exporter.map(str::to_owned));
        called.extend(list(&one["brokers"]).filter_map(|broker| broker.as_str().map(str::to_owned)));
        let dns = &one["resolver"]["dns"];
        if let (Some(host), Some(port)) = (dns["hostname"].as_str(), dns["port"].as_str()) {
            called.push(format!("{host}:{port}"));
        }
    }
    for (_, backend) in entries(&config["extensions"]["jaeger_storage"]["backends"]) {
        let servers = [&backend["cassandra"]["connection"]["servers"], &backend["opensearch"]["server_urls"]];
        called.extend(servers.into_iter().flat_map(list).filter_map(|server| server.as_str().map(str::to_owned)));
    }
    let parts = called.iter().map(|address| {
        let address = address.split_once("//").map_or(address.as_str(), |(_, address)| address).trim_start_matches('/');
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        (host.to_owned(), port.trim_end_matches('/').parse().unwrap_or_default())
    });
    parts.collect()
}

pub fn called(composition: &Composition) -> Vec<String> {
    let (runs, mut wrong) = (runs(composition), Vec::new());
    if runs.is_empty() {
        return wrong;
    }
    let network = Network::new(composition);
    for run in runs {
        let called = calls(&run.config);
        // Only query without its storage calls nobody.
        if called.is_empty() {
            wrong.push(format!("{} calls nobody", shown(run.pods.workload)));
        }
        let lost = called.into_iter().filter(|(host, port)| !network.leads(composition, run.pods, host, *port));
        wrong.extend(lost.map(|(host, port)| format!("{} does not reach {host}:{port}", shown(run.pods.workload))));
    }
    wrong
}

/// Bytes of what Go, Java and Cassandra take for a size.
fn size(text: &str) -> Option<u64> {
    let text = text.trim_end_matches("iB");
    let (digits, unit) = text.split_at(text.find(|sign: char| !sign.is_ascii_digit())?);
    let unit = match unit {
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? << unit)
}

/// A program collects its garbage before it refuses, refuses before it is at its limit, and is there before the kernel kills it.
pub fn remembering(composition: &Composition) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in runs(composition) {
        let limiter = &run.config["processors"]["memory_limiter"];
        let mib = |key: &str| limiter[key].as_u64().unwrap_or_default() << 20;
        let goes = variables(composition, run.container).get("GOMEMLIMIT").and_then(|told| size(told)).unwrap_or_default();
        let killed = memory(&run.container["resources"]["limits"]["memory"]).unwrap_or_default();
        let order = if limiter.is_null() {
            vec![goes, killed - 1]
        } else {
            vec![mib("limit_mib").saturating_sub(mib("spike_limit_mib")), goes, mib("limit_mib"), killed - 1]
        };
        if goes == 0 || !order.is_sorted() {
            let order: Vec<_> = order.into_iter().map(|bytes| bytes.div_ceil(1 << 20)).collect();
            wrong.push(format!("{}: MiB in this order: {order:?}", shown(run.pods.workload)));
        }
    }
    for pods in pods(composition) {
        for container in pods.containers() {
            let told = variables(composition, container);
            let java = told.values().flat_map(|value| value.split(' ')).filter_map(|word| size(word.strip_prefix("-Xmx")?));
            let heap = java.chain(told.get("MAX_HEAP_SIZE").and_then(|told| size(told))).max().unwrap_or_default();
            let killed = memory(&container["resources"]["limits"]["memory"]).unwrap_or_default();
            // What Java takes beside its heap.
            if heap + heap / 3 > killed {
                wrong.push(format!("{}: a heap of {heap} in {killed} bytes", shown(pods.workload)));
            }
        }
    }
    wrong
}
