//! Virtual time: tasks sleep, and when all of them do, the clock jumps to whoever wakes first.
//!
//! One thread, no waiting: an hour of sleeping takes no longer than the events in it. Tasks that are due at the same moment run in
//! the order in which they went to sleep, so a run is repeatable.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

/// Nanoseconds since the start of the simulation.
#[derive(Debug, Default)]
pub struct Clock {
    now: Cell<u64>,
    sleepers: RefCell<Sleepers>,
}

#[derive(Debug, Default)]
struct Sleepers {
    /// By when they wake, then by who came first; the last number is the place in `wakers`.
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
    count: u64,
}

impl Clock {
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Sleeps until `due`; a moment that has passed is no sleep.
    pub fn until(&self, due: u64) -> Sleep<'_> {
        Sleep { clock: self, due, asleep: false }
    }

    pub fn sleep(&self, nanoseconds: u64) -> Sleep<'_> {
        self.until(self.now() + nanoseconds)
    }

    /// Runs all tasks to their end. Tasks that wait for something that never comes are dropped.
    pub fn run(&self, mut tasks: FuturesUnordered<LocalBoxFuture<'_, ()>>) {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            woken.0.store(false, Ordering::Relaxed);
            match tasks.poll_next_unpin(&mut cx) {
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) => return,
                // It pauses now and then although there is more to do, and then wakes us itself.
                Poll::Pending if woken.0.load(Ordering::Relaxed) => {}
                Poll::Pending => {
                    if !self.advance() {
                        return;
                    }
                }
            }
        }
    }

    fn advance(&self) -> bool {
        let mut sleepers = self.sleepers.borrow_mut();
        let Some(Reverse((due, _, place))) = sleepers.queue.pop() else { return false };
        self.now.set(due);
        sleepers.free.push(place);
        let waker = sleepers.wakers[place].take();
        drop(sleepers);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Sleepers {
    fn add(&mut self, due: u64, waker: Waker) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        });
        self.wakers[place] = Some(waker);
        self.queue.push(Reverse((due, self.count, place)));
        self.count += 1;
    }
}

/// From [`Clock::until`]. It stays inside the task that polled it first.
#[derive(Debug)]
pub struct Sleep<'a> {
    clock: &'a Clock,
    due: u64,
    asleep: bool,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.due {
            return Poll::Ready(());
        }
        if !self.asleep {
            self.asleep = true;
            self.clock.sleepers.borrow_mut().add(self.due, cx.waker().clone());
        }
        Poll::Pending
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn who_is_due_first_wakes_first_however_long_that_is() {
        let clock = Clock::default();
        let seen = RefCell::new(Vec::new());
        let tasks = FuturesUnordered::new();
        for (name, naps) in [("a", [3, 3_600_000_000_000]), ("b", [1, 1]), ("c", [3, 2])] {
            let (clock, seen) = (&clock, &seen);
            let task = async move {
                for nap in naps {
                    clock.sleep(nap).await;
                    seen.borrow_mut().push((name, clock.now()));
                }
            };
            tasks.push(task.boxed_local());
        }
        clock.run(tasks);
        let expected = [("b", 1), ("b", 2), ("a", 3), ("c", 3), ("c", 5), ("a", 3_600_000_000_003)];
        assert_eq!(*seen.borrow(), expected);
    }

    #[test]
    fn a_task_that_waits_for_ever_does_not_hold_up_the_end() {
        let clock = Clock::default();
        let tasks = FuturesUnordered::new();
        tasks.push(std::future::pending().boxed_local());
        tasks.push(clock.sleep(5).boxed_local());
        clock.run(tasks);
        assert_eq!(clock.now(), 5);
    }
}
