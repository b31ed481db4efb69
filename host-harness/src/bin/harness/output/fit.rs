//! Which columns of a table a terminal shows, and how much of each cell. Elsewhere tables are whole.

use host_harness::{ErrorKind, names};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use super::grid::Grid;
use crate::failure::{Failure, Result};
use crate::terminal::harmless;

/// Longest cells, widest first: the first at which all columns fit is taken, and at the last one columns go.
const CELL_WIDTHS: &[usize] = &[usize::MAX, 80, 48, 32, 24];
/// What a column takes beside its cells: the spaces around them and the line between columns.
const AROUND_CELL: usize = 3;
/// Rows that are measured: enough to see how wide columns are.
const MEASURED_ROWS: usize = 200;

/// Columns by their index in the grid, and the longest cell to show.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) columns: Vec<usize>,
    pub(super) n_hidden: usize,
    pub(super) cell_width: usize,
}

/// The columns that were asked for, or all that fit into `width`. Without a width, everything fits.
pub(super) fn select(
    grid: &Grid<'_>,
    wanted: &[String],
    width: Option<usize>,
) -> Result<Selection> {
    let columns = match wanted {
        [] => (0..grid.columns.len()).collect(),
        wanted => named(grid, wanted)?,
    };
    let Some(width) = width else {
        return Ok(Selection { columns, n_hidden: 0, cell_width: usize::MAX });
    };
    let measured: Vec<(usize, usize)> =
        columns.iter().map(|column| (*column, natural_width(grid, *column))).collect();
    let total =
        |cell: usize| measured.iter().map(|(_, w)| w.min(&cell) + AROUND_CELL).sum::<usize>();
    let fitting = CELL_WIDTHS.iter().find(|cell| total(**cell) <= width);
    let narrowest = CELL_WIDTHS.last().copied().unwrap_or(usize::MAX);
    Ok(match fitting {
        Some(cell) => Selection { columns, n_hidden: 0, cell_width: *cell },
        None if wanted.is_empty() => most_telling(grid, &measured, narrowest, width),
        None => Selection { columns, n_hidden: 0, cell_width: narrowest },
    })
}

fn named(grid: &Grid<'_>, wanted: &[String]) -> Result<Vec<usize>> {
    let find = |name: &String| {
        grid.columns.iter().position(|column| column == name).ok_or_else(|| {
            let columns = grid.columns.iter().map(String::as_str);
            Failure::new(ErrorKind::InvalidInput, names::unknown("column", name, columns))
        })
    };
    wanted.iter().map(find).collect()
}

/// Takes columns by rank while they fit, and shows them in their own order.
fn most_telling(
    grid: &Grid<'_>,
    measured: &[(usize, usize)],
    cell_width: usize,
    width: usize,
) -> Selection {
    let mut ranked: Vec<_> = measured.iter().map(|(c, w)| (rank(grid, *c), *c, *w)).collect();
    ranked.sort();
    let mut left = width;
    let mut columns = Vec::new();
    for (_, column, natural) in ranked {
        let needed = natural.min(cell_width) + AROUND_CELL;
        // A terminal too narrow for anything still shows one column.
        if needed <= left || columns.is_empty() {
            left = left.saturating_sub(needed);
            columns.push(column);
        }
    }
    columns.sort_unstable();
    Selection { n_hidden: measured.len() - columns.len(), columns, cell_width }
}

/// Lower goes first: what names the row, its state, plain values, structures.
fn rank(grid: &Grid<'_>, column: usize) -> usize {
    let [id, name, state] = telling(&grid.columns);
    let mut cells = grid.rows.iter().take(MEASURED_ROWS).filter_map(|row| *row.get(column)?);
    match Some(column) {
        found if found == id || found == name => 0,
        found if found == state => 1,
        _ if cells.any(|cell| cell.is_object() || cell.is_array()) => 3,
        _ => 2,
    }
}

/// The columns that are the row's id, its name and its state. With `cluster_id`, the name is `cluster_name`, whatever
/// other names there are.
fn telling(columns: &[String]) -> [Option<usize>; 3] {
    let position = |is: &dyn Fn(&str, &str) -> bool| {
        columns.iter().position(|column| {
            let (stem, word) = stem_and_word(column);
            is(stem, &word)
        })
    };
    let either = |word: &str| {
        let alone = position(&|stem, last| stem.is_empty() && last == word);
        alone.or_else(|| position(&|_, last| last == word))
    };
    let id = either("id");
    let stem = id.and_then(|id| columns.get(id)).map(|column| stem_and_word(column).0);
    let of_the_same =
        stem.and_then(|stem| position(&|other, word| other == stem && word == "name"));
    [id, of_the_same.or_else(|| either("name")), either("state").or_else(|| either("status"))]
}

/// `cluster` and `id` of `cluster_id` and of `clusterId`.
fn stem_and_word(name: &str) -> (&str, String) {
    let start = name.rfind(|c: char| c == '_' || c.is_uppercase()).unwrap_or(0);
    let (stem, word) = name.split_at_checked(start).unwrap_or(("", name));
    (stem, word.trim_start_matches('_').to_lowercase())
}

fn natural_width(grid: &Grid<'_>, column: usize) -> usize {
    let header = grid.columns.get(column).map_or(0, |name| name.width());
    let rows = grid.rows.iter().take(MEASURED_ROWS);
    let cells = rows.filter_map(|row| *row.get(column)?).map(|cell| cell_text(cell).width());
    cells.chain([header]).max().unwrap_or(0)
}

/// A cell on one line: text as it is, anything else as JSON.
pub(super) fn cell_text(value: &Value) -> String {
    match value {
        Value::String(text) => harmless(text, &[]),
        other => harmless(&other.to_string(), &[]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(value: &Value, wanted: &[&str], width: Option<usize>) -> (String, usize) {
        let grid = Grid::of(value).unwrap();
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let selection = select(&grid, &wanted, width).unwrap();
        let names = selection.columns.iter().map(|column| grid.columns[*column].as_str());
        (names.collect::<Vec<_>>().join(" "), selection.cell_width)
    }

    fn clusters() -> Value {
        json!([{
            "autoscale": {"min_workers": 1},
            "aws_zone": "us-west-2a-long-enough",
            "creator_user_name": "ines@example.test",
            "cluster_id": "0923-164208-meows279",
            "cluster_name": "etl",
            "spark_context_id": 4020997813441462000_u64,
            "state": "RUNNING",
        }])
    }

    #[test]
    fn a_narrow_terminal_keeps_what_names_the_row() {
        assert_eq!(names(&clusters(), &[], Some(60)).0, "cluster_id cluster_name state");
    }

    #[test]
    fn a_file_gets_everything() {
        let (names, width) = names(&clusters(), &[], None);
        assert_eq!(names.split(' ').count(), 7);
        assert_eq!(width, usize::MAX);
    }

    #[test]
    fn long_cells_are_cut_before_columns_go() {
        let value = json!([{"a": "x".repeat(100), "b": "y".repeat(100)}]);
        assert_eq!(names(&value, &[], Some(120)), ("a b".to_owned(), 48));
    }

    #[test]
    fn wanted_columns_come_in_the_wanted_order() {
        assert_eq!(names(&clusters(), &["state", "cluster_id"], Some(10)).0, "state cluster_id");
        let value = clusters();
        let grid = Grid::of(&value).unwrap();
        let failure = select(&grid, &["cluster".to_owned()], None).unwrap_err();
        assert_eq!(
            failure.error.message,
            "there is no column \"cluster\"; did you mean cluster_id, cluster_name?"
        );
    }

    #[test]
    fn the_words_of_a_name_are_found() {
        for (name, stem, word) in [
            ("cluster_id", "cluster", "id"),
            ("clusterId", "cluster", "id"),
            ("id", "", "id"),
            ("", "", ""),
        ] {
            assert_eq!(stem_and_word(name), (stem, word.to_owned()), "{name}");
        }
    }
}
