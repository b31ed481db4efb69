//! The files beside the database that need no database: the high-water mark of its commits, and a lock for each process that
//! has work in hand.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use rustix::fs::OFlags;

const MARK: &str = "journal.mark";
const OWNER: &str = ".owner";

/// Opens or makes a file that is ours alone; a link is not followed.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

/// The number of the last commit that was promised to last.
///
/// SQLite takes a damaged end of its write-ahead log for one that was never written, which is right after a crash and wrong
/// when it was promised. The mark is written after each such commit, so that it is never ahead of what the disk has.
#[derive(Debug)]
pub(super) struct Mark(File);

/// The mark's lock: one process at a time opens the journal, advances the mark or makes an owner.
#[derive(Debug)]
pub(super) struct Locked<'a>(&'a File);

impl Mark {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        open(&folder.join(MARK)).map(Self)
    }

    pub(super) fn lock(&self) -> io::Result<Locked<'_>> {
        self.0.lock()?;
        Ok(Locked(&self.0))
    }
}

impl Locked<'_> {
    /// The mark; none when the file is not as it was written.
    pub(super) fn read(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0; 16];
        match self.0.metadata()?.len() {
            0 => return Ok(Some(0)),
            16 => self.0.read_exact_at(&mut bytes, 0)?,
            _ => return Ok(None),
        }
        if bytes == [0; 16] {
            // What a loss of power may leave of a file that was just made.
            return Ok(Some(0));
        }
        let (number, seal) = bytes.split_at(8);
        let fits = digest(&SHA256, number).as_ref().starts_with(seal);
        Ok(number.try_into().ok().filter(|_| fits).map(u64::from_le_bytes))
    }

    pub(super) fn advance(&self, to: u64) -> io::Result<()> {
        if self.read()?.is_some_and(|mark| mark >= to) {
            return Ok(());
        }
        let mut bytes = to.to_le_bytes().to_vec();
        bytes.extend(digest(&SHA256, &bytes).as_ref().iter().take(8));
        self.0.write_all_at(&bytes, 0)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The lock that says this process is alive. The system takes it away with the process, however that ends.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) name: String,
    path: PathBuf,
    _file: File,
}

impl Owner {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let mark = Mark::open(folder)?;
        let _alone = mark.lock()?;
        let name = uuid::Uuid::new_v4().to_string();
        let path = path_of(folder, &name);
        let file = open(&path)?;
        file.lock()?;
        Ok(Self { name, path, _file: file })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}{OWNER}"))
}

/// Whether a process of this name is alive. Those who ask share the lock, so that they do not take each other for it.
pub(super) fn is_alive(folder: &Path, name: &str) -> bool {
    let Ok(file) = File::open(path_of(folder, name)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The names of processes that died and left their locks.
pub(super) fn dead(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return vec![] };
    let name = |entry: fs::DirEntry| {
        let name = entry.file_name().to_str()?.strip_suffix(OWNER)?.to_owned();
        (!is_alive(folder, &name)).then_some(name)
    };
    entries.flatten().filter_map(name).collect()
}

/// Removes the locks of dead processes that left nothing to be done. The caller holds the mark, so that none is just being
/// made.
pub(super) fn sweep(folder: &Path, needed: &HashSet<String>) {
    for name in dead(folder).iter().filter(|name| !needed.contains(*name)) {
        let _ = fs::remove_file(path_of(folder, name));
    }
}
