//! One who has a key and signs with it, as the documentation says.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// One who has a key.
pub(crate) struct Signer {
    id: String,
    pub(crate) bearer: String,
    signing: Vec<u8>,
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Signer {
    /// Of what `yue keys add` has printed.
    pub(crate) fn read(printed: &str) -> Self {
        let field = |name: &str| {
            let found = printed.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("{printed}")).trim().to_owned()
        };
        let signing = field("signing");
        let byte = |index: usize| u8::from_str_radix(&signing[index..index + 2], 16).unwrap();
        let signing = (0..signing.len()).step_by(2).map(byte).collect();
        Self { id: field("key"), bearer: field("bearer"), signing }
    }

    pub(crate) fn nonce() -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("nonce-{:012}", NEXT.fetch_add(1, Relaxed))
    }

    pub(crate) fn sign(&self, method: &str, path: &str, body: &str) -> String {
        self.sign_at(method, path, body, now_s(), &Self::nonce())
    }

    pub(crate) fn sign_at(&self, method: &str, path: &str, body: &str, ts: u64, nonce: &str) -> String {
        let hash = hex(&Sha256::digest(body));
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.signing).unwrap();
        mac.update(format!("{method}\n{path}\n{ts}\n{nonce}\n{hash}\n").as_bytes());
        let sig = hex(&mac.finalize().into_bytes());
        format!("YUE-HMAC-SHA256 key_id=\"{}\",ts=\"{ts}\",nonce=\"{nonce}\",sig=\"{sig}\"", self.id)
    }
}
