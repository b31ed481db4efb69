//! A Databricks workspace on loopback, for demos and tests.
//!
//! [`LocalWorkspace::start`] serves the wire behaviour of the Databricks REST API, as far as this project touches it, on a
//! port of 127.0.0.1: clusters and SQL warehouses as timed state machines, execution contexts with a real `python3` process
//! each, SQL statements on an embedded engine with their history, jobs whose SQL tasks really run, MLflow experiments and
//! models, personal access tokens and an OAuth token endpoint that are really checked. A second port plays the accounts
//! console, a third one the cloud storage that external links lead to. The official Python SDK works against both unchanged; a test shows it.
//!
//! ```
//! use local_workspace::{LocalWorkspace, Options};
//!
//! let workspace = LocalWorkspace::start(Options::default())?;
//! println!("export DATABRICKS_HOST={} DATABRICKS_TOKEN={}", workspace.origin(), workspace.token());
//! # Ok::<(), local_workspace::Error>(())
//! ```
//!
//! Every state follows from a timestamp, so nothing runs in the background but statements and commands. Faults happen only
//! where [`LocalWorkspace::fault`] scripts them.
//!
//! Paths below `/api/2.0/local/` are ours and not Databricks': `echo` (any method; the request as JSON), `bytes?size=N` (a
//! JSON array of N bytes) and `html` (a web page).

#![forbid(unsafe_code)]

mod auth;
mod call;
mod clock;
mod cluster_list;
mod clusters;
mod commands;
mod contexts;
mod effects;
mod faults;
mod history;
mod jobs;
mod local;
mod mlflow;
mod oauth;
mod options;
mod python;
mod queries;
mod range;
mod record;
mod reply;
mod results;
mod route;
mod runs;
mod scim;
mod server;
mod sql;
mod statements;
mod storage;
mod submission;
mod tls;
mod warehouses;
mod workspace;

use std::fmt;
use std::future::pending;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use auth::{ACCOUNT_ID, CLIENT_ID, USER_NAME};
pub use clock::Passed;
pub use clusters::{JOB_CLUSTER, RUNNING_CLUSTER, TERMINATED_CLUSTER};
pub use effects::Effect;
pub use faults::{Fault, FaultAction};
pub use options::Options;
pub use record::{Host, Recorded};
pub use scim::WORKSPACE_ID;
pub use warehouses::{RUNNING_WAREHOUSE, STOPPED_WAREHOUSE};

use auth::{Audience, Credentials};
use workspace::Workspace;

/// Why a workspace did not start.
#[derive(Debug)]
pub struct Error {
    doing: &'static str,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    pub(crate) fn new(
        doing: &'static str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error { doing, cause: cause.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the local workspace cannot start: {}: {}", self.doing, self.cause)
    }
}

impl std::error::Error for Error {}

/// A workspace that runs until it is dropped.
#[derive(Debug)]
pub struct LocalWorkspace {
    workspace: Arc<Workspace>,
    ca: Option<tls::Authority>,
    /// Closes the storage.
    close: Option<oneshot::Sender<()>>,
    /// Fails once the storage is closed.
    closed: Mutex<mpsc::Receiver<()>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LocalWorkspace {
    /// Binds its ports and serves them on a thread of its own.
    pub fn start(options: Options) -> Result<LocalWorkspace, Error> {
        let listener = bind(options.port)?;
        let account_listener = bind(options.account_port)?;
        let storage_listener = bind(0)?;
        let (tls, ca) = if options.tls { Some(tls::acceptor()?) } else { None }.unzip();
        let port = port(&listener)?;
        let origin = |port: u16| match options.tls {
            true => format!("https://localhost:{port}"),
            false => format!("http://127.0.0.1:{port}"),
        };
        let seeds = |e| Error::new("reading the seed data", e);
        let database = sql::Database::open().map_err(|e| Error::new("making the demo data", e))?;
        let database = Arc::new(database);
        let effects = Arc::<effects::Tally>::default();
        let workspace = Arc::new(Workspace {
            origin: origin(port),
            account_origin: origin(self::port(&account_listener)?),
            port,
            credentials: Credentials::new(&options),
            clusters: clusters::Clusters::new(&options, Arc::clone(&effects)).map_err(seeds)?,
            warehouses: warehouses::Warehouses::new(&options, Arc::clone(&effects))
                .map_err(seeds)?,
            contexts: contexts::Contexts::new(Arc::clone(&database), Arc::clone(&effects)),
            statements: statements::Statements::default(),
            storage: storage::Storage::new(origin(self::port(&storage_listener)?), &options),
            queries: queries::Queries::default(),
            jobs: jobs::Jobs::default(),
            mlflow: mlflow::Mlflow::default(),
            effects,
            database,
            recorder: record::Recorder::new(options.kept_requests),
            faults: faults::Faults::default(),
            bulk: local::Bulk::default(),
            options,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new("starting its runtime", e))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = Arc::clone(&workspace);
        let (close, closing) = oneshot::channel::<()>();
        let (is_open, closed) = mpsc::channel::<()>();
        let serve = move || {
            runtime.block_on(async {
                for (listener, host) in
                    [(listener, Host::Workspace), (account_listener, Host::Account)]
                {
                    let (shared, tls) = (Arc::clone(&shared), tls.clone());
                    tokio::spawn(server::accept(shared, listener, host, tls, pending()));
                }
                tokio::spawn(async move {
                    let closing = async { drop(closing.await) };
                    let storage = Host::Storage;
                    let ended =
                        server::accept(shared, storage_listener, storage, tls, closing).await;
                    drop(is_open);
                    ended
                });
                // Also ends when the other side is gone.
                let _ = stopped.await;
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("local-workspace".to_owned())
            .spawn(serve)
            .map_err(|e| Error::new("starting its thread", e))?;
        Ok(LocalWorkspace {
            workspace,
            ca,
            close: Some(close),
            closed: Mutex::new(closed),
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT` with TLS.
    pub fn origin(&self) -> &str {
        &self.workspace.origin
    }

    /// Origin of the accounts console.
    pub fn account_origin(&self) -> &str {
        &self.workspace.account_origin
    }

    /// Origin of the storage that external links lead to.
    pub fn storage_origin(&self) -> &str {
        &self.workspace.storage.origin
    }

    /// The same as `host:port`.
    pub fn storage_host(&self) -> &str {
        self.storage_origin().split_once("://").map_or("", |(_, host)| host)
    }

    /// The personal access token of [`USER_NAME`].
    pub fn token(&self) -> &str {
        &self.workspace.credentials.token
    }

    /// The service principal's application id.
    pub fn client_id(&self) -> &'static str {
        CLIENT_ID
    }

    /// The service principal's OAuth secret.
    pub fn client_secret(&self) -> &str {
        &self.workspace.credentials.client_secret
    }

    /// Where workspace tokens are issued.
    pub fn token_url(&self) -> String {
        format!("{}{}/v1/token", self.origin(), oauth::root(Audience::Workspace))
    }

    /// Where account tokens are issued.
    pub fn account_token_url(&self) -> String {
        format!("{}{}/v1/token", self.account_origin(), oauth::root(Audience::Account))
    }

    pub fn account_id(&self) -> &'static str {
        ACCOUNT_ID
    }

    /// The certificate to trust, when [`Options::tls`] is set.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca.as_ref().map(|ca| ca.pem.as_str())
    }

    /// The same in a file, which is removed with the workspace.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca.as_ref().map(|ca| ca.file.as_path())
    }

    /// The newest requests ([`Options::kept_requests`]), oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.workspace.recorder.all()
    }

    pub fn clear_requests(&self) {
        self.workspace.recorder.clear();
    }

    /// OAuth tokens issued so far, on both hosts.
    pub fn tokens_issued(&self) -> u64 {
        self.workspace.credentials.issued()
    }

    /// How often something was carried out, whoever asked for it and however often.
    pub fn effects(&self, effect: Effect) -> u64 {
        self.workspace.effects.get(effect)
    }

    /// Whether every statement that was accepted is over.
    pub fn is_idle(&self) -> bool {
        self.workspace.statements.newest_first().iter().all(|one| one.state().is_over())
    }

    /// Lets every OAuth token that was issued so far expire.
    pub fn expire_tokens(&self) {
        self.workspace.credentials.expire();
    }

    /// Lets every external link expire that was issued so far.
    pub fn expire_links(&self) {
        self.workspace.storage.expire();
    }

    /// Requests to the storage that came with an `Authorization` header, which it refuses.
    pub fn authorized_downloads(&self) -> u64 {
        self.workspace.storage.authorized()
    }

    /// Closes the storage for good: who connects is refused, and who is connected is cut off.
    pub fn close_storage(&mut self) {
        drop(self.close.take());
        // Nothing is ever sent: this waits until the other end is dropped.
        let _ = self.closed.get_mut().unwrap_or_else(PoisonError::into_inner).recv();
    }

    /// Scripts a fault; it holds for all hosts.
    pub fn fault(&self, fault: Fault) {
        self.workspace.faults.add(fault);
    }

    pub fn clear_faults(&self) {
        self.workspace.faults.clear();
    }
}

impl Drop for LocalWorkspace {
    fn drop(&mut self) {
        self.workspace.statements.cancel_all();
        self.workspace.contexts.close(|_| true);
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

fn bind(port: u16) -> Result<TcpListener, Error> {
    let failed = |e| Error::new("binding its port", e);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn port(listener: &TcpListener) -> Result<u16, Error> {
    Ok(listener.local_addr().map_err(|e| Error::new("binding its port", e))?.port())
}
