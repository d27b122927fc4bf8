//! A signed head: the bytes that are signed, and its line.
//!
//! Owns both forms (`docs/formats.md`). Invariant: a head that reads has one line, byte for byte, and its key has signed
//! it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::{
    journal::{Checkpoint, Hash},
    model::{Position, Timestamp},
};

use super::{PublicKey, SecretKey};
use crate::{
    hexadecimal::{from_hex, to_hex},
    query::parse_timestamp,
};

/// The first line of what is signed, so that nothing that the key signs can be taken for anything else.
const DOMAIN: &str = "yue-head-v1";

/// Where the journal ended once, as the owner of a key says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedHead {
    /// When it was signed.
    pub(crate) at: Timestamp,
    pub(crate) head: Checkpoint,
    pub(crate) key: PublicKey,
    signature: [u8; 64],
}

/// Why a line is no signed head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    #[error("it is no signed head, or not as one is written")]
    Form,
    #[error("another key has signed it")]
    Key,
    #[error("the signature is wrong: it was edited, or made by another key")]
    Signature,
}

impl SignedHead {
    /// More than the longest line has.
    pub(super) const LINE_BYTES_MAX: u64 = 1_024;
    /// How each line begins.
    pub(super) const LINE_BEGIN: &[u8] = b"{\"at\":\"";

    pub(super) fn new(head: Checkpoint, at: Timestamp, key: &SecretKey) -> Self {
        let signature = key.sign(&message(head, at));
        Self { at, head, key: key.public(), signature }
    }

    /// The line, without its end.
    pub(super) fn line(&self) -> Vec<u8> {
        // The shape has no fallible parts.
        serde_json::to_vec(&HeadOut::from(self)).unwrap_or_default()
    }

    /// Reads a line, without its end, that a key has signed.
    pub(super) fn read(line: &[u8], key: PublicKey) -> Result<Self, LineError> {
        let shape: HeadOut = serde_json::from_slice(line).map_err(|_| LineError::Form)?;
        let fields = || {
            Some(Self {
                at: parse_timestamp(&shape.at)?,
                head: Checkpoint { position: Position(shape.position), hash: Hash(from_hex(&shape.hash)?) },
                key: shape.public_key.parse().ok()?,
                signature: from_hex(&shape.signature)?,
            })
        };
        let head = fields().ok_or(LineError::Form)?;
        if head.line() != line {
            return Err(LineError::Form);
        }
        if head.key != key {
            return Err(LineError::Key);
        }
        if !key.signed(&message(head.head, head.at), &head.signature) {
            return Err(LineError::Signature);
        }
        Ok(head)
    }
}

/// What is signed: four lines, each with its line feed.
fn message(head: Checkpoint, at: Timestamp) -> Vec<u8> {
    format!("{DOMAIN}\n{at}\n{}\n{}\n", head.position, to_hex(&head.hash.0)).into_bytes()
}

/// A signed head. The signature is Ed25519 over four lines, each with its line feed: `yue-head-v1`, `at`, `position`,
/// `hash`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignedHead)]
pub(crate) struct HeadOut {
    /// When it was signed.
    #[schema(format = DateTime, example = "2026-06-18T00:00:00.000000000Z")]
    at: String,
    /// The journal's end then.
    #[schema(example = 17)]
    position: u64,
    /// Its hash, in hexadecimal.
    #[schema(min_length = 64, max_length = 64)]
    hash: String,
    /// The key's public half, in hexadecimal. Do not take it from here: ask whoever made the key.
    #[schema(min_length = 64, max_length = 64)]
    public_key: String,
    /// The signature, in hexadecimal.
    #[schema(min_length = 128, max_length = 128)]
    signature: String,
}

impl From<&SignedHead> for HeadOut {
    fn from(SignedHead { at, head, key, signature }: &SignedHead) -> Self {
        Self {
            at: at.to_string(),
            position: head.position.0,
            hash: to_hex(&head.hash.0),
            public_key: key.to_string(),
            signature: to_hex(signature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> SignedHead {
        let head = Checkpoint { position: Position(17), hash: Hash([0xab; 32]) };
        SignedHead::new(head, Timestamp(1_750_176_000_000_000_001), &SecretKey::of([7; 32]))
    }

    /// What others compute: the form never changes under its name.
    #[test]
    fn the_signed_bytes_and_the_line_are_these() {
        let head = head();
        let hash = "ab".repeat(32);
        assert_eq!(
            String::from_utf8(message(head.head, head.at)).unwrap(),
            format!("yue-head-v1\n2025-06-17T16:00:00.000000001Z\n17\n{hash}\n")
        );
        // As `openssl pkeyutl -sign -rawin` gives them.
        let key = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";
        let signature = "c2e6c10db99b8427e4a07dfee57e2d36f65b68f79e5bc80d95929a5625f40351\
             0af8e38bae4df8ffcd6cf058cc97a244dba470c758f676c06da0c598e6b49004";
        assert_eq!(
            String::from_utf8(head.line()).unwrap(),
            format!(
                r#"{{"at":"2025-06-17T16:00:00.000000001Z","position":17,"hash":"{hash}","public_key":"{key}","signature":"{signature}"}}"#
            )
        );
        assert!(head.line().starts_with(SignedHead::LINE_BEGIN));
    }

    #[test]
    fn a_line_reads_as_it_was_written_and_in_no_other_form() {
        let head = head();
        let line = head.line();
        assert_eq!(SignedHead::read(&line, head.key), Ok(head));
        assert_eq!(SignedHead::read(&line, SecretKey::of([8; 32]).public()), Err(LineError::Key));
        for byte in 0..line.len() {
            for bit in 0..8 {
                let mut edited = line.clone();
                edited[byte] ^= 1 << bit;
                assert!(SignedHead::read(&edited, head.key).is_err(), "byte {byte}, bit {bit}");
            }
            assert!(SignedHead::read(&line[..byte], head.key).is_err(), "{byte} bytes");
        }
        let check = |from: &str, to: &str, error: LineError| {
            let edited = String::from_utf8(line.clone()).unwrap().replacen(from, to, 1);
            assert_eq!(SignedHead::read(edited.as_bytes(), head.key), Err(error), "{edited}");
        };
        check("\"position\":17", "\"position\":18", LineError::Signature);
        check("000000001Z", "000000002Z", LineError::Signature);
        check("abab", "abac", LineError::Signature);
        check("abab", "ABab", LineError::Form);
        check("000000001Z", "000000001+00:00", LineError::Form);
        check("{", "{ ", LineError::Form);
        check("}", ",\"more\":1}", LineError::Form);
    }
}
