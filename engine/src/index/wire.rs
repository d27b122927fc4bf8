//! Bytes in and out: variable-length integers, 7 bits a byte, least first.
//!
//! Owns the alphabet of all formats of the index. Never allocates on its own while reading. Invariant: what does not
//! end where it should is [`IndexError::Damaged`], never a panic.

use super::IndexError;
use crate::model::Timestamp;

/// Writes a number in 1 to 10 bytes.
pub(super) fn put_u64(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    bytes.push(low_bits(value));
}

/// Writes a number in 1 to 19 bytes.
pub(super) fn put_u128(bytes: &mut Vec<u8>, mut value: u128) {
    while let Err(_above) = u64::try_from(value) {
        bytes.push(low_bits((value & 0x7f) as u64) | 0x80);
        value >>= 7;
    }
    put_u64(bytes, u64::try_from(value).unwrap_or_default());
}

/// Writes a signed number so that small magnitudes are short.
pub(super) fn put_i128(bytes: &mut Vec<u8>, value: i128) {
    let folded = value.unsigned_abs().wrapping_shl(1);
    put_u128(bytes, if value < 0 { folded.wrapping_sub(1) } else { folded });
}

/// Writes a length and the bytes.
pub(super) fn put_bytes(bytes: &mut Vec<u8>, content: &[u8]) {
    put_u64(bytes, u64::try_from(content.len()).unwrap_or(u64::MAX));
    bytes.extend_from_slice(content);
}

/// Writes nothing or something.
pub(super) fn put_option<T>(bytes: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(bytes, value);
    }
}

#[allow(clippy::cast_possible_truncation)]
const fn low_bits(value: u64) -> u8 {
    (value & 0x7f) as u8
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire<'a>(pub(super) &'a [u8]);

impl<'a> Wire<'a> {
    pub(super) fn u8(&mut self) -> Result<u8, IndexError> {
        let (&byte, rest) = self.0.split_first().ok_or_else(short)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn u64(&mut self) -> Result<u64, IndexError> {
        // Most numbers are one byte.
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(IndexError::damaged("a number is too long"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, IndexError> {
        u32::try_from(self.u64()?).map_err(|_| IndexError::damaged("a number is too large"))
    }

    pub(super) fn usize(&mut self) -> Result<usize, IndexError> {
        usize::try_from(self.u64()?).map_err(|_| IndexError::damaged("a number is too large"))
    }

    pub(super) fn u128(&mut self) -> Result<u128, IndexError> {
        let mut value = 0;
        for shift in (0..128).step_by(7) {
            let byte = self.u8()?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(IndexError::damaged("a number is too long"))
    }

    pub(super) fn i128(&mut self) -> Result<i128, IndexError> {
        let folded = self.u128()?;
        let half = (folded >> 1).cast_signed();
        Ok(if folded & 1 == 0 { half } else { !half })
    }

    pub(super) fn timestamp(&mut self) -> Result<Timestamp, IndexError> {
        let nanos = i64::try_from(self.i128()?).map_err(|_| IndexError::damaged("a time is out of range"))?;
        Ok(Timestamp(nanos))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], IndexError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(short)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], IndexError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or_else(short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], IndexError> {
        let count = self.usize()?;
        self.take(count)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, IndexError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| IndexError::damaged("a text is not UTF-8"))
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, IndexError>,
    ) -> Result<Option<T>, IndexError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            2.. => Err(IndexError::damaged("an option is neither there nor not")),
        }
    }

    pub(super) fn end(self) -> Result<(), IndexError> {
        if self.0.is_empty() { Ok(()) } else { Err(IndexError::damaged("bytes are left over")) }
    }
}

fn short() -> IndexError {
    IndexError::damaged("an entry ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX] {
            let mut bytes = Vec::new();
            put_u128(&mut bytes, value);
            if let Ok(small) = u64::try_from(value) {
                let mut short = Vec::new();
                put_u64(&mut short, small);
                assert_eq!(short, bytes);
                assert_eq!(Wire(&bytes).u64().unwrap(), small);
            }
            let mut wire = Wire(&bytes);
            assert_eq!(wire.u128().unwrap(), value);
            wire.end().unwrap();
            assert!(Wire(&bytes[..bytes.len() - 1]).u128().is_err());
        }
        for value in [0, 1, -1, 63, -64, 64, i128::from(i64::MIN), i128::MAX, i128::MIN, i128::MIN + 1] {
            let mut bytes = Vec::new();
            put_i128(&mut bytes, value);
            assert_eq!(Wire(&bytes).i128().unwrap(), value, "{value}");
        }
        assert!(Wire(&[0xff; 11]).u64().is_err());
    }
}
