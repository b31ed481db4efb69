//! The one reader of URLs, those of connectors and those of operators: scheme, host and port, spelled in one way only, and
//! what counts as this very machine. Paths are read in `path.rs`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
        let (host, port) = host_and_port(authority)?;
        Ok(Self { https, host, port: port.unwrap_or(if https { 443 } else { 80 }) })
    }

    /// The same for a URL in a text.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        Self::of(&read(url)?)
    }

    /// True for addresses that no other machine can answer.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// The address that the host is, where it is no name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        address(&self.host)
    }
}

pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|ip| ip.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A URL in a text. Parsers differ in what they drop, turn round or normalise, so there is nothing of that in it.
pub(crate) fn read(url: &str) -> Result<Uri, &'static str> {
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a URL has ASCII characters only, and no spaces");
    }
    if url.contains(['\\', '#']) {
        return Err("the URL has a backslash or a # in it");
    }
    url.parse().map_err(|_| "it is not a URL")
}

/// Host in lower case, and the port where one is written.
pub(crate) fn host_and_port(authority: &Authority) -> Result<(String, Option<u16>), &'static str> {
    if authority.as_str().contains('@') {
        return Err("a URL with a user name in it goes elsewhere than it seems");
    }
    let host = host(authority.host())?;
    match authority.as_str().get(host.len()..) {
        None | Some("") => Ok((host, None)),
        Some(port) => Ok((host, Some(port_number(port).ok_or("the URL's port is not one")?))),
    }
}

/// A name, or an address in its usual spelling: whatever reads the host later must read the same.
fn host(text: &str) -> Result<String, &'static str> {
    const UNUSUAL: &str = "the URL's host is not written as usual";
    let host = text.to_ascii_lowercase();
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(UNUSUAL)?;
        let usual = inner.parse::<Ipv6Addr>().is_ok_and(|address| address.to_string() == inner);
        return if usual { Ok(host) } else { Err(UNUSUAL) };
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix("0x").unwrap_or(last);
    // Whatever ends in a number is an address to somebody: 127.1, 0x7f.1, 0177.0.0.1, 2130706433.
    let is_number = digits.len() < last.len() && digits.bytes().all(|b| b.is_ascii_hexdigit())
        || last.bytes().all(|b| b.is_ascii_digit());
    let usual = if is_number {
        host.parse::<Ipv4Addr>().is_ok()
    } else {
        host.len() <= 253 && host.split('.').all(is_label)
    };
    if usual { Ok(host) } else { Err(UNUSUAL) }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn port_number(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(':')?;
    let usual = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    usual.then(|| digits.parse().ok()).flatten()
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn origins_are_told_apart_exactly() {
        let parse = |url| Origin::parse(url).map(|origin| origin.to_string());
        assert_eq!(parse("https://Work.Test/api"), Ok("https://work.test".to_owned()));
        assert_eq!(parse("https://work.test:443"), Ok("https://work.test".to_owned()));
        assert_eq!(parse("http://[::1]:8080/x"), Ok("http://[::1]:8080".to_owned()));
        assert_eq!(parse("https://10.0.0.1"), Ok("https://10.0.0.1".to_owned()));
        assert_eq!(parse("https://xn--e1afmkfd.test"), Ok("https://xn--e1afmkfd.test".to_owned()));
        for odd in [
            "https://work.test@evil.test/",
            "https://work.test.",
            "ftp://work.test",
            "//work.test/x",
            "https://work.test:/",
            "https://work.test:99999/",
            "https://work.test:0443/",
            "https://work.test:0/",
            "https://work.test#@evil.test",
            "https://work.test\\@evil.test",
            "https://work\t.test",
            "https://wоrk.test",
            "https://work。test",
            "https://127.1",
            "https://0x7f.1",
            "https://2130706433",
            "https://0177.0.0.1",
            "https://127.0.0.01",
            "https://[0:0:0:0:0:0:0:1]",
            "https://[::1%25lo]",
            "https://[v1.x]",
            "https://-work.test",
            "https://work..test",
        ] {
            assert!(parse(odd).is_err(), "{odd}");
        }
    }

    /// RFC 1035, 2.3.4: 63 characters a label, 253 in all as they are written.
    #[test]
    fn names_are_no_longer_than_names_can_be() {
        let name = |lengths: &[usize]| {
            let labels: Vec<String> = lengths.iter().map(|length| "a".repeat(*length)).collect();
            Origin::parse(&format!("https://{}/", labels.join(".")))
        };
        assert!(name(&[63, 63, 63, 61]).is_ok());
        assert!(name(&[63, 63, 63, 62]).is_err());
        assert!(name(&[64, 1]).is_err());
    }

    #[test]
    fn ports_that_are_not_written_are_those_of_the_scheme() {
        for (url, port) in [("https://work.test", 443), ("http://work.test", 80)] {
            assert_eq!(Origin::parse(url).map(|origin| origin.port), Ok(port), "{url}");
        }
    }

    /// What is wrong is found by the first check that it meets, not by luck in a later one.
    #[test]
    fn what_is_wrong_with_a_url_is_told() {
        for (url, says) in [
            ("https://work.test/ä", "ASCII characters only"),
            ("https://work.test/a b", "ASCII characters only"),
            ("https://work.test/a\\b", "a backslash or a #"),
            ("https://work.test/a#b", "a backslash or a #"),
            ("https://work.test@evil.test/", "a user name"),
            ("https://work.test:443@work.test/", "a user name"),
        ] {
            let told = Origin::parse(url).unwrap_err();
            assert!(told.contains(says), "{url}: {told}");
        }
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for (url, loopback) in [
            ("http://127.0.0.1:1", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://127.0.0.1.evil.test", false),
            ("http://localhost.evil.test", false),
            ("http://evil-localhost", false),
            ("http://evil.localhost", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Origin::parse(url).expect("url").is_loopback(), loopback, "{url}");
        }
    }

    proptest! {
        /// D2, D3, D6, D11: however a text is put together, an origin that is read out of it is what the text says, letter
        /// by letter, and reading it again changes nothing.
        #[test]
        fn what_is_read_stands_in_the_text(text in "(https?://)?([a-zA-Z0-9.:@\\\\/\\[\\]%#?_-]|\\PC){0,40}") {
            if let Ok(origin) = Origin::parse(&text) {
                let start = text.find("://").expect("a scheme") + 3;
                let said = text.get(start..start + origin.host.len()).expect("the host");
                prop_assert!(said.eq_ignore_ascii_case(&origin.host), "{}", said);
                let next = text.get(start + origin.host.len()..).unwrap_or_default();
                prop_assert!(next.is_empty() || next.starts_with([':', '/', '?']), "{}", next);
                prop_assert_eq!(Origin::parse(&origin.to_string()), Ok(origin));
            }
        }
    }
}
