//! The command `harness` as a process among others: signals, closed pipes, scarce resources, odd surroundings.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use local_workspace::{Options, RUNNING_CLUSTER, RUNNING_WAREHOUSE};

use crate::command_line::{Shell, text};

/// A statement that runs for long, and what the harness says about it.
struct Running {
    shell: Shell,
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Running {
    fn start() -> Self {
        let delay = Duration::from_secs(600);
        let shell = Shell::with(Options { statement_delay: delay, ..Options::default() });
        let warehouse = format!("warehouseId={RUNNING_WAREHOUSE}");
        let sql = "sqlStatement=SELECT 1";
        let mut child = shell
            .command(&["run", "runSql", "-c", "local", "--set", &warehouse, "--set", sql])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { shell, child, said };
        running.hears("RUNNING");
        running
    }

    /// Reads lines until one has these words.
    fn hears(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended without {words}");
        }
        line
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// The exit code, and what was said until then.
    fn end(mut self) -> (Option<i32>, String, Shell) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest, self.shell)
    }

    fn cancels(shell: &Shell) -> usize {
        shell.workspace.requests().iter().filter(|r| r.path.ends_with("/cancel")).count()
    }
}

/// I1: SIGTERM leaves the statement running, and names it.
#[test]
fn termination_names_what_goes_on() {
    let running = Running::start();
    running.signal("-TERM");
    let (code, said, shell) = running.end();
    assert_eq!(code, Some(143), "{said}");
    assert!(said.contains("this goes on remotely: {\"statement_id\":\""), "{said}");
    assert_eq!(Running::cancels(&shell), 0);
    // All of it is in the journal, for whoever goes on.
    let id = said.trim_end().rsplit_once("harness resume ").unwrap().1;
    let jobs = shell.json(&["jobs", "--json"]);
    assert_eq!((&jobs[0]["id"], &jobs[0]["state"]), (&id.into(), &"interrupted".into()), "{jobs}");
    assert!(jobs[0]["handle"]["statement_id"].is_string(), "{jobs}");
}

/// I3: the second Ctrl-C leaves at once, while the first one still waits for Databricks.
#[test]
fn a_second_interrupt_leaves_at_once() {
    let mut running = Running::start();
    let stall = local_workspace::FaultAction::Stall;
    let cancel = local_workspace::Fault::always("POST", "*/cancel", stall);
    running.shell.workspace.fault(cancel);
    running.signal("-INT");
    running.hears("press Ctrl-C again");
    running.signal("-INT");
    let (code, said, shell) = running.end();
    assert_eq!(code, Some(130), "{said}");
    let jobs = shell.json(&["jobs", "--json"]);
    assert_eq!(jobs[0]["state"], "interrupted", "{jobs}");
    assert!(
        said.contains(&format!("harness resume {}", jobs[0]["id"].as_str().unwrap())),
        "{said}"
    );
}

/// H18: what a deadline does to the statement is a choice; it goes on unless it is to be stopped.
#[test]
fn a_deadline_leaves_the_statement_or_stops_it() {
    let delay = Duration::from_secs(600);
    let shell = Shell::with(Options { statement_delay: delay, ..Options::default() });
    let warehouse = format!("warehouseId={RUNNING_WAREHOUSE}");
    let sql = "sqlStatement=SELECT 1";
    let run = |choice: &[&str]| {
        let run = ["run", "runSql", "-c", "local", "--timeout", "1", "--set", &warehouse];
        shell.fails(11, &[&run, &["--set", sql][..], choice].concat())
    };
    let error = run(&[]);
    assert!(error.contains("what it started still runs"), "{error}");
    assert_eq!(Running::cancels(&shell), 0);
    let error = run(&["--on-timeout", "cancel"]);
    assert!(error.contains("the remote work was stopped"), "{error}");
    assert_eq!(Running::cancels(&shell), 1);
}

/// I6: a reader that has seen enough is no error, and nothing panics.
#[test]
fn a_closed_pipe_is_no_error() {
    let shell = Shell::new();
    let mut child = shell
        .command(&["run", "listClusters", "-c", "local"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

/// I7: a connections file with a mistake names the place, and never a value.
#[test]
fn a_faulty_connections_file_names_the_place() {
    let shell = Shell::new();
    let file = shell.folder.path().join("connections.toml");
    for (content, place) in [
        ("[local]\ntype = \"personalAccessToken\"\napiKey = \"dapi-canary\n", "line 3"),
        ("[local]\ntype = \"personalAccessToken\"\nhots = \"dapi-canary\"\n", "hots"),
        ("[settings.limits]\nmemory = 5\n", "memory"),
    ] {
        std::fs::write(&file, content).unwrap();
        let said = shell.fails(4, &["run", "listClusters", "-c", "local"]);
        assert!(said.contains(place), "{said}");
    }
}

/// Runs Get Cluster under a shell that sets limits first.
fn under(shell: &Shell, limits: &str) -> (Option<i32>, String, String) {
    let set = format!("clusterId={RUNNING_CLUSTER}");
    let command = shell.command(&["run", "getCluster", "-c", "local", "--set", &set]);
    let script = format!("{limits}; exec \"$0\" \"$@\"");
    let output = shell.within(&["sh", "-c", &script], &command);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// I8: few file descriptors and little address space are enough, or are a clear error; nothing aborts.
#[test]
fn scarce_resources_do_not_abort() {
    let shell = Shell::new();
    for limits in ["ulimit -n 64", "ulimit -v 4194304", "ulimit -v 1048576"] {
        let (code, result, said) = under(&shell, limits);
        assert_eq!(code, Some(0), "{limits}: {said}");
        assert!(result.contains(RUNNING_CLUSTER), "{limits}: {result}");
    }
    for limits in ["ulimit -n 8", "ulimit -v 60000"] {
        let (code, _, said) = under(&shell, limits);
        assert!(code.is_some_and(|code| code != 101), "{limits}: {code:?} {said}");
        assert!(!said.contains("panicked"), "{limits}: {said}");
    }
}

/// I12: odd languages, time zones and arguments that are not text.
#[test]
fn odd_surroundings_are_survived() {
    let shell = Shell::new();
    let set = format!("clusterId={RUNNING_CLUSTER}");
    let output = shell
        .command(&["run", "getCluster", "-c", "local", "--set", &set])
        .envs([("LANG", "xx_XX.KOI8-R"), ("LC_ALL", "tr_TR"), ("TZ", "Mars/Olympus")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let odd = std::ffi::OsStr::from_bytes(b"get\xffCluster");
    for (before, code) in [(&["run"][..], 2), (&["--component"][..], 20)] {
        let mut command = Command::new(connector_tests::harness_binary());
        let output = command.args(before).arg(odd).args(["actions"]).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("error:") && !said.contains("panicked"), "{said}");
    }
}
