//! The per-service part of `compose/nginx/layer-0.conf`: an upstream a service, of its name.

use super::Region;
use crate::topology::Topology;

/// The region of the file. Upstreams share a zone, which takes more of them than there can be.
pub fn gateway(topology: Topology) -> Region {
    let upstream =
        |name| format!("upstream {name} {{ zone layer-0 4m; server {name}:8080 resolve; keepalive 16; keepalive_timeout 20s; }}\n");
    Region { name: "upstreams", text: topology.layer(0).map(upstream).collect() }
}
