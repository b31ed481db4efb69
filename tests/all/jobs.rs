//! Jobs: actions in the background, found again, gone on with, cancelled, and what is left when there is no room for them.

use std::process::Stdio;
use std::time::Duration;

use local_workspace::{Effect, Options, RUNNING_WAREHOUSE};
use serde_json::{Value as Json, json};

use crate::command_line::{Shell, text};

fn sql(statement: &str) -> String {
    json!({ "warehouseId": RUNNING_WAREHOUSE, "sqlStatement": statement }).to_string()
}

/// A workspace whose statements take this long.
fn slow(delay: Duration) -> Shell {
    Shell::with(Options { statement_delay: delay, ..Options::default() })
}

const FOREVER: Duration = Duration::from_secs(600);

impl Shell {
    /// Starts a statement in the background.
    fn detach(&self, statement: &str) -> Json {
        let input = sql(statement);
        self.json(&["run", "runSql", "-c", "local", "-i", &input, "--detach", "--output", "json"])
    }

    fn state(&self, id: &str) -> String {
        let jobs = self.json(&["jobs", "--all", "--json"]);
        let job = jobs.as_array().unwrap().iter().find(|job| job["id"] == id).unwrap().clone();
        job["state"].as_str().unwrap().to_owned()
    }

    /// Starts a statement, and kills its process when it knows what it started. Gives its id.
    fn interrupted(&self, statement: &str) -> String {
        self.interrupted_with(statement, &[])
    }

    fn interrupted_with(&self, statement: &str, more: &[&str]) -> String {
        let before = self.json(&["jobs", "--json"]);
        let before = before.as_array().unwrap();
        let is_new = |job: &&Json| !before.iter().any(|old| old["id"] == job["id"]);
        let mut child = self
            .command(&["run", "runSql", "-c", "local", "-i", &sql(statement)])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let id = loop {
            let jobs = self.json(&["jobs", "--json"]);
            let mut new = jobs.as_array().unwrap().iter().filter(is_new);
            if let Some(job) = new.find(|job| !job["handle"].is_null()) {
                break job["id"].as_str().unwrap().to_owned();
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        id
    }
}

/// A job in the background goes on without the program that started it, and its result is had by its id.
#[test]
fn a_job_runs_in_the_background() {
    let shell = slow(Duration::from_millis(300));
    let job = shell.detach("SELECT 7 AS seven");
    let id = job["id"].as_str().unwrap();
    assert!(job["handle"]["statement_id"].is_string(), "{job}");
    for _ in 0..2 {
        let result = shell.json(&["resume", &id[..8], "--output", "json"]);
        assert_eq!(result["rows"], json!([{ "seven": 7 }]));
    }
    assert_eq!(shell.state(id), "done");
    assert_eq!(shell.json(&["jobs", "--json"]), json!([]));
    assert_eq!(shell.workspace.effects(Effect::Statement), 1);
    let forgotten = shell.run(&["jobs", "--prune", "1ms"]);
    assert_eq!(text(&forgotten.stdout), "1 forgotten\n");
    let error = shell.fails(7, &["resume", id]);
    assert!(error.contains("the journal knows no invocation"), "{error}");
}

/// A job that fails at once is told at once.
#[test]
fn a_job_that_cannot_begin_is_told() {
    let shell = Shell::new();
    let said = shell.fails(3, &["run", "runSql", "-c", "local", "-i", "{}", "--detach"]);
    assert!(said.contains("warehouseId"), "{said}");
}

/// The same name runs once, in one process after the other and in many at a time.
#[test]
fn a_name_runs_once() {
    let shell = slow(Duration::from_millis(200));
    let input = sql("SELECT 1 AS one");
    let run = ["run", "runSql", "-c", "local", "-i", &input, "--id", "nightly", "--output", "json"];
    let start =
        || shell.command(&run).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let runs: Vec<_> = (0..3).map(|_| start()).collect();
    let mut done = 0;
    for run in runs {
        let output = run.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => {
                let result: Json = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(result["rows"], json!([{ "one": 1 }]));
                done += 1;
            }
            // It came between the other's first look and its first line.
            code => assert_eq!(code, Some(8), "{}", text(&output.stderr)),
        }
    }
    assert!(done >= 1);
    assert_eq!(shell.json(&run)["rows"], json!([{ "one": 1 }]));
    assert_eq!(shell.workspace.effects(Effect::Statement), 1);
    let other = sql("SELECT 2");
    let run = ["run", "runSql", "-c", "local", "-i", &other, "--id", "nightly"];
    assert!(shell.fails(3, &run).contains("was used for runSql with another input"));
}

/// What a crash left is mentioned by the next run, listed, and gone on with, all at once.
#[test]
fn what_a_crash_left_is_mentioned_and_taken_up() {
    let shell = slow(Duration::from_millis(400));
    let id = shell.interrupted("SELECT 5 AS five");
    assert_eq!(shell.state(&id), "interrupted");
    let output = shell.run(&["run", "runSql", "-c", "local", "-i", &sql("SELECT 1")]);
    let said = text(&output.stderr);
    assert!(
        said.contains("warning: 1 action was interrupted; go on with it: harness resume"),
        "{said}"
    );
    let output = shell.run(&["resume"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.starts_with(&id) && told.contains("done; its result"), "{told}");
    let result = shell.json(&["resume", &id, "--output", "json"]);
    assert_eq!(result["rows"], json!([{ "five": 5 }]));
    assert_eq!(shell.workspace.effects(Effect::Statement), 2);
    let output = shell.run(&["run", "runSql", "-c", "local", "-i", &sql("SELECT 1")]);
    assert!(!text(&output.stderr).contains("interrupted"), "{}", text(&output.stderr));
}

/// A result that was on its way into a file goes into one from its first row on, whatever the crash left of it.
#[test]
fn what_a_crash_left_goes_into_a_file() {
    let shell = slow(Duration::from_millis(400));
    let file = shell.folder.path().join("rows.csv");
    let file = file.to_str().unwrap();
    let id = shell.interrupted_with("SELECT id FROM range(30000)", &["-O", file]);
    assert!(shell.fails(3, &["resume", "-O", file]).contains("name the job"));
    // A result that streams is not kept, so that it is fetched each time.
    let resume = ["resume", &id, "-O", file, "--overwrite"];
    for _ in 0..2 {
        let said = shell.run(&resume);
        assert!(said.status.success(), "{}", text(&said.stderr));
        let rows = std::fs::read_to_string(file).unwrap();
        let mut rows = rows.lines();
        assert_eq!(rows.next(), Some("id"));
        assert!(rows.map(|row| row.parse::<u32>().unwrap()).eq(0..30_000));
    }
    assert!(shell.fails(20, &["resume", &id, "-O", file]).contains("exists; --overwrite"));
    assert_eq!(shell.workspace.effects(Effect::Statement), 1);
}

/// What runs in the background or was left by a crash is cancelled, and only what the workspace confirmed counts.
#[test]
fn jobs_are_cancelled() {
    let shell = slow(FOREVER);
    let living = shell.detach("SELECT 1")["id"].as_str().unwrap().to_owned();
    let left = shell.interrupted("SELECT 2");
    for (id, count) in [(&living, 1), (&left, 2)] {
        let output = shell.run(&["cancel", id]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("the remote work was stopped"));
        let cancels = shell.workspace.requests();
        let cancels = cancels.iter().filter(|request| request.path.ends_with("/cancel")).count();
        assert_eq!(cancels, count);
        assert_eq!(shell.state(id), "cancelled");
        assert!(shell.fails(8, &["cancel", id]).contains("has ended: cancelled"));
    }
    // The workspace does not let it be stopped.
    let stubborn = shell.detach("SELECT 3")["id"].as_str().unwrap().to_owned();
    let headers = vec![];
    let refused =
        local_workspace::FaultAction::Status { status: 403, headers, body: "{}".to_owned() };
    shell.workspace.fault(local_workspace::Fault::always("POST", "*/cancel", refused));
    assert!(shell.fails(14, &["cancel", &stubborn]).contains("the remote work may go on"));
    assert_eq!(shell.state(&stubborn), "failed");
    shell.workspace.clear_faults();
    assert!(shell.run(&["cancel", &stubborn]).status.success());
    assert_eq!(shell.state(&stubborn), "cancelled");
}

/// What a job logs is kept.
#[test]
fn logs_are_kept() {
    let shell = Shell::new();
    let mut input: Json = serde_json::from_str(&sql("SELECT 1")).unwrap();
    input["debug"] = true.into();
    let run = ["run", "runSql", "-c", "local", "-i", &input.to_string(), "--id", "logged"];
    assert!(shell.run(&run).status.success());
    let logs = text(&shell.run(&["logs", "logged", "-f"]).stdout);
    assert!(logs.lines().count() >= 2 && logs.contains("/api/2.0/sql/statements"), "{logs}");
}

/// Runs a statement under a shell that limits the size of files first, in units of 512 bytes.
fn under(shell: &Shell, blocks: u32, arguments: &[&str]) -> (Option<i32>, String, String) {
    let command = shell.command(arguments);
    // A write beyond the limit is then an error, like one to a full disk, and not a signal.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let output = shell.within(&["sh", "-c", &script], &command);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// I4: where the intent cannot be written down, nothing is submitted, and the journal is as good as before.
#[test]
fn without_room_for_the_intent_nothing_is_submitted() {
    let shell = Shell::new();
    // Fills the journal beyond what files may have; less than this, and nothing of the harness works at all.
    let large = shell.folder.path().join("large.json");
    std::fs::write(&large, sql(&format!("SELECT 1 /* {} */", "x".repeat(1_500_000)))).unwrap();
    let large = format!("@{}", large.display());
    assert!(shell.run(&["run", "runSql", "-c", "local", "-i", &large]).status.success());
    let input = sql("SELECT 1 AS one");
    let run = ["run", "runSql", "-c", "local", "-i", &input];
    let (code, result, said) = under(&shell, 2048, &run);
    assert_eq!((code, result.as_str()), (Some(20), ""), "{said}");
    let journal = shell.folder.path().join("journal");
    assert!(said.contains(&journal.display().to_string()) && said.contains("not sent"), "{said}");
    assert_eq!(shell.workspace.effects(Effect::Statement), 1);
    assert!(shell.run(&run).status.success());
    assert_eq!(shell.json(&["jobs", "--all", "--json"]).as_array().unwrap().len(), 2);
}

/// I4: a result that there is no room to keep is still printed, no half of it is left, and it can be fetched again.
#[test]
fn without_room_for_the_result_it_can_be_fetched_again() {
    let shell = Shell::new();
    let input = sql("SELECT id, repeat('x', 400) AS x FROM range(4000)");
    let run = ["run", "runSql", "-c", "local", "-i", &input, "--id", "large", "--output", "json"];
    let (code, result, said) = under(&shell, 2048, &run);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the result cannot be kept in"), "{said}");
    let folder = std::fs::read_dir(shell.folder.path().join("journal")).unwrap();
    for file in folder.map(|entry| entry.unwrap().path()) {
        let name = file.display().to_string();
        assert!(!name.ends_with(".result") && !name.ends_with(".unfinished"), "{name}");
    }
    let again = shell.run(&["resume", "large", "--output", "json"]);
    assert_eq!(text(&again.stdout), result);
    assert_eq!(shell.workspace.effects(Effect::Statement), 1);
}

/// I10: a damaged journal is refused in one line, before anything is sent.
#[test]
fn a_damaged_journal_is_one_line() {
    let shell = Shell::new();
    let input = sql("SELECT 1");
    let run = ["run", "runSql", "-c", "local", "-i", &input];
    assert!(shell.run(&run).status.success());
    let log = shell.folder.path().join("journal/journal.db-wal");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..whole.len() / 2]).unwrap();
    for arguments in [&run[..], &["jobs"], &["resume"]] {
        let said = shell.fails(20, arguments);
        assert!(said.contains("is damaged (its last changes are missing)"), "{said}");
        assert!(said.lines().count() == 1 && said.chars().count() < 320, "{said}");
    }
    assert_eq!(shell.workspace.effects(Effect::Statement), 1);
    // What only reads does not need it.
    assert!(shell.run(&["run", "listClusters", "-c", "local"]).status.success());
}
