//! What an operator can demand of a component file before a byte of it is looked into: its digest, and its maker's signature.

use std::fmt::Write;

use minisign_verify::{PublicKey, Signature};
use ring::digest::{SHA256, digest};

use crate::component::invalid;
use crate::error::Error;
use crate::settings::Settings;

/// The SHA-256 of bytes, in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest(&SHA256, bytes).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Refuses a component that is not the one that was asked for.
pub(crate) fn check(bytes: &[u8], digest: &str, settings: &Settings) -> Result<(), Error> {
    if let Some(expected) = &settings.component_sha256 {
        let expected = expected.trim().to_ascii_lowercase();
        let expected = expected.strip_prefix("sha256:").unwrap_or(&expected);
        if expected.len() != 64 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid(
                "the expected digest of the component is not one: give sha256: and 64 hexadecimal digits",
            ));
        }
        if expected != digest {
            let first = |digest: &str| digest.chars().take(8).collect::<String>();
            return Err(invalid(format!(
                "digest mismatch: expected {}…, got {}…; if the component was updated, check the new one and pin its digest",
                first(expected),
                first(digest)
            )));
        }
    }
    match &settings.component_key {
        Some(key) => signed(bytes, key, settings.component_signature.as_deref()),
        None if settings.require_signature => Err(invalid(
            "components must be signed, but no key is set to check them with; set component_key",
        )),
        None => Ok(()),
    }
}

fn signed(bytes: &[u8], key: &str, signature: Option<&str>) -> Result<(), Error> {
    // A key file has a comment above the key.
    let key = key.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let key = PublicKey::from_base64(key).map_err(|error| {
        invalid(format!("the key for signatures of components is no minisign key: {error}"))
    })?;
    let Some(signature) = signature else {
        return Err(invalid(
            "its signature is missing: put the file that minisign made beside it, under its name with .minisig",
        ));
    };
    let fits = Signature::decode(signature).and_then(|it| key.verify(bytes, &it, false));
    fits.map_err(|error| {
        invalid(format!("its signature does not fit the key that is set: {error}"))
    })
}
