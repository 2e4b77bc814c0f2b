//! The tutorial as a learner follows it: every console block of every chapter is run, and prints what the book shows.
//!
//! How a block is written is in tests/tutorial/console.rs, what counts as the same output in expected.rs.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "tutorial/book.rs"]
mod book;
#[path = "tutorial/checked.rs"]
mod checked;
#[path = "tutorial/console.rs"]
mod console;
#[path = "support/docker.rs"]
mod docker;
#[path = "tutorial/expected.rs"]
mod expected;
#[path = "tutorial/follow.rs"]
mod follow;
#[path = "tutorial/kops.rs"]
mod kops;
#[path = "tutorial/needs.rs"]
mod needs;
#[path = "tutorial/objects.rs"]
mod objects;
#[path = "tutorial/placeholders.rs"]
mod placeholders;
#[path = "tutorial/programs.rs"]
mod programs;
#[path = "support/smtp.rs"]
mod smtp;
#[path = "tutorial/stage.rs"]
mod stage;

use std::path::Path;

use book::declared_examples as examples;
use console::Page;
use docker::required;
use tracelab::learn::CHAPTERS;

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One test a chapter, named by its folder.
macro_rules! chapters {
    ($($test:ident: $folder:literal,)*) => {
        const TESTED: &[&str] = &[$($folder),*];

        $(#[test]
        fn $test() {
            follow(concat!("tutorial/", $folder, "/README.md"));
        })*
    };
}

chapters! {
    chapter_01: "01-first-trace",
    chapter_02: "02-waterfall",
    chapter_03: "03-context",
    chapter_04: "04-hidden-sleep",
    chapter_05: "05-crowd",
    chapter_06: "06-fix",
    chapter_07: "07-failures",
    chapter_08: "08-customer",
    chapter_09: "09-contention",
    chapter_10: "10-redis",
    chapter_11: "11-lost-context",
    chapter_12: "12-logs-and-mail",
    chapter_13: "13-layers-below",
    chapter_14: "14-kind",
    chapter_15: "15-mesh",
    chapter_16: "16-kubernetes",
    chapter_17: "17-kops",
    chapter_18: "18-game-day",
}

#[test]
fn before_you_start() {
    follow("tutorial/README.md");
}

#[test]
fn every_chapter_is_followed() {
    let chapters: Vec<_> = CHAPTERS.iter().map(|chapter| chapter.folder).collect();
    assert_eq!(TESTED, chapters);
}

fn follow(path: &str) {
    for (name, source) in examples() {
        programs::assert_built(&name, &source);
    }
    follow::follow(&Page::read(&root().join(path)));
}
