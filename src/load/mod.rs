//! Makes many calls through the frontend's buttons and measures them; `tracelab load` and the page's runs are both this.
//!
//! It knows the frontend by its public API only, so its calls look like anybody's.

mod counts;
mod plan;
mod report;
mod tally;

pub use counts::{Counts, Damaged, Together};
pub use plan::{MAX_BAGGAGE_BYTES, MAX_CALLS, MAX_CONCURRENCY, MAX_RATE, Plan, PlanError};
pub use report::{Bucket, ButtonReport, Call, Detail, Latency, Report, Snapshot};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, Method, Request, StatusCode, Url, header::HeaderName};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::exit::chain;
use crate::server::Stop;
use tally::{Ended, Tally};

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// The same for a frontend that understands Jaeger's headers alone.
const JAEGER_BAGGAGE: HeaderName = HeaderName::from_static("jaeger-baggage");
/// The frontend gives up on a service long before this.
const CALL_LIMIT: Duration = Duration::from_secs(120);
/// The first question, whether a frontend is there at all.
const ASK_LIMIT: Duration = Duration::from_secs(10);
const SNAPSHOT_EVERY: Duration = Duration::from_millis(200);
/// Of as many snapshots, one has details.
const DETAIL_EVERY: u64 = 5;
/// A timer fires up to this late; a call that starts so late is not held against the system that it measures.
const TIMER_SLACK: Duration = Duration::from_millis(2);
/// After as many calls in a row that found nobody listening, the frontend is taken for gone.
const LOST_AFTER: u64 = 200;
/// An answer is one line of JSON; this much of one is kept to say what went wrong.
const ERROR_LENGTH: usize = 200;

/// Why a run could not be made at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("cannot reach a frontend at {url}; is `tracelab up` running, and is --frontend its address?")]
    Unreachable { url: Url, source: reqwest::Error },
    #[error("what answers at {url} is no tracelab frontend ({reason}); --frontend takes the address of the sandbox page")]
    NotAFrontend { url: Url, reason: String },
    #[error("the frontend at {url} refuses: {error}")]
    Refused { url: Url, error: String },
}

/// Makes the calls of `plan` through the frontend at the base URL `frontend` and tells `progress` a few times a second.
///
/// When `stop` comes, calls in flight are dropped and the report holds what was answered until then (`cancelled`); before the
/// first call that is nothing. A frontend that goes away in mid-run ends the run in the same way, with `lost` saying so.
pub async fn run(
    client: Client,
    frontend: &Url,
    plan: &Plan,
    stop: &Stop,
    mut progress: impl FnMut(&Snapshot),
) -> Result<Report, LoadError> {
    let target = tokio::select! {
        target = Target::ask(&client, frontend) => target?,
        () = stop.stopped() => return Ok(Report { cancelled: true, ..Tally::new(&[]).report(Duration::ZERO) }),
    };
    plan.check(target.width)?;
    let run = Arc::new(Run::new(client, frontend, plan, target.width));

    let mut callers = JoinSet::new();
    for _ in 0..plan.concurrency.min(usize::try_from(plan.calls).unwrap_or(usize::MAX)) {
        callers.spawn(Arc::clone(&run).call_until_done());
    }
    let mut ticks = 0_u64;
    let mut tick = tokio::time::interval(SNAPSHOT_EVERY);
    let stopped = stop.stopped();
    tokio::pin!(stopped);
    let mut lost = run.lost.subscribe();
    loop {
        tokio::select! {
            ended = callers.join_next() => match ended {
                Some(Ok(())) => {}
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => break,
            },
            _ = tick.tick() => {
                let detail = ticks.is_multiple_of(DETAIL_EVERY).then(|| run.detail());
                progress(&Snapshot { detail, ..run.snapshot() });
                ticks += 1;
            }
            () = &mut stopped => break,
            Ok(_) = lost.wait_for(Option::is_some) => break,
        }
    }
    // Waits for them, so that nothing is counted after the report was made.
    callers.shutdown().await;
    progress(&run.snapshot());
    Ok(run.report(target.jaeger))
}

/// What the frontend says of itself.
#[derive(Deserialize)]
struct Target {
    width: u16,
    jaeger: Option<String>,
}

impl Target {
    async fn ask(client: &Client, frontend: &Url) -> Result<Self, LoadError> {
        let url = || frontend.clone();
        let unreachable = |source: reqwest::Error| LoadError::Unreachable { url: url(), source: source.without_url() };
        let not_a_frontend = |reason| LoadError::NotAFrontend { url: url(), reason };
        let request = client.get(endpoint(frontend, "api/topology")).timeout(ASK_LIMIT);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            // Where nothing is at this path, an error of our form comes from something else of ours, such as a service.
            return Err(match named_error(&body).filter(|_| status != StatusCode::NOT_FOUND) {
                Some(error) => LoadError::Refused { url: url(), error: readable(&error) },
                None => not_a_frontend(format!("it answers /api/topology with {status}")),
            });
        }
        serde_json::from_slice(&body).map_err(|error| not_a_frontend(format!("its /api/topology cannot be read: {error}")))
    }
}

/// What all callers of one run share.
struct Run {
    client: Client,
    /// Beside each other: buttons and the URLs that press them.
    urls: Vec<Url>,
    calls: u64,
    rate: Option<f64>,
    client_id: String,
    baggage_tail: String,
    started: Instant,
    /// The number of the next call, from 0.
    next: AtomicU64,
    // Held for well under a microsecond a call, which is cheaper than a channel and a task to read it.
    tally: Mutex<Tally>,
    /// Calls in a row that found nobody listening.
    unanswered: AtomicU64,
    lost: watch::Sender<Option<String>>,
    frontend: Url,
}

impl Run {
    fn new(client: Client, frontend: &Url, plan: &Plan, width: u16) -> Self {
        let buttons = if plan.buttons.is_empty() { (0..width).collect() } else { plan.buttons.clone() };
        Self {
            client,
            urls: buttons.iter().map(|button| endpoint(frontend, &format!("api/buttons/{button}"))).collect(),
            calls: plan.calls,
            rate: plan.rate,
            client_id: plan.client.clone(),
            baggage_tail: plan.baggage_tail(),
            started: Instant::now(),
            next: AtomicU64::new(0),
            tally: Mutex::new(Tally::new(&buttons)),
            unanswered: AtomicU64::new(0),
            lost: watch::Sender::new(None),
            frontend: frontend.clone(),
        }
    }

    async fn call_until_done(self: Arc<Self>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.calls {
                return;
            }
            let begin = self.due(number).await;
            self.call(number, begin).await;
        }
    }

    /// Waits until call `number` is due, and answers from when its latency counts.
    async fn due(&self, number: u64) -> Instant {
        let Some(rate) = self.rate else { return Instant::now() };
        let due = self.started + Duration::from_secs_f64(number as f64 / rate);
        if Instant::now() >= due {
            // All callers were busy when it was due: the wait is part of what a user would have seen.
            return due;
        }
        tokio::time::sleep_until(due).await;
        let now = Instant::now();
        if now - due <= TIMER_SLACK { now } else { due }
    }

    async fn call(&self, number: u64, begin: Instant) {
        let button = usize::try_from(number % self.urls.len() as u64).expect("a remainder is below the number of buttons");
        let mut request = Request::new(Method::POST, self.urls[button].clone());
        let baggage = plan::baggage(&self.client_id, number + 1, &self.baggage_tail);
        request.headers_mut().insert(JAEGER_BAGGAGE, baggage.clone());
        request.headers_mut().insert(BAGGAGE, baggage);
        *request.timeout_mut() = Some(CALL_LIMIT);
        match self.client.execute(request).await {
            Ok(answer) => {
                self.unanswered.store(0, Ordering::Relaxed);
                let status = answer.status();
                let header = answer.headers().get("traceresponse").cloned();
                let trace_id = header.as_ref().and_then(|header| trace_id(header.to_str().ok()?));
                // Read to its end, so that the connection can be used again.
                let body = answer.bytes().await;
                let latency = begin.elapsed();
                let error = match body {
                    Ok(_) if status.is_success() => None,
                    Ok(body) if self.tally().names_failures() => Some(described(status, &body)),
                    Ok(_) => Some(String::new()),
                    Err(error) => Some(chain(&error.without_url())),
                };
                self.tally().add(Ended { button, latency, trace_id, error });
            }
            Err(error) => {
                let error = error.without_url();
                let description = chain(&error);
                if error.is_connect() && self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= LOST_AFTER {
                    let lost = format!("the frontend at {} can no longer be reached: {description}", self.frontend);
                    self.lost.send_replace(Some(lost));
                }
                self.tally().add(Ended { button, latency: begin.elapsed(), trace_id: None, error: Some(description) });
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.tally().snapshot(self.calls, self.started.elapsed())
    }

    fn detail(&self) -> Detail {
        let (slowest, failed) = self.tally().named();
        let buttons = self.tally().told_buttons();
        // One at a time: nobody who counts a call shall wait until all percentiles are looked up.
        let buttons = (0..buttons).filter_map(|index| self.tally().button(index)).collect();
        Detail { buttons, slowest, failed }
    }

    fn report(&self, links: Option<String>) -> Report {
        let elapsed = self.started.elapsed();
        let tally = std::mem::replace(&mut *self.tally(), Tally::new(&[]));
        let cancelled = tally.calls() < self.calls;
        let lost = self.lost.borrow().clone().filter(|_| cancelled);
        Report { cancelled, lost, links, ..tally.report(elapsed) }
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // Counting cannot stop half-way, so that what a panic elsewhere left behind is sound.
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error that the frontend names, or else the beginning of what it answered.
fn described(status: StatusCode, body: &[u8]) -> String {
    let reason = named_error(body).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    format!("{}: {}", status.as_u16(), readable(&reason))
}

/// The error in an answer of a frontend's.
fn named_error(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        error: String,
    }
    serde_json::from_slice(body).ok().map(|Answer { error }| error)
}

fn readable(reason: &str) -> String {
    reason.chars().filter(|char| !char.is_control()).take(ERROR_LENGTH).collect()
}

/// The trace ID in a `traceresponse` header, `00-<trace>-<span>-<flags>`.
fn trace_id(traceresponse: &str) -> Option<&str> {
    let id = traceresponse.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

/// `path` below the base URL, which may have a path of its own.
fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::net::TcpListener;
    use warp::{Filter, Reply};

    use super::*;
    use crate::server;

    /// Answers like a frontend with three buttons, and keeps what it was sent.
    #[derive(Clone, Default)]
    struct Fake {
        baggage: Arc<Mutex<Vec<String>>>,
        /// Nothing is answered while this is set.
        hangs: watch::Sender<bool>,
    }

    impl Fake {
        async fn start(&self) -> (Url, Stop) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let stop = Stop::new();
            tokio::spawn(server::serve(listener, self.routes(), stop.clone()));
            (url, stop)
        }

        fn routes(&self) -> impl Filter<Extract = (impl Reply + use<>,), Error = std::convert::Infallible> + Clone + use<> {
            let fake = self.clone();
            let topology = warp::path!("api" / "topology")
                .map(|| warp::reply::json(&serde_json::json!({ "width": 3, "jaeger": "http://jaeger:16686" })).into_response());
            let buttons = warp::path!("api" / "buttons" / u64).and(warp::post()).and(warp::header::headers_cloned()).then(
                move |button: u64, headers: HeaderMap| {
                    let fake = fake.clone();
                    async move { fake.press(button, &headers).await }
                },
            );
            topology.or(buttons).unify().recover(|_| async { Ok(StatusCode::NOT_FOUND.into_response()) }).unify()
        }

        async fn press(&self, button: u64, headers: &HeaderMap) -> warp::reply::Response {
            let _ = self.hangs.subscribe().wait_for(|hangs| !hangs).await;
            let baggage = headers["baggage"].to_str().unwrap().to_owned();
            let number: u64 = baggage.split([',', '-']).nth(1).unwrap().parse().unwrap();
            self.baggage.lock().unwrap().push(baggage);
            let failed = button == 2 && number.is_multiple_of(2);
            let status = if failed { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
            let body = if failed { r#"{"error":"dummy-0-2 answered 500"}"# } else { "{}" };
            let reply = warp::reply::with_status(body, status);
            warp::reply::with_header(reply, "traceresponse", format!("00-{number:032x}-{number:016x}-01")).into_response()
        }
    }

    fn client() -> Client {
        crate::outbound::client().unwrap()
    }

    fn plan(calls: u64) -> Plan {
        Plan { calls, concurrency: 20, client: "ab12".into(), ..Plan::default() }
    }

    #[tokio::test]
    async fn a_run_of_1000_calls_counts_exactly_1000_and_numbers_each_once() {
        let fake = Fake::default();
        let (url, _stop) = fake.start().await;
        let plan = Plan { baggage: vec![("tier".into(), "gold".into())], ..plan(1_000) };
        let (mut last, mut details) = (None, Vec::new());
        let progress = |snapshot: &Snapshot| {
            last = Some(snapshot.clone());
            details.extend(snapshot.detail.clone());
        };
        let report = run(client(), &url, &plan, &Stop::new(), progress).await.unwrap();
        assert_eq!(last.as_ref().unwrap().histogram.iter().map(|(_, calls)| calls).sum::<u64>(), 1_000);
        assert_eq!(last.as_ref().unwrap().histogram, report.histogram());
        assert_eq!(details[0].buttons.iter().map(|button| button.button).collect::<Vec<_>>(), [0, 1, 2]);

        let buttons: Vec<_> = report.buttons.iter().map(|button| (button.button, button.calls, button.errors)).collect();
        // Calls 3, 6, 9, … go to button 2, and the even ones of them fail.
        assert_eq!(buttons, [(0, 334, 0), (1, 333, 0), (2, 333, 166)]);
        assert_eq!((report.calls, report.errors, report.cancelled), (1_000, 166, false));
        assert_eq!(last.map(|last| (last.calls, last.total, last.errors)), Some((1_000, 1_000, 166)));
        assert_eq!(report.slowest.len(), 10);
        assert_eq!(report.failed[0].error.as_deref(), Some("502: dummy-0-2 answered 500"));
        assert_eq!(report.links.as_deref(), Some("http://jaeger:16686"));

        let mut sent = fake.baggage.lock().unwrap().clone();
        sent.sort_by_key(|baggage| baggage.len());
        sent.dedup();
        assert_eq!((sent.len(), sent.last().unwrap().as_str()), (1_000, "client=ab12-1000,tier=gold"));
    }

    #[tokio::test]
    async fn a_run_that_is_stopped_reports_what_was_answered_until_then() {
        let fake = Fake::default();
        let (url, _stop) = fake.start().await;
        let stop = Stop::new();
        let (cancel, hangs) = (stop.clone(), fake.hangs.clone());
        let report = run(client(), &url, &plan(1_000_000), &stop, |snapshot| {
            if snapshot.calls > 0 {
                hangs.send_replace(true);
                cancel.stop();
            }
        })
        .await
        .unwrap();
        assert!(report.cancelled && report.lost.is_none());
        assert!((1..1_000_000).contains(&report.calls), "{} calls", report.calls);
        assert_eq!(report.buttons.iter().map(|button| button.calls).sum::<u64>(), report.calls);
    }

    #[tokio::test]
    async fn calls_at_a_rate_count_their_latency_from_when_they_were_due() {
        let fake = Fake::default();
        let (url, _stop) = fake.start().await;
        fake.hangs.send_replace(true);
        // One caller, one call a millisecond: the first answer takes long, and meanwhile the others become due.
        let plan = Plan { concurrency: 1, rate: Some(1_000.0), ..plan(3) };
        let report = run(client(), &url, &plan, &Stop::new(), |snapshot| {
            if snapshot.seconds > 0.1 {
                fake.hangs.send_replace(false);
            }
        })
        .await
        .unwrap();
        assert_eq!(report.calls, 3);
        assert!(report.slowest.iter().all(|call| call.latency_ms > 90.0), "{:?}", report.slowest);
    }

    #[tokio::test]
    async fn a_frontend_that_is_not_there_is_an_error_that_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        let error = run(client(), &url, &plan(10), &Stop::new(), |_| ()).await.unwrap_err();
        assert!(matches!(error, LoadError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().starts_with(&format!("cannot reach a frontend at {url}")), "{error}");
    }

    #[tokio::test]
    async fn another_program_at_the_address_is_not_taken_for_a_frontend() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(server::serve(listener, warp::any().map(|| "hello"), Stop::new()));
        let error = run(client(), &url, &plan(10), &Stop::new(), |_| ()).await.unwrap_err();
        assert!(matches!(error, LoadError::NotAFrontend { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_frontend_that_refuses_says_why_itself() {
        for (status, refused) in [(StatusCode::FORBIDDEN, true), (StatusCode::NOT_FOUND, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let answer = warp::any().map(move || warp::reply::with_status(r#"{"error":"no such name"}"#, status));
            tokio::spawn(server::serve(listener, answer, Stop::new()));
            let error = run(client(), &url, &plan(10), &Stop::new(), |_| ()).await.unwrap_err();
            assert_eq!(matches!(error, LoadError::Refused { .. }), refused, "{error:?}");
            assert_eq!(error.to_string() == format!("the frontend at {url} refuses: no such name"), refused, "{error}");
        }
    }

    #[tokio::test]
    async fn a_run_that_is_stopped_before_the_first_answer_did_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let stop = Stop::new();
        let cancel = stop.clone();
        // Asked, and never answered.
        let asked = async {
            let connection = listener.accept().await.unwrap();
            cancel.stop();
            connection
        };
        let plan = plan(10);
        let (report, _connection) = tokio::join!(run(client(), &url, &plan, &stop, |_| ()), asked);
        let report = report.unwrap();
        assert_eq!((report.calls, report.cancelled, report.lost.as_deref()), (0, true, None));
        assert!(report.text(None).contains("cut short before the first answer"), "{}", report.text(None));
    }

    #[tokio::test]
    async fn a_frontend_that_goes_away_ends_the_run_and_what_is_done_is_reported() {
        let (url, frontend) = Fake::default().start().await;
        let report = run(client(), &url, &plan(1_000_000), &Stop::new(), |snapshot| {
            if snapshot.calls > 0 {
                frontend.stop();
            }
        })
        .await
        .unwrap();
        assert!(report.cancelled && report.errors > 0);
        assert!(report.lost.unwrap().starts_with(&format!("the frontend at {url} can no longer be reached")));
    }

    #[test]
    fn only_a_whole_traceresponse_gives_a_trace_id() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_id(&format!("00-{id}-b7ad6b7169203331-01")), Some(id));
        for text in ["", "00", "00-0af7-b7ad6b7169203331-01", &format!("00-{}-b7ad-01", "x".repeat(32))] {
            assert_eq!(trace_id(text), None, "{text:?}");
        }
    }
}
