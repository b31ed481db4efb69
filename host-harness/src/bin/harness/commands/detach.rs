//! `harness run --detach`: the action is written down, and a process of its own carries it out.

use std::process::{Command, Stdio};
use std::time::Duration;

use host_harness::journal::{Journal, Record};
use host_harness::{Call, ErrorKind};

use super::jobs;
use crate::args::{Global, OnTimeout, Run};
use crate::failure::{Failure, Result};
use crate::output::{Format, line, print_json};
use crate::session::Session;
use crate::terminal::Terminal;

/// How long it is waited to learn what runs remotely.
const TO_LEARN: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

pub(super) async fn perform(
    args: &Run,
    call: Call,
    session: &Session,
    global: &Global,
    terminal: &Terminal,
) -> Result<()> {
    let id = session.harness.hand_over(&session.connection, call).await?;
    let journal = session.harness.journal().await?;
    let record = journal.find(&id).await?;
    if record.is_interrupted() {
        let mut worker = worker(global)?;
        worker.args(["--connection", &session.definition.name]);
        if args.connection.allow_http_loopback {
            worker.arg("--allow-http-loopback");
        }
        if let Some(time) = args.timing.timeout {
            worker.arg("--timeout").arg(format!("{}ms", time.as_millis()));
            if matches!(args.timing.on_timeout, OnTimeout::Cancel) {
                worker.args(["--on-timeout", "cancel"]);
            }
        }
        start(worker, &id)?;
    }
    let record = learned(journal, &id).await?;
    if args.printing.output == Some(Format::Json) {
        return print_json(&jobs::object(&record), terminal);
    }
    terminal.note(format_args!("{}; its result: harness resume {id}", jobs::state(&record)));
    line(&id)
}

/// The command that goes on with an invocation in the background, all but its id.
pub(super) fn worker(global: &Global) -> Result<Command> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::file("this program's own path cannot be found", &error))?;
    let mut worker = Command::new(program);
    for (option, value) in [
        ("--component", &global.component),
        ("--config", &global.config),
        ("--cache-dir", &global.cache_dir),
        ("--journal", &global.journal),
    ] {
        if let Some(value) = value {
            worker.arg(option).arg(value);
        }
    }
    for (option, value) in [
        ("--component-digest", &global.component_digest),
        ("--component-key", &global.component_key),
    ] {
        if let Some(value) = value {
            worker.arg(option).arg(value);
        }
    }
    if global.require_signature {
        worker.arg("--require-signature");
    }
    worker.args(["--quiet", "resume", "--worker"]);
    Ok(worker)
}

/// Starts it, seen and heard by nobody.
pub(super) fn start(mut worker: Command, id: &str) -> Result<()> {
    // An id may look like an option.
    worker.arg("--").arg(id);
    worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = worker.spawn();
    started.map(drop).map_err(|error| Failure::file("the background process cannot start", &error))
}

/// What is known of it once something runs, or it has ended, or time is up.
async fn learned(journal: &Journal, id: &str) -> Result<Record> {
    let until = tokio::time::Instant::now() + TO_LEARN;
    loop {
        let record = journal.find(id).await?;
        if let Some(error) = record.error.clone().filter(|_| !record.status.is_open()) {
            return Err(error.into());
        }
        if !record.status.is_open() || record.handle.is_some() {
            return Ok(record);
        }
        if tokio::time::Instant::now() >= until {
            if record.is_attended {
                return Ok(record);
            }
            let message = format!("the background process did not take {id} up");
            return Err(Failure::new(ErrorKind::Unavailable, message)
                .with_hint(format!("see why: harness resume {id}")));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
