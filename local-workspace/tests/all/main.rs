//! Tests of the local workspace over real HTTP.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected fails"
)]

mod client;
mod commands;
mod compute;
mod faults;
mod history;
mod identity;
mod jobs;
mod sdk;
mod sql;
mod statements;
mod storage;
