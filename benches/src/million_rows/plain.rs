//! The least that reading the result takes: the statement is submitted, the links are followed one after the other by a pooled
//! hyper client on one thread, each body is collected and parsed by `serde_json` as rows of optional texts, and dropped.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local_workspace::RUNNING_WAREHOUSE;
use serde_json::{Value, json};

use super::check::Content;
use crate::rig::Rig;

type Rows = Vec<Vec<Option<String>>>;

/// The server's own result: its size, and what is in it.
pub(super) async fn content(rig: &Rig, statement: &str) -> Result<(u64, Content)> {
    let (mut bytes, mut content) = (0, Content::default());
    read(rig, statement, |body| {
        bytes += body.len() as u64;
        let rows: Rows = serde_json::from_slice(body)?;
        rows.iter().try_for_each(|row| content.add(row.iter().map(Option::as_deref)))
    })
    .await?;
    Ok((bytes, content))
}

/// The time to read and parse it.
pub(super) async fn parse(rig: &Rig, statement: &str, wanted: u64) -> Result<Duration> {
    let started = Instant::now();
    let mut rows = 0;
    read(rig, statement, |body| {
        rows += serde_json::from_slice::<Rows>(body)?.len() as u64;
        Ok(())
    })
    .await?;
    ensure!(rows == wanted, "{rows} rows");
    Ok(started.elapsed())
}

async fn read(rig: &Rig, statement: &str, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let ask = async |method: &str, path: &str, body: String| -> Result<Value> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", rig.workspace.origin()))
            .header("authorization", format!("Bearer {}", rig.workspace.token()))
            .body(Full::from(body))?;
        let answer = client.request(request).await?.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&answer)?)
    };
    let submission = json!({
        "statement": statement, "warehouse_id": RUNNING_WAREHOUSE, "disposition": "EXTERNAL_LINKS",
        "format": "JSON_ARRAY", "wait_timeout": "50s",
    });
    let path = "/api/2.0/sql/statements";
    let mut answer = ask("POST", path, submission.to_string()).await?;
    let id = answer.get("statement_id").and_then(Value::as_str).context("no id")?.to_owned();
    while answer
        .pointer("/status/state")
        .is_some_and(|state| state == "PENDING" || state == "RUNNING")
    {
        tokio::time::sleep(Duration::from_millis(200)).await;
        answer = ask("GET", &format!("{path}/{id}"), String::new()).await?;
    }
    let mut chunk = answer.get("result").cloned().with_context(|| answer.to_string())?;
    loop {
        let link = chunk.pointer("/external_links/0").context("no link")?;
        let url = link.get("external_link").and_then(Value::as_str).context("no link")?;
        let request = http::Request::get(url).body(Full::default())?;
        let body = client.request(request).await?.into_body().collect().await?.to_bytes();
        each(&body)?;
        let Some(next) = link.get("next_chunk_internal_link").and_then(Value::as_str) else {
            return Ok(());
        };
        chunk = ask("GET", next, String::new()).await?;
    }
}
