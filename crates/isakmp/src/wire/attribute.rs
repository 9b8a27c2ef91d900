//! Attributes in the TV and TLV forms (RFC 2408 section 3.3).
//!
//! ```text
//!                      1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! !A!       Attribute Type        !    AF=0  Attribute Length     !
//! !F!                             !    AF=1  Attribute Value      !
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! .                   AF=0  Attribute Value                       .
//! .                   AF=1  Not Transmitted                       .
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use claviger_wire::{DecodeError, Reader, Writer};

#[cfg(doc)]
use crate::error::ApiMisuse;
use crate::{error::Error, wire::length_u16};

/// One attribute. Its class is named by the payload that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The Attribute Type, 15 bits.
    pub class: u16,
    /// The value.
    pub value: Value<'a>,
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// TV: two octets.
    Basic(u16),
    /// TLV: any octets.
    Variable(&'a [u8]),
}

/// The AF bit.
const FORMAT_BASIC: u16 = 0x8000;

impl<'a> Attribute<'a> {
    /// Reads the next attribute; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] if the octets end inside it.
    pub fn next(r: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        if r.is_empty() {
            return Ok(None);
        }
        let kind = r.u16("attribute type")?;
        let field = r.u16("attribute length or value")?;
        let class = kind & !FORMAT_BASIC;
        let value = if kind & FORMAT_BASIC == 0 {
            Value::Variable(r.slice(field.into(), "attribute value")?)
        } else {
            Value::Basic(field)
        };
        Ok(Some(Self { class, value }))
    }

    /// Reads a class that is Basic; such a class must not be encoded as variable (RFC 2407 section 4.5).
    ///
    /// # Errors
    ///
    /// [`DecodeError::Length`] if it is of another form.
    pub fn basic(&self, field: &'static str) -> Result<u16, DecodeError> {
        match self.value {
            Value::Basic(value) => Ok(value),
            Value::Variable(_) => Err(DecodeError::Length { field }),
        }
    }

    /// Reads a class that is Variable and whose octets have a form of their own.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Length`] if it is of another form.
    pub fn variable(&self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.value {
            Value::Variable(octets) => Ok(octets),
            Value::Basic(_) => Err(DecodeError::Length { field }),
        }
    }

    /// Reads a class that is Variable and a number of at most four octets; it may be encoded as basic if it fits
    /// (RFC 2407 section 4.5).
    ///
    /// # Errors
    ///
    /// [`DecodeError::Length`] if it is of another form.
    pub fn number(&self, field: &'static str) -> Result<u32, DecodeError> {
        match self.value {
            Value::Basic(value) => Ok(value.into()),
            Value::Variable(octets @ ([_] | [_, _] | [_, _, _] | [_, _, _, _])) => {
                Ok(octets.iter().fold(0, |number, &octet| number << 8 | u32::from(octet)))
            }
            Value::Variable(_) => Err(DecodeError::Length { field }),
        }
    }
}

/// Writes a TV attribute.
pub fn basic(w: &mut Writer, class: u16, value: u16) {
    w.u16(class | FORMAT_BASIC);
    w.u16(value);
}

/// Writes a TLV attribute.
///
/// # Errors
///
/// [`ApiMisuse::MessageTooLong`] if the value exceeds 65,535 octets.
pub fn variable(w: &mut Writer, class: u16, value: impl FnOnce(&mut Writer)) -> Result<(), Error> {
    try_variable(w, class, |w| {
        value(w);
        Ok(())
    })
}

/// Writes a TLV attribute whose value cannot always be written.
///
/// # Errors
///
/// [`ApiMisuse::MessageTooLong`] if the value exceeds 65,535 octets; those of `value`.
pub fn try_variable<E: From<Error>>(
    w: &mut Writer,
    class: u16,
    value: impl FnOnce(&mut Writer) -> Result<(), E>,
) -> Result<(), E> {
    w.u16(class);
    length_u16(w, 0, value)
}

/// Stores a value that may occur once.
///
/// # Errors
///
/// [`DecodeError::Unexpected`] if there is one already.
pub fn once<T>(place: &mut Option<T>, value: T, what: &'static str) -> Result<(), DecodeError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Unexpected { what }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
        // RFC 2407 section 4.5.2
        let octets = [0x80, 1, 0, 1, 0, 2, 0, 4, 0, 1, 0x51, 0x80];
        let mut r = Reader::new(&octets);
        let life_type = Attribute::next(&mut r).unwrap().unwrap();
        assert_eq!((life_type.class, life_type.basic("type")), (1, Ok(1)));
        assert!(life_type.variable("type").is_err());
        let duration = Attribute::next(&mut r).unwrap().unwrap();
        assert_eq!((duration.class, duration.number("duration")), (2, Ok(86_400)));
        assert!(duration.basic("duration").is_err());
        assert_eq!(Attribute::next(&mut r), Ok(None));
    }

    #[test]
    fn numbers_have_one_to_four_octets() {
        let of = |octets| Attribute { class: 1, value: Value::Variable(octets) }.number("n");
        assert_eq!(of(&[7]), Ok(7));
        assert_eq!(of(&[1, 0, 0]), Ok(65_536));
        assert_eq!(of(&[0xff; 4]), Ok(u32::MAX));
        assert!(of(&[]).is_err());
        assert!(of(&[0; 5]).is_err());
    }

    #[test]
    fn refuses_every_cut() {
        let octets = [0, 2, 0, 2, 7, 7];
        for length in 1..octets.len() {
            assert!(Attribute::next(&mut Reader::new(&octets[..length])).is_err(), "cut at {length}");
        }
    }
}
