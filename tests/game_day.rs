//! A game day through the real binary: its command, its API, a restart, and both pages.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/browser.rs"]
mod browser;
#[path = "support/sandbox.rs"]
mod sandbox;

use std::time::Instant;

use browser::Browser;
use sandbox::{PATIENCE, Sandbox, stderr, stdout, tracelab};
use serde_json::{Value, json};

const TOKEN: &str = "correct horse";
const GAME: [&str; 6] = ["--delay-scale", "0", "--width", "6", "--instructor-token", TOKEN];

#[tokio::test]
async fn a_schedule_is_played_round_by_round_and_every_team_is_told_how_it_did() {
    let sandbox = Sandbox::up(&GAME);
    let start =
        ["start", "--cause", "sleep", "--cause", "none", "--minutes", "5", "--pause", "300", "--team", "owls", "--team", "elks"];
    let says = teacher(&sandbox, &start);
    assert!(says.starts_with("round 1 of 2, 5:00 left"), "{says}");
    let culprit = answer(&sandbox, 0)["service"].as_str().unwrap().to_owned();
    let other = if culprit == "dummy-0-0" { "dummy-0-1" } else { "dummy-0-0" };
    let nobody = sandbox.run(&["guess", "--team", "nobody in particular", "--service", other, "--cause", "sleep"]);
    assert!(stderr(&nobody).contains("this game day is played by elks, owls"), "{}", stderr(&nobody));
    assert_eq!(guess(&sandbox, "owls", &["--service", other, "--cause", "sleep"]), Some(1));
    assert_eq!(guess(&sandbox, "owls", &["--service", &culprit, "--cause", "sleep"]), Some(0));
    assert_eq!(guess(&sandbox, "elks", &["--nothing"]), Some(1));
    let says = teacher(&sandbox, &["next"]);
    assert!(says.starts_with("round 1 of 2 is over; the next one begins in 5:00"), "{says}");
    assert!(says.contains(&format!("the answer of round 1: sleep in {culprit}\n")), "{says}");

    let seen = json!({"state": "round", "round": 1});
    let (status, day) = post(&sandbox, "/api/game-day/next", seen).await;
    assert_eq!((status, &day["state"]), (200, &json!("pause")), "who ends the same round once more leaves the pause alone: {day}");
    assert_eq!(post(&sandbox, "/api/game-day/next", json!({"state": "round"})).await.0, 400);

    let says = teacher(&sandbox, &["next"]);
    assert!(says.starts_with("round 2 of 2, 5:00 left"), "{says}");
    assert_eq!(guess(&sandbox, "elks", &["--nothing"]), Some(0));
    let says = teacher(&sandbox, &["next"]);
    assert!(says.starts_with("the game day is over, after 2 of 2 rounds"), "{says}");

    let status = stdout(&sandbox.run(&["game-day", "status"]));
    let lines: Vec<&str> = status.lines().collect();
    assert!(lines.iter().any(|line| line.contains("owls  round 1 right") && line.contains("2 guesses")), "{status}");
    assert!(lines.iter().any(|line| line.contains("elks  round 1 wrong, 1 guess, 0 points; round 2 right")), "{status}");

    let results: Value = serde_json::from_str(&teacher(&sandbox, &["results", "--json"])).unwrap();
    assert_eq!((&results["state"], results["rounds"].as_array().unwrap().len()), (&json!("over"), 2));
    assert_eq!(results["rounds"][0]["answer"], json!({"cause": "sleep", "service": culprit}));
    assert!(results["rounds"][0]["seed"].is_u64() && results["rounds"][1]["ended_ms"].is_u64(), "{results}");
    let owls = &results["rounds"][0]["teams"][1];
    assert_eq!((&owls["team"], &owls["verdict"], &owls["guesses"]), (&json!("owls"), &json!("right"), &json!(2)));
    assert!(owls["points"].as_u64().unwrap() <= 90, "{owls}");
    assert_eq!(results["rounds"][1]["teams"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn rounds_end_by_the_clock_and_a_new_one_is_told_to_the_services() {
    let sandbox = Sandbox::up(&GAME);
    teacher(&sandbox, &["start", "--rounds", "3", "--minutes", "0.01", "--pause", "0.1"]);
    until(&sandbox, |day| day["state"] == "over").await;
    let rounds = results(&sandbox)["rounds"].clone();
    for round in rounds.as_array().unwrap() {
        assert_eq!(round["ended_ms"].as_u64().unwrap() - round["started_ms"].as_u64().unwrap(), 600, "{rounds}");
    }
    // A mystery was one before the day, and each round another one.
    assert_eq!(sandbox.get("/api/score").await["mystery"], 4);
}

#[tokio::test]
async fn what_everybody_may_read_tells_nothing_of_a_round_that_is_running_or_to_come() {
    let sandbox = Sandbox::up(&GAME);
    let plan = json!({"rounds": [
        {"cause": "sleep", "seed": 8_001, "minutes": 5},
        {"cause": "failure", "seed": 8_002, "minutes": 5, "tell_cause": true},
        {"cause": "customer", "seed": 8_003, "minutes": 5},
    ]});
    let (status, begun) = post(&sandbox, "/api/game-day", plan).await;
    assert_eq!(status, 200, "{begun}");
    for (round, hidden) in [(1, vec!["sleep", "failure", "customer", "800"]), (2, vec!["customer", "800"])] {
        let [day, score] = [sandbox.get("/api/game-day").await, sandbox.get("/api/score").await];
        assert_eq!(day["round"], round);
        // The round before is told: it is the only thing that may name a cause.
        let mut public = day.clone();
        let last = public.as_object_mut().unwrap().remove("last");
        assert_eq!(last.is_some(), round > 1);
        for secret in hidden {
            assert!(!public.to_string().contains(secret) && !score.to_string().contains(secret), "{secret}: {public} {score}");
        }
        assert!(!last.unwrap_or_default().to_string().contains("800"), "a seed is told to nobody");
        assert_eq!(score.get("cause"), (round == 2).then(|| json!("failure")).as_ref());
        for _ in ["the round ends", "the pause ends"] {
            assert_eq!(post(&sandbox, "/api/game-day/next", json!({})).await.0, 200);
        }
    }
}

#[tokio::test]
async fn only_the_teacher_plays_with_it_and_nobody_gets_hints_or_another_mystery_meanwhile() {
    let sandbox = Sandbox::up(&GAME);
    let round = json!({"rounds": [{"cause": "sleep", "minutes": 5}]});
    for (path, body) in [("", round.clone()), ("/next", json!({})), ("/stop", json!({}))] {
        assert_eq!(sandbox.post(&format!("/api/game-day{path}"), body).await.0, 401, "{path}");
    }
    let results = sandbox.client.get(format!("{}/api/game-day/results", sandbox.frontend)).send().await.unwrap();
    assert_eq!(results.status(), 401);
    let evil = sandbox.client.post(format!("{}/api/game-day", sandbox.frontend)).bearer_auth(TOKEN);
    assert_eq!(evil.header("origin", "http://evil.example").json(&round).send().await.unwrap().status(), 403);
    assert_eq!(post(&sandbox, "/api/game-day", round.clone()).await.0, 200);

    let (status, refused) = sandbox.post("/api/hint", json!({})).await;
    assert_eq!((status, refused["error"].as_str().unwrap().contains("no hints while a game day runs")), (409, true));
    let (status, refused) = post(&sandbox, "/api/mystery", json!({})).await;
    assert_eq!((status, refused["error"].as_str().unwrap().contains("tracelab game-day stop")), (409, true), "{refused}");
    assert_eq!(post(&sandbox, "/api/game-day", round).await.0, 409);
    assert_eq!(post(&sandbox, "/api/game-day/stop", json!({})).await.0, 200);
    assert_eq!(post(&sandbox, "/api/mystery", json!({})).await.0, 200);
    let says = stderr(&sandbox.run(&["game-day", "next", "--instructor-token", TOKEN]));
    assert!(says.contains("no game day runs"), "{says}");

    let open = Sandbox::up(&["--delay-scale", "0", "--width", "2"]);
    let says = stderr(&open.run(&["game-day", "start"]));
    assert!(says.contains("start this frontend with --instructor-token TOKEN"), "{says}");
}

#[tokio::test]
async fn a_schedule_that_cannot_be_played_says_why_and_which_round() {
    let sandbox = Sandbox::up(&GAME);
    for (flags, says) in [
        (&["--minutes", "0"][..], "round 1: minutes is 0; it must be above 0"),
        (&["--rounds", "0"], "rounds: a game day has 1 to 50 of them, not 0"),
        (&["--rounds", "51"], "rounds: a game day has 1 to 50 of them, not 51"),
        (&["--cause", "sleep", "--cause", "upstream"], "round 2: a mystery of cause upstream needs"),
        (&["--pause", "-1"], "pause_seconds is -1"),
        (&["--tell-cause"], "round 1: tell_cause is not possible where the cause is random; name another cause"),
        (&["--team", "owls", "--team", ""], "a team's name has 1 to 40 visible characters"),
        (&["--schedule", "no-such-file"], "cannot read the schedule no-such-file"),
    ] {
        let output = sandbox.run(&[&["game-day", "start", "--instructor-token", TOKEN], flags].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(stderr(&output).contains(says), "{flags:?}: {}", stderr(&output));
    }
    assert_eq!(sandbox.get("/api/game-day").await, json!({"state": "none", "board": []}));
}

#[tokio::test]
async fn a_restart_keeps_the_board_and_a_round_whose_time_ran_out_meanwhile_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().to_str().unwrap().to_owned();
    let flags = [&GAME[..], &["--state", &state]].concat();
    let sandbox = Sandbox::up(&flags);
    let plan = json!({"rounds": [{"cause": "sleep", "minutes": 5}, {"cause": "none", "minutes": 5}], "pause_seconds": 0});
    assert_eq!(post(&sandbox, "/api/game-day", plan).await.0, 200);
    let culprit = answer(&sandbox, 0)["service"].as_str().unwrap().to_owned();
    assert_eq!(guess(&sandbox, "owls", &["--service", &culprit, "--cause", "sleep"]), Some(0));
    let before = sandbox.get("/api/game-day").await;
    drop(sandbox);

    let sandbox = Sandbox::up(&flags);
    let after = sandbox.get("/api/game-day").await;
    assert_eq!((&after["state"], &after["round"], &after["board"]), (&json!("round"), &json!(1), &before["board"]));
    assert!(after["seconds_left"].as_f64() < before["seconds_left"].as_f64(), "{after}");
    assert_eq!(answer(&sandbox, 0)["service"], *culprit, "the same round");
    drop(sandbox);

    // As if it had been away for ten minutes.
    let path = directory.path().join("game.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let ends = &mut kept["game_day"]["phase"]["round"]["ends_ms"];
    *ends = json!(ends.as_u64().unwrap() - 600_000);
    std::fs::write(&path, kept.to_string()).unwrap();
    let sandbox = Sandbox::up(&flags);
    let second = until(&sandbox, |day| day["round"] == 2).await;
    assert_eq!((&second["board"], &second["last"]["answer"]["service"]), (&before["board"], &json!(culprit)));
    assert!(second["seconds_left"].as_f64().unwrap() > 270.0, "{second}");
}

#[tokio::test]
async fn chapter_18_is_done_when_two_teams_played_two_rounds() {
    let sandbox = Sandbox::up(&GAME);
    let home = tempfile::tempdir().unwrap();
    let check = |token: &[&str]| {
        let arguments = ["learn", "check", "18", "--frontend", &sandbox.frontend, "--jaeger", &sandbox.jaeger];
        let (mut command, _directory) = tracelab(&[&arguments[..], token].concat());
        command.env("XDG_DATA_HOME", home.path()).env("HOME", home.path()).output().unwrap()
    };
    let token = ["--instructor-token", TOKEN];
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("no token was given"), "{}", stdout(&output));
    assert_eq!(check(&["--instructor-token", "wrong"]).status.code(), Some(2));
    assert!(stdout(&check(&token)).contains("✗ two rounds of a game day are over: there was none yet"));

    teacher(&sandbox, &["start", "--rounds", "2", "--minutes", "5"]);
    for _ in ["round 1", "round 2"] {
        for button in 0..12 {
            sandbox.post(&format!("/api/buttons/{}", button % 6), json!({})).await;
        }
        for team in ["owls", "elks"] {
            guess(&sandbox, team, &["--service", "dummy-1-1", "--cause", "sleep"]);
        }
        teacher(&sandbox, &["next"]);
        assert_eq!(check(&token).status.code() == Some(0), results(&sandbox)["state"] == "over");
        if results(&sandbox)["state"] == "pause" {
            teacher(&sandbox, &["next"]);
        }
    }
    assert!(stdout(&check(&token)).ends_with("Done. `tracelab learn next` goes on.\n"));
}

#[tokio::test]
async fn the_instructor_plans_starts_and_ends_rounds_and_the_teams_page_shows_clock_and_board() {
    let Some(browser) = Browser::start().await else { return };
    let Some(team) = Browser::start().await else { return };
    let sandbox = Sandbox::up(&GAME);
    team.goto(&sandbox.frontend).await;
    team.find("body[data-ready]").await;
    assert_eq!(team.eval("document.querySelector('#game-day').hidden").await, true);

    browser.goto(&format!("{}/instructor", sandbox.frontend)).await;
    browser.find("body[data-ready]").await;
    browser.fill("#token", "wrong").await;
    browser.click("#enter-submit").await;
    browser.until_text("#entered", "this needs the instructor's token").await;
    assert!(browser.eval("document.querySelector('#plan').hidden").await == true, "nothing is shown without the token");
    // That the token was refused is an error to the browser's console as well.
    browser.console_errors().await;
    browser.fill("#token", TOKEN).await;
    browser.click("#enter-submit").await;
    browser.until("!document.querySelector('#plan').hidden").await;
    assert_eq!(browser.eval("document.querySelector('#planned [value=upstream]').disabled").await, true);

    browser.click("#planned li:nth-child(3) [data-remove]").await;
    browser.select("#planned li:nth-child(1) [name=cause]", "sleep").await;
    browser.fill("#planned li:nth-child(1) [name=seed]", "7").await;
    browser.select("#planned li:nth-child(2) [name=cause]", "none").await;
    assert_eq!(browser.eval("document.querySelector('#planned li:nth-child(2) [name=tell_cause]').disabled").await, true);
    browser.fill("#teams", "<b>blue</b>, elks").await;
    browser.fill("#pause", "300").await;
    browser.click("#start").await;
    browser.until_text("#stand", "Round 1 of 2").await;
    browser.until("/^(10:00|9:\\d\\d)$/.test(document.querySelector('#left').textContent)").await;

    team.until_text("#game-day-stand", "Round 1 of 2").await;
    team.until("/^(10:00|9:\\d\\d)$/.test(document.querySelector('#game-day-left').textContent)").await;
    team.until_text("#mystery-cause", "part of the mystery").await;
    assert_eq!(
        team.eval(
            "['hint', 'new-details', 'reveal-details', 'redeploy-details', 'instructor-tools'].every((id) => document.getElementById(id).hidden)"
        )
        .await,
        true
    );
    assert_eq!(team.eval("document.body.innerText.includes('Tell the cause')").await, false);
    let culprit = answer(&sandbox, 0)["service"].as_str().unwrap().to_owned();
    team.select("#guess-cause", "sleep").await;
    team.fill("#guess-service", &culprit).await;
    team.click("#guess-submit").await;
    team.until_text("#verdict", "this game day is played by <b>blue</b>, elks").await;
    // That it was refused is an error to the browser's console as well.
    team.console_errors().await;
    assert_eq!(team.eval("document.querySelector('#teams').options[0].value").await, "<b>blue</b>");
    team.fill("#team", "<b>blue</b>").await;
    team.click("#guess-submit").await;
    team.find("#verdict[data-verdict=right]").await;
    team.until_text("#verdict", "told when the round is over").await;
    assert_eq!(team.eval("document.querySelector('#explanation').hidden").await, true);
    team.until_text("#game-day-board [data-verdict=right]", "1 guess").await;
    assert_eq!(team.count("#game-day-board b").await, 0, "a team's name is text");
    browser.until_text("#board [data-verdict=right]", "1 guess").await;

    browser.click("#next").await;
    browser.until_text("#stand", "Round 1 of 2 is over. The next one begins in").await;
    browser.until_text("#next", "Begin the next round now").await;
    team.until_text("#game-day-answer", "The answer of round 1").await;
    team.click("#game-day-last summary").await;
    team.until_text("#game-day-explanation", &format!("sleep in {culprit}. {culprit} slept about")).await;
    browser.click("#next").await;
    browser.until_text("#stand", "Round 2 of 2").await;
    browser.until_text("#board thead th:nth-child(3)", "Round 2").await;
    browser.until_text("#board tbody tr:first-child td:nth-child(4)", "right").await;
    team.until_text("#verdict", "has begun").await;
    browser.click("#answers-details summary").await;
    browser.until_text("#rounds [data-round='2']", "Nothing was wrong.").await;
    browser.until_text("#rounds [data-round='1']", "7").await;

    // Who copies a seed has time for it: what is asked again and is the same stays as it is.
    let asked = "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/results')).length";
    let before = browser.eval(&format!("(window.row = document.querySelector('#rounds [data-round]'), {asked})")).await;
    browser.until(&format!("{asked} >= {before} + 2")).await;
    assert_eq!(browser.eval("window.row.isConnected").await, true);

    // The tab remembers who this is.
    browser.goto(&format!("{}/instructor", sandbox.frontend)).await;
    browser.until_text("#stand", "Round 2 of 2").await;
    browser.click("#stop-details summary").await;
    browser.click("#stop").await;
    browser.until_text("#stand", "The game day is over, after 2 of 2 rounds.").await;
    browser.until("!document.querySelector('#plan').hidden").await;
    team.until_text("#game-day-stand", "The game day is over").await;
    team.until("!document.querySelector('#hint').hidden").await;
    for page in [&browser, &team] {
        for width in [1280, 360] {
            page.emulate("dark", width).await;
            let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(page.eval(overflow).await, 0, "at {width} px");
        }
        page.assert_clean().await;
    }
}

/// What `game-day COMMAND` says to who has the token.
fn teacher(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = sandbox.run(&[&["game-day"], arguments, &["--instructor-token", TOKEN]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn results(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&teacher(sandbox, &["results", "--json"])).unwrap()
}

/// Of a round that began, counted from 0.
fn answer(sandbox: &Sandbox, round: usize) -> Value {
    results(sandbox)["rounds"][round]["answer"].clone()
}

/// The exit code of a guess.
fn guess(sandbox: &Sandbox, team: &str, guess: &[&str]) -> Option<i32> {
    sandbox.run(&[&["guess", "--team", team], guess].concat()).status.code()
}

async fn post(sandbox: &Sandbox, path: &str, body: Value) -> (u16, Value) {
    let request = sandbox.client.post(format!("{}{path}", sandbox.frontend)).bearer_auth(TOKEN);
    let answer = request.json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The public state, as soon as it is as wanted.
async fn until(sandbox: &Sandbox, is: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let day = sandbox.get("/api/game-day").await;
        if is(&day) {
            return day;
        }
        assert!(start.elapsed() < PATIENCE, "{day}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
