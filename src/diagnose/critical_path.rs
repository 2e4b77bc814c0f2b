//! What the end of a trace waited for, moment by moment.
//!
//! Walked backwards from the end of the main root: the child that ended last was waited for until it ended, before it the child that
//! ended before it began, and so on down every child; what no child accounts for was the span's own time. Two rules differ in which
//! earlier sibling they take:
//! - [`Rule::Crisp`], after Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures" (USENIX ATC '22):
//!   one that ends before the later one starts, or overlaps it by less than a hundredth of the parent's duration while nothing else
//!   begins or ends there, as clocks that differ by a little make it look.
//! - [`Rule::JaegerUi`], that of the Jaeger UI: only one that ends before the later one starts. Spans that send or receive messages
//!   are not waited for.
//!
//! What sticks out of a parent is cut, here as there (CRISP drops a child that sticks out on both sides; a cut one says more). Clocks
//! and lost parents are for `repair`, which comes first.

use super::model::{Kind, Span};
use super::tree::{Tree, main_root};

/// Which siblings are on the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    #[default]
    Crisp,
    JaegerUi,
}

/// Siblings that overlap by less than one part in this many of their parent's duration follow one another, says CRISP.
const OVERLAP: u64 = 100;

/// A part of the critical path in which a span itself, not a child of it, was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Index into the trace's spans.
    pub span: u32,
    /// Nanoseconds since the epoch; where CRISP's rule lets siblings overlap, the earlier one and all below it count as that much earlier.
    pub start: u64,
    pub end: u64,
}

impl Stretch {
    /// Nanoseconds.
    pub fn duration(&self) -> u64 {
        self.end - self.start
    }
}

/// Finds critical paths one after the other without new memory for each.
#[derive(Clone, Debug, Default)]
pub struct Walker {
    tree: Tree,
    way: Vec<Visit>,
    /// The children of the spans on the way, those of one span together, by end.
    kids: Vec<Kid>,
    /// When those children start, for the spans where it was asked; each sorted.
    starts: Vec<u64>,
}

/// A span on the way down, cut to what its parent leaves of it.
#[derive(Clone, Copy, Debug)]
struct Visit {
    span: u32,
    /// Its times as recorded.
    start: u64,
    end: u64,
    /// By how much it counts as earlier than recorded.
    shift: u64,
    /// Where it starts on the path.
    from: u64,
    /// What is later is accounted for.
    until: u64,
    /// Its children in `kids`, and those not yet looked at.
    kids: (usize, usize),
    left: usize,
    /// Its children's starts in `starts`, once they are there.
    starts: Option<usize>,
    /// The child taken last.
    later: Option<Kid>,
    /// It has a stretch.
    seen: bool,
}

#[derive(Clone, Copy, Debug)]
struct Kid {
    span: u32,
    start: u64,
    end: u64,
}

/// The critical path of a trace from its main root, by time. The stretches of a path follow each other without gap or overlap from the
/// root's start to its end; every span on it has at least one, empty where its children take all of its time.
///
/// For many traces keep a [`Walker`].
pub fn critical_path(spans: &[Span], rule: Rule, out: &mut Vec<Stretch>) {
    Walker::default().walk(spans, rule, out);
}

/// Adds up what each span has of a path, as nanoseconds, into a table with an entry for each span of the trace.
pub fn exclusive(path: &[Stretch], of_span: &mut [u64]) {
    for stretch in path {
        of_span[stretch.span as usize] += stretch.duration();
    }
}

impl Walker {
    /// Like [`critical_path`]; what `out` held is gone.
    pub fn walk(&mut self, spans: &[Span], rule: Rule, out: &mut Vec<Stretch>) {
        out.clear();
        let Some(root) = main_root(spans) else { return };
        self.tree.link(spans);
        self.walk_from(root, spans, rule, out);
    }

    fn walk_from(&mut self, root: u32, spans: &[Span], rule: Rule, out: &mut Vec<Stretch>) {
        self.way.clear();
        self.kids.clear();
        self.starts.clear();
        let Span { start, end, .. } = spans[root as usize];
        self.visit(Kid { span: root, start, end }, 0, start, end, spans, rule);
        while let Some(mut visit) = self.way.pop() {
            let Some(kid) = self.next_child(&mut visit, rule) else {
                if visit.from < visit.until || !visit.seen {
                    out.push(Stretch { span: visit.span, start: visit.from, end: visit.until });
                }
                self.kids.truncate(visit.kids.0);
                self.starts.truncate(visit.starts.unwrap_or(self.starts.len()));
                continue;
            };
            let ended = kid.end.saturating_sub(visit.shift);
            let until = ended.min(visit.until).max(visit.from);
            if until < visit.until {
                out.push(Stretch { span: visit.span, start: until, end: visit.until });
                visit.seen = true;
            }
            let shift = visit.shift + ended.saturating_sub(until);
            let from = kid.start.saturating_sub(shift).clamp(visit.from, until);
            visit.later = Some(kid);
            visit.until = from;
            self.way.push(visit);
            self.visit(kid, shift, from, until, spans, rule);
        }
        out.reverse();
    }

    fn visit(&mut self, Kid { span, start, end }: Kid, shift: u64, from: u64, until: u64, spans: &[Span], rule: Rule) {
        let first = self.kids.len();
        for kid in self.tree.children(span) {
            let child = &spans[kid as usize];
            let inside = child.start >= start && child.end <= end || child.start < end && child.end > start;
            let waited_for = rule == Rule::Crisp || !matches!(child.kind, Kind::Producer | Kind::Consumer);
            if inside && waited_for {
                self.kids.push(Kid { span: kid, start: child.start.max(start), end: child.end.min(end) });
            }
        }
        // The last is taken first: of those that end together the one that began first.
        self.kids[first..].sort_unstable_by_key(|kid| (kid.end, std::cmp::Reverse((kid.start, kid.span))));
        let kids = (first, self.kids.len());
        self.way.push(Visit { span, start, end, shift, from, until, kids, left: kids.1, starts: None, later: None, seen: false });
    }

    /// The next child on the path, from the end.
    fn next_child(&mut self, visit: &mut Visit, rule: Rule) -> Option<Kid> {
        while visit.left > visit.kids.0 {
            visit.left -= 1;
            let kid = self.kids[visit.left];
            let taken = match visit.later {
                None => true,
                Some(later) if kid.end < later.start || rule == Rule::Crisp && kid.end == later.start => true,
                Some(later) => rule == Rule::Crisp && self.nearly_before(kid, later, visit),
            };
            if taken {
                return Some(kid);
            }
        }
        None
    }

    /// CRISP's allowance.
    fn nearly_before(&mut self, kid: Kid, later: Kid, visit: &mut Visit) -> bool {
        let overlap = kid.end - later.start;
        let little = u128::from(overlap) * u128::from(OVERLAP) < u128::from(visit.end - visit.start);
        if !(little && kid.end < later.end && kid.start < later.start) {
            return false;
        }
        let siblings = &self.kids[visit.kids.0..visit.kids.1];
        let first = *visit.starts.get_or_insert_with(|| {
            let first = self.starts.len();
            self.starts.extend(siblings.iter().map(|kid| kid.start));
            self.starts[first..].sort_unstable();
            first
        });
        let starts = &self.starts[first..first + siblings.len()];
        let ended = siblings.partition_point(|one| one.end <= kid.end) - siblings.partition_point(|one| one.end < later.start);
        let started = starts.partition_point(|start| *start <= kid.end) - starts.partition_point(|start| *start < later.start);
        // These two themselves.
        ended + started == 2
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::diagnose::model::{Builder, NewSpan, Resource, Traces};

    /// Spans of one trace: name, parent, start, end; a name that begins with `>` sends a message.
    fn trace(spans: &[(&str, &str, u64, u64)]) -> Traces {
        let mut builder = Builder::default();
        let service = builder.text("service");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        for (name, parent_id, start, end) in spans {
            let kind = if name.starts_with('>') { Kind::Producer } else { Kind::Unspecified };
            builder.push(NewSpan {
                trace_id: "1",
                span_id: name,
                parent_id,
                operation: name,
                resource,
                start: *start,
                duration: i64::try_from(end - start).unwrap(),
                kind,
                ..NewSpan::default()
            });
        }
        builder.finish()
    }

    /// The path as `name start..end`, after the checks that hold for every path.
    fn path(spans: &[(&str, &str, u64, u64)], rule: Rule) -> String {
        let traces = trace(spans);
        let mut path = Vec::new();
        critical_path(traces.of(0), rule, &mut path);
        let root = &traces.of(0)[main_root(traces.of(0)).unwrap() as usize];
        assert_eq!((path[0].start, path[path.len() - 1].end), (root.start, root.end), "the path is as long as the root");
        assert!(path.windows(2).all(|two| two[0].end == two[1].start), "without gap or overlap: {path:?}");
        let name = |stretch: &Stretch| traces.texts.get(traces.of(0)[stretch.span as usize].operation);
        path.iter().map(|one| format!("{} {}..{}", name(one), one.start, one.end)).collect::<Vec<_>>().join(", ")
    }

    fn both(spans: &[(&str, &str, u64, u64)]) -> String {
        let crisp = path(spans, Rule::Crisp);
        assert_eq!(crisp, path(spans, Rule::JaegerUi));
        crisp
    }

    #[test]
    fn a_span_alone_is_the_path() {
        assert_eq!(both(&[("a", "", 10, 50)]), "a 10..50");
    }

    #[test]
    fn children_that_follow_one_another_are_waited_for_one_after_the_other() {
        let spans = [("a", "", 0, 100), ("b", "a", 10, 30), ("c", "a", 40, 90), ("d", "c", 50, 60)];
        assert_eq!(both(&spans), "a 0..10, b 10..30, a 30..40, c 40..50, d 50..60, c 60..90, a 90..100");
    }

    #[test]
    fn of_parallel_children_the_last_one_is_waited_for() {
        assert_eq!(both(&[("a", "", 0, 100), ("b", "a", 10, 60), ("c", "a", 20, 90)]), "a 0..20, c 20..90, a 90..100");
        assert_eq!(both(&[("a", "", 0, 100), ("b", "a", 10, 90), ("c", "a", 20, 90)]), "a 0..10, b 10..90, a 90..100");
    }

    #[test]
    fn the_rules_differ_in_siblings_that_overlap_by_a_little() {
        let spans = [("a", "", 0, 1000), ("b", "a", 10, 210), ("c", "a", 209, 309), ("d", "a", 308, 608)];
        assert_eq!(path(&spans, Rule::Crisp), "a 0..8, b 8..208, c 208..308, d 308..608, a 608..1000");
        assert_eq!(path(&spans, Rule::JaegerUi), "a 0..10, b 10..210, a 210..308, d 308..608, a 608..1000");
    }

    #[test]
    fn the_rules_differ_in_siblings_that_touch() {
        let spans = [("a", "", 0, 100), ("b", "a", 10, 40), ("c", "a", 40, 90)];
        assert_eq!(path(&spans, Rule::Crisp), "a 0..10, b 10..40, c 40..90, a 90..100");
        assert_eq!(path(&spans, Rule::JaegerUi), "a 0..40, c 40..90, a 90..100");
    }

    #[test]
    fn a_little_is_less_than_a_hundredth_of_the_parent() {
        let of = |start| path(&[("a", "", 0, 1000), ("b", "a", 10, 210), ("c", "a", start, 900)], Rule::Crisp);
        assert_eq!(of(201), "a 0..1, b 1..201, c 201..900, a 900..1000");
        assert_eq!(of(200), "a 0..200, c 200..900, a 900..1000");
    }

    #[test]
    fn an_overlap_in_which_something_else_happens_is_no_clock() {
        let spans = [("a", "", 0, 1000), ("b", "a", 10, 210), ("c", "a", 205, 900), ("d", "a", 100, 207)];
        assert_eq!(path(&spans, Rule::Crisp), "a 0..98, d 98..205, c 205..900, a 900..1000");
        let spans = [("a", "", 0, 1000), ("b", "a", 10, 210), ("c", "a", 205, 900), ("d", "a", 208, 300)];
        assert_eq!(path(&spans, Rule::Crisp), "a 0..205, c 205..900, a 900..1000");
    }

    #[test]
    fn what_lies_below_an_overlapping_sibling_moves_with_it() {
        let spans = [("a", "", 0, 1000), ("b", "a", 10, 210), ("c", "b", 110, 210), ("d", "a", 205, 1000)];
        assert_eq!(path(&spans, Rule::Crisp), "a 0..5, b 5..105, c 105..205, d 205..1000");
    }

    #[test]
    fn what_sticks_out_of_a_parent_is_cut() {
        assert_eq!(both(&[("a", "", 10, 100), ("b", "a", 20, 140), ("c", "b", 30, 120)]), "a 10..20, b 20..30, c 30..100");
        assert_eq!(both(&[("a", "", 10, 100), ("b", "a", 0, 60)]), "b 10..60, a 60..100");
        assert_eq!(both(&[("a", "", 10, 100), ("b", "a", 0, 160)]), "a 10..10, b 10..100");
    }

    #[test]
    fn what_starts_after_the_parents_end_or_ends_before_its_start_is_not_waited_for() {
        let spans = [("a", "", 10, 100), ("b", "a", 100, 160), ("c", "b", 110, 120), ("d", "a", 0, 10), ("e", "a", 50, 60)];
        assert_eq!(both(&spans), "a 10..50, e 50..60, a 60..100");
    }

    #[test]
    fn only_the_jaeger_ui_knows_that_messages_are_not_waited_for() {
        let spans = [("a", "", 0, 100), (">b", "a", 10, 90)];
        assert_eq!(path(&spans, Rule::Crisp), "a 0..10, >b 10..90, a 90..100");
        assert_eq!(path(&spans, Rule::JaegerUi), "a 0..100");
    }

    #[test]
    fn spans_without_duration_are_waited_for_no_time() {
        assert_eq!(both(&[("a", "", 5, 5), ("b", "a", 5, 5)]), "a 5..5, b 5..5");
        assert_eq!(both(&[("a", "", 0, 10), ("b", "a", 4, 4), ("c", "a", 6, 8)]), "a 0..4, b 4..4, a 4..6, c 6..8, a 8..10");
    }

    #[test]
    fn of_several_roots_the_longest_is_meant_and_one_without_a_parent_before_an_orphan() {
        assert_eq!(
            both(&[("a", "", 0, 10), ("b", "", 5, 50), ("c", "lost", 0, 90), ("d", "b", 10, 20)]),
            "b 5..10, d 10..20, b 20..50"
        );
        assert_eq!(both(&[("c", "lost", 0, 90), ("d", "lost", 10, 20)]), "c 0..90");
    }

    #[test]
    fn of_no_spans_there_is_no_path() {
        let mut path = vec![Stretch { span: 0, start: 0, end: 1 }];
        critical_path(&[], Rule::Crisp, &mut path);
        assert_eq!(path, []);
    }

    #[test]
    fn a_hundred_thousand_deep_or_wide_is_no_matter() {
        const MANY: u64 = 100_000;
        let names: Vec<String> = (0..MANY).map(|at| format!("{:x}", at + 1)).collect();
        let name = |at: u64| names[at as usize].as_str();
        let deep: Vec<_> = (0..MANY).map(|at| (name(at), if at == 0 { "" } else { name(at - 1) }, at, 3 * MANY - at)).collect();
        let child = |at: u64| (name(at), "1", 10 * at, 10 * at + 11);
        let wide: Vec<_> = std::iter::once(("1", "", 0, 11 * MANY)).chain((1..MANY).map(child)).collect();
        for spans in [deep, wide] {
            let traces = trace(&spans);
            let mut path = Vec::new();
            critical_path(traces.of(0), Rule::Crisp, &mut path);
            let mut of_span = vec![0; traces.span_count()];
            exclusive(&path, &mut of_span);
            assert_eq!(of_span.iter().sum::<u64>(), traces.of(0)[0].duration());
            let seen: BTreeSet<u32> = path.iter().map(|one| one.span).collect();
            assert_eq!(seen.len() as u64, MANY);
        }
    }

    #[test]
    fn whatever_the_spans_a_path_has_no_gap_and_no_overlap() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..3000 {
            let count = rng.random_range(1..30_usize);
            let names: Vec<String> = (1..=count).map(|at| format!("{at:x}")).collect();
            let spans: Vec<_> = (0..count)
                .map(|at| {
                    let parent = if at == 0 { "" } else { names[rng.random_range(0..at)].as_str() };
                    let start = rng.random_range(0..300);
                    (names[at].as_str(), parent, start, start + rng.random_range(0..300))
                })
                .collect();
            for rule in [Rule::Crisp, Rule::JaegerUi] {
                // It checks what holds for every path.
                path(&spans, rule);
            }
        }
    }
}
