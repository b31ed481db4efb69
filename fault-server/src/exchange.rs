//! One connection: requests are read and answered, and go wrong at their stage.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::rule::{Act, Stage};
use crate::server::{Received, Shared};

/// How much of a request's body is kept.
const KEPT: usize = 64 << 10;

/// How often a stalled connection is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The connection is over.
#[derive(Debug)]
pub(crate) struct Ended;

/// What can be read, written and reset.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// So many bytes at a time, each after a pause.
type Pace = Option<(usize, Duration)>;

/// What acts left behind.
#[derive(Debug, Default)]
pub(crate) struct Acted {
    /// Bytes were sent in place of an answer.
    sent: bool,
    writing: Pace,
    reading: Pace,
}

pub(crate) async fn act(socket: &mut impl Socket, acts: &[Act]) -> Result<Acted, Ended> {
    let mut acted = Acted::default();
    for act in acts {
        match act {
            Act::Bytes(bytes) => {
                send(socket, bytes, None).await?;
                acted.sent = true;
            }
            Act::Endless(bytes) => loop {
                send(socket, bytes, None).await?;
            },
            Act::Pause(time) => tokio::time::sleep(*time).await,
            Act::Drip { bytes, pause } => acted.writing = Some((*bytes, *pause)),
            Act::ReadSlowly { bytes, pause } => acted.reading = Some((*bytes, *pause)),
            Act::Reset => {
                let _ = socket.tcp().set_zero_linger();
                return Err(Ended);
            }
            Act::Close => {
                let _ = socket.shutdown().await;
                return Err(Ended);
            }
            Act::Stall => {
                hung_up(socket.tcp()).await;
                return Err(Ended);
            }
        }
    }
    Ok(acted)
}

/// Waits until the other side is gone, without reading what it sent before.
async fn hung_up(tcp: &TcpStream) {
    loop {
        match tcp.ready(Interest::READABLE | Interest::ERROR).await {
            Ok(ready) if !ready.is_read_closed() && !ready.is_error() => {}
            _ => return,
        }
        // What lies there unread stays ready.
        tokio::time::sleep(LOOK).await;
    }
}

pub(crate) async fn serve(mut socket: impl Socket, shared: &Shared) -> Result<(), Ended> {
    let mut buffer = Vec::new();
    loop {
        let mut request = head(&mut socket, &mut buffer).await?;
        let number = {
            let mut state = shared.state();
            state.requests.push(request.clone());
            state.requests.len() - 1
        };
        let (stage, acts) =
            shared.hit(&request.method, request.path()).unwrap_or((Stage::AfterBody, Vec::new()));
        let mut acted = Acted::default();
        if stage == Stage::AfterHead {
            acted = act(&mut socket, &acts).await?;
        }
        body(&mut socket, &mut buffer, &mut request, acted.reading).await?;
        if let Some(kept) = shared.state().requests.get_mut(number) {
            *kept = request.clone();
        }
        if acted.sent {
            continue;
        }
        if !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS") {
            let key = format!("{} {}", request.method, request.path());
            *shared.state().effects.entry(key).or_default() += 1;
        }
        if stage == Stage::AfterEffect {
            acted = act(&mut socket, &acts).await?;
            if acted.sent {
                continue;
            }
        }
        answer(&mut socket, shared, &request, stage, &acts, acted.writing).await?;
    }
}

async fn answer(
    socket: &mut impl Socket,
    shared: &Shared,
    request: &Received,
    stage: Stage,
    acts: &[Act],
    pace: Pace,
) -> Result<(), Ended> {
    let answer = shared.answer(request.path());
    let (head, body) = (answer.head.len(), answer.body.len());
    let until = match stage {
        Stage::MidHead => head / 2,
        Stage::MidBody => head + body / 2,
        Stage::At(offset) => offset.min(head + body),
        _ => head + body,
    };
    let bytes = answer.bytes();
    let (before, after) = bytes.split_at(until);
    send(socket, before, pace).await?;
    if matches!(stage, Stage::AfterHead | Stage::AfterEffect) {
        return Ok(());
    }
    let acted = act(socket, acts).await?;
    send(socket, after, acted.writing).await
}

async fn send(socket: &mut impl Socket, mut bytes: &[u8], pace: Pace) -> Result<(), Ended> {
    let Some((size, pause)) = pace else {
        socket.write_all(bytes).await.map_err(|_| Ended)?;
        return socket.flush().await.map_err(|_| Ended);
    };
    while !bytes.is_empty() {
        tokio::time::sleep(pause).await;
        let (part, rest) = bytes.split_at(size.min(bytes.len()));
        socket.write_all(part).await.map_err(|_| Ended)?;
        socket.flush().await.map_err(|_| Ended)?;
        bytes = rest;
    }
    Ok(())
}

async fn head(socket: &mut impl Socket, buffer: &mut Vec<u8>) -> Result<Received, Ended> {
    let end = loop {
        match buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            Some(at) => break at,
            None => more(socket, buffer).await?,
        }
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut line = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers = lines.filter_map(|line| line.split_once(": "));
    Ok(Received {
        method: line.next().ok_or(Ended)?,
        target: line.next().ok_or(Ended)?,
        headers: headers.map(|(n, value)| (n.to_ascii_lowercase(), value.to_owned())).collect(),
        body: Vec::new(),
        body_bytes: 0,
    })
}

async fn body(
    socket: &mut impl Socket,
    buffer: &mut Vec<u8>,
    request: &mut Received,
    pace: Pace,
) -> Result<(), Ended> {
    let length = request.header("content-length").and_then(|length| length.parse().ok());
    let length: usize = length.unwrap_or_default();
    loop {
        let taken = buffer.len().min(length - request.body_bytes);
        let room = KEPT.saturating_sub(request.body.len()).min(taken);
        request.body.extend(buffer.iter().take(room));
        buffer.drain(..taken);
        request.body_bytes += taken;
        if request.body_bytes == length {
            return Ok(());
        }
        match pace {
            None => more(socket, buffer).await?,
            Some((size, pause)) => {
                tokio::time::sleep(pause).await;
                let mut part = vec![0; size];
                let read = socket.read(&mut part).await.map_err(|_| Ended)?;
                buffer.extend(part.iter().take(read));
                if read == 0 {
                    return Err(Ended);
                }
            }
        }
    }
}

async fn more(socket: &mut impl Socket, buffer: &mut Vec<u8>) -> Result<(), Ended> {
    match socket.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(Ended),
        Ok(_) => Ok(()),
    }
}
