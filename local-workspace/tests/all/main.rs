//! Tests of the local workspace over real HTTP.

mod client;
mod compute;
mod identity;
