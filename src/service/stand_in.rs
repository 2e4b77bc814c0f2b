//! A program of the learner's own in a service's place: requests go on to it, and its answers back.
//!
//! The program makes the service's spans, so that none is made here. Where it may call is told to it with every request, since its
//! own start was no business of the stage's.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::warn;
use url::Url;
use warp::reply::Response;

use super::error;
use crate::caller::{CallError, body};
use crate::mystery::Assignment;
use crate::outbound::reason;

/// Base URLs of whom the program may call next, separated by commas; absent in the last layer.
const NEXT: HeaderName = HeaderName::from_static("x-next");
/// The Redis that the service has business with; absent where it has none.
const REDIS: HeaderName = HeaderName::from_static("x-redis");
/// What concerns one connection only, beside what `connection` names; host and length are said anew.
const HOP_BY_HOP: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
];

/// Where the program is.
#[derive(Debug)]
pub(super) struct StandIn {
    url: Url,
    /// It did not answer the last time, which was said.
    away: AtomicBool,
}

impl StandIn {
    pub fn new(url: Url) -> Self {
        Self { url, away: AtomicBool::new(false) }
    }

    /// Asks the program, which knows from `assignment` what it needs, for at most `limit`. Where it has no answer, ours names it.
    pub async fn answer(
        &self,
        client: &reqwest::Client,
        headers: &HeaderMap,
        assignment: &Assignment,
        limit: Duration,
    ) -> Response {
        let asked = tokio::time::timeout(limit, self.ask(client, headers, assignment)).await;
        match asked.unwrap_or_else(|_| Err(CallError::TimedOut { url: self.url.clone(), limit })) {
            Ok(response) => {
                self.away.store(false, Relaxed);
                response
            }
            Err(failure) => {
                let text = format!("the program in the place of {}: {failure}", assignment.service);
                if !self.away.swap(true, Relaxed) {
                    warn!(reason = text, "a program of your own does not answer");
                }
                error(failure.status(), &text)
            }
        }
    }

    async fn ask(&self, client: &reqwest::Client, headers: &HeaderMap, assignment: &Assignment) -> Result<Response, CallError> {
        let mut request = reqwest::Request::new(http::Method::GET, self.url.clone());
        *request.headers_mut() = end_to_end(headers);
        // Whoever asks does not say where this leads.
        request.headers_mut().remove(NEXT);
        request.headers_mut().remove(REDIS);
        let next: Vec<_> = assignment.next.iter().map(|peer| peer.url.as_str()).collect();
        let redis = assignment.redis.as_ref().map(|redis| redis.url.as_str());
        // A URL is ASCII and so always a header's value.
        for (name, value) in [(NEXT, Some(next.join(",")).filter(|next| !next.is_empty())), (REDIS, redis.map(str::to_owned))] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                request.headers_mut().insert(name, value);
            }
        }
        let unreachable = |error| CallError::Unreachable { url: self.url.clone(), reason: reason(error) };
        let mut answered = client.execute(request).await.map_err(unreachable)?;
        let body = body(&mut answered, &self.url).await?;
        let mut response = Response::new(body.into());
        *response.status_mut() = answered.status();
        *response.headers_mut() = end_to_end(answered.headers());
        if response.status().is_informational() {
            // Nothing that could end an exchange.
            *response.status_mut() = StatusCode::BAD_GATEWAY;
        }
        Ok(response)
    }
}

/// The headers that are meant for whoever is at the end of the way.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let is_meant = |name: &HeaderName| !HOP_BY_HOP.contains(name) && !named.contains(name);
    headers.iter().filter(|(name, _)| is_meant(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}
