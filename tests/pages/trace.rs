//! One trace: its waterfall, and what a span says.

use super::*;

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
