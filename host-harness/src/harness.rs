//! The harness itself: one loaded component and what can be asked of it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Clock;
use crate::bindings::{catalog as exported, types};
use crate::cache::Cache;
use crate::call::{Call, ChoicePage, Observer, OnDeadline, Output};
use crate::catalog::{self, Catalog, Offer};
use crate::compile::{Compiled, compile};
use crate::connection::{self, Connection, ConnectionConfig, Surroundings};
use crate::description::{Action, Description, Effect, Endpoint};
use crate::dns::Resolver;
use crate::egress::Egress;
use crate::error::{Error, ErrorKind};
use crate::exports::ConnectorPre;
use crate::flight::Flight;
use crate::instance::{Factory, Instance};
use crate::invoke::Performance;
use crate::journal::{self, Chronicle, Journal, Place, Record, Recorder};
use crate::log::Log;
use crate::outline::Outline;
use crate::pace::Paces;
use crate::settings::{Limits, Settings};
use crate::{budget, component, digest, engine, linker, names};

/// A loaded connector. Share it by reference or behind an `Arc`; every method can run many times at once.
#[derive(Debug)]
pub struct Harness {
    factory: Factory,
    limits: Arc<Limits>,
    clock: Clock,
    paces: Paces,
    resolver: Resolver,
    cache: Option<Cache>,
    catalog: OnceLock<Catalog>,
    digest: String,
    journal: Option<Arc<Place>>,
}

impl Harness {
    /// Loads a component file; from the cache, when it was compiled before.
    ///
    /// Its signature, where one is demanded, is in the file beside it with `.minisig` at the end of its name.
    pub fn load(path: &Path, mut settings: Settings) -> Result<Self, Error> {
        let bytes = component::read(path, settings.limits.component_bytes)?;
        if settings.component_key.is_some() && settings.component_signature.is_none() {
            settings.component_signature = component::signature_beside(path)?;
        }
        Self::from_bytes(&bytes, settings).map_err(|mut error| {
            if error.kind == ErrorKind::ComponentInvalid {
                error.message = format!("{}: {}", path.display(), error.message);
            }
            error
        })
    }

    /// Loads a component from memory.
    pub fn from_bytes(bytes: &[u8], settings: Settings) -> Result<Self, Error> {
        component::check_size(bytes.len() as u64, settings.limits.component_bytes)?;
        let digest = digest::hex(bytes);
        digest::check(bytes, &digest, &settings)?;
        component::check_header(bytes)?;
        let Settings { cache_dir, cache_key, journal_dir, compiler, limits, clock, .. } = settings;
        let engine = engine::new(&limits).map_err(|e| unexpected(&e))?;
        let cache = cache_dir
            .and_then(|folder| Cache::new(&folder, cache_key.as_deref(), &engine, &digest));
        let component = match cache.as_ref().and_then(|cache| cache.component(&engine)) {
            Some(component) => component,
            None => compiled(&engine, bytes, compiler.as_deref(), &limits, cache.as_ref())?,
        };
        let limits = Arc::new(limits);
        let factory = factory(engine, &component, &limits).map_err(|e| unexpected(&e))?;
        Ok(Self {
            factory,
            limits,
            clock,
            paces: Paces::default(),
            resolver: settings.resolver,
            cache,
            catalog: OnceLock::new(),
            digest,
            journal: journal_dir.map(|folder| Arc::new(Place::new(folder))),
        })
    }

    /// What the connector offers.
    pub async fn describe(&self) -> Result<&Description, Error> {
        Ok(&self.catalog().await?.description)
    }

    /// Checks a connection's fields and makes it ready for use. Nothing is sent.
    pub async fn connect(&self, config: ConnectionConfig) -> Result<Connection, Error> {
        let catalog = self.catalog().await?;
        let split = connection::split(&config, &catalog.description)?;
        let resolved = self.checked(&split.public).await?.map_err(|error| {
            let error = Error::from(error);
            Error { message: connection::refused(&config, &error.message).message, ..error }
        })?;
        let surroundings = Surroundings {
            catalog: &catalog.description,
            resolver: &self.resolver,
            limits: &self.limits,
            clock: &self.clock,
            paces: &self.paces,
        };
        connection::build(config, split, resolved, &surroundings)
    }

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
        let (offer, action) = self.offer(connection, &call).await?;
        let chronicle = match &self.journal {
            Some(place) if action.effect != Effect::Reads => {
                let known = journal::known(place, &call, connection).await?;
                if let Some(record) = known {
                    let limits = (call.deadline, call.on_deadline);
                    return self.go_on(connection, &record, limits, observer, cancelled).await;
                }
                let id = call.id.clone().unwrap_or_else(new_id);
                Some(Chronicle::begin(place, &call, &id, connection, &self.digest)?)
            }
            _ => None,
        };
        self.perform(connection, call, offer, chronicle, observer, cancelled).await
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
        self.go_on(connection, &record, deadline, observer, cancelled).await
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
        observer: &dyn Observer,
        cancelled: CancellationToken,
    ) -> Result<Output, Error> {
        journal::check(record, connection)?;
        let place = self.place()?;
        let taken = match record.can_go_on() && !record.is_attended {
            true => Chronicle::take_up(place, &record.id).await?,
            false => None,
        };
        let Some(chronicle) = taken else {
            return journal::ended(place.open().await?, &record.id).await;
        };
        let call = chronicle.call(deadline, on_deadline);
        let (offer, _) = self.offer(connection, &call).await?;
        self.perform(connection, call, offer, Some(chronicle), observer, cancelled).await
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
        observer: &dyn Observer,
        cancelled: CancellationToken,
    ) -> Result<Output, Error> {
        let catalog = self.catalog().await?;
        let endpoints = Arc::clone(&offer.endpoints);
        let (factory, clock) = (&self.factory, &self.clock);
        let Some(chronicle) = chronicle.map(Arc::new) else {
            let performance =
                Performance::new(factory, clock, connection, call, endpoints, None, observer);
            let output = performance.run(cancelled).await?;
            catalog.check(offer, &output)?;
            return Ok(output);
        };
        let call = Call { id: Some(chronicle.id()), ..call };
        let recorder = Recorder { observer, chronicle: &chronicle };
        observer.begun(&chronicle.id());
        let stop = cancelled.child_token();
        let kept = Some(Arc::clone(&chronicle));
        let performance =
            Performance::new(factory, clock, connection, call, endpoints, kept, &recorder);
        let run = async {
            let output = performance.run(stop.clone()).await?;
            catalog.check(offer, &output)?;
            Ok(output)
        };
        tokio::pin!(run);
        let outcome = tokio::select! {
            biased;
            outcome = &mut run => outcome,
            () = chronicle.wished() => {
                stop.cancel();
                run.await
            }
        };
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

    /// Looks up values for a drop-down. `input` is the JSON text of what is known of the other inputs.
    pub async fn choices(
        &self,
        connection: &Connection,
        source: &str,
        input: &str,
        search: Option<&str>,
        page_token: Option<&str>,
    ) -> Result<ChoicePage, Error> {
        let catalog = self.catalog().await?;
        let endpoints = catalog.choices.get(source).ok_or_else(|| {
            let known = catalog.description.choices.iter().map(|source| source.key.as_str());
            let message = names::unknown("source of choices", source, known);
            Error::new(ErrorKind::InvalidInput, message)
        })?;
        self.check_size(input)?;
        let flight = self.flight(format!("drop-down {source}"), Arc::clone(endpoints));
        let to = connection.for_guest();
        let owned = |text: &str| text.to_owned();
        let (input, search, page) = (owned(input), search.map(owned), page_token.map(owned));
        let find = async {
            let egress = Some(Arc::clone(&connection.egress));
            let mut instance = self.instance(egress, &flight).await?;
            let Instance { store, connector, meter, .. } = &mut instance;
            let find =
                connector.call_find(store, source, &to, &input, search.as_deref(), page.as_deref());
            let found = meter.measure(Box::pin(find)).await;
            instance.settle(found)
        };
        let page = within(&flight, find).await;
        let page = page.and_then(|page| page.map_err(|error| flight.complete(error.into())));
        let scrubber = connection.egress.credentials.scrubber();
        page.map_err(|error| scrubber.error(error))?.try_into()
    }

    async fn catalog(&self) -> Result<&Catalog, Error> {
        if let Some(catalog) = self.catalog.get() {
            return Ok(catalog);
        }
        let kept = self.cache.as_ref().and_then(Cache::description);
        let description = match kept {
            Some(description) => description,
            None => self.described().await?,
        };
        Ok(self.catalog.get_or_init(|| Catalog::new(description)))
    }

    async fn described(&self) -> Result<Description, Error> {
        let flight = self.flight("description".to_owned(), Arc::from([]));
        let describe = async {
            let mut instance = self.instance(None, &flight).await?;
            let Instance { store, connector, meter, .. } = &mut instance;
            store.set_hostcall_fuel(self.limits.description_bytes);
            let describe = connector.call_describe(store);
            let described = meter.measure(Box::pin(describe)).await;
            instance.settle(described)
        };
        let description = Description::try_from(within(&flight, describe).await?)?;
        catalog::check(&description, &self.limits)?;
        if let Some(cache) = &self.cache {
            cache.keep_description(&description);
        }
        Ok(description)
    }

    async fn checked(
        &self,
        public: &types::Connection,
    ) -> Result<Result<exported::ResolvedConnection, types::Error>, Error> {
        let flight = self.flight("connection check".to_owned(), Arc::from([]));
        let check = async {
            let mut instance = self.instance(None, &flight).await?;
            let Instance { store, connector, meter, .. } = &mut instance;
            let checked =
                meter.measure(Box::pin(connector.call_check_connection(store, public))).await;
            instance.settle(checked)
        };
        within(&flight, check).await
    }

    async fn instance(
        &self,
        egress: Option<Arc<Egress>>,
        flight: &Arc<Flight>,
    ) -> Result<Instance, Error> {
        self.factory.instance(egress, flight, Log::new(self.limits.log_bytes)).await
    }

    fn flight(&self, what: String, endpoints: Arc<[Endpoint]>) -> Arc<Flight> {
        // One answer, and some time around it.
        let time = self.limits.first_byte + Duration::from_secs(10);
        Arc::new(Flight::new(what, endpoints, &self.clock, time, &self.limits))
    }

    fn check_size(&self, input: &str) -> Result<(), Error> {
        let limit = self.limits.input_bytes;
        if input.len() <= limit {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooLarge, format!("the input is larger than {limit} bytes")))
    }
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

async fn within<T>(
    flight: &Flight,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    flight.clock.before(flight.deadline, step).await.unwrap_or_else(|| {
        let message = format!("the {} took too long", flight.what);
        Err(Error::new(ErrorKind::Timeout, message).delivered(flight.delivery()))
    })
}

fn compiled(
    engine: &Engine,
    bytes: &[u8],
    compiler: Option<&Path>,
    limits: &Limits,
    cache: Option<&Cache>,
) -> Result<Component, Error> {
    component::check_world(&Outline::read(bytes, limits)?)?;
    let Compiled { component, code } = compile(engine, bytes, compiler, limits)?;
    // Only what passed the checks is kept, so that what is kept need not be checked again.
    if let Some(cache) = cache {
        cache.keep_component(&code);
    }
    Ok(component)
}

fn factory(
    engine: Engine,
    component: &Component,
    limits: &Arc<Limits>,
) -> wasmtime::Result<Factory> {
    let pre = ConnectorPre::new(linker::new(&engine)?.instantiate_pre(component)?)?;
    let slots = Arc::new(Semaphore::new(limits.concurrent_steps.max(1) as usize));
    let queue = Semaphore::new(limits.queued_actions.max(1) as usize);
    let ticker = engine::Ticker::new();
    let stops = Arc::new(Semaphore::new(engine::STOPS as usize));
    let seats = Arc::new(Semaphore::new(budget::seats()));
    Ok(Factory { engine, pre, ticker, slots, stops, seats, queue, limits: Arc::clone(limits) })
}

fn unexpected(error: &wasmtime::Error) -> Error {
    let message = format!("the component cannot be loaded: {error:#}");
    Error::new(ErrorKind::ComponentInvalid, crate::scrub::printable(&message))
}
