//! A server that answers every request with what a function says, for benchmarks of how answers are dealt with. It counts
//! requests, and knows no path and no body.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use anyhow::Result;

/// Says the head and the body of the answer to the request of this number, from 0.
type Answer = dyn Fn(usize) -> String + Send + Sync;

pub(crate) struct Server {
    pub(crate) origin: String,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let origin = format!("http://{}", listener.local_addr()?);
        let (answer, requests): (Arc<Answer>, _) =
            (Arc::new(answer), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                std::thread::spawn(move || serve(stream, &*answer, &count));
            }
        });
        Ok(Self { origin, requests })
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }
}

/// An answer of this status with these header lines and an empty object.
pub(crate) fn answer(status: u16, headers: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n{headers}\r\n{{}}"
    )
}

fn serve(mut stream: TcpStream, answer: &Answer, count: &AtomicUsize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(buffer.get(..read).unwrap_or_default());
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            stream.write_all(answer(count.fetch_add(1, SeqCst)).as_bytes())?;
        }
    }
}
