//! The pooled HTTP client of a connection: how it dials and trusts, and what its failures mean. No policy here.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;
use wasmtime_wasi_http::Error as WasiError;

use crate::error::{Error, ErrorKind};
use crate::payload::Payload;
use crate::settings::Limits;
use crate::wire::{Stale, Stuck, Wire};

pub(crate) type Client = legacy::Client<Dialer, Payload>;

/// Idle connections are closed before load balancers do it (60 s is a usual limit).
const IDLE: Duration = Duration::from_secs(55);

/// What a connection trusts.
pub(crate) enum Trust<'a> {
    /// Nothing: all that it may reach is plain http.
    None,
    System,
    File(&'a Path),
}

/// A pool of connections. One per configured connection, since pools know nothing of identities.
pub(crate) fn new(trust: &Trust<'_>, limits: &Limits) -> Result<Client, Error> {
    let mut tcp = HttpConnector::new_with_resolver(Resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // What the system holds of a request counts as sent; the less that is, the sooner it shows that nobody reads.
    tcp.set_send_buffer_size(Some(256 << 10));
    tcp.set_connect_timeout(Some(limits.connect));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls(trust)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    let (limit, write_idle) = (limits.connect + limits.tls, limits.write_idle);
    let dialer = Dialer { https, limit, write_idle };
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        // As many as may be in use, or a burst would close and open connections all the time.
        .pool_max_idle_per_host(limits.concurrent_requests)
        .http1_max_headers(limits.response_headers)
        // Also what is read ahead of the guest, which is memory that comes on top of the answer's own. hyper takes no less.
        .http1_max_buf_size(limits.response_head_bytes.max(8 << 10))
        .build(dialer))
}

fn tls(trust: &Trust<'_>) -> Result<ClientConfig, Error> {
    let unusable = |what: String| Error::new(ErrorKind::InvalidConnection, what);
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, format!("TLS cannot be set up: {error}"))
            })?;
    let builder = match trust {
        Trust::None => builder.with_root_certificates(RootCertStore::empty()),
        Trust::System => builder.with_native_roots().map_err(|error| {
            unusable(format!("the system's certificates cannot be read: {error}; name a ca_file"))
        })?,
        Trust::File(path) => builder.with_root_certificates(
            roots(path).map_err(|why| unusable(format!("ca_file {}: {why}", path.display())))?,
        ),
    };
    Ok(builder.with_no_client_auth())
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| "it is not PEM".to_owned())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it has no certificate (PEM) in it".to_owned());
    }
    Ok(roots)
}

/// Dials under one time limit that covers names, TCP and TLS: a peer that accepts and says nothing is not waited for.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    https: HttpsConnector<HttpConnector<Resolver>>,
    limit: Duration,
    write_idle: Duration,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type BoxError = Box<dyn StdError + Send + Sync>;

impl Service<Uri> for Dialer {
    type Response = Wire<MaybeHttpsStream<TokioIo<TcpStream>>>;
    type Error = BoxError;
    type Future = BoxFuture<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dial = tokio::time::timeout(self.limit, self.https.call(uri));
        let write_idle = self.write_idle;
        Box::pin(async move {
            let dialed = dial.await;
            let socket =
                dialed.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))?;
            Ok(Wire::new(socket, write_idle))
        })
    }
}

/// The system's resolver, its failures told apart from others.
#[derive(Debug, Clone)]
pub(crate) struct Resolver;

#[derive(Debug)]
pub(crate) struct UnknownName(io::Error);

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name cannot be resolved: {}", self.0)
    }
}

impl StdError for UnknownName {}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = UnknownName;
    type Future = BoxFuture<Result<Self::Response, UnknownName>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UnknownName>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let addresses =
                tokio::net::lookup_host((name.as_str(), 0)).await.map_err(UnknownName)?;
            Ok(addresses.collect::<Vec<_>>().into_iter())
        })
    }
}

/// A request that got no answer: what the guest is told, and what is known beyond the closed set that it understands.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: WasiError,
    pub(crate) kind: ErrorKind,
    /// No byte of the request was sent.
    pub(crate) unsent: bool,
    pub(crate) reason: String,
}

impl Failure {
    pub(crate) fn of(error: &legacy::Error) -> Self {
        let unsent = error.is_connect();
        let mut last = String::new();
        for error in causes(error) {
            if let Some(failure) = known(error, unsent) {
                return failure;
            }
            last = error.to_string();
        }
        let code =
            if unsent { WasiError::DestinationUnavailable } else { WasiError::HttpProtocolError };
        Self { code, kind: ErrorKind::Unavailable, unsent, reason: last }
    }
}

/// Whether a request went to a connection that was over before it was sent.
pub(crate) fn is_stale(error: &legacy::Error) -> bool {
    causes(error).any(|error| error.is::<Stale>())
}

/// An error, what caused it, and so on.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'e (dyn StdError + 'static) = *error;
        match error.downcast_ref::<io::Error>() {
            // `source` of an io::Error skips the error that it wraps.
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

fn known(error: &(dyn StdError + 'static), unsent: bool) -> Option<Failure> {
    let failure =
        |code, reason: String| Some(Failure { code, kind: ErrorKind::Unavailable, unsent, reason });
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return match tls {
            rustls::Error::InvalidCertificate(why) => failure(
                WasiError::TlsCertificateError,
                format!(
                    "its TLS certificate is not trusted ({why}); for a private authority, name its certificate in ca_file"
                ),
            ),
            other => failure(WasiError::TlsProtocolError, format!("TLS failed: {other}")),
        };
    }
    if let Some(name) = error.downcast_ref::<UnknownName>() {
        let code = WasiError::DnsError { rcode: Some(name.0.to_string()), info_code: None };
        return failure(code, name.to_string());
    }
    if let Some(stuck) = error.downcast_ref::<Stuck>() {
        let failed = failure(WasiError::ConnectionWriteTimeout, stuck.to_string());
        return failed.map(|failed| Failure { kind: ErrorKind::Timeout, ..failed });
    }
    if let Some(hyper) = error.downcast_ref::<hyper::Error>()
        && hyper.is_parse()
    {
        let reason = if hyper.is_parse_too_large() {
            "the answer's headers are too many or too large".to_owned()
        } else {
            format!("the answer is not HTTP as it should be: {hyper}")
        };
        let failed = failure(WasiError::HttpProtocolError, reason);
        return failed.map(|failed| Failure { kind: ErrorKind::Protocol, ..failed });
    }
    if let Some(hyper) = error.downcast_ref::<hyper::Error>()
        && (hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled())
    {
        return failure(WasiError::ConnectionTerminated, "the connection was closed".to_owned());
    }
    let io = error.downcast_ref::<io::Error>()?;
    match io.kind() {
        io::ErrorKind::ConnectionRefused => {
            failure(WasiError::ConnectionRefused, "the connection was refused".to_owned())
        }
        io::ErrorKind::TimedOut if unsent => {
            failure(WasiError::ConnectionTimeout, "connecting took too long".to_owned())
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => {
            failure(WasiError::ConnectionTerminated, "the connection was cut".to_owned())
        }
        _ => None,
    }
}
