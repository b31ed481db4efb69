//! One Get Cluster through harness and component, against the same request by a plain pooled client in the same process.
//! The two take turns, so that a slow moment of the machine hits both.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use host_harness::{Call, CancellationToken, Connection, Harness};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local_workspace::Options;

use crate::figures::{median, ms, ratio, report};
use crate::rig::Rig;

type Plain = Client<HttpConnector, Empty<Bytes>>;

pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare("loopback", Duration::ZERO, 3000, "at most 1.5"))?;
    runtime.block_on(compare(
        "10 ms of server latency",
        Duration::from_millis(10),
        200,
        "at most 1.05",
    ))
}

async fn compare(what: &str, latency: Duration, rounds: usize, goal: &str) -> Result<()> {
    let rig = Rig::with(Options { latency, ..Options::default() })?;
    let (harness, connection) = rig.connect().await?;
    let plain = plain_client();
    let mut ours = Vec::with_capacity(rounds);
    let mut theirs = Vec::with_capacity(rounds);
    for round in 0..rounds + 50 {
        let one = timed(by_harness(&harness, &connection, rig.cluster())).await?;
        let other = timed(by_plain_client(&plain, &rig)).await?;
        if round >= 50 {
            ours.push(one);
            theirs.push(other);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let figures = format!("{} / {} = {:.2}", ms(ours), ms(theirs), ratio(ours, theirs));
    report(&format!("get-cluster: {what}"), &figures, goal);
    Ok(())
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<Duration> {
    let started = Instant::now();
    work.await?;
    let took = started.elapsed();
    // What is cleared up afterwards is not the next one's to wait for.
    tokio::task::yield_now().await;
    Ok(took)
}

pub(crate) async fn by_harness(
    harness: &Harness,
    connection: &Connection,
    cluster: &str,
) -> Result<()> {
    let call = Call {
        action: "getCluster".to_owned(),
        input: format!(r#"{{"clusterId":"{cluster}"}}"#),
        ..Call::default()
    };
    harness.invoke(connection, call, &(), CancellationToken::new()).await?;
    Ok(())
}

async fn by_plain_client(client: &Plain, rig: &Rig) -> Result<()> {
    let url =
        format!("{}/api/2.1/clusters/get?cluster_id={}", rig.workspace.origin(), rig.cluster());
    let request = http::Request::get(url)
        .header("authorization", format!("Bearer {}", rig.workspace.token()))
        .header("accept", "application/json")
        .body(Empty::new())?;
    let response = client.request(request).await?;
    ensure!(response.status().is_success(), "the workspace answered {}", response.status());
    response.into_body().collect().await?;
    Ok(())
}

fn plain_client() -> Plain {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}
