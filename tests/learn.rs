//! `tracelab learn` as a learner meets it: what it says, what it keeps, and that it stands in nobody's way.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/sandbox.rs"]
mod sandbox;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sandbox::{Sandbox, stderr, stdout, tracelab};
use serde_json::{Value, json};
use tempfile::TempDir;
use tracelab::learn::{CHAPTERS, Chapter};

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Somebody with a data directory of their own, and a stage or none.
struct Learner {
    data: TempDir,
    frontend: String,
    jaeger: String,
}

impl Learner {
    fn without_a_stage() -> Self {
        Self { data: tempfile::tempdir().unwrap(), frontend: NOWHERE.to_owned(), jaeger: NOWHERE.to_owned() }
    }

    fn at(stage: &Sandbox) -> Self {
        Self { data: tempfile::tempdir().unwrap(), frontend: stage.frontend.clone(), jaeger: stage.jaeger.clone() }
    }

    fn learn(&self, arguments: &[&str]) -> Output {
        let (mut command, _directory) = self.command(arguments);
        command.output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> (Command, TempDir) {
        let (mut command, directory) = tracelab(&[&["learn"], arguments].concat());
        command.env("HOME", self.data.path()).env("XDG_DATA_HOME", self.data.path());
        command.env("TRACELAB_FRONTEND", &self.frontend).env("TRACELAB_JAEGER", &self.jaeger);
        (command, directory)
    }

    /// What a command that succeeds prints.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.learn(arguments);
        assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""), "{arguments:?}");
        stdout(&output)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.learn(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    fn file(&self) -> PathBuf {
        self.data.path().join("tracelab/learn.json")
    }

    fn keep(&self, text: &str) {
        std::fs::create_dir_all(self.file().parent().unwrap()).unwrap();
        std::fs::write(self.file(), text).unwrap();
    }

    /// So many chapters passed, as the list says.
    fn passed(&self) -> usize {
        self.json(&["list"])["chapters"].as_array().unwrap().iter().filter(|chapter| chapter["passed"] == true).count()
    }
}

fn number(chapter: &Chapter) -> String {
    chapter.number.to_string()
}

/// Chapter 1 asks for a span sent by hand and a trace of two spans.
fn one_that_needs_a_backend() -> &'static Chapter {
    CHAPTERS.iter().find(|chapter| !chapter.needs.has_frontend()).unwrap()
}

fn one_that_needs_a_frontend() -> &'static Chapter {
    CHAPTERS.iter().find(|chapter| chapter.needs.has_frontend()).unwrap()
}

#[test]
fn every_chapter_fails_on_an_untouched_stage_and_has_hints_for_it() {
    let stage = Sandbox::up(&[]);
    let learner = Learner::at(&stage);
    for chapter in CHAPTERS {
        let number = number(chapter);
        let output = learner.learn(&["check", &number]);
        assert_eq!(output.status.code(), Some(1), "chapter {number}: {}{}", stdout(&output), stderr(&output));
        let lines = stdout(&output);
        let mut lines = lines.lines();
        assert_eq!(lines.next().unwrap(), format!("Chapter {number}: {}", chapter.title));
        assert!(lines.next_back().unwrap().starts_with("  ✗ "), "chapter {number}");
        assert!(lines.all(|line| line.starts_with("  ✓ ")), "chapter {number}");
        assert!(stderr(&output).contains(&format!("chapter {number} is not done yet; `tracelab learn hint` helps")));

        let checked = learner.json(&["check", &number]);
        assert_eq!((&checked["chapter"], &checked["passed"]), (&json!(chapter.number), &json!(false)));
        let steps = checked["steps"].as_array().unwrap();
        let open = steps.last().unwrap();
        assert_eq!(open["done"], json!(false));
        assert!(open.as_object().unwrap().keys().eq(["done", "goal", "saw"]), "{open}");

        let given: Vec<_> = (0..5).map(|_| learner.json(&["hint", &number])).collect();
        let most = given[0]["of"].as_u64().unwrap();
        assert!((2..=3).contains(&most), "chapter {number} has {most} hints for its first step");
        for (hint, expected) in given.iter().zip(1..) {
            assert!(hint.as_object().unwrap().keys().eq(["chapter", "hint", "of", "step", "text"]), "{hint}");
            assert_eq!((&hint["chapter"], &hint["step"]), (&json!(chapter.number), &open["goal"]));
            assert_eq!(hint["hint"], json!(most.min(expected)), "each time one more, and the last one again");
        }
        let mut texts: Vec<_> = given.iter().take(usize::try_from(most).unwrap()).map(|hint| hint["text"].to_string()).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), usize::try_from(most).unwrap(), "chapter {number} repeats a hint");
    }
    assert_eq!(learner.passed(), 0);
}

#[test]
fn the_answers_of_others_do_not_pass_a_chapter() {
    let stage = Sandbox::up(&[]);
    let learner = Learner::at(&stage);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    for chapter in CHAPTERS {
        let output = learner.learn(&["check", &number(chapter), "--trace", trace, "--service", "dummy-1-17"]);
        assert_eq!(output.status.code(), Some(1), "chapter {}: {}", chapter.number, stdout(&output));
    }
}

#[test]
fn the_list_names_every_chapter_and_where_one_is() {
    let learner = Learner::without_a_stage();
    let list = learner.said(&["list"]);
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), CHAPTERS.len() + 1);
    for (line, chapter) in lines.iter().zip(CHAPTERS) {
        assert!(line.contains(&format!("{:>2}  {}", chapter.number, chapter.title)), "{line}");
        assert_eq!(line.ends_with(" »"), chapter.fast, "{line}");
        assert_eq!(line.starts_with('▶'), chapter.number == CHAPTERS[0].number, "{line}");
    }
    assert!(lines.last().unwrap().starts_with(&format!("0 of {} done", CHAPTERS.len())));
    assert!(!learner.file().exists(), "who only looks leaves nothing behind");

    let chapters = learner.json(&["list"])["chapters"].as_array().unwrap().clone();
    assert_eq!(chapters.len(), CHAPTERS.len());
    for (found, chapter) in chapters.iter().zip(CHAPTERS) {
        let expected = json!({
            "number": chapter.number,
            "title": chapter.title,
            "folder": format!("tutorial/{}", chapter.folder),
            "needs": chapter.needs.to_string(),
            "fast": chapter.fast,
            "passed": false,
            "task": chapter.task,
        });
        assert_eq!(*found, expected);
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(found["folder"].as_str().unwrap()).is_dir(), "{found}");
    }
}

#[test]
fn next_names_the_first_open_chapter_and_stays_at_the_one_that_was_chosen() {
    let learner = Learner::without_a_stage();
    let (first, second) = (&CHAPTERS[0], &CHAPTERS[1]);
    let said = learner.said(&["next"]);
    for part in [first.title, first.task, first.folder, first.needs.start()] {
        assert!(said.contains(part), "{said}");
    }
    learner.keep(&json!({ "passed": [first.number] }).to_string());
    assert!(learner.said(&["next"]).contains(second.title));
    let later = CHAPTERS.last().unwrap();
    assert!(learner.said(&["next", &number(later)]).contains(later.title));
    assert!(learner.said(&["next"]).contains(later.title), "where one went is where one is");
    assert!(learner.said(&["list"]).lines().any(|line| line.starts_with('▶') && line.contains(later.title)));
    learner.keep(&json!({ "passed": [first.number, later.number], "at": later.number }).to_string());
    assert!(learner.said(&["next"]).contains(second.title), "who is done there goes on with what is open");
}

#[test]
fn the_fast_track_leaves_out_what_the_experienced_know() {
    let learner = Learner::without_a_stage();
    let mut passed = Vec::new();
    assert!(learner.said(&["next", "--fast"]).contains(CHAPTERS.iter().find(|chapter| chapter.fast).unwrap().title));
    for chapter in CHAPTERS.iter().filter(|chapter| chapter.fast) {
        learner.keep(&json!({ "passed": passed, "fast": true }).to_string());
        assert!(learner.said(&["next"]).starts_with(&format!("Chapter {}: {}", chapter.number, chapter.title)));
        passed.push(chapter.number);
    }
    learner.keep(&json!({ "passed": passed, "fast": true }).to_string());
    let said = learner.said(&["next"]);
    assert!(said.contains("All chapters are done; `tracelab learn next --fast=false`"), "{said}");
    let left_out = CHAPTERS.iter().find(|chapter| !chapter.fast).unwrap();
    assert!(learner.said(&["next", "--fast=false"]).contains(left_out.title));
    learner.keep(&json!({ "passed": CHAPTERS.iter().map(|chapter| chapter.number).collect::<Vec<_>>() }).to_string());
    assert_eq!(learner.said(&["next"]), "All chapters are done.\n");
    let output = learner.learn(&["check"]);
    assert!(stderr(&output).contains("all chapters are done; name one to check it again"), "{output:?}");
}

#[test]
fn a_check_looks_at_the_chapter_one_is_at_unless_another_is_named() {
    let stage = Sandbox::up(&[]);
    let learner = Learner::at(&stage);
    assert_eq!(learner.json(&["check"])["chapter"], json!(CHAPTERS[0].number));
    learner.said(&["next", &number(&CHAPTERS[1])]);
    assert_eq!(learner.json(&["check"])["chapter"], json!(CHAPTERS[1].number));
    assert_eq!(learner.json(&["hint"])["chapter"], json!(CHAPTERS[1].number));
    assert_eq!(learner.json(&["check", &number(&CHAPTERS[2])])["chapter"], json!(CHAPTERS[2].number));
    assert_eq!(learner.json(&["hint"])["chapter"], json!(CHAPTERS[2].number), "who named a chapter is at it");
    assert_eq!(learner.json(&["hint", &number(&CHAPTERS[3])])["chapter"], json!(CHAPTERS[3].number));
    assert_eq!(learner.json(&["check"])["chapter"], json!(CHAPTERS[3].number));
}

#[test]
fn a_check_that_fails_names_the_hint_that_is_about_it() {
    let stage = Sandbox::up(&[]);
    let learner = Learner::at(&stage);
    let (at, again) = (&CHAPTERS[1], &CHAPTERS[3]);
    learner.keep(&json!({ "passed": [again.number], "at": at.number }).to_string());
    let told = |arguments: &[&str]| stderr(&learner.learn(arguments));
    assert!(told(&["check"]).contains("`tracelab learn hint` helps"));
    // It was passed, so that one stays where one is.
    assert!(told(&["check", &number(again)]).contains(&format!("`tracelab learn hint {}` helps", again.number)));
    assert_eq!(learner.json(&["hint"])["chapter"], json!(at.number));
}

#[test]
fn hints_are_counted_for_the_step_that_is_open() {
    let stage = Sandbox::up(&[]);
    let learner = Learner::at(&stage);
    let chapter = one_that_needs_a_backend();
    let hint = || learner.json(&["hint", &number(chapter)]);
    hint();
    let first = hint();
    assert_eq!(first["hint"], json!(2));

    // Any trace of somebody's: chapter 1 sees a span that was sent by hand.
    let now = jiff::Timestamp::now().as_nanosecond();
    let span = json!({
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "my first span", "kind": 1,
        "startTimeUnixNano": (now - 250_000_000).to_string(), "endTimeUnixNano": now.to_string(),
    });
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "by-hand" } }] });
    let body = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": [span] }] }] });
    let url = format!("{}/v1/traces", stage.role.url("otlp_http"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sent = runtime.block_on(async { stage.client.post(url).json(&body).send().await.unwrap() });
    assert!(sent.status().is_success());

    let second = hint();
    assert_ne!(second["step"], first["step"], "a hint follows the step that is open");
    assert_eq!(second["hint"], json!(1));
    let human = learner.said(&["hint", &number(chapter)]);
    assert!(human.lines().nth(1).unwrap().starts_with("hint 2 of "), "{human}");
    // Forgotten hints begin anew.
    learner.said(&["reset", &number(chapter)]);
    assert_eq!(hint()["hint"], json!(1));
}

#[test]
fn what_does_not_run_is_said_with_how_it_is_started() {
    let learner = Learner::without_a_stage();
    for chapter in CHAPTERS {
        for command in ["check", "hint"] {
            let output = learner.learn(&[command, &number(chapter)]);
            assert_eq!(output.status.code(), Some(3), "chapter {}: {}", chapter.number, stderr(&output));
            let start = format!("chapter {} needs {} (`{}`): ", chapter.number, chapter.needs, chapter.needs.start());
            assert!(stderr(&output).contains(&start), "{}", stderr(&output));
        }
    }
    assert!(!learner.file().exists());
}

#[test]
fn the_book_starts_what_learn_says_that_it_needs() {
    for chapter in CHAPTERS.iter().filter(|chapter| chapter.needs.start().starts_with("tracelab up") && chapter.number < 14) {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("tutorial").join(chapter.folder).join("README.md");
        let text = std::fs::read_to_string(page).unwrap();
        let first = text.lines().find(|line| line.starts_with("$ tracelab up"));
        assert_eq!(first, Some(&*format!("$ {}", chapter.needs.start())), "chapter {}", chapter.number);
    }
}

#[test]
fn a_backend_alone_is_no_frontend() {
    let stage = Sandbox::up(&[]);
    let mut learner = Learner::at(&stage);
    learner.frontend = NOWHERE.to_owned();
    assert_eq!(learner.learn(&["check", &number(one_that_needs_a_backend())]).status.code(), Some(1));
    let output = learner.learn(&["check", &number(one_that_needs_a_frontend())]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn a_chapter_that_is_not_there_is_a_mistake_of_use() {
    let learner = Learner::without_a_stage();
    for arguments in [["next", "99"], ["check", "99"], ["hint", "99"], ["reset", "99"]] {
        let output = learner.learn(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains("there is no chapter 99; `tracelab learn list` shows those that there are"), "{output:?}");
    }
    assert_eq!(learner.learn(&["check", "one"]).status.code(), Some(2));
    assert_eq!(learner.learn(&["check", "--trace", "no id"]).status.code(), Some(2));
    assert!(!learner.file().exists());
}

#[test]
fn reset_forgets_one_chapter_or_all() {
    let learner = Learner::without_a_stage();
    let passed: Vec<_> = CHAPTERS.iter().take(3).map(|chapter| chapter.number).collect();
    learner.keep(&json!({ "passed": passed }).to_string());
    assert_eq!(learner.passed(), 3);
    learner.said(&["reset", &passed[1].to_string()]);
    assert_eq!(learner.passed(), 2);
    learner.said(&["reset"]);
    assert_eq!(learner.passed(), 0);
}

#[test]
fn the_file_may_be_deleted_at_any_time() {
    let learner = Learner::without_a_stage();
    learner.said(&["next", &number(&CHAPTERS[3])]);
    assert!(learner.file().exists());
    std::fs::remove_file(learner.file()).unwrap();
    assert!(learner.said(&["next"]).contains(CHAPTERS[0].title));
}

#[test]
fn a_file_that_nobody_can_read_is_kept_aside_and_said() {
    let learner = Learner::without_a_stage();
    learner.keep("{\"passed\": [1");
    let output = learner.learn(&["list"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains(&format!("0 of {} done", CHAPTERS.len())));
    let aside = learner.file().with_extension("json.unreadable");
    let told = stderr(&output);
    assert!(told.contains(learner.file().to_str().unwrap()) && told.contains(aside.to_str().unwrap()), "{told}");
    assert_eq!(std::fs::read_to_string(&aside).unwrap(), "{\"passed\": [1");
    // Said once.
    learner.said(&["list"]);
}

#[test]
fn what_a_later_version_keeps_is_read_all_the_same() {
    let learner = Learner::without_a_stage();
    learner.keep(&json!({ "passed": [1, 200], "badges": ["gold"] }).to_string());
    assert_eq!(learner.passed(), 1);
    assert!(learner.said(&["list"]).contains("1 of "));
}

#[test]
fn a_directory_that_cannot_be_written_stands_in_nobodys_way() {
    let stage = Sandbox::up(&[]);
    let learner = Learner::at(&stage);
    // Not even root makes a folder below a file.
    std::fs::write(learner.data.path().join("tracelab"), "").unwrap();
    for (arguments, code) in [(vec!["next"], 0), (vec!["hint"], 0), (vec!["check"], 1), (vec!["reset"], 0)] {
        let output = learner.learn(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(!stdout(&output).is_empty(), "{arguments:?}");
        let told = stderr(&output).contains("note: ");
        assert!(told || code == 1, "{arguments:?} does not say that nothing is kept");
    }
}
