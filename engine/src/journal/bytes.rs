//! The primitives of the record format: fixed little-endian numbers, variable-length numbers, counted strings.
//!
//! Owns the one way in which each primitive is written, so that bytes decode to a value only if that value encodes to
//! the same bytes. Never allocates more than the input's length, never panics on input.

use compact_str::CompactString;

use super::RecordError;

/// Most bytes of a variable-length `u64`: seven bits a byte.
const VARINT_BYTES_MAX: usize = 10;

/// A few primitives on the stack, appended at once: one growth check instead of one a primitive.
pub(super) struct Scratch<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Scratch<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    /// # Panics
    /// Beyond `N` bytes: a broken invariant of this module's callers.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end).expect("room was counted").copy_from_slice(bytes);
        self.length = end;
    }

    /// An unsigned number, seven bits a byte, lowest first, the high bit set on all but the last.
    ///
    /// # Panics
    /// As [`Scratch::bytes`].
    #[inline]
    pub(super) fn u64(&mut self, mut value: u64) {
        while value > 0x7f {
            self.bytes(&[(value & 0x7f) as u8 | 0x80]);
            value >>= 7;
        }
        self.bytes(&[(value & 0x7f) as u8]);
    }

    #[inline]
    pub(super) fn append_to(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(self.bytes.get(..self.length).unwrap_or_default());
    }
}

/// Appends an unsigned number as [`Scratch::u64`] does.
#[inline]
pub(super) fn put_u64(buffer: &mut Vec<u8>, value: u64) {
    let mut scratch = Scratch::<VARINT_BYTES_MAX>::new();
    scratch.u64(value);
    scratch.append_to(buffer);
}

/// Appends a number as [`put_u64`] does.
pub(super) fn put_u128(buffer: &mut Vec<u8>, mut value: u128) {
    while value > 0x7f {
        buffer.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    buffer.push((value & 0x7f) as u8);
}

/// Appends a signed number, folded so that small magnitudes are short.
pub(super) fn put_i128(buffer: &mut Vec<u8>, value: i128) {
    put_u128(buffer, ((value << 1) ^ (value >> 127)).cast_unsigned());
}

/// Appends a text and its length.
pub(super) fn put_text(buffer: &mut Vec<u8>, text: &str) {
    put_bytes(buffer, text.as_bytes());
}

/// Appends bytes and their number.
pub(super) fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(buffer, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    buffer.extend_from_slice(bytes);
}

/// What is left of an input.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Passes if all was read.
    pub(super) const fn finish(&self) -> Result<(), RecordError> {
        if self.0.is_empty() { Ok(()) } else { Err(RecordError) }
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RecordError)?;
        self.0 = rest;
        Ok(*head)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, RecordError> {
        let (&head, rest) = self.0.split_first().ok_or(RecordError)?;
        self.0 = rest;
        Ok(head)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, RecordError> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(RecordError);
            }
            value |= bits << shift;
            if byte < 0x80 {
                // A last byte of zero adds nothing: the number has a shorter form.
                return if byte == 0 { Err(RecordError) } else { Ok(value) };
            }
            shift += 7;
        }
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, RecordError> {
        u32::try_from(self.u64()?).map_err(|_| RecordError)
    }

    pub(super) fn u128(&mut self) -> Result<u128, RecordError> {
        let mut value = 0_u128;
        let mut shift = 0;
        loop {
            let byte = self.u8()?;
            if shift == 126 && byte > 3 || byte == 0 && shift > 0 {
                return Err(RecordError);
            }
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    pub(super) fn i128(&mut self) -> Result<i128, RecordError> {
        let folded = self.u128()?;
        Ok((folded >> 1).cast_signed() ^ -((folded & 1).cast_signed()))
    }

    /// A count of items that take at least one byte each.
    #[inline]
    pub(super) fn count(&mut self) -> Result<usize, RecordError> {
        let count = usize::try_from(self.u64()?).map_err(|_| RecordError)?;
        if count <= self.0.len() { Ok(count) } else { Err(RecordError) }
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], RecordError> {
        let length = self.count()?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(RecordError)?;
        self.0 = rest;
        Ok(head)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a str, RecordError> {
        str::from_utf8(self.bytes()?).map_err(|_| RecordError)
    }

    /// A text that is there if `present`.
    #[inline]
    pub(super) fn text_if(&mut self, present: bool) -> Result<Option<CompactString>, RecordError> {
        if present { self.text().map(|text| Some(text.into())) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_u64(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            assert_eq!((reader.u64(), reader.finish()), (Ok(value), Ok(())));
            let mut wide = Vec::new();
            put_u128(&mut wide, u128::from(value));
            assert_eq!(bytes, wide);
        }
        for value in [0, 1, -1, 64, -65, i128::from(u64::MAX), -i128::from(u64::MAX), i128::MAX, i128::MIN] {
            let mut bytes = Vec::new();
            put_i128(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            assert_eq!((reader.i128(), reader.finish()), (Ok(value), Ok(())));
        }
        for longer in [&[0x80, 0][..], &[0xff, 0x80, 0], &[0x80; 9], &[0xff; 10], &[0xff; 30], &[]] {
            assert_eq!(Reader::new(longer).u64(), Err(RecordError), "{longer:?}");
            assert_eq!(Reader::new(longer).u128(), Err(RecordError), "{longer:?}");
        }
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).u64(),
            Err(RecordError)
        );
    }

    #[test]
    fn counts_stay_within_the_input() {
        assert_eq!(Reader::new(&[200, 1, 0]).text(), Err(RecordError));
        assert_eq!(Reader::new(&[2, 0xc3, 0x28]).text(), Err(RecordError));
    }
}
