//! `tracelab learn`: the tutorial's chapters, checked against what the trace backend holds.
//!
//! A chapter's text is in `tutorial/`; here is how it is known to be done ([`Chapter::check`], a pure function over [`Evidence`]) and
//! what the learner has done so far ([`progress`]). `cmd::learn` reads the evidence and prints.

mod chapter;
mod chapters;
pub mod evidence;
pub mod progress;

pub use chapter::{Chapter, Stage, State, Step};
pub use chapters::CHAPTERS;
pub use evidence::{Answer, Evidence};

use progress::Progress;

/// The chapter with this number.
///
/// # Errors
/// There is none; the text lists those that are.
pub fn chapter(number: u8) -> Result<&'static Chapter, NoChapter> {
    CHAPTERS.iter().find(|chapter| chapter.number == number).ok_or(NoChapter(number))
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no chapter {0}; `tracelab learn list` shows those that there are")]
pub struct NoChapter(u8);

/// The chapter that the learner is at: the one that was named last, unless it is passed; else the first on the track that is not.
pub fn current(progress: &Progress) -> Option<&'static Chapter> {
    let open = |chapter: &&Chapter| !progress.passed.contains(&chapter.number);
    let named = progress.at.and_then(|number| chapter(number).ok()).filter(open);
    named.or_else(|| CHAPTERS.iter().filter(|chapter| chapter.fast || !progress.fast).find(open))
}
