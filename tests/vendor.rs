//! Exporting to somebody else's endpoint: headers for its key, TLS by HTTP and by gRPC, an authority of one's own.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/sandbox.rs"]
mod sandbox;

use std::sync::Arc;

use http::{HeaderMap, Method};
use sandbox::{PATIENCE, Sandbox, run, stderr};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use warp::Filter as _;

const QUIET: [&str; 4] = ["--delay-scale", "0", "--mystery", "none"];

#[tokio::test]
async fn headers_from_the_standard_variable_reach_the_endpoint() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let endpoint = warp::path!("otlp" / "v1" / "traces").and(warp::header::headers_cloned()).map(move |headers: HeaderMap| {
        let _ = sender.send(headers);
        ""
    });
    let endpoint = endpoint.or(warp::any().map(|| http::StatusCode::NOT_FOUND));
    let listener = tracelab::server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
    let url = format!("http://{}/otlp", listener.local_addr().unwrap());
    tokio::spawn(tracelab::server::serve(listener, endpoint, tracelab::server::Stop::new()));
    let flags = [&QUIET[..], &["--jaeger", &url, "--otlp", &url]].concat();
    let sandbox = Sandbox::up_with(&flags, &[("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=sesame")]);
    sandbox.press(0).await;
    let headers = tokio::time::timeout(PATIENCE, received.recv()).await.unwrap().unwrap();
    assert_eq!(headers["x-api-key"], "sesame");
    assert_eq!(headers["content-type"], "application/x-protobuf");
}

#[tokio::test]
async fn spans_arrive_by_tls_over_http_from_those_who_trust_the_authority() {
    let certificate = Certificate::new();
    let (sender, mut received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = certificate.acceptor();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let stream = hyper_util::rt::TokioIo::new(stream);
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let _ = sender.send(request.method().clone());
                    std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(String::new())))
                });
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
            });
        }
    });
    let flags = [&QUIET[..], &["--jaeger", &url, "--otlp", &url]].concat();
    let trusting = Sandbox::up_with(&flags, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate.path())]);
    trusting.press(0).await;
    assert_eq!(tokio::time::timeout(PATIENCE, received.recv()).await.unwrap(), Some(Method::POST));
    drop(trusting);

    let distrusting = Sandbox::up(&flags);
    distrusting.press(0).await;
    let said = || distrusting.role.printed();
    sandbox::until(|| said().contains("telemetry is being lost"), said).await;
    while let Ok(method) = received.try_recv() {
        assert_eq!(method, Method::POST, "left over from the one that trusts");
    }
}

#[tokio::test]
async fn spans_arrive_by_tls_over_grpc() {
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
    use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};

    struct Collector(mpsc::UnboundedSender<usize>);

    #[tonic::async_trait]
    impl TraceService for Collector {
        async fn export(
            &self,
            request: tonic::Request<ExportTraceServiceRequest>,
        ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
            let _ = self.0.send(request.into_inner().resource_spans.len());
            Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
        }
    }

    let certificate = Certificate::new();
    let (sender, mut received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&certificate.chain, &certificate.key));
    let server = Server::builder().tls_config(tls).unwrap().add_service(TraceServiceServer::new(Collector(sender)));
    tokio::spawn(server.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
    let flags = [&QUIET[..], &["--jaeger", &url, "--otlp", &url, "--protocol", "grpc"]].concat();
    let sandbox = Sandbox::up_with(&flags, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate.path())]);
    sandbox.press(0).await;
    assert_eq!(tokio::time::timeout(PATIENCE, received.recv()).await.unwrap(), Some(1));
}

#[test]
fn a_certificate_file_that_is_not_there_stops_the_start() {
    let (mut command, _directory) = sandbox::tracelab(&["service", "--name", "dummy-0-0", "--port", "0"]);
    let output = command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", "nowhere.pem").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nowhere.pem"), "{}", stderr(&output));
    let output = run(&["service", "--name", "dummy-0-0", "--port", "0", "--protocol", "grpc", "--otlp", "https://:0"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

/// A certificate for localhost that only those trust who are told to.
struct Certificate {
    chain: String,
    key: String,
    file: String,
    _directory: TempDir,
}

impl Certificate {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("authority.pem").to_str().unwrap().to_owned();
        std::fs::write(&file, made.cert.pem()).unwrap();
        Self { chain: made.cert.pem(), key: made.signing_key.serialize_pem(), file, _directory: directory }
    }

    fn path(&self) -> &str {
        &self.file
    }

    fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        use rustls::pki_types::pem::PemObject as _;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }
}
