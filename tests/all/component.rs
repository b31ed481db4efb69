//! What the component is: its imports, its catalog, and that what is committed is what it says.

use std::collections::BTreeSet;

use connector_tests::{component, harness, root};
use serde_json::Value as Json;

/// The packages of WASI that any host of components has. Filesystem and sockets are not among them, nor is anything else.
const ALLOWED: &[&str] = &["wasi:cli/", "wasi:clocks/", "wasi:http/", "wasi:io/", "wasi:random/"];

#[test]
fn component_imports_wasi_only() {
    let imports = host_harness::imports(&std::fs::read(component()).unwrap()).unwrap();
    assert!(imports.iter().any(|i| i.starts_with("wasi:http/outgoing-handler")), "{imports:?}");
    for import in &imports {
        assert!(ALLOWED.iter().any(|prefix| import.starts_with(prefix)), "{import} is imported");
    }
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

/// P-4, P-5: every action has Debug Request, default false, and every input has what its line of the table shows.
#[tokio::test]
async fn every_input_has_a_label_and_a_comment() {
    let harness = harness();
    for action in &harness.describe().await.unwrap().actions {
        let schema: Json = serde_json::from_str(action.input_schema.get()).unwrap();
        let inputs = schema["properties"].as_object().unwrap();
        assert_eq!(inputs["debug"]["title"], "Debug Request", "{}", action.key);
        assert_eq!(inputs["debug"]["default"], false, "{}", action.key);
        for (key, input) in inputs {
            let has_words = input["title"].is_string() && input["description"].is_string();
            assert!(has_words, "{}: {key} has no words", action.key);
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
