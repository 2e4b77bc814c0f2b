//! Traces of a shop for the tests of this module: a page asks the cart, and goes on working when it has answered.

use crate::diagnose::model::{Builder, NewSpan, Resource, Status, Traces};

pub const MS: u64 = 1_000_000;
/// 2026-11-01T12:00:00Z, in nanoseconds.
pub const NOW: u64 = 1_793_534_400_000_000_000;

/// One trace; the shop itself takes 10 ms.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub number: u64,
    pub cart_ms: u64,
    pub cart_failed: bool,
    pub failed: bool,
    /// A span below the root that outlives it.
    pub afterwards_ms: u64,
    /// The root span is not there.
    pub rootless: bool,
    /// How long before [`NOW`] it ended, and how much later than that the whole trace is.
    pub ago_ms: u64,
    pub later_ms: u64,
}

impl Request {
    pub fn new(number: u64) -> Self {
        Self {
            number,
            cart_ms: 10,
            cart_failed: false,
            failed: false,
            afterwards_ms: 0,
            rootless: false,
            ago_ms: 5_000,
            later_ms: 0,
        }
    }
}

pub fn traces(requests: &[Request]) -> Traces {
    traces_of(requests, "shop", "GET /")
}

/// The same with another service and operation at the root.
pub fn traces_of(requests: &[Request], shop: &str, operation: &str) -> Traces {
    let mut builder = Builder::default();
    let [shop, cart] = [shop, "cart"].map(|name| {
        let service = builder.text(name);
        builder.resource(Resource { service, attributes: vec![] })
    });
    for request in requests {
        let Request { number, cart_ms, cart_failed, failed, afterwards_ms, rootless, ago_ms, later_ms } = *request;
        let root_ms = cart_ms + 10;
        let start = NOW + (later_ms * MS) - (ago_ms + root_ms) * MS;
        let trace_id = format!("{number:032x}");
        let status = |failed| if failed { Status::Error } else { Status::Unset };
        let mut push = |span_id, parent_id, operation, resource, from: u64, ms: u64, failed| {
            let (start, duration) = (start + from * MS, i64::try_from(ms * MS).unwrap());
            let status = status(failed);
            builder.push(NewSpan {
                trace_id: &trace_id,
                span_id,
                parent_id,
                operation,
                resource,
                start,
                duration,
                status,
                ..NewSpan::default()
            });
        };
        if !rootless {
            push("1", "", operation, shop, 0, root_ms, failed);
        }
        push("2", "1", "GetCart", cart, 5, cart_ms, cart_failed);
        if afterwards_ms > 0 {
            push("3", "1", "clean up", shop, root_ms, afterwards_ms, false);
        }
    }
    builder.finish()
}
