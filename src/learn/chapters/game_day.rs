//! Chapter 18: two rounds of a game day that teams played.

use crate::frontend::game_day::{Results, RoundResult, Stand};
use crate::learn::{Evidence, Step};

/// Rounds that teams have to have played.
const ROUNDS: usize = 2;
const TEAMS: usize = 2;
/// Whoever looks for something makes so many calls in a round.
const PRESSES: usize = 10;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut steps = Vec::new();
    let over = "two rounds of a game day are over";
    let Some(results) = &evidence.game_day else {
        steps.push(Step::open(
            over,
            "the results are the instructor's, and no token was given",
            &[
                "the check reads the results as you would, with the token that the sandbox was started with",
                "add --instructor-token TOKEN to this command, or set TRACELAB_INSTRUCTOR_TOKEN",
            ],
        ));
        return steps;
    };
    let ended: Vec<&RoundResult> = results.rounds.iter().filter(|round| round.ended_ms.is_some()).collect();
    if ended.len() < ROUNDS {
        steps.push(Step::open(over, stand(results, ended.len()), hints(results)));
        return steps;
    }
    steps.push(Step::done(over, format!("{} of {}", ended.len(), results.rounds.len())));

    let guessed = "in two of them at least two teams guessed";
    let played: Vec<&RoundResult> = ended.into_iter().filter(|round| round.teams.len() >= TEAMS).collect();
    if played.len() < ROUNDS {
        steps.push(Step::open(
            guessed,
            format!("{}, so in {} of them", by_round(results), played.len()),
            &[
                "a team is whoever guesses under one name, right or wrong: on the page the field Team, on the command line --team",
                "a guess after the time counts no more; if the round is over before two teams have guessed, give it more minutes",
                "start another game day, have two teams guess in a round (tracelab guess --team NAME …), end it with \
                 tracelab game-day next, and again",
            ],
        ));
        return steps;
    }
    steps.push(Step::done(guessed, by_round(results)));

    let pressed = "the trace backend holds calls of two of these rounds";
    let presses: Vec<usize> = played.iter().map(|round| presses(evidence, round)).collect();
    let enough = presses.iter().filter(|presses| **presses >= PRESSES).count();
    let saw = format!("{} presses", presses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "));
    steps.push(if enough >= ROUNDS {
        Step::done(pressed, saw)
    } else {
        let saw = format!("{saw}; it takes {PRESSES} in each of two rounds");
        Step::open(
            pressed,
            saw,
            &[
                "who guesses without calls has nothing to look at: press buttons, or use tracelab load, while a round runs",
                "the check looks back an hour at least: --lookback 4h looks back further, and a backend of little memory (--store-mb) may \
                 have forgotten the first round",
            ],
        )
    });
    steps
}

fn stand(results: &Results, ended: usize) -> String {
    match results.state {
        Stand::None => "there was none yet".to_owned(),
        Stand::Round | Stand::Pause => format!("it runs, and {ended} of {} are over", results.rounds.len()),
        Stand::Over => format!("the last one ended after {ended} of {}", results.rounds.len()),
    }
}

fn hints(results: &Results) -> &'static [&'static str] {
    match results.state {
        Stand::None => &[
            "the page /instructor of the sandbox starts a game day, or the command game-day does",
            "tracelab game-day start --rounds 2 --minutes 10 --instructor-token TOKEN",
        ],
        Stand::Round | Stand::Pause => &[
            "a round ends at its time; the clock on the page, or tracelab game-day status, says how long that is",
            "tracelab game-day next ends it earlier, and begins the next one in a pause",
        ],
        Stand::Over => &[
            "a game day that is stopped does not play the rounds to come; start another one of at least two rounds",
            "tracelab game-day start --rounds 2 --minutes 10, and then tracelab game-day next instead of stop",
        ],
    }
}

fn by_round(results: &Results) -> String {
    let over = results.rounds.iter().filter(|round| round.ended_ms.is_some());
    let teams = over.map(|round| match round.teams.len() {
        1 => format!("1 team in round {}", round.round),
        teams => format!("{teams} teams in round {}", round.round),
    });
    teams.collect::<Vec<_>>().join(", ")
}

/// Presses that began while the round ran.
fn presses(evidence: &Evidence, round: &RoundResult) -> usize {
    let (Some(start), Some(end)) = (round.started_ms, round.ended_ms) else { return 0 };
    evidence.presses().filter(|press| (start..end).contains(&(press.start() / 1_000_000))).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::model::{Builder, Kind, NewSpan, Resource, Traces};
    use crate::frontend::Pick;
    use crate::frontend::game_day::{Outcome, TeamResult};

    const MINUTE: u64 = 60_000;

    /// A minute long, from the minute of its number on.
    fn round(number: usize, is_over: bool, teams: &[&str]) -> RoundResult {
        let started_ms = number as u64 * MINUTE;
        let team = |team: &&str| TeamResult { team: (*team).to_owned(), outcome: Outcome::default(), points: 0 };
        RoundResult {
            round: number,
            cause: Pick::Random,
            minutes: 1.0,
            tell_cause: false,
            seed: Some(7),
            started_ms: Some(started_ms),
            ended_ms: is_over.then_some(started_ms + MINUTE),
            answer: None,
            explanation: None,
            teams: teams.iter().map(team).collect(),
        }
    }

    /// So many presses in each minute.
    fn presses(in_minute: &[(usize, usize)]) -> Traces {
        let mut builder = Builder::default();
        let mut resource = |service: &str| {
            let service = builder.text(service);
            builder.resource(Resource { service, attributes: Vec::new() })
        };
        let (frontend, layer_0) = (resource("frontend"), resource("dummy-0-3"));
        for &(minute, presses) in in_minute {
            for press in 0..presses {
                let trace_id = format!("{:032x}", (minute << 16) + press + 1);
                let start = (minute as u64 * MINUTE + press as u64) * 1_000_000;
                let span =
                    NewSpan { trace_id: &trace_id, span_id: "1", start, duration: 5, kind: Kind::Server, ..NewSpan::default() };
                builder.push(NewSpan { resource: frontend, ..span.clone() });
                builder.push(NewSpan { span_id: "2", parent_id: "1", resource: layer_0, ..span });
            }
        }
        builder.finish()
    }

    fn done(rounds: &[RoundResult], traces: Traces) -> Vec<bool> {
        let state = if rounds.is_empty() { Stand::None } else { Stand::Over };
        let rounds = rounds.to_vec();
        let results = Results { state, seconds_left: None, pause_seconds: 1.0, rounds, board: Vec::new(), problem: None };
        let evidence = Evidence { traces, game_day: Some(results), ..Evidence::default() };
        check(&evidence).iter().map(Step::is_done).collect()
    }

    const BOTH: &[&str] = &["elks", "owls"];

    #[test]
    fn two_rounds_with_two_teams_and_calls_pass() {
        let rounds = [round(1, true, BOTH), round(2, true, BOTH)];
        assert_eq!(done(&rounds, presses(&[(1, 10), (2, 10)])), [true, true, true]);
        // A round in between that nobody played stands in nobody's way.
        let rounds = [round(1, true, BOTH), round(2, true, &["owls"]), round(3, true, BOTH), round(4, false, BOTH)];
        assert_eq!(done(&rounds, presses(&[(1, 10), (3, 12)])), [true, true, true]);
    }

    #[test]
    fn without_the_results_or_a_game_day_nothing_is_done() {
        let steps = check(&Evidence { traces: presses(&[(1, 10), (2, 10)]), ..Evidence::default() });
        assert!(steps.len() == 1 && !steps[0].is_done(), "{steps:?}");
        assert_eq!(done(&[], presses(&[(1, 10), (2, 10)])), [false]);
    }

    #[test]
    fn one_round_that_is_over_is_one_too_few() {
        assert_eq!(done(&[round(1, true, BOTH), round(2, false, BOTH)], presses(&[(1, 10), (2, 10)])), [false]);
    }

    #[test]
    fn one_team_alone_plays_no_game_day() {
        let rounds = [round(1, true, BOTH), round(2, true, &["owls"])];
        assert_eq!(done(&rounds, presses(&[(1, 10), (2, 10)])), [true, false]);
    }

    #[test]
    fn guesses_without_calls_in_the_rounds_are_no_investigation() {
        let rounds = [round(1, true, BOTH), round(2, true, BOTH)];
        for in_minute in [&[][..], &[(1, 10), (2, 9)], &[(1, 30), (3, 30)], &[(0, 99)]] {
            assert_eq!(done(&rounds, presses(in_minute)), [true, true, false], "{in_minute:?}");
        }
    }

    #[test]
    fn every_open_step_has_hints() {
        for rounds in [vec![], vec![round(1, true, BOTH)], vec![round(1, true, &[]), round(2, true, &[])]] {
            let state = if rounds.is_empty() { Stand::None } else { Stand::Pause };
            let results = Results { state, seconds_left: None, pause_seconds: 1.0, rounds, board: Vec::new(), problem: None };
            let steps = check(&Evidence { game_day: Some(results), ..Evidence::default() });
            let crate::learn::State::Open { hints, .. } = &steps.last().unwrap().state else { panic!("{steps:?}") };
            assert!(hints.len() >= 2, "{hints:?}");
        }
    }
}
