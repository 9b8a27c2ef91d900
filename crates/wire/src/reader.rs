//! A cursor over received octets.

use crate::DecodeError;

/// Reads integers (big-endian) and slices from octets it borrows. Every method names the field it reads.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    octets: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first of `octets`.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { octets, position: 0 }
    }

    /// Reads one octet.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(field)?[0])
    }

    /// Reads two octets.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// Reads four octets.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(field)?))
    }

    /// Reads eight octets.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// Reads `N` octets into an array.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let (head, _) = self.rest().split_first_chunk::<N>().ok_or(DecodeError::Truncated { field })?;
        self.position += N;
        Ok(*head)
    }

    /// Reads `length` octets without copying them.
    pub fn slice(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let (head, _) = self.rest().split_at_checked(length).ok_or(DecodeError::Truncated { field })?;
        self.position += length;
        Ok(head)
    }

    /// Splits off a reader over the next `length` octets and steps behind them.
    pub fn sub(&mut self, length: usize, field: &'static str) -> Result<Reader<'a>, DecodeError> {
        Ok(Reader::new(self.slice(length, field)?))
    }

    /// Reads octets that must be zero.
    pub fn zeros(&mut self, length: usize, field: &'static str) -> Result<(), DecodeError> {
        match self.slice(length, field)?.iter().find(|&&octet| octet != 0) {
            Some(&octet) => Err(DecodeError::Value { field, value: octet.into() }),
            None => Ok(()),
        }
    }

    /// Takes all that remains.
    pub fn take_rest(&mut self) -> &'a [u8] {
        let rest = self.rest();
        self.position = self.octets.len();
        rest
    }

    /// Ends the reading; octets left over are an error.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            octets => Err(DecodeError::Trailing { octets }),
        }
    }

    /// Says how many octets were read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Says how many octets remain.
    pub fn remaining(&self) -> usize {
        self.octets.len() - self.position
    }

    /// Says whether nothing remains.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    fn rest(&self) -> &'a [u8] {
        &self.octets[self.position..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_integers_big_endian() {
        let mut r = Reader::new(&[1, 0, 2, 0, 0, 0, 3]);
        assert_eq!(r.u8("a"), Ok(1));
        assert_eq!(r.u16("b"), Ok(2));
        assert_eq!(r.u32("c"), Ok(3));
        assert_eq!(r.finish(), Ok(()));
    }

    #[test]
    fn names_the_field_that_is_cut() {
        let mut r = Reader::new(&[1]);
        assert_eq!(r.u16("port"), Err(DecodeError::Truncated { field: "port" }));
        assert_eq!(r.remaining(), 1, "a failed read consumes nothing");
        assert_eq!(r.slice(usize::MAX, "huge"), Err(DecodeError::Truncated { field: "huge" }));
    }

    #[test]
    fn refuses_trailing_octets_and_reserved_bits() {
        let mut r = Reader::new(&[0, 9, 9]);
        assert_eq!(r.zeros(2, "reserved"), Err(DecodeError::Value { field: "reserved", value: 9 }));
        assert_eq!(r.finish(), Err(DecodeError::Trailing { octets: 1 }));
    }

    #[test]
    fn a_sub_reader_cannot_leave_its_part() {
        let mut r = Reader::new(&[1, 2, 3]);
        let mut sub = r.sub(2, "part").unwrap();
        assert_eq!(sub.take_rest(), [1, 2]);
        assert!(sub.u8("beyond").is_err());
        assert_eq!(r.u8("next"), Ok(3));
    }
}
