//! The command `harness` with the built component, as a process: what goes where, exit codes, and the demo.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};

use connector_tests::{cache_dir, component, harness_binary};
use local_workspace::{LocalWorkspace, Options, RUNNING_CLUSTER, RUNNING_WAREHOUSE};
use serde_json::Value as Json;

/// A workspace, a folder with a connections file, and the program.
pub(crate) struct Shell {
    pub(crate) workspace: LocalWorkspace,
    pub(crate) folder: tempfile::TempDir,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let workspace = LocalWorkspace::start(options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[local]\ntype = \"personalAccessToken\"\nhost = \"{0}\"\napiKey = \"env:LOCAL_TOKEN\"\nallow_http_loopback = true\nallow_hosts = [\"{1}\"]\n\n\
             [wrong]\ntype = \"personalAccessToken\"\nhost = \"{0}\"\napiKey = \"dapi-canary\"\nallow_http_loopback = true\n\n\
             [placeholder]\ntype = \"personalAccessToken\"\nhost = \"dbc-REPLACE-ME.cloud.databricks.com\"\napiKey = \"dapi0000\"\n",
            workspace.origin(),
            workspace.storage_host()
        );
        std::fs::write(folder.path().join("connections.toml"), text).unwrap();
        Self { workspace, folder }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(harness_binary());
        command
            .arg("--component")
            .arg(component())
            .arg("--config")
            .arg(self.folder.path().join("connections.toml"))
            .arg("--cache-dir")
            .arg(cache_dir())
            .arg("--journal")
            .arg(self.folder.path().join("journal"))
            .args(arguments)
            .env("LOCAL_TOKEN", self.workspace.token());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command within another one, whose script ends with `"$0" "$@"` and does something first.
    pub(crate) fn within(&self, outer: &[&str], command: &Command) -> Output {
        let (program, arguments) = outer.split_first().unwrap();
        Command::new(program)
            .args(arguments)
            .arg(command.get_program())
            .args(command.get_args())
            .env("LOCAL_TOKEN", self.workspace.token())
            .output()
            .unwrap()
    }

    /// The JSON of a command that succeeds.
    pub(crate) fn json(&self, arguments: &[&str]) -> Json {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The one line of a command that fails with this code.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
        assert!(!said.contains("panicked") && !said.contains("canary"), "{said}");
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error:")).collect();
        assert_eq!(errors.len(), 1, "{said}");
        errors[0].to_owned()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// D23: the variables that send other programs through a proxy change nothing here: a proxy would see the token.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let shell = Shell::new();
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut command = shell.command(&["run", "getCurrentUser", "--connection", "local"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        command.env(name, &url);
    }
    let output = command.env_remove("no_proxy").env_remove("NO_PROXY").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(shell.workspace.requests().len(), 1);
    assert!(proxy.accept().is_err(), "the proxy was called");
}

#[test]
fn results_go_to_standard_output() {
    let shell = Shell::new();
    let set = format!("clusterId={RUNNING_CLUSTER}");
    let cluster = shell.json(&["run", "getCluster", "--connection", "local", "--set", &set]);
    assert_eq!(cluster["cluster_id"], RUNNING_CLUSTER);
}

#[test]
fn rows_are_a_table_when_asked() {
    let shell = Shell::new();
    let input = format!(
        r#"{{"warehouseId":"{RUNNING_WAREHOUSE}","sqlStatement":"SELECT :name AS name, 9007199254740993 AS big","sqlParameters":[{{"name":"name","value":"Ada"}}]}}"#
    );
    let output = shell.run(&["run", "runSql", "-c", "local", "-i", &input, "--output", "table"]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(table.contains("name") && table.contains("Ada"), "{table}");
    assert!(table.contains("9007199254740993"), "{table}");
}

#[test]
fn input_comes_from_a_file_and_from_standard_input() {
    let shell = Shell::new();
    let file = shell.folder.path().join("input.json");
    std::fs::write(&file, format!(r#"{{"warehouseId":"{RUNNING_WAREHOUSE}"}}"#)).unwrap();
    let from = format!("@{}", file.display());
    let warehouse = shell.json(&["run", "getWarehouse", "-c", "local", "-i", &from]);
    assert_eq!(warehouse["id"], RUNNING_WAREHOUSE);
}

#[test]
fn every_failure_has_its_exit_code_and_one_line() {
    let shell = Shell::new();
    let near = shell.fails(3, &["run", "getClusters", "-c", "local"]);
    assert!(near.contains("getCluster"), "{near}");
    let missing = shell.fails(3, &["run", "getCluster", "-c", "local"]);
    assert!(missing.contains("clusterId"), "{missing}");
    let broken = shell.fails(3, &["run", "getCluster", "-c", "local", "-i", "{\"clusterId\":"]);
    assert!(broken.contains("JSON"), "{broken}");
    let unknown = shell.fails(4, &["run", "listClusters", "-c", "lokal"]);
    assert!(unknown.contains("local"), "{unknown}");
    let placeholder = shell.fails(4, &["run", "listClusters", "-c", "placeholder"]);
    assert!(placeholder.contains("REPLACE-ME"), "{placeholder}");
    shell.fails(5, &["run", "listClusters", "-c", "wrong"]);
    shell
        .fails(7, &["run", "getCluster", "-c", "local", "--set", "clusterId=0000-000000-nothere0"]);
    let sql = format!("warehouseId={RUNNING_WAREHOUSE}");
    shell.fails(
        12,
        &["run", "runSql", "-c", "local", "--set", &sql, "--set", "sqlStatement=SELEC 1"],
    );
    shell.fails(
        16,
        &[
            "run",
            "rawRequest",
            "-c",
            "local",
            "--set",
            "method=GET",
            "--set",
            "url=https://example.com/",
        ],
    );
}

#[test]
fn the_connection_is_tested() {
    let shell = Shell::new();
    let output = shell.run(&["test-connection", "-c", "local"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("ok") && said.contains(shell.workspace.origin()), "{said}");
    assert!(!said.contains(shell.workspace.token()), "{said}");
    shell.fails(5, &["test-connection", "-c", "wrong"]);
}

#[test]
fn choices_are_listed() {
    let shell = Shell::new();
    let choices = shell.json(&["choices", "warehouses", "-c", "local"]);
    assert!(choices.to_string().contains(RUNNING_WAREHOUSE), "{choices}");
}

#[test]
fn an_action_is_described_as_the_seed_does() {
    let shell = Shell::new();
    let output = shell.run(&["describe", "getCluster"]);
    let table = text(&output.stdout);
    for words in [
        "Connection",
        "Cluster ID",
        "The unique identifier for the cluster",
        "Debug Request",
        "false",
    ] {
        assert!(table.contains(words), "{words} is not in {table}");
    }
    assert_eq!(shell.json(&["describe", "getCluster", "--json"])["required"][0], "clusterId");
}

/// What `harness schemas` writes is what is committed.
#[test]
fn schemas_are_the_committed_ones() {
    let shell = Shell::new();
    let out = shell.folder.path().join("schemas");
    let written = shell.run(&["schemas", "--out", &out.display().to_string()]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    let read = |path: std::path::PathBuf| -> Json {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    for file in ["actions/runSql.json", "connections/personalAccessToken.json"] {
        assert_eq!(
            read(out.join(file)),
            read(connector_tests::root().join("schemas").join(file)),
            "{file}"
        );
    }
}

/// The first command of the README.
#[test]
fn the_demo_works_from_beginning_to_end() {
    let output = Command::new(harness_binary())
        .arg("--component")
        .arg(component())
        .arg("--cache-dir")
        .arg(cache_dir())
        .arg("demo")
        .output()
        .unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for words in ["orders-interactive", "says 42", "9007199254740993", "129.90", "All of it worked"]
    {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

/// Ctrl-C cancels the statement in Databricks, and says so.
#[test]
fn an_interrupt_cancels_the_remote_work() {
    let shell = Shell::with(Options {
        statement_delay: std::time::Duration::from_secs(600),
        ..Options::default()
    });
    let warehouse = format!("warehouseId={RUNNING_WAREHOUSE}");
    let mut child = shell
        .command(&[
            "run",
            "runSql",
            "-c",
            "local",
            "--set",
            &warehouse,
            "--set",
            "sqlStatement=SELECT 1",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("RUNNING") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended without a word of progress");
    }
    let interrupted =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert!(rest.contains("cancel"), "{rest}");
    let cancels = shell
        .workspace
        .requests()
        .iter()
        .filter(|request| request.path.ends_with("/cancel"))
        .count();
    assert_eq!(cancels, 1, "{rest}");
}
