//! `harness`: the command line of the host harness.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod exit_code;
mod failure;
mod input;
mod interrupt;
mod local;
mod output;
mod progress;
mod result_file;
mod session;
mod shell;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, setrlimit};

use args::{Command, CommandLine};
use failure::{Failure, Result};
use terminal::Terminal;

fn main() -> ExitCode {
    leave_no_core();
    // Another of us wants a component compiled.
    if let Some(code) = host_harness::serve_compile_requests() {
        return code;
    }
    let line = CommandLine::parse();
    let terminal = Terminal::new(&line.global);
    match perform(&line, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&terminal, line.command.is_for_programs()),
    }
}

/// What a crash writes to disk would have the secrets in it.
fn leave_no_core() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Where the system does not let us, there is nothing else to do about it.
    let _ = setrlimit(Resource::Core, none);
}

/// One thread, since a command makes one call at a time and threads would only cost its start; a few where a result streams
/// into a file, so that it is received while the connector reads what came before.
fn perform(line: &CommandLine, terminal: &Terminal) -> Result<()> {
    let streams = match &line.command {
        Command::Run(run) => run.filing.output_file.is_some(),
        Command::Resume(resume) => resume.filing.output_file.is_some(),
        _ => false,
    };
    let mut runtime = if streams {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = runtime
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::file("the runtime cannot start", &error))?;
    runtime.block_on(commands::perform(line, terminal))
}
