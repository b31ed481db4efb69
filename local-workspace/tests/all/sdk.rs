//! The official Python SDK, unchanged, against the workspace. The checks are in `tests/sdk/check.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use local_workspace::{
    LocalWorkspace, Options, RUNNING_CLUSTER, RUNNING_WAREHOUSE, STOPPED_WAREHOUSE,
    TERMINATED_CLUSTER,
};

/// The interpreter that has the SDK.
fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("SDK_PYTHON") {
        return python.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join("target/sdk-venv/bin/python");
    assert!(
        python.exists(),
        "no Python with the Databricks SDK at {}; run `cargo xtask test`, which makes it, or set SDK_PYTHON",
        python.display()
    );
    python
}

#[test]
fn official_sdk_works_unchanged() {
    // Small chunks, so that there are several.
    let options = Options { chunk_bytes: 50_000, ..Options::default() };
    let workspace = LocalWorkspace::start(options).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/check.py");
    let output = Command::new(python())
        .arg(script)
        .env_clear()
        .env("HOME", std::env::temp_dir())
        .env("HOST", workspace.origin())
        .env("TOKEN", workspace.token())
        .env("ACCOUNT_HOST", workspace.account_origin())
        .env("ACCOUNT_ID", workspace.account_id())
        .env("CLIENT_ID", workspace.client_id())
        .env("CLIENT_SECRET", workspace.client_secret())
        .env("RUNNING_CLUSTER", RUNNING_CLUSTER)
        .env("TERMINATED_CLUSTER", TERMINATED_CLUSTER)
        .env("RUNNING_WAREHOUSE", RUNNING_WAREHOUSE)
        .env("STOPPED_WAREHOUSE", STOPPED_WAREHOUSE)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    print!("{}", text(&output.stdout));
}
