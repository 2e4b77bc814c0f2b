//! The JSON object in a request's body, field by field, so that an error names the field and what it may be.

use std::ops::RangeInclusive;

use bytes::Buf;
use futures_util::{Stream, StreamExt as _, pin_mut};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use warp::{Filter, Rejection, reject};

use super::error::ApiError;

/// No body that makes sense is longer.
const LONGEST_BODY: usize = 64 << 10;

/// Fields that nobody has asked for yet.
#[derive(Debug, Default)]
pub(super) struct Fields {
    fields: Map<String, Value>,
    /// The names that were asked for.
    known: Vec<&'static str>,
}

/// Reads a body that is a JSON object; none at all is an empty one. Refuses (413) what is too long, however it is sent.
pub(super) fn fields() -> impl Filter<Extract = (Fields,), Error = Rejection> + Copy + Send + Sync + 'static {
    warp::body::stream().and_then(|body| async move {
        let bytes = read(body).await.map_err(reject::custom)?;
        Fields::parse(&bytes).map_err(reject::custom)
    })
}

async fn read(body: impl Stream<Item = Result<impl Buf, warp::Error>>) -> Result<Vec<u8>, ApiError> {
    pin_mut!(body);
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?;
        if bytes.len() + chunk.remaining() > LONGEST_BODY {
            let error = format!("the body is too long; at most {LONGEST_BODY} bytes are possible");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error));
        }
        bytes.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
    }
    Ok(bytes)
}

impl Fields {
    /// Of an object within another.
    pub fn of(fields: Map<String, Value>) -> Self {
        Self { fields, known: Vec::new() }
    }

    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self::of(fields)),
            Ok(_) => Err(ApiError::bad_request("the body is JSON, but no object")),
            Err(error) => Err(ApiError::bad_request(format!("the body is no JSON: {error}"))),
        }
    }

    /// Takes a field; `null` is as good as none.
    pub fn take<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<Option<T>, ApiError> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => {
                serde_json::from_value(value).map(Some).map_err(|error| ApiError::bad_request(format!("{name}: {error}")))
            }
        }
    }

    /// Takes a whole number.
    pub fn take_whole(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let whole = value.as_u64().filter(|whole| range.contains(whole));
        let (first, last) = (range.start(), range.end());
        let error = || {
            let value: String = value.to_string().chars().take(40).collect();
            ApiError::bad_request(format!("{name} is {value}; it must be a whole number between {first} and {last}"))
        };
        whole.map(Some).ok_or_else(error)
    }

    fn value(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    /// To be called when all fields are taken: another one is a slip of the pen, and shall not be passed over.
    pub fn finish(self) -> Result<(), ApiError> {
        let Some(name) = self.fields.keys().next() else { return Ok(()) };
        let error = match &self.known[..] {
            [] => format!("unknown field {name:.40?}; there are none here"),
            known => format!("unknown field {name:.40?}; possible are {}", known.join(", ")),
        };
        Err(ApiError::bad_request(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(body: impl AsRef<[u8]>) -> Result<Fields, String> {
        let result = warp::test::request().method("POST").body(body).filter(&fields()).await;
        result.map_err(|rejection| rejection.find::<ApiError>().unwrap().error.clone())
    }

    #[tokio::test]
    async fn errors_name_the_field_and_what_it_may_be() {
        let mut fields = sent(r#"{"calls": -5, "team": 7, "rate": null, "callz": 1}"#).await.unwrap();
        let error = fields.take_whole("calls", 1..=100).unwrap_err().error;
        assert_eq!(error, "calls is -5; it must be a whole number between 1 and 100");
        let error = fields.take::<String>("team").unwrap_err().error;
        assert_eq!(error, "team: invalid type: integer `7`, expected a string");
        assert_eq!(fields.take::<f64>("rate").unwrap(), None);
        assert_eq!(fields.finish().unwrap_err().error, "unknown field \"callz\"; possible are calls, team, rate");
    }

    #[tokio::test]
    async fn a_body_that_is_no_object_or_too_long_is_refused_and_none_is_empty() {
        assert!(sent("").await.unwrap().finish().is_ok());
        assert_eq!(sent("[1]").await.unwrap_err(), "the body is JSON, but no object");
        assert!(sent("{\"team\":").await.unwrap_err().starts_with("the body is no JSON: EOF"));
        assert!(sent(vec![b' '; LONGEST_BODY + 1]).await.unwrap_err().starts_with("the body is too long"));
        // Deep nesting ends in an error of the parser, not of the stack.
        assert!(sent("[".repeat(60_000)).await.unwrap_err().contains("recursion limit"));
    }
}
