//! The reading of an array of rows, byte by byte where it has to be and in runs where it can, and the writing of each row.

use crate::bounds::{Fault, Limits, Stop};
use crate::cells::{is_number, join_lines, quote, quote_csv, unescape};
use crate::scan::{copy_plain, copy_words};
use crate::{Column, Format, Kind, glance};

/// A single row may become this large, in bytes.
const LARGEST: usize = 64 << 20;

/// Where in the array the reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// After the opening bracket of the array.
    FirstRow,
    AfterRow,
    NextRow,
    /// After the opening bracket of a row.
    FirstCell,
    NextCell,
    Text,
    Escape,
    /// In the digits of an escape, of which so many are left.
    Hex(u8),
    /// In a value that is no text.
    Bare {
        depth: u32,
        text: bool,
        escaped: bool,
    },
    AfterCell,
    End,
}

/// Reads arrays of rows, one after the other, and writes their rows.
#[derive(Debug)]
pub struct Writer<'a> {
    columns: &'a [Column],
    format: Format,
    limits: Limits,
    out: Vec<u8>,
    /// How much of it was there before.
    start: usize,
    place: Place,
    /// A row was written before, here or elsewhere.
    joined: bool,
    /// The column of the cell, and where its text begins in what is written.
    column: usize,
    cell: usize,
    kind: Kind,
    escaped: bool,
    /// Bytes of the array that were read.
    read: u64,
    /// Rows of the array that were written here, and that there are to write where it is known.
    array_rows: u64,
    expected_rows: Option<u64>,
    /// Rows of all arrays.
    rows: u64,
    /// After the last complete row: bytes read of its array, bytes written.
    boundary: (u64, usize),
}

impl<'a> Writer<'a> {
    /// `joined` is whether rows were written before, `out` what to append to.
    pub fn new(
        columns: &'a [Column],
        format: Format,
        limits: Limits,
        joined: bool,
        out: Vec<u8>,
    ) -> Self {
        let start = out.len();
        Self {
            columns,
            format,
            limits,
            out,
            start,
            place: Place::Start,
            joined,
            column: 0,
            cell: 0,
            kind: Kind::Text,
            escaped: false,
            read: 0,
            array_rows: 0,
            expected_rows: None,
            rows: 0,
            boundary: (0, start),
        }
    }

    /// Begins the next array, in its middle where the row before ends with its byte `offset`. After the last of the rows
    /// that are left in it, if that is known, there is no pause.
    pub fn begin(&mut self, offset: u64, rows_left: Option<u64>) {
        self.place = if offset > 0 { Place::AfterRow } else { Place::Start };
        (self.read, self.boundary.0) = (offset, offset);
        (self.array_rows, self.expected_rows) = (0, rows_left);
    }

    /// Whether all of the array was read.
    pub fn is_over(&self) -> bool {
        self.place == Place::End
    }

    /// Rows that were written, of all arrays.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows of this array that were written.
    pub fn array_rows(&self) -> u64 {
        self.array_rows
    }

    /// Where in the array the last row that was written ends.
    pub fn offset(&self) -> u64 {
        self.boundary.0
    }

    /// Bytes of the array that were read.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Bytes of the rows that were written.
    pub fn bytes(&self) -> u64 {
        (self.boundary.1 - self.start) as u64
    }

    /// What was written, up to the last complete row.
    pub fn into_written(mut self) -> Result<Vec<u8>, Fault> {
        self.out.truncate(self.boundary.1);
        // Once over all of it: what begins or ends in the middle of a character is not complete.
        match std::str::from_utf8(&self.out) {
            Ok(_) => Ok(self.out),
            Err(_) => Err(Fault::NotText),
        }
    }

    /// Reads the next piece of the array. Stops at a limit; what was written then ends with a row.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Option<Stop>, Fault> {
        self.out.try_reserve(piece.len()).map_err(|_| Fault::TooLarge)?;
        if self.out.len() - self.boundary.1 > LARGEST {
            return Err(Fault::TooLarge);
        }
        let before = self.read;
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            rest = match self.place {
                Place::Text => self.text(rest)?,
                Place::Bare { .. } => self.bare(byte, rest, after)?,
                Place::Escape | Place::Hex(_) => {
                    self.escape(byte)?;
                    after
                }
                Place::FirstCell | Place::NextCell if byte == b'"' => {
                    self.begin_text()?;
                    after
                }
                Place::AfterCell if byte == b',' => {
                    self.place = Place::NextCell;
                    after
                }
                _ if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') => after,
                Place::FirstCell | Place::AfterCell if byte == b']' => {
                    self.end_row()?;
                    self.read = before + (piece.len() - after.len()) as u64;
                    if let Some(stop) = self.judge_row() {
                        return Ok(Some(stop));
                    }
                    after
                }
                Place::FirstCell | Place::NextCell => self.begin_bare(rest)?,
                Place::Start
                | Place::FirstRow
                | Place::AfterRow
                | Place::NextRow
                | Place::AfterCell
                | Place::End => {
                    self.between(byte)?;
                    after
                }
            };
        }
        self.read = before + piece.len() as u64;
        Ok(None)
    }

    /// The array has to be complete once its input has ended.
    pub fn end(&self) -> Result<(), Fault> {
        if self.is_over() { Ok(()) } else { Err(Fault::Early) }
    }

    /// A byte of the array itself.
    fn between(&mut self, byte: u8) -> Result<(), Fault> {
        self.place = match (self.place, byte) {
            (Place::Start, b'[') => Place::FirstRow,
            (Place::FirstRow | Place::AfterRow, b']') => Place::End,
            (Place::AfterRow, b',') => Place::NextRow,
            (Place::FirstRow | Place::NextRow, b'[') => {
                self.begin_row();
                Place::FirstCell
            }
            (Place::Start | Place::FirstRow | Place::NextRow, b'{' | b'"' | b'n' | b't' | b'f') => {
                return Err(Fault::NotRows);
            }
            (Place::Start | Place::FirstRow | Place::NextRow, b'-' | b'0'..=b'9') => {
                return Err(Fault::NotRows);
            }
            _ => return Err(Fault::NotJson),
        };
        Ok(())
    }

    fn begin_row(&mut self) {
        self.column = 0;
        match self.format {
            Format::Csv => return,
            Format::Objects | Format::Arrays | Format::Raw if self.joined => self.out.push(b','),
            Format::Objects | Format::Arrays | Format::Raw | Format::Ndjson => {}
        }
        self.out.push(if self.format.has_names() { b'{' } else { b'[' });
    }

    fn end_row(&mut self) -> Result<(), Fault> {
        if self.column != self.columns.len() {
            return Err(self.width(self.column));
        }
        let end: &[u8] = match self.format {
            Format::Objects => b"}",
            Format::Arrays | Format::Raw => b"]",
            Format::Csv => b"\r\n",
            Format::Ndjson => b"}\n",
        };
        self.out.extend_from_slice(end);
        self.place = Place::AfterRow;
        Ok(())
    }

    /// Takes the row that has just ended, unless it is one too many.
    fn judge_row(&mut self) -> Option<Stop> {
        if (self.out.len() - self.start) as u64 > self.limits.bytes {
            self.out.truncate(self.boundary.1);
            return Some(Stop::Bytes);
        }
        self.boundary = (self.read, self.out.len());
        self.rows += 1;
        self.array_rows += 1;
        self.joined = true;
        if self.rows >= self.limits.rows {
            Some(Stop::Rows)
        } else if self.out.len() >= self.limits.pause && self.expected_rows != Some(self.array_rows)
        {
            Some(Stop::Pause)
        } else {
            None
        }
    }

    fn width(&self, found: usize) -> Fault {
        Fault::Width { row: self.array_rows, found, expected: self.columns.len() }
    }

    /// Writes what stands before a cell.
    fn begin_cell(&mut self) -> Result<(), Fault> {
        let Some(column) = self.columns.get(self.column) else {
            return Err(self.width(self.columns.len() + 1));
        };
        if self.column > 0 {
            self.out.push(b',');
        }
        if self.format.has_names() {
            copy_words(&column.key, column.length, &mut self.out);
        }
        self.column += 1;
        self.kind = if self.format == Format::Raw { Kind::Text } else { column.kind };
        self.escaped = false;
        self.cell = self.out.len();
        Ok(())
    }

    fn begin_text(&mut self) -> Result<(), Fault> {
        self.begin_cell()?;
        if self.kind == Kind::Text && self.format != Format::Csv {
            self.out.push(b'"');
        }
        self.place = Place::Text;
        Ok(())
    }

    /// Copies text up to its end or its next escape; answers with what comes after.
    fn text<'p>(&mut self, rest: &'p [u8]) -> Result<&'p [u8], Fault> {
        let plain = copy_plain(rest, &mut self.out);
        let Some((&byte, after)) = rest.get(plain..).and_then(<[u8]>::split_first) else {
            return Ok(&[]);
        };
        match byte {
            b'"' => self.end_text(),
            b'\\' => {
                self.out.push(byte);
                self.escaped = true;
                self.place = Place::Escape;
            }
            _ => return Err(Fault::NotJson),
        }
        Ok(after)
    }

    fn escape(&mut self, byte: u8) -> Result<(), Fault> {
        self.place = match (self.place, byte) {
            (Place::Escape, b'u') => Place::Hex(4),
            (Place::Escape, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Place::Text,
            (Place::Hex(1), digit) if digit.is_ascii_hexdigit() => Place::Text,
            (Place::Hex(left), digit) if digit.is_ascii_hexdigit() => Place::Hex(left - 1),
            _ => return Err(Fault::NotJson),
        };
        self.out.push(byte);
        Ok(())
    }

    fn end_text(&mut self) {
        self.place = Place::AfterCell;
        if self.format == Format::Csv {
            if self.escaped {
                unescape(&mut self.out, self.cell);
            }
            return quote_csv(&mut self.out, self.cell);
        }
        let text = self.out.get(self.cell..).unwrap_or_default();
        let same = match self.kind {
            Kind::Text => return self.out.push(b'"'),
            Kind::Number => is_number(text),
            Kind::Boolean => matches!(text, b"true" | b"false"),
            Kind::Json => return self.end_json(),
        };
        if !same {
            quote(&mut self.out, self.cell);
        }
    }

    /// The JSON that a text holds, or the text.
    fn end_json(&mut self) {
        let text = self.out.get(self.cell..).unwrap_or_default().to_vec();
        if self.escaped {
            unescape(&mut self.out, self.cell);
        }
        if glance::is_json(self.out.get(self.cell..).unwrap_or_default()) {
            return self.join_lines();
        }
        self.out.truncate(self.cell);
        self.out.extend_from_slice(&text);
        quote(&mut self.out, self.cell);
    }

    fn join_lines(&mut self) {
        if self.format == Format::Ndjson {
            join_lines(&mut self.out, self.cell);
        }
    }

    fn begin_bare<'p>(&mut self, rest: &'p [u8]) -> Result<&'p [u8], Fault> {
        self.begin_cell()?;
        // NULL, where it is not cut in two: by far the most frequent one.
        if let Some(after) = rest.strip_prefix(b"null")
            && matches!(after.first(), Some(b',' | b']'))
        {
            if self.format != Format::Csv {
                self.out.extend_from_slice(b"null");
            }
            self.place = Place::AfterCell;
            return Ok(after);
        }
        self.place = Place::Bare { depth: 0, text: false, escaped: false };
        Ok(rest)
    }

    /// A byte of a value that is no text. Only its end is found here; whether it is JSON is seen there.
    fn bare<'p>(&mut self, byte: u8, rest: &'p [u8], after: &'p [u8]) -> Result<&'p [u8], Fault> {
        let Place::Bare { depth, text, escaped } = self.place else { return Err(Fault::NotJson) };
        let ends = matches!(byte, b',' | b']' | b' ' | b'\t' | b'\r' | b'\n');
        if depth == 0 && !text && ends {
            self.end_bare()?;
            return Ok(rest);
        }
        let (depth, text, escaped) = match byte {
            _ if escaped => (depth, text, false),
            b'\\' => (depth, text, true),
            b'"' => (depth, !text, false),
            b'[' | b'{' if !text => (depth.saturating_add(1), text, false),
            b']' | b'}' if !text => (depth.saturating_sub(1), text, false),
            _ => (depth, text, false),
        };
        self.out.push(byte);
        self.place = Place::Bare { depth, text, escaped };
        Ok(after)
    }

    fn end_bare(&mut self) -> Result<(), Fault> {
        self.place = Place::AfterCell;
        let value = self.out.get(self.cell..).unwrap_or_default();
        if !glance::is_json(value) {
            return Err(Fault::NotJson);
        }
        if self.format != Format::Csv {
            self.join_lines();
        } else if value == b"null" {
            self.out.truncate(self.cell);
        } else {
            quote_csv(&mut self.out, self.cell);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
