//! Log lines: JSON on stdout, and the same records by OTLP.
//!
//! A line written while a request is handled carries the request's `trace_id` and `span_id` and the name of the service that
//! handles it, since the request's context does.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::time::SystemTime;

use anyhow::Context as _;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, Severity};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, Key};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Instrument;

/// So many lines may wait to be written; the crate's own limit takes 5 MB for the places alone.
const WAITING_LINES: usize = 8_192;

/// Which lines are written where; both in the simple syntax of `RUST_LOG`, for example `info,tracelab::service=debug`.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// What reaches stdout.
    pub console: String,
    /// What goes by OTLP, where logs are exported at all.
    pub export: String,
    /// The name that lines carry which belong to no request.
    pub service: String,
}

/// Keeps the writer of log lines alive; dropping it writes what is left.
#[derive(Debug)]
pub struct Logs {
    _writer: WorkerGuard,
}

impl Logs {
    /// Installs the process's subscriber, writing to stdout.
    ///
    /// # Errors
    /// A filter that cannot be read, or a second call.
    pub fn start(settings: &LogSettings) -> anyhow::Result<Self> {
        // A terminal or pipe that nobody reads must not hold up a request: lines wait in a bounded queue.
        let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).finish(std::io::stdout());
        subscriber(settings, writer)?.try_init().context("the log is already started")?;
        Ok(Self { _writer: guard })
    }
}

/// The subscriber that [`Logs::start`] installs, with a writer of the caller's choice.
fn subscriber<W>(settings: &LogSettings, writer: W) -> anyhow::Result<impl Subscriber + Send + Sync + use<W>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = |text: &str| {
        text.parse::<Targets>().with_context(|| format!("{text:?} is no log filter; try info or info,tracelab::service=debug"))
    };
    let console = Console { writer, service: settings.service.clone() }.with_filter(filter(&settings.console)?);
    let export = Export.with_filter(filter(&settings.export)?);
    Ok(tracing_subscriber::registry().with(console).with(export))
}

/// Writes each event as one JSON object on a line.
struct Console<W> {
    writer: W,
    service: String,
}

impl<S, W> Layer<S> for Console<W>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let cx = Context::current();
        let mut line = Map::new();
        line.insert("timestamp".into(), timestamp().into());
        line.insert("level".into(), event.metadata().level().as_str().into());
        let service = cx.get::<Instrument>().map_or(self.service.as_str(), Instrument::name);
        line.insert("service".into(), service.into());
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.insert("message".into(), fields.message.into());
        if cx.has_active_span() {
            let span = cx.span();
            line.insert("trace_id".into(), span.span_context().trace_id().to_string().into());
            line.insert("span_id".into(), span.span_context().span_id().to_string().into());
        }
        for (name, value) in fields.others {
            // A field never displaces what every line has.
            line.entry(name).or_insert(value);
        }
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            // There is nowhere left to report a log that cannot be written.
            let _ = self.writer.make_writer().write_all(&text);
        }
    }
}

/// Hands each event of a request to its service's logger.
struct Export;

impl<S: Subscriber> Layer<S> for Export {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let cx = Context::current();
        let Some(instrument) = cx.get::<Instrument>() else { return };
        let logger = instrument.logger();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let mut record = logger.create_log_record();
        record.set_timestamp(SystemTime::now());
        record.set_severity_number(severity(level));
        record.set_severity_text(level.as_str());
        record.set_body(fields.message.into());
        for (name, value) in fields.others {
            record.add_attribute(Key::from_static_str(name), any_value(value));
        }
        // The logger takes trace and span id from the current context itself.
        logger.emit(record);
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::TRACE => Severity::Trace,
        Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warn,
        Level::ERROR => Severity::Error,
    }
}

fn any_value(value: Value) -> AnyValue {
    match value {
        Value::Bool(value) => value.into(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => value.into(),
            (None, Some(value)) => value.into(),
            (None, None) => number.to_string().into(),
        },
        Value::String(value) => value.into(),
        other => other.to_string().into(),
    }
}

/// Microseconds, UTC, as RFC 3339 has it.
fn timestamp() -> String {
    let mut text = String::with_capacity(27);
    // Writing to a String cannot fail.
    let _ = write!(text, "{:.6}", jiff::Timestamp::now());
    text
}

/// An event's message and its other fields.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.others.push((field.name(), format!("{value:?}").into()));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.others.push((field.name(), value.into()));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.others.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), value.into()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(console: &str, write: impl FnOnce()) -> Vec<Value> {
        let settings = LogSettings { console: console.to_owned(), export: "off".to_owned(), service: "dummy-1-17".to_owned() };
        let lines = Lines::default();
        let writer = lines.clone();
        tracing::subscriber::with_default(subscriber(&settings, move || writer.clone()).unwrap(), write);
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_is_json_with_typed_fields_and_none_displaces_what_every_line_has() {
        let lines = written("info", || tracing::info!(calls = 3, failed = true, service = "mine", "two\nlines"));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&line["calls"], &line["failed"], &line["message"]), (&3.into(), &true.into(), &"two\nlines".into()));
        assert_eq!((&line["level"], &line["service"]), (&"INFO".into(), &"dummy-1-17".into()));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(line.get("trace_id").is_none(), "it belongs to no request");
    }

    #[test]
    fn a_filter_counts_by_level_and_one_that_is_none_is_refused() {
        let write = || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        };
        assert_eq!(written("warn", write).len(), 1);
        let settings = LogSettings { console: "nonsense=9".into(), export: "off".into(), service: String::new() };
        let error = format!("{:#}", subscriber(&settings, std::io::sink).err().unwrap());
        assert!(error.contains("nonsense=9"), "{error}");
    }
}
