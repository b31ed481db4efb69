//! A statement with its rows behind links, and the storage that they lead to, for tests: whole, in parts, and with faults.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use connector::error::{Delivery, ErrorKind};
use connector::http::{Incoming, Request, Response, Transport, TransportError};
use serde_json::{Value, json};

use crate::flow::{self, Flow, ok};
use crate::statements::{ID, PENDING, input};

pub(crate) const HOST: &str = "storage.test";

/// What becomes of one request for rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// Another answer.
    Status(u16, &'static str),
    Unreachable,
}

/// A statement with its rows behind links, and the storage that they lead to.
#[derive(Default)]
pub(crate) struct Storage {
    pub(crate) manifest: Value,
    /// What Databricks says of each chunk, and what the storage has.
    pub(crate) links: Vec<Value>,
    pub(crate) chunks: Vec<String>,
    pub(crate) no_ranges: bool,
    /// Bytes of one part of an answer.
    pub(crate) part: usize,
    /// What becomes of the next requests for rows.
    pub(crate) fates: RefCell<VecDeque<Option<Fate>>>,
    pub(crate) requests: RefCell<Vec<Request>>,
    pub(crate) open: Rc<Cell<usize>>,
    pub(crate) most_open: Cell<usize>,
    /// Bytes of rows that were taken.
    pub(crate) taken: Rc<Cell<usize>>,
}

/// The columns of all results here.
fn columns() -> Value {
    json!([
        { "name": "id", "position": 0, "type_name": "LONG", "type_text": "BIGINT" },
        { "name": "no, \"te\"", "position": 1, "type_name": "STRING", "type_text": "STRING" }
    ])
}

impl Storage {
    pub(crate) fn new(chunks: &[Vec<(u64, Option<String>)>]) -> Self {
        let texts: Vec<String> = chunks
            .iter()
            .map(|rows| {
                let rows: Vec<Value> =
                    rows.iter().map(|(id, note)| json!([id.to_string(), note])).collect();
                Value::from(rows).to_string()
            })
            .collect();
        let mut first_row = 0;
        let mut links = Vec::new();
        for (index, (rows, text)) in chunks.iter().zip(&texts).enumerate() {
            let mut link = json!({
                "external_link": format!("https://{HOST}/{index}?X-Amz-Signature=SECRET"),
                "expiration": "2026-03-12T09:31:08.914Z", "http_headers": { "x-key": "k", "Authorization": "SECRET" },
                "chunk_index": index, "row_offset": first_row, "row_count": rows.len(), "byte_count": text.len(),
            });
            if index + 1 < chunks.len() {
                link["next_chunk_index"] = (index + 1).into();
            }
            first_row += rows.len();
            links.push(link);
        }
        let manifest = json!({
            "schema": { "columns": columns() }, "total_chunk_count": chunks.len(),
            "total_row_count": first_row, "truncated": false
        });
        Self { manifest, links, chunks: texts, part: 1000, ..Self::default() }
    }

    pub(crate) fn with_fates(self, fates: impl IntoIterator<Item = Option<Fate>>) -> Self {
        Self { fates: RefCell::new(fates.into_iter().collect()), ..self }
    }

    pub(crate) fn run(&self, more: &Value) -> Flow {
        let mut flow = flow::follow(self, "runSql", &input(more));
        flow.requests = self.requests.borrow().clone();
        flow
    }

    /// Requests that led to the storage.
    pub(crate) fn fetched(&self) -> Vec<Request> {
        let requests = self.requests.borrow();
        requests.iter().filter(|request| request.url.contains(HOST)).cloned().collect()
    }

    /// How often a chunk was asked for.
    pub(crate) fn asked(&self) -> usize {
        let requests = self.requests.borrow();
        requests.iter().filter(|request| request.url.contains("/result/chunks/")).count()
    }

    fn answer(&self, url: &str) -> Response {
        if let Some((_, index)) = url.split_once("/result/chunks/") {
            let link = &self.links[index.parse::<usize>().unwrap()];
            return ok(&json!({ "external_links": [link] }).to_string());
        }
        let result = match self.links.first() {
            Some(link) => json!({ "external_links": [link] }),
            None => json!({}),
        };
        ok(&json!({
            "statement_id": ID, "status": { "state": "SUCCEEDED" }, "manifest": self.manifest, "result": result
        })
        .to_string())
    }

    fn rows(&self, request: &Request) -> Response {
        let path = request.url.split(['/', '?']).nth(3).unwrap();
        let all = self.chunks[path.parse::<usize>().unwrap()].as_bytes();
        let range = request.headers.iter().find(|(name, _)| name == "range");
        let Some((_, range)) = range.filter(|_| !self.no_ranges) else {
            return Response { status: 200, headers: Vec::new(), body: all.to_vec() };
        };
        let (from, until) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let until = until.parse().map_or(all.len() - 1, |until: usize| until.min(all.len() - 1));
        let headers =
            vec![("content-range".to_owned(), format!("bytes {from}-{until}/{}", all.len()))];
        Response { status: 206, headers, body: all[from..=until].to_vec() }
    }
}

fn lost(delivery: Delivery) -> TransportError {
    TransportError { kind: ErrorKind::Unavailable, delivery, message: "it broke off".to_owned() }
}

impl Transport for Storage {
    fn send(&self, request: &Request) -> Result<Response, TransportError> {
        self.requests.borrow_mut().push(request.clone());
        Ok(match request.method.as_str() {
            "POST" => ok(PENDING),
            _ => self.answer(&request.url),
        })
    }

    fn open(&self, request: &Request) -> Result<Box<dyn Incoming>, TransportError> {
        self.requests.borrow_mut().push(request.clone());
        let (mut response, mut cut) = (self.rows(request), None);
        match self.fates.borrow_mut().pop_front().flatten() {
            None => {}
            Some(Fate::Unreachable) => return Err(lost(Delivery::NotSent)),
            Some(Fate::Status(status, body)) => {
                response = Response { status, headers: Vec::new(), body: body.into() };
            }
            Some(Fate::Cut(after)) => {
                response.body.truncate(after);
                cut = Some(lost(Delivery::Unknown));
            }
        }
        self.open.set(self.open.get() + 1);
        self.most_open.set(self.most_open.get().max(self.open.get()));
        let (part, open, taken) = (self.part, Rc::clone(&self.open), Rc::clone(&self.taken));
        Ok(Box::new(Arriving { response, read: 0, part, cut, open, taken }))
    }
}

struct Arriving {
    response: Response,
    read: usize,
    part: usize,
    cut: Option<TransportError>,
    open: Rc<Cell<usize>>,
    taken: Rc<Cell<usize>>,
}

impl Incoming for Arriving {
    fn head(&mut self) -> Result<Response, TransportError> {
        Ok(Response { body: Vec::new(), ..self.response.clone() })
    }

    fn part(&mut self) -> Result<Option<Vec<u8>>, TransportError> {
        let rest = &self.response.body[self.read..];
        if rest.is_empty() {
            return self.cut.take().map_or(Ok(None), Err);
        }
        let part = rest[..rest.len().min(self.part)].to_vec();
        self.read += part.len();
        self.taken.set(self.taken.get() + part.len());
        Ok(Some(part))
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.open.set(self.open.get() - 1);
    }
}

/// Chunks of so many rows each.
pub(crate) fn numbered(sizes: &[u64]) -> Vec<Vec<(u64, Option<String>)>> {
    let mut id = 9_007_199_254_740_993;
    let mut row = |_| {
        id += 1;
        (id, (id % 3 > 0).then(|| format!("note\n\"{id}\", ü")))
    };
    sizes.iter().map(|size| (0..*size).map(&mut row).collect()).collect()
}
