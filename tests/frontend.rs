//! The frontend through real sockets: its API, its runs, its game and its control port, before services that the test makes.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/redis.rs"]
mod redis;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::ValueEnum as _;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracelab::frontend::{self, Frontend, Game, GameSettings, Pick, Redeploy, Settings};
use tracelab::mystery::{Assignment, Cause, Peers};
use tracelab::outbound;
use tracelab::redis::Redis;
use tracelab::server::{self, Stop};
use tracelab::telemetry::{Exporter, Telemetry, TelemetrySettings};
use tracelab::topology::{Route, ServiceName, Topology};
use url::Url;
use warp::reply::with_status;
use warp::{Filter, Reply};

/// Nothing here takes so long; whatever does hangs.
const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "correct horse";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// The services of layer 0, all in one: 1 fails, 2 speaks otherwise, 3 answers only while it may, 4 is nowhere.
#[derive(Clone, Default)]
struct Services {
    seen: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    holds: watch::Sender<bool>,
    /// Requests to 3 that are waiting.
    waiting: watch::Sender<usize>,
}

impl Services {
    async fn start(&self) -> String {
        let services = self.clone();
        let routes = warp::path!(String).and(warp::header::headers_cloned()).then(move |name: String, headers: HeaderMap| {
            let services = services.clone();
            async move { services.answer(&name, headers).await }
        });
        let never = |_| async { Ok::<_, std::convert::Infallible>(StatusCode::NOT_FOUND.into_response()) };
        format!("http://{}", start(routes.recover(never).unify()).await)
    }

    async fn answer(&self, name: &str, headers: HeaderMap) -> warp::reply::Response {
        self.seen.lock().unwrap().push((name.to_owned(), headers));
        match name {
            "dummy-0-1" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            "dummy-0-2" => "hi there".into_response(),
            _ => {
                if name == "dummy-0-3" && *self.holds.borrow() {
                    let leave = count_waiting(&self.waiting);
                    let _ = self.holds.subscribe().wait_for(|holds| !holds).await;
                    drop(leave);
                }
                let path = [name.to_owned(), name.replace("-0-", "-1-")];
                warp::reply::json(&json!({ "message": "hello world", "path": path })).into_response()
            }
        }
    }
}

/// Counts as waiting until it is dropped, also when the request is.
fn count_waiting(waiting: &watch::Sender<usize>) -> impl Drop + use<> {
    struct Leave(watch::Sender<usize>);
    impl Drop for Leave {
        fn drop(&mut self) {
            self.0.send_modify(|waiting| *waiting -= 1);
        }
    }
    waiting.send_modify(|waiting| *waiting += 1);
    Leave(waiting.clone())
}

async fn start<F>(routes: F) -> std::net::SocketAddr
where
    F: Filter<Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server::serve(listener, routes, Stop::new()));
    address
}

/// A frontend with its control port, before fake services.
struct Sandbox {
    services: Services,
    url: String,
    control: String,
    game: Game,
    client: reqwest::Client,
    stop: Stop,
    tasks: JoinSet<()>,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl Sandbox {
    async fn start() -> Self {
        Self::with(Settings::default(), game_settings(), Redeploy::Elsewhere("kubectl set image {service}".into())).await
    }

    async fn with(settings: Settings, game: GameSettings, redeploy: Redeploy) -> Self {
        let services = Services::default();
        let base = services.start().await;
        let nowhere = closed_port().await;
        let peers = Peers::new(game.topology, |name: ServiceName| match name.number {
            4 => nowhere.clone(),
            _ => format!("{base}/{name}"),
        });
        let peers = Arc::new(peers.unwrap());
        let telemetry = TelemetrySettings { traces: Exporter::None, ..TelemetrySettings::default() };
        let telemetry = Telemetry::start(&telemetry, None).unwrap();
        let client = outbound::client().unwrap();
        let game = Game::open(&game).await.unwrap();
        let frontend = Frontend::new(settings, game.clone(), &peers, redeploy, &telemetry, client.clone());
        let stop = Stop::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(frontend.serve(listener, stop.clone()).map(Result::unwrap));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = format!("http://{}", listener.local_addr().unwrap());
        tasks.spawn(frontend::serve_control(game.clone(), peers, listener, stop.clone()));
        Self { services, url, control, game, client, stop, tasks }
    }

    /// Stops, and waits until nothing of it is left.
    async fn end(mut self) {
        self.stop.stop();
        while within(self.tasks.join_next()).await.is_some() {}
    }

    fn post(&self, path: &str, body: Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/api/{path}", self.url)).json(&body)
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}/api/{path}", self.url))
    }

    async fn posted(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.post(path, body)).await
    }

    /// The service that is slow, as only the test may know.
    fn culprit(&self) -> ServiceName {
        self.game.rounds().borrow().mystery.culprit.unwrap()
    }

    async fn run(&self, body: Value) -> Events {
        let answer = self.post("runs", body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events { body: Box::pin(answer.bytes_stream().map(|bytes| bytes.unwrap())), text: String::new() }
    }

    async fn until_waiting(&self, waits: impl FnMut(&usize) -> bool) {
        within(self.services.waiting.subscribe().wait_for(waits).map(|waiting| drop(waiting.unwrap()))).await;
    }
}

fn game_settings() -> GameSettings {
    let topology = Topology::new(3, 6, Route::Straight).unwrap();
    GameSettings {
        topology,
        mystery: Cause::Sleep.into(),
        seed: None,
        delay_scale: 1.0,
        state: None,
        redis: Redis::none(),
        replaced: BTreeSet::new(),
    }
}

async fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = within(request.send()).await.unwrap();
    let status = answer.status().as_u16();
    (status, within(answer.json()).await.unwrap())
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this takes too long")
}

/// The events of a run.
struct Events {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = bytes::Bytes> + Send>>,
    text: String,
}

impl Events {
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
                let parsed = (line("event:"), serde_json::from_str(&line("data:")).unwrap());
                self.text = rest.to_owned();
                return Some(parsed);
            }
            self.text += std::str::from_utf8(&within(self.body.next()).await?).unwrap();
        }
    }

    /// The last event, and how many came before it.
    async fn last(&mut self) -> (usize, String, Value) {
        let mut before = 0;
        let (mut name, mut data) = self.next().await.unwrap();
        while let Some(next) = self.next().await {
            before += 1;
            (name, data) = next;
        }
        (before, name, data)
    }
}

#[tokio::test]
async fn a_press_answers_path_latency_and_trace_and_passes_context_and_baggage_on() {
    let sandbox = Sandbox::start().await;
    let request = sandbox
        .post("buttons/0", Value::Null)
        .header("traceparent", format!("00-{TRACE_ID}-b7ad6b7169203331-01"))
        .header("baggage", "client=ab12-1,tier=gold");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let header = response.headers()["traceresponse"].to_str().unwrap().to_owned();
    let pressed: Value = response.json().await.unwrap();
    assert_eq!(header.split('-').nth(1), Some(TRACE_ID));
    assert_eq!(pressed["trace_id"], TRACE_ID);
    assert_eq!((&pressed["button"], &pressed["message"]), (&json!(0), &json!("hello world")));
    assert_eq!(pressed["path"], json!(["dummy-0-0", "dummy-1-0"]));
    assert!(pressed["latency_ms"].as_f64().unwrap() > 0.0);

    let (name, headers) = sandbox.services.seen.lock().unwrap()[0].clone();
    assert_eq!(name, "dummy-0-0");
    assert!(headers["traceparent"].to_str().unwrap().starts_with(&format!("00-{TRACE_ID}-")));
    let mut baggage: Vec<_> = headers["baggage"].to_str().unwrap().split(',').collect();
    baggage.sort_unstable();
    let customer = pressed["customer"].as_str().unwrap();
    assert_eq!(baggage, ["client=ab12-1", &format!("customer.id={customer}"), "tier=gold"]);
}

#[tokio::test]
async fn a_call_is_a_customers_of_the_sandbox_unless_it_says_whose_it_is() {
    let sandbox = Sandbox::start().await;
    let topology = answer_ok(sandbox.get("topology")).await;
    let pressed = answer_ok(sandbox.post("buttons/0", Value::Null)).await;
    assert!(topology["customers"].as_array().unwrap().contains(&pressed["customer"]), "{pressed}");
    let own = sandbox.post("buttons/0", Value::Null).header("baggage", "customer.id=me");
    assert_eq!(answer_ok(own).await["customer"], "me");
    let failed = sandbox.posted("buttons/1", Value::Null).await.1;
    assert!(failed["customer"].is_string(), "{failed}");
}

#[tokio::test]
async fn a_service_that_fails_speaks_otherwise_or_is_not_there_is_told_apart() {
    let sandbox = Sandbox::start().await;
    let (status, failed) = sandbox.posted("buttons/1", Value::Null).await;
    assert_eq!((status, &failed["error"]), (502, &json!("dummy-0-1 answered 500 Internal Server Error")));
    assert_eq!((&failed["path"], failed["trace_id"].as_str().map(str::len)), (&json!(["dummy-0-1"]), Some(32)));

    let (status, foreign) = sandbox.posted("buttons/2", Value::Null).await;
    assert_eq!((status, &foreign["message"], &foreign["path"]), (200, &json!("hi there"), &json!(["dummy-0-2"])));

    let (status, absent) = sandbox.posted("buttons/4", Value::Null).await;
    assert_eq!(status, 502);
    assert!(absent["error"].as_str().unwrap().starts_with("cannot reach http://127.0.0.1:"), "{absent}");
}

#[tokio::test]
async fn what_does_not_exist_is_a_404_and_what_makes_no_sense_a_400_that_names_it() {
    let sandbox = Sandbox::start().await;
    for button in ["6", "-1", "abc", "00", "99999999999"] {
        let (status, answer) = sandbox.posted(&format!("buttons/{button}"), Value::Null).await;
        assert_eq!((status, &answer["error"]), (404, &json!(format!("there is no button {button}; the buttons are 0 to 5"))));
    }
    let cases = [
        ("guess", json!({}), "this guess names nothing"),
        ("guess", json!({"service": "dummy-1-6"}), "there is no service dummy-1-6"),
        ("guess", json!({"service": "checkout"}), "service: \"checkout\" is not a service name"),
        ("guess", json!({"cause": "gremlins"}), "cause: \"gremlins\" is not a cause"),
        ("guess", json!({"service": 7}), "service: invalid type"),
        (
            "guess",
            json!({"servise": "dummy-1-1"}),
            "unknown field \"servise\"; possible are team, cause, service, callee, customer",
        ),
        ("guess", json!({"service": "dummy-1-1", "team": "x".repeat(41)}), "a team's name has 1 to 40 visible characters"),
        ("runs", json!({}), "calls is missing; it must be a whole number between 1 and 1000000"),
        ("runs", json!({"calls": 0}), "calls is 0; it must be a whole number between 1 and 1000000"),
        ("runs", json!({"calls": 1e9}), "calls is 1000000000.0; it must be a whole number between 1 and 1000000"),
        ("runs", json!({"calls": 1, "concurrency": 1001}), "concurrency is 1001; it must be a whole number between 1 and 1000"),
        ("runs", json!({"calls": 1, "rate": 0}), "rate is 0 calls per second; it must be above 0"),
        ("runs", json!({"calls": 1, "buttons": [9]}), "there is no button 9; the buttons are 0 to 5"),
        ("mystery", json!({"cause": "gremlins"}), "cause: \"gremlins\" is not a cause; a mystery can be sleep"),
        ("mystery", json!({"seed": -1}), "seed is -1; it must be a whole number"),
        (
            "mystery",
            json!({"seed": 9_007_199_254_740_993_u64}),
            "seed is 9007199254740993; it must be a whole number between 0 and 9007199254740991",
        ),
        ("redeploy", json!({"service": "dummy-1-1"}), "redeploy takes a service and a version"),
        ("redeploy", json!({"service": "dummy-1-1", "version": "v3"}), "version: \"v3\" is not a version"),
        (
            "redeploy",
            json!({"service": "dummy-1-1", "url": "https://127.0.0.1:9000"}),
            "url: \"https://127.0.0.1:9000\" is no http:// URL",
        ),
        ("redeploy", json!({"service": "dummy-1-1", "url": "127.0.0.1:9000"}), "url: \"127.0.0.1:9000\" is no http:// URL"),
        (
            "redeploy",
            json!({"service": "dummy-1-1", "url": "http://127.0.0.1:9000", "version": "v2"}),
            "redeploy takes a service and a version",
        ),
    ];
    for (path, body, says) in cases {
        let (status, answer) = sandbox.posted(path, body.clone()).await;
        assert_eq!(status, 400, "{path} {body}");
        assert!(answer["error"].as_str().unwrap().starts_with(says), "{path} {body} answers {answer}");
    }
    for id in ["7", "zz", &"0".repeat(32), &format!("+{}", "1".repeat(31))] {
        assert_eq!(answer(sandbox.get(&format!("traces/{id}"))).await.0, 400, "{id}");
    }
    assert_eq!(answer(sandbox.get("nothing")).await.0, 404);
    assert_eq!(answer(sandbox.get("guess")).await.0, 405, "a GET changes nothing");
    assert_eq!(sandbox.game.score().await.teams, [], "none of these counts as a guess");
}

#[tokio::test]
async fn a_method_is_wrong_only_where_there_is_something_and_head_is_a_get_without_a_body() {
    let sandbox = Sandbox::start().await;
    for (method, path, status) in [
        ("POST", "/nothing", 404),
        ("POST", "/api/buttons/", 404),
        ("POST", "/api/buttons/0/more", 404),
        ("PUT", "/page/nothing.js", 404),
        ("GET", "/api/buttons/", 404),
        ("POST", "/", 405),
        ("POST", "/api/score", 405),
        ("GET", "/api/buttons/0", 405),
        ("HEAD", "/api/guess", 405),
    ] {
        let request = sandbox.client.request(method.parse().unwrap(), format!("{}{path}", sandbox.url));
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{method} {path}");
    }
    for path in ["/", "/page/main.js", "/api/topology", "/healthz"] {
        let url = format!("{}{path}", sandbox.url);
        let (get, head) = (sandbox.client.get(&url).send().await.unwrap(), sandbox.client.head(&url).send().await.unwrap());
        assert_eq!(head.status(), 200, "{path}");
        for header in ["content-type", "content-length"] {
            assert_eq!(head.headers()[header], get.headers()[header], "{path}");
        }
        assert_eq!(head.bytes().await.unwrap(), "", "{path}");
    }
}

#[tokio::test]
async fn another_page_or_another_name_may_not_play() {
    let sandbox = Sandbox::start().await;
    let own = sandbox.url.clone();
    for (path, header, value, status) in [
        ("buttons/0", "origin", own.as_str(), 200),
        ("buttons/0", "origin", "http://evil.example", 403),
        ("buttons/0", "sec-fetch-site", "cross-site", 403),
        ("buttons/0", "host", "evil.example", 403),
        ("runs", "origin", "http://evil.example", 403),
        ("runs/cancel", "origin", "null", 403),
        ("guess", "origin", "http://evil.example", 403),
        ("hint", "origin", "http://evil.example", 403),
        ("reveal", "host", "evil.example", 403),
        ("mystery", "origin", "http://evil.example", 403),
        ("redeploy", "origin", "http://evil.example", 403),
    ] {
        let (got, answer) = answer(sandbox.post(path, json!({})).header(header, value)).await;
        assert_eq!(got, status, "{path} with {header}: {value} answers {answer}");
        assert!(status == 200 || answer["error"].is_string());
    }
    assert_eq!(answer(sandbox.get("score").header("host", "evil.example")).await.0, 403);
}

#[tokio::test]
async fn the_instructors_token_is_needed_where_it_is_set() {
    let settings = Settings { instructor_token: Some(TOKEN.into()), ..Settings::default() };
    let sandbox = Sandbox::with(settings, game_settings(), Redeploy::Elsewhere("kubectl set image {service}".into())).await;
    let redeploy = json!({"service": "dummy-1-1", "version": "v2"});
    for (path, body, allowed) in [("reveal", json!({}), 200), ("mystery", json!({}), 200), ("redeploy", redeploy, 501)] {
        for given in ["", "Bearer", "Bearer wrong horse", "Basic correct horse", "Bearer correct horse "] {
            let (status, answer) = answer(sandbox.post(path, body.clone()).header("authorization", given)).await;
            // A header's value ends before its last spaces, so that the last of these is the token itself.
            let expected = if given.trim_end() == format!("Bearer {TOKEN}") { allowed } else { 401 };
            assert_eq!(status, expected, "{path} with {given:?} answers {answer}");
        }
        assert_eq!(sandbox.posted(path, body).await.0, 401);
    }
    assert_eq!(sandbox.posted("hint", json!({})).await.0, 200);
}

#[tokio::test]
async fn a_stage_that_can_redeploys_and_another_says_how_it_is_done() {
    let body = json!({"service": "dummy-1-3", "version": "v2"});
    let (status, answer) = Sandbox::start().await.posted("redeploy", body.clone()).await;
    assert_eq!((status, &answer["error"]), (501, &json!("kubectl set image dummy-1-3")));

    let done = Arc::new(Mutex::new(Vec::new()));
    let doing = Arc::clone(&done);
    let redeploy = Redeploy::Here(Arc::new(move |service, release| {
        doing.lock().unwrap().push(format!("{service} {release}"));
        Ok(())
    }));
    let sandbox = Sandbox::with(Settings::default(), game_settings(), redeploy).await;
    assert_eq!(sandbox.posted("redeploy", body.clone()).await, (200, body));
    let body = json!({"service": "dummy-1-3", "url": "http://127.0.0.1:9000/"});
    assert_eq!(sandbox.posted("redeploy", body.clone()).await, (200, body));
    assert_eq!(*done.lock().unwrap(), ["dummy-1-3 v2", "dummy-1-3 http://127.0.0.1:9000/"]);
}

#[tokio::test]
async fn a_run_of_1000_calls_counts_exactly_1000() {
    let sandbox = Sandbox::start().await;
    let body = json!({"calls": 1000, "concurrency": 30, "buttons": [0, 1, 2], "baggage": {"tier": "gold"}, "client": "ab12"});
    let (progress, name, report) = sandbox.run(body).await.last().await;
    assert_eq!(name, "done", "{report}");
    assert!(progress >= 1);
    assert_eq!((&report["calls"], &report["errors"], &report["cancelled"]), (&json!(1000), &json!(333), &Value::Null));
    let buttons: Vec<_> =
        report["buttons"].as_array().unwrap().iter().map(|button| [&button["calls"], &button["errors"]]).collect();
    assert_eq!(json!(buttons), json!([[334, 0], [333, 333], [333, 0]]));
    assert_eq!(report["histogram"].as_array().unwrap().iter().map(|bucket| bucket[1].as_u64().unwrap()).sum::<u64>(), 1000);
    assert_eq!(report["slowest"].as_array().unwrap().len(), 10);
    assert_eq!(report["failed"][0]["error"], "502: dummy-0-1 answered 500 Internal Server Error");
    let seen = sandbox.services.seen.lock().unwrap();
    assert_eq!(seen.len(), 1000);
    assert!(seen.iter().all(|(_, headers)| headers["baggage"].to_str().unwrap().contains("client=ab12-")));
}

#[tokio::test]
async fn a_second_run_gets_409_and_a_cancelled_one_reports_what_is_done() {
    let sandbox = Sandbox::start().await;
    sandbox.services.holds.send_replace(true);
    // Button 3 holds its calls, so that the run is under way until it is cancelled.
    let mut events = sandbox.run(json!({"calls": 100, "concurrency": 4, "buttons": [0, 3]})).await;
    sandbox.until_waiting(|waiting| *waiting == 4).await;
    let (status, answer) = sandbox.posted("runs", json!({"calls": 1})).await;
    assert_eq!(status, 409);
    assert!(answer["error"].as_str().unwrap().contains("POST /api/runs/cancel"), "{answer}");

    assert_eq!(sandbox.posted("runs/cancel", json!({})).await, (200, json!({"cancelled": true})));
    let (_, name, report) = events.last().await;
    assert_eq!((name.as_str(), &report["cancelled"]), ("done", &json!(true)));
    assert_eq!((&report["calls"], &report["errors"]), (&json!(4), &json!(0)), "only what was answered counts");

    sandbox.services.holds.send_replace(false);
    assert_eq!(sandbox.posted("runs/cancel", json!({})).await, (200, json!({"cancelled": false})));
    let (_, name, report) = sandbox.run(json!({"calls": 10})).await.last().await;
    assert_eq!((name.as_str(), &report["calls"]), ("done", &json!(10)));
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_run_and_its_press() {
    let sandbox = Sandbox::start().await;
    sandbox.services.holds.send_replace(true);
    let events = sandbox.run(json!({"calls": 1000, "concurrency": 4, "buttons": [3]})).await;
    sandbox.until_waiting(|waiting| *waiting == 4).await;
    drop(events);
    // The calls of the run are dropped all the way down, and the next run may start.
    sandbox.until_waiting(|waiting| *waiting == 0).await;
    let again = async {
        while sandbox.post("runs", json!({"calls": 1, "buttons": [0]})).send().await.unwrap().status() == StatusCode::CONFLICT {
            tokio::task::yield_now().await;
        }
    };
    within(again).await;

    let press = tokio::spawn(sandbox.post("buttons/3", Value::Null).send());
    sandbox.until_waiting(|waiting| *waiting == 1).await;
    press.abort();
    sandbox.until_waiting(|waiting| *waiting == 0).await;
}

#[tokio::test]
async fn a_frontend_that_stops_ends_the_run_and_tells_what_was_done() {
    let sandbox = Sandbox::start().await;
    sandbox.services.holds.send_replace(true);
    let mut events = sandbox.run(json!({"calls": 100, "concurrency": 2, "buttons": [0, 3]})).await;
    sandbox.until_waiting(|waiting| *waiting == 2).await;
    sandbox.stop.stop();
    let (_, name, report) = events.last().await;
    assert_eq!((name.as_str(), &report["cancelled"]), ("done", &json!(true)));
}

#[tokio::test]
async fn guesses_are_graded_and_counted_per_team() {
    let sandbox = Sandbox::start().await;
    let culprit = sandbox.culprit();
    let other = ServiceName { number: (culprit.number + 1) % 6, ..culprit };
    let guess = |team: &str, cause: Option<&str>, service: ServiceName| {
        let body = json!({"team": team, "cause": cause, "service": service});
        let answer = sandbox.post("guess", body);
        async move { answer_ok(answer).await }
    };
    let wrong = guess("owls", Some("sleep"), other).await;
    assert_eq!((&wrong["verdict"], &wrong["guesses"]), (&json!("wrong"), &json!(1)));
    let half = guess("owls", None, culprit).await;
    assert_eq!((&half["verdict"], &half["guesses"]), (&json!("half"), &json!(2)));
    assert!(half["message"].as_str().unwrap().contains("say the cause as well"), "{half}");
    let right = guess("owls", Some("sleep"), culprit).await;
    assert_eq!((&right["verdict"], &right["guesses"]), (&json!("right"), &json!(3)));
    let twice = guess("owls", Some("sleep"), culprit).await;
    assert_eq!((&twice["verdict"], &twice["guesses"], &twice["seconds"]), (&json!("right"), &json!(3), &right["seconds"]));
    assert!(twice["message"].as_str().unwrap().contains("solved it already"));

    let hint = answer_ok(sandbox.post("hint", json!({"team": "elks"}))).await;
    assert_eq!((&hint["hint"], &hint["of"]), (&json!(1), &json!(3)));
    let score = answer_ok(sandbox.get("score")).await;
    assert_eq!((&score["mystery"], &score["cause"]), (&json!(1), &json!("sleep")));
    let teams: Vec<_> =
        score["teams"].as_array().unwrap().iter().map(|team| [&team["team"], &team["guesses"], &team["hints"]]).collect();
    assert_eq!(json!(teams), json!([["elks", 0, 1], ["owls", 3, 0]]));
}

async fn answer_ok(request: reqwest::RequestBuilder) -> Value {
    let (status, answer) = answer(request).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Every mystery, on a route that allows them all.
async fn any_mystery(mystery: impl Into<Pick>) -> GameSettings {
    let topology = Topology::new(3, 6, Route::Random).unwrap();
    let redis = Redis::at(redis::answering().await);
    GameSettings { topology, mystery: mystery.into(), seed: Some(3), redis, ..game_settings() }
}

async fn playing(game: GameSettings) -> Sandbox {
    Sandbox::with(Settings::default(), game, Redeploy::Elsewhere(String::new())).await
}

#[tokio::test]
async fn reveal_names_all_and_no_other_answer_names_the_culprit() {
    for &cause in Cause::value_variants() {
        let sandbox = playing(any_mystery(cause).await).await;
        let expected = serde_json::to_value(sandbox.game.rounds().borrow().mystery.answer()).unwrap();
        let parts = ["service", "callee", "customer"];
        let places: Vec<_> = parts.iter().filter_map(|part| expected.get(part)?.as_str()).collect();
        let nobody = json!({"cause": "sleep", "service": "dummy-9-9"});
        for (status, answer) in [
            answer(sandbox.get("score")).await,
            sandbox.posted("hint", json!({})).await,
            sandbox.posted("hint", json!({})).await,
            sandbox.posted("guess", nobody).await,
        ] {
            assert!(places.iter().all(|place| !answer.to_string().contains(place)), "{status} {answer}");
        }
        let mut revealed = answer_ok(sandbox.post("reveal", json!({}))).await;
        let fields = revealed.as_object_mut().unwrap();
        let explanation = fields.remove("explanation").unwrap();
        assert_eq!(fields.remove("seed"), Some(json!(3)));
        assert_eq!(revealed, expected);
        let right = answer_ok(sandbox.post("guess", expected)).await;
        assert_eq!((&right["verdict"], &right["explanation"]), (&json!("right"), &explanation), "{cause}");
        sandbox.end().await;
    }
}

/// All that is told before somebody is right or half right, mysteries of every cause behind it.
#[tokio::test]
async fn a_random_mystery_keeps_its_cause_to_itself() {
    let sandbox = playing(any_mystery(Pick::Random).await).await;
    let mut told = BTreeMap::new();
    for seed in 0_u64.. {
        if told.len() == Cause::value_variants().len() {
            break;
        }
        let mut begun = answer_ok(sandbox.post("mystery", json!({"cause": "random", "seed": seed}))).await;
        assert_eq!((begun.get("cause"), begun.get("note")), (None, None), "{begun}");
        let running = sandbox.game.rounds().borrow().mystery.answer();
        if told.contains_key(&running.cause) {
            continue;
        }
        let innocent =
            sandbox.game.topology().services().find(|service| ![running.service, running.callee].contains(&Some(*service)));
        // Nobody: what is wrong with a guess of a place depends on the place alone.
        let nobody = Cause::value_variants()
            .iter()
            .filter(|cause| **cause != Cause::None)
            .map(|cause| json!({"cause": cause, "service": innocent, "customer": "customer-9"}));
        let mut all = vec![answer_ok(sandbox.post("hint", json!({}))).await];
        for guess in nobody {
            all.push(answer_ok(sandbox.post("guess", guess)).await);
        }
        all.extend([answer_ok(sandbox.get("score")).await, answer_ok(sandbox.get("topology")).await]);
        all.push(answer_ok(sandbox.post("guess", json!({"service": innocent}))).await);
        if let Some(service) = running.service {
            // Whoever has the service is told that the cause is another one, whichever it is.
            let other = Cause::value_variants().iter().find(|cause| **cause != running.cause && **cause != Cause::None).unwrap();
            let half = answer_ok(sandbox.post("guess", json!({"cause": other, "service": service}))).await;
            assert_eq!(half["message"], "Half right: a service that you named is part of it; the cause is another one.");
        }
        begun["mystery"].take();
        all.push(begun);
        all.iter_mut().for_each(without_time);
        told.insert(running.cause, all);
    }
    let (first, others) = told.iter().next().map(|(_, first)| (first, told.iter().skip(1))).unwrap();
    for (cause, other) in others {
        assert_eq!(other, first, "{cause}");
    }
}

/// What differs between any two mysteries.
fn without_time(answer: &mut Value) {
    for key in ["seconds", "mystery", "teams"] {
        if let Some(value) = answer.get_mut(key) {
            value.take();
        }
    }
}

#[tokio::test]
async fn the_topology_names_services_customers_and_mysteries_and_why_one_cannot_be_had() {
    let sandbox = Sandbox::start().await;
    let topology = answer_ok(sandbox.get("topology")).await;
    assert_eq!((&topology["layers"], &topology["width"], &topology["route"]), (&json!(3), &json!(6), &json!("straight")));
    assert_eq!(topology["services"].as_array().unwrap().len(), 18);
    assert_eq!(topology["customers"], json!((1..=8).map(|n| format!("customer-{n}")).collect::<Vec<_>>()));
    let mysteries = topology["mysteries"].as_array().unwrap();
    assert_eq!(mysteries.len(), Cause::value_variants().len() + 1, "every cause, and random");
    for mystery in mysteries {
        assert!(mystery["about"].as_str().unwrap().len() > 9, "{mystery}");
        let pick = mystery["pick"].as_str().unwrap();
        let names = pick.parse::<Pick>().ok().and_then(|pick| match pick {
            Pick::Cause(cause) => Some(json!(cause.names())),
            Pick::Random => None,
        });
        assert_eq!(mystery.get("names"), names.as_ref());
        let (status, answer) = sandbox.posted("mystery", json!({"cause": pick})).await;
        match mystery.get("impossible") {
            None => assert_eq!(status, 200, "{pick}: {answer}"),
            Some(reason) => {
                assert!(["upstream", "redis"].contains(&pick), "{mystery}");
                assert_eq!((status, &answer["error"]), (400, reason));
            }
        }
    }
    let random = answer_ok(sandbox.post("mystery", json!({"cause": "random"}))).await;
    let note = random["note"].as_str().unwrap();
    assert!(note.starts_with("redis is left out") && note.contains("--redis redis://"), "{note}");
}

#[tokio::test]
async fn a_customers_name_is_taken_without_the_spaces_around_it() {
    let sandbox = playing(any_mystery(Cause::Customer).await).await;
    let mut guess = serde_json::to_value(sandbox.game.rounds().borrow().mystery.answer()).unwrap();
    guess["customer"] = json!(format!(" {} ", guess["customer"].as_str().unwrap()));
    assert_eq!(answer_ok(sandbox.post("guess", guess)).await["verdict"], "right");
}

#[tokio::test]
async fn the_game_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let game = GameSettings { state: Some(directory.path().to_owned()), ..game_settings() };
    let redeploy = || Redeploy::Elsewhere(String::new());
    let sandbox = Sandbox::with(Settings::default(), game.clone(), redeploy()).await;
    answer_ok(sandbox.post("mystery", json!({"seed": 5}))).await;
    answer_ok(sandbox.post("guess", json!({"cause": "none"}))).await;
    let before = (answer_ok(sandbox.post("reveal", json!({"team": "owls"}))).await, answer_ok(sandbox.get("score")).await);
    // Only one may play with the state at a time.
    sandbox.end().await;

    let sandbox = Sandbox::with(Settings::default(), game, redeploy()).await;
    let after = (answer_ok(sandbox.post("reveal", json!({"team": "owls"}))).await, answer_ok(sandbox.get("score")).await);
    assert_eq!((&after.0, &after.1["teams"], &after.1["mystery"]), (&before.0, &before.1["teams"], &json!(2)));
    assert_eq!(after.0["seed"], 5);
}

#[tokio::test]
async fn the_control_port_answers_who_waits_on_a_new_mystery_and_is_no_part_of_the_public_one() {
    let sandbox = Sandbox::start().await;
    let poll = |version: &str| {
        let request = sandbox.client.get(format!("{}/assignments/dummy-1-3?version={version}", sandbox.control));
        async move { answer_ok(request).await }
    };
    let first = poll("").await;
    let assignment: Assignment = serde_json::from_value(first["assignment"].clone()).unwrap();
    assert_eq!(assignment.service.to_string(), "dummy-1-3");
    assert!(assignment.next[0].url.path().ends_with("/dummy-2-3"));

    let version = first["version"].as_str().unwrap();
    let waiting = poll(version);
    let (second, _) = tokio::join!(waiting, sandbox.posted("mystery", json!({"cause": "none"})));
    assert_ne!(second["version"], first["version"]);
    assert_eq!(second["assignment"].get("fault"), None);
    assert_eq!(sandbox.client.get(format!("{}/assignments/dummy-1-3", sandbox.url)).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_trace_is_ready_once_the_backend_has_it_and_a_link_is_given_only_then() {
    let has = watch::Sender::new(404_u16);
    let knows = has.subscribe();
    let jaeger = warp::path!("api" / "v3" / "traces" / String).map(move |id: String| {
        let status = if id == TRACE_ID { *knows.borrow() } else { 404 };
        let body = match status {
            200 => json!({ "result": { "resourceSpans": [] } }),
            status => json!({ "error": { "httpCode": status, "message": "No traces found" } }),
        };
        with_status(warp::reply::json(&body), StatusCode::from_u16(status).unwrap()).into_response()
    });
    let jaeger = start(jaeger.recover(|_| async { Ok(StatusCode::IM_A_TEAPOT.into_response()) }).unify()).await;
    let settings = Settings {
        jaeger: Some(format!("http://{jaeger}").parse::<Url>().unwrap()),
        jaeger_links: Some("http://localhost:16686".parse().unwrap()),
        ..Settings::default()
    };
    let sandbox = Sandbox::with(settings, game_settings(), Redeploy::Elsewhere(String::new())).await;
    let state = |id: &str| {
        let request = sandbox.get(&format!("traces/{id}"));
        async move { answer_ok(request).await }
    };
    assert_eq!(state(TRACE_ID).await["state"], "gone", "nobody made a call with this trace");
    let press = |flags: &str, id: &str| {
        sandbox.post("buttons/0", Value::Null).header("traceparent", format!("00-{id}-b7ad6b7169203331-{flags}"))
    };
    answer_ok(press("01", TRACE_ID)).await;
    assert_eq!(state(TRACE_ID).await["state"], "pending");
    has.send_replace(200);
    let ready = state(TRACE_ID).await;
    assert_eq!((&ready["state"], &ready["url"]), (&json!("ready"), &json!(format!("http://localhost:16686/trace/{TRACE_ID}"))));
    has.send_replace(500);
    assert_eq!(state(TRACE_ID).await["state"], "unreachable");

    let unsampled = "1af7651916cd43dd8448eb211c80319c";
    answer_ok(press("00", unsampled)).await;
    assert_eq!(state(unsampled).await["state"], "unsampled");
}

/// Jaeger 1.10 answers paths that it does not know with its page, and 500 for a trace that its memory does not hold.
#[tokio::test]
async fn a_trace_is_found_in_a_jaeger_of_2019() {
    let has = watch::Sender::new(false);
    let knows = has.subscribe();
    let trace = warp::path!("api" / "traces" / String).map(move |id: String| match id == TRACE_ID && *knows.borrow() {
        true => warp::reply::json(&json!({ "data": [{ "traceID": id, "spans": [] }], "total": 0, "errors": null })).into_response(),
        false => {
            let errors = json!({ "data": null, "errors": [{ "code": 500, "msg": "Trace was not found" }] });
            with_status(errors.to_string(), StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    });
    let page = warp::any().map(|| warp::reply::html("<!doctype html><title>Jaeger UI</title>").into_response());
    let jaeger = start(trace.or(page).unify()).await;
    let settings = Settings { jaeger: Some(format!("http://{jaeger}").parse::<Url>().unwrap()), ..Settings::default() };
    let sandbox = Sandbox::with(settings, game_settings(), Redeploy::Elsewhere(String::new())).await;
    let state = || async { answer_ok(sandbox.get(&format!("traces/{TRACE_ID}"))).await["state"].clone() };
    assert_eq!(state().await, "gone", "nobody made a call with this trace");
    let press = sandbox.post("buttons/0", Value::Null).header("traceparent", format!("00-{TRACE_ID}-b7ad6b7169203331-01"));
    answer_ok(press).await;
    assert_eq!(state().await, "pending");
    has.send_replace(true);
    assert_eq!((state().await, state().await), (json!("ready"), json!("ready")));
}

#[tokio::test]
async fn what_is_no_jaeger_never_makes_a_trace_ready() {
    let page = warp::any().map(|| warp::reply::html("<!doctype html><title>Welcome</title>"));
    let elsewhere = start(page).await;
    let settings = Settings { jaeger: Some(format!("http://{elsewhere}").parse::<Url>().unwrap()), ..Settings::default() };
    let sandbox = Sandbox::with(settings, game_settings(), Redeploy::Elsewhere(String::new())).await;
    let answer = answer_ok(sandbox.get(&format!("traces/{TRACE_ID}"))).await;
    assert_eq!(answer["state"], "unreachable");
    assert!(answer["message"].as_str().unwrap().contains("is no Jaeger"), "{answer}");
}

#[tokio::test]
async fn the_page_comes_with_a_strict_policy_and_everything_it_needs() {
    let sandbox = Sandbox::start().await;
    let page = sandbox.client.get(&sandbox.url).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let page = page.text().await.unwrap();
    for file in page.split('"').filter(|text| text.starts_with("/page/")) {
        let answer = sandbox.client.get(format!("{}{file}", sandbox.url)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{file}");
    }
    for health in ["healthz", "readyz"] {
        let request = sandbox.client.get(format!("{}/{health}", sandbox.url)).header("host", "10.0.0.7:8080");
        assert_eq!(request.send().await.unwrap().status(), 200, "a probe names any host");
    }
}
