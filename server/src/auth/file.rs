//! The keys file: its form, how it is read, and how it is replaced.
//!
//! Owns the TOML shape. Never keeps a secret: of each there is a hash, and a signing key that was derived from it if its
//! owner signs. Who reads the file can't send a secret, but can sign: so it is refused unless its owner alone can read
//! it. Invariant: a reader sees the file before an edit or after it, never half of one.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hexadecimal::to_hex;

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
/// What a signing key is derived over.
const SIGNING_CONTEXT: &[u8] = b"yue-hmac-sha256 v1";

/// Why a keys file is not used.
#[derive(Debug, thiserror::Error)]
#[error("the keys file {path}: {reason}")]
pub struct KeysError {
    path: String,
    reason: String,
}

impl KeysError {
    pub(crate) fn new(path: &Path, reason: impl fmt::Display) -> Self {
        Self { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysFile {
    /// `[[key]]`.
    #[serde(default, rename = "key")]
    pub(crate) keys: Vec<KeyEntry>,
}

/// One key.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyEntry {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) label: String,
    pub(crate) scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    /// Requests a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<u32>,
    /// Requests at once; as many as `rate` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<u32>,
    /// SHA-256 of client certificates, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) certificates: Vec<String>,
    /// `[[key.secret]]`, at most two.
    #[serde(default, rename = "secret")]
    pub(crate) secrets: Vec<SecretEntry>,
}

/// One secret of a key, as far as the server has to know it.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretEntry {
    /// SHA-256 of the secret.
    pub(crate) hash: String,
    /// What signatures are checked with; without it the secret only goes as a bearer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signing: Option<String>,
    /// RFC 3339: from then on it is worth nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<String>,
}

impl fmt::Debug for SecretEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretEntry").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// A secret as its owner gets it, once.
pub(crate) struct NewSecret {
    text: String,
}

impl NewSecret {
    pub(crate) fn random() -> Self {
        use base64::Engine as _;
        let bytes: [u8; SECRET_BYTES] = rand::random();
        Self { text: base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes) }
    }

    /// What follows `Bearer `.
    pub(crate) fn bearer(&self, id: &str) -> String {
        format!("{id}.{}", self.text)
    }

    /// What its owner signs with, in hexadecimal.
    pub(crate) fn signing_key(&self) -> String {
        to_hex(&signing_key(&self.text))
    }

    /// What the file has of it.
    pub(crate) fn entry(&self, signs: bool) -> SecretEntry {
        let signing = signs.then(|| self.signing_key());
        SecretEntry { hash: to_hex(&hash(&self.text)), signing, not_after: None }
    }
}

/// The hash that a secret is known by. A secret has 256 random bits: there is nothing to guess, and no need for a slow
/// hash.
pub(crate) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn signing_key(secret: &str) -> [u8; 32] {
    // A key of any length is a key.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(SIGNING_CONTEXT);
    mac.finalize().into_bytes().into()
}

impl KeysFile {
    /// Reads a file that nobody but its owner can read.
    ///
    /// # Errors
    /// It can't be read, is no regular file, others can read it, or it has another form.
    pub(crate) fn read(path: &Path) -> Result<Self, KeysError> {
        let refused = |reason: String| KeysError::new(path, reason);
        // A pipe would wait for who writes into it.
        let at_once = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(at_once).open(path);
        let file = file.map_err(|error| refused(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| refused(error.to_string()))?;
        if !metadata.is_file() {
            return Err(refused("it is no regular file".to_owned()));
        }
        let mode = metadata.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(refused(format!(
                "its mode is {:o}: others may read what signatures are checked with; chmod 600",
                mode & 0o777
            )));
        }
        let text = io::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        // The error's own text would quote the line, and with it perhaps a signing key.
        toml::from_str(&text).map_err(|error| refused(error.message().to_owned()))
    }

    /// Edits the file, which is made if it is missing, in one step; one edit at a time. A link stays one: what it leads to
    /// is edited, because a server may know that by its own name.
    ///
    /// # Errors
    /// It can't be read or written, or `edit` refuses.
    pub(crate) fn edit<T>(
        path: &Path,
        edit: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, KeysError> {
        let failed = |error: io::Error| KeysError::new(path, error);
        let path = &target(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(beside(path, ".lock"))
            .map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut file = if path.exists() { Self::read(path)? } else { Self::default() };
        let result = edit(&mut file).map_err(|reason| KeysError::new(path, reason))?;
        super::keys::Keys::new(&file, &super::keys::Keys::default())
            .map_err(|reason| KeysError::new(path, reason))?;
        let text = toml::to_string(&file).map_err(|error| KeysError::new(path, error))?;
        replace(path, text.as_bytes()).map_err(failed)?;
        Ok(result)
    }
}

/// What a name leads to, if it is there.
fn target(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(path.to_owned()),
        target => target,
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Puts other contents in a file's place, for its owner's eyes only: whole or not at all, also after a crash.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let secret = NewSecret::random();
        let entry = secret.entry(true);
        let shown = format!("{entry:?}");
        assert!(!shown.contains(&entry.hash) && !shown.contains(&secret.signing_key()), "{shown}");
    }

    #[test]
    fn a_file_is_replaced_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let add = |id: &str| {
            KeysFile::edit(&path, |file| {
                file.keys.push(KeyEntry { id: id.to_owned(), ..KeyEntry::default() });
                Ok(())
            })
        };
        add("one").unwrap();
        add("two").unwrap();
        assert!(add("two").unwrap_err().to_string().contains("twice"));
        assert!(KeysFile::edit(&path, |_| Err::<(), _>("no".to_owned())).is_err());
        assert_eq!(KeysFile::read(&path).unwrap().keys.len(), 2);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(KeysFile::read(&path).unwrap_err().to_string().contains("mode is 640"));
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg("-m600").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/null")] {
            let (said, heard) = std::sync::mpsc::channel();
            let owned = path.to_owned();
            // Who waits for a pipe waits for ever.
            std::thread::spawn(move || said.send(KeysFile::read(&owned).unwrap_err().to_string()));
            let error = heard.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
            assert!(error.ends_with("it is no regular file"), "{error}");
        }
    }

    #[test]
    fn an_unreadable_file_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        replace(&path, b"[[key]]\nid = 'a'\nscopes = []\n[[key.secret]]\nhash = 'deadbeef' x\n").unwrap();
        let error = KeysFile::read(&path).unwrap_err().to_string();
        assert!(!error.contains("deadbeef"), "{error}");
    }
}
