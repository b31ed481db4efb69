//! Why the journal cannot be used, and how that is told.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHORT_READ;

use super::store::{PATIENCE, VERSION};
use crate::error::{Error, ErrorKind};
use crate::scrub::{clip, printable};

/// Why something in the database did not go as it should.
#[derive(Debug)]
pub(super) enum Trouble {
    Sql(rusqlite::Error),
    Io(io::Error),
    /// What is not as it was written.
    Damaged(String),
    Newer(i64),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) type Outcome<T> = Result<T, Trouble>;

impl Trouble {
    pub(super) fn told(&self, folder: &Path) -> Error {
        let place = folder.display().to_string();
        let place = printable(clip(&place, 120));
        let message = match self {
            Self::Damaged(what) => damaged(&place, what),
            Self::Newer(version) => format!(
                "the journal in {place} was written by a newer harness (form {version}, this one knows {VERSION}); \
                 use that one, or another folder"
            ),
            Self::Io(error) => format!("the journal in {place} cannot be used: {error}"),
            // The file ends where it must not.
            Self::Sql(rusqlite::Error::SqliteFailure(error, _))
                if error.extended_code == SQLITE_IOERR_SHORT_READ =>
            {
                damaged(&place, "it is cut")
            }
            Self::Sql(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => {
                    format!("the journal in {place} cannot be written: no space left")
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    format!("the journal in {place} was busy for {} s", PATIENCE.as_secs())
                }
                Some(
                    ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
                    | ErrorCode::PermissionDenied
                    | ErrorCode::SystemIoFailure,
                ) => format!("the journal in {place} cannot be written: {error}"),
                _ => damaged(&place, &error.to_string()),
            },
        };
        Error::new(ErrorKind::HostIo, message)
    }
}

fn damaged(place: &str, what: &str) -> String {
    let what = printable(clip(what, 80));
    format!(
        "the journal in {place} is damaged ({what}); nothing of it was used; move it away to begin a new one"
    )
}
