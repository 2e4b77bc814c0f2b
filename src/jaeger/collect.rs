//! All traces of a time window, slice by slice.
//!
//! A slice that comes back full, too large or too late is divided; where a full one shows how dense the traces are there (most
//! storages give the newest), into as many parts as that asks for. Neighbours share their boundary, since a storage may
//! round; a trace that comes again is passed over.
//!
//! Which services to ask for: none, where the storage can search without (API v3 before memory, Badger or ClickHouse). Otherwise a
//! trace is found by any service in it, and asking for each of 90 would fetch every trace as often as it has services. So
//! each service is asked for a sample. Where that holds unknown traces, the services at their roots are read whole, and if
//! some are still unknown (a root that was not recorded, for example), the service itself is. Most samples after the first then hold nothing new. A
//! service whose unknown traces are rarer than one in a sample may be missed; `--service` reads it whole.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::api::{Answer, Api, Search, path, short, start_of};
use super::{Client, JaegerError, LEAST_DEPTH};
use crate::diagnose::model::{Answered, Builder, TraceId};
use crate::diagnose::read;

/// Traces of a service that are looked at before it is read whole.
const SAMPLE: usize = 100;
/// A full slice is divided into so many at most.
const MOST_PARTS: u64 = 16;
/// A server that refuses is asked for less so many times, and where it says that it is the depth, down to `LEAST_DEPTH`.
const REFUSALS: u32 = 3;
/// Slices that are late in a row, before the server is taken to be stuck.
const LATE: u32 = 8;
/// Slices that are too large though few traces were asked for, before one of them is left out: a trace of that size is met again in
/// every slice that it has a span in.
const LARGE: u32 = 32;

/// The legacy API answers with what it has, and says beside it what it could not load.
const COMPLAINT: &str = "answer that came with an error beside its traces";

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Nanoseconds since the epoch; traces with a span that starts in between.
    pub start: u64,
    pub end: u64,
    /// Only traces with one of these services; all traces where empty.
    pub services: Vec<String>,
    /// Reading stops after about so many traces, the newest first.
    pub limit: usize,
}

/// What reading came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    pub api: Api,
    /// Every service that the query API names, for whoever finds nothing.
    pub services: Vec<String>,
    /// Searches made.
    pub searches: u64,
    /// There were more traces than the limit.
    pub limited: bool,
    /// Slices of time that could not be divided any more and held more than the server gives, or the client takes, at once.
    pub crowded: u64,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Of what is being read at the moment, 0 to 1.
    pub share: f64,
    /// The service that is being read; none where all are at once.
    pub service: Option<String>,
    pub traces: usize,
    pub spans: usize,
}

/// A part of the window, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Slice {
    start: u64,
    end: u64,
}

impl Slice {
    fn width(self) -> u64 {
        self.end - self.start
    }

    /// The newest last, so that it is taken first.
    fn parts(self, parts: u64) -> impl Iterator<Item = Self> {
        let at = move |part: u64| self.start + (u128::from(self.width()) * u128::from(part) / u128::from(parts)) as u64;
        (0..parts).map(move |part| Self { start: at(part), end: at(part + 1) })
    }
}

/// How a pass over the window ended.
enum Pass {
    Done,
    /// The server does not do it.
    Refused(JaegerError),
}

/// What an answer means for its slice.
enum Step {
    Done,
    Divide(u64),
    Again,
    Refused(JaegerError),
}

/// A few traces of a service.
struct Sample {
    /// Services at their roots.
    roots: Vec<String>,
    /// Those that were not known.
    unknown: Vec<TraceId>,
}

struct Collector<'a, P> {
    client: &'a Client,
    wanted: &'a Wanted,
    builder: &'a mut Builder,
    progress: P,
    collected: Collected,
    depth: usize,
    refusals: u32,
    late: u32,
    large: u32,
    /// Answers in a row that were none.
    garbage: u32,
    /// Something was answered as it should be.
    answered: bool,
}

impl Client {
    /// Reads what is `wanted` into `builder` and tells `progress` after every answer.
    ///
    /// # Errors
    /// The query API cannot be reached, is none, or does not answer what it is asked.
    pub async fn collect(
        &self,
        wanted: &Wanted,
        builder: &mut Builder,
        progress: impl FnMut(&Progress),
    ) -> Result<Collected, JaegerError> {
        let (api, services) = self.connect().await?;
        let collected = Collected { api, services, searches: 0, limited: false, crowded: 0 };
        let depth = self.settings.depth.clamp(1, wanted.limit.max(1));
        let mut collector = Collector {
            client: self,
            wanted,
            builder,
            progress,
            collected,
            depth,
            refusals: 0,
            late: 0,
            large: 0,
            garbage: 0,
            answered: false,
        };
        collector.run().await?;
        Ok(collector.collected)
    }
}

impl<P: FnMut(&Progress)> Collector<'_, P> {
    async fn run(&mut self) -> Result<(), JaegerError> {
        let first = self.with_this_api().await;
        // Some releases serve v3's services, but not its traces as they are asked for here.
        let (Err(error), Api::V3, false) = (&first, self.collected.api, self.answered) else { return first };
        if matches!(error, JaegerError::Unreachable { .. }) {
            return first;
        }
        let Ok(Ok(services)) = self.client.services(Api::Legacy).await else { return first };
        self.collected.api = Api::Legacy;
        self.collected.services = services;
        self.with_this_api().await
    }

    async fn with_this_api(&mut self) -> Result<(), JaegerError> {
        if !self.wanted.services.is_empty() {
            for service in &self.wanted.services {
                self.whole(service).await?;
            }
            return Ok(());
        }
        let (before, depth) = (self.builder.met(), self.depth);
        if self.collected.api == Api::V3 {
            // A storage that needs a service refuses, or finds nothing.
            match self.pass(None).await? {
                Pass::Done if self.builder.met() > before => return Ok(()),
                Pass::Done => {}
                // The service was what it missed, not a smaller depth.
                Pass::Refused(_) => (self.depth, self.refusals, self.garbage) = (depth, 0, 0),
            }
        }
        self.by_service().await
    }

    async fn by_service(&mut self) -> Result<(), JaegerError> {
        let mut read = BTreeSet::new();
        for service in self.collected.services.clone() {
            if self.enough() {
                self.collected.limited = true;
                break;
            }
            if read.contains(&service) {
                continue;
            }
            let Some(sample) = self.sample(&service).await? else { continue };
            for root in sample.roots {
                if read.insert(root.clone()) {
                    self.whole(&root).await?;
                }
            }
            if sample.unknown.iter().any(|id| !self.builder.knows(*id)) && read.insert(service.clone()) {
                self.whole(&service).await?;
            }
        }
        Ok(())
    }

    /// A sample of a service that holds unknown traces; one that holds all there are is kept instead.
    async fn sample(&mut self, service: &str) -> Result<Option<Sample>, JaegerError> {
        let (window, depth) = (self.window(), self.depth.min(SAMPLE));
        let search = Search { service: Some(service.to_owned()), start: window.start, end: window.end, depth };
        self.collected.searches += 1;
        // What cannot be had at once is had in slices.
        let whole = || Sample { roots: vec![service.to_owned()], unknown: Vec::new() };
        let body = match self.client.search(self.collected.api, &search).await? {
            Answer::Traces(body) => body,
            Answer::Nothing => return Ok(None),
            _ => return Ok(Some(whole())),
        };
        self.builder.begin_answer();
        if !matches!(read::json(&body[..], self.builder), Ok(outcome) if outcome.broken.is_none()) {
            self.builder.end_answer(false);
            return Ok(Some(whole()));
        }
        self.answered = true;
        let roots = self.builder.answered_roots();
        let all = self.builder.answer_size() < depth;
        let Answered { new, .. } = self.builder.end_answer(all);
        self.tell(1.0, Some(service));
        Ok((!all && !new.is_empty()).then_some(Sample { roots, unknown: new }))
    }

    async fn whole(&mut self, service: &str) -> Result<(), JaegerError> {
        match self.pass(Some(service)).await? {
            Pass::Done => Ok(()),
            Pass::Refused(error) => Err(error),
        }
    }

    /// Reads the whole window, of one service or without.
    async fn pass(&mut self, service: Option<&str>) -> Result<Pass, JaegerError> {
        // What is asked for at the same time may be older than what a limit is for.
        let one_by_one = self.wanted.limit <= self.depth.saturating_mul(4);
        let whole = self.window();
        let (mut waiting, mut asked, mut covered) = (vec![whole], JoinSet::new(), 0);
        loop {
            while asked.len() < if one_by_one { 1 } else { self.client.portion(self.depth).0 } {
                if self.enough() {
                    self.collected.limited |= !waiting.is_empty();
                    waiting.clear();
                }
                let Some(slice) = waiting.pop() else { break };
                let (client, api) = (self.client.clone(), self.collected.api);
                let service = service.map(str::to_owned);
                let search = Search { service, start: slice.start, end: slice.end, depth: self.depth };
                self.collected.searches += 1;
                asked.spawn(async move {
                    let answer = client.search(api, &search).await;
                    (slice, search, answer)
                });
            }
            let Some(joined) = asked.join_next().await else { return Ok(Pass::Done) };
            let (slice, search, answer) = match joined {
                Ok(answered) => answered,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            match self.step(slice, &search, answer?)? {
                Step::Done => covered += slice.width(),
                Step::Divide(parts) => waiting.extend(slice.parts(parts)),
                Step::Again => waiting.push(slice),
                Step::Refused(error) if self.answered => return Err(error),
                Step::Refused(error) => return Ok(Pass::Refused(error)),
            }
            self.tell(covered as f64 / whole.width() as f64, service);
        }
    }

    fn step(&mut self, slice: Slice, search: &Search, answer: Answer) -> Result<Step, JaegerError> {
        let path = path(self.collected.api, search);
        match answer {
            Answer::Traces(body) => return self.take(slice, search, &body),
            Answer::Nothing => {}
            Answer::TooLarge if search.depth > self.depth => return Ok(Step::Again),
            // Traces are larger here than was thought: fewer at once, or each slice would be fetched in vain.
            Answer::TooLarge if self.depth > LEAST_DEPTH => {
                self.depth = (self.depth / 4).max(LEAST_DEPTH);
                return Ok(Step::Again);
            }
            Answer::TooLarge if slice.width() > 1 && self.large < LARGE => {
                self.large += 1;
                return Ok(Step::Divide(4));
            }
            Answer::TooLarge => self.collected.crowded += 1,
            Answer::TooSlow => {
                self.late += 1;
                if self.late > LATE || slice.width() <= 1 {
                    let seconds = self.client.settings.answer.as_secs();
                    return Err(JaegerError::Slow { base: self.client.base.clone(), seconds });
                }
                // Some storages take their time for the number of traces, others for that of the hours.
                if search.depth == self.depth && self.depth > LEAST_DEPTH {
                    self.depth = (self.depth / 2).max(LEAST_DEPTH);
                }
                return Ok(Step::Divide(4));
            }
            Answer::Refused(status, said) => {
                let error = self.client.refused(&path, status, &said);
                // Asked before the depth was lowered.
                if search.depth > self.depth {
                    return Ok(Step::Again);
                }
                self.refusals += u32::from(!names_depth(&said));
                let hopeless = status.is_client_error() && !names_depth(&said);
                if hopeless || self.refusals > REFUSALS || self.depth <= LEAST_DEPTH.min(self.wanted.limit) {
                    return Ok(Step::Refused(error));
                }
                self.depth /= 2;
                return Ok(Step::Again);
            }
            Answer::NotServed => return Ok(Step::Refused(self.client.refused(&path, StatusCode::NOT_FOUND, ""))),
        }
        self.answered = true;
        self.late = 0;
        Ok(Step::Done)
    }

    /// Reads an answer with traces.
    fn take(&mut self, slice: Slice, search: &Search, body: &[u8]) -> Result<Step, JaegerError> {
        self.builder.begin_answer();
        let failed = match read::json(body, self.builder) {
            Ok(outcome) if outcome.broken.is_none() && outcome.refusal.is_some() && self.builder.answer_size() > 0 => {
                self.builder.note(COMPLAINT);
                None
            }
            Ok(outcome) => outcome.broken.or(outcome.refusal.map(|refusal| format!("{refusal:?}"))),
            Err(error) => Some(format!("{error}; it begins with {}", start_of(body))),
        };
        if let Some(reason) = failed {
            self.builder.end_answer(false);
            let path = short(&path(self.collected.api, search));
            let error = JaegerError::Garbage { base: self.client.base.clone(), path, reason };
            self.garbage += 1;
            return if self.garbage < self.client.settings.attempts { Ok(Step::Again) } else { Ok(Step::Refused(error)) };
        }
        let Answered { traces, starts, .. } = self.builder.end_answer(true);
        (self.answered, self.late, self.garbage) = (true, 0, 0);
        if traces < search.depth {
            return Ok(Step::Done);
        }
        if slice.width() <= 1 {
            self.collected.crowded += 1;
            return Ok(Step::Done);
        }
        // A part that is as dense as what came shall be half full.
        let (earliest, latest) = starts.unwrap_or_default();
        let spread = ((latest - earliest) / 1_000).max(1);
        Ok(Step::Divide((slice.width().saturating_mul(2) / spread).clamp(2, MOST_PARTS)))
    }

    fn window(&self) -> Slice {
        let start = self.wanted.start / 1_000;
        Slice { start, end: self.wanted.end.div_ceil(1_000).max(start + 1) }
    }

    fn enough(&self) -> bool {
        self.builder.met() >= self.wanted.limit
    }

    fn tell(&mut self, share: f64, service: Option<&str>) {
        let service = service.map(str::to_owned);
        (self.progress)(&Progress { share, service, traces: self.builder.met(), spans: self.builder.pushed() });
    }
}

/// Is it the number of traces asked for that the server does not like?
fn names_depth(said: &str) -> bool {
    ["depth", "limit", "max traces", "num_traces", "result window"].iter().any(|word| said.contains(word))
}
