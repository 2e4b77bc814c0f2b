//! Serves a warp filter on a listener that is already bound, until told to stop.
//!
//! warp's own accept loop sets no TCP_NODELAY, gives a client all the time it wants to send a request's head and waits for ever
//! while it drains; all our HTTP servers go through this one instead.
//!
//! A process that [`Stop::leave`] told to go away answers on for as long as those who call it may not know yet: a balancer that
//! still sends it connections, a caller that holds one. Every answer then ends its connection, so that callers turn to somebody else
//! between two requests and lose none; what is not asked by then may go.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{debug, warn};
use warp::reply::Response;
use warp::{Filter, Reply};

/// A client has this long to send the head of its next request; an idle connection is closed after it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that are running when the stop comes have this long to finish.
pub const DRAIN: Duration = Duration::from_secs(10);
/// Connections on which no request is running have this long to flush the end of an answer.
const LAST_BYTES: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(10);

/// Tells every server of the process to go away, and to stop; clones share one signal.
#[derive(Clone, Debug)]
pub struct Stop {
    stage: watch::Sender<Stage>,
    /// Beside it, because every request asks: one load where the channel would take a lock.
    leaving: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Leaving,
    Stopped,
}

impl Stop {
    #[allow(clippy::new_without_default, reason = "a default stop signal that nobody can give would be a trap")]
    pub fn new() -> Self {
        Self { stage: watch::Sender::new(Stage::Serving), leaving: Arc::default() }
    }

    /// From now on servers send their callers elsewhere: every answer ends its connection, and `/readyz` says 503.
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
        self.advance(Stage::Leaving);
    }

    pub fn stop(&self) {
        self.advance(Stage::Stopped);
    }

    /// Resolves once [`Stop::leave`] or [`Stop::stop`] was called: for what makes calls and had better end while they are answered.
    pub fn leaving(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Stage::Leaving)
    }

    /// Resolves once [`Stop::stop`] was called.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        self.reached(Stage::Stopped)
    }

    /// There is no way back.
    fn advance(&self, to: Stage) {
        self.stage.send_modify(|stage| *stage = to.max(*stage));
    }

    fn reached(&self, wanted: Stage) -> impl Future<Output = ()> + Send + use<> {
        let mut receiver = self.stage.subscribe();
        // The sender cannot be gone: this future's origin holds one as long as anybody may stop.
        async move {
            let _ = receiver.wait_for(|stage| *stage >= wanted).await;
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
    let warp = TowerToHyperService::new(warp::service(filter));
    let requests = Arc::new(Requests { running: AtomicUsize::new(0), leaving: stop.leaving.clone() });
    let counted = requests.clone();
    let service = service_fn(move |request: Request<_>| {
        let guard = Running::enter(&counted);
        let unready = guard.is_leaving() && request.uri().path() == "/readyz";
        let reply = warp.call(request);
        async move {
            let mut response = if unready { going_away() } else { reply.await? };
            // Asked again: a request that was there before may be the last of its connection.
            if guard.is_leaving() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            // The closure is dropped with the body: a request is running until the last of its answer is taken.
            Ok::<_, Infallible>(response.map(|body| {
                body.map_err(move |error| {
                    let _running = &guard;
                    error
                })
            }))
        }
    });
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
    tokio::select! {
        () = graceful.shutdown() => {}
        // A connection may be open without a request: a head that was half sent, for example. It holds up nobody.
        () = nothing_running(&requests.running) => {}
        () = tokio::time::sleep(DRAIN) => warn!(seconds = DRAIN.as_secs(), "requests still running after the drain time were cut off"),
    }
}

/// To whom asks whether it may send requests; who asks whether the process is well (`/healthz`) hears what it always hears.
fn going_away() -> Response {
    let error =
        serde_json::json!({ "error": "going away: it was told to end, and answers only until its callers have gone elsewhere" });
    warp::reply::with_status(warp::reply::json(&error), StatusCode::SERVICE_UNAVAILABLE).into_response()
}

/// What the requests of one listener share.
struct Requests {
    running: AtomicUsize,
    leaving: Arc<AtomicBool>,
}

/// One request that is being handled or answered.
struct Running(Arc<Requests>);

impl Running {
    fn enter(requests: &Arc<Requests>) -> Self {
        requests.running.fetch_add(1, Relaxed);
        Self(requests.clone())
    }

    fn is_leaving(&self) -> bool {
        self.0.leaving.load(Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

/// Resolves once no request was running for as long as the last bytes of an answer may take.
async fn nothing_running(running: &AtomicUsize) {
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < LAST_BYTES {
        tokio::time::sleep(POLL).await;
        if running.load(Relaxed) > 0 {
            quiet_since = Instant::now();
        }
    }
}

/// Out of file descriptors, for example: waiting a moment lets connections close, where retrying at once would spin.
async fn accept_failed(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        warn!(%error, "cannot accept connections for the moment");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    /// Serves an answer of many chunks, far beyond what the sockets' buffers hold.
    async fn start(stop: &Stop) -> (TcpStream, tokio::task::JoinHandle<()>) {
        let chunks = || stream::iter((0..4_096).map(|_| Ok::<_, Infallible>(bytes::Bytes::from_static(&[b'x'; 16_384]))));
        let answer = warp::any().map(move || warp::reply::stream(chunks()));
        let listener = bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, answer, stop.clone()));
        (TcpStream::connect(address).await.unwrap(), serving)
    }

    #[tokio::test]
    async fn a_stop_lets_a_long_answer_end() {
        let stop = Stop::new();
        let (mut stream, mut serving) = start(&stop).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut first = [0; 1024];
        stream.read_exact(&mut first).await.unwrap();
        stop.stop();
        let ended = tokio::time::timeout(LAST_BYTES * 2, &mut serving).await;
        assert!(ended.is_err(), "it waits for more than the last bytes while an answer is under way");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"0\r\n\r\n"), "the answer was cut after {} bytes", rest.len());
        serving.await.unwrap();
    }
}
