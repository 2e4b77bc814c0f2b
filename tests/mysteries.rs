//! Every cause through the binary: what design.md's table says of it is what its spans show, and v2 cures it.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/mystery.rs"]
mod mystery;
#[path = "support/required.rs"]
mod required;
#[path = "support/sandbox.rs"]
mod sandbox;

use std::collections::HashSet;
use std::time::Duration;

use clap::ValueEnum as _;
use mystery::{
    LONG_MS, SOMEBODY, STRONG_MS, client, names, pair, server, start, start_where, status, topology, trace, undisturbed, up,
};
use required::required;
use sandbox::{PATIENCE, Sandbox, Span, assignment, decoy, find, line_without_identity, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracelab::mystery::{Cause, Decoy, Mystery, Spoiled};
use tracelab::redis::Redis;
use tracelab::topology::{Route, ServiceName};

/// A fault that strikes a share of the requests strikes one of so many, but in one of ten thousand runs.
const ENOUGH: usize = 100;

/// A sandbox of so many layers in which a service of layer 1 fails and nothing else disturbs those who call it.
fn failing(layers: u16) -> (Sandbox, ServiceName) {
    let topology = topology(layers, 3, Route::Straight);
    let (seed, mystery) = find(Cause::Failure, topology, |mystery| {
        let culprit = mystery.culprit.unwrap();
        culprit.layer == 1 && undisturbed(mystery, culprit.number)
    });
    (up(Cause::Failure, topology, seed, &[]), mystery.culprit.unwrap())
}

#[tokio::test]
async fn a_failure_starts_in_the_culprit_and_is_passed_on_up_to_the_button() {
    let (sandbox, culprit) = failing(3);
    let mut failed = None;
    for _ in 0..ENOUGH {
        let (code, answer) = sandbox.press_as(SOMEBODY, culprit.number).await;
        if code != 200 {
            failed = Some((code, answer));
            break;
        }
    }
    let (code, answer) = failed.expect("at least a seventh of the calls fail");
    assert_eq!(code, 502);
    assert!(answer["error"].as_str().unwrap().contains("500"), "{answer}");
    let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 5).await;
    assert_eq!(spans.len(), 5, "the culprit calls nobody: {}", names(&spans));
    let before = ServiceName { layer: 0, ..culprit };
    assert_eq!(
        [status(server(&spans, culprit)), status(server(&spans, before)), status(server(&spans, "frontend"))],
        ["500", "500", "502"]
    );
    for span in &spans {
        assert_eq!(span.span["status"]["code"], 2, "{span:?}");
    }
    assert!(server(&spans, culprit).duration_ms() < LONG_MS, "it fails fast");

    sandbox.patch(culprit).await;
    for _ in 0..ENOUGH {
        assert_eq!(sandbox.press_as(SOMEBODY, culprit.number).await.0, 200);
    }
}

#[tokio::test]
async fn one_customer_is_slow_in_one_service_and_others_are_not() {
    let (sandbox, mystery, culprit) = start(Cause::Customer, pair());
    let customer = mystery.answer().customer.unwrap();
    let other = mystery.customers.shares().iter().map(|(name, _)| name).find(|name| **name != customer).unwrap();
    // Some of them fail, before anybody is called.
    let (_, spans) = trace(&sandbox, &customer, culprit.number, 3).await;
    assert!(server(&spans, culprit).self_ms(&spans) >= LONG_MS);
    let (code, spans) = trace(&sandbox, other, culprit.number, 5).await;
    assert!(code == 200 && server(&spans, "frontend").duration_ms() < LONG_MS);
    let elsewhere = (culprit.number + 1) % 3;
    let (_, spans) = trace(&sandbox, &customer, elsewhere, 5).await;
    assert!(server(&spans, "frontend").duration_ms() < LONG_MS, "only in the culprit");

    sandbox.patch(culprit).await;
    let (code, spans) = trace(&sandbox, &customer, culprit.number, 5).await;
    assert!(code == 200 && server(&spans, "frontend").duration_ms() < LONG_MS);
}

#[tokio::test]
async fn a_press_without_a_customer_is_made_for_one_of_the_population() {
    let (sandbox, mystery, culprit) = start(Cause::Sleep, pair());
    let known: HashSet<&str> = mystery.customers.shares().iter().map(|(name, _)| name.as_str()).collect();
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let answer = sandbox.press((culprit.number + 1) % 3).await;
        seen.insert(answer["customer"].as_str().unwrap().to_owned());
    }
    assert!(seen.len() > 1 && seen.iter().all(|name| known.contains(name.as_str())), "{seen:?}");
    let answer = sandbox.press(culprit.number).await;
    let customer = answer["customer"].as_str().unwrap();
    let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 5).await;
    for span in spans.iter().filter(|span| span.kind() == 2) {
        assert_eq!(span.attribute("customer.id").as_deref(), Some(customer), "{}", span.service);
    }
    let (_, answer) = sandbox.press_as(SOMEBODY, culprit.number).await;
    assert_eq!(answer["customer"], SOMEBODY, "what the caller sends wins");
}

#[tokio::test]
async fn only_requests_that_passed_the_one_who_spoils_suffer() {
    let topology = topology(3, 3, Route::Random);
    for slow in [true, false] {
        // Spoilt in layer 0, passed on by layer 1, suffered from in layer 2.
        // Whoever refuses does so only to who presses its button.
        let refuses = |mystery: &Mystery, service| matches!(decoy(mystery, service), Some(Decoy::Refusal { .. }));
        let (sandbox, mystery, culprit) = start_where(Cause::Upstream, topology, |mystery| {
            let calm = topology.services().all(|service| service.layer == 0 || !refuses(mystery, service));
            calm && matches!(
                (slow, mystery.suffering()),
                (true, Some((2, Spoiled::Slow { .. }))) | (false, Some((2, Spoiled::Fails)))
            )
        });
        let suffers = |spans: &[Span]| {
            let last = spans.iter().find(|span| span.kind() == 2 && span.service.starts_with("dummy-2-")).unwrap();
            if slow { last.duration_ms() >= LONG_MS } else { status(last) == "500" }
        };
        for number in (0..3).filter(|number| !refuses(&mystery, ServiceName { layer: 0, number: *number })) {
            let (code, spans) = trace(&sandbox, SOMEBODY, number, 7).await;
            assert_eq!(suffers(&spans), number == culprit.number, "{mystery:?}");
            assert_eq!(code == 502, !slow && number == culprit.number);
            assert!(server(&spans, ServiceName { layer: 0, number }).self_ms(&spans) < LONG_MS);
            assert!(!format!("{spans:?}").contains("variant"), "the mark reaches no span");
        }
        sandbox.patch(culprit).await;
        assert!(!suffers(&trace(&sandbox, SOMEBODY, culprit.number, 7).await.1));
    }
}

#[tokio::test]
async fn a_slow_network_is_in_the_call_and_in_neither_service() {
    let (sandbox, mystery, culprit) = start(Cause::Network, pair());
    let callee = mystery.answer().callee.unwrap();
    let (code, spans) = trace(&sandbox, SOMEBODY, culprit.number, 5).await;
    let (call, work) = (client(&spans, culprit), server(&spans, callee));
    assert_eq!((code, work.parent()), (200, call.id()));
    assert!(call.duration_ms() >= LONG_MS && work.start_ms() - call.start_ms() >= LONG_MS);
    assert!(work.duration_ms() < LONG_MS && server(&spans, culprit).self_ms(&spans) < LONG_MS);
    sandbox.patch(culprit).await;
    let (_, spans) = trace(&sandbox, SOMEBODY, culprit.number, 5).await;
    assert!(client(&spans, culprit).duration_ms() < LONG_MS);
}

#[tokio::test]
async fn who_loses_the_context_stays_in_the_trace_and_its_callees_leave_it() {
    let (sandbox, _, culprit) = start(Cause::LostContext, pair());
    let callee = ServiceName { layer: 1, ..culprit };
    let (code, answer) = sandbox.press_as(SOMEBODY, culprit.number).await;
    assert_eq!(code, 200);
    let mut found = Vec::new();
    let url = format!("{}/api/traces?service={callee}&lookback=1h&limit=10", sandbox.jaeger);
    let start = std::time::Instant::now();
    while found.is_empty() {
        assert!(start.elapsed() < PATIENCE, "no trace of {callee}");
        let traces: Value = sandbox.client.get(&url).send().await.unwrap().json().await.unwrap();
        found = traces["data"].as_array().unwrap().clone();
    }
    let other = found[0]["traceID"].as_str().unwrap();
    assert_ne!(answer["trace_id"], other);
    let fresh = sandbox.spans(other, 1).await;
    let root = server(&fresh, callee);
    assert_eq!((fresh.len(), root.parent(), root.attribute("customer.id")), (1, "", None));
    let spans = sandbox.spans(answer["trace_id"].as_str().unwrap(), 4).await;
    assert_eq!(spans.len(), 4);
    assert_eq!(client(&spans, culprit).parent(), server(&spans, culprit).id(), "the call itself stays");

    sandbox.patch(culprit).await;
    let (_, spans) = trace(&sandbox, SOMEBODY, culprit.number, 5).await;
    assert_eq!(server(&spans, callee).parent(), client(&spans, culprit).id());
}

/// Whether there is a `redis-server` to be started, which `TRACELAB_REQUIRE` may demand.
fn redis_is_there() -> bool {
    let there = Redis::found().is_there();
    assert!(there || !required("redis"), "TRACELAB_REQUIRE names redis, but redis-server is not in PATH");
    if !there {
        eprintln!("skipped: this test needs redis-server (Debian: apt-get install redis-server)");
    }
    there
}

fn to_redis(spans: &[Span], service: ServiceName) -> Vec<&Span> {
    let service = service.to_string();
    spans.iter().filter(|span| span.service == service && span.attribute("db.system.name").as_deref() == Some("redis")).collect()
}

#[tokio::test]
async fn one_service_writes_key_by_key_where_others_need_one_pipeline() {
    if !redis_is_there() {
        return;
    }
    let topology = topology(2, 3, Route::Straight);
    // Behind another button.
    let innocent = |mystery: &Mystery| {
        let culprit = mystery.culprit.unwrap();
        let mut users = topology.services().filter(|service| assignment(mystery, *service).redis.is_some());
        users.find(|service| service.number != culprit.number && undisturbed(mystery, service.number))
    };
    let (mut sandbox, mystery, culprit) = start_where(Cause::Redis, topology, |mystery| innocent(mystery).is_some());
    let innocent = innocent(&mystery).unwrap();
    let keys = assignment(&mystery, culprit).redis.unwrap().keys;

    let (code, spans) = trace(&sandbox, SOMEBODY, innocent.number, 6).await;
    let [pipeline] = to_redis(&spans, innocent)[..] else { panic!("{}", names(&spans)) };
    let place = format!("{}:{}", pipeline.attribute("server.address").unwrap(), pipeline.attribute("server.port").unwrap());
    assert_eq!((code, pipeline.name(), pipeline.kind()), (200, &*format!("PIPELINE SET {place}"), 3));
    assert_eq!(pipeline.attribute("db.operation.name").as_deref(), Some("PIPELINE SET"));
    assert_eq!(pipeline.attribute("db.operation.batch.size"), Some(keys.to_string()));
    assert_eq!(pipeline.parent(), server(&spans, innocent).id());

    let (_, spans) = trace(&sandbox, SOMEBODY, culprit.number, 5 + keys as usize).await;
    let writes = to_redis(&spans, culprit);
    assert_eq!(writes.len(), keys as usize);
    for write in &writes {
        assert_eq!((write.name(), write.attribute("db.operation.batch.size")), (&*format!("SET {place}"), None));
        assert_eq!(write.attribute("db.namespace").as_deref(), Some("0"));
        assert_eq!(write.parent(), server(&spans, culprit).id());
    }
    let port = writes[0].attribute("server.port").unwrap();
    let keys_there = keys_of(&port).await.expect("it is a real Redis");
    assert_eq!(keys_there.len(), 2 * keys as usize);
    assert!(keys_there.iter().all(|seconds| (1..=60).contains(seconds)), "they go by themselves: {keys_there:?}");

    sandbox.patch(culprit).await;
    let (_, spans) = trace(&sandbox, SOMEBODY, culprit.number, 6).await;
    assert_eq!(to_redis(&spans, culprit).len(), 1);

    sandbox.role.interrupt();
    assert!(sandbox.role.ended().success());
    assert!(keys_of(&port).await.is_err(), "it ends with the sandbox");
}

/// How many seconds each key has left.
async fn keys_of(port: &str) -> redis::RedisResult<Vec<i64>> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await?;
    let mut ask = redis::pipe();
    keys.iter().for_each(|key| {
        ask.cmd("TTL").arg(key);
    });
    ask.query_async(&mut connection).await
}

#[tokio::test]
async fn a_redis_that_was_started_does_not_outlive_a_sandbox_that_is_killed() {
    if !redis_is_there() {
        return;
    }
    let (sandbox, mystery, culprit) = start(Cause::Redis, pair());
    let keys = assignment(&mystery, culprit).redis.unwrap().keys as usize;
    let (_, spans) = trace(&sandbox, SOMEBODY, culprit.number, 5 + keys).await;
    let port = to_redis(&spans, culprit)[0].attribute("server.port").unwrap();
    keys_of(&port).await.unwrap();
    drop(sandbox);
    let start = std::time::Instant::now();
    while keys_of(&port).await.is_ok() {
        assert!(start.elapsed() < PATIENCE, "it is still there");
    }
}

#[tokio::test]
async fn a_redis_that_dies_is_told_of_fails_no_request_and_is_started_again() {
    if !redis_is_there() {
        return;
    }
    let (sandbox, mystery, culprit) = start(Cause::Redis, pair());
    let keys = assignment(&mystery, culprit).redis.unwrap().keys as usize;
    let (_, spans) = trace(&sandbox, SOMEBODY, culprit.number, 5 + keys).await;
    let port = to_redis(&spans, culprit)[0].attribute("server.port").unwrap();
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    // It answers nothing to that.
    let _: redis::RedisResult<()> = redis::cmd("SHUTDOWN").arg("NOSAVE").query_async(&mut connection).await;
    until(|| sandbox.role.printed().contains("redis-server ended by itself"), || sandbox.role.printed()).await;
    assert_eq!(sandbox.press_as(SOMEBODY, culprit.number).await.0, 200);
    // The same mystery again.
    let seed = &sandbox.reveal()["seed"];
    let (status, answer) = sandbox.post("/api/mystery", serde_json::json!({ "cause": "redis", "seed": seed })).await;
    assert_eq!(status, 200, "it is started again: {answer}");
    let (_, spans) = trace(&sandbox, SOMEBODY, culprit.number, 5 + keys).await;
    assert!(to_redis(&spans, culprit).iter().all(|write| write.attribute("server.port").unwrap() != port));
}

#[tokio::test]
async fn a_redis_that_does_not_answer_costs_one_request_a_second_and_fails_none() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let topology = pair();
    // A lone user behind its button.
    let user = |mystery: &Mystery| {
        let users: Vec<_> = topology.services().filter(|service| assignment(mystery, *service).redis.is_some()).collect();
        users.into_iter().next().unwrap()
    };
    let (seed, mystery) = find(Cause::None, topology, |mystery| {
        let users = topology.services().filter(|service| assignment(mystery, *service).redis.is_some());
        undisturbed(mystery, user(mystery).number) && users.filter(|other| other.number == user(mystery).number).count() == 1
    });
    let user = user(&mystery);
    let sandbox = up(Cause::None, topology, seed, &["--redis", &url]);
    let (code, spans) = trace(&sandbox, SOMEBODY, user.number, 6).await;
    let [write] = to_redis(&spans, user)[..] else { panic!("{}", names(&spans)) };
    assert_eq!((code, write.attribute("error.type").as_deref()), (200, Some("timeout")));
    assert!((900.0..5_000.0).contains(&write.duration_ms()), "{} ms", write.duration_ms());
    let (code, spans) = trace(&sandbox, SOMEBODY, user.number, 5).await;
    assert!(code == 200 && to_redis(&spans, user).is_empty(), "the next one does not try");
    until(|| sandbox.role.printed().contains("cannot write to Redis"), || sandbox.role.printed()).await;
}

#[tokio::test]
async fn who_is_refused_tries_again_and_no_press_fails() {
    let topology = pair();
    // In layer 0 the frontend is refused, in layer 1 a service.
    for layer in 0..2 {
        let refuses = |mystery: &Mystery| {
            let found = topology.layer(layer).find(|service| matches!(decoy(mystery, *service), Some(Decoy::Refusal { .. })));
            // The other one of its number is in nobody's way.
            found.filter(|service| decoy(mystery, ServiceName { layer: 1 - layer, ..*service }).is_none())
        };
        let (seed, mystery) = find(Cause::None, topology, |mystery| refuses(mystery).is_some());
        let refuses = refuses(&mystery).unwrap();
        let sandbox = up(Cause::None, topology, seed, &[]);
        let output = sandbox.run(&["load", "400", "--concurrency", "20", "--buttons", &refuses.number.to_string(), "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["calls"], &report["errors"]), (&400.into(), &0.into()), "{report}");

        // At least 3 % of them are refused: all 400 go well at once in one of 200,000 runs.
        let tags = "%7B%22http.response.status_code%22%3A%22503%22%7D";
        let url = format!("{}/api/traces?service={refuses}&lookback=1h&limit=1&tags={tags}", sandbox.jaeger);
        let found: Value = sandbox.client.get(url).send().await.unwrap().json().await.unwrap();
        let spans = sandbox.spans(found["data"][0]["traceID"].as_str().unwrap(), 7).await;
        let caller = if layer == 0 { "frontend".to_owned() } else { ServiceName { layer: 0, ..refuses }.to_string() };
        let mut calls: Vec<&Span> = spans.iter().filter(|span| span.service == caller && span.kind() == 3).collect();
        calls.sort_by(|a, b| a.start_ms().total_cmp(&b.start_ms()));
        let seen: Vec<_> = calls.iter().map(|call| (status(call), call.attribute("http.request.resend_count"))).collect();
        assert_eq!(seen, [("503".to_owned(), None), ("200".to_owned(), Some("1".to_owned()))]);
        assert_eq!(spans.len(), 7);
        assert!(calls[1].start_ms() - calls[0].end_ms() < LONG_MS, "at once");
    }
}

#[tokio::test]
async fn what_goes_on_in_the_background_outlives_the_answer() {
    let topology = pair();
    let busy = |mystery: &Mystery| {
        topology.layer(1).find(|service| {
            let other = decoy(mystery, ServiceName { layer: 0, ..*service });
            let long = |decoy| matches!(decoy, Decoy::Background { delay, .. } if delay.median_ms >= STRONG_MS);
            decoy(mystery, *service).is_some_and(long) && other.is_none()
        })
    };
    let (seed, mystery) = find(Cause::None, topology, |mystery| busy(mystery).is_some());
    let busy = busy(&mystery).unwrap();
    let sandbox = up(Cause::None, topology, seed, &[]);
    let output = sandbox.run(&["load", "400", "--concurrency", "20", "--buttons", &busy.number.to_string(), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["errors"], 0);
    let start = std::time::Instant::now();
    let url = format!("{}/api/traces?service={busy}&operation=refresh%20cache&lookback=1h&limit=1", sandbox.jaeger);
    let id = loop {
        let found: Value = sandbox.client.get(&url).send().await.unwrap().json().await.unwrap();
        if let Some(id) = found["data"][0]["traceID"].as_str() {
            break id.to_owned();
        }
        assert!(start.elapsed() < PATIENCE, "nothing goes on in the background");
    };
    let spans = sandbox.spans(&id, 6).await;
    let background = spans.iter().find(|span| span.name() == "refresh cache").unwrap();
    let answered = server(&spans, busy);
    assert_eq!((background.kind(), background.parent()), (1, answered.id()));
    assert!(background.start_ms() <= answered.end_ms() && background.end_ms() - answered.end_ms() >= LONG_MS);
    assert!(server(&spans, "frontend").duration_ms() < LONG_MS, "nobody waits for it");
}

/// A Redis that takes its time over whatever it reads at once, and answers `first` to the first command of a service. It needs a
/// thread beside the one that starts a sandbox.
async fn slow_redis(each: Duration, first: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut buffer, mut answer) = ([0; 65_536], first);
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    // Those of the library's own come with the connection.
                    let is_ours = text.contains("$3\r\nSET\r\n");
                    if is_ours {
                        tokio::time::sleep(each).await;
                    }
                    let own = if is_ours { std::mem::replace(&mut answer, "+OK\r\n") } else { "+OK\r\n" };
                    let more = "+OK\r\n".repeat(text.matches('*').count().saturating_sub(1));
                    if stream.write_all(format!("{own}{more}").as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_far_away_gets_what_there_is_time_for_on_every_request() {
    let topology = pair();
    let (seed, mystery) = find(Cause::Redis, topology, |mystery| undisturbed(mystery, mystery.culprit.unwrap().number));
    let culprit = mystery.culprit.unwrap();
    let keys = assignment(&mystery, culprit).redis.unwrap().keys as usize;
    let url = slow_redis(Duration::from_millis(50), "+OK\r\n").await;
    let sandbox = up(Cause::Redis, topology, seed, &["--redis", &url]);
    for _ in 0..2 {
        let (code, answer) = sandbox.press_as(SOMEBODY, culprit.number).await;
        let id = answer["trace_id"].as_str().unwrap();
        // Those of its writes come one after the other, and that of the frontend last of all.
        let start = std::time::Instant::now();
        let spans = loop {
            let spans = sandbox.spans(id, 1).await;
            if spans.iter().any(|span| span.service == "frontend" && span.kind() == 2) {
                break spans;
            }
            assert!(start.elapsed() < PATIENCE, "{}", names(&spans));
        };
        let writes = to_redis(&spans, culprit);
        assert!(code == 200 && (2..keys).contains(&writes.len()), "{} of {keys} are written", writes.len());
        assert!(writes.iter().all(|write| write.attribute("error.type").is_none()), "what is left out is no error");
        let spent = server(&spans, culprit).duration_ms();
        assert!(spent < 5_000.0, "{spent} ms");
        let lines = sandbox.log_lines(id, 3).await;
        assert!(lines.iter().any(|line| line.to_string().contains("left_out")), "{lines:?}");
    }
    assert!(!sandbox.role.printed().contains("dummy-"), "the terminal does not tell whose: {}", sandbox.role.printed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_redis_answers_is_on_the_span() {
    let topology = pair();
    let (seed, mystery) = find(Cause::Redis, topology, |mystery| undisturbed(mystery, mystery.culprit.unwrap().number));
    let culprit = mystery.culprit.unwrap();
    let url = slow_redis(Duration::ZERO, "-READONLY no writes here\r\n").await;
    let sandbox = up(Cause::Redis, topology, seed, &["--redis", &url]);
    let (code, spans) = trace(&sandbox, SOMEBODY, culprit.number, 6).await;
    let write = to_redis(&spans, culprit)[0];
    let code_of = |key| write.attribute(key);
    assert_eq!((code, code_of("db.response.status_code").as_deref()), (200, Some("READONLY")));
    assert_eq!(code_of("error.type").as_deref(), Some("refused"));
}

/// Ids, times and addresses differ between any two spans; beside them, and beside what the table says of its cause, the culprit's
/// spans and log lines look like everybody's.
#[tokio::test]
async fn nothing_but_what_the_fault_does_tells_the_culprit_from_the_others() {
    let redis = redis_is_there();
    let looks = |cause: Cause| async move {
        let route = if cause == Cause::Upstream { Route::Random } else { Route::Straight };
        let topology = topology(2, 4, route);
        // One of the same layer, with the same business with Redis; and nobody with a decoy nearby.
        let innocent = |mystery: &Mystery| {
            let culprit = mystery.culprit.unwrap();
            let alike = |service: &ServiceName| {
                assignment(mystery, *service).redis.is_some() == assignment(mystery, culprit).redis.is_some()
            };
            topology.layer(0).find(|service| *service != culprit && alike(service) && undisturbed(mystery, service.number))
        };
        // What was spoilt is slow then, so that there are requests that go well.
        let calm = |mystery: &Mystery| match mystery.suffering() {
            Some((_, Spoiled::Slow { .. })) => topology.layer(1).all(|service| decoy(mystery, service).is_none()),
            Some((_, Spoiled::Fails)) => false,
            None => true,
        };
        let (sandbox, mystery, culprit) = start_where(cause, topology, |mystery| calm(mystery) && innocent(mystery).is_some());
        let innocent = innocent(&mystery).unwrap();
        let mut looks = Vec::new();
        for service in [culprit, innocent] {
            // One that goes well, of whom it hits.
            let customer = mystery.answer().customer.unwrap_or(SOMEBODY.to_owned());
            let mut tries = 0;
            let answer = loop {
                let (code, answer) = sandbox.press_as(&customer, service.number).await;
                if code == 200 {
                    break answer;
                }
                tries += 1;
                assert!(tries < ENOUGH, "{cause}: {answer}");
            };
            let id = answer["trace_id"].as_str().unwrap();
            let count = if cause == Cause::LostContext && service == culprit { 4 } else { 5 };
            let lines = sandbox.log_lines(id, count - 2).await;
            let spans = sandbox.spans(id, count).await;
            let name = service.to_string();
            let http = spans.iter().filter(|span| span.service == name && span.attribute("db.system.name").is_none());
            let mut spans: Vec<_> = http.map(Span::without_identity).collect();
            spans.sort();
            let mut lines: Vec<_> = lines.iter().filter(|line| line["service"] == *name).map(line_without_identity).collect();
            lines.sort();
            assert!(spans.len() == 2 && lines.len() == 1, "{cause}: {spans:?} {lines:?}");
            looks.push((spans, lines));
        }
        let printed = sandbox.role.printed();
        assert!(!printed.contains("dummy-"), "{cause}: {printed}");
        (cause, looks, [culprit, innocent])
    };
    let causes = Cause::value_variants().iter().filter(|cause| **cause != Cause::None && (redis || **cause != Cause::Redis));
    // One sandbox after the other, for others measure times meanwhile.
    for cause in causes {
        let (cause, looks, services) = looks(*cause).await;
        assert_eq!(looks[0], looks[1], "{cause}: {services:?} differ");
    }
}

/// Who fails by itself and who passes a failure on look alike, but for what each of them calls and says of its reason.
#[tokio::test]
async fn a_failure_of_the_culprit_looks_like_one_that_others_pass_on() {
    let (sandbox, culprit) = failing(2);
    let mut tries = 0;
    let id = loop {
        let (code, answer) = sandbox.press_as(SOMEBODY, culprit.number).await;
        if code != 200 {
            break answer["trace_id"].as_str().unwrap().to_owned();
        }
        tries += 1;
        assert!(tries < ENOUGH);
    };
    let lines = sandbox.log_lines(&id, 3).await;
    let spans = sandbox.spans(&id, 5).await;
    let looks = [culprit, ServiceName { layer: 0, ..culprit }].map(|service| {
        let name = service.to_string();
        let mut lines = lines.iter().filter(|line| line["service"] == *name).cloned();
        let (mut line, more) = (lines.next().unwrap(), lines.next());
        assert!(more.is_none(), "{more:?}");
        let reason = line["attributes"]["reason"].take();
        assert!(reason.is_string(), "{line}");
        (server(&spans, service).without_identity(), line_without_identity(&line))
    });
    assert_eq!(looks[0], looks[1]);
    assert!(!sandbox.role.printed().contains("dummy-"), "{}", sandbox.role.printed());
}
