//! The backend's pages in a real browser, over what was posted to the backend as OTLP.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/browser.rs"]
mod browser;
#[path = "support/backend.rs"]
mod support;

#[path = "pages/compare.rs"]
mod compare;
#[path = "pages/graph.rs"]
mod graph;
#[path = "pages/search.rs"]
mod search;
#[path = "pages/suspects.rs"]
mod suspects;
#[path = "pages/trace.rs"]
mod trace;

use std::ops::Range;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use browser::Browser;
use fantoccini::key::Key;
use serde_json::{Value, json};
use support::Backend;

const HOSTILE: &str = "<img src=x onerror=\"window.hacked=1\">";

/// Each page, and what is there once it shows something; the addresses name the traces 1 and 2.
fn pages() -> [(String, &'static str); 7] {
    let [one, two] = [1, 2].map(|id| format!("{id:032x}"));
    [
        ("/search?sort=longest".to_owned(), ".result"),
        (format!("/trace/{one}"), ".span"),
        ("/compare".to_owned(), ".candidates td"),
        (format!("/trace/{two}...{one}"), ".pair .bar"),
        (format!("/compare?one={one}"), ".kind .place"),
        ("/dependencies".to_owned(), ".node"),
        ("/suspects".to_owned(), ".verdict"),
    ]
}

#[tokio::test]
async fn pages_follow_the_color_scheme_and_fit_phone_and_wall_whatever_names_they_show() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = [chain(1, 1000, 20), chain(2, 1000, 10)].concat();
    // Who sends such names gets a page that still fits.
    let long = format!("{HOSTILE}\u{202e}{}", "W".repeat(10_000));
    spans.push(span(&long, 1, 9, Some(1), &long, 1000, 1..20).tag(&long, &long));
    backend.send(spans).await;
    for (page, shown) in &pages() {
        let mut backgrounds = Vec::new();
        for (scheme, width) in [("light", 2560), ("dark", 360)] {
            browser.emulate(scheme, width).await;
            browser.goto(&backend.page(page)).await;
            browser.find(shown).await;
            backgrounds.push(browser.eval("getComputedStyle(document.documentElement).backgroundColor").await);
            let beyond = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
            assert_eq!(beyond, 0, "{page} is wider than {width}");
        }
        assert_ne!(backgrounds[0], backgrounds[1], "{page}");
        browser.until_text("main", HOSTILE).await;
        assert_eq!(browser.eval("document.images.length + (window.hacked ?? 0)").await, 0, "{page}");
        browser.assert_clean().await;
    }
}

#[tokio::test]
async fn all_pages_are_in_one_line_of_a_phone() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    browser.emulate("light", 360).await;
    browser.goto(&backend.page("/search")).await;
    browser.find(".notice").await;
    let line = browser.eval("(() => { const links = [...document.querySelectorAll('.top nav a')].map((link) => link.getBoundingClientRect()); return [new Set(links.map(({ top }) => top)).size, Math.max(...links.map(({ right }) => right)) <= innerWidth]; })()").await;
    assert_eq!(line, json!([1, true]));
}

#[tokio::test]
async fn every_page_can_be_used_by_everybody() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for (page, shown) in [
        ("/search", ".notice"),
        ("/dependencies", ".notice"),
        ("/trace/no-id", ".notice"),
        ("/compare", ".notice"),
        ("/suspects", ".notice"),
    ] {
        browser.goto(&backend.page(page)).await;
        browser.find(shown).await;
        browser.assert_accessible().await;
    }
    let mut spans = [chain(1, 1000, 20), chain(2, 1000, 10)].concat();
    spans[2].span["status"] = json!({"code": 2, "message": "it broke"});
    spans.push(span("dummy-2-3", 1, 9, Some(99), "orphan", 1000, 6..9));
    // More services than have a place of their own, and every hue.
    spans.extend((10..40).map(|id| span(&format!("dummy-3-{id}"), 1, id, Some(4), "GET /", 1000, 7..8)));
    backend.send(spans).await;
    backend.log(1, 1, "looked for user-1").await;
    for (page, shown) in &pages() {
        browser.goto(&backend.page(page)).await;
        browser.find(shown).await;
        let named = browser.eval("[document.title.endsWith(' · Tracelab'), document.querySelectorAll('h1').length]").await;
        assert_eq!(named, json!([true, 1]), "{page}");
        browser.assert_accessible().await;
    }
    browser.goto(&backend.page("/search?tags=%22&limit=0")).await;
    browser.until("document.querySelector('[name=limit]').ariaInvalid === 'true'").await;
    browser.assert_accessible().await;
    browser.goto(&backend.page("/suspects?start=2&end=1")).await;
    browser.until("document.querySelector('#times-error').textContent !== ''").await;
    browser.assert_accessible().await;
    browser.goto(&backend.trace(1)).await;
    browser.click(".span .operation").await;
    browser.until_text(".details", "looked for user-1").await;
    browser.click(".shares summary").await;
    browser.assert_accessible().await;
    browser.press('?').await;
    browser.find("dialog[open]").await;
    browser.assert_accessible().await;
}

#[tokio::test]
async fn numbers_and_dates_are_written_as_the_reader_does() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send([chain(1, 5000, 1234), chain(2, 5000, 10)].concat()).await;
    browser.devtools("Emulation.setLocaleOverride", json!({"locale": "de-DE"})).await;
    for (page, shown) in &pages() {
        browser.goto(&backend.page(page)).await;
        browser.find(shown).await;
        // All of the trace, or what one of its spans was busy or called for.
        browser.until("/\\b1,2\\d+\\u00a0s/.test(document.querySelector('main').innerText)").await;
        assert_eq!(browser.eval("/\\d\\.\\d+\\u00a0m?s/.test(document.body.innerText)").await, false, "{page}");
    }
    browser.goto(&backend.trace(1)).await;
    browser.until("/\\d+\\. \\S+ \\d{4}/.test(document.querySelector('.figures time').textContent)").await;
}

#[tokio::test]
async fn the_same_keys_lead_from_every_page_to_every_other() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send([chain(1, 1000, 20), chain(2, 1000, 10)].concat()).await;
    for (page, shown) in &pages() {
        browser.goto(&backend.page(page)).await;
        browser.find(shown).await;
        // Some begin in a field.
        browser.eval("(document.activeElement.blur(), 1)").await;
        browser.press('?').await;
        let listed = browser.eval("[...document.querySelectorAll('dialog dt')].map((keys) => keys.textContent)").await;
        let listed: Vec<String> = serde_json::from_value(listed).unwrap();
        for keys in ["?", "g then s", "g then c", "g then d", "g then u", "g then t"] {
            assert_eq!(listed.iter().filter(|listed| *listed == keys).count(), 1, "{keys} on {page}: {listed:?}");
        }
        let twice = listed.iter().find(|keys| listed.iter().filter(|other| other == keys).count() > 1);
        assert_eq!(twice, None, "{page}");
        browser.press(Key::Enter.into()).await;
        // Not by the driver: what it presses would be gone before it is done.
        let press = "(key) => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))";
        browser.eval(&format!("['g', 'u'].forEach({press}) ?? 1")).await;
        browser.until("location.pathname === '/suspects'").await;
    }
}

/// frontend → dummy-0-3 → dummy-1-3: as the services of `up` send it, in small.
fn chain(trace: u128, age_ms: u64, duration_ms: u64) -> Vec<Sent> {
    vec![
        span("frontend", trace, 1, None, "GET /api/buttons/{n}", age_ms, 0..duration_ms).kind(2),
        span("dummy-0-3", trace, 2, Some(1), "GET /", age_ms, 2..duration_ms - 2).kind(2),
        span("dummy-0-3", trace, 3, Some(2), "GET", age_ms, 4..duration_ms - 4).kind(3),
        span("dummy-1-3", trace, 4, Some(3), "GET /", age_ms, 5..duration_ms - 5).kind(2),
    ]
}

/// A span to send, with the service that sends it.
#[derive(Clone)]
struct Sent {
    service: String,
    span: Value,
}

/// `during`: milliseconds after a start that was `age_ms` ago.
fn span(service: &str, trace: u128, id: u64, parent: Option<u64>, name: &str, age_ms: u64, during: Range<u64>) -> Sent {
    let span = json!({
        "traceId": format!("{trace:032x}"),
        "spanId": format!("{id:016x}"),
        "parentSpanId": parent.map_or_else(String::new, |parent| format!("{parent:016x}")),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": nanos(age_ms, during.start),
        "endTimeUnixNano": nanos(age_ms, during.end),
        "attributes": [],
    });
    Sent { service: service.to_owned(), span }
}

impl Sent {
    fn kind(mut self, kind: u8) -> Self {
        self.span["kind"] = kind.into();
        self
    }

    fn tag(mut self, key: &str, value: &str) -> Self {
        self.span["attributes"] = json!([attribute(key, value)]);
        self
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// A moment `after_ms` after one that was `age_ms` before this test program began to send.
fn nanos(age_ms: u64, after_ms: u64) -> String {
    static NOW: LazyLock<u64> = LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64);
    format!("{}000000", *NOW - age_ms + after_ms)
}

impl Backend {
    fn page(&self, path: &str) -> String {
        format!("{}{path}", self.query)
    }

    fn trace(&self, id: u128) -> String {
        self.page(&format!("/trace/{id:032x}"))
    }

    async fn send(&self, spans: Vec<Sent>) {
        let resource_spans = spans.into_iter().map(|Sent { service, span }| {
            json!({"resource": {"attributes": [attribute("service.name", &service)]}, "scopeSpans": [{"spans": [span]}]})
        });
        self.otlp("/v1/traces", json!({"resourceSpans": resource_spans.collect::<Value>()})).await;
    }

    async fn log(&self, trace: u128, span: u64, text: &str) {
        let record = json!({
            "timeUnixNano": nanos(1000, 1),
            "severityNumber": 9,
            "body": {"stringValue": text},
            "traceId": format!("{trace:032x}"),
            "spanId": format!("{span:016x}"),
        });
        let resource = json!({"attributes": [attribute("service.name", "frontend")]});
        self.otlp("/v1/logs", json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]})).await;
    }

    async fn otlp(&self, path: &str, body: Value) {
        let (status, _, answer) = self.post(path, "application/json", body.to_string()).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    }
}
