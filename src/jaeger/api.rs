//! One question and its answer, in either API.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Client, JaegerError};
use crate::diagnose::model::Builder;
use crate::diagnose::read;
use crate::outbound;

/// Which of Jaeger's two HTTP APIs is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/api/v3/…`, with OTLP JSON; services are optional in a search where the storage can do without.
    V3,
    /// `/api/…`, with Jaeger's own JSON; gone after 2.20.
    Legacy,
}

impl Api {
    fn other(self) -> Self {
        match self {
            Self::V3 => Self::Legacy,
            Self::Legacy => Self::V3,
        }
    }

    fn path_of(self, trace_id: u128) -> String {
        match self {
            Self::V3 => format!("/api/v3/traces/{trace_id:032x}"),
            Self::Legacy => format!("/api/traces/{trace_id:032x}"),
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3 => "v3",
            Self::Legacy => "legacy",
        })
    }
}

/// One search. Times are in microseconds since the epoch, both ends belong to it.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub service: Option<String>,
    pub start: u64,
    pub end: u64,
    pub depth: usize,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Answer {
    Traces(Vec<u8>),
    Nothing,
    /// Longer than what is taken at once.
    TooLarge,
    TooSlow,
    /// The server did not do it: it said this.
    Refused(StatusCode, String),
    /// There is no such path.
    NotServed,
}

#[derive(Deserialize)]
struct Services {
    /// Must be there, or anything would do; null where there is none.
    #[serde(alias = "data", deserialize_with = "Option::deserialize")]
    services: Option<Vec<String>>,
}

/// Errors of both APIs.
#[derive(Deserialize)]
struct Errors {
    error: Option<Message>,
    #[serde(default)]
    errors: Option<Vec<Message>>,
}

/// One trace in either API.
#[derive(Deserialize)]
struct OneTrace {
    result: Option<IgnoredAny>,
    #[serde(default)]
    data: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(alias = "msg", default)]
    message: String,
}

impl Client {
    /// Finds out which API is there, and the names of all services.
    ///
    /// # Errors
    /// Nobody answers, or what answers speaks neither API.
    pub async fn connect(&self) -> Result<(Api, Vec<String>), JaegerError> {
        let mut reasons = Vec::new();
        for api in [Api::V3, Api::Legacy] {
            match self.services(api).await? {
                Ok(services) => return Ok((api, services)),
                Err(reason) => reasons.push(reason),
            }
        }
        Err(JaegerError::NotJaeger { base: self.base.clone(), reason: reasons.join(", ") })
    }

    /// The names of all services, or why this API is not there.
    pub(super) async fn services(&self, api: Api) -> Result<Result<Vec<String>, String>, JaegerError> {
        let path = match api {
            Api::V3 => "/api/v3/services",
            Api::Legacy => "/api/services",
        };
        let reason = match self.get(path, self.settings.largest, false).await? {
            // An older Jaeger answers what it does not know with its page.
            Answer::Traces(body) => match serde_json::from_slice::<Services>(&body) {
                Ok(found) => {
                    let mut services = found.services.unwrap_or_default();
                    services.sort_unstable();
                    return Ok(Ok(services));
                }
                Err(_) => format!("{path} is answered with {}", start_of(&body)),
            },
            Answer::Nothing | Answer::NotServed => format!("{path} is not found"),
            Answer::TooLarge => format!("the answer to {path} is endless"),
            Answer::TooSlow => {
                let reason = format!("no answer to {path} within {} s", self.settings.answer.as_secs());
                return Err(JaegerError::Unreachable { base: self.base.clone(), reason });
            }
            Answer::Refused(status, said) if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                return Err(self.refused(path, status, &said));
            }
            Answer::Refused(status, said) => format!("{path}: {}", reason(status, &said)),
        };
        Ok(Err(reason))
    }

    /// Whether this trace is there, and which API said so; `first` is asked first.
    ///
    /// # Errors
    /// Nobody answers, what answers speaks neither API, or it cannot say.
    pub async fn holds(&self, trace_id: u128, first: Api) -> Result<(Api, bool), JaegerError> {
        let (api, found) = self.one(trace_id, first, "").await?;
        // No page is so long.
        Ok((api, !matches!(found, Answer::Nothing)))
    }

    /// Reads this trace as it was recorded into `builder`, and says which API it came by and whether it is there; `first` is asked first.
    ///
    /// # Errors
    /// As [`Client::holds`]; it is larger than what is taken at once, or cannot be read.
    pub async fn read(&self, trace_id: u128, first: Api, builder: &mut Builder) -> Result<(Api, bool), JaegerError> {
        let garbage = |api: Api, reason: String| {
            let path = api.path_of(trace_id);
            JaegerError::Garbage { base: self.base.clone(), path, reason }
        };
        match self.one(trace_id, first, "?rawTraces=true&raw=true").await? {
            (api, Answer::Traces(body)) => match read::json(&*body, builder) {
                Ok(read::Outcome { broken: Some(reason), .. }) => Err(garbage(api, reason)),
                Ok(_) => Ok((api, true)),
                Err(error) => Err(garbage(api, error.to_string())),
            },
            (api, Answer::Nothing) => Ok((api, false)),
            (api, _) => Err(garbage(api, format!("it is longer than {} bytes", self.settings.largest))),
        }
    }

    /// `Traces` with the one, `Nothing`, or `TooLarge`.
    async fn one(&self, trace_id: u128, first: Api, parameters: &str) -> Result<(Api, Answer), JaegerError> {
        let mut reasons = Vec::new();
        for api in [first, first.other()] {
            let path = api.path_of(trace_id);
            reasons.push(match self.get(&format!("{path}{parameters}"), self.settings.largest, false).await? {
                // It may come in several pieces, of which the first says enough.
                Answer::Traces(body) => match serde_json::Deserializer::from_slice(&body).into_iter::<OneTrace>().next() {
                    Some(Ok(OneTrace { result, data })) => {
                        let is_there = result.is_some() || data.is_some_and(|traces| !traces.is_empty());
                        return Ok((api, if is_there { Answer::Traces(body) } else { Answer::Nothing }));
                    }
                    // An older Jaeger answers what it does not know with its page.
                    _ => format!("{path} is answered with {}", start_of(&body)),
                },
                answer @ (Answer::TooLarge | Answer::Nothing) => return Ok((api, answer)),
                Answer::TooSlow => {
                    let reason = format!("no answer within {} s", self.settings.answer.as_secs());
                    return Err(JaegerError::Unreachable { base: self.base.clone(), reason });
                }
                // The memory of Jaeger 1.10 has an error of its own for it, which comes out as 500.
                Answer::Refused(_, said) if says_not_found(&said) => return Ok((api, Answer::Nothing)),
                Answer::Refused(status, said) if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                    return Err(self.refused(&path, status, &said));
                }
                Answer::Refused(status, said) => format!("{path}: {}", reason(status, &said)),
                Answer::NotServed => format!("{path} is not found"),
            });
        }
        Err(JaegerError::NotJaeger { base: self.base.clone(), reason: reasons.join(", ") })
    }

    pub(super) async fn search(&self, api: Api, search: &Search) -> Result<Answer, JaegerError> {
        // Somebody was there before: it is on its way back, or one connection was lost.
        self.get(&path(api, search), self.portion(search.depth).1, true).await
    }

    /// Asks until there is an answer that asking again would not change. Where nobody answers that is at once, unless `was_there`.
    async fn get(&self, path: &str, most: usize, was_there: bool) -> Result<Answer, JaegerError> {
        let mut pause = self.settings.pause;
        let mut attempt = 1;
        loop {
            let last = attempt >= self.settings.attempts;
            match self.ask(path, most).await {
                Ok(Answer::Refused(status, _)) if is_busy(status) && !last => {}
                Ok(answer) => return Ok(answer),
                Err(error) if last || !was_there && matches!(error, JaegerError::Unreachable { .. }) => return Err(error),
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn ask(&self, path: &str, most: usize) -> Result<Answer, JaegerError> {
        let url = format!("{}{path}", self.address);
        let mut response = match self.http.get(url).timeout(self.settings.answer).send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() && !error.is_connect() => return Ok(Answer::TooSlow),
            Err(error) => {
                return Err(JaegerError::Unreachable { base: self.base.clone(), reason: outbound::reason(error) });
            }
        };
        let status = response.status();
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > most => return Ok(Answer::TooLarge),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(answer(status, body)),
                Err(error) if error.is_timeout() => return Ok(Answer::TooSlow),
                Err(error) => {
                    let reason = format!("it breaks off after {} bytes ({})", body.len(), outbound::reason(error));
                    return Err(JaegerError::Garbage { base: self.base.clone(), path: short(path), reason });
                }
            }
        }
    }

    pub(super) fn refused(&self, path: &str, status: StatusCode, said: &str) -> JaegerError {
        JaegerError::Refused { base: self.base.clone(), path: short(path), reason: reason(status, said) }
    }
}

fn says_not_found(said: &str) -> bool {
    let said = said.to_ascii_lowercase();
    ["trace not found", "trace was not found"].iter().any(|text| said.contains(text))
}

/// Somebody is too busy, or not there for the moment.
fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn answer(status: StatusCode, body: Vec<u8>) -> Answer {
    let errors = serde_json::from_slice::<Errors>(&body).ok();
    let said = errors.as_ref().and_then(|Errors { error, errors }| error.as_ref().or_else(|| errors.as_ref()?.first()));
    match (status, said) {
        // The legacy API answers 200 and says below what went wrong; traces may have come all the same.
        (StatusCode::OK, _) => Answer::Traces(body),
        // v3 says so of a search that finds nothing.
        (StatusCode::NOT_FOUND, Some(_)) => Answer::Nothing,
        (StatusCode::NOT_FOUND, None) => Answer::NotServed,
        (status, Some(said)) => Answer::Refused(status, said.message.clone()),
        (status, None) => Answer::Refused(status, start_of(&body)),
    }
}

fn reason(status: StatusCode, said: &str) -> String {
    if said.is_empty() { format!("it answers {status}") } else { format!("it answers {status}, saying {said:?}") }
}

/// Enough of an unexpected answer to know it by.
pub(super) fn start_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    let line = text.trim().lines().next().unwrap_or_default();
    if line.is_empty() { "nothing".to_owned() } else { format!("{:?}", line.chars().take(60).collect::<String>()) }
}

/// A path without its parameters.
pub(super) fn short(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

/// Traces are asked for as they were recorded: the diagnosis mends clocks itself, and counts what it mends.
pub(super) fn path(api: Api, search: &Search) -> String {
    let Search { service, start, end, depth } = search;
    let service = service.as_deref().map(|service| utf8_percent_encode(service, NON_ALPHANUMERIC).to_string());
    match api {
        Api::V3 => {
            let service = service.map(|service| format!("query.serviceName={service}&")).unwrap_or_default();
            let (start, end) = (time(*start), time(*end));
            format!(
                "/api/v3/traces?{service}query.startTimeMin={start}&query.startTimeMax={end}&query.searchDepth={depth}&query.rawTraces=true"
            )
        }
        Api::Legacy => {
            let service = service.unwrap_or_default();
            format!("/api/traces?service={service}&start={start}&end={end}&limit={depth}&raw=true")
        }
    }
}

/// RFC 3339 in UTC, whose characters need no escape.
fn time(microseconds: u64) -> String {
    let time = i64::try_from(microseconds).ok().and_then(|time| jiff::Timestamp::from_microsecond(time).ok());
    time.unwrap_or(jiff::Timestamp::MAX).to_string()
}
