//! Reads a body with bounded memory: up to [`MAX_BODY`], few large ones at a time, for so long and no longer.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::MAX_BODY;

/// Up to this length a body needs no permit.
const SMALL: usize = 256 << 10;
/// So many larger ones are held at a time; the others wait.
const LARGE_AT_ONCE: usize = 4;
/// A sender has this long for its body, waiting included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// So much of a refused body is read and thrown away, so that its sender gets to see the answer.
const MAX_DRAIN: usize = 256 << 20;

/// Hands out the permits for large bodies.
#[derive(Clone, Debug)]
pub(crate) struct Bodies(Arc<Semaphore>);

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
    #[error("the body did not arrive within {} s", TIMEOUT.as_secs())]
    TooSlow,
    #[error("cannot read the body: {0}")]
    Broken(warp::Error),
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_AT_ONCE)))
    }
}

impl Bodies {
    pub async fn read<B: Buf>(&self, body: impl Stream<Item = Result<B, warp::Error>>) -> Result<Body, Unread> {
        tokio::time::timeout(TIMEOUT, self.read_all(body)).await.unwrap_or(Err(Unread::TooSlow))
    }

    async fn read_all<B: Buf>(&self, body: impl Stream<Item = Result<B, warp::Error>>) -> Result<Body, Unread> {
        let (mut read, mut drained) = (Body::default(), 0);
        let mut body = std::pin::pin!(body);
        while let Some(chunk) = body.next().await {
            let mut chunk = chunk.map_err(Unread::Broken)?;
            let length = chunk.remaining();
            if drained > 0 || read.bytes.len() + length > MAX_BODY {
                read = Body::default();
                drained += length;
                if drained > MAX_DRAIN {
                    break;
                }
                continue;
            }
            if read.is_small() && read.bytes.len() + length > SMALL {
                // The semaphore is never closed; without a permit there would merely be no bound.
                read.permit = self.0.clone().acquire_owned().await.ok();
            }
            while chunk.has_remaining() {
                let slice = chunk.chunk();
                read.bytes.extend_from_slice(slice);
                let taken = slice.len();
                chunk.advance(taken);
            }
        }
        if drained > 0 { Err(Unread::TooLarge) } else { Ok(read) }
    }
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
