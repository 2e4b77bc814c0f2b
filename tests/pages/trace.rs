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
    browser.until("document.querySelectorAll('.span').length === 4").await;
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

/// Chains of a hundred below the root: broad and deep.
fn chains(trace: u128) -> Vec<Sent> {
    let mut spans = vec![span("svc-0", trace, 1, None, "root", 20_000, 0..10_000)];
    for id in 2..=10_000 {
        let parent = if id % 100 == 2 { 1 } else { id - 1 };
        spans.push(span(&format!("svc-{}", id % 91), trace, id, Some(parent), "work", 20_000, id..id + 5));
    }
    spans
}

#[tokio::test]
async fn of_ten_thousand_spans_those_in_view_exist_whatever_the_shape() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(chains(1)).await;
    let child = |id| span("svc-1", 2, id, Some(1), "child", 20_000, id..id + 1);
    backend
        .send(std::iter::once(span("svc-0", 2, 1, None, "root", 20_000, 0..10_000)).chain((2..=10_000).map(child)).collect())
        .await;
    let level = |id: u64| span("svc-0", 3, id, (id > 1).then(|| id - 1), "level", 30_000, id..20_000 - id + 1);
    backend.send((1..=10_000).map(level).collect()).await;
    for trace in 1..=3 {
        browser.goto(&backend.trace(trace)).await;
        // Until the critical path is there, which is drawn into every row.
        browser.until("document.querySelectorAll('.span').length > 10 && document.querySelector('.path-told').textContent").await;
        assert_eq!(browser.eval("document.querySelector('.waterfall').getAttribute('aria-rowcount')").await, "10001", "{trace}");
        browser.eval("document.querySelector('.span').focus()").await;
        browser.press(Key::End.into()).await;
        browser.until("document.activeElement.getAttribute('aria-rowindex') === '10001'").await;
        browser.press('k').await;
        browser.until("document.activeElement.getAttribute('aria-rowindex') === '10000'").await;
        // What scrolls away takes nobody's place with it: the keys go on from there.
        browser.eval("scrollTo({top: 0, behavior: 'instant'})").await;
        browser.until("document.querySelector('[aria-rowindex=\"2\"].span')").await;
        browser.press(Key::Up.into()).await;
        browser.until("document.activeElement.getAttribute('aria-rowindex') === '9999'").await;
        // A key touches the row that it leaves and the one that it comes to, scrolling those that come into view.
        let watch = "(window.touched = [], new MutationObserver((seen) => touched.push(...seen)) \
            .observe(document.querySelector('.rows'), {subtree: true, childList: true, attributes: true}))";
        browser.eval(watch).await;
        browser.press('k').await;
        browser.until("document.activeElement.getAttribute('aria-rowindex') === '9998' && touched.length > 0").await;
        let rows_touched = "new Set(touched.map(({target}) => target.closest('.span')).filter(Boolean)).size";
        assert_eq!(browser.eval(rows_touched).await, 2, "rows of trace {trace}");
        browser.eval("(document.activeElement.blur(), touched = [], scrollBy(0, -280))").await;
        browser.until("touched.length > 0").await;
        assert_eq!(browser.eval(rows_touched).await, 0, "rows of trace {trace} that were there");
        let come = browser.eval("touched.reduce((sum, {addedNodes}) => sum + addedNodes.length, 0)").await;
        assert!((1..=16).contains(&come.as_u64().unwrap()), "{come} rows of trace {trace} come where ten do");
        browser.eval("scrollBy(0, 280)").await;
        browser.eval("document.querySelector('[role=row][tabindex=\"0\"]').focus()").await;
        let shown = browser.eval("document.querySelectorAll('.span').length").await;
        assert!(shown.as_u64().unwrap() < 100, "{shown} rows of trace {trace} exist");
        let inside = "(({top, bottom}) => top >= 0 && bottom <= innerHeight)(document.activeElement.getBoundingClientRect())";
        assert_eq!(browser.eval(inside).await, true, "the row of trace {trace} that has the focus is in view");
        browser.press(Key::Home.into()).await;
        browser.until("document.activeElement.getAttribute('aria-rowindex') === '2'").await;
    }
    browser.assert_clean().await;
}

/// How many rows there are, of which those in view exist.
async fn rows(browser: &Browser) -> u64 {
    let count = browser.eval("document.querySelector('.waterfall').getAttribute('aria-rowcount')").await;
    count.as_str().unwrap().parse::<u64>().unwrap() - 1
}

#[tokio::test]
async fn find_goes_from_match_to_match_in_spans_that_have_no_row() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = chains(1);
    for at in [5_000, 9_000] {
        spans[at].span["attributes"] = json!([attribute("customer.id", "Customer-7")]);
    }
    backend.send(spans).await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length > 10").await;
    browser.press('/').await;
    browser.until("document.activeElement.name === 'find'").await;
    // Every letter of it is a key of the page, which does nothing here.
    browser.fill("[name=find]", "customer-7").await;
    browser.until_text(".count", "2 matches").await;
    browser.press(Key::Enter.into()).await;
    browser.until_text(".count", "1 of 2").await;
    browser.until("document.activeElement.name === 'find' && document.querySelector('.span.current.match')").await;
    browser.eval("document.querySelector('.span.current').focus()").await;
    browser.press('n').await;
    browser.until_text(".count", "2 of 2").await;
    browser.until("document.activeElement.matches('.span.current.match[data-span=\"0000000000002329\"]')").await;
    browser.press('n').await;
    browser.until_text(".count", "1 of 2").await;
    browser.press('N').await;
    browser.until_text(".count", "2 of 2").await;
    // What is folded away is found too.
    browser.press(']').await;
    browser.until("document.querySelectorAll('.span').length === 1 && document.querySelector('.span.match')").await;
    browser.press('n').await;
    browser.until("document.activeElement.matches('.span.match')").await;
    assert!(browser.url().await.contains("?uiFind=customer-7"), "the address can be shared");
    browser.click("[name=find]").await;
    browser.press(Key::Escape.into()).await;
    browser.until("document.querySelector('.count').textContent === '' && !document.querySelector('.match')").await;
    assert!(!browser.url().await.contains("uiFind"));

    // As Jaeger links to what it found.
    browser.goto(&format!("{}?uiFind=0000000000001389", backend.trace(1))).await;
    browser.until_text(".count", "1 of 1").await;
    browser.until("document.activeElement.dataset.span === '0000000000001389'").await;
    browser.fill("[name=find]", "no such thing").await;
    browser.until_text(".count", "nothing found").await;
    // Another span of the same trace, and what was searched for by now.
    browser.eval("(location.hash = '#span=0000000000002328')").await;
    browser.until("document.activeElement.dataset.span === '0000000000002328'").await;
    assert_eq!(browser.text(".count").await, "nothing found");
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_span_in_the_address_is_shown_with_its_details() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(chains(1)).await;
    browser.goto(&backend.trace(1)).await;
    browser.click(".span .operation").await;
    browser.find(".details").await;
    assert!(browser.url().await.ends_with("#span=0000000000000001"));
    browser.click(".span .operation").await;
    browser.until("!location.hash && !document.querySelector('.details')").await;
    browser.goto(&backend.page("/search")).await;
    for width in [1280, 360] {
        browser.emulate("light", width).await;
        browser.goto(&format!("{}#span=0000000000002328", backend.trace(1))).await;
        browser.until_text(".details", "0000000000002328").await;
        let seen =
            "(({top, bottom}) => top > 0 && bottom < innerHeight)(document.querySelector('.span.open').getBoundingClientRect())";
        browser.until(seen).await;
        browser.goto(&backend.page("/search")).await;
    }
    browser.assert_clean().await;
}

#[tokio::test]
async fn everything_in_the_details_can_be_copied() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = chain(1, 2000, 40);
    spans[0].span["attributes"] = json!([attribute("customer.id", "customer-7"), attribute("http.route", "/api")]);
    spans[0].span["events"] = json!([{"timeUnixNano": nanos(2000, 1), "name": "cache miss", "attributes": []}]);
    spans[0].span["links"] = json!([{"traceId": format!("{:032x}", 77), "spanId": format!("{:016x}", 5)}]);
    backend.send(spans).await;
    backend.log(1, 1, "looked for user-1").await;
    browser.goto(&format!("{}#span=0000000000000001", backend.trace(1))).await;
    browser.until_text(".details", "looked for user-1").await;
    // The clipboard belongs to who sits before the screen.
    browser.eval("navigator.clipboard.writeText = async (text) => { (globalThis.copied ??= []).push(text); }").await;
    browser.eval("document.querySelectorAll('.details .copy').forEach((button) => button.click())").await;
    browser.until("[...document.querySelectorAll('.details .copy')].every((button) => button.textContent === 'Copied')").await;
    let copied: Vec<String> = serde_json::from_value(browser.eval("copied").await).unwrap();
    let has = |part: &str| copied.iter().any(|text| text.contains(part));
    for part in [
        "#span=0000000000000001",
        "\"spanId\": \"0000000000000001\"",
        "\"http.route\": \"/api\"",
        "\"customer.id\": \"customer-7\"",
        "\"service.name\": \"frontend\"",
        "cache miss",
        &format!("{:032x}", 77),
        "looked for user-1",
    ] {
        assert!(has(part), "{part} is not among {copied:?}");
    }
    assert!(copied.iter().any(|text| text == "customer-7"), "a value alone: {copied:?}");
    let heads = browser.eval("[...document.querySelectorAll('.details h3')].map((head) => head.innerText)").await;
    assert!(heads.as_array().unwrap().contains(&"Baggage".into()), "{heads}");
    browser.assert_clean().await;
}

#[tokio::test]
async fn what_is_folded_follows_keys_levels_services_and_visits() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = chain(1, 2000, 40);
    spans[3].span["status"] = json!({"code": 2, "message": "it broke"});
    backend.send(spans).await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 4").await;
    browser.press(']').await;
    browser.until("document.querySelectorAll('.span').length === 1").await;
    assert_eq!(rows(&browser).await, 1);
    assert!(browser.text(".span").await.contains("1 error inside"), "what is folded away does not hide that it failed");
    browser.press('o').await;
    browser.until("document.querySelectorAll('.span').length === 2").await;
    browser.press('o').await;
    browser.until("document.querySelectorAll('.span').length === 3").await;
    browser.press('p').await;
    browser.until("document.querySelectorAll('.span').length === 2").await;
    browser.press('[').await;
    browser.until("document.querySelectorAll('.span').length === 4").await;
    browser.select(".tools select", "2").await;
    browser.until("document.querySelectorAll('.span').length === 2").await;

    // One row for each time that a service was entered, with all of the service's own time.
    browser.select(".tools select", "visits").await;
    let names = "[...document.querySelectorAll('.span .service')].map((name) => name.innerText).join()";
    browser.until(&format!("{names} === 'frontend,dummy-0-3,dummy-1-3'")).await;
    assert_eq!(browser.eval("[...document.querySelectorAll('.span')].map((row) => row.ariaLevel).join()").await, "1,2,3");
    // 36 ms without the 30 of its callee: the client span's 2 ms are its own here.
    assert_eq!(browser.text(".span:nth-child(2) .self").await, "6 ms");
    // In the list of what can be folded a letter would choose from it.
    browser.eval("document.activeElement.blur()").await;
    browser.press('e').await;
    browser.until("document.activeElement.matches('.span.failed')").await;
    browser.press('v').await;
    browser.until("document.querySelectorAll('.span').length === 4").await;

    let fold = ".share [data-service=\"dummy-0-3\"]";
    browser.eval(&format!("document.querySelector({}).click()", json!(fold))).await;
    browser
        .until(&format!("{names} === 'frontend,dummy-0-3' && document.querySelector({}).ariaPressed === 'true'", json!(fold)))
        .await;
    browser.press('[').await;
    browser.until(&format!("document.querySelector({}).ariaPressed === 'false'", json!(fold))).await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_range_of_time_is_chosen_by_pointer_and_by_keys() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(chain(1, 2000, 100)).await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 4").await;
    let ends = "[...document.querySelectorAll('.columns .tick')].map((tick) => tick.innerText.replaceAll('\\u00a0', ' ')).filter((_, place) => place % 4 === 0).join()";
    assert_eq!(browser.eval(ends).await, "0 ms,100 ms");
    browser
        .eval(
            "((place, box) => ['pointerdown', 'pointermove', 'pointerup'].forEach((type, index) => place.dispatchEvent(new PointerEvent(type, {
                bubbles: true, pointerId: 1, button: 0, clientX: box.left + box.width * (index === 0 ? 0.2 : 0.6), clientY: box.top + 9 }))))(
                Object.assign(document.querySelector('.overview'), { setPointerCapture() {} }), document.querySelector('.overview').getBoundingClientRect())",
        )
        .await;
    browser.until(&format!("/^(20|19.*|20.*) ms,(60|59.*|60.*) ms$/.test({ends})")).await;
    browser.press('0').await;
    browser.until(&format!("{ends} === '0 ms,100 ms'")).await;
    // The first row is the whole; the third begins after 4 ms and takes 92.
    browser.press('j').await;
    browser.press('j').await;
    browser.press('z').await;
    browser.until(&format!("{ends} === '2.16 ms,97.84 ms'")).await;
    browser.click(".tools > .only-waterfall > button").await;
    browser.until(&format!("{ends} === '0 ms,100 ms'")).await;
    browser.press('+').await;
    browser.until(&format!("{ends} === '25 ms,75 ms'")).await;
    browser.press('d').await;
    browser.until(&format!("{ends} === '37.5 ms,87.5 ms'")).await;
    browser.press('-').await;
    browser.until(&format!("{ends} !== '37.5 ms,87.5 ms'")).await;
    browser.press('0').await;
    browser.eval("document.querySelector('.handle.from').focus()").await;
    browser.press(Key::Right.into()).await;
    browser.until(&format!("{ends} === '2 ms,100 ms'")).await;
    assert_eq!(browser.eval("document.activeElement.ariaValueText.replaceAll('\\u00a0', ' ')").await, "2 ms after the start");
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_critical_path_is_drawn_in_and_said() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend
        .send(vec![
            span("shop", 1, 1, None, "order", 1000, 0..100),
            span("stock", 1, 2, Some(1), "waited for", 1000, 10..90),
            span("mail", 1, 3, Some(1), "beside", 1000, 20..60),
        ])
        .await;
    browser.goto(&backend.trace(1)).await;
    browser.until_text(".path-told", "Critical path: 100 ms, of which 80 ms (80%) in stock").await;
    let parts = "[...document.querySelectorAll('.span')].map((row) => [...row.querySelectorAll('.path-part')].map((part) => part.style.getPropertyValue('--left')))";
    assert_eq!(browser.eval(parts).await, json!([["0.000%", "90.000%"], ["10.000%"], []]));
    browser.press('c').await;
    browser.until("!document.querySelector('.path-part')").await;
    browser.press('c').await;
    browser.find(".path-part").await;
    // Of what is folded it is shown where that is folded into.
    browser.press(']').await;
    browser.until("document.querySelectorAll('.span').length === 1").await;
    assert_eq!(browser.eval(parts).await, json!([["0.000%"]]));
    browser.click(".span .operation").await;
    browser.until_text(".details", "20 ms (20% of the trace)").await;
    browser.goto(&backend.page("/search")).await;
    browser.goto(&format!("{}#span=0000000000000002", backend.trace(1))).await;
    browser.until_text(".details", "80 ms (80% of the trace)").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn what_lies_between_two_services_is_hatched_and_said_in_words() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend
        .send(vec![
            span("shop", 1, 1, None, "order", 2000, 100..1100).kind(2),
            span("shop", 1, 2, Some(1), "GET /stock", 2000, 110..510).kind(3),
            span("stock", 1, 3, Some(2), "GET /stock", 2000, 310..460).kind(2),
            span("shop", 1, 4, Some(1), "GET /pay", 2000, 520..720).kind(3),
            span("pay", 1, 5, Some(4), "GET /pay", 2000, 0..150).kind(2),
            span("shop", 1, 6, Some(1), "send", 2000, 730..740).kind(4),
            span("mail", 1, 7, Some(6), "receive", 2000, 940..950).kind(5),
        ])
        .await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 7").await;
    let said = |span: &str| format!("document.querySelector('[data-span=\"{span}\"] .lane').ariaLabel.replaceAll('\\u00a0', ' ')");
    let said = async |span: u64| browser.eval(&said(&format!("{span:016x}"))).await.as_str().unwrap().to_owned();
    let way = said(2).await;
    assert!(way.contains("200 ms from the call to the start of stock, 50 ms from its end to the return"), "{way}");
    assert_eq!(browser.count("[data-span=\"0000000000000002\"] .self-part.way").await, 2);
    let written = browser
        .eval("document.querySelector('[data-span=\"0000000000000002\"] .written').innerText.replaceAll('\\u00a0', ' ')")
        .await;
    assert_eq!(written, "200 ms");
    let skew = said(4).await;
    assert!(skew.contains("The clocks of shop and pay differ by 520 ms or more") && skew.contains("known: 50 ms"), "{skew}");
    browser.until_text(".notice.warning", "The clocks of shop and pay differ by 520 ms or more").await;
    assert!(browser.text("[data-span=\"0000000000000004\"]").await.contains("warning"));
    let queue = said(7).await;
    assert!(queue.contains("Waited 200 ms between being sent by shop and being received"), "{queue}");
    assert_eq!(browser.count(".queued").await, 1);
    browser.click("[data-span=\"0000000000000002\"] .operation").await;
    browser.until_text(".details", "On the way").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_flame_graph_is_another_view_of_the_same_trace() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(chain(1, 2000, 40)).await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 4").await;
    browser.press('f').await;
    browser
        .until("document.querySelectorAll('.frame').length === 4 && !document.querySelector('.waterfall').checkVisibility()")
        .await;
    assert!(browser.url().await.ends_with("?view=flame"));
    let said = browser.eval("document.querySelectorAll('.frame')[2].ariaLabel.replaceAll('\\u00a0', ' ')").await;
    assert_eq!(said, "dummy-0-3 GET: 32 ms, 80% of all");
    browser.assert_accessible().await;
    browser.goto(&format!("{}?view=flame", backend.trace(1))).await;
    browser.find(".frame").await;
    browser.press('f').await;
    browser.until("document.querySelectorAll('.span').length === 4 && !document.querySelector('.frame').checkVisibility()").await;
    assert!(!browser.url().await.contains("view"));
    browser.press('f').await;
    browser.eval("document.querySelectorAll('.frame')[3].dispatchEvent(new MouseEvent('click', { bubbles: true }))").await;
    browser.click(".flame > button:last-child").await;
    browser
        .until(
            "document.activeElement.dataset.span === '0000000000000004' && document.querySelector('.waterfall').checkVisibility()",
        )
        .await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_keys_are_listed_and_the_ways_on_are_links() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(chain(1, 2000, 40)).await;
    browser.goto(&backend.trace(1)).await;
    browser.until("document.querySelectorAll('.span').length === 4").await;
    browser.press('?').await;
    browser.until_text("dialog", "next match").await;
    let keys = browser.text("dialog").await;
    for what in ["next row", "flame graph", "critical path", "fold all", "go to Search", "details of the row"] {
        assert!(keys.contains(what), "{what} is not in {keys}");
    }
    browser.press(Key::Escape.into()).await;
    let id = format!("{:032x}", 1);
    let links = browser.eval("[...document.querySelectorAll('.ways-on a')].map((link) => link.getAttribute('href'))").await;
    let kind = "/search?service=frontend&operation=GET+%2Fapi%2Fbuttons%2F%7Bn%7D";
    assert_eq!(links, json!([format!("/compare?one={id}"), format!("/trace/{id}..."), kind, format!("/api/v3/traces/{id}")]));
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
