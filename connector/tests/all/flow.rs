//! Drives an action from its first step to its end, as a host does. Not here: what is expected of it.

use connector::action::{Output, Step, Waiting};
use connector::canned::{Canned, answer};
use connector::error::Error;
use connector::http::{Request, Response, Transport, TransportError};
use serde_json::Value;

use crate::invocation;

/// Of the connection of the tests.
pub(crate) const ORIGIN: &str = "https://dbc-a1b2c3d4-e5f6.cloud.databricks.test";

/// One use of an action and what it left behind.
pub(crate) struct Flow {
    /// The whole result, or the error.
    pub(crate) end: Result<String, Error>,
    pub(crate) truncated: bool,
    /// Media type of the result, but for JSON.
    pub(crate) content_type: &'static str,
    pub(crate) summary: Option<Value>,
    pub(crate) waits: Vec<Waiting<Value>>,
    pub(crate) requests: Vec<Request>,
    /// Answers that nobody asked for.
    pub(crate) left: usize,
}

impl Flow {
    /// The result as JSON; fails the test when there is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.end.as_ref().unwrap()).unwrap()
    }

    pub(crate) fn error(&self) -> &Error {
        self.end.as_ref().unwrap_err()
    }

    /// Method and path of each request.
    pub(crate) fn calls(&self) -> Vec<String> {
        let call =
            |request: &Request| format!("{} {}", request.method, request.url.replace(ORIGIN, ""));
        self.requests.iter().map(call).collect()
    }

    /// JSON body of a request.
    pub(crate) fn sent(&self, index: usize) -> Value {
        serde_json::from_slice(&self.requests[index].body).unwrap()
    }
}

/// An answer out of `fixtures/`, or any JSON text, of status 200.
pub(crate) fn ok(body: &str) -> Response {
    answer(200, body)
}

pub(crate) fn run(
    action: &str,
    input: &Value,
    answers: impl IntoIterator<Item = Response>,
) -> Flow {
    run_mixed(action, input, answers.into_iter().map(Ok))
}

/// With requests that get no answer.
pub(crate) fn run_mixed(
    action: &str,
    input: &Value,
    answers: impl IntoIterator<Item = Result<Response, TransportError>>,
) -> Flow {
    let transport = Canned::mixed(answers);
    let mut flow = follow(&transport, action, input);
    flow.requests = transport.requests();
    flow.left = transport.left();
    flow
}

pub(crate) fn follow(transport: &dyn Transport, action: &str, input: &Value) -> Flow {
    let invocation = invocation(action, input);
    let (mut waits, mut whole, mut truncated) = (Vec::new(), Vec::new(), false);
    let (mut content_type, mut said) = ("", None);
    let mut step = connector::start(transport, &invocation);
    let end = loop {
        match step {
            Ok(Step::Waiting(waiting)) => {
                whole.extend(waiting.emitted.iter().flatten());
                // The host keeps the state as text.
                let state = waiting.state.to_string();
                waits.push(waiting);
                step = connector::resume(transport, &invocation, &state);
            }
            Ok(Step::Done { output, truncated: cut, summary, .. }) => {
                (truncated, said) = (cut, summary);
                let last = match output {
                    Output::Json(last) => last,
                    Output::Typed { text, content_type: of } => {
                        content_type = of;
                        text
                    }
                    other => panic!("neither JSON nor rows: {other:?}"),
                };
                whole.extend(last.into_bytes());
                break Ok(String::from_utf8(whole).unwrap());
            }
            Err(error) => break Err(error),
        }
    };
    Flow { end, truncated, content_type, summary: said, waits, requests: Vec::new(), left: 0 }
}
