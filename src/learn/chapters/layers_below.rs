//! Not written yet.

use crate::learn::{Evidence, Step};

pub fn check(_: &Evidence) -> Vec<Step> {
    vec![Step::open("the chapter is written", "it is not", &["come back later"])]
}
