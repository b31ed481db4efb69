//! The one seam to the network: what a request and its answer are, and who sends it. No HTTP happens here.

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Delivery, Error, ErrorKind};

/// A request, complete but for its authorization, which the host adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// An HTTP method in capitals.
    pub method: String,
    /// The full URL, percent-encoded.
    pub url: String,
    /// In the order in which they are sent; a name may repeat.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The longest wait for the answer's head; none leaves it to the host.
    pub timeout: Option<Duration>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Headers as a JSON object; those of one name are joined, as RFC 9110 (5.3) allows.
pub(crate) fn header_object<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in headers {
        match object.get_mut(name) {
            Some(Value::String(joined)) => {
                joined.push_str(", ");
                joined.push_str(value);
            }
            _ => {
                object.insert(name.to_owned(), value.into());
            }
        }
    }
    object
}

/// A request that got no answer, or only part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportError {
    /// `Unavailable`, `Timeout`, `Refused`, `TooLarge` or `Protocol`.
    pub kind: ErrorKind,
    /// `NotSent` when no byte of the request can have arrived, else `Unknown`.
    pub delivery: Delivery,
    /// What happened, one line, naming the host where that helps.
    pub message: String,
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        Self::new(error.kind, error.delivery, error.message)
    }
}

/// How much is read of an answer that is passed on: enough to see what it is.
pub(crate) const GLANCE: usize = 256 * 1024;

/// The rest of a body, which the host reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rest {
    pub bytes: Stream,
    /// What it means when the bytes break off.
    pub broken_off: TransportError,
}

/// A stream that is only passed on here; its type is the transport's own.
#[derive(Clone)]
pub struct Stream(pub Rc<dyn Any>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Stream {}

/// Who sends requests: `wasi:http` in the component, canned answers in the native tests.
pub trait Transport {
    fn send(&self, request: &Request) -> Result<Response, TransportError>;

    /// Like `send`, but of a success that is larger than [`GLANCE`] only so much is read.
    fn begin(&self, request: &Request) -> Result<(Response, Option<Rest>), TransportError> {
        Ok((self.send(request)?, None))
    }

    /// Sends a request without waiting for its answer, so that several can be under way.
    fn open(&self, request: &Request) -> Result<Box<dyn Incoming>, TransportError> {
        Ok(Box::new(Whole(self.send(request)?)))
    }
}

/// An answer that is under way and read in parts.
pub trait Incoming {
    /// Waits for status and headers; an answer without a body. Asked for once, before the parts.
    fn head(&mut self) -> Result<Response, TransportError>;

    /// The next part of the body, none at its end.
    fn part(&mut self) -> Result<Option<Vec<u8>>, TransportError>;
}

/// An answer that is there already.
struct Whole(Response);

impl Incoming for Whole {
    fn head(&mut self) -> Result<Response, TransportError> {
        let Response { status, headers, .. } = &self.0;
        Ok(Response { status: *status, headers: headers.clone(), body: Vec::new() })
    }

    fn part(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let body = std::mem::take(&mut self.0.body);
        Ok((!body.is_empty()).then_some(body))
    }
}
