//! TEMPORARY exclusive time on the critical path.
use crate::diagnose::model::{Parent, Span};

#[derive(Default)]
pub struct Path {
    order: Vec<u32>,
    first: Vec<u32>,
    next: Vec<u32>,
    stack: Vec<(u32, u64)>,
    pub time: Vec<u64>,
}

impl Path {
    pub fn walk(&mut self, spans: &[Span]) -> &[u64] {
        const NONE: u32 = u32::MAX;
        let n = spans.len();
        self.order.clear();
        self.order.extend(0..n as u32);
        self.order.sort_unstable_by_key(|i| (spans[*i as usize].end, spans[*i as usize].start));
        self.first.clear();
        self.first.resize(n, NONE);
        self.next.clear();
        self.next.resize(n, NONE);
        self.time.clear();
        self.time.resize(n, 0);
        for &i in &self.order {
            if let Parent::Span(p) = spans[i as usize].parent {
                self.next[i as usize] = self.first[p as usize];
                self.first[p as usize] = i;
            }
        }
        for (i, span) in spans.iter().enumerate() {
            if !matches!(span.parent, Parent::Span(_)) {
                self.stack.push((i as u32, span.end));
            }
        }
        while let Some((i, until)) = self.stack.pop() {
            let span = &spans[i as usize];
            let mut cursor = span.end.min(until);
            let mut child = self.first[i as usize];
            let mut own = 0;
            while child != NONE {
                let c = &spans[child as usize];
                let slack = 0;
                if c.end <= span.end + slack && c.start < cursor && c.end <= cursor + (c.end - c.start) / 10 {
                    let end = c.end.min(cursor);
                    own += cursor - end;
                    self.stack.push((child, end));
                    cursor = c.start.max(span.start).min(end);
                }
                child = self.next[child as usize];
            }
            own += cursor.saturating_sub(span.start);
            self.time[i as usize] = own;
        }
        &self.time
    }
}
