//! What loads, what does not and what is said about it, and the cache of compiled code.

use std::fs;
use std::path::PathBuf;

use host_harness::{AuthScheme, ErrorKind, Harness, Settings};

use crate::fixtures::{folder, guest, harness};

fn refusal(bytes: &[u8]) -> String {
    let error = Harness::from_bytes(bytes, Settings::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
    assert_eq!(error.message.lines().count(), 1, "{error}");
    error.message
}

/// A component with one import, an instance of nothing.
fn importing(name: &str) -> Vec<u8> {
    let name_length = u8::try_from(name.len()).unwrap();
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    // Type section: one instance type without declarations.
    bytes.extend([7, 3, 1, 0x42, 0]);
    // Import section: one name, an instance of type 0.
    bytes.extend([10, name_length + 5, 1, 0, name_length]);
    bytes.extend(name.as_bytes());
    bytes.extend([5, 0]);
    bytes
}

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
fn a_core_module_is_named_as_such() {
    assert!(refusal(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
}

#[test]
fn a_component_of_another_world_lacks_exports() {
    let message = refusal(b"\0asm\x0d\0\x01\0");
    assert!(message.contains("lacks integration:connector/catalog@0.1.x"), "{message}");
}

/// D24: a component that wants sockets, files or anything else of its own is refused before it runs.
#[test]
fn an_import_beyond_wasi_http_is_refused() {
    for name in
        ["wasi:filesystem/types@0.2.6", "wasi:sockets/tcp@0.2.6", "acme:secrets/store@1.0.0"]
    {
        let message = refusal(&importing(name));
        assert!(message.contains(&format!("imports {name}")), "{message}");
    }
}

#[test]
fn a_cut_component_is_refused_wherever_it_is_cut() {
    let whole = fs::read(guest()).unwrap();
    for eighth in 1..8 {
        let message = refusal(&whole[..whole.len() * eighth / 8]);
        assert!(message.contains("damaged or incomplete"), "{message}");
    }
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

fn cached(extension: &str, folder: &std::path::Path) -> PathBuf {
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|e| e == extension)).unwrap()
}

#[tokio::test]
async fn damaged_code_in_the_cache_is_compiled_anew() {
    let folder = folder();
    let settings = || Settings { cache_dir: Some(folder.clone()), ..Settings::default() };
    drop(Harness::load(guest(), settings()).unwrap());
    let code = cached("cwasm", &folder);
    let good = fs::read(&code).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    for damage in [bad, good[..good.len() / 2].to_vec(), Vec::new()] {
        fs::write(&code, damage).unwrap();
        let harness = Harness::load(guest(), settings()).unwrap();
        assert_eq!(harness.describe().await.unwrap().key, "test");
        assert_eq!(fs::read(&code).unwrap().len(), good.len());
    }
}

#[test]
fn what_was_compiled_long_ago_is_removed() {
    let folder = folder();
    let old = folder.join("old.cwasm");
    let month_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(31 * 24);
    fs::File::create(&old).unwrap().set_modified(month_ago).unwrap();
    let settings = Settings { cache_dir: Some(folder.clone()), ..Settings::default() };
    drop(Harness::load(guest(), settings).unwrap());
    assert!(!old.exists());
    cached("cwasm", &folder);
}

#[cfg(unix)]
#[tokio::test]
async fn the_cache_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let settings = Settings { cache_dir: Some(folder.clone()), ..Settings::default() };
    Harness::load(guest(), settings).unwrap().describe().await.unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for extension in ["cwasm", "sha256", "json"] {
        assert_eq!(mode(&cached(extension, &folder)), 0o600, "{extension}");
    }
}
