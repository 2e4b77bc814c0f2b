//! A profile as boxes: each frame below the one that called it, as wide as its time.

use crate::diagnose::model::{Text, Traces};
use crate::diagnose::profile::{Frame, Profile};

/// Boxes narrower than this part of the whole cannot be seen, even closer; siblings that are share one.
const NARROWEST: f64 = 0.0005;
/// Deeper boxes are left out; so deep only recursion goes.
const DEEPEST: u32 = 64;

/// A frame, or several; `left` and `width` are parts of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Box {
    pub left: f64,
    pub width: f64,
    pub depth: u32,
    /// The box above, by its place among the boxes; callers stand before those they call.
    pub caller: Option<usize>,
    pub what: What,
    /// Nanoseconds with all that it called, and without.
    pub inclusive: u64,
    pub exclusive: u64,
    pub spans: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Frame {
        service: Text,
        operation: Text,
    },
    /// So many frames that are too narrow each.
    Others(usize),
}

/// Of siblings the widest comes first.
pub fn boxes(profile: &Profile, traces: &Traces) -> Vec<Box> {
    let frames = profile.frames();
    let inclusive = profile.inclusive();
    let mut called: Vec<Vec<usize>> = vec![Vec::new(); frames.len()];
    let mut roots = Vec::new();
    for (at, frame) in frames.iter().enumerate() {
        frame.caller.map_or(&mut roots, |caller| &mut called[caller as usize]).push(at);
    }
    let whole = roots.iter().map(|root| inclusive[*root]).sum::<u64>().max(1) as f64;
    let sort = |siblings: &mut Vec<usize>| {
        let names = |at: usize| (traces.texts.get(frames[at].service), traces.texts.get(frames[at].operation));
        siblings.sort_by(|one, other| inclusive[*other].cmp(&inclusive[*one]).then_with(|| names(*one).cmp(&names(*other))));
    };
    sort(&mut roots);
    let mut boxes = Vec::new();
    let mut todo = vec![(roots, 0.0, 0, None)];
    while let Some((siblings, mut left, depth, caller)) = todo.pop() {
        let part = |at: usize| inclusive[at] as f64 / whole;
        let seen = siblings.partition_point(|at| part(*at) >= NARROWEST);
        let (wide, narrow) = siblings.split_at(seen);
        for &at in wide {
            let frame = &frames[at];
            let what = What::Frame { service: frame.service, operation: frame.operation };
            let (width, inclusive) = (part(at), inclusive[at]);
            boxes.push(Box { left, width, depth, caller, what, inclusive, exclusive: frame.exclusive, spans: frame.spans });
            if depth + 1 < DEEPEST {
                let mut below = std::mem::take(&mut called[at]);
                sort(&mut below);
                todo.push((below, left, depth + 1, Some(boxes.len() - 1)));
            }
            left += width;
        }
        let sum = |of: fn(&Frame) -> u64| narrow.iter().map(|at| of(&frames[*at])).sum();
        let together = narrow.iter().map(|at| inclusive[*at]).sum::<u64>();
        if together > 0 {
            let (width, what) = (together as f64 / whole, What::Others(narrow.len()));
            let (exclusive, spans) = (sum(|frame| frame.exclusive), sum(|frame| frame.spans));
            boxes.push(Box { left, width, depth, caller, what, inclusive: together, exclusive, spans });
        }
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::critical_path::{Rule, critical_path};
    use crate::diagnose::model::{Builder, NewSpan, Resource};

    #[test]
    fn no_time_is_lost_between_boxes_and_the_boxes_below_them() {
        let mut builder = Builder::default();
        let service = builder.text("a");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        let mut push = |id: u32, parent_id: &str, start, duration| {
            let (span_id, operation) = (&format!("{id:x}"), &format!("operation {id}"));
            builder.push(NewSpan { trace_id: "1", span_id, parent_id, operation, resource, start, duration, ..NewSpan::default() });
        };
        push(1, "", 0, 100_000);
        push(2, "1", 0, 60_000);
        push(3, "1", 60_000, 39_000);
        // A thousand that are each too narrow.
        (0..1000).for_each(|at| push(10 + at, "3", 60_000 + 39 * u64::from(at), 39));
        let traces = builder.finish();
        let (mut path, mut profile) = (Vec::new(), Profile::default());
        critical_path(traces.of(0), Rule::Crisp, &mut path);
        profile.add(&traces, traces.of(0), &path);
        let boxes: Vec<_> = boxes(&profile, &traces).iter().map(|one| (one.depth, one.left, one.width, one.exclusive)).collect();
        assert_eq!(boxes, [(0, 0.0, 1.0, 1000), (1, 0.0, 0.6, 60_000), (1, 0.6, 0.39, 0), (2, 0.6, 0.39, 39_000)]);
    }

    #[test]
    fn a_chain_without_end_ends_on_the_page() {
        let mut builder = Builder::default();
        let service = builder.text("a");
        let resource = builder.resource(Resource { service, attributes: vec![] });
        for at in 1..=50_000_u32 {
            let (span_id, parent_id) = (&format!("{at:x}"), &if at == 1 { String::new() } else { format!("{:x}", at - 1) });
            builder.push(NewSpan {
                trace_id: "1",
                span_id,
                parent_id,
                operation: "again",
                resource,
                duration: 1000,
                ..NewSpan::default()
            });
        }
        let traces = builder.finish();
        let (mut path, mut profile) = (Vec::new(), Profile::default());
        critical_path(traces.of(0), Rule::Crisp, &mut path);
        profile.add(&traces, traces.of(0), &path);
        assert_eq!((profile.frames().len(), boxes(&profile, &traces).len()), (50_000, DEEPEST as usize));
    }
}
