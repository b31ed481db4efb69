//! Bodies: requests as they are sent, whole and repeatable, and answers as they are let in, within limits.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

use crate::error::ErrorKind;
use crate::flight::Flight;
use crate::scrub::Scrubber;
use crate::tempo::Tempo;
use crate::tokens::Peeked;

/// A request's body, taken whole: its length is known, and a copy costs nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payload {
    parts: VecDeque<Bytes>,
    length: u64,
    /// Told when the last part is taken to be sent.
    taken: Option<Arc<Notify>>,
}

impl Payload {
    /// Takes a guest's body, so that the guest has nothing left to do when the request is made: what it then hears of
    /// is the request's own fate, not that of its writing.
    pub(crate) async fn take(mut body: WasiBody, limit: usize) -> Result<Self, WasiError> {
        let mut whole = Self::default();
        while let Some(frame) = body.frame().await {
            let Ok(part) = frame?.into_data() else { continue };
            whole.length += part.len() as u64;
            if whole.length > limit as u64 {
                return Err(WasiError::HttpRequestBodySize(Some(limit as u64)));
            }
            whole.parts.push_back(part);
        }
        Ok(whole)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Tells when the last part is taken to be sent. Nothing is told of an empty body.
    pub(crate) fn watch(&mut self) -> Arc<Notify> {
        Arc::clone(self.taken.get_or_insert_default())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self { parts: VecDeque::from([Bytes::from(bytes)]), length, taken: None }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.pop_front();
        self.length -= part.as_ref().map_or(0, |part| part.len() as u64);
        if self.length == 0
            && let Some(taken) = self.taken.take()
        {
            taken.notify_one();
        }
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

/// An answer's body: capped, never waited for too long, and without the credentials of its request.
pub(crate) struct Answer {
    pub(crate) inner: Peeked,
    pub(crate) limit: u64,
    pub(crate) received: u64,
    /// The size that the answer's head states.
    pub(crate) declared: Option<u64>,
    pub(crate) tempo: Tempo,
    pub(crate) scrubber: Option<Arc<Scrubber>>,
    /// The end of a part that may be the beginning of a secret.
    pub(crate) held: Bytes,
    pub(crate) flight: Arc<Flight>,
    /// The slot that this exchange takes, until its body ends.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = WasiError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, WasiError>>> {
        loop {
            let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let reason = ready!(self.poll_silence(cx));
                    return Poll::Ready(Some(Err(self.slow(reason))));
                }
            };
            let Some(frame) = frame else {
                self.slot = None;
                let held = std::mem::take(&mut self.held);
                let held = self.scrubber.as_ref().map_or(Bytes::new(), |it| it.bytes(held));
                return Poll::Ready((!held.is_empty()).then(|| Ok(Frame::data(held))));
            };
            // Nobody reads trailers, and nobody has searched them for secrets.
            let Ok(data) = frame.map_err(|error| self.cut(&error))?.into_data() else { continue };
            self.count(data.len() as u64)?;
            self.tempo.brought(data.len() as u64).map_err(|reason| self.slow(reason))?;
            let data = self.scrubbed(data);
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
    }
}

impl Answer {
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        let left = self.flight.deadline.saturating_duration_since(self.flight.clock.now());
        self.tempo.poll_silence(cx, left)
    }

    fn slow(&self, reason: String) -> WasiError {
        self.flight.explain(ErrorKind::Timeout, reason);
        WasiError::ConnectionReadTimeout
    }

    fn count(&mut self, more: u64) -> Result<(), WasiError> {
        self.received += more;
        if self.received > self.limit {
            self.flight.explain(ErrorKind::TooLarge, too_large(self.limit));
            return Err(WasiError::HttpResponseBodySize(Some(self.limit)));
        }
        self.flight.count_received(more)
    }

    fn cut(&self, error: &hyper::Error) -> WasiError {
        let after = self.received;
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        let garbled = io.is_some_and(|io| {
            matches!(io.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        });
        let (code, why) = if garbled {
            (WasiError::HttpProtocolError, format!("it is not HTTP after {after} bytes"))
        } else {
            let why = match self.declared {
                Some(declared) => format!("it ended after {after} of {declared} bytes"),
                None => format!("it was cut off after {after} bytes"),
            };
            (WasiError::HttpResponseIncomplete, why)
        };
        self.flight.explain(ErrorKind::Protocol, why);
        code
    }

    fn scrubbed(&mut self, data: Bytes) -> Bytes {
        let Some(scrubber) = &self.scrubber else { return data };
        let data = if self.held.is_empty() {
            data
        } else {
            let mut whole = BytesMut::with_capacity(self.held.len() + data.len());
            whole.extend_from_slice(&self.held);
            whole.extend_from_slice(&data);
            whole.freeze()
        };
        let (ready, held) = scrubber.part(data);
        self.held = held;
        ready
    }
}

pub(crate) fn too_large(limit: u64) -> String {
    format!("the answer is larger than {limit} bytes (limits.response_bytes)")
}
