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
    port: u16,
    /// Bound to loopback: it is known by names of loopback only.
    local: bool,
    allowed: Vec<String>,
}

impl Gate {
    /// `allowed` are further names, `host` or `host:port`. Bound to anything but loopback, a frontend without any cannot know what
    /// names it has outside, and takes every `Host`.
    pub fn new(bound: SocketAddr, allowed: &[String]) -> Self {
        let allowed = allowed.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { port: bound.port(), local: bound.ip().is_loopback(), allowed }
    }

    /// May this request read?
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = host(headers)?;
        if self.knows(&host) {
            return Ok(());
        }
        let way_in = match self.local {
            true => format!("open http://127.0.0.1:{}, or add the name to allowed_hosts", self.port),
            false => "add the name to allowed_hosts".to_owned(),
        };
        Err(forbidden(format!("this frontend is not known as {host}; {way_in}")))
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
        let own_port = host.port_u16().unwrap_or(80) == self.port;
        let listed = self.allowed.iter().any(|allowed| *allowed == name || allowed.as_str() == host.as_str().to_ascii_lowercase());
        match (self.local, self.allowed.is_empty()) {
            (true, _) => listed || is_loopback(&name) && own_port,
            // Behind a container's published port, loopback has another port than ours.
            (false, false) => listed || is_loopback(&name),
            (false, true) => true,
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

fn is_loopback(name: &str) -> bool {
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
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
    fn bound_to_all_addresses_any_name_will_do_if_the_origin_has_it_too() {
        let gate = gate("0.0.0.0:8080", &[]);
        assert!(may_change(&gate, &[("host", "frontend:8080")]));
        assert!(may_change(&gate, &[("host", "play.example.org"), ("origin", "https://play.example.org")]));
        assert!(!may_change(&gate, &[("host", "play.example.org"), ("origin", "https://evil.example")]));
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
