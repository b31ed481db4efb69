//! `harness run --output-file`: a result that streams into a file is there whole, or not at all.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use local_workspace::{Fault, FaultAction, Options, RUNNING_WAREHOUSE};

use crate::command_line::{Shell, text};

/// Runs a statement into a file, and looks at what is left in the file's folder.
struct Rig {
    shell: Shell,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self::with(Options { chunk_rows: 1000, ..Options::default() })
    }

    fn with(options: Options) -> Self {
        Self { shell: Shell::with(options), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `harness run runSql` with a result of some rows, into `path`.
    fn command(&self, rows: u32, path: &Path, more: &[&str]) -> Command {
        let warehouse = format!("warehouseId={RUNNING_WAREHOUSE}");
        let sql = format!("sqlStatement=SELECT id, repeat('x', 20) AS text FROM range({rows})");
        let mut arguments =
            vec!["run", "runSql", "-c", "local", "--set", &warehouse, "--set", &sql];
        arguments.extend_from_slice(more);
        let mut command = self.shell.command(&arguments);
        command.arg("--output-file").arg(path);
        command
    }

    fn run(&self, rows: u32, path: &Path, more: &[&str]) -> Output {
        self.command(rows, path, more).output().unwrap()
    }

    /// The error line of a run that fails with this code. Nothing went to standard output.
    fn fails(&self, code: i32, rows: u32, path: &Path, more: &[&str]) -> String {
        let output = self.run(rows, path, more);
        assert!(output.stdout.is_empty());
        error(code, &output)
    }

    /// The names in the file's folder.
    fn left(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn error(code: i32, output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let message = said.lines().find(|line| line.starts_with("error:")).unwrap();
    assert!(message.len() <= 307, "{message}");
    said
}

fn rows(path: &Path) -> usize {
    let file = std::fs::read(path).unwrap();
    let result: serde_json::Value = serde_json::from_slice(&file).unwrap();
    result["rows"].as_array().unwrap().len()
}

#[test]
fn a_result_is_in_its_file_and_nowhere_else() {
    let rig = Rig::new();
    let path = rig.path("rows.json");
    let output = rig.run(5000, &path, &[]);
    let said = text(&output.stderr);
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    assert_eq!(rows(&path), 5000);
    let size = indicatif_bytes(std::fs::metadata(&path).unwrap().len());
    assert!(said.contains(&format!("{}: ", path.display())) && said.contains(&size), "{said}");
    assert_eq!(rig.left(), ["rows.json"]);
    let quiet = rig.run(1, &rig.path("quiet.json"), &["--quiet"]);
    assert_eq!((quiet.status.code(), text(&quiet.stderr)), (Some(0), String::new()));
}

/// An answer that is too large to be kept says where it may be as large as it is.
#[test]
fn a_download_is_of_any_size() {
    const SIZE: usize = 70_000_000;
    let rig = Rig::new();
    let url = format!("url=/2.0/local/bytes?size={SIZE}");
    let arguments = ["run", "rawRequest", "-c", "local", "--set", "method=GET", "--set", &url];
    let printed = rig.shell.command(&arguments).output().unwrap();
    let said = error(15, &printed);
    assert!(said.contains("hint: `--output-file FILE` takes results that are larger"), "{said}");
    assert!(printed.stdout.is_empty());
    let path = rig.path("bytes.json");
    let output = rig.shell.command(&arguments).arg("-O").arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let file = std::fs::read(&path).unwrap();
    assert!(file.len() == SIZE && file.starts_with(b"[{") && file.ends_with(b"]"));
}

/// Like `317.90 kB`, by the digits before the unit.
fn indicatif_bytes(bytes: u64) -> String {
    assert!((1000..1_000_000).contains(&bytes), "{bytes}");
    format!("{}.{:02} kB", bytes / 1000, (bytes % 1000 + 5) / 10)
}

#[test]
fn a_cut_result_says_so() {
    let rig = Rig::new();
    let output = rig.run(5000, &rig.path("rows.json"), &["--set", "maxRows:=10"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("warning: the result was cut: "), "{said}");
    assert_eq!(rows(&rig.path("rows.json")), 10);
}

/// I5: what cannot be written to is told before anything is sent, and nothing is followed or replaced unasked.
#[test]
fn bad_paths_are_told_before_anything_is_sent() {
    let rig = Rig::new();
    let other = rig.path("other.json");
    std::fs::write(&other, "kept").unwrap();
    std::os::unix::fs::symlink(&other, rig.path("link.json")).unwrap();
    std::os::unix::fs::symlink(rig.path("nowhere"), rig.path("dangling.json")).unwrap();
    // Where not even root may make a file.
    let forbidden = Path::new("/sys/kernel/rows.json");
    let folder = rig.folder.path();
    for (path, flags, why) in [
        (&*other, &[][..], "exists; --overwrite replaces it"),
        (&rig.path("link.json"), &["--overwrite"], "is a symbolic link, which is not followed"),
        (&rig.path("dangling.json"), &["--overwrite"], "is a symbolic link, which is not followed"),
        (folder, &["--overwrite"], "is a folder"),
        (&folder.join("x/.."), &[], "is a folder"),
        (&folder.join("new/"), &[], "is a folder"),
        (&folder.join("none/rows.json"), &[], "there is no folder"),
        (&other.join("rows.json"), &[], "Not a directory"),
        (Path::new("/dev/null"), &["--overwrite"], "is no regular file"),
        (forbidden, &[], "cannot be written"),
    ] {
        let said = rig.fails(20, 5, path, flags);
        assert!(said.contains(why), "{}: {said}", path.display());
    }
    assert!(rig.shell.workspace.requests().is_empty());
    assert_eq!(std::fs::read(&other).unwrap(), b"kept");
    assert_eq!(rig.left(), ["dangling.json", "link.json", "other.json"]);
}

/// I5: a file that is to be replaced is the old one until the new one is whole.
#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    let rig = Rig::new();
    let path = rig.path("rows.json");
    std::fs::write(&path, "old").unwrap();
    let status = FaultAction::Status { status: 403, headers: Vec::new(), body: "{}".to_owned() };
    rig.shell.workspace.fault(Fault::always("GET", "*/result/chunks/3", status));
    rig.fails(6, 5000, &path, &["--overwrite"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(rig.left(), ["rows.json"]);
    rig.shell.workspace.clear_faults();
    assert!(rig.run(5000, &path, &["--overwrite"]).status.success());
    assert_eq!(rows(&path), 5000);
}

/// I4: a file that may not grow any more is an error that names it and what ran; nothing is left of it.
#[test]
fn a_file_that_may_not_grow_is_not_saved() {
    let rig = Rig::with(Options::default());
    let path = rig.path("rows.json");
    // Compiled code is kept in files too, so these are made first; what runs it needs some megabytes.
    assert!(rig.run(1, &rig.path("warm.json"), &[]).status.success());
    let command = rig.command(250_000, &path, &[]);
    let output = rig.shell.within(&["sh", "-c", "ulimit -f 16384; exec \"$0\" \"$@\""], &command);
    let said = error(20, &output);
    assert!(
        said.contains(&format!("{} is larger than files may be here", path.display())),
        "{said}"
    );
    assert!(said.contains("the result was not saved"), "{said}");
    assert!(said.contains("may be fetched again") && said.contains("statement_id"), "{said}");
    assert_eq!(rig.left(), ["warm.json"]);
}

/// I4: a full disk is an error that names the file and what ran; nothing is left on it. On a file system of 64 KiB, where
/// this process may mount one.
#[test]
fn a_full_disk_does_not_keep_half_a_file() {
    let rig = Rig::new();
    assert!(rig.run(1, &rig.path("warm.json"), &[]).status.success());
    let disk = rig.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size=64k none {}", disk.display());
    let may_mount = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        return;
    }
    let path = disk.join("rows.json");
    let script = format!("{mount} && \"$0\" \"$@\"; code=$?; ls -A {}; exit $code", disk.display());
    let command = rig.command(5000, &path, &[]);
    let output = rig.shell.within(&["unshare", "-rm", "sh", "-c", &script], &command);
    let said = error(20, &output);
    let message = format!("no space left on {}; the result was not saved", path.display());
    assert!(said.contains(&message), "{said}");
    assert!(said.contains("may be fetched again") && said.contains("statement_id"), "{said}");
    assert_eq!(text(&output.stdout), "");
}

/// I5: whatever ends the program, it leaves no half file; only SIGKILL leaves the part that was hidden.
#[test]
fn signals_leave_nothing_behind() {
    let chunk = "*/result/chunks/2";
    for (signals, code) in [(&["-INT"][..], 130), (&["-INT", "-INT"], 130), (&["-TERM"], 143)] {
        let rig = Rig::new();
        // The file has begun when it stalls, and so does the cancelling.
        for (method, path) in [("GET", chunk), ("POST", "*/cancel")] {
            rig.shell.workspace.fault(Fault::always(method, path, FaultAction::Stall));
        }
        if signals.len() == 1 {
            rig.shell.workspace.clear_faults();
            let slow = FaultAction::Delay(Duration::from_secs(600));
            rig.shell.workspace.fault(Fault::always("GET", chunk, slow));
        }
        let mut command = rig.command(5000, &rig.path("rows.json"), &[]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        wait_for(|| {
            rig.shell.workspace.requests().iter().any(|one| one.path.ends_with("chunks/2"))
        });
        assert!(rig.left()[0].starts_with(".rows.json."), "{:?}", rig.left());
        for (n, signal) in signals.iter().enumerate() {
            if n > 0 {
                assert!(said.any(|line| line.unwrap().contains("press Ctrl-C again")));
            }
            let id = child.id().to_string();
            assert!(Command::new("kill").args([signal, &*id]).status().unwrap().success());
        }
        let status = child.wait().unwrap();
        assert_eq!((status.code(), rig.left()), (Some(code), Vec::new()), "{signals:?}");
    }
}

fn wait_for(there: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !there() {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing came");
        std::thread::sleep(Duration::from_millis(5));
    }
}
