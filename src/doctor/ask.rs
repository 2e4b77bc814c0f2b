//! One HTTP question: its answer bounded in time and size, and what the clock on the other side said.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, DATE};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use crate::outbound;

/// An answer takes no longer, to its last byte.
pub(super) const LIMIT: Duration = Duration::from_secs(4);
/// As much of an answer is read; a trace of one call is a hundredth of it.
const LARGEST: usize = 16 << 20;

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub stamp: Option<Stamp>,
}

/// When an answer was made, by the clock there, and when it was waited for, by the clock here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub there: Timestamp,
    pub asked: Timestamp,
    pub answered: Timestamp,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn is_page(&self) -> bool {
        self.header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"))
    }

    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The first words of it, for a person.
    pub fn said(&self) -> String {
        let text = self.text();
        let line = text.trim().lines().next().unwrap_or_default();
        if line.is_empty() || self.is_page() { String::new() } else { format!(" ({})", line.chars().take(160).collect::<String>()) }
    }
}

/// Sends it, and waits for all of the answer.
///
/// # Errors
/// Nothing came, or not all of it.
pub(super) async fn ask(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let asked = Timestamp::now();
    let mut response = request.timeout(LIMIT).send().await?;
    let answered = Timestamp::now();
    let date = response.headers().get(DATE).and_then(|date| DateTimeParser::new().parse_timestamp(date.as_bytes()).ok());
    let mut body = BytesMut::new();
    while body.len() < LARGEST
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body: body.freeze(),
        stamp: date.map(|there| Stamp { there, asked, answered }),
    })
}

/// Why nothing came, and what TLS has to say about it.
pub(super) fn why(error: reqwest::Error) -> (String, Option<rustls::Error>) {
    if error.is_timeout() {
        return (format!("no answer within {LIMIT:?}"), None);
    }
    let tls = tls_of(&error);
    (tls.as_ref().map_or_else(|| outbound::reason(error), ToString::to_string), tls)
}

/// The cause that says most.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// The complaint of the TLS library among an error's causes, if there is one.
pub(super) fn tls_of(error: &(dyn std::error::Error + 'static)) -> Option<rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls.clone());
        }
        // An input error does not count what it carries among its causes.
        let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inside {
            Some(inside) => Some(inside as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}
