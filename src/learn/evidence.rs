//! What a check may look at: the traces that the backend holds, the frontend's score, and what the learner answers to a question
//! about them. Reading it is `cmd::learn`'s; everything here is pure.

use crate::diagnose::model::{Kind, Parent, Status, Traces};
use crate::frontend::game_day::Results;
use crate::frontend::{Score, TeamScore};
use crate::mystery::{Cause, Verdict};

/// Everything that is known of one learner's stage.
#[derive(Debug, Default)]
pub struct Evidence {
    pub traces: Traces,
    /// What `GET /api/score` answers; absent where no frontend does.
    pub score: Option<Score>,
    /// When it was asked, in nanoseconds since the epoch.
    pub now: u64,
    /// Services in a layer; 0 where no frontend answers.
    pub width: u16,
    /// In whose name guesses are made.
    pub team: String,
    pub answer: Answer,
    /// What `GET /api/game-day/results` answers; absent where the chapter needs no game day, or nobody gave the token.
    pub game_day: Option<Results>,
}

/// What a learner read off a trace, for chapters that ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// A trace's id, 32 lower-case hexadecimal digits.
    pub trace: Option<String>,
    pub service: Option<String>,
}

/// One trace.
#[derive(Clone, Copy)]
pub struct Trace<'a> {
    traces: &'a Traces,
    number: usize,
}

/// One span of it.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    trace: Trace<'a>,
    number: usize,
}

impl Evidence {
    pub fn traces(&self) -> impl Iterator<Item = Trace<'_>> + Clone {
        let traces = &self.traces;
        (0..traces.len()).map(move |number| Trace { traces, number })
    }

    /// The trace with this id, as [`Answer::trace`] has it.
    pub fn trace(&self, id: &str) -> Option<Trace<'_>> {
        self.traces().find(|trace| trace.id() == id)
    }

    /// Presses that reached a service of ours: traces that pass the frontend and a service of layer 0.
    pub fn presses(&self) -> impl Iterator<Item = Trace<'_>> + Clone {
        self.traces()
            .filter(|trace| trace.has_service("frontend") && trace.services().any(|service| service.starts_with("dummy-0-")))
    }

    /// The running mystery's cause; none where that is secret or no frontend answers.
    pub fn cause(&self) -> Option<Cause> {
        self.score.as_ref()?.cause
    }

    /// When the running mystery began, in nanoseconds since the epoch; 0, which is before every trace, where no frontend answers.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a score that makes no sense gives some moment")]
    pub fn began(&self) -> u64 {
        self.score.as_ref().map_or(0, |score| self.now.saturating_sub((score.seconds * 1e9) as u64))
    }

    pub fn team(&self) -> Option<&TeamScore> {
        self.score.as_ref()?.teams.iter().find(|team| team.team == self.team)
    }

    /// The verdict of the last guess about the running mystery.
    pub fn verdict(&self) -> Option<Verdict> {
        self.team()?.verdict
    }
}

impl<'a> Trace<'a> {
    /// 32 lower-case hexadecimal digits.
    pub fn id(self) -> String {
        self.traces.name(self.traces.id(self.number))
    }

    /// By start.
    pub fn spans(self) -> impl Iterator<Item = Span<'a>> + Clone {
        (0..self.traces.of(self.number).len()).map(move |number| Span { trace: self, number })
    }

    /// With repetitions, one a span.
    pub fn services(self) -> impl Iterator<Item = &'a str> + Clone {
        self.spans().map(Span::service)
    }

    pub fn has_service(self, service: &str) -> bool {
        self.services().any(|name| name == service)
    }

    /// Spans without a parent; whole traces have one.
    pub fn roots(self) -> impl Iterator<Item = Span<'a>> + Clone {
        self.spans().filter(|span| span.is_root())
    }

    /// What each service spent in it itself, in milliseconds, the longest first: the self times of all its spans added up. A client
    /// span's, the way to the callee and back, counts for the caller.
    pub fn self_ms_by_service(self) -> Vec<(&'a str, f64)> {
        let mut services: Vec<(&str, f64)> = Vec::new();
        for span in self.spans() {
            match services.iter_mut().find(|(service, _)| *service == span.service()) {
                Some((_, sum)) => *sum += span.self_ms(),
                None => services.push((span.service(), span.self_ms())),
            }
        }
        services.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        services
    }

    /// From the first start to the last end, in milliseconds.
    pub fn duration_ms(self) -> f64 {
        let spans = self.traces.of(self.number);
        let start = spans.iter().map(|span| span.start).min().unwrap_or(0);
        ms(spans.iter().map(|span| span.end).max().unwrap_or(0) - start)
    }

    /// Nanoseconds since the epoch.
    pub fn start(self) -> u64 {
        self.traces.of(self.number).iter().map(|span| span.start).min().unwrap_or(0)
    }
}

impl<'a> Span<'a> {
    fn raw(self) -> &'a crate::diagnose::model::Span {
        &self.trace.traces.of(self.trace.number)[self.number]
    }

    pub fn trace(self) -> Trace<'a> {
        self.trace
    }

    /// 16 hexadecimal digits.
    pub fn id(self) -> String {
        format!("{:016x}", self.raw().id)
    }

    pub fn service(self) -> &'a str {
        let traces = self.trace.traces;
        traces.texts.get(traces.service(self.raw()))
    }

    pub fn name(self) -> &'a str {
        self.trace.traces.texts.get(self.raw().operation)
    }

    pub fn kind(self) -> Kind {
        self.raw().kind
    }

    pub fn is_error(self) -> bool {
        self.raw().status == Status::Error
    }

    /// Nanoseconds since the epoch.
    pub fn start(self) -> u64 {
        self.raw().start
    }

    pub fn duration_ms(self) -> f64 {
        ms(self.raw().duration())
    }

    /// None for a root, and where the parent is not among the spans that were read.
    pub fn parent(self) -> Option<Span<'a>> {
        match self.raw().parent {
            Parent::Span(number) => Some(Span { trace: self.trace, number: number as usize }),
            Parent::Root | Parent::Missing => None,
        }
    }

    /// It says that it has no parent.
    pub fn is_root(self) -> bool {
        self.raw().parent == Parent::Root
    }

    /// It says that it has a parent, which is not there.
    pub fn is_orphan(self) -> bool {
        self.raw().parent == Parent::Missing
    }

    pub fn children(self) -> impl Iterator<Item = Span<'a>> {
        self.trace.spans().filter(move |span| span.raw().parent == Parent::Span(self.number as u32))
    }

    pub fn attribute(self, key: &str) -> Option<&'a str> {
        let traces = self.trace.traces;
        value(traces, traces.attributes(self.raw()), key)
    }

    /// Of its resource, `service.name` apart.
    pub fn resource(self, key: &str) -> Option<&'a str> {
        let traces = self.trace.traces;
        value(traces, &traces.resources[self.raw().resource as usize].attributes, key)
    }

    /// What it took beyond its children, in milliseconds: its duration less the time in which at least one of them ran.
    pub fn self_ms(self) -> f64 {
        let raw = self.raw();
        let clip = |child: Span<'_>| (child.raw().start.max(raw.start), child.raw().end.min(raw.end));
        // By start, as the spans are.
        let (mut covered, mut until) = (0, raw.start);
        for (start, end) in self.children().map(clip) {
            let start = start.max(until);
            if end > start {
                covered += end - start;
                until = end;
            }
        }
        ms(raw.duration() - covered)
    }
}

fn value<'a>(
    traces: &'a Traces,
    attributes: &[(crate::diagnose::model::Text, crate::diagnose::model::Text)],
    key: &str,
) -> Option<&'a str> {
    let key = traces.texts.find(key)?;
    attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| traces.texts.get(*value))
}

#[expect(clippy::cast_precision_loss, reason = "a duration of more than 2^53 ns is 104 days")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}
