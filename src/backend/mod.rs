//! The embedded trace backend: OTLP in, a bounded store, Jaeger's query API out.
//!
//! It is for one laptop: what it holds lives in memory and goes when the process does. [`Store`] can also be fed directly,
//! which is what `up` does from the exporter in the same process.
//!
//! | port | serves |
//! |---|---|
//! | query (16686) | Jaeger's API v3 and legacy API, logs of a trace, the pages, `GET /status`; see `query` |
//! | OTLP/HTTP (4318) | `POST /v1/traces`, `/v1/logs`: protobuf or JSON, gzip or not; see `otlp::http` |
//! | OTLP/gRPC (4317) | `TraceService/Export`, `LogsService/Export`, gzip or not; see `otlp::grpc` |

mod attribute;
pub(crate) mod json;
mod otlp;
mod pages;
mod query;
mod store;
mod wire;

use anyhow::Context as _;
use tokio::net::TcpListener;

pub use store::{Accepted, Dependency, Stats, Store};
pub use wire::Malformed;

use crate::server::{self, Stop};
use otlp::body::Bodies;

/// The sockets of the backend, bound by whoever knows the flags.
#[derive(Debug)]
pub struct Listeners {
    pub query: TcpListener,
    pub otlp_http: TcpListener,
    pub otlp_grpc: TcpListener,
}

/// Serves all three until `stop`, then finishes what is running.
pub async fn serve(listeners: Listeners, store: Store, stop: Stop) -> anyhow::Result<()> {
    let bodies = Bodies::new();
    let query = server::serve(listeners.query, query::routes(store.clone(), bodies.clone()), stop.clone());
    let http = server::serve(listeners.otlp_http, otlp::http::routes(store.clone(), bodies.clone()), stop.clone());
    let grpc = otlp::grpc::serve(listeners.otlp_grpc, store, bodies, stop);
    let ((), (), grpc) = tokio::join!(query, http, grpc);
    grpc.context("OTLP/gRPC server failed")
}
