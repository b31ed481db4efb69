//! What can be set on a local workspace before it starts.

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Passed;

/// How a workspace behaves. The default is quick enough for tests and slow enough to show every state.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the workspace; 0 takes a free one.
    pub port: u16,
    /// Port of the accounts console; 0 takes a free one.
    pub account_port: u16,
    /// Serves HTTPS with a certificate of a test CA of its own, for `localhost` and `127.0.0.1`.
    pub tls: bool,
    /// Personal access token; a new one for each workspace unless set.
    pub token: Option<String>,
    /// Secret of the service principal; a new one for each workspace unless set.
    pub client_secret: Option<String>,
    /// Starts without clusters and warehouses.
    pub empty: bool,
    /// The most clusters on one page of a list, however many are asked for.
    pub page_limit: usize,
    /// Time from PENDING to RUNNING.
    pub cluster_start: Duration,
    /// Time from RESTARTING to RUNNING.
    pub cluster_restart: Duration,
    /// Time from TERMINATING to TERMINATED.
    pub cluster_stop: Duration,
    /// Time from STARTING to RUNNING.
    pub warehouse_start: Duration,
    /// Time from STOPPING to STOPPED.
    pub warehouse_stop: Duration,
    /// How long each statement stays in RUNNING before it is carried out.
    pub statement_delay: Duration,
    /// The most rows in one chunk of a statement's result.
    pub chunk_rows: usize,
    /// The most bytes in one chunk, but for a row that is larger.
    pub chunk_bytes: usize,
    /// How long an external link can be used; 15 minutes at the most.
    pub link_lifetime: Duration,
    /// Headers that external links come with, and do not work without.
    pub link_headers: Vec<(String, String)>,
    /// How many external links an answer has at the most, from the chunk on that is asked for.
    pub links_at_once: usize,
    /// Answers a SELECT that was asked before, in the same words, with the result of the first time, whatever has changed.
    /// For benchmarks, so that making a large result is not what is measured.
    pub keep_results: bool,
    /// Bytes of an INLINE result beyond which a statement fails.
    pub inline_bytes: usize,
    /// Lifetime of OAuth tokens.
    pub token_lifetime: Duration,
    /// By how many seconds the clock that tokens are checked by is ahead of the one that they are issued by.
    pub token_skew: i64,
    /// Time that seems to pass for statements and OAuth tokens, beside the machine's own.
    pub passed: Passed,
    /// Added to every answer.
    pub latency: Duration,
    /// How many of the newest requests are kept for [`crate::LocalWorkspace::requests`].
    pub kept_requests: usize,
    /// The interpreter of Python execution contexts.
    pub python: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            port: 0,
            account_port: 0,
            tls: false,
            token: None,
            client_secret: None,
            empty: false,
            page_limit: 100,
            cluster_start: Duration::from_millis(300),
            cluster_restart: Duration::from_millis(300),
            cluster_stop: Duration::from_millis(200),
            warehouse_start: Duration::from_millis(300),
            warehouse_stop: Duration::from_millis(200),
            statement_delay: Duration::ZERO,
            chunk_rows: 100_000,
            chunk_bytes: 16 * 1024 * 1024,
            link_lifetime: Duration::from_mins(15),
            link_headers: Vec::new(),
            links_at_once: 1,
            keep_results: false,
            inline_bytes: 25 * 1024 * 1024,
            token_lifetime: Duration::from_secs(3600),
            token_skew: 0,
            passed: Passed::default(),
            latency: Duration::ZERO,
            kept_requests: 10_000,
            python: PathBuf::from("python3"),
        }
    }
}
