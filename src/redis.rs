//! The Redis that some services write to: one that was named, one that `up` starts, or none.
//!
//! The one that `up` starts is a `redis-server` on the PATH, on a free loopback port, that keeps nothing on disk. It is started
//! when a mystery first needs it and does not outlive this process, whatever ends that.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use url::Url;

use crate::mystery::REDIS_WAY_OUT;
use crate::{keeper, outbound};

#[cfg(test)]
#[path = "../tests/support/redis.rs"]
pub(crate) mod fake;

const PROGRAM: &str = "redis-server";
/// A free port may be taken by somebody else before the program has it.
const ATTEMPTS: u32 = 3;
/// It answers after some ten milliseconds.
const START_LIMIT: Duration = Duration::from_secs(5);
/// One elsewhere that has not answered by then would be no pleasure to work with.
const CHECK_LIMIT: Duration = Duration::from_secs(3);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// Where a Redis is. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Redis(Option<Arc<Place>>);

#[derive(Debug)]
enum Place {
    Elsewhere(Url),
    Here(Here),
}

/// A program to be started, and what is known of it since.
#[derive(Debug)]
struct Here {
    program: PathBuf,
    /// Held while it is started or stopped.
    server: Mutex<Option<Server>>,
    /// Where it listens, as long as it runs.
    running: Arc<StdMutex<Option<Url>>>,
}

/// Why a program does not run.
struct Failed {
    /// It ended before it answered, perhaps because somebody else took the port; another one may do better.
    at_once: bool,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { at_once: false, error: error.into() }
    }
}

/// A program that was started; it ends when this is dropped.
#[derive(Debug)]
struct Server {
    stopping: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Redis {
    /// None at all.
    pub fn none() -> Self {
        Self(None)
    }

    /// One that runs already.
    pub fn at(url: Url) -> Self {
        Self(Some(Arc::new(Place::Elsewhere(url))))
    }

    /// The `redis-server` on the PATH, to be started when it is needed; none where there is no such program.
    pub fn found() -> Self {
        Self(
            keeper::find(PROGRAM)
                .map(|program| Arc::new(Place::Here(Here { program, server: Mutex::default(), running: Arc::default() }))),
        )
    }

    /// Whether a mystery may need one.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The one that runs, if one does: services have business with it from then on.
    pub fn running(&self) -> Option<Url> {
        match self.0.as_deref()? {
            Place::Elsewhere(url) => Some(url.clone()),
            Place::Here(here) => here.running.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Starts it where it does not run yet, or not any more. One that runs elsewhere is asked whether it does.
    ///
    /// # Errors
    /// There is none, it does not start, or it does not answer; the text names the way out.
    pub async fn start(&self) -> anyhow::Result<Url> {
        match self.0.as_deref() {
            None => bail!("there is no Redis: {REDIS_WAY_OUT}"),
            Some(Place::Elsewhere(url)) => {
                let asked = tokio::time::timeout(CHECK_LIMIT, ping(url)).await;
                let place = shown(url);
                asked
                    .with_context(|| {
                        format!("{place} does not answer within {} s; is --redis its address?", CHECK_LIMIT.as_secs())
                    })?
                    .with_context(|| format!("{place} is no Redis that answers; is --redis its address?"))?;
                Ok(url.clone())
            }
            Some(Place::Here(here)) => here.start().await.with_context(|| {
                format!("cannot start {}; name a Redis that runs with --redis redis://127.0.0.1:6379", here.program.display())
            }),
        }
    }

    /// Stops it where [`Redis::start`] started it.
    pub async fn stop(&self) {
        if let Some(Place::Here(here)) = self.0.as_deref() {
            here.stop().await;
        }
    }
}

impl Here {
    async fn start(&self) -> anyhow::Result<Url> {
        let mut server = self.server.lock().await;
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(url) = running {
            return Ok(url);
        }
        let mut attempt = 1;
        let (url, started) = loop {
            match self.launch().await {
                Ok(launched) => break launched,
                // Who starts it waits; what hung once would hang again.
                Err(Failed { at_once: true, error }) if attempt < ATTEMPTS => {
                    warn!(error = format!("{error:#}"), attempt, "redis-server did not start");
                }
                Err(Failed { error, .. }) => return Err(error),
            }
            attempt += 1;
        };
        info!(%url, "redis-server started");
        *server = Some(started);
        Ok(url)
    }

    /// Starts the program and waits until it answers.
    async fn launch(&self) -> Result<(Url, Server), Failed> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr())?.port();
        let url = Url::parse(&format!("redis://127.0.0.1:{port}"))?;
        let directory = tempfile::Builder::new().prefix("tracelab-redis-").tempdir()?;
        let port = port.to_string();
        let address = ["--port", &port, "--bind", "127.0.0.1"];
        let quiet = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"];
        // It outlasts the requests that are running when Ctrl-C ends them.
        let command = keeper::command(self.program.as_os_str(), address.into_iter().chain(quiet), Some(directory.path()));
        let mut command = Command::from(command);
        command.current_dir(directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot run sh")?;
        let lifeline = child.stdin.take().context("it has no stdin")?;
        let last_words = Arc::new(StdMutex::new(String::new()));
        let stdout = child.stdout.take().map(|stdout| tokio::spawn(listen(stdout, last_words.clone())));
        let stderr = child.stderr.take().map(|stderr| tokio::spawn(listen(stderr, last_words.clone())));

        tokio::select! {
            () = answers(&url) => {}
            _ = child.wait() => {
                for output in stdout.into_iter().chain(stderr) {
                    // Whatever keeps it from being read, nothing more will come.
                    let _ = output.await;
                }
                let error = anyhow!("it ended at once: {}", last_words.lock().unwrap_or_else(PoisonError::into_inner));
                return Err(Failed { at_once: true, error });
            }
            () = tokio::time::sleep(START_LIMIT) => {
                return Err(anyhow!("it does not answer within {} s", START_LIMIT.as_secs()).into());
            }
        }

        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.clone());
        let (running, own) = (self.running.clone(), url.clone());
        let (stopping, mut stop) = oneshot::channel::<()>();
        let ended = tokio::spawn(async move {
            let (status, was_asked) = tokio::select! {
                biased;
                // Told to, or dropped: the whole process is about to end.
                _ = &mut stop => {
                    drop(lifeline);
                    (child.wait().await, true)
                }
                status = child.wait() => {
                    // Where that was the keeper's end alone, the program ends now; and what it started in any case.
                    drop(lifeline);
                    (status, false)
                }
            };
            let _directory: TempDir = directory;
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            if running.as_ref() == Some(&own) {
                *running = None;
            }
            if !was_asked {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                let last = last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
                warn!(
                    status,
                    last,
                    "redis-server ended by itself; services go on without it, and a new mystery of cause redis starts it again"
                );
            }
        });
        Ok((url, Server { stopping, ended }))
    }

    async fn stop(&self) {
        let Some(Server { stopping, mut ended }) = self.server.lock().await.take() else { return };
        let _ = stopping.send(());
        if tokio::time::timeout(STOP_LIMIT, &mut ended).await.is_err() {
            // It is killed with the task that holds it.
            ended.abort();
        }
    }
}

/// Keeps what is printed from filling its pipe, and the last line of it for when it is asked why.
async fn listen(stream: impl AsyncRead + Unpin, last_words: Arc<StdMutex<String>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if !line.trim().is_empty() {
            *last_words.lock().unwrap_or_else(PoisonError::into_inner) = line.trim().to_owned();
        }
    }
}

/// Resolves once a Redis answers there.
async fn answers(url: &Url) {
    while ping(url).await.is_err() {
        tokio::time::sleep(POLL).await;
    }
}

async fn ping(url: &Url) -> redis::RedisResult<()> {
    let client = redis::Client::open(url.as_str())?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&outbound::redis()).await?;
    redis::cmd("PING").exec_async(&mut connection).await
}

/// A Redis's URL without who may use it: for what people read.
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(program: &str) -> Redis {
        let here = Here { program: program.into(), server: Mutex::default(), running: Arc::default() };
        Redis(Some(Arc::new(Place::Here(here))))
    }

    #[tokio::test]
    async fn what_does_not_start_is_told_with_its_last_words_and_the_way_out() {
        let none = Redis::none();
        assert!(!none.is_there() && none.start().await.unwrap_err().to_string().contains("--redis redis://"));
        // It knows nothing of --port.
        let redis = here("/bin/ls");
        let error = format!("{:#}", redis.start().await.unwrap_err());
        assert!(error.starts_with("cannot start /bin/ls; name a Redis") && error.contains("ended at once: "), "{error}");
        assert!(error.contains("--help"), "{error}");
        assert_eq!((redis.is_there(), redis.running()), (true, None));
    }

    #[tokio::test]
    async fn one_that_was_named_is_asked_when_it_is_needed() {
        let url = fake::answering().await;
        let redis = Redis::at(url.clone());
        assert_eq!((redis.running(), redis.start().await.unwrap()), (Some(url.clone()), url));
        let nobody: Url = "redis://:secret@127.0.0.1:1".parse().unwrap();
        let error = format!("{:#}", Redis::at(nobody).start().await.unwrap_err());
        assert!(error.starts_with("redis://127.0.0.1:1 is no Redis that answers; is --redis its address?: "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
