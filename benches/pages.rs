//! The pages' rows of the budget, in a real Chromium: what, measured, budget, how. `cargo bench --bench pages`, or
//! with `-- traces` (`run`, `search`, `graph`) some of them.
//!
//! Keys and wheel are the browser's own input, and what is timed is seen from inside the page: from the start of the navigation, or of
//! the press, until the frame after it was painted. Browser and server share the machine's cores.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

#[path = "../tests/support/browser.rs"]
mod browser;
#[path = "../tests/support/sandbox.rs"]
mod sandbox;
#[path = "../tests/support/backend.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use browser::Browser;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use sandbox::Sandbox;
use serde::Deserialize;
use serde_json::json;
use support::Backend;

const SPANS: u64 = 10_000;
const SERVICES: u64 = 91;
const OPENED: usize = 5;
const PRESSES: usize = 20;
const CALLS: u64 = 10_000;
const SECOND: u64 = 1_000_000_000;
const PATIENCE: Duration = Duration::from_secs(300);
/// A key is pressed again so soon, where nothing came of it.
const PRESS_EVERY: Duration = Duration::from_millis(20);

/// Runs in the page before its own scripts do. A press counts as answered if another element has the focus, or another one is marked,
/// by the next frame.
const WATCH: &str = "
    const seen = (window.seen = { shown: null, presses: [], frames: [], longest: 0 });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.longest = Math.max(seen.longest, duration);
    }).observe({ type: 'longtask', buffered: true });
    const frame = (now) => {
      seen.frames.push(now);
      if (seen.shown === null && document.querySelector(SHOWN)) seen.shown = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    const marked = () => [document.activeElement, document.activeElement?.getAttribute('aria-activedescendant'),
      document.querySelector('main [aria-current=true], main [aria-selected=true]')];
    addEventListener('keydown', ({ timeStamp }) => {
      const before = marked();
      requestAnimationFrame(() => {
        const answered = marked().some((one, place) => one !== before[place]);
        const painted = new MessageChannel();
        painted.port1.onmessage = () => seen.presses.push({ at: timeStamp, painted: performance.now(), answered });
        painted.port2.postMessage(null);
      });
    }, true);";

/// What the page was seen to do; times are milliseconds since its navigation began.
#[derive(Deserialize)]
struct Seen {
    /// The first frame with content.
    shown: Option<f64>,
    presses: Vec<Press>,
    frames: Vec<f64>,
    /// The longest task; 0 where none took 50 ms.
    longest: f64,
}

#[derive(Deserialize)]
struct Press {
    at: f64,
    painted: f64,
    answered: bool,
}

/// A page to open: what shows that its content is there, and a key that moves something.
struct Page {
    what: &'static str,
    path: String,
    shown: &'static str,
    key: char,
    budget: &'static str,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // Without a browser there is nothing to measure.
        if Browser::start().await.is_none() {
            return;
        }
        // Cargo passes `--bench`; anything else names what alone is wanted.
        let wanted = |name: &str| std::env::args().skip(1).all(|argument| argument == "--bench" || argument == name);
        if wanted("run") {
            run_of_calls().await;
        }
        if wanted("traces") {
            traces().await;
        }
        if wanted("search") {
            search().await;
        }
        if wanted("graph") {
            graph().await;
        }
    });
}

async fn run_of_calls() {
    let browser = watched("#buttons button").await;
    let sandbox = Sandbox::up(&["--mystery", "sleep", "--seed", "1"]);
    browser.goto(&sandbox.frontend).await;
    browser.find("body[data-ready=true]").await;
    browser.fill("#run-calls", &CALLS.to_string()).await;
    browser.eval("(seen.frames = [], seen.longest = 0, 1)").await;
    browser.click("#run-start").await;
    let start = Instant::now();
    while browser.eval("document.querySelector('#run').dataset.running").await == json!("true") {
        assert!(start.elapsed() < PATIENCE, "{}", browser.text("#run").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seen = seen(&browser).await;
    browser.find("#run-slowest [data-trace-id]").await;
    let how = format!("on the sandbox page while they are made, {}", frames(&seen));
    row(&format!("run of {CALLS} calls"), format!("{:.0} frames/s", rate(&seen.frames)), "≥ 30", how);
}

async fn traces() {
    let backend = Backend::start().await;
    let wide = |id: u64| if id % 100 == 2 { 1 } else { id - 1 };
    let trees: [(&str, &dyn Fn(u64) -> u64); 3] = [
        ("trace of 10,000 spans", &wide),
        ("10,000 children of one span", &|_| 1),
        ("10,000 spans, each below the last", &|id| id - 1),
    ];
    for (number, (what, parent)) in (1..).zip(trees) {
        let start = now() - 60 * SECOND;
        let spans = (1..=SPANS).map(|id| {
            let (parent, length) = if id == 1 { (0, 11 * SECOND) } else { (parent(id), SECOND / 100 + id % 7 * SECOND / 100) };
            // One below the other has to last until the last one is over.
            let length = if number == 3 { (SPANS + 1 - id) * SECOND / 1000 } else { length };
            (format!("service-{}", id % SERVICES), span(number, id, parent, start + id * SECOND / 1000, length))
        });
        store(&backend, spans);
        let page = Page {
            what,
            path: format!("/trace/{number:032x}"),
            shown: "main [role=treegrid] .span",
            key: 'j',
            budget: "≤ 1000 ms",
        };
        let browser = open(&backend, &page).await;
        scroll(&browser, what).await;
    }
}

async fn search() {
    let backend = Backend::start().await;
    let start = now() - 3000 * SECOND;
    let spans = (1..=SPANS).flat_map(|number| {
        let (start, length) = (start + number * SECOND / 4, (1 + number * number % 977) * SECOND / 1000);
        let below = number % (SERVICES - 1) + 1;
        [
            ("service-0".to_owned(), span(number, 1, 0, start, length)),
            (format!("service-{below}"), span(number, 2, 1, start, length / 2)),
        ]
    });
    store(&backend, spans);
    let page = Page {
        what: "search with 10,000 results",
        path: format!("/search?lookback=all&limit={SPANS}&sort=longest"),
        shown: "main .result",
        key: 'j',
        budget: "≤ 1000 ms",
    };
    let browser = open(&backend, &page).await;
    scroll(&browser, page.what).await;
}

/// A graph like the sandbox's own: a frontend and three layers of thirty.
async fn graph() {
    for (what, callees, budget) in
        [("graph of 91 services, 900 edges", 15, "≤ 1000 ms"), ("graph of 91 services, 1,830 edges", 30, "≤ 1000 ms")]
    {
        let backend = Backend::start().await;
        let start = now() - 60 * SECOND;
        let first = (0..30).map(|number| ("frontend".to_owned(), format!("dummy-0-{number}")));
        let others = (0..2u64).flat_map(|layer| (0..30u64).map(move |caller| (layer, caller))).flat_map(|(layer, caller)| {
            let callee = move |nth: u64| format!("dummy-{}-{}", layer + 1, (caller + nth * 7) % 30);
            (0..callees).map(move |nth| (format!("dummy-{layer}-{caller}"), callee(nth)))
        });
        let calls = first.chain(others).zip(1..).flat_map(|((caller, callee), number)| {
            let length = (5 + number % 40) * SECOND / 1000;
            [(caller, span(number, 1, 0, start, length)), (callee, span(number, 2, 1, start, length / 2))]
        });
        store(&backend, calls);
        let page = Page { what, path: "/dependencies?lookback=1h".to_owned(), shown: "main .node", key: '/', budget };
        open(&backend, &page).await;
    }
}

/// Opens the page some times, each time in a browser that has nothing of it, and leaves the last one open.
async fn open(backend: &Backend, page: &Page) -> Browser {
    let mut times = Vec::new();
    let mut longest = 0f64;
    let mut last = None;
    for _ in 0..OPENED {
        let browser = watched(page.shown).await;
        browser.goto(&format!("{}{}", backend.query, page.path)).await;
        let shown_and_answered = |seen: &Seen| {
            let shown = seen.shown?;
            seen.presses.iter().find(|press| press.answered && press.at >= shown).map(|press| (shown, press.painted))
        };
        let start = Instant::now();
        let (_, interactive) = loop {
            press(&browser, page.key).await;
            let seen = seen(&browser).await;
            longest = longest.max(seen.longest);
            match shown_and_answered(&seen) {
                Some(found) => break found,
                None => assert!(
                    start.elapsed() < PATIENCE,
                    "{} does nothing on {}, {}: {:?}",
                    page.key,
                    page.path,
                    if seen.shown.is_some() { "which shows something" } else { "which shows nothing" },
                    browser.console_errors().await
                ),
            }
            tokio::time::sleep(PRESS_EVERY).await;
        };
        times.push(interactive);
        last = Some(browser);
    }
    times.sort_by(f64::total_cmp);
    let how = format!(
        "until {} is answered, painted; median of {OPENED}, worst {}, longest task {}",
        page.key,
        ms(times[OPENED - 1]),
        task(longest)
    );
    row(page.what, ms(times[OPENED / 2]), page.budget, how);
    let browser = last.unwrap();
    if page.key == 'j' {
        keys(&browser, page).await;
    }
    browser
}

/// What a press takes once the page is there.
async fn keys(browser: &Browser, page: &Page) {
    browser.eval("(seen.presses = [], 1)").await;
    for _ in 0..PRESSES {
        press(browser, page.key).await;
    }
    let start = Instant::now();
    let mut seen = seen(browser).await;
    while seen.presses.len() < PRESSES {
        assert!(start.elapsed() < PATIENCE, "of {PRESSES} presses {} were seen", seen.presses.len());
        tokio::time::sleep(PRESS_EVERY).await;
        seen = self::seen(browser).await;
    }
    assert!(seen.presses.iter().all(|press| press.answered), "{} does not always do something", page.key);
    let mut times: Vec<f64> = seen.presses.iter().map(|press| press.painted - press.at).collect();
    times.sort_by(f64::total_cmp);
    let how = format!("press until painted, median of {PRESSES}, worst {}", ms(times[PRESSES - 1]));
    row("  a key", ms(times[PRESSES / 2]), "≤ 33 ms", how);
}

async fn scroll(browser: &Browser, what: &str) {
    let top = "(document.activeElement?.blur(), scrollTo(0, 0), seen.frames = [], seen.longest = 0, 1)";
    browser.eval(top).await;
    let wheel = json!({"x": 640, "y": 500, "yDistance": -20_000, "speed": 10_000, "gestureSourceType": "mouse"});
    browser.devtools("Input.synthesizeScrollGesture", wheel).await;
    let down = browser.eval("document.scrollingElement.scrollTop").await.as_f64().unwrap();
    assert!(down > 1000.0, "{what} did not scroll: {down} px");
    let seen = seen(browser).await;
    row("  scrolled", format!("{:.0} frames/s", rate(&seen.frames)), "≥ 30", format!("{down:.0} px by wheel, {}", frames(&seen)));
}

/// A browser whose pages are watched; `shown` is the selector of what they have to show.
async fn watched(shown: &str) -> Browser {
    let browser = Browser::start().await.unwrap();
    let source = format!("{{ const SHOWN = {};{WATCH} }}", json!(shown));
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": source})).await;
    browser
}

async fn press(browser: &Browser, key: char) {
    for kind in ["keyDown", "keyUp"] {
        let text = if kind == "keyDown" { key.to_string() } else { String::new() };
        let event = json!({"type": kind, "key": key.to_string(), "text": text});
        browser.devtools("Input.dispatchKeyEvent", event).await;
    }
}

async fn seen(browser: &Browser) -> Seen {
    serde_json::from_value(browser.eval("seen").await).unwrap()
}

fn gaps(frames: &[f64]) -> Vec<f64> {
    let mut gaps: Vec<f64> = frames.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    assert!(!gaps.is_empty(), "the page has drawn nothing");
    gaps
}

fn rate(frames: &[f64]) -> f64 {
    let gaps = gaps(frames);
    1000.0 * gaps.len() as f64 / gaps.iter().sum::<f64>()
}

fn frames(seen: &Seen) -> String {
    let gaps = gaps(&seen.frames);
    let late = gaps.iter().filter(|gap| **gap > 1000.0 / 30.0 + 1.0).count();
    format!(
        "{:.1} s; between two frames {} (median), {} (worst), {late} of {} later than 33 ms; longest task {}",
        gaps.iter().sum::<f64>() / 1e3,
        ms(gaps[gaps.len() / 2]),
        ms(gaps[gaps.len() - 1]),
        gaps.len(),
        task(seen.longest)
    )
}

/// The browser tells of tasks from 50 ms on.
fn task(longest: f64) -> String {
    if longest == 0.0 { "below 50 ms".to_owned() } else { ms(longest) }
}

fn row(what: &str, measured: String, budget: &str, how: String) {
    println!("{what:<42} {measured:>18}   {budget:<12} {how}");
}

fn ms(time: f64) -> String {
    format!("{time:.0} ms")
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

/// `parent` is 0 for a root. A client's span where it has callees is what a graph wants; here all are servers, and their parents count.
fn span(trace: u64, id: u64, parent: u64, start: u64, length: u64) -> Span {
    let parent_span_id = if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() };
    Span {
        trace_id: u128::from(trace).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id,
        name: format!("GET /things/{}", id % 23),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + length,
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", "/things/{n}"),
            text("url.path", &format!("/things/{}", id % 23)),
            text("server.address", "127.0.0.1"),
            text("client.address", "127.0.0.1"),
            text("customer.id", &format!("customer-{}", id % 500)),
        ],
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn store(backend: &Backend, spans: impl IntoIterator<Item = (String, Span)>) {
    let mut by_service: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    for (service, span) in spans {
        by_service.entry(service).or_default().push(span);
    }
    let resource_spans = by_service.into_iter().map(|(service, spans)| ResourceSpans {
        resource: Some(Resource { attributes: vec![text("service.name", &service)], ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    });
    let body = ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec();
    assert_eq!(backend.store.ingest_traces(&body).unwrap().rejected, 0);
}
