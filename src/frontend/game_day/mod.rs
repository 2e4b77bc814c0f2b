//! A game day: rounds that follow each other by the clock, and a board of what teams did in them.
//!
//! [`schedule`] and [`board`] are pure; here the game plays by them. A round is a mystery: teams, guesses and what is kept over a restart are
//! [`Game`]'s own.

mod board;
mod requests;
mod schedule;

pub use board::{Cell, Outcome, Row};
pub(super) use schedule::{Day, Due};
pub use schedule::{NoSchedule, Planned, Schedule};

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{info, warn};

use self::board::board;
use self::schedule::{Phase, Played};
use super::explain::explain;
use super::game::{Game, GameError, now_ms};
use super::state::{Pick, State};
use crate::mystery::{Answer, Cause};
use crate::redis::Redis;

/// A machine that slept, or whose clock was set, shall not make a round last longer.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// After a round could not begin, or its end not be kept.
const RETRY: Duration = Duration::from_secs(2);

/// What drives game days, beside the game's state.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// A game day started, or went on otherwise than by its time.
    changed: Notify,
    /// Why the next round does not begin.
    problem: Mutex<Option<String>>,
}

/// Where a game day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// There was none yet.
    None,
    Round,
    /// The round is over, the next one has not begun.
    Pause,
    Over,
}

/// What everybody may know of a game day: nothing of a round that is running or to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub state: Stand,
    /// The round that is running or was last, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<usize>,
    /// How many rounds were planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
    /// Of the round, or of the pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    /// The best team first.
    pub board: Vec<Row>,
    /// The round that ended last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Told>,
}

/// The answer of a round that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// From 1.
    pub round: usize,
    pub answer: Answer,
    pub explanation: String,
}

/// All of a game day, for who holds the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub state: Stand,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
    pub pause_seconds: f64,
    /// Also those to come.
    pub rounds: Vec<RoundResult>,
    /// The best team first.
    pub board: Vec<Row>,
    /// Why the next round does not begin although it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A round as it was planned, and what became of it. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundResult {
    /// From 1.
    pub round: usize,
    /// As planned: a cause or `random`.
    pub cause: Pick,
    pub minutes: f64,
    pub tell_cause: bool,
    /// As planned, or as drawn when the round began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Absent where the round has not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    /// Absent where the round is not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// Those that guessed in it.
    pub teams: Vec<TeamResult>,
}

/// What a team did in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeamResult {
    pub team: String,
    #[serde(flatten)]
    pub outcome: Outcome,
    pub points: u32,
}

impl Game {
    /// Begins a game day with its first round. It goes on by itself as long as the frontend is served.
    ///
    /// # Errors
    /// One runs already, the schedule makes no sense or a mystery of it cannot be had here (the text names the round), and those of
    /// [`Game::new_mystery`].
    pub async fn start_game_day(&self, schedule: Schedule) -> Result<Status, GameError> {
        schedule.check()?;
        for (place, planned) in schedule.rounds.iter().enumerate() {
            let in_round = |error| GameError::InRound { round: place + 1, error: Box::new(error) };
            self.check_mystery(planned.cause, planned.seed).map_err(in_round)?;
        }
        if self.look(|state| state.running_day().is_some()).await {
            return Err(GameError::GameDayRuns);
        }
        start_redis(&schedule, self.redis()).await.map_err(GameError::Redis)?;
        let rounds = schedule.rounds.len();
        let status = self
            .begin(schedule.rounds[0].clone(), move |state, played, now| {
                if state.running_day().is_some() {
                    return Err(GameError::GameDayRuns);
                }
                state.game_day = Some(Day::new(schedule, played, now));
                Ok(())
            })
            .await?;
        info!(rounds, "a game day has begun");
        Ok(status)
    }

    /// Ends the round that is running; in a pause, begins the next one.
    ///
    /// # Errors
    /// No game day runs, and those of [`Game::new_mystery`].
    pub async fn next_round(&self) -> Result<Status, GameError> {
        match self.look(|state| state.running_day().cloned()).await {
            None => Err(GameError::NoGameDay),
            Some(day) if matches!(day.phase, Phase::Pause { .. }) => self.begin_next(&day).await,
            Some(day) => {
                let round = day.played.len();
                self.turn(move |state, now| {
                    let outcomes = state.outcomes();
                    // By the clock it may have ended by now, which is as well.
                    match &mut state.game_day {
                        Some(day) if day.played.len() == round => day.end_round(now, outcomes),
                        _ => return Err(GameError::Overtaken),
                    }
                    Ok(())
                })
                .await
            }
        }
    }

    /// Ends the game day: with the round that is running, without those to come. Its results stay until the next one.
    ///
    /// # Errors
    /// No game day runs, and those of [`GameError`] about storing.
    pub async fn stop_game_day(&self) -> Result<Status, GameError> {
        self.turn(|state, now| {
            let outcomes = state.outcomes();
            match &mut state.game_day {
                Some(day) if !day.is_over() => day.stop(now, outcomes),
                _ => return Err(GameError::NoGameDay),
            }
            Ok(())
        })
        .await
    }

    /// What everybody may know.
    pub async fn game_day(&self) -> Status {
        self.look(|state| status(state, now_ms())).await
    }

    /// What the teacher may know.
    pub async fn game_day_results(&self) -> Results {
        let results = self.look(|state| results(state, now_ms())).await;
        Results { problem: self.clock().problem().clone(), ..results }
    }

    /// Ends rounds when their time is up and begins the next ones, for ever.
    pub(in crate::frontend) async fn keep_time(&self) -> Infallible {
        loop {
            let wait = self.step().await;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.clock().changed.notified() => {}
            }
        }
    }

    /// Does what is due, and says how long nothing else is.
    async fn step(&self) -> Duration {
        let Some(day) = self.look(|state| state.running_day().cloned()).await else {
            self.clock().problem().take();
            return LONGEST_SLEEP;
        };
        let done = match day.due(now_ms()) {
            Due::Wait(wait) => return wait.min(LONGEST_SLEEP),
            Due::Nothing => return LONGEST_SLEEP,
            Due::End { .. } => {
                let ended = self.change(|state, _| {
                    state.look_at_clock(now_ms());
                    Ok(())
                });
                ended.await
            }
            Due::Begin { .. } => self.begin_next(&day).await.map(|_| ()),
        };
        match done {
            Ok(()) | Err(GameError::Overtaken) => {
                self.clock().problem().take();
                Duration::ZERO
            }
            Err(error) => {
                let error = error.to_string();
                let mut problem = self.clock().problem();
                if problem.as_ref() != Some(&error) {
                    warn!(error, "the game day cannot go on; trying again");
                    *problem = Some(error);
                }
                RETRY
            }
        }
    }

    /// Begins the round after those that were played of this day.
    async fn begin_next(&self, day: &Day) -> Result<Status, GameError> {
        let (started_ms, round) = (day.started_ms, day.played.len());
        let Some(planned) = day.schedule.rounds.get(round).cloned() else { return self.stop_game_day().await };
        let begun = self.begin(planned, move |state, played, now| match &mut state.game_day {
            Some(day) if day.started_ms == started_ms && day.played.len() == round && !day.is_over() => {
                day.begin_round(played, now);
                Ok(())
            }
            _ => Err(GameError::Overtaken),
        });
        begun.await.map_err(|error| match error {
            GameError::Overtaken => GameError::Overtaken,
            error => GameError::InRound { round: round + 1, error: Box::new(error) },
        })
    }

    /// Begins a mystery that `enter` makes a round.
    async fn begin(
        &self,
        planned: Planned,
        enter: impl FnOnce(&mut State, Played, u64) -> Result<(), GameError> + Send + 'static,
    ) -> Result<Status, GameError> {
        let beginning = self.beginning(planned.cause, planned.seed).await?;
        let (seed, redis, game) = (beginning.seed, beginning.has_redis(), self.clone());
        let status = self
            .change_to(Some(beginning), move |state, _| {
                let now = now_ms();
                state.next_mystery(planned.cause, seed, redis, now)?;
                let mystery = game.draw(seed, state.cause)?;
                let (answer, explanation) = (mystery.answer(), explain(&mystery));
                let (mystery, teams) = (state.number, BTreeMap::new());
                let played = Played { mystery, seed, answer, explanation, started_ms: now, ended_ms: None, teams };
                enter(state, played, now)?;
                Ok(status(state, now))
            })
            .await?;
        self.clock().changed.notify_one();
        info!(round = status.round, "a round of the game day has begun");
        Ok(status)
    }

    /// Has the game day go on otherwise than by its time.
    async fn turn(
        &self,
        turn: impl FnOnce(&mut State, u64) -> Result<(), GameError> + Send + 'static,
    ) -> Result<Status, GameError> {
        let turned = self.change(move |state, _| {
            let now = now_ms();
            state.look_at_clock(now);
            turn(state, now)?;
            Ok(status(state, now))
        });
        let status = turned.await?;
        self.clock().changed.notify_one();
        Ok(status)
    }
}

impl Clock {
    fn problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sees to it that a Redis runs from the first round on where one of the rounds needs it, or might: were it there from that round on
/// alone, services would use it from then on that did not before, and tell the cause.
pub(super) async fn start_redis(schedule: &Schedule, redis: &Redis) -> anyhow::Result<()> {
    let place = |pick: Pick| schedule.rounds.iter().position(|planned| planned.cause == pick);
    if let Some(place) = place(Cause::Redis.into()) {
        redis.start().await.with_context(|| format!("round {} needs a Redis", place + 1))?;
    } else if place(Pick::Random).is_some() && redis.is_there() {
        // Without one that answers, random draws something else.
        let _ = redis.start().await;
    }
    Ok(())
}

fn stand(day: &Day) -> Stand {
    match day.phase {
        Phase::Round { .. } => Stand::Round,
        Phase::Pause { .. } => Stand::Pause,
        Phase::Over => Stand::Over,
    }
}

fn status(state: &State, now_ms: u64) -> Status {
    let Some(day) = &state.game_day else {
        return Status { state: Stand::None, round: None, of: None, seconds_left: None, board: Vec::new(), last: None };
    };
    let ended = day.played.iter().enumerate().rfind(|(_, played)| played.ended_ms.is_some());
    let told = |(place, played): (usize, &Played)| Told {
        round: place + 1,
        answer: played.answer.clone(),
        explanation: played.explanation.clone(),
    };
    Status {
        state: stand(day),
        round: Some(day.played.len()),
        of: Some(day.schedule.rounds.len()),
        seconds_left: day.seconds_left(now_ms),
        board: board(day, &state.outcomes()),
        last: ended.map(told),
    }
}

fn results(state: &State, now_ms: u64) -> Results {
    let Some(day) = &state.game_day else {
        let (rounds, board) = (Vec::new(), Vec::new());
        return Results { state: Stand::None, seconds_left: None, pause_seconds: 0.0, rounds, board, problem: None };
    };
    let running = state.outcomes();
    let rounds = day.schedule.rounds.iter().enumerate().map(|(place, planned)| {
        let played = day.played.get(place);
        let teams = played.map(|played| if played.ended_ms.is_some() { &played.teams } else { &running });
        let team = |(team, outcome): (&String, &Outcome)| TeamResult {
            team: team.clone(),
            outcome: outcome.clone(),
            points: outcome.points(planned.seconds()),
        };
        RoundResult {
            round: place + 1,
            cause: planned.cause,
            minutes: planned.minutes,
            tell_cause: planned.tell_cause,
            seed: played.map(|played| played.seed).or(planned.seed),
            started_ms: played.map(|played| played.started_ms),
            ended_ms: played.and_then(|played| played.ended_ms),
            answer: played.map(|played| played.answer.clone()),
            explanation: played.map(|played| played.explanation.clone()),
            teams: teams.into_iter().flatten().map(team).collect(),
        }
    });
    Results {
        state: stand(day),
        seconds_left: day.seconds_left(now_ms),
        pause_seconds: day.schedule.pause_seconds,
        rounds: rounds.collect(),
        board: board(day, &running),
        problem: None,
    }
}
