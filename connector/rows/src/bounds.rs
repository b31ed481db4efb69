//! What bounds the reading of rows, and what can be wrong with them.

/// What ends the reading before the rows do, or interrupts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// No row after so many.
    pub rows: u64,
    /// No row with which the rows would be more bytes than this.
    pub bytes: u64,
    /// A pause after the row with which so many bytes are written.
    pub pause: usize,
}

/// Why reading stopped before its input ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// So many rows are written as may be.
    Rows,
    /// One row more would be too many bytes.
    Bytes,
    /// Enough for now.
    Pause,
}

/// What is wrong with the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It ended before the array did.
    Early,
    /// It is not JSON.
    NotJson,
    /// It is JSON, and no array of rows.
    NotRows,
    /// A row, counted from 0 in its array, is narrower or wider than there are columns.
    Width { row: u64, found: usize, expected: usize },
    /// A text is not UTF-8.
    NotText,
    /// A row is larger than can be handled.
    TooLarge,
}
