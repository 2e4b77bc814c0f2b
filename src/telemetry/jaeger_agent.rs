//! Spans to the agent of a Jaeger that knows no OTLP: Thrift, in datagrams.
//!
//! The crate `opentelemetry-jaeger` ended with opentelemetry 0.23. This is the one module that knows that version: spans of today
//! are converted on their way in, and the crate only encodes. Left to itself it would take a socket a service and have the C library
//! resolve the agent's name, which a static binary cannot; so it is given a runtime whose socket is a buffer, and the datagrams are
//! sent from here, through one socket for all services. Its exporters are one a service, since a service's name is the
//! exporter's and not its resource's.
//!
//! Nobody acknowledges a datagram. What can be known is counted: spans that fit into none, names that nobody resolves, and the
//! refusals that a system without an agent sends back.
#![allow(deprecated, reason = "the whole crate is: Jaeger takes OTLP today, and the Jaeger of 2019 is what this is for")]

use std::borrow::Cow;
use std::fmt;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::BoxFuture;
use opentelemetry::trace::{SpanContext, SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_jaeger::JaegerTraceRuntime;
use opentelemetry_of_jaeger::trace as old;
use opentelemetry_of_jaeger::{InstrumentationLibrary as OldScope, Key as OldKey, KeyValue as OldKeyValue, Value as OldValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk_of_jaeger::Resource as OldResource;
use opentelemetry_sdk_of_jaeger::export::trace::{SpanData as OldSpanData, SpanExporter as _};
use opentelemetry_sdk_of_jaeger::runtime::{Runtime, RuntimeChannel, TrySend, TrySendError};
use opentelemetry_sdk_of_jaeger::trace::{Config as OldConfig, SpanEvents as OldEvents, SpanLinks as OldLinks};
use opentelemetry_semantic_conventions::attribute::SERVICE_NAME;
use tokio::net::UdpSocket;
use tokio::sync::Mutex;

use super::sink::{Failed, variable};
use crate::caller::sleep;
use crate::outbound;

/// Bytes of a datagram that every Jaeger takes; macOS sends none that is longer than its default.
pub const LARGEST_DATAGRAM: usize = if cfg!(target_os = "macos") { 9_216 } else { 65_000 };
/// So many spans are tried in one datagram; nearly always they fit.
const SPANS: usize = 100;
const PORT: u16 = 6831;
/// A name is resolved again after this long, since an agent may move and its old address may say nothing.
const RENEW: Duration = Duration::from_secs(10);
/// What cannot be resolved is not asked for again sooner than this.
const PAUSE: Duration = Duration::from_secs(1);
const RESOLVE_LIMIT: Duration = Duration::from_secs(3);

/// After so many bytes the agent gets some time to read: Linux gives it a buffer of 208 KiB, and counts each datagram for more than its length.
const BURST: usize = 64 << 10;
const OVERHEAD: usize = 4 << 10;
const BREATH: Duration = Duration::from_millis(1);

const HOST_VARIABLE: &str = "OTEL_EXPORTER_JAEGER_AGENT_HOST";
const PORT_VARIABLE: &str = "OTEL_EXPORTER_JAEGER_AGENT_PORT";

/// Where an agent listens: `HOST:PORT`, or `HOST` with the usual port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentAddress {
    host: String,
    port: u16,
}

impl AgentAddress {
    /// What the standard variables say, else localhost.
    ///
    /// # Errors
    /// A host or a port that is none.
    pub fn standard() -> anyhow::Result<Self> {
        Self::of_standard(variable(HOST_VARIABLE).as_deref(), variable(PORT_VARIABLE).as_deref())
    }

    fn of_standard(host: Option<&str>, port: Option<&str>) -> anyhow::Result<Self> {
        let read = |name: &str, said: &str, takes: &str, address: String| {
            address.parse::<Self>().map_err(|_| anyhow!("{name} is {said:?}; it takes {takes}"))
        };
        let host = host.map_or(Ok("localhost".to_owned()), |said| {
            let host = said.trim();
            let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
            let takes = "the name or address of an agent's host, without a port";
            read(HOST_VARIABLE, said, takes, format!("{host}:{PORT}")).map(|address| address.host)
        })?;
        let port = port.map_or(Ok(PORT), |said| {
            read(PORT_VARIABLE, said, "a port from 1 to 65535", format!("localhost:{}", said.trim())).map(|address| address.port)
        })?;
        Ok(Self { host, port })
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let addresses = tokio::time::timeout(RESOLVE_LIMIT, outbound::addresses(&self.host, self.port));
        match addresses.await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(Ok(_)) => Err(format!("{} has no address", self.host)),
            Ok(Err(error)) => Err(format!("cannot resolve {}: {error}", self.host)),
            Err(_) => Err(format!("cannot resolve {} within {RESOLVE_LIMIT:?}", self.host)),
        }
    }
}

impl FromStr for AgentAddress {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (host, port) = match text.parse::<IpAddr>() {
            Ok(_) => (text, None),
            Err(_) => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.map_or(Ok(PORT), str::parse).ok().filter(|port| *port != 0);
        // Only an address of IPv6 holds colons.
        let is_host = !host.is_empty() && !host.contains(['/', ' ']) && (!host.contains(':') || host.parse::<Ipv6Addr>().is_ok());
        let Some(port) = port.filter(|_| is_host) else {
            bail!("{text:?} is no address of an agent; it should look like localhost:6831");
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The crate reads the standard variables itself, above what it is told, and has the C library resolve a name that they hold. So
/// where they say what it could not read, this program begins once more without them, and says itself where the agent is. To be
/// called before anything else was started.
///
/// # Errors
/// The variables make no sense, or the system does not start the program again.
pub fn take_over_standard_variables(told: Option<&AgentAddress>) -> anyhow::Result<()> {
    // What makes no sense is said first.
    let agent = told.cloned().map_or_else(AgentAddress::standard, Ok)?;
    let host = std::env::var(HOST_VARIABLE).ok();
    let port = std::env::var(PORT_VARIABLE).ok();
    let read = |text: &Option<String>, default: &str| text.as_deref().unwrap_or(default).trim().to_owned();
    let as_the_crate_does = format!("{}:{}", read(&host, "127.0.0.1"), read(&port, "6831"));
    if as_the_crate_does.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    let error = begin_again(std::env::current_exe(), told.is_none(), &agent);
    bail!(
        "cannot begin again without {HOST_VARIABLE} ({error}); \
         set TRACELAB_JAEGER_AGENT={agent} and unset {HOST_VARIABLE} and {PORT_VARIABLE}"
    );
}

/// Comes back only with why it did not go.
#[cfg(unix)]
fn begin_again(program: io::Result<PathBuf>, tell: bool, agent: &AgentAddress) -> io::Error {
    use std::os::unix::process::CommandExt as _;
    let mut arguments = std::env::args_os();
    let mut again = match program {
        Ok(program) => std::process::Command::new(program),
        // Without /proc nobody knows where this program is.
        Err(error) => return error,
    };
    again.env_remove(HOST_VARIABLE).env_remove(PORT_VARIABLE);
    if tell {
        again.env("TRACELAB_JAEGER_AGENT", agent.to_string());
    }
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    again.args(arguments).exec()
}

#[cfg(not(unix))]
fn begin_again(_program: io::Result<PathBuf>, _tell: bool, _agent: &AgentAddress) -> io::Error {
    ErrorKind::Unsupported.into()
}

/// The way to the agent, for all services.
pub(super) struct Agent {
    address: AgentAddress,
    connection: Mutex<Connection>,
}

impl Agent {
    pub fn new(told: Option<&AgentAddress>) -> anyhow::Result<Self> {
        let address = told.cloned().map_or_else(AgentAddress::standard, Ok)?;
        Ok(Self { address, connection: Mutex::default() })
    }

    /// Sends the spans of one service.
    pub async fn export(&self, encoder: &Encoder, spans: &[SpanData]) -> Failed {
        let mut failed = Failed::default();
        let mut connection = self.connection.lock().await;
        let mut waiting: Vec<&[SpanData]> = spans.chunks(SPANS).rev().collect();
        while let Some(part) = waiting.pop() {
            match (encoder.datagram(part).await, part) {
                (Some(datagram), _) => {
                    failed.add(connection.send(&self.address, &datagram, part.len() as u64).await);
                    connection.pace(datagram.len()).await;
                }
                (None, [_, _, ..]) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    waiting.extend([second, first]);
                }
                (None, _) => {
                    let name = part.first().map_or("", |span| &span.name);
                    let reason = format!(
                        "a span of {}, {name:.60?}, takes more than the {LARGEST_DATAGRAM} bytes of a datagram to the Jaeger agent; OTLP has no such limit",
                        encoder.service
                    );
                    failed.add(Failed { items: 1, reason: Some(reason) });
                }
            }
        }
        failed
    }
}

/// One socket, and what is known of whom it leads to.
#[derive(Default)]
struct Connection {
    socket: Option<(UdpSocket, SocketAddr)>,
    /// Where the agent may be; the next ones are tried in turn where one refuses.
    addresses: Vec<SocketAddr>,
    /// When its name was last asked for, and what went wrong then.
    asked: Option<(Instant, Option<String>)>,
    /// Spans of the last datagram, which may be refused yet.
    in_doubt: u64,
    /// Bytes since the last pause.
    burst: usize,
}

impl Connection {
    /// What an agent has not read yet waits in a buffer that holds few datagrams, and what comes beyond is dropped without a word.
    async fn pace(&mut self, sent: usize) {
        self.burst += sent + OVERHEAD;
        if self.burst >= BURST {
            self.burst = 0;
            sleep(BREATH).await;
        }
    }

    async fn send(&mut self, agent: &AgentAddress, datagram: &[u8], spans: u64) -> Failed {
        let mut failed = self.hear(agent);
        let sent = match self.connect(agent).await {
            Ok(socket) => socket.send(datagram).await,
            Err(reason) => {
                failed.add(Failed { items: spans, reason: Some(format!("no way to the Jaeger agent at {agent}: {reason}")) });
                return failed;
            }
        };
        if let Err(error) = sent {
            self.socket = None;
            // Then it is the last one's, which came this late.
            let late = if error.kind() == ErrorKind::ConnectionRefused { std::mem::take(&mut self.in_doubt) } else { 0 };
            let reason = format!("cannot send to the Jaeger agent at {agent}: {error}");
            failed.add(Failed { items: spans + late, reason: Some(reason) });
            return failed;
        }
        self.in_doubt = spans;
        // On the same machine a refusal is there at once.
        failed.add(self.hear(agent));
        failed
    }

    /// What came back for the last datagram. That it was refused is the last that this socket is good for.
    fn hear(&mut self, agent: &AgentAddress) -> Failed {
        let refused = self.socket.as_ref().and_then(|(socket, _)| socket.take_error().ok().flatten());
        let Some(error) = refused else { return Failed::default() };
        self.socket = None;
        let reason = format!("no Jaeger agent takes spans at {agent}: {error}");
        Failed { items: std::mem::take(&mut self.in_doubt), reason: Some(reason) }
    }

    async fn connect(&mut self, agent: &AgentAddress) -> Result<&UdpSocket, String> {
        let due = |limit: Duration| self.asked.as_ref().is_none_or(|(at, _)| at.elapsed() >= limit);
        if due(RENEW) || (self.socket.is_none() && self.addresses.is_empty() && due(PAUSE)) {
            let answer = agent.resolve().await;
            self.asked = Some((Instant::now(), answer.as_ref().err().cloned()));
            // Who does not answer may know again later; until then the old address is the best there is.
            if let Ok(addresses) = answer {
                self.socket.take_if(|(_, to)| !addresses.contains(to));
                self.addresses = addresses;
                self.addresses.reverse();
            }
        }
        if self.socket.is_none() {
            let unknown = || self.asked.as_ref().and_then(|(_, error)| error.clone()).unwrap_or_else(|| "it refuses".to_owned());
            let to = self.addresses.pop().ok_or_else(unknown)?;
            let own: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((own, 0)).await.map_err(|error| error.to_string())?;
            socket.connect(to).await.map_err(|error| error.to_string())?;
            self.socket = Some((socket, to));
        }
        self.socket.as_ref().map(|(socket, _)| socket).ok_or_else(|| "it refuses".to_owned())
    }
}

/// Makes datagrams of one service's spans.
pub(super) struct Encoder {
    service: String,
    exporter: StdMutex<opentelemetry_jaeger::Exporter>,
    made: Made,
}

impl Encoder {
    /// # Errors
    /// The crate does not like the standard variables, which it reads itself.
    pub fn new(resource: &Resource) -> anyhow::Result<Self> {
        let attributes = resource.iter().map(|(key, value)| OldKeyValue::new(key.as_str().to_owned(), old_value(value)));
        let service = resource.get(&SERVICE_NAME.into()).map(|name| name.to_string()).unwrap_or_default();
        let made = Made::default();
        let exporter = opentelemetry_jaeger::new_agent_pipeline()
            .with_service_name(&service)
            .with_trace_config(OldConfig::default().with_resource(OldResource::new(attributes)))
            .with_max_packet_size(LARGEST_DATAGRAM)
            .build_async_agent_exporter(made.clone())
            .with_context(|| {
                format!("cannot export to a Jaeger agent; are {HOST_VARIABLE} and {PORT_VARIABLE} an address and a port?")
            })?;
        Ok(Self { service, exporter: StdMutex::new(exporter), made })
    }

    /// All these spans in one datagram, if they fit.
    async fn datagram(&self, spans: &[SpanData]) -> Option<Vec<u8>> {
        let spans = spans.iter().map(old_span).collect();
        let encoding = self.exporter.lock().unwrap_or_else(PoisonError::into_inner).export(spans);
        // Nothing but its size can be wrong with it: the socket is a buffer.
        encoding.await.ok()?;
        self.made.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn old_span(span: &SpanData) -> OldSpanData {
    let mut attributes = old_attributes(&span.attributes);
    let state = span.span_context.trace_state().header();
    if !state.is_empty() {
        // Where OpenTelemetry's mapping to Jaeger puts it.
        attributes.push(OldKeyValue::new("w3c.tracestate", state));
    }
    let mut events = OldEvents::default();
    events.events = span
        .events
        .iter()
        .map(|event| {
            old::Event::new(event.name.clone(), event.timestamp, old_attributes(&event.attributes), event.dropped_attributes_count)
        })
        .collect();
    let mut links = OldLinks::default();
    links.links = span.links.iter().map(|link| old::Link::new(old_context(&link.span_context), Vec::new(), 0)).collect();
    let scope = &span.instrumentation_scope;
    let mut library = OldScope::builder(scope.name().to_owned());
    if let Some(version) = scope.version() {
        library = library.with_version(version.to_owned());
    }
    OldSpanData {
        span_context: old_context(&span.span_context),
        parent_span_id: old::SpanId::from_bytes(span.parent_span_id.to_bytes()),
        span_kind: match span.span_kind {
            SpanKind::Client => old::SpanKind::Client,
            SpanKind::Server => old::SpanKind::Server,
            SpanKind::Producer => old::SpanKind::Producer,
            SpanKind::Consumer => old::SpanKind::Consumer,
            SpanKind::Internal => old::SpanKind::Internal,
        },
        name: span.name.clone(),
        start_time: span.start_time,
        end_time: span.end_time,
        attributes,
        dropped_attributes_count: span.dropped_attributes_count,
        events,
        links,
        status: match &span.status {
            Status::Unset => old::Status::Unset,
            Status::Ok => old::Status::Ok,
            Status::Error { description } => old::Status::error(description.clone()),
        },
        // The exporter has it.
        resource: Cow::Owned(OldResource::empty()),
        instrumentation_lib: library.build(),
    }
}

fn old_context(context: &SpanContext) -> old::SpanContext {
    old::SpanContext::new(
        old::TraceId::from_bytes(context.trace_id().to_bytes()),
        old::SpanId::from_bytes(context.span_id().to_bytes()),
        // The other bits are W3C's, and Jaeger has meanings of its own for them.
        if context.is_sampled() { old::TraceFlags::SAMPLED } else { old::TraceFlags::default() },
        context.is_remote(),
        old::TraceState::default(),
    )
}

fn old_attributes(attributes: &[KeyValue]) -> Vec<OldKeyValue> {
    attributes
        .iter()
        .map(|KeyValue { key, value, .. }| OldKeyValue::new(OldKey::from(key.as_str().to_owned()), old_value(value)))
        .collect()
}

/// Jaeger has no lists: they become text, as the crate would have it as well.
fn old_value(value: &Value) -> OldValue {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::F64(value) => (*value).into(),
        other => other.to_string().into(),
    }
}

/// The runtime that the crate is given. Its socket holds the datagram that was made; nothing else of it is ever used.
#[derive(Clone, Debug, Default)]
struct Made(Arc<StdMutex<Option<Vec<u8>>>>);

#[async_trait::async_trait]
impl JaegerTraceRuntime for Made {
    type Socket = ();

    fn create_socket<T: ToSocketAddrs>(&self, _: T) -> thrift::Result<()> {
        Ok(())
    }

    async fn write_to_socket(&self, (): &(), payload: Vec<u8>) -> thrift::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(payload);
        Ok(())
    }
}

impl Runtime for Made {
    type Interval = futures_util::stream::Pending<()>;
    type Delay = std::future::Pending<()>;

    fn interval(&self, _: Duration) -> Self::Interval {
        futures_util::stream::pending()
    }

    fn spawn(&self, _: BoxFuture<'static, ()>) {}

    fn delay(&self, _: Duration) -> Self::Delay {
        std::future::pending()
    }
}

impl RuntimeChannel for Made {
    type Receiver<T: fmt::Debug + Send> = futures_util::stream::Pending<T>;
    type Sender<T: fmt::Debug + Send> = Nobody<T>;

    fn batch_message_channel<T: fmt::Debug + Send>(&self, _: usize) -> (Nobody<T>, Self::Receiver<T>) {
        (Nobody(PhantomData), futures_util::stream::pending())
    }
}

/// Takes no messages.
#[derive(Debug)]
struct Nobody<T>(PhantomData<fn(T)>);

impl<T> TrySend for Nobody<T> {
    type Message = T;

    fn try_send(&self, _: T) -> Result<(), TrySendError> {
        Err(TrySendError::ChannelClosed)
    }
}

#[cfg(test)]
#[path = "../../tests/support/thrift.rs"]
mod datagram;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::trace::{Event, Link, SpanId, TraceFlags, TraceId, TraceState};
    use opentelemetry::{InstrumentationScope, StringValue};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use serde_json::json;

    use super::datagram;
    use super::*;
    use crate::telemetry::{Identity, Telemetry, TelemetrySettings};

    const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

    fn span(name: &'static str, attributes: Vec<KeyValue>) -> SpanData {
        let start = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001);
        SpanData {
            span_context: SpanContext::new(
                TRACE.into(),
                0xb7ad_6b71_6920_3331_u64.into(),
                TraceFlags::new(3),
                false,
                TraceState::default(),
            ),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: start,
            end_time: start + Duration::from_micros(1_234),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("tracelab").build(),
        }
    }

    fn bytes(count: usize) -> Vec<KeyValue> {
        vec![KeyValue::new("text", "x".repeat(count))]
    }

    fn encoder() -> Encoder {
        let place = [KeyValue::new("tracelab.layer", 1), KeyValue::new("host.name", "here")];
        Encoder::new(&Resource::builder_empty().with_service_name("dummy-1-17").with_attributes(place).build()).unwrap()
    }

    async fn listen() -> (UdpSocket, Agent) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let agent = Agent::new(Some(&socket.local_addr().unwrap().to_string().parse().unwrap())).unwrap();
        (socket, agent)
    }

    async fn receive(socket: &UdpSocket) -> (usize, datagram::Batch) {
        let mut bytes = vec![0; 1 << 16];
        let length = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut bytes)).await.unwrap().unwrap();
        (length, datagram::batch(&bytes[..length]))
    }

    #[tokio::test]
    async fn everything_that_a_span_has_arrives() {
        let (socket, agent) = listen().await;
        let list = Value::Array(vec![StringValue::from("a"), "b".into()].into());
        let mut whole = span(
            "GET /",
            vec![
                KeyValue::new("text", "Köln"),
                KeyValue::new("whole", -7),
                KeyValue::new("half", 0.5),
                KeyValue::new("yes", true),
                KeyValue::new("list", list),
            ],
        );
        whole.span_kind = SpanKind::Client;
        whole.parent_span_id = 0x00f0_67aa_0ba9_02b7_u64.into();
        whole.status = Status::error("gone");
        let context = &whole.span_context;
        let state = TraceState::from_key_value([("vendor", "1")]).unwrap();
        whole.span_context = SpanContext::new(context.trace_id(), context.span_id(), context.trace_flags(), false, state);
        whole.events.events = vec![Event::new("retry", whole.start_time, vec![KeyValue::new("attempt", 2)], 0)];
        let other = SpanContext::new(TraceId::from(1), SpanId::from(2), TraceFlags::SAMPLED, true, TraceState::default());
        whole.links.links = vec![Link::new(other, Vec::new(), 0)];
        let failed = agent.export(&encoder(), &[whole, span("root", Vec::new())]).await;
        assert_eq!(failed.items, 0, "{failed:?}");
        let (_, batch) = receive(&socket).await;
        assert_eq!(batch.service, "dummy-1-17");
        assert_eq!((&batch.tags["tracelab.layer"], &batch.tags["host.name"]), (&json!(1), &json!("here")));
        let [whole, root] = &batch.spans[..] else { panic!("{batch:?}") };
        assert_eq!((&*whole.trace_id, &*whole.span_id), ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"));
        assert_eq!((&*whole.parent, &*whole.name, whole.flags), ("00f067aa0ba902b7", "GET /", 1));
        assert_eq!((whole.start, whole.duration), (1_700_000_000_000_001, 1_234));
        for (key, value) in [
            ("text", json!("Köln")),
            ("whole", json!(-7)),
            ("half", json!(0.5)),
            ("yes", json!(true)),
            ("list", json!("[\"a\",\"b\"]")),
            ("span.kind", json!("client")),
            ("error", json!(true)),
            ("otel.status_code", json!("ERROR")),
            ("otel.status_description", json!("gone")),
            ("w3c.tracestate", json!("vendor=1")),
        ] {
            assert_eq!(whole.tags[key], value, "{key}");
        }
        let (time, fields) = &whole.logs[0];
        assert_eq!((*time, &fields["event"], &fields["attempt"]), (whole.start, &json!("retry"), &json!(2)));
        assert_eq!(whole.references, [(format!("{:032x}", 1), format!("{:016x}", 2), 1)]);
        assert_eq!((&*root.parent, root.tags.get("error"), root.tags.get("span.kind")), ("0000000000000000", None, None));
    }

    #[tokio::test]
    async fn what_is_too_much_for_a_datagram_goes_by_several_and_a_span_that_fits_none_is_lost_alone() {
        let (socket, agent) = listen().await;
        let ordinary = LARGEST_DATAGRAM / SPANS;
        let mut spans: Vec<_> = (0..SPANS + 5).map(|_| span("ordinary", bytes(ordinary))).collect();
        spans.push(span("enormous", bytes(LARGEST_DATAGRAM)));
        // All of it fits into the socket's buffer, so that nothing is dropped though nobody reads meanwhile.
        let failed = agent.export(&encoder(), &spans).await;
        let reason = failed.reason.unwrap();
        assert!(reason.contains("dummy-1-17") && reason.contains("enormous") && reason.contains("65000"), "{reason}");
        assert_eq!(failed.items, 1);
        let mut received = 0;
        while received < SPANS + 5 {
            let (length, batch) = receive(&socket).await;
            assert!(length <= LARGEST_DATAGRAM, "{length}");
            assert_eq!(batch.service, "dummy-1-17");
            assert!(batch.spans.iter().all(|span| span.name == "ordinary"));
            received += batch.spans.len();
        }
        assert_eq!(received, SPANS + 5);
    }

    #[tokio::test]
    async fn an_agent_is_given_time_to_read_after_every_burst() {
        let (_socket, agent) = listen().await;
        let encoder = encoder();
        let spans: Vec<_> = (0..10 * BURST / 3_000).map(|_| span("ordinary", bytes(3_000))).collect();
        let mut export = Box::pin(agent.export(&encoder, &spans));
        // How long it waits is nothing that a busy machine would keep to; how often it does is.
        let mut waits = 0;
        std::future::poll_fn(|cx| {
            let polled = export.as_mut().poll(cx);
            waits += usize::from(polled.is_pending());
            polled.map(drop)
        })
        .await;
        assert!(waits >= 5, "{waits} for ten bursts");
    }

    #[tokio::test]
    async fn an_agent_that_is_away_costs_spans_and_one_that_comes_is_found() {
        let (socket, agent) = listen().await;
        let (address, encoder) = (socket.local_addr().unwrap(), encoder());
        drop(socket);
        for _ in 0..3 {
            let failed = agent.export(&encoder, &[span("lost", Vec::new()), span("too", Vec::new())]).await;
            assert_eq!(failed.items, 2, "{failed:?}");
            assert!(failed.reason.unwrap().contains(&address.to_string()));
        }
        let socket = UdpSocket::bind(address).await.unwrap();
        let start = Instant::now();
        while agent.export(&encoder, &[span("found", Vec::new())]).await.items > 0 {
            assert!(start.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(receive(&socket).await.1.spans[0].name, "found");
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_costs_spans_and_is_said() {
        let agent = Agent::new(Some(&"nobody.invalid:6831".parse().unwrap())).unwrap();
        let failed = agent.export(&encoder(), &[span("lost", Vec::new())]).await;
        assert_eq!(failed.items, 1);
        assert!(failed.reason.unwrap().contains("nobody.invalid"));
    }

    #[tokio::test]
    async fn an_agent_on_any_address_of_its_name_is_found() {
        let Ok(socket) = UdpSocket::bind("[::1]:0").await else { return eprintln!("skipped: there is no IPv6 here") };
        let port = socket.local_addr().unwrap().port();
        let agent = Agent::new(Some(&AgentAddress { host: "localhost".to_owned(), port })).unwrap();
        // Its other address refuses the first.
        while agent.export(&encoder(), &[span("found", Vec::new())]).await.items > 0 {}
        assert_eq!(receive(&socket).await.1.spans[0].name, "found");
    }

    #[tokio::test]
    async fn the_pipeline_counts_what_is_lost() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let agent = socket.local_addr().unwrap().to_string().parse().ok();
        drop(socket);
        let settings = TelemetrySettings { traces: crate::telemetry::Exporter::JaegerAgent, agent, ..TelemetrySettings::default() };
        let telemetry = Telemetry::start(&settings, None).unwrap();
        let instrument = telemetry.instrument(&Identity::named("dummy-0-0"));
        for _ in 0..5 {
            drop(instrument.internal_span(&opentelemetry::Context::new(), "lost"));
        }
        telemetry.flush().await;
        assert_eq!(telemetry.lost().spans, 5);
    }

    #[test]
    fn an_address_is_a_host_and_perhaps_a_port() {
        let read = |text: &str| text.parse::<AgentAddress>().map(|address| address.to_string()).ok();
        for (text, address) in [
            ("localhost", "localhost:6831"),
            ("jaeger:7", "jaeger:7"),
            ("10.0.0.1", "10.0.0.1:6831"),
            ("::1", "[::1]:6831"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(read(text).as_deref(), Some(address));
            assert_eq!(read(address).as_deref(), Some(address), "what is shown can be read");
        }
        for text in ["", ":", ":6831", "a:0", "a:65536", "a:b", "http://a:6831", "a b", "a:1:2"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_standard_variables_are_read_as_strictly_and_named() {
        let read = |host, port| AgentAddress::of_standard(host, port).map(|address| address.to_string());
        for (host, port, address) in [
            (None, None, "localhost:6831"),
            (Some(" jaeger "), Some(" 7 "), "jaeger:7"),
            (Some("[::1]"), None, "[::1]:6831"),
            (Some("::1"), Some("7"), "[::1]:7"),
        ] {
            assert_eq!(read(host, port).unwrap(), address);
        }
        for host in [" ", "http://jaeger", "jaeger:7", "[::1]:7"] {
            let error = read(Some(host), None).unwrap_err().to_string();
            assert!(error.contains(HOST_VARIABLE) && error.contains(&format!("{host:?}")), "{error}");
        }
        for port in [" ", "0", "65536", "udp"] {
            let error = read(None, Some(port)).unwrap_err().to_string();
            assert!(error.contains(PORT_VARIABLE) && error.contains(&format!("{port:?}")), "{error}");
        }
    }
}
