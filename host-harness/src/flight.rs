//! One action in the making, over all its steps: what it may send, what it has sent, and what the host knows about its
//! failures that the guest cannot be told.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use wasmtime_wasi_http::Error as WasiError;

use crate::description::Endpoint;
use crate::error::{Delivery, Error, ErrorKind};
use crate::settings::Limits;

/// Shared between the steps of an action, their requests and the bodies of their answers.
#[derive(Debug)]
pub(crate) struct Flight {
    /// What runs, for messages: `action getCluster`.
    pub(crate) what: String,
    pub(crate) endpoints: std::sync::Arc<[Endpoint]>,
    pub(crate) deadline: Instant,
    max_requests: u32,
    max_received: u64,
    requests: AtomicU32,
    /// Requests of which a byte may have reached the service.
    departed: AtomicU32,
    received: AtomicU64,
    finding: Mutex<Option<Finding>>,
}

/// What the host found out about the last request that failed.
#[derive(Debug)]
enum Finding {
    /// The request was never made, for this reason: whatever the guest makes of it, this is the error.
    Verdict(Box<Error>),
    /// What became of a request without a whole answer, in more detail than guests hear of.
    Reason(ErrorKind, String),
}

impl Flight {
    pub(crate) fn new(
        what: String,
        endpoints: std::sync::Arc<[Endpoint]>,
        deadline: Instant,
        limits: &Limits,
    ) -> Self {
        Self {
            what,
            endpoints,
            deadline,
            max_requests: limits.requests,
            max_received: limits.received_bytes,
            requests: AtomicU32::new(0),
            departed: AtomicU32::new(0),
            received: AtomicU64::new(0),
            finding: Mutex::new(None),
        }
    }

    /// Counts a request, unless there were too many.
    pub(crate) fn count_request(&self) -> Result<(), WasiError> {
        if self.requests.fetch_add(1, Relaxed) < self.max_requests {
            *self.finding() = None;
            return Ok(());
        }
        let message = format!("{} made more than {} requests", self.what, self.max_requests);
        self.refuse(Error::new(ErrorKind::GuestLimit, message));
        Err(WasiError::ConnectionLimitReached)
    }

    pub(crate) fn count_received(&self, bytes: u64) -> Result<(), WasiError> {
        if self.received.fetch_add(bytes, Relaxed) + bytes <= self.max_received {
            return Ok(());
        }
        let message = format!("{} received more than {} bytes", self.what, self.max_received);
        self.refuse(Error::new(ErrorKind::TooLarge, message).delivered(Delivery::Applied));
        Err(WasiError::HttpResponseBodySize(Some(self.max_received)))
    }

    pub(crate) fn depart(&self) {
        self.departed.fetch_add(1, Relaxed);
    }

    /// How far an action got that ended without a word.
    pub(crate) fn delivery(&self) -> Delivery {
        if self.departed.load(Relaxed) == 0 { Delivery::NotSent } else { Delivery::Unknown }
    }

    /// Notes why the last request was not made.
    pub(crate) fn refuse(&self, error: Error) {
        *self.finding() = Some(Finding::Verdict(Box::new(error)));
    }

    /// Notes why the last request got no whole answer.
    pub(crate) fn explain(&self, kind: ErrorKind, reason: String) {
        self.finding().get_or_insert(Finding::Reason(kind, reason));
    }

    /// The guest's error with what the host knows better.
    pub(crate) fn complete(&self, mut error: Error) -> Error {
        match self.finding().take() {
            None => error,
            Some(Finding::Verdict(mut verdict)) => {
                if self.departed.load(Relaxed) > 0 && error.delivery != Delivery::NotSent {
                    verdict.delivery = error.delivery;
                }
                verdict.handle = error.handle.take();
                *verdict
            }
            Some(Finding::Reason(kind, reason)) => {
                let vague = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Protocol];
                if vague.contains(&error.kind) {
                    error.kind = kind;
                } else if error.kind != ErrorKind::OutcomeUnknown {
                    return error;
                }
                error.message = format!("{} ({reason})", error.message);
                error
            }
        }
    }

    fn finding(&self) -> MutexGuard<'_, Option<Finding>> {
        self.finding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
