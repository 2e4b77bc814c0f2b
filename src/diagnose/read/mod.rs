//! Traces from files, answers and stores, in either of the formats that Jaeger's page loads: its own JSON and OTLP JSON.
//!
//! What it is shows when it is read: gzip or not; Jaeger's `{"data":[trace…]}`, a list of traces or one trace; OTLP's
//! `{"resourceSpans":…}`, `{"result":…}` around it, one document or one a line. Input is read as a stream. What was whole before
//! an input breaks off or turns to rubbish is used, and the rest is counted.

mod chunks;
mod jaeger;
mod otlp;
mod stream;
mod value;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

pub use chunks::Chunks;

use super::model::{Builder, Kind, Resource, Status, Text};
use jaeger::Open;
use stream::{Broken, Plain, Stream};

// Reasons for what is left out.
const UNREADABLE: &str = "span that cannot be read";
const NO_TIME: &str = "span without a start time that makes sense";
const CUT_OFF: &str = "span of a trace that was cut off";
const REST: &str = "rest of an input that breaks off";
/// For what is taken all the same.
const OTHER_UNIT: &str = "span with times in another unit than its format's, taken for that unit";

/// Envelopes inside envelopes, at most: a list, `data`, a trace.
const DEPTH: usize = 3;

/// What the resource of a span is called that has no service name: the name that OpenTelemetry's SDKs use.
const NAMELESS: &str = "unknown_service";

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("it cannot be read")]
    Input(#[from] io::Error),
    #[error("it is empty")]
    Empty,
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("it is JSON, but holds no traces: there is neither Jaeger's `data` or `spans` in it nor OTLP's `resourceSpans`")]
    NotTraces,
}

/// What one input came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Where and why reading stopped before the end, if it did.
    pub broken: Option<String>,
    /// What a query API says went wrong, if it does.
    pub refusal: Option<String>,
}

/// Reads a file.
///
/// # Errors
/// It is not there, is a directory, or holds no traces.
pub fn file(path: &Path, builder: &mut Builder) -> Result<Outcome, ReadError> {
    file_through(path, builder, |file| file)
}

/// Reads a file through what `wrap` makes of it, for example a progress bar.
///
/// # Errors
/// As [`file()`].
pub fn file_through<R: Read>(path: &Path, builder: &mut Builder, wrap: impl FnOnce(File) -> R) -> Result<Outcome, ReadError> {
    // Opening a directory works, and reading it says only which number the error has.
    if path.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    json(wrap(File::open(path)?), builder)
}

/// Reads traces in either format, gzip or not.
///
/// # Errors
/// It holds no traces; what it holds instead is said.
pub fn json(mut input: impl Read, builder: &mut Builder) -> Result<Outcome, ReadError> {
    let mut magic = Vec::new();
    input.by_ref().take(2).read_to_end(&mut magic)?;
    let zipped = magic == [0x1f, 0x8b];
    let input = Cursor::new(magic).chain(input);
    if zipped { plain(MultiGzDecoder::new(BufReader::new(input)), builder) } else { plain(input, builder) }
}

fn plain(input: impl Read, builder: &mut Builder) -> Result<Outcome, ReadError> {
    let mut stream = Stream::new(input);
    // A byte order mark, as Windows likes to write it.
    match stream.skip_text("\u{feff}").and_then(|_| stream.peek()) {
        Ok(Some(b'{' | b'[')) => {}
        Ok(Some(_)) => return Err(ReadError::NotJson(format!("it begins with {:?}", stream.next_text(20)))),
        Ok(None) => return Err(ReadError::Empty),
        Err(Broken::Input { error, .. }) => return Err(error.into()),
        Err(broken) => return Err(ReadError::NotJson(broken.to_string())),
    }
    let mut reader = Reader::new(builder);
    let read = reader.documents(&mut stream);
    let recognized = reader.recognized;
    let refusal = reader.refusal.take();
    match read {
        Err(broken) if !recognized => Err(ReadError::NotJson(broken.to_string())),
        Err(broken) => {
            builder.leave_out(REST);
            Ok(Outcome { broken: Some(broken.to_string()), refusal })
        }
        Ok(()) if !recognized && refusal.is_none() => Err(ReadError::NotTraces),
        Ok(()) => Ok(Outcome { broken: None, refusal }),
    }
}

/// What the levels of both formats call the fields that matter.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Data,
    Spans,
    Processes,
    ResourceSpans,
    Result,
    Error,
    Errors,
    #[serde(other)]
    Other,
}

struct Reader<'b> {
    builder: &'b mut Builder,
    /// Of the span at hand; kept for its memory.
    attributes: Vec<(Text, Text)>,
    scratch: String,
    /// Something in the input was a place where traces stand.
    recognized: bool,
    refusal: Option<String>,
}

impl<'b> Reader<'b> {
    fn new(builder: &'b mut Builder) -> Self {
        Self { builder, attributes: Vec::new(), scratch: String::new(), recognized: false, refusal: None }
    }

    /// All documents, one after the other.
    fn documents<R: Read>(&mut self, stream: &mut Stream<R>) -> Result<(), Broken> {
        while let Some(byte) = stream.peek()? {
            if byte == b'[' {
                stream.list(|stream| self.document(stream, 1))?;
            } else {
                self.document(stream, 0)?;
            }
        }
        Ok(())
    }

    /// An envelope with traces, or one trace.
    fn document<R: Read>(&mut self, stream: &mut Stream<R>, depth: usize) -> Result<(), Broken> {
        if depth > DEPTH {
            return stream.skip();
        }
        let mut open = Open::default();
        let read = stream.object::<Field>(|stream, field| {
            self.recognized |= !matches!(field, Field::Other | Field::Error | Field::Errors | Field::Result);
            match field {
                Field::Data => stream.list(|stream| self.document(stream, depth + 1)),
                Field::ResourceSpans => self.resource_spans(stream),
                Field::Result => self.document(stream, depth + 1),
                Field::Spans => self.jaeger_spans(stream, &mut open),
                Field::Processes => self.processes(stream, &mut open),
                Field::Error => stream.element::<Plain<Refusal>>(|refusal| self.refuse(refusal)).map(drop),
                Field::Errors => stream.list(|stream| stream.element::<Plain<Refusal>>(|refusal| self.refuse(refusal)).map(drop)),
                Field::Other => stream.skip(),
            }
        });
        self.close(&open, read.is_ok());
        read
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert(refusal.message);
    }
}

impl Reader<'_> {
    fn nameless(&mut self) -> u32 {
        let service = self.builder.text(NAMELESS);
        self.builder.resource(Resource { service, attributes: Vec::new() })
    }

    /// Nobody knows whose the spans since the first `pushed` are.
    fn cut_off(&mut self, pushed: usize) {
        for _ in 0..self.builder.take_back(pushed) {
            self.builder.leave_out(CUT_OFF);
        }
    }

    /// A start and a duration in units of `unit` nanoseconds as nanoseconds.
    ///
    /// An exporter that mistook the unit shows by starts that are today in another one. Small starts are none of these: traces
    /// made by hand count from 0.
    fn times(&mut self, start: i128, duration: i128, unit: i128) -> Option<(u64, i64)> {
        let today = |unit: i128| (TODAY.0..TODAY.1).contains(&start.saturating_mul(unit));
        let mut used = unit;
        if !today(unit)
            && let Some(other) = [1_000_000, 1_000, 1].into_iter().find(|other| today(*other))
        {
            used = other;
            self.builder.note(OTHER_UNIT);
        }
        let scaled = |number: i128| number.saturating_mul(used);
        let Ok(start) = u64::try_from(scaled(start)) else {
            self.builder.leave_out(NO_TIME);
            return None;
        };
        Some((start, scaled(duration).clamp(i64::MIN.into(), i64::MAX.into()) as i64))
    }
}

/// Nanoseconds since the epoch that a start in the right unit lies between: 1990 and 2100.
const TODAY: (i128, i128) = (631_152_000_000_000_000, 4_102_444_800_000_000_000);

/// The old name and the new one.
fn is_http_status(key: &str) -> bool {
    key == "http.response.status_code" || key == "http.status_code"
}

/// A server's answer of 500 and more is its failure even where the span does not say so; a client may expect one.
fn concluded(stated: Status, kind: Kind, http_status: Option<i64>) -> Status {
    let failed = stated == Status::Unset && kind == Kind::Server && http_status.is_some_and(|status| (500..600).contains(&status));
    if failed { Status::Error } else { stated }
}

/// `server` as in Jaeger's tags, `SERVER` as in protobuf's names.
fn kind_named(name: &str) -> Kind {
    match name {
        "server" | "SERVER" => Kind::Server,
        "client" | "CLIENT" => Kind::Client,
        "internal" | "INTERNAL" => Kind::Internal,
        "producer" | "PRODUCER" => Kind::Producer,
        "consumer" | "CONSUMER" => Kind::Consumer,
        _ => Kind::Unspecified,
    }
}

/// What a query API says of itself, v3 or legacy.
#[derive(Deserialize)]
struct Refusal {
    #[serde(alias = "msg", default)]
    message: String,
}

#[cfg(test)]
mod tests;
