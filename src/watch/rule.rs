//! A rule, and what it says of one trace.
//!
//! A trace is as slow as its **root span**: what whoever asked had to wait; work that goes on afterwards counts for nothing. It failed
//! where its root span did. Of several roots the longest counts, and where the root was lost, the longest span whose parent is
//! missing. A rule about one service goes by the longest span with which that service let a request in, or, of failures, by any of them.

use std::time::Duration;

use super::settings::{Share, Time};
use crate::diagnose::model::{Parent, Span, Status, Text, Traces};
use crate::diagnose::tree::main_root;

/// Nanoseconds. Spans come in any order: what seems to have no parent is taken for a root only when nothing of its trace is younger.
const SETTLED: u64 = 60_000_000_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What mails call it.
    pub name: String,
    pub what: What,
    /// Between 0 and 1: more of the traces than this, instead of any of them.
    pub share: Option<f64>,
    /// What a share is counted over.
    pub window: Duration,
    /// A share of fewer traces says nothing.
    pub min_traces: u64,
    /// How requests went in this service, instead of the whole trace.
    pub service: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    SlowerThan(Duration),
    Failed,
}

/// How a trace went, as far as a rule is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Nanoseconds.
    pub duration: u64,
    pub failed: bool,
}

impl Rule {
    /// What it looks for, in a few words: "over 5% slower than 500ms in cart".
    pub fn says(&self) -> String {
        let share = self.share.map(|share| format!("over {} ", Share(share))).unwrap_or_default();
        let place = self.service.as_ref().map(|service| format!(" in {service}")).unwrap_or_default();
        format!("{share}{}{place}", self.what.says())
    }

    /// What a trace must last longer than, where that is asked.
    pub fn threshold(&self) -> Option<Duration> {
        match self.what {
            What::SlowerThan(time) => Some(time),
            What::Failed => None,
        }
    }

    pub fn is_met_by(&self, seen: Seen) -> bool {
        match self.what {
            What::SlowerThan(time) => u128::from(seen.duration) > time.as_nanos(),
            What::Failed => seen.failed,
        }
    }

    /// How this trace went, at the time `now` in nanoseconds since the epoch; none where that is not known yet, or where the rule's
    /// service is not part of it.
    pub fn see(&self, traces: &Traces, trace: usize, now: u64) -> Option<Seen> {
        let spans = traces.of(trace);
        let span = match &self.service {
            None => &spans[main_root(spans)? as usize],
            Some(service) => self.entry(traces, spans, traces.texts.find(service)?)?,
        };
        let latest = spans.iter().map(|span| span.end).max().unwrap_or_default();
        let settled = span.parent != Parent::Missing || latest.saturating_add(SETTLED) < now;
        settled.then(|| Seen { duration: span.duration(), failed: span.status == Status::Error })
    }

    /// Of the spans of a service that no span of the same called the longest; of failures the longest that failed, since whoever called
    /// may have tried again.
    fn entry<'a>(&self, traces: &Traces, spans: &'a [Span], service: Text) -> Option<&'a Span> {
        let lets_in = |span: &&Span| match span.parent {
            Parent::Span(parent) => traces.service(&spans[parent as usize]) != service,
            Parent::Root | Parent::Missing => true,
        };
        let counts = |span: &Span| self.what == What::Failed && span.status == Status::Error;
        let entries = spans.iter().filter(|span| traces.service(span) == service).filter(lets_in);
        entries.max_by_key(|span| (counts(span), span.duration()))
    }
}

impl What {
    pub fn says(self) -> String {
        match self {
            Self::SlowerThan(time) => format!("slower than {}", Time(time)),
            Self::Failed => "failed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::model::{Builder, NewSpan, Resource};
    use crate::watch::example::{MS, NOW, Request, traces};

    fn slower_than(ms: u64, service: Option<&str>) -> Rule {
        Rule {
            name: "slow".to_owned(),
            what: What::SlowerThan(Duration::from_millis(ms)),
            share: None,
            window: Duration::from_secs(600),
            min_traces: 1,
            service: service.map(str::to_owned),
        }
    }

    fn seen(rule: &Rule, request: Request) -> Option<(u64, bool)> {
        rule.see(&traces(&[request]), 0, NOW).map(|seen| (seen.duration / MS, seen.failed))
    }

    #[test]
    fn a_trace_is_as_slow_as_its_root_and_failed_where_it_did() {
        let rule = slower_than(500, None);
        let request = Request { cart_ms: 700, afterwards_ms: 5_000, ..Request::new(1) };
        assert_eq!(seen(&rule, request), Some((710, false)), "what goes on after the answer counts for nothing");
        assert_eq!(seen(&rule, Request { cart_failed: true, ..Request::new(1) }), Some((20, false)), "the root got over it");
        assert_eq!(seen(&rule, Request { cart_failed: true, failed: true, ..Request::new(1) }), Some((20, true)));
    }

    #[test]
    fn a_rule_about_a_service_goes_by_how_that_service_fared() {
        let request = Request { cart_ms: 700, cart_failed: true, ..Request::new(1) };
        assert_eq!(seen(&slower_than(500, Some("cart")), request), Some((700, true)));
        assert_eq!(seen(&slower_than(500, Some("shop")), request), Some((710, false)));
        assert_eq!(seen(&slower_than(500, Some("ads")), request), None);
    }

    #[test]
    fn a_failure_that_was_tried_again_is_one_of_the_service() {
        let mut builder = Builder::default();
        let [shop, cart] = ["shop", "cart"].map(|name| {
            let service = builder.text(name);
            builder.resource(Resource { service, attributes: vec![] })
        });
        let calls =
            [("01", "", shop, 150, Status::Unset), ("02", "01", cart, 1, Status::Error), ("03", "01", cart, 100, Status::Unset)];
        for (span_id, parent_id, resource, ms, status) in calls {
            let (trace_id, duration) = ("0af7651916cd43dd8448eb211c80319c", i64::try_from(ms * MS).unwrap());
            let (start, operation) = (NOW - 5_000 * MS, "GET /");
            builder.push(NewSpan {
                trace_id,
                span_id,
                parent_id,
                operation,
                resource,
                start,
                duration,
                status,
                ..NewSpan::default()
            });
        }
        let traces = builder.finish();
        let seen = |rule: Rule| rule.see(&traces, 0, NOW).map(|seen| (seen.duration / MS, seen.failed));
        assert_eq!(seen(Rule { what: What::Failed, ..slower_than(1, Some("cart")) }), Some((1, true)));
        assert_eq!(seen(slower_than(1, Some("cart"))), Some((100, false)));
    }

    #[test]
    fn a_trace_without_its_root_waits_for_it_for_a_minute() {
        let rule = slower_than(5, None);
        let old = Request { rootless: true, ago_ms: 61_000, ..Request::new(1) };
        assert_eq!(seen(&rule, Request { ago_ms: 1_000, ..old }), None);
        assert_eq!(seen(&rule, old), Some((10, false)));
    }

    #[test]
    fn just_as_slow_is_not_slower() {
        let rule = slower_than(500, None);
        let is_met = |duration| rule.is_met_by(Seen { duration, failed: true });
        assert_eq!([500 * MS - 1, 500 * MS, 500 * MS + 1].map(is_met), [false, false, true]);
        let failed = Rule { what: What::Failed, ..rule };
        assert_eq!([true, false].map(|failed_| failed.is_met_by(Seen { duration: 0, failed: failed_ })), [true, false]);
    }
}
