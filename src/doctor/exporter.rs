//! By which way spans leave, where that is not OTLP.

use super::{Finding, probe};
use crate::config::Config;
use crate::telemetry::Exporter;

pub(super) const CHECK: &str = "exporter";

/// Nothing to say where spans go by OTLP.
pub(super) fn check(config: &Config) -> Option<Finding> {
    let otlp = "unset OTEL_TRACES_EXPORTER (or TRACELAB_EXPORTER), or start what makes traces with --exporter otlp";
    Some(match config.exporter {
        Exporter::Otlp => return None,
        Exporter::None => Finding::failure(CHECK, "traces go nowhere: the exporter is none", otlp),
        Exporter::Stdout => Finding::failure(CHECK, "traces go to stdout, and to no Jaeger: the exporter is stdout", otlp),
        Exporter::JaegerAgent => {
            let agent = probe::agent(config);
            Finding::ok(
                CHECK,
                format!("spans go to the Jaeger agent at {agent} by UDP, which answers nobody: only a span that arrives tells"),
            )
        }
    })
}
