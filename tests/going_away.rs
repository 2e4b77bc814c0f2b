//! Clients, callers and whole processes that go away in the middle: nothing hangs, and what was done is told.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the reason, which is what a test is for")]

#[path = "support/sandbox.rs"]
mod sandbox;

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sandbox::{PATIENCE, Role, Sandbox, decoy, find, spans, tracelab, until};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracelab::mystery::{Cause, Mystery};
use tracelab::topology::{Route, ServiceName, Topology};

#[tokio::test]
async fn a_client_that_leaves_in_mid_call_is_booked_as_499_all_the_way() {
    // Nobody behind its button refuses: a call that is refused comes again, and not to one that has gone.
    let topology = Topology::new(3, 30, Route::Straight).unwrap();
    let (seed, mystery) = find(Cause::Sleep, topology, |mystery| {
        let culprit = mystery.culprit.unwrap();
        culprit.layer == 0
            && topology.services().all(|service| service.number != culprit.number || decoy(mystery, service).is_none())
    });
    let sandbox = Sandbox::up(&["--seed", &seed.to_string(), "--delay-scale", "0"]);
    let (button, culprit) = (mystery.culprit.unwrap().number, mystery.culprit.unwrap().to_string());
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4999";
    let host = sandbox.frontend.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "POST /api/buttons/{button} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\ntraceparent: 00-{trace_id}-00f067aa0ba902b7-01\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // Calls sent after it are answered: then it was taken, and the culprit is asleep over it for another 150 ms at least.
    for other in 0..3 {
        sandbox.press((button + 1 + other) % 30).await;
    }
    drop(stream);

    let found = spans(&sandbox.client, &sandbox.jaeger, trace_id, 3).await;
    let frontend = found.iter().find(|span| span.service == "frontend" && span.kind() == 2).unwrap();
    assert_eq!(frontend.attribute("http.response.status_code").as_deref(), Some("499"));
    let slept = found.iter().find(|span| span.service == culprit && span.kind() == 2).unwrap();
    assert_eq!(slept.attribute("http.response.status_code").as_deref(), Some("499"), "the service stops working for nobody");
}

#[tokio::test]
async fn ctrl_c_in_a_run_reports_what_was_done() {
    let sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    let (mut command, _directory) = tracelab(&["load", "1000000", "--concurrency", "4", "--json", "--frontend", &sandbox.frontend]);
    let mut load = command.stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while sandbox.client.get(format!("{}/api/services", sandbox.jaeger)).send().await.unwrap().json::<Value>().await.unwrap()["total"]
        == 0
    {
        assert!(start.elapsed() < PATIENCE, "the run does not begin");
    }
    assert!(Command::new("kill").args(["-INT", &load.id().to_string()]).status().unwrap().success());
    let mut printed = String::new();
    load.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert!(load.wait().unwrap().success());
    let report: Value = serde_json::from_str(&printed).unwrap();
    let calls = report["calls"].as_u64().unwrap();
    assert!((1..1_000_000).contains(&calls), "{calls} calls");
    assert_eq!(report["cancelled"], true);
    assert_eq!(report["buttons"].as_array().unwrap().iter().map(|button| button["calls"].as_u64().unwrap()).sum::<u64>(), calls);
}

#[tokio::test]
async fn half_a_request_does_not_hold_up_the_stop() {
    let mut sandbox = Sandbox::up(&["--delay-scale", "0", "--mystery", "none"]);
    let mut half = TcpStream::connect(sandbox.frontend.strip_prefix("http://").unwrap()).await.unwrap();
    half.write_all(b"GET / HTT").await.unwrap();
    // Answered after it was sent: the half was read.
    sandbox.press(0).await;
    let start = Instant::now();
    sandbox.role.interrupt();
    assert!(sandbox.role.ended().success());
    // Far below the ten seconds that a running request would be given, far above what stopping takes.
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_press_on_lose_no_request_while_one_of_two_is_told_to_end() {
    const CALLERS: usize = 8;
    // Ten minutes are no part of the test: the second signal ends them once all have gone elsewhere.
    let mut stage = Stage::start(2, &["--drain-seconds", "600"], &[]).await;
    let balancer = Balancer::start([stage.address(0), stage.address(1)]).await;
    let (calls, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        // A client of its own holds one connection for as long as it may.
        let (client, url) = (tracelab::outbound::client().unwrap(), format!("http://{}", balancer.address));
        let (calls, done) = (calls.clone(), done.clone());
        callers.spawn(async move {
            while !done.load(SeqCst) {
                let answer = client.get(&url).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.bytes().await.unwrap();
                calls.fetch_add(1, SeqCst);
            }
        });
    }
    let called = async |more: usize| {
        let enough = calls.load(SeqCst) + more;
        until(|| calls.load(SeqCst) >= enough, || format!("no more calls; {}", balancer.say())).await;
    };
    called(10 * CALLERS).await;
    assert_eq!(balancer.connections(), [CALLERS / 2; 2], "connections are kept");

    // The balancer believes the first one there for long after its end was told.
    balancer.told.store(true, SeqCst);
    stage.services[0].terminate();
    let (client, ending) = (tracelab::outbound::client().unwrap(), stage.services[0].url("service"));
    let unready = async {
        loop {
            let answer = client.get(format!("{ending}/readyz")).send().await.unwrap();
            if answer.status() == 503 {
                return answer;
            }
            assert_eq!(answer.status(), 200);
        }
    };
    let unready = tokio::time::timeout(PATIENCE, unready).await.unwrap();
    assert_eq!(unready.headers()["connection"], "close");
    let error = unready.json::<Value>().await.unwrap()["error"].to_string();
    assert!(error.contains("going away"), "{error}");
    assert_eq!(client.get(format!("{ending}/healthz")).send().await.unwrap().status(), 200);
    until(|| balancer.late.load(SeqCst) == 0 && balancer.connections()[0] == 0, || balancer.say()).await;
    stage.services[0].terminate();
    assert_eq!(stage.services[0].ended().code(), Some(0), "{}", stage.services[0].printed());
    called(10 * CALLERS).await;
    done.store(true, SeqCst);
    callers.join_all().await;
}

#[tokio::test]
async fn a_frontend_that_is_told_to_end_does_so_by_itself_whoever_waits_for_it() {
    let mut stage = Stage::start(1, &[], &["--drain-seconds", "0.5"]).await;
    let (frontend, client) = (stage.frontend.url("frontend"), tracelab::outbound::client().unwrap());
    // The service waits for its next assignment meanwhile, which would take 30 s, and this run would take hours.
    let plan = json!({ "calls": 1_000_000, "rate": 50.0, "buttons": [0] });
    let mut run = client.post(format!("{frontend}/api/runs")).json(&plan).send().await.unwrap();
    let mut events = run.chunk().await.unwrap().unwrap().to_vec();
    let told = Instant::now();
    stage.frontend.terminate();
    while let Some(more) = run.chunk().await.unwrap() {
        events.extend(more);
    }
    let events = String::from_utf8(events).unwrap();
    let (_, report) = events.rsplit_once("event:done\ndata:").unwrap();
    let report: Value = serde_json::from_str(report.trim()).unwrap();
    assert_eq!((&report["cancelled"], &report["errors"]), (&json!(true), &json!(0)), "{report}");
    assert_eq!(stage.frontend.ended().code(), Some(0), "{}", stage.frontend.printed());
    // Not before its time, and far sooner than a running request or a waiting service would let it.
    let took = told.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(7)).contains(&took), "{took:?}");
}

/// Processes that all are dummy-0-0, and the frontend that tells them so; it calls the first of them.
struct Stage {
    services: Vec<Role>,
    frontend: Role,
}

impl Stage {
    async fn start(services: usize, flags: &[&str], frontend_flags: &[&str]) -> Self {
        let topology = Topology::new(1, 6, Route::Straight).unwrap();
        // It fails or refuses no call of its own accord; the others need not run.
        let calm = |mystery: &Mystery| decoy(mystery, ServiceName { layer: 0, number: 0 }).is_none();
        let seed = find(Cause::None, topology, calm).0.to_string();
        // Services must be told of the frontend before it can be told of them.
        let control_port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port().to_string();
        let control = format!("http://127.0.0.1:{control_port}");
        let service = ["service", "--name", "dummy-0-0", "--port", "0", "--control", &control, "--exporter", "none"];
        let services: Vec<_> = (0..services).map(|_| Role::start(&[&service, flags].concat(), &[])).collect();
        let replace = format!("dummy-0-0={}", services[0].url("service"));
        let arguments = [
            &["frontend", "--port", "0", "--control-port", &control_port, "--replace", &replace, "--exporter", "none"][..],
            &["--layers", "1", "--width", "6", "--mystery", "none", "--seed", &seed, "--delay-scale", "0"],
            frontend_flags,
        ];
        let frontend = Role::start(&arguments.concat(), &[]);
        let (stage, client) = (Self { services, frontend }, tracelab::outbound::client().unwrap());
        for service in &stage.services {
            let start = Instant::now();
            while client.get(format!("{}/readyz", service.url("service"))).send().await.unwrap().status() != 200 {
                assert!(start.elapsed() < PATIENCE, "no assignment: {}", service.printed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        stage
    }

    fn address(&self, service: usize) -> SocketAddr {
        self.services[service].url("service").strip_prefix("http://").unwrap().parse().unwrap()
    }
}

/// Sends each connection to one of two, as a cluster's nodes do: in turn, and never elsewhere once it stands.
struct Balancer {
    address: SocketAddr,
    /// Whether the first of the two was told to end.
    told: Arc<AtomicBool>,
    /// So many connections that one gets before the balancer knows.
    late: Arc<AtomicUsize>,
    open: Arc<[AtomicUsize; 2]>,
}

impl Balancer {
    async fn start(ends: [SocketAddr; 2]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, late) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(50)));
        let open = Arc::new([const { AtomicUsize::new(0) }; 2]);
        let balancer = Self { address, told: told.clone(), late: late.clone(), open: open.clone() };
        tokio::spawn(async move {
            let mut turn = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                turn = 1 - turn;
                let end = match told.load(SeqCst) {
                    false => turn,
                    true if late.load(SeqCst) > 0 => 0,
                    true => 1,
                };
                let (late, open, told) = (late.clone(), open.clone(), told.load(SeqCst));
                open[end].fetch_add(1, SeqCst);
                if end == 0 && told {
                    late.fetch_sub(1, SeqCst);
                }
                tokio::spawn(async move {
                    if let Ok(mut service) = TcpStream::connect(ends[end]).await {
                        let _ = copy_bidirectional(&mut stream, &mut service).await;
                    }
                    open[end].fetch_sub(1, SeqCst);
                });
            }
        });
        balancer
    }

    /// How many stand to each of the two.
    fn connections(&self) -> [usize; 2] {
        [0, 1].map(|end| self.open[end].load(SeqCst))
    }

    fn say(&self) -> String {
        format!("connections {:?}, {} late ones to come", self.connections(), self.late.load(SeqCst))
    }
}
