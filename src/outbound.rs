//! What every outgoing connection is made with: one resolver, TLS with roots built in, one kind of HTTP client.
//!
//! The image is `FROM scratch`: there is no C library to resolve names and no certificate store to trust, so both are inside.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::task::{self, Poll};
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name as ConnectorName;
use redis::io::AsyncDNSResolver;
use redis::{AsyncConnectionConfig, RedisFuture};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tower::Service;

/// Making a connection takes no longer than this, or it fails.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that nobody used for so long is closed: sooner than our servers close it (`server::HEADER_TIMEOUT`), or a request
/// could be sent into a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// So many idle connections are kept to one address. Each takes two open files where both ends are in this process, and a process
/// may have few.
const IDLE_CONNECTIONS: usize = 16;
/// A name's address is asked for again after this time, whatever the name server grants: Docker's says 600 s of a container, whose
/// address changes as soon as another version is put in its place.
const LONGEST_KNOWN: Duration = Duration::from_secs(5);
/// The same where there was no address: what is not there yet may be soon.
const LONGEST_UNKNOWN: Duration = Duration::from_secs(1);

/// A client for HTTP/1.1 and, where TLS negotiates it, HTTP/2. It follows no redirects and asks no proxy: what it calls was named
/// by the configuration.
///
/// # Errors
/// TLS cannot be set up, which is a defect of the build.
pub fn client() -> anyhow::Result<reqwest::Client> {
    client_trusting(None)
}

/// The same, trusting the certificates of this PEM file beside the built-in roots.
///
/// # Errors
/// The file cannot be read or holds no certificate, which the text says.
pub fn client_trusting(authority: Option<&Path>) -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls(authority)?)
        .dns_resolver(Resolver)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("tracelab/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("cannot set up the HTTP client")
}

/// A gRPC channel that connects when it is first used.
///
/// `authority` is a PEM file with certificates to trust beside the built-in roots.
///
/// # Errors
/// `endpoint` is no URL, or `authority` cannot be read, which the text says.
pub fn channel(endpoint: &str, authority: Option<&Path>) -> anyhow::Result<Channel> {
    let context = || format!("{endpoint:?} is no gRPC endpoint; it should look like http://localhost:4317");
    // `localhost:4317` would pass: as a URL with the scheme `localhost`.
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        bail!(context());
    }
    let mut builder = Endpoint::from_shared(endpoint.to_owned()).with_context(context)?;
    if endpoint.starts_with("https://") {
        install_crypto();
        let mut tls = ClientTlsConfig::new().with_webpki_roots();
        if let Some(path) = authority {
            let pem = std::fs::read(path).with_context(|| format!("cannot read the certificates in {}", path.display()))?;
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        builder = builder.tls_config(tls).with_context(context)?;
    }
    let mut connector = HttpConnector::new_with_resolver(Resolver);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Ok(builder.connect_with_connector_lazy(connector))
}

/// How connections to a Redis are made. There is no limit on time: whoever waits has one.
pub fn redis() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None).set_dns_resolver(Resolver)
}

/// Where `host`, a name or an IP address, is found at the moment.
///
/// # Errors
/// Nobody knows the name, or nobody answers who might.
pub async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => Resolver::lookup(host).await?,
    };
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address.ip(), port)).collect())
}

/// reqwest's own text names the URL once more and hides the cause behind it; the innermost cause says what happened.
pub fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn tls(authority: Option<&Path>) -> anyhow::Result<rustls::ClientConfig> {
    install_crypto();
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = authority {
        let context = || format!("cannot read the certificates in {}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).with_context(context)? {
            roots.add(certificate.with_context(context)?).with_context(context)?;
        }
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn install_crypto() {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The resolver of the whole process, in pure Rust, reading `/etc/resolv.conf` and `/etc/hosts` when it is first asked.
#[derive(Clone, Copy, Debug)]
struct Resolver;

impl Resolver {
    async fn lookup(name: &str) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        static SHARED: OnceLock<Arc<TokioResolver>> = OnceLock::new();
        // RFC 6761: localhost is loopback, whatever a name server says, and a machine may have none.
        if name.eq_ignore_ascii_case("localhost") {
            return Ok(vec![([127, 0, 0, 1], 0).into(), (std::net::Ipv6Addr::LOCALHOST, 0).into()]);
        }
        let resolver = match SHARED.get() {
            Some(resolver) => resolver.clone(),
            None => {
                let mut builder = TokioResolver::builder_tokio()?;
                let options = builder.options_mut();
                (options.positive_max_ttl, options.negative_max_ttl) = (Some(LONGEST_KNOWN), Some(LONGEST_UNKNOWN));
                let resolver = Arc::new(builder.build()?);
                SHARED.get_or_init(|| resolver).clone()
            }
        };
        let addresses = resolver.lookup_ip(name).await?;
        Ok(addresses.iter().map(|ip| SocketAddr::new(ip, 0)).collect())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Addrs = Box::new(Self::lookup(name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}

/// The same for Redis connections.
impl AsyncDNSResolver for Resolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let addresses = addresses(host, port).await.map_err(std::io::Error::other)?.into_iter();
            Ok(Box::new(addresses) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

/// The same for tonic's connector.
impl Service<ConnectorName> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: ConnectorName) -> Self::Future {
        Box::pin(async move { Ok(Self::lookup(name.as_str()).await?.into_iter()) })
    }
}
