//! Is the simulation like the sandbox? The same mysteries in both, side by side.

use tracelab::diagnose::Traces;
use tracelab::diagnose::model::{Kind, Parent, Span, Status};
use tracelab::mystery::{Cause, Mystery, draw};
use tracelab::simulation::{Load, simulate};

use crate::case::{Case, Source};

/// Values of one kind from all traces of a case, in microseconds.
type Sample = (&'static str, Vec<f64>);

/// One seed of `case`, real and simulated.
pub fn print(case: Case, seed: u64) {
    let mystery = draw(seed, case.cause, case.topology, 1.0).unwrap();
    let real = Case { source: Source::Real, ..case }.traces(&mystery, seed);
    // The sandbox starts a Redis only where the cause needs it.
    let (calls, concurrency, redis) = (case.calls, case.concurrency, case.cause == Cause::Redis);
    let simulated = simulate(&mystery, &Load { calls, concurrency, seed, redis, ..Load::default() });
    println!("{}, {}", case.cause, case.topology.route);
    let spans = |traces: &Traces| format!("{} traces, {} spans, {} errors", traces.len(), traces.span_count(), errors(traces));
    println!("    {:<22}{:>40}  {:>40}", "", spans(&real), spans(&simulated));
    for ((name, mut real), (_, mut simulated)) in samples(&real, &mystery).into_iter().zip(samples(&simulated, &mystery)) {
        if !real.is_empty() || !simulated.is_empty() {
            println!("    {name:<22}{:>40}  {:>40}", quantiles(&mut real), quantiles(&mut simulated));
        }
    }
}

fn errors(traces: &Traces) -> usize {
    traces.spans().iter().filter(|span| span.status == Status::Error).count()
}

fn samples(traces: &Traces, mystery: &Mystery) -> Vec<Sample> {
    let culprit = mystery.culprit.and_then(|culprit| traces.texts.find(&culprit.to_string()));
    let frontend = traces.texts.find("frontend");
    // The Redis of a real one listens on any port.
    let is = |span: &Span, operation: &str| traces.texts.get(span.operation).starts_with(operation);
    let [mut gaps, mut answers, mut front, mut innocent, mut guilty, mut sets, mut pipelines, mut whole] =
        <[Vec<f64>; 8]>::default();
    for trace in 0..traces.len() {
        let spans = traces.of(trace);
        let mut own: Vec<f64> = spans.iter().map(|span| span.duration() as f64 / 1e3).collect();
        whole.push(own[0]);
        for span in spans {
            let Parent::Span(parent) = span.parent else { continue };
            let caller = &spans[parent as usize];
            if span.kind == Kind::Client {
                own[parent as usize] -= span.duration() as f64 / 1e3;
            }
            if caller.kind == Kind::Client {
                gaps.push(span.start.saturating_sub(caller.start) as f64 / 1e3);
                answers.push(caller.end.saturating_sub(span.end) as f64 / 1e3);
            }
        }
        for (span, own) in spans.iter().zip(own) {
            match Some(traces.service(span)) {
                _ if is(span, "SET ") => sets.push(own),
                _ if is(span, "PIPELINE SET ") => pipelines.push(own),
                _ if span.kind != Kind::Server => {}
                service if service == frontend => front.push(own),
                service if service == culprit => guilty.push(own),
                _ => innocent.push(own),
            }
        }
    }
    vec![
        ("client to server", gaps),
        ("server to client", answers),
        ("self: frontend", front),
        ("self: innocent", innocent),
        ("self: culprit", guilty),
        ("Redis, one key", sets),
        ("Redis, pipeline", pipelines),
        ("whole trace", whole),
    ]
}

fn quantiles(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get(((values.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or_default();
    format!("{:.0} {:.0} {:.0} {:.0}", at(0.1), at(0.5), at(0.9), at(0.99))
}
