//! Traces as the diagnosis sees them: many spans in little memory, every text once.
//!
//! Readers (`read`) push spans into a [`Builder`] in whatever order they come; [`Builder::finish`] groups them into traces, links
//! parents, and leaves out what is no span, counting it by reason.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher as _;
use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

/// A text in [`Traces::texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(u32);

impl Text {
    /// Its place among the texts, in the order in which they were first seen.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Every text once.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
    index: HashTable<Text>,
}

impl Texts {
    pub fn intern(&mut self, text: &str) -> Text {
        let Self { bytes, ends, index } = self;
        let entry = index.entry(hash(text), |of| slice(bytes, ends, *of) == text, |of| hash(slice(bytes, ends, *of)));
        match entry {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(place) => {
                let new = Text(u32::try_from(ends.len()).expect("fewer than four thousand million texts"));
                place.insert(new);
                bytes.push_str(text);
                ends.push(bytes.len());
                new
            }
        }
    }

    pub fn find(&self, text: &str) -> Option<Text> {
        self.index.find(hash(text), |of| self.get(*of) == text).copied()
    }

    pub fn get(&self, text: Text) -> &str {
        slice(&self.bytes, &self.ends, text)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

fn slice<'a>(bytes: &'a str, ends: &[usize], text: Text) -> &'a str {
    let at = text.0 as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &bytes[start..ends[at]]
}

fn hash(text: &str) -> u64 {
    FxBuildHasher.hash_one(text)
}

/// A trace's id: 128 bits where it is hexadecimal, else a hash of its text, which is in [`Traces::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u128);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    #[default]
    Unset,
    Ok,
    Error,
}

/// Who made spans: a service and what else the resource says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    pub service: Text,
    /// Key and value, by key; the service's name is not among them.
    pub attributes: Vec<(Text, Text)>,
}

/// A span's parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// It has none.
    Root,
    /// One that is not among the spans that were read.
    Missing,
    /// This one of the trace: an index into [`Traces::of`].
    Span(u32),
}

#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub id: u64,
    pub parent: Parent,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds, at least `start`.
    pub end: u64,
    pub operation: Text,
    /// Index into [`Traces::resources`].
    pub resource: u32,
    pub kind: Kind,
    pub status: Status,
    attributes: (u32, u16),
}

impl Span {
    /// Nanoseconds.
    pub fn duration(&self) -> u64 {
        self.end - self.start
    }

    fn says_the_same(&self, other: &Self) -> bool {
        let key = |span: &Self| (span.start, span.end, span.operation, span.resource, span.kind, span.status);
        key(self) == key(other)
    }
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Traces {
    pub texts: Texts,
    pub resources: Vec<Resource>,
    /// By trace, inside a trace by start.
    spans: Vec<Span>,
    attributes: Vec<(Text, Text)>,
    traces: Vec<(TraceId, Range<u32>)>,
    /// The ids of traces that are not hexadecimal.
    names: FxHashMap<TraceId, Text>,
    /// What was not taken, and how often, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
    /// What was taken though it is odd, and how often.
    pub noted: BTreeMap<&'static str, u64>,
    /// Keys of attributes that were not kept, since their values hardly repeat.
    pub unkept: Vec<String>,
}

impl Traces {
    pub fn len(&self) -> usize {
        self.traces.len()
    }

    pub fn is_empty(&self) -> bool {
        self.traces.is_empty()
    }

    pub fn span_count(&self) -> usize {
        self.spans.len()
    }

    pub fn id(&self, trace: usize) -> TraceId {
        self.traces[trace].0
    }

    /// A trace's id as those write it who look for it: 32 hexadecimal digits, or the text that it came with.
    pub fn name(&self, id: TraceId) -> String {
        self.names.get(&id).map_or_else(|| format!("{:032x}", id.0), |name| self.texts.get(*name).to_owned())
    }

    /// The spans of a trace, by start; a [`Parent::Span`] counts from the first of them.
    pub fn of(&self, trace: usize) -> &[Span] {
        let range = &self.traces[trace].1;
        &self.spans[range.start as usize..range.end as usize]
    }

    /// Where a trace's spans stand among all spans: for tables with one entry a span.
    pub fn range(&self, trace: usize) -> Range<usize> {
        let range = &self.traces[trace].1;
        range.start as usize..range.end as usize
    }

    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    pub fn service(&self, span: &Span) -> Text {
        self.resources[span.resource as usize].service
    }

    pub fn attributes(&self, span: &Span) -> &[(Text, Text)] {
        let (start, len) = span.attributes;
        &self.attributes[start as usize..start as usize + usize::from(len)]
    }
}

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
const MOST_KEYS: usize = 1 << 12;
/// Bytes; a longer value is a body or a statement, which no group of spans shares.
const LONGEST_VALUE: usize = 1 << 10;
/// Clocks differ, but not by more.
const AHEAD: u64 = 60_000_000_000;

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
    answer: Option<Answer>,
}

/// A span that is not linked yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// Number of its trace.
    trace: u32,
    /// 0 where it has none.
    parent: u64,
    span: Span,
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
        let hash = hash(value);
        if let Some(value) = values.known.find(hash, |of| texts.get(*of) == value) {
            return Some((key, *value));
        }
        let known = values.known.len();
        if known >= MOST_VALUES || (known >= VALUES && values.uses < known as u64 * REPEATS) {
            *values = Values { given_up: true, ..Values::default() };
            return None;
        }
        let value = texts.intern(value);
        values.known.insert_unique(hash, value, |of| self::hash(texts.get(*of)));
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
        let Self { mut traces, mut pending, ids, keys, .. } = self;
        let mut unkept: Vec<Text> = keys.into_iter().filter(|(_, values)| values.given_up).map(|(key, _)| key).collect();
        unkept.sort_unstable_by_key(|key| traces.texts.get(*key));
        traces.unkept = unkept.iter().map(|key| traces.texts.get(*key).to_owned()).collect();
        if !unkept.is_empty() {
            drop_attributes(&mut traces.attributes, &mut pending, &unkept);
            traces.resources.iter_mut().for_each(|resource| resource.attributes.retain(|(key, _)| !unkept.contains(key)));
        }
        traces.spans.reserve_exact(pending.len());
        let (mut order, ends) = by_trace(&pending, ids.len());
        let (mut linker, mut start) = (Linker::default(), 0);
        for (id, end) in ids.into_iter().zip(ends) {
            let first = traces.spans.len();
            linker.link(&pending, &mut order[start..end as usize], &mut traces);
            start = end as usize;
            if traces.spans.len() > first {
                traces.traces.push((id, first as u32..traces.spans.len() as u32));
            }
        }
        traces
    }
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

/// Links the spans of one trace after the other.
#[derive(Debug, Default)]
struct Linker {
    /// Id and place of each span, by id.
    places: Vec<(u64, u32)>,
}

impl Linker {
    /// Appends the spans at `order` to `traces`, linked.
    fn link(&mut self, pending: &[Pending], order: &mut [u32], traces: &mut Traces) {
        let mut left_out = |reason, times| {
            if times > 0 {
                *traces.left_out.entry(reason).or_default() += times;
            }
        };
        order.sort_unstable_by_key(|at| {
            let Span { start, end, id, .. } = pending[*at as usize].span;
            (start, std::cmp::Reverse(end), id, *at)
        });
        let mut kept = self.places(pending, order);
        if self.places.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            let (identical, others) = self.drop_repeated(pending, order, &mut kept);
            left_out("duplicate span", identical);
            left_out("span with the id of another span", others);
        }
        let order = &order[..kept];
        let first = traces.spans.len();
        traces.spans.extend(order.iter().map(|at| pending[*at as usize].span));
        let spans = &mut traces.spans[first..];
        let mut upwards = true;
        for (place, at) in order.iter().enumerate() {
            let parent = self.parent(spans, place, pending[*at as usize].parent);
            upwards &= !matches!(parent, Parent::Span(parent) if parent as usize >= place);
            spans[place].parent = parent;
        }
        // Where every parent stands before its child there is no cycle.
        if !upwards {
            left_out("parent that is its own ancestor", break_cycles(spans));
        }
    }

    /// Notes the places of these spans, and returns how many there are.
    fn places(&mut self, pending: &[Pending], order: &[u32]) -> usize {
        self.places.clear();
        self.places.extend((0..).zip(order).map(|(place, at)| (pending[*at as usize].span.id, place)));
        self.places.sort_unstable();
        order.len()
    }

    /// Keeps one span of each id, or the two ends of a call that share one; the others are counted: those that say the same
    /// again, and those that do not.
    fn drop_repeated(&mut self, pending: &[Pending], order: &mut [u32], kept: &mut usize) -> (u64, u64) {
        let span = |place: u32| &pending[order[place as usize] as usize].span;
        let (mut identical, mut others, mut dropped) = (0, 0, FxHashSet::default());
        for same in self.places.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            let (first, mut second): (u32, Option<u32>) = (same[0].1, None);
            for &(_, place) in &same[1..] {
                if second.is_none() && calls(span(first).kind, span(place).kind) {
                    second = Some(place);
                    continue;
                }
                if [Some(first), second].into_iter().flatten().any(|kept| span(kept).says_the_same(span(place))) {
                    identical += 1;
                } else {
                    others += 1;
                }
                dropped.insert(place);
            }
        }
        let mut to = 0;
        for place in 0..order.len() {
            if !dropped.contains(&(place as u32)) {
                order[to] = order[place];
                to += 1;
            }
        }
        *kept = self.places(pending, &order[..to]);
        (identical, others)
    }

    /// The parent of the span at `place`, which names the id `parent`.
    fn parent(&self, spans: &[Span], place: usize, parent: u64) -> Parent {
        let own = &spans[place];
        // The one that was called has the id of the one that calls, and the same parent.
        if let [(_, a), (_, b)] = *self.at(own.id) {
            let other = if a as usize == place { b } else { a };
            if matches!(own.kind, Kind::Server | Kind::Consumer) {
                return Parent::Span(other);
            }
        }
        if parent == 0 {
            return Parent::Root;
        }
        match *self.at(parent) {
            [] => Parent::Missing,
            [(_, place)] => Parent::Span(place),
            // What the called one did further bears that id too; what stands beside the call in the caller's process does not.
            [(_, a), (_, b), ..] => {
                let (a_span, b_span) = (&spans[a as usize], &spans[b as usize]);
                let (caller, called) = if matches!(a_span.kind, Kind::Server | Kind::Consumer) { (b, a) } else { (a, b) };
                let of = |at: u32| spans[at as usize].resource;
                let callers = a_span.resource != b_span.resource && own.resource == of(caller);
                Parent::Span(if callers { caller } else { called })
            }
        }
    }

    fn at(&self, id: u64) -> &[(u64, u32)] {
        let start = self.places.partition_point(|(found, _)| *found < id);
        let rest = &self.places[start..];
        let len = rest.iter().take_while(|(found, _)| *found == id).count();
        &rest[..len]
    }
}

/// The two ends of a call, in either order.
fn calls(a: Kind, b: Kind) -> bool {
    let one = |a, b| matches!((a, b), (Kind::Client, Kind::Server) | (Kind::Producer, Kind::Consumer));
    one(a, b) || one(b, a)
}

/// Takes the parent from one span of every cycle, and counts them.
fn break_cycles(spans: &mut [Span]) -> u64 {
    let mut broken = 0;
    // 0: not seen, 1: on the way, 2: known to end at a root.
    let mut seen = vec![0_u8; spans.len()];
    let mut way = Vec::new();
    for start in 0..spans.len() {
        let mut at = start;
        way.clear();
        while seen[at] == 0 {
            seen[at] = 1;
            way.push(at);
            match spans[at].parent {
                Parent::Span(parent) if seen[parent as usize] == 1 => {
                    spans[at].parent = Parent::Missing;
                    broken += 1;
                }
                Parent::Span(parent) => at = parent as usize,
                Parent::Root | Parent::Missing => {}
            }
        }
        for &at in &way {
            seen[at] = 2;
        }
    }
    broken
}

/// A span's id as a number that is not 0.
fn span_number(text: &str) -> u64 {
    let number = number(text);
    ((number >> 64) as u64 ^ number as u64).max(1)
}

/// 0 where there is none: an empty text, or as some write it, nothing but zeros.
fn parent_number(text: &str) -> u64 {
    if text.bytes().all(|byte| byte == b'0') { 0 } else { span_number(text) }
}

/// Hexadecimal digits are the number they mean; other texts are hashed.
fn number(text: &str) -> u128 {
    hexadecimal(text).unwrap_or_else(|| hashed(text))
}

fn hexadecimal(text: &str) -> Option<u128> {
    let mut number = 0;
    let digits = text.len() <= 32
        && text.bytes().all(|byte| {
            let digit = DIGITS[usize::from(byte)];
            number = number << 4 | u128::from(digit & 15);
            digit < 16
        });
    digits.then_some(number)
}

fn hashed(text: &str) -> u128 {
    let half = |salt: u64| u128::from(FxBuildHasher.hash_one((salt, text)));
    half(1) << 64 | half(2)
}

/// What each byte is worth as a hexadecimal digit; 16 where it is none.
const DIGITS: [u8; 256] = {
    let mut digits = [16; 256];
    let mut value = 0;
    while value < 16 {
        let upper = b"0123456789ABCDEF"[value as usize];
        digits[upper as usize] = value;
        digits[upper.to_ascii_lowercase() as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::*;

    fn build(spans: &[(&str, &str, u64, i64)]) -> Traces {
        let mut builder = Builder::default();
        let service = builder.text("a");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        for (span_id, parent_id, start, duration) in spans {
            let (start, duration) = (*start, *duration);
            builder.push(NewSpan {
                trace_id: "1",
                span_id,
                parent_id,
                start,
                duration,
                resource,
                operation: "o",
                ..NewSpan::default()
            });
        }
        builder.finish()
    }

    #[test]
    fn spans_are_linked_in_whatever_order_they_come() {
        let traces = build(&[("c", "b", 20, 5), ("b", "a", 10, 20), ("a", "", 0, 40), ("d", "x", 15, 1)]);
        let parents: Vec<_> = traces.of(0).iter().map(|span| (span.id, span.parent)).collect();
        let expected = [(10, Parent::Root), (11, Parent::Span(0)), (13, Parent::Missing), (12, Parent::Span(1))];
        assert_eq!(parents, expected);
    }

    #[test]
    fn what_is_no_span_is_left_out_and_counted() {
        let traces = build(&[("a", "", 0, 40), ("a", "", 0, 40), ("b", "a", 3, -1), ("", "a", 3, 1)]);
        assert_eq!(traces.span_count(), 1);
        let left_out: Vec<_> = traces.left_out.into_iter().collect();
        assert_eq!(left_out, [("duplicate span", 1), ("span with a negative duration", 1), ("span without an id", 1)]);
    }

    #[test]
    fn a_cycle_is_broken_once() {
        let traces = build(&[("a", "c", 0, 9), ("b", "a", 1, 5), ("c", "b", 2, 3), ("d", "c", 3, 1), ("e", "e", 4, 1)]);
        assert_eq!(traces.left_out.get("parent that is its own ancestor"), Some(&2));
        for mut span in traces.of(0) {
            for _ in 0..5 {
                let Parent::Span(parent) = span.parent else { break };
                span = &traces.of(0)[parent as usize];
            }
            assert!(!matches!(span.parent, Parent::Span(_)), "every way ends");
        }
    }

    fn push(builder: &mut Builder, trace: &str, id: &str, parent: &str, kind: Kind, (start, duration): (u64, i64), resource: u32) {
        let (trace_id, span_id, parent_id, operation) = (trace, id, parent, "o");
        let new = NewSpan { trace_id, span_id, parent_id, operation, start, duration, resource, kind, ..NewSpan::default() };
        builder.push(new);
    }

    /// As Zipkin's instrumentation has it.
    #[test]
    fn both_ends_of_a_call_may_have_one_id() {
        let mut builder = Builder::default();
        let resources: Vec<u32> = ["caller", "called"]
            .map(|name| {
                let service = builder.text(name);
                builder.resource(Resource { service, attributes: vec![] })
            })
            .to_vec();
        push(&mut builder, "1", "b", "a", Kind::Server, (20, 50), resources[1]);
        push(&mut builder, "1", "a", "", Kind::Server, (0, 100), resources[0]);
        push(&mut builder, "1", "b", "a", Kind::Client, (10, 80), resources[0]);
        push(&mut builder, "1", "c", "b", Kind::Client, (30, 10), resources[1]);
        push(&mut builder, "1", "d", "b", Kind::Internal, (12, 3), resources[0]);
        push(&mut builder, "1", "b", "a", Kind::Server, (20, 50), resources[1]);
        push(&mut builder, "1", "b", "a", Kind::Server, (21, 9), resources[1]);
        let traces = builder.finish();
        let found: Vec<_> = traces.of(0).iter().map(|span| (span.id, span.kind, span.parent)).collect();
        let expected = [
            (10, Kind::Server, Parent::Root),
            (11, Kind::Client, Parent::Span(0)),
            (13, Kind::Internal, Parent::Span(1)),
            (11, Kind::Server, Parent::Span(1)),
            (12, Kind::Client, Parent::Span(3)),
        ];
        assert_eq!(found, expected);
        let left_out: Vec<_> = traces.left_out.into_iter().collect();
        assert_eq!(left_out, [("duplicate span", 1), ("span with the id of another span", 1)]);
    }

    #[test]
    fn traces_keep_the_order_in_which_they_came_however_their_spans_are_mixed() {
        let mut builder = Builder::default();
        let service = builder.text("s");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        for at in 0..1_000_u64 {
            let trace = format!("{:x}", 1 + (at * 7) % 10);
            push(&mut builder, &trace, &format!("{:x}", at + 1), "", Kind::Unspecified, (1_000 - at, 1), resource);
        }
        let traces = builder.finish();
        let ids: Vec<_> = (0..traces.len()).map(|trace| traces.id(trace).0).collect();
        assert_eq!(ids, [1, 8, 5, 2, 9, 6, 3, 10, 7, 4]);
        for trace in 0..10 {
            assert_eq!(traces.of(trace).len(), 100);
            assert!(traces.of(trace).is_sorted_by_key(|span| span.start));
        }
    }

    #[test]
    fn an_id_that_is_not_hexadecimal_is_told_as_it_came() {
        let mut builder = Builder::default();
        let service = builder.text("s");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        for trace in ["00AB", "0d8e-4f1c", "0d8e-4f1d"] {
            push(&mut builder, trace, "1", "", Kind::Unspecified, (1, 1), resource);
        }
        let traces = builder.finish();
        let names: Vec<_> = (0..traces.len()).map(|trace| traces.name(traces.id(trace))).collect();
        assert_eq!(names, ["000000000000000000000000000000ab", "0d8e-4f1c", "0d8e-4f1d"]);
    }

    #[test]
    fn keys_that_never_end_are_not_all_kept() {
        let mut builder = Builder::default();
        let kept = (0..2 * MOST_KEYS).filter(|at| builder.attribute(&format!("item.{at}"), "1").is_some()).count();
        assert_eq!((kept, builder.finish().noted.into_values().sum::<u64>()), (MOST_KEYS, MOST_KEYS as u64));
    }

    #[test]
    fn spans_of_the_future_are_left_out() {
        let mut builder = Builder::until(1_000);
        let service = builder.text("s");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        for (id, start) in [("a", 999), ("b", 1_000 + AHEAD), ("c", 1_001 + AHEAD), ("d", u64::MAX)] {
            push(&mut builder, "1", id, "", Kind::Unspecified, (start, 0), resource);
        }
        let traces = builder.finish();
        assert_eq!((traces.span_count(), traces.left_out.get("span of the future")), (2, Some(&2)));
    }

    #[test]
    fn what_an_answer_repeats_is_passed_over_and_what_it_lost_is_forgotten() {
        let mut builder = Builder::default();
        let service = builder.text("s");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        let one = |builder: &mut Builder, trace: &str, id: &str| push(builder, trace, id, "", Kind::Unspecified, (5, 1), resource);
        builder.begin_answer();
        one(&mut builder, "1", "a");
        one(&mut builder, "2", "a");
        builder.leave_out("x");
        builder.end_answer(false);
        assert!(builder.pushed() == 0 && !builder.knows(TraceId(1)));
        builder.begin_answer();
        one(&mut builder, "1", "a");
        one(&mut builder, "1", "b");
        assert_eq!(builder.answered_roots(), ["s"]);
        assert_eq!(builder.end_answer(true).new, [TraceId(1)]);
        builder.begin_answer();
        one(&mut builder, "1", "a");
        one(&mut builder, "3", "a");
        let answered = builder.end_answer(true);
        assert_eq!((answered.traces, answered.new, answered.starts), (2, vec![TraceId(3)], Some((5, 5))));
        let traces = builder.finish();
        assert_eq!((traces.len(), traces.span_count(), traces.left_out.len()), (2, 3, 0));
    }
}
