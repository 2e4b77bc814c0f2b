//! The service that wrote to Redis key by key, and now sends all keys together: one way there and back.

#[path = "../support/service.rs"]
mod service;

use std::error::Error;
use std::sync::Arc;

use opentelemetry::trace::TraceContextExt as _;
use redis::aio::MultiplexedConnection;
use service::{Failure, Request, redis_span};
use tokio::sync::OnceCell;

const VERSION: &str = "v2";
/// So many values are written on every request.
const KEYS: i64 = 150;
/// A value that is not written again goes after so many seconds.
const EXPIRY: u64 = 60;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    service::serve(VERSION, |request| async move {
        write(&request).await?;
        request.call_next().await
    })
    .await
}

async fn write(request: &Arc<Request>) -> Result<(), Failure> {
    let Some(url) = &request.redis else { return Ok(()) };
    let mut connection = connection(url).await?;
    let mut pipeline = redis::pipe();
    for key in 0..KEYS {
        pipeline.cmd("SET").arg(format!("{}:{key}", request.service)).arg(key).arg("EX").arg(EXPIRY).ignore();
    }
    let span = redis_span(url, "PIPELINE SET", KEYS);
    let written = pipeline.exec_async(&mut connection).await;
    span.span().end();
    Ok(written?)
}

/// One connection for all requests.
async fn connection(url: &str) -> Result<MultiplexedConnection, Failure> {
    static CONNECTION: OnceCell<MultiplexedConnection> = OnceCell::const_new();
    let connect = || async { redis::Client::open(url)?.get_multiplexed_async_connection().await };
    Ok(CONNECTION.get_or_try_init(connect).await?.clone())
}
