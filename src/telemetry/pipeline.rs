//! One bounded queue and one task between all services of a process and the exporters.
//!
//! The SDK's batch processors take a thread a service and one resource each; 91 services in one process need neither. A request
//! only ever pushes onto the queue: where the queue is full the span is counted as lost, and the request goes on.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use super::TelemetrySettings;
use super::sink::{Failed, LogItem, Sinks};

/// The task wakes early once this many spans wait.
const BATCH: usize = 2_048;
/// At most so many are exported before the task lets requests run.
const SLICE: usize = 512;
/// How long [`Pipeline::shutdown`] waits for a slow endpoint.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// What could not be exported, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub spans: u64,
    pub logs: u64,
}

impl Lost {
    fn total(self) -> u64 {
        self.spans + self.logs
    }
}

#[derive(Clone, Debug)]
pub(super) struct Pipeline(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Notify,
    capacity: usize,
    lost_spans: AtomicU64,
    lost_logs: AtomicU64,
    /// Why an export failed, until somebody has said it.
    failure: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Queue {
    spans: Vec<(ResourceId, SpanData)>,
    logs: Vec<LogItem>,
    /// Resources that the task does not know yet.
    resources: Vec<Resource>,
    registered: u32,
    /// Those who wait for the queue to be exported.
    flushes: Vec<oneshot::Sender<()>>,
    closed: bool,
}

/// Index into the resources that the sinks keep.
pub(super) type ResourceId = u32;

impl Pipeline {
    pub(super) fn start(sinks: Sinks, settings: &TelemetrySettings) -> Self {
        let pipeline = Self(Arc::new(Shared {
            queue: Mutex::default(),
            wake: Notify::new(),
            capacity: settings.queue,
            lost_spans: AtomicU64::new(0),
            lost_logs: AtomicU64::new(0),
            failure: Mutex::default(),
        }));
        tokio::spawn(export(pipeline.clone(), sinks, settings.delay));
        pipeline
    }

    /// A processor for the spans and logs of one more service.
    pub(super) fn register(&self, resource: Resource) -> Processor {
        let mut queue = self.lock();
        let id = queue.registered;
        queue.registered += 1;
        queue.resources.push(resource);
        Processor { pipeline: self.clone(), resource: id }
    }

    pub(super) async fn flush(&self) {
        self.wait_for_export(false).await;
    }

    /// What comes after this is counted as lost.
    pub(super) async fn shutdown(&self) {
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.wait_for_export(true)).await.is_err() {
            warn!(seconds = SHUTDOWN_TIMEOUT.as_secs(), "the telemetry endpoint is too slow; the last spans are lost");
        }
    }

    /// Until all that is queued now was exported; with `close` in one step with the last that the queue takes.
    async fn wait_for_export(&self, close: bool) {
        let receiver = {
            let mut queue = self.lock();
            if queue.closed {
                return;
            }
            queue.closed = close;
            let (sender, receiver) = oneshot::channel();
            queue.flushes.push(sender);
            receiver
        };
        self.0.wake.notify_one();
        // An error means that the task is gone, and with it the queue: nothing to wait for.
        let _ = receiver.await;
    }

    pub(super) fn lost(&self) -> Lost {
        Lost { spans: self.0.lost_spans.load(Relaxed), logs: self.0.lost_logs.load(Relaxed) }
    }

    fn push_span(&self, resource: ResourceId, span: SpanData) {
        let mut queue = self.lock();
        if queue.spans.len() >= self.0.capacity || queue.closed {
            self.0.lost_spans.fetch_add(1, Relaxed);
            return;
        }
        queue.spans.push((resource, span));
        let full = queue.spans.len() == BATCH;
        drop(queue);
        if full {
            self.0.wake.notify_one();
        }
    }

    fn push_log(&self, item: LogItem) {
        let mut queue = self.lock();
        if queue.logs.len() >= self.0.capacity || queue.closed {
            self.0.lost_logs.fetch_add(1, Relaxed);
            return;
        }
        queue.logs.push(item);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing can panic while the lock is held, and if it did the queue would still be a queue.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task: takes what waits, exports it, says once when something is lost and once when all is well again.
async fn export(pipeline: Pipeline, mut sinks: Sinks, delay: Duration) {
    let mut ticks = tokio::time::interval(delay);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut outage = Outage::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = pipeline.0.wake.notified() => {}
        }
        let taken = {
            let mut queue = pipeline.lock();
            let spans = mem::take(&mut queue.spans);
            let logs = mem::take(&mut queue.logs);
            let resources = mem::take(&mut queue.resources);
            let flushes = mem::take(&mut queue.flushes);
            Queue { spans, logs, resources, flushes, closed: queue.closed, registered: 0 }
        };
        sinks.add_resources(taken.resources);
        let round = export_all(&pipeline.0, &sinks, taken.spans, taken.logs);
        tokio::pin!(round);
        // A slow endpoint holds up the round but not the word about what is being lost meanwhile.
        loop {
            tokio::select! {
                () = &mut round => break,
                _ = ticks.tick() => outage.observe(&pipeline),
            }
        }
        for flush in taken.flushes {
            // Whoever asked may have stopped waiting.
            let _ = flush.send(());
        }
        outage.observe(&pipeline);
        if taken.closed {
            return;
        }
    }
}

/// Exports in slices, so that requests get their turn between them.
async fn export_all(shared: &Shared, sinks: &Sinks, spans: Vec<(ResourceId, SpanData)>, logs: Vec<LogItem>) {
    let count = |lost: &AtomicU64, failed: Failed| {
        // The reason first: whoever sees the count finds it.
        if let Some(reason) = failed.reason {
            shared.failure().get_or_insert(reason);
        }
        lost.fetch_add(failed.items, Relaxed);
    };
    let mut spans = spans.into_iter();
    while spans.len() > 0 {
        count(&shared.lost_spans, sinks.export_spans(spans.by_ref().take(SLICE)).await);
        tokio::task::yield_now().await;
    }
    let mut logs = logs.into_iter();
    while logs.len() > 0 {
        count(&shared.lost_logs, sinks.export_logs(logs.by_ref().take(SLICE)).await);
        tokio::task::yield_now().await;
    }
}

/// Turns a stream of losses into two log lines: one at the first, one when it is over.
#[derive(Default)]
struct Outage {
    seen: u64,
    before: Lost,
    running: bool,
    quiet_rounds: u32,
}

impl Outage {
    /// So many rounds without a loss end an outage: an endpoint that fails every other time is one outage, not many.
    const QUIET_ROUNDS: u32 = 25;

    fn observe(&mut self, pipeline: &Pipeline) {
        let lost = pipeline.lost();
        if lost.total() > self.seen {
            self.seen = lost.total();
            self.quiet_rounds = 0;
            if !self.running {
                self.running = true;
                let failure = pipeline.0.failure().take();
                let reason = failure.unwrap_or_else(|| "the queue is full: its endpoint is too slow".to_owned());
                warn!(reason, "telemetry is being lost; requests go on, losses are counted");
            }
        } else if self.running {
            self.quiet_rounds += 1;
            if self.quiet_rounds >= Self::QUIET_ROUNDS {
                let (spans, logs) = (lost.spans - self.before.spans, lost.logs - self.before.logs);
                pipeline.0.failure().take();
                info!(lost_spans = spans, lost_logs = logs, "telemetry arrives again");
                *self = Self { seen: lost.total(), before: lost, ..Self::default() };
            }
        }
    }
}

/// The SDK's view of the pipeline: what a service's tracer and logger hand their data to.
#[derive(Clone, Debug)]
pub(super) struct Processor {
    pipeline: Pipeline,
    resource: ResourceId,
}

impl SpanProcessor for Processor {
    fn on_start(&self, _span: &mut Span, _cx: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.pipeline.push_span(self.resource, span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl LogProcessor for Processor {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        self.pipeline.push_log(LogItem { resource: self.resource, record: record.clone(), scope: scope.clone() });
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}
