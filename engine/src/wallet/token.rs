//! Payment tokens: what a right password yields, so that a payment needs no password hash.
//!
//! Owns the token's form. Never stores one: it carries its own terms, and a MAC over them, the user and the password's
//! epoch. Used up by the first transaction that takes its alias.
//!
//! Form, base64url without padding: version (1 byte), expiry in nanoseconds (8), most fen (8), nonce (16), HMAC-SHA256
//! (32) over all of it, the password's epoch (8) and the user's name; numbers are big-endian.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{
    Part, Wallet, WalletError, auth::Demand, document::Held, hashing::Password, names, password::PasswordCell,
};
use crate::{
    fatal::fatal,
    model::{Amount, Timestamp, TransactionId},
};

/// A token and its end.
#[derive(Clone)]
pub struct PaymentToken {
    /// What the payment carries.
    pub token: String,
    /// It pays before this.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for PaymentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 16;
const MAC_BYTES: usize = 32;

/// What a token says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    expires_at: Timestamp,
    max_amount: Amount,
    nonce: [u8; NONCE_BYTES],
}

impl Terms {
    const BYTES: usize = 1 + 8 + 8 + NONCE_BYTES;

    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::BYTES + MAC_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.expires_at.0.to_be_bytes());
        bytes.extend_from_slice(&self.max_amount.0.to_be_bytes());
        bytes.extend_from_slice(&self.nonce);
        bytes
    }

    fn read(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (expires_at, rest) = rest.split_first_chunk::<8>()?;
        let (max_amount, nonce) = rest.split_first_chunk::<8>()?;
        Some(Self {
            expires_at: Timestamp(i64::from_be_bytes(*expires_at)),
            max_amount: Amount(u64::from_be_bytes(*max_amount)),
            nonce: nonce.try_into().ok()?,
        })
    }
}

fn mac(key: &[u8], terms: &[u8], user: &Part, epoch: u64) -> Hmac<Sha256> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { fatal(&"HMAC takes keys of any length") };
    mac.update(terms);
    mac.update(&epoch.to_be_bytes());
    // The last part, and the only one of variable length.
    mac.update(user.as_str().as_bytes());
    mac
}

impl Wallet {
    /// Gives a payment token for a right password.
    ///
    /// # Errors
    /// `password_wrong`, `password_locked`, `password_invalid` if none is set; no such wallet; overload.
    pub async fn create_token(
        &self,
        user: &Part,
        password: Password,
        max_amount: Amount,
        expires_in: u32,
    ) -> Result<PaymentToken, WalletError> {
        self.own_user(user)?;
        let epoch = self.check_password(user, password).await?;
        let expires_at = self.engine().now().plus_seconds(expires_in.min(self.settings().token_s_max));
        let terms = Terms { expires_at, max_amount, nonce: rand::random() };
        let mut bytes = terms.write();
        let tag = mac(&self.secrets().token_key, &bytes, user, epoch).finalize();
        bytes.extend_from_slice(&tag.into_bytes());
        Ok(PaymentToken { token: URL_SAFE_NO_PAD.encode(bytes), expires_at })
    }

    /// The alias that a payment takes with this token, if the token is good for it; it may be used up.
    pub(super) fn token_alias(&self, demand: &Demand<'_>, token: &str) -> Option<TransactionId> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (head, tag) = bytes.split_first_chunk()?;
        let terms = Terms::read(head)?;
        let password: Held<PasswordCell> = self.cell(names::customer(demand.user));
        let expected = mac(&self.secrets().token_key, head, demand.user, password.content.epoch);
        // In constant time; another length is wrong too.
        expected.verify_slice(tag).ok()?;
        let fits = demand.amount <= terms.max_amount && self.engine().now() < terms.expires_at;
        fits.then(|| names::derive("token", &bytes, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_as_written() {
        let terms =
            Terms { expires_at: Timestamp(-5), max_amount: Amount(u64::MAX), nonce: [7; NONCE_BYTES] };
        let bytes: [u8; Terms::BYTES] = terms.write().try_into().unwrap();
        assert_eq!(Terms::read(&bytes), Some(terms));
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(Terms::read(&newer), None);
    }

    #[test]
    fn a_mac_is_of_key_terms_user_and_epoch() {
        let user = |text| Part::parse(text).unwrap();
        let tag = |key: &[u8], terms: &[u8], name, epoch| {
            mac(key, terms, &user(name), epoch).finalize().into_bytes()
        };
        let one = tag(b"key", b"terms", "alice", 1);
        assert_eq!(one, tag(b"key", b"terms", "alice", 1));
        for other in [
            tag(b"kez", b"terms", "alice", 1),
            tag(b"key", b"termt", "alice", 1),
            tag(b"key", b"terms", "alicf", 1),
            tag(b"key", b"terms", "alice", 2),
        ] {
            assert_ne!(one, other);
        }
    }
}
