//! Folders and files that only their owner can read or write.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// How the names of files end that are being written.
pub(crate) const UNFINISHED: &str = ".unfinished";

const KEY: usize = 32;

/// Makes sure of a folder that is ours and nobody else's.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::symlink_metadata(path)?;
    // A link could be turned to another folder at any time.
    if !metadata.is_dir() || !is_ours(&metadata) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if is_open_to_others(&metadata) {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The random key in a file; a new one when there is none, or when others could have read it.
pub(crate) fn key(path: &Path) -> io::Result<Zeroizing<[u8; KEY]>> {
    if let Some(key) = read_key(path)? {
        return Ok(key);
    }
    let _ = fs::remove_file(path);
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut key = Zeroizing::new([0; KEY]);
    SystemRandom::new().fill(&mut *key).map_err(|_| io::ErrorKind::Other)?;
    // Of processes that do this at the same time, the first one's key is everybody's.
    let unfinished = write(path, &[&*key])?;
    let placed = fs::hard_link(&unfinished, path);
    let _ = fs::remove_file(&unfinished);
    match placed {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read_key(path)?.ok_or_else(|| io::ErrorKind::InvalidData.into()),
    }
}

fn read_key(path: &Path) -> io::Result<Option<Zeroizing<[u8; KEY]>>> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !metadata.is_file() || !is_ours(&metadata) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if is_open_to_others(&metadata) || metadata.len() != KEY as u64 {
        return Ok(None);
    }
    let mut key = Zeroizing::new([0; KEY]);
    fs::File::open(path)?.read_exact(&mut *key)?;
    Ok(Some(key))
}

/// Puts a file in its place, whole or not at all.
pub(crate) fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let unfinished = write(path, parts)?;
    fs::rename(&unfinished, path).inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}

/// Writes a file beside the place where it is to go.
fn write(path: &Path, parts: &[&[u8]]) -> io::Result<PathBuf> {
    let unfinished = path.with_file_name(format!("{}{UNFINISHED}", uuid::Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part));
    written.map(|()| unfinished.clone()).inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}

fn is_ours(metadata: &fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    metadata.permissions().mode() & 0o077 != 0
}
