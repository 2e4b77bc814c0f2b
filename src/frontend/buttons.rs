//! A press on a button: one traced call of one service of layer 0.

use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use serde::Serialize;
use tracing::{info, warn};
use url::Url;
use warp::Reply as _;
use warp::reply::{Response, json, with_status};

use super::error::ApiError;
use super::{Frontend, MAX_IN_FLIGHT};
use crate::caller::{CallError, Called};
use crate::service;
use crate::telemetry::{CUSTOMER, ServerSpan, traceresponse, with_baggage};
use crate::topology::ServiceName;

const ROUTE: &str = "/api/buttons/{n}";
/// A learner's own program may answer pages; this much of one is passed on.
const LONGEST_MESSAGE: usize = 200;

#[derive(Debug, Serialize)]
struct Pressed {
    button: u16,
    /// What went wrong; then there is no message.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The services that the request passed, as far as they said so.
    path: Vec<String>,
    latency_ms: f64,
    /// Whose call it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl Frontend {
    /// 200 with `{button, message, path, latency_ms, customer, trace_id}`; 502 or 504 with `error` in the message's place; 404 for a button
    /// that does not exist, 503 where too many presses are under way.
    pub(super) async fn press(&self, button: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
        let inner = &self.0;
        inner.gate(headers)?;
        let (number, service, url) = self.button(button)?;
        let Ok(_permit) = inner.in_flight.try_acquire() else {
            let error = format!("{MAX_IN_FLIGHT} calls are under way already; try again in a moment");
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error));
        };
        let cx = self.with_customer(inner.instrument.extract(headers));
        let cx = inner.instrument.server_span(&cx, &Method::POST, ROUTE, &format!("/api/buttons/{number}"), headers);
        let span = ServerSpan::new(&inner.instrument, &cx);
        let traceresponse = traceresponse(&cx);
        let trace_id = self.note(&cx);
        let (status, pressed) = self.call(number, service, url, &cx, trace_id).with_context(cx.clone()).await;
        span.finish(status);
        Ok(response(status, &pressed, traceresponse))
    }

    /// A call whose baggage names no customer is made for one of the running mystery's.
    fn with_customer(&self, cx: Context) -> Context {
        if cx.baggage().get(CUSTOMER).is_some() {
            return cx;
        }
        let customer = self.0.game.rounds().borrow().mystery.customers.pick(&mut rand::rng()).to_owned();
        with_baggage(&cx, CUSTOMER, customer)
    }

    fn button(&self, text: &str) -> Result<(u16, ServiceName, &Url), ApiError> {
        let number = text.parse().ok().filter(|number: &u16| number.to_string() == text);
        let found =
            number.and_then(|number| Some((number, self.0.topology.button(number)?, self.0.buttons.get(usize::from(number))?)));
        found.ok_or_else(|| {
            let last = self.0.topology.width - 1;
            ApiError::new(StatusCode::NOT_FOUND, format!("there is no button {text:.20}; the buttons are 0 to {last}"))
        })
    }

    async fn call(
        &self,
        button: u16,
        service: ServiceName,
        url: &Url,
        cx: &Context,
        trace_id: Option<String>,
    ) -> (StatusCode, Pressed) {
        let start = Instant::now();
        let result = self.0.caller.get(cx, url).await;
        let latency_ms = (start.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        let customer = cx.baggage().get(CUSTOMER).map(ToString::to_string);
        let pressed = |path| Pressed { button, error: None, message: None, path, latency_ms, customer, trace_id };
        match read(service, result) {
            Ok(service::Answer { message, path }) => {
                info!(button, "call answered");
                (StatusCode::OK, Pressed { message: Some(message), ..pressed(path) })
            }
            Err((status, error)) => {
                warn!(button, status = status.as_u16(), error, "call failed");
                (status, Pressed { error: Some(error), ..pressed(vec![service.to_string()]) })
            }
        }
    }

    /// Remembers the trace, for questions whether it can be looked at yet.
    fn note(&self, cx: &Context) -> Option<String> {
        let span = cx.span();
        let context = span.span_context();
        if !context.is_valid() {
            return None;
        }
        self.0.traces.note(u128::from_be_bytes(context.trace_id().to_bytes()), context.is_sampled());
        Some(context.trace_id().to_string())
    }
}

/// What the service answered. A learner's own program may answer anything: then that is the message, and it stands for the path.
fn read(service: ServiceName, result: Result<Called, CallError>) -> Result<service::Answer, (StatusCode, String)> {
    let called = result.map_err(|error| (error.status(), error.to_string()))?;
    if !called.status.is_success() {
        let status = match called.status {
            StatusCode::GATEWAY_TIMEOUT => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        return Err((status, format!("{service} answered {}", called.status)));
    }
    Ok(serde_json::from_slice(&called.body).unwrap_or_else(|_| service::Answer {
        message: String::from_utf8_lossy(&called.body).trim().chars().take(LONGEST_MESSAGE).collect(),
        path: vec![service.to_string()],
    }))
}

fn response(status: StatusCode, pressed: &Pressed, traceresponse: Option<HeaderValue>) -> Response {
    let mut response = with_status(json(pressed), status).into_response();
    if let Some(value) = traceresponse {
        response.headers_mut().insert("traceresponse", value);
    }
    response
}
