//! For programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::flame::{self, Box, What};
use super::histogram::{Column, Histogram};
use super::{Report, words};
use crate::diagnose::profile::Profile;
use crate::diagnose::{Attribute, Charge, Effect, Suspect, SuspectCause, Traces};

/// Characters of a name in the flame graph; whoever made spans may have named them by a book.
const LONGEST_NAME: usize = 200;
/// So many services are named with what speaks against them.
const RANKED: usize = 10;

/// The whole answer; its names stay as they are.
#[derive(Serialize)]
struct Document<'a> {
    read: Read,
    /// The best first; empty when nothing stands out.
    suspects: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Read {
    traces: usize,
    spans: usize,
    /// What was not taken, by reason.
    left_out: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    cause: SuspectCause,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<&'a Attribute>,
    confidence: f64,
    effect: Effect,
    evidence: &'a [String],
    examples: Vec<String>,
}

/// The same with what a page draws.
#[derive(Serialize)]
struct Drawn<'a> {
    #[serde(flatten)]
    document: Document<'a>,
    /// Why it is not about all that there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    page: Page<'a>,
    flame: Flame,
}

/// What the report's other forms say beside figures, in the same words.
#[derive(Serialize)]
struct Page<'a> {
    title: String,
    /// What was looked at, where nothing stands out.
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_at: Option<&'static str>,
    /// What was left out, what is odd, what was mended.
    remarks: Vec<String>,
    /// As many as there are suspects, in their order.
    suspects: Vec<Said>,
    services: usize,
    /// How all traces went.
    now: Effect,
    /// How long they took, and who of them the first suspect concerns.
    latency: Vec<Column>,
    /// The critical paths of those alone, where there are others too.
    #[serde(skip_serializing_if = "Option::is_none")]
    concerned: Option<Flame>,
    ranking: Vec<Ranked<'a>>,
}

#[derive(Serialize)]
struct Said {
    place: String,
    meaning: &'static str,
    /// Percent.
    sure: u32,
    /// A label, the figure now, the figure fixed.
    changes: Vec<(&'static str, String, String)>,
}

#[derive(Serialize)]
struct Ranked<'a> {
    service: &'a str,
    score: f64,
}

/// Where the time of all critical paths goes.
#[derive(Serialize)]
struct Flame {
    /// How many critical paths these are.
    traces: u64,
    total_ms: f64,
    roots: Vec<Node>,
}

/// An operation under the one that called it, or several that are too narrow each.
#[derive(Serialize)]
struct Node {
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// So many operations together, in place of the names.
    #[serde(skip_serializing_if = "Option::is_none")]
    others: Option<usize>,
    /// With all that it called, and without; of all traces together.
    total_ms: f64,
    self_ms: f64,
    spans: u64,
    /// The widest first.
    children: Vec<Node>,
}

impl Report<'_> {
    /// The diagnosis as one line of JSON:
    ///
    /// ```json
    /// {
    ///   "read": {"traces": 2000, "spans": 14000, "left_out": {"duplicate span": 3}},
    ///   "suspects": [{
    ///     "cause": "customer",
    ///     "service": "dummy-1-17",
    ///     "attribute": {"key": "customer.id", "value": "42"},
    ///     "confidence": 0.94,
    ///     "effect": {
    ///       "traces": 210,
    ///       "p50_ms": {"now": 41.0, "fixed": 40.2},
    ///       "p99_ms": {"now": 2400.0, "fixed": 310.0},
    ///       "mean_ms": {"now": 97.0, "fixed": 44.0},
    ///       "error_share": {"now": 0.02, "fixed": 0.001}
    ///     },
    ///     "evidence": ["…"],
    ///     "examples": ["4bf92f3577b34da6a3ce929d0e0e4736"]
    ///   }]
    /// }
    /// ```
    ///
    /// The best suspect comes first, and there is none when nothing stands out. Times are milliseconds of whole traces; `confidence`
    /// and `error_share` are between 0 and 1; `evidence` is for people and may change; `examples` are trace IDs. `service`, `callee`
    /// (the other end of a pair) and `attribute` are absent where they do not apply.
    pub fn json(&self) -> String {
        serde_json::to_string(&self.document()).expect("texts and numbers can be written as JSON")
    }

    /// [`Report::json`] with, as `flame`, the tree of critical paths that the page draws, over all traces:
    ///
    /// ```json
    /// {"traces": 2000, "total_ms": 194000.0, "roots": [{
    ///   "service": "frontend", "operation": "POST /api/buttons/{button}",
    ///   "total_ms": 194000.0, "self_ms": 1200.5, "spans": 2000, "children": [{"others": 7, "…": 0}]
    /// }]}
    /// ```
    ///
    /// Siblings come the widest first; those that are too narrow to be seen are one, which says by `others` how many they are and has
    /// no name. `note` is there where the diagnosis is not about all that was asked for.
    ///
    /// `page` has what the other forms of the report say beside this: `title`, `remarks`, `looked_at` where nothing stands out, for each
    /// suspect its `place`, `meaning`, how `sure` it is in percent and its `changes` (a label, now, fixed), how many `services` there
    /// are, how all traces went (`now`), a histogram of how long they took (`latency`: `{from_ms, to_ms, others, concerned, fixed}`),
    /// the flame graph of those that the first suspect concerns (`concerned`), and the services that most speaks against (`ranking`).
    pub fn json_with_flame(&self, note: Option<&str>) -> String {
        let [profile, _] = self.profiles(|_| true);
        let drawn = Drawn { document: self.document(), note, page: self.page(), flame: Flame::of(&profile, self.traces) };
        serde_json::to_string(&drawn).expect("texts and numbers can be written as JSON")
    }

    fn page(&self) -> Page<'_> {
        let outcomes = self.outcomes();
        let suspects = &self.diagnosis.suspects;
        let charged: &[Charge] = suspects.first().map_or(&[], |first| &first.charged);
        let latency = if outcomes.is_empty() { Vec::new() } else { Histogram::of(&outcomes, charged).columns };
        Page {
            title: words::title(self),
            looked_at: (suspects.is_empty() && !self.traces.is_empty()).then_some(words::LOOKED_AT),
            remarks: self.remarks(),
            suspects: suspects.iter().map(Said::of).collect(),
            services: self.services(),
            now: words::now(&outcomes),
            latency,
            concerned: self.concerned(charged),
            ranking: self.diagnosis.ranking.iter().take(RANKED).map(|(service, score)| Ranked { service, score: *score }).collect(),
        }
    }

    fn concerned(&self, charged: &[Charge]) -> Option<Flame> {
        let mut concerned = vec![false; self.traces.len()];
        for charge in charged {
            if let Some(concerned) = concerned.get_mut(charge.trace as usize) {
                *concerned = true;
            }
        }
        // All or none of them is no other picture than that of all.
        let differ = concerned.contains(&true) && concerned.contains(&false);
        differ.then(|| {
            let [profile, _] = self.profiles(|trace| concerned[trace]);
            Flame::of(&profile, self.traces)
        })
    }

    fn document(&self) -> Document<'_> {
        let read = Read { traces: self.traces.len(), spans: self.traces.span_count(), left_out: self.traces.left_out.clone() };
        Document { read, suspects: self.diagnosis.suspects.iter().map(|suspect| Line::of(suspect, self.traces)).collect() }
    }
}

impl<'a> Line<'a> {
    fn of(suspect: &'a Suspect, traces: &Traces) -> Self {
        let Suspect { cause, service, callee, attribute, confidence, effect, evidence, examples, charged: _ } = suspect;
        Self {
            cause: *cause,
            service: service.as_deref(),
            callee: callee.as_deref(),
            attribute: attribute.as_ref(),
            confidence: *confidence,
            effect: *effect,
            evidence,
            examples: examples.iter().map(|trace| traces.name(*trace)).collect(),
        }
    }
}

impl Said {
    fn of(suspect: &Suspect) -> Self {
        Self {
            place: words::place(suspect),
            meaning: words::meaning(suspect.cause),
            sure: words::sure(suspect),
            changes: words::changes(&suspect.effect),
        }
    }
}

impl Flame {
    fn of(profile: &Profile, traces: &Traces) -> Self {
        let boxes = flame::boxes(profile, traces);
        let mut nodes: Vec<Option<Node>> = boxes.iter().map(|one| Some(Node::of(one, traces))).collect();
        let mut roots = Vec::new();
        // From the last to the first: each has got all below it when it goes to its caller.
        for at in (0..boxes.len()).rev() {
            let Some(mut node) = nodes[at].take() else { continue };
            node.children.reverse();
            match boxes[at].caller.and_then(|caller| nodes[caller].as_mut()) {
                Some(caller) => caller.children.push(node),
                None => roots.push(node),
            }
        }
        roots.reverse();
        Self { traces: profile.traces(), total_ms: roots.iter().map(|root| root.total_ms).sum(), roots }
    }
}

impl Node {
    fn of(one: &Box, traces: &Traces) -> Self {
        let name = |text| traces.texts.get(text).chars().take(LONGEST_NAME).collect::<String>();
        let (service, operation, others) = match one.what {
            What::Frame { service, operation } => (Some(name(service)), Some(name(operation)), None),
            What::Others(count) => (None, None, Some(count)),
        };
        let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let (total_ms, self_ms) = (ms(one.inclusive), ms(one.exclusive));
        Self { service, operation, others, total_ms, self_ms, spans: one.spans, children: Vec::new() }
    }
}
