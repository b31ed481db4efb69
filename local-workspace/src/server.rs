//! Listeners, connections and TLS: how requests come in and answers, or faults, go out.

use std::io::Write;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::faults::{FaultAction, Outgoing};
use crate::record::Host;
use crate::reply::{Reply, status_code};
use crate::route;
use crate::storage;
use crate::workspace::Workspace;

/// Accepts connections until it is told to close, which ends them too.
pub(crate) async fn accept(
    workspace: Arc<Workspace>,
    listener: StdListener,
    host: Host,
    tls: Option<TlsAcceptor>,
    closing: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    tokio::pin!(closing);
    loop {
        // Those that are over.
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut closing => break,
        };
        // Out of file descriptors, or a client that has left: the next one may fare better.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        connections.spawn(connection(Arc::clone(&workspace), stream, host, tls.clone()));
    }
    drop(listener);
    connections.shutdown().await;
    Ok(())
}

/// A second handle on a connection's socket, to break it with.
type Socket = Arc<std::net::TcpStream>;

/// A client that breaks off is none of our business, so errors end here.
async fn connection(
    workspace: Arc<Workspace>,
    stream: TcpStream,
    host: Host,
    tls: Option<TlsAcceptor>,
) {
    let Some((stream, socket)) = prepare(stream) else { return };
    match tls {
        None => serve(workspace, stream, socket, host).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(workspace, stream, socket, host).await;
            }
        }
    }
}

fn prepare(stream: TcpStream) -> Option<(TcpStream, Socket)> {
    stream.set_nodelay(true).ok()?;
    let stream = stream.into_std().ok()?;
    let socket = Arc::new(stream.try_clone().ok()?);
    Some((TcpStream::from_std(stream).ok()?, socket))
}

async fn serve<S>(workspace: Arc<Workspace>, stream: S, socket: Socket, host: Host)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        answer(Arc::clone(&workspace), request, Arc::clone(&socket), host)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    workspace: Arc<Workspace>,
    request: Request<Incoming>,
    socket: Socket,
    host: Host,
) -> Result<Response<Outgoing>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    let head = Arc::new(head);
    workspace.recorder.add(host, &head, &body);
    let latency = workspace.options.latency;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    match workspace.faults.hit(head.method.as_str(), head.uri.path()) {
        None => Ok(whole(route::answer(&workspace, &head, &body, host).await)),
        Some(action) => fault(&workspace, &head, &body, host, action, &socket).await,
    }
}

async fn read(body: Incoming) -> Result<Bytes, std::io::Error> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    Ok(body.collect().await.map_err(std::io::Error::other)?.to_bytes())
}

fn whole(reply: Reply) -> Response<Outgoing> {
    let (head, body) = reply.into_parts();
    Response::from_parts(head, Outgoing::whole(body))
}

async fn fault(
    workspace: &Arc<Workspace>,
    head: &Arc<Parts>,
    body: &Bytes,
    host: Host,
    action: FaultAction,
    socket: &Socket,
) -> Result<Response<Outgoing>, std::io::Error> {
    let reply = || route::answer(workspace, head, body, host);
    let action = match action {
        FaultAction::AfterEffect(action) => {
            reply().await;
            *action
        }
        action => action,
    };
    match action {
        FaultAction::Status { status, headers, body } => {
            let mut reply = Reply::raw(body.into());
            reply.status = status_code(status);
            let reply = headers.iter().fold(reply, |reply, (name, value)| reply.with(name, value));
            Ok(whole(reply))
        }
        FaultAction::Reset => {
            // With a linger time of zero, closing sends RST; hyper closes when the service fails.
            SockRef::from(&**socket).set_linger(Some(Duration::ZERO))?;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
        FaultAction::Stall => std::future::pending().await,
        FaultAction::CutHead(bytes) => {
            let whole = reply().await.head();
            let part = whole.get(..bytes.min(whole.len())).unwrap_or_default();
            (&**socket).write_all(part)?;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        FaultAction::Cut(bytes) => {
            let (head, body) = reply().await.into_parts();
            Ok(Response::from_parts(head, Outgoing::cut(&body, bytes)))
        }
        FaultAction::Drip { bytes, pause } => {
            let (head, body) = reply().await.into_parts();
            Ok(Response::from_parts(head, Outgoing::drip(body, bytes, pause)))
        }
        FaultAction::WrongLength(announced) => {
            let (head, body) = reply().await.into_parts();
            Ok(Response::from_parts(head, Outgoing::announced(&body, announced)))
        }
        FaultAction::Expired => Ok(whole(storage::expired())),
        FaultAction::Delay(delay) => {
            tokio::time::sleep(delay).await;
            Ok(whole(reply().await))
        }
        FaultAction::AfterEffect(_) => Ok(whole(reply().await)),
    }
}
