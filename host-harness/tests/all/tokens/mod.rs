//! OAuth: how many token requests are made, with what, when, and what is said when there is no token.

mod endpoint;
mod renewal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use base64::Engine as _;
use host_harness::{
    Clock, Connection, ConnectionConfig, Delivery, Error, ErrorKind, Harness, Secret,
};
use serde_json::{Value as Json, json};

use crate::fixtures::{config, harness_at, invoke, pass};
use crate::server::{Received, Reply, Server, Then};

const SECRET: &str = "dose-CANARY:%+é 77a1";

/// A harness, and a connection that gets its tokens for a secret.
struct Client {
    harness: Harness,
    connection: Connection,
}

impl Client {
    async fn new(server: &Server, clock: &Clock) -> Self {
        Self::of(harness_at(clock), server, &format!("{}/token", server.url)).await
    }

    async fn of(harness: Harness, server: &Server, token_url: &str) -> Self {
        let connection = harness.connect(client(&server.url, token_url)).await.unwrap();
        Self { harness, connection }
    }

    async fn get(&self) -> Result<Json, Error> {
        let url = format!("{}/api/one/1", self.connection.origin());
        invoke(&self.harness, &self.connection, "get", &json!({ "url": url })).await
    }

    /// The status of an answer.
    async fn status(&self) -> u64 {
        self.get().await.unwrap()["status"].as_u64().unwrap()
    }

    /// Makes the same call many times at once.
    async fn many(self: &Arc<Self>, n: usize) -> Vec<Result<Json, Error>> {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..n {
            let client = Arc::clone(self);
            calls.spawn(async move { client.get().await });
        }
        calls.join_all().await
    }
}

fn client(service: &str, token_url: &str) -> ConnectionConfig {
    let fields =
        [("host", service), ("tokenUrl", token_url), ("id", "client-1"), ("secret", SECRET)];
    ConnectionConfig {
        connection_type: "client".to_owned(),
        fields: fields.map(|(key, value)| (key.to_owned(), Secret::from(value))).into(),
        ..config(service)
    }
}

fn is_token_request(request: &Received) -> bool {
    request.line == "POST /token"
}

/// A service with its token endpoint, whose n-th answer `token` gives; the service answers what `serve` says.
async fn serving(
    token: impl Fn(usize) -> Reply + Send + Sync + 'static,
    serve: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Server {
    let issued = AtomicUsize::new(0);
    Server::start(move |request| {
        if is_token_request(request) {
            return token(issued.fetch_add(1, SeqCst) + 1);
        }
        serve(request.header("authorization").unwrap_or_default())
    })
    .await
}

/// The same, for a service that accepts what `accepts` says, and nothing else.
async fn service(
    token: impl Fn(usize) -> Reply + Send + Sync + 'static,
    accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Server {
    let serve = move |bearer: &str| {
        if accepts(bearer) { Reply::json("{}") } else { Reply::new(401, "", "") }
    };
    serving(token, serve).await
}

fn granted(n: usize, expires_in: &str) -> Reply {
    Reply::json(&format!(
        r#"{{"access_token": "token-number-{n}", "token_type": "bearer", "expires_in": {expires_in}}}"#
    ))
}

fn token_requests(server: &Server) -> Vec<Received> {
    server.requests().into_iter().filter(is_token_request).collect()
}

/// Waits until something holds that work elsewhere brings about.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}
