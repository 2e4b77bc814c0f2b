//! The objects of the stages in Kubernetes, as their files have them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use super::root;

/// What there is not, in words; nothing where a stage has it.
pub fn missing(kind: &str, name: &str) -> Option<String> {
    let there_is = all().contains(&(kind.to_owned(), name.to_owned()));
    (!there_is).then(|| format!("no stage has a {kind} {name}"))
}

/// Kind and name of each, and the pods' labels `app.kubernetes.io/name`, as if the label were a kind.
fn all() -> &'static BTreeSet<(String, String)> {
    static ALL: OnceLock<BTreeSet<(String, String)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found = BTreeSet::new();
        for stage in ["kind", "kops"] {
            read(&root().join(stage), &mut found);
        }
        found
    })
}

fn read(folder: &Path, found: &mut BTreeSet<(String, String)>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            // What a script left there is another folder, such as .stage.
            if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
                read(&path, found);
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        // Configurations of programs are no objects, and some of them are no YAML either before they are filled in.
        let documents: Vec<Value> = serde_saphyr::from_multiple(&std::fs::read_to_string(&path).unwrap()).unwrap_or_default();
        for object in documents {
            let (Some(kind), Some(name)) = (object["kind"].as_str(), object["metadata"]["name"].as_str()) else { continue };
            found.insert((kind.to_owned(), name.to_owned()));
            for labels in [&object["metadata"]["labels"], &object["spec"]["template"]["metadata"]["labels"]] {
                if let Some(label) = labels["app.kubernetes.io/name"].as_str() {
                    found.insert(("app.kubernetes.io/name".to_owned(), label.to_owned()));
                }
            }
        }
    }
}
