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
async fn on_a_phone_the_form_gives_way_to_what_was_found_and_to_what_is_wrong_with_it() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    three(&backend).await;
    browser.emulate("light", 360).await;
    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    let open = "document.querySelector('#sidebar').open";
    assert_eq!(browser.eval(open).await, false);
    browser.click("#sidebar summary").await;
    browser.fill("[name=minDuration]", "30ms").await;
    browser.click("#search .primary").await;
    browser.until("document.querySelectorAll('.result').length === 2").await;
    assert_eq!(browser.eval(&format!("[{open}, document.activeElement.tagName]")).await, json!([false, "SUMMARY"]));
    assert_eq!(browser.eval("document.querySelector('#asked').innerText").await, "30ms or longer · last hour");
    browser.assert_accessible().await;
    browser.eval("(document.querySelector('[name=minDuration]').value = 'soon', 1)").await;
    browser.select("[name=sort]", "longest").await;
    browser.until_text("#minDuration-error", "A number and a unit").await;
    browser.until("document.activeElement.name === 'minDuration'").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn an_answer_to_what_was_asked_before_changes_nothing() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send((1..31).map(|id| span("shop", id, 1, None, "order", 1000, 0..5)).collect()).await;
    // The next answer waits until it is let go.
    let hold = "(() => { const real = fetch; window.fetch = async (...asked) => { window.fetch = real; \
        await new Promise((go) => { window.letGo = go; }); return real(...asked); }; })()";
    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.result').length === 20").await;
    browser.eval(hold).await;
    browser.click("#more button").await;
    browser.until("window.letGo").await;
    browser.select("[name=sort]", "oldest").await;
    browser.until_text("#status", "30 traces, oldest first.").await;
    browser.until("document.querySelectorAll('.result').length === 30").await;
    assert_eq!(
        browser.eval("document.activeElement.closest('.result')").await,
        Value::Null,
        "who asked for another order is not led on"
    );

    browser.goto(&backend.page("/search?limit=none")).await;
    browser.until_text("#status", "mend the marked fields").await;
    browser.fill("[name=limit]", "20").await;
    browser.eval(hold).await;
    browser.click("#search .primary").await;
    browser.until_text("#status", "Searching").await;
    browser.until("window.letGo").await;
    browser.back().await;
    browser.until_text("#status", "mend the marked fields").await;
    browser.eval("(window.letGo(), 1)").await;
    // What is asked after it is answered after it.
    browser.eval("fetch('/api/v3/services').then((answer) => answer.text())").await;
    browser.until("!document.querySelector('[aria-busy]')").await;
    assert_eq!(browser.count(".result").await, 0);
    browser.until_text("#status", "mend the marked fields").await;
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

#[tokio::test]
async fn the_plot_marks_errors_and_opens_a_trace_by_key_or_click() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    three(&backend).await;
    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.point').length === 3").await;
    assert_eq!(browser.count(".point.failed").await, 1);
    let told = browser.eval("document.querySelector('.scatter svg').ariaLabel").await;
    assert!(told.as_str().unwrap().contains("3 traces, 1 error; the longest took 900"), "{told}");

    // What the reader is at in the plot is marked in the list, and the other way round.
    browser.press('p').await;
    browser.press(Key::Right.into()).await;
    browser.until_text(".told", "900 ms, 4 spans").await;
    browser.until_text(".result.meant", "900 ms").await;
    browser.press(Key::Escape.into()).await;
    browser.press('j').await;
    browser.until("document.querySelector('.ring').getAttribute('visibility') === 'visible'").await;

    browser.press('p').await;
    browser.press(Key::Right.into()).await;
    browser.press(Key::Enter.into()).await;
    browser.find(".span").await;
    assert_eq!(browser.url().await, backend.trace(1));
    browser.goto(&backend.page("/search")).await;
    browser.click(".point.failed").await;
    browser.find(".span").await;
    assert_eq!(browser.url().await, backend.trace(2));
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_range_of_the_plot_becomes_the_search() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    three(&backend).await;
    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.point').length === 3").await;
    assert_eq!(browser.eval("document.querySelector('.plot-tools button:last-child').disabled").await, true);

    // The two fast ones: in the right half, and the lower one.
    drag(&browser, (0.5, 0.45), (1.02, 1.02)).await;
    browser.until("document.querySelectorAll('.result').length === 2").await;
    let address = browser.url().await;
    for part in ["start=", "end=", "durationOf=trace", "maxDuration="] {
        assert!(address.contains(part), "{part} is not in {address}");
    }
    assert_eq!(browser.eval("document.querySelector('[name=lookback]').value").await, "custom");
    browser.goto("about:blank").await;
    browser.goto(&address).await;
    browser.until("document.querySelectorAll('.result').length === 2").await;
    browser.click(".plot-tools button:last-child").await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    assert_eq!(
        browser.eval("document.querySelector('[name=lookback]').value").await,
        "all",
        "who begins with a part has nothing to go back to"
    );

    // By key: from the first point, all that is about as slow. A span of it is as long as all of another trace, which counts for nothing.
    browser.press('p').await;
    browser.press(Key::Right.into()).await;
    for _ in 0..2 {
        chord(&browser, "ArrowDown").await;
    }
    browser.until_text(".told", "1 trace here. Enter searches.").await;
    browser.press(Key::Escape.into()).await;
    browser.until("document.querySelector('.brush').getAttribute('visibility') === 'hidden'").await;
    chord(&browser, "ArrowDown").await;
    browser.press(Key::Enter.into()).await;
    browser.until("document.querySelectorAll('.result').length === 1").await;
    browser.until_text(".result", "900 ms").await;
    browser.back().await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn what_was_in_flight_at_a_moment_is_found_from_address_field_result_and_plot() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    // The first lasts until after the second, which ended before the third began.
    for (id, age_ms, duration_ms) in [(1, 9000, 5000), (2, 8000, 300), (3, 5000, 700)] {
        backend.send(chain(id, age_ms, duration_ms)).await;
    }
    let shown = "[...document.querySelectorAll('.result .opens')].map((link) => Number(link.pathname.slice(-4))).join()";
    let until = async |expected: &str| browser.until(&format!("{shown} === '{expected}'")).await;

    browser.goto(&backend.page(&format!("/search?at={}&sort=longest", nanos(8000, 100)))).await;
    until("1,2").await;
    browser.until_text("#status", "2 traces in flight at").await;
    assert_eq!(browser.count(".lasted").await, 2, "how long each lasted is drawn");
    assert_eq!(browser.eval("document.querySelector('.scatter .moment').getAttribute('visibility')").await, "visible");
    browser.assert_accessible().await;
    // The conditions narrow it.
    browser.fill("[name=maxDuration]", "1s").await;
    browser.select("[name=durationOf]", "trace").await;
    browser.click("#search .primary").await;
    until("2").await;

    let field = "document.querySelector('[name=moment]')";
    let enter = async |value: &str| {
        browser.eval(&format!("({field}.value = {value}, {field}.dispatchEvent(new Event('input')), 1)")).await;
    };
    enter("''").await;
    browser.click("#search .primary").await;
    browser.until_text("#at-error", "A time is needed").await;
    let later = nanos(5000, 200);
    let millis = later.strip_suffix("000000").unwrap();
    enter(&format!("new Date({millis} - new Date({millis}).getTimezoneOffset() * 60000).toISOString().slice(0, -1)")).await;
    browser.click("#search .primary").await;
    until("3").await;
    assert!(browser.url().await.contains(&format!("at={later}")));

    browser.goto(&backend.page("/search?sort=oldest")).await;
    until("1,2,3").await;
    browser.click("li:nth-child(2) .beside").await;
    until("2,1").await;
    browser.goto(&backend.page("/search?sort=longest")).await;
    until("1,3,2").await;
    for key in ['j', 'j', 'i'] {
        browser.press(key).await;
    }
    until("1,3").await;

    browser.goto(&backend.page("/search?sort=oldest")).await;
    until("1,2,3").await;
    browser.click(".plot-tools [aria-pressed]").await;
    click(&browser, (1.01, 0.5)).await;
    until("1,3").await;
    browser.goto(&backend.page("/search?at=noon")).await;
    browser.until_text("#at-error", "A time is needed").await;
    browser.goto(&backend.page("/search?at=2001-01-01T00:00:00Z")).await;
    browser.until_text(".notice", "Nothing that matches had begun and not ended").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn only_errors_are_one_click_away_and_the_address_says_so_as_jaeger_does() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    three(&backend).await;
    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    browser.press('e').await;
    browser.until("document.querySelectorAll('.result').length === 1").await;
    browser.until_text(".result .badge", "1 error").await;
    assert_eq!(browser.eval("new URLSearchParams(location.search).get('tags')").await, json!({"error": "true"}).to_string());

    let tags = "%7B%22error%22%3A%22true%22%2C%22http.route%22%3A%22/%22%7D";
    browser.goto(&backend.page(&format!("/search?tags={tags}"))).await;
    browser.until_text(".notice", "No stored trace matches").await;
    assert_eq!(browser.eval("document.querySelector('[name=tags]').value").await, "http.route=/");
    assert_eq!(browser.eval("document.querySelector('[name=errors]').checked").await, true);
    browser.fill("[name=tags]", "").await;
    browser.click("[name=errors]").await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    assert!(!browser.url().await.contains("tags"));
    browser.assert_clean().await;
}

#[tokio::test]
async fn two_results_of_two_searches_are_compared_at_jaegers_address() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    three(&backend).await;
    backend.send(vec![span(HOSTILE, 4, 1, None, &format!("\u{202e}{}", "W".repeat(10_000)), 1000, 0..3000)]).await;
    browser.goto(&backend.page("/search?sort=longest")).await;
    browser.until("document.querySelectorAll('.result').length === 4").await;
    assert_eq!(browser.eval("document.querySelector('#picked').hidden").await, true);
    browser.click(".result .pick").await;
    browser.until_text("#picked", HOSTILE).await;
    browser.until_text("#picked", "another one: tick it").await;
    assert_eq!(browser.eval("document.images.length + (window.hacked ?? 0)").await, 0);
    browser.assert_accessible().await;

    browser.goto(&backend.page("/search?sort=oldest")).await;
    browser.until("document.querySelectorAll('.pick:checked').length === 1").await;
    for key in ['j', 'j', 'x'] {
        browser.press(key).await;
    }
    let address = |one: u128, other: u128| format!("/trace/{one:032x}...{other:032x}");
    assert_eq!(browser.eval("document.querySelector('#picked a').getAttribute('href')").await, address(4, 2));
    // A third is instead of the first.
    browser.click(".result .pick").await;
    assert_eq!(browser.eval("document.querySelector('#picked a').getAttribute('href')").await, address(2, 1));
    assert_eq!(browser.count(".pick:checked").await, 2);
    browser.assert_accessible().await;
    browser.press('c').await;
    browser.until("location.pathname.includes('...')").await;
    assert_eq!(browser.eval("location.pathname").await, address(2, 1));
    browser.back().await;
    browser.until("document.querySelectorAll('.pick:checked').length === 2").await;
    for _ in 0..2 {
        browser.click("#picked .chip button").await;
    }
    browser.until("document.querySelector('#picked').hidden && document.querySelectorAll('.pick:checked').length === 0").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn keys_lead_through_the_results_and_to_the_form() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    three(&backend).await;
    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    let at = "document.activeElement.closest('.result')?.ariaPosInSet";
    for (key, place) in [('j', "1"), ('j', "2"), ('j', "3"), ('j', "3"), ('k', "2")] {
        browser.press(key).await;
        browser.until(&format!("{at} === '{place}'")).await;
    }
    browser.press(Key::Enter.into()).await;
    browser.find(".span").await;
    assert_eq!(browser.url().await, backend.trace(2));
    browser.back().await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    browser.press('l').await;
    browser.until("location.search.includes('sort=longest')").await;
    browser.until_text(".result", "900 ms").await;
    browser.press('/').await;
    browser.until("document.activeElement.name === 'service'").await;
    browser.click("[name=tags]").await;
    browser.press('n').await;
    assert_eq!(browser.eval("document.querySelector('[name=tags]').value").await, "n", "who types, types");
    assert!(browser.url().await.contains("sort=longest"));
    browser.assert_clean().await;
}

#[tokio::test]
async fn more_results_than_the_limit_are_counted_and_one_click_away() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let many = |ids: Range<u64>| ids.map(|id| span("shop", u128::from(id), 1, None, "order", 60_000 - 10 * id, 0..5)).collect();
    backend.send(many(1..131)).await;
    browser.goto(&backend.page("/search?sort=oldest")).await;
    browser.until_text("#status", "20 of 130 traces, oldest first.").await;
    assert_eq!(browser.count(".result").await, 20);
    browser.until("document.querySelectorAll('.point').length === 130").await;
    browser.click("#results > .more button:last-child").await;
    browser.until_text("#status", "130 traces, oldest first.").await;
    assert!(browser.url().await.contains("limit=130"));
    let at = "document.activeElement.closest('.result')?.ariaPosInSet";
    browser.until(&format!("{at} === '21'")).await;
    // Cards come as they are scrolled to, or walked to.
    assert!(browser.count(".result").await < 130);
    let last = "document.querySelector('.results').lastChild";
    let before = browser.eval(&format!("({last}.querySelector('a').focus(), Number({at}))")).await.as_u64().unwrap();
    browser.press('j').await;
    browser.until(&format!("{at} === '{}'", before + 1)).await;
    browser.until("scrollTo(0, document.body.scrollHeight) || document.querySelectorAll('.result').length === 130").await;
    assert_eq!(browser.eval("document.querySelector('.results').lastChild.ariaSetSize").await, "130");

    backend.send(many(131..1_200)).await;
    browser.goto(&backend.page("/search?limit=1000")).await;
    browser.until_text("#status", "1,000 of more than 1,000 traces").await;
    browser.click("#more button").await;
    browser.until_text("#status", "1,199 traces, newest first.").await;
    assert_eq!(browser.eval("document.querySelector('#more').childElementCount").await, 0);
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_backend_that_went_away_is_said_to_be_and_asked_again_on_request() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    three(&backend).await;
    browser.goto(&backend.page("/search")).await;
    browser.until("document.querySelectorAll('.result').length === 3").await;
    backend.stop().await;
    browser.click("#search .primary").await;
    browser.until_text(".notice.error", "The backend does not answer").await;
    assert_eq!(browser.text("#status").await, "The search failed.");
    assert_eq!(browser.eval("document.querySelector('#plot').hidden").await, true);
    browser.assert_accessible().await;
    browser.click(".notice button").await;
    browser.until("document.querySelector('.notice.error') && !document.querySelector('[aria-busy]')").await;
}

/// 900 ms, long ago; 20 ms, which failed; 50 ms.
async fn three(backend: &Backend) {
    let mut failed = chain(2, 5000, 20);
    failed[3].span["status"] = json!({"code": 2, "message": "it broke"});
    for spans in [chain(1, 9000, 900), failed, chain(3, 3000, 50)] {
        backend.send(spans).await;
    }
}

/// Where a point of the plot is on the screen; both numbers from 0 to 1, the second downwards.
async fn on_screen(browser: &Browser, (x, y): (f64, f64)) -> (f64, f64) {
    let box_ = browser.eval("document.querySelector('.scatter svg').getBoundingClientRect().toJSON()").await;
    let side = |name: &str| box_[name].as_f64().unwrap();
    // Within the axes.
    let (left, width) = (side("left") + 62.0, side("width") - 62.0 - 44.0);
    let (top, height) = (side("top") + 10.0, side("height") - 10.0 - 34.0);
    (left + x * width, top + y * height)
}

async fn pointer(browser: &Browser, what: &str, (x, y): (f64, f64), down: bool) {
    let button = if what == "mouseMoved" && !down { "none" } else { "left" };
    let event = json!({"type": what, "x": x, "y": y, "button": button, "buttons": i32::from(down), "clickCount": 1});
    browser.devtools("Input.dispatchMouseEvent", event).await;
}

async fn drag(browser: &Browser, from: (f64, f64), to: (f64, f64)) {
    let (from, to) = (on_screen(browser, from).await, on_screen(browser, to).await);
    pointer(browser, "mouseMoved", from, false).await;
    pointer(browser, "mousePressed", from, true).await;
    pointer(browser, "mouseMoved", ((from.0 + to.0) / 2.0, (from.1 + to.1) / 2.0), true).await;
    pointer(browser, "mouseMoved", to, true).await;
    pointer(browser, "mouseReleased", to, false).await;
}

async fn click(browser: &Browser, at: (f64, f64)) {
    let at = on_screen(browser, at).await;
    pointer(browser, "mouseMoved", at, false).await;
    pointer(browser, "mousePressed", at, true).await;
    pointer(browser, "mouseReleased", at, false).await;
}

/// A key together with Shift.
async fn chord(browser: &Browser, key: &str) {
    for what in ["keyDown", "keyUp"] {
        browser.devtools("Input.dispatchKeyEvent", json!({"type": what, "key": key, "modifiers": 8})).await;
    }
}
