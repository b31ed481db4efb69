//! What goes wrong, as plain data.

use std::time::Duration;

/// A fault for requests, or connections, that match. The oldest rule that still has something to do wins.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Method it hits; `*` hits all. Stages before a request was read know no method and hit all.
    pub method: String,
    /// Path without its query, with `*` for any run of characters.
    pub path: String,
    /// Matches to let pass first.
    pub skip: u64,
    /// How many matches it hits after those.
    pub times: u64,
    pub stage: Stage,
    pub acts: Vec<Act>,
}

/// When a rule acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The system has the connection, the server does not take it yet.
    BeforeAccept,
    /// There is a connection; with TLS, nothing is agreed on yet.
    AfterAccept,
    /// The head of a request is there, its body is not read.
    AfterHead,
    /// The request is there and carried out, nothing of the answer is sent.
    AfterEffect,
    /// Half of the answer's head is sent.
    MidHead,
    /// The answer's head and half of its body are sent.
    MidBody,
    /// So many bytes of the answer are sent.
    At(usize),
    /// The whole answer is sent.
    AfterBody,
}

impl Stage {
    /// Whether there is no request yet.
    pub(crate) fn is_of_connection(self) -> bool {
        matches!(self, Self::BeforeAccept | Self::AfterAccept)
    }
}

/// What a rule does, one after the other. Without a last word (`Reset`, `Close`, `Stall`, `Endless`) the exchange goes on.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends bytes as they are. Before the stages of the answer they take its place.
    Bytes(Vec<u8>),
    /// Sends bytes again and again, as long as the other side takes them.
    Endless(Vec<u8>),
    /// Waits, then goes on.
    Pause(Duration),
    /// What is left of the answer goes out in pieces of so many bytes, with a pause before each.
    Drip { bytes: usize, pause: Duration },
    /// The body of the request is read in pieces of so many bytes, with a pause before each.
    ReadSlowly { bytes: usize, pause: Duration },
    /// Resets the connection (TCP RST).
    Reset,
    /// Closes the connection in order (TCP FIN).
    Close,
    /// Says nothing more, reads nothing more and keeps the connection.
    Stall,
}

impl Rule {
    /// Hits the next match, once.
    pub fn once(method: &str, path: &str, stage: Stage, acts: Vec<Act>) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), skip: 0, times: 1, stage, acts }
    }

    /// Hits every match.
    pub fn always(stage: Stage, acts: Vec<Act>) -> Self {
        Self { times: u64::MAX, ..Self::once("*", "*", stage, acts) }
    }

    pub(crate) fn matches(&self, method: &str, path: &str) -> bool {
        self.times > 0
            && (self.method == "*" || self.method == method)
            && glob(self.path.as_bytes(), path.as_bytes())
    }

    /// Counts a match; true when the rule is to act.
    pub(crate) fn counts(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// `*` stands for any run of bytes.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text) || text.split_first().is_some_and(|(_, tail)| glob(pattern, tail))
        }
        (Some((a, pattern)), Some((b, text))) if a == b => glob(pattern, text),
        _ => false,
    }
}
