//! Devices that may spend from a wallet: registering, revoking, their signatures.
//!
//! Owns the devices' cell. Never takes a counter twice: the counter that a payment uses is written with the payment.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::document::Form;
#[cfg(test)]
use super::fixture::{ID, part};
use super::{
    Part, Wallet, WalletCode, WalletError,
    auth::Demand,
    device_key::DeviceKey,
    document::{CellContent, Document, Held},
    hashing::Password,
    names,
    step::Draft,
};
use crate::model::{Address, CellKind, CellWrite, RejectionCode, TransactionId, format_units};

/// A device of a wallet.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Device {
    id: u128,
    name: String,
    key: DeviceKey,
    /// The highest one that it has used.
    counter: u64,
}

/// All devices of a wallet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Devices(Vec<Device>);

impl CellContent for Devices {
    const KIND: CellKind = CellKind(3);
}

/// The record of a write to the devices' cell that pays nothing.
#[derive(Serialize, Deserialize)]
struct DevicesWritten {
    user: Part,
    device: u128,
    added: bool,
}

impl Document for DevicesWritten {
    const TAG: u8 = 11;
}

/// A device as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Its id in the wallet.
    pub device: String,
    /// Its owner's name for it.
    pub name: String,
    /// Its key.
    pub key: DeviceKey,
    /// The highest counter that it has used.
    pub counter: u64,
}

/// What came of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedDevice {
    /// Its id in the wallet.
    pub device: String,
    /// Whether this call registered it.
    pub added: bool,
}

impl Devices {
    pub(super) fn view(&self) -> Vec<DeviceView> {
        let view = |device: &Device| DeviceView {
            device: TransactionId(device.id).to_string(),
            name: device.name.clone(),
            key: device.key.clone(),
            counter: device.counter,
        };
        self.0.iter().map(view).collect()
    }
}

impl Wallet {
    /// Registers a device's key. A key that is registered already keeps its device.
    ///
    /// # Errors
    /// `password_wrong`, `password_locked`, `password_invalid` if none is set; `limit_exceeded` for one device too many;
    /// the key is another device's; no such wallet; overload.
    pub async fn add_device(
        &self,
        user: &Part,
        password: Password,
        name: &str,
        key: &DeviceKey,
    ) -> Result<AddedDevice, WalletError> {
        self.own_user(user)?;
        self.check_password(user, password).await?;
        for _ in 0..Self::TRIES_MAX {
            let mut devices: Held<Devices> = self.cell(names::customer(user));
            if let Some(device) = devices.content.0.iter().find(|device| device.key == *key) {
                if device.name != name {
                    return Err(WalletError::field(WalletCode::AccountExists, "/name"));
                }
                return Ok(AddedDevice { device: TransactionId(device.id).to_string(), added: false });
            }
            if devices.content.0.len() >= self.settings().devices_max {
                return Err(WalletError::detailed(
                    WalletCode::Ledger(RejectionCode::LimitExceeded),
                    "the wallet has as many devices as it may have",
                ));
            }
            // The revision makes it this registration's own, also if the key was revoked before.
            let id = names::derive_revision("device", user, devices.revision());
            let (name, key) = (name.to_owned(), key.clone());
            devices.content.0.push(Device { id: id.0, name, key, counter: 0 });
            let document = DevicesWritten { user: user.clone(), device: id.0, added: true };
            let mut draft = Draft::new(id, document);
            draft.write(&devices);
            if self.submit(draft).await?.is_some_and(|settled| !settled.replayed) {
                return Ok(AddedDevice { device: id.to_string(), added: true });
            }
        }
        Err(Self::overtaken())
    }

    /// Revokes a device: what it has signed and not used is void. Again is no error.
    ///
    /// # Errors
    /// No such wallet or device; overload.
    pub async fn revoke_device(&self, user: &Part, device: TransactionId) -> Result<(), WalletError> {
        self.own_user(user)?;
        self.profile(user)?;
        // A device's id is its wallet's own, and is revoked once.
        let id = names::derive("device.revoke", &device.0.to_be_bytes(), 0);
        for _ in 0..Self::TRIES_MAX {
            let mut devices: Held<Devices> = self.cell(names::customer(user));
            let before = devices.content.0.len();
            devices.content.0.retain(|one| one.id != device.0);
            if devices.content.0.len() == before {
                let revoked = self.find::<DevicesWritten>(id).await?;
                let known = revoked.is_some_and(|settled| settled.document.user == *user);
                return if known { Ok(()) } else { Err(WalletError::refused(WalletCode::NotFound)) };
            }
            let document = DevicesWritten { user: user.clone(), device: device.0, added: false };
            let mut draft = Draft::new(id, document);
            draft.write(&devices);
            if self.submit(draft).await?.is_some() {
                return Ok(());
            }
        }
        Err(Self::overtaken())
    }

    /// The write of a device's counter, if its signature is good for a payment.
    pub(super) fn device_write(
        &self,
        demand: &Demand<'_>,
        device: &str,
        counter: u64,
        signature: &[u8],
    ) -> Option<CellWrite<Address>> {
        let mut devices: Held<Devices> = self.cell(names::customer(demand.user));
        let known = devices.content.0.iter_mut().find(|one| TransactionId(one.id).to_string() == device)?;
        let good = counter > known.counter && known.key.signed(&signed_text(demand, counter), signature);
        known.counter = counter;
        good.then(|| devices.write())
    }
}

/// What a device signs.
fn signed_text(demand: &Demand<'_>, counter: u64) -> Vec<u8> {
    let Demand { verb, id, step: _, user, counterparty, amount } = demand;
    let amount = format_units(amount.0.into(), Draft::<DevicesWritten>::CNY_SCALE);
    format!("{verb}\n{id}\n{user}\n{counterparty}\n{amount}\n{counter}\n").into_bytes()
}

/// For the snapshots of forms.
#[cfg(test)]
pub(super) fn forms() -> Vec<Form> {
    use super::KeyAlgorithm;
    // The base points of both curves.
    let ed25519 = [[0x58].as_slice(), &[0x66; 31]].concat();
    let p256 = p256::ecdsa::VerifyingKey::from(&p256::ecdsa::SigningKey::from_slice(&[1; 32]).unwrap());
    let keys = [
        DeviceKey::parse(KeyAlgorithm::Ed25519, &ed25519).unwrap(),
        DeviceKey::parse(KeyAlgorithm::Es256, p256.to_sec1_point(true).as_bytes()).unwrap(),
    ];
    let device = |(id, key)| Device { id, name: "phone".into(), key, counter: 300 };
    vec![
        Form::document(&DevicesWritten { user: part("alice"), device: ID.0, added: true }),
        Form::cell(&Devices((1..).zip(keys).map(device).collect())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Amount;

    #[test]
    fn what_a_device_signs_is_the_contracts() {
        let [user, counterparty] = ["alice", "jd-self"].map(|name| Part::parse(name).unwrap());
        let demand = Demand {
            verb: "payment",
            id: TransactionId(0x0197_A0B0_0000_7000_8000_0000_0000_00AB),
            step: TransactionId(0),
            user: &user,
            counterparty: &counterparty,
            amount: Amount(1_205),
        };
        let text = signed_text(&demand, 7);
        let expected = "payment\n0197a0b0-0000-7000-8000-0000000000ab\nalice\njd-self\n12.05\n7\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
