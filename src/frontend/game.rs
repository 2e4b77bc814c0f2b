//! The game: one mystery at a time, teams that guess at it, and a score.
//!
//! It knows nothing of HTTP. Whoever needs the assignments follows [`Game::rounds`]: the control port for services elsewhere, and
//! `up` for those in its own process.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tracing::{error, info};
use url::Url;

use super::explain::explain;
use super::game_day::{Clock, NoSchedule};
use super::hints::{self, Candidates};
use super::state::{MAX_SEED, MAX_TEAMS, Pick, State, Store, Wish, random_seed};
use crate::exit::{Failure, failure};
use crate::mystery::{Answer, Cause, Guess, Impossible, Mystery, REDIS_WAY_OUT, Verdict, draw, grade};
use crate::redis::Redis;
use crate::topology::{ServiceName, Topology};

/// The team of whoever names none.
pub const DEFAULT_TEAM: &str = "everybody";
const MAX_TEAM_LENGTH: usize = 40;
/// Where so many seeds have their fault at a replaced service, or behind one, few others will not.
const MOST_DRAWS: usize = 200;
const CANNOT_GO_ON: &str = "the game cannot go on with its mystery; move its file away, or name another directory with --state";
/// Said whether it is so or not: where the fault is remains to be found.
const MAY_BE_HIDDEN: &str = "a fault may sit in a service that was replaced, or behind one, and then nothing shows it; `tracelab mystery` \
    without --seed avoids that, as long as enough services are left";

/// What a game is played with.
#[derive(Clone, Debug)]
pub struct GameSettings {
    pub topology: Topology,
    pub mystery: Pick,
    /// At most [`MAX_SEED`]; random where absent.
    pub seed: Option<u64>,
    /// Multiplies the ordinary delays; 0 takes them away.
    pub delay_scale: f64,
    /// A directory; without one a restart forgets everything.
    pub state: Option<PathBuf>,
    /// For mysteries that need one, started when the first of them is drawn.
    pub redis: Redis,
    /// Where programs of the learner's own stand: a fault there would strike nobody, and one behind them perhaps not either.
    pub replaced: BTreeSet<ServiceName>,
}

/// The mystery that is running. A service learns its [`Assignment`](crate::mystery::Assignment) from it.
#[derive(Debug)]
pub struct Round {
    /// Opaque, and never the same in two processes.
    pub version: String,
    pub mystery: Mystery,
    /// Where the services find a Redis; without one, nobody has business with it.
    pub redis: Option<Url>,
    /// What somebody may expect of it who does not get it.
    pub note: Option<String>,
}

/// The game's state; clones are the same game.
#[derive(Clone, Debug)]
pub struct Game(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topology: Topology,
    delay_scale: f64,
    store: Option<Store>,
    redis: Redis,
    replaced: BTreeSet<ServiceName>,
    /// Held while a change is written to disk, so that changes are kept in the order in which they were made.
    state: Mutex<State>,
    rounds: watch::Sender<Arc<Round>>,
    /// Tells this process's versions from those of others.
    process: u64,
    /// What else a game day needs.
    clock: Clock,
}

/// Why a request to the game failed.
#[derive(Debug, thiserror::Error)]
pub enum GameError {
    #[error("a team's name has 1 to {MAX_TEAM_LENGTH} visible characters")]
    TeamName,
    #[error("there are {MAX_TEAMS} teams already; play under the name of one of them")]
    TooManyTeams,
    #[error("this game day is played by {}; guess as the one that you are", Vec::from_iter(.0.clone()).join(", "))]
    NotPlaying(BTreeSet<String>),
    #[error("there is no service {0}; GET /api/topology lists them")]
    Service(ServiceName),
    #[error("seed is {0}; it must be a whole number between 0 and {MAX_SEED}")]
    Seed(u64),
    #[error("a guess that nothing is wrong (cause none) names no service, callee or customer")]
    NothingSomewhere,
    #[error(transparent)]
    Impossible(#[from] Impossible),
    #[error("{0:#}; the mystery stays as it is")]
    Redis(anyhow::Error),
    #[error("cannot keep the game's state in {path}: {source}; nothing was changed")]
    Store { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Schedule(#[from] NoSchedule),
    #[error("round {round}: {error}")]
    InRound { round: usize, error: Box<GameError> },
    #[error("a game day runs already; `tracelab game-day stop` (POST /api/game-day/stop) ends it")]
    GameDayRuns,
    #[error("no game day runs; `tracelab game-day start` (POST /api/game-day) starts one")]
    NoGameDay,
    #[error("a game day runs, whose rounds are the mysteries; `tracelab game-day stop` (POST /api/game-day/stop) ends it")]
    MysteryInGameDay,
    #[error("there are no hints while a game day runs; the answer is told after each round")]
    HintInGameDay,
    /// Somebody else did it, in the meantime.
    #[error("the game day went on in the meantime; look at its state again")]
    Overtaken,
}

/// What came of a guess.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Graded {
    pub verdict: Verdict,
    /// Of this team, up to and including the right one.
    pub guesses: u32,
    /// From the mystery's start to this guess, or to the right one where that was earlier.
    pub seconds: f64,
    pub message: String,
    /// Of the right answer; in a game day's round, not before it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hint {
    /// Which hint it is, from 1.
    pub hint: u32,
    /// How many there are.
    pub of: u32,
    pub text: String,
    #[serde(flatten)]
    pub candidates: Candidates,
}

/// The answer, given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Revealed {
    #[serde(flatten)]
    pub answer: Answer,
    pub seed: u64,
    /// What happened, and how one finds it.
    pub explanation: String,
}

/// A mystery that has just started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Begun {
    #[serde(flatten)]
    pub score: Score,
    /// What somebody may expect of it who does not get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mystery's number, from 1.
    pub mystery: u32,
    /// Absent where it is part of the mystery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Since the mystery's start.
    pub seconds: f64,
    /// By name.
    pub teams: Vec<TeamScore>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeamScore {
    pub team: String,
    pub guesses: u32,
    pub hints: u32,
    /// Of the last guess; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// How long the right guess took; absent until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    pub revealed: bool,
    /// Mysteries before this one that the team solved.
    pub solved: u32,
}

impl Game {
    /// Goes on with the game in the state directory, or starts one. Where seed or mystery are configured otherwise than when the
    /// state was written, a new mystery starts: a changed flag means something.
    ///
    /// # Errors
    /// The state cannot be read or written, is another process's, no game's, or a running game day of another topology; the text
    /// names the file.
    /// The seed is too large. The mystery cannot be had here, or the Redis that it needs does not start.
    pub async fn open(settings: &GameSettings) -> anyhow::Result<Self> {
        let GameSettings { topology, mystery: pick, seed, delay_scale, ref state, ref redis, ref replaced } = *settings;
        let wish = Wish { pick, seed: checked_seed(seed)? };
        let store = state.as_deref().map(Store::open).transpose()?;
        let mut saved = store.as_ref().map(Store::load).transpose()?.flatten();
        if let (Some(other), Some(store)) = (saved.take_if(|saved| saved.topology != topology), &store) {
            saved = change_size(&other, topology, store)?;
        }
        // A game day's rounds are what its teacher chose, whatever the flags are now.
        let same = saved.as_ref().filter(|saved| saved.wish == wish || saved.running_day().is_some());
        let playing = same.map_or(pick, |same| same.pick);
        let possible = playing.check(topology, redis.is_there());
        if same.is_some() {
            possible.context(CANNOT_GO_ON)?
        } else {
            possible?
        }
        let goes_on = same.is_some();
        if let Some(day) = same.and_then(State::running_day) {
            super::game_day::start_redis(&day.schedule, redis).await.context(CANNOT_GO_ON)?;
        }
        let drawn = Drawn { pick: playing, seed: wish.seed, topology, goes_on };
        let beginning = Beginning::of(drawn, redis, replaced).await?;
        let state = match saved {
            Some(mut state) if goes_on => {
                // Without what it needs the services would do nothing wrong, and there would be nothing to find.
                if state.cause.check(topology, beginning.has_redis()).is_err() {
                    return Err(failure(
                        Failure::Unreachable,
                        format!("{CANNOT_GO_ON}: it began where a Redis was there; {REDIS_WAY_OUT}"),
                    ));
                }
                info!(mystery = state.number, "going on with the game in the state directory");
                state.wish = wish;
                state
            }
            Some(mut state) => {
                state.wish = wish;
                state.next_mystery(pick, beginning.seed, beginning.has_redis(), now_ms())?;
                state
            }
            None => State::new(topology, wish, beginning.seed, beginning.has_redis(), now_ms())?,
        };
        if let Some(note) = &beginning.note {
            info!(note, "not everything is as one may expect");
        }
        if let Some(store) = &store {
            // Now, not at the first guess, is the time to find out that the directory is read-only.
            let path = store.path();
            store.save(&state).with_context(|| format!("cannot keep the game's state in {}", path.display()))?;
        }
        let process = rand::random();
        let rounds = watch::Sender::new(Arc::new(round(&state, delay_scale, beginning, process)?));
        let (redis, replaced) = (redis.clone(), replaced.clone());
        let (state, clock) = (Mutex::new(state), Clock::default());
        Ok(Self(Arc::new(Inner { topology, delay_scale, store, redis, replaced, state, rounds, process, clock })))
    }

    pub fn topology(&self) -> Topology {
        self.0.topology
    }

    /// Whether such a mystery can be had here.
    ///
    /// # Errors
    /// What is missing, and the way out.
    pub fn check(&self, pick: Pick) -> Result<(), Impossible> {
        pick.check(self.0.topology, self.0.redis.is_there())
    }

    /// What somebody may expect of the running mystery who does not get it.
    pub fn note(&self) -> Option<String> {
        self.0.rounds.borrow().note.clone()
    }

    /// The mystery that is running, and each one that follows.
    pub fn rounds(&self) -> watch::Receiver<Arc<Round>> {
        self.0.rounds.subscribe()
    }

    /// Grades a guess. After the right one, and after the answer was revealed, guesses are graded but count no more.
    ///
    /// # Errors
    /// Unknown services, a place where nothing is said to be wrong, and those of [`GameError`] about teams and storing.
    pub async fn guess(&self, team: Option<String>, guess: Guess) -> Result<Graded, GameError> {
        let team = checked_team(team)?;
        if let Some(&service) = [guess.service, guess.callee].iter().flatten().find(|service| !self.0.topology.contains(**service))
        {
            return Err(GameError::Service(service));
        }
        if guess.cause == Some(Cause::None) && (guess.service.is_some() || guess.callee.is_some() || guess.customer.is_some()) {
            return Err(GameError::NothingSomewhere);
        }
        self.change(move |state, mystery| {
            let now = now_ms();
            if let Some(day) = state.running_day()
                && !day.has_team(&team)
            {
                return Err(GameError::NotPlaying(day.schedule.teams.clone()));
            }
            let (seconds, counts, in_round) = (state.seconds(now), state.takes_guesses(now), state.round_runs(now));
            state.look_at_clock(now);
            let team = state.team(team).ok_or(GameError::TooManyTeams)?;
            let answer = mystery.answer();
            let verdict = grade(&guess, &answer);
            let mut message = hints::message(verdict, &guess, &answer);
            if team.verdict == Some(Verdict::Right) {
                message.push_str(" This team has solved it already.");
            } else if !counts {
                message.push_str(" The round's time is up, so that guesses count no more.");
            } else if team.revealed {
                message.push_str(" The answer was revealed to this team, so that guesses count no more.");
            } else {
                team.guesses = team.guesses.saturating_add(1);
                team.verdict = Some(verdict);
                team.solved_seconds = (verdict == Verdict::Right).then_some(seconds);
            }
            // While others are still looking, it would be read out to them.
            let explanation = (verdict == Verdict::Right && !in_round).then(|| explain(mystery));
            if verdict == Verdict::Right && in_round {
                message.push_str(" Why, is told when the round is over.");
            }
            let seconds = team.solved_seconds.unwrap_or(seconds);
            Ok(Graded { verdict, guesses: team.guesses, seconds, message, explanation })
        })
        .await
    }

    /// The team's next hint; when there are no more, the last one again.
    pub async fn hint(&self, team: Option<String>) -> Result<Hint, GameError> {
        let team = checked_team(team)?;
        self.change(move |state, mystery| {
            if state.running_day().is_some() {
                return Err(GameError::HintInGameDay);
            }
            let (seed, secret) = (state.seed, state.told_cause().is_none());
            let team = state.team(team).ok_or(GameError::TooManyTeams)?;
            team.hints = (team.hints + 1).min(hints::HINTS);
            let (text, candidates) = hints::hint(mystery, secret, seed, team.hints);
            Ok(Hint { hint: team.hints, of: hints::HINTS, text, candidates })
        })
        .await
    }

    /// Tells a team the answer, which ends the mystery for it. Who names no team could be of any: it ends for all of them, also
    /// for those that begin later.
    pub async fn reveal(&self, team: Option<String>) -> Result<Revealed, GameError> {
        let team = team.map(|team| checked_team(Some(team))).transpose()?;
        self.change(move |state, mystery| {
            match team {
                Some(team) => state.team(team).ok_or(GameError::TooManyTeams)?.reveal(),
                None => state.reveal_to_all(),
            }
            Ok(Revealed { answer: mystery.answer(), seed: state.seed, explanation: explain(mystery) })
        })
        .await
    }

    /// Starts another mystery, with the configured kind of cause unless `pick` names one; answers with its score.
    ///
    /// # Errors
    /// It cannot be had here, the Redis that it needs does not start, or those of [`GameError`] about seeds and storing; then the
    /// mystery stays as it is.
    pub async fn new_mystery(&self, pick: Option<Pick>, seed: Option<u64>) -> Result<Begun, GameError> {
        let pick = {
            let state = self.0.state.lock().await;
            if state.running_day().is_some() {
                return Err(GameError::MysteryInGameDay);
            }
            pick.unwrap_or(state.wish.pick)
        };
        let beginning = self.beginning(pick, seed).await?;
        let (seed, redis, note) = (beginning.seed, beginning.has_redis(), beginning.note.clone());
        let score = self
            .change_to(Some(beginning), move |state, _| {
                if state.running_day().is_some() {
                    return Err(GameError::MysteryInGameDay);
                }
                state.next_mystery(pick, seed, redis, now_ms())?;
                Ok(score(state))
            })
            .await?;
        info!(mystery = score.mystery, "new mystery");
        Ok(Begun { score, note })
    }

    /// When the mystery that is running began, in milliseconds since the epoch.
    pub async fn began_ms(&self) -> u64 {
        self.0.state.lock().await.started_ms
    }

    pub async fn score(&self) -> Score {
        score(&*self.0.state.lock().await)
    }

    /// What such a mystery begins with. The game is not locked meanwhile: guesses need not wait for a Redis.
    pub(super) async fn beginning(&self, pick: Pick, seed: Option<u64>) -> Result<Beginning, GameError> {
        let seed = checked_seed(seed)?;
        self.check(pick)?;
        let Inner { topology, ref redis, ref replaced, .. } = *self.0;
        let drawn = Drawn { pick, seed, topology, goes_on: false };
        Beginning::of(drawn, redis, replaced).await.map_err(GameError::Redis)
    }

    /// Whether a mystery can be had, and the seed is one.
    pub(super) fn check_mystery(&self, pick: Pick, seed: Option<u64>) -> Result<(), GameError> {
        checked_seed(seed)?;
        Ok(self.check(pick)?)
    }

    pub(super) fn redis(&self) -> &Redis {
        &self.0.redis
    }

    /// What it was to draw: the same fault, whatever the delays.
    pub(super) fn draw(&self, seed: u64, cause: Cause) -> Result<Mystery, Impossible> {
        draw(seed, cause, self.0.topology, self.0.delay_scale)
    }

    pub(super) async fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&*self.0.state.lock().await)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Makes a change that is kept, or none.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State, &Mystery) -> Result<T, GameError> + Send + 'static,
    ) -> Result<T, GameError> {
        self.change_to(None, change).await
    }

    /// The same, and with `beginning` a new mystery. It runs to its end even if whoever asked for it goes away.
    pub(super) async fn change_to<T: Send + 'static>(
        &self,
        beginning: Option<Beginning>,
        change: impl FnOnce(&mut State, &Mystery) -> Result<T, GameError> + Send + 'static,
    ) -> Result<T, GameError> {
        let game = self.clone();
        let changing = tokio::spawn(async move {
            let mut state = game.0.state.lock().await;
            let mystery = Arc::clone(&game.0.rounds.borrow());
            let mut next = state.clone();
            let result = change(&mut next, &mystery.mystery)?;
            let Inner { delay_scale, process, .. } = *game.0;
            let started = beginning.map(|beginning| round(&next, delay_scale, beginning, process)).transpose()?;
            game.keep(next.clone()).await?;
            *state = next;
            if let Some(round) = started {
                // While the lock is held: of two new mysteries the later one shall stay.
                game.0.rounds.send_replace(Arc::new(round));
            }
            Ok(result)
        });
        match changing.await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn keep(&self, state: State) -> Result<(), GameError> {
        let Some(store) = self.0.store.clone() else { return Ok(()) };
        let path = store.path();
        let saved = tokio::task::spawn_blocking(move || store.save(&state)).await;
        saved.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(|source| {
            error!(path = %path.display(), error = %source, "cannot keep the game's state");
            GameError::Store { path, source }
        })
    }
}

/// The mystery that shall run.
#[derive(Debug)]
struct Drawn {
    pick: Pick,
    /// Where absent, any will do.
    seed: Option<u64>,
    topology: Topology,
    /// It ran before.
    goes_on: bool,
}

/// What a mystery begins with.
#[derive(Debug)]
pub(super) struct Beginning {
    pub seed: u64,
    redis: Option<Url>,
    note: Option<String>,
}

impl Beginning {
    /// Sees to it that a Redis runs where a mystery of this kind needs one, or might: that it is started must not tell which it is.
    async fn of(drawn: Drawn, redis: &Redis, replaced: &BTreeSet<ServiceName>) -> anyhow::Result<Self> {
        let (redis, missing) = match drawn.pick {
            Pick::Cause(Cause::Redis) => {
                let unreachable = |error| failure(Failure::Unreachable, format!("this mystery needs a Redis: {error:#}"));
                (Some(redis.start().await.map_err(unreachable)?), None)
            }
            Pick::Random if redis.is_there() => match redis.start().await {
                Ok(url) => (Some(url), None),
                Err(error) => (None, Some(format!("{error:#}"))),
            },
            Pick::Random => (None, Some(format!("no Redis is there; {REDIS_WAY_OUT}"))),
            Pick::Cause(_) => (redis.running(), None),
        };
        let mut notes: Vec<String> =
            missing.map(|why| format!("redis is left out of what random draws: {why}")).into_iter().collect();
        let open = drawn.open_seed(redis.is_some(), replaced);
        if open.is_none() && !replaced.is_empty() {
            notes.push(MAY_BE_HIDDEN.to_owned());
        }
        let seed = drawn.seed.or(open).unwrap_or_else(random_seed);
        Ok(Self { seed, redis, note: (!notes.is_empty()).then(|| notes.join("; ")) })
    }

    pub fn has_redis(&self) -> bool {
        self.redis.is_some()
    }
}

impl Drawn {
    /// A random seed whose fault can be found although services were replaced; none where it is not to be had, or not ours to choose.
    fn open_seed(&self, redis: bool, replaced: &BTreeSet<ServiceName>) -> Option<u64> {
        if self.seed.is_some() || self.goes_on {
            return None;
        }
        let is_open = |seed: &u64| {
            let mystery = self.pick.cause(*seed, self.topology, redis).and_then(|cause| draw(*seed, cause, self.topology, 1.0));
            mystery.is_ok_and(|mystery| mystery.can_be_found_beside(replaced))
        };
        std::iter::repeat_with(random_seed).take(MOST_DRAWS).find(is_open)
    }
}

/// A game of another size is kept for when that size comes back, and the game of this one goes on, if there was any: files of a
/// container's volume are nobody's to move by hand.
fn change_size(other: &State, topology: Topology, store: &Store) -> anyhow::Result<Option<State>> {
    let describe = |topology: Topology| format!("{} × {} services, route {}", topology.layers, topology.width, topology.route);
    if other.running_day().is_some() {
        bail!(
            "{} holds a game day with {}, but this one has {}; let it end, or name another directory with --state",
            store.path().display(),
            describe(other.topology),
            describe(topology)
        );
    }
    let path = store.path();
    let saved = store.exchange(other.topology, topology).with_context(|| format!("cannot put {} aside", path.display()))?;
    info!(kept = describe(other.topology), now = describe(topology), "the game in the state directory is of another size");
    Ok(saved)
}

fn round(state: &State, delay_scale: f64, beginning: Beginning, process: u64) -> Result<Round, Impossible> {
    Ok(Round {
        version: format!("{process:016x}-{}", state.number),
        mystery: draw(state.seed, state.cause, state.topology, delay_scale)?,
        redis: beginning.redis,
        note: beginning.note,
    })
}

fn score(state: &State) -> Score {
    let teams = state.teams.iter().map(|(name, team)| TeamScore {
        team: name.clone(),
        guesses: team.guesses,
        hints: team.hints,
        verdict: team.verdict,
        seconds: team.solved_seconds,
        revealed: team.revealed,
        solved: team.solved,
    });
    Score { mystery: state.number, cause: state.told_cause(), seconds: state.seconds(now_ms()), teams: teams.collect() }
}

pub(super) fn checked_team(team: Option<String>) -> Result<String, GameError> {
    let Some(team) = team else { return Ok(DEFAULT_TEAM.to_owned()) };
    let team = team.trim();
    let length = team.chars().count();
    if !(1..=MAX_TEAM_LENGTH).contains(&length) || team.chars().any(char::is_control) {
        return Err(GameError::TeamName);
    }
    Ok(team.to_owned())
}

fn checked_seed(seed: Option<u64>) -> Result<Option<u64>, GameError> {
    match seed {
        Some(seed) if seed > MAX_SEED => Err(GameError::Seed(seed)),
        seed => Ok(seed),
    }
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::fake;
    use crate::topology::Route;
    use clap::ValueEnum as _;

    fn settings() -> GameSettings {
        let topology = Topology::new(3, 30, Route::Straight).unwrap();
        GameSettings {
            topology,
            mystery: Cause::Sleep.into(),
            seed: Some(7),
            delay_scale: 1.0,
            state: None,
            redis: Redis::none(),
            replaced: BTreeSet::new(),
        }
    }

    fn culprit(game: &Game) -> ServiceName {
        game.rounds().borrow().mystery.culprit.unwrap()
    }

    /// Right, or right but for the number of the service.
    fn guess(service: ServiceName) -> Guess {
        Guess { cause: Some(Cause::Sleep), service: Some(service), ..Guess::default() }
    }

    fn other(service: ServiceName) -> ServiceName {
        ServiceName { number: (service.number + 1) % 30, ..service }
    }

    #[tokio::test]
    async fn wrong_then_right_counts_two_guesses_and_later_ones_count_no_more() {
        let game = Game::open(&settings()).await.unwrap();
        let culprit = culprit(&game);
        let wrong = game.guess(None, guess(other(culprit))).await.unwrap();
        assert_eq!((wrong.verdict, wrong.guesses), (Verdict::Wrong, 1));
        let right = game.guess(None, guess(culprit)).await.unwrap();
        assert_eq!((right.verdict, right.guesses), (Verdict::Right, 2));
        let again = game.guess(None, guess(culprit)).await.unwrap();
        assert_eq!((again.verdict, again.guesses, again.seconds), (Verdict::Right, 2, right.seconds));
        let spoilt = game.guess(None, guess(other(culprit))).await.unwrap();
        assert_eq!((spoilt.verdict, spoilt.guesses), (Verdict::Wrong, 2));
        let score = game.score().await;
        assert_eq!((score.teams[0].verdict, score.teams[0].seconds), (Some(Verdict::Right), Some(right.seconds)));
    }

    #[tokio::test]
    async fn teams_are_scored_apart_and_a_reveal_ends_it_for_one_of_them() {
        let game = Game::open(&settings()).await.unwrap();
        let culprit = culprit(&game);
        let team = |name: &str| Some(name.to_owned());
        let revealed = game.reveal(team("owls")).await.unwrap();
        assert_eq!((revealed.answer.service, revealed.seed), (Some(culprit), 7));
        let after = game.guess(team("owls"), guess(culprit)).await.unwrap();
        assert_eq!((after.verdict, after.guesses), (Verdict::Right, 0));
        game.guess(team(" elks "), guess(culprit)).await.unwrap();
        game.hint(team("elks")).await.unwrap();
        let score = game.score().await;
        let teams: Vec<_> = score.teams.iter().map(|team| (team.team.as_str(), team.guesses, team.hints, team.revealed)).collect();
        assert_eq!(teams, [("elks", 1, 1, false), ("owls", 0, 0, true)]);
    }

    #[tokio::test]
    async fn a_reveal_that_names_no_team_ends_it_for_all_and_for_those_to_come() {
        let directory = tempfile::tempdir().unwrap();
        let settings = GameSettings { state: Some(directory.path().to_owned()), ..settings() };
        let game = Game::open(&settings).await.unwrap();
        let culprit = culprit(&game);
        let team = |name: &str| Some(name.to_owned());
        game.guess(team("elks"), guess(culprit)).await.unwrap();
        game.hint(team("owls")).await.unwrap();
        game.reveal(None).await.unwrap();
        drop(game);

        let game = Game::open(&settings).await.unwrap();
        for late in [team("late"), None] {
            assert_eq!(game.guess(late, guess(culprit)).await.unwrap().guesses, 0);
        }
        let revealed = |score: Score| score.teams.into_iter().map(|team| (team.team, team.revealed)).collect::<Vec<_>>();
        let expected = [("elks", false), (DEFAULT_TEAM, true), ("late", true), ("owls", true)];
        assert_eq!(revealed(game.score().await), expected.map(|(team, revealed)| (team.to_owned(), revealed)));
        game.new_mystery(None, None).await.unwrap();
        game.hint(team("later")).await.unwrap();
        assert!(revealed(game.score().await).iter().all(|(_, revealed)| !revealed));
    }

    #[tokio::test]
    async fn a_seed_that_a_browser_would_round_is_refused() {
        let game = Game::open(&GameSettings { seed: Some(MAX_SEED), ..settings() }).await.unwrap();
        assert_eq!(game.reveal(None).await.unwrap().seed, MAX_SEED);
        let says = "seed is 9007199254740992; it must be a whole number between 0 and 9007199254740991";
        assert_eq!(game.new_mystery(None, Some(MAX_SEED + 1)).await.unwrap_err().to_string(), says);
        assert_eq!(Game::open(&GameSettings { seed: Some(MAX_SEED + 1), ..settings() }).await.unwrap_err().to_string(), says);
    }

    #[tokio::test]
    async fn teams_and_their_names_are_bounded() {
        let game = Game::open(&settings()).await.unwrap();
        for name in ["", "  ", &"x".repeat(41), "two\nlines"] {
            assert!(matches!(game.hint(Some(name.to_owned())).await, Err(GameError::TeamName)), "{name:?}");
        }
        for n in 0..MAX_TEAMS {
            game.hint(Some(format!("team {n}"))).await.unwrap();
        }
        assert!(matches!(game.hint(Some("one more".into())).await, Err(GameError::TooManyTeams)));
        assert_eq!(game.hint(Some("team 3".into())).await.unwrap().hint, 2);
    }

    #[tokio::test]
    async fn a_new_mystery_reaches_whoever_follows_and_resets_the_score() {
        let game = Game::open(&settings()).await.unwrap();
        let mut rounds = game.rounds();
        let before = rounds.borrow_and_update().version.clone();
        game.guess(None, guess(culprit(&game))).await.unwrap();
        let score = game.new_mystery(Some(Cause::None.into()), None).await.unwrap().score;
        assert_eq!((score.mystery, score.cause, score.teams[0].guesses, score.teams[0].solved), (2, Some(Cause::None), 0, 1));
        assert!(rounds.has_changed().unwrap());
        let round = rounds.borrow_and_update().clone();
        assert_ne!(round.version, before);
        assert_eq!(round.mystery.culprit, None);
        // Without a cause of its own it is what was configured, and a random one keeps it to itself.
        assert_eq!(game.new_mystery(None, None).await.unwrap().score.cause, Some(Cause::Sleep));
        assert_eq!(game.new_mystery(Some(Pick::Random), None).await.unwrap().score.cause, None);
    }

    async fn somewhere() -> Redis {
        Redis::at(fake::answering().await)
    }

    /// One that was named and does not answer.
    fn nowhere() -> Redis {
        Redis::at("redis://127.0.0.1:1".parse().unwrap())
    }

    #[tokio::test]
    async fn every_mystery_is_solved_by_its_answer_alone_and_then_explained() {
        let topology = Topology::new(3, 6, Route::Random).unwrap();
        for &cause in Cause::value_variants() {
            let settings = GameSettings { topology, mystery: cause.into(), redis: somewhere().await, ..settings() };
            let game = Game::open(&settings).await.unwrap();
            let Answer { cause, service, callee, customer } = game.rounds().borrow().mystery.answer();
            let whole = Guess { cause: Some(cause), service, callee, customer };
            let lacking = [
                Guess { cause: None, ..whole.clone() },
                Guess { service: None, ..whole.clone() },
                Guess { callee: None, ..whole.clone() },
                Guess { customer: None, ..whole.clone() },
            ];
            for guess in lacking.into_iter().filter(|guess| *guess != whole && *guess != Guess::default()) {
                let graded = game.guess(None, guess).await.unwrap();
                assert!(graded.verdict != Verdict::Right && graded.explanation.is_none(), "{cause}: {graded:?}");
            }
            let right = game.guess(None, whole).await.unwrap();
            assert_eq!(right.verdict, Verdict::Right, "{cause}");
            let revealed = game.reveal(None).await.unwrap();
            assert_eq!(right.explanation, Some(revealed.explanation), "{cause}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_had_is_refused_at_the_start_and_later_and_the_mystery_stays() {
        for (cause, says) in [(Cause::Upstream, "--route random"), (Cause::Redis, "--redis redis://127.0.0.1:6379")] {
            let error = Game::open(&GameSettings { mystery: cause.into(), ..settings() }).await.unwrap_err().to_string();
            assert!(error.starts_with(&format!("a mystery of cause {cause} needs")) && error.contains(says), "{error}");
            let game = Game::open(&settings()).await.unwrap();
            let refused = game.new_mystery(Some(cause.into()), None).await.unwrap_err().to_string();
            assert_eq!(refused, error);
            assert_eq!((game.score().await.mystery, game.check(cause.into()).unwrap_err().to_string()), (1, error));
        }
    }

    #[tokio::test]
    async fn random_without_a_redis_says_that_it_leaves_it_out_and_other_mysteries_do_not() {
        let game = Game::open(&GameSettings { mystery: Pick::Random, ..settings() }).await.unwrap();
        let note = game.note().unwrap();
        assert!(note.starts_with("redis is left out") && note.ends_with(REDIS_WAY_OUT), "{note}");
        assert_eq!(game.new_mystery(Some(Cause::Sleep.into()), None).await.unwrap().note, None);
        assert_eq!(game.note(), None);
        assert_eq!(game.new_mystery(Some(Pick::Random), None).await.unwrap().note, Some(note));
    }

    #[tokio::test]
    async fn a_redis_that_does_not_answer_is_none_to_random_and_an_error_to_its_own_mystery() {
        let redis_seed = (0..).find(|seed| Pick::Random.cause(*seed, settings().topology, true) == Ok(Cause::Redis));
        let settings = GameSettings { redis: nowhere(), seed: redis_seed, ..settings() };
        let game = Game::open(&GameSettings { mystery: Pick::Random, ..settings.clone() }).await.unwrap();
        assert_ne!(game.rounds().borrow().mystery.cause, Cause::Redis);
        let note = game.note().unwrap();
        assert!(note.starts_with("redis is left out") && note.contains("redis://127.0.0.1:1 is no Redis that answers"), "{note}");
        let refused = game.new_mystery(Some(Cause::Redis.into()), None).await.unwrap_err().to_string();
        assert!(refused.contains("needs a Redis: ") && refused.ends_with("the mystery stays as it is"), "{refused}");
        let error = Game::open(&GameSettings { mystery: Cause::Redis.into(), ..settings }).await.unwrap_err();
        assert_eq!(crate::exit::code(&error), 3, "{error:#}");
    }

    #[tokio::test]
    async fn a_random_seed_hides_nothing_at_or_behind_what_was_replaced_and_one_that_was_named_may() {
        let topology = Topology::new(3, 2, Route::Straight).unwrap();
        let replaced = BTreeSet::from([ServiceName { layer: 1, number: 0 }]);
        let settings = GameSettings { topology, replaced, seed: None, ..settings() };
        let game = Game::open(&settings).await.unwrap();
        for _ in 0..20 {
            assert_eq!((culprit(&game).number, game.note()), (1, None));
            assert_eq!(game.new_mystery(None, None).await.unwrap().note, None);
        }
        for seed in 0..3 {
            let note = game.new_mystery(None, Some(seed)).await.unwrap().note.unwrap();
            assert!(note.contains("a service that was replaced"), "{note}");
        }
        let all = topology.services().collect();
        assert!(Game::open(&GameSettings { replaced: all, ..settings }).await.unwrap().note().is_some());
    }

    #[tokio::test]
    async fn that_nothing_is_wrong_names_no_place() {
        let game = Game::open(&GameSettings { mystery: Cause::None.into(), ..settings() }).await.unwrap();
        let nothing = Guess { cause: Some(Cause::None), ..Guess::default() };
        let service = Some(ServiceName { layer: 0, number: 1 });
        for guess in [
            Guess { service, ..nothing.clone() },
            Guess { callee: service, ..nothing.clone() },
            Guess { customer: Some("customer-1".to_owned()), ..nothing.clone() },
        ] {
            assert!(matches!(game.guess(None, guess).await, Err(GameError::NothingSomewhere)));
        }
        assert_eq!(game.guess(None, nothing).await.unwrap().guesses, 1, "those before did not count");
    }

    #[tokio::test]
    async fn a_random_mystery_stays_what_it_is_when_a_redis_comes_and_one_that_needs_it_says_so_when_it_goes() {
        let directory = tempfile::tempdir().unwrap();
        let settings = GameSettings { mystery: Pick::Random, state: Some(directory.path().to_owned()), ..settings() };
        let running = |game: &Game| game.rounds().borrow().mystery.clone();
        // One that would be a mystery of Redis if there were one.
        let redis_seed = (0..).find(|seed| Pick::Random.cause(*seed, settings.topology, true) == Ok(Cause::Redis));
        let game = Game::open(&GameSettings { seed: redis_seed, ..settings.clone() }).await.unwrap();
        let before = running(&game);
        assert_ne!(before.cause, Cause::Redis);
        drop(game);
        let path = directory.path().join("game.json");
        let kept = std::fs::read_to_string(&path).unwrap();

        let cause = format!("\"cause\": \"{}\"", before.cause);
        std::fs::write(&path, kept.replace(&cause, "\"cause\": \"redis\"")).unwrap();
        let error = format!("{:#}", Game::open(&GameSettings { seed: redis_seed, ..settings.clone() }).await.unwrap_err());
        assert!(error.starts_with("the game cannot go on with its mystery;"), "{error}");
        assert!(!error.contains("cause redis"), "the cause is a secret: {error}");
        std::fs::write(&path, kept).unwrap();
        let redis = somewhere().await;
        let game = Game::open(&GameSettings { seed: redis_seed, redis: redis.clone(), ..settings.clone() }).await.unwrap();
        assert_eq!(running(&game), before);
        // A new one with the same seed may be what it could not be before.
        game.new_mystery(None, redis_seed).await.unwrap();
        assert_eq!(running(&game).cause, Cause::Redis);
        assert_eq!(game.rounds().borrow().redis, redis.running());
    }

    #[tokio::test]
    async fn a_restart_goes_on_and_a_changed_flag_starts_anew() {
        let directory = tempfile::tempdir().unwrap();
        let settings = GameSettings { seed: None, state: Some(directory.path().to_owned()), ..settings() };
        let game = Game::open(&settings).await.unwrap();
        let before = (culprit(&game), game.rounds().borrow().version.clone());
        game.guess(None, guess(other(before.0))).await.unwrap();
        drop(game);

        let game = Game::open(&settings).await.unwrap();
        assert_eq!(culprit(&game), before.0);
        assert_ne!(game.rounds().borrow().version, before.1, "versions of two processes differ");
        let right = game.guess(None, guess(before.0)).await.unwrap();
        assert_eq!((right.verdict, right.guesses), (Verdict::Right, 2));
        drop(game);

        let wide = GameSettings { seed: Some(11), ..settings.clone() };
        let game = Game::open(&wide).await.unwrap();
        let score = game.score().await;
        assert_eq!((score.mystery, score.teams[0].solved), (2, 1));
        drop(game);

        let narrow = GameSettings { topology: Topology::new(3, 5, Route::Straight).unwrap(), ..settings };
        for (settings, mystery) in [(&narrow, 1), (&wide, 2), (&narrow, 1), (&wide, 2)] {
            let game = Game::open(settings).await.unwrap();
            assert_eq!((game.topology(), game.score().await.mystery), (settings.topology, mystery), "each size has its own game");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_not_done() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let game = Game::open(&GameSettings { state: Some(state.clone()), ..settings() }).await.unwrap();
        std::fs::remove_dir_all(&state).unwrap();
        let before = game.rounds().borrow().version.clone();
        assert!(matches!(game.new_mystery(None, None).await, Err(GameError::Store { .. })));
        assert_eq!((game.score().await.mystery, &game.rounds().borrow().version), (1, &before));
    }
}
