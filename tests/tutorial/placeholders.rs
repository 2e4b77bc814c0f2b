//! What a reader replaces in a command: words in capitals.

#![allow(dead_code, reason = "the bench that includes this uses a part of it")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracelab::diagnose::model::Builder;
use tracelab::jaeger::{Client, Settings, Wanted};
use tracelab::learn::Evidence;

/// The last trace whose id was printed.
pub const TRACE: &str = "TRACE";
/// The service whose self time is the longest in it.
pub const LONGEST: &str = "LONGEST";
/// All of them; those without a constant are what `reveal` tells.
const ALL: [&str; 5] = [TRACE, LONGEST, "SERVICE", "CALLEE", "CUSTOMER"];

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

pub type Filled = BTreeMap<&'static str, String>;

/// Those that a command has.
pub fn wanted(command: &str) -> Vec<&'static str> {
    let words: Vec<_> = words(command).collect();
    ALL.into_iter().filter(|name| words.contains(name)).collect()
}

pub fn fill(command: &str, filled: &Filled) -> String {
    words(command).map(|word| filled.get(word).map_or(word, String::as_str)).collect()
}

/// Something of the right kind for each, for a command that is not run.
pub fn like() -> Filled {
    let values = ["0af7651916cd43dd8448eb211c80319c", "dummy-1-17", "dummy-1-17", "dummy-2-17", "customer-7"];
    ALL.into_iter().zip(values.map(str::to_owned)).collect()
}

/// Words, and what is between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let is_word = |sign: char| sign.is_alphanumeric() || sign == '_';
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest.find(|sign| is_word(sign) != is_word(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// The last id of a trace in a text.
pub fn last_trace(text: &str) -> Option<String> {
    let id = |word: &&str| word.len() == 32 && word.bytes().all(|sign| sign.is_ascii_digit() || (b'a'..=b'f').contains(&sign));
    words(text).filter(id).last().map(str::to_owned)
}

/// The service whose self time is the longest in a trace that `jaeger` has, as soon as all of it is there.
pub fn longest(jaeger: &str, trace: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (start, mut before) = (Instant::now(), 0);
    loop {
        let evidence = runtime.block_on(evidence(jaeger))?;
        let spans = evidence.trace(trace).map_or(0, |trace| trace.spans().count());
        let whole = evidence.trace(trace).filter(|trace| trace.roots().next().is_some() && spans == before);
        if let Some(trace) = whole {
            let longest = trace.self_ms_by_service().first().map(|(service, _)| (*service).to_owned());
            return longest.ok_or(format!("trace {} is empty", trace.id()));
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("trace {trace} is not whole at {jaeger}: {spans} spans"));
        }
        before = spans;
        std::thread::sleep(POLL);
    }
}

/// The traces of the last hour.
async fn evidence(jaeger: &str) -> Result<Evidence, String> {
    let now = u64::try_from(Timestamp::now().as_nanosecond()).unwrap();
    let wanted = Wanted { start: now - 3_600_000_000_000, end: now, services: Vec::new(), limit: 10_000 };
    let client = Client::with(tracelab::outbound::client().unwrap(), jaeger, Settings::default());
    let mut builder = Builder::until(now).without_jaegers_own();
    client.collect(&wanted, &mut builder, |_| {}).await.map_err(|error| error.to_string())?;
    Ok(Evidence { traces: builder.finish(), ..Evidence::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_replaced() {
        let command = "TRACELAB_X=1 tracelab guess --service SERVICE,SERVICES --trace='TRACE'";
        assert_eq!(wanted(command), ["TRACE", "SERVICE"]);
        let filled = [("TRACE", "t".to_owned()), ("SERVICE", "s".to_owned())].into();
        assert_eq!(fill(command, &filled), "TRACELAB_X=1 tracelab guess --service s,SERVICES --trace='t'");
    }

    #[test]
    fn a_span_is_no_trace() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 and nothing else";
        assert_eq!(last_trace(text).unwrap(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(last_trace("b7ad6b7169203331"), None);
    }
}
