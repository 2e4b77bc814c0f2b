//! Serves a warp filter on a listener that is already bound, until told to stop.
//!
//! warp's own accept loop sets no TCP_NODELAY, bounds nothing and waits for ever while it drains; all our servers go through
//! this one instead.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{debug, warn};
use warp::{Filter, Reply};

/// A client has this long to send the head of its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that are running when the stop comes have this long to finish.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Tells every server of the process to stop; clones share one signal.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    #[allow(clippy::new_without_default, reason = "a default stop signal that nobody can give would be a trap")]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once [`Stop::stop`] was called.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut receiver = self.0.subscribe();
        // The sender cannot be gone: this future's origin holds one as long as anybody may stop.
        async move {
            let _ = receiver.wait_for(|stopped| *stopped).await;
        }
    }
}

/// Binds `addr`, or says which flag picks another port.
pub fn bind(addr: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let listen = || -> io::Result<TcpListener> {
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    listen().with_context(|| match addr.port() {
        0 => format!("cannot listen on {}; choose another address with --bind", addr.ip()),
        port => format!(
            "cannot listen on {addr}; is another tracelab running? choose another port with {flag}, for example {flag} {}",
            port.wrapping_add(1).max(1024)
        ),
    })
}

/// Serves `filter` until `stop`, then finishes what is running for at most [`DRAIN`].
pub async fn serve<F>(listener: TcpListener, filter: F, stop: Stop)
where
    F: Filter<Error = Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let service = TowerToHyperService::new(warp::service(filter));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let graceful = GracefulShutdown::new();
    let stopped = stop.stopped();
    tokio::pin!(stopped);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    accept_failed(&error).await;
                    continue;
                }
            },
            () = &mut stopped => break,
        };
        // A request is one small write and so is its answer: Nagle would only hold them back.
        let _ = stream.set_nodelay(true);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        warn!(seconds = DRAIN.as_secs(), "requests still running after the drain time were cut off");
    }
}

/// Out of file descriptors, for example: waiting a moment lets connections close, where retrying at once would spin.
async fn accept_failed(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        warn!(%error, "cannot accept connections for the moment");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
