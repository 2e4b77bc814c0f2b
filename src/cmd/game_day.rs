//! `tracelab game-day`: has the frontend play rounds for teams, and prints clock and board.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{client, say};
use crate::cli::{self, GameDayCommand};
use crate::config::Config;
use crate::frontend::Pick;
use crate::frontend::game_day::{Cell, Results, RoundResult, Row, Stand, Status, Told};
use crate::mystery::{Answer, Verdict};

/// Rounds where nothing says how many.
const ROUNDS: usize = 3;
/// Who plans more has it refused by the frontend, with words; this bounds what is sent there.
const MOST_ROUNDS: usize = 1_000;

pub async fn run(file: Option<&Path>, command: GameDayCommand) -> anyhow::Result<()> {
    match command {
        GameDayCommand::Start(flags) => {
            let config = Config::load_without_telemetry(file, &flags)?;
            let schedule = match &flags.schedule {
                Some(path) => read(path)?,
                None => schedule(&flags),
            };
            say(&clock(&status(client::post(&config, "/api/game-day", &schedule).await?)?))
        }
        GameDayCommand::Status(flags) => {
            let config = Config::load_without_telemetry(file, &flags)?;
            let answer = client::get(&config, "/api/game-day").await?;
            if flags.json {
                return say(&answer.to_string());
            }
            let status = status(answer)?;
            if status.state == Stand::None {
                return say(&clock(&status));
            }
            say(&lines(&[clock(&status), told(&status), board(&status.board)]))
        }
        GameDayCommand::Next(flags) => {
            let config = Config::load_without_telemetry(file, &flags)?;
            let status = status(client::post(&config, "/api/game-day/next", &json!({})).await?)?;
            say(&lines(&[clock(&status), told(&status)]))
        }
        GameDayCommand::Stop(flags) => {
            let config = Config::load_without_telemetry(file, &flags)?;
            let status = status(client::post(&config, "/api/game-day/stop", &json!({})).await?)?;
            say(&lines(&[clock(&status), told(&status), board(&status.board)]))
        }
        GameDayCommand::Results(flags) => {
            let config = Config::load_without_telemetry(file, &flags)?;
            let answer = client::get(&config, "/api/game-day/results").await?;
            if flags.json {
                return say(&answer.to_string());
            }
            let results: Results = serde_json::from_value(answer).context("the frontend's results cannot be read")?;
            if let Some(problem) = &results.problem {
                eprintln!("note: the next round cannot begin: {problem}");
            }
            if results.state == Stand::None {
                return say("there was no game day yet");
            }
            let rounds = results.rounds.iter().map(round);
            say(&lines(&rounds.chain([board(&results.board)]).collect::<Vec<_>>()))
        }
    }
}

/// Joins what is not empty, line by line.
fn lines(texts: &[String]) -> String {
    let filled: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    filled.join("\n")
}

fn status(answer: Value) -> anyhow::Result<Status> {
    serde_json::from_value(answer).context("the frontend's answer cannot be read")
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.with_context(|| format!("cannot read the schedule {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("the schedule {} is no JSON", path.display()))
}

fn schedule(flags: &cli::GameDayStart) -> Value {
    let causes = if flags.cause.is_empty() { &[Pick::Random][..] } else { &flags.cause };
    let rounds = flags.rounds.unwrap_or(if flags.cause.len() > 1 { flags.cause.len() } else { ROUNDS });
    let planned = causes
        .iter()
        .cycle()
        .take(rounds.min(MOST_ROUNDS))
        .map(|cause| json!({ "cause": cause.to_string(), "minutes": flags.minutes, "tell_cause": flags.tell_cause }));
    json!({ "rounds": planned.collect::<Vec<_>>(), "pause_seconds": flags.pause, "teams": flags.team })
}

/// Where the game day is, in a line.
fn clock(status: &Status) -> String {
    let (round, of) = (status.round.unwrap_or_default(), status.of.unwrap_or_default());
    let left = minutes(status.seconds_left.unwrap_or_default().ceil());
    match status.state {
        Stand::None => "there was no game day yet".to_owned(),
        Stand::Round => format!("round {round} of {of}, {left} left"),
        Stand::Pause => format!("round {round} of {of} is over; the next one begins in {left}"),
        Stand::Over => format!("the game day is over, after {round} of {of} rounds"),
    }
}

/// The answer of the round that is over; while another one is running, nobody asks for it.
fn told(status: &Status) -> String {
    let last = status.last.as_ref().filter(|_| status.state != Stand::Round);
    let Some(Told { round, answer, explanation }) = last else { return String::new() };
    format!("the answer of round {round}: {}\n{explanation}", in_words(answer))
}

fn in_words(answer: &Answer) -> String {
    let Answer { cause, service, callee, customer } = answer;
    let mut text = service.map_or("nothing was wrong".to_owned(), |service| format!("{cause} in {service}"));
    if let Some(callee) = callee {
        text += &format!(", on the way to {callee}");
    }
    if let Some(customer) = customer {
        text += &format!(", for {customer}");
    }
    text
}

fn round(round: &RoundResult) -> String {
    let stand = match (round.started_ms, round.ended_ms) {
        (None, _) => " is to come".to_owned(),
        (Some(_), None) => " is running".to_owned(),
        (Some(start), Some(end)) => format!(", {}", minutes(end.saturating_sub(start) as f64 / 1e3)),
    };
    let answer = round.answer.as_ref().map(|answer| format!(": {}", in_words(answer))).unwrap_or_default();
    let cause = round.answer.as_ref().map_or(round.cause, |answer| answer.cause.into());
    let seed = round.seed.map(|seed| format!(" (--mystery {cause} --seed {seed})")).unwrap_or_default();
    format!("round {}{stand}{answer}{seed}", round.round)
}

/// A line a team: what it did in each round, and its points.
fn board(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no team has guessed yet".to_owned();
    }
    let width = rows.iter().map(|row| row.team.chars().count()).max().unwrap_or_default();
    let line = |row: &Row| {
        let rounds: Vec<String> = row.rounds.iter().map(cell).collect();
        // A name from outside: nothing in it shall move the cursor.
        let team = crate::harmless::harmless(&row.team);
        format!("{:>5}  {team:width$}  {}", row.points, rounds.join("; "))
    };
    lines(&rows.iter().map(line).collect::<Vec<_>>())
}

fn cell(cell: &Cell) -> String {
    let verdict = match cell.verdict {
        Some(Verdict::Right) => "right",
        Some(Verdict::Half) => "half right",
        Some(Verdict::Wrong) => "wrong",
        None => "no verdict",
    };
    let after = cell.seconds.map(|seconds| format!(" after {}", minutes(seconds.floor()))).unwrap_or_default();
    let guesses = if cell.guesses == 1 { "1 guess".to_owned() } else { format!("{} guesses", cell.guesses) };
    format!("round {} {verdict}{after}, {guesses}, {} points", cell.round, cell.points)
}

/// As a clock on a wall shows them: 4:05.
fn minutes(seconds: f64) -> String {
    // What is left of a round is no longer than a day and an hour.
    let seconds = seconds.max(0.0).round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn planned(flags: &[&str]) -> Value {
        let cli = Cli::try_parse_from([&["tracelab", "game-day", "start"], flags].concat()).unwrap();
        let Command::GameDay(cli::GameDay { command: GameDayCommand::Start(flags) }) = cli.command else { panic!("{cli:?}") };
        schedule(&flags)
    }

    fn causes(schedule: &Value) -> Vec<&str> {
        schedule["rounds"].as_array().unwrap().iter().map(|round| round["cause"].as_str().unwrap()).collect()
    }

    #[test]
    fn rounds_take_the_causes_in_turn() {
        assert_eq!(causes(&planned(&[])), ["random"; 3]);
        assert_eq!(causes(&planned(&["--cause", "sleep"])), ["sleep"; 3]);
        assert_eq!(causes(&planned(&["--cause", "sleep", "--cause", "network"])), ["sleep", "network"]);
        let turns = planned(&["--cause", "sleep", "--cause", "network", "--rounds", "3", "--minutes", "0.05", "--pause", "1"]);
        assert_eq!(causes(&turns), ["sleep", "network", "sleep"]);
        assert_eq!((&turns["rounds"][2]["minutes"], &turns["pause_seconds"]), (&json!(0.05), &json!(1.0)));
    }

    #[test]
    fn the_board_is_a_line_a_team() {
        let cell = |verdict, seconds| Cell { round: 1, verdict: Some(verdict), guesses: 2, seconds, points: 80 };
        let rows = [
            Row { team: "owls".to_owned(), points: 80, rounds: vec![cell(Verdict::Right, Some(65.0))] },
            Row { team: "\u{1b}[2Jelks".to_owned(), points: 0, rounds: vec![cell(Verdict::Half, None)] },
        ];
        let text = board(&rows);
        assert!(text.starts_with("   80  owls"), "{text}");
        assert!(text.contains("  round 1 right after 1:05, 2 guesses, 80 points\n"), "{text}");
        assert!(text.ends_with("  round 1 half right, 2 guesses, 80 points"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
