//! Serves the files of pages that the binary holds: both servers answer with them in one way, and share what is in `common/`.
//!
//! Everything that a page needs comes from its own server, so it works offline and loads nothing from anywhere else. Which files a
//! server has, and at which paths its pages are, its own module says; nothing is rendered here.
//!
//! The files are compressed when the program is built (`build.rs`), and so they are sent; who takes no gzip gets them as they were.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH,
    LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};

/// Only our own files, only our own API, and nothing inline: a span's name that should ever get into the markup would still not run.
/// Forms are read by scripts and never sent.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file: where a server has it, and what is in it.
#[derive(Debug)]
pub struct File {
    /// From the root, `/assets/common/dom.js`; what a page's address may end in is not part of it.
    pub path: &'static str,
    /// What is in it, by gzip.
    pub packed: &'static [u8],
}

/// `packed!("src/folder/a.js")`: what is in a file of the pages, as [`File`] has it.
macro_rules! packed {
    ($path:expr) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $path, ".gz"))
    };
}
pub(crate) use packed;

/// `files! { "/assets/", "src/folder/", "a.js", "b.css" }`: the files of a folder, by where a server has them.
macro_rules! files {
    ($at:literal, $folder:literal, $($name:literal),+ $(,)?) => {
        &[$($crate::assets::File { path: concat!($at, $name), packed: $crate::assets::packed!(concat!($folder, $name)) }),+]
    };
}
pub(crate) use files;

/// What both servers have at `/assets/common/`.
pub static COMMON: &[File] = files! {
    "/assets/common/", "src/assets/common/",
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

/// The answer with a file to a request with these headers.
///
/// A browser asks again each time, so that a new binary shows at once, and mostly hears that nothing has changed.
pub fn answer(file: &File, headers: &HeaderMap) -> Response<Bytes> {
    let said = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let tag = file.tag();
    let basic = [(CACHE_CONTROL, "no-cache"), (ETAG, tag.as_str()), (VARY, "accept-encoding")];
    let with = |more: &[(HeaderName, &'static str)]| [&basic, more].concat();
    let opaque = tag.trim_start_matches("W/");
    if said(IF_NONE_MATCH).split(',').any(|known| known.trim().trim_start_matches("W/") == opaque) {
        response(StatusCode::NOT_MODIFIED, &basic, Bytes::new())
    } else if takes_gzip(said(ACCEPT_ENCODING)) {
        let headers = with(&[(CONTENT_TYPE, file.content_type()), (CONTENT_ENCODING, "gzip")]);
        response(StatusCode::OK, &headers, Bytes::from_static(file.packed))
    } else {
        response(StatusCode::OK, &with(&[(CONTENT_TYPE, file.content_type())]), file.unpacked().into())
    }
}

/// Whether an `Accept-Encoding` names gzip and does not refuse it (RFC 9110, section 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let names = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        let refused =
            |part: &str| part.strip_prefix("q=").and_then(|weight| weight.parse().ok()).is_some_and(|weight: f32| weight <= 0.0);
        names && !parts.any(refused)
    })
}

/// Sends a browser on to another page of ours.
pub fn redirect(to: &'static str) -> Response<Bytes> {
    response(StatusCode::FOUND, &[(LOCATION, to)], Bytes::new())
}

fn response(status: StatusCode, headers: &[(HeaderName, &str)], body: Bytes) -> Response<Bytes> {
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

    /// Weak, since it stands for the file with and without gzip.
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.packed.hash(&mut hasher);
        format!("W/\"{:016x}\"", hasher.finish())
    }

    fn unpacked(&self) -> Vec<u8> {
        let mut content = Vec::new();
        GzDecoder::new(self.packed).read_to_end(&mut content).expect("it was packed when the program was built");
        content
    }
}

/// What holds of every server's files, for its own tests to ask.
#[cfg(test)]
pub(crate) mod checks {
    use std::path::Path;

    use super::*;

    fn text(file: &File) -> String {
        String::from_utf8(file.unpacked()).unwrap()
    }

    /// Whether each file of `folder`, from the package's root, is served, and nothing else.
    pub(crate) fn every_file_is_served(folder: &str, files: impl Iterator<Item = &'static File>) {
        let mut served: Vec<String> = files.map(text).collect();
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
            let text = text(file);
            let texts = text.split(['"', '\'']).filter(|text| !text.contains(char::is_whitespace));
            for asked in texts.filter(|text| [".js", ".css", ".svg"].iter().any(|ending| text.ends_with(ending))) {
                let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let path = asked.strip_prefix("./").map_or(asked.to_owned(), |name| format!("{folder}/{name}"));
                assert!(find(own, &path).is_some(), "{} asks for {asked}", file.path);
            }
        }
    }

    /// Whether a file would need a laxer policy, or another host.
    pub(crate) fn the_policy_is_enough(files: impl Iterator<Item = &'static File>) {
        for file in files {
            let (path, body) = (file.path, text(file));
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

    fn asked(headers: &[(HeaderName, &'static str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn every_answer_says_what_it_is_and_forbids_what_our_pages_do_not_need() {
        let found = |path| answer(find(&[], path).unwrap(), &HeaderMap::new());
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
        let first = answer(file, &HeaderMap::new());
        assert_eq!(first.headers()[CACHE_CONTROL], "no-cache");
        let tag = first.headers()[ETAG].to_str().unwrap();
        for known in [tag.to_owned(), format!("\"other\", {}", tag.trim_start_matches("W/"))] {
            let known = HeaderMap::from_iter([(IF_NONE_MATCH, known.parse().unwrap())]);
            let again = answer(file, &known);
            assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
            assert_eq!(answer(other, &known).status(), StatusCode::OK);
        }
    }

    #[test]
    fn who_takes_gzip_gets_it_and_everybody_else_the_file_as_it_is() {
        let file = find(&[], "/assets/common/dom.js").unwrap();
        let written = include_bytes!("common/dom.js");
        for accepted in ["gzip, deflate, br", "br, GZIP;q=0.5"] {
            let response = answer(file, &asked(&[(ACCEPT_ENCODING, accepted)]));
            assert_eq!(response.headers()[CONTENT_ENCODING], "gzip", "{accepted}");
            let mut content = Vec::new();
            GzDecoder::new(&**response.body()).read_to_end(&mut content).unwrap();
            assert!(content == written && response.body().len() < written.len(), "{accepted}");
        }
        for accepted in ["", "br", "gzip;q=0, br", "gzip; q=0.000"] {
            let response = answer(file, &asked(&[(ACCEPT_ENCODING, accepted)]));
            assert!(response.headers().get(CONTENT_ENCODING).is_none(), "{accepted}");
            assert_eq!(**response.body(), written[..], "{accepted}");
            assert_eq!(response.headers()[VARY], "accept-encoding");
        }
    }
}
