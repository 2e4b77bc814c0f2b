//! `GET /api/tracelab/critical-path?trace=ID`: what the end of one trace waited for, moment by moment, as `diagnose` finds it:
//! `{"trace_id","duration_ns","parts":[{"span_id","start_ns","end_ns"}],"notes":[…]}`.
//!
//! Offsets are from the trace's earliest start. The parts follow one another without a gap; a span on the path whose children take all
//! of its time has an empty one. `notes` says what had to be mended first (clocks that differ, parents that are missing): where it
//! did, a part may lie beside its span as it was recorded.

use http::StatusCode;
use serde::Serialize;
use warp::reply::Response;

use super::answer::{self, v3_error};
use super::params::{self, Params};
use super::suspects::take;
use super::v3::{self, value};
use crate::backend::store::{Store, TraceKey};
use crate::diagnose::critical_path::{Stretch, critical_path};
use crate::diagnose::model::{Builder, Span};
use crate::diagnose::repair::{Clocks, Mender, Repairs};
use crate::diagnose::{Options, Traces};

#[derive(Serialize)]
struct CriticalPath {
    trace_id: String,
    duration_ns: u64,
    parts: Vec<Part>,
    notes: Vec<String>,
}

/// Nanoseconds after the trace began.
#[derive(Serialize)]
struct Part {
    span_id: String,
    start_ns: u64,
    end_ns: u64,
}

/// Which trace.
pub(super) fn wanted(params: &Params) -> Result<(u64, u64), String> {
    value(params, &["trace"], params::trace_id)?.ok_or_else(|| "parameter trace is required: the trace's ID".to_owned())
}

pub(super) fn answer(store: &Store, id: (u64, u64)) -> Response {
    let found = store.find(id).and_then(|key| found(&read(store, key)));
    match found.map(|path| serde_json::to_vec(&path)) {
        Some(Ok(text)) => answer::json(StatusCode::OK, text),
        Some(Err(error)) => v3_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        None => v3_error(StatusCode::NOT_FOUND, v3::NOTHING),
    }
}

fn read(store: &Store, key: TraceKey) -> Traces {
    // However wrong its clock is, this is the trace that was asked for: nothing is left out as being of the future.
    let mut builder = Builder::default();
    take(store, &[key], &mut builder);
    builder.finish()
}

fn found(traces: &Traces) -> Option<CriticalPath> {
    if traces.is_empty() {
        return None;
    }
    let (read, mut mender, mut repairs) = (traces.of(0), Mender::default(), Repairs::default());
    let mended = mender.mend(read, &Clocks::measure(traces), &mut repairs);
    let mut path = Vec::new();
    critical_path(mended, Options::default().rule, &mut path);
    let start = read.iter().map(|span| span.start).min()?;
    let part = |stretch: &Stretch| Part {
        span_id: id(&mended[stretch.span as usize]),
        start_ns: stretch.start.saturating_sub(start),
        end_ns: stretch.end.saturating_sub(start),
    };
    Some(CriticalPath {
        trace_id: traces.name(traces.id(0)),
        duration_ns: path.iter().map(Stretch::duration).sum(),
        parts: path.iter().map(part).collect(),
        notes: repairs.notes(),
    })
}

fn id(span: &Span) -> String {
    format!("{:016x}", span.id)
}
