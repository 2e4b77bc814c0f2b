//! `tracelab manifest`: the per-service parts of a stage's files, of one or of all.

use std::path::Path;

use anyhow::Context as _;

use super::say;
use crate::cli::{ManifestAll, ManifestFlags, ManifestStage, SizeFlags};
use crate::config::Config;
use crate::exit::{Failure, failure};
use crate::manifest::{Addresses, BY_NAME, Part, Region, compose, compose_files, gateway, kubernetes, kubernetes_files, splice};
use crate::topology::Topology;

/// What of the flags are keys.
pub fn keys(stage: &ManifestStage) -> &SizeFlags {
    match stage {
        ManifestStage::All(flags) => &flags.size,
        ManifestStage::Compose(flags) | ManifestStage::Kubernetes(flags) => &flags.size,
    }
}

pub fn run(config: &Config, stage: &ManifestStage) -> anyhow::Result<()> {
    let topology = config.topology()?;
    match stage {
        ManifestStage::All(flags) => all(topology, flags),
        ManifestStage::Compose(flags) if flags.gateway => one(&[gateway(topology, Addresses::Change)], flags),
        ManifestStage::Kubernetes(flags) if flags.gateway => one(&[gateway(topology, Addresses::Stay)], flags),
        ManifestStage::Compose(flags) => one(&compose(topology)?, flags),
        ManifestStage::Kubernetes(flags) => one(&kubernetes(topology), flags),
    }
}

fn one(regions: &[Region], flags: &ManifestFlags) -> anyhow::Result<()> {
    let Some(path) = &flags.into else {
        return regions.iter().try_for_each(|region| say(&region.to_string()));
    };
    match rewritten(path, regions)? {
        Some(new) => write(path, &new),
        None => {
            eprintln!("{} says so already", path.display());
            Ok(())
        }
    }
}

fn all(topology: Topology, flags: &ManifestAll) -> anyhow::Result<()> {
    let Topology { layers, width, .. } = topology;
    let compose = compose_files(topology).unwrap_or_else(|error| {
        eprintln!("note: the files of the compose stage stay as they are: {error:#}; Kubernetes takes more");
        Vec::new()
    });
    let root = flags.checkout.as_deref().unwrap_or(Path::new("."));
    let mut others = Vec::new();
    // Nothing is written before it is known that all can be.
    for Part { path, regions } in compose.iter().chain(&kubernetes_files(topology)) {
        let file = root.join(path);
        let new = rewritten(&file, regions).context("--checkout names the folder in which compose/ and kind/ are")?;
        others.extend(new.map(|new| (file, new)));
    }
    for (path, service) in BY_NAME.iter().filter(|(_, service)| !topology.contains(*service)) {
        eprintln!("note: {path} is for stages that have {service}; in {layers} × {width} there is none");
    }
    let size = format!("{layers} × {width}");
    if flags.check && !others.is_empty() {
        let files: Vec<_> = others.iter().map(|(file, _)| file.display().to_string()).collect();
        let say = format!("{} of another size than {size}; `manifest all` brings all files to one", files.join(", "));
        return Err(failure(Failure::No, say));
    }
    for (file, new) in &others {
        write(file, new)?;
        eprintln!("{} is written", file.display());
    }
    let services = u32::from(layers) * u32::from(width);
    say(&format!("{size}: {services} services in every stage{}", if compose.is_empty() { " but compose" } else { "" }))
}

/// What the file will say, where that is something else.
fn rewritten(path: &Path, regions: &[Region]) -> anyhow::Result<Option<String>> {
    let shown = path.display();
    let old = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let new = splice(&old, regions).with_context(|| format!("{shown} has no place for it"))?;
    Ok((new != old).then_some(new))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
