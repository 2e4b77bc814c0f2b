//! Chapter 10: the service that writes key by key is found, and replaced by one that sends all keys together.

use std::collections::BTreeMap;

use super::stand_in::{TOO_SOON, before, median, placed};
use crate::diagnose::model::Kind;
use crate::learn::evidence::Span;
use crate::learn::{Evidence, Step};
use crate::mystery::{Cause, Verdict};

/// Who sends so many commands of its own for one request, sends them one by one.
const MANY: f64 = 20.0;
/// A service's requests, so that one odd moment is none.
const REQUESTS: usize = 3;

pub fn check(evidence: &Evidence) -> Vec<Step> {
    let goal = "traces of a service that writes to Redis key by key";
    let mut spans: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for request in before(evidence) {
        spans.entry(request.service()).or_default().push(commands(request) as f64);
    }
    spans.retain(|_, spans| spans.len() >= REQUESTS);
    let writers = spans.into_iter().filter_map(|(service, spans)| Some((service, median(spans)?)));
    let many: BTreeMap<&str, f64> = writers.filter(|(_, spans)| *spans >= MANY).collect();
    let Some(most) = many.values().copied().max_by(f64::total_cmp) else {
        let hints = [
            "`tracelab up --mystery redis` has a service do so, and `tracelab load 300` presses each button ten times",
            "no Redis, no such traces: `redis-server` has to be on the PATH, or `--redis URL` names one that runs",
            TOO_SOON,
        ];
        return vec![Step::open(goal, "no request with many calls to Redis", &hints)];
    };
    let mut steps = vec![Step::done(goal, format!("up to {most:.0} calls to Redis for one request"))];

    let goal = "your guess says who it is";
    if evidence.verdict() != Some(Verdict::Right) || evidence.cause().is_some_and(|cause| cause != Cause::Redis) {
        let hints = [
            "sort the search page by the number of spans, and open the first trace",
            "some services write all keys in one PIPELINE SET; one has a SET for each",
            "`tracelab guess --service SERVICE --cause redis`, with the service over the long row of SETs",
        ];
        let saw = if evidence.verdict().is_none() { "there was no guess yet" } else { "the last one was not right" };
        steps.push(Step::open(goal, saw, &hints));
        return steps;
    }
    steps.push(Step::done(goal, "it was right"));

    let services: Vec<&str> = many.keys().copied().collect();
    let Some(program) = placed(evidence, &services, "10-redis", &mut steps) else { return steps };
    let goal = "it sends all keys together, in whole traces";
    let counts: Vec<usize> = program.requests.iter().copied().map(commands).collect();
    let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    steps.push(if least == 0 {
        let hints = [
            "the values still have to be written, and a span has to show it",
            "redis_span(url, \"PIPELINE SET\", KEYS) begins one before the pipeline is sent, and .span().end() ends it after",
        ];
        Step::open(goal, "there are requests without a call to Redis", &hints)
    } else if most > 1 {
        let hints = [
            "what is in the loop is done for each key: which of it needs to be?",
            "fill a redis::pipe() in the loop, and send it after the loop, once",
        ];
        Step::open(goal, format!("up to {most} calls to Redis for one request"), &hints)
    } else if !program.traces_are_whole(evidence) {
        let hints = ["what came with the request has to go on", "request.call_next() is still to be called after writing"];
        Step::open(goal, "some of the traces end too early", &hints)
    } else {
        Step::done(goal, "one call to Redis for each request")
    });
    steps
}

fn commands(request: Span<'_>) -> usize {
    let is_redis = |span: &Span<'_>| span.kind() == Kind::Client && span.attribute("db.system.name") == Some("redis");
    request.children().filter(is_redis).count()
}

#[cfg(test)]
mod tests {
    use super::super::presses::{Hop, Presses, open};
    use super::*;

    const BY_KEY: Hop<'_> = Hop {
        service: "dummy-1-1",
        version: "v1",
        of_the_stage: true,
        pod: "",
        node: "",
        own_ms: 5,
        redis_calls: 150,
        passes_on: true,
        calls: true,
        beside: &[],
    };
    const TOGETHER: Hop<'_> = Hop { version: "v2", of_the_stage: false, redis_calls: 1, ..BY_KEY };
    const RIGHT: Option<(Cause, Verdict)> = Some((Cause::Redis, Verdict::Right));

    /// What is open once the buttons were pressed, and then the one of the service, in whose place this is.
    fn after(service: Hop<'_>, guess: Option<(Cause, Verdict)>) -> Option<String> {
        let mut made = Presses::new();
        let other = Hop { redis_calls: 1, ..Hop::stage("dummy-1-0") };
        made.press(5, &[Hop::stage("dummy-0-0"), other, Hop::stage("dummy-2-0")]);
        for service in [BY_KEY, service] {
            made.press(5, &[Hop::stage("dummy-0-1"), service, Hop::stage("dummy-2-1")]);
        }
        open(&check(&made.evidence(guess))).map(str::to_owned)
    }

    #[test]
    fn one_pipeline_passes() {
        assert_eq!(after(TOGETHER, RIGHT), None);
    }

    #[test]
    fn nothing_no_guess_and_the_exercise_do_not() {
        let begin = "traces of a service that writes to Redis key by key";
        assert_eq!(open(&check(&Evidence::default())), Some(begin));
        let mut ordinary = Presses::new();
        ordinary.press(5, &[Hop::stage("dummy-0-1"), Hop { redis_calls: 1, ..BY_KEY }, Hop::stage("dummy-2-1")]);
        assert_eq!(open(&check(&ordinary.evidence(RIGHT))), Some(begin), "any other chapter's, beside a Redis");
        for guess in [None, Some((Cause::Redis, Verdict::Half)), Some((Cause::Contention, Verdict::Right))] {
            assert_eq!(after(TOGETHER, guess), Some("your guess says who it is".to_owned()));
        }
        let place = Some("your own program, version v2, answers in that service's place".to_owned());
        assert_eq!(after(Hop { of_the_stage: false, ..BY_KEY }, RIGHT), place, "the exercise");
        assert_eq!(after(Hop { of_the_stage: true, ..TOGETHER }, RIGHT), place, "the stage's own v2");
        let together = Some("it sends all keys together, in whole traces".to_owned());
        for wrong in [
            Hop { redis_calls: 150, ..TOGETHER },
            Hop { redis_calls: 0, ..TOGETHER },
            Hop { passes_on: false, ..TOGETHER },
            Hop { calls: false, ..TOGETHER },
        ] {
            assert_eq!(after(wrong, RIGHT), together);
        }
    }
}
