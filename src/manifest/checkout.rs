//! Every file of a checkout that says how many services there are: with all of them brought to one topology, so are the stages.
//!
//! kops builds on kind's base, and has none of its own.

use super::{Addresses, Region, compose, gateway, kubernetes};
use crate::topology::{ServiceName, Topology};

/// A file, by its path from the checkout's root, and what of it the topology decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub path: &'static str,
    pub regions: Vec<Region>,
}

/// What works for the services that it names, and for no others: where they are gone, nothing of it can be brought to the size.
pub const BY_NAME: [(&str, ServiceName); 2] =
    [("compose/replace.yaml", ServiceName { layer: 1, number: 17 }), ("kind/components/mesh", ServiceName { layer: 2, number: 2 })];

/// The files of the compose stage.
///
/// # Errors
/// More services than one network takes; the text names the settings.
pub fn compose_files(topology: Topology) -> anyhow::Result<Vec<Part>> {
    Ok(vec![
        Part { path: "compose/compose.yaml", regions: compose(topology)?.into() },
        Part { path: "compose/nginx/layer-0.conf", regions: vec![gateway(topology, Addresses::Change)] },
    ])
}

/// The files of the stages in Kubernetes.
pub fn kubernetes_files(topology: Topology) -> Vec<Part> {
    vec![
        Part { path: "kind/base/services.yaml", regions: kubernetes(topology).into() },
        Part { path: "kind/components/edge/nginx/layer-0.conf", regions: vec![gateway(topology, Addresses::Stay)] },
    ]
}
