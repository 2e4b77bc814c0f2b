//! What the game remembers, and the file in which it survives a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::game_day::{Day, Due, Outcome};
use crate::mystery::{Cause, Impossible, Verdict};
use crate::topology::Topology;

const FILE: &str = "game.json";
/// Written first, so that `game.json` is whole whenever it is there.
const NEW_FILE: &str = "game.json.new";
/// Locked as long as a process plays with the directory. The lock goes with the process, whatever ends it; the file stays.
const LOCK_FILE: &str = "game.lock";
/// Raised when an older release could no longer read the file.
const FORMAT: u32 = 3;
/// Formats that are read. One of format 2 knows no game day, and is one of format 3 in everything else.
const READ: std::ops::RangeInclusive<u32> = 2..=FORMAT;
/// A workshop has tens of teams; this bounds what a stranger can make the frontend remember.
pub const MAX_TEAMS: usize = 500;
/// The largest seed: the largest whole number up to which a number in JavaScript, thus in the page, is exact.
pub const MAX_SEED: u64 = (1 << 53) - 1;

/// Which cause a mystery shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one, and everybody may know it.
    Cause(Cause),
    /// Drawn with the seed, and kept to itself.
    Random,
}

/// What somebody configured; where it is what it was before a restart, the game goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    pub pick: Pick,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    format: u32,
    pub topology: Topology,
    pub wish: Wish,
    /// The mystery's number, counted from 1.
    pub number: u32,
    pub pick: Pick,
    /// Drawn once: what a random mystery may be can be otherwise at the next start.
    pub cause: Cause,
    pub seed: u64,
    /// Milliseconds since the epoch.
    pub started_ms: u64,
    /// The answer was told to all teams, also to those that come later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    revealed: bool,
    pub teams: BTreeMap<String, Team>,
    /// The one that is running, or the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub game_day: Option<Day>,
}

/// What every release can read of the file.
#[derive(Debug, Deserialize)]
struct Format {
    format: u32,
}

/// What one team did about the mystery that is running.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Team {
    /// Up to and including the right one.
    pub guesses: u32,
    pub hints: u32,
    /// Of the last guess that counted.
    pub verdict: Option<Verdict>,
    /// How long the right guess took.
    pub solved_seconds: Option<f64>,
    pub revealed: bool,
    /// Mysteries before this one that the team solved.
    pub solved: u32,
}

impl State {
    /// The first mystery of a game. `redis` says whether there is one.
    pub fn new(topology: Topology, wish: Wish, seed: u64, redis: bool, now_ms: u64) -> Result<Self, Impossible> {
        let Wish { pick, .. } = wish;
        let cause = pick.cause(seed, topology, redis)?;
        let teams = BTreeMap::new();
        Ok(Self {
            format: FORMAT,
            topology,
            wish,
            number: 1,
            pick,
            cause,
            seed,
            started_ms: now_ms,
            revealed: false,
            teams,
            game_day: None,
        })
    }

    /// Starts the next mystery: teams stay, with what they solved so far. Where it is impossible, nothing changes.
    pub fn next_mystery(&mut self, pick: Pick, seed: u64, redis: bool, now_ms: u64) -> Result<(), Impossible> {
        self.cause = pick.cause(seed, self.topology, redis)?;
        self.number = self.number.saturating_add(1);
        self.pick = pick;
        self.seed = seed;
        self.started_ms = now_ms;
        self.revealed = false;
        for team in self.teams.values_mut() {
            let solved = team.solved + u32::from(team.verdict == Some(Verdict::Right));
            *team = Team { solved, ..Team::default() };
        }
        Ok(())
    }

    /// The team of this name, who may be a new one; none where there are too many already.
    pub fn team(&mut self, name: String) -> Option<&mut Team> {
        if self.teams.len() >= MAX_TEAMS && !self.teams.contains_key(&name) {
            return None;
        }
        let new = Team { revealed: self.revealed, ..Team::default() };
        Some(self.teams.entry(name).or_insert(new))
    }

    /// Those that a teacher named have their place, whoever came before them.
    pub fn seat(&mut self, names: &BTreeSet<String>) {
        for name in names {
            self.teams.entry(name.clone()).or_default();
        }
    }

    /// The answer is told to all teams.
    pub fn reveal_to_all(&mut self) {
        self.revealed = true;
        self.teams.values_mut().for_each(Team::reveal);
    }

    /// The game day that is running.
    pub fn running_day(&self) -> Option<&Day> {
        self.game_day.as_ref().filter(|day| !day.is_over())
    }

    /// What the teams that guessed at this mystery did.
    pub fn outcomes(&self) -> BTreeMap<String, Outcome> {
        let guessed = self.teams.iter().filter(|(_, team)| team.guesses > 0);
        guessed.map(|(name, team)| (name.clone(), team.outcome())).collect()
    }

    /// Ends the game day's round if its time is up, whoever notices it.
    pub fn look_at_clock(&mut self, now_ms: u64) {
        let outcomes = self.outcomes();
        if let Some(day) = &mut self.game_day
            && let Due::End { at_ms } = day.due(now_ms)
        {
            day.end_round(at_ms, outcomes);
        }
    }

    /// Whether a guess counts now: a round of a game day has its time, any other mystery has all of it.
    pub fn takes_guesses(&self, now_ms: u64) -> bool {
        self.round_of_day().is_none_or(|day| day.takes_guesses(now_ms))
    }

    /// Whether the mystery is a round of a game day whose time is not up.
    pub fn round_runs(&self, now_ms: u64) -> bool {
        self.round_of_day().is_some_and(|day| day.takes_guesses(now_ms))
    }

    /// The cause, where everybody may know it.
    pub fn told_cause(&self) -> Option<Cause> {
        let secret = self.round_of_day().is_some_and(|day| !day.planned().is_some_and(|planned| planned.tell_cause));
        match self.pick {
            Pick::Cause(cause) if !secret => Some(cause),
            Pick::Cause(_) | Pick::Random => None,
        }
    }

    /// The game day of which the mystery is a round.
    fn round_of_day(&self) -> Option<&Day> {
        self.game_day.as_ref().filter(|day| day.is_about(self.number))
    }

    /// How long the mystery has been running.
    pub fn seconds(&self, now_ms: u64) -> f64 {
        now_ms.saturating_sub(self.started_ms) as f64 / 1e3
    }
}

impl Team {
    /// A team that has found the answer itself can no longer be spoilt.
    pub fn reveal(&mut self) {
        self.revealed = self.verdict != Some(Verdict::Right);
    }

    fn outcome(&self) -> Outcome {
        Outcome { verdict: self.verdict, guesses: self.guesses, seconds: self.solved_seconds }
    }
}

/// The directory in which the game survives; clones share the right to it.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
    _lock: Arc<File>,
}

impl Store {
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make the state directory {}", directory.display()))?;
        let path = directory.join(LOCK_FILE);
        let path = path.display();
        let lock = create_private(&directory.join(LOCK_FILE)).with_context(|| format!("cannot write {path}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_owned(), _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => {
                bail!("another tracelab plays with this state and holds {path}; stop it, or name another directory with --state")
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {path}")),
        }
    }

    /// What was saved last, if anything was.
    pub fn load(&self) -> anyhow::Result<Option<State>> {
        let path = self.directory.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read the game's state in {}", path.display())),
        };
        let way_out = "move the file away, or name another directory with --state";
        // First: what else another release wrote may be no state to this one.
        if let Ok(Format { format }) = serde_json::from_slice(&text)
            && !READ.contains(&format)
        {
            bail!("{} was written by another release of tracelab (format {format}); {way_out}", path.display());
        }
        let state: State = serde_json::from_slice(&text)
            .with_context(|| format!("{} does not hold the state of a game; {way_out}", path.display()))?;
        Ok(Some(State { format: FORMAT, ..state }))
    }

    /// Replaces the file in one step: whoever reads it finds the old state or the new one, also after a power cut.
    pub fn save(&self, state: &State) -> io::Result<()> {
        let new = self.directory.join(NEW_FILE);
        let mut file = create_private(&new)?;
        serde_json::to_writer_pretty(&mut file, state)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        File::open(&self.directory)?.sync_all()
    }

    /// Puts the game of `here` aside, and takes that of `there` up, if there was one.
    pub fn exchange(&self, here: Topology, there: Topology) -> anyhow::Result<Option<State>> {
        let aside =
            |Topology { layers, width, route }: Topology| self.directory.join(format!("game-{layers}x{width}-{route}.json"));
        fs::rename(self.path(), aside(here))?;
        match fs::rename(aside(there), self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
            Ok(()) => self.load(),
        }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

/// The game's file holds the seed, which is the answer: it is its owner's alone.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

pub(super) fn random_seed() -> u64 {
    rand::random_range(0..=MAX_SEED)
}

impl Pick {
    /// What it is, in a line without a full stop.
    pub fn about(self) -> String {
        match self {
            Pick::Cause(cause) => cause.about(),
            Pick::Random => "one of these, drawn with the seed and kept secret".to_owned(),
        }
    }

    /// Whether a mystery can be had; a random one always can.
    pub(super) fn check(self, topology: Topology, redis: bool) -> Result<(), Impossible> {
        match self {
            Pick::Cause(cause) => cause.check(topology, redis),
            Pick::Random => Ok(()),
        }
    }

    /// The cause of a mystery with this seed.
    pub(super) fn cause(self, seed: u64, topology: Topology, redis: bool) -> Result<Cause, Impossible> {
        match self {
            Pick::Cause(cause) => cause.check(topology, redis).map(|()| cause),
            Pick::Random => Ok(random_cause(seed, topology, redis)),
        }
    }
}

/// That nothing is wrong is a mystery too, but seldom: looking in vain is no fun twice.
fn random_cause(seed: u64, topology: Topology, redis: bool) -> Cause {
    let mut rng = ChaCha8Rng::seed_from_u64(!seed);
    if rng.random_bool(0.1) {
        return Cause::None;
    }
    let faults: Vec<Cause> = Cause::value_variants().iter().copied().filter(|cause| *cause != Cause::None).collect();
    // What cannot be had is drawn again, so that it makes no difference to seeds that draw something else.
    let mut drawn = std::iter::repeat_with(|| faults[rng.random_range(0..faults.len())]);
    drawn.find(|cause| cause.check(topology, redis).is_ok()).unwrap_or_default()
}

impl From<Cause> for Pick {
    fn from(cause: Cause) -> Self {
        Pick::Cause(cause)
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pick::Cause(cause) => cause.fmt(f),
            Pick::Random => f.write_str("random"),
        }
    }
}

/// Neither a cause nor `random`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{given:?} is not a cause; a mystery can be {}", .known.join(", "))]
pub struct NotACause {
    given: String,
    known: Vec<String>,
}

impl FromStr for Pick {
    type Err = NotACause;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "random" => Ok(Pick::Random),
            text => cause(text).map(Pick::Cause).map_err(|error| {
                let known = error.known.into_iter().chain(["random".to_owned()]).collect();
                NotACause { known, ..error }
            }),
        }
    }
}

/// A cause by its name.
pub(super) fn cause(text: &str) -> Result<Cause, NotACause> {
    Cause::from_str(text, false).map_err(|_| NotACause {
        given: text.chars().take(40).collect(),
        known: Cause::value_variants().iter().map(Cause::to_string).collect(),
    })
}

impl Serialize for Pick {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pick {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Route;

    fn state() -> State {
        let wish = Wish { pick: Pick::Random, seed: Some(7) };
        let mut state = State::new(Topology::new(3, 30, Route::Straight).unwrap(), wish, 7, false, 1_000).unwrap();
        state.teams.insert("owls".into(), Team { guesses: 2, verdict: Some(Verdict::Right), ..Team::default() });
        state
    }

    #[test]
    fn two_cannot_play_with_one_directory_and_the_lock_goes_with_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let clone = store.clone();
        drop(store);
        let error = Store::open(directory.path()).unwrap_err().to_string();
        let lock = directory.path().join(LOCK_FILE);
        assert!(error.starts_with("another tracelab plays with this state") && error.ends_with("with --state"), "{error}");
        assert!(error.contains(&lock.display().to_string()), "{error}");
        drop(clone);
        assert!(lock.exists(), "what a killed process left behind");
        Store::open(directory.path()).unwrap();
    }

    #[test]
    fn a_state_that_says_nothing_of_a_reveal_is_one_without() {
        let text = serde_json::to_string(&state()).unwrap();
        assert!(!text.contains("\"revealed\":true"), "{text}");
        let old = text.replacen(",\"revealed\":false,\"teams\"", ",\"teams\"", 1);
        assert_eq!(serde_json::from_str::<State>(&old).unwrap(), state());
        let mut revealed = state();
        revealed.reveal_to_all();
        let text = serde_json::to_string(&revealed).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), revealed);
    }

    #[test]
    fn what_is_saved_is_loaded_and_leaves_nothing_else_behind() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("deep/er")).unwrap();
        assert_eq!(store.load().unwrap(), None);
        store.save(&state()).unwrap();
        store.save(&state()).unwrap();
        assert_eq!(store.load().unwrap(), Some(state()));
        let mut files: Vec<_> = fs::read_dir(&store.directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, [FILE, LOCK_FILE]);
    }

    #[test]
    fn a_foreign_file_is_an_error_that_names_it_and_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for text in ["", "{}", "my notes", "{\"format\": 2, \"seed\": -1}", "\u{0}"] {
            fs::write(store.path(), text).unwrap();
            let error = store.load().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{} does not hold the state of a game", store.path().display())), "{error}");
            assert_eq!(fs::read_to_string(store.path()).unwrap(), text);
        }
        for format in [1, 4] {
            fs::write(store.path(), format!("{{\"format\": {format}, \"moods\": []}}")).unwrap();
            let error = store.load().unwrap_err().to_string();
            assert!(error.contains(&format!("written by another release of tracelab (format {format})")), "{error}");
        }
    }

    #[test]
    fn what_a_release_without_game_days_saved_is_read_and_saved_as_what_it_is_now() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let old = serde_json::to_string(&state()).unwrap().replacen("\"format\":3", "\"format\":2", 1);
        assert!(old.contains("\"format\":2") && !old.contains("game_day"), "{old}");
        fs::write(store.path(), old).unwrap();
        let read = store.load().unwrap().unwrap();
        assert_eq!(read, state());
        store.save(&read).unwrap();
        assert!(fs::read_to_string(store.path()).unwrap().contains("\"format\": 3"));
    }

    #[test]
    fn a_new_mystery_keeps_the_teams_and_what_they_solved() {
        let mut state = state();
        state.next_mystery(Pick::Cause(Cause::Sleep), 8, false, 5_000).unwrap();
        assert_eq!((state.number, state.seconds(6_500)), (2, 1.5));
        assert_eq!(state.teams["owls"], Team { solved: 1, ..Team::default() });
        assert!(state.seed <= MAX_SEED);
    }

    #[test]
    fn a_mystery_that_cannot_be_had_changes_nothing() {
        let mut state = state();
        let before = state.clone();
        assert_eq!(state.next_mystery(Cause::Redis.into(), 9, false, 5_000), Err(Impossible::NoRedis));
        assert_eq!(state, before);
    }

    #[test]
    fn random_draws_every_cause_that_can_be_had_and_none_that_cannot() {
        for (layers, route, redis) in
            [(3, Route::Straight, false), (3, Route::All, false), (3, Route::Random, true), (1, Route::Random, true)]
        {
            let topology = Topology::new(layers, 4, route).unwrap();
            let mut drawn: BTreeMap<Cause, u32> = BTreeMap::new();
            for seed in 0..3_000 {
                *drawn.entry(random_cause(seed, topology, redis)).or_default() += 1;
            }
            let possible = Cause::value_variants().iter().copied().filter(|cause| cause.check(topology, redis).is_ok());
            assert_eq!(drawn.keys().copied().collect::<Vec<_>>(), possible.collect::<Vec<_>>());
            let nothing = drawn.remove(&Cause::None).unwrap();
            assert!((200..400).contains(&nothing), "{nothing} of 3000 mysteries without a fault");
            // None of them seldom: at least half as often as on average.
            let least = 2_700 / drawn.len() as u32 / 2;
            assert!(drawn.values().all(|count| *count > least), "{drawn:?}");
        }
    }

    #[test]
    fn a_redis_makes_a_difference_to_those_seeds_alone_that_draw_it() {
        let topology = Topology::new(3, 4, Route::Random).unwrap();
        for seed in 0..1_000 {
            let with = random_cause(seed, topology, true);
            assert!(with == Cause::Redis || random_cause(seed, topology, false) == with);
        }
    }

    #[test]
    fn a_pick_reads_back_as_itself_and_others_are_told_what_there_is() {
        for text in ["sleep", "none", "random"] {
            assert_eq!(text.parse::<Pick>().unwrap().to_string(), text);
        }
        let error = "slep".parse::<Pick>().unwrap_err().to_string();
        assert!(error.starts_with("\"slep\" is not a cause; a mystery can be sleep, ") && error.ends_with(", random"), "{error}");
    }
}
