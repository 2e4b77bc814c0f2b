//! Suspects: what `diagnose` says, as a page.

use super::*;

/// Traces `from..to` of a shop whose cart is slow for one of ten customers, seconds ago.
fn shop(from: u64, to: u64, age_ms: u64) -> Vec<Sent> {
    (from..to)
        .flat_map(|number| {
            let (trace, customer) = (u128::from(number), number % 10);
            let slow = if customer == 7 { 400 } else { 0 };
            let varied = number % 5;
            let ago = age_ms + (to - number) * 10;
            [
                span("shop", trace, 1, None, "GET /", ago, 0..30 + varied + slow).kind(2),
                span("shop", trace, 2, Some(1), "GET", ago, 2..25 + varied + slow).kind(3),
                span("cart", trace, 3, Some(2), "GET /cart", ago, 3..24 + varied + slow)
                    .kind(2)
                    .tag("customer.id", &format!("customer-{customer}")),
            ]
        })
        .collect()
}

#[tokio::test]
async fn the_page_says_of_suspects_just_what_diagnose_says() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(shop(1, 301, 1000)).await;
    let said = backend.json("/api/tracelab/suspects").await;
    browser.goto(&backend.page("/suspects")).await;
    browser.until_text("#verdict", said["page"]["title"].as_str().unwrap()).await;
    let shown = browser.text(".suspect").await.replace('\u{a0}', " ");
    let suspect = &said["suspects"][0];
    let texts =
        |values: &Value| values.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut words = texts(&suspect["evidence"]);
    words.extend(texts(&suspect["examples"]));
    words.extend(
        ["cart, customer.id=customer-7", "customer", "slow or failing for this customer", "concerns 30 traces"].map(str::to_owned),
    );
    words.push(format!("{} % sure", said["page"]["suspects"][0]["sure"]));
    for part in words {
        assert!(shown.contains(&part), "{part:?} is not in {shown}");
    }
    browser.until_text("#status", "300 traces with 900 spans of 2 services looked at.").await;
    // Beside that, what it looks like: the traces by duration, those concerned apart, and both flame graphs.
    assert!(browser.count(".latency .column-part, .histogram .column-part").await > 0);
    browser.until_text(".paths", "30 traces: ").await;
    browser.click(".choices button").await;
    browser.until_text(".paths", "300 traces: ").await;
    assert_eq!(browser.count(".flame .frame").await, 3);

    browser.click(".examples a").await;
    browser.find(".span").await;
    browser.back().await;
    browser.click(".examples a:nth-of-type(2)").await;
    browser.until_text(".found", "cart GET /cart was busy itself").await;
    browser.back().await;
    browser.click(".suspect .more a").await;
    browser.until("document.querySelectorAll('.result').length === 20").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_address_says_which_traces_are_looked_at() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(shop(1, 101, 1000)).await;
    backend.send(shop(101, 151, 7_200_000)).await;
    browser.goto(&backend.page("/suspects")).await;
    browser.until_text("#status", "100 traces").await;
    browser.select("[name=lookback]", "all").await;
    browser.until_text("#status", "150 traces").await;
    assert!(browser.url().await.ends_with("/suspects?lookback=all"));
    browser.back().await;
    browser.until_text("#status", "100 traces").await;

    let microseconds = |age_ms| nanos(age_ms, 0)[..16].to_owned();
    let address = format!("/suspects?service=cart&start={}&end={}", microseconds(7_300_000), microseconds(7_100_000));
    browser.goto(&backend.page(&address)).await;
    browser.until_text("#status", "50 traces").await;
    assert_eq!(
        browser.eval("[...document.querySelectorAll('#asked select')].map(({ value }) => value)").await,
        json!(["cart", "custom"])
    );

    browser.goto(&backend.page("/suspects?service=nobody")).await;
    browser.until_text(".notice", "No stored trace is from this time and service").await;
    browser.click(".notice button").await;
    browser.until_text("#status", "150 traces").await;

    browser.goto(&backend.page(&format!("/suspects?start={}&end={}", microseconds(1000), microseconds(2000)))).await;
    browser.until_text("#times-error", "The first must be before the second").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn where_nothing_stands_out_it_says_what_was_looked_at_and_what_to_do() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    browser.goto(&backend.page("/suspects?lookback=all")).await;
    browser.until_text(".notice", "Nothing is stored yet").await;
    browser.assert_accessible().await;
    for id in 1..=5 {
        backend.send(chain(id, 1000, 20)).await;
    }
    browser.press('r').await;
    browser.until_text("#verdict", "Nothing stands out").await;
    let said = backend.json("/api/tracelab/suspects").await;
    browser.until_text(".verdict", said["page"]["looked_at"].as_str().unwrap()).await;
    browser.until_text(".notice", "5 traces are too few to compare; some dozens say more").await;
    assert_eq!(browser.count(".suspect").await, 0);
    browser.until_text(".paths", "5 traces: 20 ms each on average").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_backend_that_is_away_is_asked_again_and_wrong_times_are_not_asked_for() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    backend.send(chain(1, 1000, 20)).await;
    browser.lose("*/api/*").await;
    // A moment, which search may have in its address, is no time to compare traces of.
    browser.goto(&backend.page("/suspects?at=5")).await;
    browser.until_text(".notice", "The backend does not answer").await;
    browser.lose("nothing").await;
    browser.click(".notice button").await;
    browser.until_text("#status", "1 trace with 4 spans").await;
    browser.until_text(".paths", "1 trace: 20 ms").await;
    // To skip to the content is no other question: what is there stays.
    browser.eval("(document.querySelector('#verdict').dataset.stays = 'yes', document.querySelector('.skip').click())").await;
    browser.until("location.hash === '#main' && document.querySelector('#verdict').dataset.stays === 'yes'").await;
    browser.select("[name=lookback]", "all").await;
    browser.until("location.search === '?lookback=all' && !document.querySelector('[data-stays]')").await;

    browser.select("[name=lookback]", "custom").await;
    browser.eval("document.forms.asked.elements.from.value = ''").await;
    browser.click("#asked button").await;
    browser.until_text("#times-error", "Both times are needed").await;
    // Gone back to, the address before is what counts.
    browser.back().await;
    browser
        .until("document.querySelector('#times-error').textContent === '' && document.querySelector('#custom-times').hidden")
        .await;
}

#[tokio::test]
async fn a_suspect_with_a_hostile_name_is_text_that_fits_a_phone() {
    let Some(browser) = Browser::start().await else { return };
    let backend = Backend::start().await;
    let long = format!("{HOSTILE}\u{202e}{}", "W".repeat(10_000));
    let mut spans = shop(1, 201, 1000);
    for sent in spans.iter_mut().filter(|sent| sent.service == "cart") {
        sent.service.clone_from(&long);
    }
    backend.send(spans).await;
    browser.emulate("dark", 360).await;
    browser.goto(&backend.page("/suspects")).await;
    browser.until_text(".suspect h3", HOSTILE).await;
    let beyond = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth").await;
    assert_eq!(beyond, 0, "the page is wider than the screen");
    assert_eq!(browser.eval("[window.hacked ?? null, document.querySelectorAll('main img').length]").await, json!([null, 0]));
    browser.emulate("light", 1280).await;
    browser.assert_accessible().await;
    // From suspect to suspect by keys.
    browser.press('j').await;
    browser.until("document.activeElement.classList.contains('suspect')").await;
    browser.assert_clean().await;
}
