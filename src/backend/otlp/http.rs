//! OTLP/HTTP: what a collector answers, this answers, down to the bodies of errors.
//!
//! Nothing of a request is stored unless all of it is well formed.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use warp::{Filter, Reply};

use super::body::{Bodies, Unread, unzip};
use super::{Signal, json};
use crate::backend::json as write;
use crate::backend::store::{Accepted, Store};
use crate::backend::wire::{Malformed, put_field, put_varint};

const INVALID_ARGUMENT: u64 = 3;
const DEADLINE_EXCEEDED: u64 = 4;
const RESOURCE_EXHAUSTED: u64 = 8;
const UNAVAILABLE: u64 = 14;
/// Whoever came at a busy time may come again after so many seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("5");

/// `POST /v1/traces` and `/v1/logs`.
pub(crate) fn routes(store: Store, bodies: Bodies) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let receiver = Arc::new(Receiver { store, bodies });
    warp::any()
        .map(move || receiver.clone())
        .and(warp::path::full())
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|receiver: Arc<Receiver>, path: warp::path::FullPath, method: Method, headers: HeaderMap, body| async move {
            let signal = match path.as_str() {
                "/v1/traces" => Signal::Traces,
                "/v1/logs" => Signal::Logs,
                _ => return plain(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n"),
            };
            if method != Method::POST {
                return plain(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "405 method not allowed, supported: [POST]");
            }
            let Some(encoding) = Encoding::of(&headers) else {
                let text = "415 unsupported media type, supported: [application/json, application/x-protobuf]";
                return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "text/plain", text);
            };
            match receiver.receive(signal, encoding, &headers, body).await {
                Ok(accepted) => encoding.reply(StatusCode::OK, encoding.success(signal, &accepted)),
                Err(refusal) => encoding.reply(refusal.http, encoding.status(refusal.code, &refusal.message)),
            }
        })
        .recover(|_| async { Ok::<_, Infallible>(plain(StatusCode::BAD_REQUEST, "text/plain", "400 bad request")) })
        .unify()
}

#[derive(Debug)]
struct Receiver {
    store: Store,
    bodies: Bodies,
}

#[derive(Debug)]
struct Refusal {
    http: StatusCode,
    code: u64,
    message: String,
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self { http: StatusCode::BAD_REQUEST, code: INVALID_ARGUMENT, message: malformed.to_string() }
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        let code = match unread {
            Unread::TooLarge => RESOURCE_EXHAUSTED,
            Unread::TooSlow => DEADLINE_EXCEEDED,
            Unread::Busy => UNAVAILABLE,
            Unread::Broken(_) | Unread::NotGzip(_) => INVALID_ARGUMENT,
        };
        Self { http: unread.status(), code, message: unread.to_string() }
    }
}

impl Receiver {
    async fn receive<B: Buf>(
        &self,
        signal: Signal,
        encoding: Encoding,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, warp::Error>>,
    ) -> Result<Accepted, Refusal> {
        let gzip = match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase()).as_deref() {
            None | Some(b"" | b"identity") => false,
            Some(b"gzip") => true,
            Some(other) => {
                let message = format!("unsupported Content-Encoding: {}; supported: gzip", String::from_utf8_lossy(other));
                return Err(Refusal { http: StatusCode::BAD_REQUEST, code: INVALID_ARGUMENT, message });
            }
        };
        let body = self.bodies.read(body).await?;
        // Half a millisecond of work is done here; what may take longer must not hold up other requests. A small gzip body
        // may grow a thousandfold.
        let quick = body.is_small() && !gzip;
        let permit = if gzip { Some(self.bodies.unzipping().await?) } else { None };
        let store = self.store.clone();
        let work = move || -> Result<Accepted, Refusal> {
            // Held until the work is done, even if nobody waits for it any more.
            let _permit = permit;
            let unzipped;
            let bytes = match gzip {
                true => {
                    unzipped = unzip(&body)?;
                    &unzipped
                }
                false => &*body,
            };
            match (encoding, signal) {
                (Encoding::Protobuf, _) => Ok(signal.ingest(&store, bytes)?),
                (Encoding::Json, Signal::Traces) => Ok(store.ingest_traces(&json::traces(bytes)?)?),
                (Encoding::Json, Signal::Logs) => Ok(store.ingest_logs(&json::logs(bytes)?)?),
            }
        };
        if quick {
            return work();
        }
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
            let message = "internal error".to_owned();
            Err(Refusal { http: StatusCode::INTERNAL_SERVER_ERROR, code: 13, message })
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let media = value.split(';').next().unwrap_or_default().trim();
        match media.to_ascii_lowercase().as_str() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    /// An `Export…ServiceResponse`.
    fn success(self, signal: Signal, accepted: &Accepted) -> Vec<u8> {
        match self {
            Self::Protobuf => super::response(accepted),
            Self::Json => {
                let mut out = b"{\"partialSuccess\":{".to_vec();
                if accepted.rejected > 0 {
                    out.extend_from_slice(match signal {
                        Signal::Traces => b"\"rejectedSpans\":".as_slice(),
                        Signal::Logs => b"\"rejectedLogRecords\":",
                    });
                    write::quoted(&mut out, accepted.rejected);
                    out.extend_from_slice(b",\"errorMessage\":");
                    write::string(&mut out, accepted.reason.as_bytes());
                }
                out.extend_from_slice(b"}}");
                out
            }
        }
    }

    /// A `google.rpc.Status`.
    fn status(self, code: u64, message: &str) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Protobuf => {
                put_varint(&mut out, 1 << 3);
                put_varint(&mut out, code);
                put_field(&mut out, 2, message.as_bytes());
            }
            Self::Json => {
                out.extend_from_slice(b"{\"code\":");
                write::unsigned(&mut out, code);
                out.extend_from_slice(b",\"message\":");
                write::string(&mut out, message.as_bytes());
                out.push(b'}');
            }
        }
        out
    }

    fn reply(self, status: StatusCode, body: Vec<u8>) -> warp::reply::Response {
        let media = match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        };
        let mut response = plain(status, media, body);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        response
    }
}

fn plain(status: StatusCode, media: &'static str, body: impl Into<bytes::Bytes>) -> warp::reply::Response {
    let mut response = Response::new(body.into().into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
