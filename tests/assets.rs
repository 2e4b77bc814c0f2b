//! What both servers' pages share, in a real browser: modules of `assets/common/` in a page of nothing else.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/browser.rs"]
mod browser;

use std::collections::HashSet;
use std::path::Path;

use browser::Browser;
use fantoccini::key::Key;
use serde_json::{Value, json};
use tracelab::assets;
use tracelab::server::{self, Stop};
use warp::http::{HeaderMap, StatusCode};
use warp::path::FullPath;
use warp::{Filter as _, Reply as _};

const HOSTILE: &str = "<img src=x onerror=\"window.hacked=1\">";

const PAGE: &str = "<!doctype html><html lang=en><title>A page</title><link rel=stylesheet href=/assets/common/tokens.css>\
           <main><h1>A page</h1><div id=place></div></main></html>";

/// Of both servers: what is in a page's files for nobody would be there for ever.
#[test]
fn every_class_property_and_export_of_the_pages_has_a_use() {
    let of = |folders: &[&str], endings: &[&str]| {
        let mut files = Vec::new();
        folders.iter().for_each(|folder| read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), endings, &mut files));
        files
    };
    let folders = ["src/assets/common", "src/backend/pages", "src/frontend/page"];
    let (sheets, scripts) = (of(&folders, &["css"]), of(&folders, &["js"]));
    let (documents, tests) = (of(&folders, &["html"]), of(&["tests"], &["rs"]));
    assert!(sheets.len() > 5 && scripts.len() > 30 && documents.len() == 7, "they are looked for where they are");

    let sheet: String = sheets.iter().map(|(_, text)| without(text, "/*", "*/")).collect();
    let named: HashSet<&str> = scripts.iter().chain(&documents).flat_map(|(_, text)| words(text)).collect();
    // A script may write a class's number behind its name.
    let is_named =
        |name: &str| named.contains(name) || named.contains(name.trim_end_matches(|letter: char| letter.is_ascii_digit()));
    for selectors in without(&sheet, "{", "}").split_whitespace() {
        for class in selectors.split('.').skip(1).filter_map(|text| words(text).next()) {
            assert!(class.starts_with(|letter: char| letter.is_ascii_digit()) || is_named(class), "nothing is .{class}");
        }
    }

    let (set, used): (HashSet<&str>, HashSet<&str>) = {
        let after = |mark: &'static str| sheet.split(mark).skip(1).filter_map(|text| words(text).next());
        let set = sheet.split(':').filter_map(|text| words(text).last()).filter(|name| name.starts_with("--"));
        (set.collect(), after("var(").collect())
    };
    for property in &set {
        assert!(used.contains(property) || named.contains(property), "nothing uses {property}");
    }
    for property in &used {
        assert!(set.contains(property) || named.contains(property), "nothing sets {property}");
    }

    let everywhere: Vec<HashSet<&str>> = scripts.iter().chain(&tests).map(|(_, text)| words(text).collect()).collect();
    for (index, (path, text)) in scripts.iter().enumerate() {
        for exported in text.split("\nexport ").skip(1) {
            let kinds = ["async", "function", "const", "let", "class"];
            let name = words(exported).find(|word| !kinds.contains(word)).unwrap();
            let mut others = everywhere.iter().enumerate().filter(|(other, _)| *other != index);
            assert!(others.any(|(_, words)| words.contains(name)), "nobody imports {name} of {path}");
        }
    }
}

fn read(folder: &Path, endings: &[&str], into: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, endings, into);
        } else if path.extension().is_some_and(|ending| endings.iter().any(|known| *known == ending)) {
            into.push((path.display().to_string(), std::fs::read_to_string(path).unwrap()));
        }
    }
}

/// What is outside of the innermost pairs of these marks.
fn without(text: &str, from: &str, to: &str) -> String {
    let mut left = String::new();
    for part in text.split(to) {
        left.push_str(part.rsplit_once(from).map_or(part, |(before, _)| before));
        left.push(' ');
    }
    left
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-' && letter != '_').filter(|word| !word.is_empty())
}

#[tokio::test]
async fn a_service_has_one_colour_and_ninety_have_many() {
    let Some(browser) = open().await else { return };
    load(&browser, "hues.js").await;
    assert_eq!(browser.eval("page.hue('dummy-1-17') === page.hue('dummy-1-17')").await, true);
    let names = "Array.from({length: 90}, (_, at) => `dummy-${at % 3}-${Math.floor(at / 3)}`)";
    let hues = browser.eval(&format!("{names}.map(page.hue)")).await;
    let hues: Vec<u64> = serde_json::from_value(hues).unwrap();
    assert!(hues.iter().all(|hue| *hue < 360));
    // All of the wheel: a twelfth of it that nobody has would be a wrong mixture, not chance.
    for part in 0..12 {
        assert!(hues.iter().any(|hue| hue / 30 == part), "{part}: {hues:?}");
    }
    browser.assert_clean().await;
}

#[tokio::test]
async fn keys_do_what_they_say_except_while_somebody_types() {
    let Some(browser) = open().await else { return };
    load(&browser, "keys.js").await;
    browser
        .eval("(window.done = [], page.register({keys: 'j', what: 'the next one', run: () => done.push('j')}, {keys: 'g s', what: 'search', run: () => done.push('g s')}), 1)")
        .await;
    for key in ['j', 'g', 's'] {
        browser.press(key).await;
    }
    assert_eq!(browser.eval("done").await, json!(["j", "g s"]));
    browser.eval("(place.append(document.createElement('input')), place.lastChild.focus(), 1)").await;
    browser.press('j').await;
    browser.press('?').await;
    assert_eq!(
        browser.eval("[place.lastChild.value, done.length, document.querySelectorAll('dialog').length]").await,
        json!(["j?", 2, 0])
    );

    browser.eval("(place.replaceChildren(), 1)").await;
    browser.press('?').await;
    for what in ["the next one", "g then s", "show these keys"] {
        browser.until_text("dialog[open]", what).await;
    }
    browser.assert_accessible().await;
    browser.press('j').await;
    assert_eq!(browser.eval("done.length").await, 2, "not below the list");
    browser.press(Key::Enter.into()).await;
    browser.until("!document.querySelector('dialog')").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_table_sorts_by_its_headings_and_says_so() {
    let Some(browser) = open().await else { return };
    load(&browser, "table.js").await;
    let rows = json!([{"name": "dummy-0-10", "calls": 5}, {"name": "dummy-0-9", "calls": 50}, {"name": HOSTILE}]);
    let columns =
        "[{title: 'Service', header: true, value: (row) => row.name}, {title: 'Calls', number: true, value: (row) => row.calls}]";
    browser.eval(&format!("(place.append(page.table({{caption: 'Calls', columns: {columns}, rows: {rows}, sort: 1}})), 1)")).await;
    let shown = "[...document.querySelectorAll('tbody tr')].map((row) => row.cells[0].textContent)";
    assert_eq!(browser.eval(shown).await, json!(["dummy-0-9", "dummy-0-10", HOSTILE]), "what is missing comes last");
    assert_eq!(sorts(&browser).await, json!(["none", "descending"]));
    browser.click("th button").await;
    assert_eq!(browser.eval(shown).await, json!([HOSTILE, "dummy-0-9", "dummy-0-10"]), "numbers in names count");
    assert_eq!(sorts(&browser).await, json!(["ascending", "none"]));
    browser.press(Key::Enter.into()).await;
    assert_eq!(sorts(&browser).await, json!(["descending", "none"]));
    assert_eq!(browser.eval("document.images.length + (window.hacked ?? 0)").await, 0);
    browser.assert_accessible().await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_table_whose_numbers_run_keeps_its_rows_and_the_order_that_its_reader_chose() {
    let Some(browser) = open().await else { return };
    load(&browser, "table.js").await;
    let columns =
        "[{title: 'Service', header: true, value: (row) => row.name}, {title: 'Calls', number: true, value: (row) => row.calls}]";
    let running = format!("page.sortable({{columns: {columns}, rows: [], sort: 1, key: (row) => row.name}})");
    browser.eval(&format!("(window.running = {running}, place.append(running.element), 1)")).await;
    let show = async |rows: Value| {
        browser.eval(&format!("(running.show({rows}), 1)")).await;
        browser.eval("[...document.querySelectorAll('tbody tr')].map((row) => row.innerText.split('\\t').join(' '))").await
    };
    let first = show(json!([{"name": "a", "calls": 1}, {"name": "b", "calls": 2}])).await;
    assert_eq!(first, json!(["b 2", "a 1"]));
    browser.eval("(window.row = document.querySelector('tbody tr'), 1)").await;
    let next = show(json!([{"name": "a", "calls": 30}, {"name": "b", "calls": 4}, {"name": "c", "calls": 5}])).await;
    assert_eq!(next, json!(["a 30", "c 5", "b 4"]));
    assert_eq!(
        browser.eval("window.row === document.querySelectorAll('tbody tr')[2]").await,
        true,
        "the row of b is the one it was"
    );
    assert_eq!(show(json!([{"name": "b", "calls": 6}])).await, json!(["b 6"]), "who is gone is gone");
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_combobox_finds_names_by_their_numbers_and_shows_them_as_text() {
    let Some(browser) = open().await else { return };
    load(&browser, "combobox.js").await;
    let names = json!(["dummy-0-1", "dummy-0-13", "dummy-1-13", "dummy-13-2", "dummy-0-130", HOSTILE]);
    for (typed, fitting, meant) in [
        ("13", json!(["dummy-0-13", "dummy-1-13", "dummy-13-2", "dummy-0-130"]), Value::Null),
        (" 1-13 ", json!(["dummy-1-13"]), json!("dummy-1-13")),
        ("DUMMY-0-1", json!(["dummy-0-1", "dummy-0-13", "dummy-0-130"]), json!("dummy-0-1")),
        ("130", json!(["dummy-0-130"]), json!("dummy-0-130")),
        ("nobody", json!([]), Value::Null),
        ("", names.clone(), Value::Null),
    ] {
        let found = browser.eval(&format!("[page.fitting({names}, {0}), page.meant({names}, {0})]", json!(typed))).await;
        assert_eq!(found, json!([fitting, meant]), "{typed:?}");
    }
    let field = "Object.assign(document.createElement('input'), {id: 'field', ariaLabel: 'Service'})";
    browser
        .eval(&format!(
            "(place.append({field}), page.combobox(document.querySelector('#field'), {{names: () => {names}, what: 'service'}}), 1)"
        ))
        .await;
    browser.click("#field").await;
    browser.until("document.querySelectorAll('[role=option]').length === 6").await;
    browser.press(Key::Up.into()).await;
    assert_eq!(browser.eval("document.querySelector('[aria-selected=true]').textContent").await, HOSTILE);
    browser.assert_accessible().await;
    browser.press(Key::Enter.into()).await;
    assert_eq!(
        browser.eval("[document.querySelector('#field').value, document.images.length + (window.hacked ?? 0)]").await,
        json!([HOSTILE, 0])
    );
    browser.assert_clean().await;
}

#[tokio::test]
async fn scales_say_where_a_value_is_and_choose_round_ones() {
    let Some(browser) = open().await else { return };
    load(&browser, "chart/scale.js").await;
    for (expression, expected) in [
        ("page.linear([0, 10], [0, 100])(2.5)", json!(25)),
        ("page.linear([0, 10], [100, 0]).invert(75)", json!(2.5)),
        ("page.linear([0, 1], [0, 1]).ticks(5)", json!([0, 0.2, 0.4, 0.6, 0.8, 1])),
        ("page.linear([3, 3], [0, 100])(3)", json!(50)),
        ("page.linear([3, 3], [0, 100]).ticks()", json!([3])),
        ("page.log([1, 1000], [0, 90])(100)", json!(60)),
        ("page.log([1, 1000], [0, 90])(0)", json!(0)),
        ("page.log([1, 10], [0, 1]).ticks()", json!([1, 2, 5, 10])),
        ("page.log([120, 180], [0, 1]).ticks()", json!([120, 140, 160, 180])),
        ("page.time([500, 10_500], [0, 1]).ticks(5)", json!([2000, 4000, 6000, 8000, 10_000])),
        ("page.time([0, 40], [0, 1]).ticks(4)", json!([0, 10, 20, 30, 40])),
        ("page.time([7, 7], [0, 1]).ticks()", json!([7])),
        ("page.time([4000, 9500], [0, 1]).ticks(2)", json!([4000, 9500])),
        ("page.log([1, 1e6], [0, 1]).ticks(4)", json!([1, 10, 100, 1000, 10000, 100_000, 1_000_000])),
    ] {
        assert_eq!(browser.eval(&format!("JSON.stringify({expression})")).await, expected.to_string(), "{expression}");
    }
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_histogram_shows_its_buckets_and_marks_and_tells_each_by_key() {
    let Some(browser) = open().await else { return };
    load(&browser, "chart/histogram.js").await;
    let chart = json!({"title": "Latency", "buckets": [[1, 2], [10, 30], [100, 1]], "marks": [{"at": 5, "name": HOSTILE}]});
    browser.eval(&format!("(place.append(page.histogram({{...{chart}, text: (ms) => `${{ms}} ms`}})), 1)")).await;
    assert_eq!(browser.count(".column").await, 3);
    let told = browser.eval("document.querySelector('.chart svg').getAttribute('aria-label')").await;
    assert!(told.as_str().unwrap().contains("33 spans"), "{told}");
    browser.eval("(document.querySelector('.chart svg').focus(), 1)").await;
    browser.press(Key::Right.into()).await;
    browser.press(Key::Right.into()).await;
    browser.until_text(".told", "1 ms to 10 ms: 30 spans").await;
    assert_eq!(browser.count(".column.picked").await, 1);
    assert_eq!(browser.eval("document.images.length + (window.hacked ?? 0)").await, 0);
    browser.assert_accessible().await;
    // One that goes on stays at the bar that its reader is at, wherever that is by then.
    let live = "page.liveHistogram({title: 'Latency', text: (ms) => `${ms} ms`, whole: true})";
    browser
        .eval(&format!("(window.live = {live}, live.draw({{buckets: [[2, 1], [4, 5]]}}), place.replaceChildren(live.element), 1)"))
        .await;
    browser.eval("(document.querySelector('.chart svg').focus(), 1)").await;
    browser.press(Key::End.into()).await;
    browser.until_text(".told", "2 ms to 4 ms: 5 spans").await;
    browser.eval("(live.draw({buckets: [[1, 1], [2, 1], [4, 9], [8, 1]]}), 1)").await;
    browser.until_text(".told", "2 ms to 4 ms: 9 spans").await;
    // There is no half of a span.
    browser.eval("(live.draw({buckets: [[1, 1]]}), 1)").await;
    assert_eq!(
        browser.eval("[...document.querySelector('.axis').querySelectorAll('text')].map((text) => text.textContent)").await,
        json!(["0", "1"])
    );
    // Nothing to show is no error.
    browser.eval("(place.replaceChildren(page.histogram({title: 'Latency', buckets: [], text: String})), 1)").await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_scatter_plot_shows_few_points_and_ten_thousand_and_opens_one_by_key() {
    let Some(browser) = open().await else { return };
    load(&browser, "chart/scatter.js").await;
    let text = "{text: (value) => `${value} ms`, label: 'ms'}";
    let options =
        format!("{{title: 'Calls', x: {text}, y: {text}, name: ({{x}}) => `call ${{x}}`, open: ({{x}}) => (window.opened = x)}}");
    browser.eval(&format!("(window.plot = page.scatter({options}), place.append(plot.element), 1)")).await;
    browser.eval("(plot.show([{x: 2, y: 20, error: true}, {x: 1, y: 10}, {x: 3, y: 0}]), 1)").await;
    browser.until("document.querySelectorAll('.point').length === 3").await;
    assert_eq!(browser.count(".point.failed").await, 1);
    browser.eval("(document.querySelector('.chart svg').focus(), 1)").await;
    browser.press(Key::Right.into()).await;
    browser.press(Key::Right.into()).await;
    browser.until_text(".told", "call 2").await;
    browser.press(Key::Enter.into()).await;
    assert_eq!(browser.eval("window.opened").await, 2);
    browser.assert_accessible().await;

    let height = browser.eval("place.offsetHeight").await;
    browser.eval("(plot.show(Array.from({length: 10000}, (_, x) => ({x, y: 1 + x % 97, error: x % 50 === 0}))), 1)").await;
    browser.until("!document.querySelector('canvas').hidden && document.querySelectorAll('.point').length === 0").await;
    let inked = "document.querySelector('canvas').getContext('2d').getImageData(0, 0, 600, 200).data.some((part) => part > 0)";
    browser.until(inked).await;
    assert_eq!(browser.eval("place.offsetHeight").await, height, "nothing moves");
    browser.assert_accessible().await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_sparkline_says_in_words_what_it_draws() {
    let Some(browser) = open().await else { return };
    load(&browser, "chart/sparkline.js").await;
    let lines = "[[1, 4, null, 3], [7], []].map((values) => page.sparkline({name: 'Calls a second', values}))";
    let told = browser
        .eval(&format!("(place.append(...{lines}), [...place.children].map((line) => line.getAttribute('aria-label')))"))
        .await;
    let expected = ["3 at last, between 1 and 4", "7 at last, between 7 and 7", "nothing yet"];
    assert_eq!(told, Value::from(expected.map(|text| format!("Calls a second: {text}")).to_vec()));
    browser.assert_accessible().await;
    browser.assert_clean().await;
}

#[tokio::test]
async fn a_flame_graph_is_walked_and_zoomed_by_key() {
    let Some(browser) = open().await else { return };
    load(&browser, "chart/flame.js").await;
    let leaf = |name: &str, value: u32| json!({"name": name, "service": HOSTILE, "value": value});
    let inner = json!({"name": "GET", "service": "dummy-1-3", "value": 60, "children": [leaf("inner", 50)]});
    let root = json!({"name": "all", "service": "frontend", "value": 100, "children": [inner, leaf("beside", 30)]});
    browser
        .eval(&format!("(place.append(page.flame({{title: 'Critical paths', root: {root}, text: (n) => `${{n}} ms`}})), 1)"))
        .await;
    assert_eq!(browser.count(".frame").await, 4);
    browser.eval("(document.querySelector('.frame[tabindex=\"0\"]').focus(), 1)").await;
    browser.press(Key::Down.into()).await;
    browser.until_text(".told", "dummy-1-3 GET: 60 ms, 60% of all").await;
    browser.press(Key::Right.into()).await;
    browser.until_text(".told", "beside: 30 ms").await;
    browser.press(Key::Left.into()).await;
    browser.press(Key::Enter.into()).await;
    browser.until("document.querySelectorAll('.frame').length === 3").await;
    assert_eq!(browser.eval("document.activeElement.querySelector('rect').getAttribute('width')").await, "999.5");
    browser.assert_accessible().await;
    browser.press(Key::Escape.into()).await;
    browser.until("document.querySelectorAll('.frame').length === 4").await;
    assert_eq!(browser.eval("document.images.length + (window.hacked ?? 0)").await, 0);
    browser.assert_clean().await;

    // Deeper than a stack of calls could be, and with more frames than anybody sees.
    let deep = "((node) => { for (let at = 0; at < 20000; at++) node = {name: 'f', value: 1, children: [node]}; return node; })({name: 'f', value: 1})";
    browser.eval(&format!("(place.replaceChildren(page.flame({{title: 'Deep', root: {deep}, text: String}})), 1)")).await;
    assert_eq!(browser.count(".frame").await, 2000);
}

async fn sorts(browser: &Browser) -> Value {
    browser.eval("[...document.querySelectorAll('th')].map((heading) => heading.ariaSort).slice(0, 2)").await
}

/// Makes a module's exports `page` in the page, and what is written into it `place`.
async fn load(browser: &Browser, module: &str) {
    let told = "(module) => (window.page = module), (error) => (window.page = String(error))";
    browser.eval(&format!("(import('/assets/common/{module}').then({told}), 1)")).await;
    browser.until("window.page").await;
    assert_eq!(browser.eval("typeof window.page").await, "object", "{}", browser.eval("String(window.page)").await);
}

/// A browser at a page that has nothing but what all pages share.
async fn open() -> Option<Browser> {
    let browser = Browser::start().await?;
    let files = warp::path::full().map(|path: FullPath| match path.as_str() {
        "/" => warp::reply::with_header(warp::reply::html(PAGE), "content-security-policy", assets::POLICY).into_response(),
        // A browser asks for an icon by itself.
        path => assets::find(&[], path)
            .map_or_else(|| StatusCode::NO_CONTENT.into_response(), |file| assets::answer(file, &HeaderMap::new()).into_response()),
    });
    let listener = server::bind(([127, 0, 0, 1], 0).into(), "--port").unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(server::serve(listener, files, Stop::new()));
    browser.goto(&format!("http://127.0.0.1:{port}/")).await;
    Some(browser)
}
