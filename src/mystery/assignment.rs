//! All that one service needs to behave; the frontend writes it, the service obeys it.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::topology::{Route, ServiceName};

/// What one service is told on the control port (or inside the process, in `up`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    pub service: ServiceName,
    pub delay: Delay,
    pub route: Route,
    /// Whom it may forward to: one on a straight route, the whole next layer otherwise, nobody in the last layer.
    pub next: Arc<[Peer]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What it does to requests that another service has spoilt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoiled: Option<Spoiled>,
    /// What it writes to Redis on every request; absent where it has nothing to do with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisUse>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoy: Option<Decoy>,
}

/// A service that can be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    pub name: ServiceName,
    /// Base URL, for example `http://dummy-1-17:8080`.
    pub url: Url,
}

/// What a service does wrong, unless its version is v2. Shares are parts of its requests, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// Sleeps this long on every request, beside its ordinary delay.
    Sleep { delay: Delay },
    /// The same on a share of the requests.
    RareSleep { delay: Delay, share: f64 },
    /// Answers 500 on a share of the requests, after its ordinary delay and without calling anybody.
    Failure { share: f64 },
    /// Sleeps this long on the requests of one customer, then fails on a share of them.
    Customer { customer: String, delay: Delay, share: f64 },
    /// Marks what it passes on; services that have [`Assignment::spoiled`] suffer from the mark.
    Spoil,
    /// Works this long in a section that one request at a time may enter.
    Contention { hold: Delay },
    /// Writes its keys to Redis one by one.
    KeyByKey,
    /// This long passes between the start of a call to `callee` and its arrival there.
    Network { callee: ServiceName, delay: Delay },
    /// Calls others without the trace context.
    LostContext,
}

/// How a service suffers from a request that another has spoilt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Spoiled {
    Slow { delay: Delay },
    Fails,
}

/// A service's business with Redis: so many keys written on every request, in one pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedisUse {
    /// For example `redis://redis:6379`.
    pub url: Url,
    pub keys: u32,
}

/// What looks suspicious and is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Decoy {
    /// Answers 503 with `retry-after: 0` on a share of the requests; its callers try again, and that goes well.
    Refusal { share: f64 },
    /// Goes on with something in the background on a share of the requests, after the answer.
    Background { delay: Delay, share: f64 },
}

/// A log-normal distribution of delays, as service times are in practice: most near the median, a few far above it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    pub median_ms: f64,
    /// Standard deviation of the logarithm; 0 makes every delay the median.
    pub sigma: f64,
}

impl Delay {
    pub const NONE: Self = Self { median_ms: 0.0, sigma: 0.0 };

    /// No delay is longer than this, whatever the distribution's tail says.
    const LONGEST: Duration = Duration::from_secs(60);

    /// One delay. A distribution that makes no sense (negative, not a number) gives none.
    pub fn sample(self, rng: &mut impl Rng) -> Duration {
        if !(self.median_ms > 0.0 && self.median_ms.is_finite()) {
            return Duration::ZERO;
        }
        let ms = match LogNormal::new(self.median_ms.ln(), self.sigma.max(0.0)) {
            Ok(distribution) => distribution.sample(rng),
            Err(_) => self.median_ms,
        };
        Duration::try_from_secs_f64(ms / 1e3).map_or(Self::LONGEST, |delay| delay.min(Self::LONGEST))
    }

    pub fn scaled(self, factor: f64) -> Self {
        Self { median_ms: self.median_ms * factor, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn half_of_the_delays_are_below_the_median() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let delay = Delay { median_ms: 5.0, sigma: 0.4 };
        let below = (0..10_000).filter(|_| delay.sample(&mut rng) < Duration::from_millis(5)).count();
        assert!((4_800..5_200).contains(&below), "{below} of 10000 below the median");
    }

    #[test]
    fn a_distribution_that_makes_no_sense_gives_no_delay() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for median_ms in [0.0, -3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Delay { median_ms, sigma: 0.4 }.sample(&mut rng), Duration::ZERO);
        }
        let wild = Delay { median_ms: 1e9, sigma: f64::NAN }.sample(&mut rng);
        assert_eq!(wild, Duration::from_secs(60));
    }
}
