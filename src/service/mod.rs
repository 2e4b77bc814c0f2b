//! One of the 90 services: sleeps as its assignment says, forwards to the next layer, answers `hello world`.
//!
//! It knows its own name and whoever assigns; `control` asks a frontend elsewhere, `up` assigns inside the process. What it does
//! with a request is in `work`, what it writes to Redis in `storage`, what it goes on with after an answer in `background`. Where a
//! learner's own program was put in its place, `stand_in` asks that instead.

mod background;
pub mod control;
mod stand_in;
mod storage;
mod work;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::{HeaderMap, Method, StatusCode};
use opentelemetry::Context;
use opentelemetry::trace::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;
use warp::reply::{Response, with_header, with_status};
use warp::{Filter, Reply};

use crate::caller::{CallError, Called, Caller, RESENT};
use crate::mystery::{Assignment, BadUrl, Peer};
use crate::telemetry::{Identity, Instrument, ServerSpan, Telemetry, traceresponse};
use crate::topology::ServiceName;
use background::Background;
use stand_in::StandIn;
use storage::Storage;

/// A request beyond this many at a time gets 503.
pub const MAX_IN_FLIGHT: usize = 1_024;
/// A call of a service of layer 0 takes no longer than this.
const FIRST_CALL_LIMIT: Duration = Duration::from_secs(10);
/// A layer gives up so much sooner than the one before it: then the caller of the service that hangs is the one to say so, and not
/// all callers before it at the same moment.
const SOONER: Duration = Duration::from_secs(1);
/// The same in what is deeper than most: there the many layers below need their time too, and a service knows only how many are above.
const SOONER_BELOW: Duration = Duration::from_millis(50);
/// So many layers are not deep.
const SHALLOW: u16 = 3;
const LAST_CALL_LIMIT: Duration = Duration::from_secs(2);

/// A running service; clones are the same one.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: ServiceName,
    telemetry: Telemetry,
    client: reqwest::Client,
    release: ArcSwap<Release>,
    /// v1 and v2, made when they are first put in place and then kept.
    releases: [OnceLock<Arc<Release>>; 2],
    /// Answers in its place.
    stand_in: ArcSwapOption<StandIn>,
    assignment: ArcSwapOption<Assignment>,
    in_flight: Semaphore,
    /// One request at a time may be in it.
    section: Semaphore,
    storage: Storage,
    background: Background,
}

/// What changes when another version of the service is put in place.
#[derive(Debug)]
struct Release {
    patched: bool,
    instrument: Instrument,
    caller: Caller,
}

/// What a service answers. A learner's own program in a service's place may answer anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub message: String,
    /// The services that the request passed, each before those it called.
    pub path: Vec<String>,
}

/// An assignment that cannot be obeyed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadAssignment {
    #[error("the assignment is for {0}, not for {1}")]
    ForSomebodyElse(ServiceName, ServiceName),
    #[error(transparent)]
    BadUrl(#[from] BadUrl),
}

impl Service {
    /// A service without an assignment: it is not ready until [`Service::assign`] was called.
    pub fn new(name: ServiceName, patched: bool, telemetry: &Telemetry, client: reqwest::Client) -> Self {
        let release = Arc::new(Release::new(name, patched, telemetry, client.clone()));
        let releases = <[OnceLock<Arc<Release>>; 2]>::default();
        let _ = releases[usize::from(patched)].set(release.clone());
        Self(Arc::new(Inner {
            name,
            telemetry: telemetry.clone(),
            client,
            release: ArcSwap::new(release),
            releases,
            stand_in: ArcSwapOption::empty(),
            assignment: ArcSwapOption::empty(),
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
            section: Semaphore::new(1),
            storage: Storage::default(),
            background: Background::default(),
        }))
    }

    pub fn name(&self) -> ServiceName {
        self.0.name
    }

    /// From now on the service behaves as `assignment` says; requests that are running finish as they began.
    pub fn assign(&self, assignment: Assignment) -> Result<(), BadAssignment> {
        if assignment.service != self.0.name {
            return Err(BadAssignment::ForSomebodyElse(assignment.service, self.0.name));
        }
        assignment.next.iter().try_for_each(Peer::check)?;
        self.0.assignment.store(Some(Arc::new(assignment)));
        Ok(())
    }

    /// Puts another version in place, also of a program that stands in: its resource says so from the next request on.
    pub fn deploy(&self, patched: bool) {
        let Inner { name, telemetry, client, release, releases, .. } = &*self.0;
        let make = || Arc::new(Release::new(*name, patched, telemetry, client.clone()));
        release.store(releases[usize::from(patched)].get_or_init(make).clone());
        self.0.stand_in.store(None);
    }

    /// Has the program at `url` answer in its place. It gets all headers of a request, `x-next` with the base URLs of whom it may
    /// call, and `x-redis` with the Redis that the service would write to; spans are its own business.
    pub fn hand_over(&self, url: Url) {
        self.0.stand_in.store(Some(Arc::new(StandIn::new(url))));
    }

    /// Whether another program answers in its place.
    pub fn is_handed_over(&self) -> bool {
        self.0.stand_in.load().is_some()
    }

    /// Whether it runs as it started.
    pub fn is_original(&self) -> bool {
        !self.0.release.load().patched && !self.is_handed_over()
    }

    /// Ends what still goes on after its answer, so that its spans are whole; for when requests come no more.
    pub async fn finish(&self) {
        self.0.background.finish().await;
    }

    /// `GET /` and the two checks.
    pub fn routes(
        &self,
    ) -> impl Filter<Extract = (impl Reply + use<>,), Error = Infallible> + Clone + Send + Sync + 'static + use<> {
        let (work, ready) = (self.clone(), self.clone());
        let hello = warp::path::end().and(warp::get()).and(warp::header::headers_cloned()).then(move |headers: HeaderMap| {
            let service = work.clone();
            async move { service.answer(&headers).await }
        });
        let healthz = warp::path!("healthz").map(|| "ok\n".into_response());
        let readyz = warp::path!("readyz").map(move || ready.readiness());
        let nothing = warp::any().map(|| error(StatusCode::NOT_FOUND, "a service answers GET /, /healthz and /readyz"));
        hello.or(healthz).unify().or(readyz).unify().or(nothing).unify()
    }

    fn readiness(&self) -> Response {
        match self.0.assignment.load().is_some() {
            true => "ok\n".into_response(),
            false => error(StatusCode::SERVICE_UNAVAILABLE, "no assignment yet; is the frontend's control port reachable?"),
        }
    }

    async fn answer(&self, headers: &HeaderMap) -> Response {
        let release = self.0.release.load_full();
        let cx = release.instrument.extract(headers);
        if let Some(stand_in) = self.0.stand_in.load_full() {
            // What is logged is this service's, of the request's trace.
            let cx = cx.with_value(release.instrument.clone());
            return self.pass_on(&stand_in, headers).with_context(cx).await;
        }
        let cx = release.instrument.server_span(&cx, &Method::GET, "/", "/", headers);
        let span = ServerSpan::new(&release.instrument, &cx);
        let reply = self.work(&release, &cx, headers.contains_key(RESENT)).with_context(cx.clone()).await;
        let (status, mut response) = match reply {
            Ok(answer) => (StatusCode::OK, warp::reply::json(&answer).into_response()),
            Err(failure) => (failure.status, failure.into_response()),
        };
        span.finish(status);
        if let Some(value) = traceresponse(&cx) {
            response.headers_mut().insert("traceresponse", value);
        }
        response
    }

    async fn pass_on(&self, stand_in: &StandIn, headers: &HeaderMap) -> Response {
        match self.admit() {
            Ok((_permit, assignment)) => stand_in.answer(&self.0.client, headers, &assignment, call_limit(self.0.name)).await,
            Err(failure) => failure.into_response(),
        }
    }

    async fn work(&self, release: &Release, cx: &Context, resent: bool) -> Result<Answer, Failure> {
        let (_permit, assignment) = self.admit()?;
        self.obey(release, cx, &assignment, resent).await
    }

    fn admit(&self) -> Result<(SemaphorePermit<'_>, Arc<Assignment>), Failure> {
        let full = |_| Failure::unavailable(format!("{MAX_IN_FLIGHT} requests are already in flight"));
        let permit = self.0.in_flight.try_acquire().map_err(full)?;
        let assignment = self.0.assignment.load_full();
        Ok((permit, assignment.ok_or_else(|| Failure::unavailable("no assignment yet".to_owned()))?))
    }
}

impl Release {
    fn new(name: ServiceName, patched: bool, telemetry: &Telemetry, client: reqwest::Client) -> Self {
        let instrument = telemetry.instrument(&Identity::service(name, if patched { "v2" } else { "v1" }));
        let caller = Caller::new(client, instrument.clone(), call_limit(name));
        Self { patched, instrument, caller }
    }
}

impl Answer {
    /// Adds what a callee answered: its path after ours, and its version where it is patched.
    fn include(&mut self, callee: Answer) {
        if self.message == message(false) && callee.message == message(true) {
            self.message = callee.message;
        }
        self.path.extend(callee.path);
    }
}

/// How long a service waits for whom it calls.
fn call_limit(service: ServiceName) -> Duration {
    let shallow = service.layer.min(SHALLOW);
    let sooner = SOONER * u32::from(shallow) + SOONER_BELOW * u32::from(service.layer - shallow);
    FIRST_CALL_LIMIT.saturating_sub(sooner).max(LAST_CALL_LIMIT)
}

fn message(patched: bool) -> &'static str {
    if patched { "hello world (v2)" } else { "hello world" }
}

/// Why a request failed, here or further on.
struct Failure {
    status: StatusCode,
    reason: String,
    /// Whoever called may call again at once.
    again: bool,
}

impl Failure {
    fn new(status: StatusCode, reason: String) -> Self {
        Self { status, reason, again: false }
    }

    /// There is no room; in a second there may be.
    fn unavailable(reason: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// The same request is welcome at once.
    fn refusal() -> Self {
        Self { again: true, ..Self::unavailable("busy for a moment".to_owned()) }
    }

    fn into_response(self) -> Response {
        let response = error(self.status, &self.reason);
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                with_header(response, "retry-after", if self.again { "0" } else { "1" }).into_response()
            }
            _ => response,
        }
    }
}

/// A callee's failure is passed on with its status, so that the status tells where to look no more than the trace does.
fn read(callee: ServiceName, result: Result<Called, CallError>) -> Result<Answer, Failure> {
    let called = result.map_err(|error| Failure::new(error.status(), error.to_string()))?;
    if called.status.is_success() {
        let own = || Answer { message: message(false).to_owned(), path: vec![callee.to_string()] };
        return Ok(serde_json::from_slice(&called.body).unwrap_or_else(|_| own()));
    }
    let status = if called.status.is_server_error() { called.status } else { StatusCode::BAD_GATEWAY };
    Err(Failure::new(status, format!("{callee} answered {}", called.status)))
}

fn error(status: StatusCode, text: &str) -> Response {
    with_status(warp::reply::json(&serde_json::json!({ "error": text })), status).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mystery::Delay;
    use crate::telemetry::{Exporter, TelemetrySettings};
    use crate::topology::{MAX_LAYERS, Route};
    use futures_util::FutureExt as _;

    #[test]
    fn however_deep_it_is_a_caller_waits_longer_than_its_callee_and_the_many_below_have_their_time() {
        let limit = |layer| call_limit(ServiceName { layer, number: 0 });
        assert_eq!([0, 1, 2].map(limit), [10, 9, 8].map(Duration::from_secs));
        assert!((1..MAX_LAYERS).all(|layer| limit(layer) < limit(layer - 1)));
        // The longest fault, and 50 ms a layer, where it ordinarily takes a few.
        for layer in 0..MAX_LAYERS {
            let below = MAX_LAYERS - layer;
            assert!(limit(layer) >= Duration::from_millis(50) * u32::from(below) + Duration::from_secs(1), "layer {layer}");
        }
    }

    #[tokio::test]
    async fn a_request_beyond_the_bound_is_told_to_come_again() {
        let settings = TelemetrySettings { traces: Exporter::None, ..TelemetrySettings::default() };
        let telemetry = Telemetry::start(&settings, None).unwrap();
        let name = ServiceName { layer: 2, number: 0 };
        let service = Service::new(name, false, &telemetry, crate::outbound::client().unwrap());
        let delay = Delay { median_ms: 60_000.0, sigma: 0.0 };
        let next = Arc::new([]);
        service
            .assign(Assignment {
                service: name,
                delay,
                route: Route::Straight,
                next,
                fault: None,
                spoiled: None,
                redis: None,
                decoy: None,
            })
            .unwrap();
        let routes = service.routes();
        let request = || Box::pin(warp::test::request().path("/").reply(&routes));
        let mut running: Vec<_> = (0..MAX_IN_FLIGHT).map(|_| request()).collect();
        assert!(running.iter_mut().all(|request| request.now_or_never().is_none()), "all of them are asleep");
        let refused = request().await;
        assert_eq!((refused.status(), &refused.headers()["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap()));
        running.pop();
        assert!(request().now_or_never().is_none(), "one that ended makes room");
    }
}
