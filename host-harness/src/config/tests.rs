use super::*;

const TOKEN_VARIABLES: [(&str, &str); 2] =
    [("DATABRICKS_HOST", "dbc-env.test"), ("DATABRICKS_TOKEN", "dapi-env-fake")];

/// A home directory with the given files, and the variables to go with it.
struct Home {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Home {
    fn new(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let home = ("HOME".to_owned(), folder.path().to_str().unwrap().to_owned());
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables = given.chain([home]).collect();
        Self { folder, variables }
    }

    fn load(&self) -> Configuration {
        let environment = self.variables.iter().cloned().collect();
        Configuration::load(None, environment).unwrap()
    }

    /// `name type field=value …` of the connection that is chosen, or the message with its hint.
    async fn choose(&self, name: Option<&str>) -> Result<String, String> {
        let configuration = self.load();
        let show = |error: ConfigError| {
            let text = format!("{error} | {}", error.hint().unwrap_or_default());
            text.replace(self.folder.path().to_str().unwrap(), "~")
        };
        let definition = configuration.choose(name).map_err(show)?;
        let config = configuration.resolve(&definition).await.map_err(show)?;
        let fields = config.fields.iter().map(|(key, secret)| format!("{key}={}", secret.expose()));
        let fields: Vec<_> = fields.collect();
        Ok(format!("{} {} {}", config.name, config.connection_type, fields.join(" ")))
    }
}

const FILE: &str = ".config/databricks-harness/connections.toml";
const PROFILES: &str = ".databrickscfg";
const ONE: &str =
    "[prod]\ntype = 'personalAccessToken'\nhost = 'dbc-1.test'\napiKey = 'env:PROD'\n";
const TWO: &str = "[prod]\ntype = 'a'\n[dev]\ntype = 'b'\n";
const INI: &str = "[DEFAULT]\nhost = dbc-d.test\ntoken = dapi-d-fake\n\n[dev]\nhost = dbc-2.test\ntoken = dapi-2-fake\n";

#[tokio::test]
async fn the_only_connection_of_the_file_is_the_default() {
    let home = Home::new(&[(FILE, ONE), (PROFILES, INI)], &[("PROD", "dapi-1-fake")]);
    let expected = "prod personalAccessToken apiKey=dapi-1-fake host=dbc-1.test";
    assert_eq!(home.choose(None).await.as_deref(), Ok(expected));
    assert_eq!(home.choose(Some("prod")).await.as_deref(), Ok(expected));
}

#[tokio::test]
async fn variables_come_before_profiles() {
    let home = Home::new(&[(PROFILES, INI)], &TOKEN_VARIABLES);
    let expected = "env personalAccessToken apiKey=dapi-env-fake host=dbc-env.test";
    assert_eq!(home.choose(None).await.as_deref(), Ok(expected));
    assert_eq!(home.choose(Some("env")).await.as_deref(), Ok(expected));
}

#[tokio::test]
async fn the_default_profile_comes_last() {
    let home = Home::new(&[(PROFILES, INI)], &[]);
    assert_eq!(
        home.choose(None).await.as_deref(),
        Ok("DEFAULT personalAccessToken apiKey=dapi-d-fake host=dbc-d.test")
    );
}

#[tokio::test]
async fn a_variable_can_name_the_profile_and_another_fill_it() {
    let home = Home::new(
        &[(PROFILES, INI)],
        &[("DATABRICKS_CONFIG_PROFILE", "dev"), ("DATABRICKS_TOKEN", "dapi-env-fake")],
    );
    assert_eq!(
        home.choose(None).await.as_deref(),
        Ok("env personalAccessToken apiKey=dapi-env-fake host=dbc-2.test")
    );
}

#[tokio::test]
async fn the_settings_name_the_default_among_several() {
    let file = format!("{TWO}[settings]\nconnection = 'dev'\n");
    let home = Home::new(&[(FILE, &file)], &TOKEN_VARIABLES);
    assert_eq!(home.choose(None).await.as_deref(), Ok("dev b "));
}

#[tokio::test]
async fn several_connections_without_a_choice_are_an_error() {
    let home = Home::new(&[(FILE, TWO), (PROFILES, INI)], &[]);
    let message = home.choose(None).await.unwrap_err();
    assert!(
        message.starts_with(
            "there is more than one connection | name one with --connection: prod, dev;"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn a_connection_of_the_file_hides_the_profile_of_its_name() {
    let home = Home::new(&[(FILE, TWO), (PROFILES, INI)], &[]);
    assert_eq!(home.choose(Some("dev")).await.as_deref(), Ok("dev b "));
    assert_eq!(
        home.choose(Some("profile:dev")).await.as_deref(),
        Ok("profile:dev personalAccessToken apiKey=dapi-2-fake host=dbc-2.test")
    );
    assert!(home.choose(Some("DEFAULT")).await.unwrap().starts_with("DEFAULT personalAccessToken"));
}

#[tokio::test]
async fn nothing_configured_shows_what_to_write_and_where() {
    let message = Home::new(&[], &[]).choose(None).await.unwrap_err();
    assert!(message.starts_with("there is no connection yet | write this to ~/.config/databricks-harness/connections.toml:"), "{message}");
    let snippet: toml::Table = SNIPPET.parse().unwrap();
    assert!(snippet.contains_key("prod"));
}

#[tokio::test]
async fn an_unknown_name_lists_near_ones() {
    let home = Home::new(&[(FILE, TWO), (PROFILES, INI)], &[]);
    assert_eq!(
        home.choose(Some("prodd")).await.unwrap_err(),
        "there is no connection \"prodd\"; did you mean prod? | "
    );
    assert_eq!(
        home.choose(Some("xyzzy")).await.unwrap_err(),
        "there is no connection \"xyzzy\"; there is prod, dev, DEFAULT, dev | "
    );
}

#[tokio::test]
async fn a_missing_variable_names_connection_and_key() {
    let home = Home::new(&[(FILE, ONE)], &[]);
    assert_eq!(
        home.choose(None).await.unwrap_err(),
        "connection prod, apiKey: the environment variable PROD is not set or is empty | \
         the connection comes from ~/.config/databricks-harness/connections.toml"
    );
}

#[test]
fn the_list_has_every_source_and_no_secret() {
    let ini = format!("{INI}[sso]\nhost = dbc-3.test\nauth_type = databricks-cli\n");
    let home = Home::new(&[(FILE, TWO), (PROFILES, &ini)], &TOKEN_VARIABLES);
    let configuration = home.load();
    let listed = configuration.list().unwrap();
    let types: Vec<_> = listed
        .iter()
        .map(|line| (line.name.as_str(), line.connection_type.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(
        types,
        [
            ("prod", "a"),
            ("dev", "b"),
            ("env", "personalAccessToken"),
            ("DEFAULT", "personalAccessToken"),
            ("profile:dev", "personalAccessToken"),
            ("sso", "-"),
        ]
    );
    let shown = format!("{listed:?} {configuration:?}");
    assert!(!shown.contains("fake"), "{shown}");
}

#[test]
fn a_named_file_has_to_exist() {
    let error = Configuration::load(Some(Path::new("/no/such.toml")), Environment::default());
    assert!(error.unwrap_err().to_string().starts_with("/no/such.toml cannot be read: "));
}

#[cfg(unix)]
#[test]
fn a_plain_secret_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let plain = "[p]\ntype = 't'\nhost = 'h'\napiKey = 'dapi-fake'\n";
    for (text, mode, warns) in [(plain, 0o644, true), (plain, 0o600, false), (ONE, 0o644, false)] {
        let home = Home::new(&[(FILE, text)], &[]);
        let path = home.folder.path().join(FILE);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        let definition = home.load().choose(None).unwrap();
        let warning = definition.exposed_secret("apiKey");
        assert_eq!(warning.is_some(), warns, "{text} {mode:o}");
        assert!(!warning.unwrap_or_default().contains("dapi-fake"));
    }
}
