//! What a teacher planned, and where in it a game day is. Pure: whoever asks says what time it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::state::Pick;
use super::board::Outcome;
use crate::mystery::{Answer, Cause};

/// A longer day would be a week; the bound is for what is kept of it.
pub const MOST_ROUNDS: usize = 50;
/// Those that a teacher names fit whoever played before.
const MOST_TEAMS: usize = 100;
/// A round of a day and a night.
const LONGEST_MINUTES: f64 = 1_440.0;
const LONGEST_PAUSE_SECONDS: f64 = 3_600.0;
/// Long enough to read the answer of the round before, where the teacher does not say.
pub(super) const PAUSE_SECONDS: f64 = 30.0;

/// The rounds of a game day, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    pub rounds: Vec<Planned>,
    /// Between the end of a round and the beginning of the next one.
    pub pause_seconds: f64,
    /// Those that play. Where there are none, whoever comes plays, under any name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<String>,
}

/// One round as it was planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    pub cause: Pick,
    /// Random where absent, and drawn when the round begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// More than none, in fractions too.
    pub minutes: f64,
    /// The teams are told the cause, which is neither random nor none; else finding it is part of the mystery.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tell_cause: bool,
}

/// Why a schedule is none.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum NoSchedule {
    #[error("rounds: a game day has 1 to {MOST_ROUNDS} of them, not {0}")]
    Rounds(usize),
    #[error("round {round}: minutes is {minutes}; it must be above 0, and at most {LONGEST_MINUTES}")]
    Minutes { round: usize, minutes: f64 },
    #[error("round {round}: tell_cause is not possible where the cause is {cause}; name another cause, or do not tell it")]
    Untold { round: usize, cause: Pick },
    #[error("teams: at most {MOST_TEAMS} of them are possible, not {0}")]
    Teams(usize),
    #[error("pause_seconds is {0}; it must be between 0 and {LONGEST_PAUSE_SECONDS}")]
    Pause(f64),
}

/// A game day that began. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    pub schedule: Schedule,
    pub started_ms: u64,
    pub phase: Phase,
    /// Rounds that began: the last one is running where the phase says so.
    pub played: Vec<Played>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Phase {
    Round { ends_ms: u64 },
    Pause { until_ms: u64 },
    Over,
}

/// A round that began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Played {
    /// The number of the mystery that it is.
    pub mystery: u32,
    pub seed: u64,
    pub answer: Answer,
    pub explanation: String,
    pub started_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// What the teams that guessed did, by name; while the round is running the game's score knows it.
    pub teams: BTreeMap<String, Outcome>,
}

/// What is to be done about a game day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The round's time was up then.
    End {
        at_ms: u64,
    },
    /// This round shall begin, counted from 0.
    Begin {
        round: usize,
    },
    /// Nothing, for so long.
    Wait(Duration),
    Nothing,
}

impl Schedule {
    /// Whether there can be such a game day; what each mystery needs is the game's to say.
    ///
    /// # Errors
    /// There are no rounds or too many, one has no time or too much, or the pause is none. The text names the round.
    pub fn check(&self) -> Result<(), NoSchedule> {
        if !(1..=MOST_ROUNDS).contains(&self.rounds.len()) {
            return Err(NoSchedule::Rounds(self.rounds.len()));
        }
        for (place, planned) in self.rounds.iter().enumerate() {
            let minutes = planned.minutes;
            if !(minutes > 0.0 && minutes <= LONGEST_MINUTES) {
                return Err(NoSchedule::Minutes { round: place + 1, minutes });
            }
            // What is drawn may be that nothing is wrong, and that is all of the answer.
            if planned.tell_cause && matches!(planned.cause, Pick::Random | Pick::Cause(Cause::None)) {
                return Err(NoSchedule::Untold { round: place + 1, cause: planned.cause });
            }
        }
        if self.teams.len() > MOST_TEAMS {
            return Err(NoSchedule::Teams(self.teams.len()));
        }
        match self.pause_seconds {
            pause if (0.0..=LONGEST_PAUSE_SECONDS).contains(&pause) => Ok(()),
            pause => Err(NoSchedule::Pause(pause)),
        }
    }

    fn pause_ms(&self) -> u64 {
        ms(self.pause_seconds)
    }
}

impl Planned {
    pub fn seconds(&self) -> f64 {
        self.minutes * 60.0
    }
}

impl Day {
    /// A game day whose first round begins now.
    pub fn new(schedule: Schedule, first: Played, now_ms: u64) -> Self {
        let mut day = Self { schedule, started_ms: now_ms, phase: Phase::Over, played: Vec::new() };
        day.begin_round(first, now_ms);
        day
    }

    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// The round that is running or was last, as it was planned.
    pub fn planned(&self) -> Option<&Planned> {
        self.schedule.rounds.get(self.played.len().checked_sub(1)?)
    }

    /// Whether this mystery is the round that is running or was last.
    pub fn is_about(&self, mystery: u32) -> bool {
        self.played.last().is_some_and(|played| played.mystery == mystery)
    }

    /// Whether a team of this name plays.
    pub fn has_team(&self, name: &str) -> bool {
        self.schedule.teams.is_empty() || self.schedule.teams.contains(name)
    }

    /// Whether guesses count now, at what is a round of this day.
    pub fn takes_guesses(&self, now_ms: u64) -> bool {
        matches!(self.phase, Phase::Round { ends_ms } if now_ms < ends_ms)
    }

    pub fn due(&self, now_ms: u64) -> Due {
        let wait = |until_ms: u64| Due::Wait(Duration::from_millis(until_ms - now_ms));
        match self.phase {
            Phase::Round { ends_ms } if now_ms >= ends_ms => Due::End { at_ms: ends_ms },
            Phase::Round { ends_ms } => wait(ends_ms),
            Phase::Pause { until_ms } if now_ms >= until_ms => Due::Begin { round: self.played.len() },
            Phase::Pause { until_ms } => wait(until_ms),
            Phase::Over => Due::Nothing,
        }
    }

    /// Of the round that is running, or of the pause.
    pub fn seconds_left(&self, now_ms: u64) -> Option<f64> {
        match self.phase {
            Phase::Round { ends_ms: end } | Phase::Pause { until_ms: end } => Some(end.saturating_sub(now_ms) as f64 / 1e3),
            Phase::Over => None,
        }
    }

    /// The next round's time begins now, whole, however late that is.
    pub fn begin_round(&mut self, played: Played, now_ms: u64) {
        self.played.push(played);
        let time = self.planned().map_or(0, |planned| ms(planned.seconds()));
        self.phase = Phase::Round { ends_ms: now_ms.saturating_add(time) };
    }

    /// Ends the round that is running, where one is; `teams` are those that guessed in it.
    pub fn end_round(&mut self, at_ms: u64, teams: BTreeMap<String, Outcome>) {
        let Phase::Round { .. } = self.phase else { return };
        if let Some(played) = self.played.last_mut() {
            played.ended_ms = Some(at_ms);
            played.teams = teams;
        }
        self.phase = match self.played.len() < self.schedule.rounds.len() {
            true => Phase::Pause { until_ms: at_ms.saturating_add(self.schedule.pause_ms()) },
            false => Phase::Over,
        };
    }

    /// Ends the day; the rounds to come are not played.
    pub fn stop(&mut self, now_ms: u64, teams: BTreeMap<String, Outcome>) {
        self.end_round(now_ms, teams);
        self.phase = Phase::Over;
    }
}

/// What was checked has a length.
fn ms(seconds: f64) -> u64 {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mystery::Verdict;

    pub fn planned(minutes: f64) -> Planned {
        Planned { cause: Pick::Random, seed: None, minutes, tell_cause: false }
    }

    pub fn schedule(minutes: &[f64]) -> Schedule {
        Schedule { rounds: minutes.iter().copied().map(planned).collect(), pause_seconds: 5.0, teams: BTreeSet::new() }
    }

    pub fn played(mystery: u32, started_ms: u64) -> Played {
        let answer = Answer { cause: Cause::None, service: None, callee: None, customer: None };
        let explanation = "Nothing was wrong.".to_owned();
        Played { mystery, seed: 7, answer, explanation, started_ms, ended_ms: None, teams: BTreeMap::new() }
    }

    fn teams() -> BTreeMap<String, Outcome> {
        let outcome = Outcome { verdict: Some(Verdict::Right), guesses: 2, seconds: Some(30.0) };
        BTreeMap::from([("owls".to_owned(), outcome)])
    }

    #[test]
    fn rounds_follow_each_other_by_the_clock_with_pauses_between_them_and_none_after_the_last() {
        let mut day = Day::new(schedule(&[1.0, 0.5]), played(4, 1_000), 1_000);
        assert_eq!((day.due(1_000), day.seconds_left(1_000)), (Due::Wait(Duration::from_secs(60)), Some(60.0)));
        assert!(day.takes_guesses(60_999) && !day.takes_guesses(61_000));
        assert_eq!(day.due(61_000), Due::End { at_ms: 61_000 });

        day.end_round(61_000, teams());
        assert_eq!((day.played[0].ended_ms, &day.played[0].teams), (Some(61_000), &teams()));
        assert_eq!(day.due(61_000), Due::Wait(Duration::from_secs(5)));
        assert!(!day.takes_guesses(61_000) && day.is_about(4));
        assert_eq!(day.due(66_000), Due::Begin { round: 1 });

        day.begin_round(played(5, 66_000), 66_000);
        assert_eq!((day.due(96_000), day.is_about(4)), (Due::End { at_ms: 96_000 }, false));
        day.end_round(96_000, BTreeMap::new());
        assert_eq!((day.due(u64::MAX), day.seconds_left(96_000), day.is_over()), (Due::Nothing, None, true));
    }

    #[test]
    fn a_round_whose_time_ran_out_unseen_ends_when_it_should_have_and_the_next_has_all_its_time() {
        let mut day = Day::new(schedule(&[1.0, 1.0]), played(1, 0), 0);
        let late = 3_600_000;
        let Due::End { at_ms } = day.due(late) else { panic!("{:?}", day.due(late)) };
        assert!(!day.takes_guesses(late));
        day.end_round(at_ms, BTreeMap::new());
        assert_eq!(day.played[0].ended_ms, Some(60_000));
        assert_eq!(day.due(late), Due::Begin { round: 1 });
        day.begin_round(played(2, late), late);
        assert_eq!(day.seconds_left(late), Some(60.0));
    }

    #[test]
    fn a_day_that_is_stopped_is_over_with_what_was_played() {
        let mut day = Day::new(schedule(&[1.0, 1.0]), played(1, 0), 0);
        day.stop(10_000, teams());
        assert_eq!((day.is_over(), day.played[0].ended_ms, &day.played[0].teams), (true, Some(10_000), &teams()));
        // In a pause the round that is over stays what it was.
        let mut day = Day::new(schedule(&[1.0, 1.0]), played(1, 0), 0);
        day.end_round(60_000, teams());
        day.stop(62_000, BTreeMap::new());
        assert_eq!((day.is_over(), day.played[0].ended_ms, &day.played[0].teams), (true, Some(60_000), &teams()));
    }

    #[test]
    fn a_schedule_that_makes_no_sense_says_which_round_and_what_is_possible() {
        assert_eq!(schedule(&[0.01; MOST_ROUNDS]).check(), Ok(()));
        let says = |schedule: Schedule| schedule.check().unwrap_err().to_string();
        assert_eq!(says(schedule(&[])), "rounds: a game day has 1 to 50 of them, not 0");
        assert_eq!(says(schedule(&[1.0; 51])), "rounds: a game day has 1 to 50 of them, not 51");
        assert_eq!(says(schedule(&[1.0, 0.0])), "round 2: minutes is 0; it must be above 0, and at most 1440");
        for minutes in [-1.0, f64::NAN, f64::INFINITY, 1_441.0] {
            assert!(says(schedule(&[minutes])).starts_with("round 1: minutes is "), "{minutes}");
        }
        for cause in [Pick::Random, Cause::None.into()] {
            let told = Planned { cause, tell_cause: true, ..planned(1.0) };
            let says = says(Schedule { rounds: vec![planned(1.0), told], ..schedule(&[]) });
            assert!(says.starts_with(&format!("round 2: tell_cause is not possible where the cause is {cause}; ")), "{says}");
        }
        let teams = (0..101).map(|team| team.to_string()).collect();
        assert_eq!(says(Schedule { teams, ..schedule(&[1.0]) }), "teams: at most 100 of them are possible, not 101");
        for pause in [-1.0, f64::NAN, 3_601.0] {
            assert!(says(Schedule { pause_seconds: pause, ..schedule(&[1.0]) }).starts_with("pause_seconds is "), "{pause}");
        }
    }

    #[test]
    fn what_is_kept_reads_back_as_itself() {
        let mut day = Day::new(schedule(&[1.0, 0.05]), played(1, 17), 17);
        for _ in 0..2 {
            assert_eq!(serde_json::from_str::<Day>(&serde_json::to_string(&day).unwrap()).unwrap(), day);
            day.end_round(60_017, teams());
        }
    }
}
