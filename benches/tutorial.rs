//! The tutorial's rows of the budget: what, measured, budget, how. `cargo bench --bench tutorial`
//!
//! Both are read off the book: its own commands are run, and counted.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]
#![allow(unused_imports, dead_code, reason = "the tests inside what follows the book run in tests/tutorial.rs")]

#[path = "../tests/tutorial/console.rs"]
mod console;
#[path = "../tests/tutorial/expected.rs"]
mod expected;
#[path = "../tests/tutorial/placeholders.rs"]
mod placeholders;
#[path = "../tests/tutorial/programs.rs"]
mod programs;
#[path = "../tests/tutorial/stage.rs"]
mod stage;

use std::path::Path;
use std::time::Instant;

use console::{Block, Page};
use stage::Stage;

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn main() {
    let first = page("01-first-trace/README.md");
    let ships = |block: &&Block| block.commands.iter().any(|command| command.text.contains("/v1/traces"));
    let until = first.blocks.iter().position(|block| ships(&block)).expect("chapter 1 ships a span with curl");
    let mut stage = Stage::new();
    let start = Instant::now();
    for block in &first.blocks[..=until] {
        stage.run(&first, block);
    }
    let typed = first.blocks[..=until].iter().map(|block| block.commands.len()).sum::<usize>();
    row(
        "first shipped trace",
        format!("{:.2} s", start.elapsed().as_secs_f64()),
        "≤ 60 s",
        format!("from a built binary, by the {typed} commands of chapter 1, without the time to read and type"),
    );

    let typed = commands_to_the_first_found_sleep();
    row("commands to the first found sleep", typed.len().to_string(), "≤ 6", typed.join("; "));
}

/// From `git clone` to the right guess: what is done once before the first chapter, and chapter 4 up to its guess.
fn commands_to_the_first_found_sleep() -> Vec<String> {
    let texts = |block: &Block| block.commands.iter().map(|command| command.text.clone()).collect::<Vec<_>>();
    let once = page("README.md");
    let once = once.blocks.iter().filter(|block| block.checked_only.is_some()).flat_map(texts);
    let hunt = page("04-hidden-sleep/README.md");
    let hunt = hunt.blocks.iter().filter(|block| block.checked_only.is_none()).flat_map(texts).collect::<Vec<_>>();
    let guess = hunt.iter().position(|text| text.starts_with("tracelab guess")).expect("chapter 4 guesses");
    let mut typed: Vec<_> = once.chain(hunt.into_iter().take(guess + 1)).collect();
    if !typed.iter().any(|text| text.starts_with("cd ")) {
        // Said in words there.
        typed.insert(1, "cd tracelab".to_owned());
    }
    typed
}

fn page(path: &str) -> Page {
    Page::read(&root().join("tutorial").join(path))
}

fn row(what: &str, measured: String, budget: &str, how: String) {
    println!("{what:<42} {measured:>18}   {budget:<12} {how}");
}
