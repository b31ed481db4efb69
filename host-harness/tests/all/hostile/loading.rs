//! What loads and what does not: files that are no components, components of other worlds and versions, components that
//! take too long to compile, and files that change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host_harness::{ErrorKind, Harness, Settings};
use hostile_guests::Guest;
use serde_json::json;

use super::{Hosted, run};
use crate::fixtures::{folder, guest};

fn error_of(bytes: &[u8]) -> host_harness::Error {
    Harness::from_bytes(bytes, Settings::default()).unwrap_err()
}

fn refusal(bytes: &[u8]) -> String {
    let error = error_of(bytes);
    assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
    assert_eq!(error.message.lines().count(), 1, "{error}");
    assert!(error.message.chars().count() <= 300, "{error}");
    error.message
}

/// F1: a path that leads to no component says what it leads to.
#[test]
fn paths_to_nothing_are_told_apart() {
    let folder = folder();
    let empty = folder.join("empty.wasm");
    std::fs::write(&empty, "").unwrap();
    for (path, kind, expected) in [
        (folder.join("missing.wasm"), ErrorKind::HostIo, "cannot be read: No such file"),
        (folder.clone(), ErrorKind::HostIo, "is a folder, not a component file"),
        (empty.clone(), ErrorKind::ComponentInvalid, "empty.wasm: the file is empty"),
        (empty.join("below"), ErrorKind::HostIo, "cannot be read: Not a directory"),
    ] {
        let error = Harness::load(&path, Settings::default()).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(expected), "{error}");
        assert!(error.message.contains(path.to_str().unwrap()), "{error}");
    }
}

/// F2: what is no WebAssembly is named.
#[test]
fn other_files_are_named() {
    for (bytes, expected) in [
        (&b"connector"[..], "this is text, not a WebAssembly component"),
        (b"\n <!doctype html><title>Sign in", "this is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "in Git LFS"),
        (b"(component)", "this is WebAssembly text"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0", "this is some other file"),
        (b"\0asm\x07\0\x05\0", "of a version that this host does not know"),
    ] {
        assert!(refusal(bytes).contains(expected), "{expected}");
    }
}

/// F4: a core module is named as one, with what to build instead.
#[test]
fn core_modules_are_named() {
    let module = wat::parse_str("(module (func (export \"run\")))").unwrap();
    let message = refusal(&module);
    assert!(message.contains("core WebAssembly module, not a component"), "{message}");
    assert!(message.contains("wasm32-wasip2"), "{message}");
}

/// F5: a component of another world, or of none, lacks what it lacks; one of a newer major version says so.
#[test]
fn other_worlds_and_versions_are_told() {
    let component = |text: &str| wat::parse_str(text).unwrap();
    let message = refusal(&component("(component)"));
    assert!(message.contains("lacks integration:connector/catalog@0.1.x, "), "{message}");
    assert!(message.contains("exports nothing"), "{message}");

    let other = "(component (instance $i) (export \"wasi:cli/run@0.2.3\" (instance $i)))";
    let message = refusal(&component(other));
    assert!(message.contains("exports wasi:cli/run@0.2.3"), "{message}");

    for version in ["2.0.0", "0.2.0", "1.0.0"] {
        let message = refusal(&Guest::new().of_version(version).component());
        let expected =
            format!("needs version {version} of the connector API; this host provides 0.1.x");
        assert!(message.contains(&expected), "{message}");
    }

    let some = "(component (instance $i)
        (export \"integration:connector/catalog@0.1.0\" (instance $i))
        (export \"integration:connector/actions@0.1.0\" (instance $i)))";
    let message = refusal(&component(some));
    assert!(message.contains("lacks integration:connector/choices@0.1.x"), "{message}");
    assert!(!message.contains("lacks integration:connector/catalog"), "{message}");
}

/// F5: a component that was built against another version of the same minor loads and runs.
#[tokio::test]
async fn other_patch_versions_run() {
    let guest = Guest::new().of_version("0.1.7");
    assert_eq!(guest.run().await.unwrap(), json!({}));
}

/// F5: exports of the right names and of other types are a mismatch, not a crash.
#[test]
fn other_types_under_the_same_names_are_refused() {
    let names = ["catalog", "actions", "choices", "triggers"];
    let exports: String = names
        .iter()
        .map(|name| format!("(export \"integration:connector/{name}@0.1.0\" (instance $i))"))
        .collect();
    let text = format!("(component (instance $i) {exports})");
    let message = refusal(&wat::parse_str(text).unwrap());
    assert!(message.contains("describe"), "{message}");
}

/// D24, F6: imports beyond what connectors are granted are refused by name, with what there is.
#[test]
fn imports_beyond_the_granted_are_named() {
    for name in
        ["wasi:sockets/tcp@0.2.6", "wasi:filesystem/types@0.2.6", "acme:secrets/store@1.0.0"]
    {
        let text = format!("(component (import \"{name}\" (instance)))");
        let message = refusal(&wat::parse_str(text).unwrap());
        assert!(message.contains(&format!("imports {name}, which no connector is granted")));
        assert!(message.contains("wasi:http, wasi:io, wasi:clocks"), "{message}");
    }
    let all: String =
        (0..40).map(|n| format!("(import \"acme:part{n}/store@1.0.0\" (instance))")).collect();
    let message = refusal(&wat::parse_str(format!("(component {all})")).unwrap());
    assert!(message.contains("acme:part0/store@1.0.0, acme:part1/store@1.0.0"), "{message}");
    assert!(message.contains(" more, which no connector is granted"), "{message}");

    // A part of WASI that is granted as a whole, and a function of it that there is none of.
    let text = "(component (import \"wasi:clocks/none@0.2.0\" (instance (export \"f\" (func)))))";
    assert!(refusal(&wat::parse_str(text).unwrap()).contains("lacks"));
}

fn apart(change: impl FnOnce(&mut host_harness::Limits)) -> Settings {
    let compiler = Some(PathBuf::from(env!("CARGO_BIN_EXE_harness")));
    let mut settings = Settings { compiler, ..Settings::default() };
    change(&mut settings.limits);
    settings
}

/// F8: a component is compiled in a process of its own, with the same result, and with the same words when it is damaged.
#[tokio::test]
async fn components_are_compiled_apart() {
    let harness = Guest::new().load_with(apart(|_| ())).unwrap();
    assert_eq!(run(&harness).await.unwrap(), json!({}));

    let mut damaged = Guest::new().component();
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    let error = Harness::from_bytes(&damaged, apart(|_| ())).unwrap_err();
    assert_eq!(error, error_of(&damaged));
}

/// F8: what takes too long to compile, or too much memory, is ended with the process that compiles it.
#[test]
fn compiling_ends_at_its_limits() {
    let large = std::fs::read(guest()).unwrap();
    let error = |settings| {
        let error = Harness::from_bytes(&large, settings).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
        error.message
    };
    let message = error(apart(|limits| limits.compile = Duration::from_millis(20)));
    assert!(message.contains("took longer than 0.02 s to compile"), "{message}");
    let message = error(apart(|limits| limits.compile_memory_bytes = 24 << 20));
    assert!(message.contains("cannot be compiled within 25165824 bytes"), "{message}");
}

/// F8: components in components, each many times in the next, are too much for the process that compiles, and for nobody
/// else.
#[test]
fn components_that_multiply_are_ended() {
    let mut text = "(component $c0 (core module $m (func (export \"f\"))) \
                    (core instance (instantiate $m)))"
        .to_owned();
    for level in 1..6 {
        let inner = level - 1;
        let many = format!("(instance (instantiate $c{inner}))").repeat(40);
        text = format!("(component $c{level} {text} {many})");
    }
    let exports: String = ["catalog", "actions", "choices", "triggers"]
        .iter()
        .map(|name| format!("(export \"integration:connector/{name}@0.1.0\" (instance $i))"))
        .collect();
    let text = format!("(component {text} (instance $i (instantiate $c5)) {exports})");
    let bytes = wat::parse_str(text).unwrap();
    let settings = apart(|limits| {
        limits.compile = Duration::from_secs(5);
        limits.compile_memory_bytes = 512 << 20;
    });
    let error = Harness::from_bytes(&bytes, settings).unwrap_err();
    assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
}

/// F8: a program that is not there, or does not compile, is named.
#[test]
fn a_program_that_cannot_compile_is_named() {
    let load = |program: &str| {
        let settings = Settings { compiler: Some(program.into()), ..Settings::default() };
        Guest::new().load_with(settings).unwrap_err()
    };
    let error = load("/nowhere/harness");
    assert_eq!(error.kind, ErrorKind::HostIo, "{error}");
    assert!(error.message.contains("/nowhere/harness"), "{error}");
    assert!(load("/bin/false").message.contains("cannot be compiled"));
}

/// F12: a file that is replaced, or written over, while its component runs changes nothing for what runs; the next load
/// sees the new one.
#[tokio::test]
async fn replaced_files_do_not_touch_what_runs() {
    let named = |key: &str| Guest::new().describing(|catalog| catalog.key = key.to_owned());
    let path = folder().join("connector.wasm");
    let load = |path: &Path| Harness::load(path, Settings::default());
    let key = async |harness: &Harness| harness.describe().await.unwrap().key.clone();

    std::fs::write(&path, named("first").component()).unwrap();
    let first = load(&path).unwrap();
    let beside = path.with_extension("new");
    std::fs::write(&beside, named("second").component()).unwrap();
    std::fs::rename(&beside, &path).unwrap();
    let second = load(&path).unwrap();
    std::fs::write(&path, "gone").unwrap();

    assert_eq!(key(&first).await, "first");
    assert_eq!(key(&second).await, "second");
    assert_eq!(run(&first).await.unwrap(), json!({}));
    assert_eq!(run(&second).await.unwrap(), json!({}));
    assert!(load(&path).unwrap_err().message.contains("this is text"));
}
