//! Points, and the board: what each team did in each round, the best first. Pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::schedule::Day;
use crate::mystery::Verdict;

/// For a right answer at once.
const ALL: f64 = 100.0;
/// Lost by the end of the round, evenly.
const BY_TIME: f64 = 50.0;
/// Lost by every guess before the right one.
const BY_GUESS: f64 = 10.0;
/// A right answer is worth so much, however late and after however many guesses.
const LEAST: f64 = 10.0;

/// What a team did in one round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Of the last guess that counted.
    pub verdict: Option<Verdict>,
    /// Up to and including the right one.
    pub guesses: u32,
    /// From the round's beginning to the right guess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// A team on the board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub team: String,
    /// Of all rounds.
    pub points: u32,
    /// Those in which it guessed.
    pub rounds: Vec<Cell>,
}

/// A team in one round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// From 1.
    pub round: usize,
    pub verdict: Option<Verdict>,
    pub guesses: u32,
    /// How long the right guess took; absent until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    pub points: u32,
}

impl Outcome {
    /// Right: 100, less 50 × the share of the round's time that it took, less 10 for every guess before, but 10 at least. Nothing else
    /// is worth anything. `planned` is the round's whole time, in seconds, also where the teacher ended it earlier.
    pub fn points(&self, planned: f64) -> u32 {
        let (Some(Verdict::Right), Some(seconds)) = (self.verdict, self.seconds) else { return 0 };
        let share = (seconds / planned).clamp(0.0, 1.0);
        let before = f64::from(self.guesses.saturating_sub(1));
        // Between 10 and 100, or 10 where the time is no number.
        (ALL - BY_TIME * share - BY_GUESS * before).max(LEAST).round() as u32
    }
}

/// The teams that guessed, the best first; among equals the one that was quicker in all, then by name. `running` is what was done in
/// the round that is running.
pub fn board(day: &Day, running: &BTreeMap<String, Outcome>) -> Vec<Row> {
    let mut cells: BTreeMap<&str, Vec<Cell>> = BTreeMap::new();
    for (place, (played, planned)) in day.played.iter().zip(&day.schedule.rounds).enumerate() {
        let teams = if played.ended_ms.is_some() { &played.teams } else { running };
        for (team, outcome) in teams {
            cells.entry(team).or_default().push(Cell {
                round: place + 1,
                verdict: outcome.verdict,
                guesses: outcome.guesses,
                seconds: outcome.seconds,
                points: outcome.points(planned.seconds()),
            });
        }
    }
    let row = |(team, rounds): (&str, Vec<Cell>)| {
        let points = rounds.iter().map(|cell| cell.points).sum();
        Row { team: team.to_owned(), points, rounds }
    };
    let mut rows: Vec<Row> = cells.into_iter().map(row).collect();
    // A stable sort: by name they are already.
    rows.sort_by(best_first);
    rows
}

fn best_first(one: &Row, other: &Row) -> Ordering {
    let seconds = |row: &Row| row.rounds.iter().filter_map(|cell| cell.seconds).sum::<f64>();
    other.points.cmp(&one.points).then_with(|| seconds(one).total_cmp(&seconds(other)))
}

#[cfg(test)]
mod tests {
    use super::super::schedule::tests::{played, schedule};
    use super::*;

    fn right(guesses: u32, seconds: f64) -> Outcome {
        Outcome { verdict: Some(Verdict::Right), guesses, seconds: Some(seconds) }
    }

    fn wrong(guesses: u32) -> Outcome {
        Outcome { verdict: Some(Verdict::Wrong), guesses, seconds: None }
    }

    fn teams(teams: &[(&str, Outcome)]) -> BTreeMap<String, Outcome> {
        teams.iter().map(|(team, outcome)| ((*team).to_owned(), outcome.clone())).collect()
    }

    #[test]
    fn a_right_guess_is_worth_more_the_sooner_it_comes_and_the_fewer_came_before() {
        for (outcome, points) in [
            (right(1, 0.0), 100),
            (right(1, 60.0), 75),
            (right(3, 60.0), 55),
            (right(1, 120.0), 50),
            (right(5, 119.0), 10),
            (right(9_000, 1.0), 10),
            (wrong(1), 0),
            (Outcome { verdict: Some(Verdict::Half), guesses: 1, seconds: None }, 0),
            (Outcome::default(), 0),
        ] {
            assert_eq!(outcome.points(120.0), points, "{outcome:?}");
        }
    }

    #[test]
    fn the_board_adds_up_rounds_and_puts_the_best_first() {
        let mut day = Day::new(schedule(&[2.0, 2.0, 2.0]), played(1, 0), 0);
        day.end_round(120_000, teams(&[("elks", right(1, 60.0)), ("owls", wrong(4))]));
        day.begin_round(played(2, 130_000), 130_000);
        let now = teams(&[("ants", right(1, 60.0)), ("owls", right(1, 12.0))]);
        let rows = board(&day, &now);
        let shown: Vec<_> = rows.iter().map(|row| (row.team.as_str(), row.points, row.rounds.len())).collect();
        assert_eq!(shown, [("owls", 95, 2), ("ants", 75, 1), ("elks", 75, 1)]);
        assert_eq!((rows[1].rounds[0].round, rows[0].rounds[0].guesses, rows[0].rounds[0].points), (2, 4, 0));
        // What is over is what it was, whatever the score says now.
        day.end_round(250_000, now);
        assert_eq!(board(&day, &teams(&[("bats", right(1, 1.0))])), rows);
    }

    #[test]
    fn among_equals_the_quicker_team_is_before_the_slower_one() {
        let mut day = Day::new(schedule(&[2.0]), played(1, 0), 0);
        day.end_round(120_000, teams(&[("ants", right(2, 24.0)), ("bats", right(1, 48.0)), ("cats", right(2, 24.0))]));
        let order: Vec<_> = board(&day, &BTreeMap::new()).into_iter().map(|row| (row.team, row.points)).collect();
        assert_eq!(order, [("ants", 80), ("cats", 80), ("bats", 80)].map(|(team, points)| (team.to_owned(), points)));
    }
}
