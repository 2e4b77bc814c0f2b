//! From a seed to a mystery: the same seed, cause and topology always give the same one.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use url::Url;

use super::{Answer, Assignment, Cause, Customers, Decoy, Delay, Fault, Impossible, Peers, RedisUse, Spoiled};
use crate::topology::{Route, ServiceName, Topology};

/// Ordinary delays of one service scatter this much (standard deviation of the logarithm): p99 is about 2.5 × the median.
const ORDINARY_SIGMA: f64 = 0.4;
/// The culprit's own sleep scatters little, as a sleep in code does.
const SLEEP_SIGMA: f64 = 0.05;
const RARE: f64 = 0.02;
/// A pool of one holds up so much less than a sleep lasts: the queue before it makes it long.
const QUEUE: f64 = 20.0;
/// However often one press of a button meets the fault, it waits no longer than this for it, or every such press would end at the
/// frontend's limit: given up, not slow.
const LONGEST_PRESS_MS: f64 = 5_000.0;
/// One in so many services has a decoy of each kind, and one in so many has business with Redis.
const SERVICES_A_DECOY: usize = 30;
const SERVICES_A_REDIS_USER: usize = 15;

/// One hidden fault among services with ordinary delays.
#[derive(Clone, Debug, PartialEq)]
pub struct Mystery {
    pub topology: Topology,
    pub cause: Cause,
    /// Where it sits; nobody if nothing is wrong.
    pub culprit: Option<ServiceName>,
    /// Who makes the calls.
    pub customers: Customers,
    fault: Option<Fault>,
    /// Services of this layer suffer from what the culprit spoils.
    spoiled: Option<(u16, Spoiled)>,
    /// Each service's ordinary delay, in the order of [`Topology::services`].
    delays: Vec<Delay>,
    decoys: BTreeMap<ServiceName, Decoy>,
    redis_users: BTreeSet<ServiceName>,
    /// So many keys do they write on every request.
    redis_keys: u32,
}

/// Draws a mystery. `delay_scale` multiplies the ordinary delays and leaves the fault alone.
///
/// # Errors
/// The topology cannot have such a cause. Whether there is a Redis is for the caller to check.
pub fn draw(seed: u64, cause: Cause, topology: Topology, delay_scale: f64) -> Result<Mystery, Impossible> {
    cause.check(topology, true)?;
    // ChaCha8 is the same on every machine and in every release, which `StdRng` does not promise.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let services: Vec<ServiceName> = topology.services().collect();
    // All that is not the fault is drawn first and for everybody, so that it does not depend on who the culprit is.
    let delays = services
        .iter()
        .map(|_| Delay { median_ms: rng.random_range(1.0..10.0), sigma: ORDINARY_SIGMA }.scaled(delay_scale))
        .collect();
    let customers = Customers::draw(&mut rng);
    let decoys = decoys(&mut rng, &services);
    let users = services.len().div_ceil(SERVICES_A_REDIS_USER).max(2);
    let redis_users: BTreeSet<ServiceName> = services.sample(&mut rng, users).copied().collect();
    let redis_keys = rng.random_range(100..300);

    let may_be: Vec<ServiceName> =
        services.iter().copied().filter(|service| may_be(*service, cause, topology, &redis_users)).collect();
    let someone = may_be[rng.random_range(0..may_be.len())];
    let strength = Delay { median_ms: rng.random_range(200.0..900.0), sigma: SLEEP_SIGMA };
    // Each service of the layer before calls it once.
    let strength = at_most(strength, topology.rows(someone.layer.saturating_sub(1)));
    let share = rng.random_range(0.15..0.5);
    let mut spoiled = None;
    let fault = match cause {
        Cause::Sleep => Some(Fault::Sleep { delay: strength }),
        Cause::RareSleep => Some(Fault::RareSleep { delay: strength, share: RARE }),
        Cause::Failure => Some(Fault::Failure { share }),
        Cause::Customer => Some(Fault::Customer { customer: customers.culprit(&mut rng), delay: strength, share: share / 2.0 }),
        Cause::Upstream => {
            let later = rng.random_range(someone.layer + 1..topology.layers);
            // All of a later layer would suffer many times over, from every press alike.
            let layer = if topology.route == Route::All { someone.layer + 1 } else { later };
            let slow = Spoiled::Slow { delay: at_most(strength, topology.rows(someone.layer.max(1))) };
            let how = if rng.random_bool(0.5) { slow } else { Spoiled::Fails };
            spoiled = Some((layer, how));
            Some(Fault::Spoil)
        }
        Cause::Contention => Some(Fault::Contention { hold: strength.scaled(1.0 / QUEUE) }),
        Cause::Redis => Some(Fault::KeyByKey),
        Cause::Network => {
            let number = match topology.route {
                Route::Straight => someone.number,
                Route::Random | Route::All => rng.random_range(0..topology.width),
            };
            Some(Fault::Network { callee: ServiceName { layer: someone.layer + 1, number }, delay: strength })
        }
        Cause::LostContext => Some(Fault::LostContext),
        Cause::None => None,
    };
    let culprit = fault.is_some().then_some(someone);
    Ok(Mystery { topology, cause, culprit, customers, fault, spoiled, delays, decoys, redis_users, redis_keys })
}

/// Whether a service may be the culprit.
fn may_be(service: ServiceName, cause: Cause, topology: Topology, redis_users: &BTreeSet<ServiceName>) -> bool {
    match cause {
        Cause::Upstream | Cause::Network | Cause::LostContext => service.layer + 1 < topology.layers,
        // Further on, a single press calls it so often that it queues without any load.
        Cause::Contention => topology.route != Route::All || service.layer <= 1,
        Cause::Redis => redis_users.contains(&service),
        _ => true,
    }
}

/// A delay that a press waits for `times` times, one after the other.
fn at_most(delay: Delay, times: u32) -> Delay {
    Delay { median_ms: delay.median_ms.min(LONGEST_PRESS_MS / f64::from(times)), ..delay }
}

/// A few services refuse now and then, a few others go on in the background.
fn decoys(rng: &mut impl Rng, services: &[ServiceName]) -> BTreeMap<ServiceName, Decoy> {
    let each = (services.len() / SERVICES_A_DECOY).max(1);
    let chosen: Vec<ServiceName> = services.sample(rng, 2 * each).copied().collect();
    let decoy = |(n, service)| {
        let share = rng.random_range(0.03..0.1);
        let delay = Delay { median_ms: rng.random_range(200.0..900.0), sigma: SLEEP_SIGMA };
        (service, if n % 2 == 0 { Decoy::Refusal { share } } else { Decoy::Background { delay, share } })
    };
    chosen.into_iter().enumerate().map(decoy).collect()
}

impl Mystery {
    /// What `service` is told. `peers` are those of this mystery's topology; with a Redis at `redis`, some services write to it,
    /// whatever the cause, so that its presence tells nothing.
    ///
    /// # Panics
    /// Where the topology does not contain `service`; callers check names before they come here.
    pub fn assignment(&self, service: ServiceName, peers: &Peers, redis: Option<&Url>) -> Assignment {
        assert!(self.topology.contains(service), "{service} is not part of the topology");
        let index = usize::from(service.layer) * usize::from(self.topology.width) + usize::from(service.number);
        let redis = redis.filter(|_| self.redis_users.contains(&service));
        Assignment {
            service,
            delay: self.delays[index],
            route: self.topology.route,
            next: peers.next(service),
            fault: self.fault.clone().filter(|_| self.culprit == Some(service)),
            spoiled: self.spoiled.filter(|(layer, _)| *layer == service.layer).map(|(_, how)| how),
            redis: redis.map(|url| RedisUse { url: url.clone(), keys: self.redis_keys }),
            decoy: self.decoys.get(&service).copied(),
        }
    }

    /// What a right guess names.
    pub fn answer(&self) -> Answer {
        let (callee, customer) = match &self.fault {
            Some(Fault::Network { callee, .. }) => (Some(*callee), None),
            Some(Fault::Customer { customer, .. }) => (None, Some(customer.clone())),
            _ => (None, None),
        };
        Answer { cause: self.cause, service: self.culprit, callee, customer }
    }

    /// Every service that the culprit was drawn from.
    pub fn eligible(&self) -> impl Iterator<Item = ServiceName> {
        self.topology.services().filter(|service| may_be(*service, self.cause, self.topology, &self.redis_users))
    }

    /// What the culprit does wrong; nothing where nothing is wrong.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// So many keys does a service that has business with Redis write on every request.
    pub fn redis_keys(&self) -> u32 {
        self.redis_keys
    }

    /// The layer whose services suffer from what the culprit spoils, and whether they fail; nothing for other causes.
    pub fn suffering(&self) -> Option<(u16, Spoiled)> {
        self.spoiled
    }

    /// Whether its fault strikes requests that say so, where programs that may do anything stand in the place of `replaced`: it sits
    /// in none of them, and some way leads past them to all that shows it.
    pub fn can_be_found_beside(&self, replaced: &BTreeSet<ServiceName>) -> bool {
        let Some(culprit) = self.culprit else { return true };
        let Topology { layers, route, .. } = self.topology;
        let answer = self.answer();
        if replaced.contains(&culprit) || answer.callee.is_some_and(|callee| replaced.contains(&callee)) {
            return false;
        }
        if route == Route::Straight {
            return !replaced.iter().any(|service| service.number == culprit.number);
        }
        let last = match (&self.fault, self.spoiled) {
            (Some(Fault::Network { .. } | Fault::LostContext), _) => culprit.layer + 1,
            (_, Some((layer, _))) => layer,
            _ => culprit.layer,
        };
        (0..layers.min(last + 1)).all(|layer| self.topology.layer(layer).any(|service| !replaced.contains(&service)))
    }

    /// The same mystery with a fault that is `factor` times as strong: delays, shares and keys. For measuring how weak a fault
    /// may be and still be found.
    pub fn with_strength(mut self, factor: f64) -> Self {
        let scale = |share: f64| (share * factor).min(1.0);
        self.fault = self.fault.map(|fault| match fault {
            Fault::Sleep { delay } => Fault::Sleep { delay: delay.scaled(factor) },
            Fault::RareSleep { delay, share } => Fault::RareSleep { delay: delay.scaled(factor), share },
            Fault::Failure { share } => Fault::Failure { share: scale(share) },
            Fault::Customer { customer, delay, share } => {
                Fault::Customer { customer, delay: delay.scaled(factor), share: scale(share) }
            }
            Fault::Contention { hold } => Fault::Contention { hold: hold.scaled(factor) },
            Fault::Network { callee, delay } => Fault::Network { callee, delay: delay.scaled(factor) },
            fault @ (Fault::Spoil | Fault::KeyByKey | Fault::LostContext) => fault,
        });
        if let Some((_, Spoiled::Slow { delay })) = &mut self.spoiled {
            *delay = delay.scaled(factor);
        }
        self.redis_keys = (f64::from(self.redis_keys) * factor).round().max(1.0) as u32;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    use clap::ValueEnum as _;

    use crate::frontend::CALL_LIMIT;
    use crate::topology::FAN_OUT;

    fn topology() -> Topology {
        Topology::new(3, 30, Route::Random).unwrap()
    }

    fn peers() -> Peers {
        Peers::new(topology(), |name| format!("http://{name}")).unwrap()
    }

    fn drawn(seed: u64, cause: Cause) -> Mystery {
        draw(seed, cause, topology(), 1.0).unwrap()
    }

    fn assignments(mystery: &Mystery) -> impl Iterator<Item = Assignment> {
        let redis = Url::parse("redis://127.0.0.1").unwrap();
        mystery.topology.services().map(move |service| mystery.assignment(service, &peers(), Some(&redis)))
    }

    #[test]
    fn the_same_seed_gives_the_same_mystery_and_another_seed_another() {
        for &cause in Cause::value_variants() {
            assert_eq!(drawn(7, cause), drawn(7, cause));
            assert_ne!(drawn(7, cause), drawn(8, cause));
        }
    }

    #[test]
    fn every_service_that_can_be_the_culprit_is_for_some_seed() {
        let culprits = |cause| (0..2_000).filter_map(|seed| drawn(seed, cause).culprit).collect::<HashSet<_>>().len();
        assert_eq!(culprits(Cause::Sleep), 90);
        assert_eq!(culprits(Cause::Redis), 90);
        // Those of the last layer call nobody.
        for cause in [Cause::Network, Cause::LostContext, Cause::Upstream] {
            assert_eq!(culprits(cause), 60, "{cause}");
        }
    }

    #[test]
    fn only_the_culprit_has_a_fault() {
        for &cause in Cause::value_variants() {
            for seed in 0..50 {
                let mystery = drawn(seed, cause);
                let faulty: Vec<_> =
                    assignments(&mystery).filter(|assignment| assignment.fault.is_some()).map(|found| found.service).collect();
                assert_eq!(faulty, Vec::from_iter(mystery.culprit), "{cause}");
                assert_eq!(mystery.culprit.is_none(), cause == Cause::None);
                assert_eq!(mystery.answer().service, mystery.culprit);
            }
        }
    }

    #[test]
    fn a_sleep_adds_200_to_900_ms() {
        for seed in 0..200 {
            let Some(Fault::Sleep { delay }) = drawn(seed, Cause::Sleep).fault else { panic!("no sleep") };
            assert!((200.0..900.0).contains(&delay.median_ms));
        }
    }

    /// Whatever is not the fault is the same whether there is one or not, and whichever.
    #[test]
    fn but_for_the_fault_all_mysteries_of_a_seed_are_alike() {
        for seed in 0..20 {
            let without = |cause| {
                let plain = |assignment| Assignment { fault: None, spoiled: None, ..assignment };
                let mystery = drawn(seed, cause);
                (assignments(&mystery).map(plain).collect::<Vec<_>>(), mystery.customers.clone())
            };
            let none = without(Cause::None);
            for &cause in Cause::value_variants() {
                assert_eq!(without(cause), none, "{cause}");
            }
        }
    }

    #[test]
    fn decoys_are_few_and_the_culprit_is_as_likely_to_be_one_as_anybody() {
        let mut both = 0;
        for seed in 0..2_000 {
            let mystery = drawn(seed, Cause::Sleep);
            assert_eq!(mystery.decoys.len(), 6);
            both += u32::from(mystery.decoys.contains_key(&mystery.culprit.unwrap()));
        }
        // 6 of 90, standard error of 2,000 draws 11.
        assert!((90..180).contains(&both), "{both} of 2000 culprits have a decoy, 133 expected");
    }

    #[test]
    fn what_is_spoilt_is_suffered_from_in_one_later_layer() {
        let (mut slow, mut fails) = (0, 0);
        for seed in 0..100 {
            let mystery = drawn(seed, Cause::Upstream);
            let suffering: Vec<_> = assignments(&mystery).filter(|assignment| assignment.spoiled.is_some()).collect();
            let layer = suffering[0].service.layer;
            assert!(layer > mystery.culprit.unwrap().layer && suffering.len() == 30);
            assert!(suffering.iter().all(|assignment| assignment.service.layer == layer));
            match suffering[0].spoiled {
                Some(Spoiled::Slow { .. }) => slow += 1,
                _ => fails += 1,
            }
        }
        assert!(slow > 20 && fails > 20, "{slow} slow, {fails} fail");
    }

    /// How long a press waits at `service`, in milliseconds: about the longest ordinary delays, and the fault whenever it may strike.
    fn longest(
        mystery: &Mystery,
        peers: &Peers,
        known: &mut HashMap<(ServiceName, bool), f64>,
        (service, spoilt): (ServiceName, bool),
    ) -> f64 {
        let key = (service, spoilt);
        if let Some(&known) = known.get(&key) {
            return known;
        }
        let assignment = mystery.assignment(service, peers, None);
        let scattered = |delay: Delay| delay.median_ms * 1.2;
        let mut own = assignment.delay.median_ms * 1.7;
        let mut slow_way = None;
        match assignment.fault {
            Some(Fault::Sleep { delay } | Fault::RareSleep { delay, .. } | Fault::Customer { delay, .. }) => {
                own += scattered(delay)
            }
            Some(Fault::Contention { hold }) => own += scattered(hold),
            Some(Fault::Network { callee, delay }) => slow_way = Some((callee, scattered(delay))),
            _ => {}
        }
        if let (true, Some(Spoiled::Slow { delay })) = (spoilt, assignment.spoiled) {
            own += scattered(delay);
        }
        let spoilt = spoilt || matches!(assignment.fault, Some(Fault::Spoil));
        let mut call = |callee| {
            longest(mystery, peers, known, (callee, spoilt))
                + slow_way.filter(|(to, _)| *to == callee).map_or(0.0, |(_, delay)| delay)
        };
        let calls: Vec<f64> = assignment.next.iter().map(|peer| call(peer.name)).collect();
        let largest = |calls: &[f64]| calls.iter().copied().fold(0.0, f64::max);
        let total = own
            + match mystery.topology.route {
                Route::All => calls.chunks(FAN_OUT.into()).map(largest).sum(),
                Route::Straight | Route::Random => largest(&calls),
            };
        known.insert(key, total);
        total
    }

    #[test]
    fn the_longest_press_of_every_mystery_ends_before_the_frontend_gives_up() {
        for (layers, width) in [(1, 1), (2, 5), (3, 8), (3, 30), (4, 28), (5, 12), (7, 5)] {
            for &route in Route::value_variants() {
                let topology = Topology::new(layers, width, route).unwrap();
                let peers = Peers::new(topology, |name| format!("http://{name}")).unwrap();
                for &cause in Cause::value_variants() {
                    for seed in 0..4 {
                        let Ok(mystery) = draw(seed, cause, topology, 1.0) else { continue };
                        let mut known = HashMap::new();
                        let press = topology
                            .layer(0)
                            .map(|service| longest(&mystery, &peers, &mut known, (service, false)))
                            .fold(0.0, f64::max);
                        assert!(press < CALL_LIMIT.as_secs_f64() * 1e3, "{press} ms: {cause} {topology:?}, seed {seed}");
                    }
                }
            }
        }
    }

    #[test]
    fn on_route_all_the_layer_after_the_culprit_suffers_and_one_press_alone_makes_no_queue() {
        let topology = Topology::new(4, 9, Route::All).unwrap();
        for seed in 0..100 {
            let mystery = draw(seed, Cause::Upstream, topology, 1.0).unwrap();
            assert_eq!(mystery.suffering().unwrap().0, mystery.culprit.unwrap().layer + 1);
            assert!(draw(seed, Cause::Contention, topology, 1.0).unwrap().culprit.unwrap().layer <= 1);
        }
    }

    #[test]
    fn an_answer_names_what_its_cause_says_it_names() {
        for &cause in Cause::value_variants() {
            let answer = serde_json::to_value(drawn(7, cause).answer()).unwrap();
            let mut named: Vec<_> = answer.as_object().unwrap().keys().filter(|key| *key != "cause").collect();
            let mut names: Vec<_> = cause.names().iter().map(ToString::to_string).collect();
            named.sort();
            names.sort();
            assert_eq!(names.iter().collect::<Vec<_>>(), named, "{cause}");
        }
    }

    #[test]
    fn what_is_replaced_hides_the_faults_in_it_and_those_to_which_no_way_leads_past_it() {
        let dummy = |layer, number| ServiceName { layer, number };
        let open = |cause, route, replaced: &[ServiceName]| {
            let topology = Topology::new(3, 2, route).unwrap();
            let replaced = replaced.iter().copied().collect();
            let open = (0..200).map(|seed| draw(seed, cause, topology, 1.0).unwrap());
            let open = open.filter(|mystery| mystery.can_be_found_beside(&replaced));
            open.flat_map(|mystery| [mystery.answer().service, mystery.answer().callee]).flatten().collect::<BTreeSet<_>>()
        };
        let chain = BTreeSet::from([dummy(0, 1), dummy(1, 1), dummy(2, 1)]);
        assert_eq!(open(Cause::Sleep, Route::Straight, &[dummy(1, 0)]), chain);
        let (others, layer) = (open(Cause::Sleep, Route::Random, &[dummy(1, 0)]), [dummy(1, 0), dummy(1, 1)]);
        assert!(others.len() == 5 && !others.contains(&dummy(1, 0)));
        let before = BTreeSet::from([dummy(0, 0), dummy(0, 1)]);
        assert_eq!(open(Cause::Sleep, Route::All, &layer), before);
        for cause in [Cause::Network, Cause::LostContext, Cause::Upstream] {
            assert_eq!(open(cause, Route::All, &layer), BTreeSet::new(), "{cause}");
        }
        assert!(!open(Cause::Network, Route::Random, &[dummy(1, 0)]).contains(&dummy(1, 0)));
    }

    #[test]
    fn the_answer_names_the_pair_or_the_customer_where_there_is_one() {
        for seed in 0..50 {
            let network = drawn(seed, Cause::Network).answer();
            assert_eq!(network.callee.unwrap().layer, network.service.unwrap().layer + 1);
            let straight = Topology::new(3, 30, Route::Straight).unwrap();
            let network = draw(seed, Cause::Network, straight, 1.0).unwrap().answer();
            assert_eq!(network.callee.unwrap().number, network.service.unwrap().number);
            assert!(drawn(seed, Cause::Customer).answer().customer.unwrap().starts_with("customer-"));
        }
    }

    /// The ordinary delay is no hint: over many seeds the culprit's is distributed as everybody's.
    #[test]
    fn the_culprits_ordinary_delay_is_like_everybody_elses() {
        let medians: Vec<f64> = (0..2_000)
            .map(|seed| {
                let mystery = drawn(seed, Cause::Sleep);
                mystery.assignment(mystery.culprit.unwrap(), &peers(), None).delay.median_ms
            })
            .collect();
        let mean = medians.iter().sum::<f64>() / medians.len() as f64;
        // Uniform between 1 and 10 ms: mean 5.5, standard error of 2,000 draws 0.06.
        assert!((5.3..5.7).contains(&mean), "mean ordinary delay of culprits is {mean} ms");
    }

    #[test]
    fn a_delay_scale_of_zero_leaves_only_the_fault() {
        let mystery = draw(3, Cause::Sleep, topology(), 0.0).unwrap();
        let assignment = mystery.assignment(mystery.culprit.unwrap(), &peers(), None);
        assert_eq!(assignment.delay.median_ms, 0.0);
        assert!(assignment.fault.is_some());
    }

    #[test]
    fn a_small_topology_has_its_mysteries_too() {
        for (layers, width) in [(1, 1), (1, 2), (2, 1), (2, 5)] {
            let topology = Topology::new(layers, width, Route::All).unwrap();
            for &cause in Cause::value_variants() {
                for seed in 0..20 {
                    let possible = cause.check(topology, true);
                    assert_eq!(draw(seed, cause, topology, 1.0).map(|_| ()), possible);
                }
            }
        }
    }
}
