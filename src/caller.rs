//! Calls between the services: a client span, the context in the headers, a limit on time and size.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use opentelemetry::Context;
use url::Url;

use crate::outbound::reason;
use crate::telemetry::{ErrorType, Instrument};

/// An answer longer than this is not one of ours.
const LONGEST_BODY: usize = 1 << 20;

/// One service's outbound client; clones share the connections.
#[derive(Clone, Debug)]
pub struct Caller {
    client: reqwest::Client,
    instrument: Instrument,
    limit: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Called {
    pub status: StatusCode,
    pub body: Bytes,
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
        let cx = self.instrument.client_span(parent, &Method::GET, url);
        let mut request = reqwest::Request::new(Method::GET, url.clone());
        self.instrument.inject(&cx, request.headers_mut());
        let result = match tokio::time::timeout(self.limit, self.send(request, url)).await {
            Ok(result) => result,
            Err(_) => Err(CallError::TimedOut { url: url.clone(), limit: self.limit }),
        };
        let outcome = match &result {
            Ok(called) => Ok(called.status),
            Err(error) => Err(ErrorType { kind: error.kind(), message: error.to_string() }),
        };
        self.instrument.finish_client(&cx, outcome);
        result
    }

    async fn send(&self, request: reqwest::Request, url: &Url) -> Result<Called, CallError> {
        let mut response = self
            .client
            .execute(request)
            .await
            .map_err(|error| CallError::Unreachable { url: url.clone(), reason: reason(error) })?;
        let status = response.status();
        let mut body = BytesMut::new();
        let broken_off = |error| CallError::BrokenOff { url: url.clone(), reason: reason(error) };
        let Some(first) = response.chunk().await.map_err(broken_off)? else {
            return Ok(Called { status, body: Bytes::new() });
        };
        // Nearly every answer is one chunk, which then needs no copy.
        let Some(second) = response.chunk().await.map_err(broken_off)? else {
            return Ok(Called { status, body: first });
        };
        body.extend_from_slice(&first);
        body.extend_from_slice(&second);
        while let Some(chunk) = response.chunk().await.map_err(broken_off)? {
            if body.len() + chunk.len() > LONGEST_BODY {
                return Err(CallError::TooLong { url: url.clone() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Called { status, body: body.freeze() })
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
