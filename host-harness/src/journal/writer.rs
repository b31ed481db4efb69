//! The one thread of a process that touches its journal's database. What many callers want written at the same time is
//! committed together, so that the disk is waited for once.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::store::{Pen, Store};
use super::trouble::Outcome;
use crate::error::{Error, ErrorKind};

/// How long news that may get lost wait for others.
const LAZY: Duration = Duration::from_millis(200);
/// How often it is looked whether another process wishes something.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// Changes in one commit.
const MOST: usize = 1_000;

/// How much a change matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// The process does not wait for it, and a crash soon after may lose it.
    Lazy,
    /// It outlives the process, though not a loss of power right after.
    Written,
    /// It outlives anything but the disk.
    Durable,
}

type Work = Box<dyn FnOnce(&mut Pen<'_>) -> Outcome<()> + Send>;
type Reply = oneshot::Sender<Result<(), Error>>;
type Look = Box<dyn FnOnce(&Store) + Send>;

enum Message {
    Write { work: Work, level: Level, reply: Option<Reply> },
    Read(Look),
    Watch { id: String, wish: oneshot::Sender<()> },
}

/// The way to that thread; it ends, after all that was asked of it, when this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    inbox: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Opens the database in a thread of its own, and waits for the outcome.
    pub(super) async fn open(folder: &Path) -> Result<Self, Error> {
        let folder = folder.to_owned();
        let (inbox, messages) = channel();
        let (ready, opened) = oneshot::channel();
        let serve = move || match Store::open(&folder) {
            Ok(store) => {
                let _ = ready.send(Ok(()));
                serve(&store, &messages);
            }
            Err(trouble) => {
                let _ = ready.send(Err(trouble.told(&folder)));
            }
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(serve);
        let thread = thread.map_err(|error| {
            let message = format!("the journal's thread cannot be started: {error}");
            Error::new(ErrorKind::HostIo, message)
        })?;
        opened.await.map_err(|_| gone())??;
        Ok(Self { inbox: Some(inbox), thread: Some(thread) })
    }

    /// Has something written some time soon.
    pub(super) fn later(&self, work: impl FnOnce(&mut Pen<'_>) -> Outcome<()> + Send + 'static) {
        let work = Box::new(work);
        self.send(Message::Write { work, level: Level::Lazy, reply: None });
    }

    /// Has something written, and waits until it is.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        level: Level,
        work: impl FnOnce(&mut Pen<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, done) = oneshot::channel();
        let (result, made) = oneshot::channel();
        let work = Box::new(move |pen: &mut Pen<'_>| {
            let _ = result.send(work(pen)?);
            Ok(())
        });
        self.send(Message::Write { work, level, reply: Some(reply) });
        done.await.map_err(|_| gone())??;
        made.await.map_err(|_| gone())
    }

    /// Looks something up, after all that was to be written before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Store) -> Outcome<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, found) = oneshot::channel();
        let look = move |store: &Store| {
            let _ = reply.send(look(store).map_err(|trouble| trouble.told(store.folder())));
        };
        self.send(Message::Read(Box::new(look)));
        found.await.map_err(|_| gone())?
    }

    /// Has it told when another process wishes that this invocation were cancelled.
    pub(super) fn watch(&self, id: String, wish: oneshot::Sender<()>) {
        self.send(Message::Watch { id, wish });
    }

    fn send(&self, message: Message) {
        // When the thread is gone, so is the other end of the reply, which tells.
        if let Some(inbox) = &self.inbox {
            let _ = inbox.send(message);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the journal's thread is gone; please report it")
}

fn serve(store: &Store, inbox: &Receiver<Message>) {
    let mut batch = Batch::default();
    let expired = store.expired.clone();
    if !expired.is_empty() {
        let work: Work = Box::new(move |pen| expired.iter().try_for_each(|id| pen.remove(id)));
        batch.add(work, Level::Lazy, None);
    }
    let mut wishes = Wishes::default();
    loop {
        let first = match [batch.due, wishes.due()].into_iter().flatten().min() {
            None => inbox.recv().ok(),
            Some(due) => match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => {
                    if batch.due.is_some_and(|due| due <= Instant::now()) {
                        batch.commit(store);
                    }
                    wishes.look(store);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => None,
            },
        };
        let Some(first) = first else { return batch.commit(store) };
        for message in std::iter::once(first).chain(inbox.try_iter()) {
            match message {
                Message::Write { work, level, reply } => batch.add(work, level, reply),
                Message::Read(look) => {
                    batch.commit(store);
                    look(store);
                }
                Message::Watch { id, wish } => wishes.watch(id, wish),
            }
        }
        if batch.level > Level::Lazy || batch.works.len() > MOST {
            batch.commit(store);
        }
        wishes.look(store);
    }
}

/// Who wants to know of a wish to cancel, and when it is looked again whether there is one.
#[derive(Default)]
struct Wishes {
    watched: Vec<(String, oneshot::Sender<()>)>,
    next: Option<Instant>,
    /// What the database said of foreign changes when it was looked last.
    seen: Option<i64>,
}

impl Wishes {
    fn watch(&mut self, id: String, wish: oneshot::Sender<()>) {
        self.watched.push((id, wish));
        self.next.get_or_insert_with(|| Instant::now() + BETWEEN_LOOKS);
        // It may have been wished before it was watched.
        self.seen = None;
    }

    fn due(&self) -> Option<Instant> {
        self.next.filter(|_| !self.watched.is_empty())
    }

    /// Tells those whose wish has come, when it is time to look and anybody else wrote something.
    fn look(&mut self, store: &Store) {
        if self.due().is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.next = Some(Instant::now() + BETWEEN_LOOKS);
        self.watched.retain(|(_, wish)| !wish.is_closed());
        let Ok(changes) = store.foreign_changes() else { return };
        if self.seen == Some(changes) {
            return;
        }
        let Ok(wishes) = store.wishes() else { return };
        self.seen = Some(changes);
        let (come, rest) =
            std::mem::take(&mut self.watched).into_iter().partition(|(id, _)| wishes.contains(id));
        self.watched = rest;
        for (_, wish) in come {
            let _ = wish.send(());
        }
    }
}

/// What is written with the next commit.
struct Batch {
    works: Vec<(Work, Option<Reply>)>,
    level: Level,
    /// When it is written at the latest.
    due: Option<Instant>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { works: Vec::new(), level: Level::Lazy, due: None }
    }
}

impl Batch {
    fn add(&mut self, work: Work, level: Level, reply: Option<Reply>) {
        self.works.push((work, reply));
        self.level = self.level.max(level);
        self.due.get_or_insert_with(|| Instant::now() + LAZY);
    }

    fn commit(&mut self, store: &Store) {
        let Self { works, level, .. } = std::mem::take(self);
        if works.is_empty() {
            return;
        }
        let (works, replies): (Vec<_>, Vec<_>) = works.into_iter().unzip();
        let done = store.commit(level == Level::Durable, |pen| {
            works.into_iter().try_for_each(|work| work(pen))
        });
        let done = done.map_err(|trouble| trouble.told(store.folder()));
        for reply in replies.into_iter().flatten() {
            let _ = reply.send(done.clone());
        }
    }
}
