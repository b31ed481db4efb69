//! Rows of a SQL result: from the text cells that Databricks sends to JSON of the columns' types, appended to a buffer.
//! Nothing is built per cell and no number is parsed. Not here: which chunk comes next (`statement_result.rs`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::api::not_json;
use crate::error::Error;

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
    /// # Arrays of text, as Databricks sends them
    Raw,
}

/// What the text of a cell becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A JSON number of the same digits; text where JSON has no such number (`NaN`).
    Number,
    Boolean,
    /// The JSON that the text is.
    Json,
    Text,
}

impl Kind {
    /// By `type_name` of the manifest; an open set, so that what is new is text.
    fn of(type_name: &str) -> Self {
        match type_name {
            "BYTE" | "SHORT" | "INT" | "LONG" | "FLOAT" | "DOUBLE" | "DECIMAL" => Self::Number,
            "BOOLEAN" => Self::Boolean,
            "ARRAY" | "MAP" | "STRUCT" | "VARIANT" | "OBJECT" => Self::Json,
            _ => Self::Text,
        }
    }
}

/// A column as rows are written with it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Column {
    /// The name in an object, as JSON text with its colon.
    key: String,
    kind: Kind,
}

/// The columns of a result from pairs of name and `type_name`.
///
/// SQL allows names that repeat and JSON objects do not: a repeated name gets the first suffix `_2`, `_3`, … that no
/// column has, and a column without a name is `column_<position>`.
pub(crate) fn columns(described: &[(String, String)]) -> Vec<Column> {
    let mut uses: HashMap<String, Use> =
        described.iter().map(|(name, _)| (name.clone(), Use::default())).collect();
    let mut columns = Vec::with_capacity(described.len());
    for (position, (name, type_name)) in described.iter().enumerate() {
        let base = if name.is_empty() { format!("column_{}", position + 1) } else { name.clone() };
        let mut unique = base.clone();
        while uses.get(&unique).is_some_and(|used| used.taken || unique != *name) {
            let Use { repeated, .. } = uses.entry(base.clone()).or_default();
            *repeated += 1;
            unique = format!("{base}_{}", *repeated + 1);
        }
        columns.push(Column {
            key: format!("{}:", serde_json::Value::from(unique.as_str())),
            kind: Kind::of(type_name),
        });
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

/// Appends the rows of a `data_array`, separated by commas, and tells how many they are. `first` is false when a row
/// was written before.
pub(crate) fn append(
    data_array: &RawValue,
    columns: &[Column],
    format: ResultFormat,
    first: bool,
    out: &mut String,
) -> Result<u64, Error> {
    let mut rows = Rows { columns, format, out, first, count: 0 };
    let mut json = serde_json::Deserializer::from_str(data_array.get());
    json.deserialize_seq(&mut rows).map_err(|e| not_json(data_array.get(), &e))?;
    Ok(rows.count)
}

struct Rows<'a> {
    columns: &'a [Column],
    format: ResultFormat,
    out: &'a mut String,
    first: bool,
    count: u64,
}

impl<'de> Visitor<'de> for &mut Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(Row(self))?.is_some() {
            self.count += 1;
        }
        Ok(())
    }
}

/// One row.
struct Row<'r, 'a>(&'r mut Rows<'a>);

impl<'de> DeserializeSeed<'de> for Row<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row, which is an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut cells: A) -> Result<(), A::Error> {
        let Rows { columns, format, out, first, count } = self.0;
        if !(*first && *count == 0) {
            out.push(',');
        }
        let objects = *format == ResultFormat::Objects;
        out.push(if objects { '{' } else { '[' });
        for (position, column) in columns.iter().enumerate() {
            let Some(cell) = cells.next_element::<&RawValue>()? else {
                return Err(width::<A>(*count, position, columns.len()));
            };
            if position > 0 {
                out.push(',');
            }
            if objects {
                out.push_str(&column.key);
            }
            let kind = if *format == ResultFormat::Raw { Kind::Text } else { column.kind };
            out.push_str(&typed(cell.get(), kind));
        }
        if cells.next_element::<IgnoredAny>()?.is_some() {
            return Err(width::<A>(*count, columns.len() + 1, columns.len()));
        }
        out.push(if objects { '}' } else { ']' });
        Ok(())
    }
}

/// A row that is narrower or wider than the manifest says cannot be assigned to columns.
fn width<'de, A: SeqAccess<'de>>(row: u64, found: usize, expected: usize) -> A::Error {
    A::Error::custom(format!("row {row} of a chunk has {found} values and not {expected}"))
}

/// JSON text for a cell, which is itself JSON text: a string or null.
///
/// Text stays as it was escaped; only a cell that holds JSON has to be unescaped.
fn typed(cell: &str, kind: Kind) -> Cow<'_, str> {
    let Some(text) = cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(cell);
    };
    let same = match kind {
        Kind::Number => is_number(text.as_bytes()),
        Kind::Boolean => matches!(text, "true" | "false"),
        Kind::Json => {
            let json = serde_json::from_str::<String>(cell).ok();
            let complete = json.filter(|json| serde_json::from_str::<IgnoredAny>(json).is_ok());
            return complete.map_or(Cow::Borrowed(cell), Cow::Owned);
        }
        Kind::Text => false,
    };
    Cow::Borrowed(if same { text } else { cell })
}

/// Whether text is a number by the grammar of JSON (RFC 8259, 6).
fn is_number(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(rest);
    if whole.is_empty() || (whole.len() > 1 && whole.starts_with(b"0")) {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => match digits(fraction) {
            ([], _) => return false,
            (_, rest) => rest,
        },
        None => rest,
    };
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            matches!(digits(exponent), ([_, ..], []))
        }
        _ => false,
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn described(columns: &[(&str, &str)]) -> Vec<Column> {
        let owned = |(name, kind): &(&str, &str)| ((*name).to_owned(), (*kind).to_owned());
        super::columns(&columns.iter().map(owned).collect::<Vec<_>>())
    }

    fn names(given: &[String]) -> Vec<String> {
        let described: Vec<_> = given.iter().map(|name| (name.clone(), String::new())).collect();
        let columns = super::columns(&described);
        let name =
            |column: &Column| serde_json::from_str(column.key.trim_end_matches(':')).unwrap();
        columns.iter().map(name).collect()
    }

    fn written(data: &str, columns: &[Column], format: ResultFormat) -> Result<String, Error> {
        let data: &RawValue = serde_json::from_str(data).unwrap();
        let mut out = "[".to_owned();
        append(data, columns, format, true, &mut out)?;
        Ok(out + "]")
    }

    /// What one cell of a type becomes.
    fn cell(type_name: &str, text: &str) -> String {
        let data = json!([[text]]).to_string();
        let row = written(&data, &described(&[("c", type_name)]), ResultFormat::Arrays).unwrap();
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
        let rows = written("[[null, null, null]]", &columns, ResultFormat::Objects).unwrap();
        assert_eq!(rows, r#"[{"a":null,"b":null,"c":null}]"#);
    }

    #[test]
    fn escapes_stay_as_they_were_sent() {
        let columns = described(&[("a\"b\n", "STRING")]);
        let rows = written(r#"[ [ "\u00e9\n\"" ] ]"#, &columns, ResultFormat::Objects).unwrap();
        assert_eq!(rows, r#"[{"a\"b\n":"\u00e9\n\""}]"#);
    }

    #[test]
    fn raw_rows_are_text() {
        let columns = described(&[("a", "LONG"), ("b", "ARRAY")]);
        let rows = written(r#"[["1","[1]"],[null,null]]"#, &columns, ResultFormat::Raw).unwrap();
        assert_eq!(rows, r#"[["1","[1]"],[null,null]]"#);
    }

    #[test]
    fn a_row_of_another_width_is_refused() {
        let columns = described(&[("a", "LONG"), ("b", "LONG")]);
        for (data, expected) in [
            (r#"[["1","2"],["1"]]"#, "row 1 of a chunk has 1 values and not 2"),
            (r#"[["1","2","3"]]"#, "row 0 of a chunk has 3 values and not 2"),
            (r#"["1"]"#, "a row, which is an array"),
            (r#"{"a":"1"}"#, "an array of rows"),
        ] {
            let message =
                written(data, &columns, ResultFormat::Objects).unwrap_err().into_facts().message;
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
