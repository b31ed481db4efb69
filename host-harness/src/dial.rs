//! Opens connections: finds a host's addresses once, keeps those that the connection may reach, dials these and no others,
//! and agrees on TLS; each under a time limit of its own.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::address::Place;
use crate::dns::Resolver;
use crate::origin::Origin;
use crate::policy::ListedHost;
use crate::settings::Limits;
use crate::wire::Wire;

/// Which addresses a connection may reach.
#[derive(Debug, Default)]
pub(crate) struct Grounds {
    /// Private ones too.
    pub(crate) private: bool,
    /// The hosts that may be on this very machine, by plain http too.
    pub(crate) loopback: Vec<ListedHost>,
}

/// Why there is no connection. Nothing was sent in any of these cases.
#[derive(Debug)]
pub(crate) enum DialError {
    Url(&'static str),
    Name(io::Error),
    NameLate(Duration),
    Prohibited(String),
    Tcp(Box<dyn StdError + Send + Sync>),
    TcpLate(Duration),
    Tls(io::Error),
    TlsLate(Duration),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => f.write_str(why),
            Self::Name(error) => write!(f, "the name cannot be resolved: {error}"),
            Self::NameLate(limit) => {
                write!(f, "resolving the name took longer than {} s", limit.as_secs_f32())
            }
            Self::Prohibited(why) => f.write_str(why),
            Self::Tcp(error) => write!(f, "connecting failed: {error}"),
            Self::TcpLate(limit) => {
                write!(f, "connecting took longer than {} s", limit.as_secs_f32())
            }
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
            Self::TlsLate(limit) => {
                write!(f, "the TLS handshake took longer than {} s", limit.as_secs_f32())
            }
        }
    }
}

impl StdError for DialError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Tcp(error) => Some(&**error),
            Self::Tls(error) => Some(error),
            Self::Name(_)
            | Self::Url(_)
            | Self::NameLate(_)
            | Self::Prohibited(_)
            | Self::TcpLate(_)
            | Self::TlsLate(_) => None,
        }
    }
}

/// The connector of a pool.
#[derive(Clone)]
pub(crate) struct Dialer(Arc<Inner>);

struct Inner {
    resolver: Resolver,
    grounds: Grounds,
    tls: TlsConnector,
    dns_limit: Duration,
    tcp_limit: Duration,
    tls_limit: Duration,
    write_idle: Duration,
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Dialer {
    pub(crate) fn new(
        resolver: Resolver,
        grounds: Grounds,
        mut tls: ClientConfig,
        limits: &Limits,
    ) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(Inner {
            resolver,
            grounds,
            tls: TlsConnector::from(Arc::new(tls)),
            dns_limit: limits.dns,
            tcp_limit: limits.connect,
            tls_limit: limits.tls,
            write_idle: limits.write_idle,
        }))
    }
}

impl Service<Uri> for Dialer {
    type Response = Wire<Stream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire<Stream>, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(Wire::new(inner.dial(uri).await?, inner.write_idle)) })
    }
}

impl Inner {
    async fn dial(&self, uri: Uri) -> Result<Stream, DialError> {
        let origin = Origin::of(&uri).map_err(DialError::Url)?;
        let addresses = self.addresses(&origin).await?;
        let addresses = self.grounds.filter(&origin, &addresses).map_err(DialError::Prohibited)?;
        let tcp = self.connect(uri, addresses).await?;
        if !origin.https {
            return Ok(tcp.into());
        }
        let host = origin.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| DialError::Url("the host has no name that a certificate could have"))?;
        match timeout(self.tls_limit, self.tls.connect(name, TokioIo::new(tcp))).await {
            Ok(tls) => Ok(tls.map_err(DialError::Tls)?.into()),
            Err(_) => Err(DialError::TlsLate(self.tls_limit)),
        }
    }

    /// The addresses of a host that is a name, or the one that it is.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<IpAddr>, DialError> {
        if let Some(address) = origin.address() {
            return Ok(vec![address]);
        }
        match timeout(self.dns_limit, self.resolver.resolve(&origin.host)).await {
            Ok(Ok(addresses)) if addresses.is_empty() => {
                Err(DialError::Name(io::Error::other("it has no address")))
            }
            Ok(addresses) => addresses.map_err(DialError::Name),
            Err(_) => Err(DialError::NameLate(self.dns_limit)),
        }
    }

    /// Tries the addresses in turn, IPv6 and IPv4 side by side (RFC 8305), as hyper's own connector does it.
    async fn connect(
        &self,
        uri: Uri,
        addresses: Vec<IpAddr>,
    ) -> Result<TokioIo<TcpStream>, DialError> {
        let mut tcp = HttpConnector::new_with_resolver(Found(addresses));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // What the system holds of a request counts as sent; the less that is, the sooner it shows that nobody reads.
        tcp.set_send_buffer_size(Some(256 << 10));
        // What one of many addresses gets, so that a dead one does not take the time of the others.
        tcp.set_connect_timeout(Some(self.tcp_limit));
        match timeout(self.tcp_limit, tcp.call(uri)).await {
            Ok(Ok(tcp)) => Ok(tcp),
            Ok(Err(error)) if !is_late(&error) => Err(DialError::Tcp(error.into())),
            Ok(Err(_)) | Err(_) => Err(DialError::TcpLate(self.tcp_limit)),
        }
    }
}

/// True when the last of several addresses had no more time.
fn is_late(error: &(dyn StdError + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) || error.source().is_some_and(is_late)
}

impl Grounds {
    /// The addresses that may be dialled; when there are none, why.
    fn filter(&self, origin: &Origin, addresses: &[IpAddr]) -> Result<Vec<IpAddr>, String> {
        let allowed = |address: &&IpAddr| self.check(origin, **address).is_ok();
        let filtered: Vec<IpAddr> = addresses.iter().filter(allowed).copied().collect();
        match addresses.first() {
            Some(first) if filtered.is_empty() => {
                Err(self.check(origin, *first).err().unwrap_or_default())
            }
            _ => Ok(filtered),
        }
    }

    fn check(&self, origin: &Origin, address: IpAddr) -> Result<(), String> {
        const ALLOW: &str = "if the connection's hosts are on a network of your own (private link), set allow_private_addresses on it";
        let own = self.loopback.iter().any(|host| host.is(origin));
        match Place::of(address) {
            Place::Loopback if own => Ok(()),
            // A name may lead anywhere, and only this very machine is reached by plain http.
            _ if !origin.https => {
                Err(format!("{address} is not on this machine, and http is for that alone"))
            }
            Place::Public => Ok(()),
            Place::Loopback | Place::Private(_) if self.private => Ok(()),
            Place::Loopback => Err(format!(
                "its address {address} is this very machine, which is not let out; {ALLOW}"
            )),
            Place::Private(kind) => {
                Err(format!("its address {address} is {kind}, which is not let out; {ALLOW}"))
            }
            Place::Never(kind) => {
                Err(format!("its address {address} is {kind}, which is never let out"))
            }
        }
    }
}

/// Addresses that are found and filtered already, so that hyper's connector has nothing to look up.
#[derive(Clone)]
struct Found(Vec<IpAddr>);

impl Service<Name> for Found {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The connector puts the URL's port in the place of 0.
    fn call(&mut self, _: Name) -> Self::Future {
        let addresses: Vec<_> = self.0.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        ready(Ok(addresses.into_iter()))
    }
}
