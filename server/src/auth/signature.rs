//! Signed requests: `YUE-HMAC-SHA256 key_id="…",ts="…",nonce="…",sig="…"`.
//!
//! Owns the header's grammar and the bytes that are signed. Never knows a key by its id. Invariant: method, path,
//! query, body, time and nonce are signed. Other headers are not: what they change is in docs/operations/security.md.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::hexadecimal::{from_hex, to_hex};

/// The scheme's name.
pub(crate) const SCHEME: &str = "YUE-HMAC-SHA256";
/// Characters of a nonce.
const NONCE_CHARS: std::ops::RangeInclusive<usize> = 8..=64;

/// What a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The request is one's own.
    Request,
    /// The request is another operator's, and is approved.
    Approval,
}

/// A signature as the header has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature<'a> {
    pub(crate) key_id: &'a str,
    /// Unix seconds.
    pub(crate) ts: i64,
    ts_text: &'a str,
    nonce: &'a str,
    sig: [u8; 32],
}

/// What is signed of a request beside time and nonce.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a str,
    /// With the query, as it was sent.
    pub(crate) path: &'a str,
    pub(crate) body_hash: [u8; 32],
}

impl<'a> Signature<'a> {
    /// Reads a header's value; `None` if it is of another form.
    pub(crate) fn parse(value: &'a str) -> Option<Self> {
        let (scheme, parameters) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let mut fields = [None; 4];
        for parameter in parameters.split(',') {
            let (name, value) = parameter.trim().split_once('=')?;
            let value = value.strip_prefix('"')?.strip_suffix('"')?;
            let index = ["key_id", "ts", "nonce", "sig"].iter().position(|known| *known == name)?;
            if fields.get_mut(index)?.replace(value).is_some() {
                return None;
            }
        }
        let [Some(key_id), Some(ts_text), Some(nonce), Some(sig)] = fields else { return None };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !NONCE_CHARS.contains(&nonce.len()) || !nonce.bytes().all(plain) {
            return None;
        }
        if ts_text.is_empty() || !ts_text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self { key_id, ts: ts_text.parse().ok()?, ts_text, nonce, sig: from_hex(sig)? })
    }

    /// What the nonce is known by, together with its key.
    pub(crate) fn nonce(&self) -> u128 {
        let digest =
            Sha256::new().chain_update(self.key_id).chain_update("\n").chain_update(self.nonce).finalize();
        digest.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes))
    }

    /// Whether it is that of a signing key. In constant time.
    pub(crate) fn is_of(&self, signing_key: &[u8; 32], purpose: Purpose, signed: &Signed<'_>) -> bool {
        let mac = mac(signing_key, purpose, signed, self.ts_text, self.nonce);
        mac.verify_slice(&self.sig).is_ok()
    }
}

fn mac(
    signing_key: &[u8; 32],
    purpose: Purpose,
    Signed { method, path, body_hash }: &Signed<'_>,
    ts: &str,
    nonce: &str,
) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(signing_key).expect("HMAC takes keys of any length");
    if purpose == Purpose::Approval {
        mac.update(b"APPROVAL\n");
    }
    for part in [*method, path, ts, nonce, &to_hex(body_hash)] {
        mac.update(part.as_bytes());
        mac.update(b"\n");
    }
    mac
}

/// The hash of a request without a body.
pub(crate) fn empty_hash() -> [u8; 32] {
    Sha256::digest([]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ts: &str, nonce: &str, sig: &str) -> String {
        format!("{SCHEME} key_id=\"a\",ts=\"{ts}\",nonce=\"{nonce}\",sig=\"{sig}\"")
    }

    #[test]
    fn the_header_is_read_strictly() {
        let sig = "0".repeat(64);
        let good = header("1750204800", "n-0123456", &sig);
        assert_eq!(Signature::parse(&good).unwrap().ts, 1_750_204_800);
        let spaced = good.replace(',', ", ");
        assert_eq!(Signature::parse(&spaced), Signature::parse(&good));
        for bad in [
            String::new(),
            SCHEME.to_owned(),
            good.replace(SCHEME, "Bearer"),
            good.replace("ts=", "at="),
            good.replace('"', ""),
            format!("{good},ts=\"1\""),
            format!("{good},x=\"1\""),
            header("-1", "n-0123456", &sig),
            header("+1", "n-0123456", &sig),
            header("", "n-0123456", &sig),
            header("99999999999999999999", "n-0123456", &sig),
            header("1", "short", &sig),
            header("1", "n 0123456", &sig),
            header("1", &"n".repeat(65), &sig),
            header("1", "n-0123456", "00"),
        ] {
            assert_eq!(Signature::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn each_part_is_signed() {
        let key = [7; 32];
        let signed = || Signed { method: "POST", path: "/v1/accounts?x=y", body_hash: empty_hash() };
        let sig = to_hex(&mac(&key, Purpose::Request, &signed(), "1", "n-0123456").finalize().into_bytes());
        let header = header("1", "n-0123456", &sig);
        let is_of = |header: &str, key: &[u8; 32], purpose, signed: &Signed<'_>| {
            Signature::parse(header).unwrap().is_of(key, purpose, signed)
        };
        assert!(is_of(&header, &key, Purpose::Request, &signed()));
        assert!(!is_of(&header, &[8; 32], Purpose::Request, &signed()));
        assert!(!is_of(&header, &key, Purpose::Approval, &signed()));
        assert!(!is_of(&header.replace("ts=\"1\"", "ts=\"2\""), &key, Purpose::Request, &signed()));
        assert!(!is_of(&header.replace("n-01", "n-02"), &key, Purpose::Request, &signed()));
        for other in [
            Signed { method: "PATCH", ..signed() },
            Signed { path: "/v1/accounts?x=z", ..signed() },
            Signed { path: "/v1/accounts", ..signed() },
            Signed { body_hash: [0; 32], ..signed() },
        ] {
            assert!(!is_of(&header, &key, Purpose::Request, &other), "{} {}", other.method, other.path);
        }
    }
}
