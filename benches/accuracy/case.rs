//! One mystery, its traces, and what the diagnosis makes of them.

use std::fmt;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tracelab::diagnose::model::{Kind, Parent, Span};
use tracelab::diagnose::{Diagnosis, Options, Suspect, Traces, diagnose};
use tracelab::mystery::{Answer, Cause, Mystery, draw};
use tracelab::simulation::grade::{Grade, grade, is_right};
use tracelab::simulation::{Load, simulate};
use tracelab::topology::Topology;

use crate::sandbox;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Real,
    Simulated,
}

/// What is the same for all seeds of a row.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub cause: Cause,
    pub topology: Topology,
    /// 1 is the mystery as it is drawn; the sandbox knows no other.
    pub strength: f64,
    pub calls: u64,
    pub concurrency: usize,
    pub source: Source,
}

/// One seed's result.
#[derive(Clone, Debug)]
pub struct Run {
    pub seed: u64,
    pub grade: Grade,
    pub claims: Vec<Claim>,
    /// Requests that came to where the fault sits: by this service, this pair, this service for this customer.
    pub met: usize,
    pub spans: usize,
    /// How long the diagnosis took.
    pub took: Duration,
    /// The right answer and the first suspect, for a line about what went wrong.
    pub answer: String,
    pub first: String,
}

/// One suspect's confidence, and whether it is right.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub confidence: f64,
    pub right: bool,
}

impl Case {
    /// Whether this topology can have such a mystery.
    pub fn is_possible(&self) -> bool {
        self.cause.check(self.topology, true).is_ok()
    }

    /// Every seed, in order: simulated ones as many at a time as there are cores.
    pub fn runs(&self, seeds: Range<u64>) -> Vec<Run> {
        let seeds: Vec<u64> = seeds.collect();
        let threads = match self.source {
            Source::Real => 1,
            Source::Simulated => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let run = self.run(*seed);
                        done.lock().unwrap().push(run);
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap();
        done.sort_by_key(|run| run.seed);
        done
    }

    fn run(&self, seed: u64) -> Run {
        let mystery = draw(seed, self.cause, self.topology, 1.0).unwrap().with_strength(self.strength);
        let traces = self.traces(&mystery, seed);
        let begin = Instant::now();
        let diagnosis = diagnosed(&traces, None);
        let took = begin.elapsed();
        let answer = mystery.answer();
        let claim = |suspect: &Suspect| Claim { confidence: suspect.confidence, right: is_right(suspect, &answer) };
        Run {
            seed,
            grade: grade(&diagnosis, &answer),
            claims: diagnosis.suspects.iter().map(claim).collect(),
            met: met(&traces, &answer),
            spans: traces.span_count(),
            took,
            answer: Said(&answer).to_string(),
            first: first(&diagnosis),
        }
    }

    /// What `mystery`, which is this case's of `seed`, leaves behind.
    pub fn traces(&self, mystery: &Mystery, seed: u64) -> Traces {
        match self.source {
            Source::Real => {
                assert!((self.strength - 1.0).abs() < f64::EPSILON, "the sandbox draws mysteries of full strength");
                sandbox::traces(self.cause, self.topology, seed, self.calls, self.concurrency)
            }
            Source::Simulated => {
                let (calls, concurrency) = (self.calls, self.concurrency);
                simulate(mystery, &Load { calls, concurrency, seed, ..Load::default() })
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Source::Real => "real",
            Source::Simulated => "simulated",
        })
    }
}

/// As `tracelab diagnose` does without any flag.
pub fn diagnosed(traces: &Traces, baseline: Option<&Traces>) -> Diagnosis {
    diagnose(traces, baseline, &Options::default())
}

fn met(traces: &Traces, answer: &Answer) -> usize {
    let text = |text: Option<String>| text.and_then(|text| traces.texts.find(&text));
    let Some(service) = text(answer.service.map(|service| service.to_string())) else { return 0 };
    let callee = answer.callee.map(|callee| text(Some(callee.to_string())));
    let customer = answer.customer.as_ref().map(|customer| (traces.texts.find("customer.id"), traces.texts.find(customer)));
    let is_met = |spans: &[Span], span: &Span| {
        let here = match callee {
            None => traces.service(span) == service,
            Some(callee) => {
                let caller = match span.parent {
                    Parent::Span(parent) => Some(traces.service(&spans[parent as usize])),
                    Parent::Root | Parent::Missing => None,
                };
                Some(traces.service(span)) == callee && caller == Some(service)
            }
        };
        let theirs = customer.is_none_or(|(key, value)| {
            traces.attributes(span).iter().any(|(found_key, found)| Some(*found_key) == key && Some(*found) == value)
        });
        span.kind == Kind::Server && here && theirs
    };
    (0..traces.len()).map(|trace| traces.of(trace)).map(|spans| spans.iter().filter(|span| is_met(spans, span)).count()).sum()
}

struct Said<'a>(&'a Answer);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { cause, service, callee, customer } = self.0;
        write!(f, "{cause}")?;
        service.map_or(Ok(()), |service| write!(f, " {service}"))?;
        callee.map_or(Ok(()), |callee| write!(f, " → {callee}"))?;
        customer.as_ref().map_or(Ok(()), |customer| write!(f, " for {customer}"))
    }
}

fn first(diagnosis: &Diagnosis) -> String {
    let Some(suspect) = diagnosis.suspects.first() else { return "nobody".to_owned() };
    let Suspect { cause, service, callee, attribute, confidence, .. } = suspect;
    let mut said = format!("{cause:?} {}", service.as_deref().unwrap_or("everywhere"));
    said += &callee.as_ref().map_or(String::new(), |callee| format!(" → {callee}"));
    said += &attribute.as_ref().map_or(String::new(), |attribute| format!(" for {}={}", attribute.key, attribute.value));
    format!("{said} ({confidence:.2}, {} suspects)", diagnosis.suspects.len())
}
