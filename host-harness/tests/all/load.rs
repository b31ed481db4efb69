//! What loads and what does not. Components that mean harm are in `hostile`.

use std::fs;
use std::path::PathBuf;

use host_harness::{AuthScheme, ErrorKind, Harness, Settings};

use crate::fixtures::{folder, guest, harness};

#[tokio::test]
async fn a_component_describes_itself() {
    let description = harness().describe().await.unwrap();
    assert_eq!(description.label, "Test");
    assert_eq!(description.connection("client").unwrap().scheme, AuthScheme::ClientCredentials);
    assert_eq!(description.action("get").unwrap().endpoints[0].path, "/api/one/{id}");
    assert!(description.choice_source("words").is_some());
    let json = serde_json::to_value(description).unwrap();
    assert_eq!(json["actions"][0]["input_schema"]["type"], "object");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let missing = PathBuf::from("/nowhere/connector.wasm");
    let error = Harness::load(&missing, Settings::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::HostIo);
    assert!(error.message.contains("/nowhere/connector.wasm"), "{error}");

    let page = folder().join("connector.wasm");
    fs::write(&page, "<!DOCTYPE html><title>Sign in</title>").unwrap();
    let error = Harness::load(&page, Settings::default()).unwrap_err();
    assert!(error.message.contains("connector.wasm: this is an HTML page"), "{error}");
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let mut settings = Settings::default();
    settings.limits.component_bytes = 1000;
    let error = Harness::load(guest(), settings).unwrap_err();
    assert!(error.message.contains("larger than 1000 bytes"), "{error}");
}
