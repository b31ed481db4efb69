//! What we want to be best at: each goal with its bar, the best rival's figure and ours.
//!
//! The rivals' figures were measured on loopback with databricks-sdk-py 0.156.0, the Airflow provider 7.23.0 and Prismatic
//! spectral 10.31.1, unless they follow from a published default.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use xtask::faults::Register;
use xtask::{output_of, root, unchecked};

use crate::{benchmarks, mutants, reproduce};

/// A goal: its number, what is measured, the bar, and the best rival.
type Goal = (&'static str, &'static str, &'static str, &'static str);

/// Where figures come from.
enum Source {
    /// The benchmark of this name prints them.
    Benchmark(&'static str),
    /// Tests hold them, of these rows of the register of faults.
    Tests(&'static [&'static str]),
    /// They are counted here.
    Count(fn(&Register) -> Result<String>),
}

/// In the order in which they are shown; a benchmark runs once for all its goals.
const ALL: &[(Source, &[Goal])] = &[
    (
        Source::Tests(&["A7", "A8", "A9", "B16", "H20", "H22"]),
        &[(
            "M1",
            "effects that happen twice when an answer is lost",
            "0",
            "all three: one more per lost answer to a statement",
        )],
    ),
    (
        Source::Benchmark("kills"),
        &[(
            "M2",
            "work that is lost when the program is killed at any of its points",
            "0",
            "Airflow: a retry submits once more",
        )],
    ),
    (
        Source::Count(|register| Ok(register.counts().to_string())),
        &[(
            "M3",
            "faults of the register that a test proves",
            "at least 180 of 187",
            "databricks-sdk-go: about 30 tests of its HTTP client",
        )],
    ),
    (
        Source::Tests(&["C1", "D19", "J1", "J2", "J3", "J4", "J5", "J6", "J10", "J11"]),
        &[(
            "M4",
            "credentials found in any output, in any encoding",
            "0",
            "spectral prints the token; databricks-sdk-py prints 3 of 4 keys that hold secrets",
        )],
    ),
    (
        Source::Tests(&[
            "D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10", "D11", "D17", "D20",
            "D21", "D24", "D25",
        ]),
        &[(
            "M5",
            "bytes sent to a host that is not the connection's",
            "0",
            "spectral sends the token to any host of a full URL",
        )],
    ),
    (
        Source::Benchmark("retries"),
        &[
            (
                "M6",
                "requests sent earlier than Retry-After allows",
                "0",
                "databricks-sdk-py ignores dates, the Airflow provider ignores all forms",
            ),
            (
                "M14",
                "attempts per call while everything fails",
                "at most 1.11",
                "the Airflow provider: 3",
            ),
            (
                "M15",
                "reads that succeed while 30 % of the answers fail",
                "at least 99.5 %",
                "97.3 % with three tries",
            ),
        ],
    ),
    (
        Source::Benchmark("deadlines"),
        &[(
            "M7",
            "overrun of deadlines over stalls and drips",
            "at most 0.5 s",
            "databricks-sdk-py: 17 s over a limit of 2 s, and no limit at token endpoints",
        )],
    ),
    (
        Source::Benchmark("tokens"),
        &[
            (
                "M8",
                "token requests of 100 and of 1,000 calls at once",
                "1",
                "databricks-sdk-py: 1, the Airflow provider: 74 of 100",
            ),
            (
                "M24",
                "time to the first useful error",
                "a round trip and 100 ms",
                "databricks-sql-python: 10 minutes on a wrong token",
            ),
        ],
    ),
    (
        Source::Tests(&["C18"]),
        &[("M9", "calls that fail while a secret is rotated", "0", "none known")],
    ),
    (
        Source::Tests(&["C4", "C5"]),
        &[(
            "M10",
            "polls that fail in a day with tokens of an hour",
            "0",
            "the official command line fails after an hour",
        )],
    ),
    (
        Source::Benchmark("bombs"),
        &[(
            "M11",
            "memory for a compressed bomb, for 10 GiB of body, for 1 GiB of result",
            "64, 64 and 128 MiB",
            "all three: 0.9 GB more for a bomb of 306 KB",
        )],
    ),
    (
        Source::Benchmark("hostile"),
        &[(
            "M12",
            "a loop without end is stopped, and its neighbours",
            "0.5 s after the limit, at most 2 times slower",
            "none: nothing isolates an action",
        )],
    ),
    (
        Source::Tests(&[
            "E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9", "E10", "E11", "E12", "E13",
            "E14", "E15", "E16", "E17", "E18", "E20", "F3", "F4", "F5", "F6", "F7", "F8", "F9",
            "F10", "F11", "F12",
        ]),
        &[(
            "M23",
            "hostile components in the tests",
            "at least 30",
            "Spin and Wassette: unit tests of their policies",
        )],
    ),
    (
        Source::Tests(&["E5", "E8", "E20", "F3", "G7", "G16"]),
        &[(
            "M13",
            "panics and aborts of the host on hostile inputs, components and files",
            "0",
            "none known",
        )],
    ),
    (
        Source::Tests(&["G3", "G4"]),
        &[(
            "M16",
            "numbers that keep every digit",
            "100 %",
            "spectral changes whole numbers above 2^53",
        )],
    ),
    (
        Source::Tests(&["A16", "B8", "B9", "B10", "H5", "H6"]),
        &[(
            "M17",
            "parts of data taken for all of it",
            "0",
            "spectral returns truncated JSON as a success",
        )],
    ),
    (
        Source::Tests(&["A14", "B17", "E5", "G1"]),
        &[(
            "M18",
            "errors of one line that say what to do",
            "99 %",
            "both Python clients: JSONDecodeError for a login page",
        )],
    ),
    (
        Source::Count(|_| Ok(format!("the same digest twice: {}", reproduce::check()?))),
        &[("M19", "the component built twice in different places", "the same file", "none known")],
    ),
    (
        Source::Benchmark("get-cluster"),
        &[("M20", "what a call costs over a bare request", "2 ms", "none known")],
    ),
    (
        Source::Count(|_| foreign_code()),
        &[(
            "M21",
            "unsafe code of ours outside the allowed files, dependencies out of git",
            "0 and 0",
            "wasmtime: reviewed dependencies",
        )],
    ),
    (
        Source::Benchmark("soak"),
        &[(
            "M22",
            "memory and descriptors over minutes of mixed faults",
            "less than 1 MiB, and 0",
            "none known",
        )],
    ),
    (
        Source::Count(|_| mutants::measure("")),
        &[("M25", "seeded mistakes in the policy that the tests find", "95 %", "none known")],
    ),
];

/// Measures and prints all of them.
#[expect(clippy::print_stdout, reason = "it was asked for")]
pub(crate) fn show() -> Result<()> {
    let register = Register::read(&root())?;
    let benchmarks = benchmarks()?;
    let there = output_of(benchmarks().arg("list"))?;
    let there: BTreeSet<&str> =
        there.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for (source, goals) in ALL {
        for (number, what, bar, rival) in *goals {
            println!("{number:<4} {what}\n     goal: {bar}\n     best rival: {rival}");
        }
        let figures = match *source {
            Source::Benchmark(name) if there.contains(name) => output_of(benchmarks().arg(name))
                .with_context(|| format!("the benchmark {name}"))?,
            Source::Tests(rows) => by_tests(&register, goals, rows),
            Source::Count(count) => count(&register)?,
            Source::Benchmark(_) => "not measured".to_owned(),
        };
        println!("     ours: {}\n", figures.trim().replace('\n', "\n           "));
    }
    Ok(())
}

/// How many tests hold some goals or their rows; that they pass is for `cargo xtask test` to say.
fn by_tests(register: &Register, goals: &[Goal], rows: &[&str]) -> String {
    let named =
        |id: &String| rows.contains(&id.as_str()) || goals.iter().any(|(number, ..)| number == id);
    let tests = register.proofs.iter().filter(|proof| proof.ids.iter().any(named)).count();
    let proven = register.proven();
    let open: Vec<&str> = rows.iter().copied().filter(|row| !proven.contains_key(row)).collect();
    match open.as_slice() {
        [] => format!("held by {tests} tests"),
        open => format!("held by {tests} tests, none of them for {}", open.join(", ")),
    }
}

/// Unsafe code and dependencies that no registry has.
fn foreign_code() -> Result<String> {
    let places = unchecked::stray(&root())?.len();
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let git = lock.lines().filter(|line| line.starts_with("source = \"git+")).count();
    Ok(format!("{places} and {git}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> Vec<&'static str> {
        ALL.iter().flat_map(|(_, goals)| goals.iter().map(|(number, ..)| *number)).collect()
    }

    #[test]
    fn every_goal_is_there_once() {
        let mut found = numbers();
        found.sort_by_key(|number| number.trim_start_matches('M').parse::<u32>().unwrap());
        let wanted: Vec<String> = (1..=25).map(|n| format!("M{n}")).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_the_goals_stand_on_is_there() {
        let register = Register::read(&root()).unwrap();
        let rows = ALL.iter().filter_map(|(source, _)| match source {
            Source::Tests(rows) => Some(*rows),
            _ => None,
        });
        for id in rows.flatten() {
            assert!(register.rows.iter().any(|row| row.id == *id), "there is no row {id}");
        }
        let claimed = register.proofs.iter().flat_map(|proof| &proof.ids);
        for goal in claimed.filter(|id| id.starts_with('M')) {
            assert!(numbers().contains(&goal.as_str()), "there is no goal {goal}");
        }
    }
}
