//! Do traces come about? One call through the frontend, with a trace context of our own, is looked for in Jaeger and looked at.
//!
//! What a trace should be like is `hops`' business. A call that is not to be recorded, and one that leaves it to the frontend, say
//! what sampling does to all others.

mod hops;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use super::ask::{self, Answer, ask, why};
use super::environment::Environment;
use super::{Finding, Says};
use crate::diagnose::figures;
use crate::diagnose::model::{Builder, Parent, Traces};
use crate::jaeger::{Api, Client, JaegerError, Settings, Wanted};
use hops::{Elsewhere, Way};

const FRONTEND: &str = "frontend";
pub(super) const CALL: &str = "call";
const CONTEXT: &str = "context";
const SAMPLING: &str = "sampling";
const UNSAMPLED: &str = "unsampled";
pub(super) const TRACE: &str = "trace";
const KEPT: &str = "trace-kept";

/// Batches of spans wait for five seconds in most SDKs, and again in a collector.
pub const PATIENCE: Duration = Duration::from_secs(12);
/// A trace that nobody is to record is waited for so long at least.
const LEAST_WAIT: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Some calls fail because a mystery wants them to; the next one may not.
const PRESSES: u32 = 3;
const BUTTON: u16 = 0;
/// Of so many services that are missing it is asked what else they left.
const LOOKED_FOR: usize = 6;
/// Traces of a service that are looked through for that.
const LOOKED_THROUGH: usize = 50;
/// Clocks may differ by so much before the window in which a service is looked for misses it.
const WINDOW_MARGIN: Duration = Duration::from_secs(2);
const NAME_IT: &str = "--frontend URL names another one";

/// What is called, and where its trace is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub http: &'a reqwest::Client,
    pub frontend: &'a Url,
    /// Base URL of the query API.
    pub jaeger: &'a str,
    /// Of this process; the frontend's may be another one.
    pub environment: &'a Environment,
    /// A trace that is not whole by then is judged as it is; [`PATIENCE`] suits.
    pub patience: Duration,
}

/// The frontend's `/api/topology`, as far as it matters.
#[derive(Debug, Deserialize)]
struct Topology {
    layers: u16,
    width: u16,
    jaeger: Option<String>,
}

/// What the frontend answers to a press.
#[derive(Debug, Default, Deserialize)]
struct Pressed {
    error: Option<String>,
    #[serde(default)]
    path: Vec<String>,
    #[serde(default)]
    latency_ms: f64,
}

/// What the frontend thinks of a trace.
#[derive(Debug, Deserialize)]
struct Opinion {
    state: String,
    url: Option<String>,
    message: String,
}

/// A `traceparent` or a `traceresponse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// A call that was made.
#[derive(Debug)]
struct Made {
    /// What was sent; a call that leaves everything to the frontend has none.
    sent: Option<Header>,
    status: StatusCode,
    pressed: Pressed,
    response: Option<Header>,
    began: Timestamp,
}

impl Made {
    /// Where its spans are, if there are any.
    fn trace(&self) -> Option<u128> {
        self.response.or(self.sent).map(|header| header.trace)
    }

    fn sampled(&self) -> bool {
        self.response.is_none_or(|header| header.sampled)
    }
}

/// Calls, and says what became of it as soon as it is known.
pub(super) async fn check(call: &Call<'_>, says: Says) {
    // Whoever reads it does so to the end.
    let say = |finding: Finding| drop(says.send(finding));
    let topology = match frontend(call).await {
        Ok(topology) => topology,
        Err(finding) => return say(finding),
    };
    let shape = format!("{} × {} services", topology.layers, topology.width);
    say(Finding::ok(FRONTEND, format!("{} is ready, and has {shape} behind it", call.frontend)));
    let made = match press_until_answered(call).await {
        Ok(made) => made,
        Err(finding) => return say(finding),
    };
    say(answered(&made, &topology));
    context(&made).into_iter().for_each(say);
    // Both have left their spans by the time the first one's were found.
    let unsampled = press(call, Some(Header { sampled: false, ..header() })).await.ok();
    let undecided = press(call, None).await.ok();
    say(sampling(&made, undecided.as_ref(), call.environment));
    if !made.sampled() {
        let because = "it is not looked for: the frontend did not record it, and said so to all the others";
        return say(Finding::skipped(TRACE, because));
    }
    let jaeger = Jaeger::new(call);
    let (about, waited) = look_for(call, &jaeger, &made, &topology).await;
    about.into_iter().for_each(say);
    if let Some(unsampled) = unsampled {
        let still = waited.unwrap_or(call.patience / 2).max(LEAST_WAIT);
        respects(call, &jaeger, &unsampled, still).await.into_iter().for_each(say);
    }
    if let (Some(waited), Some(trace)) = (waited, made.trace()) {
        kept(&jaeger, trace, waited).await.into_iter().for_each(say);
    }
}

fn endpoint(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Is it one of ours, and ready?
async fn frontend(call: &Call<'_>) -> Result<Topology, Finding> {
    let url = call.frontend;
    let failure = |saw: String, way_out: &str| Err(Finding::failure(FRONTEND, saw, format!("{way_out}; {NAME_IT}")));
    let start_it = "start one (`tracelab up`, or the compose stage)";
    let ready = match ask(call.http.get(endpoint(url, "readyz"))).await {
        Ok(ready) => ready,
        Err(error) => return failure(format!("{url} cannot be reached: {}", why(error).0), start_it),
    };
    let answer = match ask(call.http.get(endpoint(url, "api/topology"))).await {
        Ok(answer) => answer,
        Err(error) => return failure(format!("{url} does not say what is behind it: {}", why(error).0), start_it),
    };
    if let Some(topology) = answer.json().and_then(|json| serde_json::from_value::<Topology>(json).ok()) {
        return match ready.status.is_success() {
            true => Ok(topology),
            false => failure(format!("{url} is not ready: {}{}", ready.status, ready.said()), "wait for it, or look at its log"),
        };
    }
    if let Some(error) = error_of(&answer) {
        let way_out = "it says what it wants: a name that it does not know is one for --allowed-hosts, where it is started";
        return failure(format!("{url} does not answer the doctor: {error}"), way_out);
    }
    let what = if answer.is_page() { "a page".to_owned() } else { format!("{}{}", answer.status, answer.said()) };
    failure(format!("what answers at {url} is no frontend of ours: /api/topology is answered with {what}"), start_it)
}

/// What is wrong, in the form of our own programs.
fn error_of(answer: &Answer) -> Option<String> {
    // Nothing of ours has errors at a path that it does not know but those with this path's name; others' 404 say nothing.
    let error = answer.json()?.get("error")?.as_str()?.to_owned();
    (answer.status != StatusCode::NOT_FOUND).then_some(error)
}

fn header() -> Header {
    Header { trace: rand::random::<u128>().max(1), span: rand::random::<u64>().max(1), sampled: true }
}

impl Header {
    fn text(self) -> String {
        format!("00-{:032x}-{:016x}-0{}", self.trace, self.span, u8::from(self.sampled))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut next =
            |length: usize| parts.next().filter(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let (_version, trace, span, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            sampled: flags & 1 == 1,
        })
    }
}

async fn press(call: &Call<'_>, sent: Option<Header>) -> Result<Made, Finding> {
    let url = endpoint(call.frontend, &format!("api/buttons/{BUTTON}"));
    let mut request = call.http.post(url).header("baggage", format!("{}={}", hops::CLIENT.0, hops::CLIENT.1));
    if let Some(sent) = sent {
        request = request.header("traceparent", sent.text());
    }
    let began = Timestamp::now();
    let answer = ask(request).await.map_err(|error| {
        let way_out = "a service may hang: press the button on the page, and look at the traces and the services' logs";
        Finding::failure(CALL, format!("button {BUTTON} is not answered: {}", why(error).0), way_out)
    })?;
    let pressed = answer.json().and_then(|json| serde_json::from_value::<Pressed>(json).ok());
    let Some(pressed) = pressed else {
        let saw =
            format!("button {BUTTON} is answered with {}{}, which is no answer of our frontend", answer.status, answer.said());
        return Err(Finding::failure(CALL, saw, "something between changes answers: name the frontend itself with --frontend"));
    };
    let response = answer.header("traceresponse").and_then(Header::parse);
    Ok(Made { sent, status: answer.status, pressed, response, began })
}

async fn press_until_answered(call: &Call<'_>) -> Result<Made, Finding> {
    let mut made = press(call, Some(header())).await?;
    for _ in 1..PRESSES {
        if made.status.is_success() {
            break;
        }
        made = press(call, Some(header())).await?;
    }
    match made.trace() {
        Some(_) if made.status.is_success() || !made.pressed.path.is_empty() => Ok(made),
        _ => {
            let said = made.pressed.error.unwrap_or_default();
            let saw = format!("button {BUTTON} is refused: {}: {said}", made.status);
            Err(Finding::failure(CALL, saw, "it says what it wants; a frontend that is busy is free again in a moment"))
        }
    }
}

fn answered(made: &Made, topology: &Topology) -> Finding {
    let path = figures::some(&made.pressed.path);
    let took = figures::duration(made.pressed.latency_ms);
    if let Some(error) = &made.pressed.error {
        let saw = format!("button {BUTTON} failed {PRESSES} times: {error}; what is behind {path} is not looked at");
        let way_out =
            "failing calls leave traces as well: look for their red spans in Jaeger; if a mystery is running here, this may be it";
        return Finding::warning(CALL, saw, way_out);
    }
    let saw = format!("button {BUTTON} was answered after {took} by way of {path}");
    match made.pressed.path.len() < usize::from(topology.layers) {
        true => Finding::warning(
            CALL,
            format!("{saw}, though there are {} layers", topology.layers),
            "the last of them is a program of your own, which does not say whom it called: an answer like {\"message\": …, \"path\": \
             [names]}, its own name first, would have the hops behind it looked at too",
        ),
        false => Finding::ok(CALL, saw),
    }
}

/// Did the frontend go on with the trace that it was sent?
fn context(made: &Made) -> Option<Finding> {
    let sent = made.sent?;
    Some(match made.response {
        Some(response) if response.trace == sent.trace => {
            Finding::ok(CONTEXT, format!("the frontend went on with the trace that it was sent, {:032x}", sent.trace))
        }
        Some(response) => Finding::failure(
            CONTEXT,
            format!("the frontend began the trace {:032x} instead of going on with the one that it was sent", response.trace),
            "it does not read traceparent: start it without OTEL_PROPAGATORS, or with OTEL_PROPAGATORS=tracecontext,baggage (key \
             propagators); or a proxy in front of it takes the header out",
        ),
        None => Finding::warning(
            CONTEXT,
            "the answer has no traceresponse: the frontend has no span of its own, or somebody takes the header out",
            "start the frontend with instrumentation = full, without OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER=none; or ask it \
             without the proxy between (--frontend URL)",
        ),
    })
}

/// Is recorded what shall be?
fn sampling(made: &Made, undecided: Option<&Made>, environment: &Environment) -> Finding {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    let here = match environment.get(NAME) {
        Some(sampler) => format!(" ({NAME}={sampler} is set here; if the stage was started with it, that is why)"),
        None => String::new(),
    };
    let way_out =
        format!("start frontend and services without {NAME}, or with {NAME}=parentbased_always_on, which is the default{here}");
    if !made.sampled() {
        let saw = "the frontend does not sample, even where the caller asks for it: its traceresponse ends in 00, and nobody records the call";
        return Finding::failure(SAMPLING, saw, way_out);
    }
    if made.response.is_none() {
        return Finding::skipped(SAMPLING, "without a traceresponse the frontend does not say what it samples");
    }
    match undecided {
        Some(undecided) if !undecided.sampled() => Finding::warning(
            SAMPLING,
            "what its caller wants recorded is sampled, but a call that leaves it to the frontend was not: of the page's presses some or all \
             leave no trace",
            way_out,
        ),
        _ => Finding::ok(SAMPLING, "what its caller wants recorded is sampled, and so is a call that leaves it to the frontend"),
    }
}

/// The query API, asked about single traces.
struct Jaeger {
    client: Client,
    base: String,
}

/// What was there, and when.
#[derive(Debug, Default)]
struct Watched {
    traces: Traces,
    /// After how long the first of it was there.
    first: Option<Duration>,
    whole: Option<Duration>,
    /// It was there, and is not any more.
    vanished: bool,
}

impl Jaeger {
    fn new(call: &Call<'_>) -> Self {
        let settings = Settings { answer: ask::LIMIT, attempts: 1, ..Settings::default() };
        Self { client: Client::with(call.http.clone(), call.jaeger, settings), base: call.jaeger.to_owned() }
    }

    async fn read(&self, trace: u128) -> Result<Option<Traces>, JaegerError> {
        let mut builder = Builder::default();
        let (_, is_there) = self.client.read(trace, Api::V3, &mut builder).await?;
        let traces = builder.finish();
        Ok((is_there && traces.span_count() > 0).then_some(traces))
    }

    /// Asks until all of `way` is there, or patience ends.
    async fn watch(&self, trace: u128, patience: Duration, way: impl Fn(&Traces) -> Way) -> Result<Watched, JaegerError> {
        let start = Instant::now();
        let mut watched = Watched::default();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.read(trace).await? {
                Some(traces) => {
                    watched.first.get_or_insert(start.elapsed());
                    let is_whole = hops::is_whole(&traces, &way(&traces));
                    watched.traces = traces;
                    if is_whole {
                        watched.whole = Some(start.elapsed());
                        return Ok(watched);
                    }
                }
                None if watched.first.is_some() => {
                    watched.vanished = true;
                    return Ok(watched);
                }
                None => {}
            }
            if start.elapsed() >= patience {
                return Ok(watched);
            }
            tokio::time::sleep(pause.min(patience)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What the first of these services left from `since` on, as far as that could be found out.
    async fn elsewhere(&self, services: &[&str], since: Timestamp) -> BTreeMap<String, Elsewhere> {
        let nanoseconds = |time: Timestamp| u64::try_from(time.as_nanosecond()).unwrap_or_default();
        let margin = WINDOW_MARGIN.as_nanos() as u64;
        let (start, end) = (nanoseconds(since).saturating_sub(margin), nanoseconds(Timestamp::now()) + margin);
        let mut found = BTreeMap::new();
        for service in services.iter().take(LOOKED_FOR) {
            let mut builder = Builder::default();
            let wanted = Wanted { start, end, services: vec![(*service).to_owned()], limit: LOOKED_THROUGH };
            if self.client.collect(&wanted, &mut builder, |_| {}).await.is_err() {
                continue;
            }
            let traces = builder.finish();
            let own = |span: &&crate::diagnose::model::Span| traces.texts.get(traces.service(span)) == *service;
            let own: Vec<_> = traces.spans().iter().filter(own).collect();
            let begins = own.iter().any(|span| span.parent == Parent::Root);
            found.insert((*service).to_owned(), Elsewhere { begins, any: !own.is_empty() });
        }
        found
    }
}

/// Findings about the trace of a call, and how long it took to be there, whole or not.
async fn look_for(call: &Call<'_>, jaeger: &Jaeger, made: &Made, topology: &Topology) -> (Vec<Finding>, Option<Duration>) {
    let Some(trace) = made.trace() else { return (Vec::new(), None) };
    let own = made.response.map(|header| header.span);
    let way = |traces: &Traces| Way::of(&made.pressed.path).with_frontend(traces, own);
    let watched = match jaeger.watch(trace, call.patience, way).await {
        Ok(watched) => watched,
        Err(error) => {
            let way_out = "have the query API answer first; --jaeger URL names another one";
            return (vec![Finding::failure(TRACE, error.to_string(), way_out)], None);
        }
    };
    if watched.vanished {
        return (vec![vanished(trace)], None);
    }
    let Watched { traces, first, whole, .. } = watched;
    let way = way(&traces);
    let elsewhere = jaeger.elsewhere(&way.telling(&traces), made.began).await;
    let Some(first) = first else {
        let mut findings = vec![absent(call, jaeger, trace, topology).await];
        if elsewhere.values().any(|left| left.begins) {
            findings.extend(hops::breaks(&traces, &way, &elsewhere));
        }
        return (findings, None);
    };
    let spans = figures::counted(traces.span_count() as u64, "span");
    let after = |time: Duration| figures::duration(time.as_secs_f64() * 1e3);
    let mut findings = vec![match whole {
        Some(whole) => Finding::ok(TRACE, format!("Jaeger has it, whole after {}: {spans}", after(whole))),
        None => Finding::ok(
            TRACE,
            format!(
                "Jaeger has some of it after {}: {spans}; {} later nothing had come",
                after(first),
                after(call.patience - first)
            ),
        ),
    }];
    findings.extend(hops::judge(&traces, &way, &elsewhere));
    (findings, Some(whole.unwrap_or(first)))
}

fn vanished(trace: u128) -> Finding {
    Finding::failure(
        KEPT,
        format!("the trace {trace:032x} was there and is gone again: Jaeger keeps traces for seconds only"),
        "give it more memory: --store-mb for the backend inside, max_traces for a Jaeger that keeps them in memory (TRACELAB_JAEGER_TRACES \
         in the compose stage); and see who fills it: a load that runs, or a service that makes thousands of spans",
    )
}

/// Nothing of the trace is there.
async fn absent(call: &Call<'_>, jaeger: &Jaeger, trace: u128, topology: &Topology) -> Finding {
    let waited = figures::duration(call.patience.as_secs_f64() * 1e3);
    let saw = format!("the Jaeger at {} does not have the trace {trace:032x}, {waited} after the call", jaeger.base);
    let asked = ask(call.http.get(endpoint(call.frontend, &format!("api/traces/{trace:032x}")))).await.ok();
    let opinion = asked.and_then(|answer| serde_json::from_value::<Opinion>(answer.json()?).ok());
    let link = topology.jaeger.as_deref().unwrap_or_default();
    if let Some(opinion) = opinion.as_ref().filter(|opinion| opinion.state == "ready") {
        let there = opinion.url.as_deref().unwrap_or(link);
        let way_out = format!("ask that one: --jaeger with the address that the link has, {there}");
        return Finding::failure(TRACE, format!("{saw}, but the frontend's own Jaeger has it"), way_out);
    }
    let says = match opinion {
        Some(Opinion { state, message, .. }) if state == "unreachable" => format!("; the frontend says: {message}"),
        _ => String::new(),
    };
    Finding::failure(
        TRACE,
        format!("{saw}, though the frontend says that it is recorded{says}"),
        "the frontend's spans go somewhere else, are lost or are not kept: compare its endpoint (--otlp, OTEL_EXPORTER_OTLP_ENDPOINT) with \
         the Jaeger that is asked (--jaeger); look in its log for `telemetry is being lost`; a collector between may filter or sample \
         (tail_sampling, probabilistic_sampler; then it is chance, and `tracelab load 100` leaves some traces); OTEL_TRACES_EXPORTER=none throws spans away",
    )
}

/// A caller that wants nothing recorded: is that kept?
async fn respects(call: &Call<'_>, jaeger: &Jaeger, made: &Made, still: Duration) -> Option<Finding> {
    let response = made.response?;
    if response.sampled {
        let saw = "a call whose caller said that it is not to be recorded was recorded all the same";
        let way_out = "harmless here; where a gateway samples, start everything with OTEL_TRACES_SAMPLER=parentbased_always_on or \
                       parentbased_traceidratio: samplers without parentbased_ decide anew, and leave parts of traces";
        return Some(Finding::warning(UNSAMPLED, saw, way_out));
    }
    let start = Instant::now();
    let traces = loop {
        match jaeger.read(response.trace).await.ok()? {
            Some(traces) => break traces,
            None if start.elapsed() >= still.min(call.patience) => {
                let saw = "this stage keeps the caller's decision: a call sent with flags 00 left no trace";
                return Some(Finding::ok(UNSAMPLED, saw));
            }
            None => tokio::time::sleep(LONGEST_PAUSE.min(still)).await,
        }
    };
    let services: BTreeSet<&str> = traces.spans().iter().map(|span| traces.texts.get(traces.service(span))).collect();
    let services = figures::some(&services.into_iter().collect::<Vec<_>>());
    let saw = format!("a call that is not to be recorded was recorded all the same by {services}: such traces are only parts");
    let way_out =
        format!("start {services} with OTEL_TRACES_SAMPLER=parentbased_always_on; nginx: `otel_trace $otel_parent_sampled`");
    Some(Finding::warning(UNSAMPLED, saw, way_out))
}

/// Is it still there?
async fn kept(jaeger: &Jaeger, trace: u128, waited: Duration) -> Option<Finding> {
    match jaeger.read(trace).await {
        Ok(None) => Some(vanished(trace)),
        Ok(Some(_)) => None,
        Err(error) => {
            let saw = format!(
                "Jaeger had the trace after {}, and does not answer any more: {error}",
                figures::duration(waited.as_secs_f64() * 1e3)
            );
            Some(Finding::failure(KEPT, saw, "look at its log, and give it more memory if that was short"))
        }
    }
}
