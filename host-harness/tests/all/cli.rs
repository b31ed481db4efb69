//! The program `harness` as a process: what it needs no connector for. Whole calls are tested with the built connector.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A home directory of the test's own, and what the program does in it.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn with_file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    /// Runs the program with this home, and none of the variables of the one who runs the tests.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
        let output = Command::new(env!("CARGO_BIN_EXE_harness"))
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Finished::new(output, self.folder.path())
    }
}

/// What is left of a run, the home directory shown as `~`.
#[derive(Debug)]
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Finished {
    fn new(output: Output, home: &Path) -> Self {
        let home = home.to_str().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(home, "~");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    #[track_caller]
    fn fails(&self, code: i32, stderr: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        assert!(self.stderr.starts_with(stderr), "{self:?}");
    }

    #[track_caller]
    fn succeeds(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }
}

const ONE: &str =
    "[prod]\ntype = 'personalAccessToken'\nhost = 'dbc-1.test'\napiKey = 'dapi-plain-fake'\n";

#[test]
fn help_shows_examples_and_exit_codes() {
    let home = Home::new();
    let help = home.run(&["--help"], &[]);
    let text = help.succeeds();
    for part in ["harness demo", "Exit codes:", "invalid-input", "130  cancelled"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let help = home.run(&["run", "--help"], &[]);
    assert!(help.succeeds().contains("harness run listClusters"));
    assert!(!help.stdout.contains('\u{1b}'), "no styles where there is no terminal");
}

#[test]
fn a_wrong_command_line_is_code_2() {
    let home = Home::new();
    home.run(&["runn"], &[]).fails(2, "error: unrecognized subcommand 'runn'");
    home.run(&["run"], &[]).fails(2, "error: the following required arguments");
    home.run(&["run", "x", "--set", "key"], &[]).fails(2, "error: invalid value 'key'");
    home.run(&["run", "x", "--timeout", "soon"], &[]).fails(2, "error: invalid value 'soon'");
    home.run(&["run", "x", "-o", "xml"], &[]).fails(2, "error: invalid value 'xml'");
}

#[test]
fn completions_are_made_for_every_shell() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.run(&["completions", shell], &[]);
        assert!(script.succeeds().contains("test-connection"), "{shell}");
    }
}

#[test]
fn without_a_connection_the_way_to_make_one_is_shown() {
    let home = Home::new();
    let expected = "error: there is no connection yet\n\
                    hint: write this to ~/.config/databricks-harness/connections.toml:\n";
    for arguments in [&["run", "listClusters"][..], &["test-connection"], &["connections"]] {
        home.run(arguments, &[]).fails(4, expected);
    }
}

#[test]
fn an_unknown_connection_lists_near_ones() {
    Home::new()
        .with_file("c.toml", ONE)
        .run(&["run", "listClusters", "--config", "c.toml", "-c", "prd"], &[])
        .fails(4, "error: there is no connection \"prd\"; did you mean prod?\n");
}

#[test]
fn a_mistake_in_the_file_names_connection_and_key() {
    let home = Home::new().with_file("c.toml", "[prod]\ntype = 't'\nallow_http = true\n");
    let expected = "error: c.toml: connection prod, allow_http: unknown key; \
                    did you mean allow_http_loopback?\n";
    home.run(&["connections", "--config", "c.toml"], &[]).fails(4, expected);
    home.run(&["connections", "--config", "none.toml"], &[])
        .fails(4, "error: none.toml cannot be read: ");
}

#[test]
fn an_error_for_programs_is_an_object() {
    let finished = Home::new().run(&["run", "listClusters", "--output", "json"], &[]);
    assert_eq!(finished.code, Some(4));
    let error: serde_json::Value = serde_json::from_str(&finished.stderr).unwrap();
    assert_eq!(error["kind"], "invalid-connection");
    assert_eq!(error["delivery"], "not-sent");
}

#[test]
fn connections_are_listed_without_their_values() {
    let home = Home::new()
        .with_file("c.toml", ONE)
        .with_file(".databrickscfg", "[DEFAULT]\nhost = dbc-2.test\ntoken = dapi-profile-fake\n");
    let variables = [("DATABRICKS_HOST", "dbc-3.test"), ("DATABRICKS_TOKEN", "dapi-env-fake")];
    let finished = home.run(&["connections", "--config", "c.toml", "--json"], &variables);
    let listed: serde_json::Value = serde_json::from_str(finished.succeeds()).unwrap();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|c| c["name"].as_str()).collect();
    assert_eq!(names, [Some("prod"), Some("env"), Some("DEFAULT")]);
    assert_eq!(listed[0]["default"], true);
    assert!(!finished.stdout.contains("fake"), "{}", finished.stdout);

    let finished = home.run(&["connections", "--config", "c.toml"], &variables);
    assert!(finished.succeeds().contains("personalAccessToken"));
    assert!(finished.stderr.contains("without --connection: prod"), "{finished:?}");
    let finished = home.run(&["connections", "--config", "c.toml", "--quiet"], &variables);
    assert!(finished.stderr.is_empty(), "{finished:?}");
}

#[test]
fn two_methods_in_the_variables_are_ambiguous() {
    let variables = [
        ("DATABRICKS_HOST", "dbc-3.test"),
        ("DATABRICKS_TOKEN", "dapi-env-fake"),
        ("DATABRICKS_CLIENT_ID", "id"),
        ("DATABRICKS_CLIENT_SECRET", "dose-fake"),
    ];
    let expected = "error: the DATABRICKS_* variables make no connection: \
                    more than one authorization method is configured: oauth";
    Home::new().run(&["test-connection"], &variables).fails(4, expected);
}

#[test]
fn broken_input_tells_the_place() {
    let home = Home::new().with_file("in.json", "{\"a\": 1 2}").with_file("c.toml", ONE);
    let expected = "error: the input is not JSON: expected `,` or `}` at line 1 column 9\n";
    home.run(&["run", "x", "-i", "@in.json", "--config", "c.toml"], &[]).fails(3, expected);
    home.run(&["run", "x", "-i", "{\"a\": 1 2}", "--config", "c.toml"], &[]).fails(3, expected);
    home.run(&["run", "x", "-i", "@none.json"], &[]).fails(20, "error: none.json cannot be read: ");
}

#[test]
fn a_missing_connector_is_named() {
    let finished = Home::new().run(&["actions", "--component", "none.wasm"], &[]);
    assert_eq!(finished.code, Some(20), "{finished:?}");
    assert!(finished.stderr.contains("none.wasm"), "{finished:?}");
}

#[test]
fn a_file_that_is_no_component_is_code_18() {
    let home = Home::new()
        .with_file("text.wasm", "not a component")
        .with_file("module.wasm", "\0asm\u{1}\0\0\0");
    for file in ["text.wasm", "module.wasm"] {
        let finished = home.run(&["actions", "--component", file], &[]);
        assert_eq!(finished.code, Some(18), "{finished:?}");
        assert!(finished.stderr.contains(file), "{finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    }
}
