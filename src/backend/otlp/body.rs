//! Reads a body with bounded memory: up to [`MAX_BODY`], few large ones at a time, for so long and no longer.

use std::fmt::Display;
use std::io::Read as _;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use flate2::read::MultiGzDecoder;
use futures_util::{Stream, StreamExt as _};
use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::MAX_BODY;

/// Up to this length a body needs no permit.
const SMALL: usize = 256 << 10;
/// So many larger ones are held at a time; the others wait.
const LARGE_AT_ONCE: usize = 4;
/// So many are unzipped at a time: a few kilobytes may become [`MAX_BODY`]. No sender can hold one of these up.
const UNZIPPED_AT_ONCE: usize = 2;
/// Who waits for its turn waits so long: more than a silent sender may hold a turn, less than exporters wait for an answer.
const WAIT: Duration = Duration::from_secs(8);
/// A sender has this long for its body, without the time that it waits for its turn.
const TIMEOUT: Duration = Duration::from_secs(30);
/// And this long for the next byte of it.
const SILENCE: Duration = Duration::from_secs(5);
/// So much of a refused body is read and thrown away, so that its sender gets to see the answer.
const MAX_DRAIN: usize = 256 << 20;

/// Hands out the permits for large bodies; clones share them, as a backend's servers share its memory.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    large: Arc<Semaphore>,
    unzipped: Arc<Semaphore>,
}

/// The bytes of a request; a large one keeps its permit until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("the request is larger than {MAX_BODY} bytes; send less at a time")]
    TooLarge,
    #[error("the body came too slowly: it has {} s, and {} s for its next byte", TIMEOUT.as_secs(), SILENCE.as_secs())]
    TooSlow,
    #[error("too many large requests at once; send this one again later, or less at a time")]
    Busy,
    #[error("cannot read the body: {0}")]
    Broken(String),
    #[error("cannot read the gzip body: {0}")]
    NotGzip(std::io::Error),
}

impl Unread {
    /// What an HTTP server answers. Exporters repeat what was answered 503.
    pub fn status(&self) -> StatusCode {
        match self {
            Unread::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Unread::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Unread::Broken(_) | Unread::NotGzip(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl Bodies {
    pub fn new() -> Self {
        let permits = |at_once| Arc::new(Semaphore::new(at_once));
        Self { large: permits(LARGE_AT_ONCE), unzipped: permits(UNZIPPED_AT_ONCE) }
    }

    /// Large bodies that are held now.
    pub fn large(&self) -> usize {
        LARGE_AT_ONCE - self.large.available_permits()
    }

    pub async fn read<B: Buf, E: Display>(&self, body: impl Stream<Item = Result<B, E>>) -> Result<Body, Unread> {
        self.read_up_to(MAX_BODY, body).await
    }

    pub async fn read_up_to<B: Buf, E: Display>(
        &self,
        most: usize,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Result<Body, Unread> {
        let (mut read, mut refused, mut drained) = (Body::default(), None, 0);
        let mut deadline = Instant::now() + TIMEOUT;
        let mut body = std::pin::pin!(body);
        loop {
            let Ok(chunk) = timeout_at(deadline.min(Instant::now() + SILENCE), body.next()).await else {
                return Err(refused.unwrap_or(Unread::TooSlow));
            };
            let Some(chunk) = chunk else { break };
            let mut chunk = chunk.map_err(|error| Unread::Broken(error.to_string()))?;
            let length = chunk.remaining();
            if refused.is_none() && read.bytes.len() + length > most {
                refused = Some(Unread::TooLarge);
            } else if refused.is_none() && read.is_small() && read.bytes.len() + length > SMALL {
                let asked = Instant::now();
                match permit(&self.large).await {
                    Ok(permit) => read.permit = Some(permit),
                    Err(busy) => refused = Some(busy),
                }
                deadline += asked.elapsed();
            }
            if refused.is_some() {
                read = Body::default();
                drained += length;
                if drained > MAX_DRAIN {
                    break;
                }
                continue;
            }
            while chunk.has_remaining() {
                let slice = chunk.chunk();
                read.bytes.extend_from_slice(slice);
                let taken = slice.len();
                chunk.advance(taken);
            }
        }
        refused.map_or(Ok(read), Err)
    }

    /// What to hold while a body is unzipped and stored.
    pub async fn unzipping(&self) -> Result<OwnedSemaphorePermit, Unread> {
        permit(&self.unzipped).await
    }
}

/// What a gzip body holds, up to [`MAX_BODY`]: one member or several, one after the other, as gzip allows.
pub(crate) fn unzip(compressed: &[u8]) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    match MultiGzDecoder::new(compressed).take(MAX_BODY as u64 + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() > MAX_BODY => Err(Unread::TooLarge),
        Ok(_) => Ok(bytes),
        Err(error) => Err(Unread::NotGzip(error)),
    }
}

async fn permit(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Unread> {
    // The semaphore is never closed, so that only the time can run out.
    timeout(WAIT, permits.clone().acquire_owned()).await.ok().and_then(Result::ok).ok_or(Unread::Busy)
}

impl Body {
    pub fn is_small(&self) -> bool {
        self.permit.is_none()
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// `length` bytes at once, then `more` chunks of one byte, each after `gap`.
    fn sent(length: usize, more: usize, gap: Duration) -> impl Stream<Item = Result<bytes::Bytes, Infallible>> {
        let rest = stream::iter(0..more).then(move |_| async move {
            tokio::time::sleep(gap).await;
            Ok(bytes::Bytes::from_static(b"x"))
        });
        stream::iter([Ok(bytes::Bytes::from(vec![0; length]))]).chain(rest)
    }

    #[tokio::test(start_paused = true)]
    async fn silent_senders_are_cut_off_before_who_waits_for_them_gives_up() {
        let bodies = Bodies::new();
        let silent = || bodies.read(sent(SMALL + 1, 1, Duration::from_secs(3600)));
        let waiting = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            bodies.read(sent(SMALL + 1, 0, Duration::ZERO)).await
        };
        let (one, two, three, four, waited) = tokio::join!(silent(), silent(), silent(), silent(), waiting);
        for silent in [one, two, three, four] {
            assert!(matches!(silent, Err(Unread::TooSlow)), "{silent:?}");
        }
        assert_eq!(waited.unwrap().len(), SMALL + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_vain_may_come_again_and_only_the_slow_are_too_slow() {
        let bodies = Bodies::new();
        let trickling = || bodies.read(sent(SMALL + 1, 100, Duration::from_secs(4)));
        let waiting = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let asked = Instant::now();
            (bodies.read(sent(SMALL + 1, 0, Duration::ZERO)).await, asked.elapsed())
        };
        let small = bodies.read(sent(SMALL, 0, Duration::ZERO));
        let (one, two, three, four, (waited, time), small) =
            tokio::join!(trickling(), trickling(), trickling(), trickling(), waiting, small);
        for trickling in [one, two, three, four] {
            assert!(matches!(trickling, Err(Unread::TooSlow)), "{trickling:?}");
        }
        assert!(matches!(waited, Err(Unread::Busy)), "{waited:?}");
        assert!(time < Duration::from_secs(10), "{time:?}: exporters have gone by then");
        assert!(small.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn few_bodies_are_unzipped_at_a_time_whoever_stalls() {
        let bodies = Bodies::new();
        let stalled = || bodies.read(sent(SMALL + 1, 1, Duration::from_secs(3600)));
        let unzipping = async {
            let mut held = Vec::new();
            for _ in 0..UNZIPPED_AT_ONCE {
                held.push(timeout(Duration::from_secs(1), bodies.unzipping()).await.unwrap().unwrap());
            }
            assert!(matches!(bodies.unzipping().await, Err(Unread::Busy)));
            drop(held);
            assert!(bodies.unzipping().await.is_ok());
        };
        let _ = tokio::join!(stalled(), stalled(), stalled(), stalled(), unzipping);
    }
}
