//! The parts of a result that a connector brings before its end: kept until then, or handed on as they come.

use std::io::{BufReader, Read};

use bytes::{Buf, Bytes, BytesMut};
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::call::{Sink, Value};
use crate::depth::{self, Depth};
use crate::error::{Delivery, Error, ErrorKind};
use crate::scrub::Scrubber;

/// Parts that wait to be read as JSON.
const WAITING_PARTS: usize = 4;

/// Where the parts of a result go.
pub(crate) enum Emitted<'a> {
    Kept(Vec<u8>),
    Handed(Handed<'a>),
}

impl<'a> Emitted<'a> {
    pub(crate) fn to(sink: &'a mut dyn Sink) -> Self {
        Self::Handed(Handed {
            sink,
            held: Bytes::new(),
            bytes: 0,
            ending: Vec::new(),
            is_text: true,
            document: None,
        })
    }

    /// Takes the next part. What is kept has to fit into `limit` bytes, all parts together.
    pub(crate) async fn take(
        &mut self,
        part: Bytes,
        scrubber: &Scrubber,
        limit: usize,
    ) -> Result<(), Error> {
        match self {
            Self::Kept(kept) if kept.len() + part.len() > limit => {
                let message = format!(
                    "the result is larger than {limit} bytes (limits.output_bytes); ask for less of it, or have it go into a file"
                );
                Err(Error::new(ErrorKind::TooLarge, message).delivered(Delivery::Applied))
            }
            Self::Kept(kept) if kept.is_empty() => {
                *kept = part.into();
                Ok(())
            }
            Self::Kept(kept) => {
                kept.extend_from_slice(&part);
                Ok(())
            }
            Self::Handed(handed) => handed.take(part, scrubber).await,
        }
    }

    /// True while there was no part with something in it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Kept(kept) => kept.is_empty(),
            Self::Handed(handed) => handed.document.is_none(),
        }
    }
}

/// Parts that are searched for secrets, handed on and counted, and looked at as the text and the JSON that they may be.
pub(crate) struct Handed<'a> {
    sink: &'a mut dyn Sink,
    /// The end of a part that may be the beginning of a secret.
    held: Bytes,
    bytes: u64,
    /// The end of a part that may be the beginning of a character.
    ending: Vec<u8>,
    is_text: bool,
    document: Option<Document>,
}

impl Handed<'_> {
    async fn take(&mut self, part: Bytes, scrubber: &Scrubber) -> Result<(), Error> {
        if part.is_empty() {
            return Ok(());
        }
        self.document.get_or_insert_with(Document::new);
        let part = if self.held.is_empty() {
            part
        } else {
            let mut whole = BytesMut::with_capacity(self.held.len() + part.len());
            whole.extend_from_slice(&self.held);
            whole.extend_from_slice(&part);
            whole.freeze()
        };
        let (ready, held) = scrubber.part(part);
        self.held = held;
        self.hand(ready).await
    }

    async fn hand(&mut self, part: Bytes) -> Result<(), Error> {
        if part.is_empty() {
            return Ok(());
        }
        self.is_text = self.is_text && is_text(&mut self.ending, &part);
        if let Some(document) = &mut self.document {
            document.read(part.clone()).await;
        }
        self.bytes += part.len() as u64;
        let taken = self.sink.take(part).await;
        taken.map_err(|error| error.delivered(Delivery::Applied))
    }

    /// Hands on the last part and what was held back. The answer is how much that was, and the type that the whole is of,
    /// where it is to be JSON.
    pub(crate) async fn end(
        mut self,
        last: &Value,
        scrubber: &Scrubber,
    ) -> Result<(u64, Option<&'static str>), Error> {
        self.take(Bytes::copy_from_slice(last.as_bytes()), scrubber).await?;
        let held = scrubber.bytes(std::mem::take(&mut self.held));
        self.hand(held).await?;
        let text = || if self.is_text && self.ending.is_empty() { Ok(()) } else { Err(no_text()) };
        let of = match (last, self.document) {
            (Value::Binary(_), _) => None,
            (Value::Text(_), _) | (Value::Json(_), None) => {
                text()?;
                None
            }
            (Value::Json(_), Some(document)) => {
                text()?;
                Some(document.end().await?)
            }
        };
        Ok((self.bytes, of))
    }
}

/// Whether bytes are text, after what was left of those before them.
fn is_text(ending: &mut Vec<u8>, mut part: &[u8]) -> bool {
    // A character that was cut is complete with three more bytes, or not one.
    while !ending.is_empty() {
        let Some((next, rest)) = part.split_first() else { return true };
        ending.push(*next);
        part = rest;
        match std::str::from_utf8(ending) {
            Ok(_) => ending.clear(),
            Err(error) if error.error_len().is_some() => return false,
            Err(_) => {}
        }
    }
    match std::str::from_utf8(part) {
        Ok(_) => true,
        Err(error) if error.error_len().is_some() => false,
        Err(error) => {
            ending.extend_from_slice(part.get(error.valid_up_to()..).unwrap_or_default());
            true
        }
    }
}

pub(crate) fn no_text() -> Error {
    crate::catalog::unfit("it is not UTF-8 text")
}

/// JSON that is read on a thread of its own as it passes, to tell at its end whether it was complete. What turns out to be no
/// JSON, as rows of CSV do soon, is not read on.
struct Document {
    parts: Option<mpsc::Sender<Bytes>>,
    verdict: JoinHandle<Result<&'static str, String>>,
}

impl Document {
    fn new() -> Self {
        let (parts, incoming) = mpsc::channel(WAITING_PARTS);
        let parts_of_it =
            Parts { incoming, part: Bytes::new(), first: None, depth: Depth::default() };
        Self { parts: Some(parts), verdict: tokio::task::spawn_blocking(move || read(parts_of_it)) }
    }

    async fn read(&mut self, part: Bytes) {
        if let Some(parts) = &self.parts
            && parts.send(part).await.is_err()
        {
            self.parts = None;
        }
    }

    /// The type of the whole.
    async fn end(self) -> Result<&'static str, Error> {
        drop(self.parts);
        let verdict = self.verdict.await.unwrap_or_else(|error| Err(error.to_string()));
        verdict.map_err(|why| crate::catalog::unfit(&why))
    }
}

fn read(mut parts: Parts) -> Result<&'static str, String> {
    serde_json::from_reader::<_, IgnoredAny>(BufReader::new(&mut parts)).map_err(|error| {
        match error.is_io() {
            true => depth::TOO_DEEP.to_owned(),
            false => format!("it is not JSON: {error}"),
        }
    })?;
    Ok(crate::catalog::type_of(parts.first))
}

/// Parts as one stream.
struct Parts {
    incoming: mpsc::Receiver<Bytes>,
    part: Bytes,
    /// The first byte that is no white space.
    first: Option<u8>,
    depth: Depth,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.part.is_empty() {
            let Some(part) = self.incoming.blocking_recv() else { return Ok(0) };
            self.first = self.first.or_else(|| part.trim_ascii_start().first().copied());
            if self.depth.reaches_too_deep(&part) {
                return Err(std::io::Error::other(depth::TOO_DEEP));
            }
            self.part = part;
        }
        let length = buffer.len().min(self.part.len());
        self.part.split_to(length).copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_however_it_is_cut() {
        let text = "é日👩‍👧x".as_bytes();
        for cut in 0..text.len() {
            let mut ending = Vec::new();
            let (one, two) = text.split_at(cut);
            assert!(is_text(&mut ending, one) && is_text(&mut ending, two) && ending.is_empty());
            let mut ending = Vec::new();
            let broken = is_text(&mut ending, one) && is_text(&mut ending, b"\xff");
            assert!(!broken, "{cut}");
        }
        let mut ending = Vec::new();
        assert!(is_text(&mut ending, b"a\xf0\x9f") && ending.len() == 2);
    }
}
