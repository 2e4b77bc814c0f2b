//! From single spans, in whatever order, to [`Traces`]: attributes whose values never repeat are given up on the way, and what
//! comes twice is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHashSet};

use super::ids::{hashed, hexadecimal, parent_number, span_number};
use super::link::Linker;
use super::texts::hash_of;
use super::{Kind, Parent, Resource, Span, Status, Text, TraceId, Traces};

/// A span as a reader found it.
#[derive(Clone, Debug, Default)]
pub struct NewSpan<'a> {
    pub trace_id: &'a str,
    pub span_id: &'a str,
    /// Empty where it has none.
    pub parent_id: &'a str,
    pub operation: &'a str,
    /// From [`Builder::resource`].
    pub resource: u32,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds; negative ones are left out and counted.
    pub duration: i64,
    pub kind: Kind,
    pub status: Status,
    pub attributes: &'a [(Text, Text)],
}

/// So many values of a key are kept before it is asked whether they repeat.
const VALUES: usize = 1_000;
/// Values that come less often than this on average are no groups of spans: ids, bodies, addresses with ports.
const REPEATS: u64 = 4;
/// No key keeps more, however often they repeat.
const MOST_VALUES: usize = 1 << 16;
/// So many keys are kept; where there are more, they are made of values themselves.
pub(super) const MOST_KEYS: usize = 1 << 12;
/// Bytes; a longer value is a body or a statement, which no group of spans shares.
const LONGEST_VALUE: usize = 1 << 10;
/// What a Jaeger calls itself: the query service of 1.x, that in one process with the others, and 2.x.
const JAEGERS_OWN: [&str; 3] = ["jaeger-query", "jaeger-all-in-one", "jaeger"];
/// What those call themselves that a Kubernetes node is made of, where they make traces.
const KUBERNETES_OWN: [&str; 4] = ["apiserver", "etcd", "kubelet", "containerd"];
/// Clocks differ, but not by more.
pub(super) const AHEAD: u64 = 60_000_000_000;

/// Takes spans one by one.
#[derive(Debug, Default)]
pub struct Builder {
    traces: Traces,
    resources: FxHashMap<Resource, u32>,
    pending: Vec<Pending>,
    /// In the order in which they came; their numbers.
    ids: Vec<TraceId>,
    numbers: FxHashMap<TraceId, u32>,
    /// The trace that the span before belonged to: spans mostly come by trace.
    latest: Option<(TraceId, u32)>,
    keys: FxHashMap<Text, Values>,
    /// Spans that start later are left out; 0 for no limit.
    latest_start: u64,
    /// Traces that a Jaeger made of questions to itself are left out.
    without_jaegers_own: bool,
    /// Traces in which nobody but Kubernetes itself took part are left out.
    without_kubernetes_own: bool,
    answer: Option<Answer>,
}

/// A span that is not linked yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Number of its trace.
    pub trace: u32,
    /// 0 where it has none.
    pub parent: u64,
    pub span: Span,
}

/// The values of one attribute key.
#[derive(Debug, Default)]
struct Values {
    known: HashTable<Text>,
    uses: u64,
    given_up: bool,
}

/// A part of the input that repeats traces of other parts.
#[derive(Debug)]
struct Answer {
    /// Where it began among the traces, the spans, and the spans' attributes.
    ids: usize,
    pending: usize,
    attributes: usize,
    /// What was left out and noted before.
    counts: (BTreeMap<&'static str, u64>, BTreeMap<&'static str, u64>),
    seen: FxHashSet<u32>,
    starts: Option<(u64, u64)>,
}

/// What an answer brought.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// How many traces, met before or not.
    pub traces: usize,
    /// Those that were not met before.
    pub new: Vec<TraceId>,
    /// The earliest and the latest start of a span, in nanoseconds since the epoch.
    pub starts: Option<(u64, u64)>,
}

impl Builder {
    /// Leaves out spans that start more than a minute after `now`, in nanoseconds since the epoch.
    pub fn until(now: u64) -> Self {
        Self { latest_start: now.saturating_add(AHEAD), ..Self::default() }
    }

    /// Leaves out traces of what a Jaeger was asked: it records that among the others, and who looks for a fault is not after it.
    #[must_use]
    pub fn without_jaegers_own(self) -> Self {
        Self { without_jaegers_own: true, ..self }
    }

    /// Leaves out traces in which nobody but Kubernetes itself took part: a pod that starts is slow for a request, and none.
    #[must_use]
    pub fn without_kubernetes_own(self) -> Self {
        Self { without_kubernetes_own: true, ..self }
    }

    /// Whether [`Builder::without_kubernetes_own`] leaves out what this service does alone.
    pub fn is_kubernetes_own(service: &str) -> bool {
        KUBERNETES_OWN.contains(&service)
    }

    pub fn text(&mut self, text: &str) -> Text {
        self.traces.texts.intern(text)
    }

    /// An attribute, or none where its values are too many or too long to tell groups of spans apart.
    pub fn attribute(&mut self, key: &str, value: &str) -> Option<(Text, Text)> {
        if value.len() > LONGEST_VALUE {
            return None;
        }
        let texts = &mut self.traces.texts;
        let key = match texts.find(key) {
            Some(key) => key,
            None if self.keys.len() < MOST_KEYS => texts.intern(key),
            None => {
                self.note("attribute with one key more than are looked at");
                return None;
            }
        };
        let values = self.keys.entry(key).or_default();
        if values.given_up {
            return None;
        }
        values.uses += 1;
        let hash = hash_of(value);
        if let Some(value) = values.known.find(hash, |of| texts.get(*of) == value) {
            return Some((key, *value));
        }
        let known = values.known.len();
        if known >= MOST_VALUES || (known >= VALUES && values.uses < known as u64 * REPEATS) {
            *values = Values { given_up: true, ..Values::default() };
            return None;
        }
        let value = texts.intern(value);
        values.known.insert_unique(hash, value, |of| hash_of(texts.get(*of)));
        Some((key, value))
    }

    /// The index of a resource; equal ones are one.
    pub fn resource(&mut self, resource: Resource) -> u32 {
        let next = u32::try_from(self.traces.resources.len()).expect("fewer than four thousand million resources");
        *self.resources.entry(resource).or_insert_with_key(|resource| {
            self.traces.resources.push(resource.clone());
            next
        })
    }

    /// Counts something that is not taken.
    pub fn leave_out(&mut self, reason: &'static str) {
        *self.traces.left_out.entry(reason).or_default() += 1;
    }

    /// Counts something that is taken though it is odd.
    pub fn note(&mut self, what: &'static str) {
        *self.traces.noted.entry(what).or_default() += 1;
    }

    pub fn push(&mut self, new: NewSpan<'_>) {
        let NewSpan { trace_id, span_id, parent_id, operation, resource, start, duration, kind, status, attributes } = new;
        if trace_id.is_empty() || span_id.is_empty() {
            return self.leave_out("span without an id");
        }
        let end = u64::try_from(duration).ok().and_then(|duration| start.checked_add(duration));
        let Some(end) = end else { return self.leave_out("span with a negative duration") };
        if self.latest_start > 0 && start > self.latest_start {
            return self.leave_out("span of the future");
        }
        let trace = self.trace(trace_id);
        if let Some(answer) = &mut self.answer {
            answer.seen.insert(trace);
            let (earliest, latest) = answer.starts.unwrap_or((start, start));
            answer.starts = Some((earliest.min(start), latest.max(start)));
            if (trace as usize) < answer.ids {
                return;
            }
        }
        let operation = self.traces.texts.intern(operation);
        let first = u32::try_from(self.traces.attributes.len()).expect("fewer than four thousand million attributes");
        let kept = &attributes[..attributes.len().min(usize::from(u16::MAX))];
        self.traces.attributes.extend_from_slice(kept);
        let attributes = (first, kept.len() as u16);
        let id = span_number(span_id);
        let span = Span { id, parent: Parent::Root, start, end, operation, resource, kind, status, attributes };
        self.pending.push(Pending { trace, parent: parent_number(parent_id), span });
    }

    /// How many spans were taken so far.
    pub fn pushed(&self) -> usize {
        self.pending.len()
    }

    /// How many traces were met so far.
    pub fn met(&self) -> usize {
        self.ids.len()
    }

    /// What the spans at these places came with as resource, or were given since.
    pub fn assigned(&self, places: Range<usize>) -> impl Iterator<Item = u32> {
        self.pending.get(places).unwrap_or_default().iter().map(|pending| pending.span.resource)
    }

    /// Gives the spans at these places the resource that `resource` makes of the one they came with: formats may name it last.
    pub fn assign(&mut self, places: Range<usize>, resource: impl Fn(u32) -> u32) {
        for Pending { span, .. } in self.pending.get_mut(places).unwrap_or_default() {
            span.resource = resource(span.resource);
        }
    }

    /// Forgets all spans but the first `pushed`, and says how many they were.
    pub fn take_back(&mut self, pushed: usize) -> usize {
        let more = self.pending.len().saturating_sub(pushed);
        self.pending.truncate(pushed);
        more
    }

    /// From here to [`Builder::end_answer`], traces that were met before are passed over.
    pub fn begin_answer(&mut self) {
        self.answer = Some(Answer {
            ids: self.ids.len(),
            pending: self.pending.len(),
            attributes: self.traces.attributes.len(),
            counts: (self.traces.left_out.clone(), self.traces.noted.clone()),
            seen: FxHashSet::default(),
            starts: None,
        });
    }

    /// How many traces the answer held so far, met before or not.
    pub fn answer_size(&self) -> usize {
        self.answer.as_ref().map_or(0, |answer| answer.seen.len())
    }

    /// The services of the spans without a parent that the answer brought.
    pub fn answered_roots(&self) -> Vec<String> {
        let first = self.answer.as_ref().map_or(self.pending.len(), |answer| answer.pending);
        let roots = self.pending[first..].iter().filter(|pending| pending.parent == 0);
        let services: BTreeSet<Text> = roots.map(|root| self.traces.service(&root.span)).collect();
        services.into_iter().map(|service| self.traces.texts.get(service).to_owned()).collect()
    }

    /// Keeps what the answer brought, or forgets it as if it had not come.
    pub fn end_answer(&mut self, keep: bool) -> Answered {
        let Some(answer) = self.answer.take() else { return Answered::default() };
        let new = self.ids[answer.ids..].to_vec();
        if !keep {
            for id in self.ids.drain(answer.ids..) {
                self.numbers.remove(&id);
            }
            self.latest = None;
            self.pending.truncate(answer.pending);
            self.traces.attributes.truncate(answer.attributes);
            (self.traces.left_out, self.traces.noted) = answer.counts;
        }
        Answered { traces: answer.seen.len(), new, starts: answer.starts }
    }

    /// Did a span of this trace come?
    pub fn knows(&self, trace: TraceId) -> bool {
        self.numbers.contains_key(&trace)
    }

    fn trace(&mut self, name: &str) -> u32 {
        let hexadecimal = hexadecimal(name);
        let id = TraceId(hexadecimal.unwrap_or_else(|| hashed(name)));
        if let Some((latest, number)) = self.latest
            && latest == id
        {
            return number;
        }
        let next = u32::try_from(self.ids.len()).expect("fewer than four thousand million traces");
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            self.ids.push(id);
            if hexadecimal.is_none() {
                self.traces.names.insert(id, self.traces.texts.intern(name));
            }
        }
        self.latest = Some((id, number));
        number
    }

    /// Groups what came into traces.
    pub fn finish(self) -> Traces {
        let Self { mut traces, mut pending, ids, keys, without_jaegers_own, without_kubernetes_own, .. } = self;
        let mut unkept: Vec<Text> = keys.into_iter().filter(|(_, values)| values.given_up).map(|(key, _)| key).collect();
        unkept.sort_unstable_by_key(|key| traces.texts.get(*key));
        traces.unkept = unkept.iter().map(|key| traces.texts.get(*key).to_owned()).collect();
        if !unkept.is_empty() {
            drop_attributes(&mut traces.attributes, &mut pending, &unkept);
            traces.resources.iter_mut().for_each(|resource| resource.attributes.retain(|(key, _)| !unkept.contains(key)));
        }
        traces.spans.reserve_exact(pending.len());
        let (mut order, ends) = by_trace(&pending, ids.len());
        let kubernetes: Vec<Text> = KUBERNETES_OWN.iter().filter_map(|name| traces.texts.find(name)).collect();
        let (mut linker, mut start) = (Linker::default(), 0);
        for (id, end) in ids.into_iter().zip(ends) {
            let first = traces.spans.len();
            let spans = &mut order[start..end as usize];
            start = end as usize;
            if without_jaegers_own && is_jaegers_own(&pending, spans, &traces) {
                *traces.left_out.entry("trace of Jaeger's own").or_default() += 1;
                continue;
            }
            let is_kubernetes = |at: &u32| kubernetes.contains(&traces.service(&pending[*at as usize].span));
            if without_kubernetes_own && spans.iter().all(is_kubernetes) {
                *traces.left_out.entry("trace of Kubernetes' own").or_default() += 1;
                continue;
            }
            linker.link(&pending, spans, &mut traces);
            if traces.spans.len() > first {
                traces.traces.push((id, first as u32..traces.spans.len() as u32));
            }
        }
        traces
    }
}

/// Did all begin in a Jaeger?
fn is_jaegers_own(pending: &[Pending], spans: &[u32], traces: &Traces) -> bool {
    let mut roots = spans.iter().map(|at| &pending[*at as usize]).filter(|pending| pending.parent == 0).peekable();
    roots.peek().is_some() && roots.all(|root| JAEGERS_OWN.contains(&traces.texts.get(traces.service(&root.span))))
}

/// Takes the attributes with these keys out: of most spans they were never taken.
fn drop_attributes(attributes: &mut Vec<(Text, Text)>, pending: &mut [Pending], keys: &[Text]) {
    let keys: FxHashSet<Text> = keys.iter().copied().collect();
    let mut kept = 0;
    // Spans were pushed in the order of their attributes, so nothing is overwritten that is still to be read.
    for Pending { span, .. } in pending {
        let (start, len) = span.attributes;
        let first = kept;
        for at in start as usize..start as usize + usize::from(len) {
            if !keys.contains(&attributes[at].0) {
                attributes[kept] = attributes[at];
                kept += 1;
            }
        }
        span.attributes = (first as u32, (kept - first) as u16);
    }
    attributes.truncate(kept);
}

/// The places of all spans trace by trace, and where each trace ends among them.
fn by_trace(pending: &[Pending], traces: usize) -> (Vec<u32>, Vec<u32>) {
    let mut ends = vec![0_u32; traces];
    for span in pending {
        ends[span.trace as usize] += 1;
    }
    let mut sum = 0;
    for end in &mut ends {
        // Where the trace begins; counting on from there leaves where it ends.
        sum += std::mem::replace(end, sum);
    }
    let mut order = vec![0_u32; pending.len()];
    for (at, span) in pending.iter().enumerate() {
        let place = &mut ends[span.trace as usize];
        order[*place as usize] = at as u32;
        *place += 1;
    }
    (order, ends)
}
