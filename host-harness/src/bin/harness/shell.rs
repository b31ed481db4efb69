//! Command lines to show: what someone would type to get the same.

use serde_json::Value;

/// `harness run ACTION …` for this input.
pub(crate) fn run(action: &str, input: &Value, connection: Option<&str>) -> String {
    let mut words = vec!["harness".to_owned(), "run".to_owned(), action.to_owned()];
    words.extend(connection.map(|name| format!("--connection {}", quoted(name))));
    for (key, value) in input.as_object().into_iter().flatten() {
        let assignment = match value {
            Value::String(text) => format!("{key}={text}"),
            other => format!("{key}:={other}"),
        };
        words.push(format!("--set {}", quoted(&assignment)));
    }
    words.join(" ")
}

/// As one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_shell_would_change_is_quoted() {
        let input =
            json!({"warehouseId": "862f", "sqlStatement": "SELECT 'a'", "n": 1.10, "l": [1]});
        assert_eq!(
            run("runSql", &input, Some("local")),
            r"harness run runSql --connection local --set warehouseId=862f --set 'sqlStatement=SELECT '\''a'\''' --set n:=1.1 --set 'l:=[1]'"
        );
        assert_eq!(quoted(""), "''");
    }
}
