//! A run that the page watches: the load engine, with its progress as server-sent events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tracing::info;
use url::Url;
use warp::reply::Response;
use warp::sse::Event;
use warp::{Reply, sse};

use super::Frontend;
use super::error::ApiError;
use super::fields::Fields;
use crate::load::{self, Bucket, MAX_CALLS, MAX_CONCURRENCY, Plan, Report};
use crate::server::Stop;

/// Progress that the client has not read yet; what does not fit is left out, since the next says more.
const UNREAD: usize = 16;

/// The run that is under way, if one is.
#[derive(Debug)]
pub(super) struct Runs {
    one: Arc<Semaphore>,
    stop: Mutex<Option<Stop>>,
}

impl Default for Runs {
    fn default() -> Self {
        Self { one: Arc::new(Semaphore::new(1)), stop: Mutex::new(None) }
    }
}

impl Frontend {
    /// Starts a run and answers with its events: `progress` a few times a second with a [`load::Snapshot`], in the end `done` with the
    /// report and its `histogram`, or `error` with `{error}`. A client that goes away cancels its run.
    pub(super) async fn start_run(
        &self,
        own: &Url,
        server: &Stop,
        headers: &HeaderMap,
        fields: Fields,
    ) -> Result<Response, ApiError> {
        self.0.gate(headers)?;
        let plan = plan(fields)?;
        plan.check(self.0.topology.width).map_err(|error| ApiError::bad_request(error.to_string()))?;
        let run = self.0.runs.begin()?;
        let (sender, receiver) = mpsc::channel(UNREAD);
        let events = Events { receiver: ReceiverStream::new(receiver), stop: run.stop.clone() };
        tokio::spawn(self.clone().run(plan, own.clone(), server.clone(), run, sender));
        let mut response = sse::reply(events).into_response();
        // nginx would hold the events back until its buffer is full.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// Cancels the run that is under way: `{cancelled: true}`, or false where none is.
    pub(super) fn cancel_run(&self, headers: &HeaderMap, fields: Fields) -> Result<Response, ApiError> {
        self.0.gate(headers)?;
        fields.finish()?;
        let stop = self.0.runs.stop.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(stop) = &stop {
            stop.stop();
        }
        Ok(warp::reply::json(&json!({ "cancelled": stop.is_some() })).into_response())
    }

    async fn run(self, plan: Plan, own: Url, server: Stop, run: Run, events: mpsc::Sender<Event>) {
        info!(calls = plan.calls, concurrency = plan.concurrency, "run started");
        let progress = |snapshot: &load::Snapshot| {
            let _ = events.try_send(event("progress", snapshot));
        };
        let stop = run.stop.clone();
        let running = load::run(self.0.client.clone(), &own, &plan, &stop, progress);
        tokio::pin!(running);
        let result = tokio::select! {
            result = &mut running => result,
            // Its calls go to this very frontend, which still answers them.
            () = server.leaving() => {
                stop.stop();
                running.await
            }
        };
        // Before the client hears of the end, so that it may start the next run at once.
        drop(run);
        let last = match result {
            Ok(report) => {
                let Report { calls, errors, cancelled, .. } = &report;
                info!(calls, errors, cancelled, "run ended");
                event("done", &Done { histogram: report.histogram(), report })
            }
            Err(error) => event("error", &json!({ "error": error.to_string() })),
        };
        let _ = events.send(last).await;
    }
}

impl Runs {
    fn begin(self: &Arc<Self>) -> Result<Run, ApiError> {
        let Ok(permit) = Arc::clone(&self.one).try_acquire_owned() else {
            let error = "a run is under way; wait for its end, or cancel it with POST /api/runs/cancel";
            return Err(ApiError::new(StatusCode::CONFLICT, error));
        };
        let stop = Stop::new();
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop.clone());
        Ok(Run { stop, runs: Arc::clone(self), _permit: permit })
    }
}

/// The right to run; dropping it lets the next one begin.
struct Run {
    stop: Stop,
    runs: Arc<Runs>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Run {
    fn drop(&mut self) {
        *self.runs.stop.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn plan(mut fields: Fields) -> Result<Plan, ApiError> {
    let default = Plan::default();
    let calls = fields.take_whole("calls", 1..=MAX_CALLS)?;
    let concurrency = fields.take_whole("concurrency", 1..=MAX_CONCURRENCY as u64)?;
    let plan = Plan {
        calls: calls.unwrap_or(default.calls),
        concurrency: concurrency.map_or(default.concurrency, |concurrency| usize::try_from(concurrency).unwrap_or(usize::MAX)),
        rate: fields.take("rate")?,
        buttons: fields.take("buttons")?.unwrap_or_default(),
        baggage: fields.take::<BTreeMap<String, String>>("baggage")?.unwrap_or_default().into_iter().collect(),
        client: fields.take("client")?.unwrap_or(default.client),
    };
    fields.finish()?;
    match calls {
        Some(_) => Ok(plan),
        None => Err(ApiError::bad_request(format!("calls is missing; it must be a whole number between 1 and {MAX_CALLS}"))),
    }
}

/// What is said of a run in the end.
#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    report: Report,
    /// `[upper end in ms, calls]`, as in the progress before.
    histogram: Vec<Bucket>,
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    event.json_data(data).unwrap_or_else(|error| Event::default().event("error").data(error.to_string()))
}

/// The events of a run; its client going away drops this, which stops the run.
struct Events {
    receiver: ReceiverStream<Event>,
    stop: Stop,
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx).map(|event| event.map(Ok))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop.stop();
    }
}
