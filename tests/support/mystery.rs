//! A sandbox with the mystery that a test needs, and the spans of a press.

#![allow(dead_code, reason = "each test file that includes this uses a part of it")]

use tracelab::mystery::{Cause, Fault, Mystery, Spoiled};
use tracelab::topology::{Route, ServiceName, Topology};

use super::sandbox::{Sandbox, Span, assignment, decoy, find};

/// Every sleep of a mystery here is longer than this, and nothing else comes near, however busy the machine.
pub const LONG_MS: f64 = 400.0;
/// That needs medians from here on.
pub const STRONG_MS: f64 = 500.0;
/// `up` with a mystery of this kind.
pub fn up(cause: Cause, topology: Topology, seed: u64, flags: &[&str]) -> Sandbox {
    let Topology { layers, width, route } = topology;
    let values = [layers.to_string(), width.to_string(), route.to_string(), cause.to_string(), seed.to_string()];
    let names = ["--layers", "--width", "--route", "--mystery", "--seed"];
    let mut all = vec!["--delay-scale", "0"];
    all.extend(names.iter().zip(&values).flat_map(|(name, value)| [*name, value.as_str()]));
    all.extend(flags);
    Sandbox::up(&all)
}

/// The same, with the first seed whose culprit is in layer 0 and has, like the services that it calls, no decoy.
pub fn start(cause: Cause, topology: Topology) -> (Sandbox, Mystery, ServiceName) {
    start_where(cause, topology, |_| true)
}

pub fn start_where(cause: Cause, topology: Topology, is: impl Fn(&Mystery) -> bool) -> (Sandbox, Mystery, ServiceName) {
    let (seed, mystery) = find(cause, topology, |mystery| {
        let culprit = mystery.culprit.unwrap();
        culprit.layer == 0 && undisturbed(mystery, culprit.number) && is_strong(mystery) && is(mystery)
    });
    let culprit = mystery.culprit.unwrap();
    (up(cause, topology, seed, &[]), mystery, culprit)
}

/// Whether sleeps are long, if there are any.
pub fn is_strong(mystery: &Mystery) -> bool {
    let fault = mystery.culprit.and_then(|culprit| assignment(mystery, culprit).fault);
    let added = match (fault, mystery.suffering()) {
        (Some(Fault::Sleep { delay } | Fault::RareSleep { delay, .. } | Fault::Customer { delay, .. }), _) => delay,
        (Some(Fault::Network { delay, .. }), _) | (_, Some((_, Spoiled::Slow { delay }))) => delay,
        _ => return true,
    };
    added.median_ms >= STRONG_MS
}

/// Whether no service of this number has a decoy.
pub fn undisturbed(mystery: &Mystery, number: u16) -> bool {
    mystery.topology.services().all(|service| service.number != number || decoy(mystery, service).is_none())
}

pub fn topology(layers: u16, width: u16, route: Route) -> Topology {
    Topology::new(layers, width, route).unwrap()
}

pub fn pair() -> Topology {
    topology(2, 3, Route::Straight)
}

/// The customer of calls in which customers do not matter.
pub const SOMEBODY: &str = "somebody";

/// Presses a button and returns the status with the spans, of which there must be so many.
pub async fn trace(sandbox: &Sandbox, customer: &str, button: u16, count: usize) -> (u16, Vec<Span>) {
    let (status, answer) = sandbox.press_as(customer, button).await;
    (status, sandbox.spans(answer["trace_id"].as_str().unwrap(), count).await)
}

pub fn server(spans: &[Span], service: impl ToString) -> &Span {
    let service = service.to_string();
    let found = spans.iter().find(|span| span.service == service && span.kind() == 2);
    found.unwrap_or_else(|| panic!("no server span of {service} in {}", names(spans)))
}

pub fn client(spans: &[Span], service: impl ToString) -> &Span {
    let service = service.to_string();
    spans.iter().find(|span| span.service == service && span.kind() == 3).unwrap()
}

/// For messages.
pub fn names(spans: &[Span]) -> String {
    let names: Vec<_> = spans.iter().map(|span| format!("{} {}", span.service, span.name())).collect();
    names.join(", ")
}

pub fn status(span: &Span) -> String {
    span.attribute("http.response.status_code").unwrap()
}
