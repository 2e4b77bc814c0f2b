//! The sandbox page in a real browser, served by the binary.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/browser.rs"]
mod browser;
#[path = "support/sandbox.rs"]
mod sandbox;

use browser::Browser;
use sandbox::Sandbox;
use serde_json::{Value, json};
use tracelab::server::{self, Stop};
use warp::Filter as _;

#[tokio::test]
async fn a_button_shows_its_path_and_links_to_its_trace_as_soon_as_it_is_there() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    open(&browser, &sandbox).await;
    assert_eq!(browser.count("#buttons [data-button]").await, 30);

    browser.click("#buttons [data-button='7']").await;
    browser.until_text("#last-calls li .path", "dummy-0-7 → dummy-1-7 → dummy-2-7").await;
    let link = browser.find("#last-calls .trace[data-state=ready] a").await.attr("href").await.unwrap().unwrap();
    assert!(link.starts_with(&sandbox.jaeger), "{link}");
    let trace_id = link.rsplit('/').next().unwrap().to_owned();
    browser.assert_clean().await;

    browser.goto(&link).await;
    browser.until("document.querySelectorAll('.span').length === 7").await;
    browser.assert_clean().await;

    // Calls of one page load share a client id and are counted.
    let spans = sandbox.spans(&trace_id, 7).await;
    let clients: Vec<_> = spans.iter().filter(|span| span.kind() == 2).map(|span| span.attribute("client").unwrap()).collect();
    assert!(clients.iter().all(|client| client.ends_with("-1") && *client == clients[0]), "{clients:?}");
}

#[tokio::test]
async fn a_run_shows_its_progress_and_ends_with_a_table_and_the_slowest_traces() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "1", "--mystery", "none"]);
    open(&browser, &sandbox).await;
    browser.fill("#run-calls", "600").await;
    browser.fill("#run-concurrency", "20").await;
    browser.click("#run-start").await;
    // Between nothing and all: seen on the way, not only at the end.
    browser.until("((bar) => bar.value > 0 && bar.value < bar.max)(document.querySelector('#run-bar'))").await;
    browser.until(DONE).await;
    assert_eq!(browser.count("#run-table tbody tr").await, 30);
    let calls = "[...document.querySelectorAll('#run-table tbody tr')].map((row) => Number(row.cells[1].textContent))";
    assert_eq!(browser.eval(&format!("{calls}.reduce((sum, calls) => sum + calls)")).await, json!(600));
    browser.until_text("#run-table tfoot th", "all").await;
    browser.until_text("#run-table tfoot td", "600").await;
    browser
        .until("document.querySelector('#run-histogram [role=application]').ariaLabel.startsWith('Latency. 600 calls; p50 is ')")
        .await;
    let link = browser.find("#run-slowest .trace[data-state=ready] a").await.attr("href").await.unwrap().unwrap();
    browser.assert_clean().await;
    browser.goto(&link).await;
    browser.until("document.querySelectorAll('.span').length === 7").await;
}

#[tokio::test]
async fn a_tier_that_is_chosen_goes_along_with_calls_and_runs_and_a_call_that_met_v2_says_so() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    open(&browser, &sandbox).await;
    let tiers = async |trace: &str| -> Vec<Option<String>> {
        let link = browser.find(&format!("{trace} .trace[data-state=ready] a")).await.attr("href").await.unwrap().unwrap();
        let spans = sandbox.spans(link.rsplit('/').next().unwrap(), 7).await;
        spans.iter().filter(|span| span.kind() == 2).map(|span| span.attribute("tier")).collect()
    };
    browser.click("#buttons [data-button='7']").await;
    assert_eq!(tiers("#last-calls [data-button='7']").await, [const { None }; 4], "nobody chose one");

    // By keyboard, as a reader of the label does.
    assert_eq!(
        browser.eval("document.querySelector('#tier').labels[0].innerText.startsWith('Tier of calls and runs')").await,
        true
    );
    browser.eval("(document.querySelector('#tier').focus(), 1)").await;
    browser.press('g').await;
    browser.until("document.querySelector('#tier').value === 'gold'").await;
    sandbox.patch("dummy-1-8".parse().unwrap()).await;
    browser.click("#buttons [data-button='8']").await;
    browser.until_text("#last-calls [data-button='8'] .tier", "tier gold").await;
    browser.until_text("#last-calls [data-button='8'] .message", "hello world (v2)").await;
    let gold = vec![Some("gold".to_owned()); 4];
    assert_eq!(tiers("#last-calls [data-button='8']").await, gold);
    browser.fill("#run-calls", "30").await;
    browser.click("#run-start").await;
    assert_eq!(tiers("#run-slowest li:first-child").await, gold);
    browser.emulate("dark", 360).await;
    browser.until("innerWidth === 360 && document.documentElement.scrollWidth <= 360").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_run_can_be_cancelled_and_reports_what_was_done() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--mystery", "none"]);
    open(&browser, &sandbox).await;
    browser.fill("#run-calls", "1000000").await;
    browser.click("#run-start").await;
    browser.until("document.querySelector('#run-bar').value > 0").await;
    browser.click("#run-cancel").await;
    browser.until("document.querySelector('#run').dataset.running !== 'true'").await;
    browser.until_text("#run-status", "Cut short: ").await;
    browser.until("document.querySelectorAll('#run-table tbody tr').length === 30").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_run_is_drawn_while_it_goes_on_and_nothing_moves_or_grows() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--mystery", "failure", "--seed", "3"]);
    open(&browser, &sandbox).await;
    browser.fill("#run-calls", "1000000").await;
    browser.click("#run-start").await;
    // All of it on the way: throughput, histogram, table, traces, and the buttons themselves.
    browser.until("document.querySelector('#run-trend path').getAttribute('d').length > 20").await;
    browser.until("document.querySelectorAll('#run-histogram .column').length > 3").await;
    browser.until("document.querySelectorAll('#run-table tbody tr').length === 30").await;
    browser.until("document.querySelectorAll('#buttons .sparkline').length === 30").await;
    browser.find("#run-slowest .trace[data-state=ready] a").await;
    // From here on, elements are counted, and what the browser says has moved without anybody touching the page.
    browser
        .eval(
            "(window.moved = [], new PerformanceObserver((list) => window.moved.push(...list.getEntries()
                .filter((entry) => !entry.hadRecentInput).flatMap(({ sources }) => sources.map(({ node }) => node?.id || node?.className))))
                .observe({ type: 'layout-shift' }), window.elements = document.querySelectorAll('#run-table *, #buttons :not(.unseen), #run-numbers *').length)",
        )
        .await;
    // The reader sorts, and the order stays while numbers run: the numbers of now, not those of the click.
    browser.click("#run-table th:nth-child(8) button").await;
    let told = browser.eval("Number(document.querySelector('#run-bar').value)").await;
    browser.until(&format!("Number(document.querySelector('#run-bar').value) > {told} + 200")).await;
    let sorted = "((values) => values.every((value, index) => index === 0 || value <= values[index - 1]))
        ([...document.querySelectorAll('#run-table tbody tr')].map((row) => Number(row.cells[7].textContent.replaceAll(',', ''))))";
    browser.until(sorted).await;
    assert_eq!(
        browser
            .eval("document.querySelectorAll('#run-table *, #buttons :not(.unseen), #run-numbers *').length - window.elements")
            .await,
        0
    );
    assert_eq!(browser.eval("window.moved").await, json!([]));
    // Beside the run the mystery stays in view: what it is about is there.
    browser.eval("(document.querySelector('#run-table').scrollIntoView(), 1)").await;
    browser.until("scrollY > 300 && ((box) => box.top >= 0 && box.bottom <= innerHeight)(document.querySelector('#mystery').getBoundingClientRect())").await;
    browser.press('x').await;
    browser.until_text("#run-status", "Cut short: ").await;
    browser.until(sorted).await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_run_of_somebody_else_is_said_and_can_be_cancelled() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--mystery", "none"]);
    open(&browser, &sandbox).await;
    let other =
        sandbox.client.post(format!("{}/api/runs", sandbox.frontend)).json(&json!({"calls": 1_000_000})).send().await.unwrap();
    assert_eq!(other.status(), 200);
    browser.click("#run-start").await;
    browser.until_text("#run-status[data-verdict=error]", "Another run is under way here").await;
    browser.click("#run-cancel").await;
    browser.until_text("#run-status", "The other run is cancelled.").await;
    assert!(other.text().await.unwrap().contains("\"cancelled\":true"));
    browser.fill("#run-calls", "30").await;
    browser.click("#run-start").await;
    browser.until(DONE).await;
}

#[tokio::test]
async fn a_number_that_is_typed_presses_its_button_unless_it_is_typed_into_a_field() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    open(&browser, &sandbox).await;
    // No other number begins with 7, and none goes on from 17; from 2 one might, so that it is pressed after a moment.
    let typed =
        "[...'7172'].forEach((key) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })))";
    browser.eval(&format!("({typed}, 1)")).await;
    browser.until("document.querySelectorAll('#last-calls li:not([data-state=pending])').length === 3").await;
    let pressed = "[...document.querySelectorAll('#last-calls li')].map((line) => Number(line.dataset.button))";
    assert_eq!(browser.eval(pressed).await, json!([2, 17, 7]));
    browser.fill("#run-calls", "25").await;
    browser.eval("(document.activeElement.blur(), 1)").await;
    browser.press('?').await;
    browser.until_text("dialog.keys", "0 … 29\npress the button of this number").await;
    browser.click("dialog.keys button").await;
    browser.press('r').await;
    browser.until(DONE).await;
    browser.until_text("#run-numbers", "25 of 25").await;
    assert_eq!(browser.eval(pressed).await, json!([2, 17, 7]), "digits in a field are digits");
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_call_is_shown_from_the_press_on_and_one_that_fails_leads_to_its_trace_as_well() {
    let Some(browser) = Browser::start().await else { return };
    // Nobody listens there.
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none", "--replace", "dummy-0-7=http://127.0.0.1:1"]);
    open(&browser, &sandbox).await;
    // A line comes with the press, in the same turn, before any answer can.
    let pressed =
        "(document.querySelector(\"#buttons [data-button='3']\").click(), document.querySelector('#last-calls li').innerText)";
    let line = browser.eval(pressed).await.as_str().unwrap().replace('\u{a0}', " ");
    assert!(line.contains("dummy-0-3 → layer 1 → layer 2") && line.contains("under way"), "{line}");
    browser.until_text("#last-calls [data-button='3'][data-state=done] .path", "dummy-0-3 → dummy-1-3 → dummy-2-3").await;
    browser.until_text("#buttons [data-button='3'][data-state=done] small", "ms").await;

    browser.click("#buttons [data-button='7']").await;
    browser
        .until("document.querySelector(\"#last-calls [data-button='7'][data-state=failed] .failed\")?.innerText.length > 5")
        .await;
    browser.until_text("#buttons [data-button='7'][data-state=failed]", "failed").await;
    browser.until_text("#last-said", "Button 7: failed: ").await;
    browser.fill("#run-calls", "60").await;
    browser.click("#run-start").await;
    browser.until(DONE).await;
    browser.until_text("#run-numbers [data-number=Errors]", "2 (3.3%)").await;
    let link = browser.find("#run-failed .trace[data-state=ready] a").await.attr("href").await.unwrap().unwrap();
    assert!(link.starts_with(&sandbox.jaeger), "{link}");
    let link = browser.find("#last-calls [data-button='7'] .trace[data-state=ready] a").await.attr("href").await.unwrap().unwrap();
    browser.goto(&link).await;
    browser.until("document.querySelectorAll('.span').length >= 2").await;
}

#[tokio::test]
async fn a_service_is_named_by_typing_its_number_with_a_thousand_of_them_too() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--layers", "2", "--width", "500"]);
    open(&browser, &sandbox).await;
    let offered = "[...document.querySelectorAll('#guess-service-names [role=option]')].map((option) => option.innerText)";
    let state = "((field) => [field.getAttribute('aria-expanded'), document.getElementById(field.getAttribute('aria-activedescendant'))?.innerText])
        (document.querySelector('#guess-service'))";
    let (down, up, enter, escape, tab) = ('\u{e015}', '\u{e013}', '\u{e007}', '\u{e00c}', '\u{e004}');
    browser.fill("#guess-service", "13").await;
    browser.until(&format!("{offered}.slice(0, 2).join() === 'dummy-0-13,dummy-1-13'")).await;
    browser.until_text(".offered p:not([hidden])", "more: type on").await;
    assert_eq!(browser.eval(state).await, json!(["true", null]));
    for key in [down, down, down, up] {
        browser.press(key).await;
    }
    assert_eq!(browser.eval(state).await, json!(["true", "dummy-1-13"]));
    browser.press(enter).await;
    assert_eq!(browser.eval("document.querySelector('#guess-service').value").await, "dummy-1-13");
    assert_eq!(browser.eval(state).await, json!(["false", null]));
    assert_eq!(browser.text("#verdict").await, "", "Enter took a name and sent nothing");

    // What may be several is asked back, and counts as no guess.
    browser.fill("#guess-service", "499").await;
    browser.press(escape).await;
    browser.press(enter).await;
    browser.until_text("#verdict[data-verdict=error]", "499 may be dummy-0-499, dummy-1-499: choose one.").await;
    // What can be one only, is that one.
    browser.fill("#guess-service", "1-499").await;
    browser.press(tab).await;
    assert_eq!(browser.eval("document.querySelector('#guess-service').value").await, "dummy-1-499");
    browser.fill("#guess-service", "<b>4</b>").await;
    browser.until("document.querySelector('#guess-service ~ .offered').hidden").await;
    browser.press(enter).await;
    browser.until_text("#verdict[data-verdict=error]", "<b>4</b>").await;
    assert_eq!(browser.text("#mine-guesses").await, "0");
    // By pointer: what is chosen stays chosen.
    browser.fill("#guess-service", "77").await;
    browser.click("#guess-service-names li:nth-child(2)").await;
    assert_eq!(browser.eval("document.querySelector('#guess-service').value").await, "dummy-1-77");

    // So many buttons are told of in the end; those of the run before are gone by then.
    for _ in 0..2 {
        browser.fill("#run-calls", "1000000").await;
        browser.click("#run-start").await;
        browser.until("document.querySelector('#run-later').checkVisibility()").await;
        assert_eq!(browser.count("#run-table tbody tr").await, 0);
        browser.click("#run-cancel").await;
        browser
            .until(
                "document.querySelectorAll('#run-table tbody tr').length === 500 && !document.querySelector('#run-start').disabled",
            )
            .await;
    }
}

#[tokio::test]
async fn the_mystery_says_whether_its_cause_is_known_and_what_the_team_needed() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--seed", "3", "--mystery", "random"]);
    open(&browser, &sandbox).await;
    browser.until_text("#mystery-known", "cause hidden").await;
    assert_eq!(browser.eval("document.querySelector('#guess-cause').value").await, "");
    browser.eval("document.querySelectorAll('details').forEach((details) => (details.open = true))").await;
    browser.select("#new-cause", "sleep").await;
    browser.click("#new-submit").await;
    browser.until_text("#mystery-known", "cause known: sleep").await;
    assert_eq!(browser.eval("document.querySelector('#guess-cause').value").await, "sleep");
    let culprit = spoilt(&sandbox, "service");
    browser.fill("#team", "owls").await;
    browser.click("#hint").await;
    browser.until_text("#mine-hints", "1").await;
    browser.fill("#guess-service", &culprit).await;
    browser.click("#guess-submit").await;
    browser.until_text("#outcome[data-verdict=right]", "Right").await;
    browser.until_text("#mine-guesses", "1").await;
    // The clock has stopped for this team.
    browser.until("document.querySelector('#mine-time').dataset.verdict === 'right'").await;
    browser.click("#again").await;
    assert_eq!(browser.eval("document.activeElement.id").await, "new-cause");
    browser.click("#new-submit").await;
    browser.until_text("#mystery-number", "3").await;
    browser.until_text("#mine-solved", "1").await;
    assert_eq!(browser.eval("document.querySelector('#outcome').dataset.verdict ?? ''").await, "");
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_frontend_that_goes_away_is_said_wherever_it_was_asked() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0"]);
    open(&browser, &sandbox).await;
    drop(sandbox);
    browser.until_text("#notice", "The frontend does not answer. Is it still running?").await;
    browser.click("#buttons [data-button='7']").await;
    browser.until_text("#last-calls [data-state=failed]", "The frontend does not answer").await;
    browser.click("#run-start").await;
    browser.until_text("#run-status[data-verdict=error]", "The frontend does not answer").await;
}

#[tokio::test]
async fn the_page_fits_a_phone_and_a_wall() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--route", "all", "--layers", "2", "--width", "12"]);
    open(&browser, &sandbox).await;
    browser.click("#buttons [data-button='7']").await;
    browser.until("document.querySelector('#last-calls [data-state=done]')").await;
    browser.fill("#run-calls", "24").await;
    browser.click("#run-start").await;
    browser.until(DONE).await;
    // The longest that a button says: of calls of which some failed, and of slow ones.
    let said = "[{ button: 7, latency_ms: 1, failed: 0.125 }, { button: 8, latency_ms: 1, failed: 1 }, { button: 9, latency_ms: 12300, failed: 0 }]";
    browser.eval(&format!("(import('/page/buttons.js').then(({{ measured }}) => measured({said})), 1)")).await;
    browser.until_text("#buttons [data-button='7'][data-state=failed]", "12.5%").await;
    browser.until_text("#buttons [data-button='9'] small", "12.3").await;
    for width in [360, 768, 1280, 1920, 2560] {
        browser.emulate("light", width).await;
        browser.until(&format!("innerWidth === {width} && document.documentElement.scrollWidth <= {width}")).await;
        // The drawing is as wide as its place, so that its texts can be read.
        browser.until("((drawing) => Math.abs(drawing.viewBox.baseVal.width - drawing.getBoundingClientRect().width) < 2)(document.querySelector('#run-histogram svg'))").await;
        browser.until(READABLE).await;
        browser
            .until("[...document.querySelectorAll('#buttons button')].every((button) => button.scrollWidth <= button.clientWidth)")
            .await;
    }
    let larger = browser.eval("parseFloat(getComputedStyle(document.documentElement).fontSize)").await.as_f64().unwrap();
    assert!(larger > 19.0, "who sits far away could not read {larger} px");
}

#[tokio::test]
async fn a_guess_is_graded_on_the_page_and_a_hint_helps() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--seed", "3"]);
    let culprit = spoilt(&sandbox, "service");
    let innocent = if culprit == "dummy-0-0" { "dummy-0-1" } else { "dummy-0-0" };
    open(&browser, &sandbox).await;
    browser.fill("#team", "<b>blue</b>").await;
    browser.fill("#guess-service", innocent).await;
    browser.click("#guess-submit").await;
    browser.find("#verdict[data-verdict=wrong]").await;
    browser.click("#hint").await;
    browser.find("#hints [data-hint]").await;
    browser.fill("#guess-service", &culprit).await;
    browser.click("#guess-submit").await;
    browser.find("#verdict[data-verdict=right]").await;
    browser.until_text("#score", "<b>blue</b>").await;
    assert_eq!(browser.count("#score b").await, 0, "a team's name is text");
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_guess_at_a_pair_names_caller_and_callee_and_is_explained() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "network", "--route", "random", "--seed", "3"]);
    let (caller, callee) = (spoilt(&sandbox, "service"), spoilt(&sandbox, "callee"));
    open(&browser, &sandbox).await;
    browser.until_text("#mystery-cause", "one fault, network: delay between two services, inside neither.").await;
    browser.until_text("#guess [data-field=service]", "Caller").await;
    browser.until("document.querySelector('#guess [data-field=customer]').hidden").await;
    // Numbers are enough, and the other way round is only half of it.
    browser.fill("#guess-service", callee.strip_prefix("dummy-").unwrap()).await;
    browser.fill("#guess-callee", caller.strip_prefix("dummy-").unwrap()).await;
    // Enter sends, with the names that were meant.
    browser.press('\u{e007}').await;
    browser.until_text("#verdict[data-verdict=half]", "the call goes the other way").await;
    browser.until("document.querySelector('#explanation').hidden").await;
    for _ in 0..3 {
        browser.click("#hint").await;
    }
    browser.until_text("#hints [data-hint='3']", &format!("{caller} → {callee}")).await;
    browser.fill("#guess-service", &caller).await;
    browser.fill("#guess-callee", &callee).await;
    browser.click("#guess-submit").await;
    browser.until_text("#verdict[data-verdict=right]", "2 guesses").await;
    browser.until_text("#explanation", &format!("passed between {caller} and {callee}")).await;
    browser.eval("document.querySelectorAll('details').forEach((details) => (details.open = true))").await;
    browser.click("#reveal").await;
    browser.until_text("#revealed", &format!("cause network, caller {caller}, callee {callee} (seed 3)")).await;
    browser.until_text("#revealed-explanation", "In the real world").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_guess_at_a_customer_chooses_among_them_and_calls_say_whose_they_are() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "customer", "--seed", "3"]);
    let (service, customer) = (spoilt(&sandbox, "service"), spoilt(&sandbox, "customer"));
    open(&browser, &sandbox).await;
    browser.until_text("#guess [data-field=service]", "Service").await;
    browser.fill("#guess-customer", "8").await;
    browser.until_text("#guess-customer-names", "customer-8").await;
    browser.fill("#guess-customer", "").await;
    browser.click("#buttons [data-button='7']").await;
    browser.until_text("#last-calls .customer", "customer-").await;
    browser.fill("#guess-service", &service).await;
    browser.click("#guess-submit").await;
    browser.until_text("#verdict[data-verdict=half]", "name the customer as well").await;
    browser.fill("#guess-customer", &customer).await;
    browser.click("#guess-submit").await;
    browser.find("#verdict[data-verdict=right]").await;
    browser.until_text("#explanation", &format!("For {customer}")).await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn the_next_mystery_is_chosen_by_what_it_is_and_one_that_cannot_be_had_says_why() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0"]);
    open(&browser, &sandbox).await;
    browser.eval("document.querySelectorAll('details').forEach((details) => (details.open = true))").await;
    browser.until_text("#new-cause [value=failure]", "failure: one service answers 500 on a share of its requests").await;
    assert_eq!(browser.eval("document.querySelector('#new-cause [value=upstream]').disabled").await, true);
    browser.until_text("#impossible [data-pick=upstream]", "use --route random or --route all").await;
    browser.select("#new-cause", "failure").await;
    browser.click("#new-submit").await;
    browser.until_text("#mystery-cause", "one fault, failure").await;
    browser.assert_clean().await;
    // What the page does not offer, the frontend refuses, and the page says so in place.
    browser.eval("(document.querySelector('#new-cause [value=upstream]').disabled = false, 1)").await;
    browser.select("#new-cause", "upstream").await;
    browser.click("#new-submit").await;
    browser.until_text("#begun[data-verdict=error]", "a mystery of cause upstream needs several ways").await;
    assert_eq!(browser.text("#mystery-number").await, "2");
}

#[tokio::test]
async fn a_new_mystery_takes_a_seed_as_it_is_and_clears_what_was_said_of_the_one_before() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    open(&browser, &sandbox).await;
    browser.until_text("#mystery-cause", "Nothing is wrong here.").await;
    browser.until("/^\\d+:\\d\\d$/.test(document.querySelector('#mine-time').innerText.replace('0:00', ''))").await;
    browser.eval("document.querySelectorAll('details').forEach((details) => (details.open = true))").await;
    browser.fill("#redeploy-service", "dummy-1-17").await;
    browser.click("#redeploy-submit").await;
    browser.until_text("#redeployed", "dummy-1-17 is v2 now.").await;

    // The largest one that a browser can tell from its neighbours.
    browser.fill("#new-seed", "9007199254740991").await;
    browser.click("#new-submit").await;
    browser.until_text("#mystery-number", "2").await;
    assert_eq!(browser.text("#redeployed").await, "", "all services are back at v1");
    browser.click("#reveal").await;
    browser.until_text("#revealed", "(seed 9007199254740991)").await;
    let score = sandbox.get("/api/score").await;
    assert_eq!(score["teams"][0]["team"], "everybody", "the page gives up for its own team");
    browser.assert_clean().await;

    browser.fill("#new-seed", "9007199254740993").await;
    browser.click("#new-submit").await;
    browser.until_text("#begun", "it must be a whole number between 0 and 9007199254740991").await;
}

#[tokio::test]
async fn an_answer_that_was_overtaken_by_a_later_one_changes_nothing() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    open(&browser, &sandbox).await;
    // The next answer about the score is kept back, as a slow network would.
    let held = "(window.reach = window.fetch, window.fetch = async (path, init) => {
            const answer = await window.reach(path, init);
            if (path !== '/api/score' || window.release) return answer;
            const score = await answer.json();
            answer.json = async () => { setTimeout(() => (window.late = true)); return score; };
            return new Promise((resolve) => (window.release = () => resolve(answer)));
        }, document.querySelector('#team').dispatchEvent(new Event('change')), 1)";
    browser.eval(held).await;
    browser.until("window.release").await;
    browser.eval("document.querySelectorAll('details').forEach((details) => (details.open = true))").await;
    browser.click("#new-submit").await;
    browser.until_text("#mystery-number", "2").await;
    browser.eval("(window.release(), 1)").await;
    browser.until("window.late").await;
    assert_eq!(browser.text("#mystery-number").await, "2");
    assert_eq!(browser.text("#verdict").await, "Mystery 2 has begun.");
    browser.assert_clean().await;
}

#[tokio::test]
async fn no_other_page_in_the_browser_can_play() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    let mystery = format!("{}/api/mystery", sandbox.frontend);
    // A page without any policy: nothing but the server can refuse what it sends. No body is as good as an empty object.
    let form = format!("<form method=post enctype=text/plain action={mystery}></form>");
    let page = warp::any().map(move || warp::reply::html(format!("<!doctype html><title>another page</title>{form}")));
    let listener = server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(server::serve(listener, page, Stop::new()));

    // The same site with another port, and another site.
    for host in ["127.0.0.1", "localhost"] {
        let other = format!("http://{host}:{port}/");
        browser.goto(&other).await;
        // A "simple" request needs no preflight. That its promise is kept, if with an answer that the page cannot read, says
        // that the server has answered: what never reached it would be an error.
        let fetch = format!("fetch({}, {{method: 'POST', mode: 'no-cors', body: '{{}}'}})", json!(mystery));
        let told = "(answer) => (window.told = answer.type), (error) => (window.told = String(error))";
        browser.eval(&format!("(window.told = null, {fetch}.then({told}), 1)")).await;
        browser.until("window.told").await;
        assert_eq!(browser.eval("window.told").await, "opaque", "from {other}");

        // A form shows what the server answers.
        browser.eval("(document.forms[0].submit(), 1)").await;
        browser.until_text("body", "only the sandbox's own page may play").await;
        assert_eq!(browser.url().await, mystery);
        assert_eq!(sandbox.get("/api/score").await["mystery"], json!(1), "the mystery is still the first one");
    }
}

#[tokio::test]
async fn the_page_and_the_instructors_can_be_used_by_everybody() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--seed", "3", "--instructor-token", "a-long-enough-token"]);
    open(&browser, &sandbox).await;
    browser.assert_accessible().await;
    browser.eval("document.querySelectorAll('details').forEach((details) => (details.open = true))").await;
    browser.click("#buttons [data-button='7']").await;
    browser.find("#last-calls .trace[data-state=ready] a").await;
    browser.fill("#guess-service", "dummy-0-0").await;
    browser.click("#guess-submit").await;
    browser.find("#verdict[data-verdict]:not(:empty)").await;
    browser.click("#hint").await;
    browser.find("#hints [data-hint]").await;
    browser.fill("#run-calls", "60").await;
    browser.click("#run-start").await;
    browser.find("#run-slowest .trace[data-state=ready] a").await;
    browser.fill("#guess-service", "13").await;
    browser.until("document.querySelector('#guess-service-names').checkVisibility()").await;
    browser.press('\u{e015}').await;
    browser.assert_accessible().await;

    browser.goto(&format!("{}/instructor", sandbox.frontend)).await;
    browser.find("body[data-ready]").await;
    browser.assert_accessible().await;
    browser.fill("#token", "a-long-enough-token").await;
    browser.click("#enter-submit").await;
    browser.until("document.querySelector('#plan').checkVisibility()").await;
    browser.assert_accessible().await;
    browser.click("#start").await;
    browser.until("document.querySelector('#now').checkVisibility()").await;
    browser.eval("document.querySelectorAll('details').forEach((details) => (details.open = true))").await;
    browser.assert_accessible().await;
}

/// That a run has reported.
const DONE: &str = "document.querySelector('#run-status[data-verdict=right]')";

/// That no number of the run's axis of latencies runs into the next.
const READABLE: &str = "((boxes) => boxes.length > 1 && boxes.every((box, index) => index === 0 || box.left > boxes[index - 1].right))
    ([...document.querySelectorAll('#run-histogram .axis:last-child text:not(.label)')].map((text) => text.getBoundingClientRect()))";

/// A part of the answer, told to a team that then is out of it; another one plays.
fn spoilt(sandbox: &Sandbox, part: &str) -> String {
    let answer = sandbox::stdout(&sandbox.run(&["reveal", "--team", "spoilt", "--json"]));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer[part].as_str().unwrap().to_owned()
}

async fn open(browser: &Browser, sandbox: &Sandbox) {
    browser.goto(&sandbox.frontend).await;
    browser.find("body[data-ready]").await;
}

#[tokio::test]
async fn the_map_shows_what_was_measured_where_the_services_stood_before() {
    let Some(browser) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    open(&browser, &sandbox).await;
    browser.eval("(document.querySelector('#map').scrollIntoView(), 1)").await;
    browser.until_text("#map-status", "Nothing is measured yet").await;
    assert_eq!(browser.count("#map .node.silent").await, 91);
    assert_eq!(browser.count("#map .edge").await, 0);
    let below = "document.querySelector('#mystery').getBoundingClientRect().bottom <= document.querySelector('#map').getBoundingClientRect().top";
    browser.until(below).await;
    let places = "[...document.querySelectorAll('#map .node')].map((node) => node.getAttribute('transform')).join()";
    let before = browser.eval(places).await;

    // Without the page's help: nothing tells it but the traces.
    sandbox.press(7).await;
    browser.until_text("#map-status", "From the one trace").await;
    browser.until("document.querySelectorAll('#map .edges:first-child .edge').length === 3").await;
    browser.until_text("#map .hottest", "frontend → dummy-0-7").await;
    assert_eq!(browser.count("#map .node:not(.silent)").await, 4);
    assert_eq!(browser.eval(places).await, before, "nothing moves");

    browser.press('m').await;
    for letter in "1-7".chars() {
        browser.press(letter).await;
    }
    browser.press('\u{e007}').await;
    browser.until_text("#map .network-panel", "Called by 1 service").await;
    browser.until("document.querySelectorAll('#map .near .edge').length === 2").await;
    let leads = browser.find("#map .leads a").await.attr("href").await.unwrap().unwrap();
    assert!(leads.starts_with(&format!("{}/search?service=dummy-1-7", sandbox.jaeger)), "{leads}");
    // What was picked stays so while the map is read again.
    sandbox.press(8).await;
    browser.until_text("#map-status", "From the 2 newest traces").await;
    assert_eq!(browser.text("#map .network-panel h3").await, "dummy-1-7");
    browser.assert_accessible().await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_map_without_a_trace_backend_says_so_and_still_names_the_services() {
    let Some(browser) = Browser::start().await else { return };
    let nowhere = "http://127.0.0.1:9";
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none", "--jaeger", nowhere, "--otlp", nowhere]);
    open(&browser, &sandbox).await;
    browser.eval("(document.querySelector('#map').scrollIntoView(), 1)").await;
    browser.until_text("#map-status[data-verdict=error]", "The trace backend does not answer").await;
    assert_eq!(browser.count("#map .node").await, 91);
    browser.assert_accessible().await;
}
