//! One aggregator, second by second: what is lost first in a burst, or when nobody takes what it sends.
//!
//! Arrivals are Poisson's, drawn from a seed. Policies are token buckets, queues are bytes, and a batch of the share is given up when it
//! has been tried for too long. That spans of one trace come at different times, that a batch which is taken takes a while, and that agents
//! send again is left out. What the fluid model says (rates times times, nothing
//! drawn) is computed beside it.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Poisson};

use super::kept::Kept;
use super::limits::{Limits, Policy};
use super::measured::Measured;
use super::rates;

/// The same seed, the same arrivals.
pub const SEED: u64 = 20_190_401;

/// What is told apart when it is lost, in the order in which it should be.
pub const CLASSES: [&str; 4] = ["share", "slow", "errors", "everything alike"];

/// What an aggregator lives with.
#[derive(Clone, Copy)]
pub struct World<'a> {
    pub limits: &'a Limits,
    pub measured: &'a Measured,
    pub kept: Kept,
    /// Of a press.
    pub spans: f64,
}

/// Presses a second to all aggregators, for some seconds.
#[derive(Clone, Copy, Debug)]
pub struct Phase {
    pub presses: f64,
    pub seconds: u32,
    /// Whether collectors take what is sent.
    pub taken: bool,
}

/// Of each of [`CLASSES`]: traces that were wanted, those of them that were lost, and when the first was, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fate {
    pub wanted: f64,
    pub lost: f64,
    pub first: Option<u32>,
}

impl Fate {
    pub fn part(self) -> f64 {
        if self.wanted > 0.0 { self.lost / self.wanted } else { 0.0 }
    }

    fn note(&mut self, wanted: f64, lost: f64, second: u32) {
        self.wanted += wanted;
        self.lost += lost;
        if lost > 0.0 {
            self.first.get_or_insert(second);
        }
    }
}

impl World<'_> {
    /// What becomes of a third of the presses (as many parts as there are aggregators) at one of them.
    pub fn simulate(&self, phases: &[Phase]) -> [Fate; 4] {
        let limits = self.limits;
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut draw = |mean: f64| Poisson::new(mean).map_or(0.0, |poisson| poisson.sample(&mut rng));
        let mut buckets = [&limits.share, &limits.slow, &limits.errors].map(Bucket::full);
        let mut jam = Jam::default();
        let wait = limits.decision_wait.value as usize;
        let mut waiting = std::collections::VecDeque::from(vec![[0.0; 3]; wait]);
        let mut fates = [Fate::default(); 4];
        let seconds = phases.iter().flat_map(|phase| std::iter::repeat_n(phase, phase.seconds as usize));
        let quiet = Phase { presses: 0.0, seconds: 0, taken: phases.last().is_none_or(|phase| phase.taken) };
        // What came last is decided too.
        let seconds = seconds.copied().chain(std::iter::repeat_n(quiet, wait));
        for (second, phase) in (0..).zip(seconds) {
            let presses = phase.presses / limits.aggregators.value;
            let kept = self.kept;
            let share = kept.ordinary() * limits.share_part.value;
            let mut arrived = [share, kept.slow, kept.failed].map(|part| draw(presses * part));
            let others = draw(presses * (kept.ordinary() - share));

            let undecided: f64 = waiting.iter().flatten().sum::<f64>() / self.wanted();
            let held = undecided * self.spans * rates::SPAN_IN_MEMORY.value + jam.bytes(self);
            let come = arrived.iter().sum::<f64>() + others;
            let room = (limits.aggregator_memory.value - held).max(0.0) / (self.spans * rates::SPAN_IN_MEMORY.value);
            let taken = if come > 0.0 { (room / come).min(1.0) } else { 1.0 };
            fates[3].note(come, come * (1.0 - taken), second);
            arrived = arrived.map(|count| count * taken);

            waiting.push_back(arrived);
            let decided = waiting.pop_front().unwrap_or_default();
            let mut sent = [0.0; 3];
            for ((count, bucket), (fate, sent)) in decided.iter().zip(&mut buckets).zip(fates.iter_mut().zip(&mut sent)) {
                *sent = bucket.take(*count, self.spans);
                fate.note(*count, count - *sent, second);
            }
            if phase.taken {
                jam = Jam::default();
            } else {
                let lost = jam.second(sent, self, second);
                for (fate, lost) in fates.iter_mut().zip(lost) {
                    fate.note(0.0, lost, second);
                }
            }
        }
        fates
    }

    /// Of a trace in a queue.
    fn bytes(&self) -> f64 {
        self.spans * self.measured.batched
    }

    /// Of presses, the part that some policy wants.
    fn wanted(&self) -> f64 {
        self.kept.failed + self.kept.slow + self.kept.ordinary() * self.limits.share_part.value
    }

    /// Presses a second, to all aggregators and for good, above which one of [`CLASSES`] is lost: by arithmetic.
    pub fn most(&self, class: usize) -> f64 {
        let limits = self.limits;
        let by = |policy: &Policy, part: f64| policy.rate.value / (part * self.spans);
        let each = match class {
            0 => by(&limits.share, self.kept.ordinary() * limits.share_part.value),
            1 => by(&limits.slow, self.kept.slow),
            2 => by(&limits.errors, self.kept.failed),
            _ => limits.aggregator_memory.value / (limits.decision_wait.value * self.spans * rates::SPAN_IN_MEMORY.value),
        };
        each * limits.aggregators.value
    }

    /// The same by simulation: where a hundredth of it is lost in the ten minutes after the buckets have run dry. None where it never is,
    /// because memory is full before.
    pub fn most_simulated(&self, class: usize) -> Option<f64> {
        let loses = |presses: f64| {
            let phase = |seconds| Phase { presses, seconds, taken: true };
            let (before, after) = (self.simulate(&[phase(600)])[class], self.simulate(&[phase(1_200)])[class]);
            (after.lost - before.lost) / (after.wanted - before.wanted).max(1.0) > 0.01
        };
        let (mut low, mut high) = (1.0, 1.2 * self.most(3));
        if !loses(high) {
            return None;
        }
        while high / low > 1.01 {
            let middle = f64::sqrt(low * high);
            if loses(middle) { high = middle } else { low = middle }
        }
        Some(low)
    }

    /// The part of a class that a burst of `presses` a second for `seconds` loses to its policy: by arithmetic, with full buckets.
    pub fn lost_in(&self, class: usize, presses: f64, seconds: f64) -> f64 {
        let limits = self.limits;
        let (policy, part) = match class {
            0 => (&limits.share, self.kept.ordinary() * limits.share_part.value),
            1 => (&limits.slow, self.kept.slow),
            _ => (&limits.errors, self.kept.failed),
        };
        let wanted = presses / limits.aggregators.value * part * self.spans * seconds;
        (1.0 - (policy.burst.value + policy.rate.value * seconds) / wanted).max(0.0)
    }

    /// Seconds until the first of a class is lost, when nobody takes anything: by arithmetic. The share's first batch is given up before its
    /// queue is full, or not.
    pub fn jam_lasts(&self, class: usize, presses: f64) -> f64 {
        let limits = self.limits;
        let patience = if class == 0 && self.kept.ordinary() > 0.0 { limits.share_patience.value } else { f64::INFINITY };
        limits.decision_wait.value + self.queue_lasts(class, presses).min(patience)
    }

    /// Seconds after which the queue of a class is full.
    fn queue_lasts(&self, class: usize, presses: f64) -> f64 {
        let limits = self.limits;
        let spans = |part: f64, policy: &Policy| (presses / limits.aggregators.value * part * self.spans).min(policy.rate.value);
        let (queue, spans) = match class {
            0 => (&limits.share_queue, spans(self.kept.ordinary() * limits.share_part.value, &limits.share)),
            _ => (&limits.causes_queue, spans(self.kept.slow, &limits.slow) + spans(self.kept.failed, &limits.errors)),
        };
        queue.value / (spans * self.measured.batched)
    }
}

/// Traces that nobody takes, by their classes.
#[derive(Default)]
struct Jam {
    /// Of the share: in its queue, and in batches that are being tried, each with the second in which it is given up.
    share: f64,
    tried: Vec<(u32, f64)>,
    causes: f64,
}

impl Jam {
    fn bytes(&self, world: &World<'_>) -> f64 {
        (self.held() + self.causes) * world.bytes()
    }

    fn held(&self) -> f64 {
        self.share + self.tried.iter().map(|(_, traces)| traces).sum::<f64>()
    }

    /// What is lost of what comes, of each class.
    fn second(&mut self, come: [f64; 3], world: &World<'_>, second: u32) -> [f64; 3] {
        let limits = world.limits;
        let given_up: f64 = self.tried.extract_if(.., |(until, _)| *until <= second).map(|(_, traces)| traces).sum();
        let part = |come: f64, held: f64, queue: f64| {
            let room = (queue / world.bytes() - held).max(0.0);
            if come > room { 1.0 - room / come } else { 0.0 }
        };
        let share_lost = part(come[0], self.held(), limits.share_queue.value);
        self.share += come[0] * (1.0 - share_lost);
        while self.share > 0.0 && (self.tried.len() as f64) < limits.senders.value {
            let batch = self.share.min(limits.batch_max.value / world.bytes());
            self.share -= batch;
            self.tried.push((second + limits.share_patience.value as u32, batch));
        }
        let causes = come[1] + come[2];
        let causes_lost = part(causes, self.causes, limits.causes_queue.value);
        self.causes += causes * (1.0 - causes_lost);
        [come[0] * share_lost + given_up, come[1] * causes_lost, come[2] * causes_lost]
    }
}

/// Spans that a policy may keep.
struct Bucket {
    spans: f64,
    rate: f64,
    most: f64,
}

impl Bucket {
    fn full(policy: &Policy) -> Self {
        Self { spans: policy.burst.value, rate: policy.rate.value, most: policy.burst.value }
    }

    /// A second later: as many whole traces of `count` as there is room for.
    fn take(&mut self, count: f64, spans: f64) -> f64 {
        self.spans = (self.spans + self.rate).min(self.most);
        let taken = count.min((self.spans / spans).floor());
        self.spans -= taken * spans;
        taken
    }
}
