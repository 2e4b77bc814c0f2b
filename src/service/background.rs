//! What a service goes on with after it has answered. No request waits for it, and no limit counts it.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::MAX_IN_FLIGHT;
use crate::caller::sleep;

/// Everything of one service that is going on.
#[derive(Debug, Default)]
pub(super) struct Background {
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Background {
    /// Lets the span of `cx` last so long, or until [`Background::finish`]. What is too much at a time ends at once.
    pub fn go_on(&self, cx: Context, delay: Duration) {
        if self.tasks.len() >= MAX_IN_FLIGHT {
            cx.span().end();
            return;
        }
        let end = self.end.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = sleep(delay) => {}
                () = end.cancelled() => {}
            }
            cx.span().end();
        });
    }

    /// Ends everything.
    pub async fn finish(&self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use crate::telemetry::{Identity, Signal, Telemetry, TelemetrySettings};

    #[tokio::test]
    async fn whoever_stops_ends_it_with_its_span_and_waits_for_no_delay() {
        let exported = Arc::new(AtomicUsize::new(0));
        let count = exported.clone();
        let ingest = Arc::new(move |signal: Signal, body: &[u8]| {
            if matches!(signal, Signal::Traces) {
                count.fetch_add(body.windows(13).filter(|window| *window == b"refresh cache").count(), Relaxed);
            }
            Ok(())
        });
        let telemetry = Telemetry::start(&TelemetrySettings::default(), Some(ingest)).unwrap();
        let instrument = telemetry.instrument(&Identity::named("dummy-0-0"));
        let background = Background::default();
        for _ in 0..3 {
            background.go_on(instrument.internal_span(&Context::new(), "refresh cache"), Duration::from_secs(3_600));
        }
        telemetry.flush().await;
        assert_eq!(exported.load(Relaxed), 0, "it goes on");
        background.finish().await;
        telemetry.flush().await;
        assert_eq!(exported.load(Relaxed), 3);
    }
}
