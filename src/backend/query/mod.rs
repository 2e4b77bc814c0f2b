//! What readers ask: Jaeger's API v3 and its legacy API, the logs of a trace, and the pages.
//!
//! Beyond Jaeger:
//! - `query.sortBy` (v3; alias `query.sort_by`) and `sort` (legacy): `newest`, `oldest`, `longest`, `most-spans` or
//!   `most-errors` first, over all that is stored and matches. A trace's length is from its earliest start to its latest end.
//!   Without it the traces that arrived last come first, as in Jaeger.
//! - `GET /api/logs?traceID=…`: `{"data":[{timestamp, severity, service, body, attributes, trace_id, span_id}], …}` in time
//!   order; timestamps are RFC 3339 with nanoseconds, body and attributes ordinary JSON.
//! - `GET /api/tracelab/…`, for our own pages: the calls between services with their latencies, how long spans took, what was under
//!   way at a time (`tracelab`), what one trace waited for (`critical_path`), and what `diagnose` says of all (`suspects`).
//! - `GET /status`: ready, and what the store holds and has let go: `{"status":"StatusOK","store":{…},"large_requests":n}`.
//! - Expressions (`query.filter`) are newer than any release of Jaeger; they get a 400 instead of being ignored.

mod answer;
mod critical_path;
mod legacy;
mod logs;
mod params;
mod suspects;
mod tracelab;
mod v3;

use std::convert::Infallible;

use http::Method;
use warp::filters::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

use super::otlp::body::Bodies;
use super::pages;
use super::store::Store;
use params::Params;

/// Searches deeper than this are refused, as by Jaeger all-in-one with its defaults.
const MAX_DEPTH: usize = 100_000;

/// Everything on the query port.
pub(crate) fn routes(store: Store, bodies: Bodies) -> impl Filter<Extract = (impl Reply,), Error = Infallible> + Clone {
    let suspects = suspects::routes(store.clone());
    let query = warp::query::raw().or_else(|_| async { Ok::<_, Infallible>((String::new(),)) });
    let api = warp::path::full()
        .and(warp::method())
        .and(query)
        .and(warp::body::stream())
        .and(warp::any().map(move || (store.clone(), bodies.clone())))
        .then(|path: FullPath, method: Method, query: String, body, (store, bodies): (Store, Bodies)| async move {
            // Whoever asks for the head only gets the same head; the HTTP library leaves out the body.
            let method = if method == Method::HEAD { Method::GET } else { method };
            let path: Vec<String> = path.as_str().split('/').skip(1).map(params::decode).collect();
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let params = Params::parse(&query);
            match (&method, path.as_slice()) {
                (&Method::GET, ["status"]) => answer::status(&store, &bodies),
                (&Method::GET, ["api", "v3", rest @ ..]) => v3::answer(store, rest, params).await,
                (&Method::GET, ["api", "tracelab", rest @ ..]) => tracelab::answer(store, rest, params).await,
                (&Method::GET, ["api", "logs"]) => logs::answer(store, params).await,
                (_, ["api", rest @ ..]) => legacy::answer(store, &method, rest, params, body, &bodies).await,
                _ => answer::not_found(),
            }
        });
    let pages = pages::routes().map(Reply::into_response);
    pages.or(suspects).unify().or(api).unify().recover(|_| async { Ok::<Response, Infallible>(answer::not_found()) }).unify()
}
