//! The files of the sandbox page and of the instructor's. How they are served is in `assets`.

use http::HeaderMap;
use warp::Reply as _;
use warp::reply::Response;

use crate::assets::{self, File, files, packed};

static PAGES: &[File] = &[
    File { path: "/", packed: packed!("src/frontend/page/index.html") },
    File { path: "/instructor", packed: packed!("src/frontend/page/instructor.html") },
];
static FILES: &[File] = files! {
    "/page/", "src/frontend/page/",
    "api.js",
    "board.js",
    "buttons.js",
    "game_day.js",
    "instructor.js",
    "main.js",
    "map.css",
    "map.js",
    "mystery.js",
    "names.js",
    "run.js",
    "style.css",
    "trace.js",
};

/// The file at `path`, if the page has one.
pub(super) fn file(path: &str) -> Option<&'static File> {
    PAGES.iter().find(|page| page.path == path).or_else(|| assets::find(FILES, path))
}

/// The answer with it, to a request with these headers.
pub(super) fn answer(file: &'static File, headers: &HeaderMap) -> Response {
    assets::answer(file, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::checks;

    #[test]
    fn every_file_of_the_page_is_served_asks_for_what_is_there_and_needs_no_laxer_policy() {
        let all = || FILES.iter().chain(PAGES);
        checks::every_file_is_served("src/frontend/page", all());
        checks::none_asks_for_what_is_not_there(FILES, all());
        checks::the_policy_is_enough(all());
    }
}
