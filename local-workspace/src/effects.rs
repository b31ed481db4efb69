//! What was carried out, counted apart from the requests that asked for it: a request that is sent twice and carried out
//! once is one effect.

use std::sync::atomic::{AtomicU64, Ordering};

/// A change of the workspace that a request leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A SQL statement was accepted, which begins it.
    Statement,
    /// A command was queued in an execution context.
    Command,
    /// An execution context was opened.
    Context,
    /// A cluster went from TERMINATED to PENDING, or was created.
    ClusterStart,
    /// A cluster went from RUNNING to RESTARTING.
    ClusterRestart,
    /// A cluster went to TERMINATING.
    ClusterTermination,
    /// A warehouse went to STARTING.
    WarehouseStart,
    /// A warehouse went to STOPPING.
    WarehouseStop,
    /// A run of a job, or of tasks without one, began.
    Run,
}

/// How often each effect happened.
#[derive(Debug, Default)]
pub(crate) struct Tally([AtomicU64; 9]);

impl Tally {
    pub(crate) fn count(&self, effect: Effect) {
        self.of(effect).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, effect: Effect) -> u64 {
        self.of(effect).load(Ordering::Relaxed)
    }

    fn of(&self, effect: Effect) -> &AtomicU64 {
        let [statement, command, context, start, restart, termination, up, down, run] = &self.0;
        match effect {
            Effect::Statement => statement,
            Effect::Command => command,
            Effect::Context => context,
            Effect::ClusterStart => start,
            Effect::ClusterRestart => restart,
            Effect::ClusterTermination => termination,
            Effect::WarehouseStart => up,
            Effect::WarehouseStop => down,
            Effect::Run => run,
        }
    }
}
