//! The rows of a result that lie behind links: fetched over several requests at once, read in their order, gone on with where
//! a step or a connection ended. Not here: what was written and what is to come (`statement_result.rs`).
//!
//! Links are asked for in the step that follows them and never kept: whoever has one can read the rows.

use std::collections::VecDeque;

use connector_rows::{Stop, Writer};
use serde_json::json;

use crate::action::{Audience, Endpoint, Retry};
use crate::api::{self, Api};
use crate::error::{Delivery, Error, ErrorKind};
use crate::http::{Incoming, Request, Response};
use crate::statement::{self, Chunk, Link};
use crate::statement_result::Reading;
use crate::{plain_text, rows, url};

pub(crate) const CHUNK: Endpoint =
    Endpoint::get("/api/2.0/sql/statements/{statement_id}/result/chunks/{chunk_index}");

/// Links that came in the answers of Databricks.
pub(crate) const LINK: Endpoint = Endpoint {
    method: "GET",
    path: "external_link",
    audience: Audience::SignedLink,
    retry: Retry::Safe,
};

/// Requests for rows that are open at once.
const MOST_OPEN: usize = 4;

/// How often a link that storage refuses is asked for again. The same refusal twice is enough.
const MOST_REFUSALS: usize = 3;

/// Steps in a row that bring nothing before the trouble is told: two minutes.
const MOST_STRIKES: u64 = 5;

/// What is read of a refusal.
const SHOWN_BYTES: usize = 4 * 1024;

/// The answer to the question for a chunk, as text; see [`Chunk`].
pub(crate) fn chunk(api: &Api<'_>, statement_id: &str, index: u64) -> Result<String, Error> {
    // By index, and not by the path in the answer: requests go where the endpoint table says.
    let input = json!({ "statement_id": statement_id, "chunk_index": index.to_string() });
    api.text(&CHUNK, &input).map_err(|e| statement::forgotten(e, statement_id))
}

/// A request for the rows of a chunk, or for a part of them.
struct Download {
    link: Link,
    /// The first byte that is asked for, and the last one where it is not that of the chunk.
    from: u64,
    until: Option<u64>,
    request: Request,
    answer: Box<dyn Incoming>,
    /// The writer is in the middle of this chunk already.
    begun: bool,
}

/// How far a download brought its chunk.
enum Brought {
    All,
    Part,
    Stopped(Stop),
}

/// Why one brought nothing more.
enum Trouble {
    /// Storage does not give the rows away, and says why.
    Refused(u16, String),
    /// It got lost on the way, and may be there next time.
    Lost(Error),
    Final(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// The downloads of a step.
struct Downloads<'a> {
    api: &'a Api<'a>,
    statement_id: &'a str,
    /// Links that were given and not followed yet.
    links: VecDeque<Link>,
    /// In the order of their chunks.
    open: VecDeque<Download>,
    /// The chunk to ask for after those.
    next: Option<u64>,
    /// Bytes that may still be asked for in this step.
    room: u64,
    /// So few of them are not worth the question for another link.
    little: u64,
}

/// Reads rows for the length of a step, or until a limit. `links` are those that came with the last answer.
pub(crate) fn read(
    api: &Api<'_>,
    statement_id: &str,
    links: Vec<Link>,
    reading: &mut Reading,
    writer: &mut Writer<'_>,
) -> Result<Option<Stop>, Error> {
    let (next, room) = (reading.next_chunk(), reading.room());
    let mut downloads = Downloads {
        api,
        statement_id,
        links: VecDeque::new(),
        open: VecDeque::new(),
        next,
        room,
        little: 0,
    };
    downloads.queue(links, reading);
    let mut refusals: Vec<String> = Vec::new();
    loop {
        match downloads.fill(reading) {
            Ok(()) => {}
            // The step goes on with what is under way; the next one meets the trouble again.
            Err(_) if !downloads.open.is_empty() || writer.rows() > 0 => downloads.room = 0,
            Err(error) => return Err(error),
        }
        let Some(mut download) = downloads.open.pop_front() else { return Ok(None) };
        match download.bring(api, reading, writer) {
            Ok(Brought::All) => refusals.clear(),
            Ok(Brought::Stopped(stop)) => return Ok(Some(stop)),
            // Up to a row that ended in this step, so that the next one can go on from there.
            Ok(Brought::Part) if writer.offset() > reading.offset() => {
                reading.interrupted(writer);
                return Ok(None);
            }
            Ok(Brought::Part) => {
                let (from, until) = (writer.read(), writer.read().saturating_add(reading.room()));
                let next = Download::open(api, download.link, from, Some(until), true)?;
                downloads.open.push_front(next);
            }
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Refused(status, cause)) => {
                let again = refusals.last() == Some(&cause);
                refusals.push(cause);
                if again || refusals.len() > MOST_REFUSALS {
                    return Err(refusal(&download.request, status, &refusals));
                }
                let fresh = downloads.ask(reading.next_chunk().unwrap_or_default())?;
                let link = fresh.into_iter().next().ok_or_else(no_link)?;
                let Download { from, until, begun, .. } = download;
                downloads.open.push_front(Download::open(api, link, from, until, begun)?);
            }
            Err(Trouble::Lost(error)) => {
                if download.begun {
                    reading.interrupted(writer);
                }
                if writer.rows() == 0 {
                    endure(reading, error)?;
                }
                return Ok(None);
            }
        }
    }
}

/// Takes a trouble that passes, unless it has lasted for too long.
pub(crate) fn endure(reading: &mut Reading, trouble: Error) -> Result<(), Error> {
    let passes = trouble.is_passing() || trouble.kind == ErrorKind::Protocol;
    if passes && reading.strike() <= MOST_STRIKES { Ok(()) } else { Err(trouble) }
}

impl Downloads<'_> {
    /// Takes links in, each of which has a place, whether Databricks names it or not.
    fn queue(&mut self, links: Vec<Link>, reading: &Reading) {
        for mut link in links {
            link.said.index = link.said.index.or(self.next);
            let after = link.said.index.map(|index| index.saturating_add(1));
            self.next = after.filter(|_| reading.has_after(link.said));
            self.links.push_back(link);
        }
    }

    fn ask(&self, index: u64) -> Result<Vec<Link>, Error> {
        let answer = chunk(self.api, self.statement_id, index)?;
        api::parse::<Chunk<'_>>(&CHUNK, &answer)?.links()
    }

    /// Opens the downloads of the chunks to come, as many as may be open and fit into the step.
    fn fill(&mut self, reading: &Reading) -> Result<(), Error> {
        while self.open.len() < MOST_OPEN && self.room > self.little {
            let Some(link) = self.links.pop_front() else {
                let Some(index) = self.next else { return Ok(()) };
                let links = self.ask(index)?;
                if links.is_empty() {
                    return Err(no_link());
                }
                self.queue(links, reading);
                continue;
            };
            let is_first = link.said.index == reading.next_chunk();
            let from = if is_first { reading.offset() } else { 0 };
            // More than there is room for is better than a request for the rest.
            let left = link.bytes.map_or(u64::MAX, |bytes| bytes.saturating_sub(from));
            let fits = left <= self.room.saturating_add(self.room / 2);
            let until = (!fits).then(|| from + self.room - 1);
            self.little = reading.room() / 4;
            self.room = self.room.saturating_sub(left);
            self.open.push_back(Download::open(self.api, link, from, until, false)?);
        }
        Ok(())
    }
}

impl Download {
    fn open(
        api: &Api<'_>,
        link: Link,
        from: u64,
        until: Option<u64>,
        begun: bool,
    ) -> Result<Self, Error> {
        let mut headers = link.headers.clone();
        if from > 0 || until.is_some() {
            let until = until.map(|until| until.to_string()).unwrap_or_default();
            headers.push(("range".to_owned(), format!("bytes={from}-{until}")));
        }
        let (method, url) = (LINK.method.to_owned(), link.url.clone());
        let request = Request { method, url, headers, body: Vec::new(), timeout: None };
        let answer = api.open(&request).map_err(|error| unreachable(&request, error))?;
        Ok(Self { link, from, until, request, answer, begun })
    }

    /// Reads the answer and writes its rows.
    fn bring(
        &mut self,
        api: &Api<'_>,
        reading: &mut Reading,
        writer: &mut Writer<'_>,
    ) -> Result<Brought, Trouble> {
        let head = api.head(&self.request, &mut *self.answer);
        let head = head.map_err(|error| self.trouble(error))?;
        let mut skipped = 0;
        let mut size = None;
        match head.status {
            // Storage that knows no ranges begins at the beginning.
            200 => skipped = self.from,
            206 => size = Some(self.range(&head)?),
            status => return Err(self.refused(status)),
        }
        let fault = |fault, reading: &Reading| rows::broken(fault, reading.chunk_rows());
        if !std::mem::replace(&mut self.begun, true) {
            writer.begin(self.from, reading.expect(self.link.said)?);
        }
        while let Some(part) = self.answer.part().map_err(|e| self.trouble(e.into()))? {
            let skip = part.len().min(usize::try_from(skipped).unwrap_or(usize::MAX));
            skipped -= skip as u64;
            let part = part.get(skip..).unwrap_or_default();
            if let Some(stop) = writer.feed(part).map_err(|f| fault(f, reading))? {
                reading.interrupted(writer);
                return Ok(Brought::Stopped(stop));
            }
        }
        if writer.is_over() {
            reading.chunk_over(self.link.said, writer)?;
            return Ok(Brought::All);
        }
        match size {
            Some(end) if writer.read() < end => Ok(Brought::Part),
            _ => Err(fault(connector_rows::Fault::Early, reading).into()),
        }
    }

    /// The size of the whole that a part is of, which has to be the part that was asked for.
    fn range(&self, head: &Response) -> Result<u64, Error> {
        let range = head.header("content-range").and_then(|range| range.strip_prefix("bytes "));
        let range = range.and_then(|range| {
            let (part, size) = range.split_once('/')?;
            let (first, _) = part.split_once('-')?;
            let size = if size == "*" { Some(u64::MAX) } else { size.parse().ok() };
            Some((first.parse::<u64>().ok()?, size?))
        });
        match range {
            Some((first, size)) if first == self.from => Ok(size),
            _ => Err(Error::protocol(format!(
                "the result storage {} answered with another part of the rows than was asked for",
                host(&self.request)
            ))),
        }
    }

    /// An answer of a status that is no success.
    fn refused(&mut self, status: u16) -> Trouble {
        let storage = host(&self.request);
        if matches!(status, 408 | 429 | 500..) {
            let why = format!("the result storage {storage} answered with status {status}");
            return Trouble::Lost(Error::new(ErrorKind::Unavailable, Delivery::Applied, why));
        }
        if status < 400 {
            let why = format!("the result storage {storage} answered with status {status}");
            return Error::protocol(why).into();
        }
        let mut said = Vec::new();
        while said.len() < SHOWN_BYTES
            && let Ok(Some(part)) = self.answer.part()
        {
            said.extend(part);
        }
        let said = String::from_utf8_lossy(&said);
        let within = |tag: &str| {
            let (_, rest) = said.split_once(&format!("<{tag}>"))?;
            Some(plain_text::line(rest.split('<').next()?, 80))
        };
        let cause: Vec<String> = ["Code", "Message"].iter().filter_map(|tag| within(tag)).collect();
        Trouble::Refused(status, format!("{status} {}", cause.join(": ")))
    }

    fn trouble(&self, error: Error) -> Trouble {
        let passes = error.delivery != Delivery::NotSent
            && (error.is_passing() || error.kind == ErrorKind::Protocol);
        let error = unreachable(&self.request, error);
        if passes { Trouble::Lost(error) } else { Trouble::Final(error) }
    }
}

/// An error about a request for rows. The statement was carried out, whatever becomes of its rows.
fn unreachable(request: &Request, mut error: Error) -> Error {
    let unsent = std::mem::replace(&mut error.delivery, Delivery::Applied) == Delivery::NotSent;
    if unsent && error.is_passing() {
        error.message = format!(
            "could not reach the result storage {}: allow it in your firewall, or set Disposition to Inline",
            host(request)
        );
    }
    error
}

fn refusal(request: &Request, status: u16, causes: &[String]) -> Error {
    let storage = host(request);
    let cause = causes.last().map_or("", String::as_str);
    let (kind, hint) = match status {
        404 | 410 => (ErrorKind::ResultExpired, "its result is gone: run the statement again"),
        _ => (
            ErrorKind::Forbidden,
            "let this network read it (firewall, private link, storage rules), or set Disposition to Inline",
        ),
    };
    let message = format!("the result storage {storage} refuses the rows ({cause}): {hint}");
    let mut error = Error::new(kind, Delivery::Applied, message);
    error.status = Some(status);
    error.details = Some(json!({ "storage": storage, "refusals": causes }));
    error
}

fn no_link() -> Error {
    Error::protocol("Databricks answered without a link to the rows of a chunk")
}

/// Host and port of a link. The rest of it is a secret.
fn host(request: &Request) -> String {
    let (_, rest) = url::split_scheme(&request.url).unwrap_or_default();
    plain_text::line(rest.split(['/', '?']).next().unwrap_or_default(), 100)
}
