//! What the rows of a SQL result are written as: the forms that there are, and columns by the types of the manifest. Not
//! here: how rows are read and written (`connector_rows`), and which chunk comes next (`statement_result.rs`).

use std::collections::HashMap;

use connector_rows::{Column, Fault, Format, Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Delivery, Error, ErrorKind};

/// # Result Format
///
/// How rows are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResultFormat {
    /// # Objects by column name
    #[default]
    Objects,
    /// # Arrays of typed values
    Arrays,
    /// # CSV, NULL as nothing and empty text as ""
    Csv,
    /// # Objects, one on each line (NDJSON)
    Ndjson,
    /// # Arrays of text, as Databricks sends them
    Raw,
}

impl ResultFormat {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Objects => Format::Objects,
            Self::Arrays => Format::Arrays,
            Self::Csv => Format::Csv,
            Self::Ndjson => Format::Ndjson,
            Self::Raw => Format::Raw,
        }
    }

    /// The media type of forms that are rows and nothing else.
    pub(crate) fn content_type(self) -> Option<&'static str> {
        match self {
            Self::Objects | Self::Arrays | Self::Raw => None,
            Self::Csv => Some("text/csv; charset=utf-8"),
            Self::Ndjson => Some("application/x-ndjson"),
        }
    }
}

/// The name of a column as the manifest describes it.
pub(crate) fn name(column: &Value) -> &str {
    text(column, "name")
}

fn text<'a>(column: &'a Value, key: &str) -> &'a str {
    column.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// By `type_name` of the manifest; an open set, so that what is new is text.
fn kind(type_name: &str) -> Kind {
    match type_name {
        "BYTE" | "SHORT" | "INT" | "LONG" | "FLOAT" | "DOUBLE" | "DECIMAL" => Kind::Number,
        "BOOLEAN" => Kind::Boolean,
        "ARRAY" | "MAP" | "STRUCT" | "VARIANT" | "OBJECT" => Kind::Json,
        _ => Kind::Text,
    }
}

/// The columns of a result as rows are written with them.
///
/// SQL allows names that repeat and JSON objects do not: a repeated name gets the first suffix `_2`, `_3`, … that no
/// column has, and a column without a name is `column_<position>`.
pub(crate) fn columns(described: &[Value]) -> Vec<Column> {
    let mut uses: HashMap<String, Use> =
        described.iter().map(|column| (name(column).to_owned(), Use::default())).collect();
    let mut columns = Vec::with_capacity(described.len());
    for (position, column) in described.iter().enumerate() {
        let name = name(column);
        let base =
            if name.is_empty() { format!("column_{}", position + 1) } else { name.to_owned() };
        let mut unique = base.clone();
        while uses.get(&unique).is_some_and(|used| used.taken || unique != name) {
            let Use { repeated, .. } = uses.entry(base.clone()).or_default();
            *repeated += 1;
            unique = format!("{base}_{}", *repeated + 1);
        }
        let key = Value::from(unique.as_str()).to_string();
        columns.push(Column::new(&key, kind(text(column, "type_name"))));
        uses.entry(unique).or_default().taken = true;
    }
    columns
}

/// What is known of a name, which a column was given or has by now.
#[derive(Default)]
struct Use {
    taken: bool,
    /// How many suffixes were tried.
    repeated: u32,
}

/// The error of rows that cannot be what Databricks sent. `before` counts the rows of the chunk that were read earlier.
pub(crate) fn broken(fault: Fault, before: u64) -> Error {
    let why = match fault {
        Fault::Early => "they ended early",
        Fault::NotJson => "they are not JSON",
        Fault::NotRows => "they are no array of rows, which are arrays",
        Fault::NotText => "they are not UTF-8 text",
        Fault::Width { row, found, expected } => {
            return Error::protocol(format!(
                "row {} of a chunk has {found} values and not {expected}",
                before + row
            ));
        }
        Fault::TooLarge => {
            let why = "a row of the result is larger than 64 MiB; select fewer columns";
            return Error::new(ErrorKind::TooLarge, Delivery::Applied, why);
        }
    };
    Error::protocol(format!("the rows of Databricks cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use connector_rows::{Limits, Writer, is_number};
    use proptest::prelude::*;
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;

    fn described(columns: &[(&str, &str)]) -> Vec<Column> {
        let owned = |(name, kind): &(&str, &str)| json!({ "name": name, "type_name": kind });
        super::columns(&columns.iter().map(owned).collect::<Vec<_>>())
    }

    fn names(given: &[String]) -> Vec<String> {
        let described: Vec<_> = given.iter().map(|name| (name.as_str(), "")).collect();
        let nulls = json!([vec![Value::Null; given.len()]]).to_string();
        let written = written(&nulls, &self::described(&described), Format::Objects).unwrap();
        let rows: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&written).unwrap();
        rows.into_iter().flatten().map(|(name, _)| name).collect()
    }

    fn written(data: &str, columns: &[Column], format: Format) -> Result<String, Error> {
        let limits = Limits { rows: u64::MAX, bytes: u64::MAX, pause: usize::MAX };
        let mut writer = Writer::new(columns, format, limits, false, Vec::new());
        let fed = writer.feed(data.as_bytes()).and_then(|_| writer.end());
        fed.map_err(|fault| broken(fault, 0))?;
        Ok(format!("[{}]", String::from_utf8(writer.into_written().unwrap()).unwrap()))
    }

    /// What one cell of a type becomes.
    fn cell(type_name: &str, text: &str) -> String {
        let data = json!([[text]]).to_string();
        let row = written(&data, &described(&[("c", type_name)]), Format::Arrays).unwrap();
        row.strip_prefix("[[").unwrap().strip_suffix("]]").unwrap().to_owned()
    }

    #[test]
    fn cells_are_typed_by_the_manifest() {
        for (type_name, text, expected) in [
            ("BYTE", "-1", "-1"),
            ("SHORT", "0", "0"),
            ("INT", "42", "42"),
            ("LONG", "9007199254740993", "9007199254740993"),
            ("DECIMAL", "129.90", "129.90"),
            (
                "DECIMAL",
                "-0.000000000000000000000000000000000000010",
                "-0.000000000000000000000000000000000000010",
            ),
            ("DECIMAL", "1,5", "\"1,5\""),
            ("DOUBLE", "1.0E10", "1.0E10"),
            ("DOUBLE", "4.9E-324", "4.9E-324"),
            ("FLOAT", "NaN", "\"NaN\""),
            ("DOUBLE", "-Infinity", "\"-Infinity\""),
            ("BOOLEAN", "true", "true"),
            ("BOOLEAN", "yes", "\"yes\""),
            ("STRING", "5", "\"5\""),
            ("DATE", "2026-03-12", "\"2026-03-12\""),
            ("TIMESTAMP", "2026-03-12T08:15:44.512Z", "\"2026-03-12T08:15:44.512Z\""),
            ("BINARY", "AQI=", "\"AQI=\""),
            ("ARRAY", "[{\"sku\":\"A-17\",\"qty\":2}]", "[{\"sku\":\"A-17\",\"qty\":2}]"),
            ("VARIANT", "12345678901234567890.10", "12345678901234567890.10"),
            ("STRUCT", "{\"cut\":", "\"{\\\"cut\\\":\""),
            ("MAP", "", "\"\""),
            ("GEOMETRY", "POINT(1 2)", "\"POINT(1 2)\""),
        ] {
            assert_eq!(cell(type_name, text), expected, "{type_name} {text}");
        }
    }

    #[test]
    fn null_is_null_of_any_type() {
        let columns = described(&[("a", "LONG"), ("b", "ARRAY"), ("c", "STRING")]);
        let rows = written("[[null, null, null]]", &columns, Format::Objects).unwrap();
        assert_eq!(rows, r#"[{"a":null,"b":null,"c":null}]"#);
    }

    #[test]
    fn escapes_stay_as_they_were_sent() {
        let columns = described(&[("a\"b\n", "STRING")]);
        let rows = written(r#"[ [ "\u00e9\n\"" ] ]"#, &columns, Format::Objects).unwrap();
        assert_eq!(rows, r#"[{"a\"b\n":"\u00e9\n\""}]"#);
    }

    #[test]
    fn raw_rows_are_text() {
        let columns = described(&[("a", "LONG"), ("b", "ARRAY")]);
        let rows = written(r#"[["1","[1]"],[null,null]]"#, &columns, Format::Raw).unwrap();
        assert_eq!(rows, r#"[["1","[1]"],[null,null]]"#);
    }

    #[test]
    fn a_row_of_another_width_is_refused() {
        let columns = described(&[("a", "LONG"), ("b", "LONG")]);
        for (data, expected) in [
            (r#"[["1","2"],["1"]]"#, "row 1 of a chunk has 1 values and not 2"),
            (r#"[["1","2","3"]]"#, "row 0 of a chunk has 3 values and not 2"),
            (r#"["1"]"#, "no array of rows"),
            (r#"{"a":"1"}"#, "no array of rows"),
        ] {
            let message =
                written(data, &columns, Format::Objects).unwrap_err().into_facts().message;
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn names_that_repeat_get_the_first_free_suffix() {
        for (given, expected) in [
            (vec!["a", "b"], vec!["a", "b"]),
            (vec!["a", "a", "a"], vec!["a", "a_2", "a_3"]),
            (vec!["a", "a", "a_2"], vec!["a", "a_3", "a_2"]),
            (vec!["", "column_1", ""], vec!["column_1_2", "column_1", "column_3"]),
        ] {
            let given: Vec<_> = given.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(names(&given), expected);
        }
    }

    proptest! {
        #[test]
        fn integers_keep_every_digit(number in any::<i64>()) {
            prop_assert_eq!(cell("LONG", &number.to_string()), number.to_string());
        }

        #[test]
        fn decimals_keep_every_digit(text in "-?(0|[1-9][0-9]{0,37})(\\.[0-9]{1,38})?") {
            prop_assert_eq!(cell("DECIMAL", &text), text);
        }

        #[test]
        fn a_number_is_one_exactly_where_json_has_it(text in "[-+.0-9eENa ]{0,8}|-?[0-9]{1,4}(\\.[0-9]{0,3})?([eE][-+]?[0-9]{0,2})?") {
            let json = serde_json::from_str::<Box<RawValue>>(&text).is_ok_and(|raw| raw.get() == text);
            prop_assert_eq!(is_number(text.as_bytes()), json);
        }

        #[test]
        fn any_cell_is_valid_json_and_text_survives(
            text in ".{0,20}|[\\[\\]{}\",:0-9a\\\\]{0,12}",
            type_name in "LONG|DECIMAL|DOUBLE|BOOLEAN|STRING|ARRAY|STRUCT|VARIANT",
        ) {
            let typed: Value = serde_json::from_str(&cell(&type_name, &text)).unwrap();
            if type_name == "STRING" {
                prop_assert_eq!(typed, Value::from(text));
            }
        }

        #[test]
        fn columns_never_collide(given in prop::collection::vec("(a|b|)(_[23])?(_2)?|column_[1-4]", 0..12)) {
            let names = names(&given);
            let distinct: std::collections::HashSet<_> = names.iter().collect();
            prop_assert_eq!(distinct.len(), given.len());
            for (position, name) in given.iter().enumerate() {
                let first = given.iter().position(|other| other == name) == Some(position);
                prop_assert!(name.is_empty() || !first || names[position] == *name);
            }
        }
    }
}
