//! From a host to a connection: names, addresses, TCP and TLS, each of which may fail or take too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use host_harness::{Delivery, Error, ErrorKind, Harness, Limits};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::fixtures::{config, invoke};
use crate::names::{Names, SILENT};
use crate::server::{Reply, Server};

const SHORT: Duration = Duration::from_millis(40);

/// What becomes of a request to a host of the connection's own.
async fn outcome(harness: &Harness, host: &str, private: bool) -> Result<(), Error> {
    let mut config = config(host);
    config.allow_private_addresses = private;
    let connection = harness.connect(config).await?;
    let input = json!({ "url": format!("{host}/api/safe/1") });
    invoke(harness, &connection, "get", &input).await.map(drop)
}

/// The guest says of each of its failures that nothing was sent; what counts is that the host does not say otherwise.
fn is_unsent(error: &Error, kind: ErrorKind, message: &str) {
    assert_eq!((error.kind, error.delivery), (kind, Delivery::NotSent), "{error}");
    assert!(error.message.contains(message), "{error}");
    assert!(error.message.len() <= 300 && !error.message.contains('\n'), "{error}");
}

async fn refused(addresses: &str, private: bool) -> (Error, usize) {
    let names = Names::new(&[("work.test", &[addresses])]);
    let harness = names.harness(|_| ());
    let error = outcome(&harness, "https://work.test:1", private).await.unwrap_err();
    (error, names.asked().len())
}

/// D7: a name that leads to an address of no public host is not dialled, and the message says what would allow it.
#[tokio::test]
async fn addresses_that_are_not_public_are_not_dialled() {
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "::1",
        "fd00::1",
        "fd00:ec2::254",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "100.100.100.200",
    ] {
        let (error, asked) = refused(address, false).await;
        is_unsent(&error, ErrorKind::Refused, "set allow_private_addresses");
        assert!(!error.retryable && asked == 1, "{address}: {error:?}");
    }
    for address in [
        "0.0.0.0",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::127.0.0.1",
        "fe80::1",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "2001:0:a9fe:a9fe::1",
        "::ffff:169.254.169.254",
        "ff02::1",
    ] {
        for private in [false, true] {
            let (error, asked) = refused(address, private).await;
            is_unsent(&error, ErrorKind::Refused, "which is never let out");
            assert_eq!(asked, 1, "{address}");
        }
    }
}

/// D7: literals are no way around it.
#[tokio::test]
async fn literal_addresses_are_judged_like_those_of_names() {
    let names = Names::default();
    let harness = names.harness(|_| ());
    for host in [
        "https://10.0.0.1",
        "https://127.0.0.2:1",
        "https://[fd00::1]",
        "https://[::ffff:10.0.0.1]",
    ] {
        let mut own = config(host);
        own.allow_http_loopback = false;
        let connection = harness.connect(own).await.unwrap();
        let input = json!({ "url": format!("{host}/api/one/1") });
        let error = invoke(&harness, &connection, "get", &input).await.unwrap_err();
        is_unsent(&error, ErrorKind::Refused, "set allow_private_addresses");
    }
    assert_eq!(names.asked().len(), 0);
}

/// D7: the operator can say that the hosts of a connection are on a private network.
#[tokio::test]
async fn private_addresses_are_reached_where_the_operator_says_so() {
    let server = Server::start(|_| Reply::json("{}")).await;
    let port = server.url.rsplit(':').next().unwrap();
    let names = Names::new(&[("work.test", &["127.0.0.1"])]);
    let harness = names.harness(|limits| limits.tls = SHORT);
    let error = outcome(&harness, &format!("https://work.test:{port}"), true).await.unwrap_err();
    // The server waits for a request and does not know of TLS, but it was reached.
    is_unsent(&error, ErrorKind::Timeout, "the TLS handshake took longer");
    assert!(server.connections() > 0);
}

/// D7: plain http is for this machine, and a name that says it is this machine may lie.
#[tokio::test]
async fn plain_http_never_leaves_this_machine() {
    for address in ["1.1.1.1", "10.0.0.1"] {
        let names = Names::new(&[("localhost", &[address])]);
        let error = outcome(&names.harness(|_| ()), "http://localhost:1", true).await.unwrap_err();
        is_unsent(&error, ErrorKind::Refused, "is not on this machine");
    }
}

/// D8: an answer of good and bad addresses is reduced to the good ones, and what was checked is what is dialled: a name
/// that leads elsewhere the second time is not asked a second time.
#[tokio::test]
async fn names_are_resolved_once_and_filtered() {
    let server = Server::start(|_| Reply::json("{}")).await;
    let port = server.url.rsplit(':').next().unwrap();
    let url = format!("http://localhost:{port}");
    let names = Names::new(&[(
        "localhost",
        &["169.254.169.254 10.0.0.1 127.0.0.1 ::ffff:169.254.169.254", "10.0.0.1"],
    )]);
    outcome(&names.harness(|_| ()), &url, false).await.unwrap();
    assert_eq!((server.connections(), names.asked().len()), (1, 1));

    let names = Names::new(&[("localhost", &["10.0.0.1", "127.0.0.1"])]);
    outcome(&names.harness(|_| ()), &url, false).await.unwrap_err();
    assert_eq!((server.connections(), names.asked().len()), (1, 1));
}

/// B1: nobody there, under the name or at the address, and nothing was sent.
#[tokio::test]
async fn hosts_that_are_not_there_are_known_not_to_be_reached() {
    let harness = Names::default().harness(|_| ());
    let error = outcome(&harness, "https://nobody.test", false).await.unwrap_err();
    is_unsent(
        &error,
        ErrorKind::Unavailable,
        "nobody.test: the name cannot be resolved: no such name",
    );
    let error = outcome(&harness, "http://127.0.0.1:1", false).await.unwrap_err();
    is_unsent(&error, ErrorKind::Unavailable, "127.0.0.1: the connection was refused");
}

async fn late(change: impl FnOnce(&mut Limits), host: &str, message: &str) {
    let names = Names::default();
    let error = outcome(&names.harness(change), host, false).await.unwrap_err();
    is_unsent(&error, ErrorKind::Timeout, message);
}

#[tokio::test]
async fn a_name_is_not_waited_for_for_long() {
    let host = format!("https://{SILENT}");
    late(|limits| limits.dns = SHORT, &host, "resolving the name took longer than 0.04 s").await;
}

/// A listener whose queue is full, so that nobody answers who connects.
async fn deaf() -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 64, "the queue takes everybody");
    }
    (listener, waiting)
}

#[tokio::test]
async fn a_connection_is_not_waited_for_for_long() {
    let (listener, _waiting) = deaf().await;
    let host = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    late(|limits| limits.connect = SHORT, &host, "connecting took longer than 0.04 s").await;
}

/// B2: a peer that accepts and says nothing gets its own time, and nothing was sent to it.
#[tokio::test]
async fn a_handshake_is_not_waited_for_for_long() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let harness = Names::new(&[("localhost", &["127.0.0.1"])]).harness(|limits| limits.tls = SHORT);
    let error = outcome(&harness, &host, false).await.unwrap_err();
    is_unsent(&error, ErrorKind::Timeout, "localhost: the TLS handshake took longer than 0.04 s");
}

/// What is said when a peer answers the handshake with these bytes, and how often it was called.
async fn handshake(answer: &'static [u8]) -> (Error, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            stream.write_all(answer).await.unwrap();
            if answer.is_empty() {
                continue;
            }
            tokio::spawn(async move {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    let harness = Names::new(&[("localhost", &["127.0.0.1"])]).harness(|_| ());
    let error = outcome(&harness, &host, false).await.unwrap_err();
    (error, calls.load(SeqCst))
}

/// B3: a server of old TLS is told apart, and not tried again.
#[tokio::test]
async fn old_tls_is_refused() {
    // A ServerHello of TLS 1.0 with TLS_RSA_WITH_AES_128_CBC_SHA.
    const OLD: &[u8] = &[
        0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 0, 0x2f, 0,
    ];
    // The alert protocol_version.
    const ALERT: &[u8] = &[0x15, 3, 1, 0, 2, 2, 70];
    for answer in [OLD, ALERT] {
        let (error, calls) = handshake(answer).await;
        is_unsent(&error, ErrorKind::Unavailable, "localhost: TLS failed: ");
        assert!(!error.retryable && calls == 1, "{calls} calls, {error:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_cut_sends_nothing() {
    let (error, _) = handshake(b"").await;
    is_unsent(
        &error,
        ErrorKind::Unavailable,
        "localhost: the connection was cut before TLS was agreed on",
    );
}

/// The waits of slots are those of the clock, and no request is lost without a word.
#[tokio::test]
async fn a_slot_is_not_waited_for_for_long() {
    let server = Server::start(|request| match request.line.ends_with("/first") {
        true => Reply::raw(&[], crate::server::Then::Hang),
        false => Reply::json("{}"),
    })
    .await;
    let harness = crate::fixtures::harness_with(|limits| {
        limits.concurrent_requests = 1;
        limits.slot = SHORT;
    });
    let connection = harness.connect(config(&server.url)).await.unwrap();
    let call = |path: &str| json!({ "url": format!("{}/api/one/{path}", server.url) });
    let (first, second) = (call("first"), call("second"));
    let holds = invoke(&harness, &connection, "get", &first);
    let waits = async {
        while server.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        invoke(&harness, &connection, "get", &second).await.unwrap_err()
    };
    tokio::select! {
        done = holds => panic!("the server does not answer: {done:?}"),
        error = waits => {
            is_unsent(&error, ErrorKind::Unavailable, "all 1 requests that may be open at once were busy for 0.04 s");
        }
    }
    assert_eq!(server.requests().len(), 1);
}
