//! Side-by-side measurements: ours and what it is compared with, in turn, in one run. They print figures and ratios and
//! judge nothing; tests never look at a clock.

#![forbid(unsafe_code)]

mod answers;
mod bombs;
mod child;
mod cold_start;
mod deadlines;
mod figures;
mod fresh_clone;
mod get_cluster;
mod hostile;
mod journal;
mod million_rows;
mod mirror;
mod python;
mod retries;
mod rig;
mod size;
mod soak;
mod statements;
mod tokens;
mod waits;

use anyhow::{Result, bail};
use clap::Parser;

/// A benchmark's name, what it measures, and its code.
type Benchmark = (&'static str, &'static str, fn() -> Result<()>);

const ALL: &[Benchmark] = &[
    (
        "get-cluster",
        "one Get Cluster against a plain pooled client, same process",
        get_cluster::run,
    ),
    (
        "python-sdk",
        "latency, throughput and cold start against the official Python SDK",
        python::run,
    ),
    (
        "cold-start",
        "`harness run` to its first byte sent, against a process that does nothing",
        cold_start::run,
    ),
    ("memory", "peak memory of `harness run`", child::run),
    (
        "mirror",
        "a 20 MB answer passed through, against reading, parsing and printing it",
        mirror::run,
    ),
    (
        "million-rows",
        "a result of a million rows into a file, against the official Python SDK and plain Rust",
        million_rows::run,
    ),
    ("hostile", "what connectors that mean harm cost the host and their neighbours", hostile::run),
    ("size", "size of the component", size::run),
    ("retries", "waits that services ask for, outages and brown-outs", retries::run),
    (
        "tokens",
        "token requests of many callers, and how soon wrong credentials are told",
        tokens::run,
    ),
    ("deadlines", "by how much calls outlast their limits, at the worst", deadlines::run),
    ("journal", "what it costs a statement to be written down, against none", journal::run),
    ("bombs", "peak memory of answers that are larger than what is taken", bombs::run),
];

/// Takes as long as it is told to.
const SOAK: &str = "soak";

/// Too long to run with the others, so only by their names.
const LONG: &[Benchmark] = &[
    (
        "fresh-clone",
        "from a fresh clone and an empty target folder to the first SQL rows",
        fresh_clone::run,
    ),
    (
        "waits",
        "10,000 statements waited for at once: memory, computing time, who is looked at when",
        waits::run,
    ),
    ("kills", "the program killed 20 times at each point of its work", journal::kills),
    ("damage", "20,000 components with one bit flipped, loaded and called", hostile::damage),
];

/// Benchmarks of the connector and its harness.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which one; all but the long ones when absent; `list` names them.
    name: Option<String>,
    /// How long `soak` goes on.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Runs a program and prints its peak memory in KiB, for the benchmarks themselves.
    #[arg(long, num_args = 1.., hide = true, allow_hyphen_values = true)]
    peak_of: Option<Vec<String>>,
    /// Runs a connector that claims to have a large result, for the benchmarks themselves.
    #[arg(long, hide = true)]
    claim: Option<String>,
    /// Runs so many workspaces that answer for statements, for the benchmarks themselves.
    #[arg(long, hide = true)]
    statements: Option<usize>,
    /// Does nothing and ends, for the benchmarks themselves.
    #[arg(long, hide = true)]
    nothing: bool,
}

fn main() -> Result<()> {
    // Before anything else, so that doing nothing takes no time.
    if std::env::args().nth(1).as_deref() == Some("--nothing") {
        return Ok(());
    }
    let arguments = Arguments::parse();
    if let Some(command) = arguments.peak_of {
        return child::print_peak_of(&command);
    }
    if let Some(what) = arguments.claim {
        return hostile::claim(&what);
    }
    if let Some(workspaces) = arguments.statements {
        return statements::serve(workspaces);
    }
    match arguments.name.as_deref() {
        None => ALL.iter().try_for_each(|(_, _, run)| run()),
        Some("list") => {
            list();
            Ok(())
        }
        Some(SOAK) => soak::run(arguments.seconds),
        Some(name) => match ALL.iter().chain(LONG).find(|(known, _, _)| *known == name) {
            Some((_, _, run)) => run(),
            None => bail!("there is no benchmark {name}; `list` names them"),
        },
    }
}

#[expect(clippy::print_stdout, reason = "it was asked for")]
fn list() {
    for (name, what, _) in ALL.iter().chain(LONG) {
        println!("{name:<12} {what}");
    }
    println!("{SOAK:<12} what is left over after many calls of which most go wrong (--seconds)");
}
