//! Where the time of many critical paths goes: a calling-context tree, whose frames are operations of services, each under those that
//! called it. Equal ways through different traces are one.

use std::fmt::Write;

use rustc_hash::FxHashMap;

use super::critical_path::Stretch;
use super::model::{Parent, Span, Text, Traces};

/// Critical paths by calling context.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Callers before those they call.
    frames: Vec<Frame>,
    places: FxHashMap<(Option<u32>, Text, Text), u32>,
    traces: u64,
    /// The frame of each span of the trace at hand.
    frame_of: Vec<Option<u32>>,
    way: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Index into [`Profile::frames`]; absent at a root.
    pub caller: Option<u32>,
    pub service: Text,
    pub operation: Text,
    /// Nanoseconds on critical paths that no called frame accounts for.
    pub exclusive: u64,
    /// Spans on critical paths.
    pub spans: u64,
}

impl Profile {
    /// Adds the critical path of one trace. `spans` are those it was found in.
    pub fn add(&mut self, traces: &Traces, spans: &[Span], path: &[Stretch]) {
        self.traces += 1;
        self.frame_of.clear();
        self.frame_of.resize(spans.len(), None);
        for stretch in path {
            let frame = self.frame(stretch.span, traces, spans);
            self.frames[frame as usize].exclusive += stretch.duration();
        }
    }

    /// The frame of a span and, first, of all that called it.
    fn frame(&mut self, span: u32, traces: &Traces, spans: &[Span]) -> u32 {
        let mut at = span;
        self.way.clear();
        let mut known = loop {
            if let Some(frame) = self.frame_of[at as usize] {
                break Some(frame);
            }
            self.way.push(at);
            match spans[at as usize].parent {
                Parent::Span(parent) => at = parent,
                Parent::Root | Parent::Missing => break None,
            }
        };
        while let Some(at) = self.way.pop() {
            let span = &spans[at as usize];
            let (service, operation) = (traces.service(span), span.operation);
            let next = self.frames.len() as u32;
            let frame = *self.places.entry((known, service, operation)).or_insert(next);
            if frame == next {
                self.frames.push(Frame { caller: known, service, operation, exclusive: 0, spans: 0 });
            }
            self.frames[frame as usize].spans += 1;
            self.frame_of[at as usize] = Some(frame);
            known = Some(frame);
        }
        known.expect("a span has a frame once its way was gone")
    }

    /// Every frame stands after the one that called it.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// How many critical paths were added.
    pub fn traces(&self) -> u64 {
        self.traces
    }

    /// Nanoseconds of each frame with all that it called.
    pub fn inclusive(&self) -> Vec<u64> {
        let mut inclusive: Vec<u64> = self.frames.iter().map(|frame| frame.exclusive).collect();
        for (at, frame) in self.frames.iter().enumerate().rev() {
            if let Some(caller) = frame.caller {
                inclusive[caller as usize] += inclusive[at];
            }
        }
        inclusive
    }

    /// One line a frame, sorted: `[service] operation;[service] operation µs <<spans>>`, as flame graph tools and CRISP know it.
    pub fn folded(&self, traces: &Traces) -> String {
        let mut ways: Vec<String> = Vec::with_capacity(self.frames.len());
        let mut lines = Vec::with_capacity(self.frames.len());
        for frame in &self.frames {
            let mut way = frame.caller.map_or_else(String::new, |caller| format!("{};", ways[caller as usize]));
            let _ = write!(way, "[{}] {}", plain(traces.texts.get(frame.service)), plain(traces.texts.get(frame.operation)));
            lines.push(format!("{way} {} <<{}>>\n", frame.exclusive / 1000, frame.spans));
            ways.push(way);
        }
        lines.sort_unstable();
        lines.concat()
    }
}

/// A name that cannot be mistaken for the end of a frame or line.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c == ';' || c.is_control() { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::critical_path::{Rule, critical_path};
    use crate::diagnose::model::{Builder, NewSpan, Resource};

    const US: u64 = 1000;

    /// A span: id, parent, service, operation, start and end in microseconds.
    type Row<'a> = (&'a str, &'a str, &'a str, &'a str, u64, u64);

    fn profile(all: &[&[Row<'_>]]) -> (Profile, Traces) {
        let mut builder = Builder::default();
        for (trace, spans) in all.iter().enumerate() {
            for (span_id, parent_id, service, operation, start, end) in *spans {
                let service = builder.text(service);
                let resource = builder.resource(Resource { service, attributes: vec![] });
                let trace_id = &format!("{:x}", trace + 1);
                let (start, duration) = (start * US, i64::try_from((end - start) * US).unwrap());
                builder.push(NewSpan { trace_id, span_id, parent_id, operation, resource, start, duration, ..NewSpan::default() });
            }
        }
        let traces = builder.finish();
        let mut profile = Profile::default();
        let mut path = Vec::new();
        for trace in 0..traces.len() {
            critical_path(traces.of(trace), Rule::Crisp, &mut path);
            profile.add(&traces, traces.of(trace), &path);
        }
        (profile, traces)
    }

    #[test]
    fn equal_ways_are_one_and_different_ways_are_not() {
        let (profile, traces) = profile(&[
            &[("1", "", "shop", "GET /", 0, 100), ("2", "1", "cart", "get", 10, 40), ("3", "1", "cart", "get", 50, 90)],
            &[("1", "", "shop", "GET /", 500, 520), ("2", "1", "cart", "get", 500, 510), ("3", "2", "shop", "GET /", 501, 506)],
        ]);
        assert_eq!(
            profile.folded(&traces),
            "[shop] GET / 40 <<2>>\n[shop] GET /;[cart] get 75 <<3>>\n[shop] GET /;[cart] get;[shop] GET / 5 <<1>>\n"
        );
        assert_eq!((profile.traces(), profile.inclusive()), (2, vec![120 * US, 80 * US, 5 * US]));
    }

    #[test]
    fn what_is_not_waited_for_is_no_frame() {
        let (profile, _) = profile(&[&[("1", "", "a", "a", 0, 100), ("2", "1", "b", "b", 10, 90), ("3", "1", "c", "c", 20, 80)]]);
        assert_eq!(profile.frames().len(), 2);
    }

    #[test]
    fn a_name_cannot_end_a_frame() {
        let (profile, traces) = profile(&[&[("1", "", "a;b", "c\n9 <<1>>", 0, 100)]]);
        assert_eq!(profile.folded(&traces), "[a_b] c_9 <<1>> 100 <<1>>\n");
    }

    #[test]
    fn of_no_traces_there_is_no_profile() {
        let (profile, traces) = profile(&[]);
        assert_eq!((profile.folded(&traces).as_str(), profile.inclusive()), ("", vec![]));
    }
}
