//! Searching: the form, the address, what is found.

use super::*;

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
