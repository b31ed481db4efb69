//! Secrets that change while calls go on: in the file, in a variable, from a command.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use host_harness::config::{Configuration, Environment};
use host_harness::{Clock, Connection, Error, Harness};
use serde_json::{Value as Json, json};

use crate::fixtures::{folder, harness_at, invoke, pass};
use crate::server::{Received, Reply, Server};

/// Which secrets a service takes, as tokens of their own or for tokens. A token ends with its secret.
#[derive(Clone, Default)]
struct Accepted(Arc<Mutex<HashSet<String>>>);

impl Accepted {
    fn of<const N: usize>(secrets: [&str; N]) -> Self {
        let accepted = Self::default();
        accepted.set(secrets);
        accepted
    }

    fn set<const N: usize>(&self, secrets: [&str; N]) {
        *self.0.lock().unwrap() = secrets.map(str::to_owned).into();
    }

    fn has(&self, secret: &str) -> bool {
        self.0.lock().unwrap().contains(secret)
    }

    /// `/token` gives tokens that name their secret; everything else wants such a token, or the secret itself.
    async fn serve(&self) -> Server {
        let accepted = self.clone();
        Server::start(move |request| accepted.answer(request)).await
    }

    fn answer(&self, request: &Received) -> Reply {
        let authorization = request.header("authorization").unwrap_or_default();
        if request.line == "POST /token" {
            let secret = secret_of_basic(authorization);
            return match self.has(&secret) {
                true => Reply::json(&format!(r#"{{"access_token": "token-of-{secret}"}}"#)),
                false => Reply::new(401, "", r#"{"error": "invalid_client"}"#),
            };
        }
        let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
        match self.has(token.strip_prefix("token-of-").unwrap_or(token)) {
            true => Reply::json("{}"),
            false => Reply::new(403, "", r#"{"message": "Invalid access token."}"#),
        }
    }
}

fn secret_of_basic(authorization: &str) -> String {
    use base64::Engine as _;
    let basic = authorization.strip_prefix("Basic ").unwrap();
    let pair = base64::engine::general_purpose::STANDARD.decode(basic).unwrap();
    String::from_utf8(pair).unwrap().split_once(':').unwrap().1.to_owned()
}

/// A harness and a connection out of a connections file.
struct Rig {
    harness: Harness,
    connection: Connection,
    server: Server,
    file: PathBuf,
}

impl Rig {
    /// `secret` is what stands behind `=` in the file.
    async fn new(accepted: &Accepted, kind: Kind, secret: &str, environment: Environment) -> Self {
        let server = accepted.serve().await;
        let file = folder().join("connections.toml");
        write(&file, kind, &server.url, secret);
        let configuration = Configuration::load(Some(&file), environment).unwrap();
        let definition = configuration.choose(Some("c")).unwrap();
        let harness = harness_at(&Clock::skipping());
        let config = configuration.resolve(&definition).await.unwrap();
        let connection = harness.connect(config).await.unwrap();
        Self { harness, connection, server, file }
    }

    async fn get(&self) -> Result<Json, Error> {
        let url = format!("{}/api/one/1", self.server.url);
        invoke(&self.harness, &self.connection.clone(), "get", &json!({ "url": url })).await
    }

    /// The statuses of so many calls at once, each with its caller.
    async fn calls(self: &Arc<Self>, n: usize) -> Vec<u64> {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..n {
            let rig = Arc::clone(self);
            calls.spawn(async move { rig.get().await.unwrap()["status"].as_u64().unwrap() });
        }
        calls.join_all().await
    }

    fn refused_tokens(&self) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|request| request.line == "POST /token").count()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Token,
    Client,
}

fn write(file: &Path, kind: Kind, url: &str, secret: &str) {
    let rest = match kind {
        Kind::Token => format!("type = 'token'\ntoken = {secret}\n"),
        Kind::Client => {
            format!(
                "type = 'client'\ntokenUrl = '{url}/token'\nid = 'client-1'\nsecret = {secret}\n"
            )
        }
    };
    let text = format!("[c]\nhost = '{url}'\nallow_http_loopback = true\n{rest}");
    // As editors and secret managers do it: no reader sees half a file.
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

const OLD: &str = "secret-of-old";
const NEW: &str = "secret-of-now";

/// C18: with both secrets good for a while, fifty callers see nothing of the change.
#[tokio::test]
async fn a_rotation_with_overlap_fails_no_call() {
    for kind in [Kind::Token, Kind::Client] {
        let accepted = Accepted::of([OLD]);
        let rig = Rig::new(&accepted, kind, "'secret-of-old'", Environment::default()).await;
        let rig = Arc::new(rig);
        let calling = tokio::spawn({
            let rig = Arc::clone(&rig);
            async move {
                let mut statuses = Vec::new();
                for _ in 0..30 {
                    statuses.extend(rig.calls(50).await);
                }
                statuses
            }
        });
        let made = |n: usize| {
            let rig = Arc::clone(&rig);
            async move {
                while rig.server.requests().len() < n {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
            }
        };
        made(200).await;
        accepted.set([OLD, NEW]);
        made(400).await;
        write(&rig.file, kind, &rig.server.url, "'secret-of-now'");
        made(600).await;
        accepted.set([NEW]);
        let statuses = calling.await.unwrap();
        assert_eq!(
            statuses.iter().filter(|status| **status != 200).count(),
            0,
            "of {}",
            statuses.len()
        );
    }
}

/// C18: a secret that is replaced at once costs no call either, when the new one is in the file by then.
#[tokio::test]
async fn a_rotation_without_overlap_is_picked_up() {
    for kind in [Kind::Token, Kind::Client] {
        let accepted = Accepted::of([OLD]);
        let rig = Rig::new(&accepted, kind, "'secret-of-old'", Environment::default()).await;
        let rig = Arc::new(rig);
        assert_eq!(rig.calls(50).await, [200; 50]);
        write(&rig.file, kind, &rig.server.url, "'secret-of-now'");
        accepted.set([NEW]);
        assert_eq!(rig.calls(50).await, [200; 50]);
        let tokens = if kind == Kind::Client { 2 } else { 0 };
        assert_eq!(rig.refused_tokens(), tokens, "the old secret was not tried again");
    }
}

/// C18: a secret that ends before its successor is there is one refusal, and no reason to wait once it is.
#[tokio::test]
async fn a_late_secret_is_taken_as_soon_as_it_is_there() {
    let accepted = Accepted::of([OLD]);
    let rig = Rig::new(&accepted, Kind::Client, "'secret-of-old'", Environment::default()).await;
    let rig = Arc::new(rig);
    assert_eq!(rig.calls(1).await, [200]);
    accepted.set([NEW]);
    for _ in 0..5 {
        let error = rig.get().await.unwrap_err();
        assert_eq!(error.error_code.as_deref(), Some("invalid_client"), "{error}");
    }
    assert_eq!(rig.refused_tokens(), 2, "one was granted, one refused");
    write(&rig.file, Kind::Client, &rig.server.url, "'secret-of-now'");
    assert_eq!(rig.calls(50).await, [200; 50]);
    assert_eq!(rig.refused_tokens(), 3);
}

/// C18: a new value of the variable is picked up.
#[tokio::test]
async fn a_new_value_of_a_variable_is_picked_up() {
    for kind in [Kind::Token, Kind::Client] {
        let accepted = Accepted::of([OLD]);
        let value = Arc::new(Mutex::new(OLD));
        let read = value.clone();
        let environment = Environment::watched(move || {
            Environment::from_iter([("ROTATED_SECRET", *read.lock().unwrap())])
        });
        let rig = Rig::new(&accepted, kind, "'env:ROTATED_SECRET'", environment).await;
        let rig = Arc::new(rig);
        assert_eq!(rig.calls(5).await, [200; 5]);
        *value.lock().unwrap() = NEW;
        accepted.set([NEW]);
        // A secret that was read a moment ago is not read again, unless its file has changed.
        pass(&rig.harness, 2).await;
        assert_eq!(rig.calls(50).await, [200; 50]);
    }
}

/// C18: what the command prints by now is picked up, by one run of the command.
#[tokio::test]
async fn a_new_answer_of_a_command_is_picked_up() {
    let accepted = Accepted::of([OLD]);
    let place = folder();
    let (secret, runs) = (place.join("secret"), place.join("runs"));
    std::fs::write(&secret, OLD).unwrap();
    let script = format!("echo run >> {}; cat {}", runs.display(), secret.display());
    let command = format!("{{ command = ['sh', '-c', '{script}'] }}");
    let rig = Arc::new(Rig::new(&accepted, Kind::Token, &command, Environment::default()).await);
    assert_eq!(rig.calls(5).await, [200; 5]);
    std::fs::write(&secret, NEW).unwrap();
    accepted.set([NEW]);
    pass(&rig.harness, 2).await;
    assert_eq!(rig.calls(50).await, [200; 50]);
    assert_eq!(std::fs::read_to_string(runs).unwrap().lines().count(), 2);
}

/// A new secret that came with another host is for that host, and is not sent to the old one.
#[tokio::test]
async fn a_secret_for_another_place_is_not_taken() {
    let accepted = Accepted::of([OLD]);
    let rig = Rig::new(&accepted, Kind::Token, "'secret-of-old'", Environment::default()).await;
    let rig = Arc::new(rig);
    assert_eq!(rig.calls(1).await, [200]);
    accepted.set([]);
    write(&rig.file, Kind::Token, "http://127.0.0.1:1", "'secret-of-now'");
    assert_eq!(rig.calls(5).await, [403; 5]);
    let sent = rig.server.requests();
    assert!(
        sent.iter().all(|request| request.header("authorization") != Some("Bearer secret-of-now"))
    );
}

/// A new secret that no header could hold, or that is too short, is not taken.
#[tokio::test]
async fn a_new_secret_is_checked_like_the_first() {
    let accepted = Accepted::of([OLD]);
    let rig = Rig::new(&accepted, Kind::Token, "'secret-of-old'", Environment::default()).await;
    let rig = Arc::new(rig);
    accepted.set([NEW]);
    for odd in ["'two words'", "'short'", "'secret-of-old'", "", "{ command = ['false'] }"] {
        write(&rig.file, Kind::Token, &rig.server.url, odd);
        assert_eq!(rig.calls(2).await, [403; 2], "{odd}");
    }
    write(&rig.file, Kind::Token, &rig.server.url, "'secret-of-now'");
    assert_eq!(rig.calls(2).await, [200; 2]);
}
