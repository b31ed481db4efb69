//! The environment variables as one value, so that everything that depends on them can be tested side by side.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

/// A set of environment variables. An empty one counts as absent, as with the official tools.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Zeroizing<String>>,
    read: Option<Arc<dyn Fn() -> Self + Send + Sync>>,
}

impl Environment {
    /// The variables of this process. Those that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        Self::watched(|| {
            std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect()
        })
    }

    /// What this gives now, and again whenever a secret is looked for anew.
    pub fn watched(read: impl Fn() -> Self + Send + Sync + 'static) -> Self {
        let variables = read().variables;
        Self { variables, read: Some(Arc::new(read)) }
    }

    /// The same variables with the values that they have by now.
    pub(super) fn renewed(&self) -> Self {
        let variables =
            self.read.as_ref().map_or_else(|| self.variables.clone(), |read| read().variables);
        Self { variables, read: self.read.clone() }
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The user's home directory.
    pub(super) fn home(&self) -> Option<&Path> {
        self.get("HOME").or_else(|| self.get("USERPROFILE")).map(Path::new)
    }

    /// Where programs keep their configuration.
    pub(super) fn config_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }

    /// Where programs keep what they can make again.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_CACHE_HOME", ".cache")
    }

    /// Where programs keep what must outlive them and is nobody else's business.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_STATE_HOME", ".local/state")
    }

    /// XDG's directory, else the usual one in the user's home. XDG has relative paths ignored.
    fn xdg(&self, variable: &str, usual: &str) -> Option<PathBuf> {
        let xdg = self.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        xdg.or_else(|| Some(self.home()?.join(usual)))
    }

    /// The path with a leading `~/` replaced, since no shell has seen the paths of a configuration file.
    pub(super) fn expand_home(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(path),
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(n, v)| (n.into(), Zeroizing::new(v.into())));
        Self { variables: variables.collect(), read: None }
    }
}

/// Names alone: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
