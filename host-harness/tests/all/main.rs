//! The harness library against a guest that behaves as it is told to, over real HTTP on loopback; and the program, as far as
//! it needs no connector.

mod cli;
mod connections;
mod egress;
mod fixtures;
mod limits;
mod load;
mod server;
mod steps;
mod tls;
mod tokens;
