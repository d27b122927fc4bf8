//! Devices' public keys, and whether a signature is theirs.
//!
//! Owns the forms of keys and signatures that are taken. Never signs.

use ed25519_dalek::VerifyingKey as Ed25519Key;
use p256::{
    ecdsa::{Signature as EcdsaSignature, VerifyingKey as EcdsaKey, signature::Verifier as _},
    pkcs8::DecodePublicKey as _,
};
use serde::{Deserialize, Serialize};

/// How a device signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256, as WebAuthn's ES256.
    Es256,
}

impl KeyAlgorithm {
    /// The contract's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Es256 => "es256",
        }
    }

    /// Reads the contract's name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ed25519, Self::Es256].into_iter().find(|algorithm| algorithm.as_str() == text)
    }
}

/// A public key, in one form whichever it came in: 32 bytes of Ed25519, or a compressed point of P-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKey {
    algorithm: KeyAlgorithm,
    bytes: Box<[u8]>,
}

/// What precedes the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl DeviceKey {
    /// Reads a key: raw (Ed25519), SEC1 (P-256), or SubjectPublicKeyInfo in DER (both). `None` if it is none, or one
    /// whose signatures anybody can make.
    #[must_use]
    pub fn parse(algorithm: KeyAlgorithm, bytes: &[u8]) -> Option<Self> {
        let bytes = match algorithm {
            KeyAlgorithm::Ed25519 => {
                let key = ed25519(bytes.strip_prefix(&ED25519_SPKI).unwrap_or(bytes))?;
                key.as_bytes().as_slice().into()
            }
            KeyAlgorithm::Es256 => {
                let key = EcdsaKey::from_sec1_bytes(bytes).ok();
                let key = key.or_else(|| EcdsaKey::from_public_key_der(bytes).ok())?;
                key.to_sec1_point(true).as_bytes().into()
            }
        };
        Some(Self { algorithm, bytes })
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Whether a signature over a message is this key's. ES256: DER, or r and s of 32 bytes each.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            KeyAlgorithm::Ed25519 => {
                let signature = ed25519_dalek::Signature::from_slice(signature).ok();
                let verified = ed25519(&self.bytes).zip(signature);
                verified.is_some_and(|(key, signature)| key.verify_strict(message, &signature).is_ok())
            }
            KeyAlgorithm::Es256 => {
                let raw = EcdsaSignature::from_slice(signature).ok();
                let signature = raw.or_else(|| EcdsaSignature::from_der(signature).ok());
                let verified = EcdsaKey::from_sec1_bytes(&self.bytes).ok().zip(signature);
                verified.is_some_and(|(key, signature)| key.verify(message, &signature).is_ok())
            }
        }
    }
}

fn ed25519(bytes: &[u8]) -> Option<Ed25519Key> {
    Ed25519Key::from_bytes(bytes.try_into().ok()?).ok().filter(|key| !key.is_weak())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signer as _;
    use p256::{ecdsa::SigningKey, pkcs8::EncodePublicKey as _};

    use super::*;

    #[test]
    fn ed25519_keys_and_signatures() {
        let signing = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let raw = *signing.verifying_key().as_bytes();
        let key = DeviceKey::parse(KeyAlgorithm::Ed25519, &raw).unwrap();
        assert_eq!(
            DeviceKey::parse(KeyAlgorithm::Ed25519, &[&ED25519_SPKI[..], &raw].concat()),
            Some(key.clone())
        );
        let signature = signing.sign(b"message").to_bytes();
        assert!(key.signed(b"message", &signature));
        assert!(!key.signed(b"massage", &signature));
        assert!(!key.signed(b"message", &signature[1..]));
        let other = ed25519_dalek::SigningKey::from_bytes(&[8; 32]).sign(b"message").to_bytes();
        assert!(!key.signed(b"message", &other));
        // The neutral element "signs" everything.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        for wrong in [&neutral[..], &raw[1..], &[], &[0xff; 33]] {
            assert_eq!(DeviceKey::parse(KeyAlgorithm::Ed25519, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn es256_keys_and_signatures() {
        let signing = SigningKey::from_slice(&[7; 32]).unwrap();
        let verifying = *signing.verifying_key();
        let [whole, compressed] = [false, true].map(|compress| verifying.to_sec1_point(compress));
        let key = DeviceKey::parse(KeyAlgorithm::Es256, whole.as_bytes()).unwrap();
        assert_eq!(DeviceKey::parse(KeyAlgorithm::Es256, compressed.as_bytes()), Some(key.clone()));
        let der = verifying.to_public_key_der().unwrap();
        assert_eq!(DeviceKey::parse(KeyAlgorithm::Es256, der.as_bytes()), Some(key.clone()));
        let signature: EcdsaSignature = signing.sign(b"message");
        for form in [signature.to_bytes().to_vec(), signature.to_der().as_bytes().to_vec()] {
            assert!(key.signed(b"message", &form));
            assert!(!key.signed(b"massage", &form));
            assert!(!key.signed(b"message", &form[1..]));
        }
        assert!(!key.signed(b"message", &[0; 64]));
        let other: EcdsaSignature = SigningKey::from_slice(&[8; 32]).unwrap().sign(b"message");
        assert!(!key.signed(b"message", &other.to_bytes()));
        for wrong in [&whole.as_bytes()[1..], &[], &[4; 65]] {
            assert_eq!(DeviceKey::parse(KeyAlgorithm::Es256, wrong), None, "{wrong:?}");
        }
    }
}
