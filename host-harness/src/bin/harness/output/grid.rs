//! Finding rows and columns in a JSON result, by its shape alone.

use std::collections::HashMap;

use serde_json::Value;

/// Where the rows of a result are, when it has more to tell than rows.
const ROWS: &str = "rows";
/// Where the names of columns are, when rows are arrays: a list of texts, or of objects with a `name`.
const COLUMNS: &str = "columns";
/// How deep below the rows' own level the names of columns may be.
const DEPTH: usize = 3;

/// Rows under columns. A cell that a row does not have is none.
#[derive(Debug, PartialEq)]
pub(super) struct Grid<'v> {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<&'v Value>>>,
}

impl<'v> Grid<'v> {
    /// An array is a grid when all its items are objects, or all are neither object nor array; an object is one when its
    /// `rows` are objects or arrays.
    pub(super) fn of(value: &'v Value) -> Option<Self> {
        match value {
            Value::Array(items) => Self::of_objects(items, &[]).or_else(|| Self::of_scalars(items)),
            Value::Object(object) => {
                let Value::Array(items) = object.get(ROWS)? else { return None };
                let names = column_names(value, DEPTH).unwrap_or_default();
                Self::of_objects(items, &names).or_else(|| Self::of_arrays(items, &names))
            }
            _ => None,
        }
    }

    /// Columns in the order of their first appearance; `names` when there is no row to tell.
    fn of_objects(items: &'v [Value], names: &[&str]) -> Option<Self> {
        let mut columns: Vec<String> = Vec::new();
        let mut index_of: HashMap<&str, usize> = HashMap::new();
        let mut rows = Vec::with_capacity(items.len());
        for item in items {
            let Value::Object(object) = item else { return None };
            let mut row = vec![None; columns.len()];
            for (key, value) in object {
                let index = *index_of.entry(key).or_insert(columns.len());
                if index == columns.len() {
                    columns.push(key.clone());
                    row.push(None);
                }
                if let Some(cell) = row.get_mut(index) {
                    *cell = Some(value);
                }
            }
            rows.push(row);
        }
        if rows.is_empty() {
            columns = names.iter().map(|name| (*name).to_owned()).collect();
        }
        for row in &mut rows {
            row.resize(columns.len(), None);
        }
        Some(Self { columns, rows })
    }

    fn of_arrays(items: &'v [Value], names: &[&str]) -> Option<Self> {
        let arrays: Vec<&Vec<Value>> = items.iter().map(Value::as_array).collect::<Option<_>>()?;
        let n_columns = arrays.iter().map(|array| array.len()).max().unwrap_or_default();
        let name = |index: usize| match names.get(index) {
            Some(name) => (*name).to_owned(),
            None => (index + 1).to_string(),
        };
        let row = |array: &&'v Vec<Value>| (0..n_columns).map(|index| array.get(index)).collect();
        Some(Self {
            columns: (0..n_columns).map(name).collect(),
            rows: arrays.iter().map(row).collect(),
        })
    }

    fn of_scalars(items: &'v [Value]) -> Option<Self> {
        let is_nested = items.iter().any(|item| item.is_object() || item.is_array());
        (!is_nested).then(|| Self {
            columns: vec!["value".to_owned()],
            rows: items.iter().map(|item| vec![Some(item)]).collect(),
        })
    }
}

/// The names of the columns, wherever in the first levels of the object they are.
fn column_names(value: &Value, depth: usize) -> Option<Vec<&str>> {
    let object = value.as_object()?;
    let listed = object.get(COLUMNS).and_then(Value::as_array);
    let names = listed.and_then(|columns| columns.iter().map(name_of).collect());
    names.or_else(|| {
        let depth = depth.checked_sub(1)?;
        object.values().find_map(|member| column_names(member, depth))
    })
}

fn name_of(column: &Value) -> Option<&str> {
    column.as_str().or_else(|| column.get("name")?.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(value: &Value) -> Option<String> {
        let grid = Grid::of(value)?;
        let cell = |cell: &Option<&Value>| cell.map_or_else(|| "·".to_owned(), Value::to_string);
        let mut lines = vec![grid.columns.join(" ")];
        lines
            .extend(grid.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")));
        Some(lines.join(" | "))
    }

    #[test]
    fn objects_are_rows_under_all_their_keys() {
        let value = json!([{"a": 1, "b": "x"}, {"c": null, "a": 2}]);
        assert_eq!(show(&value).unwrap(), "a b c | 1 \"x\" · | 2 · null");
    }

    #[test]
    fn rows_of_a_result_are_found() {
        let objects = json!({"statement_id": "s", "rows": [{"n": 1}], "manifest": {}});
        assert_eq!(show(&objects).unwrap(), "n | 1");
        let arrays = json!({
            "manifest": {"schema": {"columns": [{"name": "n"}, {"name": "n"}]}},
            "rows": [[1, 2], [3]],
        });
        assert_eq!(show(&arrays).unwrap(), "n n | 1 2 | 3 ·");
        assert_eq!(show(&json!({"rows": [[1, 2]]})).unwrap(), "1 2 | 1 2");
    }

    #[test]
    fn no_rows_keep_their_columns() {
        let value = json!({"rows": [], "manifest": {"schema": {"columns": [{"name": "n"}]}}});
        assert_eq!(show(&value).unwrap(), "n");
        assert_eq!(show(&json!([])).unwrap(), "");
    }

    #[test]
    fn plain_values_are_one_column() {
        assert_eq!(show(&json!(["a", 1, null])).unwrap(), "value | \"a\" | 1 | null");
    }

    #[test]
    fn other_shapes_are_no_grid() {
        for value in [
            json!({"a": 1}),
            json!("text"),
            json!([1, {}]),
            json!({"rows": 3}),
            json!({"rows": [1, {}]}),
        ] {
            assert_eq!(show(&value), None, "{value}");
        }
    }
}
