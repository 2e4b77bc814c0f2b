//! A service's business with Redis: small values written on every request, over one connection.
//!
//! Redis is no part of the answer. A request spends two seconds on it at most and leaves out what then remains. Where nothing
//! answers at all, those of the next seconds do not even try: five at first, twice as many each time, a minute at most.

use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::Context;
use redis::aio::MultiplexedConnection;
use redis::{Client, Pipeline, RedisError};
use tokio::sync::Mutex;
use tracing::{info, warn};
use url::Url;

use crate::mystery::RedisUse;
use crate::outbound;
use crate::telemetry::{ErrorType, Instrument};
use crate::topology::ServiceName;

/// One command or pipeline takes no longer than this, connecting included.
const LIMIT: Duration = Duration::from_secs(1);
/// All commands of a request take no longer than this: none begins without a whole [`LIMIT`] left. A Redis far away is slow to a
/// request with many commands, but it is not gone.
const DEADLINE: Duration = Duration::from_secs(2);
const FIRST_REST: Duration = Duration::from_secs(5);
const LAST_REST: Duration = Duration::from_secs(60);
/// A key that is not written again goes after so many seconds, so that nothing piles up.
const EXPIRY_SECONDS: u32 = 60;
/// An assignment from elsewhere may name any number.
const MOST_KEYS: u32 = 10_000;

/// One service's connection; made when it is first needed, and again when it was lost.
#[derive(Default)]
pub(super) struct Storage {
    connection: Mutex<Option<(Url, MultiplexedConnection)>>,
    rest: StdMutex<Rest>,
}

/// The time without the Redis that failed; another one need not wait for its end.
#[derive(Debug, Default)]
struct Rest {
    until: Option<(Url, Instant)>,
    length: Duration,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no answer within {LIMIT:?}")]
    TimedOut,
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl Storage {
    /// Writes `usage.keys` values for a request of `service`: in one pipeline, or, `key_by_key`, one command after the other.
    pub async fn write(&self, instrument: &Instrument, cx: &Context, service: ServiceName, usage: &RedisUse, key_by_key: bool) {
        if self.rest().lasts(&usage.url) {
            return;
        }
        let keys = usage.keys.min(MOST_KEYS);
        let (operation, each) = if key_by_key { ("SET", 1) } else { ("PIPELINE SET", keys.max(1)) };
        let start = Instant::now();
        for first in (0..keys).step_by(each as usize) {
            if start.elapsed() > DEADLINE - LIMIT {
                // What a learner sees on the terminal must not tell who has so many commands; the backend may.
                info!(written = first, left_out = keys - first, "no time left for Redis; the request goes on without the rest");
                break;
            }
            let span = instrument.redis_span(cx, &usage.url, operation, each);
            let commands = commands(service, first..first + each);
            let written = tokio::time::timeout(LIMIT, self.send(&usage.url, &commands)).await;
            let result = written.map_err(|_| Trouble::TimedOut).and_then(|sent| sent.map_err(Trouble::from));
            let code = result.as_ref().err().and_then(Trouble::code);
            let error = result.as_ref().err().map(|trouble| ErrorType { kind: trouble.kind(), message: trouble.to_string() });
            instrument.finish_redis(&span, code, error.map_or(Ok(()), Err));
            if let Err(trouble) = result {
                // Whoever holds the lock makes a new one just now.
                if let Ok(mut place) = self.connection.try_lock() {
                    *place = None;
                }
                if first > 0 {
                    info!(written = first, left_out = keys - first, error = %trouble, "Redis answers no more; the request goes on");
                } else if let Some(rest) = self.rest().begin(&usage.url) {
                    warn!(error = %trouble, seconds = rest.as_secs(), "cannot write to Redis; requests go on without it for a while");
                }
                return;
            }
        }
        self.rest().end();
    }

    async fn send(&self, url: &Url, commands: &Pipeline) -> Result<(), RedisError> {
        let mut connection = self.connection(url).await?;
        commands.exec_async(&mut connection).await
    }

    /// The connection that is there, or a new one. Meanwhile others that need one wait.
    async fn connection(&self, url: &Url) -> Result<MultiplexedConnection, RedisError> {
        let mut place = self.connection.lock().await;
        match &*place {
            Some((to, connection)) if to == url => Ok(connection.clone()),
            _ => {
                let client = Client::open(url.as_str())?;
                let connection = client.get_multiplexed_async_connection_with_config(&outbound::redis()).await?;
                *place = Some((url.clone(), connection.clone()));
                Ok(connection)
            }
        }
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        // Nothing can panic while the lock is held.
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("rest", &self.rest).finish_non_exhaustive()
    }
}

fn commands(service: ServiceName, keys: std::ops::Range<u32>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(keys.len());
    for key in keys {
        pipeline.cmd("SET").arg(format!("{service}:{key}")).arg(key).arg("EX").arg(EXPIRY_SECONDS).ignore();
    }
    pipeline
}

impl Rest {
    fn lasts(&self, url: &Url) -> bool {
        self.until.as_ref().is_some_and(|(of, until)| of == url && Instant::now() < *until)
    }

    /// Begins one, longer than the last, and says how long it is. Of many requests that fail together only the first does so.
    fn begin(&mut self, url: &Url) -> Option<Duration> {
        if self.lasts(url) {
            return None;
        }
        self.length = (self.length * 2).clamp(FIRST_REST, LAST_REST);
        self.until = Some((url.clone(), Instant::now() + self.length));
        Some(self.length)
    }

    fn end(&mut self) {
        *self = Self::default();
    }
}

impl Trouble {
    /// What Redis itself answered, for example `WRONGTYPE`.
    fn code(&self) -> Option<&str> {
        match self {
            Trouble::TimedOut => None,
            Trouble::Redis(error) => error.code(),
        }
    }

    /// For the span attribute `error.type`.
    fn kind(&self) -> &'static str {
        match self {
            Trouble::TimedOut => "timeout",
            Trouble::Redis(error) if error.is_connection_refusal() => "connect",
            Trouble::Redis(error) if error.is_io_error() || error.is_connection_dropped() => "broken_off",
            Trouble::Redis(_) => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_a_minute_and_a_success_ends_them() {
        let [url, other] = ["redis://here", "redis://there"].map(|url| Url::parse(url).unwrap());
        let mut rest = Rest::default();
        let mut lengths = Vec::new();
        for _ in 0..6 {
            lengths.push(rest.begin(&url).unwrap().as_secs());
            assert!(rest.lasts(&url) && rest.begin(&url).is_none(), "one of many failures begins it");
            assert!(!rest.lasts(&other));
            rest.until = Some((url.clone(), Instant::now()));
        }
        assert_eq!(lengths, [5, 10, 20, 40, 60, 60]);
        rest.end();
        assert_eq!(rest.begin(&url), Some(FIRST_REST));
    }
}
