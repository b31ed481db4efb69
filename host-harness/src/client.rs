//! The pooled HTTP client of a connection: what it trusts, and what its failures mean. How it connects is `dial.rs`.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use wasmtime_wasi_http::Error as WasiError;

use crate::dial::{DialError, Dialer, Grounds};
use crate::dns::Resolver;
use crate::error::{Error, ErrorKind};
use crate::payload::Payload;
use crate::settings::Limits;

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
pub(crate) fn new(
    trust: &Trust<'_>,
    resolver: Resolver,
    grounds: Grounds,
    limits: &Limits,
) -> Result<Client, Error> {
    let dialer = Dialer::new(resolver, grounds, tls(trust)?, limits);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        // As many as may be in use, or a burst would close and open connections all the time.
        .pool_max_idle_per_host(limits.concurrent_requests)
        .http1_max_headers(100)
        // What is read ahead of the guest is memory that comes on top of the answer's own.
        .http1_max_buf_size(64 << 10)
        .http2_max_header_list_size(64 << 10)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_adaptive_window(true)
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
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        let mut last = String::new();
        while let Some(error) = next {
            if let Some((code, reason)) = known(error, unsent) {
                return Self::new(code, unsent, reason);
            }
            last = error.to_string();
            next = match error.downcast_ref::<io::Error>() {
                // `source` of an io::Error skips the error that it wraps.
                Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
                None => error.source(),
            };
        }
        let code =
            if unsent { WasiError::DestinationUnavailable } else { WasiError::HttpProtocolError };
        Self::new(code, unsent, last)
    }

    fn new(code: WasiError, unsent: bool, reason: String) -> Self {
        let kind = match code {
            WasiError::DestinationIpProhibited => ErrorKind::Refused,
            WasiError::DnsTimeout | WasiError::ConnectionTimeout => ErrorKind::Timeout,
            _ => ErrorKind::Unavailable,
        };
        Self { code, kind, unsent, reason }
    }
}

fn known(error: &(dyn StdError + 'static), unsent: bool) -> Option<(WasiError, String)> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(match tls {
            rustls::Error::InvalidCertificate(why) => (
                WasiError::TlsCertificateError,
                format!(
                    "its TLS certificate is not trusted ({why}); for a private authority, name its certificate in ca_file"
                ),
            ),
            other => (WasiError::TlsProtocolError, format!("TLS failed: {other}")),
        });
    }
    if let Some(dial) = error.downcast_ref::<DialError>() {
        let code = match dial {
            DialError::Url(_) => WasiError::HttpRequestUriInvalid,
            DialError::Name(error) => {
                WasiError::DnsError { rcode: Some(error.to_string()), info_code: None }
            }
            DialError::NameLate(_) => WasiError::DnsTimeout,
            DialError::Prohibited(_) => WasiError::DestinationIpProhibited,
            DialError::TcpLate(_) | DialError::TlsLate(_) => WasiError::ConnectionTimeout,
            // Their causes tell more.
            DialError::Tcp(_) | DialError::Tls(_) => return None,
        };
        return Some((code, dial.to_string()));
    }
    if let Some(hyper) = error.downcast_ref::<hyper::Error>()
        && (hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled())
    {
        return Some((WasiError::ConnectionTerminated, "the connection was closed".to_owned()));
    }
    let (code, reason) = match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => {
            (WasiError::ConnectionRefused, "the connection was refused")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            (WasiError::DestinationUnavailable, "there is no route to it")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof if unsent => {
            (WasiError::DestinationUnavailable, "the connection was cut before TLS was agreed on")
        }
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => {
            (WasiError::ConnectionTerminated, "the connection was cut")
        }
        _ => return None,
    };
    Some((code, reason.to_owned()))
}
