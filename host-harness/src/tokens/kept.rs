//! The secret of a connection, and the new one that its place may hold by now.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Clock;
use crate::secret::{Secret, SecretSource};

/// What was read just now is not read again: it is what was refused.
const JUST_READ: Duration = Duration::from_secs(1);
/// After a look that found nothing new. Looking may run a command, and a command may ask a person.
const UNCHANGED: Duration = Duration::from_secs(30);

/// A secret and where it is kept. Clones of a connection share it.
pub(crate) struct KeptSecret {
    key: String,
    source: Option<Arc<dyn SecretSource>>,
    check: fn(&str) -> Result<(), String>,
    clock: Clock,
    current: RwLock<Secret>,
    /// Held by the one caller that looks; when the next look is due, unless the place is known to have changed.
    next_look: Mutex<Instant>,
}

impl KeptSecret {
    /// `check` says what is wrong with a secret, if anything; what it does not pass is not taken.
    pub(crate) fn new(
        key: String,
        secret: Secret,
        source: Option<Arc<dyn SecretSource>>,
        check: fn(&str) -> Result<(), String>,
        clock: Clock,
    ) -> Self {
        let next_look = Mutex::new(clock.now() + JUST_READ);
        Self { key, source, check, clock, current: RwLock::new(secret), next_look }
    }

    pub(crate) fn current(&self) -> Secret {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether looking is likely to find something.
    pub(crate) fn has_changed(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.has_changed())
    }

    /// The secret after a look at its place, where that is known to have changed.
    pub(crate) async fn newest(&self) -> Secret {
        let current = self.current();
        if !self.has_changed() {
            return current;
        }
        self.other_than(&current).await.unwrap_or(current)
    }

    /// Another secret in place of one that was refused. Whoever asks meanwhile waits for the same look.
    pub(crate) async fn other_than(&self, refused: &Secret) -> Option<Secret> {
        let other = || Some(self.current()).filter(|current| current != refused);
        let source = self.source.as_ref()?;
        if let Some(other) = other() {
            return Some(other);
        }
        let mut next_look = self.next_look.lock().await;
        if let Some(other) = other() {
            return Some(other);
        }
        if self.clock.now() < *next_look && !source.has_changed() {
            return None;
        }
        let found = source.read(&self.key).await.ok();
        let found = found.map(|secret| Secret::from(secret.expose().trim()));
        let found =
            found.filter(|secret| secret != refused && (self.check)(secret.expose()).is_ok());
        *next_look = self.clock.now() + if found.is_some() { JUST_READ } else { UNCHANGED };
        if let Some(found) = &found {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = found.clone();
        }
        found
    }
}
