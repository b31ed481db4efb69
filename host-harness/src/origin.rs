//! Origins: scheme, host and port, compared exactly, and what counts as this very machine.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// Where requests go. Hosts are in lower case, ports always known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of a URL; an error says what is wrong with the URL.
    pub(crate) fn of(uri: &Uri) -> Result<Self, &'static str> {
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) => return Err("only https is possible"),
            None => return Err("the URL has no scheme, so it names no host"),
        };
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("a URL with a user name in it goes elsewhere than it seems");
        }
        let port = port(authority, https)?;
        let host = authority.host();
        if host.is_empty() || host.ends_with('.') || !host.is_ascii() {
            return Err("the URL's host is not written as usual");
        }
        Ok(Self { https, host: host.to_ascii_lowercase(), port })
    }

    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        Self::of(&url.parse::<Uri>().map_err(|_| "it is not a URL")?)
    }

    /// True for addresses that no other machine can answer.
    pub(crate) fn is_loopback(&self) -> bool {
        let literal = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || literal.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

fn port(authority: &Authority, https: bool) -> Result<u16, &'static str> {
    match authority.port() {
        Some(port) => Ok(port.as_u16()),
        // `host:` and `host:99999` have no port that could be read, and yet they have a colon.
        None if authority.as_str().len() > authority.host().len() => {
            Err("the URL's port is not one")
        }
        None if https => Ok(443),
        None => Ok(80),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_told_apart_exactly() {
        let parse = |url| Origin::parse(url).map(|origin| origin.to_string());
        assert_eq!(parse("https://Work.Test/api"), Ok("https://work.test".to_owned()));
        assert_eq!(parse("https://work.test:443"), Ok("https://work.test".to_owned()));
        assert_eq!(parse("http://[::1]:8080/x"), Ok("http://[::1]:8080".to_owned()));
        for odd in [
            "https://work.test@evil.test/",
            "https://work.test.",
            "ftp://work.test",
            "//work.test/x",
            "https://work.test:/",
            "https://work.test:99999/",
        ] {
            assert!(parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for (url, loopback) in [
            ("http://127.0.0.1:1", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://127.0.0.1.evil.test", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Origin::parse(url).expect("url").is_loopback(), loopback, "{url}");
        }
    }
}
