//! Parse, run, print one error.

use std::process::ExitCode;

use clap::Parser as _;
use tracelab::cli::Cli;
use tracelab::{cmd, exit};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cmd::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit::code(&error))
        }
    }
}
