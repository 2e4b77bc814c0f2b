//! Which traces match: all conditions on one span, as Jaeger has it.
//!
//! A query is translated into the words of each segment first, so that a span is compared by numbers. The best so many
//! matches are kept in a heap; a span is decoded only if its trace would get in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::dictionary::Attribute;
use super::record::{Name, Span};
use super::segment::{Entry, Segment};
use super::{Store, TraceKey};
use crate::backend::attribute;

/// What a search asks for. Times are nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// Any service, where there is none.
    pub service: Option<String>,
    pub operation: Option<String>,
    pub start_min: u64,
    pub start_max: u64,
    pub duration_min: u64,
    pub duration_max: u64,
    /// Start and duration are those of the whole trace, not of the span that matches.
    pub whole: bool,
    /// The trace had begun at this time and not ended.
    pub in_flight_at: Option<u64>,
    pub attributes: Vec<(String, String)>,
    pub limit: usize,
    pub sort: Sort,
}

/// Which matches come first, over all that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The traces whose first span came in last.
    #[default]
    Arrival,
    Newest,
    Oldest,
    /// From the earliest start to the latest end.
    Longest,
    MostSpans,
    MostErrors,
}

impl Sort {
    /// More is earlier in the answer.
    fn key(self, entry: &Entry) -> u64 {
        match self {
            Sort::Arrival => 0,
            Sort::Newest => entry.start,
            Sort::Oldest => u64::MAX - entry.start,
            Sort::Longest => entry.duration(),
            Sort::MostSpans => u64::from(entry.spans),
            Sort::MostErrors => u64::from(entry.errors),
        }
    }
}

impl Store {
    /// The traces that match, best first. Writers get their turn after every segment.
    pub(crate) fn search(&self, query: &Query) -> Vec<TraceKey> {
        let mut best = Best::new(query.limit);
        let mut segments: Vec<u32> = self.read().segments.iter().map(|segment| segment.number).collect();
        // The likeliest winners first: they spare the others a closer look.
        if query.sort != Sort::Oldest {
            segments.reverse();
        }
        for number in segments {
            if query.sort == Sort::Arrival && best.heap.len() >= best.limit {
                break;
            }
            let ring = self.read();
            if let Some(matcher) = ring.segment(number).and_then(|segment| Matcher::new(query, segment)) {
                matcher.search(&mut best);
            }
        }
        best.into_keys()
    }
}

/// The best matches so far, the worst of them on top. Among equals the later arrival is better.
struct Best {
    limit: usize,
    heap: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    fn into_keys(self) -> Vec<TraceKey> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse((_, segment, entry))| TraceKey { segment, entry }).collect()
    }

    fn would_take(&self, candidate: (u64, u32, u32)) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|worst| worst.0 < candidate)
    }

    fn add(&mut self, candidate: (u64, u32, u32)) {
        if self.heap.len() >= self.limit {
            self.heap.pop();
        }
        self.heap.push(Reverse(candidate));
    }
}

/// A query in the words of one segment.
struct Matcher<'a> {
    query: &'a Query,
    segment: &'a Segment,
    service: Option<u32>,
    /// `Some(None)`: an operation that the dictionary does not have, and that a span may carry itself all the same.
    name: Option<Option<u32>>,
    conditions: Vec<Condition<'a>>,
}

enum Condition<'a> {
    Status(u8),
    NotStatus(u8),
    Kind(u8),
    /// Holds for these groups, whatever the span.
    Groups(Vec<bool>),
    Attribute {
        key: &'a [u8],
        text: &'a [u8],
        /// The dictionary's pairs that match.
        pairs: Vec<u32>,
        /// The groups that match by a resource or scope attribute.
        groups: Vec<bool>,
    },
}

impl<'a> Matcher<'a> {
    /// `None` where nothing in the segment can match.
    fn new(query: &'a Query, segment: &'a Segment) -> Option<Self> {
        let service = match &query.service {
            Some(name) => Some(segment.service_names.find(name.as_bytes())?),
            None => None,
        };
        let name = query.operation.as_ref().map(|name| segment.dictionaries.names.find(name.as_bytes()));
        let conditions = query.attributes.iter().map(|(key, text)| Condition::new(segment, key, text)).collect::<Option<_>>()?;
        Some(Self { query, segment, service, name, conditions })
    }

    fn search(&self, best: &mut Best) {
        let mut taken = vec![0u64; self.segment.entries.len() / 64 + 1];
        let postings = self.service.map(|service| self.segment.services[service as usize].postings.as_slice());
        // Where a service is in every trace, its postings rule nothing out that the traces themselves do not.
        match postings.filter(|postings| self.query.sort == Sort::Arrival || postings.len() < self.segment.entries.len()) {
            Some(postings) => {
                let floor = if self.query.whole { 0 } else { u32::try_from(self.query.duration_min / 1_000).unwrap_or(u32::MAX) };
                for posting in postings.iter().rev() {
                    if posting.duration_us < floor || matches!(self.name, Some(Some(name)) if posting.name != name) {
                        continue;
                    }
                    self.consider(posting.entry, best, &mut taken, |_| self.matches_record(posting.record));
                }
            }
            None => {
                for entry in (0..self.segment.entries.len() as u32).rev() {
                    self.consider(entry, best, &mut taken, |entry| {
                        self.segment.records(entry).any(|record| self.matches_record(record))
                    });
                }
            }
        }
    }

    #[inline]
    fn consider(&self, number: u32, best: &mut Best, taken: &mut [u64], matches: impl FnOnce(&Entry) -> bool) {
        let entry = &self.segment.entries[number as usize];
        let candidate = (self.query.sort.key(entry), self.segment.number, number);
        let (word, bit) = (number as usize / 64, 1u64 << (number % 64));
        if taken[word] & bit != 0 || !best.would_take(candidate) || !self.possible(entry) {
            return;
        }
        if matches(entry) {
            taken[word] |= bit;
            best.add(candidate);
        }
    }

    /// Rules a trace out by what is known of it as a whole.
    fn possible(&self, entry: &Entry) -> bool {
        let query = self.query;
        let whole = || entry.start >= query.start_min && entry.duration() <= query.duration_max;
        entry.spans > 0
            && entry.start <= query.start_max
            && entry.end >= query.start_min
            && entry.duration() >= query.duration_min
            && (!query.whole || whole())
            && query.in_flight_at.is_none_or(|at| entry.start <= at && at < entry.end)
    }

    fn matches_record(&self, record: u32) -> bool {
        let span = self.segment.span(record);
        let query = self.query;
        if self.service.is_some_and(|service| self.segment.groups[span.head.group as usize].service != service) {
            return false;
        }
        let in_time = || (query.start_min..=query.start_max).contains(&span.start);
        let so_long = || (query.duration_min..=query.duration_max).contains(&span.duration);
        // Of a whole trace both are known already.
        if !(query.whole || in_time() && so_long()) {
            return false;
        }
        match (self.name, span.name) {
            (None, _) => {}
            (Some(Some(wanted)), Name::Word(name)) if name == wanted => {}
            (Some(None), Name::Own(name)) if query.operation.as_ref().is_some_and(|wanted| wanted.as_bytes() == name) => {}
            _ => return false,
        }
        self.conditions.iter().all(|condition| condition.holds(&span))
    }
}

impl<'a> Condition<'a> {
    /// `None` where nothing can match.
    fn new(segment: &Segment, key: &'a str, text: &'a str) -> Option<Self> {
        let groups = |holds: &dyn Fn(&[u8], &[u8]) -> bool| -> Vec<bool> {
            let group =
                |group: &super::segment::Group| holds(segment.resources.get(group.resource), segment.scopes.get(group.scope));
            segment.groups.iter().map(group).collect()
        };
        Some(match key {
            "error" => match text {
                "true" | "True" | "TRUE" | "t" | "T" | "1" => Condition::Status(2),
                "false" | "False" | "FALSE" | "f" | "F" | "0" => Condition::NotStatus(2),
                _ => return None,
            },
            "span.status" => Condition::Status(match text.to_ascii_uppercase().as_str() {
                "OK" => 1,
                "ERROR" => 2,
                _ => 0,
            }),
            "span.kind" => Condition::Kind(kind_number(text)),
            "scope.name" => {
                Condition::Groups(groups(&|_, scope| attribute::repeated(scope, 1).last().unwrap_or_default() == text.as_bytes()))
            }
            "scope.version" => {
                Condition::Groups(groups(&|_, scope| attribute::repeated(scope, 2).last().unwrap_or_default() == text.as_bytes()))
            }
            _ => match key.strip_prefix("resource.") {
                Some(key) => {
                    Condition::Groups(groups(&|resource, _| has(attribute::elements(resource), key.as_bytes(), text.as_bytes())))
                }
                None => Condition::Attribute {
                    key: key.as_bytes(),
                    text: text.as_bytes(),
                    pairs: segment.dictionaries.attributes.pairs_like(key.as_bytes(), text.as_bytes()),
                    groups: groups(&|resource, scope| {
                        has(attribute::elements(resource), key.as_bytes(), text.as_bytes())
                            || has(attribute::repeated(scope, 3), key.as_bytes(), text.as_bytes())
                    }),
                },
            },
        })
    }

    fn holds(&self, span: &Span<'_>) -> bool {
        match self {
            Condition::Status(status) => span.status() == *status,
            Condition::NotStatus(status) => span.status() != *status,
            Condition::Kind(kind) => span.kind() == *kind,
            Condition::Groups(groups) => groups[span.head.group as usize],
            Condition::Attribute { key, text, pairs, groups } => {
                if groups[span.head.group as usize] {
                    return true;
                }
                let found = span.any_attribute(|attribute| match attribute {
                    Attribute::Pair(pair) => pairs.binary_search(&pair).is_ok(),
                    Attribute::Own { key: own, any } => own == *key && attribute::equals_text(any, text),
                });
                found || (span.has_events_or_links() && in_events_or_links(span, key, text))
            }
        }
    }
}

fn in_events_or_links(span: &Span<'_>, key: &[u8], text: &[u8]) -> bool {
    let mut tail = span.attributes(&mut Vec::new());
    tail.events.any(|event| has(attribute::repeated(event, 3), key, text))
        || tail.links.any(|link| has(attribute::repeated(link, 4), key, text))
}

fn has<'a>(attributes: impl Iterator<Item = &'a [u8]>, key: &[u8], text: &[u8]) -> bool {
    attributes.map(attribute::key_value).any(|(own, any)| own == key && attribute::equals_text(any, text))
}

/// OTLP's number of a span kind; what is unknown is unspecified.
fn kind_number(name: &str) -> u8 {
    kind_named(name).unwrap_or(0)
}

/// OTLP's number of a span kind.
pub(crate) fn kind_named(name: &str) -> Option<u8> {
    let kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"];
    kinds.iter().position(|kind| name.eq_ignore_ascii_case(kind)).map(|number| number as u8)
}
