//! One instance of a connector, for one step: made, called once, and thrown away with all that it knew.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{ResourceTable, ResourceTableError};
use wasmtime::{Engine, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::{Connector, ConnectorPre};
use crate::budget::{Budget, Meter};
use crate::egress::{Egress, Hooks};
use crate::engine::{Running, Ticker};
use crate::error::{Error, ErrorKind};
use crate::flight::Flight;
use crate::log::Log;
use crate::scrub::{clip, printable};
use crate::settings::Limits;

/// What the host keeps for an instance.
pub(crate) struct Host {
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    budget: Budget,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.hooks }
    }
}

/// Makes instances of one component.
pub(crate) struct Factory {
    pub(crate) engine: Engine,
    pub(crate) pre: ConnectorPre<Host>,
    pub(crate) ticker: Ticker,
    /// One for each slot of the engine's pool, which fails when it is full instead of waiting.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) limits: Arc<Limits>,
}

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factory").field("limits", &self.limits).finish_non_exhaustive()
    }
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
    pub(crate) async fn instance(
        &self,
        egress: Option<Arc<Egress>>,
        flight: &Arc<Flight>,
        log: Log,
    ) -> Result<Instance, Error> {
        let closed = |_| Error::new(ErrorKind::Internal, "the harness is closed");
        let share = match &egress {
            Some(egress) => {
                let steps = Arc::clone(&egress.pace.steps);
                Some(steps.acquire_owned().await.map_err(closed)?)
            }
            None => None,
        };
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(closed)?;
        let running = self.ticker.run(&self.engine);
        let meter = Meter::new(self.limits.start);
        let mut store = self.store(egress, flight, &log, &meter);
        let start = Box::pin(self.pre.instantiate_async(&mut store));
        let connector = meter.measure(start).await.map_err(|error| {
            let time = format!("{} s to start", self.limits.start.as_secs_f32());
            failure(&error, &store, flight, &log, &time)
        })?;
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

    fn store(
        &self,
        egress: Option<Arc<Egress>>,
        flight: &Arc<Flight>,
        log: &Log,
        meter: &Arc<Meter>,
    ) -> Store<Host> {
        let limits = &self.limits;
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.resources);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(64 << 10);
        let host = Host {
            table,
            wasi: WasiCtxBuilder::new().stderr(log.clone()).max_random_size(64 << 10).build(),
            http,
            hooks: Hooks { egress, flight: Arc::clone(flight) },
            budget: Budget::new(limits),
        };
        let mut store = Store::new(&self.engine, host);
        store.limiter(|host| &mut host.budget);
        // The largest text that may cross at once is a result, with some room for what goes with it.
        store.set_hostcall_fuel(limits.output_bytes.saturating_add(1 << 20));
        store.set_epoch_deadline(1);
        let meter = Arc::clone(meter);
        store.epoch_deadline_callback(move |_| {
            let used_up = meter.is_used_up();
            Ok(if used_up { UpdateDeadline::Interrupt } else { UpdateDeadline::Yield(1) })
        });
        store
    }
}

impl Instance {
    /// Takes the outcome of the call, and what it means when the guest did not come back.
    pub(crate) fn settle<T>(&self, outcome: wasmtime::Result<T>) -> Result<T, Error> {
        outcome.map_err(|error| {
            let time = format!("{} s of computing time", self.limits.cpu.as_secs_f32());
            failure(&error, &self.store, &self.flight, &self.log, &time)
        })
    }
}

/// Why a guest did not come back.
fn failure(
    error: &wasmtime::Error,
    store: &Store<Host>,
    flight: &Flight,
    log: &Log,
    time: &str,
) -> Error {
    let limit = |what: &str| {
        let message = format!("the connector used more than its limit of {what} and was stopped");
        Error::new(ErrorKind::GuestLimit, message)
    };
    let trap = error.downcast_ref::<Trap>();
    let error = if let Some(exceeded) = store.data().budget.exceeded {
        limit(exceeded)
    } else if trap == Some(&Trap::Interrupt) {
        limit(time)
    } else if let Some(ResourceTableError::Full) = error.downcast_ref() {
        limit("open handles")
    // The type of this error is private to wasmtime; its text is all that tells it apart.
    } else if error.root_cause().to_string().contains("allocated for hostcalls") {
        limit("data in one call")
    } else {
        let cause = error.root_cause().to_string();
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
    };
    error.delivered(flight.delivery())
}
