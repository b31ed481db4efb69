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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::secret::SecretReading;

    /// Where a secret is, and how often it was looked for there.
    #[derive(Debug)]
    struct Place {
        secret: std::sync::Mutex<&'static str>,
        changed: AtomicBool,
        looks: AtomicUsize,
    }

    impl SecretSource for Place {
        fn read<'a>(&'a self, _: &'a str) -> SecretReading<'a> {
            self.looks.fetch_add(1, Relaxed);
            let secret = *self.secret.lock().expect("a secret");
            Box::pin(async move { Ok(Secret::from(secret)) })
        }

        fn has_changed(&self) -> bool {
            self.changed.load(Relaxed)
        }
    }

    /// A refused secret is never another one, and its place is looked at twice a minute at most, unless it has changed.
    #[tokio::test]
    async fn another_secret_is_another_one_and_not_looked_for_all_the_time() {
        let (secret, changed, looks) = ("refused".into(), AtomicBool::new(false), 0.into());
        let place = Arc::new(Place { secret, changed, looks });
        let (clock, refused) = (Clock::skipping(), Secret::from("refused"));
        let source: Arc<dyn SecretSource> = Arc::<Place>::clone(&place);
        let check = |secret: &str| if secret == "odd" { Err("odd".to_owned()) } else { Ok(()) };
        let key = "apiKey".to_owned();
        let kept = KeptSecret::new(key, refused.clone(), Some(source), check, clock.clone());
        for (wait, secret, changed, found, looks) in [
            (0, "refused", false, None, 0),
            (2, "refused", false, None, 1),
            (20, "refused", false, None, 1),
            (11, "refused", false, None, 2),
            (0, "odd", true, None, 3),
            (0, "new", false, None, 3),
            (0, "new", true, Some("new"), 4),
            (0, "newer", true, Some("new"), 4),
        ] {
            clock.sleep(Duration::from_secs(wait)).await;
            *place.secret.lock().expect("a secret") = secret;
            place.changed.store(changed, Relaxed);
            let other = kept.other_than(&refused).await;
            assert_eq!(other.as_ref().map(Secret::expose), found, "{secret} after {wait} s");
            assert_eq!(place.looks.load(Relaxed), looks, "{secret} after {wait} s");
        }
    }
}
