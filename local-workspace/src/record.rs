//! Every request that was seen, for tests that compare what went over the wire.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use hyper::http::request::Parts;

/// The hosts that a workspace plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    Workspace,
    /// The accounts console.
    Account,
    /// What external links lead to.
    Storage,
}

/// A request as it arrived. `Authorization` is kept, so that a test can check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub host: Host,
    pub method: String,
    /// Path as sent, percent-encoding and all.
    pub path: String,
    /// Query as sent, without the question mark.
    pub query: Option<String>,
    /// Names in lower case, in the order they were sent, repeated ones included.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Recorded {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

type Seen = (Host, Arc<Parts>, Bytes);

/// Keeps heads and bodies without copying them; they are made readable when somebody asks.
#[derive(Debug)]
pub(crate) struct Recorder {
    kept: usize,
    seen: Mutex<VecDeque<Seen>>,
}

impl Recorder {
    pub(crate) fn new(kept: usize) -> Recorder {
        Recorder { kept, seen: Mutex::default() }
    }

    pub(crate) fn add(&self, host: Host, head: &Arc<Parts>, body: &Bytes) {
        if self.kept == 0 {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() == self.kept {
            seen.pop_front();
        }
        seen.push_back((host, Arc::clone(head), body.clone()));
    }

    pub(crate) fn all(&self) -> Vec<Recorded> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().map(recorded).collect()
    }

    pub(crate) fn clear(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn recorded((host, head, body): &Seen) -> Recorded {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    Recorded {
        host: *host,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(str::to_owned),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        body: body.to_vec(),
    }
}
