//! External links and the storage that they lead to, which is as strict as the real one.

use std::io::ErrorKind;

use local_workspace::{Fault, FaultAction, Host, LocalWorkspace, Options, RUNNING_WAREHOUSE};
use serde_json::{Value, json};

use crate::client::{Answer, get, post, send};

const STATEMENTS: &str = "/api/2.0/sql/statements";

/// Five chunks of two rows each, but for the last.
fn rig(options: Options) -> (LocalWorkspace, Value) {
    let workspace = LocalWorkspace::start(Options { chunk_rows: 2, ..options }).unwrap();
    let answer = submit(&workspace, "JSON_ARRAY");
    (workspace, answer)
}

fn submit(workspace: &LocalWorkspace, format: &str) -> Value {
    let body = json!({
        "statement": "SELECT id, NULL AS nothing FROM range(9)", "warehouse_id": RUNNING_WAREHOUSE,
        "disposition": "EXTERNAL_LINKS", "format": format, "wait_timeout": "30s",
    });
    post(workspace, STATEMENTS, &body)
}

fn first(answer: &Value) -> &Value {
    &answer["result"]["external_links"][0]
}

fn path(workspace: &LocalWorkspace, link: &Value) -> String {
    let link = link["external_link"].as_str().unwrap();
    link.strip_prefix(workspace.storage_origin()).unwrap().to_owned()
}

fn load(workspace: &LocalWorkspace, link: &Value, headers: &[(&str, &str)]) -> Answer {
    send(workspace.storage_origin(), "GET", &path(workspace, link), headers, b"").unwrap()
}

/// Status and code of an answer in the storage's own form.
fn refusal(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/xml"));
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let code = text.split_once("<Code>").unwrap().1.split_once("</Code>").unwrap().0;
    (answer.status, code.to_owned())
}

#[test]
fn links_lead_through_all_chunks_on_another_host() {
    let (workspace, answer) = rig(Options::default());
    assert_ne!(workspace.storage_origin(), workspace.origin());
    assert_eq!(answer["manifest"]["total_chunk_count"], 5);
    let mut chunk = answer["result"].clone();
    let mut rows = Vec::new();
    loop {
        let [link] = chunk["external_links"].as_array().unwrap().as_slice() else { panic!() };
        assert_eq!(
            (&link["row_offset"], &link["chunk_index"]),
            (&json!(rows.len()), &json!(rows.len() / 2))
        );
        let loaded = load(&workspace, link, &[]);
        let length: usize = loaded.header("content-length").unwrap().parse().unwrap();
        assert_eq!((length, &json!(length)), (loaded.body.len(), &link["byte_count"]));
        let part = loaded.json().as_array().unwrap().clone();
        assert_eq!(json!(part.len()), link["row_count"]);
        rows.extend(part);
        let Some(next) = link["next_chunk_internal_link"].as_str() else { break };
        assert_eq!(link["next_chunk_index"], rows.len() / 2);
        chunk = get(&workspace, next);
    }
    let wanted: Vec<Value> = (0..9).map(|id| json!([id.to_string(), null])).collect();
    assert_eq!(rows, wanted);
    let downloads = workspace.requests().into_iter().filter(|one| one.host == Host::Storage);
    assert_eq!(downloads.count(), 5);
}

#[test]
fn links_have_the_keys_of_the_examples() {
    let (_workspace, answer) = rig(Options::default());
    let mut keys: Vec<_> = first(&answer).as_object().unwrap().keys().cloned().collect();
    keys.sort();
    let wanted = [
        "byte_count",
        "chunk_index",
        "expiration",
        "external_link",
        "next_chunk_index",
        "next_chunk_internal_link",
        "row_count",
        "row_offset",
    ];
    assert_eq!(keys, wanted);
}

#[test]
fn csv_has_one_header_and_null_as_a_word() {
    let (workspace, _) = rig(Options::default());
    let answer = submit(&workspace, "CSV");
    assert_eq!(answer["manifest"]["format"], "CSV");
    let loaded = load(&workspace, first(&answer), &[]);
    assert_eq!(loaded.header("content-type"), Some("text/csv"));
    assert_eq!(String::from_utf8(loaded.body).unwrap(), "id,nothing\n0,null\n1,null\n");
    let next = get(&workspace, first(&answer)["next_chunk_internal_link"].as_str().unwrap());
    assert_eq!(load(&workspace, &next["external_links"][0], &[]).body, b"2,null\n3,null\n");
}

#[test]
fn credentials_are_refused_and_counted() {
    let (workspace, answer) = rig(Options::default());
    load(&workspace, first(&answer), &[]);
    assert_eq!(workspace.authorized_downloads(), 0);
    let bearer = format!("Bearer {}", workspace.token());
    let refused = load(&workspace, first(&answer), &[("Authorization", &bearer)]);
    assert_eq!(refusal(&refused), (400, "InvalidArgument".to_owned()));
    assert_eq!(workspace.authorized_downloads(), 1);
}

#[test]
fn a_signature_is_good_for_its_own_address_and_method() {
    let (workspace, answer) = rig(Options::default());
    let path = path(&workspace, first(&answer));
    let asked = |method: &str, path: &str| {
        let answer = send(workspace.storage_origin(), method, path, &[], b"").unwrap();
        refusal(&answer)
    };
    let mismatch = (403, "SignatureDoesNotMatch".to_owned());
    assert_eq!(asked("GET", &path.replacen("/0?", "/1?", 1)), mismatch);
    assert_eq!(asked("GET", &path.replacen("local%2F", "local/", 1)), mismatch);
    assert_eq!(asked("GET", &path.replacen("Expires=", "Expires=9", 1)), mismatch);
    assert_eq!(asked("GET", &format!("{path}0")), mismatch);
    assert_eq!(asked("PUT", &path), mismatch);
    assert_eq!(asked("GET", path.split_once('?').unwrap().0), (403, "AccessDenied".to_owned()));
}

#[test]
fn links_expire_and_the_chunk_call_gives_fresh_ones() {
    let (workspace, answer) = rig(Options::default());
    let id = answer["statement_id"].as_str().unwrap();
    workspace.expire_links();
    let old = load(&workspace, first(&answer), &[]);
    assert_eq!(refusal(&old), (403, "AccessDenied".to_owned()));
    assert!(
        String::from_utf8(old.body).unwrap().contains("<Message>Request has expired</Message>")
    );
    let fresh = get(&workspace, &format!("{STATEMENTS}/{id}/result/chunks/0"));
    let fresh = &fresh["external_links"][0];
    assert_ne!(fresh["external_link"], first(&answer)["external_link"]);
    assert_eq!(load(&workspace, fresh, &[]).json(), json!([["0", null], ["1", null]]));
    let short = Options { link_lifetime: std::time::Duration::ZERO, ..Options::default() };
    let (workspace, answer) = rig(short);
    assert_eq!(load(&workspace, first(&answer), &[]).status, 403);
}

#[test]
fn parts_of_a_chunk_are_served() {
    let (workspace, answer) = rig(Options::default());
    let link = first(&answer);
    let whole = load(&workspace, link, &[]);
    let length = whole.body.len();
    let tag = whole.header("etag").unwrap();
    let part = load(&workspace, link, &[("Range", "bytes=2-4"), ("If-Match", tag)]);
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[2..5]));
    assert_eq!(part.header("content-range"), Some(format!("bytes 2-4/{length}").as_str()));
    assert_eq!((part.header("content-length"), part.header("etag")), (Some("3"), Some(tag)));
    let beyond = load(&workspace, link, &[("Range", &format!("bytes={length}-"))]);
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{length}").as_str()));
    assert_eq!(refusal(&beyond), (416, "InvalidRange".to_owned()));
    let changed = load(&workspace, link, &[("Range", "bytes=0-1"), ("If-Match", "\"other\"")]);
    assert_eq!(refusal(&changed), (412, "PreconditionFailed".to_owned()));
    let unless = load(&workspace, link, &[("Range", "bytes=0-1"), ("If-Range", "\"other\"")]);
    assert_eq!((unless.status, unless.body.len()), (200, length));
    assert_eq!(load(&workspace, link, &[("If-None-Match", tag)]).status, 304);
}

#[test]
fn headers_of_a_link_have_to_come_back() {
    let headers = vec![("x-amz-server-side-encryption-customer-algorithm".into(), "AES256".into())];
    let (workspace, answer) = rig(Options { link_headers: headers, ..Options::default() });
    let given = first(&answer)["http_headers"].as_object().unwrap();
    assert_eq!(load(&workspace, first(&answer), &[]).status, 403);
    let sent: Vec<_> =
        given.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    assert_eq!(load(&workspace, first(&answer), &sent).status, 200);
}

#[test]
fn an_answer_can_have_several_links() {
    let (_workspace, answer) = rig(Options { links_at_once: 3, ..Options::default() });
    let links = answer["result"]["external_links"].as_array().unwrap();
    let indexes: Vec<_> = links.iter().map(|link| link["chunk_index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [0, 1, 2]);
    assert_eq!(links[2]["next_chunk_index"], 3);
}

#[test]
fn faults_of_the_storage_are_scripted() {
    let (workspace, answer) = rig(Options::default());
    let link = first(&answer);
    let hit = |action: FaultAction| {
        workspace.fault(Fault::once("GET", "/results/*", action));
        load(&workspace, link, &[])
    };
    assert_eq!(refusal(&hit(FaultAction::Expired)), (403, "AccessDenied".to_owned()));
    let slow =
        FaultAction::Status { status: 503, headers: Vec::new(), body: "<Error/>".to_owned() };
    assert_eq!(hit(slow).status, 503);
    let whole = load(&workspace, link, &[]).body;
    assert_eq!(hit(FaultAction::Cut(5)).body, &whole[..5]);
    let shorter = hit(FaultAction::WrongLength(4));
    assert_eq!((shorter.header("content-length"), &shorter.body[..]), (Some("4"), &whole[..4]));
    let longer = hit(FaultAction::WrongLength(1000));
    assert_eq!((longer.header("content-length"), &longer.body), (Some("1000"), &whole));
}

#[test]
fn a_closed_storage_refuses_connections() {
    let (mut workspace, answer) = rig(Options::default());
    let mut kept = std::net::TcpStream::connect(workspace.storage_host()).unwrap();
    workspace.close_storage();
    let path = path(&workspace, first(&answer));
    let refused = send(workspace.storage_origin(), "GET", &path, &[], b"");
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::ConnectionRefused));
    // Whether it was accepted or not, nothing comes of it.
    let nothing = std::io::Read::read(&mut kept, &mut [0; 1]);
    assert!(matches!(nothing, Ok(0) | Err(_)), "{nothing:?}");
    get(&workspace, &format!("{STATEMENTS}/{}", answer["statement_id"].as_str().unwrap()));
}
