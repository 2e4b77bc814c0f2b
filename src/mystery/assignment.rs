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
}

/// A service that can be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    pub name: ServiceName,
    /// Base URL, for example `http://dummy-1-17:8080`.
    pub url: Url,
}

/// What a service does wrong, unless its version is v2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// Sleeps this long on every request, beside its ordinary delay.
    Sleep { delay: Delay },
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
