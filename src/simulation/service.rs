//! What frontend and services do with a request: the same as [`crate::service`] and [`crate::frontend`], span by span.

use std::cell::{Cell, RefCell, RefMut};

use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Semaphore;
use url::Url;

use super::Load;
use super::clock::Clock;
use super::machine::{Cores, Machine};
use super::nginx::Server;
use super::record::{Carried, Recorder, Started};
use crate::diagnose::model::{Builder, Kind, Resource, Status, Text, Traces};
use crate::mystery::{Assignment, Decoy, Delay, Fault, Mystery, Peers, Spoiled};
use crate::topology::{FAN_OUT, Route, ServiceName};

/// The first of the ports on which services listen where all are on one machine.
const FIRST_PORT: u32 = 32_000;
/// One round trip to Redis takes so long, in microseconds, and a key in a pipeline so much more; …
const REDIS_US: f64 = 60.0;
const REDIS_KEY_US: f64 = 1.5;
/// … so much of that is work here.
const REDIS_WORK: f64 = 0.15;

const OK: u16 = 200;
const FAILED: u16 = 500;
const BAD_GATEWAY: u16 = 502;
const REFUSED: u16 = 503;
const GATEWAY_TIMEOUT: u16 = 504;
/// What a service books a request under whose caller has gone away.
const GONE: u16 = 499;

/// Everything that runs.
pub(super) struct World<'a> {
    pub clock: Clock,
    mystery: &'a Mystery,
    recorder: Recorder,
    rng: RefCell<ChaCha8Rng>,
    cores: Cores,
    keys: Keys,
    /// Layer by layer.
    services: Vec<Node>,
    frontend: Node,
    /// An nginx in front of the frontend, and one between it and layer 0.
    edge: Option<Server>,
    gateway: Option<Server>,
}

/// A service, or the frontend.
struct Node {
    /// The frontend has none.
    assignment: Option<Assignment>,
    resource: u32,
    /// Of every server span here.
    server: Vec<(Text, Text)>,
    /// Of every client span of a call that comes here.
    client: Vec<(Text, Text)>,
    pool: Semaphore,
    calls: Cell<u32>,
    connections: Cell<u32>,
    next: Vec<usize>,
}

/// Texts that are needed again and again.
struct Keys {
    status_code: Text,
    error_type: Text,
    customer: Text,
    client: Text,
    resent: (Text, Text),
    old_status_code: Text,
    limit_req_status: Text,
    set: Vec<(Text, Text)>,
    pipeline: Vec<(Text, Text)>,
}

/// A span that ends whatever happens: also when its request is dropped half-way.
struct Open<'w> {
    world: &'w World<'w>,
    span: Started,
    ended: bool,
}

impl<'a> World<'a> {
    pub fn new(mystery: &'a Mystery, load: &Load) -> Self {
        let topology = mystery.topology;
        let mut builder = Builder::default();
        let place = |name: ServiceName| u32::from(name.layer) * u32::from(topology.width) + u32::from(name.number);
        let address = |name: ServiceName| match load.nodes {
            Some(_) => (name.to_string(), 8_080),
            None => ("127.0.0.1".to_owned(), FIRST_PORT + place(name)),
        };
        let url_of = |name| {
            let (host, port) = address(name);
            format!("http://{host}:{port}/")
        };
        let peers = Peers::new(topology, url_of).expect("these are URLs");
        let redis = load.redis.then(|| Url::parse("redis://127.0.0.1:6379").expect("this is a URL"));
        let pod = |name: &str, number: u32| {
            let nodes = load.nodes?;
            // As a scheduler would: neighbours do not share a node, and a pod's name has a tail that says nothing.
            let node = number.wrapping_mul(2_654_435_761) % u32::from(nodes.max(1));
            Some((format!("node-{node}"), format!("{name}-{:05x}", number.wrapping_mul(40_503) & 0xf_ffff)))
        };
        let services = topology.services().map(|name| {
            let assignment = mystery.assignment(name, &peers, redis.as_ref());
            let (host, port) = address(name);
            let text = name.to_string();
            let place_of = [("tracelab.layer", name.layer.to_string()), ("tracelab.number", name.number.to_string())];
            Node {
                resource: resource(&mut builder, &text, &place_of, pod(&text, place(name))),
                server: server_attributes(&mut builder, "GET", "/", "/", &host, port),
                client: client_attributes(&mut builder, &url_of(name), &host, port),
                pool: Semaphore::new(1),
                calls: Cell::new(0),
                connections: Cell::new(0),
                next: assignment.next.iter().map(|peer| place(peer.name) as usize).collect(),
                assignment: Some(assignment),
            }
        });
        let services: Vec<Node> = services.collect();
        let frontend = Node {
            assignment: None,
            resource: resource(&mut builder, "frontend", &[], pod("frontend", 7)),
            server: server_attributes(&mut builder, "POST", "/api/buttons/{n}", "", "127.0.0.1", 8_080),
            client: Vec::new(),
            pool: Semaphore::new(1),
            calls: Cell::new(0),
            connections: Cell::new(0),
            next: (0..usize::from(topology.width)).collect(),
        };
        let super::Nginx { edge, gateway, edge_limit, gateway_limit } = load.nginx;
        let edge = edge.map(|name| Server::new(&mut builder, name, "edge", "18080", edge_limit));
        let gateway = gateway.map(|name| Server::new(&mut builder, name, "gateway", "18081", gateway_limit));
        let coarse = edge.iter().chain(&gateway).map(|server| server.resource).collect();
        let batch = services.iter().filter_map(|node| node.assignment.as_ref()?.redis.as_ref()).map(|redis| redis.keys).max();
        let mut rng = ChaCha8Rng::seed_from_u64(load.seed);
        let keys = Keys::new(&mut builder, batch.unwrap_or(0));
        Self {
            clock: Clock::default(),
            mystery,
            recorder: Recorder::new(builder, load.seed, coarse),
            cores: Cores::new(&load.machine, &mut rng),
            rng: RefCell::new(rng),
            keys,
            services,
            frontend,
            edge,
            gateway,
        }
    }

    pub fn finish(self) -> Traces {
        self.recorder.finish()
    }

    /// Call `number` of a run, counted from 0; it ends when the answer is read.
    pub async fn press(&self, number: u64) {
        let button = usize::try_from(number % self.frontend.next.len() as u64).expect("a remainder is below the number of buttons");
        let customer = self.mystery.customers.pick(&mut *self.rng()).to_owned();
        let carried = Carried {
            trace: self.recorder.trace_id(),
            parent: 0,
            customer: Some(self.recorder.text(&customer)),
            client: Some(self.recorder.text(&format!("load0001-{}", number + 1))),
            spoilt: false,
            again: false,
        };
        let (passing, carried) = self.enter(self.edge.as_ref(), carried).await;
        self.arrive(&self.frontend).await;
        let mut span = self.server_span(&self.frontend, "POST /api/buttons/{n}", &carried);
        let path = (self.recorder.text("url.path"), self.recorder.text(&format!("/api/buttons/{button}")));
        span.span.attributes.push(path);
        self.go_on().await;
        let status = match self.call(&self.frontend, self.frontend.next[button], span.carries(&carried)).await {
            OK => OK,
            GATEWAY_TIMEOUT => GATEWAY_TIMEOUT,
            _ => BAD_GATEWAY,
        };
        self.go_on().await;
        span.finish_server(status);
        self.leave(&self.frontend).await;
        self.pass_back(passing, status).await;
    }

    /// A client span, or two where the first call is refused.
    async fn call(&self, caller: &Node, callee: usize, mut carried: Carried) -> u16 {
        loop {
            let status = self.try_call(caller, callee, carried).await;
            if status != REFUSED || carried.again {
                return status;
            }
            carried.again = true;
        }
    }

    async fn try_call(&self, caller: &Node, callee: usize, carried: Carried) -> u16 {
        let mut attributes = Vec::with_capacity(8);
        let gateway = self.gateway.as_ref().filter(|_| caller.assignment.is_none());
        attributes.extend_from_slice(gateway.map_or(&self.services[callee].client, |gateway| &gateway.client));
        attributes.extend(carried.again.then_some(self.keys.resent));
        let span = self.open(Started {
            trace: carried.trace,
            id: self.recorder.id(),
            parent: carried.parent,
            operation: "GET",
            resource: caller.resource,
            kind: Kind::Client,
            start: self.clock.now(),
            attributes,
        });
        let mut sent = Carried { parent: span.span.id, ..carried };
        let fault = caller.assignment.as_ref().and_then(|assignment| assignment.fault.as_ref());
        match fault {
            Some(Fault::Network { callee: name, delay }) if self.services[callee].name() == Some(*name) => self.nap(*delay).await,
            Some(Fault::Spoil) => sent.spoilt = true,
            Some(Fault::LostContext) => {
                sent = Carried { trace: self.recorder.trace_id(), parent: 0, customer: None, client: None, ..sent };
            }
            _ => {}
        }
        let (passing, sent) = self.enter(gateway, sent).await;
        self.arrive(&self.services[callee]).await;
        let status = self.serve(callee, sent).await;
        self.leave(&self.services[callee]).await;
        self.pass_back(passing, status).await;
        span.finish_client(status);
        status
    }

    /// Boxed, because services call services.
    fn serve(&self, place: usize, carried: Carried) -> LocalBoxFuture<'_, u16> {
        async move {
            let node = &self.services[place];
            let span = self.server_span(node, "GET /", &carried);
            let status = self.answer(node, span.carries(&carried), carried.again).await;
            span.finish_server(status);
            status
        }
        .boxed_local()
    }

    /// `again` says that it was refused before: nobody is refused twice.
    async fn answer(&self, node: &Node, carried: Carried, again: bool) -> u16 {
        let Some(assignment) = &node.assignment else { return FAILED };
        if let Some(Decoy::Refusal { share }) = assignment.decoy
            && !again
            && self.chance(share)
        {
            self.go_on().await;
            return REFUSED;
        }
        let (delay, fails) = self.suffer(assignment, &carried);
        if delay > 0 {
            let late = self.cores.late(&mut *self.rng());
            self.clock.sleep(delay + late).await;
            self.work(|machine| machine.handle_us).await;
        } else {
            self.go_on().await;
        }
        if let Some(Fault::Contention { hold }) = assignment.fault {
            let _turn = node.pool.acquire().await;
            self.nap(hold).await;
        }
        if fails {
            return FAILED;
        }
        if let Some(redis) = &assignment.redis {
            self.write(node, &carried, redis.keys, assignment.fault == Some(Fault::KeyByKey)).await;
        }
        let status = self.forward(node, assignment.route, carried).await;
        if let Some(Decoy::Background { delay, share }) = assignment.decoy
            && status == OK
            && self.chance(share)
        {
            self.refresh(node, &carried, delay);
        }
        status
    }

    /// How long a request sleeps, and whether it then fails: one sleep, as in the real service.
    fn suffer(&self, assignment: &Assignment, carried: &Carried) -> (u64, bool) {
        let mut rng = self.rng();
        let mut delay = assignment.delay.sample(&mut *rng);
        let mut fails = false;
        match &assignment.fault {
            Some(Fault::Sleep { delay: more }) => delay += more.sample(&mut *rng),
            Some(Fault::RareSleep { delay: more, share }) if rng.random_bool(*share) => delay += more.sample(&mut *rng),
            Some(Fault::Failure { share }) => fails = rng.random_bool(*share),
            Some(Fault::Customer { customer, delay: more, share }) if carried.customer == Some(self.recorder.text(customer)) => {
                delay += more.sample(&mut *rng);
                fails = rng.random_bool(*share);
            }
            _ => {}
        }
        match assignment.spoiled.filter(|_| carried.spoilt) {
            Some(Spoiled::Slow { delay: more }) => delay += more.sample(&mut *rng),
            Some(Spoiled::Fails) => fails = true,
            None => {}
        }
        (u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX), fails)
    }

    async fn forward(&self, node: &Node, route: Route, carried: Carried) -> u16 {
        match (&node.next[..], route) {
            ([], _) => OK,
            (next, Route::Straight | Route::Random) => {
                let place = self.rng().random_range(0..next.len());
                passed_on(self.call(node, next[place], carried).await)
            }
            (next, Route::All) => {
                let calls = next.iter().map(|callee| self.call(node, *callee, carried));
                let mut answers = stream::iter(calls).buffered(FAN_OUT.into());
                while let Some(status) = answers.next().await {
                    if status != OK {
                        return passed_on(status);
                    }
                }
                OK
            }
        }
    }

    async fn write(&self, node: &Node, carried: &Carried, keys: u32, one_by_one: bool) {
        let commands = if one_by_one { keys } else { 1 };
        for _ in 0..commands {
            let (operation, attributes) = match one_by_one {
                true => ("SET 127.0.0.1:6379", &self.keys.set),
                false => ("PIPELINE SET 127.0.0.1:6379", &self.keys.pipeline),
            };
            let span = self.open(Started {
                trace: carried.trace,
                id: self.recorder.id(),
                parent: carried.parent,
                operation,
                resource: node.resource,
                kind: Kind::Client,
                start: self.clock.now(),
                attributes: attributes.clone(),
            });
            let us = if one_by_one { REDIS_US } else { REDIS_US + REDIS_KEY_US * f64::from(keys) };
            self.work(|_| us * REDIS_WORK).await;
            let there = self.cores.scattered(us * (1.0 - REDIS_WORK), &mut *self.rng());
            self.clock.sleep(there).await;
            span.end(Status::Unset);
        }
    }

    /// What goes on in the background after the answer: nobody waits for it, so its end is known at once.
    fn refresh(&self, node: &Node, carried: &Carried, delay: Delay) {
        let duration = delay.sample(&mut *self.rng()).as_nanos();
        let start = self.clock.now();
        let span = Started {
            trace: carried.trace,
            id: self.recorder.id(),
            parent: carried.parent,
            operation: "refresh cache",
            resource: node.resource,
            kind: Kind::Internal,
            start,
            attributes: Vec::new(),
        };
        self.recorder.end(&span, start.saturating_add(u64::try_from(duration).unwrap_or(u64::MAX)), Status::Unset);
    }

    /// The way into an nginx, if there is one, until it calls whoever is behind it.
    async fn enter(&self, server: Option<&Server>, carried: Carried) -> (Option<Open<'_>>, Carried) {
        let Some(server) = server else { return (None, carried) };
        self.go_through().await;
        let mut span = self.open(Started {
            trace: carried.trace,
            id: self.recorder.id(),
            parent: carried.parent,
            operation: "/",
            resource: server.resource,
            kind: Kind::Server,
            start: self.clock.now(),
            attributes: server.attributes.clone(),
        });
        if let Some(wait) = server.wait(self.clock.now()) {
            let said = (self.keys.limit_req_status, self.recorder.text(if wait > 0 { "DELAYED" } else { "PASSED" }));
            span.span.attributes.push(said);
            self.clock.sleep(wait).await;
        }
        let carried = Carried { parent: span.span.id, ..carried };
        (Some(span), carried)
    }

    /// The way of an answer back through it.
    async fn pass_back(&self, passing: Option<Open<'_>>, status: u16) {
        let Some(mut span) = passing else { return };
        span.span.attributes.push((self.keys.old_status_code, self.recorder.text(&status.to_string())));
        span.end(if status >= 500 { Status::Error } else { Status::Unset });
        self.go_through().await;
    }

    async fn go_through(&self) {
        self.work(|machine| machine.send_us).await;
        let wire = self.cores.wire(&mut *self.rng());
        self.clock.sleep(wire).await;
    }

    /// The way of a request from its client to `node`.
    async fn arrive(&self, node: &Node) {
        node.calls.set(node.calls.get() + 1);
        if node.calls.get() > node.connections.get() {
            node.connections.set(node.calls.get());
            let connected = self.cores.connected(self.clock.now(), &mut *self.rng());
            self.clock.until(connected).await;
        }
        self.work(|machine| machine.send_us).await;
        let wire = self.cores.wire(&mut *self.rng());
        self.clock.sleep(wire).await;
        self.work(|machine| machine.accept_us).await;
    }

    /// The way of an answer back from `node`.
    async fn leave(&self, node: &Node) {
        let Machine { reply_us, aside_us, .. } = *self.cores.machine();
        self.work(|_| reply_us / 2.0).await;
        let wire = self.cores.wire(&mut *self.rng());
        self.clock.sleep(wire).await;
        self.work(|_| reply_us / 2.0).await;
        self.cores.done(self.clock.now(), aside_us, &mut *self.rng());
        node.calls.set(node.calls.get().saturating_sub(1));
    }

    /// What is done at once by whoever has a core already.
    async fn go_on(&self) {
        let us = self.cores.machine().handle_us;
        let time = self.cores.scattered(us, &mut *self.rng());
        self.clock.sleep(time).await;
    }

    async fn work(&self, us: impl FnOnce(&Machine) -> f64) {
        let done = self.cores.done(self.clock.now(), us(self.cores.machine()), &mut *self.rng());
        self.clock.until(done).await;
    }

    async fn nap(&self, delay: Delay) {
        let (delay, late) = {
            let mut rng = self.rng();
            (delay.sample(&mut *rng), self.cores.late(&mut *rng))
        };
        self.clock.sleep(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX).saturating_add(late)).await;
    }

    fn chance(&self, share: f64) -> bool {
        self.rng().random_bool(share.clamp(0.0, 1.0))
    }

    fn rng(&self) -> RefMut<'_, ChaCha8Rng> {
        self.rng.borrow_mut()
    }

    fn server_span(&self, node: &Node, operation: &'static str, carried: &Carried) -> Open<'_> {
        let mut attributes = Vec::with_capacity(node.server.len() + 4);
        attributes.extend_from_slice(&node.server);
        attributes.extend(carried.customer.map(|customer| (self.keys.customer, customer)));
        attributes.extend(carried.client.map(|client| (self.keys.client, client)));
        self.open(Started {
            trace: carried.trace,
            id: self.recorder.id(),
            parent: carried.parent,
            operation,
            resource: node.resource,
            kind: Kind::Server,
            start: self.clock.now(),
            attributes,
        })
    }

    fn open(&self, span: Started) -> Open<'_> {
        Open { world: self, span, ended: false }
    }
}

impl Node {
    fn name(&self) -> Option<ServiceName> {
        self.assignment.as_ref().map(|assignment| assignment.service)
    }
}

impl Open<'_> {
    /// What a call inside this span carries.
    fn carries(&self, carried: &Carried) -> Carried {
        Carried { parent: self.span.id, again: false, ..*carried }
    }

    fn finish_server(mut self, status: u16) {
        self.book(status);
        self.end(if status >= 500 { Status::Error } else { Status::Unset });
    }

    /// For a client 4xx is an error too.
    fn finish_client(mut self, status: u16) {
        self.book(status);
        self.end(if status >= 400 { Status::Error } else { Status::Unset });
    }

    fn book(&mut self, status: u16) {
        let Keys { status_code, error_type, .. } = self.world.keys;
        let text = self.world.recorder.text(&status.to_string());
        self.span.attributes.push((status_code, text));
        if status >= 500 {
            self.span.attributes.push((error_type, text));
        }
    }

    fn end(mut self, status: Status) {
        self.ended = true;
        self.world.recorder.end(&self.span, self.world.clock.now(), status);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if self.span.kind == Kind::Server {
            self.book(GONE);
        }
        self.world.recorder.end(&self.span, self.world.clock.now(), Status::Unset);
    }
}

impl Keys {
    fn new(builder: &mut Builder, keys: u32) -> Self {
        let redis = |builder: &mut Builder, operation: &str, batch: &str| {
            let pairs = [
                ("db.system.name", "redis"),
                ("db.operation.name", operation),
                ("db.operation.batch.size", batch),
                ("db.namespace", "0"),
                ("server.address", "127.0.0.1"),
                ("server.port", "6379"),
            ];
            let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
            pairs.map(|(key, value)| (builder.text(key), builder.text(value))).collect()
        };
        Self {
            status_code: builder.text("http.response.status_code"),
            error_type: builder.text("error.type"),
            customer: builder.text("customer.id"),
            client: builder.text("client"),
            resent: (builder.text("http.request.resend_count"), builder.text("1")),
            old_status_code: builder.text("http.status_code"),
            limit_req_status: builder.text("nginx.limit_req_status"),
            set: redis(builder, "SET", ""),
            pipeline: redis(builder, "PIPELINE SET", &keys.to_string()),
        }
    }
}

/// A callee's failure is passed on with its status.
fn passed_on(status: u16) -> u16 {
    match status {
        OK | 500.. => status,
        _ => BAD_GATEWAY,
    }
}

fn resource(builder: &mut Builder, service: &str, place: &[(&str, String)], pod: Option<(String, String)>) -> u32 {
    let mut attributes: Vec<(&str, String)> = vec![
        ("service.version", "v1".to_owned()),
        ("telemetry.sdk.language", "rust".to_owned()),
        ("telemetry.sdk.name", "opentelemetry".to_owned()),
    ];
    attributes.extend(place.iter().cloned());
    if let Some((node, pod)) = pod {
        attributes.push(("k8s.node.name", node));
        attributes.push(("k8s.pod.name", pod));
    }
    attributes.sort_unstable();
    let attributes = attributes.iter().map(|(key, value)| (builder.text(key), builder.text(value))).collect();
    let service = builder.text(service);
    builder.resource(Resource { service, attributes })
}

fn server_attributes(builder: &mut Builder, method: &str, route: &str, path: &str, host: &str, port: u32) -> Vec<(Text, Text)> {
    let port = port.to_string();
    let pairs = [
        ("http.request.method", method),
        ("http.route", route),
        ("url.path", path),
        ("url.scheme", "http"),
        ("server.address", host),
        ("server.port", &port),
    ];
    // The frontend's path is another one for every button.
    pairs.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (builder.text(key), builder.text(value))).collect()
}

fn client_attributes(builder: &mut Builder, url: &str, host: &str, port: u32) -> Vec<(Text, Text)> {
    let port = port.to_string();
    let pairs = [("http.request.method", "GET"), ("url.full", url), ("server.address", host), ("server.port", &port)];
    pairs.into_iter().map(|(key, value)| (builder.text(key), builder.text(value))).collect()
}
