//! The way in, by HTTP and by gRPC. Both end in the same checked protobuf bytes.

pub(crate) mod body;
pub(crate) mod check;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod json;

use super::store::{Accepted, Store};
use super::wire::{Malformed, put_field, put_varint};

/// The largest request, compressed or not: as much as the OpenTelemetry Collector takes.
pub(crate) const MAX_BODY: usize = 20 << 20;

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Logs,
}

impl Signal {
    pub fn ingest(self, store: &Store, body: &[u8]) -> Result<Accepted, Malformed> {
        match self {
            Signal::Traces => store.ingest_traces(body),
            Signal::Logs => store.ingest_logs(body),
        }
    }
}

/// An `ExportTraceServiceResponse` or `ExportLogsServiceResponse`: their numbers are the same.
pub(crate) fn response(accepted: &Accepted) -> Vec<u8> {
    let mut partial = Vec::new();
    if accepted.rejected > 0 {
        put_varint(&mut partial, 1 << 3);
        put_varint(&mut partial, accepted.rejected);
        put_field(&mut partial, 2, accepted.reason.as_bytes());
    }
    let mut out = Vec::new();
    put_field(&mut out, 1, &partial);
    out
}
