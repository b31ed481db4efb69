//! What an operator takes away from a connection, whatever its connector declares: writing, paths, and requests that make
//! or show credentials.

use http::Method;

use crate::description::Endpoint;
use crate::path;
use crate::scrub::clip;

/// The methods that change nothing (RFC 9110, 9.2.1), less TRACE, which repeats credentials.
pub(crate) const READING: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];

/// The rules of one connection.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) read_only: bool,
    denied: Vec<(String, Pattern)>,
    /// Method and path of the requests that make or show credentials; empty where they are allowed.
    credentials: Vec<(String, Pattern)>,
}

/// A path template as a most lenient server reads paths, so that no spelling gets past it.
#[derive(Debug)]
struct Pattern {
    names: Vec<Option<String>>,
    and_below: bool,
}

impl Rules {
    /// An error says which of the denied paths is none.
    pub(crate) fn new(
        read_only: bool,
        denied: &[String],
        credentials: &[Endpoint],
    ) -> Result<Self, String> {
        let deny = |text: &String| {
            let pattern = Pattern::new(text).ok_or_else(|| {
                format!("deny_paths: {text:?} is no path like /api/2.0/secrets/*")
            })?;
            Ok((text.clone(), pattern))
        };
        let guard = |endpoint: &Endpoint| {
            let pattern = Pattern::new(&endpoint.path).ok_or_else(|| {
                format!("the connector is faulty: {:?} is no path of an endpoint", endpoint.path)
            })?;
            Ok((endpoint.method.clone(), pattern))
        };
        Ok(Self {
            read_only,
            denied: denied.iter().map(deny).collect::<Result<_, String>>()?,
            credentials: credentials.iter().map(guard).collect::<Result<_, String>>()?,
        })
    }

    /// Judges a request; an error says which rule is against it.
    pub(crate) fn check(&self, method: &Method, path: &str) -> Result<(), String> {
        if self.read_only && !READING.contains(method) {
            return Err(format!("{method} changes something, and the connection is read_only"));
        }
        let Some(names) = path::canonical(path) else {
            return Err("the path cannot be read".to_owned());
        };
        if let Some((text, _)) = self.denied.iter().find(|(_, denied)| denied.covers(&names)) {
            return Err(format!("the connection's deny_paths have {}", clip(text, 120)));
        }
        let guarded = self
            .credentials
            .iter()
            .any(|(of, pattern)| (of == "*" || of == method.as_str()) && pattern.covers(&names));
        if guarded {
            return Err(format!(
                "{method} {} makes or shows credentials; set allow_credential_endpoints on the connection to allow that",
                clip(path, 80)
            ));
        }
        Ok(())
    }
}

impl Pattern {
    /// None for a text that is no path, or has a star in the middle.
    fn new(text: &str) -> Option<Self> {
        let (text, and_below) = match text.strip_suffix("/*") {
            Some(above) => (above, true),
            None => (text, false),
        };
        let rooted = text.starts_with('/') || (text.is_empty() && and_below);
        if !rooted || text.contains(['*', '?', '#']) || !text.bytes().all(|b| b.is_ascii_graphic())
        {
            return None;
        }
        let is_hole = |name: &str| name.starts_with('{') && name.ends_with('}');
        let names = path::canonical(text)?;
        let names = names.into_iter().map(|name| (!is_hole(&name)).then_some(name)).collect();
        Some(Self { names, and_below })
    }

    fn covers(&self, names: &[String]) -> bool {
        let fits = |(expected, name): (&Option<String>, &String)| {
            expected.as_ref().is_none_or(|expected| expected == name)
        };
        let long_enough = if self.and_below {
            names.len() >= self.names.len()
        } else {
            names.len() == self.names.len()
        };
        long_enough && self.names.iter().zip(names).all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{Audience, RetryClass};

    fn rules(denied: &[&str]) -> Result<Rules, String> {
        let denied: Vec<String> = denied.iter().map(|text| (*text).to_owned()).collect();
        let secrets = Endpoint {
            method: "GET".to_owned(),
            path: "/api/{version}/secrets/get".to_owned(),
            audience: Audience::Workspace,
            retry: RetryClass::Never,
        };
        Rules::new(false, &denied, &[secrets])
    }

    #[test]
    fn denied_paths_are_denied_in_every_spelling() {
        let rules = rules(&["/api/2.0/jobs/*", "/api/{version}/dbfs/put"]).expect("rules");
        let get = |path| rules.check(&Method::GET, path);
        for path in [
            "/api/2.0/jobs",
            "/api/2.0/jobs/",
            "/api/2.0/Jobs/list",
            "/api/2.0/%6aobs/list",
            "/api/2.0/%256aobs/list",
            "/api/2.0/jobs%2flist",
            "/api/2.0//jobs/list",
            "/api/2.0/jobs;x=y/list",
            "/api/2.1/dbfs/put",
        ] {
            assert!(get(path).expect_err(path).contains("deny_paths"), "{path}");
        }
        for path in ["/api/2.0/jobsworth", "/api/2.1/jobs/list", "/api/2.0/dbfs/put/x"] {
            assert_eq!(get(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn credentials_are_kept_in_by_method_and_path() {
        let rules = rules(&[]).expect("rules");
        let refused = rules.check(&Method::GET, "/api/2.1/secrets/get").expect_err("refused");
        assert!(refused.contains("allow_credential_endpoints"), "{refused}");
        assert_eq!(rules.check(&Method::GET, "/api/2.0/secrets/list"), Ok(()));
        assert_eq!(rules.check(&Method::POST, "/api/2.0/secrets/get"), Ok(()));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "api/2.0/x", "*", "/api/*/x", "/api/x*", "/api?x", "/a b", "https://x/y"] {
            assert!(rules(&[text]).expect_err(text).starts_with("deny_paths: "), "{text}");
        }
        assert!(rules(&["/*"]).expect("all").check(&Method::GET, "/x/y").is_err());
    }
}
