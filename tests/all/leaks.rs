//! Credentials, looked for in everything that comes out of whole calls: of every action, well and badly answered, by the
//! library and by the program.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector_tests::leaks::{Canaries, encodings};
use connector_tests::{cache_dir, call, component, harness_binary, pat, service_principal};
use host_harness::{
    CancellationToken, Clock, Connection, ConnectionConfig, Harness, Observer, Settings,
};
use local_workspace::{Fault, FaultAction, LocalWorkspace, Options, RUNNING_WAREHOUSE};
use serde_json::{Value as Json, json};

const TOKEN: &str = "dapiCANARY/5f1d+0c6e2a";
const CLIENT_SECRET: &str = "doseCANARY/77a1+3e9b4d";

fn workspace() -> LocalWorkspace {
    let options = Options {
        token: Some(TOKEN.to_owned()),
        client_secret: Some(CLIENT_SECRET.to_owned()),
        ..Options::default()
    };
    LocalWorkspace::start(options).unwrap()
}

/// The harness in a time of its own, so that nothing waits between tries, and with a journal.
fn harness(journal: &Path) -> Harness {
    let mut settings = Settings {
        cache_dir: Some(cache_dir()),
        journal_dir: Some(journal.to_owned()),
        clock: Clock::skipping(),
        ..Settings::default()
    };
    settings.limits.requests_per_second = 0;
    Harness::load(component(), settings).unwrap()
}

/// All that an observer heard.
#[derive(Default)]
struct Heard(Mutex<String>);

impl Observer for Heard {
    fn progress(&self, message: &str, _: Option<f32>, _: Duration) {
        self.log(message);
    }

    fn log(&self, line: &str) {
        let mut heard = self.0.lock().unwrap();
        heard.push_str(line);
        heard.push('\n');
    }
}

/// Makes a call, and gives all that came out of it as one text.
async fn told(harness: &Harness, connection: &Connection, action: &str, input: &Json) -> String {
    let heard = Heard::default();
    let stop = CancellationToken::new();
    let outcome = harness.invoke(connection, call(action, input), &heard, stop).await;
    let heard = heard.0.into_inner().unwrap();
    match outcome {
        Ok(output) => {
            let bytes = String::from_utf8_lossy(output.value.as_bytes()).into_owned();
            format!("{heard}{output:?}{bytes}")
        }
        Err(error) => {
            format!("{heard}{error:?} {error} {}", serde_json::to_string(&error).unwrap())
        }
    }
}

/// The access token that the workspace was last asked with.
fn access_token(workspace: &LocalWorkspace) -> String {
    let requests = workspace.requests();
    let bearer =
        requests.iter().rev().find_map(|r| r.header("authorization")?.strip_prefix("Bearer "));
    bearer.unwrap().to_owned()
}

/// Looks through all files of a journal.
#[track_caller]
fn assert_absent_from_journal(canaries: &Canaries, folder: &Path) {
    let files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("journal.db")), "{files:?}");
    for file in files {
        canaries.assert_absent(&file.display().to_string(), std::fs::read(&file).unwrap());
    }
}

/// An answer with credentials in every form that can stand in JSON, and headers to match.
fn echo(status: u16, secrets: &[&str]) -> FaultAction {
    let texts: Vec<String> = secrets
        .iter()
        .flat_map(|secret| encodings(secret))
        .filter(|(name, _)| !name.starts_with("UTF-16") && !name.ends_with("backwards"))
        .map(|(_, bytes)| String::from_utf8(bytes).unwrap())
        .collect();
    let said = texts.join(" ");
    let body = json!({
        "error_code": "ECHO", "error": said, "error_description": said, "message": said,
        "statement_id": said, "id": said, "clusters": [{ "cluster_id": said }], "details": texts,
        "status": { "state": said, "error": { "message": said } },
    });
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-request-id".to_owned(), secrets.join(" ")),
        ("location".to_owned(), format!("https://elsewhere.test/?code={}", secrets.join("&c="))),
    ];
    FaultAction::Status { status, headers, body: body.to_string() }
}

/// J1, J4: no action, well answered or answered with every credential there is, tells one of them: not its result, not its
/// errors, not its progress, not its Debug Request.
#[tokio::test]
async fn no_action_tells_a_credential() {
    let workspace = workspace();
    let journal = tempfile::tempdir().unwrap();
    let harness = harness(journal.path());
    let mut told_of_echo = 0;
    for config in [pat(&workspace), service_principal(&workspace, &workspace.token_url())] {
        let connection = harness.connect(config).await.unwrap();
        told(&harness, &connection, "getCurrentUser", &json!({})).await;
        let bearer = access_token(&workspace);
        let secrets = match connection.connection_type() {
            "personalAccessToken" => vec![TOKEN],
            _ => vec![CLIENT_SECRET, bearer.as_str()],
        };
        let named: Vec<_> = secrets.iter().map(|secret| ("a secret", *secret)).collect();
        let canaries = Canaries::new(&named);
        let description = harness.describe().await.unwrap();
        for action in &description.actions {
            let example: Json = serde_json::from_str(action.example.get()).unwrap();
            let mut input = example["input"].clone();
            input["debug"] = true.into();
            for status in [None, Some(200), Some(400), Some(401), Some(403), Some(404), Some(503)] {
                workspace.clear_faults();
                if let Some(status) = status {
                    workspace.fault(Fault::always("*", "/api/*", echo(status, &secrets)));
                }
                let text = told(&harness, &connection, &action.key, &input).await;
                canaries.assert_absent(&format!("{} with {status:?}", action.key), &text);
                told_of_echo += usize::from(text.contains("ECHO"));
            }
        }
        canaries.assert_absent("connection", format!("{connection:?} {harness:?}"));
        harness.journal().await.unwrap().flush().await.unwrap();
        assert_absent_from_journal(&canaries, journal.path());
        workspace.clear_faults();
    }
    assert!(told_of_echo > 50, "the echoes were told of: {told_of_echo}");
}

/// J1: hosts that are only allowed get no credential, and what they answer is no place for one either.
#[tokio::test]
async fn no_listener_but_the_workspace_gets_a_credential() {
    let (own, other) = (workspace(), LocalWorkspace::start(Options::default()).unwrap());
    let journal = tempfile::tempdir().unwrap();
    let harness = harness(journal.path());
    let canaries = Canaries::new(&[("token", TOKEN), ("client secret", CLIENT_SECRET)]);
    for config in [pat(&own), service_principal(&own, &own.token_url())] {
        let listed = other.origin().strip_prefix("http://").unwrap().to_owned();
        let config = ConnectionConfig { allow_hosts: vec![listed], ..config };
        let connection = harness.connect(config).await.unwrap();
        told(&harness, &connection, "getCurrentUser", &json!({})).await;
        let bearer = access_token(&own);
        for url in ["/api/2.0/local/echo", "/oidc/v1/token", "/api/2.1/clusters/list"] {
            for origin in [other.origin(), other.account_origin()] {
                let headers = [json!({ "key": "Authorization", "value": "Bearer of-the-user" })];
                let input = json!({ "method": "POST", "url": format!("{origin}{url}"), "headers": headers });
                told(&harness, &connection, "rawRequest", &input).await;
            }
        }
        let requests = format!("{:?}", other.requests());
        assert!(!other.requests().is_empty());
        canaries.assert_absent("another listener", &requests);
        Canaries::new(&[("access token", &bearer)]).assert_absent("another listener", &requests);
    }
}

/// A folder with a connections file, for the program.
struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    fn new(workspace: &LocalWorkspace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[pat]\ntype = 'personalAccessToken'\nhost = '{0}'\napiKey = 'env:LOCAL_TOKEN'\nallow_http_loopback = true\n\
             [odd]\ntype = 'personalAccessToken'\nhost = '{0}'\napiKey = 'Bearer {TOKEN}'\nallow_http_loopback = true\n\
             [away]\ntype = 'personalAccessToken'\nhost = 'http://127.0.0.1:1'\napiKey = '{TOKEN}'\nallow_http_loopback = true\n\
             [printed]\ntype = 'personalAccessToken'\nhost = '{0}'\napiKey = {{ command = ['sh', '-c', 'env | sort'] }}\nallow_http_loopback = true\n\
             [sp]\ntype = 'workspaceServicePrincipal'\ntokenUrl = '{1}'\nscopes = ''\nclientId = '{2}'\nclientSecret = '{CLIENT_SECRET}'\nallow_http_loopback = true\n",
            workspace.origin(),
            workspace.token_url(),
            workspace.client_id(),
        );
        std::fs::write(folder.path().join("connections.toml"), text).unwrap();
        Self { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(harness_binary());
        command.arg("--component").arg(component()).arg("--cache-dir").arg(cache_dir());
        command.arg("--config").arg(self.folder.path().join("connections.toml"));
        command.arg("--journal").arg(self.folder.path().join("journal")).args(arguments);
        command.env("LOCAL_TOKEN", TOKEN).env("RUST_BACKTRACE", "full").env("RUST_LOG", "trace");
        command.env("DATABRICKS_TOKEN", TOKEN).env("DATABRICKS_CLIENT_SECRET", CLIENT_SECRET);
        command.env("DATABRICKS_HOST", "http://127.0.0.1:1");
        command
    }

    /// All that a run of the program said.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        format!("{}{}{:?}", text(&output.stdout), text(&output.stderr), output.status)
    }
}

/// J1, J4: the program tells no credential on any of its ways out, however much it is asked to tell.
#[test]
fn the_program_tells_no_credential() {
    let workspace = workspace();
    let shell = Shell::new(&workspace);
    let canaries = Canaries::new(&[("token", TOKEN), ("client secret", CLIENT_SECRET)]);
    let sql =
        json!({ "warehouseId": RUNNING_WAREHOUSE, "sqlStatement": "SELECT 1", "debug": true });
    let sql = sql.to_string();
    let runs: &[&[&str]] = &[
        &["connections", "--json"],
        &["test-connection", "-c", "pat", "--verbose"],
        &["test-connection", "-c", "sp", "--verbose"],
        &["test-connection", "-c", "odd", "--verbose"],
        &["test-connection", "-c", "away", "--verbose"],
        &["test-connection", "-c", "env", "--verbose"],
        &["run", "listClusters", "-c", "pat", "--verbose", "--set", "debug=true"],
        &["run", "listClusters", "-c", "sp", "--verbose", "--set", "debug=true"],
        &["run", "listClusters", "-c", "sp", "--output", "json", "--set", "debug=true"],
        &["choices", "clusters", "-c", "pat", "--verbose"],
        &["run", "runSql", "-c", "pat", "-i", &sql, "--verbose"],
        &["run", "runSql", "-c", "sp", "-i", &sql, "--detach", "--output", "json"],
        &["jobs", "--all", "--json"],
    ];
    for echoing in [None, Some(200), Some(400), Some(401), Some(403)] {
        workspace.clear_faults();
        for arguments in runs {
            let is_pat = arguments.contains(&"pat");
            if let Some(status) = echoing {
                workspace.clear_faults();
                let secret = if is_pat { TOKEN } else { CLIENT_SECRET };
                workspace.fault(Fault::always("*", "/api/*", echo(status, &[secret])));
                workspace.fault(Fault::once("*", "*/v1/token", echo(status, &[CLIENT_SECRET])));
            }
            let said = shell.said(arguments);
            canaries.assert_absent(&format!("{arguments:?} with {echoing:?}"), &said);
            assert!(!said.contains("panicked"), "{said}");
        }
        if echoing.is_none() {
            let bearer = access_token(&workspace);
            let said = shell.said(&["run", "listClusters", "-c", "sp", "--set", "debug=true"]);
            let canaries =
                Canaries::new(&[("bearer", &bearer), ("next", &access_token(&workspace))]);
            canaries.assert_absent("debug output", said);
        }
    }
    assert!(shell.said(&["jobs", "--all"]).matches("runSql").count() > 5);
    assert_absent_from_journal(&canaries, &shell.folder.path().join("journal"));
}

/// J7: commands that print a secret see no other one, neither in their variables nor in their arguments.
#[test]
fn commands_see_no_other_secret() {
    let workspace = workspace();
    let shell = Shell::new(&workspace);
    let canaries = Canaries::new(&[("token", TOKEN), ("client secret", CLIENT_SECRET)]);
    let seen = shell.folder.path().join("seen");
    let file = shell.folder.path().join("connections.toml");
    let script = format!(
        "env > {0}; tr \"\\0\" \" \" < /proc/$PPID/cmdline >> {0}; echo dapi-printed",
        seen.display()
    );
    let text = std::fs::read_to_string(&file).unwrap().replace("env | sort", &script);
    std::fs::write(&file, text).unwrap();
    shell.said(&["test-connection", "-c", "printed"]);
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("DATABRICKS_HOST=") && seen.contains("test-connection"), "{seen}");
    canaries.assert_absent("what a command sees", &seen);
}

/// J7: a Python process of the local workspace does not inherit the secrets of a real one.
#[test]
fn python_sees_no_secret() {
    let workspace = workspace();
    let shell = Shell::new(&workspace);
    let mut served = shell.command(&["workspace"]);
    let mut served = served.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let toml = read_until(&mut served, "[local-oauth]");
    let file = shell.folder.path().join("local.toml");
    std::fs::write(&file, toml.split("[local-oauth]").next().unwrap()).unwrap();
    let run = |action: &str, set: &[(&str, &str)]| {
        let mut command = Command::new(harness_binary());
        command.arg("--component").arg(component()).arg("--cache-dir").arg(cache_dir());
        command.arg("--journal").arg(shell.folder.path().join("journal"));
        command.arg("--config").arg(&file).args(["run", action, "-c", "local"]);
        for (key, value) in set {
            command.args(["--set", &format!("{key}={value}")]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let cluster = ("clusterId", local_workspace::RUNNING_CLUSTER);
    let context: Json =
        serde_json::from_str(&run("createExecutionContext", &[cluster, ("language", "python")]))
            .unwrap();
    let context = context["id"].as_str().unwrap().to_owned();
    let program = "import os; print(sorted(os.environ.items()))";
    let printed = run(
        "runCommand",
        &[cluster, ("contextId", &context), ("language", "python"), ("command", program)],
    );
    served.kill().unwrap();
    served.wait().unwrap();
    assert!(printed.contains("PATH"), "{printed}");
    assert!(!printed.contains("DATABRICKS_TOKEN"), "{printed}");
    Canaries::new(&[("client secret", CLIENT_SECRET)]).assert_absent("Python", &printed);
}

/// J5, J7: a crash leaves no memory on disk, and what the system shows of the process has no secret in it.
#[cfg(target_os = "linux")]
#[test]
fn the_process_leaves_no_core_and_shows_no_secret() {
    // A workspace that never answers, so that the program is there to be looked at.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let workspace = workspace();
    let shell = Shell::new(&workspace);
    let file = shell.folder.path().join("connections.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    std::fs::write(&file, text.replace("http://127.0.0.1:1", &origin)).unwrap();
    let mut command = shell.command(&["test-connection", "-c", "away"]);
    let mut program = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (_open, _) = listener.accept().unwrap();
    let of_process = |name: &str| std::fs::read(format!("/proc/{}/{name}", program.id())).unwrap();
    let limits = String::from_utf8(of_process("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    let canaries = Canaries::new(&[("token", TOKEN), ("client secret", CLIENT_SECRET)]);
    canaries.assert_absent("command line", of_process("cmdline"));
    canaries.assert_absent("title", of_process("comm"));
    program.kill().unwrap();
    program.wait().unwrap();
    assert_eq!(values, ["0", "0"], "{limits}");
}

fn read_until(program: &mut std::process::Child, end: &str) -> String {
    let mut out = program.stdout.take().unwrap();
    let mut read = String::new();
    let mut byte = [0];
    while !read.contains(end) && out.read_exact(&mut byte).is_ok() {
        read.push(char::from(byte[0]));
    }
    // The rest is read too, or the program would wait for a reader.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    read
}

/// J12: what a service writes into its answers forges no line, and reaches no terminal as a command.
#[tokio::test]
async fn a_service_does_not_steer_the_terminal() {
    let workspace = workspace();
    let journal = tempfile::tempdir().unwrap();
    let harness = harness(journal.path());
    let connection = harness.connect(pat(&workspace)).await.unwrap();
    let forged = "x\r\nerror: forged\n\u{1b}[2J\u{9b}31m\u{202e}evil\u{2028}warning: forged\u{7}";
    let body =
        json!({ "error_code": forged, "message": forged, "details": [{ "reason": forged }] });
    let headers = vec![("x-request-id".to_owned(), "id".to_owned())];
    let action = FaultAction::Status { status: 409, headers, body: body.to_string() };
    workspace.fault(Fault::always("*", "/api/*", action));
    let heard = Arc::new(Heard::default());
    let input = json!({ "debug": true });
    let stop = CancellationToken::new();
    let outcome = harness.invoke(&connection, call("listClusters", &input), &*heard, stop).await;
    let error = outcome.unwrap_err();
    let code = error.error_code.unwrap_or_default();
    for text in [&error.message, &code] {
        assert!(!text.contains(host_harness::steers), "{text:?}");
    }
    let heard = heard.0.lock().unwrap().clone();
    assert_eq!(heard.lines().count(), 1, "{heard}");
    assert!(!heard.trim_end().contains(host_harness::steers), "{heard:?}");

    let shell = Shell::new(&workspace);
    let arguments = [
        "--color",
        "always",
        "run",
        "listClusters",
        "-c",
        "pat",
        "--verbose",
        "--set",
        "debug=true",
    ];
    let said = shell.said(&arguments);
    let own_styles = said.replace("\u{1b}[", "");
    assert!(!own_styles.contains(|c| host_harness::steers(c) && c != '\n'), "{said:?}");
    assert!(said.lines().all(|line| !line.starts_with("error: forged")), "{said}");
    std::io::stdout().flush().unwrap();
}
