//! Tests of the local workspace over real HTTP.

mod client;
mod commands;
mod compute;
mod faults;
mod identity;
mod sdk;
mod sql;
mod statements;
