//! The profiles of `~/.databrickscfg`, read the way the official tools read them: profiles do not inherit from `DEFAULT`,
//! and `#` and `;` begin a comment at the start of a line alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use configparser::ini::{Ini, IniDefault};
use zeroize::Zeroizing;

use super::databricks_env::{
    ATTRIBUTES, Attributes, DEFAULT_PROFILE, PROFILE_FILE, PROFILE_FILE_VARIABLE, PROFILE_SETTINGS,
};
use super::{ConfigError, Environment};

/// The profiles by name, in their order by name.
#[derive(Default)]
pub(super) struct Profiles {
    pub(super) path: PathBuf,
    pub(super) by_name: BTreeMap<String, Attributes>,
    /// The profile to use when nothing is named: the one that the settings name, else `DEFAULT` where there is one.
    pub(super) default: Option<String>,
}

impl Profiles {
    /// Reads the profiles. No file is no profile, unless a variable names the file.
    pub(super) fn load(environment: &Environment) -> Result<Self, ConfigError> {
        let named =
            environment.get(PROFILE_FILE_VARIABLE).map(|path| environment.expand_home(path));
        let in_home = || environment.home().map(|home| home.join(PROFILE_FILE));
        let is_named = named.is_some();
        let Some(path) = named.or_else(in_home) else {
            return Ok(Self::default());
        };
        match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => {
                Ok(Self::default())
            }
            Err(error) => {
                Err(ConfigError::new(format!("{} cannot be read: {error}", path.display())))
            }
        }
    }

    fn parse(text: &str, path: PathBuf) -> Result<Self, ConfigError> {
        let sections = ini().read(text.to_owned()).map_err(|_| {
            // The parser's message quotes the line, which may be half a secret.
            let place = path.display();
            ConfigError::new(format!(
                "{place} is not an INI file: a line is neither [section] nor key = value"
            ))
        })?;
        let (settings, default_key) = PROFILE_SETTINGS;
        let named = sections.get(settings).and_then(|keys| keys.get(default_key)?.clone());
        let by_name: BTreeMap<_, _> = sections
            .into_iter()
            .filter(|(name, _)| name != settings && !name.is_empty())
            .map(|(name, keys)| (name, attributes(&keys)))
            .filter(|(name, attributes)| name != DEFAULT_PROFILE || !attributes.is_empty())
            .collect();
        let fallback = || by_name.contains_key(DEFAULT_PROFILE).then(|| DEFAULT_PROFILE.to_owned());
        let default = named.filter(|name| !name.is_empty()).or_else(fallback);
        Ok(Self { path, by_name, default })
    }
}

fn ini() -> Ini {
    let mut options = IniDefault::default();
    options.case_sensitive = true;
    // The parser's own default section, for keys before any header, has no name and is left out.
    options.default_section = String::new();
    options.comment_symbols = vec!['#', ';'];
    options.inline_comment_symbols = Some(Vec::new());
    Ini::new_from_defaults(options)
}

/// The attributes that a connection can use; keys are matched regardless of case.
fn attributes<'a>(keys: impl IntoIterator<Item = (&'a String, &'a Option<String>)>) -> Attributes {
    let mut attributes = Attributes::new();
    for (key, value) in keys {
        let known = ATTRIBUTES.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        if let (Some((name, _)), Some(value)) = (known, value)
            && !value.is_empty()
        {
            attributes.insert(name, value.clone());
        }
    }
    attributes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Profiles {
        Profiles::parse(text, PathBuf::from("cfg")).unwrap()
    }

    #[test]
    fn profiles_are_read_as_the_official_tools_read_them() {
        let profiles = parse(
            "; a comment\n[DEFAULT]\nhost = https://dbc-1.test\ntoken = dapi#fake;1\n\n[dev]\nHost: https://dbc-2.test\n\
             cluster_id = 1\n# token = dapi-old\n",
        );
        assert_eq!(profiles.default.as_deref(), Some("DEFAULT"));
        let default = &profiles.by_name["DEFAULT"];
        assert_eq!(default.get("token").map(String::as_str), Some("dapi#fake;1"));
        let dev = &profiles.by_name["dev"];
        assert_eq!(dev.iter().collect::<Vec<_>>(), [(&"host", &"https://dbc-2.test".to_owned())]);
    }

    #[test]
    fn the_settings_section_names_the_default_and_is_no_profile() {
        let profiles = parse("[__settings__]\ndefault_profile = dev\n[dev]\nhost = h\n[DEFAULT]\n");
        assert_eq!(profiles.default.as_deref(), Some("dev"));
        assert_eq!(profiles.by_name.keys().collect::<Vec<_>>(), ["dev"]);
    }

    #[test]
    fn a_broken_file_is_refused_without_quoting_it() {
        let error = Profiles::parse("[dev\ntoken = hush", PathBuf::from("cfg")).err().unwrap();
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    proptest! {
        #[test]
        fn any_token_survives(token in "[!-~]{1,60}") {
            let profiles = parse(&format!("[p]\ntoken = {token}\n"));
            prop_assert_eq!(profiles.by_name["p"].get("token"), Some(&token));
        }

        #[test]
        fn any_file_is_read_or_refused(text in "\\PC{0,80}(\n\\PC{0,20}){0,5}") {
            let _ = Profiles::parse(&text, PathBuf::from("cfg"));
        }
    }
}
