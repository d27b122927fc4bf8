//! What nobody else may know: the pepper, the key of payment tokens, the channels' keys.
//!
//! Owns where they come from. Never logs them. Without a file of its own a data directory gets one, readable by its
//! owner only; it belongs into the backup, apart from the data.

use std::{
    fs::OpenOptions,
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use yue_engine::wallet::{Channel, Secrets};

/// The file's name in a data directory.
pub(crate) const FILE: &str = "wallet.secret";
/// Pepper, then token key.
const BYTES: usize = 64;

/// Reads the secrets; makes the file if it is missing.
///
/// # Errors
/// The file can't be read or made, or has another length.
pub(crate) fn load(path: &Path) -> io::Result<Secrets> {
    let mut bytes = [0; BYTES];
    match OpenOptions::new().read(true).open(path) {
        Ok(mut file) => {
            let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("a secret has {BYTES} bytes"));
            file.read_exact(&mut bytes).map_err(|_| wrong())?;
            if file.read(&mut [0])? > 0 {
                return Err(wrong());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            rand::fill(&mut bytes);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
        }
        Err(error) => return Err(error),
    }
    let (pepper, token_key) = bytes.split_at(BYTES / 2);
    let half = |bytes: &[u8]| <[u8; BYTES / 2]>::try_from(bytes).map_err(io::Error::other);
    Ok(Secrets { pepper: half(pepper)?, token_key: half(token_key)?, channel_keys: channel_keys() })
}

/// The keys of the environment: `YUE_CHANNEL_KEY_WECHAT` and so on.
pub(crate) fn channel_keys() -> Vec<(Channel, Vec<u8>)> {
    let key = |channel: Channel| {
        let name = format!("YUE_CHANNEL_KEY_{}", channel.as_str().to_uppercase().replace('-', "_"));
        let key = std::env::var(name).ok().filter(|key| !key.is_empty())?;
        Some((channel, key.into_bytes()))
    };
    Channel::ALL.into_iter().filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let made = load(&path).unwrap();
        let read = load(&path).unwrap();
        assert_eq!((made.pepper, made.token_key), (read.pepper, read.token_key));
        assert_ne!(made.pepper, made.token_key);
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, [1; 65]).unwrap();
        assert!(load(&path).is_err());
        std::fs::write(&path, [1; 63]).unwrap();
        assert!(load(&path).is_err());
    }
}
