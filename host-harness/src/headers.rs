//! Headers that are not a connector's to set.

use http::header::{HeaderMap, HeaderName};

/// Who sends a request, how it is framed, and that it is what it looks like: only the host may speak for these.
const RESERVED: [&str; 19] = [
    "authorization",
    "connection",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    // Some servers and proxies take the method, the path or the sender from these: not what was decided about.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
const RESERVED_BEGINNINGS: [&str; 2] = ["proxy-", "x-forwarded-"];
/// What ends so carries credentials, which are the host's to add.
const RESERVED_ENDINGS: [&str; 2] = ["-authorization", "-token"];

/// Takes out what is reserved.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let reserved: Vec<HeaderName> =
        headers.keys().filter(|name| is_reserved(name.as_str())).cloned().collect();
    for name in reserved {
        headers.remove(name);
    }
}

/// Names are in lower case already.
fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || RESERVED_BEGINNINGS.iter().any(|start| name.starts_with(start))
        || RESERVED_ENDINGS.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::header::HeaderValue;

    use super::*;

    /// All that is here to be taken out, whatever WASI's own list has of it, and nothing else.
    #[test]
    fn what_is_reserved_goes_and_the_rest_stays() {
        let reserved = "authorization connection cookie expect forwarded host http2-settings keep-alive te trailer \
                        transfer-encoding upgrade via x-http-method x-http-method-override x-method-override \
                        x-original-url x-real-ip x-rewrite-url proxy-authorization proxy-connection x-forwarded-for \
                        x-forwarded-host x-databricks-authorization x-amz-security-token";
        let kept = "accept accept-language content-type if-none-match range user-agent x-request-id x-hosts tokens";
        let mut headers = HeaderMap::new();
        for name in reserved.split_whitespace().chain(kept.split_whitespace()) {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        strip(&mut headers);
        let left: BTreeSet<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, kept.split_whitespace().collect());
    }
}
