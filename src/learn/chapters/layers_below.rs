//! Chapter 13: two nginx on the way of a press, and a queue in one of them.

use crate::learn::evidence::{Span, Trace};
use crate::learn::{Evidence, Stage, Step};

/// As whom the stage's two nginx send spans.
const NGINX: [&str; 2] = ["edge", "gateway"];
/// What nginx says of a request that its queue held up.
const STATUS: &str = "nginx.limit_req_status";
const DELAYED: &str = "DELAYED";
/// So many presses must have spent most of their time in the queue: some wait a little at any bound.
const PRESSES: usize = 20;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![passed(evidence)];
    if steps.iter().all(Step::is_done) {
        let queued = NGINX.map(|nginx| evidence.presses().filter(|press| waits_in(*press, nginx)).count());
        steps.push(waited(evidence, queued));
        if steps.iter().all(Step::is_done) {
            steps.push(named(evidence, queued));
        }
    }
    steps
}

fn passed(evidence: &Evidence) -> Step {
    let goal = "presses pass an nginx that makes spans";
    let passed = evidence.presses().filter(|press| NGINX.iter().any(|nginx| press.has_service(nginx))).count();
    if passed > 0 {
        return Step::done(goal, format!("{passed} presses did"));
    }
    let presses = evidence.presses().count();
    let saw = format!("{presses} presses are there, and no span of {} or {} is in them", NGINX[0], NGINX[1]);
    let start = format!("end `tracelab up`, start the stage with {}, and press a button", Stage::Edge.start());
    let hints = [
        "`tracelab up` has no nginx: this chapter needs the compose stage, which needs Docker",
        &start,
        "without Docker, read the chapter and go on: tracelab learn next 18",
    ];
    Step::open(goal, saw, &hints)
}

fn waited(evidence: &Evidence, queued: [usize; 2]) -> Step {
    let goal = "some presses spend most of their time inside nginx, in its queue";
    let most = queued.into_iter().max().unwrap_or_default();
    if most >= PRESSES {
        return Step::done(goal, format!("{most} presses do"));
    }
    let held_up = |press: &Trace<'_>| press.spans().any(|span| span.attribute(STATUS) == Some(DELAYED));
    let saw = match evidence.presses().filter(held_up).count() {
        0 => "nobody had to wait in one".to_owned(),
        few => format!("{few} presses had to wait in one, {most} of them for most of their time"),
    };
    let hints = [
        "a queue shows under load only, and this stage has none unless it is told so",
        "start the stage again with TRACELAB_GATEWAY_QUEUE=long in front of the same command: 50 calls a second go on, the others wait",
        "then tracelab load 1000 --concurrency 40: forty callers want more than 50 calls a second",
    ];
    Step::open(goal, saw, &hints)
}

fn named(evidence: &Evidence, queued: [usize; 2]) -> Step {
    let goal = "--service is the nginx that queues";
    let Some(answer) = &evidence.answer.service else {
        let hints = [
            "open one of the slowest traces that `load` lists: which span is long before its first child begins?",
            "its tags have nginx.limit_req_status; say whose span it is: tracelab learn check 13 --service SERVICE",
        ];
        return Step::open(goal, "no service is named", &hints);
    };
    let of = NGINX.iter().zip(queued).find(|(nginx, _)| *nginx == answer).map_or(0, |(_, queued)| queued);
    if of >= PRESSES {
        return Step::done(goal, format!("{of} presses spent most of their time in {answer} itself"));
    }
    let saw = format!("{of} presses spent most of their time in {answer} itself");
    let hints = [
        "who calls the one that queues waits as long as it does: look at self time, not at duration",
        "search for tag nginx.limit_req_status=DELAYED: whose spans have it?",
        "there are two nginx, edge in front of the frontend and gateway behind it; only one was told to queue",
    ];
    Step::open(goal, saw, &hints)
}

/// Most of its time is one span's of this nginx, which says that it held the request up.
fn waits_in(press: Trace<'_>, nginx: &str) -> bool {
    let waits = |span: Span<'_>| {
        span.service() == nginx && span.attribute(STATUS) == Some(DELAYED) && span.self_ms() > press.duration_ms() / 2.0
    };
    press.spans().any(waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Answer;
    use crate::learn::chapters::made::done;
    use crate::mystery::{Cause, draw};
    use crate::simulation::{Load, Nginx, simulate};
    use crate::topology::{Route, Topology};

    const BOTH: Nginx = Nginx { edge: Some("edge"), gateway: Some("gateway"), edge_limit: None, gateway_limit: None };
    /// As in nginx/queue/long.conf.
    const LONG: Option<f64> = Some(50.0);

    fn after(cause: Cause, nginx: Nginx, calls: u64, service: Option<&str>) -> (usize, bool) {
        let topology = Topology::new(3, 30, Route::Straight).unwrap();
        let mystery = draw(3, cause, topology, 1.0).unwrap();
        let traces = simulate(&mystery, &Load { calls, concurrency: 40, nginx, ..Load::default() });
        let answer = Answer { service: service.map(ToOwned::to_owned), ..Answer::default() };
        done(check, &Evidence { traces, answer, ..Evidence::default() })
    }

    #[test]
    fn presses_that_wait_in_the_gateway_and_its_name_pass() {
        let queue = Nginx { gateway_limit: LONG, ..BOTH };
        for cause in [Cause::None, Cause::Sleep] {
            assert_eq!(after(cause, queue, 1_000, Some("gateway")), (3, true));
        }
        for service in [None, Some("edge"), Some("frontend"), Some("dummy-0-3")] {
            assert_eq!(after(Cause::None, queue, 1_000, service), (2, false), "{service:?}");
        }
    }

    #[test]
    fn a_queue_at_the_edge_is_the_edges() {
        let queue = Nginx { edge_limit: LONG, ..BOTH };
        assert_eq!(after(Cause::None, queue, 1_000, Some("edge")), (3, true));
        assert_eq!(after(Cause::None, queue, 1_000, Some("gateway")), (2, false));
    }

    #[test]
    fn without_an_nginx_nothing_is_done_however_slow_a_service_is() {
        assert_eq!(after(Cause::Sleep, Nginx::default(), 300, Some("gateway")), (0, false));
        assert_eq!(done(check, &Evidence::default()), (0, false));
    }

    #[test]
    fn an_nginx_in_which_nobody_waits_is_not_enough() {
        assert_eq!(after(Cause::Sleep, BOTH, 300, Some("gateway")), (1, false));
        // A queue that holds up a handful.
        assert_eq!(after(Cause::None, Nginx { gateway_limit: LONG, ..BOTH }, 10, Some("gateway")), (1, false));
    }
}
