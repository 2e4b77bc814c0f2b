//! Who may play: refuses requests that another web page had the reader's browser send.
//!
//! The `Host` that a request names must be one by which this frontend is known: a page of a name that was made to point here (DNS
//! rebinding) names its own. And what changes something must not come from a page of another origin.

use std::net::{IpAddr, SocketAddr};

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, StatusCode};

use super::error::ApiError;

/// The names of one frontend.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    bound: SocketAddr,
    allowed: Vec<String>,
}

impl Gate {
    /// `allowed` are further names, `host` or `host:port`. Bound to anything but loopback, a frontend without any cannot know what
    /// names it has outside. It then takes those that nobody else can point here: addresses, and names without a dot, which only
    /// the reader's own network knows.
    pub fn new(bound: SocketAddr, allowed: &[String]) -> Self {
        let allowed = allowed.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { bound, allowed }
    }

    /// May this request read?
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = host(headers)?;
        if self.knows(&host) {
            return Ok(());
        }
        let way_in = match self.bound.ip().is_loopback() {
            true => format!("open http://127.0.0.1:{}, or add the name to --allowed-hosts", self.bound.port()),
            false => "add the name to --allowed-hosts".to_owned(),
        };
        Err(forbidden(format!("this frontend is not known as {:.80}; {way_in}", host.as_str())))
    }

    /// May this request change something?
    pub fn check_change(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.check_host(headers)?;
        if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
            return Err(forbidden("a page of another site sent this; only the sandbox's own page may play"));
        }
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let same = origin.to_str().is_ok_and(|origin| host(headers).is_ok_and(|host| same_origin(origin, &host)));
        match same {
            true => Ok(()),
            false => {
                let origin = String::from_utf8_lossy(origin.as_bytes());
                Err(forbidden(format!("a page of {origin:.80} sent this; only the sandbox's own page may play")))
            }
        }
    }

    fn knows(&self, host: &Authority) -> bool {
        let name = host.host().to_ascii_lowercase();
        let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let own_port = host.port_u16().unwrap_or(80) == self.bound.port();
        let loopback = name == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        let listed = || {
            let whole = host.as_str().to_ascii_lowercase();
            self.allowed.iter().any(|allowed| *allowed == name || *allowed == whole)
        };
        // The page's runs come by the bound address, whatever else is listed.
        if ip == Some(self.bound.ip()) && own_port {
            return true;
        }
        if self.bound.ip().is_loopback() {
            return loopback && own_port || listed();
        }
        // Behind a container's published port, loopback has another port than ours.
        match self.allowed.is_empty() {
            true => ip.is_some() || !name.is_empty() && !name.contains('.'),
            false => loopback || listed(),
        }
    }
}

fn host(headers: &HeaderMap) -> Result<Authority, ApiError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()),
        _ => None,
    };
    // The part before an @ is no part of a Host.
    host.filter(|host| !host.as_str().contains('@')).ok_or_else(|| forbidden("the request needs one Host header that names a host"))
}

/// Is it the same name and port? A proxy may speak TLS in front of us, so that the scheme may differ.
fn same_origin(origin: &str, host: &Authority) -> bool {
    let (default_port, origin) = match origin.split_once("://") {
        Some(("http", rest)) => (80, rest),
        Some(("https", rest)) => (443, rest),
        _ => return false,
    };
    let Ok(origin) = origin.parse::<Authority>() else { return false };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    origin.host().eq_ignore_ascii_case(host.host()) && port(&origin) == port(host)
}

fn forbidden(error: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(bound: &str, allowed: &[&str]) -> Gate {
        let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
        Gate::new(bound.parse().unwrap(), &allowed)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn may_change(gate: &Gate, pairs: &[(&'static str, &str)]) -> bool {
        gate.check_change(&headers(pairs)).is_ok()
    }

    #[test]
    fn on_loopback_only_names_of_loopback_with_our_port_are_ours() {
        let gate = gate("127.0.0.1:8080", &["Play.example.org"]);
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "127.0.0.2:8080", "play.example.org"] {
            assert!(may_change(&gate, &[("host", host)]), "{host}");
        }
        for host in ["evil.example:8080", "127.0.0.1:9000", "localhost", "localhost.evil.example:8080", "me@localhost:8080", ""] {
            assert!(!may_change(&gate, &[("host", host)]), "{host}");
            assert!(gate.check_host(&headers(&[("host", host)])).is_err(), "{host}");
        }
        assert!(!may_change(&gate, &[]));
    }

    #[test]
    fn a_page_of_another_origin_may_not_play() {
        let gate = gate("127.0.0.1:8080", &[]);
        let host = ("host", "localhost:8080");
        assert!(may_change(&gate, &[host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")]));
        for origin in ["http://localhost:3000", "http://127.0.0.1:8080", "http://evil.example", "null", "localhost:8080", "file://"]
        {
            assert!(!may_change(&gate, &[host, ("origin", origin)]), "{origin}");
        }
        assert!(!may_change(&gate, &[host, ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn bound_to_all_addresses_only_a_name_that_nobody_else_can_point_here_will_do() {
        let gate = gate("0.0.0.0:8080", &[]);
        for host in ["frontend:8080", "frontend", "localhost:30080", "10.0.0.7:8080", "192.168.1.5", "[fd00::7]:8080"] {
            assert!(may_change(&gate, &[("host", host)]), "{host}");
        }
        assert!(may_change(&gate, &[("host", "10.0.0.7"), ("origin", "https://10.0.0.7")]));
        assert!(!may_change(&gate, &[("host", "10.0.0.7"), ("origin", "https://evil.example")]));
        for host in ["evil.example", "evil.example:8080", "10.0.0.7.evil.example", "evil.", ":8080"] {
            assert!(!may_change(&gate, &[("host", host)]), "{host}");
        }
        let error = gate.check_host(&headers(&[("host", "play.example.org")])).unwrap_err().error;
        assert_eq!(error, "this frontend is not known as play.example.org; add the name to --allowed-hosts");
    }

    #[test]
    fn the_bound_address_is_known_whatever_is_listed() {
        for (bound, other) in [("192.168.1.5:8080", "192.168.1.6:8080"), ("[fd00::7]:8080", "[fd00::8]:8080")] {
            let gate = gate(bound, &["play.example.org"]);
            assert!(may_change(&gate, &[("host", bound)]), "{bound}");
            assert!(!may_change(&gate, &[("host", other)]), "{other}");
        }
        assert!(!may_change(&gate("192.168.1.5:8080", &["play.example.org"]), &[("host", "192.168.1.5:9000")]));
    }

    #[test]
    fn once_names_are_listed_they_and_loopback_are_all() {
        let gate = gate("0.0.0.0:8080", &["play.example.org", "frontend:8080"]);
        for host in ["play.example.org", "play.example.org:30080", "frontend:8080", "localhost:30080"] {
            assert!(may_change(&gate, &[("host", host)]), "{host}");
        }
        for host in ["evil.example", "frontend:9000"] {
            assert!(!may_change(&gate, &[("host", host)]), "{host}");
        }
    }
}
