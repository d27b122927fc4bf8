//! The key that signs heads.
//!
//! Owns its file: the 32 bytes of an Ed25519 secret key (RFC 8032) in hexadecimal, for its owner's eyes only. Never
//! shows them, and never writes over a file.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    str::FromStr,
};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::HeadsError;
use crate::hexadecimal::{from_hex, to_hex};

/// More than a key's file has.
const FILE_BYTES_MAX: u64 = 128;

/// Signs heads.
pub(crate) struct SecretKey(SigningKey);

impl SecretKey {
    /// A new key in a new file.
    ///
    /// # Errors
    /// There is a file, or it can't be written.
    pub(crate) fn generate(path: &Path) -> Result<Self, HeadsError> {
        let failed = |error: io::Error| HeadsError::key(path, error);
        let secret: [u8; 32] = rand::random();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Made with mode 0600; under its name it is whole, whenever the process ends.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(format!("{}\n", to_hex(&secret)).as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(path).map_err(|error| failed(error.error))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// The key of a file that nobody but its owner can read.
    ///
    /// # Errors
    /// It can't be read, others can read it, or it is no key.
    pub(crate) fn read(path: &Path) -> Result<Self, HeadsError> {
        let failed = |error: io::Error| HeadsError::key(path, error);
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(HeadsError::key(path, format!("its mode is {mode:o}: others may sign; chmod 600")));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let secret = from_hex(text.strip_suffix('\n').unwrap_or(&text));
        let secret = secret.ok_or_else(|| HeadsError::key(path, "it is not 64 hexadecimal digits"))?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// Whom its signatures are known by.
    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    #[cfg(test)]
    pub(super) fn of(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&secret))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public", &self.public().to_string()).finish_non_exhaustive()
    }
}

/// What heads are checked with. As a text: 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    pub(super) fn signed(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(self.0.as_bytes()))
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    /// A key whose signatures anybody can make is none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = from_hex(text).ok_or("a public key is 64 hexadecimal digits")?;
        let key = VerifyingKey::from_bytes(&bytes).ok().filter(|key| !key.is_weak());
        key.map(Self).ok_or("these digits are no public key of Ed25519")
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heads.key");
        let made = SecretKey::generate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(SecretKey::read(&path).unwrap().public(), made.public());
        let before = fs::read(&path).unwrap();
        assert!(SecretKey::generate(&path).unwrap_err().to_string().contains("exists"));
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        assert_ne!(SecretKey::generate(&folder.path().join("other")).unwrap().public(), made.public());
        assert!(!format!("{made:?}").contains(std::str::from_utf8(&before).unwrap().trim_end()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SecretKey::read(&path).unwrap_err().to_string().contains("mode is 640"));
    }

    #[test]
    fn other_files_are_no_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heads.key");
        let check = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(SecretKey::read(&path).is_err(), "{content:?}");
        };
        check(b"");
        check(&[b'0'; 63]);
        check(&[b'0'; 65]);
        check(&[b'g'; 64]);
        check(&[b'0'; 4_096]);
        check(&[0xff; 64]);
        assert!(SecretKey::read(folder.path()).is_err());
        assert!(SecretKey::read(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn weak_and_malformed_public_keys_are_refused() {
        let check = |text: &str| assert!(text.parse::<PublicKey>().is_err(), "{text}");
        check("");
        check(&"0".repeat(64));
        check(&format!("01{}", "0".repeat(62)));
        check(&"f".repeat(63));
        let key = SecretKey::of([7; 32]).public();
        assert_eq!(key.to_string().parse::<PublicKey>(), Ok(key));
    }
}
