//! Devices that may spend from a wallet.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use yue_engine::wallet::{AddedDevice, DeviceView, KeyAlgorithm};

use super::{auth::Base64, password::PasswordText};
use crate::{
    json::{FromText, Text},
    wire::texts::Label,
};

impl FromText for KeyAlgorithm {
    const EXPECTED: &'static str = "ed25519 or es256";

    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

/// How a device signs.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) enum DeviceAlgorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

/// A request to register a device.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeviceRegistration)]
pub(crate) struct DeviceIn {
    /// The payment password.
    #[schema(value_type = String, pattern = "^[0-9]{6}$", example = "283904")]
    pub(crate) password: Text<PasswordText>,
    /// The owner's name for it.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "phone")]
    pub(crate) name: Text<Label<64>>,
    /// How it signs.
    #[schema(value_type = DeviceAlgorithm, example = "ed25519")]
    pub(crate) algorithm: Text<KeyAlgorithm>,
    /// Base64 of the key: 32 bytes (`ed25519`), a point in SEC1 form (`es256`), or SubjectPublicKeyInfo in DER (both).
    #[schema(value_type = String)]
    pub(crate) public_key: Text<Base64>,
}

/// A device that was registered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RegisteredDevice)]
pub(crate) struct AddedOut {
    /// Its id, for `auth` and for revoking it.
    #[schema(format = "uuid")]
    device: String,
}

impl AddedOut {
    /// The shape of a registration.
    pub(crate) fn new(added: AddedDevice) -> Self {
        Self { device: added.device }
    }
}

/// A device of a wallet.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Device)]
pub(crate) struct DeviceOut {
    /// Its id.
    #[schema(format = "uuid")]
    device: String,
    /// The owner's name for it.
    #[schema(example = "phone")]
    name: String,
    /// How it signs.
    #[schema(value_type = DeviceAlgorithm)]
    algorithm: &'static str,
    /// The highest counter that it has used; the next one is above.
    counter: u64,
}

impl DeviceOut {
    /// The shape of a device.
    pub(crate) fn new(view: &DeviceView) -> Self {
        let DeviceView { device, name, key, counter } = view;
        let algorithm = key.algorithm().as_str();
        Self { device: device.clone(), name: name.clone(), algorithm, counter: *counter }
    }
}
