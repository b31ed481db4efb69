//! An action from its first step to its last: the steps, the waits between them, deadlines and cancellation.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Clock;
use crate::bindings::{actions, lenient, types};
use crate::call::{Call, Observer, Output, Value};
use crate::connection::Connection;
use crate::description::Endpoint;
use crate::error::{Delivery, Error, ErrorKind};
use crate::flight::Flight;
use crate::instance::{Factory, Instance};
use crate::log::Log;
use crate::scrub::clip;

/// The shortest wait between two looks, whatever a connector says. A step that brought part of the result is no look.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// How long remote work that was asked to stop is waited for, and the first pause between two looks.
const STOP_TIME: Duration = Duration::from_secs(10);
const STOP_PAUSE: Duration = Duration::from_millis(50);

/// An action that is being performed.
pub(crate) struct Performance<'a> {
    factory: &'a Factory,
    connection: &'a Connection,
    invocation: actions::Invocation,
    flight: Arc<Flight>,
    observer: &'a dyn Observer,
    log: Log,
    began: Instant,
    emitted: Vec<u8>,
    /// What the last step left: its state for the next one, and what runs remotely.
    state: Option<String>,
    handle: Option<Json>,
}

/// Which function of the contract a step calls.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Start,
    Resume(&'a String),
    Cancel(&'a String),
}

impl<'a> Performance<'a> {
    pub(crate) fn new(
        factory: &'a Factory,
        clock: &Clock,
        connection: &'a Connection,
        call: Call,
        endpoints: Arc<[Endpoint]>,
        observer: &'a dyn Observer,
    ) -> Self {
        let began = clock.now();
        let time = call.deadline.unwrap_or(Duration::MAX).min(factory.limits.action);
        let what = format!("action {}", call.action);
        let flight = Flight::new(what, endpoints, clock, time, &factory.limits);
        let invocation = actions::Invocation {
            id: call.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            action: call.action,
            connection: connection.for_guest(),
            input: call.input,
        };
        Self {
            factory,
            connection,
            invocation,
            flight: Arc::new(flight),
            observer,
            log: Log::new(factory.limits.log_bytes),
            began,
            emitted: Vec::new(),
            state: None,
            handle: None,
        }
    }

    /// Performs the action. Whatever the connector makes of an answer, what it tells has no secret in it.
    pub(crate) async fn run(self, cancelled: CancellationToken) -> Result<Output, Error> {
        let egress = Arc::clone(&self.connection.egress);
        let outcome = self.complete(cancelled).await;
        let scrubber = egress.credentials.scrubber();
        outcome.map_err(|error| scrubber.error(error)).map(|mut output| {
            output.value = scrubber.value(output.value);
            output.content_type = scrubber.line(&output.content_type);
            if let Some(summary) = &mut output.summary {
                scrubber.json(summary);
            }
            output
        })
    }

    async fn complete(mut self, cancelled: CancellationToken) -> Result<Output, Error> {
        loop {
            let entry = self.state.as_ref().map_or(Entry::Start, Entry::Resume);
            let step = match self.watched(entry, &cancelled).await {
                Ok(Some(step)) => step,
                Ok(None) => return Err(self.cancel().await),
                Err(error) => return Err(self.with_what_runs(error)),
            };
            let waiting = match step {
                types::Step::Done(output) => return self.finish(output),
                types::Step::Waiting(waiting) => waiting,
            };
            let brought_some = waiting.emitted.as_ref().is_some_and(|part| !part.is_empty());
            let shortest = if brought_some { Duration::ZERO } else { SHORTEST_WAIT };
            let wait = Duration::from_millis(waiting.poll_after_ms.into()).max(shortest);
            self.keep(waiting)?;
            tokio::select! {
                biased;
                () = cancelled.cancelled() => return Err(self.cancel().await),
                () = self.flight.clock.sleep(wait.min(self.left())) => {
                    if self.left().is_zero() {
                        return Err(self.late());
                    }
                }
            }
        }
    }

    /// Takes a step. When the action is cancelled meanwhile, the step gets a little time to finish, since it may be about
    /// to learn what runs remotely; none when it did not.
    async fn watched(
        &self,
        entry: Entry<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Option<types::Step>, Error> {
        let step = self.flight.clock.before(self.flight.deadline, self.step(entry));
        tokio::pin!(step);
        let done = tokio::select! {
            biased;
            done = &mut step => done,
            () = cancelled.cancelled() => {
                match tokio::time::timeout(self.factory.limits.cancel, step).await {
                    // A failed look at remote work is no reason to leave it running.
                    Ok(Some(Err(_))) if self.state.is_some() => return Ok(None),
                    Ok(done) => done,
                    Err(_) => return Ok(None),
                }
            }
        };
        match done {
            Some(step) => step.map(Some),
            None => Err(self.late()),
        }
    }

    async fn step(&self, entry: Entry<'_>) -> Result<types::Step, Error> {
        let limits = &self.factory.limits;
        let egress = &self.connection.egress;
        let log = self.log.clone();
        let place = match entry {
            Entry::Start => Some(self.factory.place()?),
            Entry::Resume(_) | Entry::Cancel(_) => None,
        };
        let mut instance =
            self.factory.instance(Some(Arc::clone(egress)), &self.flight, log.clone()).await?;
        drop(place);
        let outcome = self.guest(entry, &mut instance).await;
        let outcome = instance.settle(outcome);
        log.report(self.observer, &egress.credentials.scrubber(), limits.log_line_bytes);
        outcome?.map_err(|error| self.flight.complete(error.into()))
    }

    async fn guest(
        &self,
        entry: Entry<'_>,
        instance: &mut Instance,
    ) -> wasmtime::Result<Result<types::Step, types::Error>> {
        let Instance { store, connector, meter, .. } = instance;
        let guest = connector.integration_connector_actions();
        let invocation = &self.invocation;
        match entry {
            Entry::Start => meter.measure(Box::pin(guest.call_start(store, invocation))).await,
            Entry::Resume(state) => {
                meter.measure(Box::pin(guest.call_resume(store, invocation, state))).await
            }
            Entry::Cancel(state) => {
                let accepted =
                    meter.measure(Box::pin(guest.call_cancel(store, invocation, state))).await?;
                Ok(accepted.map(|()| types::Step::Done(nothing())))
            }
        }
    }

    /// A connector that did not come back takes nothing with it: what its earlier steps started was started.
    fn with_what_runs(&self, error: Error) -> Error {
        let lost = [ErrorKind::GuestTrap, ErrorKind::GuestLimit, ErrorKind::Internal];
        let error = match self.handle {
            Some(_) if lost.contains(&error.kind) => error.delivered(Delivery::Applied),
            _ => error,
        };
        error.with_handle(self.handle.as_ref())
    }

    /// Keeps what a step left behind, and tells the observer.
    fn keep(&mut self, waiting: types::Waiting) -> Result<(), Error> {
        let limit = self.factory.limits.state_bytes;
        if waiting.state.len() > limit || waiting.handle.len() > limit {
            let message = format!(
                "the connector wants to remember more than its limit of {limit} bytes (limits.state_bytes)"
            );
            let error = Error::new(ErrorKind::GuestLimit, message);
            return Err(error.delivered(self.flight.delivery()).with_handle(self.handle.as_ref()));
        }
        if let Some(progress) = &waiting.progress {
            let line = self.connection.egress.credentials.scrubber().line(&progress.message);
            let message = clip(&line, 300).to_owned();
            self.observer.progress(
                &message,
                progress.fraction,
                self.flight.clock.now() - self.began,
            );
        }
        let handle = lenient(&waiting.handle);
        if self.handle.as_ref() != Some(&handle) {
            self.observer.started(&handle);
        }
        self.handle = Some(handle);
        self.state = Some(waiting.state);
        self.emit(waiting.emitted.unwrap_or_default())
    }

    fn emit(&mut self, part: Vec<u8>) -> Result<(), Error> {
        let limit = self.factory.limits.output_bytes;
        if self.emitted.len() + part.len() > limit {
            let message = format!("the result is larger than {limit} bytes; ask for less of it");
            let error = Error::new(ErrorKind::TooLarge, message).delivered(Delivery::Applied);
            return Err(error.with_handle(self.handle.as_ref()));
        }
        if self.emitted.is_empty() {
            self.emitted = part;
        } else {
            self.emitted.extend_from_slice(&part);
        }
        Ok(())
    }

    fn finish(mut self, output: types::Output) -> Result<Output, Error> {
        let types::Output { value, content_type, truncated, summary } = output;
        let summary = summary.as_deref().map(lenient);
        let value = Value::from(value);
        if self.emitted.is_empty() {
            return Ok(Output { value, content_type, truncated, summary });
        }
        self.emit(value.as_bytes().to_vec())?;
        let whole = std::mem::take(&mut self.emitted);
        let text = |bytes| {
            String::from_utf8(bytes).map_err(|_| {
                let message = "the parts of the result are not UTF-8 text";
                Error::new(ErrorKind::Protocol, message).delivered(Delivery::Applied)
            })
        };
        let value = match value {
            Value::Json(_) => Value::Json(text(whole)?),
            Value::Text(_) => Value::Text(text(whole)?),
            Value::Binary(_) => Value::Binary(whole),
        };
        Ok(Output { value, content_type, truncated, summary })
    }

    /// The time left until the deadline.
    fn left(&self) -> Duration {
        self.flight.deadline.saturating_duration_since(self.flight.clock.now())
    }

    fn late(&self) -> Error {
        let time = (self.flight.deadline - self.began).as_secs_f32();
        let message = match self.handle {
            Some(_) => {
                format!("the action did not end within {time} s; what it started still runs")
            }
            None => format!("the action did not end within {time} s"),
        };
        let delivery =
            if self.handle.is_some() { Delivery::Applied } else { self.flight.delivery() };
        let error = Error::new(ErrorKind::Timeout, message).delivered(delivery);
        error.with_handle(self.handle.as_ref())
    }

    /// Asks for the remote work to stop, and says how that went.
    async fn cancel(&self) -> Error {
        let Some(state) = &self.state else {
            let (message, delivery) = match self.flight.delivery() {
                Delivery::NotSent => ("cancelled before anything was sent", Delivery::NotSent),
                delivery => (
                    "cancelled in the middle of a request, which may be carried out all the same",
                    delivery,
                ),
            };
            return Error::new(ErrorKind::Cancelled, message).delivered(delivery);
        };
        let clock = &self.flight.clock;
        let (until, mut pause) = (clock.now() + STOP_TIME, STOP_PAUSE);
        let message = loop {
            let step = self.step(Entry::Cancel(state));
            match tokio::time::timeout(self.factory.limits.first_byte, step).await {
                Ok(Ok(_)) => break "cancelled; the remote work was stopped".to_owned(),
                // It is about to stop, or the request got lost.
                Ok(Err(error)) if error.retryable && clock.now() < until => {
                    clock.sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Ok(Err(error)) if error.kind == ErrorKind::Conflict => {
                    break format!("cancelled too late: {error}");
                }
                Ok(Err(error)) => {
                    break format!("cancelled, but the remote work may go on: {error}");
                }
                Err(_) => {
                    let why = "asking it to stop took too long";
                    break format!("cancelled, but the remote work may go on: {why}");
                }
            }
        };
        let delivery = Delivery::Applied;
        let error = Error::new(ErrorKind::Cancelled, message).delivered(delivery);
        error.with_handle(self.handle.as_ref())
    }
}

fn nothing() -> types::Output {
    let value = types::Value::Json("null".to_owned());
    types::Output { value, content_type: String::new(), truncated: false, summary: None }
}
