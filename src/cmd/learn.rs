//! `tracelab learn`: reads what the trace backend holds, and prints how far the learner is.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{client, say, server_runtime};
use crate::cli::{self, LearnCommand};
use crate::config::Config;
use crate::diagnose::model::Builder;
use crate::exit::{Failure, failure};
use crate::frontend::Score;
use crate::jaeger::{Client, Settings, Wanted};
use crate::learn::progress::{File, Progress};
use crate::learn::{Answer, CHAPTERS, Chapter, Evidence, Stage, State, Step, chapter, current};

/// Nothing in a chapter takes more traces: ten thousand calls, and what came before and after them.
const MOST_TRACES: usize = 30_000;
/// What is older is another day's, unless the mystery is.
const LOOKBACK: SignedDuration = SignedDuration::from_hours(1);
/// What came before the running mystery, for the chapter with two of them.
const SLACK: SignedDuration = SignedDuration::from_mins(30);
/// A trace backend on a laptop answers at once or not at all.
const ANSWER: Duration = Duration::from_secs(20);

pub fn run(file: Option<&Path>, command: LearnCommand) -> anyhow::Result<()> {
    let kept = Kept::load();
    match command {
        // Three of them need nothing of the configuration, and say all the same where it is wrong, as every command does.
        LearnCommand::List(flags) => {
            let _ = Config::load_without_telemetry(file, &flags)?;
            list(&kept.progress, flags.json)
        }
        LearnCommand::Next(flags) => {
            let _ = Config::load_without_telemetry(file, &flags)?;
            next(kept, &flags)
        }
        LearnCommand::Check(flags) => server_runtime()?.block_on(check(Config::load_without_telemetry(file, &flags)?, kept, flags)),
        LearnCommand::Hint(flags) => server_runtime()?.block_on(hint(Config::load_without_telemetry(file, &flags)?, kept, flags)),
        LearnCommand::Reset(flags) => {
            let _ = Config::load_without_telemetry(file, &flags)?;
            reset(kept, flags.chapter)
        }
    }
}

/// The learner's progress and where it is kept, if anywhere. That it cannot be kept stands in nobody's way.
struct Kept {
    progress: Progress,
    file: Option<File>,
}

impl Kept {
    fn load() -> Self {
        let file = File::of_user();
        let (progress, note) = file.as_ref().map(File::load).unwrap_or_default();
        if let Some(note) = note {
            eprintln!("note: {note}");
        }
        Self { progress, file }
    }

    fn save(&self) {
        let Some(file) = &self.file else {
            eprintln!("note: there is no home directory, so that what is done is not kept");
            return;
        };
        if let Err(error) = file.save(&self.progress) {
            eprintln!("note: what is done cannot be kept in {}: {error}", file.path().display());
        }
    }

    /// Whoever names a chapter that is not passed is at it from then on: what they ask for next, a hint perhaps, is about that one.
    /// Whether that is news.
    fn go_to(&mut self, named: Option<u8>) -> bool {
        let news = named.filter(|number| Some(*number) != self.progress.at && !self.progress.passed.contains(number));
        self.progress.at = news.or(self.progress.at);
        news.is_some()
    }
}

fn list(progress: &Progress, json: bool) -> anyhow::Result<()> {
    let passed = |chapter: &Chapter| progress.passed.contains(&chapter.number);
    if json {
        let chapters = CHAPTERS.iter().map(|chapter| {
            json!({
                "number": chapter.number,
                "title": chapter.title,
                "folder": format!("tutorial/{}", chapter.folder),
                "needs": chapter.needs.to_string(),
                "fast": chapter.fast,
                "passed": passed(chapter),
                "task": chapter.task,
            })
        });
        return say(&json!({ "chapters": chapters.collect::<Vec<_>>() }).to_string());
    }
    let at = current(progress).map(|chapter| chapter.number);
    for chapter in CHAPTERS {
        let mark = if passed(chapter) {
            '✓'
        } else if at == Some(chapter.number) {
            '▶'
        } else {
            ' '
        };
        let fast = if chapter.fast { " »" } else { "" };
        say(&format!("{mark} {:>2}  {}{fast}", chapter.number, chapter.title))?;
    }
    let done = CHAPTERS.iter().filter(|chapter| passed(chapter)).count();
    say(&format!("{done} of {} done; » is the fast track (`tracelab learn next --fast`)", CHAPTERS.len()))
}

fn next(mut kept: Kept, flags: &cli::LearnNext) -> anyhow::Result<()> {
    if let Some(fast) = flags.fast {
        kept.progress.fast = fast;
        // Where one is may be a chapter that the track leaves out.
        kept.progress.at = None;
    }
    if let Some(number) = flags.chapter {
        chapter(number)?;
        kept.progress.at = Some(number);
    }
    let Some(chapter) = flags.chapter.map(chapter).transpose()?.or_else(|| current(&kept.progress)) else {
        kept.save();
        let rest = if kept.progress.fast {
            "; `tracelab learn next --fast=false` goes on with those that the fast track leaves out"
        } else {
            ""
        };
        return say(&format!("All chapters are done{rest}."));
    };
    kept.progress.at = Some(chapter.number);
    kept.save();
    say(&format!("Chapter {}: {}", chapter.number, chapter.title))?;
    say(&format!("  read    tutorial/{}/README.md", chapter.folder))?;
    say(&format!("  needs   {}: {}", chapter.needs, chapter.needs.start()))?;
    say(&format!("  task    {}", chapter.task))?;
    say("  then    tracelab learn check (or: tracelab learn hint)")
}

async fn check(config: Config, mut kept: Kept, flags: cli::LearnCheck) -> anyhow::Result<()> {
    let chapter = asked(&kept.progress, flags.chapter)?;
    let steps = steps(&config, chapter, &flags).await?;
    let passed = steps.iter().all(Step::is_done);
    if !passed && kept.go_to(flags.chapter) {
        kept.save();
    }
    if flags.json {
        let steps: Vec<_> =
            steps.iter().map(|step| json!({ "goal": step.goal, "done": step.is_done(), "saw": saw(step) })).collect();
        say(&json!({ "chapter": chapter.number, "passed": passed, "steps": steps }).to_string())?;
    } else {
        say(&format!("Chapter {}: {}", chapter.number, chapter.title))?;
        for step in &steps {
            let mark = if step.is_done() { '✓' } else { '✗' };
            say(&format!("  {mark} {}: {}", step.goal, saw(step)))?;
        }
    }
    if !passed {
        let number = chapter.number;
        let is_at = current(&kept.progress).is_some_and(|at| at.number == number);
        let hint = if is_at { "hint".to_owned() } else { format!("hint {number}") };
        return Err(failure(Failure::No, format!("chapter {number} is not done yet; `tracelab learn {hint}` helps")));
    }
    kept.progress.passed.insert(chapter.number);
    kept.progress.hints.remove(&chapter.number);
    kept.save();
    if !flags.json {
        say("Done. `tracelab learn next` goes on.")?;
    }
    Ok(())
}

async fn hint(config: Config, mut kept: Kept, flags: cli::LearnCheck) -> anyhow::Result<()> {
    let chapter = asked(&kept.progress, flags.chapter)?;
    let steps = steps(&config, chapter, &flags).await?;
    let open = steps.iter().enumerate().find_map(|(place, step)| match &step.state {
        State::Open { saw, hints } => Some((place, step, saw, hints)),
        State::Done(_) => None,
    });
    let Some((place, step, saw, hints)) = open else {
        let number = chapter.number;
        return say(&format!("Nothing is left to do in chapter {number}: `tracelab learn check {number}` says so."));
    };
    let given = kept.progress.hints.entry(chapter.number).or_default().entry(place).or_default();
    *given = (*given + 1).min(hints.len());
    let number = *given;
    let text = number.checked_sub(1).and_then(|place| hints.get(place)).map_or("there is none", String::as_str);
    if flags.json {
        let hint = json!({ "chapter": chapter.number, "step": step.goal, "hint": number, "of": hints.len(), "text": text });
        say(&hint.to_string())?;
    } else {
        say(&format!("{}: {saw}", step.goal))?;
        say(&format!("hint {number} of {}: {text}", hints.len()))?;
    }
    kept.go_to(flags.chapter);
    kept.save();
    Ok(())
}

fn reset(mut kept: Kept, number: Option<u8>) -> anyhow::Result<()> {
    match number {
        Some(number) => {
            chapter(number)?;
            kept.progress.passed.remove(&number);
            kept.progress.hints.remove(&number);
            kept.save();
            say(&format!("chapter {number} is to be done again"))
        }
        None => {
            kept.progress = Progress::default();
            kept.save();
            say("all chapters are to be done again")
        }
    }
}

fn asked(progress: &Progress, number: Option<u8>) -> anyhow::Result<&'static Chapter> {
    match number {
        Some(number) => Ok(chapter(number)?),
        None => {
            current(progress).context("all chapters are done; name one to check it again, for example `tracelab learn check 4`")
        }
    }
}

fn saw(step: &Step) -> &str {
    match &step.state {
        State::Done(saw) | State::Open { saw, .. } => saw,
    }
}

/// Reads all that the chapter's check may look at, and has it look.
async fn steps(config: &Config, chapter: &Chapter, flags: &cli::LearnCheck) -> anyhow::Result<Vec<Step>> {
    let needs = |error: anyhow::Error| {
        let text = format!("chapter {} needs {} (`{}`): {error:#}", chapter.number, chapter.needs, chapter.needs.start());
        failure(Failure::Unreachable, text)
    };
    // Before the score is: what it says of the mystery's age then reaches no less far back than it should.
    let now = Timestamp::now();
    let (score, width): (Option<Score>, _) = if chapter.needs.has_frontend() {
        let score = client::get(config, "/api/score").await.map_err(needs)?;
        let topology = client::get(config, "/api/topology").await.map_err(needs)?;
        let width = topology["width"].as_u64().and_then(|width| u16::try_from(width).ok()).unwrap_or_default();
        (Some(serde_json::from_value(score).context("the frontend's score cannot be read")?), width)
    } else {
        (None, 0)
    };
    // Who gave no token is told so by the chapter; a wrong one is an error of its own.
    let game_day = if chapter.needs == Stage::GameDay && config.instructor_token.is_some() {
        let results = client::get(config, "/api/game-day/results").await?;
        Some(serde_json::from_value(results).context("the frontend's results of the game day cannot be read")?)
    } else {
        None
    };
    let lookback = flags.lookback.unwrap_or_else(|| lookback(score.as_ref()));
    let start = now.checked_sub(lookback).context("--lookback reaches further back than time is counted")?;
    let wanted = Wanted { start: ns(start), end: ns(now), services: Vec::new(), limit: MOST_TRACES };
    let settings = Settings { answer: ANSWER, ..Settings::default() };
    let jaeger = Client::with(crate::outbound::client()?, &config.jaeger_url(), settings);
    let mut builder = Builder::until(ns(now)).without_jaegers_own();
    jaeger.collect(&wanted, &mut builder, |_| {}).await.map_err(|error| needs(error.into()))?;
    let answer = Answer { trace: flags.trace.as_ref().map(|asked| asked.trace.to_string()), service: flags.service.clone() };
    let evidence = Evidence { traces: builder.finish(), score, now: ns(now), width, team: flags.team.clone(), answer, game_day };
    Ok((chapter.check)(&evidence))
}

/// Whoever takes a break in the middle of a mystery finds it where it was.
fn lookback(score: Option<&Score>) -> SignedDuration {
    let age = score.and_then(|score| SignedDuration::try_from_secs_f64(score.seconds).ok()).unwrap_or_default();
    age.saturating_add(SLACK).max(LOOKBACK)
}

fn ns(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mystery_of_this_morning_is_seen_from_its_beginning() {
        let score = |seconds| Score { mystery: 1, cause: None, seconds, teams: vec![] };
        let day = SignedDuration::from_hours(24);
        assert_eq!(lookback(None), LOOKBACK);
        assert_eq!(lookback(Some(&score(60.0))), LOOKBACK);
        assert!((day..day + LOOKBACK).contains(&lookback(Some(&score(day.as_secs_f64())))));
        for nonsense in [f64::NAN, f64::INFINITY, f64::MAX, -1e300] {
            assert_eq!(lookback(Some(&score(nonsense))), LOOKBACK, "{nonsense}");
        }
    }
}
