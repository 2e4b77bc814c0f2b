//! A trace's id: out of what people have at hand, and found again in a line.

use std::fmt;
use std::str::FromStr;

use memchr::memmem::Finder;
use url::Url;

/// What people copy it from: an id, a link, a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// What people type: a trace, and where it is if that is a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub trace: TraceId,
    /// Base URL of the backend that the link leads to.
    pub base: Option<Url>,
}

/// What was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceIdError {
    #[error("it is empty; a trace id has 32 hexadecimal digits")]
    Empty,
    #[error("{0:?} is no hexadecimal digit; a trace id has 32 of them")]
    Digit(char),
    #[error(
        "it has {0} hexadecimal digits; a trace id has 32, or 16 in old systems (where digits are missing because they are zeros, put zeros in front)"
    )]
    Length(usize),
    #[error("it is all zeros, which means that there is no trace")]
    Zero,
    #[error("there is no trace id in this link; it should look like http://localhost:16686/trace/4bf92f3577b34da6a3ce929d0e0e4736")]
    Link,
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for TraceId {
    type Err = TraceIdError;

    /// Takes 32 or 16 digits, with dashes or without, a link to a trace's page, a `traceparent`, `uber-trace-id` or `b3` header.
    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        let text = text.trim();
        if text.contains("://") {
            return in_link(text);
        }
        let text = text.strip_prefix("traceparent:").unwrap_or(text).trim();
        if let Some((id, _)) = text.split_once(':') {
            // As uber-trace-id has it; its ids lose their leading zeros.
            return padded(id);
        }
        let parts: Vec<_> = text.split('-').collect();
        match parts.iter().map(|part| part.len()).collect::<Vec<_>>()[..] {
            [2, 32, 16, ..] => digits(parts[1]),
            [16 | 32, 16, ..] => digits(parts[0]),
            _ => digits(&parts.concat()),
        }
    }
}

impl FromStr for Asked {
    type Err = TraceIdError;

    fn from_str(text: &str) -> Result<Self, TraceIdError> {
        let trace = text.parse()?;
        let base = Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        Ok(Self { trace, base: base.map(base_of) })
    }
}

/// What stands before the path of the page or the query API.
fn base_of(mut url: Url) -> Url {
    let segments: Vec<_> = url.path_segments().into_iter().flatten().collect();
    let before = segments.iter().position(|segment| matches!(*segment, "api" | "trace" | "traces")).unwrap_or(0);
    let path = segments[..before].join("/");
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The id in a page's address: Jaeger's `/trace/ID`, or what a query API has.
fn in_link(text: &str) -> Result<TraceId, TraceIdError> {
    let url = Url::parse(text).map_err(|_| TraceIdError::Link)?;
    let mut segments = url.path_segments().into_iter().flatten();
    if segments.any(|segment| matches!(segment, "trace" | "traces"))
        && let Some(id) = segments.next().filter(|id| !id.is_empty())
    {
        // A comparison of two has them as ID...ID.
        return padded(id.split("...").next().unwrap_or(id));
    }
    let parameter = url.query_pairs().find(|(key, _)| matches!(&**key, "traceID" | "traceId" | "trace_id"));
    padded(&parameter.ok_or(TraceIdError::Link)?.1)
}

/// Where ids may be written without their leading zeros.
fn padded(text: &str) -> Result<TraceId, TraceIdError> {
    if (1..32).contains(&text.len()) && text.is_ascii() { digits(&format!("{text:0>32}")) } else { digits(text) }
}

fn digits(text: &str) -> Result<TraceId, TraceIdError> {
    if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(TraceIdError::Digit(wrong));
    }
    match text.len() {
        0 => Err(TraceIdError::Empty),
        16 | 32 => match u128::from_str_radix(text, 16) {
            Ok(0) => Err(TraceIdError::Zero),
            Ok(id) => Ok(TraceId(id)),
            Err(_) => Err(TraceIdError::Length(text.len())),
        },
        length => Err(TraceIdError::Length(length)),
    }
}

/// Finds one id in text.
#[derive(Debug)]
pub(super) struct Needle {
    id: TraceId,
    lower: Finder<'static>,
    upper: Finder<'static>,
}

impl Needle {
    pub fn new(id: TraceId) -> Self {
        // Some write an id of 64 bits as such, and it is in one with the zeros too.
        let digits = if id.0 >> 64 == 0 { format!("{:016x}", id.0) } else { id.to_string() };
        let finder = |digits: &str| Finder::new(digits).into_owned();
        Self { id, lower: finder(&digits), upper: finder(&digits.to_uppercase()) }
    }

    /// Quick, and never wrong where it says no.
    pub fn may_be_in(&self, bytes: &[u8]) -> bool {
        self.lower.find(bytes).is_some() || self.upper.find(bytes).is_some()
    }

    /// Whether the id stands there as one: not as a part of something longer.
    pub fn is_in(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let places = self.lower.find_iter(bytes).chain(self.upper.find_iter(bytes));
        places.into_iter().any(|place| {
            // One digit more than an id has tells as much as all of them would.
            let before = bytes[..place].iter().rev().take(33).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let after = bytes[place..].iter().take(33).take_while(|byte| byte.is_ascii_hexdigit()).count();
            self.is(&text[place - before..place + after])
        })
    }

    /// Whether `text` is this id.
    pub fn is(&self, text: &str) -> bool {
        digits(text) == Ok(self.id)
    }

    /// Whether `text` is the id of another trace.
    pub fn is_other(&self, text: &str) -> bool {
        digits(text).is_ok_and(|id| id != self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn an_id_is_taken_from_whatever_has_one() {
        let same = [
            ID.to_owned(),
            ID.to_uppercase(),
            format!("  {ID}\n"),
            "4bf92f35-77b3-4da6-a3ce-929d0e0e4736".to_owned(),
            format!("00-{ID}-00f067aa0ba902b7-01"),
            format!("traceparent: 00-{ID}-00f067aa0ba902b7-01"),
            format!("{ID}-00f067aa0ba902b7-1"),
            format!("{ID}:00f067aa0ba902b7:0:1"),
            format!("http://localhost:16686/trace/{ID}?uiFind=x"),
            format!("https://example.com/jaeger/trace/{ID}...0af7651916cd43dd8448eb211c80319c"),
            format!("http://localhost:16686/api/v3/traces/{ID}"),
            format!("http://localhost:16686/api/logs?traceID={ID}"),
        ];
        for text in same {
            assert_eq!(text.parse::<TraceId>().map(|id| id.to_string()), Ok(ID.to_owned()), "{text}");
        }
        let short = Ok(format!("{:032x}", 0xabc));
        for text in ["0000000000000abc", "abc:1:0:1", "http://localhost:16686/trace/abc"] {
            assert_eq!(text.parse::<TraceId>().map(|id| id.to_string()), short, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wrong = [
            ("", TraceIdError::Empty),
            ("4bf9", TraceIdError::Length(4)),
            ("4bf92f3577b34da6a3ce929d0e0e4736ff", TraceIdError::Length(34)),
            ("4bf92f3577b34da6a3ce929d0e0e473é", TraceIdError::Digit('é')),
            ("dummy-1-17", TraceIdError::Digit('u')),
            ("00000000000000000000000000000000", TraceIdError::Zero),
            ("http://localhost:16686/search", TraceIdError::Link),
            ("http://localhost:16686/trace/", TraceIdError::Link),
            ("http://[", TraceIdError::Link),
            ("http://localhost:16686/trace/xyz", TraceIdError::Digit('x')),
            ("+bf92f3577b34da6", TraceIdError::Digit('+')),
        ];
        for (text, error) in wrong {
            assert_eq!(text.parse::<TraceId>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_id_inside_of_something_longer_is_another_one() {
        let needle = Needle::new(ID.parse().unwrap());
        assert!(needle.is_in(&format!("é trace={ID}, done")) && needle.is_in(&format!("00-{ID}-00f067aa0ba902b7-01")));
        assert!(needle.is_in(&format!("a{ID} {ID}")), "the second one is it");
        assert!(needle.is_in(&ID.to_uppercase()));
        assert!(!needle.is_in(&format!("a{ID}")) && !needle.is_in(&format!("{ID}0")) && !needle.is_in(&ID[1..]));
        let short = Needle::new("a3ce929d0e0e4736".parse().unwrap());
        assert!(short.is_in("trace a3ce929d0e0e4736") && short.is_in("0000000000000000a3ce929d0e0e4736"));
        assert!(!short.is_in(ID), "that one has 128 bits");
        let digits = ID.repeat(200_000);
        assert!(!needle.is_in(&digits) && needle.is_in(&format!("{digits} {ID}")));
    }

    #[test]
    fn a_link_says_where_its_trace_is() {
        let base = |text: &str| text.parse::<Asked>().unwrap().base.map(|base| base.to_string());
        for link in ["http://shop:1/x/trace/{}?y#z", "http://shop:1/x/api/v3/traces/{}", "http://shop:1/x/api/logs?traceID={}"] {
            assert_eq!(base(&link.replace("{}", ID)).as_deref(), Some("http://shop:1/x"), "{link}");
        }
        assert_eq!(base(&format!("https://shop/trace/{ID}")).as_deref(), Some("https://shop/"));
        assert_eq!((base(ID), base(&format!("ftp://shop/trace/{ID}"))), (None, None));
    }
}
