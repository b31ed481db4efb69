//! Searches whatever came out of a call for secrets that were planted in it, in every encoding in which they could have got
//! there. It shares no code with what keeps them from getting there.

use std::fmt::Write as _;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Compressed data in compressed data is looked into this deep.
const DEPTH: usize = 2;

/// Secrets by what they are, and all that they could look like.
#[derive(Debug)]
pub struct Canaries {
    needles: Vec<Needle>,
}

#[derive(Debug)]
struct Needle {
    /// `token as hex`
    what: String,
    bytes: Vec<u8>,
}

impl Canaries {
    /// Secrets by their names.
    pub fn new(secrets: &[(&str, &str)]) -> Self {
        let needles = secrets.iter().flat_map(|(name, secret)| {
            encodings(secret).into_iter().map(move |(encoding, bytes)| Needle {
                what: format!("{name} as {encoding}"),
                bytes,
            })
        });
        Self { needles: needles.collect() }
    }

    /// What was found, each once: nothing, if all is well.
    pub fn find(&self, sink: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        self.search(sink, "", DEPTH, &mut found);
        found.sort();
        found.dedup();
        found
    }

    /// Fails with what was found. The sink itself is not shown: it has a secret in it.
    #[track_caller]
    pub fn assert_absent(&self, sink: &str, bytes: impl AsRef<[u8]>) {
        let found = self.find(bytes.as_ref());
        assert!(found.is_empty(), "{sink} has {}", found.join(", "));
    }

    fn search(&self, sink: &[u8], inside: &str, depth: usize, found: &mut Vec<String>) {
        let seen = self.needles.iter().filter(|needle| contains(sink, &needle.bytes));
        found.extend(seen.map(|needle| format!("{}{inside}", needle.what)));
        if depth == 0 {
            return;
        }
        for start in 0..sink.len() {
            if let Some(plain) = inflated(&sink[start..]) {
                self.search(&plain, &format!("{inside}, compressed"), depth - 1, found);
            }
        }
    }
}

/// What can be read of gzip or zlib data that begins here, if any does.
fn inflated(data: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    // What comes before the data breaks off counts too, so the outcome of reading does not matter.
    let _ = match data {
        [0x1f, 0x8b, 8, ..] => {
            flate2::read::GzDecoder::new(data).take(64 << 20).read_to_end(&mut plain)
        }
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            flate2::read::ZlibDecoder::new(data).take(64 << 20).read_to_end(&mut plain)
        }
        _ => return None,
    };
    (!plain.is_empty()).then_some(plain)
}

fn contains(sink: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(sink, needle).is_some()
}

/// A text in every encoding that is searched for; to plant it, too.
pub fn encodings(secret: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let mut all = vec![("itself".to_owned(), bytes.to_vec())];
    let mut add = |name: &str, bytes: Vec<u8>| all.push((name.to_owned(), bytes));
    for (name, lower, kept) in [
        ("percent-encoded", false, ""),
        ("percent-encoded, lower case", true, ""),
        ("percent-encoded, unreserved kept", false, "-._~"),
        ("percent-encoded, unreserved kept, lower case", true, "-._~"),
        ("form-encoded", false, "-._*"),
    ] {
        let text = percent(bytes, lower, kept);
        if name.starts_with("form") {
            add("form-encoded, blanks as plus", text.replace("%20", "+").into_bytes());
        }
        add(name, text.into_bytes());
    }
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    add("hex in capitals", hex.to_uppercase().into_bytes());
    add("hex", hex.into_bytes());
    let json = serde_json::Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    add("JSON with slashes escaped", json.replace('/', "\\/").into_bytes());
    add("JSON", json.into_bytes());
    let form = percent(bytes, false, "-._*").into_bytes();
    for (of, bytes) in [("", bytes), ("form-encoded, then ", &form)] {
        for (engine, name) in [(&STANDARD, "base64"), (&URL_SAFE, "base64 for URLs")] {
            for shift in 0..3 {
                // Whatever stands around the secret changes the first and the last characters.
                let shifted = [&b"\0\0"[..shift], bytes].concat();
                let text = engine.encode(&shifted);
                let whole = shifted.len() * 8 / 6;
                let first = [0, 2, 3][shift];
                let name = format!("{of}{name}, shifted by {shift}");
                add(&name, text.as_bytes()[first..whole].to_vec());
            }
        }
    }
    add("UTF-16", secret.encode_utf16().flat_map(u16::to_le_bytes).collect());
    add("UTF-16, big end first", secret.encode_utf16().flat_map(u16::to_be_bytes).collect());
    add("itself, backwards", bytes.iter().rev().copied().collect());
    all
}

fn percent(bytes: &[u8], lower: bool, kept: &str) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) {
            text.push(byte.into());
        } else if lower {
            let _ = write!(text, "%{byte:02x}");
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const SECRET: &str = "dose/CANARY+\"5f1d é?";

    fn planted(bytes: &[u8]) -> Vec<u8> {
        [&b"{\"noise\": \"0123456789abcdef dapiNOTHING\" "[..], bytes, b" and more of it}"].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    /// J1: what searches for leaks finds them, whichever way a secret got out.
    #[test]
    fn a_planted_secret_is_found_in_every_encoding() {
        let canaries = Canaries::new(&[("secret", SECRET)]);
        assert_eq!(canaries.find(&planted(b"")), [""; 0]);
        for (encoding, bytes) in encodings(SECRET) {
            let expected = format!("secret as {encoding}");
            let found = canaries.find(&planted(&bytes));
            assert!(found.contains(&expected), "{expected}: {found:?}");
            let zipped = planted(&gzip(&planted(&gzip(&planted(&bytes)))));
            let found = canaries.find(&zipped);
            assert!(found.contains(&format!("{expected}, compressed, compressed")), "{found:?}");
        }
    }

    /// J1: HTTP Basic credentials are found whatever the client's id.
    #[test]
    fn a_secret_in_basic_credentials_is_found() {
        let canaries = Canaries::new(&[("secret", SECRET)]);
        for id in ["", "a", "ab", "abc", "5c8d1f7e-2b4a"] {
            for engine in [&STANDARD, &URL_SAFE] {
                let basic = engine.encode(format!("{id}:{SECRET}"));
                assert!(!canaries.find(basic.as_bytes()).is_empty(), "{basic}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "stderr has secret as itself")]
    fn a_leak_fails_a_test() {
        Canaries::new(&[("secret", SECRET)]).assert_absent("stderr", SECRET);
    }
}
