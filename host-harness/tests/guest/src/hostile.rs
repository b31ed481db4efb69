//! Ways to misuse what a host grants: requests, headers, bodies, clocks, logs.

use std::io::Read;

use serde_json::{Value as Json, json};
use waki::bindings::wasi::http::outgoing_handler::handle;
use waki::bindings::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingResponse, OutgoingRequest, Scheme,
};

use crate::bindings::integration::connector::types::{Error, ErrorKind, Step};
use crate::{done, failed};

pub(crate) const ACTIONS: &[&str] =
    &["sleep", "fields", "bodies", "logs", "parallel", "half", "surroundings", "send-and-crash"];

pub(crate) fn start(action: &str, input: &Json) -> Option<Result<Step, Error>> {
    let n = input["n"].as_u64().unwrap_or(1);
    let url = input["url"].as_str().unwrap_or_default();
    Some(match action {
        "sleep" => {
            std::thread::sleep(std::time::Duration::from_secs(1_000_000_000));
            done("{}".into())
        }
        "fields" => {
            let fields = Fields::new();
            loop {
                let _ = fields.append(&"x-more".to_owned(), &vec![b'x'; 1000]);
            }
        }
        "bodies" => bodies(),
        "logs" => {
            for n in 0..n {
                eprintln!("{n} {}", input["line"].as_str().unwrap_or_default());
            }
            done("{}".into())
        }
        "parallel" => parallel(url, n),
        "half" => half(url, n),
        "surroundings" => surroundings(),
        "send-and-crash" => {
            let answered = send(url).and_then(|sent| answer(&sent));
            panic!("crashed after {:?}", answered.map(|answer| answer.status()));
        }
        _ => return None,
    })
}

/// Writes bodies that it never sends, as much as the host takes of each.
fn bodies() -> Result<Step, Error> {
    let mut hoard = Vec::new();
    loop {
        let request = OutgoingRequest::new(Fields::new());
        let body = request.body().expect("a body");
        let stream = body.write().expect("a stream");
        while let Ok(room @ 1..) = stream.check_write() {
            let room = usize::try_from(room).expect("room").min(1 << 20);
            stream.write(&vec![1; room]).expect("there is room");
        }
        hoard.push((stream, body, request));
    }
}

/// Sends requests before it waits for any, then waits for all of them.
fn parallel(url: &str, n: u64) -> Result<Step, Error> {
    let sent: Vec<_> = (0..n).map(|_| send(url)).collect();
    let mut statuses = Vec::new();
    for sent in sent {
        let answer = sent.and_then(|sent| answer(&sent)).map_err(|code| refused(&code))?;
        statuses.push(answer.status());
    }
    done(json!({"answered": statuses.len()}).to_string())
}

/// Reads the beginning of answers and drops the rest.
fn half(url: &str, n: u64) -> Result<Step, Error> {
    for _ in 0..n {
        let answer = send(url).and_then(|sent| answer(&sent)).map_err(|code| refused(&code))?;
        let body = answer.consume().expect("consumed once");
        let stream = body.stream().expect("streamed once");
        let read = stream.blocking_read(100).map_err(|_| {
            failed(ErrorKind::Protocol, "the beginning of the answer is missing".into())
        })?;
        assert!(!read.is_empty(), "something came");
    }
    done(json!({"read": n}).to_string())
}

/// All that a process could learn of where it runs.
fn surroundings() -> Result<Step, Error> {
    let mut stdin = Vec::new();
    let read = std::io::stdin().read_to_end(&mut stdin);
    println!("a line on standard output");
    let variables: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let arguments: Vec<String> = std::env::args().collect();
    let stdin = read.map(|_| stdin.len()).map_err(|error| error.to_string());
    done(
        json!({"variables": variables, "arguments": arguments, "stdin": stdin.unwrap_or(0)})
            .to_string(),
    )
}

fn send(url: &str) -> Result<FutureIncomingResponse, ErrorCode> {
    let rest = url.strip_prefix("http://").expect("an http URL");
    let (authority, path) = rest.split_once('/').expect("a path");
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("scheme");
    request.set_authority(Some(authority)).expect("authority");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("path");
    handle(request, None)
}

fn answer(sent: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    sent.subscribe().block();
    sent.get().expect("ready").expect("taken once")
}

fn refused(code: &ErrorCode) -> Error {
    failed(ErrorKind::Unavailable, format!("no answer: {code:?}"))
}
