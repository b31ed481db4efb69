//! What the host's reason for a failed request means to a flow author, and whether the request can have arrived.

use waki::ErrorCode;

use crate::error::{Delivery, ErrorKind};
use crate::http::{Request, TransportError};
use crate::url;

/// The failure for a code of `wasi:http`: one row for each, so that a new one fails to compile.
pub(super) fn of_code(request: &Request, code: &ErrorCode) -> TransportError {
    let host = authority(request);
    match code {
        ErrorCode::DnsTimeout => {
            not_sent(format!("could not find the address of {host} in time; {CHECK_HOST}"))
        }
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => {
            not_sent(format!("could not find the address of {host}; {CHECK_HOST}"))
        }
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => not_sent(
            format!("could not connect to {host}: there is no way to it from here; {CHECK_HOST}"),
        ),
        ErrorCode::ConnectionRefused => {
            not_sent(format!("could not connect to {host}: connection refused; {CHECK_HOST}"))
        }
        ErrorCode::ConnectionTimeout => failure(
            ErrorKind::Timeout,
            Delivery::NotSent,
            format!("could not connect to {host} in time; {CHECK_HOST}"),
        ),
        ErrorCode::ConnectionLimitReached => {
            not_sent(format!("too many requests to {host} are under way; try again later"))
        }
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => {
            not_sent(format!("could not make a secure connection to {host}; {CHECK_HOST}"))
        }
        ErrorCode::TlsCertificateError => not_sent(format!(
            "could not make a secure connection to {host}: its certificate is not trusted; {CHECK_HOST}, or have its authority trusted"
        )),
        ErrorCode::DestinationIpProhibited => refused(format!(
            "the host does not let requests go to {host}: its address is not a public one"
        )),
        ErrorCode::HttpRequestDenied => refused(format!(
            "the host does not let {} requests go to {}: only the connection's own workspace is allowed, and there only what the action declares",
            request.method,
            without_query(request)
        )),
        ErrorCode::HttpRequestMethodInvalid => {
            refused(format!("the host does not send {} requests", request.method))
        }
        ErrorCode::HttpRequestUriInvalid => {
            refused(format!("the host does not take the URL {}", without_query(request)))
        }
        ErrorCode::HttpRequestUriTooLong
        | ErrorCode::HttpRequestBodySize(_)
        | ErrorCode::HttpRequestLengthRequired
        | ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_) => failure(
            ErrorKind::TooLarge,
            Delivery::NotSent,
            format!("the request to {host} is larger than the host sends; send less at once"),
        ),
        ErrorCode::ConnectionTerminated => broken_off(request),
        ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            lost(ErrorKind::Timeout, format!("{host} did not answer in time"))
        }
        ErrorCode::ConnectionWriteTimeout => {
            lost(ErrorKind::Timeout, format!("{host} did not take the request in time"))
        }
        ErrorCode::HttpResponseBodySize(_)
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_) => lost(
            ErrorKind::TooLarge,
            format!(
                "the answer of {host} is larger than the host takes; ask for less of it at once"
            ),
        ),
        ErrorCode::HttpResponseIncomplete => {
            lost(ErrorKind::Protocol, format!("the answer of {host} was cut off; try again"))
        }
        ErrorCode::HttpResponseTransferCoding(_)
        | ErrorCode::HttpResponseContentCoding(_)
        | ErrorCode::HttpUpgradeFailed
        | ErrorCode::HttpProtocolError
        | ErrorCode::LoopDetected => lost(
            ErrorKind::Protocol,
            format!("the answer of {host} is not HTTP as it should be; a proxy may stand between"),
        ),
        ErrorCode::ConfigurationError => failure(
            ErrorKind::Internal,
            Delivery::NotSent,
            format!("the host is not set up to send requests to {host}"),
        ),
        // Its text is about the host's own inside.
        ErrorCode::InternalError(_) => lost(
            ErrorKind::Internal,
            format!("the host failed while it sent the request to {host}"),
        ),
    }
}

const CHECK_HOST: &str = "check the host of the connection";

/// The connection ended, and nobody says why.
pub(super) fn broken_off(request: &Request) -> TransportError {
    let message =
        format!("the connection to {} ended before the answer was complete", authority(request));
    lost(ErrorKind::Unavailable, message)
}

/// The request is not one that `wasi:http` can express, or holds a header that is the host's own.
pub(super) fn unsendable(request: &Request) -> TransportError {
    let message =
        format!("the request to {} has a header or a URL that cannot be sent", authority(request));
    failure(ErrorKind::InvalidInput, Delivery::NotSent, message)
}

fn not_sent(message: String) -> TransportError {
    failure(ErrorKind::Unavailable, Delivery::NotSent, message)
}

fn refused(message: String) -> TransportError {
    failure(ErrorKind::Refused, Delivery::NotSent, message)
}

fn lost(kind: ErrorKind, message: String) -> TransportError {
    failure(kind, Delivery::Unknown, message)
}

fn failure(kind: ErrorKind, delivery: Delivery, message: String) -> TransportError {
    TransportError { kind, delivery, message }
}

/// Host and port.
fn authority(request: &Request) -> &str {
    let (_, rest) = url::split_scheme(&request.url).unwrap_or(("", &request.url));
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// A query may hold a signature.
fn without_query(request: &Request) -> &str {
    request.url.split('?').next().unwrap_or_default()
}
