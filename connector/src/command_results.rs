//! Results of commands (API 1.2): what Databricks sends, cleaned of markup, with the typed forms beside it. Not here: the
//! states of a command (`command.rs`).

use serde_json::{Map, Value, json};

use crate::plain_text;

/// Why a program failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exception, as in `NameError`; none when the summary does not begin with one.
    pub(crate) name: Option<String>,
    pub(crate) message: String,
    pub(crate) traceback: String,
}

/// Results as the actions answer with them: Databricks' own fields stay under their names, and
///
/// - `text` is `data` as a terminal would show it,
/// - a `table` gains `columns` of name and type,
/// - an `image` and `images` gain `images`, each of `mediaType` and `base64`, or of `path`,
/// - an `error` gains `message`, `traceback` and, when it says one, `name`.
///
/// Types that are new stay as they came.
pub(crate) fn decode(mut results: Map<String, Value>) -> Map<String, Value> {
    match results.get("resultType").and_then(Value::as_str) {
        Some("text") => {
            let data = plain_text::output(text(&results, "data"));
            results.insert("data".to_owned(), data.into());
        }
        Some("table") => {
            let columns = columns(&results);
            results.insert("columns".to_owned(), columns);
        }
        Some("image") => {
            let images = json!([image(text(&results, "fileName"))]);
            results.insert("images".to_owned(), images);
        }
        Some("images") => {
            let names = results.get("fileNames").and_then(Value::as_array);
            let names = names.into_iter().flatten().filter_map(Value::as_str);
            let images: Value = names.map(image).collect();
            results.insert("images".to_owned(), images);
        }
        Some("error") => {
            let Failure { name, message, traceback } = failure(&results);
            for field in ["summary", "cause"] {
                let clean = plain_text::plain(text(&results, field));
                results.insert(field.to_owned(), clean.into());
            }
            results.extend(name.map(|name| ("name".to_owned(), name.into())));
            results.insert("message".to_owned(), message.into());
            results.insert("traceback".to_owned(), traceback.into());
        }
        _ => {}
    }
    results
}

/// Whether the program failed.
pub(crate) fn is_error(results: &Map<String, Value>) -> bool {
    text(results, "resultType") == "error"
}

/// What went wrong, out of results that are an error.
pub(crate) fn failure(results: &Map<String, Value>) -> Failure {
    let summary = plain_text::plain(text(results, "summary"));
    let traceback = plain_text::plain(text(results, "cause"));
    // A driver that dies leaves the traceback alone, whose last line says what happened.
    let summary = match summary.trim() {
        "" => traceback.trim().lines().last().unwrap_or_default(),
        summary => summary,
    };
    let (name, message) = exception(summary);
    Failure { name: name.map(str::to_owned), message: message.to_owned(), traceback }
}

impl Failure {
    /// As Python ends a traceback: `NameError: name 'x' is not defined`.
    pub(crate) fn headline(&self) -> String {
        match (&self.name, self.message.as_str()) {
            (Some(name), "") => name.clone(),
            (Some(name), message) => format!("{name}: {message}"),
            (None, "") => "the command failed and Databricks did not say why".to_owned(),
            (None, message) => message.to_owned(),
        }
    }
}

/// Splits `NameError: …` and `org.apache.spark.SparkException: …`; SQL puts `Error in SQL statement: ` before it.
fn exception(summary: &str) -> (Option<&str>, &str) {
    let said = summary.strip_prefix("Error in SQL statement: ").unwrap_or(summary);
    let (name, message) = said.split_once(':').unwrap_or((said, ""));
    let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'));
    if is_name && (!message.is_empty() || said.len() < summary.len()) {
        (Some(name), message.trim())
    } else {
        (None, summary)
    }
}

/// Name and type of each column. With `isJsonSchema`, a type is JSON text itself: `"\"long\""`, or an object for nested ones.
fn columns(results: &Map<String, Value>) -> Value {
    let is_json = results.get("isJsonSchema") == Some(&Value::Bool(true));
    let fields = results.get("schema").and_then(Value::as_array);
    let column = |field: &Value| {
        let mut sql_type = field.get("type").cloned().unwrap_or_default();
        if let (true, Value::String(text)) = (is_json, &sql_type)
            && let Ok(Value::String(simple)) = serde_json::from_str(text)
        {
            sql_type = simple.into();
        }
        json!({ "name": field.get("name"), "type": sql_type })
    };
    fields.into_iter().flatten().map(column).collect()
}

/// A data URL, or the path of an image that was too large for one.
fn image(file_name: &str) -> Value {
    let data_url = file_name.strip_prefix("data:").and_then(|url| url.split_once(";base64,"));
    match data_url {
        Some((media_type, base64)) => json!({ "mediaType": media_type, "base64": base64 }),
        None => json!({ "path": file_name }),
    }
}

fn text<'a>(results: &'a Map<String, Value>, field: &str) -> &'a str {
    results.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(json: &str) -> Value {
        let answer: Value = serde_json::from_str(json).unwrap();
        decode(answer["results"].as_object().unwrap().clone()).into()
    }

    #[test]
    fn text_is_what_a_terminal_shows() {
        let results = json!({
            "resultType": "text", "data": "Out[2]: <span>1</span> &lt; \u{1b}[31m2\u{1b}[0m"
        });
        let results = decode(results.as_object().unwrap().clone());
        assert_eq!(results["data"], "1 < 2");
        let results =
            decode(json!({ "resultType": "text", "data": null }).as_object().unwrap().clone());
        assert_eq!(results["data"], "");
    }

    #[test]
    fn a_table_keeps_its_cells_and_gains_columns() {
        let results = decoded(include_str!("../fixtures/answers/commands-status-table.json"));
        assert_eq!(
            results["columns"],
            json!([
                { "name": "order_id", "type": "long" },
                { "name": "country", "type": "string" },
                { "name": "total", "type": "double" },
                { "name": "paid", "type": "boolean" },
                { "name": "note", "type": "string" }
            ])
        );
        assert_eq!(results["data"][1], json!([1002, "PT", 54.25, false, "gift"]));
        assert_eq!(results["truncated"], false);
    }

    #[test]
    fn digits_of_a_table_stay() {
        let answer = r#"{"results":{"resultType":"table","data":[[12345678901234567890.10]]}}"#;
        assert!(decoded(answer).to_string().contains("[[12345678901234567890.10]]"));
    }

    #[test]
    fn nested_and_hive_types_stay_text() {
        let results = decoded(
            r#"{"results":{"resultType":"table","isJsonSchema":true,"schema":[
                {"name":"lines","type":"{\"type\":\"array\"}"},{"name":"old","type":"bigint"}]}}"#,
        );
        assert_eq!(
            results["columns"],
            json!([{ "name": "lines", "type": "{\"type\":\"array\"}" }, { "name": "old", "type": "bigint" }])
        );
    }

    #[test]
    fn images_are_data_or_paths() {
        let results = decoded(include_str!("../fixtures/answers/commands-status-image.json"));
        assert_eq!(results["images"][0]["mediaType"], "image/png");
        let base64 = results["images"][0]["base64"].as_str().unwrap();
        assert!(base64.starts_with("iVBORw0KGgo"), "{base64}");
        let results = decoded(
            r#"{"results":{"resultType":"images","fileNames":["/plots/1.png","data:image/jpeg;base64,QQ=="]}}"#,
        );
        assert_eq!(
            results["images"],
            json!([{ "path": "/plots/1.png" }, { "mediaType": "image/jpeg", "base64": "QQ==" }])
        );
    }

    #[test]
    fn an_error_has_name_message_and_traceback() {
        let results = decoded(include_str!("../fixtures/answers/commands-status-error.json"));
        assert_eq!(results["summary"], "ZeroDivisionError: division by zero");
        assert_eq!(results["name"], "ZeroDivisionError");
        assert_eq!(results["message"], "division by zero");
        let traceback = results["traceback"].as_str().unwrap();
        assert!(traceback.contains("File <command-3940172651>, line 1"), "{traceback}");
    }

    #[test]
    fn summaries_split_where_an_exception_is_named() {
        for (summary, name, message) in [
            (
                "NameError: name 'x: y' is not defined",
                Some("NameError"),
                "name 'x: y' is not defined",
            ),
            (
                "java.lang.ArithmeticException: / by zero",
                Some("java.lang.ArithmeticException"),
                "/ by zero",
            ),
            (
                "Error in SQL statement: AnalysisException: no table",
                Some("AnalysisException"),
                "no table",
            ),
            (
                "Execution context lost: the driver restarted.",
                None,
                "Execution context lost: the driver restarted.",
            ),
            ("KeyboardInterrupt: ", Some("KeyboardInterrupt"), ""),
            ("Cancelled", None, "Cancelled"),
            ("", None, ""),
        ] {
            assert_eq!(exception(summary), (name, message), "{summary}");
        }
    }

    #[test]
    fn a_traceback_alone_names_the_error_in_its_last_line() {
        let results = json!({ "resultType": "error", "cause": "Traceback\n\u{1b}[31mOSError\u{1b}[0m: disk\n" });
        let failure = failure(results.as_object().unwrap());
        assert_eq!(failure.headline(), "OSError: disk");
    }

    #[test]
    fn new_types_stay_as_they_came() {
        let results = json!({ "resultType": "html", "data": "<b>x</b>" });
        assert_eq!(Value::from(decode(results.as_object().unwrap().clone())), results);
    }
}
