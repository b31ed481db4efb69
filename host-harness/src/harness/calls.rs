//! Performing actions: what callers of a harness ask of it, written down where there is a journal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::Harness;
use crate::call::{Call, Observer, OnDeadline, Output, Sink, Streamed};
use crate::catalog::Offer;
use crate::connection::Connection;
use crate::description::{Action, Effect};
use crate::emitted::Emitted;
use crate::error::{Delivery, Error, ErrorKind};
use crate::invoke::{Performance, Performed};
use crate::journal::{self, Chronicle, Journal, Place, Record, Recorder};
use crate::names;

impl Harness {
    /// Performs an action to its end.
    ///
    /// A cancelled action asks the connector to stop what it started; a finished result is returned all the same. When the
    /// future is dropped instead, remote work goes on; [`invoke_owned`](Self::invoke_owned) stops it then. Poll the future or
    /// drop it: one that is merely kept may hold up other calls to its workspace.
    ///
    /// With a journal, an action that changes something is written down before it does. A call whose id the journal knows does
    /// nothing twice: it gives what came of the first one, or goes on with it when nobody else does.
    pub async fn invoke(
        &self,
        connection: &Connection,
        call: Call,
        observer: &dyn Observer,
        cancelled: CancellationToken,
    ) -> Result<Output, Error> {
        let emitted = Emitted::Kept(Vec::new());
        let watched = Watched { observer, cancelled, emitted };
        Ok(self.invoke_watched(connection, call, watched).await?.output)
    }

    /// The same with a result that goes into a sink as it is made: what is in memory of it does not grow with its size,
    /// which no limit bounds.
    ///
    /// Whether the result makes sense is told at its end, so what a sink got is worth nothing before this succeeds.
    pub async fn invoke_into(
        &self,
        connection: &Connection,
        call: Call,
        observer: &dyn Observer,
        cancelled: CancellationToken,
        sink: &mut dyn Sink,
    ) -> Result<Streamed, Error> {
        let emitted = Emitted::to(&mut *sink);
        let watched = Watched { observer, cancelled, emitted };
        let performed = self.invoke_watched(connection, call, watched).await?;
        streamed(performed, sink).await
    }

    async fn invoke_watched(
        &self,
        connection: &Connection,
        call: Call,
        watched: Watched<'_>,
    ) -> Result<Performed, Error> {
        let (offer, action) = self.offer(connection, &call).await?;
        let chronicle = match &self.journal {
            Some(place) if action.effect != Effect::Reads => {
                let known = journal::known(place, &call, connection).await?;
                if let Some(record) = known {
                    let limits = (call.deadline, call.on_deadline);
                    return Box::pin(self.go_on(connection, &record, limits, watched)).await;
                }
                let id = call.id.clone().unwrap_or_else(new_id);
                Some(Chronicle::begin(place, &call, &id, connection, &self.digest)?)
            }
            _ => None,
        };
        // Boxed, so that one that waits is no larger than what it needs by then.
        Box::pin(self.perform(connection, call, offer, chronicle, watched)).await
    }

    /// Writes an action down, for any process to carry out by `resume`, and returns its id. Nothing is sent.
    pub async fn hand_over(&self, connection: &Connection, call: Call) -> Result<String, Error> {
        self.offer(connection, &call).await?;
        let place = self.place()?;
        if let Some(record) = journal::known(place, &call, connection).await? {
            return Ok(record.id);
        }
        let id = call.id.clone().unwrap_or_else(new_id);
        let chronicle = Chronicle::begin(place, &call, &id, connection, &self.digest)?;
        chronicle.hand_over().await?;
        Ok(id)
    }

    /// Goes on with what the journal has under an id, from its last step, when no living process does; gives what came of it
    /// when it has ended. With a token that is cancelled already, it only stops what runs. The deadline and what becomes of
    /// remote work then count from now on.
    ///
    /// What nobody knows the outcome of is looked for, never sent again.
    pub async fn resume(
        &self,
        connection: &Connection,
        id: &str,
        deadline: (Option<Duration>, OnDeadline),
        observer: &dyn Observer,
        cancelled: CancellationToken,
    ) -> Result<Output, Error> {
        let record = self.place()?.open().await?.find(id).await?;
        let emitted = Emitted::Kept(Vec::new());
        let watched = Watched { observer, cancelled, emitted };
        Ok(self.go_on(connection, &record, deadline, watched).await?.output)
    }

    /// The same with a result that goes into a sink, from its first part on; see [`invoke_into`](Self::invoke_into).
    pub async fn resume_into(
        &self,
        connection: &Connection,
        id: &str,
        deadline: (Option<Duration>, OnDeadline),
        observer: &dyn Observer,
        cancelled: CancellationToken,
        sink: &mut dyn Sink,
    ) -> Result<Streamed, Error> {
        let record = self.place()?.open().await?.find(id).await?;
        let emitted = Emitted::to(&mut *sink);
        let watched = Watched { observer, cancelled, emitted };
        let performed = self.go_on(connection, &record, deadline, watched).await?;
        streamed(performed, sink).await
    }

    /// The journal, where the settings name a folder for it.
    pub async fn journal(&self) -> Result<&Journal, Error> {
        self.place()?.open().await
    }

    /// The journal, when something was written into it or read.
    pub fn journal_in_use(&self) -> Option<&Journal> {
        self.journal.as_ref()?.opened()
    }

    fn place(&self) -> Result<&Arc<Place>, Error> {
        self.journal.as_ref().ok_or_else(|| {
            let message = "there is no folder for the journal; set journal_dir";
            Error::new(ErrorKind::HostIo, message)
        })
    }

    async fn go_on(
        &self,
        connection: &Connection,
        record: &Record,
        (deadline, on_deadline): (Option<Duration>, OnDeadline),
        watched: Watched<'_>,
    ) -> Result<Performed, Error> {
        journal::check(record, connection)?;
        let place = self.place()?;
        let taken = match record.can_go_on() && !record.is_attended {
            true => Chronicle::take_up(place, &record.id).await?,
            false => None,
        };
        let Some(chronicle) = taken else {
            let output = journal::ended(place.open().await?, &record.id).await?;
            return Ok(Performed { output, handed: None });
        };
        let call = chronicle.call(deadline, on_deadline);
        let (offer, _) = self.offer(connection, &call).await?;
        self.perform(connection, call, offer, Some(chronicle), watched).await
    }

    /// What the catalog offers under the key of a call that may be made.
    async fn offer(
        &self,
        connection: &Connection,
        call: &Call,
    ) -> Result<(&Offer, &Action), Error> {
        let catalog = self.catalog().await?;
        let offer = catalog.actions.get(&call.action);
        let action = catalog.description.action(&call.action);
        let (Some(offer), Some(action)) = (offer, action) else {
            let known = catalog.description.actions.iter().map(|action| action.key.as_str());
            let message = names::unknown("action", &call.action, known);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        connection.permits(action)?;
        self.check_size(&call.input)?;
        Ok((offer, action))
    }

    async fn perform(
        &self,
        connection: &Connection,
        call: Call,
        offer: &Offer,
        chronicle: Option<Chronicle>,
        watched: Watched<'_>,
    ) -> Result<Performed, Error> {
        let catalog = self.catalog().await?;
        let checked = |performed: Performed| {
            match performed.handed {
                Some((_, found)) => catalog.check_type(offer, &performed.output, found)?,
                None => catalog.check(offer, &performed.output)?,
            }
            Ok(performed)
        };
        let Watched { observer, cancelled, emitted } = watched;
        let endpoints = Arc::clone(&offer.endpoints);
        let (factory, clock) = (&self.factory, &self.clock);
        let Some(chronicle) = chronicle.map(Arc::new) else {
            let performance =
                Performance::new(factory, clock, connection, call, endpoints, None, observer);
            return Box::pin(performance.run(emitted, cancelled)).await.and_then(checked);
        };
        let call = Call { id: Some(chronicle.id()), ..call };
        let recorder = Recorder { observer, chronicle: &chronicle };
        observer.begun(&chronicle.id());
        let stop = cancelled.child_token();
        let kept = Some(Arc::clone(&chronicle));
        let performance =
            Performance::new(factory, clock, connection, call, endpoints, kept, &recorder);
        let mut run = Box::pin(performance.run(emitted, stop.clone()));
        let outcome = tokio::select! {
            biased;
            outcome = &mut run => outcome,
            () = chronicle.wished() => {
                stop.cancel();
                run.await
            }
        };
        let outcome = outcome.and_then(checked);
        if let Err(error) = chronicle.ended(&outcome).await {
            observer.log(&format!("warning: {error}"));
        }
        outcome
    }

    /// As [`invoke`](Self::invoke), but when the future is dropped before its end, the action is cancelled: the remote work is
    /// asked to stop, by a task that goes on in the background for `limits.cancel` and `limits.stop` at most.
    ///
    /// The observer hears of the cancellation as of everything else, and what could not be stopped is a line of its log. The
    /// runtime has to live on for that long: one that is shut down leaves the remote work running.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn invoke_owned(
        self: Arc<Self>,
        connection: Connection,
        call: Call,
        observer: Arc<dyn Observer>,
        cancelled: CancellationToken,
    ) -> Result<Output, Error> {
        let (stop, is_dropped) = (cancelled.child_token(), CancellationToken::new());
        let guard = (is_dropped.clone().drop_guard(), stop.clone().drop_guard());
        let task = tokio::spawn(async move {
            let outcome = self.invoke(&connection, call, &*observer, stop).await;
            if is_dropped.is_cancelled() {
                observer.log(&match &outcome {
                    Ok(_) => "the action ended before it could be cancelled".to_owned(),
                    Err(Error { handle: Some(handle), message, .. }) => {
                        format!("{message}: {handle}")
                    }
                    Err(error) => error.to_string(),
                });
            }
            outcome
        });
        let outcome = task.await;
        guard.0.disarm();
        outcome.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Internal, "the task of the action was ended from outside"))
        })
    }
}

/// What went into a sink, once a result that came whole is in it too.
async fn streamed(performed: Performed, sink: &mut dyn Sink) -> Result<Streamed, Error> {
    let Performed { output, handed } = performed;
    let Output { value, content_type, truncated, summary } = output;
    let bytes = match handed {
        Some((bytes, _)) => bytes,
        None => {
            let part = Bytes::from(value.into_bytes());
            let bytes = part.len() as u64;
            sink.take(part).await.map_err(|error| error.delivered(Delivery::Applied))?;
            bytes
        }
    };
    Ok(Streamed { bytes, content_type, truncated, summary })
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Who watches an action, may cancel it, and where its result goes.
struct Watched<'a> {
    observer: &'a dyn Observer,
    cancelled: CancellationToken,
    emitted: Emitted<'a>,
}
