//! The journal: what every use of an action that changes something meant to do, how far it got and what came of it, on disk, so
//! that a crash loses nothing and nothing is done twice.
//!
//! `chronicle` writes one invocation down as it goes on, `record` is what is written, `writer` the thread that writes,
//! `store` the database, `locks` tells which processes are alive.

mod chronicle;
mod locks;
mod record;
mod store;
mod trouble;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, oneshot};

pub(crate) use chronicle::{Chronicle, Recorder, Stopped};
pub use record::{LogLine, Record, Status};

use crate::call::{Call, Output};
use crate::connection::Connection;
use crate::digest;
use crate::error::{Delivery, Error, ErrorKind};
use locks::Owner;
use store::Pen;
use trouble::{Outcome, Trouble};
use writer::{Level, Writer};

/// A journal in a folder. Clones share it; any number of processes may use it at once.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    // Before the lock: what is still to be written is written while it is held.
    writer: Writer,
    owner: Mutex<Option<Arc<Owner>>>,
}

/// Whether a process died that had work in hand, as far as its lock tells: the journal itself is not opened.
pub fn is_anything_left(folder: &Path) -> bool {
    !locks::dead(folder).is_empty()
}

/// What became of a wish to begin or to go on.
enum Claim<T> {
    Granted(T),
    Refused,
}

impl Journal {
    /// Opens the journal in a folder, which is made when it is not there, and checks all of it.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let writer = Writer::open(folder).await?;
        let owner = Mutex::default();
        Ok(Self(Arc::new(Inner { folder: folder.to_owned(), writer, owner })))
    }

    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// All records, the oldest first.
    pub async fn records(&self) -> Result<Vec<Record>, Error> {
        self.0.writer.read(|store| store.records()).await
    }

    /// The record of this id, or the only one whose id begins so.
    pub async fn find(&self, id: &str) -> Result<Record, Error> {
        let whole = id.to_owned();
        if let Some(record) = self.0.writer.read(move |store| store.record(&whole)).await? {
            return Ok(record);
        }
        let mut near = self.records().await?;
        near.retain(|record| !id.is_empty() && record.id.starts_with(id));
        let wrong = |kind, message| Err(Error::new(kind, message));
        match (near.pop(), near.len()) {
            (Some(record), 0) => Ok(record),
            (None, _) => {
                wrong(ErrorKind::NotFound, format!("the journal knows no invocation {id:?}"))
            }
            (Some(_), others) => {
                let message = format!(
                    "{} invocations begin with {id:?}; give more characters of the id",
                    others + 1
                );
                wrong(ErrorKind::InvalidInput, message)
            }
        }
    }

    /// The input that an invocation was given.
    pub async fn input(&self, record: &Record) -> Result<String, Error> {
        let record = record.clone();
        self.0.writer.read(move |store| store.input(&record)).await
    }

    /// What the connector logged, from after the line of this number on.
    pub async fn log(&self, id: &str, after: u64) -> Result<Vec<LogLine>, Error> {
        let id = id.to_owned();
        self.0.writer.read(move |store| store.lines(&id, after)).await
    }

    /// The result or the error that an invocation ended with; none while it has not, and when its result was not kept.
    pub async fn outcome(&self, record: &Record) -> Result<Option<Result<Output, Error>>, Error> {
        if let Some(error) = &record.error
            && !record.status.is_open()
        {
            return Ok(Some(Err(error.clone())));
        }
        let Some(kept) = record.result.clone() else { return Ok(None) };
        let (id, in_file) = (record.id.clone(), kept.in_file);
        let look = move |store: &store::Store| {
            if !in_file {
                return store.content(&id, "result");
            }
            match std::fs::read(store::result_path(store.folder(), &id)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Trouble::Io(error)),
            }
        };
        let bytes = self.0.writer.read(look).await?;
        let output = bytes.and_then(|bytes| kept.output(bytes));
        output.map(|output| Some(Ok(output))).ok_or_else(|| {
            let what = "a result is not what was written".to_owned();
            Trouble::Damaged(what).told(&self.0.folder)
        })
    }

    /// Asks whatever process has an invocation in hand to cancel it.
    pub async fn request_cancel(&self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        self.0.writer.write(Level::Written, move |pen| pen.wish(&id)).await
    }

    /// Forgets what ended longer ago than this, and says how many that were.
    pub async fn prune(&self, age: Duration) -> Result<usize, Error> {
        let before = store::now_ms().saturating_sub(store::millis(age));
        let prune = move |pen: &mut Pen<'_>| {
            let mut old = pen.store.records()?;
            old.retain(|record| !record.status.is_open() && record.updated_ms <= before);
            old.iter().try_for_each(|record| pen.remove(&record.id))?;
            Ok(old.len())
        };
        let pruned = self.0.writer.write(Level::Durable, prune).await?;
        // Where another process reads, it is folded in later.
        let _ = self.0.writer.read(|store| store.settle()).await;
        Ok(pruned)
    }

    /// Waits until all that was handed over is written.
    pub async fn flush(&self) -> Result<(), Error> {
        self.0.writer.write(Level::Durable, |_| Ok(())).await
    }

    /// The name by which this process holds what it has in hand.
    fn owner(&self) -> Result<String, Error> {
        let mut owner = self.0.owner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = &*owner {
            return Ok(owner.name.clone());
        }
        let made = Owner::new(&self.0.folder);
        let made = made.map_err(|error| Trouble::Io(error).told(&self.0.folder))?;
        Ok(owner.insert(Arc::new(made)).name.clone())
    }

    /// Takes over what no living process has in hand. Of two that try, one does.
    async fn claim(&self, id: &str) -> Result<Claim<(Record, String)>, Error> {
        let (id, owner) = (id.to_owned(), self.owner()?);
        let claim = move |pen: &mut Pen<'_>| -> Outcome<_> {
            let Some(mut record) = pen.store.record(&id)? else { return Ok(Claim::Refused) };
            if record.is_attended || !record.can_go_on() {
                return Ok(Claim::Refused);
            }
            let input = pen.store.input(&record)?;
            let before = record.owner.replace(owner);
            record.is_attended = true;
            pen.put(&record, before.as_deref())?;
            Ok(Claim::Granted((record, input)))
        };
        self.0.writer.write(Level::Durable, claim).await
    }

    /// Comes back when another process asks for an invocation to be cancelled.
    async fn wished(&self, id: &str) {
        let (wish, heard) = oneshot::channel();
        self.0.writer.watch(id.to_owned(), wish);
        if heard.await.is_err() {
            // A journal that is gone asks for nothing.
            std::future::pending().await
        }
    }
}

/// Where a harness has its journal, opened when it is first needed.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    journal: OnceCell<Journal>,
}

impl Place {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, journal: OnceCell::new() }
    }

    pub(crate) async fn open(&self) -> Result<&Journal, Error> {
        self.journal.get_or_try_init(|| Journal::open(&self.folder)).await
    }

    /// The journal, when it was needed before.
    pub(crate) fn opened(&self) -> Option<&Journal> {
        self.journal.get()
    }
}

/// The record that a call's own id stands for; an error when it stands for something else.
pub(crate) async fn known(
    place: &Place,
    call: &Call,
    connection: &Connection,
) -> Result<Option<Record>, Error> {
    let Some(id) = &call.id else { return Ok(None) };
    let id = id.clone();
    let look = move |store: &store::Store| store.record(&id);
    let record = place.open().await?.0.writer.read(look).await?;
    let Some(record) = record.filter(|record| !record.did_nothing()) else { return Ok(None) };
    let input = connection.egress.credentials.scrubber().text(&call.input);
    let is_same =
        record.action == call.action && record.input_sha256 == digest::hex(input.as_bytes());
    if is_same {
        return Ok(Some(record));
    }
    let message = format!(
        "the id {:?} was used for {} with another input; nothing was sent; take another id",
        record.id, record.action
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Work is found only where it was begun, and only with all that it was given.
pub(crate) fn check(record: &Record, connection: &Connection) -> Result<(), Error> {
    let wrong = |kind, message| {
        let error = Error::new(kind, message).with_handle(record.handle.as_ref());
        Err(Error { delivery: Delivery::Unknown, ..error })
    };
    if record.origin != connection.origin() {
        let message = format!(
            "{} was begun at {}, and the connection {:?} leads to {}",
            record.id,
            record.origin,
            connection.name(),
            connection.origin()
        );
        return wrong(ErrorKind::InvalidConnection, message);
    }
    if record.is_blacked_out && record.can_go_on() && !record.is_attended {
        let message = format!(
            "{} cannot be gone on with: its input had a credential in it, which the journal does not keep",
            record.id
        );
        return wrong(ErrorKind::Conflict, message);
    }
    Ok(())
}

/// What came of an invocation that this process cannot go on with.
pub(crate) async fn ended(journal: &Journal, id: &str) -> Result<Output, Error> {
    let record = journal.find(id).await?;
    if let Some(outcome) = journal.outcome(&record).await? {
        return outcome;
    }
    let message = match record.status {
        Status::Done => format!("{id} is done, and its result was not kept"),
        _ => format!("another process has {id} in hand"),
    };
    let error = Error::new(ErrorKind::Conflict, message).delivered(Delivery::Applied);
    Err(error.with_handle(record.handle.as_ref()))
}
