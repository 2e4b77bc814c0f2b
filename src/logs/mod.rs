//! The log lines of one trace: found by its id in what many programs wrote, put in time order, and rendered.
//!
//! Pure functions over bytes. Where these come from (the backend, Docker, Kubernetes, files) and what to say when nothing is
//! found is `cmd::logs`'s business. What every line passes on its way: `read` (lines out of bytes, those of the trace out of all)
//! → `envelope` (what Docker, Kubernetes and Compose put around it) → `record` (JSON), `otlp` or `text` → [`Trace`], which
//! `terminal` and `json` render.

mod clock;
mod envelope;
mod fields;
mod json;
mod otlp;
mod read;
mod record;
mod terminal;
mod text;
mod trace_id;

use jiff::Timestamp;

pub use fields::Fields;
pub use read::{Counts, Kind, Reader};
pub use trace_id::{Asked, TraceId, TraceIdError};

/// One log line of the trace; what it does not say is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// By the clock of the host that wrote it.
    pub time: Option<Timestamp>,
    pub service: Option<String>,
    /// TRACE, DEBUG, INFO, WARN, ERROR or FATAL; what is none of them stays as it was written.
    pub level: Option<String>,
    pub message: String,
    pub span_id: Option<String>,
    /// Container, pod or file that it was read from.
    pub source: Option<String>,
    /// Whatever else it says.
    pub fields: Fields,
}

/// All lines of one trace in the order of their times.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub id: TraceId,
    pub lines: Vec<Line>,
}

impl Trace {
    /// Puts lines in order. A line without a time follows the one that was read before it; of equal times the order of reading
    /// stays.
    pub fn new(id: TraceId, readers: Vec<Vec<Line>>) -> Self {
        let mut timed = Vec::new();
        for lines in readers {
            let mut last = Timestamp::MAX;
            for line in lines {
                last = line.time.unwrap_or(last);
                timed.push((last, line));
            }
        }
        timed.sort_by_key(|(time, _)| *time);
        Self { id, lines: timed.into_iter().map(|(_, line)| line).collect() }
    }

    /// When the earliest line was written, as far as any says.
    fn start(&self) -> Option<Timestamp> {
        self.lines.iter().find_map(|line| line.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_a_time_follow_the_one_before_them_and_equal_times_keep_their_order() {
        let line = |second: Option<i64>, message: &str| Line {
            time: second.map(|second| Timestamp::from_second(second).unwrap()),
            message: message.into(),
            ..Line::default()
        };
        let one = vec![line(Some(3), "three"), line(None, "after three"), line(Some(1), "one"), line(Some(2), "two")];
        let other = vec![line(None, "who knows"), line(Some(2), "two again")];
        let trace = Trace::new("4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap(), vec![one, other]);
        let order: Vec<_> = trace.lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(order, ["one", "two", "two again", "three", "after three", "who knows"]);
    }
}
