//! `tracelab manifest`: the per-service parts of a stage's files.

use anyhow::Context as _;

use super::say;
use crate::cli::{ManifestFlags, ManifestStage};
use crate::config::Config;
use crate::manifest::{Addresses, compose, gateway, kubernetes, splice};

/// What of the flags are keys.
pub fn keys(stage: &ManifestStage) -> &ManifestFlags {
    match stage {
        ManifestStage::Compose(flags) | ManifestStage::Kubernetes(flags) => flags,
    }
}

pub fn run(config: &Config, stage: &ManifestStage) -> anyhow::Result<()> {
    let topology = config.topology()?;
    let regions = match stage {
        ManifestStage::Compose(flags) if flags.gateway => vec![gateway(topology, Addresses::Change)],
        ManifestStage::Kubernetes(flags) if flags.gateway => vec![gateway(topology, Addresses::Stay)],
        ManifestStage::Compose(_) => compose(topology)?.into(),
        ManifestStage::Kubernetes(_) => kubernetes(topology).into(),
    };
    let Some(path) = &keys(stage).into else {
        return regions.iter().try_for_each(|region| say(&region.to_string()));
    };
    let shown = path.display();
    let old = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let new = splice(&old, &regions).with_context(|| format!("{shown} has no place for it"))?;
    if new == old {
        eprintln!("{shown} says so already");
        return Ok(());
    }
    std::fs::write(path, new).with_context(|| format!("cannot write {shown}"))
}
