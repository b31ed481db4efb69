//! Whether an answer refuses the token it was asked with. Some services say so with 403 and a few words; what was read of
//! those is handed on with the answer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::Clock;

/// Longer explanations are not about a token.
const LONGEST: u64 = 4 << 10;
/// The words of an answer follow its head at once.
const WAIT: Duration = Duration::from_secs(2);

/// An answer's body, with the parts that were read ahead.
pub(crate) struct Peeked {
    ahead: VecDeque<Result<Frame<Bytes>, hyper::Error>>,
    rest: Incoming,
}

/// True for 401, and for a 403 that says that the token is invalid or ends.
pub(crate) async fn refuses_token(
    answer: Response<Incoming>,
    clock: &Clock,
) -> (bool, Response<Peeked>) {
    let mut answer = answer.map(Peeked::from);
    let refuses = match answer.status() {
        StatusCode::UNAUTHORIZED => true,
        StatusCode::FORBIDDEN if answer.body().size_hint().lower() <= LONGEST => {
            let body = answer.body_mut();
            // Late words are none; whoever reads the answer waits for them by its own limits.
            let _ = clock.before(clock.now() + WAIT, body.peek()).await;
            is_about_token(&body.text())
        }
        _ => false,
    };
    (refuses, answer)
}

/// `Invalid access token.`, `Token is expiring within 30 seconds`, `ExpiredJwtException: token …`, and their kin.
fn is_about_token(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    text.contains("token") && ["expir", "invalid", "revoked"].iter().any(|word| text.contains(word))
}

impl From<Incoming> for Peeked {
    fn from(rest: Incoming) -> Self {
        Self { ahead: VecDeque::new(), rest }
    }
}

impl Peeked {
    async fn peek(&mut self) {
        let mut read = 0;
        while read <= LONGEST {
            let Some(frame) = self.rest.frame().await else { break };
            read +=
                frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
            let ends = frame.is_err();
            self.ahead.push_back(frame);
            if ends {
                break;
            }
        }
    }

    /// What was read ahead; nothing when it is too long to be a few words.
    fn text(&self) -> Vec<u8> {
        let frames = self.ahead.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref());
        let text: Vec<u8> = frames.flatten().copied().collect();
        if text.len() as u64 > LONGEST { Vec::new() } else { text }
    }
}

impl Body for Peeked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.ahead.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.iter().filter_map(|frame| frame.as_ref().ok()?.data_ref());
        let ahead: u64 = ahead.map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ahead));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(ahead));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_a_token_are_told_from_others() {
        for (text, about) in [
            (r#"{"error_code":403,"message":"Invalid access token."}"#, true),
            ("Token is expiring within 30 seconds", true),
            ("io.jsonwebtoken.ExpiredJwtException", true),
            (r#"{"message":"Provided OAuth token does not have required scopes: sql"}"#, false),
            (r#"{"error_code":"PERMISSION_DENIED","message":"User lacks CAN_USE"}"#, false),
            ("", false),
        ] {
            assert_eq!(is_about_token(text.as_bytes()), about, "{text}");
        }
    }
}
