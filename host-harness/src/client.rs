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
use crate::wire::{Stale, Stuck};

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
        Self::new(code, unsent, last)
    }

    /// Whether another attempt would end the same: the certificate stays untrusted, the address prohibited.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self.code,
            WasiError::TlsCertificateError
                | WasiError::TlsProtocolError
                | WasiError::DestinationIpProhibited
        )
    }

    fn new(code: WasiError, unsent: bool, reason: String) -> Self {
        let kind = match code {
            WasiError::DestinationIpProhibited => ErrorKind::Refused,
            WasiError::DnsTimeout
            | WasiError::ConnectionTimeout
            | WasiError::ConnectionWriteTimeout => ErrorKind::Timeout,
            _ => ErrorKind::Unavailable,
        };
        Self { code, kind, unsent, reason }
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
    let failure = |code, reason| Some(Failure::new(code, unsent, reason));
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
        return failure(code, dial.to_string());
    }
    if let Some(stuck) = error.downcast_ref::<Stuck>() {
        return failure(WasiError::ConnectionWriteTimeout, stuck.to_string());
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
    failure(code, reason.to_owned())
}
