//! Object identifiers of any length, as those of extensions can be: a UUID is one number of 128 bits in them (X.667).

use std::{borrow::Cow, fmt};

use const_oid::ObjectIdentifier;
use der::{DecodeValue, EncodeValue, FixedTag, Header, Length, Reader, Tag, Writer};

/// An object identifier.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Cow<'static, [u8]>);

impl Oid {
    /// Takes what stands behind tag and length in DER, which must be in order.
    pub(crate) const fn from_static(octets: &'static [u8]) -> Self {
        Self(Cow::Borrowed(octets))
    }

    /// Shows what stands behind tag and length in DER.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as a type that has numbers up to 32 bits, if its are not greater.
    pub(crate) fn short(&self) -> Option<ObjectIdentifier> {
        ObjectIdentifier::from_bytes(&self.0).ok()
    }

    /// Its numbers; the first is 40 times the first arc and the second one (X.690 section 8.19). `None` stands for one of
    /// more than 128 bits.
    fn numbers(&self) -> impl Iterator<Item = Option<u128>> {
        self.0.split_inclusive(|octet| octet & 0x80 == 0).map(|octets| {
            octets.iter().try_fold(0_u128, |number, octet| {
                number.checked_mul(0x80).map(|number| number | u128::from(octet & 0x7f))
            })
        })
    }
}

/// Says that octets are numbers of 7 bits an octet, each as short as it can be.
pub(crate) fn is_in_order(octets: &[u8]) -> bool {
    let begins = |i: usize| i == 0 || octets[i - 1] & 0x80 == 0;
    octets.last().is_some_and(|last| last & 0x80 == 0)
        && octets.iter().enumerate().all(|(i, octet)| *octet != 0x80 || !begins(i))
}

impl From<ObjectIdentifier> for Oid {
    fn from(oid: ObjectIdentifier) -> Self {
        Self(Cow::Owned(oid.as_bytes().to_vec()))
    }
}

impl FixedTag for Oid {
    const TAG: Tag = Tag::ObjectIdentifier;
}

impl<'a> DecodeValue<'a> for Oid {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, header: Header) -> der::Result<Self> {
        let octets = reader.read_vec(header.length())?;
        if is_in_order(&octets) { Ok(Self(Cow::Owned(octets))) } else { Err(Self::TAG.value_error().into()) }
    }
}

impl EncodeValue for Oid {
    fn value_len(&self) -> der::Result<Length> {
        Length::try_from(self.0.len())
    }

    fn encode_value(&self, writer: &mut impl Writer) -> der::Result<()> {
        writer.write(&self.0)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, number) in self.numbers().enumerate() {
            match number {
                Some(first) if i == 0 => {
                    let top = (first / 40).min(2);
                    write!(f, "{top}.{}", first - 40 * top)?;
                }
                Some(number) => write!(f, ".{number}")?,
                None => f.write_str(if i == 0 { "?" } else { ".?" })?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

#[cfg(test)]
mod tests {
    use der::{Decode, Encode};

    use super::*;
    use crate::rights::GroupRights;

    #[test]
    fn an_identifier_with_a_uuid_is_shown_and_survives_der() {
        let oid = GroupRights::OID;
        assert_eq!(oid.to_string(), "2.25.144724173534245987465751921158945573061");
        assert_eq!(Oid::from_der(&oid.to_der().unwrap()), Ok(oid.clone()));
        assert_eq!(oid.short(), None);
        let short = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.17");
        assert_eq!(Oid::from(short).to_string(), "1.3.6.1.5.5.7.3.17");
        assert_eq!(Oid::from(short).short(), Some(short));
    }

    #[test]
    fn numbers_that_end_nowhere_or_begin_with_zeros_are_refused() {
        for octets in [&[6, 0][..], &[6, 1, 0x80], &[6, 2, 0x2a, 0x81], &[6, 3, 0x2a, 0x80, 1]] {
            assert!(Oid::from_der(octets).is_err(), "{octets:?}");
        }
        // More than 128 bits cannot be shown, and are an identifier all the same.
        let long = [&[6, 21, 0x69][..], &[0xff; 19], &[0x7f]].concat();
        assert_eq!(Oid::from_der(&long).unwrap().to_string(), "2.25.?");
    }
}
