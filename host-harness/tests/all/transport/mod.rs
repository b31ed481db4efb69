//! What comes over the wire: bounded in time and size, in a form that can be believed, and never taken for whole when it is
//! not. The servers go wrong for real, on loopback.

mod answers;
mod connections;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use fault_server::{Act, Answer, FaultServer, Rule, Stage};
use host_harness::{Connection, Error, ErrorKind, Harness, Limits};
use serde_json::{Value as Json, json};

use crate::fixtures::{config, folder, harness_with, invoke};

/// A harness and a connection to a server of faults.
struct Rig {
    server: FaultServer,
    harness: Harness,
    connection: Connection,
}

impl Rig {
    async fn new(change: impl FnOnce(&mut Limits)) -> Self {
        let server = FaultServer::start().unwrap();
        let harness = harness_with(|limits| {
            limits.requests_per_second = 0;
            change(limits);
        });
        let connection = harness.connect(config(server.origin())).await.unwrap();
        Self { server, harness, connection }
    }

    /// With one fault in every exchange.
    async fn faulty(stage: Stage, acts: Vec<Act>, change: impl FnOnce(&mut Limits)) -> Self {
        let rig = Self::new(change).await;
        rig.server.rule(Rule::always(stage, acts));
        rig
    }

    /// With bytes as they are instead of every answer, and the connection closed after them where that is said.
    async fn saying(bytes: impl Into<Vec<u8>>, then: Option<Act>) -> Self {
        let acts = [Act::Bytes(bytes.into())].into_iter().chain(then).collect();
        Self::faulty(Stage::AfterEffect, acts, |_| ()).await
    }

    async fn get(&self) -> Result<Json, Error> {
        self.call("get", json!({})).await
    }

    /// Reads an answer and throws it away; the error's code is what the connector hears.
    async fn read(&self) -> Result<Json, Error> {
        self.call("read", json!({})).await
    }

    async fn post(&self, body: &str) -> Result<Json, Error> {
        self.call("get", json!({ "method": "POST", "body": body })).await
    }

    /// Waits until the server has ended so many connections.
    async fn ended(&self, count: u64) {
        let ended = async {
            while self.server.ended() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    }

    async fn call(&self, action: &str, mut input: Json) -> Result<Json, Error> {
        input["url"] = format!("{}/api/any/x", self.server.origin()).into();
        invoke(&self.harness, &self.connection, action, &input).await
    }
}

#[track_caller]
fn assert_error(error: &Error, kind: ErrorKind, says: &str) {
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(says), "{error}");
    assert!(error.message.chars().count() <= 300 && !error.message.contains('\n'), "{error}");
}

fn short(limits: &mut Limits) {
    limits.first_byte = Duration::from_millis(60);
    limits.between_bytes = Duration::from_millis(60);
    limits.write_idle = Duration::from_millis(60);
}
