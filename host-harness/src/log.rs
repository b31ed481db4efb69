//! What a guest writes to stderr, kept within limits until its step is over.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::call::Observer;
use crate::scrub::{Scrubber, clip, printable};

/// A guest's stderr, in all steps of an action. What exceeds the limit is taken and thrown away, since a full log is no
/// reason to stop.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    kept: Arc<Mutex<Kept>>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Kept {
    /// What has not been reported yet.
    text: Vec<u8>,
    /// Bytes that were kept so far, whether they were reported or not.
    taken: usize,
    /// Something was thrown away, and that it was has been reported.
    cut: bool,
    told: bool,
}

impl Log {
    pub(crate) fn new(limit: usize) -> Self {
        Self { kept: Arc::default(), limit }
    }

    /// Hands the lines to an observer, without secrets and control characters.
    pub(crate) fn report(&self, observer: &dyn Observer, scrubber: &Scrubber, longest: usize) {
        let (text, is_new_cut) = {
            let mut kept = self.lock();
            let is_new_cut = kept.cut && !kept.told;
            kept.told = kept.cut;
            (std::mem::take(&mut kept.text), is_new_cut)
        };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line = scrubber.text(&String::from_utf8_lossy(line));
            observer.log(&printable(clip(&line, longest)));
        }
        if is_new_cut {
            let limit = self.limit;
            observer
                .log(&format!("(the log goes on, but no more than {limit} bytes of it are kept)"));
        }
    }

    /// What a Rust guest said when it panicked: `panicked at src/x.rs:1:2: message`.
    pub(crate) fn panic(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.lock().text).into_owned();
        let mut lines = text.lines();
        let place =
            lines.find_map(|line| line.split_once("panicked at ").map(|(_, place)| place))?;
        let message = lines.next().unwrap_or_default();
        Some(printable(clip(&format!("panicked at {place} {message}"), 300)))
    }

    fn append(&self, bytes: &[u8]) {
        let mut kept = self.lock();
        let left = self.limit.saturating_sub(kept.taken);
        kept.cut |= bytes.len() > left;
        let bytes = bytes.get(..left).unwrap_or(bytes);
        kept.taken += bytes.len();
        kept.text.extend_from_slice(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Log {
    async fn ready(&mut self) {}
}

impl OutputStream for Log {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

impl AsyncWrite for Log {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
