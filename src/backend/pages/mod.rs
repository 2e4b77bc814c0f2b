//! The backend's pages: search, one trace, and who calls whom, at Jaeger's own paths, so that a link works whichever backend runs.
//!
//! Everything that a page needs is inside the binary and comes from this server alone. The pages are plain HTML, CSS and ES
//! modules that ask the query API, as any other client would; nothing is rendered here.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{Response, StatusCode};
use warp::{Filter, Rejection, Reply};

/// Only our own files, and nothing inline: a span's name that should ever get into the markup would still not run.
const POLICY: &str = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'";

struct File {
    name: &'static str,
    body: &'static str,
}

macro_rules! file {
    ($name:literal) => {
        File { name: $name, body: include_str!(concat!("assets/", $name)) }
    };
}

static SEARCH: File = file!("search.html");
static TRACE: File = file!("trace.html");
static DEPENDENCIES: File = file!("dependencies.html");
static ASSETS: &[File] = &[
    file!("api.js"),
    file!("colour.js"),
    file!("dependencies.js"),
    file!("details.js"),
    file!("dom.js"),
    file!("format.js"),
    file!("graph.js"),
    file!("header.js"),
    file!("icon.svg"),
    file!("layers.js"),
    file!("model.js"),
    file!("query.js"),
    file!("search.js"),
    file!("style.css"),
    file!("trace.js"),
    file!("waterfall.js"),
];

/// `/`, `/search`, `/trace/{id}`, `/dependencies` and what they load from `/assets/`.
///
/// Any ID gets the trace page, which then shows what the query API says of it.
pub fn routes() -> impl Filter<Extract = (impl Reply,), Error = Rejection> + Clone {
    let home = warp::path::end().map(to_search);
    let search = warp::path!("search").map(|| &SEARCH);
    let trace = warp::path!("trace" / String).map(|_| &TRACE);
    let dependencies = warp::path!("dependencies").map(|| &DEPENDENCIES);
    let asset = warp::path!("assets" / String)
        .and_then(|name: String| async move { ASSETS.iter().find(|file| file.name == name).ok_or_else(warp::reject::not_found) });
    let file = search.or(trace).unify().or(dependencies).unify().or(asset).unify();
    let file =
        file.and(warp::header::optional("if-none-match")).map(|file: &'static File, known: Option<String>| answer(file, known));
    let method = warp::get().or(warp::head()).unify();
    method.and(home.or(file).unify())
}

fn to_search() -> Response<&'static str> {
    response(StatusCode::FOUND, &[(LOCATION, "/search")], "")
}

/// A browser asks again each time, so that a new binary shows at once, and mostly hears that nothing has changed.
fn answer(file: &'static File, known: Option<String>) -> Response<&'static str> {
    let tag = file.tag();
    let headers = [(CONTENT_TYPE, file.content_type()), (CACHE_CONTROL, "no-cache"), (ETAG, tag.as_str())];
    if known.is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)) {
        response(StatusCode::NOT_MODIFIED, &headers, "")
    } else {
        response(StatusCode::OK, &headers, file.body)
    }
}

fn response(status: StatusCode, headers: &[(HeaderName, &str)], body: &'static str) -> Response<&'static str> {
    let ours = [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")];
    let builder = Response::builder().status(status);
    let builder = headers.iter().cloned().chain(ours).fold(builder, |builder, (name, value)| builder.header(name, value));
    builder.body(body).expect("the headers are constants and hexadecimal digits")
}

impl File {
    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }

    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str) -> Response<warp::hyper::body::Bytes> {
        warp::test::request().path(path).reply(&routes()).await
    }

    fn header<'a>(response: &'a Response<warp::hyper::body::Bytes>, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn pages_are_at_the_paths_that_jaeger_uses() {
        for path in
            ["/search", "/search?service=frontend", "/trace/4bf92f3577b34da6a3ce929d0e0e4736", "/trace/no-id", "/dependencies"]
        {
            let response = get(path).await;
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8", "{path}");
        }
        let home = get("/").await;
        assert_eq!((home.status().as_u16(), header(&home, "location")), (302, "/search"));
        for path in ["/trace", "/trace/", "/trace/a/b", "/assets/mod.rs", "/assets/../mod.rs", "/nothing"] {
            assert_eq!(get(path).await.status(), 404, "{path}");
        }
    }

    #[tokio::test]
    async fn every_answer_forbids_what_our_pages_do_not_need() {
        for path in ["/", "/search", "/assets/style.css"] {
            let response = get(path).await;
            assert_eq!(header(&response, "content-security-policy"), POLICY);
            assert_eq!(header(&response, "x-content-type-options"), "nosniff");
            assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        }
    }

    #[tokio::test]
    async fn what_the_browser_has_already_is_not_sent_again() {
        let first = get("/assets/api.js").await;
        assert_eq!(header(&first, "cache-control"), "no-cache");
        let tag = header(&first, "etag").to_owned();
        for known in [tag.clone(), format!("\"other\", W/{tag}")] {
            let again = warp::test::request().path("/assets/api.js").header("if-none-match", known).reply(&routes()).await;
            assert_eq!(again.status(), 304);
            assert!(again.body().is_empty());
        }
        let other = warp::test::request().path("/search").header("if-none-match", tag).reply(&routes()).await;
        assert_eq!(other.status(), 200);
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_every_file_that_is_asked_for_is_there() {
        let pages = [&SEARCH, &TRACE, &DEPENDENCIES];
        let mut served: Vec<&str> = ASSETS.iter().chain(pages).map(|file| file.name).collect();
        served.sort_unstable();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/backend/pages/assets");
        let mut stored: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        stored.sort_unstable();
        assert_eq!(served, stored);

        for file in ASSETS.iter().chain(pages) {
            for asked in file.body.split("\"/assets/").skip(1) {
                let name = asked.split('"').next().unwrap();
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{} asks for {name}", file.name);
            }
        }
    }
}
