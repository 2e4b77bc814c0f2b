//! What the API's paths below `game-day` do.

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use warp::Reply as _;
use warp::reply::{Response, json};

use super::super::Frontend;
use super::super::api::take_parsed;
use super::super::error::ApiError;
use super::super::fields::Fields;
use super::super::state::{MAX_SEED, Pick};
use super::schedule::PAUSE_SECONDS;
use super::{Place, Planned, Schedule};

impl Frontend {
    /// `{rounds: [{cause, seed?, minutes, tell_cause?}], pause_seconds?, teams?}` → the status of the game day that has begun.
    pub(in crate::frontend) async fn start_game_day(&self, headers: &HeaderMap, fields: Fields) -> Result<Response, ApiError> {
        self.teacher(headers)?;
        let schedule = schedule(fields)?;
        Ok(json(&self.0.game.start_game_day(schedule).await?).into_response())
    }

    /// `{state?, round?}` → the status. The fields say where the teacher saw the game day: elsewhere nothing is done.
    pub(in crate::frontend) async fn next_round(&self, headers: &HeaderMap, mut fields: Fields) -> Result<Response, ApiError> {
        self.teacher(headers)?;
        let (state, round) = (fields.take("state")?, fields.take("round")?);
        fields.finish()?;
        let from = match (state, round) {
            (Some(state), Some(round)) => Some(Place { state, round }),
            (None, None) => None,
            _ => return Err(ApiError::bad_request("it takes both state and round, or neither")),
        };
        Ok(json(&self.0.game.next_round(from).await?).into_response())
    }

    /// `{}` → the status.
    pub(in crate::frontend) async fn stop_game_day(&self, headers: &HeaderMap, fields: Fields) -> Result<Response, ApiError> {
        self.teacher(headers)?;
        fields.finish()?;
        Ok(json(&self.0.game.stop_game_day().await?).into_response())
    }

    /// `{state: none|round|pause|over, round?, of?, seconds_left?, board, last?}`.
    pub(in crate::frontend) async fn game_day(&self, headers: &HeaderMap) -> Result<Response, ApiError> {
        self.0.gate_reading(headers)?;
        Ok(json(&self.0.game.game_day().await).into_response())
    }

    /// The same with seeds and answers, also of the round that is running.
    pub(in crate::frontend) async fn game_day_results(&self, headers: &HeaderMap) -> Result<Response, ApiError> {
        self.0.gate_reading(headers)?;
        self.token_of_teacher(headers)?;
        Ok(json(&self.0.game.game_day_results().await).into_response())
    }

    fn teacher(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.0.gate(headers)?;
        self.token_of_teacher(headers)
    }

    /// Without a token everybody could ask for the answers, and there would be nothing to find.
    fn token_of_teacher(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if self.0.instructor_token.is_none() {
            let error = "a game day takes an instructor's token; start this frontend with --instructor-token TOKEN";
            return Err(ApiError::new(StatusCode::CONFLICT, error));
        }
        self.0.instructor(headers)
    }
}

fn schedule(mut fields: Fields) -> Result<Schedule, ApiError> {
    let rounds = fields.take::<Vec<Map<String, Value>>>("rounds")?;
    let pause_seconds = fields.take("pause_seconds")?.unwrap_or(PAUSE_SECONDS);
    let teams = fields.take::<Vec<String>>("teams")?.unwrap_or_default();
    fields.finish()?;
    let rounds = rounds.ok_or_else(|| ApiError::bad_request("rounds is missing; it is a list of {cause, minutes, seed}"))?;
    let planned = rounds.into_iter().enumerate().map(|(place, round)| {
        planned(Fields::of(round))
            .map_err(|ApiError { status, error }| ApiError::new(status, format!("round {}: {error}", place + 1)))
    });
    let teams = teams.iter().map(|team| team.trim().to_owned()).collect();
    Ok(Schedule { rounds: planned.collect::<Result<_, _>>()?, pause_seconds, teams })
}

fn planned(mut fields: Fields) -> Result<Planned, ApiError> {
    let cause = take_parsed(&mut fields, "cause", str::parse::<Pick>)?;
    let seed = fields.take_whole("seed", 0..=MAX_SEED)?;
    let minutes = fields.take("minutes")?;
    let tell_cause = fields.take("tell_cause")?.unwrap_or_default();
    fields.finish()?;
    let (Some(cause), Some(minutes)) = (cause, minutes) else {
        return Err(ApiError::bad_request("it takes a cause (or random) and minutes"));
    };
    Ok(Planned { cause, seed, minutes, tell_cause })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::mystery::Cause;

    fn read(body: Value) -> Result<Schedule, String> {
        let Value::Object(body) = body else { panic!("no object: {body}") };
        schedule(Fields::of(body)).map_err(|error| error.error)
    }

    #[test]
    fn a_schedule_is_read_with_what_it_leaves_out() {
        let mut rounds = serde_json::json!({"rounds": [
            {"cause": "random", "minutes": 10},
            {"cause": "sleep", "minutes": 0.5, "seed": 7, "tell_cause": true},
        ]});
        let random = Planned { cause: Pick::Random, seed: None, minutes: 10.0, tell_cause: false };
        let sleep = Planned { cause: Cause::Sleep.into(), seed: Some(7), minutes: 0.5, tell_cause: true };
        let schedule = Schedule { rounds: vec![random, sleep], pause_seconds: 30.0, teams: BTreeSet::new() };
        assert_eq!(read(rounds.clone()), Ok(schedule.clone()));
        rounds["teams"] = serde_json::json!(["owls", " elks "]);
        let teams = ["elks", "owls"].map(str::to_owned).into();
        assert_eq!(read(rounds), Ok(Schedule { teams, ..schedule }));
    }

    #[test]
    fn a_round_that_cannot_be_read_is_named() {
        let good = serde_json::json!({"cause": "sleep", "minutes": 1});
        for (round, says) in [
            (serde_json::json!({"cause": "gremlins", "minutes": 1}), "round 2: cause: \"gremlins\" is not a cause"),
            (serde_json::json!({"cause": "sleep"}), "round 2: it takes a cause (or random) and minutes"),
            (serde_json::json!({"cause": "sleep", "minutes": "ten"}), "round 2: minutes: invalid type: string \"ten\""),
            (serde_json::json!({"cause": "sleep", "minutes": 1, "seed": -1}), "round 2: seed is -1; it must be a whole number"),
            (serde_json::json!({"cause": "sleep", "minuts": 1}), "round 2: unknown field \"minuts\"; possible are cause, seed"),
        ] {
            let error = read(serde_json::json!({"rounds": [good, round]})).unwrap_err();
            assert!(error.starts_with(says), "{error}");
        }
        assert!(read(serde_json::json!({})).unwrap_err().starts_with("rounds is missing"));
        assert!(read(serde_json::json!({"rounds": 3})).unwrap_err().starts_with("rounds: invalid type"));
    }
}
