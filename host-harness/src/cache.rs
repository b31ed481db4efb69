//! Compiled components on disk, so that only the first load of a component takes time. What a component says about itself
//! is kept beside its code, since it is the same every time.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::hmac;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::description::Description;
use crate::{engine, private};

/// Changes when our own use of the files does.
const LAYOUT: u64 = 2;

/// Compiling anew once a month costs nothing.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// No code of ours is larger; what claims to be is not read.
const LARGEST: u64 = 1 << 30;

/// Length of a seal: HMAC-SHA-256.
const SEAL: usize = 32;

/// The files of one component for one engine: its code in `KEY.cwasm`, its description in `KEY.json`.
///
/// Compiled code is run as it is, so it must be ours. The folder is for its owner alone, and each file begins with a seal
/// over its content and its name, made with a key that only the owner can read: what was changed, cut, swapped with another
/// file or made by anybody else does not fit its seal and is made anew. What was checked is what is loaded: the bytes in
/// memory, not the file. Every failure here only costs time, so none is reported.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    key: String,
    sealing: hmac::Key,
}

impl Cache {
    /// The place for a component, unless its folder or the key cannot be made safe.
    pub(crate) fn new(
        folder: &Path,
        key_file: Option<&Path>,
        engine: &Engine,
        component_digest: &str,
    ) -> Option<Self> {
        private::folder(folder).ok()?;
        let key_file = key_file.map_or_else(|| folder.join("key"), Path::to_owned);
        let secret = private::key(&key_file).ok()?;
        let fingerprint = engine::fingerprint(engine) ^ LAYOUT;
        let key = format!("{component_digest}-{fingerprint:016x}");
        let sealing = hmac::Key::new(hmac::HMAC_SHA256, &*secret);
        Some(Self { folder: folder.to_owned(), key, sealing })
    }

    pub(crate) fn component(&self, engine: &Engine) -> Option<Component> {
        let file = self.read("cwasm")?;
        load(engine, file.get(SEAL..)?).ok()
    }

    pub(crate) fn keep_component(&self, code: &[u8]) {
        self.prune();
        let _ = self.write("cwasm", code);
    }

    pub(crate) fn description(&self) -> Option<Description> {
        serde_json::from_slice(self.read("json")?.get(SEAL..)?).ok()
    }

    pub(crate) fn keep_description(&self, description: &Description) {
        let Ok(json) = serde_json::to_vec(description) else { return };
        let _ = self.write("json", &json);
    }

    /// Removes what has been here for long: each new version of a component or of the host leaves its predecessor behind.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|file| file.modified()).map(|time| time.elapsed());
            let ours = [".cwasm", ".sha256", ".json", private::UNFINISHED]
                .iter()
                .any(|end| entry.file_name().to_string_lossy().ends_with(end));
            if ours && matches!(age, Ok(Ok(age)) if age > KEPT) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// A file whole, seal and content, when the one fits the other.
    fn read(&self, extension: &str) -> Option<Vec<u8>> {
        let file = fs::File::open(self.path(extension)).ok()?;
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(LARGEST)).ok()? + 1);
        file.take(LARGEST).read_to_end(&mut bytes).ok()?;
        let (seal, content) = bytes.split_at_checked(SEAL)?;
        hmac::verify(&self.key_of(extension), content, seal).ok()?;
        Some(bytes)
    }

    /// Writes a file whole or not at all, also when two processes write it at once.
    fn write(&self, extension: &str, content: &[u8]) -> io::Result<()> {
        let seal = hmac::sign(&self.key_of(extension), content);
        private::replace(&self.path(extension), &[seal.as_ref(), content])
    }

    /// Seals are good for one name only.
    fn key_of(&self, extension: &str) -> hmac::Key {
        let name = format!("{}.{extension}", self.key);
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.sealing, name.as_bytes()).as_ref())
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.key))
    }
}

/// Makes native code ready to run. The code has to be ours: made a moment ago, here or in the program that the operator
/// named for it, or read from the cache with a seal that fits.
pub(crate) fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "the code is ours: see above")]
    // SAFETY: callers have the code from this crate's compiler, for this engine, and its seal says the same of what is read.
    unsafe {
        Component::deserialize(engine, code)
    }
}
