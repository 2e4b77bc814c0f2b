//! Variables that contradict one another, mean nothing, or switch tracing off. A pure function of the environment.
//!
//! What holds for every OpenTelemetry SDK is said of every program that is started with these variables; the values that only our
//! own commands refuse are `config`'s to refuse.

use std::collections::BTreeMap;

use url::Url;

use super::Finding;

const CHECK: &str = "environment";
const PROXY: &str = "proxy";

/// Standard variables that a slip of the finger may be meant for.
const KNOWN: [&str; 32] = [
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_LOG_LEVEL",
    "OTEL_PROPAGATORS",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_TRACES_EXPORTER",
    "OTEL_LOGS_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_INSECURE",
    "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
];
const SAMPLERS: [&str; 6] =
    ["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"];
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

/// The variables that matter here, empty ones left out: those are absent ones, as OpenTelemetry has it.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    pub fn of(variables: impl Iterator<Item = (String, String)>) -> Self {
        // Of our own only where the compose stage is published: some of the others are secrets.
        let ours = ["TRACELAB_PORT", "TRACELAB_JAEGER_PORT"];
        let wanted =
            |name: &str| name.starts_with("OTEL_") || ours.contains(&name) || name.to_ascii_uppercase().ends_with("_PROXY");
        Self(variables.filter(|(name, value)| wanted(name) && !value.trim().is_empty()).collect())
    }

    /// What this process was started with.
    pub fn here() -> Self {
        // A variable that is no Unicode is none that we could say anything about.
        Self::of(std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    /// The one for traces, or else the one for everything.
    pub fn for_traces(&self, rest: &str) -> Option<(String, &str)> {
        [format!("OTEL_EXPORTER_OTLP_TRACES_{rest}"), format!("OTEL_EXPORTER_OTLP_{rest}")]
            .into_iter()
            .find_map(|name| self.get(&name).map(|value| (name.clone(), value)))
    }
}

/// One finding a fault; one in all where there is none.
pub fn check(environment: &Environment) -> Vec<Finding> {
    let standard = environment.0.keys().filter(|name| name.starts_with("OTEL_")).count();
    let checks = [switched_off, endpoint, contradictions, sampler, propagators, headers, values, spelling, proxies];
    let mut findings: Vec<Finding> = checks.iter().flat_map(|check| check(environment)).collect();
    if findings.iter().all(|finding| finding.check != CHECK) {
        let saw = match standard {
            0 => "no OTEL_… variable is set here; every program uses its defaults".to_owned(),
            1 => "the one OTEL_… variable that is set here makes sense".to_owned(),
            many => format!("the {many} OTEL_… variables that are set here make sense together"),
        };
        findings.insert(0, Finding::ok(CHECK, saw));
    }
    findings
}

/// Our own roles do not start with these variables.
pub(super) fn refused(reason: &str) -> Finding {
    failure(format!("services of tracelab refuse to start here: {reason}"), "correct or unset what is named")
}

fn warning(saw: impl Into<String>, way_out: impl Into<String>) -> Finding {
    Finding::warning(CHECK, saw, way_out)
}

fn failure(saw: impl Into<String>, way_out: impl Into<String>) -> Finding {
    Finding::failure(CHECK, saw, way_out)
}

fn switched_off(environment: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    if environment.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        let saw = "OTEL_SDK_DISABLED=true: whatever starts with these variables records nothing";
        findings.push(failure(saw, "unset OTEL_SDK_DISABLED and start the program again"));
    }
    match environment.get("OTEL_TRACES_EXPORTER") {
        Some("none") => {
            let saw = "OTEL_TRACES_EXPORTER=none: spans are made and thrown away";
            findings.push(failure(saw, "unset OTEL_TRACES_EXPORTER, or set it to otlp"));
        }
        Some(value @ ("console" | "stdout" | "logging")) => {
            let saw = format!("OTEL_TRACES_EXPORTER={value}: spans go to stdout, and to no Jaeger");
            findings.push(failure(saw, "unset OTEL_TRACES_EXPORTER, or set it to otlp"));
        }
        _ => {}
    }
    findings
}

fn endpoint(environment: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
        let Some(value) = environment.get(name) else { continue };
        let url = Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let Some(url) = url else {
            let way_out = format!("give it a scheme, for example {name}=http://localhost:4318");
            findings.push(failure(format!("{name}={value} is no http:// or https:// URL"), way_out));
            continue;
        };
        let path = url.path().trim_end_matches('/');
        let general = name == "OTEL_EXPORTER_OTLP_ENDPOINT";
        if general && path.ends_with("/v1/traces") {
            let saw = format!("{name}={value}: the path is appended to it, so that spans go to …/v1/traces/v1/traces");
            let base = value.trim_end_matches('/').trim_end_matches("/v1/traces");
            findings.push(failure(saw, format!("set {name}={base}")));
        } else if !general && path.is_empty() && !is_grpc(environment) {
            let saw = format!("{name}={value} is used as it stands, without a path, and nobody takes spans there");
            findings.push(failure(saw, format!("set {name}={}/v1/traces", value.trim_end_matches('/'))));
        }
        match (url.port(), is_grpc(environment)) {
            (Some(4318), true) => {
                let saw = format!("{name} names port 4318, which is for HTTP, while the protocol is grpc");
                findings.push(warning(saw, "use port 4317, or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"));
            }
            (Some(4317), false) => {
                let saw = format!("{name} names port 4317, which is for gRPC, while the protocol is not grpc");
                findings.push(warning(saw, "use port 4318, or OTEL_EXPORTER_OTLP_PROTOCOL=grpc"));
            }
            _ => {}
        }
    }
    findings
}

fn is_grpc(environment: &Environment) -> bool {
    environment.for_traces("PROTOCOL").is_some_and(|(_, value)| value == "grpc")
}

/// A general variable and the one for traces, and agents of the past.
fn contradictions(environment: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rest in ["ENDPOINT", "PROTOCOL"] {
        let (special, general) = (format!("OTEL_EXPORTER_OTLP_TRACES_{rest}"), format!("OTEL_EXPORTER_OTLP_{rest}"));
        let host = |value: &str| Url::parse(value).map(|url| url.origin().ascii_serialization()).unwrap_or(value.to_owned());
        if let (Some(one), Some(other)) = (environment.get(&special), environment.get(&general))
            && host(one) != host(other)
        {
            let saw = format!("{special}={one} and {general}={other} differ; for traces the first one counts");
            findings.push(warning(saw, format!("unset the one that is not meant, probably {special}")));
        }
    }
    let old = ["OTEL_EXPORTER_JAEGER_ENDPOINT", "OTEL_EXPORTER_ZIPKIN_ENDPOINT"];
    for name in old.iter().filter(|name| environment.get(name).is_some()) {
        let saw = format!("{name} is set, which hardly any SDK reads any more, nor does tracelab");
        findings.push(warning(saw, "Jaeger takes OTLP itself: set OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318 instead"));
    }
    findings
}

fn sampler(environment: &Environment) -> Vec<Finding> {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    let Some(sampler) = environment.get(NAME) else { return Vec::new() };
    let argument = environment.get("OTEL_TRACES_SAMPLER_ARG");
    let all = format!("unset {NAME}: parentbased_always_on is the default");
    if sampler.ends_with("always_off") {
        let saw = format!("{NAME}={sampler}: programs that start with it record nothing by themselves");
        return vec![failure(saw, all)];
    }
    if !SAMPLERS.contains(&sampler) {
        let saw = format!("{NAME}={sampler} is a sampler that SDKs without a plugin do not have; they sample as they like then");
        return vec![warning(saw, format!("use one of {}", SAMPLERS.join(", ")))];
    }
    if !sampler.ends_with("traceidratio") {
        return Vec::new();
    }
    match argument.map(|text| (text, text.parse::<f64>())) {
        None => vec![warning(format!("{NAME}={sampler} without OTEL_TRACES_SAMPLER_ARG samples everything"), all)],
        Some((_, Ok(share))) if share <= 0.0 => {
            let saw = format!("{NAME}={sampler} with OTEL_TRACES_SAMPLER_ARG={share}: nothing is recorded");
            vec![failure(saw, "set OTEL_TRACES_SAMPLER_ARG to a share above 0, 1 for everything")]
        }
        Some((_, Ok(share))) if share < 1.0 => {
            let saw = format!("{NAME}={sampler}: only {} of all traces are recorded", crate::diagnose::figures::share(share));
            vec![warning(saw, "look for a trace only when its traceresponse ends in 01, or set OTEL_TRACES_SAMPLER_ARG=1")]
        }
        Some((_, Ok(share))) if share <= 1.0 => Vec::new(),
        Some((text, _)) => {
            let saw = format!("OTEL_TRACES_SAMPLER_ARG={text} is no share between 0 and 1; SDKs then sample as they like");
            vec![warning(saw, "set it to a number such as 0.1")]
        }
    }
}

fn propagators(environment: &Environment) -> Vec<Finding> {
    let Some(value) = environment.get("OTEL_PROPAGATORS") else { return Vec::new() };
    let names: Vec<&str> = value.split(',').map(str::trim).collect();
    let way_out = "unset OTEL_PROPAGATORS, or begin it with tracecontext,baggage";
    if names == ["none"] {
        return vec![failure("OTEL_PROPAGATORS=none: every service starts traces of its own", way_out)];
    }
    let mut findings = Vec::new();
    if !names.contains(&"tracecontext") {
        let saw =
            format!("OTEL_PROPAGATORS={value} leaves out tracecontext, which everybody else speaks: traces break between them");
        findings.push(warning(saw, way_out));
    } else if !names.contains(&"baggage") {
        let saw = format!("OTEL_PROPAGATORS={value} leaves out baggage: customer and tier reach nobody");
        findings.push(warning(saw, way_out));
    }
    findings
}

/// Values are secrets: none is shown.
fn headers(environment: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        let Some(value) = environment.get(name) else { continue };
        let pair = |pair: &str| {
            let key = pair.split_once('=').map_or("", |(key, _)| key.trim());
            http::HeaderName::from_bytes(key.as_bytes()).is_ok()
        };
        if !value.split(',').filter(|part| !part.trim().is_empty()).all(pair) {
            let saw = format!("{name} is no list of name=value pairs with commas between them");
            findings.push(failure(saw, format!("write {name}=authorization=Bearer%20TOKEN (percent-encoded, = and not :)")));
        }
    }
    findings
}

/// Numbers, names and quotes.
fn values(environment: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some((name, value)) = environment.for_traces("TIMEOUT") {
        match value.parse::<u64>() {
            Err(_) => findings.push(failure(
                format!("{name}={value} is no whole number of milliseconds"),
                format!("set {name}=10000 for ten seconds, or unset it"),
            )),
            Ok(ms) if ms < 100 => findings.push(warning(
                format!("{name}={ms} means {ms} milliseconds, in which few exports end"),
                format!("set {name}={ms}000 if seconds were meant"),
            )),
            Ok(_) => {}
        }
    }
    if let Some((name, value)) = environment.for_traces("COMPRESSION")
        && !matches!(value, "gzip" | "none")
    {
        let saw = format!("{name}={value} is a compression that tracelab does not have");
        findings.push(failure(saw, format!("set {name}=gzip, or unset it")));
    }
    if let Some((name, value)) = environment.for_traces("PROTOCOL")
        && !matches!(value, "grpc" | "http/protobuf" | "http/json")
    {
        let saw = format!("{name}={value} is a protocol that nobody knows");
        findings.push(failure(saw, format!("set {name} to http/protobuf or grpc, or unset it")));
    }
    if let Some(value) = environment.get("OTEL_RESOURCE_ATTRIBUTES")
        && value.split(',').any(|pair| !pair.contains('='))
    {
        let saw = "OTEL_RESOURCE_ATTRIBUTES is no list of key=value pairs with commas between them; SDKs drop all or some of it";
        findings.push(warning(saw, "write it like deployment.environment.name=test,team=blue"));
    }
    for (name, value) in environment.0.iter().filter(|(name, _)| name.starts_with("OTEL_")) {
        if value.trim().starts_with(['"', '\'']) {
            let saw = format!("the value of {name} begins with a quotation mark, which is then a part of it");
            findings.push(failure(saw, format!("write {name}=… without quotes where no shell takes them off, as in an env file")));
        }
    }
    findings
}

fn spelling(environment: &Environment) -> Vec<Finding> {
    let unknown = environment.0.keys().filter(|name| name.starts_with("OTEL_") && !KNOWN.contains(&name.as_str()));
    let misspelt = unknown.filter_map(|name| {
        let (nearest, distance) = KNOWN.iter().map(|known| (known, distance(name, known))).min_by_key(|(_, distance)| *distance)?;
        // There are many more variables of single SDKs, which are none of our business.
        (distance <= 2).then(|| {
            let saw = format!("{name} is set, and nobody reads it: is {nearest} meant?");
            warning(saw, format!("rename it to {nearest}, or unset it"))
        })
    });
    misspelt.collect()
}

/// Letters to put in, take out or exchange (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other = other.as_bytes();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, a) in one.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = at + 1;
        for (place, b) in other.iter().enumerate() {
            let changed = corner + usize::from(a != *b);
            corner = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

fn proxies(environment: &Environment) -> Vec<Finding> {
    let set: Vec<&str> = PROXIES.into_iter().filter(|name| environment.get(name).is_some()).collect();
    let Some(first) = set.first() else { return Vec::new() };
    let spared = ["NO_PROXY", "no_proxy"].iter().find_map(|name| environment.get(name)).unwrap_or_default();
    let spares_this_machine = spared.split(',').map(str::trim).any(|host| matches!(host, "*" | "localhost" | "127.0.0.1"));
    if spares_this_machine {
        let saw = format!("{first} is set; tracelab asks no proxy, and for other programs NO_PROXY spares this machine");
        return vec![Finding::ok(PROXY, saw)];
    }
    let saw = format!("{first} is set: tracelab asks no proxy, but other programs send even spans for this machine through it");
    vec![Finding::warning(PROXY, saw, "set NO_PROXY=localhost,127.0.0.1,::1,jaeger and whatever else is near")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn findings(variables: &[(&str, &str)]) -> Vec<Finding> {
        check(&Environment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))))
    }

    #[test]
    fn what_makes_sense_is_one_line() {
        for variables in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"), ("OTEL_TRACES_SAMPLER", "parentbased_always_on")],
            &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            &[("OTEL_SDK_DISABLED", "false"), ("OTEL_PROPAGATORS", "baggage, tracecontext"), ("OTEL_TRACES_EXPORTER", "")],
            &[("OTEL_PYTHON_LOG_CORRELATION", "true"), ("OTEL_INSTRUMENTATION_COMMON_DEFAULT_ENABLED", "true")],
            &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.0")],
        ] {
            let found = findings(variables);
            assert!(found.len() == 1 && found[0].result == Verdict::Ok, "{found:?}");
        }
    }

    #[test]
    fn every_fault_has_its_line_and_a_way_out() {
        use Verdict::{Failure, Warning};
        for (variables, result, saw, way_out) in [
            (&[("OTEL_SDK_DISABLED", "TRUE")][..], Failure, "records nothing", "unset OTEL_SDK_DISABLED"),
            (&[("OTEL_TRACES_EXPORTER", "none")], Failure, "thrown away", "otlp"),
            (&[("OTEL_TRACES_EXPORTER", "console")], Failure, "to stdout", "otlp"),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")], Failure, "no http:// or https:// URL", "http://localhost:4318"),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/v1/traces/")],
                Failure,
                "/v1/traces/v1/traces",
                "set OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318",
            ),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318")], Failure, "without a path", "http://c:4318/v1/traces"),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                Warning,
                "port 4318, which is for HTTP",
                "4317",
            ),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317")], Warning, "port 4317, which is for gRPC", "4318"),
            (
                &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://d:4318/v1/traces"),
                ],
                Warning,
                "differ",
                "unset",
            ),
            (
                &[("OTEL_EXPORTER_JAEGER_ENDPOINT", "http://j:14268")],
                Warning,
                "hardly any SDK reads",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
            ),
            (&[("OTEL_TRACES_SAMPLER", "parentbased_always_off")], Failure, "record nothing", "unset"),
            (&[("OTEL_TRACES_SAMPLER", "always_sometimes")], Warning, "always_sometimes is a sampler", "always_on"),
            (
                &[("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")],
                Failure,
                "nothing is recorded",
                "above 0",
            ),
            (
                &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.1")],
                Warning,
                "10 % of all",
                "traceresponse",
            ),
            (&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "ten")], Warning, "no share", "0.1"),
            (&[("OTEL_PROPAGATORS", "none")], Failure, "traces of its own", "unset"),
            (&[("OTEL_PROPAGATORS", "b3,baggage")], Warning, "leaves out tracecontext", "tracecontext,baggage"),
            (&[("OTEL_PROPAGATORS", "tracecontext")], Warning, "leaves out baggage", "tracecontext,baggage"),
            (&[("OTEL_EXPORTER_OTLP_HEADERS", "authorization: Bearer sesame")], Failure, "no list of name=value", "Bearer%20TOKEN"),
            (&[("OTEL_EXPORTER_OTLP_TIMEOUT", "10s")], Failure, "no whole number of milliseconds", "10000"),
            (&[("OTEL_EXPORTER_OTLP_TIMEOUT", "10")], Warning, "10 milliseconds", "10000"),
            (&[("OTEL_EXPORTER_OTLP_COMPRESSION", "snappy")], Failure, "snappy", "gzip"),
            (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http")], Failure, "nobody knows", "http/protobuf"),
            (&[("OTEL_RESOURCE_ATTRIBUTES", "team")], Warning, "no list of key=value", "team=blue"),
            (&[("OTEL_SERVICE_NAME", "\"shop\"")], Failure, "quotation mark", "without quotes"),
            (&[("OTEL_EXPORTER_OLTP_ENDPOINT", "http://c:4318")], Warning, "is OTEL_EXPORTER_OTLP_ENDPOINT meant?", "rename"),
            (&[("HTTP_PROXY", "http://proxy:3128")], Warning, "HTTP_PROXY is set", "NO_PROXY=localhost"),
        ] {
            let found = findings(variables);
            let about = |finding: &&Finding| finding.saw.contains(saw);
            let finding = found.iter().find(about).unwrap_or_else(|| panic!("{variables:?}: {found:?}"));
            assert_eq!(finding.result, result, "{finding:?}");
            assert!(finding.way_out.as_ref().unwrap().contains(way_out), "{finding:?}");
            assert!(!format!("{found:?}").contains("sesame"), "{found:?}");
        }
    }
}
