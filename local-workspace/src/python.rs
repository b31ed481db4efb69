//! One Python process: the driver script that runs commands, and the lines it is spoken to with.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Notify;
use tokio::time::Instant;

const DRIVER: &str = include_str!("driver.py");

/// How long an interrupted command may take to end before its process is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between interrupts: one that comes before the command has begun is not heard.
const AGAIN: Duration = Duration::from_millis(50);

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Ran {
    Finished(Value),
    Cancelled,
    /// The process has ended, and with it all the variables.
    Lost,
}

/// A process that runs until it is dropped, in a process group of its own.
#[derive(Debug)]
pub(crate) struct Python {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Python {
    pub(crate) fn start(interpreter: &Path) -> io::Result<Python> {
        let mut command = Command::new(interpreter);
        // Whoever started this workspace may have the secrets of a real one in its variables.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DATABRICKS_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["-u", "-c", DRIVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Python {
            child,
            requests: ChildStdin::from_std(stdin)?,
            answers: BufReader::new(ChildStdout::from_std(stdout)?).lines(),
        })
    }

    /// Waits until the driver can take commands.
    pub(crate) async fn ready(&mut self) -> bool {
        matches!(self.answers.next_line().await, Ok(Some(_)))
    }

    /// Runs a command to its end, or until `cancel` is notified.
    pub(crate) async fn run(&mut self, command: &str, cancel: &Notify) -> Ran {
        let line = format!("{}\n", json!({ "command": command }));
        if self.requests.write_all(line.as_bytes()).await.is_err() {
            return Ran::Lost;
        }
        let mut cancelled: Option<Instant> = None;
        let mut interrupt: Option<Instant> = None;
        loop {
            tokio::select! {
                answer = self.answers.next_line() => {
                    let line = answer.ok().flatten();
                    return match line.and_then(|line| serde_json::from_str(&line).ok()) {
                        Some(_) if cancelled.is_some() => Ran::Cancelled,
                        Some(value) => Ran::Finished(value),
                        None => Ran::Lost,
                    };
                }
                () = cancel.notified(), if cancelled.is_none() => {
                    cancelled = Some(Instant::now());
                    interrupt = cancelled;
                }
                () = until(interrupt) => {
                    if cancelled.is_some_and(|since| since.elapsed() > PATIENCE) {
                        self.signal(Signal::KILL);
                        return Ran::Lost;
                    }
                    self.signal(Signal::INT);
                    interrupt = Some(Instant::now() + AGAIN);
                }
            }
        }
    }

    /// To the whole group, so that programs started by a command end with it.
    fn signal(&self, signal: Signal) {
        // It fails when the group is gone, which is what a signal is for.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        // Short, after SIGKILL; without it a zombie would stay.
        let _ = self.child.wait();
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
