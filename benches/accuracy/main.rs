//! How often the diagnosis is right: `cargo bench --bench accuracy -- [--quick] [--table N] [--cause X] [--seeds A..B] …`; `--help` says all
//!
//! The mysteries are those of seeds that nothing was tuned on. Table 1 is measured in the real sandbox, in this process; what
//! would take it too long is simulated, and every row says which it was. A run counts as right when culprit and cause come first:
//! both ends of a pair, service and customer; where nothing is wrong, when nobody is suspected. All of it takes about an hour, with
//! `--quick` a quarter of that; table 3 alone less than a minute.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]

mod case;
mod likeness;
mod nezha;
mod sandbox;
mod tables;

use std::ops::Range;

use clap::Parser;
use tracelab::mystery::Cause;

/// Tuning may use every seed below this number, and none from it on.
const UNSEEN: u64 = 1_000_000;
/// The first of the seeds that are measured, and how many of them.
const FIRST: u64 = 7_000_000;
const SEEDS: u64 = 20;
const QUICK_SEEDS: u64 = 4;

/// How often the diagnosis is right
#[derive(Parser)]
struct Arguments {
    /// four seeds instead of twenty
    #[arg(long)]
    quick: bool,
    /// simulate everything
    #[arg(long, conflicts_with = "real")]
    simulated: bool,
    /// only what the real sandbox can do in some seconds a run
    #[arg(long)]
    real: bool,
    /// only these tables: 1 to 4; 5 is Nezha, 6 compares simulation and sandbox, 7 is about size
    #[arg(long)]
    table: Vec<u8>,
    /// name every run of table 3 that went wrong
    #[arg(long)]
    wrong: bool,
    /// only these causes
    #[arg(long)]
    cause: Vec<Cause>,
    /// A..B, without B
    #[arg(long, value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// what cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let seeds = arguments.seeds.clone().unwrap_or(FIRST..FIRST + if arguments.quick { QUICK_SEEDS } else { SEEDS });
    if seeds.start < UNSEEN {
        println!("Seeds below {UNSEEN} may have been tuned on: these figures say little.\n");
    }
    let mut bench = tables::Bench::new(seeds, &arguments);
    let wanted = |table| arguments.table.is_empty() || arguments.table.contains(&table);
    if wanted(1) {
        bench.causes();
    }
    if wanted(2) {
        bench.routes();
    }
    if wanted(3) {
        bench.curves();
    }
    if wanted(7) {
        bench.size();
    }
    if wanted(4) {
        bench.reliability();
    }
    if wanted(5) && !arguments.simulated {
        nezha::table();
    }
    if wanted(6) && !arguments.simulated {
        bench.likeness();
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let parse = || {
        let (first, end) = text.split_once("..")?;
        Some(first.parse().ok()?..end.parse().ok()?)
    };
    parse().filter(|seeds| !seeds.is_empty()).ok_or_else(|| format!("{text:?} is no range of seeds such as 7000000..7000020"))
}
