//! How sure a suspicion is: the probability that cause and place are right.
//!
//! A logistic function of a few figures, with weights of its own for each class of suspect. The weights were fitted (maximum
//! likelihood with a weak pull to zero) on the 11,400 suspects of simulated mysteries of every cause, 50 to 20,000 calls, strengths
//! 1 to 0.02, routes straight, random and all, topologies 3 × 30, 2 × 5 and 5 × 12, seeds below 100,000. Two things were then set by
//! hand: the weight of the share, since simulated mysteries have one fault only; and the slope of `Always` and `Told`, which were
//! too sure of two requests (table 4 of `benches/accuracy`, seeds from 300,000). [`super::judged`] gives suspects with their
//! figures, so the fit can be done again.

use super::calls::ManyCalls;
use super::explain::Explanation;
use super::lost_context::LostContext;
use super::stats::median;

/// Simulated machines are tamer than real ones: nothing is surer than this.
const SUREST: f64 = 0.97;

/// What a suspicion rests on.
#[derive(Clone, Copy, Debug)]
pub struct Strength {
    pub class: Class,
    /// Nats, see `Explanation::evidence`.
    pub evidence: f64,
    /// See `Explanation::share`.
    pub share: f64,
    /// The median excess, in what a service usually takes; 1 of what is no time.
    pub size: f64,
    /// Nats by which a feature tells struck visits from others; 0 where none does.
    pub telling: f64,
}

/// Suspicions of a class err alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// One service is slow, always …
    Always,
    /// … or now and then …
    Rarely,
    /// … or when busy.
    Busy,
    /// One service is slow or fails for some requests that have a value in common …
    Told,
    /// … or that passed another service.
    Passed,
    /// Requests are slow in several services that have something in common.
    Common,
    /// Requests fail in several services that have something in common.
    CommonFailure,
    Failure,
    Gap,
    ManyCalls,
    LostContext,
}

impl Strength {
    /// `peers` is what a service usually takes, in nanoseconds.
    pub fn of(class: Class, found: &Explanation, peers: f64) -> Self {
        let mut excesses: Vec<f64> = found.strikes.iter().map(|strike| strike.excess as f64).collect();
        let size = match median(&mut excesses) {
            0.0 => 1.0,
            excess => excess / peers.max(1.0),
        };
        Self { class, evidence: found.evidence, share: found.share, size, telling: 0.0 }
    }

    /// Calls are counted, not inferred; what is left to doubt is whether they are a fault.
    pub fn of_many_calls(many: &ManyCalls) -> Self {
        Self { class: Class::ManyCalls, evidence: many.visits as f64, share: 1.0, size: 1.0, telling: 0.0 }
    }

    pub fn of_lost_context(lost: &LostContext) -> Self {
        Self { class: Class::LostContext, evidence: lost.matched as f64, share: 1.0, size: 1.0, telling: 0.0 }
    }

    /// 0 to 1.
    pub fn confidence(&self) -> f64 {
        let [base, evidence, share, size, telling] = weights(self.class);
        let log = |nats: f64| nats.max(0.0).ln_1p();
        let sum = base
            + evidence * log(self.evidence)
            + share * self.share
            + size * self.size.max(1e-3).ln()
            + telling * log(self.telling);
        (1.0 / (1.0 + (-sum).exp())).min(SUREST)
    }
}

/// Of 1, the logarithm of the evidence, the share, the logarithm of the size, and the logarithm of what the feature tells.
fn weights(class: Class) -> [f64; 5] {
    match class {
        Class::Always => [-18.3, 1.6, 10.0, 1.9, 0.0],
        Class::Rarely => [-8.87, 1.82, 2.5, 1.54, 0.0],
        Class::Busy => [0.26, 0.0, 3.0, 0.0, 0.0],
        Class::Told => [-10.8, 0.17, 3.0, 0.78, 4.0],
        Class::Passed => [2.36, 0.16, 0.0, 0.0, 0.22],
        Class::Common => [-4.04, 1.37, 0.0, 0.77, 0.0],
        Class::CommonFailure => [5.15, 0.0, 0.0, 0.0, 0.0],
        Class::Failure => [-1.39, 0.94, 3.0, 0.0, 0.0],
        Class::Gap => [-0.02, 0.61, 3.0, 0.0, 0.0],
        Class::ManyCalls => [6.32, 0.0, 0.0, 0.0, 0.0],
        Class::LostContext => [6.48, 0.0, 0.0, 0.0, 0.0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRONG: Strength = Strength { class: Class::Always, evidence: 500.0, share: 1.0, size: 80.0, telling: 0.0 };

    #[test]
    fn the_more_speaks_for_a_suspect_the_surer_it_is() {
        let weaker = [
            Strength { evidence: 1.0, ..STRONG },
            Strength { share: 0.2, ..STRONG },
            Strength { size: 0.5, ..STRONG },
            Strength { class: Class::Rarely, evidence: 5.0, size: 1.0, ..STRONG },
        ];
        for weaker in weaker {
            assert!(weaker.confidence() < STRONG.confidence(), "{weaker:?}");
        }
    }

    #[test]
    fn it_is_a_probability_whatever_the_figures() {
        use Class::{Always, Busy, Common, CommonFailure, Failure, Gap, LostContext, ManyCalls, Passed, Rarely, Told};
        for class in [Always, Rarely, Busy, Told, Passed, Common, CommonFailure, Failure, Gap, ManyCalls, LostContext] {
            for extreme in [-1e9, 0.0, 1e300, f64::INFINITY] {
                let confidence = Strength { class, evidence: extreme, share: 0.5, size: extreme, telling: extreme }.confidence();
                assert!((0.0..=SUREST).contains(&confidence), "{class:?} {extreme}: {confidence}");
            }
        }
    }
}
