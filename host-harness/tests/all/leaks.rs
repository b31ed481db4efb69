//! A service that echoes credentials in every way it can: what of them gets past the harness. Nothing may.

use std::sync::{Arc, Mutex};

use connector_tests::leaks::{Canaries, encodings};
use host_harness::{
    Call, CancellationToken, Clock, Connection, ConnectionConfig, Harness, Observer, Secret, Value,
};
use serde_json::{Value as Json, json};

use crate::fixtures::{config, harness_at};
use crate::server::{Received, Reply, Server};

const TOKEN: &str = "dapi/CANARY+5f1d~0c";
const CLIENT_SECRET: &str = "dose/CANARY+77a1~3e";
const ACCESS_TOKEN: &str = "eyJhbGciOi.CANARY-of_an.access-token";
/// Comes with every echo, to see that what should get through does.
const MARKER: &str = "marker-that-is-no-secret";

fn canaries() -> Canaries {
    Canaries::new(&[
        ("token", TOKEN),
        ("client secret", CLIENT_SECRET),
        ("access token", ACCESS_TOKEN),
    ])
}

/// What a text looks like in an answer that can have any bytes, in the encodings that the harness knows.
fn echoes(secret: &str) -> Vec<u8> {
    let known = encodings(secret)
        .into_iter()
        .filter(|(name, _)| !name.starts_with("UTF-16") && !name.ends_with("backwards"));
    let mut echoes = Vec::new();
    for (_, bytes) in known {
        echoes.extend_from_slice(b" \"");
        echoes.extend_from_slice(&bytes);
        echoes.extend_from_slice(b"\" ");
    }
    echoes
}

/// All that a request brought, as an answer.
fn echo(request: &Received) -> Reply {
    let authorization = request.header("authorization").unwrap_or_default();
    // A service knows the credentials of its own callers.
    let known = match authorization.ends_with(TOKEN) {
        true => [TOKEN, TOKEN],
        false => [CLIENT_SECRET, ACCESS_TOKEN],
    };
    let mut body = MARKER.as_bytes().to_vec();
    for secret in known {
        body.extend(echoes(secret));
    }
    for (name, value) in &request.headers {
        body.extend_from_slice(format!("\n{name}: {value}").as_bytes());
    }
    let status = request.line.rsplit('/').next().unwrap_or_default().parse().unwrap_or(200);
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nx-echo: {authorization}\r\n\
         location: https://elsewhere.test/?token={}&also={}\r\n\
         www-authenticate: {authorization}\r\nset-cookie: session={}\r\n\r\n",
        body.len(),
        known[0],
        known[1],
        known[0]
    );
    // In pieces that cut through every secret.
    let mut parts = vec![head.into_bytes()];
    parts.extend(body.chunks(7).map(<[u8]>::to_vec));
    Reply { parts, then: crate::server::Then::KeepOpen }
}

fn client(service: &str) -> ConnectionConfig {
    let token_url = format!("{service}/token");
    let fields = [
        ("host", service),
        ("tokenUrl", &token_url),
        ("id", "client-1"),
        ("secret", CLIENT_SECRET),
    ];
    ConnectionConfig {
        connection_type: "client".to_owned(),
        fields: fields.map(|(key, value)| (key.to_owned(), Secret::from(value))).into(),
        ..config(service)
    }
}

fn fixed(service: &str) -> ConnectionConfig {
    let mut config = config(service);
    config.fields.insert("token".to_owned(), Secret::from(TOKEN));
    config
}

/// Keeps what an observer hears.
#[derive(Default)]
struct Heard(Mutex<String>);

impl Observer for Heard {
    fn progress(&self, message: &str, _: Option<f32>, _: std::time::Duration) {
        self.log(message);
    }

    fn log(&self, line: &str) {
        let mut heard = self.0.lock().unwrap();
        heard.push_str(line);
        heard.push('\n');
    }
}

struct Rig {
    harness: Harness,
    connections: [Connection; 2],
    server: Server,
}

impl Rig {
    async fn new() -> Self {
        let server = Server::start(|request| match request.line.as_str() {
            "POST /token" => Reply::json(&format!(r#"{{"access_token": "{ACCESS_TOKEN}"}}"#)),
            _ => echo(request),
        })
        .await;
        let harness = harness_at(&Clock::skipping());
        let connections = [
            harness.connect(fixed(&server.url)).await.unwrap(),
            harness.connect(client(&server.url)).await.unwrap(),
        ];
        Self { harness, connections, server }
    }

    async fn call(&self, connection: &Connection, action: &str, input: Json) -> (String, Outcome) {
        let heard = Heard::default();
        let call = Call { action: action.to_owned(), input: input.to_string(), ..Call::default() };
        let stop = CancellationToken::new();
        let outcome = self.harness.invoke(connection, call, &heard, stop).await;
        (heard.0.into_inner().unwrap(), outcome)
    }
}

type Outcome = Result<host_harness::Output, host_harness::Error>;

const STATUSES: [u16; 9] = [200, 302, 400, 401, 403, 404, 429, 500, 503];

/// J2, J11: whatever a service echoes, the connector's memory, its log and its result have no credential in them.
#[tokio::test]
async fn no_credential_gets_into_the_memory_of_a_connector() {
    let rig = Rig::new().await;
    let requests: Vec<Json> = STATUSES
        .iter()
        .map(|status| json!({ "url": format!("{}/api/one/{status}", rig.server.url) }))
        .collect();
    for connection in &rig.connections {
        let input = json!({ "requests": requests });
        let (log, outcome) = rig.call(connection, "dump", input).await;
        let Value::Binary(turned) = outcome.unwrap().value else { panic!("not bytes") };
        let memory: Vec<u8> = turned.iter().map(|byte| !byte).collect();
        let known = Canaries::new(&[("marker", MARKER)]);
        assert!(
            !known.find(&memory).is_empty(),
            "the memory is that of the requests: {}",
            log.len()
        );
        assert!(log.matches(MARKER).count() >= STATUSES.len(), "the log is that of the requests");
        canaries().assert_absent("memory", &memory);
        canaries().assert_absent("log", &log);
    }
    let sent = rig.server.requests();
    assert!(sent.iter().any(|r| r.header("authorization") == Some(&format!("Bearer {TOKEN}"))));
    assert!(
        sent.iter().any(|r| r.header("authorization") == Some(&format!("Bearer {ACCESS_TOKEN}")))
    );
}

/// J5: what a connector says when it panics, with an answer full of credentials before it, has none of them in it.
#[tokio::test]
async fn no_credential_gets_into_what_a_panic_says() {
    let rig = Rig::new().await;
    for connection in &rig.connections {
        let url = format!("{}/api/one/200", rig.server.url);
        let (log, outcome) =
            rig.call(connection, "get", json!({ "url": url, "panic": true })).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, host_harness::ErrorKind::GuestTrap);
        assert!(log.contains(MARKER), "{}", log.len());
        for text in
            [log, error.to_string(), format!("{error:?}"), serde_json::to_string(&error).unwrap()]
        {
            canaries().assert_absent("panic", text);
        }
    }
}

/// J2, J3: neither do results, errors and what connections look like to a debugger; and the results are as long as sent.
#[tokio::test]
async fn no_credential_gets_into_results() {
    let rig = Rig::new().await;
    for connection in &rig.connections {
        for status in STATUSES {
            let url = format!("{}/api/one/{status}", rig.server.url);
            let (log, outcome) = rig.call(connection, "get", json!({ "url": url })).await;
            let output = outcome.unwrap();
            let Value::Json(text) = &output.value else { panic!("not JSON") };
            let answer: Json = serde_json::from_str(text).unwrap();
            let length = answer["headers"]["content-length"].as_str().unwrap();
            assert_eq!(answer["body"].as_str().unwrap().len().to_string(), length);
            assert!(text.contains(MARKER) && text.contains("****"), "{status}");
            assert!(answer["headers"].get("set-cookie").is_none());
            for text in [log, format!("{output:?}"), text.clone()] {
                canaries().assert_absent("result", text);
            }
        }
        canaries().assert_absent("connection", format!("{connection:?}"));
    }
}

/// J1: errors of a token endpoint that echoes what it got, and of connections that are refused, have no credential in them.
#[tokio::test]
async fn no_credential_gets_into_errors_about_tokens() {
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let server = Server::start(move |request| {
        let n = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        let why = String::from_utf8_lossy(&echoes(CLIENT_SECRET)).into_owned();
        let basic = request.header("authorization").unwrap_or_default();
        let body = json!({ "error": format!("{CLIENT_SECRET} {basic}"), "error_description": why });
        Reply::new([400, 401, 403, 500, 503][n % 5], "", &body.to_string())
    });
    let server = server.await;
    for _ in 0..5 {
        let harness = harness_at(&Clock::skipping());
        let connection = harness.connect(client(&server.url)).await.unwrap();
        let input = json!({ "url": format!("{}/api/one/1", server.url) });
        let error =
            crate::fixtures::invoke(&harness, &connection, "get", &input).await.unwrap_err();
        canaries().assert_absent("error", format!("{error:?} {error}"));
        canaries().assert_absent("error", serde_json::to_string(&error).unwrap());
        assert!(error.message.len() <= 300, "{error}");
    }
    for (key, value) in [("token", format!("{TOKEN} x")), ("token", format!("Bearer {TOKEN}"))] {
        let mut config = fixed(&server.url);
        config.fields.insert(key.to_owned(), Secret::from(value));
        let shown = format!("{config:?}");
        let error = harness_at(&Clock::default()).connect(config).await.unwrap_err();
        canaries().assert_absent("refused connection", format!("{error:?} {shown}"));
    }
}
