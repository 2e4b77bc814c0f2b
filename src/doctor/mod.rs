//! Why do I see no traces? One check after the other along a span's way, each with what was seen and, where it is not well, the way out.
//!
//! `environment` reads variables; `otlp`, `query` and `frontend` ask who listens where and what is spoken there; `clock` compares
//! clocks; `probe` sends a span and looks for it; `call` presses a button and looks at the trace;
//! `stage` asks Docker, and `holder` who has a port. What is independent runs side by side, and every wait has an end. How a finding
//! reads is `finding`'s; what the exit code is, the command's.

mod ask;
mod call;
mod clock;
mod connect;
mod environment;
mod exporter;
mod finding;
mod frontend;
mod holder;
mod otlp;
mod probe;
mod query;
mod stage;

use futures_util::future::OptionFuture;
use futures_util::join;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

pub use environment::Environment;
pub use finding::{Finding, Verdict};

use crate::config::Config;
use crate::outbound;
use crate::telemetry::Exporter;
use call::Call;
use otlp::Endpoint;

/// What shall be looked at.
#[derive(Clone, Debug)]
pub struct Plan {
    pub config: Config,
    pub environment: Environment,
    /// Somebody named the frontend, and will want to know why it does not answer.
    pub frontend_named: bool,
    /// Why our own roles would not start with these variables.
    pub refused: Option<String>,
    /// Sends a span, which stays where it arrives.
    pub probe: bool,
    /// Presses buttons of the frontend.
    pub call: bool,
    /// Asks Docker about the compose stage.
    pub compose: bool,
}

/// All that was found.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// In the order of a span's way.
    pub findings: Vec<Finding>,
    /// Somebody listened somewhere.
    pub reached: bool,
    /// A span of ours went all the way.
    pub arrived: bool,
}

/// Where a check says what it found, a line at a time; it has ended when this is dropped.
type Says = UnboundedSender<Finding>;

/// Makes all checks, and hands every finding to `tell` as soon as those before it are there.
///
/// # Errors
/// An address that is none, and what no check can do without.
pub async fn examine(plan: &Plan, mut tell: impl FnMut(&Finding)) -> anyhow::Result<Diagnosis> {
    let config = &plan.config;
    let client = outbound::client()?;
    let jaeger = config.jaeger_url();
    let mut findings = Vec::new();
    let mut note = |finding: Finding| {
        tell(&finding);
        findings.push(finding);
    };

    let mut variables = environment::check(&plan.environment);
    if let Some(reason) = &plan.refused
        && !variables.iter().any(Finding::is_failure)
    {
        variables.push(environment::refused(reason));
    }
    variables.into_iter().for_each(&mut note);

    let (delivery, endpoint) = match exporter::check(config) {
        Some(finding) => (Some(finding), None),
        None => match Endpoint::find(config, &plan.environment) {
            Ok(endpoint) if plan.compose && endpoint.named_by.is_none() => (Some(otlp::inside()), None),
            Ok(endpoint) => (None, Some(endpoint)),
            Err(error) => (Some(otlp::unusable(&error)), None),
        },
    };
    let [(stage_says, stage_said), (sent_says, sent_said), (query_says, query_said)] = [(); 3].map(|()| unbounded_channel());
    let (ours_says, ours_said) = oneshot::channel();
    let stage = async {
        let found = OptionFuture::from(plan.compose.then(|| stage::examine(&plan.environment))).await;
        say(stage_says, found.unwrap_or_default());
    };
    let sent = async {
        let mut sent = OptionFuture::from(endpoint.as_ref().map(otlp::examine)).await;
        // Whether a call will tell more is known as soon as somebody answers there.
        if let (Some(sent), Some(endpoint)) = (&mut sent, &endpoint)
            && !sent.reached
            && plan.call
            && ours_said.await.unwrap_or(false)
        {
            sent.excuse(endpoint);
        }
        let found = sent.as_mut().map(|sent| std::mem::take(&mut sent.findings));
        say(sent_says, delivery.into_iter().chain(found.unwrap_or_default()));
        sent
    };
    let query = async {
        let mut query = query::examine(&client, &jaeger).await;
        say(query_says, std::mem::take(&mut query.findings));
        query
    };
    let frontend = async {
        let frontend = frontend::examine(&client, &config.frontend, plan.frontend_named).await;
        // Nobody may want to know.
        let _ = ours_says.send(frontend.is_ours);
        frontend
    };
    let told = in_order([stage_said, sent_said, query_said], &mut note);
    let ((), sent, query, frontend, ()) = join!(stage, sent, query, frontend, told);
    let calls = plan.call && frontend.is_ours && query.api.is_some();
    // The call begins with a line about the frontend that says more.
    (!calls).then_some(frontend.finding).into_iter().for_each(&mut note);
    let reached = sent.as_ref().is_some_and(|sent| sent.reached) || query.reached || frontend.reached;

    let stamps =
        [("OTLP endpoint", sent.as_ref().and_then(|sent| sent.stamp)), ("Jaeger", query.stamp), ("frontend", frontend.stamp)];
    clock::check(&stamps).into_iter().for_each(&mut note);

    let [(probe_says, probe_said), (call_says, call_said)] = [(); 2].map(|()| unbounded_channel());
    let probe = async {
        let found = match (&endpoint, &sent, query.api) {
            _ if !plan.probe => Finding::skipped(probe::CHECK, "not wanted (--no-probe)"),
            (_, _, Some(api)) if config.exporter == Exporter::JaegerAgent => probe::by_agent(config, &client, &jaeger, api).await,
            (Some(endpoint), Some(sent), Some(api)) if sent.accepts => probe::examine(endpoint, &client, &jaeger, api).await,
            (Some(_), Some(sent), _) if sent.accepts => Finding::skipped(probe::CHECK, "no query API that could be asked for it"),
            _ => Finding::skipped(probe::CHECK, "nobody takes a span from here"),
        };
        let arrived = found.result == Verdict::Ok;
        say(probe_says, [found]);
        arrived
    };
    let call = async {
        let environment = &plan.environment;
        let call = Call { http: &client, frontend: &config.frontend, jaeger: &jaeger, environment, patience: call::PATIENCE };
        if calls {
            return call::check(&call, call_says).await;
        }
        let because = match (plan.call, frontend.is_ours) {
            (false, _) => "not wanted (--no-call)",
            (_, false) => "no frontend whose buttons could be pressed",
            (_, true) => "no query API that could be asked for its trace",
        };
        say(call_says, [Finding::skipped(call::CALL, because)]);
    };
    let (arrived, (), ()) = join!(probe, call, in_order([probe_said, call_said], &mut note));
    Ok(Diagnosis { findings, reached, arrived })
}

/// All that a check found.
fn say(says: Says, found: impl IntoIterator<Item = Finding>) {
    // Whoever reads it does so to the end.
    found.into_iter().for_each(|finding| drop(says.send(finding)));
}

/// Tells what checks that run side by side say: each line as soon as the checks before its own have ended, since the order of lines is
/// that of a span's way.
async fn in_order(said: impl IntoIterator<Item = UnboundedReceiver<Finding>>, mut note: impl FnMut(Finding)) {
    for mut said in said {
        while let Some(finding) = said.recv().await {
            note(finding);
        }
    }
}

impl Diagnosis {
    pub fn failed(&self) -> bool {
        self.findings.iter().any(Finding::is_failure)
    }

    /// The first cause in a sentence, or that there is none.
    pub fn conclusion(&self) -> String {
        if !self.reached {
            return "nothing that was looked for is running: `tracelab up` starts everything, and --otlp, --jaeger and --frontend name \
                    what runs elsewhere"
                .to_owned();
        }
        if let Some(first) = self.findings.iter().find(|finding| finding.is_failure()) {
            let others = self.findings.iter().filter(|finding| finding.is_failure()).count() - 1;
            let then = match others {
                0 => String::new(),
                1 => "; then look at the other ✗".to_owned(),
                many => format!("; then look at the other {many} ✗"),
            };
            let way_out = first.way_out.as_ref().map(|way_out| format!(": {way_out}")).unwrap_or_default();
            return format!("begin with {}{way_out}{then}", first.check);
        }
        let warnings = self.findings.iter().filter(|finding| finding.result == Verdict::Warning).count();
        let found = self.findings.iter().any(|finding| finding.check == call::TRACE && finding.result == Verdict::Ok);
        let well = match (self.arrived, found) {
            (true, _) => "traces arrive: a span that was sent is found",
            (false, true) => "traces arrive: a call's is found",
            (false, false) => "nothing is wrong as far as could be seen; whether a span arrives was not tried",
        };
        match warnings {
            0 => well.to_owned(),
            1 => format!("{well}; one warning (!) may explain what you miss"),
            many => format!("{well}; {many} warnings (!) may explain what you miss"),
        }
    }
}
