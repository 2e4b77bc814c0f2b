//! OTLP/gRPC: tonic's transport around the same bytes. The generated services would first build a tree of every request, and its
//! router is a web framework.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tracing::warn;

use super::body::{Bodies, Unread, unzip};
use super::{MAX_BODY, Signal};
use crate::backend::store::Store;
use crate::server::{DRAIN, Stop};

/// Requests that one connection may have under way, so that none takes all the turns.
const AT_ONCE: usize = 4;
/// Before each message: whether it is compressed, and its length in four bytes.
const PREFIX: usize = 5;

/// Serves both services until `stop`, then finishes what is running.
pub(crate) async fn serve(listener: TcpListener, store: Store, bodies: Bodies, stop: Stop) -> anyhow::Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let receiver = Receiver { store, bodies };
    let server = Server::builder().concurrency_limit_per_connection(AT_ONCE).serve_with_incoming_shutdown(
        receiver,
        incoming,
        stop.stopped(),
    );
    let drained = async {
        stop.stopped().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = server => Ok(served?),
        () = drained => {
            warn!(seconds = DRAIN.as_secs(), "gRPC connections still open after the drain time were cut off");
            Ok(())
        }
    }
}

/// Reads requests itself, with the bounds that HTTP has: tonic's reader makes room for all that a message's prefix promises, for
/// as long as its sender likes, once for every request of every connection.
#[derive(Clone, Debug)]
struct Receiver {
    store: Store,
    bodies: Bodies,
}

impl tower::Service<http::Request<Body>> for Receiver {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let receiver = self.clone();
        Box::pin(async move { Ok(receiver.answer(request).await.unwrap_or_else(Status::into_http)) })
    }
}

impl Receiver {
    async fn answer(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let (head, body) = request.into_parts();
        let signal = signal(head.uri.path())?;
        let gzip = match head.headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
            None | Some(b"identity") => false,
            Some(b"gzip") => true,
            Some(other) => return Err(unknown_encoding(other)),
        };
        let body = self.bodies.read_up_to(PREFIX + MAX_BODY, body.into_data_stream()).await?;
        let quick = body.is_small() && !gzip;
        let permit = if gzip { Some(self.bodies.unzipping().await?) } else { None };
        let store = self.store.clone();
        let work = move || -> Result<http::Response<Body>, Status> {
            let (compressed, message) = message(&body)?;
            // Held until the work is done, even if nobody waits for it any more.
            let _permit = permit;
            let unzipped;
            let message = match compressed {
                true if !gzip => return Err(Status::internal("a compressed message without grpc-encoding")),
                true => {
                    unzipped = unzip(message)?;
                    &unzipped
                }
                false => message,
            };
            let accepted = signal.ingest(&store, message).map_err(|malformed| Status::invalid_argument(malformed.to_string()))?;
            Ok(reply(&super::response(&accepted)))
        };
        if quick {
            return work();
        }
        // What takes long must not hold up the other requests.
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Status::internal("internal error")))
    }
}

/// What a method takes.
fn signal(path: &str) -> Result<Signal, Status> {
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let signal = match service {
        "opentelemetry.proto.collector.trace.v1.TraceService" => Signal::Traces,
        "opentelemetry.proto.collector.logs.v1.LogsService" => Signal::Logs,
        _ => return Err(Status::unimplemented("the only services are those of traces and of logs")),
    };
    if method == "Export" { Ok(signal) } else { Err(Status::unimplemented("the only method is Export")) }
}

impl From<Unread> for Status {
    fn from(unread: Unread) -> Self {
        let message = unread.to_string();
        match unread {
            Unread::TooLarge => Status::out_of_range(message),
            Unread::TooSlow => Status::deadline_exceeded(message),
            // Exporters send again what was unavailable; what was exhausted they drop.
            Unread::Busy => Status::unavailable(message),
            Unread::Broken(_) | Unread::NotGzip(_) => Status::invalid_argument(message),
        }
    }
}

fn unknown_encoding(encoding: &[u8]) -> Status {
    let message = format!("unsupported grpc-encoding: {}; supported: gzip", String::from_utf8_lossy(encoding));
    let mut status = Status::unimplemented(message);
    status.metadata_mut().insert("grpc-accept-encoding", tonic::metadata::MetadataValue::from_static("identity,gzip"));
    status
}

/// The one message of a body, and whether it is compressed.
fn message(body: &[u8]) -> Result<(bool, &[u8]), Status> {
    let (prefix, message) = body.split_first_chunk::<PREFIX>().ok_or_else(|| Status::internal("the request has no message"))?;
    let [flag, length @ ..] = *prefix;
    match (flag, u64::from(u32::from_be_bytes(length)).cmp(&(message.len() as u64))) {
        (0 | 1, std::cmp::Ordering::Equal) => Ok((flag == 1, message)),
        (0 | 1, std::cmp::Ordering::Greater) => Err(Status::internal("the request ends before its message")),
        (0 | 1, std::cmp::Ordering::Less) => Err(Status::internal("the request has more than one message")),
        _ => Err(Status::internal(format!("invalid compression flag: {flag}; valid are 0 and 1"))),
    }
}

fn reply(message: &[u8]) -> http::Response<Body> {
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = http::Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
