//! Can traces be looked at? Who answers at the query address, in which of Jaeger's APIs, and of which version.

use serde_json::Value;
use url::Url;

use super::Finding;
use super::ask::{Answer, Stamp, ask, why};
use super::connect::{Speaks, identify, reach};
use crate::diagnose::figures::counted;
use crate::jaeger::Api;

const REACHED: &str = "query";
const API: &str = "query-api";
const VERSION: &str = "version";
const NAME_IT: &str = "--jaeger URL names another one, for example http://127.0.0.1:16686";
/// Jaeger 1 gets no corrections any more since the end of that year.
const END_OF_LIFE: &str = "Jaeger 1 has had its end of life on 2025-12-31";
const UPGRADE: &str = "replace it by Jaeger 2 (one image, OTLP at 4317 and 4318); until then tracelab reads it as it is";

/// What is known of it.
#[derive(Debug)]
pub(super) struct Examined {
    pub findings: Vec<Finding>,
    pub stamp: Option<Stamp>,
    /// Somebody listens.
    pub reached: bool,
    /// Which API answers, where one does.
    pub api: Option<Api>,
}

/// Name, port, API and version.
pub(super) async fn examine(client: &reqwest::Client, base: &str) -> Examined {
    let mut examined = Examined { findings: Vec::new(), stamp: None, reached: false, api: None };
    let Ok(url) = Url::parse(base) else {
        examined.findings.push(Finding::failure(REACHED, format!("{base} is no URL"), NAME_IT));
        return examined;
    };
    let address = match reach(&url).await {
        Ok(address) => address,
        Err(unreached) => {
            let (saw, way_out) = unreached.words("a Jaeger or `tracelab up`", NAME_IT);
            examined.findings.push(Finding::failure(REACHED, format!("{base}: {saw}"), way_out));
            examined.findings.push(Finding::skipped(API, "nobody to ask"));
            return examined;
        }
    };
    examined.reached = true;
    examined.findings.push(Finding::ok(REACHED, format!("{base} is at {address}")));
    let mut answers = Vec::new();
    for api in [Api::V3, Api::Legacy] {
        match ask(client.get(format!("{base}{}", path(api)))).await {
            Ok(answer) => {
                examined.stamp = answer.stamp.or(examined.stamp);
                if let Some(services) = services(&answer) {
                    examined.api = Some(api);
                    examined.findings.push(there(api, services));
                    examined.findings.push(version(client, base, api).await);
                    return examined;
                }
                answers.push(answer);
            }
            Err(error) => {
                let (reason, _) = why(error);
                examined.findings.push(unanswered(&url, identify(address).await, &reason));
                return examined;
            }
        }
    }
    // Of two refusals the one by the API of today says more; a path that is not there says least.
    let telling = answers.iter().find(|answer| answer.status.as_u16() != 404).or(answers.first());
    if let Some(answer) = telling {
        examined.findings.push(stranger(client, &url, answer).await);
    }
    examined
}

fn path(api: Api) -> &'static str {
    match api {
        Api::V3 => "/api/v3/services",
        Api::Legacy => "/api/services",
    }
}

/// How many services it knows, if it is one that answers.
fn services(answer: &Answer) -> Option<usize> {
    if !answer.status.is_success() {
        return None;
    }
    let json = answer.json()?;
    match json.get("services").or_else(|| json.get("data"))? {
        Value::Null => Some(0),
        Value::Array(services) => Some(services.len()),
        _ => None,
    }
}

fn there(api: Api, services: usize) -> Finding {
    let name = match api {
        Api::V3 => "Jaeger's API v3",
        Api::Legacy => "Jaeger's legacy API",
    };
    match services {
        0 => Finding::ok(API, format!("{name} answers, and holds no traces yet")),
        many => Finding::ok(API, format!("{name} answers, and holds traces of {}", counted(many as u64, "service"))),
    }
}

async fn version(client: &reqwest::Client, base: &str, api: Api) -> Finding {
    let (status, page) = futures_util::join!(ask(client.get(format!("{base}/status"))), ask(client.get(format!("{base}/search"))));
    if status.is_ok_and(|status| status.json().is_some_and(|json| json["status"] == "StatusOK" && json.get("store").is_some())) {
        return Finding::ok(VERSION, "it is the trace backend of tracelab");
    }
    let said = page.ok().and_then(|page| git_version(&page.text()));
    match said {
        Some(version) if version.trim_start_matches('v').starts_with("1.") || version.trim_start_matches('v').starts_with("0.") => {
            Finding::warning(VERSION, format!("it is Jaeger {version}, and {END_OF_LIFE}"), UPGRADE)
        }
        Some(version) => Finding::ok(VERSION, format!("it is Jaeger {version}")),
        None if api == Api::Legacy => {
            let saw = format!("it has the legacy API alone, as a Jaeger 1 from before API v3 has, and {END_OF_LIFE}");
            Finding::warning(VERSION, saw, UPGRADE)
        }
        None => Finding::ok(VERSION, "it does not say its version; API v3 is what Jaeger 2 has"),
    }
}

/// What the page is told: `JAEGER_VERSION = {"gitCommit":"…","gitVersion":"v2.20.0",…}`.
fn git_version(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("JAEGER_VERSION")?;
    let (_, rest) = rest.split_once("gitVersion")?;
    let value: String =
        rest.chars().skip_while(|c| matches!(c, '"' | '\'' | ':' | ' ')).take_while(|c| !matches!(c, '"' | '\'')).collect();
    let is_one = !value.is_empty() && value.len() < 40 && value.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    is_one.then_some(value)
}

/// Nothing came back that could be read.
fn unanswered(url: &Url, speaks: Speaks, reason: &str) -> Finding {
    let fail = |saw: String, way_out: &str| Finding::failure(API, saw, way_out);
    match (speaks, url.scheme()) {
        (Speaks::Http2, "http") => fail(
            format!(
                "gRPC is spoken at {url}: that is an OTLP port (4317) or Jaeger's gRPC query (16685), and not its HTTP query API"
            ),
            "give --jaeger the port of Jaeger's page, usually 16686",
        ),
        (Speaks::Tls, "http") => fail(format!("TLS is spoken at {url}, and the address says http"), "write https:// in --jaeger"),
        (Speaks::Http1 | Speaks::Http2, "https") => {
            fail(format!("no TLS is spoken at {url}, and the address says https"), "write http:// in --jaeger")
        }
        _ => fail(format!("{url} takes connections, but gives no answer that could be read: {reason}"), NAME_IT),
    }
}

/// HTTP is spoken, but no Jaeger answers as it should.
async fn stranger(client: &reqwest::Client, url: &Url, answer: &Answer) -> Finding {
    let status = answer.status;
    let fail = |saw: String, way_out: &str| Finding::failure(API, saw, way_out);
    match status.as_u16() {
        401 | 403 | 407 => {
            return fail(
                format!("{url} answers {status}{}: it wants to know who asks", answer.said()),
                "tracelab shows no credentials there: name an address behind the proxy that asks for them, for example by a port-forward",
            );
        }
        502 | 504 => {
            return fail(
                format!("{url} answers {status}: a proxy is there, and the Jaeger behind it is not"),
                "start Jaeger's query service, or correct where the proxy looks for it",
            );
        }
        500..600 => {
            return fail(
                format!("{url} answers {status}{}", answer.said()),
                "its own log says more; a Jaeger whose storage is away or still starting answers so",
            );
        }
        _ => {}
    }
    if takes_spans(client, url).await {
        return fail(
            format!("{url} takes OTLP: spans are sent there, and it answers no query"),
            "give --jaeger the port of Jaeger's page, usually 16686, not 4318",
        );
    }
    // With a base path it is below that, and what a browser shows has more in it than that.
    let mut others: Vec<Url> = ["/jaeger", ""].iter().filter_map(|path| url.join(path).ok()).collect();
    others.extend(["/search", "/trace", "/dependencies"].iter().filter_map(|page| {
        let (before, _) = url.path().split_once(page)?;
        url.join(if before.is_empty() { "/" } else { before }).ok()
    }));
    if let Ok(mut root) = url.join("/") {
        root.set_path("/");
        others.push(root);
    }
    for other in others.iter().filter(|other| other.as_str() != url.as_str()) {
        let base = crate::config::base(other);
        if let Ok(found) = ask(client.get(format!("{base}{}", path(Api::V3)))).await
            && services(&found).is_some()
        {
            return fail(format!("no Jaeger answers at {url}, but one at {base}"), &format!("use --jaeger {base}"));
        }
    }
    if answer.is_page() {
        return fail(
            format!("{url} answers with web pages alone, and has no query API of Jaeger"),
            "is it another program's page, a login in front of Jaeger, or its UI without the API? --jaeger takes the address of Jaeger's page, \
             with its base path if it has one",
        );
    }
    if status.is_redirection() {
        let to = answer.header(http::header::LOCATION).unwrap_or("nowhere");
        return fail(
            format!("{url} answers {status} and sends its callers to {to}"),
            "name what it leads to, or what is behind a login",
        );
    }
    fail(format!("what answers at {url} ({status}{}) is no Jaeger", answer.said()), NAME_IT)
}

/// A request without spans leaves nothing behind.
async fn takes_spans(client: &reqwest::Client, url: &Url) -> bool {
    let Ok(target) = url.join("/v1/traces") else { return false };
    let request = client.post(target).header(http::header::CONTENT_TYPE, "application/x-protobuf").body(Vec::new());
    ask(request).await.is_ok_and(|answer| answer.status.is_success() && !answer.is_page())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_the_page_was_told() {
        let page = r#"<script>const JAEGER_VERSION = {"gitCommit":"9a2d","gitVersion":"v2.20.0","buildDate":""};</script>"#;
        assert_eq!(git_version(page).as_deref(), Some("v2.20.0"));
        for other in ["", "JAEGER_VERSION = DEFAULT_VERSION;", "JAEGER_VERSION = {'gitVersion':''}", "gitVersion: 'v1'"] {
            assert_eq!(git_version(other), None, "{other}");
        }
    }
}
