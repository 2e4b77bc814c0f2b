//! What a service goes on with after it has answered. No request waits for it, and no limit counts it.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{MAX_IN_FLIGHT, sleep};

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
