//! Jaeger's legacy API, which its page still reads traces from.

use std::borrow::Cow;

use bytes::Buf;
use futures_util::Stream;
use http::{Method, StatusCode};
use warp::reply::Response;

use super::answer::{self, blocking, legacy_error};
use super::params::{self, Params};
use super::v3::{depth, lower, upper};
use crate::backend::attribute::list;
use crate::backend::json;
use crate::backend::otlp::body::Bodies;
use crate::backend::otlp::{self, MAX_BODY};
use crate::backend::store::{Query, Sort, Store, Style, TraceWriter};

const DATA: &str = "{\"data\":[";
const END: &str = "],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}";
/// How far back a search or a graph looks that does not say.
const TWO_DAYS_US: i64 = 2 * 24 * 3_600_000_000;
const ONE_DAY_MS: i64 = 24 * 3_600_000;

pub(super) async fn answer<B: Buf>(
    store: Store,
    method: &Method,
    path: &[&str],
    params: Params,
    body: impl Stream<Item = Result<B, warp::Error>>,
    bodies: &Bodies,
) -> Response {
    match (method, path) {
        (&Method::GET, ["services"]) => services(&store),
        (&Method::GET, ["services", service, "operations"]) => operation_names(&store, service),
        (&Method::GET, ["operations"]) => operations(&store, &params),
        (&Method::GET, ["traces"]) => blocking(move || search(store, &params)).await,
        (&Method::GET, ["traces", id]) => {
            let id = (*id).to_owned();
            blocking(move || trace(store, &id, &params)).await
        }
        (&Method::GET, ["dependencies"]) => blocking(move || dependencies(&store, &params)).await,
        (&Method::POST, ["transform"]) => transform(body, bodies).await,
        (&Method::POST, ["archive", id]) => match params::trace_id(id) {
            Ok(_) => legacy_error(StatusCode::INTERNAL_SERVER_ERROR, "archive span storage was not configured"),
            Err(error) => legacy_error(StatusCode::BAD_REQUEST, &error),
        },
        (&Method::GET, ["metrics", "latencies" | "calls" | "errors" | "minstep"]) => {
            let message = "trace metrics are currently disabled - no metrics backend configured";
            legacy_error(StatusCode::NOT_IMPLEMENTED, message)
        }
        // Jaeger answers these two with made-up data.
        (&Method::GET, ["quality-metrics" | "deep-dependencies"]) => {
            legacy_error(StatusCode::NOT_IMPLEMENTED, "not supported by the embedded backend")
        }
        _ => answer::not_found(),
    }
}

fn services(store: &Store) -> Response {
    let services = store.services();
    let mut out = DATA.as_bytes().to_vec();
    list(&mut out, services.iter(), |out, service| json::string(out, service.as_bytes()));
    close(out, services.len())
}

fn operation_names(store: &Store, service: &str) -> Response {
    let operations = store.operations(service);
    let names: std::collections::BTreeSet<&str> = operations.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return answer::json(StatusCode::OK, r#"{"data":null,"total":0,"limit":0,"offset":0,"errors":null}"#);
    }
    let mut out = DATA.as_bytes().to_vec();
    list(&mut out, names.iter(), |out, name| json::string(out, name.as_bytes()));
    close(out, names.len())
}

fn operations(store: &Store, params: &Params) -> Response {
    let Some(service) = params.get("service") else {
        return legacy_error(StatusCode::BAD_REQUEST, "parameter 'service' is required");
    };
    let mut operations = store.operations(service);
    if let Some(kind) = params.get("spanKind") {
        operations.retain(|(_, own)| *own == kind);
    }
    let mut out = DATA.as_bytes().to_vec();
    list(&mut out, operations.iter(), |out, (name, kind)| operation(out, name, kind));
    close(out, operations.len())
}

/// `{"name":…,"spanKind":…}`
pub(super) fn operation(out: &mut Vec<u8>, name: &str, kind: &str) {
    out.extend_from_slice(b"{\"name\":");
    json::string(out, name.as_bytes());
    out.extend_from_slice(b",\"spanKind\":");
    json::string(out, kind.as_bytes());
    out.push(b'}');
}

fn close(mut out: Vec<u8>, total: usize) -> Response {
    out.extend_from_slice(b"],\"total\":");
    json::unsigned(&mut out, total as u64);
    out.extend_from_slice(b",\"limit\":0,\"offset\":0,\"errors\":null}");
    answer::json(StatusCode::OK, out)
}

fn trace(store: Store, id: &str, params: &Params) -> Response {
    let parsed = params::trace_id(id).and_then(|id| {
        value(params, "start", |text| params::int(text, "ParseInt"))?;
        value(params, "end", |text| params::int(text, "ParseInt"))?;
        Ok((id, value(params, "raw", params::flag)?.unwrap_or(false)))
    });
    let (id, raw) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return legacy_error(StatusCode::BAD_REQUEST, &error),
    };
    let Some(key) = store.find(id) else { return legacy_error(StatusCode::NOT_FOUND, "trace not found") };
    answer::traces(store, TraceWriter::new(Style::Legacy { raw }, vec![key]), DATA, END)
}

fn search(store: Store, params: &Params) -> Response {
    let (query, ids, raw) = match find(params) {
        Ok(found) => found,
        Err(error) => return legacy_error(StatusCode::BAD_REQUEST, &error),
    };
    let style = Style::Legacy { raw };
    if ids.is_empty() {
        let keys = store.search(&query);
        return answer::traces(store, TraceWriter::new(style, keys), DATA, END);
    }
    let (mut keys, mut missing) = (Vec::new(), Vec::new());
    for id in ids {
        match store.find(id) {
            Some(key) if keys.contains(&key) => {}
            Some(key) => keys.push(key),
            None => missing.push(id),
        }
    }
    let mut end = b"],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":".to_vec();
    if missing.is_empty() {
        end.extend_from_slice(b"null}");
    } else {
        end.push(b'[');
        list(&mut end, missing.into_iter(), |out, (high, low)| {
            out.extend_from_slice(b"{\"msg\":\"trace not found\",\"traceID\":\"");
            if high != 0 {
                json::hex_u64(out, high);
            }
            json::hex_u64(out, low);
            out.extend_from_slice(b"\"}");
        });
        end.extend_from_slice(b"]}");
    }
    answer::traces(store, TraceWriter::new(style, keys), DATA, end)
}

/// A parameter, if it is there.
fn value<T>(params: &Params, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    let Some(text) = params.get(name) else { return Ok(None) };
    parse(text).map(Some).map_err(|error| format!("unable to parse param '{name}': {error}"))
}

/// A search, or trace ids instead, and whether the traces are wanted raw.
type Find = (Query, Vec<(u64, u64)>, bool);

fn find(params: &Params) -> Result<Find, String> {
    let integer = |text: &str| params::int(text, "ParseInt");
    let now = jiff::Timestamp::now().as_microsecond();
    let start = value(params, "start", integer)?.unwrap_or(now - TWO_DAYS_US);
    let end = value(params, "end", integer)?.unwrap_or(now);
    let mut attributes = Vec::new();
    for tag in params.all("tag") {
        let malformed = || format!("malformed 'tag' parameter, expecting key:value, received: {tag}");
        let (key, text) = tag.split_once(':').ok_or_else(malformed)?;
        attributes.push((key.to_owned(), text.to_owned()));
    }
    for tags in params.all("tags") {
        let malformed = |error| format!("malformed 'tags' parameter, cannot unmarshal JSON: {error}");
        attributes.extend(params::string_map(tags).map_err(malformed)?);
    }
    let limit = match params.get("limit") {
        Some(text) => depth(integer(text)?)?,
        None => 100,
    };
    let duration_min = value(params, "minDuration", params::duration)?;
    let duration_max = value(params, "maxDuration", params::duration)?;
    let ids = params.all("traceID").map(params::hex_trace_id).collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(|error| format!("cannot parse traceID param: {error}"))?;
    let raw = value(params, "raw", params::flag)?.unwrap_or(false);
    let sort = value(params, "sort", params::sort)?.unwrap_or(Sort::Arrival);
    let service = params.get("service").map(str::to_owned);
    if ids.is_empty() && service.is_none() {
        return Err("parameter 'service' is required".to_owned());
    }
    if let (Some(min), Some(max)) = (duration_min, duration_max)
        && min != 0
        && max != 0
        && max < min
    {
        return Err("'maxDuration' should be greater than 'minDuration'".to_owned());
    }
    let nanoseconds = |microseconds: i64| u64::try_from(microseconds).unwrap_or_default().saturating_mul(1_000);
    let query = Query {
        service,
        operation: params.get("operation").map(str::to_owned),
        start_min: nanoseconds(start),
        start_max: nanoseconds(end),
        duration_min: lower(duration_min),
        duration_max: upper(duration_max),
        whole: false,
        in_flight_at: None,
        attributes,
        limit,
        sort,
    };
    Ok((query, ids, raw))
}

fn dependencies(store: &Store, params: &Params) -> Response {
    let integer = |text: &str| params::int(text, "ParseInt");
    let window = value(params, "endTs", integer).and_then(|end| Ok((end, value(params, "lookback", integer)?)));
    let (end, lookback) = match window {
        Ok((end, lookback)) => (end.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond()), lookback.unwrap_or(ONE_DAY_MS)),
        Err(error) => return legacy_error(StatusCode::BAD_REQUEST, &error),
    };
    let nanoseconds = |milliseconds: i64| u64::try_from(milliseconds).unwrap_or_default().saturating_mul(1_000_000);
    let mut dependencies = store.dependencies(nanoseconds(end.saturating_sub(lookback)), nanoseconds(end));
    if let Some(service) = params.get("service") {
        dependencies.retain(|link| link.parent == service || link.child == service);
    }
    let mut out = DATA.as_bytes().to_vec();
    list(&mut out, dependencies.iter(), |out, link| {
        out.extend_from_slice(b"{\"parent\":");
        json::string(out, link.parent.as_bytes());
        out.extend_from_slice(b",\"child\":");
        json::string(out, link.child.as_bytes());
        out.extend_from_slice(b",\"callCount\":");
        json::unsigned(out, link.call_count);
        out.push(b'}');
    });
    out.extend_from_slice(END.as_bytes());
    answer::json(StatusCode::OK, out)
}

/// OTLP JSON in, Jaeger's JSON out, nothing stored: how Jaeger's page reads a file of traces.
async fn transform<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>, bodies: &Bodies) -> Response {
    let bytes = match bodies.read(body).await {
        Ok(bytes) => bytes,
        Err(unread) => return legacy_error(unread.status(), &unread.to_string()),
    };
    blocking(move || {
        // A store of its own, large enough that nothing of one body is evicted.
        let store = Store::new(MAX_BODY * 64);
        let read = otlp::json::traces(&bytes).and_then(|protobuf| store.ingest_traces(&protobuf));
        let why: Cow<'static, str> = match read {
            Ok(_) => {
                let writer = TraceWriter::new(Style::Legacy { raw: true }, store.all());
                return answer::traces(store, writer, DATA, END);
            }
            Err(malformed) => malformed.0,
        };
        legacy_error(StatusCode::BAD_REQUEST, &format!("cannot unmarshal OTLP : {why}"))
    })
    .await
}
