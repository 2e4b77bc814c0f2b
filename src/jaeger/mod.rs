//! Client of the Jaeger query API: API v3, or the legacy one where there is no other (Jaeger 1.10 and later). The embedded
//! backend speaks both.
//!
//! A search answers with a limited number of traces and does not say that there were more, and one for everything at once costs
//! a real Jaeger 30 kB of memory a trace. So a time window is read in slices (`collect`): one that comes back full is
//! divided. What the traces mean is the diagnosis's business; here they only go into its `Builder`.

mod api;
mod collect;

use std::time::Duration;

pub use api::Api;
pub use collect::{Collected, Progress, Wanted};

use crate::config::without_secrets;
use crate::outbound;

/// Never so few traces are asked for that reading them takes more searches than traces.
const LEAST_DEPTH: usize = 10;

/// Asks one query API.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Without a slash at its end; it may say who asks.
    address: String,
    /// The same for people.
    base: String,
    settings: Settings,
}

/// How patient a [`Client`] is, and how much it asks for at once.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// One answer takes no longer, to its last byte.
    pub answer: Duration,
    /// A question is asked so many times while the answer is that somebody is busy, or is cut off.
    pub attempts: u32,
    /// The first pause between two of them; each later one is twice as long.
    pub pause: Duration,
    /// So many traces are asked for at once, until the server says that this is too much.
    pub depth: usize,
    /// So many slices are asked for at the same time.
    pub at_once: usize,
    /// Bytes of all answers that are waited for at the same time; a slice with a larger one is divided.
    pub largest: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(60),
            attempts: 4,
            pause: Duration::from_millis(250),
            depth: 1_500,
            at_once: 3,
            largest: 128 << 20,
        }
    }
}

/// Why a query API did not give what it was asked for. Every text names the address and a way out.
#[derive(Debug, thiserror::Error)]
pub enum JaegerError {
    #[error(
        "cannot reach a Jaeger at {base}: {reason}; is one running (`tracelab up` has one inside), and is --jaeger its query address, for example http://127.0.0.1:16686?"
    )]
    Unreachable { base: String, reason: String },
    #[error(
        "what answers at {base} is no Jaeger query API ({reason}); --jaeger takes the address of Jaeger's page, with its base path if it has one, for example http://127.0.0.1:16686/jaeger"
    )]
    NotJaeger { base: String, reason: String },
    #[error(
        "the Jaeger at {base} cannot answer {path}: {reason}; its own log says more, and a shorter --lookback or a --service asks for less"
    )]
    Refused { base: String, path: String, reason: String },
    #[error(
        "the Jaeger at {base} takes longer than {seconds} s for the shortest slice of time asked for; a shorter --lookback or a --service asks for less"
    )]
    Slow { base: String, seconds: u64 },
    #[error(
        "what the Jaeger at {base} answers to {path} cannot be read: {reason}; is there something between that changes or cuts answers?"
    )]
    Garbage { base: String, path: String, reason: String },
}

impl Client {
    /// A client of the API at `base`, for example `http://127.0.0.1:16686/jaeger`.
    ///
    /// # Errors
    /// TLS cannot be set up, which is a defect of the build.
    pub fn new(base: &str) -> anyhow::Result<Self> {
        Ok(Self::with(outbound::client()?, base, Settings::default()))
    }

    pub fn with(http: reqwest::Client, base: &str, settings: Settings) -> Self {
        Self { http, address: base.trim_end_matches('/').to_owned(), base: without_secrets(base), settings }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// How many searches this deep are made at the same time, and the bytes that each may bring: few traces may be large ones.
    fn portion(&self, depth: usize) -> (usize, usize) {
        let at_once = if depth > LEAST_DEPTH { self.settings.at_once.max(1) } else { 1 };
        (at_once, self.settings.largest / at_once)
    }
}
