//! `GET /api/logs?traceID=…`: the log lines of one trace across services, in time order.
//!
//! Jaeger keeps no logs and has no such path; a reader that gets its 404 knows that there are none to be had.

use http::StatusCode;
use warp::reply::Response;

use super::answer::{self, blocking, legacy_error};
use super::params::{self, Params};
use crate::backend::store::Store;

const CHUNK: usize = 256 << 10;

pub(super) async fn answer(store: Store, params: Params) -> Response {
    let Some(id) = params.first_of(&["traceID", "traceId", "trace_id"]).map(|(_, id)| id.to_owned()) else {
        return legacy_error(StatusCode::BAD_REQUEST, "parameter 'traceID' is required");
    };
    blocking(move || {
        let id = match params::trace_id(&id) {
            Ok(id) => id,
            Err(error) => return legacy_error(StatusCode::BAD_REQUEST, &format!("unable to parse param 'traceID': {error}")),
        };
        let Some(mut lines) = store.log_lines(id) else { return legacy_error(StatusCode::NOT_FOUND, "trace not found") };
        let end = format!("],\"total\":{},\"limit\":0,\"offset\":0,\"errors\":null}}", lines.len());
        answer::chunks("{\"data\":[", end.into_bytes(), move |out| store.write_log_lines(&mut lines, out, CHUNK))
    })
    .await
}
