//! The per-service part of `compose/compose.yaml`: the topology as the frontend is told it, and an entry a service.

use anyhow::bail;

use super::Region;
use crate::topology::Topology;

/// A Linux bridge takes 1,023 containers, and beside the services there are frontend, Jaeger and what other files bring.
const MOST_SERVICES: usize = 1_000;

/// The regions of the file.
///
/// # Errors
/// More services than one network takes; the text names the settings.
pub fn compose(topology: Topology) -> anyhow::Result<[Region; 2]> {
    let Topology { layers, width, .. } = topology;
    let count = topology.services().count();
    if count > MOST_SERVICES {
        bail!("layers × width is {count} services; one Docker network takes {MOST_SERVICES}: lower layers or width");
    }
    let text = format!("x-topology: &topology\n  TRACELAB_LAYERS: \"{layers}\"\n  TRACELAB_WIDTH: \"{width}\"\n");
    let entry = |name| format!("  {name}: {{<<: *service, command: [service, --name, {name}]}}\n");
    Ok([Region { name: "topology", text }, Region { name: "services", text: topology.services().map(entry).collect() }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Route;

    #[test]
    fn more_services_than_a_network_takes_are_refused() {
        let most = Topology::new(2, 500, Route::Straight).unwrap();
        assert_eq!(compose(most).unwrap()[1].text.lines().count(), 1_000);
        let error = compose(Topology { width: 501, ..most }).unwrap_err().to_string();
        assert!(error.contains("1002 services") && error.contains("width"), "{error}");
    }
}
