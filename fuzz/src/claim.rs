//! Claims that hold for every octet string that a decoder accepts.

use std::fmt::Debug;

use claviger_wire::{Decode, Encode};

/// What was decoded must survive its own encoding. The octets may differ: reserved bits are ignored.
///
/// # Panics
///
/// If it does not.
pub fn survives<T: PartialEq + Debug, E: Debug>(
    value: &T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, E>,
) {
    let octets = encode(value);
    match decode(&octets) {
        Ok(again) => assert_eq!(&again, value, "encoded as {octets:02x?}"),
        Err(error) => panic!("{value:?} was encoded as {octets:02x?}, which is refused: {error:?}"),
    }
}

/// Decodes the octets, and claims that what is accepted [`survives`].
pub fn codec<T>(octets: &[u8]) -> Option<T>
where
    T: for<'a> Decode<'a> + Encode + PartialEq + Debug,
{
    let value = T::from_octets(octets).ok()?;
    survives(&value, Encode::to_octets, |octets| T::from_octets(octets));
    Some(value)
}
