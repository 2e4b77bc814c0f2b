//! A game day: rounds that follow each other by the clock, and a board of what teams did in them.
//!
//! `schedule` and `board` are pure; here the game plays by them. A round is a mystery: teams, guesses and what is kept over a restart are
//! [`Game`]'s own.

mod board;
mod requests;
mod schedule;

pub use board::{Cell, Outcome, Row};
pub(super) use schedule::{Day, Due};
pub use schedule::{NoSchedule, Planned, Schedule};

use std::collections::{BTreeMap, BTreeSet};
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
use super::game::{Game, GameError, checked_team, now_ms};
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

/// A round, or the pause after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub state: Stand,
    /// From 1.
    pub round: usize,
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
    /// Those that play, where the teacher named them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<String>,
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
    /// One runs already, the schedule makes no sense or a mystery of it cannot be had here (the text names the round), a team's name
    /// is none, and those of [`Game::new_mystery`].
    pub async fn start_game_day(&self, schedule: Schedule) -> Result<Status, GameError> {
        schedule.check()?;
        for team in &schedule.teams {
            checked_team(Some(team.clone()))?;
        }
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
                state.seat(&schedule.teams);
                state.game_day = Some(Day::new(schedule, played, now));
                Ok(())
            })
            .await?;
        info!(rounds, "a game day has begun");
        Ok(status)
    }

    /// Ends the round that is running; in a pause, begins the next one. With `from`, it does nothing where the game day is not there
    /// any more: of two teachers who end a round at once, or of one who does when its time is up, nobody means the pause.
    ///
    /// # Errors
    /// No game day runs, and those of [`Game::new_mystery`].
    pub async fn next_round(&self, from: Option<Place>) -> Result<Status, GameError> {
        let day = self.look(|state| state.running_day().cloned()).await;
        let there = |from: Place| day.as_ref().is_some_and(|day| from == Place { state: stand(day), round: day.played.len() });
        if from.is_some_and(|from| !there(from)) {
            return Ok(self.game_day().await);
        }
        let Some(day) = day else { return Err(GameError::NoGameDay) };
        let gone_on = match day.phase {
            Phase::Pause { .. } => self.begin_next(&day).await,
            _ => self.end_running(&day).await,
        };
        match gone_on {
            // By itself, which is as well.
            Err(GameError::Overtaken) => Ok(self.game_day().await),
            gone_on => gone_on,
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

    /// Ends the round that is running of this day.
    async fn end_running(&self, day: &Day) -> Result<Status, GameError> {
        let (started_ms, round) = (day.started_ms, day.played.len());
        let ended = self.turn(move |state, now| {
            let outcomes = state.outcomes();
            match &mut state.game_day {
                Some(day) if day.started_ms == started_ms && day.played.len() == round => day.end_round(now, outcomes),
                _ => return Err(GameError::Overtaken),
            }
            Ok(())
        });
        ended.await
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
        let (teams, board) = (BTreeSet::new(), Vec::new());
        return Status { state: Stand::None, round: None, of: None, seconds_left: None, teams, board, last: None };
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
        teams: day.schedule.teams.clone(),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::frontend::state::MAX_TEAMS;
    use crate::frontend::{GameSettings, MAX_SEED};
    use crate::mystery::{Guess, Verdict};
    use crate::topology::{Route, ServiceName, Topology};

    fn settings() -> GameSettings {
        GameSettings {
            topology: Topology::new(3, 30, Route::Straight).unwrap(),
            mystery: Pick::Random,
            seed: None,
            delay_scale: 1.0,
            state: None,
            redis: Redis::none(),
            replaced: BTreeSet::new(),
        }
    }

    fn round(cause: impl Into<Pick>) -> Planned {
        Planned { cause: cause.into(), seed: Some(7), minutes: 10.0, tell_cause: false }
    }

    fn schedule(rounds: &[Planned]) -> Schedule {
        Schedule { rounds: rounds.to_vec(), pause_seconds: 600.0, teams: BTreeSet::new() }
    }

    fn sleeps() -> Schedule {
        schedule(&[round(Cause::Sleep), round(Cause::Sleep), round(Cause::None)])
    }

    async fn guess(game: &Game, team: &str, service: ServiceName) -> crate::frontend::Graded {
        let guess = Guess { cause: Some(Cause::Sleep), service: Some(service), ..Guess::default() };
        game.guess(Some(team.to_owned()), guess).await.unwrap()
    }

    fn culprit(game: &Game) -> ServiceName {
        game.rounds().borrow().mystery.culprit.unwrap()
    }

    fn other(service: ServiceName) -> ServiceName {
        ServiceName { number: (service.number + 1) % 30, ..service }
    }

    #[tokio::test]
    async fn a_round_tells_nothing_of_its_answer_and_a_round_that_is_over_all_of_it_but_the_seed() {
        let game = Game::open(&settings()).await.unwrap();
        let begun = game.start_game_day(sleeps()).await.unwrap();
        assert_eq!((begun.state, begun.round, begun.of), (Stand::Round, Some(1), Some(3)));
        assert_eq!((begun.board.len(), &begun.last, game.score().await.cause), (0, &None, None));
        assert!(!serde_json::to_string(&begun).unwrap().contains("sleep"), "{begun:?}");

        let culprit = culprit(&game);
        guess(&game, "elks", other(culprit)).await;
        guess(&game, "owls", culprit).await;
        let paused = game.next_round(None).await.unwrap();
        let told = paused.last.clone().unwrap();
        assert_eq!((paused.state, told.round, told.answer.service), (Stand::Pause, 1, Some(culprit)));
        assert!(told.explanation.starts_with(&culprit.to_string()));
        assert!(!serde_json::to_string(&paused).unwrap().contains("seed"));
        assert_eq!(
            paused.board.iter().map(|row| (row.team.as_str(), row.points)).collect::<Vec<_>>(),
            [("owls", 100), ("elks", 0)]
        );

        let second = game.next_round(None).await.unwrap();
        assert_eq!((second.state, second.round, second.last.map(|told| told.round)), (Stand::Round, Some(2), Some(1)));
    }

    #[tokio::test]
    async fn guesses_after_the_end_count_no_more() {
        let game = Game::open(&settings()).await.unwrap();
        game.start_game_day(sleeps()).await.unwrap();
        let culprit = culprit(&game);
        guess(&game, "owls", other(culprit)).await;
        let before = game.next_round(None).await.unwrap().board;
        let late = guess(&game, "owls", culprit).await;
        assert_eq!((late.verdict, late.guesses), (Verdict::Right, 1));
        assert!(late.message.ends_with("The round's time is up, so that guesses count no more."), "{}", late.message);
        guess(&game, "late", culprit).await;
        assert_eq!(game.game_day().await.board, before);
        game.stop_game_day().await.unwrap();
        assert_eq!((guess(&game, "owls", culprit).await.guesses, game.game_day().await.board), (1, before));
        // After the day the game is what it was.
        game.new_mystery(Some(Cause::Sleep.into()), None).await.unwrap();
        let culprit = self::culprit(&game);
        assert_eq!(guess(&game, "owls", culprit).await.guesses, 1);
        assert_eq!(game.score().await.cause, Some(Cause::Sleep));
    }

    #[tokio::test]
    async fn a_game_day_has_no_hints_no_other_mysteries_and_none_beside_it() {
        let game = Game::open(&settings()).await.unwrap();
        assert!(matches!(game.next_round(None).await, Err(GameError::NoGameDay)));
        assert!(matches!(game.stop_game_day().await, Err(GameError::NoGameDay)));
        assert_eq!(game.game_day().await.state, Stand::None);
        game.start_game_day(sleeps()).await.unwrap();
        for stand in [Stand::Round, Stand::Pause] {
            assert_eq!(game.game_day().await.state, stand);
            assert!(matches!(game.hint(None).await, Err(GameError::HintInGameDay)));
            assert!(matches!(game.new_mystery(None, None).await, Err(GameError::MysteryInGameDay)));
            assert!(matches!(game.start_game_day(sleeps()).await, Err(GameError::GameDayRuns)));
            assert_eq!(game.score().await.mystery, 2);
            game.next_round(None).await.unwrap();
        }
        game.stop_game_day().await.unwrap();
        assert_eq!(game.hint(None).await.unwrap().hint, 1);
        game.start_game_day(sleeps()).await.unwrap();
        assert_eq!(game.game_day().await.round, Some(1), "another day after the first");
    }

    #[tokio::test]
    async fn who_ends_a_round_that_is_over_already_does_not_end_the_pause() {
        let game = Game::open(&settings()).await.unwrap();
        game.start_game_day(sleeps()).await.unwrap();
        let at = |state, round| Some(Place { state, round });
        for _ in ["one teacher", "another one"] {
            let status = game.next_round(at(Stand::Round, 1)).await.unwrap();
            assert_eq!((status.state, status.round), (Stand::Pause, Some(1)));
        }
        for _ in ["one teacher", "another one"] {
            let status = game.next_round(at(Stand::Pause, 1)).await.unwrap();
            assert_eq!((status.state, status.round), (Stand::Round, Some(2)));
        }
        game.stop_game_day().await.unwrap();
        assert_eq!(game.next_round(at(Stand::Round, 2)).await.unwrap().state, Stand::Over);
    }

    #[tokio::test]
    async fn where_teams_were_named_nobody_else_guesses_however_many_came_before() {
        let game = Game::open(&settings()).await.unwrap();
        let service: ServiceName = "dummy-0-1".parse().unwrap();
        for team in 0..MAX_TEAMS {
            guess(&game, &format!("crowd {team}"), service).await;
        }
        let teams: BTreeSet<String> = ["elks", "owls"].map(str::to_owned).into();
        let begun = game.start_game_day(Schedule { teams: teams.clone(), ..sleeps() }).await.unwrap();
        assert_eq!(begun.teams, teams);
        let culprit = culprit(&game);
        assert_eq!(guess(&game, "owls", culprit).await.verdict, Verdict::Right);
        for team in [Some("crowd 1".to_owned()), Some("bats".to_owned()), None] {
            let nothing = Guess { cause: Some(Cause::None), ..Guess::default() };
            let error = game.guess(team, nothing).await.unwrap_err().to_string();
            assert_eq!(error, "this game day is played by elks, owls; guess as the one that you are");
        }
        assert_eq!(game.game_day().await.board.len(), 1);
        game.stop_game_day().await.unwrap();
        guess(&game, "crowd 1", culprit).await;

        let nobody = Schedule { teams: BTreeSet::from([String::new()]), ..sleeps() };
        assert!(matches!(game.start_game_day(nobody).await, Err(GameError::TeamName)));
    }

    #[tokio::test]
    async fn why_a_guess_is_right_is_told_when_the_round_is_over() {
        let game = Game::open(&settings()).await.unwrap();
        game.start_game_day(sleeps()).await.unwrap();
        let culprit = culprit(&game);
        for says in
            ["Why, is told when the round is over.", "This team has solved it already. Why, is told when the round is over."]
        {
            let graded = guess(&game, "owls", culprit).await;
            assert_eq!((graded.verdict, &graded.explanation), (Verdict::Right, &None));
            assert!(graded.message.ends_with(says), "{}", graded.message);
        }
        game.next_round(None).await.unwrap();
        let graded = guess(&game, "owls", culprit).await;
        assert!(graded.explanation.is_some() && !graded.message.contains("Why, is told"), "{graded:?}");
    }

    #[tokio::test]
    async fn a_cause_is_told_in_the_rounds_where_the_teacher_wants_it_told() {
        let game = Game::open(&settings()).await.unwrap();
        let told = |planned: Planned| Planned { tell_cause: true, ..planned };
        game.start_game_day(schedule(&[told(round(Cause::Sleep)), round(Pick::Random), round(Cause::None)])).await.unwrap();
        let mut causes = vec![game.score().await.cause];
        for _ in 0..2 {
            game.next_round(None).await.unwrap();
            game.next_round(None).await.unwrap();
            causes.push(game.score().await.cause);
        }
        assert_eq!(causes, [Some(Cause::Sleep), None, None]);
    }

    #[tokio::test]
    async fn a_round_that_cannot_be_had_is_named_and_nothing_begins() {
        let game = Game::open(&settings()).await.unwrap();
        for (planned, says) in [
            (round(Cause::Redis), "round 2: a mystery of cause redis needs"),
            (round(Cause::Upstream), "round 2: a mystery of cause upstream needs"),
            (Planned { minutes: 0.0, ..round(Cause::Sleep) }, "round 2: minutes is 0"),
            (Planned { seed: Some(MAX_SEED + 1), ..round(Cause::Sleep) }, "round 2: seed is 9007199254740992"),
        ] {
            let error = game.start_game_day(schedule(&[round(Cause::Sleep), planned])).await.unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
        assert_eq!((game.game_day().await.state, game.score().await.mystery), (Stand::None, 1));
        let nowhere = GameSettings { redis: Redis::at("redis://127.0.0.1:1".parse().unwrap()), ..settings() };
        let game = Game::open(&nowhere).await.unwrap();
        let error = game.start_game_day(schedule(&[round(Cause::Sleep), round(Cause::Redis)])).await.unwrap_err().to_string();
        assert!(error.starts_with("round 2 needs a Redis: "), "{error}");
    }

    #[tokio::test]
    async fn a_redis_that_a_later_round_needs_is_there_from_the_first_on() {
        let redis = Redis::found();
        if !redis.is_there() {
            eprintln!("skipped: this test needs a redis-server (Debian: apt-get install redis-server)");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let settings = GameSettings { mystery: Cause::Sleep.into(), redis: redis.clone(), ..kept(directory.path()) };
        let game = Game::open(&settings).await.unwrap();
        assert_eq!(game.rounds().borrow().redis, None);
        game.start_game_day(schedule(&[round(Cause::Sleep), round(Cause::Redis)])).await.unwrap();
        assert!(game.rounds().borrow().redis.is_some());
        drop(game);
        redis.stop().await;
        let game = Game::open(&settings).await.unwrap();
        assert!(game.rounds().borrow().redis.is_some(), "nor does it tell the cause after a restart");
        redis.stop().await;
    }

    async fn until(game: &Game, is: impl Fn(&Status) -> bool) -> Status {
        let looking = async {
            loop {
                let status = game.game_day().await;
                if is(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), looking).await.expect("the game day does not go on")
    }

    #[tokio::test]
    async fn rounds_end_and_begin_by_themselves_until_the_day_is_over() {
        let game = Game::open(&settings()).await.unwrap();
        let clock = tokio::spawn({
            let game = game.clone();
            async move { game.keep_time().await }
        });
        let short = Planned { minutes: 0.002, ..round(Cause::Sleep) };
        game.start_game_day(Schedule { pause_seconds: 0.05, ..schedule(&vec![short; 3]) }).await.unwrap();
        until(&game, |status| status.state == Stand::Over).await;
        assert_eq!(game.score().await.mystery, 4);
        let rounds = game.game_day_results().await.rounds;
        let ends: Vec<u64> = rounds.iter().map(|round| round.ended_ms.unwrap()).collect();
        let starts: Vec<u64> = rounds.iter().map(|round| round.started_ms.unwrap()).collect();
        // Whoever looks at the clock late: a round is as long as it was planned, and a pause at least.
        assert!(starts.iter().zip(&ends).all(|(start, end)| end - start == 120), "{starts:?} {ends:?}");
        assert!(ends.iter().zip(&starts[1..]).all(|(end, start)| start - end >= 50), "{starts:?} {ends:?}");
        clock.abort();
    }

    fn kept(directory: &Path) -> GameSettings {
        GameSettings { state: Some(directory.to_owned()), ..settings() }
    }

    #[tokio::test]
    async fn a_restart_goes_on_with_the_round_and_its_board_whatever_the_flags_are_now() {
        let directory = tempfile::tempdir().unwrap();
        let game = Game::open(&kept(directory.path())).await.unwrap();
        game.start_game_day(sleeps()).await.unwrap();
        let culprit = culprit(&game);
        guess(&game, "owls", culprit).await;
        let (before, results) = (game.game_day().await, game.game_day_results().await);
        drop(game);

        let game = Game::open(&GameSettings { mystery: Cause::Failure.into(), ..kept(directory.path()) }).await.unwrap();
        let after = game.game_day().await;
        assert_eq!((self::culprit(&game), &after.board, after.round), (culprit, &before.board, before.round));
        assert!(after.seconds_left < before.seconds_left);
        assert_eq!(game.score().await.cause, None, "it is still a secret");
        let kept_results = game.game_day_results().await;
        assert_eq!(kept_results.rounds, results.rounds);
        game.stop_game_day().await.unwrap();
        drop(game);

        // Once it is over, flags count again, and the results are still there.
        let game = Game::open(&GameSettings { mystery: Cause::None.into(), ..kept(directory.path()) }).await.unwrap();
        assert_eq!((game.score().await.cause, game.game_day().await.board), (Some(Cause::None), before.board));
    }

    #[tokio::test]
    async fn a_round_whose_time_ran_out_while_nothing_ran_is_over_and_the_next_begins() {
        let directory = tempfile::tempdir().unwrap();
        let game = Game::open(&kept(directory.path())).await.unwrap();
        let short = Planned { minutes: 0.001, ..round(Cause::Sleep) };
        game.start_game_day(Schedule { pause_seconds: 0.0, ..schedule(&[short, round(Cause::Sleep)]) }).await.unwrap();
        let culprit = culprit(&game);
        guess(&game, "owls", other(culprit)).await;
        drop(game);

        let game = Game::open(&kept(directory.path())).await.unwrap();
        until(&game, |status| status.seconds_left == Some(0.0)).await;
        // Nobody has looked at the clock yet.
        assert_eq!(guess(&game, "owls", culprit).await.guesses, 1);
        let clock = tokio::spawn({
            let game = game.clone();
            async move { game.keep_time().await }
        });
        let second = until(&game, |status| status.round == Some(2)).await;
        assert!(second.seconds_left > Some(590.0), "{second:?}");
        assert_eq!((second.board[0].points, second.board[0].rounds.len()), (0, 1));
        let first = &game.game_day_results().await.rounds[0];
        assert_eq!(first.ended_ms.unwrap() - first.started_ms.unwrap(), 60);
        clock.abort();
    }

    #[tokio::test]
    async fn the_results_hold_schedule_seeds_answers_and_what_every_team_did() {
        let game = Game::open(&settings()).await.unwrap();
        assert_eq!(game.game_day_results().await.state, Stand::None);
        let drawn = Planned { seed: None, ..round(Pick::Random) };
        game.start_game_day(schedule(&[round(Cause::Sleep), drawn.clone(), drawn])).await.unwrap();
        let culprit = culprit(&game);
        guess(&game, "owls", culprit).await;
        game.next_round(None).await.unwrap();
        game.next_round(None).await.unwrap();
        let results = game.game_day_results().await;
        let rounds: Vec<_> =
            results.rounds.iter().map(|round| (round.seed.is_some(), round.answer.is_some(), round.teams.len())).collect();
        assert_eq!(rounds, [(true, true, 1), (true, true, 0), (false, false, 0)]);
        let first = &results.rounds[0];
        assert_eq!((first.seed, first.answer.as_ref().unwrap().service), (Some(7), Some(culprit)));
        assert_eq!((first.teams[0].team.as_str(), first.teams[0].points, first.teams[0].outcome.guesses), ("owls", 100, 1));
        let text = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
