//! The smallest HTTP/1.1 client that can see what really came over the socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use local_workspace::{LocalWorkspace, Options};
use serde_json::Value;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn workspace() -> LocalWorkspace {
    LocalWorkspace::start(Options::default()).unwrap()
}

/// GET with the personal access token; the status has to be 200.
pub(crate) fn get(workspace: &LocalWorkspace, path: &str) -> Value {
    let answer = call(workspace, "GET", path, "");
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

/// POST with the personal access token; the status has to be 200.
pub(crate) fn post(workspace: &LocalWorkspace, path: &str, body: &Value) -> Value {
    let answer = call(workspace, "POST", path, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

/// Any call with the personal access token.
pub(crate) fn call(workspace: &LocalWorkspace, method: &str, path: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {}", workspace.token());
    send(workspace.origin(), method, path, &[("Authorization", &bearer)], body.as_bytes()).unwrap()
}

/// One request on a connection of its own, read to the end.
pub(crate) fn send(
    origin: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let host = origin.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat())?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Answer {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = std::str::from_utf8(&text[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status, headers, body: text[end + 4..].to_vec() }
}

/// Asks again until the answer is as wanted; gives up after 20 seconds.
pub(crate) fn until(mut ask: impl FnMut() -> Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let start = std::time::Instant::now();
    loop {
        let answer = ask();
        if wanted(&answer) {
            return answer;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "still {answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
