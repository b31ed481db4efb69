//! Where host names lead: the system's resolver, or another one.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The addresses of a name, sooner or later.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of host names.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of a name, in the order in which to try them.
    ///
    /// Asked once for each connection that is opened; which of the addresses may be dialled is not this one's decision.
    fn resolve(&self, name: String) -> Resolving;
}

/// A shared [`Resolve`]; by default that of the system.
#[derive(Debug, Clone)]
pub struct Resolver(Arc<dyn Resolve>);

impl Resolver {
    pub fn new(resolve: impl Resolve + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    pub(crate) fn resolve(&self, name: &str) -> Resolving {
        self.0.resolve(name.to_owned())
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::new(System)
    }
}

#[derive(Debug)]
struct System;

impl Resolve for System {
    fn resolve(&self, name: String) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}
