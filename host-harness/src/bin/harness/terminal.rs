//! What standard output and standard error are connected to, and the lines for people beside results.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};

pub(crate) use host_harness::harmless;

use crate::args::{ColorWhen, Global};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const SUCCESS: Style = AnsiColor::Green.on_default().bold();

/// How much to say on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    Quiet,
    Usual,
    Verbose,
}

/// Where results and lines go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    verbosity: Verbosity,
    /// Width of the terminal on standard output; none when it is a file or a pipe.
    width: Option<usize>,
    is_stderr_terminal: bool,
}

impl Terminal {
    pub(crate) fn new(global: &Global) -> Self {
        match global.color {
            ColorWhen::Auto => {}
            ColorWhen::Always => anstream::ColorChoice::Always.write_global(),
            ColorWhen::Never => anstream::ColorChoice::Never.write_global(),
        }
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Usual,
            (false, true) => Verbosity::Verbose,
        };
        let is_stderr_terminal = std::io::stderr().is_terminal();
        Self { verbosity, width: width_of_stdout(), is_stderr_terminal }
    }

    /// Width of the terminal on standard output; none when it is a file or a pipe.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    pub(crate) fn is_stderr_terminal(&self) -> bool {
        self.is_stderr_terminal
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.verbosity == Verbosity::Quiet
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// A line about the result, which does not belong into it.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.is_quiet() {
            say(format_args!("{DIM}{text}{DIM:#}"));
        }
    }

    /// A line for those who asked for more.
    pub(crate) fn detail(&self, text: impl Display) {
        if self.is_verbose() {
            say(format_args!("{DIM}{text}{DIM:#}"));
        }
    }

    pub(crate) fn warn(&self, text: impl Display) {
        if !self.is_quiet() {
            say(format_args!("{WARNING}warning:{WARNING:#} {text}"));
        }
    }
}

/// A line on standard error. When that is closed, there is nobody to tell.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Whether standard output takes styles.
pub(crate) fn is_stdout_styled() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

fn width_of_stdout() -> Option<usize> {
    const WHEN_UNKNOWN: usize = 80;
    let stdout = std::io::stdout();
    let width = || terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    stdout.is_terminal().then(|| width().unwrap_or(WHEN_UNKNOWN))
}
