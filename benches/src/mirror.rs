//! A 20 MB answer that Raw Request mirrors, against reading, parsing and printing the same answer natively.

use std::time::Instant;

use anyhow::{Result, ensure};
use host_harness::{Call, CancellationToken, Value};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::child::mib;
use crate::figures::{median, ms, ratio, report};
use crate::rig::Rig;

const SIZE: usize = 20_000_000;
const SMALL: usize = 1_000;
const ROUNDS: usize = 9;

pub(crate) fn run() -> Result<()> {
    let rig = Rig::start()?;
    time(&rig)?;
    memory(&rig)
}

/// Where an answer of so many bytes comes from.
fn path(size: usize) -> String {
    format!("/2.0/local/bytes?size={size}")
}

fn time(rig: &Rig) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (harness, connection) = rig.connect().await?;
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let mut ours = Vec::with_capacity(ROUNDS);
        let mut theirs = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            let call = Call {
                action: "rawRequest".to_owned(),
                input: format!(r#"{{"method":"GET","url":"{}"}}"#, path(SIZE)),
                ..Call::default()
            };
            let output = harness.invoke(&connection, call, &(), CancellationToken::new()).await?;
            ours.push(started.elapsed());
            let mirrored = matches!(output.value, Value::Json(text) if text.len() >= SIZE);
            ensure!(mirrored, "the answer is not the one that was asked for");

            let started = Instant::now();
            let request =
                http::Request::get(format!("{}/api{}", rig.workspace.origin(), path(SIZE)))
                    .header("authorization", format!("Bearer {}", rig.workspace.token()))
                    .body(Empty::new())?;
            let body = client.request(request).await?.into_body().collect().await?.to_bytes();
            let value: serde_json::Value = serde_json::from_slice(&body)?;
            ensure!(serde_json::to_string(&value)?.len() >= SIZE * 9 / 10, "the answer was cut");
            drop(value);
            theirs.push(started.elapsed());
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let figures = format!("{} / {} = {:.2}", ms(ours), ms(theirs), ratio(ours, theirs));
        report("mirror: 20 MB, against parse and print", &figures, "at most 0.5");
        Ok(())
    })
}

/// What an answer of this size takes, over a small answer to the same call.
fn memory(rig: &Rig) -> Result<()> {
    let peak = |size| {
        let url = format!("url={}", path(size));
        let arguments = ["rawRequest", "--set", "method=GET", "--set", &url, "--output", "raw"];
        rig.peak_of_run(&arguments)
    };
    let (small, large) = (peak(SMALL)?, peak(SIZE)?);
    let over = mib(large) - mib(small);
    let size = mib(u64::try_from(SIZE - SMALL)? / 1024);
    let figures = format!("{over:.1} MiB over a small one / {size:.1} MiB = {:.2}", over / size);
    report("mirror: peak memory for its size", &figures, "at most 2");
    Ok(())
}
