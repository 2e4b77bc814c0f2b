//! How long the spans of a service or an operation took, and how much of that was theirs alone.

use serde::Serialize;

use super::Store;
use super::record::{Head, Span};
use super::segment::{Entry, Segment};
use super::spread::{Figures, Spread};
use super::walk::Spans;

/// Which spans: all, but for what is said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub service: Option<String>,
    pub operation: Option<String>,
    /// OTLP's number.
    pub kind: Option<u8>,
}

/// Durations of spans; and, of the same spans, the time in which none of their children ran.
#[derive(Debug, Serialize)]
pub(crate) struct Distribution {
    #[serde(flatten)]
    pub whole: Figures,
    #[serde(rename = "self")]
    pub own: Figures,
}

impl Store {
    /// The distribution over all that is stored. It reads every span of the traces that have such a service.
    pub(crate) fn distribution(&self, wanted: &Wanted) -> Distribution {
        let (mut whole, mut own) = (Spread::new(), Spread::new());
        self.walk(|segment, entry| {
            let service = match &wanted.service {
                Some(name) => match segment.service_names.find(name.as_bytes()) {
                    Some(service) => Some(service),
                    None => return,
                },
                None => None,
            };
            if !wanted.may_be_in(service, segment, entry) {
                return;
            }
            let spans = Spans::of(segment, entry);
            let mut times: Option<Vec<u64>> = None;
            for (place, span) in spans.all.iter().enumerate() {
                if wanted.is(service, segment, span) {
                    let failed = span.status() == 2;
                    whole.add(span.duration, failed);
                    own.add(times.get_or_insert_with(|| self_times(&spans))[place], failed);
                }
            }
        });
        Distribution { whole: whole.figures(), own: own.figures() }
    }
}

impl Wanted {
    /// Rules a trace out by the heads of its spans.
    fn may_be_in(&self, service: Option<u32>, segment: &Segment, entry: &Entry) -> bool {
        service.is_none_or(|service| {
            let mut groups = segment.records(entry).map(|record| Head::read(&segment.arena, record).0.group);
            groups.any(|group| segment.groups[group as usize].service == service)
        })
    }

    fn is(&self, service: Option<u32>, segment: &Segment, span: &Span<'_>) -> bool {
        service.is_none_or(|service| segment.groups[span.head.group as usize].service == service)
            && self.kind.is_none_or(|kind| span.kind() == kind)
            && self.operation.as_ref().is_none_or(|operation| span.name() == operation.as_bytes())
    }
}

/// Of each span, the time in which no child of it ran (nanoseconds).
fn self_times(spans: &Spans<'_>) -> Vec<u64> {
    let with_parent = |(place, span): (usize, &Span<'_>)| Some((spans.parent(place)?, span.start, span.end()));
    let mut children: Vec<_> = spans.all.iter().enumerate().filter_map(with_parent).collect();
    children.sort_unstable();
    let mut times: Vec<u64> = spans.all.iter().map(|span| span.duration).collect();
    for siblings in children.chunk_by(|a, b| a.0 == b.0) {
        let place = siblings[0].0;
        let parent = &spans.all[place];
        let mut covered_to = parent.start;
        for &(_, start, end) in siblings {
            let (start, end) = (start.max(covered_to), end.min(parent.end()));
            if start < end {
                times[place] = times[place].saturating_sub(end - start);
                covered_to = end;
            }
        }
    }
    times
}
