//! Components that mean harm, or are broken: the right error, and nobody else is the worse for it.

mod bombs;
mod catalogs;
mod damage;
mod isolation;
mod loading;
mod results;
mod traps;
mod trust;
mod wasi;

use host_harness::{Connection, Error, Harness, Settings};
use hostile_guests::Guest;
use serde_json::{Value as Json, json};

use crate::fixtures::{config, invoke};

/// Guests in a harness of their own.
trait Hosted {
    fn load_with(&self, settings: Settings) -> Result<Harness, Error>;

    fn load(&self) -> Harness {
        self.load_with(Settings::default()).unwrap()
    }

    /// What comes of a call.
    async fn run(&self) -> Result<Json, Error> {
        run(&self.load()).await
    }
}

impl Hosted for Guest {
    fn load_with(&self, settings: Settings) -> Result<Harness, Error> {
        Harness::from_bytes(&self.component(), settings)
    }
}

/// Connects to nowhere and performs a guest's one action.
async fn run(harness: &Harness) -> Result<Json, Error> {
    let connection = connect(harness).await?;
    invoke(harness, &connection, "act", &json!({})).await
}

async fn connect(harness: &Harness) -> Result<Connection, Error> {
    harness.connect(config("http://127.0.0.1:1")).await
}
