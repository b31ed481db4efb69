//! Whole calls: the built component in the harness, against the local workspace, over real HTTP. The names in brackets
//! are the promises that a test holds, one letter for the subject and a number.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod areas;
mod bad_input;
mod clusters;
mod command_line;
mod commands;
mod component;
mod connections;
mod egress;
mod external_links;
mod jobs;
mod kills;
mod leaks;
mod once;
mod outages;
mod output_file;
mod passed_on;
mod process;
mod raw_request;
mod retries;
mod sql;
mod sql_results;
mod transport;
mod waits;
mod warehouses;
