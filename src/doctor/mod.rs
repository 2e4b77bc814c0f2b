//! Why do I see no traces? One check after the other along a span's way, each with what was seen and, where it is not well, the way out.
//!
//! `environment` reads variables; `otlp`, `query` and `frontend` ask who listens where and what is spoken there; `clock` compares
//! clocks; `probe` sends a span and looks for it; `call` presses a button and looks at the trace;
//! `stage` asks Docker. What is independent runs side by side, and every wait has an end. How a finding
//! reads is `finding`'s; what the exit code is, the command's.

mod ask;
mod call;
mod clock;
mod connect;
mod environment;
mod exporter;
mod finding;
mod frontend;
mod otlp;
mod probe;
mod query;
mod stage;

use futures_util::future::OptionFuture;
use futures_util::join;

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

/// Makes all checks, and hands every finding to `tell` as soon as those before it are there.
///
/// # Errors
/// An address that is none, and what no check can do without.
pub async fn examine(plan: &Plan, mut tell: impl FnMut(&Finding)) -> anyhow::Result<Diagnosis> {
    let config = &plan.config;
    let client = outbound::client()?;
    let jaeger = config.jaeger_url();
    let mut diagnosis = Diagnosis { findings: Vec::new(), reached: false, arrived: false };
    let mut note = |findings: Vec<Finding>, diagnosis: &mut Diagnosis| {
        findings.iter().for_each(&mut tell);
        diagnosis.findings.extend(findings);
    };

    let mut variables = environment::check(&plan.environment);
    if let Some(reason) = &plan.refused
        && !variables.iter().any(Finding::is_failure)
    {
        variables.push(environment::refused(reason));
    }
    note(variables, &mut diagnosis);

    let (delivery, endpoint) = match exporter::check(config) {
        Some(finding) => (Some(finding), None),
        None => match Endpoint::find(config, &plan.environment) {
            Ok(endpoint) if plan.compose && endpoint.named_by.is_none() => (Some(otlp::inside()), None),
            Ok(endpoint) => (None, Some(endpoint)),
            Err(error) => (Some(otlp::unusable(&error)), None),
        },
    };
    // Each is told when those before it were: the order of lines is the order of a span's way.
    let sent = OptionFuture::from(endpoint.as_ref().map(otlp::examine));
    let stage = OptionFuture::from(plan.compose.then(|| stage::examine(&plan.environment)));
    let frontend = frontend::examine(&client, &config.frontend, plan.frontend_named);
    let (mut sent, query, frontend, stage) = join!(sent, query::examine(&client, &jaeger), frontend, stage);
    note(stage.unwrap_or_default(), &mut diagnosis);
    note(delivery.into_iter().collect(), &mut diagnosis);
    if let Some(sent) = &mut sent {
        note(std::mem::take(&mut sent.findings), &mut diagnosis);
    }
    note(query.findings, &mut diagnosis);
    let calls = plan.call && frontend.is_ours && query.api.is_some();
    // The call begins with a line about the frontend that says more.
    note((!calls).then_some(frontend.finding).into_iter().collect(), &mut diagnosis);
    diagnosis.reached = sent.as_ref().is_some_and(|sent| sent.reached) || query.reached || frontend.reached;

    let stamps =
        [("OTLP endpoint", sent.as_ref().and_then(|sent| sent.stamp)), ("Jaeger", query.stamp), ("frontend", frontend.stamp)];
    note(clock::check(&stamps), &mut diagnosis);

    let probe = async {
        match (&endpoint, &sent, query.api) {
            _ if !plan.probe => Finding::skipped(probe::CHECK, "not wanted (--no-probe)"),
            (_, _, Some(api)) if config.exporter == Exporter::JaegerAgent => probe::by_agent(config, &client, &jaeger, api).await,
            (Some(endpoint), Some(sent), Some(api)) if sent.accepts => probe::examine(endpoint, &client, &jaeger, api).await,
            (Some(_), Some(sent), _) if sent.accepts => Finding::skipped(probe::CHECK, "no query API that could be asked for it"),
            _ => Finding::skipped(probe::CHECK, "nobody takes a span from here"),
        }
    };
    let call = async {
        let environment = &plan.environment;
        let call = Call { http: &client, frontend: &config.frontend, jaeger: &jaeger, environment, patience: call::PATIENCE };
        match calls {
            true => call::check(&call).await,
            false => vec![Finding::skipped(
                call::CALL,
                match (plan.call, frontend.is_ours) {
                    (false, _) => "not wanted (--no-call)",
                    (_, false) => "no frontend whose buttons could be pressed",
                    (_, true) => "no query API that could be asked for its trace",
                },
            )],
        }
    };
    let (probe, call) = join!(probe, call);
    diagnosis.arrived = probe.result == Verdict::Ok;
    note(vec![probe], &mut diagnosis);
    note(call, &mut diagnosis);
    Ok(diagnosis)
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
        let well = match self.arrived {
            true => "traces arrive: a span that was sent is found",
            false => "nothing is wrong as far as could be seen; whether a span arrives was not tried",
        };
        match warnings {
            0 => well.to_owned(),
            1 => format!("{well}; one warning (!) may explain what you miss"),
            many => format!("{well}; {many} warnings (!) may explain what you miss"),
        }
    }
}
