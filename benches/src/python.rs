//! The official Python SDK does the same Get Cluster: latency one by one, throughput with 64 callers, cold start.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::LocalSet;

use crate::figures::{median, ms, ratio, report};
use crate::get_cluster::by_harness;
use crate::rig::{Rig, quietly};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/python_sdk.py");
const CALLERS: usize = 64;
const CALLS: usize = 3200;

pub(crate) fn run() -> Result<()> {
    let rig = Rig::start()?;
    let theirs = sdk(&rig)?;
    let (latency, throughput) = ours(&rig)?;
    let figures = format!(
        "{} / {} = 1/{:.1}",
        ms(latency),
        ms(theirs.latency),
        ratio(theirs.latency, latency)
    );
    report("python-sdk: latency of one call", &figures, "at most 1/2.5");
    let figures = format!(
        "{throughput:.0} /s / {:.0} /s = {:.1}",
        theirs.throughput,
        throughput / theirs.throughput
    );
    report(&format!("python-sdk: throughput, {CALLERS} callers"), &figures, "at least 5");
    cold_start(&rig)
}

struct Sdk {
    latency: Duration,
    throughput: f64,
}

fn sdk(rig: &Rig) -> Result<Sdk> {
    let output = python(rig)?.arg("measure").output().context("could not start python")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let read =
        |name: &str| figures.get(name).and_then(serde_json::Value::as_f64).context("no figure");
    Ok(Sdk { latency: Duration::from_secs_f64(read("latency")?), throughput: read("throughput")? })
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ours(rig: &Rig) -> Result<(Duration, f64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let (harness, connection) = rig.connect().await?;
        let mut single = Vec::new();
        for _ in 0..1000 {
            let started = Instant::now();
            by_harness(&harness, &connection, rig.cluster()).await?;
            single.push(started.elapsed());
        }
        let (harness, connection) = (std::rc::Rc::new(harness), std::rc::Rc::new(connection));
        let started = Instant::now();
        let mut callers = Vec::new();
        for _ in 0..CALLERS {
            let (harness, connection) = (harness.clone(), connection.clone());
            let cluster = rig.cluster().to_owned();
            callers.push(tokio::task::spawn_local(async move {
                for _ in 0..CALLS / CALLERS {
                    by_harness(&harness, &connection, &cluster).await?;
                }
                anyhow::Ok(())
            }));
        }
        for caller in callers {
            caller.await??;
        }
        Ok((median(single), CALLS as f64 / started.elapsed().as_secs_f64()))
    })
}

fn cold_start(rig: &Rig) -> Result<()> {
    let command = rig.harness_run(
        rig.workspace.origin(),
        &["getCluster", "--set", &format!("clusterId={}", rig.cluster())],
    )?;
    quietly(&command)?;
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        quietly(&command)?;
        ours.push(started.elapsed());
        let started = Instant::now();
        let status = python(rig)?.arg("once").status()?;
        ensure!(status.success(), "the SDK failed");
        theirs.push(started.elapsed());
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let figures = format!("{} / {} = 1/{:.1}", ms(ours), ms(theirs), ratio(theirs, ours));
    report("python-sdk: cold start to the end", &figures, "at most 1/20");
    Ok(())
}

fn python(rig: &Rig) -> Result<Command> {
    let interpreter = std::env::var_os("SDK_PYTHON")
        .context("SDK_PYTHON names no Python with the SDK; run `cargo xtask bench`")?;
    let mut command = Command::new(interpreter);
    command
        .args([SCRIPT, rig.workspace.origin(), rig.workspace.token(), rig.cluster()])
        .env_remove("DATABRICKS_CONFIG_PROFILE");
    Ok(command)
}
