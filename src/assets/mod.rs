//! Serves the files of pages that the binary holds: both servers answer with them in one way, and share what is in `common/`.
//!
//! Everything that a page needs comes from its own server, so it works offline and loads nothing from anywhere else. Which files a
//! server has, and at which paths its pages are, its own module says; nothing is rendered here.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};

/// Only our own files, only our own API, and nothing inline: a span's name that should ever get into the markup would still not run.
/// Forms are read by scripts and never sent.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file: where a server has it, and what is in it.
#[derive(Debug)]
pub struct File {
    /// From the root, `/assets/common/dom.js`; what a page's address may end in is not part of it.
    pub path: &'static str,
    pub body: &'static str,
}

/// `files! { "/assets/", "folder/", "a.js", "b.css" }`: the files of a folder beside the caller, by where a server has them.
macro_rules! files {
    ($at:literal, $folder:literal, $($name:literal),+ $(,)?) => {
        &[$($crate::assets::File { path: concat!($at, $name), body: include_str!(concat!($folder, $name)) }),+]
    };
}
pub(crate) use files;

/// What both servers have at `/assets/common/`.
pub static COMMON: &[File] = files! {
    "/assets/common/", "common/",
    "chart/flame.js",
    "chart/frame.js",
    "chart/histogram.js",
    "chart/layers.js",
    "chart/network.css",
    "chart/network.js",
    "chart/network_figures.js",
    "chart/scale.js",
    "chart/scatter.js",
    "chart/sparkline.js",
    "combobox.js",
    "copy.js",
    "dom.js",
    "format.js",
    "hues.js",
    "icon.svg",
    "keys.js",
    "table.js",
    "tokens.css",
};

/// The file at `path`, of a server's own or of those that both have.
pub fn find(own: &'static [File], path: &str) -> Option<&'static File> {
    own.iter().chain(COMMON).find(|file| file.path == path)
}

/// The answer with a file; `known` is the request's `If-None-Match`.
///
/// A browser asks again each time, so that a new binary shows at once, and mostly hears that nothing has changed.
pub fn answer(file: &'static File, known: Option<&str>) -> Response<&'static str> {
    let tag = file.tag();
    let headers = [(CONTENT_TYPE, file.content_type()), (CACHE_CONTROL, "no-cache"), (ETAG, tag.as_str())];
    if known.is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)) {
        response(StatusCode::NOT_MODIFIED, &headers, "")
    } else {
        response(StatusCode::OK, &headers, file.body)
    }
}

/// Sends a browser on to another page of ours.
pub fn redirect(to: &'static str) -> Response<&'static str> {
    response(StatusCode::FOUND, &[(LOCATION, to)], "")
}

fn response(status: StatusCode, headers: &[(HeaderName, &str)], body: &'static str) -> Response<&'static str> {
    let ours = [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")];
    let builder = Response::builder().status(status);
    let builder = headers.iter().cloned().chain(ours).fold(builder, |builder, (name, value)| builder.header(name, value));
    builder.body(body).expect("the headers are constants and hexadecimal digits")
}

impl File {
    /// Pages have addresses without an ending.
    fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.') {
            None | Some((_, "html")) => "text/html; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            Some(_) => "application/octet-stream",
        }
    }

    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.body.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}

/// What holds of every server's files, for its own tests to ask.
#[cfg(test)]
pub(crate) mod checks {
    use std::path::Path;

    use super::*;

    /// Whether each file of `folder`, from the package's root, is served, and nothing else.
    pub(crate) fn every_file_is_served(folder: &str, bodies: impl Iterator<Item = &'static File>) {
        let mut served: Vec<&str> = bodies.map(|file| file.body).collect();
        served.sort_unstable();
        let mut stored = Vec::new();
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut stored);
        stored.sort_unstable();
        assert!(served == stored, "what is in {folder} and what is served differ");
    }

    fn read(folder: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|extension| extension.to_str()) {
                None => read(&path, into),
                Some("rs") => {}
                Some(_) => into.push(std::fs::read_to_string(path).unwrap()),
            }
        }
    }

    /// Whether each file that one of `files` asks for is there.
    pub(crate) fn none_asks_for_what_is_not_there(own: &'static [File], files: impl Iterator<Item = &'static File>) {
        for file in files {
            let texts = file.body.split(['"', '\'']).filter(|text| !text.contains(char::is_whitespace));
            for asked in texts.filter(|text| [".js", ".css", ".svg"].iter().any(|ending| text.ends_with(ending))) {
                let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let path = asked.strip_prefix("./").map_or(asked.to_owned(), |name| format!("{folder}/{name}"));
                assert!(find(own, &path).is_some(), "{} asks for {asked}", file.path);
            }
        }
    }

    /// Whether a file would need a laxer policy, or another host.
    pub(crate) fn the_policy_is_enough(files: impl Iterator<Item = &'static File>) {
        for File { path, body } in files {
            for writes in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write"] {
                assert!(!body.contains(writes), "{path} writes HTML ({writes}); use textContent");
            }
            if body.starts_with("<!doctype html>") {
                assert!(!body.contains(" style=") && !body.contains("<style"), "{path} has an inline style");
                assert!(!body.contains("<script>") && !body.contains(" onclick"), "{path} has an inline script");
                assert!(!body.contains("http://") && !body.contains("https://"), "{path} refers to another host");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_files_are_served_ask_for_what_is_there_and_need_no_laxer_policy() {
        checks::every_file_is_served("src/assets/common", COMMON.iter());
        checks::none_asks_for_what_is_not_there(&[], COMMON.iter());
        checks::the_policy_is_enough(COMMON.iter());
    }

    #[test]
    fn every_answer_says_what_it_is_and_forbids_what_our_pages_do_not_need() {
        let found = |path| answer(find(&[], path).unwrap(), None);
        for response in [found("/assets/common/tokens.css"), found("/assets/common/dom.js"), redirect("/search")] {
            assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
            assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(response.headers()[REFERRER_POLICY], "no-referrer");
        }
        assert_eq!(found("/assets/common/tokens.css").headers()[CONTENT_TYPE], "text/css; charset=utf-8");
        assert_eq!(redirect("/search").headers()[LOCATION], "/search");
        assert!(find(&[], "/assets/common/../mod.rs").is_none());
    }

    #[test]
    fn what_the_browser_has_already_is_not_sent_again() {
        let [file, other] = [&COMMON[0], &COMMON[1]];
        let first = answer(file, None);
        assert_eq!(first.headers()[CACHE_CONTROL], "no-cache");
        let tag = first.headers()[ETAG].to_str().unwrap();
        for known in [tag.to_owned(), format!("\"other\", W/{tag}")] {
            let again = answer(file, Some(&known));
            assert_eq!((again.status(), *again.body()), (StatusCode::NOT_MODIFIED, ""));
        }
        assert_eq!(answer(other, Some(tag)).status(), StatusCode::OK);
    }
}
