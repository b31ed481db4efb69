//! Compiled components on disk, so that only the first load of a component takes time. What a component says about itself
//! is kept beside its code, since it is the same every time.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::description::Description;

/// Changes when our own use of the files does.
const LAYOUT: u32 = 1;

/// Compiling anew once a month costs nothing.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// The files of one component for one engine: `KEY.cwasm`, its digest in `KEY.sha256`, and `KEY.json`.
///
/// Compiled code is run as it is, so it must be ours: the folder is for its owner alone, and a file whose digest does not
/// fit is compiled anew. Every failure here only costs time, so none is reported.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    key: String,
}

impl Cache {
    /// The place for a component, unless its folder cannot be made safe.
    pub(crate) fn new(folder: &Path, engine: &Engine, component: &[u8]) -> Option<Self> {
        make_private(folder).ok()?;
        let mut engine_hash = Fnv::default();
        engine.precompile_compatibility_hash().hash(&mut engine_hash);
        (LAYOUT, env!("CARGO_PKG_VERSION")).hash(&mut engine_hash);
        let key = format!("{}-{:016x}", hex(component), engine_hash.finish());
        Some(Self { folder: folder.to_owned(), key })
    }

    pub(crate) fn component(&self, engine: &Engine) -> Option<Component> {
        let path = self.path("cwasm");
        let code = fs::read(&path).ok()?;
        let expected = fs::read_to_string(self.path("sha256")).ok()?;
        if expected != hex(&code) {
            return None;
        }
        drop(code);
        #[expect(unsafe_code, reason = "the file is ours: see the type's contract")]
        // SAFETY: the digest says that it is what we wrote, and only its owner can write into the folder.
        unsafe { Component::deserialize_file(engine, &path) }.ok()
    }

    pub(crate) fn keep_component(&self, component: &Component) {
        let Ok(code) = component.serialize() else { return };
        self.prune();
        // The digest goes first: code without a fitting digest is never loaded.
        let _ =
            self.write("sha256", hex(&code).as_bytes()).and_then(|()| self.write("cwasm", &code));
    }

    /// Removes what has been here for long: each new version of a component or of the host leaves its predecessor behind.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|file| file.modified()).map(|time| time.elapsed());
            let ours = [".cwasm", ".sha256", ".json", ".unfinished"]
                .iter()
                .any(|end| entry.file_name().to_string_lossy().ends_with(end));
            if ours && matches!(age, Ok(Ok(age)) if age > KEPT) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    pub(crate) fn description(&self) -> Option<Description> {
        serde_json::from_slice(&fs::read(self.path("json")).ok()?).ok()
    }

    pub(crate) fn keep_description(&self, description: &Description) {
        let Ok(json) = serde_json::to_vec(description) else { return };
        let _ = self.write("json", &json);
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.key))
    }

    /// Writes a file whole or not at all, also when two processes write it at once.
    fn write(&self, extension: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.folder.join(format!("{}.unfinished", uuid::Uuid::new_v4()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(&unfinished)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&unfinished, self.path(extension)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        builder.mode(0o700).create(folder)?;
        if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        }
        Ok(())
    }
    #[cfg(not(unix))]
    builder.create(folder)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, bytes).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// FNV-1a: the standard library's hasher promises nothing from one version to the next, and this goes into file names.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
