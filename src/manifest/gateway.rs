//! The per-service part of the stages' `layer-0.conf`: an upstream a service, of its name.

use super::Region;
use crate::topology::Topology;

/// How long the address of a service holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// A container that comes again has another one: nginx looks its name up while it runs, by the resolver that it is told of.
    Change,
    /// A Service keeps its own: nginx looks it up once, as any program does, so that no domain of a cluster need be written down.
    Stay,
}

/// Of nginx 1.22, a zone of 4 MB takes so many upstreams and not 5,000; 12 MB take 10,000, which is the widest layer.
const SMALL: u16 = 3_000;

/// The region of the file. Upstreams share a zone, which takes all of them.
pub fn gateway(topology: Topology, addresses: Addresses) -> Region {
    let (name, resolve) = match addresses {
        Addresses::Change => ("upstreams", " resolve"),
        Addresses::Stay => ("kubernetes-upstreams", ""),
    };
    let zone = if topology.width <= SMALL { "4m" } else { "16m" };
    let upstream = |name| {
        format!("upstream {name} {{ zone layer-0 {zone}; server {name}:8080{resolve}; keepalive 16; keepalive_timeout 20s; }}\n")
    };
    Region { name, text: topology.layer(0).map(upstream).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{MAX_WIDTH, Route};

    #[test]
    fn the_zone_grows_with_the_layer_and_only_where_it_has_to() {
        let text = |width| gateway(Topology::new(1, width, Route::Straight).unwrap(), Addresses::Stay).text;
        for (width, zone) in [(1, " 4m;"), (SMALL, " 4m;"), (SMALL + 1, " 16m;"), (MAX_WIDTH, " 16m;")] {
            assert_eq!(text(width).matches(zone).count(), usize::from(width), "{width}");
        }
    }
}
