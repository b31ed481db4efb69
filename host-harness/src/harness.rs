//! The harness itself: one loaded component and what can be asked of it. Actions are performed in `calls.rs`.

mod calls;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Clock;
use crate::bindings::{catalog as exported, types};
use crate::cache::Cache;
use crate::call::ChoicePage;
use crate::catalog::{self, Catalog};
use crate::compile::{Compiled, compile};
use crate::connection::{self, Connection, ConnectionConfig, Surroundings};
use crate::description::{Description, Endpoint};
use crate::dns::Resolver;
use crate::egress::Egress;
use crate::error::{Error, ErrorKind};
use crate::exports::ConnectorPre;
use crate::flight::Flight;
use crate::instance::{Factory, Instance};
use crate::journal::Place;
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
    let stops = Arc::new(Semaphore::new(engine::STOPS as usize));
    let seats = Arc::new(Semaphore::new(budget::seats()));
    let ticker = engine::Ticker::new(&seats);
    let has_cores = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let (spare, limits) = (Mutex::default(), Arc::clone(limits));
    Ok(Factory { engine, pre, ticker, slots, stops, seats, queue, spare, has_cores, limits })
}

fn unexpected(error: &wasmtime::Error) -> Error {
    let message = format!("the component cannot be loaded: {error:#}");
    Error::new(ErrorKind::ComponentInvalid, crate::scrub::printable(&message))
}
