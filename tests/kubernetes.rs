//! The kind stage and the kops stage: their files as kustomize builds them, in every composition that users may make.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "kubernetes/breaks.rs"]
mod breaks;
#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "support/collector.rs"]
#[expect(dead_code, reason = "what an argument sets asks pipelines.rs")]
mod collector;
#[path = "kubernetes/kops.rs"]
mod kops;
#[path = "kubernetes/network.rs"]
mod network;
#[path = "kubernetes/policy.rs"]
mod policy;
#[path = "kubernetes/programs.rs"]
mod programs;
#[path = "kubernetes/requests.rs"]
mod requests;
#[path = "support/required.rs"]
mod required;
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "kubernetes/stage.rs"]
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use breaks::BREAKS;
use policy::{RULES, complaints, list, ports_of_nodes};
use requests::{CORES, KUBERNETES, resting, surge};
use required::required;
use sandbox::{run, stderr, stdout};
use serde_json::{Value, json};
use stage::{Composition, Kustomize, TRACING, built, components, documents, folder};
use tracelab::config::Config;
use tracelab::manifest;

const SERVICES: usize = 90;
/// What a node of the stage's own clusters takes.
const MAX_PODS: u64 = 250;
const VALIDATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tools/validate-manifests");

#[test]
fn the_committed_services_are_what_the_topology_says() {
    let topology = Config::default().topology().unwrap();
    let committed = std::fs::read_to_string(services()).unwrap();
    let written = manifest::splice(&committed, &manifest::kubernetes(topology)).unwrap();
    assert!(written == committed, "they differ; run: cargo run -- manifest kubernetes --into kind/base/services.yaml");
}

#[test]
fn the_command_writes_into_a_file_of_ones_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("services.yaml");
    std::fs::copy(services(), &path).unwrap();
    let path = path.to_str().unwrap();
    let command = ["manifest", "kubernetes", "--layers", "2", "--width", "4"];
    let into = [&command[..], &["--into", path]].concat();
    let output = run(&into);
    assert!(output.status.success(), "{}", stderr(&output));
    let written = std::fs::read_to_string(path).unwrap();
    let objects = documents(&written).unwrap();
    let deployments = objects.iter().filter(|object| object["kind"] == "Deployment").map(stage::name);
    let names = (0..2).flat_map(|layer| (0..4).map(move |number| format!("dummy-{layer}-{number}")));
    assert_eq!(deployments.collect::<Vec<_>>(), names.collect::<Vec<_>>());
    assert_eq!(objects[0]["data"], json!({"TRACELAB_LAYERS": "2", "TRACELAB_WIDTH": "4"}));
    assert!(stderr(&run(&into)).contains("says so already"));
    assert_eq!(std::fs::read_to_string(path).unwrap(), written);

    let printed = stdout(&run(&command));
    assert!(printed.lines().all(|line| line.starts_with("# ") || written.contains(line)), "{printed}");
}

#[test]
fn a_file_or_topology_that_does_not_fit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("services.yaml");
    std::fs::write(&path, "kind: List\n").unwrap();
    let into = ["manifest", "kubernetes", "--into", path.to_str().unwrap()];
    let nowhere = ["manifest", "kubernetes", "--into", "nowhere/services.yaml"];
    let none = ["manifest", "kubernetes", "--width", "0"];
    for (command, says) in
        [(&into[..], "no line with \"# >>> kubernetes-topology\""), (&nowhere, "cannot read nowhere"), (&none, "width")]
    {
        let refused = run(command);
        assert_eq!(refused.status.code(), Some(2), "{command:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(says), "{command:?}: {}", stderr(&refused));
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), "kind: List\n");
}

fn services() -> PathBuf {
    folder().join("base/services.yaml")
}

#[test]
fn the_images_version_is_the_packages() {
    let package = env!("CARGO_PKG_VERSION");
    let named: Vec<_> = [files(&folder()), files(&stage::kops_folder())]
        .concat()
        .into_iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            // `tracelab:` before a digit is the image; its version ends where no version goes on.
            let versions = text.split("tracelab:").skip(1).map(|rest| {
                let end = rest.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '.' && sign != '-').unwrap_or(rest.len());
                rest[..end].trim_end_matches('.').to_owned()
            });
            versions
                .filter(|version| version.starts_with(|first: char| first.is_ascii_digit()))
                .map(|version| (path.clone(), version))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!([folder(), stage::kops_folder()].iter().all(|stage| named.iter().any(|(path, _)| path.starts_with(stage))));
    for (path, version) in named {
        assert_eq!(version.trim_end_matches("-v2"), package, "{}", path.display());
    }
}

/// All files of the stage but those that git ignores.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let seen = entries.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    seen.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn every_component_says_what_it_teaches() {
    let components = components();
    assert!(TRACING.iter().all(|name| components.iter().any(|found| found == name)), "{components:?}");
    let storages = stage::storages().into_iter().map(|name| (stage::kops_folder(), name));
    for (stage, name) in components.into_iter().map(|name| (folder(), name)).chain(storages) {
        let folder = stage.join("components").join(&name);
        let kustomization = documents(&std::fs::read_to_string(folder.join("kustomization.yaml")).unwrap()).unwrap();
        assert_eq!(kustomization[0]["kind"], "Component", "{name}");
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        assert!(readme.starts_with(&format!("# {name}\n")), "{name} has no README.md of that title");
        assert!(readme.contains("What it teaches"), "{name}'s README.md does not say what it teaches");
    }
}

#[test]
fn every_composition_builds() {
    let (Some(built), Some(kops)) = (built(), stage::kops()) else { return };
    let failures = [&built.failures[..], &kops.failures].concat();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_is_applied_without_any_choice_is_the_base_with_jaeger_and_ports() {
    let (Some(built), Some(kustomize)) = (built(), Kustomize::find()) else { return };
    let text = kustomize.build(&folder()).unwrap();
    let whole: BTreeSet<_> = documents(&text).unwrap().iter().map(Value::to_string).collect();
    let plain = &built.compositions[0];
    assert_eq!(plain.components, ["jaeger", "node-ports"]);
    assert!(whole == plain.objects.iter().map(|object| object.to_string()).collect(), "kind differs from {}", plain.name());
    assert_eq!(plain.of_kind("Deployment").count(), SERVICES + 2);
}

#[test]
fn what_is_applied_of_kops_without_any_choice_is_with_cassandra() {
    let (Some(kops), Some(kustomize)) = (stage::kops(), Kustomize::find()) else { return };
    let text = kustomize.build(&stage::kops_folder()).unwrap();
    let whole: BTreeSet<_> = documents(&text).unwrap().iter().map(Value::to_string).collect();
    let plain = &kops.compositions[0];
    assert_eq!(plain.components, ["kops", stage::STORAGE]);
    assert!(whole == plain.objects.iter().map(|object| object.to_string()).collect(), "kops differs from {}", plain.name());
    assert_eq!(plain.of_kind("StatefulSet").map(|(name, _)| name).collect::<Vec<_>>(), ["cassandra", "jaeger-aggregator", "kafka"]);
}

#[test]
fn in_another_namespace_nothing_asks_for_the_stages_own() {
    let Some(kustomize) = Kustomize::find() else { return };
    let own = components().into_iter().filter(|name| !["offline", "gateway-api"].contains(&name.as_str())).collect::<Vec<_>>();
    let objects = documents(&kustomize.build_in(Some("elsewhere"), &own).unwrap()).unwrap();
    assert!(objects.iter().any(|object| object["kind"] == "Namespace" && stage::name(object) == "elsewhere"));
    for object in objects.iter().filter(|object| object["kind"] != "Namespace") {
        assert_eq!(object["metadata"]["namespace"], "elsewhere", "{}", policy::shown(object));
        let text = object.to_string();
        let named = [".tracelab.svc", ".tracelab:", r#""namespace":"tracelab""#].into_iter().find(|named| text.contains(named));
        assert_eq!(named, None, "{}", policy::shown(object));
    }
}

#[test]
fn every_composition_keeps_every_rule() {
    let Some(built) = built() else { return };
    assert_kept(&built.compositions);
}

#[test]
fn the_kops_stage_keeps_every_rule_and_its_own() {
    let Some(kops) = stage::kops() else { return };
    assert_eq!(kops.compositions.len(), stage::storages().len() + 1);
    assert_kept(&kops.compositions);
}

fn assert_kept(compositions: &[Composition]) {
    // What is wrong in one composition often is in many.
    let mut broken = BTreeMap::new();
    for composition in compositions {
        for complaint in complaints(composition) {
            broken.entry(complaint).or_insert_with(|| composition.name());
        }
    }
    let broken: Vec<_> = broken.into_iter().map(|(complaint, first)| format!("{complaint} ({first})")).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_rule_finds_what_breaks_it() {
    let (Some(built), Some(kops)) = (built(), stage::kops()) else { return };
    let all: Vec<_> = built.compositions.iter().chain(&kops.compositions).collect();
    for (rule, broken_by) in RULES.iter().chain(kops::RULES) {
        let breaks = BREAKS.iter().filter(|(name, _)| name == rule).flat_map(|(_, breaks)| *breaks);
        assert_ne!(breaks.clone().count(), 0, "nothing is known that breaks: {rule}");
        for (object, at, then) in breaks {
            let (in_kops, object) = object.strip_prefix("kops: ").map_or((false, *object), |object| (true, object));
            let in_kops = in_kops || kops::RULES.iter().any(|(own, _)| own == rule);
            // The plain one, but for what a component brings.
            let has_it = |composition: &&&Composition| {
                (composition.is_kops() || !in_kops) && composition.objects.iter().any(|found| is_called(found, object))
            };
            let whole = all.iter().find(has_it).unwrap_or_else(|| panic!("there is no {object}"));
            let broken = broken(whole, object, at, &serde_json::from_str(then).unwrap());
            assert_ne!(broken_by(&broken), [""; 0], "{object}: {at} = {then} does not break: {rule}");
        }
    }
    let known = BREAKS.iter().map(|(rule, _)| rule).collect::<BTreeSet<_>>();
    assert_eq!(RULES.len() + kops::RULES.len(), known.len(), "something breaks a rule that is none");
}

/// A ConfigMap without what kustomize adds to its name.
fn is_called(found: &Value, object: &str) -> bool {
    let shown = policy::shown(found);
    let plain = shown.rsplit_once('-').filter(|_| found["kind"] == "ConfigMap").map(|(plain, _)| plain);
    shown == object || plain == Some(object)
}

/// The composition with one thing in one object written anew, or taken out.
fn broken(composition: &Composition, object: &str, at: &str, then: &Value) -> Composition {
    let mut broken = composition.clone();
    let object = Arc::make_mut(broken.objects.iter_mut().find(|found| is_called(found, object)).unwrap());
    let at = format!("/{at}").replacen("/container/", "/pod/containers/0/", 1).replacen("/pod/", "/spec/template/spec/", 1);
    let (parent, key) = at.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    // Of a file, a part.
    let edit = then.as_str().and_then(|then| then.split_once(" => "));
    if let (Some((from, to)), Some(text)) = (edit, object.pointer(&at).and_then(Value::as_str)) {
        assert!(text.contains(from), "{at} does not say {from}");
        *object.pointer_mut(&at).unwrap() = json!(text.replace(from, to));
        return broken;
    }
    match object.pointer_mut(parent) {
        Some(Value::Array(list)) => list[key.parse::<usize>().unwrap()] = then.clone(),
        Some(Value::Object(map)) if then.is_null() => assert!(map.remove(&key).is_some(), "there is no {at}"),
        Some(Value::Object(map)) => drop(map.insert(key, then.clone())),
        other => panic!("{at} is in {other:?}"),
    }
    broken
}

/// Every document once: most are the same in all compositions.
#[test]
fn every_object_is_what_kubernetes_takes() {
    let (Some(built), Some(kops)) = (built(), stage::kops()) else { return };
    let Some(python) = validator() else { return };
    let directory = tempfile::tempdir().unwrap();
    let stream = directory.path().join("objects.yaml");
    let clusters = cluster::ZONES.map(cluster::filled_in);
    let clusters = clusters.iter().flat_map(|text| text.split("\n---\n"));
    // Those of both stages are the same to a large part.
    let documents: BTreeSet<_> = built.documents.keys().chain(kops.documents.keys()).map(String::as_str).chain(clusters).collect();
    let documents: Vec<_> = documents.into_iter().collect();
    std::fs::write(&stream, documents.join("\n---\n")).unwrap();
    let output = python(&stream);
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(output.status.success() && said.contains(&format!("{} passed, 0 failed", documents.len())), "{said}");

    // A word that nobody knows is found, or nothing would be.
    let misspelt = ["targetPort:", "rootVolumeSize:", "minReplicas:"].map(|word| {
        let document = documents.iter().find(|document| document.contains(word)).unwrap();
        document.replacen(word, &word.to_lowercase(), 1)
    });
    std::fs::write(&stream, misspelt.join("\n---\n")).unwrap();
    let output = python(&stream);
    assert!(stdout(&output).contains("3 failed"), "{}{}", stdout(&output), stderr(&output));
}

/// What checks a file, or a message where something is missing for it.
fn validator() -> Option<impl Fn(&Path) -> std::process::Output> {
    let has_packages = Command::new("python3").args(["-c", "import jsonschema, kubernetes_validate, yaml"]).output();
    let missing = if !Path::new(VALIDATOR).exists() {
        Some(format!("{VALIDATOR} is not here"))
    } else if !has_packages.is_ok_and(|output| output.status.success()) {
        Some("this test needs a python3 with packages (pip install kubernetes-validate pyyaml jsonschema)".to_owned())
    } else {
        None
    };
    if let Some(missing) = &missing {
        assert!(!required("shared"), "TRACELAB_REQUIRE names shared, but {missing}");
        eprintln!("skipped: {missing}");
    }
    missing.is_none().then_some(|file: &Path| Command::new("python3").arg(VALIDATOR).arg(file).output().unwrap())
}

/// The clusters that the stage makes for itself: the plain one, and the one that traces itself.
#[test]
fn the_clusters_have_room_and_are_reached_from_their_machine_alone() {
    let Some(built) = built() else { return };
    let plain: BTreeSet<_> = ports_of_nodes(&built.compositions[0]).into_iter().map(|(port, _)| port).collect();
    let all: BTreeSet<_> = built.compositions.iter().flat_map(ports_of_nodes).map(|(port, _)| port).collect();
    for file in ["cluster.yaml", "cluster-traced.yaml"] {
        let clusters = documents(&std::fs::read_to_string(folder().join(file)).unwrap()).unwrap();
        let [cluster] = &clusters[..] else { panic!("{file} has {} documents", clusters.len()) };
        assert_eq!((&cluster["kind"], &cluster["apiVersion"]), (&json!("Cluster"), &json!("kind.x-k8s.io/v1alpha4")), "{file}");
        let patches = list(&cluster["kubeadmConfigPatches"]).map(|patch| documents(patch.as_str().unwrap()).unwrap().remove(0));
        let kubelet: Vec<_> = patches.filter(|patch| patch["kind"] == "KubeletConfiguration").collect();
        assert!(kubelet.iter().any(|patch| patch["maxPods"] == MAX_PODS), "{file} has no room for 92 pods and their successors");
        let [node] = list(&cluster["nodes"]).collect::<Vec<_>>()[..] else { panic!("{file} has not one node") };
        let mut mapped = BTreeMap::new();
        for mapping in list(&node["extraPortMappings"]) {
            assert_eq!(mapping["listenAddress"], "127.0.0.1", "{file}: {mapping}");
            mapped.insert(mapping["containerPort"].as_u64().unwrap(), mapping["hostPort"].as_u64().unwrap());
        }
        assert_eq!((mapped.get(&30080), mapped.get(&30686)), (Some(&8080), Some(&16686)), "{file}");
        let ports: BTreeSet<_> = mapped.keys().copied().collect();
        assert!(plain.is_subset(&ports), "{file} does not map all of {plain:?}");
        assert!(ports.is_subset(&all), "{file} maps {ports:?}, and Services have {all:?}");
    }
}

#[test]
fn the_cluster_that_kops_is_asked_for_is_closed_and_encrypted() {
    for zones in cluster::ZONES {
        let wrong = cluster::complaints(&cluster::filled_in(zones), zones);
        assert!(wrong.is_empty(), "{zones}: {}", wrong.join("\n"));
    }
    let written = kops::file("cluster.yaml");
    let three = cluster::ZONES[0];
    for (from, to, says) in cluster::BREAKS {
        assert!(written.contains(from), "kops/cluster.yaml does not say {from}");
        let wrong = cluster::complaints(&cluster::fill_in(&written.replacen(from, to, 1), three), three);
        assert!(wrong.iter().any(|wrong| wrong.contains(says)), "{to}: {wrong:?}");
    }
}

#[test]
fn the_nodes_of_kops_have_room_for_the_stage() {
    let Some(kops) = stage::kops() else { return };
    for composition in &kops.compositions {
        assert_eq!(cluster::crowding(composition), None, "{}", composition.name());
    }
}

#[test]
fn the_readmes_of_kops_say_what_the_configurations_do() {
    let Some(kops) = stage::kops() else { return };
    let opensearch = kops.compositions.iter().find(|composition| composition.has("opensearch")).unwrap();
    let all = cluster::sentences(&kops.compositions[0]);
    for (readme, sentence) in all.into_iter().chain(cluster::sentences_of_opensearch(opensearch)) {
        assert!(kops::file(readme).contains(&sentence), "kops/{readme} does not say: {sentence}");
    }
}

const BEGIN: &str = "<!-- >>> requests -->\n";
const END: &str = "<!-- <<< requests -->\n";

#[test]
fn the_readme_says_what_the_stage_requests() {
    let Some(built) = built() else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let written = format!("{before}{BEGIN}{}{END}{after}", table(&built.compositions));
    if std::env::var_os("TRACELAB_WRITE").is_some() {
        std::fs::write(path, written).unwrap();
    } else {
        assert!(written == readme, "README.md says otherwise; run: TRACELAB_WRITE=1 cargo test --test kubernetes requests");
    }
}

#[test]
fn every_component_fits_on_two_cores_and_but_for_proxies_a_rollout_of_all_does() {
    let Some(built) = built() else { return };
    for composition in built.compositions.iter().filter(|composition| composition.components.len() <= 3) {
        let (resting, surge) = (resting(composition), surge(composition));
        // What goes beside nine or ten services doubles with them: there the last pods wait until the first have gone.
        let surging = if policy::OF_A_SUBSET.iter().any(|component| composition.has(component)) { 0 } else { surge.cpu };
        let requested = KUBERNETES.cpu + resting.cpu + surging;
        assert!(requested <= CORES, "{} requests {requested}m of {CORES}m", composition.name());
        assert!(resting.pods + surge.pods + KUBERNETES.pods < MAX_PODS, "{} has more pods than a node takes", composition.name());
    }
}

/// Each component alone, and what remains of two cores beside it.
fn table(compositions: &[Composition]) -> String {
    let mut table = String::from(
        "| requested | pods | CPU | memory | CPU that remains of two cores | while all is rolled out |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let remains =
        |requested: u64| format!("{}m", i64::try_from(CORES).unwrap() - i64::try_from(KUBERNETES.cpu + requested).unwrap());
    table += &format!("| by Kubernetes itself, in kind | {KUBERNETES} | {} | |\n", remains(0));
    for composition in compositions {
        let name = match &composition.components[..] {
            [tracing, _] if tracing == "jaeger" => "`kubectl apply -k kind`".to_owned(),
            [tracing, _] => format!("`kind/up {tracing}`"),
            [tracing, _, component] if tracing == "jaeger" => format!("`kind/up {component}`"),
            _ => continue,
        };
        let (resting, surge) = (resting(composition), surge(composition));
        table += &format!("| {name} | {resting} | {} | {} |\n", remains(resting.cpu), remains(resting.cpu + surge.cpu));
    }
    table
}
