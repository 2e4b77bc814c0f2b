//! What the exit code says: 0 done, 1 the answer is no, 2 bad usage or configuration, 3 something needed cannot be reached.

use std::fmt;

/// Marks an error whose exit code is not the usual 2; put around it by `anyhow`'s `context`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Everything worked, and the answer is no.
    No,
    /// A frontend, Jaeger or service that was needed did not answer.
    Unreachable,
}

/// An error of kind `failure` that reads as `text`.
pub fn failure(failure: Failure, text: impl fmt::Display) -> anyhow::Error {
    anyhow::Error::new(Marked { failure, text: text.to_string() })
}

/// The exit code of the process that ends with `error`.
pub fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Marked>().map(|marked| marked.failure) {
        Some(Failure::No) => 1,
        Some(Failure::Unreachable) => 3,
        None => 2,
    }
}

/// An error and all that caused it, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Marked {
    failure: Failure,
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_failure_keeps_its_code_under_more_context() {
        let error = Err::<(), _>(failure(Failure::Unreachable, "nobody listens")).context("cannot guess").unwrap_err();
        assert_eq!(code(&error), 3);
        assert_eq!(format!("{error:#}"), "cannot guess: nobody listens");
        assert_eq!(code(&anyhow::anyhow!("a bad flag")), 2);
    }
}
