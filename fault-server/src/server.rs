//! The server: its thread, its connections, and what it remembers of them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::exchange::{self, Ended};
use crate::rule::{Act, Rule, Stage, glob};

/// The longest life of a connection.
const LIFE: Duration = Duration::from_secs(120);

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// How much of the body arrived.
    pub body_bytes: usize,
}

impl Received {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// An answer as it goes over the wire.
#[derive(Debug, Clone)]
pub struct Answer {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

impl Answer {
    /// With a `Content-Length` and further header lines, each ended by CR LF.
    pub fn new(status: u16, headers: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let head =
            format!("HTTP/1.1 {status} -\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        Self { head: head.into_bytes(), body }
    }

    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "content-type: application/json\r\n", body)
    }

    /// The whole answer.
    pub fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), self.body.as_slice()].concat()
    }
}

/// What connections share.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) rules: Vec<Rule>,
    /// By path patterns; the newest that fits answers, else `{}` does.
    pub(crate) answers: Vec<(String, Answer)>,
    pub(crate) requests: Vec<Received>,
    /// How often each method and path that changes something was carried out.
    pub(crate) effects: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    connections: AtomicU64,
    /// Connections that are over.
    ended: AtomicU64,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do to a request.
    pub(crate) fn hit(&self, method: &str, path: &str) -> Option<(Stage, Vec<Act>)> {
        let mut state = self.state();
        let of_request = |rule: &&mut Rule| !rule.stage.is_of_connection();
        let mut rules = state.rules.iter_mut().filter(of_request);
        let rule = rules.find(|rule| rule.matches(method, path))?;
        rule.counts().then(|| (rule.stage, rule.acts.clone()))
    }

    /// What to do to a connection at a stage.
    fn hit_connection(&self, stage: Stage) -> Vec<Act> {
        let mut state = self.state();
        let rule = state.rules.iter_mut().find(|rule| rule.stage == stage && rule.times > 0);
        rule.filter(|rule| rule.times > 0)
            .and_then(|rule| rule.counts().then(|| rule.acts.clone()))
            .unwrap_or_default()
    }

    pub(crate) fn answer(&self, path: &str) -> Answer {
        let state = self.state();
        let mut answers = state.answers.iter().rev();
        let known = answers.find(|(pattern, _)| glob(pattern.as_bytes(), path.as_bytes()));
        known.map_or_else(|| Answer::json("{}"), |(_, answer)| answer.clone())
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct FaultServer {
    /// `http://127.0.0.1:PORT` or `https://localhost:PORT`.
    origin: String,
    certificate: Option<String>,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FaultServer {
    /// Starts a server that answers every request with `{}` until told otherwise.
    pub fn start() -> io::Result<Self> {
        Self::launch(None)
    }

    /// The same over TLS, with a certificate of its own for `localhost`.
    pub fn with_tls() -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .map_err(io::Error::other)?;
        // What a real front door offers. A client that takes h2 gets answers that make no sense to it.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut server = Self::launch(Some(TlsAcceptor::from(Arc::new(config))))?;
        server.certificate = Some(made.cert.pem());
        Ok(server)
    }

    fn launch(tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            // Not `block_on`, so that a test with a runtime of its own can start a server.
            let _inside = runtime.enter();
            listen()?
        };
        let port = listener.local_addr()?.port();
        let origin = match tls {
            None => format!("http://127.0.0.1:{port}"),
            Some(_) => format!("https://localhost:{port}"),
        };
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = oneshot::channel();
        let kept = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("fault-server".to_owned()).spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, kept, tls) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { origin, certificate: None, shared, stop, thread })
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The certificate (PEM) to trust, with TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    pub fn rule(&self, rule: Rule) {
        self.shared.state().rules.push(rule);
    }

    /// Nothing goes wrong any more.
    pub fn clear_rules(&self) {
        self.shared.state().rules.clear();
    }

    /// Answers requests to a path (`*` for any run of characters) with this.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared.state().answers.push((path.to_owned(), answer));
    }

    /// What arrived, in order; requests whose head was read count.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.state().requests.clone()
    }

    /// Drops what is kept of requests, for those who send a great many.
    pub fn forget(&self) {
        self.shared.state().requests.clear();
    }

    /// Requests that change something and were carried out.
    pub fn effects(&self) -> u64 {
        self.shared.state().effects.values().sum()
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(SeqCst)
    }

    /// Connections that are over.
    pub fn ended(&self) -> u64 {
        self.shared.ended.load(SeqCst)
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Little room for what is not read yet, so that a server that stops reading is felt soon.
fn listen() -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(64 << 10)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(1024)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        shared.connections.fetch_add(1, SeqCst);
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            let _ = tokio::time::timeout(LIFE, connection(stream, &shared, tls)).await;
            shared.ended.fetch_add(1, SeqCst);
        });
    }
}

async fn connection(
    mut stream: TcpStream,
    shared: &Shared,
    tls: Option<TlsAcceptor>,
) -> Result<(), Ended> {
    stream.set_nodelay(true).map_err(|_| Ended)?;
    // To a client both stages are the same: the system takes the connection for the server.
    for stage in [Stage::BeforeAccept, Stage::AfterAccept] {
        exchange::act(&mut stream, &shared.hit_connection(stage)).await?;
    }
    match tls {
        None => exchange::serve(stream, shared).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => exchange::serve(stream, shared).await,
            Err(_) => Err(Ended),
        },
    }
}
