//! Requests that are large, slow or cut.

use super::*;

/// B19: a server that reads slowly gets its request, however much longer that takes than the answer may.
#[tokio::test]
async fn uploads_that_are_read_slowly() {
    let slowly = Act::ReadSlowly { bytes: 32 << 10, pause: Duration::from_millis(4) };
    let rig = Rig::faulty(Stage::AfterHead, vec![slowly], |limits| {
        // Less than the 128 pauses, more than those that are left when all is handed over.
        limits.first_byte = Duration::from_millis(400);
    })
    .await;
    let body = "x".repeat(4 << 20);
    rig.post(&body).await.unwrap();
    assert_eq!(rig.server.requests()[0].body_bytes, body.len());
}

/// B19: a server that stops reading is given up.
#[tokio::test]
async fn uploads_that_are_not_read() {
    let rig = Rig::faulty(Stage::AfterHead, vec![Act::Stall], |limits| {
        limits.write_idle = Duration::from_millis(60);
    })
    .await;
    let error = rig.post(&"x".repeat(8 << 20)).await.unwrap_err();
    assert_error(&error, ErrorKind::Timeout, "it took nothing of the request for 0.06 s");
    assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionWriteTimeout"));
    assert_eq!(rig.server.effects(), 0);
}

/// B19: an answer that comes before the request is read is the answer, whatever the server does with the rest.
#[tokio::test]
async fn answers_before_the_end_of_the_request() {
    let early = b"HTTP/1.1 413 -\r\ncontent-length: 5\r\n\r\nlarge".to_vec();
    for then in [Act::Stall, Act::Close, Act::Reset] {
        for _ in 0..20 {
            let acts = vec![Act::Bytes(early.clone()), then.clone()];
            let rig = Rig::faulty(Stage::AfterHead, acts, |limits| {
                limits.write_idle = Duration::from_secs(2);
            })
            .await;
            let answer = rig.post(&"x".repeat(2 << 20)).await;
            match (answer, &then) {
                (Ok(answer), _) => assert_eq!(answer["status"], 413),
                // A reset may overtake what was sent before it.
                (Err(error), Act::Reset) => assert_eq!(error.kind, ErrorKind::Unavailable),
                (Err(error), then) => panic!("{then:?}: {error}"),
            }
            assert_eq!(rig.server.effects(), 0);
        }
    }
}

/// B20: a server that hangs up in the middle of a request leaves it unknown what became of it.
#[tokio::test]
async fn uploads_that_are_cut() {
    for end in [Act::Close, Act::Reset] {
        let rig = Rig::new(|_| ()).await;
        rig.server.rule(Rule::always(Stage::AfterHead, vec![end]));
        let error = rig.post(&"x".repeat(4 << 20)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionTerminated"));
        assert_eq!((rig.server.requests().len(), rig.server.effects()), (1, 0));
    }
}

/// Requests have limits of their own, and none that exceeds them is begun.
#[tokio::test]
async fn requests_beyond_their_limits() {
    let rig = Rig::new(|limits| {
        limits.request_head_bytes = 500;
        limits.request_bytes = 2000;
        limits.request_json_bytes = 1000;
    })
    .await;
    let json = json!({"content-type": "application/json; charset=utf-8"});
    for (input, says) in [
        (
            json!({"headers": {"x-long": "x".repeat(500)}}),
            "URL and headers exceed 500 bytes (limits.request_head_bytes)",
        ),
        (json!({"method": "POST", "body": "x".repeat(2001)}), "body exceeds 2000 bytes"),
        (
            json!({"method": "POST", "headers": json, "body": "x".repeat(1001)}),
            "body exceeds 1000 bytes",
        ),
    ] {
        let error = rig.call("get", input).await.unwrap_err();
        assert_error(&error, ErrorKind::TooLarge, says);
    }
    assert_eq!(rig.server.connections(), 0);
    for input in [
        json!({"method": "POST", "body": "x".repeat(2000)}),
        json!({"method": "POST", "headers": json, "body": "x".repeat(1000)}),
    ] {
        rig.call("get", input).await.unwrap();
    }
}
