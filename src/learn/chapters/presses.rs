//! Presses as the stage and programs of a learner's record them, for the checks' tests.

use crate::diagnose::model::{Builder, Kind, NewSpan, Resource, Status, Text};
use crate::frontend::{Score, TeamScore};
use crate::learn::Evidence;
use crate::mystery::{Cause, Verdict};

const MS: u64 = 1_000_000;

/// One service on a press's way.
#[derive(Clone, Copy)]
pub struct Hop<'a> {
    pub service: &'a str,
    pub version: &'a str,
    /// The stage's own, or a program of the learner's.
    pub of_the_stage: bool,
    /// In which it runs; empty where there are none.
    pub pod: &'a str,
    /// On which that pod is; empty where nobody says so.
    pub node: &'a str,
    pub own_ms: u64,
    pub redis_calls: usize,
    /// The next one gets the context.
    pub passes_on: bool,
    /// It calls the next one at all.
    pub calls: bool,
    /// Whom it calls as well, each of which calls the one after it.
    pub beside: &'a [Hop<'a>],
}

impl<'a> Hop<'a> {
    pub fn stage(service: &'a str) -> Self {
        Self {
            service,
            version: "v1",
            of_the_stage: true,
            pod: "",
            node: "",
            own_ms: 5,
            redis_calls: 0,
            passes_on: true,
            calls: true,
            beside: &[],
        }
    }
}

/// Everything that was recorded.
#[derive(Default)]
pub struct Presses {
    builder: Builder,
    spans: u64,
    traces: u64,
    now: u64,
    /// Presses fail.
    fails: bool,
    /// Who calls, and how often until now.
    client: Option<(&'static str, u64)>,
}

impl Presses {
    pub fn new() -> Self {
        Self { builder: Builder::until(u64::MAX / 2), now: MS, ..Self::default() }
    }

    /// One press through these services, so many times.
    pub fn press(&mut self, times: usize, hops: &[Hop<'_>]) -> &mut Self {
        for _ in 0..times {
            self.traces += 1;
            self.count();
            let (trace, start) = (self.traces, self.now);
            let frontend = Hop { own_ms: 1, ..Hop::stage("frontend") };
            let way: Vec<Hop<'_>> = [frontend].into_iter().chain(hops.iter().copied()).collect();
            self.now = self.serve(trace, None, start, &way) + MS;
        }
        self
    }

    /// One press that fails.
    pub fn fail(&mut self, hops: &[Hop<'_>]) -> &mut Self {
        self.fails = true;
        self.press(1, hops);
        self.fails = false;
        self
    }

    /// From now on presses are a run's, whose calls are numbered from 1; they carry the number in all spans.
    pub fn called_by(&mut self, client: &'static str) -> &mut Self {
        self.client = Some((client, 0));
        self
    }

    /// A press of which nothing was kept.
    pub fn lose(&mut self) -> &mut Self {
        self.traces += 1;
        self.count();
        self
    }

    fn count(&mut self) {
        if let Some((_, calls)) = &mut self.client {
            *calls += 1;
        }
    }

    /// Nobody presses anything.
    pub fn pause(&mut self, ms: u64) -> &mut Self {
        self.now += ms * MS;
        self
    }

    /// As it was read, after a guess about `cause`.
    pub fn evidence(self, guess: Option<(Cause, Verdict)>) -> Evidence {
        let team = |verdict| TeamScore {
            team: "everybody".to_owned(),
            guesses: 1,
            hints: 0,
            verdict: Some(verdict),
            seconds: None,
            revealed: false,
            solved: 0,
        };
        let score =
            guess.map(|(cause, verdict)| Score { mystery: 1, cause: Some(cause), seconds: 1e9, teams: vec![team(verdict)] });
        let team = "everybody".to_owned();
        Evidence { traces: self.builder.finish(), score, now: 1_000_000_000_000_000_000, width: 30, team, ..Evidence::default() }
    }

    /// The server span of the first, and all beneath it; when it ends.
    fn serve(&mut self, trace: u64, parent: Option<u64>, start: u64, hops: &[Hop<'_>]) -> u64 {
        let Some((hop, rest)) = hops.split_first() else { return start };
        let id = self.id();
        let mut now = start + hop.own_ms * MS;
        for _ in 0..hop.redis_calls {
            let attribute = self.builder.attribute("db.system.name", "redis");
            let call = self.id();
            self.push(hop, (trace, Some(id), call), (now, now + MS), Kind::Client, &attribute.into_iter().collect::<Vec<_>>());
            now += MS;
        }
        for next in [rest, hop.beside].into_iter().filter(|next| hop.calls && !next.is_empty()) {
            let call = self.id();
            let end = if hop.passes_on {
                self.serve(trace, Some(call), now, next)
            } else {
                self.traces += 1;
                self.serve(self.traces, None, now, next)
            };
            self.push(hop, (trace, Some(id), call), (now, end), Kind::Client, &[]);
            now = end;
        }
        self.push(hop, (trace, parent, id), (start, now), Kind::Server, &[]);
        now
    }

    fn push(
        &mut self,
        hop: &Hop<'_>,
        (trace, parent, id): (u64, Option<u64>, u64),
        (start, end): (u64, u64),
        kind: Kind,
        attributes: &[(Text, Text)],
    ) {
        let mut about = vec![("service.version", hop.version)];
        if hop.of_the_stage {
            about.push(("tracelab.layer", "1"));
        }
        if !hop.pod.is_empty() {
            about.extend([("k8s.pod.name", hop.pod), ("k8s.namespace.name", "tracelab")]);
        }
        if !hop.node.is_empty() {
            about.push(("k8s.node.name", hop.node));
        }
        let attributes_of_it = about.into_iter().filter_map(|(key, value)| self.builder.attribute(key, value)).collect();
        let client = self.client.and_then(|(client, calls)| self.builder.attribute("client", &format!("{client}-{calls}")));
        let attributes: Vec<_> = attributes.iter().copied().chain(client).collect();
        let service = self.builder.text(hop.service);
        let resource = self.builder.resource(Resource { service, attributes: attributes_of_it });
        self.builder.push(NewSpan {
            trace_id: &format!("{trace:032x}"),
            span_id: &format!("{id:016x}"),
            parent_id: &parent.map(|id| format!("{id:016x}")).unwrap_or_default(),
            operation: "GET /",
            resource,
            start,
            duration: i64::try_from(end - start).unwrap(),
            kind,
            status: if self.fails { Status::Error } else { Status::Unset },
            attributes: &attributes,
        });
    }

    fn id(&mut self) -> u64 {
        self.spans += 1;
        self.spans
    }
}

/// The goal of the step that is open, if any.
pub fn open(steps: &[crate::learn::Step]) -> Option<&str> {
    steps.iter().find(|step| !step.is_done()).map(|step| step.goal.as_str())
}
