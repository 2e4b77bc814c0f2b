//! Errors as every route answers them: `{"error": "what is wrong; the way out"}`.

use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use warp::reject::{MethodNotAllowed, Reject, Rejection};
use warp::reply::{Reply, Response, with_status};

use super::game::GameError;

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct ApiError {
    pub status: StatusCode,
    pub error: String,
}

impl ApiError {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    pub fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub fn into_response(self) -> Response {
        self.response()
    }

    fn response(&self) -> Response {
        let body = warp::reply::json(&json!({ "error": self.error }));
        let mut response = with_status(body, self.status).into_response();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl Reject for ApiError {}

impl From<GameError> for ApiError {
    fn from(error: GameError) -> Self {
        Self::new(status(&error), error.to_string())
    }
}

fn status(error: &GameError) -> StatusCode {
    match error {
        GameError::TeamName
        | GameError::TooManyTeams
        | GameError::Service(_)
        | GameError::Seed(_)
        | GameError::NothingSomewhere
        | GameError::Impossible(_)
        | GameError::Schedule(_) => StatusCode::BAD_REQUEST,
        GameError::NotPlaying(_) => StatusCode::FORBIDDEN,
        GameError::GameDayRuns
        | GameError::NoGameDay
        | GameError::MysteryInGameDay
        | GameError::HintInGameDay
        | GameError::Overtaken => StatusCode::CONFLICT,
        GameError::Redis(_) => StatusCode::BAD_GATEWAY,
        GameError::Store { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        GameError::InRound { error, .. } => status(error),
    }
}

/// What no route took, and what a filter refused.
pub(super) async fn recover(rejection: Rejection) -> Result<Response, std::convert::Infallible> {
    if let Some(error) = rejection.find::<ApiError>() {
        return Ok(error.response());
    }
    let error = if rejection.is_not_found() {
        ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    } else if rejection.find::<MethodNotAllowed>().is_some() {
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method: POST changes something, GET reads")
    } else {
        ApiError::bad_request("this request makes no sense here")
    };
    Ok(error.into_response())
}
