//! How a failed command ends: one line for people, or an object for programs, and an exit code.

use std::io::Write;
use std::process::ExitCode;

use host_harness::config::ConfigError;
use host_harness::{Delivery, Error, ErrorKind};

use crate::exit_code;
use crate::terminal::{DIM, ERROR, Terminal, harmless};

/// What went wrong, and lines that say what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Box<Error>,
    hints: Vec<String>,
    /// The reader of standard output went away, which is not worth a word.
    is_broken_pipe: bool,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error::new(kind, message).into()
    }

    /// A file that could not be read or written.
    pub(crate) fn file(doing: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::HostIo, format!("{doing}: {error}"))
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Names what ran, where all went well but the keeping of the result.
    pub(crate) fn of_what_ran(mut self, handle: Option<serde_json::Value>) -> Self {
        if self.error.kind == ErrorKind::HostIo && handle.is_some() {
            self.error.delivery = Delivery::Applied;
            self.error.handle = handle;
        }
        self
    }

    /// Says where the credentials come from, when they or the connection are what is wrong.
    pub(crate) fn about_connection(self, name: &str, source: &dyn std::fmt::Display) -> Self {
        match self.error.kind {
            ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::InvalidConnection => {
                self.with_hint(format!("the connection is {name}, from {source}"))
            }
            _ => self,
        }
    }

    /// Says where a result may be larger, when it is too large to be printed.
    pub(crate) fn about_size(self) -> Self {
        let answered = matches!(self.error.delivery, Delivery::Unknown | Delivery::Applied);
        match self.error.kind {
            ErrorKind::TooLarge if answered => {
                self.with_hint("`--output-file FILE` takes results that are larger")
            }
            _ => self,
        }
    }

    /// Reports it on standard error and gives the exit code.
    pub(crate) fn report(&self, terminal: &Terminal, as_json: bool) -> ExitCode {
        if self.is_broken_pipe {
            return ExitCode::SUCCESS;
        }
        let text = if as_json { self.json() } else { self.lines(terminal.is_verbose()) };
        // Nobody is left to tell when standard error is closed too.
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(exit_code::of(self.error.kind))
    }

    fn json(&self) -> String {
        let error = serde_json::to_string(&*self.error).unwrap_or_default();
        // The escapes are JSON's own: what a service wrote arrives, and steers no terminal on its way.
        format!("{}\n", harmless(&error, &[]))
    }

    fn lines(&self, verbose: bool) -> String {
        let message = harmless(&self.error.message, &[]);
        let mut text = format!("{ERROR}error:{ERROR:#} {message}\n");
        if verbose {
            let particulars = harmless(&self.particulars(), &[]);
            text.push_str(&format!("{DIM}{particulars}{DIM:#}\n"));
        }
        for hint in self.running().into_iter().chain(self.hints.iter().cloned()).chain(self.later())
        {
            let hint = harmless(&hint, &['\n']);
            text.push_str(&format!("{DIM}hint:{DIM:#} {hint}\n"));
        }
        text
    }

    fn particulars(&self) -> String {
        let error = &self.error;
        let delivery = serde_json::to_string(&error.delivery).unwrap_or_default();
        let mut parts = vec![format!("kind: {}", error.kind), format!("delivery: {delivery}")];
        parts.extend(error.http_status.map(|status| format!("HTTP {status}")));
        parts.extend(error.error_code.as_ref().map(|code| format!("code: {code}")));
        parts.extend(error.request_id.as_ref().map(|id| format!("request id: {id}")));
        parts.extend(error.details.as_ref().map(|details| format!("details: {details}")));
        parts.join(", ")
    }

    fn running(&self) -> Option<String> {
        let handle = self.error.handle.as_ref()?;
        match self.error.kind {
            ErrorKind::RemoteFailed | ErrorKind::ResultExpired => None,
            ErrorKind::Cancelled => Some(format!("asked to stop: {handle}")),
            ErrorKind::HostIo => Some(format!(
                "its result may be fetched again while the service keeps it: {handle}"
            )),
            _ => Some(format!("this may still be running: {handle}")),
        }
    }

    fn later(&self) -> Option<String> {
        let wait = self.error.retry_after_ms.filter(|_| self.error.retryable)?;
        Some(format!("the same call may succeed in {} s", wait.div_ceil(1000)))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error), hints: Vec::new(), is_broken_pipe: false }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hints = error.hint().map(str::to_owned).into_iter().collect();
        Self { hints, ..Error::from(error).into() }
    }
}

/// Of standard output: files have messages of their own.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let is_broken_pipe = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { is_broken_pipe, ..Self::file("standard output cannot be written", &error) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(failure: &Failure, verbose: bool) -> String {
        anstream::adapter::strip_str(&failure.lines(verbose)).to_string()
    }

    /// J12: a service's words in an error bring no line of their own, and no command to the terminal.
    #[test]
    fn errors_do_not_steer_the_terminal() {
        let mut error = Error::new(ErrorKind::Conflict, "no\nerror: forged \u{1b}[2J\u{202e}");
        error.details = Some(json!({"a\u{9b}": "b\u{2028}\nwarning: c"}));
        error.request_id = Some("id\r\nhint: d".to_owned());
        error.handle = Some(json!({"run": "\u{9b}2J"}));
        error.retryable = true;
        let failure = Failure::from(error);
        for text in [plain(&failure, true), failure.json()] {
            let lines: Vec<_> = text.lines().collect();
            assert!(!text.contains(|c| host_harness::steers(c) && c != '\n'), "{text:?}");
            assert!(lines.len() <= 3, "{text}");
        }
        serde_json::from_str::<serde_json::Value>(&failure.json()).unwrap();
    }

    #[test]
    fn what_may_still_run_is_said() {
        let mut error = Error::new(ErrorKind::Timeout, "the statement took too long");
        error.handle = Some(json!({"statement_id": "s-1"}));
        assert_eq!(
            plain(&Failure::from(error.clone()), false),
            "error: the statement took too long\nhint: this may still be running: {\"statement_id\":\"s-1\"}\n"
        );
        error.kind = ErrorKind::RemoteFailed;
        assert_eq!(plain(&error.into(), false), "error: the statement took too long\n");
    }

    #[test]
    fn refused_credentials_name_their_source() {
        let failure = Failure::new(ErrorKind::Unauthenticated, "the token is not accepted");
        assert_eq!(
            plain(&failure.about_connection("prod", &"connections.toml"), false),
            "error: the token is not accepted\nhint: the connection is prod, from connections.toml\n"
        );
    }

    #[test]
    fn verbose_tells_the_particulars() {
        let mut error = Error::new(ErrorKind::NotFound, "no such cluster");
        error.http_status = Some(404);
        error.error_code = Some("RESOURCE_DOES_NOT_EXIST".to_owned());
        assert_eq!(
            plain(&error.into(), true),
            "error: no such cluster\n\
             kind: not-found, delivery: \"not-sent\", HTTP 404, code: RESOURCE_DOES_NOT_EXIST\n"
        );
    }

    #[test]
    fn json_is_the_error_object() {
        let failure = Failure::new(ErrorKind::NotFound, "no such cluster");
        let object: serde_json::Value = serde_json::from_str(&failure.json()).unwrap();
        assert_eq!(object["kind"], "not-found");
        assert_eq!(object["message"], "no such cluster");
    }
}
