//! The socket of a pooled connection: no request goes out on one that is over or has something on it already, a peer that
//! takes nothing is given up, and what it said before it hung up is heard.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Watches over the writing side of a socket.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    socket: S,
    limit: Duration,
    /// Runs while the peer takes nothing of what is to be sent.
    stuck: Option<Pin<Box<Sleep>>>,
    /// The peer hung up. What is still written goes nowhere, since an answer may have come before: servers that have read
    /// enough of a request answer (413) and close.
    deaf: bool,
    place: Place,
    /// A request went out on it before.
    used: bool,
}

/// Where in its requests the writing stands. They state the length of their bodies, or have none.
#[derive(Debug)]
enum Place {
    /// In a head, of which this much is written.
    Head(Vec<u8>),
    /// In a body, of which this much is left.
    Body(u64),
}

/// An idle connection has ended, or has bytes on it that no request asked for. Nothing was written.
#[derive(Debug)]
pub(crate) struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the idle connection was over")
    }
}

impl StdError for Stale {}

/// What has a TCP connection at its bottom.
pub(crate) trait OverTcp {
    fn tcp(&self) -> &TcpStream;
}

impl OverTcp for MaybeHttpsStream<TokioIo<TcpStream>> {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Http(tcp) => tcp.inner(),
            Self::Https(tls) => tls.inner().get_ref().0.inner().inner(),
        }
    }
}

/// Whether there is something to be read, or the connection is over. Asks the system, since the runtime may not have heard.
fn has_news(tcp: &TcpStream) -> bool {
    let peeked = SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]);
    !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// The peer took nothing of a request for so long.
#[derive(Debug)]
pub(crate) struct Stuck(pub(crate) Duration);

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it took nothing of the request for {} s", self.0.as_secs_f32())
    }
}

impl StdError for Stuck {}

impl<S> Wire<S> {
    pub(crate) fn new(socket: S, limit: Duration) -> Self {
        let place = Place::Head(Vec::new());
        Self { socket, limit, stuck: None, deaf: false, place, used: false }
    }

    /// Notes what was written.
    fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &mut self.place {
                Place::Body(left) => {
                    let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    taken
                }
                Place::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    match memmem::find(head, b"\r\n\r\n") {
                        None => return,
                        Some(end) => {
                            let body = stated_length(head.get(..end + 2).unwrap_or_default());
                            self.used = true;
                            self.place = Place::Body(body);
                            end + 4 - before
                        }
                    }
                }
            };
            bytes = bytes.get(taken..).unwrap_or_default();
            if let Place::Body(0) = self.place {
                self.place = Place::Head(Vec::new());
            }
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

/// The length that a head, with all its line ends, states in the words of hyper.
fn stated_length(head: &[u8]) -> u64 {
    let name = b"\r\ncontent-length: ";
    let value = memmem::find(head, name).and_then(|at| head.get(at + name.len()..));
    let digits = value.unwrap_or_default().split(|byte| *byte == b'\r').next();
    digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or_default()
}

impl<S: OverTcp> Wire<S> {
    /// What a write came to; `all` is what it is when it goes nowhere.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        all: T,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) if is_hang_up(&error) => {
                self.deaf = true;
                Poll::Ready(Ok(all))
            }
            Poll::Ready(done) => {
                self.stuck = None;
                Poll::Ready(done)
            }
            Poll::Pending => {
                let limit = self.limit;
                let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                ready!(stuck.as_mut().poll(cx));
                // A peer that takes nothing does not take the end either: without a reset the system holds on to what is left.
                let _ = SockRef::from(self.socket.tcp()).set_linger(Some(Duration::ZERO));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, Stuck(limit))))
            }
        }
    }

    /// An error before a request goes out on a connection that cannot carry it.
    fn check(&self) -> io::Result<()> {
        let is_between = matches!(&self.place, Place::Head(head) if head.is_empty());
        if self.used && is_between && has_news(self.socket.tcp()) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, Stale));
        }
        Ok(())
    }
}

impl<S: Write + OverTcp + Unpin> Write for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.check()?;
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if let Poll::Ready(Ok(size)) = written {
            self.advance(bytes.get(..size).unwrap_or_default());
        }
        self.judge(cx, written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = parts.iter().map(|part| part.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(all));
        }
        self.check()?;
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        if let Poll::Ready(Ok(mut size)) = written {
            for part in parts {
                let taken = size.min(part.len());
                self.advance(part.get(..taken).unwrap_or_default());
                size -= taken;
            }
        }
        self.judge(cx, written, all)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.judge(cx, flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: Read + Unpin> Read for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: Connection> Connection for Wire<S> {
    fn connected(&self) -> Connected {
        self.socket.connected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_between(wire: &Wire<()>) -> bool {
        matches!(&wire.place, Place::Head(head) if head.is_empty())
    }

    #[test]
    fn the_end_of_a_request_is_known_however_it_is_written() {
        let bare = "GET /content-length: 9 HTTP/1.1\r\nhost: a\r\n\r\n";
        let with_body = "POST / HTTP/1.1\r\ncontent-length: 22\r\n\r\nGET / HTTP/1.1\r\n\r\n....";
        let empty = "PUT / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
        let all = [bare, with_body, empty, with_body, bare].concat();
        let ends = [bare.len(), with_body.len(), empty.len(), with_body.len(), bare.len()];
        for size in [1, 2, 3, 7, 50, all.len()] {
            let mut wire = Wire::new((), Duration::ZERO);
            let (mut written, mut between) = (0, Vec::new());
            for part in all.as_bytes().chunks(size) {
                wire.advance(part);
                written += part.len();
                if is_between(&wire) {
                    between.push(written);
                }
            }
            assert!(wire.used && is_between(&wire), "in parts of {size}");
            if size == 1 {
                let mut end = 0;
                assert_eq!(
                    between,
                    ends.map(|length| {
                        end += length;
                        end
                    })
                );
            }
        }
    }
}
