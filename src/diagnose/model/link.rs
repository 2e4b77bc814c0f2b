//! Which span is whose child, within one trace.

use rustc_hash::FxHashSet;

use super::builder::Pending;
use super::{Kind, Parent, Span, Traces};

/// Links the spans of one trace after the other.
#[derive(Debug, Default)]
pub(super) struct Linker {
    /// Id and place of each span, by id.
    places: Vec<(u64, u32)>,
}

impl Linker {
    /// Appends the spans at `order` to `traces`, linked.
    pub fn link(&mut self, pending: &[Pending], order: &mut [u32], traces: &mut Traces) {
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
