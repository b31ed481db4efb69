//! Writes one invocation down while it goes on: the intent before a request that may change something leaves, the state after
//! each step, the end.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use serde_json::Value as Json;
use tokio::sync::Notify;

use super::record::{KeptResult, Record, Status};
use super::store::{self, Pen};
use super::{Claim, Level, Place};
use crate::call::{Call, Observer, OnDeadline};
use crate::connection::Connection;
use crate::description::RetryClass;
use crate::error::{Delivery, Error, ErrorKind};
use crate::invoke::Performed;
use crate::{digest, private};

/// Results up to this size are kept in the database, and always.
const SMALL: usize = 16 << 10;

/// The longest id: it becomes a mark on what is started.
const LONGEST_ID: usize = 256;

/// The record of an invocation in the making, and the way to the journal.
#[derive(Debug)]
pub(crate) struct Chronicle {
    place: Arc<Place>,
    record: Mutex<Record>,
    /// What is written once. Until the record is there, lines of the log wait here.
    input: String,
    page: tokio::sync::Mutex<Page>,
    lines: Mutex<Vec<String>>,
    /// Requests since the state was kept that may have changed something.
    requests: AtomicU32,
    /// Another process left it with a request of which nobody knows what became.
    was_adrift: AtomicBool,
    is_written: AtomicBool,
    first_written: Notify,
    has_ended: AtomicBool,
    was_stopped: Mutex<Option<Stopped>>,
    trouble: Mutex<Option<Error>>,
}

/// What came of asking remote work to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    Confirmed,
    /// It had ended otherwise.
    TooLate,
}

/// Held by whoever writes, so that what is written later is newer.
#[derive(Debug)]
struct Page;

impl Chronicle {
    /// For an action that begins. Nothing is written before there is something to lose.
    pub(crate) fn begin(
        place: &Arc<Place>,
        call: &Call,
        id: &str,
        connection: &Connection,
        component_sha256: &str,
    ) -> Result<Self, Error> {
        if id.is_empty() || id.len() > LONGEST_ID {
            let message = format!("the id of an invocation has 1 to {LONGEST_ID} bytes");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let now = store::now_ms();
        let input = connection.egress.credentials.scrubber().text(&call.input);
        let record = Record {
            id: id.to_owned(),
            action: call.action.clone(),
            connection: connection.name().to_owned(),
            origin: connection.origin().to_owned(),
            component_sha256: component_sha256.to_owned(),
            input_sha256: digest::hex(input.as_bytes()),
            is_blacked_out: input != call.input,
            created_ms: now,
            updated_ms: now,
            status: Status::Submitting,
            fragile: false,
            parted: false,
            state: None,
            handle: None,
            progress: None,
            polls: 0,
            error: None,
            result: None,
            keeps_result: call.id.is_some(),
            owner: None,
            is_attended: true,
        };
        Ok(Self::new(place, record, input, false))
    }

    /// For one that was begun before; none when another process has it, or it has ended meanwhile.
    pub(crate) async fn take_up(place: &Arc<Place>, id: &str) -> Result<Option<Self>, Error> {
        Ok(match place.open().await?.claim(id).await? {
            Claim::Granted((mut record, input)) => {
                record.error = None;
                // Those parts are gone; they are handed out again.
                record.parted = false;
                // Whoever comes back for it may come again.
                record.keeps_result = true;
                if !matches!(record.status, Status::Submitting) {
                    record.status = Status::Running;
                }
                Some(Self::new(place, record, input, true))
            }
            Claim::Refused => None,
        })
    }

    fn new(place: &Arc<Place>, record: Record, input: String, is_written: bool) -> Self {
        let was_adrift = record.fragile;
        Self {
            place: Arc::clone(place),
            record: Mutex::new(record),
            input,
            page: tokio::sync::Mutex::new(Page),
            lines: Mutex::default(),
            requests: 0.into(),
            was_adrift: was_adrift.into(),
            is_written: is_written.into(),
            first_written: Notify::new(),
            has_ended: false.into(),
            was_stopped: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> String {
        self.record().id.clone()
    }

    /// What it was called with.
    pub(crate) fn call(&self, deadline: Option<Duration>, on_deadline: OnDeadline) -> Call {
        let record = self.record();
        let (action, id) = (record.action.clone(), Some(record.id.clone()));
        Call { action, input: self.input.clone(), id, deadline, on_deadline }
    }

    /// Where to go on: the last state and what runs, and whether it has to be found out first what became of a request.
    pub(crate) fn left(&self) -> (Option<String>, Option<Json>, bool) {
        let record = self.record();
        (record.state.clone(), record.handle.clone(), record.fragile)
    }

    /// Writes the intent down for another process to carry out.
    pub(crate) async fn hand_over(&self) -> Result<(), Error> {
        let _page = self.page.lock().await;
        self.record().keeps_result = true;
        self.insert(Level::Durable, false).await?;
        // It is not this one's to let go of.
        self.has_ended.store(true, Relaxed);
        Ok(())
    }

    /// Before a request leaves: what may change something is written down first, and what must not be repeated is marked.
    pub(crate) async fn before(&self, class: RetryClass, method: &Method) -> Result<(), Error> {
        let fragile = match class {
            RetryClass::Safe => return Ok(()),
            RetryClass::Keyed | RetryClass::Convergent => false,
            RetryClass::Reconcile | RetryClass::Never => true,
            RetryClass::Manual if [Method::GET, Method::HEAD].contains(method) => return Ok(()),
            RetryClass::Manual => true,
        };
        self.requests.fetch_add(1, Relaxed);
        let _page = self.page.lock().await;
        let was_fragile = std::mem::replace(&mut self.record().fragile, fragile);
        self.record().fragile |= was_fragile;
        if self.is_written() && (was_fragile || !fragile) {
            return Ok(());
        }
        let written = match self.is_written() {
            true => self.put(Level::Durable).await,
            false => self.insert(Level::Durable, true).await,
        };
        written.map_err(|error| {
            self.record().fragile = was_fragile;
            let message = format!("{}; the request was not sent", error.message);
            Error { message, ..error }
        })
    }

    /// After a step: what the next one needs. Work goes on when this cannot be written, since it is on its way already.
    pub(crate) async fn kept(&self, state: &str, handle: &Json, brought_part: bool) {
        let _page = self.page.lock().await;
        let is_news = {
            let mut record = self.record();
            record.polls += 1;
            record.status = Status::Running;
            record.parted |= brought_part;
            // Parts of the result are kept nowhere, so it goes on from before the first of them.
            let goes_on = !record.parted;
            let is_news = (record.fragile && goes_on) || record.handle.as_ref() != Some(handle);
            record.handle = Some(handle.clone());
            if goes_on {
                record.state = Some(state.to_owned());
                record.fragile = false;
                self.was_adrift.store(false, Relaxed);
                self.requests.store(0, Relaxed);
            }
            is_news
        };
        let written = match (self.is_written(), is_news) {
            (false, _) => self.insert(Level::Durable, true).await,
            (true, true) => self.put(Level::Durable).await,
            (true, false) => {
                self.put_later();
                Ok(())
            }
        };
        if let Err(error) = written {
            self.trouble().get_or_insert(error);
        }
    }

    /// What the service said of the wish to stop.
    pub(crate) fn stopped(&self, how: Stopped) {
        *self.was_stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
    }

    /// Writes down how it ended, where there is anything of it in the journal.
    ///
    /// A result that went elsewhere as it came is not kept.
    pub(crate) async fn ended(&self, outcome: &Result<Performed, Error>) -> Result<(), Error> {
        let _page = self.page.lock().await;
        self.has_ended.store(true, Relaxed);
        if !self.is_written() {
            return Ok(());
        }
        let size = |done: &&Performed| done.output.value.as_bytes().len();
        let is_large = outcome.as_ref().ok().is_some_and(|done| size(&done) > SMALL);
        let (mut keeping, mut small) = (Ok(()), None);
        {
            let mut record = self.record();
            record.owner = None;
            match outcome {
                Ok(Performed { handed: Some(_), .. }) => {
                    (record.status, record.fragile) = (Status::Done, false);
                }
                Ok(Performed { output, handed: None }) => {
                    (record.status, record.fragile) = (Status::Done, false);
                    let bytes = output.value.as_bytes();
                    if !is_large {
                        record.result = Some(KeptResult::of(output, false));
                        small = Some(bytes.to_vec());
                    } else if record.keeps_result {
                        keeping = self.keep_file(&record.id, bytes);
                        record.result = keeping.is_ok().then(|| KeptResult::of(output, true));
                    }
                }
                Err(error) => self.failed(&mut record, error),
            }
        }
        let record = self.snapshot();
        let journal = self.place.open().await?;
        let holder = Some(journal.owner()?);
        let end = move |pen: &mut Pen<'_>| {
            if let Some(bytes) = small {
                pen.keep(&record.id, "result", &bytes)?;
            }
            pen.unwish(&record.id)?;
            pen.put(&record, holder.as_deref())
        };
        journal.0.writer.write(Level::Written, end).await?;
        keeping
    }

    fn failed(&self, record: &mut Record, error: &Error) {
        // The error tells of the last request alone, and of none that another process made.
        let is_about_all = self.requests.load(Relaxed) <= 1 && !self.was_adrift.load(Relaxed);
        if is_about_all && [Delivery::NotSent, Delivery::Rejected].contains(&error.delivery) {
            record.fragile = false;
        }
        let mut error = error.clone();
        let nothing_runs = record.state.is_none() && !record.fragile;
        let stop = *self.was_stopped.lock().unwrap_or_else(PoisonError::into_inner);
        record.status = match (error.kind, stop) {
            (ErrorKind::OutcomeUnknown, _) => Status::Unknown,
            (_, Some(Stopped::Confirmed)) => Status::Cancelled,
            (ErrorKind::Cancelled, None) if nothing_runs => Status::Cancelled,
            _ => Status::Failed,
        };
        // It ended by itself, and what came of it can be had.
        if stop == Some(Stopped::TooLate) {
            error.kind = ErrorKind::Conflict;
        }
        record.error = Some(error);
    }

    fn keep_file(&self, id: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = store::result_path(&self.place.folder, id);
        let kept = private::replace(&path, &[bytes]).and_then(|()| File::open(&path)?.sync_all());
        kept.map_err(|error| {
            let message = format!(
                "the result cannot be kept in {}: {error}; `resume` fetches it again as long as the service has it",
                path.display()
            );
            Error::new(ErrorKind::HostIo, message).delivered(Delivery::Applied)
        })
    }

    /// Comes back when another process asks for it to be cancelled.
    pub(crate) async fn wished(&self) {
        while !self.is_written() {
            self.first_written.notified().await;
        }
        match self.place.opened() {
            Some(journal) => journal.wished(&self.id()).await,
            None => std::future::pending().await,
        }
    }

    /// Why something could not be written down, once.
    fn take_trouble(&self) -> Option<Error> {
        self.trouble().take()
    }

    /// Writes the record for the first time, unless its id is taken.
    async fn insert(&self, level: Level, attended: bool) -> Result<(), Error> {
        let journal = self.place.open().await?;
        self.record().owner = if attended { Some(journal.owner()?) } else { None };
        let (record, input) = (self.snapshot(), self.input.clone());
        let lines = std::mem::take(&mut *self.waiting_lines());
        let id = record.id.clone();
        let insert = move |pen: &mut Pen<'_>| {
            match pen.store.record(&record.id)? {
                Some(old) if old.did_nothing() => pen.remove(&record.id)?,
                Some(_) => return Ok(Claim::Refused),
                None => {}
            }
            pen.insert(&record)?;
            pen.keep(&record.id, "input", input.as_bytes())?;
            lines.into_iter().try_for_each(|line| pen.log(&record.id, line))?;
            Ok(Claim::Granted(()))
        };
        // Who drops this meanwhile lets go of what is written all the same.
        self.is_written.store(true, Relaxed);
        let written = journal.0.writer.write(level, insert).await;
        if !matches!(written, Ok(Claim::Granted(()))) {
            self.is_written.store(false, Relaxed);
        }
        match written? {
            Claim::Granted(()) => {
                self.first_written.notify_one();
                Ok(())
            }
            Claim::Refused => Err(taken(&id)),
        }
    }

    async fn put(&self, level: Level) -> Result<(), Error> {
        let record = self.snapshot();
        let journal = self.place.open().await?;
        let (holder, id) = (Some(journal.owner()?), record.id.clone());
        let put = move |pen: &mut Pen<'_>| pen.put(&record, holder.as_deref());
        match journal.0.writer.write(level, put).await? {
            true => Ok(()),
            false => Err(taken(&id)),
        }
    }

    fn put_later(&self) {
        let record = self.snapshot();
        let Some(journal) = self.place.opened() else { return };
        let Ok(holder) = journal.owner() else { return };
        journal.0.writer.later(move |pen| pen.put(&record, Some(&holder)).map(drop));
    }

    fn snapshot(&self) -> Record {
        let mut record = self.record();
        record.updated_ms = store::now_ms().max(record.created_ms);
        record.clone()
    }

    fn is_written(&self) -> bool {
        self.is_written.load(Relaxed)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting_lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Error>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever drops a call does not go on with it, and others may.
impl Drop for Chronicle {
    fn drop(&mut self) {
        if self.is_written() && !self.has_ended.load(Relaxed) {
            self.record().owner = None;
            self.put_later();
        }
    }
}

fn taken(id: &str) -> Error {
    let message = format!("the journal has an invocation {id:?} already; nothing was sent");
    Error::new(ErrorKind::Conflict, message)
}

/// Writes down what an observer is told.
pub(crate) struct Recorder<'a> {
    pub(crate) observer: &'a dyn Observer,
    pub(crate) chronicle: &'a Chronicle,
}

impl Observer for Recorder<'_> {
    fn progress(&self, message: &str, fraction: Option<f32>, elapsed: Duration) {
        self.chronicle.record().progress = Some(message.to_owned());
        if let Some(error) = self.chronicle.take_trouble() {
            self.observer.log(&format!("warning: {error}; the work goes on"));
        }
        self.observer.progress(message, fraction, elapsed);
    }

    fn begun(&self, id: &str) {
        self.observer.begun(id);
    }

    fn started(&self, handle: &Json) {
        self.observer.started(handle);
    }

    fn log(&self, line: &str) {
        self.observer.log(line);
        let Some(journal) = self.chronicle.place.opened().filter(|_| self.chronicle.is_written())
        else {
            return self.chronicle.waiting_lines().push(line.to_owned());
        };
        let (id, line) = (self.chronicle.record().id.clone(), line.to_owned());
        journal.0.writer.later(move |pen| pen.log(&id, line));
    }
}
