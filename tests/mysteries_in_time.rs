//! Causes that show in how long things take, in a binary of their own: meanwhile no other test starts a sandbox.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/mystery.rs"]
mod mystery;
#[path = "support/sandbox.rs"]
mod sandbox;

use futures_util::future::join_all;
use mystery::{LONG_MS, SOMEBODY, pair, server, start, trace};
use sandbox::assignment;
use serde_json::Value;
use tokio::sync::Mutex;
use tracelab::mystery::{Cause, Fault};

/// Nor does one of these.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn a_rare_sleep_shows_in_the_slowest_calls_alone() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (sandbox, _, culprit) = start(Cause::RareSleep, pair());
    let load = || {
        let output = sandbox.run(&["load", "500", "--concurrency", "20", "--buttons", &culprit.number.to_string(), "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["errors"], 0);
        ["p50", "max"].map(|key| report["latency_ms"][key].as_f64().unwrap())
    };
    // None of 500 sleeps in one of 24,000 runs.
    let [p50, max] = load();
    assert!(p50 < LONG_MS && max >= LONG_MS, "p50 {p50}, max {max}");
    sandbox.patch(culprit).await;
    let [_, max] = load();
    assert!(max < LONG_MS, "max {max}");
}

#[tokio::test]
async fn a_pool_of_one_is_quick_alone_and_queues_under_load() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let (sandbox, mystery, culprit) = start(Cause::Contention, pair());
    let Some(Fault::Contention { hold }) = assignment(&mystery, culprit).fault else { panic!("{mystery:?}") };
    let self_ms = async || {
        let (code, spans) = trace(&sandbox, SOMEBODY, culprit.number, 5).await;
        assert_eq!(code, 200);
        server(&spans, culprit).self_ms(&spans)
    };
    let crowd = async || join_all((0..20).map(|_| self_ms())).await.into_iter().fold(0.0, f64::max);
    let alone = self_ms().await;
    assert!(alone >= hold.median_ms * 0.7 && alone < hold.median_ms * 8.0, "{alone} ms alone, it holds {} ms", hold.median_ms);
    // All of them at the door at once would be 20; some come late.
    let queued = crowd().await;
    assert!(queued >= hold.median_ms * 10.0, "{queued} ms at most, it holds {} ms", hold.median_ms);
    sandbox.patch(culprit).await;
    let patched = crowd().await;
    assert!(patched < hold.median_ms * 8.0, "{patched} ms at most after the cure");
}
