//! Links that a service gave to an action: which there were, so that a connector can follow those and make up none.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Uri;
use http_body::{Body, Frame, SizeHint};

use crate::description::{Audience, Endpoint};
use crate::origin::{self, Origin};

/// More links than this are not remembered.
const MOST: usize = 65_536;
/// The longest link. Signed ones with a token of a session in them have some 2 KB.
const LONGEST: usize = 16 << 10;

/// The links that an action was given, over all its steps. Keeps hashes, by a key that nobody else knows.
#[derive(Debug, Default)]
pub(crate) struct Links {
    /// The members of JSON objects that hold links. Empty for actions that declare no signed links: they pay nothing.
    members: Vec<String>,
    key: RandomState,
    seen: Mutex<HashSet<u64>>,
}

impl Links {
    pub(crate) fn of(endpoints: &[Endpoint]) -> Self {
        let signed = endpoints.iter().filter(|e| e.audience == Audience::SignedLink);
        Self { members: signed.map(|e| e.path.clone()).collect(), ..Self::default() }
    }

    pub(crate) fn are_declared(&self) -> bool {
        !self.members.is_empty()
    }

    /// True for a link that stood in an answer, from its first letter to its last.
    pub(crate) fn have(&self, uri: &Uri) -> bool {
        let Some(hash) = self.hash(uri) else { return false };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(&hash)
    }

    pub(crate) fn keep(&self, text: &str) {
        let Some(hash) = origin::read(text).ok().and_then(|uri| self.hash(&uri)) else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MOST {
            seen.insert(hash);
        }
    }

    fn hash(&self, uri: &Uri) -> Option<u64> {
        let origin = Origin::of(uri).ok()?;
        let rest = uri.path_and_query()?.as_str();
        Some(self.key.hash_one((origin.https, origin.host, origin.port, rest)))
    }
}

/// An authorized answer that is read for links as it passes.
#[derive(Debug)]
pub(crate) struct Watched<B> {
    body: B,
    links: Arc<Links>,
    reader: Reader,
}

impl<B> Watched<B> {
    pub(crate) fn new(body: B, links: Arc<Links>) -> Self {
        Self { body, links, reader: Reader::default() }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let Self { links, reader, .. } = &mut *self;
            reader.read(data, links);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Finds the texts of some members in JSON that comes in parts.
#[derive(Debug, Default)]
struct Reader {
    place: Place,
    /// The text that is being read, or was read last, as it stands in the JSON.
    text: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    /// After a text, which a colon would make the name of a member.
    AfterText,
    /// After the colon of a member that holds a link.
    BeforeLink,
    Text {
        is_link: bool,
        escaped: bool,
    },
}

impl Reader {
    fn read(&mut self, mut data: &[u8], links: &Links) {
        while let Some((&byte, rest)) = data.split_first() {
            if let Place::Text { is_link, escaped: false } = self.place {
                // The common case in few instructions: nothing happens before the next of these two.
                let plain = memchr::memchr2(b'"', b'\\', data).unwrap_or(data.len());
                let (text, after) = data.split_at(plain);
                self.push(text);
                let Some((&byte, after)) = after.split_first() else { return };
                data = after;
                if byte == b'"' {
                    self.end(is_link, links);
                } else {
                    self.push(b"\\");
                    self.place = Place::Text { is_link, escaped: true };
                }
                continue;
            }
            data = rest;
            self.place = match (self.place, byte) {
                (Place::Text { is_link, .. }, byte) => {
                    self.push(&[byte]);
                    Place::Text { is_link, escaped: false }
                }
                (place, b' ' | b'\t' | b'\r' | b'\n') => place,
                (place, b'"') => {
                    self.text.clear();
                    Place::Text { is_link: place == Place::BeforeLink, escaped: false }
                }
                (Place::AfterText, b':') if self.is_member(links) => Place::BeforeLink,
                _ => Place::Between,
            };
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        // One byte more than fits says that it does not fit.
        let room = (LONGEST + 1).saturating_sub(self.text.len());
        self.text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn is_member(&self, links: &Links) -> bool {
        links.members.iter().any(|member| member.as_bytes() == self.text)
    }

    fn end(&mut self, is_link: bool, links: &Links) {
        self.place = Place::AfterText;
        if !is_link || self.text.len() > LONGEST {
            return;
        }
        // An & may be written as an escape.
        let quoted = [b"\"", self.text.as_slice(), b"\""].concat();
        if let Ok(text) = serde_json::from_slice::<String>(&quoted) {
            links.keep(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::RetryClass;

    fn links() -> Links {
        Links::of(&[Endpoint {
            method: "GET".into(),
            path: "external_link".into(),
            audience: Audience::SignedLink,
            retry: RetryClass::Safe,
        }])
    }

    fn has(links: &Links, url: &str) -> bool {
        links.have(&url.parse().expect("a URL"))
    }

    const ANSWER: &str = r#"{"external_links": [{"external_link" : "https:\/\/Store.test/a?x=1\u0026sig=%2Fq", "chunk_index": 0},
        {"external_link":"https://store.test:8443/b"}],
        "data_array": [["https://evil.test/cell", "external_link", "https://evil.test/array"]],
        "note": "\"external_link\":\"https://evil.test/quoted\"", "link": "https://evil.test/other",
        "external_link": {"x": "https://evil.test/below"}, "external_link": 1, "y": "https://evil.test/after"}"#;

    #[test]
    fn links_are_the_texts_of_their_members_however_the_answer_is_cut() {
        for cut in 0..ANSWER.len() {
            let (links, mut reader) = (links(), Reader::default());
            let (one, two) = ANSWER.as_bytes().split_at(cut);
            reader.read(one, &links);
            reader.read(two, &links);
            assert!(has(&links, "https://store.test/a?x=1&sig=%2Fq"), "cut at {cut}");
            assert!(has(&links, "https://store.test:8443/b"), "cut at {cut}");
            assert_eq!(links.seen.lock().expect("seen").len(), 2, "cut at {cut}");
        }
    }

    #[test]
    fn escaped_quotation_marks_end_no_text() {
        let (links, mut reader) = (links(), Reader::default());
        let answer = r#"{"note": "a\"b", "path": "c:\\", "external_link": "https://store.test/c"}"#;
        reader.read(answer.as_bytes(), &links);
        assert!(has(&links, "https://store.test/c"));
    }

    #[test]
    fn a_link_is_the_whole_link() {
        let (links, mut reader) = (links(), Reader::default());
        reader.read(ANSWER.as_bytes(), &links);
        for url in [
            "https://store.test/a?x=1&sig=%2Fq&more=1",
            "https://store.test/a?x=1&sig=%2f",
            "https://store.test/a?x=1",
            "https://store.test/a",
            "https://store.test:444/a?x=1&sig=%2Fq",
            "http://store.test/a?x=1&sig=%2Fq",
            "https://store.test/b",
            "https://evil.test/a?x=1&sig=%2Fq",
        ] {
            assert!(!has(&links, url), "{url}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_much_is_not_kept() {
        let (links, mut reader) = (links(), Reader::default());
        let long = format!("https://store.test/{}", "a".repeat(LONGEST));
        reader.read(format!("{{\"external_link\":\"{long}\"}}").as_bytes(), &links);
        // Nor is its beginning.
        assert!(!has(&links, &long) && links.seen.lock().expect("seen").is_empty());
        for number in 0..MOST + 9 {
            links.keep(&format!("https://store.test/{number}"));
        }
        assert_eq!(links.seen.lock().expect("seen").len(), MOST);
    }
}
