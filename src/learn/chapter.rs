//! A chapter of the tutorial: where its text is, what it needs, and how it is known to be done.

use std::fmt;

use super::evidence::Evidence;

/// One unit of the tutorial. Its text, exercise and solution are in the folder `tutorial/<folder>`.
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    pub number: u8,
    /// Below `tutorial/`.
    pub folder: &'static str,
    pub title: &'static str,
    /// What is to be done for it, as one instruction.
    pub task: &'static str,
    pub needs: Stage,
    /// Whoever has seen traces before begins with those that are.
    pub fast: bool,
    /// How far the learner is, by what the trace backend holds: the steps in order, up to the first that is open. A pure function; it
    /// is done when every step is.
    pub check: fn(&Evidence) -> Vec<Step>,
}

/// What has to run for a chapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A trace backend, whichever.
    Backend,
    /// A frontend with its services, and their trace backend, started with this command.
    Sandbox(&'static str),
    /// The same beside a Redis.
    Redis,
    /// The compose stage behind its two nginx.
    Edge,
    /// The services in a Kubernetes cluster, started with this command.
    Kind(&'static str),
    /// The services in a cluster on AWS, with tracing that outgrows one machine, made with this command.
    Kops(&'static str),
    /// A frontend that was started with an instructor's token.
    GameDay,
}

/// One thing that has to be true, and whether it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is to be true, as a sentence without a full stop.
    pub goal: String,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// What shows it.
    Done(String),
    Open {
        /// What is there instead.
        saw: String,
        /// Each more direct than the one before; at least one.
        hints: Vec<String>,
    },
}

impl Step {
    pub fn done(goal: impl Into<String>, saw: impl Into<String>) -> Self {
        Self { goal: goal.into(), state: State::Done(saw.into()) }
    }

    pub fn open(goal: impl Into<String>, saw: impl Into<String>, hints: &[&str]) -> Self {
        let hints = hints.iter().map(|&hint| hint.to_owned()).collect();
        Self { goal: goal.into(), state: State::Open { saw: saw.into(), hints } }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }
}

impl Stage {
    /// How it is started.
    pub fn start(self) -> &'static str {
        match self {
            Stage::Backend => "tracelab up",
            Stage::Sandbox(command) | Stage::Kind(command) | Stage::Kops(command) => command,
            Stage::Redis => "tracelab up --mystery redis",
            Stage::Edge => "docker compose -f compose/compose.yaml -f compose/edge.yaml up -d",
            Stage::GameDay => "tracelab up --mystery none --instructor-token TOKEN",
        }
    }

    /// Whether there is nothing to check without a frontend that answers.
    pub fn has_frontend(self) -> bool {
        self != Stage::Backend
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Backend => "a trace backend",
            Stage::Sandbox(_) => "the sandbox",
            Stage::Redis => "the sandbox beside a Redis",
            Stage::Edge => "the compose stage behind nginx",
            Stage::Kind(_) => "the kind stage",
            Stage::Kops(_) => "the kops stage",
            Stage::GameDay => "the sandbox with an instructor's token",
        })
    }
}
