//! Which component it is: digests and signatures, and compiled code on disk that others could have touched.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use host_harness::{ErrorKind, Harness, Settings};
use hostile_guests::Guest;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::Hosted;
use crate::fixtures::folder;

fn named(key: &str) -> Guest {
    Guest::new().describing(|catalog| key.clone_into(&mut catalog.key))
}

fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// F7: another component than the one whose digest was pinned is not loaded, and not even looked into.
#[test]
fn a_pinned_digest_is_the_only_one() {
    let bytes = Guest::new().component();
    let pinned =
        |digest: String| Settings { component_sha256: Some(digest), ..Settings::default() };
    let right = digest(&bytes);
    for spelling in [right.clone(), format!("sha256:{right}"), right.to_ascii_uppercase()] {
        Harness::from_bytes(&bytes, pinned(spelling)).unwrap();
    }
    for other in [&b"not even a component"[..], &named("other").component()] {
        let error = Harness::from_bytes(other, pinned(right.clone())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ComponentInvalid, "{error}");
        let expected =
            format!("digest mismatch: expected {}…, got {}…", &right[..8], &digest(other)[..8]);
        assert!(error.message.contains(&expected), "{error}");
    }
    for nonsense in ["", "sha256:", "abc", &"g".repeat(64), &right[1..]] {
        let error = Harness::from_bytes(&bytes, pinned(nonsense.to_owned())).unwrap_err();
        assert!(error.message.contains("64 hexadecimal digits"), "{error}");
    }
}

/// Makes keys and signatures as minisign does.
struct Signer(Ed25519KeyPair);

impl Signer {
    fn new(seed: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn key(&self) -> String {
        STANDARD.encode([b"Ed", &self.id()[..], self.0.public_key().as_ref()].concat())
    }

    fn id(&self) -> [u8; 8] {
        self.0.public_key().as_ref()[..8].try_into().unwrap()
    }

    fn sign(&self, bytes: &[u8]) -> String {
        let sign = |bytes: &[u8]| self.0.sign(bytes).as_ref().to_vec();
        let (signature, comment) = (sign(blake2b_simd::blake2b(bytes).as_bytes()), "connector");
        let whole = sign(&[&signature, comment.as_bytes()].concat());
        format!(
            "untrusted comment: signature\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode([b"ED", &self.id()[..], &signature].concat()),
            STANDARD.encode(whole)
        )
    }
}

/// F7: with a key set, only what its owner signed is loaded; without one, a policy that demands signatures loads nothing.
#[test]
fn signatures_are_checked() {
    let (maker, other) = (Signer::new(1), Signer::new(2));
    let bytes = Guest::new().component();
    let load = |signature: Option<String>, key: Option<String>, require_signature: bool| {
        let settings = Settings {
            component_key: key,
            component_signature: signature,
            require_signature,
            ..Settings::default()
        };
        Harness::from_bytes(&bytes, settings).map(|_| ()).map_err(|error| error.message)
    };
    let key = maker.key();
    let file = format!("untrusted comment: minisign public key\n{key}\n");
    let good = maker.sign(&bytes);
    assert_eq!(load(Some(good.clone()), Some(key.clone()), true), Ok(()));
    assert_eq!(load(Some(good.clone()), Some(file), false), Ok(()));

    let refused = |outcome: Result<(), String>, expected: &str| {
        let message = outcome.unwrap_err();
        assert!(message.contains(expected), "{message}");
    };
    let fits_not = "its signature does not fit the key that is set";
    refused(load(None, Some(key.clone()), false), "its signature is missing");
    refused(load(Some(maker.sign(b"other")), Some(key.clone()), false), fits_not);
    refused(load(Some(other.sign(&bytes)), Some(key.clone()), false), fits_not);
    refused(load(Some(String::new()), Some(key.clone()), false), fits_not);
    // The comment that tells people what was signed is signed too.
    let forged = good.replace("trusted comment: connector", "trusted comment: something");
    assert_ne!(forged, good);
    refused(load(Some(forged), Some(key), false), fits_not);
    refused(load(Some(good.clone()), Some("abc".to_owned()), false), "is no minisign key");
    refused(load(Some(good), None, true), "no key is set");
}

/// F7: the program finds the signature beside the file, and its options pin digest and key.
#[test]
fn the_program_checks_what_it_is_told_to() {
    let folder = folder();
    let path = folder.join("connector.wasm");
    let bytes = Guest::new().component();
    fs::write(&path, &bytes).unwrap();
    let pair = Signer::new(3);
    let key = pair.key();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_harness"))
            .args(["actions", "--json", "--component"])
            .arg(&path)
            .args(arguments)
            .env_clear()
            .env("HOME", &folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let sha256 = format!("sha256:{}", digest(&bytes));
    assert_eq!(run(&["--component-digest", &sha256]).0, Some(0));
    let (code, said) = run(&["--component-digest", &format!("sha256:{}", "0".repeat(64))]);
    assert_eq!(code, Some(18), "{said}");
    assert!(said.contains("expected 00000000…"), "{said}");

    let (code, said) = run(&["--require-signature"]);
    assert_eq!(code, Some(18), "{said}");
    let (code, said) = run(&["--component-key", &key]);
    assert_eq!(code, Some(18), "{said}");
    assert!(said.contains("signature is missing"), "{said}");
    fs::write(folder.join("connector.wasm.minisig"), pair.sign(&bytes)).unwrap();
    assert_eq!(run(&["--component-key", &key, "--require-signature"]).0, Some(0));
}

/// A cache, and what is in it.
struct Cache {
    folder: PathBuf,
    key: PathBuf,
}

impl Cache {
    fn new() -> Self {
        let folder = folder();
        Self { key: folder.join("state/cache.key"), folder: folder.join("cache") }
    }

    fn load(&self, guest: &Guest) -> Harness {
        let (cache_dir, cache_key) = (Some(self.folder.clone()), Some(self.key.clone()));
        guest.load_with(Settings { cache_dir, cache_key, ..Settings::default() }).unwrap()
    }

    /// The key under which a connector is known that was loaded with this cache.
    async fn key_of(&self, guest: &Guest) -> String {
        self.load(guest).describe().await.unwrap().key.clone()
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.folder).into_iter().flatten();
        let files = files.map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
    }

    fn file(&self, guest: &Guest, extension: &str) -> PathBuf {
        let digest = digest(&guest.component());
        let mut files = self.files(extension).into_iter();
        files.find(|path| path.to_str().unwrap().contains(&digest)).unwrap()
    }
}

/// F9: compiled code that was changed, cut, emptied or made longer is not run but made anew.
#[tokio::test]
async fn damaged_code_is_compiled_anew() {
    let (cache, guest) = (Cache::new(), named("one"));
    assert_eq!(cache.key_of(&guest).await, "one");
    let path = cache.file(&guest, "cwasm");
    let good = fs::read(&path).unwrap();
    let mut damages = vec![Vec::new(), good[..good.len() / 2].to_vec(), [&good[..], b"x"].concat()];
    damages.extend([0, 31, 32, 40, good.len() / 2, good.len() - 1].map(|at| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    }));
    damages.push(vec![0; good.len()]);
    for damage in damages {
        fs::write(&path, &damage).unwrap();
        assert_eq!(cache.key_of(&guest).await, "one");
        assert_ne!(fs::read(&path).unwrap(), damage, "it was made anew");
    }
}

/// F9: code of ours under another name is not run: neither another component's, nor another file of the same one.
#[tokio::test]
async fn swapped_files_are_not_believed() {
    let (cache, one, two) = (Cache::new(), named("one"), named("two"));
    assert_eq!(cache.key_of(&one).await, "one");
    assert_eq!(cache.key_of(&two).await, "two");
    for extension in ["cwasm", "json"] {
        fs::copy(cache.file(&two, extension), cache.file(&one, extension)).unwrap();
        assert_eq!(cache.key_of(&one).await, "one", "{extension}");
    }
    fs::copy(cache.file(&one, "json"), cache.file(&one, "cwasm")).unwrap();
    fs::remove_file(cache.file(&one, "json")).unwrap();
    assert_eq!(cache.key_of(&one).await, "one");

    // What another engine compiled, under the name of ours.
    let code = cache.file(&one, "cwasm");
    let name = code.file_name().unwrap().to_str().unwrap();
    let other = code.with_file_name(name.replace(&name[65..81], "0123456789abcdef"));
    fs::rename(&code, &other).unwrap();
    assert_eq!(cache.key_of(&one).await, "one");
    assert!(code.exists() && other.exists());
}

/// F9: code and descriptions that were sealed with another key are not believed.
#[tokio::test]
async fn foreign_seals_are_not_believed() {
    let (ours, theirs, guest) = (Cache::new(), Cache::new(), named("one"));
    assert_eq!(ours.key_of(&guest).await, "one");
    assert_eq!(theirs.key_of(&guest).await, "one");
    for extension in ["cwasm", "json"] {
        let (mine, other) = (ours.file(&guest, extension), theirs.file(&guest, extension));
        let foreign = fs::read(&other).unwrap();
        fs::write(&mine, &foreign).unwrap();
        assert_eq!(ours.key_of(&guest).await, "one");
        assert_ne!(fs::read(&mine).unwrap(), foreign, "{extension} was made anew");
    }
}

/// F9: a description in the cache is believed only as it was written.
#[tokio::test]
async fn a_changed_description_is_asked_for_again() {
    let (cache, guest) = (Cache::new(), named("one"));
    assert_eq!(cache.key_of(&guest).await, "one");
    let path = cache.file(&guest, "json");
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    assert!(text.contains(r#""key":"one""#), "it is there in plain words");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(11).position(|window| window == br#""key":"one""#).unwrap();
    bytes[at + 7..at + 10].copy_from_slice(b"two");
    fs::write(&path, bytes).unwrap();
    assert_eq!(cache.key_of(&guest).await, "one");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// F9: folder, files and key are their owner's alone; a key that others could read is replaced.
#[tokio::test]
async fn the_cache_is_for_its_owner_alone() {
    let (cache, guest) = (Cache::new(), named("one"));
    fs::create_dir_all(&cache.folder).unwrap();
    fs::set_permissions(&cache.folder, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(cache.key_of(&guest).await, "one");
    assert_eq!(mode(&cache.folder), 0o700);
    let private = [cache.file(&guest, "cwasm"), cache.file(&guest, "json"), cache.key.clone()];
    private.iter().for_each(|path| assert_eq!(mode(path), 0o600, "{}", path.display()));

    let (key, code) = (fs::read(&cache.key).unwrap(), fs::read(&private[0]).unwrap());
    fs::set_permissions(&cache.key, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(cache.key_of(&guest).await, "one");
    assert_ne!(fs::read(&cache.key).unwrap(), key);
    assert_eq!(mode(&cache.key), 0o600);
    assert_ne!(fs::read(&private[0]).unwrap(), code, "it has a new seal");
}

/// F9: a folder or a key that is a link to elsewhere is not used, and components load without them.
#[tokio::test]
async fn links_are_not_followed() {
    let guest = named("one");
    let cache = Cache::new();
    let elsewhere = folder();
    symlink(&elsewhere, &cache.folder).unwrap();
    assert_eq!(cache.key_of(&guest).await, "one");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);

    let cache = Cache::new();
    fs::create_dir_all(cache.key.parent().unwrap()).unwrap();
    let known = elsewhere.join("known");
    fs::write(&known, [7; 32]).unwrap();
    fs::set_permissions(&known, Permissions::from_mode(0o600)).unwrap();
    symlink(&known, &cache.key).unwrap();
    assert_eq!(cache.key_of(&guest).await, "one");
    assert!(cache.files("cwasm").is_empty());
}

/// F9: many processes that fill one cache at once agree on its key, and leave it whole.
#[test]
fn a_cache_is_filled_by_many_at_once() {
    let (cache, guest) = (Cache::new(), named("one"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| drop(cache.load(&guest)));
        }
    });
    let code = fs::read(cache.file(&guest, "cwasm")).unwrap();
    drop(cache.load(&guest));
    assert_eq!(fs::read(cache.file(&guest, "cwasm")).unwrap(), code);
    assert!(cache.files("unfinished").is_empty());
}

#[test]
fn what_was_compiled_long_ago_is_removed() {
    let cache = Cache::new();
    fs::create_dir_all(&cache.folder).unwrap();
    let old = cache.folder.join("old.cwasm");
    let month_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(31 * 24);
    fs::File::create(&old).unwrap().set_modified(month_ago).unwrap();
    drop(cache.load(&named("one")));
    assert!(!old.exists());
    assert_eq!(cache.files("cwasm").len(), 1);
}
