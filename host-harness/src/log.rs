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

    /// Takes over what another one has kept.
    fn take_over(&self, other: &Self) {
        let text = std::mem::take(&mut other.lock().text);
        self.append(&text);
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

/// The stderr of one instance, which may be made before it is known whose log it writes.
#[derive(Debug, Clone)]
pub(crate) struct Stderr {
    log: Arc<Mutex<Log>>,
}

impl Stderr {
    pub(crate) fn new(log: Log) -> Self {
        Self { log: Arc::new(Mutex::new(log)) }
    }

    /// Writes another log from here on, with what was written so far.
    pub(crate) fn turn_to(&self, log: &Log) {
        let mut current = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.kept, &log.kept) {
            log.take_over(&current);
            *current = log.clone();
        }
    }

    fn append(&self, bytes: &[u8]) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).append(bytes);
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl OutputStream for Stderr {
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

impl AsyncWrite for Stderr {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Observer for Lines {
        fn log(&self, line: &str) {
            self.0.lock().expect("lines").push(line.to_owned());
        }
    }

    /// What an instance wrote before it was known whose it is goes into the log of whoever takes it.
    #[test]
    fn what_was_written_goes_along() {
        let (first, second) = (Log::new(100), Log::new(12));
        let stderr = Stderr::new(first.clone());
        stderr.append(b"start\n");
        stderr.turn_to(&second);
        stderr.append(b"step and more");
        stderr.turn_to(&second);
        let lines = Lines::default();
        second.report(&lines, &Scrubber::default(), 80);
        first.report(&lines, &Scrubber::default(), 80);
        let lines = lines.0.into_inner().expect("lines");
        let cut = "(the log goes on, but no more than 12 bytes of it are kept)";
        assert_eq!(lines, ["start", "step a", cut]);
    }
}
