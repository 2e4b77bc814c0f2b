//! The machine that all services share: what a hop costs on it, and how that grows when it is busy.
//!
//! Work waits for a core, first come, first served. That alone makes calls dearer under load and the start of a run slow, when
//! every caller opens its connection at once.

use std::cell::{Cell, RefCell};

use rand::Rng;
use rand_distr::{Distribution as _, Exp, LogNormal};

/// Times are microseconds. The defaults are those of the real sandbox on two cores that others use too.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// How many things can be worked on at once.
    pub cores: usize,
    /// Work from the start of a client span until the request is in the callee's socket.
    pub send_us: f64,
    /// Work until the callee has read the request and its server span starts.
    pub accept_us: f64,
    /// Work that a service does itself, before and after its delay.
    pub handle_us: f64,
    /// Work from the end of a server span until its answer is read.
    pub reply_us: f64,
    /// Work that each call makes and nobody waits for, such as exporting its spans.
    pub aside_us: f64,
    /// Opening a connection takes so long, one after the other: whoever has one already does not wait behind them.
    pub connect_us: f64,
    /// How late a sleep ends at the median.
    pub late_us: f64,
    /// From one side of a socket to the other, without any work.
    pub wire_us: f64,
    /// All of this scatters so much (standard deviation of the logarithm).
    pub sigma: f64,
    /// After so much work, on average, it is somebody else's turn on a core …
    pub turn_us: f64,
    /// … for so long, on average.
    pub away_us: f64,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            cores: 2,
            send_us: 7.0,
            accept_us: 7.0,
            handle_us: 1.3,
            reply_us: 13.0,
            aside_us: 20.0,
            connect_us: 150.0,
            late_us: 70.0,
            wire_us: 6.0,
            sigma: 0.5,
            turn_us: 2_000.0,
            away_us: 2_500.0,
        }
    }
}

/// A machine at work.
#[derive(Debug)]
pub(super) struct Cores {
    machine: Machine,
    cores: RefCell<Vec<Core>>,
    /// When the last connection that was asked for is open.
    connected: Cell<u64>,
    scatter: LogNormal<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Core {
    /// When it has done what it was given.
    free: u64,
    /// Nanoseconds of work until it is somebody else's turn.
    left: u64,
}

impl Cores {
    pub fn new(machine: &Machine, rng: &mut impl Rng) -> Self {
        let sigma = if machine.sigma.is_finite() { machine.sigma.max(0.0) } else { 0.0 };
        let core = |_| Core { free: 0, left: exponential(machine.turn_us, rng) };
        Self {
            machine: machine.clone(),
            cores: RefCell::new((0..machine.cores.max(1)).map(core).collect()),
            connected: Cell::new(0),
            scatter: LogNormal::new(0.0, sigma).expect("a deviation that is not negative"),
        }
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// When `us` microseconds of work that come up at `now` are done.
    pub fn done(&self, now: u64, us: f64, rng: &mut impl Rng) -> u64 {
        let mut cores = self.cores.borrow_mut();
        let core = cores.iter_mut().min_by_key(|core| core.free).expect("a machine has a core");
        let work = nanoseconds(us * self.scatter.sample(rng));
        let done = now.max(core.free) + work;
        core.free = done;
        match core.left.checked_sub(work) {
            Some(left) => core.left = left,
            None => {
                core.left = exponential(self.machine.turn_us, rng);
                core.free += exponential(self.machine.away_us, rng);
            }
        }
        done
    }

    /// When a connection that is asked for at `now` is open.
    pub fn connected(&self, now: u64, rng: &mut impl Rng) -> u64 {
        let time = self.scattered(self.machine.connect_us, rng);
        self.connected.set(now.max(self.connected.get()) + time);
        self.connected.get()
    }

    /// Work that goes on where something ended, without waiting for a core.
    pub fn scattered(&self, us: f64, rng: &mut impl Rng) -> u64 {
        nanoseconds(us * self.scatter.sample(rng))
    }

    /// How late a sleep ends.
    pub fn late(&self, rng: &mut impl Rng) -> u64 {
        nanoseconds(self.machine.late_us * self.scatter.sample(rng))
    }

    pub fn wire(&self, rng: &mut impl Rng) -> u64 {
        nanoseconds(self.machine.wire_us * self.scatter.sample(rng))
    }
}

pub(super) fn nanoseconds(us: f64) -> u64 {
    // `as` saturates: a time that is no time is none.
    (us * 1e3) as u64
}

/// A mean that makes no sense is taken for never.
fn exponential(mean_us: f64, rng: &mut impl Rng) -> u64 {
    match Exp::new(1.0 / mean_us) {
        Ok(distribution) => nanoseconds(distribution.sample(rng)),
        Err(_) => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn work_waits_for_a_core() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let cores = Cores::new(&Machine { sigma: 0.0, turn_us: f64::INFINITY, ..Machine::default() }, &mut rng);
        let done: Vec<u64> = (0..5).map(|_| cores.done(1_000, 10.0, &mut rng)).collect();
        assert_eq!(done, [11_000, 11_000, 21_000, 21_000, 31_000]);
        assert_eq!(cores.done(50_000, 10.0, &mut rng), 60_000, "idle time is not saved up");
    }

    #[test]
    fn who_works_much_gives_a_core_away_more_often() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let machine = Machine { cores: 1, sigma: 0.0, turn_us: 1_000.0, away_us: 5_000.0, ..Machine::default() };
        let mut held_up = |pause| {
            let cores = Cores::new(&machine, &mut rng);
            let mut now = 0;
            let waits = (0..10_000).filter(|_| {
                let done = cores.done(now, 10.0, &mut rng);
                let waited = done - now > 20_000;
                now = done + pause;
                waited
            });
            waits.count()
        };
        // One in 100 uses the turn up; who pauses longer than the others' turn lasts does not notice.
        assert!((70..130).contains(&held_up(0)));
        assert!(held_up(50_000_000) < 5);
    }
}
