//! The files of the sandbox page and of the instructor's, which are part of the binary: it works offline, and loads nothing from
//! anywhere else.

use http::{HeaderValue, header};
use warp::Reply;
use warp::reply::Response;

/// Only our own files run, and only our own API is spoken to. There is no inline script or style to allow.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Path, content type, content.
const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/instructor", "text/html; charset=utf-8", include_str!("page/instructor.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/page/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page/main.js", "text/javascript; charset=utf-8", include_str!("page/main.js")),
    ("/page/api.js", "text/javascript; charset=utf-8", include_str!("page/api.js")),
    ("/page/dom.js", "text/javascript; charset=utf-8", include_str!("page/dom.js")),
    ("/page/format.js", "text/javascript; charset=utf-8", include_str!("page/format.js")),
    ("/page/buttons.js", "text/javascript; charset=utf-8", include_str!("page/buttons.js")),
    ("/page/run.js", "text/javascript; charset=utf-8", include_str!("page/run.js")),
    ("/page/mystery.js", "text/javascript; charset=utf-8", include_str!("page/mystery.js")),
    ("/page/game_day.js", "text/javascript; charset=utf-8", include_str!("page/game_day.js")),
    ("/page/board.js", "text/javascript; charset=utf-8", include_str!("page/board.js")),
    ("/page/instructor.js", "text/javascript; charset=utf-8", include_str!("page/instructor.js")),
    ("/page/trace.js", "text/javascript; charset=utf-8", include_str!("page/trace.js")),
];

/// The file at `path`, if the page has one.
pub(super) fn file(path: &str) -> Option<Response> {
    let (_, kind, text) = FILES.iter().find(|(name, ..)| *name == path)?;
    let mut response = text.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        // A new release has new files under the old names.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served_and_none_asks_for_another_that_is_not() {
        let names: Vec<&str> = FILES.iter().map(|(name, ..)| *name).collect();
        for (name, _, text) in FILES {
            for reference in text.split(['"', '\'']).filter(|text| text.ends_with(".js") || text.ends_with(".css")) {
                let path = reference.strip_prefix("./").map_or(reference.to_owned(), |file| format!("/page/{file}"));
                assert!(names.contains(&path.as_str()), "{name} refers to {reference}");
            }
        }
        let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/frontend/page")).unwrap();
        assert_eq!(directory.count(), FILES.len(), "a file in src/frontend/page is not served");
    }

    #[test]
    fn nothing_in_the_page_needs_a_laxer_policy() {
        for (name, kind, text) in FILES {
            assert!(!text.contains("innerHTML") && !text.contains("outerHTML"), "{name} writes HTML; use textContent");
            if kind.starts_with("text/html") {
                assert!(!text.contains(" style=") && !text.contains("<style"), "{name} has an inline style");
                assert!(!text.contains("<script>") && !text.contains(" onclick"), "{name} has an inline script");
                assert!(!text.contains("http://") && !text.contains("https://"), "{name} refers to another host");
            }
        }
    }
}
