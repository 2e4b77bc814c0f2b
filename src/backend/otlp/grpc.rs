//! OTLP/gRPC: tonic's transport around the same bytes. The generated services would first build a tree of every request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use tokio::net::TcpListener;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tracing::warn;

use super::{MAX_BODY, Signal};
use crate::backend::store::Store;
use crate::server::{DRAIN, Stop};

/// Requests that one connection may have under way; each may hold [`MAX_BODY`].
const AT_ONCE: usize = 4;

/// Serves both services until `stop`, then finishes what is running.
pub(crate) async fn serve(listener: TcpListener, store: Store, stop: Stop) -> anyhow::Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder()
        .concurrency_limit_per_connection(AT_ONCE)
        .add_service(TraceService(store.clone()))
        .add_service(LogsService(store))
        .serve_with_incoming_shutdown(incoming, stop.stopped());
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

#[derive(Clone, Debug)]
struct TraceService(Store);

impl NamedService for TraceService {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

#[derive(Clone, Debug)]
struct LogsService(Store);

impl NamedService for LogsService {
    const NAME: &'static str = "opentelemetry.proto.collector.logs.v1.LogsService";
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<http::Response<tonic::body::Body>, Infallible>> + Send>>;

macro_rules! service {
    ($service:ty, $signal:expr) => {
        impl tower::Service<http::Request<tonic::body::Body>> for $service {
            type Response = http::Response<tonic::body::Body>;
            type Error = Infallible;
            type Future = ResponseFuture;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<tonic::body::Body>) -> ResponseFuture {
                let export = Export { store: self.0.clone(), signal: $signal };
                Box::pin(async move {
                    if !request.uri().path().ends_with("/Export") {
                        return Ok(Status::unimplemented("the only method is Export").into_http());
                    }
                    let mut grpc =
                        Grpc::new(BytesCodec).accept_compressed(CompressionEncoding::Gzip).max_decoding_message_size(MAX_BODY);
                    Ok(grpc.unary(export, request).await)
                })
            }
        }
    };
}

service!(TraceService, Signal::Traces);
service!(LogsService, Signal::Logs);

struct Export {
    store: Store,
    signal: Signal,
}

impl UnaryService<Bytes> for Export {
    type Response = Vec<u8>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Vec<u8>>, Status>> + Send>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (store, signal) = (self.store.clone(), self.signal);
        let body = request.into_inner();
        let work = move || match signal.ingest(&store, &body) {
            Ok(accepted) => Ok(Response::new(super::response(&accepted))),
            Err(malformed) => Err(Status::invalid_argument(malformed.to_string())),
        };
        Box::pin(async move {
            // Batches come some hundred spans at a time; a large one is stored beside the other requests.
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Status::internal("internal error")))
        })
    }
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
