//! Mends what traces of real systems have wrong, so that critical paths can be trusted.
//!
//! - **Clocks.** Where processes disagree about the time, calls seem to start before they were made or to end after they were answered.
//!   Whether two processes do is judged by all calls between them ([`Clocks`]); a call of theirs that does not fit is put into the
//!   middle of the span that made it, as Jaeger's own clock-skew adjuster does it, and what goes by the same clock below it moves
//!   along. A child longer than its parent is only kept from starting before it.
//! - **Whole milliseconds.** Some clocks count no less, nginx's among them. What a span of theirs and one of a finer clock disagree by
//!   is then no more than what was cut from its ends: the span is stretched to fit, and nobody's clock is wrong.
//! - **Overflow.** What sticks out of its parent nonetheless is cut: a last log line after the answer, a caller that gave up.
//! - **Asynchronous children** are nobody's fault: one that starts after its parent's end, a message received when the sender had
//!   ended, or work in the parent's own process that outlives it by more than half is cut loose and becomes a root of its own, off
//!   the critical path. (Where the parent failed it may have been cancelled while it waited, and is cut instead.)
//! - **Orphans**, whose parent was lost, are hung onto the innermost span of the trace's main tree that encloses them; those that none
//!   encloses remain roots of their own. Two calls at the same time may thus be mistaken for caller and callee, which the trace
//!   itself does not tell either.

use std::ops::AddAssign;

use rustc_hash::{FxHashMap, FxHashSet};

use super::figures;
use super::model::{Kind, Parent, Span, Status, Traces};
use super::tree::{Tree, main_root};

/// Nanoseconds by which a call may stick out of its parent before clocks are suspected: some report whole milliseconds.
const ROUNDING: u64 = 1_000_000;

/// Nanoseconds by which the coarsest clocks count.
const TICK: u64 = 1_000_000;
/// Such a clock is up to this many nanoseconds behind: a tick is cut off, and nginx looks at its clock only now and then.
pub const COARSE: u64 = 2 * TICK;

/// So many calls must show that a clock is ahead: calls that begin when their parent has ended may as well be asynchronous. One is
/// enough to show that it is behind, since nothing begins before it was asked for.
const CALLS_AHEAD: usize = 3;

/// As many calls between two processes are compared with one another; more say no more.
const COMPARED: usize = 500;

/// What was mended, in spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Traces of which any span was touched.
    pub traces: u64,
    /// Moved, because clocks differ.
    pub moved: u64,
    /// Stretched, because their clock counts whole milliseconds.
    pub stretched: u64,
    /// Cut to their parent.
    pub cut: u64,
    /// Asynchronous: taken off the critical path.
    pub loose: u64,
    /// Orphans hung onto a span that encloses them.
    pub attached: u64,
    /// Orphans left as they were.
    pub orphans: u64,
}

impl AddAssign for Repairs {
    fn add_assign(&mut self, other: Self) {
        self.traces += other.traces;
        self.moved += other.moved;
        self.stretched += other.stretched;
        self.cut += other.cut;
        self.loose += other.loose;
        self.attached += other.attached;
        self.orphans += other.orphans;
    }
}

impl Repairs {
    /// What a reader should know of it, a sentence each; nothing where nothing was mended.
    pub fn notes(&self) -> Vec<String> {
        let note = |count: u64, one: &str, many: &str| {
            (count > 0).then(|| format!("{} {}", figures::counted(count, "span"), if count == 1 { one } else { many }))
        };
        [
            note(
                self.moved,
                "was moved: the clocks of its process and its caller's differ",
                "were moved: the clocks of their processes differ",
            ),
            note(
                self.stretched,
                "was stretched by 2 ms at most: its clock counts whole milliseconds",
                "were stretched by 2 ms at most: their clocks count whole milliseconds",
            ),
            note(self.cut, "was cut to fit its parent", "were cut to fit their parents"),
            note(
                self.loose,
                "outlives its parent: asynchronous, nobody waits for it",
                "outlive their parents: asynchronous, nobody waits for them",
            ),
            note(
                self.attached,
                "whose parent is missing was hung onto one that encloses it",
                "whose parents are missing were hung onto ones that enclose them",
            ),
            note(self.orphans, "has a parent that is missing", "have parents that are missing"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Which processes' clocks differ, by resource: the caller's and the callee's; and which are coarse.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    differ: FxHashSet<(u32, u32)>,
    /// By resource.
    coarse: Vec<bool>,
}

#[derive(Debug, Default)]
struct Calls {
    all: u64,
    /// Started before their parents, ended after them.
    early: u64,
    late: u64,
    /// Between which offsets of the callee's clock calls that do not fit would: from, to.
    would_fit: Vec<(i128, i128)>,
}

impl Clocks {
    /// Looks at every call between two processes.
    pub fn measure(traces: &Traces) -> Self {
        let mut coarse = vec![true; traces.resources.len()];
        for span in traces.spans() {
            // Jaeger makes a nanosecond of no time.
            let whole = span.start % TICK == 0 && (span.duration() % TICK == 0 || span.duration() == 1);
            coarse[span.resource as usize] &= whole;
        }
        let rounding = |a: u32, b: u32| if coarse[a as usize] || coarse[b as usize] { COARSE } else { ROUNDING };
        let mut pairs: FxHashMap<(u32, u32), Calls> = FxHashMap::default();
        for trace in 0..traces.len() {
            let spans = traces.of(trace);
            for span in spans {
                let Parent::Span(parent) = span.parent else { continue };
                let parent = &spans[parent as usize];
                // Who gave up waiting has an end of its own.
                let gave_up = parent.status == Status::Error && span.start >= parent.start && span.end > parent.end;
                let could_fit = span.duration() <= parent.duration() && span.kind != Kind::Consumer && !gave_up;
                if span.resource != parent.resource && could_fit {
                    let rounding = rounding(parent.resource, span.resource);
                    pairs.entry((parent.resource, span.resource)).or_default().count(parent, span, rounding);
                }
            }
        }
        let differ = pairs.into_iter().filter(|(_, calls)| calls.show_other_clocks()).map(|(pair, _)| pair).collect();
        Self { differ, coarse }
    }

    /// Whether a resource's clock counts whole milliseconds.
    pub fn is_coarse(&self, resource: u32) -> bool {
        self.coarse.get(resource as usize).is_some_and(|coarse| *coarse)
    }

    /// Whether the clocks of a caller's and a callee's resource differ by more than rounding.
    pub fn differ(&self, caller: u32, callee: u32) -> bool {
        // Those that the one calls tell it as well as those that the other calls.
        self.differ.contains(&(caller, callee)) || self.differ.contains(&(callee, caller))
    }
}

impl Calls {
    /// `rounding` is in nanoseconds.
    fn count(&mut self, parent: &Span, span: &Span, rounding: u64) {
        self.all += 1;
        let apart = span.start >= parent.end && span.end > parent.end || span.end <= parent.start && span.start < parent.start;
        let early = parent.start.saturating_sub(span.start);
        let late = span.end.saturating_sub(parent.end);
        // A span of no time at all is apart from everything.
        if early.max(late) <= rounding && (!apart || rounding == COARSE) {
            return;
        }
        *(if early > 0 { &mut self.early } else { &mut self.late }) += 1;
        if self.would_fit.len() < COMPARED {
            self.would_fit.push((difference(span.end, parent.end), difference(span.start, parent.start)));
        }
    }

    /// Most do not fit, and either that is impossible otherwise, or one offset would make them.
    fn show_other_clocks(&self) -> bool {
        let misfits = self.early + self.late;
        misfits * 2 > self.all && (self.early > self.late || self.agree_on_an_offset())
    }

    fn agree_on_an_offset(&self) -> bool {
        let mut middles: Vec<i128> = self.would_fit.iter().map(|(from, to)| (from + to) / 2).collect();
        if middles.len() < CALLS_AHEAD {
            return false;
        }
        let half = middles.len() / 2;
        let offset = *middles.select_nth_unstable(half).1;
        // Clocks drift while they are watched.
        let drift = offset.abs() / 20;
        let agree = self.would_fit.iter().filter(|(from, to)| from - drift <= offset && offset <= to + drift).count();
        agree * 5 >= self.would_fit.len() * 4
    }
}

fn difference(one: u64, other: u64) -> i128 {
    i128::from(one) - i128::from(other)
}

/// Mends one trace after the other without new memory for each.
#[derive(Clone, Debug, Default)]
pub struct Mender {
    tree: Tree,
    spans: Vec<Span>,
    todo: Vec<Fitted>,
    way: Vec<u32>,
    in_main: Vec<bool>,
    enclosing: Vec<u32>,
}

/// A span that is mended, but not yet its children.
#[derive(Clone, Copy, Debug)]
struct Fitted {
    span: u32,
    /// By how much it moved.
    moved: i128,
    /// Where it would end were it not cut.
    end: u64,
}

impl Mender {
    /// The spans of a trace as they should be taken, in the same places; those given where nothing is wrong with them.
    ///
    /// A span that is cut loose has a [`Parent::Missing`]: what asks who called whom should ask the spans as they were read.
    pub fn mend<'s>(&'s mut self, spans: &'s [Span], clocks: &Clocks, repairs: &mut Repairs) -> &'s [Span] {
        if spans.iter().all(|span| is_fine(span, spans)) {
            return spans;
        }
        self.spans.clear();
        self.spans.extend_from_slice(spans);
        let mut done = Repairs::default();
        self.attach_orphans(&mut done);
        self.stretch(spans, clocks, &mut done);
        self.fit(clocks, &mut done);
        done.traces = u64::from(done.moved + done.stretched + done.cut + done.loose + done.attached > 0);
        *repairs += done;
        &self.spans
    }

    fn attach_orphans(&mut self, done: &mut Repairs) {
        let orphan = |span: &Span| span.parent == Parent::Missing;
        if !self.spans.iter().any(orphan) {
            return;
        }
        self.tree.link(&self.spans);
        self.in_main.clear();
        self.in_main.resize(self.spans.len(), false);
        let Some(root) = main_root(&self.spans) else { return };
        self.todo.clear();
        self.way.clear();
        self.way.push(root);
        while let Some(at) = self.way.pop() {
            self.in_main[at as usize] = true;
            self.way.extend(self.tree.children(at));
        }
        // Spans come by start; of those begun so far, `enclosing` has the ones that no later one outlives, so their ends fall.
        self.enclosing.clear();
        for at in 0..self.spans.len() {
            let span = self.spans[at];
            if self.in_main[at] {
                while self.enclosing.last().is_some_and(|last| self.spans[*last as usize].end < span.end) {
                    self.enclosing.pop();
                }
                self.enclosing.push(at as u32);
            } else if orphan(&span) {
                let enclose = self.enclosing.partition_point(|one| self.spans[*one as usize].end >= span.end);
                match enclose.checked_sub(1) {
                    Some(innermost) if span.kind != Kind::Consumer => {
                        self.spans[at].parent = Parent::Span(self.enclosing[innermost]);
                        done.attached += 1;
                    }
                    _ => done.orphans += 1,
                }
            }
        }
        done.orphans += u64::from(orphan(&self.spans[root as usize]));
    }

    /// Gives coarse spans back what was cut from their ends, as far as their neighbours show it.
    fn stretch(&mut self, read: &[Span], clocks: &Clocks, done: &mut Repairs) {
        // Children mostly come after their parents, so going backwards their own ends are right already.
        for at in (0..self.spans.len()).rev() {
            let span = self.spans[at];
            let Parent::Span(parent) = span.parent else { continue };
            let (parent, was) = (&mut self.spans[parent as usize], &read[parent as usize]);
            let [above, below] = [parent.resource, span.resource].map(|resource| clocks.is_coarse(resource));
            // Clocks that are alike cut both ends alike: there is no reason to stick out but to be stretched oneself.
            let by_rounding = !below || read[at].end <= was.end;
            if above && by_rounding && span.end > parent.end && span.end - was.end <= COARSE {
                parent.end = span.end;
            }
            if below && !above && span.start < parent.start && parent.start - span.start <= COARSE {
                let start = parent.start;
                let span = &mut self.spans[at];
                (span.start, span.end) = (start, span.end.max(start));
            }
        }
        let stretched = |(span, read): &(&Span, &Span)| (span.start, span.end) != (read.start, read.end);
        done.stretched = self.spans.iter().zip(read).filter(stretched).count() as u64;
    }

    /// From the roots down, so that a child is fitted into a parent that is mended already.
    fn fit(&mut self, clocks: &Clocks, done: &mut Repairs) {
        self.tree.link(&self.spans);
        self.todo.clear();
        let roots = self.spans.iter().enumerate().filter(|(_, span)| !matches!(span.parent, Parent::Span(_)));
        self.todo.extend(roots.map(|(at, span)| Fitted { span: at as u32, moved: 0, end: span.end }));
        while let Some(Fitted { span: at, moved, end }) = self.todo.pop() {
            let parent = self.spans[at as usize];
            for child in self.tree.children(at) {
                let span = &mut self.spans[child as usize];
                let moved = if clocks.differ(parent.resource, span.resource) {
                    into_the_middle(&parent, span)
                } else if moved != 0 && fits(span, &parent) && !fits(&shifted(*span, moved), &parent) {
                    // It goes by a clock that is right.
                    0
                } else {
                    moved
                };
                *span = shifted(*span, moved);
                done.moved += u64::from(moved != 0);
                self.todo.push(Fitted { span: child, moved, end: span.end });
                if is_asynchronous(span, &parent, end) {
                    span.parent = Parent::Missing;
                    done.loose += 1;
                } else if !fits(span, &parent) {
                    span.start = span.start.max(parent.start);
                    span.end = span.end.min(parent.end);
                    done.cut += 1;
                }
            }
        }
    }
}

fn is_fine(span: &Span, spans: &[Span]) -> bool {
    match span.parent {
        Parent::Root => true,
        Parent::Missing => false,
        Parent::Span(parent) => fits(span, &spans[parent as usize]),
    }
}

fn fits(span: &Span, parent: &Span) -> bool {
    span.start >= parent.start && span.end <= parent.end
}

/// `parent_end` is where the parent ended before it was cut: what was done for a caller that gave up is not asynchronous for that.
fn is_asynchronous(span: &Span, parent: &Span, parent_end: u64) -> bool {
    if fits(span, parent) {
        return false;
    }
    if span.start >= parent.end || span.end <= parent.start {
        return true;
    }
    let outlives = span.end.saturating_sub(parent_end);
    match span.kind {
        Kind::Consumer => outlives > 0,
        _ => span.resource == parent.resource && outlives > span.duration() / 2 && parent.status != Status::Error,
    }
}

/// By how much a call must move to fit.
fn into_the_middle(parent: &Span, span: &Span) -> i128 {
    let late = difference(span.start, parent.start);
    match parent.duration().checked_sub(span.duration()) {
        Some(_) if fits(span, parent) => 0,
        Some(spare) => i128::from(spare / 2) - late,
        None => (-late).max(0),
    }
}

fn shifted(mut span: Span, by: i128) -> Span {
    let duration = span.duration();
    span.start = u64::try_from((i128::from(span.start) + by).max(0)).unwrap_or(u64::MAX).min(u64::MAX - duration);
    span.end = span.start + duration;
    span
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::diagnose::model::{Builder, NewSpan, Resource};

    const MS: u64 = 1_000_000;

    /// A span: name, parent, service, start and end in milliseconds.
    type Row<'a> = (&'a str, &'a str, &'a str, u64, u64);

    fn traces_of(traces: &[&[Row<'_>]], change: impl Fn(&str, &mut NewSpan<'_>)) -> Traces {
        let mut builder = Builder::default();
        for (trace, spans) in traces.iter().enumerate() {
            let trace_id = format!("{:x}", trace + 1);
            for (name, parent_id, service, start, end) in *spans {
                let service = builder.text(service);
                let resource = builder.resource(Resource { service, attributes: vec![] });
                let duration = i64::try_from((end - start) * MS).unwrap();
                let mut span =
                    NewSpan { trace_id: &trace_id, span_id: name, parent_id, operation: name, resource, ..NewSpan::default() };
                (span.start, span.duration) = (start * MS, duration);
                change(name, &mut span);
                builder.push(span);
            }
        }
        builder.finish()
    }

    /// The last trace mended: each span as `name parent start..end`.
    fn mended(traces: &[&[Row<'_>]]) -> (String, Repairs) {
        mended_as(traces, |_, _| {})
    }

    fn mended_as(traces: &[&[Row<'_>]], change: impl Fn(&str, &mut NewSpan<'_>)) -> (String, Repairs) {
        let traces = traces_of(traces, change);
        let clocks = Clocks::measure(&traces);
        let mut repairs = Repairs::default();
        let last = traces.of(traces.len() - 1);
        let mut mender = Mender::default();
        let spans = mender.mend(last, &clocks, &mut repairs);
        let name = |span: &Span| traces.texts.get(span.operation);
        let line = |span: &Span| {
            let parent = match span.parent {
                Parent::Root => "-",
                Parent::Missing => "?",
                Parent::Span(parent) => name(&spans[parent as usize]),
            };
            format!("{} {parent} {}..{}", name(span), span.start as f64 / MS as f64, span.end as f64 / MS as f64)
        };
        (spans.iter().map(line).collect::<Vec<_>>().join(", "), repairs)
    }

    #[test]
    fn what_is_in_order_is_left_alone() {
        let (spans, repairs) = mended(&[&[("a", "", "x", 0, 90), ("b", "a", "y", 0, 90), ("c", "b", "y", 10, 20)]]);
        assert_eq!((spans.as_str(), repairs), ("a - 0..90, b a 0..90, c b 10..20", Repairs::default()));
        assert_eq!(repairs.notes(), Vec::<String>::new());
    }

    #[test]
    fn a_call_that_began_before_it_was_made_is_put_into_its_middle_with_all_that_goes_by_its_clock() {
        let (spans, repairs) =
            mended(&[&[("a", "", "x", 100, 200), ("b", "a", "y", 20, 80), ("c", "b", "y", 30, 50), ("d", "c", "z", 32, 42)]]);
        assert_eq!(spans, "b a 120..180, c b 130..150, d c 132..142, a - 100..200");
        assert_eq!(repairs, Repairs { traces: 1, moved: 3, ..Repairs::default() });
    }

    #[test]
    fn one_that_calls_back_is_not_moved_twice() {
        let (spans, _) = mended(&[&[("a", "", "x", 100, 200), ("b", "a", "y", 20, 80), ("c", "b", "x", 130, 150)]]);
        assert_eq!(spans, "b a 120..180, a - 100..200, c b 130..150");
    }

    #[test]
    fn a_clock_that_is_ahead_is_known_by_several_calls_that_agree() {
        let call = |start, end, ahead| [("a", "", "x", start, end), ("b", "a", "y", start + 10 + ahead, end - 10 + ahead)];
        let agree = [call(100, 200, 500), call(300, 340, 500), call(400, 500, 500)];
        assert_eq!(mended(&[&agree[0], &agree[1], &agree[2]]).0, "a - 400..500, b a 410..490");
        let (spans, repairs) = mended(&[&call(100, 200, 300), &call(300, 340, 900), &call(400, 500, 500)]);
        assert_eq!(spans, "a - 400..500, b ? 910..990");
        assert_eq!(repairs, Repairs { traces: 1, loose: 1, ..Repairs::default() });
    }

    #[test]
    fn where_most_calls_fit_clocks_are_right_and_the_others_are_cut() {
        let fits: &[Row<'_>] = &[("a", "", "x", 0, 90), ("b", "a", "y", 10, 80)];
        let early: &[Row<'_>] = &[("a", "", "x", 100, 190), ("b", "a", "y", 95, 150)];
        let (spans, repairs) = mended(&[fits, fits, early]);
        assert_eq!(spans, "b a 100..150, a - 100..190");
        assert_eq!(repairs, Repairs { traces: 1, cut: 1, ..Repairs::default() });
    }

    #[test]
    fn a_call_longer_than_its_caller_waited_is_cut() {
        let (spans, repairs) = mended(&[&[("a", "", "x", 0, 100), ("b", "a", "y", 10, 900), ("c", "b", "y", 20, 800)]]);
        assert_eq!(spans, "a - 0..100, b a 10..100, c b 20..100");
        assert_eq!(repairs, Repairs { traces: 1, cut: 2, ..Repairs::default() });
    }

    #[test]
    fn work_in_the_same_process_that_outlives_its_parent_by_much_is_cut_loose_with_all_below() {
        let rows: &[Row<'_>] = &[("a", "", "x", 0, 100), ("b", "a", "x", 90, 200), ("c", "b", "x", 95, 150)];
        let (spans, repairs) = mended(&[rows]);
        assert_eq!(spans, "a - 0..100, b ? 90..200, c b 95..150");
        assert_eq!(repairs, Repairs { traces: 1, loose: 1, ..Repairs::default() });
        let failed = |name: &str, span: &mut NewSpan<'_>| span.status = if name == "a" { Status::Error } else { Status::Unset };
        assert_eq!(mended_as(&[rows], failed).0, "a - 0..100, b a 90..100, c b 95..100", "cancelled while it waited");
    }

    #[test]
    fn a_message_that_is_received_after_the_sender_ended_is_cut_loose() {
        let consumer = |name: &str, span: &mut NewSpan<'_>| span.kind = if name == "b" { Kind::Consumer } else { Kind::Producer };
        let (spans, _) = mended_as(&[&[("a", "", "x", 0, 100), ("b", "a", "y", 90, 110)]], consumer);
        assert_eq!(spans, "a - 0..100, b ? 90..110");
    }

    #[test]
    fn an_orphan_is_hung_onto_the_innermost_span_that_encloses_it_else_left() {
        let rows: &[Row<'_>] = &[
            ("a", "", "x", 10, 100),
            ("b", "a", "x", 20, 60),
            ("c", "b", "x", 25, 30),
            ("d", "lost", "y", 32, 50),
            ("e", "d", "y", 33, 49),
            ("f", "lost", "y", 70, 90),
            ("aa", "lost", "y", 5, 20),
        ];
        let (spans, repairs) = mended(&[rows]);
        assert_eq!(spans, "aa ? 5..20, a - 10..100, b a 20..60, c b 25..30, d b 32..50, e d 33..49, f a 70..90");
        assert_eq!(repairs, Repairs { traces: 1, attached: 2, orphans: 1, ..Repairs::default() });
    }

    #[test]
    fn a_trace_of_orphans_alone_keeps_its_longest_as_the_root() {
        let (spans, repairs) = mended(&[&[("a", "lost", "x", 0, 100), ("b", "lost", "y", 10, 50), ("c", "lost", "y", 60, 150)]]);
        assert_eq!(spans, "a ? 0..100, b a 10..50, c ? 60..150");
        assert_eq!(repairs, Repairs { traces: 1, attached: 1, orphans: 2, ..Repairs::default() });
    }

    #[test]
    fn clocks_at_the_ends_of_time_are_no_matter() {
        let late = |name: &str, span: &mut NewSpan<'_>| {
            (span.start, span.duration) = if name == "b" { (0, 10) } else { (u64::MAX - 100, 100) };
        };
        assert_eq!(mended_as(&[&[("a", "", "x", 0, 0), ("b", "a", "y", 0, 0)]], late).1.moved, 1);
    }

    /// Cuts spans with an `a` in their names to whole milliseconds; all are given in tenths of one.
    fn coarse(rows: &[Row<'_>]) -> (String, Repairs) {
        mended_as(&[rows], |name, span| {
            let tick = if name.starts_with('a') { MS } else { 1 };
            let [start, end] = [span.start, span.start + span.duration.cast_unsigned()].map(|time| time / 10 / tick * tick);
            (span.start, span.duration) = (start, (end - start).cast_signed());
        })
    }

    #[test]
    fn what_a_clock_of_whole_milliseconds_cuts_off_is_given_back() {
        // Whoever calls a coarse one began before it, whoever is called by it ends before it; a request may take no time at all.
        let rows: &[Row<'_>] = &[
            ("a1", "", "n", 9, 79),
            ("b1", "a1", "x", 11, 78),
            ("b2", "b1", "x", 28, 68),
            ("a2", "b2", "n", 29, 67),
            ("c1", "a2", "y", 31, 66),
        ];
        let (spans, repairs) = coarse(rows);
        assert_eq!(spans, "a1 - 0..7.8, b1 a1 1.1..7.8, a2 b2 2.8..6.6, b2 b1 2.8..6.8, c1 a2 3.1..6.6");
        assert_eq!(repairs, Repairs { traces: 1, stretched: 2, ..Repairs::default() });
        let (spans, repairs) = coarse(&[("a1", "", "n", 1, 8), ("b1", "a1", "x", 3, 7)]);
        assert_eq!((spans.as_str(), repairs.loose), ("a1 - 0..0.7, b1 a1 0.3..0.7", 0));
    }

    #[test]
    fn no_more_than_that_is_given_back() {
        let (spans, repairs) = coarse(&[("a1", "", "n", 10, 40), ("b1", "a1", "x", 15, 65)]);
        assert_eq!(spans, "a1 - 1..4, b1 a1 1.5..4");
        assert_eq!(repairs, Repairs { traces: 1, cut: 1, ..Repairs::default() });
    }

    #[test]
    fn an_end_that_the_caller_did_not_wait_for_says_nothing_of_clocks() {
        let call = |start: u64| [("a", "", "x", start, start + 60), ("b", "a", "y", start + 30, start + 85)];
        let failed = |name: &str, span: &mut NewSpan<'_>| span.status = if name == "a" { Status::Error } else { Status::Unset };
        let (spans, repairs) = mended_as(&[&call(0), &call(100), &call(200)], failed);
        assert_eq!(spans, "a - 200..260, b a 230..260");
        assert_eq!(repairs, Repairs { traces: 1, cut: 1, ..Repairs::default() });
    }

    #[test]
    fn the_reader_is_told_what_was_mended() {
        let mut repairs = Repairs { traces: 3, moved: 2000, ..Repairs::default() };
        repairs += Repairs { traces: 1, cut: 1, ..Repairs::default() };
        let expected = ["2,000 spans were moved: the clocks of their processes differ", "1 span was cut to fit its parent"];
        assert_eq!((repairs.traces, repairs.notes()), (4, expected.map(String::from).to_vec()));
    }

    #[test]
    fn whatever_the_spans_they_fit_once_mended() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..3000 {
            let count = rng.random_range(1..20_usize);
            let names: Vec<String> = (1..=count).map(|at| format!("{at:x}")).collect();
            let spans: Vec<Row<'_>> = (0..count)
                .map(|at| {
                    let parent = match at {
                        0 => "",
                        _ if rng.random_bool(0.1) => "lost",
                        _ => names[rng.random_range(0..at)].as_str(),
                    };
                    let start = rng.random_range(0..300);
                    (names[at].as_str(), parent, ["x", "y"][rng.random_range(0..2)], start, start + rng.random_range(0..300))
                })
                .collect();
            let traces = traces_of(&[&spans], |_, _| {});
            let clocks = Clocks::measure(&traces);
            let mut mender = Mender::default();
            let mended = mender.mend(traces.of(0), &clocks, &mut Repairs::default());
            for span in mended {
                let Parent::Span(parent) = span.parent else { continue };
                assert!(fits(span, &mended[parent as usize]), "{spans:?}");
            }
        }
    }
}
