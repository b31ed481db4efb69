//! Which requests are let out: those that the running action declares, to the connection's own origins; links that the
//! service itself gave; and those to hosts that the operator listed. Decides only; sending is `egress.rs`, and which
//! addresses may be dialled is `dial.rs`.

use http::{Method, Uri};

use crate::description::{Audience, Endpoint, RetryClass};
use crate::links::Links;
use crate::origin::{self, Origin};
use crate::path;
use crate::rules::Rules;
use crate::scrub::clip;

/// Where the requests of a connection may go, and what the operator takes from that.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) workspace: Origin,
    pub(crate) account: Option<Origin>,
    pub(crate) listed: Vec<ListedHost>,
    /// Plain http is let out to this very machine.
    pub(crate) http_loopback: bool,
    pub(crate) rules: Rules,
}

/// A host of the operator's list, on one port or on all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedHost {
    host: String,
    port: Option<u16>,
}

impl ListedHost {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let authority: http::uri::Authority = text.parse().ok()?;
        let (host, port) = origin::host_and_port(&authority).ok()?;
        Some(Self { host, port })
    }

    pub(crate) fn is_loopback(&self) -> bool {
        origin::is_loopback(&self.host)
    }

    pub(crate) fn is(&self, origin: &Origin) -> bool {
        self.host == origin.host && self.port.is_none_or(|port| port == origin.port)
    }
}

impl From<&Origin> for ListedHost {
    fn from(origin: &Origin) -> Self {
        Self { host: origin.host.clone(), port: Some(origin.port) }
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

/// All methods that are let out, where an endpoint says any. TRACE would answer with the credentials, CONNECT would open a
/// tunnel, and a name that nobody knows may be either to somebody.
const METHODS: [&str; 10] =
    ["DELETE", "GET", "HEAD", "LINK", "OPTIONS", "PATCH", "POST", "PURGE", "PUT", "UNLINK"];

/// How much of a URL's part a message shows.
const SHOWN: usize = 60;

/// Decides about one request of an action; an error says why it is refused.
pub(crate) fn decide(
    reach: &Reach,
    endpoints: &[Endpoint],
    links: &Links,
    method: &Method,
    uri: &Uri,
) -> Result<Admission, String> {
    if !METHODS.contains(&method.as_str()) {
        return Err(format!("the method {} is not let out", clip(method.as_str(), SHOWN)));
    }
    let origin = Origin::of(uri)?;
    let is_private = origin.https || (reach.http_loopback && origin.is_loopback());
    if !is_private {
        return Err(format!("{} is not https", clip(&origin.to_string(), SHOWN)));
    }
    path::check_characters(uri.path(), uri.query())?;
    // A link is opaque: whatever its path holds, the service signed it so.
    if let Some(endpoint) = for_links(endpoints, method)
        && links.have(uri)
    {
        reach.rules.check(method, uri.path())?;
        return Ok(Admission { pass: Pass::Bare, retry: endpoint.retry });
    }
    path::check_meaning(uri.path())?;
    let audience = if origin == reach.workspace {
        Audience::Workspace
    } else if reach.account.as_ref() == Some(&origin) {
        Audience::Account
    } else if reach.listed.iter().any(|listed| listed.is(&origin)) {
        reach.rules.check(method, uri.path())?;
        // Nothing is declared about it, so nothing is known of its repetition.
        return Ok(Admission { pass: Pass::Bare, retry: RetryClass::Manual });
    } else {
        return Err(elsewhere(reach, endpoints, &origin));
    };
    let declared = endpoints.iter().find(|endpoint| {
        endpoint.audience == audience
            && (endpoint.method == "*" || endpoint.method == method.as_str())
            && matches(&endpoint.path, uri.path())
    });
    let Some(endpoint) = declared else {
        return Err(format!("{method} {} is none of its requests", clip(uri.path(), 2 * SHOWN)));
    };
    if uri.query().is_some_and(has_token) {
        return Err("access_token stands in the query, where logs would keep it".to_owned());
    }
    reach.rules.check(method, uri.path())?;
    Ok(Admission { pass: Pass::Authorized, retry: endpoint.retry })
}

fn for_links<'a>(endpoints: &'a [Endpoint], method: &Method) -> Option<&'a Endpoint> {
    let mut endpoints = endpoints.iter();
    endpoints.find(|e| e.audience == Audience::SignedLink && e.method == method.as_str())
}

fn elsewhere(reach: &Reach, endpoints: &[Endpoint], origin: &Origin) -> String {
    let (origin, own) = (origin.to_string(), reach.workspace.to_string());
    let (origin, own) = (clip(&origin, SHOWN), clip(&own, SHOWN));
    let link = if endpoints.iter().any(|e| e.audience == Audience::SignedLink) {
        ", nor a link that came from there"
    } else {
        ""
    };
    format!(
        "{origin} is not this connection's {own}{link}; to reach it without credentials, add its host to allow_hosts"
    )
}

/// RFC 6750, 2.3, which advises against it.
fn has_token(query: &str) -> bool {
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let mut names =
        names.map(|name| percent_encoding::percent_decode_str(name).decode_utf8_lossy());
    names.any(|name| name.eq_ignore_ascii_case("access_token"))
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
            path::is_one_segment(segment)
        } else {
            part == segment
        };
        if !fits {
            return false;
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests;
