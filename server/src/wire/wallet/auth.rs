//! What a caller shows to spend from a wallet.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Deserializer, de};
use utoipa::ToSchema;
use yue_engine::wallet::Auth;

use crate::json::{FromText, Object, Text};

/// An authorisation as read.
pub(crate) struct AuthIn(pub(crate) Auth);

impl<'de> Deserialize<'de> for AuthIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Object(fields) = Object::<Fields>::deserialize(deserializer)?;
        fields.into_auth().map(Self)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Token,
    Device,
    Small,
}

impl FromText for Kind {
    const EXPECTED: &'static str = "token, device or small";

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "token" => Some(Self::Token),
            "device" => Some(Self::Device),
            "small" => Some(Self::Small),
            _ => None,
        }
    }
}

/// A short text that somebody was given before.
pub(crate) struct Given(pub(crate) String);

impl Given {
    const BYTES_MAX: usize = 256;
}

impl FromText for Given {
    const EXPECTED: &'static str = "a text of 1 to 256 bytes";

    fn from_text(text: &str) -> Option<Self> {
        (1..=Self::BYTES_MAX).contains(&text.len()).then(|| Self(text.into()))
    }
}

/// Bytes as base64 of either alphabet, padded or not.
pub(crate) struct Base64(pub(crate) Vec<u8>);

impl Base64 {
    const BYTES_MAX: usize = 1024;
}

impl FromText for Base64 {
    const EXPECTED: &'static str = "1 to 1,024 bytes as base64";

    fn from_text(text: &str) -> Option<Self> {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let alphabet = if text.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
        let bytes = GeneralPurpose::new(&alphabet, config).decode(text).ok()?;
        (1..=Self::BYTES_MAX).contains(&bytes.len()).then_some(Self(bytes))
    }
}

/// The fields of all types together: the type may be the last key, and a tagged enum would buffer all before it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    r#type: Text<Kind>,
    token: Option<Text<Given>>,
    device: Option<Text<Given>>,
    counter: Option<u64>,
    signature: Option<Text<Base64>>,
}

impl Fields {
    fn into_auth<E: de::Error>(self) -> Result<Auth, E> {
        let Self { r#type: Text(kind), token, device, counter, signature } = self;
        let given = [
            ("token", token.is_some()),
            ("device", device.is_some()),
            ("counter", counter.is_some()),
            ("signature", signature.is_some()),
        ];
        let known = kind.fields();
        if let Some((stranger, _)) = given.into_iter().find(|(name, given)| *given && !known.contains(name)) {
            return Err(E::unknown_field(stranger, known));
        }
        Ok(match kind {
            Kind::Token => Auth::Token(required(token, "token")?.0.0),
            Kind::Device => Auth::Device {
                device: required(device, "device")?.0.0,
                counter: required(counter, "counter")?,
                signature: required(signature, "signature")?.0.0,
            },
            Kind::Small => Auth::Small,
        })
    }
}

fn required<T, E: de::Error>(field: Option<T>, name: &'static str) -> Result<T, E> {
    field.ok_or_else(|| E::missing_field(name))
}

impl Kind {
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Token => &["type", "token"],
            Self::Device => &["type", "device", "counter", "signature"],
            Self::Small => &["type"],
        }
    }
}

/// What a caller shows to spend. Not part of the body that a repetition is compared with, and never stored.
#[derive(ToSchema)]
#[schema(as = Auth)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "for the OpenAPI document; the reader is `Fields`")]
pub(crate) enum AuthSchema {
    /// A payment token, which the payment password yields; it is used up by the first id that it pays.
    #[schema(title = "AuthToken")]
    Token {
        /// As it was given out.
        #[schema(min_length = 1, max_length = 256)]
        token: String,
    },
    /// A registered device's signature over `verb\nid\nuser\nmerchant-or-to\namount\ncounter\n`: the verb `payment` or
    /// `transfer`, the id in lower case, the amount with two decimals.
    #[schema(title = "AuthDevice")]
    Device {
        /// As it was given out.
        #[schema(min_length = 1, max_length = 256)]
        device: String,
        /// Higher than each one that the device has used.
        #[schema(minimum = 1, example = 1)]
        counter: u64,
        /// Base64. ES256: DER, or r and s of 32 bytes each.
        signature: String,
    },
    /// The owner's leave for small amounts.
    #[schema(title = "AuthSmall")]
    Small {},
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn an_authorisation_has_the_fields_of_its_type() {
        let check = |body: &str, field: Option<&str>| {
            let read = parse::<AuthIn>(body.as_bytes());
            let found = read.err().map(|problem| problem.field_pointer().unwrap_or_default().to_owned());
            assert_eq!(found.as_deref(), field, "{body}");
        };
        check(r#"{"type":"small"}"#, None);
        check(r#"{"token":"x","type":"token"}"#, None);
        check(r#"{"type":"device","device":"d","counter":18446744073709551615,"signature":"AA=="}"#, None);
        check(r#"{"type":"device","device":"d","counter":1,"signature":"_-8"}"#, None);
        check(r#"{"type":"small","token":"x"}"#, Some("/token"));
        check(r#"{"type":"token"}"#, Some("/token"));
        check(r#"{"type":"token","token":""}"#, Some("/token"));
        check(r#"{"type":"token","token":"x","counter":1}"#, Some("/counter"));
        check(r#"{"type":"device","device":"d","counter":1.0,"signature":"AA=="}"#, Some("/counter"));
        check(r#"{"type":"device","device":"d","counter":-1,"signature":"AA=="}"#, Some("/counter"));
        check(r#"{"type":"device","device":"d","counter":1,"signature":"?"}"#, Some("/signature"));
        check(r#"{"type":"device","device":"d","counter":1}"#, Some("/signature"));
        check(r#"{"type":"password"}"#, Some("/type"));
        check(r#"{"token":"x"}"#, Some("/type"));
        check(r#"["small"]"#, Some(""));
        check("null", Some(""));
    }
}
