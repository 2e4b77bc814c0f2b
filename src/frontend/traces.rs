//! Can a trace be looked at yet? The page links to one only when the trace backend can answer for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use serde::Serialize;
use url::Url;

use super::error::ApiError;
use crate::jaeger::{Api, Client, JaegerError, Settings};

/// Spans wait in batches and queues on their way; a trace that is not there after this long does not come any more.
const YOUNG: Duration = Duration::from_secs(30);
/// So many calls are remembered, at about 60 bytes each.
const REMEMBERED: usize = 65_536;
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// Of a trace so much is read; a longer one is there all the same.
const ENOUGH: usize = 1 << 20;

/// The way to the trace backend, and the calls of the last while.
#[derive(Debug)]
pub(super) struct Traces {
    jaeger: Option<Client>,
    /// The last answer came by the legacy API, which is then asked first.
    legacy: AtomicBool,
    /// Base URL for links, without a slash at its end.
    pub links: Option<String>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    noted: FxHashMap<u128, Noted>,
    /// Oldest first.
    order: VecDeque<u128>,
    /// A trace that is not remembered may be young until then, since young ones had to be forgotten.
    unknown_are_young_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Noted {
    at: Instant,
    sampled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// The link works.
    Ready,
    /// Not there yet.
    Pending,
    /// Not there, and it will not come: evicted since, or not kept by sampling on its way.
    Gone,
    /// The call was not sampled, so that nobody recorded it.
    Unsampled,
    /// The trace backend cannot be asked.
    Unreachable,
}

#[derive(Debug, Serialize)]
pub(super) struct TraceAnswer {
    pub state: State,
    /// Only where it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What the state means, for people.
    pub message: String,
}

impl Traces {
    pub fn new(client: reqwest::Client, jaeger: Option<Url>, links: Option<Url>) -> Self {
        let links = links.as_ref().or(jaeger.as_ref()).map(|url| url.as_str().trim_end_matches('/').to_owned());
        // The page asks again by itself.
        let settings = Settings { answer: ASK_LIMIT, attempts: 1, largest: ENOUGH, ..Settings::default() };
        let jaeger = jaeger.map(|jaeger| Client::with(client, jaeger.as_str(), settings));
        Self { jaeger, legacy: AtomicBool::new(false), links, recent: Mutex::default() }
    }

    /// A call was made.
    pub fn note(&self, trace_id: u128, sampled: bool) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.note(trace_id, Noted { at: Instant::now(), sampled });
    }

    /// # Errors
    /// 400 for what is no trace ID.
    pub async fn state(&self, trace_id: &str) -> Result<TraceAnswer, ApiError> {
        let hexadecimal = trace_id.len() == 32 && trace_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u128::from_str_radix(trace_id, 16).ok().filter(|id| hexadecimal && *id != 0).ok_or_else(|| {
            ApiError::bad_request(format!("{trace_id:.40?} is not a trace ID; one has 32 hexadecimal digits, not all of them 0"))
        })?;
        let (young, sampled) = self.recent.lock().unwrap_or_else(PoisonError::into_inner).recall(id);
        if !sampled {
            return Ok(answer(State::Unsampled, "This call was not sampled, so that no trace of it was recorded."));
        }
        let Some(jaeger) = &self.jaeger else {
            let message = "No trace backend is configured that could be asked; set jaeger to the address of its query API.";
            return Ok(answer(State::Unreachable, message));
        };
        let first = if self.legacy.load(Relaxed) { Api::Legacy } else { Api::V3 };
        let held = jaeger.holds(id, first).await;
        if let Ok((api, _)) = &held {
            self.legacy.store(*api == Api::Legacy, Relaxed);
        }
        Ok(match held {
            Ok((_, true)) => self.ready(id),
            Ok((_, false)) if young => answer(State::Pending, "The trace has not arrived yet."),
            Ok((_, false)) => answer(
                State::Gone,
                "The trace backend does not hold this trace: it was evicted to make room, or not kept by sampling.",
            ),
            Err(error) => answer(State::Unreachable, why(&error)),
        })
    }

    fn ready(&self, id: u128) -> TraceAnswer {
        let url = self.links.as_ref().map(|links| format!("{links}/trace/{id:032x}"));
        TraceAnswer { url, ..answer(State::Ready, "The trace can be looked at.") }
    }
}

/// The errors' own texts are for whoever typed an address.
fn why(error: &JaegerError) -> String {
    match error {
        JaegerError::Unreachable { base, reason } => format!("The trace backend at {base} cannot be reached: {reason}."),
        JaegerError::NotJaeger { base, reason } => format!("What answers at {base} is no Jaeger query API ({reason})."),
        JaegerError::Refused { base, reason, .. } | JaegerError::Garbage { base, reason, .. } => {
            format!("The trace backend at {base} has no answer: {reason}.")
        }
        JaegerError::Slow { base, .. } => format!("The trace backend at {base} does not answer in time."),
    }
}

fn answer(state: State, message: impl Into<String>) -> TraceAnswer {
    TraceAnswer { state, url: None, message: message.into() }
}

impl Recent {
    fn note(&mut self, trace_id: u128, noted: Noted) {
        // Several calls may share a trace that their client began; the newest counts.
        if self.noted.insert(trace_id, noted).is_some() {
            return;
        }
        self.order.push_back(trace_id);
        if self.order.len() > REMEMBERED
            && let Some(forgotten) = self.order.pop_front().and_then(|oldest| self.noted.remove(&oldest))
        {
            self.unknown_are_young_until = Some(forgotten.at + YOUNG);
        }
    }

    /// Is the trace so young that it may still come, and is it sampled at all?
    fn recall(&self, trace_id: u128) -> (bool, bool) {
        match self.noted.get(&trace_id) {
            Some(noted) => (noted.at.elapsed() < YOUNG, noted.sampled),
            None => (self.unknown_are_young_until.is_some_and(|until| Instant::now() < until), true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_young_counts_as_young_for_a_while() {
        let mut recent = Recent::default();
        assert_eq!(recent.recall(7), (false, true), "nobody knows this trace");
        let now = Noted { at: Instant::now(), sampled: true };
        recent.note(1, now);
        recent.note(2, Noted { sampled: false, ..now });
        assert_eq!((recent.recall(1), recent.recall(2)), ((true, true), (true, false)));
        for id in 3..=REMEMBERED as u128 + 1 {
            recent.note(id, now);
        }
        assert_eq!(recent.order.len(), REMEMBERED);
        assert!(!recent.noted.contains_key(&1));
        assert_eq!(recent.recall(1), (true, true));
    }
}
