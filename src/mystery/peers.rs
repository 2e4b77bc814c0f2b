//! Where the services of a topology listen.
//!
//! On the routes `random` and `all` every service of a layer may call the whole next one: they share one list of it.

use std::sync::Arc;

use url::Url;

use super::Peer;
use crate::topology::{Route, ServiceName, Topology};

/// The addresses of all services, layer by layer.
#[derive(Clone, Debug)]
pub struct Peers {
    topology: Topology,
    layers: Vec<Arc<[Peer]>>,
}

/// An address that nobody can call.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{service} is said to be at {url:?}, which is no http:// URL")]
pub struct BadUrl {
    service: ServiceName,
    url: String,
}

impl Peers {
    /// `url_of` says where each service listens.
    pub fn new(topology: Topology, url_of: impl Fn(ServiceName) -> String) -> Result<Self, BadUrl> {
        let peer = |name| Peer::new(name, &url_of(name));
        let layers = (0..topology.layers).map(|layer| topology.layer(layer).map(peer).collect()).collect::<Result<_, _>>()?;
        Ok(Self { topology, layers })
    }

    /// The services of one layer, by number; none beyond the last one.
    pub fn layer(&self, layer: u16) -> &[Peer] {
        self.layers.get(usize::from(layer)).map_or(&[], |peers| peers)
    }

    /// Whom `service` may forward to.
    pub fn next(&self, service: ServiceName) -> Arc<[Peer]> {
        let Some(next) = self.layers.get(usize::from(service.layer) + 1) else { return Arc::new([]) };
        match self.topology.route {
            Route::Straight => next.get(usize::from(service.number)).cloned().into_iter().collect(),
            Route::Random | Route::All => next.clone(),
        }
    }
}

impl Peer {
    /// A service at the base URL `url`.
    pub fn new(name: ServiceName, url: &str) -> Result<Self, BadUrl> {
        match Url::parse(url) {
            Ok(url) if is_callable(&url) => Ok(Self { name, url }),
            _ => Err(BadUrl { service: name, url: url.to_owned() }),
        }
    }

    /// An assignment from elsewhere may hold any URL.
    pub fn check(&self) -> Result<(), BadUrl> {
        if is_callable(&self.url) { Ok(()) } else { Err(BadUrl { service: self.name, url: self.url.to_string() }) }
    }
}

fn is_callable(url: &Url) -> bool {
    url.has_host() && matches!(url.scheme(), "http" | "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(route: Route) -> Peers {
        Peers::new(Topology::new(3, 4, route).unwrap(), |name| format!("http://{name}:8080")).unwrap()
    }

    #[test]
    fn a_straight_route_leads_to_one_service_and_the_others_to_a_shared_layer() {
        let first = ServiceName { layer: 0, number: 2 };
        let names = |next: Arc<[Peer]>| next.iter().map(|peer| peer.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(peers(Route::Straight).next(first)), ["dummy-1-2"]);
        let all = peers(Route::All);
        assert_eq!(names(all.next(first)), ["dummy-1-0", "dummy-1-1", "dummy-1-2", "dummy-1-3"]);
        assert!(Arc::ptr_eq(&all.next(first), &all.next(ServiceName { layer: 0, number: 3 })), "one list for the whole layer");
        assert!(all.next(ServiceName { layer: 2, number: 0 }).is_empty());
    }

    #[test]
    fn an_address_that_nobody_can_call_is_named_with_its_service() {
        for url in ["", "dummy-1-2:8080", "ftp://here", "unix:/socket"] {
            let error = Peer::new(ServiceName { layer: 1, number: 2 }, url).unwrap_err().to_string();
            assert!(error.contains("dummy-1-2") && error.contains(url), "{error}");
        }
    }
}
