//! One mail server: connecting, encrypting and logging in as it was told to, and what an error of it means.
//!
//! `lettre` speaks SMTP. Its own transport resolves names by the C library, so connections are made here, to addresses from
//! [`outbound`], with the name kept for TLS.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{Error, commands};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use url::Url;

use super::mail::Mail;
use crate::config::Secret;
use crate::harmless::harmless;
use crate::outbound;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Connecting, greeting, TLS and login together.
const SESSION_LIMIT: Duration = Duration::from_secs(20);
/// One mail. RFC 5321 would wait for minutes at some places; a mail that is tried again does no harm.
const SEND_LIMIT: Duration = Duration::from_secs(60);
const UNTRUSTED: &str = "its certificate is not to be trusted";
/// Of a server's own words.
const LONGEST_ANSWER: usize = 300;

/// What the configuration says of it.
#[derive(Clone, Debug)]
pub struct Settings {
    pub url: Url,
    pub password: Option<Secret>,
    /// PEM file with certificates to trust beside the built-in roots.
    pub authority: Option<PathBuf>,
    /// Log in though nothing is encrypted.
    pub plain_login: bool,
}

/// A mail server.
#[derive(Clone)]
pub struct Server {
    /// As a URL has it: an IPv6 address in brackets.
    host: String,
    port: u16,
    encryption: Encryption,
    login: Option<(String, Secret)>,
    plain_login: bool,
    tls: TlsParameters,
    /// For where encryption is no more than an offer: believes any certificate.
    unverified: Option<TlsParameters>,
    /// Why the certificate is not to be trusted, where that one is used.
    doubt: Arc<OnceLock<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    /// From the first byte.
    Always,
    /// By STARTTLS, or not at all.
    Required,
    /// By STARTTLS where the server offers it.
    Offered,
}

/// Why a mail is not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Another time it may work.
    #[error("the mail server {server} cannot be used: {reason}")]
    Away { server: String, reason: String },
    /// It will work when somebody has changed something.
    #[error("the mail server {server} cannot be used as it is set up: {reason}")]
    Setup { server: String, reason: String },
    /// It takes others, and this one perhaps another time.
    #[error("the mail server {server} does not take the mail for now: {reason}")]
    Later { server: String, reason: String },
    /// It takes others, but not this one.
    #[error("the mail server {server} refuses the mail: {reason}")]
    Refused { server: String, reason: String },
}

impl Server {
    /// # Errors
    /// The URL, the password or the certificates make no sense; the text says what would.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let Settings { url, password, authority, plain_login } = settings;
        let example = "it should look like smtp://user@mail.example.com:587 or smtps://user@mail.example.com";
        ensure!(
            url.password().is_none(),
            "smtp holds a password, which others on this machine may see; take it out and set TRACELAB_SMTP_PASSWORD"
        );
        let mut encryption = match url.scheme() {
            "smtps" => Encryption::Always,
            // A password wants more than an offer that anybody between could take away.
            "smtp" if !url.username().is_empty() && !plain_login => Encryption::Required,
            "smtp" => Encryption::Offered,
            other => bail!("smtp begins with {other}://; {example}"),
        };
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { bail!("smtp names no host; {example}") };
        ensure!(matches!(url.path(), "" | "/") && url.fragment().is_none(), "smtp says more than user, host and port; {example}");
        match url.query() {
            None => {}
            Some("tls=required") if encryption == Encryption::Offered => encryption = Encryption::Required,
            Some("tls=required") => {}
            Some(other) => bail!("smtp ends in ?{other}; nothing but ?tls=required is known"),
        }
        let user = percent_decode_str(url.username()).decode_utf8().context("the user in smtp is no UTF-8")?.into_owned();
        let login = match (user.is_empty(), password) {
            (true, None) => None,
            (true, Some(_)) => bail!("there is a password for the mail server but no user; smtp should be smtp://user@{host}"),
            (false, None) => bail!("smtp names the user {user:?}, and there is no password; set TRACELAB_SMTP_PASSWORD"),
            (false, Some(password)) => Some((user, password.clone())),
        };
        let port = url.port().unwrap_or(match (encryption, &login) {
            (Encryption::Always, _) => 465,
            (_, Some(_)) => 587,
            (_, None) => 25,
        });
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let mut tls = TlsParameters::builder(name.to_owned());
        if let Some(path) = authority {
            let context = || format!("cannot read the certificates in {}", path.display());
            let pem = std::fs::read(path).with_context(context)?;
            ensure!(pem.windows(11).any(|part| part == b"-----BEGIN "), "{}: it is no PEM file", context());
            tls = tls.add_root_certificate(Certificate::from_pem(&pem).with_context(context)?);
        }
        let context = "cannot set up TLS for mail";
        let tls = tls.build_rustls().context(context)?;
        // Without STARTTLS all would be readable anyway; who names an authority wants it asked.
        let any = encryption == Encryption::Offered && login.is_none() && authority.is_none();
        let any = any.then(|| TlsParameters::builder(name.to_owned()).dangerous_accept_invalid_certs(true).build_rustls());
        let unverified = any.transpose().context(context)?;
        let (host, plain_login) = (host.to_owned(), *plain_login);
        Ok(Self { host, port, encryption, login, plain_login, tls, unverified, doubt: Arc::default() })
    }

    /// Why its certificate is not to be trusted, though mail goes there.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.get().map(String::as_str)
    }

    /// Does all that goes before a mail, and leaves again.
    ///
    /// # Errors
    /// [`Trouble::Away`] or [`Trouble::Setup`].
    pub async fn check(&self) -> Result<(), Trouble> {
        self.session().await?.leave().await;
        Ok(())
    }

    /// Connects, encrypts and logs in.
    ///
    /// # Errors
    /// [`Trouble::Away`] or [`Trouble::Setup`].
    pub async fn session(&self) -> Result<Session<'_>, Trouble> {
        let late =
            |_| self.away(format!("it says nothing for {} s; a port for smtps:// does so to smtp://", SESSION_LIMIT.as_secs()));
        let connection = timeout(SESSION_LIMIT, self.begin()).await.map_err(late)??;
        Ok(Session { server: self, connection })
    }

    async fn begin(&self) -> Result<AsyncSmtpConnection, Trouble> {
        let addresses = outbound::addresses(&self.host, self.port).await.map_err(|error| self.away(error.to_string()))?;
        let mut trouble = self.away("its name has no address".to_owned());
        for address in addresses {
            match self.connect(address).await {
                Ok(connection) => return Ok(connection),
                Err(failed) => trouble = failed,
            }
            // Another address would say the same.
            if matches!(trouble, Trouble::Setup { .. }) {
                break;
            }
        }
        Err(trouble)
    }

    async fn connect(&self, address: SocketAddr) -> Result<AsyncSmtpConnection, Trouble> {
        let hello = hello(address);
        if self.doubt().is_none() {
            match self.connect_by(address, &hello, &self.tls).await {
                Err(Trouble::Setup { reason, .. }) if self.unverified.is_some() && reason.starts_with(UNTRUSTED) => {
                    let _ = self.doubt.set(reason);
                }
                connected => return connected,
            }
        }
        self.connect_by(address, &hello, self.unverified.as_ref().unwrap_or(&self.tls)).await
    }

    async fn connect_by(
        &self,
        address: SocketAddr,
        hello: &ClientId,
        parameters: &TlsParameters,
    ) -> Result<AsyncSmtpConnection, Trouble> {
        let tls = (self.encryption == Encryption::Always).then(|| parameters.clone());
        let connected = AsyncSmtpConnection::connect_tokio1(address, Some(CONNECT_LIMIT), hello, tls, None).await;
        let mut connection = connected.map_err(|error| self.not_begun(&error))?;
        let mut encrypted = self.encryption == Encryption::Always;
        if connection.can_starttls() {
            connection.starttls(parameters.clone(), hello).await.map_err(|error| self.not_begun(&error))?;
            encrypted = true;
        }
        if !encrypted && self.encryption == Encryption::Required {
            connection.abort().await;
            let reason = if self.login.is_some() {
                "it offers no encryption (STARTTLS), and without it no password is sent; use smtps://, or --smtp-plain-login where nobody can listen"
            } else {
                "it offers no encryption (STARTTLS), which ?tls=required asks for"
            };
            return Err(self.setup(reason.to_owned()));
        }
        if let Some((user, password)) = &self.login {
            debug_assert!(encrypted || self.plain_login, "no password goes over an open line unasked");
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            if let Err(error) = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await {
                connection.abort().await;
                return Err(self.not_logged_in(user, &error));
            }
        }
        Ok(connection)
    }

    /// Connecting or STARTTLS failed.
    fn not_begun(&self, error: &Error) -> Trouble {
        match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(why)) => self.setup(format!(
                "{UNTRUSTED} ({why:?}); --smtp-ca FILE trusts the one in FILE, or its authority, if {} is the name in it",
                self.host
            )),
            Some(rustls::Error::InvalidMessage(_)) => {
                self.setup("what it answers is no TLS; smtp:// begins without, and smtps:// with it".to_owned())
            }
            _ => self.away(reason(error)),
        }
    }

    fn not_logged_in(&self, user: &str, error: &Error) -> Trouble {
        if error.is_permanent() {
            return self.setup(format!("it refuses the login of {user:?}: {}; is TRACELAB_SMTP_PASSWORD right?", reason(error)));
        }
        if error.is_client() {
            return self.setup("it takes no login by PLAIN or LOGIN here; smtp:// without a user sends without".to_owned());
        }
        self.away(reason(error))
    }

    /// Refused at MAIL FROM, as every mail would be.
    fn sender_refused(&self, envelope: &Envelope, error: &Error) -> Trouble {
        if !error.is_permanent() {
            return self.away(reason(error));
        }
        if wants_login(error) {
            return self.login_wanted(error);
        }
        let from = envelope.from().map_or_else(String::new, ToString::to_string);
        let or = if self.login.is_none() { ", or does it want a login, as in smtp://user@host" } else { "" };
        self.setup(format!("it takes no mail from {from}: {}; is --mail-from right{or}?", reason(error)))
    }

    /// Refused after MAIL FROM.
    fn refused(&self, error: &Error) -> Trouble {
        let (server, reason) = (self.to_string(), reason(error));
        match error.status() {
            Some(_) if wants_login(error) => self.login_wanted(error),
            Some(_) if error.is_permanent() => Trouble::Refused { server, reason },
            // 421: it is about to close the connection, whoever the mail is for.
            Some(code) if error.is_transient() && code.to_string() != "421" => Trouble::Later { server, reason },
            _ => Trouble::Away { server, reason },
        }
    }

    fn login_wanted(&self, error: &Error) -> Trouble {
        let way_out = match &self.login {
            None => "name a user, as in smtp://user@host, and set TRACELAB_SMTP_PASSWORD".to_owned(),
            Some((user, _)) => format!("may {user:?} send mail there?"),
        };
        self.setup(format!("it wants a login: {}; {way_out}", reason(error)))
    }

    fn away(&self, reason: String) -> Trouble {
        Trouble::Away { server: self.to_string(), reason }
    }

    fn setup(&self, reason: String) -> Trouble {
        Trouble::Setup { server: self.to_string(), reason }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Without the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self}, {:?})", self.encryption)
    }
}

/// A server that waits for mails.
pub struct Session<'a> {
    server: &'a Server,
    connection: AsyncSmtpConnection,
}

impl Session<'_> {
    /// After an error the session is over, unless [`Session::is_open`].
    ///
    /// # Errors
    /// Any [`Trouble`].
    pub async fn send(&mut self, envelope: &Envelope, mail: &[u8]) -> Result<(), Trouble> {
        let sent = match timeout(SEND_LIMIT, self.talk(envelope, mail)).await {
            Ok(sent) => sent,
            Err(_) => Err(self.server.away(format!("it takes no mail within {} s", SEND_LIMIT.as_secs()))),
        };
        if sent.is_err() {
            let _ = timeout(CONNECT_LIMIT, self.connection.abort()).await;
        }
        sent
    }

    /// Step by step, since an answer means something else at each.
    async fn talk(&mut self, envelope: &Envelope, mail: &[u8]) -> Result<(), Trouble> {
        let Self { server, connection } = self;
        let mut parameters = Vec::new();
        let mut addresses = envelope.from().into_iter().chain(envelope.to());
        for (needed, extension, parameter) in [
            (
                !addresses.all(|address| AsRef::<str>::as_ref(address).is_ascii()),
                Extension::SmtpUtfEight,
                MailParameter::SmtpUtfEight,
            ),
            (!mail.is_ascii(), Extension::EightBitMime, MailParameter::Body(MailBodyParameter::EightBitMime)),
        ] {
            if needed && !connection.server_info().supports_feature(extension) {
                let reason = format!("it has letters beyond ASCII, and the server does not know {extension}");
                return Err(Trouble::Refused { server: server.to_string(), reason });
            }
            if needed {
                parameters.push(parameter);
            }
        }
        let from = commands::Mail::new(envelope.from().cloned(), parameters);
        connection.command(from).await.map_err(|error| server.sender_refused(envelope, &error))?;
        for to in envelope.to() {
            let to = commands::Rcpt::new(to.clone(), Vec::new());
            connection.command(to).await.map_err(|error| server.refused(&error))?;
        }
        connection.command(commands::Data).await.map_err(|error| server.refused(&error))?;
        connection.message(mail).await.map_err(|error| server.refused(&error))?;
        Ok(())
    }

    pub fn is_open(&self) -> bool {
        !self.connection.has_broken()
    }

    pub async fn leave(mut self) {
        // Whatever it answers, all is said.
        let _ = timeout(CONNECT_LIMIT, self.connection.quit()).await;
    }
}

/// Who we are: the address that the server sees, since a name may be anything in a container.
fn hello(server: SocketAddr) -> ClientId {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    // Nothing is sent: this only asks the routing table.
    let local = UdpSocket::bind(any).and_then(|socket| socket.connect(server).and_then(|()| socket.local_addr()));
    match local.map(|address| address.ip()) {
        Ok(IpAddr::V4(ip)) => ClientId::Ipv4(ip),
        Ok(IpAddr::V6(ip)) => ClientId::Ipv6(ip),
        Err(_) => ClientId::Ipv4(Ipv4Addr::LOCALHOST),
    }
}

/// What TLS says, if that is what failed.
fn tls_error(error: &Error) -> Option<&rustls::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inside.and_then(|inside| inside.downcast_ref()).or_else(|| error.downcast_ref()) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// RFC 4954, section 6.
fn wants_login(error: &Error) -> bool {
    error.status().is_some_and(|code| code.to_string() == "530")
}

/// The server's words, or what happened on the way to it.
fn reason(error: &Error) -> String {
    let words = match (error.status(), error.source()) {
        (Some(code), Some(said)) => format!("{code} {said}"),
        (_, Some(cause)) => cause.to_string(),
        (_, None) => error.to_string(),
    };
    harmless(&words.chars().take(LONGEST_ANSWER).collect::<String>())
}

/// For the text of `--dry-run`: a mail's lines of address, subject and body.
pub fn shown(mail: &Mail, from: Option<&str>, to: &[String]) -> String {
    let mut head = String::new();
    if let Some(from) = from {
        head += &format!("From: {from}\n");
    }
    if !to.is_empty() {
        head += &format!("To: {}\n", to.join(", "));
    }
    format!("{head}Subject: {}\n\n{}", mail.subject, mail.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, password: Option<&str>) -> Result<Server, String> {
        let password = password.map(|password| Secret::new(password.to_owned()));
        let settings = Settings { url: url.parse().unwrap(), password, authority: None, plain_login: false };
        Server::new(&settings).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn an_address_says_how_to_connect() {
        for (url, password, port, encryption) in [
            ("smtp://mail.example.com", None, 25, Encryption::Offered),
            ("smtp://mail.example.com:1025/", None, 1025, Encryption::Offered),
            ("smtp://mail.example.com?tls=required", None, 25, Encryption::Required),
            ("smtp://me%40example.com@mail.example.com", Some("secret"), 587, Encryption::Required),
            ("smtps://me@[::1]", Some("secret"), 465, Encryption::Always),
        ] {
            let server = server(url, password).unwrap();
            assert_eq!((server.port, server.encryption), (port, encryption), "{url}");
            assert!(!format!("{server:?}").contains("secret"));
        }
        assert_eq!(server("smtp://me%40example.com@here", Some("x")).unwrap().login.unwrap().0, "me@example.com");
    }

    #[test]
    fn an_address_that_makes_no_sense_is_refused_with_what_does_and_without_its_password() {
        for (url, password, says) in [
            ("http://mail.example.com", None, "smtp begins with http://"),
            ("smtp:mail.example.com", None, "names no host"),
            ("smtp://me:hunter2@mail.example.com", None, "TRACELAB_SMTP_PASSWORD"),
            ("smtp://me@mail.example.com", None, "set TRACELAB_SMTP_PASSWORD"),
            ("smtp://mail.example.com", Some("hunter2"), "no user"),
            ("smtp://mail.example.com/inbox", None, "says more than"),
            ("smtp://mail.example.com?tls=never", None, "?tls=required"),
        ] {
            let refusal = server(url, password).unwrap_err();
            assert!(refusal.contains(says) && !refusal.contains("hunter2"), "{url}: {refusal}");
        }
    }

    #[test]
    fn certificates_that_are_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let refusal = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let url = "smtps://here".parse().unwrap();
            let settings = Settings { url, password: None, authority: Some(path.clone()), plain_login: false };
            format!("{:#}", Server::new(&settings).unwrap_err())
        };
        for text in ["", "nothing", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n"] {
            assert!(refusal(text).contains("ca.pem"), "{text}");
        }
    }
}
