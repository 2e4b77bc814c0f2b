//! Getting to a port at all, and which language is spoken there.
//!
//! What speaks at a port is asked only where the right question got no answer: HTTP/2's opening is answered in kind by gRPC servers,
//! HTTP/1.1's by the others, and with an alert by those who want TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::{Host, Url};

use super::ask::innermost;
use crate::outbound;

/// A name server or a host that says nothing for so long is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Whoever was reached says something sooner.
const SPEAK_LIMIT: Duration = Duration::from_secs(1);
/// HTTP/2's connection preface (RFC 9113, section 3.4) and an empty SETTINGS frame.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
/// The type byte of a SETTINGS frame stands behind the three of its length.
const SETTINGS: (usize, u8) = (3, 4);
/// The first byte of a TLS alert.
const ALERT: u8 = 21;

/// Why nobody was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreached {
    NoName { host: String, reason: String },
    Refused { addresses: Vec<SocketAddr> },
    Silent { addresses: Vec<SocketAddr> },
    Other { addresses: Vec<SocketAddr>, reason: String },
}

impl Unreached {
    /// What was seen, and the way out; `port` is the one that belongs here, `what` is what should listen.
    pub fn words(&self, what: &str, hint: &str) -> (String, String) {
        let list = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        match self {
            Self::NoName { host, reason } => (
                format!("nobody knows the name {host}: {reason}"),
                format!("correct the name, or start what has it; names of containers are known only inside their network; {hint}"),
            ),
            Self::Refused { addresses } => {
                (format!("nothing listens at {}", list(addresses)), format!("start {what} there, or name the right port; {hint}"))
            }
            Self::Silent { addresses } => (
                format!("{} did not answer within {CONNECT_LIMIT:?}", list(addresses)),
                format!("a firewall, a network policy or a wrong address may swallow the packets; {hint}"),
            ),
            Self::Other { addresses, reason } => (format!("{} cannot be reached: {reason}", list(addresses)), hint.to_owned()),
        }
    }
}

/// What is spoken at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    /// Without TLS: gRPC, as good as always.
    Http2,
    Tls,
    /// Nothing that any of these questions brought forth.
    Nothing,
}

/// Where a connection to the URL's host and port succeeds.
pub(super) async fn reach(url: &Url) -> Result<SocketAddr, Unreached> {
    let port = url.port_or_known_default().unwrap_or(80);
    let unknown = |host: &str, reason: String| Err(Unreached::NoName { host: host.to_owned(), reason });
    let addresses = match url.host() {
        Some(Host::Ipv4(ip)) => vec![SocketAddr::new(ip.into(), port)],
        Some(Host::Ipv6(ip)) => vec![SocketAddr::new(ip.into(), port)],
        Some(Host::Domain(name)) => match tokio::time::timeout(CONNECT_LIMIT, outbound::addresses(name, port)).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
            Ok(Ok(_)) => return unknown(name, "it has no address".to_owned()),
            Ok(Err(error)) => {
                let reason = innermost(&*error);
                // The resolver goes on with the question as its code has it.
                let short =
                    if reason.starts_with("no records found") { "no name server has a record of it".to_owned() } else { reason };
                return unknown(name, short);
            }
            Err(_) => return unknown(name, format!("no name server answered within {CONNECT_LIMIT:?}")),
        },
        None => return unknown(url.as_str(), "the URL has no host".to_owned()),
    };
    let mut silent = false;
    let mut other = None;
    for address in &addresses {
        match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(*address),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            // A machine without IPv6 says so of localhost's other address.
            Ok(Err(error)) => other = Some(error.to_string()),
            Err(_) => silent = true,
        }
    }
    Err(match other {
        Some(reason) if addresses.len() == 1 => Unreached::Other { addresses, reason },
        _ if silent => Unreached::Silent { addresses },
        _ => Unreached::Refused { addresses },
    })
}

pub(super) async fn identify(address: SocketAddr) -> Speaks {
    for question in [HTTP2, HTTP1] {
        let answer = tokio::time::timeout(SPEAK_LIMIT, converse(address, question)).await;
        let Ok(Ok(answer)) = answer else { continue };
        let (place, settings) = SETTINGS;
        if answer.starts_with(b"HTTP/1") {
            // Go's and nginx's servers say it in words.
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            return if text.contains(" 400 ") && text.contains("https") { Speaks::Tls } else { Speaks::Http1 };
        }
        if answer.first() == Some(&ALERT) {
            return Speaks::Tls;
        }
        if answer.len() >= HTTP2_FRAME && answer[place] == settings {
            return Speaks::Http2;
        }
    }
    Speaks::Nothing
}

/// The head of a frame.
const HTTP2_FRAME: usize = 9;

/// The beginning of what is answered.
async fn converse(address: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(question).await?;
    let mut answer = vec![0; 512];
    let mut length = 0;
    // A frame's head or the words of a short answer; whoever closes has said all.
    while length < answer.len() {
        match stream.read(&mut answer[length..]).await {
            Ok(0) | Err(_) => break,
            Ok(read) => length += read,
        }
        if length >= HTTP2_FRAME && !answer.starts_with(b"HTTP/1") {
            break;
        }
    }
    answer.truncate(length);
    Ok(answer)
}
