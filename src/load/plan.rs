//! What a run shall do, and which plans make no sense.

use std::fmt::Write as _;

use reqwest::header::HeaderValue;

/// More calls than this in one run are a mistake in a flag; a longer test is several runs.
pub const MAX_CALLS: u64 = 1_000_000;
/// Every call in flight holds a socket here and one in the frontend.
pub const MAX_CONCURRENCY: usize = 1_000;
/// Calls per second that one process cannot reach anyway.
pub const MAX_RATE: f64 = 100_000.0;
/// What W3C baggage must at least be able to carry is 8192 bytes; a few entries of our own have room beside these.
pub const MAX_BAGGAGE_BYTES: usize = 4_096;
const MAX_CLIENT_LENGTH: usize = 64;

/// One run: how many calls, through which buttons, how fast.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// 1 to [`MAX_CALLS`].
    pub calls: u64,
    /// Calls in flight at once, 1 to [`MAX_CONCURRENCY`].
    pub concurrency: usize,
    /// Calls per second. With a rate the loop is open: calls start when they are due, however slow the answers are, and
    /// latency counts from that moment. Without one each caller starts its next call when its last one is answered.
    pub rate: Option<f64>,
    /// Pressed in turn; none means all that the frontend has.
    pub buttons: Vec<u16>,
    /// Sent along with every call, as W3C baggage.
    pub baggage: Vec<(String, String)>,
    /// Call n carries the baggage `client=<client>-<n>`, counted from 1.
    pub client: String,
}

/// A plan that nobody can run; the text names the setting and its range.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PlanError {
    #[error("calls is {0}; it must be between 1 and {MAX_CALLS}")]
    Calls(u64),
    #[error("concurrency is {0}; it must be between 1 and {MAX_CONCURRENCY}")]
    Concurrency(usize),
    #[error("rate is {0} calls per second; it must be above 0 and at most {MAX_RATE}")]
    Rate(f64),
    #[error("there is no button {button}; the buttons are 0 to {last}")]
    Button { button: u16, last: u16 },
    #[error("button {0} is named twice; name each button once, calls go to them in turn")]
    Twice(u16),
    #[error("{0:?} cannot be a baggage key; letters, digits and !#$%&'*+-.^_`|~ can")]
    BaggageKey(String),
    #[error("the baggage key \"client\" is set by the run itself, as <client>-<number of the call>; name another key")]
    ClientKey,
    #[error("the baggage is {0} bytes long; at most {MAX_BAGGAGE_BYTES} are possible")]
    BaggageLength(usize),
    #[error("client is {0:?}; it must be 1 to {MAX_CLIENT_LENGTH} letters, digits, \"-\", \"_\" or \".\"")]
    Client(String),
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            calls: 10_000,
            concurrency: 100,
            rate: None,
            buttons: Vec::new(),
            baggage: Vec::new(),
            client: format!("load{:04}", rand::random_range(0..10_000)),
        }
    }
}

impl Plan {
    /// Is it a plan for a frontend with the buttons 0 to `buttons - 1`?
    pub fn check(&self, buttons: u16) -> Result<(), PlanError> {
        if !(1..=MAX_CALLS).contains(&self.calls) {
            return Err(PlanError::Calls(self.calls));
        }
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            return Err(PlanError::Concurrency(self.concurrency));
        }
        if let Some(rate) = self.rate.filter(|rate| !(*rate > 0.0 && *rate <= MAX_RATE)) {
            return Err(PlanError::Rate(rate));
        }
        let mut seen = vec![false; usize::from(buttons)];
        for &button in &self.buttons {
            match seen.get_mut(usize::from(button)) {
                None => return Err(PlanError::Button { button, last: buttons.saturating_sub(1) }),
                Some(true) => return Err(PlanError::Twice(button)),
                Some(unseen) => *unseen = true,
            }
        }
        for (key, _) in &self.baggage {
            if key == "client" {
                return Err(PlanError::ClientKey);
            }
            if key.is_empty() || !key.bytes().all(is_token) {
                return Err(PlanError::BaggageKey(key.clone()));
            }
        }
        let length = self.baggage_tail().len();
        if length > MAX_BAGGAGE_BYTES {
            return Err(PlanError::BaggageLength(length));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=MAX_CLIENT_LENGTH).contains(&self.client.len()) || !self.client.bytes().all(plain) {
            return Err(PlanError::Client(self.client.clone()));
        }
        Ok(())
    }

    /// The `baggage` header of every call, but for the client's number that stands before it: `,tier=gold,…`.
    pub(super) fn baggage_tail(&self) -> String {
        self.baggage.iter().fold(String::new(), |mut tail, (key, value)| {
            let _ = write!(tail, ",{key}={}", percent_encoded(value));
            tail
        })
    }
}

/// The `baggage` header of call `number`.
pub(super) fn baggage(client: &str, number: u64, tail: &str) -> HeaderValue {
    HeaderValue::try_from(format!("client={client}-{number}{tail}")).expect("a checked plan holds visible ASCII only")
}

/// What HTTP calls a token (RFC 9110, 5.6.2), which W3C baggage asks of a key.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Everything outside W3C's baggage octets, and the percent sign itself, as `%XX` of its UTF-8 bytes. The plus as well: who reads
/// Jaeger's header takes it for a space.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && !b"\",;\\%+".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { client: "ab12".into(), ..Plan::default() }
    }

    #[test]
    fn an_absurd_plan_is_told_what_is_possible() {
        let cases = [
            (Plan { calls: 0, ..plan() }, "calls is 0; it must be between 1 and 1000000"),
            (Plan { calls: 1_000_001, ..plan() }, "calls is 1000001; it must be between 1 and 1000000"),
            (Plan { concurrency: 0, ..plan() }, "concurrency is 0; it must be between 1 and 1000"),
            (Plan { rate: Some(-1.0), ..plan() }, "rate is -1 calls per second; it must be above 0 and at most 100000"),
            (Plan { rate: Some(f64::NAN), ..plan() }, "rate is NaN calls per second; it must be above 0 and at most 100000"),
            (Plan { buttons: vec![3, 30], ..plan() }, "there is no button 30; the buttons are 0 to 29"),
            (Plan { buttons: vec![3, 3], ..plan() }, "button 3 is named twice; name each button once, calls go to them in turn"),
            (
                Plan { client: "a b".into(), ..plan() },
                "client is \"a b\"; it must be 1 to 64 letters, digits, \"-\", \"_\" or \".\"",
            ),
        ];
        for (plan, says) in cases {
            assert_eq!(plan.check(30).unwrap_err().to_string(), says);
        }
        assert_eq!(plan().check(30), Ok(()));
        let key = Plan { baggage: vec![("my key".into(), String::new())], ..plan() };
        assert_eq!(key.check(30), Err(PlanError::BaggageKey("my key".into())));
        let client = Plan { baggage: vec![("client".into(), "me".into())], ..plan() };
        assert_eq!(client.check(30), Err(PlanError::ClientKey));
        let long = Plan { baggage: vec![("tier".into(), "x".repeat(5_000))], ..plan() };
        assert_eq!(long.check(30), Err(PlanError::BaggageLength(5_006)));
    }

    #[test]
    fn baggage_values_of_any_text_fit_into_the_header() {
        let plan = Plan { baggage: vec![("tier".into(), "gold".into()), ("who".into(), "Zoë, 100%+\n".into())], ..plan() };
        plan.check(30).unwrap();
        let header = baggage(&plan.client, 7, &plan.baggage_tail());
        assert_eq!(header, "client=ab12-7,tier=gold,who=Zo%C3%AB%2C%20100%25%2B%0A");
    }
}
