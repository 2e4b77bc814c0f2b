//! The tables: which cases stand in which, and how they are printed.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum as _;
use tracelab::mystery::Cause;
use tracelab::topology::{Route, Topology};

use crate::case::{Case, Claim, Run, Source};
use crate::{Arguments, likeness};

const CALLS: u64 = 2_000;
/// What strikes one call in a thousand needs more of them.
const MANY_CALLS: u64 = 20_000;
const CONCURRENCY: usize = 100;
/// A press that fans out may be hundreds of calls; these many at a time keep two cores busy.
const FEW: usize = 4;
const MANY_SPANS: u64 = 1_000_000;

pub struct Bench {
    seeds: Range<u64>,
    causes: Vec<Cause>,
    simulated: bool,
    real: bool,
    wrong: bool,
    /// Of all runs so far.
    claims: Vec<Claim>,
}

impl Bench {
    pub fn new(seeds: Range<u64>, arguments: &Arguments) -> Self {
        let all = Cause::value_variants().iter().copied();
        let causes = all.filter(|cause| arguments.cause.is_empty() || arguments.cause.contains(cause)).collect();
        Self { seeds, causes, simulated: arguments.simulated, real: arguments.real, wrong: arguments.wrong, claims: Vec::new() }
    }

    /// Table 1: every cause.
    pub fn causes(&mut self) {
        println!("Table 1. Culprit and cause first, 3 × 30, straight; {} seeds from {}", self.count(), self.seeds.start);
        println!("Budget: all of them; none: 19 of 20.\n");
        heading();
        let topology = Topology::new(3, 30, Route::Straight).unwrap();
        for cause in self.causes.clone() {
            let calls = if cause == Cause::RareSleep { MANY_CALLS } else { CALLS };
            self.row(case(cause, topology, calls, Source::Real));
        }
        println!();
    }

    /// Table 2: other routes and other topologies.
    pub fn routes(&mut self) {
        println!("Table 2. The same on other routes and topologies\n");
        let topologies = [
            (3, 30, Route::Random),
            (3, 30, Route::All),
            (2, 5, Route::Straight),
            (2, 5, Route::Random),
            (2, 5, Route::All),
            (5, 12, Route::Straight),
            (5, 12, Route::Random),
            (5, 12, Route::All),
        ];
        for (layers, width, route) in topologies {
            let topology = Topology::new(layers, width, route).unwrap();
            heading();
            for cause in self.causes.clone() {
                let width = u64::from(width);
                // The real sandbox first where it takes some seconds, then what it would take too long for. On route `all` every
                // press waits for a culprit of the last layer, so the sandbox makes fewer of them. Where a press is 931 or 22,621
                // calls, every button is pressed 20 times, or three: more than a million spans. A culprit of layer 0 is met no
                // oftener than that, and what strikes rarely, or only those that queue, may not have struck at all.
                let (real, simulated) = match (cause, route, topology.calls()) {
                    (_, Route::All, 1_000..) => (None, Some(3 * width)),
                    (_, Route::All, 100..) => (None, Some(20 * width)),
                    (Cause::RareSleep, ..) => (None, Some(MANY_CALLS)),
                    (_, Route::All, _) => (Some(CALLS / 5), Some(CALLS)),
                    (_, Route::Random, _) => (Some(CALLS), Some(MANY_CALLS)),
                    (_, Route::Straight, _) => (Some(CALLS), None),
                };
                for (calls, source) in [(real, Source::Real), (simulated, Source::Simulated)] {
                    if let Some(calls) = calls {
                        self.row(case(cause, topology, calls, source));
                    }
                }
            }
            println!();
        }
    }

    /// Table 3: fewer calls, weaker faults.
    pub fn curves(&mut self) {
        if self.real {
            return;
        }
        println!(
            "Table 3. Right of {} by number of calls and by strength; simulated, 3 × 30, straight, upstream random",
            self.count()
        );
        println!("Strengths at {CALLS} calls, rare-sleep at {MANY_CALLS}; a strength changes delays, shares and numbers of keys\n");
        let calls = [50, 200, CALLS];
        let strengths = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02];
        print!("{:<14}", "cause");
        calls.iter().for_each(|calls| print!("{:>8}", format!("{calls} c")));
        strengths.iter().for_each(|strength| print!("{:>8}", format!("× {strength}")));
        println!();
        let mut wrong = Vec::new();
        for cause in self.causes.clone() {
            let route = if cause == Cause::Upstream { Route::Random } else { Route::Straight };
            let topology = Topology::new(3, 30, route).unwrap();
            let most = if cause == Cause::RareSleep { MANY_CALLS } else { CALLS };
            print!("{:<14}", cause.to_string());
            let by_calls = calls.iter().map(|calls| (*calls, 1.0));
            let by_strength = strengths.iter().map(|strength| (most, *strength));
            let mut last = None;
            for (calls, strength) in by_calls.chain(by_strength) {
                // These faults have no strength: they are there or not.
                if strength < 1.0 && matches!(cause, Cause::LostContext | Cause::None) {
                    print!("{:>8}", "–");
                    continue;
                }
                // The last column by calls is the first by strength; what is measured once counts once.
                if last != Some((calls, strength)) {
                    let runs = self.measured(Case { strength, ..case(cause, topology, calls, Source::Simulated) });
                    print!("{:>8}", right(&runs));
                    let runs = runs.into_iter().filter(|run| !run.grade.is_right());
                    wrong.extend(runs.map(|run| format!("    {calls} calls × {strength}, {}", Wrong(&run))));
                } else {
                    print!("{:>8}", "″");
                }
                last = Some((calls, strength));
                flush();
            }
            println!();
        }
        println!();
        if self.wrong {
            wrong.iter().for_each(|line| println!("{line}"));
            println!();
        }
    }

    /// Table 7: a million spans of a thousand services, one seed.
    pub fn size(&mut self) {
        if self.real {
            return;
        }
        println!("Table 7. A thousand services and a million spans\n");
        heading();
        let topology = Topology::new(5, 200, Route::Straight).unwrap();
        let seeds = self.seeds.clone();
        self.seeds.end = seeds.start + 1;
        for cause in self.causes.clone() {
            let calls = MANY_SPANS / (2 * topology.calls() + 1);
            // As many callers a button as elsewhere, or nobody would queue.
            let concurrency = CONCURRENCY * usize::from(topology.width) / 30;
            self.row(Case { concurrency, ..case(cause, topology, calls, Source::Simulated) });
        }
        self.seeds = seeds;
        println!();
    }

    /// Table 4: what a confidence is worth, over all runs above.
    pub fn reliability(&self) {
        println!("Table 4. Reliability of the confidence, over all {} suspects named above", self.claims.len());
        println!("Budget: a bin of ten cases or more is at most .1 off.\n");
        println!("{:<12}{:>8}{:>12}{:>10}{:>12}", "confidence", "cases", "mean", "right", "difference");
        for bin in 0..10 {
            let of = |claim: &&Claim| ((claim.confidence * 10.0).floor().clamp(0.0, 9.0) as u32) == bin;
            let claims: Vec<&Claim> = self.claims.iter().filter(of).collect();
            if claims.is_empty() {
                continue;
            }
            let count = claims.len() as f64;
            let mean = claims.iter().map(|claim| claim.confidence).sum::<f64>() / count;
            let share = claims.iter().filter(|claim| claim.right).count() as f64 / count;
            let off = share - mean;
            let mark = if claims.len() >= 10 && off.abs() > 0.1 { "  missed" } else { "" };
            let range = format!(".{bin} to {:.1}", f64::from(bin + 1) / 10.0);
            println!("{range:<12}{:>8}{mean:>12.3}{share:>10.3}{off:>12.3}{mark}", claims.len());
        }
        println!();
    }

    /// Table 6: what the figures of simulated rows rest on.
    pub fn likeness(&self) {
        println!("Table 6. Sandbox (left) and simulation: p10, p50, p90, p99 in microseconds; 3 × 30, seed {}\n", self.seeds.start);
        // On route `all` every button once: 56,000 spans.
        for (route, calls) in [(Route::Straight, CALLS), (Route::Random, CALLS), (Route::All, 30)] {
            let topology = Topology::new(3, 30, route).unwrap();
            for cause in &self.causes {
                let case = case(*cause, topology, calls, Source::Real);
                // Other routes are compared where they matter: what fails, and what is not wrong at all.
                let telling = matches!(cause, Cause::Failure | Cause::Upstream | Cause::None);
                if case.is_possible() && (route == Route::Straight || telling) {
                    likeness::print(case, self.seeds.start);
                }
            }
        }
        println!();
    }

    fn row(&mut self, case: Case) {
        let source = if self.simulated { Source::Simulated } else { case.source };
        let case = Case { source, ..case };
        if !case.is_possible() || (self.real && source != Source::Real) {
            return;
        }
        let runs = self.measured(case);
        let Case { cause, topology: Topology { layers, width, route }, calls, source, .. } = case;
        let share = |is: fn(&Run) -> bool| runs.iter().filter(|run| is(run)).count();
        let mean = |of: fn(&Run) -> usize| runs.iter().map(of).sum::<usize>() as f64 / runs.len() as f64;
        let took = runs.iter().map(|run| run.took).sum::<Duration>() / runs.len() as u32;
        let missed = if is_enough(cause, &runs) { "" } else { "  missed" };
        println!(
            "{:<14}{:<18}{calls:>7} {source:<10}{:>9}{:>8}{:>8}{:>9.0}{:>10.0}{:>9}{missed}",
            cause.to_string(),
            format!("{layers} × {width} {route}"),
            right(&runs),
            share(|run| run.grade.place),
            share(|run| run.grade.cause),
            mean(|run| run.met),
            mean(|run| run.spans),
            format!("{:.0} ms", took.as_secs_f64() * 1e3),
        );
        for run in runs.iter().filter(|run| !run.grade.is_right()) {
            println!("    {}", Wrong(run));
        }
        flush();
    }

    fn measured(&mut self, case: Case) -> Vec<Run> {
        let runs = case.runs(self.seeds.clone());
        self.claims.extend(runs.iter().flat_map(|run| &run.claims));
        runs
    }

    fn count(&self) -> u64 {
        self.seeds.end - self.seeds.start
    }
}

fn case(cause: Cause, topology: Topology, calls: u64, source: Source) -> Case {
    let concurrency = if topology.calls() > 100 { FEW } else { CONCURRENCY };
    Case { cause, topology, strength: 1.0, calls, concurrency, source }
}

/// One run that went wrong, as a line.
struct Wrong<'a>(&'a Run);

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Run { seed, answer, met, first, .. } = self.0;
        write!(f, "{seed}: {answer}; met {met} times; said {first}")
    }
}

fn heading() {
    println!(
        "{:<14}{:<18}{:>7} {:<10}{:>9}{:>8}{:>8}{:>9}{:>10}{:>9}",
        "cause", "services", "presses", "traces", "right", "place", "cause", "met", "spans", "took"
    );
}

fn right(runs: &[Run]) -> String {
    format!("{}/{}", runs.iter().filter(|run| run.grade.is_right()).count(), runs.len())
}

/// The budget: all of them; where nothing is wrong one in twenty may be suspected.
fn is_enough(cause: Cause, runs: &[Run]) -> bool {
    let wrong = runs.iter().filter(|run| !run.grade.is_right()).count();
    if cause == Cause::None { wrong * 20 <= runs.len() } else { wrong == 0 }
}

fn flush() {
    use std::io::Write as _;
    let _ = std::io::stdout().flush();
}
