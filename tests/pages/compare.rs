//! Comparing: two traces, and one with all of its kind.

use super::*;

impl Backend {
    fn comparison(&self, a: u128, b: u128) -> String {
        self.page(&format!("/trace/{a:032x}...{b:032x}"))
    }

    fn against_its_kind(&self, one: u128) -> String {
        self.page(&format!("/compare?one={one:032x}"))
    }
}

/// An ordinary trace and one that is 80 ms longer because of dummy-1-3, which fails there, and asks a cache that the first does not.
fn two() -> Vec<Sent> {
    let slow = [
        span("frontend", 2, 1, None, "GET /api/buttons/{n}", 1000, 0..100).kind(2),
        span("dummy-0-3", 2, 2, Some(1), "GET /", 1000, 2..98).kind(2),
        span("dummy-0-3", 2, 3, Some(2), "GET", 1000, 4..96).kind(3),
        span("dummy-1-3", 2, 4, Some(3), "GET /", 1000, 5..95).kind(2).tag("customer.id", "customer-7"),
        span("cache", 2, 5, Some(4), "get", 1000, 6..8).kind(3),
    ];
    let mut spans = chain(1, 2000, 20);
    spans.push(span("log", 1, 6, Some(1), "write", 2000, 18..19));
    spans.extend(slow);
    let failing =
        spans.iter_mut().find(|sent| sent.service == "dummy-1-3" && sent.span["endTimeUnixNano"] == nanos(1000, 95)).unwrap();
    failing.span["status"] = json!({"code": 2});
    spans
}

/// The rows as the page shows them: service, operation, what is said of b against a.
async fn rows(browser: &Browser) -> Vec<String> {
    let cells = "[...row.querySelectorAll('.service, .operation, .state')].map((cell) => cell.textContent.trim()).join(' ')";
    let rows = browser.eval(&format!("[...document.querySelectorAll('.pair')].map((row) => {cells})")).await;
    serde_json::from_value(rows).unwrap()
}

#[tokio::test]
async fn two_traces_are_one_tree_with_what_differs_in_words() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(two()).await;
    browser.goto(&backend.comparison(1, 2)).await;
    browser
        .until_text(
            ".found",
            "B took 100 ms, 80 ms longer than A. Most of it: dummy-1-3 GET / was busy itself for 88 ms in B, 10 ms in A.",
        )
        .await;
    browser.until_text("#status", "4 spans matched, 4 slower in B, 1 only in A, 1 only in B.").await;
    let all = [
        "frontend GET /api/buttons/{n} ▲ slower",
        "dummy-0-3 GET / ▲ slower",
        "dummy-0-3 GET ▲ slower",
        "dummy-1-3 GET / ▲ slower fails in B",
        "cache get only in B",
        "log write only in A",
    ];
    assert_eq!(rows(&browser).await, all);
    // Both in one time scale: the bar of A is a fifth of that of B.
    let width = |bar: &str| format!("document.querySelector('.{bar}').getBoundingClientRect().width");
    browser.until(&format!("Math.abs({} - 5 * {}) < 10", width("of-b"), width("of-a"))).await;
    let first = "document.querySelector('.differences tbody tr').innerText.replaceAll('\\u00a0', ' ').split(/\\s*\\t\\s*/)";
    assert_eq!(browser.eval(first).await, json!(["dummy-1-3 GET / server", "+78 ms", "10 ms", "88 ms", "1", "1"]));
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_comparison_is_walked_folded_and_swapped_by_keys() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(two()).await;
    backend.send(chain(3, 3000, 20)).await;
    browser.goto(&backend.comparison(1, 2)).await;
    browser.find(".pair").await;
    for key in ['j', 'j', 'j', 'j'] {
        browser.press(key).await;
    }
    browser.until("document.activeElement.querySelector('.service')?.textContent === 'dummy-1-3'").await;
    browser.press(Key::Enter.into()).await;
    browser.until_text(".details", "customer-7").await;
    assert!(browser.text(".details").await.contains("90 ms"));
    browser.press('k').await;
    browser.press(Key::Left.into()).await;
    browser.until("document.querySelectorAll('.pair').length === 4").await;
    assert_eq!(browser.eval("document.activeElement.getAttribute('aria-expanded')").await, "false");
    browser.press(Key::Right.into()).await;
    browser.until("document.querySelectorAll('.pair').length === 6").await;
    browser.press('x').await;
    browser.until_text(".found", "B took 20 ms, 80 ms shorter than A").await;
    assert_eq!(browser.url().await, backend.comparison(2, 1));

    browser.goto(&backend.comparison(1, 3)).await;
    browser.find(".pair").await;
    browser.press('d').await;
    browser.until("document.querySelectorAll('.pair').length === 2").await;
    assert_eq!(rows(&browser).await, ["frontend GET /api/buttons/{n} = alike", "log write only in A"]);
    browser.assert_clean().await;
}

#[tokio::test]
async fn one_trace_is_compared_with_all_that_is_stored_of_its_kind() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for id in 1..=100 {
        backend.send(chain(id, 5000, 20 + u64::try_from(id).unwrap() % 3)).await;
    }
    backend.send(chain(101, 1000, 500)).await;
    browser.goto(&backend.against_its_kind(101)).await;
    browser.until_text(".found", "dummy-1-3 GET / was busy itself for 490 ms").await;
    browser.until_text(".found", "slower than all of its 100 siblings").await;
    assert_eq!(browser.count(".detail .histogram").await, 2);
    browser.until_text(".detail", "Duration: slower than all of its 100 siblings").await;
    assert!(browser.eval("document.querySelector('.detail .mark').textContent").await == "this span");
    let kinds = browser.count(".kind").await;
    assert_eq!(kinds, 4);
    // The other kinds are a key away.
    browser.press('j').await;
    browser.until("document.querySelectorAll('.kind')[1].getAttribute('aria-pressed') === 'true'").await;
    browser.until("document.querySelector('.detail h3').textContent === document.querySelectorAll('.kind')[1].querySelector('.title').textContent").await;
    browser.press('o').await;
    browser.until_text(".found", "ms longer than A").await;
    assert!(browser.url().await.ends_with(&format!("...{:032x}", 101)));

    browser.goto(&backend.against_its_kind(50)).await;
    browser.until_text(".found", "None of these spans was busy for unusually long").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn of_many_kinds_no_more_are_asked_for_than_the_reader_wants() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let mut spans = vec![span("shop", 1, 1, None, "GET /", 1000, 0..600)];
    spans.extend((2..32).map(|id| span(&format!("part-{id}"), 1, id, Some(1), "work", 1000, 10 * id..10 * id + id)));
    backend.send(spans).await;
    browser.goto(&backend.against_its_kind(1)).await;
    let asked = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/distribution')).length";
    browser.until_text(".kinds + button", "Compare 8 more of 23 kinds left").await;
    assert_eq!(browser.eval(asked).await, 8);
    browser.click(".kinds + button").await;
    browser.until("document.querySelectorAll('.kind').length === 16").await;
    browser.until("document.activeElement === document.querySelectorAll('.kind')[8]").await;
    browser.until_text(".kinds + button", "Compare 8 more of 15 kinds left").await;
    assert_eq!(browser.eval(asked).await, 16);
    browser.assert_clean().await;
}

#[tokio::test]
async fn traces_to_compare_are_pasted_or_picked() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(two()).await;
    browser.goto(&backend.page("/compare")).await;
    browser.until("document.querySelectorAll('.candidates tbody tr').length === 2").await;
    assert!(browser.text(".candidates tbody tr").await.contains("100 ms"), "the longest first");
    browser.click(".candidates tbody tr:nth-child(2) .sides button:nth-of-type(1)").await;
    browser.click(".candidates tbody tr:nth-child(1) .sides button:nth-of-type(2)").await;
    browser.click(".chooser .primary").await;
    browser.until_text(".found", "80 ms longer").await;
    assert_eq!(browser.url().await, backend.comparison(1, 2));
    browser.click("#tools a").await;
    browser.until("document.querySelector('[name=b]')?.value.endsWith('2')").await;

    browser.goto(&backend.page("/compare")).await;
    browser.fill("[name=a]", &format!("{}?uiFind=1", backend.trace(2))).await;
    browser.until_text(".chooser .primary", "Compare with its kind").await;
    browser.click(".chooser .primary").await;
    browser.find(".kind").await;
    assert_eq!(browser.url().await, backend.against_its_kind(2));

    browser.goto(&backend.page("/compare")).await;
    browser.fill("[name=b]", &backend.comparison(2, 1)).await;
    browser.until("document.querySelector('[name=a]').value.endsWith('2')").await;
    browser.fill("[name=a]", "").await;
    browser.fill("[name=b]", "").await;
    browser.click(".chooser .primary").await;
    browser.until_text(".field-error", "Paste the ID of a trace").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn what_was_ticked_in_a_search_is_taken_over_and_the_longest_are_offered() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    for id in 1..=25 {
        backend.send(chain(id, 1000, 20 + u64::try_from(id).unwrap())).await;
    }
    browser.goto(&backend.page("/search?sort=longest")).await;
    browser.click(".result:nth-child(2) .pick").await;
    browser.goto(&backend.page("/compare")).await;
    browser.until("document.activeElement === document.querySelector('[name=b]')").await;
    browser.until_text(".chooser", "ticked in a search").await;
    browser.until("document.querySelectorAll('.candidates tbody tr').length === 20").await;
    browser.click(".candidates tbody tr .sides button:nth-of-type(2)").await;
    browser.press(Key::Enter.into()).await;
    browser.until_text(".found", "1 ms longer").await;
    assert_eq!(browser.url().await, backend.comparison(24, 25));
    // What the address names counts more.
    browser.goto(&backend.page(&format!("/compare?b={:032x}", 3))).await;
    browser.until("document.querySelector('[name=b]')?.value.endsWith('3')").await;
    assert_eq!(browser.eval("document.querySelector('[name=a]').value").await, "");
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_backend_that_is_away_is_said_once_and_asked_again() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(two()).await;
    browser.lose("*/api/*").await;
    browser.goto(&backend.comparison(1, 2)).await;
    browser.until_text(".notice", "The backend does not answer").await;
    assert_eq!(browser.count(".notice").await, 1);
    browser.lose("*/distribution*").await;
    browser.click(".notice button").await;
    browser.until_text(".found", "80 ms longer").await;

    browser.goto(&backend.against_its_kind(2)).await;
    browser.until_text(".found", "Their siblings could not be asked for").await;
    browser.lose("nothing").await;
    browser.click(".detail button").await;
    browser.until_text(".found", "Too few siblings are stored").await;
    browser.until("document.querySelectorAll('.detail .histogram').length === 2").await;
    assert_eq!(browser.eval("document.activeElement.matches('.kind')").await, true);
    assert!(!browser.text(".kinds").await.contains("could not"));
}

#[tokio::test]
async fn a_trace_that_is_not_stored_is_named_with_what_to_do() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(two()).await;
    browser.goto(&backend.comparison(1, 99)).await;
    browser.until_text(".notice", "Trace B is not stored").await;
    assert_eq!(browser.eval("document.querySelector('[name=b]').value").await, format!("{:032x}", 99));
    browser.goto(&backend.page("/trace/soon...never")).await;
    browser.until_text(".notice", "Trace A is not a trace ID").await;
    browser.goto(&backend.against_its_kind(99)).await;
    browser.until_text(".notice", "The trace is not stored").await;
    assert_eq!(browser.count(".chooser").await, 1);
    assert_eq!(browser.foreign_requests().await, Vec::<String>::new());
}

#[tokio::test]
async fn ten_thousand_spans_and_the_deepest_chain_are_compared() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::with_limit(64 << 20).await;
    for (trace, long) in [(1, 10_000), (2, 9_000)] {
        backend.send((1..=long).map(|id| span("deep", trace, id, (id > 1).then(|| id - 1), "again", 1000, 0..20)).collect()).await;
    }
    for (trace, many) in [(3, 10_000), (4, 9_000)] {
        let children = (2..=many).map(|id| span("wide", trace, id, Some(1), "child", 1000, 1..2));
        backend.send(children.chain([span("wide", trace, 1, None, "parent", 1000, 0..20)]).collect()).await;
    }
    for (a, b) in [(1, 2), (3, 4)] {
        browser.goto(&backend.comparison(a, b)).await;
        browser.until_text("#status", "9,000 spans matched, 1,000 only in A.").await;
        let rows = browser.count(".pair").await;
        assert!((100..=400).contains(&rows), "{rows} rows exist before anybody scrolled or walked to the others");
        browser.eval("scrollTo(0, document.body.scrollHeight)").await;
        browser.until(&format!("document.querySelectorAll('.pair').length > {rows}")).await;
    }
    browser.press('j').await;
    browser.press(Key::End.into()).await;
    browser.until("document.querySelectorAll('.pair').length === 10000").await;
    browser.until("document.activeElement === [...document.querySelectorAll('.pair')].at(-1)").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn hostile_names_stay_text_in_a_comparison_that_everybody_can_use() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let long = format!("{HOSTILE}\u{202e}{}", "W".repeat(10_000));
    for trace in [1, 2] {
        let extra = [
            span(&long, trace, 9, Some(1), &long, 1000, 1..2 + 4 * u64::try_from(trace).unwrap())
                .tag(&long, &format!("{trace}{long}")),
            span(&format!("only-{trace}"), trace, 10, Some(9), HOSTILE, 1000, 1..2),
        ];
        backend.send(chain(trace, 1000, 20).into_iter().chain(extra).collect()).await;
    }
    for (page, shown) in [
        (backend.page("/compare"), ".candidates tr"),
        (backend.comparison(1, 2), ".pair"),
        (backend.against_its_kind(2), ".notable, .detail .histogram"),
    ] {
        browser.emulate("light", 360).await;
        browser.goto(&page).await;
        browser.find(shown).await;
        browser.eval("document.querySelectorAll('.pair').forEach((row) => row.click())").await;
        let beyond = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
        assert_eq!(beyond, 0, "{page} is wider than the screen");
        browser.emulate("light", 1280).await;
        browser.assert_accessible().await;
        assert_eq!(browser.eval("[window.hacked ?? null, document.querySelectorAll('main img').length]").await, json!([null, 0]));
    }
    browser.assert_clean().await;
}
