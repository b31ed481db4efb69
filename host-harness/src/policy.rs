//! Which requests are let out: those that the running action declares, to the connection's own origins, and those to
//! hosts that the operator listed. Decides only; sending is `egress.rs`.

use http::{Method, Uri};
use percent_encoding::percent_decode_str;

use crate::description::{Audience, Endpoint, RetryClass};
use crate::origin::Origin;

/// Where the requests of a connection may go.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) workspace: Origin,
    pub(crate) account: Option<Origin>,
    pub(crate) listed: Vec<ListedHost>,
}

/// A host of the operator's list, on one port or on all.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListedHost {
    host: String,
    port: Option<u16>,
}

impl ListedHost {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let authority: http::uri::Authority = text.parse().ok()?;
        let port = authority.port_u16();
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port != port.is_some() || text.contains('@') {
            return None;
        }
        Some(Self { host: authority.host().to_ascii_lowercase(), port })
    }

    fn is(&self, origin: &Origin) -> bool {
        self.host == origin.host && self.port.is_none_or(|port| port == origin.port)
    }
}

/// What a request may do once it is let out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pass {
    /// It carries the connection's credentials.
    Authorized,
    /// It carries none.
    Bare,
}

/// How a request that is let out is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    pub(crate) pass: Pass,
    /// What a repetition does.
    pub(crate) retry: RetryClass,
}

/// Decides about one request of an action; an error says why it is refused.
pub(crate) fn decide(
    reach: &Reach,
    endpoints: &[Endpoint],
    method: &Method,
    uri: &Uri,
) -> Result<Admission, String> {
    // TRACE would answer with the credentials, CONNECT would open a tunnel; an endpoint says which others there are.
    if [Method::TRACE, Method::CONNECT].contains(method) {
        return Err(format!("the method {method} is not let out"));
    }
    let origin = Origin::of(uri)?;
    if !origin.https && !origin.is_loopback() {
        return Err(format!("{origin} is not https"));
    }
    if leaves_its_path(uri.path()) {
        return Err("the path has . or .. segments".to_owned());
    }
    let audience = if origin == reach.workspace {
        Some(Audience::Workspace)
    } else if reach.account.as_ref() == Some(&origin) {
        Some(Audience::Account)
    } else {
        None
    };
    let Some(audience) = audience else {
        if reach.listed.iter().any(|listed| listed.is(&origin)) {
            // Nothing is declared about it, so nothing is known of its repetition.
            return Ok(Admission { pass: Pass::Bare, retry: RetryClass::Manual });
        }
        let own = &reach.workspace;
        return Err(format!(
            "{origin} is not this connection's {own}; to reach it without credentials, add \"{}\" to allow_hosts",
            origin.host
        ));
    };
    let declared = endpoints.iter().find(|endpoint| {
        endpoint.audience == audience
            && (endpoint.method == "*" || endpoint.method == method.as_str())
            && matches(&endpoint.path, uri.path())
    });
    match declared {
        Some(endpoint) => Ok(Admission { pass: Pass::Authorized, retry: endpoint.retry }),
        None => Err(format!("{method} {} is none of its requests", uri.path())),
    }
}

/// `{name}` in a template stands for one segment, `*` at its end for any rest.
fn matches(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let mut expected = template.split('/').peekable();
    while let Some(part) = expected.next() {
        if part == "*" && expected.peek().is_none() {
            return segments.next().is_some();
        }
        let Some(segment) = segments.next() else { return false };
        let fits = if part.starts_with('{') && part.ends_with('}') {
            !segment.is_empty()
        } else {
            part == segment
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

/// True where a server that normalises paths could end up elsewhere than the path says, however it is encoded.
fn leaves_its_path(path: &str) -> bool {
    let once = percent_decode_str(path).decode_utf8_lossy();
    let twice = percent_decode_str(&once).decode_utf8_lossy();
    let dots = |segment: &str| {
        let name = segment.split(';').next().unwrap_or(segment);
        name == "." || name == ".."
    };
    twice.split(['/', '\\']).any(dots)
}

#[cfg(test)]
mod tests {
    use super::*;
    fn endpoint(method: &str, path: &str, audience: Audience) -> Endpoint {
        Endpoint { method: method.into(), path: path.into(), audience, retry: RetryClass::Safe }
    }

    fn verdict(method: &str, url: &str) -> Result<Pass, String> {
        let reach = Reach {
            workspace: Origin::parse("https://work.test").expect("origin"),
            account: Origin::parse("https://accounts.test").ok(),
            listed: ["files.test", "other.test:8443"]
                .map(|h| ListedHost::parse(h).expect("host"))
                .into(),
        };
        let endpoints = [
            endpoint("GET", "/api/2.1/clusters/get", Audience::Workspace),
            endpoint("POST", "/api/2.0/sql/warehouses/{id}/start", Audience::Workspace),
            endpoint("*", "/api/2.0/raw/*", Audience::Workspace),
            endpoint("GET", "/api/2.0/accounts/{id}", Audience::Account),
        ];
        let method = Method::from_bytes(method.as_bytes()).expect("method");
        let uri = url.parse().expect("url");
        decide(&reach, &endpoints, &method, &uri).map(|admission| admission.pass)
    }

    #[test]
    fn declared_requests_are_authorized() {
        for (method, url) in [
            ("GET", "https://work.test/api/2.1/clusters/get?cluster_id=1"),
            ("GET", "https://WORK.test:443/api/2.1/clusters/get"),
            ("POST", "https://work.test/api/2.0/sql/warehouses/abc/start"),
            ("DELETE", "https://work.test/api/2.0/raw/any/thing"),
            ("GET", "https://accounts.test/api/2.0/accounts/1"),
        ] {
            assert_eq!(verdict(method, url), Ok(Pass::Authorized), "{method} {url}");
        }
    }

    #[test]
    fn listed_hosts_are_reached_without_credentials() {
        assert_eq!(verdict("PUT", "https://files.test/any"), Ok(Pass::Bare));
        assert_eq!(verdict("PUT", "https://files.test:8443/any"), Ok(Pass::Bare));
        assert_eq!(verdict("PUT", "https://other.test:8443/any"), Ok(Pass::Bare));
        assert!(verdict("PUT", "https://other.test/any").is_err());
    }

    #[test]
    fn everything_else_is_refused() {
        for (method, url) in [
            ("POST", "https://work.test/api/2.1/clusters/get"),
            ("GET", "https://work.test/api/2.1/clusters/list"),
            ("GET", "https://work.test/api/2.1/clusters/get/"),
            ("POST", "https://work.test/api/2.0/sql/warehouses//start"),
            ("POST", "https://work.test/api/2.0/sql/warehouses/a/b/start"),
            ("GET", "https://accounts.test/api/2.1/clusters/get"),
            ("GET", "http://work.test/api/2.1/clusters/get"),
            ("GET", "https://work.test:8443/api/2.1/clusters/get"),
            ("GET", "https://evil.test/api/2.1/clusters/get"),
            ("GET", "https://work.test@evil.test/api/2.1/clusters/get"),
            ("GET", "https://evilwork.test/api/2.1/clusters/get"),
            ("TRACE", "https://work.test/api/2.0/raw/x"),
            ("GET", "https://work.test/api/2.0/raw/../x"),
            ("GET", "https://work.test/api/2.0/raw/%2e%2E/x"),
            ("GET", "https://work.test/api/2.0/raw/..%2fx"),
            ("GET", "https://work.test/api/2.0/raw/%252e%252e/x"),
            ("GET", "https://work.test/api/2.0/raw/..;a/x"),
            ("GET", "https://work.test/api/2.0/raw"),
        ] {
            assert!(verdict(method, url).is_err(), "{method} {url}");
        }
    }
}
