//! The subcommands, one file each.

mod actions;
mod attach;
mod cancel;
mod choices;
mod completions;
mod connections;
mod demo;
mod describe;
mod detach;
mod filing;
mod jobs;
mod logs;
mod resume;
mod run;
mod schemas;
mod test_connection;
mod workspace;

use crate::args::{Command, CommandLine};
use crate::failure::Result;
use crate::output::Format;
use crate::terminal::Terminal;

/// Performs the subcommand.
pub(crate) async fn perform(line: &CommandLine, terminal: &Terminal) -> Result<()> {
    let global = &line.global;
    match &line.command {
        Command::Actions { json } => actions::perform(*json, global, terminal).await,
        Command::Describe { action, json } => {
            describe::perform(action, *json, global, terminal).await
        }
        Command::Run(args) => run::perform(args, global, terminal).await,
        Command::Jobs(args) => jobs::perform(args, global, terminal).await,
        Command::Resume(args) => resume::perform(args, global, terminal).await,
        Command::Cancel { id, connection } => {
            cancel::perform(id, connection, global, terminal).await
        }
        Command::Logs { id, follow } => logs::perform(id, *follow, global).await,
        Command::Choices(args) => choices::perform(args, global, terminal).await,
        Command::TestConnection { connection } => {
            test_connection::perform(connection, global, terminal).await
        }
        Command::Connections { json } => connections::perform(*json, global, terminal),
        Command::Schemas { out } => schemas::perform(out.as_deref(), global, terminal).await,
        Command::Workspace { port } => workspace::perform(*port, terminal).await,
        Command::Demo => demo::perform(global, terminal).await,
        Command::Completions { shell } => completions::perform(*shell),
    }
}

impl Command {
    /// Whether a program reads the output, so that an error is an object too.
    pub(crate) fn is_for_programs(&self) -> bool {
        match self {
            Self::Run(run) => run.printing.output == Some(Format::Json),
            Self::Resume(resume) => resume.printing.output == Some(Format::Json),
            Self::Jobs(jobs) => jobs.json,
            Self::Choices(choices) => choices.output == Some(Format::Json),
            Self::Actions { json } | Self::Describe { json, .. } | Self::Connections { json } => {
                *json
            }
            Self::TestConnection { .. }
            | Self::Cancel { .. }
            | Self::Logs { .. }
            | Self::Schemas { .. }
            | Self::Workspace { .. }
            | Self::Demo
            | Self::Completions { .. } => false,
        }
    }
}
