//! What an operator can set: where compiled components are kept, and the limits on connectors and their requests.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::Clock;
use crate::dns::Resolver;

/// Settings of a harness.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder for compiled components. Without one, every load compiles.
    pub cache_dir: Option<PathBuf>,
    /// File of the key that seals compiled components; made when it is not there. Best kept apart from them: whoever can
    /// read it can make code that is run. Without a name for it, it is the file `key` in their folder.
    pub cache_key: Option<PathBuf>,
    /// Folder of the journal: what actions that change something meant to do and how far they got. Without one, a crash leaves
    /// nothing to go on from.
    pub journal_dir: Option<PathBuf>,
    /// Program that compiles components in a process of its own, which `compile_seconds` and `compile_memory_bytes` end:
    /// `harness`, or any whose `main` begins with [`serve_compile_requests`](crate::serve_compile_requests). Without one,
    /// components are compiled in this process, where nothing but their size bounds the time and the memory that takes.
    pub compiler: Option<PathBuf>,
    /// SHA-256 of the component, in hexadecimal, with or without `sha256:` before it. Any other is refused unread.
    pub component_sha256: Option<String>,
    /// A minisign public key, as text. Components without a signature that fits it are refused unread.
    pub component_key: Option<String>,
    /// The text of the component's minisign signature; [`Harness::load`](crate::Harness::load) looks for it beside the file.
    #[serde(skip)]
    pub component_signature: Option<String>,
    /// Refuses every component unless `component_key` is set.
    pub require_signature: bool,
    pub limits: Limits,
    /// What waits and lifetimes go by; the machine's own time unless a test skips it.
    #[serde(skip)]
    pub clock: Clock,
    /// Where the addresses of hosts come from.
    #[serde(skip)]
    pub resolver: Resolver,
}

/// Limits with their defaults. In configuration, times are numbers of seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// Size of a component file.
    pub component_bytes: u64,
    /// Functions of a component, all its modules together.
    pub component_functions: u64,
    /// Depth of components within components.
    pub component_nesting: u32,
    /// Time that a component may take to compile, where a program is set that does it.
    #[serde(rename = "compile_seconds", deserialize_with = "seconds")]
    pub compile: Duration,
    /// Memory that compiling may take, where a program is set that does it.
    pub compile_memory_bytes: u64,
    /// Size of all that a connector says about itself.
    pub description_bytes: usize,
    /// Size of one JSON Schema of it.
    pub schema_bytes: usize,
    /// Actions of a connector.
    pub actions: usize,
    /// Core instances of one step, and as many tables.
    pub instances: u32,
    /// Memory of one step, all memories together.
    pub memory_bytes: usize,
    /// Elements in all tables of one step.
    pub table_elements: usize,
    /// Handles that one step holds at once. The host keeps up to `field_bytes` for each.
    pub resources: usize,
    /// Size of one set of header fields.
    pub field_bytes: usize,
    /// Random bytes that a step gets at once.
    pub random_bytes: u64,
    /// Time that one step may compute; waiting for answers does not count.
    #[serde(rename = "cpu_seconds", deserialize_with = "seconds")]
    pub cpu: Duration,
    /// Time that an instance may take to start.
    #[serde(rename = "start_seconds", deserialize_with = "seconds")]
    pub start: Duration,
    /// Steps that run at once; more wait for their turn. One workspace takes half of them at most.
    pub concurrent_steps: u32,
    /// Actions that wait for their first step; one more is refused. Those that have begun wait as long as it takes.
    pub queued_actions: u32,
    /// Size of an action's input.
    pub input_bytes: usize,
    /// Size of an action's whole result, where it is kept in memory.
    pub output_bytes: usize,
    /// What a connector may remember from one step to the next, and of what runs remotely.
    pub state_bytes: usize,
    /// Time from the start of an action to its end.
    #[serde(rename = "action_seconds", deserialize_with = "seconds")]
    pub action: Duration,
    /// Time that a step in flight gets to finish when its action is cancelled.
    #[serde(rename = "cancel_seconds", deserialize_with = "seconds")]
    pub cancel: Duration,
    /// Time that stopping remote work may take, from the first request for it to the end of the work.
    #[serde(rename = "stop_seconds", deserialize_with = "seconds")]
    pub stop: Duration,
    /// Time within which work that goes on is looked at again, however many there are to look at. A line of the log tells
    /// when `requests_per_second` does not allow for it.
    #[serde(rename = "look_seconds", deserialize_with = "seconds")]
    pub look: Duration,
    /// Requests of one action, all its steps together.
    pub requests: u32,
    /// Requests of one action that are open at once; more wait for their turn.
    pub concurrent_action_requests: usize,
    /// Requests to one workspace that are open at once, all its connections together; more wait for their turn.
    pub concurrent_requests: usize,
    /// Requests to one workspace in a second, all its connections together, on average; 0 sets no limit.
    pub requests_per_second: u32,
    /// Requests to one workspace at once before that average holds.
    pub request_burst: u32,
    /// Size of a request's line and headers, but for what the host adds.
    pub request_head_bytes: usize,
    /// Size of a request's body.
    pub request_bytes: usize,
    /// Size of a request's body that is JSON.
    pub request_json_bytes: usize,
    /// Headers of an answer.
    pub response_headers: usize,
    /// Size of an answer's status line and headers, 8 KiB at least; also what is read ahead of the connector.
    pub response_head_bytes: usize,
    /// Size of an answer's body.
    pub response_bytes: u64,
    /// Size of all answers of one action together.
    pub received_bytes: u64,
    /// Time that a request waits for one of them to end. It was not sent when this is over.
    #[serde(rename = "slot_seconds", deserialize_with = "seconds")]
    pub slot: Duration,
    /// Time to find the addresses of a host.
    #[serde(rename = "dns_seconds", deserialize_with = "seconds")]
    pub dns: Duration,
    /// Time to connect to one of them (TCP).
    #[serde(rename = "connect_seconds", deserialize_with = "seconds")]
    pub connect: Duration,
    /// Time to agree on TLS.
    #[serde(rename = "tls_seconds", deserialize_with = "seconds")]
    pub tls: Duration,
    /// Time in which a service takes nothing of a request.
    #[serde(rename = "write_idle_seconds", deserialize_with = "seconds")]
    pub write_idle: Duration,
    /// Time from the end of a request until the head of its answer is complete, where the connector does not ask for another.
    #[serde(rename = "first_byte_seconds", deserialize_with = "seconds")]
    pub first_byte: Duration,
    /// Time between two parts of an answer.
    #[serde(rename = "between_bytes_seconds", deserialize_with = "seconds")]
    pub between_bytes: Duration,
    /// Bytes that an answer brings in a second, averaged over `rate_seconds` but for the first of these; 0 sets no limit.
    pub response_bytes_per_second: u32,
    /// Time over which that is averaged; waiting for the connector to read on does not count.
    #[serde(rename = "rate_seconds", deserialize_with = "seconds")]
    pub rate_window: Duration,
    /// Time to get a token.
    #[serde(rename = "token_seconds", deserialize_with = "seconds")]
    pub token: Duration,
    /// Length of one line of a connector's log.
    pub log_line_bytes: usize,
    /// Length of a connector's log in one action, all its steps together.
    pub log_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 16 << 20,
            component_functions: 50_000,
            component_nesting: 8,
            compile: Duration::from_secs(20),
            compile_memory_bytes: 1536 << 20,
            description_bytes: 4 << 20,
            schema_bytes: 256 << 10,
            actions: 2_000,
            instances: 16,
            memory_bytes: 256 << 20,
            table_elements: 20_000,
            resources: 2_000,
            field_bytes: 64 << 10,
            random_bytes: 64 << 10,
            cpu: Duration::from_secs(10),
            start: Duration::from_secs(2),
            concurrent_steps: 64,
            queued_actions: 1_000,
            input_bytes: 16 << 20,
            output_bytes: 60 << 20,
            state_bytes: 1 << 20,
            action: Duration::from_hours(24),
            cancel: Duration::from_secs(5),
            stop: Duration::from_secs(10),
            // Services end work that nobody asks after for longer than this.
            look: Duration::from_mins(15),
            requests: 10_000,
            concurrent_action_requests: 8,
            concurrent_requests: 32,
            requests_per_second: 10,
            request_burst: 20,
            request_head_bytes: 32 << 10,
            request_bytes: 64 << 20,
            // The longest text of a statement that Databricks takes.
            request_json_bytes: 16 << 20,
            response_headers: 100,
            response_head_bytes: 64 << 10,
            response_bytes: 64 << 20,
            received_bytes: 512 << 20,
            slot: Duration::from_secs(5),
            dns: Duration::from_secs(3),
            connect: Duration::from_secs(5),
            tls: Duration::from_secs(5),
            write_idle: Duration::from_secs(15),
            // The longest that Databricks keeps a statement's answer back is 50 s; other services are quicker.
            first_byte: Duration::from_secs(65),
            between_bytes: Duration::from_secs(15),
            response_bytes_per_second: 1 << 10,
            rate_window: Duration::from_secs(10),
            token: Duration::from_secs(10),
            log_line_bytes: 8 << 10,
            log_bytes: 1 << 20,
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = include_str!("../LIMITS.md");

    /// `16 MiB` as a number.
    fn number(text: &str) -> u64 {
        let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
        let unit = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            other => panic!("unknown unit {other}"),
        };
        number.parse::<u64>().expect("a number") * unit
    }

    #[test]
    fn the_documented_limits_are_the_defaults() {
        let rows = TABLES.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let settings: Vec<String> = rows
            .map(|(key, rest)| {
                format!("{key} = {}", number(rest.split(" | ").next().expect("a default")))
            })
            .collect();
        let limits: Limits = toml::from_str(&settings.join("\n")).expect("every key is a limit");
        let (documented, default) = (format!("{limits:#?}"), format!("{:#?}", Limits::default()));
        assert_eq!(documented, default);
        // One line of that text for each field, between the first and the last.
        assert_eq!(settings.len(), default.lines().count() - 2, "a limit is not documented");
    }
}
