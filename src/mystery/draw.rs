//! From a seed to a mystery: the same seed, cause and topology always give the same one.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Answer, Assignment, Cause, Delay, Fault, Peers};
use crate::topology::{ServiceName, Topology};

/// Ordinary delays of one service scatter this much (standard deviation of the logarithm): p99 is about 2.5 × the median.
const ORDINARY_SIGMA: f64 = 0.4;
/// The culprit's own sleep scatters little, as a sleep in code does.
const SLEEP_SIGMA: f64 = 0.05;

/// One hidden fault among services with ordinary delays.
#[derive(Clone, Debug, PartialEq)]
pub struct Mystery {
    pub topology: Topology,
    pub cause: Cause,
    /// Where it sits; nobody if nothing is wrong.
    pub culprit: Option<ServiceName>,
    fault: Option<Fault>,
    /// Each service's ordinary delay, in the order of [`Topology::services`].
    delays: Vec<Delay>,
}

/// Draws a mystery. `delay_scale` multiplies the ordinary delays and leaves the fault alone.
pub fn draw(seed: u64, cause: Cause, topology: Topology, delay_scale: f64) -> Mystery {
    // ChaCha8 is the same on every machine and in every release, which `StdRng` does not promise.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let services: Vec<ServiceName> = topology.services().collect();
    // The delays are drawn first and for everybody, so that they do not depend on who the culprit is.
    let delays = services
        .iter()
        .map(|_| Delay { median_ms: rng.random_range(1.0..10.0), sigma: ORDINARY_SIGMA }.scaled(delay_scale))
        .collect();
    let someone = services[rng.random_range(0..services.len())];
    let strength_ms = rng.random_range(200.0..900.0);
    let (culprit, fault) = match cause {
        Cause::Sleep => {
            let delay = Delay { median_ms: strength_ms, sigma: SLEEP_SIGMA };
            (Some(someone), Some(Fault::Sleep { delay }))
        }
        Cause::None => (None, None),
    };
    Mystery { topology, cause, culprit, fault, delays }
}

impl Mystery {
    /// What `service` is told. `peers` are those of this mystery's topology.
    ///
    /// # Panics
    /// Where the topology does not contain `service`; callers check names before they come here.
    pub fn assignment(&self, service: ServiceName, peers: &Peers) -> Assignment {
        assert!(self.topology.contains(service), "{service} is not part of the topology");
        let index = usize::from(service.layer) * usize::from(self.topology.width) + usize::from(service.number);
        Assignment {
            service,
            delay: self.delays[index],
            route: self.topology.route,
            next: peers.next(service),
            fault: self.fault.filter(|_| self.culprit == Some(service)),
        }
    }

    /// What a right guess names.
    pub fn answer(&self) -> Answer {
        Answer { cause: self.cause, service: self.culprit, callee: None, customer: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Route;
    use std::collections::HashSet;

    fn topology() -> Topology {
        Topology::new(3, 30, Route::Straight).unwrap()
    }

    fn peers() -> Peers {
        Peers::new(topology(), |name| format!("http://{name}")).unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_mystery_and_another_seed_another() {
        let one = draw(7, Cause::Sleep, topology(), 1.0);
        assert_eq!(one, draw(7, Cause::Sleep, topology(), 1.0));
        assert_ne!(one, draw(8, Cause::Sleep, topology(), 1.0));
    }

    #[test]
    fn every_one_of_the_90_services_is_the_culprit_for_some_seed() {
        let culprits: HashSet<_> = (0..2_000).filter_map(|seed| draw(seed, Cause::Sleep, topology(), 1.0).culprit).collect();
        assert_eq!(culprits.len(), 90);
    }

    #[test]
    fn only_the_culprit_has_a_fault_and_it_adds_200_to_900_ms() {
        for seed in 0..200 {
            let mystery = draw(seed, Cause::Sleep, topology(), 1.0);
            let faulty: Vec<_> = topology()
                .services()
                .map(|service| mystery.assignment(service, &peers()))
                .filter_map(|assignment| assignment.fault.map(|fault| (assignment.service, fault)))
                .collect();
            let [(service, Fault::Sleep { delay })] = faulty[..] else { panic!("{faulty:?}") };
            assert_eq!(Some(service), mystery.culprit);
            assert!((200.0..900.0).contains(&delay.median_ms));
        }
    }

    /// The ordinary delay is no hint: over many seeds the culprit's is distributed as everybody's.
    #[test]
    fn the_culprits_ordinary_delay_is_like_everybody_elses() {
        let medians: Vec<f64> = (0..2_000)
            .map(|seed| {
                let mystery = draw(seed, Cause::Sleep, topology(), 1.0);
                mystery.assignment(mystery.culprit.unwrap(), &peers()).delay.median_ms
            })
            .collect();
        let mean = medians.iter().sum::<f64>() / medians.len() as f64;
        // Uniform between 1 and 10 ms: mean 5.5, standard error of 2,000 draws 0.06.
        assert!((5.3..5.7).contains(&mean), "mean ordinary delay of culprits is {mean} ms");
    }

    #[test]
    fn a_delay_scale_of_zero_leaves_only_the_fault() {
        let mystery = draw(3, Cause::Sleep, topology(), 0.0);
        let assignment = mystery.assignment(mystery.culprit.unwrap(), &peers());
        assert_eq!(assignment.delay.median_ms, 0.0);
        assert!(assignment.fault.is_some());
    }
}
