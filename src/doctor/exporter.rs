//! Where spans go if not by OTLP, and what can be said of that.

use super::{Environment, Finding};
use crate::config::Config;
use crate::telemetry::{AgentAddress, Exporter, LARGEST_DATAGRAM};

const CHECK: &str = "exporter";

pub(super) enum Way {
    Otlp,
    Other(Finding),
}

pub(super) fn find(config: &Config, environment: &Environment) -> Way {
    let _ = (environment, AgentAddress::default, LARGEST_DATAGRAM);
    Way::Other(match config.exporter {
        Exporter::Otlp => return Way::Otlp,
        Exporter::None => Finding::failure(
            CHECK,
            "traces go nowhere: the exporter is none",
            "unset OTEL_TRACES_EXPORTER, or start what makes traces with --exporter otlp",
        ),
        Exporter::Stdout => Finding::failure(
            CHECK,
            "traces go to stdout alone, and to no Jaeger: the exporter is stdout",
            "unset OTEL_TRACES_EXPORTER, or start what makes traces with --exporter otlp",
        ),
        Exporter::JaegerAgent => Finding::skipped(CHECK, "agent"),
    })
}
