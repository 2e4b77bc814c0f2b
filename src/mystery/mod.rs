//! What is wrong: a mystery drawn from a seed, what it makes each service do, and whether a guess is right.
//!
//! Pure functions and plain data. The frontend keeps the game's state (`frontend::game`); a service sees nothing of this but
//! its own [`Assignment`].

mod assignment;
mod cause;
mod customers;
mod draw;
mod guess;
mod peers;

pub use assignment::{Assignment, Decoy, Delay, Fault, Peer, RedisUse, Spoiled};
pub use cause::{Cause, Field, Impossible, REDIS_WAY_OUT};
pub use customers::Customers;
pub use draw::{Mystery, draw};
pub use guess::{Answer, Guess, Verdict, grade};
pub use peers::{BadUrl, Peers};
