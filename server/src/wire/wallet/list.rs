//! Short arrays.

use serde::{Deserialize, Deserializer, de};

use crate::json::read_elements;

/// An array of `MIN` to `MAX` elements.
pub(crate) struct List<T, const MIN: usize, const MAX: usize>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>, const MIN: usize, const MAX: usize> Deserialize<'de> for List<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut elements = Vec::new();
        let wrong = || format!("an array has {MIN} to {MAX} elements here");
        read_elements(deserializer, "an array", |element| {
            if elements.len() >= MAX {
                return Err(wrong());
            }
            elements.push(element);
            Ok(())
        })?;
        if elements.len() < MIN {
            return Err(de::Error::custom(wrong()));
        }
        Ok(Self(elements))
    }
}
