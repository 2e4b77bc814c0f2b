//! What chapters have in common in which a mystery is hunted: it runs, the backend holds presses that can show it, and the guess is
//! right.
//!
//! A press counts for the mystery in whose time it began, so that no chapter is done with the traces of another.

use crate::diagnose::model::Kind;
use crate::learn::evidence::{Span, Trace};
use crate::learn::{Evidence, Step};
use crate::mystery::{Cause, Verdict};

/// A press of a button that reached layer 0.
#[derive(Clone, Copy)]
pub struct Press<'a> {
    pub trace: Trace<'a>,
    /// What the frontend did for it: it begins and ends with the press, where the trace may go on after the answer, or begin at an
    /// nginx.
    pub root: Span<'a>,
    /// The service of layer 0 that it called first.
    pub button: &'a str,
}

impl<'a> Press<'a> {
    fn of(trace: Trace<'a>) -> Option<Self> {
        let is_first = |span: &Span<'_>| span.parent().is_none_or(|parent| parent.service() != "frontend");
        // What it did for a client whose spans are elsewhere is no press.
        let root = trace.spans().find(|span| span.service() == "frontend" && is_first(span) && !span.is_orphan())?;
        let called = trace.services().find(|service| service.starts_with("dummy-0-"))?;
        // A mesh's proxy comes first where there is one, and is called `<service>.<namespace>`.
        let button = called.split_once('.').map_or(called, |(service, _)| service);
        Some(Self { trace, root, button })
    }

    pub fn ms(self) -> f64 {
        self.root.duration_ms()
    }

    /// Nanoseconds since the epoch.
    pub fn end(self) -> u64 {
        self.root.start() + (self.ms() * 1e6) as u64
    }

    /// What services did for it, each with the time that it took itself, in milliseconds.
    pub fn served(self) -> impl Iterator<Item = (Span<'a>, f64)> {
        self.trace.spans().filter(|span| span.kind() == Kind::Server).map(|span| (span, span.self_ms()))
    }

    /// The service that had the most of its time, and how much.
    pub fn longest(self) -> (&'a str, f64) {
        self.served().map(|(span, ms)| (span.service(), ms)).max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default()
    }

    /// Where its failure starts: the service whose request failed though nothing that it asked of others did. None where the press
    /// went well, whatever was refused and repeated on the way.
    pub fn failed_in(self) -> Option<&'a str> {
        let starts = |span: &Span<'a>| span.kind() == Kind::Server && span.is_error() && !span.children().any(Span::is_error);
        self.root.is_error().then(|| self.trace.spans().find(starts)).flatten().map(Span::service)
    }
}

/// The presses since the running mystery began.
pub fn presses(evidence: &Evidence) -> Vec<Press<'_>> {
    let began = evidence.began();
    evidence.traces().filter_map(Press::of).filter(|press| press.root.start() >= began).collect()
}

/// Those before it began.
pub fn earlier_presses(evidence: &Evidence) -> Vec<Press<'_>> {
    let began = evidence.began();
    evidence.traces().filter_map(Press::of).filter(|press| press.root.start() < began).collect()
}

/// Whether each service calls others than the one below it.
pub fn is_straight(presses: &[Press<'_>]) -> bool {
    let column = |service: &str| service.rsplit_once('-').map(|(_, number)| number.to_owned());
    let leaves = |press: &Press<'_>| {
        let own = column(press.button);
        press.trace.services().any(|service| service.starts_with("dummy-") && column(service) != own)
    };
    // Of few presses on random routes, one may be straight by chance, not half of them.
    presses.iter().filter(|press| leaves(press)).count() * 2 < presses.len()
}

/// The stage runs a mystery of `cause`; `start` is the command that starts a stage with one.
pub fn runs(evidence: &Evidence, cause: Cause, start: &str) -> Step {
    let restart = format!("end `tracelab up` with Ctrl-C and start it again: {start}");
    runs_or(evidence, cause, &["what runs stands on the page, and in what `tracelab up` printed", &restart])
}

/// The same, with hints for another stage.
pub fn runs_or(evidence: &Evidence, cause: Cause, hints: &[&str]) -> Step {
    let goal = format!("a mystery of cause {cause} runs");
    let saw = match evidence.cause() {
        Some(running) if running == cause => return Step::done(goal, "the frontend says so"),
        Some(running) => format!("the running one is of cause {running}"),
        None => "the running one's cause is secret".to_owned(),
    };
    Step::open(goal, saw, hints)
}

/// Somebody in the team has found it. `look` is where to look for it, one hint at least, each more direct than the one before.
pub fn guessed(evidence: &Evidence, cause: Cause, look: &[String]) -> Step {
    let goal = "your guess is right";
    let hints = |first: &[&str]| -> Vec<String> { first.iter().map(|&hint| hint.to_owned()).chain(look.iter().cloned()).collect() };
    // How a guess is made is no news for who made one, and the last hint is the one that is repeated.
    let with_command = |mut hints: Vec<String>| {
        if let Some(last) = hints.last_mut() {
            last.push_str(&format!("; then say it: tracelab guess --service dummy-L-N --cause {cause}"));
        }
        hints
    };
    let (saw, hints) = match evidence.team() {
        Some(team) if team.verdict == Some(Verdict::Right) => {
            let guesses = if team.guesses == 1 { "guess" } else { "guesses" };
            return Step::done(goal, format!("found with {} {guesses}", team.guesses));
        }
        Some(team) if team.revealed => {
            let again = format!("hide another one with `tracelab mystery {cause}`, then press and look again");
            ("the answer was revealed, so that guesses count no more".to_owned(), vec![again])
        }
        Some(team) if team.verdict == Some(Verdict::Half) => (
            "the last guess was half right".to_owned(),
            hints(&["the service is right and something else is not: see what `tracelab guess` said to it"]),
        ),
        Some(team) if team.verdict == Some(Verdict::Wrong) => ("the last guess was wrong".to_owned(), hints(&[])),
        _ => {
            let team = &evidence.team;
            let others = evidence.score.iter().flat_map(|score| &score.teams);
            let other = others.filter(|other| other.guesses > 0).map(|other| &other.team).next();
            let saw = format!("team {team} has not guessed yet");
            match other {
                Some(other) => (
                    saw,
                    with_command(hints(&[&format!("somebody guessed as team {other}; if it was you, check with --team {other}")])),
                ),
                None => (saw, with_command(hints(&[]))),
            }
        }
    };
    Step::open(goal, saw, &hints.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The value that half of them reach; 0 where there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Presses of a stage of our own making, for the chapters' tests.
#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::diagnose::model::{Builder, NewSpan, Resource, Status, Traces};
    use crate::frontend::{DEFAULT_TEAM, Score, TeamScore};
    use crate::learn::State;
    use crate::learn::chapters::made::{Made, One};

    /// Where the frontend's clock stands when a stage is looked at, in milliseconds.
    pub const NOW: u64 = 1_000_000;

    /// One press: which services it passes, from layer 0 on, and how long each takes itself, in milliseconds.
    pub struct Pressed<'a> {
        pub at_ms: u64,
        pub way: &'a [(&'a str, u64)],
        /// The last service of the way answers 500, and all above it pass that on.
        pub fails: bool,
    }

    /// Takes presses one by one.
    #[derive(Default)]
    pub struct Stage {
        builder: Builder,
        spans: u64,
        traces: u64,
    }

    impl Stage {
        pub fn press(&mut self, pressed: &Pressed<'_>) {
            self.traces += 1;
            let trace_id = format!("{:032x}", self.traces);
            let status = if pressed.fails { Status::Error } else { Status::Unset };
            let (mut parent, mut start) = (String::new(), pressed.at_ms);
            let mut left: u64 = pressed.way.iter().map(|(_, ms)| ms).sum();
            for (service, ms) in [("frontend", 0)].iter().chain(pressed.way) {
                let text = self.builder.text(service);
                let resource = self.builder.resource(Resource { service: text, attributes: vec![] });
                start += ms;
                for (kind, begin) in [(Kind::Server, start - ms), (Kind::Client, start)] {
                    let is_last = Some(*service) == pressed.way.last().map(|(service, _)| *service);
                    if kind == Kind::Client && is_last {
                        continue;
                    }
                    if kind == Kind::Client {
                        left -= ms;
                    }
                    self.spans += 1;
                    let span_id = format!("{:016x}", self.spans);
                    self.builder.push(NewSpan {
                        trace_id: &trace_id,
                        span_id: &span_id,
                        parent_id: &parent,
                        operation: "GET /",
                        resource,
                        start: begin * 1_000_000,
                        duration: i64::try_from(left).unwrap() * 1_000_000,
                        kind,
                        status,
                        attributes: &[],
                    });
                    parent = span_id;
                }
            }
        }

        /// One button after the other, `ms` each in the service of layer 1, others 5 ms.
        pub fn press_all(&mut self, width: u16, at_ms: u64, in_layer_1: impl Fn(u16) -> u64) {
            for number in 0..width {
                let names = [0, 1, 2].map(|layer| format!("dummy-{layer}-{number}"));
                let way = [(names[0].as_str(), 5), (names[1].as_str(), in_layer_1(number)), (names[2].as_str(), 5)];
                self.press(&Pressed { at_ms: at_ms + u64::from(number) * 1_000, way: &way, fails: false });
            }
        }

        pub fn finish(self) -> Traces {
            self.builder.finish()
        }
    }

    /// What there is to see of `traces` when a mystery began at `began_ms`, and this came of the last guess.
    pub fn evidence(traces: Traces, cause: Cause, began_ms: u64, verdict: Option<Verdict>) -> Evidence {
        let team =
            TeamScore { team: DEFAULT_TEAM.to_owned(), guesses: 1, hints: 0, verdict, seconds: None, revealed: false, solved: 0 };
        let teams = if verdict.is_some() { vec![team] } else { vec![] };
        let score = Score { mystery: 1, cause: Some(cause), seconds: (NOW - began_ms) as f64 / 1e3, teams };
        Evidence {
            traces,
            score: Some(score),
            now: NOW * 1_000_000,
            width: 4,
            team: DEFAULT_TEAM.to_owned(),
            ..Evidence::default()
        }
    }

    pub fn passes(steps: &[Step]) -> bool {
        steps.iter().all(Step::is_done)
    }

    /// The goal that is open; there is one at most, and it comes last.
    pub fn open(steps: &[Step]) -> &str {
        let (last, before) = steps.split_last().unwrap();
        assert!(passes(before) && !last.is_done(), "{steps:#?}");
        if let State::Open { hints, .. } = &last.state {
            assert!((1..=5).contains(&hints.len()), "{hints:?}");
        }
        &last.goal
    }

    #[test]
    fn a_press_knows_its_button_its_longest_service_and_where_it_failed() {
        let mut stage = Stage::default();
        let way = [("dummy-0-3", 5), ("dummy-1-1", 300), ("dummy-2-2", 7)];
        stage.press(&Pressed { at_ms: 10, way: &way, fails: false });
        stage.press(&Pressed { at_ms: 900, way: &way[..2], fails: true });
        let evidence = evidence(stage.finish(), Cause::Sleep, 500, None);
        let [press] = presses(&evidence)[..] else { panic!("one since the mystery began") };
        assert_eq!((press.button, press.longest(), press.failed_in()), ("dummy-0-3", ("dummy-1-1", 300.0), Some("dummy-1-1")));
        let [earlier] = earlier_presses(&evidence)[..] else { panic!("one before") };
        assert_eq!((earlier.ms(), earlier.end(), earlier.failed_in()), (312.0, 322_000_000, None));
        assert!(!is_straight(&[press]));
    }

    #[test]
    fn a_press_that_came_by_an_nginx_and_proxies_is_one_and_a_call_of_somebody_elses_trace_is_none() {
        let made = |of_frontend| {
            let of =
                |id, parent, service, kind, at| One { trace: "1", id, parent, service, name: "GET /", kind, at, ..One::default() };
            Made::default()
                .with(of("1", "", "edge", Kind::Server, (0, 400)))
                .with(of("2", of_frontend, "frontend", Kind::Server, (1, 351)))
                .with(of("3", "2", "frontend", Kind::Client, (2, 350)))
                .with(of("4", "3", "dummy-0-1.tracelab", Kind::Server, (3, 349)))
                .evidence()
        };
        let evidence = made("1");
        let [press] = presses(&evidence)[..] else { panic!("one press") };
        assert_eq!((press.button, press.ms()), ("dummy-0-1", 350.0));
        assert_eq!(presses(&made("99")).len(), 0);
    }

    #[test]
    fn a_guess_that_does_not_count_says_why() {
        let step_of = |change: fn(&mut TeamScore)| {
            let mut evidence = evidence(Traces::default(), Cause::Sleep, 0, Some(Verdict::Wrong));
            evidence.score.iter_mut().flat_map(|score| &mut score.teams).for_each(change);
            guessed(&evidence, Cause::Sleep, &["look there".to_owned()])
        };
        let says = |change, expected: &str| {
            let step = step_of(change);
            let State::Open { saw, hints } = &step.state else { panic!("{step:?}") };
            assert!(saw.contains(expected) && !hints.is_empty(), "{step:?}");
        };
        says(|team| team.revealed = true, "revealed");
        says(|team| team.verdict = Some(Verdict::Half), "half right");
        says(|_| (), "wrong");
        says(|team| team.team = "alpha".to_owned(), "team everybody has not guessed yet");
        let last_hint = |change| match step_of(change).state {
            State::Open { hints, .. } => hints.last().unwrap().clone(),
            State::Done(saw) => panic!("{saw}"),
        };
        assert_eq!(last_hint(|_| ()), "look there", "who guessed knows how");
        assert!(last_hint(|team| team.verdict = None).contains("tracelab guess --service dummy-L-N --cause sleep"));
        assert!(step_of(|team| team.verdict = Some(Verdict::Right)).is_done());
    }

    #[test]
    fn another_mystery_than_the_chapters_is_said() {
        let evidence = evidence(Traces::default(), Cause::Sleep, 0, None);
        assert!(runs(&evidence, Cause::Sleep, "tracelab up").is_done());
        assert!(!runs(&evidence, Cause::Contention, "tracelab up --mystery contention").is_done());
        assert!(!runs(&Evidence::default(), Cause::Sleep, "tracelab up").is_done());
    }
}
