//! The command line: its words, their help and their examples. What they do is in `commands`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use host_harness::OnDeadline;

use crate::exit_code;
use crate::input::Assignment;
use crate::output::Format;

/// Runs the actions of a connector: lists them, explains them, performs them.
///
/// The connector is a WebAssembly component. It never sees a credential: the harness keeps them, and adds them to
/// requests to the connection's own host alone.
#[derive(Debug, Parser)]
#[command(
    name = "harness",
    version,
    max_term_width = 100,
    after_help = format!("{EXAMPLES}\n\nExit codes: 0 is success, 2 a wrong command line; --help lists the others."),
    after_long_help = format!("{EXAMPLES}\n\n{}", exit_code::help())
)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every subcommand takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The connector; else connector.wasm beside this program, or where cargo puts it
    #[arg(long, value_name = "FILE", env = "HARNESS_COMPONENT", global = true)]
    pub(crate) component: Option<PathBuf>,
    /// The connections file; else databricks-harness/connections.toml in $XDG_CONFIG_HOME or ~/.config
    #[arg(long, value_name = "FILE", env = "HARNESS_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where compiled connectors are kept; else databricks-harness in $XDG_CACHE_HOME or ~/.cache
    #[arg(long, value_name = "DIR", env = "HARNESS_CACHE_DIR", global = true)]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Where actions are written down; else databricks-harness/journal in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR", env = "HARNESS_JOURNAL", global = true)]
    pub(crate) journal: Option<PathBuf>,
    /// Refuse the connector unless it has this SHA-256
    #[arg(long, value_name = "sha256:HEX", env = "HARNESS_COMPONENT_DIGEST", global = true)]
    pub(crate) component_digest: Option<String>,
    /// Refuse the connector unless the signature beside it (FILE.minisig) fits this minisign public key
    #[arg(long, value_name = "KEY", env = "HARNESS_COMPONENT_KEY", global = true)]
    pub(crate) component_key: Option<String>,
    /// Refuse every connector unless a key is set to check its signature with
    #[arg(long, global = true)]
    pub(crate) require_signature: bool,
    /// Tell more on standard error: the connection in use, times, details of errors
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Tell nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: ColorWhen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the actions of the connector
    #[command(after_help = "Examples:
  harness actions
  harness actions --json | jq -r '.[].key'")]
    Actions {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Explain an action: inputs, endpoints, an example
    #[command(after_help = "Examples:
  harness describe runSql
  harness describe runSql --json               The JSON Schema of its input")]
    Describe {
        /// Key of the action
        action: String,
        /// Print the JSON Schema of the input
        #[arg(long)]
        json: bool,
    },
    /// Run an action
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// List what runs, what was interrupted and what nobody knows the outcome of
    #[command(after_help = JOBS_EXAMPLES)]
    Jobs(Jobs),
    /// Go on with what was interrupted, or wait for what runs elsewhere, and print the result
    #[command(after_help = RESUME_EXAMPLES)]
    Resume(Resume),
    /// Stop what an action started, and wait until it has stopped
    #[command(after_help = CANCEL_EXAMPLES)]
    Cancel {
        /// Id of the job, or how it begins
        id: String,
        #[command(flatten)]
        connection: JobConnection,
    },
    /// Print what a job logged
    #[command(after_help = "Examples:
  harness logs 3f2a
  harness logs 3f2a -f")]
    Logs {
        /// Id of the job, or how it begins
        id: String,
        /// Go on until the job ends
        #[arg(short, long)]
        follow: bool,
    },
    /// Look up values for an input, as a drop-down does
    #[command(after_help = "Examples:
  harness choices warehouses
  harness choices clusters --search etl --connection prod")]
    Choices(Choices),
    /// Check that a connection works
    #[command(after_help = "Examples:
  harness test-connection
  harness test-connection --connection prod")]
    TestConnection {
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// List the connections that there are: name, type, where it is written down
    #[command(after_help = "Examples:
  harness connections
  harness connections --config ./connections.toml --json")]
    Connections {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what the connector says about itself, or write a JSON Schema for each action and connection
    #[command(after_help = "Examples:
  harness schemas | jq '.actions[].key'
  harness schemas --out schemas")]
    Schemas {
        /// Write files into this folder
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Run the local workspace until Ctrl-C, and show how to connect to it
    #[command(after_help = "Examples:
  harness workspace
  harness workspace --port 8080")]
    Workspace {
        /// The port on 127.0.0.1; else any free one
        #[arg(long)]
        port: Option<u16>,
    },
    /// Run the main job against a local workspace: nothing to set up
    #[command(after_help = "Examples:
  harness demo")]
    Demo,
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  harness completions bash > ~/.local/share/bash-completion/completions/harness
  harness completions zsh > \"${fpath[1]}/_harness\"")]
    Completions { shell: clap_complete::Shell },
}

const EXAMPLES: &str = "Examples:
  harness demo                                 See all of it work, with nothing to set up
  harness actions                              What there is to run
  harness describe runSql                      Its inputs
  harness run listClusters                     Run it with the default connection
  harness run getCluster --set clusterId=0923-164208-meows279 --connection prod";

const RUN_EXAMPLES: &str = "Examples:
  harness run listClusters
  harness run getCluster --set clusterId=0923-164208-meows279
  harness run runSql -i @query.json --output json
  harness run runSql --set warehouseId=862f1d757f0424f7 --set 'sqlStatement=SELECT :a' \\
      --set 'sqlParameters:=[{\"name\": \"a\", \"value\": 1}]'
  harness run runSql -i @query.json -O rows.csv          Of any size: memory does not grow with it
  harness run runSql -i @query.json -O rows.ndjson --overwrite
  echo '{\"method\": \"GET\", \"url\": \"/2.0/clusters/list\"}' | harness run rawRequest -i -

The result goes to standard output or into the file, progress and logs to standard error.
The file's ending (.csv, .ndjson, .jsonl) chooses the form of rows, where the action has forms to choose from and the
input chooses none.

What changes something is written down before it is sent: `harness resume` goes on with it after a crash.
With --detach it runs in the background; `harness jobs` lists it, `harness resume ID` waits for its result.";

const JOBS_EXAMPLES: &str = "Examples:
  harness jobs
  harness jobs --all --json | jq '.[].handle'
  harness jobs --status failed --action runSql
  harness jobs --prune 7d                      Forget what ended more than seven days ago

submitting and running are what a process has in hand, interrupted is what a process left that died.";

const RESUME_EXAMPLES: &str = "Examples:
  harness resume                               All that was interrupted
  harness resume 3f2a --output json            One, and its result
  harness resume 3f2a -O rows.csv              The same into a file, of any size

What may have been sent is never sent again: it is looked for, or the outcome is unknown (exit code 14).";

const CANCEL_EXAMPLES: &str = "Examples:
  harness cancel 3f2a

Exit codes: 0 it has stopped, 8 it had ended before, 11 its process does not answer, 14 it may go on.";

/// Which connection, and what it may do.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectionArgs {
    /// Name of the connection; `harness connections` lists them
    #[arg(short, long, value_name = "NAME", env = "HARNESS_CONNECTION")]
    pub(crate) connection: Option<String>,
    /// Accept http:// for this very machine
    #[arg(long)]
    pub(crate) allow_http_loopback: bool,
}

/// The connection for what a process left.
#[derive(Debug, Args)]
pub(crate) struct JobConnection {
    /// The connection; else the one that it was begun with
    #[arg(short, long, value_name = "NAME")]
    connection: Option<String>,
    /// Accept http:// for this very machine
    #[arg(long)]
    pub(crate) allow_http_loopback: bool,
}

impl JobConnection {
    pub(crate) fn name<'a>(&'a self, begun_with: &'a str) -> &'a str {
        self.connection.as_deref().unwrap_or(begun_with)
    }

    pub(crate) fn of(&self, begun_with: &str) -> ConnectionArgs {
        let connection = Some(self.name(begun_with).to_owned());
        ConnectionArgs { connection, allow_http_loopback: self.allow_http_loopback }
    }
}

/// What an action is given.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// The input: a JSON object, @FILE to read it from a file, - to read it from standard input
    #[arg(short, long, value_name = "JSON|@FILE|-")]
    pub(crate) input: Option<String>,
    /// Set one key of the input: KEY=TEXT, or KEY:=JSON
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Assignment>,
}

/// How a result is printed.
#[derive(Debug, Args)]
pub(crate) struct Printing {
    /// How to print the result; else a table on a terminal, and the result as it is elsewhere
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// Columns of the table, in this order
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
}

/// The file that a result goes into.
#[derive(Debug, Args)]
pub(crate) struct Filing {
    /// Write the result into this file, as it comes; it is there when it is whole
    #[arg(
        short = 'O',
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        conflicts_with_all = ["output", "columns"]
    )]
    pub(crate) output_file: Option<PathBuf>,
    /// Replace the file when it exists
    #[arg(long, requires = "output_file")]
    pub(crate) overwrite: bool,
}

/// How long an action may take.
#[derive(Debug, Args)]
pub(crate) struct Timing {
    /// The longest that the action may take from now on: 90, 90s, 5m, 1h 30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// What becomes of the remote work when that time is over
    #[arg(long, value_name = "WHAT", default_value = "leave")]
    pub(crate) on_timeout: OnTimeout,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Key of the action
    pub(crate) action: String,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) printing: Printing,
    #[command(flatten)]
    pub(crate) filing: Filing,
    #[command(flatten)]
    pub(crate) timing: Timing,
    /// Start it in the background and print its id
    #[arg(long, conflicts_with = "output_file")]
    pub(crate) detach: bool,
    /// Name of this use of the action: the same call under the same name does the work once
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
}

/// What `--on-timeout` takes.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnTimeout {
    /// It goes on, and the error names it
    Leave,
    /// It is stopped, and the error tells how that went
    Cancel,
}

impl From<OnTimeout> for OnDeadline {
    fn from(choice: OnTimeout) -> Self {
        match choice {
            OnTimeout::Leave => Self::Leave,
            OnTimeout::Cancel => Self::Cancel,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// List what has ended, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Those alone in this state: submitting, running, interrupted, done, failed, cancelled, unknown
    #[arg(long, value_name = "STATE")]
    pub(crate) status: Option<String>,
    /// Those alone of this action
    #[arg(long, value_name = "KEY")]
    pub(crate) action: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Forget what ended longer ago than this: 12h, 7d
    #[arg(long, value_name = "AGE", value_parser = duration, conflicts_with_all = ["all", "status", "action", "json"])]
    pub(crate) prune: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Id of the job, or how it begins; else all that was interrupted
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) connection: JobConnection,
    #[command(flatten)]
    pub(crate) printing: Printing,
    #[command(flatten)]
    pub(crate) filing: Filing,
    #[command(flatten)]
    pub(crate) timing: Timing,
    /// Run in the background: nobody reads what is printed
    #[arg(long, hide = true, requires = "id")]
    pub(crate) worker: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Choices {
    /// Key of the source
    pub(crate) source: String,
    /// Show those alone that have this text in them
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// Show the next page: what the last one ended with
    #[arg(long, value_name = "TOKEN")]
    pub(crate) page_token: Option<String>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// How to print the choices; else a table on a terminal, and JSON elsewhere
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
}

/// A number is seconds; anything else has its units.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = match text.parse::<u64>() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| "expected a time such as 90, 90s, 5m or 1h 30m".to_owned()),
    };
    duration.and_then(|duration| match duration {
        Duration::ZERO => Err("expected a time longer than nothing".to_owned()),
        duration => Ok(duration),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_subcommand_has_help_and_examples() {
        let command = CommandLine::command();
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            assert!(subcommand.get_about().is_some(), "{name}");
            let help = subcommand.get_after_help().unwrap_or_else(|| panic!("{name}")).to_string();
            assert!(help.contains(&format!("harness {name}")), "{name}: {help}");
        }
    }

    #[test]
    fn times_have_units_or_are_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "0", "soon", "-1", "5 parsecs"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
