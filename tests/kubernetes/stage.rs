//! The stages as kustomize builds them: kind's alone, with each of its components, and with all pairs of them; kops' with each of its
//! storages, and with the load generator.
//!
//! Components are found, not listed: one more folder is one more component that is tested.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use crate::required::required;

/// Where spans go: one of them is in every composition.
pub const TRACING: [&str; 2] = ["jaeger", "offline"];
/// What is in every composition.
const NODE_PORTS: &str = "node-ports";
/// What does not go together: both are the way in.
const APART: [[&str; 2]; 1] = [["edge", "gateway-api"]];

/// The first word of every composition of the kops stage; the second is its storage.
const KOPS: &str = "kops";
/// What `kops/kustomization.yaml` names; `kops/up` writes another one there if asked.
pub const STORAGE: &str = "cassandra";

/// The folder of the stage's files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kind")
}

/// The folder of the kops stage's files.
pub fn kops_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(KOPS)
}

/// All that is in a file of YAML.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| error.to_string())
}

/// What the folders below `kind/components` are called.
pub fn components() -> Vec<String> {
    folders(&folder().join("components"))
}

/// The storages that the kops stage can have.
pub fn storages() -> Vec<String> {
    folders(&kops_folder().join("components"))
}

fn folders(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut names: Vec<_> =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The base with some components, built.
#[derive(Clone)]
pub struct Composition {
    /// The words after `kind/up`, but that `jaeger` and `node-ports` go without saying there.
    pub components: Vec<String>,
    pub objects: Vec<Arc<Value>>,
}

impl Composition {
    pub fn is_kops(&self) -> bool {
        self.components[0] == KOPS
    }

    pub fn has(&self, component: &str) -> bool {
        self.components.iter().any(|name| name == component)
    }

    /// As it is called where something is said about it.
    pub fn name(&self) -> String {
        if self.is_kops() { self.components.join(", ") } else { format!("base, {}", self.components.join(", ")) }
    }

    /// The objects of a kind, by their names.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let objects = self.objects.iter().map(AsRef::as_ref);
        objects.filter(move |object| object["kind"] == kind).map(|object| (name(object), object))
    }
}

/// Every composition, and the distinct documents that they are made of, each with one that has it.
pub struct Built {
    pub compositions: Vec<Composition>,
    pub documents: BTreeMap<String, String>,
    /// What does not build, and why.
    pub failures: Vec<String>,
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// All that users may put together, as far as pairs tell; built once for all tests. None where there is no kustomize.
pub fn built() -> Option<&'static Built> {
    static BUILT: OnceLock<Option<Built>> = OnceLock::new();
    BUILT.get_or_init(|| Some(build_all(Kustomize::find()?))).as_ref()
}

/// The kops stage with each storage, the default one first, and that one with the load generator. None where there is no kustomize.
pub fn kops() -> Option<&'static Built> {
    static BUILT: OnceLock<Option<Built>> = OnceLock::new();
    BUILT.get_or_init(|| Some(build_kops(Kustomize::find()?))).as_ref()
}

/// kustomize, alone or as a part of kubectl.
#[derive(Clone, Copy)]
pub struct Kustomize(&'static [&'static str]);

impl Kustomize {
    /// Skips with a message where there is none, unless `TRACELAB_REQUIRE` names `kustomize`; then it fails.
    pub fn find() -> Option<Self> {
        let found = [["kustomize", "build"].as_slice(), &["kubectl", "kustomize"]]
            .into_iter()
            .find(|command| tracelab::keeper::find(command[0]).is_some());
        if found.is_none() {
            assert!(!required("kustomize"), "TRACELAB_REQUIRE names kustomize, but neither kustomize nor kubectl is in PATH");
            eprintln!("skipped: this test needs kustomize or kubectl (Debian 13: apt-get install kustomize)");
        }
        found.map(Self)
    }

    /// What a folder's kustomization comes to.
    pub fn build(self, folder: &Path) -> Result<String, String> {
        let output = Command::new(self.0[0]).args(&self.0[1..]).arg(folder).output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into())
        }
    }

    /// The base with these components, as `kind/up` writes it, but in a folder elsewhere; and in a namespace, if one is named.
    pub fn build_in(self, namespace: Option<&str>, components: &[String]) -> Result<String, String> {
        let place = tempfile::tempdir().unwrap();
        // kustomize refuses absolute paths.
        let up = "../".repeat(place.path().canonicalize().unwrap().components().count() - 1);
        let kind = format!("{up}{}", folder().canonicalize().unwrap().strip_prefix("/").unwrap().display());
        let lines: String = components.iter().map(|name| format!("  - {kind}/components/{name}\n")).collect();
        let namespace = namespace.map_or_else(String::new, |namespace| format!("namespace: {namespace}\n"));
        let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
        let text = format!("{head}{namespace}resources:\n  - {kind}/base\ncomponents:\n{lines}");
        std::fs::write(place.path().join("kustomization.yaml"), text).unwrap();
        self.build(place.path())
    }

    /// The kops stage as `kops/up` has it built: a copy, beside which stands what it builds on, with another storage in the file.
    fn build_kops(self, storage: &str, with_load: bool) -> Result<String, String> {
        let place = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&kops_folder(), &place.path().join(KOPS));
        for beside in ["kind", "compose"] {
            std::os::unix::fs::symlink(root.join(beside), place.path().join(beside)).unwrap();
        }
        let file = place.path().join(KOPS).join("kustomization.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let named = format!("- components/{STORAGE}\n");
        assert_eq!(text.matches(&named).count(), 1, "kops/kustomization.yaml does not name one storage");
        std::fs::write(file, text.replace(&named, &format!("- components/{storage}\n"))).unwrap();
        let load = if with_load { "  - kops/load\n" } else { "" };
        let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
        std::fs::write(place.path().join("kustomization.yaml"), format!("{head}resources:\n  - kops\n{load}")).unwrap();
        self.build(place.path())
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

fn build_kops(kustomize: Kustomize) -> Built {
    let mut all: Vec<_> = storages().into_iter().map(|storage| (storage, false)).collect();
    all.sort_by_key(|(storage, _)| storage != STORAGE);
    all.push((STORAGE.to_owned(), true));
    let texts = std::thread::scope(|scope| {
        let builds: Vec<_> =
            all.iter().map(|(storage, with_load)| scope.spawn(|| kustomize.build_kops(storage, *with_load))).collect();
        builds.into_iter().map(|build| build.join().unwrap()).collect()
    });
    let words = all.into_iter().map(|(storage, with_load)| {
        let words = [KOPS.to_owned(), storage].into_iter().chain(with_load.then(|| "load".to_owned()));
        words.collect()
    });
    read(words.collect(), texts)
}

fn build_all(kustomize: Kustomize) -> Built {
    let all = compositions();
    // Half of the time it waits.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let texts: Vec<_> = std::thread::scope(|scope| {
        let parts = all.chunks(all.len().div_ceil(threads));
        let parts: Vec<_> =
            parts.map(|part| scope.spawn(|| part.iter().map(|it| kustomize.build_in(None, it)).collect::<Vec<_>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    read(all, texts)
}

fn read(all: Vec<Vec<String>>, texts: Vec<Result<String, String>>) -> Built {
    // Most documents are the same everywhere, and reading one takes its time.
    let mut read = HashMap::new();
    let mut built = Built { compositions: Vec::new(), documents: BTreeMap::new(), failures: Vec::new() };
    for (components, text) in all.into_iter().zip(&texts) {
        let mut composition = Composition { components, objects: Vec::new() };
        match text {
            Ok(text) => {
                for document in text.split("\n---\n") {
                    built.documents.entry(document.to_owned()).or_insert_with(|| composition.name());
                    composition.objects.push(Arc::clone(read.entry(document).or_insert_with(|| Arc::new(one(document)))));
                }
                built.compositions.push(composition);
            }
            Err(error) => built.failures.push(format!("{}: {error}", composition.name())),
        }
    }
    built
}

fn one(document: &str) -> Value {
    let mut documents = documents(document).unwrap_or_else(|error| panic!("{error}\n{document}"));
    assert_eq!(documents.len(), 1, "{document}");
    documents.remove(0)
}

/// Each component alone with either backend, each pair with Jaeger, and all at once.
fn compositions() -> Vec<Vec<String>> {
    let optional: Vec<_> =
        components().into_iter().filter(|name| name != NODE_PORTS && !TRACING.contains(&name.as_str())).collect();
    let together = |first: &str, second: &str| !APART.iter().any(|apart| apart.contains(&first) && apart.contains(&second));
    let with = |tracing: &str, others: &[&String]| {
        let fixed = [tracing, NODE_PORTS].into_iter().map(str::to_owned);
        fixed.chain(others.iter().copied().cloned()).collect::<Vec<_>>()
    };
    let mut compositions = Vec::new();
    for tracing in TRACING {
        compositions.push(with(tracing, &[]));
        compositions.extend(optional.iter().map(|name| with(tracing, &[name])));
    }
    for (n, first) in optional.iter().enumerate() {
        let others = optional[n + 1..].iter().filter(|second| together(first, second));
        compositions.extend(others.map(|second| with(TRACING[0], &[first, second])));
    }
    if optional.len() > 2 {
        let all: Vec<_> = optional.iter().filter(|name| !APART.iter().any(|apart| apart[1] == **name)).collect();
        compositions.push(with(TRACING[0], &all));
    }
    compositions
}
