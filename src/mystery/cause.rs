//! The kinds of fault, and what each of them needs.

use std::fmt;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde::{Deserialize, Serialize};

use crate::topology::{Route, Topology};

/// The kind of fault that a mystery hides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// one service sleeps long on every request
    #[default]
    Sleep,
    /// one service sleeps long on about 2 % of its requests
    RareSleep,
    /// one service answers 500 on a share of its requests
    Failure,
    /// one customer's requests are slow, and sometimes fail, in one service
    Customer,
    /// one service spoils what it passes on: a later one is slow or fails on just those requests
    Upstream,
    /// a pool of one inside one service: alone nobody waits for it, under load all do
    Contention,
    /// one service writes to Redis key by key where one pipeline would do
    Redis,
    /// delay between two services, inside neither
    Network,
    /// one service drops the trace context, so that its callees' spans become traces of their own
    LostContext,
    /// nothing is wrong
    None,
}

/// What a guess may name beside the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    Service,
    Callee,
    Customer,
}

/// How somebody without a Redis comes by one.
pub const REDIS_WAY_OUT: &str =
    "name one with --redis redis://127.0.0.1:6379, or install redis-server, which `up` then starts by itself";

/// Why a cause cannot be had; the text names the way out.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Impossible {
    #[error("a mystery of cause {0} needs two layers of services, one that calls the other; --layers is 1")]
    OneLayer(Cause),
    #[error(
        "a mystery of cause upstream needs several ways through the services, or the one that spoils could not be told from the one \
         that suffers; use --route random or --route all"
    )]
    OneWay,
    #[error("a mystery of cause redis needs a Redis: {REDIS_WAY_OUT}")]
    NoRedis,
}

impl Cause {
    /// What it is, in a line without a full stop.
    pub fn about(self) -> String {
        let value = self.to_possible_value();
        value.as_ref().and_then(PossibleValue::get_help).map(ToString::to_string).unwrap_or_default()
    }

    /// What a right guess names beside the cause.
    pub fn names(self) -> &'static [Field] {
        match self {
            Cause::None => &[],
            Cause::Network => &[Field::Service, Field::Callee],
            Cause::Customer => &[Field::Service, Field::Customer],
            Cause::Sleep
            | Cause::RareSleep
            | Cause::Failure
            | Cause::Upstream
            | Cause::Contention
            | Cause::Redis
            | Cause::LostContext => &[Field::Service],
        }
    }

    /// Whether a topology can have it, and a Redis is there where it needs one.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(self, topology: Topology, redis: bool) -> Result<(), Impossible> {
        match self {
            Cause::Upstream | Cause::Network | Cause::LostContext if topology.layers < 2 => Err(Impossible::OneLayer(self)),
            Cause::Upstream if topology.route == Route::Straight || topology.width < 2 => Err(Impossible::OneWay),
            Cause::Redis if !redis => Err(Impossible::NoRedis),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Field {
    /// As the key in JSON and the name of the flag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Service => "service",
            Field::Callee => "callee",
            Field::Customer => "customer",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The flag, the JSON and the text are one word, so take it from where it stands.
        let value = self.to_possible_value().expect("no cause is hidden from the command line");
        f.write_str(value.get_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_says_in_a_line_what_it_is() {
        for cause in Cause::value_variants() {
            let about = cause.about();
            assert!((10..=100).contains(&about.chars().count()) && !about.ends_with('.'), "{cause}: {about}");
        }
    }

    #[test]
    fn the_readme_lists_every_cause_as_it_is() {
        let readme = include_str!("../../README.md");
        for cause in Cause::value_variants() {
            let row = format!("| `{cause}` | {} | ", cause.about());
            let (_, names) = readme.split_once(&row).unwrap_or_else(|| panic!("README.md has no row {row}"));
            let names = names.lines().next().unwrap();
            for field in [Field::Callee, Field::Customer] {
                assert_eq!(names.contains(&format!("`--{field} ")), cause.names().contains(&field), "{cause}: {names}");
            }
            assert_eq!(names.contains("`--nothing`"), cause.names().is_empty(), "{cause}: {names}");
        }
    }

    #[test]
    fn a_cause_that_cannot_be_had_says_what_it_needs() {
        let topology = |layers, route| Topology::new(layers, 4, route).unwrap();
        for cause in Cause::value_variants() {
            assert_eq!(cause.check(topology(2, Route::Random), true), Ok(()));
        }
        assert_eq!(Cause::Upstream.check(topology(2, Route::Straight), true), Err(Impossible::OneWay));
        assert_eq!(Cause::Network.check(topology(1, Route::Random), true), Err(Impossible::OneLayer(Cause::Network)));
        assert_eq!(Cause::Redis.check(topology(1, Route::Straight), false), Err(Impossible::NoRedis));
    }
}
