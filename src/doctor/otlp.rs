//! Can spans be delivered? The endpoint that flags, configuration and the standard variables yield: reached, with the right
//! protocol, at the right path, by somebody who is allowed to. A request without spans tells, and leaves nothing behind.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use percent_encoding::percent_decode_str;
use prost::Message as _;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use url::Url;

use super::ask::{self, Answer, Stamp, ask, innermost, tls_of, why};
use super::connect::{Speaks, Unreached, identify, reach};
use super::environment::Environment;
use super::{Finding, Verdict};
use crate::config::{Config, base};
use crate::outbound;
use crate::telemetry::Protocol;

const REACHED: &str = "otlp";
const ANSWER: &str = "otlp-answer";
const PATH: &str = "/v1/traces";
const NAME_IT: &str = "--otlp URL names another endpoint";

/// Where spans go, and how.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// By HTTP the whole address, by gRPC the base.
    pub url: Url,
    pub protocol: Protocol,
    /// Who named it; absent for the default.
    pub named_by: Option<String>,
    /// What was named is used as it stands, path included.
    whole: bool,
    /// Secrets: names may be shown, values may not.
    headers: HeaderMap,
    authority: Option<PathBuf>,
}

impl Endpoint {
    /// As our own exporters find it.
    ///
    /// # Errors
    /// What was named is no URL.
    pub fn find(config: &Config, environment: &Environment) -> anyhow::Result<Self> {
        let protocol = config.protocol;
        let named = config.otlp.as_ref().map(|url| ("--otlp".to_owned(), base(url), false));
        let variable = || {
            let (name, value) = environment.for_traces("ENDPOINT")?;
            let whole = name.contains("_TRACES_");
            Some((name, value.to_owned(), whole))
        };
        let named = named.or_else(variable);
        let port = if protocol == Protocol::Grpc { 4317 } else { 4318 };
        let (named_by, text, whole) = match named {
            Some((by, text, whole)) => (Some(by), text, whole),
            None => (None, format!("http://localhost:{port}"), false),
        };
        let text = match protocol {
            Protocol::HttpProtobuf if !whole => format!("{}{PATH}", text.trim_end_matches('/')),
            _ => text,
        };
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let by = named_by.as_deref().unwrap_or_default();
        let url = url.with_context(|| format!("{by} names {text:?}, which is no http:// or https:// URL"))?;
        let authority = environment.for_traces("CERTIFICATE").map(|(_, path)| PathBuf::from(path));
        Ok(Self { url, protocol, named_by, whole, headers: headers(environment), authority })
    }

    fn client(&self) -> anyhow::Result<reqwest::Client> {
        outbound::client_trusting(self.authority.as_deref())
    }

    /// Sends one request.
    pub(super) async fn send(&self, request: ExportTraceServiceRequest) -> Sent {
        match self.protocol {
            Protocol::HttpProtobuf => {
                let client = match self.client() {
                    Ok(client) => client,
                    Err(error) => return Sent::Impossible(format!("{error:#}")),
                };
                Sent::Http(self.post(&client, self.url.clone(), request.encode_to_vec()).await)
            }
            Protocol::Grpc => {
                let channel = match outbound::channel(self.url.as_str().trim_end_matches('/'), self.authority.as_deref()) {
                    Ok(channel) => channel,
                    Err(error) => return Sent::Impossible(format!("{error:#}")),
                };
                let mut request = tonic::Request::new(request);
                *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
                let mut client = TraceServiceClient::new(channel);
                let sent = tokio::time::timeout(ask::LIMIT, client.export(request)).await;
                let late = |_| Err(Status::deadline_exceeded(format!("no answer within {:?}", ask::LIMIT)));
                Sent::Grpc(sent.unwrap_or_else(late).map(|answer| {
                    let partial = answer.into_inner().partial_success.unwrap_or_default();
                    (partial.rejected_spans > 0).then_some(partial.error_message)
                }))
            }
        }
    }

    async fn post(&self, client: &reqwest::Client, url: Url, body: Vec<u8>) -> Result<Answer, reqwest::Error> {
        ask(client.post(url).headers(self.headers.clone()).header(CONTENT_TYPE, "application/x-protobuf").body(body)).await
    }

    /// What would have to be named for the same with this scheme.
    fn named_with(&self, scheme: &str) -> String {
        let mut url = self.url.clone();
        let _ = url.set_scheme(scheme);
        let text = base(&url);
        match self.whole {
            true => text,
            false => text.trim_end_matches(PATH).to_owned(),
        }
    }

    /// `http://localhost:4318/v1/traces (OTLP over HTTP, the default)`
    fn shown(&self) -> String {
        let how = if self.protocol == Protocol::Grpc { "gRPC" } else { "HTTP" };
        let by = self.named_by.as_deref().map_or_else(|| "the default".to_owned(), |by| format!("named by {by}"));
        format!("{} (OTLP over {how}, {by})", base(&self.url))
    }

    fn header_names(&self) -> String {
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        if names.is_empty() { "no header was sent".to_owned() } else { format!("sent headers: {}", names.join(", ")) }
    }
}

/// What became of a request.
pub(super) enum Sent {
    Http(Result<Answer, reqwest::Error>),
    /// What was rejected, in words, if anything.
    Grpc(Result<Option<String>, Status>),
    /// It could not even be made.
    Impossible(String),
}

fn headers(environment: &Environment) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        for pair in environment.get(name).unwrap_or_default().split(',') {
            let Some((key, value)) = pair.split_once('=') else { continue };
            let value = percent_decode_str(value.trim()).decode_utf8_lossy();
            let value = HeaderValue::from_str(&value);
            // Bad pairs are the environment's to complain of.
            if let (Ok(key), Ok(value)) = (HeaderName::from_bytes(key.trim().as_bytes()), value) {
                headers.insert(key, value);
            }
        }
    }
    headers
}

/// What is known of the endpoint after it was examined.
#[derive(Debug)]
pub(super) struct Examined {
    pub findings: Vec<Finding>,
    pub stamp: Option<Stamp>,
    /// Somebody listens.
    pub reached: bool,
    /// It takes spans.
    pub accepts: bool,
}

/// What was named is no address.
pub(super) fn unusable(error: &anyhow::Error) -> Finding {
    Finding::failure(REACHED, format!("{error:#}"), "give it a scheme, for example http://localhost:4318")
}

/// The compose stage's endpoint is published to nobody.
pub(super) fn inside() -> Finding {
    Finding::skipped(
        REACHED,
        "the stage's endpoint is reached inside its network alone; a call's trace tells whether spans arrive there",
    )
}

impl Examined {
    /// Nobody is at the default address, and a stage is there whose services need not send to it: the compose stage's endpoint and a
    /// cluster's are reached inside alone.
    pub(super) fn excuse(&mut self, endpoint: &Endpoint) {
        let Some(finding) = self.findings.iter_mut().find(|finding| finding.is_failure()) else { return };
        if self.reached || endpoint.named_by.is_some() {
            return;
        }
        let port = endpoint.url.port_or_known_default().unwrap_or_default();
        let way_out = format!(
            "nothing, where only the stage's own spans matter: in Compose and Kubernetes its services reach an endpoint inside, and the \
             call's trace tells whether spans arrive. Other programs here need one: name it (--otlp URL, OTEL_EXPORTER_OTLP_ENDPOINT), or \
             open the cluster's, kubectl --namespace tracelab port-forward service/jaeger {port} (in the kops stage service/jaeger-agent)"
        );
        *finding = Finding::warning(finding.check, finding.saw.as_str(), way_out);
    }
}

/// Name, port, TLS, protocol, path and permission.
pub(super) async fn examine(endpoint: &Endpoint) -> Examined {
    let mut examined = Examined { findings: Vec::new(), stamp: None, reached: false, accepts: false };
    let address = match reach(&endpoint.url).await {
        Ok(address) => address,
        Err(unreached) => {
            examined.findings = vec![unreachable(endpoint, &unreached), Finding::skipped(ANSWER, "nobody to ask")];
            return examined;
        }
    };
    examined.reached = true;
    examined.findings.push(Finding::ok(REACHED, format!("{} is at {address}", endpoint.shown())));
    let sent = endpoint.send(ExportTraceServiceRequest::default()).await;
    if let Sent::Http(Ok(answer)) = &sent {
        examined.stamp = answer.stamp;
    }
    let finding = match sent {
        Sent::Http(Ok(answer)) => answered(endpoint, &answer).await,
        Sent::Http(Err(error)) => {
            let (reason, tls) = why(error);
            unanswered(endpoint, address, reason, tls).await
        }
        Sent::Grpc(Ok(_)) => Finding::ok(ANSWER, "it takes spans (an empty request was accepted)"),
        Sent::Grpc(Err(status)) => refused(endpoint, address, &status).await,
        Sent::Impossible(reason) => Finding::failure(ANSWER, reason, "correct OTEL_EXPORTER_OTLP_CERTIFICATE, or unset it"),
    };
    examined.accepts = finding.result == Verdict::Ok;
    examined.findings.push(finding);
    examined
}

fn unreachable(endpoint: &Endpoint, unreached: &Unreached) -> Finding {
    let hint = match &endpoint.named_by {
        Some(_) => NAME_IT.to_owned(),
        None => format!("nobody named an endpoint: OTEL_EXPORTER_OTLP_ENDPOINT does, and {NAME_IT}"),
    };
    let (saw, way_out) = unreached.words("a Jaeger, a collector or `tracelab up`", &hint);
    Finding::failure(REACHED, format!("{}: {saw}", endpoint.shown()), way_out)
}

/// Where the port is another one, an empty request there says so.
fn port_for(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::HttpProtobuf => "--protocol http/protobuf (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)",
        Protocol::Grpc => "--protocol grpc (OTEL_EXPORTER_OTLP_PROTOCOL=grpc)",
    }
}

async fn answered(endpoint: &Endpoint, answer: &Answer) -> Finding {
    let url = &endpoint.url;
    let status = answer.status;
    let fail = |saw: String, way_out: &str| Finding::failure(ANSWER, saw, way_out);
    match status {
        _ if status.is_success() && !answer.is_page() => Finding::ok(ANSWER, "it takes spans (an empty request was accepted)"),
        _ if status.is_success() => {
            // Jaeger's query port answers whatever it does not know with its page: exporters think that all is well.
            let saw = format!("{url} answers {status} with a web page: that is no OTLP endpoint, though exporters see success");
            match is_query(endpoint).await {
                true => fail(
                    format!("{saw}; Jaeger's query API is there"),
                    "send spans to the OTLP port, usually 4318 (HTTP) or 4317 (gRPC), not to 16686",
                ),
                false => fail(saw, "give the port that takes OTLP, usually 4318 (HTTP) or 4317 (gRPC)"),
            }
        }
        _ if status.is_redirection() => {
            let to = answer.header(LOCATION).unwrap_or("nowhere");
            fail(format!("{url} answers {status} and sends its callers to {to}; exporters do not follow"), &format!("name {to}"))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => fail(
            format!("{url} answers {status}{}; {}", answer.said(), endpoint.header_names()),
            "set OTEL_EXPORTER_OTLP_HEADERS to what it asks for, for example authorization=Bearer%20TOKEN or x-api-key=KEY",
        ),
        StatusCode::NOT_FOUND => not_found(endpoint, answer).await,
        StatusCode::METHOD_NOT_ALLOWED => {
            let saw = format!("{url} answers {status}: something else than OTLP is at this path");
            match is_query(endpoint).await {
                true => fail(format!("{saw}, a Jaeger's query API"), "send spans to the OTLP port, usually 4318 or 4317"),
                false => fail(saw, "give the address that takes OTLP; its path usually ends in /v1/traces"),
            }
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => fail(
            format!("{url} answers {status}{}: it takes no protobuf", answer.said()),
            "it may be an intake of another kind, or take JSON only; look for the one that takes OTLP/HTTP with protobuf, or try --protocol grpc at its gRPC port",
        ),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Finding::warning(
            ANSWER,
            format!("{url} answers {status}{}: it is there, but takes no spans at the moment", answer.said()),
            "wait and try again; if it stays so, it is over its limits (a collector's memory_limiter or queue, a vendor's quota) or still starting: its own log says",
        ),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => fail(
            format!("{url} answers {status}: a proxy is there, and what should be behind it is not"),
            "start the collector or Jaeger behind the proxy, or correct where the proxy looks for it",
        ),
        StatusCode::BAD_REQUEST if answer.text().to_ascii_lowercase().contains("https") => wants_tls(endpoint),
        _ => fail(
            format!("{url} answers {status}{}", answer.said()),
            "its own log says more; is it an endpoint for OTLP over HTTP with protobuf?",
        ),
    }
}

fn wants_tls(endpoint: &Endpoint) -> Finding {
    let (url, right) = (&endpoint.url, endpoint.named_with("https"));
    let saw = format!("TLS is spoken at {url}, and the address says http");
    Finding::failure(
        ANSWER,
        saw,
        format!("use {right}, and OTEL_EXPORTER_OTLP_CERTIFICATE=FILE where its authority is a private one"),
    )
}

async fn not_found(endpoint: &Endpoint, answer: &Answer) -> Finding {
    let url = &endpoint.url;
    let path = url.path();
    let saw = format!("{url} answers {}: there is no such path", answer.status);
    if path.ends_with("/v1/traces/v1/traces") {
        let mut right = url.clone();
        right.set_path(path.trim_end_matches(PATH).trim_end_matches(PATH));
        let saw = format!("{saw}; /v1/traces is in it twice, since it is appended to what was named");
        return Finding::failure(ANSWER, saw, format!("name the endpoint without it: {}", base(&right)));
    }
    // The ordinary path at the same port, unless that was it.
    let mut ordinary = url.clone();
    ordinary.set_path(PATH);
    if ordinary != *url
        && let Ok(client) = endpoint.client()
        && let Ok(found) = endpoint.post(&client, ordinary.clone(), Vec::new()).await
        && found.status.is_success()
        && !found.is_page()
    {
        let mut right = ordinary.clone();
        right.set_path("");
        let way_out = format!("{ordinary} takes them: set --otlp or OTEL_EXPORTER_OTLP_ENDPOINT to {}", base(&right));
        return Finding::failure(ANSWER, saw, way_out);
    }
    if is_query(endpoint).await {
        let saw = format!("{saw}; a Jaeger's query API is at this port");
        return Finding::failure(ANSWER, saw, "send spans to the OTLP port, usually 4318 (HTTP) or 4317 (gRPC)");
    }
    Finding::failure(ANSWER, saw, "is it the right port? collectors and Jaeger take spans at http://HOST:4318/v1/traces")
}

/// Somebody confused the two ports of a Jaeger.
async fn is_query(endpoint: &Endpoint) -> bool {
    let Ok(client) = endpoint.client() else { return false };
    // The second one by a Jaeger from before API v3.
    for (path, key) in [("/api/v3/services", "services"), ("/api/services", "data")] {
        let mut url = endpoint.url.clone();
        url.set_path(path);
        if ask(client.get(url)).await.is_ok_and(|answer| answer.json().is_some_and(|json| json.get(key).is_some())) {
            return true;
        }
    }
    false
}

/// By HTTP, nothing came back that could be read.
async fn unanswered(endpoint: &Endpoint, address: SocketAddr, reason: String, tls: Option<rustls::Error>) -> Finding {
    if let Some(tls) = tls {
        return bad_tls(endpoint, address, &tls).await;
    }
    let url = &endpoint.url;
    match (identify(address).await, url.scheme()) {
        (Speaks::Http2, "http") if endpoint.protocol == Protocol::HttpProtobuf => Finding::failure(
            ANSWER,
            format!("gRPC is spoken at {address}, and spans would be sent by HTTP"),
            format!("use the port for HTTP, usually 4318, or {}", port_for(Protocol::Grpc)),
        ),
        (Speaks::Http1, "http") if endpoint.protocol == Protocol::Grpc => {
            let saw = format!("HTTP is spoken at {address}, and spans would be sent by gRPC");
            let mut plain = endpoint.clone();
            plain.url.set_path("/");
            let way_out = match is_query(&plain).await {
                true => "that is Jaeger's query port: send spans to 4317 (gRPC) or 4318 (HTTP) instead".to_owned(),
                false => format!("use the port for gRPC, usually 4317, or {}", port_for(Protocol::HttpProtobuf)),
            };
            Finding::failure(ANSWER, saw, way_out)
        }
        (Speaks::Tls, "http") => wants_tls(endpoint),
        (Speaks::Http1 | Speaks::Http2, "https") => plain_there(endpoint),
        _ => Finding::failure(
            ANSWER,
            format!("{address} takes connections, but gives no answer that could be read: {reason}"),
            format!("is it an OTLP endpoint? a Jaeger's or collector's ports are 4318 (HTTP) and 4317 (gRPC); {NAME_IT}"),
        ),
    }
}

fn plain_there(endpoint: &Endpoint) -> Finding {
    let (url, right) = (&endpoint.url, endpoint.named_with("http"));
    let saw = format!("no TLS is spoken at {url}, and the address says https");
    Finding::failure(ANSWER, saw, format!("use {right}, or the port that speaks TLS"))
}

async fn bad_tls(endpoint: &Endpoint, address: SocketAddr, error: &rustls::Error) -> Finding {
    use rustls::{CertificateError as Bad, Error};
    let url = &endpoint.url;
    let trusts = match &endpoint.authority {
        Some(path) => format!("the built-in roots and {}", path.display()),
        None => "the built-in roots alone".to_owned(),
    };
    let (saw, way_out) = match error {
        Error::InvalidCertificate(Bad::UnknownIssuer) => (
            format!("the certificate of {url} is from nobody who is trusted here ({trusts} are)"),
            "set OTEL_EXPORTER_OTLP_CERTIFICATE to the PEM file of its authority",
        ),
        Error::InvalidCertificate(
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
        ) => (format!("the certificate of {url} is not valid now: {error}"), "renew it, or set this machine's clock right"),
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            (format!("the certificate of {url} is for another name: {error}"), "name the endpoint as its certificate does")
        }
        Error::InvalidCertificate(_) => (
            format!("the certificate of {url} is not accepted: {error} (trusted are {trusts})"),
            "set OTEL_EXPORTER_OTLP_CERTIFICATE to the PEM file of its authority, or have it issued for this name",
        ),
        Error::AlertReceived(_) => (
            format!("{url} refuses the TLS connection: {error}"),
            "it may ask for a client's certificate, which tracelab does not send, or for another name",
        ),
        _ if matches!(identify(address).await, Speaks::Http1 | Speaks::Http2) => return plain_there(endpoint),
        _ => (format!("TLS with {url} fails: {error}"), "is TLS spoken at this port?"),
    };
    Finding::failure(ANSWER, saw, way_out)
}

/// By gRPC, the answer is no.
async fn refused(endpoint: &Endpoint, address: SocketAddr, status: &Status) -> Finding {
    let url = &endpoint.url;
    let said = format!("{url} answers {:?} ({})", status.code(), status.message());
    let transport = std::error::Error::source(status);
    if let Some(tls) = transport.and_then(tls_of) {
        return bad_tls(endpoint, address, &tls).await;
    }
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => Finding::failure(
            ANSWER,
            format!("{said}; {}", endpoint.header_names()),
            "set OTEL_EXPORTER_OTLP_HEADERS to what it asks for, for example authorization=Bearer%20TOKEN or x-api-key=KEY",
        ),
        // A server for HTTP/2 that is none for gRPC answers by HTTP's own status.
        _ if status.metadata().get("grpc-status").is_none() && status.message().contains("HTTP status") => Finding::failure(
            ANSWER,
            format!("HTTP is spoken at {address}, and spans would be sent by gRPC: {}", status.message()),
            format!("use the port for gRPC, usually 4317, or {}", port_for(Protocol::HttpProtobuf)),
        ),
        Code::Unimplemented => Finding::failure(
            ANSWER,
            format!("gRPC is spoken at {url}, but not OTLP: {}", status.message()),
            "OTLP over gRPC is usually at port 4317 (16685 is Jaeger's query, 14250 its former protocol), without a path",
        ),
        Code::Unavailable | Code::ResourceExhausted if transport.is_none() => Finding::warning(
            ANSWER,
            format!("{said}: it is there, but takes no spans at the moment"),
            "wait and try again; if it stays so, it is over its limits or still starting: its own log says",
        ),
        _ => unanswered(endpoint, address, transport.map_or(said, innermost), None).await,
    }
}
