//! Which rules have something to say: every trace is counted once, however often it is read, and every rule speaks at most once in a
//! period.
//!
//! Looks overlap, since spans arrive late and in parts: a trace is judged anew whenever it is read, and what was told of it before is
//! remembered for a day. Time is only what callers pass in.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::rule::{Rule, Seen, What};
use crate::diagnose::model::{Status, TraceId, Traces};
use crate::diagnose::tree::main_root;

/// So many traces are remembered, at about 60 bytes each; beyond it those go that were not read for the longest time.
pub const REMEMBERED: usize = 200_000;
/// What a rule counted is remembered for longer than it is looked for: a span that comes late brings a trace back.
const TOLD: Duration = Duration::from_secs(24 * 3600);
/// So many traces of a finding are kept to be shown.
const KEPT: usize = 50;
/// So many services that failed in one trace are named.
const FAILED_SERVICES: usize = 5;

/// The rules, and what they have seen.
#[derive(Debug)]
pub struct Observation {
    rules: Vec<Watched>,
    period: Duration,
    /// No trace is read again when it was not for so long.
    memory: Duration,
    known: FxHashMap<TraceId, Known>,
    forgotten: u64,
}

#[derive(Debug)]
struct Watched {
    rule: Rule,
    /// When it spoke last.
    told: Option<u64>,
    /// Traces since then; of a share those of its window are counted instead.
    waiting: u64,
    /// When the first of these began; nanoseconds since the epoch.
    first: u64,
    /// The worst of them first.
    worst: Vec<Example>,
}

/// A trace that was read; the numbers hold a bit for each rule.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    start: u64,
    read: u64,
    judged: u64,
    met: u64,
    counted: u64,
}

/// What a rule has to say.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: Rule,
    /// Traces that it is about.
    pub count: u64,
    /// Of so many, where the rule is about a share.
    pub of: Option<u64>,
    /// Some of them, the worst first.
    pub examples: Vec<Example>,
    /// When it was said, in nanoseconds since the epoch.
    pub at: u64,
    /// So long before that the first of them began.
    pub back: Duration,
}

/// A trace to show.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    pub id: TraceId,
    pub trace_id: String,
    /// Nanoseconds since the epoch.
    pub start: u64,
    pub seen: Seen,
    /// Of the root span.
    pub service: String,
    pub operation: String,
    /// Services with spans that failed, in the order of these.
    pub failed_in: Vec<String>,
}

impl Observation {
    /// `memory` is how long after a look a trace may be read again.
    pub fn new(rules: Vec<Rule>, period: Duration, memory: Duration) -> Self {
        let rules =
            rules.into_iter().map(|rule| Watched { rule, told: None, waiting: 0, first: u64::MAX, worst: Vec::new() }).collect();
        Self { rules, period, memory, known: FxHashMap::default(), forgotten: 0 }
    }

    /// Takes in what was read at the time `now`, in nanoseconds since the epoch, and says which rules speak.
    pub fn look(&mut self, traces: &Traces, now: u64) -> Vec<Finding> {
        for trace in 0..traces.len() {
            self.take(traces, trace, now);
        }
        self.forget(now);
        let Self { rules, known, period, .. } = self;
        let may_speak = |watched: &Watched| watched.told.is_none_or(|told| now.saturating_sub(told) >= nanoseconds(*period));
        let speaking = rules.iter_mut().enumerate().filter(|(_, watched)| may_speak(watched));
        speaking.filter_map(|(at, watched)| watched.speak(1 << at, known, now)).collect()
    }

    /// How many traces had to be forgotten while they might have been read again.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many traces are remembered.
    pub fn remembered(&self) -> usize {
        self.known.len()
    }

    fn take(&mut self, traces: &Traces, trace: usize, now: u64) {
        let id = traces.id(trace);
        let known = self.known.entry(id).or_default();
        // A trace is from when its first span began, or what comes late would make it younger.
        let start = traces.of(trace).iter().map(|span| span.start).min().unwrap_or(now);
        (known.start, known.read) = (start, now);
        for (at, watched) in self.rules.iter_mut().enumerate() {
            let Some(seen) = watched.rule.see(traces, trace, now) else { continue };
            let bit = 1 << at;
            known.judged |= bit;
            if !watched.rule.is_met_by(seen) {
                known.met &= !bit;
                continue;
            }
            known.met |= bit;
            if known.counted & bit == 0 {
                known.counted |= bit;
                watched.waiting += 1;
                watched.first = watched.first.min(start);
                watched.keep(traces, trace, seen);
            }
        }
    }

    fn forget(&mut self, now: u64) {
        let longest = self.rules.iter().filter(|watched| watched.rule.share.is_some()).map(|watched| watched.rule.window).max();
        let (memory, window) = (nanoseconds(self.memory), longest.map_or(0, nanoseconds));
        let young = |time: u64, limit: u64| now.saturating_sub(time) <= limit;
        let told = nanoseconds(TOLD);
        self.known.retain(|_, known| {
            young(known.read, memory) || young(known.start, window) || (known.counted != 0 && young(known.read, told))
        });
        if let Some(more) = self.known.len().checked_sub(REMEMBERED).filter(|more| *more > 0) {
            let mut ages: Vec<(u64, u64, TraceId)> = self.known.iter().map(|(id, known)| (known.read, known.start, *id)).collect();
            ages.select_nth_unstable(more - 1);
            for (_, _, id) in &ages[..more] {
                self.known.remove(id);
            }
            self.forgotten += more as u64;
        }
    }
}

impl Watched {
    fn keep(&mut self, traces: &Traces, trace: usize, seen: Seen) {
        let spans = traces.of(trace);
        let Some(root) = main_root(spans) else { return };
        let (root, text) = (&spans[root as usize], |of| traces.texts.get(of).to_owned());
        let mut failed_in: Vec<String> = Vec::new();
        for service in spans.iter().filter(|span| span.status == Status::Error).map(|span| traces.service(span)) {
            if failed_in.len() < FAILED_SERVICES && !failed_in.iter().any(|known| *known == traces.texts.get(service)) {
                failed_in.push(text(service));
            }
        }
        let example = Example {
            id: traces.id(trace),
            trace_id: traces.name(traces.id(trace)),
            start: root.start,
            seen,
            service: text(traces.service(root)),
            operation: text(root.operation),
            failed_in,
        };
        let what = self.rule.what;
        let place = self.worst.partition_point(|known| rank(what, known) >= rank(what, &example));
        if place < KEPT {
            self.worst.insert(place, example);
            self.worst.truncate(KEPT);
        }
    }

    fn speak(&mut self, bit: u64, known: &FxHashMap<TraceId, Known>, now: u64) -> Option<Finding> {
        let rule = self.rule.clone();
        let Some(share) = rule.share else {
            let count = std::mem::take(&mut self.waiting);
            let back = Duration::from_nanos(now.saturating_sub(std::mem::replace(&mut self.first, u64::MAX)));
            // Whole seconds are what people read, and one more loses nothing.
            let back = Duration::from_secs(back.as_secs() + 1);
            let examples = std::mem::take(&mut self.worst);
            return (count > 0).then(|| {
                self.told = Some(now);
                Finding { rule, count, of: None, examples, at: now, back }
            });
        };
        let since = now.saturating_sub(nanoseconds(rule.window));
        let judged = known.values().filter(|known| known.start >= since && known.judged & bit != 0);
        let (mut count, mut of) = (0, 0);
        for known in judged {
            of += 1;
            count += u64::from(known.met & bit != 0);
        }
        self.worst.retain(|example| example.start >= since);
        (of >= rule.min_traces && count as f64 > share * of as f64).then(|| {
            self.told = Some(now);
            let back = rule.window;
            Finding { rule, count, of: Some(of), examples: self.worst.clone(), at: now, back }
        })
    }
}

/// The slowest are the worst; of what failed, the latest.
fn rank(what: What, example: &Example) -> u64 {
    match what {
        What::SlowerThan(_) => example.seen.duration,
        What::Failed => example.start,
    }
}

pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::example::{MS, NOW, Request, traces};

    const MINUTE: u64 = 60_000 * MS;
    const PERIOD: Duration = Duration::from_secs(900);

    fn rule(what: What) -> Rule {
        let window = Duration::from_secs(600);
        Rule { name: "rule".to_owned(), what, share: None, window, min_traces: 20, service: None }
    }

    fn slow() -> Rule {
        rule(What::SlowerThan(Duration::from_millis(500)))
    }

    fn watching(rules: Vec<Rule>) -> Observation {
        Observation::new(rules, PERIOD, Duration::from_secs(300))
    }

    fn slow_one(number: u64) -> Request {
        Request { cart_ms: 700 + number, ..Request::new(number) }
    }

    /// Counts of the findings of a look.
    fn counts(observation: &mut Observation, requests: &[Request], now: u64) -> Vec<(u64, Option<u64>)> {
        observation.look(&traces(requests), now).into_iter().map(|finding| (finding.count, finding.of)).collect()
    }

    #[test]
    fn a_trace_that_is_read_again_is_told_once() {
        let mut observation = watching(vec![slow()]);
        let requests = [slow_one(1), Request::new(2), slow_one(3)];
        assert_eq!(counts(&mut observation, &requests, NOW), [(2, None)]);
        for minute in [1, 4, 16, 20, 40] {
            assert_eq!(counts(&mut observation, &requests, NOW + minute * MINUTE), [], "after {minute} minutes");
        }
    }

    #[test]
    fn what_comes_within_the_period_waits_for_its_end_and_is_counted() {
        let mut observation = watching(vec![slow()]);
        assert_eq!(counts(&mut observation, &[slow_one(1)], NOW), [(1, None)]);
        assert_eq!(counts(&mut observation, &[slow_one(2), slow_one(3)], NOW + MINUTE), []);
        assert_eq!(counts(&mut observation, &[slow_one(4)], NOW + 15 * MINUTE - 1), []);
        let found = observation.look(&traces(&[]), NOW + 15 * MINUTE);
        let slowest: Vec<_> = found[0].examples.iter().map(|example| example.seen.duration / MS).collect();
        assert_eq!((found[0].count, slowest), (3, vec![714, 713, 712]), "the slowest first");
        assert_eq!(counts(&mut observation, &[], NOW + 40 * MINUTE), [], "nothing new is no news");
    }

    #[test]
    fn rules_speak_for_themselves() {
        let mut observation = watching(vec![slow(), rule(What::Failed)]);
        assert_eq!(counts(&mut observation, &[slow_one(1)], NOW), [(1, None)]);
        let failed = Request { failed: true, cart_failed: true, ..slow_one(2) };
        let found = observation.look(&traces(&[failed]), NOW + MINUTE);
        assert_eq!((found.len(), found[0].rule.what, found[0].count), (1, What::Failed, 1));
        assert_eq!(found[0].examples[0].failed_in, ["shop", "cart"]);
    }

    #[test]
    fn spans_that_come_late_make_a_trace_slow_once() {
        let mut observation = watching(vec![slow()]);
        let parts = Request { rootless: true, ago_ms: 1_000, ..slow_one(1) };
        assert_eq!(counts(&mut observation, &[parts], NOW), [], "its root is not there yet");
        let whole = Request { rootless: false, ..parts };
        assert_eq!(counts(&mut observation, &[whole], NOW + MINUTE), [(1, None)]);
        assert_eq!(counts(&mut observation, &[Request { cart_ms: 900, ..whole }], NOW + 16 * MINUTE), []);
    }

    #[test]
    fn a_share_is_of_the_traces_of_its_window_and_needs_enough_of_them() {
        let share = Rule { share: Some(0.05), min_traces: 20, ..slow() };
        let many = |slow: u64, all: u64| -> Vec<Request> {
            (1..=all).map(|at| if at <= slow { slow_one(at) } else { Request::new(at) }).collect()
        };
        assert_eq!(counts(&mut watching(vec![share.clone()]), &many(19, 19), NOW), [], "19 traces are too few");
        assert_eq!(counts(&mut watching(vec![share.clone()]), &many(1, 20), NOW), [], "one of twenty is no more than 5 %");
        let mut observation = watching(vec![share]);
        assert_eq!(counts(&mut observation, &many(2, 39), NOW), [(2, Some(39))]);
        assert_eq!(counts(&mut observation, &many(2, 39), NOW + MINUTE), [], "within the period");
        assert_eq!(counts(&mut observation, &[], NOW + 15 * MINUTE), [], "what lies outside the window counts no more");
    }

    #[test]
    fn a_share_that_stays_too_large_is_told_once_a_period_with_the_figures_of_then() {
        let mut observation = watching(vec![Rule { share: Some(0.5), min_traces: 2, ..slow() }]);
        let at = |number, minute: u64| Request { later_ms: minute * 60_000, ..slow_one(number) };
        assert_eq!(counts(&mut observation, &[at(1, 0), at(2, 0)], NOW), [(2, Some(2))]);
        assert_eq!(counts(&mut observation, &[at(3, 14), at(4, 14), at(5, 14)], NOW + 14 * MINUTE), []);
        assert_eq!(counts(&mut observation, &[], NOW + 15 * MINUTE), [(3, Some(3))]);
    }

    #[test]
    fn what_is_remembered_is_bounded_by_time_and_number() {
        let mut observation = watching(vec![slow()]);
        counts(&mut observation, &[slow_one(1), Request::new(2)], NOW);
        assert_eq!(observation.remembered(), 2);
        counts(&mut observation, &[Request::new(3)], NOW + 6 * MINUTE);
        assert_eq!(observation.remembered(), 2, "what was not read for longer than it can be, but what was counted");
        assert_eq!(counts(&mut observation, &[slow_one(1)], NOW + 60 * MINUTE), [], "a span that came late tells of it no more");
        let many: Vec<_> = (10..10 + REMEMBERED as u64 + 5).map(Request::new).collect();
        counts(&mut observation, &many, NOW + 60 * MINUTE);
        assert_eq!(observation.remembered(), REMEMBERED);
        assert!(observation.forgotten() > 0);
    }
}
