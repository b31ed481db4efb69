//! The functions that a component exports, called without looking at all of their types each time.
//!
//! What the generated bindings load compares the types of all functions of the contract with ours, name by name, for every
//! instance: a tenth of a short call. The types are the component's, so that the first instance tells of all of them, and a
//! later one has only the function that it calls looked at. That which begins an action is looked at when the instance is
//! made, mostly while another step waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, TypedFunc,
};

use crate::bindings::{actions, catalog, choices, generated, types};
use crate::instance::Host;

/// A component whose instances can be made.
pub(crate) struct ConnectorPre {
    pre: InstancePre<Host>,
    functions: Arc<Functions>,
    /// Whether an instance was found to have the functions of the contract, each of its type.
    fits: AtomicBool,
}

struct Functions {
    describe: ComponentExportIndex,
    check_connection: ComponentExportIndex,
    start: ComponentExportIndex,
    resume: ComponentExportIndex,
    recover: ComponentExportIndex,
    cancel: ComponentExportIndex,
    find: ComponentExportIndex,
}

/// The functions of an instance.
pub(crate) struct Connector {
    instance: Instance,
    functions: Arc<Functions>,
    start: TypedFunc<(Arc<actions::Invocation>,), (Step,)>,
}

impl ConnectorPre {
    pub(crate) fn new(pre: InstancePre<Host>) -> wasmtime::Result<Self> {
        let pre = generated::ConnectorPre::new(pre)?.instance_pre().clone();
        let functions = Arc::new(Functions::of(&pre)?);
        Ok(Self { pre, functions, fits: AtomicBool::new(false) })
    }

    pub(crate) async fn instantiate_async(
        &self,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<Connector> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        if !self.fits.load(Relaxed) {
            generated::Connector::new(&mut *store, &instance)?;
            self.fits.store(true, Relaxed);
        }
        let functions = Arc::clone(&self.functions);
        let start = instance.get_typed_func(store, &functions.start)?;
        Ok(Connector { instance, functions, start })
    }
}

impl Functions {
    fn of(pre: &InstancePre<Host>) -> wasmtime::Result<Self> {
        let component = pre.component();
        let function = |interface: &str, name: &str| {
            let interface = format!("integration:connector/{interface}@0.1.0");
            let found = component.get_export_index(None, &interface);
            let found =
                found.and_then(|interface| component.get_export_index(Some(&interface), name));
            found.ok_or_else(|| wasmtime::format_err!("it lacks {name} of {interface}"))
        };
        Ok(Self {
            describe: function("catalog", "describe")?,
            check_connection: function("catalog", "check-connection")?,
            start: function("actions", "start")?,
            resume: function("actions", "resume")?,
            recover: function("actions", "recover")?,
            cancel: function("actions", "cancel")?,
            find: function("choices", "find")?,
        })
    }
}

type Step = Result<types::Step, types::Error>;

impl Connector {
    pub(crate) async fn call_describe(
        &self,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<catalog::Description> {
        self.call(store, &self.functions.describe, ()).await
    }

    pub(crate) async fn call_check_connection(
        &self,
        store: &mut Store<Host>,
        connection: &types::Connection,
    ) -> wasmtime::Result<Result<catalog::ResolvedConnection, types::Error>> {
        self.call(store, &self.functions.check_connection, (connection,)).await
    }

    pub(crate) async fn call_start(
        &self,
        store: &mut Store<Host>,
        invocation: &Arc<actions::Invocation>,
    ) -> wasmtime::Result<Step> {
        let (step,) = self.start.call_async(store, (Arc::clone(invocation),)).await?;
        Ok(step)
    }

    pub(crate) async fn call_resume(
        &self,
        store: &mut Store<Host>,
        invocation: &actions::Invocation,
        state: &str,
    ) -> wasmtime::Result<Step> {
        self.call(store, &self.functions.resume, (invocation, state)).await
    }

    pub(crate) async fn call_recover(
        &self,
        store: &mut Store<Host>,
        invocation: &actions::Invocation,
        state: Option<&types::Json>,
    ) -> wasmtime::Result<Step> {
        self.call(store, &self.functions.recover, (invocation, state)).await
    }

    pub(crate) async fn call_cancel(
        &self,
        store: &mut Store<Host>,
        invocation: &actions::Invocation,
        state: &str,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.call(store, &self.functions.cancel, (invocation, state)).await
    }

    pub(crate) async fn call_find(
        &self,
        store: &mut Store<Host>,
        source: &str,
        connection: &types::Connection,
        input: &str,
        search: Option<&str>,
        page_token: Option<&str>,
    ) -> wasmtime::Result<Result<choices::Page, types::Error>> {
        let asked = (source, connection, input, search, page_token);
        self.call(store, &self.functions.find, asked).await
    }

    async fn call<P, R>(
        &self,
        store: &mut Store<Host>,
        function: &ComponentExportIndex,
        arguments: P,
    ) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        (R,): ComponentNamedList + Lift,
        R: Send + Sync + 'static,
    {
        let function = self.instance.get_typed_func::<P, (R,)>(&mut *store, function)?;
        let (answer,) = function.call_async(store, arguments).await?;
        Ok(answer)
    }
}
