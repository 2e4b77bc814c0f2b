//! Mails on their way: a bounded queue that waits for a server that is away, and says once that it does.
//!
//! Each recipient gets a copy of its own, so that one who is refused keeps nobody else from it,
//! for good or for now. What may have arrived is sent again
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
/// A copy that is refused for now is tried again for so long.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

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
    counts: Arc<Counts>,
    tell: Tell,
}

/// Copies.
#[derive(Debug, Default)]
struct Counts {
    waiting: AtomicUsize,
    sent: AtomicUsize,
    dropped: AtomicUsize,
}

/// How many copies came to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub sent: usize,
    /// Refused, or one too many.
    pub dropped: usize,
    /// Still waiting at the end.
    pub unsent: usize,
}

impl Counts {
    fn drop_one(&self) {
        self.waiting.fetch_sub(1, Relaxed);
        self.dropped.fetch_add(1, Relaxed);
    }
}

impl Post {
    /// `retry` is the first pause before something is tried again, `trouble` why nothing could be sent just now.
    pub fn start(server: Server, retry: Duration, tell: Tell, trouble: Option<Trouble>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let counts = Arc::<Counts>::default();
        let (copies, pause) = (VecDeque::new(), Pause::new(retry));
        let mut queue = Queue { server, pause, tell, copies, trouble: None, doubted: false, counts: Arc::clone(&counts) };
        queue.say_a_doubt();
        if let Some(trouble) = trouble {
            queue.is_kept_by(trouble);
        }
        Self { sender, task: tokio::spawn(queue.run(receiver)), counts, tell }
    }

    /// Never waits.
    pub fn send(&self, copy: Copy) {
        self.counts.waiting.fetch_add(1, Relaxed);
        if let Err(error) = self.sender.try_send(copy) {
            self.counts.drop_one();
            (self.tell)(&format!("warning: {WAITING} mails wait to be queued; one to {} is dropped", error.into_inner().to()));
        }
    }

    /// Tries once more what is left, for no longer than `limit`.
    pub async fn finish(self, limit: Duration) -> Outcome {
        let Self { sender, mut task, counts, .. } = self;
        drop(sender);
        if timeout(limit, &mut task).await.is_err() {
            task.abort();
        }
        let Counts { waiting, sent, dropped } = &*counts;
        Outcome { sent: sent.load(Relaxed), dropped: dropped.load(Relaxed), unsent: waiting.load(Relaxed) }
    }
}

struct Queue {
    server: Server,
    pause: Pause,
    tell: Tell,
    copies: VecDeque<Waiting>,
    /// What keeps mail from being sent; said once.
    trouble: Option<Trouble>,
    /// Said too: the server's certificate is not to be trusted.
    doubted: bool,
    counts: Arc<Counts>,
}

/// A copy in the queue.
struct Waiting {
    copy: Copy,
    /// Not before.
    due: Instant,
    /// When it was refused for now at first, and how long it pauses then.
    refused: Option<(Instant, Pause)>,
}

impl Waiting {
    /// Refused for now: it is tried later, unless it was so for too long, which is false.
    fn comes_again(&mut self, now: Instant, pause: Pause) -> bool {
        let (since, pause) = self.refused.get_or_insert((now, Pause::new(pause.first)));
        self.due = now + pause.next();
        now.duration_since(*since) < PATIENCE
    }
}

impl Queue {
    async fn run(mut self, mut receiver: mpsc::Receiver<Copy>) {
        let mut next = Instant::now();
        loop {
            let due = self.copies.iter().map(|waiting| waiting.due).min().map_or(next, |due| due.max(next));
            tokio::select! {
                copy = receiver.recv() => match copy {
                    Some(copy) => self.take(copy),
                    None => break,
                },
                () = sleep_until(due), if !self.copies.is_empty() => {
                    self.deliver(Some(Instant::now())).await;
                    next = Instant::now() + if self.trouble.is_some() { self.pause.next() } else { Duration::ZERO };
                }
            }
        }
        self.deliver(None).await;
    }

    fn take(&mut self, copy: Copy) {
        if self.copies.len() == WAITING
            && let Some(oldest) = self.copies.pop_front()
        {
            self.counts.drop_one();
            (self.tell)(&format!("warning: {WAITING} mails wait already; the oldest, to {}, is dropped", oldest.copy.to()));
        }
        self.copies.push_back(Waiting { copy, due: Instant::now(), refused: None });
    }

    /// Sends what is due, or all of it.
    async fn deliver(&mut self, due: Option<Instant>) {
        // A server that is not asked says nothing of whether it can be used.
        if self.copies.is_empty() {
            return;
        }
        let tried = self.try_all(due).await;
        self.say_a_doubt();
        match tried {
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

    fn say_a_doubt(&mut self) {
        if let Some(doubt) = self.server.doubt()
            && !std::mem::replace(&mut self.doubted, true)
        {
            (self.tell)(&format!("warning: mail goes to {} encrypted, but to whom is not sure: {doubt}", self.server));
        }
    }

    /// Says what keeps mail from being sent, unless it did so already.
    fn is_kept_by(&mut self, trouble: Trouble) {
        let said = self.trouble.replace(trouble.clone());
        if said.is_none_or(|said| std::mem::discriminant(&said) != std::mem::discriminant(&trouble)) {
            (self.tell)(&format!("warning: {trouble}; mail waits and is tried again"));
        }
    }

    /// Stops where the server cannot be used.
    async fn try_all(&mut self, due: Option<Instant>) -> Result<u64, Trouble> {
        let server = self.server.clone();
        let (mut open, mut sent, mut at): (Option<Session>, u64, usize) = (None, 0, 0);
        while let Some(waiting) = self.copies.get_mut(at) {
            if due.is_some_and(|due| waiting.due > due) {
                at += 1;
                continue;
            }
            let mut session = match open.take().filter(Session::is_open) {
                Some(session) => session,
                None => server.session().await?,
            };
            let Copy { envelope, mail } = &waiting.copy;
            match session.send(envelope, mail).await {
                Ok(()) => {
                    sent += 1;
                    self.counts.waiting.fetch_sub(1, Relaxed);
                    self.counts.sent.fetch_add(1, Relaxed);
                    if waiting.refused.is_some() {
                        (self.tell)(&format!("the mail server {server} has taken what waited for {}", waiting.copy.to()));
                    }
                }
                Err(later @ Trouble::Later { .. }) => {
                    let (first, to) = (waiting.refused.is_none(), waiting.copy.to());
                    if waiting.comes_again(Instant::now(), self.pause) {
                        if first {
                            (self.tell)(&format!("warning: {later}; what is for {to} waits and is tried again"));
                        }
                        at += 1;
                        open = Some(session);
                        continue;
                    }
                    let hours = PATIENCE.as_secs() / 3600;
                    (self.tell)(&format!("warning: {later}; it has done so for {hours} hours, and what was for {to} is dropped"));
                    self.counts.drop_one();
                }
                Err(refused @ Trouble::Refused { .. }) => {
                    (self.tell)(&format!("warning: {refused}; what was for {} is dropped", waiting.copy.to()));
                    self.counts.drop_one();
                }
                Err(trouble) => return Err(trouble),
            }
            self.copies.remove(at);
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

    #[test]
    fn who_is_refused_for_now_is_tried_for_four_hours_and_then_dropped() {
        let address: Address = "you@example.com".parse().unwrap();
        let copy = Copy::all(&address, std::slice::from_ref(&address), Vec::new()).unwrap().remove(0);
        let (start, pause) = (Instant::now(), Pause::new(Duration::from_secs(5)));
        let mut waiting = Waiting { copy, due: start, refused: None };
        let (mut now, mut tries) = (start, 0);
        while waiting.comes_again(now, pause) {
            assert!(waiting.due > now && waiting.due - now <= LONGEST_PAUSE.mul_f64(1.2));
            (now, tries) = (waiting.due, tries + 1);
        }
        assert!(now - start >= PATIENCE && now - start < PATIENCE + LONGEST_PAUSE * 2);
        assert!((40..80).contains(&tries), "{tries}");
    }
}
