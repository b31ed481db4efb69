//! Exit codes by kind of error. The table is what `--help` shows; a code never changes its meaning.

use host_harness::ErrorKind;

/// The command was used in a way that it does not have. clap exits with it.
const USAGE: u8 = 2;
const INTERNAL: u8 = 70;
/// As shells say it: 128 and the number of the signal.
pub(crate) const TERMINATED: u8 = 143;

const CODES: &[(u8, ErrorKind, &str)] = &[
    (3, ErrorKind::InvalidInput, "the input does not fit the action; nothing was sent"),
    (4, ErrorKind::InvalidConnection, "the connection is missing or wrong; nothing was sent"),
    (5, ErrorKind::Unauthenticated, "the service does not accept the credentials"),
    (6, ErrorKind::Forbidden, "the credentials are not allowed to do this"),
    (7, ErrorKind::NotFound, "what was named does not exist"),
    (8, ErrorKind::Conflict, "it is in a state that does not allow this"),
    (9, ErrorKind::RateLimited, "the service asks for fewer requests"),
    (10, ErrorKind::Unavailable, "the service cannot be reached or cannot answer now"),
    (11, ErrorKind::Timeout, "it took longer than it was given"),
    (12, ErrorKind::RemoteFailed, "the statement, command or run failed"),
    (13, ErrorKind::ResultExpired, "the result was there and is gone"),
    (14, ErrorKind::OutcomeUnknown, "it may have been carried out; repeating it is not safe"),
    (15, ErrorKind::TooLarge, "a size limit was exceeded"),
    (16, ErrorKind::Refused, "the harness does not let this request out"),
    (17, ErrorKind::Protocol, "the answer makes no sense"),
    (18, ErrorKind::ComponentInvalid, "the file is not a connector"),
    (19, ErrorKind::GuestTrap, "the connector crashed"),
    (19, ErrorKind::GuestLimit, "the connector used more time or memory than it may"),
    (20, ErrorKind::HostIo, "a file could not be read or written"),
    (INTERNAL, ErrorKind::Internal, "a mistake in the connector or the harness; please report it"),
    (130, ErrorKind::Cancelled, "cancelled with Ctrl-C"),
];

const LEFT: &str = "ended by SIGTERM; what runs remotely goes on";

/// The exit code of a kind.
pub(crate) fn of(kind: ErrorKind) -> u8 {
    let row = CODES.iter().find(|(_, of, _)| *of == kind);
    row.map_or(INTERNAL, |(code, ..)| *code)
}

/// The table for people.
pub(crate) fn help() -> String {
    let mut lines = vec!["Exit codes:".to_owned(), line(0, "", "success")];
    lines.push(line(USAGE, "", "the command line is wrong"));
    lines.extend(CODES.iter().map(|(code, kind, meaning)| line(*code, kind.as_str(), meaning)));
    lines.push(line(TERMINATED, "", LEFT));
    lines.join("\n")
}

fn line(code: u8, kind: &str, meaning: &str) -> String {
    format!("  {code:>3}  {kind:<19} {meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        for kind in ErrorKind::ALL {
            assert_eq!(CODES.iter().filter(|(_, of, _)| of == kind).count(), 1, "{kind}");
        }
        let mut codes: Vec<u8> = CODES.iter().map(|(code, ..)| *code).collect();
        assert!(codes.is_sorted());
        codes.dedup();
        // A crash and an exceeded limit share one: to a script, the connector is broken.
        assert_eq!(codes.len(), CODES.len() - 1);
    }

    #[test]
    fn the_readme_has_the_same_table() {
        let readme = include_str!("../../../../README.md");
        for (code, kind, meaning) in CODES {
            let row = format!("| {code} | `{kind}` | {meaning} |");
            assert!(readme.contains(&row), "{row}");
        }
        assert!(readme.contains(&format!("| {TERMINATED} | | {LEFT} |")));
    }
}
