//! Who calls: a population of customers with unequal traffic.

use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _};

/// Shares of the calls, of the busiest customer first.
const SHARES: [f64; 8] = [0.25, 0.20, 0.15, 0.12, 0.11, 0.08, 0.05, 0.04];
/// A customer with less is no culprit: nobody would see it.
const SEEN: f64 = 0.1;

/// The customers `customer-1` to `customer-8` and how many of the calls each of them makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Customers([(String, f64); SHARES.len()]);

impl Customers {
    /// Which customer has which share is part of the draw, so that a name tells nothing.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        let mut shares = SHARES;
        shares.shuffle(rng);
        let mut number = 0;
        Self(shares.map(|share| {
            number += 1;
            (format!("customer-{number}"), share)
        }))
    }

    /// Whose call the next one is, with each customer's share as its probability.
    pub fn pick(&self, rng: &mut impl Rng) -> &str {
        let mut left = rng.random_range(0.0..1.0);
        let found = self.0.iter().find(|(_, share)| {
            left -= share;
            left < 0.0
        });
        // Rounding may leave a crumb after the last share.
        &found.unwrap_or(&self.0[0]).0
    }

    /// One with at least a tenth of the calls.
    pub(super) fn culprit(&self, rng: &mut impl Rng) -> String {
        let seen: Vec<&str> = self.eligible().collect();
        seen[rng.random_range(0..seen.len())].to_owned()
    }

    /// Every name that the culprit may have.
    pub fn eligible(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, share)| *share >= SEEN).map(|(name, _)| name.as_str())
    }

    /// Every name, with its share of the calls.
    pub fn shares(&self) -> &[(String, f64)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;
    use std::collections::HashMap;

    #[test]
    fn everybody_calls_as_often_as_their_share_says_and_the_culprit_at_least_a_tenth() {
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let customers = Customers::draw(&mut rng);
            let culprit = customers.culprit(&mut rng);
            let mut calls: HashMap<&str, u32> = HashMap::new();
            for _ in 0..20_000 {
                *calls.entry(customers.pick(&mut rng)).or_default() += 1;
            }
            for (name, share) in customers.shares() {
                let seen = f64::from(calls[name.as_str()]) / 20_000.0;
                assert!((seen - share).abs() < 0.015, "{name} makes {seen} of the calls, not {share}");
                assert!(*name != culprit || *share >= SEEN);
            }
        }
    }
}
