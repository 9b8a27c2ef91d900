//! The check values of key wrap, and the verdict on what was unwrapped.

use claviger_crypto::CryptoError;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeLess};
use zeroize::Zeroize;

use crate::{
    job::HALF_LEN,
    shape::{Operation, Shape},
};

/// The default initial value of RFC 3394 §2.2.3.1.
const INITIAL_VALUE: u64 = 0xa6a6_a6a6_a6a6_a6a6;

/// The upper half of the alternative initial value of RFC 5649 §3; the lower is the message length.
const ALTERNATIVE_VALUE: u32 = 0xa659_59a6;

/// The initial value with which jobs of `shape` are wrapped.
pub(crate) fn initial_value(shape: &Shape) -> u64 {
    match shape.operation {
        Operation::WrapPadded => {
            let length = u32::try_from(shape.input_len).expect("the shape's length fits 32 bits");
            u64::from(ALTERNATIVE_VALUE) << 32 | u64::from(length)
        }
        _ => INITIAL_VALUE,
    }
}

/// Says how many octets at the front of `output` are the plaintext, given the `value` that stood before it.
///
/// An output whose check value is wrong is erased.
pub(crate) fn judge(shape: &Shape, value: u64, output: &mut [u8]) -> Result<usize, CryptoError> {
    let (is_right, length) = match shape.operation {
        Operation::UnwrapPadded => padded(value, output),
        _ => (value.ct_eq(&INITIAL_VALUE), output.len()),
    };
    if bool::from(is_right) {
        return Ok(length);
    }
    output.zeroize();
    Err(CryptoError::Authentication)
}

/// The three checks of RFC 5649 §3, without a branch between them.
fn padded(value: u64, output: &[u8]) -> (Choice, usize) {
    let upper = (value >> 32) as u32;
    let length = value as u32;
    let room = u32::try_from(output.len()).unwrap_or(u32::MAX);
    let padding = room.wrapping_sub(length);
    let mut is_right =
        upper.ct_eq(&ALTERNATIVE_VALUE) & padding.ct_lt(&(HALF_LEN as u32)) & !length.ct_eq(&0);
    // At most the last seven octets are padding; which of them is secret until the whole has been found right.
    for (octet, from_end) in output.iter().rev().zip(0..HALF_LEN as u32) {
        let must_be_zero = from_end.ct_lt(&padding);
        is_right &= u8::conditional_select(&0, octet, must_be_zero).ct_eq(&0);
    }
    (is_right, length as usize)
}
