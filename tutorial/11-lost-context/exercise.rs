//! The service that loses the context: it has the next one called by a task of its own, so that the call ends even where nobody waits
//! for the answer any more. A good idea, but for one thing.

#[path = "../support/service.rs"]
mod service;

use std::error::Error;
use std::sync::Arc;

use service::{Answer, Failure, Request};

const VERSION: &str = "v1"; // TODO 2: v2

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    service::serve(VERSION, call_in_a_task).await
}

async fn call_in_a_task(request: Arc<Request>) -> Result<Option<Answer>, Failure> {
    let Some(url) = request.next.clone() else { return Ok(None) };
    let span = service::client_span(&url);
    // What is current belongs to one task, and a new task begins without.
    let call = async move { service::get(&request.http, &url).await };
    // TODO 1: have `span` go with the call into its task: a future takes a context along with
    // .with_context(…), which is in opentelemetry::trace::FutureExt.
    let result = tokio::spawn(call).await?;
    service::finish_call(&span, &result);
    result.map(Some)
}
