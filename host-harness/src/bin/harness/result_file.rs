//! A result on its way into a file: written beside it as it comes, and put in its place when it is whole.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind as Io, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use host_harness::{Bytes, Error, ErrorKind, Sink, Taking};
use tempfile::{NamedTempFile, TempPath};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::{Failure, Result};
use crate::terminal::harmless;

/// Parts that wait to be written. One that is written and one that waits keep disk and connector busy.
const WAITING_PARTS: usize = 1;
/// Bytes after which what is written goes down to the disk, so that the end has little to wait for.
const SYNC_EVERY: u64 = 32 << 20;
/// How much of a path a message shows.
const SHOWN: usize = 180;
/// `SIGXFSZ`, the same on all systems that we build for: a file that may not grow any more ends the process unless it is
/// heard, and is an error of the write when it is.
const TOO_LARGE: i32 = 25;

/// What is being written, for those who end the process on the spot.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Removes what is not finished.
pub(crate) fn abandon() {
    let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).take();
    // It may be in its place already.
    unfinished.map(std::fs::remove_file);
}

/// A file that will be there when the result is whole. Dropped before that, it leaves nothing behind.
pub(crate) struct ResultFile {
    path: PathBuf,
    overwrite: bool,
    beside: TempPath,
    parts: Option<mpsc::Sender<Bytes>>,
    writer: Option<JoinHandle<io::Result<File>>>,
    written: Arc<AtomicU64>,
    _too_large: Option<Signal>,
}

impl ResultFile {
    /// Finds out whether there can be a file, and begins one beside it.
    pub(crate) fn create(path: &Path, overwrite: bool) -> Result<Self> {
        check(path, overwrite)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = tempfile::Builder::new()
            .prefix(&format!(".{}.", name.chars().take(60).collect::<String>()))
            .suffix(".part")
            .permissions(PermissionsExt::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|error| unmade(path, folder, &error))?;
        let (file, beside) = NamedTempFile::into_parts(beside);
        *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = Some(beside.to_path_buf());
        let (parts, incoming) = mpsc::channel(WAITING_PARTS);
        let written = Arc::<AtomicU64>::default();
        let count = Arc::clone(&written);
        let writer = std::thread::Builder::new()
            .name("result-file".to_owned())
            .spawn(move || write(file, incoming, &count))
            .map_err(|error| unmade(path, folder, &error))?;
        Ok(Self {
            path: path.to_owned(),
            overwrite,
            beside,
            parts: Some(parts),
            writer: Some(writer),
            written,
            _too_large: signal(SignalKind::from_raw(TOO_LARGE)).ok(),
        })
    }

    /// Bytes that are written so far.
    pub(crate) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// Puts the file in its place. What is there before the power fails is there afterwards.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.end().map_err(|error| Failure::from(unsaved(&self.path, &error)))?;
        let Self { path, overwrite, beside, .. } = self;
        let placed = match overwrite {
            true => beside.persist(&path),
            false => beside.persist_noclobber(&path),
        };
        placed.map_err(|error| match error.error.kind() {
            Io::AlreadyExists => exists(&path),
            _ => unsaved(&path, &error.error).into(),
        })?;
        *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty())
            && let Ok(folder) = File::open(folder)
        {
            // The file is whole and in its place; not every file system can do this.
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Waits until all is written, down to the disk.
    fn end(&mut self) -> io::Result<()> {
        drop(self.parts.take());
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let file = writer.join().map_err(|_| io::Error::other("the writer stopped"))??;
        file.sync_all()
    }
}

impl Sink for ResultFile {
    fn take(&mut self, part: Bytes) -> Taking<'_> {
        Box::pin(async move {
            let sent = match &self.parts {
                Some(parts) => parts.send(part).await.is_ok(),
                None => false,
            };
            if sent {
                return Ok(());
            }
            // The writer ended, so it can tell why.
            let why = self.end().err().unwrap_or_else(|| io::Error::other("the writer stopped"));
            Err(unsaved(&self.path, &why))
        })
    }
}

fn write(
    mut file: File,
    mut parts: mpsc::Receiver<Bytes>,
    written: &AtomicU64,
) -> io::Result<File> {
    let mut unsynced = 0;
    while let Some(part) = parts.blocking_recv() {
        file.write_all(&part)?;
        written.fetch_add(part.len() as u64, Ordering::Relaxed);
        unsynced += part.len() as u64;
        if unsynced >= SYNC_EVERY {
            file.sync_data()?;
            unsynced = 0;
        }
    }
    Ok(file)
}

/// Refuses what no file can be put in the place of.
fn check(path: &Path, overwrite: bool) -> Result<()> {
    let is_folder = || refused(path, "is a folder; name a file in it");
    if path.as_os_str().as_bytes().ends_with(b"/") || path.file_name().is_none() {
        return Err(is_folder());
    }
    let there = match path.symlink_metadata() {
        Ok(there) => there,
        Err(error) if error.kind() == Io::NotFound => return Ok(()),
        Err(error) => return Err(refused(path, &format!("cannot be written: {error}"))),
    };
    let is = Metadata::file_type(&there);
    if is.is_symlink() {
        return Err(refused(
            path,
            "is a symbolic link, which is not followed; name what it leads to",
        ));
    }
    if is.is_dir() {
        return Err(is_folder());
    }
    if !is.is_file() {
        return Err(refused(path, "is no regular file"));
    }
    if overwrite { Ok(()) } else { Err(exists(path)) }
}

fn exists(path: &Path) -> Failure {
    refused(path, "exists; --overwrite replaces it")
}

/// Of files that cannot be begun; nothing was sent.
fn unmade(path: &Path, folder: &Path, error: &io::Error) -> Failure {
    let folder = shown(folder);
    let why = match error.kind() {
        Io::NotFound => format!("cannot be written: there is no folder {folder}"),
        Io::NotADirectory => format!("cannot be written: {folder} is no folder"),
        Io::PermissionDenied => format!("cannot be written: no permission to write into {folder}"),
        Io::ReadOnlyFilesystem => format!("cannot be written: {folder} is read-only"),
        Io::StorageFull | Io::QuotaExceeded => {
            format!("cannot be written: no space left in {folder}")
        }
        // tempfile names its own file in the error, which nobody knows.
        _ => match error.raw_os_error().map(io::Error::from_raw_os_error) {
            Some(error) => format!("cannot be written: {error}"),
            None => format!("cannot be written: {error}"),
        },
    };
    refused(path, &why)
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(ErrorKind::HostIo, format!("{} {why}", shown(path)))
}

/// Of a result that was there and could not be kept.
fn unsaved(path: &Path, error: &io::Error) -> Error {
    let path = shown(path);
    let message = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => {
            format!("no space left on {path}; the result was not saved")
        }
        Io::FileTooLarge => {
            format!("{path} is larger than files may be here; the result was not saved")
        }
        _ => format!("{path} cannot be written: {error}; the result was not saved"),
    };
    Error::new(ErrorKind::HostIo, message)
}

/// A path in a message, or as much of its end as there is room for.
fn shown(path: &Path) -> String {
    let text = harmless(&path.display().to_string(), &[]);
    let cut = text.len().saturating_sub(SHOWN);
    match text.get(text.ceil_char_boundary(cut)..) {
        Some(end) if cut > 0 => format!("…{end}"),
        _ => text,
    }
}
