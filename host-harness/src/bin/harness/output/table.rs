//! Tables: of results, and of our own texts. What goes into them is decided elsewhere.

use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, presets,
};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::fit::{Selection, cell_text};
use super::grid::Grid;
use crate::terminal::{Terminal, harmless, is_stdout_styled};

const CUT: char = '…';

/// The rows of a result: numbers to the right, null dim, long cells cut to the selection's width.
pub(super) fn render(grid: &Grid<'_>, selection: &Selection) -> String {
    let mut table = new();
    let names = selection.columns.iter().filter_map(|column| grid.columns.get(*column));
    table.set_header(names.map(|name| heading(&harmless(name, &[]))));
    for row in &grid.rows {
        let cells = selection.columns.iter().map(|column| row.get(*column).copied().flatten());
        table.add_row(cells.map(|value| cell(value, selection.cell_width)));
    }
    table.trim_fmt()
}

/// How the cells of a table of texts are laid out on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paragraphs {
    /// One line per cell, whatever it takes.
    OneLine,
    /// Lines are broken so that the table fits.
    Wrapped,
}

/// A table of our own texts.
pub(crate) fn text_table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    paragraphs: Paragraphs,
    terminal: &Terminal,
) -> String {
    let mut table = new();
    table.set_header(header.iter().map(|name| heading(name)));
    for row in rows {
        table.add_row(row.map(|text| Cell::new(harmless(&text, &['\n']))));
    }
    if let (Paragraphs::Wrapped, Some(width)) = (paragraphs, terminal.width()) {
        wrap(&mut table, width);
    }
    table.trim_fmt()
}

/// Breaks lines, in the last columns first: what stands in front is names, which people copy.
fn wrap(table: &mut Table, width: usize) {
    const AROUND_CELL: usize = 3;
    const LEFT_FOR_EACH: usize = 10;
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    let widths = table.column_max_content_widths();
    let mut left = width;
    let mut n_behind = widths.len();
    for (column, natural) in table.column_iter_mut().zip(widths) {
        n_behind = n_behind.saturating_sub(1);
        let taken = usize::from(natural) + AROUND_CELL;
        if n_behind == 0 || taken + n_behind * LEFT_FOR_EACH > left {
            break;
        }
        left -= taken;
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
}

/// Lines below the header and between columns alone.
fn new() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_NO_BORDERS.row_separator(LineStyle::none()));
    table.set_content_arrangement(ContentArrangement::Disabled);
    if is_stdout_styled() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn heading(name: &str) -> Cell {
    Cell::new(name).add_attribute(Attribute::Bold)
}

fn cell(value: Option<&Value>, width: usize) -> Cell {
    match value {
        None => Cell::new(""),
        Some(Value::Null) => Cell::new("null").add_attribute(Attribute::Dim),
        Some(value) => {
            let cell = Cell::new(cut(cell_text(value), width));
            if value.is_number() { cell.set_alignment(CellAlignment::Right) } else { cell }
        }
    }
}

/// The text, or as much of it as leaves room to say that it was cut.
fn cut(text: String, width: usize) -> String {
    if text.width() <= width {
        return text;
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    let mut cut: String = text.chars().take_while(fits).collect();
    cut.push(CUT);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_cut_at_their_width_on_screen() {
        assert_eq!(cut("short".to_owned(), 5), "short");
        assert_eq!(cut("longer".to_owned(), 5), "long…");
        assert_eq!(cut("日本語".to_owned(), 5), "日本…");
        assert_eq!(cut("日本語".to_owned(), 4), "日…");
    }
}
