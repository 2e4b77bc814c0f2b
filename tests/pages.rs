//! The backend's pages in a real browser, over what was posted to the backend as OTLP.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/browser.rs"]
mod browser;
#[path = "support/backend.rs"]
mod support;

use std::ops::Range;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use browser::Browser;
use fantoccini::key::Key;
use serde_json::{Value, json};
use support::Backend;

const HOSTILE: &str = "<img src=x onerror=\"window.hacked=1\">";

#[tokio::test]
async fn the_slowest_trace_comes_first_and_its_link_opens_the_waterfall() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    // The slowest is the oldest: the newest one or two would not contain it.
    for (id, age_ms, duration_ms) in [(1, 9000, 900), (2, 5000, 20), (3, 3000, 50)] {
        backend.send(chain(id, age_ms, duration_ms)).await;
    }

    browser.goto(&backend.page("/search?limit=1&sort=longest")).await;
    browser.until_text(".results", "900 ms").await;
    assert_eq!(browser.count(".result").await, 1);

    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    assert!(browser.text(".result").await.contains("50 ms"), "the newest first, unless asked otherwise");
    browser.select("[name=sort]", "longest").await;
    browser.until_text(".result", "900 ms").await;
    assert!(browser.url().await.contains("sort=longest"), "the address is the search, so that it can be shared");
    let first = browser.text(".result").await;
    for part in ["frontend GET /api/buttons/{n}", "4 spans", "dummy-0-3 2"] {
        assert!(first.contains(part), "{part} is not in {first}");
    }

    browser.click(".result a").await;
    browser.until("document.querySelectorAll('.span').length === 4").await;
    assert!(browser.url().await.ends_with(&format!("/trace/{:032x}", 1)));
    assert_eq!(browser.text("h1").await, "frontend GET /api/buttons/{n}");
    browser.back().await;
    browser.until_text(".result", "900 ms").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_form_asks_for_service_operation_tags_and_duration() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for (id, duration_ms) in [(1, 900), (2, 20), (3, 50)] {
        backend.send(chain(id, 1000 * u64::from(id as u16), duration_ms)).await;
    }
    backend.send(vec![span("lonely", 4, 1, None, "nightly", 1000, 0..7).tag("customer.id", "customer 7")]).await;

    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.result').length === 4").await;
    browser.fill("[name=minDuration]", "30ms").await;
    browser.fill("[name=maxDuration]", "0.1s").await;
    browser.click("button.primary").await;
    browser.until("document.querySelectorAll('.result').length === 1").await;
    assert!(browser.text(".result").await.contains("50 ms"));

    browser.goto(&backend.page("/search?service=lonely")).await;
    browser.until("document.querySelector('[name=operation]').options.length === 2").await;
    browser.select("[name=operation]", "nightly").await;
    browser.fill("[name=tags]", "customer.id=\"customer 7\"").await;
    browser.click("button.primary").await;
    browser.until("location.search.includes('tags')").await;
    browser.until_text(".result", "lonely nightly").await;

    browser.fill("[name=tags]", "customer.id=nobody").await;
    browser.click("button.primary").await;
    browser.until_text(".notice", "No stored trace matches").await;

    let asked = browser.url().await;
    browser.fill("[name=minDuration]", "soon").await;
    browser.click("button.primary").await;
    browser.until_text("#minDuration-error", "A number and a unit").await;
    browser.fill("[name=minDuration]", "").await;
    browser.fill("[name=limit]", "100001").await;
    browser.click("button.primary").await;
    browser.until_text("#limit-error", "from 1 to 100,000").await;
    assert_eq!(browser.url().await, asked, "a search that cannot be run is not run");
    browser.assert_clean().await;
}

#[tokio::test]
async fn an_address_that_jaeger_wrote_asks_for_the_same() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for (id, age_ms, customer) in [(1, 7_200_000, "one"), (2, 7_200_000, "two"), (3, 1000, "one")] {
        backend.send(vec![span("shop", id, 1, None, "order", age_ms, 0..20).tag("customer.id", customer)]).await;
    }
    let [start, end] = [nanos(7_201_000, 0), nanos(7_199_000, 0)].map(|nanos| nanos[..nanos.len() - 3].to_owned());
    let tags = "%7B%22customer.id%22%3A%22one%22%7D";
    let address = format!(
        "/search?end={end}&limit=20&lookback=1h&maxDuration&minDuration=1ms&operation=order&service=shop&start={start}&tags={tags}"
    );
    browser.goto(&backend.page(&address)).await;
    browser.until("document.querySelectorAll('.result').length === 1").await;
    browser.click(".result a").await;
    browser.find(".span").await;
    assert_eq!(browser.url().await, backend.trace(1));
    browser.assert_clean().await;
}

#[tokio::test]
async fn tags_of_an_address_mean_the_same_in_the_form() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let tags = [("my key", "v"), ("a=b", "c"), ("plain", "x\ty"), ("plain", "line\nline"), ("{k", "v"), ("plain", "a\\b \"c\"")];
    for (id, (key, value)) in (1..).zip(tags) {
        backend.send(vec![span("shop", id, 1, None, "order", 1000, 0..20).tag(key, value)]).await;
    }
    for (id, (key, value)) in (1..).zip(tags) {
        let tags = json!({key: value}).to_string();
        let encoded: String = url::form_urlencoded::byte_serialize(tags.as_bytes()).collect();
        browser.goto(&backend.page(&format!("/search?tags={encoded}"))).await;
        browser.until("document.querySelectorAll('.result').length === 1").await;
        assert_eq!(browser.eval("document.querySelector('.result a').pathname").await, format!("/trace/{id:032x}"), "{tags}");
        // What the form says is searched for again.
        browser.eval("history.replaceState(null, '', '/search?service=none')").await;
        browser.click("button.primary").await;
        browser.until("location.search.includes('tags')").await;
        let asked = browser.eval("new URLSearchParams(location.search).get('tags')").await;
        assert_eq!(serde_json::from_str::<Value>(asked.as_str().unwrap()).unwrap(), json!({key: value}));
    }
    browser.fill("[name=tags]", "plain=\"x\\ty\"").await;
    browser.click("button.primary").await;
    browser.until("new URLSearchParams(location.search).get('tags') === JSON.stringify({plain: 'x\\ty'})").await;
    browser.fill("[name=tags]", "plain=\"\\d\"").await;
    browser.click("button.primary").await;
    browser.until_text("#tags-error", "Not a text in quotes").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn self_time_is_what_the_children_leave_however_they_overlap() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend
        .send(vec![
            span("shop", 1, 1, None, "order", 1000, 0..100),
            span("shop", 1, 2, Some(1), "early", 1000, 10..30),
            span("shop", 1, 3, Some(1), "overlapping", 1000, 20..40),
            span("shop", 1, 4, Some(1), "inside another", 1000, 22..25),
            span("shop", 1, 5, Some(1), "longer than its parent", 1000, 90..150),
            span("shop", 1, 6, Some(1), "after its parent", 1000, 120..140),
        ])
        .await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 6").await;
    // [0, 100] without [10, 40] and [90, 100].
    assert_eq!(browser.text(".span .duration").await, "100 ms");
    assert_eq!(browser.text(".span .self").await, "60 ms");
    let drawn =
        browser.eval("[...document.querySelector('.bar').children].map((part) => part.style.getPropertyValue('--left'))").await;
    assert_eq!(drawn, json!(["0.000%", "40.000%"]));
    assert!(browser.text(".figures").await.contains("150 ms"), "the trace ends with its last span");
    browser.assert_clean().await;
}

#[tokio::test]
async fn details_show_tags_process_events_links_and_logs() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = chain(1, 2000, 40);
    let first = &mut spans[0];
    first.span["attributes"] =
        json!([{"key": "big", "value": {"intValue": "9007199254740993"}}, attribute("customer.id", "customer-7")]);
    first.span["events"] =
        json!([{"timeUnixNano": nanos(2000, 1), "name": "cache miss", "attributes": [attribute("key", "user-1")]}]);
    first.span["links"] = json!([{"traceId": format!("{:032x}", 77), "spanId": format!("{:016x}", 5)}]);
    first.span["status"] = json!({"code": 2, "message": "it broke"});
    backend.send(spans).await;
    backend.log(1, 1, "looked for user-1").await;
    backend.log(1, 2, "elsewhere").await;

    browser.goto(&backend.trace(1)).await;
    browser.click(".span .operation").await;
    browser.until_text(".details", "looked for user-1").await;
    let details = browser.text(".details").await;
    for part in ["9007199254740993", "customer-7", "service.name", "cache miss", "it broke", "server", &format!("{:032x}", 77)] {
        assert!(details.contains(part), "{part} is not in {details}");
    }
    assert!(!details.contains("elsewhere"), "another span's log");
    assert!(browser.text(".span").await.contains("error"));

    // The same by keyboard: the second row's details, then what is below the first is folded away.
    browser.press(Key::Down.into()).await;
    browser.press(Key::Enter.into()).await;
    browser.until("document.querySelectorAll('.details').length === 2").await;
    browser.press(Key::Up.into()).await;
    browser.press(Key::Left.into()).await;
    browser.until("[...document.querySelectorAll('.span, .details')].filter((row) => row.checkVisibility()).length === 2").await;
    browser.press(Key::Right.into()).await;
    browser.until("[...document.querySelectorAll('.span')].every((row) => row.checkVisibility())").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn names_with_html_in_them_are_text() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let spans = vec![
        span(HOSTILE, 1, 1, None, HOSTILE, 1000, 0..9).kind(3).tag(HOSTILE, HOSTILE),
        span("\u{202e}victim", 1, 2, Some(1), "</script><script>window.hacked=1</script>", 1000, 1..8).kind(2),
    ];
    backend.send(spans).await;
    backend.log(1, 1, HOSTILE).await;
    for (page, shown) in [("/search", ".result"), (&*format!("/trace/{:032x}", 1), ".span"), ("/dependencies", ".node")] {
        browser.goto(&backend.page(page)).await;
        browser.find(shown).await;
        if shown == ".span" {
            browser.click(".span .operation").await;
            browser.until_text(".details .moments", HOSTILE).await;
        }
        let text = browser.eval("document.body.textContent").await;
        assert!(text.as_str().unwrap().contains(HOSTILE), "{page}");
        assert_eq!(browser.eval("document.images.length + (window.hacked ?? 0)").await, 0, "{page}");
        browser.assert_clean().await;
    }
}

#[tokio::test]
async fn spans_with_missing_parents_circles_and_shared_ids_are_all_shown() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend
        .send(vec![
            span("a", 1, 1, None, "root", 1000, 0..50),
            span("a", 1, 2, Some(99), "orphan", 1000, 5..10),
            span("a", 1, 3, Some(4), "circle", 1000, 6..10),
            span("a", 1, 4, Some(3), "of two", 1000, 7..9),
            span("a", 1, 5, Some(5), "its own parent", 1000, 8..9),
            span("a", 1, 1, None, "twin", 1000, 20..30),
            span("a", 1, 6, Some(1), "backwards", 1000, Range { start: 30, end: 20 }),
        ])
        .await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 7").await;
    let rows =
        browser.eval("[...document.querySelectorAll('.span')].map((row) => row.querySelector('.operation').innerText)").await;
    let mut rows: Vec<String> = serde_json::from_value(rows).unwrap();
    rows.sort_unstable();
    assert_eq!(rows, ["backwards", "circle", "its own parent", "of two", "orphan", "root", "twin"]);
    browser.until_text(".notice.warning", "1 span has a parent that is not stored").await;
    let marked = "[...document.querySelectorAll('.span:has(.badge.warning) .operation')].map((name) => name.innerText)";
    let mut marked: Vec<String> = serde_json::from_value(browser.eval(marked).await).unwrap();
    marked.sort_unstable();
    // The backend has already made the backward span one without a duration.
    assert_eq!(marked, ["circle", "its own parent", "orphan", "twin"]);
    let why = browser.eval("[...document.querySelectorAll('.span .badge.warning')].map((badge) => badge.title).join('\\n')").await;
    assert_eq!(why.as_str().unwrap().matches("0063 is not").count(), 1, "an orphan is told once that it is one: {why}");
    browser.assert_clean().await;
}

#[tokio::test]
async fn ten_thousand_spans_are_shown() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = vec![span("svc-0", 1, 1, None, "root", 20_000, 0..10_000)];
    // Chains of a hundred below the root: broad and deep.
    for id in 2..=10_000 {
        let parent = if id % 100 == 2 { 1 } else { id - 1 };
        spans.push(span(&format!("svc-{}", id % 91), 1, id, Some(parent), "work", 20_000, id..id + 5));
    }
    backend.send(spans).await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 10000").await;
    browser.eval("document.querySelector('.span').focus()").await;
    browser.press(Key::End.into()).await;
    browser.until("document.activeElement === [...document.querySelectorAll('.span')].at(-1)").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_trace_that_is_not_there_says_why_and_shows_when_it_arrives() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    browser.goto(&backend.trace(1)).await;
    browser.until_text(".notice", "No trace with this ID is stored").await;
    let notice = browser.text(".notice").await;
    for reason in ["evicted", "sampling", "not have arrived"] {
        assert!(notice.contains(reason), "{reason} is not in {notice}");
    }
    backend.send(chain(1, 1000, 20)).await;
    browser.until("document.querySelectorAll('.span').length === 4").await;

    browser.goto(&backend.page("/trace/no-id")).await;
    browser.until_text(".notice", "This is not a trace ID").await;
    // The browser itself notes failed requests, which these were; nothing else may be there.
    let errors = browser.console_errors().await;
    assert!(errors.iter().all(|error| error.contains("/api/v3/traces/") && error.contains("status of 40")), "{errors:?}");
    assert_eq!(browser.foreign_requests().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_trace_that_grows_is_shown_whole() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    // It ends minutes after the test: however slow that is, the page still expects more.
    let mut spans = chain(1, 1000, 600_000);
    let late = spans.split_off(2);
    backend.send(spans).await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 2").await;
    backend.log(1, 1, "early line").await;
    browser.click(".span .operation").await;
    browser.until_text(".details", "early line").await;
    browser.click(".span .operation").await;
    browser.eval("document.activeElement.blur()").await;
    backend.log(1, 1, "late line").await;
    backend.send(late).await;
    browser.until("document.querySelectorAll('.span').length === 4").await;
    browser.click(".span .operation").await;
    browser.until_text(".details", "late line").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn an_empty_backend_says_what_to_do_next() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    browser.goto(&backend.page("/dependencies")).await;
    browser.until_text(".notice", "Nothing calls anything yet").await;
    browser.goto(&backend.page("/")).await;
    browser.until_text(".notice", "Nothing is stored yet").await;
    backend.send(chain(1, 2 * 3_600_000, 20)).await;
    browser.click(".notice button").await;
    browser.until_text(".notice", "No stored trace matches").await;
    browser.click(".notice button").await;
    browser.until_text(".result", "2 hours ago").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn dependencies_are_a_graph_and_a_table() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for id in 1..=3 {
        backend.send(chain(id, 1000, 20)).await;
    }
    browser.goto(&backend.page("/dependencies")).await;
    browser.until("document.querySelectorAll('.node').length === 3").await;
    assert_eq!(browser.count(".edge").await, 2);
    let rows = browser.eval("[...document.querySelectorAll('.calls tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent).join(' '))").await;
    let rows: Vec<String> = serde_json::from_value(rows).unwrap();
    assert!(rows.contains(&"frontend dummy-0-3 3".to_owned()), "{rows:?}");
    assert!(rows.contains(&"dummy-0-3 dummy-1-3 3".to_owned()), "{rows:?}");

    browser.eval("document.querySelector('.node[tabindex=\"0\"]').focus()").await;
    browser.press(Key::Right.into()).await;
    browser.until_text(".caption", "dummy-0-3 is called by frontend (3) and calls dummy-1-3 (3)").await;
    assert_eq!(browser.count(".near .edge").await, 2);
    browser.click(".caption a").await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    assert!(browser.url().await.ends_with("/search?service=dummy-0-3"));
    browser.assert_clean().await;
}

#[tokio::test]
async fn pages_follow_the_color_scheme_and_fit_a_phone() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = chain(1, 1000, 20);
    // Who sends such names gets a page that still fits.
    let long = "W".repeat(10_000);
    spans.push(span(&long, 1, 9, Some(1), &long, 1000, 1..2).tag(&long, &long));
    backend.send(spans).await;
    for (page, shown) in [("/search", ".result"), (&*format!("/trace/{:032x}", 1), ".span"), ("/dependencies", ".node")] {
        let mut backgrounds = Vec::new();
        for scheme in ["light", "dark"] {
            browser.emulate(scheme, 360).await;
            browser.goto(&backend.page(page)).await;
            browser.find(shown).await;
            backgrounds.push(browser.eval("getComputedStyle(document.documentElement).backgroundColor").await);
            let beyond = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
            assert_eq!(beyond, 0, "{page} is wider than the screen");
        }
        assert_ne!(backgrounds[0], backgrounds[1], "{page}");
    }
    browser.assert_clean().await;
}

#[tokio::test]
async fn every_page_can_be_used_by_everybody() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for (page, shown) in [("/search", ".notice"), ("/dependencies", ".notice"), ("/trace/no-id", ".notice")] {
        browser.goto(&backend.page(page)).await;
        browser.find(shown).await;
        browser.assert_accessible().await;
    }
    let mut spans = chain(1, 1000, 20);
    spans[2].span["status"] = json!({"code": 2, "message": "it broke"});
    spans.push(span("dummy-2-3", 1, 9, Some(99), "orphan", 1000, 6..9));
    // More services than have a place of their own, and every hue.
    spans.extend((10..40).map(|id| span(&format!("dummy-3-{id}"), 1, id, Some(4), "GET /", 1000, 7..8)));
    backend.send(spans).await;
    backend.log(1, 1, "looked for user-1").await;
    browser.goto(&backend.page("/search")).await;
    browser.find(".result .badge.error").await;
    browser.fill("[name=tags]", "\"").await;
    browser.fill("[name=limit]", "0").await;
    browser.click("#search .primary").await;
    browser.until("document.querySelector('[name=limit]').ariaInvalid === 'true'").await;
    browser.assert_accessible().await;
    browser.goto(&backend.trace(1)).await;
    browser.click(".span .operation").await;
    browser.until_text(".details", "looked for user-1").await;
    browser.click(".shares summary").await;
    browser.assert_accessible().await;
    browser.goto(&backend.page("/dependencies")).await;
    browser.find(".calls tbody tr").await;
    browser.assert_accessible().await;
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
