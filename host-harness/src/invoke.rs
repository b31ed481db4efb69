//! An action from its first step to its last: the steps, the waits between them, deadlines. How it is stopped is below.

mod ending;
mod stopping;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Clock;
use crate::bindings::{actions, lenient, types};
use crate::call::{Call, Observer, OnDeadline, Output};
use crate::connection::Connection;
use crate::description::Endpoint;
use crate::egress::{Egress, crowded};
use crate::emitted::Emitted;
use crate::error::{Delivery, Error, ErrorKind};
use crate::flight::{FOREVER, Flight};
use crate::instance::{Factory, Instance};
use crate::journal::Chronicle;
use crate::log::Log;
use crate::rest::Rest;
use crate::scrub::clip;
use crate::turns::{Crowd, Purpose, Turn};

/// The shortest wait between two looks, whatever a connector says. A step that brought part of the result is no look.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

/// An action that is being performed.
pub(crate) struct Performance<'a> {
    factory: &'a Factory,
    connection: &'a Connection,
    invocation: Arc<actions::Invocation>,
    flight: Arc<Flight>,
    observer: &'a dyn Observer,
    /// Where it is written down, when it is.
    chronicle: Option<Arc<Chronicle>>,
    /// The host that began it died in a request of which nobody knows what became.
    is_adrift: bool,
    log: Log,
    began: Instant,
    deadline: Instant,
    on_deadline: OnDeadline,
    /// Since when something runs remotely.
    runs: Option<Instant>,
    /// What the last step left: its state for the next one, and what runs remotely.
    state: Option<String>,
    handle: Option<Json>,
}

/// What an action came to.
pub(crate) struct Performed {
    /// Without its value, where that was handed on.
    pub(crate) output: Output,
    /// How many bytes that were, and the type of a JSON value.
    pub(crate) handed: Option<(u64, Option<&'static str>)>,
}

/// A step, with the rest of its result where it has one. Boxed, as what an action ended with is: both are large, and an
/// action that waits has room for neither.
type Taken = Box<(types::Step, Option<Rest>)>;
type Ended = Box<(types::Output, Option<Rest>)>;

/// Which function of the contract a step calls.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Start,
    Resume(&'a String),
    Recover(Option<&'a String>),
    Cancel(&'a String),
}

/// Why an action stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    Late,
}

impl<'a> Performance<'a> {
    pub(crate) fn new(
        factory: &'a Factory,
        clock: &Clock,
        connection: &'a Connection,
        call: Call,
        endpoints: Arc<[Endpoint]>,
        chronicle: Option<Arc<Chronicle>>,
        observer: &'a dyn Observer,
    ) -> Self {
        let began = clock.now();
        let time = call.deadline.unwrap_or(Duration::MAX).min(factory.limits.action);
        let what = format!("action {}", call.action);
        // A step that is about to learn what runs remotely needs a little more time, if that is to be stopped.
        let more = match call.on_deadline {
            OnDeadline::Leave => Duration::ZERO,
            OnDeadline::Cancel => factory.limits.cancel,
        };
        let time = time.min(FOREVER);
        let mut flight = Flight::new(what, endpoints, clock, time + more, &factory.limits);
        flight.chronicle.clone_from(&chronicle);
        let left = chronicle.as_ref().map(|chronicle| chronicle.left());
        let (state, handle, is_adrift) = left.unwrap_or_default();
        let invocation = actions::Invocation {
            id: call.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            action: call.action,
            connection: connection.for_guest(),
            input: call.input,
        };
        Self {
            factory,
            connection,
            invocation: Arc::new(invocation),
            flight: Arc::new(flight),
            observer,
            chronicle,
            is_adrift,
            log: Log::new(factory.limits.log_bytes),
            began,
            deadline: began + time,
            on_deadline: call.on_deadline,
            runs: None,
            state,
            handle,
        }
    }

    /// Performs the action. Whatever the connector makes of an answer, what it tells has no secret in it.
    pub(crate) async fn run(
        mut self,
        mut emitted: Emitted<'_>,
        cancelled: CancellationToken,
    ) -> Result<Performed, Error> {
        if let (Emitted::Handed(_), Some(flight)) = (&emitted, Arc::get_mut(&mut self.flight)) {
            flight.receive_any_amount();
        }
        let egress = Arc::clone(&self.connection.egress);
        let outcome = match self.complete(&mut emitted, &cancelled).await {
            Ok(ended) => Box::pin(self.finish(ended, emitted, &cancelled)).await,
            Err(error) => Err(error),
        };
        let scrubber = egress.credentials.scrubber();
        outcome.map_err(|error| scrubber.error(error)).map(|Performed { mut output, handed }| {
            output.value = scrubber.value(output.value);
            output.content_type = scrubber.line(&output.content_type);
            if let Some(summary) = &mut output.summary {
                scrubber.json(summary);
            }
            Performed { output, handed }
        })
    }

    async fn complete(
        &mut self,
        emitted: &mut Emitted<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Ended, Error> {
        loop {
            let taken = match self.next(cancelled).await {
                Ok(Ok(taken)) => taken,
                Ok(Err(why)) => return Err(self.stopped(why).await),
                Err(error) => return Err(self.with_what_runs(error)),
            };
            let waiting = match *taken {
                (types::Step::Done(output), rest) => return Ok(Box::new((output, rest))),
                (types::Step::Waiting(waiting), _) => waiting,
            };
            let brought_some = waiting.emitted.as_ref().is_some_and(|part| !part.is_empty());
            let shortest = if brought_some { Duration::ZERO } else { SHORTEST_WAIT };
            let wait = Duration::from_millis(waiting.poll_after_ms.into()).max(shortest);
            self.is_adrift = false;
            let part = self.keep(waiting)?;
            let why = tokio::select! {
                biased;
                // A part that nobody takes is no reason to go on for ever.
                why = self.interrupted(cancelled) => Some(why),
                taken = self.emit(emitted, part.into()) => {
                    taken?;
                    None
                }
            };
            if let Some(why) = why {
                return Err(self.stopped(why).await);
            }
            // The next step waits for both, so that what the disk takes costs nothing beside a pause.
            let rest = async {
                let pause = self.flight.clock.sleep(wait.min(self.left()));
                tokio::join!(Box::pin(self.written(brought_some)), pause)
            };
            let why = tokio::select! {
                biased;
                () = cancelled.cancelled() => Some(Stop::Cancelled),
                _ = rest => self.left().is_zero().then_some(Stop::Late),
            };
            if let Some(why) = why {
                return Err(self.stopped(why).await);
            }
        }
    }

    /// Has the journal written what the last step left.
    async fn written(&self, brought_some: bool) {
        if let (Some(chronicle), Some(state), Some(handle)) =
            (&self.chronicle, &self.state, &self.handle)
        {
            let scrubber = self.connection.egress.credentials.scrubber();
            let (state, mut handle) = (scrubber.text(state), handle.clone());
            scrubber.json(&mut handle);
            chronicle.kept(&state, &handle, brought_some).await;
        }
    }

    /// Takes the next step, once it has its turn; or tells why not.
    ///
    /// Whatever waits for its turn holds no more than its place in the line. A step that is interrupted gets a little time to
    /// finish, since it may be about to learn what runs remotely.
    async fn next(&self, cancelled: &CancellationToken) -> Result<Result<Taken, Stop>, Error> {
        let entry = match &self.state {
            state if self.is_adrift => Entry::Recover(state.as_ref()),
            // What another process left may be taken up to be stopped alone.
            _ if cancelled.is_cancelled() => return Ok(Err(Stop::Cancelled)),
            Some(state) => Entry::Resume(state),
            None => Entry::Start,
        };
        let place = self.state.is_none().then(|| self.factory.place()).transpose()?;
        tokio::select! {
            biased;
            turn = self.turn() => self.flight.has_turn(Some(turn)),
            why = self.interrupted(cancelled) => return self.without_a_turn(why),
        }
        if self.left().is_zero() {
            return self.without_a_turn(Stop::Late);
        }
        // Boxed, so that there is none of it while the action waits.
        let mut step = Box::pin(self.step(entry, place));
        loop {
            tokio::select! {
                biased;
                done = &mut step => return done.map(Ok),
                said = self.flight.said() => self.progress(&said, None),
                why = self.interrupted(cancelled) => {
                    if why == Stop::Late && self.on_deadline == OnDeadline::Leave {
                        return Ok(Err(why));
                    }
                    return match tokio::time::timeout(self.factory.limits.cancel, step).await {
                        // A failed look at remote work is no reason to leave it running.
                        Ok(Err(error)) if self.state.is_none() => Err(error),
                        Ok(Ok(step)) => Ok(Ok(step)),
                        Ok(Err(_)) | Err(_) => Ok(Err(why)),
                    };
                }
            }
        }
    }

    async fn interrupted(&self, cancelled: &CancellationToken) -> Stop {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Stop::Cancelled,
            () = tokio::time::sleep(self.left()) => Stop::Late,
        }
    }

    /// Waits for the turn of the next step's first request.
    async fn turn(&self) -> Turn {
        let Egress { pace, line, .. } = &*self.connection.egress;
        let due = self.flight.clock.now();
        let purpose = match self.runs {
            None => Purpose::Start,
            Some(since) => Purpose::Look { due, age: due - since },
        };
        let joined = |crowd: Crowd| {
            if crowd.is_long() {
                self.progress(&crowded(crowd), None);
            }
            if crowd.too_many {
                let (ahead, Crowd { per_second, .. }) = (crowd.ahead, crowd);
                let time = self.factory.limits.look.as_secs();
                self.observer.log(&format!(
                    "{ahead} requests wait for {per_second} a second (limits.requests_per_second), so that what runs \
                     remotely is not looked at every {time} s (limits.look_seconds): services may end such work"
                ));
            }
        };
        pace.turns.wait(line, purpose, joined).await
    }

    fn without_a_turn(&self, why: Stop) -> Result<Result<Taken, Stop>, Error> {
        if why == Stop::Late && self.state.is_none() {
            return Err(self.connection.egress.no_turn(&self.flight.what));
        }
        Ok(Err(why))
    }

    async fn step(
        &self,
        entry: Entry<'_>,
        place: Option<SemaphorePermit<'_>>,
    ) -> Result<Taken, Error> {
        let limits = &self.factory.limits;
        let egress = &self.connection.egress;
        let log = self.log.clone();
        let mut instance =
            self.factory.instance(Some(Arc::clone(egress)), &self.flight, log.clone()).await?;
        drop(place);
        let is_look = matches!(entry, Entry::Resume(_));
        let outcome = {
            let mut call = pin!(self.guest(entry, &mut instance));
            tokio::select! {
                biased;
                outcome = &mut call => outcome,
                () = self.factory.meanwhile(&egress.pace, is_look) => call.await,
            }
        };
        let mut outcome = instance.settle(outcome);
        let rest = match &mut outcome {
            Ok(Ok(step)) => Rest::take(step, &mut instance.store.data_mut().table),
            _ => Ok(None),
        };
        // Nobody has to wait until its memory is as if it had never been.
        if !matches!(outcome, Ok(Ok(types::Step::Waiting(_)))) {
            tokio::spawn(async move { drop(instance) });
        }
        drop(self.flight.turn_at_hand());
        log.report(self.observer, &egress.credentials.scrubber(), limits.log_line_bytes);
        let step = outcome?.map_err(|error| self.flight.complete(error.into()))?;
        Ok(Box::new((step, rest?)))
    }

    async fn guest(
        &self,
        entry: Entry<'_>,
        instance: &mut Instance,
    ) -> wasmtime::Result<Result<types::Step, types::Error>> {
        let Instance { store, connector: guest, meter, .. } = instance;
        let invocation = &self.invocation;
        match entry {
            Entry::Start => meter.measure(Box::pin(guest.call_start(store, invocation))).await,
            Entry::Resume(state) => {
                meter.measure(Box::pin(guest.call_resume(store, invocation, state))).await
            }
            Entry::Recover(state) => {
                meter.measure(Box::pin(guest.call_recover(store, invocation, state))).await
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
        // Where the connector knows nothing to look for, there is at least the mark on what it started.
        let mark = (self.is_adrift && error.kind == ErrorKind::OutcomeUnknown)
            .then(|| json!({ "invocation_id": self.invocation.id }));
        error.with_handle(self.handle.as_ref()).with_handle(mark.as_ref())
    }

    /// Keeps what a step left behind, and tells the observer. The answer is the part of the result that it brought.
    fn keep(&mut self, waiting: types::Waiting) -> Result<Vec<u8>, Error> {
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
            self.progress(clip(&line, 300), progress.fraction);
        }
        self.runs.get_or_insert(self.flight.clock.now());
        let handle = lenient(&waiting.handle);
        if self.handle.as_ref() != Some(&handle) {
            self.observer.started(&handle);
        }
        self.handle = Some(handle);
        self.state = Some(waiting.state);
        Ok(waiting.emitted.unwrap_or_default())
    }

    fn progress(&self, message: &str, fraction: Option<f32>) {
        self.observer.progress(message, fraction, self.flight.clock.now() - self.began);
    }

    /// The time left until the deadline.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(self.flight.clock.now())
    }
}

fn nothing() -> types::Output {
    let value = types::Value::Json("null".to_owned());
    types::Output {
        value,
        content_type: String::new(),
        truncated: false,
        summary: None,
        rest: None,
    }
}
