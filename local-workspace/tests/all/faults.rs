//! Scripted faults as the client's socket sees them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use local_workspace::{Effect, Fault, FaultAction, Options, RUNNING_CLUSTER, RUNNING_WAREHOUSE};
use serde_json::json;

use crate::client::{call, get, send, workspace};

fn path() -> String {
    format!("/api/2.1/clusters/get?cluster_id={RUNNING_CLUSTER}")
}

#[test]
fn status_replaces_the_answer_as_often_as_asked() {
    let workspace = workspace();
    let action = FaultAction::Status {
        status: 429,
        headers: vec![("Retry-After".to_owned(), "7".to_owned())],
        body: json!({ "error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down" }).to_string(),
    };
    workspace.fault(Fault {
        skip: 1,
        times: 2,
        ..Fault::once("GET", "/api/*/clusters/get", action)
    });
    let statuses: Vec<_> = (0..4).map(|_| call(&workspace, "GET", &path(), "").status).collect();
    assert_eq!(statuses, [200, 429, 429, 200]);
    assert_eq!(workspace.requests().len(), 4);
}

#[test]
fn reset_is_a_reset() {
    let workspace = workspace();
    workspace.fault(Fault::once("GET", "*", FaultAction::Reset));
    let bearer = format!("Bearer {}", workspace.token());
    let answer = send(workspace.origin(), "GET", &path(), &[("Authorization", &bearer)], b"");
    assert_eq!(answer.err().map(|e| e.kind()), Some(ErrorKind::ConnectionReset));
    get(&workspace, &path());
}

#[test]
fn cut_announces_more_than_it_sends() {
    let workspace = workspace();
    workspace.fault(Fault::once("GET", "*", FaultAction::Cut(100)));
    let cut = call(&workspace, "GET", &path(), "");
    let announced: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert_eq!(cut.body.len(), 100);
    assert!(announced > 1000);
}

#[test]
fn a_cut_head_is_a_part_of_one() {
    let workspace = workspace();
    workspace.fault(Fault::once("GET", "*", FaultAction::CutHead(20)));
    let host = workspace.origin().strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let bearer = workspace.token();
    let head =
        format!("GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n", path());
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    assert_eq!(text, "HTTP/1.1 200 OK\r\ncon");
}

#[test]
fn drip_and_delay_take_their_time() {
    let workspace = workspace();
    let pause = Duration::from_millis(20);
    workspace.fault(Fault::once("GET", "*/get", FaultAction::Drip { bytes: 300, pause }));
    workspace.fault(Fault::once("GET", "*/get", FaultAction::Delay(Duration::from_millis(150))));
    let start = Instant::now();
    assert_eq!(get(&workspace, &path())["state"], "RUNNING");
    assert!(start.elapsed() >= pause * 5);
    let start = Instant::now();
    get(&workspace, &path());
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[test]
fn effect_can_come_before_the_reset() {
    let workspace = workspace();
    let action = FaultAction::AfterEffect(Box::new(FaultAction::Reset));
    workspace.fault(Fault::once("POST", "/api/2.0/sql/statements", action));
    let bearer = format!("Bearer {}", workspace.token());
    let body = json!({ "statement": "SELECT 1", "warehouse_id": RUNNING_WAREHOUSE }).to_string();
    let headers = [("Authorization", bearer.as_str())];
    let answer =
        send(workspace.origin(), "POST", "/api/2.0/sql/statements", &headers, body.as_bytes());
    assert!(answer.is_err());
    assert_eq!(workspace.effects(Effect::Statement), 1);
}

#[test]
fn stall_never_answers() {
    let workspace = workspace();
    workspace.fault(Fault::once("GET", "*", FaultAction::Stall));
    let host = workspace.origin().strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let read = std::io::Read::read(&mut stream, &mut [0; 1]);
    assert!(matches!(read.map_err(|e| e.kind()), Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)));
}

#[test]
fn local_paths_echo_fill_and_show_a_page() {
    let workspace = workspace();
    let echo = call(&workspace, "LINK", "/api/2.0/local/echo?a=1&a=2", "{\"x\":1}").json();
    assert_eq!(
        (&echo["method"], &echo["query"]),
        (&json!("LINK"), &json!([["a", "1"], ["a", "2"]]))
    );
    assert_eq!(
        (&echo["body"], &echo["headers"]["authorization"]),
        (&json!("{\"x\":1}"), &json!("(sent)"))
    );
    let bytes = call(&workspace, "GET", "/api/2.0/local/bytes?size=100000", "");
    assert_eq!(bytes.header("content-length"), Some("100000"));
    assert_eq!(bytes.json()[0]["order_id"].to_string(), "9007199254740993");
    let page = call(&workspace, "GET", "/api/2.0/local/html", "");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
}

#[test]
fn tls_serves_under_its_own_authority() {
    let options = Options { tls: true, ..Options::default() };
    let workspace = local_workspace::LocalWorkspace::start(options).unwrap();
    assert!(workspace.origin().starts_with("https://localhost:"));
    let mut roots = tokio_rustls::rustls::RootCertStore::empty();
    let pem = std::fs::read(workspace.ca_file().unwrap()).unwrap();
    assert_eq!(pem, workspace.ca_pem().unwrap().as_bytes());
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let config = tokio_rustls::rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut session = tokio_rustls::rustls::ClientConnection::new(config.into(), name).unwrap();
    let address = workspace.origin().strip_prefix("https://").unwrap();
    let mut socket =
        std::net::TcpStream::connect(address.replace("localhost", "127.0.0.1")).unwrap();
    let mut stream = tokio_rustls::rustls::Stream::new(&mut session, &mut socket);
    let request =
        b"GET /.well-known/databricks-config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut stream, request).unwrap();
    let mut text = String::new();
    let _ = std::io::Read::read_to_string(&mut stream, &mut text);
    assert!(text.contains("200 OK") && text.contains("oidc_endpoint"), "{text}");
}
