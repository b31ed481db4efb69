//! The harness library against a guest that behaves as it is told to, over real HTTP on loopback; and the program, as far as
//! it needs no connector.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that failed"
)]

mod attacks;
mod cli;
mod connections;
mod dialing;
mod egress;
mod fixtures;
mod hostile;
mod journal;
mod journal_damage;
mod leaks;
mod limits;
mod links;
mod load;
mod names;
mod output;
mod rest;
mod retries;
mod rotation;
mod rules;
mod server;
mod steps;
mod tls;
mod tokens;
mod transport;
