//! What no Jaeger answers and our own pages ask, under `/api/tracelab/`. Nothing but what is stored counts.
//!
//! - `graph?start=&end=` (microseconds; the traces that began after the one and ended before the other):
//!   `{"services":[{name,spans,errors}],"edges":[{parent,child,calls,errors,p50_ms,p95_ms,p99_ms}],"spans":n,"truncated":false}`.
//! - `distribution?service=&operation=&kind=`: `{count,errors,buckets:[[upper_ms,count]],p50_ms,p95_ms,p99_ms,"self":{…}}`; 20
//!   buckets a decade; `self` has the same of the time in which no child of a span ran. Percentiles of nothing are null.
//! - `critical-path?trace=`: see `critical_path`.
//! - `in-flight?at=&limit=` (nanoseconds since 1970, or RFC 3339), and any of the conditions of API v3 but its times: the summaries
//!   of API v3.
//!
//! Errors have the shape of API v3 and name the parameter.

use http::StatusCode;
use serde::Serialize;
use warp::reply::Response;

use super::answer::{self, blocking, v3_error};
use super::critical_path;
use super::params::{self, Params};
use super::v3::{conditions, depth, value};
use crate::backend::store::{Query, Sort, Store, Style, TraceWriter, Wanted, Window, kind_named};

/// So many traces in flight, where nobody says how many.
const IN_FLIGHT: usize = 100;

pub(super) async fn answer(store: Store, path: &[&str], params: Params) -> Response {
    match path {
        ["graph"] => with(window(&params), move |window| json(&store.graph(window))).await,
        ["distribution"] => with(wanted(&params), move |wanted| json(&store.distribution(&wanted))).await,
        ["critical-path"] => with(critical_path::wanted(&params), move |id| critical_path::answer(&store, id)).await,
        ["in-flight"] => with(in_flight(&params), move |query| summaries(store, &query)).await,
        _ => answer::not_found(),
    }
}

/// Answers beside the other requests, or says what is wrong with this one.
async fn with<T: Send + 'static>(asked: Result<T, String>, work: impl FnOnce(T) -> Response + Send + 'static) -> Response {
    match asked {
        Ok(asked) => blocking(move || work(asked)).await,
        Err(error) => v3_error(StatusCode::BAD_REQUEST, &error),
    }
}

fn json(answer: &impl Serialize) -> Response {
    match serde_json::to_vec(answer) {
        Ok(text) => answer::json(StatusCode::OK, text),
        Err(error) => v3_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn summaries(store: Store, query: &Query) -> Response {
    let writer = TraceWriter::new(Style::Summary, store.search(query));
    answer::traces(store, writer, "{\"summaries\":[", "]}")
}

fn window(params: &Params) -> Result<Window, String> {
    let microseconds = |text: &str| {
        let time = params::int(text, "ParseInt")?;
        Ok(u64::try_from(time).unwrap_or_default().saturating_mul(1_000))
    };
    let window = Window { start: value(params, &["start"], microseconds)?, end: value(params, &["end"], microseconds)? };
    match (window.start, window.end) {
        (Some(start), Some(end)) if start >= end => Err("start must be before end".to_owned()),
        _ => Ok(window),
    }
}

fn wanted(params: &Params) -> Result<Wanted, String> {
    let kind = |text: &str| {
        let expected = "expected unspecified, internal, server, client, producer or consumer";
        kind_named(text).ok_or_else(|| format!("unknown kind {text:?}, {expected}"))
    };
    let text = |name: &str| params.get(name).map(str::to_owned);
    Ok(Wanted { service: text("service"), operation: text("operation"), kind: value(params, &["kind"], kind)? })
}

/// What was in flight, longest first unless another order is asked for.
fn in_flight(params: &Params) -> Result<Query, String> {
    let nanoseconds = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().map_err(|_| format!("{text} is beyond the times that there are")) } else { params::time(text) }
    };
    let at = value(params, &["at"], nanoseconds)?.ok_or("parameter at is required: nanoseconds since 1970, or an RFC 3339 time")?;
    let limit = value(params, &["limit"], |text| depth(params::int(text, "Atoi")?))?;
    let conditions = conditions(params)?;
    let sort = if conditions.sort == Sort::Arrival { Sort::Longest } else { conditions.sort };
    Ok(Query { in_flight_at: Some(at), limit: limit.unwrap_or(IN_FLIGHT), sort, ..conditions })
}
