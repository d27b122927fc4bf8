//! Who speaks for a channel: the signature of its notifications.
//!
//! Owns the signature's form: HMAC-SHA256 with the channel's key over the seconds, a line feed and the body, and a
//! header of `ts=` the seconds and `sig=` the lower-case hexadecimal code. Never reads the body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Channel, Wallet, WalletCode, WalletError};
use crate::model::Timestamp;

/// Signs a notification as a channel does: the value of the header.
#[must_use]
pub fn sign_notification(key: &[u8], unix_seconds: u64, body: &[u8]) -> String {
    let seconds = unix_seconds.to_string();
    let code = code(key, &seconds, body).map_or_else(Default::default, |code| code.finalize().into_bytes());
    let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("ts={seconds},sig={hex}")
}

fn code(key: &[u8], seconds: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    // A key of any length is taken.
    let mut code = Hmac::<Sha256>::new_from_slice(key).ok()?;
    code.update(seconds.as_bytes());
    code.update(b"\n");
    code.update(body);
    Some(code)
}

impl Wallet {
    /// Checks a notification's signature, as its header says it, over the body as it came.
    ///
    /// # Errors
    /// `signature_invalid`: it is missing, of another form, wrong, too old or too new, or the channel has no key.
    pub fn check_notification(
        &self,
        channel: Channel,
        header: Option<&str>,
        body: &[u8],
    ) -> Result<(), WalletError> {
        let key = self.secrets().channel_keys.iter().find(|(of, _)| *of == channel).map(|(_, key)| key);
        let genuine = match (key, header.and_then(parse)) {
            (Some(key), Some((seconds, signature))) if self.is_fresh(seconds) => code(key, seconds, body)
                // In constant time.
                .is_some_and(|code| code.verify_slice(&signature).is_ok()),
            _ => false,
        };
        if genuine { Ok(()) } else { Err(WalletError::refused(WalletCode::SignatureInvalid)) }
    }

    fn is_fresh(&self, seconds: &str) -> bool {
        let now = self.engine().now().0.div_euclid(Timestamp::NANOS_PER_SECOND);
        seconds.parse::<i64>().is_ok_and(|at| at.abs_diff(now) <= self.settings().signature_skew_s)
    }
}

/// The seconds as they were signed, and the code.
fn parse(header: &str) -> Option<(&str, [u8; 32])> {
    let (seconds, hex) = header.strip_prefix("ts=")?.split_once(",sig=")?;
    let digits = (1..=12).contains(&seconds.len()) && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let mut code = [0; 32];
    if !digits || hex.len() != 2 * code.len() {
        return None;
    }
    for (byte, pair) in code.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let digit = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | digit;
        }
    }
    Some((seconds, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_other_implementations() {
        // printf '1750176000\n{"a":1}' | openssl dgst -sha256 -hmac 'key of wechat'
        assert_eq!(
            sign_notification(b"key of wechat", 1_750_176_000, br#"{"a":1}"#),
            "ts=1750176000,sig=c6f2a1b8b3ae26e555d97baf7c1fb4fa8b9cd27b514e2cc539c909ba05701dc8"
        );
    }

    #[test]
    fn a_header_has_one_form() {
        let hex = "0123456789abcdef".repeat(4);
        let good = format!("ts=17,sig={hex}");
        let (seconds, code) = parse(&good).unwrap();
        assert_eq!((seconds, code[0], code[7], code[31]), ("17", 0x01, 0xef, 0xef));
        for wrong in [
            String::new(),
            format!("sig={hex},ts=17"),
            format!("ts=17, sig={hex}"),
            format!("ts=-17,sig={hex}"),
            format!("ts=,sig={hex}"),
            format!("ts=17,sig={hex}0"),
            format!("ts=17,sig={}", hex.to_uppercase()),
            format!("ts=17,sig={hex},x=1"),
            format!("ts=1234567890123,sig={hex}"),
            "ts=17,sig=".to_owned(),
            "ts=17".to_owned(),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
