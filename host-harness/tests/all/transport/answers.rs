//! What comes as an answer: in time, within limits, in a form that can be believed, and whole.

use super::*;

/// B4: an answer that does not begin is given up.
#[tokio::test]
async fn silence_instead_of_an_answer() {
    for stage in [Stage::AfterHead, Stage::AfterEffect] {
        let rig = Rig::faulty(stage, vec![Act::Stall], short).await;
        let error = rig.get().await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, "127.0.0.1: no answer within 0.06 s");
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::HttpResponseTimeout"));
    }
}

/// B5: the limit is on the complete head, so that one that comes byte by byte is given up as well.
#[tokio::test]
async fn a_head_that_drips() {
    let drip = Act::Drip { bytes: 1, pause: Duration::from_millis(10) };
    let rig = Rig::faulty(Stage::AfterEffect, vec![drip], short).await;
    assert_error(&rig.get().await.unwrap_err(), ErrorKind::Timeout, "no answer within 0.06 s");
    let half = Rig::faulty(Stage::MidHead, vec![Act::Stall], short).await;
    assert_error(&half.get().await.unwrap_err(), ErrorKind::Timeout, "no answer within 0.06 s");
}

/// B6: a body that comes byte by byte, never silent for long, is given up as well.
#[tokio::test]
async fn a_body_that_drips() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let whole = Answer::json("x".repeat(4096));
    let chunks = Answer { head: chunked, body: b"1\r\nx\r\n".repeat(1000) };
    for answer in [whole, chunks] {
        let drip = Act::Drip { bytes: 1, pause: Duration::from_millis(5) };
        let rig = Rig::faulty(Stage::MidBody, vec![drip], |limits| {
            limits.rate_window = Duration::from_millis(50);
        })
        .await;
        rig.server.answer("*", answer);
        let error = rig.read().await.unwrap_err();
        assert_error(&error, ErrorKind::Timeout, "it came too slowly: ");
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionReadTimeout"));
    }
}

/// B6: what comes at more than the least rate is taken, however long it takes; a rate of 0 sets no limit.
#[tokio::test]
async fn a_body_that_is_only_slow() {
    for (rate, bytes) in [(1024, 64), (0, 1)] {
        let drip = Act::Drip { bytes, pause: Duration::from_millis(5) };
        let rig = Rig::faulty(Stage::MidBody, vec![drip], |limits| {
            limits.response_bytes_per_second = rate;
            limits.rate_window = Duration::from_millis(30);
        })
        .await;
        rig.server.answer("*", Answer::json("x".repeat(64 * bytes)));
        assert_eq!(rig.get().await.unwrap()["body"].as_str().unwrap().len(), 64 * bytes);
    }
}

/// B7: a body that stops is given up.
#[tokio::test]
async fn a_body_that_stalls() {
    let rig = Rig::faulty(Stage::MidBody, vec![Act::Stall], short).await;
    let error = rig.read().await.unwrap_err();
    assert_error(&error, ErrorKind::Timeout, "nothing came for 0.06 s");
    assert_eq!(error.error_code.as_deref(), Some("ErrorCode::ConnectionReadTimeout"));
}

/// B8: a body that ends before its declared size is no body, and the error has both numbers.
#[tokio::test]
async fn less_than_was_declared() {
    for end in [Act::Close, Act::Reset] {
        let answer = Answer::json("x".repeat(100));
        let rig = Rig::faulty(Stage::At(answer.head.len() + 40), vec![end], |_| ()).await;
        rig.server.answer("*", answer);
        let error = rig.read().await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, "it ended after 40 of 100 bytes");
        assert_eq!(error.error_code.as_deref(), Some("ErrorCode::HttpResponseIncomplete"));
    }
}

/// B9: chunks without the last one are no body.
#[tokio::test]
async fn chunks_without_an_end() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (cut, says) in [
        ("3\r\nabc\r\n", "it was cut off after 3 bytes"),
        ("3\r\nab", "it was cut off after 2 bytes"),
        ("3\r\nabc\r\n0\r\n", "it was cut off after 3 bytes"),
        ("3\r\nabcd\r\n0\r\n\r\n", "it is not HTTP after 3 bytes"),
        ("x\r\nabc\r\n0\r\n\r\n", "it is not HTTP after 0 bytes"),
    ] {
        let rig = Rig::saying(format!("{head}{cut}"), Some(Act::Close)).await;
        assert_error(&rig.read().await.unwrap_err(), ErrorKind::Protocol, says);
    }
}

/// B11: a declared size beyond the limit is refused unread, an endless body is stopped at the limit.
#[tokio::test]
async fn more_than_is_taken() {
    let declared = "HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n";
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let open = "HTTP/1.1 200 OK\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes();
    for head in [declared, endless, open] {
        let acts = vec![Act::Bytes(head.into()), Act::Endless(chunk.clone())];
        let rig = Rig::faulty(Stage::AfterEffect, acts, |limits| limits.response_bytes = 100_000);
        let rig = rig.await;
        let error = rig.read().await.unwrap_err();
        assert_error(
            &error,
            ErrorKind::TooLarge,
            "the answer is larger than 100000 bytes (limits.response_bytes)",
        );
        let code = "ErrorCode::HttpResponseBodySize(Some(100000))";
        assert_eq!(error.error_code.as_deref(), Some(code));
        // The connection goes with what is left on it.
        rig.server.clear_rules();
        rig.get().await.unwrap();
        assert_eq!(rig.server.connections(), 2);
    }
}

/// B12: nothing is unpacked: we ask for bytes as they are, and an answer in any coding is an error before it is read.
#[tokio::test]
async fn codings_that_nobody_asked_for() {
    for coding in ["gzip", "gzip, gzip", "deflate", "br", "zstd", "x-gzip", "identity, gzip"] {
        let rig = Rig::new(|_| ()).await;
        let header = format!("content-encoding: {coding}\r\n");
        rig.server.answer("*", Answer::new(200, &header, "\u{1f}packed"));
        let error = rig.get().await.unwrap_err();
        let says =
            format!("the answer (status 200) is encoded as {coding}, which nobody asked for");
        assert_error(&error, ErrorKind::Protocol, &says);
        assert_eq!(rig.server.requests()[0].header("accept-encoding"), Some("identity"));
    }
    let rig = Rig::new(|_| ()).await;
    rig.server.answer("*", Answer::new(200, "Content-Encoding: Identity\r\n", "{}"));
    let asked = rig.call("get", json!({"headers": {"Accept-Encoding": "gzip"}})).await.unwrap();
    assert_eq!(asked["body"], "{}");
    assert_eq!(rig.server.requests()[0].header("accept-encoding"), Some("identity"));
}

/// B13: too many headers or too much of them are no answer, and cookies go no further.
#[tokio::test]
async fn headers_beyond_their_limits() {
    let many = "x-y: z\r\n".repeat(101);
    let large = format!("x-y: {}\r\n", "z".repeat(1 << 20));
    let cookies = "set-cookie: a=b\r\n".repeat(200);
    for headers in [&many, &large, &cookies] {
        let rig = Rig::new(|_| ()).await;
        rig.server.answer("*", Answer::new(200, headers, "{}"));
        let error = rig.get().await.unwrap_err();
        assert_error(&error, ErrorKind::Protocol, "headers are too many or too large");
    }
    let rig = Rig::new(|_| ()).await;
    let fitting = "set-cookie: a=b\r\n".repeat(50) + &"x-y: z\r\n".repeat(49);
    rig.server.answer("*", Answer::new(200, &fitting, "{}"));
    assert_eq!(rig.get().await.unwrap()["headers"]["set-cookie"], Json::Null);
    let rig = Rig::new(|limits| limits.response_headers = 3).await;
    rig.server.answer("*", Answer::new(200, &"x-y: z\r\n".repeat(4), "{}"));
    assert_error(&rig.get().await.unwrap_err(), ErrorKind::Protocol, "too many or too large");
}

/// B14: an answer of which it is not certain where it ends, or that is not HTTP, is an error, and its connection is not used
/// again.
#[tokio::test]
async fn framing_that_can_be_read_in_two_ways() {
    for (head, says) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\n", "content-length"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", "content-length"),
        ("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", "content-length"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\n", "content-length"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "in two ways, Content-Length and chunks",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n", "transfer coding xchunked"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "gzip, chunked"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n",
            "transfer coding chunked, x",
        ),
        ("HTTP/1.1 200 OK\r\nx-folded: a\r\n b\r\ncontent-length: 5\r\n\r\n", "header"),
        ("HTTP/1.1 200 OK\r\nx-nul: a\0b\r\ncontent-length: 5\r\n\r\n", "header"),
        ("HTTP/1.1 200 OK\r\nx name: a\r\ncontent-length: 5\r\n\r\n", "header"),
        ("HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\n", "header"),
        ("HTTP/2.0 200 OK\r\ncontent-length: 5\r\n\r\n", "version"),
        ("HTTP/1.1 20 OK\r\ncontent-length: 5\r\n\r\n", "status"),
        ("HTTP/1.1 101 Upgraded\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "status 101"),
        ("{\"not\": \"http\"}\r\n\r\n", "is not HTTP"),
    ] {
        let rig = Rig::saying(format!("{head}5\r\nhello\r\n0\r\n\r\n"), None).await;
        let error = rig.get().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Protocol, "{head:?}: {error}");
        assert!(error.message.contains(says), "{head:?}: {error}");
        rig.server.clear_rules();
        assert_eq!(rig.get().await.unwrap()["body"], "{}", "{head:?}");
        assert_eq!(rig.server.connections(), 2, "{head:?}");
    }
}

/// B14: a bare line feed ends a line (RFC 9112, 2.2, allows it), and the answer is as long as it says all the same.
#[tokio::test]
async fn bare_line_feeds_end_lines() {
    let rig = Rig::saying("HTTP/1.1 200 OK\ncontent-length: 5\n\nhello", None).await;
    assert_eq!(rig.get().await.unwrap()["body"], "hello");
    rig.server.clear_rules();
    assert_eq!(rig.get().await.unwrap()["body"], "{}");
}

/// A15: a few interim answers are passed over, a flood of them is an error, at once or one by one.
#[tokio::test]
async fn interim_answers() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let rig = Rig::saying(hint.repeat(16) + last, None).await;
    assert_eq!(rig.get().await.unwrap()["body"], "{}");
    let says = "more than 16 interim answers (status 1xx)";
    for count in [17, 1000] {
        let rig = Rig::saying(hint.repeat(count) + last, None).await;
        assert_error(&rig.get().await.unwrap_err(), ErrorKind::Protocol, says);
    }
    let rig = Rig::faulty(Stage::AfterEffect, vec![Act::Endless(hint.into())], |_| ()).await;
    assert_error(&rig.get().await.unwrap_err(), ErrorKind::Protocol, says);
}

/// B8, B9, M17: every place at which an answer can break, in each framing: none of them is ever taken for the whole.
#[tokio::test]
async fn no_cut_is_taken_for_the_whole() {
    let body = format!("{{\"rows\":\"{}\"}}", "x".repeat(4096 - 11));
    let chunks = body.as_bytes().chunks(512).fold(Vec::new(), |mut all, chunk| {
        all.extend(format!("{:x}\r\n", chunk.len()).bytes());
        all.extend(chunk);
        all.extend(b"\r\n");
        all
    });
    let chunked = Answer {
        head: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        body: [chunks, b"0\r\n\r\n".to_vec()].concat(),
    };
    for answer in [Answer::json(body.clone()), chunked] {
        let rig = Rig::new(|_| ()).await;
        let whole = answer.bytes().len();
        rig.server.answer("*", answer);
        for offset in 0..whole {
            let end = if offset % 2 == 0 { Act::Close } else { Act::Reset };
            rig.server.rule(Rule::once("*", "*", Stage::At(offset), vec![end]));
            let answer = rig.get().await;
            assert!(answer.is_err(), "cut after {offset} of {whole} bytes: {answer:?}");
        }
        assert_eq!(rig.get().await.unwrap()["body"], *body);
    }
}
