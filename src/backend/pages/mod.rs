//! The backend's pages, a folder each: search, one trace, two compared, who calls whom, and who is to blame. Those that Jaeger has are at
//! Jaeger's paths, so that a link works whichever backend runs.
//!
//! The pages are plain HTML, CSS and ES modules that ask the query API, as any other client would; nothing is rendered here. How
//! their files are served is in `assets`; what several of these pages need is in `shared/`.

use http::HeaderMap;
use warp::path::FullPath;
use warp::{Filter, Rejection, Reply};

use crate::assets::{self, File, files, packed};

static SEARCH: File = File { path: "/search", packed: packed!("src/backend/pages/search/search.html") };
static TRACE: File = File { path: "/trace", packed: packed!("src/backend/pages/trace/trace.html") };
static COMPARE: File = File { path: "/compare", packed: packed!("src/backend/pages/compare/compare.html") };
static GRAPH: File = File { path: "/dependencies", packed: packed!("src/backend/pages/graph/graph.html") };
static SUSPECTS: File = File { path: "/suspects", packed: packed!("src/backend/pages/suspects/suspects.html") };
static ASSETS: &[File] = files! {
    "/assets/", "src/backend/pages/",
    "compare/chooser.js",
    "compare/compare.css",
    "compare/compare.js",
    "compare/kind.js",
    "compare/merge.js",
    "compare/overview.js",
    "compare/side_by_side.js",
    "graph/graph.css",
    "graph/graph.js",
    "search/plot.js",
    "search/results.js",
    "search/search.css",
    "search/search.js",
    "shared/api.js",
    "shared/header.js",
    "shared/picked.js",
    "shared/query.js",
    "shared/style.css",
    "shared/trace_model.js",
    "suspects/pictures.js",
    "suspects/suspects.css",
    "suspects/suspects.js",
    "trace/bars.js",
    "trace/details.js",
    "trace/find.js",
    "trace/folding.js",
    "trace/frames.js",
    "trace/overview.js",
    "trace/spans.js",
    "trace/trace.css",
    "trace/trace.js",
    "trace/waterfall.js",
    "trace/ways.js",
};
/// Between two trace IDs, in Jaeger's address of a comparison.
const COMPARED: &str = "...";

/// `/`, `/search`, `/trace/{id}`, `/trace/{id}...{id}` and `/compare`, `/dependencies`, `/suspects` and what they load from `/assets/`.
///
/// Any ID gets the trace page, which then shows what the query API says of it.
pub fn routes() -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let home = warp::path::end().map(|| assets::redirect("/search"));
    let search = warp::path!("search").map(|| &SEARCH);
    let trace = warp::path!("trace" / String).map(|id: String| if id.contains(COMPARED) { &COMPARE } else { &TRACE });
    let compare = warp::path!("compare").map(|| &COMPARE);
    let graph = warp::path!("dependencies").map(|| &GRAPH);
    let suspects = warp::path!("suspects").map(|| &SUSPECTS);
    let asset = warp::path("assets")
        .and(warp::path::full())
        .and_then(|path: FullPath| async move { assets::find(ASSETS, path.as_str()).ok_or_else(warp::reject::not_found) });
    let page = search.or(trace).unify().or(compare).unify().or(graph).unify().or(suspects).unify();
    let file = page
        .or(asset)
        .unify()
        .and(warp::header::headers_cloned())
        .map(|file: &'static File, headers: HeaderMap| assets::answer(file, &headers));
    let method = warp::get().or(warp::head()).unify();
    method.and(home.or(file).unify())
}

#[cfg(test)]
mod tests {
    use warp::http::Response;

    use super::*;
    use crate::assets::checks;

    async fn get(path: &str) -> Response<warp::hyper::body::Bytes> {
        warp::test::request().path(path).header("accept-encoding", "gzip").reply(&routes()).await
    }

    fn header<'a>(response: &'a Response<warp::hyper::body::Bytes>, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn pages_are_at_the_paths_that_jaeger_uses() {
        for (path, page) in [
            ("/search", &SEARCH),
            ("/search?service=frontend", &SEARCH),
            ("/trace/4bf92f3577b34da6a3ce929d0e0e4736", &TRACE),
            ("/trace/no-id", &TRACE),
            ("/trace/4bf92f3577b34da6...a3ce929d0e0e4736", &COMPARE),
            ("/dependencies", &GRAPH),
        ] {
            let response = get(path).await;
            assert_eq!((response.status().as_u16(), &**response.body()), (200, page.packed), "{path}");
            assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8", "{path}");
        }
        let home = get("/").await;
        assert_eq!((home.status().as_u16(), header(&home, "location")), (302, "/search"));
        for path in ["/trace", "/trace/", "/trace/a/b", "/assets/mod.rs", "/assets/../mod.rs", "/assets/common/mod.rs", "/nothing"]
        {
            assert_eq!(get(path).await.status(), 404, "{path}");
        }
    }

    #[tokio::test]
    async fn what_the_browser_has_already_is_not_sent_again() {
        let tag = header(&get("/assets/shared/api.js").await, "etag").to_owned();
        let again = warp::test::request().path("/assets/shared/api.js").header("if-none-match", tag).reply(&routes()).await;
        assert_eq!(again.status(), 304);
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_every_file_that_is_asked_for_is_there() {
        let all = || ASSETS.iter().chain([&SEARCH, &TRACE, &COMPARE, &GRAPH, &SUSPECTS]);
        checks::every_file_is_served("src/backend/pages", all());
        checks::none_asks_for_what_is_not_there(ASSETS, all());
        checks::the_policy_is_enough(all());
    }
}
