//! The embedded stage: 90 services, frontend and trace backend in one process, each on a loopback socket of its own.
//!
//! Assignments are handed over inside the process, so no control port is open to the learner. Spans go straight into the store
//! beside it, unless a Jaeger outside is used.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::error;
use url::{Host, Url};

use crate::backend::{self, Listeners, Store};
use crate::config::{Config, base};
use crate::frontend::{Frontend, Game, GameSettings, Redeploy, RedeployHere, Release};
use crate::mystery::{Decoy, Peers};
use crate::outbound;
use crate::redis::Redis;
use crate::server::{self, Stop};
use crate::service::Service;
use crate::telemetry::{Exporter, Ingest, Signal, Telemetry};
use crate::topology::ServiceName;

/// Spans reach the store this soon, so that the page can offer the link while the reader still looks at the button.
const EXPORT_DELAY: Duration = Duration::from_millis(50);

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    addresses: Addresses,
    game: Game,
    redis: Redis,
    telemetry: Telemetry,
    frontend: Group,
    services: Group,
    backend: Group,
}

/// Where to find what. With a Jaeger outside, `jaeger` is that one and the OTLP addresses are absent.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    pub frontend: String,
    pub jaeger: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<String>,
}

/// Servers that stop together.
#[derive(Debug)]
struct Group {
    stop: Stop,
    tasks: JoinSet<()>,
}

impl Sandbox {
    /// Starts everything; when this returns, the page answers.
    ///
    /// # Errors
    /// A port that is taken (the text names the flag that picks another), a state that cannot be read, a setting that makes no
    /// sense.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        check_ways(config)?;
        for service in config.instrumentation.names().filter_map(|name| name.parse::<ServiceName>().ok()) {
            if !config.topology()?.contains(service) {
                bail!(
                    "instrumentation names {service}, which the topology of {} × {} does not contain",
                    config.layers,
                    config.width
                );
            }
            if config.replace.contains_key(&service) {
                bail!(
                    "instrumentation names {service}, which is a program of your own (replace); what it does for tracing is its own"
                );
            }
        }
        let listener = server::bind(config.address(config.port), "--port")?;
        let frontend_url = url_of(&listener)?;
        let client = outbound::client()?;

        let mut backend = Group::new();
        let (telemetry, addresses) = match &config.jaeger {
            Some(jaeger) => {
                let addresses = Addresses { frontend: frontend_url, jaeger: base(jaeger), otlp_http: None, otlp_grpc: None };
                (Telemetry::start(&config.telemetry(), None)?, addresses)
            }
            None => {
                let listeners = Listeners {
                    query: server::bind(config.address(config.jaeger_port), "--jaeger-port")?,
                    otlp_http: server::bind(config.address(config.otlp_http_port), "--otlp-http-port")?,
                    otlp_grpc: server::bind(config.address(config.otlp_grpc_port), "--otlp-grpc-port")?,
                };
                let addresses = Addresses {
                    frontend: frontend_url,
                    jaeger: url_of(&listeners.query)?,
                    otlp_http: Some(url_of(&listeners.otlp_http)?),
                    otlp_grpc: Some(url_of(&listeners.otlp_grpc)?),
                };
                let store = Store::new(config.store_mb << 20);
                backend.spawn(backend::serve(listeners, store.clone(), backend.stop.clone()));
                let mut settings = config.telemetry();
                settings.logs = config.logs_exporter.unwrap_or(Exporter::Otlp);
                settings.delay = config.export_delay_ms.map_or(EXPORT_DELAY, Duration::from_millis);
                (Telemetry::start(&settings, Some(into(store)))?, addresses)
            }
        };

        let mut services = Group::new();
        let fleet = Arc::new(Fleet::start(config, &telemetry, &client, &mut services)?);
        let redis = config.redis.clone().map_or_else(Redis::found, Redis::at);
        let replaced = config.replace.keys().copied().collect();
        let game = Game::open(&GameSettings { replaced, ..config.game_settings(redis.clone())? }).await?;
        fleet.obey(&game)?;
        services.spawn(fleet.clone().follow(game.clone(), services.stop.clone()));

        let jaeger = addresses.jaeger.parse().context("the trace backend's address is no URL")?;
        let peers = fleet.peers.clone();
        let page = Frontend::new(
            config.frontend_settings(jaeger),
            game.clone(),
            &peers,
            Redeploy::Here(fleet.redeploy(game.clone())),
            &telemetry,
            client,
        );
        let mut frontend = Group::new();
        frontend.spawn(page.serve(listener, frontend.stop.clone()));
        Ok(Self { addresses, game, redis, telemetry, frontend, services, backend })
    }

    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub fn game(&self) -> &Game {
        &self.game
    }

    /// Stops in the order of the requests' way, so that what is running finds everything it still needs.
    pub async fn stop(mut self) {
        self.frontend.stop().await;
        self.services.stop().await;
        self.redis.stop().await;
        self.telemetry.shutdown().await;
        self.backend.stop().await;
    }
}

/// Which ways lead to a Jaeger outside depends on the exporter.
fn check_ways(config: &Config) -> anyhow::Result<()> {
    let logs_by_otlp = config.logs_exporter == Some(Exporter::Otlp);
    match (config.exporter, &config.jaeger, &config.otlp) {
        (Exporter::JaegerAgent, None, _) => bail!(
            "the backend inside takes no spans of the exporter jaeger-agent; name the Jaeger that the agent is part of: --jaeger http://127.0.0.1:16686"
        ),
        (Exporter::JaegerAgent, Some(_), Some(_)) if !logs_by_otlp => bail!(
            "traces go to a Jaeger agent, so that nothing goes to --otlp; leave it out, or have logs go there with --logs-exporter otlp"
        ),
        (Exporter::JaegerAgent, Some(_), None) if logs_by_otlp => {
            bail!("--logs-exporter otlp needs --otlp, where logs are received")
        }
        (Exporter::JaegerAgent, Some(_), _) => Ok(()),
        (_, Some(_), None) | (_, None, Some(_)) => bail!(
            "a Jaeger outside needs both addresses: --jaeger (where it is asked) and --otlp (where it receives), or --exporter jaeger-agent"
        ),
        _ => Ok(()),
    }
}

impl Group {
    fn new() -> Self {
        Self { stop: Stop::new(), tasks: JoinSet::new() }
    }

    fn spawn(&mut self, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.tasks.spawn(async move {
            if let Err(error) = task.await {
                error!(error = format!("{error:#}"), "a part of the sandbox failed");
            }
        });
    }

    async fn stop(&mut self) {
        self.stop.stop();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The services that run here, and where all of the topology's are.
struct Fleet {
    services: BTreeMap<ServiceName, Service>,
    peers: Peers,
    /// Held while services are changed: a mystery that is over must not come after the one that runs.
    changing: Mutex<()>,
}

impl Fleet {
    /// Starts every service that is not replaced, each on a free loopback port.
    fn start(config: &Config, telemetry: &Telemetry, client: &reqwest::Client, group: &mut Group) -> anyhow::Result<Self> {
        let mut services = BTreeMap::new();
        let mut places: BTreeMap<ServiceName, String> = config.replace.iter().map(|(name, url)| (*name, base(url))).collect();
        for name in config.topology()?.services().filter(|name| !config.replace.contains_key(name)) {
            let listener = server::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), "--bind")
                .with_context(|| format!("cannot start {name}; fewer services take --layers and --width"))?;
            let service = Service::new(name, false, telemetry, client.clone());
            places.insert(name, url_of(&listener)?);
            let (running, stop) = (service.clone(), group.stop.clone());
            group.tasks.spawn(async move {
                server::serve(listener, running.routes(), stop).await;
                running.finish().await;
            });
            services.insert(name, service);
        }
        // The topology's services are all in `places`: those started here, and those that were replaced.
        let peers = Peers::new(config.topology()?, |name| places.get(&name).cloned().unwrap_or_default())?;
        Ok(Self { services, peers, changing: Mutex::new(()) })
    }

    /// Tells every service what the current mystery wants of it.
    fn obey(&self, game: &Game) -> anyhow::Result<()> {
        let round = game.rounds().borrow().clone();
        let topology = round.mystery.topology;
        let is_own = |name| self.services.get(&name).is_none_or(Service::is_handed_over);
        let some_replaced = topology.services().any(is_own);
        for (name, service) in &self.services {
            let mut assignment = round.mystery.assignment(*name, &self.peers, round.redis.as_ref());
            // A learner's own program need not know how to come again: to it a refusal would be a failure.
            assignment.decoy = assignment.decoy.filter(|decoy| !(some_replaced && matches!(decoy, Decoy::Refusal { .. })));
            service.assign(assignment)?;
        }
        Ok(())
    }

    /// Obeys every new mystery until `stop`. All services go back to v1 first: one that is patched, or in whose place a program of the
    /// learner's own answers, may be the next culprit, and could not be found.
    async fn follow(self: Arc<Self>, game: Game, stop: Stop) -> anyhow::Result<()> {
        let mut rounds = game.rounds();
        let stopped = stop.stopped();
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                changed = rounds.changed() => changed.context("the game is gone")?,
                () = &mut stopped => return Ok(()),
            }
            rounds.borrow_and_update();
            let _changing = self.change();
            for service in self.services.values().filter(|service| !service.is_original()) {
                service.deploy(false);
            }
            self.obey(&game)?;
        }
    }

    fn redeploy(self: Arc<Self>, game: Game) -> RedeployHere {
        Arc::new(move |name, release| {
            let Some(service) = self.services.get(&name) else {
                bail!("{name} is a program of your own (--replace); restart it yourself");
            };
            let _changing = self.change();
            match release {
                Release::Version(version) => service.deploy(version.is_patched()),
                Release::Program(url) => {
                    if let Some(itself) = self.at(&url) {
                        bail!("{url} is {itself} itself; name the address of a program of your own");
                    }
                    service.hand_over(url);
                }
            }
            // Some are told something else beside a learner's own program.
            self.obey(&game)
        })
    }

    /// Which service listens there: one that asked itself would never end.
    fn at(&self, url: &Url) -> Option<ServiceName> {
        let is_here = match url.host()? {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(ip) => ip.is_loopback() || ip.is_unspecified(),
            Host::Ipv6(ip) => ip.is_loopback() || ip.is_unspecified(),
        };
        let is_it = |service: &&Service| {
            let mut layer = self.peers.layer(service.name().layer).iter();
            layer.any(|peer| peer.name == service.name() && peer.url.port() == url.port())
        };
        is_here.then(|| self.services.values().find(is_it).map(Service::name)).flatten()
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        // Nothing in it can be half done: the next mystery or redeployment tells everybody everything.
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store as the end of the telemetry pipeline.
fn into(store: Store) -> Ingest {
    Arc::new(move |signal, body| {
        let accepted = match signal {
            Signal::Traces => store.ingest_traces(body),
            Signal::Logs => store.ingest_logs(body),
        };
        accepted.map(|_| ()).map_err(|error| error.to_string())
    })
}

fn url_of(listener: &TcpListener) -> anyhow::Result<String> {
    let address = listener.local_addr().context("a listener has no address")?;
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    Ok(format!("http://{}", SocketAddr::new(ip, address.port())))
}
