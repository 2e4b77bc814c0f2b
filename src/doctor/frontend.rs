//! Is there a frontend of ours? Traces need none: this may be anybody's Jaeger.

use url::Url;

use super::Finding;
use super::ask::{Stamp, ask, why};
use super::connect::{Speaks, identify, reach};
use crate::config::base;

const CHECK: &str = "frontend";
const NAME_IT: &str = "--frontend URL names another one";

/// What is known of it.
#[derive(Debug)]
pub(super) struct Examined {
    pub finding: Finding,
    pub stamp: Option<Stamp>,
    /// Somebody listens.
    pub reached: bool,
    /// It is one, and presses buttons.
    pub is_ours: bool,
}

/// `named` says that somebody expects one there.
pub(super) async fn examine(client: &reqwest::Client, url: &Url, named: bool) -> Examined {
    let of = |finding| Examined { finding, stamp: None, reached: false, is_ours: false };
    // Where nobody said that there is one, there may be none, or a stranger.
    let absent = |saw: String, way_out: &str| match named {
        true => Finding::failure(CHECK, saw, way_out),
        false => Finding::skipped(CHECK, saw),
    };
    let address = match reach(url).await {
        Ok(address) => address,
        Err(unreached) => {
            let (saw, way_out) = unreached.words("`tracelab up`", NAME_IT);
            return of(absent(format!("{}: {saw}", base(url)), &way_out));
        }
    };
    let reached = |finding| Examined { reached: named, ..of(finding) };
    let answer = match ask(client.get(format!("{}/api/topology", base(url)))).await {
        Ok(answer) => answer,
        Err(error) => {
            let (reason, _) = why(error);
            let spoken = match (identify(address).await, url.scheme()) {
                (Speaks::Tls, "http") => "; TLS is spoken there, and the address says http",
                (Speaks::Http1, "https") => "; no TLS is spoken there, and the address says https",
                _ => "",
            };
            return reached(absent(format!("{} has no answer: {reason}{spoken}", base(url)), NAME_IT));
        }
    };
    let is_ours = answer.json().is_some_and(|json| json["services"].is_array() && json["layers"].is_u64());
    if !answer.status.is_success() || !is_ours {
        let saw = match answer.status.is_success() {
            true => format!("what answers at {} is no frontend of tracelab", base(url)),
            false => format!("{} answers {}{}", base(url), answer.status, answer.said()),
        };
        return reached(absent(saw, "name the page that `tracelab up` or the compose stage prints, usually http://127.0.0.1:8080"));
    }
    let finding = Finding::ok(CHECK, format!("{} is there", base(url)));
    Examined { finding, stamp: answer.stamp, reached: true, is_ours: true }
}
