//! The Redis that some services write to: one that was named, one that `up` starts, or none.
//!
//! The one that `up` starts is a `redis-server` on the PATH, on a free loopback port, that keeps nothing on disk. It is started
//! when a mystery first needs it and does not outlive this process, whatever ends that.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use url::Url;

use crate::outbound;

const PROGRAM: &str = "redis-server";
/// A free port may be taken by somebody else before the program has it.
const ATTEMPTS: u32 = 3;
/// It answers after some ten milliseconds.
const START_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// Runs the program that its arguments name until that ends, or until nobody holds the other end of stdin any more: a process
/// that was killed cannot stop its children, but its pipes close. In the end the directory of the program, kept empty, is removed.
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3; kill "$server"; sleep 3; kill -9 "$server"; } 2>/dev/null & keeper=$!
exec 3<&-
wait "$server"; status=$?
kill "$keeper" 2>/dev/null
rmdir "$PWD" 2>/dev/null
exit "$status"
"#;

/// Where a Redis is. Clones are the same one.
#[derive(Clone, Debug, Default)]
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

/// A program that was started; it ends when this is dropped.
#[derive(Debug)]
struct Server {
    _lifeline: ChildStdin,
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
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&folders).map(|folder| folder.join(PROGRAM)).find(|path| path.is_file());
        Self(program.map(|program| Arc::new(Place::Here(Here { program, server: Mutex::default(), running: Arc::default() }))))
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

    /// Starts it where it does not run yet, or not any more. One that runs elsewhere is believed to.
    ///
    /// # Errors
    /// There is none, or it does not start; the text names the way out.
    pub async fn start(&self) -> anyhow::Result<Url> {
        match self.0.as_deref() {
            None => bail!("there is no Redis: name one with --redis redis://127.0.0.1:6379, or install {PROGRAM}"),
            Some(Place::Elsewhere(url)) => Ok(url.clone()),
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
                Err(error) if attempt < ATTEMPTS => warn!(error = format!("{error:#}"), attempt, "redis-server did not start"),
                result => break result?,
            }
            attempt += 1;
        };
        info!(%url, "redis-server started");
        *server = Some(started);
        Ok(url)
    }

    /// Starts the program and waits until it answers.
    async fn launch(&self) -> anyhow::Result<(Url, Server)> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr())?.port();
        let url = Url::parse(&format!("redis://127.0.0.1:{port}"))?;
        let directory = tempfile::Builder::new().prefix("tracelab-redis-").tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(&self.program).args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"]);
        command.current_dir(directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C in a terminal reaches the whole group, and this one must outlast the requests that are running.
        #[cfg(unix)]
        command.process_group(0);
        command.kill_on_drop(true);
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
                bail!("it ended at once: {}", last_words.lock().unwrap_or_else(PoisonError::into_inner));
            }
            () = tokio::time::sleep(START_LIMIT) => bail!("it does not answer within {} s", START_LIMIT.as_secs()),
        }

        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.clone());
        let (running, own) = (self.running.clone(), url.clone());
        let (stopping, mut stop) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let status = child.wait().await;
            let _directory: TempDir = directory;
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            if running.as_ref() == Some(&own) {
                *running = None;
            }
            // Asked to stop, or the whole process is about to end.
            let was_asked = !matches!(stop.try_recv(), Err(oneshot::error::TryRecvError::Empty));
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
        Ok((url, Server { _lifeline: lifeline, stopping, ended }))
    }

    async fn stop(&self) {
        let Some(Server { _lifeline: lifeline, stopping, mut ended }) = self.server.lock().await.take() else { return };
        let _ = stopping.send(());
        drop(lifeline);
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
    let ping = async || -> redis::RedisResult<()> {
        let client = redis::Client::open(url.as_str())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&outbound::redis()).await?;
        redis::cmd("PING").exec_async(&mut connection).await
    };
    while ping().await.is_err() {
        tokio::time::sleep(POLL).await;
    }
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
    async fn one_that_was_named_is_believed_to_run() {
        let url: Url = "redis://127.0.0.1:1".parse().unwrap();
        let redis = Redis::at(url.clone());
        assert_eq!((redis.running(), redis.start().await.unwrap()), (Some(url.clone()), url));
    }
}
