//! The harness library against a guest that behaves as it is told to, over real HTTP on loopback; and the program, as far as
//! it needs no connector.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics is a test that failed"
)]

mod cli;
mod connections;
mod egress;
mod fixtures;
mod hostile;
mod limits;
mod load;
mod retries;
mod server;
mod steps;
mod tls;
mod tokens;
