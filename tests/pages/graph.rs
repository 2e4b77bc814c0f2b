//! The service graph.

use super::*;

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
