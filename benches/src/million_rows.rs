//! A million rows of ten columns through external links: into a file by the program `harness`, into a file and into objects by
//! the official SDK for Python, and parsed by plain Rust, in turn. databricks-sql-connector is not among them: it speaks
//! Thrift, which the local workspace does not.

mod check;
mod plain;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_workspace::{Options, RUNNING_WAREHOUSE};

use crate::child::{mib, peak_of};
use crate::figures::{median, ms, ratio, report};
use crate::rig::{Rig, quietly};
use check::Content;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/million_rows.py");
const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 5;

/// Ten columns of what results are made of, with a NULL in every row but a few.
const STATEMENT: &str = "SELECT id, \
    CAST(id % 100000 AS INT) AS store, \
    CAST(id AS DOUBLE) / 7 AS ratio, \
    CAST(id AS DECIMAL(38,10)) * 3 AS amount, \
    concat('Ação \"Verão\", ', CAST(id AS STRING), ' — 日本') AS note, \
    date_add(DATE'2020-01-01', CAST(id % 2000 AS INT)) AS day, \
    CAST('2026-03-12T08:15:44.512Z' AS TIMESTAMP) AS at, \
    id % 2 = 0 AS paid, \
    CASE WHEN id % 10 = 0 THEN CAST(id AS STRING) END AS rarely, \
    array(id, id + 1, NULL) AS list \
    FROM range(1000000)";

pub(crate) fn run() -> Result<()> {
    // The result is made once; what is measured is how it is read.
    let options = Options {
        keep_results: true,
        chunk_rows: usize::MAX,
        kept_requests: 0,
        ..Options::default()
    };
    let rig = Rig::with(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    let (bytes, wanted) = runtime.block_on(plain::content(&rig, STATEMENT))?;
    ensure!(wanted.rows == ROWS, "the server's result has {} rows", wanted.rows);
    let (csv, ndjson) =
        (into_file(&rig, &file("rows.csv"))?, into_file(&rig, &file("rows.ndjson"))?);
    let mut times: [Vec<Duration>; 5] = Default::default();
    for round in 0..=ROUNDS {
        let measured = [
            timed(&csv)?,
            timed(&ndjson)?,
            python(&rig, "write", &file("python.csv"))?,
            python(&rig, "parse", Path::new(""))?,
            runtime.block_on(plain::parse(&rig, STATEMENT, wanted.rows))?,
        ];
        for (name, read) in [
            ("rows.csv", check::csv as fn(&Path) -> Result<Content>),
            ("rows.ndjson", check::ndjson),
            ("python.csv", check::csv),
        ] {
            ensure!(read(&file(name))? == wanted, "{name} is not what the server has");
        }
        // The first round compiles, fills caches and makes the result.
        if round > 0 {
            times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time));
        }
    }
    let [csv_time, ndjson_time, written, parsed, plain] = times.map(median);
    tell("harness to CSV", csv_time, bytes);
    tell("harness to NDJSON", ndjson_time, bytes);
    tell("Python SDK, written as CSV", written, bytes);
    tell("Python SDK, parsed", parsed, bytes);
    tell("plain Rust, parsed", plain, bytes);
    for (form, time) in [("CSV", csv_time), ("NDJSON", ndjson_time)] {
        let times = |other| format!("{} / {} = 1/{:.1}", ms(time), ms(other), ratio(other, time));
        report(&format!("million-rows: {form}, against Python's"), &times(written), "at most 1/3");
        let what = format!("million-rows: {form}, against Python's parsing");
        report(&what, &times(parsed), "none");
        let figures = format!("{} / {} = {:.2}", ms(time), ms(plain), ratio(time, plain));
        report(&format!("million-rows: {form}, against plain Rust"), &figures, "at most 1.5");
    }
    for (form, command) in [("CSV", &csv), ("NDJSON", &ndjson)] {
        let peak = format!("{:.1} MiB", mib(peak_of(command)?));
        report(&format!("million-rows: peak memory, {form}"), &peak, "at most 100 MiB");
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn tell(what: &str, time: Duration, bytes: u64) {
    let seconds = time.as_secs_f64();
    let figures = format!(
        "{} = {:.0} rows/s, {:.0} MB/s of the server's JSON",
        ms(time),
        ROWS as f64 / seconds,
        bytes as f64 / 1e6 / seconds
    );
    report(&format!("million-rows: {what}"), &figures, "");
}

/// `harness run` into a file, whose ending says in which form.
fn into_file(rig: &Rig, path: &Path) -> Result<Vec<String>> {
    let path = path.to_str().context("a path that is text")?;
    let warehouse = format!("warehouseId={RUNNING_WAREHOUSE}");
    let statement = format!("sqlStatement={STATEMENT}");
    let arguments = [
        "runSql",
        "--quiet",
        "--set",
        &warehouse,
        "--set",
        &statement,
        "--output-file",
        path,
        "--overwrite",
    ];
    rig.harness_run(rig.workspace.origin(), &arguments)
}

/// The time of a whole process, from its start to its end.
fn timed(command: &[String]) -> Result<Duration> {
    let started = Instant::now();
    quietly(command)?;
    Ok(started.elapsed())
}

/// The time by the script's own clock, so that importing the SDK does not count.
fn python(rig: &Rig, what: &str, path: &Path) -> Result<Duration> {
    let interpreter = std::env::var_os("SDK_PYTHON")
        .context("SDK_PYTHON names no Python with the SDK; run `cargo xtask bench`")?;
    let (host, token) = (rig.workspace.origin(), rig.workspace.token());
    let output = Command::new(interpreter)
        .args([SCRIPT, host, token, RUNNING_WAREHOUSE, STATEMENT, what])
        .arg(path)
        .env_remove("DATABRICKS_CONFIG_PROFILE")
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let rows = figures.get("rows").and_then(serde_json::Value::as_u64);
    ensure!(rows == Some(ROWS), "Python read {rows:?} rows");
    let seconds = figures.get("seconds").and_then(serde_json::Value::as_f64);
    Ok(Duration::from_secs_f64(seconds.context("no figure")?))
}
