//! How many mistakes the tests of the host's policy find: each of `tests/mutants.tsv` is made in a copy of the tree, alone,
//! and the tests of host-harness have to fail on it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::{cargo, root, run, target_dir, tree};

/// Tests that look at a rule from outside, for mistakes that no unit test finds.
const WHOLE: &[&str] = &[
    "attacks",
    "dialing",
    "egress",
    "links",
    "retries",
    "rotation",
    "rules",
    "tokens",
    "transport",
];

/// They are built for each mistake, which takes longer than they run.
const SOON_BUILT: &[&str] = &[
    "--config=profile.release.package.host-harness.opt-level=0",
    "--config=profile.release.package.connector-tests.opt-level=0",
];

/// What is allowed to tests that usually take seconds: a mistake may make one wait for ever.
const LONGEST: Duration = Duration::from_secs(240);

/// A mistake: in a file, one text that stands there once is replaced by another.
#[derive(Debug)]
struct Mutant {
    file: String,
    from: String,
    to: String,
}

/// Makes all of them, or those in files whose path holds a text, one after the other, and says which were not found.
#[expect(clippy::print_stderr, reason = "a chore talks to the person who runs it")]
pub(crate) fn measure(within: &str) -> Result<String> {
    let mut mutants = read(&root())?;
    mutants.retain(|mutant| mutant.file.contains(within));
    ensure!(!mutants.is_empty(), "no file of mutants.tsv has {within:?} in its path");
    let copy = Copy::new()?;
    ensure!(copy.fails()?.is_none(), "the tests fail without any mistake");
    let (mut found, mut others) = (0, Vec::new());
    for (number, mutant) in mutants.iter().enumerate() {
        let verdict = copy.with(mutant)?;
        eprintln!("{:>3} of {}: {verdict}: {mutant}", number + 1, mutants.len());
        if verdict.starts_with("found") {
            found += 1;
        } else {
            others.push(format!("{verdict}: {mutant}"));
        }
    }
    let percent = f64::from(found) / mutants.len() as f64 * 100.0;
    let figure = format!("{found} of {} seeded mistakes found, {percent:.1} %", mutants.len());
    Ok([vec![figure], others].concat().join("\n"))
}

/// The list, every line of which must still mean one place in its file.
fn read(root: &Path) -> Result<Vec<Mutant>> {
    let path = root.join("tests/mutants.tsv");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| Mutant::read(root, line)).collect()
}

impl Mutant {
    fn read(root: &Path, line: &str) -> Result<Self> {
        let [file, from, to] = line.split('\t').collect::<Vec<_>>()[..] else {
            bail!("a line of mutants.tsv has other than three columns: {line}");
        };
        let [file, from, to] = [file, from, to].map(str::to_owned);
        let source = std::fs::read_to_string(root.join(&file))
            .with_context(|| format!("mutants.tsv names {file}"))?;
        let count = source.matches(&from).count();
        ensure!(count == 1, "{file} has {from:?} {count} times where mutants.tsv needs it once");
        Ok(Self { file, from, to })
    }
}

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, from, to } = self;
        write!(f, "{file}: {} -> {}", from.trim(), to.trim())
    }
}

/// A copy of the tree to make mistakes in; gone when it is dropped.
struct Copy {
    tree: PathBuf,
}

impl Copy {
    fn new() -> Result<Self> {
        let tree = target_dir().join("mutants");
        if tree.exists() {
            std::fs::remove_dir_all(&tree)?;
        }
        tree::copy(&root(), &tree)?;
        Ok(Self { tree })
    }

    /// What becomes of a mistake.
    fn with(&self, mutant: &Mutant) -> Result<String> {
        let file = self.tree.join(&mutant.file);
        let source = std::fs::read_to_string(&file)?;
        std::fs::write(&file, source.replacen(&mutant.from, &mutant.to, 1))?;
        let verdict = if !self.command("--lib", &[]).arg("--no-run").status()?.success() {
            "DOES NOT COMPILE".to_owned()
        } else if let Some(tests) = self.fails()? {
            format!("found by {tests}")
        } else {
            "MISSED".to_owned()
        };
        std::fs::write(&file, source)?;
        Ok(verdict)
    }

    /// Which tests do not pass.
    fn fails(&self) -> Result<Option<&'static str>> {
        if !self.passes("--lib", &[])? {
            return Ok(Some("its unit tests"));
        }
        Ok((!self.passes("--test=all", WHOLE)?).then_some("tests from outside"))
    }

    /// Whether the tests pass, and in time.
    fn passes(&self, which: &str, names: &[&str]) -> Result<bool> {
        let mut tests =
            self.command(which, names).process_group(0).spawn().context("could not start cargo")?;
        let until = Instant::now() + LONGEST;
        while Instant::now() < until {
            if let Some(status) = tests.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // With the test program that cargo waits for.
        run(Command::new("kill").args(["-KILL", "--", &format!("-{}", tests.id())]))?;
        tests.wait()?;
        Ok(false)
    }

    fn command(&self, which: &str, names: &[&str]) -> Command {
        let mut command = cargo();
        command
            .current_dir(&self.tree)
            .args(["test", "--release", "--locked", "--quiet", "--package", "host-harness", which])
            .args(SOON_BUILT)
            .env("CARGO_TARGET_DIR", target_dir())
            .env("CARGO_INCREMENTAL", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if !names.is_empty() {
            command.arg("--").args(names);
        }
        command
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // It lies in the target folder, where it harms nobody when it cannot be removed.
        let _ = std::fs::remove_dir_all(&self.tree);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// M25: every seeded mistake still names one place of the code, and there are at least 60.
    #[test]
    fn the_seeded_mistakes_fit_the_code() {
        let mutants = read(&root()).unwrap();
        assert!(mutants.len() >= 60, "{}", mutants.len());
        assert!(mutants.iter().all(|mutant| mutant.from != mutant.to));
    }
}
