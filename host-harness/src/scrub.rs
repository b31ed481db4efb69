//! Makes foreign text safe to show: no control characters, no secrets, no endless lines.

use bytes::Bytes;
use memchr::memmem::Finder;

/// One line of foreign text, control characters shown as `\u{…}` escapes.
pub(crate) fn printable(text: &str) -> String {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if !text.chars().any(steers) {
        return text.to_owned();
    }
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => vec![' '],
        c if steers(c) => c.escape_unicode().collect(),
        c => vec![c],
    };
    text.trim_end().chars().flat_map(shown).collect()
}

/// The start of a text, cut at a character boundary.
pub(crate) fn clip(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// Finds a connection's secrets in what comes back from outside, and overwrites them with asterisks of the same length,
/// so that declared lengths stay true.
#[derive(Clone, Default)]
pub(crate) struct Scrubber {
    finders: Vec<Finder<'static>>,
}

/// Shorter texts are no secrets worth the name, and would garble every answer.
const SHORTEST: usize = 8;

impl Scrubber {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let secrets = secrets.into_iter().filter(|secret| secret.len() >= SHORTEST);
        Self { finders: secrets.map(|secret| Finder::new(secret).into_owned()).collect() }
    }

    pub(crate) fn finds(&self, bytes: &[u8]) -> bool {
        self.finders.iter().any(|finder| finder.find(bytes).is_some())
    }

    /// The same bytes; a copy only where there was something to overwrite.
    pub(crate) fn bytes(&self, bytes: Bytes) -> Bytes {
        if !self.finds(&bytes) {
            return bytes;
        }
        let mut copy = bytes.to_vec();
        self.overwrite(&mut copy);
        copy.into()
    }

    pub(crate) fn text(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.overwrite(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn overwrite(&self, bytes: &mut [u8]) {
        for finder in &self.finders {
            let mut from = 0;
            while let Some(rest) = bytes.get_mut(from..)
                && let Some(at) = finder.find(rest)
            {
                let end = at + finder.needle().len();
                if let Some(secret) = rest.get_mut(at..end) {
                    secret.fill(b'*');
                }
                from += end;
            }
        }
    }

    /// How many bytes at the end may be the beginning of a secret that goes on in the next part.
    pub(crate) fn undecided(&self, bytes: &[u8]) -> usize {
        let open = |finder: &Finder<'_>| {
            let needle = finder.needle();
            let longest = bytes.len().min(needle.len().saturating_sub(1));
            (1..=longest)
                .rev()
                .find(|&len| needle.get(..len) == bytes.get(bytes.len() - len..))
                .unwrap_or(0)
        };
        self.finders.iter().map(open).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_overwritten_in_place() {
        let scrubber = Scrubber::new(["dapi-secret", "short"]);
        let bytes = scrubber.bytes(Bytes::from_static(b"a dapi-secret, short, dapi-secret"));
        assert_eq!(bytes, "a ***********, short, ***********");
    }

    #[test]
    fn the_beginning_of_a_secret_is_undecided() {
        let scrubber = Scrubber::new(["dapi-secret"]);
        assert_eq!(scrubber.undecided(b"token dapi-se"), 7);
        assert_eq!(scrubber.undecided(b"token d"), 1);
        assert_eq!(scrubber.undecided(b"token x"), 0);
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a\\u{1b}[31m b");
    }
}
