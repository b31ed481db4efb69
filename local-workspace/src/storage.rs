//! The cloud storage that external links lead to: another host than the workspace, with signed addresses in the place of
//! credentials. It answers as Amazon S3 does, which is as strict as storages get.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::clock;
use crate::options::Options;
use crate::range::{self, Part};
use crate::reply::{Reply, request_id, status_code};
use crate::statements::Content;
use crate::workspace::Workspace;

/// The longest that a link can be used.
const LONGEST_LIFE: Duration = Duration::from_mins(15);

/// What is asked for by the last parameter of a link; all before it is signed.
const SIGNATURE: &str = "&X-Amz-Signature=";

#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) origin: String,
    /// Signs, by a key that nobody else knows.
    key: RandomState,
    life: Duration,
    headers: Vec<(String, String)>,
    issued: AtomicU64,
    /// Links issued before this one are over, whatever their time.
    first: AtomicU64,
    authorized: AtomicU64,
}

impl Storage {
    pub(crate) fn new(origin: String, options: &Options) -> Storage {
        Storage {
            origin,
            key: RandomState::new(),
            life: options.link_lifetime.min(LONGEST_LIFE),
            headers: options.link_headers.clone(),
            issued: AtomicU64::new(0),
            first: AtomicU64::new(0),
            authorized: AtomicU64::new(0),
        }
    }

    /// Lets all links expire that were issued so far.
    pub(crate) fn expire(&self) {
        self.first.store(self.issued.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Requests that came with an `Authorization` header.
    pub(crate) fn authorized(&self) -> u64 {
        self.authorized.load(Ordering::Relaxed)
    }

    /// What a fresh link to a chunk adds to the chunk's description.
    pub(crate) fn link(&self, statement: &str, index: usize) -> Map<String, Value> {
        let expires = clock::after(self.life);
        let serial = self.issued.fetch_add(1, Ordering::Relaxed);
        // The credential is percent-encoded, as it is in real links: what decodes and encodes again breaks the signature.
        let signed = format!(
            "/results/{statement}/{index}?X-Amz-Credential=local%2F{serial}%2Fs3%2Baws4&X-Amz-Expires={}",
            expires.as_millisecond()
        );
        let url = format!("{}{signed}{SIGNATURE}{}", self.origin, self.signature(&signed));
        let mut link = Map::new();
        link.insert("external_link".to_owned(), url.into());
        link.insert("expiration".to_owned(), clock::iso(expires).into());
        if !self.headers.is_empty() {
            let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.as_str()));
            let headers: Map<_, _> = headers.map(|(name, value)| (name, value.into())).collect();
            link.insert("http_headers".to_owned(), headers.into());
        }
        link
    }

    fn signature(&self, signed: &str) -> String {
        format!("{:016x}", self.key.hash_one(signed))
    }

    /// Statement and chunk that a request's own address was signed for.
    fn check<'a>(&self, head: &'a Parts) -> Result<(&'a str, usize), Reply> {
        if head.headers.contains_key(AUTHORIZATION) {
            self.authorized.fetch_add(1, Ordering::Relaxed);
            let text = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string \
                        parameter or the Authorization header should be specified";
            return Err(refused(400, "InvalidArgument", text));
        }
        let address = head.uri.path_and_query().map(|all| all.as_str()).unwrap_or_default();
        let Some((signed, signature)) = address.split_once(SIGNATURE) else {
            return Err(refused(403, "AccessDenied", "Access Denied"));
        };
        let given = |(name, value): &(String, String)| {
            head.headers.get(name).is_some_and(|given| given.as_bytes() == value.as_bytes())
        };
        if self.signature(signed) != signature
            || head.method != "GET"
            || !self.headers.iter().all(given)
        {
            let text = "The request signature we calculated does not match the signature you provided. Check your key and \
                        signing method.";
            return Err(refused(403, "SignatureDoesNotMatch", text));
        }
        let number = |after: &str| -> Option<u64> {
            let (_, rest) = signed.split_once(after)?;
            rest.split(['&', '%']).next()?.parse().ok()
        };
        let now = u64::try_from(clock::now_ms()).unwrap_or_default();
        let in_time = number("X-Amz-Expires=").is_some_and(|expires| now < expires);
        let first = self.first.load(Ordering::Relaxed);
        if !in_time || number("=local%2F").is_none_or(|serial| serial < first) {
            return Err(expired());
        }
        let named = head.uri.path().strip_prefix("/results/").and_then(|path| path.split_once('/'));
        named
            .and_then(|(id, index)| Some((id, index.parse().ok()?)))
            .ok_or_else(|| refused(404, "NoSuchKey", "The specified key does not exist."))
    }
}

pub(crate) fn answer(workspace: &Arc<Workspace>, head: &Parts) -> Reply {
    let found = workspace.storage.check(head).and_then(|(id, index)| {
        let content = workspace.statements.content(id, index);
        content.ok_or_else(|| refused(404, "NoSuchKey", "The specified key does not exist."))
    });
    found.map_or_else(|refusal| refusal, |content| stored(&head.headers, content))
}

/// An object as it is stored, or the part of it that is asked for.
fn stored(asked: &HeaderMap, Content { kind, text, tag }: Content) -> Reply {
    let asked = |name| asked.get(name).and_then(|value| value.to_str().ok());
    let names = |list: &str| list.split(',').any(|one| [tag.as_str(), "*"].contains(&one.trim()));
    if asked(IF_MATCH).is_some_and(|list| !names(list)) {
        let text = "At least one of the pre-conditions you specified did not hold";
        return refused(412, "PreconditionFailed", text);
    }
    if asked(IF_NONE_MATCH).is_some_and(names) {
        return described(304, kind, Bytes::new(), &tag);
    }
    let range = asked(RANGE).filter(|_| asked(IF_RANGE).is_none_or(|one| one == tag));
    let length = text.len();
    match range.map_or(Part::Whole, |range| range::read(range, length)) {
        Part::Whole => described(200, kind, text, &tag),
        Part::Some(part) => {
            let place = format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1));
            described(206, kind, text.slice(part), &tag).with("content-range", &place)
        }
        Part::Nothing => {
            let text = "The requested range is not satisfiable";
            let place = format!("bytes */{length}");
            refused(416, "InvalidRange", text).with("content-range", &place)
        }
    }
}

fn described(status: u16, kind: &'static str, body: Bytes, tag: &str) -> Reply {
    let mut reply = Reply::bytes(kind, body);
    reply.status = status_code(status);
    reply.with("etag", tag).with("accept-ranges", "bytes").with("x-amz-request-id", &request_id())
}

fn refused(status: u16, code: &str, text: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{text}</Message>\
         <ServerTime>{}</ServerTime><RequestId>{}</RequestId></Error>",
        clock::iso(Timestamp::now()),
        request_id()
    );
    let mut reply = Reply::bytes("application/xml", body.into());
    reply.status = status_code(status);
    reply
}

/// What a link answers with when its time is over.
pub(crate) fn expired() -> Reply {
    refused(403, "AccessDenied", "Request has expired")
}
