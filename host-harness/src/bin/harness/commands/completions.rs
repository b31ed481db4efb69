//! `harness completions`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::CommandLine;
use crate::failure::Result;
use crate::output::line;

pub(super) fn perform(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "harness", &mut script);
    line(&String::from_utf8_lossy(&script))
}
