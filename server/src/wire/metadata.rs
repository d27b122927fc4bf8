//! The client's own string pairs.

use std::{borrow::Borrow, collections::BTreeMap};

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use yue_engine::model::Metadata;

use crate::json::{FromText, Text, read_pairs};

/// Metadata as read from an object of strings.
pub(crate) struct MetadataIn(pub(crate) Metadata);

struct Key(CompactString);
struct Value(CompactString);

impl FromText for Key {
    const EXPECTED: &'static str = "a key of 1 to 64 bytes without NUL";

    fn from_text(text: &str) -> Option<Self> {
        let fits = (1..=Metadata::KEY_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
        fits.then(|| Self(text.into()))
    }
}

impl FromText for Value {
    const EXPECTED: &'static str = "a text of at most 256 bytes without NUL";

    fn from_text(text: &str) -> Option<Self> {
        (text.len() <= Metadata::VALUE_BYTES_MAX && !text.contains('\0')).then(|| Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for MetadataIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pairs = BTreeMap::new();
        let expected = "an object of at most 16 strings";
        read_pairs(deserializer, expected, |(Text(Key(key)), Text(Value(value)))| {
            if pairs.contains_key(Borrow::<str>::borrow(&key)) {
                return Err(format!("duplicate field `{key}`"));
            }
            if pairs.len() >= Metadata::PAIRS_MAX {
                return Err(format!("metadata has more than {} pairs", Metadata::PAIRS_MAX));
            }
            pairs.insert(key, value);
            Ok(())
        })?;
        Metadata::new(pairs).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Metadata as written.
#[derive(Clone, Debug)]
pub(crate) struct MetadataOut(pub(crate) Metadata);

impl Serialize for MetadataOut {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }
}
