//! The service graph.

use super::*;

/// What the table says, a row a text.
const ROWS: &str =
    "[...document.querySelectorAll('.calls tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent).join(' | '))";

#[tokio::test]
async fn dependencies_are_a_graph_and_a_table() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for id in 1..=3 {
        backend.send(chain(id, 1000, 20)).await;
    }
    browser.goto(&backend.page("/dependencies")).await;
    browser.until("document.querySelectorAll('.node').length === 3").await;
    assert_eq!(browser.count(".edges:first-child .edge").await, 2);
    browser.until_text("#status", "3 services, 6 calls between them, 0 errors.").await;
    let rows: Vec<String> = serde_json::from_value(browser.eval(ROWS).await).unwrap();
    // The busiest first; within a hundredth, as the API says.
    let rows: Vec<String> = rows.iter().map(|row| row.replace(['\u{a0}', ' '], "").replace("12.1ms", "12ms")).collect();
    assert_eq!(
        rows,
        ["dummy-0-3|dummy-1-3|3|0|12ms|12ms|12ms|NewestSlowest", "frontend|dummy-0-3|3|0|16ms|16ms|16ms|NewestSlowest"]
    );

    browser.eval("document.querySelector('.node[tabindex=\"0\"]').focus()").await;
    browser.press(Key::Right.into()).await;
    browser.until_text("[aria-live].unseen", "dummy-0-3 is called by frontend (3 calls, 0 errors, p95 16").await;
    browser.until("document.querySelectorAll('.near .edge').length === 2").await;
    browser.until_text(".network-panel", "Called by 1 service").await;
    browser.until_text(".network-panel", "dummy-1-3").await;
    // Who is sent the address sees the same.
    assert!(browser.url().await.ends_with("/dependencies?service=dummy-0-3"));
    browser.goto(&browser.url().await).await;
    browser.until_text(".network-panel h3", "dummy-0-3").await;
    browser.find(".node[aria-pressed=true][tabindex='0']").await;
    browser.click(".network-panel .leads a").await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    assert!(browser.url().await.contains("/search?service=dummy-0-3&"), "{}", browser.url().await);
    browser.assert_clean().await;
}

#[tokio::test]
async fn calls_are_coloured_by_errors_too_and_those_that_failed_are_found_without_seeing_colours() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for id in 1..=10 {
        let mut spans = chain(id, 1000, 20);
        if id == 1 {
            spans[3].span["status"] = json!({"code": 2});
        }
        backend.send(spans).await;
    }
    browser.goto(&backend.page("/dependencies")).await;
    browser.find(".edges:first-child .edge.failing").await;
    browser.select(".network-tools select", "errors").await;
    browser.until("document.querySelectorAll('.edge.failing.heat-4').length === 1").await;
    browser.until("document.querySelector('.written').textContent === '10%'").await;
    browser.until_text(".legend", "up to 25%").await;
    browser.until_text(".hottest", "dummy-0-3 → dummy-1-3").await;
    browser.until_text(".hottest", "1 (10%)").await;
    assert!(browser.url().await.ends_with("/dependencies?by=errors"));
    browser.goto(&browser.url().await).await;
    browser.until("document.querySelector('.network-tools select').value === 'errors'").await;
    browser.click(".hottest button").await;
    browser.until_text(".figures", "1 (10%)").await;
    assert_eq!(browser.count(".near .edge").await, 1);
    browser.assert_accessible().await;
    // The traces in which it failed are one click away.
    browser.click(".calls tr:has(.leads a:nth-child(3)) .leads a:nth-child(3)").await;
    browser.until("document.querySelectorAll('.result').length === 1").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn pointing_at_a_service_or_a_call_shows_it_alone_until_the_pointer_goes() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(chain(1, 1000, 20)).await;
    browser.goto(&backend.page("/dependencies")).await;
    browser.until_text(".network-panel h3", "Slowest calls by p95").await;
    let place = "JSON.stringify([...document.querySelectorAll('.network-frame, .network-panel, .calls, .node')].map((one) => one.getBoundingClientRect()))";
    let before = browser.eval(place).await;
    let over = |what: &str| {
        format!("document.querySelector({what:?}).dispatchEvent(new PointerEvent('pointerover', {{ bubbles: true }}))")
    };
    browser.eval(&over(".node")).await;
    browser.until_text(".network-panel h3", "frontend").await;
    assert_eq!(browser.count(".near .edge").await, 1);
    browser.eval(&over(".edge")).await;
    browser.until_text(".network-panel h3", "→").await;
    assert_eq!(browser.eval(place).await, before, "nothing moves");
    browser.eval("document.querySelector('.network-frame svg').dispatchEvent(new PointerEvent('pointerleave'))").await;
    browser.until_text(".network-panel h3", "Slowest calls by p95").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn of_a_thousand_services_the_busiest_are_drawn_and_any_other_is_found() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = vec![span("frontend", 1, 1, None, "GET", 1000, 0..20).kind(2)];
    spans.extend((2..1001).map(|id| span(&format!("dummy-0-{id}"), 1, id, Some(1), "GET /", 1000, 1..19).kind(2)));
    backend.send(spans).await;
    browser.goto(&backend.page("/dependencies")).await;
    browser.until_text(".scope", "150 of 1,000 services are drawn").await;
    assert_eq!(browser.count(".node").await, 150);
    // So are the first calls listed, and any other is asked for or found.
    browser.until("document.querySelectorAll('.calls tbody tr').length === 100").await;
    browser.until_text(".calls tfoot button", "Show 100 more of 899").await;
    browser.click(".calls tfoot button").await;
    browser.until("document.querySelectorAll('.calls tbody tr').length === 200").await;

    browser.press('/').await;
    for letter in "999".chars() {
        browser.press(letter).await;
    }
    browser.until_text(".matches", "1 service, 1 not drawn").await;
    browser.until("document.querySelectorAll('.calls tbody tr').length === 1").await;
    browser.until_text("main", "1 of 999 rows: services with “999” in their names").await;
    browser.until_text(".calls tbody", "dummy-0-999").await;
    browser.press(Key::Enter.into()).await;
    browser.until_text(".network-panel h3", "dummy-0-999").await;
    browser.find(".node.found.near[aria-pressed=true]").await;
    assert_eq!(browser.eval("document.querySelector('.node.found').getAttribute('aria-label').split(':')[0]").await, "dummy-0-999");
    assert_eq!(browser.count(".node").await, 150);
    browser.press(Key::Escape.into()).await;
    browser
        .until("document.querySelector('.find input').value === '' && !document.querySelector('.node[aria-pressed=true]')")
        .await;
    browser.until("document.querySelectorAll('.calls tbody tr').length === 200").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn services_in_a_circle_and_with_hostile_names_are_drawn_as_they_are() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mirrored = "\u{202e}evil\u{202d}";
    let long = "W".repeat(10_000);
    backend
        .send(vec![
            span(HOSTILE, 1, 1, None, "GET", 1000, 0..20).kind(2),
            span(mirrored, 1, 2, Some(1), "GET", 1000, 1..19).kind(2),
            span(HOSTILE, 1, 3, Some(2), "GET", 1000, 2..18).kind(2),
            span(&long, 1, 4, Some(3), "GET", 1000, 3..17).kind(2),
        ])
        .await;
    browser.goto(&backend.page("/dependencies")).await;
    browser.until("document.querySelectorAll('.node').length === 3").await;
    assert_eq!(browser.count(".edges:first-child .edge").await, 3);
    for name in [HOSTILE, mirrored] {
        let named = format!(
            "[...document.querySelectorAll('.node')].find((node) => node.querySelector('title').textContent === {})",
            json!(name)
        );
        browser.eval(&format!("({named}.focus(), 1)")).await;
        browser.until(&format!("document.querySelector('.network-panel h3').textContent === {}", json!(name))).await;
    }
    let names = "[...document.querySelectorAll('.calls tbody tr')].flatMap((row) => [...row.cells].slice(0, 2).map((cell) => cell.textContent))";
    let names: Vec<String> = serde_json::from_value(browser.eval(names).await).unwrap();
    assert!([HOSTILE, mirrored, &*long].iter().all(|name| names.iter().any(|one| one == name)));
    assert_eq!(browser.eval("[document.images.length, window.hacked ?? 0]").await, json!([0, 0]));
    assert_eq!(browser.eval("document.documentElement.scrollWidth <= innerWidth").await, true);
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_graph_without_calls_or_without_a_backend_says_what_to_do_next() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(chain(1, 2 * 3_600_000, 20)).await;
    browser.goto(&backend.page("/dependencies?lookback=5m")).await;
    browser.until_text(".notice", "Nothing calls anything yet").await;
    browser.assert_accessible().await;
    browser.click(".notice button:last-child").await;
    browser.until("document.querySelectorAll('.node').length === 3").await;
    assert!(browser.url().await.ends_with("/dependencies?lookback=all"));
    browser.assert_clean().await;

    backend.stop().await;
    browser.press('r').await;
    browser.until_text(".notice.error", "The backend does not answer").await;
    browser.until_text(".notice.error button", "Try again").await;
}

#[tokio::test]
async fn calls_cross_no_more_than_they_must_and_pass_beside_the_services_between() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    // By name the three calls of the second layer would all cross; the last call passes that layer.
    let calls = [("shop", "a1"), ("shop", "a2"), ("shop", "a3"), ("a1", "b3"), ("a2", "b2"), ("a3", "b1"), ("shop", "b2")];
    for (id, (caller, callee)) in (1..).zip(calls) {
        let ends = [span(caller, id, 1, None, "GET", 1000, 0..20), span(callee, id, 2, Some(1), "GET", 1000, 1..19)];
        backend.send(Vec::from(ends.map(|span| span.kind(2)))).await;
    }
    browser.goto(&backend.page("/dependencies")).await;
    browser.until("document.querySelectorAll('.edges:first-child .edge').length === 7").await;
    let places = "Object.fromEntries([...document.querySelectorAll('.node')].map((node) => [node.subject.name, node.getBoundingClientRect().toJSON()]))";
    let places = browser.eval(places).await;
    let top = |name: &str| places[name]["top"].as_f64().unwrap();
    for (one, other) in [("a1", "a2"), ("a2", "a3")] {
        let callee = |name: &str| format!("b{}", 4 - name[1..].parse::<u32>().unwrap());
        assert_eq!(top(one) < top(other), top(&callee(one)) < top(&callee(other)), "{one} and {other} cross: {places}");
    }
    let touched = "[...document.querySelectorAll('.edges:first-child .edge')].flatMap((edge) => {
        const at = edge.getScreenCTM();
        const points = [...Array(101).keys()].map((part) => edge.getPointAtLength(edge.getTotalLength() * part / 100).matrixTransform(at));
        return [...document.querySelectorAll('.node')].filter((node) => ![edge.subject.from, edge.subject.to].includes(node.subject.name))
            .filter((node) => {
                const { left, right, top, bottom } = node.getBoundingClientRect();
                return points.some(({ x, y }) => x > left && x < right && y > top && y < bottom);
            })
            .map((node) => `${edge.subject.from} to ${edge.subject.to} over ${node.subject.name}`);
    })";
    assert_eq!(browser.eval(touched).await, json!([]));
    browser.assert_clean().await;
}

#[tokio::test]
async fn names_that_do_not_fit_lose_first_what_they_have_in_common() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let name = |part: &str| format!("our-wonderful-{part}-service");
    let mut spans = vec![span(&name("front"), 1, 1, None, "GET", 1000, 0..20)];
    spans.extend(
        ["cart", "mail", "rates", "ads", "geo", "tax"]
            .iter()
            .zip(2..)
            .map(|(part, id)| span(&name(part), 1, id, Some(id - 1), "GET", 1000, 0..20 - id)),
    );
    backend.send(spans.into_iter().map(|span| span.kind(2)).collect()).await;
    browser.goto(&backend.page("/dependencies")).await;
    browser.until("document.querySelectorAll('.node').length === 7").await;
    let shown = "[...document.querySelectorAll('.node text')].map((text) => text.textContent)";
    let shown: Vec<String> = serde_json::from_value(browser.eval(shown).await).unwrap();
    assert_eq!(shown.join(" "), "…front… …cart… …mail… …rates… …ads… …geo… …tax…");
    browser.until(&format!("document.querySelector('.node title').textContent === {}", json!(name("front")))).await;
    browser.assert_clean().await;
}
