//! Mails on their way: a bounded queue that waits for a server that is away, and says once that it does.
//!
//! Each recipient gets a copy of its own, so that one who is refused keeps nobody else from it. What may have arrived is sent again
//! under the same Message-ID rather than lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use lettre::Address;
use lettre::address::Envelope;
use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::Tell;
use super::smtp::{Server, Session, Trouble};
use crate::diagnose::figures;

/// So many copies wait; beyond it the oldest go, since the newest say what is wrong now.
const WAITING: usize = 100;
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A mail to one recipient.
#[derive(Clone, Debug)]
pub struct Copy {
    pub envelope: Envelope,
    pub mail: Arc<[u8]>,
}

impl Copy {
    /// One copy for each recipient.
    ///
    /// # Errors
    /// An address cannot be used in an envelope.
    pub fn all(from: &Address, to: &[Address], mail: Vec<u8>) -> anyhow::Result<Vec<Self>> {
        let mail: Arc<[u8]> = mail.into();
        let copy = |to: &Address| {
            let envelope =
                Envelope::new(Some(from.clone()), vec![to.clone()]).with_context(|| format!("no mail can go to {to}"))?;
            Ok(Self { envelope, mail: mail.clone() })
        };
        to.iter().map(copy).collect()
    }

    fn to(&self) -> String {
        self.envelope.to().iter().map(ToString::to_string).collect()
    }
}

/// Sends what it is given, in a task of its own.
#[derive(Debug)]
pub struct Post {
    sender: mpsc::Sender<Copy>,
    task: JoinHandle<()>,
    waiting: Arc<AtomicUsize>,
    tell: Tell,
}

impl Post {
    /// `retry` is the first pause before something is tried again, `trouble` why nothing could be sent just now.
    pub fn start(server: Server, retry: Duration, tell: Tell, trouble: Option<Trouble>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let waiting = Arc::default();
        let mut queue =
            Queue { server, pause: Pause::new(retry), tell, copies: VecDeque::new(), trouble: None, waiting: Arc::clone(&waiting) };
        if let Some(trouble) = trouble {
            queue.is_kept_by(trouble);
        }
        Self { sender, task: tokio::spawn(queue.run(receiver)), waiting, tell }
    }

    /// Never waits.
    pub fn send(&self, copy: Copy) {
        self.waiting.fetch_add(1, Relaxed);
        if let Err(error) = self.sender.try_send(copy) {
            self.waiting.fetch_sub(1, Relaxed);
            (self.tell)(&format!("warning: {WAITING} mails wait to be queued; one to {} is dropped", error.into_inner().to()));
        }
    }

    /// Tries once more what is left, for no longer than `limit`, and returns how many copies were not sent.
    pub async fn finish(self, limit: Duration) -> usize {
        let Self { sender, mut task, waiting, .. } = self;
        drop(sender);
        if timeout(limit, &mut task).await.is_err() {
            task.abort();
        }
        waiting.load(Relaxed)
    }
}

struct Queue {
    server: Server,
    pause: Pause,
    tell: Tell,
    copies: VecDeque<Copy>,
    /// What keeps mail from being sent; said once.
    trouble: Option<Trouble>,
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    async fn run(mut self, mut receiver: mpsc::Receiver<Copy>) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                copy = receiver.recv() => match copy {
                    Some(copy) => self.take(copy),
                    None => break,
                },
                () = sleep_until(next), if !self.copies.is_empty() => {
                    self.deliver().await;
                    next = Instant::now() + if self.trouble.is_some() { self.pause.next() } else { Duration::ZERO };
                }
            }
        }
        self.deliver().await;
    }

    fn take(&mut self, copy: Copy) {
        if self.copies.len() == WAITING
            && let Some(oldest) = self.copies.pop_front()
        {
            self.waiting.fetch_sub(1, Relaxed);
            (self.tell)(&format!("warning: {WAITING} mails wait already; the oldest, to {}, is dropped", oldest.to()));
        }
        self.copies.push_back(copy);
    }

    async fn deliver(&mut self) {
        match self.try_all().await {
            Ok(sent) => {
                self.pause.reset();
                if self.trouble.take().is_some() {
                    (self.tell)(&format!(
                        "the mail server {} can be used again; {} sent",
                        self.server,
                        figures::counted(sent, "mail")
                    ));
                }
            }
            Err(trouble) => self.is_kept_by(trouble),
        }
    }

    /// Says what keeps mail from being sent, unless it did so already.
    fn is_kept_by(&mut self, trouble: Trouble) {
        let said = self.trouble.replace(trouble.clone());
        if said.is_none_or(|said| std::mem::discriminant(&said) != std::mem::discriminant(&trouble)) {
            (self.tell)(&format!("warning: {trouble}; mail waits and is tried again"));
        }
    }

    /// Sends everything, or stops where the server cannot be used.
    async fn try_all(&mut self) -> Result<u64, Trouble> {
        let server = self.server.clone();
        let (mut open, mut sent): (Option<Session>, u64) = (None, 0);
        while let Some(copy) = self.copies.front() {
            let mut session = match open.take().filter(Session::is_open) {
                Some(session) => session,
                None => server.session().await?,
            };
            match session.send(&copy.envelope, &copy.mail).await {
                Ok(()) => sent += 1,
                Err(refused @ Trouble::Refused { .. }) => {
                    (self.tell)(&format!("warning: {refused}; what was for {} is dropped", copy.to()));
                }
                Err(trouble) => return Err(trouble),
            }
            self.copies.pop_front();
            self.waiting.fetch_sub(1, Relaxed);
            open = Some(session);
        }
        if let Some(session) = open.filter(Session::is_open) {
            session.leave().await;
        }
        Ok(sent)
    }
}

/// Each pause is twice as long as the one before, more or less: many who wait for one server shall not come back together.
#[derive(Clone, Copy, Debug)]
struct Pause {
    first: Duration,
    next: Duration,
}

impl Pause {
    fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    fn reset(&mut self) {
        self.next = self.first;
    }

    fn next(&mut self) -> Duration {
        let pause = self.next.min(LONGEST_PAUSE);
        self.next = pause * 2;
        pause.mul_f64(rand::rng().random_range(0.8..1.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ_a_little() {
        let mut pause = Pause::new(Duration::from_secs(5));
        let pauses: Vec<_> = (0..20).map(|_| pause.next().as_secs_f64()).collect();
        for (at, pause) in pauses.iter().enumerate() {
            let middle = (5.0 * 2_f64.powi(i32::try_from(at).unwrap())).min(300.0);
            assert!((middle * 0.8..middle * 1.2).contains(pause), "{pauses:?}");
        }
        pause.reset();
        assert!(pause.next() < Duration::from_secs(6));
    }
}
