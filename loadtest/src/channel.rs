//! The channels that take users' money in, as the harness plays them.
//!
//! Owns: their names, their keys, and the signature of a notification. Never sends. The keys are those of the server:
//! `YUE_CHANNEL_KEY_WECHAT`, `_ALIPAY`, `_ECNY`, `_BANK_CARD`.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The header of a notification's signature.
pub(crate) const SIGNATURE_HEADER: &str = "Yue-Channel-Signature";

/// An outside party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Wechat,
    Alipay,
    BankCard,
    Ecny,
}

impl Channel {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Wechat, Self::Alipay, Self::BankCard, Self::Ecny];

    /// The contract's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wechat => "wechat",
            Self::Alipay => "alipay",
            Self::BankCard => "bank-card",
            Self::Ecny => "ecny",
        }
    }

    /// Its place in `ALL`.
    pub(crate) fn index(self) -> u32 {
        match self {
            Self::Wechat => 0,
            Self::Alipay => 1,
            Self::BankCard => 2,
            Self::Ecny => 3,
        }
    }

    /// One of them, by any number.
    pub(crate) fn drawn(draw: u32) -> Self {
        match draw % 4 {
            0 => Self::Wechat,
            1 => Self::Alipay,
            2 => Self::BankCard,
            _ => Self::Ecny,
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Wechat => "YUE_CHANNEL_KEY_WECHAT",
            Self::Alipay => "YUE_CHANNEL_KEY_ALIPAY",
            Self::BankCard => "YUE_CHANNEL_KEY_BANK_CARD",
            Self::Ecny => "YUE_CHANNEL_KEY_ECNY",
        }
    }
}

/// The key of each channel, in the order of `Channel::ALL`.
#[derive(Clone)]
pub(crate) struct Keys([Vec<u8>; 4]);

impl Keys {
    /// From the environment; the error names the variable that is missing.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let mut keys = [const { Vec::new() }; 4];
        for (slot, channel) in keys.iter_mut().zip(Channel::ALL) {
            let name = channel.variable();
            let key = std::env::var(name).ok().filter(|key| !key.is_empty());
            *slot =
                key.ok_or_else(|| format!("{name} is not set: the server's own key of the channel"))?.into();
        }
        Ok(Self(keys))
    }

    /// One key for all of them.
    pub(crate) fn all(key: &[u8]) -> Self {
        Self(std::array::from_fn(|_| key.to_vec()))
    }

    /// The signature header's value for a body, as of `unix_seconds`.
    pub(crate) fn sign(&self, channel: Channel, unix_seconds: u64, body: &[u8]) -> String {
        let key = self.0.get(channel.index() as usize).map(Vec::as_slice).unwrap_or_default();
        let mut header = format!("ts={unix_seconds},sig=");
        // A key of any length is taken.
        if let Ok(mut code) = Hmac::<Sha256>::new_from_slice(key) {
            code.update(unix_seconds.to_string().as_bytes());
            code.update(b"\n");
            code.update(body);
            for byte in code.finalize().into_bytes() {
                let _infallible = write!(header, "{byte:02x}");
            }
        }
        header
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Keys for tests.
    pub(crate) fn keys() -> Keys {
        Keys([b"key of wechat".to_vec(), b"a".to_vec(), b"b".to_vec(), b"c".to_vec()])
    }

    #[test]
    fn the_signature_is_that_of_other_implementations() {
        // printf '1750176000\n{"a":1}' | openssl dgst -sha256 -hmac 'key of wechat'
        assert_eq!(
            keys().sign(Channel::Wechat, 1_750_176_000, br#"{"a":1}"#),
            "ts=1750176000,sig=c6f2a1b8b3ae26e555d97baf7c1fb4fa8b9cd27b514e2cc539c909ba05701dc8"
        );
    }

    #[test]
    fn a_number_draws_a_channel() {
        for channel in Channel::ALL {
            assert_eq!(Channel::drawn(channel.index()), channel);
        }
    }
}
