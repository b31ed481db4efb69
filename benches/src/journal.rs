//! What the journal costs, and that it is worth it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use connector_tests::kills;
use host_harness::{Call, CancellationToken, Connection, Harness, Journal, Settings};
use local_workspace::RUNNING_WAREHOUSE;

use crate::figures::{ms, report};
use crate::rig::{self, Rig};

/// Kills at each point.
const KILLS: u64 = 20;
/// Programs at once, which share a machine and no journal.
const AT_ONCE: usize = 8;
/// Records of a large journal.
const RECORDS: usize = 10_000;
/// Statements of each kind.
const STATEMENTS: usize = 300;

/// Statements with and without a journal, in turn, on the disk of the temporary folder and in memory.
pub(crate) fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for (place, folder) in [
            ("disk", tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR"))?),
            ("memory", tempfile::tempdir_in("/dev/shm")?),
        ] {
            measure(place, folder.path()).await?;
        }
        opening(tempfile::tempdir_in("/dev/shm")?.path()).await
    })
}

/// All of a journal is read when it is opened.
async fn opening(folder: &Path) -> Result<()> {
    let rig = Rig::start()?;
    let settings = Settings { journal_dir: Some(folder.to_owned()), ..rig.settings() };
    let (harness, connection) = subject(&rig, settings).await?;
    for _ in 0..RECORDS {
        harness.hand_over(&connection, select()).await?;
    }
    drop(harness);
    let started = Instant::now();
    let journal = Journal::open(folder).await?;
    let took = started.elapsed();
    ensure!(journal.records().await?.len() == RECORDS, "records are missing");
    report("journal: opened with 10,000 records", &ms(took), "at most 250 ms");
    Ok(())
}

async fn measure(place: &str, folder: &Path) -> Result<()> {
    let rig = Rig::start()?;
    let plain = subject(&rig, rig.settings()).await?;
    let settings = Settings { journal_dir: Some(folder.join("journal")), ..rig.settings() };
    let journaled = subject(&rig, settings).await?;
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..STATEMENTS {
        without.push(statement(&plain).await?);
        with.push(statement(&journaled).await?);
    }
    for times in [&mut without, &mut with] {
        times.sort_unstable();
    }
    let at = |times: &[Duration], share: usize| {
        times.get(times.len() * share / 100).copied().unwrap_or_default()
    };
    for share in [50, 99] {
        let (without, with) = (at(&without, share), at(&with, share));
        report(
            &format!("journal on {place}: a statement, p{share}"),
            &format!(
                "{} more: {} with, {} without",
                ms(with.saturating_sub(without)),
                ms(with),
                ms(without)
            ),
            if share == 50 { "at most 2 ms" } else { "at most 5 ms" },
        );
    }
    Ok(())
}

async fn subject(rig: &Rig, mut settings: Settings) -> Result<(Harness, Connection)> {
    settings.limits.requests_per_second = 0;
    let harness = Harness::load(&rig::component()?, settings)?;
    let connection = harness.connect(rig.connection_to(rig.workspace.origin())).await?;
    Ok((harness, connection))
}

async fn statement((harness, connection): &(Harness, Connection)) -> Result<Duration> {
    let started = Instant::now();
    harness.invoke(connection, select(), &(), CancellationToken::new()).await?;
    Ok(started.elapsed())
}

fn select() -> Call {
    Call {
        action: "runSql".to_owned(),
        input: format!(r#"{{"warehouseId":"{RUNNING_WAREHOUSE}","sqlStatement":"SELECT 1"}}"#),
        ..Call::default()
    }
}

/// Each kill is checked as it happens: work done twice, lost or wrongly told ends the program.
pub(crate) fn kills() -> Result<()> {
    let rows = kills::kill_everywhere(KILLS, AT_ONCE);
    let mut total = 0;
    for (point, [recovered, unknown, nothing]) in rows {
        total += recovered + unknown + nothing;
        report(
            &format!("killed: {point}"),
            &format!("{recovered} recovered, {unknown} unknown, {nothing} not begun"),
            "none lost, none twice",
        );
    }
    ensure!(total == KILLS * kills::POINTS.len() as u64, "some kills did not end");
    Ok(())
}
