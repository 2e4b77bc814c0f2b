//! The per-service part of `kind/base/services.yaml`: the topology as the frontend is told it, and a Deployment and a Service for each.
//!
//! What all of them share is a patch beside it, `kind/base/service.yaml`.

use std::fmt::Write as _;

use super::Region;
use crate::topology::{ServiceName, Topology};

/// The regions of the file.
pub fn kubernetes(topology: Topology) -> [Region; 2] {
    let Topology { layers, width, .. } = topology;
    let text = format!("  TRACELAB_LAYERS: \"{layers}\"\n  TRACELAB_WIDTH: \"{width}\"\n");
    let services = topology.services().fold(String::new(), |mut text, name| {
        // Writing to a String cannot fail.
        let _ = write_objects(&mut text, name);
        text
    });
    [Region { name: "kubernetes-topology", text }, Region { name: "kubernetes-services", text: services }]
}

fn write_objects(text: &mut String, name: ServiceName) -> std::fmt::Result {
    let own = format!("app.kubernetes.io/name: {name}");
    let labels = format!("{own}, app.kubernetes.io/component: service");
    writeln!(text, "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec:")?;
    writeln!(text, "  selector: {{matchLabels: {{{own}}}}}")?;
    writeln!(text, "  template:\n    metadata: {{labels: {{{labels}, app.kubernetes.io/version: v1}}}}")?;
    writeln!(text, "    spec: {{containers: [{{name: service, args: [service, --name, {name}]}}]}}")?;
    writeln!(text, "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, labels: {{{labels}}}}}")?;
    writeln!(text, "spec: {{selector: {{{own}}}, ports: [{{name: http, port: 8080, targetPort: http}}]}}")
}
