//! A web server on loopback that goes wrong where it is told to: at any stage of an exchange, at any byte of an answer.
//!
//! It speaks HTTP/1.1 with or without TLS, on a thread of its own, so that tests of any kind can use it. What goes wrong is
//! plain data ([`Rule`]); what arrived is kept, and effects are counted apart from requests, so that a test can tell a
//! repeated request from repeated work. Every connection ends after a while, whatever happens to it.

mod exchange;
mod rule;
mod server;

pub use rule::{Act, Rule, Stage};
pub use server::{Answer, FaultServer, Received};
