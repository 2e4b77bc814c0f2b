//! Answers: short ones whole, long ones in chunks, errors in Jaeger's two shapes.

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use warp::Reply as _;
use warp::reply::Response as Body;

use crate::backend::json as write;
use crate::backend::otlp::body::Bodies;
use crate::backend::store::{Store, TraceWriter};

/// The store's lock is held for about this much of an answer at a time.
const CHUNK: usize = 256 << 10;

pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Body {
    with_type(status, "application/json", body)
}

/// That it runs, the counters of the store, and how many large requests are being read.
pub(super) fn status(store: &Store, bodies: &Bodies) -> Body {
    let status = serde_json::json!({"status": "StatusOK", "store": store.stats(), "large_requests": bodies.large()});
    json(StatusCode::OK, status.to_string())
}

fn with_type(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Body {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// An error of API v3. Jaeger labels it as text, and so do we.
pub(super) fn v3_error(status: StatusCode, message: &str) -> Body {
    let mut out = b"{\"error\":{\"httpCode\":".to_vec();
    write::unsigned(&mut out, u64::from(status.as_u16()));
    out.extend_from_slice(b",\"message\":");
    write::string(&mut out, message.as_bytes());
    out.extend_from_slice(b"}}\n");
    with_type(status, "text/plain; charset=utf-8", out)
}

/// An error of the legacy API, labelled as text too.
pub(super) fn legacy_error(status: StatusCode, message: &str) -> Body {
    let mut out = b"{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":".to_vec();
    write::unsigned(&mut out, u64::from(status.as_u16()));
    out.extend_from_slice(b",\"msg\":");
    write::string(&mut out, message.as_bytes());
    out.extend_from_slice(b"}]}\n");
    with_type(status, "text/plain; charset=utf-8", out)
}

pub(super) fn not_found() -> Body {
    with_type(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n")
}

/// `prefix`, the traces, `suffix`.
pub(super) fn traces(store: Store, mut writer: TraceWriter, prefix: &str, suffix: impl Into<Vec<u8>>) -> Body {
    chunks(prefix, suffix.into(), move |out| store.write_traces(&mut writer, out, CHUNK))
}

/// `prefix`, what `more` appends until it returns false, `suffix`: as one body where one chunk holds it, else as a stream
/// that is written as fast as its reader takes it.
pub(super) fn chunks(prefix: &str, suffix: Vec<u8>, mut more: impl FnMut(&mut Vec<u8>) -> bool + Send + Sync + 'static) -> Body {
    let mut first = prefix.as_bytes().to_vec();
    if !more(&mut first) {
        first.extend_from_slice(&suffix);
        return json(StatusCode::OK, first);
    }
    let mut suffix = Some(suffix);
    let rest = std::iter::from_fn(move || {
        let last = suffix.take()?;
        let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 4);
        if more(&mut chunk) {
            suffix = Some(last);
        } else {
            chunk.extend_from_slice(&last);
        }
        Some(chunk)
    });
    let chunks = std::iter::once(first).chain(rest).map(|chunk| Ok::<_, std::convert::Infallible>(Bytes::from(chunk)));
    let mut response = warp::reply::stream(stream::iter(chunks)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// Runs what may take a few milliseconds beside the other requests.
pub(super) async fn blocking(work: impl FnOnce() -> Body + Send + 'static) -> Body {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(_) => with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "internal error\n"),
    }
}
