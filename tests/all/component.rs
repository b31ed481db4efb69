//! What the component is: its imports, its catalog, and that what is committed is what it says.

use std::collections::BTreeSet;

use connector_tests::{component, harness, root};
use host_harness::ConnectionType;
use serde_json::Value as Json;

/// All that the component imports, versions aside. Filesystem and sockets are not among them.
const IMPORTS: &[&str] = &[
    // Types alone: nothing to call.
    "integration:connector/types",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
];

#[test]
fn component_imports_wasi_only() {
    let bytes = std::fs::read(component()).unwrap();
    let imported: BTreeSet<String> = imports(&bytes).into_iter().collect();
    let pinned: BTreeSet<String> = IMPORTS.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(imported, pinned);
}

/// A panic names its source file. What it names is the same on every machine, and tells nothing of the one that built it.
#[test]
fn component_holds_no_path_of_the_machine() {
    let bytes = std::fs::read(component()).unwrap();
    let holds = |text: &str| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
    let repository = root().canonicalize().unwrap();
    let folders = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR"];
    let folders = folders.iter().filter_map(|name| std::env::var(name).ok());
    let of_the_machine = folders.chain([repository.display().to_string()]);
    // One character is no path, and in a container HOME may be `/`.
    for path in of_the_machine.filter(|path| path.len() > 1) {
        assert!(!holds(&path), "the component holds {path}");
    }
    for part in [".cargo/", ".rustup/", "registry/src", "/home/", "/Users/"] {
        assert!(!holds(part), "the component holds {part}");
    }
    // The names that stand in their place: were there none at all, this test would look for the wrong thing.
    assert!(holds("/cargo/") && holds("/rustc/"), "no source file is named");
}

/// The imports of a component, without their versions.
fn imports(bytes: &[u8]) -> Vec<String> {
    let mut imports = Vec::new();
    let mut depth = 0;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload.unwrap() {
            wasmparser::Payload::ModuleSection { .. }
            | wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let name = import.unwrap().name.name;
                    imports.push(name.split('@').next().unwrap_or_default().to_owned());
                }
            }
            _ => {}
        }
    }
    imports
}

/// P-1, P-2: the label, and exactly the seed's actions.
#[tokio::test]
async fn catalog_has_the_sixteen_actions() {
    let harness = harness();
    let catalog = harness.describe().await.unwrap();
    assert_eq!(catalog.label, "Databricks");
    let labels: BTreeSet<&str> = catalog.actions.iter().map(|a| a.label.as_str()).collect();
    let wanted = BTreeSet::from([
        "Create Execution Context",
        "Get Cluster",
        "Get Command Status",
        "Get Current User",
        "Get SQL Warehouse",
        "List Clusters",
        "List Node Types",
        "List SQL Warehouses",
        "Raw Request",
        "Restart Cluster",
        "Run Command",
        "SQL: Execute an SQL Statement",
        "Start SQL Warehouse",
        "Start Terminated Cluster",
        "Stop SQL Warehouse",
        "Terminate Cluster",
    ]);
    assert_eq!(labels, wanted);
}

/// P-4, P-5, P-RAW12: every action has Debug Request, default false, and every input has what its line of the table shows.
#[tokio::test]
async fn every_input_has_a_label_and_a_comment() {
    let harness = harness();
    for action in &harness.describe().await.unwrap().actions {
        let schema: Json = serde_json::from_str(action.input_schema.get()).unwrap();
        let inputs = schema["properties"].as_object().unwrap();
        assert_eq!(inputs["debug"]["title"], "Debug Request", "{}", action.key);
        assert_eq!(inputs["debug"]["default"], false, "{}", action.key);
        for (key, input) in inputs {
            assert!(input["title"].is_string(), "{}: {key} has no label", action.key);
            // The seed leaves the comment of Language empty.
            let has_comment = input["description"].is_string() || key == "language";
            assert!(has_comment, "{}: {key} has no comment", action.key);
        }
    }
}

/// The committed schemas are those of the built component, not of some other state of the code.
#[tokio::test]
async fn committed_schemas_are_those_of_the_component() {
    let harness = harness();
    for action in &harness.describe().await.unwrap().actions {
        let path = root().join("schemas/actions").join(format!("{}.json", action.key));
        let committed: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let built: Json = serde_json::from_str(action.input_schema.get()).unwrap();
        assert_eq!(committed, built, "{}", path.display());
    }
}

/// P-A1, P-B1: the inputs of both connection types, in order, with their defaults; one of each is the secret.
#[tokio::test]
async fn connection_types_are_those_of_the_seed() {
    let harness = harness();
    let types = &harness.describe().await.unwrap().connections;
    assert_eq!(types.len(), 2);
    assert_eq!(
        (types[0].label.as_str(), types[0].secret.as_str()),
        ("Databricks Personal Access Token", "apiKey")
    );
    assert_eq!(defaults(&types[0]), [("host", None), ("apiKey", None)].map(owned));
    assert_eq!(
        (types[1].label.as_str(), types[1].secret.as_str()),
        ("Databricks Workspace Service Principal", "clientSecret")
    );
    let token_url = "https://dbc-REPLACE-ME.cloud.databricks.com/oidc/v1/token";
    let inputs = [
        ("tokenUrl", Some(token_url)),
        ("scopes", Some("all-apis")),
        ("clientId", None),
        ("clientSecret", None),
        ("host", None),
    ];
    assert_eq!(defaults(&types[1]), inputs.map(owned));
}

fn owned((key, default): (&str, Option<&str>)) -> (String, Option<String>) {
    (key.to_owned(), default.map(str::to_owned))
}

/// The inputs of a connection type with their defaults, of which the secret must be marked as such.
fn defaults(connection: &ConnectionType) -> Vec<(String, Option<String>)> {
    let schema: Json = serde_json::from_str(connection.schema.get()).unwrap();
    assert_eq!(schema["properties"][&connection.secret]["format"], "password");
    let inputs = schema["properties"].as_object().unwrap().iter();
    inputs.map(|(key, input)| owned((key, input["default"].as_str()))).collect()
}
