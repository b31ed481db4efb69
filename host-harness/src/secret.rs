//! A text that is shown to nobody and wiped when it is dropped, and where it can be read again.

use std::fmt;
use std::pin::Pin;

use zeroize::Zeroizing;

/// A value of a connection: it has no `Display`, no `Serialize`, and a `Debug` that says nothing.
///
/// All values of a connection are secrets until the connector's catalog says which one is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

/// A secret on its way, or why there is none, in words that have no value in them.
pub type SecretReading<'a> = Pin<Box<dyn Future<Output = Result<Secret, String>> + Send + 'a>>;

/// Where a connection's secret is kept, so that a new one is picked up without anyone's help. `Debug` shows no value.
///
/// It is asked when the service refuses the secret in use, and before a token is requested when it [has changed].
///
/// [has changed]: SecretSource::has_changed
pub trait SecretSource: fmt::Debug + Send + Sync {
    /// Reads the connection's input of this key anew. An error when there is none, or when the other inputs of the
    /// connection are no longer the same: a secret must not go to where it was not meant for.
    fn read<'a>(&'a self, key: &'a str) -> SecretReading<'a>;

    /// True when reading may give something new. Asked often, so it has to be cheap; what cannot tell says no.
    fn has_changed(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// J3: a secret cannot be displayed or serialized, and its `Debug` says nothing.
    #[test]
    fn a_secret_shows_nothing() {
        // Two implementations would fit a type that can be displayed or serialized, and then this does not compile.
        trait Hidden<Why> {
            const HOLDS: () = ();
        }
        struct Displayed;
        struct Serialized;
        impl<T> Hidden<()> for T {}
        impl<T: fmt::Display> Hidden<Displayed> for T {}
        impl<T: serde::Serialize> Hidden<Serialized> for T {}
        let () = <Secret as Hidden<_>>::HOLDS;

        let secret = Secret::from("dapi-CANARY-debug");
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "Secret(…) Some(\n    Secret(…),\n)"
        );
    }
}
