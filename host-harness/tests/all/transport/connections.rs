//! Which connection a request goes out on, and what becomes of it afterwards.

use super::*;

/// B15: bytes after an answer are never the answer to the next request, which gets a connection of its own.
#[tokio::test]
async fn bytes_after_an_answer() {
    let forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    for first in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood{forged}"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood\r\n\r\n{forged}"),
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngoodx".to_owned(),
        format!("HTTP/1.1 204 No Content\r\n\r\n{forged}"),
        format!("HTTP/1.1 304 Not Modified\r\ncontent-length: 50\r\n\r\n{forged}"),
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n{forged}"
        ),
    ] {
        let rig = Rig::saying(first.clone(), None).await;
        for round in 1..=5 {
            let answer = rig.get().await.unwrap();
            assert!(answer["body"] == "good" || answer["body"] == "", "{first:?}: {answer}");
            assert_eq!(rig.server.connections(), round, "{first:?}");
        }
    }
}

/// B15: neither are bytes that came while the connection lay idle, even when the program has not looked since.
#[tokio::test]
async fn bytes_on_an_idle_connection() {
    let rig = Rig::new(|_| ()).await;
    let forged = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    for round in 1..=200 {
        let acts = vec![Act::Bytes(forged.to_vec()), Act::Close];
        rig.server.rule(Rule::once("GET", "*", Stage::AfterBody, acts));
        rig.get().await.unwrap();
        rig.ended(round).await;
        assert_eq!(rig.post("{}").await.unwrap()["body"], "{}");
        assert_eq!(rig.server.effects(), round);
    }
}

/// B15: a body that looks like an answer is a body.
#[tokio::test]
async fn an_answer_within_a_body() {
    let rig = Rig::new(|_| ()).await;
    let body = "a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    rig.server.answer("*", Answer::json(body));
    for _ in 0..5 {
        assert_eq!(rig.get().await.unwrap()["body"], body);
    }
    assert_eq!(rig.server.connections(), 1);
}

/// B16: a connection that was closed while it lay idle costs a request nothing and does nothing twice.
#[tokio::test]
async fn idle_connections_that_were_closed() {
    let rig = Rig::new(|_| ()).await;
    for round in 1..=1000 {
        // A whole answer that promises to go on, and the end of the connection with it.
        let end = if round % 2 == 0 { Act::Close } else { Act::Reset };
        rig.server.rule(Rule::once("GET", "*", Stage::AfterBody, vec![end]));
        rig.get().await.unwrap();
        rig.ended(round).await;
        rig.post("{}").await.unwrap();
        assert_eq!(rig.server.effects(), round);
        // The next round begins on the connection of this POST.
        assert_eq!(rig.server.connections(), round + 1);
    }
    assert_eq!(rig.server.requests().len(), 2000);
}

/// B16: a connection that is being closed while a request goes out carries the request out once at most.
#[tokio::test]
async fn connections_that_close_at_the_wrong_moment() {
    let rig = Rig::new(|_| ()).await;
    for _ in 0..1000 {
        rig.server.rule(Rule::once("GET", "*", Stage::AfterBody, vec![Act::Close]));
        rig.get().await.unwrap();
        let before = rig.server.effects();
        match rig.post("{}").await {
            Ok(_) => assert_eq!(rig.server.effects(), before + 1),
            // Whether it arrived cannot be known, so it is not sent again.
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
                assert_eq!(rig.server.effects(), before);
            }
        }
    }
}

/// B16: a body that was not read to its end takes its connection with it.
#[tokio::test]
async fn bodies_that_were_half_read() {
    let rig = Rig::faulty(Stage::MidBody, vec![Act::Stall], short).await;
    rig.server.answer("*", Answer::json("x".repeat(1000)));
    rig.read().await.unwrap_err();
    rig.server.clear_rules();
    assert_eq!(rig.get().await.unwrap()["body"].as_str().unwrap().len(), 1000);
    assert_eq!(rig.server.connections(), 2);
}

/// B22: HTTP/1.1 is all that is spoken, so that what can go wrong in HTTP/2 cannot: a server that offers both gets it.
#[tokio::test]
async fn http_2_is_not_spoken() {
    let server = FaultServer::with_tls().unwrap();
    let file = folder().join("ca.pem");
    std::fs::write(&file, server.certificate().unwrap()).unwrap();
    let mut config = config(server.origin());
    config.ca_file = Some(file);
    let harness = harness_with(|_| ());
    let connection = harness.connect(config).await.unwrap();
    let input = json!({ "url": format!("{}/api/any/x", server.origin()) });
    assert_eq!(invoke(&harness, &connection, "get", &input).await.unwrap()["status"], 200);
    assert_eq!(server.requests()[0].target, "/api/any/x");
}

/// K4: a workspace that hangs does not hold up another one, however many of its calls wait.
#[tokio::test]
async fn workspaces_do_not_wait_for_each_other() {
    let rig = Arc::new(
        Rig::faulty(Stage::AfterEffect, vec![Act::Stall], |limits| {
            limits.concurrent_steps = 8;
            limits.concurrent_requests = 4;
        })
        .await,
    );
    let mut hanging = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let rig = Arc::clone(&rig);
        hanging.spawn(async move { rig.get().await });
    }
    while rig.server.requests().len() < 4 {
        tokio::task::yield_now().await;
    }
    let other = FaultServer::start().unwrap();
    let connection = rig.harness.connect(config(other.origin())).await.unwrap();
    for _ in 0..50 {
        let input = json!({ "url": format!("{}/api/any/x", other.origin()) });
        invoke(&rig.harness, &connection, "get", &input).await.unwrap();
    }
    assert_eq!(rig.server.requests().len(), 4);
    hanging.shutdown().await;
}

/// K5: whatever goes wrong, no connection stays open once nobody needs it, and the next call goes well. What memory is left
/// over is the benchmark `soak`'s to measure.
#[tokio::test]
async fn nothing_stays_open() {
    let rig = Rig::new(short).await;
    let large = b"HTTP/1.1 413 -\r\ncontent-length: 0\r\n\r\n".to_vec();
    let hint = b"HTTP/1.1 103 -\r\n\r\n".to_vec();
    let more = b"HTTP/1.1 200 -\r\ncontent-length: 2\r\n\r\n{}more".to_vec();
    for (stage, acts) in [
        (Stage::AfterAccept, vec![Act::Stall]),
        (Stage::AfterHead, vec![Act::Stall]),
        (Stage::AfterHead, vec![Act::Bytes(large), Act::Stall]),
        (Stage::AfterEffect, vec![Act::Reset]),
        (Stage::AfterEffect, vec![Act::Endless(hint)]),
        (Stage::MidHead, vec![Act::Stall]),
        (Stage::MidBody, vec![Act::Stall]),
        (Stage::MidBody, vec![Act::Drip { bytes: 1, pause: Duration::from_millis(200) }]),
        (Stage::AfterEffect, vec![Act::Bytes(more), Act::Stall]),
    ] {
        rig.server.rule(Rule::once("*", "*", stage, acts));
        let _ = rig.post(&"x".repeat(1 << 20)).await;
        rig.post("{}").await.unwrap();
    }
    let Rig { server, harness, connection } = rig;
    drop((harness, connection));
    let closed = async {
        while server.ended() < server.connections() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
}
