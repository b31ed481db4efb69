//! The harness library against a guest that behaves as it is told to, over real HTTP on loopback.

mod connections;
mod egress;
mod fixtures;
mod limits;
mod load;
mod server;
mod steps;
mod tls;
mod tokens;
