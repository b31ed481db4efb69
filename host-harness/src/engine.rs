//! The wasmtime engine and the clock that interrupts guests. One of each per harness.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::settings::Limits;

/// How often running guests are looked at, and so the longest that one computes before others get their turn.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// The same while a guest computes for long and offers its core at each tick: the longest that others wait for it.
const TICK_ASIDE: Duration = Duration::from_micros(500);

/// Instances for steps that stop something, beside those for all other steps.
pub(crate) const STOPS: u32 = 8;

/// Memories of one component. Each reserves address space in every slot.
pub(crate) const MEMORIES: u32 = 1;

/// An engine with room for as many instances as may run at once.
///
/// Slots are reserved address space, not memory. Where that is scarce (`ulimit -v`), instances are allocated one by one.
pub(crate) fn new(limits: &Limits) -> wasmtime::Result<Engine> {
    let slots = limits.concurrent_steps.max(1).saturating_add(STOPS);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(limits.instances))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(limits.instances))
        // One step takes no other's share.
        .max_core_instances_per_component(limits.instances)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(limits.instances)
        .max_tables_per_module(limits.instances)
        .total_stacks(slots)
        .table_elements(limits.table_elements)
        .max_memory_size(limits.memory_bytes)
        // What a step usually touches stays resident and is reset by copying, found by asking the kernel for dirty pages:
        // that halves the time of a small call, which otherwise goes into page faults. Older kernels cannot tell.
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|_| Engine::new(&without_reservations()))
}

/// Usually an instance reserves 4 GiB of addresses and more, so that its code needs no checks.
fn without_reservations() -> Config {
    let mut config = config();
    config.memory_reservation(0).memory_reservation_for_growth(4 << 20).memory_guard_size(64 << 10);
    config
}

/// An engine that only compiles, for an engine of this fingerprint.
pub(crate) fn compiler(wanted: u64) -> Option<Engine> {
    let engines = [config(), without_reservations()].into_iter().map(|config| Engine::new(&config));
    engines.flatten().find(|engine| fingerprint(engine) == wanted)
}

/// The same for engines that can run each other's code.
pub(crate) fn fingerprint(engine: &Engine) -> u64 {
    let mut hash = Fnv::default();
    engine.precompile_compatibility_hash().hash(&mut hash);
    env!("CARGO_PKG_VERSION").hash(&mut hash);
    hash.finish()
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        // For native debuggers and profilers; wasmtime walks guest stacks without it.
        .native_unwind_info(false);
    config
}

/// Moves the engine's epoch on while guests run, and rests when none does.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Where guests sit that compute for long, and how many seats there are.
    seats: Arc<Semaphore>,
    all_seats: usize,
    /// Guests that run now.
    running: AtomicU32,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum State {
    /// No thread yet: a harness that only describes needs none for long.
    #[default]
    New,
    Ticking,
    Resting,
    Ended,
}

/// A guest that runs, from its start to its drop.
#[derive(Debug)]
pub(crate) struct Running {
    shared: Arc<Shared>,
}

/// The thread looks so often for a guest before it rests, so that a busy harness wakes nobody from call to call. It looks
/// after a tick, then after twice as long each time, up to eight ticks: half a second in all.
const LINGER: u32 = 35;
const DOUBLINGS: u32 = 3;

impl Ticker {
    pub(crate) fn new(seats: &Arc<Semaphore>) -> Self {
        let (seats, all_seats) = (Arc::clone(seats), seats.available_permits());
        let (running, state, wake) = Default::default();
        Self { shared: Arc::new(Shared { seats, all_seats, running, state, wake }) }
    }

    /// Makes sure that time passes while a guest runs.
    pub(crate) fn run(&self, engine: &Engine) -> Running {
        let shared = &self.shared;
        // Sequentially consistent with the load before resting: either that load sees this guest, or we see the rest.
        shared.running.fetch_add(1, Ordering::SeqCst);
        let mut state = shared.lock();
        match *state {
            State::New => {
                let (engine, shared) = (engine.weak(), Arc::clone(shared));
                std::thread::spawn(move || shared.tick(&engine));
                *state = State::Ticking;
            }
            State::Resting => shared.wake.notify_one(),
            State::Ticking | State::Ended => {}
        }
        drop(state);
        Running { shared: Arc::clone(shared) }
    }

    /// Whether no more than one guest runs.
    pub(crate) fn is_quiet(&self) -> bool {
        self.shared.running.load(Ordering::Relaxed) <= 1
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.shared.lock() = State::Ended;
        self.shared.wake.notify_one();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, engine: &wasmtime::EngineWeak) {
        let mut idle = 0;
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            let somebody_sits = self.seats.available_permits() < self.all_seats;
            let tick = if somebody_sits { TICK_ASIDE } else { TICK * (1 << idle.min(DOUBLINGS)) };
            std::thread::sleep(tick);
            idle = if self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            let mut state = self.lock();
            if *state == State::Ended {
                return;
            }
            if idle < LINGER {
                continue;
            }
            *state = State::Resting;
            while self.running.load(Ordering::SeqCst) == 0 && *state == State::Resting {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if *state == State::Ended {
                return;
            }
            *state = State::Ticking;
            idle = 0;
        }
    }
}

/// FNV-1a: the standard library's hasher promises nothing from one version to the next, and this goes into file names.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
