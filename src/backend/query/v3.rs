//! Jaeger's API v3.

use http::StatusCode;
use warp::reply::Response;

use super::answer::{self, blocking, v3_error};
use super::params::{self, Params};
use super::{MAX_DEPTH, legacy};
use crate::backend::attribute::list;
use crate::backend::json;
use crate::backend::store::{Query, Sort, Store, Style, TraceWriter};

/// What Jaeger says where nothing matches.
pub(super) const NOTHING: &str = "No traces found";

pub(super) async fn answer(store: Store, path: &[&str], params: Params) -> Response {
    match path {
        ["services"] => services(&store),
        ["operations"] => operations(&store, &params),
        ["traces"] => blocking(move || traces(store, &params)).await,
        ["trace-summaries"] => blocking(move || summaries(store, &params)).await,
        ["traces", id] => {
            let id = (*id).to_owned();
            blocking(move || trace(store, &id, &params)).await
        }
        _ => answer::not_found(),
    }
}

fn services(store: &Store) -> Response {
    let mut out = b"{\"services\":[".to_vec();
    list(&mut out, store.services().iter(), |out, service| json::string(out, service.as_bytes()));
    out.extend_from_slice(b"]}");
    answer::json(StatusCode::OK, out)
}

fn operations(store: &Store, params: &Params) -> Response {
    let kind = params.first_of(&["spanKind", "span_kind"]).map(|(_, kind)| kind);
    let operations = store.operations(params.get("service").unwrap_or_default());
    let mut out = b"{\"operations\":[".to_vec();
    let wanted = operations.iter().filter(|(_, own)| kind.is_none_or(|kind| kind == *own));
    list(&mut out, wanted, |out, (name, kind)| legacy::operation(out, name, if kind.is_empty() { "internal" } else { kind }));
    out.extend_from_slice(b"]}");
    answer::json(StatusCode::OK, out)
}

fn traces(store: Store, params: &Params) -> Response {
    let (query, raw) = match find(params) {
        Ok(found) => found,
        Err(error) => return v3_error(StatusCode::BAD_REQUEST, &error),
    };
    let keys = store.search(&query);
    if keys.is_empty() {
        return v3_error(StatusCode::NOT_FOUND, NOTHING);
    }
    let writer = TraceWriter::new(Style::Otlp { raw }, keys);
    answer::traces(store, writer, "{\"result\":{\"resourceSpans\":[", "]}}")
}

fn summaries(store: Store, params: &Params) -> Response {
    match find(params) {
        Ok((query, _)) => {
            let writer = TraceWriter::new(Style::Summary, store.search(&query));
            answer::traces(store, writer, "{\"summaries\":[", "]}")
        }
        Err(error) => v3_error(StatusCode::BAD_REQUEST, &error),
    }
}

fn trace(store: Store, id: &str, params: &Params) -> Response {
    let parsed = params::trace_id(id).map_err(|error| format!("malformed parameter trace_id: {error}")).and_then(|id| {
        // Jaeger checks the window and then ignores it: a trace id is enough.
        value(params, &["startTime", "start_time"], params::time)?;
        value(params, &["endTime", "end_time"], params::time)?;
        Ok((id, value(params, &["rawTraces", "raw_traces"], params::flag)?.unwrap_or(false)))
    });
    let (id, raw) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return v3_error(StatusCode::BAD_REQUEST, &error),
    };
    let Some(key) = store.find(id) else { return v3_error(StatusCode::NOT_FOUND, NOTHING) };
    let writer = TraceWriter::new(Style::Otlp { raw }, vec![key]);
    answer::traces(store, writer, "{\"result\":{\"resourceSpans\":[", "]}}")
}

/// A parameter under its name or an older one.
pub(super) fn value<T>(params: &Params, names: &[&str], parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    let Some((name, text)) = params.first_of(names) else { return Ok(None) };
    parse(text).map(Some).map_err(|error| format!("malformed parameter {name}: {error}"))
}

/// A search, and whether its traces are wanted raw.
fn find(params: &Params) -> Result<(Query, bool), String> {
    let minimum = ["query.startTimeMin", "query.start_time_min"];
    let maximum = ["query.startTimeMax", "query.start_time_max"];
    if params.first_of(&minimum).is_none() || params.first_of(&maximum).is_none() {
        return Err("query.startTimeMin and query.startTimeMax are required".to_owned());
    }
    let start_min = value(params, &minimum, params::time)?.unwrap_or_default();
    let start_max = value(params, &maximum, params::time)?.unwrap_or_default();
    if start_min >= start_max {
        return Err("query.startTimeMin must be before query.startTimeMax".to_owned());
    }
    let query = Query { start_min, start_max, ..conditions(params)? };
    Ok((query, value(params, &["query.rawTraces", "query.raw_traces"], params::flag)?.unwrap_or(false)))
}

/// What a search asks for at any time.
pub(super) fn conditions(params: &Params) -> Result<Query, String> {
    let text = |names: &[&str]| value(params, names, |text| Ok(text.to_owned()));
    // Newer than any release of Jaeger: to leave it out silently would answer another question.
    value(params, &["query.filter"], |_| Err::<(), _>("the embedded backend has no filter expressions".to_owned()))?;
    let attributes = value(params, &["query.attributes"], params::string_map)?.unwrap_or_default();
    let limit =
        value(params, &["query.searchDepth", "query.search_depth", "query.num_traces"], |text| depth(params::int(text, "Atoi")?))?;
    let duration_min = value(params, &["query.durationMin", "query.duration_min"], params::duration)?;
    let duration_max = value(params, &["query.durationMax", "query.duration_max"], params::duration)?;
    // Our own, as the order is: the others have nothing that asks for a slow trace of fast spans.
    let whole = value(params, &["query.durationOf"], |text| match text {
        "span" => Ok(false),
        "trace" => Ok(true),
        _ => Err(format!("unknown {text:?}, expected span or trace")),
    })?;
    Ok(Query {
        service: text(&["query.serviceName", "query.service_name"])?,
        operation: text(&["query.operationName", "query.operation_name"])?,
        start_min: 0,
        start_max: u64::MAX,
        duration_min: lower(duration_min),
        duration_max: upper(duration_max),
        whole: whole.unwrap_or(false),
        in_flight_at: None,
        attributes,
        limit: limit.unwrap_or(100),
        sort: value(params, &["query.sortBy", "query.sort_by"], params::sort)?.unwrap_or(Sort::Arrival),
    })
}

/// A search depth, or what is wrong with it.
pub(super) fn depth(depth: i64) -> Result<usize, String> {
    let fits = usize::try_from(depth).ok().filter(|depth| (1..=MAX_DEPTH).contains(depth));
    fits.ok_or_else(|| format!("search depth must be greater than 0 and at most {MAX_DEPTH}"))
}

pub(super) fn lower(duration: Option<i64>) -> u64 {
    u64::try_from(duration.unwrap_or_default()).unwrap_or_default()
}

/// Zero means no limit.
pub(super) fn upper(duration: Option<i64>) -> u64 {
    match duration {
        None | Some(0) => u64::MAX,
        Some(duration) => u64::try_from(duration).unwrap_or_default(),
    }
}
