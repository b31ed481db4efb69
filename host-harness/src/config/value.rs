//! One value of a connection as it is written down: the text itself, the name of a variable, or a command that prints it.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Environment;
use crate::Secret;
use crate::scrub::{clip, printable};

/// How long a command may take to print a secret: enough to unlock a password store, short enough not to look hung.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connections file says about one value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Plain(Secret),
    Variable(String),
    Command { program: String, arguments: Vec<String> },
}

impl Value {
    /// Reads `"text"`, `"env:NAME"`, `{ env = "NAME" }` or `{ command = ["program", "argument"] }`.
    /// The message says what is wrong, without the value.
    pub(super) fn parse(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(text) => match text.strip_prefix("env:") {
                Some(name) => Self::variable(name),
                None => Ok(Self::Plain(Secret::from(text))),
            },
            toml::Value::Integer(number) => Ok(Self::Plain(Secret::from(number.to_string()))),
            toml::Value::Boolean(flag) => Ok(Self::Plain(Secret::from(flag.to_string()))),
            toml::Value::Table(table) => Self::from_table(table),
            other => Err(format!(
                "expected text, \"env:NAME\", {{ env = \"NAME\" }} or {{ command = [\"program\"] }}, found a TOML {}",
                other.type_str()
            )),
        }
    }

    fn from_table(table: toml::Table) -> Result<Self, String> {
        let mut entries = table.into_iter();
        match (entries.next(), entries.next()) {
            (Some((key, toml::Value::String(name))), None) if key == "env" => Self::variable(&name),
            (Some((key, toml::Value::Array(words))), None) if key == "command" => {
                Self::command(words)
            }
            _ => Err(
                "a table here is either { env = \"NAME\" } or { command = [\"program\", \"argument\"] }"
                    .to_owned(),
            ),
        }
    }

    fn variable(name: &str) -> Result<Self, String> {
        if name.is_empty() || name.contains(['=', '\0']) || name.contains(char::is_whitespace) {
            return Err("env needs the name of an environment variable".to_owned());
        }
        Ok(Self::Variable(name.to_owned()))
    }

    fn command(words: Vec<toml::Value>) -> Result<Self, String> {
        let mut texts = words.into_iter().map(|word| match word {
            toml::Value::String(text) => Ok(text),
            other => Err(format!("command takes texts, found a TOML {}", other.type_str())),
        });
        match texts.next().transpose()? {
            Some(program) if !program.is_empty() => {
                Ok(Self::Command { program, arguments: texts.collect::<Result<_, _>>()? })
            }
            _ => Err("command needs a program".to_owned()),
        }
    }

    /// The variable that the value is in.
    pub(super) fn variable_name(&self) -> Option<&str> {
        match self {
            Self::Variable(name) => Some(name),
            Self::Plain(_) | Self::Command { .. } => None,
        }
    }

    /// The value itself. Runs the command, if that is what it takes, without the variables that are `kept_back`. The message
    /// has no value in it.
    pub(super) async fn resolve(
        &self,
        environment: &Environment,
        kept_back: &[String],
    ) -> Result<Secret, String> {
        match self {
            Self::Plain(secret) => Ok(secret.clone()),
            Self::Variable(name) => match environment.get(name) {
                Some(value) => Ok(Secret::from(value.to_owned())),
                None => Err(format!("the environment variable {name} is not set or is empty")),
            },
            Self::Command { program, arguments } => {
                let mut command = Command::new(program);
                command.args(arguments);
                for name in kept_back {
                    command.env_remove(name);
                }
                printed_by(program, command, COMMAND_TIMEOUT).await
            }
        }
    }
}

/// The one line that a command prints. Its standard input is closed: that of the harness may be an action's input.
async fn printed_by(
    program: &str,
    mut command: Command,
    timeout: Duration,
) -> Result<Secret, String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(timeout, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("the command {program} cannot be run: {error}")),
        Err(_) => {
            return Err(format!("the command {program} took longer than {}", seconds(timeout)));
        }
    };
    let complaint = first_line(&output.stderr);
    if !output.status.success() {
        return Err(format!("the command {program} failed ({}){complaint}", output.status));
    }
    let Ok(text) = String::from_utf8(output.stdout) else {
        return Err(format!("the command {program} printed something that is not text"));
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("the command {program} printed nothing{complaint}"));
    }
    if text.contains('\n') {
        let n_lines = text.lines().count();
        return Err(format!(
            "the command {program} printed {n_lines} lines, and the value has to be the only one"
        ));
    }
    Ok(Secret::from(text.to_owned()))
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f32())
}

/// `: ` and the first line with something in it, or nothing at all.
fn first_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    match text.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!(": {}", printable(clip(line, 200))),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(toml: &str) -> Result<Value, String> {
        let mut table: toml::Table = format!("value = {toml}").parse().unwrap();
        Value::parse(table.remove("value").unwrap())
    }

    async fn resolve(toml: &str) -> Result<String, String> {
        let environment = Environment::from_iter([("TOKEN", "from-env"), ("EMPTY", "")]);
        let kept_back = ["KEPT_BACK".to_owned()];
        Ok(parse(toml)?.resolve(&environment, &kept_back).await?.expose().to_owned())
    }

    #[tokio::test]
    async fn text_variables_and_commands_give_the_value() {
        for (toml, expected) in [
            (r#""plain""#, "plain"),
            (r#""env:TOKEN""#, "from-env"),
            (r#"{ env = "TOKEN" }"#, "from-env"),
            (r#"{ command = ["printf", "%s\n", "from-command"] }"#, "from-command"),
            ("12345678901234567", "12345678901234567"),
            ("true", "true"),
        ] {
            assert_eq!(resolve(toml).await.as_deref(), Ok(expected), "{toml}");
        }
    }

    #[tokio::test]
    async fn what_gives_no_value_says_why() {
        for (toml, expected) in [
            (r#""env:MISSING""#, "the environment variable MISSING is not set or is empty"),
            (r#""env:EMPTY""#, "the environment variable EMPTY is not set or is empty"),
            (r#"{ command = ["true"] }"#, "the command true printed nothing"),
            (
                r#"{ command = ["sh", "-c", "echo; echo locked >&2; exit 3"] }"#,
                "the command sh failed (exit status: 3): locked",
            ),
            (
                r#"{ command = ["printf", "a\nb\n"] }"#,
                "the command printf printed 2 lines, and the value has to be the only one",
            ),
        ] {
            assert_eq!(resolve(toml).await, Err(expected.to_owned()), "{toml}");
        }
        let missing = resolve(r#"{ command = ["no-such-program-here"] }"#).await.unwrap_err();
        assert!(
            missing.starts_with("the command no-such-program-here cannot be run: "),
            "{missing}"
        );
    }

    #[test]
    fn other_forms_are_refused_without_echoing_them() {
        for toml in [
            r#""env:""#,
            r#"{ env = "A B" }"#,
            r#"{ command = [] }"#,
            r#"{ command = ["hush", 1] }"#,
            r#"{ command = "hush" }"#,
            r#"{ env = "A", command = ["hush"] }"#,
            r#"{ secret = "hush" }"#,
            r#"["hush"]"#,
            "1.5",
        ] {
            let message = parse(toml).unwrap_err();
            assert!(!message.contains("hush"), "{message}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_given_up() {
        let started = std::time::Instant::now();
        let mut command = Command::new("sleep");
        command.arg("600");
        let error = printed_by("sleep", command, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error, "the command sleep took longer than 0.05 s");
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    proptest! {
        #[test]
        fn any_text_that_does_not_name_a_variable_is_itself(text in "\\PC*") {
            prop_assume!(!text.starts_with("env:"));
            let Ok(Value::Plain(secret)) = Value::parse(toml::Value::String(text.clone())) else {
                panic!("not taken as plain text");
            };
            prop_assert_eq!(secret.expose(), text);
        }

        #[test]
        fn no_value_reaches_debug(text in "[a-z]{12,24}") {
            let value = Value::parse(toml::Value::String(text.clone())).unwrap();
            let shown = format!("{value:?}");
            prop_assert!(!shown.contains(&text));
        }
    }
}
