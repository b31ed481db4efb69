//! What authorizes requests: the secret itself, or OAuth tokens that it is exchanged for (RFC 6749, 4.4).
//!
//! `kept` is the secret and where a new one comes from, `endpoint` asks for tokens, `source` keeps the one in use and renews
//! it in time, `known` is what answers are searched for, and `refusal` tells whether an answer is about the token.

mod endpoint;
mod kept;
mod known;
mod refusal;
mod source;

use std::sync::{Arc, PoisonError, RwLock};

use http::header::HeaderValue;

pub(crate) use endpoint::Endpoint;
pub(crate) use kept::KeptSecret;
pub(crate) use known::Known;
pub(crate) use refusal::{Peeked, refuses_token};
pub(crate) use source::TokenSource;

use crate::Secret;
use crate::error::Error;
use crate::scrub::{SHORTEST, Scrubber};

/// Longer tokens exceed what servers take in one header.
const LONGEST: usize = 16 << 10;

/// What goes into `Authorization`, and what finds it again in answers.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub(crate) header: HeaderValue,
    pub(crate) scrubber: Arc<Scrubber>,
    token: Arc<Secret>,
}

/// Where the bearer tokens of a connection come from.
pub(crate) enum Credentials {
    /// The secret is the token.
    Fixed(Box<FixedToken>),
    Exchanged(Arc<TokenSource>),
}

impl Bearer {
    /// None when the text cannot stand in a header.
    fn new(token: Secret, known: &Known) -> Option<Self> {
        let text = token.expose();
        let fits = (1..=LONGEST).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut header = HeaderValue::try_from(format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        let scrubber = known.with_token(&token);
        Some(Self { header, scrubber, token: Arc::new(token) })
    }
}

impl Credentials {
    pub(crate) async fn bearer(&self) -> Result<Bearer, Error> {
        match self {
            Self::Fixed(token) => Ok(token.bearer()),
            Self::Exchanged(source) => source.bearer(None).await,
        }
    }

    /// Finds the secrets in use, and those that they replaced not long ago.
    pub(crate) fn scrubber(&self) -> Arc<Scrubber> {
        match self {
            Self::Fixed(token) => token.known.scrubber(),
            Self::Exchanged(source) => source.known.scrubber(),
        }
    }

    /// Another token in place of one that was refused; none where there is only the one.
    pub(crate) async fn renewed(&self, refused: &Bearer) -> Result<Option<Bearer>, Error> {
        match self {
            Self::Fixed(token) => Ok(token.other_than(refused).await),
            Self::Exchanged(source) => source.bearer(Some(refused)).await.map(Some),
        }
    }
}

/// A secret that is the token, until its place holds another one.
pub(crate) struct FixedToken {
    kept: KeptSecret,
    known: Known,
    bearer: RwLock<Bearer>,
}

impl FixedToken {
    /// None when the secret cannot stand in a header.
    pub(crate) fn new(kept: KeptSecret) -> Option<Self> {
        let known = Known::default();
        let bearer = RwLock::new(Bearer::new(kept.current(), &known)?);
        Some(Self { kept, known, bearer })
    }

    fn bearer(&self) -> Bearer {
        self.bearer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn other_than(&self, refused: &Bearer) -> Option<Bearer> {
        let secret = self.kept.other_than(&refused.token).await?;
        let mut current = self.bearer.write().unwrap_or_else(PoisonError::into_inner);
        if *current.token != secret {
            *current = Bearer::new(secret, &self.known)?;
        }
        Some(current.clone())
    }
}

/// Says what is wrong with a secret that is a bearer token, without it.
pub(crate) fn check_token(secret: &str) -> Result<(), String> {
    if secret.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        return Err(
            "begins with \"Bearer \"; leave that out, it is added to each request".to_owned()
        );
    }
    let misfit = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '`');
    if let Some((before, c)) = secret.chars().enumerate().find(|(_, c)| misfit(*c)) {
        let what = match c {
            ' ' => "a space",
            '"' | '\'' | '`' => "a quotation mark",
            c if c.is_control() => "a control character",
            c if c.is_whitespace() => "a blank",
            _ => "a character that is not ASCII",
        };
        return Err(format!("has {what} at position {}, which no token has", before + 1));
    }
    if secret.len() > LONGEST {
        return Err(format!("is longer than {LONGEST} bytes, which no token is"));
    }
    check_length(secret)
}

/// Says what is wrong with the length of any secret.
pub(crate) fn check_length(secret: &str) -> Result<(), String> {
    if secret.len() >= SHORTEST {
        return Ok(());
    }
    Err(format!(
        "is shorter than {SHORTEST} characters, too short to be kept out of answers and logs"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_does_not_fit_into_a_header_is_no_bearer() {
        let bearer = |token: &str| Bearer::new(Secret::from(token), &Known::default());
        assert!(bearer("dapi123").is_some() && bearer(&"x".repeat(LONGEST)).is_some());
        for odd in ["", "a b", "a\r\nx: y", "ä", "a\0", &"x".repeat(LONGEST + 1)] {
            assert!(bearer(odd).is_none(), "{odd:?}");
        }
    }

    /// J3: the header that carries a token does not show it.
    #[test]
    fn the_header_of_a_token_is_sensitive() {
        let bearer = Bearer::new(Secret::from("dapi-CANARY"), &Known::default()).expect("a token");
        assert_eq!(format!("{:?}", bearer.header), "Sensitive");
    }

    /// C1, J9: what is wrong with a token is said with its place and without its text.
    #[test]
    fn misfit_tokens_are_told_by_place() {
        for (token, why) in [
            ("dapi5f1d 0c", "has a space at position 9"),
            ("\"dapi5f1d0c\"", "has a quotation mark at position 1"),
            ("dapi5f1d\u{0}0c", "has a control character at position 9"),
            ("dapi5f1d\r\nx: y", "has a control character at position 9"),
            ("dapi5f1dé", "has a character that is not ASCII at position 9"),
            ("dapi5f1d\u{a0}0c", "has a blank at position 9"),
            ("Bearer dapi5f1d0c", "begins with \"Bearer \""),
            ("dapi5f1", "is shorter than 8 characters"),
        ] {
            let said = check_token(token).expect_err(token);
            assert!(said.starts_with(why), "{said}");
            assert!(!said.contains("5f1d"), "{said}");
        }
        assert_eq!(check_token(&"d".repeat(8 << 10)), Ok(()));
        assert!(check_token(&"d".repeat(LONGEST + 1)).is_err());
    }
}
