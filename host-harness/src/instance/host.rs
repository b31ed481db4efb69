//! What the host keeps for an instance, and the store that both live in.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::budget::{Budget, Meter, Pace};
use crate::egress::{Egress, Hooks};
use crate::flight::Flight;
use crate::log::{Log, Stderr};
use crate::settings::Limits;

/// What the host keeps for an instance.
pub(crate) struct Host {
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    stderr: Stderr,
    http: WasiHttpCtx,
    hooks: Hooks,
    pub(super) budget: Budget,
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

impl Host {
    /// Whose instance it is from here on: by which way its requests leave, and what it logs into.
    pub(super) fn begin(&mut self, way: Option<(Arc<Egress>, Arc<Flight>)>, log: &Log) {
        self.hooks = Hooks { way };
        self.stderr.turn_to(log);
    }
}

/// A store for one instance, from which nothing can be sent yet.
pub(super) fn store(
    engine: &Engine,
    limits: &Limits,
    log: &Log,
    meter: &Arc<Meter>,
) -> Store<Host> {
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.resources);
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(limits.field_bytes);
    let stderr = Stderr::new(log.clone());
    let host = Host {
        table,
        wasi: WasiCtxBuilder::new()
            .stderr(stderr.clone())
            .max_random_size(limits.random_bytes)
            .build(),
        stderr,
        http,
        hooks: Hooks::default(),
        budget: Budget::new(limits),
    };
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.budget);
    // The largest text that may cross at once is a result, with some room for what goes with it.
    store.set_hostcall_fuel(limits.output_bytes.saturating_add(1 << 20));
    store.set_epoch_deadline(1);
    let meter = Arc::clone(meter);
    store.epoch_deadline_callback(move |_| {
        Ok(match meter.look() {
            Pace::Brisk => UpdateDeadline::Yield(1),
            Pace::Aside => {
                std::thread::yield_now();
                UpdateDeadline::Continue(1)
            }
            Pace::Long => UpdateDeadline::YieldCustom(1, meter.make_way()),
            Pace::UsedUp => UpdateDeadline::Interrupt,
        })
    });
    store
}
