//! What is wrong: a mystery drawn from a seed, what it makes each service do, and whether a guess is right.
//!
//! Pure functions and plain data. The frontend keeps the game's state (`frontend::game`); a service sees nothing of this but
//! its own [`Assignment`].

mod assignment;
mod draw;
mod guess;
mod peers;

pub use assignment::{Assignment, Delay, Fault, Peer};
pub use draw::{Mystery, draw};
pub use guess::{Answer, Guess, Verdict, grade};
pub use peers::{BadUrl, Peers};

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The kind of fault that a mystery hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// one service sleeps long on every request
    #[default]
    Sleep,
    /// nothing is wrong
    None,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The flag, the JSON and the text are one word, so take it from where it stands.
        let value = self.to_possible_value().expect("no cause is hidden from the command line");
        f.write_str(value.get_name())
    }
}
