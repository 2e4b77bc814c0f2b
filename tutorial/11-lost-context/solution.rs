//! The service that lost the context: it has the next one called by a task of its own, so that the call ends even where nobody waits
//! for the answer any more.

#[path = "../support/service.rs"]
mod service;

use std::error::Error;
use std::sync::Arc;

use opentelemetry::trace::FutureExt as _;
use service::{Answer, Failure, Request};

const VERSION: &str = "v2";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    service::serve(VERSION, call_in_a_task).await
}

async fn call_in_a_task(request: Arc<Request>) -> Result<Option<Answer>, Failure> {
    let Some(url) = request.next.clone() else { return Ok(None) };
    let span = service::client_span(&url);
    // What is current belongs to one task, and a new task begins without.
    let call = async move { service::get(&request.http, &url).await };
    let result = tokio::spawn(call.with_context(span.clone())).await?;
    service::finish_call(&span, &result);
    result.map(Some)
}
