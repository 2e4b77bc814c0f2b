//! The machine that all services share: what a hop costs on it, and how that grows when it is busy.
//!
//! Work waits for a core, first come, first served. That alone makes calls dearer under load and the start of a run slow, when
//! every caller opens its connection at once.

use std::cell::{Cell, RefCell};

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Exp, LogNormal};

/// Times are microseconds. The defaults are those of the real sandbox on two cores; `benches/accuracy` compares them.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// How many things can be worked on at once.
    pub cores: usize,
    /// Work from the start of a client span until the request is in the callee's socket.
    pub send_us: f64,
    /// Work until the callee has read the request and its server span starts.
    pub accept_us: f64,
    /// Work that a service does itself, its delay aside.
    pub handle_us: f64,
    /// Work from the end of a server span until its answer is read.
    pub reply_us: f64,
    /// Additional work where a call opens a connection.
    pub connect_us: f64,
    /// How late a sleep ends at the median.
    pub late_us: f64,
    /// From one side of a socket to the other, without any work.
    pub wire_us: f64,
    /// Work scatters so much (standard deviation of the logarithm).
    pub sigma: f64,
    /// On average after so much time everything stands still …
    pub hiccup_every_us: f64,
    /// … for so long, on average.
    pub hiccup_us: f64,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            cores: 2,
            send_us: 18.0,
            accept_us: 18.0,
            handle_us: 10.0,
            reply_us: 20.0,
            connect_us: 80.0,
            late_us: 70.0,
            wire_us: 15.0,
            sigma: 0.5,
            hiccup_every_us: 200_000.0,
            hiccup_us: 2_000.0,
        }
    }
}

/// A machine at work.
#[derive(Debug)]
pub(super) struct Cores {
    machine: Machine,
    /// When each core has done what it was given.
    free: RefCell<Vec<u64>>,
    next_hiccup: Cell<u64>,
    scatter: LogNormal<f64>,
}

impl Cores {
    pub fn new(machine: &Machine) -> Self {
        let sigma = if machine.sigma.is_finite() { machine.sigma.max(0.0) } else { 0.0 };
        Self {
            machine: machine.clone(),
            free: RefCell::new(vec![0; machine.cores.max(1)]),
            next_hiccup: Cell::new(0),
            scatter: LogNormal::new(0.0, sigma).expect("a deviation that is not negative"),
        }
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// When `us` microseconds of work that come up at `now` are done.
    pub fn done(&self, now: u64, us: f64, rng: &mut impl Rng) -> u64 {
        let mut free = self.free.borrow_mut();
        if now >= self.next_hiccup.get() {
            let first = self.next_hiccup.get() == 0;
            self.next_hiccup.set(now + exponential(self.machine.hiccup_every_us, rng).max(1));
            if !first {
                let length = exponential(self.machine.hiccup_us, rng);
                free.iter_mut().for_each(|free| *free = now.max(*free) + length);
            }
        }
        let first = free.iter_mut().min().expect("a machine has a core");
        let done = now.max(*first) + nanoseconds(us * self.scatter.sample(rng));
        *first = done;
        done
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

fn exponential(mean_us: f64, rng: &mut impl Rng) -> u64 {
    match Exp::new(1.0 / mean_us) {
        Ok(distribution) => nanoseconds(distribution.sample(rng)),
        Err(_) => nanoseconds(rng.random_range(0.0..1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn work_waits_for_a_core() {
        let machine = Machine { sigma: 0.0, hiccup_every_us: 1e12, ..Machine::default() };
        let cores = Cores::new(&machine);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let done: Vec<u64> = (0..5).map(|_| cores.done(1_000, 10.0, &mut rng)).collect();
        assert_eq!(done, [11_000, 11_000, 21_000, 21_000, 31_000]);
        assert_eq!(cores.done(50_000, 10.0, &mut rng), 60_000, "idle time is not saved up");
    }

    #[test]
    fn a_hiccup_holds_up_every_core() {
        let machine = Machine { sigma: 0.0, hiccup_every_us: 1_000.0, hiccup_us: 5_000.0, ..Machine::default() };
        let cores = Cores::new(&machine);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let lengths: Vec<u64> = (0..1_000).map(|n| n * 20_000_000).map(|now| cores.done(now, 1.0, &mut rng) - now).collect();
        let held_up = lengths.iter().filter(|length| **length > 1_000_000).count();
        assert!(held_up > 700, "{held_up} of 1000 pieces of work met a hiccup of more than a millisecond");
    }
}
