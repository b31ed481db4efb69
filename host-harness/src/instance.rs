//! One instance of a connector, for one step: made, called once, and thrown away with all that it knew.

mod host;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use wasmtime::component::ResourceTableError;
use wasmtime::{Engine, Store, Trap};
use wasmtime_wasi_http::FieldMapError;

use crate::budget::{HostPanic, Meter};
use crate::egress::Egress;
use crate::engine::{Running, Ticker};
use crate::error::{Error, ErrorKind};
use crate::exports::{Connector, ConnectorPre};
use crate::flight::Flight;
use crate::log::Log;
use crate::pace::Pace;
use crate::scrub::{clip, printable};
use crate::settings::Limits;

pub(crate) use host::Host;

/// Makes instances of one component.
pub(crate) struct Factory {
    pub(crate) engine: Engine,
    pub(crate) pre: ConnectorPre,
    pub(crate) ticker: Ticker,
    /// One for each slot of the engine's pool, which fails when it is full instead of waiting.
    pub(crate) slots: Arc<Semaphore>,
    /// The same for steps that stop something.
    pub(crate) stops: Arc<Semaphore>,
    /// One for each core that guests may keep busy for long.
    pub(crate) seats: Arc<Semaphore>,
    /// One for each action that may wait for its first step.
    pub(crate) queue: Semaphore,
    /// One that was made while a step waited for an answer.
    pub(crate) spare: Mutex<Option<(Fresh, OwnedSemaphorePermit)>>,
    /// Whether there is a core for whoever answers beside the one that waits.
    pub(crate) has_cores: bool,
    pub(crate) limits: Arc<Limits>,
}

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factory").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// An instance that nobody has called yet and that knows nothing of anyone.
pub(crate) struct Fresh {
    store: Store<Host>,
    connector: Connector,
    meter: Arc<Meter>,
}

/// An instance with its limits running. It is called by way of its parts, `measure`d by its meter, and only once.
pub(crate) struct Instance {
    pub(crate) store: Store<Host>,
    pub(crate) connector: Connector,
    pub(crate) meter: Arc<Meter>,
    limits: Arc<Limits>,
    flight: Arc<Flight>,
    log: Log,
    _running: Running,
    _slot: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
}

impl Factory {
    /// A place among the actions that wait for their first step.
    pub(crate) fn place(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.queue.try_acquire().map_err(|_| {
            let most = self.limits.queued_actions;
            let message = format!(
                "{most} actions wait for their turn already (limits.queued_actions); try again later"
            );
            Error { retryable: true, ..Error::new(ErrorKind::Unavailable, message) }
        })
    }

    pub(crate) async fn instance(
        &self,
        egress: Option<Arc<Egress>>,
        flight: &Arc<Flight>,
        log: Log,
    ) -> Result<Instance, Error> {
        let closed = |_| Error::new(ErrorKind::Internal, "the harness is closed");
        let share = match &egress {
            Some(egress) => {
                let Pace { steps, stops, .. } = &*egress.pace;
                let share = if flight.stops { stops } else { steps };
                Some(Arc::clone(share).acquire_owned().await.map_err(closed)?)
            }
            None => None,
        };
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (spare, slot) = match spare {
            Some((fresh, slot)) => (Some(fresh), slot),
            None => {
                let slots = if flight.stops { &self.stops } else { &self.slots };
                (None, Arc::clone(slots).acquire_owned().await.map_err(closed)?)
            }
        };
        let running = self.ticker.run(&self.engine);
        let Fresh { mut store, connector, meter } = match spare {
            Some(fresh) => fresh,
            None => self.fresh(&log).await.map_err(|error| error.delivered(flight.delivery()))?,
        };
        store.data_mut().begin(egress.map(|egress| (egress, Arc::clone(flight))), &log);
        store.set_epoch_deadline(1);
        meter.allow(self.limits.cpu);
        Ok(Instance {
            store,
            connector,
            meter,
            limits: Arc::clone(&self.limits),
            flight: Arc::clone(flight),
            log,
            _running: running,
            _slot: slot,
            _share: share,
        })
    }

    async fn fresh(&self, log: &Log) -> Result<Fresh, Error> {
        let meter = Meter::new(self.limits.start, &self.seats);
        let mut store = host::store(&self.engine, &self.limits, log, &meter);
        let start = Box::pin(self.pre.instantiate_async(&mut store));
        let connector = meter
            .measure(start)
            .await
            .map_err(|error| failure(&error, Phase::Start, &store, &self.limits, log))?;
        Ok(Fresh { store, connector, meter })
    }

    /// What there is to do while a step waits for its workspace: an instance is made for the next step. Somebody waits for a
    /// step that is no look at remote work, so that it stays awake for an answer from near, where it takes no core from others.
    pub(crate) async fn meanwhile(&self, pace: &Pace, is_look: bool) {
        self.stock().await;
        if !is_look {
            pace.stay_awake(|| self.has_cores && self.ticker.is_quiet()).await;
        }
    }

    /// Makes an instance for the next step, where there is room for it and none yet.
    async fn stock(&self) {
        // What this step has to send goes first.
        tokio::task::yield_now().await;
        let is_there = self.spare.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let (false, Ok(slot)) = (is_there, Arc::clone(&self.slots).try_acquire_owned()) else {
            return;
        };
        let _running = self.ticker.run(&self.engine);
        // One that does not start is no concern of this step; the next one will see.
        if let Ok(fresh) = self.fresh(&Log::new(self.limits.log_bytes)).await {
            *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some((fresh, slot));
        }
    }
}

impl Instance {
    /// Takes the outcome of the call, and what it means when the guest did not come back.
    pub(crate) fn settle<T>(&self, outcome: wasmtime::Result<T>) -> Result<T, Error> {
        outcome.map_err(|error| {
            let error = failure(&error, Phase::Call, &self.store, &self.limits, &self.log);
            error.delivered(self.flight.delivery())
        })
    }
}

/// What a guest was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Start,
    Call,
}

/// Why a guest did not come back.
fn failure(
    error: &wasmtime::Error,
    phase: Phase,
    store: &Store<Host>,
    limits: &Limits,
    log: &Log,
) -> Error {
    let limit = |what: &str, setting: &str| {
        let message = format!(
            "the connector used more than its limit of {what} and was stopped (limits.{setting})"
        );
        Error::new(ErrorKind::GuestLimit, message)
    };
    let trap = error.downcast_ref::<Trap>();
    let cause = error.root_cause().to_string();
    if let Some((what, setting)) = store.data().budget.exceeded {
        limit(what, setting)
    } else if trap == Some(&Trap::Interrupt) {
        match phase {
            Phase::Start => {
                limit(&format!("{} s to start", limits.start.as_secs_f32()), "start_seconds")
            }
            Phase::Call => {
                limit(&format!("{} s of computing time", limits.cpu.as_secs_f32()), "cpu_seconds")
            }
        }
    } else if let Some(ResourceTableError::Full) = error.downcast_ref() {
        limit("open handles", "resources")
    } else if let Some(FieldMapError::TotalSizeTooBig) = error.downcast_ref() {
        limit("header fields", "field_bytes")
    } else if error.is::<HostPanic>() {
        let message = "the harness failed inside a call of the connector, which is a fault of the harness; please report it";
        Error::new(ErrorKind::Internal, message)
    // The types of these errors are private to wasmtime; their texts are all that tells them apart.
    } else if cause.contains("allocated for hostcalls") {
        limit("data in one call", "output_bytes")
    } else if cause.starts_with("requested len") {
        limit("random bytes at once", "random_bytes")
    } else if phase == Phase::Start && trap.is_none() {
        let message = format!(
            "the component does not fit this host ({}); build it against the contract of this host",
            printable(clip(&cause, 150))
        );
        Error::new(ErrorKind::ComponentInvalid, message)
    } else {
        let why = match trap {
            Some(Trap::UnreachableCodeReached) => log.panic().unwrap_or(cause),
            Some(Trap::StackOverflow | Trap::MemoryOutOfBounds) => {
                format!("{cause}, perhaps from too deep a recursion")
            }
            _ => printable(clip(&cause, 300)),
        };
        let message = format!(
            "the connector crashed: {why}; this is a fault of the connector, not of the input"
        );
        Error::new(ErrorKind::GuestTrap, message)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wasmtime::component::Component;

    use super::*;
    use crate::{engine, linker};

    /// Calls the host, and returns what it says.
    const CALLER: &str = r#"(component
        (import "wasi:random/random@0.2.0"
            (instance $random (export "get-random-u64" (func (result u64)))))
        (core func $lowered (canon lower (func $random "get-random-u64")))
        (core module $m
            (import "host" "call" (func $call (result i64)))
            (func (export "run") (result i64) (call $call)))
        (core instance $i
            (instantiate $m (with "host" (instance (export "call" (func $lowered))))))
        (func (export "run") (result u64) (canon lift (core func $i "run"))))"#;

    /// E20: a host that panics in a guest's call fails that call, without the words of the panic, and serves the next.
    #[tokio::test]
    async fn a_panic_of_the_host_is_an_error_of_the_call() {
        let limits = Limits::default();
        let engine = engine::new(&limits).expect("an engine");
        let bytes = wat::parse_str(CALLER).expect("a component");
        let component = Component::from_binary(&engine, &bytes).expect("a component");
        let log = Log::new(100);
        for panics in [true, false, true, false] {
            let mut linker = linker::new(&engine).expect("a linker");
            if panics {
                linker.allow_shadowing(true);
                linker
                    .instance("wasi:random/random@0.2.12")
                    .expect("an instance")
                    .func_wrap_async("get-random-u64", |_, (): ()| {
                        Box::new(async {
                            tokio::task::yield_now().await;
                            let secret = std::hint::black_box("dapi-CANARY-5f1d0c");
                            assert!(secret.is_empty(), "{secret} got out");
                            Ok((4_u64,))
                        })
                    })
                    .expect("shadowed");
            }
            let meter = Meter::new(Duration::from_secs(10), &Arc::new(Semaphore::new(1)));
            let mut store = host::store(&engine, &limits, &log, &meter);
            let instance =
                linker.instantiate_async(&mut store, &component).await.expect("it starts");
            let run = instance.get_typed_func::<(), (u64,)>(&mut store, "run").expect("a function");
            let outcome = meter.measure(Box::pin(run.call_async(&mut store, ()))).await;
            assert_eq!(outcome.is_err(), panics);
            if let Err(error) = outcome {
                let error = failure(&error, Phase::Call, &store, &limits, &log);
                assert_eq!(error.kind, ErrorKind::Internal, "{error}");
                assert!(error.message.starts_with("the harness failed inside a call"), "{error}");
                assert!(!error.message.contains("CANARY"), "{error}");
            }
        }
    }
}
