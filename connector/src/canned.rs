//! A transport that answers from a list and keeps what was sent, for the native tests.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use serde_json::Value;

use crate::error::{Delivery, ErrorKind};
use crate::http::{GLANCE, Request, Response, Rest, Stream, Transport, TransportError};

/// Answers in the order given. A request too many is refused as one that was not sent.
#[derive(Debug, Default)]
pub struct Canned {
    answers: RefCell<VecDeque<Result<Response, TransportError>>>,
    requests: RefCell<Vec<Request>>,
}

impl Canned {
    pub fn new(answers: impl IntoIterator<Item = Response>) -> Self {
        Self::mixed(answers.into_iter().map(Ok))
    }

    /// Answers, and requests that get none.
    pub fn mixed(answers: impl IntoIterator<Item = Result<Response, TransportError>>) -> Self {
        Self { answers: RefCell::new(answers.into_iter().collect()), ..Self::default() }
    }

    /// Answers of status 200 with these bodies.
    pub fn json(bodies: impl IntoIterator<Item = Value>) -> Self {
        Self::new(bodies.into_iter().map(|body| answer(200, &body.to_string())))
    }

    /// What was sent so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// How many answers nobody asked for.
    pub fn left(&self) -> usize {
        self.answers.borrow().len()
    }
}

/// An answer in JSON.
pub fn answer(status: u16, body: &str) -> Response {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Response { status, headers, body: body.as_bytes().to_vec() }
}

impl Transport for Canned {
    fn send(&self, request: &Request) -> Result<Response, TransportError> {
        self.requests.borrow_mut().push(request.clone());
        self.answers.borrow_mut().pop_front().unwrap_or_else(|| {
            Err(TransportError {
                kind: ErrorKind::Unavailable,
                delivery: Delivery::NotSent,
                message: format!("no answer is left for {} {}", request.method, request.url),
            })
        })
    }

    /// What is not read is the rest as a `Vec<u8>`.
    fn begin(&self, request: &Request) -> Result<(Response, Option<Rest>), TransportError> {
        let mut response = self.send(request)?;
        if !response.is_success() || response.body.len() <= GLANCE {
            return Ok((response, None));
        }
        let bytes = Stream(Rc::new(response.body.split_off(GLANCE)));
        let broken_off = TransportError {
            kind: ErrorKind::Protocol,
            delivery: Delivery::Unknown,
            message: "the answer broke off".to_owned(),
        };
        Ok((response, Some(Rest { bytes, broken_off })))
    }
}
