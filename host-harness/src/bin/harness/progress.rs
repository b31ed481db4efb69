//! What people see while an action goes on: a spinner on a terminal, a line now and then elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use host_harness::Observer;
use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use tokio::sync::watch;

use crate::terminal::{Terminal, say};

/// Between two lines that say something new, and between two that say the same.
const BETWEEN_NEWS: Duration = Duration::from_secs(1);
const BETWEEN_REPEATS: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(100);

/// Shows the progress and the log of one call on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    display: Display,
    /// What runs remotely.
    handle: watch::Sender<Option<Value>>,
    /// The id under which it is written down.
    id: OnceLock<String>,
    /// Bytes of the result that are in its file.
    written: Option<Arc<AtomicU64>>,
}

#[derive(Debug)]
enum Display {
    Silent,
    Lines(Mutex<Option<Line>>),
    /// Made when there is something to show, so that short calls do not start a thread.
    Spinner(Mutex<Option<ProgressBar>>),
}

/// The line that was printed last.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    text: String,
    at: Duration,
}

impl Progress {
    pub(crate) fn new(terminal: &Terminal) -> Self {
        let display = match (terminal.is_quiet(), terminal.is_stderr_terminal()) {
            (true, _) => Display::Silent,
            (false, false) => Display::Lines(Mutex::new(None)),
            (false, true) => Display::Spinner(Mutex::new(None)),
        };
        Self { display, handle: watch::Sender::new(None), id: OnceLock::new(), written: None }
    }

    /// Shows how much is written, too.
    pub(crate) fn of_file(self, written: Arc<AtomicU64>) -> Self {
        Self { written: Some(written), ..self }
    }

    /// A line that is shown whatever goes on.
    pub(crate) fn say(&self, text: &str) {
        match &self.display {
            Display::Silent => {}
            Display::Lines(_) => say(text),
            Display::Spinner(spinner) => match &*lock(spinner) {
                Some(spinner) => spinner.suspend(|| say(text)),
                None => say(text),
            },
        }
    }

    /// What runs remotely, once that is known.
    pub(crate) async fn handle(&self) -> Option<Value> {
        self.handle.subscribe().wait_for(Option::is_some).await.ok()?.clone()
    }

    pub(crate) fn known_handle(&self) -> Option<Value> {
        self.handle.borrow().clone()
    }

    /// The id of the call, when it is one that may be written down.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.get().map(String::as_str)
    }

    /// Takes the spinner away, before anything else is printed.
    pub(crate) fn finish(&self) {
        if let Display::Spinner(spinner) = &self.display
            && let Some(spinner) = lock(spinner).take()
        {
            spinner.finish_and_clear();
        }
    }
}

impl Observer for Progress {
    fn begun(&self, id: &str) {
        let _ = self.id.set(id.to_owned());
    }

    fn started(&self, handle: &Value) {
        self.handle.send_replace(Some(handle.clone()));
    }

    fn progress(&self, message: &str, fraction: Option<f32>, elapsed: Duration) {
        let mut text = with_fraction(message, fraction);
        let written = self.written.as_ref().map_or(0, |written| written.load(Ordering::Relaxed));
        if written > 0 {
            text.push_str(&format!(", {} written", DecimalBytes(written)));
        }
        match &self.display {
            Display::Silent => {}
            Display::Lines(last) => {
                let mut last = lock(last);
                if is_due(last.as_ref(), &text, elapsed) {
                    say(format_args!("[{:>4} s] {text}", elapsed.as_secs()));
                    *last = Some(Line { text, at: elapsed });
                }
            }
            Display::Spinner(spinner) => {
                let mut spinner = lock(spinner);
                match &*spinner {
                    Some(spinner) => spinner.set_message(text),
                    None => *spinner = Some(spin(text, elapsed)),
                }
            }
        }
    }

    fn log(&self, line: &str) {
        self.say(line);
    }
}

fn spin(text: String, elapsed: Duration) -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.set_elapsed(elapsed);
    spinner.set_message(text);
    spinner.enable_steady_tick(TICK);
    spinner
}

fn with_fraction(message: &str, fraction: Option<f32>) -> String {
    match fraction {
        Some(fraction) => format!("{message} {:.0} %", fraction.clamp(0.0, 1.0) * 100.0),
        None => message.to_owned(),
    }
}

fn is_due(last: Option<&Line>, text: &str, now: Duration) -> bool {
    // What is over in a second needs no line.
    let Some(last) = last else { return now >= BETWEEN_NEWS };
    let wait = if last.text == text { BETWEEN_REPEATS } else { BETWEEN_NEWS };
    now >= last.at + wait
}

/// A panic elsewhere leaves nothing behind that could not be shown.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_at_a_bearable_rate() {
        let last = Line { text: "RUNNING".to_owned(), at: Duration::from_secs(10) };
        let is_due = |text, seconds| is_due(Some(&last), text, Duration::from_secs_f32(seconds));
        assert!(!is_due("DONE", 10.9) && is_due("DONE", 11.0));
        assert!(!is_due("RUNNING", 24.9) && is_due("RUNNING", 25.0));
        assert!(!super::is_due(None, "PENDING", Duration::ZERO));
        assert!(super::is_due(None, "PENDING", Duration::from_secs(1)));
    }

    #[test]
    fn a_fraction_is_shown_as_percent() {
        assert_eq!(with_fraction("chunks", Some(0.424)), "chunks 42 %");
        assert_eq!(with_fraction("chunks", Some(f32::INFINITY)), "chunks 100 %");
        assert_eq!(with_fraction("PENDING", None), "PENDING");
    }
}
