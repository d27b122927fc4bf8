//! Opaque marks of where the next page of a list starts.
//!
//! Owns their encoding: base64url of a version, a kind and the place. Never promises its content to clients.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use yue_engine::{
    model::{Address, Position},
    view::HistoryCursor,
};

/// A place in a list.
pub(crate) trait Cursor: Sized {
    /// Tells the lists apart; its high half is the format's version.
    const KIND: u8;

    /// The place's bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// The place behind bytes, if they are one.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;

    /// The text for clients.
    fn encode(&self) -> String {
        let mut bytes = vec![Self::KIND];
        bytes.extend(self.to_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a client's text.
    fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        match bytes.split_first() {
            Some((&kind, place)) if kind == Self::KIND => Self::from_bytes(place),
            Some(_) | None => None,
        }
    }
}

impl Cursor for Address {
    const KIND: u8 = 0x11;

    fn to_bytes(&self) -> Vec<u8> {
        self.as_str().as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::parse(std::str::from_utf8(bytes).ok()?).ok()
    }
}

impl Cursor for HistoryCursor {
    const KIND: u8 = 0x12;

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.position.0.to_be_bytes().to_vec();
        bytes.push(self.operation);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (position, rest) = bytes.split_first_chunk::<8>()?;
        let &[operation] = rest else { return None };
        Some(Self { position: Position(u64::from_be_bytes(*position)), operation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_and_garbage_does_not() {
        let address = Address::parse("customers:42").unwrap();
        let row = HistoryCursor { position: Position(u64::MAX), operation: 63 };
        assert_eq!(Address::decode(&address.encode()), Some(address.clone()));
        assert_eq!(HistoryCursor::decode(&row.encode()), Some(row));
        for garbage in
            ["", "=", "A", "AAAA", "é", &"A".repeat(1000), &address.encode(), &format!("{}A", row.encode())]
        {
            assert_eq!(HistoryCursor::decode(garbage), None, "{garbage}");
        }
        assert_eq!(Address::decode(&row.encode()), None);
    }
}
