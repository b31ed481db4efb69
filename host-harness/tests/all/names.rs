//! A resolver that answers by a script and remembers what it was asked.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use host_harness::{Clock, Harness, Limits, Resolve, Resolver, Resolving, Settings};

use crate::fixtures::{cache_dir, guest};

/// Names with their addresses. Other names are not known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    /// What each look-up of a name finds, the last one for ever.
    answers: HashMap<String, Vec<Vec<IpAddr>>>,
    asked: Vec<String>,
}

/// The name whose look-up does not end.
pub(crate) const SILENT: &str = "silent.test";

impl Names {
    pub(crate) fn new(names: &[(&str, &[&str])]) -> Self {
        let names = names.iter().map(|(name, lookups)| {
            let addresses = |list: &&str| list.split(' ').map(|a| a.parse().unwrap()).collect();
            ((*name).to_owned(), lookups.iter().map(addresses).collect())
        });
        Self(Arc::new(Mutex::new(Script { answers: names.collect(), ..Script::default() })))
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().asked.clone()
    }

    /// A harness that resolves by these names and skips its waits.
    pub(crate) fn harness(&self, change: impl FnOnce(&mut Limits)) -> Harness {
        let mut settings = Settings {
            cache_dir: Some(cache_dir()),
            clock: Clock::skipping(),
            resolver: Resolver::new(self.clone()),
            ..Settings::default()
        };
        change(&mut settings.limits);
        Harness::load(guest(), settings).unwrap()
    }
}

impl Resolve for Names {
    fn resolve(&self, name: String) -> Resolving {
        let mut script = self.0.lock().unwrap();
        script.asked.push(name.clone());
        if name == SILENT {
            return Box::pin(std::future::pending());
        }
        let found = script.answers.get_mut(&name).map(|lookups| match lookups.len() {
            1 => lookups[0].clone(),
            _ => lookups.remove(0),
        });
        let found = found.ok_or_else(|| io::Error::other("no such name"));
        Box::pin(std::future::ready(found))
    }
}
