//! The frontend: the sandbox page and its API on the public port, the game behind it, assignments on the control port.
//!
//! Which services there are and where they listen is the stage's to know; it says so through [`Peers`] and [`Redeploy`].

mod api;
mod buttons;
mod control;
mod error;
mod explain;
mod fields;
mod game;
pub mod game_day;
mod hints;
mod map;
mod origin;
mod page;
mod runs;
mod state;
mod traces;

pub use game::{Begun, DEFAULT_TEAM, Game, GameError, GameSettings, Graded, Hint, Revealed, Round, Score, TeamScore};
pub use hints::{Candidates, Pair};
pub use state::{MAX_SEED, NotACause, Pick};

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use url::Url;

use crate::caller::Caller;
use crate::mystery::Peers;
use crate::server::{self, Stop};
use crate::telemetry::{Identity, Instrument, Telemetry};
use crate::topology::{ServiceName, Topology};

/// What the frontend is called among the services.
pub const NAME: &str = "frontend";
/// Presses beyond this many at a time get 503; a run's largest concurrency fits in, with room for others.
pub const MAX_IN_FLIGHT: usize = 2_048;
/// A call takes no longer than this. Services give up after 10 s, so that the one that waited for nothing is the one to say so.
pub const CALL_LIMIT: Duration = Duration::from_secs(15);

/// Puts a release of a service in place, which answers from then on.
pub type RedeployHere = Arc<dyn Fn(ServiceName, Release) -> anyhow::Result<()> + Send + Sync>;

/// What the public port needs to know, beside the game.
#[derive(Clone, Default)]
pub struct Settings {
    /// Base URL of the Jaeger query API, asked whether a trace is there.
    pub jaeger: Option<Url>,
    /// Where a reader's browser finds Jaeger; `jaeger` where absent.
    pub jaeger_links: Option<Url>,
    /// Reveal, mystery and redeploy need it where it is set.
    pub instructor_token: Option<String>,
    /// Names by which the frontend may be addressed beside loopback, `host` or `host:port`.
    pub allowed_hosts: Vec<String>,
}

/// A version of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// As the mystery has it.
    V1,
    /// Patched: ignores its fault.
    V2,
}

/// What may answer in a service's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    Version(Version),
    /// The learner's own program at this URL.
    Program(Url),
}

/// What the stage does when somebody wants another release of a service.
#[derive(Clone)]
pub enum Redeploy {
    /// The services are in this process, and the stage exchanges them.
    Here(RedeployHere),
    /// It cannot be done from here (501); the text says how it is done instead, with `{service}` for the service's name.
    Elsewhere(String),
}

/// A frontend; clones are the same one.
#[derive(Clone)]
pub struct Frontend(Arc<Inner>);

struct Inner {
    topology: Topology,
    game: Game,
    /// What each button calls.
    buttons: Vec<Url>,
    redeploy: Redeploy,
    instructor_token: Option<String>,
    allowed_hosts: Vec<String>,
    /// Known once the public port is.
    gate: OnceLock<origin::Gate>,
    instrument: Instrument,
    caller: Caller,
    client: reqwest::Client,
    traces: traces::Traces,
    map: map::Map,
    runs: Arc<runs::Runs>,
    in_flight: Semaphore,
}

impl Frontend {
    /// A frontend for `game`, whose services are at `peers`; `client` makes all its outgoing calls.
    pub fn new(
        settings: Settings,
        game: Game,
        peers: &Peers,
        redeploy: Redeploy,
        telemetry: &Telemetry,
        client: reqwest::Client,
    ) -> Self {
        let Settings { jaeger, jaeger_links, instructor_token, allowed_hosts } = settings;
        let topology = game.topology();
        let buttons = peers.layer(0).iter().map(|peer| peer.url.clone()).collect();
        let instrument = telemetry.instrument(&Identity::named(NAME));
        Self(Arc::new(Inner {
            topology,
            game,
            buttons,
            redeploy,
            instructor_token,
            allowed_hosts,
            gate: OnceLock::new(),
            caller: Caller::new(client.clone(), instrument.clone(), CALL_LIMIT),
            instrument,
            map: map::Map::new(client.clone(), jaeger.clone(), topology),
            traces: traces::Traces::new(client.clone(), jaeger, jaeger_links),
            client,
            runs: Arc::default(),
            in_flight: Semaphore::new(MAX_IN_FLIGHT),
        }))
    }

    /// Serves page and API until `stop`, and keeps the time of game days meanwhile. A run that is under way then ends, and its client is told what was done.
    ///
    /// # Errors
    /// The listener has no address.
    pub async fn serve(self, listener: TcpListener, stop: Stop) -> anyhow::Result<()> {
        let bound = listener.local_addr().context("the public port has no address")?;
        self.0.gate.get_or_init(|| origin::Gate::new(bound, &self.0.allowed_hosts));
        let own = own_url(bound)?;
        let game = self.0.game.clone();
        tokio::select! {
            () = server::serve(listener, api::routes(&self, own, stop.clone()), stop) => Ok(()),
            never = game.keep_time() => match never {},
        }
    }
}

/// Serves the assignments of `game` until `stop`; services that wait are answered then.
pub async fn serve_control(game: Game, peers: Arc<Peers>, listener: TcpListener, stop: Stop) {
    server::serve(listener, control::routes(game, peers, stop.clone()), stop).await;
}

/// How this process reaches what it serves at `bound` itself.
fn own_url(bound: SocketAddr) -> anyhow::Result<Url> {
    let ip = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let url = format!("http://{}", SocketAddr::new(ip, bound.port()));
    Url::parse(&url).with_context(|| format!("{url} is no URL"))
}

impl Version {
    pub fn is_patched(self) -> bool {
        self == Version::V2
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Release::Version(version) => version.fmt(f),
            Release::Program(url) => url.fmt(f),
        }
    }
}

impl FromStr for Release {
    type Err = NotARelease;

    /// `v1`, `v2`, or a URL with the scheme `http`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(version) = text.parse() {
            return Ok(Release::Version(version));
        }
        program(text).map(Release::Program).map_err(|_| NotARelease(text.to_owned()))
    }
}

/// Where a learner's own program answers.
fn program(text: &str) -> Result<Url, NotAProgram> {
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(url),
        _ => Err(NotAProgram(text.to_owned())),
    }
}

/// No version, and no address of a program either.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:.60?} is neither a version (v1 or, patched, v2) nor the address of a program, for example http://127.0.0.1:9000")]
pub struct NotARelease(String);

/// No address of a program.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:.60?} is no http:// URL; a program is named by one, for example http://127.0.0.1:9000")]
struct NotAProgram(String);

/// Neither `v1` nor `v2`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:.20?} is not a version; there are v1 and, patched, v2")]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "v1" => Ok(Version::V1),
            "v2" => Ok(Version::V2),
            _ => Err(NotAVersion(text.to_owned())),
        }
    }
}
