//! Calls between the services: a client span, the context in the headers, a limit on time and size.
//!
//! A callee that answers 503 and that one may come again at once (`retry-after: 0`) is called once more, at once.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::Context;
use url::Url;

use crate::outbound::reason;
use crate::telemetry::{ErrorType, Instrument};

/// An answer longer than this is not one of ours.
const LONGEST_BODY: usize = 1 << 20;
/// Tells a callee that it refused this very request before; HTTP has no header for it.
pub const RESENT: HeaderName = HeaderName::from_static("x-resend-count");

/// One service's outbound client; clones share the connections.
#[derive(Clone, Debug)]
pub struct Caller {
    client: reqwest::Client,
    instrument: Instrument,
    limit: Duration,
}

/// What is unusual about a call; by default nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// Passes between the start of the client span and the sending of the request. The call's limit does not count it.
    pub delay: Duration,
    /// Neither trace context nor baggage goes along.
    pub without_context: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Called {
    pub status: StatusCode,
    pub body: Bytes,
}

/// One answer, and whether it asks to be asked again at once.
struct Attempt {
    called: Called,
    again: bool,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{url} did not answer within {limit:?}")]
    TimedOut { url: Url, limit: Duration },
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: Url, reason: String },
    #[error("{url} broke off its answer: {reason}")]
    BrokenOff { url: Url, reason: String },
    #[error("{url} answered more than {LONGEST_BODY} bytes")]
    TooLong { url: Url },
}

impl Caller {
    /// `limit` bounds a whole call, connecting included.
    pub fn new(client: reqwest::Client, instrument: Instrument, limit: Duration) -> Self {
        Self { client, instrument, limit }
    }

    /// GETs `url` inside `parent`. An answer with any status is an answer.
    pub async fn get(&self, parent: &Context, url: &Url) -> Result<Called, CallError> {
        self.get_by(parent, url, Way::default()).await
    }

    /// The same, by a way with peculiarities.
    pub async fn get_by(&self, parent: &Context, url: &Url, way: Way) -> Result<Called, CallError> {
        let start = Instant::now();
        let first = self.attempt(parent, url, way, self.limit, 0).await?;
        if !first.again {
            return Ok(first.called);
        }
        let spent = start.elapsed().saturating_sub(way.delay);
        Ok(self.attempt(parent, url, way, self.limit.saturating_sub(spent), 1).await?.called)
    }

    async fn attempt(&self, parent: &Context, url: &Url, way: Way, limit: Duration, resends: u32) -> Result<Attempt, CallError> {
        let cx = self.instrument.client_span(parent, &Method::GET, url, resends);
        let mut request = reqwest::Request::new(Method::GET, url.clone());
        if !way.without_context {
            self.instrument.inject(&cx, request.headers_mut());
        }
        if resends > 0 {
            request.headers_mut().insert(RESENT, HeaderValue::from(resends));
        }
        sleep(way.delay).await;
        let result = match tokio::time::timeout(limit, self.send(request, url)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut { url: url.clone(), limit: self.limit }),
        };
        let outcome = match &result {
            Ok(attempt) => Ok(attempt.called.status),
            Err(error) => Err(ErrorType { kind: error.kind(), message: error.to_string() }),
        };
        self.instrument.finish_client(&cx, outcome);
        result
    }

    async fn send(&self, request: reqwest::Request, url: &Url) -> Result<Attempt, CallError> {
        let mut response = self
            .client
            .execute(request)
            .await
            .map_err(|error| CallError::Unreachable { url: url.clone(), reason: reason(error) })?;
        let status = response.status();
        let again =
            status == StatusCode::SERVICE_UNAVAILABLE && response.headers().get(RETRY_AFTER).is_some_and(|after| after == "0");
        let body = body(&mut response, url).await?;
        Ok(Attempt { called: Called { status, body }, again })
    }
}

/// The whole body of what `url` answered.
pub(crate) async fn body(response: &mut reqwest::Response, url: &Url) -> Result<Bytes, CallError> {
    let broken_off = |error| CallError::BrokenOff { url: url.clone(), reason: reason(error) };
    let too_long = || CallError::TooLong { url: url.clone() };
    let Some(first) = response.chunk().await.map_err(broken_off)? else {
        return Ok(Bytes::new());
    };
    // Nearly every answer is one chunk, which then needs no copy.
    let Some(second) = response.chunk().await.map_err(broken_off)? else {
        return if first.len() > LONGEST_BODY { Err(too_long()) } else { Ok(first) };
    };
    let mut body = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
        next = response.chunk().await.map_err(broken_off)?;
    }
    Ok(body.freeze())
}

/// tokio's own timer counts whole milliseconds and comes 1.0 ms late at the median; this one is 0.07 ms late.
pub(crate) async fn sleep(delay: Duration) {
    if !delay.is_zero() {
        async_io::Timer::after(delay).await;
    }
}

impl CallError {
    /// For the span attribute `error.type`.
    fn kind(&self) -> &'static str {
        match self {
            CallError::TimedOut { .. } => "timeout",
            CallError::Unreachable { .. } => "connect",
            CallError::BrokenOff { .. } => "broken_off",
            CallError::TooLong { .. } => "too_long",
        }
    }

    /// What a gateway answers for it.
    pub fn status(&self) -> StatusCode {
        match self {
            CallError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }
}
