//! Peak memory of child processes, and of `harness run` in particular.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use wait4::Wait4;

use crate::figures::report;
use crate::rig::Rig;

/// Peak resident memory of `harness run getCluster`.
pub(crate) fn run() -> Result<()> {
    let rig = Rig::start()?;
    let peak =
        rig.peak_of_run(&["getCluster", "--set", &format!("clusterId={}", rig.cluster())])?;
    report("memory: harness run getCluster", &format!("{:.1} MiB", mib(peak)), "at most 60 MiB");
    Ok(())
}

/// The peak of one command, started by a process of its own: a child's peak is never less than that of the process which
/// started it, and this one has a workspace in it.
pub(crate) fn peak_of(command: &[String]) -> Result<u64> {
    let (peak, code) = peak_and_code(command)?;
    ensure!(code == 0, "the measured command failed: {}", command.join(" "));
    Ok(peak)
}

/// The peak of a command that may fail, and its exit code.
pub(crate) fn peak_and_code(command: &[String]) -> Result<(u64, i32)> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--peak-of")
        .args(command)
        .stderr(Stdio::inherit())
        .output()
        .context("could not start the measuring process")?;
    ensure!(output.status.success(), "the measuring process failed on {}", command.join(" "));
    let text = String::from_utf8_lossy(&output.stdout);
    let (peak, code) = text.trim().split_once(' ').context("it printed no two numbers")?;
    Ok((peak.parse()?, code.parse()?))
}

/// Runs a command with its output thrown away and prints its peak memory in KiB and its exit code.
#[expect(clippy::print_stdout, reason = "the figure is what the parent process reads")]
pub(crate) fn print_peak_of(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let ended = Command::new(program).args(arguments).stdout(Stdio::null()).spawn()?.wait4()?;
    let code = ended.status.code().context("it was killed")?;
    println!("{} {code}", ended.rusage.maxrss >> 10);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
