//! Scripted faults: which requests are hit, and what happens to them on the socket.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Sleep;

/// A fault for the next requests that match. The oldest fault that still has something to do wins.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Method it hits; `*` hits all.
    pub method: String,
    /// Path it hits, with `*` for any run of characters.
    pub path: String,
    /// Matching requests to let pass first.
    pub skip: u64,
    /// How many requests it hits after those.
    pub times: u64,
    pub action: FaultAction,
}

impl Fault {
    /// Hits the next request that matches, once.
    pub fn once(method: &str, path: &str, action: FaultAction) -> Fault {
        Fault { method: method.to_owned(), path: path.to_owned(), skip: 0, times: 1, action }
    }

    /// Hits every request that matches.
    pub fn always(method: &str, path: &str, action: FaultAction) -> Fault {
        Fault { times: u64::MAX, ..Fault::once(method, path, action) }
    }
}

#[derive(Debug, Clone)]
pub enum FaultAction {
    /// Answers with this instead.
    Status { status: u16, headers: Vec<(String, String)>, body: String },
    /// Resets the connection (TCP RST) instead of answering.
    Reset,
    /// Never answers.
    Stall,
    /// Carries the request out, sends so many bytes of the answer's head, then closes the connection. Without TLS only,
    /// since it writes to the socket itself.
    CutHead(usize),
    /// Carries the request out, sends the right head and so many bytes of the body, then closes the connection.
    Cut(usize),
    /// Announces so many bytes instead of the body's own length: what is beyond them is not sent, and where they are more,
    /// the connection closes early.
    WrongLength(usize),
    /// Answers as a link whose time is over.
    Expired,
    /// Sends the body in pieces of so many bytes, with a pause before each.
    Drip { bytes: usize, pause: Duration },
    /// Answers correctly, but later.
    Delay(Duration),
    /// Carries the request out, then does this instead of answering.
    AfterEffect(Box<FaultAction>),
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// What to do to a request; counts it.
    pub(crate) fn hit(&self, method: &str, path: &str) -> Option<FaultAction> {
        let mut faults = self.lock();
        let fault = faults.iter_mut().find(|fault| {
            fault.times > 0
                && (fault.method == "*" || fault.method == method)
                && glob(fault.path.as_bytes(), path.as_bytes())
        })?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.action.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            (0..=text.len()).any(|n| text.get(n..).is_some_and(|t| glob(rest, t)))
        }
        ([p, rest @ ..], [t, others @ ..]) if p == t => glob(rest, others),
        _ => false,
    }
}

/// How a body goes out: whole, cut short, or in drips.
#[derive(Debug)]
pub(crate) struct Outgoing {
    left: Bytes,
    total: u64,
    /// Bytes after which the connection breaks.
    cut: Option<usize>,
    piece: usize,
    pause: Option<Duration>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    pub(crate) fn whole(body: Bytes) -> Outgoing {
        let total = u64::try_from(body.len()).unwrap_or(u64::MAX);
        Outgoing { left: body, total, cut: None, piece: usize::MAX, pause: None, waiting: None }
    }

    /// The length that is announced stays that of the whole body.
    pub(crate) fn cut(body: &Bytes, bytes: usize) -> Outgoing {
        let whole = Outgoing::whole(body.clone());
        let kept = bytes.min(body.len());
        Outgoing { left: body.slice(..kept), cut: Some(kept), ..whole }
    }

    pub(crate) fn announced(body: &Bytes, bytes: usize) -> Outgoing {
        let total = u64::try_from(bytes).unwrap_or(u64::MAX);
        Outgoing { total, ..Outgoing::cut(body, bytes) }
    }

    pub(crate) fn drip(body: Bytes, bytes: usize, pause: Duration) -> Outgoing {
        Outgoing { piece: bytes.max(1), pause: Some(pause), ..Outgoing::whole(body) }
    }

    fn wait(&mut self, context: &mut Context<'_>, pause: Duration) -> Poll<()> {
        let sleep = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        let poll = sleep.as_mut().poll(context);
        if poll.is_ready() {
            self.waiting = None;
        }
        poll
    }
}

/// Time for what was sent before a cut to leave the process.
const FLUSH: Duration = Duration::from_millis(20);

impl Body for Outgoing {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left.is_empty() {
            if self.cut.is_none() {
                return Poll::Ready(None);
            }
            if self.wait(context, FLUSH).is_pending() {
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionAborted.into())));
        }
        if let Some(pause) = self.pause
            && self.wait(context, pause).is_pending()
        {
            return Poll::Pending;
        }
        let piece = self.piece.min(self.left.len());
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // While a body is being sent hyper asks once, before the first frame.
        SizeHint::with_exact(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glob_star_takes_any_run() {
        assert!(glob(b"/api/*/get", b"/api/2.1/clusters/get"));
        assert!(glob(b"*", b""));
        assert!(!glob(b"/api/*/get", b"/api/2.1/clusters/list"));
    }

    #[test]
    fn skip_then_times_then_nothing() {
        let faults = Faults::default();
        faults.add(Fault { skip: 1, ..Fault::once("GET", "/a", FaultAction::Reset) });
        let hits: Vec<_> = (0..3).map(|_| faults.hit("GET", "/a").is_some()).collect();
        assert_eq!(hits, [false, true, false]);
    }
}
