//! Chapter 9: presses one at a time and presses many at once, and the service that queues only then.

use super::hunt::{Press, guessed, median, presses, runs};
use crate::learn::{Evidence, Step};
use crate::mystery::Cause;

pub const START: &str = "tracelab up --mystery contention";
/// A press is one of a busy time when so many others are on their way as it begins.
const BUSY: usize = 10;
const BUSY_CALLS: usize = 1_000;
/// What the crowd slows so many times as much as half of the buttons is more than a busy machine.
const STANDS_OUT: f64 = 2.0;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![runs(evidence, Cause::Contention, START)];
    if !steps[0].is_done() {
        return steps;
    }
    let (alone, busy) = by_company(presses(evidence));
    steps.push(quiet(evidence, &alone));
    if steps[1].is_done() {
        steps.push(loaded(&busy));
    }
    if steps.last().is_some_and(Step::is_done) && steps.len() == 3 {
        steps.push(guessed(evidence, Cause::Contention, &look(&alone, &busy)));
    }
    steps
}

/// Those that met no other press, and those that met many.
fn by_company(mut presses: Vec<Press<'_>>) -> (Vec<Press<'_>>, Vec<Press<'_>>) {
    presses.sort_unstable_by_key(|press| press.root.start());
    let (mut alone, mut busy) = (Vec::new(), Vec::new());
    // Ends of those that are on their way.
    let mut running: Vec<u64> = Vec::new();
    for (place, press) in presses.iter().enumerate() {
        running.retain(|end| *end > press.root.start());
        let next = presses.get(place + 1).map_or(u64::MAX, |next| next.root.start());
        if running.is_empty() && next >= press.end() {
            alone.push(*press);
        }
        if running.len() >= BUSY {
            busy.push(*press);
        }
        running.push(press.end());
    }
    (alone, busy)
}

fn quiet(evidence: &Evidence, alone: &[Press<'_>]) -> Step {
    let goal = "every button was pressed while nobody else pressed";
    let pressed = (0..evidence.width).filter(|number| of(alone, &format!("dummy-0-{number}")).next().is_some()).count();
    let saw = format!("{} such presses, {pressed} of {} buttons among them", alone.len(), evidence.width);
    if evidence.width > 0 && pressed >= usize::from(evidence.width) {
        return Step::done(goal, saw);
    }
    let hints = [
        "first see what is ordinary: each button some times, one press at a time",
        "`load` has 100 callers unless --concurrency says otherwise",
        "tracelab load 60 --concurrency 1",
    ];
    Step::open(goal, saw, &hints)
}

fn loaded(busy: &[Press<'_>]) -> Step {
    let goal = format!("at least {BUSY_CALLS} presses while {BUSY} others were on their way");
    let saw = format!("{} such presses", busy.len());
    if busy.len() >= BUSY_CALLS {
        return Step::done(goal, saw);
    }
    let hints = ["now make it busy: the same buttons with many callers at once", "tracelab load 3000"];
    Step::open(goal, saw, &hints)
}

fn of<'p, 'a>(presses: &'p [Press<'a>], button: &str) -> impl Iterator<Item = &'p Press<'a>> {
    presses.iter().filter(move |press| press.button == button)
}

fn look(alone: &[Press<'_>], busy: &[Press<'_>]) -> Vec<String> {
    let first =
        "compare the two tables of `load`, button by button: which one did the crowd make slower than all others?".to_owned();
    let ms = |presses: &[Press<'_>], button: &str| median(of(presses, button).map(|press| press.ms()));
    let mut buttons: Vec<&str> = busy.iter().map(|press| press.button).collect();
    buttons.sort_unstable();
    buttons.dedup();
    let times = |button: &str| ms(busy, button) / ms(alone, button).max(1.0);
    let ordinary = median(buttons.iter().map(|button| times(button)));
    let Some((button, most)) = buttons.iter().map(|button| (button, times(button))).max_by(|one, other| one.1.total_cmp(&other.1))
    else {
        return vec![first];
    };
    if most < STANDS_OUT * ordinary {
        return vec![
            first,
            "all of them became slower alike: your machine is the queue that you see; have it do less at a time, on few buttons".to_owned(),
            "tracelab load 500 --buttons 0,1,2 --concurrency 20, and so on with the next three, until one is far behind the other two"
                .to_owned(),
        ];
    }
    let number = button.trim_start_matches("dummy-0-");
    vec![
        first,
        format!(
            "half of the presses of button {number} took more than {:.0} ms alone, and more than {:.0} ms in the crowd",
            ms(alone, button),
            ms(busy, button)
        ),
        format!("open a slow trace of button {number} and one from when it was quiet, and see whose self time grew"),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::hunt::tests::{Pressed, Stage, evidence, open, passes};
    use super::*;
    use crate::diagnose::model::Traces;
    use crate::learn::State;
    use crate::mystery::{Mystery, Verdict, draw};
    use crate::simulation::{Load, simulate};
    use crate::topology::{Route, Topology};

    const WIDTH: u16 = 30;

    fn hidden(cause: Cause) -> Mystery {
        draw(9, cause, Topology::new(3, WIDTH, Route::Straight).unwrap(), 1.0).unwrap()
    }

    fn seen(traces: Traces, cause: Cause, verdict: Option<Verdict>) -> Evidence {
        Evidence { width: WIDTH, ..evidence(traces, cause, 0, verdict) }
    }

    /// One press at a time first, then a hundred callers at once.
    fn both() -> Traces {
        let mystery = hidden(Cause::Contention);
        let slowly = simulate(&mystery, &Load { calls: 60, concurrency: 1, ..Load::default() });
        let at_once = simulate(&mystery, &Load { calls: 3_000, seed: 1, ..Load::default() });
        joined(&slowly, &at_once)
    }

    /// The one after the other.
    fn joined(first: &Traces, second: &Traces) -> Traces {
        use crate::diagnose::model::{Builder, NewSpan, Parent, Resource};
        let mut builder = Builder::default();
        let mut later = 0;
        for traces in [first, second] {
            let mut end = 0;
            for trace in 0..traces.len() {
                for span in traces.of(trace) {
                    let service = builder.text(traces.texts.get(traces.service(span)));
                    let resource = builder.resource(Resource { service, attributes: vec![] });
                    let parent = match span.parent {
                        Parent::Span(parent) => format!("{:016x}", traces.of(trace)[parent as usize].id),
                        Parent::Root | Parent::Missing => String::new(),
                    };
                    end = end.max(span.end);
                    builder.push(NewSpan {
                        trace_id: &traces.name(traces.id(trace)),
                        span_id: &format!("{:016x}", span.id),
                        parent_id: &parent,
                        operation: traces.texts.get(span.operation),
                        resource,
                        start: span.start + later,
                        duration: i64::try_from(span.duration()).unwrap(),
                        kind: span.kind,
                        status: span.status,
                        attributes: &[],
                    });
                }
            }
            later = end - traces.spans().iter().map(|span| span.start).min().unwrap();
        }
        builder.finish()
    }

    #[test]
    fn presses_alone_presses_at_once_and_the_right_guess_pass() {
        assert!(passes(&check(&seen(both(), Cause::Contention, Some(Verdict::Right)))));
    }

    #[test]
    fn an_untouched_stage_and_the_chapter_before_do_not() {
        assert_eq!(open(&check(&Evidence::default())), "a mystery of cause contention runs");
        let customer = simulate(&hidden(Cause::Customer), &Load { calls: 1_000, ..Load::default() });
        assert_eq!(open(&check(&seen(customer, Cause::Customer, Some(Verdict::Right)))), "a mystery of cause contention runs");
        let nothing = check(&seen(Traces::default(), Cause::Contention, None));
        assert_eq!(open(&nothing), "every button was pressed while nobody else pressed");
    }

    #[test]
    fn only_quiet_or_only_busy_presses_do_not() {
        let load = |calls, concurrency| simulate(&hidden(Cause::Contention), &Load { calls, concurrency, ..Load::default() });
        let busy = check(&seen(load(3_000, 100), Cause::Contention, Some(Verdict::Right)));
        assert_eq!(open(&busy), "every button was pressed while nobody else pressed");
        let quiet = check(&seen(load(3_000, 1), Cause::Contention, Some(Verdict::Right)));
        assert_eq!(open(&quiet), "at least 1000 presses while 10 others were on their way");
    }

    #[test]
    fn where_the_machine_is_the_queue_the_hints_say_so() {
        let press = |button: &'static str, ms| {
            let mut stage = Stage::default();
            stage.press(&Pressed { at_ms: 0, way: &[(button, ms)], fails: false });
            evidence(stage.finish(), Cause::Contention, 0, None)
        };
        let [quiet, slow] = [5, 50].map(|ms| ["dummy-0-0", "dummy-0-1", "dummy-0-2"].map(|button| press(button, ms)));
        let [quiet, slow] = [&quiet, &slow].map(|of| of.iter().flat_map(presses).collect::<Vec<_>>());
        assert!(look(&quiet, &slow)[1].contains("your machine is the queue"));
    }

    #[test]
    fn the_hints_name_the_button_that_grew_and_never_the_service() {
        let steps = check(&seen(both(), Cause::Contention, None));
        assert_eq!(open(&steps), "your guess is right");
        let State::Open { hints, .. } = &steps[3].state else { unreachable!() };
        let hints = hints.join("\n");
        let culprit = hidden(Cause::Contention).culprit.unwrap();
        assert!(hints.contains(&format!("presses of button {} took", culprit.number)), "{hints}");
        assert!(!hints.contains(&culprit.to_string()), "{hints}");
    }
}
