//! An nginx with its OpenTelemetry module: one span a request, of kind server, in whole milliseconds, and none for its own calls.
//!
//! What it writes is what a real one wrote (nginx 1.30, module 0.1.2).

use std::cell::Cell;

use crate::diagnose::model::{Builder, Resource, Text};

/// Where an nginx stands, and as which service: both may be one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Nginx {
    /// In front of the frontend.
    pub edge: Option<&'static str>,
    /// Between the frontend and layer 0.
    pub gateway: Option<&'static str>,
    /// Requests per second that each of them lets through, the others wait (`limit_req`).
    pub edge_limit: Option<f64>,
    pub gateway_limit: Option<f64>,
}

/// A `server` block.
#[derive(Debug)]
pub(super) struct Server {
    pub resource: u32,
    /// Of every span.
    pub attributes: Vec<(Text, Text)>,
    /// Of a caller's span.
    pub client: Vec<(Text, Text)>,
    /// Requests per nanosecond.
    limit: Option<f64>,
    /// Nanoseconds since the start; requests that are ahead of their time.
    latest: Cell<(u64, f64)>,
}

impl Server {
    pub fn new(builder: &mut Builder, service: &str, host: &str, port: &str, limit: Option<f64>) -> Self {
        let mut texts =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (builder.text(key), builder.text(value))).collect::<Vec<_>>();
        let attributes = texts(&[
            ("http.flavor", "1.1"),
            ("http.method", "GET"),
            ("http.route", "/"),
            ("http.scheme", "http"),
            ("net.host.name", host),
            ("net.host.port", port),
            ("nginx.role", host),
        ]);
        let client = texts(&[("http.request.method", "GET"), ("server.address", host), ("server.port", port)]);
        let service = builder.text(service);
        let resource = builder.resource(Resource { service, attributes: Vec::new() });
        let limit = limit.map(|per_second| per_second / 1e9);
        Self { resource, attributes, client, limit, latest: Cell::new((0, -1.0)) }
    }

    /// How long a request that comes `now` must wait, in nanoseconds; none where nothing is limited. A leaky bucket without end.
    pub fn wait(&self, now: u64) -> Option<u64> {
        let limit = self.limit?;
        let (latest, ahead) = self.latest.get();
        let ahead = (ahead - (now - latest) as f64 * limit + 1.0).max(0.0);
        self.latest.set((now, ahead));
        // Its timers count whole milliseconds too.
        Some((ahead / limit / 1e6) as u64 * 1_000_000)
    }
}
