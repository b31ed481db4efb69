//! Why a statement failed, in the words of Databricks: error class, text and SQLSTATE.

use sqlparser::tokenizer::Span;

/// A failed or cancelled statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `error_code` of a statement's status.
    pub(crate) code: &'static str,
    /// Like `[CLASS] Text. SQLSTATE: 42P01; line 1 pos 14`.
    pub(crate) message: String,
    pub(crate) sql_state: Option<String>,
    pub(crate) cancelled: bool,
}

impl Failure {
    /// A mistake in the statement or its data.
    pub(crate) fn bad(class: &str, state: &str, text: &str) -> Failure {
        Failure {
            code: "BAD_REQUEST",
            message: format!("[{class}] {text} SQLSTATE: {state}"),
            sql_state: Some(state.to_owned()),
            cancelled: false,
        }
    }

    /// Adds where in the statement it is.
    pub(crate) fn at(mut self, span: Span) -> Failure {
        if span.start.line > 0 {
            let place = format!("; line {} pos {}", span.start.line, span.start.column - 1);
            self.message.push_str(&place);
        }
        self
    }

    pub(crate) fn syntax(text: &str) -> Failure {
        Failure::bad("PARSE_SYNTAX_ERROR", "42601", text)
    }

    /// What Databricks has and this engine has not.
    pub(crate) fn unsupported(what: &str) -> Failure {
        Failure::bad(
            "UNSUPPORTED_FEATURE",
            "0A000",
            &format!("The local workspace does not support {what}."),
        )
    }

    /// From what `Display` of a failure made, which is all that passes through SQLite.
    pub(crate) fn parse(message: &str) -> Option<Failure> {
        let state = message.starts_with('[').then(|| message.split_once("SQLSTATE: "))??.1;
        Some(Failure {
            code: "BAD_REQUEST",
            message: message.to_owned(),
            sql_state: Some(state.chars().take(5).collect()),
            cancelled: false,
        })
    }

    pub(crate) fn internal(text: &str) -> Failure {
        Failure {
            code: "INTERNAL_ERROR",
            message: text.to_owned(),
            sql_state: None,
            cancelled: false,
        }
    }

    pub(crate) fn too_large() -> Failure {
        Failure {
            code: "BAD_REQUEST",
            message: "Inline byte limit exceeded. Statements executed with disposition=INLINE can have a result size of at most 26214400 bytes. Please execute the statement with disposition=EXTERNAL_LINKS if you want to download the full result.".to_owned(),
            sql_state: None,
            cancelled: false,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        use rusqlite::ErrorCode;
        let text = match &error {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
            other => other.to_string(),
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => {
                let text = "The statement was cancelled.";
                Failure { code: "CANCELLED", cancelled: true, ..Failure::internal(text) }
            }
            Some(ErrorCode::ConstraintViolation) => {
                let text = format!("{text}.");
                Failure::bad("DELTA_NOT_NULL_CONSTRAINT_VIOLATED", "23502", &text)
            }
            _ if text == "integer overflow" => overflow("long"),
            _ => Failure::parse(&text).unwrap_or_else(|| Failure::internal(&text)),
        }
    }
}

pub(crate) fn overflow(kind: &str) -> Failure {
    let text = format!(
        "{kind} overflow. If necessary set \"ANSI_MODE\" to \"false\" to bypass this error."
    );
    Failure::bad("ARITHMETIC_OVERFLOW", "22003", &text)
}

pub(crate) fn division_by_zero() -> Failure {
    let text =
        "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.";
    Failure::bad("DIVIDE_BY_ZERO", "22012", text)
}

pub(crate) fn cast_failed(value: &str, kind: &str) -> Failure {
    let text = format!(
        "The value '{value}' of the type \"STRING\" cannot be cast to \"{kind}\" because it is malformed. \
         Use `try_cast` to tolerate malformed input and return NULL instead."
    );
    Failure::bad("CAST_INVALID_INPUT", "22018", &text)
}

pub(crate) fn out_of_range(value: &str, kind: &str) -> Failure {
    let text = format!("{value} cannot be represented as {kind}.");
    Failure::bad("NUMERIC_VALUE_OUT_OF_RANGE", "22003", &text)
}
