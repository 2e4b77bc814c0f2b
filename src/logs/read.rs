//! Lines out of bytes, and those of the trace out of all: memory for one line, and for what is kept.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::mem::size_of;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use memchr::memchr;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::{self, Opened};
use super::trace_id::Needle;
use super::{Line, TraceId, fields, otlp, record, text};

const BUFFER: usize = 256 << 10;
/// The collector writes thousands of records as one line; what is longer than this is none that anybody reads.
const LONGEST: usize = 16 << 20;
/// What is kept of one trace, in bytes of memory: a loop in somebody's program must not take all of it.
const MOST: usize = 128 << 20;
/// Of what a program says beside log lines, the first so many are enough.
const MOST_REMARKS: usize = 20;

/// Whose bytes are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What Compose or kubectl prints: log lines have a prefix, and what has none are its own words.
    Program,
    /// A file, by its name, or stdin.
    File(Option<String>),
}

/// What was read, and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines of any trace.
    pub lines: u64,
    /// Longer than is taken.
    pub too_long: u64,
    /// Lines of this trace that were too many.
    pub too_many: u64,
    /// Lines of this trace that the backend evicted while it answered.
    pub evicted: u64,
    /// Lines with spans of this trace, which are no log lines.
    pub spans: u64,
}

/// Finds the lines of one trace in one or more inputs.
#[derive(Debug)]
pub struct Reader {
    needle: Needle,
    kind: Kind,
    /// The lines of the trace in the order of reading.
    pub lines: Vec<Line>,
    pub counts: Counts,
    /// What the program said that printed the lines.
    pub remarks: Vec<String>,
    /// Lines of which pieces came, by stream.
    pieces: HashMap<String, Begun>,
    kept: usize,
}

/// A line of which more is to come.
#[derive(Debug)]
struct Begun {
    /// What its first piece said.
    opened: Opened<'static>,
    body: String,
    /// Nothing of it is kept, but its end must come before the next line begins.
    too_long: bool,
}

/// The backend's `/api/logs`.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    /// When it began to answer.
    total: Option<u64>,
}

impl Counts {
    pub fn add(&mut self, other: Self) {
        self.lines += other.lines;
        self.too_long += other.too_long;
        self.too_many += other.too_many;
        self.evicted += other.evicted;
        self.spans += other.spans;
    }
}

impl Reader {
    pub fn new(trace: TraceId, kind: Kind) -> Self {
        Self {
            needle: Needle::new(trace),
            kind,
            lines: Vec::new(),
            counts: Counts::default(),
            remarks: Vec::new(),
            pieces: HashMap::new(),
            kept: 0,
        }
    }

    /// Reads to the end, gzip or not.
    ///
    /// # Errors
    /// Those of `input`; what came before is kept.
    pub fn read(&mut self, mut input: impl Read) -> io::Result<()> {
        let mut magic = Vec::new();
        input.by_ref().take(2).read_to_end(&mut magic)?;
        let zipped = magic == [0x1f, 0x8b];
        let input = Cursor::new(magic).chain(input);
        let read = if zipped { self.plain(MultiGzDecoder::new(BufReader::new(input))) } else { self.plain(input) };
        // A file may end in the middle of a line, and a program be stopped there.
        for (_, begun) in std::mem::take(&mut self.pieces) {
            self.ended(begun);
        }
        read
    }

    /// Takes the answer of the backend's `/api/logs`. False where it is none.
    pub fn answer(&mut self, body: &[u8]) -> bool {
        let Ok(Answer { data, total }) = serde_json::from_slice(body) else { return false };
        let count = data.len() as u64;
        self.counts.lines += count;
        self.counts.evicted += total.unwrap_or_default().saturating_sub(count);
        for raw in data {
            self.keep(record::of_backend(raw));
        }
        true
    }

    fn plain(&mut self, input: impl Read) -> io::Result<()> {
        let mut input = BufReader::with_capacity(BUFFER, input);
        let mut begun = Vec::new();
        let mut too_long = false;
        loop {
            let buffer = match input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    if !begun.is_empty() || too_long {
                        self.line(&begun, too_long);
                    }
                    return Err(error);
                }
            };
            if buffer.is_empty() {
                if !begun.is_empty() || too_long {
                    self.line(&begun, too_long);
                }
                return Ok(());
            }
            let end = memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let used = part.len() + usize::from(end.is_some());
            too_long |= begun.len() + part.len() > LONGEST;
            if end.is_some() && begun.is_empty() {
                self.line(part, too_long);
            } else if !too_long {
                begun.extend_from_slice(part);
            }
            if end.is_some() && (!begun.is_empty() || too_long) {
                self.line(&begun, too_long);
                begun = Vec::new();
            }
            too_long &= end.is_none();
            input.consume(used);
        }
    }

    fn line(&mut self, line: &[u8], too_long: bool) {
        self.counts.lines += 1;
        if too_long {
            self.counts.too_long += 1;
            return;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let found = self.needle.may_be_in(line);
        match &self.kind {
            Kind::Program if !found => {
                // A prefix is short, and so are a program's words.
                let head = String::from_utf8_lossy(&line[..line.len().min(500)]);
                if !envelope::is_prefixed(&head) {
                    self.counts.lines -= 1;
                    self.remark(&head);
                }
                return;
            }
            Kind::File(_) if !found && self.pieces.is_empty() && !envelope::goes_on(line) => return,
            _ => {}
        }
        let text = String::from_utf8_lossy(line);
        let mut opened = envelope::open(text.strip_prefix('\u{feff}').unwrap_or(&text));
        let body = std::mem::take(&mut opened.body).into_owned();
        let opened = Opened { body: "".into(), ..opened };
        self.piece(opened, body);
    }

    /// Puts long lines together again.
    fn piece(&mut self, opened: Opened<'static>, body: String) {
        let Some(piece) = opened.piece.clone() else { return self.body(opened, &body) };
        let mut begun = match self.pieces.remove(&piece.stream) {
            None if piece.last => return self.body(opened, &body),
            Some(begun) if begun.goes_on_with(&opened, piece.last, &body) => begun,
            before => {
                if let Some(cut) = before {
                    self.ended(cut);
                }
                Begun { opened, body: String::new(), too_long: false }
            }
        };
        begun.too_long |= begun.body.len() + body.len() > LONGEST;
        if begun.too_long {
            begun.body = String::new();
        } else {
            begun.body.push_str(&body);
        }
        if piece.last {
            self.ended(begun);
        } else {
            self.pieces.insert(piece.stream, begun);
        }
    }

    fn ended(&mut self, begun: Begun) {
        if begun.too_long {
            self.counts.too_long += 1;
        } else {
            self.body(begun.opened, &begun.body);
        }
    }

    fn body(&mut self, opened: Opened<'static>, body: &str) {
        if !self.needle.is_in(body) {
            return;
        }
        for mut line in self.understand(body.trim(), opened.time) {
            line.time = line.time.or(opened.time);
            if line.service.is_none() {
                line.service.clone_from(&opened.service);
            }
            if line.source.is_none() {
                line.source = opened.source.clone().or_else(|| match &self.kind {
                    Kind::File(name) => name.clone(),
                    Kind::Program => None,
                });
            }
            self.keep(line);
        }
    }

    fn understand(&mut self, body: &str, time: Option<Timestamp>) -> Vec<Line> {
        if let Some(lines) = otlp::lines(body, &self.needle) {
            return lines;
        }
        match fields::object(body) {
            Some(object) if object.contains_key("resourceSpans") => {
                self.counts.spans += 1;
                Vec::new()
            }
            Some(object) => record::line(object, &self.needle).into_iter().collect(),
            None => vec![text::line(body, time)],
        }
    }

    fn keep(&mut self, line: Line) {
        let texts = [&line.service, &line.level, &line.span_id, &line.source].into_iter().flatten().map(String::len);
        // Once more for where they grow, and are put in order.
        let costs = 2 * size_of::<Line>() + line.message.len() + line.fields.json().len() + texts.sum::<usize>();
        if self.kept + costs > MOST {
            self.counts.too_many += 1;
        } else {
            self.kept += costs;
            self.lines.push(line);
        }
    }

    fn remark(&mut self, text: &str) {
        let text = text.trim();
        // klog's and Compose's warnings stand before what matters.
        let klog = text.len() > 5 && text.starts_with(['E', 'W', 'I']) && text.as_bytes()[1..5].iter().all(u8::is_ascii_digit);
        let warning = text.starts_with("WARN") || text.contains("level=warning");
        if !text.is_empty() && !klog && !warning && self.remarks.len() < MOST_REMARKS {
            self.remarks.push(text.to_owned());
        }
    }
}

impl Begun {
    /// Whether `body` is more of it. A file may end within a line, and another one follow: then `body` is
    /// older, from elsewhere, or an object of its own where the two together are none.
    fn goes_on_with(&self, opened: &Opened<'_>, last: bool, body: &str) -> bool {
        let is_own = |body: &str| body.starts_with('{') && fields::is_json(body);
        let is_later = self.opened.time.zip(opened.time).is_none_or(|(first, next)| first <= next);
        is_later
            && self.opened.source == opened.source
            && (!last || !is_own(body) || !self.too_long && fields::is_json(&format!("{}{body}", self.body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn read(kind: Kind, input: &[u8]) -> Reader {
        let mut reader = Reader::new(ID.parse().unwrap(), kind);
        reader.read(input).unwrap();
        reader
    }

    fn messages(reader: &Reader) -> Vec<&str> {
        reader.lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn a_line_in_pieces_is_put_together_for_each_stream() {
        let (half, rest) = ID.split_at(7);
        let cri = |stream: &str, tag: &str, text: &str| format!("2026-11-01T12:00:00Z {stream} {tag} {text}\n");
        let input = cri("stdout", "P", &format!("{{\"message\":\"a\",\"trace_id\":\"{half}"))
            + &cri("stderr", "P", &format!("b {half}"))
            + &cri("stdout", "F", &format!("{rest}\"}}"))
            + &cri("stderr", "P", &rest[..5])
            + &cri("stdout", "F", "nothing")
            + &cri("stderr", "F", &rest[5..])
            + &cri("stdout", "P", &format!("cut {ID}"));
        let reader = read(Kind::File(None), input.as_bytes());
        assert_eq!(messages(&reader), ["a", &format!("b {ID}"), &format!("cut {ID}")]);
        let log = |text: &str| format!("{{\"log\":\"{text}\",\"stream\":\"stdout\",\"time\":\"2026-11-01T12:00:00Z\"}}\n");
        let whole = format!("{:>1$}", format!("whole {half}"), envelope::DOCKER_PIECE);
        let input = log(&whole) + &log(&format!("{rest}\\n")) + &log("nothing\\n");
        assert_eq!(messages(&read(Kind::File(None), input.as_bytes())), [format!("whole {ID}")]);
    }

    #[test]
    fn a_line_of_any_length_is_found_or_counted_wherever_buffers_end() {
        for length in [BUFFER - 40, BUFFER - 33, BUFFER - 32, BUFFER - 1, BUFFER, BUFFER * 3] {
            let input = format!("{} {ID}\r\n\n{ID}", "x".repeat(length));
            let reader = read(Kind::File(None), input.as_bytes());
            assert_eq!((reader.lines.len(), reader.counts.lines), (2, 3), "{length}");
            assert_eq!(reader.lines[0].message.len(), length + 33);
        }
        let long = format!("{ID} {}\n{ID} short\n", "x".repeat(LONGEST));
        let reader = read(Kind::File(None), long.as_bytes());
        assert_eq!((messages(&reader), reader.counts.too_long), (vec![&*format!("{ID} short")], 1));
    }

    #[test]
    fn what_a_program_says_beside_log_lines_is_kept_apart() {
        let input = format!(
            "time=\"x\" level=warning msg=\"obsolete\"\nE1121 03:31:25.1 15161 memcache.go:265] x\nedge-1  | hello\n\nedge-1  | GET {ID}\nerror: it waits\n"
        );
        let reader = read(Kind::Program, input.as_bytes());
        assert_eq!((messages(&reader), reader.counts.lines), (vec![&*format!("GET {ID}")], 2));
        assert_eq!(reader.remarks, ["error: it waits"]);
    }

    #[test]
    fn spans_of_the_trace_are_no_log_lines() {
        let reader = read(Kind::File(None), format!("{{\"resourceSpans\":[{{\"traceId\":\"{ID}\"}}]}}\n").as_bytes());
        assert_eq!((reader.lines.len(), reader.counts.spans), (0, 1));
    }

    #[test]
    fn a_line_in_pieces_is_whole_or_left_out_and_no_more_than_its_own() {
        let cri = |second: u32, tag: &str, text: &str| format!("2026-11-01T12:00:{second:02}Z stdout {tag} {text}\n");
        let piece = format!("{ID} {}", "x".repeat(LONGEST / 2));
        let input =
            [cri(1, "P", &piece), cri(1, "P", &piece), cri(1, "P", &piece), cri(1, "F", ID), cri(2, "F", &format!("next {ID}"))];
        let reader = read(Kind::File(None), input.concat().as_bytes());
        assert_eq!((messages(&reader), reader.counts.too_long), (vec![&*format!("next {ID}")], 1));

        let own = format!("{{\"message\":\"own\",\"trace_id\":\"{ID}\"}}");
        let input = cri(2, "P", &format!("{{\"cut\":\"{ID}")) + &cri(2, "F", &own);
        assert_eq!(messages(&read(Kind::File(None), input.as_bytes())), [&*format!("{{\"cut\":\"{ID}"), "own"]);
        let input = cri(2, "P", &format!("cut {ID}")) + &cri(1, "F", &format!("older {ID}"));
        assert_eq!(messages(&read(Kind::File(None), input.as_bytes())), [format!("cut {ID}"), format!("older {ID}")]);
    }

    #[test]
    fn what_is_kept_is_charged_and_not_what_it_came_with() {
        let record = |id: &str, text: &str| format!("{{\"traceId\":\"{id}\",\"body\":{{\"stringValue\":\"{text}\"}}}}");
        let request = |records: &str| format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{records}]}}]}}]}}\n");
        let other = record("0af7651916cd43dd8448eb211c80319c", &"x".repeat(8 << 20));
        let input = request(&format!("{},{other}", record(ID, "it")));
        let reader = read(Kind::File(None), input.as_bytes());
        assert!((1..10_000).contains(&reader.kept), "{}", reader.kept);
        let mut reader = Reader::new(ID.parse().unwrap(), Kind::File(None));
        let long = Line { message: "x".repeat(MOST / 2 - 1_000), ..Line::default() };
        (0..3).for_each(|_| reader.keep(long.clone()));
        reader.keep(Line::default());
        assert_eq!((reader.lines.len(), reader.counts.too_many), (3, 1), "short ones still fit");
    }

    #[test]
    fn what_the_backend_evicts_while_it_answers_is_counted() {
        let mut reader = Reader::new(ID.parse().unwrap(), Kind::File(None));
        assert!(reader.answer(br#"{"data":[{"body":"a"}],"total":3}"#));
        assert_eq!((messages(&reader), reader.counts.evicted), (vec!["a"], 2));
        assert!(!reader.answer(b"{}") && !reader.answer(b"[]") && !reader.answer(b"{\"data\":7}"));
    }

    #[test]
    fn a_broken_input_has_no_line_more_than_it_has() {
        let mut reader = Reader::new(ID.parse().unwrap(), Kind::File(None));
        assert!(reader.read(&b"\x1f\x8bgarbage"[..]).is_err());
        assert_eq!(reader.counts.lines, 0);
    }
}
