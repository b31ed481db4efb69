//! Rows behind external links: on another host than the workspace, which is strict, and goes wrong in every way it can.

use connector_tests::Rig;
use host_harness::{Error, ErrorKind, Limits, Settings};
use local_workspace::{Fault, FaultAction, Host, Options, RUNNING_WAREHOUSE};
use serde_json::{Value as Json, json};

const ROWS: usize = 3000;

/// A workspace whose result has six chunks.
async fn rig(options: Options) -> Rig {
    Rig::with(Options { chunk_rows: 500, ..options }).await
}

fn input(disposition: &str) -> Json {
    json!({
        "warehouseId": RUNNING_WAREHOUSE, "disposition": disposition, "resultFormat": "arrays", "timeoutSeconds": 86_400,
        "sqlStatement": format!("SELECT id, CAST(id AS DECIMAL(38,3)) AS exact, repeat('é', 9) AS text FROM range({ROWS})"),
    })
}

fn check(rows: &Json) {
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), ROWS);
    for (n, row) in rows.iter().enumerate() {
        assert_eq!(row.to_string(), format!("[{n},{n}.000,\"ééééééééé\"]"));
    }
}

/// The rows, and what the storage was asked for.
async fn rows(rig: &Rig) -> Vec<local_workspace::Recorded> {
    check(&rig.json("runSql", input("externalLinks")).await["rows"]);
    downloads(rig)
}

fn downloads(rig: &Rig) -> Vec<local_workspace::Recorded> {
    let mut requests = rig.workspace.requests();
    requests.retain(|request| request.host == Host::Storage);
    requests
}

async fn error(rig: &Rig) -> Error {
    let error = rig.error("runSql", input("externalLinks")).await;
    assert!(error.message.contains(rig.workspace.storage_host()), "{error:?}");
    assert!(error.handle.as_ref().unwrap()["statement_id"].is_string(), "{error:?}");
    assert!(!error.message.contains("Signature"), "{error:?}");
    error
}

/// D20: rows behind links are those that come inline, and no credential goes to the storage.
#[tokio::test]
async fn rows_behind_links_are_those_that_come_inline() {
    let rig = rig(Options::default()).await;
    let downloads = rows(&rig).await;
    assert_eq!(downloads.len(), 6);
    assert!(downloads.iter().all(|request| request.header("authorization").is_none()));
    assert_eq!(rig.workspace.authorized_downloads(), 0);
    check(&rig.json("runSql", input("inline")).await["rows"]);
}

/// Links may come several at once, and with headers that have to be sent.
#[tokio::test]
async fn links_come_in_every_form() {
    let headers = vec![("x-ms-test".to_owned(), "a b".to_owned())];
    rows(&rig(Options { link_headers: headers, ..Options::default() }).await).await;
    rows(&rig(Options { links_at_once: 4, ..Options::default() }).await).await;
}

/// H9: a link that is over is asked for again, and the rows are all there.
#[tokio::test]
async fn links_that_expired_are_renewed() {
    let rig = rig(Options::default()).await;
    let expired = Fault::once("GET", "/results/*/2", FaultAction::Expired);
    rig.workspace.fault(Fault { times: 1, ..expired });
    assert_eq!(rows(&rig).await.len(), 7);
}

/// H10: a storage that refuses is asked once more with a fresh link, and then named in the error.
#[tokio::test]
async fn a_storage_that_refuses_is_named() {
    let rig = rig(Options::default()).await;
    rig.workspace.fault(Fault::always("GET", "/results/*/2", FaultAction::Expired));
    let error = error(&rig).await;
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error:?}");
    assert!(error.message.contains("Request has expired"), "{error:?}");
    let refused = downloads(&rig).iter().filter(|one| one.path.ends_with("/2")).count();
    assert_eq!(refused, 2);
}

/// H11: a storage that cannot be reached is named, with what to do about it.
#[tokio::test]
async fn a_storage_out_of_reach_is_named() {
    let mut rig = rig(Options::default()).await;
    rig.workspace.close_storage();
    let error = error(&rig).await;
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    assert!(error.message.contains("firewall"), "{error:?}");
}

/// What passes is gone on with where it ended: no row is lost, and none is there twice.
#[tokio::test]
async fn what_breaks_off_is_gone_on_with() {
    let busy = FaultAction::Status { status: 503, headers: Vec::new(), body: String::new() };
    for action in
        [busy, FaultAction::Cut(7000), FaultAction::Reset, FaultAction::WrongLength(90_000)]
    {
        let (rig, _clock) = Rig::skipping(Options { chunk_rows: 500, ..Options::default() }).await;
        rig.workspace.fault(Fault::once("GET", "/results/*/3", action.clone()));
        rows(&rig).await;
    }
}

/// A chunk that is shorter than it should be is no result, however whole it looks.
#[tokio::test]
async fn less_than_there_is_is_no_result() {
    let (rig, _clock) = Rig::skipping(Options { chunk_rows: 500, ..Options::default() }).await;
    rig.workspace.fault(Fault::always("GET", "/results/*/3", FaultAction::WrongLength(7000)));
    let error = rig.error("runSql", input("externalLinks")).await;
    assert_eq!(error.kind, ErrorKind::Protocol, "{error:?}");
}

/// A chunk that is larger than a step is read in parts, so that memory does not grow with it.
#[tokio::test]
async fn large_chunks_come_in_parts() {
    let workspace = local_workspace::LocalWorkspace::start(Options::default()).unwrap();
    let mut limits = Limits::default();
    limits.requests_per_second = 0;
    limits.memory_bytes = 48 << 20;
    let harness = connector_tests::harness_with(Settings { limits, ..Settings::default() });
    let config = connector_tests::pat(&workspace);
    let rig = Rig::connected_by(harness, workspace, config).await;
    let mut input = input("externalLinks");
    let statement = "SELECT id, repeat('x', 300) AS text FROM range(90000)";
    input["sqlStatement"] = json!(statement);
    let result = rig.json("runSql", input).await;
    assert_eq!(result["row_count"], 90_000);
    let ids = result["rows"].as_array().unwrap().iter().map(|row| row[0].as_u64().unwrap());
    assert!(ids.eq(0..90_000));
    assert!(downloads(&rig).iter().any(|one| one.header("range").is_some()));
}
