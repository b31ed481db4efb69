use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::csv_header;

const FORMATS: [Format; 5] =
    [Format::Objects, Format::Arrays, Format::Raw, Format::Csv, Format::Ndjson];
const KINDS: [Kind; 4] = [Kind::Number, Kind::Boolean, Kind::Json, Kind::Text];
const NONE: Limits = Limits { rows: u64::MAX, bytes: u64::MAX, pause: usize::MAX };

/// A column of each kind.
fn columns() -> Vec<Column> {
    let column = |(n, kind): (usize, &Kind)| {
        Column::new(&Value::from(format!("column \"{n}\"")).to_string(), *kind)
    };
    KINDS.iter().enumerate().map(column).collect()
}

/// What pieces become, or what is wrong with them.
fn written<'p>(
    columns: &[Column],
    format: Format,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<String, Fault> {
    let mut writer = Writer::new(columns, format, NONE, false, Vec::new());
    for piece in pieces {
        writer.feed(piece)?;
    }
    writer.end()?;
    writer.into_written().map(|bytes| String::from_utf8(bytes).unwrap())
}

fn one(kind: Kind, format: Format, cell: &str) -> Result<String, Fault> {
    let columns = [Column::new("\"c\"", kind)];
    written(&columns, format, [format!("[[{cell}]]").as_bytes()])
}

/// Cells as Databricks sends them, and others that it might.
fn cell() -> impl Strategy<Value = String> {
    let text = "[-0-9.eENa+]{0,8}|true|false|.{0,12}|[\\[\\]{}\",:0-9a\\\\\n\r]{0,10}";
    prop_oneof![
        6 => text.prop_map(|text| Value::from(text).to_string()),
        1 => Just("null".to_owned()),
        1 => prop::sample::select(vec![
            "\"\\u0041\\ud83d\\ude00\"", "\"\\ud83d\"", "\"\\\\\\/\\b\\f\"", "-0.5e+3", "true", "[1, [\"]\\\"\"]]",
            "{\"a\" :\n[null]}", "\"{\\\"a\\\":\\n 1}\"",
        ]).prop_map(str::to_owned),
    ]
}

/// A `data_array` of rows of four cells.
fn array() -> impl Strategy<Value = String> {
    let row = prop::collection::vec(cell(), 4);
    (prop::collection::vec(row, 0..6), "|[ \n\t]{1,2}").prop_map(|(rows, space)| {
        let rows: Vec<String> = rows
            .iter()
            .map(|row| format!("{space}[{space}{}{space}]{space}", row.join(&format!("{space},"))))
            .collect();
        format!("{space}[{}{space}]{space}", rows.join(","))
    })
}

/// The same rows by a parser that has all of them at once. Text stays as it is escaped, so that what is compared is values.
fn by_parser(array: &str, format: Format) -> Vec<Value> {
    let rows: Vec<Vec<Box<serde_json::value::RawValue>>> =
        serde_json::from_str(&mended(array)).unwrap();
    let typed = |cell: &str, kind: Kind| -> Value {
        let Ok(text) = serde_json::from_str::<String>(cell) else {
            return serde_json::from_str(cell).unwrap();
        };
        let same = match kind {
            Kind::Number | Kind::Boolean if format != Format::Raw => {
                let value = serde_json::from_str::<Value>(&text).ok();
                value.filter(|value| {
                    let plain = text.trim() == text;
                    plain
                        && if kind == Kind::Number { value.is_number() } else { value.is_boolean() }
                })
            }
            Kind::Json if format != Format::Raw => serde_json::from_str(&text).ok(),
            _ => None,
        };
        same.unwrap_or(Value::from(text))
    };
    let rows = rows.iter().map(|row| {
        let cells = row.iter().zip(KINDS).map(|(cell, kind)| typed(cell.get(), kind));
        match format {
            Format::Objects | Format::Ndjson => {
                let names = (0..).map(|n| format!("column \"{n}\""));
                Value::Object(names.zip(cells).collect())
            }
            _ => Value::Array(cells.collect()),
        }
    });
    rows.collect()
}

/// A lone half of a surrogate pair, which the parser does not take, becomes U+FFFD.
fn mended(text: &str) -> String {
    text.replace("\"\\ud83d\"", "\"\\ufffd\"")
}

/// Rows out of CSV, by the grammar of RFC 4180; none of an unquoted field that is empty.
fn out_of_csv(text: &str) -> Vec<Vec<Option<String>>> {
    let (mut rows, mut row) = (Vec::new(), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        let field = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut chars = quoted.char_indices();
                loop {
                    match chars.next().unwrap() {
                        (at, '"') if quoted[at + 1..].starts_with('"') => {
                            chars.next();
                            value.push('"');
                        }
                        (at, '"') => {
                            rest = &quoted[at + 1..];
                            break Some(value);
                        }
                        (_, c) => value.push(c),
                    }
                }
            }
            None => {
                let end = rest.find([',', '\r']).unwrap();
                let (field, after) = rest.split_at(end);
                rest = after;
                (!field.is_empty()).then(|| field.to_owned())
            }
        };
        row.push(field);
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None => {
                rows.push(std::mem::take(&mut row));
                rest.strip_prefix("\r\n").unwrap()
            }
        };
    }
    rows
}

#[test]
fn cells_that_are_no_text_stay_what_they_are() {
    for (cell, json, csv) in [
        ("null", "null", ""),
        ("5", "5", "5"),
        ("-1.50", "-1.50", "-1.50"),
        ("true", "true", "true"),
        ("[1, \"a,b\"]", "[1, \"a,b\"]", "\"[1, \"\"a,b\"\"]\""),
        ("\"\"", "\"\"", "\"\""),
        ("\"NaN\"", "\"NaN\"", "NaN"),
        ("\"a\\\"b\\u00e9\"", "\"a\\\"b\\u00e9\"", "\"a\"\"bé\""),
    ] {
        assert_eq!(one(Kind::Number, Format::Arrays, cell).unwrap(), format!("[{json}]"));
        assert_eq!(one(Kind::Number, Format::Csv, cell).unwrap(), format!("{csv}\r\n"));
    }
    for cell in
        ["nul", "tru", "[1", "01", "1 2", "-", "'a'", "[1}", "\"\\x\"", "\"\\u12g4\"", "\"\n\""]
    {
        for format in FORMATS {
            assert!(one(Kind::Text, format, cell).is_err(), "{cell}");
        }
    }
}

#[test]
fn what_is_no_array_of_rows_is_told_apart() {
    let columns = columns();
    for (text, fault) in [
        ("", Fault::Early),
        ("[[\"1\",", Fault::Early),
        ("{}", Fault::NotRows),
        ("null", Fault::NotRows),
        ("[1]", Fault::NotRows),
        ("[[]]", Fault::Width { row: 0, found: 0, expected: 4 }),
        ("[[1,1,1,1],[1,1,1,1,1]]", Fault::Width { row: 1, found: 5, expected: 4 }),
        ("[[1,1,1,1]]]", Fault::NotJson),
        ("[[1,1,1,1],]", Fault::NotJson),
        ("[[1,1,1,1,]]", Fault::Width { row: 0, found: 5, expected: 4 }),
        ("<html>", Fault::NotJson),
    ] {
        assert_eq!(written(&columns, Format::Arrays, [text.as_bytes()]), Err(fault), "{text}");
    }
    let not_text = written(&columns, Format::Arrays, [b"[[\"\xff\",1,1,1]]".as_slice()]);
    assert_eq!(not_text, Err(Fault::NotText));
}

#[test]
fn names_are_fields_of_csv_too() {
    let header = csv_header(["a", "", "b,c", "d\"e"].into_iter());
    assert_eq!(header, b"a,\"\",\"b,c\",\"d\"\"e\"\r\n");
}

#[test]
fn a_pause_ends_with_a_row_and_not_before_nothing() {
    let columns = [Column::new("\"c\"", Kind::Number)];
    let text = b"[[\"1\"],[\"22\"],[\"333\"]]";
    let limits = Limits { pause: 6, ..NONE };
    let mut writer = Writer::new(&columns, Format::Arrays, limits, false, Vec::new());
    writer.begin(0, Some(3));
    assert_eq!(writer.feed(text), Ok(Some(Stop::Pause)));
    let offset = writer.offset();
    assert_eq!((offset, writer.rows(), writer.bytes()), (13, 2, 8));
    assert_eq!(writer.into_written().unwrap(), b"[1],[22]");
    let mut writer = Writer::new(&columns, Format::Arrays, limits, true, Vec::new());
    writer.begin(offset, Some(1));
    // No pause when nothing but the end is left.
    assert_eq!(writer.feed(&text[13..]), Ok(None));
    assert!(writer.is_over());
    assert_eq!(writer.into_written().unwrap(), b",[333]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn rows_are_what_a_parser_reads(array in array(), format in prop::sample::select(FORMATS.to_vec())) {
        let text = written(&columns(), format, [array.as_bytes()]).unwrap();
        let expected = by_parser(&array, format);
        if format == Format::Csv {
            let texts = |value: &Value| match value {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            // Columns of JSON are the text that they came as, which is compared as JSON, and text in JSON by what it holds.
            fn value(text: String) -> Value {
                match serde_json::from_str(&text) {
                    Ok(Value::String(inner)) => value(inner),
                    read => read.unwrap_or(Value::from(text)),
                }
            }
            let plain = |rows: Vec<Vec<Option<String>>>| -> Vec<Vec<Option<Value>>> {
                rows.into_iter().map(|row| row.into_iter().map(|cell| cell.map(value)).collect()).collect()
            };
            let expected = expected.iter().map(|row| row.as_array().unwrap().iter().map(texts).collect()).collect();
            prop_assert_eq!(plain(out_of_csv(&text)), plain(expected));
        } else if format == Format::Ndjson {
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(&mended(line)).unwrap()).collect();
            prop_assert_eq!(lines, expected);
        } else {
            let rows: Value = serde_json::from_str(&mended(&format!("[{text}]"))).unwrap();
            prop_assert_eq!(rows, json!(expected));
        }
    }

    /// M17: in whichever pieces an array comes, what is written is the same.
    #[test]
    fn pieces_change_nothing(
        array in array(),
        format in prop::sample::select(FORMATS.to_vec()),
        sizes in prop::collection::vec(0..9_usize, 1..40),
    ) {
        let whole = written(&columns(), format, [array.as_bytes()]);
        let mut rest = array.as_bytes();
        let mut pieces: Vec<&[u8]> = Vec::new();
        for size in sizes {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        prop_assert_eq!(written(&columns(), format, pieces), whole);
    }

    /// M17: an array that is cut off anywhere is never taken for whole.
    #[test]
    fn a_cut_is_an_error(array in array(), format in prop::sample::select(FORMATS.to_vec())) {
        let array = array.trim_end();
        for end in 0..array.len() {
            prop_assert!(written(&columns(), format, [&array.as_bytes()[..end]]).is_err());
        }
    }

    /// Whatever limits interrupt the writing, what was written and what is written from there on are the whole.
    #[test]
    fn interrupted_anywhere_it_goes_on(
        array in array(),
        format in prop::sample::select(FORMATS.to_vec()),
        pause in 1..60_usize,
    ) {
        let columns = columns();
        let whole = written(&columns, format, [array.as_bytes()]).unwrap();
        let (mut all, mut offset) = (Vec::new(), 0);
        loop {
            let joined = !all.is_empty();
            let limits = Limits { pause, ..NONE };
            let mut writer = Writer::new(&columns, format, limits, joined, Vec::new());
            writer.begin(offset, None);
            let stop = writer.feed(&array.as_bytes()[usize::try_from(offset).unwrap()..]).unwrap();
            offset = writer.offset();
            let is_over = writer.is_over();
            all.extend(writer.into_written().unwrap());
            if stop.is_none() {
                prop_assert!(is_over);
                break;
            }
        }
        prop_assert_eq!(String::from_utf8(all).unwrap(), whole);
    }

    #[test]
    fn limits_hold(array in array(), rows in 1..5_u64, bytes in 0..120_u64) {
        let columns = columns();
        let limits = Limits { rows, bytes, pause: usize::MAX };
        let mut writer = Writer::new(&columns, Format::Ndjson, limits, false, Vec::new());
        let stop = writer.feed(array.as_bytes()).unwrap();
        let (count, size) = (writer.rows(), writer.bytes());
        let whole = written(&columns, Format::Ndjson, [array.as_bytes()]).unwrap();
        let text = String::from_utf8(writer.into_written().unwrap()).unwrap();
        prop_assert!(whole.starts_with(&text) && size == text.len() as u64 && size <= bytes && count <= rows);
        prop_assert_eq!(count, text.lines().count() as u64);
        match stop {
            None => prop_assert_eq!(text, whole),
            Some(stop) => prop_assert_eq!(stop == Stop::Rows, count == rows),
        }
    }

    #[test]
    fn any_bytes_lead_to_rows_or_a_fault(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(),
            prop::sample::select(b"[[[]]],,\"\"\"\\u0dDnull1-{}: \n".to_vec()),
        ], 0..60),
        format in prop::sample::select(FORMATS.to_vec()),
        cut in 0..60_usize,
    ) {
        let (one, two) = bytes.split_at(cut.min(bytes.len()));
        for columns in [columns(), Vec::new()] {
            let rows = written(&columns, format, [one, two]);
            if rows.is_ok() {
                prop_assert!(glance::is_json(&bytes));
            }
        }
    }
}
